//! What may pass from one leg to the other: nothing but what is named here, or by the trunk or the buyer.
//!
//! `X-*` and `P-*` pass only if listed, `X-PH-*` never (it is ours), and what belongs to one leg alone
//! (routing, dialog, credentials, capabilities) is written afresh for each.

use crate::sip::build::Writer;
use crate::sip::header::Name;
use crate::sip::message::Head;
use crate::sip::retreaver;

/// What the peers of a call may do within it; the Allow header of both legs.
pub(crate) const ALLOW: &[u8] = b"INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, MESSAGE, NOTIFY, UPDATE";

/// Names of the headers of our own that carry the hop token.
pub(crate) const HOP: &str = "X-Strowger-Hop";

/// End-to-end headers of requests that are harmless and wanted (RFC 3261 §20, RFC 8224).
const SAFE: &[&[u8]] = &[
    b"accept",
    b"accept-language",
    b"alert-info",
    b"date",
    b"identity",
    b"mime-version",
    b"organization",
    b"priority",
    b"reason",
    b"subject",
];

/// Headers that describe a body, and pass with it.
const OF_BODY: &[&[u8]] = &[
    b"content-type",
    b"content-disposition",
    b"content-encoding",
    b"content-language",
    b"mime-version",
];

/// Headers of requests within a call (RFC 6086, RFC 6665, RFC 3428).
const OF_REQUESTS_WITHIN: &[&[u8]] = &[
    b"event",
    b"info-package",
    b"recv-info",
    b"subject",
    b"subscription-state",
];

/// Copies what may pass of a request that begins a call. `trunk` and `buyer` list further names, in
/// lower case; a name passes if either does.
pub(crate) fn pass_request(
    writer: &mut Writer<'_>,
    head: &Head<'_>,
    trunk: &[Box<str>],
    buyer: &[Box<str>],
) {
    let has_body = !head.body().is_empty();
    for field in head.fields() {
        let name = head.raw_name(field);
        let listed = || {
            let is_listed = |list: &[Box<str>]| {
                list.iter().any(|one| name.eq_ignore_ascii_case(one.as_bytes()))
            };
            (is_listed(trunk) || is_listed(buyer)) && !retreaver::is_reserved(name)
        };
        let passes = match field.name {
            Name::Other => is_one_of(name, SAFE) || (has_body && is_one_of(name, OF_BODY)) || listed(),
            Name::ContentType => has_body,
            Name::Date | Name::Identity | Name::Reason | Name::Subject => true,
            known => is_end_to_end(known, name, has_body) || (is_listable(known) && listed()),
        };
        if passes {
            writer.copy(head, field);
        }
    }
}

/// Copies what may pass of a request within a call: what describes its body, and what INFO, MESSAGE and
/// NOTIFY mean by themselves.
pub(crate) fn pass_within(writer: &mut Writer<'_>, head: &Head<'_>) {
    pass_body(writer, head);
    for field in head.fields() {
        if is_one_of(head.raw_name(field), OF_REQUESTS_WITHIN) {
            writer.copy(head, field);
        }
    }
}

/// Copies what may pass of any other message: what describes its body, and Reason.
pub(crate) fn pass_body(writer: &mut Writer<'_>, head: &Head<'_>) {
    let has_body = !head.body().is_empty();
    for field in head.fields() {
        let passes = match field.name {
            Name::ContentType => has_body,
            Name::Reason => true,
            Name::Other => has_body && is_one_of(head.raw_name(field), OF_BODY),
            known => has_body && is_one_of(known.text().as_bytes(), OF_BODY),
        };
        if passes {
            writer.copy(head, field);
        }
    }
}

fn is_end_to_end(name: Name, raw: &[u8], has_body: bool) -> bool {
    let text = name.text().as_bytes();
    is_one_of(text, SAFE) || is_one_of(raw, SAFE) || (has_body && is_one_of(text, OF_BODY))
}

fn is_one_of(name: &[u8], list: &[&[u8]]) -> bool {
    list.iter().any(|one| name.eq_ignore_ascii_case(one))
}
