//! The firewall between the legs: what may pass from one to the other. Nothing does but what is named
//! here, or by the trunk or the buyer.
//!
//! `X-*` and `P-*` pass only if listed, `X-PH-*` never (it is ours), `X-Twilio-*` only from Twilio's own
//! addresses. What belongs to one leg alone (routing, dialog, credentials, capabilities) is written afresh
//! for each; who the caller is, is the matter of `identity`.
//!
//! | header | INVITE | within a call, BYE, CANCEL | responses |
//! |---|---|---|---|
//! | what describes the body | with the body | with the body | with the body |
//! | Reason | without hosts | without hosts | without hosts |
//! | Identity, Date | yes: byte for byte | - | - |
//! | Accept, Accept-Language, Organization, Priority, Subject | if no host is in it | Subject | - |
//! | Event, Subscription-State; Info-Package | - | in NOTIFY; in INFO | - |
//! | Diversion, History-Info, Remote-Party-ID | if listed, with our host | same | same |
//! | Alert-Info, Call-Info, In-Reply-To, P-Charge-Info, Reply-To, all that we do not know | if listed | same | same |
//! | all others | no | no | no |

use std::net::IpAddr;

use crate::call::identity::Shown;
use crate::call::policy::Policy;
use crate::call::record::Side;
use crate::routing::buyer::Buyer;
use crate::routing::trunk::{Refer, Trunk};
use crate::sip::build::{BuildError, Writer, unfold_into};
use crate::sip::header::name_addrs;
use crate::sip::message::{Head, Method, Name, Request};
use crate::sip::reason;
use crate::sip::retreaver;
use crate::sip::rules::{HeaderRules, NameSet};
use crate::sip::scan::Field;
use crate::sip::uri::Uri;
use crate::twilio::ticket;

/// What the peers of a call may do within it; the Allow header of both legs.
pub(crate) const ALLOW: &[u8] =
    b"INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, INFO, MESSAGE, NOTIFY, UPDATE";

/// What is taken outside a dialog, or says there that none is known: what is refused there with 405 is not
/// in it (RFC 3261 §21.4.6).
pub(crate) const ALLOW_OUTSIDE: &[u8] = b"INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, INFO, UPDATE";

/// Name of the header of our own that carries the hop token.
pub(crate) const HOP: &str = "X-Strowger-Hop";

/// The way of one message from one leg to the other.
#[derive(Clone, Copy)]
pub(crate) struct Crossing<'p> {
    policy: &'p Policy,
    from: &'p HeaderRules,
    to: &'p HeaderRules,
    /// Who sent the message.
    sender: IpAddr,
    /// How we appear on the other side.
    advertise: &'p str,
}

impl<'p> Crossing<'p> {
    /// The way from `side` to the other one. `advertise` is how we appear there.
    pub(crate) fn from(
        side: Side,
        policy: &'p Policy,
        (trunk, buyer): (&'p Trunk, &'p Buyer),
        sender: IpAddr,
        advertise: &'p str,
    ) -> Self {
        let (from, to) = match side {
            Side::Caller | Side::Edge => (&trunk.headers, &buyer.headers),
            Side::Buyer => (&buyer.headers, &trunk.headers),
        };
        Self {
            policy,
            from,
            to,
            sender,
            advertise,
        }
    }

    /// Copies what may pass of a request that begins a call, but for what is `withheld`. What the buyer's
    /// configuration sets is its own, not the caller's.
    pub(crate) fn pass_request(self, writer: &mut Writer<'_>, head: &Head<'_>, withheld: NameSet) {
        self.pass(writer, head, REQUEST, withheld);
    }

    /// Whether a header that passes by itself may pass of a request that begins a call.
    pub(crate) fn is_open_to(self, name: Name, withheld: NameSet) -> bool {
        self.open(REQUEST, true).without(withheld).has(name)
    }

    /// Copies what may pass of a request within a call: what describes its body, and what INFO, MESSAGE and
    /// NOTIFY mean by themselves.
    pub(crate) fn pass_within(self, writer: &mut Writer<'_>, method: Method<'_>, head: &Head<'_>) {
        let base = if method == Method::Notify {
            WITHIN.or(NOTIFY)
        } else {
            WITHIN
        };
        self.pass(writer, head, base, NameSet::default());
        if method == Method::Info {
            let packages = head.fields().iter().filter(|field| {
                let name = head.raw_name(field);
                field.name == Name::Other && name.eq_ignore_ascii_case(b"Info-Package")
            });
            for field in packages.filter(|field| !names_a_host(head.value(field))) {
                copy(writer, head, field);
            }
        }
    }

