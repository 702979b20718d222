//! Reads one section of a TOML document, one key at a time.
//!
//! Each reader returns what is right and notes what is not at the [`Desk`], then goes on, so that one
//! pass finds every fault. Keys that the section's [`Shape`] does not know are faults.

mod json;
mod secret;

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use crate::config::desk::{Desk, FileId, Place};
use crate::config::keys;
use crate::config::value;

pub(super) use self::json::{kept, pointer};

/// The keys of a section, all that there are.
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) keys: &'static [&'static str],
}

/// A value and where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// One table of a document, its keys known to be right.
#[derive(Clone, Copy)]
pub(super) struct Section<'d> {
    table: &'d DeTable<'d>,
    /// Where its header stands.
    pub(super) place: Place,
}

impl<'d> Section<'d> {
    /// The whole of the main file.
    pub(super) fn root(table: &'d DeTable<'d>, file: FileId, desk: &mut Desk<'_>) -> Self {
        Self::new(table, start(file), &keys::ROOT, desk)
    }

    /// The whole of a routing file.
    pub(super) fn routing_root(table: &'d DeTable<'d>, file: FileId, desk: &mut Desk<'_>) -> Self {
        Self::new(table, start(file), &keys::ROUTING_ROOT, desk)
    }

    /// The whole of a file of route tests.
    pub(super) fn trial_root(table: &'d DeTable<'d>, file: FileId, desk: &mut Desk<'_>) -> Self {
        Self::new(table, start(file), &keys::TRIALS, desk)
    }

    fn new(
        table: &'d DeTable<'d>,
        place: Place,
        shape: &'static Shape,
        desk: &mut Desk<'_>,
    ) -> Self {
        for (key, _) in table {
            let name: &str = key.get_ref();
            if shape.keys.contains(&name) {
                continue;
            }
            let place = Place {
                offset: offset(key.span().start),
                ..place
            };
            let instead = if shape.name.is_empty() && keys::ROOT.keys.contains(&name) {
                "it belongs into the main file".to_owned()
            } else {
                value::known_keys(name, shape.keys)
            };
            desk.unknown_key(place, name, instead);
        }
        Self { table, place }
    }

    /// The value of `key` and its place; `None` if it is not there.
    fn value(&self, key: &'static str) -> Option<Spot<&'d DeValue<'d>>> {
        let value = self.table.get(key)?;
        Some(Spot {
            value: value.get_ref(),
            place: Place {
                offset: offset(value.span().start),
                key,
                ..self.place
            },
        })
    }

