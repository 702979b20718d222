//! The X-PH-Retreaver headers: which ones the buyer gets, how they are encoded, and which of the
//! caller's must never get there.

use crate::sip::build::Writer;
use crate::sip::chars::hex;

/// How the values of X-PH headers are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// All but `[A-Za-z0-9._~-]` is percent-encoded.
    #[default]
    Raw,
    /// Only letters, digits and `%` remain, as Plivo asks.
    Plivo,
}

impl Profile {
    fn keeps(self, byte: u8) -> bool {
        let is_mark = matches!(byte, b'.' | b'_' | b'~' | b'-');
        byte.is_ascii_alphanumeric() || (is_mark && self == Self::Raw)
    }
}

/// What the buyer is told about a call.
#[derive(Clone, Copy)]
pub struct RetreaverHeaders<'a> {
    /// The call's UUID.
    pub uuid: &'a [u8],
    /// The call's key: whoever has it may report on the call.
    pub key: &'a [u8],
    /// The publisher's id.
    pub afid: &'a str,
    /// The sub-publisher's id, where there is one.
    pub sid: Option<&'a str>,
    /// How values are encoded.
    pub profile: Profile,
}

/// Longest value, in bytes: what Plivo takes.
const MAX_VALUE: usize = 120;

impl RetreaverHeaders<'_> {
    /// Writes the headers; the SID only if there is one.
    pub fn write(&self, writer: &mut Writer<'_>) {
        self.write_one(writer, "X-PH-RetreaverUUID", self.uuid);
        self.write_one(writer, "X-PH-RetreaverKey", self.key);
        self.write_one(writer, "X-PH-RetreaverAFID", self.afid.as_bytes());
        if let Some(sid) = self.sid {
            self.write_one(writer, "X-PH-RetreaverSID", sid.as_bytes());
        }
    }

    /// The same headers for a writer of another kind, each with its value encoded.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, String)> {
        let fields = [
            ("X-PH-RetreaverUUID", Some(self.uuid)),
            ("X-PH-RetreaverKey", Some(self.key)),
            ("X-PH-RetreaverAFID", Some(self.afid.as_bytes())),
            ("X-PH-RetreaverSID", self.sid.map(str::as_bytes)),
        ];
        fields.into_iter().filter_map(|(name, value)| {
            let mut encoded = [0; MAX_VALUE];
            let length = encode(value?, self.profile, &mut encoded);
            let encoded = encoded.get(..length).unwrap_or_default();
            Some((name, String::from_utf8_lossy(encoded).into_owned()))
        })
    }

    fn write_one(&self, writer: &mut Writer<'_>, name: &'static str, value: &[u8]) {
        let mut encoded = [0; MAX_VALUE];
        let length = encode(value, self.profile, &mut encoded);
        writer.field(name, encoded.get(..length).unwrap_or_default());
    }
}

/// Percent-encodes `value` into `out` until it is full; no escape is cut. Gives the length.
fn encode(value: &[u8], profile: Profile, out: &mut [u8; MAX_VALUE]) -> usize {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let mut length = 0;
    if value.len() <= MAX_VALUE && value.iter().all(|byte| profile.keeps(*byte)) {
        if let Some(place) = out.get_mut(..value.len()) {
            place.copy_from_slice(value);
        }
        return value.len();
    }
    for byte in value {
        let escape = [b'%', digit(byte >> 4), digit(byte & 15)];
        let text = if profile.keeps(*byte) {
            std::slice::from_ref(byte)
        } else {
            &escape[..]
        };
        let Some(place) = out.get_mut(length..length + text.len()) else {
            break;
        };
        place.copy_from_slice(text);
        length += text.len();
    }
    length
}

/// Whether a header name of the caller's is, or could be read further on as, one of `X-PH-*`.
///
/// Case is set aside, escapes are undone, `_`, `.` and `-` count as one, and bytes that a sloppy reader
/// might drop are dropped. It is asked where the prefix stands, not only whether it stands first.
#[must_use]
pub fn is_reserved(raw_name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-ph-";
    if lacks_x(raw_name) {
        return false;
    }
    let mut prefix = Window::new();
    let mut ours = Window::new();
    unescaped(raw_name).any(|byte| {
        match byte {
            b'-' | b'_' | b'.' => prefix.push(b'-'),
            _ if byte.is_ascii_alphanumeric() => {
                prefix.push(byte.to_ascii_lowercase());
                ours.push(byte.to_ascii_lowercase());
            }
            _ => {}
        }
        prefix.ends_with(PREFIX) || ours.ends_with(OURS)
    })
}

/// Whether a value that the caller sent names one of our headers. To us that is mere text; to a reader
/// that splits lines where it should not, it would be the header.
#[must_use]
pub fn names_ours(value: &[u8]) -> bool {
    if lacks_x(value) {
        return false;
    }
    let mut ours = Window::new();
    unescaped(value).any(|byte| {
        if byte.is_ascii_alphanumeric() {
            ours.push(byte.to_ascii_lowercase());
        }
        ours.ends_with(OURS)
    })
}

/// Whether no `X`, with which all our names begin, is in `text`, not even as an escape: most texts,
/// told at a glance.
fn lacks_x(text: &[u8]) -> bool {
    memchr::memchr3(b'x', b'X', b'%', text).is_none()
}

/// What all our header names begin with, letters only.
const OURS: &[u8] = b"xphretreaver";

/// The bytes of `text` with percent-escapes undone.
pub(crate) fn unescaped(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *text.get(at)?;
        let escape = match text.get(at..at + 3) {
            Some([b'%', high, low]) => hex(*high).zip(hex(*low)),
            Some(_) | None => None,
        };
        let (byte, length) = match escape {
            Some((high, low)) => (high << 4 | low, 3),
            None => (byte, 1),
        };
        at += length;
        Some(byte)
    })
}

/// The last few bytes of what was pushed; several hyphens in a row count as one.
struct Window {
    bytes: [u8; 16],
}

impl Window {
    fn new() -> Self {
        Self { bytes: [0; 16] }
    }

    fn push(&mut self, byte: u8) {
        if byte == b'-' && self.bytes.last() == Some(&b'-') {
            return;
        }
        self.bytes.rotate_left(1);
        if let Some(last) = self.bytes.last_mut() {
            *last = byte;
        }
    }

    fn ends_with(&self, text: &[u8]) -> bool {
        self.bytes.ends_with(text)
    }
}

#[cfg(test)]
mod tests;
