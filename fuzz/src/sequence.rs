//! Sequences of events on the engine: messages that fit one another, messages that do not, timers, orders, and a network that
//! loses, doubles and damages.
//!
//! The input is a program, one byte per deed and one or two for what goes with it. Whatever is done: nothing panics, all that is
//! said can be read, a call that began is recorded once, and when all is over nothing is left.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use strowger::auth::digest::{Answer, answer, strongest};
use strowger::call::Engine;
use strowger::call::input::{Input, Which};
use strowger::call::output::{Event, Gauges, Output};
use strowger::call::places::{Ticket, Verdict};
use strowger::call::policy::Policy;
use strowger::config;
use strowger::config::Texts;
use strowger::routing::book::{Book, Hold};
use strowger::sip::build::{ReplyHead, Writer};
use strowger::sip::flow::{Flow, ListenerId, PeerId, Transport};
use strowger::sip::message::{Message, Name, Request, parse};
use strowger::types::ids::ShardId;
use strowger::types::moment::Moment;
use strowger::types::secret::Secret;

/// Deeds of one run at most.
const MOST_DEEDS: usize = 400;
/// Messages of each side that are remembered.
const MEMORY: usize = 8;

const CARRIER: &str = "198.51.100.7:5060";
const ROAMER: &str = "198.51.100.99:5060";
const BUYERS: [&str; 2] = ["203.0.113.20:5060", "203.0.113.21:5060"];

const CONFIGURATION: &str = r#"
[[listen]]
bind = "192.0.2.10:5060"
[limits]
calls = 6
transactions = 64
call_time = "1h"
[guard]
guesses = 3
[[domain]]
name = "ip.example.com"
require = "ip"
[[domain]]
name = "digest.example.com"
require = "digest"
[[trunk]]
max_calls = 4
id = "carrier"
company = "acme"
domains = ["ip.example.com", "digest.example.com"]
allow = ["198.51.100.7/32"]
users = [{ name = "ann", password = "secret" }]
[[company]]
id = "acme"
key_secret = "fuzz-only-fuzz-only-fuzz"
[[publisher]]
afid = "a"
company = "acme"
[[buyer]]
max_calls = 2
id = "first"
company = "acme"
uri = "sip:sales@203.0.113.20"
username = "us"
password = "secret"
realm = "buyers"
[[buyer]]
id = "second"
company = "acme"
uri = "sip:sales@203.0.113.21"
[[campaign]]
id = "c"
company = "acme"
buyers = ["first", "second"]
[[number]]
number = "+12125550101"
campaign = "c"
afid = "a"
"#;

/// Runs the program in `data`.
pub fn sequence(data: &[u8]) {
    let mut run = Run::new();
    let mut bytes = data.iter().copied();
    for _ in 0..MOST_DEEDS {
        let Some(deed) = bytes.next() else {
            break;
        };
        let mut next = || bytes.next().unwrap_or(0);
        match deed % 16 {
            0 | 1 => run.invite(next()),
            2..=4 => run.reply(next(), next()),
            5 | 6 => run.carrier_says(next()),
            7 => run.buyer_says(next()),
            8 => run.log_in(next()),
            9 => run.wait(Duration::from_millis(1 << (next() % 16))),
            10 => run.again(next()),
            11 => run.damage(next(), next()),
            12 => run.order(next()),
            13 => run.fail(next()),
            14 => run.shed(next()),
            _ => {
                let length = usize::from(next());
                let junk: Vec<u8> = bytes.by_ref().take(length).collect();
                run.say(CARRIER, &junk);
            }
        }
    }
    run.finish();
}

