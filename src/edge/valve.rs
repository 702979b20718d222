//! What is let in when there is more to do than can be done.
//!
//! The signal is how long datagrams waited in the kernel before they were received: the least wait in a window of 100 ms, for
//! a queue that is ever empty is a burst and no overload (CoDel, RFC 8289 §3). Two windows above the target and the valve
//! closes to as many new calls as were handled in the last one, then goes by how the wait answers:
//!
//! ```text
//!            above target            above again
//!    Calm ────────────────> Strained ───────────> Shedding
//!     ^                        │                      │ cut / open, each window
//!     └──── calm for 500 ms ───┘ <── nothing to shed ─┘
//! ```
//!
//! Who goes first: what strangers send, what cannot be read, requests outside dialogs; then new calls, trunk by trunk, each
//! up to the same share, so that a trunk that floods takes nothing from one that does not. What belongs to a call is never
//! shed, nor are responses.
//!
//! A call that is shed gets 503 without anything being kept. To refuse it costs a small part of what to serve it costs; to say nothing
//! costs more, for carriers send an INVITE again four times in eight seconds.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::call::policy::Overload;
use crate::call::shed::is_shed_tag;
use crate::sip::glance::{Glance, Kind};
use crate::sip::message::Method;

/// The valve of one shard.
pub(super) struct Valve {
    rules: Overload,
    stage: Stage,
    window: Window,
    /// By trunk.
    shares: BTreeMap<Payer, Share>,
    /// Windows in a row that were well.
    calm: u32,
    /// What was shed of the new calls of late, from 0 to 1.
    shed: f64,
    /// Whether `stage` has changed since it was last asked.
    has_changed: bool,
    worst: Duration,
    dice: u64,
}

/// Who pays for a new call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Payer {
    /// A trunk.
    Trunk(u32),
    /// All others whom the configuration names.
    Other,
}

