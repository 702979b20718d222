//! Reliable provisional responses, each leg's its own (trap 7).

use super::*;

/// An INVITE of a caller that takes reliable provisional responses, or wants nothing else.
fn reliable_invite(header: &str) -> Msg {
    invite().with(header, "timer, 100rel")
}

/// A provisional response of the buyer's that wants a PRACK.
fn reliably(offered: &Msg, status: u16, rseq: u32) -> Msg {
    answer(offered, status, "bob")
        .with("Require", "100rel")
        .with("RSeq", rseq.to_string())
}

/// The caller's PRACK of a provisional response.
fn prack(invite: &Msg, ringing: &Msg, cseq: u32) -> Msg {
    let rack = format!("{} {} INVITE", ringing.value("RSeq"), invite.cseq());
    caller_request("PRACK", cseq, invite, ringing).with("RAck", rack)
}

#[test]
fn trap_07_each_leg_has_its_own_numbers_and_its_own_pracks() {
    let mut desk = Desk::new(1);
    let invite = reliable_invite("Supported");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    assert_eq!(offered.value("Supported"), "100rel");
    assert_eq!(offered.first("Require"), None);

    let said = desk.say_from(buyer(0), &reliably(&offered, 183, 5).with_sdp(ANSWER));

    assert_eq!(ladder(&said), ["b0 PRACK", "carrier 183 INVITE"]);
    let ours = find(&said, "b0 PRACK");
    assert_eq!(ours.value("RAck"), "5 1 INVITE");
    assert_eq!(ours.value("CSeq"), "2 PRACK");
    assert_eq!(ours.tag_in_to(), Some("bob"));
    assert_eq!(
        ladder(&desk.say_from(buyer(0), &ours.reply(200, "bob"))),
        NOTHING
    );
    let early = find(&said, "carrier 183 INVITE");
    assert_eq!(early.body, ANSWER);
    assert!(early.all("Require").eq(["100rel"]));
    assert_eq!(early.all("RSeq").count(), 1);
    assert_ne!(early.value("RSeq"), "5");
    assert!(early.contact().is_some());
    let again = desk.pass_millis(3500);
    let times = [500, 1500, 3500].map(|at| format!("{at} carrier 183 INVITE"));
    assert_eq!(timed(&again), times);
    assert!(again.iter().all(|one| one.message == early));

    let said = desk.say(CARRIER, &prack(&invite, &early, 2));
    assert_eq!(ladder(&said), ["carrier 200 PRACK"]);
    assert_eq!(ladder(&desk.pass(Duration::from_secs(20))), NOTHING);
    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));
    assert_eq!(ladder(&said), ["b0 ACK", "carrier 200 INVITE"]);
    assert_eq!(find(&said, "b0 ACK").value("CSeq"), "1 ACK");
    let ok = find(&said, "carrier 200 INVITE");
    desk.say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    let said = desk.say(CARRIER, &caller_request("BYE", 3, &invite, &ok));
    assert_eq!(find(&said, "b0 BYE").value("CSeq"), "3 BYE");
    desk.say_from(buyer(0), &find(&said, "b0 BYE").reply(200, "bob"));
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn trap_07_ringing_without_a_body_is_reliable_only_where_that_is_required() {
    for (header, is_reliable) in [("Supported", false), ("Require", true)] {
        let mut desk = Desk::new(1);
        let offered = find(
            &desk.say(CARRIER, &reliable_invite(header).set(header, "100rel")),
            "b0 INVITE",
        );

        let said = desk.say_from(buyer(0), &answer(&offered, 180, "bob"));

        assert_eq!(ladder(&said), ["carrier 180 INVITE"]);
        let ringing = &said[0].message;
        assert_eq!(ringing.first("RSeq").is_some(), is_reliable);
        assert_eq!(ringing.first("Require").is_some(), is_reliable);
        assert_eq!(desk.pass_millis(600).len(), usize::from(is_reliable));
    }
}

