//! What is right, but seldom meant: a buyer that no call can reach, limits by a calendar that nobody named, headers that the
//! buyer's side drops. Looked for where all else is right; those that belong to one key alone are told where it is read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::config::desk::Desk;
use crate::config::keys;
use crate::config::raw::{Section, Shape, Spot};
use crate::config::routes;
use crate::routing::buyer::{Buyer, XPhProfile};
use crate::routing::campaign::Campaign;
use crate::routing::directory::Directory;
use crate::routing::rules::Schedule;
use crate::types::condition::Conditions;
use crate::types::moment::Moment;

/// What the lints look at.
pub(super) struct Scene<'s> {
    pub(super) directory: &'s Directory,
    /// How many attempts a call may cost.
    pub(super) attempts: usize,
    /// The hosts under which carriers call us.
    pub(super) domains: Vec<&'s str>,
}

/// Warns of all that can be found in these files, in which nothing is wrong.
pub(super) fn look(roots: &[Section<'_>], scene: &Scene<'_>, desk: &mut Desk<'_>) {
    let campaigns = routes::all(roots, "campaign", &keys::CAMPAIGN, desk);
    let groups = routes::all(roots, "buyer_group", &keys::BUYER_GROUP, desk);
    let named = named(&campaigns, &groups, desk);
    let mut hours = Opening::of(scene.directory);
    for section in routes::all(roots, "buyer", &keys::BUYER, desk) {
        let Some(id) = section.text("id", desk) else {
            continue;
        };
        if !named.contains(id.value) {
            desk.warn(
                id.place,
                "gets no call: no campaign names it",
                "name it in `buyers` of a [[campaign]], or take it out",
            );
        }
        if let Some(buyer) = scene.directory.buyers.get(id.value) {
            look_at_buyer(&section, buyer, scene, desk);
            hours.look(&section, buyer, desk);
        }
    }
    for section in &groups {
        look_at_caps(section, &keys::BUYER_GROUP_CAPS, desk);
    }
    for section in &routes::all(roots, "number", &keys::NUMBER, desk) {
        look_at_caps(section, &keys::NUMBER_CAPS, desk);
    }
    let all = scene.directory.campaigns.iter();
    let by_id: HashMap<&str, &Arc<Campaign>> = all.map(|one| (&*one.id, one)).collect();
    for section in &campaigns {
        let campaign = section.text("id", desk).and_then(|id| by_id.get(id.value));
        if let Some(campaign) = campaign {
            look_at_levels(section, campaign, scene, desk);
            look_at_phones(section, campaign, desk);
        }
    }
    look_at_groups(roots, desk);
    look_at_ids(roots, scene, desk);
}

/// The buyers that campaigns and their exits name, by themselves or by a group.
fn named<'d>(
    campaigns: &[Section<'d>],
    groups: &[Section<'d>],
    desk: &mut Desk<'_>,
) -> HashSet<&'d str> {
    let mut members: HashMap<&str, Vec<Spot<&str>>> = HashMap::new();
    for section in groups {
        if let Some(id) = section.text("id", desk) {
            members.insert(id.value, section.list("members", desk));
        }
    }
    let mut named = HashSet::new();
    for campaign in campaigns {
        let mut lists = vec![*campaign];
        if let Some(exits) = campaign.section("exits", &keys::CAMPAIGN_EXITS, desk) {
            for key in keys::CAMPAIGN_EXITS.keys {
                lists.extend(exits.section(key, &keys::CAMPAIGN_EXIT, desk));
            }
        }
        for list in lists {
            named.extend(list.list("buyers", desk).iter().map(|name| name.value));
            for group in list.list("groups", desk) {
                let members = members.get(group.value).into_iter().flatten();
                named.extend(members.map(|member| member.value));
            }
        }
    }
    named
}

fn look_at_buyer(section: &Section<'_>, buyer: &Buyer, scene: &Scene<'_>, desk: &mut Desk<'_>) {
    look_at_conditions(section, "tags", &buyer.rules.conditions, desk);
    look_at_conditions(section, "forward_tags", &buyer.rules.forward, desk);
    look_at_caps(section, &keys::BUYER_CAPS, desk);
    let lists = &buyer.rules.callers;
    let is_shut = |list: &Arc<_>| {
        lists
            .suppressed
            .iter()
            .any(|other| Arc::ptr_eq(list, other))
    };
    if !lists.accepted.is_empty() && lists.accepted.iter().all(is_shut) {
        desk.warn(
            section.place_of("accepted"),
            "lets nobody through: each of these lists is in `suppressed`, too",
            "a list belongs into one of the two",
        );
    }
    let is_ours = |host: &str| {
        scene
            .domains
            .iter()
            .any(|one| one.eq_ignore_ascii_case(host))
    };
    if let Some(gateway) = buyer.gateways.iter().find(|one| is_ours(&one.host)) {
        let key = if section.has("uri") { "uri" } else { "gateway" };
        desk.warn(
            section.place_of(key),
            format!(
                "`{}` is a domain of ours: its calls may come back to us",
                gateway.host
            ),
            "the host at which the buyer takes calls",
        );
    }
    if buyer.x_ph_profile == XPhProfile::Plivo
        && let Some(headers) = section.section("headers", &keys::BUYER_HEADERS, desk)
    {
        for (name, found) in headers.entries("set", desk) {
            if let Some(why) = dropped_by_plivo(name.value, found.value.as_str()) {
                desk.warn(
                    name.place,
                    format!("`{}` {why}, so Plivo drops it", name.value),
                    "up to 24 letters and digits for the name, up to 120 letters, digits and `%` for the value",
                );
            }
        }
    }
}

/// Why Plivo does not hand a header on.
fn dropped_by_plivo(name: &str, text: Option<&str>) -> Option<&'static str> {
    let text = text.unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric();
    if name.len() > 24 {
        Some("has a name of more than 24 characters")
    } else if !name.bytes().all(is_plain) {
        Some("has a name of more than letters and digits")
    } else if text.len() > MOST_VALUE {
        Some("has a value of more than 120 characters")
    } else if !text.bytes().all(|byte| is_plain(byte) || byte == b'%') {
        Some("has a value of more than letters, digits and `%`")
    } else {
        None
    }
}

