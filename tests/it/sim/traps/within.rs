//! Requests within a call that meet one another (traps 4 and 6).

use super::*;

// --- 4: re-INVITEs

#[test]
fn trap_04_a_reinvite_passes_with_its_own_cseq_and_ack_on_each_leg() {
    let mut talk = Talk::new();
    let reinvite = talk.caller("INVITE", 2).with_sdp(OFFER);

    let said = talk.caller_says(&reinvite);
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b0 INVITE"]);
    let asked = find(&said, "b0 INVITE");
    assert_eq!(
        (asked.value("CSeq"), asked.body.as_str()),
        ("2 INVITE", OFFER)
    );
    assert_eq!(asked.tag_in_to(), Some("bob"));
    let said = talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(ANSWER));

    assert_eq!(ladder(&said), ["carrier 200 INVITE", "b0 ACK"]);
    let ok = find(&said, "carrier 200 INVITE");
    assert_eq!((ok.value("CSeq"), ok.body.as_str()), ("2 INVITE", ANSWER));
    assert_eq!(ok.tag_in_to(), talk.ok.tag_in_to());
    let again = talk.desk.pass_millis(500);
    assert_eq!(ladder(&again), ["carrier 200 INVITE"]);
    let ack = talk.caller("ACK", 2);
    assert_eq!(ladder(&talk.caller_says(&ack)), NOTHING);
    assert_eq!(ladder(&talk.desk.pass_millis(40_000)), NOTHING);
}

#[test]
fn trap_04_a_reinvite_from_the_buyer_1_ms_after_the_ack_is_relayed() {
    let mut talk = Talk::new();

    talk.desk.pass_millis(1);
    let reinvite = talk.buyer("INVITE", 1).with_sdp(OFFER);
    let said = talk.buyer_says(&reinvite);

    assert_eq!(ladder(&said), ["b0 100 INVITE", "carrier INVITE"]);
    let asked = find(&said, "carrier INVITE");
    assert_eq!(asked.tag_in_from(), talk.ok.tag_in_to().unwrap());
    assert_eq!(asked.value("CSeq"), "1 INVITE");
}

#[test]
fn trap_04_glare_is_491_and_the_reinvite_that_comes_again_is_relayed() {
    let mut talk = Talk::new();
    let from_caller = talk.caller("INVITE", 2).with_sdp(OFFER);
    let asked = find(&talk.caller_says(&from_caller), "b0 INVITE");

    let from_buyer = talk.buyer("INVITE", 1).with_sdp(OFFER);
    let said = talk.buyer_says(&from_buyer);
    assert_eq!(ladder(&said), ["b0 100 INVITE", "b0 491 INVITE"]);
    // The buyer saw glare, too.
    let said = talk.buyer_says(&answer(&asked, 491, "bob"));
    assert_eq!(ladder(&said), ["b0 ACK", "carrier 491 INVITE"]);
    let refused = find(&said, "carrier 491 INVITE");
    talk.caller_says(&ack_of_failure(&from_caller, &refused));

    talk.desk.pass_millis(1500);
    let again = talk.buyer("INVITE", 2).with_sdp(OFFER);
    let said = talk.buyer_says(&again);
    assert_eq!(ladder(&said), ["b0 100 INVITE", "carrier INVITE"]);
}

#[test]
fn trap_04_a_reinvite_before_the_ack_is_not_relayed() {
    let mut talk = Talk::unacknowledged(Desk::new(1));

    let early = talk.buyer("INVITE", 1).with_sdp(OFFER);
    let said = talk.buyer_says(&early);

    assert_eq!(ladder(&said), ["b0 100 INVITE", "b0 491 INVITE"]);
}

#[test]
fn trap_04_a_late_ack_of_the_first_200_does_not_stop_the_reinvites() {
    let mut talk = Talk::new();
    let reinvite = talk.caller("INVITE", 2).with_sdp(OFFER);
    let asked = find(&talk.caller_says(&reinvite), "b0 INVITE");
    talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(ANSWER));

    let stale = talk.caller("ACK", 1);
    talk.caller_says(&stale);

    assert_eq!(ladder(&talk.desk.pass_millis(500)), ["carrier 200 INVITE"]);
}

