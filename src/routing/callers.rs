//! Lists of callers: who is let through, and who is not.
//!
//! A list has numbers that stay, and perhaps callers that come and go: whose earlier call came to something counts as on it for a
//! while. Nothing is kept for that but what is remembered of callers anyway, so a list is what it was when a call is decided again.

use std::sync::Arc;
use std::time::Duration;

use crate::routing::facts::{Facts, Past, PastCall};
use crate::routing::rules::After;
use crate::types::moment::Moment;
use crate::types::number::Number;
use crate::types::range::NumberSet;

/// A list of numbers that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallerList {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// Who is on it for good.
    pub numbers: NumberSet,
    /// Who comes onto it for a while; `None`: nobody.
    pub guests: Option<Guests>,
}

/// Who comes onto a list, and leaves it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guests {
    /// For how long.
    pub ttl: Duration,
    /// What puts a caller onto it; `None`: only whoever is refused with it.
    pub fill: Option<Fill>,
    /// The ids of the campaigns whose calls do; none: all of a company.
    pub campaigns: Box<[Arc<str>]>,
    /// What is remembered of a call that has put its caller onto it.
    pub mark: Arc<str>,
}

/// What puts a caller onto a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// A call that is over, whatever it came to.
    Attempted,
    /// One that a buyer answered, from then on.
    Connected,
    /// One that is over, and that nobody answered.
    NotConnected,
    /// One that converted.
    Converted,
}

/// The lists of a company, a campaign or a buyer.
#[derive(Debug, Clone, Default)]
pub struct Lists {
    /// If there is one, a caller must be on one of them, and have a number.
    pub accepted: Vec<Arc<CallerList>>,
    /// A caller must be on none of them.
    pub suppressed: Vec<Arc<CallerList>>,
}

/// Which list keeps a caller out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Barred {
    /// It is on this one.
    Suppressed(Arc<CallerList>),
    /// It is on none of those that are accepted.
    NotAccepted,
}

impl Guests {
    /// Those of the list of this id.
    #[must_use]
    pub fn new(id: &str, ttl: Duration, fill: Option<Fill>, campaigns: Box<[Arc<str>]>) -> Self {
        Self {
            ttl,
            fill,
            campaigns,
            mark: format!("{MARK}{id}").into(),
        }
    }

    /// Whether a call of this campaign that is over leaves its mark.
    #[must_use]
    pub fn marks(&self, campaign: &str, is_answered: bool) -> bool {
        self.is_of(campaign)
            && match self.fill {
                Some(Fill::Attempted) => true,
                Some(Fill::NotConnected) => !is_answered,
                // These are remembered in any case.
                Some(Fill::Connected | Fill::Converted) | None => false,
            }
    }

    fn is_of(&self, campaign: &str) -> bool {
        let mut campaigns = self.campaigns.iter();
        self.campaigns.is_empty() || campaigns.any(|id| **id == *campaign)
    }

    fn hold(&self, now: Moment, past: &Past) -> bool {
        let is_recent =
            |(mark, at): &(Arc<str>, Moment)| *mark == self.mark && now.since(*at) < self.ttl;
        if past.marks.iter().any(is_recent) {
            return true;
        }
        let after = match self.fill {
            Some(Fill::Connected) => After::Answer,
            Some(Fill::Converted) => After::Conversion,
            Some(Fill::Attempted | Fill::NotConnected) | None => return false,
        };
        let is_ours = |call: &PastCall| self.is_of(&call.campaign);
        past.last(now, self.ttl, after, is_ours).is_some()
    }
}

impl CallerList {
    fn holds(&self, now: Moment, facts: &Facts) -> bool {
        let is_guest = |guests: &Guests| guests.hold(now, &facts.past);
        facts
            .caller
            .is_some_and(|caller| self.numbers.contains(caller))
            || self.guests.as_ref().is_some_and(is_guest)
    }
}

impl Lists {
    /// Whether `caller` may pass as far as its number tells; `None` is one that withholds it. Who comes and goes is not asked.
    pub fn check_number(&self, caller: Option<Number>) -> Result<(), Barred> {
        let holds =
            |list: &&Arc<CallerList>| caller.is_some_and(|caller| list.numbers.contains(caller));
        if let Some(list) = self.suppressed.iter().find(holds) {
            return Err(Barred::Suppressed(Arc::clone(list)));
        }
        let mut accepted = self.accepted.iter();
        if self.accepted.is_empty() || accepted.any(|list| holds(&list) || list.guests.is_some()) {
            Ok(())
        } else {
            Err(Barred::NotAccepted)
        }
    }

    /// Whether the caller of a call may pass. Of whom it is not known whether it called before is as one who did not.
    pub fn check(&self, now: Moment, facts: &Facts) -> Result<(), Barred> {
        let holds = |list: &&Arc<CallerList>| list.holds(now, facts);
        if let Some(list) = self.suppressed.iter().find(holds) {
            return Err(Barred::Suppressed(Arc::clone(list)));
        }
        if self.accepted.is_empty() || self.accepted.iter().any(|list| holds(&list)) {
            Ok(())
        } else {
            Err(Barred::NotAccepted)
        }
    }

    /// Whether there is none, so that everybody passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accepted.is_empty() && self.suppressed.is_empty()
    }

    /// Whether callers come and go on one of them.
    #[must_use]
    pub fn has_guests(&self) -> bool {
        self.iter().any(|list| list.guests.is_some())
    }

    /// For how long they want earlier calls of a caller remembered; zero: they do not ask.
    #[must_use]
    pub fn memory(&self) -> Duration {
        let ttls = self
            .iter()
            .filter_map(|list| Some(list.guests.as_ref()?.ttl));
        ttls.max().unwrap_or_default()
    }

    fn iter(&self) -> impl Iterator<Item = &Arc<CallerList>> {
        self.accepted.iter().chain(&self.suppressed)
    }
}

/// How the name of a mark begins: no webhook is called so.
pub const MARK: &str = "list:";
