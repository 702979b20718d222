//! A user agent of the simulator: one leg of one call, at the carrier's or at a buyer's.
//!
//! It follows its [`Plan`], keeps the rules of RFC 3261 on its side, and writes down what the edge got
//! wrong. It hears and says whole datagrams; `world` carries them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::client::{Client, Fired};
use super::dice::Dice;
use super::plan::{Plan, Step};
use super::server::Server;
use super::text::Msg;

mod session;
mod uac;
mod uas;

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
    /// The edge did not refresh the session that it should have.
    pub(crate) has_expired: bool,
    /// The session interval, in seconds, and whether we refresh.
    session: Option<(u32, bool)>,
    /// Caller: RSeq of the last reliable response heard.
    rseq: Option<u32>,
    /// An answer came, or went out, in a reliable response.
    has_early_answer: bool,
    /// Buyer: reliable responses sent.
    rings: Vec<Ring>,
}

/// A reliable provisional response of a buyer's.
#[derive(Debug, Clone)]
pub(crate) struct Ring {
    rseq: u32,
    bytes: Bytes,
    /// When it goes out next, and the pause after that; `None`: acknowledged, or given up.
    again: Option<(Instant, Duration)>,
    until: Instant,
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
            has_expired: false,
            session: None,
            rseq: None,
            has_early_answer: false,
            rings: Vec::new(),
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
        let rings = self.rings.iter();
        let rings = rings.filter_map(|ring| Some(ring.again?.0.min(ring.until)));
        steps.chain(clients).chain(servers).chain(rings).min()
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
        for ring in &mut self.rings {
            if let Some((at, pause)) = ring.again
                && at <= turn.now
            {
                ring.again = Some((turn.now + pause * 2, pause * 2));
                turn.out.push(Act::Send(ring.bytes.clone()));
            }
        }
        // RFC 3262 §3: without PRACK for 64·T1, the INVITE is refused.
        let in_vain = |ring: &Ring| ring.again.is_some() && ring.until <= turn.now;
        if self.rings.iter().any(in_vain)
            && let Some(at) = self.open_invite()
        {
            self.reply(turn, at, 504);
            // Whoever ignores a CANCEL for so long is not waited for.
            if self
                .servers
                .iter()
                .any(|one| one.request.method() == "CANCEL")
            {
                self.servers[at].acked();
            }
            self.end(turn);
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
            self.handle_ack(turn.now, message);
        } else {
            self.handle_request(turn, message);
        }
    }

    fn act(&mut self, turn: &mut Turn<'_>, step: Step) {
        match step {
            Step::Dial => self.dial(turn),
            Step::Cancel { by_bye } => self.give_up(turn, by_bye),
            Step::EarlyUpdate { has_offer } => {
                let has_dialog =
                    self.remote_tag.is_some() && (self.is_caller || self.is_answering());
                if self.phase == Phase::Ringing && has_dialog && !self.gives_up {
                    let mut update = self.request("UPDATE");
                    if has_offer {
                        let sdp = self.body();
                        update = update.with_sdp(&sdp);
                    }
                    let update = self.asking(update);
                    let at = self.send(turn, "UPDATE", &update);
                    self.clients[at].is_early = true;
                }
            }
            Step::Provisional { status, fork } => self.ring(turn, status, fork),
            Step::Answer => self.pick_up(turn),
            Step::Refuse(status) => {
                if let Some(at) = self.open_invite() {
                    self.reply(turn, at, status);
                    self.end(turn);
                }
            }
            Step::Reinvite { .. }
            | Step::Retract
            | Step::Ask(_)
            | Step::Update { .. }
            | Step::Refresh
            | Step::Expire
            | Step::Bye
                if self.phase != Phase::Up => {}
            Step::Update { has_offer } => self.update(turn, has_offer),
            Step::Refresh => self.refresh(turn),
            Step::Expire => {
                self.has_expired = true;
                self.hang_up(turn);
            }
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

    /// Nothing more of our own accord; requests that wait for an answer get one.
    fn end(&mut self, turn: &mut Turn<'_>) {
        self.phase = Phase::Over;
        self.agenda.clear();
        self.rings.clear();
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
                found.push(format!(
                    "{}: no final answer to {}",
                    self.name, client.method
                ));
            }
        }
        for server in self.servers.iter().filter(|server| server.is_unacked()) {
            found.push(format!("{}: no ACK for {}", self.name, server.status));
        }
        found
    }
}
