//! Tests of the layer: real messages in, whole lists of effects out, time that jumps.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::*;
use crate::sip::flow::Transport::{Tls, Udp};
use crate::sip::message::{self, Message};
use crate::transaction::tests::{flow, origin};

mod network;

// Server side.

#[test]
fn a_repeated_invite_gets_what_the_tu_answered_last() {
    let mut edge = Edge::new();
    let invite = request("INVITE", "z9hG4bKa", "192.0.2.1");

    let (incoming, told) = edge.receive(&invite);
    let Incoming::New(key) = incoming else {
        panic!("{incoming:?}");
    };
    assert_eq!(told, [""; 0]);
    let id = edge.accept(key, true, "A leg").unwrap();
    assert_eq!(edge.respond(id, 100), ["100"]);
    assert_eq!(edge.receive(&invite), absorbed(&["100 again"]));
    assert_eq!(edge.respond(id, 180), ["180"]);
    assert_eq!(edge.receive(&invite), absorbed(&["180 again"]));
    assert_eq!(edge.respond(id, 200), ["200"]);
    assert_eq!(edge.receive(&invite), absorbed(&[]));
    assert_eq!(edge.respond(id, 200), ["200 again"]);
    assert_eq!(edge.layer.server_count(), 1);

    assert_eq!(edge.run(), []);
    assert_eq!(edge.elapsed(), 32_000);
    edge.assert_empty();
}

#[test]
fn the_ack_of_a_2xx_is_for_the_tu() {
    let mut edge = Edge::new();
    let id = edge.accepted("INVITE", "z9hG4bKa");
    edge.respond(id, 200);

    let own_branch = request("ACK", "z9hG4bKb", "192.0.2.1");
    let same_branch = request("ACK", "z9hG4bKa", "192.0.2.1");

    assert_eq!(edge.receive(&own_branch), (Incoming::Ack, vec![]));
    assert_eq!(edge.receive(&same_branch), (Incoming::Ack, vec![]));
}

#[test]
fn the_ack_of_a_busy_stops_it_even_if_a_nat_changed_the_sent_by() {
    let mut edge = Edge::new();
    let id = edge.accepted("INVITE", "z9hG4bKa");
    edge.respond(id, 486);

    let ack = request("ACK", "z9hG4bKa", "203.0.113.9:61000");

    assert_eq!(edge.receive(&ack), absorbed(&[]));
    assert_eq!(edge.receive(&ack), absorbed(&[]));
    assert_eq!(edge.run(), []);
    assert_eq!(edge.elapsed(), 5_000);
    edge.assert_empty();
}

#[test]
fn a_busy_that_nobody_acknowledges_ends_by_timer_h() {
    let mut edge = Edge::new();
    let id = edge.accepted("INVITE", "z9hG4bKa");
    edge.respond(id, 486);

    let fired = edge.run();

    assert_eq!(fired.len(), 11);
    assert_eq!(fired[0], (500, "486 again".to_owned()));
    assert_eq!(fired[9], (31_500, "486 again".to_owned()));
    assert_eq!(fired[10], (32_000, "no ACK for tx".to_owned()));
    edge.assert_empty();
}

#[test]
fn an_invite_that_is_watched_is_settled_once_by_its_2xx_its_ack_or_timer_h() {
    for (status, ack, wanted) in [
        (200, None, vec!["200", "settled"]),
        (486, Some("z9hG4bKa"), vec!["486", "settled"]),
        (486, Some("z9hG4bKb"), vec!["486"]),
    ] {
        let mut edge = Edge::new();
        let id = edge.accepted("INVITE", "z9hG4bKa");
        edge.layer.watch(id);

        let mut told = edge.respond(id, 180);
        told.extend(edge.respond(id, status));
        if let Some(branch) = ack {
            told.extend(edge.receive(&request("ACK", branch, "192.0.2.1")).1);
        }

        assert_eq!(told[1..], wanted);
        let late = edge.run();
        let settled = late.iter().filter(|(_, what)| what == "settled").count();
        assert_eq!(settled, usize::from(wanted.len() == 1), "{late:?}");
        edge.assert_empty();
    }
}

