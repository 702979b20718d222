//! A call that is answered: two dialogs side by side.
//!
//! Each leg keeps its own CSeq, its own 2xx and its own ACK: a buyer's 2xx is acknowledged at once, ours to
//! the caller goes out until the caller acknowledges it. What is asked across is in `relay`.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::call::a_leg::{AwaitAck, Waited};
use crate::call::call::{Call, Hunting, State};
use crate::call::core::{CallKey, Core, Owner};
use crate::call::credentials::{Credentials, reread};
use crate::call::early_offer::takes_update;
use crate::call::face::Face;
use crate::call::headers::Crossing;
use crate::call::lodger::Parked;
use crate::call::media::{self, Carried, Role};
use crate::call::moving::Move;
use crate::call::provisional::reread_response;
use crate::call::record::{Outcome, Side};
use crate::call::relay::Relay;
use crate::call::session::Session;
use crate::call::transfer::Transfer;
use crate::call::turn::{Phase, TurnId};
use crate::call::within::GLARE_RETRY;
use crate::dialog::Dialog;
use crate::dialog::session_timer::Asked;
use crate::routing::buyer::Buyer;
use crate::sip::flow::Flow;
use crate::sip::message::{Essentials, Head, Method, Request, Response, ResponseEssentials};
use crate::transaction::layer::ClientId;

/// What an answered call holds.
pub(crate) struct Talking {
    pub(crate) caller: Leg,
    pub(crate) buyer: Leg,
    /// Who answered, for its challenges.
    pub(crate) who: Arc<Buyer>,
    /// Requests on their way from one side to the other; at most `relay::MOST_RELAYS`.
    pub(crate) relays: Vec<Relay>,
    /// A transfer under way.
    pub(crate) transfer: Option<Box<Transfer>>,
    /// A side that is to be told of other ports.
    pub(crate) moving: Option<Box<Move>>,
    /// Transfers so far.
    pub(crate) transfers: u8,
    /// When the call has lasted too long.
    until: Instant,
}

/// One side of an answered call.
pub(crate) struct Leg {
    pub(crate) dialog: Dialog,
    /// Our 2xx to this side's INVITE, until its ACK.
    pub(crate) awaiting: Option<AwaitAck>,
    /// Whether the peer takes UPDATE; `None`: it did not say.
    pub(crate) takes_update: Option<bool>,
    /// Its session timer, if it has one.
    pub(crate) session: Option<Box<Session>>,
    /// The ACK that this side is owed: it waits for the other side's, which carries the answer.
    pub(crate) owed: Option<OwedAck>,
}

/// The ACK of a 2xx that brought an offer (RFC 3261 §13.2.1): the answer comes with the other leg's ACK.
pub(crate) struct OwedAck {
    pub(crate) client: ClientId,
    pub(crate) cseq: u32,
    pub(crate) credentials: Option<Credentials>,
}

impl Leg {
    fn new(dialog: Dialog, awaiting: Option<AwaitAck>, takes_update: Option<bool>) -> Self {
        Self {
            dialog,
            awaiting,
            takes_update,
            session: None,
            owed: None,
        }
    }
}

impl Talking {
    pub(crate) fn dialog(&self, side: Side) -> &Dialog {
        match side {
            Side::Caller | Side::Edge => &self.caller.dialog,
            Side::Buyer => &self.buyer.dialog,
        }
    }

    /// Whether a 2xx of ours to this side waits for its ACK.
    pub(crate) fn is_awaiting(&self, side: Side) -> bool {
        match side {
            Side::Caller | Side::Edge => self.caller.awaiting.is_some(),
            Side::Buyer => self.buyer.awaiting.is_some(),
        }
    }

    pub(crate) fn leg(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::Caller | Side::Edge => &mut self.caller,
            Side::Buyer => &mut self.buyer,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [&self.caller, &self.buyer]
            .into_iter()
            .flat_map(|leg| {
                let awaiting = leg.awaiting.as_ref().map(AwaitAck::poll_timeout);
                awaiting.into_iter().chain(leg.session_due())
            })
            .chain(self.move_due())
            .chain([self.until])
            .min()
    }

    /// Why an INVITE or an offer of `from` must wait, and how it is told: one exchange at a time, whoever
    /// begins it, and each acknowledged first (RFC 3261 §14.1, §14.2, RFC 3311 §5.2).
    pub(crate) fn glare(&self, from: Side) -> Option<(u16, Option<u32>)> {
        let under_way = self.relays.iter().find(|relay| relay.begins_exchange);
        match under_way {
            Some(relay) if relay.from == from => Some((500, Some(GLARE_RETRY))),
            Some(_) => Some((491, None)),
            None => {
                let is_busy = |leg: &Leg| leg.awaiting.is_some() || leg.is_refreshing_by_invite();
                let is_joining = self.transfer.as_ref().is_some_and(|one| one.is_joining());
                let is_busy =
                    is_joining || self.is_moving() || is_busy(&self.caller) || is_busy(&self.buyer);
                is_busy.then_some((491, None))
            }
        }
    }
}

