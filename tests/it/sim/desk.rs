//! An engine on a desk: messages are handed to it one by one, and all that it says is looked at.
//!
//! The network is perfect and the clock stands still unless a test moves it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use strowger::call::Engine;
use strowger::call::errand::Step;
use strowger::call::input::Input;
use strowger::call::memories::Memories;
use strowger::call::memory::{Memory, Question, Recalled};
use strowger::call::output::{Event, Gauges, Output};
use strowger::call::places::{Claimant, Ticket};
use strowger::call::policy::Policy;
use strowger::call::record::Record;
use strowger::call::story::Delivery;
use strowger::hooks::request::Request;
use strowger::media::ng::ask::Ask;
use strowger::media::plan::{Plan, SessionId};
use strowger::sip::error::ParseError;
use strowger::sip::flow::{Flow, ListenerId, Transport};
use strowger::sip::locate::Wanted;
use strowger::types::ids::{CallUuid, ShardId};
use strowger::types::tag::Tags;

use super::ledger::Ledger;
use super::policy::{BuyerSpec, CARRIER, PolicySpec, ROAMER, STRANGER, addr, number};
use super::seeds::epoch;
use super::text::{Msg, bare};
use super::world::flow;

/// An engine, the time, and what became of calls.
pub(crate) struct Desk {
    engine: Engine,
    start: Instant,
    now: Instant,
    pub(crate) events: Vec<Event>,
    pub(crate) records: Vec<Record>,
    pub(crate) ledger: Ledger,
    /// Questions for places are kept here instead of being answered.
    pub(crate) questions: Option<Vec<(Ticket, Claimant)>>,
    /// Webhooks that were asked, in order.
    pub(crate) fetches: Vec<(Ticket, Request)>,
    /// What was asked of callers is kept here instead of being answered.
    pub(crate) recalls: Option<Vec<(Ticket, Question)>>,
    /// Tags that were to be kept.
    pub(crate) kept: Vec<Tags>,
    /// What is remembered of callers.
    pub(crate) memories: Memories<Ticket>,
    /// What a store would know besides, of every caller.
    pub(crate) stored: Memory,
    /// Webhooks that are to be delivered while calls last.
    pub(crate) deliveries: Vec<Delivery>,
    /// What became of what others said: for how many calls it was taken, and whether one had too much of it.
    pub(crate) posted: Vec<(usize, bool)>,
    /// Names that the engine had looked up.
    pub(crate) asked: Vec<Arc<Wanted>>,
    /// What the relay was told, in order.
    pub(crate) plans: Vec<(SessionId, Plan)>,
    /// What rtpengine was asked and has yet to answer, in order.
    pub(crate) asks: Vec<Ask>,
    /// What a vendor was told to do, in order.
    pub(crate) steps: Vec<(CallUuid, Step)>,
}

/// One thing that the engine said.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// Milliseconds since the desk was set up.
    pub(crate) at: u128,
    pub(crate) to: SocketAddr,
    pub(crate) flow: Flow,
    pub(crate) message: Msg,
    pub(crate) bytes: Bytes,
}

/// An INVITE of the carrier's that goes to line 0.
pub(crate) fn invite() -> Msg {
    invite_to(&format!("sip:{}@ip.example.com", number(0)))
}

pub(crate) fn invite_to(uri: &str) -> Msg {
    request("INVITE", uri)
        .with("Contact", format!("<sip:ann@{CARRIER}>"))
        .with_sdp(OFFER)
}

/// A request outside any dialog.
pub(crate) fn request(method: &str, uri: &str) -> Msg {
    Msg::new(format!("{method} {uri} SIP/2.0"))
        .with(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bKfirst;rport"),
        )
        .with("Max-Forwards", "70")
        .with(
            "From",
            "\"Ann\" <sip:+15555550199@carrier.example.net>;tag=ann",
        )
        .with("To", format!("<{uri}>"))
        .with("Call-ID", "one@carrier.example.net")
        .with("CSeq", format!("1 {method}"))
        .with("User-Agent", SWITCH)
}

/// As much as a switch writes: a stranger is answered by no more bytes than it sent.
pub(crate) const SWITCH: &str = "carrier-switch/12.4.1 (release 20261121; border element 7, card 3, port 11; site a); \
     what others write into Allow, Supported, Session-Expires and Min-SE is as long as this";

