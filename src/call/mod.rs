//! The B2BUA: one call, its two legs, what happens next.
//!
//! [`Engine`] is the face. It owns the transactions and the calls of one shard and is driven as
//! the crate's documentation says: one mutation, drain the outputs, wait.
//!
//! | question | room |
//! |---|---|
//! | who may call, what strangers get | `admit` |
//! | the caller's INVITE, 18x, 2xx until ACK | `a_leg` |
//! | the INVITE to a buyer | `b_leg`, its challenge `credentials`, its headers `headers` |
//! | which buyer is next, and what the caller is told | `hunt` |
//! | an answered call: its two dialogs, ACKs | `bridge` |
//! | requests within an answered call | `relay` |
//! | BYEs | `closing` |
//! | the call key and the hop token | `facts` |

mod a_leg;
mod admit;
mod b_leg;
mod bridge;
#[expect(clippy::module_inception, reason = "the file of the type Call")]
mod call;
mod closing;
mod core;
mod credentials;
mod facts;
mod headers;
mod hunt;
pub mod input;
pub mod output;
pub mod policy;
pub mod record;
mod registry;
mod relay;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::auth::gate::Gate;
use crate::call::admit::Arriving;
use crate::call::core::{Core, Owner, Report};
use crate::call::input::{Input, Which};
use crate::call::output::{Event, Gauges, Output, Refusal};
use crate::call::policy::Policy;
use crate::call::registry::Registry;
use crate::sip::build::{ReplyHead, Writer};
use crate::sip::error::ParseError;
use crate::sip::flow::Flow;
use crate::sip::frame;
use crate::sip::message::{Essentials, Malformed, Message, Method, Request, Response, parse};
use crate::transaction::key::ServerKey;
use crate::transaction::layer::{Answer, Incoming, ServerId};
use crate::types::ids::{Entropy, Mark, ShardId};

/// The stream of the seed that the nonces' secret is taken from; shards use those of their numbers.
const NONCE_STREAM: u64 = u64::MAX;

/// All calls of one shard.
pub struct Engine {
    policy: Arc<Policy>,
    core: Core,
    gate: Gate,
    registry: Registry,
    is_draining: bool,
}

impl Engine {
    /// Starts an engine without calls. `seed` makes all that must not be guessed, and makes it again in a
    /// test; the shell draws it at random at each start. All shards of a process are given the same seed
    /// and the same `start`, so that one can tell the nonce of another.
    #[must_use]
    pub fn new(shard: ShardId, seed: [u8; 32], start: Instant, policy: Arc<Policy>) -> Self {
        let mut nonce_secret = [0; 32];
        Entropy::stream(seed, NONCE_STREAM).fill(&mut nonce_secret);
        let entropy = Entropy::stream(seed, u64::from(shard.0));
        let mut core = Core::new(shard, entropy, policy.limits.transactions);
        core.layer.set_timing(policy.timing);
        Self {
            gate: Gate::new(&nonce_secret, shard, start, policy.limits.nonces),
            registry: Registry::new(policy.limits.calls),
            core,
            policy,
            is_draining: false,
        }
    }

