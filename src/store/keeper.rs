//! The keeper: takes what the lanes have written, and brings it into the tables.
//!
//! ```text
//!   turn:  lanes ──> books, lines      all entries up to what is published now
//!                    lines ──> file of records, synced
//!                    books, positions, length of that file ──> one commit, synced
//!                    outbox, segments that are done with
//! ```
//!
//! A turn that fails changes nothing: the next one begins where the last good one ended.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redb::{ReadableTable, WriteTransaction};
use thiserror::Error;

use crate::store::apply::{Books, Change};
use crate::store::code::{from_slice, to_vec};
use crate::store::entry::Entry;
use crate::store::follower::{Damage, Follower};
use crate::store::records::{Records, Rotation};
use crate::store::shared::Shared;
use crate::store::tables::{AGING, Aged, FILES, FileRow, LANES, take_table_errors};
use crate::types::moment::Moment;

/// Entries of one turn at most.
const ENTRIES: usize = 8192;

/// Bytes of records of one turn at most, but for the last one.
const LINES: usize = 4 << 20;

/// What is forgotten in one turn at most.
const FORGET: usize = 1024;

/// How often it is looked for what is to be forgotten.
const PAUSE: Duration = Duration::from_secs(1);

/// How the keeper works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The file that records are appended to; `None`: the one that was written last, or else `calls.jsonl` in the folder.
    pub records: Option<PathBuf>,
    /// When it is put aside.
    pub rotation: Rotation,
    /// How long a call that has ended is remembered: for repeats, for postbacks, for deliveries that were given up.
    pub keep: Duration,
    /// Bytes of a segment of the journal.
    pub segment: u64,
    /// Bytes of the journal that may wait for the keeper; beyond it no call is let in.
    pub backlog: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            records: None,
            rotation: Rotation::default(),
            keep: Duration::from_secs(30 * 86_400),
            segment: 8 << 20,
            backlog: 256 << 20,
        }
    }
}

/// Why the keeper cannot go on for now.
#[derive(Debug, Error)]
pub enum Stuck {
    /// The journal cannot be read.
    #[error("the journal cannot be read: {0}")]
    Journal(io::Error),
    /// The file of records cannot be written.
    #[error("call records cannot be written to {path}: {source}")]
    Records {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The tables cannot be read or written.
    #[error("the tables cannot be written: {0}")]
    Tables(Box<redb::Error>),
}

take_table_errors!(Stuck);

/// What one turn has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turn {
    /// Entries applied.
    pub entries: usize,
    /// Records written.
    pub records: u64,
    /// There is more.
    pub is_more: bool,
}

/// Brings the journal into the tables. There is one, on a thread of its own.
pub struct Keeper {
    shared: Arc<Shared>,
    folder: PathBuf,
    followers: Vec<Follower>,
    options: Options,
    /// `None`: not opened yet.
    records: Option<Records>,
    /// When it is looked for what is to be forgotten.
    next_look: Moment,
}

/// Whatever ends the keeper, nobody brings anything into the tables any more.
impl Drop for Keeper {
    fn drop(&mut self) {
        self.shared.is_shut.store(true, Ordering::Relaxed);
    }
}

/// What comes of the entries of a turn, besides what is in the tables.
struct Gathered {
    turn: Turn,
    lines: Vec<u8>,
    changes: Vec<Change>,
}

impl Keeper {
    pub(super) fn new(shared: Arc<Shared>, folder: &Path, options: Options) -> Self {
        let followers = shared.tracks.iter().cloned().map(Follower::new).collect();
        Self {
            shared,
            folder: folder.to_owned(),
            followers,
            options,
            records: None,
            next_look: Moment::default(),
        }
    }

    /// Applies what the lanes have published, or as much of it as fits a turn.
    ///
    /// # Errors
    ///
    /// When the disk refuses; nothing is changed then, no call is let in until it works again, and the next turn tries again.
    pub fn turn(&mut self, now: Moment) -> Result<Turn, Stuck> {
        let result = self.try_turn(now);
        match &result {
            Ok(_) => {
                let is_behind = self.shared.backlog() > self.options.backlog;
                self.shared.is_shut.store(is_behind, Ordering::Relaxed);
            }
            Err(error) => {
                self.shared.is_shut.store(true, Ordering::Relaxed);
                for follower in &mut self.followers {
                    follower.rewind();
                }
                // The tables' file wants to be opened anew after an error.
                if matches!(error, Stuck::Tables(_)) {
                    self.shared.close();
                }
            }
        }
        result
    }