impl Side {
    /// The other leg.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::Caller | Self::Edge => Self::Buyer,
            Self::Buyer => Self::Caller,
        }
    }
}

impl Call {
    /// A buyer answered: acknowledges it, answers the caller, and bridges the two.
    pub(crate) fn handle_answer(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) {
        let tag = essentials.to.tag();
        self.adopt(now, core, turn);
        let carried = match self.carry_answer(now, core, turn, response, tag) {
            Ok(Carried::Wait) => {
                self.keep_answer(turn, response);
                self.media.park(Parked::Answer);
                return;
            }
            Ok(Carried::Body(body)) => Some(body),
            Ok(Carried::AsIs) => None,
            Err(unfit) => {
                self.give_answer_up(now, core, turn, response, unfit.result());
                return;
            }
        };
        self.end_race(now, core, turn);
        media::note_answered(&mut self.media, core);
        self.note_winner(now, core, turn, response.status);
        let State::Hunting(hunting) = mem::replace(&mut self.state, State::Gone) else {
            return;
        };
        let Hunting {
            mut early, turns, ..
        } = *hunting;
        let winner = turns.into_iter().find(|one| one.id == turn);
        let Some(Phase::Trying(mut attempt)) = winner.map(|winner| winner.phase) else {
            return;
        };
        let is_settled = early.settled_with(essentials.to.tag());
        let tag = self.caller_mark.text();
        let buyer = Dialog::as_uac(
            essentials,
            &response.head,
            attempt.gateway.uri.as_bytes(),
            attempt.flow,
        );
        let mut buyer = Leg::new(buyer, None, takes_update(&response.head));
        let before = attempt.early_of(essentials.to.tag());
        if let Some(before) = &before {
            buyer.dialog.continue_from(&before.dialog);
        }
        // An answer that came before in a reliable response need not come again.
        let answer = before.and_then(|before| before.answer.take());
        let answer = answer.as_deref().and_then(reread_response);
        let answer = match &answer {
            Some((answer, _)) if response.head.body().is_empty() => answer,
            Some(_) | None => response,
        };
        let carried = carried.as_ref().map(|body| answer.with_body(body));
        let answer = carried.as_ref().unwrap_or(answer);
        let spent = attempt.spent();
        let owed = OwedAck {
            client: attempt.client,
            cseq: attempt.cseq,
            credentials: attempt.credentials,
        };
        // Another fork that answers the same INVITE is acknowledged and ended (§13.2.2.4).
        core.layer
            .set_owner(attempt.client, Owner::Abandoned(spent));
        if let Some(of) = early.transfer {
            let who = (attempt.buyer, attempt.mark);
            self.hand_over(now, core, of, (buyer, owed), who, response);
            return;
        }
        if attempt.has_offer || is_settled {
            buyer.acknowledge(core, (self.key, Face::to_buyer(&self.policy)), owed, None);
        } else {
            buyer.owed = Some(owed);
        }
        let terms = self.policy.session.as_ref();
        let face = Face::towards(Side::Caller, &self.policy, &self.trunk);
        let crossing = Crossing::from(
            Side::Buyer,
            &self.policy,
            (&self.trunk, &attempt.buyer),
            attempt.flow.remote.ip(),
            face.advertised(early.flow.listener),
        );
        // One that is too short was refused before.
        let agreed = terms.and_then(|terms| terms.answer(&early.session, None).ok().flatten());
        let with = (agreed, self.trunk.refer, is_settled);
        let Some(ok) = early.accept(now, core, face, &tag, (answer, crossing), with) else {
            self.close_after_fault(now, core, buyer.dialog, attempt.buyer, &early);
            return;
        };
        let settled = early.take_settled().filter(|_| is_settled);
        let awaiting = AwaitAck::new(now, &self.policy.timing, early.cseq, early.flow, ok);
        let mut caller = Leg::new(early.dialog, Some(awaiting), early.takes_update);
        caller.agree(now, agreed);
        caller.note_told(&answer.head);
        let asked = Asked::of(&response.head);
        buyer.agree(now, terms.and_then(|terms| terms.accepted(&asked)));
        if buyer.keeps_told()
            && let Some(sent) = reread(&attempt.invite)
        {
            buyer.note_told(&sent.head);
        }
        if let Some(settled) = settled {
            caller.note_kept(settled.caller.filter(|_| caller.keeps_told()));
            buyer.note_kept(settled.buyer.filter(|_| buyer.keeps_told()));
        }
        self.state = State::Talking(Box::new(Talking {
            caller,
            buyer,
            who: attempt.buyer,
            relays: Vec::new(),
            transfer: None,
            moving: None,
            transfers: 0,
            until: now + self.policy.limits.call_time,
        }));
        self.move_on(now, core);
        self.locate_peers(now, core);
    }

