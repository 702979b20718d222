//! Whether a call converted, and what it is worth: to the publisher (payout) and from the buyer (revenue).
//!
//! ```text
//! call over ──> the first group whose conditions hold, and no other
//!               timer:    talked as long as a tier asks ──> the highest such tier   else not converted
//!               postback: one has come ──> converted                                else awaited for a while
//! ```
//!
//! A caller who converted with the same buyer in the same group a short while ago converts again, but is not paid for again;
//! how short that is, is told apart for the two sides.

use std::sync::Arc;
use std::time::Duration;

use crate::hooks::past::{Past, REPEAT_MEMORY};
use crate::types::condition::Conditions;
use crate::types::moment::Moment;
use crate::types::money::Money;
use crate::types::number::Number;
use crate::types::tag::{Lookup, REPEAT};

/// One conversion group of a campaign.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// What must hold of a call that belongs to it.
    pub matches: Conditions,
    /// What such a call must do.
    pub criterion: Criterion,
    /// For how long after a conversion the publisher is not paid for the same caller again.
    pub payout_dedupe: Option<Duration>,
    /// The same for what the buyer pays.
    pub revenue_dedupe: Option<Duration>,
}

/// What makes a call of a group convert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Criterion {
    /// To last so long; the shortest time first.
    Timer(Vec<Tier>),
    /// That somebody says so.
    Postback {
        /// What it is worth, unless the postback says something else.
        worth: Worth,
        /// For how long after the call one is waited for.
        wait: Duration,
    },
}

/// One threshold of a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// Time from the answer on.
    pub after: Duration,
    /// What it is worth.
    pub worth: Worth,
}

/// What a conversion is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Worth {
    /// What the publisher gets.
    pub payout: Money,
    /// What the buyer pays.
    pub revenue: Money,
}

/// What postbacks have said of a call so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Posted {
    /// Whether it converted.
    pub converted: Option<bool>,
    /// What the publisher gets.
    pub payout: Option<Money>,
    /// What the buyer pays.
    pub revenue: Option<Money>,
}

impl Posted {
    /// Takes what a later postback says: where it says something, that counts.
    pub fn update(&mut self, later: &Self) {
        self.converted = later.converted.or(self.converted);
        self.payout = later.payout.or(self.payout);
        self.revenue = later.revenue.or(self.revenue);
    }

    /// Whether the call converted by it; who names an amount and nothing else says so, too.
    #[must_use]
    pub fn is_conversion(&self) -> Option<bool> {
        let has_amount = self.payout.is_some() || self.revenue.is_some();
        self.converted.or(has_amount.then_some(true))
    }

    fn change(&self, worth: Worth) -> Worth {
        Worth {
            payout: self.payout.unwrap_or(worth.payout),
            revenue: self.revenue.unwrap_or(worth.revenue),
        }
    }
}

/// A call that is over, as far as it matters here.
#[derive(Clone, Copy)]
pub struct Ended<'c> {
    /// What is known of it.
    pub facts: &'c dyn Lookup,
    /// The talk with a buyer; `None`: nobody answered.
    pub talk: Option<Talk<'c>>,
    /// Who called, if that is known.
    pub caller: Option<Number>,
    /// What postbacks have said so far.
    pub posted: Posted,
    /// When this is asked.
    pub now: Moment,
}

/// The talk of a call that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Talk<'c> {
    /// The buyer.
    pub buyer: &'c str,
    /// From its answer to the end.
    pub time: Duration,
    /// What the buyer's timers have on top.
    pub offset: Duration,
}

/// What a call has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// The group that it belongs to; `None`: the conditions of none hold.
    pub group: Option<Arc<str>>,
    /// Whether it met the criterion.
    pub verdict: Verdict,
}

/// Whether a call met the criterion of its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It did.
    Converted(Converted),
    /// It did not, and will not.
    Missed,
    /// A postback may yet say so, for this long from the end of the call on.
    Awaited(Duration),
}

/// A conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Converted {
    /// The time that had to pass; `None`: a postback said so.
    pub after: Option<Duration>,
    /// What it is worth; what is a duplicate is worth nothing.
    pub worth: Worth,
    /// Whether the publisher was paid for this caller a short while ago.
    pub is_payout_duplicate: bool,
    /// Whether the buyer has paid for this caller a short while ago.
    pub is_revenue_duplicate: bool,
}

