//! Sets of header names, and what a peer's configuration says about headers: made when it is loaded, so
//! that a message costs a bit test per header that we know.

use crate::sip::name::Name;

/// A set of the names that we know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NameSet(u128);

const _: () = assert!(Name::COUNT < 128, "a name has no bit of its own");

impl NameSet {
    /// The set of `names`; [`Name::Other`] is never in one.
    #[must_use]
    pub const fn of(names: &[Name]) -> Self {
        let mut bits = 0;
        let mut names = names;
        while let [name, rest @ ..] = names {
            bits |= Self::bit(*name);
            names = rest;
        }
        Self(bits)
    }

    /// Whether `name` is in it.
    #[must_use]
    #[inline]
    pub const fn has(self, name: Name) -> bool {
        self.0 & Self::bit(name) != 0
    }

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this one, and not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn bit(name: Name) -> u128 {
        if matches!(name, Name::Other) {
            return 0;
        }
        1 << (name as u8)
    }
}

/// Names of headers, some of which may stand for all that begin so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameList {
    known: NameSet,
    /// The others, in lower case.
    other: Vec<Box<str>>,
    /// Beginnings of names, in lower case.
    prefixes: Vec<Box<str>>,
}

impl NameList {
    /// Adds a name in any case or in its compact form; with `*` at the end, all names that begin so.
    pub fn insert(&mut self, name: &str) {
        let lower = name.to_ascii_lowercase();
        if let Some(prefix) = lower.strip_suffix('*') {
            let known = Name::all().filter(|name| starts_with(name.text().as_bytes(), prefix));
            for name in known {
                self.known = self.known.or(NameSet::of(&[name]));
            }
            self.prefixes.push(prefix.into());
            return;
        }
        let known = Name::from_text(name.as_bytes());
        if known == Name::Other {
            self.other.push(lower.into());
        } else {
            self.known = self.known.or(NameSet::of(&[known]));
        }
    }

    /// Those that we know.
    #[must_use]
    pub fn known(&self) -> NameSet {
        self.known
    }

    /// Whether all that are in it are known.
    #[must_use]
    pub fn has_no_others(&self) -> bool {
        self.other.is_empty() && self.prefixes.is_empty()
    }

    /// Whether a name that we do not know is in it, in any case.
    #[must_use]
    pub fn has_other(&self, name: &[u8]) -> bool {
        let mut others = self.other.iter().map(|one| one.as_bytes());
        others.any(|one| one.eq_ignore_ascii_case(name))
            || self.prefixes.iter().any(|one| starts_with(name, one))
    }
}

impl<'a> FromIterator<&'a str> for NameList {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        let mut list = Self::default();
        for name in names {
            list.insert(name);
        }
        list
    }
}

fn starts_with(name: &[u8], prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

/// What a peer's configuration says about headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderRules {
    /// What it sends and the other side of its calls gets, besides what is safe.
    pub pass_from: NameList,
    /// What it gets of the other side's, besides what is safe.
    pub pass_to: NameList,
    /// What passes in neither direction, safe or not.
    pub remove: NameList,
    /// Headers of its own on each INVITE to it, name and value, both checked.
    pub set: Vec<(Box<str>, Box<str>)>,
    /// The names of `set`.
    pub set_names: NameList,
}

impl HeaderRules {
    /// Adds a header to `set`.
    pub fn insert_set(&mut self, name: &str, value: &str) {
        self.set_names.insert(name);
        self.set.push((name.into(), value.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let all: Vec<Name> = Name::all().collect();
        for name in &all {
            let one = NameSet::of(&[*name]);
            let others = all.iter().filter(|other| *other != name);

            assert!(one.has(*name));
            assert!(!others.clone().any(|other| one.has(*other)), "{name:?}");
            assert_eq!(NameSet::of(&all).without(one).or(one), NameSet::of(&all));
            assert_eq!(NameSet::of(&all).and(one), one);
        }
        assert!(!NameSet::of(&all).has(Name::Other));
        assert!(!NameSet::of(&[Name::Other]).has(Name::Other));
    }

    #[test]
    fn names_are_found_in_any_case_and_compact_form() {
        let list: NameList = ["X-Trace", "s", "DIVERSION"].into_iter().collect();

        assert!(list.known().has(Name::Subject));
        assert!(list.known().has(Name::Diversion));
        assert!(!list.known().has(Name::HistoryInfo));
        assert!(list.has_other(b"x-tRACE"));
        assert!(!list.has_other(b"x-trace2"));
        assert!(!list.has_other(b"x-trac"));
    }

    #[test]
    fn an_asterisk_stands_for_all_that_begins_so() {
        let list: NameList = ["X-Acme-*", "P-*"].into_iter().collect();

        assert!(list.has_other(b"x-acme-"));
        assert!(list.has_other(b"X-ACME-Call"));
        assert!(!list.has_other(b"X-Acm"));
        assert!(list.known().has(Name::PChargeInfo));
        assert!(list.has_other(b"P-Early-Media"));
        assert!(!list.known().has(Name::Priority));
        assert!(!list.has_no_others());
        assert!(NameList::default().has_no_others());
    }
}
