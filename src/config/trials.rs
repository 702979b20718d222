//! Route tests: calls that have not happened, and what a configuration is to make of them. `strowger check` runs those in
//! `NAME.route.toml` beside a main file `NAME.toml`, and in every `*.route.toml` of the folders that `directory` names.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use crate::call::explain::{Answered, Explanation, HookSaid, Question, explain, trunk_for};
use crate::call::memory::{Memory, Remembered};
use crate::call::policy::Policy;
use crate::config::desk::{Desk, FileId, Place};
use crate::config::keys;
use crate::config::raw::{self, Section, Spot};
use crate::config::{Fault, Settings, Source};
use crate::routing::caps::{Party, Stated};
use crate::routing::trunk::Trunk;
use crate::routing::window::Span;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// What came of the tests.
#[derive(Debug)]
pub struct Tried {
    /// Files of tests.
    pub files: usize,
    /// Cases in them.
    pub cases: usize,
    /// Every expectation that is not met, and all that is wrong with the files.
    pub faults: Vec<Fault>,
}

/// Runs the route tests of the configuration whose main file is `main`, and those in the files `besides`.
pub fn run(main: &Path, settings: &Settings, besides: &[PathBuf], source: &dyn Source) -> Tried {
    let mut desk = Desk::new(main, source);
    let mut paths = found(main, settings, source);
    paths.extend(besides.iter().cloned());
    // For what is told of a file that cannot be read.
    let _ = desk.open_main(main);
    let place = Place {
        file: FileId(0),
        offset: 0,
        section: "",
        key: "",
    };
    let files: Vec<_> = paths
        .iter()
        .filter_map(|path| desk.open(path, place))
        .collect();
    let documents: Vec<_> = files.iter().map(|file| desk.parse(file)).collect();
    let mut cases = 0;
    for (file, document) in files.iter().zip(&documents) {
        let root = Section::trial_root(document, file.id, &mut desk);
        for section in root.sections("case", &keys::CASE, &mut desk) {
            cases += 1;
            let before = desk.count();
            let case = Case::read(&section, &settings.policy, &mut desk);
            if let Some(case) = case.filter(|_| desk.count() == before) {
                case.check(&settings.policy, &mut desk);
            }
        }
    }
    let (faults, _) = desk.into_faults();
    Tried {
        files: files.len(),
        cases,
        faults: faults.iter().cloned().collect(),
    }
}

/// The files of tests that belong to a configuration.
fn found(main: &Path, settings: &Settings, source: &dyn Source) -> Vec<PathBuf> {
    let own = main.with_extension("route.toml");
    let folder = main.parent().unwrap_or(Path::new(""));
    let beside = source.list(folder).unwrap_or_default();
    let mut found: Vec<PathBuf> = beside.into_iter().filter(|path| *path == own).collect();
    for folder in &settings.folders {
        let mut listed = source.list(folder).unwrap_or_default();
        listed.retain(|path| is_trial(path) && !found.contains(path));
        listed.sort();
        found.extend(listed);
    }
    found
}

/// Whether it is called like a file of route tests.
pub(super) fn is_trial(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.ends_with(".route.toml") && !name.starts_with('.'))
}

/// One case, read.
struct Case<'d> {
    name: &'d str,
    to: &'d str,
    from: Option<&'d str>,
    trunk: Arc<Trunk>,
    at: Moment,
    uuid: CallUuid,
    tags: Vec<(String, String)>,
    counters: Stated,
    answers: Vec<Answered>,
    memory: Memory,
    expect: Section<'d>,
}

