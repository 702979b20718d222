//! Gateways that are left alone: when, for how long, and what becomes of calls meanwhile.

use std::time::Duration;

use strowger::call::input::Input;
use strowger::call::output::{Event, GatewayChange, Gauges, WhyDown};

use super::desk::{Desk, Said, answer, buyer, cancel, find, invite, ladder, specs};
use super::policy::{CARRIER, PolicySpec};
use super::text::Msg;

/// The carrier's call number `count`.
fn call(count: usize) -> Msg {
    invite()
        .set("Call-ID", format!("{count}@carrier.example.net"))
        .set(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{count}"),
        )
}

/// Offers one more call; to `place` first, and refused there with `status`.
fn fails(desk: &mut Desk, count: usize, place: usize, status: u16) -> Vec<Said> {
    let said = desk.say(CARRIER, &call(count));
    let offered = find(&said, &format!("b{place} INVITE"));
    let said = desk.say_from(buyer(place), &answer(&offered, status, "bob"));
    if let Some(next) = said.iter().find(|one| one.to == buyer(1) && place == 0) {
        let busy = answer(&next.message, 486, "eve");
        desk.say_from(buyer(1), &busy);
    }
    said
}

/// Offers one more call, and says to whom; it is busy there.
fn lands(desk: &mut Desk, count: usize) -> String {
    let said = desk.say(CARRIER, &call(count));
    let busy = answer(&said[1].message, 486, "eve");
    desk.say_from(said[1].to, &busy);
    ladder(&said)[1].clone()
}

/// Two buyers, of whom the first has failed five times in a row.
fn broken() -> Desk {
    let mut desk = Desk::new(2);
    for count in 0..5 {
        fails(&mut desk, count, 0, 503);
    }
    desk
}

fn changes(desk: &Desk) -> Vec<(String, GatewayChange)> {
    let mut changes = Vec::new();
    for event in &desk.events {
        if let Event::Gateway {
            buyer,
            gateway,
            change,
        } = event
        {
            changes.push((format!("{buyer} {gateway}"), *change));
        }
    }
    changes
}

fn down(seconds: u64, why: WhyDown) -> GatewayChange {
    GatewayChange::Down {
        why,
        pause: Some(Duration::from_secs(seconds)),
    }
}

const B0: &str = "c0b0 198.51.100.10:5060";

#[test]
fn five_failures_in_a_row_open_the_circuit_and_the_next_call_passes_the_gateway_over() {
    let mut desk = broken();
    assert_eq!(
        changes(&desk),
        [(B0.to_owned(), down(30, WhyDown::Failures))]
    );

    let said = desk.say(CARRIER, &call(5));

    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b1 INVITE"]);
    let offered = find(&said, "b1 INVITE");
    desk.say_from(buyer(1), &answer(&offered, 486, "bob"));
    let record = desk.records.last().expect("a record");
    assert_eq!(record.attempts.len(), 1);
    let skipped: Vec<_> = record
        .skipped
        .iter()
        .map(|one| (&*one.buyer.id, one.gateway.is_some(), one.why.label()))
        .collect();
    assert_eq!(skipped, [("c0b0", true, "gateway_down")]);
}

#[test]
fn what_the_callee_decides_is_no_failure_and_a_success_begins_the_count_anew() {
    let mut desk = Desk::new(2);
    let mut count = 0;
    for status in [503, 503, 503, 503, 486, 503, 503, 503, 503, 404] {
        fails(&mut desk, count, 0, status);
        count += 1;
    }
    for _ in 0..20 {
        fails(&mut desk, count, 0, 603);
        count += 1;
    }

    assert_eq!(changes(&desk), []);
    fails(&mut desk, count, 0, 503);
}