    /// Whether `key` is there at all.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.table.contains_key(key)
    }

    /// Whether `key` holds more than an empty list.
    pub(super) fn is_filled(&self, key: &'static str) -> bool {
        self.value(key)
            .is_some_and(|found| found.value.as_array().is_none_or(|list| !list.is_empty()))
    }

    /// The place of `key`, or of the section if the key is not there.
    pub(super) fn place_of(&self, key: &'static str) -> Place {
        self.value(key)
            .map_or(self.place.of(key), |found| found.place)
    }

    /// Notes that `key` is needed.
    pub(super) fn missing(&self, key: &'static str, instead: &str, desk: &mut Desk<'_>) {
        desk.absent(self.place.of(key), "is missing", instead);
    }

    /// Notes that the list `key` is not there, or holds nothing.
    pub(super) fn missing_or_empty(&self, key: &'static str, instead: &str, desk: &mut Desk<'_>) {
        let what = match self.value(key).map(|found| found.value) {
            None => "is missing",
            Some(DeValue::Array(_)) => "is empty",
            // That it is no list is noted where it is read.
            Some(_) => return,
        };
        desk.absent(self.place_of(key), what, instead);
    }

    /// A text; `None` if it is not there or no text.
    pub(super) fn text(&self, key: &'static str, desk: &mut Desk<'_>) -> Option<Spot<&'d str>> {
        let found = self.value(key)?;
        let text = found.value.as_str();
        if text.is_none() {
            wrong_type(found, "a text in quotes", desk);
        }
        text.map(|value| Spot {
            value,
            place: found.place,
        })
    }

    /// A text that must be there and hold something; `example` is one.
    pub(super) fn need(
        &self,
        key: &'static str,
        example: &str,
        desk: &mut Desk<'_>,
    ) -> Option<Spot<&'d str>> {
        if self.value(key).is_none() {
            self.missing(key, &format!("for example {key} = \"{example}\""), desk);
        }
        let text = self.text(key, desk)?;
        if text.value.is_empty() {
            desk.fault(
                text.place,
                "is empty",
                format!("for example {key} = \"{example}\""),
            );
            return None;
        }
        Some(text)
    }

    /// A name for people, which the program does not use; what is looked at is only whether it is a text.
    pub(super) fn label(&self, key: &'static str, desk: &mut Desk<'_>) {
        let _ = self.text(key, desk);
    }

    /// A socket address.
    pub(super) fn address(
        &self,
        key: &'static str,
        desk: &mut Desk<'_>,
    ) -> Option<Spot<SocketAddr>> {
        let text = self.need(key, "192.0.2.10:5060", desk)?;
        let Ok(value) = text.value.parse() else {
            desk.fault(
                text.place,
                format!("`{}` is no address with a port", text.value),
                "for example \"192.0.2.10:5060\" or \"[2001:db8::10]:5060\"",
            );
            return None;
        };
        Some(Spot {
            value,
            place: text.place,
        })
    }

    /// A span of time, such as `"5s"`, `"250ms"` or `"2m"`.
    pub(super) fn duration(
        &self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
        desk: &mut Desk<'_>,
    ) -> Duration {
        let Some(found) = self.value(key) else {
            return default;
        };
        let Some(text) = found.value.as_str() else {
            wrong_type(found, TIME_FORMS, desk);
            return default;
        };
        let Some(value) = value::parse_duration(text) else {
            desk.fault(
                found.place,
                format!("`{text}` is no time"),
                format!("write {TIME_FORMS}"),
            );
            return default;
        };
        if !range.contains(&value) {
            let (least, most) = range.into_inner();
            desk.fault(
                found.place,
                format!("{} is out of range", value::show_duration(value)),
                format!(
                    "from \"{}\" to \"{}\"",
                    value::show_duration(least),
                    value::show_duration(most)
                ),
            );
            return default;
        }
        value
    }

    /// A whole number.
    pub(super) fn integer(
        &self,
        key: &'static str,
        default: i64,
        range: RangeInclusive<i64>,
        desk: &mut Desk<'_>,
    ) -> i64 {
        let Some(found) = self.value(key) else {
            return default;
        };
        integer(found, range, desk).unwrap_or(default)
    }

    /// A count; `range` starts at zero or above.
    pub(super) fn count(
        &self,
        key: &'static str,
        default: usize,
        range: RangeInclusive<i64>,
        desk: &mut Desk<'_>,
    ) -> usize {
        self.value(key)
            .and_then(|found| integer(found, range, desk))
            .and_then(|value| usize::try_from(value).ok())
            .unwrap_or(default)
    }

    /// A list of whole numbers; `None` if it is not there.
    pub(super) fn integers(
        &self,
        key: &'static str,
        range: RangeInclusive<i64>,
        desk: &mut Desk<'_>,
    ) -> Option<Vec<i64>> {
        let found = self.value(key)?;
        let Some(array) = found.value.as_array() else {
            wrong_type(found, "a list of whole numbers: [408, 503]", desk);
            return None;
        };
        let mut numbers = Vec::with_capacity(array.len());
        for item in array.iter() {
            let place = Place {
                offset: offset(item.span().start),
                ..found.place
            };
            let value = item.get_ref();
            numbers.extend(integer(Spot { value, place }, range.clone(), desk));
        }
        Some(numbers)
    }

    /// Yes or no.
    pub(super) fn flag(&self, key: &'static str, default: bool, desk: &mut Desk<'_>) -> bool {
        let Some(found) = self.value(key) else {
            return default;
        };
        let value = found.value.as_bool();
        if value.is_none() {
            wrong_type(found, "true or false", desk);
        }
        value.unwrap_or(default)
    }

    /// One of several words.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &'static str,
        words: &[(&'static str, T)],
        desk: &mut Desk<'_>,
    ) -> Option<Spot<T>> {
        let text = self.text(key, desk)?;
        choose(text, words, desk)
    }

    /// A list of texts.
    pub(super) fn list(&self, key: &'static str, desk: &mut Desk<'_>) -> Vec<Spot<&'d str>> {
        let Some(found) = self.value(key) else {
            return Vec::new();
        };
        let Some(array) = found.value.as_array() else {
            wrong_type(found, "a list of texts: [\"...\", \"...\"]", desk);
            return Vec::new();
        };
        let mut texts = Vec::with_capacity(array.len());
        for item in array.iter() {
            let place = Place {
                offset: offset(item.span().start),
                ..found.place
            };
            let value = item.get_ref();
            match value.as_str() {
                Some(value) => texts.push(Spot { value, place }),
                None => wrong_type(Spot { value, place }, "a text in quotes", desk),
            }
        }
        texts
    }

    /// A table.
    pub(super) fn section(
        &self,
        key: &'static str,
        shape: &'static Shape,
        desk: &mut Desk<'_>,
    ) -> Option<Self> {
        let found = self.value(key)?;
        let Some(table) = found.value.as_table() else {
            wrong_type(found, "a table", desk);
            return None;
        };
        Some(Self::new(table, inside(found.place, shape), shape, desk))
    }

    /// A list of tables.
    pub(super) fn sections(
        &self,
        key: &'static str,
        shape: &'static Shape,
        desk: &mut Desk<'_>,
    ) -> Vec<Self> {
        let Some(found) = self.value(key) else {
            return Vec::new();
        };
        let Some(array) = found.value.as_array() else {
            wrong_type(
                found,
                &format!("a list of tables, each under [[{key}]]"),
                desk,
            );
            return Vec::new();
        };
        let mut sections = Vec::with_capacity(array.len());
        for item in array.iter() {
            let place = Place {
                offset: offset(item.span().start),
                ..found.place
            };
            let value = item.get_ref();
            match value.as_table() {
                Some(table) => sections.push(Self::new(table, inside(place, shape), shape, desk)),
                None => wrong_type(Spot { value, place }, "a table", desk),
            }
        }
        sections
    }

    /// A table whose keys the operator chooses: each key with its value.
    pub(super) fn entries(
        &self,
        key: &'static str,
        desk: &mut Desk<'_>,
    ) -> Vec<(Spot<&'d str>, Spot<&'d DeValue<'d>>)> {
        let Some(found) = self.value(key) else {
            return Vec::new();
        };
        let Some(table) = found.value.as_table() else {
            wrong_type(found, "a table: { key = value, ... }", desk);
            return Vec::new();
        };
        let at = |start| Place {
            offset: offset(start),
            ..found.place
        };
        table
            .iter()
            .map(|(key, value)| {
                let name = Spot {
                    value: key.get_ref().as_ref(),
                    place: at(key.span().start),
                };
                let value = Spot {
                    value: value.get_ref(),
                    place: at(value.span().start),
                };
                (name, value)
            })
            .collect()
    }
}

