//! Calls of which nothing could be kept: the journal cannot be written.
//!
//! ```text
//!   journal fails ── Shut ──> new INVITEs get 503 (`unkept`), calls under way go on
//!        └── Unkept ──> a call that was let in just then, and of which nobody has heard, gets 503
//! ```
//!
//! Who counts calls and is paid by them lets none in that it would forget; but nobody's talk is cut off for that.

use std::time::Instant;

use crate::call::Engine;
use crate::call::output::Refusal;
use crate::call::record::Outcome;
use crate::types::ids::CallUuid;

/// Why new calls are refused, if they are.
#[derive(Debug, Default)]
pub(super) struct Closed {
    /// The edge is going down.
    pub(super) is_draining: bool,
    /// Nothing could be kept of them.
    pub(super) is_shut: bool,
    /// Calls that a vendor carries were left to the next process.
    pub(super) has_left: bool,
}

impl Closed {
    /// The reason; `None`: they are taken.
    pub(super) fn why(&self) -> Option<Refusal> {
        match (self.is_draining, self.is_shut) {
            (true, _) => Some(Refusal::Draining),
            (false, true) => Some(Refusal::Unkept),
            (false, false) => None,
        }
    }
}

impl Engine {
    /// The edge is going down, or is not: new calls are refused, and none waits for a buyer any more.
    pub(super) fn set_draining(&mut self, is_on: bool) {
        self.closed.is_draining = is_on;
        self.core.rooms.is_closed = is_on;
    }

    /// A call that was let in could not be written down, and nobody has heard of it.
    pub(super) fn handle_unkept(&mut self, now: Instant, uuid: CallUuid) {
        // It may have ended at once.
        let Some(key) = self.registry.named(uuid) else {
            return;
        };
        if let Some(call) = self.registry.call(key) {
            call.stop(now, &mut self.core, Outcome::Unkept);
        }
        self.registry.attend(now, key);
    }
}