#[test]
fn after_the_cooldown_one_call_is_let_through_and_twice_the_time_passes_if_it_fails() {
    let mut desk = broken();
    desk.pass(Duration::from_secs(30));

    let trial = desk.say(CARRIER, &call(10));
    assert_eq!(ladder(&trial)[1], "b0 INVITE");
    // One only.
    assert_eq!(lands(&mut desk, 11), "b1 INVITE");
    let offered = find(&trial, "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 503, "bob"));
    let busy = answer(&find(&said, "b1 INVITE"), 486, "eve");
    desk.say_from(buyer(1), &busy);

    desk.pass(Duration::from_secs(59));
    assert_eq!(lands(&mut desk, 12), "b1 INVITE");
    desk.pass(Duration::from_secs(1));
    let again = desk.say(CARRIER, &call(13));
    let offered = find(&again, "b0 INVITE");
    assert_eq!(changes(&desk).len(), 1, "told once");

    desk.say_from(buyer(0), &answer(&offered, 180, "bob"));
    assert_eq!(changes(&desk)[1], (B0.to_owned(), GatewayChange::Up));
    assert_eq!(ladder(&desk.say(CARRIER, &call(14)))[1], "b0 INVITE");
}

#[test]
fn the_pause_grows_to_its_limit_and_no_further() {
    let mut desk = broken();
    let mut count = 10;
    for pause in [30, 60, 120, 240, 300, 300] {
        desk.pass(Duration::from_secs(pause - 1));
        assert_eq!(lands(&mut desk, count), "b1 INVITE", "{pause}");
        desk.pass(Duration::from_secs(1));
        fails(&mut desk, count + 1, 0, 500);
        count += 2;
    }
}

#[test]
fn a_trial_that_the_caller_gives_up_is_followed_by_another() {
    let mut desk = broken();
    desk.pass(Duration::from_secs(30));
    assert_eq!(ladder(&desk.say(CARRIER, &call(10)))[1], "b0 INVITE");

    desk.say(CARRIER, &cancel(&call(10)));

    assert_eq!(ladder(&desk.say(CARRIER, &call(11)))[1], "b0 INVITE");
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn a_503_with_retry_after_is_obeyed_at_once_and_five_minutes_at_most() {
    for (header, pause) in [
        ("20", 20),
        ("20 (at lunch);duration=5", 20),
        ("86400", 300),
        ("99999999999999999999999", 0),
        ("0", 0),
        ("soon", 0),
    ] {
        let mut desk = Desk::new(2);
        let offered = find(&desk.say(CARRIER, &call(0)), "b0 INVITE");
        let busy = answer(&offered, 503, "bob").with("Retry-After", header);
        desk.say_from(buyer(0), &busy);

        let expected = (pause > 0).then(|| (B0.to_owned(), down(pause, WhyDown::RetryAfter)));
        assert_eq!(changes(&desk), Vec::from_iter(expected), "{header}");
        if pause > 0 {
            desk.pass(Duration::from_secs(pause) - Duration::from_millis(1));
            assert_eq!(lands(&mut desk, 1), "b1 INVITE");
            desk.pass_millis(1);
            assert_eq!(ladder(&desk.say(CARRIER, &call(2)))[1], "b0 INVITE");
        }
    }
}

#[test]
fn if_all_are_down_the_one_that_comes_back_first_is_tried() {
    let mut desk = Desk::new(2);
    for (count, place, pause) in [(0, 0, "200"), (1, 1, "100")] {
        let offered = find(
            &desk.say(CARRIER, &call(count)),
            &format!("b{place} INVITE"),
        );
        let busy = answer(&offered, 503, "bob").with("Retry-After", pause);
        desk.say_from(buyer(place), &busy);
        desk.pass(Duration::from_secs(40));
    }

    let said = desk.say(CARRIER, &call(2));

    assert_eq!(ladder(&said)[1], "b1 INVITE");
    // And nobody after it: the other was passed over.
    let offered = find(&said, "b1 INVITE");
    let said = desk.say_from(buyer(1), &answer(&offered, 500, "bob"));
    assert_eq!(ladder(&said), ["b1 ACK", "carrier 603 INVITE"]);
    let record = desk.records.last().expect("a record");
    assert_eq!((record.attempts.len(), record.skipped.len()), (1, 2));

    // It works after all.
    let offered = find(&desk.say(CARRIER, &call(3)), "b1 INVITE");
    desk.say_from(buyer(1), &answer(&offered, 180, "bob"));
    assert_eq!(
        changes(&desk).last().map(|(_, change)| *change),
        Some(GatewayChange::Up)
    );
}

#[test]
fn silence_opens_the_circuit_too() {
    let mut desk = Desk::new(2);
    for count in 0..5 {
        assert_eq!(ladder(&desk.say(CARRIER, &call(count)))[1], "b0 INVITE");
        desk.pass(Duration::from_secs(4));
    }

    assert_eq!(changes(&desk).len(), 1);
}

/// One buyer that is asked every ten seconds, and another that is not.
fn probed() -> Desk {
    let mut buyers = specs(2);
    buyers[0].probe = Some(Duration::from_secs(10));
    Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    })
}

/// Lets ten seconds pass, and answers the probe that goes out meanwhile.
fn probe(desk: &mut Desk, status: Option<u16>) -> Msg {
    let said = desk.pass(Duration::from_secs(10));
    let asked: Vec<_> = said
        .iter()
        .filter(|one| one.message.method() == "OPTIONS")
        .map(|one| &one.message)
        .collect();
    let asked = asked.last().expect("a probe");
    if let Some(status) = status {
        let said = desk.say_from(buyer(0), &asked.reply(status, "bob"));
        assert_eq!(ladder(&said), [""; 0]);
    }
    Msg::clone(asked)
}

