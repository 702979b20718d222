//! The counting book: who has how many calls, and what was promised to calls that are under way.
//!
//! ```text
//!            reserve                 commit(answer)            release
//!   free ──────────────> held ────────────────────> counted
//!                          │                                     at once: the place is free when the call is over
//!                          └──────────────────────────────────>  windows: what was held and did not count is free again
//! ```
//!
//! A call counts against its buyer, all groups of the buyer and the number dialled, or against none of them. It counts in the windows in which its
//! buyer was chosen, whenever it is answered.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::routing::buyer::Buyer;
use crate::routing::caps::{CapKind, CapOn, Caps, Counters, Party, Quota};
use crate::routing::window::{Span, Window};
use crate::types::moment::Moment;
use crate::types::number::Number;

/// All accounts: of those parties only that have a limit, so that the configuration bounds them.
#[derive(Debug, Default)]
pub struct Book {
    accounts: HashMap<Party, Account>,
}

#[derive(Debug, Default)]
struct Account {
    /// Calls at once.
    calls: u32,
    /// When the bucket of calls per second is full again, in microseconds.
    full_at: i64,
    /// Those that count now, and older ones while a call holds a place in them.
    windows: SmallVec<[Count; 4]>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    window: Window,
    counted: u32,
    held: u32,
}

/// What a call wants of one party.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Whose place.
    pub party: Party,
    /// Places at once and per second.
    pub caps: Caps,
    /// Places in windows; `None`: no limit.
    pub quota: Option<Arc<Quota>>,
}

impl Claim {
    /// What a call wants that is offered to `buyer`: a place of the buyer's, of each of its groups, and of the number dialled,
    /// where there is a limit.
    #[must_use]
    pub fn of(buyer: &Buyer, number: Option<Self>) -> SmallVec<[Self; 1]> {
        let rules = &buyer.rules;
        let own = (buyer.caps.is_limited() || rules.quota.is_some()).then(|| Self {
            party: Party::Buyer(Arc::clone(&buyer.id)),
            caps: buyer.caps,
            quota: rules.quota.clone(),
        });
        let groups = rules.groups.iter().map(|group| Self {
            party: Party::Group(Arc::clone(&group.id)),
            caps: group.caps,
            quota: group.quota.clone(),
        });
        own.into_iter().chain(groups).chain(number).collect()
    }

    /// What it wants of the number dialled.
    #[must_use]
    pub fn of_number(number: Number, quota: &Arc<Quota>) -> Self {
        Self {
            party: Party::number(number),
            caps: Caps::default(),
            quota: Some(Arc::clone(quota)),
        }
    }
}

/// What counts of a call that was offered to `buyer` at a time, and has done something long after that: in whose windows.
#[must_use]
pub fn late(buyer: &Buyer, number: Option<Claim>, chosen: Moment, what: CapOn) -> Vec<Counted> {
    let mut counted = Vec::new();
    for Claim { party, quota, .. } in Claim::of(buyer, number) {
        let Some(quota) = quota.filter(|quota| quota.on == what) else {
            continue;
        };
        let local = quota.zone.local(chosen);
        let spans = Span::ALL.into_iter();
        for span in spans.filter(|span| quota.most.of(*span).is_some()) {
            counted.push(Counted {
                party: party.clone(),
                window: span.window(local),
            });
        }
    }
    counted
}

/// There is no place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Full {
    /// Who has none.
    pub party: Party,
    /// What there is too much of.
    pub kind: CapKind,
    /// How many calls count; as many as the limit if it is calls per second.
    pub have: u32,
    /// The limit.
    pub cap: u32,
}

/// Places that a call holds. It is given back once: [`Book::release`] takes it.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Hold {
    parts: SmallVec<[Part; 1]>,
}

#[derive(Debug, PartialEq, Eq)]
struct Part {
    party: Party,
    on: CapOn,
    /// Those in which a place is held.
    held: SmallVec<[Window; 2]>,
}

