//! The three durations that all timers are made of, and the doubling of retransmissions (RFC 3261
//! §17.1.1.1, Table 4).

use std::time::{Duration, Instant};

/// T1, T2 and T4. Timers that start later use it, timers under way keep what they have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// The round trip that is assumed: the first retransmission comes after it.
    pub t1: Duration,
    /// The longest pause between two retransmissions of a non-INVITE request or a final response.
    pub t2: Duration,
    /// How long a message may stay in the network.
    pub t4: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

impl Timing {
    /// 64·T1, after which the peer is given up: timers B, F, H, J, L and M.
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.t1.saturating_mul(64)
    }
}

/// When a message goes out again: the pause doubles each time. Timers A, E and G.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    due: Instant,
    /// The pause that led to `due`, in milliseconds: half the size of a `Duration`.
    pause: u32,
}

impl Backoff {
    /// Starts with a pause of `first`.
    #[must_use]
    pub fn start(now: Instant, first: Duration) -> Self {
        let pause = millis(first);
        Self {
            due: now + Duration::from_millis(pause.into()),
            pause,
        }
    }

    /// Whether it is time to send again; if so, the next pause is twice as long, `longest` at most.
    ///
    /// The pauses are counted from when they were due, so a clock tick does not add up; one that is
    /// already missed is counted from `now`, so a stall is not followed by a burst.
    pub fn fire(&mut self, now: Instant, longest: Duration) -> bool {
        if now < self.due {
            return false;
        }
        self.pause = self.pause.saturating_mul(2).min(millis(longest));
        let pause = Duration::from_millis(self.pause.into());
        self.due += pause;
        if self.due <= now {
            self.due = now + pause;
        }
        true
    }

    /// When it is time.
    #[must_use]
    pub fn due(&self) -> Instant {
        self.due
    }
}

/// `duration` in milliseconds, at least 1 (a pause of none would never end) and 49 days at most.
fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis())
        .unwrap_or(u32::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::tests::origin;

    #[test]
    fn the_defaults_are_those_of_table_4() {
        let timing = Timing::default();

        assert_eq!(timing.patience(), Duration::from_secs(32));
        assert_eq!(timing.t2, Duration::from_secs(4));
        assert_eq!(timing.t4, Duration::from_secs(5));
    }

    #[test]
    fn the_pause_doubles_up_to_the_longest() {
        let start = origin();
        let mut backoff = Backoff::start(start, Duration::from_millis(500));

        let mut at = Vec::new();
        for _ in 0..5 {
            let due = backoff.due();
            at.push((due - start).as_millis());
            assert!(!backoff.fire(due - Duration::from_nanos(1), Duration::from_secs(4)));
            assert!(backoff.fire(due, Duration::from_secs(4)));
        }

        assert_eq!(at, [500, 1500, 3500, 7500, 11500]);
    }

    #[test]
    fn a_late_tick_does_not_add_up() {
        let start = origin();
        let mut backoff = Backoff::start(start, Duration::from_millis(500));

        assert!(backoff.fire(start + Duration::from_millis(502), Duration::MAX));
        assert_eq!(backoff.due() - start, Duration::from_millis(1500));
    }

    #[test]
    fn a_stall_is_not_followed_by_a_burst() {
        let start = origin();
        let mut backoff = Backoff::start(start, Duration::from_millis(500));
        let late = start + Duration::from_secs(10);

        assert!(backoff.fire(late, Duration::MAX));
        assert!(!backoff.fire(late, Duration::MAX));
        assert_eq!(backoff.due() - late, Duration::from_millis(1000));
    }
}
