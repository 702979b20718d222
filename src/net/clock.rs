//! The clock: the only place that reads the time.

use std::time::{Duration, Instant, SystemTime};

use crate::telemetry::record::Anchor;
use crate::types::moment::Moment;

/// Reads the monotonic clock.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that the lint sends everyone to"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// Reads the time of day as the kernel stamps datagrams with: from the epoch on.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that the lint sends everyone to"
)]
pub fn wall() -> Duration {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.unwrap_or_default()
}

/// Reads the time of day.
#[must_use]
pub fn moment() -> Moment {
    Moment::default().after(wall())
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
