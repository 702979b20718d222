//! Requests within an answered call: what one side asks in its dialog is asked of the other in that
//! one's, and the answer is carried back.

use std::mem;
use std::time::Instant;

use bytes::Bytes;

use crate::call::a_leg::{AwaitAck, write_contact, write_reply, write_reply_with};
use crate::call::bridge::OwedAck;
use crate::call::call::{Call, State};
use crate::call::core::{Core, Owner};
use crate::call::credentials::{Challenged, Credentials, Repeated};
use crate::call::face::Face;
use crate::call::headers::{self, Crossing};
use crate::call::lodger::{Parked, Within};
use crate::call::media::{self, Carried};
use crate::call::policy::Policy;
use crate::call::record::Side;
use crate::call::session::{Told, write_agreed};
use crate::call::within::{AskedWithin, GLARE_RETRY, begins_exchange, refreshes_target};
use crate::dialog::Dialog;
use crate::dialog::session_timer::Agreed;
use crate::routing::buyer::Buyer;
use crate::routing::trunk::Trunk;
use crate::sip::build::ReplyHead;
use crate::sip::extensions;
use crate::sip::flow::Flow;
use crate::sip::message::{Method, Name, Request, Response, ResponseEssentials};
use crate::transaction::layer::{ClientId, ServerId};

/// One request on its way.
pub(crate) struct Relay {
    pub(crate) from: Side,
    pub(crate) server: ServerId,
    pub(crate) reply: ReplyHead,
    pub(crate) client: ClientId,
    /// Whether an INVITE asks, which is answered until its ACK.
    asked_by_invite: bool,
    /// Whether an INVITE of ours asks on, which is acknowledged. It may stand for an UPDATE that the other side does
    /// not take.
    pub(crate) asks_by_invite: bool,
    /// Whether no other offer may pass before it is answered.
    pub(crate) begins_exchange: bool,
    /// CSeq on the asking side.
    asked_cseq: u32,
    /// Whether the asking side takes provisional responses only if they are reliable: it gets none.
    is_mute: bool,
    /// Whether the INVITE carries no offer, so that the ACK carries the answer.
    pub(crate) is_late_offer: bool,
    /// Whether it refreshes the sessions of both sides.
    is_refresh: bool,
    /// The session timer that the asking side gets.
    agreed: Option<Agreed>,
    /// What the asked side is told of the media, should the answer be a 2xx.
    told: Option<Told>,
    /// The asking side's new target, should the answer be a 2xx.
    contact: Option<Box<[u8]>>,
    flow: Flow,
    /// As sent, for its authenticated repeat; kept only for a buyer that may challenge.
    sent: Option<Bytes>,
    pub(crate) credentials: Option<Credentials>,
    tries: u8,
}

impl Relay {
    /// The status of one that is not answered before the call ends.
    pub(crate) fn unanswered(&self) -> u16 {
        if self.asked_by_invite { 487 } else { 481 }
    }

    /// The way of its answer, from the side that was asked in `asked`.
    pub(crate) fn back<'p>(
        &self,
        policy: &'p Policy,
        peers: (&'p Trunk, &'p Buyer),
        asked: &Dialog,
    ) -> Crossing<'p> {
        let sender = asked.flow().remote.ip();
        let face = Face::towards(self.from, policy, peers.0);
        let advertise = face.advertised(self.flow.listener);
        Crossing::from(self.from.other(), policy, peers, sender, advertise)
    }
}

