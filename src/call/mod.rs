//! The B2BUA: one call, its two legs, what happens next.
//!
//! [`Engine`] is the face. It owns the transactions and the calls of one shard and is driven as
//! the crate's documentation says: one mutation, drain the outputs, wait.
//!
//! | question | room |
//! |---|---|
//! | which call a message is for | `requests`, `responses` |
//! | who may call | `authenticate`, and what becomes of the call `admit` |
//! | what another shard must judge | `elsewhere` |
//! | what those get who may not | `refuse`, and why `refusal` |
//! | how many INVITEs one sender may leave open | `half_open` |
//! | the caller's INVITE, 18x, 2xx until ACK | `a_leg` |
//! | reliable provisional responses, on both legs | `provisional`, offers in them `reliable_offer`, after them `early_offer` |
//! | the INVITE to a buyer | `b_leg`, once more `again`, its challenge `credentials` |
//! | which headers pass between the legs, and who the caller is | `headers`, `identity` |
//! | what an answer of a buyer means, and what the caller is told | `hunt` |
//! | what the caller hears meanwhile | `ringing` |
//! | what is known of a call, and what its campaign makes of it | `story` |
//! | what is remembered of its caller | `memory`, by whom `memories`, and how a call asks `recall` |
//! | who gets it | `route` |
//! | who would get a call that has not happened | `explain` |
//! | how a call came to be decided | `course`, the same decided again `replay` |
//! | webhooks while it is set up | `pings`, and after that `aftermath` |
//! | what others say of a call | `posted`, and once it is over `late` |
//! | which buyer is next, and which gateway of it | `next` |
//! | several buyers at once, of whom one gets it | `race`, and their media `aside` |
//! | what is done for one buyer whose turn it is | `turn`, what the record says of it `tried` |
//! | how many calls a trunk may bring and a buyer takes | `places` |
//! | which gateways are left alone | `health`, what OPTIONS say of them `probes` |
//! | where a gateway is that is known by name | `whereabouts`, and a peer that gave one `peers` |
//! | an answered call: its two dialogs, ACKs | `bridge` |
//! | requests within a call | `within`, those that are relayed `relay`, and their answers `agreement` |
//! | a side that is to send its media elsewhere | `moving` |
//! | a transfer that we carry out | `refer`, `transfer`, the call that finds the other party `seek` |
//! | session timers | `session` |
//! | the end of an answered call, and its BYEs | `closing`, `bye` |
//! | answers that nobody waits for | `unwanted` |
//! | a call's media, where it is relayed | `media`, our ports `gates`, what is asked of rtpengine `lodger` |
//! | a call that a vendor carries | `abroad`, whom it calls `abroad_leg`, by which words `errand` |
//! | which call a name or its media is | `whose` |
//! | a handler that has panicked | `rescue`, a journal that cannot be written `unkept` |
//! | how we appear to a side | `face` |
//! | the call key and the hop token | `facts` |

mod a_leg;
pub mod abroad;
mod abroad_leg;
mod admit;
mod aftermath;
mod again;
mod agreement;
mod aside;
mod authenticate;
mod b_leg;
mod bridge;
mod bye;
#[expect(clippy::module_inception, reason = "the file of the type Call")]
mod call;
mod claimant;
mod closing;
mod core;
pub mod course;
mod credentials;
mod early_offer;
mod elsewhere;
pub mod errand;
pub mod explain;
mod face;
mod facts;
mod gates;
mod guest;
mod half_open;
mod headers;
mod health;
mod hunt;
mod identity;
pub mod input;
pub mod late;
mod lodger;
mod media;
pub mod memories;
pub mod memory;
mod moving;
mod next;
pub mod output;
mod peers;
mod pings;
pub mod places;
pub mod policy;
mod posted;
mod probes;
mod provisional;
mod race;
pub mod recall;
pub mod record;
mod refer;
mod refusal;
mod refuse;
mod registry;
mod relay;
mod reliable_offer;
pub mod replay;
mod requests;
mod rescue;
mod responses;
mod ringing;
pub mod room;
mod route;
mod seek;
mod session;
pub mod shed;
pub mod story;
mod taken_up;
mod transfer;
mod tried;
mod turn;
mod unkept;
mod unwanted;
mod whereabouts;
mod whose;
mod within;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::auth::gate::Gate;
use crate::call::core::{CallKey, Core};
use crate::call::elsewhere::HandedOn;
use crate::call::gates::Gates;
use crate::call::health::Health;
use crate::call::input::{Input, MediaLost};
use crate::call::output::{Event, Gauges, Output};
use crate::call::places::{Ticket, Verdict};
use crate::call::policy::Policy;
use crate::call::probes::Probes;
use crate::call::refuse::room;
use crate::call::registry::Registry;
use crate::call::rescue::tripwire;
use crate::call::shed::Shed;
use crate::call::unkept::Closed;
use crate::media::ng::ask::Told;
use crate::media::plan::SessionId;
use crate::sip::build::{ReplyHead, Writer};
use crate::sip::error::ParseError;
use crate::sip::flow::Flow;
use crate::sip::frame;
use crate::sip::glance::{Glance, Kind};
use crate::sip::locate::{Located, Wanted};
use crate::sip::message::{Essentials, Malformed, Message, Method, Request, parse};
use crate::types::ids::{Entropy, Mark, ShardId};

