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

use std::net::SocketAddr;
use std::time::Instant;

use smallvec::SmallVec;

use crate::media::figures::{Figures, Heard};
use crate::media::plan::{Crypto, End, Gate, Party, Payloads, Plan};
use crate::media::quality;
use crate::media::rtcp;
use crate::media::rtp;
use crate::media::rtp::Header;
use crate::media::source::{Look, Place};
use crate::media::vigil::{Quiet, Vigil};
use crate::media::watch::Watch;

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
    /// SRTP says that it came before.
    Replayed,
    /// There is more RTCP than anybody needs.
    TooMuchControl,
    /// The other party does not want it: hold.
    Unwanted,
    /// The other party has not said where it listens.
    Nowhere,
}

impl Why {
    /// All of them, in the order of [`index`](Self::index).
    pub const ALL: [Self; 9] = [
        Self::Malformed,
        Self::Foreign,
        Self::Probation,
        Self::Payload,
        Self::Unauthentic,
        Self::Replayed,
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
            Self::TooMuchControl => "rtcp_rate",
            Self::Unwanted => "unwanted",
            Self::Nowhere => "nowhere",
        }
    }
}

/// Our side towards one party of one stream.
#[derive(Debug)]
struct Side {
    gate: Gate,
    place: Place,
    sends: bool,
    payloads: Payloads,
    crypto: Option<Box<Crypto>>,
    watch: Watch,
    packets: u64,
    bytes: u64,
    dropped: u64,
    foreign: u64,
    rtcp: u64,
    source: Option<SocketAddr>,
    control: Ration,
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
        let taken = if is_rtcp {
            near.take_control(now, source, bytes)
        } else {
            near.take(now, source, bytes)
        };
        let result = taken.and_then(|payload| {
            self.vigil.handle(now, way.party, is_rtcp);
            let pass = far.direct(near.sends || is_rtcp, is_rtcp, length)?;
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

    /// Who has been quiet for too long; said once for each silence. To be asked about once a second.
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
                let known = old
                    .iter_mut()
                    .filter_map(|sides| sides.get_mut(party.index()))
                    .find(|side| side.as_ref().is_some_and(|side| side.gate == end.gate))
                    .and_then(Option::take);
                Some(match known {
                    Some(mut side) => {
                        side.renew(now, end);
                        side
                    }
                    None => Side::new(now, end, self.keeps_digits),
                })
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

impl Side {
    fn new(now: Instant, end: &End, keeps_digits: bool) -> Self {
        Self {
            gate: end.gate,
            place: Place::new(now, end.remote, &end.sources),
            sends: end.sends,
            payloads: end.payloads.clone(),
            crypto: end.crypto.clone().map(Box::new),
            watch: Watch::new(now, keeps_digits),
            packets: 0,
            bytes: 0,
            dropped: 0,
            foreign: 0,
            rtcp: 0,
            source: None,
            control: Ration::default(),
        }
    }

    fn renew(&mut self, now: Instant, end: &End) {
        self.place.renew(now, end.remote, &end.sources);
        self.sends = end.sends;
        if self.payloads != end.payloads {
            self.payloads.clone_from(&end.payloads);
        }
        self.crypto = end.crypto.clone().map(Box::new);
    }

    /// Lets in a packet of RTP, or says why not. Returns how long its payload is.
    #[inline]
    fn take(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) -> Result<usize, Why> {
        let look = self.place.look(now, source);
        if look == Look::Foreign {
            return Err(Why::Foreign);
        }
        let header = Header::parse(bytes).map_err(|_| Why::Malformed)?;
        let meaning = self
            .payloads
            .iter()
            .find(|payload| payload.number == header.payload)
            .ok_or(Why::Payload)?;
        if self.crypto.is_some() {
            return Err(Why::Unauthentic);
        }
        let payload = header.payload_of(bytes).map_err(|_| Why::Malformed)?;
        if look == Look::Perhaps && !self.place.learn(now, source, &header, false) {
            return Err(Why::Probation);
        }
        self.watch.handle(now, &header, *meaning, payload);
        self.source = Some(source);
        Ok(payload.len())
    }

    /// Lets in RTCP, or says why not. Returns 0: it has no payload.
    fn take_control(
        &mut self,
        now: Instant,
        source: SocketAddr,
        bytes: &[u8],
    ) -> Result<usize, Why> {
        let ssrc = rtcp::sender(bytes).map_err(|_| Why::Malformed)?;
        let look = self.place.look_control(now, source, ssrc);
        if look == Look::Foreign {
            return Err(Why::Foreign);
        }
        if !self.control.take(now) {
            return Err(Why::TooMuchControl);
        }
        if self.crypto.is_some() {
            return Err(Why::Unauthentic);
        }
        rtcp::check(bytes).map_err(|_| Why::Malformed)?;
        if look == Look::Perhaps {
            self.place.learn_control(source);
        }
        Ok(0)
    }

    /// Says where a packet for the party goes.
    #[inline]
    fn direct(&self, is_wanted: bool, is_rtcp: bool, length: usize) -> Result<Pass, Why> {
        if !is_wanted {
            return Err(Why::Unwanted);
        }
        if self.crypto.is_some() {
            return Err(Why::Unauthentic);
        }
        let to = if is_rtcp {
            self.place.to_control()
        } else {
            self.place.to()
        };
        Ok(Pass {
            to: to.ok_or(Why::Nowhere)?,
            by_control: is_rtcp && !self.place.is_mux(),
            is_rtcp,
            length,
        })
    }

    fn add_to(&self, heard: &mut Heard) {
        let (lost, expected) = self.watch.lost_of();
        heard.packets += self.packets;
        heard.bytes += self.bytes;
        heard.lost += lost;
        heard.dropped += self.dropped;
        heard.foreign += self.foreign;
        heard.rtcp += self.rtcp;
        heard.jitter = heard.jitter.max(self.watch.jitter());
        heard.jitter_max = heard.jitter_max.max(self.watch.jitter_max());
        heard.source = self.source.or(heard.source);
        let digits = self.watch.digits().iter().map(|digit| char::from(*digit));
        heard.digits.extend(digits);
        if expected >= ENOUGH {
            let score = quality::mos(lost as f64 / expected as f64, self.watch.jitter());
            // The worse of several streams is what was complained about.
            heard.mos = Some(heard.mos.map_or(score, |mos| mos.min(score)));
        }
    }
}

/// How many packets of RTCP have come in this second.
#[derive(Debug, Default)]
struct Ration {
    since: Option<Instant>,
    count: u32,
}

impl Ration {
    /// Takes one; `false`: there was none left.
    fn take(&mut self, now: Instant) -> bool {
        let since = self
            .since
            .filter(|since| now.saturating_duration_since(*since).as_secs() == 0);
        if since.is_none() {
            *self = Self {
                since: Some(now),
                count: 0,
            };
        }
        self.count += 1;
        self.count <= MOST_CONTROL
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

/// Packets of RTCP in a second and of one end that are passed on; RFC 3550 §6.2 has one every few seconds.
const MOST_CONTROL: u32 = 50;

/// Packets from which on a stream can be judged: two seconds of sound.
const ENOUGH: u64 = 100;

#[cfg(test)]
mod tests;
