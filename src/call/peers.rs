//! Where a peer is that gave a name in its Contact or Record-Route: looked up beside the call (RFC 3263).
//!
//! ```text
//!   the dialog's next hop is a name ── found a minute ago? ── yes ──> requests go there
//!                                       └─ no ──> looked up;   until then, and if it is not found:
//!                                                              the flow on which the peer was heard
//! ```
//!
//! Nothing waits for the answer. A peer could name what it likes, so there is an end to it: only the two dialogs of an
//! answered call are looked after, each so many times; so many names are asked for at once and in a second by one shard;
//! and a name is not asked for again within a minute, found or not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call::call::{Call, State};
use crate::call::core::{CallKey, Core};
use crate::call::output::Output;
use crate::call::record::Side;
use crate::sip::locate::{Located, Wanted};

/// The names of peers that one shard knows.
#[derive(Default)]
pub(crate) struct Peers {
    /// Those that are being looked up, with the calls that would like to know.
    asked: HashMap<Arc<Wanted>, Asked>,
    /// Those that were.
    known: HashMap<Arc<Wanted>, Known>,
    /// The second that has begun, and how many were asked for in it.
    second: Option<(Instant, u32)>,
}

struct Asked {
    until: Instant,
    calls: Vec<(CallKey, Side)>,
}

struct Known {
    until: Instant,
    located: Option<Arc<Located>>,
}

/// What is known of a name.
enum Answer {
    Found(Arc<Located>),
    Nowhere,
    /// It comes later, or not at all.
    Later {
        /// It must be asked for.
        is_new: bool,
    },
}

impl Peers {
    fn ask(&mut self, now: Instant, wanted: &Arc<Wanted>, whose: (CallKey, Side)) -> Answer {
        if let Some(known) = self.known.get(wanted).filter(|known| known.until > now) {
            return known.located.clone().map_or(Answer::Nowhere, Answer::Found);
        }
        let asked = self.asked.get_mut(wanted);
        if let Some(asked) = asked.filter(|asked| asked.until > now) {
            if asked.calls.len() < MOST_CALLS {
                asked.calls.push(whose);
            }
            return Answer::Later { is_new: false };
        }
        if self.asked.len() >= AT_ONCE {
            self.asked.retain(|_, asked| asked.until > now);
        }
        let is_refused = self.asked.len() >= AT_ONCE || !self.is_left(now);
        if is_refused {
            return Answer::Later { is_new: false };
        }
        let asked = Asked {
            until: now + PATIENCE,
            calls: vec![whose],
        };
        self.asked.insert(wanted.clone(), asked);
        Answer::Later { is_new: true }
    }

    fn is_left(&mut self, now: Instant) -> bool {
        let (began, count) = self.second.get_or_insert((now, 0));
        if now.saturating_duration_since(*began) >= Duration::from_secs(1) {
            (*began, *count) = (now, 0);
        }
        *count += 1;
        *count <= PER_SECOND
    }

    /// Takes in where a name is, and gives the calls that would like to know.
    pub(crate) fn resolved(
        &mut self,
        now: Instant,
        wanted: &Arc<Wanted>,
        located: Option<&Arc<Located>>,
    ) -> Vec<(CallKey, Side)> {
        let Some(asked) = self.asked.remove(wanted) else {
            return Vec::new();
        };
        if self.known.len() >= MOST_KNOWN {
            self.known.retain(|_, known| known.until > now);
        }
        if self.known.len() < MOST_KNOWN {
            let known = Known {
                until: now + GOOD,
                located: located.cloned(),
            };
            self.known.insert(wanted.clone(), known);
        }
        asked.calls
    }
}

impl Call {
    /// Has the peers looked up that gave names since they were last asked for.
    pub(crate) fn locate_peers(&mut self, now: Instant, core: &mut Core) {
        for side in [Side::Caller, Side::Buyer] {
            let State::Talking(talking) = &mut self.state else {
                return;
            };
            let Some(wanted) = talking.leg(side).dialog.name_to_locate() else {
                continue;
            };
            let wanted = Arc::new(wanted);
            match core.peers.ask(now, &wanted, (self.key, side)) {
                Answer::Found(located) => self.note_peer(core, side, &wanted, &located),
                Answer::Nowhere | Answer::Later { is_new: false } => {}
                Answer::Later { is_new: true } => core.output(Output::Resolve(wanted)),
            }
        }
    }

    /// A peer's name was found.
    pub(crate) fn note_peer(
        &mut self,
        core: &mut Core,
        side: Side,
        wanted: &Wanted,
        located: &Located,
    ) {
        let mut seed = [0; 8];
        core.entropy.fill(&mut seed);
        let targets = located.order(u64::from_le_bytes(seed));
        if let State::Talking(talking) = &mut self.state {
            let ways = targets
                .iter()
                .filter(|target| !self.policy.is_own(target.transport, target.address));
            talking.leg(side).dialog.note_located(wanted, ways);
        }
    }
}

/// Names that one shard asks for at once: buyers' names, of which 64 can be asked for, must not have to wait for them.
const AT_ONCE: usize = 4;
/// Names that one shard asks for in a second.
const PER_SECOND: u32 = 20;
/// How long an answer is awaited.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long an answer is good for, found or not.
const GOOD: Duration = Duration::from_secs(60);
/// Names that are known at once.
const MOST_KNOWN: usize = 1024;
/// Calls that hear of one answer; the others go on as they were.
const MOST_CALLS: usize = 1000;
