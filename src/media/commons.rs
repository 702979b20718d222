//! Shared ports of one shard: many calls use them, told apart by where their packets come from.
//!
//! ```text
//!   caller of call 1 at 198.51.100.1:4000 ──┐                     claims of port 19000
//!   caller of call 2 at 198.51.100.1:4002 ──┼──> port 19000         198.51.100.1:4000  call 1, caller
//!   buyer of call 1 at 203.0.113.9:30000 ───┘                       198.51.100.1:4002  call 2, caller
//!                                                                   203.0.113.9:30000  call 1, buyer
//! ```
//!
//! An address on a port belongs to one seat, which has said that it listens there, and is its until it says otherwise or its
//! call is over: whoever says the same meanwhile gets another port. Nobody takes an address from somebody else, so nobody can
//! have another's sound by naming his place.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use crate::media::plan::{Gate, Party, Remote, SessionId};

/// A party of a call on one of its media lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    /// The call's media.
    pub session: SessionId,
    /// Who.
    pub party: Party,
    /// The place of the line in the session description.
    pub line: u16,
}

/// The shared ports of one address of ours.
#[derive(Debug)]
pub struct Commons {
    address: IpAddr,
    /// What session descriptions say in its place.
    told: IpAddr,
    /// The even ones of the pairs; the first one that can be had is used, so that most packets come by few.
    ports: Box<[u16]>,
    /// Who is heard from where. As many as there are seats on these ports, times two for RTCP, at most.
    claims: BTreeMap<(u16, SocketAddr), Claim>,
    counts: Counts,
}

/// Whose an address on a port is.
#[derive(Debug)]
struct Claim {
    seat: Seat,
    /// How often it says so: by what is agreed, by what it has offered, and beside the other buyers of its call.
    times: u32,
}

/// What was found when somebody was to share a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Addresses that are somebody's now.
    pub claims: usize,
    /// Times that the first port was not to be had, because somebody else has the same address there.
    pub clashes: u64,
    /// Times that no port was to be had for the same reason.
    pub none: u64,
}

impl Commons {
    /// Begins with nobody on `ports`, the even ones of pairs at `address`, which peers know as `told`.
    #[must_use]
    pub fn new(address: IpAddr, told: IpAddr, ports: impl IntoIterator<Item = u16>) -> Self {
        Self {
            address,
            told,
            ports: ports.into_iter().collect(),
            claims: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// A pair on which `seat` can be told from all others, or the first one if it has not said where it listens. `None`:
    /// there is none, so it needs ports of its own.
    pub fn find(&mut self, seat: Seat, remote: Option<Remote>) -> Option<Gate> {
        let gate = |port: &u16| Gate {
            address: self.address,
            port: *port,
            is_shared: true,
        };
        let mut gates = self.ports.iter().map(gate);
        let Some(remote) = remote else {
            return gates.next();
        };
        let (first, rest) = (gates.next()?, gates);
        if self.is_free(seat, first, remote) {
            return Some(first);
        }
        let other = rest
            .into_iter()
            .find(|gate| self.is_free(seat, *gate, remote));
        self.counts.clashes += 1;
        self.counts.none += u64::from(other.is_none());
        other
    }

    /// Whether nobody else has the addresses of `remote` on a pair of these. Nobody is heard from one of these ports: what we
    /// send there would be taken for what came from there.
    #[must_use]
    pub fn is_free(&self, seat: Seat, gate: Gate, remote: Remote) -> bool {
        places(gate, remote).iter().all(|place| {
            let claim = self.claims.get(place);
            !self.is_ours(place.1) && claim.is_none_or(|claim| claim.seat == seat)
        })
    }

    fn is_ours(&self, place: SocketAddr) -> bool {
        let is_here = place.ip() == self.address || place.ip() == self.told;
        is_here && self.ports.contains(&(place.port() & !1))
    }

    /// Notes that `seat` is heard from `remote` on a pair of these; once more, if it was said before. `false`: somebody else
    /// is, and nothing has changed.
    pub fn claim(&mut self, seat: Seat, gate: Gate, remote: Remote) -> bool {
        if !self.is_free(seat, gate, remote) {
            return false;
        }
        for place in places(gate, remote) {
            let claim = self.claims.entry(place);
            claim.or_insert(Claim { seat, times: 0 }).times += 1;
        }
        true
    }

    /// Takes one [`claim`](Self::claim) back.
    pub fn release(&mut self, seat: Seat, gate: Gate, remote: Remote) {
        for place in places(gate, remote) {
            let Entry::Occupied(mut entry) = self.claims.entry(place) else {
                continue;
            };
            let claim = entry.get_mut();
            if claim.seat != seat {
                continue;
            }
            claim.times = claim.times.saturating_sub(1);
            if claim.times == 0 {
                entry.remove();
            }
        }
    }

    /// What was found so far, and who is there now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            claims: self.claims.len(),
            ..self.counts
        }
    }
}

