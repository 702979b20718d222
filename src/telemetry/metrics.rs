//! Metrics: every name and label there is, and the registry that Prometheus reads. What shards count
//! comes by way of their [`Tally`](crate::telemetry::tally::Tally).

use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::call::output::Gauges;
use crate::telemetry::hooks;

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
        $(pub(super) const $constant: Family = Family {
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
    BANNED = Gauge "strowger_banned_senders" [] "Addresses (IPv6: networks of 64 bits) that are not heard for now.";
    BANS = Counter "strowger_bans_total" [] "Bans that began.";
    QUEUE_DELAY = Gauge "strowger_queue_delay_seconds" [] "Longest that datagrams waited to be received, at the least in 100 ms, since last asked.";
    UNREAD = Counter "strowger_unread_total" ["why"] "Datagrams dropped before they were read.";
    REFUSED = Counter "strowger_refused_total" ["why"] "Requests refused before they became a call.";
    CALLS_STARTED = Counter "strowger_calls_started_total" [] "Calls that were let in.";
    CALLERS_REFUSED = Counter "strowger_callers_refused_total" [] "Calls whose caller's number is none of the trunk's caller_ids, and was withheld.";
    CALLS_ENDED = Counter "strowger_calls_ended_total" ["outcome"] "Calls that are over.";
    ATTEMPTS = Counter "strowger_buyer_attempts_total" ["result"] "Gateways of buyers tried.";
    SKIPS = Counter "strowger_buyer_skips_total" ["why"] "Buyers, or gateways of theirs, that were passed over.";
    GATEWAY_CHANGES = Counter "strowger_gateway_changes_total" ["to"] "Times that a shard began to leave a gateway alone (down), and took it up again (up).";
    PLACES = Gauge "strowger_places_taken" ["kind"] "Calls that have a place of a trunk or a buyer with a limit.";
    GATEWAYS_DOWN = Gauge "strowger_gateways_down" ["buyer"] "Gateways that are left alone, added up over the shards.";
    MEDIA_UNFIT = Counter "strowger_media_unfit_total" ["why"] "Session descriptions that could not be taken to the other side.";
    UNBUILDABLE = Counter "strowger_unbuildable_total" [] "Messages that could not be built: a fault of ours or of the configuration.";
    PANICS = Counter "strowger_panics_total" [] "Handlers that panicked, a fault of ours; each cost one call.";
    TABLE_FULL = Counter "strowger_table_full_total" ["table"] "Times that a table had no place left.";
    RECEIVED = Counter "strowger_datagrams_received_total" [] "Datagrams received.";
    SENT = Counter "strowger_datagrams_sent_total" [] "Datagrams sent.";
    SEND_DROPS = Counter "strowger_send_drops_total" ["why"] "Datagrams not sent: the socket was blocked, or the system refused.";
    RECEIVE_DROPS = Counter "strowger_receive_drops_total" [] "Datagrams that the kernel dropped because a receive buffer was full.";
    CONNECTIONS = Gauge "strowger_connections" [] "TCP and TLS connections now.";
    CONNECTIONS_OPENED = Counter "strowger_connections_opened_total" ["by"] "Connections that were there, by who opened them.";
    CONNECTIONS_ENDED = Counter "strowger_connections_ended_total" ["why"] "Connections that are over, or could not be had.";
    CONNECTIONS_REFUSED = Counter "strowger_connections_refused_total" ["why"] "Connections that were not let in.";
    STREAM_RECEIVED = Counter "strowger_stream_messages_received_total" [] "Messages received by TCP and TLS.";
    STREAM_SENT = Counter "strowger_stream_messages_sent_total" [] "Messages sent by TCP and TLS.";
    FORWARDS = Counter "strowger_forwards_total" ["result"] "Datagrams handed to the shard that owns their call.";
    RECORDS = Counter "strowger_records_total" ["result"] "Call records written, and lost.";
    STORE_ENTRIES = Counter "strowger_store_entries_total" ["result"] "Entries of the journal that were written, and that found no room.";
    STORE_BACKLOG = Gauge "strowger_store_backlog_bytes" [] "Bytes of the journal that are not in the tables yet.";
    STORE_SHUT = Gauge "strowger_store_shut" [] "1 while no call is let in because what has happened cannot be written down.";
    STORE_DAMAGE = Gauge "strowger_store_damage_bytes" ["kind"] "Bytes of the journal that could not be read since the start: torn by a crash, or changed.";
    DELIVERIES = Gauge "strowger_deliveries" ["state"] "Deliveries that wait for their time or their turn, and under way.";
    LOG_DROPS = Counter "strowger_log_drops_total" [] "Log lines dropped because their reader is too slow.";
    LOOK_UPS = Counter "strowger_dns_look_ups_total" ["result"] "Names looked up: found, not there, or without an answer.";
    MEDIA_SESSIONS = Gauge "strowger_media_sessions" [] "Calls whose media is relayed now.";
    MEDIA_PORTS = Gauge "strowger_media_ports" ["state"] "Pairs of media ports: to be had, resting after use, and in use.";
    MEDIA_SHARED = Gauge "strowger_media_shared_addresses" [] "Addresses of peers that are heard on shared media ports now.";
    MEDIA_CLASHES = Counter "strowger_media_clashes_total" ["got"] "Times that a party announced an address which another call has on the shared port, by what it got: another one, or a pair of its own.";
    MEDIA_PACKETS = Counter "strowger_media_packets_total" ["kind"] "Media packets passed on.";
    MEDIA_BYTES = Counter "strowger_media_bytes_total" [] "Bytes of media packets passed on, without UDP and IP.";
    MEDIA_KERNEL_STREAMS = Gauge "strowger_media_kernel_streams" [] "Streams of media that the kernel forwards now, each direction counted.";
    MEDIA_KERNEL_PACKETS = Counter "strowger_media_kernel_packets_total" [] "Media packets that the kernel forwarded; they are in strowger_media_packets_total, too.";
    MEDIA_KERNEL_RETURNS = Counter "strowger_media_kernel_returns_total" ["why"] "Times that a stream went from the kernel back to the sockets.";
    MEDIA_KERNEL_REFUSALS = Counter "strowger_media_kernel_refusals_total" ["why"] "Times that a stream could not be given to the kernel.";
    MEDIA_KERNEL_INTERFACES = Gauge "strowger_media_kernel_interfaces" ["state"] "Network interfaces of [media] kernel: attached, and refused, at which all media goes through the sockets.";
    MEDIA_DROPS = Counter "strowger_media_drops_total" ["why"] "Media packets that were not passed on.";
    MEDIA_QUIET = Counter "strowger_media_quiet_total" ["who"] "Times that a party was silent for longer than allowed.";
    MEDIA_JITTER = Histogram "strowger_media_jitter_seconds" [] "Interarrival jitter of what a party sent, at the end of the call.";
    MEDIA_LOSS = Histogram "strowger_media_loss_ratio" [] "Share of a party's packets that never came, at the end of the call.";
    MEDIA_MOS = Histogram "strowger_media_mos_score" [] "Estimated mean opinion score of what a party sent, 1 to 4.5, at the end of the call.";
    RTPENGINES = Gauge "strowger_rtpengines" ["state"] "rtpengines: up, and lost, which get no new calls.";
    RTPENGINE_REQUESTS = Counter "strowger_rtpengine_requests_total" ["result"] "Requests to one rtpengine, pings left out, by what came of them.";
    RTPENGINE_RESENT = Counter "strowger_rtpengine_resent_total" [] "Requests sent again because no answer came.";
    RTPENGINE_REPLY = Histogram "strowger_rtpengine_reply_seconds" [] "From a request to its answer, or until it was given up.";
    WEBHOOKS = Counter "strowger_webhooks_total" ["trigger"] "Webhooks sent, or not, by trigger and by result.";
    WEBHOOK_TIME = Histogram "strowger_webhook_seconds" ["trigger"] "From the moment a webhook was due to its answer, or to when it was given up.";
    POSTBACKS = Counter "strowger_postbacks_total" ["result"] "Postbacks and data written, by what became of them.";
    HTTP_CONNECTIONS = Gauge "strowger_http_connections" [] "Connections to the HTTP service now.";
    HTTP_REFUSED = Counter "strowger_http_refused_total" ["why"] "Connections to the HTTP service that were not let in.";
    HTTP_REQUESTS = Counter "strowger_http_requests_total" ["route"] "Requests that the HTTP service answered, by route and status.";
    HTTP_SECONDS = Histogram "strowger_http_request_seconds" [] "From the head of an HTTP request to its answer.";
    VENDOR_CONNECTIONS = Gauge "strowger_vendor_http_connections" [] "Connections to the listeners for outside callers now.";
    VENDOR_REFUSED = Counter "strowger_vendor_refused_total" ["why"] "Webhooks of outside callers that were not believed, or not taken.";
    RECALLS = Counter "strowger_recalls_total" ["result"] "Questions of calls for what is remembered of their callers, by what came of them.";
    NOTIFICATIONS = Counter "strowger_call_notifications_total" ["result"] "Notifications of calls to soft phones, by what came of them.";
    PUSHES = Counter "strowger_call_pushes_total" ["channel"] "Soft phones told of a call, or not, by channel and result.";
    PHONE_SOCKETS = Gauge "strowger_phone_sockets" [] "Soft phones that hold a connection open now.";
    PHONE_SOCKETS_ENDED = Counter "strowger_phone_sockets_ended_total" ["why"] "Connections of soft phones that have ended.";
    SELF_CHECK = Counter "strowger_vendor_self_check_total" ["finding"] "Addresses set up at the vendors for our numbers, as they were found at the start.";
    VENDOR_API = Counter "strowger_vendor_api_requests_total" ["result"] "Requests to the vendors' API, by what came of them.";
    DIRECTORY_CHANGES = Counter "strowger_directory_changes_total" ["result"] "Changes of routing data that came over HTTP.";
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

/// Buckets of interarrival jitter, in seconds.
const JITTERS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2];

/// Buckets of the share of packets that were lost.
const LOSSES: &[f64] = &[0.0, 0.0001, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];

/// Buckets of the mean opinion score.
const SCORES: &[f64] = &[1.5, 2.0, 2.5, 3.0, 3.5, 3.8, 4.0, 4.2, 4.3, 4.4];

/// Buckets of the answers of a process near by, in seconds.
const REPLIES: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// The metrics of one edge. Each edge has its own, so that several can live in one process.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    generation: Gauge,
    shards: Gauge,
    draining: Gauge,
    calls: [Gauge; 4],
    transactions: [Gauge; 2],
    timers: Gauge,
    banned: Gauge,
    queue_delay: Gauge,
    places: [Gauge; 2],
    receive_drops: Counter,
    records: [Counter; 2],
    log_drops: Counter,
    reloads: [Counter; 2],
    look_ups: [(&'static str, Counter); 3],
    changes: [Counter; 2],
    pub(super) setup: Histogram,
    pub(super) post_dial_delay: Histogram,
    pub(super) talk: Histogram,
}

impl Metrics {
    /// Registers all that have no label, or whose label's values are known.
    #[must_use]
    pub fn new() -> Self {
        let mut builder = PrometheusBuilder::new();
        let histograms = [
            (SETUP, DELAYS),
            (POST_DIAL_DELAY, DELAYS),
            (TALK, TALKS),
            (WEBHOOK_TIME, DELAYS),
            (HTTP_SECONDS, DELAYS),
            (MEDIA_JITTER, JITTERS),
            (MEDIA_LOSS, LOSSES),
            (MEDIA_MOS, SCORES),
            (RTPENGINE_REPLY, REPLIES),
        ];
        for (family, buckets) in histograms {
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
        hooks::show(&recorder);
        gauge(&recorder, &BUILD_INFO, Some(env!("CARGO_PKG_VERSION"))).set(1.0);
        let calls = ["ringing", "waiting", "talking", "ending"];
        let sides = ["server", "client"];
        Self {
            handle: recorder.handle(),
            generation: gauge(&recorder, &CONFIG_GENERATION, None),
            shards: gauge(&recorder, &SHARDS, None),
            draining: gauge(&recorder, &DRAINING, None),
            calls: calls.map(|state| gauge(&recorder, &CALLS, Some(state))),
            transactions: sides.map(|side| gauge(&recorder, &TRANSACTIONS, Some(side))),
            timers: gauge(&recorder, &TIMERS, None),
            banned: gauge(&recorder, &BANNED, None),
            queue_delay: gauge(&recorder, &QUEUE_DELAY, None),
            places: ["trunk", "buyer"].map(|kind| gauge(&recorder, &PLACES, Some(kind))),
            receive_drops: counter(&recorder, &RECEIVE_DROPS, None),
            records: ["written", "lost"].map(|result| counter(&recorder, &RECORDS, Some(result))),
            log_drops: counter(&recorder, &LOG_DROPS, None),
            reloads: ["applied", "refused"]
                .map(|result| counter(&recorder, &RELOADS, Some(result))),
            changes: ["made", "refused"]
                .map(|result| counter(&recorder, &DIRECTORY_CHANGES, Some(result))),
            look_ups: ["found", "nothing", "failed"]
                .map(|result| (result, counter(&recorder, &LOOK_UPS, Some(result)))),
            setup: histogram(&recorder, &SETUP),
            post_dial_delay: histogram(&recorder, &POST_DIAL_DELAY),
            talk: histogram(&recorder, &TALK),
            recorder,
        }
    }

    /// Where metrics are registered.
    pub(super) fn recorder(&self) -> &PrometheusRecorder {
        &self.recorder
    }

    /// The counter of `family`, or of one value of its label; it shows from now on.
    pub(super) fn counter(&self, family: &Family, label: Option<&'static str>) -> Counter {
        counter(&self.recorder, family, label)
    }

    /// The counter of `family` for several labels; their values are bounded together.
    pub(super) fn counter_of<const N: usize>(
        &self,
        family: &Family,
        labels: [(&'static str, String); N],
    ) -> Counter {
        let labels = labels.map(|(name, value)| Label::new(name, value));
        let key = Key::from_parts(family.name, labels.to_vec());
        let counter = self.recorder.register_counter(&key, &METADATA);
        counter.increment(0);
        counter
    }

    /// The gauge of `family`, which has no label; it shows from now on.
    pub(super) fn gauge(&self, family: &Family) -> Gauge {
        gauge(&self.recorder, family, None)
    }

    /// The gauge of one value of the label of `family`; it shows from now on.
    pub(super) fn labelled_gauge(&self, family: &Family, label: &'static str) -> Gauge {
        gauge(&self.recorder, family, Some(label))
    }

    /// The histogram of `family`.
    pub(super) fn histogram(&self, family: &Family) -> Histogram {
        histogram(&self.recorder, family)
    }

    /// Shows what is told by buyer for each of them. They are configured, so there is an end to them.
    pub fn show_buyers<'b>(&self, buyers: impl Iterator<Item = &'b str>) {
        for buyer in buyers {
            self.add_gateways_down(buyer, 0.0);
        }
    }

    /// Adds to the number of gateways of `buyer` that are left alone.
    pub(super) fn add_gateways_down(&self, buyer: &str, change: f64) {
        let label = Label::new("buyer", buyer.to_owned());
        let key = Key::from_parts(GATEWAYS_DOWN.name, vec![label]);
        let gauge = self.recorder.register_gauge(&key, &METADATA);
        gauge.increment(change);
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
        let [ringing, waiting, talking, ending] = &self.calls;
        ringing.set(gauges.calls_ringing as f64);
        waiting.set(gauges.calls_waiting as f64);
        talking.set(gauges.calls_talking as f64);
        ending.set(gauges.calls_ending as f64);
        let [server, client] = &self.transactions;
        server.set(gauges.server_transactions as f64);
        client.set(gauges.client_transactions as f64);
        self.timers.set(gauges.timers as f64);
    }

    /// Says how many senders all shards together do not hear.
    pub fn set_banned(&self, count: usize) {
        self.banned.set(count as f64);
    }

    /// Says how long datagrams had to wait.
    pub fn set_queue_delay(&self, wait: Duration) {
        self.queue_delay.set(wait.as_secs_f64());
    }

    /// Says how many places are taken: of trunks and of buyers.
    pub fn set_places(&self, trunks: u64, buyers: u64) {
        let [of_trunks, of_buyers] = &self.places;
        of_trunks.set(trunks as f64);
        of_buyers.set(buyers as f64);
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

    /// Counts a name looked up, by how that went.
    pub fn add_look_up(&self, result: &str) {
        let found = self.look_ups.iter().find(|(label, _)| *label == result);
        if let Some((_, counter)) = found {
            counter.increment(1);
        }
    }

    /// Counts a change of routing data that was asked for over HTTP.
    pub fn add_directory_change(&self, is_made: bool) {
        let [made, refused] = &self.changes;
        if is_made { made } else { refused }.increment(1);
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

pub(super) const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

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
            let has_unit = ["_seconds", "_ratio", "_score"].map(|unit| name.ends_with(unit));
            assert!(
                family.kind != Kind::Histogram || has_unit.contains(&true),
                "{name}"
            );
        }
    }

    #[test]
    fn histograms_have_buckets() {
        let metrics = Metrics::new();
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

    fn shows(metrics: &Metrics, line: &str) -> bool {
        metrics.render().lines().any(|shown| shown == line)
    }
}
