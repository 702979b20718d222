//! `[[domain]]` and `[[trunk]]`: who is let in, and as whom.

use std::collections::HashMap;
use std::sync::Arc;

use crate::auth::allowlist::Allowlist;
use crate::call::output::Refusal;
use crate::call::policy::{Domain, Known, Media};
use crate::call::record::Outcome;
use crate::config::desk::Desk;
use crate::config::doors::Doors;
use crate::config::headers;
use crate::config::keys;
use crate::config::listen::Listeners;
use crate::config::media;
use crate::config::networks::Networks;
use crate::config::presets::{self, Preset};
use crate::config::raw::{self, Section};
use crate::config::routes::{self, Companies};
use crate::config::value;
use crate::routing::caps::Caps;
use crate::routing::trunk::{CompanyId, MediaTerms, Tickets, Trunk};
use crate::types::number::NumberPlan;

/// The domains by name, and the trunks.
pub(super) struct Carriers {
    pub(super) domains: HashMap<Box<str>, Arc<Domain>>,
    pub(super) trunks: Vec<Arc<Trunk>>,
    /// All that any trunk lists.
    pub(super) listed: Allowlist<Known>,
    /// Names that trunks' certificates show.
    pub(super) peers: Vec<Arc<str>>,
}

/// Reads all domains and trunks.
pub(super) fn read<'d>(
    root: &Section<'d>,
    (media, networks, has_tickets): (&Media, &Networks<'d>, bool),
    companies: &Companies<'_>,
    listeners: &Listeners,
    desk: &mut Desk<'_>,
) -> Carriers {
    let domains = root.sections("domain", &keys::DOMAIN, desk);
    let trunks = root.sections("trunk", &keys::TRUNK, desk);
    if domains.is_empty() {
        root.missing_or_empty(
            "domain",
            "without one nobody is let in: add [[domain]]",
            desk,
        );
    }
    if trunks.is_empty() {
        root.missing_or_empty("trunk", "without one nobody is let in: add [[trunk]]", desk);
    }
    let mut doors = Doors::new(networks.clone());
    for section in &domains {
        doors.add_domain(section, desk);
    }
    let mut list = Vec::new();
    for section in &trunks {
        let preset = Preset::read(section, desk);
        let tickets = presets::tickets(section, preset, has_tickets, desk);
        let id = doors.add_trunk(section, (preset, tickets), desk);
        let mut trunk = Trunk {
            media: media::terms(section, &keys::TRUNK_MEDIA, (media, networks), desk),
            tickets,
            ..trunk(id, section, companies, listeners, desk)
        };
        if let Some(preset) = preset {
            preset.media(section, &mut trunk.media);
            trunk.answers.extend(preset.answers(section));
        }
        list.push(Arc::new(trunk));
    }
    let closed = doors.close(desk);
    Carriers {
        domains: closed.domains,
        trunks: list,
        listed: closed.listed,
        peers: closed.peers,
    }
}

/// What a trunk says besides who it is.
fn trunk(
    id: &str,
    section: &Section<'_>,
    companies: &Companies<'_>,
    listeners: &Listeners,
    desk: &mut Desk<'_>,
) -> Trunk {
    let company = companies.find(section, desk);
    Trunk {
        id: id.into(),
        company: company.unwrap_or(CompanyId(0)),
        caps: caps(section, desk),
        half_open: cap(section, "half_open", 1_000_000, desk),
        plan: plan(section, desk),
        headers: headers::rules(section, &keys::TRUNK_HEADERS, desk),
        is_trusted: headers::is_trusted(section, desk),
        caller_ids: headers::caller_ids(section, desk),
        twilio_accounts: twilio_accounts(section, desk),
        advertise: listeners.advertise(section, desk),
        refer: routes::refer(section, desk),
        media: MediaTerms::default(),
        tickets: Tickets::default(),
        answers: answers(section, desk),
    }
}

