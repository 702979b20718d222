//! `[[caller_list]]`: lists of callers, inline or in files, and the keys `accepted` and `suppressed` that name them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::desk::{Desk, Place};
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::config::routes;
use crate::config::terms;
use crate::routing::callers::{CallerList, Fill, Guests, Lists};
use crate::types::range::NumberSet;

/// The lists, by id.
pub(super) type Callers<'d> = HashMap<&'d str, (Arc<CallerList>, Place)>;

/// Reads the lists out of all files.
pub(super) fn read<'d>(roots: &[Section<'d>], desk: &mut Desk<'_>) -> Callers<'d> {
    let mut lists = Callers::new();
    for section in routes::all(roots, "caller_list", &keys::CALLER_LIST, desk) {
        let has_guests = section.has("ttl");
        let has = |keys: [&'static str; 2]| keys.iter().any(|key| section.has(key));
        if !has_guests && has(["fill", "campaigns"]) {
            section.missing("ttl", "for how long a caller stays, such as \"30d\"", desk);
        } else if !has_guests && !has(["numbers", "file"]) {
            section.missing("numbers", "or name a `file` with one on each line", desk);
        }
        let numbers = numbers(&section, desk);
        let least = Duration::from_secs(1);
        let ttl = section.duration("ttl", least, least..=terms::TEN_YEARS, desk);
        let fill = section.choice("fill", FILL, desk).map(|fill| fill.value);
        let campaigns = section.list("campaigns", desk);
        let Some(id) = routes::id(&section, "id", "pests", desk) else {
            continue;
        };
        let list = CallerList {
            id: id.value.into(),
            numbers,
            guests: has_guests.then(|| {
                let campaigns = campaigns.iter().map(|name| name.value.into());
                Guests::new(id.value, ttl, fill, campaigns.collect())
            }),
        };
        if let Some((_, first)) = lists.insert(id.value, (Arc::new(list), id.place)) {
            routes::twice(id, first, desk);
        }
    }
    lists
}

/// Which callers the owner of the section takes.
pub(super) fn of(section: &Section<'_>, callers: &Callers<'_>, desk: &mut Desk<'_>) -> Lists {
    Lists {
        accepted: named(section.list("accepted", desk), callers, desk),
        suppressed: named(section.list("suppressed", desk), callers, desk),
    }
}

fn named(
    names: Vec<Spot<&str>>,
    callers: &Callers<'_>,
    desk: &mut Desk<'_>,
) -> Vec<Arc<CallerList>> {
    let mut lists = Vec::with_capacity(names.len());
    for name in names {
        match callers.get(name.value) {
            Some((list, _)) => lists.push(Arc::clone(list)),
            None => routes::unknown("caller_list", name, callers.keys().copied(), desk),
        }
    }
    lists
}

fn numbers(section: &Section<'_>, desk: &mut Desk<'_>) -> NumberSet {
    let mut numbers = NumberSet::default();
    let listed = section.list("numbers", desk);
    for place in numbers.extend(listed.iter().map(|number| number.value)) {
        if let Some(number) = listed.get(place) {
            desk.fault(
                number.place,
                format!("`{}` names no numbers", number.value.escape_debug()),
                NUMBERS,
            );
        }
    }
    if section.has("file")
        && let Some(path) = section.need("file", "pests.txt", desk)
    {
        read_file(path, &mut numbers, desk);
    }
    numbers
}

fn read_file(path: Spot<&str>, numbers: &mut NumberSet, desk: &mut Desk<'_>) {
    let full = desk.resolve(path.value);
    let Some(file) = desk.open(&full, path.place) else {
        return;
    };
    let mut place = Place {
        file: file.id,
        offset: 0,
        section: "caller_list",
        key: "file",
    };
    let mut lines = Vec::new();
    for line in file.text.split_inclusive('\n') {
        let text = line.trim_start_matches('\u{feff}').trim();
        if !text.is_empty() && !text.starts_with('#') {
            lines.push((text, place));
        }
        place.offset = place.offset.saturating_add(line.len() as u32);
    }
    let bad = numbers.extend(lines.iter().map(|(text, _)| *text));
    for (text, place) in bad.iter().take(MOST_FAULTS).filter_map(|at| lines.get(*at)) {
        let text = text.escape_debug();
        desk.fault(*place, format!("`{text}` names no numbers"), NUMBERS);
    }
}

/// Lists onto which calls of a campaign put their callers when they are over.
pub(super) fn filled_by(campaign: &str, callers: &Callers<'_>) -> Vec<Arc<CallerList>> {
    let lists = callers.values().map(|(list, _)| list);
    let fills = |list: &&Arc<CallerList>| {
        let guests = list.guests.as_ref();
        // Either way of ending tells.
        guests.is_some_and(|guests| [true, false].iter().any(|how| guests.marks(campaign, *how)))
    };
    let mut lists: Vec<_> = lists.filter(fills).cloned().collect();
    lists.sort_by(|one, other| one.id.cmp(&other.id));
    lists
}

/// The list with which a refused caller is kept out later; it must be one on which callers come and go.
pub(super) fn suppressing(
    section: &Section<'_>,
    callers: &Callers<'_>,
    desk: &mut Desk<'_>,
) -> Option<Arc<CallerList>> {
    let name = section.text("suppress", desk)?;
    let Some((list, _)) = callers.get(name.value) else {
        routes::unknown("caller_list", name, callers.keys().copied(), desk);
        return None;
    };
    if list.guests.is_none() {
        desk.fault(
            name.place,
            format!("nobody comes onto `{}`", name.value.escape_debug()),
            "give that caller_list a `ttl`, such as \"30d\"",
        );
        return None;
    }
    Some(Arc::clone(list))
}

/// Whether there are the campaigns that lists name.
pub(super) fn check_campaigns(
    callers: &Callers<'_>,
    is_there: impl Fn(&str) -> bool,
    desk: &mut Desk<'_>,
) {
    for (list, place) in callers.values() {
        let guests = list.guests.iter();
        let named = guests.flat_map(|guests| guests.campaigns.iter());
        for id in named.filter(|id| !is_there(id)) {
            let id = id.escape_debug();
            desk.fault(
                *place,
                format!("is filled by campaign `{id}`, which is not there"),
                "ids of campaigns, or no `campaigns` for all of them",
            );
        }
    }
}

/// Faults of one file that are told: the file is of another kind, or all lines have one mistake.
const MOST_FAULTS: usize = 100;
const FILL: &[(&str, Fill)] = &[
    ("attempted", Fill::Attempted),
    ("connected", Fill::Connected),
    ("not_connected", Fill::NotConnected),
    ("converted", Fill::Converted),
];
const NUMBERS: &str =
    "\"+12125550100\", \"+12125550100-+12125550199\", or \"+1212*\" for all that begin so";
