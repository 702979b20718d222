//! The buyer's offer in a reliable provisional response, and the caller's answer in its PRACK: for an INVITE without
//! offer, of a caller that can do that (RFC 3262 §5, RFC 6337 §2.2).
//!
//! ```text
//!   caller                    we                     buyer
//!     | INVITE, 100rel        |  INVITE, 100rel        |     neither with an offer
//!     |---------------------->|----------------------->|
//!     |   183, RSeq 812       |     183, RSeq 5        |
//!     |       offer           |<-----------------------|     no PRACK yet: it has to bring the answer
//!     |<----------------------|                        |
//!     |  PRACK, answer        |  PRACK, RAck 5, answer |
//!     |---------------------->|----------------------->|
//!     |       200 PRACK       |        200 INVITE      |     without a description: all is agreed
//!     |<----------------------|<-----------------------|
//! ```
//!
//! An answer cannot be taken back, so this is for the last buyer, called alone, of a call that no exit leads on and that may not
//! wait; all others are called without 100rel, and bring their offer in the 200. Nobody is called after it. Of several early
//! dialogs of the buyer, the first that brings an offer has it answered; the offers of others are neither acknowledged nor heard.

use std::time::Instant;

use bytes::Bytes;

use crate::call::a_leg::Early;
use crate::call::b_leg::Attempt;
use crate::call::call::{Call, State};
use crate::call::core::Core;
use crate::call::headers::Crossing;
use crate::call::lodger::Parked;
use crate::call::media::{self, Carried, Role, Unfit};
use crate::call::next::{Next, Sign};
use crate::call::provisional::Provisional;
use crate::call::record::{Outcome, Side};
use crate::call::session::Told;
use crate::call::turn::TurnId;
use crate::sip::flow::Flow;
use crate::sip::message::{Head, Request};

/// How far the offer of a reliable response has come.
#[derive(Default)]
pub(crate) enum Late {
    /// The INVITE had an offer of its own, so there is none.
    #[default]
    Early,
    /// There was none yet.
    Awaited,
    /// The caller is being told of it.
    Offered(Told),
    /// It is answered.
    Answered,
}

impl Late {
    /// Whether provisional responses cannot be reliable yet, for the first of them would have to bring an offer (RFC 3261
    /// §13.2.1), and this one does not.
    pub(crate) fn bars(&self, has_body: bool) -> bool {
        match self {
            Self::Early | Self::Answered => false,
            Self::Awaited => true,
            Self::Offered(_) => !has_body,
        }
    }
}

impl Early {
    fn late(&self) -> Option<&Late> {
        self.provisional.as_ref().map(|one| &one.late)
    }

    /// Whether the caller takes an offer before the call is answered, and has had none.
    pub(crate) fn awaits_offer(&self) -> bool {
        matches!(self.late(), Some(Late::Awaited))
    }

    /// Whether the caller has been told of a buyer's offer: it can have no other buyer.
    pub(crate) fn is_bound(&self) -> bool {
        matches!(self.late(), Some(Late::Offered(_) | Late::Answered))
    }

    /// The caller is to be told of this offer.
    pub(crate) fn note_offer(&mut self, head: &Head<'_>) {
        let told = Told::of(head);
        if let (Some(provisional), Some(told)) = (&mut self.provisional, told) {
            provisional.late = Late::Offered(told);
        }
    }
}

impl Provisional {
    /// The offer that the caller has answered.
    fn take_offer(&mut self) -> Option<Told> {
        match std::mem::replace(&mut self.late, Late::Answered) {
            Late::Offered(told) => Some(told),
            Late::Early | Late::Awaited | Late::Answered => None,
        }
    }
}

impl Attempt {
    /// Whether a reliable response with a body would be the buyer's offer, and the first.
    pub(crate) fn awaits_offer(&self) -> bool {
        self.takes_offer && !self.early.iter().any(|early| early.answer.is_some())
    }

