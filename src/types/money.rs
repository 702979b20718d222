//! Amounts of money: whole ten-thousandths of the company's currency, so that nothing is ever rounded.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// An amount, at most some 922 billion either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Money(i64);

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no amount: digits, with a point and up to 4 digits behind it if there are cents")]
pub struct NoMoney;

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many ten-thousandths.
    #[must_use]
    pub const fn from_units(units: i64) -> Self {
        Self(units)
    }

    /// In ten-thousandths.
    #[must_use]
    pub const fn units(self) -> i64 {
        self.0
    }

    /// Whether it is less than nothing.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Both together; the largest amount there is, if it would be larger.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl FromStr for Money {
    type Err = NoMoney;

    /// Reads `12`, `12.5` and `-0.0375`. A fifth digit behind the point is refused, if it is not 0, rather than rounded.
    fn from_str(text: &str) -> Result<Self, NoMoney> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let part = part.trim_end_matches('0');
        if !is_number(whole) || !part.bytes().all(|b| b.is_ascii_digit()) || part.len() > PLACES {
            return Err(NoMoney);
        }
        if digits.ends_with('.') {
            return Err(NoMoney);
        }
        let units = format!("{whole}{part:0<PLACES$}");
        let units: i64 = units.parse().map_err(|_| NoMoney)?;
        Ok(Self(if is_negative { -units } else { units }))
    }
}

/// Two digits behind the point, or as many more as it takes: `12.50`, `0.0375`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative() { "-" } else { "" };
        let units = self.0.unsigned_abs();
        let part = format!("{:0PLACES$}", units % SCALE);
        let part = part.trim_end_matches('0');
        write!(f, "{sign}{}.{part:0<2}", units / SCALE)
    }
}

/// Digits behind the point.
const PLACES: usize = 4;
const SCALE: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_reads_as_it_is_written() {
        for (text, units, shown) in [
            ("12", 120_000, "12.00"),
            ("12.5", 125_000, "12.50"),
            ("0.0375", 375, "0.0375"),
            ("-3.10", -31_000, "-3.10"),
            ("0.00000", 0, "0.00"),
            ("007.1", 71_000, "7.10"),
            ("922337203685477.5807", i64::MAX, "922337203685477.5807"),
        ] {
            let money: Money = text.parse().expect("an amount");
            assert_eq!(money.units(), units, "{text}");
            assert_eq!(money.to_string(), shown);
            assert_eq!(shown.parse(), Ok(money));
        }
    }

    #[test]
    fn what_cannot_be_kept_to_the_last_digit_is_no_amount() {
        for text in [
            "",
            "-",
            ".",
            ".5",
            "5.",
            "1.00001",
            "1e3",
            "+1",
            "1,5",
            "$1",
            " 1",
            "--1",
            "1.2.3",
            "0x1",
            "NaN",
            "٣",
            "922337203685477.5808",
        ] {
            assert_eq!(text.parse::<Money>(), Err(NoMoney), "{text}");
        }
    }

    #[test]
    fn a_tenth_ten_times_is_one() {
        let tenth: Money = "0.1".parse().expect("an amount");
        let sum = (0..10).fold(Money::ZERO, |sum, _| sum.plus(tenth));

        assert_eq!(sum.to_string(), "1.00");
        assert_eq!(Money::from_units(i64::MAX).plus(tenth).units(), i64::MAX);
    }
}
