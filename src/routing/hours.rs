//! Opening hours: when in the week a buyer or a number takes calls.
//!
//! A day has several blocks: `09:00-12:00` and `13:00-17:00`, or `22:00-06:00` until the next morning. An inverted block is
//! when it is closed, on a day that is open else. A day without a block is closed, a week without one is always open.

use std::str::FromStr;

use thiserror::Error;

use crate::routing::zone::Local;

/// The minutes of a week that are open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Hours {
    /// Minutes of the week, in order, at which it opens, closes, opens and so on; it is closed before the first.
    turns: Box<[u16]>,
    /// The same for people.
    text: Box<str>,
}

/// One block of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The day: 0 is Sunday.
    pub day: u8,
    /// Minutes since midnight at which it begins: up to 1439.
    pub open: u16,
    /// Minutes since midnight at which it ends, the first that is not in it; up to 1440. One that is not after `open` is the
    /// next day's.
    pub close: u16,
    /// Whether that is when it is closed.
    pub is_inverted: bool,
}

/// Why a text is no block of hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HoursFault {
    /// It does not name days.
    #[error(
        "begins with no day: mon, tue, wed, thu, fri, sat, sun, or daily, with `-` for runs and `,` between"
    )]
    Day,
    /// It has no times.
    #[error("has no times such as 09:00-17:00")]
    Time,
    /// Both ends are the same.
    #[error("ends when it begins: a whole day is 00:00-24:00")]
    Empty,
}

impl Hours {
    /// The week with these blocks; `None`: it is always open.
    #[must_use]
    pub fn of(blocks: &[Block]) -> Option<Self> {
        let mut week = vec![false; usize::from(WEEK)];
        // First what is open, then what is closed: the order of the blocks means nothing.
        for day in 0..7 {
            let of_day = |block: &&Block| block.day == day;
            let has_open = blocks.iter().filter(of_day).any(|block| !block.is_inverted);
            if !has_open && blocks.iter().any(|block| block.day == day) {
                let start = u16::from(day) * DAY;
                mark(&mut week, start, start + DAY, true);
            }
        }
        for is_inverted in [false, true] {
            for block in blocks {
                if block.is_inverted == is_inverted {
                    let start = u16::from(block.day % 7) * DAY;
                    let next = if block.close > block.open { 0 } else { DAY };
                    let end = start + block.close.min(DAY) + next;
                    mark(&mut week, start + block.open.min(DAY), end, !is_inverted);
                }
            }
        }
        if blocks.is_empty() || week.iter().all(|is_open| *is_open) {
            return None;
        }
        let mut turns = Vec::new();
        let mut was_open = false;
        for (minute, is_open) in (0..WEEK).zip(week) {
            if is_open != was_open {
                turns.push(minute);
            }
            was_open = is_open;
        }
        Some(Self {
            text: ranges(&turns).into(),
            turns: turns.into(),
        })
    }

    /// Whether it is open when clocks show this.
    #[must_use]
    pub fn is_open(&self, local: Local) -> bool {
        let minute = local.minute_of_week();
        self.turns.partition_point(|turn| *turn <= minute) % 2 == 1
    }

    /// As ranges of the week: `sun 09:00-17:00, mon 09:00-12:00`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is never open.
    #[must_use]
    pub fn is_never(&self) -> bool {
        self.turns.is_empty()
    }
}

/// Blocks in one text: `mon-fri 09:00-12:00 13:00-17:00`, `daily not 06:00-22:00`, `sat,sun 10:00-24:00`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks(pub Vec<Block>);

impl FromStr for Blocks {
    type Err = HoursFault;

    fn from_str(text: &str) -> Result<Self, HoursFault> {
        let mut words = text.split_whitespace();
        let days = days(words.next().unwrap_or_default()).ok_or(HoursFault::Day)?;
        let mut is_inverted = false;
        let mut blocks = Vec::new();
        for word in words {
            if word.eq_ignore_ascii_case("not") && blocks.is_empty() {
                is_inverted = true;
                continue;
            }
            let (open, close) = word.split_once('-').ok_or(HoursFault::Time)?;
            let open = time(open).filter(|open| *open < DAY);
            let (open, close) = open.zip(time(close)).ok_or(HoursFault::Time)?;
            if open == close {
                return Err(HoursFault::Empty);
            }
            blocks.extend(days.iter().map(|day| Block {
                day: *day,
                open,
                close,
                is_inverted,
            }));
        }
        if blocks.is_empty() {
            return Err(HoursFault::Time);
        }
        Ok(Self(blocks))
    }
}

/// The ranges of the week between these minutes: `sun 09:00-17:00, mon 09:00-12:00`.
fn ranges(turns: &[u16]) -> String {
    if turns.is_empty() {
        return "never".to_owned();
    }
    let ranges = turns.chunks(2).map(|pair| {
        let open = pair.first().copied().unwrap_or_default();
        let close = pair.get(1).copied().unwrap_or(WEEK);
        let name = |minute: u16| NAMES.get(usize::from(minute / DAY)).copied();
        let day = name(open).unwrap_or_default();
        // Midnight is the end of the day before.
        let last = name(close - 1).filter(|last| *last != day);
        let space = if last.is_some() { " " } else { "" };
        let end = (close - 1) % DAY + 1;
        format!(
            "{day} {:02}:{:02}-{}{space}{:02}:{:02}",
            open % DAY / 60,
            open % 60,
            last.unwrap_or_default(),
            end / 60,
            end % 60
        )
    });
    ranges.collect::<Vec<_>>().join(", ")
}

