//! An offer of our own within an answered call: a side is to send its media to other ports of ours, because somebody else
//! is heard on the shared ones from where it listens. It was told of those before it said where it listens.
//!
//! ```text
//!   due --- re-INVITE: as it was told, but for the port ---> asked --- 2xx, ACK ---> over
//!    ^                                                         │
//!    '--- 491, another exchange under way, any other refusal --'      refused MOST_TRIES times: the call ends
//! ```
//!
//! The other side hears of none of it.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::call::a_leg::write_contact;
use crate::call::bridge::{OwedAck, Talking};
use crate::call::call::{Call, State};
use crate::call::core::{Core, Owner};
use crate::call::credentials::{Challenged, Credentials, reread};
use crate::call::face::Face;
use crate::call::headers;
use crate::call::media::{Anchored, note_unfit};
use crate::call::record::{Outcome, Side};
use crate::call::session::{Told, glare_pause};
use crate::media::plan::Party;
use crate::sip::message::{Method, Response, ResponseEssentials};
use crate::transaction::layer::ClientId;

/// A move under way.
pub(crate) struct Move {
    side: Side,
    stage: Stage,
    /// How often it was asked in vain.
    tries: u8,
}

/// How far it is.
enum Stage {
    /// It is asked then.
    Due(Instant),
    /// It waits for the answer.
    Asked(Box<Asked>),
}

/// The re-INVITE.
struct Asked {
    client: ClientId,
    /// As sent, for its authenticated repeat; kept only for a buyer that may challenge.
    sent: Option<Bytes>,
    credentials: Option<Credentials>,
}

impl Talking {
    /// When a move is due.
    pub(crate) fn move_due(&self) -> Option<Instant> {
        match self.moving.as_deref()?.stage {
            Stage::Due(at) => Some(at),
            Stage::Asked(_) => None,
        }
    }

    /// Whether a re-INVITE of a move waits for its answer.
    pub(crate) fn is_moving(&self) -> bool {
        let moving = self.moving.as_deref();
        moving.is_some_and(|moving| matches!(moving.stage, Stage::Asked(_)))
    }

    fn set_asked(&mut self, side: Side, tries: u8, asked: Asked) {
        let stage = Stage::Asked(Box::new(asked));
        self.moving = Some(Box::new(Move { side, stage, tries }));
    }

    /// Lets go of a move, because the call ends.
    pub(crate) fn drop_move(&mut self, now: Instant, core: &mut Core) {
        if let Some(Stage::Asked(asked)) = self.moving.take().map(|moving| moving.stage) {
            let client = asked.client;
            core.transact(|layer, out| layer.cancel(now, client, Owner::AbandonedWithin, out));
        }
    }

    /// Whether another exchange with this side is under way (RFC 3261 §14.1).
    fn is_exchanging(&self, side: Side) -> bool {
        let leg = match side {
            Side::Caller | Side::Edge => &self.caller,
            Side::Buyer => &self.buyer,
        };
        let is_joining = self.transfer.as_ref().is_some_and(|one| one.is_joining());
        is_joining
            || leg.awaiting.is_some()
            || leg.owed.is_some()
            || leg.is_refreshing_by_invite()
            || self.relays.iter().any(|relay| relay.begins_exchange)
    }

    /// The move whose request this is; nobody waits for its answer any more.
    fn take_move(&mut self, id: ClientId) -> Option<(Side, u8, Asked)> {
        let is_its = |moving: &mut Box<Move>| match &moving.stage {
            Stage::Asked(asked) => asked.client == id,
            Stage::Due(_) => false,
        };
        let Move { side, stage, tries } = *self.moving.take_if(is_its)?;
        match stage {
            Stage::Asked(asked) => Some((side, tries, *asked)),
            Stage::Due(_) => None,
        }
    }
}

impl Call {
    /// Begins a move if the media has it that one is needed.
    pub(crate) fn move_on(&mut self, now: Instant, core: &mut Core) {
        let (Anchored::Relay(anchor), State::Talking(talking)) = (&mut self.media, &mut self.state)
        else {
            return;
        };
        let Some(party) = anchor.session.take_moved() else {
            return;
        };
        talking.drop_move(now, core);
        talking.moving = Some(Box::new(Move {
            side: match party {
                Party::Caller => Side::Caller,
                Party::Buyer => Side::Buyer,
            },
            stage: Stage::Due(now),
            tries: 0,
        }));
        self.handle_move_timeout(now, core);
    }

    /// Asks if it is time to.
    pub(crate) fn handle_move_timeout(&mut self, now: Instant, core: &mut Core) {
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        if talking.move_due().is_none_or(|due| due > now) {
            return;
        }
        let Some(moving) = talking.moving.take() else {
            return;
        };
        let Move { side, tries, .. } = *moving;
        if talking.is_exchanging(side) {
            self.put_move_off(now, (side, tries), BUSY);
        } else if !self.ask_to_move(now, core, side, tries) {
            self.put_move_off(now, (side, tries), PAUSE);
        }
    }

