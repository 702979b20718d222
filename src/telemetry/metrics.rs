//! Metrics: every name and label there is, and how events become counts.
//!
//! Counting must cost the hot path nothing: a [`Tally`] belongs to one shard, adds up plain integers,
//! and [publishes](Tally::publish) them once per batch to the counters that Prometheus reads.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::call::output::{Event, Gauges, Refusal};
use crate::call::record::{AttemptResult, Outcome};

/// One metric: its name, its label if it has one, and what it says.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// The name, unit included.
    pub name: &'static str,
    /// What Prometheus calls the type.
    pub kind: Kind,
    /// The label; its values are a bounded set.
    pub label: Option<&'static str>,
    /// The help text.
    pub help: &'static str,
}

/// Type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

macro_rules! families {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal)?] $help:literal;)*) => {
        $(const $constant: Family = Family {
            name: $name,
            kind: Kind::$kind,
            label: families!(@label $($label)?),
            help: $help,
        };)*
        /// Every metric there is.
        pub const FAMILIES: &[Family] = &[$($constant),*];
    };
    (@label $label:literal) => { Some($label) };
    (@label) => { None };
}

families! {
    BUILD_INFO = Gauge "strowger_build_info" ["version"] "Always 1; the label says what runs.";
    CONFIG_GENERATION = Gauge "strowger_config_generation" [] "Loads of the configuration; the first is 1.";
    SHARDS = Gauge "strowger_shards" [] "Shards that take calls.";
    DRAINING = Gauge "strowger_draining" [] "1 while new calls are refused because the edge is going down.";
    CALLS = Gauge "strowger_calls" ["state"] "Calls now, by state.";
    TRANSACTIONS = Gauge "strowger_transactions" ["side"] "SIP transactions now, by side.";
    TIMERS = Gauge "strowger_timers" [] "Entries in the timer wheels, stale ones included.";
    REQUESTS = Counter "strowger_requests_total" ["method"] "Requests received, repeated ones not counted.";
    RESPONSES = Counter "strowger_responses_total" ["class"] "Responses received that belong to a transaction.";
    REPEATED = Counter "strowger_repeated_total" [] "Messages received again, and absorbed or answered again.";
    RETRANSMISSIONS = Counter "strowger_retransmissions_total" [] "Messages sent again because no answer came.";
    STRAY = Counter "strowger_stray_total" [] "Responses and ACKs that belong to nothing.";
    PARSE_ERRORS = Counter "strowger_parse_errors_total" ["kind"] "Messages that cannot be read.";
    REFUSED = Counter "strowger_refused_total" ["why"] "Requests refused before they became a call.";
    CALLS_STARTED = Counter "strowger_calls_started_total" [] "Calls that were let in.";
    CALLS_ENDED = Counter "strowger_calls_ended_total" ["outcome"] "Calls that are over.";
    ATTEMPTS = Counter "strowger_buyer_attempts_total" ["result"] "Buyers tried.";
    UNBUILDABLE = Counter "strowger_unbuildable_total" [] "Messages that could not be built: a fault of ours or of the configuration.";
    TABLE_FULL = Counter "strowger_table_full_total" ["table"] "Times that a table had no place left.";
    RECEIVED = Counter "strowger_datagrams_received_total" [] "Datagrams received.";
    SENT = Counter "strowger_datagrams_sent_total" [] "Datagrams sent.";
    SEND_DROPS = Counter "strowger_send_drops_total" ["why"] "Datagrams not sent: the socket was blocked, or the system refused.";
    RECEIVE_DROPS = Counter "strowger_receive_drops_total" [] "Datagrams that the kernel dropped because a receive buffer was full.";
    FORWARDS = Counter "strowger_forwards_total" ["result"] "Datagrams handed to the shard that owns their call.";
    RECORDS = Counter "strowger_records_total" ["result"] "Call records written, and lost.";
    LOG_DROPS = Counter "strowger_log_drops_total" [] "Log lines dropped because their reader is too slow.";
    RELOADS = Counter "strowger_reloads_total" ["result"] "Reloads of the configuration.";
    SETUP = Histogram "strowger_call_setup_seconds" [] "From the caller's INVITE to the answer.";
    POST_DIAL_DELAY = Histogram "strowger_call_post_dial_delay_seconds" [] "From the caller's INVITE to the first ringing.";
    TALK = Histogram "strowger_call_talk_seconds" [] "From answer to end, of calls that were answered.";
}

