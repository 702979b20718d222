//! The media of a call that is relayed: each session description is read on its way from one leg to the other. Where
//! our relay does it, what that has to do is said anew; where an rtpengine does it, it is asked first (`lodger`).
//!
//! ```text
//!   caller's offer ──> session ──> offer to the buyer whose turn it is      each has its own
//!   caller's answer <── session <── the buyer's answer                      the caller's stays the same
//!                         └──> plan ──> relay
//! ```
//!
//! Whoever has a description to pass on calls [`carry`], and may be told to wait; over our relay nobody is.

use std::mem;
use std::net::IpAddr;
use std::time::Instant;

use crate::call::b_leg::Attempt;
use crate::call::call::{Call, State};
use crate::call::core::{CallKey, Core};
use crate::call::gates::Clerk;
use crate::call::input::MediaLost;
use crate::call::lodger::Lodger;
use crate::call::output::{Event, Output};
use crate::call::policy::Policy;
use crate::call::provisional::reread_response;
use crate::call::record::{AttemptResult, MediaAt, Outcome, Side};
use crate::call::turn::TurnId;
use crate::call::within::begins_exchange;
use crate::media::plan::{Party, Patience, Plan, SessionId};
use crate::media::session::far::Far;
use crate::media::session::{Fault, Session, Terms};
use crate::media::vigil::Quiet;
use crate::routing::buyer::Buyer;
use crate::routing::trunk::{Plane, Trunk};
use crate::sip::body::{Unfound, session_description, with_description};
use crate::sip::message::{Head, Request, Response};
use crate::types::ids::CallUuid;

/// A call's media at our relay.
pub(crate) struct Anchor {
    pub(crate) id: SessionId,
    pub(crate) session: Session,
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
    /// No rtpengine has an answer.
    Rtpengine(&'static str),
    /// Another one is being asked about.
    Busy,
}

impl Unfit {
    /// The status that tells its sender.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Unfound(_) => 415,
            Self::Fault(fault) => fault.status(),
            Self::Rtpengine(_) => 503,
            Self::Busy => 500,
        }
    }

    /// What it means for a buyer whose answer it was.
    pub(crate) fn result(self) -> AttemptResult {
        match self {
            Self::Unfound(_) | Self::Fault(_) => AttemptResult::MediaMismatch,
            Self::Rtpengine(_) | Self::Busy => AttemptResult::MediaFailed,
        }
    }

    /// The word in the log.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Unfound(_) => "unreadable_body",
            Self::Fault(fault) => fault.label(),
            Self::Rtpengine(why) => why,
            Self::Busy => "media_busy",
        }
    }
}

/// What becomes of a body.
pub(crate) enum Carried {
    /// It goes on as it is, for there is no session description in it, or the media is no business of ours.
    AsIs,
    /// This goes on instead.
    Body(Vec<u8>),
    /// Nobody knows yet: the message is to be [parked](Anchored::park), and will come again.
    Wait,
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
    /// What holds towards the buyer.
    pub(crate) fn buyer_terms(&self) -> Terms {
        Terms {
            is_ipv6: self.is_buyer_ipv6,
            ..self.buyer.media.terms.clone()
        }
    }

