//! What a call record says of a call's campaign: the company, tags with their origin, what was known of the caller's other calls,
//! every decision with every buyer's verdict, webhooks, conversion.

use std::time::{Duration, Instant};

use crate::call::memory::Memory;
use crate::call::story::{Fired, FiredResult, Story};
use crate::hooks::conversion::{Conversion, Posted, Verdict};
use crate::routing::decide::{Decision, Look};
use crate::telemetry::record::{Object, milliseconds};
use crate::types::moment::Moment;
use crate::types::tag::Tags;

/// Writes it; `began` is when the call did.
pub(super) fn write(story: &Story, began: Instant, entry: &mut Object<'_>) {
    let at = story.facts.began;
    let since = |later: Moment| u64::try_from(later.since(at).as_millis()).unwrap_or(u64::MAX);
    let course = &story.course;
    entry.text("company", story.facts.company.as_bytes());
    entry.display("at", &format_args!("{:.3}", at.timestamp()));
    let recall = story.recall.as_deref();
    let memory = recall.map(|recall| (&recall.memory, recall.is_known));
    entry.object_or_null("past", memory.as_ref(), write_memory);
    write_tags(&story.facts.tags, entry);
    entry.objects("before", &course.over, |state, entry| {
        entry.integer("until_ms", since(state.until));
        let memory = state
            .memory
            .as_ref()
            .map(|(memory, known)| (memory, *known));
        entry.object_or_null("past", memory.as_ref(), write_memory);
        write_tags(&state.tags, entry);
    });
    let decisions = story.decisions.iter().zip(&course.decisions);
    entry.objects("decisions", decisions, |(decision, asked), entry| {
        entry.integer("at_ms", since(asked.at));
        entry.integer("state", asked.state.into());
        write_decision(decision, entry);
    });
    entry.flag("taken_up", course.is_taken_up);
    let resumed = story.facts.tried.get(..course.resumed).unwrap_or_default();
    entry.objects("resumed", resumed, |buyer, entry| {
        entry.text("buyer", buyer.as_bytes());
    });
    entry.objects("turns", &course.turns, |turn, entry| {
        entry.text("buyer", turn.buyer.as_bytes());
        entry.integer("at_ms", since(turn.asked.at));
        entry.integer("state", turn.asked.state.into());
        entry.integer_or_null("told", turn.told.map(u64::from));
        entry.integer_or_null("forward", turn.forward.map(u64::from));
    });
    let answer = course.answer.as_ref();
    entry.integer_or_null("answer_state", answer.map(|answer| answer.state.into()));
    let known = answer.zip(course.known_for);
    entry.object_or_null("known", known.as_ref(), |(answer, time), known| {
        known.integer("at_ms", since(answer.at));
        known.integer("ms", milliseconds_of(*time));
    });
    if let Some(waited) = &story.waited {
        entry.object_or_null("waited", Some(waited), |waited, entry| {
            entry.integer("ms", milliseconds_of(waited.time));
            entry.integer("rounds", waited.rounds.into());
        });
    }
    let ringing = story.progress.ringing.map(milliseconds_of);
    entry.integer_or_null("ringing_ms", ringing);
    entry.objects("webhooks", &story.fired, |fired, entry| {
        write_fired(fired, began, entry);
    });
    let posted = (story.posted != Posted::default()).then_some(&story.posted);
    entry.object_or_null("posted", posted, |posted, entry| {
        match posted.converted {
            Some(converted) => entry.flag("converted", converted),
            None => entry.null("converted"),
        }
        entry.display_or_null("payout", posted.payout.as_ref());
        entry.display_or_null("revenue", posted.revenue.as_ref());
    });
    entry.object_or_null("conversion", story.conversion.as_ref(), write_conversion);
}

/// What was decided, as one JSON object.
pub fn decision(decision: &Decision) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    write_decision(decision, &mut object);
    object.end();
    out
}

/// What a call came to, as one JSON object.
pub fn conversion(conversion: &Conversion) -> Vec<u8> {
    let mut out = Vec::new();
    let mut object = Object::begin(&mut out);
    write_conversion(conversion, &mut object);
    object.end();
    out
}

