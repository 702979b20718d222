//! `[twilio]`: where Twilio reaches us, whose its calls are, and what is believed of them.

mod flow;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::call::policy::{Domain, Tickets};
use crate::config::Http;
use crate::config::accounts::{self, Accounts, long};
use crate::config::desk::{Desk, Place};
use crate::config::http::Serves;
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::config::routes::{self, Companies};
use crate::routing::trunk::CompanyId;
use crate::twilio::connect::{CompanyKey, Limits};
use crate::twilio::mac::Rotating;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::sid::AccountSid;
use crate::twilio::signature::{Algorithm, Keys, SharedKey};
use crate::twilio::sip_uri::{Credentials, SipUri, Transport};
use crate::twilio::ticket;
use crate::twilio::voice::EdgeRoute;
use crate::types::secret::Secret;

pub use self::flow::Voices;

/// All that the configuration says of Twilio.
pub struct Twilio {
    /// Where the world reaches us: what every URL that Twilio signs begins with.
    pub base: PublicUrl,
    /// How calls come from Twilio to our own edge.
    pub edge: EdgeRoute,
    /// How long a ticket holds.
    pub ticket_time: Duration,
    /// How often one call may be handed over.
    pub limits: Limits,
    /// Calls of Twilio's that are remembered at once.
    pub calls: usize,
    /// Whether a JSON webhook is believed whose URL does not say the hash of its body.
    pub takes_missing_body_hash: bool,
    /// Whether nothing is believed that is signed by SHA-1.
    pub requires_sha256: bool,
    /// What is said of the accounts of orgs.
    pub accounts: Arc<Accounts>,
    /// Whose calls they are.
    pub orgs: Vec<Arc<Org>>,
}

/// One organisation: a company with at most one account of Twilio's.
pub struct Org {
    /// Its `orgid` in URLs.
    pub id: Arc<str>,
    /// Its company.
    pub company: CompanyId,
    /// Its `RetreaverCompanyId`.
    pub key: CompanyKey,
    /// What it signs hand-offs with; `None`: it hands nothing over.
    pub hand_off: Option<Rotating>,
    /// What its callers hear besides.
    pub voices: Voices,
    /// What the tokens of its programs and users are signed with; `None`: they have none.
    pub tokens: Option<Rotating>,
    /// Its account; `None`: none that stands in the configuration.
    pub account: Option<Arc<Account>>,
}

/// An account of Twilio's.
pub struct Account {
    /// Its name.
    pub sid: AccountSid,
    /// What its webhooks are signed with.
    pub keys: Keys,
}

impl Twilio {
    /// What the SIP side is to know of tickets.
    pub(super) fn tickets(&self) -> Tickets {
        let company = |org: &Arc<Org>| (org.key, org.company);
        Tickets {
            secrets: self.edge.tickets.clone(),
            companies: self.orgs.iter().map(company).collect(),
        }
    }

    /// Notes that our edge is called by a host that is no domain: nobody would be let in.
    pub(super) fn check_host(
        &self,
        root: &Section<'_>,
        domains: &HashMap<Box<str>, Arc<Domain>>,
        desk: &mut Desk<'_>,
    ) {
        let host = self.edge.address.host.to_ascii_lowercase();
        if !domains.contains_key(&*host) {
            desk.unknown(
                root.place_of("twilio"),
                format!("`sip` calls us `{host}`, which is no domain"),
                format!("add [[domain]] with name = \"{host}\", and let Twilio's trunk into it"),
            );
        }
    }

    /// The organisation of this `orgid`.
    #[must_use]
    pub fn org(&self, id: &str) -> Option<&Arc<Org>> {
        self.orgs.iter().find(|org| *org.id == *id)
    }

    /// The organisation whose account this is.
    #[must_use]
    pub fn org_of(&self, account: AccountSid) -> Option<&Arc<Org>> {
        let has_it = |org: &&Arc<Org>| org.account.as_ref().is_some_and(|own| own.sid == account);
        self.orgs.iter().find(has_it)
    }

    /// The organisation that hand-offs call by this number.
    #[must_use]
    pub fn org_by_key(&self, key: CompanyKey) -> Option<&Arc<Org>> {
        self.orgs.iter().find(|org| org.key == key)
    }
}

