//! What is remembered for a time, and no more of it than there is room for.

use std::collections::{BTreeMap, BTreeSet};

use crate::types::moment::Moment;

/// Values by key, each until its time.
pub(super) struct Aging<K, V> {
    values: BTreeMap<K, (Moment, V)>,
    /// By their end, so that what is over is found first.
    ends: BTreeSet<(Moment, K)>,
}

/// There is no room for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

impl<K, V> Default for Aging<K, V> {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            ends: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone, V> Aging<K, V> {
    /// What is remembered under `key`.
    pub(super) fn get(&self, now: Moment, key: &K) -> Option<&V> {
        let (until, value) = self.values.get(key)?;
        (*until > now).then_some(value)
    }

    /// Whether there is room for `key` among `most`, once what is over is forgotten.
    pub(super) fn has_room(&mut self, now: Moment, most: usize, key: &K) -> Result<(), Full> {
        while self.ends.first().is_some_and(|(end, _)| *end <= now) {
            self.forget_first();
        }
        let fits = self.values.len() < most || self.values.contains_key(key);
        fits.then_some(()).ok_or(Full)
    }

    /// Makes room for `key` among `most`: what would be over first is forgotten for it.
    pub(super) fn make_room(&mut self, now: Moment, most: usize, key: &K) {
        while self.has_room(now, most, key).is_err() && !self.ends.is_empty() {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, key)) = self.ends.pop_first() {
            self.values.remove(&key);
        }
    }

    /// Remembers it, in place of what was.
    pub(super) fn insert(&mut self, until: Moment, key: K, value: V) {
        if let Some((before, _)) = self.values.insert(key.clone(), (until, value)) {
            self.ends.remove(&(before, key.clone()));
        }
        self.ends.insert((until, key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_remembered_until_its_time_and_the_last_of_a_key_counts() {
        let mut aging = Aging::default();
        aging.insert(at(10), "a", 1);
        aging.insert(at(20), "a", 2);
        aging.insert(at(10), "b", 3);

        assert_eq!(aging.get(at(5), &"a"), Some(&2));
        assert_eq!(aging.has_room(at(9), 2, &"c"), Err(Full));
        assert_eq!(aging.has_room(at(9), 2, &"b"), Ok(()));
        assert_eq!(aging.get(at(10), &"b"), None);
        assert_eq!(aging.has_room(at(10), 2, &"c"), Ok(()));
        assert_eq!(aging.get(at(19), &"a"), Some(&2));
        assert_eq!(aging.has_room(at(20), 1, &"c"), Ok(()));
        assert_eq!(aging.get(at(0), &"a"), None);
    }

    #[test]
    fn what_is_over_first_makes_room_for_what_is_new() {
        let mut aging = Aging::default();
        for (end, key) in [(30, "a"), (10, "b"), (20, "c")] {
            aging.insert(at(end), key, ());
        }

        aging.make_room(at(0), 3, &"a");
        assert!(aging.get(at(0), &"b").is_some(), "it has its place already");
        aging.make_room(at(0), 2, &"d");

        let known = ["a", "b", "c"].map(|key| aging.get(at(0), &key).is_some());
        assert_eq!(known, [true, false, false]);
    }

    fn at(millis: i64) -> Moment {
        Moment::from_millis(millis)
    }
}
