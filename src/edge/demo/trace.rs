//! What is seen of a call from outside: every message, between whom, and when.

use std::borrow::Cow;
use std::time::Duration;

use crate::sip::message::Name;
use crate::sip::message::{Message, Method, Request, Response, parse};

/// Who takes part, in the order of the ladder's columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Party {
    Carrier,
    Edge,
    BuyerOne,
    BuyerTwo,
}

impl Party {
    /// All of them, from left to right.
    pub(super) const ALL: [Self; 4] = [Self::Carrier, Self::Edge, Self::BuyerOne, Self::BuyerTwo];

    /// Its name for people.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Carrier => "carrier",
            Self::Edge => "edge",
            Self::BuyerOne => "buyer 1",
            Self::BuyerTwo => "buyer 2",
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// Time from the call's first message.
    pub(super) at: Duration,
    pub(super) from: Party,
    pub(super) to: Party,
    /// Method or status, and a word on what matters.
    pub(super) what: String,
}

/// Says in a few words what a message is.
pub(super) fn describe(bytes: &[u8]) -> String {
    match parse(bytes) {
        Ok(Message::Request(request)) => describe_request(&request),
        Ok(Message::Response(response)) => describe_response(&response),
        Err(malformed) => format!("unreadable: {}", malformed.error),
    }
}

fn describe_request(request: &Request<'_>) -> String {
    let has_credentials = [Name::Authorization, Name::ProxyAuthorization]
        .into_iter()
        .any(|name| request.head.first(name).is_some());
    let is_repeat = request.method == Method::Invite && has_credentials;
    let note = if is_repeat { " + credentials" } else { "" };
    format!("{}{note}", text(request.method.as_bytes()))
}

fn describe_response(response: &Response<'_>) -> String {
    let method = response
        .essentials()
        .map_or(Method::Invite, |essentials| essentials.method);
    let status = format!("{} {}", response.status, text(response.reason));
    if method == Method::Invite {
        status
    } else {
        format!("{status} ({})", text(method.as_bytes()))
    }
}

/// Bytes of a message as text for people.
pub(super) fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