/// Buckets of delays before the answer, in seconds.
const DELAYS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0,
];

/// Buckets of the talk time, in seconds; buyers pay from 30, 60, 90 or 120 on.
const TALKS: &[f64] = &[
    1.0, 5.0, 15.0, 30.0, 60.0, 90.0, 120.0, 300.0, 600.0, 1200.0, 3600.0,
];

/// The methods that have a label of their own; the rest is `other`.
const METHODS: &[&str] = &[
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "REGISTER",
    "PRACK",
    "UPDATE",
    "INFO",
    "MESSAGE",
    "REFER",
    "NOTIFY",
    "SUBSCRIBE",
    "PUBLISH",
    "other",
];

const CLASSES: &[&str] = &["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];

const REFUSALS: &[Refusal] = &[
    Refusal::UnknownDomain,
    Refusal::UnknownAddress,
    Refusal::NoCredentials,
    Refusal::BadCredentials,
    Refusal::WrongPassword,
    Refusal::StaleNonce,
    Refusal::ForgedNonce,
    Refusal::Replayed,
    Refusal::TrunkMismatch,
    Refusal::TooManyHops,
    Refusal::Loop,
    Refusal::Merged,
    Refusal::BadExtension,
    Refusal::BadScheme,
    Refusal::Method,
    Refusal::NoDialog,
    Refusal::OldCSeq,
    Refusal::Draining,
    Refusal::Overload,
];

const OUTCOMES: &[Outcome] = &[
    Outcome::Completed,
    Outcome::CallerHungUp,
    Outcome::NotANumber,
    Outcome::NumberUnknown,
    Outcome::NoBuyer,
    Outcome::NoAnswer,
    Outcome::AllBusy,
    Outcome::NoAck,
    Outcome::LegLost,
    Outcome::Stopped,
    Outcome::Internal,
];

const RESULTS: &[AttemptResult] = &[
    AttemptResult::Answered,
    AttemptResult::BuyerAuth,
    AttemptResult::NoAnswer,
    AttemptResult::Busy,
    AttemptResult::BuyerRejected,
    AttemptResult::MediaMismatch,
    AttemptResult::Declined,
    AttemptResult::RedirectRefused,
    AttemptResult::BuyerError,
    AttemptResult::Unreachable,
    AttemptResult::Cancelled,
];

/// The metrics of one edge. Each edge has its own, so that several can live in one process.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    generation: Gauge,
    shards: Gauge,
    draining: Gauge,
    calls: [Gauge; 3],
    transactions: [Gauge; 2],
    timers: Gauge,
    receive_drops: Counter,
    records: [Counter; 2],
    log_drops: Counter,
    reloads: [Counter; 2],
    setup: Histogram,
    post_dial_delay: Histogram,
    talk: Histogram,
}

impl Metrics {
    /// Registers all that have no label, or whose label's values are known.
    #[must_use]
    pub fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        for (family, buckets) in [(SETUP, DELAYS), (POST_DIAL_DELAY, DELAYS), (TALK, TALKS)] {
            let matcher = Matcher::Full(family.name.to_owned());
            // The only error is a list without buckets; without any it would be a summary.
            builder = match builder.set_buckets_for_metric(matcher, buckets) {
                Ok(builder) => builder,
                Err(_) => PrometheusBuilder::new(),
            };
        }
        let recorder = builder.build_recorder();
        for family in FAMILIES {
            describe(&recorder, family);
        }
        gauge(&recorder, &BUILD_INFO, Some(env!("CARGO_PKG_VERSION"))).set(1.0);
        let calls = ["ringing", "talking", "ending"];
        let sides = ["server", "client"];
        Self {
            handle: recorder.handle(),
            generation: gauge(&recorder, &CONFIG_GENERATION, None),
            shards: gauge(&recorder, &SHARDS, None),
            draining: gauge(&recorder, &DRAINING, None),
            calls: calls.map(|state| gauge(&recorder, &CALLS, Some(state))),
            transactions: sides.map(|side| gauge(&recorder, &TRANSACTIONS, Some(side))),
            timers: gauge(&recorder, &TIMERS, None),
            receive_drops: counter(&recorder, &RECEIVE_DROPS, None),
            records: ["written", "lost"].map(|result| counter(&recorder, &RECORDS, Some(result))),
            log_drops: counter(&recorder, &LOG_DROPS, None),
            reloads: ["applied", "refused"]
                .map(|result| counter(&recorder, &RELOADS, Some(result))),
            setup: histogram(&recorder, &SETUP),
            post_dial_delay: histogram(&recorder, &POST_DIAL_DELAY),
            talk: histogram(&recorder, &TALK),
            recorder,
        }
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Sorts what the histograms gathered into buckets; to be called every few seconds, for what is
    /// not sorted yet takes room.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Says how many shards there are.
    pub fn set_shards(&self, count: usize) {
        self.shards.set(count as f64);
    }

