//! A timer wheel: thousands of timers, each set and fired in constant time.
//!
//! ```text
//!            base: all before it has come out
//!              |
//!   slot   0 1 2 3 4 5 ...                65535     one slot per millisecond, 65.5 s in all
//!   list   - - a - - c                      f       entries of that millisecond, first in first out
//!              |     |
//!              b     d
//!   bits   0 0 1 0 0 1 ...                  1       1,024 words; 16 more say which words are not 0
//! ```
//!
//! What is due later than the last slot waits in the last slot and is put in again when that comes
//! up. Entries are not taken out early: their owner looks, when one comes up, whether it still cares.
//! So an owner can move a timer back without touching the wheel, and needs no handle to it.

use std::time::{Duration, Instant};

/// Timers of which each is known by a `K`.
#[derive(Debug)]
pub struct Wheel<K> {
    /// Tick 0: when the first entry was put in.
    origin: Option<Instant>,
    /// The tick of the first slot; none of the entries is in a slot before it.
    base: u64,
    /// Per slot the last node of its list, whose `next` is the first one.
    lists: Box<[u32]>,
    /// A bit per slot that is not empty.
    words: Box<[u64]>,
    /// A bit per word that is not 0.
    summary: [u64; WORDS / 64],
    nodes: Vec<Node<K>>,
    /// The first unused node; `next` leads to the others.
    unused: u32,
    len: usize,
}

#[derive(Debug)]
struct Node<K> {
    /// When it is due, in milliseconds after the origin.
    tick: u64,
    next: u32,
    key: K,
}

impl<K> Default for Wheel<K> {
    fn default() -> Self {
        Self {
            origin: None,
            base: 0,
            lists: vec![NONE; SLOTS].into_boxed_slice(),
            words: vec![0; WORDS].into_boxed_slice(),
            summary: [0; WORDS / 64],
            nodes: Vec::new(),
            unused: NONE,
            len: 0,
        }
    }
}

impl<K: Copy> Wheel<K> {
    /// Makes an empty wheel (270 KB).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a timer: `key` comes out of [`pop`](Self::pop) once `at` has come, never before, and
    /// less than a millisecond after if `pop` is called then.
    pub fn insert(&mut self, now: Instant, at: Instant, key: K) {
        let origin = *self.origin.get_or_insert(now);
        if self.len == 0 {
            self.base = self.base.max(ticks(origin, now).0);
        }
        let (whole, part) = ticks(origin, at);
        let tick = whole + u64::from(part > 0);
        let Some(index) = self.new_node(tick, key) else {
            return; // 4 billion entries: the owner's limit is far below.
        };
        self.link(index, tick);
        self.len += 1;
    }

