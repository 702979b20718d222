//! All transactions of one shard: finds the one that a message belongs to, and runs the timers.
//!
//! ```text
//!                 TU: the call engine
//!    ^ Incoming, Answer      | accept, respond       | prepare, send_*, cancel, acked
//!    |                       v                       v
//!    |                   Servers  ------ Wheel ------  Clients
//!    |                    by key                       by slot, which our branch tells
//!    +--- receive, receive_response      Effect: what to send, what ended
//! ```
//!
//! It is sans-IO: what is to be sent, and what the TU did not ask for, is an [`Effect`] in the list
//! that each method is given; the same calls give the same effects in the same order.
//!
//! Each transaction has one owner, a name of the TU's (`O`) that comes back with all that concerns
//! it. One that is over is dropped, and its id is then good for nothing: methods ignore it.

mod cancel;

use std::time::Instant;

use bytes::Bytes;

use super::Packet;
use super::clients::Clients;
use super::key::{Keys, ServerKey, mark_in};
use super::servers::Servers;
use super::step::{Due, Step};
use super::timing::Timing;
use super::wheel::Wheel;
use crate::sip::flow::Flow;
use crate::sip::header::Via;
use crate::sip::message::{
    Essentials, Method, Name, Naming, Request, Response, ResponseEssentials,
};
use crate::types::ids::{Entropy, Mark, ShardId};

/// The transactions of one shard.
pub struct Layer<O> {
    shard: ShardId,
    timing: Timing,
    keys: Keys,
    servers: Servers<O>,
    clients: Clients<O>,
    wheel: Wheel<Due>,
}

/// Name of a server transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId {
    pub(super) slot: u32,
    /// Tells it from those that had the slot before.
    pub(super) serial: u32,
}

/// Name of a client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId {
    pub(super) slot: u32,
    /// Tells it from those that had the slot before.
    pub(super) serial: u32,
}

/// Where effects go; the order is part of the contract.
pub type Sink<O> = Vec<Effect<O>>;

/// What a transaction wants done, or has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect<O> {
    /// Send `bytes` along `flow`.
    Transmit {
        /// The way.
        flow: Flow,
        /// The whole message.
        bytes: Bytes,
        /// Whether it is a retransmission.
        again: bool,
    },
    /// The peer did not answer: timer B, timer F, or 64·T1 after a CANCEL. The transaction is over.
    TimedOut {
        /// It was this one.
        id: ClientId,
        /// Its owner.
        owner: O,
    },
    /// Its flow failed before a final response came; over UDP, before any. The transaction is over.
    Failed {
        /// It was this one.
        id: ClientId,
        /// Its owner.
        owner: O,
    },
    /// Nobody acknowledged the final response of an INVITE: timer H. The transaction is over.
    NoAck {
        /// It was this one.
        id: ServerId,
        /// Its owner.
        owner: O,
    },
    /// An INVITE that is [watched](Layer::watch) is half open no more.
    Settled {
        /// It was this one.
        id: ServerId,
    },
}

/// What the TU is to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<O> {
    /// Nothing is known of it: answer it statelessly, or [`accept`](Layer::accept) it.
    New(ServerKey),
    /// Nothing: a repeated request, answered as far as the TU has answered it, or the ACK of a
    /// non-2xx.
    Absorbed,
    /// The ACK of a 2xx, or a stray one.
    Ack,
    /// A CANCEL, to be accepted and answered under `key`.
    Cancel {
        /// The CANCEL's own transaction.
        key: ServerKey,
        /// The INVITE that it names and the owner of that, if it is there (else: 481).
        invite: Option<(ServerId, O)>,
    },
}

/// What the TU is to do with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<O> {
    /// Handle it: a provisional one, the first final one, or a 2xx of one more fork.
    Up {
        /// The transaction that it answers.
        id: ClientId,
        /// Its owner.
        owner: O,
    },
    /// Nothing: a repeated final response (its ACK went out again), or one to our CANCEL.
    Absorbed,
    /// Nothing: it answers no request of ours, or none that we still know.
    Stray,
    /// Give it to that shard, which sent the request.
    Elsewhere(ShardId),
}

impl<O: Copy> Layer<O> {
    /// Makes the layer of `shard`, for at most `limit` server and `limit` client transactions.
    /// `seed` is a secret, so that peers cannot foresee the keys of the table.
    #[must_use]
    pub fn new(shard: ShardId, seed: [u8; 16], limit: usize) -> Self {
        Self {
            shard,
            timing: Timing::default(),
            keys: Keys::new(seed),
            servers: Servers::new(limit),
            clients: Clients::new(limit),
            wheel: Wheel::new(),
        }
    }

    /// Sets the durations for timers that start from now on.
    pub fn set_timing(&mut self, timing: Timing) {
        self.timing = timing;
    }

