//! A ping's answer: the root object of its JSON becomes tags of the call.
//!
//! ```text
//! {"first_name": "Jason", "age": 23, "interest": ["loan", "car"], "bids": [{"seconds": 60}]}
//!     first_name:Jason  age:23  interest:loan  interest:car        output_map: bids[0].seconds -> bids:60
//! ```
//!
//! Values are added, none is replaced, but for where the caller is. A number is the text that it was written as; what is
//! null or empty is no tag; an object inside is none either, unless the output map names what is wanted of it.

mod path;

use std::borrow::Cow;
use std::fmt;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

pub use self::path::{JsonPath, PathFault};
use crate::hooks::json::{Root, Scalar, items, scalar};
use crate::types::tag::{self, Origin, TagFault, Tags};

/// How the answers of one webhook become tags.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Output {
    /// What each key of the root object is called as a tag: this, and then the key itself.
    pub prefix: Box<str>,
    /// What is wanted of objects inside, and the key of the tag that it becomes; without the prefix.
    pub map: Vec<(JsonPath, Box<str>)>,
}

/// Something in an answer that did not become a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// It is no JSON at all.
    NotJson,
    /// It is JSON, but no object.
    NotAnObject,
    /// It is longer than [`MOST_BODY`].
    TooLong,
    /// It has more values than [`MOST_VALUES`]; those beyond do not count.
    TooMany,
    /// The value of this key is an object, or a list within a list.
    Nested(Box<str>),
    /// This key cannot be a tag, or its value cannot.
    Refused(Box<str>, TagFault),
}

impl Warning {
    /// As a label of a bounded set.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotJson => "not json",
            Self::NotAnObject => "not an object",
            Self::TooLong => "too long",
            Self::TooMany => "too many",
            Self::Nested(_) => "nested",
            Self::Refused(_, fault) => fault.label(),
        }
    }
}

/// The label, and the key behind a colon; on one line whatever the key is.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())?;
        match self {
            Self::Nested(key) | Self::Refused(key, _) => write!(f, ":{}", key.escape_debug()),
            Self::NotJson | Self::NotAnObject | Self::TooLong | Self::TooMany => Ok(()),
        }
    }
}

/// Adds what the answer `body` says to `tags`; returns what did not become a tag, each once, some [`MOST_VALUES`] at most.
/// An empty answer says nothing.
pub fn apply(body: &[u8], output: &Output, tags: &mut Tags) -> Vec<Warning> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    if body.len() > MOST_BODY {
        return vec![Warning::TooLong];
    }
    if body.trim_ascii().is_empty() {
        return Vec::new();
    }
    let Ok(Root(members)) = serde_json::from_slice(body) else {
        let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
        let warning = if is_json {
            Warning::NotAnObject
        } else {
            Warning::NotJson
        };
        return vec![warning];
    };
    let mut intake = Intake {
        tags,
        left: MOST_VALUES,
        warnings: Vec::new(),
    };
    let mut mapped = Vec::new();
    for (path, key) in &output.map {
        if let Some(value) = path.find(&members) {
            intake.take(key, value);
            mapped.push(path.first());
        }
    }
    for (key, value) in &members {
        // Of an object that the map knows its way in, nothing else is wanted.
        if mapped.contains(&&**key) && value.get().starts_with(['{', '[']) {
            continue;
        }
        intake.take(&format!("{}{key}", output.prefix), value);
    }
    intake.warnings
}

struct Intake<'t> {
    tags: &'t mut Tags,
    left: usize,
    warnings: Vec<Warning>,
}

impl Intake<'_> {
    /// Takes what `value` says under `key`.
    fn take(&mut self, key: &str, value: &RawValue) {
        let mut values: Vec<Cow<'_, str>> = Vec::new();
        for item in items(value) {
            match scalar(item) {
                Scalar::Value(_) if self.left == 0 => self.warn(Warning::TooMany),
                Scalar::Value(text) => {
                    self.left -= 1;
                    values.push(text);
                }
                Scalar::Nothing => {}
                Scalar::Nested => self.warn(Warning::Nested(shown(key))),
            }
        }
        // The values of `geo` are one place, each part of it to be kept with the others.
        let is_place = [tag::GEO, tag::CALLER_ZIP].contains(&key);
        let texts: Vec<&str> = values.iter().map(|text| &**text).collect();
        let step = if is_place { texts.len().max(1) } else { 1 };
        for texts in texts.chunks(step) {
            if let Err(fault) = self.tags.add_all(key, texts, Origin::Hook) {
                self.warn(Warning::Refused(shown(key), fault));
            }
        }
    }

    fn warn(&mut self, warning: Warning) {
        if self.warnings.len() < MOST_VALUES && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// As much of a key as is worth telling.
fn shown(key: &str) -> Box<str> {
    let end = key.floor_char_boundary(tag::MOST_KEY);
    key.get(..end).unwrap_or_default().into()
}

/// Bytes of an answer that are read.
pub const MOST_BODY: usize = 64 * 1024;
/// Values of one answer that become tags, and warnings about one.
pub const MOST_VALUES: usize = 100;

#[cfg(test)]
mod tests;
