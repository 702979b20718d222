//! Time zones: what the clock on the wall shows where a buyer is. The rules of all zones come with the program, so that every
//! machine decides alike.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::types::moment::Moment;

/// A time zone.
#[derive(Clone)]
pub struct Zone {
    name: Arc<str>,
    rules: TimeZone,
}

/// What clock and calendar of a zone show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// The day.
    pub date: Date,
    /// Minutes since midnight, by the clock: up to 1439.
    pub minute: u16,
    /// How far the clock is ahead of UTC, in minutes.
    pub offset: i16,
}

/// The time zones of all who have one, each once.
#[derive(Debug, Default)]
pub struct Zones {
    known: Vec<Zone>,
}

impl Zone {
    /// The zone that IANA calls so (`America/New_York`), or Rails (`Eastern Time (US & Canada)`), in any case; `None`: there is
    /// no such zone.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let alias = ALIASES
            .iter()
            .find(|(alias, _)| alias.eq_ignore_ascii_case(name));
        let rules = TimeZoneDatabase::bundled()
            .get(alias.map_or(name, |(_, name)| *name))
            .ok()?;
        let name = rules.iana_name().unwrap_or(name).into();
        Some(Self { name, rules })
    }

    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self {
            name: "UTC".into(),
            rules: TimeZone::UTC,
        }
    }

    /// Its name in IANA's database.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What its clocks show at `moment`.
    #[must_use]
    pub fn local(&self, moment: Moment) -> Local {
        let offset = self.rules.to_offset(moment.timestamp());
        let local = offset.to_datetime(moment.timestamp());
        let minute = i16::from(local.hour()) * 60 + i16::from(local.minute());
        Local {
            date: local.date(),
            minute: u16::try_from(minute).unwrap_or_default(),
            // A day has fewer minutes than an i16 can count.
            offset: i16::try_from(offset.seconds() / 60).unwrap_or_default(),
        }
    }
}

// The name says which it is: all rules come with the program.
impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Zone").field(&self.name).finish()
    }
}

impl fmt::Display for Local {
    /// Day of the week and time: `mon 09:05`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = match self.date.weekday() {
            Weekday::Sunday => "sun",
            Weekday::Monday => "mon",
            Weekday::Tuesday => "tue",
            Weekday::Wednesday => "wed",
            Weekday::Thursday => "thu",
            Weekday::Friday => "fri",
            Weekday::Saturday => "sat",
        };
        write!(f, "{day} {:02}:{:02}", self.minute / 60, self.minute % 60)
    }
}

impl Local {
    /// Minutes since the week began, on Sunday at midnight: up to 10,079.
    #[must_use]
    pub fn minute_of_week(&self) -> u16 {
        let day = match self.date.weekday() {
            Weekday::Sunday => 0,
            Weekday::Monday => 1,
            Weekday::Tuesday => 2,
            Weekday::Wednesday => 3,
            Weekday::Thursday => 4,
            Weekday::Friday => 5,
            Weekday::Saturday => 6,
        };
        day * 24 * 60 + self.minute
    }
}

impl Zones {
    /// The zone of this name, the same one each time; `None`: there is none.
    pub fn named(&mut self, name: &str) -> Option<Zone> {
        let known = self.known.iter().find(|zone| &*zone.name == name);
        if let Some(known) = known {
            return Some(known.clone());
        }
        let zone = Zone::named(name)?;
        self.known.push(zone.clone());
        Some(zone)
    }
}

/// How Rails, and so exports of some systems, call the zones of North America.
const ALIASES: [(&str, &str); 13] = [
    ("Eastern Time (US & Canada)", "America/New_York"),
    ("Central Time (US & Canada)", "America/Chicago"),
    ("Mountain Time (US & Canada)", "America/Denver"),
    ("Pacific Time (US & Canada)", "America/Los_Angeles"),
    ("Atlantic Time (Canada)", "America/Halifax"),
    ("Indiana (East)", "America/Indiana/Indianapolis"),
    ("Arizona", "America/Phoenix"),
    ("Alaska", "America/Juneau"),
    ("Hawaii", "Pacific/Honolulu"),
    ("Puerto Rico", "America/Puerto_Rico"),
    ("Newfoundland", "America/St_Johns"),
    ("Saskatchewan", "America/Regina"),
    ("London", "Europe/London"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_put_forward_and_back() {
        let york = Zone::named("america/new_york").expect("a zone");

        for (utc, date, minute, offset) in [
            ("2024-03-10T06:59:59Z", "2024-03-10", 119, -300),
            ("2024-03-10T07:00:00Z", "2024-03-10", 180, -240),
            ("2024-11-03T05:30:00Z", "2024-11-03", 90, -240),
            ("2024-11-03T06:30:00Z", "2024-11-03", 90, -300),
            ("2099-07-01T03:00:00Z", "2099-06-30", 1380, -240),
        ] {
            let local = york.local(utc.parse().expect("a moment"));
            let shown = (local.date.to_string(), local.minute, local.offset);
            assert_eq!(shown, (date.to_owned(), minute, offset), "{utc}");
        }
        assert_eq!(&**york.name(), "America/New_York");
    }

    #[test]
    fn names_of_exports_are_known_and_others_are_not() {
        for (name, iana) in ALIASES {
            let zone = Zone::named(name).expect(name);
            assert_eq!(&**zone.name(), iana);
        }
        assert_eq!(Zone::named("Mars/Olympus"), None);
        assert_eq!(Zone::named(""), None);
    }

    #[test]
    fn the_week_begins_on_sunday() {
        let sunday = Zone::utc().local("2024-11-03T00:00:00Z".parse().expect("a moment"));
        let saturday = Zone::utc().local("2024-11-09T23:59:59Z".parse().expect("a moment"));

        assert_eq!(sunday.minute_of_week(), 0);
        assert_eq!(saturday.minute_of_week(), 7 * 24 * 60 - 1);
    }
}
