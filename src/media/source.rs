//! From where the packets of a party are taken, and to where what is for it is sent.
//!
//! ```text
//!   announced only:   the place that its SDP names, to the port; nothing is ever learned
//!
//!   behind NAT:       open --- PROBATION packets in a row of one place, SSRC ---> settled
//!                      |       (one, if it is authenticated)                       |
//!                      |--- a packet of the announced place --------------------> settled there <---'
//!                      '--- WINDOW is over: only the announced place is left
//! ```
//!
//! What is settled stays until SDP names another place: packets from elsewhere are foreign, whatever they say. Only the
//! place that SDP names still counts more, for that is what the party has said of itself, and within the window its address
//! at another port counts more than an address of the networks: those take [`SPAN`] to settle, however fast they send, and
//! are not heard while that address speaks, so that a flood of theirs is not there first. RTCP from a port of its own is
//! taken from the place that SDP names, or from the address where RTP has settled, if its sender is the SSRC of RTP.
//!
//! The caller checks everything else first (header, payload type, and for SRTP the tag), so that only packets which could
//! be relayed can teach.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::media::plan::{Remote, Sources};
use crate::media::rtp::Header;

/// How long a place may be learned after a plan.
pub const WINDOW: Duration = Duration::from_secs(3);

/// Packets in a row of one place after which it is settled; the last of them is the first that is passed on.
pub const PROBATION: u8 = 4;

/// How long the probation of an address of the networks lasts at least: as long as that of a party that sends a packet
/// every 20 ms.
pub const SPAN: Duration = Duration::from_millis(50);

/// For how long after a packet of the announced address, at another port, no address of the networks is heard.
pub const RESPECT: Duration = Duration::from_millis(100);

/// Places on probation at a time; of one address, half as many at most.
const CANDIDATES: usize = 4;

/// What is known of where one end's party is.
#[derive(Debug)]
pub struct Place {
    announced: Option<Remote>,
    /// Where RTP comes from.
    rtp: Option<SocketAddr>,
    /// Where RTCP comes from.
    rtcp: Option<SocketAddr>,
    /// `None`: nothing but what is announced.
    learning: Option<Box<Learning>>,
}

/// What may be learned.
#[derive(Debug)]
struct Learning {
    networks: Arc<[IpNet]>,
    until: Instant,
    /// The SSRC of the packets that settled RTP's place.
    ssrc: u32,
    /// Until when no address of the networks is heard, for the announced one has spoken.
    reserved: Instant,
    candidates: [Option<Candidate>; CANDIDATES],
}

/// A place on probation.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    source: SocketAddr,
    ssrc: u32,
    last: u16,
    /// Packets in a row.
    count: u8,
    /// When the first of them came, and the last.
    since: Instant,
    at: Instant,
}

/// What a packet's source says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It is the party's.
    Sure,
    /// It may be: to be [learned](Place::learn) once everything else about the packet is known to be right.
    Perhaps,
    /// It is not.
    Foreign,
}

impl Place {
    /// Begins with what SDP says.
    #[must_use]
    pub fn new(now: Instant, announced: Option<Remote>, sources: &Sources) -> Self {
        let learning = match sources {
            Sources::Announced => None,
            Sources::Learned(networks) => Some(Box::new(Learning::new(now, networks))),
        };
        Self {
            announced,
            rtp: None,
            rtcp: None,
            learning,
        }
    }

    /// Goes by what SDP says now. What was learned stays if the place that it names is the same; if nothing was learned
    /// yet, there is time for it again.
    pub fn renew(&mut self, now: Instant, announced: Option<Remote>, sources: &Sources) {
        let rtp = |remote: Option<Remote>| remote.map(|remote| remote.rtp);
        let is_same = rtp(self.announced) == rtp(announced);
        match (&mut self.learning, sources) {
            (Some(learning), Sources::Learned(networks)) if is_same => {
                if self.rtp.is_none() {
                    **learning = Learning::new(now, networks);
                }
                learning.networks = Arc::clone(networks);
            }
            (None, Sources::Announced) if is_same => {}
            _ => *self = Self::new(now, announced, sources),
        }
        if self.announced != announced {
            self.announced = announced;
            self.rtcp = None;
        }
    }

