//! Places of a trunk or a buyer that takes so many calls and no more.
//!
//! Shards share them, and one day nodes will, so they are not counted here: a place is asked for by
//! [`Output::Reserve`](crate::call::output::Output), granted or refused by
//! [`Input::Reserved`](crate::call::input::Input), and given back by `Output::Release`, exactly once. A call
//! waits for its trunk's in its own state, and for a buyer's in that one's turn; the shell may answer in the same
//! breath, or later.
//!
//! ```text
//!   INVITE -- trunk limited? --> Asking -- granted --> Hunting:  buyer limited? --> Asking -- granted --> Trying
//!                                  |                                  ^               |
//!                                  v refused                          | next buyer    v refused: passed over
//!                                486, 480                             +---------------+
//! ```

use std::mem;
use std::time::{Duration, Instant};

use crate::call::a_leg::Early;
use crate::call::call::{Call, State};
pub use crate::call::claimant::Claimant;
use crate::call::core::{CallKey, Core};
use crate::call::credentials::reread;
use crate::call::next::Next;
use crate::call::output::{Event, Origin, Output, Refusal};
use crate::call::record::{Outcome, WhySkipped};
use crate::call::rescue::tripwire;
use crate::call::route::Brief;
use crate::call::turn::{Phase, TurnId};
use crate::routing::book::Full;
use crate::routing::caps::{CapKind, CapOn, Party};
use crate::sip::flow::Flow;
use crate::sip::message::{Essentials, Request};
use crate::twilio::ticket::{Pass, TicketFault};
use crate::types::ids::CallUuid;

/// Names a question: for a place, or to a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ticket {
    call: CallKey,
    /// Tells the questions of one call from one another.
    round: u32,
}

impl Ticket {
    #[cfg(test)]
    pub(crate) fn of_test(round: u32) -> Self {
        let call = CallKey { slot: 0, serial: 0 };
        Self { call, round }
    }

    pub(crate) fn call(self) -> CallKey {
        self.call
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The call has a place, until it is given back.
    Granted,
    /// There is none.
    Full(Full),
    /// What the call shows is not good any more.
    Spent(TicketFault),
}

/// A place that a call has, until it is given back by [`Core::release`].
#[derive(Debug)]
#[must_use]
pub(crate) struct Place(pub(crate) Ticket);

impl Place {
    /// The call did what counts with some.
    pub(crate) fn commit(&self, core: &mut Core, call: CallUuid, what: CapOn) {
        let ticket = self.0;
        core.output(Output::Commit { ticket, call, what });
    }
}

/// What a call holds while it waits: for a place of its trunk, for what is remembered of its caller (`recall`), or for the answers
/// of webhooks (`pings`).
pub(crate) struct Asking {
    pub(crate) early: Early,
    /// When the caller hears ringing.
    ring_at: Option<Instant>,
    /// When it is taken for refused, or goes on without.
    until: Instant,
    wanted: Wanted,
}

/// What is waited for.
enum Wanted {
    /// A place of the trunk's; then this is done.
    Trunk(Ticket, Plan),
    /// What is remembered of the caller, before anything else.
    Past(Box<Brief>),
    /// The answers of webhooks, before anything is decided.
    Start(Box<Brief>),
    /// Somebody who can take it: then it is decided anew.
    Buyer(Box<Brief>),
}

/// What becomes of a call that was let in.
pub(crate) type Plan = Result<Box<Brief>, Outcome>;

impl Asking {
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let provisional = self.early.provisional.as_ref();
        let resend = provisional.and_then(|provisional| provisional.poll_timeout());
        [resend, Some(self.until)].into_iter().flatten().min()
    }

    /// Whether somebody is waited for who can take the call.
    pub(crate) fn is_in_room(&self) -> bool {
        matches!(self.wanted, Wanted::Buyer(_))
    }

    /// Whether the call has begun, for everybody but the caller.
    fn has_begun(&self) -> bool {
        !matches!(self.wanted, Wanted::Trunk(..))
    }
}

impl Core {
    /// A name for a question.
    pub(crate) fn ticket(&mut self, call: CallKey) -> Ticket {
        self.rounds = self.rounds.wrapping_add(1);
        Ticket {
            call,
            round: self.rounds,
        }
    }

