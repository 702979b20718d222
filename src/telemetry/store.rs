//! What is told of the store.

use metrics::{Counter, Gauge};

use crate::telemetry::metrics::{
    DELIVERIES, Metrics, STORE_BACKLOG, STORE_DAMAGE, STORE_ENTRIES, STORE_SHUT,
};

/// Figures of the store; all are zero where there is none.
pub struct StoreFigures {
    entries: [Counter; 2],
    backlog: Gauge,
    is_shut: Gauge,
    damage: [Gauge; 2],
    deliveries: [Gauge; 2],
}

impl StoreFigures {
    /// Shows all of them from now on.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        Self {
            entries: ["written", "lost"]
                .map(|result| metrics.counter(&STORE_ENTRIES, Some(result))),
            backlog: metrics.gauge(&STORE_BACKLOG),
            is_shut: metrics.gauge(&STORE_SHUT),
            damage: ["torn", "changed"].map(|kind| metrics.labelled_gauge(&STORE_DAMAGE, kind)),
            deliveries: ["waiting", "under_way"]
                .map(|state| metrics.labelled_gauge(&DELIVERIES, state)),
        }
    }

    /// Says how many entries were written so far, and how many were lost.
    pub fn set_entries(&self, written: u64, lost: u64) {
        let [of_written, of_lost] = &self.entries;
        of_written.absolute(written);
        of_lost.absolute(lost);
    }

    /// Says how far the tables are behind, in bytes, and whether calls are let in.
    pub fn set_state(&self, backlog: u64, is_shut: bool) {
        self.backlog.set(backlog as f64);
        self.is_shut.set(f64::from(u8::from(is_shut)));
    }

    /// Says how many bytes of the journal could not be read.
    pub fn set_damage(&self, torn: u64, changed: u64) {
        let [of_torn, of_changed] = &self.damage;
        of_torn.set(torn as f64);
        of_changed.set(changed as f64);
    }

    /// Says how many deliveries wait, and how many are under way.
    pub fn set_deliveries(&self, waiting: usize, under_way: usize) {
        let [of_waiting, of_under_way] = &self.deliveries;
        of_waiting.set(waiting as f64);
        of_under_way.set(under_way as f64);
    }
}