#[test]
fn a_request_that_was_forgotten_is_new_again() {
    let mut edge = Edge::new();
    let id = edge.accepted("INFO", "z9hG4bKa");

    edge.layer.forget(id);

    assert_eq!(edge.layer.server_count(), 0);
    assert_eq!(edge.respond(id, 200), [""; 0]);
    let (incoming, _) = edge.receive(&request("INFO", "z9hG4bKa", "192.0.2.1"));
    assert!(matches!(incoming, Incoming::New(_)));
}

#[test]
fn a_cancel_finds_its_invite_and_is_a_transaction_of_its_own() {
    let mut edge = Edge::new();
    let invite = edge.accepted("INVITE", "z9hG4bKa");
    edge.layer.set_server_owner(invite, "A leg");
    let cancel = request("CANCEL", "z9hG4bKa", "203.0.113.9:61000");

    let (incoming, told) = edge.receive(&cancel);

    assert_eq!(told, [""; 0]);
    let Incoming::Cancel { key, invite: found } = incoming else {
        panic!("{incoming:?}");
    };
    assert_eq!(found, Some((invite, "A leg")));
    let id = edge.accept(key, false, "A leg").unwrap();
    assert_eq!(edge.respond(id, 200), ["200"]);
    assert_eq!(edge.respond(invite, 487), ["487"]);
    assert_eq!(edge.receive(&cancel), absorbed(&["200 again"]));
    let ack = request("ACK", "z9hG4bKa", "192.0.2.1");
    assert_eq!(edge.receive(&ack), absorbed(&[]));
    assert_eq!(edge.receive(&cancel), absorbed(&["200 again"]));
    assert_eq!(edge.run(), []);
    assert_eq!(edge.elapsed(), 32_000);
    edge.assert_empty();
}

#[test]
fn a_cancel_of_nothing_names_no_invite() {
    let mut edge = Edge::new();
    edge.accepted("INVITE", "z9hG4bKa");

    let (incoming, _) = edge.receive(&request("CANCEL", "z9hG4bKb", "192.0.2.1"));

    assert!(matches!(incoming, Incoming::Cancel { invite: None, .. }));
}

#[test]
fn a_repeated_bye_gets_its_answer_until_timer_j() {
    let mut edge = Edge::new();
    let id = edge.accepted("BYE", "z9hG4bKa");
    let bye = request("BYE", "z9hG4bKa", "192.0.2.1");

    assert_eq!(edge.receive(&bye), absorbed(&[]));
    assert_eq!(edge.respond(id, 200), ["200"]);
    assert_eq!(edge.receive(&bye), absorbed(&["200 again"]));
    assert_eq!(edge.run(), []);
    assert_eq!(edge.elapsed(), 32_000);
    edge.assert_empty();
}

#[test]
fn a_repeated_request_is_answered_where_it_came_from() {
    let mut edge = Edge::new();
    let id = edge.accepted("BYE", "z9hG4bKa");
    edge.respond(id, 200);
    edge.flow.remote = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 9), 61000));

    edge.layer_receive(&request("BYE", "z9hG4bKa", "192.0.2.1"));

    let expected = Effect::Transmit {
        flow: edge.flow,
        bytes: response(200),
        again: true,
    };
    assert_eq!(edge.out, [expected]);
}

#[test]
fn requests_that_differ_in_what_identifies_them_are_new() {
    let mut edge = Edge::new();
    edge.accepted("BYE", "z9hG4bKa");
    let bye = request("BYE", "z9hG4bKa", "192.0.2.1");

    for other in [
        bye.replace("z9hG4bKa", "z9hG4bKA"),
        bye.replace("call-1", "call-2"),
        bye.replace("tag=from", "tag=other"),
        bye.replace("CSeq: 1 ", "CSeq: 2 "),
        bye.replace("BYE", "INFO"),
    ] {
        assert!(
            matches!(edge.receive(&other).0, Incoming::New(_)),
            "{other}"
        );
    }
    assert_eq!(edge.receive(&bye), absorbed(&[]));
}

#[test]
fn without_a_magic_cookie_the_whole_via_counts() {
    let mut edge = Edge::new();
    let old = request("INVITE", "1", "192.0.2.1");
    let id = {
        let (incoming, _) = edge.receive(&old);
        let Incoming::New(key) = incoming else {
            panic!("{incoming:?}");
        };
        edge.accept(key, true, "tx").unwrap()
    };
    edge.respond(id, 100);

    assert_eq!(edge.receive(&old), absorbed(&["100 again"]));
    let other = request("INVITE", "1", "192.0.2.2");
    assert!(matches!(edge.receive(&other).0, Incoming::New(_)));
}

