//! What others may ask the store: each answer is from one moment, and no question waits for the keeper. An answer takes some
//! microseconds, and the disk if what is asked for has not been looked at lately.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};
use thiserror::Error;

use crate::store::audit;
use crate::store::audit::Audit;
use crate::store::code::from_slice;
use crate::store::entry::DeliveryId;
use crate::store::follower::Damage;
use crate::store::kept::{Caller, Earlier, KeptConversion, Note, OpenCall, Parcel, Window};
use crate::store::records;
use crate::store::shared::Shared;
use crate::store::tables::{
    DEAD, DeliveryRow, ENDED, EndedRow, FILES, FileRow, NOTES, NoteRow, OPEN, OUTBOX, OpenRow,
    PAST, PastRow, SPENT, STORED, StoredRow, WINDOWS, caller_prefix, pair_key, pair_prefix,
    parse_pair, parse_past, take_table_errors,
};
use crate::store::track::Track;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// A caller's earlier calls that are told at most.
const EARLIER: usize = 64;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum Unread {
    /// The tables are closed after an error, until the keeper can open them again.
    #[error("the store is closed after an error")]
    Closed,
    /// The tables cannot be read.
    #[error("the tables cannot be read: {0}")]
    Tables(Box<redb::Error>),
    /// A row is not what it should be.
    #[error("a row of `{0}` cannot be read")]
    Row(&'static str),
    /// A file of records cannot be read.
    #[error("call records cannot be read: {0}")]
    Records(io::Error),
}

take_table_errors!(Unread);

/// What the store is doing, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Entries written to the journal since the start.
    pub entries: u64,
    /// Entries lost since the start: the disk took nothing for too long.
    pub lost: u64,
    /// Bytes of the journal that are not in the tables.
    pub backlog: u64,
    /// Records written since the start.
    pub records: u64,
    /// Deliveries that wait, those under way included.
    pub waiting: usize,
    /// Deliveries under way.
    pub under_way: usize,
    /// What could not be read.
    pub damage: Damage,
    /// No call is let in.
    pub is_shut: bool,
}

/// A way to ask.
#[derive(Clone)]
pub struct Shelf {
    shared: Arc<Shared>,
}

impl Shelf {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// What is known of a caller of a company.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn caller(&self, company: &str, caller: &str, now: Moment) -> Result<Caller, Unread> {
        let transaction = self.read()?;
        let prefix = caller_prefix(company, caller);
        let mut known = Caller::default();
        let stored = transaction.open_table(STORED)?;
        if let Some(row) = stored.get(&*prefix)? {
            let row: StoredRow<'_> = from_slice(row.value()).ok_or(Unread::Row("stored"))?;
            let tags = row.tags.iter().filter(|tag| tag.until > now);
            known.tags = tags.map(|tag| (tag.key.into(), tag.value.into())).collect();
        }
        let past = transaction.open_table(PAST)?;
        let ended = transaction.open_table(ENDED)?;
        let mut end = prefix.clone();
        end.extend_from_slice(&[0xff; 25]);
        let calls = past.range::<&[u8]>(&*prefix..&*end)?.rev();
        for call in calls.take(EARLIER + 1) {
            let (key, row) = call?;
            let (at, uuid) = parse_past(key.value()).ok_or(Unread::Row("past"))?;
            if known.earlier.len() == EARLIER {
                known.left_out = Some(at);
                break;
            }
            let row: PastRow<'_> = from_slice(row.value()).ok_or(Unread::Row("past"))?;
            let fate = ended.get(uuid.as_bytes())?;
            let fate = fate
                .as_ref()
                .and_then(|row| from_slice::<EndedRow<'_>>(row.value()));
            known.earlier.push(Earlier {
                uuid,
                at,
                number: row.number.into(),
                campaign: row.campaign.into(),
                afid: row.afid.map(Into::into),
                buyer: row.buyer.map(Into::into),
                answered: row.answered,
                fired: row
                    .fired
                    .iter()
                    .map(|one| (one.hook.into(), one.at))
                    .collect(),
                conversion: fate.and_then(|row| row.conversion).map(Into::into),
            });
        }
        Ok(known)
    }

