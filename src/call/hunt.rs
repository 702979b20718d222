//! The hunt: buyers in turn until one answers, and what each answer means for the next.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::call::b_leg::Attempt;
use crate::call::call::{Call, State};
use crate::call::core::{Core, Owner};
use crate::call::credentials::{Credentials, Repeat, reread};
use crate::call::next::{Next, Sign};
use crate::call::output::Event;
use crate::call::provisional::reread_response;
use crate::call::record::AttemptResult;
use crate::call::route::Brief;
use crate::call::session::MOST_RAISED;
use crate::call::unwanted::Unwanted;
use crate::routing::buyer::Buyer;
use crate::routing::trunk::CompanyId;
use crate::sip::locate::Target;
use crate::sip::message::{Name, Response, ResponseEssentials};
use crate::transaction::layer::ClientId;

/// How far a hunt has come, and what goes with each INVITE of it.
pub(crate) struct Hunt {
    /// Who owns the call key.
    pub(crate) company: CompanyId,
    /// Those that are tried, in this order.
    pub(crate) buyers: Arc<[Arc<Buyer>]>,
    /// Place of the next one.
    pub(crate) next: usize,
    /// The gateways of the buyer before it that are not tried yet, by place; the next one last.
    pub(crate) gateways: SmallVec<[u8; 4]>,
    /// The gateway that is being tried.
    pub(crate) tried: u8,
    /// Further places of that gateway, if it is known by name; the next one last.
    pub(crate) places: Vec<Target>,
    /// All that the call could be offered to is down: one is tried all the same, and none after it.
    pub(crate) is_last_resort: bool,
    /// What has been done for the buyer whose turn it is.
    pub(crate) selection: Selection,
    /// After this no further buyer is tried.
    pub(crate) until: Instant,
    pub(crate) max_forwards: u8,
    pub(crate) hops: u8,
    /// Who sent the caller's INVITE.
    pub(crate) sender: IpAddr,
}

/// What has been done for a buyer whose turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Nothing.
    New,
    /// Webhooks have been told of it.
    Told,
    /// It may be called.
    Done,
}

impl Hunt {
    /// One that tries these buyers in this order.
    pub(crate) fn new(
        until: Instant,
        company: CompanyId,
        buyers: Arc<[Arc<Buyer>]>,
        brief: &Brief,
    ) -> Self {
        Self {
            company,
            buyers,
            next: 0,
            gateways: SmallVec::new(),
            tried: 0,
            places: Vec::new(),
            is_last_resort: false,
            selection: Selection::New,
            until,
            max_forwards: brief.max_forwards,
            hops: brief.hops,
            sender: brief.sender,
        }
    }

    /// Goes on with other buyers.
    pub(crate) fn go_on_with(&mut self, company: CompanyId, buyers: Arc<[Arc<Buyer>]>) {
        self.company = company;
        self.buyers = buyers;
        self.next = 0;
        self.gateways.clear();
        self.places.clear();
        self.is_last_resort = false;
    }

    /// The buyer whose gateways are being tried.
    pub(crate) fn current(&self) -> Option<&Arc<Buyer>> {
        self.buyers.get(self.next.checked_sub(1)?)
    }
}

impl Call {
    /// Takes in an answer of the buyer whose turn it is.
    pub(crate) fn handle_attempt_response(
        &mut self,
        now: Instant,
        core: &mut Core,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) {
        let State::Hunting(hunting) = &mut self.state else {
            return;
        };
        hunting.attempt.silent_until = None;
        match response.status {
            // 100 is between neighbours (RFC 3261 §16.7); 199 ends an early dialog that the caller never saw,
            // but says that there was one.
            ..=100 => {}
            101..200 => {
                self.note_progress(core);
                let State::Hunting(hunting) = &mut self.state else {
                    return;
                };
                let (key, policy) = (self.key, &self.policy);
                let attempt = &mut hunting.attempt;
                if attempt.take_provisional(now, core, key, policy, response, essentials)
                    && response.status != 199
                {
                    self.relay_ringing(now, core, response);
                }
            }
            200..300 if hunting.attempt.is_held() => {
                let spent = hunting.attempt.spent();
                if let Some(unwanted) = self.unwanted(response, essentials) {
                    unwanted.acknowledge_and_end(now, core, spent);
                }
            }
            200..300 if self.hold_answer(response) => self.note_progress(core),
            200..300 => {
                self.note_progress(core);
                self.handle_answer(now, core, response, essentials);
            }
            401 | 407 if self.retry_with_credentials(now, core, response) => {}
            422 if self.retry_with_interval(now, core, response) => {}
            status => {
                let result = judge(status);
                let next = self.next_after(is_trunk_failure(status));
                let retry_after = (status == 503).then(|| retry_after(response)).flatten();
                self.note_health(now, core, Sign::of(next, retry_after));
                self.end_attempt(now, core, Some(status), result);
                self.hunt_on(now, core, next);
            }
        }
    }

