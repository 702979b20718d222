//! `[[listen]]`: where we hear SIP, and what we tell others to call us.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::call::policy::Listener;
use crate::config::desk::Desk;
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::config::value;
use crate::routing::trunk::Advertise;
use crate::sip::flow::Transport;

/// The listeners.
pub(super) struct Listeners {
    pub(super) list: Vec<Listener>,
    /// Whether all could be read, so that what is not in the list is not there.
    is_whole: bool,
}

/// Reads all listeners; `has_tls`: there is a certificate for those that speak TLS.
pub(super) fn read(root: &Section<'_>, has_tls: bool, desk: &mut Desk<'_>) -> Listeners {
    let sections = root.sections("listen", &keys::LISTEN, desk);
    if sections.is_empty() {
        root.missing_or_empty(
            "listen",
            "for example [[listen]] with bind = \"192.0.2.10:5060\"",
            desk,
        );
    }
    let mut listeners: Vec<Listener> = Vec::new();
    for section in &sections {
        let Some(listener) = read_one(section, has_tls, desk) else {
            continue;
        };
        let is_twice =
            |other: &Listener| (other.transport, other.bind) == (listener.transport, listener.bind);
        if listener.bind.port() != 0 && listeners.iter().any(is_twice) {
            desk.fault(
                section.place_of("bind"),
                format!("{} is listened on twice", listener.bind),
                "each listener needs an address or a port of its own",
            );
        }
        listeners.push(listener);
    }
    Listeners {
        is_whole: !sections.is_empty() && sections.len() == listeners.len(),
        list: listeners,
    }
}

fn read_one(section: &Section<'_>, has_tls: bool, desk: &mut Desk<'_>) -> Option<Listener> {
    let transport = section.choice("transport", TRANSPORTS, desk);
    if let Some(Spot {
        value: Transport::Tls,
        place,
    }) = transport
        && !has_tls
    {
        desk.absent(
            place,
            "has no certificate to show",
            "add [tls] with certificate = \"fullchain.pem\" and key = \"privkey.pem\"",
        );
    }
    let bind = section.address("bind", desk);
    let written = section.text("advertise", desk);
    let bind = bind?;
    let advertise = match written {
        Some(text) => advertised(text, bind.value, desk),
        None if bind.value.ip().is_unspecified() => {
            let ip = bind.value.ip();
            section.missing(
                "advertise",
                &format!("say under which address peers reach this node, for it is not {ip}"),
                desk,
            );
            None
        }
        None => Some(bind.value.to_string().into()),
    };
    Some(Listener {
        transport: transport.map_or(Transport::Udp, |found| found.value),
        bind: bind.value,
        // The empty one stands for one that is at fault.
        advertise: advertise.unwrap_or_default(),
    })
}

/// Reads `host` or `host:port` as Via and Contact show it; the port is that of `bind` by default.
fn advertised(text: Spot<&str>, bind: SocketAddr, desk: &mut Desk<'_>) -> Option<Box<str>> {
    let parsed = split(text.value, bind.port());
    let Some((host, port)) = parsed else {
        desk.fault(
            text.place,
            format!("`{}` is no host and no host with a port", text.value),
            "for example \"203.0.113.5\", \"sip.example.com:5060\" or \"[2001:db8::5]:5060\"",
        );
        return None;
    };
    let Ok(address) = host.parse::<IpAddr>() else {
        return Some(format!("{host}:{port}").into());
    };
    if address.is_unspecified() {
        desk.fault(
            text.place,
            format!("peers cannot reach {address}"),
            "say under which address they reach this node",
        );
        return None;
    }
    if address.is_ipv4() != bind.is_ipv4() {
        desk.fault(
            text.place,
            format!("{address} and {} are of different families", bind.ip()),
            "IPv4 and IPv6 each need a listener",
        );
        return None;
    }
    Some(SocketAddr::new(address, port).to_string().into())
}

/// Host, without brackets, and port.
fn split(text: &str, default: u16) -> Option<(Box<str>, u16)> {
    if let Some(host) = value::host(text) {
        return Some((host, default));
    }
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    Some((value::host(host)?, port))
}

