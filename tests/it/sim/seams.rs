//! Where a call's parts meet what goes wrong around them: answers that cannot be written, a transport
//! that fails, tables that are nearly full, buyers that say nothing.

use std::time::Duration;

use strowger::call::input::Input;
use strowger::call::output::{Event, Gauges};

use super::desk::{ANSWER, Desk, Said, Talk, answer, buyer, find, invite, ladder, specs};
use super::policy::{CARRIER, PolicySpec};
use super::world::flow;

const NOTHING: [&str; 0] = [];

// --- answers that cannot be written

#[test]
fn a_folded_reason_comes_through_on_one_line() {
    let mut talk = Talk::new();
    let info = talk.caller("INFO", 2);
    let asked = find(&talk.caller_says(&info), "b0 INFO");

    let reason = "Q.850\r\n ;cause=16";
    let said = talk.buyer_says(&asked.reply(488, "bob").with("Reason", reason));

    assert_eq!(ladder(&said), ["carrier 488 INFO"]);
    assert_eq!(said[0].message.value("Reason"), "Q.850;cause=16");
}

#[test]
fn an_answer_that_would_be_too_long_is_500_and_leaves_nothing_behind() {
    let mut talk = Talk::new();
    let mut info = talk.caller("INFO", 2);
    for _ in 0..6 {
        info = info.with(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};x={}", "x".repeat(7000)),
        );
    }
    let asked = find(&talk.caller_says(&info), "b0 INFO");

    let long = asked
        .reply(200, "bob")
        .with_body("text/plain", "y".repeat(40_000));
    let said = talk.buyer_says(&long);

    assert_eq!(ladder(&said), ["carrier 500 INFO"]);
    assert_eq!(ladder(&talk.caller_says(&info)), ["carrier 500 INFO"]);
    let unbuildable = |event: &&Event| matches!(event, Event::Unbuildable);
    assert_eq!(talk.desk.events.iter().filter(unbuildable).count(), 1);
    assert_eq!(ladder(&talk.desk.pass(Duration::from_secs(40))), NOTHING);
    assert_eq!(talk.desk.gauges().server_transactions, 0);
}

// --- a transport that fails

#[test]
fn a_transport_failure_goes_to_the_next_buyer_at_once() {
    let mut desk = Desk::new(2);
    desk.say(CARRIER, &invite());

    let said = desk.tell(Input::TransportFailed {
        flow: flow(buyer(0)),
    });

    assert_eq!(ladder(&said), ["b1 INVITE"]);
}

/// The network says that the first buyer is not there.
fn unreachable(desk: &mut Desk) -> Vec<Said> {
    let flow = flow(buyer(0));
    desk.tell(Input::TransportFailed { flow })
}

#[test]
fn a_buyer_that_rings_is_not_given_up_for_an_icmp_error() {
    let mut desk = Desk::new(2);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    desk.say_from(buyer(0), &answer(&offered, 180, "bob"));

    assert_eq!(ladder(&unreachable(&mut desk)), NOTHING);

    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));
    assert_eq!(ladder(&said), ["b0 ACK", "carrier 200 INVITE"]);
}

#[test]
fn a_request_that_cannot_be_sent_on_is_500_and_the_call_goes_on() {
    let mut talk = Talk::new();
    for (cseq, method) in [(2, "INFO"), (3, "INVITE")] {
        let asked = talk.caller(method, cseq);
        let said = ladder(&talk.caller_says(&asked));
        assert_eq!(
            said.last().map(String::as_str),
            Some(&*format!("b0 {method}"))
        );

        let said = unreachable(&mut talk.desk);

        assert_eq!(ladder(&said), [format!("carrier 500 {method}")]);
    }
    assert_eq!(talk.desk.gauges().calls_talking, 1);
    let bye = talk.buyer("BYE", 1);
    let said = talk.buyer_says(&bye);
    assert_eq!(ladder(&said), ["b0 200 BYE", "carrier BYE"]);
    talk.caller_says(&find(&said, "carrier BYE").reply(200, "ann"));
    assert_eq!(talk.desk.recorded(), "completed 200 by buyer: answered");
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn a_bye_that_cannot_be_sent_ends_the_call_all_the_same() {
    let mut talk = Talk::new();
    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);

    unreachable(&mut talk.desk);

    assert_eq!(talk.desk.gauges().calls_ending, 0);
    assert_eq!(talk.desk.recorded(), "completed 200 by caller: answered");
}

