//! What one shard counts, and the way from there to Prometheus.
//!
//! Counting must cost the hot path nothing: a [`Tally`] belongs to one shard, adds up plain integers,
//! and [publishes](Tally::publish) them once per batch to the counters that Prometheus reads.

use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;

use crate::call::output::{Event, GatewayChange};
use crate::call::record::AttemptResult;
use crate::telemetry::labels::{
    CLASSES, FORWARDED, GATEWAY_STATES, METHODS, OUTCOMES, RECALLED, REFUSALS, RESULTS,
    SKIP_REASONS, TABLES, UNFIT, UNREAD_WHY, UNSENT,
};
use crate::telemetry::metrics::{
    ATTEMPTS, BANS, CALLERS_REFUSED, CALLS_ENDED, CALLS_STARTED, FORWARDS, Family, GATEWAY_CHANGES,
    MEDIA_UNFIT, Metrics, PANICS, PARSE_ERRORS, RECALLS, RECEIVED, REFUSED, REPEATED, REQUESTS,
    RESPONSES, RETRANSMISSIONS, SEND_DROPS, SENT, SKIPS, STRAY, TABLE_FULL, UNBUILDABLE, UNREAD,
};

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
    skips: Labelled,
    recalls: Labelled,
    media_unfit: Labelled,
    gateway_changes: Labelled,
    table_full: Labelled,
    send_drops: Labelled,
    forwards: Labelled,
    unread: Labelled,
    bans: usize,
    panics: usize,
    repeated: usize,
    retransmissions: usize,
    stray: usize,
    started: usize,
    callers_refused: usize,
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
            Labelled::new(family, labels, &mut sheet, &metrics)
        };
        let requests = labelled(&REQUESTS, &mut METHODS.iter().copied());
        let responses = labelled(&RESPONSES, &mut CLASSES.iter().copied());
        let parse_errors = labelled(&PARSE_ERRORS, &mut std::iter::empty());
        let refused = labelled(&REFUSED, &mut REFUSALS.iter().map(|why| why.label()));
        let ended = labelled(&CALLS_ENDED, &mut OUTCOMES.iter().map(|how| how.label()));
        let attempts = labelled(&ATTEMPTS, &mut RESULTS.iter().map(|how| how.label()));
        let media_unfit = labelled(&MEDIA_UNFIT, &mut UNFIT.iter().copied());
        let skips = labelled(&SKIPS, &mut SKIP_REASONS.iter().copied());
        let recalls = labelled(&RECALLS, &mut RECALLED.iter().copied());
        let gateway_changes = labelled(&GATEWAY_CHANGES, &mut GATEWAY_STATES.iter().copied());
        let table_full = labelled(&TABLE_FULL, &mut TABLES.iter().copied());
        let send_drops = labelled(&SEND_DROPS, &mut UNSENT.iter().copied());
        let forwards = labelled(&FORWARDS, &mut FORWARDED.iter().copied());
        let unread = labelled(&UNREAD, &mut UNREAD_WHY.iter().copied());
        let mut single = |family| sheet.add(metrics.counter(family, None));
        Self {
            bans: single(&BANS),
            panics: single(&PANICS),
            unread,
            repeated: single(&REPEATED),
            retransmissions: single(&RETRANSMISSIONS),
            stray: single(&STRAY),
            started: single(&CALLS_STARTED),
            callers_refused: single(&CALLERS_REFUSED),
            unbuildable: single(&UNBUILDABLE),
            received: single(&RECEIVED),
            sent: single(&SENT),
            requests,
            responses,
            parse_errors,
            refused,
            ended,
            attempts,
            skips,
            media_unfit,
            recalls,
            gateway_changes,
            table_full,
            send_drops,
            forwards,
            sheet,
            metrics,
        }
    }

    /// Counts one event of the engine.
    pub fn handle_event(&mut self, event: &Event) {
        let (sheet, metrics) = (&mut self.sheet, &self.metrics);
        match event {
            Event::Request { method } => self.requests.count(method, sheet, metrics),
            Event::Response { status } => self.responses.count(class(*status), sheet, metrics),
            Event::Repeated => sheet.count(self.repeated, 1),
            Event::Retransmitted => sheet.count(self.retransmissions, 1),
            Event::Stray => sheet.count(self.stray, 1),
            Event::Malformed { error, .. } => {
                self.parse_errors.count(error.label(), sheet, metrics);
            }
            Event::Refused { why, .. } => self.refused.count(why.label(), sheet, metrics),
            // It is a request, and will be a call; or it is one that has been counted.
            Event::LoggedIn { .. } | Event::TakenUp { .. } => {}
            Event::Started { .. } => sheet.count(self.started, 1),
            Event::CallerRefused { .. } => sheet.count(self.callers_refused, 1),
            Event::AttemptFailed { result, .. } => {
                self.attempts.count(result.label(), sheet, metrics);
            }
            Event::Skipped { why, .. } => self.skips.count(why.label(), sheet, metrics),
            // The record has them.
            Event::TagsTaken { .. } => {}
            Event::Recalled { result, .. } => self.recalls.count(result, sheet, metrics),
            Event::MediaUnfit { why, .. } => self.media_unfit.count(why, sheet, metrics),
            // Skipped or Refused tells the same.
            Event::LimitReached { .. } | Event::Hook { .. } => {}
            Event::Gateway { buyer, change, .. } => {
                let (to, by) = match change {
                    GatewayChange::Down { .. } => ("down", 1.0),
                    GatewayChange::Up | GatewayChange::Removed => ("up", -1.0),
                };
                self.gateway_changes.count(to, sheet, metrics);
                metrics.add_gateways_down(buyer, by);
            }
            Event::Answered {
                setup,
                post_dial_delay,
                ..
            } => {
                let result = AttemptResult::Answered;
                self.attempts.count(result.label(), sheet, metrics);
                metrics.setup.record(*setup);
                if let Some(delay) = post_dial_delay {
                    metrics.post_dial_delay.record(*delay);
                }
            }
            Event::Ended { outcome, talk, .. } => {
                self.ended.count(outcome.label(), sheet, metrics);
                if *talk > Duration::ZERO {
                    metrics.talk.record(*talk);
                }
            }
            Event::Unbuildable => sheet.count(self.unbuildable, 1),
            Event::Panicked => sheet.count(self.panics, 1),
            Event::TableFull { table } => self.table_full.count(table, sheet, metrics),
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
        let metrics = &self.metrics;
        for (why, count) in UNSENT.iter().zip([blocked, refused]) {
            self.send_drops.add(why, count, &mut self.sheet, metrics);
        }
    }

    /// Counts datagrams for other shards: handed to them, and dropped because the owner has no room
    /// or does not exist.
    pub fn add_forwards(&mut self, handed: u64, dropped: u64) {
        let metrics = &self.metrics;
        for (result, count) in FORWARDED.iter().zip([handed, dropped]) {
            self.forwards.add(result, count, &mut self.sheet, metrics);
        }
    }

    /// Counts datagrams that were dropped before they were read.
    pub fn add_unread(&mut self, why: &'static str, count: u64) {
        self.unread.add(why, count, &mut self.sheet, &self.metrics);
    }

    /// Counts a ban that has begun.
    pub fn add_ban(&mut self) {
        self.sheet.count(self.bans, 1);
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
        metrics: &Metrics,
    ) -> Self {
        let places = labels
            .map(|label| (label, sheet.add(metrics.counter(family, Some(label)))))
            .collect();
        Self { family, places }
    }

    fn count(&mut self, label: &'static str, sheet: &mut Sheet, metrics: &Metrics) {
        self.add(label, 1, sheet, metrics);
    }

    fn add(&mut self, label: &'static str, count: u64, sheet: &mut Sheet, metrics: &Metrics) {
        let known = self.places.iter().find(|(known, _)| *known == label);
        let index = match known {
            Some((_, index)) => *index,
            // Labels are texts of our own program, so there is an end to them.
            None => {
                let index = sheet.add(metrics.counter(self.family, Some(label)));
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

#[cfg(test)]
mod tests {
    use super::*;

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
