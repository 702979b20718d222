//! A policy built in code: domains of every kind, a number for each call, buyers where the test wants them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use strowger::auth::allowlist::Allowlist;
use strowger::auth::digest::{Account, Algorithm};
use strowger::call::policy::{
    DigestUri, Domain, HealthTerms, HuntBudget, Known, Limits, Listener, Media, Overload, Policy,
    Require, Rules, Strangers, Terms, TrunkId, User, Users,
};
use strowger::hooks::model::Hooks;
use strowger::routing::buyer::{Buyer, Gateway, Login, XPhProfile};
use strowger::routing::callers::Lists;
use strowger::routing::campaign::{Campaign, Signal, Waiting};
use strowger::routing::caps::Caps;
use strowger::routing::directory::{
    CampaignId, Company, Directory, Line, Source, SourceId, TermsId,
};
use strowger::routing::route::{Part, Route};
use strowger::routing::trunk::{CompanyId, MediaTerms, Plane, Refer, Trunk};
use strowger::sip::flow::Transport;
use strowger::sip::locate::Wanted;
use strowger::sip::rules::{HeaderRules, NameList};
use strowger::sip::uri::Uri;
use strowger::transaction::timing::Timing;
use strowger::types::number::Number;
use strowger::types::range::NumberSet;
use strowger::types::secret::Secret;

/// Where the edge listens.
pub(crate) const EDGE: &str = "192.0.2.1:5060";
/// The carrier whose address is listed.
pub(crate) const CARRIER: &str = "192.0.2.10:5060";
/// A user of the carrier's that proves itself by digest, at an address that is not listed.
pub(crate) const ROAMER: &str = "203.0.113.20:5060";
/// Somebody unknown.
pub(crate) const STRANGER: &str = "203.0.113.66:5060";
/// The user that may call by digest.
pub(crate) const USER: &str = "alice";
/// Its password, and the buyers'.
pub(crate) const PASSWORD: &str = "open-sesame";
/// The realm of the buyers' challenges.
pub(crate) const BUYER_REALM: &str = "buyers.example.com";
/// The realm of ours.
pub(crate) const REALM: &str = "edge.example.com";

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

/// One buyer of a test.
#[derive(Debug, Clone)]
pub(crate) struct BuyerSpec {
    /// User part of its URI.
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// Further gateways, each behind those before it.
    pub(crate) others: Vec<SocketAddr>,
    pub(crate) priority: i32,
    pub(crate) ring: Duration,
    pub(crate) silence: Duration,
    pub(crate) probe: Option<Duration>,
    pub(crate) caps: Caps,
    pub(crate) has_login: bool,
    pub(crate) shares_login: bool,
    /// Its number, if it is a telephone.
    pub(crate) phone: Option<String>,
    pub(crate) offers_reliable: bool,
    pub(crate) refer: Refer,
    pub(crate) profile: XPhProfile,
    /// Names of headers of its own that pass to the caller.
    pub(crate) pass_from: Vec<String>,
    pub(crate) is_trusted: bool,
    pub(crate) media: MediaTerms,
    /// Its URI, if it is known by name.
    pub(crate) named: Option<String>,
}

impl BuyerSpec {
    pub(crate) fn new(name: &str, address: SocketAddr) -> Self {
        Self {
            name: name.to_owned(),
            address,
            others: Vec::new(),
            priority: 1,
            ring: Duration::from_secs(30),
            silence: Duration::from_secs(4),
            probe: None,
            caps: Caps::default(),
            has_login: false,
            shares_login: false,
            phone: None,
            offers_reliable: true,
            refer: Refer::Refuse,
            profile: XPhProfile::Raw,
            pass_from: Vec::new(),
            is_trusted: false,
            media: MediaTerms::default(),
            named: None,
        }
    }
}

