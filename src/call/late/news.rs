//! What other calls of the caller are to know of one that converts after its end.

use std::sync::Arc;

use crate::call::late::{Change, Late};
use crate::call::memory::{News, Of, Remembered};
use crate::types::moment::Moment;
use crate::types::number::Number;

impl Late {
    /// What other calls of its caller are to know of what has come of it at `now`; `None`: nobody knows who called, or there is nothing.
    #[must_use]
    pub fn news(&self, now: Moment, change: &Change) -> Option<News> {
        let settled = change
            .settled
            .as_ref()
            .filter(|settled| settled.is_converted);
        let (facts, progress) = (&self.story.facts, &self.story.progress);
        let is_any = settled.is_some() || !change.fired.is_empty();
        let caller = facts.caller.filter(|_| is_any)?;
        Some(News {
            of: Of {
                company: Arc::clone(&facts.company),
                caller,
            },
            call: Remembered {
                answered: progress.buyer.clone().zip(progress.answered),
                converted: settled.map(|settled| (Arc::clone(&settled.group), now)),
                fired: change.fired.clone(),
                ..Remembered::new(facts.uuid, Arc::clone(&facts.campaign.id))
            },
            is_over: true,
        })
    }

    /// What it was, for whoever remembers it; `None`: nobody knows who called.
    #[must_use]
    pub fn whereabouts(&self) -> Option<Whereabouts<'_>> {
        let (facts, progress) = (&self.story.facts, &self.story.progress);
        Some(Whereabouts {
            company: &facts.company,
            caller: facts.caller?,
            dialled: facts.dialled,
            campaign: &facts.campaign.id,
            afid: &facts.source.afid,
            buyer: progress.buyer.as_deref(),
            answered: progress.answered,
        })
    }
}

/// See [`Late::whereabouts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whereabouts<'l> {
    /// The id of the company.
    pub company: &'l str,
    /// Who called.
    pub caller: Number,
    /// The number dialled.
    pub dialled: Number,
    /// The id of the campaign.
    pub campaign: &'l str,
    /// The publisher's id.
    pub afid: &'l str,
    /// The id of the buyer who answered.
    pub buyer: Option<&'l str>,
    /// When.
    pub answered: Option<Moment>,
}
