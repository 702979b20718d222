//! The same of calls that a vendor carries: it names no source of its words, tells things late, twice or not at all, and what it
//! says of how long they talked counts.

use std::time::{Duration, Instant};

use strowger::call::errand::{Beginning, Closing, Leg, Said, Step};
use strowger::call::input::Input;
use strowger::call::output::Gauges;
use strowger::call::record::{Record, Side};
use strowger::edge::replay::EndSaid;
use strowger::hooks::trigger::Trigger;
use strowger::routing::buyer::{Buyer, Gateway};
use strowger::routing::campaign::Route;
use strowger::twilio::connect::CompanyKey;
use strowger::twilio::dial::Why;
use strowger::twilio::sid::CallSid;
use strowger::twilio::ticket::Ticket;
use strowger::types::ids::CallUuid;
use strowger::types::moment::Moment;
use strowger::types::number::Number;

use super::{Arc, answer_one, campaign, line, post, replayed, two_buyers};
use crate::sim::abroad::tickets;
use crate::sim::campaigns;
use crate::sim::desk::{Desk, invite_to};
use crate::sim::dice::Dice;
use crate::sim::policy::{CARRIER, number};

/// A call that a vendor carries, whose buyer has answered.
pub(super) struct Talk {
    uuid: CallUuid,
    attempt: u32,
    /// Since when, whether or not we were told.
    since: Instant,
}

/// One call, as the dice say. `Some`: it was answered, and lasts.
pub(super) fn run(desk: &mut Desk, dice: &mut Dice) -> Option<Talk> {
    let mut beginning = beginning();
    if dice.chance(15) {
        beginning.tried = vec!["c0b0".into()];
    }
    let uuid = uuid_of(dice);
    beginning.ticket.uuid = u128::from_be_bytes(*uuid.as_bytes());
    say(desk, uuid, Said::Begin(Box::new(beginning)));
    for _ in 0..60 {
        let steps = std::mem::take(&mut desk.steps).into_iter();
        let own = steps.filter(|(of, _)| *of == uuid).last();
        let Some((_, step)) = own else {
            if !desk.fetches.is_empty() && dice.chance(85) {
                answer_one(desk, dice);
            } else if dice.chance(5) {
                say(desk, uuid, Said::Gone);
            } else {
                desk.pass(dice.millis(2_000, 6_000));
            }
            continue;
        };
        let Step::Call(leg) = step else {
            return None;
        };
        let attempt = leg.attempt;
        desk.pass(dice.millis(10, 9_000));
        if dice.chance(10) {
            post(desk, dice);
        }
        match dice.below(10) {
            0..4 => {
                let since = desk.now();
                if dice.chance(80) {
                    desk.pass(dice.millis(0, 1_500));
                    say(desk, uuid, Said::Answered(attempt));
                }
                return Some(Talk {
                    uuid,
                    attempt,
                    since,
                });
            }
            4..8 => {
                let (why, status) = dice.pick(&[
                    (Why::Busy, None),
                    (Why::Busy, Some(486)),
                    (Why::NoAnswer, Some(480)),
                    (Why::Declined, Some(200)),
                    (Why::Refused, Some(404)),
                    (Why::Broken, Some(503)),
                    (Why::Credentials, Some(407)),
                ]);
                say(desk, uuid, Said::Left(attempt, why, status));
            }
            8 => say(desk, uuid, Said::Gone),
            // Nothing is heard any more.
            _ => {
                desk.pass(Duration::from_secs(120));
            }
        }
    }
    None
}

/// It is told that it is over, or only that a leg is, or nothing.
pub(super) fn end(desk: &mut Desk, dice: &mut Dice, talk: Talk) {
    let Talk {
        uuid,
        attempt,
        since,
    } = talk;
    // The vendor counts whole seconds, and not from our clock.
    let talked = (desk.now() - since).as_secs() + dice.below(2);
    let talked = Duration::from_secs(talked);
    desk.pass(dice.millis(0, 2_000));
    match dice.below(8) {
        0..5 => say(desk, uuid, Said::Over(attempt, talked, Side::Buyer)),
        5 => {
            let closing = Closing {
                talked: Some(talked),
                by: None,
            };
            say(desk, uuid, Said::Closing(attempt, closing));
            desk.pass(Duration::from_secs(20));
        }
        6 => say(desk, uuid, Said::Gone),
        _ => {}
    }
}

