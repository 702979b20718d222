//! What is counted of rtpengines: which are there, and how their answers come.

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram};

use crate::telemetry::metrics::{
    Metrics, RTPENGINE_REPLY, RTPENGINE_REQUESTS, RTPENGINE_RESENT, RTPENGINES,
};

/// Metrics of the client of rtpengine.
pub struct RtpengineCounts {
    standing: [Gauge; 2],
    requests: [(&'static str, Counter); RESULTS.len()],
    resent: Counter,
    reply: Histogram,
}

impl RtpengineCounts {
    /// Shows all of them from now on.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            standing: ["up", "lost"].map(|state| metrics.labelled_gauge(&RTPENGINES, state)),
            requests: RESULTS.map(|result| {
                let counter = metrics.counter(&RTPENGINE_REQUESTS, Some(result));
                (result, counter)
            }),
            resent: metrics.counter(&RTPENGINE_RESENT, None),
            reply: metrics.histogram(&RTPENGINE_REPLY),
        }
    }

    /// Says how many are there, and how many are not.
    pub fn set_standing(&self, up: usize, lost: usize) {
        let [is_up, is_lost] = &self.standing;
        is_up.set(up as f64);
        is_lost.set(lost as f64);
    }

    /// Counts a request to one of them, and how long it took; pings are no requests of calls.
    pub fn count(&self, command: &str, result: &str, took: Duration) {
        if command == "ping" {
            return;
        }
        if let Some((_, counter)) = self.requests.iter().find(|(name, _)| *name == result) {
            counter.increment(1);
        }
        self.reply.record(took.as_secs_f64());
    }

    /// Counts a request that was sent again.
    pub fn count_resent(&self) {
        self.resent.increment(1);
    }
}

/// What comes of a request.
const RESULTS: [&str; 8] = [
    "ok",
    "silent",
    "unreachable",
    "full",
    "refused",
    "unreadable",
    "incomplete",
    "too_long",
];
