//! URIs: sip and sips (RFC 3261 §19.1), tel (RFC 3966).

mod equivalence;

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

use crate::sip::chars::{DIAL, HOST, URI, URI_PARAM, USER, number, part};
use crate::sip::error::ParseError;
use crate::sip::header::Params;

pub use crate::sip::uri::equivalence::is_equivalent;

/// A URI, read in place.
#[derive(Debug, Clone, Copy)]
pub enum Uri<'a> {
    /// `sip:` or `sips:`.
    Sip(SipUri<'a>),
    /// `tel:`.
    Tel(TelUri<'a>),
    /// Any other scheme.
    Other {
        /// The scheme, without the colon.
        scheme: &'a [u8],
        /// What is behind the colon.
        rest: &'a [u8],
    },
}

/// A sip or sips URI.
#[derive(Debug, Clone, Copy)]
pub struct SipUri<'a> {
    /// Whether it is a sips URI.
    pub secure: bool,
    /// The user part without its password, as written (escapes and `;` included).
    pub user: Option<&'a [u8]>,
    /// The password, as written.
    pub password: Option<&'a [u8]>,
    /// The host.
    pub host: Host<'a>,
    /// The port, where one is written.
    pub port: Option<u16>,
    /// The URI's parameters.
    pub params: Params<'a>,
    /// What is behind the `?`, where there is one.
    pub headers: Option<&'a [u8]>,
    /// The host as written, brackets included.
    pub host_text: &'a [u8],
}

/// A tel URI.
#[derive(Debug, Clone, Copy)]
pub struct TelUri<'a> {
    /// The number as written, visual separators included.
    pub number: &'a [u8],
    /// Its parameters.
    pub params: Params<'a>,
}

/// A host: a name or an address.
#[derive(Debug, Clone, Copy)]
pub enum Host<'a> {
    /// A domain name, as written.
    Name(&'a [u8]),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
}

impl<'a> Host<'a> {
    /// The address; `None` for a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Name(_) => None,
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(IpAddr::V6(*address)),
        }
    }

    /// The host as text, an IPv6 address in brackets.
    #[must_use]
    pub fn text(&self) -> impl fmt::Display + use<'a> {
        *self
    }

    /// Reads the host that begins at `at`; also gives where it ends.
    #[inline]
    pub(crate) fn read(bytes: &'a [u8], at: usize) -> Result<(Self, usize), ParseError> {
        if bytes.get(at) == Some(&b'[') {
            let rest = bytes.get(at + 1..).unwrap_or_default();
            let length = memchr::memchr(b']', rest).ok_or(ParseError::Uri)?;
            let address = ipv6(part(rest, 0, length)).ok_or(ParseError::Uri)?;
            return Ok((Self::V6(address), at + length + 2));
        }
        if let Some((address, end)) = ipv4(bytes, at) {
            return Ok((Self::V4(address), end));
        }
        let end = HOST.end(bytes, at);
        if end == at {
            return Err(ParseError::Uri);
        }
        Ok((Self::Name(part(bytes, at, end)), end))
    }
}

impl PartialEq for Host<'_> {
    /// Names are compared without regard to case.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Name(a), Self::Name(b)) => a.eq_ignore_ascii_case(b),
            (Self::V4(a), Self::V4(b)) => a == b,
            (Self::V6(a), Self::V6(b)) => a == b,
            (Self::Name(_) | Self::V4(_) | Self::V6(_), _) => false,
        }
    }
}

impl Eq for Host<'_> {}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(&String::from_utf8_lossy(name)),
            Self::V4(address) => address.fmt(f),
            Self::V6(address) => write!(f, "[{address}]"),
        }
    }
}

/// Reads the address that the host at `at` is, if it is one; also gives where it ends. Four decimal
/// numbers without leading zeros: some readers take `010` for eight.
#[inline]
fn ipv4(bytes: &[u8], at: usize) -> Option<(Ipv4Addr, usize)> {
    let mut address: u32 = 0;
    let mut end = at;
    for last in [b'.', b'.', b'.', 0] {
        let start = end;
        let mut octet: u32 = 0;
        while let Some(digit @ b'0'..=b'9') = bytes.get(end) {
            if end - start == 3 || (end > start && octet == 0) {
                return None;
            }
            octet = octet * 10 + u32::from(digit - b'0');
            end += 1;
        }
        if end == start || octet > 255 {
            return None;
        }
        address = (address << 8) | octet;
        if last == b'.' {
            if bytes.get(end) != Some(&last) {
                return None;
            }
            end += 1;
        }
    }
    let goes_on = bytes.get(end).is_some_and(|byte| HOST.has(*byte));
    (!goes_on).then(|| (Ipv4Addr::from(address), end))
}

fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    // RFC 5118 §4.10: an old grammar made `2001:db8:::192.0.2.1`, and one is to read it.
    let (before, behind) = text.split_once(":::")?;
    let mut fixed = [0; 48];
    let length = before.len() + 2 + behind.len();
    let target = fixed.get_mut(..length)?;
    let (start, rest) = target.split_at_mut(before.len());
    let (colons, end) = rest.split_at_mut(2);
    start.copy_from_slice(before.as_bytes());
    colons.copy_from_slice(b"::");
    end.copy_from_slice(behind.as_bytes());
    std::str::from_utf8(target).ok()?.parse().ok()
}