#[test]
fn a_full_table_accepts_nothing() {
    let mut edge = Edge::new();
    for number in 0..LIMIT {
        edge.accepted("BYE", &format!("z9hG4bK{number}"));
    }

    let (incoming, _) = edge.receive(&request("BYE", "z9hG4bKx", "192.0.2.1"));
    let Incoming::New(key) = incoming else {
        panic!("{incoming:?}");
    };

    assert_eq!(edge.accept(key, false, "tx"), None);
    assert_eq!(edge.layer.server_count(), LIMIT);
}

#[test]
fn a_transaction_begins_once() {
    let mut edge = Edge::new();
    let (incoming, _) = edge.receive(&request("BYE", "z9hG4bKa", "192.0.2.1"));
    let Incoming::New(key) = incoming else {
        panic!("{incoming:?}");
    };

    assert!(edge.accept(key, false, "tx").is_some());
    assert_eq!(edge.accept(key, false, "tx"), None);
}

// Client side.

#[test]
fn an_invite_is_resent_by_timer_a_until_timer_b() {
    let mut edge = Edge::new();
    let (_, branch, told) = edge.send("INVITE");
    assert_eq!(told, [format!("INVITE {branch}")]);

    let fired = edge.run();

    let resent =
        [500, 1500, 3500, 7500, 15500, 31500].map(|at| (at, format!("INVITE {branch} again")));
    assert_eq!(fired[..6], resent);
    assert_eq!(fired[6..], [(32_000, "timed out: tx".to_owned())]);
    edge.assert_empty();
}

#[test]
fn a_2xx_goes_up_once_and_is_acknowledged_again_after_that() {
    let mut edge = Edge::new();
    let (id, branch, _) = edge.send("INVITE");
    let up = Answer::Up { id, owner: "tx" };

    assert_eq!(edge.answer(&branch, "INVITE", 100, ""), (up, vec![]));
    assert_eq!(edge.answer(&branch, "INVITE", 180, "b"), (up, vec![]));
    assert_eq!(edge.answer(&branch, "INVITE", 200, "b"), (up, vec![]));
    edge.acked(id, b"b", "ACK sip:b SIP/2.0\r\n\r\n");
    let again = edge.answer(&branch, "INVITE", 200, "b");
    assert_eq!(again, (Answer::Absorbed, vec!["ACK again".to_owned()]));
    // Another fork answers.
    assert_eq!(edge.answer(&branch, "INVITE", 200, "c"), (up, vec![]));
    let again = edge.answer(&branch, "INVITE", 200, "c");
    assert_eq!(again, (Answer::Absorbed, vec![]));

    assert_eq!(edge.run(), []);
    assert_eq!(edge.elapsed(), 32_000);
    assert_eq!(
        edge.answer(&branch, "INVITE", 200, "b"),
        (Answer::Stray, vec![])
    );
    edge.assert_empty();
}

#[test]
fn a_busy_is_acknowledged_here() {
    let mut edge = Edge::new();
    let (id, branch, _) = edge.send("INVITE");

    let first = edge.answer(&branch, "INVITE", 486, "b");
    let second = edge.answer(&branch, "INVITE", 486, "b");

    let up = Answer::Up { id, owner: "tx" };
    assert_eq!(first, (up, vec![format!("ACK {branch}")]));
    assert_eq!(
        second,
        (Answer::Absorbed, vec![format!("ACK {branch} again")])
    );
    assert_eq!(edge.run(), []);
    assert_eq!(edge.elapsed(), 32_000);
    edge.assert_empty();
}

#[test]
fn cancel_goes_out_once_a_provisional_came() {
    let mut edge = Edge::new();
    let (id, branch, _) = edge.send("INVITE");
    let up = Answer::Up {
        id,
        owner: "cancelled",
    };

    assert_eq!(edge.cancel(id), [""; 0]);
    let ringing = edge.answer(&branch, "INVITE", 180, "b");
    assert_eq!(ringing, (up, vec![format!("CANCEL {branch}")]));
    let ok = edge.answer(&branch, "CANCEL", 200, "b");
    assert_eq!(ok, (Answer::Absorbed, vec![]));
    let terminated = edge.answer(&branch, "INVITE", 487, "b");
    assert_eq!(terminated, (up, vec![format!("ACK {branch}")]));

    assert_eq!(edge.run(), []);
    edge.assert_empty();
}