/// Reads the section; `None`: Twilio sends us nothing.
pub(super) fn read(
    root: &Section<'_>,
    (http, node_secret): (&Http, &Secret),
    companies: &Companies<'_>,
    desk: &mut Desk<'_>,
) -> Option<Twilio> {
    let is_heard = http
        .listeners
        .iter()
        .any(|listener| listener.serves == Serves::Vendors);
    let Some(section) = root.section("twilio", &keys::TWILIO, desk) else {
        if is_heard {
            desk.fault(
                root.place_of("http"),
                "has a listener that serves \"vendors\", and there are none",
                "add [twilio], or leave that listener out",
            );
        }
        return None;
    };
    if !is_heard {
        desk.fault(
            section.place,
            "is heard nowhere",
            "add [[http.listen]] with bind = \"127.0.0.1:9062\" and serves = \"vendors\"",
        );
    }
    let base = base(&section, http, desk);
    let edge = edge(&section, node_secret, desk);
    let requires_sha256 = section.flag("require_sha256", false, desk);
    let defaults = Limits::default();
    let span = |key, default, most, desk: &mut Desk<'_>| {
        section.duration(key, default, Duration::from_secs(60)..=most, desk)
    };
    let limits = Limits {
        legs: section.count("hand_off_legs", defaults.legs, 1..=100, desk),
        window: span("hand_off_window", defaults.window, DAY, desk),
        remembered: span("hand_off_memory", defaults.remembered, DAY * 366, desk),
    };
    if limits.remembered < limits.window {
        desk.fault(
            section.place_of("hand_off_memory"),
            "is shorter than hand_off_window",
            "what may come back must be remembered for as long",
        );
    }
    let second = Duration::from_secs(1);
    let ticket_time = section.duration("ticket_time", TICKET, second..=ticket::LONGEST, desk);
    let calls = section.count("calls", CALLS, 100..=10_000_000, desk);
    let takes_missing_body_hash = section
        .choice("missing_body_hash", HASHES, desk)
        .is_some_and(|found| found.value);
    let orgs = Orgs::read(&section, companies, requires_sha256, desk);
    Some(Twilio {
        base: base?,
        edge: edge?,
        ticket_time,
        limits,
        calls,
        takes_missing_body_hash,
        requires_sha256,
        accounts: Arc::new(accounts::read(&section, desk)),
        orgs,
    })
}

fn base(section: &Section<'_>, http: &Http, desk: &mut Desk<'_>) -> Option<PublicUrl> {
    let text = match (section.text("public_url", desk), &http.public_url) {
        (Some(own), _) => own,
        (None, Some(url)) => Spot {
            value: &**url,
            place: section.place,
        },
        (None, None) => {
            section.missing("public_url", URL, desk);
            return None;
        }
    };
    let base = PublicUrl::parse(text.value);
    base.map_err(|fault| desk.fault(text.place, fault.to_string(), URL))
        .ok()
}

fn edge(section: &Section<'_>, node_secret: &Secret, desk: &mut Desk<'_>) -> Option<EdgeRoute> {
    let transport = section.choice("transport", TRANSPORTS, desk);
    let transport = transport.map_or(Transport::Tls, |found| found.value);
    let credentials = credentials(section, desk);
    let tickets = Rotating {
        current: long(section, "ticket_secret", desk).unwrap_or_else(|| node_secret.clone()),
        previous: long(section, "previous_ticket_secret", desk),
    };
    let minute = Duration::from_secs(60);
    let ringing = section.duration("ringing", minute * 2, Duration::from_secs(5)..=TEN, desk);
    let time_limit = section.duration("time_limit", minute * 240, minute..=DAY, desk);
    let sip = section.need("sip", "sip.example.com:5061", desk)?;
    let (host, port) = match sip.value.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().ok().filter(|port| *port != 0)),
        None => (sip.value, None),
    };
    let address = SipUri {
        user: "".into(),
        host: host.into(),
        port,
        transport,
        edge: section.text("edge", desk).map(|edge| edge.value.into()),
        headers: Vec::new(),
        credentials,
    };
    if port.is_none() {
        desk.fault(
            sip.place,
            "names no port",
            "Twilio looks for no SRV records: \"sip.example.com:5061\"",
        );
    } else if let Err(fault) = address.write() {
        let instead = "host and port of our own edge, as Twilio calls it: \"sip.example.com:5061\"";
        desk.fault(sip.place, fault.to_string(), instead);
    }
    Some(EdgeRoute {
        address,
        tickets,
        ringing,
        time_limit,
    })
}

