//! What is kept, in memory, and the way to the journal.

use std::sync::Arc;

use crate::edge::accounts::Unkept;
use crate::edge::accounts::connections::Connections;
use crate::edge::accounts::lines::{self, Lines};
use crate::edge::accounts::phones::Phones;
use crate::edge::accounts::purchases::Purchases;
use crate::edge::notebook::Notebook;
use crate::store::Entry;

/// What is kept.
#[derive(Default)]
pub(super) struct Books {
    /// `None`: nothing outlives the process, so nothing is taken.
    pub(super) notebook: Option<Arc<Notebook>>,
    pub(super) phones: Phones,
    pub(super) connections: Connections,
    pub(super) lines: Lines,
    pub(super) purchases: Purchases,
}

impl Books {
    /// Whether an org may have one more number, those that are being bought counted.
    pub(super) fn has_room_for_line(&self, org: &str) -> bool {
        self.lines.of(org) + self.purchases.of(org) < lines::MOST
    }

    /// Writes entries down, a thousand or so at most. When it returns without an error, they outlive the process.
    pub(super) fn write(&self, entries: &[Entry<'_>]) -> Result<(), Unkept> {
        let notebook = self.notebook.as_ref().ok_or(Unkept::NoStore)?;
        let kept = notebook.keep(entries.iter().cloned());
        kept.map_err(|_| Unkept::Disk)
    }
}