    /// All counts that matter still.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn windows(&self) -> Result<Vec<Window>, Unread> {
        let transaction = self.read()?;
        let mut windows = Vec::new();
        for row in transaction.open_table(WINDOWS)?.iter()? {
            let (key, row) = row?;
            let (party, window) = parse_pair(key.value()).ok_or(Unread::Row("windows"))?;
            let (count, until) = row.value();
            windows.push(Window {
                party: party.into(),
                window: window.into(),
                count,
                until: Moment::from_millis(until),
            });
        }
        Ok(windows)
    }

    /// The record of a call that has ended: its line; `None`: there is none, or its file is gone.
    ///
    /// # Errors
    ///
    /// When the tables or the file cannot be read.
    pub fn record(&self, uuid: CallUuid) -> Result<Option<String>, Unread> {
        let transaction = self.read()?;
        let Some(bytes) = transaction.open_table(ENDED)?.get(uuid.as_bytes())? else {
            return Ok(None);
        };
        let row: EndedRow<'_> = from_slice(bytes.value()).ok_or(Unread::Row("ended"))?;
        let Some(file) = transaction.open_table(FILES)?.get(row.file)? else {
            return Ok(None);
        };
        let file: FileRow<'_> = from_slice(file.value()).ok_or(Unread::Row("files"))?;
        let Some(file) = open_file(&file).map_err(Unread::Records)? else {
            return Ok(None);
        };
        let mut line = vec![0; row.length as usize];
        match file.read_exact_at(&mut line, row.offset) {
            Ok(()) => Ok(String::from_utf8(line).ok()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(Unread::Records(error)),
        }
    }

    /// How a call that has ended converted; `None`: it has not ended or is forgotten. `Some(None)`: nothing is decided.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn conversion(&self, uuid: CallUuid) -> Result<Option<Option<KeptConversion>>, Unread> {
        let transaction = self.read()?;
        let Some(row) = transaction.open_table(ENDED)?.get(uuid.as_bytes())? else {
            return Ok(None);
        };
        let row: EndedRow<'_> = from_slice(row.value()).ok_or(Unread::Row("ended"))?;
        Ok(Some(row.conversion.map(Into::into)))
    }

    /// Calls that were admitted and have no record yet, in the order of their ids.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn open_calls(&self) -> Result<Vec<OpenCall>, Unread> {
        let transaction = self.read()?;
        let mut calls = Vec::new();
        for row in transaction.open_table(OPEN)?.iter()? {
            let (_, row) = row?;
            let row: OpenRow<'_> = from_slice(row.value()).ok_or(Unread::Row("open"))?;
            calls.push(OpenCall::of(&row));
        }
        Ok(calls)
    }

    /// Whether something that counts once was used.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn is_spent(&self, realm: &str, token: &str) -> Result<bool, Unread> {
        let transaction = self.read()?;
        let spent = transaction.open_table(SPENT)?;
        Ok(spent.get(&*pair_key(realm, token))?.is_some())
    }

    /// All that is remembered in a realm, in the order of the keys: key, value, until when.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn notes(&self, realm: &str) -> Result<Vec<Note>, Unread> {
        let transaction = self.read()?;
        let start = pair_prefix(realm);
        let mut end = start.clone();
        // No text has such a byte.
        end.push(0xff);
        let table = transaction.open_table(NOTES)?;
        let mut notes = Vec::new();
        for row in table.range::<&[u8]>(&*start..&*end)? {
            let (key, row) = row?;
            let (_, key) = parse_pair(key.value()).ok_or(Unread::Row("notes"))?;
            let row: NoteRow<'_> = from_slice(row.value()).ok_or(Unread::Row("notes"))?;
            notes.push(Note {
                key: key.into(),
                value: row.value.into(),
                until: row.until,
            });
        }
        Ok(notes)
    }

    /// What of a realm was used and would be taken still otherwise, with until when, in the order of the names.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn spent(&self, realm: &str) -> Result<Vec<(Box<str>, Moment)>, Unread> {
        let transaction = self.read()?;
        let start = pair_prefix(realm);
        let mut end = start.clone();
        end.push(0xff);
        let table = transaction.open_table(SPENT)?;
        let mut spent = Vec::new();
        for row in table.range::<&[u8]>(&*start..&*end)? {
            let (key, until) = row?;
            let (_, token) = parse_pair(key.value()).ok_or(Unread::Row("spent"))?;
            spent.push((token.into(), Moment::from_millis(until.value())));
        }
        Ok(spent)
    }

    /// Takes deliveries that are due, so many at most. They are under way from now on, until the journal says how each went:
    /// [`Entry::Delivered`](crate::store::Entry::Delivered).
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn take_due(&self, now: Moment, most: usize) -> Result<Vec<Parcel>, Unread> {
        let taken: Vec<DeliveryId> = {
            let mut outbox = self.shared.outbox();
            std::iter::from_fn(|| outbox.take(now)).take(most).collect()
        };
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        let parcels = self.parcels(&taken);
        if parcels.is_err() {
            let mut outbox = self.shared.outbox();
            for id in taken {
                outbox.postpone(id, now);
            }
        }
        parcels
    }

    /// When the next delivery is due; `None`: none waits for its time.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        self.shared.outbox().next_due()
    }

    /// Deliveries that were given up, from `first` on, so many at most.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn dead(&self, first: DeliveryId, most: usize) -> Result<Vec<Parcel>, Unread> {
        let transaction = self.read()?;
        let mut parcels = Vec::new();
        for row in transaction.open_table(DEAD)?.range(first.0..)?.take(most) {
            let (id, row) = row?;
            let row: DeliveryRow<'_> = from_slice(row.value()).ok_or(Unread::Row("dead"))?;
            parcels.push(Parcel::of(DeliveryId(id.value()), &row));
        }
        Ok(parcels)
    }

    /// Whether this delivery was given up.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn is_dead(&self, id: DeliveryId) -> Result<bool, Unread> {
        Ok(self.read()?.open_table(DEAD)?.get(id.0)?.is_some())
    }

    /// How many deliveries were given up.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn dead_count(&self) -> Result<u64, Unread> {
        Ok(self.read()?.open_table(DEAD)?.len()?)
    }

    /// The position up to which a lane is in the tables; `None`: there is no such lane.
    #[must_use]
    pub fn applied(&self, lane: u16) -> Option<u64> {
        let mut tracks = self.shared.tracks.iter();
        let track = tracks.find(|track| track.lane == lane)?;
        Some(track.applied())
    }

    /// Brings the journal to the disk: what is written outlives a loss of power from then on. It may take some time, and is
    /// for a thread that has it.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn sync(&self) -> io::Result<()> {
        self.shared.sync()
    }

    /// Has the keeper open the file of records anew, for whoever has moved it away.
    pub fn reopen_records(&self) {
        self.shared.is_moved.store(true, Ordering::Relaxed);
    }

    /// What is going on.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let (waiting, under_way) = {
            let outbox = self.shared.outbox();
            (outbox.len(), outbox.under_way())
        };
        let tracks = &self.shared.tracks;
        let entries = tracks.iter().map(|track| &track.entries);
        let lost = tracks.iter().map(|track| &track.lost);
        Figures {
            entries: entries.map(|count| count.load(Ordering::Relaxed)).sum(),
            lost: lost.map(|count| count.load(Ordering::Relaxed)).sum(),
            backlog: self.shared.backlog(),
            records: self.shared.records.load(Ordering::Relaxed),
            waiting,
            under_way,
            damage: self.shared.damage(),
            is_shut: self.shared.is_shut.load(Ordering::Relaxed)
                || tracks.iter().any(|track| track.is_failing()),
        }
    }

    /// Compares what was counted with what is there.
    ///
    /// # Errors
    ///
    /// When the tables or the files of records cannot be read.
    pub fn audit(&self) -> Result<Audit, Unread> {
        audit::audit(&self.read()?)
    }

    fn parcels(&self, ids: &[DeliveryId]) -> Result<Vec<Parcel>, Unread> {
        let transaction = self.read()?;
        let outbox = transaction.open_table(OUTBOX)?;
        let mut parcels = Vec::with_capacity(ids.len());
        for id in ids {
            // One that is not there was settled meanwhile.
            if let Some(row) = outbox.get(id.0)? {
                let row: DeliveryRow<'_> = from_slice(row.value()).ok_or(Unread::Row("outbox"))?;
                parcels.push(Parcel::of(*id, &row));
            }
        }
        Ok(parcels)
    }

    pub(super) fn tracks(&self) -> &[Arc<Track>] {
        &self.shared.tracks
    }

    pub(super) fn read(&self) -> Result<ReadTransaction, Unread> {
        self.shared.read()?.ok_or(Unread::Closed)
    }
}

/// The file of records that `row` is about, wherever it is now in its folder; `None`: it is gone.
pub(super) fn open_file(row: &FileRow<'_>) -> io::Result<Option<File>> {
    let path = Path::new(row.path);
    match File::open(path) {
        Ok(file) => {
            let facts = file.metadata()?;
            if (facts.dev(), facts.ino()) == (row.device, row.inode) {
                return Ok(Some(file));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    match records::find(path, row) {
        Ok(Some(path)) => File::open(path).map(Some),
        Ok(None) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
