//! The world of one run: the edge, the user agents, the network between them, and a clock that jumps from
//! one event to the next.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use strowger::call::Engine;
use strowger::call::input::{Input, Which};
use strowger::call::output::{Event, Gauges, Output};
use strowger::call::places;
use strowger::call::places::{Claimant, Ticket};
use strowger::call::policy::Policy;
use strowger::call::record::Record;
use strowger::media::ng::ask::{Ask, Failure, Told};
use strowger::sip::flow::{Flow, ListenerId, PeerId, Transport};
use strowger::types::ids::{CallUuid, ShardId};

use super::dice::Dice;
use super::distant::Distant;
use strowger::routing::book::Full;
use strowger::routing::caps::CapKind;

use super::ledger::Ledger;
use super::phone::{Act, Phone, Turn};
use super::policy::{STRANGER, addr};
use super::scenario::{Incident, Scenario};
use super::tally::Tally;
use super::text::Msg;
use super::watch::Watch;

/// What is on its way, or going to happen.
enum Parcel {
    ToEdge {
        from: SocketAddr,
        bytes: Bytes,
    },
    ToPhone {
        to: SocketAddr,
        message: Arc<Msg>,
    },
    /// The network says that nobody is there.
    Failed(SocketAddr),
    /// Whoever counts places answers.
    Reserved(Ticket, places::Verdict),
    /// rtpengine is asked, and the answer is on its way back; or no answer is.
    Asked(Box<Ask>, Option<Failure>),
    Told(Box<Told>),
    /// A call's media ends there.
    Ended(Box<Record>),
    Incident(Incident),
}

/// One run under way.
pub(crate) struct World {
    scenario: Scenario,
    start: Instant,
    now: Instant,
    dice: Dice,
    engine: Engine,
    phones: Vec<Phone>,
    /// When each phone next wants the time.
    due: Vec<Option<Instant>>,
    by_tag: HashMap<String, usize>,
    /// Buyers by the user in their URI, and where they are.
    by_name: HashMap<(String, SocketAddr), usize>,
    unreachable: HashSet<SocketAddr>,
    parcels: BTreeMap<(Instant, u64), Parcel>,
    serial: u64,
    watch: Watch,
    last_started: Option<CallUuid>,
    /// The last message of a user agent, to be damaged.
    last_heard: Bytes,
    acts: Vec<Act>,
    ledger: Ledger,
    distant: Distant,
    /// No gateway is asked any more how it is.
    is_calm: bool,
    /// All that went by, if it is to be shown.
    trace: Option<Vec<String>>,
    steps: u32,
}

/// How a run went.
pub(crate) struct Verdict {
    pub(crate) faults: Vec<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) tally: Tally,
}

impl World {
    pub(crate) fn new(seed: u64, start: Instant, is_traced: bool) -> Self {
        let scenario = Scenario::draw(seed);
        let mut dice = Dice::new(seed.wrapping_mul(3).wrapping_add(1));
        let mut entropy = [0; 32];
        entropy.fill_with(|| u8::try_from(dice.below(256)).expect("a byte"));
        let policy = scenario.policy().build();
        let mut world = Self {
            start,
            now: start,
            engine: Engine::new(ShardId(0), entropy, start, policy),
            dice,
            phones: Vec::new(),
            due: Vec::new(),
            by_tag: HashMap::new(),
            by_name: HashMap::new(),
            unreachable: HashSet::new(),
            parcels: BTreeMap::new(),
            serial: 0,
            watch: Watch::new(&scenario),
            last_started: None,
            last_heard: Bytes::new(),
            acts: Vec::new(),
            ledger: Ledger::default(),
            distant: Distant::default(),
            is_calm: false,
            trace: is_traced.then(Vec::new),
            steps: 0,
            scenario,
        };
        world.people();
        world
    }