    /// What `source` says about a packet of RTP.
    #[inline]
    #[must_use]
    pub fn look(&self, now: Instant, source: SocketAddr) -> Look {
        let Some(announced) = self.announced else {
            return Look::Foreign;
        };
        let Some(learning) = &self.learning else {
            return if source == announced.rtp {
                Look::Sure
            } else {
                Look::Foreign
            };
        };
        if self.rtp == Some(source) && learning.is_heard(now, source, announced.rtp) {
            Look::Sure
        } else if source == announced.rtp || self.may_settle(now, source, announced, learning) {
            Look::Perhaps
        } else {
            Look::Foreign
        }
    }

    /// What `source` says about a packet of RTCP whose sender calls itself `ssrc`. With RTP on the same port it is
    /// where RTP comes from.
    #[must_use]
    pub fn look_control(&self, now: Instant, source: SocketAddr, ssrc: u32) -> Look {
        let Some(announced) = self.announced else {
            return Look::Foreign;
        };
        if announced.is_mux() {
            // RTCP alone teaches nothing: it comes too seldom for a probation.
            return match self.look(now, source) {
                Look::Perhaps if source == announced.rtp => Look::Sure,
                Look::Perhaps => Look::Foreign,
                known @ (Look::Sure | Look::Foreign) => known,
            };
        }
        if source == announced.rtcp {
            return if self.rtcp.is_none_or(|settled| settled == source) {
                Look::Sure
            } else {
                Look::Perhaps
            };
        }
        match (&self.learning, self.rtp, self.rtcp) {
            (Some(_), _, Some(settled)) if settled == source => Look::Sure,
            (Some(learning), Some(rtp), None) if is_near(source, rtp) && ssrc == learning.ssrc => {
                Look::Perhaps
            }
            _ => Look::Foreign,
        }
    }

    /// Takes note of a packet that may be the party's and is right in everything else; `is_authentic`: SRTP says so.
    /// Returns whether it is to be passed on.
    pub fn learn(
        &mut self,
        now: Instant,
        source: SocketAddr,
        rtp: &Header,
        is_authentic: bool,
    ) -> bool {
        let (Some(announced), Some(learning)) = (self.announced, &self.learning) else {
            return false;
        };
        let is_announced = source == announced.rtp;
        if !is_announced && !self.may_settle(now, source, announced, learning) {
            return false;
        }
        let Some(learning) = &mut self.learning else {
            return false;
        };
        let is_right = is_announced || is_authentic;
        if !is_right && !learning.try_out(now, source, announced.rtp, rtp) {
            return false;
        }
        learning.ssrc = rtp.ssrc;
        if self.rtp.replace(source).is_some() {
            // RTCP was learned by where RTP seemed to be.
            self.rtcp = None;
        }
        true
    }

    /// Takes note of where RTCP comes from, as [`learn`](Self::learn) does.
    pub fn learn_control(&mut self, source: SocketAddr) {
        self.rtcp = Some(source);
    }

    /// Whether the party may turn out to be at `source`, which is not the announced place. While there is time, the
    /// announced address at another port counts more than an address of the networks.
    fn may_settle(
        &self,
        now: Instant,
        source: SocketAddr,
        announced: Remote,
        learning: &Learning,
    ) -> bool {
        let is_open = match self.rtp {
            None => learning.is_allowed(source, announced.rtp),
            Some(settled) => is_near(source, announced.rtp) && !is_near(settled, announced.rtp),
        };
        is_open && now < learning.until
    }

    /// Where RTP for the party goes; `None`: nowhere yet.
    #[inline]
    #[must_use]
    pub fn to(&self) -> Option<SocketAddr> {
        self.rtp.or_else(|| Some(self.announced?.rtp))
    }

    /// Where RTCP for the party goes. Behind NAT an announced port says nothing about the real one, so nothing goes
    /// anywhere else than where RTP goes until RTCP has come.
    #[must_use]
    pub fn to_control(&self) -> Option<SocketAddr> {
        let announced = self.announced?;
        if announced.is_mux() {
            return self.to();
        }
        self.rtcp.or(Some(announced.rtcp))
    }

