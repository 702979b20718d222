//! Whether one buyer may be tried now.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::routing::buyer::Buyer;
use crate::routing::campaign::{Campaign, RepeatPolicy};
use crate::routing::caps::{CapKind, Caps, Counters, Party, Quota};
use crate::routing::facts::{Facts, PastCall};
use crate::routing::questions::Answered;
use crate::routing::verdict::{Reached, Verdict};
use crate::routing::window::Span;
use crate::routing::zone::{Local, Zone};
use crate::types::moment::Moment;

/// What does not change while the buyers of one route are looked at.
pub(super) struct Judge<'c> {
    now: Moment,
    facts: &'c Facts,
    counters: &'c dyn Counters,
    campaign: &'c Campaign,
    /// Who had the caller before, if that matters.
    original: Option<Arc<str>>,
    /// What clocks show, zone by zone.
    clocks: SmallVec<[(Arc<str>, Local); 4]>,
}

impl<'c> Judge<'c> {
    pub(super) fn new(
        now: Moment,
        facts: &'c Facts,
        counters: &'c dyn Counters,
        campaign: &'c Campaign,
    ) -> Self {
        let repeat = campaign.repeat;
        let original = match repeat.policy {
            RepeatPolicy::Normal | RepeatPolicy::Different => None,
            RepeatPolicy::Original | RepeatPolicy::OriginalFirst => {
                let is_ours = |call: &PastCall| call.campaign == campaign.id;
                let last = facts.past.last(now, repeat.within, repeat.after, is_ours);
                last.map(|(call, _)| Arc::clone(&call.buyer))
            }
        };
        Self {
            now,
            facts,
            counters,
            campaign,
            original,
            clocks: SmallVec::new(),
        }
    }

    /// Who goes before all others, if it may be tried.
    pub(super) fn favourite(&self) -> Option<&str> {
        self.original.as_deref()
    }

    /// The first reason against `buyer`; `None`: it may be tried. `asked` knows what it asks of the call: the buyer itself is
    /// only looked at where that is not enough.
    pub(super) fn against(
        &mut self,
        buyer: &Arc<Buyer>,
        mut asked: impl Answered,
    ) -> Option<Verdict> {
        let gist = asked.gist();
        let tried = &self.facts.tried;
        if !tried.is_empty() && tried.contains(&buyer.id) {
            return Some(Verdict::Tried);
        }
        if gist.is_paused {
            return Some(Verdict::Paused);
        }
        if gist.has_hours
            && let Err(local) = asked.hours(|schedule| self.local(&schedule.zone))
        {
            return Some(Verdict::Closed(local));
        }
        if gist.has_lists
            && let Err(barred) = buyer.rules.callers.check(self.now, self.facts)
        {
            return Some(Verdict::Denied(barred));
        }
        if let Err(mismatch) = asked.conditions() {
            return Some(Verdict::Mismatch(mismatch));
        }
        self.came_before(buyer).or_else(|| self.taken(buyer))
    }

    /// Whether what is known of the buyer's calls is against it.
    fn taken(&mut self, buyer: &Buyer) -> Option<Verdict> {
        if !self.counters.is_known() {
            return None;
        }
        self.full(buyer)
            .or_else(|| self.counters.is_down(&buyer.id).then_some(Verdict::Down))
    }

    fn came_before(&self, buyer: &Buyer) -> Option<Verdict> {
        let past = &self.facts.past;
        if past.calls.is_empty() && !past.is_unknown {
            return None;
        }
        let had = |call: &PastCall| call.buyer == buyer.id;
        if let Some(once) = buyer.rules.once
            && let Some((_, at)) = past.last(self.now, once.within, once.after, had)
        {
            return Some(Verdict::Duplicate(at));
        }
        // Who does not want a caller again may rely on it.
        let relies = || buyer.rules.once.is_some() || buyer.rules.callers.has_guests();
        if past.is_unknown && relies() {
            return Some(Verdict::PastUnknown);
        }
        let repeat = self.campaign.repeat;
        match repeat.policy {
            RepeatPolicy::Normal | RepeatPolicy::OriginalFirst => None,
            RepeatPolicy::Original => {
                let original = self.original.as_ref()?;
                (*original != buyer.id).then(|| Verdict::NotOriginal(Arc::clone(original)))
            }
            RepeatPolicy::Different => {
                let here = |call: &PastCall| had(call) && call.campaign == self.campaign.id;
                let last = past.last(self.now, repeat.within, repeat.after, here);
                last.map(|(_, at)| Verdict::Duplicate(at))
            }
        }
    }

    fn full(&mut self, buyer: &Buyer) -> Option<Verdict> {
        let rules = &buyer.rules;
        if buyer.caps.is_limited() || rules.quota.is_some() {
            let party = Party::Buyer(Arc::clone(&buyer.id));
            if let Some(reached) = self.reached(&party, buyer.caps, rules.quota.as_deref()) {
                return Some(Verdict::Full(reached));
            }
        }
        let of_group = rules.groups.iter().find_map(|group| {
            let party = Party::Group(Arc::clone(&group.id));
            let reached = self.reached(&party, group.caps, group.quota.as_deref())?;
            Some(Verdict::GroupFull(Arc::clone(group), reached))
        });
        of_group.or_else(|| {
            let quota = self.facts.quota.as_deref()?;
            let party = Party::number(self.facts.dialled);
            let reached = self.reached(&party, Caps::default(), Some(quota))?;
            Some(Verdict::NumberFull(reached))
        })
    }

    fn reached(&mut self, party: &Party, caps: Caps, quota: Option<&Quota>) -> Option<Reached> {
        let over = |kind, have: Option<u32>, cap| {
            let have = have.filter(|have| *have >= cap)?;
            Some(Reached { kind, have, cap })
        };
        if let Some(cap) = caps.max_calls
            && let Some(full) = over(CapKind::Concurrency, self.counters.calls(party), cap)
        {
            return Some(full);
        }
        let quota = quota?;
        let local = self.local(&quota.zone);
        Span::ALL.iter().find_map(|span| {
            let have = self.counters.counted(party, span.window(local));
            over(CapKind::Window(*span), have, quota.most.of(*span)?)
        })
    }

    /// What the clocks of a zone show; looked up once for each zone.
    fn local(&mut self, zone: &Zone) -> Local {
        let known = self
            .clocks
            .iter()
            .find(|(name, _)| Arc::ptr_eq(name, zone.name()));
        if let Some((_, local)) = known {
            return *local;
        }
        let local = zone.local(self.now);
        self.clocks.push((Arc::clone(zone.name()), local));
        local
    }
}
