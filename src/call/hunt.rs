//! The hunt: buyers in turn until one answers, and what each answer means for the next.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::call::a_leg::Early;
use crate::call::b_leg::Attempt;
use crate::call::call::{Call, Hunting, State};
use crate::call::core::{Core, Owner};
use crate::call::next::{Next, Sign};
use crate::call::provisional::reread_response;
use crate::call::record::AttemptResult;
use crate::call::route::Brief;
use crate::call::turn::{Phase, TurnId};
use crate::call::unwanted::Unwanted;
use crate::routing::route::{Joined, Order};
use crate::routing::trunk::CompanyId;
use crate::sip::locate::Wanted;
use crate::sip::message::{Name, Response, ResponseEssentials};
use crate::transaction::layer::ClientId;

/// How far a hunt has come, and what goes with each INVITE of it.
pub(crate) struct Hunt {
    /// Who owns the call key.
    pub(crate) company: CompanyId,
    /// Those that are tried, in this order.
    pub(crate) buyers: Order,
    /// Who of them is called at the same time as the one before.
    pub(crate) joined: Joined,
    /// Place of the next one whose turn has not begun.
    pub(crate) next: usize,
    /// How many turns have begun.
    pub(crate) turns: u32,
    /// How often several were called at once.
    pub(crate) races: u8,
    /// The caller was told that one of those who are called at once rings.
    pub(crate) has_rung: bool,
    /// All that the call could be offered to is down: one is tried all the same, and none after it.
    pub(crate) is_last_resort: bool,
    /// After this no further buyer is tried.
    pub(crate) until: Instant,
    pub(crate) max_forwards: u8,
    pub(crate) hops: u8,
    /// Who sent the caller's INVITE.
    pub(crate) sender: IpAddr,
    /// The campaign that it was for first keeps it from its buyers.
    pub(crate) is_kept: bool,
}

/// Who is tried, and for whom.
pub(crate) struct Lineup {
    pub(crate) company: CompanyId,
    pub(crate) buyers: Order,
    pub(crate) joined: Joined,
}

impl Hunt {
    /// One that tries these.
    pub(crate) fn new(
        until: Instant,
        Lineup {
            company,
            buyers,
            joined,
        }: Lineup,
        brief: &Brief,
    ) -> Self {
        Self {
            company,
            buyers,
            joined,
            next: 0,
            turns: 0,
            races: 0,
            has_rung: false,
            is_last_resort: false,
            until,
            max_forwards: brief.max_forwards,
            hops: brief.hops,
            sender: brief.sender,
            is_kept: brief.kept.is_some(),
        }
    }

    /// Goes on with others.
    pub(crate) fn go_on_with(&mut self, lineup: Lineup) {
        self.company = lineup.company;
        self.buyers = lineup.buyers;
        self.joined = lineup.joined;
        self.next = 0;
        self.is_last_resort = false;
    }
}

impl Call {
    /// Takes in an answer of a buyer whose turn it is.
    pub(crate) fn handle_attempt_response(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) {
        let Some(attempt) = self.state.attempt_mut(turn) else {
            return;
        };
        attempt.silent_until = None;
        match response.status {
            // 100 is between neighbours (RFC 3261 §16.7); 199 ends an early dialog that the caller never saw,
            // but says that there was one.
            ..=100 => {}
            101..200 => {
                self.note_progress(core, turn);
                let Some(attempt) = self.state.attempt_mut(turn) else {
                    return;
                };
                let (key, policy) = (self.key, &self.policy);
                if attempt.take_provisional(now, core, key, policy, response, essentials)
                    && response.status != 199
                {
                    self.relay_ringing(now, core, turn, response);
                }
            }
            200..300 if attempt.is_held() => {
                let spent = attempt.spent();
                if let Some(unwanted) = self.unwanted(turn, response, essentials) {
                    unwanted.acknowledge_and_end(now, core, spent);
                }
            }
            200..300 if self.has_lost(turn) => self.lose(now, core, turn, response),
            200..300 if self.is_beside_offer(turn, essentials.to.tag()) => {
                // Its own offer cannot be told any more.
                let result = AttemptResult::MediaMismatch;
                self.give_answer_up(now, core, turn, response, result);
            }
            200..300 if self.hold_answer(turn, response) => self.note_progress(core, turn),
            200..300 => {
                self.note_progress(core, turn);
                self.handle_answer(now, core, turn, response, essentials);
            }
            401 | 407 | 422 if self.is_bound() => {
                let result = judge(response.status);
                self.end_attempt(now, core, turn, Some(response.status), result);
                self.hunt_on(now, core, turn, Next::Buyer);
            }
            401 | 407 if self.retry_with_credentials(now, core, turn, response) => {}
            422 if self.retry_with_interval(now, core, turn, response) => {}
            status => {
                let result = judge(status);
                let next = self.next_after(turn, is_trunk_failure(status));
                let retry_after = (status == 503).then(|| retry_after(response)).flatten();
                self.note_health(now, core, turn, Sign::of(next, retry_after));
                self.end_attempt(now, core, turn, Some(status), result);
                self.hunt_on(now, core, turn, next);
            }
        }
    }

