//! Session timers of an answered call (RFC 4028), each leg's its own: Session-Expires and Min-SE never cross.
//!
//! Where the refresh is ours, it is an UPDATE without offer if the peer takes that, else a re-INVITE with what that
//! leg was last told of the media, so that nothing changes by it. A session that nobody refreshed is over on both
//! legs.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::call::a_leg::write_contact;
use crate::call::bridge::{Leg, OwedAck, Talking};
use crate::call::call::{Call, State};
use crate::call::core::{Core, Owner};
use crate::call::credentials::{Challenged, Credentials};
use crate::call::face::Face;
use crate::call::headers;
use crate::call::record::{Outcome, Side};
use crate::dialog::session_timer::{Agreed, Asked, Due, Keeper, SessionTimer, Terms};
use crate::sip::build::Writer;
use crate::sip::extensions::{self, Refresher};
use crate::sip::message::{Head, Method, Name, Response, ResponseEssentials};
use crate::transaction::layer::ClientId;

/// The session timer of one leg.
pub(crate) struct Session {
    pub(crate) timer: SessionTimer,
    /// What the peer was last told of the media; kept for a peer that takes no UPDATE.
    told: Option<Told>,
    refresh: Option<Refresh>,
    /// How often the peer wanted a longer interval since the last refresh.
    raised: u8,
}

/// A body that we sent.
pub(crate) struct Told {
    kind: Box<[u8]>,
    body: Box<[u8]>,
}

/// A refresh of ours under way.
struct Refresh {
    client: ClientId,
    is_invite: bool,
    /// As sent, for its authenticated repeat; kept only for a buyer that may challenge.
    sent: Option<Bytes>,
    credentials: Option<Credentials>,
}

impl Told {
    /// What goes out with the body of this message; `None` if it has none.
    pub(crate) fn of(head: &Head<'_>) -> Option<Self> {
        let body = head.body();
        (!body.is_empty()).then(|| Self {
            kind: Box::from(head.first(Name::ContentType).unwrap_or_default()),
            body: Box::from(body),
        })
    }
}

impl Leg {
    /// Starts the session timer, or starts it anew with what was agreed; `None` stops it.
    pub(crate) fn agree(&mut self, now: Instant, agreed: Option<Agreed>) {
        let Some(agreed) = agreed else {
            // A refresh of ours that is under way is answered all the same, and then forgotten.
            if self
                .session
                .as_ref()
                .is_none_or(|session| session.refresh.is_none())
            {
                self.session = None;
            }
            return;
        };
        let timer = SessionTimer::start(now, agreed);
        match &mut self.session {
            Some(session) => {
                session.timer = timer;
                session.raised = 0;
            }
            None => {
                self.session = Some(Box::new(Session {
                    timer,
                    told: None,
                    refresh: None,
                    raised: 0,
                }));
            }
        }
    }

    /// Whether what this side is told of the media must be kept.
    pub(crate) fn keeps_told(&self) -> bool {
        self.session.is_some() && self.takes_update != Some(true)
    }

    /// Takes note of what this side was told of the media: the body of this message. It is kept if it must be.
    pub(crate) fn note_told(&mut self, head: &Head<'_>) {
        if self.keeps_told() {
            self.note_kept(Told::of(head));
        }
    }

    /// The same, of what was kept already.
    pub(crate) fn note_kept(&mut self, told: Option<Told>) {
        if let (Some(session), Some(told)) = (&mut self.session, told) {
            session.told = Some(told);
        }
    }

    pub(crate) fn session_due(&self) -> Option<Instant> {
        let session = self.session.as_ref()?;
        Some(session.timer.poll_timeout())
    }

    pub(crate) fn is_refreshing_by_invite(&self) -> bool {
        let refresh = self.session.as_ref().and_then(|one| one.refresh.as_ref());
        refresh.is_some_and(|refresh| refresh.is_invite)
    }

    /// Writes what a request of ours on this leg says of the timer.
    pub(crate) fn write_session(&self, writer: &mut Writer<'_>, terms: Option<&Terms>) {
        if terms.is_none() {
            return;
        }
        writer.field("Supported", extensions::TIMER.as_bytes());
        if let Some(session) = &self.session {
            let agreed = session.timer.agreed();
            let refresher = match agreed.keeper {
                Keeper::Us => Refresher::Uac,
                Keeper::Them => Refresher::Uas,
            };
            write_expires(writer, agreed.interval, refresher);
        }
    }
}

/// Writes what a 2xx of ours says of the timer that was agreed on (§9).
pub(crate) fn write_agreed(writer: &mut Writer<'_>, agreed: Option<Agreed>) {
    let Some(agreed) = agreed else {
        return;
    };
    if agreed.is_known {
        writer.field("Require", extensions::TIMER.as_bytes());
    }
    let refresher = match agreed.keeper {
        Keeper::Us => Refresher::Uas,
        Keeper::Them => Refresher::Uac,
    };
    write_expires(writer, agreed.interval, refresher);
}

