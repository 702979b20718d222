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
//! at another port counts more than an address of the networks. RTCP from a port of its own is
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

/// Places on probation at a time. A flood of others may push the right one out, but not settle in its stead any sooner.
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
    candidates: [Option<Candidate>; CANDIDATES],
    /// Which candidate gives way to the next.
    oldest: usize,
}

/// A place on probation.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    source: SocketAddr,
    ssrc: u32,
    last: u16,
    count: u8,
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
        if self.rtp == Some(source) {
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
        if !(is_announced || is_authentic || learning.try_out(source, rtp)) {
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
            candidates: [None; CANDIDATES],
            oldest: 0,
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

    /// Counts a packet of a place on probation; returns whether that is over.
    fn try_out(&mut self, source: SocketAddr, rtp: &Header) -> bool {
        let known = self.candidates.iter_mut().flatten();
        let known = known
            .into_iter()
            .find(|candidate| candidate.source == source && candidate.ssrc == rtp.ssrc);
        if let Some(candidate) = known {
            let is_next = rtp.sequence == candidate.last.wrapping_add(1);
            candidate.count = if is_next { candidate.count + 1 } else { 1 };
            candidate.last = rtp.sequence;
            return candidate.count >= PROBATION;
        }
        if let Some(place) = self.candidates.get_mut(self.oldest) {
            *place = Some(Candidate {
                source,
                ssrc: rtp.ssrc,
                last: rtp.sequence,
                count: 1,
            });
        }
        self.oldest = (self.oldest + 1) % CANDIDATES;
        false
    }
}

/// Whether both are at one address, at whatever port.
fn is_near(one: SocketAddr, other: SocketAddr) -> bool {
    let address: IpAddr = one.ip();
    address == other.ip()
}

#[cfg(test)]
mod tests;