fn look_at_conditions(
    section: &Section<'_>,
    key: &'static str,
    conditions: &Conditions,
    desk: &mut Desk<'_>,
) {
    if let Some(conflict) = conditions.conflict() {
        let place = section.place_of(key);
        desk.warn(place, conflict, "take one of the two out");
    }
}

/// Days and months begin at midnight somewhere.
fn look_at_caps(section: &Section<'_>, shape: &'static Shape, desk: &mut Desk<'_>) {
    let Some(caps) = section.section("caps", shape, desk) else {
        return;
    };
    if section.has("time_zone") || !(caps.has("day") || caps.has("month")) {
        return;
    }
    desk.warn(
        section.place_of("caps"),
        "counts by days of UTC, which begin in the evening in America",
        "time_zone = \"America/New_York\", or \"UTC\" if that is what is meant",
    );
}

/// Telephones that nobody can call.
fn look_at_phones(section: &Section<'_>, campaign: &Campaign, desk: &mut Desk<'_>) {
    if campaign.is_direct {
        return;
    }
    for buyer in campaign.route.buyers().iter() {
        if buyer.gateways.iter().all(|gateway| gateway.phone.is_some()) {
            desk.warn(
                section.place_of(if section.has("buyers") {
                    "buyers"
                } else {
                    "groups"
                }),
                format!(
                    "`{}` is a telephone, and only Twilio can call there",
                    buyer.id
                ),
                "twilio = \"direct\" in this campaign, or a SIP URI",
            );
        }
    }
}

/// Priorities that no call comes to.
fn look_at_levels(
    section: &Section<'_>,
    campaign: &Campaign,
    scene: &Scene<'_>,
    desk: &mut Desk<'_>,
) {
    let mut levels: BTreeMap<i32, Vec<&Arc<Buyer>>> = BTreeMap::new();
    for buyer in campaign.route.buyers().iter() {
        levels.entry(buyer.priority).or_default().push(buyer);
    }
    let key = if section.has("buyers") {
        "buyers"
    } else {
        "groups"
    };
    // Those that are called by every call that comes this far.
    let mut certain = 0;
    for (priority, buyers) in &levels {
        if buyers.iter().all(|buyer| buyer.rules.is_paused) {
            desk.warn(
                section.place_of(key),
                format!("priority {priority} is never used: all of it are paused"),
                "let one of them take calls, or take them out",
            );
        } else if certain >= scene.attempts {
            desk.warn(
                section.place_of(key),
                format!(
                    "priority {priority} is never used: {certain} buyers before it take every call, and a call \
                     is offered {} times",
                    scene.attempts
                ),
                "a higher `attempts` in [hunt], or fewer buyers before it",
            );
        }
        let takes_all = |buyer: &&&Arc<Buyer>| {
            buyer.rules.is_plain() && buyer.rules.forward.is_empty() && !buyer.is_limited()
        };
        certain += buyers.iter().filter(takes_all).count();
    }
}