pub(crate) const OFFER: &str = "v=0\r\no=ann 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 0 8 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n";
pub(crate) const ANSWER: &str = "v=0\r\no=bob 1 1 IN IP4 198.51.100.10\r\ns=-\r\n";

/// The CANCEL of an INVITE (RFC 3261 §9.1).
pub(crate) fn cancel(invite: &Msg) -> Msg {
    let mut cancel = Msg::new(invite.line.replacen("INVITE", "CANCEL", 1));
    for name in ["Via", "Max-Forwards", "From", "To", "Call-ID"] {
        cancel = cancel.with(name, invite.value(name));
    }
    cancel.with("CSeq", format!("{} CANCEL", invite.cseq()))
}

/// The ACK of a failure (§17.1.1.3).
pub(crate) fn ack_of_failure(invite: &Msg, failure: &Msg) -> Msg {
    let ack = Msg::new(invite.line.replacen("INVITE", "ACK", 1));
    ack.with("Via", invite.value("Via"))
        .with("Max-Forwards", "70")
        .with("From", invite.value("From"))
        .with("To", failure.value("To"))
        .with("Call-ID", invite.value("Call-ID"))
        .with("CSeq", format!("{} ACK", invite.cseq()))
}

/// A request within a dialog that our INVITE began and `ok` answered.
pub(crate) fn caller_request(method: &str, cseq: u32, invite: &Msg, ok: &Msg) -> Msg {
    Msg::new(format!(
        "{method} {} SIP/2.0",
        ok.contact().expect("a Contact")
    ))
    .with(
        "Via",
        format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-a-{method}-{cseq};rport"),
    )
    .with("Max-Forwards", "70")
    .with("From", invite.value("From"))
    .with("To", ok.value("To"))
    .with("Call-ID", invite.value("Call-ID"))
    .with("CSeq", format!("{cseq} {method}"))
    .with("Contact", format!("<sip:ann@{CARRIER}>"))
}

/// A request within a dialog that the edge's INVITE began and that we answered with `tag`.
pub(crate) fn buyer_request(method: &str, cseq: u32, invite: &Msg, tag: &str) -> Msg {
    Msg::new(format!(
        "{method} {} SIP/2.0",
        invite.contact().expect("a Contact")
    ))
    .with(
        "Via",
        format!("SIP/2.0/UDP {};branch=z9hG4bK-b-{method}-{cseq}", buyer(0)),
    )
    .with("Max-Forwards", "70")
    .with("From", format!("{};tag={tag}", bare(invite.value("To"))))
    .with("To", invite.value("From"))
    .with("Call-ID", invite.value("Call-ID"))
    .with("CSeq", format!("{cseq} {method}"))
    .with("Contact", format!("<sip:bob@{}>", buyer(0)))
}

/// The flow of a connection with `remote`, of the second listener.
pub(crate) fn connection(remote: SocketAddr) -> Flow {
    Flow {
        transport: Transport::Tcp,
        listener: ListenerId(1),
        ..flow(remote)
    }
}

/// An answer of a buyer's, with its Contact.
pub(crate) fn answer(invite: &Msg, status: u16, tag: &str) -> Msg {
    let reply = invite.reply(status, tag);
    match status {
        101..300 => reply.with("Contact", format!("<sip:bob@{}>", buyer(0))),
        _ => reply,
    }
}

/// Where buyer `place` of line 0 is.
pub(crate) fn buyer(place: usize) -> SocketAddr {
    addr(&format!("198.51.100.{}:5060", 10 + place))
}

/// `carrier`, `b0`, `b1`, ...
fn who(address: SocketAddr) -> String {
    for (text, name) in [
        (CARRIER, "carrier"),
        (ROAMER, "roamer"),
        (STRANGER, "stranger"),
    ] {
        if address == addr(text) {
            return name.to_owned();
        }
    }
    (0..9)
        .find(|place| buyer(*place) == address)
        .map_or_else(|| address.to_string(), |place| format!("b{place}"))
}

/// `b0 INVITE`, `carrier 180 INVITE`: all that was said, in order.
pub(crate) fn ladder(said: &[Said]) -> Vec<String> {
    said.iter()
        .map(|one| format!("{} {}", who(one.to), one.message.summary()))
        .collect()
}

/// As [`ladder`], with the time in milliseconds.
pub(crate) fn timed(said: &[Said]) -> Vec<String> {
    said.iter()
        .zip(ladder(said))
        .map(|(one, text)| format!("{} {text}", one.at))
        .collect()
}

