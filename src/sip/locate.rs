//! Finding the peer that a URI names (RFC 3263 §4), as a decision over DNS answers.
//!
//! ```text
//!   URI:  address ─────────────────────────────────────────────────────> target
//!         name and port ──────────────────────────────> A, AAAA ───────> targets
//!         name and transport ──────────────> SRV ─────> A, AAAA ───────> targets, by priority and weight
//!         name ─────> NAPTR: transports ───> SRV ─────> A, AAAA ───────> the same, the preferred transport first
//!                      └ none ─────────────> SRV for each transport
//!                                             └ none ─> A, AAAA, port 5060 or 5061
//! ```
//!
//! [`locate`] is asked again after each answer, until it has no more questions. Nothing here sends a
//! packet or draws a number: answers come in, and the order among equals is drawn by [`Located::order`]
//! from a seed.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::sip::flow::Transport;
use crate::sip::uri::SipUri;

/// Whom a URI asks for, and how we can send.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wanted {
    /// The host's name in lower case, without a dot at its end.
    name: Box<str>,
    port: Option<u16>,
    /// What the URI's `transport` says.
    transport: Option<Transport>,
    /// `sips:`: TLS to the peer, whatever else is said.
    is_secure: bool,
    /// What we can send by, the preferred one first.
    able: Arc<[Transport]>,
}

impl Wanted {
    /// Whom `uri` asks for; `None` if it names an address, so that there is nothing to find out, or a
    /// transport that we do not know. `transport` is for a URI that names none; `able` is what we can send by,
    /// the preferred one first.
    #[must_use]
    pub fn new(
        uri: &SipUri<'_>,
        transport: Option<Transport>,
        able: Arc<[Transport]>,
    ) -> Option<Self> {
        if uri.host.ip().is_some() {
            return None;
        }
        let transport = match uri.params.get("transport").flatten() {
            None => transport,
            Some(name) => Some(transport_named(name)?),
        };
        let name = uri.host.text().to_string().to_ascii_lowercase();
        Some(Self {
            name: name.trim_end_matches('.').into(),
            port: uri.port,
            transport,
            is_secure: uri.secure,
            able,
        })
    }

    /// The host's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether there is a transport that it asks for and we can send by.
    #[must_use]
    pub fn is_sendable(&self) -> bool {
        self.transports().next().is_some()
    }

    /// The transports that may be used: what the URI asks for, and we can.
    fn transports(&self) -> impl Iterator<Item = Transport> {
        let asked = match (self.transport, self.is_secure) {
            // §4.1: TLS is the only transport of sips; `transport=tcp` says what is below it.
            (_, true) => Some(Transport::Tls),
            (asked, false) => asked,
        };
        let able = self.able.iter().copied();
        able.filter(move |able| asked.is_none_or(|asked| asked == *able))
    }

    /// The transport of what names none (§4.1): UDP, or TLS for sips.
    fn default_transport(&self) -> Option<Transport> {
        let default = if self.is_secure {
            Transport::Tls
        } else {
            self.transport.unwrap_or(Transport::Udp)
        };
        self.transports().find(|one| *one == default)
    }
}

impl fmt::Display for Wanted {
    /// `pbx.example.com:5080/tcp`: as much as is asked for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match (self.transport, self.is_secure) {
            (Some(Transport::Tls), _) | (_, true) => f.write_str("/tls"),
            (Some(Transport::Tcp), false) => f.write_str("/tcp"),
            (Some(Transport::Udp), false) => f.write_str("/udp"),
            (None, false) => Ok(()),
        }
    }
}

/// The transport called `name` in a URI.
fn transport_named(name: &[u8]) -> Option<Transport> {
    [Transport::Udp, Transport::Tcp, Transport::Tls]
        .into_iter()
        .find(|one| one.name().as_bytes().eq_ignore_ascii_case(name))
}

/// One question to DNS. Names are in lower case, without a dot at the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// Which transports a domain has, in which order.
    Naptr(Box<str>),
    /// Which hosts serve it by one transport.
    Srv(Box<str>),
    /// IPv4 addresses of a host.
    A(Box<str>),
    /// IPv6 addresses of a host.
    Aaaa(Box<str>),
}

/// What DNS said to one question. Nothing is an answer, too: an empty list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Question::Naptr`].
    Naptr(Vec<Naptr>),
    /// To [`Question::Srv`].
    Srv(Vec<Srv>),
    /// To [`Question::A`] and [`Question::Aaaa`].
    Addresses(Vec<IpAddr>),
    /// There is none: the server failed, or is silent.
    Failed,
}

