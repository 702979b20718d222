//! Telephone numbers (E.164), and how the many spellings of one become the same value.
//!
//! Numbers are compared as [`Number`], never as text: the same number arrives as `+18882223333`,
//! `18882223333`, `8882223333` or `(888) 222-3333`, and as a URI around any of these.

use std::fmt;

use thiserror::Error;

/// An E.164 number: 7 to 15 digits, the first of them not zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(u64);

/// How one trunk writes its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct NumberPlan {
    /// Country code of numbers in national form; `"1"` is the North American plan.
    pub country: Box<str>,
    /// What the carrier puts before each number.
    pub tech_prefix: Option<Box<str>>,
    /// Whether 11 digits or more without `+` are taken as a whole E.164 number.
    pub assume_e164: bool,
}

/// Why a text is no number that can be routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotANumber {
    /// Digits only, but too few of them (484).
    #[error("number is too short")]
    TooShort,
    /// Something else (404).
    #[error("not a telephone number")]
    Invalid,
}

impl NotANumber {
    /// The SIP status that says so (RFC 3261 §21.4.5, §21.4.22).
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::TooShort => 484,
            Self::Invalid => 404,
        }
    }
}

impl Number {
    /// Reads plain E.164 text, with or without `+`; `None` for anything else.
    #[must_use]
    pub fn from_e164(text: &[u8]) -> Option<Self> {
        let digits = text.strip_prefix(b"+").unwrap_or(text);
        if !(MIN_DIGITS..=MAX_DIGITS).contains(&digits.len()) || digits.first() == Some(&b'0') {
            return None;
        }
        digits
            .iter()
            .try_fold(0, |value, digit| {
                digit
                    .is_ascii_digit()
                    .then(|| value * 10 + u64::from(digit - b'0'))
            })
            .map(Self)
    }

    /// The number as eight bytes, for hashing.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// The area code of a number of the North American plan; `None` for all others.
    #[must_use]
    pub fn area_code(&self) -> Option<u16> {
        // 1 NPA NXX XXXX
        let is_nanp = self.0 / 10_000_000_000 == 1;
        let code = u16::try_from(self.0 / 10_000_000 % 1000).ok()?;
        (is_nanp && code >= 200).then_some(code)
    }

    /// The digits without `+`.
    #[must_use]
    pub fn digits(&self) -> impl fmt::Display + use<> {
        self.0
    }

    /// The form for logs: the first four digits and the last two, the rest as `*`.
    #[must_use]
    pub fn masked(&self) -> impl fmt::Display + use<> {
        Masked(self.0)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{}", self.0)
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Masked(u64);

impl fmt::Display for Masked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.ilog10() + 1;
        write!(f, "+{}", self.0 / 10_u64.pow(digits - 4))?;
        (6..digits).try_for_each(|_| f.write_str("*"))?;
        write!(f, "{:02}", self.0 % 100)
    }
}

impl NumberPlan {
    /// Reads `raw`, which is a user part as it stands in a URI, a `sip:` or `tel:` URI, or a number as
    /// people write it. Parameters and host are cut off, visual separators dropped.
    pub fn normalize(&self, raw: &[u8]) -> Result<Number, NotANumber> {
        let mut text = Scratch::default();
        percent_decode(subscriber(raw)?, &mut text)?;
        let dialled = self
            .tech_prefix
            .as_deref()
            .and_then(|prefix| text.as_slice().strip_prefix(prefix.as_bytes()))
            .unwrap_or(text.as_slice());

        let mut digits = Scratch::default();
        for byte in dialled {
            if !matches!(byte, b' ' | b'(' | b')' | b'.' | b'-') {
                digits.push(*byte)?;
            }
        }
        self.read(digits.as_slice())
    }

    /// Reads a number without separators.
    fn read(&self, text: &[u8]) -> Result<Number, NotANumber> {
        if let Some(digits) = text.strip_prefix(b"+") {
            return international(digits);
        }
        if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
            return Err(NotANumber::Invalid);
        }
        let is_nanp = &*self.country == "1";
        if is_nanp && let Some(digits) = text.strip_prefix(b"011") {
            return international(digits);
        }
        if let Some(digits) = text.strip_prefix(b"00") {
            return international(digits);
        }
        if is_nanp && let Some(number) = nanp(text) {
            return Ok(number);
        }
        if !is_nanp && let Some(national) = text.strip_prefix(b"0") {
            let mut whole = Scratch::default();
            for digit in self.country.as_bytes().iter().chain(national) {
                whole.push(*digit)?;
            }
            return international(whole.as_slice());
        }
        if self.assume_e164
            && text.len() >= MIN_ASSUMED
            && let Some(number) = Number::from_e164(text)
        {
            return Ok(number);
        }
        let enough = if is_nanp { NANP_DIGITS } else { MIN_DIGITS };
        // 1 NPA NXX XXX: the leading 1 says that one more was to come.
        let lacks_last = is_nanp && text.len() == NANP_DIGITS && text.first() == Some(&b'1');
        if text.len() < enough || lacks_last {
            Err(NotANumber::TooShort)
        } else {
            Err(NotANumber::Invalid)
        }
    }
}