    /// Whether RTP and RTCP share a port of the party's.
    #[inline]
    #[must_use]
    pub fn is_mux(&self) -> bool {
        self.announced.is_some_and(|announced| announced.is_mux())
    }

    /// Where RTP comes from and goes to as long as no packet of RTP comes from elsewhere; `None`: that is still open.
    #[must_use]
    pub fn settled(&self, now: Instant) -> Option<SocketAddr> {
        let announced = self.announced?.rtp;
        let Some(learning) = &self.learning else {
            return Some(announced);
        };
        let is_over = now >= learning.until && now >= learning.reserved;
        self.rtp.filter(|rtp| *rtp == announced || is_over)
    }

    /// What SDP names.
    #[must_use]
    pub fn announced(&self) -> Option<Remote> {
        self.announced
    }
}

impl Learning {
    fn new(now: Instant, networks: &Arc<[IpNet]>) -> Self {
        Self {
            networks: Arc::clone(networks),
            until: now + WINDOW,
            ssrc: 0,
            reserved: now,
            candidates: [None; CANDIDATES],
        }
    }

    /// Whether a party that says it is at `announced` may be at `source`.
    fn is_allowed(&self, source: SocketAddr, announced: SocketAddr) -> bool {
        is_near(source, announced)
            || self
                .networks
                .iter()
                .any(|network| network.contains(&source.ip()))
    }

    /// Whether nothing speaks against what has settled at `source`.
    #[inline]
    fn is_heard(&self, now: Instant, source: SocketAddr, announced: SocketAddr) -> bool {
        now >= self.reserved || is_near(source, announced)
    }

    /// Counts a packet of a place on probation; returns whether that is over.
    fn try_out(
        &mut self,
        now: Instant,
        source: SocketAddr,
        announced: SocketAddr,
        rtp: &Header,
    ) -> bool {
        let is_its_own = is_near(source, announced);
        if is_its_own {
            self.reserved = now + RESPECT;
        }
        let may_settle = self.is_heard(now, source, announced);
        let known = self.candidates.iter_mut().flatten();
        let known = known
            .into_iter()
            .find(|candidate| candidate.source == source && candidate.ssrc == rtp.ssrc);
        if let Some(candidate) = known {
            if rtp.sequence == candidate.last.wrapping_add(1) {
                candidate.count = candidate.count.saturating_add(1);
            } else {
                (candidate.count, candidate.since) = (1, now);
            }
            (candidate.last, candidate.at) = (rtp.sequence, now);
            let span = now.saturating_duration_since(candidate.since);
            return candidate.count >= PROBATION && may_settle && (is_its_own || span >= SPAN);
        }
        if let Some(place) = self.place_for(now, source, announced) {
            *place = Some(Candidate {
                source,
                ssrc: rtp.ssrc,
                last: rtp.sequence,
                count: 1,
                since: now,
                at: now,
            });
        }
        false
    }

    /// The candidate that gives way to one at `source`: of its own address if that has its share, and never the announced
    /// one to another; else who is silent, or has come least far. So nobody pushes others out by many ports and SSRCs.
    fn place_for(
        &mut self,
        now: Instant,
        source: SocketAddr,
        announced: SocketAddr,
    ) -> Option<&mut Option<Candidate>> {
        let known = self.candidates.iter().flatten();
        let own = known.filter(|one| is_near(one.source, source)).count();
        let has_share = own >= CANDIDATES / 2;
        let gives_way = |place: &&mut Option<Candidate>| match place {
            None => !has_share,
            Some(one) if has_share => is_near(one.source, source),
            Some(one) => !is_near(one.source, announced) || is_near(source, announced),
        };
        let rank = |place: &&mut Option<Candidate>| {
            place.as_ref().map(|one| {
                let is_silent = now.saturating_duration_since(one.at) > RESPECT;
                (!is_silent, one.count, one.at)
            })
        };
        let places = self.candidates.iter_mut();
        places.filter(gives_way).min_by_key(rank)
    }
}

/// Whether both are at one address, at whatever port.
fn is_near(one: SocketAddr, other: SocketAddr) -> bool {
    let address: IpAddr = one.ip();
    address == other.ip()
}

#[cfg(test)]
mod tests;
