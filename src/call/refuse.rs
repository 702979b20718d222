//! What a request gets that does not become part of a call.
//!
//! It is answered without a trace being kept (RFC 3261 §8.2.7), so that strangers cost no memory; the
//! answer goes back the way the request came, never where its Via points. To a stranger over UDP, who may be somebody else than it
//! says, none has more bytes than what it answers: what does not fit is left out, and if that does not do, there is no answer.

use std::hash::Hasher;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use siphasher::sip128::{Hasher128, SipHasher24};
use smallvec::SmallVec;

use crate::call::a_leg::RETRY_AFTER;
use crate::call::core::{Core, Owner};
use crate::call::headers;
use crate::call::output::{Event, Refusal};
use crate::call::policy::Policy;
use crate::sip::build::{BuildError, ReplyHead, Writer};
use crate::sip::extensions;
use crate::sip::flow::Flow;
use crate::sip::header::NameAddr;
use crate::sip::message::{Essentials, Message, Name, Naming, Request, parse};
use crate::sip::uri::Uri;
use crate::transaction::key::ServerKey;
use crate::transaction::layer::ServerId;

/// A request that belongs to no dialog, and what is at hand to deal with it.
#[derive(Clone, Copy)]
pub(crate) struct Arriving<'e, 'm> {
    pub(crate) now: Instant,
    pub(crate) flow: Flow,
    pub(crate) policy: &'e Arc<Policy>,
    pub(crate) request: &'e Request<'m>,
    pub(crate) essentials: &'e Essentials<'m>,
    /// Refusals are silent: it came from a stranger, and belongs to nothing.
    pub(crate) is_shunned: bool,
}

impl<'e, 'm> Arriving<'e, 'm> {
    pub(crate) fn new(
        now: Instant,
        flow: Flow,
        policy: &'e Arc<Policy>,
        core: &Core,
        request: &'e Request<'m>,
        essentials: &'e Essentials<'m>,
    ) -> Self {
        Self {
            now,
            flow,
            policy,
            request,
            essentials,
            is_shunned: core.is_silent_to(now, policy, flow.remote.ip()),
        }
    }

    /// The same, of somebody who has shown who it is.
    pub(crate) fn welcome(&self) -> Self {
        Self {
            is_shunned: false,
            ..*self
        }
    }

    /// Answers without keeping anything, unless it is a stranger's and those are met with silence.
    pub(crate) fn refuse(&self, core: &mut Core, why: Refusal, status: u16) {
        self.reply(core, why, status, |_| {});
    }

    pub(crate) fn silence(&self, core: &mut Core, why: Refusal) {
        core.event(Event::Refused {
            why,
            flow: self.flow,
            status: None,
        });
    }

