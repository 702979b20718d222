//! The numbers of orgs, as we have them: what becomes of their calls, whose phones they are for, and how they differed from
//! what Twilio has when that was asked last.

use std::collections::{BTreeMap, BTreeSet};

use crate::edge::accounts::{Accounts, Unkept};
use crate::store::entry::Listed;
use crate::store::{Entry, KeptLine};
use crate::twilio::numbers::{Delta, Line, Mode};
use crate::twilio::sid::NumberSid;
use crate::types::moment::Moment;
use crate::types::number::Number;

/// Numbers of one org.
pub(super) const MOST: usize = 100_000;

/// Numbers that are written down in one go.
const AT_ONCE: usize = 1_000;

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

impl Owned {
    /// Has been set up just now.
    pub(in crate::edge) fn set_up(now: Moment, line: Line, users: Vec<Box<str>>) -> Self {
        Self {
            line,
            users,
            at: now,
            checked: Some(now),
            drift: Drift::None,
        }
    }

    /// Whether nobody has said anything else of it.
    pub(in crate::edge) fn is_said_as(&self, other: &Self) -> bool {
        (&self.line, &self.users, self.at) == (&other.line, &other.users, other.at)
    }
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

    pub(super) fn get(&self, org: &str, sid: NumberSid) -> Option<&Owned> {
        self.0.get(org)?.get(&sid)
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
    /// Writes a number of an org down; returns it as it is then. With `users` `None`, it is for whom it was for.
    pub(in crate::edge) fn list(
        &self,
        now: Moment,
        org: &str,
        (line, users): (Line, Option<Vec<Box<str>>>),
    ) -> Result<Owned, Unkept> {
        let mut books = self.books();
        let before = books.lines.get(org, line.sid);
        if before.is_none() && !books.has_room_for_line(org) {
            return Err(Unkept::Full);
        }
        // What others have said of it while the vendor was asked stays, but for what is said now.
        let users = users.or_else(|| Some(before?.users.clone()));
        let owned = Owned::set_up(now, line, users.unwrap_or_default());
        books.write(&[Sheet::of(&owned).entry(org)])?;
        books.lines.put(org, owned.clone());
        Ok(owned)
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

    /// Writes down what came of comparing these numbers of an org with what Twilio has. Of one that somebody has changed since, it is
    /// no longer true. When the disk takes no more, those before are written down and the others are not.
    pub(in crate::edge) fn check(
        &self,
        now: Moment,
        (org, compared): (&str, &[Owned]),
        delta: &Delta,
    ) -> Result<(), Unkept> {
        let missing: BTreeSet<_> = delta.missing_remote.iter().map(|line| line.sid).collect();
        let other: BTreeSet<_> = delta.mismatch.iter().map(|one| one.sid).collect();
        for some in compared.chunks(AT_ONCE) {
            // Others have their turn in between.
            let mut books = self.books();
            let unchanged = some.iter().filter_map(|compared| {
                let own = books.lines.get(org, compared.line.sid)?;
                own.is_said_as(compared).then(|| own.clone())
            });
            let checked = unchanged.map(|own| Owned {
                checked: Some(now),
                drift: match own.line.sid {
                    sid if missing.contains(&sid) => Drift::Missing,
                    sid if other.contains(&sid) => Drift::Mismatch,
                    _ => Drift::None,
                },
                ..own
            });
            let checked: Vec<_> = checked.collect();
            let sheets: Vec<_> = checked.iter().map(Sheet::of).collect();
            let entries: Vec<_> = sheets.iter().map(|sheet| sheet.entry(org)).collect();
            books.write(&entries)?;
            for own in checked {
                books.lines.put(org, own);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::edge::accounts::books::Books;
    use crate::edge::notebook::Notebook;
    use crate::store::Keyring;

    #[test]
    fn what_is_said_while_numbers_are_compared_is_not_lost() {
        let accounts = accounts();
        for last in 1..=3 {
            list(&accounts, last, Mode::Voice, Some("bob"));
        }
        let compared = accounts.lines(ORG);
        let delta = Delta {
            missing_remote: vec![line(1, Mode::Voice), line(2, Mode::Voice)],
            ..Delta::default()
        };

        list(&accounts, 1, Mode::Ivr, Some("carol"));
        let checked = accounts.check(at(9), (ORG, &compared), &delta);

        assert_eq!(checked, Ok(()));
        let own: Vec<_> = accounts.lines(ORG);
        let said = own.iter().map(|one| (one.line.mode, &*one.users[0]));
        assert_eq!(
            said.collect::<Vec<_>>(),
            [
                (Mode::Ivr, "carol"),
                (Mode::Voice, "bob"),
                (Mode::Voice, "bob")
            ]
        );
        let drifts = own.iter().map(|one| one.drift);
        assert_eq!(
            drifts.collect::<Vec<_>>(),
            [Drift::None, Drift::Missing, Drift::None]
        );
    }

    #[test]
    fn who_says_nothing_of_users_changes_none() {
        let accounts = accounts();
        list(&accounts, 1, Mode::Voice, Some("bob"));

        let owned = list(&accounts, 1, Mode::Ivr, None);

        assert_eq!((owned.line.mode, &*owned.users[0]), (Mode::Ivr, "bob"));
        assert_eq!(accounts.lines(ORG), [owned]);
    }

    fn list(accounts: &Accounts, last: u128, mode: Mode, user: Option<&str>) -> Owned {
        let users = user.map(|user| vec![user.into()]);
        let kept = accounts.list(at(last as i64), ORG, (line(last, mode), users));
        kept.expect("room")
    }

    fn line(last: u128, mode: Mode) -> Line {
        Line {
            sid: NumberSid::from_bits(last),
            number: Number::from_e164(format!("+1800555000{last}").as_bytes()).expect("a number"),
            mode,
        }
    }

    /// With nothing but what is in memory.
    fn accounts() -> Accounts {
        let books = Books {
            notebook: Some(Arc::new(Notebook::new(None))),
            ..Books::default()
        };
        Accounts {
            books: Mutex::new(books),
            keys: Keyring::default(),
        }
    }

    fn at(millis: i64) -> Moment {
        Moment::from_millis(millis)
    }

    const ORG: &str = "my-org";
}
