//! Headers on their way from one leg to the other. Whatever a caller or a buyer writes, the other side gets a message that can be
//! read, with what is ours in it once and as we wrote it, and with nothing of the network on this side.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use strowger::call::Engine;
use strowger::call::input::Input;
use strowger::call::output::{Event, Output};
use strowger::call::policy::Policy;
use strowger::config::{self, Texts};
use strowger::sip::build::{ReplyHead, Writer, unfold_into};
use strowger::sip::flow::{Flow, ListenerId, PeerId, Transport};
use strowger::sip::header::{NameAddr, Via};
use strowger::sip::message::{Head, Message, Name, Request, parse};
use strowger::sip::retreaver::is_reserved;
use strowger::types::ids::ShardId;

/// IPv4 address and port.
type Address = ([u8; 4], u16);

const CARRIER: Address = ([198, 51, 100, 7], 5060);
const BUYER: Address = ([203, 0, 113, 20], 5060);
/// A name that only the caller's network has; and one that only the buyer's has.
const CARRIER_HOST: &str = "carrier.invalid";
const BUYER_HOST: &str = "buyer.invalid";

/// Both sides list what they can, so that as much as possible passes.
const CONFIGURATION: &str = r#"
[[listen]]
bind = "192.0.2.10:5060"
[[domain]]
name = "ip.example.com"
require = "ip"
[[trunk]]
id = "carrier"
company = "acme"
domains = ["ip.example.com"]
allow = ["198.51.100.7/32"]
identity = "trusted"
[trunk.headers]
pass_from = ["X-*", "P-Charge-Info", "Diversion", "History-Info", "Remote-Party-ID", "User-to-User", "Alert-Info", "Call-Info"]
pass_to = ["X-*"]
remove = ["X-Secret"]
[[company]]
id = "acme"
key_secret = "fuzz-only-fuzz-only-fuzz"
[[publisher]]
afid = "a"
company = "acme"
[[buyer]]
id = "plain"
company = "acme"
uri = "sip:sales@203.0.113.20"
[[buyer]]
id = "trusted"
company = "acme"
uri = "sip:sales@203.0.113.20"
identity = "trusted"
[[campaign]]
id = "plain"
company = "acme"
buyers = ["plain"]
[[campaign]]
id = "trusted"
company = "acme"
buyers = ["trusted"]
[[number]]
number = "+12125550101"
campaign = "plain"
afid = "a"
[[number]]
number = "+12125550102"
campaign = "trusted"
afid = "a"
"#;

/// The first byte says who writes, and to whom; the rest are its header lines.
pub fn crossing(data: &[u8]) {
    let Some((how, lines)) = data.split_first() else {
        return;
    };
    let by_caller = how & 1 == 0;
    let dialled = if how & 2 == 0 { 1 } else { 2 };
    let mut edge = Edge::new();
    let own = if by_caller { lines } else { b"" };
    let (before, body) = (invite(dialled), b"v=0\r\n");
    let offered = edge.say(CARRIER, &assemble(&before, own, body));
    let Some(offered) = offered.into_iter().find(|(to, _)| *to == BUYER) else {
        return;
    };
    let Ok(Message::Request(request)) = parse(&offered.1) else {
        return;
    };
    if by_caller {
        check_offer(&request, own, offered.1.len(), before.len() + own.len());
        return;
    }
    let status = if how & 4 == 0 { 183 } else { 486 };
    let reply = ReplyHead::new(&request, &flow(BUYER));
    let buf = &mut Vec::new();
    let mut writer = Writer::reply(buf, &reply, status, Some(b"b"));
    writer.field("Contact", format!("<sip:bob@{BUYER_HOST}>").as_bytes());
    writer.field("Server", BUYER_HOST.as_bytes());
    let Ok(answer) = writer.finish(b"") else {
        panic!("our request can be answered");
    };
    let head = answer
        .windows(16)
        .position(|window| window == b"Content-Length: ")
        .unwrap_or(0);
    let (head, _) = answer.split_at(head);
    for (to, bytes) in edge.say(BUYER, &assemble(head, lines, b"v=0\r\n")) {
        if to == CARRIER {
            check_relayed(&bytes, lines);
        }
    }
}

fn invite(dialled: u32) -> Vec<u8> {
    format!(
        "INVITE sip:+1212555010{dialled}@ip.example.com SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER_HOST};branch=z9hG4bKa\r\n\
         Via: SIP/2.0/UDP 10.9.8.7;branch=z9hG4bKb\r\nMax-Forwards: 70\r\nRecord-Route: <sip:{CARRIER_HOST};lr>\r\n\
         From: <sip:ann@{CARRIER_HOST}>;tag=f\r\nTo: <sip:b@ip.example.com>\r\nCall-ID: c@{CARRIER_HOST}\r\nCSeq: 7 INVITE\r\n\
         Contact: <sip:ann@{CARRIER_HOST}>\r\nContent-Type: application/sdp\r\nUser-Agent: {CARRIER_HOST}\r\n"
    )
    .into_bytes()
}

