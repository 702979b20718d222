//! The numbers of orgs, as we have them: what becomes of their calls, whose phones they are for, and how they differed from
//! what Twilio has when that was asked last.

use std::collections::BTreeMap;

use crate::edge::accounts::{Accounts, Unkept};
use crate::store::entry::Listed;
use crate::store::{Entry, KeptLine};
use crate::twilio::numbers::{Delta, Line, Mode};
use crate::twilio::sid::NumberSid;
use crate::types::moment::Moment;
use crate::types::number::Number;

/// Numbers of one org.
pub(super) const MOST: usize = 100_000;

/// A number of an org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::edge) struct Owned {
    /// What it is, and what becomes of its calls.
    pub(in crate::edge) line: Line,
    /// Whose phones it is for: the names that they go by.
    pub(in crate::edge) users: Vec<Box<str>>,
    /// When that was said.
    pub(in crate::edge) at: Moment,
    /// When it was compared with what Twilio has; `None`: never.
    pub(in crate::edge) checked: Option<Moment>,
    /// What came of that.
    pub(in crate::edge) drift: Drift,
}

/// How a number differs from what Twilio has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::edge) enum Drift {
    /// Nobody has looked.
    #[default]
    Unknown,
    /// It does not.
    None,
    /// It is set up otherwise.
    Mismatch,
    /// Twilio does not have it.
    Missing,
}

impl Drift {
    const ALL: [Self; 4] = [Self::Unknown, Self::None, Self::Mismatch, Self::Missing];

    /// The word for it.
    pub(in crate::edge) fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::None => "in_sync",
            Self::Mismatch => "mismatch",
            Self::Missing => "missing_remote",
        }
    }

    fn parse(word: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|drift| drift.name() == word).unwrap_or_default()
    }
}

/// The numbers of all orgs.
#[derive(Default)]
pub(super) struct Lines(BTreeMap<Box<str>, BTreeMap<NumberSid, Owned>>);

impl Lines {
    pub(super) fn restore(&mut self, kept: Vec<KeptLine>) {
        for kept in kept {
            let sid = NumberSid::parse(&kept.sid);
            let number = Number::from_e164(kept.number.as_bytes());
            // What an older version could write, this one can read.
            let (Some(sid), Some(number), Some(mode)) = (sid, number, Mode::parse(&kept.mode))
            else {
                continue;
            };
            let owned = Owned {
                line: Line { sid, number, mode },
                users: kept.users,
                at: kept.at,
                checked: kept.checked,
                drift: Drift::parse(&kept.drift),
            };
            self.0.entry(kept.org).or_default().insert(sid, owned);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// How many an org has.
    pub(super) fn of(&self, org: &str) -> usize {
        self.0.get(org).map_or(0, BTreeMap::len)
    }

    pub(super) fn put(&mut self, org: &str, owned: Owned) {
        let own = self.0.entry(org.into()).or_default();
        own.insert(owned.line.sid, owned);
    }
}

/// A number as it is written down.
pub(super) struct Sheet<'o> {
    owned: &'o Owned,
    sid: String,
    number: String,
}

impl<'o> Sheet<'o> {
    pub(super) fn of(owned: &'o Owned) -> Self {
        Self {
            owned,
            sid: owned.line.sid.to_string(),
            number: owned.line.number.to_string(),
        }
    }

    pub(super) fn entry<'e>(&'e self, org: &'e str) -> Entry<'e> {
        let users: Vec<&str> = self.owned.users.iter().map(|user| &**user).collect();
        Entry::Listed(Listed {
            org,
            sid: &self.sid,
            number: &self.number,
            mode: self.owned.line.mode.name(),
            users: users.into(),
            at: self.owned.at,
            checked: self.owned.checked,
            drift: self.owned.drift.name(),
        })
    }
}

impl Accounts {
    /// Writes numbers of an org down, all of them or none.
    pub(in crate::edge) fn list(&self, org: &str, all: &[Owned]) -> Result<(), Unkept> {
        let mut books = self.books();
        let own = books.lines.0.get(org);
        let new = all
            .iter()
            .filter(|owned| own.is_none_or(|own| !own.contains_key(&owned.line.sid)));
        if own.map_or(0, BTreeMap::len) + new.count() > MOST {
            return Err(Unkept::Full);
        }
        let sheets: Vec<_> = all.iter().map(Sheet::of).collect();
        let entries: Vec<_> = sheets.iter().map(|sheet| sheet.entry(org)).collect();
        books.write(&entries)?;
        for owned in all {
            books.lines.put(org, owned.clone());
        }
        Ok(())
    }

    /// The number of an org that goes by this name: Twilio's, or its digits.
    pub(in crate::edge) fn line(&self, org: &str, name: &str) -> Option<Owned> {
        let books = self.books();
        let own = books.lines.0.get(org)?;
        if let Some(sid) = NumberSid::parse(name) {
            return own.get(&sid).cloned();
        }
        let number = Number::from_e164(name.as_bytes())?;
        let mut all = own.values();
        all.find(|owned| owned.line.number == number).cloned()
    }

    /// All numbers of an org, by Twilio's names of them.
    pub(in crate::edge) fn lines(&self, org: &str) -> Vec<Owned> {
        let books = self.books();
        let own = books.lines.0.get(org);
        own.into_iter()
            .flat_map(BTreeMap::values)
            .cloned()
            .collect()
    }

    /// Writes down what came of comparing an org's numbers with what Twilio has.
    pub(in crate::edge) fn check(
        &self,
        now: Moment,
        org: &str,
        delta: &Delta,
    ) -> Result<(), Unkept> {
        let mut all = self.lines(org);
        for owned in &mut all {
            let sid = owned.line.sid;
            let is_missing = delta.missing_remote.iter().any(|line| line.sid == sid);
            let is_other = delta.mismatch.iter().any(|mismatch| mismatch.sid == sid);
            owned.checked = Some(now);
            owned.drift = match (is_missing, is_other) {
                (true, _) => Drift::Missing,
                (false, true) => Drift::Mismatch,
                (false, false) => Drift::None,
            };
        }
        self.list(org, &all)
    }
}
