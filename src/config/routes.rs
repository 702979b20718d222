//! `[[company]]`, `[[publisher]]`: who owns what; and what the readers of all routing files have in common.

use std::collections::HashMap;
use std::sync::Arc;

use crate::call::policy::Media;
use crate::config::bulk::{Lines, List};
use crate::config::buyers;
use crate::config::callers::{self, Callers};
use crate::config::campaigns::{Campaigns, Cast};
use crate::config::desk::{Desk, Place};
use crate::config::groups::Groups;
use crate::config::hooks;
use crate::config::keys;
use crate::config::listen::Listeners;
use crate::config::networks::Networks;
use crate::config::postbacks;
use crate::config::raw::{Section, Shape, Spot};
use crate::config::terms::Shared;
use crate::config::value;
use crate::hooks::model::Hooks;
use crate::routing::directory::{Company, Directory};
use crate::routing::trunk::{CompanyId, Refer};
use crate::routing::zone::Zones;
use crate::types::secret::Secret;

/// The companies, by id.
pub(super) struct Companies<'d> {
    list: Vec<Company>,
    ids: HashMap<&'d str, (CompanyId, Place)>,
}

/// The publishers, by AFID; no company: it could not be read.
pub(super) type Publishers<'d> = HashMap<&'d str, (Arc<str>, Option<CompanyId>, Place)>;

/// Reads the directory out of all files, and the webhooks of its campaigns.
pub(super) fn read(
    roots: &[Section<'_>],
    (companies, callers): (Companies<'_>, &Callers<'_>),
    lists: &[List],
    scene: (&Listeners, &Media, &Networks<'_>),
    desk: &mut Desk<'_>,
) -> (Directory, Hooks) {
    let mut zones = Zones::default();
    let publishers = publishers(roots, &companies, desk);
    let groups = Groups::read(roots, &companies, &mut zones, desk);
    let mut shared = Shared {
        callers,
        groups: groups.by_member(),
        zones: &mut zones,
    };
    let buyers = buyers::read(roots, &companies, scene, &mut shared, desk);
    groups.check(&buyers, desk);
    let cast = Cast {
        companies: &companies,
        buyers: &buyers,
        groups: &groups,
        callers,
    };
    let campaigns = Campaigns::read(roots, &cast, desk);
    let mut hooks = hooks::read(roots, &campaigns, desk);
    hooks.set_keys(postbacks::read(roots, &companies, &campaigns, desk));
    let mut lines = Lines::new(&campaigns, &publishers, lists);
    for section in all(roots, "number", &keys::NUMBER, desk) {
        lines.add_section(&section, &mut zones, desk);
    }
    for list in lists {
        lines.add_list(list, desk);
    }
    let (sources, terms, numbers) = lines.finish();
    let buyers = buyers.values().filter_map(|listed| listed.buyer.clone());
    let directory = Directory {
        buyers: buyers.map(|buyer| (buyer.id.clone(), buyer)).collect(),
        companies: companies.list,
        campaigns: campaigns.list,
        sources,
        terms,
        numbers,
    };
    (directory, hooks)
}

impl<'d> Companies<'d> {
    /// Reads the companies out of all files.
    pub(super) fn read(roots: &[Section<'d>], callers: &Callers<'_>, desk: &mut Desk<'_>) -> Self {
        let mut companies = Self {
            list: Vec::new(),
            ids: HashMap::new(),
        };
        for section in all(roots, "company", &keys::COMPANY, desk) {
            companies.add(&section, callers, desk);
        }
        companies
    }

    fn add(&mut self, section: &Section<'d>, callers: &Callers<'_>, desk: &mut Desk<'_>) {
        let callers = callers::of(section, callers, desk);
        section.label("name", desk);
        let key_secret = section.secret("key_secret", desk);
        if !section.has("key_secret") {
            section.missing("key_secret", KEY_SECRET, desk);
        }
        if let Some(secret) = &key_secret
            && secret.value.expose().len() < 16
        {
            desk.fault(secret.place, "is too short", KEY_SECRET);
        }
        let Some(id) = id(section, "id", "acme", desk) else {
            return;
        };
        let Ok(place) = u16::try_from(self.list.len()) else {
            desk.fault(id.place, "is one company too many", "at most 65536");
            return;
        };
        if let Some((_, first)) = self.ids.insert(id.value, (CompanyId(place), id.place)) {
            twice(id, first, desk);
        }
        self.list.push(Company {
            id: id.value.into(),
            // The empty one stands for a secret that is at fault, so it leaves this module never.
            key_secret: key_secret.map_or_else(|| Secret::new([]), |secret| secret.value),
            callers,
        });
    }

    /// The id of a company.
    pub(super) fn name_of(&self, company: CompanyId) -> Option<Arc<str>> {
        let company = self.list.get(usize::from(company.0))?;
        Some(Arc::clone(&company.id))
    }

    /// The company that `section` names as its own.
    pub(super) fn find(&self, section: &Section<'_>, desk: &mut Desk<'_>) -> Option<CompanyId> {
        let name = section.need("company", "acme", desk)?;
        let found = self.ids.get(name.value);
        if found.is_none() {
            unknown("company", name, self.ids.keys().copied(), desk);
        }
        found.map(|(company, _)| *company)
    }
}

fn publishers<'d>(
    roots: &[Section<'d>],
    companies: &Companies<'_>,
    desk: &mut Desk<'_>,
) -> Publishers<'d> {
    let mut publishers = Publishers::new();
    for section in all(roots, "publisher", &keys::PUBLISHER, desk) {
        section.label("name", desk);
        let company = companies.find(&section, desk);
        let Some(afid) = section.need("afid", "bright-leads", desk) else {
            continue;
        };
        check_source_id(afid, desk);
        let publisher = (afid.value.into(), company, afid.place);
        if let Some((_, _, first)) = publishers.insert(afid.value, publisher) {
            twice(afid, first, desk);
        }
    }
    publishers
}

/// All tables of one name, out of all files.
pub(super) fn all<'d>(
    roots: &[Section<'d>],
    key: &'static str,
    shape: &'static Shape,
    desk: &mut Desk<'_>,
) -> Vec<Section<'d>> {
    roots
        .iter()
        .flat_map(|root| root.sections(key, shape, desk))
        .collect()
}

/// An id of the operator's choice.
pub(super) fn id<'d>(
    section: &Section<'d>,
    key: &'static str,
    example: &str,
    desk: &mut Desk<'_>,
) -> Option<Spot<&'d str>> {
    let id = section.need(key, example, desk)?;
    if !value::is_id(id.value) {
        desk.fault(
            id.place,
            format!("`{}` is no id", id.value),
            "1 to 64 letters, digits, `.`, `_` or `-`",
        );
    }
    Some(id)
}

