//! What the record says of each attempt, and of those who were passed over.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Instant;

use crate::call::call::{Call, State};
use crate::call::core::Core;
use crate::call::output::Event;
use crate::call::record::{self, AttemptResult, Outcome, Skipped, WhySkipped};
use crate::call::turn::TurnId;
use crate::routing::buyer::{Buyer, Gateway};

/// Place of an attempt in the record.
pub(crate) type Entry = usize;

impl Call {
    /// Writes down an attempt that begins; `None`: there is no record any more.
    pub(crate) fn note_attempt(
        &mut self,
        (buyer, gateway, together): (&Arc<Buyer>, &Arc<Gateway>, Option<NonZeroU8>),
        began: Instant,
        call_id: Box<[u8]>,
    ) -> Option<Entry> {
        let record = self.record.as_mut()?;
        record.attempts.push(record::Attempt {
            buyer: buyer.clone(),
            gateway: gateway.clone(),
            together,
            call_id,
            began,
            ended: began,
            status: None,
            result: AttemptResult::Cancelled,
        });
        Some(record.attempts.len() - 1)
    }

    /// Writes down how the attempt of a turn went.
    pub(crate) fn end_attempt(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        status: Option<u16>,
        result: AttemptResult,
    ) {
        self.drop_early_offer(now, core);
        self.media.drop_asked();
        let State::Hunting(hunting) = &self.state else {
            return;
        };
        let Some(own) = hunting.turn(turn) else {
            return;
        };
        let Some(attempt) = own.attempt() else {
            return;
        };
        let entry = match attempt.entry {
            Some(entry) => Some(entry),
            // It was not sent yet.
            None => {
                let (buyer, gateway) = (attempt.buyer.clone(), attempt.gateway.clone());
                let (began, together) = (attempt.began, own.together);
                self.note_attempt((&buyer, &gateway, together), began, Box::default())
            }
        };
        self.end_entry(now, core, entry, status, result);
    }

    /// Writes down how an attempt went.
    pub(crate) fn end_entry(
        &mut self,
        now: Instant,
        core: &mut Core,
        entry: Option<Entry>,
        status: Option<u16>,
        result: AttemptResult,
    ) {
        let Some((record, entry)) = self.record.as_mut().zip(entry) else {
            return;
        };
        let uuid = record.uuid;
        let Some(attempt) = record.attempts.get_mut(entry) else {
            return;
        };
        attempt.ended = now;
        attempt.status = status;
        attempt.result = result;
        if result != AttemptResult::Answered {
            core.event(Event::AttemptFailed {
                uuid,
                buyer: attempt.buyer.clone(),
                result,
                after: now.saturating_duration_since(attempt.began),
            });
        }
    }

    /// Notes that a buyer, or a gateway of it, is passed over.
    pub(crate) fn skip(
        &mut self,
        now: Instant,
        core: &mut Core,
        (buyer, gateway): (&Arc<Buyer>, Option<&Arc<Gateway>>),
        why: WhySkipped,
    ) {
        let Some(record) = &mut self.record else {
            return;
        };
        record.skipped.push(Skipped {
            buyer: buyer.clone(),
            gateway: gateway.cloned(),
            at: now,
            why: why.clone(),
        });
        core.event(Event::Skipped {
            uuid: record.uuid,
            buyer: buyer.clone(),
            why,
        });
    }

    /// What the hunt came to, all in all.
    pub(crate) fn sum_up_hunt(&self) -> Outcome {
        let attempts = self
            .record
            .as_ref()
            .map_or(&[][..], |record| &record.attempts);
        let skipped = self.record.iter().flat_map(|record| &record.skipped);
        let is_capped =
            |one: &Skipped| matches!(one.why, WhySkipped::Full(_) | WhySkipped::LimitUnknown);
        let is_judged = |one: &Skipped| matches!(one.why, WhySkipped::Judged(_));
        let is_busy = |one: &&record::Attempt| one.result == AttemptResult::Busy;
        Hunted {
            attempts: attempts.len(),
            busy: attempts.iter().filter(is_busy).count(),
            is_capped: skipped.clone().any(is_capped),
            is_judged: skipped.clone().any(is_judged),
        }
        .outcome()
    }
}

/// What came of all that a hunt tried.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Hunted {
    pub(crate) attempts: usize,
    /// Those of them that were busy.
    pub(crate) busy: usize,
    /// Somebody had as many calls as it takes.
    pub(crate) is_capped: bool,
    /// Somebody did not want the call when its turn came.
    pub(crate) is_judged: bool,
}

impl Hunted {
    pub(crate) fn outcome(self) -> Outcome {
        if self.attempts == 0 {
            if self.is_capped {
                Outcome::AllCapped
            } else if self.is_judged {
                Outcome::NoMatch
            } else {
                Outcome::NoBuyer
            }
        } else if self.busy == self.attempts {
            Outcome::AllBusy
        } else {
            Outcome::NoAnswer
        }
    }
}