/// One more in one window, to be written down before anybody relies on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Whose call.
    pub party: Party,
    /// The window.
    pub window: Window,
}

impl Book {
    /// Takes a place of each claim, or none at all. What counts by the attempt is counted now, and added to
    /// `counted`.
    pub fn reserve(
        &mut self,
        now: Moment,
        claims: &[Claim],
        counted: &mut Vec<Counted>,
    ) -> Result<Hold, Full> {
        let micros = now.millis().saturating_mul(1000);
        let unused = Account::default();
        for claim in claims {
            let account = self.accounts.get(&claim.party).unwrap_or(&unused);
            if let Some((kind, have, cap)) = account.reached(now, micros, claim) {
                let party = claim.party.clone();
                return Err(Full {
                    party,
                    kind,
                    have,
                    cap,
                });
            }
        }
        let parts = claims.iter().map(|claim| {
            let account = self.accounts.entry(claim.party.clone()).or_default();
            let held = account.take(now, micros, claim);
            let on = claim
                .quota
                .as_ref()
                .map(|quota| quota.on)
                .unwrap_or_default();
            Part {
                party: claim.party.clone(),
                on,
                held,
            }
        });
        let mut hold = Hold {
            parts: parts.collect(),
        };
        self.commit(&mut hold, CapOn::Attempt, counted);
        Ok(hold)
    }

    /// Takes the places of a call whose buyer another process has chosen: it has them whatever the limits say now, in the windows
    /// of when it was `chosen`. What counts by the attempt has counted, and so has what counts by the answer if it `is_answered`.
    pub fn resume(&mut self, chosen: Moment, claims: &[Claim], is_answered: bool) -> Hold {
        let parts = claims.iter().map(|claim| {
            let on = claim.quota.as_ref().map(|quota| quota.on);
            let on = on.unwrap_or_default();
            let has_counted = match on {
                CapOn::Attempt => true,
                CapOn::Answer => is_answered,
                CapOn::Conversion => false,
            };
            let wanted = Claim {
                quota: claim.quota.clone().filter(|_| !has_counted),
                caps: Caps::default(),
                party: claim.party.clone(),
            };
            let account = self.accounts.entry(claim.party.clone()).or_default();
            let held = account.take(chosen, 0, &wanted);
            let party = wanted.party;
            Part { party, on, held }
        });
        let parts = parts.collect();
        Hold { parts }
    }

    /// The call did what counts with some of its parties: the places that it holds there count from now on, and are added to
    /// `counted`.
    pub fn commit(&mut self, hold: &mut Hold, what: CapOn, counted: &mut Vec<Counted>) {
        for part in &mut hold.parts {
            if part.on != what {
                continue;
            }
            for window in part.held.drain(..) {
                let party = part.party.clone();
                if let Some(account) = self.accounts.get_mut(&party) {
                    account.change(window, |count| {
                        count.held = count.held.saturating_sub(1);
                        count.counted = count.counted.saturating_add(1);
                    });
                }
                counted.push(Counted { party, window });
            }
        }
    }

    /// The call is over, or did not come about: gives back its places at once, and in windows what did not count.
    pub fn release(&mut self, hold: Hold) {
        for part in hold.parts {
            let Some(account) = self.accounts.get_mut(&part.party) else {
                continue;
            };
            account.calls = account.calls.saturating_sub(1);
            for window in part.held {
                account.change(window, |count| count.held = count.held.saturating_sub(1));
            }
        }
    }

    /// Places at once that are taken: of trunks and of buyers.
    #[must_use]
    pub fn taken(&self) -> (u64, u64) {
        let mut taken = (0, 0);
        for (party, account) in &self.accounts {
            match party {
                Party::Trunk(_) => taken.0 += u64::from(account.calls),
                Party::Buyer(_) => taken.1 += u64::from(account.calls),
                Party::Group(_) | Party::Number(_) => {}
            }
        }
        taken
    }

