//! When a host is left alone.
//!
//! ```text
//! closed ── half of the last 20 failed ──> open ── cooldown ──> one request is let through
//!   ^  ^                                    ^                     │
//!   │  └───────────── it went well ─────────┼─────────────────────┤
//!   │                                       └────── it failed ────┘
//! ```

use std::time::{Duration, Instant};

/// How the last requests to a host went.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    state: State,
    /// A bit for each of the last requests, the last one in the lowest place: set, it failed.
    failures: u32,
    count: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    /// One request is out to try.
    Trying,
}

impl Breaker {
    /// Whether a request may be sent; what becomes of it must be told to [`record`](Self::record) or [`forget`](Self::forget).
    pub(super) fn admit(&mut self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } if now < until => false,
            State::Open { .. } => {
                self.state = State::Trying;
                true
            }
            State::Trying => false,
        }
    }

    /// A request that was let through has gone well, or not.
    pub(super) fn record(&mut self, now: Instant, has_failed: bool, cooldown: Duration) {
        let open = State::Open {
            until: now + cooldown,
        };
        match self.state {
            State::Trying if has_failed => self.state = open,
            State::Trying => *self = Self::default(),
            State::Closed => {
                self.failures = ((self.failures << 1) | u32::from(has_failed)) & WINDOW;
                self.count = (self.count + 1).min(OF_THE_LAST);
                if self.count == OF_THE_LAST && self.failures.count_ones() >= TOO_MANY {
                    *self = Self {
                        state: open,
                        ..Self::default()
                    };
                }
            }
            // It was sent before the others failed.
            State::Open { .. } => {}
        }
    }

    /// Nobody knows what has become of a request: whoever wanted to know is gone.
    pub(super) fn forget(&mut self, now: Instant) {
        if self.state == State::Trying {
            self.state = State::Open { until: now };
        }
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_new(&self) -> bool {
        self.state == State::Closed && self.failures == 0
    }
}

const OF_THE_LAST: u32 = 20;
const TOO_MANY: u32 = 10;
const WINDOW: u32 = (1 << OF_THE_LAST) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    #[test]
    fn it_opens_when_half_of_the_last_twenty_failed() {
        let now = clock::now();
        let mut breaker = Breaker::default();
        for turn in 0..19 {
            assert!(breaker.admit(now));
            breaker.record(now, turn % 2 == 0, COOLDOWN);
        }
        assert!(breaker.admit(now));

        breaker.record(now, false, COOLDOWN);

        assert!(!breaker.admit(now));
        assert!(!breaker.admit(now + COOLDOWN - Duration::from_millis(1)));
    }

    #[test]
    fn fewer_failures_than_half_keep_it_closed_for_ever() {
        let now = clock::now();
        let mut breaker = Breaker::default();
        for turn in 0..1_000 {
            assert!(breaker.admit(now), "{turn}");
            breaker.record(now, turn % 20 < 9, COOLDOWN);
        }
    }

    #[test]
    fn after_the_pause_one_request_tries_and_decides_for_all() {
        let now = clock::now();
        let mut breaker = opened(now);
        let later = now + COOLDOWN;

        assert!(breaker.admit(later));
        assert!(!breaker.admit(later), "one is enough");
        breaker.record(later, true, COOLDOWN);
        assert!(!breaker.admit(later));

        let later = later + COOLDOWN;
        assert!(breaker.admit(later));
        breaker.record(later, false, COOLDOWN);
        assert!(breaker.admit(later) && breaker.admit(later));
        breaker.record(later, true, COOLDOWN);
        assert!(breaker.admit(later), "what was before is forgotten");
    }

    #[test]
    fn a_trial_that_nobody_waits_for_any_more_leaves_its_place_to_another() {
        let now = clock::now();
        let mut breaker = opened(now);
        assert!(breaker.admit(now + COOLDOWN));

        breaker.forget(now + COOLDOWN);

        assert!(breaker.admit(now + COOLDOWN));
        let mut closed = Breaker::default();
        closed.forget(now);
        assert!(closed.admit(now) && closed.is_new());
    }

    fn opened(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..20 {
            breaker.record(now, true, COOLDOWN);
        }
        assert!(!breaker.admit(now));
        breaker
    }

    const COOLDOWN: Duration = Duration::from_secs(10);
}
