//! `[[buyer]]`: who may get the call, where, and how it is told.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::config::desk::{Desk, Place};
use crate::config::keys;
use crate::config::listen::{Listeners, TRANSPORTS};
use crate::config::raw::{self, Section, Spot};
use crate::config::routes::{self, Companies};
use crate::config::value;
use crate::routing::buyer::{Buyer, Login, XPhProfile};
use crate::routing::trunk::CompanyId;
use crate::sip::flow::Transport;
use crate::sip::uri::{SipUri, Uri};

/// The buyers, by id.
pub(super) type Buyers<'d> = HashMap<&'d str, Listed>;

/// One buyer; without what could not be read.
pub(super) struct Listed {
    pub(super) company: Option<CompanyId>,
    pub(super) buyer: Option<Arc<Buyer>>,
    place: Place,
}

/// Reads the buyers out of all files.
pub(super) fn read<'d>(
    roots: &[Section<'d>],
    companies: &Companies<'_>,
    listeners: &Listeners,
    desk: &mut Desk<'_>,
) -> Buyers<'d> {
    let mut buyers = Buyers::new();
    for section in routes::all(roots, "buyer", &keys::BUYER, desk) {
        let id = routes::id(&section, "id", "first", desk);
        let company = companies.find(&section, desk);
        let buyer = read_one(id.map_or("", |id| id.value), &section, listeners, desk);
        let Some(id) = id else {
            continue;
        };
        let listed = Listed {
            company,
            buyer: buyer.map(Arc::new),
            place: id.place,
        };
        if let Some(first) = buyers.insert(id.value, listed) {
            routes::twice(id, first.place, desk);
        }
    }
    buyers
}

fn read_one(
    id: &str,
    section: &Section<'_>,
    listeners: &Listeners,
    desk: &mut Desk<'_>,
) -> Option<Buyer> {
    let uri = uri(section, desk);
    let host = uri.as_ref().map_or("", |uri| &uri.host);
    let login = login(section, host, desk);
    let priority = section.integer("priority", 1, -1_000_000..=1_000_000, desk);
    let ring = section.duration("ring_timeout", RING, SECOND..=HOUR, desk);
    let response = section.duration(
        "response_timeout",
        RESPONSE,
        RESPONSE_LEAST..=RESPONSE_MOST,
        desk,
    );
    let profile = section.choice("x_ph_profile", PROFILES, desk);
    let reliable = section.choice("reliable", RELIABLE, desk);
    let refer = routes::refer(section, desk);
    let headers = headers(section, desk);
    let pass_headers = routes::pass_headers(section, desk);
    let transport = uri.as_ref().map(|uri| transport(section, uri, desk));
    let tls_name = tls_name(section, desk);
    let written = section.text("address", desk);
    let (uri, transport) = (uri?, transport?);
    let address = address(section, &uri, transport, written, desk)?;
    check_address(address, transport, listeners, desk);
    Some(Buyer {
        id: id.into(),
        uri: uri.text.into(),
        host: uri.host.clone(),
        address: address.value,
        transport,
        tls_name: (transport == Transport::Tls)
            .then(|| tls_name.unwrap_or_else(|| (&*uri.host).into())),
        priority: i32::try_from(priority).unwrap_or(1),
        ring_timeout: ring,
        response_timeout: response,
        login,
        offers_reliable: reliable.is_none_or(|found| found.value),
        refer,
        x_ph_profile: profile.map_or_else(XPhProfile::default, |found| found.value),
        headers,
        pass_headers,
    })
}

/// A buyer's URI, checked.
struct Target<'d> {
    text: &'d str,
    /// Lower case, without brackets.
    host: Box<str>,
    ip: Option<IpAddr>,
    port: Option<u16>,
    /// What the URI itself asks for.
    transport: Option<Transport>,
    /// `sips:`: TLS, whatever else is said.
    is_secure: bool,
    place: Place,
}

