//! What a buyer asks of a call: hours, conditions, lists of callers, limits in windows of the calendar. And the hours of numbers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::callers::{self, Callers};
use crate::config::desk::Desk;
use crate::config::keys;
use crate::config::raw::{Section, Shape};
use crate::routing::caps::{CapOn, Most, Quota};
use crate::routing::hours::{Blocks, Hours};
use crate::routing::rules::{After, Group, Once, Rules, Schedule};
use crate::routing::zone::{Zone, Zones};
use crate::types::condition::Conditions;

/// What several buyers refer to.
pub(super) struct Shared<'c, 'd> {
    pub(super) callers: &'c Callers<'d>,
    /// The groups of each buyer, by its id.
    pub(super) groups: HashMap<&'d str, Vec<Arc<Group>>>,
    pub(super) zones: &'c mut Zones,
}

/// What the buyer `id` asks of a call.
pub(super) fn rules(
    id: &str,
    section: &Section<'_>,
    shared: &mut Shared<'_, '_>,
    desk: &mut Desk<'_>,
) -> Rules {
    let zone = zone(section, shared.zones, desk);
    Rules {
        is_paused: section.flag("paused", false, desk),
        hours: schedule(section, &zone, desk),
        callers: callers::of(section, shared.callers, desk),
        conditions: conditions(section, "tags", desk),
        forward: conditions(section, "forward_tags", desk),
        once: once(section, desk),
        timer_offset: section.duration("timer_offset", Duration::ZERO, Duration::ZERO..=HOUR, desk),
        quota: quota(section, &zone, BUYER_CAPS, desk),
        groups: shared.groups.remove(id).unwrap_or_default(),
    }
}

/// The zone by whose clock and calendar the section goes.
pub(super) fn zone(section: &Section<'_>, zones: &mut Zones, desk: &mut Desk<'_>) -> Zone {
    let Some(name) = section.text("time_zone", desk) else {
        return zones.named("UTC").unwrap_or_else(Zone::utc);
    };
    zones.named(name.value).unwrap_or_else(|| {
        desk.fault(
            name.place,
            format!("`{}` is no time zone", name.value.escape_debug()),
            "a name of IANA's, such as \"America/New_York\"",
        );
        Zone::utc()
    })
}

/// Opening hours; `None`: always.
pub(super) fn schedule(
    section: &Section<'_>,
    zone: &Zone,
    desk: &mut Desk<'_>,
) -> Option<Schedule> {
    let mut blocks = Vec::new();
    let mut is_wrong = false;
    for text in section.list("hours", desk) {
        match text.value.parse::<Blocks>() {
            Ok(parsed) => blocks.extend(parsed.0),
            Err(fault) => {
                is_wrong = true;
                let what = format!("`{}` {fault}", text.value.escape_debug());
                desk.fault(text.place, what, HOURS);
            }
        }
    }
    let hours = Hours::of(&blocks)?;
    if hours.is_never() && !is_wrong {
        desk.fault(section.place_of("hours"), "are never open", HOURS);
    }
    let zone = zone.clone();
    Some(Schedule { hours, zone })
}

/// Conditions, all of which must hold.
pub(super) fn conditions(
    section: &Section<'_>,
    key: &'static str,
    desk: &mut Desk<'_>,
) -> Conditions {
    let mut conditions = Conditions::default();
    for text in section.list(key, desk) {
        if let Err(fault) = conditions.add(text.value) {
            desk.fault(text.place, fault.to_string(), CONDITION);
        }
    }
    conditions
}

/// How many calls there may be in windows of the calendar; `None`: any.
pub(super) fn quota(
    section: &Section<'_>,
    zone: &Zone,
    (shape, choices): (&'static Shape, &'static [(&'static str, CapOn)]),
    desk: &mut Desk<'_>,
) -> Option<Arc<Quota>> {
    let on = section.choice("cap_on", choices, desk);
    let caps = section.section("caps", shape, desk)?;
    let mut most = |key| {
        let count = caps.count(key, 0, 0..=1_000_000_000, desk);
        caps.has(key)
            .then(|| u32::try_from(count).unwrap_or(u32::MAX))
    };
    let most = Most {
        hour: most("hour"),
        day: most("day"),
        month: most("month"),
        total: most("total"),
    };
    let quota = Quota {
        most,
        on: on.map(|on| on.value).unwrap_or_default(),
        zone: zone.clone(),
    };
    most.is_limited().then(|| Arc::new(quota))
}

fn once(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Once> {
    let section = section.section("duplicate", &keys::BUYER_DUPLICATE, desk)?;
    if !section.has("within") {
        section.missing("within", "for example within = \"30d\"", desk);
    }
    let within = section.duration("within", MONTH, SECOND..=TEN_YEARS, desk);
    let after = after(&section, desk);
    Some(Once { within, after })
}

/// What makes a caller one that was here before.
pub(super) fn after(section: &Section<'_>, desk: &mut Desk<'_>) -> After {
    let after = section.choice("after", AFTER, desk);
    after.map(|after| after.value).unwrap_or_default()
}

const AFTER: &[(&str, After)] = &[("answer", After::Answer), ("conversion", After::Conversion)];
/// The limits of who is offered calls.
const CAP_ON: &[(&str, CapOn)] = &[
    ("attempt", CapOn::Attempt),
    ("answer", CapOn::Answer),
    ("conversion", CapOn::Conversion),
];
const BUYER_CAPS: (&Shape, &[(&str, CapOn)]) = (&keys::BUYER_CAPS, CAP_ON);
pub(super) const BUYER_GROUP_CAPS: (&Shape, &[(&str, CapOn)]) = (&keys::BUYER_GROUP_CAPS, CAP_ON);
/// Those of a number: a call that is offered to several buyers is one call.
pub(super) const NUMBER_CAPS: (&Shape, &[(&str, CapOn)]) = (
    &keys::NUMBER_CAPS,
    &[("answer", CapOn::Answer), ("conversion", CapOn::Conversion)],
);
/// The most that timers may have on top.
const HOUR: Duration = Duration::from_secs(3600);

const HOURS: &str =
    "days and times such as \"mon-fri 09:00-12:00 13:00-17:00\" or \"daily not 22:00-06:00\"";
const CONDITION: &str =
    "for example \"geo:us-ny\", \"age:>=65\", \"product:!=solar\" or \"city:=~^new\"";

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
pub(super) const TEN_YEARS: Duration = Duration::from_secs(3650 * 24 * 3600);

#[cfg(test)]
mod tests;