    /// Puts everybody and everything in place.
    fn people(&mut self) {
        let (start, scenario) = (self.start, self.scenario.clone());
        for (place, call) in scenario.calls.into_iter().enumerate() {
            let mut caller = Phone::caller(place, call.from, &call.uri, call.caller);
            caller.begin(start + call.at);
            self.join(caller);
            for buyer in call.buyers {
                if buyer.is_unreachable {
                    self.unreachable.insert(buyer.spec.address);
                }
                for (at, (address, plan)) in buyer.gateways().enumerate() {
                    let user = &buyer.spec.name;
                    let name = match at {
                        0 => user.clone(),
                        _ => format!("{user}g{at}"),
                    };
                    let called = (user.clone(), address);
                    self.by_name.insert(called, self.phones.len());
                    self.join(Phone::buyer(name, place, address, plan.clone()));
                }
            }
        }
        for (after, incident) in scenario.incidents {
            self.post(after, Parcel::Incident(incident));
        }
    }

    fn join(&mut self, phone: Phone) {
        self.by_tag.insert(phone.tag.clone(), self.phones.len());
        self.due.push(phone.poll_timeout());
        self.phones.push(phone);
    }

    /// Runs until nothing is left to happen, or something went wrong.
    pub(crate) fn run(mut self) -> Verdict {
        while !self.watch.is_faulty() && self.step() {
            self.steps += 1;
            if self.steps > MOST_STEPS || self.now > self.start + LONGEST {
                self.watch.fault("it does not come to an end".to_owned());
            }
        }
        if !self.watch.is_faulty() {
            self.finish();
        }
        let (faults, tally) = self.watch.into_parts();
        Verdict {
            faults,
            tally,
            trace: self.trace.unwrap_or_default(),
        }
    }

    /// Lets the next thing happen; `false` if there is none.
    fn step(&mut self) -> bool {
        let parcel = self.parcels.first_key_value().map(|((at, _), _)| *at);
        let phone = self.due.iter().flatten().min().copied();
        if parcel.is_none() && phone.is_none() && !self.is_calm && self.is_idle() {
            // Gateways would be asked for ever.
            self.is_calm = true;
            self.reload(3);
        }
        let edge = self.engine.poll_timeout();
        let Some(next) = [parcel, edge, phone].into_iter().flatten().min() else {
            return false;
        };
        self.now = self.now.max(next);
        if parcel == Some(next) {
            if let Some((_, parcel)) = self.parcels.pop_first() {
                self.deliver(parcel);
            }
        } else if phone == Some(next) {
            for at in 0..self.phones.len() {
                if self.due[at].is_some_and(|due| due <= next) {
                    self.with_phone(at, |phone, turn| phone.handle_timeout(turn));
                }
            }
        } else {
            self.tell_edge(Input::Timeout);
        }
        true
    }

    fn deliver(&mut self, parcel: Parcel) {
        match parcel {
            Parcel::ToEdge { from, bytes } => {
                self.watch.heard(self.now, from, &bytes);
                let flow = flow(from);
                self.note(|| format!("{from} -> {}", first_line(&bytes)));
                self.tell_edge(Input::Datagram {
                    flow,
                    bytes: &bytes,
                });
            }
            Parcel::ToPhone { to, message } => {
                self.note(|| format!("        {to} got {}", message.summary()));
                if let Some(at) = self.phone_of(to, &message) {
                    self.with_phone(at, |phone, turn| phone.handle(turn, &message));
                }
            }
            Parcel::Failed(address) => {
                self.note(|| format!("{address} is unreachable"));
                self.watch.unreachable(address);
                let flow = flow(address);
                self.tell_edge(Input::TransportFailed { flow });
            }
            Parcel::Reserved(ticket, verdict) => {
                self.note(|| format!("    {ticket:?} {verdict:?}"));
                self.tell_edge(Input::Reserved { ticket, verdict });
            }
            Parcel::Asked(ask, failure) => {
                let told = self.distant.answer(&ask);
                let told = match failure {
                    Some(failure) => Distant::silence(&ask, failure),
                    None => told,
                };
                let after = self.dice.millis(0, 20);
                self.post(after, Parcel::Told(Box::new(told)));
            }
            Parcel::Told(told) => {
                self.note(|| format!("    rtpengine {:?} {:?}", told.ticket, told.result.is_ok()));
                self.tell_edge(Input::MediaTold(*told));
            }
            Parcel::Ended(record) => self.distant.end(&record),
            Parcel::Incident(incident) => self.happen(incident),
        }
    }

