//! The health of gateways, as the calls of one shard meet it: a circuit breaker for each.
//!
//! ```text
//!             so many trunk failures in a row, or 503 with Retry-After
//!   Closed ------------------------------------------------------------> Open
//!     ^                                                                   |  cooldown over: the next call
//!     |                   it answers                                      v  is let through
//!     +---------------------------------------------------------------- Trial
//!                         it fails: Open again, for twice as long
//! ```
//!
//! Only gateways with something to remember have an entry, so as long as all is well there is nothing to look
//! up. What OPTIONS find out (`probes`) is kept here, too: a gateway is down if either says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call::output::{Event, GatewayChange, WhyDown};
use crate::call::policy::{HealthTerms, Policy};
use crate::routing::buyer::{Buyer, Gateway};

/// What is known of the gateways that are not well, or were not lately. There are no more entries than the
/// policy has gateways.
#[derive(Default)]
pub(crate) struct Health {
    entries: BTreeMap<Key, Entry>,
    /// That of the policy in force: only its gateways get new entries.
    generation: u64,
}

/// Ids of a buyer and of one of its gateways.
type Key = (Arc<str>, Arc<str>);

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    circuit: Circuit,
    /// OPTIONS say that it is not there.
    is_lost: bool,
}

#[derive(Debug, Clone, Copy)]
enum Circuit {
    Closed {
        /// Trunk failures in a row.
        failures: u32,
    },
    Open {
        since: Instant,
        until: Instant,
        cooldown: Duration,
    },
    Trial {
        since: Instant,
        cooldown: Duration,
    },
}

impl Default for Circuit {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Entry {
    fn is_down(&self) -> bool {
        self.is_lost || !matches!(self.circuit, Circuit::Closed { .. })
    }

    fn is_idle(&self) -> bool {
        !self.is_lost && matches!(self.circuit, Circuit::Closed { failures: 0 })
    }
}

/// Whether a gateway is worth a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is; if it was down, this call is its trial.
    Up,
    /// It is not, until then.
    Down(Instant),
}

/// A call that was, or is being, offered to a gateway.
#[derive(Clone, Copy)]
pub(crate) struct Offered<'a> {
    /// When its INVITE went out.
    pub(crate) began: Instant,
    pub(crate) policy: &'a Policy,
    pub(crate) buyer: &'a Buyer,
    pub(crate) gateway: &'a Gateway,
}

impl Offered<'_> {
    fn key(&self) -> Key {
        (self.buyer.id.clone(), self.gateway.name.clone())
    }

    fn event(&self, change: GatewayChange) -> Event {
        let (buyer, gateway) = self.key();
        Event::Gateway {
            buyer,
            gateway,
            change,
        }
    }
}