/// The ports of a pair and who is heard there: RTP on the first, and RTCP on the second if it has a port of its own.
fn places(gate: Gate, remote: Remote) -> SmallVec<[(u16, SocketAddr); 2]> {
    let mut places = SmallVec::new();
    places.push((gate.port, remote.rtp));
    if !remote.is_mux() {
        places.push((gate.port.saturating_add(1), remote.rtcp));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_from_different_addresses_share_the_first_port() {
        let mut commons = commons();

        let gates = [1, 2].map(|call| commons.sit(seat(call), &format!("198.51.100.1:400{call}")));

        assert_eq!(gates, [Some(19_000), Some(19_000)]);
        assert_eq!(commons.counts().claims, 4);
        assert_eq!(commons.counts().clashes, 0);
    }

    #[test]
    fn a_clash_gets_another_port_and_then_none() {
        let mut commons = commons();

        let gates = [1, 2, 3].map(|call| commons.sit(seat(call), "198.51.100.1:4000"));

        assert_eq!(gates, [Some(19_000), Some(19_002), None]);
        let Counts { clashes, none, .. } = commons.counts();
        assert_eq!((clashes, none), (2, 1));
    }

    #[test]
    fn rtcp_clashes_as_well_as_rtp() {
        let mut commons = commons();
        let at = |rtp: &str, rtcp: &str| Remote {
            rtp: rtp.parse().unwrap(),
            rtcp: rtcp.parse().unwrap(),
        };
        let one = at("198.51.100.1:4000", "198.51.100.1:4001");
        let gate = commons.find(seat(1), Some(one)).unwrap();
        assert!(commons.claim(seat(1), gate, one));

        let same_rtcp = at("198.51.100.1:5000", "198.51.100.1:4001");
        assert!(!commons.claim(seat(2), gate, same_rtcp));
        // Their RTP is our port for RTCP: no packet can be both.
        let crossed = at("198.51.100.1:4001", "198.51.100.1:4000");
        assert!(commons.claim(seat(2), gate, crossed));
        let mux = at("198.51.100.1:6000", "198.51.100.1:6000");
        assert!(commons.claim(seat(3), gate, mux));

        assert_eq!(commons.counts().claims, 5, "RTCP beside RTP needs no place");
    }

    #[test]
    fn what_one_party_has_the_other_one_of_its_call_has_not() {
        let mut commons = commons();
        let buyer = Seat {
            party: Party::Buyer,
            ..seat(1)
        };
        let second = Seat { line: 1, ..seat(1) };

        let gates = [seat(1), buyer, second].map(|seat| commons.sit(seat, "198.51.100.1:4000"));

        assert_eq!(gates, [Some(19_000), Some(19_002), None]);
    }

    #[test]
    fn a_place_is_free_when_it_was_released_as_often_as_it_was_claimed() {
        let mut commons = commons();
        let remote = remote("198.51.100.1:4000");
        let gate = commons.find(seat(1), Some(remote)).unwrap();
        assert!(commons.claim(seat(1), gate, remote));
        assert!(commons.claim(seat(1), gate, remote));

        commons.release(seat(1), gate, remote);
        // Not its own.
        commons.release(seat(2), gate, remote);
        assert!(!commons.is_free(seat(2), gate, remote));
        commons.release(seat(1), gate, remote);
        assert!(commons.is_free(seat(2), gate, remote));
        // Once too often.
        commons.release(seat(1), gate, remote);

        assert_eq!(commons.counts().claims, 0);
    }

    #[test]
    fn who_has_not_said_where_it_listens_gets_the_first_port() {
        let mut commons = commons();
        assert_eq!(commons.sit(seat(1), "198.51.100.1:4000"), Some(19_000));

        let gate = commons.find(seat(2), None).unwrap();

        assert_eq!((gate.port, gate.is_shared), (19_000, true));
        assert_eq!(commons.counts().clashes, 0);
    }

    #[test]
    fn nobody_is_heard_from_our_own_shared_ports() {
        let mut commons = commons();

        for at in ["192.0.2.1:19000", "10.0.0.1:19003"] {
            assert_eq!(commons.find(seat(1), Some(remote(at))), None);
        }
        assert!(commons.sit(seat(1), "192.0.2.1:20000").is_some());
    }

    #[test]
    fn a_million_calls_leave_nothing() {
        let mut commons = commons();
        for call in 0..1_000_000_u64 {
            let port = 1024 + 2 * (call % 30_000) as u16;
            let remote = remote(&format!("198.51.100.1:{port}"));
            let gate = commons.find(seat(call), Some(remote)).unwrap();
            assert!(commons.claim(seat(call), gate, remote));
            commons.release(seat(call), gate, remote);
        }

        assert_eq!(commons.counts(), Counts::default());
    }

    impl Commons {
        /// Finds a port for a seat and claims it.
        fn sit(&mut self, seat: Seat, at: &str) -> Option<u16> {
            let remote = remote(at);
            let gate = self.find(seat, Some(remote))?;
            assert!(self.claim(seat, gate, remote));
            Some(gate.port)
        }
    }

    fn commons() -> Commons {
        let [address, told] = ["10.0.0.1", "192.0.2.1"].map(|text| text.parse().unwrap());
        Commons::new(address, told, [19_000, 19_002])
    }

    fn seat(call: u64) -> Seat {
        Seat {
            session: SessionId(call),
            party: Party::Caller,
            line: 0,
        }
    }

    fn remote(rtp: &str) -> Remote {
        let rtp: SocketAddr = rtp.parse().unwrap();
        Remote {
            rtp,
            rtcp: SocketAddr::new(rtp.ip(), rtp.port() + 1),
        }
    }
}