/// Conversion groups that ask for the same as one before them.
fn look_at_groups(roots: &[Section<'_>], desk: &mut Desk<'_>) {
    let mut seen: HashMap<(&str, Vec<String>), _> = HashMap::new();
    for section in routes::all(roots, "conversion_group", &keys::CONVERSION_GROUP, desk) {
        let campaign = section.text("campaign", desk);
        let (Some(campaign), Some(id)) = (campaign, section.text("id", desk)) else {
            continue;
        };
        let matches = section.list("matches", desk);
        let mut matches: Vec<String> = matches
            .iter()
            .map(|text| text.value.to_ascii_lowercase().replace(' ', ""))
            .collect();
        matches.sort_unstable();
        if matches.is_empty() {
            // What comes behind one of those is told where groups are read.
            continue;
        }
        if let Some(first) = seen.get(&(campaign.value, matches.clone())) {
            let first = desk.point_at(*first);
            desk.warn(
                id.place,
                format!("no call ever gets here: the group at {first} asks for the same"),
                "only the first group whose `matches` hold is asked",
            );
            continue;
        }
        seen.insert((campaign.value, matches), id.place);
    }
}

/// Publishers' ids that are cut where they are told to buyers.
fn look_at_ids(roots: &[Section<'_>], scene: &Scene<'_>, desk: &mut Desk<'_>) {
    let mut buyers = scene.directory.buyers.values();
    let is_plivo = buyers.any(|buyer| buyer.x_ph_profile == XPhProfile::Plivo);
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || (!is_plivo && matches!(byte, b'.' | b'_' | b'~' | b'-'))
    };
    let check = |id: Option<Spot<&str>>, desk: &mut Desk<'_>| {
        let Some(id) = id else {
            return;
        };
        let length: usize = id
            .value
            .bytes()
            .map(|b| if is_plain(b) { 1 } else { 3 })
            .sum();
        if length > MOST_VALUE {
            desk.warn(
                id.place,
                format!("is cut where buyers are told of it: encoded, it has {length} characters"),
                "at most 120, of which each that is no letter or digit takes three",
            );
        }
    };
    for section in routes::all(roots, "publisher", &keys::PUBLISHER, desk) {
        let afid = section.text("afid", desk);
        check(afid, desk);
    }
    for section in routes::all(roots, "number", &keys::NUMBER, desk) {
        let sid = section.text("sid", desk);
        check(sid, desk);
    }
}

/// When the numbers of campaigns are open.
struct Opening<'d> {
    directory: &'d Directory,
    /// How many pairs of hours are still compared: for a large configuration that would take too long.
    left: u32,
    /// The hours of the numbers of each campaign, by its place; `None`: one of them is always open.
    hours: HashMap<u32, Option<Vec<&'d Schedule>>>,
}

impl<'d> Opening<'d> {
    fn of(directory: &'d Directory) -> Self {
        let mut hours: HashMap<u32, Option<Vec<&Schedule>>> = HashMap::new();
        let has_hours = directory.terms.iter().any(|terms| terms.hours.is_some());
        // A million numbers are looked at only if it may matter.
        let lines = has_hours.then(|| directory.numbers.values());
        for line in lines.into_iter().flatten() {
            let list = hours
                .entry(line.campaign.0)
                .or_insert_with(|| Some(Vec::new()));
            match &directory.terms(line.terms).hours {
                None => *list = None,
                Some(open) => {
                    if let Some(list) = list
                        && !list.contains(&open)
                    {
                        list.push(open);
                    }
                }
            }
        }
        Self {
            directory,
            left: MOST_PAIRS,
            hours,
        }
    }

    /// Warns of a buyer that is closed whenever calls for it can come.
    fn look(&mut self, section: &Section<'_>, buyer: &Buyer, desk: &mut Desk<'_>) {
        let Some(open) = &buyer.rules.hours else {
            return;
        };
        let mut campaigns = Vec::new();
        for campaign in &self.directory.campaigns {
            let is_in = campaign.route.buyers().iter().any(|one| one.id == buyer.id);
            if !is_in {
                continue;
            }
            let hours = self.hours.get(&campaign.place.0);
            let Some(Some(hours)) = hours else {
                // A number without hours, or none at all yet.
                return;
            };
            for other in hours {
                self.left = self.left.saturating_sub(1);
                if self.left == 0 || meet(open, other) {
                    return;
                }
            }
            campaigns.push(format!("`{}`", campaign.id));
        }
        if !campaigns.is_empty() {
            desk.warn(
                section.place_of("hours"),
                format!(
                    "is closed whenever the numbers of {} are open",
                    campaigns.join(" and ")
                ),
                "hours in which calls can come",
            );
        }
    }
}

/// Whether both are open at some time of a week in winter or in summer.
fn meet(one: &Schedule, other: &Schedule) -> bool {
    let is_open = |schedule: &Schedule, at| schedule.hours.is_open(schedule.zone.local(at));
    let minutes = [WINTER, SUMMER].into_iter().flat_map(|start| {
        let steps = 0..7 * 24 * 60 / STEP;
        steps.map(move |step| Moment::from_millis((start + step * STEP * 60) * 1000))
    });
    minutes
        .into_iter()
        .any(|at| is_open(one, at) && is_open(other, at))
}

/// The first Monday of January 2026, and of July.
const WINTER: i64 = 1_767_571_200;
const SUMMER: i64 = 1_783_296_000;
/// In minutes: hours that meet for less than that are as good as none.
const STEP: i64 = 5;
/// Pairs of hours that are compared at most, a millisecond or two each.
const MOST_PAIRS: u32 = 300;
/// Bytes of a header's value that arrive.
const MOST_VALUE: usize = 120;

#[cfg(test)]
mod tests;
