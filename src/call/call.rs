//! One call: what it is, what it holds in each state, and when it next wants the time.
//!
//! ```text
//!   INVITE           buyer's 2xx                BYE, failure, operator
//!     |                   |                          |
//!     v                   v                          v
//!   Hunting ----------> Talking ------------------> Ending ----> gone
//!     |  \_ next buyer _/    re-INVITE and others     BYEs to be answered,
//!     |                      relayed                  an ACK to come
//!     v
//!   gone: refused, cancelled, no buyer answered
//! ```
//!
//! Where a trunk takes so many calls and no more, a call is Asking before it is Hunting (`places`), and so it is while
//! webhooks are asked before anything is decided (`pings`). What a single buyer has to wait for is the matter of its turn
//! (`turn`).
//! The record is written on the way out of Hunting to nothing, or of Talking.

use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::call::a_leg::Early;
use crate::call::abroad::Abroad;
use crate::call::aftermath::conclude;
use crate::call::aside::Asides;
use crate::call::bridge::Talking;
use crate::call::closing::Ending;
use crate::call::core::{CallKey, Core};
use crate::call::hunt::Hunt;
use crate::call::media::Anchored;
use crate::call::output::{Event, Output};
use crate::call::places::{Asking, Place};
use crate::call::policy::Policy;
use crate::call::record::{Outcome, Record, Side};
use crate::call::registry::Arrival;
use crate::call::room;
use crate::call::turn::{Turn, TurnId};
use crate::routing::caps::CapOn;
use crate::routing::trunk::{Refer, Trunk};
use crate::sip::flow::Flow;
use crate::sip::message::Essentials;
use crate::types::ids::{CallUuid, Mark};

/// One call.
pub(crate) struct Call {
    pub(crate) key: CallKey,
    /// The slot that our tags towards buyers lead to: its own, or that of the call for which it seeks somebody.
    pub(crate) home: u32,
    pub(crate) uuid: CallUuid,
    /// What the caller called its INVITE.
    pub(crate) arrival: Arrival,
    /// The policy that it began with.
    pub(crate) policy: Arc<Policy>,
    pub(crate) trunk: Arc<Trunk>,
    /// Our tag towards the caller: one, whatever buyers come and go (RFC 3261 §12.1.1).
    pub(crate) caller_mark: Mark,
    /// Our tag towards the buyer who answered.
    pub(crate) buyer_mark: Option<Mark>,
    /// The place that it has of its trunk.
    pub(crate) trunk_place: Option<Place>,
    /// The one of the buyer who answered.
    pub(crate) buyer_place: Option<Place>,
    /// Those of the buyers whose turn it is.
    pub(crate) turn_places: SmallVec<[(TurnId, Place); 1]>,
    /// The one of a buyer who stands in the caller's place, after a transfer.
    pub(crate) second_place: Option<Place>,
    /// What the record will say; taken when it is written.
    pub(crate) record: Option<Box<Record>>,
    pub(crate) state: State,
    /// Which way its media goes.
    pub(crate) media: Anchored,
    /// That of buyers who are called at once.
    pub(crate) asides: Option<Box<Asides>>,
    /// The entries of the timer wheel that stand for this call, the earliest last.
    pub(crate) scheduled: SmallVec<[Instant; 2]>,
}

/// Where the call stands.
pub(crate) enum State {
    /// It waits for a place of its trunk, or for webhooks.
    Asking(Box<Asking>),
    /// Buyers are tried.
    Hunting(Box<Hunting>),
    /// A buyer answered.
    Talking(Box<Talking>),
    /// A buyer answered, and a vendor carries both legs.
    Abroad(Box<Abroad>),
    /// It is over, but for answers that are still to come.
    Ending(Box<Ending>),
    /// Nothing is left.
    Gone,
}

/// What a call holds while buyers are tried.
pub(crate) struct Hunting {
    pub(crate) early: Early,
    pub(crate) hunt: Hunt,
    /// Those whose turn it is; never none for longer than it takes to find the next.
    pub(crate) turns: SmallVec<[Turn; 1]>,
    /// When the caller hears ringing, whatever the buyers do; `None` once it heard any.
    pub(crate) ring_at: Option<Instant>,
}

