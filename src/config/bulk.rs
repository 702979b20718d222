//! `[[number]]` and the lists that `[[numbers]]` names: what each number stands for.
//!
//! A list is a file with a number per line, `number,campaign,afid[,sid[,tags]]`. An operator has hundreds of
//! thousands of them, so a line costs no allocation but its place in the table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::config::campaigns::Campaigns;
use crate::config::desk::{Desk, File, FileId, Place};
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::config::routes::{self, Publishers};
use crate::config::terms;
use crate::routing::directory::{CampaignId, Line, Source, SourceId, Terms, TermsId};
use crate::routing::trunk::CompanyId;
use crate::routing::zone::Zones;
use crate::types::number::{Number, NumberPlan};
use crate::types::tag::{Origin, Tags};

/// What stands on a line of a list, in this order; the last ones may be left out.
pub(super) const COLUMNS: &[&str] = &["number", "campaign", "afid", "sid", "tags"];

/// A list of numbers.
pub(super) struct List(pub(super) File);

/// Opens the lists that the configuration names.
pub(super) fn open(roots: &[Section<'_>], desk: &mut Desk<'_>) -> Vec<List> {
    let mut lists = Vec::new();
    for section in routes::all(roots, "numbers", &keys::NUMBERS, desk) {
        let Some(path) = section.need("file", "numbers.csv", desk) else {
            continue;
        };
        let full = desk.resolve(path.value);
        lists.extend(desk.open(&full, path.place).map(List));
    }
    lists
}

/// The numbers so far.
pub(super) struct Lines<'d> {
    campaigns: &'d Campaigns<'d>,
    publishers: &'d Publishers<'d>,
    numbers: HashMap<Number, Line>,
    sources: Vec<Source>,
    /// Publisher and sub id, with the publisher's company.
    source_ids: HashMap<(&'d str, &'d str), (SourceId, Option<CompanyId>)>,
    terms: Vec<Terms>,
    /// What lists say in `tags`, as it is written.
    tagged: HashMap<&'d str, TermsId>,
    /// What `[[number]]`s say besides, as it is written.
    said: HashMap<String, TermsId>,
    /// Where each number stands, for the fault of one that stands twice.
    firsts: Vec<(Number, FileId, u32)>,
}

/// What one line says; an empty `sid` is none.
struct Written<'d> {
    number: Spot<&'d str>,
    campaign: Spot<&'d str>,
    afid: Spot<&'d str>,
    sid: Spot<&'d str>,
    terms: TermsId,
}

impl<'d> Lines<'d> {
    pub(super) fn new(
        campaigns: &'d Campaigns<'d>,
        publishers: &'d Publishers<'d>,
        lists: &[List],
    ) -> Self {
        let expected = lists
            .iter()
            .map(|list| memchr::memchr_iter(b'\n', list.0.text.as_bytes()).count())
            .sum();
        Self {
            campaigns,
            publishers,
            numbers: HashMap::with_capacity(expected),
            sources: Vec::new(),
            source_ids: HashMap::new(),
            terms: Vec::new(),
            tagged: HashMap::new(),
            said: HashMap::new(),
            firsts: Vec::with_capacity(expected),
        }
    }

    /// Adds a `[[number]]`.
    pub(super) fn add_section(
        &mut self,
        section: &Section<'d>,
        zones: &mut Zones,
        desk: &mut Desk<'_>,
    ) {
        let terms = self.terms_of(section, zones, desk);
        let number = section.need("number", "+12125550101", desk);
        let campaign = section.need("campaign", "solar", desk);
        let afid = section.need("afid", "bright-leads", desk);
        let sid = section.text("sid", desk);
        if let (Some(number), Some(campaign), Some(afid)) = (number, campaign, afid) {
            let none = Spot {
                value: "",
                place: afid.place,
            };
            let written = Written {
                number,
                campaign,
                afid,
                sid: sid.unwrap_or(none),
                terms,
            };
            self.add(&written, desk);
        }
    }