/// The message that `text` of a [`ladder`] names.
pub(crate) fn find(said: &[Said], text: &str) -> Msg {
    let lines = ladder(said);
    let Some(at) = lines.iter().position(|line| line == text) else {
        panic!("no {text} in {lines:?}");
    };
    said[at].message.clone()
}

/// A call that is up.
pub(crate) struct Talk {
    pub(crate) desk: Desk,
    /// The caller's INVITE and the 200 that it got.
    pub(crate) invite: Msg,
    pub(crate) ok: Msg,
    /// The INVITE that the buyer got; it answered with the tag `bob`.
    pub(crate) offered: Msg,
}

impl Talk {
    /// Answered and acknowledged.
    pub(crate) fn new() -> Self {
        let mut talk = Self::unacknowledged(Desk::new(1));
        let ack = talk.caller("ACK", 1);
        let said = talk.desk.say(CARRIER, &ack);
        assert_eq!(ladder(&said), [""; 0]);
        talk
    }

    /// Answered; the caller's ACK is still to come.
    pub(crate) fn unacknowledged(mut desk: Desk) -> Self {
        let invite = invite();
        let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
        let answer = answer(&offered, 200, "bob").with_sdp(ANSWER);
        let said = desk.say_from(buyer(0), &answer);
        let ok = find(&said, "carrier 200 INVITE");
        Self {
            desk,
            invite,
            ok,
            offered,
        }
    }

    /// A request of the caller's within the call.
    pub(crate) fn caller(&self, method: &str, cseq: u32) -> Msg {
        caller_request(method, cseq, &self.invite, &self.ok)
    }

    /// A request of the buyer's within the call.
    pub(crate) fn buyer(&self, method: &str, cseq: u32) -> Msg {
        buyer_request(method, cseq, &self.offered, "bob")
    }

    pub(crate) fn caller_says(&mut self, message: &Msg) -> Vec<Said> {
        self.desk.say(CARRIER, message)
    }

    pub(crate) fn buyer_says(&mut self, message: &Msg) -> Vec<Said> {
        self.desk.say_from(buyer(0), message)
    }
}

impl Desk {
    /// Line 0 with so many buyers.
    pub(crate) fn new(buyers: usize) -> Self {
        Self::with(&PolicySpec {
            lines: vec![specs(buyers)],
            ..PolicySpec::default()
        })
    }

    pub(crate) fn with(spec: &PolicySpec) -> Self {
        Self::seeded(spec, [7; 32])
    }

    /// With the secrets that `seed` stands for: those of another start.
    pub(crate) fn seeded(spec: &PolicySpec, seed: [u8; 32]) -> Self {
        Self::of(spec.build(), seed)
    }

    /// With a policy that says more than a spec can.
    pub(crate) fn changed(spec: &PolicySpec, change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = spec.build();
        change(Arc::get_mut(&mut policy).expect("nobody else has it"));
        Self::of(policy, [7; 32])
    }

    /// With this policy.
    pub(crate) fn of(policy: Arc<Policy>, seed: [u8; 32]) -> Self {
        let start = epoch();
        Self {
            engine: Engine::new(ShardId(0), seed, start, policy),
            start,
            now: start,
            events: Vec::new(),
            records: Vec::new(),
            ledger: Ledger::default(),
            questions: None,
            fetches: Vec::new(),
            recalls: None,
            kept: Vec::new(),
            memories: Memories::new(100),
            stored: Memory::default(),
            deliveries: Vec::new(),
            posted: Vec::new(),
            asked: Vec::new(),
            plans: Vec::new(),
            asks: Vec::new(),
            steps: Vec::new(),
        }
    }

    pub(crate) fn say(&mut self, from: &str, message: &Msg) -> Vec<Said> {
        self.say_from(addr(from), message)
    }

    pub(crate) fn say_from(&mut self, from: SocketAddr, message: &Msg) -> Vec<Said> {
        self.say_bytes(from, &message.bytes())
    }

