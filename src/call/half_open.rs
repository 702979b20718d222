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
//!
//! An INVITE that finds no room is answered without a transaction, so a copy of it that comes later would be a new one, and with
//! room by then it would ring for a caller who has been told 503. So the last that were turned away are remembered, in a few bytes
//! each, and their copies are turned away too.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::auth::source::Source;
use crate::transaction::key::ServerKey;
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
    /// Those that found no room of late, [`MOST_REMEMBERED`] at most, and until when, the oldest first.
    turned_away: HashMap<ServerKey, Reached>,
    forgotten_at: VecDeque<(Instant, ServerKey)>,
}

impl HalfOpen {
    /// Whether one more is within the bounds; one that is not, is not for as long as it may be sent again.
    pub(crate) fn check(
        &mut self,
        now: Instant,
        key: ServerKey,
        bounds: &Bounds,
    ) -> Result<(), Reached> {
        self.forget_old(now);
        let before = self.turned_away.get(&key).copied();
        let verdict = before.map_or_else(|| self.is_within(bounds), Err);
        if let (None, Err(reached)) = (before, verdict) {
            self.turned_away.insert(key, reached);
            self.forgotten_at.push_back((now + REMEMBERED, key));
        }
        verdict
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((at, key)) = self.forgotten_at.front()
            && (*at <= now || self.forgotten_at.len() >= MOST_REMEMBERED)
        {
            self.turned_away.remove(key);
            self.forgotten_at.pop_front();
        }
    }

    fn is_within(&self, bounds: &Bounds) -> Result<(), Reached> {
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

/// How many that were turned away are remembered: with more of them there is no room for any.
const MOST_REMEMBERED: usize = 1024;
/// For how long: 64·T1, as long as an INVITE is sent again (RFC 3261 §17.1.1.2).
const REMEMBERED: Duration = Duration::from_secs(32);
