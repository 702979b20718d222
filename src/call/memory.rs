//! What is remembered of a caller: its earlier calls, and those that are going on.
//!
//! ```text
//!   call ── Recall: what is known of this caller? ──> those of a store ─┐
//!     │                                               those of a moment ago, and going on: `memories` ──> Recalled
//!     └── Remember: answered, a webhook fired, over ──> Memories ──> other calls of this caller that go on
//! ```
//!
//! What a store knows is some milliseconds old, and nothing of calls that go on. So each process remembers besides what the
//! last calls have come to, and tells the calls of one caller of one another as long as they last. Asked is only for callers
//! of campaigns that want to know.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::call::policy::Policy;
use crate::hooks;
use crate::hooks::postback::Posting;
use crate::routing::callers::MARK;
use crate::routing::campaign::{Campaign, Exit};
use crate::routing::decide::MOST_JUMPS;
use crate::routing::directory::CampaignId;
use crate::routing::facts::{Past, PastCall};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::number::Number;
use crate::types::tag::{Origin, Tags};

/// Calls of one caller that are told at most.
pub const MOST_EARLIER: usize = 64;

/// What is remembered of a caller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Memory {
    /// Its other calls, in any order.
    pub calls: Vec<Remembered>,
    /// Tags that wait for its next call.
    pub tags: Vec<Waiting>,
    /// There are more calls than are told.
    pub is_cut: bool,
}

/// A tag that waits for a caller's next call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its key.
    pub key: Box<str>,
    /// Its value.
    pub value: Box<str>,
    /// When it is forgotten if no call comes.
    pub until: Moment,
}

/// One call, as other calls of its caller want to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The call.
    pub uuid: CallUuid,
    /// The id of the campaign.
    pub campaign: Arc<str>,
    /// The id of the buyer who answered, and when; `None`: nobody did.
    pub answered: Option<(Arc<str>, Moment)>,
    /// The id of the conversion group, and when it converted; `None`: it did not.
    pub converted: Option<(Arc<str>, Moment)>,
    /// Webhooks that fired and do not again for a while, and marks of lists onto which it has put its caller: their ids, and
    /// when.
    pub fired: Vec<(Arc<str>, Moment)>,
}

impl Remembered {
    /// A call of which nothing is to be remembered yet.
    #[must_use]
    pub fn new(uuid: CallUuid, campaign: Arc<str>) -> Self {
        Self {
            uuid,
            campaign,
            answered: None,
            converted: None,
            fired: Vec::new(),
        }
    }

    /// Whether it is of any interest.
    #[must_use]
    pub fn is_worth(&self) -> bool {
        self.answered.is_some() || self.converted.is_some() || !self.fired.is_empty()
    }

    /// Whether anything of it was at that time or later.
    #[must_use]
    pub fn is_since(&self, since: Moment) -> bool {
        self.last().is_some_and(|last| last >= since)
    }

    /// When the last of it was; `None`: nothing is to be remembered.
    pub(super) fn last(&self) -> Option<Moment> {
        let moments = self
            .answered
            .iter()
            .chain(&self.converted)
            .chain(&self.fired);
        moments.map(|(_, at)| *at).max()
    }

    /// With what `other` knows besides of the same call.
    pub(super) fn completed(mut self, other: Self) -> Self {
        self.complete(other);
        self
    }

    fn complete(&mut self, other: Self) {
        self.answered = self.answered.take().or(other.answered);
        self.converted = self.converted.take().or(other.converted);
        for fired in other.fired {
            if !self.fired.contains(&fired) {
                self.fired.push(fired);
            }
        }
    }
}

/// Adds tags that have waited to those of a call.
pub(super) fn give(waiting: &[Waiting], tags: &mut Tags) {
    let pairs = waiting.iter().cloned().map(|one| (one.key, one.value));
    // What was refused was said to be to whoever wrote it.
    let _ = Posting::of_tags(&pairs.collect::<Vec<_>>()).apply(Origin::Stored, tags);
}

impl Memory {
    /// Takes in one more call, or what else is known of one.
    pub fn add(&mut self, call: Remembered) {
        let has_room = self.calls.len() < 2 * MOST_EARLIER;
        let known = self.calls.iter_mut().find(|one| one.uuid == call.uuid);
        match known {
            Some(known) => known.complete(call),
            None if has_room => self.calls.push(call),
            None => self.is_cut = true,
        }
    }

    /// Adds the tags that wait to those of a call.
    pub fn give(&self, tags: &mut Tags) {
        give(&self.tags, tags);
    }

