//! How many calls a trunk brings, or a buyer takes: at once, per second, and in windows of the calendar.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::routing::book::Claim;
use crate::routing::directory::Directory;
use crate::routing::window::{Span, Window};
use crate::routing::zone::Zone;
use crate::types::number::Number;

/// Limits of one trunk, buyer or group, for the whole process. `None`: none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Caps {
    /// Calls at once; at least 1.
    pub max_calls: Option<u32>,
    /// Calls per second: so many may come at once, and so many are added in a second; at least 1.
    pub max_cps: Option<u32>,
}

/// Whose calls are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    /// The trunk of this id.
    Trunk(Arc<str>),
    /// The buyer of this id.
    Buyer(Arc<str>),
    /// The group of buyers of this id.
    Group(Arc<str>),
    /// This number, which callers dial.
    Number(Arc<str>),
}

/// How many calls a buyer, a group or a number takes in windows of the calendar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The most of each window; at least one window has a limit.
    pub most: Most,
    /// What counts.
    pub on: CapOn,
    /// Whose clock and calendar the windows follow.
    pub zone: Zone,
}

/// The most calls of each window. `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Most {
    /// Of an hour.
    pub hour: Option<u32>,
    /// Of a day.
    pub day: Option<u32>,
    /// Of a month.
    pub month: Option<u32>,
    /// In all.
    pub total: Option<u32>,
}

/// What counts against a window's limit. A place is held from the moment the buyer is chosen, so that a burst of calls
/// cannot overshoot, and given back when it is clear that the call does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord)]
pub enum CapOn {
    /// A call that was offered, whatever became of it.
    Attempt,
    /// A call that was answered.
    #[default]
    Answer,
    /// A call that converted.
    Conversion,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CapKind {
    /// Calls at once.
    Concurrency,
    /// Calls within a second.
    Cps,
    /// Calls of this hour, day or month, or in all.
    Window(Span),
}

/// How many calls count now, for a decision that only looks. Nothing is taken by asking.
pub trait Counters {
    /// Whether anything is known at all.
    fn is_known(&self) -> bool {
        true
    }

    /// Calls at once; `None`: not known, so that it is no reason against anybody.
    fn calls(&self, party: &Party) -> Option<u32>;

    /// Calls that count in a window, with those under way that may come to count; `None`: not known.
    fn counted(&self, party: &Party, window: Window) -> Option<u32>;

    /// Whether a buyer is left alone for a while, because nothing that was sent there lately was answered.
    fn is_down(&self, _buyer: &str) -> bool {
        false
    }
}

/// Nothing is known: there is room everywhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unknown;

impl Counters for Unknown {
    fn is_known(&self) -> bool {
        false
    }

    fn calls(&self, _party: &Party) -> Option<u32> {
        None
    }

    fn counted(&self, _party: &Party, _window: Window) -> Option<u32> {
        None
    }
}

/// What somebody says counts, for a call that has not happened: who is not named has no calls.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stated {
    /// Calls at once.
    pub calls: BTreeMap<Party, u32>,
    /// Calls that count in the window of a length in which it is then.
    pub counted: BTreeMap<(Party, Span), u32>,
    /// Buyers that are left alone because nothing that is sent there is answered.
    pub down: BTreeSet<Arc<str>>,
}

impl Counters for Stated {
    fn is_known(&self) -> bool {
        *self != Self::default()
    }

    fn calls(&self, party: &Party) -> Option<u32> {
        Some(self.calls.get(party).copied().unwrap_or_default())
    }

    fn counted(&self, party: &Party, window: Window) -> Option<u32> {
        let key = (party.clone(), window.span());
        Some(self.counted.get(&key).copied().unwrap_or_default())
    }

    fn is_down(&self, buyer: &str) -> bool {
        self.down.contains(buyer)
    }
}

/// What others know counts, and what one call has taken besides.
pub struct Taken<'c> {
    others: &'c dyn Counters,
    places: BTreeMap<Party, u32>,
}

impl<'c> Taken<'c> {
    /// Nothing is taken yet.
    #[must_use]
    pub fn of(others: &'c dyn Counters) -> Self {
        Self {
            others,
            places: BTreeMap::new(),
        }
    }

    /// Takes a place of each.
    pub fn take(&mut self, claims: &[Claim]) {
        for claim in claims {
            *self.places.entry(claim.party.clone()).or_default() += 1;
        }
    }

    fn places(&self, party: &Party) -> u32 {
        self.places.get(party).copied().unwrap_or_default()
    }
}

impl Counters for Taken<'_> {
    fn is_known(&self) -> bool {
        self.others.is_known()
    }

    fn calls(&self, party: &Party) -> Option<u32> {
        let others = self.others.calls(party)?;
        Some(others.saturating_add(self.places(party)))
    }

    fn counted(&self, party: &Party, window: Window) -> Option<u32> {
        let others = self.others.counted(party, window)?;
        Some(others.saturating_add(self.places(party)))
    }

    fn is_down(&self, buyer: &str) -> bool {
        self.others.is_down(buyer)
    }
}

impl Caps {
    /// Whether there is any.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.max_calls.is_some() || self.max_cps.is_some()
    }
}

impl Most {
    /// The most of a window of this length.
    #[must_use]
    pub fn of(&self, span: Span) -> Option<u32> {
        match span {
            Span::Hour => self.hour,
            Span::Day => self.day,
            Span::Month => self.month,
            Span::Total => self.total,
        }
    }

    /// Whether there is any.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        Span::ALL.iter().any(|span| self.of(*span).is_some())
    }
}

impl CapOn {
    /// Its name in configurations and records.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Answer => "answer",
            Self::Conversion => "conversion",
        }
    }
}

impl CapKind {
    /// Its name in records, logs and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Concurrency => "concurrency",
            Self::Cps => "cps",
            Self::Window(Span::Hour) => "cap_hour",
            Self::Window(Span::Day) => "cap_day",
            Self::Window(Span::Month) => "cap_month",
            Self::Window(Span::Total) => "cap_total",
        }
    }
}

impl Party {
    /// The buyer of this id, the group behind `group:`, or the number behind `number:`; `None`: there is none, or the group or the
    /// number has no limits.
    #[must_use]
    pub fn named(name: &str, directory: &Directory) -> Option<Self> {
        if let Some(number) = name.strip_prefix("number:") {
            let number = Number::from_e164(number.as_bytes())?;
            return directory.quota_of(number).map(|_| Self::number(number));
        }
        let Some(id) = name.strip_prefix("group:") else {
            let (id, _) = directory.buyers.get_key_value(name)?;
            return Some(Self::Buyer(Arc::clone(id)));
        };
        let buyers = directory.buyers.values();
        let mut groups = buyers.flat_map(|buyer| &buyer.rules.groups);
        let group = groups.find(|group| *group.id == *id)?;
        Some(Self::Group(Arc::clone(&group.id)))
    }

    /// A number, which callers dial.
    #[must_use]
    pub fn number(number: Number) -> Self {
        Self::Number(number.to_string().into())
    }

    /// Its id in the configuration.
    #[must_use]
    pub fn id(&self) -> &Arc<str> {
        match self {
            Self::Trunk(id) | Self::Buyer(id) | Self::Group(id) | Self::Number(id) => id,
        }
    }

    /// What it is, in records and metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trunk(_) => "trunk",
            Self::Buyer(_) => "buyer",
            Self::Group(_) => "group",
            Self::Number(_) => "number",
        }
    }
}
