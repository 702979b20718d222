//! What others say of a call, or of a caller, when they have something to say: postbacks and data writing.
//!
//! ```text
//! GET|POST /calls/{uuid}/postback?key=...&converted=true&revenue=12.5&age=66      the key of that call
//! GET|POST /data_writing?key=...&caller_number=+1614...&age=66                    the key of the operator's choice
//! ```
//!
//! The parameters come in the query, in a form, or as a JSON object. A few names have a meaning, all others are tags. Who has no
//! right key learns nothing: a wrong key and a call that does not exist get the same answer, after the same time.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;
use url::form_urlencoded;

use crate::hooks::conversion::Posted;
use crate::hooks::json::{Root, Scalar, items, scalar};
use crate::hooks::keys::{Grants, Pass};
use crate::types::ids::CallUuid;
use crate::types::money::Money;
use crate::types::number::{Number, NumberPlan};
use crate::types::secret::Secret;
use crate::types::tag::{Origin, TagFault, Tags};

/// What one request says.
#[derive(Default)]
pub struct Posting {
    /// The key that it shows; `None`: none.
    pub key: Option<Secret>,
    /// The call that it is about, as it is written; `None`: the path says it, or a number.
    pub call: Option<Box<str>>,
    /// The caller that it is about.
    pub caller: Option<Number>,
    /// What it says of the conversion.
    pub posted: Posted,
    /// What it says besides, in order: the key of a tag and its values.
    pub tags: Vec<(Box<str>, Vec<Box<str>>)>,
}

impl fmt::Debug for Posting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Posting")
            .field("posted", &self.posted)
            .finish_non_exhaustive()
    }
}

/// What somebody who may says, and of what.
#[derive(Debug)]
pub struct Post {
    /// Of what.
    pub about: About,
    /// What the key is good for.
    pub pass: Pass,
    /// What is said.
    pub posting: Posting,
}

/// What something is said of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// One call.
    Call(CallUuid),
    /// Whoever calls from this number: the calls that are under way, or else the next one.
    Caller(Number),
}

/// Postbacks of one call that are taken at most, so that nobody has it grow without end.
pub const MOST_POSTS: u32 = 100;

/// Why a request is not taken. Nothing of it counts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PostingFault {
    /// No key is shown (401).
    #[error("no key")]
    NoKey,
    /// The key opens nothing, or there is no such call (404): which of the two is nobody's business.
    #[error("not found")]
    NotFound,
    /// The body is no JSON object, or has a list in a list or an object in it (400).
    #[error("the body is no JSON object of texts, numbers, truths and lists of these")]
    NotAnObject,
    /// There is too much of it (413).
    #[error("more than 64 KiB, or more than 100 values")]
    TooLarge,
    /// A parameter that has a meaning cannot be read (422).
    #[error("`{0}` cannot be read: {1}")]
    Unreadable(&'static str, &'static str),
}

impl PostingFault {
    /// The status of the answer (RFC 9110 §15).
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NoKey => 401,
            Self::NotFound => 404,
            Self::NotAnObject => 400,
            Self::TooLarge => 413,
            Self::Unreadable(..) => 422,
        }
    }

    /// As a label of a bounded set.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NoKey => "no_key",
            Self::NotFound => "not_found",
            Self::NotAnObject => "not_an_object",
            Self::TooLarge => "too_large",
            Self::Unreadable(..) => "unreadable",
        }
    }
}

impl Posting {
    /// One that says nothing but these tags: each with one value, values of one key together.
    #[must_use]
    pub fn of_tags(tags: &[(Box<str>, Box<str>)]) -> Self {
        let mut posting = Self::default();
        for (key, value) in tags {
            let mut known = posting.tags.iter_mut();
            match known.find(|(one, _)| one == key) {
                Some((_, values)) => values.push(value.clone()),
                None => posting.tags.push((key.clone(), vec![value.clone()])),
            }
        }
        posting
    }

