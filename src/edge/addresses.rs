//! What a buyer or a carrier who lists addresses must be given: where our messages come from, and where theirs
//! are taken.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use tracing::info;

use crate::call::policy::Policy;
use crate::edge::Edge;
use crate::net::sockets;
use crate::sip::flow::ListenerId;

/// All addresses of an edge.
#[derive(Debug, Serialize)]
pub struct Addresses {
    signalling: Vec<Signalling>,
    /// Trunks that know us by other addresses.
    trunks: Vec<Known>,
    buyers: Vec<Towards>,
    media: Media,
}

/// One listener.
#[derive(Debug, Serialize)]
struct Signalling {
    transport: String,
    /// What its socket is bound to.
    bind: SocketAddr,
    /// What Via and Contact say: where peers reach us.
    advertised: String,
}

/// How one carrier knows us.
#[derive(Debug, Serialize)]
struct Known {
    trunk: String,
    /// By listener, in the order of `signalling`.
    advertised: Vec<String>,
}

/// What one buyer sees of us.
#[derive(Debug, Serialize)]
struct Towards {
    buyer: String,
    gateways: Vec<Way>,
}

/// What one gateway of a buyer sees of us.
#[derive(Debug, Serialize)]
struct Way {
    /// The gateway's own address.
    gateway: String,
    transport: String,
    /// Where our requests come from; `None`: there is no way to it. Behind NAT, the buyer sees another one.
    sent_from: Option<SocketAddr>,
    /// Where our Via and Contact ask it to send; `None`: no listener reaches it.
    advertised: Option<String>,
}

#[derive(Debug, Serialize)]
struct Media {
    /// Whether media passes through this edge.
    relayed: bool,
    /// Where our media comes from, and where theirs goes to: what our session descriptions say.
    addresses: Vec<IpAddr>,
    /// The first and the last port.
    ports: Option<(u16, u16)>,
    /// The same of those that many calls use.
    shared_ports: Option<(u16, u16)>,
    /// Where the rtpengines are asked that relay, too, or instead. Their media addresses are theirs to know.
    rtpengines: Vec<SocketAddr>,
    note: &'static str,
}

impl Addresses {
    /// Those of an edge that goes by `policy`, on this machine: which of its addresses a message leaves by, the
    /// system is asked; nothing is sent.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let mut sources = Sources::default();
        let listeners = policy.listeners.iter();
        let buyers = policy.directory.buyers.values();
        Self {
            signalling: listeners
                .map(|listener| Signalling {
                    transport: listener.transport.name().to_ascii_lowercase(),
                    bind: listener.bind,
                    advertised: listener.advertise.to_string(),
                })
                .collect(),
            trunks: policy
                .trunks
                .iter()
                .filter(|trunk| trunk.advertise.is_any())
                .map(|trunk| Known {
                    trunk: trunk.id.to_string(),
                    advertised: (0_u16..)
                        .zip(&policy.listeners)
                        .map(|(place, listener)| {
                            let own = trunk.advertise.at(ListenerId(place));
                            own.unwrap_or(&listener.advertise).to_owned()
                        })
                        .collect(),
                })
                .collect(),
            buyers: buyers
                .map(|buyer| Towards {
                    buyer: buyer.id.to_string(),
                    gateways: buyer
                        .gateways
                        .iter()
                        .filter(|gateway| gateway.phone.is_none())
                        .map(|gateway| {
                            let flow = policy.flow_to(gateway);
                            Way {
                                gateway: gateway.name.to_string(),
                                transport: gateway.transport.name().to_ascii_lowercase(),
                                sent_from: flow.and_then(|flow| {
                                    sources.towards(policy, flow.listener, flow.remote)
                                }),
                                advertised: flow
                                    .map(|flow| policy.advertised(flow.listener).to_owned()),
                            }
                        })
                        .collect(),
                })
                .collect(),
            media: Media::of(policy),
        }
    }
}

