//! Weighted order without a generator: a keyed hash of the call says who comes first, so that the same call
//! has the same order whenever it is asked, and one candidate more or less does not disturb the others.

use std::cmp::Ordering;

use sha2::{Digest, Sha256};

/// Where a candidate comes: the smallest first.
#[derive(Debug, Clone, Copy)]
pub struct Rank(f64);

/// The rank of the candidate `id` in the order that `seed` stands for. Of candidates at the same priority,
/// each comes first as often as its share of their weights says.
#[must_use]
pub fn rank(seed: &[u8], id: &str, weight: u32) -> Rank {
    let mut hasher = Sha256::new();
    hasher.update(seed);
    hasher.update(b"|");
    hasher.update(id.as_bytes());
    let digest: [u8; 32] = hasher.finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    let bits = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 11;
    // Within (0, 1): 53 bits are what an f64 holds.
    let share = (bits as f64 + 1.0) / ((1_u64 << 53) as f64 + 1.0);
    // The logarithm of this crate is the same on every platform, bit for bit.
    Rank(-libm::log(share) / f64::from(weight.max(1)))
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

            items.sort_by_key(|(id, weight)| rank(seed.as_bytes(), id, *weight));

            let order: Vec<_> = items.into_iter().map(|(id, _)| id).collect();
            assert_eq!(order, want, "{seed}");
        }
    }
}