fn credentials(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Credentials> {
    let username = section.text("username", desk);
    let password = section.secret("password", desk);
    match (username, password) {
        (Some(username), Some(password)) => Some(Credentials {
            username: username.value.into(),
            password: password.value,
        }),
        (None, None) => None,
        (Some(_), None) => {
            if !section.has("password") {
                section.missing("password", "the password of `username`", desk);
            }
            None
        }
        (None, Some(_)) => {
            section.missing("username", "the user of `password`", desk);
            None
        }
    }
}

/// The organisations so far.
#[derive(Default)]
struct Orgs<'d> {
    list: Vec<Arc<Org>>,
    ids: HashMap<&'d str, Place>,
    keys: HashMap<CompanyKey, Place>,
    accounts: HashMap<AccountSid, Place>,
}

impl<'d> Orgs<'d> {
    fn read(
        section: &Section<'d>,
        companies: &Companies<'_>,
        requires_sha256: bool,
        desk: &mut Desk<'_>,
    ) -> Vec<Arc<Org>> {
        let mut orgs = Self::default();
        let sections = section.sections("org", &keys::TWILIO_ORG, desk);
        if sections.is_empty() {
            section.missing_or_empty(
                "org",
                "without one nobody is believed: add [[twilio.org]]",
                desk,
            );
        }
        for org in &sections {
            orgs.add(org, companies, requires_sha256, desk);
        }
        orgs.list
    }

    fn add(
        &mut self,
        section: &Section<'d>,
        companies: &Companies<'_>,
        requires_sha256: bool,
        desk: &mut Desk<'_>,
    ) {
        let id = routes::id(section, "id", "acme", desk);
        if let Some(id) = id
            && let Some(first) = self.ids.insert(id.value, id.place)
        {
            routes::twice(id, first, desk);
        }
        let company = companies.find(section, desk);
        let key = self.key(section, desk);
        let current = long(section, "hand_off_secret", desk);
        let previous = long(section, "previous_hand_off_secret", desk);
        if let (None, Some(_)) = (&current, &previous)
            && !section.has("hand_off_secret")
        {
            section.missing(
                "hand_off_secret",
                "the one that replaces the previous",
                desk,
            );
        }
        let hand_off = current.map(|current| Rotating { current, previous });
        let voices = Voices::read(section, desk);
        let tokens = accounts::tokens(section, desk);
        let account = self.account(section, requires_sha256, desk);
        if let (Some(id), Some(company), Some(key)) = (id, company, key) {
            self.list.push(Arc::new(Org {
                id: id.value.into(),
                company,
                key,
                hand_off,
                voices,
                tokens,
                account: account.map(Arc::new),
            }));
        }
    }

    fn key(&mut self, section: &Section<'_>, desk: &mut Desk<'_>) -> Option<CompanyKey> {
        if !section.has("company_id") {
            section.missing("company_id", "for example company_id = 1234", desk);
            return None;
        }
        let key = section.integer("company_id", 0, 1..=i64::MAX, desk);
        let key = CompanyKey(u64::try_from(key).ok().filter(|key| *key > 0)?);
        let place = section.place_of("company_id");
        if let Some(first) = self.keys.insert(key, place) {
            self.taken(place, first, desk);
        }
        Some(key)
    }