    /// Copies what may pass of a response: what describes its body, and Reason.
    pub(crate) fn pass_response(self, writer: &mut Writer<'_>, head: &Head<'_>) {
        self.pass(writer, head, RESPONSE, NameSet::default());
    }

    /// Copies what may pass of a failure, whose body stays.
    pub(crate) fn pass_refusal(self, writer: &mut Writer<'_>, head: &Head<'_>) {
        self.pass(writer, head, FAREWELL, BODY);
    }

    /// What passes of a BYE or CANCEL, which we do not hand on but send one of our own: lines for it.
    pub(crate) fn last_words(
        self,
        buffer: &mut Vec<u8>,
        request: &Request<'_>,
    ) -> Result<Option<Box<[u8]>>, BuildError> {
        let mut writer = Writer::lines(buffer);
        self.pass(&mut writer, &request.head, FAREWELL, NameSet::default());
        writer.finish_lines()
    }

    /// What passes of the names that we know.
    fn open(self, base: NameSet, has_body: bool) -> NameSet {
        let base = if has_body { base } else { base.without(BODY) };
        let listed = self.from.pass_from.known().or(self.to.pass_to.known());
        let removed = self.from.remove.known().or(self.to.remove.known());
        let removed = removed.or(self.to.set_names.known());
        base.or(listed.and(ON_REQUEST)).without(removed)
    }

    fn pass(self, writer: &mut Writer<'_>, head: &Head<'_>, base: NameSet, withheld: NameSet) {
        let open = self.open(base, !head.body().is_empty()).without(withheld);
        let listed = self.from.pass_from.known().or(self.to.pass_to.known());
        let has_lists = !(self.from.pass_from.has_no_others() && self.to.pass_to.has_no_others());
        for field in head.fields() {
            let name = field.name;
            if name == Name::Other {
                if has_lists && self.is_listed(head.raw_name(field)) {
                    copy(writer, head, field);
                }
            } else if open.has(name) {
                match treatment(name) {
                    Treatment::Text if listed.has(name) => copy(writer, head, field),
                    Treatment::Text if names_a_host(head.value(field)) => {}
                    Treatment::Text | Treatment::AsItIs => copy(writer, head, field),
                    Treatment::Date if is_date(head.value(field)) => copy(writer, head, field),
                    Treatment::Date => {}
                    Treatment::Reason => reason::pass(writer, head.value(field)),
                    Treatment::Addresses => self.pass_addresses(writer, head, field),
                }
            }
        }
    }

    /// Whether a header that means nothing to us may pass.
    fn is_listed(self, name: &[u8]) -> bool {
        let is_removed = self.from.remove.has_other(name)
            || self.to.remove.has_other(name)
            || self.to.set_names.has_other(name);
        (self.from.pass_from.has_other(name) || self.to.pass_to.has_other(name))
            && !is_removed
            && !retreaver::is_reserved(name)
            && !name.eq_ignore_ascii_case(HOP.as_bytes())
            && !name.eq_ignore_ascii_case(ticket::HEADER.as_bytes())
            && (!is_twilios(name) || self.policy.is_twilio(self.sender))
    }

    /// Copies a list of addresses, each on a line of its own, at our host.
    fn pass_addresses(self, writer: &mut Writer<'_>, head: &Head<'_>, field: &Field) {
        let value = head.value(field);
        if retreaver::names_ours(value) {
            return;
        }
        let mut params = Vec::new();
        let mut tail = Vec::new();
        for address in name_addrs(value).filter_map(Result::ok) {
            params.clear();
            tail.clear();
            unfold_into(&mut params, address.params.text());
            if let Ok(Uri::Sip(uri)) = Uri::parse(address.uri)
                && !names_a_host(uri.params.text())
            {
                tail.extend_from_slice(uri.params.text());
                if let Some(headers) = uri.headers.filter(|headers| !names_a_host(headers)) {
                    tail.push(b'?');
                    tail.extend_from_slice(headers);
                }
            }
            Shown::of(&address, self.advertise.as_bytes())
                .with_tail(&tail)
                .write(writer, field.name.text(), &[&params]);
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
            copy(writer, head, field);
        }
    }
}

