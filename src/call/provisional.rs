//! Reliable provisional responses (RFC 3262), each leg's its own: RSeq, RAck and Require never cross.
//!
//! ```text
//!   caller                    we                     buyer
//!     | INVITE, 100rel        |  INVITE, 100rel        |     offered whatever the caller can
//!     |---------------------->|----------------------->|
//!     |                       |        183, RSeq 5     |
//!     |      183, RSeq 812    |<-----------------------|
//!     |<----------------------|  PRACK, RAck 5         |
//!     |  PRACK, RAck 812      |----------------------->|
//!     |---------------------->|        200 INVITE      |
//!     |                       |<-----------------------|     without PRACK yet, it waits here
//! ```
//!
//! To an INVITE without offer the first of them brings one, and its PRACK the answer: see `reliable_offer`. Offers that
//! come after the first answer are the matter of `early_offer`.

use std::time::Instant;

use bytes::Bytes;

use crate::call::a_leg::{Early, write_reply_with};
use crate::call::b_leg::Attempt;
use crate::call::call::{Call, State};
use crate::call::core::{CallKey, Core, Owner};
use crate::call::credentials::Challenged;
use crate::call::early_offer::takes_update;
use crate::call::face::Face;
use crate::call::headers::Crossing;
use crate::call::policy::Policy;
use crate::call::record::{Outcome, Side};
use crate::call::reliable_offer::Late;
use crate::call::turn::{Turn, TurnId};
use crate::dialog::Dialog;
use crate::dialog::reliable::{Fired, Heard, Reliable};
use crate::sip::build::BuildError;
use crate::sip::extensions::{self, RAck};
use crate::sip::message::{
    Essentials, Head, Message, Method, Name, Request, Response, ResponseEssentials, parse,
};
use crate::transaction::layer::ClientId;

/// What the caller wants of our provisional responses.
pub(crate) struct Provisional {
    reliable: Reliable,
    /// All of them are reliable, not only those with a body.
    is_required: bool,
    /// The offer that they bring, to an INVITE without.
    pub(crate) late: Late,
    /// The next one, which waits for the PRACK of the last.
    next: Option<Next>,
    /// One with a body, which is the answer, went out; and the caller has acknowledged it.
    has_body: bool,
    is_told: bool,
}

struct Next {
    status: u16,
    has_body: bool,
    response: Bytes,
}

/// An early dialog with a buyer, in which its reliable provisional responses are acknowledged.
pub(crate) struct EarlyDialog {
    pub(crate) dialog: Dialog,
    heard: Heard,
    /// The response that brought the answer: its 2xx need not repeat it (RFC 3262 §5).
    pub(crate) answer: Option<Bytes>,
    /// Whether the buyer takes UPDATE; `None`: it did not say.
    pub(crate) takes_update: Option<bool>,
    /// Our last PRACK, for a buyer that may challenge it.
    pub(crate) prack: Option<(ClientId, Bytes)>,
    /// The response that brought an offer, until the caller has answered it.
    pub(crate) owed: Option<RAck>,
}

impl Provisional {
    /// What the INVITE asks for; `None`: nothing.
    pub(crate) fn wanted(
        core: &mut Core,
        request: &Request<'_>,
        essentials: &Essentials<'_>,
    ) -> Option<Box<Self>> {
        let head = &request.head;
        let is_required = extensions::lists(head, Name::Require, extensions::RELIABLE);
        let is_supported = extensions::lists(head, Name::Supported, extensions::RELIABLE);
        let late = match head.body() {
            [] => Late::Awaited,
            [..] => Late::Early,
        };
        (is_required || is_supported).then(|| {
            let first = (core.entropy.next_u64() >> 32) as u32;
            Box::new(Self {
                reliable: Reliable::new(essentials.cseq, first),
                is_required,
                late,
                next: None,
                has_body: false,
                is_told: false,
            })
        })
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.reliable.poll_timeout()
    }

    /// Whether the caller has the answer to its offer, and said so.
    pub(crate) fn is_told(&self) -> bool {
        self.is_told
    }

    fn handle_prack(&mut self, rack: Option<RAck>) -> bool {
        let is_it = self.reliable.handle_prack(rack);
        self.is_told |= is_it && self.has_body;
        is_it
    }
}

