//! Where shards hear what DNS says.

use std::sync::Arc;

use crate::edge::inbox::{Letter, Mailbox};
use crate::net::resolver::{Audience, LookUp, Told};
use crate::telemetry::metrics::Metrics;

/// Tells all shards what the resolver finds.
pub(super) struct Hall {
    pub(super) mailboxes: Vec<Mailbox>,
    pub(super) metrics: Arc<Metrics>,
}

impl Audience for Hall {
    fn tell(&self, told: Told) {
        for mailbox in &self.mailboxes {
            // A shard that has no room for it will ask.
            mailbox.post(Letter::Told(told.clone()));
        }
    }

    fn count(&self, result: LookUp) {
        self.metrics.add_look_up(result.label());
    }
}