/// Notes that an id was given before, at `first`.
pub(super) fn twice(id: Spot<&str>, first: Place, desk: &mut Desk<'_>) {
    let first = desk.point_at(first);
    desk.fault(
        id.place,
        format!("`{}` is taken, at {first}", id.value),
        "each needs an id of its own",
    );
}

/// Notes that what is named does not exist.
pub(super) fn unknown<'a>(
    kind: &str,
    name: Spot<&str>,
    known: impl Iterator<Item = &'a str>,
    desk: &mut Desk<'_>,
) {
    let instead = match value::nearest(name.value, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("describe it under [[{kind}]]"),
    };
    desk.unknown(
        name.place,
        format!("there is no {kind} `{}`", name.value),
        instead,
    );
}

/// What a trunk's callers or a buyer may do with REFER.
pub(super) fn refer(section: &Section<'_>, desk: &mut Desk<'_>) -> Refer {
    let refer = section.choice("refer", REFER, desk);
    refer.map_or_else(Refer::default, |found| found.value)
}

/// Whether a configuration may set or pass a header of this name; if not, that is noted.
pub(super) fn is_free_header(name: Spot<&str>, desk: &mut Desk<'_>) -> bool {
    if !value::is_header_name(name.value) {
        desk.fault(
            name.place,
            format!("`{}` is no name of a header", name.value.escape_debug()),
            "letters, digits and `-`, such as \"X-Account\"",
        );
        return false;
    }
    if value::is_own_header(name.value) {
        desk.fault(
            name.place,
            format!("`{}` is the edge's own", name.value),
            "use another name, such as \"X-Account\"",
        );
        return false;
    }
    true
}

/// An AFID or SID goes into a header, percent-encoded and cut at 120 bytes.
pub(super) fn check_source_id(id: Spot<&str>, desk: &mut Desk<'_>) {
    if id.value.len() > 120 || id.value.chars().any(char::is_control) {
        desk.fault(
            id.place,
            format!("`{}` is no publisher's id", id.value.escape_debug()),
            "1 to 120 bytes without control characters",
        );
    }
}

const REFER: &[(&str, Refer)] = &[
    ("refuse", Refer::Refuse),
    ("relay", Refer::Relay),
    ("terminate", Refer::Terminate),
];
const KEY_SECRET: &str = "at least 16 bytes, from which the keys of calls are made; `openssl rand -hex 32` writes a good one";
