//! Who counts places, in tests: by the book, and strict about what is given back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use strowger::call::places::{Party, Verdict};
use strowger::routing::caps::Caps;

/// Places taken, and when each bucket is full again.
#[derive(Default)]
pub(crate) struct Ledger {
    taken: BTreeMap<Party, u32>,
    full_at: BTreeMap<Party, Instant>,
    /// Places that were ever granted.
    pub(crate) granted: u32,
    /// The most that were taken at once by one party.
    pub(crate) peak: u32,
}

impl Ledger {
    pub(crate) fn reserve(&mut self, now: Instant, party: &Party, caps: Caps) -> Verdict {
        let taken = self.taken.get(party).copied().unwrap_or_default();
        if caps.max_calls.is_some_and(|most| taken >= most) {
            return Verdict::Full;
        }
        if let Some(cps) = caps.max_cps {
            let second = Duration::from_secs(1);
            let full_at = self.full_at.get(party).copied().unwrap_or(now).max(now);
            let next = full_at + second / cps;
            if next > now + second {
                return Verdict::TooFast;
            }
            self.full_at.insert(party.clone(), next);
        }
        self.taken.insert(party.clone(), taken + 1);
        self.granted += 1;
        self.peak = self.peak.max(taken + 1);
        Verdict::Granted
    }

    /// Takes a place back; `false`: nobody had it.
    #[must_use]
    pub(crate) fn release(&mut self, party: &Party) -> bool {
        let Some(taken) = self.taken.get_mut(party) else {
            return false;
        };
        *taken -= 1;
        if *taken == 0 {
            self.taken.remove(party);
        }
        true
    }

    pub(crate) fn taken(&self) -> &BTreeMap<Party, u32> {
        &self.taken
    }
}
