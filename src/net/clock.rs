//! The clock: the only place that reads the time.

use std::time::{Instant, SystemTime};

use crate::telemetry::record::Anchor;

/// Reads the monotonic clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that the lint sends everyone to"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Reads both clocks at once, so that instants can be written as times of day.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that the lint sends everyone to"
)]
pub fn anchor() -> Anchor {
    Anchor::new(Instant::now(), SystemTime::now())
}