    /// Whether no buyer will be tried after the current one.
    pub(crate) fn is_last_attempt(&self) -> bool {
        let (State::Hunting(hunting), Some(record)) = (&self.state, &self.record) else {
            return false;
        };
        hunting.hunt.next >= hunting.hunt.buyers.len()
            || hunting.hunt.is_last_resort
            || record.attempts.len() >= self.policy.hunt.attempts
    }

    /// A buyer that said nothing at all, or rang too long.
    pub(crate) fn handle_attempt_timeout(&mut self, now: Instant, core: &mut Core) {
        let State::Hunting(hunting) = &self.state else {
            return;
        };
        let attempt = &hunting.attempt;
        if attempt.poll_timeout().is_none_or(|due| due > now) {
            return;
        }
        let is_silent = attempt.silent_until.is_some();
        let result = if is_silent {
            core.layer.stop_resending(attempt.client);
            AttemptResult::Unreachable
        } else {
            AttemptResult::NoAnswer
        };
        let next = self.next_after(is_silent);
        let sign = if is_silent {
            Sign::Failed(None)
        } else {
            Sign::Unclear
        };
        self.note_health(now, core, sign);
        self.abandon_attempt(now, core, None);
        self.end_attempt(now, core, None, result);
        self.hunt_on(now, core, next);
    }

    /// The INVITE's transaction gave up, or its transport failed.
    pub(crate) fn handle_attempt_failure(&mut self, now: Instant, core: &mut Core, id: ClientId) {
        let is_current =
            matches!(&self.state, State::Hunting(hunting) if hunting.attempt.client == id);
        if is_current && self.goes_back_to_udp(now, core) {
            self.note_health(now, core, Sign::Unclear);
            self.end_attempt(now, core, None, AttemptResult::Unreachable);
            self.hunt_on(now, core, Next::Gateway);
        } else if is_current {
            let next = self.next_after(true);
            self.note_health(now, core, Sign::of(next, None));
            self.end_attempt(now, core, None, AttemptResult::Unreachable);
            self.hunt_on(now, core, next);
        }
    }

    /// The callee was reached, so the gateway works.
    fn note_progress(&mut self, core: &mut Core) {
        let State::Hunting(hunting) = &mut self.state else {
            return;
        };
        if std::mem::replace(&mut hunting.attempt.has_rung, true) {
            return;
        }
        let began = hunting.attempt.began;
        self.note_health(began, core, Sign::Works);
    }

    /// What is tried after the current attempt: another gateway of the same buyer if it was the trunk that
    /// failed, and not before the callee was reached; else the next buyer.
    fn next_after(&self, is_trunk_failure: bool) -> Next {
        match &self.state {
            State::Hunting(hunting) if is_trunk_failure && !hunting.attempt.has_rung => {
                Next::Gateway
            }
            State::Asking(_)
            | State::Hunting(_)
            | State::Talking(_)
            | State::Ending(_)
            | State::Gone => Next::Buyer,
        }
    }

    /// The name that this call waits for is found, or is not.
    pub(crate) fn handle_located(&mut self, now: Instant, core: &mut Core, is_found: bool) {
        let State::Hunting(hunting) = &mut self.state else {
            return;
        };
        if !hunting.attempt.is_locating {
            return;
        }
        if is_found {
            // The same gateway again: it had no turn yet.
            let current = hunting.hunt.tried;
            hunting.hunt.gateways.push(current);
            self.note_health(now, core, Sign::Unclear);
            if let Some(record) = &mut self.record {
                record.attempts.pop();
            }
        } else {
            self.note_health(now, core, Sign::Failed(None));
            self.end_attempt(now, core, None, AttemptResult::Unreachable);
        }
        self.hunt_on(now, core, Next::Gateway);
    }

    /// Takes back the current INVITE because the call is over; `lines` is what the caller has to say to it.
    pub(crate) fn cancel_attempt(&mut self, now: Instant, core: &mut Core, lines: Option<&[u8]>) {
        if !matches!(self.state, State::Hunting(_)) {
            return;
        }
        self.note_health(now, core, Sign::Unclear);
        self.abandon_attempt(now, core, lines);
        self.end_attempt(now, core, None, AttemptResult::Cancelled);
    }

    /// Cancels the current INVITE; should the buyer answer all the same, it is acknowledged and ended.
    fn abandon_attempt(&self, now: Instant, core: &mut Core, lines: Option<&[u8]>) {
        if let State::Hunting(hunting) = &self.state {
            let Attempt { client, buyer, .. } = &hunting.attempt;
            let (client, spent) = (*client, hunting.attempt.spent());
            // One that is over tells nothing any more, so nothing would be forgotten again.
            let key = core
                .layer
                .has_client(client)
                .then(|| core.leavings.insert(buyer, spent))
                .flatten();
            let owner = key.map_or(Owner::Abandoned(spent), Owner::Unwanted);
            core.transact(|layer, out| layer.cancel_with(now, client, owner, lines, out));
            let held = hunting.attempt.held.as_deref().and_then(reread_response);
            if let Some((response, essentials)) = held {
                let unwanted = self.unwanted(&response, &essentials);
                match (key, unwanted) {
                    (Some(key), Some(unwanted)) => unwanted.acknowledge_and_part(now, core, key),
                    (None, Some(unwanted)) => unwanted.acknowledge_and_end(now, core, spent),
                    (_, None) => {}
                }
            }
        }
    }

