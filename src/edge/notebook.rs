//! What the HTTP side remembers: a lane of the journal that any request may write to, and what was written before this
//! process began.
//!
//! What a request has changed is with the kernel before its answer leaves, so whoever has the answer finds the change again
//! after `kill -9`. Within a process the rooms themselves know what holds: the tables lag behind by a turn of the keeper.

use std::sync::{Mutex, PoisonError};

use thiserror::Error;
use tracing::error;

use crate::store::{Entry, Lane, Note, Shelf, Unread};
use crate::types::moment::Moment;

/// The notebook; without a store it remembers nothing beyond the process.
pub(super) struct Notebook(Option<Kept>);

struct Kept {
    lane: Mutex<Lane>,
    shelf: Shelf,
}

/// What has happened cannot be written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it cannot be written down")]
pub(super) struct NotKept;

impl Notebook {
    pub(super) fn new(kept: Option<(Lane, Shelf)>) -> Self {
        Self(kept.map(|(lane, shelf)| Kept {
            lane: Mutex::new(lane),
            shelf,
        }))
    }

    /// Writes entries down, all of them: when it returns without an error, they outlive the process.
    ///
    /// # Errors
    ///
    /// When the disk does not take them. They may be written later all the same.
    pub(super) fn keep<'e>(
        &self,
        entries: impl IntoIterator<Item = Entry<'e>>,
    ) -> Result<(), NotKept> {
        let Some(kept) = &self.0 else {
            return Ok(());
        };
        let mut lane = kept.lane.lock().unwrap_or_else(PoisonError::into_inner);
        if !lane.is_open() {
            return Err(NotKept);
        }
        for entry in entries {
            lane.append(&entry).map_err(|refused| {
                error!(%refused, "something that has happened is not kept");
                NotKept
            })?;
        }
        lane.commit().map_err(|_| NotKept)
    }

    /// Where it can be asked what is kept; `None`: nothing is.
    pub(super) fn shelf(&self) -> Option<&Shelf> {
        self.0.as_ref().map(|kept| &kept.shelf)
    }

    /// What was remembered in a realm when this process began, and holds still.
    pub(super) fn notes(&self, now: Moment, realm: &str) -> Vec<Note> {
        let mut notes = self.read(|shelf| shelf.notes(realm));
        notes.retain(|note| note.until > now);
        notes
    }

    /// What of a realm was used up when this process began, and until when that matters.
    pub(super) fn spent(&self, now: Moment, realm: &str) -> Vec<(Box<str>, Moment)> {
        let mut spent = self.read(|shelf| shelf.spent(realm));
        spent.retain(|(_, until)| *until > now);
        spent
    }

    fn read<T>(&self, ask: impl FnOnce(&Shelf) -> Result<Vec<T>, Unread>) -> Vec<T> {
        let Some(kept) = &self.0 else {
            return Vec::new();
        };
        ask(&kept.shelf).unwrap_or_else(|error| {
            error!(%error, "what was remembered cannot be read");
            Vec::new()
        })
    }
}
