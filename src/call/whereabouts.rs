//! Where buyers are that are known by name: what DNS said last, and the calls that wait for it.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::auth::found::Found;
use crate::call::core::CallKey;
use crate::call::policy::Policy;
use crate::sip::locate::{Located, Targets, Wanted};

/// The names that one shard knows of.
#[derive(Default)]
pub(crate) struct Whereabouts {
    /// As many as the configuration has names.
    known: HashMap<Arc<Wanted>, Arc<Located>>,
    /// Calls whose buyer's name was not known when its turn came; at most [`MOST_WAITING`] for each.
    waiting: HashMap<Arc<Wanted>, Vec<CallKey>>,
    found: Found,
}

impl Whereabouts {
    /// The targets of one call, in their order, which `seed` draws among equals; `None`: nothing is known.
    pub(crate) fn order(&self, wanted: &Wanted, seed: u64) -> Option<Targets> {
        self.known.get(wanted).map(|located| located.order(seed))
    }

    /// Whether a buyer was found at this address.
    pub(crate) fn has(&self, now: Instant, address: IpAddr) -> bool {
        self.found.has(now, address)
    }

    /// Notes that a call waits for a name.
    pub(crate) fn wait(&mut self, wanted: &Arc<Wanted>, key: CallKey) {
        let waiting = self.waiting.entry(wanted.clone()).or_default();
        if waiting.len() >= MOST_WAITING {
            // Most are over by now: each waits for seconds only.
            waiting.clear();
        }
        waiting.push(key);
    }

    /// Takes in where a name is, and gives the calls that waited for it.
    pub(crate) fn resolved(
        &mut self,
        now: Instant,
        wanted: Arc<Wanted>,
        located: Option<Arc<Located>>,
    ) -> Vec<CallKey> {
        let waiting = self.waiting.remove(&wanted).unwrap_or_default();
        if let Some(located) = &located {
            self.found.note(now, &wanted, located);
        }
        // What peers named is none of ours; what calls of an earlier policy wait for is.
        let is_ours = !waiting.is_empty() || self.found.is_named(&wanted);
        match located {
            Some(located) if is_ours => self.known.insert(wanted, located),
            Some(_) | None => self.known.remove(&wanted),
        };
        waiting
    }

    /// Forgets the names that a new policy does not have.
    pub(crate) fn handle_policy(&mut self, policy: &Policy) {
        self.found
            .set_names(policy.names(), policy.limits.call_time);
        if self.known.is_empty() {
            return;
        }
        let names: HashSet<Arc<Wanted>> = policy.names().cloned().collect();
        self.known.retain(|name, _| names.contains(name));
    }
}

/// Calls that wait for one name at most.
const MOST_WAITING: usize = 10_000;
