//! Typed views of header values: Via, the address headers, digest credentials and challenges.
//!
//! A view borrows the value it was read from. The value may hold folds: the gate let CR and LF pass as
//! folds only, so between elements they count as white space.

use crate::sip::chars::{LWS, TOKEN, URI, VALUE, number, part, quoted_end, skip_lws, trim};
use crate::sip::error::ParseError;
use crate::sip::name::Name;
use crate::sip::uri::Host;

/// Parameters behind a value or in a URI: `;name=value;name`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Params<'a>(&'a [u8]);

impl<'a> Params<'a> {
    /// Takes text that was checked: empty, or beginning with `;`.
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self(text)
    }

    /// All of it as written.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.0
    }

    /// The parameter called `name`, in any case: `None` if it is not there, `Some(None)` if it has no
    /// value, else the value as written, quotes included.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// Names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let text = self.0;
        let mut at = 0;
        std::iter::from_fn(move || {
            if at >= text.len() {
                return None;
            }
            let start = at + 1;
            let mut equals = None;
            at = start;
            while let Some(byte) = text.get(at) {
                match byte {
                    b';' => break,
                    b'=' if equals.is_none() => equals = Some(at),
                    b'"' => {
                        at = quoted_end(text, at, ParseError::Params).unwrap_or(text.len());
                        continue;
                    }
                    _ => {}
                }
                at += 1;
            }
            let value = equals.map(|equals| trim(part(text, equals + 1, at)));
            Some((trim(part(text, start, equals.unwrap_or(at))), value))
        })
    }
}

/// Walks over the parameters that begin at `at`, checks them, and gives where they end and the value
/// of the one called `wanted`, which must have a value and stand once: a reader that took another one
/// would see another dialog or transaction. White space behind the last one belongs to none.
#[inline]
fn read_params<'a>(
    bytes: &'a [u8],
    at: usize,
    wanted: &[u8],
) -> Result<(usize, Option<&'a [u8]>), ParseError> {
    let mut end = at;
    let mut found = None;
    loop {
        let semicolon = skip_lws(bytes, end);
        if bytes.get(semicolon) != Some(&b';') {
            return Ok((end, found));
        }
        let name = skip_lws(bytes, semicolon + 1);
        end = TOKEN.end(bytes, name);
        if end == name {
            return Err(ParseError::Params);
        }
        let is_wanted =
            end - name == wanted.len() && part(bytes, name, end).eq_ignore_ascii_case(wanted);
        let equals = skip_lws(bytes, end);
        if bytes.get(equals) != Some(&b'=') {
            if is_wanted {
                return Err(ParseError::Params);
            }
            continue;
        }
        let value = skip_lws(bytes, equals + 1);
        end = if bytes.get(value) == Some(&b'"') {
            quoted_end(bytes, value, ParseError::Params)?
        } else {
            VALUE.end(bytes, value)
        };
        if end == value {
            return Err(ParseError::Params);
        }
        if is_wanted && found.replace(part(bytes, value, end)).is_some() {
            return Err(ParseError::Params);
        }
    }
}

/// One Via value (RFC 3261 §20.42).
#[derive(Debug, Clone, Copy)]
pub struct Via<'a> {
    /// The transport, as written.
    pub transport: &'a [u8],
    /// Host of sent-by.
    pub host: Host<'a>,
    /// Port of sent-by, where one is written.
    pub port: Option<u16>,
    /// Its parameters.
    pub params: Params<'a>,
    /// This one value, as written.
    pub text: &'a [u8],
    branch: Option<&'a [u8]>,
}

impl<'a> Via<'a> {
    /// Reads the first value of a Via header.
    #[inline]
    pub fn parse(value: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(value, 0).map(|(via, _)| via)
    }

    /// Reads all values of a Via header; ends behind the first that is malformed.
    pub fn parse_all(value: &'a [u8]) -> impl Iterator<Item = Result<Self, ParseError>> + use<'a> {
        list(value, Self::read)
    }

    /// The branch (RFC 3261 §8.1.1.7).
    #[must_use]
    pub fn branch(&self) -> Option<&'a [u8]> {
        self.branch
    }

