//! What a reader of other make sees of headers that a caller smuggles: Kamailio as the buyer, who tells of each INVITE which headers
//! look like ours to it.
//!
//! Row 11 of the threats: a header is only harmless if nobody behind the edge takes it for one of ours, however it was spelled,
//! broken or hidden. So every disguise goes through the running edge, and Kamailio says what came out.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::Duration;

use strowger::sip::message::Message;
use strowger::sip::message::parse;

use crate::edge::Edge;
use crate::kamailio::Kamailio;
use crate::process::eventually;
use crate::site::BY_ADDRESS;
use crate::site::NUMBER;
use crate::site::Site;

/// What a caller writes into the headers that it smuggles.
const LOOT: &str = "lol-smuggled";

/// A header that the caller may write, so that it is seen that headers pass at all; it sorts behind ours. It says which message
/// this is.
const HONEST: &str = "X-Phone";

/// Our headers of a call, in the order in which they sort.
const OURS: [&str; 4] = [
    "X-PH-RetreaverAFID",
    "X-PH-RetreaverKey",
    "X-PH-RetreaverSID",
    "X-PH-RetreaverUUID",
];

/// Disguises in one message, where the edge takes such a message at all.
const AT_ONCE: usize = 40;

#[test]
#[expect(clippy::print_stdout, reason = "the figure is what is wanted")]
fn row_11_kamailio_sees_no_header_of_ours_that_a_caller_wrote() {
    let mut site = Site::new().passing(&["X-*", "Subject", "Organization"]);
    let buyer = site.buyer("first");
    let witness = Kamailio::witness(&site, buyer);
    let edge = Edge::start(&site);
    let mut carrier = Carrier::new(&site);

    let disguises = disguises();
    let (taken, refused): (Vec<_>, Vec<_>) = disguises
        .iter()
        .partition(|line| is_whole(&carrier.invite(&[line], 0)));
    let calls = taken.chunks(AT_ONCE).count() + 1;
    for lines in taken.chunks(AT_ONCE) {
        carrier.calls(lines);
    }
    for lines in refused.chunks(AT_ONCE) {
        carrier.is_refused(lines);
    }
    // Kamailio tells of calls in their order: if it has told of this one, it has of all.
    carrier.calls(&[]);
    let last = carrier.serial.to_string();

    let mut seen = BTreeMap::new();
    let is_told = eventually(Duration::from_secs(5), || {
        seen = headers_by_call(&witness.told());
        let is_last = |(name, value): &(String, String)| name == HONEST && *value == last;
        seen.values().flatten().any(is_last)
    });
    assert!(is_told, "the last of {} calls was not seen", seen.len());
    assert_eq!(
        seen.len(),
        calls,
        "calls that the edge should have refused, or not"
    );
    let mut forged = Vec::new();
    for (call, headers) in &mut seen {
        headers.sort();
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let is_loot = |(_, value): &(String, String)| value.contains(LOOT);
        let (last, ours) = names.split_last().expect("headers");
        if ours != OURS || *last != HONEST || headers.iter().any(is_loot) {
            forged.push((call.clone(), headers.clone()));
        }
        assert_eq!(headers[0].1, "1001");
        assert_eq!(headers[2].1, "sub7");
    }
    assert!(forged.is_empty(), "{forged:#?}");
    assert!(
        taken.len() > 500 && refused.len() > 500,
        "{} taken",
        taken.len()
    );
    edge.holds_no_call();
    println!(
        "row 11: {} disguises, {} in {calls} calls, {} refused with their message: Kamailio saw 0 forged headers",
        disguises.len(),
        taken.len(),
        refused.len()
    );
}

/// Whether it can be read, and says what an INVITE must say.
fn is_whole(message: &[u8]) -> bool {
    match parse(message) {
        Ok(Message::Request(request)) => request.essentials().is_ok(),
        Ok(Message::Response(_)) | Err(_) => false,
    }
}

/// Every name of ours in every spelling, behind every beginning, before every end of a name.
fn disguises() -> Vec<Vec<u8>> {
    let spellings: [fn(&str) -> Vec<u8>; 8] = [
        |name| name.into(),
        |name| name.to_lowercase().into(),
        |name| name.to_uppercase().into(),
        |name| name.replace('-', "_").into(),
        |name| name.replace('-', "%2D").into(),
        |name| format!("\"{name}\"").into(),
        |name| name.replace("PH-", "PH-\u{200b}").into(),
        |name| format!("X-{name}").into(),
    ];
    let beginnings: [&[u8]; 10] = [
        b"",
        b"Subject: a\r\n ",
        b"Subject: a\r\n\t",
        b"Subject: a\n",
        b"Subject: a\r",
        b"X-Caller: \"a\\\r\n ",
        b"X-Caller: a, ",
        b"Organization: a%0d%0a",
        b"\0",
        b" ",
    ];
    let ends: [&[u8]; 11] = [
        b":", b" :", b"\t:", b" \t :", b":\r\n ", b"\r\n :", b"\0:", b"\x0b:", b"\xa0:", b"\x7f:",
        b"::",
    ];
    let names = OURS.iter().chain(&["X-PH-Campaign", "X-PH-"]);
    let mut all = Vec::new();
    for name in names {
        for spelling in spellings {
            for beginning in beginnings {
                for end in ends {
                    let pieces = [beginning, &spelling(name), end, b" ", LOOT.as_bytes()];
                    all.push(pieces.concat());
                }
            }
        }
    }
    all
}

