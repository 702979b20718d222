//! Weighted order without a generator: a keyed hash of the call says who comes first, so that the same call
//! has the same order whenever it is asked, and one candidate more or less does not disturb the others.

use std::cmp::Ordering;

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};

/// Where a candidate comes: the smallest first.
#[derive(Debug, Clone, Copy)]
pub struct Rank(f64);

/// What a candidate drew, whatever its weight. Who has many to rank draws for all of them first: the processor then works on
/// several at once.
#[derive(Debug, Clone, Copy)]
pub struct Draw(u64);

impl Draw {
    /// Where a candidate of this weight comes.
    #[must_use]
    pub fn rank(self, weight: u32) -> Rank {
        // Within (0, 1]: 53 bits are what an f64 holds.
        let share = (self.0 as f64 + 1.0) / ((1_u64 << 53) as f64 + 1.0);
        // The logarithm of this crate is the same on every platform, bit for bit.
        Rank(-libm::log(share) / f64::from(weight.max(1)))
    }
}

impl Rank {
    /// The rank as a number, in the same order.
    #[must_use]
    pub fn bits(self) -> u64 {
        // Bits of numbers from 0 on are in the order of the numbers; the logarithm of 1 may be -0.
        self.0.abs().to_bits()
    }
}

/// Ranks candidates in the order that one seed stands for: SHA-256 of `seed|id`. Of candidates at the same priority, each
/// comes first as often as its share of their weights says.
pub struct Ranks<'s> {
    seed: &'s [u8],
    /// `seed|`, where that and an id fit into one block of the hash, as they do for UUIDs and names of a usual length.
    block: [u8; 64],
}

impl<'s> Ranks<'s> {
    /// For one call; `seed` is its UUID as text.
    #[must_use]
    pub fn new(seed: &'s [u8]) -> Self {
        let mut block = [0; 64];
        if let Some((start, [bar, ..])) = block.split_at_mut_checked(seed.len()) {
            start.copy_from_slice(seed);
            *bar = b'|';
        }
        Self { seed, block }
    }

    /// What the candidate `id` draws.
    #[must_use]
    pub fn draw(&self, id: &[u8]) -> Draw {
        Draw(self.block(id).map_or_else(|| self.long(id), first_of) >> 11)
    }

    /// Where the candidate `id` comes.
    #[must_use]
    pub fn rank(&self, id: &str, weight: u32) -> Rank {
        self.draw(id.as_bytes()).rank(weight)
    }

    /// The one block that is hashed, padded (FIPS 180-4, 5.1.1); `None`: there are more.
    fn block(&self, id: &[u8]) -> Option<[u8; 64]> {
        let start = self.seed.len() + 1;
        let end = start + id.len();
        let mut block = self.block;
        block.get_mut(start..end)?.copy_from_slice(id);
        *block.get_mut(end)? = 0x80;
        let length = u16::try_from(end * 8).ok()?.to_be_bytes();
        let (text, last) = block.split_last_chunk_mut::<8>()?;
        if end >= text.len() {
            return None;
        }
        last[6..].copy_from_slice(&length);
        Some(block)
    }

    /// The same of any length.
    fn long(&self, id: &[u8]) -> u64 {
        let hasher = Sha256::new_with_prefix(self.seed);
        let digest: [u8; 32] = hasher.chain_update(b"|").chain_update(id).finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// The first 64 bits of the hash of one padded block.
fn first_of(block: [u8; 64]) -> u64 {
    let mut state = START;
    compress256(&mut state, &[block]);
    let [high, low, ..] = state;
    u64::from(high) << 32 | u64::from(low)
}

/// The state that SHA-256 begins with (FIPS 180-4, 5.3.3).
const START: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The rank of one candidate.
#[must_use]
pub fn rank(seed: &[u8], id: &str, weight: u32) -> Rank {
    Ranks::new(seed).rank(id, weight)
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Rank {}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the golden vectors of the specification.
    #[test]
    fn the_order_is_that_of_the_golden_vectors() {
        type Items = &'static [(&'static str, u32)];
        let cases: [(&str, Items, &[&str]); 3] = [
            (
                "f1abfb78-ab8a-4146-9946-8169fbcc6d6c",
                &[("a", 1), ("b", 1), ("c", 1)],
                &["b", "c", "a"],
            ),
            ("s2", &[("a", 10), ("b", 10), ("c", 5)], &["c", "b", "a"]),
            ("s3", &[("a", 100), ("b", 1)], &["a", "b"]),
        ];
        for (seed, items, want) in cases {
            let mut items = items.to_vec();

            let ranks = Ranks::new(seed.as_bytes());
            items.sort_by_key(|(id, weight)| ranks.rank(id, *weight));

            let order: Vec<_> = items.into_iter().map(|(id, _)| id).collect();
            assert_eq!(order, want, "{seed}");
        }
    }

    #[test]
    fn one_block_hashes_like_any_text() {
        for (seed, id) in (0..80).flat_map(|seed| (0..80).map(move |id| (seed, id))) {
            let (seed, id) = ("s".repeat(seed), "i".repeat(id));
            let ranks = Ranks::new(seed.as_bytes());

            let block = ranks.block(id.as_bytes());

            assert_eq!(block.is_some(), seed.len() + 1 + id.len() < 56);
            assert!(block.is_none_or(|block| first_of(block) == ranks.long(id.as_bytes())));
        }
    }

    #[test]
    fn calls_are_shared_by_weight_within_one_percent() {
        for (weights, shares) in [
            (&[1_u32, 1, 1, 1][..], &[25.0, 25.0, 25.0, 25.0][..]),
            (&[3, 1], &[75.0, 25.0]),
            (&[10, 10, 5], &[40.0, 40.0, 20.0]),
        ] {
            let mut first = vec![0_u32; weights.len()];

            for call in 0..100_000_u32 {
                let seed = format!("{call:08x}-ab8a-4146-9946-8169fbcc6d6c");
                let ranks = Ranks::new(seed.as_bytes());
                let winner = (0..weights.len())
                    .min_by_key(|place| ranks.rank(&format!("b-{place}"), weights[*place]));
                first[winner.expect("a buyer")] += 1;
            }

            for (found, share) in first.iter().zip(shares) {
                assert!(
                    (f64::from(*found) / 1000.0 - share).abs() < 1.0,
                    "{first:?}"
                );
            }
        }
    }
}
