//! The media of a call that goes through an rtpengine: what is asked, who waits for the answer, and how it goes on.
//!
//! ```text
//!   INVITE, 18x, 2xx, re-INVITE, ... ──> handler ──> carry: not known yet ──> AskMedia, and the message is parked
//!                                           ^                                     │
//!                                           └──── the same message again <── MediaTold
//! ```
//!
//! A handler that has to wait does nothing else before: the message goes through it once more when the answer is there,
//! and then is known. One question of a call is open at a time, and one message parked. Meanwhile the call is in the
//! state that it was in, so that whatever ends it finds all in place; an answer that comes too late is for nobody.

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::call::bridge::Talking;
use crate::call::call::Call;
use crate::call::core::Core;
use crate::call::credentials::reread;
use crate::call::media::{Anchored, Role, Unfit};
use crate::call::next::Next;
use crate::call::output::Output;
use crate::call::provisional::reread_response;
use crate::call::record::{Lodging, MediaAt, Side};
use crate::call::turn::Phase;
use crate::call::within::{AskedWithin, GLARE_RETRY};
use crate::dialog::session_timer::Agreed;
use crate::media::ng;
use crate::media::ng::ask::{Ask, Failure, Ticket, Told};
use crate::media::ng::{Names, Reply, Request as Question, Scope};
use crate::media::plan::SessionId;
use crate::media::session::far::{Far, Step};
use crate::sip::build::ReplyHead;
use crate::sip::flow::Flow;
use crate::sip::message::{Method, Request};
use crate::transaction::layer::{ClientId, ServerId};

/// A call's media at an rtpengine.
pub(crate) struct Lodger {
    id: SessionId,
    far: Far,
    patience: Duration,
    round: u32,
    asked: Option<Asked>,
    /// Why the parked message cannot go on, for the handler that takes it up again.
    unfit: Option<Unfit>,
    /// Whether the attempt goes on that was begun before.
    resumes: bool,
}

/// An open question.
struct Asked {
    round: u32,
    /// When there will be no answer any more.
    until: Instant,
    parked: Parked,
}

/// What waits for the answer.
pub(crate) enum Parked {
    /// The caller's INVITE, which the call holds anyway.
    Invite,
    /// A provisional response of the buyer's.
    Ringing(Bytes),
    /// The buyer's 2xx, which the attempt holds.
    Answer,
    /// A request within the call.
    Within(Box<Within>),
    /// The 2xx to one that was relayed by this transaction.
    Agreement(ClientId, Bytes),
    /// The ACK of one side that answers the other's offer.
    Ack(Box<(Side, Flow, Bytes)>),
    /// The caller's PRACK that answers the buyer's offer.
    Prack(Box<(Flow, Bytes)>),
    /// Nothing any more: an offer within the call was taken back. The next one has to come after it.
    Nothing,
}

/// A request of one side within the call.
pub(crate) struct Within {
    side: Side,
    server: ServerId,
    flow: Flow,
    request: Bytes,
    agreed: Option<Agreed>,
}

impl Within {
    pub(crate) fn new(asked: &AskedWithin<'_, '_>, agreed: Option<Agreed>) -> Self {
        Self {
            side: asked.side,
            server: asked.server,
            flow: asked.flow,
            request: Bytes::copy_from_slice(asked.request.head.message()),
            agreed,
        }
    }
}

impl Lodger {
    pub(crate) fn new(id: SessionId, far: Far, patience: Duration) -> Self {
        Self {
            id,
            far,
            patience,
            round: 0,
            asked: None,
            unfit: None,
            resumes: false,
        }
    }

    pub(crate) fn far_mut(&mut self) -> &mut Far {
        &mut self.far
    }

    /// Whether the attempt that is being made goes on where it had to wait.
    pub(crate) fn takes_up(&mut self) -> bool {
        mem::take(&mut self.resumes)
    }

    /// Takes a description across. `None`: it was asked about, and the message has to be parked.
    pub(crate) fn carry(
        &mut self,
        now: Instant,
        core: &mut Core,
        (from, role): (Side, Role),
        at: IpAddr,
        sdp: &[u8],
    ) -> Result<Option<Bytes>, Unfit> {
        if let Some(unfit) = self.unfit.take() {
            return Err(unfit);
        }
        if self.asked.is_some() {
            return Err(Unfit::Busy);
        }
        let step = match role {
            Role::Offer => self.far.offer(from.into(), sdp, at),
            Role::Answer => self.far.answer(from.into(), sdp, at),
        };
        match step.map_err(Unfit::Fault)? {
            Step::Told(sdp) => Ok(Some(sdp)),
            Step::Ask(request) => {
                self.round = self.round.wrapping_add(1).max(1);
                self.ask(core, self.round, request);
                self.asked = Some(Asked {
                    round: self.round,
                    until: now + self.patience,
                    parked: Parked::Invite,
                });
                Ok(None)
            }
        }
    }

    /// Round 0 is a question whose answer nobody waits for.
    fn ask(&self, core: &mut Core, round: u32, request: Question) {
        core.output(Output::AskMedia(Box::new(Ask {
            ticket: Ticket {
                session: self.id,
                round,
            },
            place: self.far.place(),
            request,
        })));
    }

