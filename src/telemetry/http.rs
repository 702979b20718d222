//! What is counted of the HTTP service.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use crate::telemetry::metrics::{
    HTTP_CONNECTIONS, HTTP_REFUSED, HTTP_REQUESTS, HTTP_SECONDS, Metrics, VENDOR_CONNECTIONS,
    VENDOR_REFUSED,
};

/// Counts of connections and requests.
pub struct HttpCounts {
    connections: Gauge,
    refused: Vec<(&'static str, Counter)>,
    /// By route and status: as many as the table of routes has, times the statuses that we write.
    requests: Mutex<BTreeMap<(&'static str, u16), Counter>>,
    seconds: Histogram,
}

impl HttpCounts {
    /// Shows all of them from now on; with `is_vendors`, connections are those of outside callers.
    #[must_use]
    pub fn new(metrics: &Metrics, is_vendors: bool) -> Self {
        let connections = match is_vendors {
            true => &VENDOR_CONNECTIONS,
            false => &HTTP_CONNECTIONS,
        };
        // So that the name shows before anybody has asked for anything.
        let none = counter(metrics, "none", 404);
        let refused = |label: &&'static str| (*label, metrics.counter(&HTTP_REFUSED, Some(*label)));
        Self {
            connections: metrics.gauge(connections),
            refused: REFUSALS.iter().map(refused).collect(),
            requests: Mutex::new(BTreeMap::from([(("none", 404), none)])),
            seconds: metrics.histogram(&HTTP_SECONDS),
        }
    }

    /// Says how many connections there are.
    pub fn set_connections(&self, count: usize) {
        self.connections.set(count as f64);
    }

    /// Counts a connection that was not let in; `why` is one of [`REFUSALS`].
    pub fn add_refused(&self, why: &str) {
        if let Some((_, counter)) = self.refused.iter().find(|(label, _)| *label == why) {
            counter.increment(1);
        }
    }

    /// Counts a request that was answered; `route` is `none` if there is no such route.
    pub fn add_request(&self, metrics: &Metrics, route: &'static str, status: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = requests
            .entry((route, status))
            .or_insert_with(|| counter(metrics, route, status));
        counter.increment(1);
        self.seconds.record(took.as_secs_f64());
    }
}

fn counter(metrics: &Metrics, route: &str, status: u16) -> Counter {
    let labels = [("route", route.to_owned()), ("status", status.to_string())];
    metrics.counter_of(&HTTP_REQUESTS, labels)
}

/// Webhooks that were not believed or not taken, by why.
pub struct VendorCounts(Mutex<BTreeMap<&'static str, Counter>>);

impl VendorCounts {
    /// Shows them from now on.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        // So that the name shows before anything was refused.
        let wrong = "signature_wrong";
        let first = metrics.counter(&VENDOR_REFUSED, Some(wrong));
        Self(Mutex::new(BTreeMap::from([(wrong, first)])))
    }

    /// Counts one; `why` is of a bounded set.
    pub fn add_refused(&self, metrics: &Metrics, why: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = counts
            .entry(why)
            .or_insert_with(|| metrics.counter(&VENDOR_REFUSED, Some(why)));
        counter.increment(1);
    }
}

/// Every reason for which a connection is not let in.
pub const REFUSALS: &[&str] = &["full", "share", "tls"];
