//! The edge's requests to a user agent, and its answers.

use std::time::Instant;

use super::{Act, Phase, Phone, Ring, Turn};
use crate::sim::client::{PATIENCE, T1};
use crate::sim::digest;
use crate::sim::plan::{OnCancel, Plan, Step};
use crate::sim::policy::PASSWORD;
use crate::sim::server::Server;
use crate::sim::text::{Msg, bare};

impl Phone {
    pub(super) fn handle_request(&mut self, turn: &mut Turn<'_>, message: &Msg) {
        let (branch, method) = (message.branch(), message.method());
        if let Some(server) = self.servers.iter().find(|server| server.is(branch, method)) {
            let stays = !server.is_invite() || !server.is_acked;
            turn.out
                .extend(server.last.clone().filter(|_| stays).map(Act::Send));
            return;
        }
        self.servers.push(Server::new(message.clone()));
        let at = self.servers.len() - 1;
        if method == "CANCEL" {
            self.handle_cancel(turn, at, branch);
        } else if method == "INVITE" && message.tag_in_to().is_none() {
            self.handle_first(turn, at, message);
        } else {
            self.handle_within(turn, at, message);
        }
    }

    pub(super) fn handle_first(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) {
        if self.is_caller {
            self.fault("an INVITE that begins a call".to_owned());
        }
        if self.challenge_of(turn, at, message) {
            return;
        }
        if self.phase != Phase::Idle {
            self.fault(format!("a second INVITE in {:?}", self.phase));
            return;
        }
        if let Some(plan) = &self.plan.session
            && let Some(asked) = message.first("Session-Expires")
            && asked.parse::<u32>().is_ok_and(|asked| asked < plan.min)
        {
            let reply = message
                .reply(422, &self.tag)
                .with("Min-SE", plan.min.to_string());
            self.send_reply(turn, at, 422, &reply);
            return;
        }
        self.phase = Phase::Ringing;
        message.call_id().clone_into(&mut self.call_id);
        bare(message.value("To")).clone_into(&mut self.local);
        bare(message.value("From")).clone_into(&mut self.remote);
        self.remote_tag = Some(message.tag_in_from().to_owned());
        message
            .contact()
            .unwrap_or_default()
            .clone_into(&mut self.target);
        self.remote_cseq = message.cseq();
        if self.plan.tries {
            self.reply(turn, at, 100);
        }
        for (after, step) in self.plan.before.clone() {
            self.agenda.push((turn.now + after, step));
        }
    }

    /// Whether the request was challenged; if not, its credentials are checked.
    pub(super) fn challenge_of(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) -> bool {
        let Some(challenge) = self.plan.challenge.clone() else {
            return false;
        };
        let (status, name, answer) = if challenge.is_proxy {
            (407, "Proxy-Authenticate", "Proxy-Authorization")
        } else {
            (401, "WWW-Authenticate", "Authorization")
        };
        if let Some(credentials) = message.first(answer)
            && !digest::is_right(credentials, PASSWORD, message.method())
        {
            self.fault(format!("wrong credentials: {credentials}"));
        }
        let is_first = message.tag_in_to().is_none();
        let is_due = if is_first {
            self.challenges < challenge.times
        } else {
            challenge.within && message.first(answer).is_none()
        };
        if !is_due {
            return false;
        }
        self.challenges += u32::from(is_first);
        let stale = if self.challenges > 1 {
            ", stale=true"
        } else {
            ""
        };
        let count = self.servers.len();
        let values = challenge.algorithms.iter().map(|algorithm| {
            format!(
                "Digest realm=\"{}\", nonce=\"n{count}\", qop=\"auth,auth-int\", \
                 algorithm={algorithm}{stale}",
                challenge.realm
            )
        });
        let mut reply = message.reply(status, &self.tag);
        for value in values {
            reply = reply.with(name, value);
        }
        self.send_reply(turn, at, status, &reply);
        true
    }

    pub(super) fn handle_cancel(&mut self, turn: &mut Turn<'_>, at: usize, branch: &str) {
        let found = self
            .servers
            .iter()
            .position(|server| server.is(branch, "INVITE"));
        let Some(invite) = found else {
            self.reply(turn, at, 481);
            return;
        };
        self.reply(turn, at, 200);
        if !self.servers[invite].is_open() {
            return;
        }
        let is_first = self.servers[invite].request.tag_in_to().is_none();
        match self.plan.on_cancel {
            OnCancel::Cross if is_first => self.pick_up(turn),
            OnCancel::Ignore if is_first => {}
            OnCancel::Obey | OnCancel::Cross | OnCancel::Ignore => {
                self.reply(turn, invite, 487);
                if is_first {
                    self.end(turn);
                }
            }
        }
    }

