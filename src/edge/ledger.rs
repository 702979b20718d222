//! The places of trunks and buyers with a limit: taken and given back by all shards, without a lock.
//!
//! ```text
//!   shard 0: Till ──┐                      ┌── meter of buyer a: calls, bucket
//!                   ├── Ledger: by party ──┤
//!   shard 1: Till ──┘                      └── meter of trunk b: calls, bucket
//! ```
//!
//! A till looks each party up in the ledger once; from then on it knows its meter, and counting is a few
//! atomic operations.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::call::places::{Party, Verdict};
use crate::routing::caps::Caps;

/// All meters. There is one for each trunk and each buyer that had a limit since the start: what is configured
/// has an end.
pub(super) struct Ledger {
    start: Instant,
    meters: Mutex<BTreeMap<Party, Arc<Meter>>>,
}

/// One party's count.
#[derive(Default)]
struct Meter {
    /// Places taken.
    calls: AtomicU32,
    /// When the bucket of calls per second is full again, in nanoseconds since the start.
    full_at: AtomicU64,
}

/// One shard's way to the meters.
pub(super) struct Till {
    ledger: Arc<Ledger>,
    known: HashMap<Party, Arc<Meter>>,
}

impl Ledger {
    pub(super) fn new(start: Instant) -> Arc<Self> {
        Arc::new(Self {
            start,
            meters: Mutex::default(),
        })
    }

    pub(super) fn till(self: &Arc<Self>) -> Till {
        Till {
            ledger: Arc::clone(self),
            known: HashMap::new(),
        }
    }

    /// Places taken: of trunks and of buyers.
    pub(super) fn taken(&self) -> (u64, u64) {
        let meters = self.meters.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sum = (0, 0);
        for (party, meter) in meters.iter() {
            let taken = u64::from(meter.calls.load(Ordering::Relaxed));
            match party {
                Party::Trunk(_) => sum.0 += taken,
                Party::Buyer(_) => sum.1 += taken,
            }
        }
        sum
    }
}

impl Till {
    /// Takes a place, if there is one.
    pub(super) fn reserve(&mut self, now: Instant, party: &Party, caps: Caps) -> Verdict {
        let since = now.saturating_duration_since(self.ledger.start);
        self.meter(party).reserve(since, caps)
    }

    /// Takes a place back that was granted.
    pub(super) fn release(&mut self, party: &Party) {
        self.meter(party).release();
    }

    fn meter(&mut self, party: &Party) -> &Meter {
        let ledger = &self.ledger;
        self.known.entry(party.clone()).or_insert_with(|| {
            let mut meters = ledger.meters.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(meters.entry(party.clone()).or_default())
        })
    }
}

impl Meter {
    fn reserve(&self, now: Duration, caps: Caps) -> Verdict {
        let most = caps.max_calls.unwrap_or(u32::MAX);
        let taken = self
            .calls
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |calls| {
                (calls < most).then(|| calls + 1)
            });
        if taken.is_err() {
            return Verdict::Full;
        }
        if caps.max_cps.is_some_and(|cps| !self.draw(now, cps)) {
            self.release();
            return Verdict::TooFast;
        }
        Verdict::Granted
    }

    /// Takes a token out of the bucket, which holds those of one second.
    fn draw(&self, now: Duration, cps: u32) -> bool {
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let token = SECOND / u64::from(cps.max(1));
        let drawn = self
            .full_at
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
                let next = full_at.max(now).saturating_add(token);
                (next <= now.saturating_add(SECOND)).then_some(next)
            });
        drawn.is_ok()
    }

    fn release(&self) {
        // Never below zero: the core gives back what it was granted, and once.
        let _ = self
            .calls
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |calls| {
                calls.checked_sub(1)
            });
    }
}

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::net::clock;

    #[test]
    fn a_place_is_granted_while_there_are_any_and_again_when_one_is_given_back() {
        let now = clock::now();
        let mut till = Ledger::new(now).till();
        let caps = caps(Some(2), None);

        let verdicts = [0; 3].map(|_| till.reserve(now, &buyer(), caps));
        assert_eq!(
            verdicts,
            [Verdict::Granted, Verdict::Granted, Verdict::Full]
        );
        till.release(&buyer());

        assert_eq!(till.reserve(now, &buyer(), caps), Verdict::Granted);
        // A trunk of the same id is another party.
        let trunk = Party::Trunk("one".into());
        assert_eq!(till.reserve(now, &trunk, caps), Verdict::Granted);
        assert_eq!(till.ledger.taken(), (1, 2));
    }

    #[test]
    fn a_second_has_so_many_calls_and_they_come_back_one_by_one() {
        let start = clock::now();
        let mut till = Ledger::new(start).till();
        let caps = caps(None, Some(4));
        let mut granted = |after| {
            let now = start + Duration::from_millis(after);
            let verdict = till.reserve(now, &buyer(), caps);
            assert_ne!(verdict, Verdict::Full);
            verdict == Verdict::Granted
        };

        let burst: Vec<_> = (0..6).map(|_| granted(0)).collect();
        assert_eq!(burst, [true, true, true, true, false, false]);
        assert_eq!(
            [granted(249), granted(250), granted(251)],
            [false, true, false]
        );

        // Whatever comes, no more than rate times time, and the burst.
        let more = (300..10_300).filter(|after| granted(*after)).count();
        assert!((39..=41).contains(&more), "{more}");
        assert_eq!(till.ledger.taken(), (0, u64::try_from(5 + more).unwrap()));
    }

    #[test]
    fn who_comes_too_fast_keeps_no_place() {
        let now = clock::now();
        let mut till = Ledger::new(now).till();
        let caps = caps(Some(10), Some(1));

        let verdicts = [0; 2].map(|_| till.reserve(now, &buyer(), caps));

        assert_eq!(verdicts, [Verdict::Granted, Verdict::TooFast]);
        assert_eq!(till.ledger.taken(), (0, 1));
    }

    #[test]
    fn shards_share_the_places_and_never_take_one_too_many() {
        let now = clock::now();
        let ledger = Ledger::new(now);
        let caps = caps(Some(7), None);

        let granted: usize = thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    let mut till = ledger.till();
                    scope.spawn(move || {
                        let mut granted = 0;
                        for _ in 0..10_000 {
                            if till.reserve(now, &buyer(), caps) == Verdict::Granted {
                                granted += 1;
                                assert!(till.ledger.taken().1 <= 7);
                                till.release(&buyer());
                            }
                        }
                        granted
                    })
                })
                .collect();
            let joined = workers.into_iter().map(|worker| worker.join().unwrap());
            joined.sum()
        });

        assert!(granted > 0);
        assert_eq!(ledger.taken(), (0, 0));
    }

    fn buyer() -> Party {
        Party::Buyer("one".into())
    }

    fn caps(max_calls: Option<u32>, max_cps: Option<u32>) -> Caps {
        Caps { max_calls, max_cps }
    }
}
