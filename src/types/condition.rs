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

use std::cmp::Ordering;
use std::fmt;

use regex::{Regex, RegexBuilder};
use smallvec::SmallVec;
use thiserror::Error;

use self::operand::Operand;
use crate::types::geo;
use crate::types::tag::{GEO, Lookup, MOST_KEY, MOST_VALUE};

/// What must hold of a call.
#[derive(Debug, Clone, Default)]
pub struct Conditions(Vec<Rule>);

/// One test of one key.
#[derive(Debug, Clone)]
struct Rule {
    key: Box<str>,
    test: Test,
}

#[derive(Debug, Clone)]
enum Test {
    /// One of the values is among these, or matches one of the patterns.
    OneOf { texts: Texts, patterns: Vec<Regex> },
    /// None of the values is among these.
    NoneOf(Texts),
    /// One of the values is of this size.
    Size {
        op: Size,
        want: Operand,
        text: Box<str>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Size {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// Texts in lower case, in order.
#[derive(Debug, Clone, Default)]
struct Texts(Vec<Box<str>>);

/// Which condition does not hold, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Which; [`Conditions::want`] shows it.
    rule: u16,
    /// The values that the key had, joined by commas and cut at 128 bytes; empty if it had none.
    pub have: Box<str>,
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
                    have: have(&rule.key, facts),
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
            let Rule { key, test } = one;
            Some(format!(
                "asks of `{key}` that it is {test} and {}: {how}",
                other.test
            ))
        })
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

    fn one_of(&mut self, key: &str) -> Result<(&mut Texts, &mut Vec<Regex>), ConditionFault> {
        let known = |rule: &Rule| *rule.key == *key && matches!(rule.test, Test::OneOf { .. });
        let test = match self.0.iter().position(known) {
            Some(place) => self.0.get_mut(place),
            None => {
                let texts = Texts::default();
                let patterns = Vec::new();
                self.push(key, Test::OneOf { texts, patterns })?;
                self.0.last_mut()
            }
        };
        match test.map(|rule| &mut rule.test) {
            Some(Test::OneOf { texts, patterns }) => Ok((texts, patterns)),
            Some(Test::NoneOf(_) | Test::Size { .. }) | None => Err(ConditionFault::TooMany),
        }
    }

    fn none_of(&mut self, key: &str) -> Result<&mut Texts, ConditionFault> {
        let known = |rule: &Rule| *rule.key == *key && matches!(rule.test, Test::NoneOf(_));
        let test = match self.0.iter().position(known) {
            Some(place) => self.0.get_mut(place),
            None => {
                self.push(key, Test::NoneOf(Texts::default()))?;
                self.0.last_mut()
            }
        };
        match test.map(|rule| &mut rule.test) {
            Some(Test::NoneOf(texts)) => Ok(texts),
            Some(Test::OneOf { .. } | Test::Size { .. }) | None => Err(ConditionFault::TooMany),
        }
    }

    fn push(&mut self, key: &str, test: Test) -> Result<(), ConditionFault> {
        if self.0.len() >= MOST_RULES {
            return Err(ConditionFault::TooMany);
        }
        let key = key.into();
        self.0.push(Rule { key, test });
        Ok(())
    }
}

impl Rule {
    fn holds(&self, facts: &dyn Lookup) -> bool {
        let mut is_found = false;
        facts.look_up(&self.key, &mut |value| {
            is_found = is_found || self.test.finds(value);
        });
        match self.test {
            Test::OneOf { .. } | Test::Size { .. } => is_found,
            Test::NoneOf(_) => !is_found,
        }
    }
}

impl Test {
    /// Whether `value` is what is looked for, wanted or not.
    fn finds(&self, value: &str) -> bool {
        match self {
            Self::OneOf { texts, patterns } => {
                texts.contains(value) || patterns.iter().any(|pattern| pattern.is_match(value))
            }
            Self::NoneOf(texts) => texts.contains(value),
            Self::Size { op, want, .. } => want.compare(value).is_some_and(|order| op.fits(order)),
        }
    }
}