    pub(crate) fn say_bytes(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<Said> {
        let flow = flow(from);
        self.tell(Input::Datagram { flow, bytes })
    }

    /// A message that a connection from `from` brought.
    pub(crate) fn say_on_stream(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<Said> {
        let flow = connection(from);
        self.tell(Input::Datagram { flow, bytes })
    }

    /// What a connection from `from` ended with.
    pub(crate) fn break_stream(
        &mut self,
        from: SocketAddr,
        error: ParseError,
        head: &[u8],
    ) -> Vec<Said> {
        let flow = connection(from);
        self.tell(Input::Broken { flow, error, head })
    }

    /// Hands one input in, and gives all that the engine says to it.
    pub(crate) fn tell(&mut self, input: Input<'_>) -> Vec<Said> {
        self.engine.handle(self.now, input);
        let mut said = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { flow, bytes } => said.push(Said {
                    at: (self.now - self.start).as_millis(),
                    to: flow.remote,
                    flow,
                    message: Msg::parse(&bytes),
                    bytes,
                }),
                Output::Forward { shard, .. } => panic!("a datagram for {shard:?}"),
                Output::Probed { .. } => {}
                Output::Abroad(uuid, step) => self.steps.push((uuid, step)),
                Output::Posted { taken, is_full, .. } => self.posted.push((taken.len(), is_full)),
                Output::Reserve {
                    ticket, claimant, ..
                } => {
                    if let Some(questions) = &mut self.questions {
                        questions.push((ticket, claimant));
                        continue;
                    }
                    let verdict = self.ledger.reserve(self.now, ticket, &claimant);
                    let answer = Input::Reserved { ticket, verdict };
                    self.engine.handle(self.now, answer);
                }
                Output::Commit { ticket, what, .. } => self.ledger.commit(ticket, what),
                Output::Release(ticket) => {
                    assert!(self.ledger.release(ticket), "{ticket:?} given back twice");
                }
                Output::Recall { ticket, question } => {
                    if let Some(recalls) = &mut self.recalls {
                        recalls.push((ticket, *question));
                        continue;
                    }
                    let mut memory = self.memories.ask(&question, ticket);
                    self.stored
                        .calls
                        .iter()
                        .for_each(|call| memory.add(call.clone()));
                    memory.tags.clone_from(&self.stored.tags);
                    let recalled = Recalled::All(memory);
                    self.engine
                        .handle(self.now, Input::Recalled { ticket, recalled });
                }
                Output::Keep { tags, .. } => self.kept.push(tags),
                Output::Remember(news) => {
                    for ticket in self.memories.note(&news) {
                        let recalled = Recalled::News(news.call.clone());
                        self.engine
                            .handle(self.now, Input::Recalled { ticket, recalled });
                    }
                }
                Output::Fetch { ticket, request } => self.fetches.push((ticket, *request)),
                Output::Deliver { deliveries, .. } => self.deliveries.extend(deliveries),
                Output::Event(event) => self.events.push(event),
                Output::Resolve(wanted) => self.asked.push(wanted),
                Output::Media { id, plan } => self.plans.push((id, *plan)),
                Output::AskMedia(ask) => self.asks.push(*ask),
                Output::Record(record) => self.records.push(*record),
            }
        }
        said
    }

    /// Lets time pass, and gives all that is said meanwhile.
    pub(crate) fn pass(&mut self, time: Duration) -> Vec<Said> {
        let until = self.now + time;
        let mut said = Vec::new();
        while let Some(due) = self.engine.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            said.extend(self.tell(Input::Timeout));
        }
        self.now = until;
        said
    }

    pub(crate) fn pass_millis(&mut self, millis: u64) -> Vec<Said> {
        self.pass(Duration::from_millis(millis))
    }

    /// Lets every timer run out, and gives what the engine still holds: nothing, if all is well.
    pub(crate) fn rest(&mut self) -> Gauges {
        while let Some(due) = self.engine.poll_timeout() {
            self.now = self.now.max(due);
            self.tell(Input::Timeout);
        }
        assert!(self.ledger.taken().is_empty(), "places are still taken");
        self.engine.gauges()
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    pub(crate) fn gauges(&self) -> Gauges {
        self.engine.gauges()
    }

    /// The last record, in short: outcome, status, how each attempt went.
    pub(crate) fn recorded(&self) -> String {
        assert_eq!(self.records.len(), 1, "one record");
        let record = &self.records[0];
        let attempts = record.attempts.iter().map(|one| one.result.label());
        let attempts: Vec<_> = attempts.collect();
        let (outcome, by) = (record.outcome.label(), record.hung_up_by.label());
        format!(
            "{outcome} {} by {by}: {}",
            record.status,
            attempts.join(", ")
        )
    }
}

pub(crate) fn specs(buyers: usize) -> Vec<BuyerSpec> {
    (0..buyers)
        .map(|place| BuyerSpec::new(&format!("c0b{place}"), buyer(place)))
        .collect()
}