impl Call {
    /// Sends one side's request on to the other.
    pub(crate) fn relay(
        &mut self,
        now: Instant,
        core: &mut Core,
        asked: &AskedWithin<'_, '_>,
        reply: ReplyHead,
        agreed: Option<Agreed>,
    ) {
        let key = self.key;
        let AskedWithin {
            side: from,
            server,
            flow,
            request,
            essentials,
        } = *asked;
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let asked_by_invite = request.method == Method::Invite;
        let offer = (self.uuid, from, flow.remote.ip());
        let carried = media::carry_on(&mut self.media, now, core, offer, request);
        let carried = match &carried {
            Ok(Carried::Wait) => {
                let within = Box::new(Within::new(asked, agreed));
                self.media.park(Parked::Within(within));
                return;
            }
            Ok(Carried::Body(body)) => Some(request.with_body(body)),
            Ok(Carried::AsIs) => None,
            Err(unfit) => {
                core.answer(now, server, &reply, unfit.status(), None);
                return;
            }
        };
        let request = carried.as_ref().unwrap_or(request);
        let keeps_sent = from == Side::Caller && talking.who.login.is_some();
        let who = talking.who.clone();
        let leg = talking.leg(from.other());
        let asks_by_invite =
            asked_by_invite || (begins_exchange(request) && leg.takes_update == Some(false));
        let method = if asks_by_invite {
            Method::Invite
        } else {
            request.method
        };
        let prepared = core.prepare();
        let Some(client) = prepared else {
            media::forget_offer(&mut self.media, now, core);
            core.answer(now, server, &reply, 503, Some(GLARE_RETRY));
            return;
        };
        let branch = core.layer.branch(client);
        let out = leg.dialog.flow();
        let face = Face::towards(from.other(), &self.policy, &self.trunk);
        let cseq = leg.dialog.next_cseq();
        let mut writer = leg.dialog.write_request(
            &mut core.buffer,
            method,
            cseq,
            face.advertised(out.listener),
            &branch,
            essentials.max_forwards.unwrap_or(70).saturating_sub(1),
        );
        if refreshes_target(request.method) {
            write_contact(&mut writer, face, out, leg.dialog.is_secure());
            writer.field("Allow", headers::ALLOW);
            leg.write_session(&mut writer, self.policy.session.as_ref());
        } else if matches!(request.method, Method::Refer | Method::Notify) {
            write_contact(&mut writer, face, out, leg.dialog.is_secure());
        }
        if request.method == Method::Refer {
            headers::pass_refer(&mut writer, &request.head);
        }
        let crossing = Crossing::from(
            from,
            &self.policy,
            (&self.trunk, &who),
            flow.remote.ip(),
            face.advertised(out.listener),
        );
        crossing.pass_within(&mut writer, request.method, &request.head);
        let built = writer.finish(request.head.body());
        let Some(bytes) = core.built(built) else {
            core.layer.release(client);
            media::forget_offer(&mut self.media, now, core);
            core.answer(now, server, &reply, 500, None);
            return;
        };
        let sent = keeps_sent.then(|| bytes.clone());
        let is_told = refreshes_target(request.method) && leg.keeps_told();
        let told = is_told.then(|| Told::of(&request.head)).flatten();
        core.send(now, client, (method, bytes), out, Owner::RelayOut(key));
        talking.relays.push(Relay {
            from,
            server,
            reply,
            client,
            asked_by_invite,
            asks_by_invite,
            begins_exchange: begins_exchange(request),
            is_mute: extensions::lists(&request.head, Name::Require, extensions::RELIABLE),
            is_refresh: refreshes_target(request.method),
            agreed,
            told,
            asked_cseq: essentials.cseq,
            is_late_offer: asked_by_invite && request.head.body().is_empty(),
            contact: refreshes_target(request.method)
                .then(|| {
                    essentials
                        .contact
                        .as_ref()
                        .map(|contact| Box::from(contact.uri))
                })
                .flatten(),
            flow,
            sent,
            credentials: None,
            tries: 1,
        });
    }

