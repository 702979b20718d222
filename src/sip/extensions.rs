//! What two ends negotiate beyond RFC 3261: option tags, reliable provisional responses (RFC 3262) and session
//! timers (RFC 4028).

use crate::sip::chars::{LWS, number, trim};
use crate::sip::header::Params;
use crate::sip::message::{Head, Name};

/// Option tag of reliable provisional responses.
pub const RELIABLE: &str = "100rel";
/// Option tag of session timers.
pub const TIMER: &str = "timer";

/// The elements of all headers called `name`, where those are lists of tokens (Supported, Require, Allow).
pub fn tokens<'a>(head: &Head<'a>, name: Name) -> impl Iterator<Item = &'a [u8]> {
    head.all(name)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(trim)
        .filter(|token| !token.is_empty())
}

/// Whether one of them is `token`, in any case.
#[must_use]
pub fn lists(head: &Head<'_>, name: Name, token: &str) -> bool {
    tokens(head, name).any(|one| one.eq_ignore_ascii_case(token.as_bytes()))
}

/// Number of a reliable provisional response (RFC 3262 §7.1): 1 to 2^32 - 1.
#[must_use]
pub fn rseq(head: &Head<'_>) -> Option<u32> {
    number(head.first(Name::RSeq)?, u32::MAX).filter(|rseq| *rseq > 0)
}

/// What a PRACK acknowledges (RFC 3262 §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RAck {
    /// Number of the response.
    pub rseq: u32,
    /// CSeq of the request that it answers.
    pub cseq: u32,
}

impl RAck {
    /// Reads RAck; `None` if there is none, or it speaks of no INVITE.
    #[must_use]
    pub fn of(head: &Head<'_>) -> Option<Self> {
        let value = head.first(Name::RAck)?;
        let mut words = value
            .split(|byte| LWS.has(*byte))
            .filter(|word| !word.is_empty());
        let rack = Self {
            rseq: number(words.next()?, u32::MAX)?,
            cseq: number(words.next()?, u32::MAX)?,
        };
        (words.next() == Some(b"INVITE") && words.next().is_none()).then_some(rack)
    }
}

/// Who keeps a session alive, seen from one request (RFC 4028 §4): the one who sent it, or who answered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresher {
    /// Who sent it.
    Uac,
    /// Who answered it.
    Uas,
}

impl Refresher {
    /// Its name on the wire.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        }
    }
}

/// A Session-Expires value (RFC 4028 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionExpires {
    /// The session interval, in seconds.
    pub interval: u32,
    /// Who refreshes; many leave it out.
    pub refresher: Option<Refresher>,
}

impl SessionExpires {
    /// Reads Session-Expires; `None` if there is none, or it cannot be read: then nothing was asked for.
    #[must_use]
    pub fn of(head: &Head<'_>) -> Option<Self> {
        let value = head.first(Name::SessionExpires)?;
        let (interval, params) = delta(value)?;
        let refresher = params.get("refresher").flatten().and_then(|who| {
            [Refresher::Uac, Refresher::Uas]
                .into_iter()
                .find(|one| one.text().as_bytes().eq_ignore_ascii_case(who))
        });
        Some(Self {
            interval,
            refresher,
        })
    }
}

/// Min-SE, in seconds (RFC 4028 §5).
#[must_use]
pub fn min_se(head: &Head<'_>) -> Option<u32> {
    delta(head.first(Name::MinSe)?).map(|(interval, _)| interval)
}

/// Seconds, and the parameters behind them.
fn delta(value: &[u8]) -> Option<(u32, Params<'_>)> {
    let semicolon = memchr::memchr(b';', value).unwrap_or(value.len());
    let (seconds, params) = value.split_at_checked(semicolon)?;
    Some((number(trim(seconds), u32::MAX)?, Params::new(params)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::message::{Message, Request, parse};

    #[test]
    fn lists_are_read_over_lines_in_any_case() {
        let text = message("Supported: timer ,100REL\r\nk: replaces\r\n");
        let head = &read(&text).head;

        assert!(lists(head, Name::Supported, RELIABLE));
        assert!(lists(head, Name::Supported, TIMER));
        assert!(lists(head, Name::Supported, "replaces"));
        assert!(!lists(head, Name::Supported, "100"));
        assert!(!lists(head, Name::Require, TIMER));
    }

    #[test]
    fn a_session_interval_has_a_refresher_or_none() {
        let table = [
            ("1800", Some((1800, None))),
            ("90;refresher=uac", Some((90, Some(Refresher::Uac)))),
            ("90 ; Refresher = UAS;x", Some((90, Some(Refresher::Uas)))),
            ("90;refresher=me", Some((90, None))),
            ("4294967296", None),
            ("-5", None),
            ("", None),
            (";refresher=uac", None),
        ];
        for (value, expected) in table {
            let text = message(&format!("x: {value}\r\nMin-SE: {value}\r\n"));
            let head = &read(&text).head;

            let found = SessionExpires::of(head).map(|one| (one.interval, one.refresher));
            assert_eq!(found, expected, "{value}");
            assert_eq!(min_se(head), expected.map(|(interval, _)| interval));
        }
    }

    #[test]
    fn a_rack_names_a_response_to_an_invite() {
        let table = [
            ("776656 1 INVITE", Some((776_656, 1))),
            ("776656  1\tINVITE", Some((776_656, 1))),
            ("1 2 UPDATE", None),
            ("1 2 invite", None),
            ("1 INVITE", None),
            ("1 2 INVITE 3", None),
            ("x 2 INVITE", None),
        ];
        for (value, expected) in table {
            let text = message(&format!("RAck: {value}\r\n"));

            let found = RAck::of(&read(&text).head).map(|rack| (rack.rseq, rack.cseq));
            assert_eq!(found, expected, "{value}");
        }
    }

    #[test]
    fn an_rseq_is_never_zero() {
        for (value, expected) in [("0", None), ("1", Some(1)), ("988789", Some(988_789))] {
            let text = message(&format!("RSeq: {value}\r\n"));

            assert_eq!(rseq(&read(&text).head), expected);
        }
    }

    fn message(headers: &str) -> String {
        format!("INVITE sip:a@example.com SIP/2.0\r\n{headers}\r\n")
    }

    fn read(text: &str) -> Request<'_> {
        match parse(text.as_bytes()) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }
}
