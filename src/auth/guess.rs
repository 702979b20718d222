//! Wrong passwords: how many came for one user from one place, and whether to look at the next one.
//!
//! ```text
//!   wrong, wrong, ... the last one that is looked at ──────── lock ────────> looked at again
//!   └─ the first is forgotten after the same time ─>
//! ```
//!
//! The place is where the nonce was sent, not where the answer seems to come from: so nobody who forges a
//! carrier's address locks that carrier out. A user whom nobody knows is counted like any other.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher24;

use crate::auth::nonce::Place;

/// Who guesses: a hash of place, realm and user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Guesser(u64);

/// The guesses of one shard. What comes beyond `capacity` pushes out the oldest.
pub struct Guesses {
    /// 0: everything is looked at.
    most: u32,
    lock: Duration,
    capacity: usize,
    table: BTreeMap<Guesser, Guess>,
    /// Each of the table once, in the order in which they began, with the time to look at it.
    queue: VecDeque<(Instant, Guesser)>,
}

#[derive(Debug, Clone, Copy)]
struct Guess {
    failures: u32,
    until: Instant,
}

impl Guesses {
    /// Nobody has guessed, and nobody is kept from it.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            most: 0,
            lock: Duration::ZERO,
            capacity,
            table: BTreeMap::new(),
            queue: VecDeque::new(),
        }
    }

    /// Remembers up to `capacity` guessers from now on.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// `most` failures within `lock` keep a guesser out for `lock`; 0: none does.
    pub fn set_rule(&mut self, most: u32, lock: Duration) {
        self.most = most;
        self.lock = lock;
    }

    /// Names who guesses.
    #[must_use]
    pub fn guesser(&self, place: Place, realm: &str, user: &[u8]) -> Guesser {
        let mut hasher = SipHasher24::new();
        place.hash(&mut hasher);
        realm.hash(&mut hasher);
        user.hash(&mut hasher);
        Guesser(hasher.finish())
    }

    /// Whether its passwords are not looked at.
    #[must_use]
    pub fn is_locked(&self, now: Instant, guesser: Guesser) -> bool {
        self.most > 0
            && self
                .table
                .get(&guesser)
                .is_some_and(|guess| guess.failures >= self.most && now < guess.until)
    }

    /// It gave a wrong one.
    pub fn note_failure(&mut self, now: Instant, guesser: Guesser) {
        if self.most == 0 {
            return;
        }
        self.forget_old(now);
        let until = now + self.lock;
        if let Some(guess) = self.table.get_mut(&guesser) {
            if guess.until <= now {
                *guess = Guess { failures: 0, until };
            }
            guess.failures = guess.failures.saturating_add(1);
            if guess.failures == self.most {
                guess.until = until;
            }
            return;
        }
        while self.table.len() >= self.capacity.max(1) {
            let Some((_, oldest)) = self.queue.pop_front() else {
                return;
            };
            self.table.remove(&oldest);
        }
        let failures = 1;
        self.table.insert(guesser, Guess { failures, until });
        self.queue.push_back((until, guesser));
    }

    /// It gave the right one.
    pub fn note_success(&mut self, guesser: Guesser) {
        // Its place in the queue stays, and is passed over in its time.
        if let Some(guess) = self.table.get_mut(&guesser) {
            guess.failures = 0;
        }
    }

    /// Number of guessers that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((until, oldest)) = self.queue.front().copied()
            && until <= now
        {
            self.queue.pop_front();
            match self.table.get(&oldest) {
                // It was locked later than it began.
                Some(guess) if now < guess.until => self.queue.push_back((guess.until, oldest)),
                Some(_) | None => {
                    self.table.remove(&oldest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: Duration = Duration::from_secs(900);

    #[test]
    fn the_fifth_failure_locks_for_the_whole_time_however_many_follow() {
        let (mut guesses, now) = bench(100);
        let alice = guesses.guesser(Place(1), "realm", b"alice");
        let minute = Duration::from_secs(60);

        for count in 0..5 {
            assert!(!guesses.is_locked(now + count * minute, alice));
            guesses.note_failure(now + count * minute, alice);
        }
        let locked = now + 4 * minute;
        for _ in 0..50 {
            guesses.note_failure(locked + minute, alice);
        }

        assert!(guesses.is_locked(locked, alice));
        assert!(guesses.is_locked(locked + LOCK - minute, alice));
        assert!(!guesses.is_locked(locked + LOCK, alice));
        guesses.note_failure(locked + LOCK, alice);
        assert!(!guesses.is_locked(locked + LOCK, alice), "it begins anew");
    }

    #[test]
    fn failures_that_are_far_apart_do_not_add_up() {
        let (mut guesses, now) = bench(100);
        let alice = guesses.guesser(Place(1), "realm", b"alice");

        for count in 0..20 {
            guesses.note_failure(now + count * LOCK / 4, alice);
            assert!(!guesses.is_locked(now + count * LOCK / 4, alice));
        }
    }

    #[test]
    fn user_place_and_realm_are_apart() {
        let (guesses, _) = bench(100);
        let name = |place, realm, user: &[u8]| guesses.guesser(Place(place), realm, user);

        let alice = name(1, "a", b"alice");
        for other in [
            name(2, "a", b"alice"),
            name(1, "b", b"alice"),
            name(1, "a", b"bob"),
        ] {
            assert_ne!(alice, other);
        }
        assert_eq!(alice, name(1, "a", b"alice"));
    }

    #[test]
    fn there_are_never_more_than_fit_and_the_oldest_goes() {
        let (mut guesses, now) = bench(1000);
        for place in 0..100_000 {
            let guesser = guesses.guesser(Place(place), "realm", b"alice");
            guesses.note_failure(now, guesser);
        }

        assert_eq!((guesses.len(), guesses.queue.len()), (1000, 1000));
        let later = guesses.guesser(Place(0), "realm", b"alice");
        guesses.note_failure(now + LOCK, later);
        assert_eq!((guesses.len(), guesses.queue.len()), (1, 1));
    }

    fn bench(capacity: usize) -> (Guesses, Instant) {
        #[expect(
            clippy::disallowed_methods,
            reason = "some start is needed; no test reads on"
        )]
        let now = Instant::now();
        let mut guesses = Guesses::new(capacity);
        guesses.set_rule(5, LOCK);
        (guesses, now)
    }
}