impl Health {
    pub(crate) fn new(generation: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            generation,
        }
    }

    /// Forgets the gateways that `policy` does not have any more, and what probes found out about those that it
    /// does not probe any more.
    pub(crate) fn set_policy(&mut self, policy: &Policy, mut tell: impl FnMut(Event)) {
        self.generation = policy.generation;
        if self.entries.is_empty() {
            return;
        }
        let buyers = &policy.directory.buyers;
        self.entries.retain(|(buyer, gateway), entry| {
            let found = buyers
                .get(buyer)
                .filter(|buyer| buyer.gateways.iter().any(|one| one.name == *gateway));
            let was_down = entry.is_down();
            entry.is_lost &= found.is_some_and(|buyer| buyer.probe.is_some());
            let change = match found {
                None if was_down => Some(GatewayChange::Removed),
                Some(_) if was_down && !entry.is_down() => Some(GatewayChange::Up),
                None | Some(_) => None,
            };
            if let Some(change) = change {
                tell(Event::Gateway {
                    buyer: buyer.clone(),
                    gateway: gateway.clone(),
                    change,
                });
            }
            found.is_some() && !entry.is_idle()
        });
    }

    pub(crate) fn standing(
        &self,
        now: Instant,
        terms: &HealthTerms,
        buyer: &Buyer,
        gateway: &Gateway,
    ) -> Standing {
        if self.entries.is_empty() {
            return Standing::Up;
        }
        let key = (buyer.id.clone(), gateway.name.clone());
        let Some(entry) = self.entries.get(&key) else {
            return Standing::Up;
        };
        // Nobody knows when what is lost, or is being tried, comes back: not soon.
        let later = now + terms.cooldown_limit;
        match entry.circuit {
            _ if entry.is_lost => Standing::Down(later),
            Circuit::Open { until, .. } if now < until => Standing::Down(until),
            Circuit::Closed { .. } | Circuit::Open { .. } => Standing::Up,
            Circuit::Trial { .. } => Standing::Down(later),
        }
    }

    /// An INVITE went out: if the gateway was to be tried again, this is the trial.
    pub(crate) fn begin(&mut self, offered: Offered<'_>) {
        let Some(entry) = self.known(offered) else {
            return;
        };
        if let Circuit::Open {
            until, cooldown, ..
        } = entry.circuit
            && until <= offered.began
        {
            let since = offered.began;
            entry.circuit = Circuit::Trial { since, cooldown };
        }
    }

    /// The gateway did its work, whatever the callee decided.
    pub(crate) fn succeed(&mut self, offered: Offered<'_>) -> Option<Event> {
        let entry = self.known(offered)?;
        let was_down = entry.is_down();
        match entry.circuit {
            // What began before the failures says nothing of the time after them.
            Circuit::Open { since, .. } | Circuit::Trial { since, .. } if offered.began < since => {
            }
            Circuit::Closed { .. } | Circuit::Open { .. } | Circuit::Trial { .. } => {
                entry.circuit = Circuit::default();
            }
        }
        let is_up = was_down && !entry.is_down();
        if entry.is_idle() {
            self.entries.remove(&offered.key());
        }
        is_up.then(|| offered.event(GatewayChange::Up))
    }

    /// The trunk failed; the gateway may have said for how long it wants to be left alone.
    pub(crate) fn fail(
        &mut self,
        now: Instant,
        offered: Offered<'_>,
        retry_after: Option<Duration>,
    ) -> Option<Event> {
        let terms = &offered.policy.health;
        let is_current = offered.policy.generation == self.generation;
        let key = offered.key();
        if !is_current && !self.entries.contains_key(&key) {
            return None;
        }
        let entry = self.entries.entry(key).or_default();
        let was_down = entry.is_down();
        let pause = retry_after.map(|pause| pause.min(terms.cooldown_limit));
        let open = |pause: Duration, cooldown| Circuit::Open {
            since: now,
            until: now + pause,
            cooldown,
        };
        entry.circuit = match (entry.circuit, pause) {
            (Circuit::Closed { .. }, Some(pause)) => open(pause, terms.cooldown),
            (Circuit::Closed { failures }, None) if failures + 1 < terms.failures => {
                Circuit::Closed {
                    failures: failures + 1,
                }
            }
            (Circuit::Closed { .. }, None) => open(terms.cooldown, terms.cooldown),
            (
                Circuit::Open {
                    since,
                    until,
                    cooldown,
                },
                pause,
            ) => Circuit::Open {
                since,
                until: pause.map_or(until, |pause| until.max(now + pause)),
                cooldown,
            },
            (Circuit::Trial { cooldown, .. }, Some(pause)) => open(pause, cooldown),
            // Begun before the trial: it says nothing new.
            (trial @ Circuit::Trial { since, .. }, None) if offered.began < since => trial,
            (Circuit::Trial { cooldown, .. }, None) => {
                let cooldown = (cooldown * 2).min(terms.cooldown_limit);
                open(cooldown, cooldown)
            }
        };
        let Circuit::Open { until, .. } = entry.circuit else {
            return None;
        };
        let why = match pause {
            Some(_) => WhyDown::RetryAfter,
            None => WhyDown::Failures,
        };
        let pause = Some(until.saturating_duration_since(now));
        (!was_down).then(|| offered.event(GatewayChange::Down { why, pause }))
    }

    /// A call ended before the gateway showed how it is: if it was the trial, the next one is.
    pub(crate) fn pass(&mut self, now: Instant, offered: Offered<'_>) {
        if let Some(entry) = self.known(offered)
            && let Circuit::Trial { since, cooldown } = entry.circuit
            && since <= offered.began
        {
            entry.circuit = Circuit::Open {
                since,
                until: now,
                cooldown,
            };
        }
    }

    /// What OPTIONS found out.
    pub(crate) fn set_lost(
        &mut self,
        buyer: &Arc<str>,
        gateway: &Arc<str>,
        is_lost: bool,
    ) -> Option<Event> {
        let key = (buyer.clone(), gateway.clone());
        let entry = self.entries.entry(key.clone()).or_default();
        let was_down = entry.is_down();
        entry.is_lost = is_lost;
        let is_down = entry.is_down();
        if entry.is_idle() {
            self.entries.remove(&key);
        }
        let change = match (was_down, is_down) {
            (false, true) => GatewayChange::Down {
                why: WhyDown::Probes,
                pause: None,
            },
            (true, false) => GatewayChange::Up,
            (true, true) | (false, false) => return None,
        };
        let (buyer, gateway) = key;
        Some(Event::Gateway {
            buyer,
            gateway,
            change,
        })
    }

    fn known(&mut self, offered: Offered<'_>) -> Option<&mut Entry> {
        if self.entries.is_empty() {
            return None;
        }
        self.entries.get_mut(&offered.key())
    }
}
