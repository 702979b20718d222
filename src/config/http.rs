//! `[http]`: where HTTP is heard, within which bounds, and who may ask for what.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::config::desk::{Desk, Place};
use crate::config::keys;
use crate::config::networks;
use crate::config::raw::{self, Section, Spot};
use crate::config::routes;
use crate::config::value;
use crate::types::secret::Secret;

/// Everything that is served over HTTP.
#[derive(Clone, Default)]
pub struct Http {
    /// Where operators' machines find metrics and health, unprotected; `None`: nowhere.
    pub bind: Option<SocketAddr>,
    /// Where everything else is served.
    pub listeners: Vec<HttpListener>,
    /// What others know us by: scheme, host, perhaps a port and a path, no slash at the end.
    pub public_url: Option<Box<str>>,
    /// Whose `X-Forwarded-For` is believed.
    pub proxies: Vec<IpNet>,
    /// Bounds of connections.
    pub bounds: HttpBounds,
    /// Who may ask.
    pub tokens: Arc<[Token]>,
}

/// One listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpListener {
    /// The address it is bound to.
    pub bind: SocketAddr,
    /// Whether it speaks TLS.
    pub is_tls: bool,
    /// Whom it is for.
    pub serves: Serves,
}

/// Whom a listener is for: each side has routes of its own, and none of the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Serves {
    /// Those who see and change the configuration, by token.
    #[default]
    Admin,
    /// Those who call us from outside, such as Twilio: what they sign is believed.
    Vendors,
}

/// Bounds of connections, those of all listeners together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpBounds {
    /// How many there may be at once.
    pub connections: usize,
    /// How many of them from one address (IPv6: one network of 64 bits) that is no proxy.
    pub per_address: usize,
}

impl Default for HttpBounds {
    fn default() -> Self {
        Self {
            connections: 1_024,
            per_address: 64,
        }
    }
}

/// Somebody who may ask.
#[derive(Clone)]
pub struct Token {
    /// Its name in the log.
    pub name: Arc<str>,
    /// What it shows.
    pub secret: Secret,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// To see the routing data.
    Read,
    /// To change them.
    Write,
    /// To have the packets of calls written down.
    Capture,
}

impl Scope {
    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Capture => "capture",
        }
    }
}

impl Http {
    /// Whether `address` is a proxy of ours.
    #[must_use]
    pub fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|net| net.contains(&address))
    }
}

/// Reads the section.
pub(super) fn read(root: &Section<'_>, desk: &mut Desk<'_>) -> Http {
    let Some(section) = root.section("http", &keys::HTTP, desk) else {
        return Http::default();
    };
    let sections = section.sections("listen", &keys::HTTP_LISTEN, desk);
    let bind = if section.has("bind") || !section.has("listen") {
        section.address("bind", desk).map(|bind| bind.value)
    } else {
        None
    };
    let mut listeners: Vec<HttpListener> = Vec::new();
    for one in &sections {
        if let Some(listener) = listener(one, root.has("tls"), desk) {
            let is_taken = listener.bind.port() != 0
                && (bind == Some(listener.bind)
                    || listeners.iter().any(|other| other.bind == listener.bind));
            if is_taken {
                desk.fault(
                    one.place_of("bind"),
                    format!("{} is listened on twice", listener.bind),
                    "each listener needs an address or a port of its own",
                );
            }
            listeners.push(listener);
        }
    }
    let default = HttpBounds::default();
    let bounds = HttpBounds {
        connections: section.count("connections", default.connections, CONNECTIONS, desk),
        per_address: section.count("per_address", default.per_address, CONNECTIONS, desk),
    };
    let proxies = section.list("proxies", desk);
    Http {
        bind,
        listeners,
        public_url: section
            .text("public_url", desk)
            .and_then(|text| public_url(text, desk)),
        proxies: proxies
            .into_iter()
            .filter_map(|text| networks::prefix(text, desk))
            .collect(),
        bounds,
        tokens: tokens(&section, desk),
    }
}

fn listener(section: &Section<'_>, has_tls: bool, desk: &mut Desk<'_>) -> Option<HttpListener> {
    let is_tls = section.flag("tls", false, desk);
    if is_tls && !has_tls {
        desk.absent(
            section.place_of("tls"),
            "has no certificate to show",
            "add [tls] with certificate = \"fullchain.pem\" and key = \"privkey.pem\"",
        );
    }
    let bind = section.address("bind", desk)?.value;
    let serves = section.choice("serves", SERVES, desk);
    Some(HttpListener {
        bind,
        is_tls,
        serves: serves.map_or_else(Serves::default, |found| found.value),
    })
}

fn public_url(text: Spot<&str>, desk: &mut Desk<'_>) -> Option<Box<str>> {
    let rest = text.value.strip_prefix("https://");
    let rest = rest.or_else(|| text.value.strip_prefix("http://"));
    let is_right = rest.is_some_and(|rest| {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => port
                .parse::<u16>()
                .is_ok_and(|port| port != 0)
                .then_some(host),
            Some(_) | None => Some(authority),
        };
        let is_path = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
        host.and_then(value::host).is_some()
            && path.bytes().all(is_path)
            && !text.value.ends_with('/')
    });
    if !is_right {
        desk.fault(
            text.place,
            format!("`{}` is no address of a service", text.value.escape_debug()),
            "for example \"https://edge.example.com\", without a slash at the end",
        );
    }
    is_right.then(|| text.value.into())
}

