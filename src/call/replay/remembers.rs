//! What hooks may ask of other calls of the caller, when a call is decided again.

use std::sync::Arc;

use crate::call::memory::Memory;
use crate::hooks::past::Past;
use crate::types::moment::Moment;
use crate::types::number::Number;

/// What is remembered of the caller, this call included.
pub(super) struct Remembers<'w> {
    pub(super) memory: Option<&'w (Memory, bool)>,
    /// Whether it asks for others.
    pub(super) asks: bool,
    /// When webhooks of this call fired by which somebody was told.
    pub(super) fired: &'w [(Arc<str>, Moment)],
}

impl Past for Remembers<'_> {
    fn is_known(&self) -> bool {
        // What nobody asked for then is as with a caller who never called.
        !self.asks || self.memory.is_none_or(|(_, is_known)| *is_known)
    }

    fn last_fired(&self, webhook: &str, _: Number) -> Option<Moment> {
        let own = self.fired.iter().filter(|(id, _)| **id == *webhook);
        let own = own.map(|(_, at)| *at).max();
        let memory = self.memory.filter(|_| self.asks);
        own.max(memory.and_then(|(memory, _)| memory.last_fired(webhook)))
    }

    fn last_converted(&self, group: &str, buyer: &str, _: Number) -> Option<Moment> {
        let (memory, _) = self.memory.filter(|_| self.asks)?;
        memory.last_converted(group, buyer)
    }
}
