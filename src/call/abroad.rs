//! A call abroad: a vendor carries both its legs, calls the buyers that we name, and tells what came of each. Decision, places,
//! webhooks and record are those of every other call; only what would be said by SIP is said by `Step` and `Said` (`errand`).
//!
//! ```text
//!   Said                      State                       Step
//!   Begin ──────────────────> Asking ... Hunting ───────> Call 1        the first buyer
//!   Left 1: busy ───────────> Hunting ──────────────────> Call 2        the next one of the same decision
//!   Answered 2 ─────────────> Abroad                                    it counts; timers begin
//!   Over 2 ─────────────────> gone, the record ─────────> End
//!   nothing, for too long ──> gone, the record ─────────> End           as if it had been told
//! ```
//!
//! What is told twice, or of an attempt that is over, changes nothing. How such a call ends is in `end`.

mod end;

use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call::Engine;
use crate::call::a_leg::Early;
use crate::call::abroad_leg::result_of;
use crate::call::call::{Call, State};
use crate::call::core::{CallKey, Core};
use crate::call::credentials::reread;
use crate::call::errand::{Beginning, Closing, Said, Step};
use crate::call::guest::Guest;
use crate::call::next::Sign;
use crate::call::output::{Event, Output, Refusal};
use crate::call::places::Plan;
use crate::call::policy::Policy;
use crate::call::record::Outcome;
use crate::call::registry::Arrival;
use crate::call::route::{Brief, Dialling};
use crate::call::seek::{Wish, write_invite};
use crate::call::taken_up::Owed;
use crate::call::turn::TurnId;
use crate::dialog::session_timer::Asked;
use crate::hooks::postback::About;
use crate::routing::trunk::Trunk;
use crate::sip::flow::{Flow, ListenerId, PeerId, Transport};
use crate::twilio::dial::Why;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// What is kept of a call for as long as it is abroad.
pub(crate) struct Stay {
    pub(crate) uuid: CallUuid,
    pub(crate) limit: Duration,
    pub(crate) closing: Option<Closing>,
    /// When somebody first told that something has ended.
    pub(crate) told: Option<Instant>,
    /// The place of a buyer that another process has named, until it is there.
    pub(crate) place: Option<Owed>,
}

/// A call whose buyer has answered.
pub(crate) struct Abroad {
    pub(crate) stay: Box<Stay>,
    pub(crate) attempt: u32,
    pub(crate) until: Instant,
}

/// A call that is to be begun, or taken up.
pub(crate) struct Arrived {
    pub(crate) call: Call,
    pub(crate) early: Early,
    pub(crate) plan: Plan,
}

impl Abroad {
    pub(crate) fn poll_timeout(&self) -> Instant {
        self.until
    }
}

impl Stay {
    /// What is known of the end, and was not known before.
    fn expect(&mut self, now: Instant, closing: Closing) {
        self.told.get_or_insert(now);
        let known = self.closing.unwrap_or_default();
        self.closing = Some(Closing {
            talked: known.talked.or(closing.talked),
            by: known.by.or(closing.by),
        });
    }

    /// Tells whoever carries the call that there is nobody for it, or that it is over.
    pub(crate) fn end(&self, core: &mut Core, why: &str, status: u16) {
        core.output(Output::Abroad(self.uuid, Step::End(why.into(), status)));
    }
}

impl Engine {
    /// Somebody tells of a call that a vendor carries.
    pub(super) fn handle_said(&mut self, now: Instant, uuid: CallUuid, said: Said) {
        let known = self.registry.meant(About::Call(uuid)).first().copied();
        match (known, said) {
            // It was told twice.
            (Some(_), Said::Begin(_) | Said::TakeUp(..)) => {}
            (None, Said::TakeUp(beginning, before)) => {
                if let Err(why) = self.take_up(now, uuid, *beginning, &before) {
                    self.core.output(Output::Abroad(uuid, Step::Refused(why)));
                }
            }
            (None, Said::Begin(beginning)) => {
                if let Err(why) = self.begin_abroad(now, uuid, *beginning) {
                    self.core.output(Output::Abroad(uuid, Step::Refused(why)));
                }
            }
            (Some(key), said) => {
                if let Some(call) = self.registry.call(key) {
                    call.handle_said(now, &mut self.core, said);
                }
                self.registry.attend(now, key);
            }
            // The next process may know of it.
            (None, _) if self.closed.has_left => {
                let refused = Step::Refused(Refusal::Draining);
                self.core.output(Output::Abroad(uuid, refused));
            }
            (None, _) => self.core.output(Output::Abroad(uuid, Step::Unknown)),
        }
    }