#[test]
fn cancel_after_a_provisional_goes_out_at_once_and_again() {
    let mut edge = Edge::new();
    let (id, branch, _) = edge.send("INVITE");
    edge.answer(&branch, "INVITE", 180, "b");

    assert_eq!(edge.cancel(id), [format!("CANCEL {branch}")]);
    let fired = edge.run();

    assert_eq!(fired.len(), 11);
    assert_eq!(fired[0], (500, format!("CANCEL {branch} again")));
    assert_eq!(fired[10], (32_000, "timed out: cancelled".to_owned()));
    edge.assert_empty();
}

#[test]
fn a_2xx_that_crosses_the_cancel_goes_to_the_new_owner() {
    let mut edge = Edge::new();
    let (id, branch, _) = edge.send("INVITE");
    edge.answer(&branch, "INVITE", 180, "b");
    edge.cancel(id);

    let up = Answer::Up {
        id,
        owner: "cancelled",
    };
    assert_eq!(edge.answer(&branch, "INVITE", 200, "b"), (up, vec![]));
    let ok = edge.answer(&branch, "CANCEL", 200, "b");
    assert_eq!(ok, (Answer::Absorbed, vec![]));
    assert_eq!(edge.run(), []);
    edge.assert_empty();
}

#[test]
fn a_bye_is_resent_by_timer_e_and_its_answer_goes_up_once() {
    let mut edge = Edge::new();
    let (id, branch, told) = edge.send("BYE");
    assert_eq!(told, [format!("BYE {branch}")]);
    edge.layer.set_owner(id, "B leg");

    edge.advance(600);
    assert_eq!(edge.timeout(), [format!("BYE {branch} again")]);
    let up = Answer::Up { id, owner: "B leg" };
    assert_eq!(edge.answer(&branch, "BYE", 200, "b"), (up, vec![]));
    let again = edge.answer(&branch, "BYE", 200, "b");
    assert_eq!(again, (Answer::Absorbed, vec![]));

    assert_eq!(edge.run(), []);
    assert_eq!(edge.elapsed(), 5_600);
    edge.assert_empty();
}

#[test]
fn a_bye_without_an_answer_ends_by_timer_f() {
    let mut edge = Edge::new();
    edge.send("BYE");

    let fired = edge.run();

    assert_eq!(fired.len(), 11);
    assert_eq!(fired[10], (32_000, "timed out: tx".to_owned()));
    edge.assert_empty();
}

#[test]
fn what_answers_nothing_of_ours_is_stray() {
    let mut edge = Edge::new();
    let (_, branch, _) = edge.send("BYE");
    let stray = (Answer::Stray, vec![]);

    assert_eq!(edge.answer("1", "BYE", 200, "b"), stray);
    assert_eq!(edge.answer("z9hG4bK1", "BYE", 200, "b"), stray);
    // The slot is right, the nonce is not.
    let last = if branch.ends_with('0') { "1" } else { "0" };
    let forged = format!("{}{last}", &branch[..branch.len() - 1]);
    assert_eq!(edge.answer(&forged, "BYE", 200, "b"), stray);
    // The branch is right, the method is not.
    assert_eq!(edge.answer(&branch, "INVITE", 200, "b"), stray);
    assert_eq!(edge.answer(&branch, "CANCEL", 200, "b"), stray);
}

#[test]
fn what_answers_another_shard_is_for_that() {
    let mut edge = Edge::new();
    let mark = Mark::new(ShardId(7), 0, &mut edge.entropy);
    let branch = format!("z9hG4bK{}", String::from_utf8_lossy(&mark.text()));

    let (answer, told) = edge.answer(&branch, "BYE", 200, "b");

    assert_eq!(answer, Answer::Elsewhere(ShardId(7)));
    assert_eq!(told, [""; 0]);
}

