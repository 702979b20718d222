//! What earlier calls have left behind, asked by those who must not do a thing twice.

use std::time::Duration;

use crate::types::moment::Moment;
use crate::types::number::Number;

/// What is remembered of a caller.
pub trait Past {
    /// Whether all is known that is asked for below. Else something may be missing from it.
    fn is_known(&self) -> bool {
        true
    }

    /// When the webhook last fired for a call of this caller's.
    fn last_fired(&self, webhook: &str, caller: Number) -> Option<Moment>;

    /// When a call of this caller's to this buyer last converted in this group.
    fn last_converted(&self, group: &str, buyer: &str, caller: Number) -> Option<Moment>;
}

/// Nothing is remembered of anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten;

impl Past for Forgotten {
    fn last_fired(&self, _: &str, _: Number) -> Option<Moment> {
        None
    }

    fn last_converted(&self, _: &str, _: &str, _: Number) -> Option<Moment> {
        None
    }
}

/// For how long a caller is one that was here before, where a condition or a template asks.
pub(super) const REPEAT_MEMORY: Duration = Duration::from_secs(30 * 24 * 3600);