    /// Takes the answer to the open question in, and gives what waits for it.
    fn take_told(&mut self, core: &mut Core, told: Told) -> Option<Parked> {
        let asked = self
            .asked
            .take_if(|asked| asked.round == told.ticket.round)?;
        if let Parked::Nothing = asked.parked {
            self.far.fail();
            return None;
        }
        self.unfit = match told.result {
            Ok(Reply::Sdp(sdp)) => match self.far.take(told.place, &sdp) {
                Ok(more) => {
                    if let Some(more) = more {
                        self.ask(core, 0, more);
                    }
                    None
                }
                Err(fault) => Some(Unfit::Fault(fault)),
            },
            Ok(Reply::Pong | Reply::Deleted(_) | Reply::Figures(_)) => {
                self.far.fail();
                Some(Unfit::Rtpengine("rtpengine_unclear"))
            }
            Err(failure) => {
                self.far.fail();
                let before = self.far.lodging();
                let is_new = matches!(asked.parked, Parked::Invite);
                let is_moved = is_new && failure.is_its_own() && self.far.leave();
                // It may have taken the call in all the same; of one that has gone on, only where it was before.
                let left = match before {
                    None => told.place.zip(told.names),
                    Some(before) => Some(before).filter(|_| is_moved),
                };
                if let Some((place, names)) = left.filter(|_| failure == Failure::Silent) {
                    core.end_media(self.id, place, names);
                }
                (!is_moved).then(|| Unfit::Rtpengine(label(&failure)))
            }
        };
        self.resumes = matches!(asked.parked, Parked::Invite);
        Some(asked.parked)
    }

    /// Where the call is to be ended; `None`: nowhere.
    pub(crate) fn end(&self) -> Option<MediaAt> {
        let session = self.id;
        let (place, names) = self.far.lodging()?;
        Some(MediaAt::Rtpengine(Box::new(Lodging {
            session,
            place,
            names,
        })))
    }
}

impl Anchored {
    fn lodger(&mut self) -> Option<&mut Lodger> {
        match self {
            Self::Rtpengine(lodger) => Some(lodger),
            Self::Direct | Self::Relay(_) => None,
        }
    }

    /// Says what waits for the answer to the question that is open.
    pub(crate) fn park(&mut self, parked: Parked) {
        if let Some(asked) = self.lodger().and_then(|lodger| lodger.asked.as_mut()) {
            asked.parked = parked;
        }
    }

    /// Whether a question is open.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(self, Self::Rtpengine(lodger) if lodger.asked.is_some())
    }

    /// Why an INVITE or an offer of `from` must wait, and how it is told: as [`Talking::glare`] says, and while rtpengine
    /// is asked.
    pub(crate) fn glare(&self, talking: &Talking, from: Side) -> Option<(u16, Option<u32>)> {
        let asked = match self {
            Self::Rtpengine(lodger) => lodger.asked.as_ref(),
            Self::Direct | Self::Relay(_) => None,
        };
        match asked.map(|asked| &asked.parked) {
            Some(Parked::Within(within)) if within.side == from => Some((500, Some(GLARE_RETRY))),
            Some(_) => Some((491, None)),
            None => talking.glare(from),
        }
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn drop_asked(&mut self) {
        if let Some(lodger) = self.lodger() {
            lodger.asked = None;
        }
    }

    /// Takes back the request within the call that waits, if it is that of `server`, or any.
    fn take_within(&mut self, server: Option<ServerId>) -> Option<Box<Within>> {
        let asked = self.lodger()?.asked.as_mut()?;
        match mem::replace(&mut asked.parked, Parked::Nothing) {
            Parked::Within(within) if server.is_none_or(|server| within.server == server) => {
                Some(within)
            }
            parked @ (Parked::Invite
            | Parked::Ringing(_)
            | Parked::Answer
            | Parked::Within(_)
            | Parked::Agreement(..)
            | Parked::Ack(_)
            | Parked::Prack(_)
            | Parked::Nothing) => {
                asked.parked = parked;
                None
            }
        }
    }

    /// Takes back the 2xx within the call that waits.
    pub(crate) fn take_agreement(&mut self) -> Option<(ClientId, Bytes)> {
        let lodger = self.lodger()?;
        let is_it = |asked: &mut Asked| matches!(asked.parked, Parked::Agreement(..));
        match lodger.asked.take_if(is_it)?.parked {
            Parked::Agreement(client, response) => Some((client, response)),
            Parked::Invite
            | Parked::Ringing(_)
            | Parked::Answer
            | Parked::Within(_)
            | Parked::Ack(_)
            | Parked::Prack(_)
            | Parked::Nothing => None,
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Rtpengine(lodger) => lodger.asked.as_ref().map(|asked| asked.until),
            Self::Direct | Self::Relay(_) => None,
        }
    }
}

impl Call {
    /// Whether the call waits for the answer to this question.
    pub(crate) fn awaits_media(&self, ticket: Ticket) -> bool {
        matches!(&self.media, Anchored::Rtpengine(lodger)
            if lodger.asked.as_ref().is_some_and(|asked| asked.round == ticket.round))
    }

