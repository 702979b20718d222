//! Going down in good order: which step is due when.
//!
//! ```text
//!   Serving ──signal──> Draining ──limit, or a second signal──> HangingUp ──PARTING──> Over
//!              refuse      │                          hang up       │            stop
//!                          └────────── no call left ────────────────┴── no call left ──> Over
//! ```

use std::time::{Duration, Instant};

/// How long the BYEs of calls that are cut off may take: Timer F's first few repeats.
const PARTING: Duration = Duration::from_secs(4);

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Refuse new calls, wait for the others.
    Refuse,
    /// End all calls.
    HangUp,
    /// Leave.
    Stop,
}

/// How far the going down has got.
#[derive(Debug)]
pub(super) struct Drain {
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Serving,
    Draining {
        /// When the calls under way are cut off.
        until: Instant,
    },
    HangingUp {
        until: Instant,
    },
    Over,
}

impl Drain {
    pub(super) fn new() -> Self {
        Self {
            stage: Stage::Serving,
        }
    }

    pub(super) fn is_serving(&self) -> bool {
        matches!(self.stage, Stage::Serving)
    }

    /// Somebody wants us to go; `limit` is how long calls under way may last.
    pub(super) fn handle_signal(&mut self, now: Instant, limit: Duration) -> Option<Step> {
        match self.stage {
            Stage::Serving => {
                self.stage = Stage::Draining { until: now + limit };
                Some(Step::Refuse)
            }
            Stage::Draining { .. } => Some(self.hang_up(now)),
            // They are on their way.
            Stage::HangingUp { .. } | Stage::Over => None,
        }
    }

    /// Time has passed; `calls` is how many there are, `None` while the shards have not all heard of
    /// the drain.
    pub(super) fn handle_time(&mut self, now: Instant, calls: Option<usize>) -> Option<Step> {
        match self.stage {
            Stage::Draining { .. } | Stage::HangingUp { .. } if calls == Some(0) => {
                self.stage = Stage::Over;
                Some(Step::Stop)
            }
            Stage::Draining { until } if now >= until => Some(self.hang_up(now)),
            Stage::HangingUp { until } if now >= until => {
                self.stage = Stage::Over;
                Some(Step::Stop)
            }
            Stage::Serving | Stage::Draining { .. } | Stage::HangingUp { .. } | Stage::Over => None,
        }
    }

    fn hang_up(&mut self, now: Instant) -> Step {
        self.stage = Stage::HangingUp {
            until: now + PARTING,
        };
        Step::HangUp
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    const LIMIT: Duration = Duration::from_secs(600);

    #[test]
    fn it_leaves_when_the_last_call_has_ended() {
        let (mut drain, now) = (Drain::new(), clock::now());

        assert_eq!(drain.handle_signal(now, LIMIT), Some(Step::Refuse));
        assert_eq!(drain.handle_time(now, None), None);
        assert_eq!(drain.handle_time(now, Some(1)), None);
        assert_eq!(drain.handle_time(now, Some(0)), Some(Step::Stop));
        assert_eq!(drain.handle_time(now, Some(0)), None);
    }

    #[test]
    fn calls_that_last_too_long_are_cut_off_and_their_byes_waited_for() {
        let (mut drain, now) = (Drain::new(), clock::now());
        drain.handle_signal(now, LIMIT);

        let late = now + LIMIT;
        assert_eq!(drain.handle_time(late, Some(2)), Some(Step::HangUp));
        assert_eq!(drain.handle_time(late, Some(2)), None);
        assert_eq!(drain.handle_time(late + PARTING, Some(1)), Some(Step::Stop));
    }

    #[test]
    fn a_second_signal_cuts_them_off_at_once_and_a_third_changes_nothing() {
        let (mut drain, now) = (Drain::new(), clock::now());
        drain.handle_signal(now, LIMIT);

        assert_eq!(drain.handle_signal(now, LIMIT), Some(Step::HangUp));
        assert_eq!(drain.handle_signal(now, LIMIT), None);
        assert_eq!(drain.handle_time(now, Some(0)), Some(Step::Stop));
    }

    #[test]
    fn without_a_signal_nothing_happens() {
        let (mut drain, now) = (Drain::new(), clock::now());

        assert_eq!(drain.handle_time(now + LIMIT * 100, Some(0)), None);
        assert!(drain.is_serving());
    }
}
