//! One walk over a message's head: where each header is, and the gate (RFC 3261 §7.3, §25.1).
//!
//! The gate refuses what a next hop might read differently from us: NUL, CR or LF alone, a header
//! name that is no token, two of what may stand once, a Content-Length that lies. What it lets
//! through, every reader reads alike. Nothing is copied and, for a message of up to 40 headers,
//! nothing is allocated.

use std::ops::Range;

use memchr::memchr3;
use smallvec::SmallVec;

use crate::sip::chars::{TOKEN, number, part};
use crate::sip::error::ParseError;
pub use crate::sip::name::Name;

/// Longest message, in bytes; every offset fits 16 bits.
pub const MAX_MESSAGE: usize = 65_535;
/// Longest start line or header with its folds, in bytes.
pub const MAX_LINE: usize = 8 * 1024;
/// Most headers of a message.
pub const MAX_HEADERS: usize = 256;
/// Most Via values of a message, however they are spread over lines.
pub const MAX_VIAS: usize = 64;

/// Headers that fit without an allocation.
const INLINE_FIELDS: usize = 40;
/// Marks a name that no header has.
const NONE: u16 = u16::MAX;

/// Where one header is in its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// Whether its value goes over more than one line.
    pub folded: bool,
    start: u16,
    name_end: u16,
    value: u16,
    end: u16,
}

/// The headers of a message, in their order, and its body.
#[derive(Debug, Clone)]
pub struct Head<'a> {
    bytes: &'a [u8],
    fields: SmallVec<[Field; INLINE_FIELDS]>,
    /// Index of the first header of each name.
    first: [u16; Name::COUNT],
    body: &'a [u8],
}

impl Field {
    /// Where its value is in the bytes that were scanned.
    pub(crate) fn value_span(&self) -> Range<usize> {
        usize::from(self.value)..usize::from(self.end)
    }
}

impl<'a> Head<'a> {
    pub(crate) fn empty(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            fields: SmallVec::new(),
            first: [NONE; Name::COUNT],
            body: &[],
        }
    }

    /// Bytes of the whole message as it came, start line and body included.
    #[must_use]
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// All headers, in the order of the message.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The value of `field` without the white space around it. It still holds its folds (CRLF and
    /// white space) where [`Field::folded`] says so.
    #[must_use]
    #[inline]
    pub fn value(&self, field: &Field) -> &'a [u8] {
        self.bytes.get(field.value_span()).unwrap_or_default()
    }

    /// The name of `field` as it was written.
    #[must_use]
    pub fn raw_name(&self, field: &Field) -> &'a [u8] {
        part(
            self.bytes,
            usize::from(field.start),
            usize::from(field.name_end),
        )
    }

    /// The first header called `name`; never one of [`Name::Other`].
    #[must_use]
    #[inline]
    pub fn first_field(&self, name: Name) -> Option<&Field> {
        self.fields
            .get(usize::from(*self.first.get(name as usize)?))
    }

    /// The value of the first header called `name`.
    #[must_use]
    #[inline]
    pub fn first(&self, name: Name) -> Option<&'a [u8]> {
        self.first_field(name).map(|field| self.value(field))
    }

    /// The values of all headers called `name`, one for each header line.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &'a [u8]> {
        let first = self
            .first
            .get(name as usize)
            .copied()
            .map_or(0, usize::from);
        self.fields
            .get(first..)
            .unwrap_or_default()
            .iter()
            .filter(move |field| field.name == name)
            .map(|field| self.value(field))
    }

    /// The whole message that it was read from, what is behind the body included.
    #[must_use]
    pub fn message(&self) -> &'a [u8] {
        self.bytes
    }

    /// The body: as long as Content-Length says, else all that is behind the head.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The same headers, with another body; what they say of its length means nothing any more.
    #[must_use]
    pub fn with_body<'b>(&self, body: &'b [u8]) -> Head<'b>
    where
        'a: 'b,
    {
        Head {
            body,
            ..self.clone()
        }
    }

    /// Takes `field` in. `false`: one of its name is there already.
    #[inline]
    pub(crate) fn push(&mut self, field: Field) -> bool {
        let index = self.fields.len() as u16;
        self.fields.push(field);
        match self.first.get_mut(field.name as usize) {
            Some(first) if *first == NONE => *first = index,
            Some(_) => return false,
            None => {}
        }
        true
    }
}

