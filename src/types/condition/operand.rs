//! What a value is compared with by size: a decimal number, exactly, or a date.

use std::cmp::Ordering;

/// The right side of `<`, `>`, `<=` and `>=`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Operand {
    /// A decimal number: `-12.50`.
    Number(Decimal),
    /// A date, `2024-11-04`: its digits.
    Date([u8; 10]),
}

impl Operand {
    /// Reads a number or a date; `None`: it is neither.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let date = || date(text.as_bytes()).filter(|_| text.len() == 10);
        Decimal::parse(text)
            .map(Self::Number)
            .or_else(|| date().map(Self::Date))
    }

    /// How `value` compares with it; `None`: they cannot be compared. A moment compares with a date by its day.
    pub(super) fn compare(&self, value: &str) -> Option<Ordering> {
        match self {
            Self::Number(want) => compare(split(value.trim())?, want.parts()),
            Self::Date(want) => Some(date(value.trim().as_bytes())?.cmp(want)),
        }
    }
}

/// A decimal number as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Decimal {
    is_negative: bool,
    whole: Box<str>,
    fraction: Box<str>,
}

/// The same, borrowed: without leading zeros of the whole, without trailing ones of the fraction.
struct Parts<'t> {
    is_negative: bool,
    whole: &'t str,
    fraction: &'t str,
}

impl Decimal {
    fn parse(text: &str) -> Option<Self> {
        let parts = split(text)?;
        Some(Self {
            is_negative: parts.is_negative,
            whole: parts.whole.into(),
            fraction: parts.fraction.into(),
        })
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            is_negative: self.is_negative,
            whole: &self.whole,
            fraction: &self.fraction,
        }
    }
}

/// Takes a number apart: `66`, `-0.5`, `.5`, `+1`; nothing else is one.
fn split(text: &str) -> Option<Parts<'_>> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    Some(Parts {
        is_negative: is_negative && !(whole.is_empty() && fraction.is_empty()),
        whole,
        fraction,
    })
}

fn compare(a: Parts<'_>, b: Parts<'_>) -> Option<Ordering> {
    let size = || {
        let whole = a.whole.len().cmp(&b.whole.len());
        whole
            .then_with(|| a.whole.cmp(b.whole))
            .then_with(|| a.fraction.cmp(b.fraction))
    };
    Some(match (a.is_negative, b.is_negative) {
        (false, false) => size(),
        (true, true) => size().reverse(),
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
    })
}

/// The date that `text` begins with.
fn date(text: &[u8]) -> Option<[u8; 10]> {
    let (date, _) = text.split_first_chunk::<10>()?;
    let fits = date.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    fits.then_some(*date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_exactly_whatever_their_size() {
        for (value, want, order) in [
            ("66", "65", Ordering::Greater),
            ("9", "10", Ordering::Less),
            ("10000.00", "10000", Ordering::Equal),
            ("007", "7", Ordering::Equal),
            (".5", "0.50", Ordering::Equal),
            ("0.1", "0.09", Ordering::Greater),
            ("-1", "1", Ordering::Less),
            ("-2", "-1", Ordering::Less),
            ("-0", "0", Ordering::Equal),
            ("+3", " 3".trim(), Ordering::Equal),
            (
                "123456789012345678901234567890.1",
                "123456789012345678901234567890.2",
                Ordering::Less,
            ),
        ] {
            let operand = Operand::parse(want).expect("an operand");
            assert_eq!(operand.compare(value), Some(order), "{value} {want}");
        }
    }

    #[test]
    fn a_date_compares_with_dates_and_moments() {
        let day = Operand::parse("2024-11-04").expect("an operand");

        assert_eq!(day.compare("2024-10-31"), Some(Ordering::Less));
        assert_eq!(day.compare("2024-11-04T09:00:00Z"), Some(Ordering::Equal));
        assert_eq!(day.compare("11/05/2024"), None);
        assert_eq!(day.compare("66"), None);
    }

    #[test]
    fn what_is_neither_is_no_operand() {
        for text in [
            "",
            ".",
            "-",
            "1e3",
            "1,000",
            "ten",
            "2024-11-4",
            "2024-11-04T",
        ] {
            assert_eq!(Operand::parse(text), None, "{text}");
        }
        assert_eq!(Operand::parse("5").and_then(|five| five.compare("x")), None);
    }
}
