//! What each response to one request repeats (RFC 3261 §8.2.6.2), and the reason phrases.

use std::io::Write;
use std::net::IpAddr;

use crate::sip::brief::Brief;
use crate::sip::build::unfold_into;
use crate::sip::chars::{LWS, part};
use crate::sip::flow::Flow;
use crate::sip::header::{NameAddr, Via};
use crate::sip::message::{Head, Naming, Request};
use crate::sip::name::Name;
use crate::sip::uri::is_secure;

/// The headers that every response to one request has, ready to be sent.
///
/// ```text
/// Via.. From To        | tag goes here |  CRLF Call-ID CSeq | Record-Route..
/// 0                  to_end                                 base_end
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyHead {
    text: Vec<u8>,
    to_end: u32,
    base_end: u32,
    base_lines: u16,
    route_lines: u16,
    to_has_tag: bool,
    takes_tag: bool,
    is_secure: bool,
}

impl ReplyHead {
    /// Takes what responses need from `request`, which came on `flow`: all Via values, the topmost with
    /// `received` and `rport` as the packet says, never as the peer says (RFC 3261 §18.2.1, RFC 3581
    /// §4); From, To, Call-ID, CSeq; Record-Route. What is not there is left out.
    #[must_use]
    pub fn new(request: &Request<'_>, flow: &Flow) -> Self {
        let head = &request.head;
        let to = head.first(Name::To);
        let mut reply = Self::begin(
            values(head, Name::Via),
            [Name::From, Name::To, Name::CallId, Name::CSeq].map(|name| head.first(name)),
            flow,
        );
        reply.to_has_tag = to.is_some_and(has_tag);
        reply.takes_tag = to.is_some() && !reply.to_has_tag;
        reply.is_secure = is_secure(request.uri);
        for value in values(head, Name::RecordRoute) {
            reply.route_lines += write_line(&mut reply.text, Name::RecordRoute, Some(value));
        }
        reply
    }

    /// The same for a refusal of an INVITE that was not read: no Record-Route.
    #[must_use]
    pub fn of_brief(brief: &Brief<'_>, flow: &Flow) -> Self {
        let Naming { call_id, .. } = brief.naming;
        let mut reply = Self::begin(
            brief.vias.iter().copied(),
            [brief.from, brief.to, call_id, brief.cseq].map(Some),
            flow,
        );
        reply.takes_tag = true;
        reply
    }

    /// With the values of Via, and of From, To, Call-ID and CSeq.
    fn begin<'v>(
        vias: impl Iterator<Item = &'v [u8]>,
        [from, to, call_id, cseq]: [Option<&[u8]>; 4],
        flow: &Flow,
    ) -> Self {
        let mut text = Vec::with_capacity(512);
        let mut base_lines = 0;
        for value in vias {
            text.extend_from_slice(b"Via: ");
            if base_lines == 0 {
                write_top_via(&mut text, value, flow);
            } else {
                unfold_into(&mut text, value);
            }
            text.extend_from_slice(b"\r\n");
            base_lines += 1;
        }
        base_lines += write_line(&mut text, Name::From, from);
        base_lines += write_line(&mut text, Name::To, to);
        let line_end = if to.is_some() { 2 } else { 0 };
        let to_end = text.len() - line_end;
        base_lines += write_line(&mut text, Name::CallId, call_id);
        base_lines += write_line(&mut text, Name::CSeq, cseq);
        Self {
            to_end: to_end as u32,
            base_end: text.len() as u32,
            text,
            base_lines,
            route_lines: 0,
            to_has_tag: false,
            takes_tag: false,
            is_secure: false,
        }
    }

    /// Whether the request's To had a tag: it was sent within a dialog.
    #[must_use]
    pub fn to_has_tag(&self) -> bool {
        self.to_has_tag
    }

    /// Whether the request was for a `sips:` URI, so that our Contact must be one (RFC 3261 §12.1.1).
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Whether there is a To that a tag can be added to.
    pub(crate) fn takes_tag(&self) -> bool {
        self.takes_tag
    }

    /// How many lines are in the text up to the end of CSeq, and in Record-Route.
    pub(crate) fn lines(&self) -> (usize, usize) {
        (self.base_lines.into(), self.route_lines.into())
    }

    /// Up to where the To tag goes; from there to the end of CSeq; Record-Route.
    pub(crate) fn parts(&self) -> (&[u8], &[u8], &[u8]) {
        let (to_end, base_end) = (self.to_end as usize, self.base_end as usize);
        (
            part(&self.text, 0, to_end),
            part(&self.text, to_end, base_end),
            part(&self.text, base_end, self.text.len()),
        )
    }
}