    /// Says which configuration is in force.
    pub fn set_generation(&self, generation: u64) {
        self.generation.set(generation as f64);
    }

    /// Says whether new calls are refused.
    pub fn set_draining(&self, is_draining: bool) {
        self.draining.set(f64::from(u8::from(is_draining)));
    }

    /// Says what all engines together hold.
    pub fn set_gauges(&self, gauges: &Gauges) {
        let [ringing, talking, ending] = &self.calls;
        ringing.set(gauges.calls_ringing as f64);
        talking.set(gauges.calls_talking as f64);
        ending.set(gauges.calls_ending as f64);
        let [server, client] = &self.transactions;
        server.set(gauges.server_transactions as f64);
        client.set(gauges.client_transactions as f64);
        self.timers.set(gauges.timers as f64);
    }

    /// Says how many datagrams the kernel has dropped so far.
    pub fn set_receive_drops(&self, total: u64) {
        self.receive_drops.absolute(total);
    }

    /// Says how many log lines were dropped so far.
    pub fn set_log_drops(&self, total: u64) {
        self.log_drops.absolute(total);
    }

    /// Counts call records that are in the file.
    pub fn add_records_written(&self, count: u64) {
        let [written, _] = &self.records;
        written.increment(count);
    }

    /// Counts call records that are nowhere.
    pub fn add_records_lost(&self, count: u64) {
        let [_, lost] = &self.records;
        lost.increment(count);
    }

    /// Counts a reload that was applied.
    pub fn add_reload_applied(&self) {
        let [applied, _] = &self.reloads;
        applied.increment(1);
    }

    /// Counts a reload that was refused.
    pub fn add_reload_refused(&self) {
        let [_, refused] = &self.reloads;
        refused.increment(1);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// What one shard has counted.
pub struct Tally {
    metrics: Arc<Metrics>,
    sheet: Sheet,
    requests: Labelled,
    responses: Labelled,
    parse_errors: Labelled,
    refused: Labelled,
    ended: Labelled,
    attempts: Labelled,
    table_full: Labelled,
    send_drops: Labelled,
    forwards: Labelled,
    repeated: usize,
    retransmissions: usize,
    stray: usize,
    started: usize,
    unbuildable: usize,
    received: usize,
    sent: usize,
}

impl Tally {
    /// Starts at zero, and shows each metric whose labels are known.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        let mut sheet = Sheet::default();
        let mut labelled = |family, labels: &mut dyn Iterator<Item = &'static str>| {
            Labelled::new(family, labels, &mut sheet, &metrics.recorder)
        };
        let requests = labelled(&REQUESTS, &mut METHODS.iter().copied());
        let responses = labelled(&RESPONSES, &mut CLASSES.iter().copied());
        let parse_errors = labelled(&PARSE_ERRORS, &mut std::iter::empty());
        let refused = labelled(&REFUSED, &mut REFUSALS.iter().map(|why| why.label()));
        let ended = labelled(&CALLS_ENDED, &mut OUTCOMES.iter().map(|how| how.label()));
        let attempts = labelled(&ATTEMPTS, &mut RESULTS.iter().map(|how| how.label()));
        let table_full = labelled(&TABLE_FULL, &mut ["transactions", "calls"].into_iter());
        let send_drops = labelled(&SEND_DROPS, &mut ["blocked", "refused"].into_iter());
        let forwards = labelled(&FORWARDS, &mut ["handed", "dropped"].into_iter());
        let mut single = |family| sheet.add(counter(&metrics.recorder, family, None));
        Self {
            repeated: single(&REPEATED),
            retransmissions: single(&RETRANSMISSIONS),
            stray: single(&STRAY),
            started: single(&CALLS_STARTED),
            unbuildable: single(&UNBUILDABLE),
            received: single(&RECEIVED),
            sent: single(&SENT),
            requests,
            responses,
            parse_errors,
            refused,
            ended,
            attempts,
            table_full,
            send_drops,
            forwards,
            sheet,
            metrics,
        }
    }