/// Reads the headers of `bytes`, the first of which begins at `at`, and finds the body.
pub(crate) fn scan_head(bytes: &[u8], at: usize) -> Result<Head<'_>, ParseError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(ParseError::MessageTooLong);
    }
    let mut head = Head::empty(bytes);
    let mut vias = 0;
    let mut length = None;
    let mut at = at;
    loop {
        if let Some([b'\r', b'\n']) = bytes.get(at..at + 2) {
            break;
        }
        let (field, next) = scan_field(bytes, at)?;
        at = next;
        if head.fields.len() >= MAX_HEADERS {
            return Err(ParseError::TooManyHeaders);
        }
        let is_first = head.push(field);
        if field.name == Name::Via {
            let value = head.value(&field);
            vias += 1 + memchr::memchr_iter(b',', value).count();
            if vias > MAX_VIAS {
                return Err(ParseError::TooManyVias);
            }
        } else if field.name == Name::ContentLength {
            let value = number(head.value(&field), u32::MAX).ok_or(ParseError::ContentLength)?;
            if length.is_some_and(|length| length != value) {
                return Err(ParseError::ContentLength);
            }
            length = Some(value);
        } else if !is_first && field.name.is_single() {
            return Err(ParseError::Repeated(field.name));
        }
    }
    let rest = bytes.get(at + 2..).unwrap_or_default();
    head.body = match length {
        None => rest,
        Some(length) => rest.get(..length as usize).ok_or(ParseError::ShortBody)?,
    };
    Ok(head)
}

/// Reads the header that begins at `at`; also gives where the next line begins.
#[inline]
pub(crate) fn scan_field(bytes: &[u8], at: usize) -> Result<(Field, usize), ParseError> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(colon) = memchr::memchr(b':', rest) else {
        return Err(name_fault(bytes, at));
    };
    let mut raw_name = part(rest, 0, colon);
    while let [shorter @ .., b' ' | b'\t'] = raw_name {
        raw_name = shorter;
    }
    let name = Name::from_text(raw_name);
    if name == Name::Other && !TOKEN.fills(raw_name) {
        return Err(name_fault(bytes, at));
    }
    let name_end = at + raw_name.len();
    let mut folded = false;
    let mut value = at + colon + 1;
    let mut from = value;
    let line_end = loop {
        let end = line_end(bytes, from)?;
        match bytes.get(end + 2) {
            Some(b' ' | b'\t') => {
                folded = true;
                from = end + 3;
            }
            Some(_) => break end,
            None => return Err(ParseError::NoBlankLine),
        }
    };
    if line_end - at > MAX_LINE {
        return Err(ParseError::HeaderTooLong);
    }
    let mut end = line_end;
    while value < end && is_blank(bytes, value) {
        value += 1;
    }
    while value < end && is_blank(bytes, end - 1) {
        end -= 1;
    }
    let field = Field {
        name,
        folded: folded && memchr::memchr(b'\n', part(bytes, value, end)).is_some(),
        start: at as u16,
        name_end: name_end as u16,
        value: value as u16,
        end: end as u16,
    };
    Ok((field, line_end + 2))
}

/// Index of the CR of the CRLF that ends the line with `at` in it, folds not looked for.
#[inline]
pub(crate) fn line_end(bytes: &[u8], at: usize) -> Result<usize, ParseError> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(end) = memchr3(b'\r', b'\n', 0, rest) else {
        return Err(ParseError::NoBlankLine);
    };
    match rest.get(end..) {
        Some([b'\r', b'\n', ..]) => Ok(at + end),
        Some([0, ..]) => Err(ParseError::Nul),
        Some(_) | None => Err(ParseError::LineBreak),
    }
}

#[inline]
fn is_blank(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at), Some(b' ' | b'\t' | b'\r' | b'\n'))
}

/// What is wrong with the line at `at`, which does not begin with a name and a colon.
#[cold]
fn name_fault(bytes: &[u8], at: usize) -> ParseError {
    let mut end = TOKEN.end(bytes, at);
    while let Some(b' ' | b'\t') = bytes.get(end) {
        end += 1;
    }
    match bytes.get(end) {
        None => ParseError::NoBlankLine,
        Some(0) => ParseError::Nul,
        Some(b'\n') => ParseError::LineBreak,
        Some(b'\r') if bytes.get(end + 1) != Some(&b'\n') => ParseError::LineBreak,
        Some(_) => ParseError::HeaderName,
    }
}

#[cfg(test)]
mod tests;
