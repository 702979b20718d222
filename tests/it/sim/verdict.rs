//! Whether a call record agrees with what was seen of the call.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use strowger::call::record::{Attempt, AttemptResult, Outcome, Record, Side};

use super::leg::Leg;
use super::policy::number;
use super::scenario::{BuyerPlan, CallPlan};

/// What was seen of one call, and what it was meant to be.
pub(crate) struct CallWatch {
    pub(crate) buyers: Vec<Named>,
    /// Call-IDs of our INVITEs, in order.
    pub(crate) offers: Vec<String>,
    /// The caller was sent a 2xx.
    pub(crate) is_answered: bool,
    pub(crate) is_recorded: bool,
    /// Final status of the INVITE that became the call; 0 before.
    pub(crate) first_final: u16,
    /// Somebody was not there to answer.
    pub(crate) is_unreliable: bool,
    /// Its media goes through an rtpengine, which may not answer.
    pub(crate) is_far: bool,
    /// Where the caller is.
    pub(crate) from: SocketAddr,
    /// Its buyers of one priority are called at once.
    is_together: bool,
    dialled: String,
}

/// A buyer's name and the addresses of its gateways.
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) addresses: Vec<SocketAddr>,
    priority: i32,
}

impl CallWatch {
    pub(crate) fn new(plan: &CallPlan, is_far: bool) -> Self {
        let buyers = plan.buyers.iter();
        Self {
            is_unreliable: plan.caller.is_unreliable()
                || buyers
                    .clone()
                    .flat_map(BuyerPlan::gateways)
                    .any(|(_, plan)| plan.is_unreliable()),
            buyers: buyers
                .map(|buyer| Named {
                    name: buyer.spec.name.clone(),
                    priority: buyer.spec.priority,
                    addresses: buyer.gateways().map(|(address, _)| address).collect(),
                })
                .collect(),
            offers: Vec::new(),
            is_answered: false,
            is_recorded: false,
            is_far,
            first_final: 0,
            from: plan.from,
            is_together: plan.is_together,
            dialled: plan
                .uri
                .split([':', '@'])
                .nth(1)
                .unwrap_or_default()
                .to_owned(),
        }
    }
}

/// Where a buyer stands in its call's list.
fn place_of(name: &str, call: &CallWatch) -> Option<usize> {
    call.buyers.iter().position(|buyer| *buyer.name == *name)
}

/// Whether the buyers were called in their order.
fn is_in_order(attempts: &[Attempt], call: &CallWatch) -> bool {
    let is_trunk_failure = |one: &Attempt| {
        one.result == AttemptResult::Unreachable
            || matches!(one.status, Some(408 | 500 | 502 | 503 | 504))
    };
    if !call.is_together {
        // The next gateway of a buyer only if the trunk to the one before failed.
        return attempts.is_sorted_by(|one, next| {
            let places = [one, next].map(|attempt| place_of(&attempt.buyer.id, call));
            places[0] < places[1] || (places[0] == places[1] && is_trunk_failure(one))
        });
    }
    let priority_of = |one: &Attempt| {
        let place = place_of(&one.buyer.id, call);
        place.map(|place| call.buyers[place].priority)
    };
    let of_each = call.buyers.iter().all(|buyer| {
        let own: Vec<_> = attempts
            .iter()
            .filter(|one| *one.buyer.id == *buyer.name)
            .collect();
        own.windows(2).all(|two| is_trunk_failure(two[0]))
    });
    // Nobody is called before all of a lower priority are done with.
    let of_all = attempts.windows(2).all(|two| {
        let is_later = priority_of(&two[0]) < priority_of(&two[1]);
        priority_of(&two[0]) <= priority_of(&two[1])
            && (!is_later
                || attempts.iter().all(|one| {
                    priority_of(one) >= priority_of(&two[1]) || one.ended <= two[1].began
                }))
    });
    of_each && of_all
}