/// Reads the port behind the colon at `at`, if there is a colon; also gives where it ends.
#[inline]
fn port(bytes: &[u8], at: usize) -> Result<(Option<u16>, usize), ParseError> {
    if bytes.get(at) != Some(&b':') {
        return Ok((None, at));
    }
    let mut end = at + 1;
    while bytes.get(end).is_some_and(u8::is_ascii_digit) {
        end += 1;
    }
    let port = number(part(bytes, at + 1, end), u32::from(u16::MAX)).ok_or(ParseError::Uri)?;
    Ok((Some(port as u16), end))
}

impl<'a> Uri<'a> {
    /// Reads a whole URI. Schemes that are not ours are checked for stray bytes only.
    #[inline]
    pub fn parse(text: &'a [u8]) -> Result<Self, ParseError> {
        match text {
            [b's' | b'S', b'i' | b'I', b'p' | b'P', b':', rest @ ..] => {
                Ok(Self::Sip(SipUri::parse(false, rest)?))
            }
            [
                b's' | b'S',
                b'i' | b'I',
                b'p' | b'P',
                b's' | b'S',
                b':',
                rest @ ..,
            ] => Ok(Self::Sip(SipUri::parse(true, rest)?)),
            [b't' | b'T', b'e' | b'E', b'l' | b'L', b':', rest @ ..] => {
                Ok(Self::Tel(TelUri::parse(rest)?))
            }
            other => Self::parse_other(other),
        }
    }

    fn parse_other(text: &'a [u8]) -> Result<Self, ParseError> {
        let colon = memchr::memchr(b':', text).ok_or(ParseError::Uri)?;
        let (scheme, rest) = (part(text, 0, colon), part(text, colon + 1, text.len()));
        let [first, others @ ..] = scheme else {
            return Err(ParseError::Uri);
        };
        let is_scheme = first.is_ascii_alphabetic()
            && others
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
        if !is_scheme || !URI.fills(rest) {
            return Err(ParseError::Uri);
        }
        Ok(Self::Other { scheme, rest })
    }

    /// What the caller dialled: the user part of a sip URI or the number of a tel URI, as written.
    #[must_use]
    pub fn dialled(&self) -> Option<&'a [u8]> {
        match self {
            Self::Sip(sip) => sip.user,
            Self::Tel(tel) => Some(tel.number),
            Self::Other { .. } => None,
        }
    }
}

impl<'a> SipUri<'a> {
    /// Reads what is behind `sip:` or `sips:`.
    #[inline]
    fn parse(secure: bool, text: &'a [u8]) -> Result<Self, ParseError> {
        let mut at = 0;
        let mut user = None;
        let mut password = None;
        let user_end = USER.end(text, 0);
        if text.get(user_end) == Some(&b'@') {
            let (name, secret) = user_info(part(text, 0, user_end))?;
            user = Some(name);
            password = secret;
            at = user_end + 1;
        }
        let (host, host_end) = Host::read(text, at)?;
        let (port, port_end) = port(text, host_end)?;
        let params_end = uri_params(text, port_end)?;
        let headers = match text.get(params_end) {
            None => None,
            Some(b'?') => {
                let headers = text.get(params_end + 1..).unwrap_or_default();
                if !URI.fills(headers) || memchr::memchr(b'@', headers).is_some() {
                    return Err(ParseError::Uri);
                }
                Some(headers)
            }
            Some(_) => return Err(ParseError::Uri),
        };
        Ok(Self {
            secure,
            user,
            password,
            host,
            port,
            params: Params::new(part(text, port_end, params_end)),
            headers,
            host_text: part(text, at, host_end),
        })
    }
}

/// User and password of a userinfo; escapes must be whole.
#[inline]
fn user_info(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), ParseError> {
    let mut colon = None;
    // Mostly neither is there.
    let mut at = memchr::memchr2(b':', b'%', text).unwrap_or(text.len());
    while let Some(byte) = text.get(at) {
        match byte {
            b':' if colon.is_none() => colon = Some(at),
            b':' => return Err(ParseError::Uri),
            b'%' => {
                let digits = (text.get(at + 1), text.get(at + 2));
                let (Some(high), Some(low)) = digits else {
                    return Err(ParseError::Uri);
                };
                if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() {
                    return Err(ParseError::Uri);
                }
            }
            _ => {}
        }
        at += 1;
    }
    let (user, password) = match colon {
        None => (text, None),
        Some(colon) => (part(text, 0, colon), text.get(colon + 1..)),
    };
    if user.is_empty() {
        return Err(ParseError::Uri);
    }
    Ok((user, password))
}

/// Where the URI parameters that begin at `at` end: `;name` or `;name=value` each.
#[inline]
fn uri_params(text: &[u8], at: usize) -> Result<usize, ParseError> {
    let mut at = at;
    while text.get(at) == Some(&b';') {
        let end = URI_PARAM.end(text, at + 1);
        if end == at + 1 || text.get(at + 1) == Some(&b'=') {
            return Err(ParseError::Uri);
        }
        at = end;
    }
    Ok(at)
}

impl<'a> TelUri<'a> {
    /// Reads what is behind `tel:`.
    fn parse(text: &'a [u8]) -> Result<Self, ParseError> {
        let end = DIAL.end(text, 0);
        let params_end = uri_params(text, end)?;
        if end == 0 || params_end != text.len() {
            return Err(ParseError::Uri);
        }
        Ok(Self {
            number: part(text, 0, end),
            params: Params::new(part(text, end, params_end)),
        })
    }
}

/// Whether `uri` has the scheme `sips:`: every hop is to be TLS (RFC 3261 §19.1).
#[must_use]
pub fn is_secure(uri: &[u8]) -> bool {
    let scheme = uri.get(..5).unwrap_or_default();
    scheme.eq_ignore_ascii_case(b"sips:")
}

#[cfg(test)]
mod tests;