/// What becomes of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// It is read.
    Read,
    /// It is read, and refused with 503 if it would begin a call; with Retry-After, in seconds, if there is one.
    Refuse(Option<u32>),
    /// It is dropped, for the reason that the metric's label says.
    Drop(&'static str),
    /// It is dropped because nobody listens to its sender, for the reason that the metric's label says.
    Shut(&'static str),
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stage {
    Calm,
    Strained,
    Shedding {
        /// New calls per window.
        allowance: f64,
        /// The wait that it was fixed by.
        wait: Duration,
    },
}

struct Window {
    since: Instant,
    /// The least wait, by port.
    waits: SmallVec<[Option<Duration>; 4]>,
    admitted: u32,
    asked: u32,
    service: u32,
}

/// What one payer has of the allowance.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    /// New calls in this window, let in or not.
    asked: u32,
    /// New calls that may be let in.
    tokens: f64,
    /// INVITEs that were let in without credentials, and may come back with some.
    invited: u32,
}

impl Valve {
    /// `seed` is for the dice that Retry-After is thrown with.
    pub(super) fn new(rules: Overload, now: Instant, seed: u64) -> Self {
        Self {
            rules,
            stage: Stage::Calm,
            window: Window::new(now),
            shares: BTreeMap::new(),
            calm: 0,
            shed: 0.0,
            has_changed: false,
            worst: Duration::ZERO,
            dice: seed | 1,
        }
    }

    pub(super) fn set_rules(&mut self, rules: Overload) {
        self.rules = rules;
    }

    /// A batch was received on the `port`th socket; its first datagram waited for `wait`.
    pub(super) fn observe(&mut self, now: Instant, port: usize, wait: Option<Duration>) {
        if now.saturating_duration_since(self.window.since) >= WINDOW {
            self.close_window(now);
        }
        let Some(wait) = wait else {
            return;
        };
        let waits = &mut self.window.waits;
        if waits.len() <= port {
            waits.resize(port + 1, None);
        }
        if let Some(least) = waits.get_mut(port) {
            *least = Some(least.map_or(wait, |least| least.min(wait)));
        }
    }

    /// Whether everything is let in that has not waited too long.
    pub(super) fn is_open(&self, wait: Option<Duration>) -> bool {
        let is_fresh =
            self.rules.stale.is_zero() || wait.is_none_or(|wait| wait < self.rules.stale);
        self.stage == Stage::Calm && is_fresh
    }

    /// Judges a datagram that is at most `wait` old. `payer` is `None` for a stranger.
    pub(super) fn judge(
        &mut self,
        payer: Option<Payer>,
        glance: &Glance<'_>,
        wait: Option<Duration>,
    ) -> Passage {
        let method = match glance.kind {
            Kind::Response => return Passage::Read,
            Kind::Unreadable if self.stage == Stage::Calm => return Passage::Read,
            Kind::Unreadable => return Passage::Drop(STRAINED),
            Kind::Request(method) => method,
        };
        if method == Method::Ack && glance.to_tag.is_some_and(is_shed_tag) {
            // It is of a call that we refused without keeping anything.
            return Passage::Drop(SHED);
        }
        if glance.to_tag.is_some() {
            return Passage::Read;
        }
        match method {
            Method::Invite => {}
            // Of calls that we have, or answered at little cost.
            Method::Ack | Method::Cancel | Method::Bye | Method::Prack => return Passage::Read,
            Method::Options
            | Method::Register
            | Method::Update
            | Method::Info
            | Method::Message
            | Method::Refer
            | Method::Notify
            | Method::Subscribe
            | Method::Publish
            | Method::Other(_) => {
                return if self.stage == Stage::Calm {
                    Passage::Read
                } else {
                    self.judge_service(payer)
                };
            }
        }
        let is_stale =
            !self.rules.stale.is_zero() && wait.is_some_and(|wait| wait >= self.rules.stale);
        if is_stale {
            return Passage::Drop(STALE);
        }
        match (self.stage, payer) {
            (Stage::Calm, _) => Passage::Read,
            (_, None) => Passage::Drop(STRAINED),
            (Stage::Strained, Some(payer)) => {
                self.note_asked(payer);
                self.window.admitted += 1;
                Passage::Read
            }
            (Stage::Shedding { allowance, .. }, Some(payer)) => {
                self.judge_call(allowance, payer, glance.has_credentials)
            }
        }
    }

    /// The new stage, if there is one since it was last asked.
    pub(super) fn poll_change(&mut self) -> Option<Stage> {
        std::mem::take(&mut self.has_changed).then_some(self.stage)
    }

    /// The longest wait of any window since it was last asked.
    pub(super) fn take_worst(&mut self) -> Duration {
        std::mem::take(&mut self.worst)
    }

    /// OPTIONS and their like: a few, so that a carrier that asks whether we live is told so.
    fn judge_service(&mut self, payer: Option<Payer>) -> Passage {
        if payer.is_none() || self.window.service >= SERVICE {
            return Passage::Drop(STRAINED);
        }
        self.window.service += 1;
        Passage::Read
    }

    fn judge_call(&mut self, allowance: f64, payer: Payer, has_credentials: bool) -> Passage {
        if has_credentials
            && let Some(share) = self.shares.get_mut(&payer)
            && share.invited > 0
        {
            // Its first INVITE was let in.
            share.invited -= 1;
            return Passage::Read;
        }
        let is_new = !self.shares.contains_key(&payer);
        self.note_asked(payer);
        let count = self.shares.len() as f64;
        if let Some(share) = self.shares.get_mut(&payer) {
            if is_new {
                share.tokens = (allowance / count).max(1.0);
            }
            if share.tokens >= 1.0 {
                share.tokens -= 1.0;
                share.invited = share.invited.saturating_add(1);
                self.window.admitted += 1;
                return Passage::Read;
            }
        }
        Passage::Refuse((self.shed > 0.5).then(|| self.retry_after()))
    }

    fn note_asked(&mut self, payer: Payer) {
        self.window.asked += 1;
        self.shares.entry(payer).or_default().asked += 1;
    }

    fn close_window(&mut self, now: Instant) {
        let window = std::mem::replace(&mut self.window, Window::new(now));
        let wait = window.wait();
        self.worst = self.worst.max(wait);
        let target = self.rules.target;
        let is_late = !target.is_zero() && wait > target;
        self.calm = if is_late {
            0
        } else {
            self.calm.saturating_add(1)
        };
        if window.asked > 0 {
            let share = 1.0 - f64::from(window.admitted) / f64::from(window.asked);
            self.shed += (share - self.shed) * 0.2;
        }
        let next = match self.stage {
            Stage::Calm if is_late => Stage::Strained,
            Stage::Calm => Stage::Calm,
            Stage::Strained if is_late => {
                let allowance = f64::from(window.admitted.max(1)) * FIRST_CUT;
                Stage::Shedding { allowance, wait }
            }
            Stage::Strained if self.calm >= CALM => Stage::Calm,
            Stage::Strained => Stage::Strained,
            Stage::Shedding { allowance, .. }
                if self.calm >= CALM && f64::from(window.asked) <= allowance =>
            {
                Stage::Strained
            }
            Stage::Shedding {
                allowance,
                wait: before,
            } => Stage::Shedding {
                allowance: adjust(allowance, before, wait, target),
                wait,
            },
        };
        self.has_changed |= std::mem::discriminant(&next) != std::mem::discriminant(&self.stage);
        self.stage = next;
        match next {
            Stage::Calm => self.shares.clear(),
            Stage::Strained => self.shed = 0.0,
            Stage::Shedding { allowance, .. } => self.deal(allowance),
        }
    }

    /// Deals the allowance out: to each payer what it asked for last, up to a level that is the same for all.
    fn deal(&mut self, allowance: f64) {
        // Who has not asked for a window has gone.
        self.shares
            .retain(|_, share| share.asked > 0 || share.invited > 0);
        let mut asked: Vec<u32> = self.shares.values().map(|share| share.asked).collect();
        asked.sort_unstable();
        let (mut left, mut count) = (allowance, asked.len() as f64);
        let mut level = allowance;
        for asked in asked {
            level = left / count;
            if f64::from(asked) > level {
                break;
            }
            left -= f64::from(asked);
            count -= 1.0;
            level = level.max(left);
        }
        for share in self.shares.values_mut() {
            // A part that is left is kept, or a share below one would never be one.
            share.tokens = share.tokens.min(1.0) + level;
            share.invited = share.invited.min(share.asked);
            share.asked = 0;
        }
    }

    /// 1 to 5 seconds, so that not all come back at once.
    fn retry_after(&mut self) -> u32 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        1 + (self.dice >> 32) as u32 % 5
    }
}