#[test]
fn trap_04_a_bye_that_crosses_a_reinvite_ends_both() {
    let mut talk = Talk::new();
    let reinvite = talk.caller("INVITE", 2).with_sdp(OFFER);
    let asked = find(&talk.caller_says(&reinvite), "b0 INVITE");
    talk.buyer_says(&asked.reply(100, ""));

    let bye = talk.buyer("BYE", 1);
    let said = talk.buyer_says(&bye);

    assert_eq!(
        ladder(&said),
        [
            "b0 200 BYE",
            "carrier 487 INVITE",
            "b0 CANCEL",
            "carrier BYE"
        ]
    );
    // The buyer answered the re-INVITE before it hung up: acknowledged, and no BYE to one that said BYE.
    let late = answer(&asked, 200, "bob").with_sdp(ANSWER);
    assert_eq!(ladder(&talk.buyer_says(&late)), ["b0 ACK"]);
    assert_eq!(talk.desk.recorded(), "completed 200 by buyer: answered");
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn trap_04_our_own_bye_is_not_sent_twice_when_a_200_to_a_reinvite_crosses_it() {
    let mut talk = Talk::new();
    let reinvite = talk.caller("INVITE", 2).with_sdp(OFFER);
    let asked = find(&talk.caller_says(&reinvite), "b0 INVITE");
    talk.buyer_says(&asked.reply(100, ""));

    let bye = talk.caller("BYE", 3);
    let said = talk.caller_says(&bye);
    assert_eq!(
        ladder(&said),
        [
            "carrier 200 BYE",
            "carrier 487 INVITE",
            "b0 CANCEL",
            "b0 BYE"
        ]
    );
    let late = answer(&asked, 200, "bob").with_sdp(ANSWER);

    assert_eq!(ladder(&talk.buyer_says(&late)), ["b0 ACK"]);
}

#[test]
fn trap_04_a_481_of_a_caller_that_has_not_got_its_200_yet_does_not_end_the_call() {
    let mut talk = Talk::unacknowledged(Desk::new(1));
    let info = talk.buyer("INFO", 1);
    let asked = find(&talk.buyer_says(&info), "carrier INFO");

    let said = talk.caller_says(&asked.reply(481, "ann"));

    assert_eq!(ladder(&said), ["b0 500 INFO"]);
    assert_eq!(said[0].message.value("Retry-After"), "2");
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    assert_eq!(talk.desk.gauges().calls_talking, 1);
}

#[test]
fn trap_04_a_refused_request_gets_the_same_answer_when_it_comes_again() {
    let mut talk = Talk::new();
    for (method, answer) in [("REFER", "603"), ("SUBSCRIBE", "405"), ("PRACK", "481")] {
        let request = talk.caller(method, 2);
        for _ in 0..2 {
            let said = ladder(&talk.caller_says(&request));
            assert_eq!(said, [format!("carrier {answer} {method}")]);
        }
    }
}

#[test]
fn trap_04_both_hang_up_at_once() {
    let mut talk = Talk::new();
    let (from_caller, from_buyer) = (talk.caller("BYE", 2), talk.buyer("BYE", 1));

    let said = talk.caller_says(&from_caller);
    assert_eq!(ladder(&said), ["carrier 200 BYE", "b0 BYE"]);
    let ours = find(&said, "b0 BYE");
    assert_eq!(ladder(&talk.buyer_says(&from_buyer)), ["b0 200 BYE"]);
    assert_eq!(ladder(&talk.buyer_says(&ours.reply(481, "bob"))), NOTHING);

    assert_eq!(talk.desk.recorded(), "completed 200 by caller: answered");
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn trap_04_our_bye_is_not_repeated_for_a_buyer_that_said_bye_itself() {
    let mut talk = Talk::unacknowledged(with_login());
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    let bye = talk.caller("BYE", 2);
    let ours = find(&talk.caller_says(&bye), "b0 BYE");
    let theirs = talk.buyer("BYE", 1);
    talk.buyer_says(&theirs);

    let said = talk.buyer_says(&challenge(&ours, BUYER_REALM, &["MD5"]));

    assert_eq!(ladder(&said), NOTHING);
    assert_eq!(talk.desk.rest(), Gauges::default());
}

/// RFC 3261 §14.1: each side that sees glare comes again after a while of its own, and then it passes.
#[test]
fn trap_04_both_reinvites_at_once_get_491_and_each_passes_when_it_comes_again() {
    for caller_first in [true, false] {
        let mut talk = Talk::new();
        let (from_caller, from_buyer) = (talk.caller("INVITE", 2), talk.buyer("INVITE", 1));
        let asked = if caller_first {
            let asked = find(&talk.caller_says(&from_caller.with_sdp(OFFER)), "b0 INVITE");
            let said = talk.buyer_says(&from_buyer.with_sdp(OFFER));
            assert_eq!(ladder(&said), ["b0 100 INVITE", "b0 491 INVITE"]);
            asked
        } else {
            let said = talk.buyer_says(&from_buyer.with_sdp(OFFER));
            let asked = find(&said, "carrier INVITE");
            let said = talk.caller_says(&from_caller.with_sdp(OFFER));
            assert_eq!(ladder(&said), ["carrier 100 INVITE", "carrier 491 INVITE"]);
            asked
        };
        let refused = asked.reply(491, "x");
        let (said, told) = if caller_first {
            (talk.buyer_says(&refused), "carrier 491 INVITE")
        } else {
            (talk.caller_says(&refused), "b0 491 INVITE")
        };
        assert_eq!(find(&said, told).first("Retry-After"), None);

        let (again, other) = (talk.buyer("INVITE", 2), talk.caller("INVITE", 3));
        let said = talk.buyer_says(&again.with_sdp(OFFER));
        let asked = find(&said, "carrier INVITE");
        let said = talk.caller_says(&asked.reply(200, "x").with_sdp(ANSWER));
        assert_eq!(ladder(&said), ["b0 200 INVITE", "carrier ACK"]);
        let ack = talk.buyer("ACK", 2);
        talk.buyer_says(&ack);
        let said = talk.caller_says(&other.with_sdp(OFFER));
        assert_eq!(ladder(&said), ["carrier 100 INVITE", "b0 INVITE"]);
    }
}

/// RFC 3261 §14.2: the second of one side, while the first is open, is 500 with Retry-After.
#[test]
fn trap_04_a_second_reinvite_of_the_same_side_is_500_with_retry_after() {
    let mut talk = Talk::new();
    let (first, second) = (talk.caller("INVITE", 2), talk.caller("INVITE", 3));
    talk.caller_says(&first.with_sdp(OFFER));

    let said = talk.caller_says(&second.with_sdp(OFFER));

    assert_eq!(ladder(&said), ["carrier 100 INVITE", "carrier 500 INVITE"]);
    assert_eq!(said[1].message.value("Retry-After"), "2");
}

/// The ACK of the re-INVITE got lost; the next one is put off until it has come.
#[test]
fn trap_04_a_reinvite_before_the_ack_of_the_last_one_waits_for_it() {
    let mut talk = Talk::new();
    let (first, ack) = (talk.caller("INVITE", 2), talk.caller("ACK", 2));
    let asked = find(&talk.caller_says(&first.with_sdp(OFFER)), "b0 INVITE");
    talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(ANSWER));

    let second = talk.caller("INVITE", 3).with_sdp(OFFER);
    let said = talk.caller_says(&second);
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "carrier 491 INVITE"]);
    talk.caller_says(&ack_of_failure(&second, &said[1].message));
    talk.caller_says(&ack);

    let third = talk.caller("INVITE", 4).with_sdp(OFFER);
    let said = talk.caller_says(&third);
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b0 INVITE"]);
}

