//! What a call record says of a call's campaign: the company, tags with their origin, what was known of the caller's other calls, every decision with every buyer's verdict,
//! webhooks, conversion.

use std::time::Instant;

use crate::call::recall::Recall;
use crate::call::story::{Fired, FiredResult, Story};
use crate::hooks::conversion::{Conversion, Verdict};
use crate::routing::decide::{Decision, Look};
use crate::telemetry::record::{Object, milliseconds};
use crate::types::tag::Tag;

/// Writes it; `began` is when the call did.
pub(super) fn write(story: &Story, began: Instant, entry: &mut Object<'_>) {
    entry.text("company", story.facts.company.as_bytes());
    let tags: Vec<&Tag> = story.facts.tags.iter().collect();
    entry.objects("tags", &tags, |tag, entry| {
        entry.text("key", tag.key.as_bytes());
        entry.text("value", tag.value.as_bytes());
        entry.text("origin", tag.origin.label().as_bytes());
    });
    entry.object_or_null("past", story.recall.as_deref(), write_recall);
    entry.objects("decisions", &story.decisions, write_decision);
    entry.objects("webhooks", &story.fired, |fired, entry| {
        write_fired(fired, began, entry);
    });
    entry.object_or_null("conversion", story.conversion.as_ref(), write_conversion);
}

fn write_recall(recall: &Recall, entry: &mut Object<'_>) {
    entry.flag("known", recall.is_known);
    entry.objects("calls", &recall.memory.calls, |call, entry| {
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
    entry.objects("order", &decision.order, |buyer, entry| {
        entry.text("buyer", buyer.id.as_bytes());
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
    let each: Vec<_> = look.iter().collect();
    entry.objects("buyers", &each, |(buyer, verdict), entry| {
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
    entry.integer(
        "ms",
        u64::try_from(fired.took.as_millis()).unwrap_or(u64::MAX),
    );
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
