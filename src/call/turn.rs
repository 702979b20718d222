//! A buyer's turn: what is done for one buyer, from when it is chosen until it has answered or is left.
//!
//! ```text
//!             place wanted   webhooks wait   rtpengine asked
//!   begun ──> Asking ──────> Pinging ──────> Media ──────> Trying ──> answered: the call is bridged
//!     ^         │ refused      │ no match                    │
//!     │         v              v                             v
//!     │      passed over    passed over       another gateway, or the turn is over
//!     └─────────────────────────────────────────────┘
//! ```
//!
//! A call that hunts has one turn or several at once; each has its own place at its buyer, its own INVITE with a Call-ID
//! and a tag of its own, and its own time. What begins turns is in `next`, what becomes of them in `hunt`.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::call::a_leg::Early;
use crate::call::b_leg::Attempt;
use crate::call::call::{Call, Hunting, State};
use crate::call::places::Ticket;
use crate::call::provisional::EarlyDialog;
use crate::routing::buyer::Buyer;
use crate::sip::locate::Target;
use crate::sip::message::Essentials;
use crate::transaction::layer::ClientId;
use crate::types::ids::Mark;

/// Names a turn among all those of its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TurnId(u32);

/// See the module's documentation.
pub(crate) struct Turn {
    pub(crate) id: TurnId,
    pub(crate) buyer: Arc<Buyer>,
    /// Those who are called at the same time have the same number; `None`: it is alone.
    pub(crate) together: Option<NonZeroU8>,
    /// The gateways that are not tried yet, by place; the next one last.
    pub(crate) gateways: SmallVec<[u8; 4]>,
    /// The gateway that is being tried.
    pub(crate) tried: u8,
    /// Further places of that gateway, if it is known by name; the next one last.
    pub(crate) places: Vec<Target>,
    pub(crate) selection: Selection,
    pub(crate) phase: Phase,
}

/// What has been done for a buyer whose turn has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Nothing.
    New,
    /// Webhooks have been told of it.
    Told,
    /// It may be called.
    Done,
}

/// What a turn waits for.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every turn comes to its attempt, and stays there"
)]
pub(crate) enum Phase {
    /// Nothing: somebody is at work on it.
    Idle,
    /// A place at the buyer; it is taken for refused then.
    Asking(Ticket, Instant),
    /// The answers of webhooks; it goes on without them then.
    Pinging(Instant),
    /// What an rtpengine makes of the caller's offer.
    Media,
    /// The buyer's answer to an INVITE.
    Trying(Attempt),
}

impl Turn {
    pub(crate) fn attempt(&self) -> Option<&Attempt> {
        match &self.phase {
            Phase::Trying(attempt) => Some(attempt),
            Phase::Idle | Phase::Asking(..) | Phase::Pinging(_) | Phase::Media => None,
        }
    }

    pub(crate) fn attempt_mut(&mut self) -> Option<&mut Attempt> {
        match &mut self.phase {
            Phase::Trying(attempt) => Some(attempt),
            Phase::Idle | Phase::Asking(..) | Phase::Pinging(_) | Phase::Media => None,
        }
    }

    /// When it wants the time; `None`: it waits for as long as somebody else does.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Idle | Phase::Media => None,
            Phase::Asking(_, until) | Phase::Pinging(until) => Some(*until),
            Phase::Trying(attempt) => attempt.poll_timeout(),
        }
    }
}

impl Hunting {
    /// Begins the turn of a buyer, which has these gateways.
    pub(crate) fn begin_turn(&mut self, buyer: Arc<Buyer>, gateways: SmallVec<[u8; 4]>) -> TurnId {
        self.hunt.turns = self.hunt.turns.wrapping_add(1);
        let id = TurnId(self.hunt.turns);
        self.turns.push(Turn {
            id,
            buyer,
            together: None,
            gateways,
            tried: 0,
            places: Vec::new(),
            selection: Selection::New,
            phase: Phase::Idle,
        });
        id
    }