    /// Whether an offer of the buyer's waits for its PRACK.
    pub(crate) fn owes_answer(&self) -> bool {
        self.early.iter().any(|early| early.owed.is_some())
    }
}

impl Call {
    /// Whether the caller has been told of an offer that is not this dialog's of the buyer.
    pub(crate) fn is_beside_offer(&self, turn: TurnId, tag: Option<&[u8]>) -> bool {
        let (State::Hunting(hunting), Some(attempt)) = (&self.state, self.state.attempt(turn))
        else {
            return false;
        };
        let tag = tag.unwrap_or_default();
        let mut early = attempt.early.iter();
        let is_its = early.any(|one| one.dialog.remote_tag() == tag && one.answer.is_some());
        hunting.early.is_bound() && !is_its
    }

    /// Whether the caller has been told of a buyer's offer.
    pub(crate) fn is_bound(&self) -> bool {
        matches!(&self.state, State::Hunting(hunting) if hunting.early.is_bound())
    }

    /// The offer of a buyer cannot be told: its call is taken back.
    pub(crate) fn give_offer_up(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        unfit: Unfit,
    ) {
        self.note_health(now, core, turn, Sign::Works);
        self.abandon_attempt(now, core, turn, None);
        self.end_attempt(now, core, turn, None, unfit.result());
        self.hunt_on(now, core, turn, Next::Buyer);
    }

    /// Whether the caller's PRACK, which acknowledges what waits for it, brings the answer to the buyer's offer.
    pub(crate) fn owes_answer(&self) -> bool {
        let mut attempts = self.state.turns().iter().filter_map(|turn| turn.attempt());
        attempts.any(Attempt::owes_answer)
    }

    /// The caller's PRACK with the answer: it goes to the buyer in ours.
    pub(crate) fn pass_prack(
        &mut self,
        now: Instant,
        core: &mut Core,
        flow: Flow,
        request: &Request<'_>,
    ) {
        let answer = ((Side::Caller, Role::Answer), flow.remote.ip());
        let carried = media::carry(&mut self.media, now, core, answer, &request.head);
        let carried = match media::note_unfit(core, self.uuid, Side::Caller, carried) {
            Ok(Carried::Wait) => {
                let prack = Bytes::copy_from_slice(request.head.message());
                self.media.park(Parked::Prack(Box::new((flow, prack))));
                return;
            }
            Ok(Carried::Body(body)) => Some(body),
            Ok(Carried::AsIs) if request.head.body().is_empty() || self.media.is_any() => None,
            Ok(Carried::AsIs) => Some(request.head.body().to_vec()),
            Err(_) => None,
        };
        // The buyer would wait for the answer for ever.
        let Some(body) = carried else {
            self.cancel_attempts(now, core);
            self.fail(now, core, Outcome::MediaFailed, Side::Caller);
            return;
        };
        let request = request.with_body(&body);
        let (key, policy) = (self.key, self.policy.clone());
        let State::Hunting(hunting) = &mut self.state else {
            return;
        };
        let Some((early, attempt)) = hunting.sole() else {
            return;
        };
        let offer = early.provisional.as_mut().and_then(|one| one.take_offer());
        let advertise = policy.advertised(attempt.flow.listener);
        let peers = (&*self.trunk, &*attempt.buyer);
        let crossing = Crossing::from(Side::Caller, &policy, peers, flow.remote.ip(), advertise);
        let keeps_sent = attempt.buyer.login.is_some();
        let mut dialogs = attempt.early.iter_mut();
        let Some(one) = dialogs.find(|one| one.owed.is_some()) else {
            return;
        };
        if let Some(rack) = one.owed.take() {
            let with = Some((&request.head, crossing));
            let sent = one.acknowledge(now, core, key, &policy, rack, with);
            one.prack = sent.filter(|_| keeps_sent);
        }
        let tag = Box::from(one.dialog.remote_tag());
        early.settle_with(tag, offer, Told::of(&request.head));
    }
}