fn uri<'d>(section: &Section<'d>, desk: &mut Desk<'_>) -> Option<Target<'d>> {
    let text = section.need("uri", "sip:sales@buyer.example.com", desk)?;
    let uri = match Uri::parse(text.value.as_bytes()) {
        Ok(Uri::Sip(uri)) => uri,
        Ok(Uri::Tel(_) | Uri::Other { .. }) | Err(_) => {
            desk.fault(
                text.place,
                format!("`{}` is no SIP URI", text.value.escape_debug()),
                "for example \"sip:sales@buyer.example.com\"",
            );
            return None;
        }
    };
    check_uri(&uri, text, desk);
    let ip = uri.host.ip();
    let host = ip.map_or_else(
        || uri.host.text().to_string().to_ascii_lowercase(),
        |ip| ip.to_string(),
    );
    Some(Target {
        text: text.value,
        host: host.into(),
        ip,
        port: uri.port,
        transport: uri.params.get("transport").flatten().and_then(named),
        is_secure: uri.secure,
        place: text.place,
    })
}

/// The transport of this name.
fn named(name: &[u8]) -> Option<Transport> {
    let is_same = |(known, _): &&(&str, Transport)| name.eq_ignore_ascii_case(known.as_bytes());
    TRANSPORTS.iter().find(is_same).map(|(_, found)| *found)
}

/// How the INVITE goes: as `transport` says, else as the URI says, else by UDP.
fn transport(section: &Section<'_>, uri: &Target<'_>, desk: &mut Desk<'_>) -> Transport {
    let written = section.choice("transport", TRANSPORTS, desk);
    if uri.is_secure {
        if let Some(Spot { value, place }) = written
            && value != Transport::Tls
        {
            desk.fault(
                place,
                "a `sips:` URI goes by TLS only",
                "write \"tls\", or \"sip:\" in `uri`",
            );
        }
        return Transport::Tls;
    }
    match (written, uri.transport) {
        (Some(Spot { value, place }), Some(asked)) if value != asked => {
            desk.fault(
                place,
                "contradicts `;transport=` in `uri`",
                "say it in one place",
            );
            value
        }
        (Some(Spot { value, .. }), _) => value,
        (None, Some(asked)) => asked,
        (None, None) => Transport::Udp,
    }
}

