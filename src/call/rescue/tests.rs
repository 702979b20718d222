use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::call::input::Input;
use crate::call::output::{Gauges, Output};
use crate::call::places::Verdict;
use crate::call::policy::Policy;
use crate::config;
use crate::config::Texts;
use crate::sip::flow::{ListenerId, PeerId, Transport};
use crate::types::ids::ShardId;

thread_local! {
    static TRIPWIRE: Cell<Option<&'static str>> = const { Cell::new(None) };
    static RESCUE: Cell<bool> = const { Cell::new(false) };
}

/// Panics at the place that the test has chosen, once.
pub(crate) fn tripwire(place: &'static str) {
    if TRIPWIRE.get() == Some(place) {
        TRIPWIRE.set(None);
        panic!("injected at {place}");
    }
    if place == "rescue" && RESCUE.replace(false) {
        panic!("injected at rescue");
    }
}

/// What is done to the second of three calls so that a handler of each kind runs.
const CASES: &[(&str, &str)] = &[
    ("request", "bye"),
    ("invite", "invite"),
    ("within", "bye"),
    ("ack", "ack"),
    ("cancel", "cancel"),
    ("response", "answer"),
    ("timeout", "wait"),
    ("report", "unreachable"),
    ("reserved", "invite"),
];

#[test]
fn row_42_a_panic_in_any_handler_costs_one_call_and_no_other() {
    for (place, deed) in CASES {
        for fails_twice in [false, true] {
            let mut bench = Bench::new();
            bench.call(1);
            bench.call(3);
            bench.prepare(2, deed);

            TRIPWIRE.set(Some(place));
            RESCUE.set(fails_twice);
            bench.perform(2, deed);

            assert_eq!(TRIPWIRE.get(), None, "{place}: the handler ran");
            assert_eq!(bench.panics, 1, "{place}");
            for other in [1, 3] {
                bench.hang_up(other);
            }
            bench.rest();
            assert_eq!(bench.places, 0, "{place}, {fails_twice}: no place is left");
            let gauges = bench.engine.gauges();
            let calls = gauges.calls_ringing + gauges.calls_talking + gauges.calls_ending;
            assert_eq!(calls, 0, "{place}, {fails_twice}: no call is left");
            if !fails_twice {
                assert_eq!(gauges, Gauges::default(), "{place}");
            }
            assert_eq!(
                bench.completed, 2,
                "{place}, {fails_twice}: the others ended well"
            );
            // And it goes on.
            bench.call(4);
            bench.hang_up(4);
            assert_eq!(bench.completed, 3, "{place}, {fails_twice}");
        }
    }
}

#[test]
fn the_call_that_is_given_up_is_ended_and_recorded_where_that_can_be_done() {
    let mut bench = Bench::new();
    bench.call(2);
    TRIPWIRE.set(Some("within"));

    let said = bench.perform(2, "bye");

    assert_eq!(bench.outcomes, ["internal"]);
    let byes = said.iter().filter(|one| one.starts_with("BYE "));
    assert_eq!(byes.count(), 2, "{said:#?}");
    assert!(
        said.iter().any(|one| one.starts_with("SIP/2.0 500 ")),
        "{said:#?}"
    );
}

#[test]
fn an_invite_that_makes_us_panic_gets_500_and_leaves_nothing() {
    let mut bench = Bench::new();
    TRIPWIRE.set(Some("invite"));

    let said = bench.perform(2, "invite");

    assert!(
        said.iter().any(|one| one.starts_with("SIP/2.0 500 ")),
        "{said:#?}"
    );
    assert_eq!(bench.engine.gauges().server_transactions, 0);
    bench.call(2);
}

const CARRIER: &str = "198.51.100.7:5060";
const BUYER: &str = "203.0.113.20:5060";

/// An engine that is rescued as a shard does it.
struct Bench {
    engine: Engine,
    now: Instant,
    /// The last thing that went to the buyer and to the carrier, by call.
    offered: [String; 5],
    answered: [String; 5],
    panics: usize,
    completed: usize,
    outcomes: Vec<&'static str>,
    /// Places of the trunk and the buyer, both of which have limits, that are taken.
    places: i32,
}

