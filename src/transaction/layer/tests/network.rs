//! Two layers over a network that loses, doubles and reorders, in virtual time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Two layers over a network that loses and doubles: whatever happens, each request of the
    /// client ends once, the server's TU hears of each once, and in the end nothing is left.
    #[test]
    fn nothing_is_left_behind_on_a_bad_network(
        seed in any::<[u8; 32]>(),
        loss in 0..50u64,
        requests in prop::collection::vec((any::<bool>(), 0..4u8), 1..20),
    ) {
        let mut network = Network::new(seed, loss);
        for (invite, plan) in requests {
            network.begin(invite, plan);
        }
        network.run();

        prop_assert!(network.client.layer.client_count() == 0);
        prop_assert!(network.client.layer.timer_count() == 0);
        prop_assert!(network.server.layer.server_count() == 0);
        prop_assert!(network.server.layer.timer_count() == 0);
        prop_assert!(network.open.is_empty());
        // A BYE that comes after its timer J is a new one, but none is under way that long.
        prop_assert!(network.accepted <= network.begun);
    }
}

/// A client layer, a server layer, and a network between them.
struct Network {
    client: Edge,
    server: Edge,
    dice: Entropy,
    /// Of 100 packets, how many are lost; as many are doubled.
    loss: u64,
    /// On their way: when they arrive, a serial number, and whether it is the server that they reach.
    packets: BTreeMap<(Instant, u64), (bool, Bytes)>,
    sent: u64,
    /// What the server does with a request, by branch.
    plans: BTreeMap<String, u8>,
    /// The client's requests without an end, and the INVITEs that ring at the server.
    open: BTreeSet<ClientId>,
    ringing: Vec<ServerId>,
    begun: usize,
    accepted: usize,
}

impl Network {
    fn new(seed: [u8; 32], loss: u64) -> Self {
        let client = Edge::new();
        let server = Edge {
            start: client.start,
            now: client.now,
            ..Edge::new()
        };
        Self {
            client,
            server,
            dice: Entropy::from_seed(seed),
            loss,
            packets: Default::default(),
            sent: 0,
            plans: Default::default(),
            open: Default::default(),
            ringing: Vec::new(),
            begun: 0,
            accepted: 0,
        }
    }

    /// Sends a request. What becomes of it, by `plan`: 0 and 1 succeed, 2 fails, 3 rings until it is
    /// cancelled.
    fn begin(&mut self, invite: bool, plan: u8) {
        let id = self.client.layer.prepare(&mut self.client.entropy).unwrap();
        let branch = self.client.layer.branch(id);
        let branch = format!("z9hG4bK{}", String::from_utf8_lossy(&branch));
        let method = if invite { "INVITE" } else { "BYE" };
        let bytes = Bytes::from(request(method, &branch, "198.51.100.1"));
        self.plans.insert(branch, plan);
        self.open.insert(id);
        self.begun += 1;
        let (now, flow) = (self.client.now, self.client.flow);
        let (layer, out) = (&mut self.client.layer, &mut self.client.out);
        if invite {
            layer.send_invite(now, id, flow, bytes, "tx", out);
            if plan == 3 {
                layer.cancel(now, id, "tx", out);
            }
        } else {
            layer.send_request(now, id, flow, bytes, "tx", out);
        }
        self.carry();
    }

    /// Lets packets arrive and timers fire until nothing more happens.
    fn run(&mut self) {
        loop {
            let arrival = self.packets.first_key_value().map(|((at, _), _)| *at);
            let next = [
                arrival,
                self.client.layer.poll_timeout(),
                self.server.layer.poll_timeout(),
            ]
            .into_iter()
            .flatten()
            .min();
            let Some(next) = next else {
                if !self.lose_patience() {
                    return;
                }
                continue;
            };
            let now = next.max(self.client.now);
            self.client.now = now;
            self.server.now = now;
            if arrival == Some(next) {
                let ((_, _), (to_server, bytes)) = self.packets.pop_first().unwrap();
                if to_server {
                    self.serve(&bytes);
                } else {
                    self.hear(&bytes);
                }
            } else {
                self.client.layer.handle_timeout(now, &mut self.client.out);
                self.server.layer.handle_timeout(now, &mut self.server.out);
            }
            self.carry();
        }
    }

