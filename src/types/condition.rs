//! Conditions on what is known of a call: `age:>65`, `geo:us-nc`, `product:!=mortgage`.
//!
//! ```text
//! key:value  key:==value    is one of the key's values, in any case
//! key:=~pattern             one of them matches the pattern (a regular expression that takes linear time), anywhere in it
//! key:!=value               is none of them
//! key:>10 >= < <=           one of them is a number, or a date (2024-11-04), of this size
//! ```
//!
//! Of one key, it is enough that one of its `==` and `=~` holds; of all else, everything must. A key without any value
//! satisfies `!=` only.

mod operand;
mod rule;

use std::sync::Arc;

use thiserror::Error;

use self::operand::Operand;
use self::rule::{Pattern, Size, Test, Texts};
use crate::types::geo;
use crate::types::tag::{GEO, Lookup, MOST_KEY, MOST_VALUE};

pub use self::rule::Rule;

/// What must hold of a call.
#[derive(Debug, Clone, Default)]
pub struct Conditions(Vec<Arc<Rule>>);

/// Which condition does not hold, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Which of [`Conditions::rules`]; [`Conditions::want`] shows it.
    pub rule: u16,
    /// The values that the key had, joined by commas and cut at 128 bytes; empty if it had none.
    pub have: Arc<str>,
}

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConditionFault {
    /// There is no key, or it has other characters than keys have.
    #[error(
        "`{0}` is no condition: write it as key:value, with a key of letters, digits, `_`, `.` or `-`"
    )]
    Key(Box<str>),
    /// There is nothing to compare with, or too much.
    #[error("`{0}` has nothing to compare with, or more than 256 bytes")]
    Value(Box<str>),
    /// What is compared by size is neither number nor date.
    #[error("`{0}` is neither a number nor a date such as 2024-11-04")]
    Size(Box<str>),
    /// The pattern cannot be read, or is too large.
    #[error("`{0}` is no pattern: {1}")]
    Pattern(Box<str>, Box<str>),
    /// There are too many.
    #[error("more than 1000 keys and operators")]
    TooMany,
}

impl Conditions {
    /// Reads conditions, all of which must hold.
    pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Self, ConditionFault> {
        let mut conditions = Self::default();
        for text in texts {
            conditions.add(text)?;
        }
        conditions.0.shrink_to_fit();
        Ok(conditions)
    }

    /// Adds one more; on `Err` nothing is added.
    pub fn add(&mut self, text: &str) -> Result<(), ConditionFault> {
        let (key, rest) = text
            .split_once(':')
            .filter(|(key, _)| is_key(key.trim()))
            .ok_or_else(|| ConditionFault::Key(text.into()))?;
        let key = key.trim().to_ascii_lowercase();
        let (op, value) = OPERATORS
            .iter()
            .find_map(|(sign, op)| Some((*op, rest.trim_start().strip_prefix(sign)?)))
            .unwrap_or((Op::Is, rest));
        let value = value.trim();
        if value.is_empty() || value.len() > MOST_VALUE {
            return Err(ConditionFault::Value(text.into()));
        }
        match op {
            Op::Is => self.one_of(&key)?.0.insert(comparable(&key, value)),
            Op::Matches => {
                let pattern = pattern(value)?;
                self.one_of(&key)?.1.push(pattern);
            }
            Op::IsNot => self.none_of(&key)?.insert(comparable(&key, value)),
            Op::Size(op) => {
                let want = Operand::parse(value);
                let want = want.ok_or_else(|| ConditionFault::Size(value.into()))?;
                let text = value.into();
                self.push(&key, Test::Size { op, want, text })?;
            }
        }
        Ok(())
    }

    /// Whether all of them hold of what `facts` knows; `Err`: the first that does not.
    pub fn matches(&self, facts: &dyn Lookup) -> Result<(), Mismatch> {
        for (rule, place) in self.0.iter().zip(0..) {
            if !rule.holds(facts) {
                return Err(Mismatch {
                    rule: place,
                    have: rule.have(facts),
                });
            }
        }
        Ok(())
    }

