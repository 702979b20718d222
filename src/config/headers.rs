//! `headers`, `identity` and `caller_ids` of trunks and buyers: what passes from one leg to the other.

use crate::config::desk::Desk;
use crate::config::raw::{self, Section, Shape, Spot};
use crate::config::routes;
use crate::config::value;
use crate::sip::rules::{HeaderRules, NameList};
use crate::types::range::NumberSet;

/// What a trunk or a buyer says about headers.
pub(super) fn rules(
    section: &Section<'_>,
    shape: &'static Shape,
    desk: &mut Desk<'_>,
) -> HeaderRules {
    let mut rules = HeaderRules::default();
    let Some(section) = section.section("headers", shape, desk) else {
        return rules;
    };
    rules.pass_from = names(&section, "pass_from", desk);
    rules.pass_to = names(&section, "pass_to", desk);
    rules.remove = names(&section, "remove", desk);
    if shape.keys.contains(&"set") {
        set(&section, &mut rules, desk);
    }
    rules
}

/// Whether its word on who calls is taken, or given to it.
pub(super) fn is_trusted(section: &Section<'_>, desk: &mut Desk<'_>) -> bool {
    let found = section.choice("identity", IDENTITY, desk);
    found.is_some_and(|found| found.value)
}

/// The numbers that a trunk's callers may have; `None`: any.
pub(super) fn caller_ids(section: &Section<'_>, desk: &mut Desk<'_>) -> Option<NumberSet> {
    let mut set = NumberSet::default();
    for text in section.list("caller_ids", desk) {
        if !set.insert(text.value) {
            desk.fault(
                text.place,
                format!("`{}` names no numbers", text.value.escape_debug()),
                "for example \"+12125550100\", \"+12125550100-+12125550199\" or \"+1212555*\"",
            );
        }
    }
    // An empty list lets no number through, as it says.
    section.has("caller_ids").then_some(set)
}

fn names(section: &Section<'_>, key: &'static str, desk: &mut Desk<'_>) -> NameList {
    let mut names = NameList::default();
    for name in section.list(key, desk) {
        if is_listable(name, desk) {
            names.insert(name.value);
        }
    }
    names
}

/// Whether a header of this name may be listed; if not, that is noted.
fn is_listable(name: Spot<&str>, desk: &mut Desk<'_>) -> bool {
    let stem = name.value.strip_suffix('*');
    if stem.is_some_and(|stem| stem.len() < SHORTEST_STEM) {
        desk.fault(
            name.place,
            format!("`{}` stands for too much", name.value),
            "name the beginning of what you mean, such as \"X-Acme-*\"",
        );
        return false;
    }
    let of_identity = IDENTITY_HEADERS
        .iter()
        .any(|other| other.eq_ignore_ascii_case(name.value));
    if of_identity {
        desk.fault(
            name.place,
            format!("`{}` says who calls, so no list lets it pass", name.value),
            "identity = \"trusted\" on the trunk and on the buyer",
        );
        return false;
    }
    let value = stem.unwrap_or(name.value);
    routes::is_free_header(Spot { value, ..name }, desk)
}

fn set(section: &Section<'_>, rules: &mut HeaderRules, desk: &mut Desk<'_>) {
    let mut seen: Vec<&str> = Vec::new();
    for (name, value) in section.entries("set", desk) {
        let Some(text) = value.value.as_str() else {
            raw::wrong_type(value, "a text in quotes", desk);
            continue;
        };
        if text.chars().any(char::is_control) {
            desk.fault(
                value.place,
                format!("the value of `{}` holds control characters", name.value),
                "one line of text",
            );
        }
        if seen.iter().any(|one| one.eq_ignore_ascii_case(name.value)) {
            desk.fault(
                name.place,
                format!("`{}` is set twice", name.value),
                "names of headers are the same in upper and lower case",
            );
        }
        seen.push(name.value);
        if name.value.ends_with('*') || !value::is_header_name(name.value) {
            desk.fault(
                name.place,
                format!("`{}` is no name of a header", name.value.escape_debug()),
                "letters, digits and `-`, such as \"X-Account\"",
            );
        } else if routes::is_free_header(name, desk) {
            rules.insert_set(name.value, text);
        }
    }
}

const IDENTITY: &[(&str, bool)] = &[("from", false), ("trusted", true)];

/// What `identity` decides about.
const IDENTITY_HEADERS: &[&str] = &["P-Asserted-Identity", "P-Preferred-Identity", "Privacy"];

/// Letters before the `*`, at least.
const SHORTEST_STEM: usize = 2;
