//! Offers before the call is answered: the caller's in a PRACK (RFC 3262 §5), and either side's in an UPDATE
//! (RFC 3311 §5), are asked of the other side by an UPDATE.
//!
//! ```text
//!   caller                    we                     buyer
//!     |      183, answer      |      183, answer       |     the first exchange: each reliably, each acknowledged
//!     |<----------------------|<-----------------------|
//!     |  PRACK, or UPDATE,    |                        |
//!     |  with an offer        |  UPDATE, offer         |
//!     |---------------------->|----------------------->|
//!     |      200, answer      |      200, answer       |
//!     |<----------------------|<-----------------------|
//!     |                       |        200 INVITE      |     until then, it waits here
//! ```
//!
//! Where the media is relayed, no such offer passes: it can come again after the answer.
//!
//! An answer passes from the last buyer only, so none is offered the call after such an exchange: every other one sees
//! the caller's first offer, for it has made no other. The 200 that follows carries no description any more, as the
//! one that the INVITE's offer had for an answer is not what holds.

use std::mem;
use std::time::Instant;

use bytes::Bytes;

use crate::call::a_leg::{Early, write_contact, write_reply};
use crate::call::call::{Call, State};
use crate::call::core::{Core, Owner};
use crate::call::credentials::Challenged;
use crate::call::face::Face;
use crate::call::headers::{self, Crossing};
use crate::call::provisional::EarlyDialog;
use crate::call::record::Side;
use crate::call::session::Told;
use crate::call::within::{AskedWithin, GLARE_RETRY, refreshes_target};
use crate::sip::build::ReplyHead;
use crate::sip::extensions;
use crate::sip::flow::Flow;
use crate::sip::message::{Head, Method, Name, Response, ResponseEssentials};
use crate::transaction::layer::{ClientId, ServerId};

/// What was offered since the first answer.
#[derive(Default)]
pub(crate) struct Offers {
    under_way: Option<UnderWay>,
    settled: Option<Settled>,
}

/// What holds by the last exchange.
pub(crate) struct Settled {
    /// Tag of the buyer's early dialog.
    tag: Box<[u8]>,
    /// What the caller was told last.
    pub(crate) caller: Option<Told>,
    /// What the buyer was told last.
    pub(crate) buyer: Option<Told>,
}

/// An offer that the other side has yet to answer.
struct UnderWay {
    from: Side,
    server: ServerId,
    reply: ReplyHead,
    flow: Flow,
    /// PRACK cannot come again, so it hears of one failure only.
    is_prack: bool,
    client: ClientId,
    /// Tag of the buyer's early dialog.
    tag: Box<[u8]>,
    offer: Option<Told>,
    /// The asking side's new target, should the answer be a 2xx.
    contact: Option<Box<[u8]>>,
    /// As sent, for its authenticated repeat; kept only for a buyer that may challenge, and once.
    sent: Option<Bytes>,
}

/// Why an offer cannot be passed on: the answer to it, and after how many seconds it may come again.
type NotNow = (u16, Option<u32>);

/// It may come again, and will find the call answered, or nearer to that.
const LATER: NotNow = (500, Some(GLARE_RETRY));

/// What says whether a peer takes UPDATE; `None`: it did not say.
pub(crate) fn takes_update(said: &Head<'_>) -> Option<bool> {
    said.first(Name::Allow)
        .map(|_| extensions::lists(said, Name::Allow, "UPDATE"))
}

impl Early {
    /// Whether an offer waits for its answer.
    pub(crate) fn is_exchanging(&self) -> bool {
        let offers = self.offers.as_ref();
        offers.is_some_and(|offers| offers.under_way.is_some())
    }

    /// What holds between the caller and the buyer whose tag this is, if it is not the INVITE's own answer.
    pub(crate) fn settled_with(&self, tag: Option<&[u8]>) -> bool {
        let settled = self.offers.as_ref().and_then(|one| one.settled.as_ref());
        settled.is_some_and(|settled| *settled.tag == *tag.unwrap_or_default())
    }

    /// Notes what holds with the buyer whose tag this is: what the caller was told last, and the buyer.
    pub(crate) fn settle_with(
        &mut self,
        tag: Box<[u8]>,
        caller: Option<Told>,
        buyer: Option<Told>,
    ) {
        let settled = Settled { tag, caller, buyer };
        self.offers.get_or_insert_default().settled = Some(settled);
    }

    /// Takes that.
    pub(crate) fn take_settled(&mut self) -> Option<Settled> {
        self.offers.take()?.settled
    }

    /// Takes the offer that went out by `client`.
    fn take_offer(&mut self, client: ClientId) -> Option<UnderWay> {
        let under_way = &mut self.offers.as_mut()?.under_way;
        under_way.take_if(|one| one.client == client)
    }
}

