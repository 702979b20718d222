//! Replacement tokens: text with holes in it, compiled once and filled in for each call.
//!
//! ```text
//! https://crm.example.com/?from=[caller_number]&age=[age]{unknown}
//!                               ^ token               ^ its default
//! ```
//!
//! A token is `[name]`, its name of `a`-`z`, `0`-`9` and `_`; anything else in brackets is text. A default in braces
//! right behind it stands in for what is not known or empty. The values of a name that has several are joined by commas.

use std::convert::Infallible;
use std::fmt;

use thiserror::Error;

use crate::types::tag::Lookup;

/// A text with tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Template(Box<[Part]>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Token {
        name: Box<str>,
        default: Option<Box<str>>,
    },
}

/// How values are written. The template's own text and its defaults stay as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// In a URL: percent-encoded but for what RFC 3986 §2.3 calls unreserved.
    Url,
    /// In a form (application/x-www-form-urlencoded): the same, with `+` for a space.
    Form,
    /// Inside a JSON string, without its quotes (RFC 8259 §7).
    Json,
    /// In a header of SIP or HTTP: visible ASCII and spaces as they are; all else, and `%`, percent-encoded.
    Header,
    /// As user part of a SIP URI: the first value that has nothing but letters, digits and `+._-`.
    SipUser,
    /// As it is.
    Raw,
}

/// What came out is longer than [`MOST_EXPANDED`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("longer than 64 KiB once its tokens are replaced")]
pub struct TooLong;

/// Bytes that a template may become.
pub const MOST_EXPANDED: usize = 64 * 1024;

impl Template {
    /// Compiles `text`. Every text is a template: what is no token is text.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = Vec::new();
        let (mut plain, mut rest) = (String::new(), text);
        while let Some((before, from)) = rest.find('[').and_then(|at| rest.split_at_checked(at)) {
            plain.push_str(before);
            let Some((name, after)) = token(from) else {
                plain.push('[');
                rest = from.strip_prefix('[').unwrap_or_default();
                continue;
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain).into()));
            }
            let (default, after) =
                default(after).map_or((None, after), |(it, after)| (Some(it), after));
            parts.push(Part::Token {
                name: name.into(),
                default: default.map(Into::into),
            });
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        Self(parts.into())
    }

    /// The names of its tokens, in order, some of them perhaps more than once.
    pub fn tokens(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Token { name, .. } => Some(&**name),
            Part::Text(_) => None,
        })
    }

    /// The text in front of the first token.
    #[must_use]
    pub fn head(&self) -> &str {
        match self.0.first() {
            Some(Part::Text(text)) => text,
            Some(Part::Token { .. }) | None => "",
        }
    }

    /// Whether it has no token.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.tokens().next().is_none()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes it behind what is in `out`, with what `lookup` knows.
    ///
    /// # Errors
    ///
    /// When it becomes too long; `out` then holds a part of it.
    pub fn expand(
        &self,
        lookup: &dyn Lookup,
        encoding: Encoding,
        out: &mut String,
    ) -> Result<(), TooLong> {
        let most = out.len() + MOST_EXPANDED;
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Token { name, default } => {
                    let start = out.len();
                    lookup.look_up(name, &mut |value| {
                        if !encoding.takes(value) || out.len() > most {
                            return;
                        }
                        let is_first = out.len() == start;
                        // One user at a time can be called.
                        if !is_first && encoding == Encoding::SipUser {
                            return;
                        }
                        if !is_first {
                            encoding.write(",", out);
                        }
                        encoding.write(value, out);
                    });
                    if out.len() == start {
                        out.push_str(default.as_deref().unwrap_or_default());
                    }
                }
            }
            if out.len() > most {
                return Err(TooLong);
            }
        }
        Ok(())
    }
}

/// The template as it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Token { name, default } => {
                write!(f, "[{name}]")?;
                default.iter().try_for_each(|text| write!(f, "{{{text}}}"))
            }
        })
    }
}

impl std::str::FromStr for Template {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self::parse(text))
    }
}

/// The name of the token that `text` begins with, and what follows it.
fn token(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('[')?.split_once(']')?;
    let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (!name.is_empty() && name.bytes().all(is_name)).then_some((name, after))
}

/// The default that `text` begins with, and what follows it.
fn default(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('{')?.split_once('}')
}

impl Encoding {
    /// Whether a value can be written at all.
    fn takes(self, value: &str) -> bool {
        match self {
            _ if value.is_empty() => false,
            Self::SipUser => value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+._-".contains(&b)),
            Self::Url | Self::Form | Self::Json | Self::Header | Self::Raw => true,
        }
    }

    fn write(self, value: &str, out: &mut String) {
        match self {
            Self::Url => percent(value, out, is_unreserved),
            Self::Form => {
                for (place, word) in value.split(' ').enumerate() {
                    if place > 0 {
                        out.push('+');
                    }
                    percent(word, out, is_unreserved);
                }
            }
            Self::Json => json(value, out),
            Self::Header => percent(value, out, |b| matches!(b, b' '..=b'~') && b != b'%'),
            Self::SipUser | Self::Raw => out.push_str(value),
        }
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Writes `value`, each byte that is not to be kept as `%XX`.
fn percent(value: &str, out: &mut String, is_kept: impl Fn(u8) -> bool) {
    for byte in value.bytes() {
        if is_kept(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(hex(byte >> 4));
            out.push(hex(byte & 15));
        }
    }
}

fn json(value: &str, out: &mut String) {
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '\u{7f}' => {
                let byte = c as u8;
                out.push_str("\\u00");
                out.extend([hex(byte >> 4), hex(byte & 15)]);
            }
            _ => out.push(c),
        }
    }
}

/// The digit of a number below 16, in upper case.
fn hex(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).map_or('0', |digit| digit.to_ascii_uppercase())
}

#[cfg(test)]
mod tests;