struct Run {
    engine: Engine,
    now: Instant,
    /// The last messages to the carrier's side, with the address of whom they were for.
    to_carrier: Vec<(&'static str, Vec<u8>)>,
    /// Requests to buyers.
    to_buyers: Vec<(&'static str, Vec<u8>)>,
    /// What the others said last.
    said: Vec<(&'static str, Vec<u8>)>,
    serial: u32,
    started: HashSet<[u8; 16]>,
    recorded: HashSet<[u8; 16]>,
    /// Places taken.
    book: Book,
    places: HashMap<Ticket, Hold>,
}

impl Run {
    fn new() -> Self {
        static POLICY: LazyLock<Arc<Policy>> = LazyLock::new(|| Arc::new(policy(1)));
        static START: LazyLock<Instant> = LazyLock::new(start);
        Self {
            engine: Engine::new(ShardId(0), [7; 32], *START, Arc::clone(&POLICY)),
            now: *START,
            to_carrier: Vec::new(),
            to_buyers: Vec::new(),
            said: Vec::new(),
            serial: 0,
            started: HashSet::new(),
            recorded: HashSet::new(),
            book: Book::default(),
            places: HashMap::new(),
        }
    }

    /// A new INVITE.
    fn invite(&mut self, how: u8) {
        self.serial += 1;
        let (domain, from) = match how % 4 {
            0 => ("digest.example.com", ROAMER),
            1 => ("nowhere.example.com", CARRIER),
            _ => ("ip.example.com", CARRIER),
        };
        let body = if how & 16 == 0 { "v=0\r\n" } else { "" };
        let uri = format!(
            "sip:+1212555010{}@{domain}",
            if how & 48 == 48 { 9 } else { 1 }
        );
        let call = self.serial;
        let text = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKi{call};rport\r\nMax-Forwards: {}\r\nFrom: <sip:ann@example.com>;tag=f{call}\r\n\
             To: <{uri}>\r\nCall-ID: c{call}\r\nCSeq: 1 INVITE\r\nContact: <sip:ann@{from}>\r\nContent-Length: {}\r\n\r\n{body}",
            if how >> 6 == 3 { 0 } else { 70 },
            body.len()
        );
        self.say(from, text.as_bytes());
    }

    /// A buyer answers one of the last requests.
    fn reply(&mut self, which: u8, how: u8) {
        const STATUSES: [u16; 16] = [
            100, 180, 183, 199, 200, 200, 200, 202, 302, 401, 407, 481, 486, 487, 503, 603,
        ];
        let Some((buyer, bytes)) = pick(&self.to_buyers, which) else {
            return;
        };
        let Ok(Message::Request(request)) = parse(&bytes) else {
            panic!("what we say can be read");
        };
        let status = STATUSES.get(usize::from(how % 16)).copied().unwrap_or(200);
        let tag = [b'b', b'0' + (how >> 6)];
        let reply = ReplyHead::new(&request, &flow(buyer));
        let buf = &mut Vec::new();
        let mut writer = Writer::reply(buf, &reply, status, (status > 100).then_some(&tag));
        writer.field("Contact", format!("<sip:bob@{buyer}>").as_bytes());
        if status == 401 {
            let realm = if how & 16 == 0 { "buyers" } else { "others" };
            let value = format!("Digest realm=\"{realm}\", nonce=\"n{how}\", qop=\"auth\"");
            writer.field("WWW-Authenticate", value.as_bytes());
        }
        let body: &[u8] = if how & 32 == 0 { b"v=0\r\n" } else { b"" };
        if let Ok(text) = writer.finish(body) {
            self.say(buyer, &text);
        }
    }

    /// The carrier says something within the dialog of the last message that it got.
    fn carrier_says(&mut self, how: u8) {
        let Some((carrier, bytes)) = pick(&self.to_carrier, how >> 5) else {
            return;
        };
        let (method, cseq) = deed(how);
        match parse(&bytes) {
            // A response: From is the carrier's own.
            Ok(Message::Response(response)) => {
                let head = &response.head;
                let value = |name| text(head.first(name));
                let target = target(&value(Name::Contact));
                let (from, to) = (value(Name::From), value(Name::To));
                let invite = value(Name::CSeq);
                let cseq = if method == "ACK" || method == "CANCEL" {
                    number(&invite)
                } else {
                    cseq
                };
                let via = if method == "CANCEL" {
                    without_marks(&value(Name::Via))
                } else {
                    self.via(carrier)
                };
                self.request(
                    carrier,
                    method,
                    &target,
                    [&from, &to, &value(Name::CallId), &via],
                    cseq,
                );
            }
            Ok(Message::Request(request)) => self.answer_request(carrier, &request, how),
            Err(_) => panic!("what we say can be read"),
        }
    }

    /// A buyer says something within the dialog of the last request that it got.
    fn buyer_says(&mut self, how: u8) {
        let Some((buyer, bytes)) = pick(&self.to_buyers, how >> 5) else {
            return;
        };
        let Ok(Message::Request(request)) = parse(&bytes) else {
            panic!("what we say can be read");
        };
        let (method, cseq) = deed(how);
        let value = |name| text(request.head.first(name));
        let to = value(Name::To);
        let from = if to.contains(";tag=") {
            to
        } else {
            format!("{to};tag=b0")
        };
        let via = self.via(buyer);
        let target = target(&value(Name::Contact));
        self.request(
            buyer,
            method,
            &target,
            [&from, &value(Name::From), &value(Name::CallId), &via],
            cseq,
        );
    }

    fn answer_request(&mut self, who: &'static str, request: &Request<'_>, how: u8) {
        let status = if how & 1 == 0 { 200 } else { 481 };
        let reply = ReplyHead::new(request, &flow(who));
        let buf = &mut Vec::new();
        if let Ok(text) = Writer::reply(buf, &reply, status, Some(b"f1")).finish(b"") {
            self.say(who, &text);
        }
    }

    fn request(
        &mut self,
        who: &'static str,
        method: &str,
        target: &str,
        [from, to, call_id, via]: [&str; 4],
        cseq: u32,
    ) {
        let text = format!(
            "{method} {target} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:x@{who}>\r\nContent-Length: 0\r\n\r\n"
        );
        self.say(who, text.as_bytes());
    }

    fn via(&mut self, who: &str) -> String {
        self.serial += 1;
        format!("SIP/2.0/UDP {who};branch=z9hG4bKr{}", self.serial)
    }

    /// The last INVITE from the roamer again, with credentials for the last challenge.
    fn log_in(&mut self, how: u8) {
        let Some((_, challenge)) = self
            .to_carrier
            .iter()
            .rev()
            .find(|(_, bytes)| bytes.starts_with(b"SIP/2.0 401"))
        else {
            return;
        };
        let Ok(Message::Response(refused)) = parse(challenge) else {
            return;
        };
        let call_id = text(refused.head.first(Name::CallId));
        let is_its = |(_, bytes): &&(&str, Vec<u8>)| {
            bytes.starts_with(b"INVITE ")
                && String::from_utf8_lossy(bytes).contains(&format!("Call-ID: {call_id}\r\n"))
        };
        let Some((_, invite)) = self.said.iter().rev().find(is_its) else {
            return;
        };
        let invite = String::from_utf8_lossy(invite).into_owned();
        let values = refused.head.all(Name::WwwAuthenticate);
        let Some(challenge) = strongest(values, "digest.example.com") else {
            return;
        };
        let password = Secret::new(if how & 1 == 0 { *b"secret" } else { *b"wrong!" });
        let uri = invite.split(' ').nth(1).unwrap_or_default();
        let mut value = Vec::new();
        let with = Answer {
            username: "ann",
            password: &password,
            method: b"INVITE",
            uri: uri.as_bytes(),
            cnonce: b"c",
            count: u32::from(how >> 1) + 1,
        };
        if answer(&challenge, &with, &mut value).is_err() {
            return;
        }
        let value = String::from_utf8_lossy(&value).into_owned();
        self.serial += 1;
        let again = invite
            .replacen(
                "branch=z9hG4bK",
                &format!("branch=z9hG4bKl{}", self.serial),
                1,
            )
            .replacen("CSeq: 1 ", "CSeq: 2 ", 1)
            .replacen(
                "\r\nContact: ",
                &format!("\r\nAuthorization: {value}\r\nContact: "),
                1,
            );
        self.say(ROAMER, again.as_bytes());
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        self.run_timers(until);
        self.now = until;
    }

    fn run_timers(&mut self, until: Instant) {
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.tell(Input::Timeout);
        }
    }

    fn again(&mut self, which: u8) {
        if let Some((who, bytes)) = pick(&self.said, which) {
            self.say(who, &bytes);
        }
    }

    fn damage(&mut self, which: u8, how: u8) {
        if let Some((who, mut bytes)) = pick(&self.said, which) {
            let place = usize::from(how) * bytes.len() / 256;
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << (how % 8);
            }
            self.say(who, &bytes);
        }
    }

