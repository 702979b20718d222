//! A REFER that we carry out (RFC 3515): whether it may be, and what the call that does it begins with.
//!
//! Where a REFER points is never called as such: only its number counts, only if its host is ours, and only if the directory
//! has a campaign for it that the trunk's company owns. So it is no way to a number that the referrer's callers could not
//! have dialled.

use std::sync::Arc;
use std::time::Instant;

use crate::call::a_leg::write_reply_with;
use crate::call::call::{Call, State};
use crate::call::core::{CallKey, Core};
use crate::call::face::Face;
use crate::call::output::{Event, Refusal};
use crate::call::policy::Policy;
use crate::call::transfer::Transfer;
use crate::call::within::{AskedWithin, GLARE_RETRY};
use crate::routing::trunk::Trunk;
use crate::sip::build::ReplyHead;
use crate::sip::flow::{Flow, ListenerId};
use crate::sip::header::NameAddr;
use crate::sip::message::{Head, Name};
use crate::sip::retreaver::unescaped;
use crate::sip::uri::{Host, Uri};
use crate::types::number::Number;

/// What the call that looks for somebody begins with.
pub(crate) struct Referral {
    pub(crate) of: CallKey,
    pub(crate) policy: Arc<Policy>,
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) user: Option<Arc<str>>,
    pub(crate) target: Number,
    /// `None`: it is withheld.
    pub(crate) caller: Option<Number>,
    /// Call-ID of the caller's leg.
    pub(crate) call_id: Box<[u8]>,
    /// The way to the remaining side.
    pub(crate) flow: Flow,
}

impl Call {
    /// A REFER that we carry out: answered, and if it can be done, what another call is to begin with.
    pub(crate) fn take_referral(
        &mut self,
        now: Instant,
        core: &mut Core,
        asked: &AskedWithin<'_, '_>,
    ) -> Option<Referral> {
        let AskedWithin {
            side,
            server,
            flow,
            request,
            essentials,
        } = *asked;
        let reply = ReplyHead::new(request, &flow);
        let State::Talking(talking) = &mut self.state else {
            core.answer(now, server, &reply, 500, Some(GLARE_RETRY));
            return None;
        };
        if talking.transfer.is_some() || talking.transfers >= MOST_TRANSFERS {
            core.answer(now, server, &reply, 500, Some(GLARE_RETRY));
            return None;
        }
        // A relay's passage leads from one leg to one other, and cannot be moved.
        let is_movable = !self.policy.media.is_any();
        let target = target_of(&self.policy, &self.trunk, &request.head);
        let Some(target) = target.filter(|_| is_movable) else {
            let status = 603;
            core.event(Event::Refused {
                why: Refusal::ReferTarget,
                flow,
                status: Some(status),
            });
            core.answer(now, server, &reply, status, None);
            return None;
        };
        let is_followed = !declines_subscription(&request.head);
        let face = Face::towards(side, &self.policy, &self.trunk);
        let built = write_reply_with(
            &mut core.buffer,
            &reply,
            202,
            b"",
            face,
            flow,
            None,
            |writer| {
                if !is_followed {
                    writer.field("Refer-Sub", b"false");
                }
            },
        );
        core.respond(now, server, (&reply, b""), 202, built);
        talking.transfers += 1;
        talking.transfer = Some(Box::new(Transfer::new(side, essentials.cseq, is_followed)));
        let flow = talking.dialog(side.other()).flow();
        let call_id = Box::from(talking.caller.dialog.call_id());
        self.tell_referrer(now, core, 100);
        let record = self.record.as_ref();
        Some(Referral {
            of: self.key,
            policy: self.policy.clone(),
            trunk: self.trunk.clone(),
            user: record.and_then(|record| record.user.clone()),
            target,
            caller: record.and_then(|record| record.caller),
            call_id,
            flow,
        })
    }
}