/// What a trunk is trusted with.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrustSpec {
    pub(crate) is_trusted: bool,
    pub(crate) caller_ids: Option<Vec<String>>,
    pub(crate) pass_to: Vec<String>,
    pub(crate) remove: Vec<String>,
    pub(crate) twilio_accounts: Vec<String>,
    /// Twilio's addresses.
    pub(crate) twilio: Vec<IpAddr>,
}

/// What a policy is made of.
#[derive(Debug, Clone)]
pub(crate) struct PolicySpec {
    /// Number `n` (see [`number`]) goes to the buyers in place `n`.
    pub(crate) lines: Vec<Vec<BuyerSpec>>,
    /// Lines whose buyers are called at once.
    pub(crate) together: Vec<usize>,
    /// Lines whose calls wait if nobody can take them.
    pub(crate) waiting: Vec<usize>,
    /// How many are called at once at most.
    pub(crate) at_once: usize,
    /// Hosts besides the domains below, as open as `ip.example.com`.
    pub(crate) hosts: Vec<String>,
    /// Addresses listed besides the carrier's.
    pub(crate) sources: Vec<IpAddr>,
    pub(crate) call_time: Duration,
    pub(crate) session: Option<Terms>,
    /// Where media is relayed; nowhere, it goes directly.
    pub(crate) media: Media,
    pub(crate) trunk_media: MediaTerms,
    pub(crate) refer: Refer,
    pub(crate) calls: usize,
    /// The carrier's limits.
    pub(crate) caps: Caps,
    pub(crate) transactions: usize,
    pub(crate) sid: Option<String>,
    pub(crate) strangers: Strangers,
    /// What every domain offers.
    pub(crate) algorithms: Vec<Algorithm>,
    /// Wrong passwords after which none is looked at; 0 never ends, for people here go on trying.
    pub(crate) guesses: u32,
    /// INVITEs that a roamer may leave open, and the carrier; 0 and `None` are no bound.
    pub(crate) half_open: (u32, Option<u32>),
    pub(crate) generation: u64,
    /// Names of headers that the trunk passes.
    pub(crate) pass_headers: Vec<String>,
    /// What the trunk says of headers and callers besides.
    pub(crate) trust: TrustSpec,
    /// Numbers besides that go to line 0.
    pub(crate) aliases: Vec<String>,
    /// How the trunk knows the edge, by listener.
    pub(crate) advertise: Vec<Box<str>>,
    /// The edge's listeners, all at one address.
    pub(crate) transports: Vec<Transport>,
}

impl Default for PolicySpec {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            together: Vec::new(),
            waiting: Vec::new(),
            at_once: 10,
            hosts: Vec::new(),
            sources: Vec::new(),
            call_time: Duration::from_secs(3600),
            session: None,
            media: Media::default(),
            trunk_media: MediaTerms::default(),
            refer: Refer::Refuse,
            calls: 1000,
            caps: Caps::default(),
            transactions: 10_000,
            sid: Some("sub-7".to_owned()),
            strangers: Strangers::Refuse,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            guesses: 0,
            half_open: (0, None),
            generation: 1,
            pass_headers: Vec::new(),
            trust: TrustSpec::default(),
            aliases: Vec::new(),
            advertise: Vec::new(),
            transports: vec![Transport::Udp],
        }
    }
}

/// The number that line `n` stands for, as a carrier dials it.
pub(crate) fn number(line: usize) -> String {
    format!("+1555555{:04}", 100 + line)
}

