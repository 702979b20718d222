//! What every part of a call needs in order to act: transactions, random bits, a buffer to write
//! messages in, and the queue of what the shell is to do.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::call::gates::Gates;
use crate::call::half_open::HalfOpen;
use crate::call::headers::Crossing;
use crate::call::health::Health;
use crate::call::output::{Event, Output};
use crate::call::peers::Peers;
use crate::call::policy::Policy;
use crate::call::room::Rooms;
use crate::call::transfer::News;
use crate::call::unwanted::{Leavings, UnwantedKey};
use crate::call::whereabouts::Whereabouts;
use crate::media::plan::SessionId;
use crate::sip::build::{BuildError, ReplyHead, Writer};
use crate::sip::flow::Flow;
use crate::sip::message::{Method, Request};
use crate::transaction::key::ServerKey;
use crate::transaction::layer::{ClientId, Effect, Layer, ServerId};
use crate::types::ids::{Entropy, Mark, ShardId};
use crate::types::moment::Moment;

/// The engine without its calls.
pub(crate) struct Core {
    /// Our shard.
    pub(crate) shard: ShardId,
    /// All transactions of the shard.
    pub(crate) layer: Layer<Owner>,
    /// Tags, branches, Call-IDs, UUIDs, cnonces.
    pub(crate) entropy: Entropy,
    /// Where the next message is written.
    pub(crate) buffer: Vec<u8>,
    /// Key of the To-tags of stateless answers.
    pub(crate) stateless_key: [u8; 16],
    /// The INVITE that was taken in for a call which is not in the table yet.
    pub(crate) begun: Option<ServerId>,
    /// What is left of calls that were cancelled.
    pub(crate) leavings: Leavings,
    /// Which gateways are worth a call.
    pub(crate) health: Health,
    /// INVITEs of those who may leave only so many open.
    pub(crate) half_open: HalfOpen,
    /// Questions for places so far.
    pub(crate) rounds: u32,
    /// Where buyers are that are known by name.
    pub(crate) whereabouts: Whereabouts,
    /// Where peers are that gave names.
    pub(crate) peers: Peers,
    /// Gateways that took no connection, by name, and until when they are not asked to. As many as a
    /// configuration has, at most.
    pub(crate) without_tcp: HashMap<Arc<str>, Instant>,
    /// Our ports for media.
    pub(crate) gates: Gates,
    /// Who waits for a buyer.
    pub(crate) rooms: Rooms,
    /// A moment on both clocks.
    clock: (Instant, Moment),
    effects: Vec<Effect<Owner>>,
    /// What calls have to tell one another, in order.
    pub(crate) news: VecDeque<News>,
    /// What transactions reported and calls have yet to hear, in order.
    pending: VecDeque<Report>,
    out: VecDeque<Output>,
}

/// Names a call: its slot, and a serial number that tells apart those that used the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CallKey {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

impl CallKey {
    /// The name of the call's media: shards count their slots for themselves.
    pub(crate) fn session(self, shard: ShardId) -> SessionId {
        SessionId::new(shard, self.slot, self.serial)
    }

    /// The call whose media has this name.
    pub(crate) fn of_session(id: SessionId) -> Self {
        Self {
            slot: id.slot(),
            serial: id.0 as u32,
        }
    }
}

/// Whose a transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Nobody's: it answers for itself until it ends.
    Nobody,
    /// Server: the caller's INVITE.
    Caller(CallKey),
    /// Server: a request within a call's dialog that is being relayed.
    RelayIn(CallKey),
    /// Client: our INVITE to the buyer whose turn it is.
    Attempt(CallKey),
    /// Client: an INVITE that nobody waits for; should it be answered all the same, it is ended. So many
    /// CSeqs were used in its early dialogs.
    Abandoned(u8),
    /// Client: the same, to a buyer that may challenge the BYE which ends it.
    Unwanted(UnwantedKey),
    /// Client: that BYE.
    Parting(UnwantedKey),
    /// Client: a re-INVITE that nobody waits for; should it be answered all the same, it is acknowledged,
    /// and its dialog ends by the BYE of its own.
    AbandonedWithin,
    /// Client: a request that we relay within a call's dialog.
    RelayOut(CallKey),
    /// Client: a BYE of ours.
    Closing(CallKey),
    /// Client: a PRACK of ours.
    Prack(CallKey),
    /// Client: a refresh of a session.
    Refresh(CallKey),
    /// Client: a re-INVITE that brings another party.
    Transfer(CallKey),
    /// Client: a re-INVITE that tells a side of other ports of ours.
    Move(CallKey),
    /// Client: OPTIONS to the gateway in this place of the list of probes.
    Probe(u32),
}