impl Early {
    /// Sends a provisional response, reliably where the caller wants that: our own tag and Contact; with it
    /// goes the body of the buyer's, if any. `false`: the caller hears nothing.
    pub(crate) fn ring(
        &mut self,
        now: Instant,
        core: &mut Core,
        face: Face<'_>,
        tag: &[u8],
        status: u16,
        with: Option<(&Response<'_>, Crossing<'_>)>,
    ) -> bool {
        let Some(server) = self.server else {
            return false;
        };
        let has_body = with.is_some_and(|(with, _)| !with.head.body().is_empty());
        let provisional = match &self.provisional {
            Some(one) if one.late.bars(has_body) && one.is_required => return false,
            Some(one) if !one.late.bars(has_body) && (one.is_required || has_body) => one,
            Some(_) | None => {
                let built = self.write_ringing(core, face, tag, status, with, None);
                core.respond(now, server, (&self.reply, tag), status, built);
                return true;
            }
        };
        let is_waiting = provisional.reliable.is_waiting();
        // An answer is not given up for mere ringing.
        let keeps = provisional.next.as_ref().is_some_and(|next| next.has_body);
        if is_waiting && keeps && !has_body {
            return true;
        }
        let rseq = provisional.reliable.rseq();
        let rseq = if is_waiting {
            rseq.saturating_add(1)
        } else {
            rseq
        };
        let built = self.write_ringing(core, face, tag, status, with, Some(rseq));
        let Some(response) = core.built(built) else {
            return false;
        };
        let next = Next {
            status,
            has_body,
            response,
        };
        if !is_waiting {
            self.ring_reliably(now, core, face.policy, next);
        } else if let Some(provisional) = &mut self.provisional {
            provisional.next = Some(next);
        }
        true
    }

    fn write_ringing(
        &self,
        core: &mut Core,
        face: Face<'_>,
        tag: &[u8],
        status: u16,
        with: Option<(&Response<'_>, Crossing<'_>)>,
        rseq: Option<u32>,
    ) -> Result<Bytes, BuildError> {
        write_reply_with(
            &mut core.buffer,
            &self.reply,
            status,
            tag,
            face,
            self.flow,
            with,
            |writer| {
                if let Some(rseq) = rseq {
                    writer.field("Require", extensions::RELIABLE.as_bytes());
                    writer.number("RSeq", rseq);
                }
            },
        )
    }

    fn ring_reliably(&mut self, now: Instant, core: &mut Core, policy: &Policy, next: Next) {
        if let (Some(provisional), Some(server)) = (&mut self.provisional, self.server) {
            let response = next.response;
            provisional.has_body |= next.has_body;
            provisional
                .reliable
                .sent(now, &policy.timing, response.clone());
            core.transact(|layer, out| layer.respond(now, server, next.status, response, out));
        }
    }

    /// Whether a 2xx has to wait for a PRACK (RFC 3262 §3).
    pub(crate) fn is_unacknowledged(&self) -> bool {
        self.provisional
            .as_ref()
            .is_some_and(|provisional| provisional.reliable.is_waiting())
    }
}

impl Attempt {
    /// The early dialog that a message of the buyer's belongs to.
    pub(crate) fn early_of(&mut self, tag: Option<&[u8]>) -> Option<&mut EarlyDialog> {
        let tag = tag.unwrap_or_default();
        self.early
            .iter_mut()
            .find(|early| early.dialog.remote_tag() == tag)
    }