    /// Takes at most `limit` server and `limit` client transactions at once from now on; those that
    /// are there stay.
    pub fn set_limit(&mut self, limit: usize) {
        self.servers.set_limit(limit);
        self.clients.set_limit(limit);
    }

    // Server side.

    /// Takes in a request that came along `flow`. A repeated one is answered along the same flow.
    pub fn receive(
        &mut self,
        now: Instant,
        flow: &Flow,
        request: &Request<'_>,
        essentials: &Essentials<'_>,
        out: &mut Sink<O>,
    ) -> Incoming<O> {
        let key = self.keys.server(request.method, &essentials.naming());
        let (servers, mut step) = self.server_step(now, out);
        if request.method == Method::Ack {
            return servers.handle_ack(&mut step, key);
        }
        if servers.handle_repeat(&mut step, key, *flow) {
            return Incoming::Absorbed;
        }
        if request.method == Method::Cancel {
            let invite = self.servers.find(self.invite_key(essentials));
            return Incoming::Cancel { key, invite };
        }
        Incoming::New(key)
    }

    /// The transaction of the INVITE that an ACK or a CANCEL names, whether it is there or not.
    #[must_use]
    pub fn invite_key(&self, essentials: &Essentials<'_>) -> ServerKey {
        self.keys.server(Method::Invite, &essentials.naming())
    }

    /// Whether the INVITE so named has a transaction.
    #[must_use]
    pub fn has_invite(&self, naming: &Naming<'_>) -> bool {
        let key = self.keys.server(Method::Invite, naming);
        self.servers.find(key).is_some()
    }

    /// Begins the server transaction of a request that [`receive`](Self::receive) called new, or of
    /// a CANCEL. `None`: the table is full, or the transaction is there already.
    ///
    /// The owner must see to it that a final response is given: no timer ends it before.
    pub fn accept(
        &mut self,
        _now: Instant,
        key: ServerKey,
        flow: Flow,
        method_is_invite: bool,
        owner: O,
    ) -> Option<ServerId> {
        self.servers.accept(key, flow, method_is_invite, owner)
    }

    /// Sends a response: `status` is its code, `response` the whole message. One that comes after
    /// the final response is dropped, except a 2xx after a 2xx of an INVITE.
    pub fn respond(
        &mut self,
        now: Instant,
        id: ServerId,
        status: u16,
        response: Bytes,
        out: &mut Sink<O>,
    ) {
        let (servers, mut step) = self.server_step(now, out);
        servers.respond(&mut step, id, status, response);
    }

    /// Gives a server transaction another owner.
    pub fn set_server_owner(&mut self, id: ServerId, owner: O) {
        self.servers.set_owner(id, owner);
    }

    /// The response that a repeated request would get, if it is kept: that of an INVITE's 2xx is not.
    #[must_use]
    pub fn last_response(&self, id: ServerId) -> Option<&Bytes> {
        self.servers.last_response(id)
    }

    /// Has [`Effect::Settled`] told of an INVITE's server transaction, once: when its final response is a 2xx, or was
    /// acknowledged, or timer H gave up on that.
    pub fn watch(&mut self, id: ServerId) {
        self.servers.watch(id);
    }

    /// Drops a server transaction that cannot be answered, and tells nothing of it. A repeated request is new again.
    pub fn forget(&mut self, id: ServerId) {
        self.servers.forget(id);
    }

    // Client side.

    /// Reserves a client transaction, to be used with [`send_invite`](Self::send_invite) or
    /// [`send_request`](Self::send_request), or given back with [`release`](Self::release). `None`:
    /// the table is full.
    pub fn prepare(&mut self, entropy: &mut Entropy) -> Option<ClientId> {
        self.clients.prepare(self.shard, entropy)
    }

    /// The branch of a transaction, to be written into the Via after the magic cookie.
    #[must_use]
    pub fn branch(&self, id: ClientId) -> [u8; Mark::LEN] {
        self.clients.mark(self.shard, id).text()
    }

    /// Gives a transaction back that was reserved and is not used after all.
    pub fn release(&mut self, id: ClientId) {
        self.clients.release(id);
    }

    /// Sends an INVITE, whose Via has the [`branch`](Self::branch) of `id`.
    pub fn send_invite(
        &mut self,
        now: Instant,
        id: ClientId,
        flow: Flow,
        invite: Bytes,
        owner: O,
        out: &mut Sink<O>,
    ) {
        let bytes = invite;
        let (clients, mut step) = self.client_step(now, out);
        clients.send_invite(&mut step, id, Packet { flow, bytes }, owner);
    }

    /// Sends a request other than INVITE and ACK, whose Via has the [`branch`](Self::branch) of `id`.
    pub fn send_request(
        &mut self,
        now: Instant,
        id: ClientId,
        flow: Flow,
        request: Bytes,
        owner: O,
        out: &mut Sink<O>,
    ) {
        let bytes = request;
        let (clients, mut step) = self.client_step(now, out);
        clients.send_request(&mut step, id, Packet { flow, bytes }, owner);
    }

