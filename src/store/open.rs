//! How a data directory is opened: alone, in a version that is known, and with everything applied that a crash has left.

use std::fs;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::store::follower::Damage;
use crate::store::frame::VERSION;
use crate::store::keeper::{Keeper, Options, Stuck};
use crate::store::kept::OpenCall;
use crate::store::lane::Lane;
use crate::store::outbox::Outbox;
use crate::store::shared::{Shared, State};
use crate::store::shelf::{Shelf, Unread};
use crate::store::tables;
use crate::store::track;
use crate::store::track::Track;
use crate::types::moment::Moment;

/// Why a data directory cannot be used.
#[derive(Debug, Error)]
pub enum Unusable {
    /// Another process has it.
    #[error("{folder} is in use by {holder}: each edge needs a data_dir of its own")]
    InUse {
        /// The data directory.
        folder: PathBuf,
        /// The other process, as it has written itself down.
        holder: String,
    },
    /// It was written by a newer version.
    #[error(
        "{folder} has format {found}, and this version knows {VERSION}: a newer version has written it"
    )]
    Format {
        /// The data directory.
        folder: PathBuf,
        /// Its version.
        found: String,
    },
    /// The system refuses.
    #[error("cannot use {path}: {source}")]
    System {
        /// What it is about.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The tables cannot be opened.
    #[error("cannot open the tables in {path}: {source}")]
    Tables {
        /// Their file.
        path: PathBuf,
        /// Why not.
        source: Box<redb::Error>,
    },
    /// What the last process has left cannot be brought into the tables.
    #[error(transparent)]
    Stuck(#[from] Stuck),
    /// What is there cannot be read.
    #[error(transparent)]
    Unread(#[from] Unread),
}

/// A data directory, opened.
pub struct Store {
    /// One for each lane that was asked for, in order.
    pub lanes: Vec<Lane>,
    /// For a thread of its own.
    pub keeper: Keeper,
    /// For everybody who has a question.
    pub shelf: Shelf,
    /// What the last process has left behind.
    pub left: Left,
    /// Keeps others out while it is held.
    pub lock: Lock,
}

/// What the last process has left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Left {
    /// Calls that it had let in and that have no record: each of them is to be ended.
    pub calls: Vec<OpenCall>,
    /// Entries that were not in the tables yet; now they are.
    pub entries: usize,
    /// What could not be read.
    pub damage: Damage,
}

/// Keeps other processes out of the data directory. It is let go when the process ends, however it does.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] File);

impl Store {
    /// Opens `folder`, or makes it, and applies what the journal holds. There will be `lanes` lanes.
    ///
    /// # Errors
    ///
    /// When another process has it, a newer version has written it, or the system refuses.
    pub fn open(
        folder: &Path,
        lanes: u16,
        options: Options,
        now: Moment,
    ) -> Result<Self, Unusable> {
        let journal = folder.join("journal");
        make(folder)?;
        let lock = lock(folder)?;
        check_format(folder)?;
        make(&journal)?;
        let path = folder.join("store.redb");
        let refused = |source| Unusable::Tables {
            path: path.clone(),
            source: Box::new(source),
        };
        let database = tables::open(&path).map_err(refused)?;
        let state = State::read(&database, Outbox::default()).map_err(refused)?;
        let tracks = tracks(&journal, lanes, &state)?;
        let shared = Arc::new(Shared::new(path.clone(), database, tracks, state.outbox));
        let at_journal = system(&journal);
        let most = options.segment;
        let open_lanes = shared.tracks.iter().take(lanes.into()).map(|track| {
            let is_shut = Arc::clone(&shared.is_shut);
            Lane::begin(Arc::clone(track), is_shut, most)
        });
        let open_lanes = open_lanes.collect::<io::Result<Vec<_>>>();
        let lanes = open_lanes.map_err(at_journal)?;
        let shelf = Shelf::new(Arc::clone(&shared));
        let mut keeper = Keeper::new(shared, folder, options);
        let mut left = Left::default();
        loop {
            let turn = keeper.turn(now)?;
            left.entries += turn.entries;
            if !turn.is_more {
                break;
            }
        }
        left.damage = keeper.damage();
        left.calls = shelf.open_calls()?;
        Ok(Self {
            lanes,
            keeper,
            shelf,
            left,
            lock,
        })
    }
}

/// The lanes that are asked for, and after them those that are there besides: a process with more shards has left them.
fn tracks(journal: &Path, lanes: u16, state: &State) -> Result<Vec<Arc<Track>>, Unusable> {
    let mut found = track::list(journal).map_err(system(journal))?;
    for segments in found.values() {
        let newer = segments
            .iter()
            .find(|segment| segment.version.is_some_and(|version| version != VERSION));
        if let Some(version) = newer.and_then(|segment| segment.version) {
            return Err(Unusable::Format {
                folder: journal.to_owned(),
                found: version.to_string(),
            });
        }
    }
    let others = found.keys().copied().filter(|lane| *lane >= lanes);
    let all: Vec<u16> = (0..lanes).chain(others).collect();
    let mut tracks = Vec::with_capacity(all.len());
    for lane in all {
        let applied = state.position(lane);
        let segments = found.remove(&lane).unwrap_or_default();
        let last = segments.last();
        let end = last.map_or(0, |last| last.start + last.length).max(applied);
        // An empty one would begin where the next one does.
        let starts = segments.iter().filter(|segment| segment.length > 0);
        let starts: Vec<u64> = starts.map(|segment| segment.start).collect();
        tracks.push(Arc::new(Track::new(journal, lane, &starts, applied, end)));
    }
    Ok(tracks)
}

fn make(folder: &Path) -> Result<(), Unusable> {
    let made = DirBuilder::new().recursive(true).mode(0o750).create(folder);
    made.map_err(system(folder))
}

fn lock(folder: &Path) -> Result<Lock, Unusable> {
    let path = folder.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(&path)
        .map_err(system(&path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // It is only for the message.
            let _ = file.take(64).read_to_string(&mut holder);
            let holder = holder.trim();
            return Err(Unusable::InUse {
                folder: folder.to_owned(),
                holder: if holder.is_empty() {
                    "another process".to_owned()
                } else {
                    holder.to_owned()
                },
            });
        }
        Err(TryLockError::Error(source)) => return Err(Unusable::System { path, source }),
    }
    let named = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "process {}", std::process::id()));
    named.map_err(system(&path))?;
    Ok(Lock(file))
}

/// Writes the version down if the folder is new, and else compares it.
fn check_format(folder: &Path) -> Result<(), Unusable> {
    let path = folder.join("format");
    let ours = format!("strowger {VERSION}\n");
    match fs::read_to_string(&path) {
        // Cut off when it was made: nothing else was written then.
        Ok(text) if text.is_empty() => {}
        Ok(text) if text == ours => return Ok(()),
        Ok(text) => {
            return Err(Unusable::Format {
                folder: folder.to_owned(),
                found: text.trim().trim_start_matches("strowger ").to_owned(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(Unusable::System { path, source }),
    }
    fs::write(&path, ours).map_err(system(&path))
}

fn system(path: &Path) -> impl Fn(io::Error) -> Unusable {
    let path = path.to_owned();
    move |source| Unusable::System {
        path: path.clone(),
        source,
    }
}