impl Test {
    /// Why what meets one of the two does not meet the other; `None`: some value may.
    fn conflicts(&self, other: &Self) -> Option<&'static str> {
        const NEVER: &str = "no call is that";
        const SEVERAL: &str = "only a call with several values is that";
        match (self, other) {
            (Self::OneOf { texts, patterns }, Self::NoneOf(not))
            | (Self::NoneOf(not), Self::OneOf { texts, patterns }) => {
                let is_ruled_out = texts.iter().all(|text| not.contains(text));
                (patterns.is_empty() && is_ruled_out).then_some(NEVER)
            }
            (Self::OneOf { texts, patterns }, size @ Self::Size { .. })
            | (size @ Self::Size { .. }, Self::OneOf { texts, patterns }) => {
                let is_ruled_out = !texts.iter().any(|text| size.finds(text));
                (patterns.is_empty() && is_ruled_out).then_some(SEVERAL)
            }
            (Self::Size { op, text, .. }, Self::Size { op: to, want, .. }) => {
                // One asks for more, the other for less, and the bounds do not overlap.
                let order = want.compare(text)?;
                let is_apart = match (op, to) {
                    (Size::Above | Size::AtLeast, Size::Below | Size::AtMost) => {
                        let is_exact = (*op, *to) == (Size::AtLeast, Size::AtMost);
                        order.is_gt() || (order.is_eq() && !is_exact)
                    }
                    (Size::Below | Size::AtMost, Size::Above | Size::AtLeast) => {
                        let is_exact = (*op, *to) == (Size::AtMost, Size::AtLeast);
                        order.is_lt() || (order.is_eq() && !is_exact)
                    }
                    (Size::Above | Size::AtLeast, Size::Above | Size::AtLeast)
                    | (Size::Below | Size::AtMost, Size::Below | Size::AtMost) => false,
                };
                is_apart.then_some(SEVERAL)
            }
            (Self::OneOf { .. }, Self::OneOf { .. })
            | (Self::NoneOf(_), Self::NoneOf(_) | Self::Size { .. })
            | (Self::Size { .. }, Self::NoneOf(_)) => None,
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneOf { texts, patterns } => {
                let patterns = patterns.iter().map(|pattern| ("=~", pattern.as_str()));
                show(
                    texts.iter().map(|text| ("==", text)).chain(patterns),
                    "one of ",
                    f,
                )
            }
            Self::NoneOf(texts) => show(texts.iter().map(|text| ("!=", text)), "", f),
            Self::Size { op, text, .. } => write!(f, "{}{text}", op.sign()),
        }
    }
}

/// Shows the first few of what may be thousands.
fn show<'t>(
    mut terms: impl Iterator<Item = (&'static str, &'t str)>,
    several: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let first: SmallVec<[_; 8]> = terms.by_ref().take(8).collect();
    if first.len() > 1 {
        f.write_str(several)?;
    }
    for (place, (sign, text)) in first.iter().enumerate() {
        let space = if place == 0 { "" } else { " " };
        write!(f, "{space}{sign}{text}")?;
    }
    match terms.count() {
        0 => Ok(()),
        more => write!(f, " and {more} more"),
    }
}

impl Size {
    fn fits(self, order: Ordering) -> bool {
        match self {
            Self::Above => order.is_gt(),
            Self::AtLeast => order.is_ge(),
            Self::Below => order.is_lt(),
            Self::AtMost => order.is_le(),
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Above => ">",
            Self::AtLeast => ">=",
            Self::Below => "<",
            Self::AtMost => "<=",
        }
    }
}

impl Texts {
    fn insert(&mut self, text: Box<str>) {
        if let Err(place) = self.0.binary_search(&text) {
            self.0.insert(place, text);
        }
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|text| &**text)
    }

    /// Whether `value` is among them, in any case.
    fn contains(&self, value: &str) -> bool {
        if !value.is_ascii() {
            let lower = value.to_lowercase();
            return self.0.binary_search_by(|text| (**text).cmp(&lower)).is_ok();
        }
        let lower = |byte: u8| byte.to_ascii_lowercase();
        let compare = |text: &str| text.bytes().cmp(value.bytes().map(lower));
        self.0.binary_search_by(|text| compare(text)).is_ok()
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

/// Patterns are bounded when they are read, and take time in proportion to what they are tried on.
fn pattern(text: &str) -> Result<Regex, ConditionFault> {
    let pattern = RegexBuilder::new(text)
        .case_insensitive(true)
        .size_limit(MOST_PATTERN)
        .dfa_size_limit(MOST_PATTERN)
        .nest_limit(16)
        .build();
    pattern.map_err(|error| {
        let error = error.to_string();
        let cause = error.lines().last().unwrap_or_default();
        let cause = cause.trim_start_matches("error: ");
        ConditionFault::Pattern(text.into(), cause.into())
    })
}

/// Values joined by commas, up to a bound.
fn have(key: &str, facts: &dyn Lookup) -> Box<str> {
    let mut have = SmallVec::<[u8; MOST_HAVE]>::new();
    facts.look_up(key, &mut |value| {
        if !have.is_empty() && have.len() < MOST_HAVE {
            have.push(b',');
        }
        let end = value.floor_char_boundary(MOST_HAVE.saturating_sub(have.len()));
        have.extend_from_slice(value.as_bytes().get(..end).unwrap_or_default());
    });
    String::from_utf8_lossy(&have).into()
}

/// Bytes of a compiled pattern.
const MOST_PATTERN: usize = 64 * 1024;
/// Keys and operators of one set of conditions.
const MOST_RULES: usize = 1000;
/// Bytes of what a mismatch shows of the values.
const MOST_HAVE: usize = 128;

#[cfg(test)]
mod tests;