// --- 6: offers and answers

#[test]
fn trap_06_the_late_offer_of_a_reinvite_is_answered_by_the_ack() {
    let mut talk = Talk::new();
    let reinvite = talk.caller("INVITE", 2);
    let asked = find(&talk.caller_says(&reinvite), "b0 INVITE");
    assert_eq!(asked.body, "");

    let ok = answer(&asked, 200, "bob").with_sdp(OFFER);
    let said = talk.buyer_says(&ok);
    assert_eq!(ladder(&said), ["carrier 200 INVITE"]);
    assert_eq!(said[0].message.body, OFFER);
    // Meanwhile no other offer may pass (RFC 3311 §5.2).
    let other = talk.buyer("UPDATE", 1).with_sdp(OFFER);
    assert_eq!(ladder(&talk.buyer_says(&other)), ["b0 491 UPDATE"]);
    let ack = talk.caller("ACK", 2).with_sdp(ANSWER);
    let said = talk.caller_says(&ack);

    assert_eq!(ladder(&said), ["b0 ACK"]);
    assert_eq!(said[0].message.value("CSeq"), "2 ACK");
    assert_eq!(said[0].message.body, ANSWER);
    assert_eq!(ladder(&talk.buyer_says(&ok)), ["b0 ACK"]);
}

