//! Windows in which calls are counted: the hour, the day and the month by the clock and calendar of a buyer's zone.

use std::fmt;
use std::str::FromStr;

use crate::routing::zone::Local;

/// How long a window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Span {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the first of the next.
    Month,
    /// For ever: only the operator sets it back.
    Total,
}

/// One window. Its text is `2024-11-03T01-0400`, `2024-11-03`, `2024-11` or `total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Window {
    /// An hour of a day. The offset from UTC, in minutes, tells the two apart that are there when clocks are put back.
    Hour {
        /// The day.
        day: Day,
        /// The hour: up to 23.
        hour: u8,
        /// How far clocks are ahead of UTC, in minutes.
        offset: i16,
    },
    /// A day.
    Day(Day),
    /// A month.
    Month {
        /// The year.
        year: i16,
        /// The month: 1 to 12.
        month: u8,
    },
    /// All time.
    Total,
}

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day {
    /// The year.
    pub year: i16,
    /// The month: 1 to 12.
    pub month: u8,
    /// The day of the month: 1 to 31.
    pub day: u8,
}

impl Span {
    /// All of them, the shortest first.
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Month, Self::Total];

    /// Its name in configurations.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// The window of this length in which it is now.
    #[must_use]
    pub fn window(self, local: Local) -> Window {
        let unsigned = |value: i8| u8::try_from(value).unwrap_or_default();
        let day = Day {
            year: local.date.year(),
            month: unsigned(local.date.month()),
            day: unsigned(local.date.day()),
        };
        match self {
            Self::Hour => Window::Hour {
                day,
                hour: u8::try_from(local.minute / 60).unwrap_or_default(),
                offset: local.offset,
            },
            Self::Day => Window::Day(day),
            Self::Month => Window::Month {
                year: day.year,
                month: day.month,
            },
            Self::Total => Window::Total,
        }
    }
}

impl Window {
    /// How long it is.
    #[must_use]
    pub fn span(self) -> Span {
        match self {
            Self::Hour { .. } => Span::Hour,
            Self::Day(_) => Span::Day,
            Self::Month { .. } => Span::Month,
            Self::Total => Span::Total,
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour { day, hour, offset } => {
                let sign = if *offset < 0 { '-' } else { '+' };
                let ahead = offset.unsigned_abs();
                write!(f, "{day}T{hour:02}{sign}{:02}{:02}", ahead / 60, ahead % 60)
            }
            Self::Day(day) => day.fmt(f),
            Self::Month { year, month } => write!(f, "{year:04}-{month:02}"),
            Self::Total => f.write_str("total"),
        }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// The text is none that a window has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a window such as 2024-11-03T01-0400, 2024-11-03, 2024-11 or total")]
pub struct NoWindow;

impl FromStr for Window {
    type Err = NoWindow;

    fn from_str(text: &str) -> Result<Self, NoWindow> {
        let window = read(text).ok_or(NoWindow)?;
        // One window has one text.
        (window.to_string() == text)
            .then_some(window)
            .ok_or(NoWindow)
    }
}

fn read(text: &str) -> Option<Window> {
    if text == "total" {
        return Some(Window::Total);
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = parts.next()?.parse().ok()?;
    let month = parts.next()?.parse().ok()?;
    let Some(day) = parts.next() else {
        return Some(Window::Month { year, month });
    };
    let day = day.parse().ok()?;
    let day = Day { year, month, day };
    let Some(time) = time else {
        return Some(Window::Day(day));
    };
    let (hour, offset) = time.split_at_checked(2)?;
    let (sign, ahead) = offset.split_at_checked(1)?;
    let (hours, minutes) = ahead.split_at_checked(2)?;
    let ahead = hours.parse::<i16>().ok()?.checked_mul(60)? + minutes.parse::<i16>().ok()?;
    Some(Window::Hour {
        day,
        hour: hour.parse().ok()?,
        offset: if sign == "-" { -ahead } else { ahead },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::zone::Zone;

    #[test]
    fn windows_follow_the_calendar_where_the_buyer_is() {
        for (utc, zone, texts) in [
            (
                "2024-11-03T05:30:00Z",
                "America/New_York",
                ["2024-11-03T01-0400", "2024-11-03", "2024-11", "total"],
            ),
            (
                "2024-11-03T06:30:00Z",
                "America/New_York",
                ["2024-11-03T01-0500", "2024-11-03", "2024-11", "total"],
            ),
            (
                "2024-06-30T18:29:00Z",
                "Asia/Kolkata",
                ["2024-06-30T23+0530", "2024-06-30", "2024-06", "total"],
            ),
            (
                "2024-06-30T18:30:00Z",
                "Asia/Kolkata",
                ["2024-07-01T00+0530", "2024-07-01", "2024-07", "total"],
            ),
        ] {
            let local = Zone::named(zone)
                .expect("a zone")
                .local(utc.parse().expect("a moment"));
            for (span, text) in Span::ALL.into_iter().zip(texts) {
                let window = span.window(local);
                assert_eq!(window.to_string(), text);
                assert_eq!(text.parse(), Ok(window));
                assert_eq!(window.span(), span);
            }
        }
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in [
            "",
            "totals",
            "2024",
            "2024-1",
            "2024-11-3",
            "2024-11-03T1-0400",
            "2024-11-03T01",
            "+024-11",
            "2024-11-03-04",
            "2024-11-03T01*0400",
            "2024-11-03T01-9999",
            "é-11",
        ] {
            assert_eq!(text.parse::<Window>(), Err(NoWindow), "{text}");
        }
    }
}
