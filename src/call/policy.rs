//! The policy: everything the engine goes by. An `Arc` that is replaced, never changed.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher as _;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use siphasher::sip128::{Hasher128 as _, SipHasher24};
use smallvec::{SmallVec, smallvec};

use crate::auth::allowlist::Allowlist;
pub use crate::auth::ban::Rules;
use crate::auth::digest::{Account, Algorithm};
pub use crate::auth::gate::DigestUri;
pub use crate::dialog::session_timer::Terms;
use crate::hooks::model::Hooks;
use crate::media::ng;
use crate::media::plan::Patience;
use crate::media::ports;
use crate::routing::buyer::Gateway;
use crate::routing::directory::Directory;
use crate::routing::trunk::{CompanyId, Trunk};
use crate::sip::flow::{Flow, ListenerId, PeerId, Transport};
use crate::sip::locate::{Target, Wanted};
use crate::transaction::timing::Timing;
use crate::twilio::connect::CompanyKey;
use crate::twilio::mac::Rotating;
use crate::types::secret::Secret;

/// Everything the engine goes by.
pub struct Policy {
    /// The name of this node.
    pub node: Arc<str>,
    /// Counts loads of the configuration; the first is 1.
    pub generation: u64,
    /// Signs hop tokens; nodes of one site share it.
    pub hop_secret: Secret,
    /// Value of Server and User-Agent; `None`: neither is sent.
    pub product: Option<Box<str>>,
    /// Our listeners, by [`ListenerId`].
    pub listeners: Vec<Listener>,
    /// SIP domains, by host of the Request-URI in lower case, without port and brackets.
    pub domains: HashMap<Box<str>, Arc<Domain>>,
    /// Trunks, by [`TrunkId`].
    pub trunks: Vec<Arc<Trunk>>,
    /// Numbers, campaigns, buyers.
    pub directory: Directory,
    /// Webhooks and conversion groups of the campaigns, by [`CampaignId`](crate::routing::directory::CampaignId).
    pub hooks: Hooks,
    /// Hard bounds of the engine's tables.
    pub limits: Limits,
    /// T1, T2, T4.
    pub timing: Timing,
    /// What strangers get.
    pub strangers: Strangers,
    /// Addresses that are no stranger's: those that any trunk lists, and the buyers'.
    pub known: Allowlist<Known>,
    /// Session timers (RFC 4028); `None`: none.
    pub session: Option<Terms>,
    /// What strangers may do before they are not heard any more.
    pub guard: Rules,
    /// When there is too much to do.
    pub overload: Overload,
    /// How a call is offered to buyers.
    pub hunt: HuntBudget,
    /// When a gateway is left alone.
    pub health: HealthTerms,
    /// Where media is relayed.
    pub media: Media,
    /// Twilio's addresses: what it alone can set is believed from there.
    pub twilio: Allowlist<()>,
    /// Tickets that our own HTTP side gives to calls; `None`: it gives none.
    pub tickets: Option<Tickets>,
}

/// What is known of tickets, by which a call is known that our HTTP side has sent to us by way of Twilio.
pub struct Tickets {
    /// What they are signed with.
    pub secrets: Rotating,
    /// The companies that they name.
    pub companies: HashMap<CompanyKey, CompanyId>,
}

/// One listener.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Transport.
    pub transport: Transport,
    /// The address it is bound to.
    pub bind: SocketAddr,
    /// What Via and Contact say: `host:port`, IPv6 in brackets.
    pub advertise: Box<str>,
}

/// Where media is relayed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// Our address for IPv4; `None`: there is none.
    pub v4: Option<Mouth>,
    /// Our address for IPv6; `None`: there is none.
    pub v6: Option<Mouth>,
    /// Ports, in pairs that begin with an even one.
    pub ports: RangeInclusive<u16>,
    /// Ports that many calls use at a time, in such pairs; `None`: there are none.
    pub shared_ports: Option<RangeInclusive<u16>>,
    /// How many shards share them out.
    pub shards: usize,
    /// How long a port is left alone after a call.
    pub rest: Duration,
    /// How long a call may be quiet.
    pub patience: Patience,
    /// Whether records tell which keys were pressed (RFC 4733).
    pub keeps_digits: bool,
    /// Network interfaces at which the kernel forwards established streams.
    pub kernel: Vec<Box<str>>,
    /// The rtpengines that relay besides us, or instead.
    pub rtpengine: ng::ask::Terms,
}

impl Default for Media {
    /// None is relayed; the rest is what `conf/strowger.toml` gives reasons for.
    fn default() -> Self {
        Self {
            v4: None,
            v6: None,
            ports: 20_000..=29_999,
            shared_ports: None,
            shards: 1,
            rest: Duration::from_secs(30),
            patience: Patience {
                is_answered: false,
                start: Some(Duration::from_secs(30)),
                silence: Some(Duration::from_secs(30)),
                hold: Some(Duration::from_secs(1800)),
            },
            keeps_digits: false,
            kernel: Vec::new(),
            rtpengine: ng::ask::Terms::default(),
        }
    }
}