    pub(crate) fn reply(
        &self,
        core: &mut Core,
        why: Refusal,
        status: u16,
        more: impl FnOnce(&mut Writer<'_>),
    ) {
        self.reply_or(core, why, status, more, |_| {});
    }

    /// The same; `least` writes what is to be there where there is no room for `more`.
    pub(crate) fn reply_or(
        &self,
        core: &mut Core,
        why: Refusal,
        status: u16,
        more: impl FnOnce(&mut Writer<'_>),
        least: impl FnOnce(&mut Writer<'_>),
    ) {
        if self.is_shunned {
            self.silence(core, why);
            return;
        }
        let answer = self.fit(core, status, more, least);
        core.event(Event::Refused {
            why,
            flow: self.flow,
            status: answer.is_some().then_some(status),
        });
        if let Some(bytes) = answer {
            core.transmit(self.flow, bytes);
        }
    }

    /// Refuses the INVITE of somebody who was let in. A transaction keeps the answer, where there is room:
    /// the credentials are used up, so a repetition could not be judged again.
    pub(crate) fn refuse_known(&self, core: &mut Core, key: ServerKey, why: Refusal, status: u16) {
        self.refuse_known_with(core, key, why, status, |_| {});
    }

    /// The same, with `more` headers.
    pub(crate) fn refuse_known_with(
        &self,
        core: &mut Core,
        key: ServerKey,
        why: Refusal,
        status: u16,
        more: impl FnOnce(&mut Writer<'_>),
    ) {
        let layer = &mut core.layer;
        let accepted = (!layer.is_crowded())
            .then(|| layer.accept(self.now, key, self.flow, true, Owner::Nobody))
            .flatten();
        let Some(server) = accepted else {
            self.reply(core, why, status, more);
            return;
        };
        core.event(Event::Refused {
            why,
            flow: self.flow,
            status: Some(status),
        });
        let (reply, tag) = self.reply_head(core);
        let built = self.write(core, (&reply, &tag), status, more);
        core.respond(self.now, server, (&reply, &tag), status, built);
    }

    /// A response that no transaction keeps, as long as it may be; `None`: there is no room for any.
    fn fit(
        &self,
        core: &mut Core,
        status: u16,
        more: impl FnOnce(&mut Writer<'_>),
        least: impl FnOnce(&mut Writer<'_>),
    ) -> Option<Bytes> {
        let room = self.room();
        let (reply, tag) = self.reply_head(core);
        let built = self.write(core, (&reply, &tag), status, more);
        let whole = core.built(built)?;
        if whole.len() <= room {
            return Some(whole);
        }
        let (short, _) = tag.split_at(SHORT_TAG);
        let mut writer = Writer::reply(&mut core.buffer, &reply, status, Some(short));
        least(&mut writer);
        let built = writer.finish(b"");
        core.built(built).filter(|bytes| bytes.len() <= room)
    }

    /// How many bytes an answer to this request may have.
    pub(crate) fn room(&self) -> usize {
        room(self.policy, &self.flow, self.request.head.length())
    }

    /// What responses to a request outside any dialog repeat, and their To-tag: the same for each repetition
    /// of the request (§8.2.7).
    fn reply_head(&self, core: &Core) -> (ReplyHead, [u8; 32]) {
        let tag = stateless_tag(&core.stateless_key, &self.essentials.naming());
        (ReplyHead::new(self.request, &self.flow), tag)
    }

    fn write(
        &self,
        core: &mut Core,
        (reply, tag): (&ReplyHead, &[u8]),
        status: u16,
        more: impl FnOnce(&mut Writer<'_>),
    ) -> Result<Bytes, BuildError> {
        let mut writer = Writer::reply(&mut core.buffer, reply, status, Some(tag));
        if status == 503 {
            writer.number("Retry-After", RETRY_AFTER);
        }
        more(&mut writer);
        writer.finish(b"")
    }

    /// Answers 200, with `tag` if To has none. Without room for a transaction nothing keeps it: what was
    /// asked is done all the same.
    pub(crate) fn confirm(&self, core: &mut Core, key: ServerKey, tag: &[u8]) {
        let reply = ReplyHead::new(self.request, &self.flow);
        let built = Writer::reply(&mut core.buffer, &reply, 200, Some(tag)).finish(b"");
        let owner = Owner::Nobody;
        match core.layer.accept(self.now, key, self.flow, false, owner) {
            Some(server) => {
                core.respond(self.now, server, (&reply, tag), 200, built);
            }
            None => {
                if let Some(bytes) = core.built(built) {
                    core.transmit(self.flow, bytes);
                }
            }
        }
    }

    /// The To-tag of the responses to an INVITE that is to be cancelled (§9.2), as far as they are kept: that of
    /// the last one, or else that of a refusal of ours.
    pub(crate) fn tag_towards(&self, core: &Core, invite: ServerId) -> Vec<u8> {
        let last = core.layer.last_response(invite);
        last.and_then(|last| tag_in_to(last)).unwrap_or_else(|| {
            stateless_tag(&core.stateless_key, &self.essentials.naming()).to_vec()
        })
    }

    /// OPTIONS to ourselves: whether we take calls (§11).
    pub(crate) fn answer_options(&self, core: &mut Core, closed: Option<Refusal>) {
        if self.is_shunned {
            self.silence(core, Refusal::UnknownAddress);
        } else if let Some(why) = closed {
            self.refuse(core, why, 503);
        } else {
            let more = |writer: &mut Writer<'_>| {
                writer
                    .field("Allow", headers::ALLOW)
                    .field("Accept", b"application/sdp");
            };
            if let Some(bytes) = self.fit(core, 200, more, |_| {}) {
                core.transmit(self.flow, bytes);
            }
        }
    }

    /// A method that is not taken where it came: within a dialog, or outside any.
    pub(crate) fn refuse_method(&self, core: &mut Core, status: u16) {
        let allow = match self.essentials.to.tag() {
            Some(_) => headers::ALLOW,
            None => headers::ALLOW_OUTSIDE,
        };
        self.reply(core, Refusal::Method, status, |writer| {
            writer.field("Allow", allow);
        });
    }

    /// Whether the request may be sent on. One without hops left may not (§16.3), but what is for ourselves is
    /// answered all the same: Max-Forwards is nothing to a UAS (§8.2).
    pub(crate) fn has_hops_left(&self, core: &mut Core) -> bool {
        let has_some = self.essentials.max_forwards != Some(0);
        if !has_some {
            self.refuse(core, Refusal::TooManyHops, 483);
        }
        has_some
    }

    /// Whether a Require may name this extension.
    fn is_supported(&self, tag: &[u8]) -> bool {
        let is = |one: &str| tag.eq_ignore_ascii_case(one.as_bytes());
        is(extensions::RELIABLE) || (is(extensions::TIMER) && self.policy.session.is_some())
    }

    /// What every request must satisfy: extensions that we know (§8.2.2.3), a scheme that we know.
    pub(crate) fn passes_basics(&self, core: &mut Core) -> bool {
        let head = &self.request.head;
        let required: SmallVec<[&[u8]; 4]> = extensions::tokens(head, Name::Require)
            .filter(|tag| !self.is_supported(tag))
            .chain(extensions::tokens(head, Name::ProxyRequire))
            .collect();
        if !required.is_empty() {
            self.reply(core, Refusal::BadExtension, 420, |writer| {
                for value in required {
                    writer.unfolded("Unsupported", value);
                }
            });
            return false;
        }
        if let Uri::Other { .. } = self.essentials.uri {
            self.refuse(core, Refusal::BadScheme, 416);
            return false;
        }
        true
    }
}

/// How many bytes an answer to a request of `length` bytes may have. Over UDP anybody can write anybody's address, so a stranger gets no
/// more than it sent: nobody gains by having us answer somebody else (RFC 5358 speaks of DNS, but SIP is no better). Those whom the
/// configuration names are answered in full.
pub(crate) fn room(policy: &Policy, flow: &Flow, length: usize) -> usize {
    let is_proved = flow.transport.is_reliable();
    if is_proved || policy.known.longest_match(flow.remote.ip()).is_some() {
        usize::MAX
    } else {
        length
    }
}

/// Length of a To-tag where there is no room for a longer one: 64 bits of the hash (RFC 3261 §19.3 asks for 32).
const SHORT_TAG: usize = 16;

fn tag_in_to(response: &[u8]) -> Option<Vec<u8>> {
    let Ok(Message::Response(response)) = parse(response) else {
        return None;
    };
    let to = NameAddr::parse(response.head.first(Name::To)?).ok()?;
    to.tag().map(<[u8]>::to_vec)
}

/// The To-tag of a stateless answer: a keyed hash of what names the request.
pub(crate) fn stateless_tag(key: &[u8; 16], naming: &Naming<'_>) -> [u8; 32] {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(naming.via.text);
    hasher.write(naming.call_id);
    hasher.write(naming.from_tag.unwrap_or_default());
    hasher.write_u32(naming.cseq);
    let value = hasher.finish128().as_u128();
    let mut text = [b'0'; 32];
    for (index, place) in text.iter_mut().enumerate() {
        let nibble = ((value >> (index * 4)) & 15) as u8;
        *place = if nibble < 10 {
            b'0' + nibble
        } else {
            b'a' + nibble - 10
        };
    }
    text
}
