//! How a call [abroad](crate::call::abroad) ends: by a word of the vendor's, by news of a leg, or because nothing is told any more.

use std::mem;
use std::time::{Duration, Instant};

use crate::call::abroad::{LAST_WORD, Stay};
use crate::call::call::{Call, State};
use crate::call::core::Core;
use crate::call::errand::Closing;
use crate::call::next::Sign;
use crate::call::record::{AttemptResult, Outcome, Side};
use crate::call::turn::TurnId;

impl Stay {
    /// When the talk ended of which we heard at `heard`, as far as that is known: it lasted for so long.
    fn ended(&self, now: Instant, heard: Instant, talked: Option<Duration>) -> Instant {
        let Some(told) = self.told else {
            return now;
        };
        let told = told.max(heard).min(now);
        talked.map_or(told, |talked| told.min(heard + talked))
    }

    fn talked(&self) -> Option<Duration> {
        self.closing.and_then(|closing| closing.talked)
    }
}

impl Call {
    /// They have talked for this long.
    pub(super) fn close_abroad(
        &mut self,
        now: Instant,
        core: &mut Core,
        attempt: u32,
        (talked, by): (Duration, Side),
    ) {
        if let Some(turn) = self.turn_abroad(attempt) {
            // Nobody has told that it was answered.
            self.answer_abroad(now, core, turn, attempt);
        }
        if matches!(&self.state, State::Abroad(abroad) if abroad.attempt == attempt) {
            self.end_abroad(now, core, Some(talked), (Outcome::Completed, by));
        }
    }

    /// Ends an answered call; what the vendor says of how long they talked counts more than when we heard of it, and the end is when
    /// they stopped to talk, however long it took until nothing else was to be told.
    fn end_abroad(
        &mut self,
        now: Instant,
        core: &mut Core,
        talked: Option<Duration>,
        (outcome, by): (Outcome, Side),
    ) {
        let (mut late, mut ended) = (Duration::ZERO, now);
        if let (Some(record), State::Abroad(abroad)) = (&mut self.record, &self.state) {
            let heard = record.answered.unwrap_or(now);
            let talked = talked.or(abroad.stay.talked());
            ended = abroad.stay.ended(now, heard, talked);
            if let Some(talked) = talked {
                let began = record.attempts.last().map_or(record.began, |one| one.began);
                let answered = ended.checked_sub(talked);
                let answered = answered.map_or(began, |answered| answered.max(began));
                record.answered = Some(answered);
                late = heard.saturating_duration_since(answered);
                if let Some(story) = &mut record.story {
                    story.progress.answered = Some(core.moment(now).before(now - answered));
                }
            }
            if let Some(story) = &mut record.story {
                // For so long timers have fired by the clock.
                let known = match abroad.stay.talked() {
                    Some(_) => {
                        let stopped = story.course.known_for.unwrap_or_default();
                        stopped.max(ended.saturating_duration_since(heard))
                    }
                    None => now.saturating_duration_since(heard),
                };
                let talk = record.answered.map(|answered| ended - answered);
                let is_other = record.answered != Some(heard) || talk != Some(known);
                story.course.note_known_for(known, is_other);
            }
        }
        // They have talked for longer than we knew of it.
        self.fire_timers(ended, core, late);
        let state = mem::replace(&mut self.state, State::Gone);
        self.settle(ended, core, outcome, 200, by);
        if let State::Abroad(abroad) = state {
            abroad.stay.end(core, outcome.label(), 200);
        }
    }

    /// How long they talked is known: whatever is due later has nothing to fire for.
    pub(super) fn stop_timers(&mut self, now: Instant) {
        let (State::Abroad(abroad), Some(record)) = (&self.state, &mut self.record) else {
            return;
        };
        let known = record.answered.zip(abroad.stay.talked());
        if let (Some((heard, talked)), Some(story)) = (known, &mut record.story) {
            story.stop_timers(heard + talked);
            let known = now.saturating_duration_since(heard);
            story.course.note_known_for(known, true);
        }
    }