    /// Whether no buyer can be tried after the current one.
    pub(crate) fn is_last_attempt(&self, now: Instant) -> bool {
        let (State::Hunting(hunting), Some(record)) = (&self.state, &self.record) else {
            return false;
        };
        let Hunting { early, hunt, .. } = &**hunting;
        hunting.turns.len() == 1 && self.is_last(now, (early, hunt), record.attempts.len())
    }

    /// Whether no buyer can be tried after the one that is attempt number `made`.
    pub(crate) fn is_last(
        &self,
        now: Instant,
        (early, hunt): (&Early, &Hunt),
        made: usize,
    ) -> bool {
        let is_last_here = hunt.next >= hunt.buyers.len() || hunt.is_last_resort;
        made >= self.policy.hunt.attempts || is_last_here && !self.may_go_on(now, early, hunt)
    }

    /// Time has passed for those whose turn it is.
    pub(crate) fn handle_turn_timeouts(&mut self, now: Instant, core: &mut Core) {
        for turn in self.turn_ids() {
            let State::Hunting(hunting) = &self.state else {
                return;
            };
            let Some(due) = hunting.turn(turn) else {
                continue;
            };
            if due.poll_timeout().is_none_or(|due| due > now) {
                continue;
            }
            match &due.phase {
                Phase::Asking(ticket, _) => {
                    let ticket = *ticket;
                    self.handle_reserved(now, core, ticket, None);
                }
                Phase::Pinging(_) => self.end_pings(now, core, Some(turn)),
                Phase::Trying(_) if hunting.early.abroad.is_some() => {
                    self.handle_silence(now, core, turn);
                }
                Phase::Trying(attempt) => {
                    let is_silent = attempt.silent_until.is_some();
                    self.handle_attempt_timeout(now, core, turn, is_silent);
                }
                Phase::Idle | Phase::Media => {}
            }
        }
    }

    /// A buyer that said nothing at all, or rang too long.
    fn handle_attempt_timeout(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        is_silent: bool,
    ) {
        let result = if is_silent {
            if let Some(attempt) = self.state.attempt(turn) {
                core.layer.stop_resending(attempt.client);
            }
            AttemptResult::Unreachable
        } else {
            AttemptResult::NoAnswer
        };
        let next = self.next_after(turn, is_silent);
        let sign = if is_silent {
            Sign::Failed(None)
        } else {
            Sign::Unclear
        };
        self.note_health(now, core, turn, sign);
        self.abandon_attempt(now, core, turn, None);
        self.end_attempt(now, core, turn, None, result);
        self.hunt_on(now, core, turn, next);
    }

    /// The INVITE's transaction gave up, or its transport failed.
    pub(crate) fn handle_attempt_failure(&mut self, now: Instant, core: &mut Core, id: ClientId) {
        let Some(turn) = self.turn_of(id) else {
            return;
        };
        let next = if self.goes_back_to_udp(now, core, turn) {
            self.note_health(now, core, turn, Sign::Unclear);
            Next::Gateway
        } else {
            let next = self.next_after(turn, true);
            self.note_health(now, core, turn, Sign::of(next, None));
            next
        };
        self.end_attempt(now, core, turn, None, AttemptResult::Unreachable);
        self.hunt_on(now, core, turn, next);
    }

