//! `[http_client]`: how webhooks are sent, and where to they may be.

use std::sync::Arc;
use std::time::Duration;

use rustls::RootCertStore;

use crate::auth::allowlist::Allowlist;
use crate::config::desk::Desk;
use crate::config::keys;
use crate::config::networks::Networks;
use crate::config::raw::Section;
use crate::config::tls;

/// How webhooks are sent.
#[derive(Clone)]
pub struct HttpClient {
    /// Networks that may be reached though they are private, or otherwise not public.
    pub allow: Allowlist<()>,
    /// The ports that may be connected to; to what is in `allow`, any.
    pub ports: Vec<u16>,
    /// How long one attempt to connect may take, TLS included.
    pub connect: Duration,
    /// Requests to one host at once.
    pub per_host: usize,
    /// How long a connection on which nothing is sent is kept.
    pub idle: Duration,
    /// For how long a host that fails is left alone.
    pub cooldown: Duration,
    /// Value of User-Agent.
    pub user_agent: Box<str>,
    /// Who may sign the certificates of hosts; `None`: whom the system trusts.
    pub ca: Option<Arc<RootCertStore>>,
}

impl PartialEq for HttpClient {
    fn eq(&self, other: &Self) -> bool {
        let roots = |one: &Self| one.ca.as_ref().map(|store| store.roots.clone());
        let Self {
            allow,
            ports,
            connect,
            per_host,
            idle,
            cooldown,
            user_agent,
            ca: _,
        } = self;
        *allow == other.allow
            && *ports == other.ports
            && *connect == other.connect
            && *per_host == other.per_host
            && *idle == other.idle
            && *cooldown == other.cooldown
            && *user_agent == other.user_agent
            && roots(self) == roots(other)
    }
}

impl Default for HttpClient {
    /// What `conf/strowger.toml` gives reasons for.
    fn default() -> Self {
        Self {
            allow: Allowlist::new(),
            ports: PORTS.to_vec(),
            connect: Duration::from_secs(2),
            per_host: 64,
            idle: Duration::from_secs(30),
            cooldown: Duration::from_secs(10),
            user_agent: USER_AGENT.into(),
            ca: None,
        }
    }
}

/// Reads the section; without it, all of its defaults.
pub(super) fn read(root: &Section<'_>, networks: &Networks<'_>, desk: &mut Desk<'_>) -> HttpClient {
    let mut client = HttpClient::default();
    let Some(section) = root.section("http_client", &keys::HTTP_CLIENT, desk) else {
        return client;
    };
    for entry in section.list("allow", desk) {
        for net in networks.resolve(entry, desk) {
            client.allow.insert(net, ());
        }
    }
    if let Some(ports) = section.integers("ports", 1..=65_535, desk) {
        let ports = ports
            .into_iter()
            .filter_map(|port| u16::try_from(port).ok());
        client.ports = ports.collect();
    }
    client.connect = section.duration("connect", client.connect, CONNECT..=FIVE, desk);
    client.per_host = section.count("per_host", client.per_host, 1..=10_000, desk);
    client.idle = section.duration("idle", client.idle, Duration::ZERO..=HOUR, desk);
    client.cooldown = section.duration("cooldown", client.cooldown, SECOND..=HOUR, desk);
    if let Some(text) = section.text("user_agent", desk) {
        if text.value.is_empty() || text.value.bytes().any(|b| !matches!(b, b' '..=b'~')) {
            desk.fault(
                text.place,
                "is empty, or holds other than visible ASCII",
                "one line of text",
            );
        }
        client.user_agent = text.value.into();
    }
    client.ca = tls::roots(&section, "ca", desk);
    client
}

const PORTS: &[u16] = &[80, 443, 8080, 8443];
const USER_AGENT: &str = "Mozilla/5.0 (compatible; Strowger)";
const CONNECT: Duration = Duration::from_millis(100);
const FIVE: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
