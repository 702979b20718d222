//! The traps of a B2BUA, one by one: each a short course of messages, and exactly what the edge says.

use std::time::Duration;

use strowger::call::input::{Input, Which};
use strowger::call::output::Gauges;

use super::desk::{
    ANSWER, Desk, OFFER, Talk, ack_of_failure, answer, buyer, buyer_request, caller_request,
    cancel, find, invite, ladder, specs, timed,
};
use super::digest;
use super::policy::{BUYER_REALM, CARRIER, PASSWORD, PolicySpec};
use super::text::Msg;
use super::world::flow;

const NOTHING: [&str; 0] = [];

// --- 1: CANCEL crossing 200

#[test]
fn cancel_while_ringing_is_answered_and_carried_on_and_each_487_acknowledged() {
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
fn the_answer_to_cancel_has_the_tag_of_the_answers_to_the_invite() {
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
fn cancel_waits_for_a_provisional_response() {
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
fn a_200_that_crosses_the_cancel_is_acknowledged_and_ended() {
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
fn a_200_within_64_t1_of_the_cancel_is_still_ended() {
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
fn cancel_after_the_200_changes_nothing() {
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
fn a_ring_time_out_cancels_and_the_next_buyer_is_tried_while_the_late_200_is_ended() {
    let mut desk = Desk::new(2);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 180, "bob"));

    let said = desk.pass(Duration::from_secs(30));
    assert_eq!(timed(&said), ["30000 b0 CANCEL", "30000 b1 INVITE"]);
    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));

    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE"]);
    assert_eq!(desk.gauges().calls_ringing, 1);
}

// --- 2: 2xx and their ACKs

#[test]
fn the_2xx_goes_out_again_from_t1_up_to_t2_until_its_ack() {
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
fn a_caller_that_never_acknowledges_ends_the_call_after_64_t1() {
    let mut talk = Talk::unacknowledged(Desk::new(1));

    talk.desk.pass(Duration::from_millis(31_999));
    let said = talk.desk.pass(Duration::from_millis(1));

    assert_eq!(timed(&said), ["32000 carrier BYE", "32000 b0 BYE"]);
    assert_eq!(talk.desk.recorded(), "no_ack 200 by caller: answered");
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn the_buyer_is_acknowledged_at_once_and_for_each_200_again() {
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
fn the_ack_follows_the_buyers_route_set() {
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
fn a_folded_record_route_makes_routes_of_one_line() {
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
fn a_late_offer_waits_for_the_callers_ack() {
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
fn the_caller_gets_no_bye_before_its_ack() {
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
fn a_bye_that_comes_before_the_ack_leaves_the_200_going_until_then() {
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

// --- 3: CANCEL has a transaction of its own

#[test]
fn a_repeated_cancel_gets_the_same_answer_and_no_second_487() {
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
fn cancel_and_the_ack_of_a_failure_are_matched_though_nat_changed_sent_by() {
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
fn cancel_of_nothing_is_481() {
    let mut desk = Desk::new(1);

    assert_eq!(
        ladder(&desk.say(CARRIER, &cancel(&invite()))),
        ["carrier 481 CANCEL"]
    );
}

// --- 4: re-INVITEs

#[test]
fn a_reinvite_passes_with_its_own_cseq_and_ack_on_each_leg() {
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
fn a_reinvite_from_the_buyer_1_ms_after_the_ack_is_relayed() {
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
fn glare_is_491_and_the_reinvite_that_comes_again_is_relayed() {
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
fn a_reinvite_before_the_ack_is_not_relayed() {
    let mut talk = Talk::unacknowledged(Desk::new(1));

    let early = talk.buyer("INVITE", 1).with_sdp(OFFER);
    let said = talk.buyer_says(&early);

    assert_eq!(ladder(&said), ["b0 100 INVITE", "b0 491 INVITE"]);
}

#[test]
fn a_late_ack_of_the_first_200_does_not_stop_the_reinvites() {
    let mut talk = Talk::new();
    let reinvite = talk.caller("INVITE", 2).with_sdp(OFFER);
    let asked = find(&talk.caller_says(&reinvite), "b0 INVITE");
    talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(ANSWER));

    let stale = talk.caller("ACK", 1);
    talk.caller_says(&stale);

    assert_eq!(ladder(&talk.desk.pass_millis(500)), ["carrier 200 INVITE"]);
}

#[test]
fn a_bye_that_crosses_a_reinvite_ends_both() {
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
fn our_own_bye_is_not_sent_twice_when_a_200_to_a_reinvite_crosses_it() {
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
fn a_481_of_a_caller_that_has_not_got_its_200_yet_does_not_end_the_call() {
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
fn a_refused_request_gets_the_same_answer_when_it_comes_again() {
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
fn both_hang_up_at_once() {
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
fn our_bye_is_not_repeated_for_a_buyer_that_said_bye_itself() {
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

// --- 5: forks on the buyer's side

#[test]
fn the_first_fork_is_kept_and_the_others_acknowledged_and_ended() {
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
fn a_failure_reaches_the_caller_in_its_own_words_and_without_the_buyers_headers() {
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
fn a_challenge_that_cannot_be_met_never_reaches_the_caller() {
    let mut desk = Desk::new(1);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    let said = desk.say_from(buyer(0), &challenge(&offered, BUYER_REALM, &["MD5"]));

    assert_eq!(ladder(&said), ["b0 ACK", "carrier 603 INVITE"]);
    let told = find(&said, "carrier 603 INVITE");
    assert_eq!(told.first("WWW-Authenticate"), None);
    assert_eq!(desk.recorded(), "no_answer 603 by edge: buyer_auth");
}

// --- 10: digest

#[test]
fn a_buyers_challenge_is_met_with_the_strongest_algorithm_in_a_new_transaction() {
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
fn a_foreign_realm_gets_no_credentials() {
    let mut desk = with_login();
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    let said = desk.say_from(
        buyer(0),
        &challenge(&offered, "elsewhere.example.com", &["MD5"]),
    );

    assert_eq!(ladder(&said), ["b0 ACK", "carrier 603 INVITE"]);
}

#[test]
fn a_buyer_that_challenges_again_has_had_its_two_tries() {
    let mut desk = with_login();
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    let said = desk.say_from(buyer(0), &challenge(&offered, BUYER_REALM, &["MD5"]));
    let repeat = find(&said, "b0 INVITE");

    let said = desk.say_from(buyer(0), &challenge(&repeat, BUYER_REALM, &["MD5"]));

    assert_eq!(ladder(&said), ["b0 ACK", "carrier 603 INVITE"]);
}

#[test]
fn requests_within_the_call_are_repeated_with_credentials_too() {
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

// --- 11: loops

#[test]
fn our_own_token_that_comes_back_is_a_loop() {
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
fn max_forwards_is_counted_down_over_the_seam() {
    let mut desk = Desk::new(1);

    let offered = find(
        &desk.say(CARRIER, &invite().set("Max-Forwards", "7")),
        "b0 INVITE",
    );

    assert_eq!(offered.value("Max-Forwards"), "6");
}

// --- 12: correlation

#[test]
fn the_record_names_both_call_ids_and_the_uuid_that_the_buyer_got() {
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

// --- 14: one call towards the caller, whatever buyers come and go

#[test]
fn the_caller_sees_one_to_tag_over_early_media_failure_and_the_next_buyer() {
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

// --- 17: leaks

#[test]
fn a_thousand_calls_of_every_kind_leave_nothing_behind() {
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
fn many_reinvites_do_not_pile_up_timers() {
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

#[test]
fn a_transport_failure_goes_to_the_next_buyer_at_once() {
    let mut desk = Desk::new(2);
    desk.say(CARRIER, &invite());

    let said = desk.tell(Input::TransportFailed {
        flow: flow(buyer(0)),
    });

    assert_eq!(ladder(&said), ["b1 INVITE"]);
}

/// The call is gone by then, but not what it knew of its buyer.
#[test]
fn the_bye_after_a_200_that_crossed_the_cancel_is_repeated_with_credentials() {
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
fn that_bye_is_not_repeated_for_a_buyer_that_said_bye_itself() {
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

/// A desk whose one buyer gets credentials.
fn with_login() -> Desk {
    let mut buyers = specs(1);
    buyers[0].has_login = true;
    Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    })
}

fn challenge(request: &Msg, realm: &str, algorithms: &[&str]) -> Msg {
    algorithms.iter().fold(request.reply(401, "bob"), |reply, algorithm| {
        let value =
            format!("Digest realm=\"{realm}\", nonce=\"n1\", qop=\"auth,auth-int\", algorithm={algorithm}");
        reply.with("WWW-Authenticate", value)
    })
}