    /// Its tags, one value each.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let tags = self.tags.iter();
        tags.flat_map(|(key, values)| values.iter().map(move |value| (&**key, &**value)))
    }

    /// Takes what stands in a query or a form (application/x-www-form-urlencoded).
    pub fn read_form(&mut self, text: &[u8]) -> Result<(), PostingFault> {
        check_size(text)?;
        for (name, value) in form_urlencoded::parse(text) {
            self.take(&name, &value)?;
        }
        Ok(())
    }

    /// Takes what stands in a JSON object; an empty body says nothing.
    pub fn read_json(&mut self, body: &[u8]) -> Result<(), PostingFault> {
        check_size(body)?;
        if body.trim_ascii().is_empty() {
            return Ok(());
        }
        let Ok(Root(members)) = serde_json::from_slice(body) else {
            return Err(PostingFault::NotAnObject);
        };
        for (name, value) in members {
            for item in items(value) {
                match scalar(item) {
                    Scalar::Value(text) => self.take(&name, &text)?,
                    Scalar::Nothing => {}
                    Scalar::Nested => return Err(PostingFault::NotAnObject),
                }
            }
        }
        Ok(())
    }

    /// Takes one parameter. Of a name that has a meaning the last value counts.
    fn take(&mut self, name: &str, value: &str) -> Result<(), PostingFault> {
        if value.is_empty() {
            return Ok(());
        }
        match name {
            "key" => self.key = Some(Secret::new(value.as_bytes())),
            "call_uuid" => self.call = Some(value.to_ascii_lowercase().into()),
            "caller_number" => self.caller = Some(number(value)?),
            "converted" => self.posted.converted = Some(truth(value)?),
            "payout" => self.posted.payout = Some(amount("payout", value)?),
            "revenue" => self.posted.revenue = Some(amount("revenue", value)?),
            _ => self.add(name, value)?,
        }
        Ok(())
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), PostingFault> {
        let count: usize = self.tags.iter().map(|(_, values)| values.len()).sum();
        if count >= MOST_VALUES {
            return Err(PostingFault::TooLarge);
        }
        match self.tags.iter_mut().find(|(key, _)| **key == *name) {
            Some((_, values)) => values.push(value.into()),
            None => self.tags.push((name.into(), vec![value.into()])),
        }
        Ok(())
    }

    /// Checks the key that is shown against the one that opens what the posting is about; `None`: there is no such thing.
    ///
    /// # Errors
    ///
    /// When there is no key, or it is not the right one.
    pub fn check_key(&self, right: Option<&Secret>) -> Result<(), PostingFault> {
        let key = self.key.as_ref().ok_or(PostingFault::NoKey)?;
        // What does not exist takes as long to be compared with as what does.
        let nothing = Secret::new(vec![0; key.expose().len()]);
        let is_right = right.unwrap_or(&nothing).is_equal(key.expose());
        if is_right && right.is_some() {
            Ok(())
        } else {
            Err(PostingFault::NotFound)
        }
    }

    /// Whether it says nothing that the key is not good for.
    #[must_use]
    pub fn is_within(&self, grants: Grants) -> bool {
        let is_silent = self.posted == Posted::default();
        (grants.conversion || is_silent) && (grants.tags || self.tags.is_empty())
    }

    /// Adds its tags to those of a call or a caller; returns the keys that were not taken, and why.
    pub fn apply(&self, origin: Origin, tags: &mut Tags) -> Vec<(Box<str>, TagFault)> {
        let mut refused = Vec::new();
        for (key, values) in &self.tags {
            let values: Vec<&str> = values.iter().map(|value| &**value).collect();
            if let Err(fault) = tags.add_all(key, &values, origin) {
                refused.push((key.clone(), fault));
            }
        }
        refused
    }

    /// The answer to who writes data: what was taken, about whom, and what has become of it. `tags` are those that were added.
    #[must_use]
    pub fn answer(&self, fate: Fate, tags: &Tags) -> Value {
        let mut by_key: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for tag in tags.iter() {
            by_key
                .entry(&tag.key)
                .or_default()
                .push(Value::from(&*tag.value));
        }
        let values = by_key.into_iter();
        let values: Map<String, Value> = values
            .map(|(key, values)| (key.to_owned(), Value::from(values)))
            .collect();
        let mut answer = Map::new();
        answer.insert("tag_values".to_owned(), Value::Object(values));
        if let Some(call) = &self.call {
            answer.insert("call_uuid".to_owned(), Value::from(&**call));
        } else if let Some(caller) = self.caller {
            answer.insert("caller_number".to_owned(), Value::from(caller.to_string()));
        }
        answer.insert("status".to_owned(), Value::from(fate.text()));
        Value::Object(answer)
    }
}

/// What becomes of data that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The call is under way: its next decision knows.
    Live,
    /// The call is over, and its record is changed.
    Completed,
    /// It is kept for the caller's next call.
    Stored,
}

impl Fate {
    /// As a label of a bounded set.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Completed => "completed",
            Self::Stored => "stored",
        }
    }

    /// As the answer says it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Live => "call in progress found, tags applied",
            Self::Completed => "completed call found, tags applied",
            Self::Stored => "call not found, tags stored",
        }
    }
}

fn check_size(text: &[u8]) -> Result<(), PostingFault> {
    if text.len() > MOST_BYTES {
        return Err(PostingFault::TooLarge);
    }
    Ok(())
}

fn number(text: &str) -> Result<Number, PostingFault> {
    let plan = NumberPlan {
        country: "1".into(),
        tech_prefix: None,
        assume_e164: true,
    };
    // In a query that nobody has encoded, `+` is a space.
    let number = plan.normalize(text.trim().as_bytes());
    number.map_err(|_| PostingFault::Unreadable("caller_number", "it is no telephone number"))
}

fn truth(text: &str) -> Result<bool, PostingFault> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err(PostingFault::Unreadable("converted", "write true or false")),
    }
}

fn amount(name: &'static str, text: &str) -> Result<Money, PostingFault> {
    let unreadable = PostingFault::Unreadable(name, "write an amount such as 12.50, not negative");
    let amount: Money = text.parse().map_err(|_| unreadable.clone())?;
    if amount.is_negative() {
        return Err(unreadable);
    }
    Ok(amount)
}

/// Bytes of a query or a body.
pub const MOST_BYTES: usize = 64 * 1024;
/// Values of one posting that are tags.
pub const MOST_VALUES: usize = 100;

#[cfg(test)]
mod tests;
