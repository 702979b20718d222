//! What has happened to calls, as the journal takes it down.

use std::str;
use std::time::Duration;

use crate::call::late::Settled;
use crate::call::record::Record;
use crate::call::story::{Delivery, Story};
use crate::hooks::conversion::{Posted, Verdict};
use crate::hooks::postback::Posting;
use crate::hooks::trigger::Class;
use crate::routing::book::Counted;
use crate::routing::caps::Party;
use crate::routing::window::{Span, Window};
use crate::store::entry::{
    Awaited, Claim, Class as SentAs, Conversion, Delivery as Kept, Ended, Fired, Header, Past,
    Said, StoredTag, Terms,
};
use crate::store::{Entry, KeptConversion, KeptSaid, Lane, List, Refused};
use crate::telemetry::record::Anchor;
use crate::twilio::ticket::Pass;
use crate::types::moment::Moment;
use crate::types::money::Money;
use crate::types::number::Number;

/// Takes down that a call is over, with all that is to be delivered because of it. Its shard has taken its beginning down.
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
    let ended = time(record.ended);
    let remembered = story.map(|story| story.remembered(record.ended, ended));
    let fired = remembered.iter().flat_map(|remembered| &remembered.fired);
    let fired: Vec<_> = fired.map(|(hook, at)| Fired { hook, at: *at }).collect();
    let known = story
        .zip(remembered.as_ref().filter(|one| one.is_worth()))
        .zip(caller.as_deref().zip(dialled.as_deref()));
    let past = known.map(|((story, remembered), (caller, number))| Past {
        company: &story.facts.company,
        caller,
        number,
        campaign: &story.facts.campaign.id,
        afid: record.afid.as_deref(),
        buyer: remembered.answered.as_ref().map(|(buyer, _)| &**buyer),
        answered: record.answered.map(time),
        fired: List::from(&fired[..]),
    });
    let deliveries = story.map_or(&[][..], |story| &story.deliveries);
    let headers: Vec<_> = deliveries.iter().map(headers).collect();
    let deliveries: Vec<_> = deliveries
        .iter()
        .zip(&headers)
        .map(|(delivery, headers)| kept(delivery, headers, ended))
        .collect();
    let names: Vec<_> = record.counted.iter().map(window_names).collect();
    // JSON is text.
    let line = str::from_utf8(line).unwrap_or_default().trim_end();
    let posted = story.map(|story| story.posted).unwrap_or_default();
    let (payout, revenue) = amounts(&posted);
    let said = said(&posted, &payout, &revenue);
    let awaited = story.and_then(|story| awaited(record, story, ended, line, said));
    if let Some(awaited) = awaited {
        lane.append(&Entry::Awaited(awaited))?;
    }
    lane.append(&Entry::Ended(Ended {
        uuid: record.uuid,
        at: ended,
        line,
        past,
        conversion: story.and_then(|story| conversion(story, ended)),
        claims: claims(&record.counted, &names, ended).into(),
        deliveries: deliveries.into(),
    }))
}

/// How a call converted, if that is known.
fn conversion(story: &Story, at: Moment) -> Option<Conversion<'_>> {
    let conversion = story.conversion.as_ref()?;
    let converted = conversion.converted();
    conversion.is_settled().then_some(Conversion {
        at,
        group: conversion.group.as_deref().unwrap_or_default(),
        is_converted: converted.is_some(),
        is_payout_duplicate: converted.is_some_and(|one| one.is_payout_duplicate),
        is_revenue_duplicate: converted.is_some_and(|one| one.is_revenue_duplicate),
        payout: story.progress.payout.as_deref(),
        revenue: story.progress.revenue.as_deref(),
    })
}

/// What is still open when a call is over: it comes before its end.
fn awaited<'r>(
    record: &'r Record,
    story: &'r Story,
    ended: Moment,
    line: &'r str,
    said: Said<'r>,
) -> Option<Awaited<'r>> {
    let (wait, group) = match (story.settles, story.conversion.as_ref()) {
        (Some(settle), _) => (settle, None),
        (None, Some(conversion)) => match conversion.verdict {
            Verdict::Awaited(wait) => (wait, Some(conversion.group.as_deref()?)),
            Verdict::Converted(_) | Verdict::Missed => return None,
        },
        (None, None) => return None,
    };
    Some(Awaited {
        uuid: record.uuid,
        ended,
        until: ended.after(wait),
        group,
        said,
        line,
    })
}

/// The tags of a posting, one value each.
pub(super) fn stored_tags(posting: &Posting) -> Vec<StoredTag<'_>> {
    let pairs = posting.pairs();
    pairs.map(|(key, value)| StoredTag { key, value }).collect()
}

/// The amounts that a postback names, as they are kept: what the publisher gets and what the buyer pays.
pub(super) fn amounts(posted: &Posted) -> (Option<String>, Option<String>) {
    let text = |amount: Option<Money>| amount.as_ref().map(ToString::to_string);
    (text(posted.payout), text(posted.revenue))
}

/// What a postback says of the conversion.
pub(super) fn said<'p>(
    posted: &Posted,
    payout: &'p Option<String>,
    revenue: &'p Option<String>,
) -> Said<'p> {
    Said {
        is_converted: posted.converted,
        payout: payout.as_deref(),
        revenue: revenue.as_deref(),
    }
}