impl Media {
    /// Whether we relay any ourselves.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.v4.is_some() || self.v6.is_some()
    }

    /// All pairs that many calls use: the address and the even port.
    pub fn shared_pairs(&self) -> impl Iterator<Item = (IpAddr, u16)> {
        let mouths = [self.v4, self.v6].into_iter().flatten();
        mouths.flat_map(|mouth| {
            let ports = self.shared_ports.iter();
            let pairs = ports.flat_map(|range| ports::pairs(range.clone()));
            pairs.map(move |port| (mouth.bind, port))
        })
    }

    /// Whether any is relayed, by whomever.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.is_open() || self.rtpengine.is_any()
    }
}

/// An address of ours that media comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mouth {
    /// What sockets are bound to.
    pub bind: IpAddr,
    /// What session descriptions say.
    pub advertise: IpAddr,
}

/// One SIP domain: who is let in under this name.
pub struct Domain {
    /// Realm of its challenges.
    pub realm: Box<str>,
    /// What a caller must show.
    pub require: Require,
    /// Algorithms offered, the preferred one first.
    pub algorithms: Vec<Algorithm>,
    /// How strictly the digest's uri is compared with the Request-URI.
    pub digest_uri: DigestUri,
    /// Addresses let in, with their trunk.
    pub allow: Allowlist<TrunkId>,
    /// Users let in, by name.
    pub users: Users,
    /// Peers let in by their certificates.
    pub peers: HashMap<PeerId, TrunkId>,
}

/// The digest users of a domain, by name.
///
/// To find one and to find none takes the same way through memory: whoever is asked for, one user's account is at hand, be it only
/// to compute a response with that nobody asked for. So the time tells nobody who is a user.
#[derive(Default)]
pub struct Users(BTreeMap<u128, User>);

impl Users {
    /// Adds a user; `false`: one of this name is there already, and stays.
    pub fn insert(&mut self, user: User) -> bool {
        match self.0.entry(Self::place(user.name.as_bytes())) {
            Entry::Vacant(vacant) => {
                vacant.insert(user);
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    /// The account to compute a response with, `None` only if there is no user at all; and the user, if there is one
    /// of this name.
    #[must_use]
    pub fn find(&self, name: &[u8]) -> (Option<&Account>, Option<&User>) {
        let wanted = Self::place(name);
        let nearest = self.0.range(..=wanted).next_back();
        let nearest = nearest.or_else(|| self.0.first_key_value());
        let Some((place, user)) = nearest else {
            return (None, None);
        };
        let is_it = (*place == wanted) & (user.name.as_bytes() == name);
        (Some(&user.account), is_it.then_some(user))
    }

    /// A hash: two names that fall together are found out by comparing them.
    fn place(name: &[u8]) -> u128 {
        let mut hasher = SipHasher24::new();
        hasher.write(name);
        hasher.finish128().as_u128()
    }
}

/// One digest user.
pub struct User {
    /// Its name, for records.
    pub name: Arc<str>,
    /// Its trunk.
    pub trunk: TrunkId,
    /// Its HA1s.
    pub account: Account,
}

/// What a domain asks of a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Require {
    /// A listed address.
    Ip,
    /// Digest.
    Digest,
    /// A listed address and digest, of the same trunk.
    Both,
    /// A listed address; from others, digest.
    Either,
    /// A certificate, shown by TLS, with the name of a trunk.
    Certificate,
}

/// Whose an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// That of the trunk which lists it; of the first one, if several do.
    Trunk(TrunkId),
    /// A buyer's.
    Buyer,
}

/// Place in [`Policy::trunks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TrunkId(pub u32);

/// Hard bounds, per shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once.
    pub calls: usize,
    /// Server transactions at once, and as many client transactions. The last eighth is kept for calls under
    /// way: new ones are refused before.
    pub transactions: usize,
    /// Accepted nonces remembered for their nonce-counts.
    pub nonces: usize,
    /// How long an answered call may last.
    pub call_time: Duration,
}

/// What strangers get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strangers {
    /// 403 or a challenge, and what everybody gets: 200 to an OPTIONS, 400 to what cannot be read.
    #[default]
    Refuse,
    /// A challenge where an INVITE asks for one, and else nothing.
    Silent,
}

/// When there is too much to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overload {
    /// How long datagrams may wait to be received; zero: as long as it takes.
    pub target: Duration,
    /// Wait after which an INVITE is dropped, for the next copy of it is on its way; zero: none is.
    pub stale: Duration,
}

impl Default for Overload {
    /// What `conf/strowger.toml` gives reasons for.
    fn default() -> Self {
        Self {
            target: Duration::from_millis(50),
            stale: Duration::from_millis(400),
        }
    }
}

/// How a call is offered to buyers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HuntBudget {
    /// Buyers tried per call at most.
    pub attempts: usize,
    /// Of those who are to be called at once, so many are, and the others after them; at least 1.
    pub at_once: usize,
    /// Time from the caller's INVITE after which no further buyer is tried.
    pub time: Duration,
    /// Time from the caller's INVITE after which it hears ringing, though no buyer has rung (post-dial delay).
    pub pdd: Duration,
}

