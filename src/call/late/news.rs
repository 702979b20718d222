//! What other calls of the caller are to know of one that converts after its end.

use std::sync::Arc;

use crate::call::late::{Late, Stage};
use crate::call::memory::{News, Of, Remembered};
use crate::types::moment::Moment;

impl Late {
    /// What other calls of its caller are to know of it, if it converted at `now`; `None`: nobody knows who called, or it did not.
    #[must_use]
    pub fn news(&self, now: Moment) -> Option<News> {
        let Stage::Settled(Some(settled)) = &self.since.stage else {
            return None;
        };
        let (facts, progress) = (&self.story.facts, &self.story.progress);
        let caller = facts.caller.filter(|_| settled.is_converted)?;
        Some(News {
            of: Of {
                company: Arc::clone(&facts.company),
                caller,
            },
            call: Remembered {
                answered: progress.buyer.clone().zip(progress.answered),
                converted: Some((Arc::clone(&settled.group), now)),
                ..Remembered::new(facts.uuid, Arc::clone(&facts.campaign.id))
            },
            is_over: true,
        })
    }
}