impl Call {
    /// A call that stands nowhere yet, and holds nothing. `caller_mark` is our tag towards the caller, `home` the slot that
    /// those towards buyers lead to.
    pub(crate) fn new(
        (key, caller_mark): (CallKey, Mark),
        home: u32,
        (arrival, policy, trunk): (Arrival, &Arc<Policy>, Arc<Trunk>),
        record: Box<Record>,
    ) -> Self {
        Self {
            key,
            home,
            uuid: record.uuid,
            arrival,
            policy: policy.clone(),
            trunk,
            caller_mark,
            buyer_mark: None,
            trunk_place: None,
            buyer_place: None,
            turn_places: SmallVec::new(),
            second_place: None,
            record: Some(record),
            state: State::Gone,
            media: Anchored::Direct,
            asides: None,
            scheduled: SmallVec::new(),
        }
    }
}

impl Hunting {
    fn poll_timeout(&self) -> Option<Instant> {
        let provisional = self.early.provisional.as_ref();
        let provisional = provisional.and_then(|provisional| provisional.poll_timeout());
        let turns = self.turns.iter().filter_map(Turn::poll_timeout);
        turns.chain(self.ring_due()).chain(provisional).min()
    }

    /// When the caller hears ringing; not while nobody is called.
    pub(crate) fn ring_due(&self) -> Option<Instant> {
        self.ring_at.filter(|_| self.attempts().next().is_some())
    }
}

impl Call {
    /// Which of our two sides a tag of ours stands for.
    pub(crate) fn side_of(&self, mark: Mark) -> Option<Side> {
        if self.caller_mark == mark {
            Some(Side::Caller)
        } else if self.buyer_mark == Some(mark) || self.tries_with(mark) {
            Some(Side::Buyer)
        } else {
            None
        }
    }

    /// What becomes of a REFER of `side`.
    pub(crate) fn refer(&self, side: Side) -> Refer {
        match (side, &self.state) {
            (Side::Caller | Side::Edge, _) => self.trunk.refer,
            (Side::Buyer, State::Talking(talking)) => talking.who.refer,
            (
                Side::Buyer,
                State::Asking(_)
                | State::Hunting(_)
                | State::Abroad(_)
                | State::Ending(_)
                | State::Gone,
            ) => Refer::Refuse,
        }
    }

    /// Whether a message with our tag of `side` belongs to that side's dialog (RFC 3261 §12.2.2).
    pub(crate) fn is_of(&self, side: Side, essentials: &Essentials<'_>) -> bool {
        let (call_id, tag) = (essentials.call_id, essentials.from.tag());
        match &self.state {
            State::Asking(_) => {
                side == Side::Caller && self.arrival.is_of(call_id, tag.unwrap_or_default())
            }
            State::Hunting(_) if side == Side::Caller => {
                self.arrival.is_of(call_id, tag.unwrap_or_default())
            }
            State::Hunting(hunting) => {
                let mut early = hunting.attempts().flat_map(|one| &one.early);
                early.any(|early| early.dialog.is_of(call_id, tag))
            }
            State::Talking(talking) => talking.dialog(side).is_of(call_id, tag),
            State::Ending(ending) => ending
                .dialog(side)
                .is_some_and(|dialog| dialog.is_of(call_id, tag)),
            State::Abroad(_) | State::Gone => false,
        }
    }

    /// Takes note of a new request of `side`; `false` if its CSeq goes back.
    pub(crate) fn advance(&mut self, side: Side, asked: &Essentials<'_>, flow: Flow) -> bool {
        let cseq = asked.cseq;
        match &mut self.state {
            State::Asking(asking) => side == Side::Caller && asking.early.advance(cseq),
            State::Hunting(hunting) if side == Side::Caller => hunting.early.advance(cseq),
            State::Hunting(hunting) => hunting
                .early_dialog(asked)
                .is_some_and(|early| early.dialog.advance(cseq, flow)),
            State::Abroad(_) | State::Gone => true,
            State::Talking(talking) => talking.leg(side).dialog.advance(cseq, flow),
            State::Ending(ending) => ending
                .dialog_mut(side)
                .is_some_and(|dialog| dialog.advance(cseq, flow)),
        }
    }

