//! A request of one side within its dialog: whether it is relayed to the other, answered here, or has to wait.

use std::time::Instant;

use crate::call::a_leg::{write_reply, write_reply_with};
use crate::call::bridge::Talking;
use crate::call::call::{Call, State};
use crate::call::core::Core;
use crate::call::face::Face;
use crate::call::record::Side;
use crate::call::session::write_agreed;
use crate::dialog::session_timer::{Agreed, Asked, TooShort};
use crate::sip::build::ReplyHead;
use crate::sip::flow::Flow;
use crate::sip::message::{Essentials, Method, Request};
use crate::transaction::layer::ServerId;

/// A request of one side, within its dialog and with its CSeq in order, and where its answer goes.
pub(crate) struct AskedWithin<'e, 'm> {
    pub(crate) side: Side,
    pub(crate) server: ServerId,
    pub(crate) flow: Flow,
    pub(crate) request: &'e Request<'m>,
    pub(crate) essentials: &'e Essentials<'m>,
}

impl AskedWithin<'_, '_> {
    /// Whether it is an UPDATE without offer.
    fn is_bare_update(&self) -> bool {
        self.request.method == Method::Update && self.request.head.body().is_empty()
    }
}

impl Talking {
    /// Whether a request is between us and the side that sends it: an UPDATE without offer that refreshes the
    /// session of that leg, or that the other side could not take.
    fn is_own_affair(&mut self, asked: &AskedWithin<'_, '_>) -> bool {
        let other = self.leg(asked.side.other());
        let is_refresh = Asked::of(&asked.request.head).is_refresh();
        asked.is_bare_update() && (is_refresh || other.takes_update == Some(false))
    }
}

impl Call {
    /// Takes in a request of one side: relays it to the other, or says why not.
    pub(crate) fn handle_request_within(
        &mut self,
        now: Instant,
        core: &mut Core,
        asked: &AskedWithin<'_, '_>,
    ) {
        let server = asked.server;
        let reply = ReplyHead::new(asked.request, &asked.flow);
        let talking = match &mut self.state {
            State::Talking(talking) => talking,
            // No buyer has answered, so there is nobody to relay to yet.
            State::Asking(_) | State::Hunting(_) => {
                self.answer_early_request(now, core, asked, &reply);
                return;
            }
            State::Abroad(_) | State::Ending(_) | State::Gone => {
                core.answer(now, server, &reply, 481, None);
                return;
            }
        };
        if talking.transfer.as_ref().is_some_and(|one| one.has_left) {
            core.answer(now, server, &reply, 500, Some(GLARE_RETRY));
            return;
        }
        if asked.request.method == Method::Invite {
            core.answer(now, server, &reply, 100, None);
        }
        let is_refresh = refreshes_target(asked.request.method);
        let terms = self.policy.session.filter(|_| is_refresh);
        let agreed = terms.map_or(Ok(None), |terms| {
            let before = talking.leg(asked.side).session.as_ref();
            let before = before.map(|session| &session.timer);
            terms.answer(&Asked::of(&asked.request.head), before)
        });
        let agreed = match agreed {
            Ok(agreed) => agreed,
            Err(TooShort { min }) => {
                core.refuse_interval(now, server, &reply, min);
                return;
            }
        };
        if begins_exchange(asked.request)
            && let Some((status, retry)) = self.media.glare(talking, asked.side)
        {
            core.answer(now, server, &reply, status, retry);
            return;
        }
        if talking.is_own_affair(asked) {
            self.answer_update(now, core, asked, &reply, agreed);
            return;
        }
        if talking.relays.len() >= MOST_RELAYS {
            core.answer(now, server, &reply, 500, Some(GLARE_RETRY));
            return;
        }
        self.relay(now, core, asked, reply, agreed);
    }

    /// A request in an early dialog: nobody has answered, so there is nobody to relay to yet. An UPDATE without
    /// offer concerns this leg alone, and one with an offer may pass; anything else may come again in a while.
    fn answer_early_request(
        &mut self,
        now: Instant,
        core: &mut Core,
        asked: &AskedWithin<'_, '_>,
        reply: &ReplyHead,
    ) {
        if begins_exchange(asked.request) && asked.request.method == Method::Update {
            self.handle_early_offer(now, core, asked);
            return;
        }
        if !asked.is_bare_update() {
            core.answer(now, asked.server, reply, 500, Some(GLARE_RETRY));
            return;
        }
        if let (State::Hunting(hunting), Some(contact)) =
            (&mut self.state, &asked.essentials.contact)
        {
            if asked.side == Side::Caller {
                hunting.early.dialog.refresh_target(contact.uri);
            } else if let Some(early) = hunting.early_dialog(asked.essentials) {
                early.dialog.refresh_target(contact.uri);
            }
        }
        let face = Face::towards(asked.side, &self.policy, &self.trunk);
        let buffer = &mut core.buffer;
        let built = write_reply(buffer, reply, 200, b"", face, asked.flow, None);
        core.respond(now, asked.server, (reply, b""), 200, built);
    }

    /// Answers an UPDATE that concerns one leg alone.
    fn answer_update(
        &mut self,
        now: Instant,
        core: &mut Core,
        asked: &AskedWithin<'_, '_>,
        reply: &ReplyHead,
        agreed: Option<Agreed>,
    ) {
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let leg = talking.leg(asked.side);
        if let Some(contact) = &asked.essentials.contact {
            leg.dialog.refresh_target(contact.uri);
        }
        leg.agree(now, agreed);
        let face = Face::towards(asked.side, &self.policy, &self.trunk);
        let buffer = &mut core.buffer;
        let built = write_reply_with(buffer, reply, 200, b"", face, asked.flow, None, |writer| {
            write_agreed(writer, agreed)
        });
        core.respond(now, asked.server, (reply, b""), 200, built);
        self.locate_peers(now, core);
    }
}

/// Whether the method carries a Contact that moves the dialog (RFC 3261 §12.2, RFC 3311).
pub(crate) fn refreshes_target(method: Method<'_>) -> bool {
    matches!(method, Method::Invite | Method::Update)
}

/// Whether the request begins an exchange of offer and answer: an INVITE always does (RFC 3264 §4), an UPDATE
/// if it carries an offer (RFC 3311 §5.1).
pub(crate) fn begins_exchange(request: &Request<'_>) -> bool {
    request.method == Method::Invite
        || (request.method == Method::Update && !request.head.body().is_empty())
}

/// Requests of one call under way at once.
const MOST_RELAYS: usize = 8;

/// Seconds after which a request that came too early may come again (RFC 3261 §14.2: 0 to 10).
pub(crate) const GLARE_RETRY: u32 = 2;