impl PolicySpec {
    pub(crate) fn build(&self) -> Arc<Policy> {
        let trunk = Trunk {
            caps: self.caps,
            half_open: self.half_open.1,
            headers: HeaderRules {
                pass_from: names(&self.pass_headers),
                pass_to: names(&self.trust.pass_to),
                remove: names(&self.trust.remove),
                ..HeaderRules::default()
            },
            is_trusted: self.trust.is_trusted,
            media: MediaTerms {
                plane: match (self.media.rtpengine.is_any(), self.media.is_open()) {
                    (true, _) => Plane::Rtpengine,
                    (false, true) => Plane::Relay,
                    (false, false) => Plane::Direct,
                },
                ..self.trunk_media.clone()
            },
            caller_ids: self.trust.caller_ids.as_ref().map(|texts| {
                let mut set = NumberSet::default();
                texts.iter().for_each(|text| assert!(set.insert(text)));
                set
            }),
            twilio_accounts: self
                .trust
                .twilio_accounts
                .iter()
                .map(|one| one.as_str().into())
                .collect(),
            advertise: self.advertise.iter().cloned().map(Some).collect(),
            refer: self.refer,
            ..Trunk::new("carrier", CompanyId(0))
        };
        Arc::new(Policy {
            node: "test".into(),
            generation: self.generation,
            hop_secret: Secret::new(*b"hop-secret-hop-secret-hop-secret"),
            product: Some("strowger".into()),
            listeners: self
                .transports
                .iter()
                .map(|transport| Listener {
                    transport: *transport,
                    bind: addr(EDGE),
                    advertise: EDGE.into(),
                })
                .collect(),
            domains: self.domains(),
            trunks: vec![Arc::new(trunk)],
            directory: self.directory(),
            hooks: Hooks::default(),
            limits: Limits {
                calls: self.calls,
                transactions: self.transactions,
                nonces: 1000,
                call_time: self.call_time,
            },
            timing: Timing::default(),
            strangers: self.strangers,
            known: self.known(),
            session: self.session,
            guard: Rules {
                guesses: self.guesses,
                half_open: self.half_open.0,
                ..Rules::default()
            },
            overload: Overload::default(),
            hunt: HuntBudget {
                at_once: self.at_once,
                attempts: 10,
                time: Duration::from_secs(120),
                pdd: Duration::from_secs(3),
            },
            health: HealthTerms::default(),
            media: self.media.clone(),
            tickets: None,
            twilio: {
                let mut twilio = Allowlist::new();
                for address in &self.trust.twilio {
                    twilio.insert((*address).into(), ());
                }
                twilio
            },
        })
    }

    /// Whoever is listed, and the buyers.
    fn known(&self) -> Allowlist<Known> {
        let mut known = Allowlist::new();
        let buyers = self.lines.iter().flatten();
        let buyers =
            buyers.flat_map(|buyer| [buyer.address].into_iter().chain(buyer.others.clone()));
        let buyers = buyers.map(|address| address.ip());
        let carriers = self.sources.iter().copied().chain([addr(CARRIER).ip()]);
        for address in buyers {
            known.insert(address.into(), Known::Buyer);
        }
        for address in carriers {
            known.insert(address.into(), Known::Trunk(TrunkId(0)));
        }
        known
    }

    fn domains(&self) -> HashMap<Box<str>, Arc<Domain>> {
        let fixed = [
            ("ip.example.com", Require::Ip),
            ("192.0.2.1", Require::Ip),
            ("digest.example.com", Require::Digest),
            ("both.example.com", Require::Both),
            ("either.example.com", Require::Either),
        ];
        let open = self.hosts.iter().map(|host| (host.as_str(), Require::Ip));
        fixed
            .into_iter()
            .chain(open)
            .map(|(host, require)| (host.into(), Arc::new(self.domain(require))))
            .collect()
    }

    fn domain(&self, require: Require) -> Domain {
        let mut allow = Allowlist::new();
        for source in self.sources.iter().copied().chain([addr(CARRIER).ip()]) {
            allow.insert(source.into(), TrunkId(0));
        }
        let password = Secret::new(PASSWORD.as_bytes());
        let user = User {
            name: USER.into(),
            trunk: TrunkId(0),
            account: Account::from_password(USER, REALM, &password),
        };
        Domain {
            realm: REALM.into(),
            require,
            algorithms: self.algorithms.clone(),
            digest_uri: DigestUri::Exact,
            allow,
            users: {
                let mut users = Users::default();
                users.insert(user);
                users
            },
            peers: HashMap::new(),
        }
    }

