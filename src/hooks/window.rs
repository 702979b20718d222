//! The window in which a call waits for the answers of its pings: all asked at once, one deadline for all.
//!
//! ```text
//! open ──┬─ every ping is answered ──────> over     what was answered, in the order of the webhooks,
//!        └─ 5 s have passed ─────────────> over     not in that of the answers: the same answers
//!                                                   always give the same tags
//! ```
//!
//! An answer after the deadline is nothing, whenever it is handed in: whoever needs longer writes data by postback.

use std::time::{Duration, Instant};

/// How long pings may take, all of them together, from the moment they are due to the last byte of the answer.
pub const LIMIT: Duration = Duration::from_secs(5);

/// Pings of one window at most.
pub const MOST_PINGS: usize = 32;

/// Pings under way; `T` is what becomes of one.
#[derive(Debug)]
pub struct Window<T> {
    until: Instant,
    waiting: usize,
    slots: Vec<Slot<T>>,
}

/// What has become of one ping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot<T> {
    /// It is under way.
    Waiting,
    /// It is done.
    Done(T),
    /// It took too long.
    TimedOut,
}

/// Whether an answer was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It counts.
    InTime,
    /// It came after the deadline, or for the second time.
    Late,
}

impl<T> Window<T> {
    /// Opens a window for `pings` pings, [`MOST_PINGS`] at most, that are asked at `now`.
    #[must_use]
    pub fn open(now: Instant, limit: Duration, pings: usize) -> Self {
        let waiting = pings.min(MOST_PINGS);
        Self {
            until: now + limit,
            waiting,
            slots: std::iter::repeat_with(|| Slot::Waiting)
                .take(waiting)
                .collect(),
        }
    }

    /// The ping at `place` is done.
    pub fn handle_answer(&mut self, now: Instant, place: usize, answer: T) -> Taken {
        match self.slots.get_mut(place) {
            Some(slot @ Slot::Waiting) if now < self.until => {
                *slot = Slot::Done(answer);
                self.waiting -= 1;
                Taken::InTime
            }
            Some(Slot::Waiting | Slot::Done(_) | Slot::TimedOut) | None => Taken::Late,
        }
    }

    /// Time has passed: what is still under way at the deadline has timed out.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.until {
            return;
        }
        for slot in &mut self.slots {
            if matches!(slot, Slot::Waiting) {
                *slot = Slot::TimedOut;
            }
        }
        self.waiting = 0;
    }

    /// When the deadline is; `None`: nothing is waited for.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.is_over()).then_some(self.until)
    }

    /// Whether nothing is waited for any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.waiting == 0
    }

    /// What has become of each, in the order of the webhooks.
    #[must_use]
    pub fn into_slots(self) -> Vec<Slot<T>> {
        self.slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_when_all_have_answered_and_the_order_is_that_of_the_webhooks() {
        let now = epoch();
        let mut window = Window::open(now, LIMIT, 3);
        assert_eq!(window.poll_timeout(), Some(now + LIMIT));

        for (place, after) in [(2, 10), (0, 20), (1, 4_999)] {
            assert!(!window.is_over());
            let at = now + Duration::from_millis(after);
            assert_eq!(window.handle_answer(at, place, place), Taken::InTime);
        }

        assert!(window.is_over());
        assert_eq!(window.poll_timeout(), None);
        let slots = [0, 1, 2].map(Slot::Done);
        assert_eq!(window.into_slots(), slots);
    }

    #[test]
    fn what_comes_after_the_deadline_is_nothing_even_if_nobody_has_looked_at_the_clock() {
        let now = epoch();
        let mut window = Window::open(now, LIMIT, 2);
        let in_time = now + Duration::from_millis(4_900);
        let late = now + Duration::from_millis(5_100);

        assert_eq!(window.handle_answer(in_time, 0, "tags"), Taken::InTime);
        window.handle_timeout(in_time);
        assert!(!window.is_over());
        assert_eq!(window.handle_answer(late, 1, "tags"), Taken::Late);
        assert!(!window.is_over());
        window.handle_timeout(late);

        assert!(window.is_over());
        assert_eq!(window.handle_answer(late, 1, "tags"), Taken::Late);
        assert_eq!(window.into_slots(), [Slot::Done("tags"), Slot::TimedOut]);
    }

    #[test]
    fn one_that_answers_twice_or_was_not_asked_counts_once_or_never() {
        let now = epoch();
        let mut window = Window::open(now, LIMIT, 2);

        assert_eq!(window.handle_answer(now, 0, 'a'), Taken::InTime);
        assert_eq!(window.handle_answer(now, 0, 'b'), Taken::Late);
        assert_eq!(window.handle_answer(now, 7, 'c'), Taken::Late);

        assert!(!window.is_over());
        assert_eq!(window.into_slots(), [Slot::Done('a'), Slot::Waiting]);
        assert!(Window::<()>::open(now, LIMIT, 0).is_over());
        assert_eq!(
            Window::<()>::open(now, LIMIT, 99).into_slots().len(),
            MOST_PINGS
        );
    }

    /// Where virtual time begins.
    #[expect(
        clippy::disallowed_methods,
        reason = "an instant can only be had from the clock; only differences count"
    )]
    fn epoch() -> Instant {
        Instant::now()
    }
}