/// Finds the word in `words`, in any case.
pub(super) fn choose<T: Copy>(
    text: Spot<&str>,
    words: &[(&'static str, T)],
    desk: &mut Desk<'_>,
) -> Option<Spot<T>> {
    let found = words
        .iter()
        .find(|(word, _)| word.eq_ignore_ascii_case(text.value));
    if found.is_none() {
        let known: Vec<_> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        desk.fault(
            text.place,
            format!("`{}` is not known", text.value),
            format!("one of {}", known.join(", ")),
        );
    }
    found.map(|(_, value)| Spot {
        value: *value,
        place: text.place,
    })
}

/// The whole number at `found`, if it is one and within `range`.
pub(super) fn integer(
    found: Spot<&DeValue<'_>>,
    range: RangeInclusive<i64>,
    desk: &mut Desk<'_>,
) -> Option<i64> {
    let Some(written) = found.value.as_integer() else {
        wrong_type(found, "a whole number", desk);
        return None;
    };
    let value = i64::from_str_radix(written.as_str(), written.radix()).ok();
    let value = value.filter(|value| range.contains(value));
    if value.is_none() {
        desk.fault(
            found.place,
            format!("{written} is out of range"),
            format!("from {} to {}", range.start(), range.end()),
        );
    }
    value
}

/// Notes that the value is of another type; the value itself, which may be a secret, is not shown.
pub(super) fn wrong_type(found: Spot<&DeValue<'_>>, right: &str, desk: &mut Desk<'_>) {
    let what = match found.value {
        DeValue::String(_) => "is a text",
        DeValue::Integer(_) | DeValue::Float(_) => "is a number",
        DeValue::Boolean(_) => "is true or false",
        DeValue::Datetime(_) => "is a date",
        DeValue::Array(_) => "is a list",
        DeValue::Table(_) => "is a table",
    };
    desk.fault(found.place, what, format!("write {right}"));
}

/// The place of a table inside the value at `place`.
fn inside(place: Place, shape: &'static Shape) -> Place {
    Place {
        section: shape.name,
        key: "",
        ..place
    }
}

fn start(file: FileId) -> Place {
    Place {
        file,
        offset: 0,
        section: "",
        key: "",
    }
}

fn offset(start: usize) -> u32 {
    u32::try_from(start).unwrap_or(u32::MAX)
}

const TIME_FORMS: &str = "a time such as \"250ms\", \"5s\", \"2m\", \"1h\" or \"30d\"";