/// The part of `raw` that names the subscriber, still percent-encoded, without parameters.
fn subscriber(raw: &[u8]) -> Result<&[u8], NotANumber> {
    let user = if let Some(rest) = after_scheme(raw, b"sip:").or(after_scheme(raw, b"sips:")) {
        // A SIP URI without user part names a host, even if its name looks like a number.
        user_part(rest).ok_or(NotANumber::Invalid)?
    } else if let Some(rest) = after_scheme(raw, b"tel:") {
        rest
    } else {
        user_part(raw).unwrap_or(raw)
    };
    // RFC 3261 §19.1.1: a password follows `:`; RFC 3966 §3: parameters follow `;`.
    Ok(user
        .split(|byte| matches!(byte, b';' | b':'))
        .next()
        .unwrap_or(user))
}

fn after_scheme<'a>(text: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(scheme.len())?;
    head.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// What stands before the last `@`: a second one stays in and makes the text no number.
fn user_part(text: &[u8]) -> Option<&[u8]> {
    let at = memchr::memrchr(b'@', text)?;
    text.get(..at)
}

fn percent_decode(text: &[u8], out: &mut Scratch) -> Result<(), NotANumber> {
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'%' {
            out.push(*byte)?;
            continue;
        }
        let mut nibble = || {
            let digit = char::from(*bytes.next()?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        let (Some(high), Some(low)) = (nibble(), nibble()) else {
            return Err(NotANumber::Invalid);
        };
        out.push(high << 4 | low)?;
    }
    Ok(())
}

fn international(digits: &[u8]) -> Result<Number, NotANumber> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(NotANumber::Invalid);
    }
    Number::from_e164(digits).ok_or(match digits {
        [] | [b'0', ..] => NotANumber::Invalid,
        _ if digits.len() < MIN_DIGITS => NotANumber::TooShort,
        _ => NotANumber::Invalid,
    })
}

/// Reads `NXX NXX XXXX` with N = 2..9, with or without the leading 1.
fn nanp(digits: &[u8]) -> Option<Number> {
    let national = match digits {
        [b'1', rest @ ..] if rest.len() == NANP_DIGITS => rest,
        _ => digits,
    };
    let [b'2'..=b'9', _, _, b'2'..=b'9', _, _, _, _, _, _] = national else {
        return None;
    };
    Number::from_e164(national).map(|Number(value)| Number(NANP_COUNTRY + value))
}

/// Room for one user part; what is longer is no number, however much of it are separators.
struct Scratch {
    bytes: [u8; 64],
    len: usize,
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            bytes: [0; 64],
            len: 0,
        }
    }
}