#[test]
fn a_failed_flow_ends_what_waits_on_it_and_nothing_else() {
    let mut edge = Edge::new();
    let (first, ..) = edge.send("INVITE");
    let (second, ..) = edge.send("BYE");
    let (_, answered, _) = edge.send("BYE");
    edge.answer(&answered, "BYE", 200, "b");
    edge.flow = flow(Tls);
    edge.send("BYE");

    edge.layer
        .transport_failed(edge.now, &flow(Udp), &mut edge.out);

    let failed = |id| Effect::Failed { id, owner: "tx" };
    assert_eq!(edge.out, [failed(first), failed(second)]);
    edge.out.clear();
    assert_eq!(edge.layer.client_count(), 2);
    assert_eq!(edge.run(), [(32_000, "timed out: tx".to_owned())]);
    edge.assert_empty();
}

#[test]
fn a_request_that_can_never_be_sent_ends_its_own_transaction_at_once() {
    let mut edge = Edge::new();
    let (invite, invite_branch, _) = edge.send("INVITE");
    let (bye, bye_branch, _) = edge.send("BYE");
    edge.send("BYE");

    edge.unsendable("BYE", &bye_branch);
    edge.unsendable("INVITE", &invite_branch);
    edge.unsendable("INVITE", &invite_branch);

    let failed = |id| Effect::Failed { id, owner: "tx" };
    assert_eq!(edge.out, [failed(bye), failed(invite)]);
    assert_eq!(edge.layer.client_count(), 1);
}

#[test]
fn what_cannot_be_sent_ends_nothing_that_was_heard() {
    let mut edge = Edge::new();
    let (_, branch, _) = edge.send("INVITE");

    edge.unsendable("CANCEL", &branch);
    edge.answer(&branch, "INVITE", 100, "b");
    edge.unsendable("INVITE", &branch);

    assert_eq!(edge.out, []);
    assert_eq!(edge.layer.client_count(), 1);
}

#[test]
fn an_icmp_error_says_nothing_of_a_peer_that_was_heard() {
    let mut edge = Edge::new();
    let (invite, branch, _) = edge.send("INVITE");
    edge.answer(&branch, "INVITE", 100, "b");
    let (_, branch, _) = edge.send("BYE");
    edge.answer(&branch, "BYE", 100, "b");
    edge.flow = flow(Tls);
    let (third, branch, _) = edge.send("BYE");
    edge.answer(&branch, "BYE", 100, "b");
    edge.out.clear();

    for failed in [Udp, Tls] {
        edge.layer
            .transport_failed(edge.now, &flow(failed), &mut edge.out);
    }

    // A connection that is gone brings no answer any more.
    let owner = "tx";
    assert_eq!(edge.out, [Effect::Failed { id: third, owner }]);
    edge.out.clear();
    edge.cancel(invite);
    edge.run();
    edge.assert_empty();
}

#[test]
fn a_reserved_transaction_can_be_given_back() {
    let mut edge = Edge::new();
    let ids: Vec<_> = (0..LIMIT)
        .map(|_| edge.layer.prepare(&mut edge.entropy).unwrap())
        .collect();
    assert_eq!(edge.layer.prepare(&mut edge.entropy), None);

    for id in ids {
        edge.layer.release(id);
    }

    edge.assert_empty();
}

#[test]
fn a_new_limit_holds_for_those_to_come() {
    let mut edge = Edge::new();
    edge.layer.set_limit(1);
    let first = edge.layer.prepare(&mut edge.entropy).unwrap();
    let refused = edge.layer.prepare(&mut edge.entropy);
    edge.layer.set_limit(2);
    let second = edge.layer.prepare(&mut edge.entropy).unwrap();
    edge.layer.set_limit(1);

    assert_eq!(refused, None);
    assert_eq!(edge.layer.client_count(), 2);
    edge.layer.release(first);
    assert_eq!(edge.layer.prepare(&mut edge.entropy), None);
    edge.layer.release(second);
    assert!(edge.layer.prepare(&mut edge.entropy).is_some());
}

