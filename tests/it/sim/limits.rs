//! Limits of trunks and buyers: reserved before dialling, and given back exactly once on every way out.

use std::time::Duration;

use strowger::call::input::{Input, Which};
use strowger::call::output::Gauges;
use strowger::call::places::Verdict;
use strowger::routing::caps::Caps;
use strowger::routing::caps::Party;

use super::desk::{
    ANSWER, Desk, Talk, ack_of_failure, answer, buyer, buyer_request, caller_request, cancel, find,
    invite, ladder, specs,
};
use super::policy::{CARRIER, PolicySpec};
use super::text::Msg;
use super::world::flow;

const NOTHING: [&str; 0] = [];

fn calls(most: u32) -> Caps {
    Caps {
        max_calls: Some(most),
        max_cps: None,
    }
}

fn cps(most: u32) -> Caps {
    Caps {
        max_calls: None,
        max_cps: Some(most),
    }
}

/// The carrier's call number `count`.
fn call(count: usize) -> Msg {
    invite()
        .set("Call-ID", format!("{count}@carrier.example.net"))
        .set(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{count}"),
        )
}

/// So many buyers, each with the limits given, and a trunk with its own.
fn limited(trunk: Caps, buyers: &[Caps]) -> PolicySpec {
    let mut specs = specs(buyers.len());
    for (spec, caps) in specs.iter_mut().zip(buyers) {
        spec.caps = *caps;
    }
    PolicySpec {
        lines: vec![specs],
        caps: trunk,
        ..PolicySpec::default()
    }
}

/// Places taken, of the trunk and of the first buyer.
fn taken(desk: &Desk) -> (u32, u32) {
    let taken = desk.ledger.taken();
    let of = |party| taken.get(&party).copied().unwrap_or_default();
    (
        of(Party::Trunk("carrier".into())),
        of(Party::Buyer("c0b0".into())),
    )
}

// --- the limits hold

#[test]
fn a_trunk_with_all_its_calls_up_gets_486_and_no_record_and_one_place_is_free_after_a_bye() {
    let mut talk = Talk::unacknowledged(Desk::with(&limited(calls(1), &[Caps::default()])));
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);

    let refused = call(2);
    let said = talk.caller_says(&refused);
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "carrier 486 INVITE"]);
    let answer = find(&said, "carrier 486 INVITE");
    assert_eq!(answer.value("Reason"), "SIP;cause=486;text=\"trunk_calls\"");
    talk.caller_says(&ack_of_failure(&refused, &answer));
    assert_eq!(talk.desk.records.len(), 0);

    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);
    assert_eq!(taken(&talk.desk), (0, 0));
    let said = talk.caller_says(&call(3));
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b0 INVITE"]);
}

#[test]
fn a_trunk_that_calls_too_fast_gets_480_until_the_next_second() {
    let mut desk = Desk::with(&limited(cps(2), &[Caps::default()]));
    for count in 0..2 {
        assert_eq!(ladder(&desk.say(CARRIER, &call(count)))[1], "b0 INVITE");
    }

    let said = desk.say(CARRIER, &call(2));
    assert_eq!(ladder(&said)[1], "carrier 480 INVITE");
    let reason = find(&said, "carrier 480 INVITE");
    assert_eq!(reason.value("Reason"), "SIP;cause=480;text=\"trunk_cps\"");
    desk.pass_millis(500);
    let said = desk.say(CARRIER, &call(3));
    assert_eq!(ladder(&said)[1], "b0 INVITE");
}

#[test]
fn a_buyer_at_its_limit_is_passed_over_and_the_record_says_why() {
    for (caps, why) in [(calls(1), "concurrency"), (cps(1), "cps")] {
        let mut desk = Desk::with(&limited(Caps::default(), &[caps, Caps::default()]));
        assert_eq!(ladder(&desk.say(CARRIER, &call(0)))[1], "b0 INVITE");

        let said = desk.say(CARRIER, &call(1));

        assert_eq!(ladder(&said), ["carrier 100 INVITE", "b1 INVITE"]);
        let offered = find(&said, "b1 INVITE");
        desk.say_from(buyer(1), &answer(&offered, 486, "eve"));
        let skipped = &desk.records[0].skipped[0];
        assert_eq!((&*skipped.buyer.id, skipped.why.label()), ("c0b0", why));
        assert!(skipped.gateway.is_none());
    }
}