    /// Which way the media of this call goes: of what both sides say, the greater counts.
    fn plane(&self) -> Plane {
        let wanted = self.trunk.media.plane.max(self.buyer.media.plane);
        let media = &self.policy.media;
        match wanted {
            // Also if there is none: then there is no call.
            Plane::Rtpengine => Plane::Rtpengine,
            Plane::Relay if media.is_open() => Plane::Relay,
            Plane::Relay | Plane::Direct => Plane::Direct,
        }
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

/// Which way a call's media goes: what it does is written so that the rest of the call can be held meanwhile.
#[derive(Default)]
pub(crate) enum Anchored {
    /// From one party to the other, or nobody was called yet.
    #[default]
    Direct,
    /// Through our relay.
    Relay(Box<Anchor>),
    /// Through an rtpengine.
    Rtpengine(Box<Lodger>),
}

impl Anchored {
    /// Whether it is relayed.
    pub(crate) fn is_any(&self) -> bool {
        !matches!(self, Self::Direct)
    }
}

/// Another attempt begins: its buyer hears nothing of what was agreed with the one before. The first one decides which
/// way the media goes.
pub(crate) fn next_buyer(
    anchored: &mut Anchored,
    now: Instant,
    core: &mut Core,
    (key, uuid): (CallKey, CallUuid),
    meeting: Meeting<'_>,
) {
    if let Anchored::Rtpengine(lodger) = anchored
        && lodger.takes_up()
    {
        return;
    }
    let caller = || Terms {
        is_ipv6: meeting.is_caller_ipv6,
        ..meeting.trunk.media.terms.clone()
    };
    if let Anchored::Direct = anchored {
        let id = key.session(core.shard);
        let media = &meeting.policy.media;
        *anchored = match meeting.plane() {
            Plane::Direct => return,
            Plane::Relay => Anchored::Relay(Box::new(Anchor {
                id,
                session: Session::new(id, caller()),
                patience: media.patience,
                told: None,
            })),
            Plane::Rtpengine => {
                let patience = media.rtpengine.patience();
                let far = Far::new(uuid, caller());
                Anchored::Rtpengine(Box::new(Lodger::new(id, far, patience)))
            }
        };
    }
    let buyer = meeting.buyer_terms();
    match anchored {
        Anchored::Direct => {}
        Anchored::Relay(anchor) => anchor.session.next_buyer(buyer, &mut core.clerk(now)),
        Anchored::Rtpengine(lodger) => lodger.far_mut().next_buyer(buyer),
    }
}

/// Takes a session description of one side, whose SIP comes from the address `at`, to the other side.
pub(crate) fn carry(
    anchored: &mut Anchored,
    now: Instant,
    core: &mut Core,
    ((from, role), at): ((Side, Role), IpAddr),
    head: &Head<'_>,
) -> Result<Carried, Unfit> {
    if let Anchored::Direct = anchored {
        return Ok(Carried::AsIs);
    }
    carry_with(head, |sdp| match anchored {
        Anchored::Direct => Ok(None),
        Anchored::Relay(anchor) => anchor.carry(now, core, (from, role), sdp).map(Some),
        Anchored::Rtpengine(lodger) => {
            let carried = lodger.carry(now, core, (from, role), at, sdp)?;
            Ok(carried.map(|sdp| sdp.to_vec()))
        }
    })
}

/// Has `take` take the session description of a message across, if there is one; `None`: nobody knows yet what it becomes.
pub(crate) fn carry_with(
    head: &Head<'_>,
    take: impl FnOnce(&[u8]) -> Result<Option<Vec<u8>>, Unfit>,
) -> Result<Carried, Unfit> {
    let place = session_description(head).map_err(Unfit::Unfound)?;
    let Some(place) = place else {
        return Ok(Carried::AsIs);
    };
    let sdp = head.body().get(place.clone()).unwrap_or_default();
    Ok(match take(sdp)? {
        Some(carried) => Carried::Body(with_description(head.body(), place, carried)),
        None => Carried::Wait,
    })
}

/// Takes what a request within a call offers to the other side.
pub(crate) fn carry_on(
    anchored: &mut Anchored,
    now: Instant,
    core: &mut Core,
    (uuid, from, at): (CallUuid, Side, IpAddr),
    request: &Request<'_>,
) -> Result<Carried, Unfit> {
    if !begins_exchange(request) {
        return Ok(Carried::AsIs);
    }
    let offer = ((from, Role::Offer), at);
    let carried = carry(anchored, now, core, offer, &request.head);
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
    match anchored {
        Anchored::Direct => {}
        Anchored::Relay(anchor) => {
            anchor.session.forget_offer(&mut core.clerk(now));
            anchor.tell(core);
        }
        Anchored::Rtpengine(lodger) => lodger.far_mut().forget_offer(),
    }
}

/// The call is answered: from now on silence counts.
pub(crate) fn note_answered(anchored: &mut Anchored, core: &mut Core) {
    match anchored {
        Anchored::Direct => {}
        Anchored::Relay(anchor) => {
            anchor.session.note_answered();
            anchor.tell(core);
        }
        Anchored::Rtpengine(lodger) => lodger.far_mut().note_answered(),
    }
}

impl Anchored {
    /// Takes the answer of a side to what it was told anew.
    pub(crate) fn confirm(
        &mut self,
        now: Instant,
        core: &mut Core,
        from: Side,
        head: &Head<'_>,
    ) -> Result<(), Unfit> {
        let Self::Relay(anchor) = self else {
            return Ok(());
        };
        let place = session_description(head).map_err(Unfit::Unfound)?;
        let sdp = place.and_then(|place| head.body().get(place));
        let sdp = sdp.ok_or(Unfit::Fault(Fault::NoOffer))?;
        let confirmed = anchor
            .session
            .confirm(from.into(), sdp, &mut core.clerk(now));
        confirmed.map_err(Unfit::Fault)?;
        anchor.tell(core);
        Ok(())
    }
}

impl Anchor {
    fn carry(
        &mut self,
        now: Instant,
        core: &mut Core,
        (from, role): (Side, Role),
        sdp: &[u8],
    ) -> Result<Vec<u8>, Unfit> {
        let carried = match role {
            Role::Offer => self.session.offer(from.into(), sdp, &mut core.clerk(now)),
            Role::Answer => self.session.answer(from.into(), sdp, &mut core.clerk(now)),
        };
        let carried = carried.map_err(Unfit::Fault)?;
        self.tell(core);
        Ok(carried)
    }

    /// Tells the relay what has changed.
    pub(crate) fn tell(&mut self, core: &mut Core) {
        let mut plan = self.session.plan();
        plan.patience = Patience {
            is_answered: plan.patience.is_answered,
            ..self.patience
        };
        if self.told.as_ref() != Some(&plan) {
            self.session.note_planned(&plan);
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
        turn: TurnId,
        response: &Response<'_>,
        tag: Option<&[u8]>,
    ) -> Result<Carried, Unfit> {
        // What was agreed since is not what the INVITE's answer says, if that says anything.
        let is_settled =
            matches!(&self.state, State::Hunting(hunting) if hunting.early.settled_with(tag));
        let attempt = self.state.attempt_mut(turn);
        let Some(attempt) = attempt.filter(|_| self.media.is_any() && !is_settled) else {
            return Ok(Carried::AsIs);
        };
        let from = ((Side::Buyer, attempt.role()), attempt.flow.remote.ip());
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
        if !matches!(&self.media, Anchored::Relay(anchor) if anchor.id == id) {
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
                self.cancel_attempts(now, core);
                self.fail(now, core, outcome, by);
            }
            State::Talking(_) => self.hang_up(now, core, outcome, by),
            State::Abroad(_) | State::Ending(_) | State::Gone => {}
        }
    }

    /// The call is over: its ports go back. The record takes along where its media was, for the figures.
    pub(crate) fn release_media(&mut self, now: Instant, core: &mut Core) -> Option<MediaAt> {
        self.part_all(now, core);
        match mem::take(&mut self.media) {
            Anchored::Direct => None,
            Anchored::Relay(anchor) => {
                anchor.session.end(&mut core.clerk(now));
                anchor.told.is_some().then_some(MediaAt::Relay(anchor.id))
            }
            Anchored::Rtpengine(lodger) => lodger.end(),
        }
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