/// What a transaction reports besides messages.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Report {
    /// No answer came in time.
    TimedOut { id: ClientId, owner: Owner },
    /// The transport failed.
    Failed { id: ClientId, owner: Owner },
}

impl Core {
    pub(crate) fn new(
        shard: ShardId,
        mut entropy: Entropy,
        start: Instant,
        most_transactions: usize,
    ) -> Self {
        let mut seed = [0; 16];
        entropy.fill(&mut seed);
        let mut stateless_key = [0; 16];
        entropy.fill(&mut stateless_key);
        Self {
            shard,
            layer: Layer::new(shard, seed, most_transactions),
            entropy,
            buffer: Vec::with_capacity(4096),
            stateless_key,
            begun: None,
            leavings: Leavings::default(),
            health: Health::default(),
            half_open: HalfOpen::default(),
            rounds: 0,
            whereabouts: Whereabouts::default(),
            peers: Peers::default(),
            without_tcp: HashMap::new(),
            gates: Gates::default(),
            rooms: Rooms::default(),
            clock: (start, Moment::default()),
            effects: Vec::new(),
            news: VecDeque::new(),
            pending: VecDeque::new(),
            out: VecDeque::new(),
        }
    }

    /// Runs one operation of the transaction layer and takes in what it has to say.
    pub(crate) fn transact<R>(
        &mut self,
        operation: impl FnOnce(&mut Layer<Owner>, &mut Vec<Effect<Owner>>) -> R,
    ) -> R {
        let result = operation(&mut self.layer, &mut self.effects);
        for effect in self.effects.drain(..) {
            match effect {
                Effect::Transmit { flow, bytes, again } => {
                    if again {
                        self.out.push_back(Output::Event(Event::Retransmitted));
                    }
                    self.out.push_back(Output::Transmit { flow, bytes });
                }
                Effect::TimedOut { id, owner } => {
                    self.pending.push_back(Report::TimedOut { id, owner });
                }
                Effect::Failed { id, owner } => {
                    self.pending.push_back(Report::Failed { id, owner });
                }
                // A failure that the caller never acknowledged: its call is over and recorded.
                Effect::NoAck { .. } => {}
                Effect::Settled { id } => self.half_open.settle(id),
            }
        }
        result
    }

    /// Answers a server transaction. A final response that could not be built (`None` is returned then)
    /// gives way to a bare 500 with `tag`, as no timer ends a transaction without one.
    pub(crate) fn respond(
        &mut self,
        now: Instant,
        id: ServerId,
        (reply, tag): (&ReplyHead, &[u8]),
        status: u16,
        response: Result<Bytes, BuildError>,
    ) -> Option<Bytes> {
        let Some(response) = self.built(response) else {
            if status >= 200 {
                self.give_up(now, id, reply, tag);
            }
            return None;
        };
        let copy = response.clone();
        self.transact(|layer, out| layer.respond(now, id, status, response, out));
        Some(copy)
    }

    /// Ends a server transaction whose answer could not be built: by a 500, or by forgetting it.
    fn give_up(&mut self, now: Instant, id: ServerId, reply: &ReplyHead, tag: &[u8]) {
        match Writer::reply(&mut self.buffer, reply, 500, Some(tag)).finish(b"") {
            Ok(bare) => self.transact(|layer, out| layer.respond(now, id, 500, bare, out)),
            Err(_) => self.forget(id),
        }
    }

    /// Drops a server transaction that cannot be answered.
    pub(crate) fn forget(&mut self, id: ServerId) {
        self.layer.forget(id);
        self.half_open.settle(id);
    }

