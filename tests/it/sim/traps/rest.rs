//! Loops, correlation, leaks (traps 11, 12 and 17).

use super::*;

// --- 11: loops

#[test]
fn trap_11_our_own_token_that_comes_back_is_a_loop() {
    let mut desk = Desk::new(1);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    // A buyer's system sends the call back to us, as another call.
    let back = invite()
        .set("Call-ID", "two@elsewhere.example.com")
        .set("Via", format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bKother"))
        .with("X-Strowger-Hop", offered.value("X-Strowger-Hop"));
    let said = desk.say(CARRIER, &back);

    assert_eq!(ladder(&said), ["carrier 482 INVITE"]);
    assert_eq!(desk.records.len(), 0);
}

#[test]
fn trap_11_max_forwards_is_counted_down_over_the_seam() {
    let mut desk = Desk::new(1);

    let offered = find(
        &desk.say(CARRIER, &invite().set("Max-Forwards", "7")),
        "b0 INVITE",
    );

    assert_eq!(offered.value("Max-Forwards"), "6");
}

// --- 12: correlation

#[test]
fn trap_12_the_record_names_both_call_ids_and_the_uuid_that_the_buyer_got() {
    let mut talk = Talk::new();
    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);

    let record = &talk.desk.records[0];

    assert_eq!(&*record.call_id, talk.invite.call_id().as_bytes());
    assert_eq!(
        &*record.attempts[0].call_id,
        talk.offered.call_id().as_bytes()
    );
    assert_ne!(talk.invite.call_id(), talk.offered.call_id());
    assert_eq!(
        record.uuid.to_string(),
        talk.offered.value("X-PH-RetreaverUUID")
    );
}

// --- 17: leaks

#[test]
fn trap_17_a_thousand_calls_of_every_kind_leave_nothing_behind() {
    let mut desk = Desk::new(1);
    for count in 0..1000 {
        let fresh = invite()
            .set("Call-ID", format!("{count}@carrier.example.net"))
            .set(
                "Via",
                format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{count}"),
            );
        let said = desk.say(CARRIER, &fresh);
        let offered = find(&said, "b0 INVITE");
        match count % 4 {
            0 => drop(desk.say(CARRIER, &cancel(&fresh))),
            1 => drop(desk.say_from(buyer(0), &answer(&offered, 503, "bob"))),
            2 => drop(desk.say_from(buyer(0), &answer(&offered, 200, "bob"))),
            _ => {}
        }
        desk.pass_millis(20);
    }

    assert_eq!(desk.rest(), Gauges::default());
    assert_eq!(desk.records.len(), 1000);
}

#[test]
fn trap_17_many_reinvites_do_not_pile_up_timers() {
    let mut talk = Talk::new();
    let mut most = 0;
    for round in 0..200 {
        let reinvite = talk.caller("INVITE", 2 + round).with_sdp(OFFER);
        let asked = find(&talk.caller_says(&reinvite), "b0 INVITE");
        talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(ANSWER));
        let ack = talk.caller("ACK", 2 + round);
        talk.caller_says(&ack);
        talk.desk.pass_millis(70_000 / 4);
        most = most.max(talk.desk.gauges().timers);
    }

    assert!(most < 20, "{most} timers for one call");
}
