//! Several buyers who are called at once: whoever answers first has the call, and the others are taken back.
//!
//! ```text
//!   first     ── 180 ─────────── 486                          its turn is over, the others ring on
//!   second    ── 180 ─────────────────── 200 ─> ACK           the first 2xx: the call is its
//!   third     ── 180 ─────────────────── CANCEL ── 487        Reason: SIP;cause=200 (RFC 3261 §16.7, RFC 3326)
//!   fourth    ────────────────────────── CANCEL, 200 ─> ACK, BYE     it crossed our CANCEL (§9.1)
//!   caller    ── 180 ─────────────────── 200
//! ```
//!
//! Each has a turn of its own (`turn`), and so its own place, Call-ID, challenge, time and gateways. The caller has one
//! dialog with us and hears ringing once; whose media it gets is decided by the answer (`aside`). If all fail, those who
//! are next have their turn.

use std::mem;
use std::time::Instant;

use crate::call::a_leg::write_reason;
use crate::call::call::{Call, Hunting, State};
use crate::call::core::Core;
use crate::call::next::Sign;
use crate::call::record::AttemptResult;
use crate::call::turn::TurnId;
use crate::sip::build::Writer;
use crate::sip::message::Response;

impl Call {
    /// Whether another buyer has answered before this one: it waits for something, but has the call.
    pub(crate) fn has_lost(&self, turn: TurnId) -> bool {
        let mut others = self.state.turns().iter().filter(|other| other.id != turn);
        others.any(|other| other.attempt().is_some_and(|one| one.is_held()))
    }

    /// A buyer has answered: all others are taken back.
    pub(crate) fn end_race(&mut self, now: Instant, core: &mut Core, winner: TurnId) {
        if self.state.turns().len() < 2 {
            return;
        }
        let mut lines = Writer::lines(&mut core.buffer);
        write_reason(&mut lines, 200, ELSEWHERE);
        let lines = lines.finish_lines().unwrap_or_default();
        for turn in self.turn_ids() {
            if turn == winner {
                continue;
            }
            self.note_health(now, core, turn, Sign::Unclear);
            self.abandon_attempt(now, core, turn, lines.as_deref());
            self.end_attempt(now, core, turn, None, AttemptResult::LostRace);
            self.leave_race(now, core, turn);
        }
    }

    /// A buyer answers that [has lost](Self::has_lost): it is acknowledged, and its dialog ended.
    pub(crate) fn lose(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        response: &Response<'_>,
    ) {
        self.keep_answer(turn, response);
        self.note_health(now, core, turn, Sign::Works);
        self.abandon_attempt(now, core, turn, None);
        let status = Some(response.status);
        self.end_attempt(now, core, turn, status, AttemptResult::LostRace);
        self.leave_race(now, core, turn);
    }

    fn leave_race(&mut self, now: Instant, core: &mut Core, turn: TurnId) {
        if let State::Hunting(mut hunting) = mem::replace(&mut self.state, State::Gone) {
            self.drop_turn(now, core, &mut hunting, turn);
            self.state = State::Hunting(hunting);
        }
    }

    /// A turn is over: what it held goes back.
    pub(crate) fn drop_turn(
        &mut self,
        now: Instant,
        core: &mut Core,
        hunting: &mut Hunting,
        turn: TurnId,
    ) {
        hunting.turns.retain(|one| one.id != turn);
        self.release_turn(core, turn);
        self.part(now, core, turn);
        let record = self.record.as_mut();
        if let Some(story) = record.and_then(|record| record.story.as_mut()) {
            // What its webhooks still say is of no use to a decision any more.
            story.windows.retain(|awaited| awaited.turn != Some(turn));
        }
        if let [last] = hunting.turns.as_slice() {
            self.adopt_last(now, core, last.id);
        }
    }
}

/// What the others are told (RFC 3326 §2).
const ELSEWHERE: &str = "Call completed elsewhere";