impl<'d> Case<'d> {
    /// `None`: it cannot be read, which is noted.
    fn read(section: &Section<'d>, policy: &Policy, desk: &mut Desk<'_>) -> Option<Self> {
        let name = section.need("name", "an adult in New York", desk);
        let to = section.need("to", "+12125550101", desk);
        let from = section.text("from", desk);
        let at = section.need("at", TIME, desk).and_then(|text| {
            let at = text.value.parse().ok();
            if at.is_none() {
                desk.fault(text.place, "is no time", format!("for example \"{TIME}\""));
            }
            at
        });
        let uuid = match section.text("uuid", desk) {
            None => CallUuid::from_bytes([0; 16]),
            Some(text) => CallUuid::parse(text.value).unwrap_or_else(|| {
                desk.fault(text.place, "is no UUID", "leave it out, if any will do");
                CallUuid::from_bytes([0; 16])
            }),
        };
        let counters = counters(section, policy, desk);
        let answers = answers(section, policy, desk);
        let memory = memory(section, at.unwrap_or_default(), policy, desk);
        let mut tags = Vec::new();
        for (key, found) in section.entries("tags", desk) {
            for value in texts(found, desk) {
                tags.push((key.value.to_owned(), value.value.to_owned()));
            }
        }
        if !section.has("expect") {
            let instead = "a table [case.expect], for example with buyer = \"sunny\"";
            section.missing("expect", instead, desk);
        }
        let expect = section.section("expect", &keys::CASE_EXPECT, desk);
        let trunk = section.text("trunk", desk);
        let found = trunk_for(policy, to?.value, trunk.map(|trunk| trunk.value));
        let trunk = match found {
            Ok(trunk) => Arc::clone(trunk),
            Err(what) => {
                let instead = "trunk = \"ID\" says by which the call would come";
                desk.fault(section.place_of("trunk"), what.to_string(), instead);
                return None;
            }
        };
        Some(Self {
            name: name?.value,
            to: to?.value,
            from: from.map(|from| from.value),
            trunk,
            at: at?,
            uuid,
            tags,
            counters,
            answers,
            memory,
            expect: expect?,
        })
    }

    /// Notes each expectation that is not met.
    fn check(&self, policy: &Policy, desk: &mut Desk<'_>) {
        let said = explain(&Question {
            policy,
            trunk: &self.trunk,
            to: self.to,
            from: self.from,
            at: self.at,
            uuid: self.uuid,
            tags: &self.tags,
            answers: Some(&self.answers),
            memory: &self.memory,
            counters: &self.counters,
        });
        let order: Vec<&str> = said.order.iter().map(|one| &*one.buyer).collect();
        let first = order.first().copied();
        let refused = said.refused.as_ref();
        let reason = refused.map(|refused| &*refused.reason);
        for (key, is) in [
            ("campaign", said.campaign.as_deref()),
            ("afid", said.afid.as_deref()),
            ("sid", said.sid.as_deref()),
            ("buyer", first),
            ("reason", reason),
        ] {
            let Some(want) = self.expect.text(key, desk) else {
                continue;
            };
            // Nobody, and nothing, is "".
            if is.unwrap_or_default() != want.value {
                self.differs(want.place, &shown(is), &shown(Some(want.value)), desk);
            }
        }
        if self.expect.has("order") {
            let want = self.expect.list("order", desk);
            let want: Vec<&str> = want.iter().map(|one| one.value).collect();
            if want != order {
                let place = self.expect.place_of("order");
                self.differs(place, &format!("{order:?}"), &format!("{want:?}"), desk);
            }
        }
        if self.expect.has("status") {
            let want = self.expect.integer("status", 603, 400..=699, desk);
            let is = refused.map(|refused| i64::from(refused.status));
            if is != Some(want) {
                let place = self.expect.place_of("status");
                let is = is.map_or_else(
                    || format!("no refusal, for {order:?} are called"),
                    |is| is.to_string(),
                );
                self.differs(place, &is, &want.to_string(), desk);
            }
        }
        self.check_verdicts(&said, policy, desk);
        self.check_tags(&said, desk);
        self.check_headers(&said, desk);
        self.check_webhooks(&said, policy, desk);
    }

    fn check_verdicts(&self, said: &Explanation, policy: &Policy, desk: &mut Desk<'_>) {
        let looks = said.looks.iter().flat_map(|look| &look.buyers);
        let all: Vec<_> = looks.chain(&said.passed).collect();
        for (buyer, found) in self.expect.entries("verdicts", desk) {
            known_buyer(buyer, policy, desk);
            let Some(want) = text(found, desk) else {
                continue;
            };
            // The last word on it counts.
            let is = all.iter().rev().find(|one| one.buyer == buyer.value);
            let verdict = is.map_or("not asked", |one| &*one.verdict);
            if verdict == want.value {
                continue;
            }
            let why = is.and_then(|one| one.want.as_deref().zip(one.have.as_deref()));
            let why = why.map(|(want, have)| format!(", for it wants {want} and there is {have}"));
            let is = format!("`{}` is {verdict}{}", buyer.value, why.unwrap_or_default());
            self.differs(want.place, &is, &shown(Some(want.value)), desk);
        }
    }

