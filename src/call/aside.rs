//! The media of buyers who are called at once: each has its offer and its ports, and the caller hears of none of them
//! until one is left, or has answered.
//!
//! A caller can be told one answer only (RFC 3261 §13.2.1), and takes the media of whoever gave it. So while several ring,
//! what they send before they answer stays with us: the caller hears that it rings, and so much only. An rtpengine is
//! asked about one buyer at a time: where the media goes through one, those who were to be called at once are called one
//! after the other.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use crate::call::call::Call;
use crate::call::core::Core;
use crate::call::media::{self, Anchored, Carried, Meeting, Unfit};
use crate::call::record::Side;
use crate::call::turn::TurnId;
use crate::media::session::Session;
use crate::routing::buyer::Buyer;
use crate::routing::trunk::{Plane, Trunk};
use crate::sip::message::Request;

/// The media of one of several turns at once.
pub(crate) enum Aside {
    /// From one party to the other.
    Direct,
    /// Through our relay, once it is the one.
    Relay(Box<Session>),
}

/// Those of a call, each with its turn.
#[derive(Default)]
pub(crate) struct Asides(Vec<(TurnId, Aside)>);

/// How many of these may be called at once for a caller of this trunk.
pub(crate) fn width(trunk: &Trunk, buyers: &[Arc<Buyer>]) -> usize {
    let mut planes = buyers.iter().map(|buyer| buyer.media.plane);
    let is_far = |plane: Plane| plane == Plane::Rtpengine;
    if is_far(trunk.media.plane) || planes.any(is_far) {
        1
    } else {
        buyers.len()
    }
}

impl Call {
    /// How many of these may be called at once.
    pub(crate) fn width_of(&self, buyers: &[Arc<Buyer>]) -> usize {
        match self.media {
            Anchored::Rtpengine(_) => 1,
            Anchored::Direct | Anchored::Relay(_) => width(&self.trunk, buyers),
        }
    }

    /// Takes the caller's offer to one of several who are called at once.
    pub(crate) fn carry_aside(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        meeting: Meeting<'_>,
        request: &Request<'_>,
    ) -> Result<Carried, Unfit> {
        // Of another gateway of its.
        self.part(now, core, turn);
        let anchored = &mut self.media;
        media::next_buyer(anchored, now, core, (self.key, self.uuid), meeting);
        let (aside, carried) = match anchored {
            Anchored::Direct => (Aside::Direct, Ok(Carried::AsIs)),
            Anchored::Relay(anchor) => {
                let mut session = Box::new(anchor.session.beside(meeting.buyer_terms()));
                let carried = media::carry_with(&request.head, |sdp| {
                    let offered = session.offer(Side::Caller.into(), sdp, &mut core.clerk(now));
                    offered.map(Some).map_err(Unfit::Fault)
                });
                (Aside::Relay(session), carried)
            }
            Anchored::Rtpengine(_) => return Err(Unfit::Busy),
        };
        let asides = self.asides.get_or_insert_default();
        asides.0.push((turn, aside));
        carried
    }

    /// The buyer of this turn is the one: its media is the call's. What the relay is told of it is another matter.
    pub(crate) fn adopt(&mut self, now: Instant, core: &mut Core, turn: TurnId) {
        let Some(aside) = self.take_aside(turn) else {
            return;
        };
        match (&mut self.media, aside) {
            (Anchored::Relay(anchor), Aside::Relay(session)) => {
                anchor.session.adopt(*session, &mut core.clerk(now));
            }
            (media, aside) => {
                // Others were to go through the relay, and the caller was told of none.
                if let Anchored::Relay(anchor) = mem::take(media) {
                    anchor.session.end(&mut core.clerk(now));
                }
                if let Aside::Relay(session) = aside {
                    session.part(None, &mut core.clerk(now));
                }
            }
        }
    }

    /// One turn is left of several: it goes on as if it had been the only one.
    pub(crate) fn adopt_last(&mut self, now: Instant, core: &mut Core, turn: TurnId) {
        self.adopt(now, core, turn);
        if let Anchored::Relay(anchor) = &mut self.media {
            anchor.tell(core);
        }
    }

    /// The buyer of this turn is not the one.
    pub(crate) fn part(&mut self, now: Instant, core: &mut Core, turn: TurnId) {
        if let Some(Aside::Relay(session)) = self.take_aside(turn) {
            let of = match &self.media {
                Anchored::Relay(anchor) => Some(&anchor.session),
                Anchored::Direct | Anchored::Rtpengine(_) => None,
            };
            session.part(of, &mut core.clerk(now));
        }
    }

    /// Nor is any other's.
    pub(crate) fn part_all(&mut self, now: Instant, core: &mut Core) {
        while let Some((turn, _)) = self.asides.as_ref().and_then(|asides| asides.0.last()) {
            let turn = *turn;
            self.part(now, core, turn);
        }
    }

    fn take_aside(&mut self, turn: TurnId) -> Option<Aside> {
        let Asides(asides) = &mut **self.asides.as_mut()?;
        let found = asides.iter().position(|(own, _)| *own == turn)?;
        let (_, aside) = asides.remove(found);
        if asides.is_empty() {
            self.asides = None;
        }
        Some(aside)
    }
}
