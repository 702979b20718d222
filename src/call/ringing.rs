//! What the caller hears before anybody has answered.

use std::mem;
use std::time::Instant;

use bytes::Bytes;

use crate::call::call::{Call, Hunting, State};
use crate::call::core::Core;
use crate::call::face::Face;
use crate::call::headers::Crossing;
use crate::call::lodger::Parked;
use crate::call::media::{self, Carried};
use crate::call::record::Side;
use crate::call::turn::{Turn, TurnId};
use crate::sip::message::Response;

impl Call {
    /// Tells the caller of a provisional response. Of several who ring at once it hears ringing, once. A body answers the
    /// caller's offer, and an answer cannot be taken back when the hunt goes on (RFC 3264 §4, RFC 3261 §13.2.1): it passes
    /// where the media goes through our relay, which makes the same answer of the next buyer's, or from a buyer after whom
    /// there can be no other. The caller of any other hears ringing instead.
    pub(crate) fn relay_ringing(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        response: &Response<'_>,
    ) {
        let is_last = self.is_last_attempt(now);
        let State::Hunting(hunting) = &mut self.state else {
            return;
        };
        let face = Face::towards(Side::Caller, &self.policy, &self.trunk);
        let tag = self.caller_mark.text();
        let Hunting {
            early,
            hunt,
            turns,
            ring_at,
        } = &mut **hunting;
        if turns.len() > 1 {
            *ring_at = None;
            // Whoever has rung first is as good as the next.
            if !mem::replace(&mut hunt.has_rung, true)
                && early.ring(now, core, face, &tag, 180, None)
            {
                self.note_ringing(now);
            }
            return;
        }
        let own = turns.iter().find(|one| one.id == turn);
        let Some(attempt) = own.and_then(Turn::attempt) else {
            return;
        };
        let crossing = Crossing::from(
            Side::Buyer,
            &self.policy,
            (&self.trunk, &attempt.buyer),
            attempt.flow.remote.ip(),
            face.advertised(early.flow.listener),
        );
        let is_offer =
            attempt.owes_answer() && early.awaits_offer() && !response.head.body().is_empty();
        // What else comes of one that is to bring its offer reliably is none, and no answer.
        let bare = (attempt.takes_offer && !is_offer).then(|| response.with_body(b""));
        let response = bare.as_ref().unwrap_or(response);
        let answer = ((Side::Buyer, attempt.role()), attempt.flow.remote.ip());
        let carried = media::carry(&mut self.media, now, core, answer, &response.head);
        let carried = media::note_unfit(core, self.uuid, Side::Buyer, carried);
        let heard = match &carried {
            Ok(Carried::Wait) => {
                let kept = Bytes::copy_from_slice(response.head.message());
                self.media.park(Parked::Ringing(kept));
                return;
            }
            Ok(Carried::Body(body)) => Some(response.with_body(body)),
            Ok(Carried::AsIs) if response.head.body().is_empty() || is_last => {
                Some(response.clone())
            }
            Err(unfit) if is_offer => {
                let unfit = *unfit;
                self.give_offer_up(now, core, turn, unfit);
                return;
            }
            Ok(Carried::AsIs) | Err(_) => None,
        };
        if let Some(heard) = heard.as_ref().filter(|_| is_offer) {
            early.note_offer(&heard.head);
        }
        let (status, with) = match &heard {
            Some(heard) => (heard.status, Some((heard, crossing))),
            None => (180, None),
        };
        *ring_at = None;
        let is_heard = early.ring(now, core, face, &tag, status, with);
        if is_heard {
            self.note_ringing(now);
        }
    }

    /// No buyer has rung for so long that the caller would take the line for dead: ringing of our own.
    pub(crate) fn handle_ring_timeout(&mut self, now: Instant, core: &mut Core) {
        let State::Hunting(hunting) = &mut self.state else {
            return;
        };
        if hunting.ring_due().is_some_and(|ring| ring <= now) {
            hunting.ring_at = None;
            let tag = self.caller_mark.text();
            let face = Face::towards(Side::Caller, &self.policy, &self.trunk);
            if hunting.early.ring(now, core, face, &tag, 180, None) {
                self.note_ringing(now);
            }
        }
    }
}
