//! Port pairs of one shard: taken at random, left alone for a while after use.
//!
//! What a call's peers send after it is over must not be heard by the next call, so a port rests before it is used
//! again; and which port comes next must not be guessed, so it is drawn (RFC 6056).

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Pairs of ports: an even one for RTP and the odd one after it for RTCP (RFC 3550 §11).
#[derive(Debug)]
pub struct Pool {
    free: Vec<u16>,
    /// Pairs that were used, with when they may be used again; all rest equally long, so the first is free first.
    resting: VecDeque<(Instant, u16)>,
    /// A bit for each pair of all ports: whether it is taken.
    taken: Box<[u64]>,
    in_use: usize,
    limit: usize,
    rest: Duration,
}

/// How many pairs there are of each sort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stock {
    /// To be had.
    pub free: usize,
    /// Left alone for now.
    pub resting: usize,
    /// Taken.
    pub in_use: usize,
}

impl Pool {
    /// Takes every `of`th pair of `range`, beginning with the `index`th: pools with the same range and `of` share it
    /// out. A pair rests for `rest` after use; no more than `limit` are given out at a time, `None`: as many as there
    /// are.
    #[must_use]
    pub fn new(
        range: RangeInclusive<u16>,
        (index, of): (usize, usize),
        limit: Option<usize>,
        rest: Duration,
    ) -> Self {
        let free: Vec<u16> = pairs(range).skip(index).step_by(of.max(1)).collect();
        Self {
            limit: limit.unwrap_or(free.len()),
            free,
            resting: VecDeque::new(),
            taken: vec![0; PAIRS / 64].into_boxed_slice(),
            in_use: 0,
            rest,
        }
    }

    /// Takes a pair and returns its even port; `random` says which. `None`: none is to be had.
    pub fn take(&mut self, now: Instant, random: u32) -> Option<u16> {
        self.wake(now);
        if self.in_use >= self.limit || self.free.is_empty() {
            return None;
        }
        // Not quite even for counts that do not divide 2^32, by one in 130,000.
        let place = (u64::from(random) * self.free.len() as u64) >> 32;
        let port = self.free.swap_remove(place as usize);
        self.mark(port, true);
        self.in_use += 1;
        Some(port)
    }

    /// Gives back a pair that was taken. `false`: it was not, and nothing has changed.
    pub fn give_back(&mut self, now: Instant, port: u16) -> bool {
        if !self.mark(port, false) {
            return false;
        }
        self.in_use -= 1;
        self.resting.push_back((now + self.rest, port));
        true
    }

    /// How many there are of each sort.
    pub fn stock(&mut self, now: Instant) -> Stock {
        self.wake(now);
        self.count()
    }

    /// The same, as it was when a pair was last taken or asked for.
    #[must_use]
    pub fn count(&self) -> Stock {
        Stock {
            free: self
                .free
                .len()
                .min(self.limit - self.in_use.min(self.limit)),
            resting: self.resting.len(),
            in_use: self.in_use,
        }
    }

    /// Frees what has rested.
    fn wake(&mut self, now: Instant) {
        while let Some((_, port)) = self.resting.pop_front_if(|(at, _)| *at <= now) {
            self.free.push(port);
        }
    }

    /// Notes whether `port` is taken; `false`: so it was before.
    fn mark(&mut self, port: u16, is_taken: bool) -> bool {
        let pair = usize::from(port / 2);
        let Some(word) = self.taken.get_mut(pair / 64) else {
            return false;
        };
        let bit = 1 << (pair % 64);
        let was_taken = *word & bit != 0;
        if was_taken != is_taken {
            *word ^= bit;
        }
        was_taken != is_taken
    }
}

/// The even ports of the pairs in `range`. A pair must be whole: an even port, and the odd one after it still in the range.
pub fn pairs(range: RangeInclusive<u16>) -> impl Iterator<Item = u16> {
    let last = *range.end();
    range.filter(move |port| port % 2 == 0 && *port < last && *port > 0)
}