    /// The callee was reached, so the gateway works.
    fn note_progress(&mut self, core: &mut Core, turn: TurnId) {
        let Some(attempt) = self.state.attempt_mut(turn) else {
            return;
        };
        if std::mem::replace(&mut attempt.has_rung, true) {
            return;
        }
        let began = attempt.began;
        self.note_health(began, core, turn, Sign::Works);
    }

    /// What is tried after an attempt: another gateway of the same buyer if it was the trunk that failed, and not
    /// before the callee was reached; else the next buyer.
    pub(crate) fn next_after(&self, turn: TurnId, is_trunk_failure: bool) -> Next {
        match self.state.attempt(turn) {
            Some(attempt) if is_trunk_failure && !attempt.has_rung => Next::Gateway,
            Some(_) | None => Next::Buyer,
        }
    }

    /// A name that this call waits for is found, or is not.
    pub(crate) fn handle_located(
        &mut self,
        now: Instant,
        core: &mut Core,
        wanted: &Wanted,
        is_found: bool,
    ) {
        for turn in self.turn_ids() {
            let State::Hunting(hunting) = &mut self.state else {
                return;
            };
            let Some(own) = hunting.turn_mut(turn) else {
                continue;
            };
            let waits = own.attempt().is_some_and(|attempt| {
                let lookup = attempt.gateway.lookup.as_deref();
                attempt.is_locating && lookup == Some(wanted)
            });
            if !waits {
                continue;
            }
            if is_found {
                // The same gateway again: it had no turn yet.
                own.gateways.push(own.tried);
                self.note_health(now, core, turn, Sign::Unclear);
            } else {
                self.note_health(now, core, turn, Sign::Failed(None));
                self.end_attempt(now, core, turn, None, AttemptResult::Unreachable);
            }
            self.hunt_on(now, core, turn, Next::Gateway);
        }
    }

    /// Takes back all INVITEs because the call is over.
    pub(crate) fn cancel_attempts(&mut self, now: Instant, core: &mut Core) {
        for turn in self.turn_ids() {
            self.cancel_attempt(now, core, turn, None);
        }
    }

    /// Takes back the INVITE of a turn because the call is over; `lines` is what the caller has to say to it.
    pub(crate) fn cancel_attempt(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        lines: Option<&[u8]>,
    ) {
        if self.state.attempt(turn).is_none() {
            return;
        }
        self.note_health(now, core, turn, Sign::Unclear);
        self.abandon_attempt(now, core, turn, lines);
        self.end_attempt(now, core, turn, None, AttemptResult::Cancelled);
    }

    /// Cancels an INVITE; should the buyer answer all the same, it is acknowledged and ended.
    pub(crate) fn abandon_attempt(
        &self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        lines: Option<&[u8]>,
    ) {
        let Some(attempt) = self.state.attempt(turn) else {
            return;
        };
        let Attempt { client, buyer, .. } = attempt;
        let (client, spent) = (*client, attempt.spent());
        // One that is over tells nothing any more, so nothing would be forgotten again.
        let key = core
            .layer
            .has_client(client)
            .then(|| core.leavings.insert(buyer, spent))
            .flatten();
        let owner = key.map_or(Owner::Abandoned(spent), Owner::Unwanted);
        core.transact(|layer, out| layer.cancel_with(now, client, owner, lines, out));
        let held = attempt.held.as_deref().and_then(reread_response);
        if let Some((response, essentials)) = held {
            let unwanted = self.unwanted(turn, &response, &essentials);
            match (key, unwanted) {
                (Some(key), Some(unwanted)) => unwanted.acknowledge_and_part(now, core, key),
                (None, Some(unwanted)) => unwanted.acknowledge_and_end(now, core, spent),
                (_, None) => {}
            }
        }
    }