    fn directory(&self) -> Directory {
        let mut directory = Directory {
            companies: vec![Company {
                id: "company".into(),
                key_secret: Secret::new(*b"company-key-secret"),
                callers: Lists::default(),
            }],
            sources: vec![Source {
                afid: "pub 12".into(),
                sid: self.sid.as_deref().map(Into::into),
            }],
            ..Directory::default()
        };
        for (place, buyers) in self.lines.iter().enumerate() {
            let campaign = u32::try_from(directory.campaigns.len()).expect("few campaigns");
            let line = Line {
                campaign: CampaignId(campaign),
                source: SourceId(0),
                terms: TermsId::default(),
            };
            let number = Number::from_e164(number(place).as_bytes()).expect("a number");
            directory.numbers.insert(number, line);
            let buyers: Vec<_> = buyers.iter().map(buyer).map(Arc::new).collect();
            let all = &mut directory.buyers;
            all.extend(buyers.iter().map(|one| (one.id.clone(), one.clone())));
            let id = format!("campaign-{place}");
            let parts = buyers.iter().cloned().map(Part::One).collect();
            let mut campaign = Campaign::new(&id, CompanyId(0), buyers);
            if self.together.contains(&place) {
                campaign.route = Route::by_priority(parts);
            }
            if self.waiting.contains(&place) {
                campaign.waiting = Some(Waiting {
                    time: Duration::from_secs(18),
                    most: 10,
                    signal: Signal::Queued,
                });
            }
            directory.campaigns.push(Arc::new(campaign));
        }
        for alias in &self.aliases {
            let number = Number::from_e164(alias.as_bytes()).expect("a number");
            let line = Line {
                campaign: CampaignId(0),
                source: SourceId(0),
                terms: TermsId::default(),
            };
            directory.numbers.insert(number, line);
        }
        directory
    }
}

pub(crate) fn buyer(spec: &BuyerSpec) -> Buyer {
    let addresses = [spec.address].into_iter().chain(spec.others.clone());
    let gateways = addresses.zip(1..).map(|(address, priority)| {
        let by_address = || format!("sip:{}@{address}", spec.name);
        let uri = spec.named.clone().unwrap_or_else(by_address);
        Arc::new(Gateway {
            priority,
            lookup: spec.named.as_deref().map(wanted),
            ..Gateway::udp(&uri, &address.ip().to_string(), address)
        })
    });
    let phone = spec.phone.as_deref().map(|phone| {
        let number = Number::from_e164(phone.as_bytes()).expect("a number");
        Arc::new(Gateway::telephone(number))
    });
    let gateways: Vec<_> = match phone {
        Some(phone) => vec![phone],
        None => gateways.collect(),
    };
    Buyer {
        priority: spec.priority,
        ring_timeout: spec.ring,
        response_timeout: spec.silence,
        caps: spec.caps,
        probe: spec.probe,
        login: spec.has_login.then(|| Login {
            username: USER.into(),
            password: Secret::new(PASSWORD.as_bytes()),
            realm: BUYER_REALM.into(),
            is_shared: spec.shares_login,
        }),
        offers_reliable: spec.offers_reliable,
        refer: spec.refer,
        x_ph_profile: spec.profile,
        headers: {
            let mut rules = HeaderRules {
                pass_from: names(&spec.pass_from),
                ..HeaderRules::default()
            };
            rules.insert_set("X-Buyer", "one");
            rules
        },
        is_trusted: spec.is_trusted,
        media: spec.media.clone(),
        ..Buyer::new(&spec.name, gateways)
    }
}

/// What is looked up for a URI.
pub(crate) fn wanted(uri: &str) -> Arc<Wanted> {
    let Ok(Uri::Sip(uri)) = Uri::parse(uri.as_bytes()) else {
        panic!("no SIP URI: {uri}");
    };
    let able: Arc<[Transport]> = [Transport::Udp].into();
    Arc::new(Wanted::new(&uri, None, able).expect("a name"))
}

fn names(names: &[String]) -> NameList {
    names.iter().map(String::as_str).collect()
}
