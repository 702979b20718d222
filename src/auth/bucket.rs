//! A leaky bucket that is one number: the time at which all that was poured in will have run out.
//!
//! ```text
//!   debt ───┐ pour: + cost          full: no more than `depth` ahead of now
//!           └──────────────┐
//!        now ──────────────┴──> empty
//! ```
//!
//! Times are microseconds from a start of the owner's choice, for there is a bucket for each address.

/// One bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    /// When it is empty.
    empty: u64,
}

impl Bucket {
    /// One with nothing in it.
    pub const EMPTY: Self = Self { empty: 0 };

    /// Pours `cost` in, if it fits: `depth` is how long a full bucket takes to run out.
    #[must_use]
    pub fn takes(&mut self, now: u64, cost: u64, depth: u64) -> bool {
        let level = self.level(now).saturating_add(cost);
        if level > depth {
            return false;
        }
        self.empty = now.saturating_add(level);
        true
    }

    /// Pours `cost` in, and says whether the bucket is full now; it never holds more than `depth`.
    pub fn fill(&mut self, now: u64, cost: u64, depth: u64) -> bool {
        let level = self.level(now).saturating_add(cost).min(depth);
        self.empty = now.saturating_add(level);
        level >= depth
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self, now: u64) -> bool {
        self.empty <= now
    }

    /// How long what is in it takes to run out.
    fn level(&self, now: u64) -> u64 {
        self.empty.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_each_cost() {
        let mut bucket = Bucket::default();

        let burst = (0..100).filter(|_| bucket.takes(7, 10, 50)).count();
        assert_eq!(burst, 5);
        assert!(!bucket.takes(16, 10, 50));
        assert!(bucket.takes(17, 10, 50));
        assert!(!bucket.takes(17, 10, 50));
        assert!(!bucket.is_empty(66));
        assert!(bucket.is_empty(67));
    }

    #[test]
    fn it_is_full_after_so_much_and_never_fuller() {
        let mut bucket = Bucket::default();

        let filled: Vec<bool> = (0..5).map(|_| bucket.fill(0, 10, 30)).collect();

        assert_eq!(filled, [false, false, true, true, true]);
        assert!(bucket.is_empty(30));
    }
}
