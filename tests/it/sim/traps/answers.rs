//! Forks, failures and early media: what of the buyers reaches the caller (traps 5, 9 and 14).

use super::*;

// --- 5: forks on the buyer's side

#[test]
fn trap_05_the_first_fork_is_kept_and_the_others_acknowledged_and_ended() {
    let mut desk = Desk::new(1);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 200, "one").with_sdp(ANSWER));

    let second = answer(&offered, 200, "two").with_sdp(ANSWER);
    let said = desk.say_from(buyer(0), &second);

    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE"]);
    assert_eq!(said[0].message.tag_in_to(), Some("two"));
    assert_eq!(said[1].message.tag_in_to(), Some("two"));
    assert_eq!(ladder(&desk.say_from(buyer(0), &second)), ["b0 ACK"]);
    assert_eq!(desk.gauges().calls_talking, 1);
    // The one that was kept is still there.
    let info = buyer_request("INFO", 5, &offered, "one");
    assert_eq!(ladder(&desk.say_from(buyer(0), &info)), ["carrier INFO"]);
}

// --- 9: whose failure the caller sees

#[test]
fn trap_09_a_failure_reaches_the_caller_in_its_own_words_and_without_the_buyers_headers() {
    let mut desk = Desk::new(1);
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");

    let busy = answer(&offered, 486, "bob")
        .with("Contact", "<sip:secret@198.51.100.99>")
        .with("Server", "buyer-pbx")
        .with("X-Secret", "1")
        .with("P-Asserted-Identity", "<sip:secret@example.com>");
    let said = desk.say_from(buyer(0), &busy);

    assert_eq!(ladder(&said), ["b0 ACK", "carrier 486 INVITE"]);
    let told = find(&said, "carrier 486 INVITE");
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        let expected = invite.value(name).replace(";rport", ";rport=5060");
        let got = told.value(name).replace(";received=192.0.2.10", "");
        assert_eq!(got, expected, "{name}");
    }
    let text = String::from_utf8(told.bytes().to_vec()).unwrap();
    assert!(
        !text.contains("secret") && !text.contains("buyer-pbx"),
        "{text}"
    );
    assert_eq!(told.value("Reason"), "SIP;cause=486;text=\"all_busy\"");
}

#[test]
fn trap_09_a_challenge_that_cannot_be_met_never_reaches_the_caller() {
    let mut desk = Desk::new(1);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    let said = desk.say_from(buyer(0), &challenge(&offered, BUYER_REALM, &["MD5"]));

    assert_eq!(ladder(&said), ["b0 ACK", "carrier 603 INVITE"]);
    let told = find(&said, "carrier 603 INVITE");
    assert_eq!(told.first("WWW-Authenticate"), None);
    assert_eq!(desk.recorded(), "no_answer 603 by edge: buyer_auth");
}

// --- 14: one call towards the caller, whatever buyers come and go

#[test]
fn trap_14_the_caller_sees_one_to_tag_over_early_media_failure_and_the_next_buyer() {
    let mut desk = Desk::new(2);
    let invite = invite();
    let first = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let early = desk.say_from(buyer(0), &answer(&first, 183, "one").with_sdp(ANSWER));
    let said = desk.say_from(buyer(0), &answer(&first, 503, "one"));
    assert_eq!(ladder(&said), ["b0 ACK", "b1 INVITE"]);
    let second = find(&said, "b1 INVITE");

    let ringing = desk.say_from(buyer(1), &answer(&second, 180, "two"));
    let answered = desk.say_from(buyer(1), &answer(&second, 200, "two").with_sdp(ANSWER));

    let tag = find(&early, "carrier 180 INVITE")
        .tag_in_to()
        .unwrap()
        .to_owned();
    assert_eq!(
        find(&ringing, "carrier 180 INVITE").tag_in_to(),
        Some(&*tag)
    );
    assert_eq!(
        find(&answered, "carrier 200 INVITE").tag_in_to(),
        Some(&*tag)
    );
    assert_ne!(first.call_id(), second.call_id());
    assert_ne!(first.tag_in_from(), second.tag_in_from());
    assert_ne!(first.branch(), second.branch());
}