    /// All turns are of buyers who are called at the same time.
    pub(crate) fn join_turns(&mut self) {
        self.hunt.races = self.hunt.races.saturating_add(1);
        for turn in &mut self.turns {
            turn.together = NonZeroU8::new(self.hunt.races);
        }
    }

    pub(crate) fn turn(&self, id: TurnId) -> Option<&Turn> {
        self.turns.iter().find(|turn| turn.id == id)
    }

    pub(crate) fn turn_mut(&mut self, id: TurnId) -> Option<&mut Turn> {
        self.turns.iter_mut().find(|turn| turn.id == id)
    }

    /// The INVITEs that are out.
    pub(crate) fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.turns.iter().filter_map(Turn::attempt)
    }

    /// The only one, if there is no other turn: with several nobody can tell whose media the caller's is.
    pub(crate) fn sole(&mut self) -> Option<(&mut Early, &mut Attempt)> {
        match self.turns.as_mut_slice() {
            [turn] => Some((&mut self.early, turn.attempt_mut()?)),
            _ => None,
        }
    }

    /// Takes the 2xx that was put by.
    pub(crate) fn take_held(&mut self) -> Option<(TurnId, Bytes)> {
        self.turns.iter_mut().find_map(|turn| {
            let held = turn.attempt_mut()?.held.take()?;
            Some((turn.id, held))
        })
    }

    /// The early dialog with a buyer that a request of its belongs to.
    pub(crate) fn early_dialog(&mut self, asked: &Essentials<'_>) -> Option<&mut EarlyDialog> {
        let attempts = self.turns.iter_mut().filter_map(Turn::attempt_mut);
        let mut dialogs = attempts.flat_map(|attempt| &mut attempt.early);
        dialogs.find(|early| early.dialog.is_of(asked.call_id, asked.from.tag()))
    }
}

impl State {
    /// The INVITE of a turn, if it is out.
    pub(crate) fn attempt(&self, turn: TurnId) -> Option<&Attempt> {
        match self {
            Self::Hunting(hunting) => hunting.turn(turn)?.attempt(),
            Self::Asking(_) | Self::Talking(_) | Self::Abroad(_) | Self::Ending(_) | Self::Gone => {
                None
            }
        }
    }

    pub(crate) fn attempt_mut(&mut self, turn: TurnId) -> Option<&mut Attempt> {
        match self {
            Self::Hunting(hunting) => hunting.turn_mut(turn)?.attempt_mut(),
            Self::Asking(_) | Self::Talking(_) | Self::Abroad(_) | Self::Ending(_) | Self::Gone => {
                None
            }
        }
    }

    /// The turns that there are.
    pub(crate) fn turns(&self) -> &[Turn] {
        match self {
            Self::Hunting(hunting) => &hunting.turns,
            Self::Asking(_) | Self::Talking(_) | Self::Abroad(_) | Self::Ending(_) | Self::Gone => {
                &[]
            }
        }
    }
}

impl Call {
    /// The turn whose INVITE this transaction is of.
    pub(crate) fn turn_of(&self, client: ClientId) -> Option<TurnId> {
        let is_its = |turn: &&Turn| turn.attempt().is_some_and(|one| one.client == client);
        self.state.turns().iter().find(is_its).map(|turn| turn.id)
    }

    /// Whether our tag in an INVITE to a buyer is this.
    pub(crate) fn tries_with(&self, mark: Mark) -> bool {
        match &self.state {
            State::Hunting(hunting) => hunting.attempts().any(|one| one.mark == mark),
            State::Asking(_)
            | State::Talking(_)
            | State::Abroad(_)
            | State::Ending(_)
            | State::Gone => false,
        }
    }

    /// All turns, for whoever does something to each.
    pub(crate) fn turn_ids(&self) -> SmallVec<[TurnId; 1]> {
        self.state.turns().iter().map(|turn| turn.id).collect()
    }
}
