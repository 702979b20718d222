//! What is counted of webhooks, how each of them went and how long it took, by trigger; and of postbacks.

use std::time::Duration;

use metrics::{Histogram, Key, Label, Recorder};
use metrics_exporter_prometheus::PrometheusRecorder;

use crate::hooks::trigger::Trigger;
use crate::telemetry::metrics::{METADATA, Metrics, POSTBACKS, WEBHOOK_TIME, WEBHOOKS};

impl Metrics {
    /// Counts a webhook; `result` is one of a bounded set.
    pub fn add_webhook(&self, trigger: Trigger, result: &'static str, took: Duration) {
        add(self.recorder(), trigger, result, 1);
        histogram(self.recorder(), trigger).record(took.as_secs_f64());
    }
}

impl Metrics {
    /// Counts a postback, or data that was written; `result` is one of a bounded set.
    pub fn add_post(&self, result: &'static str) {
        add_post(self.recorder(), result, 1);
    }
}

/// Shows that there were none of any trigger.
pub(super) fn show(recorder: &PrometheusRecorder) {
    for result in ["live", "completed", "stored", "not_found"] {
        add_post(recorder, result, 0);
    }
    for trigger in Trigger::ALL {
        add(recorder, trigger, "answered", 0);
        // What was never touched is not shown.
        let _ = histogram(recorder, trigger);
    }
}

fn add_post(recorder: &PrometheusRecorder, result: &'static str, count: u64) {
    let label = Label::from_static_parts("result", result);
    let key = Key::from_parts(POSTBACKS.name, vec![label]);
    recorder.register_counter(&key, &METADATA).increment(count);
}

fn add(recorder: &PrometheusRecorder, trigger: Trigger, result: &'static str, count: u64) {
    let labels = vec![
        Label::from_static_parts("trigger", trigger.label()),
        Label::from_static_parts("result", result),
    ];
    let key = Key::from_parts(WEBHOOKS.name, labels);
    recorder.register_counter(&key, &METADATA).increment(count);
}

fn histogram(recorder: &PrometheusRecorder, trigger: Trigger) -> Histogram {
    let label = Label::from_static_parts("trigger", trigger.label());
    let key = Key::from_parts(WEBHOOK_TIME.name, vec![label]);
    recorder.register_histogram(&key, &METADATA)
}