/// The number that a REFER points to; `None`: it is not for us to call there. A host that is not ours is somebody else's,
/// and what is to be replaced (attended transfer) or sent besides is not looked at.
fn target_of(policy: &Policy, trunk: &Trunk, head: &Head<'_>) -> Option<Number> {
    let mut values = head.all(Name::ReferTo);
    let address = NameAddr::parse(values.next()?).ok()?;
    if values.next().is_some() {
        return None;
    }
    let uri = Uri::parse(address.uri).ok()?;
    match &uri {
        Uri::Sip(uri) => {
            let method = uri.params.get("method").flatten();
            let is_call = method.is_none_or(|method| method.eq_ignore_ascii_case(b"INVITE"));
            if !is_call || uri.headers.is_some() || !is_ours(policy, trunk, &uri.host) {
                return None;
            }
        }
        Uri::Tel(_) => {}
        Uri::Other { .. } => return None,
    }
    trunk.plan.normalize(uri.dialled()?).ok()
}

/// Tags of the dialogs that a REFER wants replaced (RFC 3891 §6.1), as far as they can be told, however it is escaped:
/// `Refer-To: <sip:eve@example.com?Replaces=a84b%3Bto-tag%3D7%3Bfrom-tag%3D8>`.
pub(crate) fn replaced_tags(head: &Head<'_>) -> impl Iterator<Item = Vec<u8>> {
    let is_break = |byte: &u8| matches!(byte, b'?' | b'&' | b'>');
    let fields = head.all(Name::ReferTo);
    let fields = fields.flat_map(move |value| value.split(is_break).skip(1));
    let replaced = fields.filter_map(|field| {
        let text: Vec<u8> = unescaped(field).collect();
        let (name, value) = halves(&text)?;
        name.trim_ascii()
            .eq_ignore_ascii_case(b"Replaces")
            .then(|| value.to_vec())
    });
    replaced.flat_map(|value| {
        let params = value.split(|byte| *byte == b';').skip(1);
        let tags = params.filter_map(|param| {
            let (name, tag) = halves(param)?;
            let name = name.trim_ascii();
            let is_tag = [&b"to-tag"[..], b"from-tag"]
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known));
            is_tag.then(|| tag.trim_ascii().to_vec())
        });
        tags.collect::<Vec<_>>()
    })
}

/// What is before and after the first `=`.
fn halves(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'=', text)?;
    let (name, value) = text.split_at_checked(at)?;
    Some((name, value.get(1..)?))
}

/// Whether this is a host that peers know us by: a domain, or what a listener is bound to or advertises.
fn is_ours(policy: &Policy, trunk: &Trunk, host: &Host<'_>) -> bool {
    let bare = match host {
        Host::Name(_) => host.text().to_string().to_ascii_lowercase(),
        Host::V4(ip) => ip.to_string(),
        Host::V6(ip) => ip.to_string(),
    };
    let written = host.text().to_string().to_ascii_lowercase();
    let is_host_of = |advertised: &str| {
        let found = advertised.rsplit_once(':');
        found.is_some_and(|(host, _)| *host == *written)
    };
    policy.domains.contains_key(bare.as_str())
        || (0_u16..).zip(&policy.listeners).any(|(place, listener)| {
            let own = trunk.advertise.at(ListenerId(place));
            is_host_of(&listener.advertise)
                || own.is_some_and(is_host_of)
                || host.ip() == Some(listener.bind.ip())
        })
}

/// Whether the referrer wants no reports (RFC 4488 §4).
fn declines_subscription(head: &Head<'_>) -> bool {
    head.fields().iter().any(|field| {
        let name = head.raw_name(field);
        field.name == Name::Other
            && name.eq_ignore_ascii_case(b"Refer-Sub")
            && head.value(field).eq_ignore_ascii_case(b"false")
    })
}

/// Transfers of one call, one after the other: no two parties can send it round for ever.
const MOST_TRANSFERS: u8 = 8;
