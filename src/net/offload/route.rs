//! What the machine knows of its interfaces, and by which of them it reaches an address: asked by netlink (RFC 3549).

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::link::{LinkAttribute, LinkLayerType, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteMetric};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use socket2::{Domain, Protocol, Socket, Type};

/// Whoever can be asked.
pub(super) struct Routes {
    socket: Socket,
    /// Of the question before.
    number: u32,
    /// What was asked of late: from where, to where; when, and what the answer was.
    known: HashMap<(Ipv4Addr, Ipv4Addr), (Instant, Way)>,
}

/// How packets leave for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    /// The number of the interface.
    pub(super) interface: u32,
    /// How long they may be, in bytes from IP's header on, as the route says, or as a router on the way has said; `None`: as long as
    /// the interface takes them.
    pub(super) limit: Option<u32>,
}

/// An interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interface {
    /// Its number.
    pub(super) index: u32,
    /// Whether its packets have the headers of Ethernet.
    pub(super) is_ethernet: bool,
}

impl Routes {
    pub(super) fn open() -> io::Result<Self> {
        let protocol = Protocol::from(libc::NETLINK_ROUTE);
        let socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(protocol))?;
        // The kernel answers within the call that asks.
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        Ok(Self {
            socket,
            number: 0,
            known: HashMap::new(),
        })
    }

    /// The interface of this name.
    pub(super) fn interface(&mut self, name: &str) -> io::Result<Interface> {
        let mut question = LinkMessage::default();
        question
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        let RouteNetlinkMessage::NewLink(LinkMessage { header, .. }) =
            self.ask(RouteNetlinkMessage::GetLink(question))?
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        Ok(Interface {
            index: header.index,
            is_ethernet: matches!(
                header.link_layer_type,
                LinkLayerType::Ether | LinkLayerType::Loopback
            ),
        })
    }

    /// How packets from `from`, an address of ours, leave for `to`; the answer may be as old as [`FRESH`].
    pub(super) fn way(&mut self, now: Instant, from: Ipv4Addr, to: Ipv4Addr) -> io::Result<Way> {
        let is_fresh = |at: Instant| now.saturating_duration_since(at) < FRESH;
        if let Some((at, way)) = self.known.get(&(from, to))
            && is_fresh(*at)
        {
            return Ok(*way);
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        let way = self.find_way(from, to)?;
        self.known.insert((from, to), (now, way));
        Ok(way)
    }

    fn find_way(&mut self, from: Ipv4Addr, to: Ipv4Addr) -> io::Result<Way> {
        let mut question = RouteMessage::default();
        question.header.address_family = AddressFamily::Inet;
        question.header.destination_prefix_length = 32;
        question.header.source_prefix_length = 32;
        question.attributes = vec![
            RouteAttribute::Destination(RouteAddress::Inet(to)),
            RouteAttribute::Source(RouteAddress::Inet(from)),
        ];
        let RouteNetlinkMessage::NewRoute(route) =
            self.ask(RouteNetlinkMessage::GetRoute(question))?
        else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        Way::of(&route).ok_or_else(|| io::ErrorKind::NetworkUnreachable.into())
    }

    fn ask(&mut self, question: RouteNetlinkMessage) -> io::Result<RouteNetlinkMessage> {
        self.number = self.number.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST;
        header.sequence_number = self.number;
        let mut question = NetlinkMessage::new(header, NetlinkPayload::from(question));
        question.finalize();
        let mut bytes = vec![0; question.buffer_len()];
        question.serialize(&mut bytes);
        (&self.socket).write_all(&bytes)?;
        let mut room = vec![0; LONGEST];
        let payload = loop {
            let length = (&self.socket).read(&mut room)?;
            let answer = room.get(..length).unwrap_or_default();
            let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(answer);
            let answer = answer.map_err(io::Error::other)?;
            // Another one is to a question that was given up.
            if answer.header.sequence_number == self.number {
                break answer.payload;
            }
        };
        if let NetlinkPayload::InnerMessage(answer) = payload {
            return Ok(answer);
        }
        if let NetlinkPayload::Error(error) = payload {
            return Err(error.to_io());
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

impl Way {
    /// What the kernel says; `None`: there is no interface in it.
    fn of(route: &RouteMessage) -> Option<Self> {
        let (mut interface, mut limit) = (None, None);
        for attribute in &route.attributes {
            if let RouteAttribute::Oif(index) = attribute {
                interface = Some(*index);
            }
            let RouteAttribute::Metrics(metrics) = attribute else {
                continue;
            };
            limit = metrics.iter().find_map(|metric| {
                if let RouteMetric::Mtu(limit) = metric {
                    return Some(*limit);
                }
                None
            });
        }
        Some(Self {
            interface: interface?,
            limit,
        })
    }
}

/// For how long an answer about a way is taken for true: many streams go to few places.
const FRESH: Duration = Duration::from_secs(1);

/// Ways that are remembered at most.
const MOST_KNOWN: usize = 4096;

/// Bytes of an answer; the one about an interface with all its figures is the longest.
const LONGEST: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    #[test]
    fn this_machine_reaches_itself_by_its_loopback() {
        let mut routes = Routes::open().unwrap();
        let own = Ipv4Addr::LOCALHOST;

        let loopback = routes.interface("lo").unwrap();

        assert!(loopback.is_ethernet);
        let way = routes.way(clock::now(), own, own).unwrap();
        assert_eq!((way.interface, way.limit), (loopback.index, None));
    }

    #[test]
    fn a_way_is_as_narrow_as_its_route_says() {
        let mut route = RouteMessage::default();
        assert_eq!(Way::of(&route), None);

        let metrics = vec![RouteMetric::Hoplimit(9), RouteMetric::Mtu(1300)];
        let cost = RouteAttribute::Priority(7);
        route.attributes = vec![
            cost,
            RouteAttribute::Metrics(metrics),
            RouteAttribute::Oif(5),
        ];

        let way = Way {
            interface: 5,
            limit: Some(1300),
        };
        assert_eq!(Way::of(&route), Some(way));
    }

    #[test]
    fn an_interface_that_there_is_not_has_no_number() {
        let mut routes = Routes::open().unwrap();

        let error = routes.interface("nowhere0").unwrap_err();

        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }
}