impl Call {
    /// Takes in an offer of one side before the call is answered: it is asked of the other, or refused.
    pub(crate) fn handle_early_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        asked: &AskedWithin<'_, '_>,
    ) {
        if let Err((status, retry)) = self.pass_early_offer(now, core, asked) {
            let reply = ReplyHead::new(asked.request, &asked.flow);
            if asked.request.method == Method::Prack {
                core.answer(now, asked.server, &reply, 488, None);
            } else {
                core.answer(now, asked.server, &reply, status, retry);
            }
        }
    }

    fn pass_early_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        asked: &AskedWithin<'_, '_>,
    ) -> Result<(), NotNow> {
        let AskedWithin {
            side: from,
            server,
            flow,
            request,
            essentials,
        } = *asked;
        // A relay goes by the INVITE's own offer until there is an answer.
        if self.media.is_any() {
            return Err(LATER);
        }
        let owner = Owner::RelayOut(self.key);
        let State::Hunting(hunting) = &mut self.state else {
            return Err(LATER);
        };
        let (early, attempt) = hunting.sole().ok_or(LATER)?;
        let has_login = attempt.buyer.login.is_some();
        let offers = early.offers.as_ref();
        // RFC 3311 §5.2: one at a time, whoever makes it.
        match offers.and_then(|offers| offers.under_way.as_ref()) {
            Some(under_way) if under_way.from == from => return Err(LATER),
            Some(_) => return Err((491, None)),
            None => {}
        }
        let is_told = early.provisional.as_ref().is_some_and(|one| one.is_told());
        let has_offer = attempt.has_offer;
        let buyer = answered(&mut attempt.early);
        if from == Side::Buyer && has_offer {
            let tag = essentials.from.tag().unwrap_or_default();
            let is_its = buyer
                .as_ref()
                .is_some_and(|one| one.dialog.remote_tag() == tag);
            // Ours, in the INVITE, is yet to be answered in that dialog.
            if !is_its {
                return Err((491, None));
            }
        }
        let Some(buyer) = buyer.filter(|_| is_told) else {
            return Err(LATER);
        };
        let buyer_tag = Box::from(buyer.dialog.remote_tag());
        let (dialog, is_able) = match from.other() {
            Side::Caller | Side::Edge => (&mut early.dialog, early.takes_update),
            Side::Buyer => (&mut buyer.dialog, buyer.takes_update),
        };
        // RFC 3311 §4: whoever takes it says so. After the answer, a re-INVITE can stand for it.
        if is_able != Some(true) {
            return Err(LATER);
        }
        let client = core.prepare().ok_or((503, Some(GLARE_RETRY)))?;
        let branch = core.layer.branch(client);
        let out = dialog.flow();
        let cseq = dialog.next_cseq();
        let face = Face::towards(from.other(), &self.policy, &self.trunk);
        let advertise = face.advertised(out.listener);
        let max_forwards = essentials.max_forwards.unwrap_or(70).saturating_sub(1);
        let buffer = &mut core.buffer;
        let method = Method::Update;
        let mut writer =
            dialog.write_request(buffer, method, cseq, advertise, &branch, max_forwards);
        write_contact(&mut writer, face, out, dialog.is_secure());
        writer.field("Allow", headers::ALLOW);
        let peers = (&*self.trunk, &*attempt.buyer);
        let crossing = Crossing::from(from, &self.policy, peers, flow.remote.ip(), advertise);
        crossing.pass_within(&mut writer, method, &request.head);
        let built = writer.finish(request.head.body());
        let Some(bytes) = core.built(built) else {
            core.layer.release(client);
            return Err((500, None));
        };
        let sent = (from == Side::Caller && has_login).then(|| bytes.clone());
        core.send(now, client, (method, bytes), out, owner);
        let contact = essentials.contact.as_ref();
        early.offers.get_or_insert_default().under_way = Some(UnderWay {
            from,
            server,
            reply: ReplyHead::new(request, &flow),
            flow,
            is_prack: request.method == Method::Prack,
            client,
            tag: buyer_tag,
            offer: Told::of(&request.head),
            contact: contact
                .filter(|_| refreshes_target(request.method))
                .map(|contact| Box::from(contact.uri)),
            sent,
        });
        Ok(())
    }

    /// The answer of one side to the offer of the other.
    pub(crate) fn handle_early_offer_response(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) {
        let State::Hunting(hunting) = &mut self.state else {
            return;
        };
        if response.status < 200 {
            return;
        }
        let Some(mut under_way) = hunting.early.take_offer(id) else {
            return;
        };
        match response.status {
            401 | 407 => {
                match self.repeat_early_offer(now, core, &mut under_way, response) {
                    Some(client) => {
                        let State::Hunting(hunting) = &mut self.state else {
                            return;
                        };
                        let offers = hunting.early.offers.get_or_insert_default();
                        offers.under_way = Some(UnderWay {
                            client,
                            ..under_way
                        });
                    }
                    None => self.refuse_early_offer(now, core, &under_way, 500),
                }
                return;
            }
            200..300 => self.settle_offer(now, core, under_way, response, essentials),
            // What is said of other ways to the peer, or of the session's interval, is between us and the peer; whether
            // there is still a dialog, the INVITE will tell.
            300..=399 | 408 | 422 | 481 => self.refuse_early_offer(now, core, &under_way, 500),
            status => self.refuse_early_offer(now, core, &under_way, status),
        }
        self.go_on_with_held(now, core);
    }

    /// An offer that got no answer.
    pub(crate) fn handle_early_offer_failure(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
    ) {
        let State::Hunting(hunting) = &mut self.state else {
            return;
        };
        if let Some(under_way) = hunting.early.take_offer(id) {
            self.refuse_early_offer(now, core, &under_way, 500);
            self.go_on_with_held(now, core);
        }
    }

    /// Carries the answer back.
    fn settle_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        under_way: UnderWay,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) {
        let State::Hunting(hunting) = &mut self.state else {
            return;
        };
        let Some((early, attempt)) = hunting.sole() else {
            return;
        };
        let theirs = essentials.contact.as_ref().map(|contact| contact.uri);
        let (caller, buyer) = match under_way.from {
            Side::Caller | Side::Edge => (under_way.contact.as_deref(), theirs),
            Side::Buyer => (theirs, under_way.contact.as_deref()),
        };
        if let Some(contact) = caller {
            early.dialog.refresh_target(contact);
        }
        let dialog = attempt.early_of(Some(&under_way.tag));
        if let (Some(one), Some(contact)) = (dialog, buyer) {
            one.dialog.refresh_target(contact);
        }
        let sender = match under_way.from {
            Side::Caller | Side::Edge => attempt.flow.remote.ip(),
            Side::Buyer => early.flow.remote.ip(),
        };
        let flow = under_way.flow;
        let face = Face::towards(under_way.from, &self.policy, &self.trunk);
        let back = Crossing::from(
            under_way.from.other(),
            &self.policy,
            (&self.trunk, &attempt.buyer),
            sender,
            face.advertised(flow.listener),
        );
        let told = Told::of(&response.head);
        let (caller, buyer) = match under_way.from {
            Side::Caller | Side::Edge => (told, under_way.offer),
            Side::Buyer => (under_way.offer, told),
        };
        early.offers.get_or_insert_default().settled = Some(Settled {
            tag: under_way.tag,
            caller,
            buyer,
        });
        let built = write_reply(
            &mut core.buffer,
            &under_way.reply,
            response.status,
            b"",
            face,
            flow,
            Some((response, back)),
        );
        let reply = (&under_way.reply, &b""[..]);
        core.respond(now, under_way.server, reply, response.status, built);
    }

    fn refuse_early_offer(&self, now: Instant, core: &mut Core, under_way: &UnderWay, status: u16) {
        let (status, retry) = match status {
            _ if under_way.is_prack => (488, None),
            500 => LATER,
            status => (status, None),
        };
        core.answer(now, under_way.server, &under_way.reply, status, retry);
    }

    /// Answers the buyer's challenge to an offer, once.
    fn repeat_early_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        under_way: &mut UnderWay,
        response: &Response<'_>,
    ) -> Option<ClientId> {
        let owner = Owner::RelayOut(self.key);
        let State::Hunting(hunting) = &mut self.state else {
            return None;
        };
        let (_, attempt) = hunting.sole()?;
        let buyer = attempt.buyer.clone();
        let sent = under_way.sent.take()?;
        let challenged = Challenged {
            policy: &self.policy,
            login: buyer.login.as_ref()?,
            sent: &sent,
            response,
        };
        let dialog = &mut attempt.early_of(Some(&under_way.tag))?.dialog;
        let again = challenged.repeat(now, core, dialog, owner)?;
        Some(again.client)
    }

    /// Answers the offer that is under way, because there will be nobody to answer it.
    pub(crate) fn drop_early_offer(&mut self, now: Instant, core: &mut Core) {
        let State::Hunting(hunting) = &mut self.state else {
            return;
        };
        let offers = hunting.early.offers.as_mut();
        if let Some(under_way) = offers.and_then(|offers| mem::take(&mut offers.under_way)) {
            core.layer.set_owner(under_way.client, Owner::Nobody);
            core.answer(now, under_way.server, &under_way.reply, 481, None);
        }
    }
}

/// The one early dialog whose answer the caller has; `None`: there is none, or no telling which.
fn answered(early: &mut [EarlyDialog]) -> Option<&mut EarlyDialog> {
    let mut answered = early.iter_mut().filter(|one| one.answer.is_some());
    let first = answered.next()?;
    answered.next().is_none().then_some(first)
}