/// Reads what [`said`] has written.
pub(super) fn read_said(said: &KeptSaid) -> Posted {
    let amount = |text: &Option<Box<str>>| text.as_ref().and_then(|text| text.parse().ok());
    Posted {
        converted: said.is_converted,
        payout: amount(&said.payout),
        revenue: amount(&said.revenue),
    }
}

/// The headers of a delivery.
pub(super) fn headers(delivery: &Delivery) -> Vec<Header<'_>> {
    let headers = delivery.request.headers.iter();
    headers
        .map(|(name, value)| Header { name, value })
        .collect()
}

/// A delivery as it is kept.
pub(super) fn kept<'d>(delivery: &'d Delivery, headers: &'d [Header<'d>], now: Moment) -> Kept<'d> {
    let request = &delivery.request;
    Kept {
        hook: &request.webhook,
        // In the order in which triggers fire.
        phase: delivery.trigger as u8,
        class: match request.class() {
            Class::Ping => SentAs::Ping,
            Class::Browser => SentAs::Said(Terms {
                limit: u32::try_from(request.timeout.as_millis()).unwrap_or(u32::MAX),
                redirects: request.redirects,
            }),
        },
        not_before: now,
        is_idempotent: request.is_idempotent,
        method: request.method.as_str(),
        url: &request.url,
        headers: List::from(headers),
        body: request.body.as_deref().unwrap_or_default().as_bytes(),
    }
}

/// Several of them, with the headers of each.
pub(super) fn kept_all<'d>(
    deliveries: &'d [Delivery],
    headers: &'d [Vec<Header<'d>>],
    now: Moment,
) -> Vec<Kept<'d>> {
    let each = deliveries.iter().zip(headers);
    each.map(|(delivery, headers)| kept(delivery, headers, now))
        .collect()
}

/// Reads how a call converted, as it is kept.
pub(super) fn read_settled(kept: &KeptConversion) -> Settled {
    let amount = |text: &Option<Box<str>>| text.as_ref().and_then(|text| text.parse().ok());
    Settled {
        group: (*kept.group).into(),
        is_converted: kept.is_converted,
        worth: amount(&kept.payout).zip(amount(&kept.revenue)),
        is_payout_duplicate: kept.is_payout_duplicate,
        is_revenue_duplicate: kept.is_revenue_duplicate,
    }
}

/// The names of who counts and of the window, as they are kept.
pub(super) fn window_names(counted: &Counted) -> (String, String) {
    let party = &counted.party;
    (
        format!("{}:{}", party.kind(), party.id()),
        counted.window.to_string(),
    )
}

/// What was counted at a time, by its [`window_names`], as it is kept.
pub(super) fn claims<'n>(
    counted: &[Counted],
    names: &'n [(String, String)],
    now: Moment,
) -> Vec<Claim<'n>> {
    let claims = counted.iter().zip(names);
    let claims = claims.map(|(counted, (party, window))| Claim {
        party,
        window,
        until: end_of(counted.window, now),
        count: 1,
    });
    claims.collect()
}

/// Reads what [`window_names`] has written; `None`: it is of another version.
pub(super) fn read_window(party: &str, window: &str) -> Option<Counted> {
    let (kind, id) = party.split_once(':')?;
    let party = match kind {
        "trunk" => Party::Trunk(id.into()),
        "buyer" => Party::Buyer(id.into()),
        "group" => Party::Group(id.into()),
        "number" => Party::Number(id.into()),
        _ => return None,
    };
    let window = window.parse().ok()?;
    Some(Counted { party, window })
}

/// When nobody asks for a window any more: long after it is over, in whatever zone.
pub(super) fn end_of(window: Window, now: Moment) -> Moment {
    let days = match window.span() {
        Span::Hour => 2,
        Span::Day => 3,
        Span::Month => 35,
        Span::Total => return Moment::from_millis(i64::MAX),
    };
    now.after(Duration::from_secs(days * 24 * 3600))
}

/// The ticket that was used, as [`TICKETS`] has it.
pub(super) fn read_pass((token, expires): &(Box<str>, Moment)) -> Option<Pass> {
    let uuid = u128::from_str_radix(token, 16).ok()?;
    let expires = *expires;
    Some(Pass { expires, uuid })
}

/// The realm of used tickets: names are UUIDs, 32 hexadecimal digits.
pub(super) const TICKETS: &str = "ticket";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::zone::Zone;

    #[test]
    fn windows_are_read_back_as_they_were_written() {
        let now = Moment::from_millis(1_730_000_000_000);
        for span in Span::ALL {
            let window = span.window(Zone::utc().local(now));
            for party in [
                Party::Trunk("a:b".into()),
                Party::Buyer("first".into()),
                Party::Group("all".into()),
                Party::Number("+12125550100".into()),
            ] {
                let counted = Counted { party, window };
                let (party, name) = window_names(&counted);

                assert_eq!(read_window(&party, &name), Some(counted));
                assert!(end_of(window, now) > now);
            }
        }
        assert_eq!(read_window("cat:first", "total"), None);
    }
}
