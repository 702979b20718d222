//! Messages that were handed on, so that none is handed on twice: Twilio repeats one, within seconds, when it had no answer.
//!
//! ```text
//!   looked up, handed on, remembered ── one step: whoever comes with the same message waits for it
//!                            └── journal: also for the next process
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::edge::notebook::Notebook;
use crate::store::Entry;
use crate::store::entry::Spent;
use crate::types::moment::Moment;

/// Messages that are remembered at most: the last ones.
const REMEMBERED: usize = 100_000;

/// How long a message is remembered beyond the process.
const TIME: Duration = Duration::from_secs(600);

/// The realm of messages, by their names in hexadecimal digits.
const REALM: &str = "notification";

/// What a message is remembered by: its account and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name([u8; 16]);

impl Name {
    pub(super) fn of(account: &str, message: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update((account.len() as u64).to_be_bytes());
        hash.update(account);
        hash.update(message);
        let mut name = [0; 16];
        for (byte, hashed) in name.iter_mut().zip(hash.finalize()) {
            *byte = hashed;
        }
        Self(name)
    }
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Once {
    /// It is handed on.
    Now,
    /// It was.
    Before,
    /// It could not be: the next one may.
    Not,
}

/// The messages.
pub(super) struct Seen {
    notebook: Arc<Notebook>,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    all: BTreeSet<Name>,
    order: VecDeque<Name>,
}

impl Seen {
    /// With what was remembered when this process began.
    pub(super) fn new(now: Moment, notebook: &Arc<Notebook>) -> Self {
        let mut kept = notebook.spent(now, REALM);
        kept.sort_by_key(|(_, until)| *until);
        let mut book = Book::default();
        for (token, _) in kept {
            if let Ok(bits) = u128::from_str_radix(&token, 16) {
                book.put(Name(bits.to_be_bytes()));
            }
        }
        Self {
            notebook: Arc::clone(notebook),
            book: Mutex::new(book),
        }
    }

    /// Has a message handed on, unless it was: `hand_on` says whether it is.
    pub(super) fn once(&self, now: Moment, name: Name, hand_on: impl FnOnce() -> bool) -> Once {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if book.all.contains(&name) {
            return Once::Before;
        }
        if !hand_on() {
            return Once::Not;
        }
        book.put(name);
        let spent = Spent {
            realm: REALM,
            token: &format!("{:032x}", u128::from_be_bytes(name.0)),
            until: now.after(TIME),
        };
        // What is not written down may be told twice after a crash; the call would be lost if it were not told at all.
        let _ = self.notebook.keep([Entry::Spent(spent)]);
        Once::Now
    }
}

impl Book {
    fn put(&mut self, name: Name) {
        if !self.all.insert(name) {
            return;
        }
        self.order.push_back(name);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn of_two_at_once_one_is_handed_on() {
        let (seen, name) = (seen(), Name::of("AC1", "WB1"));
        let (enter, entered) = mpsc::channel();
        let (go, gone) = mpsc::channel::<()>();

        let (first, second) = thread::scope(|scope| {
            let first = scope.spawn(|| {
                seen.once(now(), name, move || {
                    enter.send(()).expect("somebody waits");
                    gone.recv().is_ok()
                })
            });
            entered.recv().expect("the first is at it");
            let second = scope.spawn(|| seen.once(now(), name, || true));
            // It comes to no end before the first does.
            thread::sleep(Duration::from_millis(50));
            assert!(!second.is_finished());
            go.send(()).expect("the first is at it");
            (first.join().unwrap(), second.join().unwrap())
        });

        assert_eq!((first, second), (Once::Now, Once::Before));
    }

    #[test]
    fn what_could_not_be_handed_on_may_come_again() {
        let (seen, name) = (seen(), Name::of("AC1", "WB1"));

        assert_eq!(seen.once(now(), name, || false), Once::Not);
        assert_eq!(seen.once(now(), name, || true), Once::Now);
        assert_eq!(seen.once(now(), name, || true), Once::Before);
        let other = Name::of("AC1W", "B1");
        assert_eq!(seen.once(now(), other, || true), Once::Now);
    }

    #[test]
    fn the_last_ones_are_remembered() {
        let seen = seen();
        let name = |last: usize| Name::of("AC1", &last.to_string());
        for last in 0..=REMEMBERED {
            assert_eq!(seen.once(now(), name(last), || true), Once::Now);
        }

        assert_eq!(seen.once(now(), name(REMEMBERED), || true), Once::Before);
        assert_eq!(seen.once(now(), name(0), || true), Once::Now);
    }

    fn seen() -> Seen {
        Seen::new(now(), &Arc::new(Notebook::new(None)))
    }

    fn now() -> Moment {
        Moment::from_millis(0)
    }
}