    /// The rport parameter: `Some(None)` asks for the port (RFC 3581 §3).
    #[must_use]
    pub fn rport(&self) -> Option<Option<&'a [u8]>> {
        self.params.get("rport")
    }

    /// The received parameter (RFC 3261 §18.2.1).
    #[must_use]
    pub fn received(&self) -> Option<&'a [u8]> {
        self.params.get("received").flatten()
    }

    #[inline]
    fn read(bytes: &'a [u8], at: usize) -> Element<Self> {
        const FAULT: ParseError = ParseError::Invalid(Name::Via);
        let start = skip_lws(bytes, at);
        let protocol = match bytes.get(start..) {
            Some([b'S', b'I', b'P', b'/', b'2', b'.', b'0', b'/', ..]) => start + 8,
            _ => read_protocol(bytes, start).ok_or(FAULT)?,
        };
        let transport_end = TOKEN.end(bytes, protocol);
        let host = skip_lws(bytes, transport_end);
        if transport_end == protocol || host == transport_end {
            return Err(FAULT);
        }
        let (sent_by, host_end) = Host::read(bytes, host).map_err(|_| FAULT)?;
        let mut end = host_end;
        let mut port = None;
        let colon = skip_lws(bytes, end);
        if bytes.get(colon) == Some(&b':') {
            let digits = skip_lws(bytes, colon + 1);
            end = digits;
            while bytes.get(end).is_some_and(u8::is_ascii_digit) {
                end += 1;
            }
            let value = number(part(bytes, digits, end), u32::from(u16::MAX)).ok_or(FAULT)?;
            port = Some(value as u16);
        }
        let (params_end, branch) = read_params(bytes, end, b"branch").map_err(|_| FAULT)?;
        let next = next_element(bytes, params_end, FAULT)?;
        let via = Self {
            transport: part(bytes, protocol, transport_end),
            host: sent_by,
            port,
            params: Params(trim(part(bytes, end, params_end))),
            text: part(bytes, start, params_end),
            branch,
        };
        Ok((via, next))
    }
}

/// Where the transport begins in `SIP / 2.0 / UDP`, spaces and any case allowed.
#[cold]
fn read_protocol(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    for wanted in [&b"SIP"[..], b"2.0"] {
        let end = TOKEN.end(bytes, at);
        if !part(bytes, at, end).eq_ignore_ascii_case(wanted) {
            return None;
        }
        let slash = skip_lws(bytes, end);
        if bytes.get(slash) != Some(&b'/') {
            return None;
        }
        at = skip_lws(bytes, slash + 1);
    }
    Some(at)
}

/// Where the next element of a list begins if one element ends at `at`; `None` if it was the last.
#[inline]
fn next_element(bytes: &[u8], at: usize, fault: ParseError) -> Result<Option<usize>, ParseError> {
    let end = skip_lws(bytes, at);
    match bytes.get(end) {
        None => Ok(None),
        Some(b',') => Ok(Some(end + 1)),
        Some(_) => Err(fault),
    }
}

/// One element, and where the next one begins.
type Element<T> = Result<(T, Option<usize>), ParseError>;

/// The elements of a comma-separated value.
fn list<'a, T>(
    value: &'a [u8],
    read: impl Fn(&'a [u8], usize) -> Element<T>,
) -> impl Iterator<Item = Result<T, ParseError>> {
    let mut at = Some(0);
    std::iter::from_fn(move || {
        let element = read(value, at?);
        at = element.as_ref().ok().and_then(|(_, next)| *next);
        Some(element.map(|(item, _)| item))
    })
}

/// One value of From, To, Contact, Route or Record-Route (RFC 3261 §20.10).
#[derive(Debug, Clone, Copy)]
pub struct NameAddr<'a> {
    /// The display name as written, quotes included; empty where there is none.
    pub display: &'a [u8],
    /// The URI: what is between `<` and `>`, or the addr-spec. `*` in Contact.
    pub uri: &'a [u8],
    /// The header's parameters, not the URI's.
    pub params: Params<'a>,
    /// This one value, as written.
    pub text: &'a [u8],
    tag: Option<&'a [u8]>,
}

/// Reads the comma-separated addresses of a Contact, Route or Record-Route value; ends behind the
/// first that is malformed.
pub fn name_addrs(
    value: &[u8],
) -> impl Iterator<Item = Result<NameAddr<'_>, ParseError>> + use<'_> {
    list(value, NameAddr::read)
}

impl<'a> NameAddr<'a> {
    /// Reads a value that is one address (From, To). The URI is not read any further.
    #[inline]
    pub fn parse(value: &'a [u8]) -> Result<Self, ParseError> {
        match Self::read(value, 0)? {
            (address, None) => Ok(address),
            (_, Some(_)) => Err(ParseError::Params),
        }
    }

    /// Reads the first address of a list.
    #[inline]
    pub fn parse_first(value: &'a [u8]) -> Result<Self, ParseError> {
        Self::read(value, 0).map(|(address, _)| address)
    }

