//! The waiting room: a call that nobody can take now waits for somebody who can, if its campaign wants that.
//!
//! ```text
//!   nobody is left, no exit ──> waits ── every 5 s, decided anew ──> hunting ── nobody is left ──┐
//!            │                    ^                                                              │
//!            v no room, or        └───────────────────── until the time is over <────────────────┘
//!      refused: time is over
//! ```
//!
//! Each decision is made from the beginning, by the campaign that the call had come to; whoever had a turn has none again. The record
//! keeps the first decisions, those that came to somebody's turn, and the last: a call that waits for long is told as shortly as one
//! that does not. What does not wait pays a pointer.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call::a_leg::Early;
use crate::call::call::{Call, Hunting, State};
use crate::call::core::Core;
use crate::call::face::Face;
use crate::call::hunt::Hunt;
use crate::call::output::Event;
use crate::call::record::{Outcome, Record, Side};
use crate::call::route::Brief;
use crate::routing::campaign::{Cause, Exit, Signal};

/// How often a call that waits is decided anew.
const LOOK: Duration = Duration::from_secs(5);

/// How often its caller is told again that it waits, in looks: proxies give up on an INVITE that is silent for three minutes
/// (RFC 3261 §16.6).
const LOOKS_PER_SIGN: u32 = 12;

/// Calls that wait in one shard at most.
const MOST_WAITING: u32 = 1000;

/// That a call has waited.
#[derive(Debug)]
pub struct Waited {
    /// When it was there first.
    since: Instant,
    /// When it is refused.
    until: Instant,
    /// How often it was decided anew.
    pub rounds: u32,
    /// How long it waited, the hunts in between included.
    pub time: Duration,
    /// The campaign in whose room it is; `None`: it is not in there.
    inside: Option<Arc<str>>,
    /// Where the record was when it was last decided anew.
    mark: Mark,
    /// So many turns have begun in all its hunts, and so often several were called at once.
    turns: (u32, u8),
}

/// How much stands in a record.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    attempts: usize,
    skipped: usize,
    decisions: usize,
    turns: usize,
}

/// What becomes of a call that would wait.
enum Entry {
    /// It waits until then, and its caller is told so by this status, if at all.
    Waits(Instant, Option<u16>),
    /// There is no room for it.
    Refused,
    /// It has waited, and the edge is going down.
    Closed,
}

/// Who waits, by the id of the campaign.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    campaigns: HashMap<Arc<str>, u32>,
    all: u32,
    /// Nobody is let in any more.
    pub(crate) is_closed: bool,
}

impl Rooms {
    fn has_place(&self, campaign: &str, most: u32) -> bool {
        let waiting = self.campaigns.get(campaign).copied().unwrap_or_default();
        !self.is_closed && waiting < most && self.all < MOST_WAITING
    }

    fn enter(&mut self, campaign: &Arc<str>) {
        *self.campaigns.entry(Arc::clone(campaign)).or_default() += 1;
        self.all += 1;
    }

    fn leave(&mut self, campaign: &str) {
        self.all = self.all.saturating_sub(1);
        if let Some(waiting) = self.campaigns.get_mut(campaign) {
            *waiting = waiting.saturating_sub(1);
            if *waiting == 0 {
                self.campaigns.remove(campaign);
            }
        }
    }
}

impl Early {
    /// Whether its caller can be kept for whoever comes: it is a caller of ours, and has had no offer of a buyer's.
    fn may_wait(&self) -> bool {
        self.abroad.is_none() && self.server.is_some() && !self.is_bound()
    }
}

impl Call {
    /// The hunt has come to nobody: the call waits, or is refused.
    pub(crate) fn end_hunt(&mut self, now: Instant, core: &mut Core, hunting: Hunting) {
        let outcome = self.sum_up();
        let Hunting {
            early,
            hunt,
            ring_at,
            ..
        } = hunting;
        if self.is_kept(&hunt) {
            self.refuse_at_once(now, core, &early, outcome);
            return;
        }
        let brief = Brief {
            max_forwards: hunt.max_forwards,
            hops: hunt.hops,
            sender: hunt.sender,
            kept: None,
        };
        let turns = Some((hunt.turns, hunt.races));
        self.wait_or_refuse(
            now,
            core,
            (early, ring_at),
            (Box::new(brief), turns),
            outcome,
        );
    }

    /// Nobody can take the call now: it waits, or is refused. `turns`: how many turns and races there have been; `None`: no more
    /// than before.
    pub(crate) fn wait_or_refuse(
        &mut self,
        now: Instant,
        core: &mut Core,
        (mut early, mut ring_at): (Early, Option<Instant>),
        (brief, turns): (Box<Brief>, Option<(u32, u8)>),
        outcome: Outcome,
    ) {
        let entry = match early.may_wait() {
            true => self.enter_room(now, core, turns),
            false => Entry::Refused,
        };
        let (until, signal) = match entry {
            Entry::Waits(until, signal) => (until, signal),
            Entry::Refused => {
                self.refuse_at_once(now, core, &early, outcome);
                return;
            }
            Entry::Closed => {
                // As a new call: another edge may have somebody for it.
                early.refuse(now, core, &self.caller_mark.text(), 503, outcome.label());
                self.settle(now, core, outcome, 503, Side::Edge);
                self.state = State::Gone;
                return;
            }
        };
        if let Some(status) = signal {
            let tag = self.caller_mark.text();
            let face = Face::towards(Side::Caller, &self.policy, &self.trunk);
            if early.ring(now, core, face, &tag, status, None) && status == 180 {
                ring_at = None;
                self.note_ringing(now);
            }
        }
        self.wait((early, ring_at), until, brief);
    }