/// How many calls a trunk may bring, or a buyer takes.
pub(super) fn caps(section: &Section<'_>, desk: &mut Desk<'_>) -> Caps {
    Caps {
        max_calls: cap(section, "max_calls", 10_000_000, desk),
        max_cps: cap(section, "max_cps", 1_000_000, desk),
    }
}

/// A bound of at least 1; `None`: there is none.
fn cap(section: &Section<'_>, key: &'static str, most: i64, desk: &mut Desk<'_>) -> Option<u32> {
    let count = section.count(key, 1, 1..=most, desk);
    let is_there = section.has(key);
    is_there.then(|| u32::try_from(count).unwrap_or(u32::MAX))
}

fn plan(section: &Section<'_>, desk: &mut Desk<'_>) -> NumberPlan {
    let country = section.text("country", desk);
    if let Some(country) = country {
        let digits = country.value;
        if !(1..=3).contains(&digits.len())
            || digits.starts_with('0')
            || !digits.bytes().all(|b| b.is_ascii_digit())
        {
            desk.fault(
                country.place,
                format!("`{digits}` is no country code"),
                "one to three digits, such as \"1\" or \"44\"",
            );
        }
    }
    let prefix = section.text("tech_prefix", desk);
    if let Some(prefix) = prefix
        && (prefix.value.is_empty()
            || prefix.value.len() > 16
            || !prefix
                .value
                .bytes()
                .all(|b| b.is_ascii_digit() || b"#*+".contains(&b)))
    {
        desk.fault(
            prefix.place,
            format!("`{}` is no prefix", prefix.value),
            "1 to 16 of the digits, `#`, `*` and `+`, such as \"99#\"",
        );
    }
    NumberPlan {
        country: country.map_or("1", |country| country.value).into(),
        tech_prefix: prefix.map(|prefix| prefix.value.into()),
        assume_e164: section.flag("assume_e164", false, desk),
    }
}

/// The accounts of Twilio's whose calls are this trunk's.
fn twilio_accounts(section: &Section<'_>, desk: &mut Desk<'_>) -> Vec<Box<str>> {
    let mut accounts = Vec::new();
    for account in section.list("twilio_accounts", desk) {
        let hex = account.value.strip_prefix("AC").unwrap_or_default();
        let is_one = hex.len() == 32
            && hex
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if is_one {
            accounts.push(account.value.into());
        } else {
            desk.fault(
                account.place,
                format!("`{}` is no account SID", account.value.escape_debug()),
                "`AC` and 32 digits from 0 to 9 and a to f, as Twilio's console shows it",
            );
        }
    }
    accounts
}

fn answers(section: &Section<'_>, desk: &mut Desk<'_>) -> Vec<(Box<str>, u16)> {
    let known = || {
        let refusals = REFUSED.iter().map(|refusal| refusal.label());
        ANSWERED
            .iter()
            .map(|outcome| outcome.label())
            .chain(refusals)
    };
    let mut answers = Vec::new();
    for (name, status) in section.entries("answers", desk) {
        if !known().any(|label| label == name.value) {
            let labels: Vec<&str> = known().collect();
            desk.fault(
                name.place,
                format!("`{}` is no outcome that is answered", name.value),
                value::known_keys(name.value, &labels),
            );
        }
        let Some(code) = raw::integer(status, 400..=699, desk) else {
            continue;
        };
        if code == 401 || code == 407 {
            desk.fault(
                status.place,
                format!("{code} asks for credentials"),
                "a status that ends the call, from 400 to 699",
            );
        }
        answers.extend(u16::try_from(code).map(|code| (name.value.into(), code)));
    }
    answers
}

/// Outcomes whose status a trunk may choose: those we decide on without the caller's doing.
const ANSWERED: &[Outcome] = &[
    Outcome::NotANumber,
    Outcome::NumberUnknown,
    Outcome::NoBuyer,
    Outcome::AllCapped,
    Outcome::NoAnswer,
    Outcome::AllBusy,
];

/// Refusals of the same kind.
const REFUSED: &[Refusal] = &[Refusal::TrunkCalls, Refusal::TrunkCps];