    /// Adds all lines of a list.
    pub(super) fn add_list(&mut self, list: &'d List, desk: &mut Desk<'_>) {
        let before = desk.count();
        let mut place = Place {
            file: list.0.id,
            offset: 0,
            section: "numbers",
            key: "",
        };
        for line in list.0.text.split_inclusive('\n') {
            let start = place;
            place.offset += line.len() as u32;
            let written = line.strip_prefix('\u{feff}').unwrap_or(line).trim_end();
            let is_header = start.offset == 0 && written.starts_with("number");
            if is_header || written.is_empty() || written.starts_with('#') {
                continue;
            }
            let line = Spot {
                value: line.trim_end(),
                place: start,
            };
            if let Some((mut written, tags)) = fields(line, desk) {
                written.terms = self.tagged(tags, desk);
                self.add(&written, desk);
            }
            if desk.count() - before >= MOST_FAULTS {
                desk.fault(
                    place,
                    format!(
                        "has {MOST_FAULTS} faults so far; the rest of the file was not looked at"
                    ),
                    "",
                );
                return;
            }
        }
    }

    fn add(&mut self, written: &Written<'d>, desk: &mut Desk<'_>) {
        let number = number(written.number, desk);
        let campaign = self.campaigns.find(written.campaign, desk);
        let source = self.source(written, desk);
        let owner = campaign.and_then(|(_, owner)| owner);
        let company = source.and_then(|(_, company)| company);
        if owner.is_some() && company.is_some() && owner != company {
            desk.fault(
                written.afid.place,
                format!(
                    "publisher `{}` is another company's than campaign `{}`",
                    written.afid.value, written.campaign.value
                ),
                "a number, its campaign and its publisher belong to one company",
            );
        }
        let Some(number) = number else {
            return;
        };
        // What is not known stands in for the fault that was noted, so that it is seen if the number
        // stands twice, too.
        let line = Line {
            campaign: campaign.map_or(CampaignId(0), |(campaign, _)| campaign),
            source: source.map_or(SourceId(0), |(source, _)| source),
            terms: written.terms,
        };
        let place = written.number.place;
        match self.numbers.entry(number) {
            Entry::Vacant(free) => {
                free.insert(line);
                self.firsts.push((number, place.file, place.offset));
            }
            Entry::Occupied(_) => self.assigned_twice(number, place, desk),
        }
    }

    fn assigned_twice(&self, number: Number, place: Place, desk: &mut Desk<'_>) {
        let first = self.firsts.iter().find(|(other, _, _)| *other == number);
        let first = first.map_or(place, |(_, file, offset)| Place {
            file: *file,
            offset: *offset,
            ..place
        });
        let first = desk.point_at(first);
        desk.fault(
            place,
            format!("{number} is assigned already, at {first}"),
            "a number belongs to one campaign",
        );
    }

    fn source(
        &mut self,
        written: &Written<'d>,
        desk: &mut Desk<'_>,
    ) -> Option<(SourceId, Option<CompanyId>)> {
        let (afid, sid) = (written.afid, written.sid);
        if let Some(found) = self.source_ids.get(&(afid.value, sid.value)) {
            return Some(*found);
        }
        let Some((name, company, _)) = self.publishers.get(afid.value) else {
            routes::unknown("publisher", afid, self.publishers.keys().copied(), desk);
            return None;
        };
        routes::check_source_id(sid, desk);
        let found = (SourceId(u32::try_from(self.sources.len()).ok()?), *company);
        self.sources.push(Source {
            afid: Arc::clone(name),
            sid: (!sid.value.is_empty()).then(|| sid.value.into()),
        });
        self.source_ids.insert((afid.value, sid.value), found);
        Some(found)
    }

    /// What a `[[number]]` says besides; those that say the same share it.
    fn terms_of(
        &mut self,
        section: &Section<'d>,
        zones: &mut Zones,
        desk: &mut Desk<'_>,
    ) -> TermsId {
        let zone = terms::zone(section, zones, desk);
        let texts = section.list("tags", desk);
        let mut tags = Tags::default();
        for text in &texts {
            tag(*text, &mut tags, desk);
        }
        let terms = Terms {
            is_enabled: section.flag("enabled", true, desk),
            tags,
            hours: terms::schedule(section, &zone, desk),
            quota: terms::quota(section, &zone, terms::NUMBER_CAPS, desk),
        };
        if terms == Terms::USUAL {
            return TermsId::default();
        }
        // What is the same reads the same.
        let hours = terms.hours.as_ref();
        let hours = hours.map(|open| format!("{} {}", open.hours.text(), open.zone.name()));
        let texts: Vec<_> = texts.iter().map(|text| text.value).collect();
        let quota = terms.quota.as_ref();
        let quota = quota.map(|quota| (quota.most, quota.on.label(), quota.zone.name()));
        let said = format!("{} {hours:?} {texts:?} {quota:?}", terms.is_enabled);
        let all = &mut self.terms;
        *self.said.entry(said).or_insert_with(|| put(terms, all))
    }

