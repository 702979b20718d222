//! Whether two URIs name the same thing (RFC 3261 §19.1.4, RFC 3966 §4).

use crate::sip::chars::{hex, part};
use crate::sip::header::Params;
use crate::sip::uri::Uri;

/// Parameters of which a URI that has them never equals one that has not.
const DECISIVE: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

/// Whether two URIs name the same thing (RFC 3261 §19.1.4, RFC 3966 §4).
#[must_use]
pub fn is_equivalent(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    match (a, b) {
        (Uri::Sip(a), Uri::Sip(b)) => {
            a.secure == b.secure
                && is_same_option(a.user, b.user, is_same_escaped)
                && is_same_option(a.password, b.password, is_same_escaped)
                && a.host == b.host
                && a.port == b.port
                && has_same_params(&a.params, &b.params)
                && has_same_params(&b.params, &a.params)
                && has_same_headers(a.headers, b.headers)
                && has_same_headers(b.headers, a.headers)
        }
        (Uri::Tel(a), Uri::Tel(b)) => {
            is_same_number(a.number, b.number)
                && has_all_params(&a.params, &b.params)
                && has_all_params(&b.params, &a.params)
        }
        (
            Uri::Other { scheme, rest },
            Uri::Other {
                scheme: other_scheme,
                rest: other_rest,
            },
        ) => scheme.eq_ignore_ascii_case(other_scheme) && rest == other_rest,
        (Uri::Sip(_) | Uri::Tel(_) | Uri::Other { .. }, _) => false,
    }
}

fn is_same_option(
    a: Option<&[u8]>,
    b: Option<&[u8]>,
    is_same: impl Fn(&[u8], &[u8]) -> bool,
) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => is_same(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// The bytes that `text` stands for. A reserved byte is another one when it is escaped.
fn unescaped(text: &[u8]) -> impl Iterator<Item = (u8, bool)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *text.get(at)?;
        let escape = || Some(hex(*text.get(at + 1)?)? << 4 | hex(*text.get(at + 2)?)?);
        if byte == b'%'
            && let Some(value) = escape()
        {
            at += 3;
            let is_reserved = matches!(
                value,
                b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b','
            );
            return Some((value, is_reserved));
        }
        at += 1;
        Some((byte, false))
    })
}

fn is_same_escaped(a: &[u8], b: &[u8]) -> bool {
    unescaped(a).eq(unescaped(b))
}

fn is_same_word(a: &[u8], b: &[u8]) -> bool {
    let lower = |(byte, kept): (u8, bool)| (byte.to_ascii_lowercase(), kept);
    unescaped(a).map(lower).eq(unescaped(b).map(lower))
}

fn is_same_number(a: &[u8], b: &[u8]) -> bool {
    let digits = |text| {
        <[u8]>::iter(text)
            .filter(|byte| !matches!(byte, b'-' | b'.' | b'(' | b')'))
            .map(u8::to_ascii_lowercase)
    };
    digits(a).eq(digits(b))
}

/// The values of the parameters called `name`, escapes and case set aside. There should be one at most.
fn values<'a>(params: &Params<'a>, name: &[u8]) -> impl Iterator<Item = Option<&'a [u8]>> {
    params
        .iter()
        .filter(|(other, _)| is_same_word(other, name))
        .map(|(_, value)| value)
}

fn has_same_params(a: &Params<'_>, b: &Params<'_>) -> bool {
    a.iter().all(|(name, value)| {
        let mut others = values(b, name).peekable();
        if others.peek().is_none() {
            return !DECISIVE
                .iter()
                .any(|decisive| is_same_word(name, decisive.as_bytes()));
        }
        others.any(|other| is_same_option(value, other, is_same_word))
    })
}

fn has_all_params(a: &Params<'_>, b: &Params<'_>) -> bool {
    a.iter().all(|(name, value)| {
        values(b, name).any(|other| is_same_option(value, other, is_same_word))
    })
}

/// Whether every `name=value` of `a` is in `b`.
fn has_same_headers(a: Option<&[u8]>, b: Option<&[u8]>) -> bool {
    let pairs = |headers: Option<_>| {
        <[u8]>::split(headers.unwrap_or_default(), |byte| *byte == b'&').map(|pair| {
            let equals = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            (part(pair, 0, equals), pair.get(equals + 1..))
        })
    };
    a.is_some() == b.is_some()
        && pairs(a).all(|(name, value)| {
            pairs(b).any(|(other, other_value)| {
                is_same_word(name, other) && is_same_option(value, other_value, is_same_escaped)
            })
        })
}