/// Hold and its end are offers like others; the edge has no opinion of them, and no answer of its own.
#[test]
fn trap_06_hold_and_its_end_pass_byte_by_byte() {
    let mut talk = Talk::new();
    for (cseq, version, direction) in [(2, 2, "sendonly"), (3, 3, "sendrecv"), (4, 3, "sendrecv")] {
        let offer = format!(
            "{}a={direction}\r\n",
            OFFER.replace(" 1 1 ", &format!(" 1 {version} "))
        );
        let answered = format!(
            "{}a=x-{direction}\r\n",
            ANSWER.replace(" 1 1 ", &format!(" 1 {version} "))
        );
        let reinvite = talk.caller("INVITE", cseq).with_sdp(&offer);
        let asked = find(&talk.caller_says(&reinvite), "b0 INVITE");
        assert_eq!(asked.body, offer);

        let said = talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(&answered));

        assert_eq!(find(&said, "carrier 200 INVITE").body, answered);
        let ack = talk.caller("ACK", cseq);
        talk.caller_says(&ack);
    }
}

/// A refused offer leaves all as it was, and the next one is not mistaken for it.
#[test]
fn trap_06_a_refused_offer_is_no_answer_and_leaves_the_call_as_it_was() {
    let mut talk = Talk::new();
    for cseq in [2, 3] {
        let reinvite = talk.caller("INVITE", cseq).with_sdp(OFFER);
        let asked = find(&talk.caller_says(&reinvite), "b0 INVITE");

        let said = talk.buyer_says(&asked.reply(488, "bob").with_sdp(ANSWER));

        assert_eq!(ladder(&said), ["b0 ACK", "carrier 488 INVITE"]);
        let refused = find(&said, "carrier 488 INVITE");
        assert_eq!(refused.body, "");
        talk.caller_says(&ack_of_failure(&reinvite, &refused));
    }
    assert_eq!(talk.desk.gauges().calls_talking, 1);
}

#[test]
fn trap_06_update_passes_with_an_offer_and_without() {
    let mut talk = Talk::new();
    let with = talk.caller("UPDATE", 2).with_sdp(OFFER);
    let asked = find(&talk.caller_says(&with), "b0 UPDATE");
    assert_eq!(asked.body, OFFER);
    assert!(asked.contact().is_some());
    let said = talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(ANSWER));
    assert_eq!(ladder(&said), ["carrier 200 UPDATE"]);
    assert_eq!(said[0].message.body, ANSWER);

    let without = talk.buyer("UPDATE", 1);
    let asked = find(&talk.buyer_says(&without), "carrier UPDATE");
    assert_eq!(asked.body, "");
    let said = talk.caller_says(&asked.reply(200, "x"));
    assert_eq!(ladder(&said), ["b0 200 UPDATE"]);
}

/// RFC 3311 §5.2: two offers cannot cross, whatever carries them; an UPDATE without one is in nobody's way.
#[test]
fn trap_06_an_offer_in_update_meets_other_offers_with_491_or_500() {
    let table = [
        ("INVITE", "UPDATE", "b0 491 UPDATE", "carrier 500 UPDATE"),
        ("UPDATE", "UPDATE", "b0 491 UPDATE", "carrier 500 UPDATE"),
        ("UPDATE", "INVITE", "b0 491 INVITE", "carrier 500 INVITE"),
    ];
    for (first, second, from_buyer, from_caller) in table {
        let mut talk = Talk::new();
        let open = talk.caller(first, 2).with_sdp(OFFER);
        talk.caller_says(&open);

        let crossing = talk.buyer(second, 1).with_sdp(OFFER);
        let said = ladder(&talk.buyer_says(&crossing));
        assert_eq!(said.last().map(String::as_str), Some(from_buyer));
        let again = talk.caller(second, 3).with_sdp(OFFER);
        let said = ladder(&talk.caller_says(&again));
        assert_eq!(said.last().map(String::as_str), Some(from_caller));
        let refresh = talk.buyer("UPDATE", 2);
        let said = ladder(&talk.buyer_says(&refresh));
        assert_eq!(said, ["carrier UPDATE"]);
    }
}