    /// A buyer answered, but the caller cannot be told what: its call ends, and the next one is tried.
    pub(crate) fn give_answer_up(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        response: &Response<'_>,
        result: AttemptResult,
    ) {
        self.keep_answer(turn, response);
        self.note_health(now, core, turn, Sign::Works);
        self.abandon_attempt(now, core, turn, None);
        self.end_attempt(now, core, turn, Some(response.status), result);
        self.hunt_on(now, core, turn, Next::Buyer);
    }

    /// The buyer of a turn has answered with `status`: the call is its.
    pub(crate) fn note_winner(&mut self, now: Instant, core: &mut Core, turn: TurnId, status: u16) {
        self.end_attempt(now, core, turn, Some(status), AttemptResult::Answered);
        self.note_answer(now, core, turn);
        self.buyer_mark = self.state.attempt(turn).map(|attempt| attempt.mark);
        self.buyer_place = self.take_place(turn);
        let winner = self.state.attempt(turn).map(|attempt| &attempt.buyer);
        let record = self.record.as_mut();
        if let Some(story) = record.and_then(|record| record.story.as_mut())
            && let Some(winner) = winner
        {
            story.note_winner(winner);
        }
        self.note_taken(now, core);
    }

    /// A 2xx to the INVITE of a turn that is not wanted.
    fn unwanted<'a, 'm>(
        &'a self,
        turn: TurnId,
        response: &'a Response<'m>,
        essentials: &'a ResponseEssentials<'m>,
    ) -> Option<Unwanted<'a, 'm>> {
        let attempt = self.state.attempt(turn)?;
        Some(Unwanted {
            policy: &self.policy,
            id: attempt.client,
            flow: attempt.flow,
            response,
            essentials,
        })
    }
}

/// Reads Retry-After; a time of none is as good as no header.
fn retry_after(response: &Response<'_>) -> Option<Duration> {
    let value = response.head.first(Name::RetryAfter)?;
    let end = value.iter().position(|byte| !byte.is_ascii_digit());
    let digits = value.get(..end.unwrap_or(value.len()))?;
    let seconds: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// What a failure of a buyer means. Buyers are independent of one another, so even a 6xx of one says
/// nothing of the next: the hunt goes on after every one of these.
fn judge(status: u16) -> AttemptResult {
    match status {
        300..400 => AttemptResult::RedirectRefused,
        401 | 407 => AttemptResult::BuyerAuth,
        408 | 480 | 487 => AttemptResult::NoAnswer,
        486 | 600 => AttemptResult::Busy,
        415 | 488 | 606 => AttemptResult::MediaMismatch,
        604 => AttemptResult::BuyerRejected,
        500..600 => AttemptResult::BuyerError,
        603 | 600..=u16::MAX => AttemptResult::Declined,
        0..=u16::MAX => AttemptResult::BuyerRejected,
    }
}

/// Whether a failure is the trunk's, not the callee's: another gateway of the same buyer may do better.
fn is_trunk_failure(status: u16) -> bool {
    matches!(status, 408 | 500 | 502..=504)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_its_reason_code() {
        let table = [
            (302, AttemptResult::RedirectRefused),
            (401, AttemptResult::BuyerAuth),
            (403, AttemptResult::BuyerRejected),
            (404, AttemptResult::BuyerRejected),
            (407, AttemptResult::BuyerAuth),
            (408, AttemptResult::NoAnswer),
            (410, AttemptResult::BuyerRejected),
            (480, AttemptResult::NoAnswer),
            (484, AttemptResult::BuyerRejected),
            (486, AttemptResult::Busy),
            (488, AttemptResult::MediaMismatch),
            (500, AttemptResult::BuyerError),
            (503, AttemptResult::BuyerError),
            (600, AttemptResult::Busy),
            (603, AttemptResult::Declined),
            (604, AttemptResult::BuyerRejected),
            (606, AttemptResult::MediaMismatch),
            (607, AttemptResult::Declined),
        ];
        for (status, result) in table {
            assert_eq!(judge(status), result, "{status}");
        }
    }
}