/// Whose a shared pair is, of so many: the shard's with this number, and the relay's thread with the same.
#[must_use]
pub fn owner(port: u16, of: usize) -> usize {
    usize::from(port / 2) % of.max(1)
}

/// Pairs of all ports.
const PAIRS: usize = 32_768;

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Duration = Duration::from_secs(30);

    #[test]
    fn every_pair_is_whole_and_given_out_once() {
        let mut pool = Pool::new(10_001..=10_010, (0, 1), None, REST);
        let now = start();

        let mut ports: Vec<u16> = (0..).map_while(|n| pool.take(now, n << 30)).collect();
        ports.sort_unstable();

        // 10,001 has no even port before it, 10,010 no odd one after it.
        assert_eq!(ports, [10_002, 10_004, 10_006, 10_008]);
        assert_eq!(pool.take(now, 0), None);
    }

    #[test]
    fn shards_share_a_range_out() {
        let mut all: Vec<u16> = Vec::new();
        for index in 0..3 {
            let mut pool = Pool::new(20_000..=20_019, (index, 3), None, REST);
            all.extend(std::iter::from_fn(|| pool.take(start(), 7)));
        }
        all.sort_unstable();

        assert_eq!(all, (20_000..20_020).step_by(2).collect::<Vec<u16>>());
    }

    #[test]
    fn a_pair_rests_before_it_is_given_out_again() {
        let mut pool = Pool::new(30_000..=30_001, (0, 1), None, REST);
        let now = start();
        let port = pool.take(now, 0).unwrap();

        assert!(pool.give_back(now, port));

        let before = now + REST - Duration::from_millis(1);
        assert_eq!(pool.take(before, 0), None);
        assert_eq!(
            pool.stock(before),
            Stock {
                free: 0,
                resting: 1,
                in_use: 0
            }
        );
        assert_eq!(pool.take(now + REST, 0), Some(port));
    }

    #[test]
    fn what_was_not_taken_cannot_be_given_back() {
        let mut pool = Pool::new(30_000..=30_003, (0, 1), None, Duration::ZERO);
        let now = start();
        let port = pool.take(now, 0).unwrap();

        assert!(!pool.give_back(now, 40_000));
        assert!(pool.give_back(now, port));
        assert!(!pool.give_back(now, port));

        assert_eq!(
            pool.stock(now),
            Stock {
                free: 2,
                resting: 0,
                in_use: 0
            }
        );
    }

    #[test]
    fn the_limit_holds_whatever_is_free() {
        let mut pool = Pool::new(30_000..=30_099, (0, 1), Some(3), Duration::ZERO);
        let now = start();
        let taken: Vec<u16> = std::iter::from_fn(|| pool.take(now, 9)).collect();

        assert_eq!(taken.len(), 3);
        assert_eq!(
            pool.stock(now),
            Stock {
                free: 0,
                resting: 0,
                in_use: 3
            }
        );
        pool.give_back(now, taken[0]);
        assert!(pool.take(now, 9).is_some());
    }

    #[test]
    fn the_random_number_says_which() {
        let now = start();
        let draw = |random| Pool::new(10_000..=19_999, (0, 1), None, REST).take(now, random);

        assert_eq!(draw(0), Some(10_000));
        assert_eq!(draw(u32::MAX), Some(19_998));
        assert_eq!(draw(1 << 31), Some(15_000));
    }

    #[test]
    fn a_million_uses_leave_it_as_it_was() {
        let mut pool = Pool::new(10_000..=10_999, (0, 1), None, REST);
        let mut now = start();
        let mut random = 1_u32;
        for _ in 0..100_000 {
            random = random.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            let port = pool.take(now, random).unwrap();
            now += Duration::from_millis(100);
            assert!(pool.give_back(now, port));
        }

        assert_eq!(
            pool.stock(now + REST),
            Stock {
                free: 500,
                resting: 0,
                in_use: 0
            }
        );
        assert!(pool.resting.capacity() <= 1024);
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "tests need some instant to begin with"
    )]
    fn start() -> Instant {
        Instant::now()
    }
}