/// RFC 3262 §3: the first one is acknowledged before the next goes out.
#[test]
fn trap_07_the_next_one_waits_for_the_prack_of_the_last() {
    let mut desk = Desk::new(1);
    let invite = invite().with("Require", "100rel");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let first = desk.say_from(buyer(0), &answer(&offered, 180, "bob"));
    let first = find(&first, "carrier 180 INVITE");
    let early = answer(&offered, 183, "bob").with_sdp(ANSWER);
    assert_eq!(ladder(&desk.say_from(buyer(0), &early)), NOTHING);
    // Mere ringing does not push the answer out.
    assert_eq!(
        ladder(&desk.say_from(buyer(0), &answer(&offered, 180, "bob"))),
        NOTHING
    );

    let said = desk.say(CARRIER, &prack(&invite, &first, 2));

    assert_eq!(ladder(&said), ["carrier 200 PRACK", "carrier 183 INVITE"]);
    let second = find(&said, "carrier 183 INVITE");
    assert_eq!(second.body, ANSWER);
    let number = |ringing: &Msg| ringing.value("RSeq").parse::<u32>().unwrap();
    assert_eq!(number(&second), number(&first) + 1);
    // An old PRACK with a new CSeq acknowledges nothing.
    let said = desk.say(CARRIER, &prack(&invite, &first, 3));
    assert_eq!(ladder(&said), ["carrier 481 PRACK"]);
    let said = desk.say(CARRIER, &prack(&invite, &second, 4));
    assert_eq!(ladder(&said), ["carrier 200 PRACK"]);
    assert_eq!(ladder(&desk.pass(Duration::from_secs(20))), NOTHING);
}

#[test]
fn trap_07_a_caller_that_never_acknowledges_gets_504_and_the_buyer_is_cancelled() {
    let mut buyers = specs(1);
    buyers[0].ring = Duration::from_secs(60);
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    });
    let offered = find(
        &desk.say(CARRIER, &reliable_invite("Supported")),
        "b0 INVITE",
    );
    desk.say_from(buyer(0), &answer(&offered, 183, "bob").with_sdp(ANSWER));

    let said = desk.pass(Duration::from_secs(32));

    let (_, last) = said.split_at(said.len() - 2);
    assert_eq!(timed(last), ["32000 b0 CANCEL", "32000 carrier 504 INVITE"]);
    assert_eq!(
        last[1].message.value("Reason"),
        "SIP;cause=504;text=\"no_prack\""
    );
    assert_eq!(desk.recorded(), "no_prack 504 by caller: cancelled");
    desk.say_from(buyer(0), &answer(&offered, 487, "bob"));
    assert_eq!(desk.rest(), Gauges::default());
}

/// RFC 3262 §3: a 2xx must not overtake an answer that is yet to be acknowledged.
#[test]
fn trap_07_the_200_waits_for_the_prack() {
    let mut desk = Desk::new(1);
    let invite = reliable_invite("Supported");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let early = desk.say_from(buyer(0), &answer(&offered, 183, "bob").with_sdp(ANSWER));
    let early = find(&early, "carrier 183 INVITE");
    let ok = answer(&offered, 200, "bob").with_sdp(ANSWER);
    assert_eq!(ladder(&desk.say_from(buyer(0), &ok)), NOTHING);
    assert_eq!(ladder(&desk.say_from(buyer(0), &ok)), NOTHING);
    // A fork that answers meanwhile has lost.
    let second = answer(&offered, 200, "eve").with_sdp(ANSWER);
    assert_eq!(
        ladder(&desk.say_from(buyer(0), &second)),
        ["b0 ACK", "b0 BYE"]
    );

    let said = desk.say(CARRIER, &prack(&invite, &early, 2));

    assert_eq!(
        ladder(&said),
        ["carrier 200 PRACK", "b0 ACK", "carrier 200 INVITE"]
    );
    assert_eq!(find(&said, "b0 ACK").tag_in_to(), Some("bob"));
    assert_eq!(ladder(&desk.say_from(buyer(0), &ok)), ["b0 ACK"]);
    assert_eq!(desk.gauges().calls_talking, 1);
}