/// The stream of the seed that the nonces' secret is taken from; shards use those of their numbers.
const NONCE_STREAM: u64 = u64::MAX;
/// The shard that asks gateways how they are.
const PROBING: ShardId = ShardId(0);

/// All calls of one shard.
pub struct Engine {
    policy: Arc<Policy>,
    core: Core,
    gate: Gate,
    registry: Registry,
    handed_on: HandedOn,
    /// Empty but on the first shard, which asks for all.
    probes: Probes,
    closed: Closed,
    /// New calls are refused while the datagram at hand is.
    shed: Option<Shed>,
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
        let mut core = Core::new(shard, entropy, start, policy.limits.transactions);
        core.layer.set_timing(policy.timing);
        let mut gate = Gate::new(&nonce_secret, shard, start, policy.limits.nonces);
        gate.set_guesses(policy.guard.guesses, policy.guard.lock);
        core.health = Health::new(policy.generation);
        core.whereabouts.handle_policy(&policy);
        core.gates = Gates::new(&policy.media, shard);
        let mut probes = Probes::default();
        if shard == PROBING {
            probes.set_policy(start, &mut core, &policy);
        }
        Self {
            gate,
            registry: Registry::new(policy.limits.calls),
            handed_on: HandedOn::new(&policy),
            core,
            policy,
            probes,
            closed: Closed::default(),
            shed: None,
        }
    }

    /// Takes in one thing that happened. Afterwards drain [`poll_output`](Self::poll_output).
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.registry.take_touched();
        self.core.begun = None;
        self.shed = None;
        match input {
            Input::Datagram { flow, bytes } => self.handle_datagram(now, flow, bytes),
            Input::Broken { flow, error, head } => self.handle_broken(now, flow, error, head),
            Input::Shed {
                flow,
                bytes,
                retry_after,
            } => {
                self.handle_shed(now, flow, bytes, Shed { retry_after });
            }
            Input::TransportFailed { flow } => {
                self.core
                    .transact(|layer, out| layer.transport_failed(now, &flow, out));
            }
            Input::Unsendable { bytes } => {
                // Only requests have somebody who waits.
                if let Ok(Message::Request(request)) = parse(bytes) {
                    self.core
                        .transact(|layer, out| layer.unsendable(now, &request, out));
                }
            }
            Input::Resolved { wanted, located } => {
                self.handle_peer_located(now, &wanted, located.as_ref());
                let is_found = located.is_some();
                let waiting = self.core.whereabouts.resolved(now, wanted.clone(), located);
                for key in waiting {
                    if let Some(call) = self.registry.call(key) {
                        call.handle_located(now, &mut self.core, &wanted, is_found);
                    }
                    self.registry.attend(now, key);
                }
            }
            Input::Clock(moment) => self.core.set_clock(now, moment),
            Input::Policy(policy) => self.handle_policy(now, policy),
            Input::Drain(is_on) => self.set_draining(is_on),
            Input::Shut(is_on) => self.closed.is_shut = is_on,
            Input::Unkept(uuid) => self.handle_unkept(now, uuid),
            Input::Hangup(which) => self.hang_up(now, which),
            Input::Reserved { ticket, verdict } => self.handle_reserved(now, ticket, verdict),
            Input::Fetched { ticket, reply } => {
                let key = ticket.call();
                if let Some(call) = self.registry.call(key) {
                    call.handle_reply(now, &mut self.core, ticket, reply);
                }
                self.registry.attend(now, key);
            }
            Input::Recalled { ticket, recalled } => {
                let key = ticket.call();
                if let Some(call) = self.registry.call(key) {
                    call.handle_recalled(now, &mut self.core, ticket, recalled);
                }
                self.registry.attend(now, key);
            }
            Input::Posted(post) => self.handle_post(now, post),
            Input::Probed {
                buyer,
                gateway,
                is_lost,
            } => self.handle_probed(buyer, gateway, is_lost),
            Input::Media { id, lost } => self.handle_media(now, id, lost),
            Input::MediaTold(told) => self.handle_media_told(now, told),
            Input::Abroad(uuid, said) => self.handle_said(now, uuid, said),
            Input::Timeout => self.handle_timeout(now),
        }
        self.deliver_reports(now);
        self.deliver_news(now);
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
        let probes = self.probes.poll_timeout();
        [transactions, calls, probes].into_iter().flatten().min()
    }

    /// Whether what shows this at a glance belongs to a call or a request of ours: it has our tag or our branch,
    /// which nobody guesses.
    #[must_use]
    pub fn awaits(&self, glance: &Glance<'_>) -> bool {
        match glance.kind {
            Kind::Request(_) => glance
                .to_tag
                .and_then(Mark::parse)
                .is_some_and(|mark| self.registry.has_mark(mark)),
            Kind::Response => glance
                .branch
                .is_some_and(|branch| self.core.layer.awaits(branch)),
            Kind::Unreadable => false,
        }
    }

    /// How much the engine holds. Walks over all calls: ask about once a second.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let mut gauges = Gauges {
            server_transactions: self.core.layer.server_count(),
            client_transactions: self.core.layer.client_count(),
            timers: self.core.layer.timer_count(),
            media_ports: self.core.gates.stock(),
            media_shared: self.core.gates.shared(),
            ..Gauges::default()
        };
        self.registry.count(&mut gauges);
        debug_assert!(self.core.leavings.len() <= gauges.client_transactions);
        debug_assert!(self.core.half_open.len() <= gauges.server_transactions);
        gauges
    }

    fn handle_policy(&mut self, now: Instant, policy: Arc<Policy>) {
        let limits = policy.limits;
        self.core.layer.set_timing(policy.timing);
        self.core.layer.set_limit(limits.transactions);
        self.gate.set_capacity(limits.nonces);
        let guard = policy.guard;
        self.gate.set_guesses(guard.guesses, guard.lock);
        self.registry.set_limit(limits.calls);
        self.handed_on.set_policy(&policy);
        self.core.note_policy(&policy);
        if self.core.shard == PROBING {
            self.probes.set_policy(now, &mut self.core, &policy);
        }
        self.core.whereabouts.handle_policy(&policy);
        self.policy = policy;
    }

    /// What DNS says of a name that peers gave.
    fn handle_peer_located(
        &mut self,
        now: Instant,
        wanted: &Arc<Wanted>,
        located: Option<&Arc<Located>>,
    ) {
        for (key, side) in self.core.peers.resolved(now, wanted, located) {
            if let (Some(call), Some(located)) = (self.registry.call(key), located) {
                call.note_peer(&mut self.core, side, wanted, located);
            }
        }
    }

    /// The answer to a call's question for a place. If the call does not wait for it any more, the place goes
    /// back.
    fn handle_reserved(&mut self, now: Instant, ticket: Ticket, verdict: Verdict) {
        let key = ticket.call();
        match self.registry.call(key).filter(|call| call.awaits(ticket)) {
            Some(call) => {
                call.handle_reserved(now, &mut self.core, ticket, Some(verdict));
                self.registry.attend(now, key);
            }
            None if verdict == Verdict::Granted => {
                self.core.output(Output::Release(ticket));
            }
            None => {}
        }
    }

    /// What the relay has to say of a call.
    fn handle_media(&mut self, now: Instant, id: SessionId, lost: MediaLost) {
        let key = CallKey::of_session(id);
        if let Some(call) = self.registry.call(key) {
            call.handle_media_lost(now, &mut self.core, id, lost);
        }
        self.registry.attend(now, key);
    }

    /// What rtpengine says. A call that does not wait for it any more, for it is over, is ended there.
    fn handle_media_told(&mut self, now: Instant, told: Told) {
        let key = CallKey::of_session(told.ticket.session);
        match self.registry.call(key) {
            Some(call) if call.awaits_media(told.ticket) => {
                tripwire("media");
                call.handle_media_told(now, &mut self.core, told);
                self.registry.attend(now, key);
            }
            Some(call) if !call.is_over() => {}
            Some(_) | None => self.core.end_late_media(told),
        }
    }

    /// What the first shard found out, unless the gateway is not ours any more.
    fn handle_probed(&mut self, buyer: &Arc<str>, gateway: &Arc<str>, is_lost: bool) {
        let found = self.policy.directory.buyers.get(buyer);
        let is_known = found.is_some_and(|buyer| {
            buyer.probe.is_some() && buyer.gateways.iter().any(|one| one.name == *gateway)
        });
        if is_known && let Some(event) = self.core.health.set_lost(buyer, gateway, is_lost) {
            self.core.event(event);
        }
    }

    fn handle_datagram(&mut self, now: Instant, flow: Flow, datagram: &[u8]) {
        let Some(bytes) = frame::datagram(datagram) else {
            return;
        };
        match parse(bytes) {
            Ok(Message::Request(request)) => self.handle_request(now, flow, &request, bytes),
            Ok(Message::Response(response)) => self.handle_response(now, flow, &response, bytes),
            Err(Malformed { error, answerable }) => {
                self.handle_malformed(now, flow, error, answerable.as_deref(), bytes.len());
            }
        }
    }

    /// What a stream ended with: answered, if it is a request whose sender can be told.
    fn handle_broken(&mut self, now: Instant, flow: Flow, error: ParseError, head: &[u8]) {
        let length = head.len();
        match parse(head) {
            Ok(Message::Request(request)) => {
                self.handle_malformed(now, flow, error, Some(&request), length);
            }
            Ok(Message::Response(_)) => self.handle_malformed(now, flow, error, None, length),
            Err(Malformed { answerable, .. }) => {
                self.handle_malformed(now, flow, error, answerable.as_deref(), length);
            }
        }
    }

    /// Says what is wrong with a request that cannot be read, where an answer can be addressed, and is at
    /// most twice as long as what it answers; a stranger's, no longer than that.
    fn handle_malformed(
        &mut self,
        now: Instant,
        flow: Flow,
        error: ParseError,
        request: Option<&Request<'_>>,
        length: usize,
    ) {
        self.core.event(Event::Malformed { error, flow });
        let (Some(request), Some(status)) = (request, error.status()) else {
            return;
        };
        let is_shunned = self.core.is_silent_to(now, &self.policy, flow.remote.ip());
        if request.method == Method::Ack || !request.is_answerable() || is_shunned {
            return;
        }
        let tag = self.core.mark(0).text();
        let reply = ReplyHead::new(request, &flow);
        let built = Writer::reply(&mut self.core.buffer, &reply, status, Some(&tag)).finish(b"");
        if let Some(bytes) = self.core.built(built)
            && bytes.len() <= room(&self.policy, &flow, length).min(2 * length)
        {
            self.core.transmit(flow, bytes);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.core
            .transact(|layer, out| layer.handle_timeout(now, out));
        while let Some(key) = self.registry.poll_due(now) {
            if let Some(call) = self.registry.call(key) {
                tripwire("timeout");
                call.handle_timeout(now, &mut self.core);
            }
            self.registry.attend(now, key);
        }
        self.probes
            .handle_timeout(now, &mut self.core, &self.policy);
    }

    /// The other shard that a request is for: the owner of its dialog, by our tag in To; or the judge
    /// of its INVITE.
    fn elsewhere(&self, request: &Request<'_>, essentials: &Essentials<'_>) -> Option<ShardId> {
        if let Some(mark) = essentials.to.tag().and_then(Mark::parse) {
            return Some(mark.shard).filter(|shard| *shard != self.core.shard);
        }
        let is_about_an_invite = matches!(
            request.method,
            Method::Invite | Method::Ack | Method::Cancel
        );
        if !is_about_an_invite || self.handed_on.is_empty() {
            return None;
        }
        let key = self.core.layer.invite_key(essentials);
        self.handed_on.owner(key)
    }

    fn forward(&mut self, shard: ShardId, flow: Flow, bytes: &[u8]) {
        self.core.output(Output::Forward {
            shard,
            flow,
            bytes: Bytes::copy_from_slice(bytes),
        });
    }
}