    /// What [`Mismatch`] wanted: the key, and the comparison (`==other`, `one of ==a ==b`, `<=65`).
    #[must_use]
    pub fn want(&self, mismatch: &Mismatch) -> (&str, String) {
        let rule = self.0.get(usize::from(mismatch.rule));
        rule.map_or(("", String::new()), |rule| {
            (&*rule.key, rule.test.to_string())
        })
    }

    /// Two of them that no one value of a key meets both, in words; `None`: there are none.
    #[must_use]
    pub fn conflict(&self) -> Option<String> {
        let mut pairs = (1..).zip(&self.0).flat_map(|(next, one)| {
            let others = self.0.get(next..).unwrap_or_default();
            others.iter().map(move |other| (one, other))
        });
        pairs.find_map(|(one, other)| {
            let how = (one.key == other.key).then(|| one.test.conflicts(&other.test))??;
            let Rule { key, test } = &**one;
            Some(format!(
                "asks of `{key}` that it is {test} and {}: {how}",
                other.test
            ))
        })
    }

    /// Each of them, in order: all must hold.
    #[must_use]
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.0
    }

    /// The keys that they look at, each once or more often.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|rule| &*rule.key)
    }

    /// Whether there is none, so that anything matches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn one_of(&mut self, key: &str) -> Result<(&mut Texts, &mut Vec<Pattern>), ConditionFault> {
        let known = |rule: &Arc<Rule>| *rule.key == *key && matches!(rule.test, Test::OneOf { .. });
        let test = match self.0.iter().position(known) {
            Some(place) => self.0.get_mut(place),
            None => {
                let texts = Texts::default();
                let patterns = Vec::new();
                self.push(key, Test::OneOf { texts, patterns })?;
                self.0.last_mut()
            }
        };
        match test.map(|rule| &mut Arc::make_mut(rule).test) {
            Some(Test::OneOf { texts, patterns }) => Ok((texts, patterns)),
            Some(Test::NoneOf(_) | Test::Size { .. }) | None => Err(ConditionFault::TooMany),
        }
    }

    fn none_of(&mut self, key: &str) -> Result<&mut Texts, ConditionFault> {
        let known = |rule: &Arc<Rule>| *rule.key == *key && matches!(rule.test, Test::NoneOf(_));
        let test = match self.0.iter().position(known) {
            Some(place) => self.0.get_mut(place),
            None => {
                self.push(key, Test::NoneOf(Texts::default()))?;
                self.0.last_mut()
            }
        };
        match test.map(|rule| &mut Arc::make_mut(rule).test) {
            Some(Test::NoneOf(texts)) => Ok(texts),
            Some(Test::OneOf { .. } | Test::Size { .. }) | None => Err(ConditionFault::TooMany),
        }
    }

    fn push(&mut self, key: &str, test: Test) -> Result<(), ConditionFault> {
        if self.0.len() >= MOST_RULES {
            return Err(ConditionFault::TooMany);
        }
        let key = key.into();
        self.0.push(Arc::new(Rule { key, test }));
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Op {
    Is,
    IsNot,
    Matches,
    Size(Size),
}

/// The longer ones first.
const OPERATORS: [(&str, Op); 7] = [
    ("==", Op::Is),
    ("!=", Op::IsNot),
    ("=~", Op::Matches),
    (">=", Op::Size(Size::AtLeast)),
    ("<=", Op::Size(Size::AtMost)),
    (">", Op::Size(Size::Above)),
    ("<", Op::Size(Size::Below)),
];

fn is_key(key: &str) -> bool {
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    (1..=MOST_KEY).contains(&key.len()) && key.bytes().all(is_key)
}

/// The text as values are compared with it; a place in the form that calls have it.
fn comparable(key: &str, value: &str) -> Box<str> {
    if key == GEO
        && let Some(place) = geo::expand(value)
            .into_iter()
            .find(|place| geo::postal_code(place).is_some())
    {
        return place;
    }
    value.to_lowercase().into()
}

fn pattern(text: &str) -> Result<Pattern, ConditionFault> {
    Pattern::parse(text).map_err(|error| {
        let error = error.to_string();
        let cause = error.lines().last().unwrap_or_default();
        let cause = cause.trim_start_matches("error: ");
        ConditionFault::Pattern(text.into(), cause.into())
    })
}

/// Keys and operators of one set of conditions.
const MOST_RULES: usize = 1000;

#[cfg(test)]
mod tests;