#[test]
fn trap_07_a_200_that_waits_is_acknowledged_and_ended_if_the_caller_gives_up() {
    for (has_login, by_bye) in [(false, false), (true, false), (false, true)] {
        let mut desk = if has_login {
            with_login()
        } else {
            Desk::new(1)
        };
        let invite = reliable_invite("Supported");
        let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
        let early = desk.say_from(buyer(0), &answer(&offered, 183, "bob").with_sdp(ANSWER));
        desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));
        // Its ring time is over, but it has answered.
        desk.pass(Duration::from_secs(31));

        let given_up = if by_bye {
            caller_request("BYE", 2, &invite, &early[0].message)
        } else {
            cancel(&invite)
        };
        let said = desk.say(CARRIER, &given_up);

        let first = format!("carrier 200 {}", given_up.method());
        assert_eq!(
            ladder(&said),
            [&*first, "b0 ACK", "b0 BYE", "carrier 487 INVITE"]
        );
        let bye = find(&said, "b0 BYE");
        let said = desk.say_from(buyer(0), &challenge(&bye, BUYER_REALM, &["MD5"]));
        assert_eq!(said.len(), usize::from(has_login));
        assert_eq!(desk.recorded(), "caller_hung_up 487 by caller: cancelled");
        assert_eq!(desk.rest(), Gauges::default());
    }
}

/// RFC 3262 §4: in order, and each once.
#[test]
fn trap_07_the_buyers_responses_are_taken_in_order_and_once() {
    let mut desk = Desk::new(1);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    let mut ladders = Vec::new();
    for (status, rseq) in [
        (180, 9),
        (180, 9),
        (183, 11),
        (181, 10),
        (183, 11),
        (180, 9),
    ] {
        ladders.push(ladder(
            &desk.say_from(buyer(0), &reliably(&offered, status, rseq)),
        ));
    }

    assert_eq!(
        ladders,
        [
            &["b0 PRACK", "carrier 180 INVITE"][..],
            &[],
            &[],
            &["b0 PRACK", "carrier 181 INVITE"],
            &["b0 PRACK", "carrier 183 INVITE"],
            &[],
        ]
    );
    // Another fork has numbers of its own.
    let fork =
        reliably(&offered, 180, 700).set("To", format!("{};tag=eve", bare(offered.value("To"))));
    let said = desk.say_from(buyer(0), &fork);
    let ours = find(&said, "b0 PRACK");
    assert_eq!(
        (ours.value("RAck"), ours.value("CSeq")),
        ("700 1 INVITE", "2 PRACK")
    );
    assert_eq!(ours.tag_in_to(), Some("eve"));
}

/// RFC 3262 §5: the answer came reliably, so the 200 need not repeat it; a caller without 100rel, or one who
/// heard mere ringing, has not got it yet.
#[test]
fn trap_07_the_answer_of_a_reliable_183_goes_with_the_200_that_lacks_it() {
    for buyers in [1, 2] {
        let mut desk = Desk::new(buyers);
        let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
        desk.say_from(buyer(0), &reliably(&offered, 183, 1).with_sdp(ANSWER));

        let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob"));

        let ok = find(&said, "carrier 200 INVITE");
        assert_eq!(ok.body, ANSWER);
        assert_eq!(ok.value("Content-Type"), "application/sdp");
        assert_eq!(ok.first("RSeq").or(ok.first("Require")), None);
    }
}

#[test]
fn trap_07_nobody_is_offered_what_could_not_be_kept() {
    let mut buyers = specs(1);
    buyers[0].offers_reliable = false;
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    });
    let offered = find(
        &desk.say(CARRIER, &reliable_invite("Supported")),
        "b0 INVITE",
    );
    assert_eq!(offered.first("Supported"), None);

    // Without an offer, a reliable response would have to bring one, and PRACK the answer.
    for (header, expected) in [("Supported", &["carrier 183 INVITE"][..]), ("Require", &[])] {
        let mut desk = Desk::new(1);
        let mut invite = invite().without("Content-Type").with(header, "100rel");
        invite.body.clear();
        let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
        let said = desk.say_from(buyer(0), &answer(&offered, 183, "bob"));
        assert_eq!(ladder(&said), expected);
        assert!(said.iter().all(|one| one.message.first("RSeq").is_none()));
    }
}