/// Opens or closes the minutes from `start` up to `end`; what is past the week is its beginning.
fn mark(week: &mut [bool], start: u16, end: u16, is_open: bool) {
    for minute in start..end {
        if let Some(place) = week.get_mut(usize::from(minute % WEEK)) {
            *place = is_open;
        }
    }
}

fn days(text: &str) -> Option<Vec<u8>> {
    let text = text.to_ascii_lowercase();
    if text == "daily" {
        return Some((0..7).collect());
    }
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        let mut next = first;
        loop {
            days.push(next);
            if next == last {
                break;
            }
            next = (next + 1) % 7;
        }
    }
    Some(days)
}

fn day(name: &str) -> Option<u8> {
    let place = NAMES.iter().position(|known| *known == name)?;
    u8::try_from(place).ok()
}

/// `09:00`, or `0900`, as minutes since midnight.
fn time(text: &str) -> Option<u16> {
    let (hour, minute) = match text.split_once(':') {
        Some(parts) => parts,
        None if text.len() == 4 => text.split_at_checked(2)?,
        None => return None,
    };
    let number = |text: &str| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let time = hour * 60 + minute;
    (minute < 60 && time <= DAY).then_some(time)
}

const NAMES: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// In minutes.
const DAY: u16 = 24 * 60;
const WEEK: u16 = 7 * DAY;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::zone::Zone;

    #[test]
    fn a_day_has_several_blocks_and_their_ends_are_not_in_them() {
        let lunch = hours(&["mon-fri 09:00-12:00 13:00-17:00"]);

        for (local, is_open) in [
            ("2024-11-04T08:59:59Z", false),
            ("2024-11-04T09:00:00Z", true),
            ("2024-11-04T11:59:59Z", true),
            ("2024-11-04T12:00:00Z", false),
            ("2024-11-04T13:00:00Z", true),
            ("2024-11-04T17:00:00Z", false),
            ("2024-11-03T10:00:00Z", false),
            ("2024-11-09T10:00:00Z", false),
        ] {
            assert_eq!(is_open_at(&lunch, local), is_open, "{local}");
        }
    }

    #[test]
    fn an_inverted_block_is_when_it_is_closed() {
        let night = hours(&["daily not 06:00-22:00"]);

        assert!(is_open_at(&night, "2024-11-04T05:59:59Z"));
        assert!(!is_open_at(&night, "2024-11-04T06:00:00Z"));
        assert!(is_open_at(&night, "2024-11-04T22:00:00Z"));
        assert!(is_open_at(&night, "2024-11-04T23:59:59Z"));

        let day = hours(&["mon 08:00-20:00", "mon not 12:00-13:00"]);
        assert!(is_open_at(&day, "2024-11-04T11:00:00Z"));
        assert!(!is_open_at(&day, "2024-11-04T12:30:00Z"));
        assert!(!is_open_at(&day, "2024-11-04T07:00:00Z"));
    }

    #[test]
    fn a_block_goes_on_past_midnight_and_past_the_end_of_the_week() {
        let late = hours(&["sat 22:00-06:00"]);

        assert!(is_open_at(&late, "2024-11-09T23:00:00Z"));
        assert!(is_open_at(&late, "2024-11-10T05:59:59Z"));
        assert!(!is_open_at(&late, "2024-11-10T06:00:00Z"));
        assert!(!is_open_at(&late, "2024-11-09T05:00:00Z"));
        assert_eq!(late.text(), "sun 00:00-06:00, sat 22:00-24:00");
    }

    #[test]
    fn the_whole_week_is_no_hours_at_all() {
        assert_eq!(Hours::of(&[]), None);
        assert_eq!(Hours::of(&blocks("daily 00:00-24:00")), None);
        let never = Hours::of(&blocks("daily not 00:00-24:00")).expect("hours");
        assert!(never.is_never());
        assert_eq!(never.text(), "never");
    }

    #[test]
    fn days_are_named_alone_in_runs_and_in_lists() {
        let of = |text: &str| {
            let days: Vec<u8> = blocks(text).iter().map(|block| block.day).collect();
            days
        };
        assert_eq!(of("Mon-Fri 0900-1700"), [1, 2, 3, 4, 5]);
        assert_eq!(of("fri-mon 09:00-17:00"), [5, 6, 0, 1]);
        assert_eq!(of("sat,sun 09:00-17:00"), [6, 0]);
        assert_eq!(of("daily 09:00-17:00").len(), 7);
    }

    #[test]
    fn what_is_no_block_says_why() {
        for (text, fault) in [
            ("", HoursFault::Day),
            ("someday 09:00-17:00", HoursFault::Day),
            ("mon-", HoursFault::Day),
            ("mon", HoursFault::Time),
            ("mon not", HoursFault::Time),
            ("mon 9-17", HoursFault::Time),
            ("mon 09:00", HoursFault::Time),
            ("mon 09:60-17:00", HoursFault::Time),
            ("mon 24:00-06:00", HoursFault::Time),
            ("mon 09:00-24:01", HoursFault::Time),
            ("mon +9:00-17:00", HoursFault::Time),
            ("mon 09:00-17:00 not 12:00-13:00", HoursFault::Time),
            ("mon 09:00-09:00", HoursFault::Empty),
        ] {
            assert_eq!(text.parse::<Blocks>(), Err(fault), "{text}");
        }
    }

    fn blocks(text: &str) -> Vec<Block> {
        text.parse::<Blocks>().expect(text).0
    }

    fn hours(texts: &[&str]) -> Hours {
        let all: Vec<Block> = texts.iter().flat_map(|text| blocks(text)).collect();
        Hours::of(&all).expect("hours")
    }

    fn is_open_at(hours: &Hours, utc: &str) -> bool {
        hours.is_open(Zone::utc().local(utc.parse().expect("a moment")))
    }
}