impl Media {
    fn of(policy: &Policy) -> Self {
        let media = &policy.media;
        let mouths = [media.v4, media.v6].into_iter().flatten();
        let addresses: Vec<IpAddr> = mouths.map(|mouth| mouth.advertise).collect();
        let is_open = media.is_open();
        let rtpengines = media.rtpengine.rtpengines.iter();
        Self {
            relayed: media.is_any(),
            ports: is_open.then(|| (*media.ports.start(), *media.ports.end())),
            shared_ports: media
                .shared_ports
                .as_ref()
                .filter(|_| is_open)
                .map(|range| (*range.start(), *range.end())),
            addresses,
            rtpengines: rtpengines.map(|one| one.address).collect(),
            note: match (is_open, media.rtpengine.is_any()) {
                (true, _) => RELAYED,
                (false, true) => ELSEWHERE,
                (false, false) => DIRECT,
            },
        }
    }
}

const RELAYED: &str = "RTP and RTCP go through this edge: let UDP pass both ways between these ports and the peers' \
                       media addresses; buyers and trunks with `plane = \"direct\"` may hear one another directly";

const ELSEWHERE: &str = "RTP and RTCP go through these rtpengines: let UDP pass both ways between the addresses and ports of \
                         their interfaces, as they are configured there, and the peers' media addresses";

const DIRECT: &str = "Media flows directly between the peers: the carrier's and the buyer's media addresses, \
                     as their session descriptions say, must reach each other; none of ours takes part";

/// Addresses that messages leave by, by listener and destination: buyers share many.
#[derive(Default)]
struct Sources(BTreeMap<(u16, SocketAddr), Option<SocketAddr>>);

impl Sources {
    fn towards(
        &mut self,
        policy: &Policy,
        listener: ListenerId,
        remote: SocketAddr,
    ) -> Option<SocketAddr> {
        let bind = policy.listeners.get(usize::from(listener.0))?.bind;
        let known = self.0.entry((listener.0, remote));
        *known.or_insert_with(|| sockets::source_towards(bind, remote).ok())
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Signalling, as carriers and buyers reach it:")?;
        for one in &self.signalling {
            let (transport, advertised) = (&one.transport, &one.advertised);
            writeln!(f, "  {transport} {advertised}  (bound to {})", one.bind)?;
        }
        for known in &self.trunks {
            writeln!(f, "\nThe carrier of trunk {} reaches it as:", known.trunk)?;
            for (one, advertised) in self.signalling.iter().zip(&known.advertised) {
                writeln!(f, "  {} {advertised}", one.transport)?;
            }
        }
        writeln!(f, "\nBuyers who list addresses must list these:")?;
        for towards in &self.buyers {
            writeln!(f, "  {}", towards.buyer)?;
            for way in &towards.gateways {
                way.fmt(f)?;
            }
        }
        if let Some((first, last)) = self.media.ports {
            write!(f, "\nMedia, UDP ports {first} to {last}")?;
            if let Some((first, last)) = self.media.shared_ports {
                write!(f, ", and {first} to {last}, which calls share")?;
            }
            writeln!(f, ":")?;
            for address in &self.media.addresses {
                writeln!(f, "  {address}")?;
            }
        }
        if !self.media.rtpengines.is_empty() {
            writeln!(f, "\nMedia through rtpengine, which is asked at:")?;
            for address in &self.media.rtpengines {
                writeln!(f, "  {address}")?;
            }
        }
        write!(f, "\n{}.", self.media.note)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, gateway) = (&self.transport, &self.gateway);
        write!(f, "    {transport} to {gateway}: ")?;
        let (Some(source), Some(advertised)) = (self.sent_from, &self.advertised) else {
            return writeln!(f, "no way leads there from this machine");
        };
        if source.to_string() == *advertised {
            return writeln!(f, "requests come from {source}");
        }
        writeln!(
            f,
            "requests leave by {source}, and ask for answers at {advertised}: list both addresses, or behind \
             NAT the public one"
        )
    }
}