    /// Answers a server transaction without a body, within a dialog.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        id: ServerId,
        reply: &ReplyHead,
        status: u16,
        retry_after: Option<u32>,
    ) {
        let mut writer = Writer::reply(&mut self.buffer, reply, status, None);
        if let Some(seconds) = retry_after {
            writer.number("Retry-After", seconds);
        }
        let built = writer.finish(b"");
        self.respond(now, id, (reply, b""), status, built);
    }

    /// Answers a server transaction with 422 and the least session interval, in seconds (RFC 4028 §9).
    pub(crate) fn refuse_interval(
        &mut self,
        now: Instant,
        id: ServerId,
        reply: &ReplyHead,
        min: u32,
    ) {
        let mut writer = Writer::reply(&mut self.buffer, reply, 422, None);
        writer.number("Min-SE", min);
        let built = writer.finish(b"");
        self.respond(now, id, (reply, b""), 422, built);
    }

    /// Answers a caller's INVITE with 100 at once (RFC 3261 §8.2.6.1: no tag).
    pub(crate) fn answer_early(&mut self, now: Instant, id: ServerId, reply: &ReplyHead) {
        self.answer(now, id, reply, 100, None);
    }

    /// Begins a server transaction; `None`: the table is full, which is told of.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        key: ServerKey,
        flow: Flow,
        is_invite: bool,
        owner: Owner,
    ) -> Option<ServerId> {
        let server = self.layer.accept(now, key, flow, is_invite, owner);
        if server.is_none() {
            self.event(Event::TableFull {
                table: "transactions",
            });
        }
        server
    }

    /// Reserves a client transaction; `None`: the table is full.
    pub(crate) fn prepare(&mut self) -> Option<ClientId> {
        self.layer.prepare(&mut self.entropy)
    }

    /// The name of a client transaction that nobody has any more: what is asked of it does nothing.
    pub(crate) fn nobody(&mut self) -> Option<ClientId> {
        let client = self.prepare()?;
        self.layer.release(client);
        Some(client)
    }

    /// Sends a request of `method` in a client transaction that was reserved for it.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        client: ClientId,
        (method, bytes): (Method<'_>, Bytes),
        flow: Flow,
        owner: Owner,
    ) {
        self.transact(|layer, out| {
            if method == Method::Invite {
                layer.send_invite(now, client, flow, bytes, owner, out);
            } else {
                layer.send_request(now, client, flow, bytes, owner, out);
            }
        });
    }

    /// Whether what comes from this address is to be met with silence, unless it belongs to a call or shows a
    /// password.
    pub(crate) fn is_silent_to(&self, now: Instant, policy: &Policy, address: IpAddr) -> bool {
        policy.is_silent_to(address) && !self.whereabouts.has(now, address)
    }

    /// Notes a message that could not be built.
    pub(crate) fn built(&mut self, message: Result<Bytes, BuildError>) -> Option<Bytes> {
        match message {
            Ok(bytes) => Some(bytes),
            Err(_) => {
                self.event(Event::Unbuildable);
                None
            }
        }
    }

    /// What of one side's BYE or CANCEL the other side is to hear.
    pub(crate) fn last_words(
        &mut self,
        crossing: Crossing<'_>,
        request: &Request<'_>,
    ) -> Option<Box<[u8]>> {
        let lines = crossing.last_words(&mut self.buffer, request);
        lines.unwrap_or_else(|_| {
            self.event(Event::Unbuildable);
            None
        })
    }

    /// Sends a message that no transaction looks after.
    pub(crate) fn transmit(&mut self, flow: Flow, bytes: Bytes) {
        self.out.push_back(Output::Transmit { flow, bytes });
    }

    /// Sends such a message again.
    pub(crate) fn retransmit(&mut self, flow: Flow, bytes: Bytes) {
        self.event(Event::Retransmitted);
        self.transmit(flow, bytes);
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    /// A new policy is in force.
    pub(crate) fn note_policy(&mut self, policy: &Policy) {
        self.without_tcp.clear();
        let Self { health, out, .. } = self;
        health.set_policy(policy, |event| out.push_back(Output::Event(event)));
    }

    /// It is this time of day now.
    pub(crate) fn set_clock(&mut self, now: Instant, moment: Moment) {
        self.clock = (now, moment);
    }

    /// The time of day at `now`.
    pub(crate) fn moment(&self, now: Instant) -> Moment {
        let (at, moment) = self.clock;
        match now.checked_duration_since(at) {
            Some(after) => moment.after(after),
            None => moment.before(at.saturating_duration_since(now)),
        }
    }

    pub(crate) fn output(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    pub(crate) fn poll_report(&mut self) -> Option<Report> {
        self.pending.pop_front()
    }

    /// A share of one, at random.
    pub(crate) fn share(&mut self) -> f64 {
        let mut bytes = [0; 4];
        self.entropy.fill(&mut bytes);
        f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
    }

    /// Mints a mark that leads to `slot`.
    pub(crate) fn mark(&mut self, slot: u32) -> Mark {
        Mark::new(self.shard, slot, &mut self.entropy)
    }
}