#[test]
fn an_id_of_the_past_is_good_for_nothing() {
    let mut edge = Edge::new();
    let old = edge.layer.prepare(&mut edge.entropy).unwrap();
    edge.layer.release(old);
    let (id, branch, _) = edge.send("INVITE");
    assert_eq!(old.slot, id.slot);

    edge.layer.release(old);
    edge.layer.set_owner(old, "old");
    assert_eq!(edge.cancel(old), [""; 0]);
    edge.layer.send_request(
        edge.now,
        old,
        edge.flow,
        response(200),
        "old",
        &mut edge.out,
    );

    assert_eq!(edge.out, []);
    assert_ne!(edge.layer.branch(old), edge.layer.branch(id));
    let up = Answer::Up { id, owner: "tx" };
    assert_eq!(edge.answer(&branch, "INVITE", 180, "b"), (up, vec![]));
}

#[test]
fn timing_can_be_set() {
    let mut edge = Edge::new();
    edge.layer.set_timing(Timing {
        t1: Duration::from_millis(100),
        ..Timing::default()
    });
    edge.send("BYE");

    let fired = edge.run();

    let at: Vec<_> = fired.iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [100, 300, 700, 1500, 3100, 6300, 6400]);
}

/// How many transactions the layers of the tests hold.
const LIMIT: usize = 64;

/// A layer, a clock that is moved by hand, and a flow.
struct Edge {
    layer: Layer<&'static str>,
    entropy: Entropy,
    flow: Flow,
    start: Instant,
    now: Instant,
    out: Sink<&'static str>,
}

impl Edge {
    fn new() -> Self {
        let now = origin();
        Self {
            layer: Layer::new(ShardId(1), [7; 16], LIMIT),
            entropy: Entropy::from_seed([7; 32]),
            flow: flow(Udp),
            start: now,
            now,
            out: Vec::new(),
        }
    }

    fn layer_receive(&mut self, text: &str) -> Incoming<&'static str> {
        let Ok(Message::Request(request)) = message::parse(text.as_bytes()) else {
            panic!("{text}");
        };
        let essentials = request.essentials().unwrap();
        self.layer
            .receive(self.now, &self.flow, &request, &essentials, &mut self.out)
    }

    fn receive(&mut self, text: &str) -> (Incoming<&'static str>, Vec<String>) {
        let incoming = self.layer_receive(text);
        (incoming, self.told())
    }

    fn accept(&mut self, key: ServerKey, invite: bool, owner: &'static str) -> Option<ServerId> {
        self.layer.accept(self.now, key, self.flow, invite, owner)
    }

    /// Takes a request in and begins its transaction.
    fn accepted(&mut self, method: &str, branch: &str) -> ServerId {
        let (incoming, _) = self.receive(&request(method, branch, "192.0.2.1"));
        let Incoming::New(key) = incoming else {
            panic!("{incoming:?}");
        };
        self.accept(key, method == "INVITE", "tx").unwrap()
    }

    fn respond(&mut self, id: ServerId, status: u16) -> Vec<String> {
        self.layer
            .respond(self.now, id, status, response(status), &mut self.out);
        self.told()
    }

    /// Sends a request: its transaction, its branch, and what came out.
    fn send(&mut self, method: &str) -> (ClientId, String, Vec<String>) {
        let id = self.layer.prepare(&mut self.entropy).unwrap();
        let branch = format!("z9hG4bK{}", String::from_utf8_lossy(&self.layer.branch(id)));
        let bytes = Bytes::from(request(method, &branch, "198.51.100.1"));
        let (now, flow, out) = (self.now, self.flow, &mut self.out);
        if method == "INVITE" {
            self.layer.send_invite(now, id, flow, bytes, "tx", out);
        } else {
            self.layer.send_request(now, id, flow, bytes, "tx", out);
        }
        let told = self.told();
        (id, branch, told)
    }

    fn cancel(&mut self, id: ClientId) -> Vec<String> {
        self.layer.cancel(self.now, id, "cancelled", &mut self.out);
        self.told()
    }

    fn acked(&mut self, id: ClientId, to_tag: &[u8], ack: &'static str) {
        let ack = Bytes::from_static(ack.as_bytes());
        self.layer.acked(id, to_tag, self.flow, ack);
    }

    fn unsendable(&mut self, method: &str, branch: &str) {
        let text = request(method, branch, "198.51.100.1");
        let Ok(Message::Request(request)) = message::parse(text.as_bytes()) else {
            panic!("{text}");
        };
        self.layer.unsendable(self.now, &request, &mut self.out);
    }

    fn answer(
        &mut self,
        branch: &str,
        method: &str,
        status: u16,
        tag: &str,
    ) -> (Answer<&'static str>, Vec<String>) {
        let text = answer_text(branch, method, status, tag);
        let answer = self.receive_response(text.as_bytes());
        (answer, self.told())
    }

    fn receive_response(&mut self, bytes: &[u8]) -> Answer<&'static str> {
        let Ok(Message::Response(response)) = message::parse(bytes) else {
            panic!("{}", String::from_utf8_lossy(bytes));
        };
        let essentials = response.essentials().unwrap();
        self.layer
            .receive_response(self.now, &response, &essentials, &mut self.out)
    }

    fn advance(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
    }

    fn timeout(&mut self) -> Vec<String> {
        self.layer.handle_timeout(self.now, &mut self.out);
        self.told()
    }

    /// Fires timers until none is left: what came out, and after how many milliseconds.
    fn run(&mut self) -> Vec<(u128, String)> {
        let mut fired = Vec::new();
        while let Some(next) = self.layer.poll_timeout() {
            self.now = self.now.max(next);
            let told = self.timeout();
            let at = self.elapsed();
            fired.extend(told.into_iter().map(|told| (at, told)));
        }
        fired
    }

    fn elapsed(&self) -> u128 {
        (self.now - self.start).as_millis()
    }

    fn assert_empty(&self) {
        assert_eq!(self.layer.server_count(), 0);
        assert_eq!(self.layer.client_count(), 0);
        assert_eq!(self.layer.timer_count(), 0);
    }

    /// The effects so far, in words.
    fn told(&mut self) -> Vec<String> {
        self.out.drain(..).map(|effect| words(&effect)).collect()
    }
}

