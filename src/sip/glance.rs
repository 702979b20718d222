//! What a datagram is about, told from a glance at it, before it is worth the price of being read.
//!
//! ```text
//!   INVITE sip:... SIP/2.0      kind
//!   Via: ...                    passed over
//!   To: <...>;tag=...           within a dialog or not
//!   Authorization: ...          with credentials or not
//!   (blank line, or as far as a glance goes)
//! ```
//!
//! It says of every message that can be read what reading says of it, as long as its head is no longer than
//! [`REACH`]. Of others it may say anything: they are refused when they are read.

use crate::sip::chars::TOKEN;
use crate::sip::header::{NameAddr, Via};
use crate::sip::message::Method;

/// How far a glance goes, in bytes. Heads are a tenth of it.
pub const REACH: usize = 8 * 1024;

/// What there is to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance<'a> {
    /// What it is.
    pub kind: Kind<'a>,
    /// The tag in To, of a request.
    pub to_tag: Option<&'a [u8]>,
    /// The topmost Via's branch, of a response.
    pub branch: Option<&'a [u8]>,
    /// Whether an INVITE has an Authorization header.
    pub has_credentials: bool,
}

/// What kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// A request.
    Request(Method<'a>),
    /// A response.
    Response,
    /// None that could be read.
    Unreadable,
}

impl<'a> Glance<'a> {
    /// Looks at one message, as [`datagram`](crate::sip::frame::datagram) gives it.
    #[must_use]
    pub fn at(message: &'a [u8]) -> Self {
        let bytes = message.get(..REACH).unwrap_or(message);
        let (line, rest) = cut_line(bytes);
        let mut glance = Self {
            kind: kind(line),
            to_tag: None,
            branch: None,
            has_credentials: false,
        };
        match glance.kind {
            Kind::Request(method) => glance.look_at_request(rest, method == Method::Invite),
            Kind::Response => glance.look_at_response(rest),
            Kind::Unreadable => {}
        }
        glance
    }

    /// Whether it is an INVITE that begins a dialog.
    #[must_use]
    pub fn is_new_invite(&self) -> bool {
        self.kind == Kind::Request(Method::Invite) && self.to_tag.is_none()
    }

    fn look_at_request(&mut self, head: &'a [u8], wants_credentials: bool) {
        let mut is_to_seen = false;
        for (name, value) in fields(head, b"ta") {
            if !is_to_seen && (is(name, b"to") || is(name, b"t")) {
                is_to_seen = true;
                self.to_tag = NameAddr::parse(value).ok().and_then(|to| to.tag());
            } else if is(name, b"authorization") {
                self.has_credentials = wants_credentials;
            }
            if is_to_seen && (!wants_credentials || self.has_credentials) {
                return;
            }
        }
    }

    fn look_at_response(&mut self, head: &'a [u8]) {
        let via = fields(head, b"v").find(|(name, _)| is(name, b"via") || is(name, b"v"));
        self.branch = via
            .and_then(|(_, value)| Via::parse(value).ok())
            .and_then(|via| via.branch());
    }
}

fn kind(line: &[u8]) -> Kind<'_> {
    const VERSION: &[u8] = b"SIP/2.0";
    let starts = |text: &[u8]| {
        let start = text.get(..VERSION.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(VERSION))
    };
    if starts(line) {
        return Kind::Response;
    }
    let method = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    let version = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
    if version.len() == VERSION.len() && starts(version) && TOKEN.fills(method) {
        return Kind::Request(Method::from_bytes(method));
    }
    Kind::Unreadable
}

/// The headers whose name begins with one of the lower-case `initials`, folds included, up to the blank line.
fn fields<'a>(
    head: &'a [u8],
    initials: &'static [u8],
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let mut rest = head;
    std::iter::from_fn(move || {
        loop {
            let start = rest;
            let (line, after) = cut_line(rest);
            rest = after;
            let initial = line.first()?.to_ascii_lowercase();
            if !initials.contains(&initial) {
                continue;
            }
            let Some(colon) = memchr::memchr(b':', line) else {
                continue;
            };
            let mut length = line.len();
            while let Some(b' ' | b'\t') = rest.first() {
                let (more, after) = cut_line(rest);
                length = start.len() - rest.len() + more.len();
                rest = after;
            }
            let name = start.get(..colon).unwrap_or_default();
            let value = start.get(colon + 1..length).unwrap_or_default();
            return Some((name.trim_ascii_end(), value.trim_ascii()));
        }
    })
}

/// The first line without its end, and what is behind it.
fn cut_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        return (bytes, b"");
    };
    let (line, rest) = bytes.split_at(end);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    (line, rest.get(1..).unwrap_or_default())
}

fn is(name: &[u8], lower: &[u8]) -> bool {
    name.eq_ignore_ascii_case(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_shows_its_method_its_dialog_and_its_credentials() {
        for (text, method, to_tag, has_credentials) in [
            (
                "INVITE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\n\r\n",
                Method::Invite,
                None,
                false,
            ),
            (
                "INVITE sip:a@b SIP/2.0\r\nt:<sip:a@b>;tag=x\r\n\r\n",
                Method::Invite,
                Some("x"),
                false,
            ),
            (
                "BYE sip:a@b sip/2.0\r\nTO \t: \"T\" <sip:a@b>\r\n ;x;TAG = y\r\n\r\n",
                Method::Bye,
                Some("y"),
                false,
            ),
            (
                "INVITE sip:a@b SIP/2.0\r\nAUTHORIZATION: Digest x\r\nTo: \";tag=z\" <sip:a;tag=u@b>\r\n\r\n",
                Method::Invite,
                None,
                true,
            ),
            (
                "INVITE sip:a@b SIP/2.0\r\nTo: <sip:a@b>\r\n\r\nAuthorization: x\r\n",
                Method::Invite,
                None,
                false,
            ),
            (
                "FETCH sip:a@b SIP/2.0\r\nTopic: x\r\nTo: <sip:a@b>;tag=1\r\n",
                Method::Other(b"FETCH"),
                Some("1"),
                false,
            ),
        ] {
            let glance = Glance::at(text.as_bytes());

            assert_eq!(glance.kind, Kind::Request(method), "{text}");
            assert_eq!(glance.to_tag, to_tag.map(str::as_bytes), "{text}");
            assert_eq!(glance.has_credentials, has_credentials, "{text}");
            let is_new = method == Method::Invite && to_tag.is_none();
            assert_eq!(glance.is_new_invite(), is_new, "{text}");
        }
    }

    #[test]
    fn a_response_shows_its_topmost_branch() {
        let text = b"SIP/2.0 200 OK\r\nv: SIP/2.0/UDP a;branch=one, SIP/2.0/UDP b;branch=two\r\nVia: x\r\n\r\n";

        let glance = Glance::at(text);

        assert_eq!(glance.kind, Kind::Response);
        assert_eq!(glance.branch, Some(b"one".as_slice()));
    }

    #[test]
    fn what_is_no_message_is_none() {
        let long = [b'x'; 70_000];
        for bytes in [
            b"".as_slice(),
            b"\r\n",
            b"INVITE",
            b"GET / HTTP/1.1\r\n",
            b" SIP/2.0",
            &long,
        ] {
            assert_eq!(Glance::at(bytes).kind, Kind::Unreadable);
        }
    }
}
