//! Digest towards buyers (trap 10).

use super::*;

// --- 10: digest

#[test]
fn trap_10_a_buyers_challenge_is_met_with_the_strongest_algorithm_in_a_new_transaction() {
    let mut desk = with_login();
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    let said = desk.say_from(
        buyer(0),
        &challenge(&offered, BUYER_REALM, &["MD5", "SHA-256"]),
    );

    assert_eq!(ladder(&said), ["b0 ACK", "b0 INVITE"]);
    let repeat = find(&said, "b0 INVITE");
    let credentials = repeat.value("Authorization");
    assert_eq!(
        digest::value(credentials, "algorithm").as_deref(),
        Some("SHA-256")
    );
    assert_eq!(digest::value(credentials, "qop").as_deref(), Some("auth"));
    assert!(
        digest::is_right(credentials, PASSWORD, "INVITE"),
        "{credentials}"
    );
    assert_eq!(repeat.value("CSeq"), "2 INVITE");
    assert_ne!(repeat.branch(), offered.branch());
    for name in [
        "From",
        "Call-ID",
        "X-PH-RetreaverUUID",
        "X-PH-RetreaverKey",
        "X-Buyer",
    ] {
        assert_eq!(repeat.value(name), offered.value(name), "{name}");
    }
    assert_eq!(repeat.all("X-PH-RetreaverKey").count(), 1);
    // The ACK of the 2xx carries the INVITE's credentials (§22.1).
    let said = desk.say_from(buyer(0), &answer(&repeat, 200, "bob").with_sdp(ANSWER));
    assert_eq!(find(&said, "b0 ACK").value("Authorization"), credentials);
    assert_eq!(
        find(&said, "carrier 200 INVITE").first("Authorization"),
        None
    );
}

#[test]
fn trap_10_a_foreign_realm_gets_no_credentials() {
    let mut desk = with_login();
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    let said = desk.say_from(
        buyer(0),
        &challenge(&offered, "elsewhere.example.com", &["MD5"]),
    );

    assert_eq!(ladder(&said), ["b0 ACK", "carrier 603 INVITE"]);
}

#[test]
fn trap_10_a_buyer_that_challenges_again_has_had_its_two_tries() {
    let mut desk = with_login();
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    let said = desk.say_from(buyer(0), &challenge(&offered, BUYER_REALM, &["MD5"]));
    let repeat = find(&said, "b0 INVITE");

    let said = desk.say_from(buyer(0), &challenge(&repeat, BUYER_REALM, &["MD5"]));

    assert_eq!(ladder(&said), ["b0 ACK", "carrier 603 INVITE"]);
}

#[test]
fn trap_10_requests_within_the_call_are_repeated_with_credentials_too() {
    let mut talk = Talk::unacknowledged(with_login());
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);

    let info = talk.caller("INFO", 2);
    let asked = find(&talk.caller_says(&info), "b0 INFO");
    let said = talk.buyer_says(&challenge(&asked, BUYER_REALM, &["MD5"]));
    assert_eq!(ladder(&said), ["b0 INFO"]);
    let repeat = find(&said, "b0 INFO");
    assert!(digest::is_right(
        repeat.value("Authorization"),
        PASSWORD,
        "INFO"
    ));
    assert_eq!(
        ladder(&talk.buyer_says(&repeat.reply(200, "bob"))),
        ["carrier 200 INFO"]
    );

    let bye = talk.caller("BYE", 3);
    let ours = find(&talk.caller_says(&bye), "b0 BYE");
    let said = talk.buyer_says(&challenge(&ours, BUYER_REALM, &["MD5"]));
    assert_eq!(ladder(&said), ["b0 BYE"]);
    assert!(digest::is_right(
        said[0].message.value("Authorization"),
        PASSWORD,
        "BYE"
    ));
}

/// The call is gone by then, but not what it knew of its buyer.
#[test]
fn trap_10_the_bye_after_a_200_that_crossed_the_cancel_is_repeated_with_credentials() {
    for knows_login in [true, false] {
        let mut desk = if knows_login {
            with_login()
        } else {
            Desk::new(1)
        };
        let invite = invite();
        let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
        desk.say_from(buyer(0), &answer(&offered, 180, "bob"));
        desk.say(CARRIER, &cancel(&invite));
        let late = answer(&offered, 200, "bob").with_sdp(ANSWER);
        let bye = find(&desk.say_from(buyer(0), &late), "b0 BYE");

        let said = desk.say_from(buyer(0), &challenge(&bye, BUYER_REALM, &["MD5"]));

        let expected: &[&str] = if knows_login { &["b0 BYE"] } else { &[] };
        assert_eq!(ladder(&said), expected);
        if let Some(again) = said.first().map(|said| &said.message) {
            assert_eq!(again.value("CSeq"), "3 BYE");
            assert_eq!(again.tag_in_to(), Some("bob"));
            let given = again.value("Authorization");
            assert!(digest::is_right(given, PASSWORD, "BYE"), "{given}");
            // Once is enough.
            let again = challenge(again, BUYER_REALM, &["MD5"]);
            assert_eq!(ladder(&desk.say_from(buyer(0), &again)), NOTHING);
        }
        assert_eq!(desk.rest(), Gauges::default());
    }
}

#[test]
fn trap_10_that_bye_is_not_repeated_for_a_buyer_that_said_bye_itself() {
    let mut desk = with_login();
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 180, "bob"));
    desk.say(CARRIER, &cancel(&invite));
    let late = answer(&offered, 200, "bob").with_sdp(ANSWER);
    let bye = find(&desk.say_from(buyer(0), &late), "b0 BYE");

    let theirs = buyer_request("BYE", 1, &offered, "bob");
    assert_eq!(ladder(&desk.say_from(buyer(0), &theirs)), ["b0 481 BYE"]);

    let said = desk.say_from(buyer(0), &challenge(&bye, BUYER_REALM, &["MD5"]));
    assert_eq!(ladder(&said), NOTHING);
    assert_eq!(desk.rest(), Gauges::default());
}