/// Nothing to do for the TU; `told` are the effects.
fn absorbed(told: &[&str]) -> (Incoming<&'static str>, Vec<String>) {
    let told = told.iter().map(|told| (*told).to_owned()).collect();
    (Incoming::Absorbed, told)
}

/// `200`, `INVITE z9hG4bK1 again`, `timed out: owner`.
fn words(effect: &Effect<&'static str>) -> String {
    match effect {
        Effect::Transmit { bytes, again, .. } => {
            let mut words = match message::parse(bytes) {
                Ok(Message::Request(request)) => match request.essentials() {
                    Ok(essentials) => format!(
                        "{} {}",
                        request.method.label(),
                        String::from_utf8_lossy(essentials.via.branch().unwrap())
                    ),
                    Err(_) => request.method.label().to_owned(),
                },
                Ok(Message::Response(response)) => response.status.to_string(),
                Err(_) => String::from_utf8_lossy(bytes)
                    .split(' ')
                    .next()
                    .unwrap()
                    .to_owned(),
            };
            if *again {
                words.push_str(" again");
            }
            words
        }
        Effect::TimedOut { owner, .. } => format!("timed out: {owner}"),
        Effect::Failed { owner, .. } => format!("failed: {owner}"),
        Effect::NoAck { owner, .. } => format!("no ACK for {owner}"),
        Effect::Settled { .. } => "settled".to_owned(),
    }
}

fn request(method: &str, branch: &str, sent_by: &str) -> String {
    format!(
        "{method} sip:+18885550100@example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP {sent_by};branch={branch}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:+12125550101@example.com>;tag=from\r\n\
         To: <sip:+18885550100@example.com>\r\n\
         Call-ID: call-1\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:192.0.2.1>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

/// A response of the TU; the layer does not look into it.
fn response(status: u16) -> Bytes {
    Bytes::from(answer_text("z9hG4bKa", "INVITE", status, "edge"))
}

fn answer_text(branch: &str, method: &str, status: u16, tag: &str) -> String {
    let tag = if tag.is_empty() {
        String::new()
    } else {
        format!(";tag={tag}")
    };
    format!(
        "SIP/2.0 {status} Whatever\r\n\
         Via: SIP/2.0/UDP 198.51.100.1;branch={branch}\r\n\
         From: <sip:+12125550101@example.com>;tag=from\r\n\
         To: <sip:+18885550100@example.com>{tag}\r\n\
         Call-ID: call-1\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:192.0.2.1>\r\n\
         Content-Length: 0\r\n\r\n"
    )
}
