//! Parameters as browsers write them (`application/x-www-form-urlencoded`), in bodies and in queries.
//!
//! Values are taken as they are: nothing is trimmed, empty values stay, unknown names stay. What Twilio would not send, an
//! escape that is none or bytes that are no UTF-8, is refused and not guessed at: the signature is over what was meant.

use std::fmt;
use std::fmt::Write as _;

use thiserror::Error;

/// Names and values, decoded, in the order in which they came; a name may be there more than once. Values are about people:
/// its debug output has only the names.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Form(Vec<(String, String)>);

/// Why it is no form (400).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FormFault {
    /// More than [`MOST_BYTES`].
    #[error("more than 64 KiB")]
    TooLong,
    /// More than [`MOST_FIELDS`].
    #[error("more than 200 parameters")]
    TooMany,
    /// `%` without two hexadecimal digits.
    #[error("an escape that is none")]
    Escape,
    /// A name or a value is no UTF-8.
    #[error("not UTF-8")]
    Text,
}

impl FormFault {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::TooLong => "form_too_long",
            Self::TooMany => "form_too_many_fields",
            Self::Escape => "form_bad_escape",
            Self::Text => "form_bad_text",
        }
    }
}

/// A name that is there more than once, with values that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("said twice, and differently")]
pub struct Contradiction;

impl Form {
    /// Reads a body or the part of a URL after `?`.
    pub fn parse(bytes: &[u8]) -> Result<Self, FormFault> {
        if bytes.len() > MOST_BYTES {
            return Err(FormFault::TooLong);
        }
        let mut fields = Vec::new();
        for field in bytes.split(|byte| *byte == b'&').filter(|f| !f.is_empty()) {
            if fields.len() == MOST_FIELDS {
                return Err(FormFault::TooMany);
            }
            let mut halves = field.splitn(2, |byte| *byte == b'=');
            let mut half = || decode(halves.next().unwrap_or_default());
            fields.push((half()?, half()?));
        }
        Ok(Self(fields))
    }

    /// The first value of a name.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The value of a name that can have only one; said again, it must be the same.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Contradiction> {
        let mut values = self.all(name);
        let first = values.next();
        if values.any(|other| Some(other) != first) {
            return Err(Contradiction);
        }
        Ok(first)
    }

    /// The values of a name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.iter()
            .filter(move |(own, _)| *own == name)
            .map(|(_, value)| value)
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one, for a form that we send.
    pub fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// Writes it as a body or a query.
    #[must_use]
    pub fn encoded(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.iter() {
            if !text.is_empty() {
                text.push('&');
            }
            encode_into(name, &mut text);
            text.push('=');
            encode_into(value, &mut text);
        }
        text
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for Form {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a str)>>(fields: T) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self(fields.into_iter().map(owned).collect())
    }
}

/// Writes `text` percent-encoded, so that it can be a name, a value or a segment of a path anywhere: only letters, digits,
/// `-`, `.`, `_` and `~` remain (RFC 3986 §2.3).
pub fn encode_into(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a `String` does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

fn decode(text: &[u8]) -> Result<String, FormFault> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut digit = || char::from(*rest.next()?).to_digit(16);
                let (Some(high), Some(low)) = (digit(), digit()) else {
                    return Err(FormFault::Escape);
                };
                bytes.push((high << 4 | low) as u8);
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).map_err(|_| FormFault::Text)
}

/// Bytes of one form.
pub const MOST_BYTES: usize = 64 * 1024;
/// Names and values of one form.
pub const MOST_FIELDS: usize = 200;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_decoded_and_nothing_is_trimmed() {
        let form = Form::parse(b"a=+x+&b=%2b%2B&c=&d&=e&f=1=2&&g=S%C3%A3o&a=%09").unwrap();

        let fields: Vec<_> = form.iter().collect();
        assert_eq!(
            fields,
            [
                ("a", " x "),
                ("b", "++"),
                ("c", ""),
                ("d", ""),
                ("", "e"),
                ("f", "1=2"),
                ("g", "S\u{e3}o"),
                ("a", "\t"),
            ]
        );
        assert_eq!(form.first("a"), Some(" x "));
        assert_eq!(form.one("a"), Err(Contradiction));
        assert_eq!(form.one("c"), Ok(Some("")));
        assert_eq!(form.one("z"), Ok(None));
        assert!(Form::parse(b"").unwrap().is_empty());
    }

    #[test]
    fn what_nobody_meant_is_refused() {
        for (bad, fault) in [
            (&b"a=%"[..], FormFault::Escape),
            (b"a=%4", FormFault::Escape),
            (b"a=%zz", FormFault::Escape),
            (b"%g0=1", FormFault::Escape),
            (b"a=%ff", FormFault::Text),
            (b"a=\xff", FormFault::Text),
        ] {
            assert_eq!(Form::parse(bad), Err(fault));
        }
    }

    #[test]
    fn there_is_a_most() {
        let many = "a=1&".repeat(MOST_FIELDS);
        assert_eq!(Form::parse(many.as_bytes()).unwrap().len(), MOST_FIELDS);
        let more = "a=1&".repeat(MOST_FIELDS + 1);
        assert_eq!(Form::parse(more.as_bytes()), Err(FormFault::TooMany));
        let long = "a".repeat(MOST_BYTES + 1);
        assert_eq!(Form::parse(long.as_bytes()), Err(FormFault::TooLong));
    }

    #[test]
    fn its_debug_output_has_no_values() {
        let form = Form::parse(b"Digits=canary&CallSid=canary").unwrap();

        assert_eq!(format!("{form:?}"), r#"["Digits", "CallSid"]"#);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fields in proptest::collection::vec((".{0,9}", ".{0,9}"), 0..8)) {
            let form: Form = fields.iter().map(|(n, v)| (&**n, &**v)).collect();

            let read = Form::parse(form.encoded().as_bytes());

            prop_assert_eq!(read, Ok(form));
        }

        #[test]
        fn no_bytes_are_too_odd(bytes: Vec<u8>) {
            let _ = Form::parse(&bytes);
        }
    }
}