    /// Acknowledges a provisional response of the buyer's if it is reliable; `false`: it is not its turn, and
    /// must not be looked at (RFC 3262 §4).
    pub(crate) fn take_provisional(
        &mut self,
        now: Instant,
        core: &mut Core,
        key: CallKey,
        policy: &Policy,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) -> bool {
        let head = &response.head;
        if !extensions::lists(head, Name::Require, extensions::RELIABLE) {
            return true;
        }
        let Some(rseq) = extensions::rseq(head) else {
            return true;
        };
        let keeps_sent = self.buyer.login.is_some();
        if self.early_of(essentials.to.tag()).is_none() {
            if self.early.len() >= MOST_EARLY {
                return false;
            }
            let fallback = self.gateway.uri.as_bytes();
            self.early.push(EarlyDialog {
                dialog: Dialog::as_uac(essentials, head, fallback, self.flow),
                heard: Heard::default(),
                answer: None,
                takes_update: None,
                prack: None,
                owed: None,
            });
        }
        let has_body = !head.body().is_empty();
        let is_offer = has_body && self.awaits_offer();
        let is_taken = self.takes_offer && has_body && !is_offer;
        let Some(early) = self.early_of(essentials.to.tag()) else {
            return false;
        };
        if is_taken && early.answer.is_none() || !early.heard.take(rseq) {
            return false;
        }
        early.takes_update = takes_update(head).or(early.takes_update);
        let rack = RAck {
            rseq,
            cseq: essentials.cseq,
        };
        if is_offer {
            early.owed = Some(rack);
        } else {
            let sent = early.acknowledge(now, core, key, policy, rack, None);
            early.prack = sent.filter(|_| keeps_sent);
        }
        if has_body {
            early.answer = Some(Bytes::copy_from_slice(head.message()));
        }
        true
    }

    /// The answer to our PRACK: a challenge is met once, and all else is the buyer's own affair.
    fn handle_prack_response(
        &mut self,
        now: Instant,
        core: &mut Core,
        key: CallKey,
        policy: &Policy,
        id: ClientId,
        response: &Response<'_>,
    ) {
        let Some(login) = &self.buyer.login else {
            return;
        };
        let is_its = |early: &&mut EarlyDialog| {
            let prack = early.prack.as_ref();
            prack.is_some_and(|(client, _)| *client == id)
        };
        let Some(early) = self.early.iter_mut().find(is_its) else {
            return;
        };
        if let (401 | 407, Some((_, prack))) = (response.status, early.prack.take()) {
            let challenged = Challenged {
                policy,
                login,
                sent: &prack,
                response,
            };
            challenged.repeat(now, core, &mut early.dialog, Owner::Prack(key));
        }
    }
}

impl EarlyDialog {
    /// Sends a PRACK; `with` is the caller's, if it brings the answer to the buyer's offer.
    pub(crate) fn acknowledge(
        &mut self,
        now: Instant,
        core: &mut Core,
        key: CallKey,
        policy: &Policy,
        rack: RAck,
        with: Option<(&Head<'_>, Crossing<'_>)>,
    ) -> Option<(ClientId, Bytes)> {
        let client = core.prepare()?;
        let branch = core.layer.branch(client);
        let flow = self.dialog.flow();
        let cseq = self.dialog.next_cseq();
        let mut writer = self.dialog.write_request(
            &mut core.buffer,
            Method::Prack,
            cseq,
            policy.advertised(flow.listener),
            &branch,
            70,
        );
        let (mut rseq, mut invite) = (itoa::Buffer::new(), itoa::Buffer::new());
        writer.parts(
            "RAck",
            &[
                rseq.format(rack.rseq).as_bytes(),
                b" ",
                invite.format(rack.cseq).as_bytes(),
                b" INVITE",
            ],
        );
        if let Some((head, crossing)) = with {
            crossing.pass_within(&mut writer, Method::Prack, head);
        }
        let built = writer.finish(with.map_or(b"", |(head, _)| head.body()));
        let Some(prack) = core.built(built) else {
            core.layer.release(client);
            return None;
        };
        let (copy, owner) = (prack.clone(), Owner::Prack(key));
        core.transact(|layer, out| layer.send_request(now, client, flow, copy, owner, out));
        Some((client, prack))
    }
}

impl Call {
    /// A PRACK of the caller's; `false`: it acknowledges nothing that waits for it.
    pub(crate) fn matches_prack(&mut self, side: Side, request: &Request<'_>) -> bool {
        let Some(early) = self.early_mut() else {
            return false;
        };
        let provisional = early.provisional.as_mut();
        side == Side::Caller
            && provisional
                .is_some_and(|provisional| provisional.handle_prack(RAck::of(&request.head)))
    }