    /// Counts one event of the engine.
    pub fn handle_event(&mut self, event: &Event) {
        let (sheet, recorder) = (&mut self.sheet, &self.metrics.recorder);
        match event {
            Event::Request { method } => self.requests.count(method, sheet, recorder),
            Event::Response { status } => self.responses.count(class(*status), sheet, recorder),
            Event::Repeated => sheet.count(self.repeated, 1),
            Event::Retransmitted => sheet.count(self.retransmissions, 1),
            Event::Stray => sheet.count(self.stray, 1),
            Event::Malformed { error, .. } => {
                self.parse_errors.count(error.label(), sheet, recorder);
            }
            Event::Refused { why, .. } => self.refused.count(why.label(), sheet, recorder),
            Event::Started { .. } => sheet.count(self.started, 1),
            Event::AttemptFailed { result, .. } => {
                self.attempts.count(result.label(), sheet, recorder);
            }
            Event::Answered {
                setup,
                post_dial_delay,
                ..
            } => {
                let result = AttemptResult::Answered;
                self.attempts.count(result.label(), sheet, recorder);
                self.metrics.setup.record(*setup);
                if let Some(delay) = post_dial_delay {
                    self.metrics.post_dial_delay.record(*delay);
                }
            }
            Event::Ended { outcome, talk, .. } => {
                self.ended.count(outcome.label(), sheet, recorder);
                if *talk > Duration::ZERO {
                    self.metrics.talk.record(*talk);
                }
            }
            Event::Unbuildable => sheet.count(self.unbuildable, 1),
            Event::TableFull { table } => self.table_full.count(table, sheet, recorder),
        }
    }

    /// Counts datagrams that came in.
    pub fn add_received(&mut self, count: u64) {
        self.sheet.count(self.received, count);
    }

    /// Counts datagrams that went out.
    pub fn add_sent(&mut self, count: u64) {
        self.sheet.count(self.sent, count);
    }

    /// Counts datagrams that did not go out: because the socket was blocked, and because the system
    /// refused.
    pub fn add_send_drops(&mut self, blocked: u64, refused: u64) {
        let recorder = &self.metrics.recorder;
        let drops = &mut self.send_drops;
        drops.add("blocked", blocked, &mut self.sheet, recorder);
        drops.add("refused", refused, &mut self.sheet, recorder);
    }

    /// Counts a datagram handed to another shard.
    pub fn add_handed(&mut self) {
        let recorder = &self.metrics.recorder;
        self.forwards.count("handed", &mut self.sheet, recorder);
    }

    /// Counts a datagram that its owner has no room for, or that has no owner.
    pub fn add_forward_dropped(&mut self) {
        let recorder = &self.metrics.recorder;
        self.forwards.count("dropped", &mut self.sheet, recorder);
    }

    /// Makes what was counted since the last time visible to Prometheus.
    pub fn publish(&mut self) {
        self.sheet.publish();
    }
}

/// Counters and what is to be added to each.
#[derive(Default)]
struct Sheet {
    series: Vec<Series>,
    /// Those with something to add.
    touched: Vec<usize>,
}

struct Series {
    counter: Counter,
    pending: u64,
}

impl Sheet {
    fn add(&mut self, counter: Counter) -> usize {
        self.series.push(Series {
            counter,
            pending: 0,
        });
        self.series.len() - 1
    }

    fn count(&mut self, index: usize, count: u64) {
        let Some(series) = self.series.get_mut(index) else {
            return;
        };
        if series.pending == 0 && count > 0 {
            self.touched.push(index);
        }
        series.pending += count;
    }

    fn publish(&mut self) {
        for index in self.touched.drain(..) {
            if let Some(series) = self.series.get_mut(index) {
                series.counter.increment(series.pending);
                series.pending = 0;
            }
        }
    }
}

/// A family with a label: the place of each value in the sheet. There are few, so they are searched.
struct Labelled {
    family: &'static Family,
    places: Vec<(&'static str, usize)>,
}

impl Labelled {
    fn new(
        family: &'static Family,
        labels: &mut dyn Iterator<Item = &'static str>,
        sheet: &mut Sheet,
        recorder: &PrometheusRecorder,
    ) -> Self {
        let places = labels
            .map(|label| (label, sheet.add(counter(recorder, family, Some(label)))))
            .collect();
        Self { family, places }
    }

    fn count(&mut self, label: &'static str, sheet: &mut Sheet, recorder: &PrometheusRecorder) {
        self.add(label, 1, sheet, recorder);
    }

