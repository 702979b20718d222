//! A moment of the wall clock. The core has no clock: whoever knows the time says it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

/// A moment in UTC, in milliseconds since 1970-01-01. Its text is that of RFC 3339: `2024-11-04T14:00:00.250Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Moment(i64);

impl Moment {
    /// The moment that is so many milliseconds after 1970-01-01.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970-01-01.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The moment that is `time` later.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(millis(time)))
    }

    /// The moment that is `time` earlier.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(millis(time)))
    }

    /// How long after `earlier` it is; nothing if it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let passed = self.0.saturating_sub(earlier.0);
        Duration::from_millis(u64::try_from(passed).unwrap_or_default())
    }

    /// The same for calendars; the nearest that a calendar knows, from the year -9999 to 9999.
    #[must_use]
    pub fn timestamp(self) -> Timestamp {
        let nearest = if self.0 < 0 {
            Timestamp::MIN
        } else {
            Timestamp::MAX
        };
        Timestamp::from_millisecond(self.0).unwrap_or(nearest)
    }
}

impl From<Timestamp> for Moment {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp.as_millisecond())
    }
}

impl FromStr for Moment {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Timestamp>().map(Self::from)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.timestamp().fmt(f)
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_text_is_read_in_any_zone_and_written_in_utc() {
        let moment: Moment = "2024-11-04T09:00:00.25-05:00".parse().expect("a moment");

        assert_eq!(moment.millis(), 1_730_728_800_250);
        assert_eq!(moment.seconds(), 1_730_728_800);
        assert_eq!(moment.to_string(), "2024-11-04T14:00:00.25Z");
        assert_eq!(Moment::default().to_string(), "1970-01-01T00:00:00Z");
        assert!("2024-11-04T09:00:00".parse::<Moment>().is_err());
    }

    #[test]
    fn time_passes_and_never_backwards() {
        let noon = Moment::from_millis(1000);

        assert_eq!(
            noon.after(Duration::from_secs(2)),
            Moment::from_millis(3000)
        );
        assert_eq!(
            noon.before(Duration::from_secs(2)),
            Moment::from_millis(-1000)
        );
        assert_eq!(Moment::from_millis(-1).seconds(), -1);
        assert_eq!(
            Moment::from_millis(1500).since(noon),
            Duration::from_millis(500)
        );
        assert_eq!(noon.since(Moment::from_millis(1500)), Duration::ZERO);
        assert_eq!(noon.after(Duration::MAX), Moment::from_millis(i64::MAX));
        assert_eq!(
            Moment::from_millis(i64::MAX).to_string(),
            Timestamp::MAX.to_string()[..19].to_owned() + ".999999999Z"
        );
    }
}
