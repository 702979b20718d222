//! Requests and responses (RFC 3261 §7), read in place.

use crate::sip::chars::{TOKEN, number, part};
use crate::sip::error::ParseError;
pub use crate::sip::essentials::{Essentials, Naming, ResponseEssentials};
pub use crate::sip::scan::{Field, Head, Name};
use crate::sip::scan::{MAX_LINE, MAX_MESSAGE, MAX_VIAS, line_end, scan_field, scan_head};

/// One message.
#[derive(Debug, Clone)]
pub enum Message<'a> {
    /// A request.
    Request(Request<'a>),
    /// A response.
    Response(Response<'a>),
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Its method.
    pub method: Method<'a>,
    /// Its Request-URI, as written.
    pub uri: &'a [u8],
    /// Its headers and body.
    pub head: Head<'a>,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Response<'a> {
    /// Its status, 100 to 699.
    pub status: u16,
    /// Its reason phrase; may be empty.
    pub reason: &'a [u8],
    /// Its headers and body.
    pub head: Head<'a>,
}

impl<'a> Request<'a> {
    /// The same request with another body, which its Content-Length does not speak of.
    #[must_use]
    pub fn with_body<'b>(&self, body: &'b [u8]) -> Request<'b>
    where
        'a: 'b,
    {
        Request {
            method: self.method,
            uri: self.uri,
            head: self.head.with_body(body),
        }
    }
}

impl<'a> Response<'a> {
    /// The same response with another body, which its Content-Length does not speak of.
    #[must_use]
    pub fn with_body<'b>(&self, body: &'b [u8]) -> Response<'b>
    where
        'a: 'b,
    {
        Response {
            status: self.status,
            reason: self.reason,
            head: self.head.with_body(body),
        }
    }
}

/// What was wrong with a datagram, and what is left of it to answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{error}")]
pub struct Malformed<'a> {
    /// What was wrong.
    pub error: ParseError,
    /// The request with those of its Via, From, To, Call-ID and CSeq lines that are in
    /// order, without a body, its Request-URI unchecked; `None` where a response could not be written (RFC 3261 §8.2.6.2).
    pub answerable: Option<Box<Request<'a>>>,
}

/// Method of a request. Names are case-sensitive (RFC 3261 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method<'a> {
    /// RFC 3261 §13.
    Invite,
    /// RFC 3261 §13.
    Ack,
    /// RFC 3261 §15.
    Bye,
    /// RFC 3261 §9.
    Cancel,
    /// RFC 3261 §11.
    Options,
    /// RFC 3261 §10.
    Register,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 6086.
    Info,
    /// RFC 3428.
    Message,
    /// RFC 3515.
    Refer,
    /// RFC 6665.
    Notify,
    /// RFC 6665.
    Subscribe,
    /// RFC 3903.
    Publish,
    /// One that we do not know: a token.
    Other(&'a [u8]),
}

impl<'a> Method<'a> {
    /// The method that `name` names.
    #[must_use]
    pub fn from_bytes(name: &'a [u8]) -> Self {
        match name {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"OPTIONS" => Self::Options,
            b"REGISTER" => Self::Register,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"MESSAGE" => Self::Message,
            b"REFER" => Self::Refer,
            b"NOTIFY" => Self::Notify,
            b"SUBSCRIBE" => Self::Subscribe,
            b"PUBLISH" => Self::Publish,
            other => Self::Other(other),
        }
    }

    /// Its name on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        if let Self::Other(name) = self {
            name
        } else {
            self.label().as_bytes()
        }
    }

    /// Its name where the set of names must be bounded: `other` for those we do not know.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Options => "OPTIONS",
            Self::Register => "REGISTER",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Info => "INFO",
            Self::Message => "MESSAGE",
            Self::Refer => "REFER",
            Self::Notify => "NOTIFY",
            Self::Subscribe => "SUBSCRIBE",
            Self::Publish => "PUBLISH",
            Self::Other(_) => "other",
        }
    }
}

/// Reads one datagram. The body is cut at Content-Length, what is behind it is ignored
/// (RFC 3261 §18.3); empty lines in front are skipped (§7.5).
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, Malformed<'_>> {
    let mut bytes = bytes;
    while let [b'\r', b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    read(bytes).map_err(|error| Malformed {
        error,
        answerable: salvage(bytes),
    })
}