impl Bench {
    fn new() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "some start is needed; no test reads on"
        )]
        let now = Instant::now();
        Self {
            engine: Engine::new(ShardId(0), [7; 32], now, Arc::new(policy())),
            now,
            offered: Default::default(),
            answered: Default::default(),
            panics: 0,
            completed: 0,
            outcomes: Vec::new(),
            places: 0,
        }
    }

    /// What has to be there before the deed.
    fn prepare(&mut self, call: usize, deed: &str) {
        match deed {
            "bye" => self.call(call),
            "ack" => {
                self.perform(call, "invite");
                self.perform(call, "answer");
            }
            "cancel" | "answer" | "wait" | "unreachable" => {
                // What the others' timers have left in the wheel comes up.
                self.now += Duration::from_secs(6);
                self.tell(Input::Timeout, None);
                self.perform(call, "invite");
            }
            _ => {}
        }
    }

    fn call(&mut self, call: usize) {
        for deed in ["invite", "answer", "ack"] {
            self.perform(call, deed);
        }
        assert!(
            self.answered[call].starts_with("SIP/2.0 200 "),
            "{}",
            self.answered[call]
        );
    }

    fn hang_up(&mut self, call: usize) {
        let said = self.perform(call, "bye");
        let bye = said.iter().find(|one| one.starts_with("BYE "));
        let bye = bye.unwrap_or_else(|| panic!("no BYE of {call}: {said:#?}"));
        let ok = reply(bye, "200 OK", "");
        self.say(BUYER, ok.as_bytes());
    }

    fn perform(&mut self, call: usize, deed: &str) -> Vec<String> {
        let uri = "sip:+12125550101@sip.example.com";
        let request = |method: &str, cseq: u32, uri: &str, to: &str| {
            let branch = if method == "CANCEL" { "INVITE" } else { method };
            format!(
                "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{branch}{call}\r\nMax-Forwards: 70\r\n\
                 From: <sip:ann@example.com>;tag=a{call}\r\nTo: {to}\r\nCall-ID: call-{call}\r\nCSeq: {cseq} {method}\r\n\
                 Contact: <sip:ann@{CARRIER}>\r\nContent-Length: 0\r\n\r\n"
            )
        };
        let to = format!("<{uri}>");
        let (answered, offered) = (self.answered[call].clone(), self.offered[call].clone());
        let within = |method, cseq| {
            let contact = header(&answered, "Contact").trim_matches(['<', '>']);
            request(method, cseq, contact, header(&answered, "To"))
        };
        match deed {
            "invite" => self.say(CARRIER, request("INVITE", 1, uri, &to).as_bytes()),
            "answer" => {
                let contact = format!("Contact: <sip:bob@{BUYER}>\r\n");
                self.say(BUYER, reply(&offered, "200 OK", &contact).as_bytes())
            }
            "ack" => self.say(CARRIER, within("ACK", 1).as_bytes()),
            "bye" => self.say(CARRIER, within("BYE", 2).as_bytes()),
            "cancel" => self.say(CARRIER, request("CANCEL", 1, uri, &to).as_bytes()),
            "unreachable" => self.tell(Input::TransportFailed { flow: flow(BUYER) }, None),
            "wait" => {
                self.now += Duration::from_secs(5);
                self.tell(Input::Timeout, None)
            }
            other => panic!("{other}"),
        }
    }

    fn say(&mut self, from: &str, bytes: &[u8]) -> Vec<String> {
        let flow = flow(from);
        self.tell(Input::Datagram { flow, bytes }, Some((flow, bytes)))
    }

    fn tell(&mut self, input: Input<'_>, datagram: Option<(Flow, &[u8])>) -> Vec<String> {
        let (engine, now) = (&mut self.engine, self.now);
        if catch_unwind(AssertUnwindSafe(|| engine.handle(now, input))).is_err()
            && catch_unwind(AssertUnwindSafe(|| engine.rescue(now, datagram))).is_err()
        {
            engine.discard(now);
        }
        let mut said = Vec::new();
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit { bytes, .. } => {
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    let call_id = header(&text, "Call-ID");
                    if let Some(call) = call_id.strip_prefix("call-") {
                        self.answered[call.parse::<usize>().unwrap()].clone_from(&text);
                    } else if text.starts_with("INVITE ") {
                        let call = self.serving(&text).expect("a call that is offered");
                        self.offered[call].clone_from(&text);
                    }
                    said.push(text);
                }
                Output::Probed { .. }
                | Output::Resolve(_)
                | Output::Posted { .. }
                | Output::Abroad(..) => {}
                Output::Reserve { ticket, .. } => {
                    self.places += 1;
                    let verdict = Verdict::Granted;
                    let granted = Input::Reserved { ticket, verdict };
                    said.extend(self.tell(granted, None));
                }
                Output::Commit { .. }
                | Output::Keep { .. }
                | Output::Recall { .. }
                | Output::Remember(_)
                | Output::Fetch { .. }
                | Output::Deliver { .. } => {}
                Output::Release(_) => self.places -= 1,
                Output::Record(record) => {
                    self.outcomes.push(record.outcome.label());
                    self.completed += usize::from(
                        record.outcome == Outcome::Completed
                            || record.outcome == Outcome::CallerHungUp,
                    );
                }
                Output::Event(Event::Panicked) => self.panics += 1,
                Output::Event(_)
                | Output::Media { .. }
                | Output::AskMedia(_)
                | Output::Forward { .. } => {}
            }
        }
        said
    }

    /// The call that an INVITE to the buyer is of: one that was offered before, or is just being served.
    fn serving(&self, invite: &str) -> Option<usize> {
        let call_id = header(invite, "Call-ID");
        let is_again = |call: &usize| header(&self.offered[*call], "Call-ID") == call_id;
        let is_new = |call: &usize| {
            self.answered[*call].starts_with("SIP/2.0 100 ") && self.offered[*call].is_empty()
        };
        (1..5).find(is_again).or_else(|| (1..5).rev().find(is_new))
    }

    fn rest(&mut self) {
        while let Some(due) = self.engine.poll_timeout() {
            self.now = self.now.max(due);
            self.tell(Input::Timeout, None);
        }
    }
}

fn reply(request: &str, status: &str, more: &str) -> String {
    let to = header(request, "To");
    let tag = if to.contains(";tag=") { "" } else { ";tag=bob" };
    format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n{more}Content-Length: 0\r\n\r\n",
        header(request, "Via"),
        header(request, "From"),
        header(request, "Call-ID"),
        header(request, "CSeq"),
    )
}

fn header<'m>(message: &'m str, name: &str) -> &'m str {
    let mut lines = message.lines();
    lines
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_default()
}

fn policy() -> Policy {
    let text = include_str!("../../../conf/minimal.toml")
        .replace("[[trunk]]", "[[trunk]]\nmax_calls = 9")
        .replace("[[buyer]]", "[[buyer]]\nmax_calls = 9");
    let source = Texts::of("minimal.toml", text);
    let settings = config::load(Path::new("minimal.toml"), &source, 1);
    settings.map(|settings| settings.policy).unwrap()
}

fn flow(remote: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        remote: remote.parse().unwrap(),
        peer: PeerId::NOBODY,
    }
}
