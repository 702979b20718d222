//! One call's media: what becomes of each packet.
//!
//! ```text
//!   packet ─> sound? ─> from the party? ─> agreed? ─> authentic? ─> counted ─> wanted by the other? ─> passed
//!               │             │              │            │                          │
//!           malformed      foreign        payload    unauthentic            unwanted, nowhere
//! ```
//!
//! Nothing is learned from a packet, and no state changes but the count of what was dropped, before all the questions
//! that an outsider could fail are answered.

mod lending;

use std::net::SocketAddr;
use std::time::Instant;

use smallvec::SmallVec;

pub use crate::media::passage::lending::Passing;

use crate::media::figures::{Figures, Heard};
use crate::media::plan::{Party, Plan};
use crate::media::rtp;
use crate::media::side::{Side, Taken};
use crate::media::srtp;
use crate::media::vigil::{Quiet, Vigil};

/// The media of one call.
#[derive(Debug)]
pub struct Passage {
    streams: SmallVec<[[Side; 2]; 1]>,
    /// What was heard at ends that are gone.
    past: [Heard; 2],
    vigil: Vigil,
    keeps_digits: bool,
}

/// By which way a packet came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// Place of the stream in the plan.
    pub stream: u8,
    /// Who sends there.
    pub party: Party,
    /// Whether it is the port for RTCP.
    pub is_control: bool,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes to the other party of its stream.
    Pass(Pass),
    /// It goes nowhere.
    Drop(Why),
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// Where the other party listens.
    pub to: SocketAddr,
    /// Whether it leaves by our port for RTCP.
    pub by_control: bool,
    /// Whether it is RTCP.
    pub is_rtcp: bool,
    /// Its length now, in bytes.
    pub length: usize,
}

/// Why a packet is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is neither RTP nor RTCP.
    Malformed,
    /// It is none of the party's.
    Foreign,
    /// It may be the party's, which is not known yet.
    Probation,
    /// Its payload type was not agreed.
    Payload,
    /// SRTP says that it is forged, or not for us to read.
    Unauthentic,
    /// SRTP says that it came before, or that it would go out a second time.
    Replayed,
    /// The keys cannot be used, or not any more.
    Keys,
    /// There is more RTCP than anybody needs.
    TooMuchControl,
    /// The other party does not want it: hold.
    Unwanted,
    /// The other party has not said where it listens.
    Nowhere,
}

impl Why {
    /// All of them, in the order of [`index`](Self::index).
    pub const ALL: [Self; 10] = [
        Self::Malformed,
        Self::Foreign,
        Self::Probation,
        Self::Payload,
        Self::Unauthentic,
        Self::Replayed,
        Self::Keys,
        Self::TooMuchControl,
        Self::Unwanted,
        Self::Nowhere,
    ];

    /// Its place in arrays.
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// As metrics call it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Foreign => "foreign",
            Self::Probation => "probation",
            Self::Payload => "payload",
            Self::Unauthentic => "unauthentic",
            Self::Replayed => "replayed",
            Self::Keys => "keys",
            Self::TooMuchControl => "rtcp_rate",
            Self::Unwanted => "unwanted",
            Self::Nowhere => "nowhere",
        }
    }
}

impl From<srtp::Why> for Why {
    fn from(why: srtp::Why) -> Self {
        match why {
            srtp::Why::NotRtp => Self::Malformed,
            srtp::Why::Forged | srtp::Why::Clear => Self::Unauthentic,
            srtp::Why::Replayed | srtp::Why::Old => Self::Replayed,
            srtp::Why::Keys | srtp::Why::NoRoom | srtp::Why::Sources | srtp::Why::UsedUp => {
                Self::Keys
            }
        }
    }
}

impl Passage {
    /// Begins; `keeps_digits`: those of telephone-events are noted.
    #[must_use]
    pub fn new(now: Instant, plan: &Plan, keeps_digits: bool) -> Self {
        let mut passage = Self {
            streams: SmallVec::new(),
            past: [Heard::default(), Heard::default()],
            vigil: Vigil::new(now, plan.patience, may_send(plan)),
            keeps_digits,
        };
        passage.set_streams(now, plan);
        passage
    }

    /// Goes by another plan: what is known of an end stays if its gate does.
    pub fn renew(&mut self, now: Instant, plan: &Plan) {
        self.vigil.renew(now, plan.patience, may_send(plan));
        self.set_streams(now, plan);
    }