fn write_expires(writer: &mut Writer<'_>, interval: u32, refresher: Refresher) {
    let mut digits = itoa::Buffer::new();
    let pieces = [
        digits.format(interval).as_bytes(),
        b";refresher=",
        refresher.text().as_bytes(),
    ];
    writer.parts("Session-Expires", &pieces);
}

impl Talking {
    /// The side whose refresh this is, and the refresh, which is under way no more.
    fn take_refresh(&mut self, id: ClientId) -> Option<(Side, Refresh)> {
        [Side::Caller, Side::Buyer].into_iter().find_map(|side| {
            let session = self.leg(side).session.as_mut()?;
            let refresh = session.refresh.take_if(|refresh| refresh.client == id)?;
            Some((side, refresh))
        })
    }

    /// Lets go of refreshes under way, because the call ends.
    pub(crate) fn drop_refreshes(&mut self, now: Instant, core: &mut Core) {
        for side in [Side::Caller, Side::Buyer] {
            let session = self.leg(side).session.as_mut();
            let Some(refresh) = session.and_then(|session| session.refresh.take()) else {
                continue;
            };
            let client = refresh.client;
            if refresh.is_invite {
                core.transact(|layer, out| layer.cancel(now, client, Owner::AbandonedWithin, out));
            } else {
                core.layer.set_owner(client, Owner::Nobody);
            }
        }
    }
}

impl Call {
    /// Refreshes what is due, and ends the call if a side let its session run out.
    pub(crate) fn handle_session_timeout(&mut self, now: Instant, core: &mut Core) {
        for side in [Side::Caller, Side::Buyer] {
            let State::Talking(talking) = &mut self.state else {
                return;
            };
            let Some(session) = &mut talking.leg(side).session else {
                continue;
            };
            match session.timer.handle_timeout(now) {
                Due::Nothing => {}
                Due::Refresh => self.refresh(now, core, side),
                Due::Expired => self.hang_up(now, core, Outcome::SessionExpired, side),
            }
        }
    }

    /// Sends the refresh of one side, or puts it off.
    fn refresh(&mut self, now: Instant, core: &mut Core, side: Side) {
        let (key, policy) = (self.key, self.policy.clone());
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let is_busy = self.media.glare(talking, side.other()).is_some();
        let keeps_sent = side == Side::Buyer && talking.who.login.is_some();
        let leg = talking.leg(side);
        let takes_update = leg.takes_update == Some(true);
        let Some(session) = &leg.session else {
            return;
        };
        // With nothing to offer, an INVITE would ask for an offer that nobody could answer.
        let told = session.told.as_ref().filter(|_| !takes_update);
        let is_invite = told.is_some();
        let waits = is_invite && is_busy;
        let prepared = (!waits).then(|| core.prepare()).flatten();
        let Some(client) = prepared else {
            leg.put_off(now, PAUSE);
            return;
        };
        let branch = core.layer.branch(client);
        let flow = leg.dialog.flow();
        let cseq = leg.dialog.next_cseq();
        let method = method_of(is_invite);
        let face = Face::towards(side, &policy, &self.trunk);
        let advertise = face.advertised(flow.listener);
        let buffer = &mut core.buffer;
        let mut writer = leg
            .dialog
            .write_request(buffer, method, cseq, advertise, &branch, 70);
        write_contact(&mut writer, face, flow, leg.dialog.is_secure());
        writer.field("Allow", headers::ALLOW);
        leg.write_session(&mut writer, policy.session.as_ref());
        let built = match told {
            Some(told) => {
                writer.unfolded("Content-Type", &told.kind);
                writer.finish(&told.body)
            }
            None => writer.finish(b""),
        };
        let Some(bytes) = core.built(built) else {
            core.layer.release(client);
            leg.put_off(now, PAUSE);
            return;
        };
        let refresh = Refresh {
            client,
            is_invite,
            sent: keeps_sent.then(|| bytes.clone()),
            credentials: None,
        };
        if let Some(session) = &mut leg.session {
            session.refresh = Some(refresh);
        }
        core.send(now, client, (method, bytes), flow, Owner::Refresh(key));
    }

    /// The answer to a refresh of ours.
    pub(crate) fn handle_refresh_response(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) {
        let (status, policy) = (response.status, self.policy.clone());
        if status < 200 {
            return;
        }
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let Some((side, refresh)) = talking.take_refresh(id) else {
            return;
        };
        if status < 300 {
            self.complete_refresh(now, core, side, refresh, response, essentials);
            return;
        }
        let leg = talking.leg(side);
        let Some(session) = &mut leg.session else {
            return;
        };
        match status {
            401 | 407 if refresh.credentials.is_none() => {
                if !self.repeat_refresh(now, core, side, &refresh, response) {
                    self.put_refresh_off(now, side, PAUSE);
                }
            }
            // §7.4: once more with what the peer wants, but not for ever.
            422 if session.raised < MOST_RAISED => {
                let raised = policy
                    .session
                    .and_then(|terms| terms.raised(&response.head));
                session.raised += 1;
                if let Some(interval) = raised {
                    session.timer.raise(interval);
                    self.refresh(now, core, side);
                } else {
                    self.put_refresh_off(now, side, PAUSE);
                }
            }
            // It does not know UPDATE, whatever it said; it is there, and that is what was asked.
            405 | 501 if !refresh.is_invite => {
                leg.takes_update = Some(false);
                let agreed = session.timer.agreed();
                leg.agree(now, Some(agreed));
            }
            408 => self.hang_up(now, core, Outcome::SessionExpired, side),
            481 => self.hang_up(now, core, Outcome::LegLost, side),
            491 => {
                let pause = glare_pause(core, side);
                self.put_refresh_off(now, side, pause);
            }
            _ => self.put_refresh_off(now, side, PAUSE),
        }
    }