    /// The answer to the open question: what waits for it goes on.
    pub(crate) fn handle_media_told(&mut self, now: Instant, core: &mut Core, told: Told) {
        let Some(lodger) = self.media.lodger() else {
            return;
        };
        let Some(parked) = lodger.take_told(core, told) else {
            return;
        };
        self.take_up(now, core, parked);
        if let Some(lodger) = self.media.lodger() {
            lodger.unfit = None;
            lodger.resumes = false;
        }
    }

    /// No answer came, though each question gets one: it was lost on the way.
    pub(crate) fn handle_media_timeout(&mut self, now: Instant, core: &mut Core) {
        let Some(lodger) = self.media.lodger() else {
            return;
        };
        if let Some(asked) = lodger.asked.as_ref().filter(|asked| asked.until <= now) {
            let told = Told {
                ticket: Ticket {
                    session: lodger.id,
                    round: asked.round,
                },
                place: None,
                names: None,
                result: Err(Failure::Silent),
            };
            self.handle_media_told(now, core, told);
        }
    }

    fn take_up(&mut self, now: Instant, core: &mut Core, parked: Parked) {
        match parked {
            Parked::Nothing => {}
            Parked::Invite => {
                let mut turns = self.state.turns().iter();
                let waiting = turns.find(|turn| matches!(turn.phase, Phase::Media));
                if let Some(turn) = waiting.map(|turn| turn.id) {
                    self.hunt_on(now, core, turn, Next::Gateway);
                }
            }
            Parked::Ringing(response) => {
                let turn = self.turn_ids().first().copied();
                if let Some((turn, (response, _))) = turn.zip(reread_response(&response)) {
                    self.relay_ringing(now, core, turn, &response);
                }
                self.go_on_with_held(now, core);
            }
            Parked::Answer => self.go_on_with_held(now, core),
            Parked::Within(within) => {
                if let Some(request) = reread(&within.request)
                    && let Ok(essentials) = request.essentials()
                {
                    let asked = AskedWithin {
                        side: within.side,
                        server: within.server,
                        flow: within.flow,
                        request: &request,
                        essentials: &essentials,
                    };
                    let reply = ReplyHead::new(&request, &within.flow);
                    self.relay(now, core, &asked, reply, within.agreed);
                }
            }
            Parked::Agreement(client, response) => {
                if let Some((response, essentials)) = reread_response(&response) {
                    self.handle_relay_response(now, core, client, &response, &essentials);
                }
            }
            Parked::Prack(prack) => {
                let (flow, prack) = *prack;
                if let Some(prack) = reread(&prack) {
                    self.pass_prack(now, core, flow, &prack);
                }
                self.go_on_with_held(now, core);
            }
            Parked::Ack(ack) => {
                let (side, flow, ack) = *ack;
                if let Some(ack) = reread(&ack) {
                    self.pass_late_answer(now, core, side, flow, &ack);
                }
            }
        }
    }

    /// The side whose request waits has taken it back (487), or the call ends.
    pub(crate) fn drop_within(
        &mut self,
        now: Instant,
        core: &mut Core,
        server: Option<ServerId>,
    ) -> bool {
        let Some(within) = self.media.take_within(server) else {
            return false;
        };
        if let Some(request) = reread(&within.request) {
            let reply = ReplyHead::new(&request, &within.flow);
            let status = if is_invite(&request) { 487 } else { 481 };
            core.answer(now, within.server, &reply, status, None);
        }
        true
    }
}

impl Core {
    /// rtpengine has taken a call in that is over by now, or may have: it is ended there.
    pub(crate) fn end_late_media(&mut self, told: Told) {
        let Told {
            ticket,
            place,
            names,
            result,
        } = told;
        let is_there = matches!(result, Ok(Reply::Sdp(_)) | Err(Failure::Silent));
        if let Some((place, names)) = place.zip(names).filter(|_| is_there) {
            self.end_media(ticket.session, place, names);
        }
    }

    /// Has rtpengine forget what there is of a call, which nobody waits for.
    fn end_media(&mut self, session: SessionId, place: SocketAddr, names: Names) {
        self.output(Output::AskMedia(Box::new(Ask {
            ticket: Ticket { session, round: 0 },
            place: Some(place),
            request: Question::Delete(names, Scope::Call),
        })));
    }
}

fn is_invite(request: &Request<'_>) -> bool {
    request.method == Method::Invite
}

/// Why there is no answer, as metrics and logs have it.
fn label(failure: &Failure) -> &'static str {
    match failure {
        Failure::Silent => "rtpengine_silent",
        Failure::Unreachable => "rtpengine_unreachable",
        Failure::Nowhere => "rtpengine_nowhere",
        Failure::Busy => "rtpengine_busy",
        Failure::Said(ng::Fault::Full(_)) => "rtpengine_full",
        Failure::Said(ng::Fault::Refused(_)) => "rtpengine_refused",
        Failure::Said(ng::Fault::TooLong | ng::Fault::Unreadable(_) | ng::Fault::Missing(_)) => {
            "rtpengine_unclear"
        }
    }
}
