//! What an answer and an end set in motion: pings and timers, conversion, and the webhooks that are delivered afterwards.
//!
//! ```text
//!   answered ── answered pings ── timer ── timer ──> over ── conversion ── connect ── conversion | non-conversion ── always
//! ```

use std::time::{Duration, Instant};

use crate::call::call::Call;
use crate::call::core::Core;
use crate::call::output::Output;
use crate::call::pings::TOO_LONG;
use crate::call::record::Record;
use crate::call::story::{Delivery, FiredResult, Story};
use crate::hooks::after::{self, Firing};
use crate::hooks::conversion::{Conversion, Ended, Talk};
use crate::hooks::model::CampaignHooks;
use crate::hooks::trigger::Trigger;
use crate::routing::caps::CapOn;
use crate::routing::facts::Seen;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

impl Call {
    /// A buyer has answered: it counts, webhooks are told, timers begin.
    pub(crate) fn note_taken(&mut self, now: Instant, core: &mut Core) {
        if let Some(place) = &self.buyer_place {
            place.commit(core, self.uuid, CapOn::Answer);
        }
        let moment = core.moment(now);
        let Some(story) = self
            .record
            .as_mut()
            .and_then(|record| record.story.as_mut())
        else {
            return;
        };
        story.progress.answered = Some(moment);
        story.progress.status = Some("answered");
        story.tell_news(now, core, false);
        if story.hooks.is_none() {
            return;
        }
        story.course.answer(moment);
        story.start_timers(now);
        // Nobody waits for these.
        let _ = self.ping(now, core, Trigger::Answered, None);
        self.fire_timers(now, core, Duration::ZERO);
    }

    /// Fires the timers that are due, `late` of them: the buyer answered so long before that was known.
    pub(crate) fn fire_timers(&mut self, now: Instant, core: &mut Core, late: Duration) {
        let Some(story) = self
            .record
            .as_mut()
            .and_then(|record| record.story.as_mut())
        else {
            return;
        };
        let mut deliveries = Vec::new();
        let mut is_news = false;
        while let Some((_, webhook)) = story.timers.pop_if(|(at, _)| *at <= now + late) {
            // Whether it is to fire is asked now: the tags may be others than at the answer.
            story.course.look();
            let fires = story.due(core, now, Trigger::Timer);
            if fires.iter().any(|one| one.id == webhook.id) {
                is_news |= webhook.dedupe.is_some();
                deliveries.extend(story.queue(now, &webhook));
            }
        }
        if is_news {
            story.tell_news(now, core, false);
        }
        deliver(core, story.facts.uuid, deliveries);
    }
}

impl Story {
    fn start_timers(&mut self, now: Instant) {
        let Some(hooks) = &self.hooks else {
            return;
        };
        let timers = after::timers(hooks, self.offset);
        let timers = timers.into_iter();
        self.timers = timers.map(|(after, hook)| (now + after, hook)).collect();
        self.timers.reverse();
    }

    /// The timers of a call that was answered then, but for those that were due until `alive`: they have fired.
    pub(crate) fn resume_timers(&mut self, answered: Instant, alive: Instant) {
        self.start_timers(answered);
        self.timers.retain(|(at, _)| *at > alive);
    }

    /// They talked until then and no longer: none that is due later fires.
    pub(crate) fn stop_timers(&mut self, until: Instant) {
        self.timers.retain(|(at, _)| *at <= until);
    }

    /// Notes that a webhook fires which is delivered whatever happens; `None`: it would be too long.
    pub(crate) fn queue(
        &mut self,
        now: Instant,
        webhook: &std::sync::Arc<crate::hooks::model::Webhook>,
    ) -> Option<Delivery> {
        let request = self.request(webhook);
        let result = match &request {
            Some(_) => FiredResult::Queued,
            None => FiredResult::Failed(TOO_LONG),
        };
        self.note(now, webhook.clone(), None, result);
        Some(Delivery {
            trigger: webhook.trigger,
            request: request?,
        })
    }

