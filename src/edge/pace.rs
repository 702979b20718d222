//! How often a shard looks at its sockets.
//!
//! Under load most of a message's cost is the wake-up for it: what the kernel does to put a thread to
//! sleep and to wake it, and what the caches forget meanwhile. So there are only so many looks in a
//! while, and each takes all that has come since the last one. They are counted as by a leaky bucket:
//! after a silence the first looks come at once, and only a load that goes on is made to gather.

use std::time::{Duration, Instant};

/// Looks that may come at once after a silence: a call's set-up, to a buyer or two.
const BURST: u32 = 16;

/// Spaces the looks of one shard.
pub(super) struct Pace {
    /// Time between two looks, in the long run.
    gather: Duration,
    /// When the looks so far will have been paid for.
    paid: Instant,
}

impl Pace {
    /// `gather` is the time between two looks in the long run; zero lets each come at once.
    pub(super) fn new(gather: Duration, now: Instant) -> Self {
        Self { gather, paid: now }
    }

    /// Counts a look. Looks that could not wait, because there was more to be read, are not held against
    /// the next one: no pause is longer than `gather`.
    pub(super) fn note(&mut self, now: Instant) {
        let most = now + self.gather * (BURST + 1);
        self.paid = (self.paid.max(now) + self.gather).min(most);
    }

    /// How long the next look has to wait.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let debt = self.paid.saturating_duration_since(now);
        debt.saturating_sub(self.gather * BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn start() -> Instant {
        crate::net::clock::now()
    }

    #[test]
    fn a_few_looks_come_at_once_and_then_one_each_while() {
        let now = start();
        let mut pace = Pace::new(MS, now);

        for _ in 0..BURST {
            assert_eq!(pace.pause(now), Duration::ZERO);
            pace.note(now);
        }
        pace.note(now);

        assert_eq!(pace.pause(now), MS);
        assert_eq!(pace.pause(now + MS), Duration::ZERO);
        pace.note(now + MS);
        assert_eq!(pace.pause(now + MS), MS);
    }

    #[test]
    fn a_silence_pays_and_no_more_than_the_burst_is_saved_up() {
        let now = start();
        let mut pace = Pace::new(MS, now);
        for _ in 0..2 * BURST {
            pace.note(now);
        }
        let later = now + 1000 * MS;

        for _ in 0..BURST {
            assert_eq!(pace.pause(later), Duration::ZERO);
            pace.note(later);
        }
        pace.note(later);

        assert_eq!(pace.pause(later), MS);
    }

    #[test]
    fn looks_that_could_not_wait_do_not_make_a_pause_longer() {
        let now = start();
        let mut pace = Pace::new(MS, now);
        for _ in 0..100_000 {
            pace.note(now);
        }

        assert_eq!(pace.pause(now), MS);
    }

    #[test]
    fn without_gathering_there_is_no_pause() {
        let now = start();
        let mut pace = Pace::new(Duration::ZERO, now);
        for _ in 0..1000 {
            pace.note(now);
        }

        assert_eq!(pace.pause(now), Duration::ZERO);
    }
}