    fn account(
        &mut self,
        section: &Section<'_>,
        requires_sha256: bool,
        desk: &mut Desk<'_>,
    ) -> Option<Account> {
        let current = section.secret("auth_token", desk);
        let previous = section.secret("previous_auth_token", desk);
        let shared = shared_keys(section, requires_sha256, desk);
        let Some(text) = section.text("account_sid", desk) else {
            let has_more = current.is_some() || previous.is_some() || !shared.is_empty();
            if has_more && !section.has("account_sid") {
                section.missing("account_sid", "the account whose secrets these are", desk);
            }
            return None;
        };
        let Some(sid) = AccountSid::parse(text.value) else {
            desk.fault(
                text.place,
                format!("`{}` is no account SID", text.value.escape_debug()),
                "`AC` and 32 digits from 0 to 9 and a to f, as Twilio's console shows it",
            );
            return None;
        };
        if let Some(first) = self.accounts.insert(sid, text.place) {
            self.taken(text.place, first, desk);
        }
        if current.is_none() && previous.is_some() && !section.has("auth_token") {
            section.missing("auth_token", "the one that replaces the previous", desk);
        }
        // What is not there verifies nothing, so an account without any is a mistake.
        let can_sign = !shared.is_empty() || (section.has("auth_token") && !requires_sha256);
        if !can_sign {
            let instead = match requires_sha256 {
                true => "with require_sha256, add [[twilio.org.shared_key]]",
                false => "the account's auth token, or [[twilio.org.shared_key]]",
            };
            section.missing("auth_token", instead, desk);
        }
        let auth_token = current
            .filter(|_| !requires_sha256)
            .map(|current| Rotating {
                current: current.value,
                previous: previous.map(|previous| previous.value),
            });
        Some(Account {
            sid,
            keys: Keys { auth_token, shared },
        })
    }

    fn taken(&self, place: Place, first: Place, desk: &mut Desk<'_>) {
        let first = desk.point_at(first);
        let instead = "each organisation has one account and one number of its own";
        desk.fault(place, format!("is taken, at {first}"), instead);
    }
}

fn shared_keys(
    section: &Section<'_>,
    requires_sha256: bool,
    desk: &mut Desk<'_>,
) -> Vec<SharedKey> {
    let mut keys: Vec<SharedKey> = Vec::new();
    for one in section.sections("shared_key", &keys::TWILIO_SHARED_KEY, desk) {
        let id = one.need("id", "webhooks_sharedkey_01abcdefghijklmnopqrstuvwx", desk);
        if let Some(id) = id
            && !id
                .value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            desk.fault(id.place, "is no id of a key", "letters, digits and `_`");
        }
        if let Some(id) = id
            && keys.iter().any(|key| *key.id == *id.value)
        {
            desk.fault(id.place, "is taken", "each key has an id of its own");
        }
        let secret = long(&one, "secret", desk);
        if !one.has("secret") {
            one.missing("secret", LONG, desk);
        }
        let algorithm = one.choice("algorithm", ALGORITHMS, desk);
        if let Some(algorithm) = algorithm
            && algorithm.value == Algorithm::Sha1
            && requires_sha256
        {
            desk.fault(
                algorithm.place,
                "is weaker than require_sha256 allows",
                "\"HMAC_SHA256\"",
            );
        }
        if let (Some(id), Some(secret)) = (id, secret) {
            keys.push(SharedKey {
                id: id.value.into(),
                secret,
                algorithm: algorithm.map_or(Algorithm::Sha256, |found| found.value),
            });
        }
    }
    keys
}

const TRANSPORTS: &[(&str, Transport)] = &[
    ("udp", Transport::Udp),
    ("tcp", Transport::Tcp),
    ("tls", Transport::Tls),
    ("srtp", Transport::Secure),
];

const ALGORITHMS: &[(&str, Algorithm)] = &[
    ("HMAC_SHA256", Algorithm::Sha256),
    ("HMAC_SHA1", Algorithm::Sha1),
];

/// Whether a body is believed that nothing binds to its signature.
const HASHES: &[(&str, bool)] = &[("refuse", false), ("accept", true)];

const TICKET: Duration = Duration::from_secs(30);
const TEN: Duration = Duration::from_secs(600);
const DAY: Duration = Duration::from_secs(86_400);
const CALLS: usize = 100_000;
const URL: &str = "for example \"https://edge.example.com\": what Twilio's requests are sent to, without a slash at the end";
const LONG: &str = "at least 16 bytes; `openssl rand -hex 32` writes a good one";

#[cfg(test)]
mod tests;
