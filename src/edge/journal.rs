//! What has happened to calls, as the journal takes it down.

use std::str;

use crate::call::record::Record;
use crate::call::story::{Delivery, Story};
use crate::hooks::trigger::Class;
use crate::store::entry::{
    Admitted, Class as SentAs, Conversion, Delivery as Kept, Ended, Header, Past,
};
use crate::store::{Entry, Lane, List, Refused};
use crate::telemetry::record::Anchor;
use crate::types::moment::Moment;
use crate::types::number::Number;

/// Takes down that a call is over, with all that is to be delivered because of it. Its admission comes with it: where nobody has
/// told the journal of the call before, it is known from here on.
pub(super) fn append_record(
    lane: &mut Lane,
    record: &Record,
    line: &[u8],
    anchor: &Anchor,
) -> Result<(), Refused> {
    let time = |at| Moment::from(anchor.time_of(at));
    let text = |number: &Option<Number>| number.as_ref().map(ToString::to_string);
    let (dialled, caller) = (text(&record.dialled), text(&record.caller));
    let story = record.story.as_deref();
    lane.append(&Entry::Admitted(Admitted {
        uuid: record.uuid,
        at: time(record.began),
        generation: record.generation,
        trunk: &record.trunk,
        user: record.user.as_deref(),
        company: story.map(|story| &*story.facts.company),
        campaign: record.campaign.as_deref(),
        afid: record.afid.as_deref(),
        sid: record.sid.as_deref(),
        dialled: dialled.as_deref(),
        caller: caller.as_deref(),
        call_id: &record.call_id,
        note: &[],
    }))?;
    let ended = time(record.ended);
    let past =
        story
            .zip(caller.as_deref())
            .zip(dialled.as_deref())
            .map(|((story, caller), number)| Past {
                company: &story.facts.company,
                caller,
                number,
                campaign: &story.facts.campaign.id,
                afid: record.afid.as_deref(),
                buyer: record.answered.and(story.progress.buyer.as_deref()),
            });
    let deliveries = story.map_or(&[][..], |story| &story.deliveries);
    let headers: Vec<_> = deliveries.iter().map(headers).collect();
    let deliveries: Vec<_> = deliveries
        .iter()
        .zip(&headers)
        .map(|(delivery, headers)| kept(delivery, headers, ended))
        .collect();
    lane.append(&Entry::Ended(Ended {
        uuid: record.uuid,
        at: ended,
        // JSON is text.
        line: str::from_utf8(line).unwrap_or_default().trim_end(),
        past,
        conversion: story.and_then(|story| conversion(story, ended)),
        deliveries: deliveries.into(),
    }))
}

/// How a call converted, if that is known.
fn conversion(story: &Story, at: Moment) -> Option<Conversion<'_>> {
    let conversion = story.conversion.as_ref()?;
    conversion.is_settled().then_some(Conversion {
        at,
        group: conversion.group.as_deref().unwrap_or_default(),
        is_converted: conversion.converted().is_some(),
        payout: story.progress.payout.as_deref(),
        revenue: story.progress.revenue.as_deref(),
    })
}

fn headers(delivery: &Delivery) -> Vec<Header<'_>> {
    let headers = delivery.request.headers.iter();
    headers
        .map(|(name, value)| Header { name, value })
        .collect()
}

fn kept<'d>(delivery: &'d Delivery, headers: &'d [Header<'d>], now: Moment) -> Kept<'d> {
    let request = &delivery.request;
    Kept {
        hook: &request.webhook,
        // In the order in which triggers fire.
        phase: delivery.trigger as u8,
        class: match request.class() {
            Class::Ping => SentAs::Ping,
            Class::Browser => SentAs::Browser,
        },
        not_before: now,
        is_idempotent: request.is_idempotent,
        method: request.method.as_str(),
        url: &request.url,
        headers: List::from(headers),
        body: request.body.as_deref().unwrap_or_default().as_bytes(),
    }
}
