//! Earlier calls of the caller: asked for before anything is decided, where the campaign wants to know, and told to the next.
//!
//! ```text
//!   admitted ── Recall ──> Asking ── Recalled, or 500 ms ──> start pings ──> decide ...
//!                             news of the caller's other calls, as long as this one lasts ┘
//! ```
//!
//! Who does not get an answer in time goes on without: a buyer that takes no caller twice is passed over (`past_unknown`), webhooks
//! that fire once in a while do not fire, and all else is as with a caller who never called. An answer that comes later counts
//! from then on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call::call::Call;
use crate::call::core::Core;
use crate::call::memory::{
    Memory, News, Of, Question, Recalled, Remembered, Waiting, give, window,
};
use crate::call::output::{Event, Output};
use crate::call::places::Ticket;
use crate::call::story::{Fired, FiredResult, Story};
use crate::hooks::past::Past;
use crate::types::moment::Moment;
use crate::types::number::Number;

/// How long a call waits for what is remembered of its caller.
const PATIENCE: Duration = Duration::from_millis(500);

/// What a call knows of the others of its caller.
#[derive(Debug)]
pub struct Recall {
    /// Names the question.
    pub(crate) ticket: Ticket,
    /// When it was asked.
    asked: Instant,
    /// Whether the answer is there, or was given up.
    is_told: bool,
    /// Whether the answer is there, and says all.
    pub is_known: bool,
    /// What is known.
    pub memory: Memory,
}

impl Call {
    /// Asks what is remembered of the caller, if its campaign wants to know. `Some`: the answer is waited for, until then.
    pub(crate) fn recall(&mut self, now: Instant, core: &mut Core) -> Option<Instant> {
        let policy = self.policy.clone();
        let key = self.key;
        let story = self.record.as_mut()?.story.as_mut()?;
        let facts = &mut story.facts;
        let caller = facts.caller?;
        let window = window(&policy, &facts.campaign);
        let may_have_tags = policy.hooks.keys().stores_for(&facts.company);
        if window.is_zero() && !may_have_tags {
            return None;
        }
        facts.past.is_unknown = !window.is_zero();
        let question = Question {
            of: Of {
                company: Arc::clone(&facts.company),
                caller,
            },
            since: facts.began.before(window),
            call: Remembered::new(facts.uuid, Arc::clone(&facts.campaign.id)),
        };
        let ticket = core.ticket(key);
        core.output(Output::Recall {
            ticket,
            question: Box::new(question),
        });
        story.recall = Some(Box::new(Recall {
            ticket,
            asked: now,
            is_told: false,
            is_known: false,
            memory: Memory::default(),
        }));
        Some(now + PATIENCE)
    }

    /// Takes in what is remembered of the caller.
    pub(crate) fn handle_recalled(
        &mut self,
        now: Instant,
        core: &mut Core,
        ticket: Ticket,
        recalled: Recalled,
    ) {
        let Some(story) = self
            .record
            .as_mut()
            .and_then(|record| record.story.as_mut())
        else {
            return;
        };
        if story.take_recalled(now, core, ticket, recalled) && self.awaits_recall() {
            self.leave_asking(now, core, None);
        }
    }

    /// What is remembered of the caller is not told in time: the call goes on without.
    pub(crate) fn end_recall(&mut self, now: Instant, core: &mut Core) {
        let story = self.record.as_mut();
        if let Some(story) = story.and_then(|record| record.story.as_mut()) {
            story.settle_recall(now, core, "late");
        }
        self.leave_asking(now, core, None);
    }
}

impl Story {
    /// `true`: it is the answer, or what there is of one.
    fn take_recalled(
        &mut self,
        now: Instant,
        core: &mut Core,
        ticket: Ticket,
        recalled: Recalled,
    ) -> bool {
        let Some(recall) = self.recall.as_mut().filter(|one| one.ticket == ticket) else {
            return false;
        };
        let moment = core.moment(now);
        self.course.keep(moment, &self.facts.tags, Some(recall));
        let (memory, failure) = match recalled {
            Recalled::News(call) => {
                recall.memory.add(call);
                self.facts.past = recall.memory.past(!recall.is_known);
                return false;
            }
            Recalled::All(memory) => (memory, None),
            Recalled::Part(memory, why) => (memory, Some(why)),
        };
        let Memory { calls, tags, .. } = memory;
        for call in calls {
            recall.memory.add(call);
        }
        recall.is_known = failure.is_none();
        self.facts.past = recall.memory.past(!recall.is_known);
        let is_new = recall.memory.calls.is_empty();
        let result = failure.unwrap_or(if is_new { "new" } else { "known" });
        self.settle_recall(now, core, result);
        self.take_stored(moment, core, tags);
        true
    }