    /// The answer of one side to what the other asked.
    pub(crate) fn handle_relay_response(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) {
        let State::Talking(talking) = &mut self.state else {
            self.handle_early_offer_response(now, core, id, response, essentials);
            return;
        };
        let Some(place) = talking.relays.iter().position(|relay| relay.client == id) else {
            return;
        };
        if response.status < 200 {
            // What its body says of the media holds only once the answer is final.
            let bare = self.media.is_any().then(|| response.with_body(b""));
            let response = bare.as_ref().unwrap_or(response);
            let relay = talking.relays.get(place);
            if let Some(relay) = relay
                .filter(|relay| relay.asked_by_invite && !relay.is_mute && response.status > 100)
            {
                let peers = (&*self.trunk, &*talking.who);
                let back = relay.back(&self.policy, peers, talking.dialog(relay.from.other()));
                let built = write_reply(
                    &mut core.buffer,
                    &relay.reply,
                    response.status,
                    b"",
                    Face::towards(relay.from, &self.policy, &self.trunk),
                    relay.flow,
                    Some((response, back)),
                );
                core.respond(
                    now,
                    relay.server,
                    (&relay.reply, b""),
                    response.status,
                    built,
                );
            }
            return;
        }
        let relay = talking.relays.swap_remove(place);
        if response.status == 422 && relay.is_refresh {
            let terms = self.policy.session;
            let asked = talking.leg(relay.from.other());
            asked.note_too_short(terms.as_ref(), response);
        }
        match response.status {
            401 | 407 => self.repeat_relay(now, core, relay, response),
            200..300 => self.complete_relay(now, core, relay, response, essentials),
            status => self.refuse_relay(now, core, &relay, status, Some(response)),
        }
    }

    /// A relayed request that got no answer: the side that was asked is lost (RFC 3261 §12.2.1.2). `is_lost`:
    /// only its transport failed, which may pass, and says nothing of the call.
    pub(crate) fn handle_relay_failure(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
        is_lost: bool,
    ) {
        let State::Talking(talking) = &mut self.state else {
            self.handle_early_offer_failure(now, core, id);
            return;
        };
        if let Some(place) = talking.relays.iter().position(|relay| relay.client == id) {
            let relay = talking.relays.swap_remove(place);
            if is_lost {
                talking.leg(relay.from.other()).dialog.lose_connection();
            }
            let status = if is_lost { 500 } else { 408 };
            self.refuse_relay(now, core, &relay, status, None);
        }
    }

    /// The asking side takes its INVITE back.
    pub(crate) fn handle_relay_cancel(
        &mut self,
        now: Instant,
        core: &mut Core,
        server: ServerId,
        flow: Flow,
        request: &Request<'_>,
    ) {
        let owner = Owner::RelayOut(self.key);
        if self.drop_within(now, core, Some(server)) {
            return;
        }
        if let State::Talking(talking) = &self.state
            && let Some(relay) = talking.relays.iter().find(|relay| relay.server == server)
        {
            let (client, asked) = (relay.client, talking.dialog(relay.from.other()));
            let crossing = Crossing::from(
                relay.from,
                &self.policy,
                (&self.trunk, &talking.who),
                flow.remote.ip(),
                Face::towards(relay.from.other(), &self.policy, &self.trunk)
                    .advertised(asked.flow().listener),
            );
            let lines = core.last_words(crossing, request);
            core.transact(|layer, out| {
                layer.cancel_with(now, client, owner, lines.as_deref(), out);
            });
        }
    }