#[test]
fn a_direct_call_that_failed_over_is_the_same_call_again_and_another_under_another_policy() {
    let policy = two_direct(|_| {});
    let mut desk = Desk::of(Arc::clone(&policy), [7; 32]);
    let uuid = begin(&mut desk, 1);
    say(&mut desk, uuid, Said::Left(1, Why::Busy, Some(486)));
    assert_eq!(named(&mut desk).attempt, 2);
    say(&mut desk, uuid, Said::Answered(2));
    desk.pass_millis(61_300);
    let over = Said::Over(2, Duration::from_secs(61), Side::Caller);
    say(&mut desk, uuid, over);
    let record = desk.records.remove(0);
    assert_eq!(desk.rest(), Gauges::default());

    let (same, summary) = replayed(&policy, &record);
    let (changed, _) = replayed(&two_direct(|first| first.rules.is_paused = true), &record);

    assert!(same.is_none(), "{}", same.expect("a difference"));
    assert!(summary.is_same());
    let changed = changed.expect("a difference");
    assert!(changed.end.is_none(), "the second one has it all the same");
    let text = changed.to_string();
    assert!(text.contains("\n  c0b0      fits -> paused"), "{text}");
}

#[test]
fn a_direct_call_that_nobody_took_or_that_was_refused_is_the_same_again() {
    for is_paused in [false, true] {
        let policy = two_direct(|first| first.rules.is_paused = is_paused);
        let mut desk = Desk::of(Arc::clone(&policy), [7; 32]);
        let uuid = begin(&mut desk, 1);
        for attempt in 1..=2 {
            if matches!(desk.steps.last(), Some((_, Step::End(..)))) {
                break;
            }
            say(&mut desk, uuid, Said::Left(attempt, Why::Busy, Some(486)));
        }
        let record = desk.records.remove(0);
        assert_eq!(record.outcome.label(), "all_busy");

        let (same, _) = replayed(&policy, &record);

        assert!(same.is_none(), "{}", same.expect("a difference"));
    }
    let both = two_direct(|first| first.rules.is_paused = true);
    let mut desk = Desk::of(both, [7; 32]);
    let mut nobodys = beginning();
    nobodys.ticket.uuid = 5;
    nobodys.tried = vec!["c0b1".into()];
    let uuid = CallUuid::from_bytes(5_u128.to_be_bytes());
    say(&mut desk, uuid, Said::Begin(Box::new(nobodys)));
    let record = desk.records.remove(0);
    assert!(record.attempts.is_empty(), "it is refused");
    let same = two_direct(|first| first.rules.is_paused = true);
    let (same, _) = replayed(&same, &record);
    assert!(same.is_none(), "{}", same.expect("a difference"));
    let (changed, _) = replayed(&two_direct(|_| {}), &record);
    let end = changed.and_then(|changed| changed.end);
    let buyer = "c0b0".to_owned();
    assert_eq!(end.expect("another end").now, EndSaid::Unknown { buyer });
}

#[test]
fn timers_of_a_call_whose_answer_was_told_late_fire_and_fire_again() {
    // Told in time, told a second late, not told at all; they talked for 30 s, and a timer is due after 29.
    for told_after in [Some(0), Some(2_000), None] {
        let policy = timed(29);
        let mut desk = Desk::of(Arc::clone(&policy), [7; 32]);
        let uuid = begin(&mut desk, 1);
        desk.pass_millis(told_after.unwrap_or_default());
        if told_after.is_some() {
            say(&mut desk, uuid, Said::Answered(1));
        }
        desk.pass_millis(30_000 - told_after.unwrap_or_default());
        let over = Said::Over(1, Duration::from_secs(30), Side::Buyer);
        say(&mut desk, uuid, over);
        let record = desk.records.remove(0);

        let fired = &record.story.as_ref().expect("a story").fired;
        let fired: Vec<_> = fired.iter().map(|one| one.webhook.trigger).collect();
        assert_eq!(fired, [Trigger::Timer, Trigger::Always], "{told_after:?}");
        let (same, _) = replayed(&policy, &record);
        assert!(same.is_none(), "{}", same.expect("a difference"));
    }
    // The vendor says that it was shorter than we had thought.
    let policy = timed(29);
    let mut desk = Desk::of(Arc::clone(&policy), [7; 32]);
    let uuid = begin(&mut desk, 1);
    say(&mut desk, uuid, Said::Answered(1));
    desk.pass_millis(29_500);
    say(
        &mut desk,
        uuid,
        Said::Over(1, Duration::from_secs(28), Side::Buyer),
    );
    let record = desk.records.remove(0);
    let (same, _) = replayed(&policy, &record);
    assert!(same.is_none(), "{}", same.expect("a difference"));
}

