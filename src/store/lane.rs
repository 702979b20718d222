//! The writing end of a lane: one for each shard, and one for each other thread that has something to remember.
//!
//! ```text
//!   append  append  append ──> buffer ── commit: one write(2) ──> file ──> published: the keeper may read it
//! ```
//!
//! Nothing here waits for anybody. What `commit` has written survives the process; `keeper` brings it to the disk.

use std::fs::File;
use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use thiserror::Error;

use crate::store::entry::Entry;
use crate::store::frame;
use crate::store::track::Track;

/// Bytes of entries that wait at most while the disk takes none.
const WAITING: usize = 8 << 20;

/// What is kept of a buffer that has grown.
const ROOM: usize = 64 << 10;

/// Why an entry is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    /// It has more than a megabyte.
    #[error("the entry is too long")]
    TooLong,
    /// The disk has taken nothing for so long that there is no room left; the entry is counted as lost.
    #[error("the journal cannot be written, and no room is left")]
    NoRoom,
}

/// One writer's way into the journal.
pub struct Lane {
    track: Arc<Track>,
    /// The keeper cannot go on, or is too far behind.
    is_shut: Arc<AtomicBool>,
    file: Arc<File>,
    /// Where the segment starts.
    start: u64,
    /// Bytes a segment has before the next one begins.
    most: u64,
    /// Where the buffer starts.
    position: u64,
    buffer: Vec<u8>,
    /// Entries in the buffer.
    entries: u64,
    /// Bytes of the buffer that are in the file: a write may fail midway.
    written: usize,
}

impl Lane {
    /// Begins a segment at the position that `track` has come to.
    pub(super) fn begin(
        track: Arc<Track>,
        is_shut: Arc<AtomicBool>,
        most: u64,
    ) -> io::Result<Self> {
        let position = track.published();
        Ok(Self {
            file: track.begin_segment(position)?,
            track,
            is_shut,
            start: position,
            most,
            position,
            buffer: Vec::new(),
            entries: 0,
            written: 0,
        })
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> u16 {
        self.track.lane
    }

    /// Whether new calls may be let in: the disk takes what is written, and the keeper keeps up.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.track.is_failing() && !self.is_shut.load(Ordering::Relaxed)
    }

    /// Takes down `entry`. It counts for nothing until the [`commit`](Self::commit).
    ///
    /// # Errors
    ///
    /// When it is too long, or nothing could be written for a long time.
    pub fn append(&mut self, entry: &Entry<'_>) -> Result<(), Refused> {
        if self.buffer.len() > WAITING {
            self.track.lost.fetch_add(1, Ordering::Relaxed);
            return Err(Refused::NoRoom);
        }
        let position = self.end();
        if !frame::write(&mut self.buffer, position, |out| entry.encode(out)) {
            self.track.lost.fetch_add(1, Ordering::Relaxed);
            return Err(Refused::TooLong);
        }
        self.entries += 1;
        Ok(())
    }

    /// Writes all that was taken down: by one system call, if there is anything. When it returns without an error, the
    /// entries outlive the process.
    ///
    /// # Errors
    ///
    /// When the system refuses. The entries stay, and the next call tries again.
    pub fn commit(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if self.written == 0 && self.position.saturating_sub(self.start) >= self.most {
            self.rotate();
        }
        while let Some(rest) = self.buffer.get(self.written..)
            && !rest.is_empty()
        {
            match (&*self.file).write(rest) {
                Ok(0) => return Err(self.fail(io::ErrorKind::WriteZero.into())),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.fail(error)),
            }
        }
        self.position = self.end();
        self.track
            .entries
            .fetch_add(self.entries, Ordering::Relaxed);
        self.entries = 0;
        self.written = 0;
        self.buffer.clear();
        self.buffer.shrink_to(ROOM);
        self.track.publish(self.position);
        Ok(())
    }

    /// Where the last entry ends: it is in the tables when [`Shelf::applied`](crate::store::Shelf::applied) has come here.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.position + self.buffer.len() as u64
    }

    /// Has all that is written from now on go to another file, and says which it was.
    #[cfg(test)]
    pub(crate) fn swap_file(&mut self, file: Arc<File>) -> Arc<File> {
        std::mem::replace(&mut self.file, file)
    }

    fn fail(&self, error: io::Error) -> io::Error {
        self.track.fail();
        error
    }

    /// Begins the next segment; if that fails, this one grows longer.
    fn rotate(&mut self) {
        if let Ok(file) = self.track.begin_segment(self.position) {
            self.file = file;
            self.start = self.position;
        }
    }
}