// --- tables that are nearly full

#[test]
fn the_last_eighth_of_the_transactions_is_for_calls_under_way() {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        transactions: 16,
        ..PolicySpec::default()
    });
    let dial = |desk: &mut Desk, call: usize| {
        let via = format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK{call}");
        let invite = invite().set("Call-ID", format!("c{call}")).set("Via", via);
        let said = desk.say(CARRIER, &invite);
        (invite, said)
    };
    let (invite, said) = dial(&mut desk, 0);
    let offered = find(&said, "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));
    let ok = find(&said, "carrier 200 INVITE");
    let mut talk = Talk {
        desk,
        invite,
        ok,
        offered,
    };
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    for call in 1..14 {
        let (_, said) = dial(&mut talk.desk, call);
        assert_eq!(ladder(&said), ["carrier 100 INVITE", "b0 INVITE"], "{call}");
    }

    for call in 14..20 {
        let (_, said) = dial(&mut talk.desk, call);
        assert_eq!(ladder(&said), ["carrier 503 INVITE"], "{call}");
    }

    assert_eq!(talk.desk.gauges().server_transactions, 14);
    let info = talk.caller("INFO", 2);
    assert_eq!(ladder(&talk.caller_says(&info)), ["b0 INFO"]);
    let bye = talk.caller("BYE", 3);
    let said = talk.caller_says(&bye);
    assert_eq!(
        ladder(&said),
        ["carrier 200 BYE", "carrier 481 INFO", "b0 BYE"]
    );
    assert_eq!(ladder(&talk.caller_says(&bye)), ["carrier 200 BYE"]);
}

// --- buyers that say nothing

#[test]
fn the_caller_hears_ringing_after_three_seconds_once() {
    let mut desk = Desk::new(3);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    desk.say_from(buyer(0), &offered.reply(100, ""));

    assert_eq!(ladder(&desk.pass_millis(2999)), NOTHING);
    let said = desk.pass_millis(1);
    assert_eq!(ladder(&said), ["carrier 180 INVITE"]);
    assert_eq!(said[0].message.body, "");
    assert!(said[0].message.tag_in_to().is_some());
    desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
    let said = desk.pass(Duration::from_secs(10));
    assert!(!ladder(&said).contains(&"carrier 180 INVITE".to_owned()));

    desk.rest();
    let record = &desk.records[0];
    let rang = record.rang.map(|rang| rang - record.began);
    assert_eq!(rang, Some(Duration::from_secs(3)));
}

#[test]
fn there_is_no_ringing_of_ours_after_a_buyers_or_after_the_end() {
    for status in [180, 183, 200, 486] {
        let mut desk = Desk::new(1);
        let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
        desk.say_from(buyer(0), &answer(&offered, status, "bob"));

        let said = ladder(&desk.pass(Duration::from_secs(10)));

        assert!(!said.contains(&"carrier 180 INVITE".to_owned()), "{status}");
    }
}

#[test]
fn a_buyer_that_is_taken_for_dead_is_sent_nothing_more_until_it_answers_late() {
    let mut desk = Desk::new(2);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    desk.pass(Duration::from_secs(4));

    let said = ladder(&desk.pass(Duration::from_secs(20)));
    assert!(said.iter().all(|line| !line.starts_with("b0")), "{said:?}");

    let late = answer(&offered, 200, "bob").with_sdp(ANSWER);
    let said = desk.say_from(buyer(0), &late);
    assert_eq!(ladder(&said), ["b0 ACK", "b0 BYE"]);
    desk.say_from(buyer(0), &find(&said, "b0 BYE").reply(200, "bob"));
    assert_eq!(desk.rest(), Gauges::default());
    assert_eq!(
        desk.recorded(),
        "no_answer 603 by edge: unreachable, unreachable"
    );
}

#[test]
fn a_ring_time_out_without_any_response_is_unreachable() {
    let mut buyers = specs(1);
    buyers[0].ring = Duration::from_secs(2);
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    });
    desk.say(CARRIER, &invite());

    let said = desk.pass(Duration::from_secs(2));

    assert_eq!(
        ladder(&said),
        ["b0 INVITE", "b0 INVITE", "carrier 603 INVITE"]
    );
    assert_eq!(desk.recorded(), "no_answer 603 by edge: unreachable");
}
