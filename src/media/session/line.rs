//! What is known of one media line: our ports, and what each party has said.

use std::net::SocketAddr;

use crate::media::plan::{Crypto, End, Gate, Keys, Party, Payloads, Remote, Sources, Stream};
use crate::media::sdp::media::{Direction, Transport};
use crate::media::session::terms::Supply;

/// One of each party.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Both<T> {
    caller: T,
    buyer: T,
}

impl<T> Both<T> {
    pub(crate) fn new(caller: T, buyer: T) -> Self {
        Self { caller, buyer }
    }

    pub(crate) fn of(&self, party: Party) -> &T {
        match party {
            Party::Caller => &self.caller,
            Party::Buyer => &self.buyer,
        }
    }

    pub(crate) fn of_mut(&mut self, party: Party) -> &mut T {
        match party {
            Party::Caller => &mut self.caller,
            Party::Buyer => &mut self.buyer,
        }
    }
}

/// The media lines of a call, in the order that both parties count them in.
pub(crate) type Lines = Vec<Line>;

/// A media line. One that is refused has no ports, but keeps its place (RFC 3264 §8).
#[derive(Clone, Default)]
pub(crate) struct Line {
    pub(crate) is_rtp: bool,
    pub(crate) gates: Both<Option<Gate>>,
    pub(crate) sides: Both<Side>,
}

/// What one party has said of a line, and what it was told.
#[derive(Clone, Default)]
pub(crate) struct Side {
    /// RTP and RTCP as it announced them; `None`: it has said nothing yet, or listens nowhere.
    pub(crate) listens: Option<(SocketAddr, SocketAddr)>,
    /// Whether RTCP shares RTP's port, as agreed.
    pub(crate) is_mux: bool,
    /// As it said, as far as the other party's offer allows.
    pub(crate) direction: Direction,
    pub(crate) transport: Transport,
    /// What it may send: the formats that it was told last.
    pub(crate) payloads: Payloads,
    /// Our keys that it was offered, the first with tag 1; kept until the call is answered.
    pub(crate) offered: Vec<Keys>,
    pub(crate) srtp: Option<Box<Sealed>>,
}

/// SRTP as agreed.
#[derive(Clone)]
pub(crate) struct Sealed {
    /// The tag of the offer's line that was taken.
    pub(crate) tag: u32,
    pub(crate) crypto: Crypto,
}

impl Line {
    /// Whether it is relayed.
    pub(crate) fn is_live(&self) -> bool {
        Party::BOTH
            .iter()
            .all(|party| self.gates.of(*party).is_some())
    }

    /// What the relay has to do for it; `None`: nothing.
    pub(crate) fn stream(&self, sources: &Both<Sources>) -> Option<Stream> {
        Some(Stream {
            ends: [
                self.end(Party::Caller, sources)?,
                self.end(Party::Buyer, sources)?,
            ],
            is_rtp: self.is_rtp,
        })
    }

    fn end(&self, party: Party, sources: &Both<Sources>) -> Option<End> {
        let side = self.sides.of(party);
        let other = self.sides.of(party.other());
        Some(End {
            gate: (*self.gates.of(party))?,
            remote: side.remote(),
            sources: sources.of(party).clone(),
            sends: side.direction.sends && other.direction.receives,
            payloads: side.payloads.clone(),
            crypto: side.srtp.as_ref().map(|sealed| sealed.crypto.clone()),
        })
    }
}

impl Side {
    /// Where the party is heard from.
    pub(crate) fn remote(&self) -> Option<Remote> {
        let (rtp, rtcp) = self.listens?;
        Some(Remote {
            rtp,
            rtcp: if self.is_mux { rtp } else { rtcp },
        })
    }
}

/// Gives back the ports that are in `old` and no longer in any of `kept`. Shared ones nobody has taken.
pub(crate) fn give_back(old: &[Line], kept: &[&[Line]], supply: &mut impl Supply) {
    for (index, line) in old.iter().enumerate() {
        for party in Party::BOTH {
            let Some(gate) = *line.gates.of(party) else {
                continue;
            };
            let is_kept = kept
                .iter()
                .filter_map(|lines| lines.get(index))
                .any(|line| *line.gates.of(party) == Some(gate));
            if !is_kept && !gate.is_shared {
                supply.give_back(gate);
            }
        }
    }
}