#[test]
fn a_telephone_is_passed_over_by_sip_again_and_called_by_who_can() {
    let policy = two_direct(|first| {
        let phone = Number::from_e164(b"+18885550100").expect("a number");
        first.gateways = vec![Arc::new(Gateway::telephone(phone))];
    });
    let mut desk = Desk::of(Arc::clone(&policy), [7; 32]);
    let invite = invite_to(&format!("sip:{}@ip.example.com", number(0)));
    desk.say(CARRIER, &invite);
    desk.pass(Duration::from_secs(300));
    let record = desk.records.remove(0);
    assert_eq!(record.skipped[0].why.label(), "phone_only");

    let (same, _) = replayed(&policy, &record);
    let (changed, _) = replayed(&two_direct(|_| {}), &record);

    assert!(same.is_none(), "{}", same.expect("a difference"));
    let end = changed.and_then(|changed| changed.end);
    let buyer = "c0b0".to_owned();
    assert_eq!(end.expect("another end").now, EndSaid::Unknown { buyer });
}

#[test]
fn a_vendor_that_says_nothing_any_more_says_nothing_again() {
    let policy = two_direct(|_| {});
    let mut desk = Desk::of(Arc::clone(&policy), [7; 32]);
    begin(&mut desk, 1);
    desk.pass(Duration::from_secs(300));
    let record = desk.records.remove(0);
    assert_eq!(record.outcome.label(), "vendor_silent");

    let (same, _) = replayed(&policy, &record);

    assert!(same.is_none(), "{}", same.expect("a difference"));
}

#[test]
fn whose_number_a_vendors_call_dialled_is_what_it_said_then() {
    let policy = two_direct(|_| {});
    let mut desk = Desk::of(Arc::clone(&policy), [7; 32]);
    let uuid = begin(&mut desk, 1);
    say(&mut desk, uuid, Said::Gone);
    let record: Record = desk.records.remove(0);
    let mut moved = two_direct(|_| {});
    let inner = Arc::get_mut(&mut moved).expect("nobody else has it");
    inner.directory.numbers.clear();

    let (changed, _) = replayed(&moved, &record);

    let end = changed.and_then(|changed| changed.end);
    let refused = EndSaid::Refused {
        status: 404,
        outcome: "number_unknown".to_owned(),
    };
    assert_eq!(end.expect("another end").now, refused);
    assert!(line(&record).contains("\"resumed\":[]"));
}

/// Two buyers, the first one changed, for calls by SIP and by a vendor.
fn two_direct(change: impl Fn(&mut Buyer)) -> Arc<super::Policy> {
    let mut policy = two_buyers(change);
    let inner = Arc::get_mut(&mut policy).expect("nobody else has it");
    inner.tickets = Some(tickets());
    policy
}

/// One buyer, and a timer after so many seconds.
fn timed(after: u64) -> Arc<super::Policy> {
    let hooks = [
        campaigns::hook(Trigger::Timer, after),
        campaigns::hook(Trigger::Always, 0),
    ];
    let mut policy = two_direct(|_| {});
    let inner = Arc::get_mut(&mut policy).expect("nobody else has it");
    let members = vec![Arc::clone(&campaign(inner, 0).route.buyers()[0])];
    campaign(inner, 0).route = Route::new(members);
    let hooks = hooks.map(Arc::new).to_vec();
    inner.hooks = super::Hooks::new(vec![super::CampaignHooks::new(hooks, Vec::new())]);
    policy
}

fn begin(desk: &mut Desk, call: u8) -> CallUuid {
    let mut beginning = beginning();
    beginning.ticket.uuid = call.into();
    let uuid = CallUuid::from_bytes(u128::from(call).to_be_bytes());
    say(desk, uuid, Said::Begin(Box::new(beginning)));
    uuid
}

fn named(desk: &mut Desk) -> Leg {
    match desk.steps.pop() {
        Some((_, Step::Call(leg))) => *leg,
        other => panic!("{other:?}"),
    }
}

fn say(desk: &mut Desk, uuid: CallUuid, said: Said) {
    desk.tell(Input::Abroad(uuid, said));
}

fn uuid_of(dice: &mut Dice) -> CallUuid {
    let half = u128::from(dice.next());
    CallUuid::from_bytes((half << 64 | u128::from(dice.next())).to_be_bytes())
}

fn beginning() -> Beginning {
    Beginning {
        ticket: Ticket {
            uuid: 1,
            number: Number::from_e164(number(0).as_bytes()).expect("a number"),
            company: CompanyKey(1234),
            caller: Number::from_e164(b"+15555550199"),
            leg: CallSid::from_bits(1),
            expires: Moment::default(),
            tags: [("original_to", "+14155550199")].into_iter().collect(),
        },
        tried: Vec::new(),
        limit: Duration::from_secs(3600),
    }
}
