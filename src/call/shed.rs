//! New calls that there is no time for: an INVITE gets 503 at the least cost, and nothing of it is kept.
//!
//! ```text
//!   INVITE ── brief? ── yes, and new ──> 503 (To-tag "shed...")
//!               │no, or perhaps of a call that we have
//!               └──> read, and treated as always, but for a new call: 503
//!   ACK, To-tag "shed..." ──> dropped before it is read
//! ```

use std::time::Instant;

use crate::call::Engine;
use crate::call::core::Core;
use crate::call::output::{Event, Refusal};
use crate::call::refuse::{Arriving, room, stateless_tag};
use crate::sip::brief::Brief;
use crate::sip::build::{ReplyHead, Writer};
use crate::sip::flow::Flow;
use crate::sip::frame;
use crate::sip::message::{Method, Naming};

/// That new calls are refused, because there is too much to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shed {
    /// After how many seconds to try again, if that is said. Carriers take it for the word that the whole of us is down.
    pub(super) retry_after: Option<u32>,
}

/// What the To-tags of these refusals begin with: no tag of ours that anything is kept for does.
const SHED_TAG: &[u8] = b"shed";

/// Whether a To-tag is that of an INVITE that was refused because there is too much to do, so that its ACK is of no use.
#[must_use]
pub fn is_shed_tag(tag: &[u8]) -> bool {
    tag.starts_with(SHED_TAG)
}

impl Engine {
    /// Takes in a datagram; if it would begin a call, it is refused.
    pub(super) fn handle_shed(&mut self, now: Instant, flow: Flow, datagram: &[u8], shed: Shed) {
        let message = frame::datagram(datagram).unwrap_or_default();
        let Some(brief) = Brief::of_invite(message).filter(|brief| self.is_news(now, flow, brief))
        else {
            self.shed = Some(shed);
            self.handle_datagram(now, flow, datagram);
            self.shed = None;
            return;
        };
        let reply = ReplyHead::of_brief(&brief, &flow);
        let room = room(&self.policy, &flow, message.len());
        self.core.shed(flow, &brief.naming, &reply, room, shed);
        let method = Method::Invite.label();
        self.core.event(Event::Request { method });
    }

    /// Whether an INVITE is none that we have seen, of somebody whom we answer.
    fn is_news(&self, now: Instant, flow: Flow, brief: &Brief<'_>) -> bool {
        self.handed_on.is_empty()
            && !self.core.layer.has_invite(&brief.naming)
            && !self.core.is_silent_to(now, &self.policy, flow.remote.ip())
    }
}

impl Arriving<'_, '_> {
    /// Refuses an INVITE of whoever it is.
    pub(super) fn shed(&self, core: &mut Core, shed: Shed) {
        if self.is_shunned {
            self.silence(core, Refusal::Shed);
            return;
        }
        let reply = ReplyHead::new(self.request, &self.flow);
        let naming = self.essentials.naming();
        core.shed(self.flow, &naming, &reply, self.room(), shed);
    }
}

impl Core {
    fn shed(
        &mut self,
        flow: Flow,
        naming: &Naming<'_>,
        reply: &ReplyHead,
        room: usize,
        shed: Shed,
    ) {
        let mut tag = stateless_tag(&self.stateless_key, naming);
        tag.iter_mut()
            .zip(SHED_TAG)
            .for_each(|(to, from)| *to = *from);
        let mut writer = Writer::reply(&mut self.buffer, reply, 503, Some(&tag));
        if let Some(seconds) = shed.retry_after {
            writer.number("Retry-After", seconds);
        }
        let built = writer.finish(b"");
        let answer = self.built(built).filter(|bytes| bytes.len() <= room);
        self.event(Event::Refused {
            why: Refusal::Shed,
            flow,
            status: answer.is_some().then_some(503),
        });
        if let Some(bytes) = answer {
            self.transmit(flow, bytes);
        }
    }
}