    /// What could not be read so far.
    #[must_use]
    pub fn damage(&self) -> Damage {
        let mut sum = Damage::default();
        for follower in &self.followers {
            sum.torn += follower.damage.torn;
            sum.skipped += follower.damage.skipped;
            sum.unknown += follower.damage.unknown;
        }
        sum
    }

    fn try_turn(&mut self, now: Moment) -> Result<Turn, Stuck> {
        if self.shared.reopen()? {
            self.records = None;
            for follower in &mut self.followers {
                follower.rewind();
            }
        }
        let is_first = self.records.is_none();
        let is_moved = self.shared.is_moved.swap(false, Ordering::Relaxed);
        if is_first || is_moved {
            self.open_records(now).inspect_err(|_| {
                self.shared.is_moved.store(is_moved, Ordering::Relaxed);
            })?;
        }
        let is_time = now >= self.next_look || now.after(PAUSE) < self.next_look;
        let is_idle = self.followers.iter().all(|follower| {
            let track = &follower.track;
            track.published() <= follower.position() && follower.position() == track.applied()
        });
        if is_time {
            self.next_look = now.after(PAUSE);
        }
        if is_idle && !(is_time && self.is_any_old(now)?) {
            return Ok(Turn::default());
        }
        self.rotate_records(now)?;
        let turn = self.apply(now, is_time)?;
        self.shared.set_damage(self.damage());
        for follower in &self.followers {
            follower.track.drop_applied().map_err(Stuck::Journal)?;
        }
        Ok(turn)
    }

    fn apply(&mut self, now: Moment, is_time: bool) -> Result<Turn, Stuck> {
        let transaction = self.begin()?;
        let gathered = self.gather(&transaction, now, is_time)?;
        let Gathered {
            turn,
            lines,
            changes,
        } = gathered;
        let bytes = lines.len() as u64;
        if let Some(records) = &mut self.records {
            records.write(&lines).map_err(unwritten(&records.path))?;
            if bytes > 0 {
                save_file(&transaction, records, bytes, turn.records)?;
            }
        }
        save_positions(&transaction, &self.followers)?;
        transaction.commit()?;
        if let Some(records) = &mut self.records {
            records.confirm(bytes, turn.records);
        }
        for follower in &self.followers {
            follower.track.set_applied(follower.position());
        }
        self.post(&changes);
        let written = &self.shared.records;
        written.fetch_add(turn.records, Ordering::Relaxed);
        Ok(turn)
    }

    /// Applies entries to the tables, and gathers what is to be done besides.
    fn gather(
        &mut self,
        transaction: &WriteTransaction,
        now: Moment,
        is_time: bool,
    ) -> Result<Gathered, Stuck> {
        let file = self.records.as_ref();
        let file = file.map_or((0, 0), |records| (records.id, records.end()));
        let mut books = Books::open(transaction, now, self.options.keep, file)?;
        let mut turn = Turn::default();
        for follower in &mut self.followers {
            let until = follower.track.published();
            while turn.entries < ENTRIES && books.lines.len() < LINES {
                let Some(range) = follower.advance(until).map_err(Stuck::Journal)? else {
                    break;
                };
                match Entry::decode(follower.entry(range)) {
                    Ok(entry) => books.apply(&entry)?,
                    Err(_) => follower.damage.unknown += 1,
                }
                turn.entries += 1;
            }
            turn.is_more |= follower.position() < until;
        }
        if is_time {
            turn.is_more |= books.forget(now, FORGET)? == FORGET;
        }
        books.finish()?;
        turn.records = books.records;
        Ok(Gathered {
            turn,
            lines: books.lines,
            changes: books.changes,
        })
    }

    /// Whether there is something to forget.
    fn is_any_old(&self, now: Moment) -> Result<bool, Stuck> {
        let Some(transaction) = self.shared.read()? else {
            return Ok(false);
        };
        let aging = transaction.open_table(AGING)?;
        let first = aging.first()?;
        Ok(first.is_some_and(|(key, _)| Aged::is_due(key.value(), now)))
    }