    /// The caller has acknowledged a provisional response: what waited for that goes out.
    pub(crate) fn go_on_after_prack(&mut self, now: Instant, core: &mut Core) {
        let policy = self.policy.clone();
        let Some(early) = self.early_mut() else {
            return;
        };
        let provisional = early.provisional.as_mut();
        let next = provisional.and_then(|provisional| provisional.next.take());
        let is_asking = self.media.is_asking();
        let held = match &mut self.state {
            State::Hunting(hunting) if is_asking || hunting.early.is_exchanging() => None,
            State::Hunting(hunting) => hunting.take_held(),
            State::Asking(_)
            | State::Talking(_)
            | State::Abroad(_)
            | State::Ending(_)
            | State::Gone => None,
        };
        let Some(held) = held else {
            if let (Some(next), Some(early)) = (next, self.early_mut()) {
                early.ring_reliably(now, core, &policy, next);
            }
            return;
        };
        let (turn, held) = held;
        if let Some((response, essentials)) = reread_response(&held) {
            self.handle_answer(now, core, turn, &response, &essentials);
        }
    }

    /// Whether the buyer's 2xx was put by until the caller's PRACK, the answer to an offer, or rtpengine's. It is not acknowledged so long: a buyer without
    /// ACK sends it again, and neither hangs up nor asks for anything.
    pub(crate) fn hold_answer(&mut self, turn: TurnId, response: &Response<'_>) -> bool {
        let State::Hunting(hunting) = &self.state else {
            return false;
        };
        let early = &hunting.early;
        let waits = early.is_unacknowledged() || early.is_exchanging() || self.media.is_asking();
        if waits {
            self.keep_answer(turn, response);
        }
        waits
    }

    /// Puts the buyer's 2xx by.
    pub(crate) fn keep_answer(&mut self, turn: TurnId, response: &Response<'_>) {
        if let Some(attempt) = self.state.attempt_mut(turn) {
            attempt.held = Some(Bytes::copy_from_slice(response.head.message()));
        }
    }

    /// The buyer's 2xx that waited goes on, unless it waits for something else as well.
    pub(crate) fn go_on_with_held(&mut self, now: Instant, core: &mut Core) {
        let is_asking = self.media.is_asking();
        let State::Hunting(hunting) = &mut self.state else {
            return;
        };
        let early = &hunting.early;
        if is_asking || early.is_unacknowledged() || early.is_exchanging() {
            return;
        }
        let Some((turn, held)) = hunting.take_held() else {
            return;
        };
        if let Some((response, essentials)) = reread_response(&held) {
            self.handle_answer(now, core, turn, &response, &essentials);
        }
    }

    /// Sends the provisional response again, or gives the caller up that never acknowledges it.
    pub(crate) fn handle_provisional_timeout(&mut self, now: Instant, core: &mut Core) {
        let timing = self.policy.timing;
        let Some(early) = self.early_mut() else {
            return;
        };
        let Some(provisional) = &mut early.provisional else {
            return;
        };
        match provisional.reliable.handle_timeout(now, &timing) {
            Fired::Nothing => {}
            Fired::Again(response) => core.retransmit(early.flow, response),
            Fired::InVain => {
                self.cancel_attempts(now, core);
                self.fail(now, core, Outcome::NoPrack, Side::Caller);
            }
        }
    }

    /// The answer to a PRACK of ours.
    pub(crate) fn handle_prack_response(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
        response: &Response<'_>,
    ) {
        if let State::Hunting(hunting) = &mut self.state
            && response.status >= 200
        {
            let (key, policy) = (self.key, &self.policy);
            for attempt in hunting.turns.iter_mut().filter_map(Turn::attempt_mut) {
                attempt.handle_prack_response(now, core, key, policy, id, response);
            }
        }
    }
}

/// Reads back a response that was kept.
pub(crate) fn reread_response(kept: &[u8]) -> Option<(Response<'_>, ResponseEssentials<'_>)> {
    let Ok(Message::Response(response)) = parse(kept) else {
        return None;
    };
    let essentials = response.essentials().ok()?;
    Some((response, essentials))
}

/// Early dialogs of one INVITE in which reliable responses are acknowledged; forks beyond go unheard.
const MOST_EARLY: usize = 8;
