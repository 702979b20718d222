//! Classes of bytes in SIP's grammar (RFC 3261 §25.1), and the walks over them that the views share.

use crate::sip::error::ParseError;

/// A set of bytes: one bit of [`CLASSES`].
#[derive(Clone, Copy)]
pub(crate) struct Class(u8);

/// `token`: names of headers, methods and parameters.
pub(crate) const TOKEN: Class = Class(1);
/// What a host name or an IPv4 address consists of; `_` is no host name's, but is met.
pub(crate) const HOST: Class = Class(2);
/// `user` and `password` of a URI with the `:` between them; `#` and 8-bit bytes are met unescaped.
pub(crate) const USER: Class = Class(4);
/// Names and values of URI parameters; `=` inside a value and 8-bit bytes are met.
pub(crate) const URI_PARAM: Class = Class(8);
/// Value of a header parameter that is not quoted: wider than the grammar's `gen-value`, but it
/// ends where every reader ends it.
pub(crate) const VALUE: Class = Class(16);
/// All that can stand in a URI of any scheme.
pub(crate) const URI: Class = Class(32);
/// Linear white space. CR and LF are in it because the gate let them pass as folds only.
pub(crate) const LWS: Class = Class(64);
/// Digits and visual separators of a telephone number (RFC 3966 §3).
pub(crate) const DIAL: Class = Class(128);

static CLASSES: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        let alnum = b.is_ascii_alphanumeric();
        let wide = b >= 0x80;
        let mark = matches!(
            b,
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')'
        );
        let mut set = 0;
        if alnum
            || matches!(
                b,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            )
        {
            set |= TOKEN.0;
        }
        if alnum || matches!(b, b'-' | b'.' | b'_') {
            set |= HOST.0;
        }
        if alnum
            || wide
            || mark
            || matches!(
                b,
                b'%' | b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/' | b':' | b'#'
            )
        {
            set |= USER.0;
        }
        if alnum
            || wide
            || mark
            || matches!(
                b,
                b'%' | b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$' | b'='
            )
        {
            set |= URI_PARAM.0;
        }
        let graphic = b > b' ' && b != 0x7f;
        if graphic && !matches!(b, b';' | b',' | b'"' | b'<' | b'>') {
            set |= VALUE.0;
        }
        if graphic && !matches!(b, b'"' | b'<' | b'>') {
            set |= URI.0;
        }
        if matches!(b, b' ' | b'\t' | b'\r' | b'\n') {
            set |= LWS.0;
        }
        if b.is_ascii_hexdigit() || matches!(b, b'+' | b'-' | b'.' | b'(' | b')' | b'*' | b'#') {
            set |= DIAL.0;
        }
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[byte] = set;
        }
        byte += 1;
    }
    table
}

impl Class {
    /// Whether `byte` is in it.
    #[inline]
    pub(crate) fn has(self, byte: u8) -> bool {
        CLASSES
            .get(usize::from(byte))
            .is_some_and(|set| set & self.0 != 0)
    }

    /// Whether all of `bytes` is in it, and there is something.
    #[inline]
    pub(crate) fn fills(self, bytes: &[u8]) -> bool {
        !bytes.is_empty() && bytes.iter().all(|byte| self.has(*byte))
    }

    /// Index of the first byte from `at` on that is not in it.
    #[inline]
    pub(crate) fn end(self, bytes: &[u8], at: usize) -> usize {
        let mut end = at;
        while let Some(byte) = bytes.get(end)
            && self.has(*byte)
        {
            end += 1;
        }
        end
    }
}

/// The part of `bytes` from `from` up to `to`; empty where that is no part of it.
#[inline]
pub(crate) fn part(bytes: &[u8], from: usize, to: usize) -> &[u8] {
    bytes.get(from..to).unwrap_or_default()
}

/// Index of the first byte from `at` on that is not linear white space.
#[inline]
pub(crate) fn skip_lws(bytes: &[u8], at: usize) -> usize {
    LWS.end(bytes, at)
}

/// `bytes` without linear white space on both sides.
#[inline]
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && LWS.has(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && LWS.has(*last)
    {
        bytes = rest;
    }
    bytes
}

/// Index behind the quoted string that begins at `at` (RFC 3261 §25.1 `quoted-string`).
pub(crate) fn quoted_end(bytes: &[u8], at: usize, fault: ParseError) -> Result<usize, ParseError> {
    let mut end = at + 1;
    loop {
        match bytes.get(end) {
            Some(b'"') => return Ok(end + 1),
            Some(b'\\') => end += 2,
            Some(_) => end += 1,
            None => return Err(fault),
        }
    }
}

/// The number that `digits` write, up to `limit`; leading zeros are allowed, signs are not.
#[inline]
pub(crate) fn number(digits: &[u8], limit: u32) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(digit - b'0');
        if value > u64::from(limit) {
            return None;
        }
    }
    u32::try_from(value).ok()
}

/// The value of one hexadecimal digit.
#[inline]
pub(crate) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