    /// The caller's INVITE, while it has no final answer.
    pub(crate) fn early_mut(&mut self) -> Option<&mut Early> {
        match &mut self.state {
            State::Asking(asking) => Some(&mut asking.early),
            State::Hunting(hunting) => Some(&mut hunting.early),
            State::Abroad(_) | State::Talking(_) | State::Ending(_) | State::Gone => None,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next wanted.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let own = match &self.state {
            State::Asking(asking) => asking.poll_timeout(),
            State::Hunting(hunting) => hunting.poll_timeout(),
            State::Talking(talking) => {
                let own = talking.poll_timeout();
                [own, self.timer_due()].into_iter().flatten().min()
            }
            State::Abroad(abroad) => {
                let own = Some(abroad.poll_timeout());
                [own, self.timer_due()].into_iter().flatten().min()
            }
            State::Ending(ending) => ending.poll_timeout(),
            State::Gone => None,
        };
        [own, self.media.poll_timeout()].into_iter().flatten().min()
    }

    /// When a webhook of the campaign's is due.
    fn timer_due(&self) -> Option<Instant> {
        let story = self.record.as_ref()?.story.as_ref()?;
        story.poll_timeout()
    }

    /// Lets every timer due at `now` fire.
    pub(crate) fn handle_timeout(&mut self, now: Instant, core: &mut Core) {
        self.handle_media_timeout(now, core);
        match &self.state {
            State::Asking(_) => {
                self.handle_asking_timeout(now, core);
                self.handle_provisional_timeout(now, core);
            }
            State::Hunting(_) => {
                self.handle_turn_timeouts(now, core);
                self.handle_ring_timeout(now, core);
                self.handle_provisional_timeout(now, core);
            }
            State::Talking(_) => {
                self.fire_timers(now, core, Duration::ZERO);
                self.handle_talk_timeout(now, core);
            }
            State::Abroad(_) => {
                self.fire_timers(now, core, Duration::ZERO);
                self.handle_abroad_timeout(now, core);
            }
            State::Ending(_) => self.handle_ending_timeout(now, core),
            State::Gone => {}
        }
    }

    /// Writes the record and gives all places back: the call is over for everybody but its last messages.
    pub(crate) fn settle(
        &mut self,
        now: Instant,
        core: &mut Core,
        outcome: Outcome,
        status: u16,
        by: Side,
    ) {
        self.write_record(now, core, outcome, status, by);
        self.release_places(core);
    }

    /// Writes the record.
    pub(crate) fn write_record(
        &mut self,
        now: Instant,
        core: &mut Core,
        outcome: Outcome,
        status: u16,
        by: Side,
    ) {
        // What is due by now is due, whether or not somebody has looked at the clock.
        self.fire_timers(now, core, Duration::ZERO);
        let Some(mut record) = self.record.take() else {
            return;
        };
        room::leave(now, core, &mut record);
        record.media = self.release_media(now, core);
        record.ended = now;
        record.outcome = outcome;
        record.status = status;
        record.hung_up_by = by;
        if conclude(now, core, &mut record)
            && let Some(place) = &self.buyer_place
        {
            place.commit(core, record.uuid, CapOn::Conversion);
        }
        core.event(Event::Ended {
            uuid: record.uuid,
            outcome,
            talk: record.answered.map_or_else(Default::default, |answered| {
                now.saturating_duration_since(answered)
            }),
        });
        core.output(Output::Record(record));
    }

    pub(crate) fn is_hunting(&self) -> bool {
        matches!(self.state, State::Hunting(_))
    }

    /// Whether its record is written.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.state, State::Ending(_) | State::Gone)
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }
}
