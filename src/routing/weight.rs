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
                let winner = (0..weights.len()).min_by_key(|place| {
                    rank(seed.as_bytes(), &format!("b-{place}"), weights[*place])
                });
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