#[test]
fn a_probe_is_an_options_request_to_the_gateway_with_hops_left() {
    let mut desk = probed();

    let asked = probe(&mut desk, Some(200));

    assert_eq!(asked.uri(), format!("sip:c0b0@{}", buyer(0)));
    assert_eq!(asked.value("Max-Forwards"), "70");
    assert_eq!(asked.value("CSeq"), "1 OPTIONS");
    assert_eq!(asked.value("To"), format!("<sip:c0b0@{}>", buyer(0)));
    assert!(!asked.tag_in_from().is_empty());
    let other = probe(&mut desk, Some(200));
    assert_ne!(asked.call_id(), other.call_id());
    assert_ne!(asked.tag_in_from(), other.tag_in_from());
}

#[test]
fn three_probes_without_answer_lose_the_gateway_and_two_answers_find_it_again() {
    for lost in [None, Some(503), Some(408)] {
        let mut desk = probed();
        for answer in [lost, lost, Some(404), lost, lost] {
            probe(&mut desk, answer);
        }
        assert_eq!(changes(&desk), []);
        // With no answer at all, that is known when the next is due.
        for _ in 0..2 {
            probe(&mut desk, lost);
        }
        let pause = None;
        let why = WhyDown::Probes;
        let expected = (B0.to_owned(), GatewayChange::Down { why, pause });
        assert_eq!(changes(&desk), [expected], "{lost:?}");
        assert_eq!(lands(&mut desk, 1), "b1 INVITE");

        for answer in [Some(200), lost, Some(486), Some(401)] {
            assert_eq!(changes(&desk).len(), 1);
            probe(&mut desk, answer);
        }
        assert_eq!(changes(&desk)[1], (B0.to_owned(), GatewayChange::Up));
        assert_eq!(lands(&mut desk, 2), "b0 INVITE");
    }
}

#[test]
fn probes_end_with_the_policy_that_wants_them_and_so_does_what_they_found_out() {
    let mut desk = probed();
    for _ in 0..4 {
        probe(&mut desk, Some(503));
    }
    assert_eq!(changes(&desk).len(), 1);

    desk.tell(Input::Policy(
        PolicySpec {
            lines: vec![specs(2)],
            generation: 2,
            ..PolicySpec::default()
        }
        .build(),
    ));

    assert_eq!(changes(&desk)[1], (B0.to_owned(), GatewayChange::Up));
    assert_eq!(lands(&mut desk, 1), "b0 INVITE");
    // Nothing is asked any more: everything comes to rest.
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn a_reload_keeps_what_probes_found_out() {
    let mut desk = probed();
    for _ in 0..4 {
        probe(&mut desk, Some(503));
    }
    let mut buyers = specs(3);
    buyers[0].probe = Some(Duration::from_secs(10));
    buyers[2].probe = Some(Duration::from_secs(5));

    desk.tell(Input::Policy(
        PolicySpec {
            lines: vec![buyers],
            generation: 2,
            ..PolicySpec::default()
        }
        .build(),
    ));

    assert_eq!(lands(&mut desk, 1), "b1 INVITE");
    for _ in 0..2 {
        let said = desk.pass(Duration::from_secs(10));
        let asked = find(&said, "b0 OPTIONS");
        desk.say_from(buyer(0), &asked.reply(200, "bob"));
    }
    assert_eq!(lands(&mut desk, 2), "b0 INVITE");
}

#[test]
fn a_gateway_that_leaves_the_configuration_is_forgotten_and_one_that_stays_is_not() {
    let spec = |buyers: usize| PolicySpec {
        lines: vec![specs(buyers)],
        generation: 2,
        ..PolicySpec::default()
    };
    let mut desk = broken();
    desk.tell(Input::Policy(spec(2).build()));
    assert_eq!(ladder(&desk.say(CARRIER, &call(10)))[1], "b1 INVITE");

    let mut other = specs(3);
    other.remove(0);
    desk.tell(Input::Policy(
        PolicySpec {
            lines: vec![other],
            generation: 3,
            ..PolicySpec::default()
        }
        .build(),
    ));
    assert_eq!(changes(&desk)[1], (B0.to_owned(), GatewayChange::Removed));
    desk.tell(Input::Policy(spec(2).build()));

    assert_eq!(ladder(&desk.say(CARRIER, &call(11)))[1], "b0 INVITE");
}