/// One NAPTR record (RFC 3403), as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naptr {
    /// Lower goes first.
    pub order: u16,
    /// Among the same order, lower goes first.
    pub preference: u16,
    /// `s`: the replacement is to be asked for SRV.
    pub flags: Box<str>,
    /// `SIP+D2U`, `SIPS+D2T`.
    pub services: Box<str>,
    /// The name to go on with.
    pub replacement: Box<str>,
}

/// One SRV record (RFC 2782).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srv {
    /// Lower goes first.
    pub priority: u16,
    /// Share among the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host; empty: the service is not offered.
    pub target: Box<str>,
}

/// What DNS has said so far.
pub type Answers = BTreeMap<Question, Answer>;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Ask these, all at once.
    Ask(Vec<Question>),
    /// This is where the peer is.
    Done(Located),
    /// It cannot be found. Whether because DNS failed (and may answer later), or because there is nothing.
    Nowhere {
        /// A question that mattered got no answer.
        has_failed: bool,
    },
}

/// Where a peer is: all its places, in the order in which they are to be tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Located {
    hosts: Vec<Host>,
}

/// One place to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// The places of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    /// Lower goes first; hosts of the same rank share by weight.
    rank: u32,
    weight: u16,
    targets: SmallVec<[Target; 2]>,
}

/// Targets in the order in which they are to be tried.
pub type Targets = SmallVec<[Target; 4]>;

impl Located {
    /// All its addresses.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let targets = self.hosts.iter().flat_map(|host| &host.targets);
        targets.map(|target| target.address.ip())
    }

    /// The targets in the order of one call: hosts of the same rank are drawn by weight (RFC 2782), as
    /// `seed` says.
    #[must_use]
    pub fn order(&self, seed: u64) -> Targets {
        let mut ordered = Targets::new();
        let mut dice = Dice(seed);
        for group in self.hosts.chunk_by(|one, other| one.rank == other.rank) {
            let mut left: SmallVec<[&Host; 8]> = group.iter().collect();
            while !left.is_empty() {
                let host = left.remove(draw(&left, &mut dice));
                ordered.extend(host.targets.iter().copied());
            }
        }
        ordered.truncate(MOST_TARGETS);
        ordered
    }
}

/// The place of the next host among those of one priority (RFC 2782): each by its share; those of weight
/// zero stand first, and so are drawn only if the number is zero.
fn draw(left: &[&Host], dice: &mut Dice) -> usize {
    let sum: u64 = left.iter().map(|host| u64::from(host.weight)).sum();
    let mut wanted = dice.up_to(sum);
    for (place, host) in left.iter().enumerate() {
        match wanted.checked_sub(u64::from(host.weight)) {
            Some(rest) if rest > 0 => wanted = rest,
            Some(_) | None => return place,
        }
    }
    0
}

/// Numbers from a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    /// From 0 to `most`, both included, evenly.
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * (u128::from(most) + 1)) >> 64) as u64
    }
}

/// Where `wanted` is, as far as `answers` tell; or what else to ask.
#[must_use]
pub fn locate(wanted: &Wanted, answers: &Answers) -> Step {
    let mut search = Search {
        answers,
        missing: Vec::new(),
        has_failed: false,
        hosts: Vec::new(),
    };
    search.run(wanted);
    if !search.missing.is_empty() {
        return Step::Ask(search.missing);
    }
    let mut hosts = search.hosts;
    if hosts.is_empty() {
        return Step::Nowhere {
            has_failed: search.has_failed,
        };
    }
    // Stable: what DNS said first stays first; weight zero goes before others (RFC 2782).
    hosts.sort_by_key(|host| (host.rank, host.weight != 0));
    hosts.truncate(MOST_HOSTS);
    Step::Done(Located { hosts })
}

struct Search<'a> {
    answers: &'a Answers,
    missing: Vec<Question>,
    has_failed: bool,
    hosts: Vec<Host>,
}

