//! The ways to a buyer: `uri` and `address` of the buyer itself, or `[[buyer.gateway]]` tables with a rank among
//! one another.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::config::desk::{Desk, Place};
use crate::config::keys;
use crate::config::listen::{Listeners, TRANSPORTS};
use crate::config::raw::{Section, Spot};
use crate::config::value;
use crate::routing::buyer::{Gateway, MOST_GATEWAYS};
use crate::sip::flow::Transport;
use crate::sip::locate::Wanted;
use crate::sip::uri::{SipUri, Uri};
use crate::types::number::Number;

/// Reads the gateways of the buyer in `section`, in order of priority; `None` if one of them cannot be read.
pub(super) fn read(
    section: &Section<'_>,
    listeners: &Listeners,
    desk: &mut Desk<'_>,
) -> Option<Vec<Arc<Gateway>>> {
    if !section.has("gateway") {
        let gateway = read_one(section, listeners, desk)?;
        return Some(vec![Arc::new(gateway)]);
    }
    for key in ["uri", "address", "transport", "tls_name"] {
        if section.has(key) {
            desk.fault(
                section.place_of(key),
                "stands beside [[buyer.gateway]]",
                "a buyer has either one way of its own, or gateways: put it into one of them",
            );
        }
    }
    let tables = section.sections("gateway", &keys::GATEWAY, desk);
    if tables.is_empty() {
        section.missing_or_empty("gateway", "leave it out, or add [[buyer.gateway]]", desk);
        return None;
    }
    if tables.len() > MOST_GATEWAYS {
        desk.fault(
            section.place_of("gateway"),
            format!("{} gateways are too many", tables.len()),
            format!("at most {MOST_GATEWAYS}"),
        );
    }
    let mut gateways: Vec<Arc<Gateway>> = Vec::with_capacity(tables.len());
    for table in &tables {
        let Some(gateway) = read_one(table, listeners, desk) else {
            continue;
        };
        if gateways.iter().any(|other| other.name == gateway.name) {
            desk.fault(
                table.place,
                format!("{} is another gateway of this buyer already", gateway.name),
                "each gateway needs an address of its own",
            );
        }
        gateways.push(Arc::new(gateway));
    }
    let is_whole = gateways.len() == tables.len();
    gateways.sort_by_key(|gateway| gateway.priority);
    is_whole.then_some(gateways)
}

/// Reads one gateway; the table of a buyer with one way to it looks the same, but for its rank.
fn read_one(section: &Section<'_>, listeners: &Listeners, desk: &mut Desk<'_>) -> Option<Gateway> {
    let is_own_table = section.place.section == keys::GATEWAY.name;
    let (mut priority, mut weight) = (1, 1);
    if is_own_table {
        priority = section.integer("priority", 1, -1_000_000..=1_000_000, desk);
        weight = section.count("weight", 1, 1..=1_000_000, desk);
    }
    if let Some(text) = section.text("uri", desk)
        && text.value.starts_with(TEL)
    {
        return Some(Gateway {
            priority: i32::try_from(priority).unwrap_or(1),
            weight: u32::try_from(weight).unwrap_or(1),
            ..phone(section, text, desk)?
        });
    }
    let uri = uri(section, desk);
    let written = section.text("address", desk);
    let transport = uri.as_ref().map(|uri| transport(section, uri, desk));
    let tls_name = tls_name(section, desk);
    let (uri, transport) = (uri?, transport?);
    let (priority, weight) = (
        i32::try_from(priority).unwrap_or(1),
        u32::try_from(weight).unwrap_or(1),
    );
    if let Some(parsed) = uri.by_name.filter(|_| !section.has("address")) {
        // Without a word on it, DNS says how it goes there.
        let asked = section.has("transport").then_some(transport);
        let lookup = Wanted::new(&parsed, asked, listeners.transports())?;
        if !lookup.is_sendable() && !listeners.list.is_empty() {
            desk.unknown(
                uri.place,
                format!("no listener can send to {lookup}"),
                "add a [[listen]] with the transport that is asked for",
            );
        }
        return Some(Gateway {
            name: lookup.to_string().into(),
            transport,
            tls_name: tls_name.or_else(|| Some((&*uri.host).into())),
            priority,
            weight,
            lookup: Some(Arc::new(lookup)),
            ..Gateway::udp(uri.text, &uri.host, NOWHERE)
        });
    }
    let address = address(&uri, transport, written, desk)?;
    check_address(address, transport, listeners, desk);
    let name = match transport {
        Transport::Udp => address.value.to_string(),
        Transport::Tcp => format!("{}/tcp", address.value),
        Transport::Tls => format!("{}/tls", address.value),
    };
    Some(Gateway {
        name: name.into(),
        transport,
        tls_name: (transport == Transport::Tls)
            .then(|| tls_name.unwrap_or_else(|| (&*uri.host).into())),
        priority,
        weight,
        ..Gateway::udp(uri.text, &uri.host, address.value)
    })
}

/// A telephone, which a vendor calls for us.
fn phone(section: &Section<'_>, text: Spot<&str>, desk: &mut Desk<'_>) -> Option<Gateway> {
    for key in ["address", "transport", "tls_name"] {
        if section.has(key) {
            desk.fault(
                section.place_of(key),
                "is of no use for a telephone",
                "leave it out, or write a SIP URI",
            );
        }
    }
    let digits = text.value.strip_prefix(TEL).unwrap_or_default();
    let number = Number::from_e164(digits.as_bytes()).filter(|_| digits.starts_with('+'));
    if number.is_none() {
        desk.fault(
            text.place,
            format!("`{}` is no telephone", text.value.escape_debug()),
            "for example \"tel:+18005551234\"",
        );
    }
    Some(Gateway::telephone(number?))
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
    /// The URI itself, if its host is a name.
    by_name: Option<SipUri<'d>>,
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
        by_name: ip.is_none().then_some(uri),
        place: text.place,
    })
}

/// The transport of this name.
fn named(name: &[u8]) -> Option<Transport> {
    let is_same = |(known, _): &&(&str, Transport)| name.eq_ignore_ascii_case(known.as_bytes());
    TRANSPORTS.iter().find(is_same).map(|(_, found)| *found)
}

/// How requests go: as `transport` says, else as the URI says, else by UDP.
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

/// The name that the certificate must show; by default the host of the URI.
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

/// What the URI of a telephone begins with (RFC 3966).
const TEL: &str = "tel:";

/// Stands for the address of a gateway that is looked up.
const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