impl Listeners {
    /// Whether a message can be sent to `address`; also if that cannot be told.
    pub(super) fn reach(&self, transport: Transport, address: SocketAddr) -> bool {
        !self.is_whole
            || self.list.iter().any(|listener| {
                listener.transport == transport && listener.bind.is_ipv4() == address.is_ipv4()
            })
    }

    /// Reads `advertise` of a trunk: `host`, `host:port`, `host/transport` or `host:port/transport`, each for the
    /// listeners of its address family and transport. Without a port, that of the listener stays.
    pub(super) fn advertise(&self, section: &Section<'_>, desk: &mut Desk<'_>) -> Advertise {
        let mut found: Vec<Option<Box<str>>> = Vec::new();
        found.resize(self.list.len(), None);
        for text in section.list("advertise", desk) {
            let Some(own) = Own::read(text.value) else {
                desk.fault(
                    text.place,
                    format!("`{}` is no address to be reached at", text.value),
                    "for example \"203.0.113.7\", \"203.0.113.7:5060\" or \"[2001:db8::7]:5061/tls\"",
                );
                continue;
            };
            let mut fits = false;
            for (listener, place) in self.list.iter().zip(&mut found) {
                if own.fits(listener) && place.is_none() {
                    *place = Some(own.shown(listener));
                    fits = true;
                }
            }
            if !fits && self.is_whole {
                desk.fault(
                    text.place,
                    format!("`{}` stands for no listener", text.value),
                    "a listener of this address family and transport, and one that no entry before it stands for",
                );
            }
        }
        found.into_iter().collect()
    }

    /// What messages can be sent by, in the order of the listeners.
    pub(super) fn transports(&self) -> Arc<[Transport]> {
        let mut found: Vec<Transport> = Vec::new();
        for listener in &self.list {
            if !found.contains(&listener.transport) {
                found.push(listener.transport);
            }
        }
        found.into()
    }

    /// Whether a message sent to `address` would come back to one of them.
    pub(super) fn hear(&self, transport: Transport, address: SocketAddr) -> bool {
        self.list.iter().any(|listener| {
            let bind = listener.bind;
            let is_bound = bind == address
                || (bind.ip().is_unspecified()
                    && bind.is_ipv4() == address.is_ipv4()
                    && address.ip().is_loopback()
                    && bind.port() == address.port());
            let is_advertised = listener.advertise.parse() == Ok(address);
            listener.transport == transport && bind.port() != 0 && (is_bound || is_advertised)
        })
    }
}

/// One entry of a trunk's `advertise`.
struct Own {
    host: Box<str>,
    /// `None`: the host is a name, which can be of either family.
    address: Option<IpAddr>,
    port: Option<u16>,
    /// `None`: any.
    transport: Option<Transport>,
}

impl Own {
    fn read(text: &str) -> Option<Self> {
        let (text, transport) = match text.rsplit_once('/') {
            Some((text, name)) => {
                let known = TRANSPORTS.iter().find(|(known, _)| *known == name);
                (text, Some(known?.1))
            }
            None => (text, None),
        };
        let (host, port) = split(text, 0)?;
        let address = host.parse::<IpAddr>().ok();
        let is_nowhere = address.is_some_and(|address| address.is_unspecified());
        (!is_nowhere).then_some(Self {
            host,
            address,
            port: (port != 0).then_some(port),
            transport,
        })
    }

    fn fits(&self, listener: &Listener) -> bool {
        self.address
            .is_none_or(|address| address.is_ipv4() == listener.bind.is_ipv4())
            && self
                .transport
                .is_none_or(|transport| transport == listener.transport)
    }

    /// As Via and Contact show it.
    fn shown(&self, listener: &Listener) -> Box<str> {
        let advertised = listener.advertise.rsplit_once(':');
        let port = self
            .port
            .or_else(|| advertised?.1.parse().ok())
            .unwrap_or(listener.bind.port());
        match self.address {
            Some(address) => SocketAddr::new(address, port).to_string().into(),
            None => format!("{}:{port}", self.host).into(),
        }
    }
}

/// The transports, by name.
pub(super) const TRANSPORTS: &[(&str, Transport)] = &[
    ("udp", Transport::Udp),
    ("tcp", Transport::Tcp),
    ("tls", Transport::Tls),
];