/// What is wrong with a record, at the moment it is written.
pub(crate) fn check_record(
    now: Instant,
    record: &Record,
    call: &CallWatch,
    legs: &[&Leg],
    is_stopped: bool,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut must = |holds: bool, text: &str| {
        if !holds {
            faults.push(format!("{} {text}", record.outcome.label()));
        }
    };
    let attempts = &record.attempts;
    let statuses: Vec<_> = attempts.iter().map(|one| one.status.unwrap_or(0)).collect();
    let made: Vec<_> = attempts
        .iter()
        .map(|one| String::from_utf8_lossy(&one.call_id).into_owned())
        .filter(|call_id| !call_id.is_empty())
        .collect();
    must(made == call.offers, "and other attempts than INVITEs");
    let story = record.story.as_ref();
    // Who had no place at first may be called later by a call that waits.
    let has_waited = story.is_some_and(|story| story.waited.is_some());
    must(
        has_waited || is_in_order(attempts, call),
        "and buyers out of order",
    );
    let is_joined = |one: &Attempt| one.together.is_some();
    must(
        call.is_together || !attempts.iter().any(is_joined),
        "and called together though nobody was to be",
    );
    let has_lost = |one: &Attempt| one.result == AttemptResult::LostRace;
    // The winner's answer may wait for a PRACK that never comes.
    let is_left = |one: &Attempt| one.result == AttemptResult::Cancelled;
    must(
        call.is_answered || attempts.iter().any(is_left) || !attempts.iter().any(has_lost),
        "and lost though nobody has won",
    );
    let mut gateways: Vec<_> = attempts.iter().map(|one| &one.gateway.name).collect();
    gateways.sort();
    must(
        gateways.windows(2).all(|two| two[0] != two[1]),
        "and a gateway that was tried twice",
    );
    must(
        record.answered.is_some() == call.is_answered,
        "and the caller heard otherwise",
    );
    let answered = attempts
        .iter()
        .filter(|one| one.result == AttemptResult::Answered);
    must(
        answered.count() == usize::from(call.is_answered),
        "and another number answered",
    );
    must(
        record.began <= record.ended && record.ended == now,
        "at another time",
    );
    must(
        record.rang.is_none_or(|at| record.began <= at && at <= now),
        "rang out of time",
    );
    let gave_up = legs.iter().any(|leg| leg.is_caller && leg.is_given_up);
    let said_bye = |is_caller: bool| {
        legs.iter()
            .filter(|leg| leg.is_caller == is_caller)
            .any(|leg| leg.dialogs.values().any(|dialog| dialog.is_bye_heard))
    };
    let line = number(0).len() == call.dialled.len() && call.dialled != "+15555559999";
    // Whoever waits gets 503 when the edge goes down.
    let story = record.story.as_ref();
    let has_waited = story.is_some_and(|story| story.waited.is_some());
    let is_drained = has_waited && record.status == 503;
    match record.outcome {
        Outcome::Completed => {
            must(call.is_answered, "without answer");
            must(record.hung_up_by != Side::Edge, "by us");
            must(said_bye(record.hung_up_by == Side::Caller), "without BYE");
        }
        Outcome::CallerHungUp => {
            must(gave_up, "but it did not");
            must(
                record.status == 487 && !call.is_answered,
                "with the wrong end",
            );
        }
        Outcome::NotANumber => must(call.dialled == "frank" && record.status == 404, "?"),
        Outcome::NumberIncomplete => must(call.dialled == "+1555" && record.status == 484, "?"),
        Outcome::NumberUnknown => {
            must(call.dialled == "+15555559999" && record.status == 404, "?");
        }
        Outcome::NoBuyer => must(line && call.buyers.is_empty() && record.status == 603, "?"),
        Outcome::NoAnswer | Outcome::AllBusy => {
            let met = |name: &str| {
                attempts.iter().any(|one| *one.buyer.id == *name)
                    || record.skipped.iter().any(|one| *one.buyer.id == *name)
            };
            let tried_all = call.buyers.iter().all(|one| met(&one.name)) && !attempts.is_empty();
            let is_late = record.ended >= record.began + Duration::from_secs(120);
            must(tried_all || is_late, "with buyers left");
            let all_busy = statuses.iter().all(|status| matches!(status, 486 | 600));
            must(
                (record.outcome == Outcome::AllBusy) == all_busy,
                "and not all busy",
            );
            let status = if all_busy { 486 } else { 603 };
            let is_ended = record.status == status || is_drained;
            must(is_ended && !call.is_answered, "with the wrong end");
        }
        Outcome::VendorSilent => must(false, "no vendor carries a call"),
        Outcome::NoPrack => must(call.is_unreliable && record.status == 504, "but it came"),
        Outcome::AllClosed
        | Outcome::NoMatch
        | Outcome::AllDuplicate
        | Outcome::AllDown
        | Outcome::CallerBlocked
        | Outcome::NumberDisabled => must(false, "nobody wants anything particular here"),
        Outcome::AllCapped => {
            // A call that waits keeps its first round and the last.
            let rounds = [1, 2].map(|rounds| rounds * call.buyers.len());
            let skipped = rounds.contains(&record.skipped.len());
            must(attempts.is_empty() && skipped, "with buyers left");
            must(record.status == 486 || is_drained, "with the wrong end");
        }
        Outcome::NoAck => must(call.is_answered && call.is_unreliable, "but it came"),
        Outcome::LegLost => must(call.is_answered, "without answer"),
        Outcome::SessionExpired => must(call.is_answered && call.is_unreliable, "but it did not"),
        Outcome::TimeLimit => must(record.answered.is_some(), "without answer"),
        Outcome::Stopped => must(is_stopped, "by nobody"),
        Outcome::MediaSilent => must(false, "but all went well"),
        Outcome::MediaFailed | Outcome::NoMedia => must(call.is_far, "but all went well"),
        Outcome::Unkept => must(false, "but all was kept"),
        Outcome::Internal => must(false, "fault"),
    }
    must(
        call.first_final == record.status,
        &format!(
            "{}, but the caller was told {}",
            record.status, call.first_final
        ),
    );
    faults
}