    /// The tag parameter (RFC 3261 §19.3).
    #[must_use]
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.tag
    }

    #[inline]
    fn read(bytes: &'a [u8], at: usize) -> Element<Self> {
        const FAULT: ParseError = ParseError::Uri;
        let start = skip_lws(bytes, at);
        let mut mark = start;
        if bytes.get(start) == Some(&b'"') {
            mark = skip_lws(bytes, quoted_end(bytes, start, FAULT)?);
            if bytes.get(mark) != Some(&b'<') {
                return Err(FAULT);
            }
        } else {
            while bytes
                .get(mark)
                .is_some_and(|byte| !matches!(byte, b'<' | b'>' | b'"' | b';' | b','))
            {
                mark += 1;
            }
        }
        let (display, uri, uri_end) = if bytes.get(mark) == Some(&b'<') {
            let rest = bytes.get(mark + 1..).unwrap_or_default();
            let length = memchr::memchr(b'>', rest).ok_or(FAULT)?;
            let display = trim(part(bytes, start, mark));
            (display, part(rest, 0, length), mark + length + 2)
        } else {
            let uri = trim(part(bytes, start, mark));
            // RFC 3261 §20.10: a URI with a question mark must be in brackets.
            if !URI.fills(uri) || memchr::memchr(b'?', uri).is_some() {
                return Err(FAULT);
            }
            (&[][..], uri, start + uri.len())
        };
        let (params_end, tag) = read_params(bytes, uri_end, b"tag")?;
        let next = next_element(bytes, params_end, ParseError::Params)?;
        let address = Self {
            display,
            uri,
            params: Params(trim(part(bytes, uri_end, params_end))),
            text: part(bytes, start, params_end),
            tag,
        };
        Ok((address, next))
    }
}

/// Scheme and parameters of an Authorization or WWW-Authenticate value (RFC 3261 §25.1 `challenge`).
#[derive(Debug, Clone, Copy)]
pub struct AuthParams<'a> {
    /// The scheme, as written.
    pub scheme: &'a [u8],
    text: &'a [u8],
}

/// Name, value without its quotes, and whether it had them.
pub type AuthParam<'a> = (&'a [u8], &'a [u8], bool);

impl<'a> AuthParams<'a> {
    /// Reads a value whose scheme is followed by `name=value` pairs.
    pub fn parse(value: &'a [u8]) -> Result<Self, ParseError> {
        let value = trim(value);
        let end = TOKEN.end(value, 0);
        let start = skip_lws(value, end);
        if end == 0 || start == end {
            return Err(ParseError::Params);
        }
        let params = Self {
            scheme: part(value, 0, end),
            text: value.get(start..).unwrap_or_default(),
        };
        let mut at = 0;
        while let Some((_, next)) = params.read(at)? {
            at = next;
        }
        Ok(params)
    }

    /// Name, value without its quotes, and whether it had them, in their order. Escapes in a quoted
    /// value are left as they are: digests are computed over the text as written.
    pub fn iter(&self) -> impl Iterator<Item = AuthParam<'a>> + use<'a> {
        let params = *self;
        let mut at = 0;
        std::iter::from_fn(move || {
            let (pair, next) = params.read(at).ok()??;
            at = next;
            Some(pair)
        })
    }

    /// The value of the parameter called `name`, in any case, without its quotes; the first of several.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter()
            .find(|(other, _, _)| other.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value, _)| value)
    }

    /// Reads the pair that begins at `at`; `None` at the end.
    fn read(&self, at: usize) -> Result<Option<(AuthParam<'a>, usize)>, ParseError> {
        let text = self.text;
        let mut name = at;
        while text
            .get(name)
            .is_some_and(|byte| *byte == b',' || LWS.has(*byte))
        {
            name += 1;
        }
        if name == text.len() {
            return Ok(None);
        }
        let name_end = TOKEN.end(text, name);
        let equals = skip_lws(text, name_end);
        if name_end == name || text.get(equals) != Some(&b'=') {
            return Err(ParseError::Params);
        }
        let value = skip_lws(text, equals + 1);
        let is_quoted = text.get(value) == Some(&b'"');
        let end = if is_quoted {
            quoted_end(text, value, ParseError::Params)?
        } else {
            VALUE.end(text, value)
        };
        let next = next_element(text, end, ParseError::Params)?.unwrap_or(text.len());
        let inner = if is_quoted {
            part(text, value + 1, end - 1)
        } else {
            part(text, value, end)
        };
        Ok(Some(((part(text, name, name_end), inner, is_quoted), next)))
    }
}

#[cfg(test)]
mod tests;