    /// Sends an INVITE without any response no more: its peer is taken for dead. A late answer is still
    /// told, until timer B.
    pub fn stop_resending(&mut self, id: ClientId) {
        self.clients.stop_resending(id);
    }

    /// Whether a client transaction is there still.
    #[must_use]
    pub fn has_client(&self, id: ClientId) -> bool {
        self.clients.contains(id)
    }

    /// Gives a client transaction another owner.
    pub fn set_owner(&mut self, id: ClientId, owner: O) {
        self.clients.set_owner(id, owner);
    }

    /// Whether a response with this branch answers a request of ours.
    pub fn awaits(&self, branch: &[u8]) -> bool {
        mark_in(branch).is_some_and(|mark| self.clients.has_mark(&mark))
    }

    /// Takes in a response. That to an INVITE is acknowledged here if it is a 300-699, and if it is
    /// a repeated 2xx, with the ACK given to [`acked`](Self::acked).
    pub fn receive_response(
        &mut self,
        now: Instant,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
        out: &mut Sink<O>,
    ) -> Answer<O> {
        let Some(mark) = essentials.via.branch().and_then(mark_in) else {
            return Answer::Stray;
        };
        if mark.shard != self.shard {
            return Answer::Elsewhere(mark.shard);
        }
        let keys = self.keys;
        let (clients, mut step) = self.client_step(now, out);
        clients.handle_response(&mut step, &mark, response, essentials, keys)
    }

    /// Remembers the ACK that the TU sent for the 2xx with `to_tag`.
    pub fn acked(&mut self, id: ClientId, to_tag: &[u8], flow: Flow, ack: Bytes) {
        let to_tag = self.keys.tag(to_tag);
        self.clients.acked(id, to_tag, Packet { flow, bytes: ack });
    }

    /// Ends the client transactions that wait for an answer on `flow`: the shell could not send there,
    /// or the connection is gone. Over UDP one that got a provisional response goes on. It costs as
    /// much as there are such transactions.
    pub fn transport_failed(&mut self, now: Instant, flow: &Flow, out: &mut Sink<O>) {
        let (clients, mut step) = self.client_step(now, out);
        clients.handle_failed_flow(&mut step, flow);
    }

    /// Ends the client transaction of a `request` of ours that can never be sent, whatever else can be
    /// along its flow; unless somebody has answered, and so has it all the same.
    pub fn unsendable(&mut self, now: Instant, request: &Request<'_>, out: &mut Sink<O>) {
        let via = request.head.first(Name::Via).map(Via::parse);
        let Some(Ok(via)) = via else {
            return;
        };
        let branch = via.branch().unwrap_or_default();
        let mark = mark_in(branch);
        let Some(mark) = mark.filter(|mark| mark.shard == self.shard) else {
            return;
        };
        let (clients, mut step) = self.client_step(now, out);
        clients.handle_unsendable(&mut step, &mark, request.method);
    }

    // Time.

    /// Lets every timer due at `now` fire.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Sink<O>) {
        while let Some(due) = self.wheel.pop(now) {
            match due {
                Due::Server(id) => {
                    let (servers, mut step) = self.server_step(now, out);
                    servers.handle_timeout(&mut step, id);
                }
                Due::Client(id) => {
                    let (clients, mut step) = self.client_step(now, out);
                    clients.handle_timeout(&mut step, id);
                }
            }
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next wanted; at times it has nothing to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.poll_timeout()
    }

    /// Whether so many places are taken, of servers or of clients, that the rest is for what is under way:
    /// seven eighths of them.
    #[must_use]
    pub fn is_crowded(&self) -> bool {
        self.servers.is_crowded() || self.clients.is_crowded()
    }

    /// Number of server transactions.
    #[must_use]
    pub fn server_count(&self) -> usize {
        self.servers.len()
    }

    /// Number of client transactions, reserved ones included.
    #[must_use]
    pub fn client_count(&self) -> usize {
        self.clients.len()
    }

    /// Number of timers, those included that transactions no longer need and have not come up yet.
    #[must_use]
    pub fn timer_count(&self) -> usize {
        self.wheel.len()
    }

    fn server_step<'a>(
        &'a mut self,
        now: Instant,
        out: &'a mut Sink<O>,
    ) -> (&'a mut Servers<O>, Step<'a, O>) {
        let step = Step {
            now,
            timing: &self.timing,
            wheel: &mut self.wheel,
            out,
        };
        (&mut self.servers, step)
    }

    fn client_step<'a>(
        &'a mut self,
        now: Instant,
        out: &'a mut Sink<O>,
    ) -> (&'a mut Clients<O>, Step<'a, O>) {
        let step = Step {
            now,
            timing: &self.timing,
            wheel: &mut self.wheel,
            out,
        };
        (&mut self.clients, step)
    }
}

#[cfg(test)]
mod tests;