fn assemble(before: &[u8], lines: &[u8], body: &[u8]) -> Vec<u8> {
    let mut text = before.to_vec();
    text.extend_from_slice(lines);
    if !lines.is_empty() && !lines.ends_with(b"\n") {
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    text.extend_from_slice(body);
    text
}

/// What a buyer gets of an INVITE.
fn check_offer(request: &Request<'_>, lines: &[u8], length: usize, came: usize) {
    let head = &request.head;
    let Ok(essentials) = request.essentials() else {
        panic!("our requests are whole");
    };
    check_singles(head);
    let mut ours = BTreeMap::new();
    for field in head.fields() {
        let name = head.raw_name(field).to_ascii_lowercase();
        assert_ne!(name, b"x-secret");
        if is_reserved(&name) {
            *ours.entry(name).or_insert(0) += 1;
        }
    }
    let names = [
        "x-ph-retreaverafid",
        "x-ph-retreaverkey",
        "x-ph-retreaveruuid",
    ];
    assert!(ours.keys().eq(names.map(str::as_bytes)), "{ours:?}");
    assert!(ours.values().all(|count| *count == 1));
    // A hop of our own, and no other.
    let hops = head.fields().iter().filter(|field| {
        let name = head.raw_name(field);
        name.eq_ignore_ascii_case(b"X-Strowger-Hop")
    });
    assert_eq!(hops.count(), 1);
    assert_eq!(head.all(Name::Via).count(), 1);
    assert_eq!(essentials.via.host.ip(), Some([192, 0, 2, 10].into()));
    assert!(essentials.max_forwards.is_some_and(|hops| hops < 70));
    assert!(head.first(Name::RecordRoute).is_none() && head.first(Name::Route).is_none());
    check_hidden(head, CARRIER_HOST, lines);
    for value in head.all(Name::PAssertedIdentity) {
        assert!(NameAddr::parse(value).is_ok(), "one identity on a line");
    }
    // What we write ourselves is short, but addresses get our host for theirs.
    assert!(length <= 4 * came + 2048, "{length} bytes of {came}");
}

/// What a caller gets of a buyer's answer.
fn check_relayed(bytes: &[u8], lines: &[u8]) {
    let Ok(Message::Response(response)) = parse(bytes) else {
        return;
    };
    let Ok(essentials) = response.essentials() else {
        panic!("our responses are whole");
    };
    let head = &response.head;
    check_singles(head);
    assert_eq!(essentials.cseq, 7);
    assert_eq!(essentials.from.tag(), Some(&b"f"[..]));
    assert_eq!(head.all(Name::Via).flat_map(Via::parse_all).count(), 2);
    for field in head.fields() {
        assert!(!is_reserved(head.raw_name(field)));
    }
    check_hidden(head, BUYER_HOST, lines);
}

fn check_singles(head: &Head<'_>) {
    for name in [
        Name::From,
        Name::To,
        Name::CallId,
        Name::CSeq,
        Name::ContentLength,
        Name::Contact,
    ] {
        assert!(head.all(name).count() <= 1, "{name:?}");
    }
}

/// No header tells the other side's host, unless the peer itself wrote it where it may write what it likes.
fn check_hidden(head: &Head<'_>, host: &str, lines: &[u8]) {
    let holds = |text: &[u8]| {
        let host = host.as_bytes();
        text.windows(host.len()).any(|window| window == host)
    };
    if holds(lines) {
        return;
    }
    for field in head.fields() {
        let mut value = Vec::new();
        unfold_into(&mut value, head.value(field));
        assert!(!holds(&value), "{:?}", String::from_utf8_lossy(&value));
    }
}

struct Edge {
    engine: Engine,
    now: Instant,
}

impl Edge {
    fn new() -> Self {
        static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| Arc::new(policy()));
        static START: LazyLock<Instant> = LazyLock::new(start);
        Self {
            engine: Engine::new(ShardId(0), [7; 32], *START, Arc::clone(&POLICY)),
            now: *START,
        }
    }

    /// What the edge sends when somebody has said something.
    fn say(&mut self, from: Address, bytes: &[u8]) -> Vec<(Address, Vec<u8>)> {
        let flow = flow(from);
        self.engine
            .handle(self.now, Input::Datagram { flow, bytes });
        let mut said = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            if let Output::Transmit { flow, bytes } = output {
                assert!(parse(&bytes).is_ok(), "{}", String::from_utf8_lossy(&bytes));
                let to = [CARRIER, BUYER];
                let to = to.into_iter().find(|one| flow.remote == (*one).into());
                said.extend(to.map(|to| (to, bytes.to_vec())));
            } else {
                assert!(!matches!(output, Output::Event(Event::Panicked)));
            }
        }
        said
    }
}

fn flow(who: Address) -> Flow {
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        remote: who.into(),
        peer: PeerId::NOBODY,
    }
}

fn policy() -> Policy {
    let source = Texts::of("fuzz.toml", CONFIGURATION);
    match config::load(Path::new("fuzz.toml"), &source, 1) {
        Ok(settings) => settings.policy,
        Err(faults) => panic!("{faults}"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "some start is needed; nothing reads on"
)]
fn start() -> Instant {
    Instant::now()
}
