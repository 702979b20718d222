//! The way to a value inside JSON: `bidTerms[0].callMinDuration`.

use std::fmt;
use std::str::FromStr;

use serde_json::value::RawValue;
use thiserror::Error;

use crate::hooks::json::{List, Members, Root};

/// A way from the root object inwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonPath {
    first: Box<str>,
    rest: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(Box<str>),
    Item(usize),
}

/// Why a text is no such way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathFault {
    /// It is not made of keys with dots between them and places in brackets.
    #[error("is no path: keys with dots between them, and places in lists in brackets, from 0")]
    Syntax,
    /// It has too many steps.
    #[error("has more than 8 steps")]
    TooLong,
}

/// Steps from the root to a value.
const MOST_STEPS: usize = 8;

impl JsonPath {
    /// The key of the root object with which it begins.
    pub(super) fn first(&self) -> &str {
        &self.first
    }

    /// The value at its end.
    pub(super) fn find<'b>(&self, members: &Members<'b>) -> Option<&'b RawValue> {
        let mut value = member(members, &self.first)?;
        for step in &self.rest {
            value = match step {
                Step::Key(key) => {
                    let Root(members) = serde_json::from_str(value.get()).ok()?;
                    member(&members, key)?
                }
                Step::Item(place) => {
                    let List(items) = serde_json::from_str(value.get()).ok()?;
                    items.get(*place).copied()?
                }
            };
        }
        Some(value)
    }
}

fn member<'b>(members: &Members<'b>, key: &str) -> Option<&'b RawValue> {
    let found = members.iter().find(|(name, _)| name == key);
    found.map(|(_, value)| *value)
}

impl FromStr for JsonPath {
    type Err = PathFault;

    fn from_str(text: &str) -> Result<Self, PathFault> {
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (key, mut places) = part.split_at(part.find('[').unwrap_or(part.len()));
            if key.is_empty() || key.contains(']') {
                return Err(PathFault::Syntax);
            }
            steps.push(Step::Key(key.into()));
            while !places.is_empty() {
                let inner = places
                    .strip_prefix('[')
                    .and_then(|rest| rest.split_once(']'));
                let (place, after) = inner.ok_or(PathFault::Syntax)?;
                if !place.bytes().all(|b| b.is_ascii_digit()) {
                    return Err(PathFault::Syntax);
                }
                steps.push(Step::Item(place.parse().map_err(|_| PathFault::Syntax)?));
                places = after;
            }
        }
        if steps.len() > MOST_STEPS {
            return Err(PathFault::TooLong);
        }
        let rest = steps.split_off(1);
        match steps.pop() {
            Some(Step::Key(first)) => Ok(Self { first, rest }),
            Some(Step::Item(_)) | None => Err(PathFault::Syntax),
        }
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first)?;
        self.rest.iter().try_for_each(|step| match step {
            Step::Key(key) => write!(f, ".{key}"),
            Step::Item(place) => write!(f, "[{place}]"),
        })
    }
}
