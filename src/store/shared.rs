//! What the lanes, the keeper and those who ask have in common.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};

use crate::store::code::from_slice;
use crate::store::entry::DeliveryId;
use crate::store::follower::Damage;
use crate::store::outbox::Outbox;
use crate::store::tables;
use crate::store::tables::{DeliveryRow, LANES, OUTBOX};
use crate::store::track::Track;

pub(super) struct Shared {
    /// The file of the tables.
    path: PathBuf,
    pub(super) tracks: Vec<Arc<Track>>,
    /// `None`: closed after an error.
    database: RwLock<Option<Database>>,
    outbox: Mutex<Outbox>,
    /// No call is to be let in.
    pub(super) is_shut: Arc<AtomicBool>,
    /// The file of records was moved away.
    pub(super) is_moved: AtomicBool,
    /// Records written since the start.
    pub(super) records: AtomicU64,
    damage: Mutex<Damage>,
}

impl Shared {
    pub(super) fn new(
        path: PathBuf,
        database: Database,
        tracks: Vec<Arc<Track>>,
        outbox: Outbox,
    ) -> Self {
        Self {
            path,
            tracks,
            database: RwLock::new(Some(database)),
            outbox: Mutex::new(outbox),
            is_shut: Arc::default(),
            is_moved: AtomicBool::new(false),
            records: AtomicU64::new(0),
            damage: Mutex::default(),
        }
    }

    pub(super) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn damage(&self) -> Damage {
        *self.damage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_damage(&self, damage: Damage) {
        *self.damage.lock().unwrap_or_else(PoisonError::into_inner) = damage;
    }

    /// Bytes of the journal that are not in the tables.
    pub(super) fn backlog(&self) -> u64 {
        let behind = |track: &Arc<Track>| track.published().saturating_sub(track.applied());
        self.tracks.iter().map(behind).sum()
    }

    /// Brings the journal to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.tracks.iter().try_for_each(|track| track.sync())
    }

    /// Begins to write; `None`: the tables are closed.
    pub(super) fn begin(&self) -> Result<Option<WriteTransaction>, redb::Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map(tables::begin).transpose()
    }

    /// Begins to read; `None`: the tables are closed.
    pub(super) fn read(&self) -> Result<Option<ReadTransaction>, redb::Error> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        Ok(database.as_ref().map(Database::begin_read).transpose()?)
    }

    /// Closes the tables, after an error.
    pub(super) fn close(&self) {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *database = None;
    }

    /// Opens the tables if they are closed, and takes from them what was known besides: nobody knows whether the commit that
    /// failed is in them. `true`: they were closed.
    pub(super) fn reopen(&self) -> Result<bool, redb::Error> {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if database.is_some() {
            return Ok(false);
        }
        let opened = tables::open(&self.path)?;
        let mut outbox = self.outbox();
        let state = State::read(&opened, outbox.emptied())?;
        for track in &self.tracks {
            track.set_applied(state.position(track.lane));
        }
        *outbox = state.outbox;
        *database = Some(opened);
        Ok(true)
    }
}

/// What is in the tables and in memory, too.
pub(super) struct State {
    /// By lane.
    positions: BTreeMap<u16, u64>,
    pub(super) outbox: Outbox,
}

impl State {
    /// Reads it; `outbox` is empty.
    pub(super) fn read(database: &Database, mut outbox: Outbox) -> Result<Self, redb::Error> {
        let transaction = database.begin_read()?;
        let mut positions = BTreeMap::new();
        for row in transaction.open_table(LANES)?.iter()? {
            let (lane, position) = row?;
            positions.insert(lane.value(), position.value());
        }
        for row in transaction.open_table(OUTBOX)?.iter()? {
            let (id, row) = row?;
            if let Some(row) = from_slice::<DeliveryRow<'_>>(row.value()) {
                let (id, phase) = (DeliveryId(id.value()), row.delivery.phase);
                outbox.add(id, row.call, phase, row.due);
            }
        }
        outbox.close();
        Ok(Self { positions, outbox })
    }

    /// The position up to which a lane is applied.
    pub(super) fn position(&self, lane: u16) -> u64 {
        self.positions.get(&lane).copied().unwrap_or_default()
    }
}