    pub(super) fn handle_within(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) {
        let method = message.method();
        let is_ours = message.tag_in_to() == Some(&self.tag)
            && message.call_id() == self.call_id
            && Some(message.tag_in_from()) == self.remote_tag.as_deref();
        // The edge may speak before its 200 has arrived.
        let is_unknown = self.is_caller && self.phase == Phase::Ringing;
        let has_none = is_unknown && self.remote_tag.is_none();
        if !is_ours && !has_none {
            self.fault(format!("{method} of another dialog"));
        }
        if is_unknown || !matches!(self.phase, Phase::Up | Phase::Ringing) {
            self.reply(turn, at, if method == "BYE" { 200 } else { 481 });
            return;
        }
        if message.cseq() <= self.remote_cseq {
            self.reply(turn, at, 500);
            return;
        }
        self.remote_cseq = message.cseq();
        if method != "BYE" && self.challenge_of(turn, at, message) {
            return;
        }
        match method {
            "PRACK" => self.handle_prack(turn, at, message),
            "UPDATE" => self.handle_update(turn, at, message),
            "BYE" => {
                if self.challenge_of(turn, at, message) {
                    return;
                }
                self.reply(turn, at, 200);
                self.end(turn);
            }
            "INVITE" => {
                let is_glare = self
                    .clients
                    .iter()
                    .any(|one| (one.method == "INVITE" || one.has_offer) && !one.is_done());
                let is_early = self.servers[..at]
                    .iter()
                    .any(|one| one.is_invite() && (one.is_open() || one.is_unacked()));
                if is_glare {
                    self.reply(turn, at, 491);
                } else if is_early {
                    self.reply(turn, at, 500);
                } else {
                    self.reply(turn, at, 100);
                    let status = if turn.dice.chance(90) { 200 } else { 488 };
                    let later = turn.now + turn.dice.millis(0, 300);
                    self.agenda
                        .push((later, Step::Reply { server: at, status }));
                }
            }
            _ => self.reply(turn, at, 200),
        }
    }

    fn handle_prack(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) {
        let invite = self
            .servers
            .iter()
            .rfind(|one| one.is_invite() && one.request.tag_in_to().is_none());
        let has_offer = invite.is_some_and(|one| !one.request.body.is_empty());
        let invite = invite.map_or(0, |one| one.request.cseq());
        // What comes in later ones is no other offer (RFC 6337 §2.2).
        let mut rings = self.rings.iter();
        let offering = rings.find(|ring| memchr::memmem::find(&ring.bytes, b"v=0").is_some());
        let offering = offering.map(|ring| ring.rseq).filter(|_| !has_offer);
        let found = self
            .rings
            .iter_mut()
            .find(|ring| message.value("RAck") == format!("{} {invite} INVITE", ring.rseq));
        let Some(ring) = found else {
            self.fault(format!("a PRACK for {:?}", message.value("RAck")));
            self.reply(turn, at, 481);
            return;
        };
        ring.again = None;
        if (offering == Some(ring.rseq)) == message.body.is_empty() {
            self.fault("an offer without an answer, or the other way round".to_owned());
        }
        self.reply(turn, at, 200);
    }

    pub(super) fn handle_ack(&mut self, now: Instant, message: &Msg) {
        let (cseq, tag) = (message.cseq(), message.tag_in_to());
        if tag != Some(&self.tag) {
            self.fault(format!("an ACK for {tag:?}"));
        }
        let mut is_up = false;
        let mut is_known = false;
        for server in self.servers.iter_mut().filter(|server| server.is_invite()) {
            if server.request.cseq() != cseq || server.status < 200 {
                continue;
            }
            is_known = true;
            is_up |=
                server.status < 300 && server.request.tag_in_to().is_none() && !server.is_acked;
            server.acked();
        }
        if !is_known {
            self.fault(format!("an ACK for nothing, CSeq {cseq}"));
        }
        if is_up && self.phase == Phase::Ringing {
            self.go_up(now);
        }
    }

    pub(super) fn reply(&mut self, turn: &mut Turn<'_>, at: usize, status: u16) {
        let request = self.servers[at].request.clone();
        let mut reply = request.reply(status, &self.tag);
        let is_update = request.method() == "UPDATE";
        if is_update && status == 200 {
            reply = reply.with("Contact", format!("<sip:{}@{}>", self.name, self.addr));
            if !request.body.is_empty() {
                let sdp = self.body();
                reply = reply.with_sdp(&sdp);
            }
        }
        if request.method() == "INVITE" && (101..300).contains(&status) {
            let contact = format!("<sip:{}@{}>", self.name, self.addr);
            // An answer that went out reliably need not be repeated (RFC 3262 §5).
            let is_repeat = request.tag_in_to().is_none() && self.has_early_answer;
            let is_left_out = is_repeat && turn.dice.chance(50);
            let sdp = if matches!(status, 183 | 200) && !is_left_out {
                self.body()
            } else {
                String::new()
            };
            reply = reply.with("Contact", contact).with_sdp(&sdp);
        }
        if status == 200 && (is_update || request.method() == "INVITE") {
            reply = self.capable(reply);
            reply = self.agreeing(turn, &request, reply);
        }
        self.send_reply(turn, at, status, &reply);
    }

