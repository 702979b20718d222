//! What is counted of TCP and TLS connections: by their threads, so each count is atomic.

use metrics::{Counter, Gauge};

use crate::telemetry::metrics::{
    CONNECTIONS, CONNECTIONS_ENDED, CONNECTIONS_OPENED, CONNECTIONS_REFUSED, Metrics,
    STREAM_RECEIVED, STREAM_SENT,
};

/// Counts of connections.
pub struct ConnectionCounts {
    now: Gauge,
    opened: Vec<(&'static str, Counter)>,
    ended: Vec<(&'static str, Counter)>,
    refused: Vec<(&'static str, Counter)>,
    received: Counter,
    sent: Counter,
}

impl ConnectionCounts {
    /// Shows all of them from now on.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let by_label = |family, labels: &[&'static str]| {
            let counter = |label: &&'static str| (*label, metrics.counter(family, Some(*label)));
            labels.iter().map(counter).collect()
        };
        Self {
            now: metrics.gauge(&CONNECTIONS),
            opened: by_label(&CONNECTIONS_OPENED, OPENED),
            ended: by_label(&CONNECTIONS_ENDED, ENDS),
            refused: by_label(&CONNECTIONS_REFUSED, REFUSALS),
            received: metrics.counter(&STREAM_RECEIVED, None),
            sent: metrics.counter(&STREAM_SENT, None),
        }
    }

    /// Says how many there are.
    pub fn set_now(&self, count: usize) {
        self.now.set(count as f64);
    }

    /// Counts one that is there: opened by us, or by the peer.
    pub fn add_opened(&self, is_ours: bool) {
        let [by_peer, by_us] = OPENED;
        add(&self.opened, if is_ours { by_us } else { by_peer });
    }

    /// Counts one that is over; `why` is one of [`ENDS`].
    pub fn add_ended(&self, why: &str) {
        add(&self.ended, why);
    }

    /// Counts one that was not let in; `why` is one of [`REFUSALS`].
    pub fn add_refused(&self, why: &str) {
        add(&self.refused, why);
    }

    /// Counts a message that came in.
    pub fn add_received(&self) {
        self.received.increment(1);
    }

    /// Counts a message that went out, or waits to.
    pub fn add_sent(&self) {
        self.sent.increment(1);
    }
}

fn add(counters: &[(&'static str, Counter)], label: &str) {
    let counter = counters.iter().find(|(name, _)| *name == label);
    if let Some((_, counter)) = counter {
        counter.increment(1);
    }
}

/// Who opened a connection: the peer, we.
const OPENED: &[&str; 2] = &["peer", "us"];

/// Every way in which a connection ends.
pub const ENDS: &[&str] = &[
    "closed",
    "broken",
    "unreadable",
    "slow",
    "idle",
    "unread",
    "evicted",
    "dropped",
    "unconnected",
    "unanswered",
    "expired",
    "unknown_issuer",
    "wrong_name",
    "no_certificate",
    "revoked",
    "bad_certificate",
    "no_common_version",
    "refused_by_peer",
    "protocol",
];

/// Every reason for which one is not let in.
pub const REFUSALS: &[&str] = &["full", "share", "system"];