    /// Both TUs give up what has no final response, as transactions wait for it without a timer;
    /// `false` if there is nothing of the kind.
    fn lose_patience(&mut self) -> bool {
        let ringing = std::mem::take(&mut self.ringing);
        for id in &ringing {
            self.server.layer.respond(
                self.server.now,
                *id,
                480,
                response(480),
                &mut self.server.out,
            );
        }
        for id in &self.open {
            self.client
                .layer
                .cancel(self.client.now, *id, "tx", &mut self.client.out);
        }
        self.carry();
        !ringing.is_empty() || !self.open.is_empty()
    }

    /// Notes that a request of the client has its end: its first.
    fn end(open: &mut BTreeSet<ClientId>, id: ClientId) {
        assert!(open.remove(&id), "a second end");
    }

    /// The server's TU.
    fn serve(&mut self, bytes: &[u8]) {
        let Ok(Message::Request(request)) = message::parse(bytes) else {
            panic!("{}", String::from_utf8_lossy(bytes));
        };
        let branch = String::from_utf8_lossy(request.essentials().unwrap().via.branch().unwrap())
            .into_owned();
        let method = request.method.label();
        let incoming = self.server.layer_receive(&String::from_utf8_lossy(bytes));
        let answer = |server: &mut Edge, id, method: &str, status: u16| {
            let bytes = Bytes::from(answer_text(&branch, method, status, "b"));
            let (now, out) = (server.now, &mut server.out);
            server.layer.respond(now, id, status, bytes, out);
        };
        match incoming {
            Incoming::New(key) => {
                self.accepted += 1;
                let id = self.server.accept(key, method == "INVITE", "tx").unwrap();
                if method == "INVITE" {
                    answer(&mut self.server, id, method, 100);
                }
                match self.plans.get(&branch) {
                    Some(0 | 1) => answer(&mut self.server, id, method, 200),
                    Some(2) => answer(&mut self.server, id, method, 486),
                    Some(_) if method == "INVITE" => {
                        answer(&mut self.server, id, method, 180);
                        self.ringing.push(id);
                    }
                    Some(_) => answer(&mut self.server, id, method, 500),
                    None => panic!("{branch}"),
                }
            }
            Incoming::Cancel { key, invite } => {
                let id = self.server.accept(key, false, "cancel").unwrap();
                let status = if invite.is_some() { 200 } else { 481 };
                answer(&mut self.server, id, "CANCEL", status);
                if let Some((invite, _)) = invite {
                    answer(&mut self.server, invite, "INVITE", 487);
                }
            }
            Incoming::Absorbed | Incoming::Ack => {}
        }
    }

    /// The client's TU.
    fn hear(&mut self, bytes: &[u8]) {
        let Ok(Message::Response(response)) = message::parse(bytes) else {
            panic!("{}", String::from_utf8_lossy(bytes));
        };
        match self.client.receive_response(bytes) {
            Answer::Up { id, .. } if response.status >= 200 => Self::end(&mut self.open, id),
            Answer::Up { .. } | Answer::Absorbed | Answer::Stray => {}
            Answer::Elsewhere(shard) => panic!("{shard:?}"),
        }
    }

    /// Puts what both sides sent on the network.
    fn carry(&mut self) {
        for to_server in [true, false] {
            let side = if to_server {
                &mut self.client
            } else {
                &mut self.server
            };
            for effect in side.out.drain(..) {
                match effect {
                    Effect::Transmit { bytes, .. } => {
                        let copies = match self.dice.next_u64() % 100 {
                            roll if roll < self.loss => 0,
                            roll if roll < self.loss * 2 => 2,
                            _ => 1,
                        };
                        for _ in 0..copies {
                            self.sent += 1;
                            let delay = Duration::from_micros(self.dice.next_u64() % 300_000);
                            let arrival = (side.now + delay, self.sent);
                            self.packets.insert(arrival, (to_server, bytes.clone()));
                        }
                    }
                    Effect::TimedOut { id, .. } | Effect::Failed { id, .. } => {
                        Self::end(&mut self.open, id);
                    }
                    Effect::NoAck { .. } | Effect::Settled { .. } => {}
                }
            }
        }
    }
}