    pub(super) fn send_reply(&mut self, turn: &mut Turn<'_>, at: usize, status: u16, reply: &Msg) {
        let bytes = reply.bytes_as(self.plan.compact);
        turn.out.push(Act::Send(bytes.clone()));
        self.servers[at].answered(turn.now, status, bytes);
    }

    pub(super) fn ring(&mut self, turn: &mut Turn<'_>, status: u16, fork: u8) {
        let Some(at) = self.open_invite() else { return };
        if fork == 0 {
            self.ring_as_planned(turn, at, status);
            return;
        }
        let tag = format!("{}-early{fork}", self.tag);
        let reply = self.servers[at]
            .request
            .reply(status, &tag)
            .with("Contact", format!("<sip:{}@{}>", self.name, self.addr));
        let bytes = reply.bytes_as(self.plan.compact);
        turn.out.push(Act::Send(bytes));
    }

    /// Reliably, if we want to and the edge offered it.
    fn ring_as_planned(&mut self, turn: &mut Turn<'_>, at: usize, status: u16) {
        let is_offered = self.servers[at]
            .request
            .value("Supported")
            .contains("100rel");
        if self.plan.reliable.is_none() || !is_offered {
            self.reply(turn, at, status);
            return;
        }
        if self.is_ringing_reliably() {
            let later = turn.now + turn.dice.millis(10, 500);
            self.agenda
                .push((later, Step::Provisional { status, fork: 0 }));
            return;
        }
        let rseq = self
            .rings
            .last()
            .map_or(1 + turn.dice.below(9000) as u32, |last| last.rseq + 1);
        let contact = format!("<sip:{}@{}>", self.name, self.addr);
        let mut reply = self.servers[at]
            .request
            .reply(status, &self.tag)
            .with("Contact", contact)
            .with("Require", "100rel")
            .with("RSeq", rseq.to_string());
        reply = self.capable(reply);
        if status == 183 {
            let sdp = self.body();
            reply = reply.with_sdp(&sdp);
            self.has_early_answer = true;
        }
        let bytes = reply.bytes_as(self.plan.compact);
        self.rings.push(Ring {
            rseq,
            bytes,
            again: Some((turn.now + T1, T1)),
            until: turn.now + PATIENCE,
        });
        self.send_reply(turn, at, status, &reply);
    }

    /// Whether its answer went out in a reliable response, and was acknowledged.
    pub(super) fn is_answering(&self) -> bool {
        self.has_early_answer && !self.is_ringing_reliably()
    }

    fn is_ringing_reliably(&self) -> bool {
        self.rings.iter().any(|ring| ring.again.is_some())
    }

    pub(super) fn pick_up(&mut self, turn: &mut Turn<'_>) {
        let Some(at) = self.open_invite() else { return };
        if self.is_ringing_reliably() {
            let later = turn.now + turn.dice.millis(10, 500);
            self.agenda.push((later, Step::Answer));
            return;
        }
        self.rings.clear();
        if let Some(after) = self.plan.fork.take() {
            let mut twin = Self::buyer(
                format!("{}f", self.name),
                self.call,
                self.addr,
                Plan::default(),
            );
            twin.phase = Phase::Ringing;
            twin.call_id.clone_from(&self.call_id);
            twin.local.clone_from(&self.local);
            twin.remote.clone_from(&self.remote);
            twin.remote_tag.clone_from(&self.remote_tag);
            twin.target.clone_from(&self.target);
            twin.remote_cseq = self.remote_cseq;
            twin.servers
                .push(Server::new(self.servers[at].request.clone()));
            twin.agenda.push((turn.now + after, Step::Answer));
            turn.out.push(Act::Fork(Box::new(twin)));
        }
        self.reply(turn, at, 200);
    }

    pub(super) fn open_invite(&self) -> Option<usize> {
        self.servers
            .iter()
            .rposition(|one| one.is_invite() && one.is_open() && one.request.tag_in_to().is_none())
    }

    pub(super) fn go_up(&mut self, now: Instant) {
        self.phase = Phase::Up;
        for (after, step) in self.plan.within.clone() {
            self.agenda.push((now + after, step));
        }
    }
}
