//! INVITEs that were let in and are not settled: no final answer yet, or one of failure that nobody has acknowledged.
//!
//! Each holds a transaction, a call and a place at a buyer for as long as its sender likes. Two bounds keep one sender from
//! holding all there are:
//!
//! | bound | who | why there |
//! |---|---|---|
//! | `[guard] half_open` | an address that nobody lists, whose user has logged in | a password alone is no reason to trust it with the table |
//! | `[[trunk]] half_open` | all callers of one trunk | how many calls of a carrier ring at once is its own matter, and it may say |
//!
//! Whoever has no bound is not counted. Answered calls are not: those are bounded by `max_calls` and `[limits] calls`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::Arc;

use crate::auth::source::Source;
use crate::transaction::layer::ServerId;

/// Who is counted for one INVITE, with how many each may have; `None`: no bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) source: Option<(Source, u32)>,
    pub(crate) trunk: Option<(Arc<str>, u32)>,
}

/// Whose bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    Source,
    Trunk,
}

/// Those of one shard. As many as there are server transactions, at most.
#[derive(Default)]
pub(crate) struct HalfOpen {
    held: HashMap<ServerId, Bounds>,
    by_source: HashMap<Source, u32>,
    by_trunk: HashMap<Arc<str>, u32>,
}

impl HalfOpen {
    /// Whether one more is within the bounds.
    pub(crate) fn check(&self, bounds: &Bounds) -> Result<(), Reached> {
        if let Some((source, most)) = &bounds.source
            && self.by_source.get(source).is_some_and(|held| held >= most)
        {
            return Err(Reached::Source);
        }
        if let Some((trunk, most)) = &bounds.trunk
            && self.by_trunk.get(trunk).is_some_and(|held| held >= most)
        {
            return Err(Reached::Trunk);
        }
        Ok(())
    }

    /// Counts one that was let in; `false`: nobody counts it.
    pub(crate) fn open(&mut self, server: ServerId, bounds: Bounds) -> bool {
        if bounds.source.is_none() && bounds.trunk.is_none() {
            return false;
        }
        if let Some((source, _)) = &bounds.source {
            *self.by_source.entry(*source).or_default() += 1;
        }
        if let Some((trunk, _)) = &bounds.trunk {
            *self.by_trunk.entry(Arc::clone(trunk)).or_default() += 1;
        }
        self.held.insert(server, bounds);
        true
    }

    /// It is settled. One that is not counted, or not any more, changes nothing.
    pub(crate) fn settle(&mut self, server: ServerId) {
        let Some(bounds) = self.held.remove(&server) else {
            return;
        };
        if let Some((source, _)) = bounds.source {
            take_one(&mut self.by_source, source);
        }
        if let Some((trunk, _)) = bounds.trunk {
            take_one(&mut self.by_trunk, trunk);
        }
    }

    /// How many are counted.
    pub(crate) fn len(&self) -> usize {
        self.held.len()
    }
}

fn take_one<K: Hash + Eq>(counts: &mut HashMap<K, u32>, key: K) {
    if let Entry::Occupied(mut count) = counts.entry(key) {
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}