    fn order(&mut self, how: u8) {
        match how % 8 {
            0 => self.tell(Input::Hangup(Which::All)),
            1 => self.tell(Input::Drain(true)),
            2 => self.tell(Input::Policy(Arc::new(policy(2)))),
            3 => self.tell(Input::Shut(true)),
            4 => self.tell(Input::Shut(false)),
            _ => self.tell(Input::Drain(false)),
        }
    }

    fn fail(&mut self, how: u8) {
        match how % 4 {
            0 => self.tell(Input::TransportFailed {
                flow: flow(CARRIER),
            }),
            1 => self.tell(Input::TransportFailed {
                flow: flow(BUYERS[0]),
            }),
            2 => self.tell(Input::TransportFailed {
                flow: flow(BUYERS[1]),
            }),
            _ => {
                if let Some((_, bytes)) = pick(&self.to_buyers, how >> 2) {
                    self.tell(Input::Unsendable { bytes: &bytes });
                }
            }
        }
    }

    /// The last message of the others again, in overload.
    fn shed(&mut self, how: u8) {
        if let Some((who, bytes)) = pick(&self.said, how >> 1) {
            self.tell(Input::Shed {
                flow: flow(who),
                bytes: &bytes,
                retry_after: (how & 1 == 0).then_some(3),
            });
        }
    }