    /// Takes out one entry that is due at `now`; earlier ones come first, and of one millisecond
    /// those that were put in first (of those within the horizon).
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let today = ticks(self.origin?, now).0;
        while let Some(tick) = self.first() {
            if tick > today {
                break;
            }
            self.base = tick;
            let (index, due) = self.unlink_first(slot(tick))?;
            if due > today {
                self.link(index, due); // It was beyond the horizon.
                continue;
            }
            self.len -= 1;
            return self.free_node(index);
        }
        self.base = self.base.max(today);
        None
    }

    /// When [`pop`](Self::pop) is next wanted; it may find nothing then, if the entry was beyond the
    /// horizon. `None`: no entry is there.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.origin? + Duration::from_millis(self.first()?))
    }

    /// Number of entries, those included of which the owner no longer cares.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no entry is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The tick of the first slot that is not empty.
    fn first(&self) -> Option<u64> {
        if self.len == 0 {
            return None;
        }
        let from = slot(self.base);
        let found = self
            .first_slot_from(from)
            .or_else(|| self.first_slot_from(0))?;
        Some(self.base + (found.wrapping_sub(from) & (SLOTS - 1)) as u64)
    }

    /// The first slot at or after `from` that is not empty, up to the last slot.
    fn first_slot_from(&self, from: usize) -> Option<usize> {
        let word = from / 64;
        let bits = self.words.get(word)? & (u64::MAX << (from % 64));
        if bits != 0 {
            return Some(word * 64 + bits.trailing_zeros() as usize);
        }
        let mut mask = (u64::MAX << (word % 64)) << 1;
        for (group, bits) in self.summary.iter().enumerate().skip(word / 64) {
            let bits = bits & mask;
            if bits != 0 {
                let word = group * 64 + bits.trailing_zeros() as usize;
                return Some(word * 64 + self.words.get(word)?.trailing_zeros() as usize);
            }
            mask = u64::MAX;
        }
        None
    }

    /// Puts a node at the end of the list of its tick, or of the nearest one that has a slot.
    fn link(&mut self, index: u32, tick: u64) {
        let slot = slot(tick.clamp(self.base, self.base + SLOTS as u64 - 1));
        let Some(last) = self.lists.get_mut(slot) else {
            return;
        };
        let previous = std::mem::replace(last, index);
        let first = match self.nodes.get_mut(previous as usize) {
            Some(previous) => std::mem::replace(&mut previous.next, index),
            None => {
                self.mark(slot, true);
                index
            }
        };
        if let Some(node) = self.nodes.get_mut(index as usize) {
            node.next = first;
        }
    }

    /// Takes the first node off the list of `slot`: its index and its tick.
    fn unlink_first(&mut self, slot: usize) -> Option<(u32, u64)> {
        let last = *self.lists.get(slot)?;
        let first = self.nodes.get(last as usize)?.next;
        let (second, tick) = {
            let node = self.nodes.get(first as usize)?;
            (node.next, node.tick)
        };
        if first == last {
            *self.lists.get_mut(slot)? = NONE;
            self.mark(slot, false);
        } else {
            self.nodes.get_mut(last as usize)?.next = second;
        }
        Some((first, tick))
    }

    /// Notes whether `slot` holds anything.
    fn mark(&mut self, slot: usize, filled: bool) {
        let word = slot / 64;
        let (Some(bits), Some(summary)) =
            (self.words.get_mut(word), self.summary.get_mut(word / 64))
        else {
            return;
        };
        if filled {
            *bits |= 1 << (slot % 64);
            *summary |= 1 << (word % 64);
        } else {
            *bits &= !(1 << (slot % 64));
            if *bits == 0 {
                *summary &= !(1 << (word % 64));
            }
        }
    }

    /// Takes an unused node, or makes one. `None`: there are as many as can be counted.
    fn new_node(&mut self, tick: u64, key: K) -> Option<u32> {
        let index = self.unused;
        if let Some(node) = self.nodes.get_mut(index as usize) {
            self.unused = node.next;
            node.tick = tick;
            node.key = key;
            return Some(index);
        }
        let index = u32::try_from(self.nodes.len()).ok()?;
        if index == NONE {
            return None;
        }
        self.nodes.push(Node {
            tick,
            next: NONE,
            key,
        });
        Some(index)
    }

    /// Gives a node back: its key.
    fn free_node(&mut self, index: u32) -> Option<K> {
        let node = self.nodes.get_mut(index as usize)?;
        node.next = self.unused;
        self.unused = index;
        Some(node.key)
    }
}

/// The slot of a tick.
fn slot(tick: u64) -> usize {
    tick as usize & (SLOTS - 1)
}

/// Time since `origin`: whole milliseconds, and the nanoseconds beyond them.
fn ticks(origin: Instant, at: Instant) -> (u64, u32) {
    let elapsed = at.saturating_duration_since(origin);
    let nanos = elapsed.subsec_nanos();
    (
        elapsed.as_secs() * 1000 + u64::from(nanos / NANOS_PER_TICK),
        nanos % NANOS_PER_TICK,
    )
}

