//! Streams that are forwarded elsewhere, in the kernel: which ones can be, and what becomes of what is counted there.

use std::net::SocketAddr;
use std::time::Instant;

use crate::media::passage::{Passage, Way};
use crate::media::plan::Party;
use crate::media::rtp;
use crate::media::side::Side;
use crate::media::watch::{Loan, Progress};

/// One direction of a stream about which nothing is open. It stays so until its next packet for which
/// [`Passage::is_touched`] is true, or another plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passing {
    /// Where its packets come from.
    pub from: SocketAddr,
    /// The port of ours that they come to, by the address that it is bound to.
    pub gate: SocketAddr,
    /// The port of ours that they leave by.
    pub leaves: SocketAddr,
    /// Where they go.
    pub to: SocketAddr,
    /// The payload types that may pass: a bit each.
    pub payloads: u128,
    /// Those for which [`Passage::is_touched`] is true.
    pub others: u128,
    /// What they are counted on from.
    pub loan: Loan,
}

impl Passage {
    /// How many streams there are.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The stream from a party, if it can be forwarded elsewhere now.
    #[must_use]
    pub fn lend(&self, now: Instant, way: Way) -> Option<Passing> {
        let (near, far) = self.sides(way)?;
        let (from, [payloads, others], loan) = near.lend(now)?;
        let to = far.takes_plain(now)?;
        let port = |side: &Side| SocketAddr::new(side.gate.address, side.gate.port);
        Some(Passing {
            from,
            gate: port(near),
            leaves: port(far),
            to,
            payloads,
            others,
            loan,
        })
    }

    /// Takes note of so many packets and bytes of payload that were forwarded elsewhere since this was told last.
    pub fn absorb(&mut self, way: Way, (packets, bytes): (u64, u64), progress: &Progress) {
        if packets == 0 {
            return;
        }
        self.vigil.handle(progress.last, way.party, false);
        let sides = self.streams.get_mut(usize::from(way.stream));
        if let Some(near) = sides.and_then(|sides| sides.get_mut(way.party.index())) {
            near.absorb(packets, bytes, progress);
        }
    }

    /// Whether a packet has to find its stream here: it could change something about it.
    #[must_use]
    pub fn is_touched(&self, now: Instant, way: Way, source: SocketAddr, bytes: &[u8]) -> bool {
        let Some((near, _)) = self.sides(way) else {
            return false;
        };
        let is_rtcp = way.is_control || (near.place.is_mux() && rtp::is_rtcp(bytes));
        !is_rtcp && near.is_touched(now, source, bytes)
    }

    fn sides(&self, way: Way) -> Option<(&Side, &Side)> {
        let [caller, buyer] = self.streams.get(usize::from(way.stream))?;
        Some(match way.party {
            Party::Caller => (caller, buyer),
            Party::Buyer => (buyer, caller),
        })
    }
}