    fn begin(&self) -> Result<WriteTransaction, Stuck> {
        // It was opened at the beginning of the turn.
        let transaction = self.shared.begin()?;
        transaction.ok_or_else(|| redb::Error::DatabaseClosed.into())
    }

    /// Tells the outbox what is in the tables now.
    fn post(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        let mut outbox = self.shared.outbox();
        for change in changes {
            match *change {
                Change::Added {
                    id,
                    call,
                    phase,
                    due,
                } => outbox.add(id, call, phase, due),
                Change::Postponed { id, due } => outbox.postpone(id, due),
                Change::Gone(id) => outbox.remove(id),
            }
        }
    }

    /// Opens the file of records, or opens it anew, and has the tables know it.
    fn open_records(&mut self, now: Moment) -> Result<(), Stuck> {
        let is_new = match &mut self.records {
            Some(records) => {
                let refused = unwritten(&records.path);
                records.reopen(now).map_err(refused)?
            }
            None => {
                let transaction = self.begin()?;
                let table = transaction.open_table(FILES)?;
                let last = table.last()?;
                let row = last.as_ref().and_then(|(id, row)| {
                    from_slice::<FileRow<'_>>(row.value()).map(|row| (id.value(), row))
                });
                let known = row.as_ref().map(|(id, row)| (*id, row));
                let path = match (&self.options.records, known) {
                    (Some(path), _) => path.clone(),
                    (None, Some((_, row))) => row.path.into(),
                    (None, None) => self.folder.join("calls.jsonl"),
                };
                let (records, is_new) =
                    Records::open(&path, known, now).map_err(unwritten(&path))?;
                self.records = Some(records);
                is_new
            }
        };
        if is_new {
            self.introduce(None).inspect_err(|_| self.records = None)?;
        }
        Ok(())
    }

    fn rotate_records(&mut self, now: Moment) -> Result<(), Stuck> {
        let Some(records) = &mut self.records else {
            return Ok(());
        };
        let before = records.id;
        let aside = records.rotate(self.options.rotation, now);
        match aside {
            Ok(None) => Ok(()),
            Ok(Some(aside)) => self
                .introduce(Some((before, aside)))
                .inspect_err(|_| self.records = None),
            Err(error) => {
                // It may have been moved, and no other one opened.
                let refused = unwritten(&records.path);
                self.records = None;
                Err(refused(error))
            }
        }
    }

    /// Has the tables know the file of records before anything is written to it, and where the one before is now.
    fn introduce(&self, aside: Option<(u32, String)>) -> Result<(), Stuck> {
        let Some(records) = &self.records else {
            return Ok(());
        };
        let transaction = self.begin()?;
        if let Some((id, path)) = aside {
            let mut files = transaction.open_table(FILES)?;
            let row = files.get(id)?.map(|row| row.value().to_vec());
            if let Some(row) = row.as_deref().and_then(from_slice::<FileRow<'_>>) {
                files.insert(id, &*to_vec(&FileRow { path: &path, ..row }))?;
            }
        }
        save_file(&transaction, records, 0, 0)?;
        transaction.commit()?;
        Ok(())
    }
}

fn unwritten(path: &Path) -> impl Fn(io::Error) -> Stuck + use<> {
    let path = path.to_owned();
    move |source| {
        let path = path.clone();
        Stuck::Records { path, source }
    }
}

fn save_positions(transaction: &WriteTransaction, followers: &[Follower]) -> Result<(), Stuck> {
    let mut lanes = transaction.open_table(LANES)?;
    for follower in followers {
        if follower.position() != follower.track.applied() {
            lanes.insert(follower.track.lane, follower.position())?;
        }
    }
    Ok(())
}

fn save_file(
    transaction: &WriteTransaction,
    records: &Records,
    bytes: u64,
    lines: u64,
) -> Result<(), Stuck> {
    let path = records.path.to_string_lossy();
    let row = to_vec(&records.row(&path, bytes, lines));
    transaction.open_table(FILES)?.insert(records.id, &*row)?;
    Ok(())
}