    /// rtpengine answers, mostly; or it is asked, but its answer is lost, or nobody knows what became of it.
    fn ask(&mut self, ask: Box<Ask>) {
        self.note(|| format!("    asks {:?} {:?}", ask.ticket, ask.request));
        let (least, most) = self
            .dice
            .pick(&[(0, 0), (0, 5), (0, 5), (0, 400), (500, 1500)]);
        let after = self.dice.millis(least, most);
        let fate = self.dice.below(100);
        if ask.ticket.round > 0 && fate < 2 {
            return;
        }
        let failure = (ask.ticket.round > 0 && fate < 5).then_some(Failure::Silent);
        self.post(after, Parcel::Asked(ask, failure));
    }

    fn happen(&mut self, incident: Incident) {
        self.note(|| format!("{incident:?}"));
        match incident {
            Incident::HangupAll => {
                self.watch.is_stopped = true;
                self.tell_edge(Input::Hangup(Which::All));
            }
            Incident::HangupLast => {
                if let Some(uuid) = self.last_started {
                    self.watch.is_stopped = true;
                    self.tell_edge(Input::Hangup(Which::One(uuid)));
                }
            }
            Incident::Unplugged(address) => {
                self.unreachable.insert(address);
                self.watch.unreachable(address);
                for at in 0..self.phones.len() {
                    if self.phones[at].addr == address {
                        self.phones[at].has_vanished = true;
                        self.due[at] = None;
                    }
                }
            }
            Incident::Drain(is_on) => self.tell_edge(Input::Drain(is_on)),
            Incident::Reload => self.reload(2),
            Incident::Junk => {
                let length = usize::try_from(self.dice.below(600)).expect("small");
                let mut bytes = vec![0; length];
                bytes.fill_with(|| u8::try_from(self.dice.below(256)).expect("a byte"));
                self.disturb(bytes);
            }
            Incident::Damaged => {
                let text = String::from_utf8_lossy(&self.last_heard);
                // Neither the dialog nor the transaction may be hit by it.
                let mut bytes = text
                    .replace("z9hG4bK", "z9hG4bKdamaged")
                    .replace("Call-ID: ", "Call-ID: damaged")
                    .replace("\r\ni: ", "\r\ni: damaged")
                    // Whoever overhears credentials first may use them (RFC 7616 §5.5).
                    .replace("uthorization: ", "uthorized: ")
                    .into_bytes();
                for _ in 0..self.dice.below(4) {
                    let place = self.dice.below(bytes.len() as u64);
                    if let Some(byte) = bytes.get_mut(usize::try_from(place).expect("small")) {
                        *byte = u8::try_from(self.dice.below(256)).expect("a byte");
                    }
                }
                self.disturb(bytes);
            }
        }
    }

    /// The same policy again; without questions to gateways when all is over.
    fn reload(&mut self, generation: u64) {
        let mut spec = self.scenario.policy();
        spec.generation = generation;
        if self.is_calm {
            let buyers = spec.lines.iter_mut().flatten();
            buyers.for_each(|buyer| buyer.probe = None);
        }
        let policy: Arc<Policy> = spec.build();
        self.tell_edge(Input::Policy(policy));
    }

    /// Whether no call is left.
    fn is_idle(&self) -> bool {
        let Gauges {
            calls_ringing,
            calls_waiting,
            calls_talking,
            calls_ending,
            ..
        } = self.engine.gauges();
        calls_ringing + calls_waiting + calls_talking + calls_ending == 0
    }

    /// What a gateway says to OPTIONS, if it says anything.
    fn answer_probe(&mut self, from: SocketAddr, asked: &Msg) {
        let is_there = self
            .phones
            .iter()
            .any(|phone| phone.addr == from && !phone.has_vanished);
        if is_there && self.dice.chance(85) {
            let status = self.dice.pick(&[200, 200, 404, 503]);
            let bytes = asked.reply(status, "probe").bytes();
            self.carry(|| Parcel::ToEdge {
                from,
                bytes: bytes.clone(),
            });
        }
    }