    /// An ACK of one side for our 2xx.
    pub(crate) fn handle_ack(
        &mut self,
        now: Instant,
        core: &mut Core,
        side: Side,
        flow: Flow,
        request: &Request<'_>,
        essentials: &Essentials<'_>,
    ) {
        if let State::Ending(_) = &self.state {
            self.handle_ending_ack(now, core, side, essentials);
            return;
        }
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let leg = talking.leg(side);
        // A late ACK of an earlier 2xx says nothing of this one.
        if leg
            .awaiting
            .as_ref()
            .is_none_or(|awaiting| awaiting.cseq != essentials.cseq)
        {
            return;
        }
        leg.awaiting = None;
        self.pass_late_answer(now, core, side, flow, request);
    }

    /// The ACK of one side brings the answer to the other's offer, if that is owed an ACK.
    pub(crate) fn pass_late_answer(
        &mut self,
        now: Instant,
        core: &mut Core,
        side: Side,
        flow: Flow,
        request: &Request<'_>,
    ) {
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        if talking.leg(side.other()).owed.is_none() {
            return;
        }
        let answer = ((side, Role::Answer), flow.remote.ip());
        let carried = media::carry(&mut self.media, now, core, answer, &request.head);
        let carried = match media::note_unfit(core, self.uuid, side, carried) {
            Ok(Carried::Wait) => {
                let ack = Bytes::copy_from_slice(request.head.message());
                self.media.park(Parked::Ack(Box::new((side, flow, ack))));
                return;
            }
            Ok(Carried::Body(body)) => Some(body),
            Ok(Carried::AsIs) => None,
            Err(_) => {
                self.hang_up(now, core, Outcome::MediaFailed, Side::Edge);
                return;
            }
        };
        let State::Talking(mut talking) = mem::replace(&mut self.state, State::Gone) else {
            return;
        };
        let who = talking.who.clone();
        let other = talking.leg(side.other());
        if let Some(owed) = other.owed.take() {
            let face = Face::towards(side.other(), &self.policy, &self.trunk);
            let crossing = Crossing::from(
                side,
                &self.policy,
                (&self.trunk, &who),
                flow.remote.ip(),
                face.advertised(other.dialog.flow().listener),
            );
            let carried = carried.as_ref().map(|body| request.with_body(body));
            let request = carried.as_ref().unwrap_or(request);
            let with = Some((&request.head, crossing));
            other.acknowledge(core, (self.key, face), owed, with);
            other.note_told(&request.head);
        }
        self.state = State::Talking(talking);
        self.move_on(now, core);
    }

    /// Resends what waits for an ACK; a side that never acknowledges is lost.
    pub(crate) fn handle_talk_timeout(&mut self, now: Instant, core: &mut Core) {
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let mut lost = None;
        for side in [Side::Caller, Side::Buyer] {
            if let Some(awaiting) = &mut talking.leg(side).awaiting
                && let Waited::InVain = awaiting.handle_timeout(now, core)
            {
                talking.leg(side).awaiting = None;
                lost = lost.or(Some(side));
            }
        }
        if let Some(side) = lost {
            self.hang_up(now, core, Outcome::NoAck, side);
        } else if talking.until <= now {
            self.hang_up(now, core, Outcome::TimeLimit, Side::Edge);
        } else {
            self.handle_move_timeout(now, core);
            self.handle_session_timeout(now, core);
        }
    }
}

impl Leg {
    /// Sends the ACK of a 2xx (§13.2.2.4): within the dialog, with the INVITE's CSeq and credentials.
    /// `with` is the other leg's ACK, if it brings the answer.
    pub(crate) fn acknowledge(
        &self,
        core: &mut Core,
        (key, face): (CallKey, Face<'_>),
        owed: OwedAck,
        with: Option<(&Head<'_>, Crossing<'_>)>,
    ) {
        let branch = core.mark(key.slot).text();
        let flow = self.dialog.flow();
        let mut writer = self.dialog.write_request(
            &mut core.buffer,
            Method::Ack,
            owed.cseq,
            face.advertised(flow.listener),
            &branch,
            70,
        );
        if let Some(credentials) = &owed.credentials {
            credentials.write(&mut writer);
        }
        let built = match with {
            Some((head, crossing)) => {
                crossing.pass_within(&mut writer, Method::Ack, head);
                writer.finish(head.body())
            }
            None => writer.finish(b""),
        };
        if let Some(ack) = core.built(built) {
            let tag = self.dialog.remote_tag();
            core.layer.acked(owed.client, tag, flow, ack.clone());
            core.transmit(flow, ack);
        }
    }

    /// Sends the ACK that this side is still owed, without an answer, because the call ends.
    pub(crate) fn pay_owed_ack(&mut self, core: &mut Core, side: Side, call: &Call) {
        if let Some(owed) = self.owed.take() {
            let face = Face::towards(side, &call.policy, &call.trunk);
            self.acknowledge(core, (call.key, face), owed, None);
        }
    }
}
