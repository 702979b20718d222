//! CANCEL: crossing a 200, and with a transaction of its own (traps 1 and 3).

use super::*;

// --- 1: CANCEL crossing 200

#[test]
fn trap_01_cancel_while_ringing_is_answered_and_carried_on_and_each_487_acknowledged() {
    let mut desk = Desk::new(1);
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 180, "bob"));

    let said = desk.say(CARRIER, &cancel(&invite));

    assert_eq!(
        ladder(&said),
        ["carrier 200 CANCEL", "b0 CANCEL", "carrier 487 INVITE"]
    );
    let taken_back = find(&said, "b0 CANCEL");
    assert_eq!(taken_back.branch(), offered.branch());
    assert_eq!(taken_back.value("CSeq"), "1 CANCEL");
    let refused = find(&said, "carrier 487 INVITE");
    assert_eq!(
        ladder(&desk.say(CARRIER, &ack_of_failure(&invite, &refused))),
        NOTHING
    );

    let ok = taken_back.reply(200, "bob");
    assert_eq!(ladder(&desk.say_from(buyer(0), &ok)), NOTHING);
    let gone = answer(&offered, 487, "bob");
    let said = desk.say_from(buyer(0), &gone);
    assert_eq!(ladder(&said), ["b0 ACK"]);
    assert_eq!(find(&said, "b0 ACK").branch(), offered.branch());
    assert_eq!(ladder(&desk.say_from(buyer(0), &gone)), ["b0 ACK"]);
    assert_eq!(desk.recorded(), "caller_hung_up 487 by caller: cancelled");
    assert_eq!(desk.rest(), Gauges::default());
}

/// RFC 3261 §9.2: the 200 to a CANCEL has the To-tag of the INVITE's responses.
#[test]
fn trap_01_the_answer_to_cancel_has_the_tag_of_the_answers_to_the_invite() {
    let mut desk = Desk::new(1);
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    desk.say_from(buyer(0), &offered.reply(100, ""));
    let said = desk.say(CARRIER, &cancel(&invite));
    let taken_back = find(&said, "carrier 200 CANCEL");
    assert!(taken_back.tag_in_to().is_some());
    let refused = find(&said, "carrier 487 INVITE");
    assert_eq!(taken_back.tag_in_to(), refused.tag_in_to());

    // It crosses a failure: the call is gone.
    let mut desk = Desk::new(1);
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
    let refused = find(&said, "carrier 486 INVITE");
    let said = desk.say(CARRIER, &cancel(&invite));
    let too_late = find(&said, "carrier 200 CANCEL");
    assert_eq!(too_late.tag_in_to(), refused.tag_in_to());

    let said = Desk::new(1).say(CARRIER, &cancel(&invite));
    assert!(find(&said, "carrier 481 CANCEL").tag_in_to().is_some());
}

#[test]
fn trap_01_cancel_waits_for_a_provisional_response() {
    let mut desk = Desk::new(1);
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");

    let said = desk.say(CARRIER, &cancel(&invite));
    assert_eq!(ladder(&said), ["carrier 200 CANCEL", "carrier 487 INVITE"]);
    let said = desk.say_from(buyer(0), &offered.reply(100, ""));

    assert_eq!(ladder(&said), ["b0 CANCEL"]);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn trap_01_a_200_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut desk = Desk::new(1);
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 180, "bob"));
    desk.say(CARRIER, &cancel(&invite));

    let late = answer(&offered, 200, "bob").with_sdp(ANSWER);
    let said = desk.say_from(buyer(0), &late);

    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE"]);
    let bye = find(&said, "b0 BYE");
    assert_eq!(bye.value("CSeq"), "2 BYE");
    assert_eq!(bye.tag_in_to(), Some("bob"));
    // The 200 again: the ACK was lost. The BYE has its own transaction.
    assert_eq!(ladder(&desk.say_from(buyer(0), &late)), ["b0 ACK"]);
    desk.say_from(buyer(0), &bye.reply(200, "bob"));
    assert_eq!(desk.recorded(), "caller_hung_up 487 by caller: cancelled");
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn trap_01_a_200_within_64_t1_of_the_cancel_is_still_ended() {
    let mut desk = Desk::new(1);
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 180, "bob"));
    desk.say(CARRIER, &cancel(&invite));

    desk.pass(Duration::from_secs(31));
    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));

    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE"]);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn trap_01_cancel_after_the_200_changes_nothing() {
    let mut talk = Talk::unacknowledged(Desk::new(1));

    let cancel = cancel(&talk.invite);
    let said = talk.caller_says(&cancel);

    assert_eq!(said.len(), 1);
    assert_eq!(said[0].message.method(), "CANCEL");
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    assert_eq!(talk.desk.gauges().calls_talking, 1);
    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);
    assert_eq!(talk.desk.recorded(), "completed 200 by caller: answered");
}

#[test]
fn trap_01_a_ring_time_out_cancels_and_the_next_buyer_is_tried_while_the_late_200_is_ended() {
    let mut desk = Desk::new(2);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 180, "bob"));

    let said = desk.pass(Duration::from_secs(30));
    assert_eq!(timed(&said), ["30000 b0 CANCEL", "30000 b1 INVITE"]);
    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));

    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE"]);
    assert_eq!(desk.gauges().calls_ringing, 1);
}

// --- 3: CANCEL has a transaction of its own

#[test]
fn trap_03_a_repeated_cancel_gets_the_same_answer_and_no_second_487() {
    let mut desk = Desk::new(1);
    let invite = invite();
    desk.say(CARRIER, &invite);
    let cancel = cancel(&invite);
    let first = desk.say(CARRIER, &cancel);

    let again = desk.say(CARRIER, &cancel);

    assert_eq!(ladder(&again), ["carrier 200 CANCEL"]);
    assert_eq!(again[0].bytes, first[0].bytes);
}

#[test]
fn trap_03_cancel_and_the_ack_of_a_failure_are_matched_though_nat_changed_sent_by() {
    let mut desk = Desk::new(1);
    let invite = invite();
    desk.say(CARRIER, &invite);
    let moved = |message: Msg| {
        let via = message.value("Via").replace(CARRIER, "192.0.2.10:1024");
        message.set("Via", via)
    };

    let said = desk.say("192.0.2.10:1024", &moved(cancel(&invite)));

    let refused = find(&said, "carrier 487 INVITE");
    assert_eq!(find(&said, "192.0.2.10:1024 200 CANCEL").status(), 200);
    desk.say("192.0.2.10:1024", &moved(ack_of_failure(&invite, &refused)));
    let said = ladder(&desk.pass(Duration::from_secs(40)));
    assert!(said.iter().all(|line| line == "b0 INVITE"), "{said:?}");
}

#[test]
fn trap_03_cancel_of_nothing_is_481() {
    let mut desk = Desk::new(1);

    assert_eq!(
        ladder(&desk.say(CARRIER, &cancel(&invite()))),
        ["carrier 481 CANCEL"]
    );
}