impl Edge {
    /// Says where it listens, and that it is ready.
    pub(super) fn announce(&self) {
        for listener in &self.listeners {
            info!(
                transport = listener.transport.name(),
                bind = %listener.bind,
                advertise = %listener.advertise,
                "listening"
            );
        }
        match self.http {
            Some(address) => info!(%address, "metrics and health are served"),
            None => info!("no [http]: metrics and health are not served"),
        }
        for address in self.http_addresses() {
            info!(%address, "HTTP is served");
        }
        let node = &self.node;
        info!(
            node = node.name,
            version = env!("CARGO_PKG_VERSION"),
            shards = node.shards,
            generation = self.generation,
            "ready"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config;
    use crate::config::Texts;

    #[test]
    fn each_gateway_has_the_address_that_requests_leave_by_and_what_they_say() {
        let addresses = Addresses::of(&policy());

        let value = serde_json::to_value(&addresses).unwrap();
        let listener = &value["signalling"][0];
        assert_eq!(listener["bind"], "0.0.0.0:5060");
        assert_eq!(listener["advertised"], "203.0.113.5:5060");
        assert_eq!(listener["transport"], "udp");
        assert_eq!(value["buyers"][0]["buyer"], "sunny");
        let way = &value["buyers"][0]["gateways"][0];
        assert_eq!(way["gateway"], "127.0.0.9:5070");
        assert_eq!(way["sent_from"], "127.0.0.1:5060");
        assert_eq!(way["advertised"], "203.0.113.5:5060");
        assert_eq!(value["trunks"], serde_json::json!([]));
        assert_eq!(value["media"]["relayed"], false);
    }

    #[test]
    fn a_trunk_that_knows_us_by_another_address_is_told_so() {
        let addresses = Addresses::of(&policy_of("", "\nadvertise = [\"198.51.100.7\"]"));

        let value = serde_json::to_value(&addresses).unwrap();
        assert_eq!(value["signalling"][0]["advertised"], "203.0.113.5:5060");
        assert_eq!(value["trunks"][0]["trunk"], "carrier");
        assert_eq!(value["trunks"][0]["advertised"][0], "198.51.100.7:5060");
        let expected =
            "\n\nThe carrier of trunk carrier reaches it as:\n  udp 198.51.100.7:5060\n\nBuyers";
        let text = addresses.to_string();
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn the_text_says_the_same() {
        let text = Addresses::of(&policy()).to_string();

        let expected = "Signalling, as carriers and buyers reach it:\n  \
                        udp 203.0.113.5:5060  (bound to 0.0.0.0:5060)\n\n\
                        Buyers who list addresses must list these:\n  sunny\n    \
                        udp to 127.0.0.9:5070: requests leave by 127.0.0.1:5060, and ask for answers at \
                        203.0.113.5:5060: list both addresses, or behind NAT the public one\n\n\
                        Media flows directly between the peers: ";
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn where_media_is_relayed_its_addresses_and_ports_are_told() {
        let addresses = Addresses::of(&policy_of("[media]\nports = \"30000-30999\"\n\n", ""));

        let value = serde_json::to_value(&addresses).unwrap();
        assert_eq!(value["media"]["relayed"], true);
        assert_eq!(value["media"]["addresses"][0], "203.0.113.5");
        assert_eq!(value["media"]["ports"], serde_json::json!([30_000, 30_999]));
        let text = addresses.to_string();
        let expected = "Media, UDP ports 30000 to 30999:\n  203.0.113.5\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn where_rtpengine_relays_it_is_told_where_that_is() {
        let section = "[media]\nplane = \"rtpengine\"\n[[media.rtpengine]]\naddress = \"192.0.2.20:2223\"\n\n";
        let addresses = Addresses::of(&policy_of(section, ""));

        let value = serde_json::to_value(&addresses).unwrap();
        assert_eq!(value["media"]["relayed"], true);
        assert_eq!(value["media"]["addresses"], serde_json::json!([]));
        let text = addresses.to_string();
        let expected = "Media through rtpengine, which is asked at:\n  192.0.2.20:2223\n\nRTP and RTCP go through these";
        assert!(text.contains(expected), "{text}");
    }

    fn policy() -> Policy {
        policy_of("", "")
    }

    /// `section`: of the whole node; `more`: keys of the trunk.
    fn policy_of(section: &str, more: &str) -> Policy {
        let text = include_str!("../../conf/minimal.toml")
            .replacen("[[listen]]", &format!("{section}[[listen]]"), 1)
            .replace("\nallow = ", &format!("{more}\nallow = "))
            .replace(
                "bind = \"192.0.2.10:5060\"",
                "bind = \"0.0.0.0:5060\"\nadvertise = \"203.0.113.5\"",
            )
            .replace("sip:sales@203.0.113.20", "sip:sales@127.0.0.9:5070");
        let source = Texts::of("strowger.toml", text);
        let settings = config::load(Path::new("strowger.toml"), &source, 1);
        settings.unwrap_or_else(|faults| panic!("{faults}")).policy
    }
}