    /// Takes in one thing that happened. Afterwards drain [`poll_output`](Self::poll_output).
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Datagram { flow, bytes } => self.handle_datagram(now, flow, bytes),
            Input::TransportFailed { flow } => {
                self.core
                    .transact(|layer, out| layer.transport_failed(now, &flow, out));
            }
            Input::Policy(policy) => {
                self.core.layer.set_timing(policy.timing);
                self.policy = policy;
            }
            Input::Drain(is_on) => self.is_draining = is_on,
            Input::Hangup(which) => self.hang_up(now, which),
            Input::Timeout => self.handle_timeout(now),
        }
        self.deliver_reports(now);
    }

    /// The next thing for the shell to do, in order; `None` when all is said.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.poll_output()
    }

    /// When [`Input::Timeout`] is next wanted; `None`: nothing is waiting for time.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let transactions = self.core.layer.poll_timeout();
        let calls = self.registry.poll_timeout();
        transactions.into_iter().chain(calls).min()
    }

    /// How much the engine holds. Walks over all calls: ask about once a second.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let mut gauges = Gauges {
            server_transactions: self.core.layer.server_count(),
            client_transactions: self.core.layer.client_count(),
            timers: self.core.layer.timer_count(),
            ..Gauges::default()
        };
        self.registry.count(&mut gauges);
        gauges
    }

    fn handle_datagram(&mut self, now: Instant, flow: Flow, datagram: &[u8]) {
        let Some(bytes) = frame::datagram(datagram) else {
            return;
        };
        match parse(bytes) {
            Ok(Message::Request(request)) => self.handle_request(now, flow, &request, bytes),
            Ok(Message::Response(response)) => self.handle_response(now, flow, &response, bytes),
            Err(Malformed { error, answerable }) => {
                self.handle_malformed(flow, error, answerable.as_deref(), bytes.len());
            }
        }
    }

    /// Says what is wrong with a request that cannot be read, where an answer can be addressed, and is no
    /// longer than what it answers.
    fn handle_malformed(
        &mut self,
        flow: Flow,
        error: ParseError,
        request: Option<&Request<'_>>,
        length: usize,
    ) {
        self.core.event(Event::Malformed { error, flow });
        let (Some(request), Some(status)) = (request, error.status()) else {
            return;
        };
        if request.method == Method::Ack {
            return;
        }
        let tag = self.core.mark(0).text();
        let reply = ReplyHead::new(request, &flow);
        let built = Writer::reply(&mut self.core.buffer, &reply, status, Some(&tag)).finish(b"");
        if let Some(bytes) = self.core.built(built)
            && bytes.len() <= length
        {
            self.core.transmit(flow, bytes);
        }
    }

    fn handle_request(&mut self, now: Instant, flow: Flow, request: &Request<'_>, bytes: &[u8]) {
        let essentials = match request.essentials() {
            Ok(essentials) => essentials,
            Err(error) => {
                self.handle_malformed(flow, error, Some(request), bytes.len());
                return;
            }
        };
        let incoming = self
            .core
            .transact(|layer, out| layer.receive(now, &flow, request, &essentials, out));
        match incoming {
            Incoming::Absorbed => self.core.event(Event::Repeated),
            Incoming::Ack => self.handle_ack(now, flow, request, &essentials, bytes),
            Incoming::Cancel { key, invite } => {
                self.note_request(request);
                self.handle_cancel(now, flow, request, key, invite, &essentials);
            }
            Incoming::New(key) => {
                self.note_request(request);
                match essentials.to.tag() {
                    Some(tag) => {
                        let mark = Mark::parse(tag);
                        self.handle_within(now, flow, request, &essentials, key, mark, bytes);
                    }
                    None => self.handle_outside(now, flow, request, &essentials, key, bytes),
                }
            }
        }
    }

    fn note_request(&mut self, request: &Request<'_>) {
        self.core.event(Event::Request {
            method: request.method.label(),
        });
    }

    /// A request outside any dialog.
    fn handle_outside(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Request<'_>,
        essentials: &Essentials<'_>,
        key: ServerKey,
        bytes: &[u8],
    ) {
        let arriving = Arriving {
            now,
            flow,
            policy: &self.policy,
            request,
            essentials,
        };
        if !arriving.passes_basics(&mut self.core) {
            return;
        }
        match request.method {
            Method::Invite => arriving.admit(
                &mut self.core,
                &mut self.gate,
                &mut self.registry,
                key,
                self.is_draining,
                bytes,
            ),
            Method::Options => arriving.answer_options(&mut self.core, self.is_draining),
            Method::Bye | Method::Prack | Method::Update | Method::Info => {
                arriving.refuse(&mut self.core, Refusal::NoDialog, 481);
            }
            Method::Register
            | Method::Message
            | Method::Refer
            | Method::Notify
            | Method::Subscribe
            | Method::Publish => arriving.refuse_method(&mut self.core, 405),
            // Neither gets here: transactions tell them apart.
            Method::Ack | Method::Cancel => {}
            Method::Other(_) => arriving.refuse_method(&mut self.core, 501),
        }
    }

    /// A request within a dialog: the To-tag is ours, and leads to the call.
    #[expect(
        clippy::too_many_arguments,
        reason = "a request, and what was learned of it"
    )]
    fn handle_within(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Request<'_>,
        essentials: &Essentials<'_>,
        key: ServerKey,
        mark: Option<Mark>,
        bytes: &[u8],
    ) {
        if self.is_elsewhere(mark, flow, bytes) {
            return;
        }
        let arriving = Arriving {
            now,
            flow,
            policy: &self.policy,
            request,
            essentials,
        };
        if !arriving.passes_basics(&mut self.core) {
            return;
        }
        let found = mark.and_then(|mark| {
            let call = self.registry.marked(mark)?;
            let side = call.side_of(mark)?;
            call.is_of(side, essentials).then_some((call, side))
        });
        let Some((call, side)) = found else {
            arriving.refuse(&mut self.core, Refusal::NoDialog, 481);
            return;
        };
        if !call.advance(side, essentials.cseq, flow) {
            arriving.refuse(&mut self.core, Refusal::OldCSeq, 500);
            return;
        }
        match request.method {
            Method::Refer => arriving.refuse(&mut self.core, Refusal::Method, 603),
            Method::Register | Method::Subscribe | Method::Publish => {
                arriving.refuse_method(&mut self.core, 405);
            }
            // We ask nobody for reliable provisional responses, so there is none to acknowledge.
            Method::Prack => arriving.refuse(&mut self.core, Refusal::NoDialog, 481),
            Method::Ack | Method::Cancel => {}
            Method::Bye => {
                let reply = ReplyHead::new(request, &flow);
                match self.core.layer.accept(now, key, flow, false, Owner::Nobody) {
                    Some(server) => self.core.answer(now, server, &reply, 200, None),
                    // No room to keep the answer in; a call ends all the same.
                    None => arriving.confirm(&mut self.core, &reply),
                }
                call.handle_bye(now, &mut self.core, side);
            }
            Method::Invite
            | Method::Options
            | Method::Update
            | Method::Info
            | Method::Message
            | Method::Notify
            | Method::Other(_) => {
                let is_invite = request.method == Method::Invite;
                let owner = Owner::RelayIn(call.key);
                match self.core.layer.accept(now, key, flow, is_invite, owner) {
                    Some(server) => call.handle_request_within(
                        now,
                        &mut self.core,
                        side,
                        server,
                        flow,
                        request,
                        essentials,
                    ),
                    None => {
                        self.core.event(Event::TableFull {
                            table: "transactions",
                        });
                        arriving.refuse(&mut self.core, Refusal::Overload, 503);
                    }
                }
            }
        }
        let key = call.key;
        self.registry.attend(now, key);
    }

    fn handle_ack(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Request<'_>,
        essentials: &Essentials<'_>,
        bytes: &[u8],
    ) {
        let mark = essentials.to.tag().and_then(Mark::parse);
        if self.is_elsewhere(mark, flow, bytes) {
            return;
        }
        let found = mark.and_then(|mark| {
            let call = self.registry.marked(mark)?;
            let side = call.side_of(mark)?;
            call.is_of(side, essentials).then_some((call, side))
        });
        let Some((call, side)) = found else {
            self.core.event(Event::Stray);
            return;
        };
        call.handle_ack(now, &mut self.core, side, request, essentials);
        let key = call.key;
        self.registry.attend(now, key);
    }

    /// CANCEL has a transaction of its own, and is answered whatever becomes of the INVITE (§9.2).
    fn handle_cancel(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Request<'_>,
        key: ServerKey,
        invite: Option<(ServerId, Owner)>,
        essentials: &Essentials<'_>,
    ) {
        let arriving = Arriving {
            now,
            flow,
            policy: &self.policy,
            request,
            essentials,
        };
        let Some((invite, owner)) = invite else {
            arriving.refuse(&mut self.core, Refusal::NoDialog, 481);
            return;
        };
        let reply = ReplyHead::new(request, &flow);
        match self.core.layer.accept(now, key, flow, false, Owner::Nobody) {
            Some(server) => self.core.answer(now, server, &reply, 200, None),
            None => arriving.confirm(&mut self.core, &reply),
        }
        let (Owner::Caller(call) | Owner::RelayIn(call)) = owner else {
            return;
        };
        let Some(call) = self.registry.call(call) else {
            return;
        };
        if let Owner::RelayIn(_) = owner {
            call.handle_relay_cancel(now, &mut self.core, invite);
        } else {
            call.handle_caller_gone(now, &mut self.core);
        }
        let key = call.key;
        self.registry.attend(now, key);
    }

    fn handle_response(&mut self, now: Instant, flow: Flow, response: &Response<'_>, bytes: &[u8]) {
        let essentials = match response.essentials() {
            Ok(essentials) => essentials,
            Err(error) => {
                self.core.event(Event::Malformed { error, flow });
                return;
            }
        };
        let answer = self
            .core
            .transact(|layer, out| layer.receive_response(now, response, &essentials, out));
        let (id, owner) = match answer {
            Answer::Up { id, owner } => (id, owner),
            Answer::Absorbed => {
                self.core.event(Event::Repeated);
                return;
            }
            Answer::Stray => {
                self.core.event(Event::Stray);
                return;
            }
            Answer::Elsewhere(shard) => {
                self.forward(shard, flow, bytes);
                return;
            }
        };
        self.core.event(Event::Response {
            status: response.status,
        });
        let core = &mut self.core;
        let call = match owner {
            Owner::Attempt(key) | Owner::RelayOut(key) | Owner::Closing(key) => {
                self.registry.call(key)
            }
            Owner::Nobody | Owner::Abandoned | Owner::Caller(_) | Owner::RelayIn(_) => None,
        };
        match (owner, call) {
            (Owner::Attempt(key), Some(call)) => {
                call.handle_attempt_response(now, core, response, &essentials);
                self.registry.attend(now, key);
            }
            (Owner::RelayOut(key), Some(call)) => {
                call.handle_relay_response(now, core, id, response, &essentials);
                self.registry.attend(now, key);
            }
            (Owner::Closing(key), Some(call)) => {
                call.handle_bye_response(now, core, id, response);
                self.registry.attend(now, key);
            }
            _ if essentials.method == Method::Invite && (200..300).contains(&response.status) => {
                closing::acknowledge_and_end(
                    now,
                    core,
                    &self.policy,
                    id,
                    flow,
                    response,
                    &essentials,
                );
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.core
            .transact(|layer, out| layer.handle_timeout(now, out));
        while let Some(key) = self.registry.poll_due(now) {
            if let Some(call) = self.registry.call(key) {
                call.handle_timeout(now, &mut self.core);
            }
            self.registry.attend(now, key);
        }
    }

    /// Tells calls which of their requests got no answer.
    fn deliver_reports(&mut self, now: Instant) {
        while let Some(report) = self.core.poll_report() {
            let (Report::TimedOut { id, owner } | Report::Failed { id, owner }) = report;
            let (Owner::Attempt(key) | Owner::RelayOut(key) | Owner::Closing(key)) = owner else {
                continue;
            };
            let Some(call) = self.registry.call(key) else {
                continue;
            };
            match owner {
                Owner::Attempt(_) => call.handle_attempt_failure(now, &mut self.core, id),
                Owner::RelayOut(_) => call.handle_relay_failure(now, &mut self.core, id),
                Owner::Closing(_) => call.handle_bye_done(id),
                Owner::Nobody | Owner::Abandoned | Owner::Caller(_) | Owner::RelayIn(_) => {}
            }
            self.registry.attend(now, key);
        }
    }

    fn hang_up(&mut self, now: Instant, which: Which) {
        let keys = match which {
            Which::One(uuid) => self.registry.named(uuid).into_iter().collect(),
            Which::All => self.registry.keys(),
        };
        for key in keys {
            if let Some(call) = self.registry.call(key) {
                call.stop(now, &mut self.core);
            }
            self.registry.attend(now, key);
        }
    }

    /// Hands a message on whose tag says that another shard owns its dialog.
    fn is_elsewhere(&mut self, mark: Option<Mark>, flow: Flow, bytes: &[u8]) -> bool {
        match mark {
            Some(mark) if mark.shard != self.core.shard => {
                self.forward(mark.shard, flow, bytes);
                true
            }
            Some(_) | None => false,
        }
    }

    fn forward(&mut self, shard: ShardId, flow: Flow, bytes: &[u8]) {
        self.core.output(Output::Forward {
            shard,
            flow,
            bytes: Bytes::copy_from_slice(bytes),
        });
    }
}
