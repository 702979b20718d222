//! What may pass from one leg to the other: nothing but what is named here, or by the trunk or the buyer.
//!
//! `X-*` and `P-*` pass only if listed, `X-PH-*` never (it is ours), and what belongs to one leg alone
//! (routing, dialog, credentials, capabilities) is written afresh for each.

use crate::routing::buyer::Buyer;
use crate::routing::trunk::{Refer, Trunk};
use crate::sip::build::Writer;
use crate::sip::message::{Head, Name};
use crate::sip::retreaver;
use crate::sip::scan::Field;

/// What the peers of a call may do within it; the Allow header of both legs.
pub(crate) const ALLOW: &[u8] =
    b"INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, INFO, MESSAGE, NOTIFY, UPDATE";

/// What is taken outside a dialog, or says there that none is known: what is refused there with 405 is not
/// in it (RFC 3261 §21.4.6).
pub(crate) const ALLOW_OUTSIDE: &[u8] = b"INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, INFO, UPDATE";

/// Name of the header of our own that carries the hop token.
pub(crate) const HOP: &str = "X-Strowger-Hop";

/// Copies what may pass of a request that begins a call. The trunk and the buyer list further names; a
/// name passes if either does. What the buyer's configuration sets is its own, not the caller's.
pub(crate) fn pass_request(writer: &mut Writer<'_>, head: &Head<'_>, trunk: &Trunk, buyer: &Buyer) {
    let has_body = !head.body().is_empty();
    for field in head.fields() {
        let listed = || {
            let name = head.raw_name(field);
            let mut names = trunk.pass_headers.iter().chain(&buyer.pass_headers);
            names.any(|one| name.eq_ignore_ascii_case(one.as_bytes()))
                && !retreaver::is_reserved(name)
                && !name.eq_ignore_ascii_case(HOP.as_bytes())
        };
        let passes = match kind(field.name) {
            Kind::Body => has_body,
            Kind::EndToEnd => true,
            Kind::OnRequest => listed(),
            Kind::Within | Kind::OwnToLeg => false,
        };
        let is_set = || {
            let name = field_name(head, field);
            let mut own = buyer.headers.iter();
            own.any(|(own, _)| own.as_bytes().eq_ignore_ascii_case(name))
        };
        if passes && !is_set() {
            pass(writer, head, field);
        }
    }
}

/// The canonical name of a header, where it has one.
fn field_name<'a>(head: &Head<'a>, field: &Field) -> &'a [u8] {
    match field.name.text() {
        "" => head.raw_name(field),
        known => known.as_bytes(),
    }
}

/// Copies what may pass of a request within a call: what describes its body, and what INFO, MESSAGE and
/// NOTIFY mean by themselves.
pub(crate) fn pass_within(writer: &mut Writer<'_>, head: &Head<'_>) {
    let has_body = !head.body().is_empty();
    for field in head.fields() {
        let is_info_package = || {
            let name = head.raw_name(field);
            name.eq_ignore_ascii_case(b"Info-Package") || name.eq_ignore_ascii_case(b"Recv-Info")
        };
        let passes = match kind(field.name) {
            Kind::Body => has_body,
            Kind::Within => true,
            Kind::EndToEnd => field.name == Name::Reason || field.name == Name::Subject,
            Kind::OnRequest => field.name == Name::Other && is_info_package(),
            Kind::OwnToLeg => false,
        };
        if passes {
            pass(writer, head, field);
        }
    }
}

/// Copies whom a REFER speaks of, as it stands.
pub(crate) fn pass_refer(writer: &mut Writer<'_>, head: &Head<'_>) {
    for field in head.fields() {
        let is_refer_sub = || {
            let name = head.raw_name(field);
            field.name == Name::Other && name.eq_ignore_ascii_case(b"Refer-Sub")
        };
        if matches!(field.name, Name::ReferTo | Name::ReferredBy) || is_refer_sub() {
            pass(writer, head, field);
        }
    }
}

/// Says that a peer may send REFER, besides what [`ALLOW`] names.
pub(crate) fn write_refer(writer: &mut Writer<'_>, refer: Refer) {
    match refer {
        Refer::Refuse => {}
        Refer::Relay => {
            writer.field("Allow", b"REFER");
        }
    }
}

/// Copies what may pass of a response: what describes its body, and Reason.
pub(crate) fn pass_body(writer: &mut Writer<'_>, head: &Head<'_>) {
    let has_body = !head.body().is_empty();
    for field in head.fields() {
        if field.name == Name::Reason || (has_body && matches!(kind(field.name), Kind::Body)) {
            pass(writer, head, field);
        }
    }
}

/// Copies one header, unless its value names one of ours: a careless reader might take it for that.
fn pass(writer: &mut Writer<'_>, head: &Head<'_>, field: &Field) {
    if !retreaver::names_ours(head.value(field)) {
        writer.copy(head, field);
    }
}

/// Whose a header is.
enum Kind {
    /// It describes the body, and goes with it.
    Body,
    /// It is meant for the far end and tells nothing that the near one would hide.
    EndToEnd,
    /// It means something to requests within a call.
    Within,
    /// It passes if the trunk or the buyer lists it.
    OnRequest,
    /// It belongs to one leg.
    OwnToLeg,
}

fn kind(name: Name) -> Kind {
    match name {
        Name::ContentType
        | Name::ContentDisposition
        | Name::ContentEncoding
        | Name::ContentLanguage
        | Name::MimeVersion => Kind::Body,
        // Identity signs From, To and Date (RFC 8224): its bytes pass as they are.
        Name::Accept
        | Name::AcceptLanguage
        | Name::AlertInfo
        | Name::Date
        | Name::Identity
        | Name::Organization
        | Name::Priority
        | Name::Reason
        | Name::Subject => Kind::EndToEnd,
        Name::Event | Name::SubscriptionState => Kind::Within,
        Name::CallInfo
        | Name::Diversion
        | Name::HistoryInfo
        | Name::InReplyTo
        | Name::PAssertedIdentity
        | Name::PChargeInfo
        | Name::PPreferredIdentity
        | Name::Privacy
        | Name::RemotePartyId
        | Name::ReplyTo
        | Name::Other => Kind::OnRequest,
        Name::Via
        | Name::From
        | Name::To
        | Name::CallId
        | Name::CSeq
        | Name::Contact
        | Name::MaxForwards
        | Name::ContentLength
        | Name::Route
        | Name::RecordRoute
        | Name::Require
        | Name::ProxyRequire
        | Name::Supported
        | Name::Unsupported
        | Name::Allow
        | Name::Authorization
        | Name::ProxyAuthorization
        | Name::WwwAuthenticate
        | Name::ProxyAuthenticate
        | Name::AuthenticationInfo
        | Name::Expires
        | Name::RetryAfter
        | Name::Server
        | Name::UserAgent
        | Name::SessionExpires
        | Name::MinSe
        | Name::MinExpires
        | Name::RSeq
        | Name::RAck
        | Name::ReferTo
        | Name::ReferredBy
        | Name::Replaces
        | Name::AllowEvents
        | Name::AcceptContact
        | Name::RejectContact
        | Name::RequestDisposition
        | Name::AcceptEncoding
        | Name::ErrorInfo
        | Name::Timestamp
        | Name::Warning
        | Name::Path
        | Name::ServiceRoute
        | Name::SipEtag
        | Name::SipIfMatch => Kind::OwnToLeg,
    }
}