    fn begin_abroad(
        &mut self,
        now: Instant,
        uuid: CallUuid,
        beginning: Beginning,
    ) -> Result<(), Refusal> {
        if let Some(why) = self.closed.why() {
            return Err(why);
        }
        if self.registry.is_full() {
            self.core.event(Event::TableFull { table: "calls" });
            return Err(Refusal::Overload);
        }
        let key = self.registry.next_key();
        let began = (now, self.core.moment(now));
        let whose = (uuid, &self.policy);
        let arrived = Call::arrive_abroad(&mut self.core, key, whose, began, beginning);
        let Arrived {
            mut call,
            early,
            plan,
        } = arrived.ok_or(Refusal::Internal)?;
        call.announce(&mut self.core, NOWHERE);
        call.enter_abroad(now, &mut self.core, early, plan);
        if !call.is_gone() {
            self.registry.insert(now, Box::new(call));
        }
        Ok(())
    }
}

impl Call {
    /// A call that a vendor carries, as it begins or has begun. `None`: its company is not there any more, or a fault of ours.
    pub(crate) fn arrive_abroad(
        core: &mut Core,
        key: CallKey,
        (uuid, policy): (CallUuid, &Arc<Policy>),
        (began, moment): (Instant, Moment),
        beginning: Beginning,
    ) -> Option<Arrived> {
        let Beginning {
            ticket,
            tried,
            limit,
        } = beginning;
        let (number, caller, leg) = (ticket.number, ticket.caller, ticket.leg);
        let tickets = policy.tickets.as_ref()?;
        let company = *tickets.companies.get(&ticket.company)?;
        let trunk = Arc::new(Trunk::new(TRUNK, company));
        let wish = Wish {
            host: NOBODY,
            transport: NOWHERE.transport,
            target: number,
            caller,
        };
        let invite = write_invite(core, key, &wish)?;
        let request = reread(&invite)?;
        let essentials = request.essentials().ok()?;
        let guest = Guest::of(ticket, company);
        let dialling = Dialling {
            uuid,
            policy,
            trunk: &trunk,
            company,
            dialled: Ok(number),
            caller,
            moment,
            guest: Some(&guest),
        };
        let mut screened = dialling.screen();
        if let Some(story) = &mut screened.story {
            story.course.resumed = tried.len();
            story.facts.tried = tried;
        }
        let call_id = leg.to_string();
        let (record, plan) = dialling.open(began, None, call_id.as_bytes(), screened);
        let mark = core.mark(key.slot);
        let asked = Asked::of(&request.head);
        let early = Early {
            abroad: Some(Box::new(Stay {
                uuid,
                limit,
                closing: None,
                told: None,
                place: None,
            })),
            ..Early::new(
                (&request, &essentials),
                asked,
                invite.clone(),
                NOWHERE,
                mark,
            )
        };
        let plan = plan.map(|kept| {
            Box::new(Brief {
                max_forwards: 69,
                hops: 1,
                sender: NOWHERE.remote.ip(),
                kept,
            })
        });
        let arrival = Arrival::new(essentials.call_id, b"", essentials.cseq);
        let call = Self::new(
            (key, mark),
            key.slot,
            (arrival, policy, trunk.clone()),
            record,
        );
        Some(Arrived { call, early, plan })
    }