impl Conversion {
    /// What a call comes to whose campaign has these groups.
    #[must_use]
    pub fn of(groups: &[Arc<Group>], call: &Ended<'_>, past: &dyn Past) -> Self {
        let group = groups
            .iter()
            .find(|group| group.matches.matches(call.facts).is_ok());
        Self {
            verdict: group.map_or(Verdict::Missed, |group| group.judge(call, past)),
            group: group.map(|group| Arc::clone(&group.id)),
        }
    }

    /// What a call comes to later on, of which is known to which group it belongs. A group that is not there any more waits for
    /// nothing.
    #[must_use]
    pub fn within(groups: &[Arc<Group>], name: &str, call: &Ended<'_>, past: &dyn Past) -> Self {
        let group = groups.iter().find(|group| *group.id == *name);
        Self {
            verdict: group.map_or(Verdict::Missed, |group| group.judge(call, past)),
            group: Some(group.map_or_else(|| name.into(), |group| Arc::clone(&group.id))),
        }
    }

    /// The conversion, if it is one.
    #[must_use]
    pub fn converted(&self) -> Option<&Converted> {
        match &self.verdict {
            Verdict::Converted(converted) => Some(converted),
            Verdict::Missed | Verdict::Awaited(_) => None,
        }
    }

    /// Whether nothing can change it any more but a postback with other amounts.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !matches!(self.verdict, Verdict::Awaited(_))
    }

    /// No postback has come in time. `false`: none was waited for any more.
    pub fn give_up(&mut self) -> bool {
        let was_open = !self.is_settled();
        if was_open {
            self.verdict = Verdict::Missed;
        }
        was_open
    }
}

impl Group {
    /// For how long it wants earlier calls of a caller remembered; zero: it does not ask.
    pub(super) fn memory(&self) -> Duration {
        let dedupe = self.payout_dedupe.max(self.revenue_dedupe);
        let repeat = if self.matches.keys().any(|key| key == REPEAT) {
            REPEAT_MEMORY
        } else {
            Duration::ZERO
        };
        dedupe.unwrap_or_default().max(repeat)
    }

    /// Whether a call of this group meets its criterion.
    fn judge(&self, call: &Ended<'_>, past: &dyn Past) -> Verdict {
        let Some(talk) = &call.talk else {
            return Verdict::Missed;
        };
        match &self.criterion {
            Criterion::Timer(tiers) => {
                let met = tiers.iter().rev();
                let mut met =
                    met.filter(|tier| tier.after.saturating_add(talk.offset) <= talk.time);
                met.next().map_or(Verdict::Missed, |tier| {
                    self.convert(Some(tier.after), tier.worth, (call, talk), past)
                })
            }
            Criterion::Postback { worth, wait } => match call.posted.is_conversion() {
                Some(true) => self.convert(None, *worth, (call, talk), past),
                Some(false) => Verdict::Missed,
                None => Verdict::Awaited(*wait),
            },
        }
    }

    fn convert(
        &self,
        after: Option<Duration>,
        worth: Worth,
        (call, talk): (&Ended<'_>, &Talk<'_>),
        past: &dyn Past,
    ) -> Verdict {
        let last = call
            .caller
            .and_then(|caller| past.last_converted(&self.id, talk.buyer, caller));
        let is_within = |dedupe: Option<Duration>| {
            let age = last.map(|last| call.now.since(last));
            dedupe.zip(age).is_some_and(|(dedupe, age)| age < dedupe)
        };
        let is_payout_duplicate = is_within(self.payout_dedupe);
        let is_revenue_duplicate = is_within(self.revenue_dedupe);
        let mut worth = call.posted.change(worth);
        if is_payout_duplicate {
            worth.payout = Money::ZERO;
        }
        if is_revenue_duplicate {
            worth.revenue = Money::ZERO;
        }
        Verdict::Converted(Converted {
            after,
            worth,
            is_payout_duplicate,
            is_revenue_duplicate,
        })
    }
}

#[cfg(test)]
mod tests;