/// The name that the buyer's certificate must show; by default the host of its URI.
fn tls_name(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Arc<str>> {
    let text = section.text("tls_name", desk)?;
    let host = value::host(text.value);
    if host.is_none() {
        desk.fault(
            text.place,
            format!("`{}` is no host", text.value),
            "a name or an address as it stands in the buyer's certificate",
        );
    }
    host.map(|host| Arc::from(&*host))
}

fn check_uri(uri: &SipUri<'_>, text: Spot<&str>, desk: &mut Desk<'_>) {
    let transport = uri.params.get("transport").flatten();
    if transport.is_some_and(|name| named(name).is_none()) {
        desk.fault(
            text.place,
            "asks for a transport that there is not",
            "`;transport=` is udp, tcp or tls",
        );
    }
    if uri.headers.is_some() {
        desk.fault(
            text.place,
            "has headers after `?`, which a Request-URI cannot have",
            "put them under `headers`",
        );
    }
    if uri.password.is_some() {
        desk.fault(
            text.place,
            "holds a password, which anybody on the way could read",
            "put it under `password`",
        );
    }
}

/// Where the INVITE goes: `address`, or what the URI says if its host is an address.
fn address(
    section: &Section<'_>,
    uri: &Target<'_>,
    transport: Transport,
    written: Option<Spot<&str>>,
    desk: &mut Desk<'_>,
) -> Option<Spot<SocketAddr>> {
    let port = uri.port.unwrap_or(transport.default_port());
    let Some(text) = written else {
        if let Some(ip) = uri.ip {
            return Some(Spot {
                value: SocketAddr::new(ip, port),
                place: uri.place,
            });
        }
        if !section.has("address") {
            desk.fault(
                uri.place,
                format!(
                    "host `{}` is a name, and names are not looked up in this version",
                    uri.host
                ),
                format!("give its address too: address = \"192.0.2.20:{port}\""),
            );
        }
        return None;
    };
    let parsed = text.value.parse().ok();
    let value = parsed.or_else(|| Some(SocketAddr::new(text.value.parse().ok()?, port)));
    if value.is_none() {
        desk.fault(
            text.place,
            format!("`{}` is no address", text.value),
            "for example \"192.0.2.20:5060\" or \"[2001:db8::20]:5060\"",
        );
    }
    value.map(|value| Spot {
        value,
        place: text.place,
    })
}

fn check_address(
    address: Spot<SocketAddr>,
    transport: Transport,
    listeners: &Listeners,
    desk: &mut Desk<'_>,
) {
    let (to, place) = (address.value, address.place);
    if to.ip().is_unspecified() || to.ip().is_multicast() || to.port() == 0 {
        desk.fault(
            place,
            format!("nobody can be called at {to}"),
            "the buyer's own address and port",
        );
        return;
    }
    if !listeners.reach(transport, to) {
        let family = if to.is_ipv4() { "IPv4" } else { "IPv6" };
        desk.unknown(
            place,
            format!("no listener reaches {to}"),
            format!(
                "add a [[listen]] with transport = \"{}\" and an {family} address",
                transport.name().to_ascii_lowercase()
            ),
        );
    }
    if listeners.hear(transport, to) {
        desk.fault(
            place,
            format!("{to} is an address of this node: calls would go in circles"),
            "the buyer's own address",
        );
    }
}

fn login(section: &Section<'_>, host: &str, desk: &mut Desk<'_>) -> Option<Login> {
    let username = section.text("username", desk);
    let password = section.secret("password", desk);
    let realm = section.text("realm", desk);
    for text in username.iter().chain(&realm) {
        if !value::is_quotable(text.value) {
            desk.fault(
                text.place,
                "is empty, or holds control characters",
                "text without control characters",
            );
        }
    }
    let present = (section.has("username"), section.has("password"));
    match present {
        (true, false) => section.missing("password", "`username` needs it", desk),
        (false, true) => section.missing("username", "`password` needs it", desk),
        (false, false) if section.has("realm") => {
            section.missing("username", "`realm` is of no use without a login", desk);
        }
        (true, true) | (false, false) => {}
    }
    Some(Login {
        username: username?.value.into(),
        password: password?.value,
        realm: realm.map_or(host, |realm| realm.value).into(),
    })
}

fn headers(section: &Section<'_>, desk: &mut Desk<'_>) -> Vec<(Box<str>, Box<str>)> {
    let mut headers: Vec<(Box<str>, Box<str>)> = Vec::new();
    for (name, value) in section.entries("headers", desk) {
        let Some(text) = value.value.as_str() else {
            raw::wrong_type(value, "a text in quotes", desk);
            continue;
        };
        if text.chars().any(char::is_control) {
            desk.fault(
                value.place,
                format!("the value of `{}` holds control characters", name.value),
                "one line of text",
            );
        }
        if headers
            .iter()
            .any(|(other, _)| other.eq_ignore_ascii_case(name.value))
        {
            desk.fault(
                name.place,
                format!("`{}` is set twice", name.value),
                "names of headers are the same in upper and lower case",
            );
        }
        if routes::is_free_header(name, desk) {
            headers.push((name.value.into(), text.into()));
        }
    }
    headers
}

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const RING: Duration = Duration::from_secs(30);
const RESPONSE: Duration = Duration::from_secs(4);
const RESPONSE_LEAST: Duration = Duration::from_millis(100);
/// 64·T1: the transaction gives up by then.
const RESPONSE_MOST: Duration = Duration::from_secs(32);

/// Whether 100rel is offered.
const RELIABLE: &[(&str, bool)] = &[("supported", true), ("never", false)];
const PROFILES: &[(&str, XPhProfile)] = &[("raw", XPhProfile::Raw), ("plivo", XPhProfile::Plivo)];