    fn complete_refresh(
        &mut self,
        now: Instant,
        core: &mut Core,
        side: Side,
        refresh: Refresh,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) {
        let policy = self.policy.clone();
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let leg = talking.leg(side);
        if let Some(contact) = &essentials.contact {
            leg.dialog.refresh_target(contact.uri);
        }
        leg.note_refreshed(now, policy.session.as_ref(), response);
        if refresh.is_invite {
            let Refresh {
                client,
                credentials,
                ..
            } = refresh;
            core.layer.set_owner(client, Owner::AbandonedWithin);
            let owed = OwedAck {
                client,
                cseq: essentials.cseq,
                credentials,
            };
            let face = Face::towards(side, &policy, &self.trunk);
            leg.acknowledge(core, (self.key, face), owed, None);
        }
        self.locate_peers(now, core);
    }

    /// A refresh of ours that got no answer: that side is gone. `is_lost`: only its transport failed, which may pass.
    pub(crate) fn handle_refresh_failure(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
        is_lost: bool,
    ) {
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let Some((side, _)) = talking.take_refresh(id) else {
            return;
        };
        if is_lost {
            talking.leg(side).dialog.lose_connection();
            self.put_refresh_off(now, side, PAUSE);
        } else {
            self.hang_up(now, core, Outcome::SessionExpired, side);
        }
    }

    fn put_refresh_off(&mut self, now: Instant, side: Side, pause: Duration) {
        if let State::Talking(talking) = &mut self.state {
            talking.leg(side).put_off(now, pause);
        }
    }

    /// Answers the buyer's challenge to a refresh, once.
    fn repeat_refresh(
        &mut self,
        now: Instant,
        core: &mut Core,
        side: Side,
        refresh: &Refresh,
        response: &Response<'_>,
    ) -> bool {
        let key = self.key;
        let State::Talking(talking) = &mut self.state else {
            return false;
        };
        let who = talking.who.clone();
        let (Some(login), Some(sent)) = (&who.login, &refresh.sent) else {
            return false;
        };
        let challenged = Challenged {
            policy: &self.policy,
            login,
            sent,
            response,
        };
        let leg = talking.leg(side);
        let Some(again) = challenged.repeat(now, core, &mut leg.dialog, Owner::Refresh(key)) else {
            return false;
        };
        if let Some(session) = &mut leg.session {
            session.refresh = Some(Refresh {
                client: again.client,
                is_invite: refresh.is_invite,
                sent: None,
                credentials: Some(again.credentials),
            });
        }
        true
    }
}

impl Leg {
    /// A request of ours that refreshes the session was answered with 2xx: an answer that does not speak of the
    /// timer leaves it as it was.
    pub(crate) fn note_refreshed(
        &mut self,
        now: Instant,
        terms: Option<&Terms>,
        response: &Response<'_>,
    ) {
        let asked = Asked::of(&response.head);
        let before = self.session.as_ref().map(|session| session.timer.agreed());
        let accepted = terms.and_then(|terms| terms.accepted(&asked));
        if before.is_some() {
            self.agree(now, accepted.or(before));
        }
    }

    /// The peer wants a longer interval than it agreed to: the next request asks for it.
    pub(crate) fn note_too_short(&mut self, terms: Option<&Terms>, response: &Response<'_>) {
        let raised = terms.and_then(|terms| terms.raised(&response.head));
        if let (Some(session), Some(interval)) = (&mut self.session, raised) {
            session.timer.raise(interval);
        }
    }

    fn put_off(&mut self, now: Instant, pause: Duration) {
        if let Some(session) = &mut self.session {
            session.timer.again(now, pause);
        }
    }
}

fn method_of(is_invite: bool) -> Method<'static> {
    if is_invite {
        Method::Invite
    } else {
        Method::Update
    }
}

/// How long to wait after a 491 (RFC 3261 §14.1), in steps of 10 ms: 2.1 s to 4 s if the Call-ID is ours, which it is
/// towards a buyer, else up to 2 s.
pub(crate) fn glare_pause(core: &mut Core, side: Side) -> Duration {
    let steps = match side {
        Side::Buyer => 210 + core.entropy.next_u64() % 191,
        Side::Caller | Side::Edge => core.entropy.next_u64() % 201,
    };
    Duration::from_millis(10 * steps)
}

/// Until a refresh is tried again that could not be sent, or was refused.
const PAUSE: Duration = Duration::from_secs(5);
/// How often in a row a peer may want a longer interval.
pub(crate) const MOST_RAISED: u8 = 2;