    /// What the call came to is known from here on.
    pub(crate) fn note_conversion(&mut self, hooks: &CampaignHooks, conversion: &Conversion) {
        let converted = conversion.converted();
        let progress = &mut self.progress;
        if !hooks.groups.is_empty() {
            progress.converted = conversion.is_settled().then_some(converted.is_some());
        }
        if let Some(converted) = converted {
            progress.payout = Some(converted.worth.payout.to_string().into());
            progress.revenue = Some(converted.worth.revenue.to_string().into());
            let seconds = converted.after.map(|after| after.as_secs());
            progress.conversion_seconds = seconds.and_then(|seconds| u32::try_from(seconds).ok());
            progress.duplicate = Some(converted.is_revenue_duplicate);
        }
    }

    /// The call is over: finds out whether it converted, and what is to be delivered. `true`: it converted.
    fn conclude(&mut self, now: Instant, moment: Moment) -> bool {
        self.timers.clear();
        self.windows.clear();
        let Some(hooks) = self.hooks.clone() else {
            return false;
        };
        let is_answered = self.progress.duration.is_some();
        let settle = self.facts.campaign.settle;
        if is_answered && !settle.is_zero() {
            // The shell asks again then, of `late`.
            self.settles = Some(settle);
            return false;
        }
        let seen = self.seen();
        let past = self.remembers(now, moment);
        let conversion = Conversion::of(&hooks.groups, &self.ended(&seen, moment), &past);
        self.note_conversion(&hooks, &conversion);
        let seen = self.seen();
        let firing = Firing {
            facts: &seen,
            caller: self.facts.caller,
            past: &self.remembers(now, moment),
            now: moment,
        };
        let due = firing.after_call(&hooks, is_answered, &conversion);
        let due: Vec<_> = due.into_iter().cloned().collect();
        for webhook in due {
            let delivery = self.queue(now, &webhook);
            self.deliveries.extend(delivery);
        }
        let has_converted = conversion.converted().is_some();
        if !hooks.groups.is_empty() {
            self.conversion = Some(conversion);
        }
        has_converted
    }

    /// The call as its conversion goes by it, once it is over.
    pub(crate) fn ended<'s>(&'s self, seen: &'s Seen<'s>, moment: Moment) -> Ended<'s> {
        let talk = self.progress.duration.map(|time| Talk {
            buyer: self.progress.buyer.as_deref().unwrap_or_default(),
            time,
            offset: self.offset,
        });
        Ended {
            facts: seen,
            talk,
            caller: self.facts.caller,
            posted: self.posted,
            now: moment,
        }
    }
}

/// The call of this record is over, and the record says how: does what its campaign wants done. `true`: it converted.
pub(crate) fn conclude(now: Instant, core: &mut Core, record: &mut Record) -> bool {
    let moment = core.moment(now);
    let ringing = match (record.rang, record.answered) {
        (Some(rang), Some(answered)) => Some(answered.saturating_duration_since(rang)),
        (Some(rang), None) => Some(now.saturating_duration_since(rang)),
        (None, _) => None,
    };
    let Some(story) = &mut record.story else {
        return false;
    };
    let progress = &mut story.progress;
    progress.status = Some(if record.answered.is_some() {
        "completed"
    } else {
        "not_connected"
    });
    progress.reason = Some(record.outcome.label().into());
    progress.ended = Some(moment);
    progress.duration = record
        .answered
        .map(|answered| now.saturating_duration_since(answered));
    progress.total = Some(now.saturating_duration_since(record.began));
    progress.ringing = ringing;
    progress.hung_up_by = Some(record.hung_up_by.label());
    progress.sip_code = Some(record.status);
    let has_converted = story.conclude(now, moment);
    story.tell_news(now, core, true);
    has_converted
}

/// Hands over what is to be delivered while the call lasts.
fn deliver(core: &mut Core, uuid: CallUuid, deliveries: Vec<Delivery>) {
    if !deliveries.is_empty() {
        core.output(Output::Deliver { uuid, deliveries });
    }
}
