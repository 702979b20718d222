//! How often a key is shown: so many times a second, and as many at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::types::ids::CallUuid;

/// Keys that are remembered at most. One that was not shown for a second is forgotten, so these are keys that are in use.
const MOST: usize = 16_384;

/// Whose key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Shown {
    /// That of a call.
    Call(CallUuid),
    /// One that the operator handed out, by its id.
    Key(Arc<str>),
}

/// When each bucket is full again.
#[derive(Default)]
pub(super) struct Rates(HashMap<Shown, Instant>);

impl Rates {
    /// Counts one request; `false`: there were `rate` of them within the last second.
    pub(super) fn take(&mut self, now: Instant, shown: Shown, rate: u32) -> bool {
        if self.0.len() >= MOST {
            self.0.retain(|_, full_at| *full_at > now);
        }
        if self.0.len() >= MOST && !self.0.contains_key(&shown) {
            return false;
        }
        let full_at = self.0.entry(shown).or_insert(now);
        let next = (*full_at).max(now) + SECOND / rate.max(1);
        let is_left = next <= now + SECOND;
        if is_left {
            *full_at = next;
        }
        is_left
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    #[test]
    fn so_many_a_second_are_taken_and_each_key_has_its_own() {
        let mut rates = Rates::default();
        let now = clock::now();
        let (one, other) = (Shown::Key("one".into()), Shown::Key("other".into()));

        let taken = (0..20).filter(|_| rates.take(now, one.clone(), 10)).count();
        assert_eq!(taken, 10);
        assert!(rates.take(now, other, 10));
        assert!(!rates.take(now + SECOND / 20, one.clone(), 10));
        assert!(rates.take(now + SECOND / 10, one.clone(), 10));
        assert!(!rates.take(now + SECOND / 10, one, 10));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut rates = Rates::default();
        let now = clock::now();
        let key = |count: usize| Shown::Key(count.to_string().into());
        for count in 0..MOST {
            assert!(rates.take(now, key(count), 10));
        }

        assert!(!rates.take(now, key(MOST), 10));
        assert_eq!(rates.0.len(), MOST);
        assert!(rates.take(now + SECOND, key(MOST), 10));
        assert_eq!(rates.0.len(), 1);
    }
}