    /// Has the vendor call the first buyer, once all is known that is asked for before.
    pub(crate) fn enter_abroad(&mut self, now: Instant, core: &mut Core, early: Early, plan: Plan) {
        let invite = early.request.clone();
        let request = reread(&invite);
        let essentials = request
            .as_ref()
            .and_then(|request| request.essentials().ok());
        match (&request, &essentials) {
            (Some(request), Some(essentials)) => {
                self.enter(now, core, (early, None), plan, (request, essentials));
            }
            // It was read before, so it can be read again.
            _ => self.refuse_at_once(now, core, &early, Outcome::Internal),
        }
    }

    /// Whether a vendor carries it.
    pub(crate) fn is_abroad(&self) -> bool {
        match &self.state {
            State::Asking(asking) => asking.early.abroad.is_some(),
            State::Hunting(hunting) => hunting.early.abroad.is_some(),
            State::Abroad(_) => true,
            State::Talking(_) | State::Ending(_) | State::Gone => false,
        }
    }

    pub(crate) fn handle_said(&mut self, now: Instant, core: &mut Core, said: Said) {
        match said {
            Said::Begin(_) | Said::TakeUp(..) => {}
            Said::Answered(attempt) => {
                if let Some(turn) = self.turn_abroad(attempt) {
                    self.answer_abroad(now, core, turn, attempt);
                }
            }
            Said::Left(attempt, why, status) => {
                if let Some(turn) = self.turn_abroad(attempt) {
                    self.leave_buyer(now, core, turn, (why, status));
                }
            }
            Said::Over(attempt, talked, by) => self.close_abroad(now, core, attempt, (talked, by)),
            Said::Closing(attempt, closing) => self.expect_end(now, attempt, closing),
            Said::Gone => self.give_abroad_up(now, core),
        }
    }

    /// The turn of the attempt that the vendor makes; `None`: it makes another one, or none.
    pub(crate) fn turn_abroad(&self, attempt: u32) -> Option<TurnId> {
        let made = self.record.as_ref()?.attempts.len();
        let turn = self.state.turns().first()?;
        let is_it = usize::try_from(attempt) == Ok(made) && turn.attempt().is_some();
        is_it.then_some(turn.id).filter(|_| self.is_abroad())
    }

    /// The vendor's attempt came to nothing: the next one is due.
    pub(crate) fn leave_buyer(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        (why, status): (Why, Option<u16>),
    ) {
        if self.put_by(now, turn, (why, status)) {
            return;
        }
        let (result, is_broken) = result_of(why, status);
        let next = self.next_after(turn, is_broken);
        self.note_health(now, core, turn, Sign::of(next, None));
        self.end_attempt(now, core, turn, status, result);
        self.hunt_on(now, core, turn, next);
    }

    fn answer_abroad(&mut self, now: Instant, core: &mut Core, turn: TurnId, attempt: u32) {
        self.note_health(now, core, turn, Sign::Works);
        self.note_winner(now, core, turn, 200);
        let State::Hunting(hunting) = mem::replace(&mut self.state, State::Gone) else {
            return;
        };
        // It is abroad, so it has one.
        if let Some(stay) = hunting.early.abroad {
            let until = now + stay.limit + PATIENCE;
            let closing = stay.closing.map(|_| now + LAST_WORD);
            self.state = State::Abroad(Box::new(Abroad {
                until: closing.unwrap_or(until),
                stay,
                attempt,
            }));
            self.stop_timers(now);
        }
    }
}

/// The way to nobody: a vendor's caller has sent us no message.
pub(crate) const NOWHERE: Flow = Flow {
    transport: Transport::Udp,
    listener: ListenerId(0),
    remote: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
    peer: PeerId::NOBODY,
};

/// What records and metrics name as the trunk of these calls.
pub const TRUNK: &str = "twilio-direct";

/// The host of an INVITE that nobody has sent.
const NOBODY: &str = "abroad.invalid";

/// How long after the time it has for a leg a vendor may take to tell what came of it: it asks for 15 s at most, and once more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long the outcome of a leg may come after the news that it is over.
pub(crate) const LAST_WORD: Duration = Duration::from_secs(15);