fn values<'h>(head: &'h Head<'_>, name: Name) -> impl Iterator<Item = &'h [u8]> {
    let fields = head.fields().iter().filter(move |field| field.name == name);
    fields.map(|field| head.value(field))
}

/// Writes the header called `name`, if it has a value, and gives how many lines that is.
fn write_line(text: &mut Vec<u8>, name: Name, value: Option<&[u8]>) -> u16 {
    let Some(value) = value else {
        return 0;
    };
    text.extend_from_slice(name.text().as_bytes());
    text.extend_from_slice(b": ");
    unfold_into(text, value);
    text.extend_from_slice(b"\r\n");
    1
}

fn has_tag(to: &[u8]) -> bool {
    match NameAddr::parse(to) {
        Ok(to) => to.tag().is_some(),
        // Not well formed; the request is being refused for it. A second tag would be worse than none.
        Err(_) => to
            .windows(5)
            .any(|word| word.eq_ignore_ascii_case(b";tag=")),
    }
}

/// Writes the first Via line: its first value with our `received` and `rport`, the others as they are.
fn write_top_via(text: &mut Vec<u8>, value: &[u8], flow: &Flow) {
    let Ok(via) = Via::parse(value) else {
        unfold_into(text, value);
        return;
    };
    let source = flow.remote.ip().to_canonical();
    let wants_port = via.rport().is_some();
    let is_same_host = via
        .host
        .ip()
        .is_some_and(|host| host.to_canonical() == source);
    let params_start = via.text.len() - via.params.text().len();
    unfold_into(text, trim_end(part(via.text, 0, params_start)));
    for (name, param) in via.params.iter() {
        let is_rport = name.eq_ignore_ascii_case(b"rport");
        if is_rport || name.eq_ignore_ascii_case(b"received") {
            continue;
        }
        text.push(b';');
        text.extend_from_slice(name);
        if let Some(param) = param {
            text.push(b'=');
            unfold_into(text, param);
        }
    }
    if wants_port {
        text.extend_from_slice(b";rport=");
        text.extend_from_slice(itoa::Buffer::new().format(flow.remote.port()).as_bytes());
    }
    if wants_port || !is_same_host {
        match source {
            IpAddr::V4(source) => write_or_nothing(text, format_args!(";received={source}")),
            IpAddr::V6(source) => write_or_nothing(text, format_args!(";received={source}")),
        }
    }
    let start = value.len() - trim_start(value).len();
    unfold_into(
        text,
        value.get(start + via.text.len()..).unwrap_or_default(),
    );
}

/// Writing to a `Vec` does not fail.
fn write_or_nothing(text: &mut Vec<u8>, what: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(what);
}

fn trim_end(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., last] = text
        && LWS.has(*last)
    {
        text = rest;
    }
    text
}

fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && LWS.has(*first)
    {
        text = rest;
    }
    text
}

/// The phrase of `status` (RFC 3261 §21 and the IANA registry).
#[must_use]
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        412 => "Conditional Request Failed",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        417 => "Unknown Resource-Priority",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        428 => "Use Identity Header",
        429 => "Provide Referrer Identity",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        436 => "Bad Identity Info",
        437 => "Unsupported Credential",
        438 => "Invalid Identity Header",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        469 => "Bad Info Package",
        470 => "Consent Needed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        555 => "Push Notification Service Not Supported",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        608 => "Rejected",
        other => class_phrase(other),
    }
}

/// The phrase of a status that has none of its own: what its class is called (RFC 3261 §7.2).
fn class_phrase(status: u16) -> &'static str {
    match status / 100 {
        1 => "Progress",
        2 => "Success",
        3 => "Redirection",
        4 => "Request Failure",
        5 => "Server Failure",
        _ => "Global Failure",
    }
}