/// A peer whose Allow knows no UPDATE gets the offer by re-INVITE, and the other side its answer all the same.
#[test]
fn trap_06_an_offer_in_update_goes_by_reinvite_to_whom_takes_no_update() {
    for status in [200, 488] {
        let mut desk = Desk::new(1);
        let invite = invite();
        let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
        let ok = answer(&offered, 200, "bob")
            .with("Allow", "INVITE, ACK, BYE")
            .with_sdp(ANSWER);
        let said = desk.say_from(buyer(0), &ok);
        let ok = find(&said, "carrier 200 INVITE");
        desk.say(CARRIER, &caller_request("ACK", 1, &invite, &ok));

        let update = caller_request("UPDATE", 2, &invite, &ok).with_sdp(OFFER);
        let said = desk.say(CARRIER, &update);
        assert_eq!(ladder(&said), ["b0 INVITE"]);
        let asked = &said[0].message;
        assert_eq!(
            (asked.body.as_str(), asked.value("CSeq")),
            (OFFER, "2 INVITE")
        );
        // A provisional response to an INVITE says nothing to an UPDATE.
        let said = desk.say_from(buyer(0), &answer(asked, 180, "bob"));
        assert_eq!(ladder(&said), NOTHING);
        let crossing = buyer_request("INVITE", 1, &offered, "bob").with_sdp(OFFER);
        let said = desk.say_from(buyer(0), &crossing);
        assert_eq!(ladder(&said), ["b0 100 INVITE", "b0 491 INVITE"]);

        let answered = answer(asked, status, "bob").with_sdp(ANSWER);
        let said = desk.say_from(buyer(0), &answered);

        let told = format!("carrier {status} UPDATE");
        let mut ladder = ladder(&said);
        ladder.sort();
        assert_eq!(ladder, ["b0 ACK", &*told]);
        let told = find(&said, &told);
        assert_eq!(told.body, if status == 200 { ANSWER } else { "" });
        // Without offer, it concerns nobody else.
        let bare = caller_request("UPDATE", 3, &invite, &ok);
        let said = desk.say(CARRIER, &bare);
        assert_eq!(super::ladder(&said), ["carrier 200 UPDATE"]);
        let bye = caller_request("BYE", 4, &invite, &ok);
        let ours = find(&desk.say(CARRIER, &bye), "b0 BYE");
        desk.say_from(buyer(0), &ours.reply(200, "bob"));
        assert_eq!(desk.rest(), Gauges::default());
    }
}

/// The call ends while the re-INVITE that stands for an UPDATE is open.
#[test]
fn trap_06_a_bye_that_crosses_such_a_reinvite_leaves_nothing_behind() {
    let mut desk = Desk::new(1);
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let ok = answer(&offered, 200, "bob")
        .with("Allow", "INVITE")
        .with_sdp(ANSWER);
    let ok = find(&desk.say_from(buyer(0), &ok), "carrier 200 INVITE");
    desk.say(CARRIER, &caller_request("ACK", 1, &invite, &ok));
    let update = caller_request("UPDATE", 2, &invite, &ok).with_sdp(OFFER);
    let asked = find(&desk.say(CARRIER, &update), "b0 INVITE");
    desk.say_from(buyer(0), &asked.reply(100, ""));

    let said = desk.say(CARRIER, &caller_request("BYE", 3, &invite, &ok));

    assert_eq!(
        ladder(&said),
        [
            "carrier 200 BYE",
            "carrier 481 UPDATE",
            "b0 CANCEL",
            "b0 BYE"
        ]
    );
    let late = answer(&asked, 200, "bob").with_sdp(ANSWER);
    assert_eq!(ladder(&desk.say_from(buyer(0), &late)), ["b0 ACK"]);
    desk.say_from(buyer(0), &find(&said, "b0 BYE").reply(200, "bob"));
    assert_eq!(desk.rest(), Gauges::default());
}
