//! Offers and answers as they come, and what both parties are told.

mod exchange;
mod hold;
mod lines;
mod refused;
mod sequence;
mod shared;
mod srtp;
mod stable;
mod topology;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::*;
use crate::media::commons::Commons;
use crate::media::plan::{End, Gate};

/// Ports from 10,000 on, and chance that can be foreseen.
pub(super) struct Ports {
    next: u16,
    pub(super) most: usize,
    pub(super) taken: BTreeSet<Gate>,
    /// Whether there is no address but one of IPv4.
    pub(super) is_v4_only: bool,
    dice: u8,
    /// Shared ports, of IPv4 and IPv6: 9000 and 9002 of each.
    pub(super) commons: [Commons; 2],
}

impl Ports {
    pub(super) fn new() -> Self {
        Self {
            next: 10_000,
            most: 100,
            taken: BTreeSet::new(),
            is_v4_only: false,
            dice: 0,
            commons: ["203.0.113.5", "2001:db8::5"].map(|text| {
                let address: IpAddr = text.parse().unwrap();
                Commons::new(address, address, [9_000, 9_002])
            }),
        }
    }
}

impl Supply for Ports {
    fn take(&mut self, is_ipv6: bool) -> Option<Gate> {
        if self.taken.len() >= self.most {
            return None;
        }
        let address: IpAddr = if is_ipv6 && !self.is_v4_only {
            "2001:db8::5"
        } else {
            "203.0.113.5"
        }
        .parse()
        .unwrap();
        let gate = Gate {
            address,
            port: self.next,
            is_shared: false,
        };
        self.next += 2;
        assert!(self.taken.insert(gate));
        Some(gate)
    }

    fn give_back(&mut self, gate: Gate) {
        assert!(self.taken.remove(&gate), "{gate:?} is not out");
    }

    fn commons(&mut self, is_ipv6: bool) -> Option<&mut Commons> {
        let [v4, v6] = &mut self.commons;
        Some(if is_ipv6 { v6 } else { v4 })
    }

    fn told(&self, gate: Gate) -> IpAddr {
        gate.address
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.dice = self.dice.wrapping_mul(5).wrapping_add(17);
            *byte = self.dice;
        }
    }
}

pub(super) fn terms() -> Terms {
    Terms {
        codecs: None,
        other_media: OtherMedia::Relay,
        srtp: Srtp::Refuse,
        sources: Sources::Announced,
        is_shared: false,
        is_ipv6: false,
    }
}

pub(super) fn only(codecs: &[&str]) -> Terms {
    let codecs: Arc<[Box<str>]> = codecs.iter().map(|name| Box::from(*name)).collect();
    Terms {
        codecs: Some(codecs),
        ..terms()
    }
}

/// A call and its ports.
pub(super) struct Scene {
    pub(super) session: Session,
    pub(super) ports: Ports,
}

impl Scene {
    /// A caller and the first buyer.
    pub(super) fn new(caller: Terms, buyer: Terms) -> Self {
        let mut scene = Self {
            session: Session::new(SessionId(7), caller),
            ports: Ports::new(),
        };
        scene.next_buyer(buyer);
        scene
    }

    pub(super) fn next_buyer(&mut self, terms: Terms) {
        self.session.next_buyer(terms, &mut self.ports);
    }

    pub(super) fn offer(&mut self, from: Party, sdp: &str) -> Result<String, Fault> {
        let told = self
            .session
            .offer(from, crlf(sdp).as_bytes(), &mut self.ports)?;
        Ok(String::from_utf8(told).unwrap())
    }

    pub(super) fn answer(&mut self, from: Party, sdp: &str) -> Result<String, Fault> {
        let told = self
            .session
            .answer(from, crlf(sdp).as_bytes(), &mut self.ports)?;
        Ok(String::from_utf8(told).unwrap())
    }

    /// Both at once: what the answerer is offered, and what the offerer is told.
    pub(super) fn agree(&mut self, from: Party, offer: &str, answer: &str) -> (String, String) {
        let offered = self.offer(from, offer).unwrap();
        let told = self.answer(from.other(), answer).unwrap();
        (offered, told)
    }

    /// The end towards `party` of the stream at `index`.
    pub(super) fn end(&self, index: usize, party: Party) -> End {
        self.session.plan().streams[index].ends[party.index()].clone()
    }

    /// The call is over, and all ports are back.
    pub(super) fn end_well(mut self) {
        self.session.end(&mut self.ports);

        assert!(self.ports.taken.is_empty(), "{:?}", self.ports.taken);
        let claims = self.ports.commons.each_ref().map(|one| one.counts().claims);
        assert_eq!(claims, [0, 0], "on shared ports");
    }
}

/// The lines of a description that are not those of every one.
pub(super) fn body(sdp: &str) -> Vec<&str> {
    let is_head = |line: &&str| {
        ["v=", "o=", "s=", "t="]
            .iter()
            .any(|kind| line.starts_with(kind))
    };
    sdp.lines().filter(|line| !is_head(line)).collect()
}

/// The version of a description.
pub(super) fn version(sdp: &str) -> u64 {
    let origin = sdp.lines().nth(1).unwrap();
    origin.split(' ').nth(2).unwrap().parse().unwrap()
}

/// The session id of a description.
pub(super) fn origin_id(sdp: &str) -> u64 {
    let origin = sdp.lines().nth(1).unwrap();
    origin.split(' ').nth(1).unwrap().parse().unwrap()
}

pub(super) fn crlf(text: &str) -> String {
    text.lines()
        .map(|line| format!("{}\r\n", line.trim_start()))
        .collect()
}

pub(super) fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// What a carrier's gateway offers.
pub(super) const OFFER: &str = "v=0
    o=root 1311022221 1311022221 IN IP4 192.0.2.10
    s=Media Gateway 4.2
    c=IN IP4 192.0.2.10
    t=0 0
    m=audio 12692 RTP/AVP 0 8 101
    a=rtpmap:0 PCMU/8000
    a=rtpmap:8 PCMA/8000
    a=rtpmap:101 telephone-event/8000
    a=fmtp:101 0-16
    a=ptime:20
    a=maxptime:20
    a=sendrecv";

/// What a buyer's phone answers.
pub(super) const ANSWER: &str = "v=0
    o=phone 42 42 IN IP4 198.51.100.20
    s=call
    c=IN IP4 198.51.100.20
    t=0 0
    m=audio 4000 RTP/AVP 0 101
    a=rtpmap:0 PCMU/8000
    a=rtpmap:101 telephone-event/8000
    a=fmtp:101 0-15
    a=ptime:20";