impl Window {
    fn new(since: Instant) -> Self {
        Self {
            since,
            waits: SmallVec::new(),
            admitted: 0,
            asked: 0,
            service: 0,
        }
    }

    /// The worst port's least wait.
    fn wait(&self) -> Duration {
        self.waits
            .iter()
            .flatten()
            .max()
            .copied()
            .unwrap_or_default()
    }
}

/// The next window's allowance. The wait grows by what is let in beyond what can be done, so both how long it is and how
/// fast it grows say what to take back; at half the target it stays, so that the server is never idle.
fn adjust(allowance: f64, before: Duration, wait: Duration, target: Duration) -> f64 {
    let (before, wait) = (before.as_secs_f64(), wait.as_secs_f64());
    let growth = ((wait - before) / WINDOW.as_secs_f64()).clamp(-0.5, 0.5);
    let excess = wait - target.as_secs_f64() / 2.0;
    // A fifth of a call on top, or an allowance of one would stay there.
    let (settle, more) = if excess > 0.0 {
        (SETTLE, 0.0)
    } else {
        (OPEN, 0.2)
    };
    let excess = excess / settle.as_secs_f64();
    let factor = 1.0 - growth * GROWTH_WEIGHT - excess;
    (allowance * factor.clamp(0.85, 1.15) + more).max(1.0)
}

const WINDOW: Duration = Duration::from_millis(100);
/// How slowly the allowance goes down for a wait that is too long: by the part of this that it is too long, each window. What is
/// let in now brings its work for some windows to come, and shows in the wait only then; taken back faster, the wait swings
/// between nothing and half a second, and what is served with it.
const SETTLE: Duration = Duration::from_secs(4);
/// The same for a wait that is too short, when the server is idle at times: nothing is to be lost by letting more in.
const OPEN: Duration = Duration::from_millis(400);
/// How much of the wait's growth is taken back at once: calls that are let in bring more work later.
const GROWTH_WEIGHT: f64 = 0.8;
/// Windows in a row after which all is well.
const CALM: u32 = 5;
/// What of the calls handled in the last window are let in in the next.
const FIRST_CUT: f64 = 0.8;
/// Requests outside dialogs, besides INVITEs, per window.
const SERVICE: u32 = 10;

/// Labels of the metric.
const STALE: &str = "stale";
const STRAINED: &str = "strained";
const SHED: &str = "shed";

#[cfg(test)]
mod tests;