fn write_tags(tags: &Tags, entry: &mut Object<'_>) {
    entry.objects("tags", tags.iter(), |tag, entry| {
        entry.text("key", tag.key.as_bytes());
        entry.text("value", tag.value.as_bytes());
        entry.text("origin", tag.origin.label().as_bytes());
    });
}

fn write_memory((memory, is_known): &(&Memory, bool), entry: &mut Object<'_>) {
    entry.flag("known", *is_known);
    entry.objects("calls", &memory.calls, |call, entry| {
        let (answered, converted) = (call.answered.as_ref(), call.converted.as_ref());
        entry.text("uuid", &call.uuid.text());
        entry.text("campaign", call.campaign.as_bytes());
        entry.text_or_null("buyer", answered.map(|(buyer, _)| &**buyer));
        entry.display_or_null("answered", answered.map(|(_, at)| at));
        entry.text_or_null("group", converted.map(|(group, _)| &**group));
        entry.display_or_null("converted", converted.map(|(_, at)| at));
        entry.objects("webhooks", &call.fired, |(webhook, at), entry| {
            entry.text("webhook", webhook.as_bytes());
            entry.display("at", at);
        });
    });
}

fn write_decision(decision: &Decision, entry: &mut Object<'_>) {
    entry.text("campaign", decision.trail.campaign.id.as_bytes());
    let order = decision.order.iter().enumerate();
    entry.objects("order", order, |(place, buyer), entry| {
        entry.text("buyer", buyer.id.as_bytes());
        if decision.joined.is_joined(place) {
            // At the same time as the one before.
            entry.flag("together", true);
        }
    });
    let cause = decision
        .refused
        .as_ref()
        .map(|refused| refused.cause.label());
    entry.text_or_null("refused", cause);
    entry.objects("looks", &decision.looks, write_look);
}

fn write_look(look: &Look, entry: &mut Object<'_>) {
    entry.text("campaign", look.campaign.id.as_bytes());
    entry.text_or_null("exit", look.exit.map(|cause| cause.label()));
    entry.objects("buyers", look.iter(), |(buyer, verdict), entry| {
        entry.text("buyer", buyer.id.as_bytes());
        entry.text("verdict", verdict.label().as_bytes());
        if let Some((want, have)) = verdict.want_have(buyer) {
            entry.text("want", want.as_bytes());
            entry.text("have", have.as_bytes());
        }
    });
}

fn write_fired(fired: &Fired, began: Instant, entry: &mut Object<'_>) {
    entry.text("webhook", fired.webhook.id.as_bytes());
    entry.text("trigger", fired.webhook.trigger.label().as_bytes());
    entry.integer("at_ms", milliseconds(began, fired.at));
    entry.text("result", fired.result.label().as_bytes());
    let status = match fired.result {
        FiredResult::Answered(status) => Some(u64::from(status)),
        FiredResult::Sent
        | FiredResult::TimedOut
        | FiredResult::Failed(_)
        | FiredResult::Queued => None,
    };
    entry.integer_or_null("status", status);
    entry.integer("ms", milliseconds_of(fired.took));
    entry.objects("warnings", &fired.warnings, |warning, entry| {
        entry.text("what", warning.to_string().as_bytes());
    });
}

fn write_conversion(conversion: &Conversion, entry: &mut Object<'_>) {
    entry.text_or_null("group", conversion.group.as_deref());
    let verdict = match &conversion.verdict {
        Verdict::Converted(_) => "converted",
        Verdict::Missed => "missed",
        Verdict::Awaited(_) => "awaited",
    };
    entry.text("verdict", verdict.as_bytes());
    entry.object_or_null("converted", conversion.converted(), |converted, entry| {
        entry.integer_or_null("after_s", converted.after.map(|after| after.as_secs()));
        entry.display("payout", &converted.worth.payout);
        entry.display("revenue", &converted.worth.revenue);
        entry.flag("payout_duplicate", converted.is_payout_duplicate);
        entry.flag("revenue_duplicate", converted.is_revenue_duplicate);
    });
}

fn milliseconds_of(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
