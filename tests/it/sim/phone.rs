//! A user agent of the simulator: one leg of one call, at the carrier's or at a buyer's.
//!
//! It follows its [`Plan`], keeps the rules of RFC 3261 on its side, and writes down what the edge got
//! wrong. It hears and says whole datagrams; `world` carries them.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use super::client::{Client, Fired, PATIENCE};
use super::dice::Dice;
use super::digest;
use super::plan::{OnCancel, Plan, Step};
use super::policy::{PASSWORD, USER};
use super::server::Server;
use super::text::{Msg, bare};

/// One user agent.
#[derive(Debug)]
pub(crate) struct Phone {
    /// `call0` or `c0b1`; the user part of its URIs.
    pub(crate) name: String,
    /// Which call it belongs to.
    pub(crate) call: usize,
    pub(crate) is_caller: bool,
    pub(crate) addr: SocketAddr,
    pub(crate) plan: Plan,
    pub(crate) tag: String,
    pub(crate) phase: Phase,
    pub(crate) clients: Vec<Client>,
    pub(crate) servers: Vec<Server>,
    pub(crate) has_vanished: bool,
    /// Final status of the caller's INVITE.
    pub(crate) heard: Option<u16>,
    /// What the edge did that it must not do.
    pub(crate) faults: Vec<String>,
    call_id: String,
    /// Our end without tag, theirs without tag, and theirs.
    local: String,
    remote: String,
    remote_tag: Option<String>,
    target: String,
    cseq: u32,
    remote_cseq: u32,
    agenda: Vec<(Instant, Step)>,
    branches: u32,
    bodies: u32,
    challenges: u32,
    challenge: Option<(u16, String)>,
    nonce_count: u32,
    gives_up: bool,
    said_bye: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Ringing,
    Up,
    Over,
}

/// What a user agent has at hand when something happens.
pub(crate) struct Turn<'w> {
    pub(crate) now: Instant,
    pub(crate) dice: &'w mut Dice,
    pub(crate) out: &'w mut Vec<Act>,
}

/// What it does to the world.
pub(crate) enum Act {
    Send(Bytes),
    /// The INVITE reached another device of the buyer's, too.
    Fork(Box<Phone>),
}

impl Phone {
    /// A caller that will dial `uri`.
    pub(crate) fn caller(call: usize, addr: SocketAddr, uri: &str, plan: Plan) -> Self {
        let local = format!("\"Ann\" <sip:+1555557{call:04}@carrier.example.net>");
        Self {
            call_id: format!("call{call}-3848276298220188511@carrier.example.net"),
            target: uri.to_owned(),
            local,
            remote: format!("<{uri}>"),
            is_caller: true,
            cseq: 100,
            ..Self::buyer(format!("call{call}"), call, addr, plan)
        }
    }

    /// A buyer that waits for the edge's INVITE.
    pub(crate) fn buyer(name: String, call: usize, addr: SocketAddr, plan: Plan) -> Self {
        Self {
            tag: format!("tag-{name}"),
            name,
            call,
            is_caller: false,
            addr,
            plan,
            phase: Phase::Idle,
            clients: Vec::new(),
            servers: Vec::new(),
            has_vanished: false,
            heard: None,
            faults: Vec::new(),
            call_id: String::new(),
            local: String::new(),
            remote: String::new(),
            remote_tag: None,
            target: String::new(),
            cseq: 0,
            remote_cseq: 0,
            agenda: Vec::new(),
            branches: 0,
            bodies: 0,
            challenges: 0,
            challenge: None,
            nonce_count: 0,
            gives_up: false,
            said_bye: false,
        }
    }