    /// Takes the tags that waited for this caller: they are this call's now, and no other's.
    fn take_stored(&mut self, now: Moment, core: &mut Core, waiting: Vec<Waiting>) {
        let Some(caller) = self.facts.caller.filter(|_| !waiting.is_empty()) else {
            return;
        };
        self.course
            .change(now, &mut self.facts.tags, self.recall.as_deref(), |tags| {
                give(&waiting, tags);
            });
        core.event(Event::TagsTaken {
            uuid: self.facts.uuid,
            of: Of {
                company: Arc::clone(&self.facts.company),
                caller,
            },
            campaign: Arc::clone(&self.facts.campaign.id),
            tags: waiting,
        });
    }

    /// Says once how the question went.
    fn settle_recall(&mut self, now: Instant, core: &mut Core, result: &'static str) {
        if let Some(recall) = self.recall.as_mut().filter(|recall| !recall.is_told) {
            recall.is_told = true;
            core.event(Event::Recalled {
                uuid: self.facts.uuid,
                result,
                took: now.saturating_duration_since(recall.asked),
            });
        }
    }

    /// Tells other calls of the caller what has come of this one, if there are any that want to know.
    pub(crate) fn tell_news(&self, now: Instant, core: &mut Core, is_over: bool) {
        let (Some(_), Some(caller)) = (&self.recall, self.facts.caller) else {
            return;
        };
        let of = Of {
            company: Arc::clone(&self.facts.company),
            caller,
        };
        let call = self.remembered(now, core.moment(now));
        core.output(Output::Remember(Box::new(News { of, call, is_over })));
    }

    /// What is to be remembered of this call.
    #[must_use]
    pub(crate) fn remembered(&self, now: Instant, moment: Moment) -> Remembered {
        let buyer = self.progress.buyer.clone();
        let conversion = self.conversion.as_ref();
        let group = conversion.and_then(|one| one.converted().and(one.group.clone()));
        Remembered {
            uuid: self.facts.uuid,
            campaign: Arc::clone(&self.facts.campaign.id),
            answered: buyer.zip(self.progress.answered),
            converted: group.zip(self.progress.ended),
            fired: self
                .fired
                .iter()
                .filter(|fired| fired.webhook.dedupe.is_some() && fired.has_left())
                .map(|fired| (Arc::clone(&fired.webhook.id), fired.moment(now, moment)))
                .chain(self.marks())
                .collect(),
        }
    }

    /// The lists onto which the caller has come with this call, once it is over.
    fn marks(&self) -> impl Iterator<Item = (Arc<str>, Moment)> {
        let ended = self.progress.ended;
        let refused = self.refused.as_ref();
        let with = refused.and_then(|refused| refused.answer.as_ref()?.suppress.as_ref());
        let campaign = &self.facts.campaign;
        let is_answered = self.progress.answered.is_some();
        let filled = campaign.fills.iter().filter(move |list| {
            let guests = list.guests.as_ref();
            guests.is_some_and(|guests| guests.marks(&campaign.id, is_answered))
        });
        let lists = with.into_iter().chain(filled);
        let marks = lists.filter_map(|list| Some(Arc::clone(&list.guests.as_ref()?.mark)));
        marks.filter_map(move |mark| Some((mark, ended?)))
    }

    /// What hooks may ask of other calls of the caller, and of this one.
    pub(crate) fn remembers(&self, now: Instant, moment: Moment) -> Remembers<'_> {
        Remembers {
            recall: self.recall.as_deref(),
            fired: &self.fired,
            now,
            moment,
        }
    }
}

impl Fired {
    /// Whether somebody was told, or may have been.
    fn has_left(&self) -> bool {
        match self.result {
            FiredResult::Sent
            | FiredResult::Answered(_)
            | FiredResult::TimedOut
            | FiredResult::Queued => true,
            FiredResult::Failed(_) => false,
        }
    }

    /// When it fired; `now` is `moment`.
    fn moment(&self, now: Instant, moment: Moment) -> Moment {
        moment.before(now.saturating_duration_since(self.at))
    }
}

/// See [`Story::remembers`].
pub(crate) struct Remembers<'s> {
    recall: Option<&'s Recall>,
    fired: &'s [Fired],
    now: Instant,
    moment: Moment,
}

impl Past for Remembers<'_> {
    fn is_known(&self) -> bool {
        self.recall.is_none_or(|recall| recall.is_known)
    }

    fn last_fired(&self, webhook: &str, _: Number) -> Option<Moment> {
        let fired = self.fired.iter();
        let own = fired.filter(|one| *one.webhook.id == *webhook && one.has_left());
        let own = own.map(|one| one.moment(self.now, self.moment)).max();
        let before = self.recall?.memory.last_fired(webhook);
        own.max(before)
    }

    fn last_converted(&self, group: &str, buyer: &str, _: Number) -> Option<Moment> {
        self.recall?.memory.last_converted(group, buyer)
    }
}