    /// As routing wants to know it.
    #[must_use]
    pub fn past(&self, is_unknown: bool) -> Past {
        let answered = |call: &Remembered| {
            let (buyer, answered) = call.answered.clone()?;
            Some(PastCall {
                campaign: Arc::clone(&call.campaign),
                buyer,
                answered,
                converted: call.converted.as_ref().map(|(_, at)| *at),
            })
        };
        let fired = self.calls.iter().flat_map(|call| &call.fired);
        let marks = fired.filter(|(id, _)| id.starts_with(MARK));
        Past {
            calls: self.calls.iter().filter_map(answered).collect(),
            marks: marks.cloned().collect(),
            is_unknown,
        }
    }

    /// When a webhook last fired.
    #[must_use]
    pub fn last_fired(&self, webhook: &str) -> Option<Moment> {
        let fired = self.calls.iter().flat_map(|call| &call.fired);
        let meant = fired.filter(|(id, _)| **id == *webhook);
        meant.map(|(_, at)| *at).max()
    }

    /// When a call to this buyer last converted in this group.
    #[must_use]
    pub fn last_converted(&self, group: &str, buyer: &str) -> Option<Moment> {
        let meant = self.calls.iter().filter_map(|call| {
            let (to, _) = call.answered.as_ref()?;
            let (of, at) = call.converted.as_ref()?;
            (**to == *buyer && **of == *group).then_some(*at)
        });
        meant.max()
    }
}

impl hooks::past::Past for Memory {
    fn last_fired(&self, webhook: &str, _: Number) -> Option<Moment> {
        self.last_fired(webhook)
    }

    fn last_converted(&self, group: &str, buyer: &str, _: Number) -> Option<Moment> {
        self.last_converted(group, buyer)
    }
}

/// Whose calls they are: of a caller of a company.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Of {
    /// The id of the company: another company's calls are nobody's business.
    pub company: Arc<str>,
    /// The caller.
    pub caller: Number,
}

/// What a call wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Of whom.
    pub of: Of,
    /// Not of what was before this.
    pub since: Moment,
    /// The call that asks; it is remembered from now on, too.
    pub call: Remembered,
}

/// What has come of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct News {
    /// Whose call.
    pub of: Of,
    /// All that is to be remembered of it.
    pub call: Remembered,
    /// Whether it is over.
    pub is_over: bool,
}

/// What a call is told of the others of its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recalled {
    /// The answer: all that is known.
    All(Memory),
    /// The answer: there may be more, which could not be found out; why, as a label of a bounded set.
    Part(Memory, &'static str),
    /// Not an answer: what has come of another call meanwhile.
    News(Remembered),
}

/// For how long a call of this campaign wants earlier calls of its caller remembered; zero: it does not ask.
#[must_use]
pub fn window(policy: &Policy, campaign: &Campaign) -> Duration {
    let mut longest = own_window(policy, campaign);
    let mut seen = SmallVec::<[CampaignId; 4]>::from_slice(&[campaign.place]);
    let mut open = SmallVec::<[(&Campaign, u8); 4]>::from_slice(&[(campaign, 0)]);
    while let Some((campaign, jumps)) = open.pop() {
        for (_, exit) in campaign.exits.iter() {
            let Exit::Campaign(id) = exit else {
                continue;
            };
            let next = policy.directory.campaigns.get(id.0 as usize);
            let Some(next) = next.filter(|_| jumps < MOST_JUMPS && !seen.contains(id)) else {
                continue;
            };
            seen.push(*id);
            longest = longest.max(own_window(policy, next));
            open.push((next, jumps + 1));
        }
    }
    longest
}

/// The same without the campaigns to which it hands calls on.
fn own_window(policy: &Policy, campaign: &Campaign) -> Duration {
    let hooks = policy.hooks.of(campaign.place.0);
    let hooks = hooks.map(|hooks| hooks.memory()).unwrap_or_default();
    let company = policy
        .directory
        .companies
        .get(usize::from(campaign.company.0));
    let lists = company.map(|company| company.callers.memory());
    campaign.memory().max(hooks).max(lists.unwrap_or_default())
}

impl Policy {
    /// For how long any campaign wants earlier calls remembered.
    #[must_use]
    pub fn memory(&self) -> Duration {
        let campaigns = self.directory.campaigns.iter();
        let windows = campaigns.map(|campaign| own_window(self, campaign));
        windows.max().unwrap_or_default()
    }

    /// How long after its end it may be open what has come of a call: until it is found out, or a postback is waited for no longer.
    #[must_use]
    pub fn suspense(&self) -> Duration {
        let campaigns = self.directory.campaigns.iter();
        let longest = campaigns.map(|campaign| {
            let hooks = self.hooks.of(campaign.place.0);
            let wait = hooks.map(|hooks| hooks.wait()).unwrap_or_default();
            campaign.settle.max(wait)
        });
        longest.max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