/// What concerns one leg alone is answered there; the rest has nobody to go to before the call is answered.
#[test]
fn trap_07_what_one_side_asks_before_the_answer() {
    let mut desk = Desk::new(1);
    let invite = reliable_invite("Supported");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let early = desk.say_from(buyer(0), &reliably(&offered, 183, 4).with_sdp(ANSWER));
    let early = find(&early, "carrier 183 INVITE");

    let update = caller_request("UPDATE", 3, &invite, &early);
    let said = desk.say(CARRIER, &update);
    assert_eq!(ladder(&said), ["carrier 200 UPDATE"]);
    assert!(said[0].message.contact().is_some());
    let said = desk.say(CARRIER, &caller_request("INFO", 4, &invite, &early));
    assert_eq!(ladder(&said), ["carrier 500 INFO"]);
    assert!(said[0].message.first("Retry-After").is_some());
    // The buyer's early dialog is known, too, and its row of CSeqs goes on when it has answered.
    let update = buyer_request("UPDATE", 7, &offered, "bob");
    assert_eq!(ladder(&desk.say_from(buyer(0), &update)), ["b0 200 UPDATE"]);
    let update = buyer_request("UPDATE", 6, &offered, "bob");
    assert_eq!(ladder(&desk.say_from(buyer(0), &update)), ["b0 500 UPDATE"]);
    let stray = buyer_request("UPDATE", 8, &offered, "eve");
    assert_eq!(ladder(&desk.say_from(buyer(0), &stray)), ["b0 481 UPDATE"]);
}

#[test]
fn trap_07_a_challenge_to_our_prack_is_met_once() {
    let mut desk = with_login();
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    let said = desk.say_from(buyer(0), &reliably(&offered, 180, 4));
    let ours = find(&said, "b0 PRACK");

    let said = desk.say_from(buyer(0), &challenge(&ours, BUYER_REALM, &["MD5"]));

    assert_eq!(ladder(&said), ["b0 PRACK"]);
    let again = &said[0].message;
    assert_eq!(
        (again.value("CSeq"), again.value("RAck")),
        ("3 PRACK", "4 1 INVITE")
    );
    let given = again.value("Authorization");
    assert!(digest::is_right(given, PASSWORD, "PRACK"), "{given}");
    let said = desk.say_from(buyer(0), &challenge(again, BUYER_REALM, &["MD5"]));
    assert_eq!(ladder(&said), NOTHING);
}

#[test]
fn trap_07_a_reinvite_that_requires_100rel_hears_of_no_ringing() {
    for (header, expected) in [("Supported", &["carrier 180 INVITE"][..]), ("Require", &[])] {
        let mut talk = Talk::new();
        let reinvite = talk
            .caller("INVITE", 2)
            .with(header, "100rel")
            .with_sdp(OFFER);
        let asked = find(&talk.caller_says(&reinvite), "b0 INVITE");
        assert_eq!(asked.first("Require"), None);

        let said = talk.buyer_says(&answer(&asked, 180, "bob"));

        assert_eq!(ladder(&said), expected);
    }
}

/// The numbers of one INVITE mean nothing for its repetition with credentials.
#[test]
fn trap_07_a_challenge_after_ringing_begins_the_numbers_anew() {
    let mut desk = with_login();
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    desk.say_from(buyer(0), &reliably(&offered, 180, 4));
    let said = desk.say_from(buyer(0), &challenge(&offered, BUYER_REALM, &["MD5"]));
    let again = find(&said, "b0 INVITE");

    let said = desk.say_from(buyer(0), &reliably(&again, 180, 1));

    assert_eq!(find(&said, "b0 PRACK").value("RAck"), "1 2 INVITE");
}

