//! `[[conversion_group]]`: what makes a campaign's calls convert, and what that is worth.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::campaigns::Campaigns;
use crate::config::desk::{Desk, Place};
use crate::config::hooks;
use crate::config::keys;
use crate::config::raw::Section;
use crate::config::routes;
use crate::hooks::conversion::{Criterion, Group, Tier, Worth};
use crate::types::money::Money;

/// Reads the groups out of all files: those of each campaign, by its place.
pub(super) fn read(
    roots: &[Section<'_>],
    campaigns: &Campaigns<'_>,
    desk: &mut Desk<'_>,
) -> Vec<Vec<Arc<Group>>> {
    let mut groups: Vec<Vec<Arc<Group>>> = vec![Vec::new(); campaigns.len()];
    let mut ids: HashMap<&str, Place> = HashMap::new();
    // The first group of a campaign that takes every call, for those behind it are never asked.
    let mut closed: HashMap<usize, Place> = HashMap::new();
    for section in routes::all(roots, "conversion_group", &keys::CONVERSION_GROUP, desk) {
        let id = routes::id(&section, "id", "long-calls", desk);
        let campaign = hooks::campaign_of(&section, campaigns, desk);
        let group = read_one(id.map_or("", |id| id.value), &section, desk);
        let Some(id) = id else {
            continue;
        };
        if let Some(first) = ids.insert(id.value, id.place) {
            routes::twice(id, first, desk);
        }
        let (Some(group), Some(campaign)) = (group, campaign) else {
            continue;
        };
        if let Some(first) = closed.get(&campaign) {
            let first = desk.point_at(*first);
            desk.warn(
                id.place,
                format!("no call ever gets here: the group at {first} takes all"),
                "only the first group whose `matches` hold is asked; put those with conditions first",
            );
        }
        if !section.is_filled("matches") {
            closed.entry(campaign).or_insert(id.place);
        }
        if let Some(list) = groups.get_mut(campaign) {
            list.push(Arc::new(group));
        }
    }
    groups
}

fn read_one(id: &str, section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Group> {
    let matches = hooks::conditions(section, desk);
    if !section.has("criterion") {
        section.missing("criterion", "\"timer\" or \"postback\"", desk);
    }
    let criterion = section.choice("criterion", CRITERIA, desk);
    let worth = worth(section, desk);
    let dedupe = section.duration("dedupe", Duration::ZERO, Duration::ZERO..=YEAR, desk);
    let payout_dedupe = section.duration("payout_dedupe", dedupe, Duration::ZERO..=YEAR, desk);
    let revenue_dedupe = section.duration("revenue_dedupe", dedupe, Duration::ZERO..=YEAR, desk);
    let wait = section.duration("wait", DAY, Duration::ZERO..=MONTH, desk);
    let tiers = tiers(section, worth, desk);
    let is_timer = criterion?.value;
    if !is_timer {
        warn_of_deafness(section, "criterion", desk);
    }
    for (key, is_useless) in [
        ("wait", is_timer),
        ("after", !is_timer),
        ("tier", !is_timer),
    ] {
        if is_useless && section.has(key) {
            let kind = if is_timer { "timer" } else { "postback" };
            let what = format!("is of no use with criterion = \"{kind}\"");
            desk.fault(section.place_of(key), what, "leave it out");
        }
    }
    if is_timer && !section.has("after") {
        section.missing("after", "for example after = \"90s\"", desk);
    }
    let or_none = |dedupe: Duration| Some(dedupe).filter(|dedupe| !dedupe.is_zero());
    Some(Group {
        id: id.into(),
        matches,
        criterion: if is_timer {
            Criterion::Timer(tiers)
        } else {
            Criterion::Postback { worth, wait }
        },
        payout_dedupe: or_none(payout_dedupe),
        revenue_dedupe: or_none(revenue_dedupe),
    })
}

/// Warns of what waits for a postback that cannot be heard.
pub(super) fn warn_of_deafness(section: &Section<'_>, key: &'static str, desk: &mut Desk<'_>) {
    let is_deaf = if !desk.hearing.is_there {
        Some((
            "waits for postbacks, and there is no way for them",
            "add [[http.listen]]",
        ))
    } else if !desk.hearing.is_kept {
        Some((
            "waits for postbacks, and nothing is known of a call once it is over",
            "set data_dir under [node]; without it a postback counts only while the call lasts",
        ))
    } else {
        None
    };
    if let Some((what, instead)) = is_deaf {
        desk.warn(section.place_of(key), what, instead);
    }
}

/// The threshold of the group itself, and further ones, the shortest first.
fn tiers(section: &Section<'_>, worth_of_first: Worth, desk: &mut Desk<'_>) -> Vec<Tier> {
    let mut tiers = vec![Tier {
        after: section.duration("after", Duration::ZERO, Duration::ZERO..=DAY, desk),
        worth: worth_of_first,
    }];
    for further in section.sections("tier", &keys::CONVERSION_TIER, desk) {
        if !further.has("after") {
            further.missing("after", "for example after = \"120s\"", desk);
        }
        let after = further.duration("after", Duration::ZERO, Duration::ZERO..=DAY, desk);
        if further.has("after") && tiers.iter().any(|tier| tier.after == after) {
            let place = further.place_of("after");
            desk.fault(
                place,
                "is the time of another threshold of the group",
                "each has its own",
            );
        }
        let worth = worth(&further, desk);
        tiers.push(Tier { after, worth });
    }
    tiers.sort_by_key(|tier| tier.after);
    tiers
}

fn worth(section: &Section<'_>, desk: &mut Desk<'_>) -> Worth {
    Worth {
        payout: money(section, "payout", desk),
        revenue: money(section, "revenue", desk),
    }
}

/// An amount of money, which is a text: a number would be rounded.
fn money(section: &Section<'_>, key: &'static str, desk: &mut Desk<'_>) -> Money {
    let Some(text) = section.text(key, desk) else {
        return Money::ZERO;
    };
    let amount: Option<Money> = text.value.parse().ok();
    let amount = amount.filter(|amount| !amount.is_negative());
    if amount.is_none() {
        desk.fault(
            text.place,
            format!("`{}` is no amount", text.value.escape_debug()),
            "for example \"12.50\": at most 4 digits behind the point, and not negative",
        );
    }
    amount.unwrap_or_default()
}

/// Whether it is a timer.
const CRITERIA: &[(&str, bool)] = &[("timer", true), ("postback", false)];
const DAY: Duration = Duration::from_secs(86_400);
const MONTH: Duration = Duration::from_secs(31 * 86_400);
const YEAR: Duration = Duration::from_secs(366 * 86_400);
