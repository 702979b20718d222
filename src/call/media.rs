//! The media of a call that goes through our relay: each session description is read on its way from one leg to
//! the other, and what the relay has to do is said anew.
//!
//! ```text
//!   caller's offer ──> session ──> offer to the buyer whose turn it is      each has its own
//!   caller's answer <── session <── the buyer's answer                      the caller's stays the same
//!                         └──> plan ──> relay
//! ```

use std::time::Instant;

use crate::call::b_leg::Attempt;
use crate::call::call::{Call, State};
use crate::call::core::{CallKey, Core};
use crate::call::gates::Clerk;
use crate::call::input::MediaLost;
use crate::call::output::{Event, Output};
use crate::call::policy::Policy;
use crate::call::provisional::reread_response;
use crate::call::record::{Outcome, Side};
use crate::call::within::begins_exchange;
use crate::media::plan::{Party, Patience, Plan, SessionId};
use crate::media::session::{Fault, Session, Terms};
use crate::media::vigil::Quiet;
use crate::routing::buyer::Buyer;
use crate::routing::trunk::Trunk;
use crate::sip::body::{Unfound, session_description, with_description};
use crate::sip::message::{Head, Request, Response};
use crate::types::ids::CallUuid;

/// A call's media, anchored at our relay.
pub(crate) struct Anchor {
    pub(crate) id: SessionId,
    session: Session,
    patience: Patience,
    /// What the relay was told last.
    told: Option<Plan>,
}

/// What a session description is to the one before it (RFC 3264).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Offer,
    Answer,
}

/// Why a session description cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It cannot be found in the body.
    Unfound(Unfound),
    /// It cannot be read, or not be met.
    Fault(Fault),
}

impl Unfit {
    /// The status that tells its sender.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Unfound(_) => 415,
            Self::Fault(fault) => fault.status(),
        }
    }

    /// The word in the log.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Unfound(_) => "unreadable_body",
            Self::Fault(fault) => fault.label(),
        }
    }
}

impl From<Side> for Party {
    fn from(side: Side) -> Self {
        match side {
            Side::Caller | Side::Edge => Self::Caller,
            Side::Buyer => Self::Buyer,
        }
    }
}

/// Whose media meet, and whether their signalling goes by IPv6.
#[derive(Clone, Copy)]
pub(crate) struct Meeting<'p> {
    pub(crate) policy: &'p Policy,
    pub(crate) trunk: &'p Trunk,
    pub(crate) is_caller_ipv6: bool,
    pub(crate) buyer: &'p Buyer,
    pub(crate) is_buyer_ipv6: bool,
}

impl Meeting<'_> {
    /// Whether the media of this call goes through us: unless both sides want it to go directly.
    fn is_relayed(&self) -> bool {
        self.policy.media.is_open() && (self.trunk.media.is_relayed || self.buyer.media.is_relayed)
    }
}

impl Attempt {
    /// What a session description of the buyer's is.
    pub(crate) fn role(&self) -> Role {
        if self.has_offer {
            Role::Answer
        } else {
            Role::Offer
        }
    }
}

/// A call's anchor, if it has one: what it does is written so that the rest of the call can be held meanwhile.
pub(crate) type Anchored = Option<Box<Anchor>>;

/// Another attempt begins: its buyer hears nothing of what was agreed with the one before.
pub(crate) fn next_buyer(
    anchored: &mut Anchored,
    now: Instant,
    core: &mut Core,
    key: CallKey,
    meeting: Meeting<'_>,
) {
    if anchored.is_none() && !meeting.is_relayed() {
        return;
    }
    let caller = Terms {
        is_ipv6: meeting.is_caller_ipv6,
        ..meeting.trunk.media.terms.clone()
    };
    let buyer = Terms {
        is_ipv6: meeting.is_buyer_ipv6,
        ..meeting.buyer.media.terms.clone()
    };
    let shard = core.shard;
    let anchor = anchored.get_or_insert_with(|| {
        let id = key.session(shard);
        Box::new(Anchor {
            id,
            session: Session::new(id, caller),
            patience: meeting.policy.media.patience,
            told: None,
        })
    });
    anchor.session.next_buyer(buyer, &mut core.clerk(now));
}

/// Takes a session description of one side to the other: what its body becomes. `None`: the body goes on as it is,
/// for there is no session description in it, or the media is no business of ours.
pub(crate) fn carry(
    anchored: &mut Anchored,
    now: Instant,
    core: &mut Core,
    (from, role): (Side, Role),
    head: &Head<'_>,
) -> Result<Option<Vec<u8>>, Unfit> {
    let Some(anchor) = anchored else {
        return Ok(None);
    };
    let place = session_description(head).map_err(Unfit::Unfound)?;
    let Some(place) = place else {
        return Ok(None);
    };
    let sdp = head.body().get(place.clone()).unwrap_or_default();
    let carried = match role {
        Role::Offer => anchor.session.offer(from.into(), sdp, &mut core.clerk(now)),
        Role::Answer => anchor
            .session
            .answer(from.into(), sdp, &mut core.clerk(now)),
    };
    let carried = carried.map_err(Unfit::Fault)?;
    anchor.tell(core);
    Ok(Some(with_description(head.body(), place, carried)))
}