    fn check_tags(&self, said: &Explanation, desk: &mut Desk<'_>) {
        for (key, found) in self.expect.entries("tags", desk) {
            let values = said.tags.iter().filter(|tag| tag.key == key.value);
            let values: Vec<&str> = values.map(|tag| &*tag.value).collect();
            for want in texts(found, desk) {
                if !values.contains(&want.value) {
                    let is = format!("{}: {values:?}", key.value);
                    self.differs(want.place, &is, &shown(Some(want.value)), desk);
                }
            }
        }
    }

    fn check_headers(&self, said: &Explanation, desk: &mut Desk<'_>) {
        let headers = said.order.first().map_or(&[][..], |first| &first.headers);
        for (name, found) in self.expect.entries("headers", desk) {
            let Some(want) = text(found, desk) else {
                continue;
            };
            let mut pairs = headers.iter().filter_map(|line| line.split_once(": "));
            let is = pairs.find(|(one, _)| one.eq_ignore_ascii_case(name.value));
            let is = is.map(|(_, value)| value);
            if is.unwrap_or_default() != want.value {
                let is = format!("{}: {}", name.value, shown(is));
                self.differs(want.place, &is, &shown(Some(want.value)), desk);
            }
        }
    }

    fn check_webhooks(&self, said: &Explanation, policy: &Policy, desk: &mut Desk<'_>) {
        let selected = said.order.iter().flat_map(|buyer| &buyer.webhooks);
        let fired: Vec<&HookSaid> = said.start_webhooks.iter().chain(selected).collect();
        let urls = |id: &str| {
            let urls = fired.iter().filter(|hook| hook.webhook == id);
            urls.map(|hook| hook.url.clone()).collect::<Vec<_>>()
        };
        for (id, found) in self.expect.entries("webhooks", desk) {
            for want in texts(found, desk) {
                let urls = urls(id.value);
                if !urls.iter().any(|url| url == want.value) {
                    let is = match &urls[..] {
                        [] => format!("`{}` does not fire", id.value),
                        urls => format!("`{}` asks {}", id.value, urls.join(", ")),
                    };
                    self.differs(want.place, &is, &shown(Some(want.value)), desk);
                }
            }
        }
        for id in self.expect.list("silent", desk) {
            known_webhook(id, policy, desk);
            if let Some(url) = urls(id.value).first() {
                let is = format!("`{}` asks {url}", id.value);
                self.differs(id.place, &is, "that it does not fire", desk);
            }
        }
    }

    fn differs(&self, place: Place, is: &str, want: &str, desk: &mut Desk<'_>) {
        let what = format!("case `{}`: it is {is}", self.name.escape_debug());
        desk.fault(place, what, format!("the test expects {want}"));
    }
}

fn shown(text: Option<&str>) -> String {
    match text {
        None | Some("") => "none".to_owned(),
        Some(text) => format!("`{}`", text.escape_debug()),
    }
}

/// What counts, as the case states it.
fn counters(section: &Section<'_>, policy: &Policy, desk: &mut Desk<'_>) -> Stated {
    let mut stated = Stated::default();
    for (name, found) in section.entries("calls", desk) {
        let count = raw::integer(found, 0..=COUNTS, desk);
        let party = party(name, policy, desk);
        if let (Some(count), Some(party)) = (count, party) {
            stated
                .calls
                .insert(party, u32::try_from(count).unwrap_or(u32::MAX));
        }
    }
    for (name, found) in section.entries("counted", desk) {
        let party = party(name, policy, desk);
        let Some(spans) = found.value.as_table() else {
            raw::wrong_type(found, "a table such as { day = 100 }", desk);
            continue;
        };
        for (key, value) in spans.iter() {
            let place = found.place;
            let span = Span::ALL
                .into_iter()
                .find(|span| span.label() == key.get_ref().as_ref());
            if span.is_none() {
                let what = format!("`{}` is no window", key.get_ref().escape_debug());
                desk.fault(place, what, "one of hour, day, month and total");
            }
            let value = value.get_ref();
            let count = raw::integer(Spot { value, place }, 0..=COUNTS, desk);
            if let (Some(span), Some(count), Some(party)) = (span, count, &party) {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                stated.counted.insert((party.clone(), span), count);
            }
        }
    }
    for name in section.list("down", desk) {
        if let Some(party) = party(name, policy, desk) {
            stated.down.insert(Arc::clone(party.id()));
        }
    }
    stated
}