#[test]
fn if_every_buyer_is_at_its_limit_the_caller_hears_busy() {
    let mut desk = Desk::with(&limited(Caps::default(), &[calls(1), calls(1)]));
    for count in 0..2 {
        desk.say(CARRIER, &call(count));
    }

    let said = desk.say(CARRIER, &call(2));

    assert_eq!(ladder(&said), ["carrier 100 INVITE", "carrier 486 INVITE"]);
    assert_eq!(desk.recorded(), "all_capped 486 by edge: ");
    let reason = find(&said, "carrier 486 INVITE");
    assert_eq!(reason.value("Reason"), "SIP;cause=486;text=\"all_capped\"");
}

#[test]
fn gateways_of_one_buyer_share_its_place() {
    let mut spec = limited(Caps::default(), &[calls(1)]);
    spec.lines[0][0].others = vec![buyer(1), buyer(2)];
    let mut desk = Desk::with(&spec);
    let mut said = desk.say(CARRIER, &call(0));
    for place in 0..2 {
        let offered = find(&said, &format!("b{place} INVITE"));
        said = desk.say_from(buyer(place), &answer(&offered, 503, "bob"));
        assert_eq!(taken(&desk), (0, 1));
    }

    assert_eq!(desk.ledger.granted, 1);
    let offered = find(&said, "b2 INVITE");
    desk.say_from(buyer(2), &answer(&offered, 503, "bob"));
    assert_eq!(taken(&desk), (0, 0));
}

// --- 18: caps