/// Takes what a request within a call offers to the other side.
pub(crate) fn carry_on(
    anchored: &mut Anchored,
    now: Instant,
    core: &mut Core,
    (uuid, from): (CallUuid, Side),
    request: &Request<'_>,
) -> Result<Option<Vec<u8>>, Unfit> {
    if !begins_exchange(request) {
        return Ok(None);
    }
    let carried = carry(anchored, now, core, (from, Role::Offer), &request.head);
    note_unfit(core, uuid, from, carried)
}

/// Tells of a session description that cannot go on.
pub(crate) fn note_unfit<T>(
    core: &mut Core,
    uuid: CallUuid,
    from: Side,
    carried: Result<T, Unfit>,
) -> Result<T, Unfit> {
    if let Err(unfit) = &carried {
        let why = unfit.label();
        core.event(Event::MediaUnfit { uuid, from, why });
    }
    carried
}

/// An offer was refused, or did not get there: what was agreed before stands.
pub(crate) fn forget_offer(anchored: &mut Anchored, now: Instant, core: &mut Core) {
    if let Some(anchor) = anchored {
        anchor.session.forget_offer(&mut core.clerk(now));
        anchor.tell(core);
    }
}

/// The call is answered: from now on silence counts.
pub(crate) fn note_answered(anchored: &mut Anchored, core: &mut Core) {
    if let Some(anchor) = anchored {
        anchor.session.note_answered();
        anchor.tell(core);
    }
}

impl Anchor {
    /// Tells the relay what has changed.
    fn tell(&mut self, core: &mut Core) {
        let mut plan = self.session.plan();
        plan.patience = Patience {
            is_answered: plan.patience.is_answered,
            ..self.patience
        };
        if self.told.as_ref() != Some(&plan) {
            core.output(Output::Media {
                id: self.id,
                plan: Box::new(plan.clone()),
            });
            self.told = Some(plan);
        }
    }
}

impl Call {
    /// What the caller is told of the media by a buyer's 2xx, or by the reliable response before it that brought the
    /// answer.
    pub(crate) fn carry_answer(
        &mut self,
        now: Instant,
        core: &mut Core,
        response: &Response<'_>,
        tag: Option<&[u8]>,
    ) -> Result<Option<Vec<u8>>, Unfit> {
        let (State::Hunting(hunting), true) = (&mut self.state, self.media.is_some()) else {
            return Ok(None);
        };
        let attempt = &mut hunting.attempt;
        let from = (Side::Buyer, attempt.role());
        let before = attempt.early_of(tag).and_then(|early| early.answer.clone());
        let before = before.filter(|_| response.head.body().is_empty());
        let before = before.as_deref().and_then(reread_response);
        let head = before
            .as_ref()
            .map_or(&response.head, |(before, _)| &before.head);
        let carried = carry(&mut self.media, now, core, from, head);
        note_unfit(core, self.uuid, Side::Buyer, carried)
    }

    /// The relay has lost this call's media: without it the call is of no use.
    pub(crate) fn handle_media_lost(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        lost: MediaLost,
    ) {
        if self.media.as_ref().is_none_or(|anchor| anchor.id != id) {
            return;
        }
        let (outcome, by) = match lost {
            MediaLost::Quiet(Quiet::OneWay(Party::Caller)) => (Outcome::MediaSilent, Side::Caller),
            MediaLost::Quiet(Quiet::OneWay(Party::Buyer)) => (Outcome::MediaSilent, Side::Buyer),
            MediaLost::Quiet(Quiet::Both | Quiet::Hold) => (Outcome::MediaSilent, Side::Edge),
            MediaLost::Unbound => (Outcome::MediaFailed, Side::Edge),
        };
        match &self.state {
            State::Asking(_) | State::Hunting(_) => {
                self.drop_asking(now, core, outcome);
                self.cancel_attempt(now, core, None);
                self.fail(now, core, outcome, by);
            }
            State::Talking(_) => self.hang_up(now, core, outcome, by),
            State::Ending(_) | State::Gone => {}
        }
    }

    /// The call is over: its ports go back. The record takes the session's name along, for the relay's figures.
    pub(crate) fn release_media(&mut self, now: Instant, core: &mut Core) -> Option<SessionId> {
        let anchor = self.media.take()?;
        anchor.session.end(&mut core.clerk(now));
        anchor.told.is_some().then_some(anchor.id)
    }
}

impl Core {
    /// The way to ports for media.
    pub(crate) fn clerk(&mut self, now: Instant) -> Clerk<'_> {
        Clerk {
            now,
            gates: &mut self.gates,
            entropy: &mut self.entropy,
        }
    }
}
