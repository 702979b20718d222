//! Sets of telephone numbers: single ones, blocks and prefixes.

use crate::types::number::Number;

/// A set of numbers, as ranges that do not touch, the lowest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NumberSet {
    ranges: Vec<(u64, u64)>,
}

impl NumberSet {
    /// Adds what `text` names: `+12125550100`, `+12125550100-+12125550199`, or with a prefix all that
    /// begins so, `+1212555*`. `false`: it names nothing, and nothing was added.
    pub fn insert(&mut self, text: &str) -> bool {
        let is_number = self.push(text);
        self.settle();
        is_number
    }

    /// Adds what many texts name. The places of those that name nothing.
    pub fn extend<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) -> Vec<usize> {
        let mut bad = Vec::new();
        for (place, text) in texts.into_iter().enumerate() {
            if !self.push(text) {
                bad.push(place);
            }
        }
        self.settle();
        self.ranges.shrink_to_fit();
        bad
    }

    fn push(&mut self, text: &str) -> bool {
        if let Some(prefix) = text.strip_suffix('*') {
            return self.push_prefix(prefix);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let read = |text: &str| {
            let is_whole = text.starts_with('+');
            let number = is_whole.then(|| Number::from_e164(text.as_bytes()));
            number.flatten().map(value)
        };
        match (read(first), read(last)) {
            (Some(first), Some(last)) if first <= last && length(first) == length(last) => {
                self.ranges.push((first, last));
                true
            }
            _ => false,
        }
    }

    /// Whether `number` is in it.
    #[must_use]
    pub fn contains(&self, number: Number) -> bool {
        let number = value(number);
        let place = self.ranges.partition_point(|(_, last)| *last < number);
        self.ranges
            .get(place)
            .is_some_and(|(first, _)| *first <= number)
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    fn push_prefix(&mut self, prefix: &str) -> bool {
        let Some(digits) = prefix.strip_prefix('+') else {
            return false;
        };
        let is_prefix = (1..=MAX_DIGITS as usize).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_digit())
            && !digits.starts_with('0');
        let Some(start) = is_prefix.then(|| digits.parse::<u64>().ok()).flatten() else {
            return false;
        };
        for digits in length(start).max(MIN_DIGITS)..=MAX_DIGITS {
            let size = 10_u64.pow(digits - length(start));
            self.ranges.push((start * size, start * size + (size - 1)));
        }
        true
    }

    /// Puts them in order, and makes one of those that meet.
    fn settle(&mut self) {
        self.ranges.sort_unstable();
        self.ranges.dedup_by(|next, kept| {
            let meets = next.0 <= kept.1.saturating_add(1);
            if meets {
                kept.1 = kept.1.max(next.1);
            }
            meets
        });
    }
}

fn value(number: Number) -> u64 {
    u64::from_be_bytes(number.to_bytes())
}

/// How many digits `value`, which is not zero, has.
fn length(value: u64) -> u32 {
    value.checked_ilog10().unwrap_or_default() + 1
}

/// What [`Number`] holds.
const MIN_DIGITS: u32 = 7;
const MAX_DIGITS: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_numbers_blocks_and_prefixes_hold_what_they_name() {
        let set = set(&[
            "+12125550100",
            "+13125550100-+13125550199",
            "+4420*",
            "+1415555*",
        ]);

        for (number, is_in) in [
            ("12125550100", true),
            ("12125550101", false),
            ("13125550099", false),
            ("13125550100", true),
            ("13125550199", true),
            ("13125550200", false),
            ("4420000", true),
            ("442079460000", true),
            ("442199999", false),
            ("14155550000", true),
            ("14155559999", true),
            ("14155560000", false),
            ("1415555", true),
            ("1415556", false),
        ] {
            let parsed = Number::from_e164(number.as_bytes()).expect("a number");
            assert_eq!(set.contains(parsed), is_in, "{number}");
        }
    }

    #[test]
    fn ranges_that_meet_become_one() {
        let touching = set(&["+12125550150-+12125550199", "+12125550100-+12125550149"]);

        assert_eq!(touching, set(&["+12125550100-+12125550199"]));
        assert!(NumberSet::default().is_empty());
    }

    #[test]
    fn many_are_added_at_once_and_those_that_are_none_are_told() {
        let mut many = set(&["+13125550100"]);

        let bad = many.extend(["+1212*", "anonymous", "+13125550101", ""]);

        assert_eq!(bad, [1, 3]);
        assert_eq!(many, set(&["+13125550100-+13125550101", "+1212*"]));
    }

    #[test]
    fn what_names_no_numbers_is_refused() {
        for text in [
            "",
            "+",
            "*",
            "+*",
            "12125550100",
            "+1212*5",
            "+0123456",
            "+0*",
            "+12125550199-+12125550100",
            "+1212555-+12125550100",
            "+12125550100-12125550199",
            "+1234567890123456*",
            "anonymous",
        ] {
            let mut set = NumberSet::default();
            assert!(!set.insert(text), "{text}");
            assert!(set.is_empty(), "{text}");
        }
    }

    fn set(texts: &[&str]) -> NumberSet {
        let mut set = NumberSet::default();
        for text in texts {
            assert!(set.insert(text), "{text}");
        }
        set
    }
}