/// When a gateway is left alone, and for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthTerms {
    /// Trunk failures in a row; at least 1.
    pub failures: u32,
    /// For how long at first; each trial that fails doubles it.
    pub cooldown: Duration,
    /// For how long at most, also if the gateway asks for more.
    pub cooldown_limit: Duration,
    /// OPTIONS in a row that fail until a gateway is taken for lost; at least 1.
    pub probe_failures: u32,
    /// OPTIONS in a row that are answered until it is taken for found again; at least 1.
    pub probe_recoveries: u32,
    /// Statuses that are as good as no answer to OPTIONS.
    pub probe_dead: SmallVec<[u16; 4]>,
}

impl Default for HealthTerms {
    fn default() -> Self {
        Self {
            failures: 5,
            cooldown: Duration::from_secs(30),
            cooldown_limit: Duration::from_secs(300),
            probe_failures: 3,
            probe_recoveries: 2,
            probe_dead: smallvec![408, 503],
        }
    }
}

impl Policy {
    /// How we appear in Via and Contact on a listener.
    #[must_use]
    pub fn advertised(&self, listener: ListenerId) -> &str {
        self.listeners
            .get(usize::from(listener.0))
            .map_or("", |listener| &listener.advertise)
    }

    /// Whether what comes from this address is to be met with silence, unless it belongs to a call,
    /// shows a password, or a buyer's name was found there.
    #[must_use]
    pub fn is_silent_to(&self, address: IpAddr) -> bool {
        match self.strangers {
            Strangers::Refuse => false,
            Strangers::Silent => self.known.longest_match(address).is_none(),
        }
    }

    /// The way to a gateway by address; `None`: no listener of ours reaches it, or it is known by name.
    #[must_use]
    pub fn flow_to(&self, gateway: &Gateway) -> Option<Flow> {
        self.flow_along(gateway, gateway.target()?)
    }

    /// The way to a gateway at one of its places; `None`: no listener of ours reaches that, or it is our own.
    #[must_use]
    pub fn flow_along(&self, gateway: &Gateway, target: Target) -> Option<Flow> {
        let Target { transport, address } = target;
        // What DNS says may lead back to us: calls would go in circles.
        if gateway.lookup.is_some() && self.is_own(transport, address) {
            return None;
        }
        let listener = self.listener_for(transport, address)?;
        Some(Flow {
            transport,
            listener,
            remote: address,
            peer: match transport {
                Transport::Tls => gateway.peer(),
                Transport::Udp | Transport::Tcp => PeerId::NOBODY,
            },
        })
    }

    /// The names that gateways are known by, some of them perhaps more than once.
    pub fn names(&self) -> impl Iterator<Item = &Arc<Wanted>> {
        let buyers = self.directory.buyers.values();
        buyers
            .flat_map(|buyer| &buyer.gateways)
            .filter_map(|gateway| gateway.lookup.as_ref())
    }

    /// Whether a message sent there would come back to us.
    #[must_use]
    pub fn is_own(&self, transport: Transport, address: SocketAddr) -> bool {
        self.listeners.iter().any(|listener| {
            listener.transport == transport
                && (listener.bind == address || listener.advertise.parse() == Ok(address))
        })
    }

    /// Whether this is an address of Twilio's, which all of its customers share.
    #[must_use]
    pub fn is_twilio(&self, address: IpAddr) -> bool {
        self.twilio.longest_match(address).is_some()
    }

    /// The listener that reaches `address` by `transport`: the first of the same address family.
    #[must_use]
    pub fn listener_for(&self, transport: Transport, address: SocketAddr) -> Option<ListenerId> {
        self.listeners
            .iter()
            .position(|listener| {
                listener.transport == transport && listener.bind.is_ipv4() == address.is_ipv4()
            })
            .and_then(|place| u16::try_from(place).ok())
            .map(ListenerId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_with_nobody_an_account_is_at_hand_all_the_same() {
        let mut users = Users::default();
        assert!(matches!(users.find(b"ann"), (None, None)));
        for name in ["ann", "bob", "cid"] {
            assert!(users.insert(user(name)));
            assert!(!users.insert(user(name)), "{name} is there");
        }

        for name in ["ann", "bob", "cid"] {
            let (account, found) = users.find(name.as_bytes());
            let found = found.expect("a user");
            assert_eq!(&*found.name, name);
            assert!(std::ptr::eq(account.expect("an account"), &found.account));
        }
        for name in ["", "an", "annn", "ANN", "dan", "zoe"] {
            assert!(matches!(users.find(name.as_bytes()), (Some(_), None)));
        }
    }

    fn user(name: &str) -> User {
        User {
            name: name.into(),
            trunk: TrunkId(0),
            account: Account::from_password(name, "realm", &Secret::new(*b"word")),
        }
    }
}
