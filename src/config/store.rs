//! `data_dir` of `[node]`, and `[store]`: what outlives the process.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Storage;
use crate::config::desk::Desk;
use crate::config::keys;
use crate::config::raw::Section;

/// Reads it; `None`: nothing outlives the process.
pub(super) fn read(
    root: &Section<'_>,
    data_dir: Option<PathBuf>,
    desk: &mut Desk<'_>,
) -> Option<Storage> {
    let section = root.section("store", &keys::STORE, desk);
    if let (None, Some(section)) = (&data_dir, &section) {
        desk.fault(
            section.place,
            "there is nowhere to store anything",
            "set `data_dir` in [node], or leave [store] out",
        );
    }
    let backlog = section.map_or(BACKLOG, |section| {
        size(&section, "backlog", BACKLOG, 1 << 20, desk)
    });
    let rotate_size = section.map_or(0, |section| size(&section, "rotate_size", 0, 0, desk));
    Some(Storage {
        data_dir: data_dir?,
        backlog,
        rotate_size: (rotate_size > 0).then_some(rotate_size),
        rotate_daily: section.is_some_and(|section| section.flag("rotate_daily", false, desk)),
        gather: section.map_or(GATHER, |section| {
            section.duration("gather", GATHER, LEAST_GATHER..=MOST_GATHER, desk)
        }),
        keep: section.map_or(KEEP, |section| {
            section.duration("keep", KEEP, LEAST_KEEP..=MOST_KEEP, desk)
        }),
    })
}

/// A number of bytes, written as "256MiB".
fn size(
    section: &Section<'_>,
    key: &'static str,
    default: u64,
    least: u64,
    desk: &mut Desk<'_>,
) -> u64 {
    let Some(text) = section.text(key, desk) else {
        return default;
    };
    match parse_size(text.value) {
        Some(size) if size >= least => size,
        Some(_) | None => {
            desk.fault(
                text.place,
                format!("`{}` is no size, or too small", text.value),
                "a whole number and its unit: \"64KiB\", \"256MiB\", \"2GiB\"; \"0\" where there may be none",
            );
            default
        }
    }
}

fn parse_size(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
    let (digits, shift) = units
        .into_iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))?;
    let is_plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    let count = digits.parse::<u32>().ok().filter(|_| is_plain)?;
    Some(u64::from(count) << shift)
}

const GATHER: Duration = Duration::from_millis(25);
const LEAST_GATHER: Duration = Duration::from_millis(1);
const MOST_GATHER: Duration = Duration::from_secs(1);
const KEEP: Duration = Duration::from_secs(720 * 3600);
const LEAST_KEEP: Duration = Duration::from_secs(3600);
const MOST_KEEP: Duration = Duration::from_secs(87_600 * 3600);
/// Some hundred thousand calls.
const BACKLOG: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_whole_number_and_a_unit() {
        let sizes = [
            ("0", 0),
            ("1KiB", 1024),
            ("256MiB", 256 << 20),
            ("2GiB", 2 << 30),
            ("1TiB", 1 << 40),
        ];
        for (text, size) in sizes {
            assert_eq!(parse_size(text), Some(size), "{text}");
        }
        for text in [
            "",
            "1",
            "MiB",
            "1 MiB",
            "+1MiB",
            "1.5GiB",
            "1MB",
            "-1KiB",
            "5000000000KiB",
        ] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
