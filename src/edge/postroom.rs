//! Between connections and shards: hands each message to a shard, and tells all of them which ways
//! are lost.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tracing::{debug, error, warn};

use crate::call::policy::Policy;
use crate::config::Connections;
use crate::config::tls;
use crate::edge::inbox::{Letter, Mailbox};
use crate::net::clock;
use crate::net::streams::end::{End, Happened};
use crate::net::streams::{Bring, Terms};
use crate::net::tls::{Tls, Unusable};
use crate::sip::error::ParseError;
use crate::sip::flow::{Flow, PeerId};
use crate::telemetry::connections::ConnectionCounts;
use crate::telemetry::log::Allowance;
use crate::telemetry::metrics::Metrics;

/// Lost ways told to the shards per second at most: strangers can cause them. Timers find the others.
const LOSSES: u32 = 200;

/// Lines per second about connections that we could not have.
const LINES: u32 = 10;

/// What connections bring goes to shards, and is counted.
pub(super) struct Postroom {
    shards: Vec<Mailbox>,
    counts: ConnectionCounts,
    allowances: Mutex<Allowances>,
}

#[derive(Default)]
struct Allowances {
    losses: Allowance,
    lines: Allowance,
}

impl Postroom {
    pub(super) fn new(shards: Vec<Mailbox>, metrics: &Metrics) -> Self {
        Self {
            shards,
            counts: ConnectionCounts::new(metrics),
            allowances: Mutex::default(),
        }
    }

    /// All that comes on one connection goes to one shard, so that its order stays.
    fn shard(&self, flow: Flow) -> Option<&Mailbox> {
        let mut hasher = DefaultHasher::new();
        flow.remote.hash(&mut hasher);
        let place = hasher.finish() % self.shards.len().max(1) as u64;
        self.shards.get(usize::try_from(place).ok()?)
    }

    fn post(&self, flow: Flow, letter: Letter) -> bool {
        // Without shards nothing runs.
        self.shard(flow).is_none_or(|shard| shard.post(letter))
    }

    fn is_left(&self, of: impl Fn(&mut Allowances) -> (&mut Allowance, u32)) -> bool {
        let mut allowances = self
            .allowances
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (allowance, limit) = of(&mut allowances);
        allowance.is_left(clock::now(), limit)
    }

    fn note_end(&self, flow: Flow, is_ours: bool, end: &End) {
        self.counts.add_ended(end.label());
        let why = end.explain();
        let (remote, transport) = (flow.remote, flow.transport.name());
        // Without us nobody could have failed to connect: somebody should look at the buyer.
        let is_fault = match end {
            End::Unconnected(_) | End::Unanswered | End::Untrusted(_) => is_ours,
            End::Closed
            | End::Broken(_)
            | End::Unreadable(_)
            | End::Slow
            | End::Idle
            | End::Unread
            | End::Evicted
            | End::Dropped => false,
        };
        if is_fault && self.is_left(|all| (&mut all.lines, LINES)) {
            warn!(%remote, transport, why, "cannot connect");
        } else {
            debug!(%remote, transport, is_ours, why, "connection over");
        }
    }
}

impl Bring for Postroom {
    fn message(&self, flow: Flow, bytes: &Bytes) -> bool {
        let bytes = bytes.clone();
        let is_posted = self.post(flow, Letter::Datagram { flow, bytes });
        if is_posted {
            self.counts.add_received();
        }
        is_posted
    }

    fn broken(&self, flow: Flow, error: ParseError, head: &Bytes) -> bool {
        let head = head.clone();
        self.post(flow, Letter::Broken { flow, error, head })
    }

    fn lost(&self, flow: Flow) {
        if !self.is_left(|all| (&mut all.losses, LOSSES)) {
            return;
        }
        for shard in &self.shards {
            shard.post(Letter::TransportFailed(flow));
        }
    }

    fn happened(&self, what: Happened) {
        match what {
            Happened::Opened { flow, is_ours } => {
                self.counts.add_opened(is_ours);
                debug!(remote = %flow.remote, transport = flow.transport.name(), is_ours, "connected");
            }
            Happened::Ended { flow, is_ours, end } => self.note_end(flow, is_ours, &end),
            Happened::Refused { flow, why } => {
                self.counts.add_refused(why.label());
                debug!(remote = %flow.remote, why = why.label(), "connection refused");
            }
            Happened::Unaccepted(error) => {
                self.counts.add_refused("system");
                if self.is_left(|all| (&mut all.lines, LINES)) {
                    error!(%error, "cannot accept a connection");
                }
            }
        }
    }

    fn sent(&self) {
        self.counts.add_sent();
    }

    fn holds(&self, count: usize) {
        self.counts.set_now(count);
    }
}

/// What a reload changes for connections.
pub(super) struct StreamSettings {
    pub(super) connections: Connections,
    pub(super) tls: Option<tls::Tls>,
    pub(super) peers: HashMap<PeerId, Arc<str>>,
}

impl StreamSettings {
    /// With the addresses that the policy knows.
    pub(super) fn terms(self, policy: &Policy) -> Result<Terms, Unusable> {
        let peers = self.peers;
        let tls = self.tls.map(|tls| Tls::new(&tls, peers)).transpose()?;
        Ok(Terms {
            known: policy.known.clone(),
            connections: self.connections,
            tls,
        })
    }
}