    /// Sends the re-INVITE; `false`: that cannot be now.
    fn ask_to_move(&mut self, now: Instant, core: &mut Core, side: Side, tries: u8) -> bool {
        let (key, policy) = (self.key, self.policy.clone());
        let (Anchored::Relay(anchor), State::Talking(talking)) = (&self.media, &mut self.state)
        else {
            return true;
        };
        let Some(client) = core.prepare() else {
            return false;
        };
        let keeps_sent = side == Side::Buyer && talking.who.login.is_some();
        let leg = talking.leg(side);
        let branch = core.layer.branch(client);
        let flow = leg.dialog.flow();
        let cseq = leg.dialog.next_cseq();
        let face = Face::towards(side, &policy, &self.trunk);
        let advertise = face.advertised(flow.listener);
        let buffer = &mut core.buffer;
        let method = Method::Invite;
        let mut writer = leg
            .dialog
            .write_request(buffer, method, cseq, advertise, &branch, 70);
        write_contact(&mut writer, face, flow, leg.dialog.is_secure());
        writer.field("Allow", headers::ALLOW);
        leg.write_session(&mut writer, policy.session.as_ref());
        writer.field("Content-Type", SDP);
        let built = writer.finish(anchor.session.told(side.into()));
        let Some(bytes) = core.built(built) else {
            core.layer.release(client);
            return false;
        };
        if leg.keeps_told()
            && let Some(sent) = reread(&bytes)
        {
            leg.note_kept(Told::of(&sent.head));
        }
        let sent = keeps_sent.then(|| bytes.clone());
        core.send(now, client, (method, bytes), flow, Owner::Move(key));
        let asked = Asked {
            client,
            sent,
            credentials: None,
        };
        talking.set_asked(side, tries, asked);
        true
    }

    /// The answer to the re-INVITE.
    pub(crate) fn handle_move_response(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) {
        if response.status < 200 {
            return;
        }
        let terms = self.policy.session;
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let Some((side, tries, asked)) = talking.take_move(id) else {
            return;
        };
        match response.status {
            200..300 => self.complete_move(now, core, (side, asked), response, essentials),
            408 | 481 => self.hang_up(now, core, Outcome::LegLost, side),
            401 | 407 if asked.credentials.is_none() => {
                if !self.repeat_move(now, core, (side, tries), &asked, response) {
                    self.refuse_move(now, core, (side, tries), PAUSE);
                }
            }
            422 => {
                talking.leg(side).note_too_short(terms.as_ref(), response);
                self.refuse_move(now, core, (side, tries), Duration::ZERO);
            }
            491 => {
                let pause = glare_pause(core, side);
                self.refuse_move(now, core, (side, tries), pause);
            }
            _ => self.refuse_move(now, core, (side, tries), PAUSE),
        }
    }

    /// The re-INVITE got no answer. `is_lost`: only its transport failed, which may pass.
    pub(crate) fn handle_move_failure(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
        is_lost: bool,
    ) {
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let Some((side, tries, _)) = talking.take_move(id) else {
            return;
        };
        if is_lost {
            talking.leg(side).dialog.lose_connection();
            self.refuse_move(now, core, (side, tries), PAUSE);
        } else {
            self.hang_up(now, core, Outcome::LegLost, side);
        }
    }

    /// The side sends to where it was told, or will, for it may have said that it listens elsewhere.
    fn complete_move(
        &mut self,
        now: Instant,
        core: &mut Core,
        (side, asked): (Side, Asked),
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) {
        let terms = self.policy.session;
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let leg = talking.leg(side);
        if let Some(contact) = &essentials.contact {
            leg.dialog.refresh_target(contact.uri);
        }
        leg.note_refreshed(now, terms.as_ref(), response);
        core.layer.set_owner(asked.client, Owner::AbandonedWithin);
        let owed = OwedAck {
            client: asked.client,
            cseq: essentials.cseq,
            credentials: asked.credentials,
        };
        let face = Face::towards(side, &self.policy, &self.trunk);
        leg.acknowledge(core, (self.key, face), owed, None);
        let confirmed = self.media.confirm(now, core, side, &response.head);
        if note_unfit(core, self.uuid, side, confirmed).is_err() {
            self.hang_up(now, core, Outcome::MediaFailed, Side::Edge);
            return;
        }
        self.move_on(now, core);
        self.locate_peers(now, core);
    }

    /// It was refused: once more after a pause, but not for ever, for nobody hears the side meanwhile.
    fn refuse_move(
        &mut self,
        now: Instant,
        core: &mut Core,
        (side, tries): (Side, u8),
        pause: Duration,
    ) {
        if tries >= MOST_TRIES {
            self.hang_up(now, core, Outcome::MediaFailed, side);
        } else {
            self.put_move_off(now, (side, tries + 1), pause);
        }
    }

    fn put_move_off(&mut self, now: Instant, (side, tries): (Side, u8), pause: Duration) {
        if let State::Talking(talking) = &mut self.state {
            talking.moving = Some(Box::new(Move {
                side,
                stage: Stage::Due(now + pause),
                tries,
            }));
        }
    }

    /// Answers the buyer's challenge, once.
    fn repeat_move(
        &mut self,
        now: Instant,
        core: &mut Core,
        (side, tries): (Side, u8),
        asked: &Asked,
        response: &Response<'_>,
    ) -> bool {
        let State::Talking(talking) = &mut self.state else {
            return false;
        };
        let who = talking.who.clone();
        let (Some(login), Some(sent)) = (&who.login, &asked.sent) else {
            return false;
        };
        let challenged = Challenged {
            policy: &self.policy,
            login,
            sent,
            response,
        };
        let dialog = &mut talking.leg(side).dialog;
        let Some(again) = challenged.repeat(now, core, dialog, Owner::Move(self.key)) else {
            return false;
        };
        let asked = Asked {
            client: again.client,
            sent: None,
            credentials: Some(again.credentials),
        };
        talking.set_asked(side, tries, asked);
        true
    }
}

const SDP: &[u8] = b"application/sdp";
/// Until it is tried again while another exchange is under way.
const BUSY: Duration = Duration::from_millis(200);
/// Until it is tried again that could not be sent, or was refused.
const PAUSE: Duration = Duration::from_secs(2);
/// Refusals after which it is not tried any more. Without a move, that side is not heard.
const MOST_TRIES: u8 = 4;
