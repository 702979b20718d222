//! `[[campaign]]`: to whom its calls are offered, and what becomes of those that nobody is left for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::buyers::Buyers;
use crate::config::callers::{self, Callers};
use crate::config::desk::{Desk, Place};
use crate::config::groups::Groups;
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::config::routes::{self, Companies};
use crate::config::terms;
use crate::routing::campaign::{
    Answer, Campaign, Exit, Exits, Repeat, RepeatPolicy, Route, Signal, Waiting,
};
use crate::routing::directory::CampaignId;
use crate::routing::route::{Part, Together};
use crate::routing::trunk::CompanyId;

/// The campaigns, by id.
pub(super) struct Campaigns<'d> {
    pub(super) list: Vec<Arc<Campaign>>,
    ids: HashMap<&'d str, (CampaignId, Option<CompanyId>, Place)>,
}

/// Whom campaigns name.
pub(super) struct Cast<'c, 'd> {
    pub(super) companies: &'c Companies<'d>,
    pub(super) buyers: &'c Buyers<'d>,
    pub(super) groups: &'c Groups<'d>,
    pub(super) callers: &'c Callers<'d>,
}

impl<'d> Campaigns<'d> {
    /// Reads the campaigns out of all files.
    pub(super) fn read(roots: &[Section<'d>], cast: &Cast<'_, 'd>, desk: &mut Desk<'_>) -> Self {
        let mut campaigns = Self {
            list: Vec::new(),
            ids: HashMap::new(),
        };
        let mut written = Vec::new();
        // One may name any other, so all of them get their places first.
        for section in routes::all(roots, "campaign", &keys::CAMPAIGN, desk) {
            let company = cast.companies.find(&section, desk);
            let Some(id) = routes::id(&section, "id", "solar", desk) else {
                continue;
            };
            let Ok(place) = u32::try_from(written.len()) else {
                continue;
            };
            let entry = (CampaignId(place), company, id.place);
            if let Some((_, _, first)) = campaigns.ids.insert(id.value, entry) {
                routes::twice(id, first, desk);
            }
            written.push((section, id, company));
        }
        for ((section, id, company), place) in written.into_iter().zip(0..) {
            let mut campaign = campaigns.campaign(&section, id, company, cast, desk);
            campaign.place = CampaignId(place);
            campaigns.list.push(Arc::new(campaign));
        }
        campaigns.check_circles(desk);
        callers::check_campaigns(cast.callers, |id| campaigns.ids.contains_key(id), desk);
        campaigns
    }

    fn campaign(
        &self,
        section: &Section<'d>,
        id: Spot<&str>,
        company: Option<CompanyId>,
        cast: &Cast<'_, 'd>,
        desk: &mut Desk<'_>,
    ) -> Campaign {
        let name = section.text("name", desk);
        let is_enabled = section.flag("enabled", true, desk);
        let parts = parts(section, company, cast, desk);
        let dial = section.choice("dial", DIAL, desk);
        if !section.is_filled("buyers") && !section.is_filled("groups") {
            section.missing_or_empty(
                "buyers",
                "for example buyers = [\"first\", \"second\"]",
                desk,
            );
        }
        let exits = self.exits(section, company, cast, desk);
        Campaign {
            place: CampaignId(0),
            id: id.value.into(),
            company: company.unwrap_or(CompanyId(0)),
            name: name.map_or(id.value, |name| name.value).into(),
            // One that is switched off has nobody to offer its calls to.
            route: match dial {
                _ if !is_enabled => Route::default(),
                Some(dial) if dial.value => Route::by_priority(parts),
                Some(_) | None => Route::of(parts),
            },
            exits,
            callers: callers::of(section, cast.callers, desk),
            fills: callers::filled_by(id.value, cast.callers),
            repeat: repeat(section, desk),
            waiting: waiting(section, desk),
            settle: settle(section, desk),
            is_direct: section
                .choice("twilio", TWILIO, desk)
                .is_some_and(|found| found.value),
            dedupe: section.duration(
                "dedupe",
                Duration::ZERO,
                Duration::ZERO..=terms::TEN_YEARS,
                desk,
            ),
        }
    }

    fn exits(
        &self,
        section: &Section<'d>,
        company: Option<CompanyId>,
        cast: &Cast<'_, 'd>,
        desk: &mut Desk<'_>,
    ) -> Exits {
        let Some(section) = section.section("exits", &keys::CAMPAIGN_EXITS, desk) else {
            return Exits::default();
        };
        let mut exit = |key| {
            let section = section.section(key, &keys::CAMPAIGN_EXIT, desk)?;
            self.exit(&section, company, cast, desk)
        };
        Exits {
            all_closed: exit("all_closed"),
            all_capped: exit("all_capped"),
            no_match: exit("no_match"),
            no_answer: exit("no_answer"),
            suppressed: exit("suppressed"),
        }
    }

    fn exit(
        &self,
        section: &Section<'d>,
        company: Option<CompanyId>,
        cast: &Cast<'_, 'd>,
        desk: &mut Desk<'_>,
    ) -> Option<Exit> {
        let dials = section.has("buyers") || section.has("groups");
        let reject = ["reject", "reason", "suppress"];
        let rejects = reject.iter().any(|key| section.has(key));
        let ways = [dials, rejects, section.has("campaign")];
        if ways.iter().filter(|is_taken| **is_taken).count() != 1 {
            desk.fault(section.place, "is not one way out", EXIT);
            return None;
        }
        if dials {
            let parts = parts(section, company, cast, desk);
            if parts.is_empty() {
                section.missing_or_empty("buyers", EXIT, desk);
            }
            return Some(Exit::Dial(Route::of(parts)));
        }
        if let Some(name) = section.text("campaign", desk) {
            let (id, other) = self.find(name, desk)?;
            if other.zip(company).is_some_and(|(one, other)| one != other) {
                desk.fault(
                    name.place,
                    format!("campaign `{}` is another company's", name.value),
                    "a call stays with its company",
                );
            }
            return Some(Exit::Campaign(id));
        }
        let status = section.integer("reject", 603, 400..=699, desk);
        let status = section.has("reject").then(|| u16::try_from(status).ok());
        let reason = section.text("reason", desk);
        if let Some(reason) = reason.filter(|reason| {
            let is_word =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            !(1..=64).contains(&reason.value.len()) || !reason.value.bytes().all(is_word)
        }) {
            desk.fault(
                reason.place,
                format!("`{}` is no reason", reason.value.escape_debug()),
                "1 to 64 lower-case letters, digits and `_`, such as \"not_sold\"",
            );
        }
        Some(Exit::Reject(Answer {
            status: status.flatten(),
            reason: reason.map(|reason| reason.value.into()),
            suppress: callers::suppressing(section, cast.callers, desk),
        }))
    }

    /// Notes each campaign from which calls would come back to it: which exit a call takes is not known before.
    fn check_circles(&self, desk: &mut Desk<'_>) {
        let next = |id: CampaignId| {
            let campaign = self.list.get(id.0 as usize);
            let exits = campaign
                .into_iter()
                .flat_map(|campaign| campaign.exits.iter());
            exits.filter_map(|(_, exit)| match exit {
                Exit::Campaign(id) => Some(*id),
                Exit::Dial(_) | Exit::Reject(_) => None,
            })
        };
        let mut circles = Vec::new();
        for (name, (start, _, place)) in &self.ids {
            let mut seen = Vec::new();
            let mut open: Vec<_> = next(*start).collect();
            while let Some(id) = open.pop() {
                if id == *start {
                    circles.push((*place, *name));
                    break;
                }
                if !seen.contains(&id) {
                    seen.push(id);
                    open.extend(next(id));
                }
            }
        }
        for (place, name) in circles {
            desk.fault(
                place,
                format!("exits lead from `{name}` back to it"),
                "a call that nobody is left for must come to an end",
            );
        }
    }

    /// How many there are, those included that are the second of their name.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// For how long those webhooks of the campaign at `place` pass over a caller that count calls.
    pub(super) fn dedupe(&self, place: usize) -> Duration {
        let campaign = self.list.get(place);
        campaign.map(|campaign| campaign.dedupe).unwrap_or_default()
    }

    /// The campaign that is named, and its company; `None`: there is none of this name, which is noted.
    pub(super) fn find(
        &self,
        name: Spot<&str>,
        desk: &mut Desk<'_>,
    ) -> Option<(CampaignId, Option<CompanyId>)> {
        let found = self.ids.get(name.value);
        if found.is_none() {
            routes::unknown("campaign", name, self.ids.keys().copied(), desk);
        }
        found.map(|(campaign, company, _)| (*campaign, *company))
    }
}

/// The buyers that can be read of those that a campaign or an exit names, each once: first `buyers` in this order, then the
/// members of `groups`.
fn parts(
    section: &Section<'_>,
    company: Option<CompanyId>,
    cast: &Cast<'_, '_>,
    desk: &mut Desk<'_>,
) -> Vec<Part> {
    let mut seen: Vec<&str> = Vec::new();
    let mut members = Vec::new();
    for name in section.list("buyers", desk) {
        if seen.contains(&name.value) {
            desk.fault(
                name.place,
                format!("buyer `{}` is named twice", name.value),
                "each buyer is tried once",
            );
            continue;
        }
        seen.push(name.value);
        let Some(listed) = cast.buyers.get(name.value) else {
            routes::unknown("buyer", name, cast.buyers.keys().copied(), desk);
            continue;
        };
        if company.is_some() && listed.company.is_some() && listed.company != company {
            desk.fault(
                name.place,
                format!("buyer `{}` is another company's", name.value),
                "a campaign and its buyers belong to one company",
            );
        }
        members.extend(listed.buyer.clone().map(Part::One));
    }
    for group in section.list("groups", desk) {
        let mut together = Vec::new();
        let (names, dial) = cast.groups.members(group, desk);
        for name in names {
            // Members of several groups, or named besides, are tried once like all others.
            if seen.contains(&name.value) {
                continue;
            }
            seen.push(name.value);
            let Some(listed) = cast.buyers.get(name.value) else {
                continue;
            };
            if company.is_some() && listed.company.is_some() && listed.company != company {
                desk.fault(
                    group.place,
                    format!("buyer `{}` is another company's", name.value),
                    "a campaign and its buyers belong to one company",
                );
            }
            together.extend(listed.buyer.clone());
        }
        match dial {
            Some(dial) if !together.is_empty() => members.push(Part::Together(Together {
                id: group.value.into(),
                priority: dial.priority,
                weight: dial.weight,
                members: together,
            })),
            Some(_) | None => members.extend(together.into_iter().map(Part::One)),
        }
    }
    members
}

/// How long after its end a call's conversion is found out.
fn settle(section: &Section<'_>, desk: &mut Desk<'_>) -> Duration {
    let settle = section.duration("settle", Duration::ZERO, Duration::ZERO..=HOUR, desk);
    if settle.is_zero() || desk.hearing.is_kept {
        return settle;
    }
    desk.warn(
        section.place_of("settle"),
        "is of no use: nothing is known of a call once it is over",
        "set data_dir under [node]; without it a conversion is found out when the call ends",
    );
    Duration::ZERO
}

/// Whether all buyers of one priority are called at once.
/// Who calls the buyers for calls that come by Twilio's webhooks.
const TWILIO: &[(&str, bool)] = &[("edge", false), ("direct", true)];
const DIAL: &[(&str, bool)] = &[("in_turn", false), ("together", true)];

fn repeat(section: &Section<'_>, desk: &mut Desk<'_>) -> Repeat {
    let Some(section) = section.section("repeat", &keys::CAMPAIGN_REPEAT, desk) else {
        return Repeat::default();
    };
    let policy = section.choice("policy", POLICIES, desk);
    Repeat {
        policy: policy.map(|policy| policy.value).unwrap_or_default(),
        after: terms::after(&section, desk),
        within: section.duration(
            "within",
            terms::MONTH,
            terms::SECOND..=terms::TEN_YEARS,
            desk,
        ),
    }
}

const HOUR: Duration = Duration::from_secs(3600);
const POLICIES: &[(&str, RepeatPolicy)] = &[
    ("normal", RepeatPolicy::Normal),
    ("original", RepeatPolicy::Original),
    ("original_first", RepeatPolicy::OriginalFirst),
    ("different", RepeatPolicy::Different),
];
/// How its calls wait that nobody can take now.
fn waiting(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<Waiting> {
    let least = Duration::from_secs(1);
    let time = section.duration("waiting_room", least, least..=MOST_WAIT, desk);
    let most = section.integer("waiting_calls", 100, 1..=1000, desk);
    let signal = section.choice("waiting_signal", SIGNAL, desk);
    if !section.has("waiting_room") {
        for key in ["waiting_calls", "waiting_signal"] {
            if section.has(key) {
                section.missing("waiting_room", "how long calls wait, such as \"60s\"", desk);
                break;
            }
        }
        return None;
    }
    Some(Waiting {
        time,
        most: u32::try_from(most).unwrap_or(1000),
        signal: signal.map(|signal| signal.value).unwrap_or_default(),
    })
}

/// Carriers give up on calls that nobody answers.
const MOST_WAIT: Duration = Duration::from_secs(600);
const SIGNAL: &[(&str, Signal)] = &[
    ("queued", Signal::Queued),
    ("ringing", Signal::Ringing),
    ("none", Signal::None),
];
const EXIT: &str = "one of { buyers = [\"night-desk\"] }, { campaign = \"overflow\" } and { reject = 603, reason = \"not_sold\" }";