/// The headers that the witness told of, by Call-ID of the edge's.
fn headers_by_call(said: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut calls: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for line in said.lines() {
        let Some((_, told)) = line.split_once("WITNESS ") else {
            continue;
        };
        let mut words = told.split(' ');
        let mut next = || words.next().unwrap_or_default();
        let (call, name, value) = (next().to_owned(), text(next()), text(next()));
        calls.entry(call).or_default().push((name, value));
    }
    calls
}

/// The text that hexadecimal digits stand for.
fn text(hex: &str) -> String {
    let bytes: Vec<u8> = hex
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).expect("digits"))
        .map(|pair| u8::from_str_radix(pair, 16).expect("digits"))
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A carrier who writes INVITEs by hand.
struct Carrier {
    socket: UdpSocket,
    own: String,
    serial: u32,
}

impl Carrier {
    fn new(site: &Site) -> Self {
        let socket = UdpSocket::bind((site.carrier(), 0)).expect("an address of ours");
        socket.connect((site.edge(), 5060)).expect("a way");
        let own = socket.local_addr().expect("bound").to_string();
        Self {
            socket,
            own,
            serial: 0,
        }
    }

    /// An INVITE with these lines among its headers.
    fn invite(&self, lines: &[&Vec<u8>], serial: u32) -> Vec<u8> {
        let own = &self.own;
        let uri = format!("sip:{NUMBER}@{BY_ADDRESS}");
        let mut text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK-{serial}\r\nMax-Forwards: 70\r\n\
             From: <sip:+12125550142@carrier.example.com>;tag=w{serial}\r\nTo: <{uri}>\r\nCall-ID: witness-{serial}\r\nCSeq: 1 INVITE\r\n\
             {HONEST}: {serial}\r\nContact: <sip:{own}>\r\n"
        )
        .into_bytes();
        for line in lines {
            text.extend_from_slice(line);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        text
    }

    /// A call with these lines in its INVITE, which comes to its end.
    fn calls(&mut self, lines: &[&Vec<u8>]) {
        self.serial += 1;
        let invite = self.invite(lines, self.serial);
        assert!(is_whole(&invite), "taken one by one, and so together");
        self.socket.send(&invite).expect("sent");
        let failure = self.hears(Duration::from_secs(5), |status| status >= 300);
        let failure = failure.expect("an end of the call");
        let to = failure
            .lines()
            .find(|line| line.starts_with("To:"))
            .expect("To");
        let ack = format!(
            "ACK sip:{NUMBER}@{BY_ADDRESS} SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK-{2}\r\nMax-Forwards: 70\r\n\
             From: <sip:+12125550142@carrier.example.com>;tag=w{2}\r\n{1}\r\nCall-ID: witness-{2}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
            self.own, to, self.serial
        );
        self.socket.send(ack.as_bytes()).expect("sent");
    }

    /// INVITEs with one of these lines each, none of which becomes a call.
    fn is_refused(&mut self, lines: &[&Vec<u8>]) {
        for line in lines {
            self.serial += 1;
            let invite = self.invite(&[line], self.serial);
            self.socket.send(&invite).expect("sent");
        }
        // Some are answered, others cannot be; an OPTIONS behind them says when all were read.
        self.serial += 1;
        let asked = self.invite(&[], self.serial);
        let asked = String::from_utf8(asked)
            .expect("text")
            .replace("INVITE", "OPTIONS");
        self.socket.send(asked.as_bytes()).expect("sent");
        let is_read = self.hears(Duration::from_secs(5), |status| status == 200);
        assert!(is_read.is_some(), "the edge does not answer");
    }

    /// The first response with a status as wanted.
    fn hears(&self, patience: Duration, is_wanted: impl Fn(u16) -> bool) -> Option<String> {
        self.socket
            .set_read_timeout(Some(patience))
            .expect("a limit");
        let mut buffer = [0; 65_535];
        loop {
            let length = self.socket.recv(&mut buffer).ok()?;
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let status = text.split(' ').nth(1)?.parse().ok()?;
            if is_wanted(status) {
                return Some(text);
            }
        }
    }
}