/// Whose calls they are: a buyer's id, or `group:` and that of a group with limits.
fn party(name: Spot<&str>, policy: &Policy, desk: &mut Desk<'_>) -> Option<Party> {
    let found = Party::named(name.value, &policy.directory);
    if found.is_none() {
        let what = format!("there is no buyer `{}`", name.value.escape_debug());
        desk.fault(
            name.place,
            what,
            "a buyer's id, or \"group:ID\" for a group with limits",
        );
    }
    found
}

fn answers(section: &Section<'_>, policy: &Policy, desk: &mut Desk<'_>) -> Vec<Answered> {
    let mut answers = Vec::new();
    for answer in section.sections("answer", &keys::CASE_ANSWER, desk) {
        let webhook = answer.need("webhook", "crm", desk);
        let status = answer.integer("status", 200, 100..=599, desk);
        let json = answer.text("json", desk);
        let Some(webhook) = webhook else {
            continue;
        };
        known_webhook(webhook, policy, desk);
        answers.push(Answered {
            webhook: webhook.value.to_owned(),
            status: u16::try_from(status).unwrap_or(200),
            body: json.map_or_else(String::new, |json| json.value.to_owned()),
        });
    }
    answers
}

// What is said of a name that nobody has would hold whatever happens.

fn known_webhook(id: Spot<&str>, policy: &Policy, desk: &mut Desk<'_>) {
    let mut known = policy.hooks.webhooks();
    if !known.any(|known| *known.id == *id.value) {
        let what = format!("there is no webhook `{}`", id.value.escape_debug());
        desk.fault(id.place, what, "the id of a [[webhook]]");
    }
}

fn known_buyer(id: Spot<&str>, policy: &Policy, desk: &mut Desk<'_>) {
    if !policy.directory.buyers.contains_key(id.value) {
        let what = format!("there is no buyer `{}`", id.value.escape_debug());
        desk.fault(id.place, what, "the id of a [[buyer]]");
    }
}

fn known_campaign(id: Spot<&str>, policy: &Policy, desk: &mut Desk<'_>) {
    let mut known = policy.directory.campaigns.iter();
    if !known.any(|known| *known.id == *id.value) {
        let what = format!("there is no campaign `{}`", id.value.escape_debug());
        desk.fault(id.place, what, "the id of a [[campaign]]");
    }
}

fn memory(section: &Section<'_>, at: Moment, policy: &Policy, desk: &mut Desk<'_>) -> Memory {
    let mut memory = Memory::default();
    let calls = section.sections("past", &keys::CASE_PAST, desk);
    for (call, number) in calls.into_iter().zip(1..=u8::MAX) {
        let campaign = call.need("campaign", "solar", desk);
        let buyer = call.need("buyer", "sunny", desk);
        if !call.has("ago") {
            call.missing("ago", "for example ago = \"2d\"", desk);
        }
        let ago = call.duration("ago", Duration::ZERO, Duration::ZERO..=AGES, desk);
        let group = call.text("converted", desk);
        let answered = at.before(ago);
        if let (Some(campaign), Some(buyer)) = (campaign, buyer) {
            known_campaign(campaign, policy, desk);
            known_buyer(buyer, policy, desk);
            memory.add(Remembered {
                answered: Some((buyer.value.into(), answered)),
                converted: group.map(|group| (group.value.into(), answered)),
                ..Remembered::new(CallUuid::from_bytes([number; 16]), campaign.value.into())
            });
        }
    }
    memory
}

/// A text, or each of a list of texts.
fn texts<'d>(found: Spot<&'d DeValue<'d>>, desk: &mut Desk<'_>) -> Vec<Spot<&'d str>> {
    let Some(list) = found.value.as_array() else {
        return text(found, desk).into_iter().collect();
    };
    let items = list.iter().filter_map(|item| {
        let value = item.get_ref();
        text(Spot { value, ..found }, desk)
    });
    items.collect()
}

fn text<'d>(found: Spot<&'d DeValue<'d>>, desk: &mut Desk<'_>) -> Option<Spot<&'d str>> {
    let place = found.place;
    match found.value.as_str() {
        Some(value) => Some(Spot { value, place }),
        None => {
            raw::wrong_type(found, "a text in quotes", desk);
            None
        }
    }
}

const TIME: &str = "2024-11-04T09:00:00-05:00";
const COUNTS: i64 = 1_000_000_000;
const AGES: Duration = Duration::from_secs(3650 * 24 * 3600);

#[cfg(test)]
mod tests;