fn tokens(section: &Section<'_>, desk: &mut Desk<'_>) -> Arc<[Token]> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut names: HashMap<&str, Place> = HashMap::new();
    for section in section.sections("token", &keys::HTTP_TOKEN, desk) {
        let name = routes::id(&section, "name", "panel", desk);
        let secret = section.secret("secret", desk);
        if !section.has("secret") {
            section.missing("secret", LONG, desk);
        }
        let scopes = section.list("scopes", desk);
        if scopes.is_empty() {
            section.missing_or_empty("scopes", "for example scopes = [\"read\"]", desk);
        }
        let scopes = scopes.into_iter();
        let scopes: Vec<Scope> = scopes
            .filter_map(|text| raw::choose(text, SCOPES, desk))
            .map(|found| found.value)
            .collect();
        if let Some(name) = name
            && let Some(first) = names.insert(name.value, name.place)
        {
            routes::twice(name, first, desk);
        }
        let (Some(name), Some(secret)) = (name, secret) else {
            continue;
        };
        let place = secret.place;
        let secret = secret.value;
        if secret.expose().len() < 16 {
            desk.fault(place, "is too short", LONG);
        } else if !secret.expose().iter().all(u8::is_ascii_graphic) {
            desk.fault(place, "holds what a header cannot carry", LONG);
        } else if tokens
            .iter()
            .any(|other| other.secret.is_equal(secret.expose()))
        {
            desk.fault(place, "is another token's, too", "each token needs its own");
        }
        tokens.push(Token {
            name: name.value.into(),
            secret,
            scopes,
        });
    }
    tokens.into()
}

const CONNECTIONS: std::ops::RangeInclusive<i64> = 1..=65_536;
const LONG: &str =
    "at least 16 letters, digits and signs; `openssl rand -hex 32` writes a good one";

const SERVES: &[(&str, Serves)] = &[("admin", Serves::Admin), ("vendors", Serves::Vendors)];

const SCOPES: &[(&str, Scope)] = &[
    ("read", Scope::Read),
    ("write", Scope::Write),
    ("capture", Scope::Capture),
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{self, Texts};

    #[test]
    fn listeners_bounds_and_tokens_are_read() {
        let http = read(
            "[http]\npublic_url = \"https://edge.example.com:8443/strowger\"\n\
             proxies = [\"192.0.2.0/28\", \"2001:db8::/64\"]\nper_address = 7\n\
             [[http.listen]]\nbind = \"127.0.0.1:9061\"\n\
             [[http.token]]\nname = \"panel\"\nsecret = \"0123456789abcdef\"\nscopes = [\"read\"]\n\
             [[http.token]]\nname = \"crm\"\nsecret = \"fedcba9876543210\"\nscopes = [\"read\", \"write\"]\n",
        )
        .expect("no fault");

        assert_eq!(http.bind, None);
        assert_eq!(http.listeners.len(), 1);
        assert!(!http.listeners[0].is_tls);
        let url = http.public_url.as_deref();
        assert_eq!(url, Some("https://edge.example.com:8443/strowger"));
        assert!(http.is_proxy("192.0.2.3".parse().unwrap()));
        assert!(!http.is_proxy("192.0.2.33".parse().unwrap()));
        assert_eq!(http.bounds.per_address, 7);
        assert_eq!(http.bounds.connections, 1_024);
        let scopes: Vec<_> = http.tokens.iter().map(|token| &*token.scopes).collect();
        assert_eq!(scopes, [&[Scope::Read][..], &[Scope::Read, Scope::Write]]);
    }

    #[test]
    fn every_fault_is_told_and_no_secret() {
        let faults = read(
            "[http]\npublic_url = \"edge.example.com/\"\nproxies = [\"0.0.0.0/0\"]\n\
             [[http.listen]]\nbind = \"127.0.0.1:9061\"\ntls = true\n\
             [[http.listen]]\nbind = \"127.0.0.1:9061\"\n\
             [[http.token]]\nname = \"a\"\nsecret = \"short-canary\"\nscopes = [\"raed\"]\n\
             [[http.token]]\nname = \"a\"\nsecret = \"canary canary canary\"\nscopes = []\n\
             [[http.token]]\nname = \"b\"\nscopes = [\"read\"]\n\
             [[http.token]]\nname = \"c\"\nsecret = \"canary-0123456789\"\nscopes = [\"read\"]\n\
             [[http.token]]\nname = \"d\"\nsecret = \"canary-0123456789\"\nscopes = [\"read\"]\n",
        )
        .err()
        .expect("faults");

        for fault in [
            "http.public_url: `edge.example.com/` is no address of a service",
            "http.proxies: `0.0.0.0/0` lets everybody in",
            "http.listen.tls: has no certificate to show",
            "http.listen.bind: 127.0.0.1:9061 is listened on twice",
            "http.token.secret: is too short",
            "http.token.scopes: `raed` is not known; one of \"read\", \"write\"",
            "http.token.name: `a` is taken",
            "http.token.secret: holds what a header cannot carry",
            "http.token.scopes: is empty",
            "http.token.secret: is missing",
            "http.token.secret: is another token's, too",
        ] {
            assert!(faults.contains(fault), "{fault}: {faults}");
        }
        assert_eq!(faults.lines().count(), 11, "{faults}");
        assert!(!faults.contains("canary"), "{faults}");
    }

    #[test]
    fn a_section_without_any_listener_is_a_fault() {
        let faults = read("[http]\nper_address = 7\n").err().expect("a fault");

        assert!(faults.contains("http.bind: is missing"), "{faults}");
    }

    fn read(text: &str) -> Result<Http, String> {
        let text = include_str!("../../conf/minimal.toml").to_owned() + text;
        let source = Texts::of("strowger.toml", text);
        let settings = config::load(Path::new("strowger.toml"), &source, 1);
        settings
            .map(|settings| settings.http)
            .map_err(|faults| faults.to_string())
    }
}
