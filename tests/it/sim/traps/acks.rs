//! 2xx and their ACKs (trap 2).

use super::*;

// --- 2: 2xx and their ACKs

#[test]
fn trap_02_the_2xx_goes_out_again_from_t1_up_to_t2_until_its_ack() {
    let mut talk = Talk::unacknowledged(Desk::new(1));

    let said = talk.desk.pass(Duration::from_millis(11_600));

    let times = [500, 1500, 3500, 7500, 11_500].map(|at| format!("{at} carrier 200 INVITE"));
    assert_eq!(timed(&said), times);
    assert!(said.iter().all(|one| one.message == talk.ok));
    let ack = talk.caller("ACK", 1);
    assert_eq!(ladder(&talk.caller_says(&ack)), NOTHING);
    assert_eq!(ladder(&talk.desk.pass(Duration::from_secs(60))), NOTHING);
}

#[test]
fn trap_02_a_caller_that_never_acknowledges_ends_the_call_after_64_t1() {
    let mut talk = Talk::unacknowledged(Desk::new(1));

    talk.desk.pass(Duration::from_millis(31_999));
    let said = talk.desk.pass(Duration::from_millis(1));

    assert_eq!(timed(&said), ["32000 carrier BYE", "32000 b0 BYE"]);
    assert_eq!(talk.desk.recorded(), "no_ack 200 by caller: answered");
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn trap_02_the_buyer_is_acknowledged_at_once_and_for_each_200_again() {
    let mut desk = Desk::new(1);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    let ok = answer(&offered, 200, "bob").with_sdp(ANSWER);
    let said = desk.say_from(buyer(0), &ok);

    assert_eq!(ladder(&said), ["b0 ACK", "carrier 200 INVITE"]);
    let ack = find(&said, "b0 ACK");
    assert_eq!(ack.value("CSeq"), "1 ACK");
    assert_eq!(ack.tag_in_to(), Some("bob"));
    assert_ne!(ack.branch(), offered.branch());
    assert_eq!(find(&said, "carrier 200 INVITE").body, ANSWER);
    let again = desk.say_from(buyer(0), &ok);
    assert_eq!(ladder(&again), ["b0 ACK"]);
    assert_eq!(again[0].message, ack);
}

#[test]
fn trap_02_the_ack_follows_the_buyers_route_set() {
    let mut desk = Desk::new(1);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    let ok = answer(&offered, 200, "bob")
        .with(
            "Record-Route",
            "<sip:198.51.100.12;lr>, <sip:198.51.100.11;lr>",
        )
        .with_sdp(ANSWER);
    let said = desk.say_from(buyer(0), &ok);

    let ack = find(&said, "b1 ACK");
    let routes: Vec<_> = ack.all("Route").collect();
    assert_eq!(routes, ["<sip:198.51.100.11;lr>", "<sip:198.51.100.12;lr>"]);
    assert_eq!(ack.uri(), format!("sip:bob@{}", buyer(0)));
}

#[test]
fn trap_02_a_folded_record_route_makes_routes_of_one_line() {
    let mut desk = Desk::new(1);
    let invite = invite().with("Record-Route", "\"A\"\r\n\t<sip:192.0.2.10;lr>\r\n ;x=1");
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");

    let ok = answer(&offered, 200, "bob")
        .with(
            "Record-Route",
            "<sip:198.51.100.12;lr>\r\n ;x=1,\r\n <sip:198.51.100.10;lr>",
        )
        .with_sdp(ANSWER);
    let said = desk.say_from(buyer(0), &ok);

    let ack = find(&said, "b0 ACK");
    let routes: Vec<_> = ack.all("Route").collect();
    assert_eq!(
        routes,
        ["<sip:198.51.100.10;lr>", "<sip:198.51.100.12;lr> ;x=1"]
    );
    desk.say(
        CARRIER,
        &caller_request("ACK", 1, &invite, &find(&said, "carrier 200 INVITE")),
    );
    let said = desk.tell(Input::Hangup(Which::All));
    let bye = find(&said, "carrier BYE");
    assert!(bye.all("Route").eq(["\"A\" <sip:192.0.2.10;lr> ;x=1"]));
}

#[test]
fn trap_02_a_late_offer_waits_for_the_callers_ack() {
    let mut desk = Desk::new(1);
    let mut invite = invite().without("Content-Type");
    invite.body.clear();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    assert_eq!(offered.body, "");

    let ok = answer(&offered, 200, "bob").with_sdp(OFFER);
    let said = desk.say_from(buyer(0), &ok);
    assert_eq!(ladder(&said), ["carrier 200 INVITE"]);
    // Nothing to acknowledge it with yet.
    assert_eq!(ladder(&desk.say_from(buyer(0), &ok)), NOTHING);
    let talk = Talk {
        ok: said[0].message.clone(),
        desk,
        invite,
        offered,
    };
    let ack = talk.caller("ACK", 1).with_sdp(ANSWER);
    let Talk { mut desk, .. } = talk;
    let said = desk.say(CARRIER, &ack);

    assert_eq!(ladder(&said), ["b0 ACK"]);
    assert_eq!(said[0].message.body, ANSWER);
    assert_eq!(ladder(&desk.say_from(buyer(0), &ok)), ["b0 ACK"]);
}

#[test]
fn trap_02_the_caller_gets_no_bye_before_its_ack() {
    let mut talk = Talk::unacknowledged(Desk::new(1));

    let bye = talk.buyer("BYE", 1);
    assert_eq!(ladder(&talk.buyer_says(&bye)), ["b0 200 BYE"]);
    let ack = talk.caller("ACK", 1);
    let said = talk.caller_says(&ack);

    assert_eq!(ladder(&said), ["carrier BYE"]);
    assert_eq!(talk.desk.recorded(), "completed 200 by buyer: answered");
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn trap_02_a_bye_that_comes_before_the_ack_leaves_the_200_going_until_then() {
    let mut talk = Talk::unacknowledged(Desk::new(1));

    let bye = talk.caller("BYE", 2);
    assert_eq!(
        ladder(&talk.caller_says(&bye)),
        ["carrier 200 BYE", "b0 BYE"]
    );
    let said = talk.desk.pass_millis(500);
    assert_eq!(ladder(&said), ["b0 BYE", "carrier 200 INVITE"]);
    let ack = talk.caller("ACK", 1);
    assert_eq!(ladder(&talk.caller_says(&ack)), NOTHING);

    let said = ladder(&talk.desk.pass(Duration::from_secs(40)));
    assert!(said.iter().all(|line| line == "b0 BYE"), "{said:?}");
    assert_eq!(talk.desk.recorded(), "completed 200 by caller: answered");
    assert_eq!(talk.desk.rest(), Gauges::default());
}
