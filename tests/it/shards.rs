//! Two shards side by side: what the kernel gives to the one and the other owns.

use std::sync::Arc;
use std::time::{Duration, Instant};

use strowger::call::Engine;
use strowger::call::input::Input;
use strowger::call::output::{Event, Output};
use strowger::call::policy::Policy;
use strowger::routing::campaign::{Signal, Waiting};
use strowger::types::ids::ShardId;

use crate::sim::desk::{
    ANSWER, Said, ack_of_failure, answer, buyer, buyer_request, caller_request, cancel, find,
    invite, invite_to, ladder, specs,
};
use crate::sim::digest;
use crate::sim::policy::{BuyerSpec, CARRIER, PASSWORD, PolicySpec, ROAMER, USER, addr, number};
use crate::sim::seeds::epoch;
use crate::sim::text::Msg;
use crate::sim::world::flow;

#[test]
fn an_invite_goes_to_the_shard_of_its_nonce_and_its_cancel_after_it() {
    let mut pair = Pair::new();
    let invite = pair.challenged(0);

    let said = pair.say(1, ROAMER, &invite);
    let offered = find(&said, "b0 INVITE");
    assert_eq!(ladder(&said), ["roamer 100 INVITE", "b0 INVITE"]);
    assert_eq!(pair.forwards, 1);
    // A caller may have enough when it has rung for long.
    pair.say(0, BUYER, &offered.reply(180, "bob"));
    pair.pass(Duration::from_secs(100));
    let said = pair.say(1, ROAMER, &cancel(&invite));

    assert_eq!(
        ladder(&said),
        ["roamer 200 CANCEL", "b0 CANCEL", "roamer 487 INVITE"]
    );
}

#[test]
fn the_cancel_of_a_call_that_has_waited_for_long_goes_after_its_invite() {
    let mut buyers = specs(2);
    for buyer in &mut buyers {
        buyer.ring = Duration::from_secs(200);
    }
    let mut pair = Pair::of(buyers, |policy| {
        let campaign = Arc::get_mut(&mut policy.directory.campaigns[0]);
        let campaign = campaign.expect("nobody else has it");
        campaign.waiting = Some(Waiting {
            time: Duration::from_secs(600),
            most: 2,
            signal: Signal::Queued,
        });
    });
    let invite = pair.challenged(0);
    let said = pair.say(1, ROAMER, &invite);
    let first = find(&said, "b0 INVITE");
    let said = pair.say(0, BUYER, &first.reply(486, "bob"));
    let second = find(&said, "b1 INVITE");
    let other = &buyer(1).to_string();
    let said = pair.say(0, other, &second.reply(486, "eve"));
    assert_eq!(ladder(&said), ["b1 ACK", "roamer 182 INVITE"]);
    // Others are handed on meanwhile, and what is old is forgotten.
    pair.pass(Duration::from_secs(500));
    let another = pair.challenged_as(0, "another");
    pair.say(1, ROAMER, &another);

    let said = pair.say(1, ROAMER, &cancel(&invite));

    assert_eq!(ladder(&said), ["roamer 200 CANCEL", "roamer 487 INVITE"]);
}

#[test]
fn the_ack_of_a_failure_and_a_repeated_invite_go_where_the_invite_went() {
    let mut pair = Pair::new();
    let invite = pair.challenged(0);
    let said = pair.say(1, ROAMER, &invite);
    let offered = find(&said, "b0 INVITE");

    let repeated = pair.say(1, ROAMER, &invite);
    let said = pair.say(0, BUYER, &offered.reply(486, "bob"));
    let failure = find(&said, "roamer 486 INVITE");
    pair.say(1, ROAMER, &ack_of_failure(&invite, &failure));

    assert_eq!(ladder(&repeated), ["roamer 100 INVITE"]);
    let again = pair.pass(Duration::from_secs(20));
    assert_eq!(ladder(&again), [""; 0], "the ACK got there");
}

#[test]
fn the_cancel_of_a_reinvite_goes_to_the_owner_of_the_dialog() {
    let mut pair = Pair::new();
    let invite = invite();
    let offered = find(&pair.say(0, CARRIER, &invite), "b0 INVITE");
    let said = pair.say(0, BUYER, &answer(&offered, 200, "bob").with_sdp(ANSWER));
    let ok = find(&said, "carrier 200 INVITE");
    pair.say(0, CARRIER, &caller_request("ACK", 1, &invite, &ok));
    let reinvite = buyer_request("INVITE", 7, &offered, "bob").with_sdp(ANSWER);

    let said = pair.say(1, BUYER, &reinvite);
    let asked = find(&said, "carrier INVITE");
    pair.say(1, CARRIER, &asked.reply(180, "ann"));
    let said = pair.say(1, BUYER, &cancel(&reinvite));

    assert_eq!(ladder(&said), ["b0 200 CANCEL", "carrier CANCEL"]);
}

#[test]
fn a_request_that_changes_hands_is_counted_once() {
    let mut pair = Pair::new();
    let invite = pair.challenged(0);
    pair.requests.clear();

    pair.say(1, ROAMER, &invite);
    pair.say(1, ROAMER, &cancel(&invite));

    assert_eq!(pair.forwards, 2);
    assert_eq!(pair.requests, ["INVITE", "CANCEL"]);
}