fn read(bytes: &[u8]) -> Result<Message<'_>, ParseError> {
    let end = match line_end(bytes, 0) {
        Err(ParseError::NoBlankLine) => return Err(ParseError::NotSip),
        end => end?,
    };
    let line = part(bytes, 0, end);
    match read_start(line)? {
        _ if line.len() > MAX_LINE => Err(ParseError::UriTooLong),
        Start::Request { method, uri } => Ok(Message::Request(Request {
            method,
            uri,
            head: scan_head(bytes, end + 2)?,
        })),
        Start::Response { status, reason } => Ok(Message::Response(Response {
            status,
            reason,
            head: scan_head(bytes, end + 2)?,
        })),
    }
}

enum Start<'a> {
    Request { method: Method<'a>, uri: &'a [u8] },
    Response { status: u16, reason: &'a [u8] },
}

fn read_start(line: &[u8]) -> Result<Start<'_>, ParseError> {
    if is_version(line) {
        let (version, rest) = split(line, memchr::memchr(b' ', line));
        check_version(version)?;
        let (code, reason) = split(rest, memchr::memchr(b' ', rest));
        return match number(code, 699) {
            Some(status @ 100..) if code.len() == 3 => Ok(Start::Response {
                status: status as u16,
                reason,
            }),
            Some(_) | None => Err(ParseError::StartLine),
        };
    }
    let (rest, version) = split(line, memchr::memrchr(b' ', line));
    if !is_version(version) {
        let is_padded = line.ends_with(b" ") && line.windows(5).any(|word| word == b" SIP/");
        return Err(if is_padded {
            ParseError::StartLine
        } else {
            ParseError::NotSip
        });
    }
    check_version(version)?;
    let (method, uri) = split(rest, memchr::memchr(b' ', rest));
    if !TOKEN.fills(method) || uri.is_empty() || memchr::memchr(b' ', uri).is_some() {
        return Err(ParseError::StartLine);
    }
    Ok(Start::Request {
        method: Method::from_bytes(method),
        uri,
    })
}

/// The parts before and behind the space at `at`.
fn split(line: &[u8], at: Option<usize>) -> (&[u8], &[u8]) {
    let at = at.unwrap_or(line.len());
    (part(line, 0, at), line.get(at + 1..).unwrap_or_default())
}

fn is_version(text: &[u8]) -> bool {
    text.get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
}

fn check_version(text: &[u8]) -> Result<(), ParseError> {
    let number = text.get(4..).unwrap_or_default();
    if number == b"2.0" {
        return Ok(());
    }
    let mut digits = number.splitn(2, |byte| *byte == b'.');
    let is_version = digits
        .by_ref()
        .take(2)
        .filter(|part| is_number(part))
        .count()
        == 2;
    Err(if is_version {
        ParseError::Version
    } else {
        ParseError::StartLine
    })
}

fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

/// What a response repeats (RFC 3261 §8.2.6.2).
const NEEDED: [Name; 5] = [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq];

impl Request<'_> {
    /// Whether all is there that a response repeats, well formed or not.
    #[must_use]
    pub fn is_answerable(&self) -> bool {
        NEEDED.iter().all(|name| self.head.first(*name).is_some())
    }
}

/// What of a refused request is in order and enough to answer it by.
#[cold]
fn salvage(bytes: &[u8]) -> Option<Box<Request<'_>>> {
    let bytes = part(bytes, 0, bytes.len().min(MAX_MESSAGE));
    let mut at = line_end(bytes, 0).ok()?;
    let line = part(bytes, 0, at);
    let (method, rest) = split(line, memchr::memchr(b' ', line));
    let uri = part(rest, 0, memchr::memmem::find(rest, b" SIP/")?);
    if is_version(line) || !TOKEN.fills(method) {
        return None;
    }
    let mut head = Head::empty(bytes);
    let mut vias = 0;
    at += 2;
    while at < bytes.len() && !bytes.get(at..)?.starts_with(b"\r\n") {
        let Ok((field, next)) = scan_field(bytes, at) else {
            at = next_line(bytes, at)?;
            continue;
        };
        at = next;
        let name = field.name;
        if name == Name::Via {
            vias += 1 + memchr::memchr_iter(b',', head.value(&field)).count();
        }
        if vias > MAX_VIAS {
            return None;
        }
        if name == Name::Via || (NEEDED.contains(&name) && head.first(name).is_none()) {
            head.push(field);
        }
    }
    let request = Request {
        method: Method::from_bytes(method),
        uri,
        head,
    };
    request.is_answerable().then(|| Box::new(request))
}

/// Where the line behind the one with `at` in it begins, whatever is in that one.
fn next_line(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let end = memchr::memmem::find(rest, b"\r\n").map(|end| at + end + 2);
    Some(end.unwrap_or(bytes.len()))
}

#[cfg(test)]
mod tests;