    fn disturb(&mut self, bytes: Vec<u8>) {
        let flow = flow(addr(STRANGER));
        self.note(|| format!("a stranger says {}", first_line(&bytes)));
        self.tell_edge(Input::Datagram {
            flow,
            bytes: &bytes,
        });
    }

    /// One turn of the edge: an input, and all that it makes of it.
    fn tell_edge(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { flow, bytes } => self.transmit(flow, bytes),
                // A tag that was damaged may name another shard.
                Output::Forward { flow, .. } if flow.remote == addr(STRANGER) => {}
                Output::Forward { shard, .. } => {
                    self.watch.fault(format!("a datagram for shard {shard:?}"));
                }
                Output::Probed { .. } | Output::Posted { .. } | Output::Abroad(..) => {}
                Output::Reserve {
                    ticket, claimant, ..
                } => {
                    let mut verdict = self.ledger.reserve(self.now, ticket, &claimant);
                    // Calls of others, which are not seen here.
                    let is_buyer = matches!(claimant, Claimant::Buyer(..));
                    if is_buyer && verdict == places::Verdict::Granted && self.dice.chance(20) {
                        let _ = self.ledger.release(ticket);
                        verdict = places::Verdict::Full(Full {
                            party: claimant.party(),
                            kind: CapKind::Concurrency,
                            have: 1,
                            cap: 1,
                        });
                    }
                    if let Some((least, most)) = self.scenario.counting {
                        let after = self.dice.millis(least, most);
                        self.post(after, Parcel::Reserved(ticket, verdict));
                        continue;
                    }
                    let answer = Input::Reserved { ticket, verdict };
                    self.engine.handle(self.now, answer);
                }
                Output::Commit { ticket, what, .. } => self.ledger.commit(ticket, what),
                Output::Release(ticket) => {
                    if !self.ledger.release(ticket) {
                        self.watch.fault(format!("{ticket:?} given back twice"));
                    }
                }
                Output::Keep { .. } => self.watch.fault("nobody has webhooks here".to_owned()),
                Output::Recall { .. } | Output::Remember(_) => {
                    self.watch.fault("nobody asks for earlier calls".to_owned());
                }
                Output::Fetch { .. } | Output::Deliver { .. } => {
                    self.watch.fault("nobody has webhooks here".to_owned());
                }
                Output::Event(event) => {
                    if let Event::Started { uuid, .. } = &event {
                        self.last_started = Some(*uuid);
                    }
                    self.watch.event(&event);
                }
                Output::Resolve(wanted) => panic!("nobody is known by name here: {wanted:?}"),
                Output::Media { id, plan } => self.watch.plan(id, &plan),
                Output::AskMedia(ask) => self.ask(ask),
                Output::Record(record) => {
                    self.note(|| format!("    record {:?} {}", record.outcome, record.status));
                    self.watch.record(self.now, &record);
                    // Behind all that it was asked before.
                    self.post(Duration::from_secs(2), Parcel::Ended(record));
                }
            }
        }
        self.watch.check_turn();
    }

    fn transmit(&mut self, flow: Flow, bytes: Bytes) {
        let to = flow.remote;
        let message = Arc::new(Msg::parse(&bytes));
        self.note(|| format!("    -> {to} {}", first_line(&bytes)));
        if to == addr(STRANGER) {
            return;
        }
        self.watch.said(self.now, to, &message, bytes);
        if self.unreachable.contains(&to) {
            let after = self.dice.millis(1, 30);
            self.post(after, Parcel::Failed(to));
            return;
        }
        if message.is_request() && message.method() == "OPTIONS" && message.tag_in_to().is_none() {
            self.answer_probe(to, &message);
            return;
        }
        self.carry(|| Parcel::ToPhone {
            to,
            message: message.clone(),
        });
    }

    /// The user agent that a message of the edge's is for.
    fn phone_of(&mut self, to: SocketAddr, message: &Msg) -> Option<usize> {
        let found = if message.is_request() {
            match message.tag_in_to() {
                Some(tag) => self.by_tag.get(tag),
                None => {
                    let user = message.uri().split([':', '@']).nth(1).unwrap_or_default();
                    self.by_name.get(&(user.to_owned(), to))
                }
            }
        } else {
            self.by_tag.get(message.tag_in_from())
        };
        match found.copied() {
            Some(at) if self.phones[at].addr == to => Some(at),
            Some(_) | None => {
                self.watch
                    .fault(format!("{} for nobody at {to}", message.summary()));
                None
            }
        }
    }

    fn with_phone(&mut self, at: usize, what: impl FnOnce(&mut Phone, &mut Turn<'_>)) {
        let mut acts = std::mem::take(&mut self.acts);
        let mut turn = Turn {
            now: self.now,
            dice: &mut self.dice,
            out: &mut acts,
        };
        let phone = &mut self.phones[at];
        what(phone, &mut turn);
        self.due[at] = phone.poll_timeout();
        let from = phone.addr;
        for fault in phone.faults.drain(..) {
            self.watch.fault(fault);
        }
        for act in acts.drain(..) {
            match act {
                Act::Send(bytes) => {
                    self.last_heard = bytes.clone();
                    self.carry(|| Parcel::ToEdge {
                        from,
                        bytes: bytes.clone(),
                    });
                }
                Act::Fork(twin) => self.join(*twin),
            }
        }
        self.acts = acts;
    }

    /// Hands a datagram to the network, which may lose it, double it or hold it up.
    fn carry(&mut self, parcel: impl Fn() -> Parcel) {
        let network = self.scenario.network.clone();
        let copies = 1 + u32::from(self.dice.chance(network.twice));
        for _ in 0..copies {
            if self.dice.chance(network.loss) {
                continue;
            }
            let (from, to) = network.delay;
            let mut after = self.dice.millis(from, to);
            if self.dice.chance(network.late) {
                after += self.dice.millis(0, 700);
            }
            self.post(after, parcel());
        }
    }

    fn post(&mut self, after: Duration, parcel: Parcel) {
        self.serial += 1;
        self.parcels.insert((self.now + after, self.serial), parcel);
    }

    /// All has run out: nothing may be left anywhere.
    fn finish(&mut self) {
        let mut gauges = self.engine.gauges();
        // Ports that are free, or rest, are nobody's.
        gauges.media_ports.free = 0;
        gauges.media_ports.resting = 0;
        // Clashes are counted for ever.
        gauges.media_shared.clashes = 0;
        gauges.media_shared.none = 0;
        if gauges != Gauges::default() {
            self.watch
                .fault(format!("something is left behind: {gauges:?}"));
        }
        if !self.ledger.taken().is_empty() {
            let taken = format!("places are still taken: {:?}", self.ledger.taken());
            self.watch.fault(taken);
        }
        for phone in &self.phones {
            self.watch.check_phone(phone);
        }
        if self.watch.relay.left() > 0 {
            self.watch
                .fault("the relay works for calls that are over".to_owned());
        }
        for call in self.distant.left() {
            self.watch.fault(format!("rtpengine still has {call}"));
        }
        for fault in &self.distant.faults {
            self.watch.fault(format!("rtpengine: {fault}"));
        }
        self.watch.check_end();
    }

    fn note(&mut self, text: impl FnOnce() -> String) {
        let at = self.now - self.start;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:9.3} {}", at.as_secs_f64(), text()));
        }
    }
}

pub(crate) fn flow(remote: SocketAddr) -> Flow {
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        remote,
        peer: PeerId::NOBODY,
    }
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.replace(|c: char| c.is_control() && !"\r\n".contains(c), "?");
    let line = text.lines().next().unwrap_or_default();
    let cseq = text.lines().find(|line| line.starts_with("CSeq"));
    let branch = text.split("branch=z9hG4bK").nth(1).unwrap_or_default();
    let tail: String = branch
        .chars()
        .take_while(|c| !";\r\n".contains(*c))
        .collect();
    let tail = &tail[tail.len().saturating_sub(8)..];
    format!("{line} [{} {tail}]", cseq.unwrap_or_default())
}

/// More than any run needs.
const MOST_STEPS: u32 = 50_000;
const LONGEST: Duration = Duration::from_secs(3 * 3600);