    /// A buyer answered, but the caller cannot be told what: its call ends, and the next one is tried.
    pub(crate) fn give_answer_up(
        &mut self,
        now: Instant,
        core: &mut Core,
        response: &Response<'_>,
        result: AttemptResult,
    ) {
        self.keep_answer(response);
        self.note_health(now, core, Sign::Works);
        self.abandon_attempt(now, core, None);
        self.end_attempt(now, core, Some(response.status), result);
        self.hunt_on(now, core, Next::Buyer);
    }

    /// A 2xx to the current INVITE that is not wanted.
    fn unwanted<'a, 'm>(
        &'a self,
        response: &'a Response<'m>,
        essentials: &'a ResponseEssentials<'m>,
    ) -> Option<Unwanted<'a, 'm>> {
        match &self.state {
            State::Hunting(hunting) => Some(Unwanted {
                policy: &self.policy,
                id: hunting.attempt.client,
                flow: hunting.attempt.flow,
                response,
                essentials,
            }),
            State::Asking(_) | State::Talking(_) | State::Ending(_) | State::Gone => None,
        }
    }

    /// Writes down how the current attempt went.
    pub(crate) fn end_attempt(
        &mut self,
        now: Instant,
        core: &mut Core,
        status: Option<u16>,
        result: AttemptResult,
    ) {
        self.drop_early_offer(now, core);
        self.media.drop_asked();
        let Some(record) = &mut self.record else {
            return;
        };
        let uuid = record.uuid;
        let Some(attempt) = record.attempts.last_mut() else {
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

    /// Notes that the current attempt was answered with `status`.
    pub(crate) fn note_attempt_answered(&mut self, now: Instant, core: &mut Core, status: u16) {
        self.end_attempt(now, core, Some(status), AttemptResult::Answered);
    }

    /// Sends the INVITE once more with credentials; `false` if there are none to give, or they were
    /// given already: two INVITEs a buyer at most.
    fn retry_with_credentials(
        &mut self,
        now: Instant,
        core: &mut Core,
        response: &Response<'_>,
    ) -> bool {
        let State::Hunting(hunting) = &mut self.state else {
            return false;
        };
        let attempt = &mut hunting.attempt;
        let Some(login) = &attempt.buyer.login else {
            return false;
        };
        if attempt.tries >= MOST_TRIES {
            return false;
        }
        let Some(sent) = reread(&attempt.invite) else {
            return false;
        };
        let Some(credentials) = Credentials::answer(core, login, &sent, response) else {
            return false;
        };
        attempt.tries += 1;
        self.send_again(now, core, Some(credentials), None)
    }

    /// Sends the INVITE once more with the session interval that the buyer wants (RFC 4028 §7.3); `false` if it
    /// wants none that we can give, or has had its tries.
    fn retry_with_interval(
        &mut self,
        now: Instant,
        core: &mut Core,
        response: &Response<'_>,
    ) -> bool {
        let terms = self.policy.session;
        let State::Hunting(hunting) = &mut self.state else {
            return false;
        };
        let attempt = &mut hunting.attempt;
        let interval = terms.and_then(|terms| terms.raised(&response.head));
        if attempt.raised >= MOST_RAISED || interval.is_none() {
            return false;
        }
        attempt.raised += 1;
        // Its nonce was used; should it challenge again, it is answered again.
        attempt.tries = 1;
        self.send_again(now, core, None, interval)
    }

    /// Sends the INVITE of the current attempt once more.
    fn send_again(
        &mut self,
        now: Instant,
        core: &mut Core,
        credentials: Option<Credentials>,
        interval: Option<u32>,
    ) -> bool {
        let State::Hunting(hunting) = &mut self.state else {
            return false;
        };
        let attempt = &mut hunting.attempt;
        let Some(sent) = reread(&attempt.invite) else {
            return false;
        };
        let client = {
            let Core { layer, entropy, .. } = &mut *core;
            layer.prepare(entropy)
        };
        let Some(client) = client else {
            return false;
        };
        let branch = core.layer.branch(client);
        let repeat = Repeat {
            policy: &self.policy,
            flow: attempt.flow,
            branch: &branch,
            cseq: attempt.cseq + 1,
            credentials: credentials.as_ref(),
            interval,
        };
        let Some(invite) = repeat.write(core, &sent) else {
            core.layer.release(client);
            return false;
        };
        let owner = Owner::Attempt(self.key);
        let (flow, bytes) = (attempt.flow, invite.clone());
        core.transact(|layer, out| layer.send_invite(now, client, flow, bytes, owner, out));
        attempt.client = client;
        attempt.cseq += 1;
        attempt.invite = invite;
        attempt.credentials = credentials;
        attempt.silent_until = Some(now + attempt.buyer.response_timeout);
        attempt.early.clear();
        true
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

/// INVITEs that one buyer gets at most: one, and one with credentials.
const MOST_TRIES: u8 = 2;

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