/// Every way out of a call, each with a trunk and a buyer that have one place each: what is not given back is
/// missed by the next call, and what is given back twice is noticed by the ledger.
#[test]
fn trap_18_a_place_is_reserved_before_dialling_and_given_back_once_on_every_way_out() {
    type Way = (&'static str, fn(&mut Desk, &Msg));
    let ways: [Way; 14] = [
        ("CANCEL before any answer", |desk, invite| {
            desk.say(CARRIER, &cancel(invite));
        }),
        (
            "CANCEL while it rings, and a 200 that crosses it",
            |desk, invite| {
                let offered = ringing(desk, invite);
                desk.say(CARRIER, &cancel(invite));
                let late = answer(&offered, 200, "bob").with_sdp(ANSWER);
                desk.say_from(buyer(0), &late);
            },
        ),
        ("CANCEL again and again", |desk, invite| {
            for _ in 0..3 {
                desk.say(CARRIER, &cancel(invite));
            }
        }),
        (
            "refused by one, and by the next, and again",
            |desk, invite| {
                let first = offered(desk, invite);
                let refusal = answer(&first, 603, "bob");
                let second = find(&desk.say_from(buyer(0), &refusal), "b1 INVITE");
                desk.say_from(buyer(1), &answer(&second, 603, "eve"));
                desk.say_from(buyer(0), &refusal);
            },
        ),
        ("refused, and the next buyer too", |desk, invite| {
            let first = offered(desk, invite);
            let said = desk.say_from(buyer(0), &answer(&first, 503, "bob"));
            let second = find(&said, "b1 INVITE");
            desk.say_from(buyer(1), &answer(&second, 486, "eve"));
        }),
        ("silence", |desk, _| {
            desk.pass(Duration::from_secs(40));
        }),
        ("rings for ever", |desk, invite| {
            ringing(desk, invite);
            desk.pass(Duration::from_secs(200));
        }),
        ("the transport fails", |desk, _| {
            for place in 0..2 {
                let flow = flow(buyer(place));
                desk.tell(Input::TransportFailed { flow });
            }
        }),
        ("answered, and the caller says BYE", |desk, invite| {
            let (_, ok) = answered(desk, invite);
            desk.say(CARRIER, &caller_request("BYE", 2, invite, &ok));
        }),
        ("answered, and both say BYE", |desk, invite| {
            let (offered, ok) = answered(desk, invite);
            desk.say(CARRIER, &caller_request("BYE", 2, invite, &ok));
            desk.say_from(buyer(0), &buyer_request("BYE", 1, &offered, "bob"));
        }),
        ("answered, and no ACK", |desk, invite| {
            let offered = offered(desk, invite);
            let ok = answer(&offered, 200, "bob").with_sdp(ANSWER);
            desk.say_from(buyer(0), &ok);
            desk.pass(Duration::from_secs(40));
        }),
        ("answered, and too long", |desk, invite| {
            answered(desk, invite);
            desk.pass(Duration::from_secs(3700));
        }),
        ("the operator ends it while it rings", |desk, invite| {
            ringing(desk, invite);
            desk.tell(Input::Hangup(Which::All));
        }),
        ("the operator ends it, and again", |desk, invite| {
            answered(desk, invite);
            for _ in 0..2 {
                desk.tell(Input::Hangup(Which::All));
            }
        }),
    ];
    for (name, way) in ways {
        let mut desk = Desk::with(&limited(calls(1), &[calls(1), Caps::default()]));
        for round in 0..3 {
            let invite = call(round);
            let said = desk.say(CARRIER, &invite);
            assert_eq!(ladder(&said)[1], "b0 INVITE", "{name}: {round}");
            assert_eq!(taken(&desk), (1, 1), "{name}: reserved before dialling");
            desk.records.clear();

            way(&mut desk, &invite);

            assert_eq!(taken(&desk), (0, 0), "{name}");
            assert_eq!(desk.records.len(), 1, "{name}");
            // Time for the breaker to forget, and for transactions to end.
            desk.pass(Duration::from_secs(600));
        }
        assert_eq!(desk.ledger.peak, 1, "{name}");
        assert_eq!(desk.rest(), Gauges::default(), "{name}");
    }
}

#[test]
fn trap_18_a_buyer_that_fails_gives_its_place_back_before_the_next_one_is_tried() {
    let mut desk = Desk::with(&limited(Caps::default(), &[calls(1), calls(1)]));
    let said = desk.say(CARRIER, &call(0));
    let first = find(&said, "b0 INVITE");

    let said = desk.say_from(buyer(0), &answer(&first, 486, "bob"));

    assert_eq!(ladder(&said), ["b0 ACK", "b1 INVITE"]);
    assert_eq!(taken(&desk), (0, 0));
    assert_eq!(desk.ledger.taken().len(), 1);
    assert_eq!(ladder(&desk.say(CARRIER, &call(1)))[1], "b0 INVITE");
}

#[test]
fn trap_18_a_reload_in_the_middle_of_a_call_loses_no_place() {
    let mut talk = Talk::unacknowledged(Desk::with(&limited(calls(1), &[calls(1)])));
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    let mut unlimited = limited(Caps::default(), &[Caps::default()]);
    unlimited.generation = 2;

    talk.desk.tell(Input::Policy(unlimited.build()));
    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);

    assert_eq!(taken(&talk.desk), (0, 0));
}

// --- answers that come later, or never

#[test]
fn a_call_waits_for_its_place_and_goes_on_when_the_answer_comes() {
    let mut desk = Desk::with(&limited(calls(1), &[calls(1)]));
    desk.questions = Some(Vec::new());

    assert_eq!(ladder(&desk.say(CARRIER, &call(0))), ["carrier 100 INVITE"]);
    assert_eq!(ladder(&desk.pass_millis(1500)), NOTHING);
    assert_eq!(ladder(&give(&mut desk, Verdict::Granted)), NOTHING);
    assert_eq!(ladder(&desk.pass_millis(1500)), NOTHING);
    let said = give(&mut desk, Verdict::Granted);

    assert_eq!(ladder(&said), ["b0 INVITE"]);
}

