//! The calls that go on and the last ones that are over, by caller.
//!
//! ```text
//!   caller ── 1  2  4  7      numbered as they began or ended, whichever was last
//!             │  │  │  └ over, worth      so the latest are found from the end,
//!             │  │  └ followed, worth     and the oldest that are over from the beginning
//!             │  └ followed
//!             └ over, worth
//! ```
//!
//! One caller may call as often as it likes: what is done for a call takes as long for the hundredth thousandth as for the second.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::call::memory::{MOST_EARLIER, Memory, News, Of, Question, Remembered};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// Calls of one caller that are told of one another while they last, at most. The others are told when they ask that they do not know
/// all.
pub const MOST_FOLLOWERS: usize = 64;

/// See above. `F` says who is told of news.
#[derive(Debug)]
pub struct Memories<F> {
    callers: HashMap<Of, Calls<F>>,
    /// Whose calls those are that are over, by their numbers: the oldest first.
    over: BTreeMap<u64, Of>,
    /// How many of these there are at most.
    most: usize,
    /// The number of the next one.
    next: u64,
}

/// Those of one caller, by their numbers.
#[derive(Debug)]
struct Calls<F> {
    entries: BTreeMap<u64, Entry<F>>,
    numbers: HashMap<CallUuid, u64>,
    /// Of which anything is to be remembered.
    worth: BTreeSet<u64>,
    /// That are told of news.
    followed: BTreeSet<u64>,
    /// That are over.
    over: BTreeSet<u64>,
    /// The last that is known of those that were forgotten because there are too many.
    forgotten: Option<Moment>,
}

#[derive(Debug)]
struct Entry<F> {
    call: Remembered,
    /// `None`: it is over, or too many are told already.
    follower: Option<F>,
    is_over: bool,
}

impl<F: Clone> Memories<F> {
    /// Remembers nothing yet, and so many calls at most that are over, of one caller [`MOST_EARLIER`]. Those that go on have their
    /// bound elsewhere.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            callers: HashMap::new(),
            over: BTreeMap::new(),
            most,
            next: 0,
        }
    }

    /// A call asks: says what is known of the others of its caller, the latest first. As long as it lasts, `follower` is told of news.
    pub fn ask(&mut self, question: &Question, follower: F) -> Memory {
        let calls = self.callers.entry(question.of.clone()).or_default();
        let mut others = calls.worth.iter().rev();
        let mut others = others
            .by_ref()
            .filter_map(|number| calls.entries.get(number))
            .map(|entry| &entry.call);
        let known: Vec<_> = others.by_ref().take(MOST_EARLIER).cloned().collect();
        let is_left_out = others
            .next()
            .is_some_and(|call| call.is_since(question.since));
        let is_forgotten = calls.forgotten.is_some_and(|at| at >= question.since);
        let is_followed = calls.followed.len() < MOST_FOLLOWERS;
        calls.insert(
            self.next,
            Entry {
                call: question.call.clone(),
                follower: is_followed.then_some(follower),
                is_over: false,
            },
        );
        self.next += 1;
        Memory {
            calls: known,
            tags: Vec::new(),
            is_cut: is_left_out || is_forgotten || !is_followed,
        }
    }

    /// Takes in news, and says who is to be told.
    pub fn note(&mut self, news: &News) -> Vec<F> {
        let is_kept = news.call.is_worth();
        let calls = self.callers.entry(news.of.clone()).or_default();
        let known = calls.take(news.call.uuid);
        let (number, was_over) = match &known {
            Some((number, entry)) => (*number, entry.is_over),
            None => (self.next, false),
        };
        if is_kept && (known.is_some() || news.is_over) {
            let (mut call, mut follower) = (news.call.clone(), None);
            if let Some((_, entry)) = known {
                if was_over {
                    // What comes late says only what is new.
                    call = entry.call.completed(call);
                }
                follower = entry.follower;
            }
            let is_over = news.is_over || was_over;
            // It is among the latest once it is over.
            let number = if is_over && !was_over {
                self.next += 1;
                self.over.insert(self.next - 1, news.of.clone());
                self.next - 1
            } else {
                number
            };
            calls.insert(
                number,
                Entry {
                    call,
                    follower: follower.filter(|_| !is_over),
                    is_over,
                },
            );
        } else if let Some((number, entry)) = known.filter(|_| !news.is_over) {
            let call = news.call.clone();
            calls.insert(number, Entry { call, ..entry });
        } else if was_over {
            self.over.remove(&number);
        }
        let own = calls.numbers.get(&news.call.uuid);
        let others = calls.followed.iter().filter(|number| Some(*number) != own);
        let others = others.filter_map(|number| calls.entries.get(number)?.follower.clone());
        let told = if is_kept {
            others.collect()
        } else {
            Vec::new()
        };
        if calls.over.len() > MOST_EARLIER
            && let Some(oldest) = calls.over.first().copied()
        {
            self.over.remove(&oldest);
            let last = calls.remove(oldest).and_then(|entry| entry.call.last());
            calls.forgotten = calls.forgotten.max(last);
        }
        if calls.entries.is_empty() {
            self.callers.remove(&news.of);
        }
        while self.over.len() > self.most {
            self.forget_oldest();
        }
        told
    }

    /// How many calls are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.callers.values().map(|calls| calls.entries.len()).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.callers.is_empty()
    }

    fn forget_oldest(&mut self) {
        let Some((number, of)) = self.over.pop_first() else {
            return;
        };
        if let Some(calls) = self.callers.get_mut(&of) {
            calls.remove(number);
            if calls.entries.is_empty() {
                self.callers.remove(&of);
            }
        }
    }
}

impl<F> Default for Calls<F> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            numbers: HashMap::new(),
            worth: BTreeSet::new(),
            followed: BTreeSet::new(),
            over: BTreeSet::new(),
            forgotten: None,
        }
    }
}

impl<F> Calls<F> {
    fn insert(&mut self, number: u64, entry: Entry<F>) {
        self.numbers.insert(entry.call.uuid, number);
        for (is_one, those) in [
            (entry.call.is_worth(), &mut self.worth),
            (entry.follower.is_some(), &mut self.followed),
            (entry.is_over, &mut self.over),
        ] {
            if is_one {
                those.insert(number);
            }
        }
        self.entries.insert(number, entry);
    }

    fn take(&mut self, call: CallUuid) -> Option<(u64, Entry<F>)> {
        let number = self.numbers.get(&call).copied()?;
        self.remove(number).map(|entry| (number, entry))
    }

    fn remove(&mut self, number: u64) -> Option<Entry<F>> {
        let entry = self.entries.remove(&number)?;
        self.numbers.remove(&entry.call.uuid);
        for those in [&mut self.worth, &mut self.followed, &mut self.over] {
            those.remove(&number);
        }
        Some(entry)
    }
}

#[cfg(test)]
mod tests;