    /// Whether the campaign that the call is with keeps it from its buyers: there is nobody to wait for.
    fn is_kept(&self, hunt: &Hunt) -> bool {
        let story = self.record.as_ref().and_then(|one| one.story.as_ref());
        let last = story.and_then(|story| story.decisions.last());
        hunt.is_kept && last.is_some_and(|last| last.trail.is_at_first())
    }

    /// Whether the call may come to other buyers should nobody of the hunt's take it: by an exit of its campaign, or because it
    /// waits.
    pub(crate) fn may_go_on(&self, now: Instant, early: &Early, hunt: &Hunt) -> bool {
        let story = self.record.as_ref().and_then(|one| one.story.as_ref());
        let Some(story) = story else {
            return false;
        };
        let trail = story.decisions.last().map(|last| &last.trail);
        match trail.and_then(|trail| trail.exit(Cause::NoAnswer)) {
            Some(Exit::Dial(_) | Exit::Campaign(_)) => true,
            Some(Exit::Reject(_)) => false,
            None => {
                let waited = story.waited.as_ref();
                story.facts.campaign.waiting.is_some()
                    && early.may_wait()
                    && !self.is_kept(hunt)
                    && waited.is_none_or(|waited| now < waited.until)
            }
        }
    }

    /// The call enters the room of its campaign, if it may.
    fn enter_room(&mut self, now: Instant, core: &mut Core, turns: Option<(u32, u8)>) -> Entry {
        let most = self.policy.hunt.attempts;
        let Some(record) = self.record.as_mut() else {
            return Entry::Refused;
        };
        let has_attempts = record.attempts.len() < most;
        let mark = Mark::of(record);
        let Some(story) = record.story.as_mut() else {
            return Entry::Refused;
        };
        let campaign = Arc::clone(&story.facts.campaign);
        let Some(terms) = campaign.waiting else {
            return Entry::Refused;
        };
        let refused = story.refused.as_ref();
        let is_final = refused.is_some_and(|why| why.answer.is_some() || !why.cause.may_change());
        let waited = story.waited.as_ref();
        let is_over = waited.is_some_and(|waited| now >= waited.until);
        if is_final || is_over || !has_attempts {
            return Entry::Refused;
        }
        if !core.rooms.has_place(&campaign.id, terms.most) {
            return match (waited.is_some(), core.rooms.is_closed) {
                (true, true) => Entry::Closed,
                (true, false) | (false, true) => Entry::Refused,
                (false, false) => {
                    core.event(Event::TableFull {
                        table: "waiting_room",
                    });
                    Entry::Refused
                }
            };
        }
        let waited = story.waited.get_or_insert_with(|| {
            Box::new(Waited {
                since: now,
                until: now + terms.time,
                rounds: 0,
                time: Duration::ZERO,
                inside: None,
                mark,
                turns: (0, 0),
            })
        });
        waited.turns = turns.unwrap_or(waited.turns);
        waited.inside = Some(Arc::clone(&campaign.id));
        core.rooms.enter(&campaign.id);
        let is_due = waited.rounds.is_multiple_of(LOOKS_PER_SIGN);
        let status = match terms.signal {
            Signal::Queued => Some(182),
            Signal::Ringing => Some(180),
            Signal::None => None,
        };
        let until = waited.until.min(now + LOOK);
        Entry::Waits(until, status.filter(|_| is_due))
    }

    /// The call that waited is decided anew.
    pub(crate) fn begin_round(&mut self, now: Instant, core: &mut Core) {
        let Some(record) = &mut self.record else {
            return;
        };
        leave(now, core, record);
        let mark = Mark::of(record);
        let Some(story) = &mut record.story else {
            return;
        };
        let Some(waited) = &mut story.waited else {
            return;
        };
        let turns = story.course.turns.get(waited.mark.turns..);
        let mut turns = turns.unwrap_or_default().iter();
        let is_idle =
            mark.attempts == waited.mark.attempts && !turns.any(|turn| turn.told.is_some());
        if waited.rounds > 0 && is_idle {
            // The last round has come to nothing: this one takes its place.
            let Mark {
                skipped,
                decisions,
                turns,
                ..
            } = waited.mark;
            story.decisions.truncate(decisions);
            story.course.decisions.truncate(decisions);
            story.course.turns.truncate(turns);
            record.skipped.truncate(skipped);
        } else {
            waited.mark = mark;
        }
        waited.rounds += 1;
    }

    /// Counts turns on where the last hunt of a call that waited has ended.
    pub(crate) fn count_on(&self, hunt: &mut Hunt) {
        let story = self
            .record
            .as_ref()
            .and_then(|record| record.story.as_ref());
        if let Some(waited) = story.and_then(|story| story.waited.as_ref()) {
            (hunt.turns, hunt.races) = waited.turns;
        }
    }
}

impl Mark {
    fn of(record: &Record) -> Self {
        let story = record.story.as_ref();
        Self {
            attempts: record.attempts.len(),
            skipped: record.skipped.len(),
            decisions: story.map_or(0, |story| story.decisions.len()),
            turns: story.map_or(0, |story| story.course.turns.len()),
        }
    }
}

/// Whoever is in a room leaves it.
pub(crate) fn leave(now: Instant, core: &mut Core, record: &mut Record) {
    let story = record.story.as_mut();
    let Some(waited) = story.and_then(|story| story.waited.as_mut()) else {
        return;
    };
    if let Some(campaign) = mem::take(&mut waited.inside) {
        waited.time = now.saturating_duration_since(waited.since);
        core.rooms.leave(&campaign);
    }
}