impl Scratch {
    fn push(&mut self, byte: u8) -> Result<(), NotANumber> {
        *self.bytes.get_mut(self.len).ok_or(NotANumber::Invalid)? = byte;
        self.len += 1;
        Ok(())
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// Fewest digits of a number that is routed.
const MIN_DIGITS: usize = 7;
/// Most digits of an international number (E.164 §6.2.1).
const MAX_DIGITS: usize = 15;
/// Fewest digits that `assume_e164` takes for a whole number.
const MIN_ASSUMED: usize = 11;
/// Digits of a North American number without its country code.
const NANP_DIGITS: usize = 10;
/// The country code 1 in front of [`NANP_DIGITS`] digits.
const NANP_COUNTRY: u64 = 10_000_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn e164_text_is_read_strictly() {
        assert_eq!(shown("+18882223333"), Some("+18882223333".into()));
        assert_eq!(shown("18882223333"), Some("+18882223333".into()));
        assert_eq!(shown("1234567"), Some("+1234567".into()));
        assert_eq!(shown("123456789012345"), Some("+123456789012345".into()));
        for bad in [
            "",
            "+",
            "123456",
            "1234567890123456",
            "0123456789",
            "++1888",
        ] {
            assert_eq!(shown(bad), None, "{bad}");
        }
        assert_eq!(shown("1888222333x"), None);
    }

    #[test]
    fn logs_see_the_first_four_digits_and_the_last_two() {
        let masked = |text: &str| {
            Number::from_e164(text.as_bytes())
                .unwrap()
                .masked()
                .to_string()
        };

        assert_eq!(masked("+15555550100"), "+1555*****00");
        assert_eq!(masked("+1234567"), "+1234*67");
        assert_eq!(masked("+1234506"), "+1234*06");
    }

    #[test]
    fn every_spelling_of_a_number_is_the_same_number() {
        let nanp = plan("1", None, false);
        for raw in [
            "sip:18882223333@example.com",
            "SIPS:+18882223333@example.com:5061;transport=tcp",
            "sip:8882223333:secret@example.com",
            "sip:+18882223333;npdi;rn=+15550001111@example.com;user=phone",
            "tel:+1-888-222-3333;phone-context=example.com",
            "tel:1.888.222.3333",
            "%2B18882223333",
            "%2b1%38882223333",
            "+1 (888) 222-3333",
            "8882223333",
            "01118882223333",
            "0018882223333",
        ] {
            let number = nanp.normalize(raw.as_bytes());
            assert_eq!(number.unwrap().to_string(), "+18882223333", "{raw}");
        }
    }

    #[test]
    fn what_is_no_number_says_how_to_answer() {
        use NotANumber::{Invalid, TooShort};
        let nanp = plan("1", None, false);
        for (raw, want) in [
            ("911", TooShort),
            ("411", TooShort),
            ("5550100", TooShort),
            ("1888222333", TooShort),
            ("+1888", TooShort),
            ("0111234", TooShort),
            ("+", Invalid),
            ("", Invalid),
            ("alice", Invalid),
            ("+0123456789", Invalid),
            ("0881112222", Invalid),
            ("8881112222", Invalid),
            ("442071838750", Invalid),
            ("+1234567890123456", Invalid),
            ("sip:18882223333", Invalid),
            ("sip:example.com", Invalid),
            ("sip:18882223333@x@example.com", Invalid),
            ("%2", Invalid),
            ("%zz8882223333", Invalid),
            ("888222\u{0}3333", Invalid),
        ] {
            assert_eq!(nanp.normalize(raw.as_bytes()), Err(want), "{raw}");
        }
        assert_eq!(nanp.normalize(&[b'-'; 65]), Err(Invalid));
        assert_eq!((TooShort.status(), Invalid.status()), (484, 404));
    }

    #[test]
    fn a_tech_prefix_goes_and_assumed_e164_comes_last() {
        let prefixed = plan("1", Some("99#"), false);
        let assumed = plan("1", None, true);

        for raw in ["99#18882223333", "99%238882223333", "18882223333"] {
            let number = prefixed.normalize(raw.as_bytes()).unwrap();
            assert_eq!(number.to_string(), "+18882223333", "{raw}");
        }
        let number = assumed.normalize(b"442071838750").unwrap();
        assert_eq!(number.to_string(), "+442071838750");
        assert_eq!(assumed.normalize(b"1888222333"), Err(NotANumber::TooShort));
    }

    #[test]
    fn shared_vectors_hold() {
        let Some(vectors) = shared("vectors/domain.json") else {
            return;
        };
        let cases = vectors["normalize"].as_array().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let text = |key: &str| case[key].as_str();
            let plan = plan(text("country").unwrap(), text("tech_prefix"), false);
            let number = plan.normalize(text("raw").unwrap().as_bytes());
            let number = number.ok().map(|number| number.to_string());
            assert_eq!(number.as_deref(), text("want"), "{case}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end_in_a_verdict(raw: Vec<u8>, country in "[1-9][0-9]{0,2}", assume: bool) {
            let _ = plan(&country, Some("9"), assume).normalize(&raw);
        }

        #[test]
        fn the_written_form_reads_back(value in 1_000_000_u64..1_000_000_000_000_000) {
            let number = Number(value);
            prop_assert_eq!(Number::from_e164(number.to_string().as_bytes()), Some(number));
            prop_assert_eq!(plan("1", None, false).normalize(number.to_string().as_bytes()), Ok(number));
            prop_assert_eq!(number.masked().to_string().len(), number.to_string().len());
        }
    }

    fn shown(text: &str) -> Option<String> {
        Number::from_e164(text.as_bytes()).map(|number| number.to_string())
    }

    fn plan(country: &str, tech_prefix: Option<&str>, assume_e164: bool) -> NumberPlan {
        NumberPlan {
            country: country.into(),
            tech_prefix: tech_prefix.map(Into::into),
            assume_e164,
        }
    }

    /// Reads a file of the shared vectors, if they are on this machine.
    fn shared(file: &str) -> Option<serde_json::Value> {
        let text = std::fs::read(crate::shared::shared(file)?).expect("vectors can be read");
        Some(serde_json::from_slice(&text).expect("vectors are JSON"))
    }
}