    /// Asks for a place for a call.
    pub(crate) fn reserve(&mut self, key: CallKey, call: CallUuid, claimant: Claimant) -> Ticket {
        let ticket = self.ticket(key);
        self.output(Output::Reserve {
            ticket,
            call,
            claimant,
        });
        ticket
    }

    /// Gives a place back.
    pub(crate) fn release(&mut self, place: Place) {
        self.output(Output::Release(place.0));
    }
}

impl Call {
    /// A call whose INVITE was let in: asks for a place of its trunk, if those are limited, and goes on.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        core: &mut Core,
        (early, pass): (Early, Option<Pass>),
        plan: Plan,
        (request, essentials): (&Request<'_>, &Essentials<'_>),
    ) {
        let ring_at = Some(now + self.policy.hunt.pdd);
        let trunk = self.trunk.clone();
        let claimant = match pass {
            Some(pass) => Claimant::Guest(trunk, pass),
            None if trunk.caps.is_limited() => Claimant::Trunk(trunk),
            None => {
                self.launch(now, core, (early, ring_at), plan, (request, essentials));
                return;
            }
        };
        let ticket = core.reserve(self.key, self.uuid, claimant);
        let until = now + PATIENCE;
        self.ask((early, ring_at), until, Wanted::Trunk(ticket, plan));
    }

    /// Tells of the call, and offers it to the first buyer.
    pub(crate) fn launch(
        &mut self,
        now: Instant,
        core: &mut Core,
        (early, ring_at): (Early, Option<Instant>),
        plan: Plan,
        asked: (&Request<'_>, &Essentials<'_>),
    ) {
        self.announce(core, early.flow);
        self.enter(now, core, (early, ring_at), plan, asked);
    }

    /// Tells of a call that has come by `flow`.
    pub(crate) fn announce(&self, core: &mut Core, flow: Flow) {
        if let Some(record) = &self.record {
            core.event(Event::Started {
                uuid: record.uuid,
                trunk: record.trunk.clone(),
                flow,
                dialled: record.dialled,
                call_id: record.call_id.clone(),
                origin: Origin {
                    generation: record.generation,
                    user: record.user.clone(),
                    company: record
                        .story
                        .as_ref()
                        .map(|story| story.facts.company.clone()),
                    campaign: record.campaign.clone(),
                    afid: record.afid.clone(),
                    sid: record.sid.clone(),
                    caller: record.caller,
                },
            });
        }
    }

    /// Offers it to the first buyer, once all is known that is asked for before.
    pub(crate) fn enter(
        &mut self,
        now: Instant,
        core: &mut Core,
        (early, ring_at): (Early, Option<Instant>),
        plan: Plan,
        (request, essentials): (&Request<'_>, &Essentials<'_>),
    ) {
        match plan {
            Err(outcome) => self.refuse_at_once(now, core, &early, outcome),
            Ok(brief) => match self.recall(now, core) {
                Some(until) => self.ask((early, ring_at), until, Wanted::Past(brief)),
                None => self.start(now, core, (early, ring_at), brief, (request, essentials)),
            },
        }
    }

    /// Waits for the answers of webhooks that fire before anything is decided.
    pub(crate) fn await_start(
        &mut self,
        caller: (Early, Option<Instant>),
        until: Instant,
        brief: Box<Brief>,
    ) {
        self.ask(caller, until, Wanted::Start(brief));
    }

    /// Waits for somebody who can take the call.
    pub(crate) fn wait(
        &mut self,
        caller: (Early, Option<Instant>),
        until: Instant,
        brief: Box<Brief>,
    ) {
        self.ask(caller, until, Wanted::Buyer(brief));
    }

    fn ask(&mut self, caller: (Early, Option<Instant>), until: Instant, wanted: Wanted) {
        let (early, ring_at) = caller;
        self.state = State::Asking(Box::new(Asking {
            early,
            ring_at,
            until,
            wanted,
        }));
    }

    /// Whether the call waits for the answers of webhooks before anything is decided.
    pub(crate) fn awaits_start(&self) -> bool {
        matches!(&self.state, State::Asking(asking) if matches!(asking.wanted, Wanted::Start(_)))
    }

    /// Whether the call waits for what is remembered of its caller.
    pub(crate) fn awaits_recall(&self) -> bool {
        matches!(&self.state, State::Asking(asking) if matches!(asking.wanted, Wanted::Past(_)))
    }

    /// Whether the call waits for the answer to this question.
    pub(crate) fn awaits(&self, ticket: Ticket) -> bool {
        match &self.state {
            State::Asking(asking) => {
                matches!(&asking.wanted, Wanted::Trunk(own, _) if *own == ticket)
            }
            State::Hunting(_) => self.turn_asking(ticket).is_some() || self.resumes(ticket),
            State::Abroad(_) => self.resumes(ticket),
            State::Talking(_) | State::Ending(_) | State::Gone => false,
        }
    }

    /// The turn that waits for the answer to this question.
    fn turn_asking(&self, ticket: Ticket) -> Option<TurnId> {
        let turns = self.state.turns().iter();
        let mut asking =
            turns.filter(|turn| matches!(&turn.phase, Phase::Asking(own, _) if *own == ticket));
        asking.next().map(|turn| turn.id)
    }

    /// The answer to a question; `None`: there will be none.
    pub(crate) fn handle_reserved(
        &mut self,
        now: Instant,
        core: &mut Core,
        ticket: Ticket,
        verdict: Option<Verdict>,
    ) {
        if self.resumes(ticket) {
            self.resume_place(now, core, ticket, verdict);
            return;
        }
        let turn = self.turn_asking(ticket);
        if matches!(verdict, Some(Verdict::Granted)) {
            // It is the call's own from here on, whatever comes.
            match turn {
                Some(turn) => self.turn_places.push((turn, Place(ticket))),
                None => self.trunk_place = Some(Place(ticket)),
            }
        }
        tripwire("reserved");
        match turn {
            Some(turn) => self.handle_turn_reserved(now, core, turn, verdict),
            None => self.leave_asking(now, core, verdict),
        }
    }

    fn handle_turn_reserved(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        verdict: Option<Verdict>,
    ) {
        let State::Hunting(hunting) = &self.state else {
            return;
        };
        let buyer = hunting.turn(turn).map(|turn| turn.buyer.clone());
        let next = match (buyer, why_skipped(verdict.as_ref())) {
            (Some(buyer), Some(why)) => {
                self.tell_limit(core, Party::Buyer(buyer.id.clone()), verdict);
                self.skip(now, core, (&buyer, None), why);
                Next::Buyer
            }
            _ => Next::Gateway,
        };
        self.hunt_on(now, core, turn, next);
    }

    /// What the call waited for is decided; `verdict` is about a place.
    pub(crate) fn leave_asking(&mut self, now: Instant, core: &mut Core, verdict: Option<Verdict>) {
        let State::Asking(asking) = mem::replace(&mut self.state, State::Gone) else {
            return;
        };
        let Asking {
            early,
            ring_at,
            wanted,
            ..
        } = *asking;
        let invite = early.request.clone();
        let request = reread(&invite);
        let essentials = request
            .as_ref()
            .and_then(|request| request.essentials().ok());
        let (Some(request), Some(essentials)) = (&request, &essentials) else {
            // It was read before, so it can be read again.
            self.refuse_at_once(now, core, &early, Outcome::Internal);
            return;
        };
        let asked = (request, essentials);
        match wanted {
            Wanted::Trunk(_, plan) => match trunk_refusal(verdict.as_ref()) {
                None => self.launch(now, core, (early, ring_at), plan, asked),
                Some((why, status)) => {
                    if !matches!(verdict, Some(Verdict::Spent(_))) {
                        self.tell_limit(core, Party::Trunk(self.trunk.id.clone()), verdict);
                    }
                    self.turn_away(now, core, &early, why, status);
                }
            },
            Wanted::Past(brief) => self.start(now, core, (early, ring_at), brief, asked),
            Wanted::Start(brief) => self.route(now, core, (early, ring_at), brief, asked),
            Wanted::Buyer(brief) => {
                self.begin_round(now, core);
                self.route(now, core, (early, ring_at), brief, asked);
            }
        }
    }

    /// No answer came in time.
    pub(crate) fn handle_asking_timeout(&mut self, now: Instant, core: &mut Core) {
        let State::Asking(asking) = &self.state else {
            return;
        };
        if asking.until > now {
            return;
        }
        match asking.wanted {
            Wanted::Trunk(ticket, _) => self.handle_reserved(now, core, ticket, None),
            Wanted::Past(_) => self.end_recall(now, core),
            Wanted::Start(_) => self.end_pings(now, core, None),
            Wanted::Buyer(_) => self.leave_asking(now, core, None),
        }
    }

    /// Ends a call that waits for a place. One that has not begun leaves no record.
    pub(crate) fn drop_asking(&mut self, now: Instant, core: &mut Core, outcome: Outcome) {
        if matches!(&self.state, State::Asking(asking) if !asking.has_begun()) {
            let State::Asking(asking) = mem::replace(&mut self.state, State::Gone) else {
                return;
            };
            let status = Self::status_for(&self.trunk, outcome);
            let tag = self.caller_mark.text();
            asking
                .early
                .refuse(now, core, &tag, status, outcome.label());
            self.record = None;
            self.release_places(core);
        }
    }

    /// Refuses a call for which its trunk has no place: it has not begun, and leaves no record.
    fn turn_away(
        &mut self,
        now: Instant,
        core: &mut Core,
        early: &Early,
        why: Refusal,
        status: u16,
    ) {
        let status = Self::status_by_label(&self.trunk, why.label()).unwrap_or(status);
        core.event(Event::Refused {
            why,
            flow: early.flow,
            status: Some(status),
        });
        early.refuse(now, core, &self.caller_mark.text(), status, why.label());
        self.record = None;
        self.state = State::Gone;
    }

    fn tell_limit(&self, core: &mut Core, party: Party, verdict: Option<Verdict>) {
        core.event(Event::LimitReached { party, verdict });
    }

    /// Whether a turn has its place at the buyer.
    pub(crate) fn has_place(&self, turn: TurnId) -> bool {
        self.turn_places.iter().any(|(own, _)| *own == turn)
    }

    /// Takes the place of a turn.
    pub(crate) fn take_place(&mut self, turn: TurnId) -> Option<Place> {
        let mut places = self.turn_places.iter();
        let found = places.position(|(own, _)| *own == turn)?;
        Some(self.turn_places.remove(found).1)
    }

    /// Gives the place of a turn back, if it has one.
    pub(crate) fn release_turn(&mut self, core: &mut Core, turn: TurnId) {
        if let Some(place) = self.take_place(turn) {
            core.release(place);
        }
    }

    /// Gives all places back.
    pub(crate) fn release_places(&mut self, core: &mut Core) {
        while let Some((_, place)) = self.turn_places.pop() {
            core.release(place);
        }
        let own = [
            self.buyer_place.take(),
            self.second_place.take(),
            self.trunk_place.take(),
        ];
        for place in own.into_iter().flatten() {
            core.release(place);
        }
    }
}

/// Why a trunk's call is refused, and with what: the limit is the trunk's, not the node's, so it is not 503,
/// which carriers take for a node that is down.
fn trunk_refusal(verdict: Option<&Verdict>) -> Option<(Refusal, u16)> {
    match verdict {
        Some(Verdict::Granted) => None,
        Some(Verdict::Full(full)) if full.kind == CapKind::Cps => Some((Refusal::TrunkCps, 480)),
        Some(Verdict::Full(_)) => Some((Refusal::TrunkCalls, 486)),
        Some(Verdict::Spent(fault)) => Some((Refusal::Ticket(*fault), 403)),
        None => Some((Refusal::LimitUnknown, 480)),
    }
}

fn why_skipped(verdict: Option<&Verdict>) -> Option<WhySkipped> {
    match verdict {
        Some(Verdict::Granted) => None,
        Some(Verdict::Full(full)) => Some(WhySkipped::Full(full.clone())),
        // Only a caller shows something.
        Some(Verdict::Spent(_)) | None => Some(WhySkipped::LimitUnknown),
    }
}

/// How long an answer may take: whoever counts the places is not there then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