    fn say(&mut self, who: &'static str, bytes: &[u8]) {
        remember(&mut self.said, who, bytes.to_vec());
        let flow = flow(who);
        self.tell(Input::Datagram { flow, bytes });
    }

    fn tell(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { flow, bytes } => self.hear(&flow, &bytes),
                Output::Forward { .. }
                | Output::Probed { .. }
                | Output::Posted { .. }
                | Output::Abroad(..)
                | Output::Resolve(_)
                | Output::Media { .. }
                | Output::AskMedia(_) => {}
                Output::Reserve {
                    ticket, claimant, ..
                } => {
                    let moment = Moment::default().after(self.now - start());
                    let reserved = claimant.reserve(moment, &mut self.book, &mut Vec::new());
                    let verdict = match reserved {
                        Ok(hold) => {
                            self.places.insert(ticket, hold);
                            Verdict::Granted
                        }
                        Err(full) => Verdict::Full(full),
                    };
                    let answer = Input::Reserved { ticket, verdict };
                    self.engine.handle(self.now, answer);
                }
                Output::Commit { ticket, what, .. } => {
                    let hold = self.places.get_mut(&ticket).expect("it was granted");
                    self.book.commit(hold, what, &mut Vec::new());
                }
                Output::Release(ticket) => {
                    let hold = self.places.remove(&ticket);
                    self.book.release(hold.expect("a place is given back once"));
                }
                Output::Recall { .. } | Output::Remember(_) => panic!("nobody asks"),
                Output::Keep { .. } => panic!("nobody has webhooks"),
                Output::Fetch { .. } | Output::Deliver { .. } => panic!("nobody has webhooks"),
                Output::Event(Event::Started { uuid, .. }) => {
                    assert!(self.started.insert(*uuid.as_bytes()), "a call starts once");
                }
                Output::Event(Event::Panicked | Event::Unbuildable) => panic!("a fault of ours"),
                Output::Event(_) => {}
                Output::Record(record) => {
                    let uuid = *record.uuid.as_bytes();
                    assert!(self.started.contains(&uuid), "a record of no call");
                    assert!(self.recorded.insert(uuid), "a call is recorded once");
                }
            }
        }
    }

    fn hear(&mut self, flow: &Flow, bytes: &[u8]) {
        let is_request = match parse(bytes) {
            Ok(Message::Request(request)) => {
                assert!(request.essentials().is_ok(), "our requests are whole");
                true
            }
            Ok(Message::Response(_)) => false,
            Err(malformed) => panic!("{malformed}: {}", String::from_utf8_lossy(bytes)),
        };
        let buyer = BUYERS
            .into_iter()
            .find(|buyer| address(buyer) == flow.remote);
        match buyer {
            Some(buyer) if is_request => remember(&mut self.to_buyers, buyer, bytes.to_vec()),
            Some(_) => {}
            None => {
                let who = if address(ROAMER) == flow.remote {
                    ROAMER
                } else {
                    CARRIER
                };
                remember(&mut self.to_carrier, who, bytes.to_vec());
            }
        }
    }

    /// Everybody goes home.
    fn finish(mut self) {
        self.tell(Input::Hangup(Which::All));
        let end = self.now + Duration::from_secs(24 * 3600);
        self.run_timers(end);
        assert_eq!(self.engine.gauges(), Gauges::default(), "nothing is left");
        assert!(self.places.is_empty(), "no place is left");
        assert_eq!(self.started, self.recorded, "every call is recorded");
    }
}