    fn complete_relay(
        &mut self,
        now: Instant,
        core: &mut Core,
        relay: Relay,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) {
        let carried = self.carry_back(now, core, &relay, response);
        let carried = match &carried {
            Ok(Carried::Wait) => {
                let kept = Bytes::copy_from_slice(response.head.message());
                self.media.park(Parked::Agreement(relay.client, kept));
                if let State::Talking(talking) = &mut self.state {
                    talking.relays.push(relay);
                }
                return;
            }
            Ok(Carried::Body(body)) => Some(response.with_body(body)),
            Ok(Carried::AsIs) => None,
            Err(_) => {
                self.give_relay_up(now, core, relay, essentials);
                return;
            }
        };
        let response = carried.as_ref().unwrap_or(response);
        let State::Talking(mut talking) = mem::replace(&mut self.state, State::Gone) else {
            return;
        };
        if let Some(contact) = &relay.contact {
            talking.leg(relay.from).dialog.refresh_target(contact);
            if let Some(contact) = &essentials.contact {
                talking
                    .leg(relay.from.other())
                    .dialog
                    .refresh_target(contact.uri);
            }
        }
        let agreed = relay.agreed;
        let peers = (&*self.trunk, &*talking.who);
        let back = relay.back(&self.policy, peers, talking.dialog(relay.from.other()));
        let built = write_reply_with(
            &mut core.buffer,
            &relay.reply,
            response.status,
            b"",
            Face::towards(relay.from, &self.policy, &self.trunk),
            relay.flow,
            Some((response, back)),
            |writer| write_agreed(writer, agreed),
        );
        if relay.is_refresh {
            let asking = talking.leg(relay.from);
            asking.agree(now, agreed);
            asking.note_told(&response.head);
            let asked = talking.leg(relay.from.other());
            asked.note_refreshed(now, self.policy.session.as_ref(), response);
            asked.note_kept(relay.told);
        }
        let answered = core.respond(
            now,
            relay.server,
            (&relay.reply, b""),
            response.status,
            built,
        );
        if relay.asks_by_invite {
            core.layer.set_owner(relay.client, Owner::AbandonedWithin);
            let owed = OwedAck {
                client: relay.client,
                cseq: essentials.cseq,
                credentials: relay.credentials,
            };
            let asked = talking.leg(relay.from.other());
            if relay.is_late_offer {
                asked.owed = Some(owed);
            } else {
                let face = Face::towards(relay.from.other(), &self.policy, &self.trunk);
                asked.acknowledge(core, (self.key, face), owed, None);
            }
        }
        if relay.asked_by_invite {
            talking.leg(relay.from).awaiting = answered.map(|ok| {
                AwaitAck::new(now, &self.policy.timing, relay.asked_cseq, relay.flow, ok)
            });
        }
        self.state = State::Talking(talking);
        self.move_on(now, core);
        self.locate_peers(now, core);
    }

    /// Answers the buyer's challenge to a relayed request, once.
    fn repeat_relay(
        &mut self,
        now: Instant,
        core: &mut Core,
        relay: Relay,
        response: &Response<'_>,
    ) {
        match self.sent_again(now, core, &relay, response) {
            Some(again) => {
                if let State::Talking(talking) = &mut self.state {
                    talking.relays.push(Relay {
                        client: again.client,
                        sent: Some(again.sent),
                        credentials: Some(again.credentials),
                        tries: relay.tries + 1,
                        ..relay
                    });
                }
            }
            None => self.refuse_relay(now, core, &relay, response.status, None),
        }
    }

    fn sent_again(
        &mut self,
        now: Instant,
        core: &mut Core,
        relay: &Relay,
        response: &Response<'_>,
    ) -> Option<Repeated> {
        let State::Talking(talking) = &mut self.state else {
            return None;
        };
        if relay.tries > 1 {
            return None;
        }
        let who = talking.who.clone();
        let challenged = Challenged {
            policy: &self.policy,
            login: who.login.as_ref()?,
            sent: relay.sent.as_ref()?,
            response,
        };
        let dialog = &mut talking.leg(relay.from.other()).dialog;
        challenged.repeat(now, core, dialog, Owner::RelayOut(self.key))
    }

    /// Answers what is still being relayed, because the call ends.
    pub(crate) fn drop_relays(&mut self, now: Instant, core: &mut Core) {
        self.drop_within(now, core, None);
        self.drop_agreement(now, core);
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        talking.drop_refreshes(now, core);
        talking.drop_move(now, core);
        for relay in mem::take(&mut talking.relays) {
            core.answer(now, relay.server, &relay.reply, relay.unanswered(), None);
            if relay.asks_by_invite {
                let client = relay.client;
                core.transact(|layer, out| layer.cancel(now, client, Owner::AbandonedWithin, out));
            } else {
                core.layer.set_owner(relay.client, Owner::Nobody);
            }
        }
    }
}