/// Slots, of a millisecond each: 64·T1 and what may come on top.
const SLOTS: usize = 1 << 16;
const WORDS: usize = SLOTS / 64;
const NANOS_PER_TICK: u32 = 1_000_000;
/// No node.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::transaction::tests::origin;

    #[test]
    fn an_entry_comes_out_at_its_millisecond_and_not_before() {
        let start = origin();
        let mut wheel = Wheel::new();
        wheel.insert(start, start + Duration::from_micros(1_500), 'a');

        assert_eq!(wheel.poll_timeout(), Some(start + Duration::from_millis(2)));
        assert_eq!(wheel.pop(start + Duration::from_micros(1_999)), None);
        assert_eq!(wheel.pop(start + Duration::from_millis(2)), Some('a'));
        assert_eq!(wheel.pop(start + Duration::from_millis(2)), None);
        assert_eq!(wheel.poll_timeout(), None);
    }

    #[test]
    fn entries_of_one_millisecond_come_out_in_the_order_they_were_put_in() {
        let start = origin();
        let mut wheel = Wheel::new();
        for key in ['a', 'b', 'c'] {
            wheel.insert(start, start + Duration::from_secs(32), key);
        }

        assert_eq!(
            all(&mut wheel, start + Duration::from_secs(33)),
            ['a', 'b', 'c']
        );
        assert!(wheel.is_empty());
    }

    #[test]
    fn what_is_past_comes_out_at_once() {
        let start = origin();
        let later = start + Duration::from_secs(100);
        let mut wheel = Wheel::new();
        wheel.insert(start, start + Duration::from_secs(1), 'a');
        assert_eq!(all(&mut wheel, later), ['a']);

        wheel.insert(later, start, 'b');

        assert_eq!(all(&mut wheel, later), ['b']);
    }

    #[test]
    fn an_entry_beyond_the_horizon_waits_its_time() {
        let start = origin();
        let at = start + Duration::from_secs(200);
        let mut wheel = Wheel::new();
        wheel.insert(start, at, 'a');

        let mut woken = 0;
        let popped = loop {
            let now = wheel.poll_timeout().unwrap();
            woken += 1;
            if let Some(key) = wheel.pop(now) {
                break (now, key);
            }
        };

        assert_eq!(popped, (at, 'a'));
        assert_eq!(woken, 4);
    }

    #[test]
    fn nodes_are_used_again() {
        let start = origin();
        let mut wheel = Wheel::new();
        for round in 0..1_000 {
            let now = start + Duration::from_millis(round);
            wheel.insert(now, now + Duration::from_millis(1), round);
            wheel.pop(now);
        }

        assert!(wheel.nodes.len() <= 2);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Insert { after: u64 },
        Advance { by: u64 },
        Follow,
    }

    fn step() -> impl Strategy<Value = Step> {
        // In microseconds: near ones, those around the horizon, and far beyond.
        let span = prop_oneof![
            0..5_000u64,
            0..40_000_000u64,
            65_530_000..65_540_000u64,
            0..300_000_000u64
        ];
        prop_oneof![
            3 => span.clone().prop_map(|after| Step::Insert { after }),
            1 => span.prop_map(|by| Step::Advance { by }),
            2 => Just(Step::Follow),
        ]
    }

    proptest! {
        /// A sorted map is the model: the same keys come out at the same calls, none early.
        #[test]
        fn it_fires_what_a_sorted_map_would_fire(steps in prop::collection::vec(step(), 1..200)) {
            let start = origin();
            let mut now = start;
            let mut wheel = Wheel::new();
            wheel.insert(start, start, usize::MAX); // The wheel counts from its first insert.
            wheel.pop(start);
            let mut model: BTreeMap<(u64, usize), ()> = BTreeMap::new();
            for (key, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Insert { after } => {
                        let at = now + Duration::from_micros(after);
                        wheel.insert(now, at, key);
                        model.insert((micros(start, at).div_ceil(1000), key), ());
                    }
                    Step::Advance { by } => now += Duration::from_micros(by),
                    Step::Follow => now = wheel.poll_timeout().map_or(now, |at| now.max(at)),
                }
                let mut fired = all(&mut wheel, now);
                fired.sort_unstable();
                let mut due: Vec<usize> = Vec::new();
                while let Some((&(tick, key), ())) = model.first_key_value() {
                    if tick > micros(start, now) / 1000 {
                        break;
                    }
                    model.remove(&(tick, key));
                    due.push(key);
                }
                due.sort_unstable();
                prop_assert_eq!(fired, due);
                prop_assert_eq!(wheel.len(), model.len());
                let next = model.first_key_value().map(|(&(tick, _), ())| start + Duration::from_millis(tick));
                prop_assert_eq!(wheel.poll_timeout().is_some(), next.is_some());
                prop_assert!(wheel.poll_timeout() <= next);
            }
        }
    }

    fn all<K: Copy>(wheel: &mut Wheel<K>, now: Instant) -> Vec<K> {
        std::iter::from_fn(|| wheel.pop(now)).collect()
    }

    fn micros(start: Instant, at: Instant) -> u64 {
        u64::try_from((at - start).as_micros()).unwrap()
    }
}
