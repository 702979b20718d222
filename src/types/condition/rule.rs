//! One condition: a key, and what its values are compared with.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex::{Regex, RegexBuilder};
use smallvec::SmallVec;

use crate::types::condition::operand::Operand;
use crate::types::tag::Lookup;

/// One test of one key. Equal ones hold of the same calls.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    pub(super) key: Box<str>,
    pub(super) test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Test {
    /// One of the values is among these, or matches one of the patterns.
    OneOf {
        texts: Texts,
        patterns: Vec<Pattern>,
    },
    /// None of the values is among these.
    NoneOf(Texts),
    /// One of the values is of this size.
    Size {
        op: Size,
        want: Operand,
        text: Box<str>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Size {
    Above,
    AtLeast,
    Below,
    AtMost,
}

/// Texts in lower case, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Texts(Vec<Box<str>>);

/// A regular expression that takes linear time, in any case.
#[derive(Debug, Clone)]
pub(super) struct Pattern(Regex);

impl Rule {
    /// The key that it looks at.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether it holds of what `facts` knows.
    pub fn holds(&self, facts: &dyn Lookup) -> bool {
        let mut is_found = false;
        facts.look_up(&self.key, &mut |value| {
            is_found = is_found || self.test.finds(value);
        });
        match self.test {
            Test::OneOf { .. } | Test::Size { .. } => is_found,
            Test::NoneOf(_) => !is_found,
        }
    }

    /// The values of its key that `facts` knows, joined by commas and cut at 128 bytes.
    pub fn have(&self, facts: &dyn Lookup) -> Arc<str> {
        let mut have = SmallVec::<[u8; MOST_HAVE]>::new();
        facts.look_up(&self.key, &mut |value| {
            if !have.is_empty() && have.len() < MOST_HAVE {
                have.push(b',');
            }
            let end = value.floor_char_boundary(MOST_HAVE.saturating_sub(have.len()));
            have.extend_from_slice(value.as_bytes().get(..end).unwrap_or_default());
        });
        String::from_utf8_lossy(&have).into()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

impl Pattern {
    /// Patterns are bounded when they are read, and take time in proportion to what they are tried on.
    pub(super) fn parse(text: &str) -> Result<Self, regex::Error> {
        let pattern = RegexBuilder::new(text)
            .case_insensitive(true)
            .size_limit(MOST_PATTERN)
            .dfa_size_limit(MOST_PATTERN)
            .nest_limit(16)
            .build();
        pattern.map(Self)
    }
}

impl Test {
    /// Whether `value` is what is looked for, wanted or not.
    pub(super) fn finds(&self, value: &str) -> bool {
        match self {
            Self::OneOf { texts, patterns } => {
                texts.contains(value) || patterns.iter().any(|pattern| pattern.0.is_match(value))
            }
            Self::NoneOf(texts) => texts.contains(value),
            Self::Size { op, want, .. } => want.compare(value).is_some_and(|order| op.fits(order)),
        }
    }
}

impl Test {
    /// Why what meets one of the two does not meet the other; `None`: some value may.
    pub(super) fn conflicts(&self, other: &Self) -> Option<&'static str> {
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
                let patterns = patterns.iter().map(|pattern| ("=~", pattern.0.as_str()));
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
    pub(super) fn insert(&mut self, text: Box<str>) {
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

/// Bytes of a compiled pattern.
const MOST_PATTERN: usize = 64 * 1024;
/// Bytes of what a mismatch shows of the values.
const MOST_HAVE: usize = 128;
