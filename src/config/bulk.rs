//! `[[number]]` and the lists that `[[numbers]]` names: what each number stands for.
//!
//! A list is a file with a number per line, `number,campaign,afid[,sid]`. An operator has hundreds of
//! thousands of them, so a line costs no allocation but its place in the table.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::config::desk::{Desk, File, FileId, Place};
use crate::config::keys;
use crate::config::raw::{Section, Spot};
use crate::config::routes::{self, Campaigns, Publishers};
use crate::routing::directory::{CampaignId, Line, Source, SourceId};
use crate::routing::trunk::CompanyId;
use crate::types::number::{Number, NumberPlan};

/// A list of numbers.
pub(super) struct List(File);

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
    /// Where each number stands, for the fault of one that stands twice.
    firsts: Vec<(Number, FileId, u32)>,
}

/// What one line says; an empty `sid` is none.
struct Written<'d> {
    number: Spot<&'d str>,
    campaign: Spot<&'d str>,
    afid: Spot<&'d str>,
    sid: Spot<&'d str>,
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
            firsts: Vec::with_capacity(expected),
        }
    }

    /// Adds a `[[number]]`.
    pub(super) fn add_section(&mut self, section: &Section<'d>, desk: &mut Desk<'_>) {
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
            if let Some(written) = fields(line, desk) {
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

    pub(super) fn finish(self) -> (Vec<Source>, HashMap<Number, Line>) {
        (self.sources, self.numbers)
    }
}

/// Takes a line apart.
fn fields<'d>(line: Spot<&'d str>, desk: &mut Desk<'_>) -> Option<Written<'d>> {
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
    };
    let what = if written.campaign.value.is_empty() || written.afid.value.is_empty() {
        "has too few fields"
    } else if parts.next().is_some() {
        "has too many fields"
    } else if memchr::memchr(b'"', line.value.as_bytes()).is_some() {
        "has quotes"
    } else {
        return Some(written);
    };
    desk.fault(
        line.place,
        what,
        "write number,campaign,afid or number,campaign,afid,sid, without quotes",
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