    /// Adds what was counted before: by a process that is no more, or for a call that is over (a late conversion).
    pub fn count(&mut self, counted: &Counted, calls: u32) {
        let account = self.accounts.entry(counted.party.clone()).or_default();
        account.change(counted.window, |count| {
            count.counted = count.counted.saturating_add(calls);
        });
    }

    /// Sets one window back to nothing: what the operator does when a limit for ever is bought anew.
    pub fn reset(&mut self, party: &Party, window: Window) {
        if let Some(account) = self.accounts.get_mut(party) {
            account.change(window, |count| count.counted = 0);
        }
    }
}

impl Counters for Book {
    fn calls(&self, party: &Party) -> Option<u32> {
        Some(self.accounts.get(party).map_or(0, |account| account.calls))
    }

    fn counted(&self, party: &Party, window: Window) -> Option<u32> {
        let account = self.accounts.get(party);
        Some(account.map_or(0, |account| account.used(window)))
    }
}

impl Account {
    /// The first limit of the claim that is reached, with how many there are and may be.
    fn reached(&self, now: Moment, micros: i64, claim: &Claim) -> Option<(CapKind, u32, u32)> {
        if let Some(cap) = claim.caps.max_calls
            && self.calls >= cap
        {
            return Some((CapKind::Concurrency, self.calls, cap));
        }
        if let Some(cap) = claim.caps.max_cps
            && self.drawn(micros, cap).is_none()
        {
            return Some((CapKind::Cps, cap, cap));
        }
        let quota = claim.quota.as_ref()?;
        let local = quota.zone.local(now);
        Span::ALL.iter().find_map(|span| {
            let cap = quota.most.of(*span)?;
            let have = self.used(span.window(local));
            (have >= cap).then_some((CapKind::Window(*span), have, cap))
        })
    }

    fn take(&mut self, now: Moment, micros: i64, claim: &Claim) -> SmallVec<[Window; 2]> {
        self.calls = self.calls.saturating_add(1);
        if let Some(full_at) = claim.caps.max_cps.and_then(|cps| self.drawn(micros, cps)) {
            self.full_at = full_at;
        }
        let mut held = SmallVec::new();
        let Some(quota) = &claim.quota else {
            return held;
        };
        let local = quota.zone.local(now);
        for span in Span::ALL {
            if quota.most.of(span).is_some() {
                let window = span.window(local);
                // Windows that are over are somebody else's to remember.
                self.windows.retain(|count| {
                    count.held > 0 || count.window >= window || count.window.span() != span
                });
                self.change(window, |count| count.held = count.held.saturating_add(1));
                held.push(window);
            }
        }
        held
    }

    /// When the bucket is full again if one more is drawn; `None`: there is none left of this second.
    fn drawn(&self, micros: i64, cps: u32) -> Option<i64> {
        let token = SECOND / i64::from(cps.max(1));
        // A bucket that is not full within a second was drawn from before the clock was put back: it is a new one.
        let is_stale = self.full_at > micros.saturating_add(SECOND);
        let full_at = if is_stale {
            micros
        } else {
            self.full_at.max(micros)
        };
        let next = full_at.saturating_add(token);
        (next <= micros.saturating_add(SECOND)).then_some(next)
    }

    fn used(&self, window: Window) -> u32 {
        let count = self.windows.iter().find(|count| count.window == window);
        count.map_or(0, |count| count.counted.saturating_add(count.held))
    }

    fn change(&mut self, window: Window, change: impl FnOnce(&mut Count)) {
        if let Some(count) = self.windows.iter_mut().find(|count| count.window == window) {
            change(count);
            return;
        }
        let mut count = Count {
            window,
            counted: 0,
            held: 0,
        };
        change(&mut count);
        self.windows.push(count);
    }
}

/// In microseconds.
const SECOND: i64 = 1_000_000;

#[cfg(test)]
mod tests;
