//! What a buyer asks of a call before it takes it.

use std::sync::Arc;
use std::time::Duration;

use crate::routing::callers::Lists;
use crate::routing::caps::{Caps, Quota};
use crate::routing::hours::Hours;
use crate::routing::zone::{Local, Zone};
use crate::types::condition::Conditions;
use crate::types::tag::REPEAT;

/// What must hold so that a buyer gets a call. A buyer without any of it takes every call.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Whether it gets no calls for now.
    pub is_paused: bool,
    /// When it is open; `None`: always.
    pub hours: Option<Schedule>,
    /// Which callers it takes.
    pub callers: Lists,
    /// What must be known of the call when it is decided.
    pub conditions: Conditions,
    /// What must be known besides just before the call is offered, after the webhook of the selected buyer.
    pub forward: Conditions,
    /// Callers that it does not want again; `None`: it wants all.
    pub once: Option<Once>,
    /// What its timers and conversion thresholds have on top, from the answer on.
    pub timer_offset: Duration,
    /// How many calls it takes in windows of the calendar.
    pub quota: Option<Arc<Quota>>,
    /// The groups whose limits it shares.
    pub groups: Vec<Arc<Group>>,
}

/// Opening hours, with the clock by which they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Schedule {
    /// The week.
    pub hours: Hours,
    /// Whose clock.
    pub zone: Zone,
}

/// A caller comes once in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    /// For how long it is not wanted again.
    pub within: Duration,
    /// After what.
    pub after: After,
}

/// What makes a caller one that was here before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum After {
    /// A call that was answered.
    #[default]
    Answer,
    /// A call that converted.
    Conversion,
}

/// Buyers that share limits.
#[derive(Debug)]
pub struct Group {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// How many calls its members take together.
    pub caps: Caps,
    /// How many in windows of the calendar.
    pub quota: Option<Arc<Quota>>,
}

impl Schedule {
    /// Whether it is open when its clock shows `local`; `Err`: that.
    pub(super) fn check(&self, local: Local) -> Result<(), Local> {
        if self.hours.is_open(local) {
            Ok(())
        } else {
            Err(local)
        }
    }
}

impl Rules {
    /// Whether a decision has nothing to look at: at most limits, for which a place is asked when the buyer's turn comes.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        !self.is_paused
            && self.hours.is_none()
            && self.callers.is_empty()
            && self.conditions.is_empty()
            && self.once.is_none()
    }

    /// For how long it wants earlier calls of a caller remembered; zero: it does not ask.
    #[must_use]
    pub fn memory(&self) -> Duration {
        let once = self.once.map(|once| once.within).unwrap_or_default();
        let mut keys = self.conditions.keys().chain(self.forward.keys());
        if keys.any(|key| key == REPEAT) {
            return once.max(REPEAT_MEMORY).max(self.callers.memory());
        }
        once.max(self.callers.memory())
    }
}

/// For how long a caller is one that was here before, where a condition asks.
const REPEAT_MEMORY: Duration = Duration::from_secs(30 * 24 * 3600);