impl Search<'_> {
    fn run(&mut self, wanted: &Wanted) {
        let is_decided = wanted.transport.is_some() || wanted.port.is_some();
        if let Some(port) = wanted.port {
            // §4.2: a port says that this very host is meant.
            if let Some(transport) = wanted.default_transport() {
                self.add_host(&wanted.name, transport, port, 0, 0);
            }
            return;
        }
        let services = if is_decided {
            None
        } else {
            match self.services(wanted) {
                Found::Yet => return,
                Found::Nothing => None,
                Found::Some(services) => Some(services),
            }
        };
        // §4.1: without NAPTR, each transport is tried; §4.2: with a transport, only that one.
        let services = services.unwrap_or_else(|| {
            let name = |transport| format!("{}.{}", srv_prefix(transport), wanted.name);
            let each = wanted.transports();
            each.map(|one| (one, name(one).into_boxed_str())).collect()
        });
        let mut is_offered = false;
        for (place, (transport, name)) in services.iter().enumerate() {
            match self.srv(name) {
                Found::Yet | Found::Nothing => {}
                Found::Some(records) => {
                    is_offered = true;
                    for record in records.iter().filter(|record| !record.target.is_empty()) {
                        let rank = (place as u32) << 16 | u32::from(record.priority);
                        self.add_host(&record.target, *transport, record.port, rank, record.weight);
                    }
                }
            }
        }
        // A failed SRV is no proof that there is none: the host itself may be another service's.
        if self.missing.is_empty()
            && !(is_offered || self.has_failed)
            && let Some(transport) = wanted.default_transport()
        {
            let port = if transport == Transport::Tls {
                5061
            } else {
                5060
            };
            self.add_host(&wanted.name, transport, port, 0, 0);
        }
    }

    /// The transports that NAPTR offers, with the names to ask for SRV.
    fn services(&mut self, wanted: &Wanted) -> Found<Vec<(Transport, Box<str>)>> {
        let question = Question::Naptr(wanted.name.clone());
        let mut records = match self.answers.get(&question) {
            None => {
                self.ask(question);
                return Found::Yet;
            }
            Some(Answer::Naptr(records)) => records.clone(),
            // Few ask for NAPTR, and some servers fail at it: SRV decides.
            Some(_) => return Found::Nothing,
        };
        records.sort_by_key(|record| (record.order, record.preference));
        let services: Vec<_> = records
            .into_iter()
            .filter(|record| record.flags.eq_ignore_ascii_case("s"))
            .filter_map(|record| Some((service_transport(&record.services)?, record.replacement)))
            .filter(|(transport, _)| wanted.transports().any(|able| able == *transport))
            .take(MOST_SERVICES)
            .collect();
        if services.is_empty() {
            Found::Nothing
        } else {
            Found::Some(services)
        }
    }

    fn srv(&mut self, name: &str) -> Found<Vec<Srv>> {
        let question = Question::Srv(name.into());
        match self.answers.get(&question) {
            None => {
                self.ask(question);
                Found::Yet
            }
            Some(Answer::Srv(records)) if records.is_empty() => Found::Nothing,
            Some(Answer::Srv(records)) => {
                let mut records = records.clone();
                records.sort_by_key(|record| record.priority);
                records.truncate(MOST_HOSTS);
                Found::Some(records)
            }
            Some(_) => {
                self.has_failed = true;
                Found::Nothing
            }
        }
    }

    /// Several records may lead to one name.
    fn ask(&mut self, question: Question) {
        if !self.missing.contains(&question) {
            self.missing.push(question);
        }
    }

    /// The addresses of one host: IPv4 and IPv6 are asked at once, and IPv4 goes first.
    fn add_host(&mut self, name: &str, transport: Transport, port: u16, rank: u32, weight: u16) {
        let mut targets = SmallVec::new();
        for question in [Question::A(name.into()), Question::Aaaa(name.into())] {
            match self.answers.get(&question) {
                None => self.ask(question),
                Some(Answer::Addresses(addresses)) => {
                    let usable = addresses.iter().filter(|ip| is_usable(**ip));
                    targets.extend(usable.take(MOST_ADDRESSES).map(|ip| Target {
                        transport,
                        address: SocketAddr::new(*ip, port),
                    }));
                }
                Some(_) => self.has_failed = true,
            }
        }
        if !targets.is_empty() {
            self.hosts.push(Host {
                rank,
                weight,
                targets,
            });
        }
    }
}

enum Found<T> {
    /// The answer is still to come.
    Yet,
    Nothing,
    Some(T),
}

/// What stands before a domain to ask which hosts serve it (RFC 3263 §4.1).
fn srv_prefix(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp => "_sip._tcp",
        Transport::Tls => "_sips._tcp",
    }
}

/// The transport of a NAPTR service (RFC 3263 §4.1).
fn service_transport(services: &str) -> Option<Transport> {
    [
        ("SIP+D2U", Transport::Udp),
        ("SIP+D2T", Transport::Tcp),
        ("SIPS+D2T", Transport::Tls),
    ]
    .into_iter()
    .find(|(name, _)| name.eq_ignore_ascii_case(services))
    .map(|(_, transport)| transport)
}

/// Whether somebody can be there.
fn is_usable(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast()
}

/// Hosts of one name at most, addresses of one host and family, and targets of one call: a hostile zone
/// costs no more.
const MOST_HOSTS: usize = 16;
const MOST_ADDRESSES: usize = 8;
const MOST_TARGETS: usize = 32;
/// Transports of one name at most.
const MOST_SERVICES: usize = 8;

#[cfg(test)]
mod tests;