    /// Caller: begins at `at`.
    pub(crate) fn begin(&mut self, at: Instant) {
        self.agenda.push((at, Step::Dial));
        for (after, step) in self.plan.before.clone() {
            self.agenda.push((at + after, step));
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        if self.has_vanished {
            return None;
        }
        let steps = self.agenda.iter().map(|(at, _)| *at);
        let clients = self.clients.iter().filter_map(Client::poll_timeout);
        let servers = self.servers.iter().filter_map(Server::poll_timeout);
        steps.chain(clients).chain(servers).min()
    }

    pub(crate) fn handle_timeout(&mut self, turn: &mut Turn<'_>) {
        if self.has_vanished {
            return;
        }
        for at in 0..self.clients.len() {
            match self.clients[at].fire(turn.now) {
                Fired::Again(bytes) => turn.out.push(Act::Send(bytes)),
                Fired::TimedOut if self.clients[at].is_first => self.end(turn),
                Fired::TimedOut | Fired::Nothing => {}
            }
        }
        for server in &mut self.servers {
            turn.out.extend(server.fire(turn.now).map(Act::Send));
        }
        while let Some(at) = self.agenda.iter().position(|(at, _)| *at <= turn.now) {
            let (_, step) = self.agenda.remove(at);
            self.act(turn, step);
            if self.has_vanished {
                return;
            }
        }
    }

    pub(crate) fn handle(&mut self, turn: &mut Turn<'_>, message: &Msg) {
        if self.has_vanished {
            return;
        }
        if !message.is_request() {
            self.handle_response(turn, message);
        } else if message.method() == "ACK" {
            self.handle_ack(turn, message);
        } else {
            self.handle_request(turn, message);
        }
    }

    fn act(&mut self, turn: &mut Turn<'_>, step: Step) {
        match step {
            Step::Dial => self.dial(turn),
            Step::Cancel { by_bye } => self.give_up(turn, by_bye),
            Step::Provisional { status, fork } => self.ring(turn, status, fork),
            Step::Answer => self.pick_up(turn),
            Step::Refuse(status) => {
                if let Some(at) = self.open_invite() {
                    self.reply(turn, at, status);
                    self.end(turn);
                }
            }
            Step::Reinvite { .. } | Step::Retract | Step::Ask(_) | Step::Bye
                if self.phase != Phase::Up => {}
            Step::Reinvite { has_offer } => self.reinvite(turn, has_offer),
            Step::Retract => {
                let open = |client: &Client| client.method == "INVITE" && !client.is_done();
                if let Some(at) = self.clients.iter().position(open)
                    && self.clients[at].status >= 100
                {
                    self.cancel(turn, at);
                }
            }
            Step::Ask(method) => {
                let request = self.request(method);
                let request = match method {
                    "INFO" | "MESSAGE" => {
                        let body = self.body();
                        request.with_body("application/x-sim", body)
                    }
                    _ => request,
                };
                self.send(turn, method, &request);
            }
            Step::Bye => self.hang_up(turn),
            Step::Reply { server, status } => {
                if self.servers[server].is_open() {
                    self.reply(turn, server, status);
                }
            }
            Step::Vanish => {
                self.has_vanished = true;
                self.agenda.clear();
            }
        }
    }

    // --- requests of our own

    fn dial(&mut self, turn: &mut Turn<'_>) {
        if self.phase == Phase::Over || self.gives_up {
            return;
        }
        self.phase = Phase::Ringing;
        let mut invite = self.request("INVITE");
        for (name, value) in &self.plan.smuggled {
            invite = invite.with(name, *value);
        }
        if let (Some((status, challenge)), Some((password, _))) =
            (&self.challenge, self.plan.password)
        {
            self.nonce_count += 1;
            let name = if *status == 407 {
                "Proxy-Authorization"
            } else {
                "Authorization"
            };
            let (uri, count) = (invite.uri().to_owned(), self.nonce_count);
            let credentials = digest::answer(challenge, USER, password, "INVITE", &uri, count);
            invite = invite.with(name, credentials);
        }
        let has_offer = !self.plan.is_late_offer;
        if has_offer {
            let sdp = self.body();
            invite = invite.with_sdp(&sdp);
        }
        let at = self.send(turn, "INVITE", &invite);
        self.clients[at].is_first = true;
        self.clients[at].has_offer = has_offer;
    }

    fn give_up(&mut self, turn: &mut Turn<'_>, by_bye: bool) {
        let Some(at) = self
            .clients
            .iter()
            .rposition(|client| client.is_first && !client.is_done())
        else {
            // Between a challenge and its answer: it just does not dial again.
            self.gives_up |= self.phase == Phase::Ringing;
            return;
        };
        self.gives_up = true;
        if by_bye && self.remote_tag.is_some() {
            self.said_bye = true;
            let bye = self.request("BYE");
            self.send(turn, "BYE", &bye);
        } else if self.clients[at].status >= 100 {
            self.cancel(turn, at);
        }
        // Otherwise with the first provisional response (§9.1).
    }

    /// CANCEL has the INVITE's branch and CSeq (§9.1).
    fn cancel(&mut self, turn: &mut Turn<'_>, at: usize) {
        let invite = &mut self.clients[at];
        invite.give_up_by(turn.now + PATIENCE);
        let (branch, cseq) = (invite.branch.clone(), invite.cseq);
        if self.clients.iter().any(|client| client.branch == branch && client.method == "CANCEL") {
            return;
        }
        let has_tag = !self.clients[at].is_first;
        let cancel = self.request_as("CANCEL", cseq, &branch, has_tag);
        let bytes = cancel.bytes_as(self.plan.compact);
        turn.out.push(Act::Send(bytes.clone()));
        self.clients.push(Client::new(turn.now, branch, "CANCEL", cseq, bytes));
    }

    fn reinvite(&mut self, turn: &mut Turn<'_>, has_offer: bool) {
        let is_busy = self.clients.iter().any(|one| one.method == "INVITE" && !one.is_done())
            || self.servers.iter().any(|one| one.is_invite() && (one.is_open() || one.is_unacked()));
        if is_busy {
            let later = turn.now + turn.dice.millis(100, 2000);
            self.agenda.push((later, Step::Reinvite { has_offer }));
            return;
        }
        let mut invite = self.request("INVITE");
        if has_offer {
            let sdp = self.body();
            invite = invite.with_sdp(&sdp);
        }
        let at = self.send(turn, "INVITE", &invite);
        self.clients[at].has_offer = has_offer;
    }

    fn hang_up(&mut self, turn: &mut Turn<'_>) {
        self.said_bye = true;
        let bye = self.request("BYE");
        self.send(turn, "BYE", &bye);
        self.end(turn);
    }

    /// The next request within the dialog, or the INVITE that begins one.
    fn request(&mut self, method: &'static str) -> Msg {
        self.cseq += 1;
        self.branches += 1;
        let branch = format!("z9hG4bK-{}-{}", self.name, self.branches);
        self.request_as(method, self.cseq, &branch, true)
    }

    fn request_as(&self, method: &str, cseq: u32, branch: &str, has_tag: bool) -> Msg {
        let to = match &self.remote_tag {
            Some(tag) if has_tag => format!("{};tag={tag}", self.remote),
            Some(_) | None => self.remote.clone(),
        };
        // An INVITE that was answered moved the target; its CANCEL is for the old one, but before that.
        Msg::new(format!("{method} {} SIP/2.0", self.target))
            .with("Via", format!("SIP/2.0/UDP {};branch={branch};rport", self.addr))
            .with("Max-Forwards", "70")
            .with("From", format!("{};tag={}", self.local, self.tag))
            .with("To", to)
            .with("Call-ID", self.call_id.clone())
            .with("CSeq", format!("{cseq} {method}"))
            .with("Contact", format!("<sip:{}@{}>", self.name, self.addr))
    }

    fn send(&mut self, turn: &mut Turn<'_>, method: &'static str, request: &Msg) -> usize {
        let bytes = request.bytes_as(self.plan.compact);
        turn.out.push(Act::Send(bytes.clone()));
        let branch = request.branch().to_owned();
        self.clients.push(Client::new(turn.now, branch, method, request.cseq(), bytes));
        self.clients.len() - 1
    }

    /// A body that nobody else sends.
    fn body(&mut self) -> String {
        self.bodies += 1;
        format!("v=0\r\no={} 1 {} IN IP4 192.0.2.99\r\ns=-\r\n", self.name, self.bodies)
    }

    // --- answers to them

    fn handle_response(&mut self, turn: &mut Turn<'_>, message: &Msg) {
        let (branch, method) = (message.branch(), message.method());
        let found = self
            .clients
            .iter()
            .position(|client| client.branch == branch && client.method == method);
        let Some(at) = found else {
            self.fault(format!("a response to nothing: {}", message.summary()));
            return;
        };
        let status = message.status();
        if !self.clients[at].hear(status) {
            turn.out.extend(self.clients[at].ack.clone().map(Act::Send));
            return;
        }
        if self.clients[at].method != "INVITE" {
            return;
        }
        match status {
            100 => {}
            101..200 => {
                if self.clients[at].is_first && self.remote_tag.is_none() {
                    self.remote_tag = message.to_tag().map(str::to_owned);
                }
            }
            200..300 => self.handle_answer(turn, at, message),
            _ => self.handle_refusal(turn, at, message),
        }
        let client = &self.clients[at];
        if status < 200 && client.is_first && self.gives_up && !self.said_bye {
            self.cancel(turn, at);
        }
    }

    fn handle_answer(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) {
        let is_first = self.clients[at].is_first;
        if is_first {
            self.heard = Some(message.status());
        }
        if self.plan.never_acks && is_first {
            self.act(turn, Step::Vanish);
            return;
        }
        self.remote_tag = message.to_tag().map(str::to_owned);
        if let Some(contact) = message.contact() {
            contact.clone_into(&mut self.target);
        } else {
            self.fault("a 2xx without Contact".to_owned());
        }
        self.branches += 1;
        let branch = format!("z9hG4bK-{}-{}", self.name, self.branches);
        let mut ack = self.request_as("ACK", self.clients[at].cseq, &branch, true);
        if !self.clients[at].has_offer {
            let sdp = self.body();
            ack = ack.with_sdp(&sdp);
        }
        let bytes = ack.bytes_as(self.plan.compact);
        self.clients[at].ack = Some(bytes.clone());
        turn.out.push(Act::Send(bytes));
        if !is_first {
            return;
        }
        if self.said_bye {
            self.end(turn);
        } else {
            self.go_up(turn.now);
            if self.gives_up {
                self.hang_up(turn);
            }
        }
    }

    fn handle_refusal(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) {
        let (branch, cseq) = (self.clients[at].branch.clone(), self.clients[at].cseq);
        let mut ack = self.request_as("ACK", cseq, &branch, false).without("Contact");
        ack = ack.set("To", message.value("To"));
        let bytes = ack.bytes_as(self.plan.compact);
        self.clients[at].ack = Some(bytes.clone());
        turn.out.push(Act::Send(bytes));
        let status = message.status();
        if !self.clients[at].is_first {
            // §14.1: the owner of the Call-ID waits longer.
            if status == 491 && self.phase == Phase::Up {
                let pause = if self.is_caller {
                    turn.dice.millis(2100, 4000)
                } else {
                    turn.dice.millis(0, 2000)
                };
                let again = Step::Reinvite { has_offer: self.clients[at].has_offer };
                self.agenda.push((turn.now + pause, again));
            }
            return;
        }
        if let (401 | 407, Some((_, pause))) = (status, self.plan.password)
            && self.nonce_count < 3
            && !self.gives_up
        {
            let name = if status == 407 {
                "Proxy-Authenticate"
            } else {
                "WWW-Authenticate"
            };
            let challenges: Vec<_> = message.all(name).map(str::to_owned).collect();
            let chosen = turn.dice.pick(&challenges);
            self.challenge = Some((status, chosen));
            self.agenda.push((turn.now + pause, Step::Dial));
            return;
        }
        self.heard = Some(status);
        self.end(turn);
    }

    // --- requests of the edge

    fn handle_request(&mut self, turn: &mut Turn<'_>, message: &Msg) {
        let (branch, method) = (message.branch(), message.method());
        if let Some(server) = self.servers.iter().find(|server| server.is(branch, method)) {
            let stays = !server.is_invite() || !server.is_acked;
            turn.out.extend(server.last.clone().filter(|_| stays).map(Act::Send));
            return;
        }
        self.servers.push(Server::new(message.clone()));
        let at = self.servers.len() - 1;
        if method == "CANCEL" {
            self.handle_cancel(turn, at, branch);
        } else if method == "INVITE" && message.to_tag().is_none() {
            self.handle_first(turn, at, message);
        } else {
            self.handle_within(turn, at, message);
        }
    }

    fn handle_first(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) {
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
        self.phase = Phase::Ringing;
        message.call_id().clone_into(&mut self.call_id);
        bare(message.value("To")).clone_into(&mut self.local);
        bare(message.value("From")).clone_into(&mut self.remote);
        self.remote_tag = Some(message.from_tag().to_owned());
        message.contact().unwrap_or_default().clone_into(&mut self.target);
        self.remote_cseq = message.cseq();
        if self.plan.tries {
            self.reply(turn, at, 100);
        }
        for (after, step) in self.plan.before.clone() {
            self.agenda.push((turn.now + after, step));
        }
    }

    /// Whether the request was challenged; if not, its credentials are checked.
    fn challenge_of(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) -> bool {
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
        let is_first = message.to_tag().is_none();
        let is_due = if is_first {
            self.challenges < challenge.times
        } else {
            challenge.within && message.first(answer).is_none()
        };
        if !is_due {
            return false;
        }
        self.challenges += u32::from(is_first);
        let stale = if self.challenges > 1 { ", stale=true" } else { "" };
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

    fn handle_cancel(&mut self, turn: &mut Turn<'_>, at: usize, branch: &str) {
        let found = self.servers.iter().position(|server| server.is(branch, "INVITE"));
        let Some(invite) = found else {
            self.reply(turn, at, 481);
            return;
        };
        self.reply(turn, at, 200);
        if !self.servers[invite].is_open() {
            return;
        }
        let is_first = self.servers[invite].request.to_tag().is_none();
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

    fn handle_within(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) {
        let method = message.method();
        let is_ours = message.to_tag() == Some(&self.tag)
            && message.call_id() == self.call_id
            && Some(message.from_tag()) == self.remote_tag.as_deref();
        // The edge may speak before its 200 has arrived.
        let is_unknown = self.is_caller && self.phase == Phase::Ringing;
        if !is_ours && !(is_unknown && self.remote_tag.is_none()) {
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
            "BYE" => {
                if self.challenge_of(turn, at, message) {
                    return;
                }
                self.reply(turn, at, 200);
                self.end(turn);
            }
            "INVITE" => {
                let is_glare =
                    self.clients.iter().any(|one| one.method == "INVITE" && !one.is_done());
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
                    self.agenda.push((later, Step::Reply { server: at, status }));
                }
            }
            _ => self.reply(turn, at, 200),
        }
    }

    fn handle_ack(&mut self, turn: &mut Turn<'_>, message: &Msg) {
        let (cseq, tag) = (message.cseq(), message.to_tag());
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
            is_up |= server.status < 300 && server.request.to_tag().is_none() && !server.is_acked;
            server.acked();
        }
        if !is_known {
            self.fault(format!("an ACK for nothing, CSeq {cseq}"));
        }
        if is_up && self.phase == Phase::Ringing {
            self.go_up(turn.now);
        }
    }

    fn reply(&mut self, turn: &mut Turn<'_>, at: usize, status: u16) {
        let request = &self.servers[at].request;
        let mut reply = request.reply(status, &self.tag);
        if request.method() == "INVITE" && (101..300).contains(&status) {
            let contact = format!("<sip:{}@{}>", self.name, self.addr);
            let sdp = if matches!(status, 183 | 200) {
                self.body()
            } else {
                String::new()
            };
            reply = reply.with("Contact", contact).with_sdp(&sdp);
        }
        self.send_reply(turn, at, status, &reply);
    }

    fn send_reply(&mut self, turn: &mut Turn<'_>, at: usize, status: u16, reply: &Msg) {
        let bytes = reply.bytes_as(self.plan.compact);
        turn.out.push(Act::Send(bytes.clone()));
        self.servers[at].answered(turn.now, status, bytes);
    }

    fn ring(&mut self, turn: &mut Turn<'_>, status: u16, fork: u8) {
        let Some(at) = self.open_invite() else { return };
        if fork == 0 {
            self.reply(turn, at, status);
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

    fn pick_up(&mut self, turn: &mut Turn<'_>) {
        let Some(at) = self.open_invite() else { return };
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
            twin.servers.push(Server::new(self.servers[at].request.clone()));
            twin.agenda.push((turn.now + after, Step::Answer));
            turn.out.push(Act::Fork(Box::new(twin)));
        }
        self.reply(turn, at, 200);
    }

    fn open_invite(&self) -> Option<usize> {
        self.servers
            .iter()
            .rposition(|one| one.is_invite() && one.is_open() && one.request.to_tag().is_none())
    }

    fn go_up(&mut self, now: Instant) {
        self.phase = Phase::Up;
        for (after, step) in self.plan.within.clone() {
            self.agenda.push((now + after, step));
        }
    }

    /// Nothing more of our own accord; requests that wait for an answer get one.
    fn end(&mut self, turn: &mut Turn<'_>) {
        self.phase = Phase::Over;
        self.agenda.clear();
        for at in 0..self.servers.len() {
            let server = &mut self.servers[at];
            if server.is_open() {
                self.reply(turn, at, 487);
            } else if server.status < 300 && !self.said_bye {
                // Whoever says BYE has no more use for the answer.
                server.acked();
            }
        }
    }

    fn fault(&mut self, text: String) {
        self.faults.push(format!("{}: {text}", self.name));
    }

    /// What it still waits for, when all is over.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for client in &self.clients {
            if client.timed_out {
                found.push(format!("{}: no answer to {}", self.name, client.method));
            } else if !client.is_done() {
                found.push(format!("{}: no final answer to {}", self.name, client.method));
            }
        }
        for server in self.servers.iter().filter(|server| server.is_unacked()) {
            found.push(format!("{}: no ACK for {}", self.name, server.status));
        }
        found
    }

}