    /// What the `tags` of a line say: `key:value;key:value`.
    fn tagged(&mut self, written: Spot<&'d str>, desk: &mut Desk<'_>) -> TermsId {
        if written.value.is_empty() {
            return TermsId::default();
        }
        if let Some(known) = self.tagged.get(written.value) {
            return *known;
        }
        let mut tags = Tags::default();
        let mut place = written.place;
        for text in written.value.split(';') {
            if !text.trim().is_empty() {
                tag(Spot { value: text, place }, &mut tags, desk);
            }
            place.offset = place.offset.saturating_add(text.len() as u32 + 1);
        }
        let terms = Terms {
            tags,
            ..Terms::USUAL
        };
        let id = put(terms, &mut self.terms);
        self.tagged.insert(written.value, id);
        id
    }

    pub(super) fn finish(self) -> (Vec<Source>, Vec<Terms>, HashMap<Number, Line>) {
        (self.sources, self.terms, self.numbers)
    }
}

/// Keeps what a number says, and tells which it is.
fn put(terms: Terms, all: &mut Vec<Terms>) -> TermsId {
    all.push(terms);
    TermsId(u32::try_from(all.len()).unwrap_or_default())
}

/// Adds the tag that `text` names, `key:value`.
fn tag(text: Spot<&str>, tags: &mut Tags, desk: &mut Desk<'_>) {
    let added = match text.value.split_once(':') {
        Some((key, value)) if !value.trim().is_empty() => tags
            .add(key.trim(), value.trim(), Origin::Number)
            .map_err(|fault| fault.to_string()),
        Some(_) | None => Err("it has no value".to_owned()),
    };
    if let Err(fault) = added {
        let what = format!("`{}` is no tag: {fault}", text.value.escape_debug());
        desk.fault(text.place, what, "for example \"product:solar\"");
    }
}

/// Takes a line apart; its tags apart from the rest.
fn fields<'d>(line: Spot<&'d str>, desk: &mut Desk<'_>) -> Option<(Written<'d>, Spot<&'d str>)> {
    let mut parts = line.value.split(',');
    let mut offset = line.place.offset;
    let mut next = |key| {
        let part = parts.next().unwrap_or_default();
        let value = part.trim_start_matches(['\u{feff}', ' ', '\t']);
        let place = Place {
            offset: offset + (part.len() - value.len()) as u32,
            key,
            ..line.place
        };
        offset += part.len() as u32 + 1;
        Spot {
            value: value.trim_end(),
            place,
        }
    };
    let written = Written {
        number: next("number"),
        campaign: next("campaign"),
        afid: next("afid"),
        sid: next("sid"),
        terms: TermsId::default(),
    };
    let tags = next("tags");
    let what = if written.campaign.value.is_empty() || written.afid.value.is_empty() {
        "has too few fields"
    } else if parts.next().is_some() {
        "has too many fields"
    } else if memchr::memchr(b'"', line.value.as_bytes()).is_some() {
        "has quotes"
    } else {
        return Some((written, tags));
    };
    desk.fault(
        line.place,
        what,
        "write number,campaign,afid or number,campaign,afid,sid or number,campaign,afid,sid,tags, without quotes",
    );
    None
}

fn number(text: Spot<&str>, desk: &mut Desk<'_>) -> Option<Number> {
    let digits = text.value.strip_prefix('+');
    let number = digits.and_then(|digits| Number::from_e164(digits.as_bytes()));
    if number.is_none() {
        // A number without `+` could be meant in two ways, so it is for the operator to say.
        let plan = NumberPlan {
            country: "1".into(),
            tech_prefix: None,
            assume_e164: true,
        };
        let instead = plan.normalize(text.value.as_bytes()).map_or_else(
            |_| "`+`, country code and number: \"+12125550101\"".to_owned(),
            |likely| format!("write \"{likely}\" if that is meant"),
        );
        desk.fault(
            text.place,
            format!("`{}` is no number in E.164", text.value.escape_debug()),
            instead,
        );
    }
    number
}

/// Faults of one list after which it is put down: the file is of another kind, or all lines have one mistake.
const MOST_FAULTS: usize = 100;