    /// Says what becomes of a packet: the first `length` bytes of `room`, which are changed in place if keys are. The
    /// rest of `room` must be at least [`GROWTH`] bytes.
    #[inline]
    pub fn handle(
        &mut self,
        now: Instant,
        way: Way,
        source: SocketAddr,
        room: &mut [u8],
        length: usize,
    ) -> Verdict {
        let Some([caller, buyer]) = self.streams.get_mut(usize::from(way.stream)) else {
            return Verdict::Drop(Why::Nowhere);
        };
        let (near, far) = match way.party {
            Party::Caller => (caller, buyer),
            Party::Buyer => (buyer, caller),
        };
        let bytes = room.get(..length).unwrap_or_default();
        let is_rtcp = way.is_control || (near.place.is_mux() && rtp::is_rtcp(bytes));
        let taken = match is_rtcp {
            _ if !near.is_rtp => near.take_unread(now, way, source, length),
            true => near.take_control(now, source, room, length),
            false => near.take(now, source, room, length),
        };
        let result = taken.and_then(|Taken { length, payload }| {
            self.vigil.handle(now, way.party, is_rtcp);
            let is_wanted = near.sends || is_rtcp;
            let pass = far.direct(is_wanted, is_rtcp, room, length)?;
            Ok((payload, pass))
        });
        match result {
            Ok((_, pass)) if is_rtcp => {
                near.rtcp += 1;
                Verdict::Pass(pass)
            }
            Ok((payload, pass)) => {
                near.packets += 1;
                near.bytes += payload as u64;
                Verdict::Pass(pass)
            }
            Err(why) => {
                near.dropped += 1;
                near.foreign += u64::from(why == Why::Foreign);
                Verdict::Drop(why)
            }
        }
    }

    /// Whether a packet of RTP has come from a party by this way, or of RTCP if that is what it is for.
    #[must_use]
    pub fn has_heard(&self, way: Way) -> bool {
        let sides = self.streams.get(usize::from(way.stream));
        let side = sides.and_then(|sides| sides.get(way.party.index()));
        side.is_some_and(|side| match way.is_control {
            true => side.rtcp > 0,
            false => side.packets > 0,
        })
    }

    /// Counts a packet that came to the port of a party, from elsewhere at its address, and was not asked about further.
    pub fn count_foreign(&mut self, way: Way) {
        let sides = self.streams.get_mut(usize::from(way.stream));
        if let Some(side) = sides.and_then(|sides| sides.get_mut(way.party.index())) {
            side.dropped += 1;
            side.foreign += 1;
        }
    }

    /// Who has been quiet for too long; said once a minute while it lasts. To be asked about once a second.
    pub fn check(&mut self, now: Instant) -> Option<Quiet> {
        self.vigil.check(now)
    }

    /// What was heard so far.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut parties = self.past.clone();
        for sides in &self.streams {
            for (side, heard) in sides.iter().zip(&mut parties) {
                side.add_to(heard);
            }
        }
        Figures { parties }
    }

    fn set_streams(&mut self, now: Instant, plan: &Plan) {
        let mut old: SmallVec<[[Option<Side>; 2]; 1]> = std::mem::take(&mut self.streams)
            .into_iter()
            .map(|sides| sides.map(Some))
            .collect();
        for stream in &plan.streams {
            let mut side = |party: Party| {
                let end = stream.ends.get(party.index())?;
                let is_rtp = stream.is_rtp;
                let mut of_party = old
                    .iter_mut()
                    .filter_map(|sides| sides.get_mut(party.index()))
                    .filter(|side| side.is_some());
                let is_its = |side: &&mut Option<Side>| {
                    side.as_ref().is_some_and(|side| side.gate == end.gate)
                };
                if let Some(mut side) = of_party.find(is_its).and_then(Option::take) {
                    side.renew(now, end, is_rtp);
                    return Some(side);
                }
                let mut side = Side::new(now, end, is_rtp, self.keeps_digits);
                let others = old
                    .iter_mut()
                    .filter_map(|sides| sides.get_mut(party.index()));
                others.flatten().for_each(|before| side.go_on_from(before));
                Some(side)
            };
            if let (Some(caller), Some(buyer)) = (side(Party::Caller), side(Party::Buyer)) {
                self.streams.push([caller, buyer]);
            }
        }
        for sides in old {
            for (side, heard) in sides.iter().zip(&mut self.past) {
                if let Some(side) = side {
                    side.add_to(heard);
                }
            }
        }
    }
}

fn may_send(plan: &Plan) -> [bool; 2] {
    [Party::Caller, Party::Buyer].map(|party| {
        let mut ends = plan
            .streams
            .iter()
            .filter_map(|stream| stream.ends.get(party.index()));
        ends.any(|end| end.sends && end.remote.is_some())
    })
}

/// Bytes that a packet may be longer on the way out than it was on the way in: the longest tag of SRTP, and the index
/// of SRTCP.
pub const GROWTH: usize = 32;

#[cfg(test)]
mod tests;