    fn add(
        &mut self,
        label: &'static str,
        count: u64,
        sheet: &mut Sheet,
        recorder: &PrometheusRecorder,
    ) {
        let known = self.places.iter().find(|(known, _)| *known == label);
        let index = match known {
            Some((_, index)) => *index,
            // Labels are texts of our own program, so there is an end to them.
            None => {
                let index = sheet.add(counter(recorder, self.family, Some(label)));
                self.places.push((label, index));
                index
            }
        };
        sheet.count(index, count);
    }
}

fn class(status: u16) -> &'static str {
    let index = usize::from((status / 100).clamp(1, 6)) - 1;
    CLASSES.get(index).copied().unwrap_or("6xx")
}

fn describe(recorder: &PrometheusRecorder, family: &Family) {
    let (name, help) = (KeyName::from_const_str(family.name), family.help.into());
    let unit: Option<Unit> = None;
    match family.kind {
        Kind::Counter => recorder.describe_counter(name, unit, help),
        Kind::Gauge => recorder.describe_gauge(name, unit, help),
        Kind::Histogram => recorder.describe_histogram(name, unit, help),
    }
}

fn counter(recorder: &PrometheusRecorder, family: &Family, label: Option<&'static str>) -> Counter {
    let counter = recorder.register_counter(&key(family, label), &METADATA);
    // What was never touched is not shown; it shall be seen as zero.
    counter.increment(0);
    counter
}

fn gauge(recorder: &PrometheusRecorder, family: &Family, label: Option<&'static str>) -> Gauge {
    let gauge = recorder.register_gauge(&key(family, label), &METADATA);
    gauge.set(0.0);
    gauge
}

fn histogram(recorder: &PrometheusRecorder, family: &Family) -> Histogram {
    recorder.register_histogram(&key(family, None), &METADATA)
}

fn key(family: &Family, label: Option<&'static str>) -> Key {
    let labels: Vec<Label> = family
        .label
        .zip(label)
        .map(|(name, value)| Label::from_static_parts(name, value))
        .into_iter()
        .collect();
    Key::from_parts(family.name, labels)
}

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_unit_and_every_label_one_word() {
        for family in FAMILIES {
            let name = family.name;

            assert!(name.starts_with("strowger_"), "{name}");
            assert_eq!(
                family.kind == Kind::Counter,
                name.ends_with("_total"),
                "{name}"
            );
            assert!(
                family.kind != Kind::Histogram || name.ends_with("_seconds"),
                "{name}"
            );
        }
    }

    #[test]
    fn counts_show_once_they_are_published() {
        let metrics = Arc::new(Metrics::new());
        let mut tally = Tally::new(Arc::clone(&metrics));
        for _ in 0..2 {
            tally.handle_event(&Event::Request { method: "INVITE" });
        }
        tally.handle_event(&Event::Response { status: 486 });

        assert!(shows(
            &metrics,
            "strowger_requests_total{method=\"INVITE\"} 0"
        ));
        tally.publish();
        tally.publish();

        assert!(shows(
            &metrics,
            "strowger_requests_total{method=\"INVITE\"} 2"
        ));
        assert!(shows(&metrics, "strowger_responses_total{class=\"4xx\"} 1"));
        assert!(shows(&metrics, "strowger_responses_total{class=\"2xx\"} 0"));
    }

    #[test]
    fn two_shards_add_up() {
        let metrics = Arc::new(Metrics::new());
        for _ in 0..2 {
            let mut tally = Tally::new(Arc::clone(&metrics));
            tally.add_received(5);
            tally.publish();
        }

        assert!(shows(&metrics, "strowger_datagrams_received_total 10"));
    }

    #[test]
    fn histograms_have_buckets() {
        let metrics = Arc::new(Metrics::new());
        metrics.setup.record(0.02);
        metrics.run_upkeep();

        assert!(shows(
            &metrics,
            "strowger_call_setup_seconds_bucket{le=\"0.025\"} 1"
        ));
        assert!(shows(
            &metrics,
            "strowger_call_setup_seconds_bucket{le=\"0.01\"} 0"
        ));
    }

    #[test]
    fn a_status_that_sip_does_not_know_has_a_class_all_the_same() {
        assert_eq!(
            [0, 100, 299, 699, 999].map(class),
            ["1xx", "1xx", "2xx", "6xx", "6xx"]
        );
    }

    fn shows(metrics: &Metrics, line: &str) -> bool {
        metrics.render().lines().any(|shown| shown == line)
    }
}
