//! What is counted of orgs' accounts: notifications of calls, what became of them, and what Twilio's API answers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Gauge};

use crate::telemetry::metrics::{
    Metrics, NOTIFICATIONS, PHONE_SOCKETS, PHONE_SOCKETS_ENDED, PUSHES, SELF_CHECK, VENDOR_API,
};

/// Counts of what happens with accounts. Labels come from enums, so there is an end to them.
pub struct AccountCounts {
    metrics: Arc<Metrics>,
    sockets: Gauge,
    pushes: Mutex<BTreeMap<(&'static str, &'static str), Counter>>,
}

impl AccountCounts {
    /// Shows what can be shown before anything has happened.
    #[must_use]
    pub fn new(metrics: &Arc<Metrics>) -> Self {
        for (family, label) in [
            (&NOTIFICATIONS, "delivered"),
            (&PHONE_SOCKETS_ENDED, "left"),
            (&VENDOR_API, "done"),
            (&SELF_CHECK, "right"),
        ] {
            metrics.counter(family, Some(label)).increment(0);
        }
        let counts = Self {
            sockets: metrics.gauge(&PHONE_SOCKETS),
            metrics: Arc::clone(metrics),
            pushes: Mutex::default(),
        };
        counts.add_pushes("websocket", "done", 0);
        counts
    }

    /// Counts a notification.
    pub fn add_notification(&self, result: &'static str) {
        self.metrics
            .counter(&NOTIFICATIONS, Some(result))
            .increment(1);
    }

    /// Counts soft phones that were told, or were not.
    pub fn add_pushes(&self, channel: &'static str, result: &'static str, count: usize) {
        let mut pushes = self.pushes.lock().unwrap_or_else(PoisonError::into_inner);
        let counter = pushes.entry((channel, result)).or_insert_with(|| {
            let labels = [
                ("channel", channel.to_owned()),
                ("result", result.to_owned()),
            ];
            self.metrics.counter_of(&PUSHES, labels)
        });
        counter.increment(count as u64);
    }

    /// Says how many soft phones hold a connection open.
    pub fn set_sockets(&self, count: usize) {
        self.sockets.set(count as f64);
    }

    /// Counts a connection that has ended.
    pub fn add_socket(&self, why: &'static str) {
        self.metrics
            .counter(&PHONE_SOCKETS_ENDED, Some(why))
            .increment(1);
    }

    /// Counts what is found of an address that is set up at Twilio.
    pub fn add_finding(&self, finding: &'static str) {
        self.metrics
            .counter(&SELF_CHECK, Some(finding))
            .increment(1);
    }

    /// Counts a request to Twilio's API.
    pub fn add_request(&self, result: &'static str) {
        self.metrics.counter(&VENDOR_API, Some(result)).increment(1);
    }
}