/// RFC 3262 §4: PRACKs take their CSeqs from the dialog's row, and what follows in it must not go back.
#[test]
fn trap_07_the_bye_of_a_200_that_crossed_the_cancel_comes_after_our_pracks() {
    for has_login in [false, true] {
        let mut desk = if has_login {
            with_login()
        } else {
            Desk::new(1)
        };
        let invite = invite();
        let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
        for rseq in 1..4 {
            let said = desk.say_from(buyer(0), &reliably(&offered, 180, rseq));
            let cseq = format!("{} PRACK", rseq + 1);
            assert_eq!(find(&said, "b0 PRACK").value("CSeq"), cseq);
        }
        desk.say(CARRIER, &cancel(&invite));

        let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));

        assert_eq!(find(&said, "b0 ACK").value("CSeq"), "1 ACK");
        assert_eq!(find(&said, "b0 BYE").value("CSeq"), "5 BYE");
        let said = desk.say_from(buyer(0), &answer(&offered, 200, "eve").with_sdp(ANSWER));
        assert_eq!(find(&said, "b0 BYE").value("CSeq"), "5 BYE");
    }
}

/// The caller that gives up is not refused because its PRACK was quicker.
#[test]
fn trap_07_a_bye_that_was_overtaken_by_a_prack_ends_the_call() {
    let mut desk = Desk::new(1);
    let invite = reliable_invite("Supported");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let early = desk.say_from(buyer(0), &answer(&offered, 183, "bob").with_sdp(ANSWER));
    let early = find(&early, "carrier 183 INVITE");
    desk.say(CARRIER, &prack(&invite, &early, 3));

    let said = desk.say(CARRIER, &caller_request("BYE", 2, &invite, &early));

    assert_eq!(
        ladder(&said),
        ["carrier 200 BYE", "b0 CANCEL", "carrier 487 INVITE"]
    );
}

/// A PRACK says by itself what it acknowledges, so it may come late.
#[test]
fn trap_07_a_prack_that_was_overtaken_counts() {
    let mut desk = Desk::new(1);
    let invite = reliable_invite("Supported");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let early = desk.say_from(buyer(0), &answer(&offered, 183, "bob").with_sdp(ANSWER));
    let early = find(&early, "carrier 183 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));
    desk.say(CARRIER, &caller_request("UPDATE", 3, &invite, &early));

    let said = desk.say(CARRIER, &prack(&invite, &early, 2));

    assert_eq!(
        ladder(&said),
        ["carrier 200 PRACK", "b0 ACK", "carrier 200 INVITE"]
    );
    // The row of CSeqs goes on from the UPDATE.
    let ok = find(&said, "carrier 200 INVITE");
    desk.say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    let said = desk.say(CARRIER, &caller_request("INFO", 3, &invite, &ok));
    assert_eq!(ladder(&said), ["carrier 500 INFO"]);
}

/// RFC 3311 §5.2: UPDATE moves the target, before the answer as after it.
#[test]
fn trap_07_a_side_that_moves_before_the_answer_is_followed() {
    let mut desk = Desk::new(1);
    let invite = reliable_invite("Supported");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let early = desk.say_from(buyer(0), &reliably(&offered, 183, 1).with_sdp(ANSWER));
    let early = find(&early, "carrier 183 INVITE");
    let moved =
        buyer_request("UPDATE", 1, &offered, "bob").set("Contact", "<sip:bob@198.51.100.11:5060>");
    assert_eq!(ladder(&desk.say_from(buyer(0), &moved)), ["b0 200 UPDATE"]);
    let said = desk.say_from(buyer(0), &reliably(&offered, 180, 2));
    assert_eq!(ladder(&said)[0], "b1 PRACK");
    desk.say(CARRIER, &prack(&invite, &early, 2));
    let moved =
        caller_request("UPDATE", 3, &invite, &early).set("Contact", "<sip:ann@192.0.2.10:5070>");
    desk.say(CARRIER, &moved);

    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob"));
    let ok = find(&said, "carrier 200 INVITE");
    desk.say(CARRIER, &caller_request("ACK", 1, &invite, &ok));

    let bye = buyer_request("BYE", 2, &offered, "bob");
    let said = desk.say_from(buyer(0), &bye);
    assert_eq!(ladder(&said), ["b0 200 BYE", "192.0.2.10:5070 BYE"]);
}