/// Says that a peer may send REFER, besides what [`ALLOW`] names.
pub(crate) fn write_refer(writer: &mut Writer<'_>, refer: Refer) {
    match refer {
        Refer::Refuse => {}
        Refer::Relay | Refer::Terminate => {
            writer.field("Allow", b"REFER");
        }
    }
}

/// Copies one header, unless its value names one of ours: a careless reader might take it for that.
fn copy(writer: &mut Writer<'_>, head: &Head<'_>, field: &Field) {
    if !retreaver::names_ours(head.value(field)) {
        writer.copy(head, field);
    }
}

/// Whether a header's name is one that only Twilio can set (its error 32113).
pub(crate) fn is_twilios(name: &[u8]) -> bool {
    let prefix = b"x-twilio";
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether a text holds one of the signs without which no host of a network can be named: `a.b`, `::1`,
/// `user@host`.
fn names_a_host(text: &[u8]) -> bool {
    memchr::memchr3(b'.', b':', b'@', text).is_some()
}

/// Whether a text has the form of a date (RFC 3261 §20.17) as far as no host can be in it.
fn is_date(text: &[u8]) -> bool {
    text.ends_with(b"GMT") && text.len() <= 32 && memchr::memchr2(b'.', b'@', text).is_none()
}

/// How a header passes.
enum Treatment {
    /// Byte for byte.
    AsItIs,
    /// Only if no host is named in it, or it is listed.
    Text,
    /// Only if it is one.
    Date,
    /// Without what another network would not understand, or should not see.
    Reason,
    /// With our host in the place of theirs.
    Addresses,
}

fn treatment(name: Name) -> Treatment {
    if name == Name::Reason {
        Treatment::Reason
    } else if name == Name::Date {
        Treatment::Date
    } else if TEXTS.has(name) {
        Treatment::Text
    } else if ADDRESSES.has(name) {
        Treatment::Addresses
    } else {
        Treatment::AsItIs
    }
}

/// What describes the body, and goes with it.
const BODY: NameSet = NameSet::of(&[
    Name::ContentType,
    Name::ContentDisposition,
    Name::ContentEncoding,
    Name::ContentLanguage,
    Name::MimeVersion,
]);

/// What is meant for the far end and passes of an INVITE. Identity signs From's number, To's number and
/// Date (RFC 8224).
const REQUEST: NameSet =
    BODY.or(TEXTS)
        .without(NOTIFY)
        .or(NameSet::of(&[Name::Date, Name::Identity, Name::Reason]));

/// What passes within a call.
const WITHIN: NameSet = BODY.or(NameSet::of(&[Name::Reason, Name::Subject]));

/// What passes of NOTIFY besides.
const NOTIFY: NameSet = NameSet::of(&[Name::Event, Name::SubscriptionState]);

/// What passes of a response.
const RESPONSE: NameSet = BODY.or(FAREWELL);

/// What passes of BYE and CANCEL.
const FAREWELL: NameSet = NameSet::of(&[Name::Reason]);

/// What people wrote, or words of a list.
const TEXTS: NameSet = NameSet::of(&[
    Name::Accept,
    Name::AcceptLanguage,
    Name::Event,
    Name::Organization,
    Name::Priority,
    Name::Subject,
    Name::SubscriptionState,
]);

/// Lists of addresses.
const ADDRESSES: NameSet = NameSet::of(&[Name::Diversion, Name::HistoryInfo, Name::RemotePartyId]);

/// What passes if the trunk or the buyer lists it. The others belong to one leg, or say who the caller
/// is, and no list changes that.
const ON_REQUEST: NameSet = ADDRESSES.or(NameSet::of(&[
    Name::Accept,
    Name::AcceptLanguage,
    Name::AlertInfo,
    Name::CallInfo,
    Name::InReplyTo,
    Name::Organization,
    Name::PChargeInfo,
    Name::Priority,
    Name::ReplyTo,
    Name::Subject,
]));