    /// Something has ended: the rest is told soon, or not at all.
    pub(super) fn expect_end(&mut self, now: Instant, attempt: u32, closing: Closing) {
        let soon = now + LAST_WORD;
        let turn = self.turn_abroad(attempt);
        match &mut self.state {
            State::Hunting(hunting) => {
                let Some(turn) = turn else {
                    return;
                };
                if let Some(stay) = &mut hunting.early.abroad {
                    stay.expect(now, closing);
                }
                if let Some(due) = hunting.turn_mut(turn).and_then(|turn| turn.attempt_mut()) {
                    due.ring_until = due.ring_until.min(soon);
                }
            }
            State::Abroad(abroad) if abroad.attempt == attempt => {
                abroad.until = abroad.until.min(soon);
                abroad.stay.expect(now, closing);
                self.stop_timers(now);
            }
            State::Asking(_)
            | State::Abroad(_)
            | State::Talking(_)
            | State::Ending(_)
            | State::Gone => {}
        }
    }

    /// The caller is gone.
    pub(super) fn give_abroad_up(&mut self, now: Instant, core: &mut Core) {
        match &self.state {
            State::Asking(_) | State::Hunting(_) => {
                self.drop_asking(now, core, Outcome::CallerHungUp);
                self.cancel_attempts(now, core);
                self.fail(now, core, Outcome::CallerHungUp, Side::Caller);
            }
            State::Abroad(_) => {
                self.end_abroad(now, core, None, (Outcome::Completed, Side::Caller));
            }
            State::Talking(_) | State::Ending(_) | State::Gone => {}
        }
    }

    /// The vendor has not told what became of its attempt.
    pub(crate) fn handle_silence(&mut self, now: Instant, core: &mut Core, turn: TurnId) {
        if let Some(left) = self.take_put_by() {
            self.leave_buyer(now, core, turn, left);
            return;
        }
        let State::Hunting(hunting) = &self.state else {
            return;
        };
        let closing = hunting.early.abroad.as_ref().and_then(|stay| stay.closing);
        let made = self.record.as_ref().map(|record| record.attempts.len());
        match closing {
            Some(Closing {
                talked: Some(talked),
                by,
            }) => {
                let attempt = made.and_then(|made| u32::try_from(made).ok());
                let by = by.unwrap_or(Side::Buyer);
                self.close_abroad(now, core, attempt.unwrap_or_default(), (talked, by));
            }
            Some(Closing { talked: None, .. }) => self.give_abroad_up(now, core),
            None => {
                self.note_health(now, core, turn, Sign::Unclear);
                self.end_attempt(now, core, turn, None, AttemptResult::NoAnswer);
                self.fail(now, core, Outcome::VendorSilent, Side::Edge);
            }
        }
    }

    /// An answered call has lasted as long as it may, or its end is all that is left to be told.
    pub(crate) fn handle_abroad_timeout(&mut self, now: Instant, core: &mut Core) {
        let State::Abroad(abroad) = &mut self.state else {
            return;
        };
        if abroad.until > now {
            return;
        }
        let limit = abroad.stay.limit;
        match abroad.stay.closing {
            Some(Closing { talked, by }) => {
                let by = by.unwrap_or(Side::Buyer);
                self.end_abroad(now, core, talked, (Outcome::Completed, by));
            }
            None => {
                abroad.stay.told = Some(now);
                let how = (Outcome::TimeLimit, Side::Edge);
                self.end_abroad(now, core, Some(limit), how);
            }
        }
    }

    /// Ends an answered call for us: the vendor hears of it when it next asks.
    pub(crate) fn drop_abroad(&mut self, now: Instant, core: &mut Core, outcome: Outcome) {
        self.end_abroad(now, core, None, (outcome, Side::Edge));
    }
}