#[test]
fn trap_18_a_grant_that_comes_too_late_goes_back_at_once() {
    for stage in 0..2 {
        // The caller gives up, or nobody answers for too long.
        for gives_up in [true, false] {
            let mut desk = Desk::with(&limited(calls(9), &[calls(9)]));
            desk.questions = Some(Vec::new());
            desk.say(CARRIER, &call(0));
            if stage == 1 {
                give(&mut desk, Verdict::Granted);
            }
            let said = if gives_up {
                desk.say(CARRIER, &cancel(&call(0)))
            } else {
                desk.pass(Duration::from_secs(2))
            };
            let status = match (gives_up, stage) {
                (true, _) => 487,
                (false, 0) => 480,
                (false, _) => 486,
            };
            find(&said, &format!("carrier {status} INVITE"));
            assert_eq!(desk.records.len(), stage, "one that has begun is recorded");

            give(&mut desk, Verdict::Granted);

            assert!(desk.ledger.taken().is_empty());
            assert_eq!(desk.rest(), Gauges::default());
        }
    }
}

#[test]
fn an_answer_to_an_earlier_question_is_not_taken_for_that_of_a_later_one() {
    let mut desk = Desk::with(&limited(Caps::default(), &[calls(1), calls(1)]));
    desk.questions = Some(Vec::new());
    desk.say(CARRIER, &call(0));
    // Nobody answers in time, so the next buyer's place is asked for.
    desk.pass(Duration::from_secs(2));

    assert_eq!(ladder(&give(&mut desk, Verdict::Granted)), NOTHING);
    assert!(desk.ledger.taken().is_empty(), "given back");
    let said = give(&mut desk, Verdict::Granted);

    assert_eq!(ladder(&said), ["b1 INVITE"]);
    assert_eq!(desk.ledger.taken().len(), 1);
}

#[test]
fn what_a_caller_says_while_its_call_waits_is_answered() {
    let mut desk = Desk::with(&limited(calls(1), &[calls(1)]));
    desk.questions = Some(Vec::new());
    let invite = call(0);
    desk.say(CARRIER, &invite);
    // The same again.
    assert_eq!(ladder(&desk.say(CARRIER, &invite)), ["carrier 100 INVITE"]);

    let said = desk.tell(Input::Hangup(Which::All));

    assert_eq!(ladder(&said), ["carrier 503 INVITE"]);
    give(&mut desk, Verdict::Granted);
    assert_eq!(desk.rest(), Gauges::default());
}

/// Answers the oldest question.
pub(crate) fn give(desk: &mut Desk, verdict: Verdict) -> Vec<super::desk::Said> {
    let questions = desk.questions.as_mut().expect("they are kept");
    let (ticket, claimant) = questions.remove(0);
    if verdict == Verdict::Granted {
        let now = super::seeds::epoch();
        desk.ledger.reserve(now, ticket, &claimant);
    }
    desk.tell(Input::Reserved { ticket, verdict })
}

/// The INVITE that the first buyer got for the caller's, found again by its repetition.
fn offered(desk: &mut Desk, _invite: &Msg) -> Msg {
    let said = desk.pass_millis(500);
    find(&said, "b0 INVITE")
}

fn ringing(desk: &mut Desk, invite: &Msg) -> Msg {
    let offered = offered(desk, invite);
    desk.say_from(buyer(0), &answer(&offered, 180, "bob"));
    offered
}

/// The buyer's INVITE and the caller's 200, acknowledged.
fn answered(desk: &mut Desk, invite: &Msg) -> (Msg, Msg) {
    let offered = offered(desk, invite);
    let answer = answer(&offered, 200, "bob").with_sdp(ANSWER);
    let ok = find(&desk.say_from(buyer(0), &answer), "carrier 200 INVITE");
    desk.say(CARRIER, &caller_request("ACK", 1, invite, &ok));
    (offered, ok)
}