#[test]
fn the_first_shard_asks_gateways_and_the_others_hear_of_it() {
    let mut buyers = specs(2);
    buyers[0].probe = Some(Duration::from_secs(5));
    let mut pair = Pair::with(buyers);

    // Nobody answers: three in a row, and the third is known to have failed when the fourth is due.
    let asked = pair.pass(Duration::from_secs(20));
    let probes: Vec<_> = asked
        .iter()
        .filter(|one| one.message.method() == "OPTIONS")
        .map(|one| one.message.branch().to_owned())
        .collect();
    assert!(
        probes.iter().all(|branch| branch.starts_with("z9hG4bK00")),
        "shard 0 alone asks: {probes:?}"
    );
    for shard in [0, 1] {
        let call = invite()
            .set("Call-ID", format!("{shard}@carrier.example.net"))
            .set(
                "Via",
                format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{shard}"),
            );
        let said = pair.say(shard, CARRIER, &call);
        assert_eq!(ladder(&said)[1], "b1 INVITE", "shard {shard}");
    }
}

const BUYER: &str = "198.51.100.10:5060";

/// Two engines of one edge, with one buyer.
struct Pair {
    engines: [Engine; 2],
    start: Instant,
    now: Instant,
    forwards: usize,
    /// Methods of the requests counted.
    requests: Vec<&'static str>,
}

impl Pair {
    fn new() -> Self {
        assert_eq!(addr(BUYER), buyer(0));
        let mut buyers = specs(1);
        buyers[0].ring = Duration::from_secs(200);
        Self::with(buyers)
    }

    fn with(buyers: Vec<BuyerSpec>) -> Self {
        Self::of(buyers, |_| {})
    }

    fn of(buyers: Vec<BuyerSpec>, change: impl FnOnce(&mut Policy)) -> Self {
        let start = epoch();
        let spec = PolicySpec {
            lines: vec![buyers],
            ..PolicySpec::default()
        };
        let mut policy = spec.build();
        change(Arc::get_mut(&mut policy).expect("nobody else has it"));
        Self {
            engines: [0, 1].map(|id| Engine::new(ShardId(id), [7; 32], start, policy.clone())),
            start,
            now: start,
            forwards: 0,
            requests: Vec::new(),
        }
    }

    /// An INVITE with credentials for a challenge of `shard`'s.
    fn challenged(&mut self, shard: usize) -> Msg {
        self.challenged_as(shard, "second")
    }

    /// The same for a call of this name.
    fn challenged_as(&mut self, shard: usize, name: &str) -> Msg {
        let uri = format!("sip:{}@digest.example.com", number(0));
        let bare = invite_to(&uri)
            .set("Call-ID", format!("{name}@carrier.example.net"))
            .set(
                "Via",
                format!("SIP/2.0/UDP {ROAMER};branch=z9hG4bK-{name};rport"),
            );
        let refused = find(&self.say(shard, ROAMER, &bare), "roamer 401 INVITE");
        let challenge = refused.value("WWW-Authenticate");
        let credentials = digest::answer(challenge, USER, PASSWORD, "INVITE", &uri, 1);
        bare.set("CSeq", "2 INVITE")
            .set(
                "Via",
                format!("SIP/2.0/UDP {ROAMER};branch=z9hG4bK{name};rport"),
            )
            .with("Authorization", credentials)
    }

    /// Hands a message to the shard that the kernel chose, and on from there.
    fn say(&mut self, shard: usize, from: &str, message: &Msg) -> Vec<Said> {
        let bytes = message.bytes();
        let flow = flow(addr(from));
        self.tell(
            shard,
            Input::Datagram {
                flow,
                bytes: &bytes,
            },
        )
    }

    fn tell(&mut self, shard: usize, input: Input<'_>) -> Vec<Said> {
        self.engines[shard].handle(self.now, input);
        let mut said = Vec::new();
        while let Some(output) = self.engines[shard].poll_output() {
            match output {
                Output::Transmit { flow, bytes } => said.push(Said {
                    at: (self.now - self.start).as_millis(),
                    to: flow.remote,
                    flow,
                    message: Msg::parse(&bytes),
                    bytes,
                }),
                Output::Forward { shard, flow, bytes } => {
                    self.forwards += 1;
                    assert!(self.forwards < 20, "it goes in circles");
                    let bytes = &bytes;
                    said.extend(self.tell(shard.0.into(), Input::Datagram { flow, bytes }));
                }
                Output::Probed {
                    buyer,
                    gateway,
                    is_lost,
                } => {
                    let (buyer, gateway) = (&buyer, &gateway);
                    let input = Input::Probed {
                        buyer,
                        gateway,
                        is_lost,
                    };
                    said.extend(self.tell(1 - shard, input));
                }
                Output::Event(Event::Request { method }) => self.requests.push(method),
                Output::Reserve { .. } | Output::Commit { .. } | Output::Release(_) => {
                    panic!("nobody has a limit")
                }
                Output::Recall { .. } | Output::Remember(_) => panic!("nobody asks"),
                Output::Keep { .. } => panic!("nobody has webhooks"),
                Output::Fetch { .. } | Output::Deliver { .. } => panic!("nobody has webhooks"),
                Output::Media { .. } | Output::AskMedia(_) => panic!("no media is relayed here"),
                Output::Event(_)
                | Output::Record(_)
                | Output::Resolve(_)
                | Output::Posted { .. }
                | Output::Abroad(..) => {}
            }
        }
        said
    }

    fn pass(&mut self, time: Duration) -> Vec<Said> {
        let until = self.now + time;
        let mut said = Vec::new();
        for shard in 0..self.engines.len() {
            self.now = until - time;
            while let Some(due) = self.engines[shard]
                .poll_timeout()
                .filter(|due| *due <= until)
            {
                self.now = self.now.max(due);
                said.extend(self.tell(shard, Input::Timeout));
            }
        }
        self.now = until;
        said
    }
}