fn remember(memory: &mut Vec<(&'static str, Vec<u8>)>, who: &'static str, bytes: Vec<u8>) {
    if memory.len() == MEMORY {
        memory.remove(0);
    }
    memory.push((who, bytes));
}

/// One of the last; three times in four the last.
fn pick(memory: &[(&'static str, Vec<u8>)], which: u8) -> Option<(&'static str, Vec<u8>)> {
    let back = match which % 4 {
        0 => usize::from(which >> 2) % MEMORY + 1,
        _ => 1,
    };
    let place = memory.len().checked_sub(back)?;
    memory.get(place).cloned()
}

fn deed(how: u8) -> (&'static str, u32) {
    const METHODS: [&str; 8] = [
        "ACK", "BYE", "CANCEL", "INVITE", "INFO", "UPDATE", "PRACK", "REFER",
    ];
    let method = METHODS.get(usize::from(how % 8)).copied().unwrap_or("ACK");
    (method, u32::from(how >> 3) + 1)
}

fn text(value: Option<&[u8]>) -> String {
    String::from_utf8_lossy(value.unwrap_or_default()).into_owned()
}

/// The URI of a Contact, or one to be going on with.
fn target(contact: &str) -> String {
    let uri = contact.split(['<', '>']).nth(1);
    uri.unwrap_or("sip:192.0.2.10").to_owned()
}

fn number(cseq: &str) -> u32 {
    cseq.split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(1)
}

/// A Via as its sender wrote it.
fn without_marks(via: &str) -> String {
    via.split(";received=")
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn flow(who: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        remote: address(who),
        peer: PeerId::NOBODY,
    }
}

fn address(who: &str) -> std::net::SocketAddr {
    match who.parse() {
        Ok(address) => address,
        Err(_) => panic!("{who} is an address"),
    }
}

fn policy(generation: u64) -> Policy {
    let source = Texts::of("fuzz.toml", CONFIGURATION);
    match config::load(Path::new("fuzz.toml"), &source, generation) {
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
