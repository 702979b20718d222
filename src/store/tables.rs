//! The tables: what they are called, what is in their rows, and the file they are in.
//!
//! ```text
//!   meta      name                      -> totals, and which record file is written
//!   lanes     lane                      -> position up to which the journal is applied
//!   open      call                      -> how it was admitted, how it was answered, its tags
//!   early     call                      -> nothing: it has ended, and its admission is still to come, by another lane
//!   ended     call                      -> when, where its record is, how it converted
//!   past      company caller time call  -> what later calls of the caller want to know
//!   windows   party window              -> how much was counted, until when it matters
//!   stored    company caller            -> tags for the next call
//!   spent     realm token               -> until when
//!   posts     call                      -> what postbacks have said of it
//!   awaited   call                      -> why it is open whether it converted, and its record
//!   agenda    time call                 -> nothing: that is to be settled then
//!   notes     realm key                 -> what is remembered, until when
//!   outbox    delivery                  -> request, attempts
//!   dead      delivery                  -> the same, given up
//!   files     number                    -> a file of records
//!   bindings, connections, lines              see `accounts`
//!   aging     time table key            -> nothing: what is to be forgotten then
//! ```

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;

use redb::{Database, DatabaseError, ReadTransaction, TableDefinition, WriteTransaction};

use crate::store::code::coded;
use crate::store::entry::{Conversion, Delivery, Fired, Past, Said, StoredTag, WaitingTag};
use crate::store::list::List;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// Bytes of pages that are kept in memory.
const CACHE: usize = 32 << 20;

type Uuid = &'static [u8; 16];
type Bytes = &'static [u8];

pub(super) const META: TableDefinition<'_, &str, Bytes> = TableDefinition::new("meta");
pub(super) const LANES: TableDefinition<'_, u16, u64> = TableDefinition::new("lanes");
pub(super) const OPEN: TableDefinition<'_, Uuid, Bytes> = TableDefinition::new("open");
pub(super) const EARLY: TableDefinition<'_, Uuid, ()> = TableDefinition::new("early");
pub(super) const ENDED: TableDefinition<'_, Uuid, Bytes> = TableDefinition::new("ended");
pub(super) const PAST: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("past");
pub(super) const WINDOWS: TableDefinition<'_, Bytes, (u64, i64)> = TableDefinition::new("windows");
pub(super) const STORED: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("stored");
pub(super) const SPENT: TableDefinition<'_, Bytes, i64> = TableDefinition::new("spent");
pub(super) const NOTES: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("notes");
pub(super) const POSTS: TableDefinition<'_, Uuid, Bytes> = TableDefinition::new("posts");
pub(super) const AWAITED: TableDefinition<'_, Uuid, Bytes> = TableDefinition::new("awaited");
pub(super) const AGENDA: TableDefinition<'_, Bytes, ()> = TableDefinition::new("agenda");
pub(super) const OUTBOX: TableDefinition<'_, u64, Bytes> = TableDefinition::new("outbox");
pub(super) const DEAD: TableDefinition<'_, u64, Bytes> = TableDefinition::new("dead");
pub(super) const FILES: TableDefinition<'_, u32, Bytes> = TableDefinition::new("files");
pub(super) const AGING: TableDefinition<'_, Bytes, ()> = TableDefinition::new("aging");

/// Key of [`Totals`] in `meta`.
pub(super) const TOTALS: &str = "totals";

/// All that was ever counted; the `ledger` compares it with what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    /// Calls admitted.
    pub(super) admitted: u64,
    /// Calls answered.
    pub(super) answered: u64,
    /// Calls with a record.
    pub(super) recorded: u64,
    /// Ends of calls that had ended before: nothing came of them.
    pub(super) repeated: u64,
    /// Deliveries that were to be made.
    pub(super) queued: u64,
    /// Deliveries that were made.
    pub(super) delivered: u64,
    /// Deliveries that were given up, and then forgotten.
    pub(super) forgotten: u64,
    /// What was counted in windows.
    pub(super) claimed: u64,
    /// What was counted in windows that are over or were reset.
    pub(super) expired: u64,
    /// Number of the next delivery.
    pub(super) next_delivery: u64,
}

coded!(Totals {
    admitted,
    answered,
    recorded,
    repeated,
    queued,
    delivered,
    forgotten,
    claimed,
    expired,
    next_delivery,
});

/// A row of `open`: entries as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OpenRow<'a> {
    pub(super) admitted: &'a [u8],
    pub(super) answered: Option<&'a [u8]>,
    pub(super) tagged: Option<&'a [u8]>,
}

coded!(OpenRow<'a> { admitted, answered, tagged });

/// A row of `ended`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndedRow<'a> {
    pub(super) at: Moment,
    pub(super) file: u32,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) conversion: Option<Conversion<'a>>,
}

coded!(EndedRow<'a> { at, file, offset, length, conversion });

/// A row of `past`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PastRow<'a> {
    pub(super) number: &'a str,
    pub(super) campaign: &'a str,
    pub(super) afid: Option<&'a str>,
    pub(super) buyer: Option<&'a str>,
    pub(super) answered: Option<Moment>,
    pub(super) fired: List<'a, Fired<'a>>,
}

coded!(PastRow<'a> { number, campaign, afid, buyer, answered, fired });

impl<'a> PastRow<'a> {
    /// What is kept of a call of which these webhooks do not fire again for a while.
    pub(super) fn of(past: &Past<'a>, fired: Vec<Fired<'a>>) -> Self {
        Self {
            number: past.number,
            campaign: past.campaign,
            afid: past.afid,
            buyer: past.buyer,
            answered: past.answered,
            fired: fired.into(),
        }
    }
}

/// A row of `stored`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredRow<'a> {
    pub(super) tags: List<'a, WaitingTag<'a>>,
}

coded!(StoredRow<'a> { tags });

/// A row of `notes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoteRow<'a> {
    pub(super) until: Moment,
    pub(super) value: &'a [u8],
}

coded!(NoteRow<'a> { until, value });

/// A row of `posts`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct PostsRow<'a> {
    /// How many have come.
    pub(super) count: u32,
    pub(super) tags: List<'a, StoredTag<'a>>,
    pub(super) said: Said<'a>,
}

coded!(PostsRow<'a> { count, tags, said });

/// A row of `awaited`; see [`Awaited`](crate::store::entry::Awaited).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AwaitedRow<'a> {
    pub(super) ended: Moment,
    pub(super) until: Moment,
    pub(super) group: Option<&'a str>,
    pub(super) said: Said<'a>,
    pub(super) line: &'a str,
}

coded!(AwaitedRow<'a> { ended, until, group, said, line });

/// A row of `outbox` and of `dead`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeliveryRow<'a> {
    pub(super) call: CallUuid,
    /// When it was made.
    pub(super) made: Moment,
    /// When it is tried next; in `dead`, when it was given up.
    pub(super) due: Moment,
    /// Attempts so far.
    pub(super) tries: u8,
    /// Why the last one failed; empty: there was none.
    pub(super) why: &'a str,
    pub(super) delivery: Delivery<'a>,
}

coded!(DeliveryRow<'a> { call, made, due, tries, why, delivery });

/// A row of `files`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileRow<'a> {
    /// Where it was when it was written to.
    pub(super) path: &'a str,
    /// Which file it is, whatever it is called; 0 and 0: it is none that keeps what is written.
    pub(super) device: u64,
    pub(super) inode: u64,
    /// When we began to write to it.
    pub(super) began: Moment,
    /// Bytes that it had then.
    pub(super) start: u64,
    /// Bytes up to which it is ours.
    pub(super) length: u64,
    /// Records between the two.
    pub(super) lines: u64,
}

coded!(FileRow<'a> { path, device, inode, began, start, length, lines });

/// What an entry of `aging` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aged {
    Ended,
    Past,
    Window,
    Stored,
    Spent,
    Dead,
    Bound,
    Note,
    Posts,
}

impl Aged {
    const ALL: [Self; 9] = [
        Self::Ended,
        Self::Past,
        Self::Window,
        Self::Stored,
        Self::Spent,
        Self::Dead,
        Self::Bound,
        Self::Note,
        Self::Posts,
    ];

    /// The key of `aging` that says that `key` of this table is to be forgotten at `until`.
    pub(super) fn key(self, until: Moment, key: &[u8]) -> Vec<u8> {
        [
            time_key(until).as_slice(),
            &[Self::ALL
                .iter()
                .position(|aged| *aged == self)
                .unwrap_or_default() as u8],
            key,
        ]
        .concat()
    }

    /// Whether the time of a key of `aging` has come.
    pub(super) fn is_due(aging: &[u8], now: Moment) -> bool {
        aging.get(..8) < Some(time_key(now).as_slice())
    }

    /// The table and the key that a key of `aging` is about.
    pub(super) fn parse(aging: &[u8]) -> Option<(Self, &[u8])> {
        let (kind, key) = aging.get(8..)?.split_first()?;
        let aged = Self::ALL.get(usize::from(*kind))?;
        Some((*aged, key))
    }
}

/// A moment so that keys are in the order of time.
pub(super) fn time_key(at: Moment) -> [u8; 8] {
    at.millis().max(0).to_be_bytes()
}

/// A key of two texts: whatever they are, another two have another key.
pub(super) fn pair_key(first: &str, second: &str) -> Vec<u8> {
    let length = u16::try_from(first.len()).unwrap_or(u16::MAX);
    [
        length.to_be_bytes().as_slice(),
        first.as_bytes(),
        second.as_bytes(),
    ]
    .concat()
}

/// What all keys of pairs with this first text begin with.
pub(super) fn pair_prefix(first: &str) -> Vec<u8> {
    pair_key(first, "")
}

/// The two texts.
pub(super) fn parse_pair(key: &[u8]) -> Option<(&str, &str)> {
    let (length, rest) = key.split_first_chunk()?;
    let (first, second) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((str::from_utf8(first).ok()?, str::from_utf8(second).ok()?))
}

/// A key of several texts, each with its length before it: no others have the same, and those that begin with the same texts
/// stand together.
pub(super) fn join_key(texts: &[&str]) -> Vec<u8> {
    let mut key = Vec::new();
    for text in texts {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        key.extend_from_slice(&length.to_be_bytes());
        key.extend_from_slice(text.as_bytes());
    }
    key
}

/// The texts, if there are so many.
pub(super) fn split_key<const N: usize>(mut key: &[u8]) -> Option<[&str; N]> {
    let mut texts = [""; N];
    for text in &mut texts {
        let (length, rest) = key.split_first_chunk()?;
        let (first, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        *text = str::from_utf8(first).ok()?;
        key = rest;
    }
    key.is_empty().then_some(texts)
}

/// What all keys of a caller's calls begin with.
pub(super) fn caller_prefix(company: &str, caller: &str) -> Vec<u8> {
    let mut key = pair_key(company, caller);
    // No number of another caller begins like this one and its end.
    key.push(0);
    key
}

/// The key of one of a caller's calls.
pub(super) fn past_key(company: &str, caller: &str, at: Moment, call: CallUuid) -> Vec<u8> {
    let mut key = caller_prefix(company, caller);
    key.extend_from_slice(&time_key(at));
    key.extend_from_slice(call.as_bytes());
    key
}

/// Time and call of a key of `past`.
pub(super) fn parse_past(key: &[u8]) -> Option<(Moment, CallUuid)> {
    let (rest, call) = key.split_last_chunk::<16>()?;
    let (_, at) = rest.split_last_chunk::<8>()?;
    let at = Moment::from_millis(i64::from_be_bytes(*at));
    Some((at, CallUuid::from_bytes(*call)))
}

/// The key of `agenda` for a call.
pub(super) fn agenda_key(at: Moment, call: CallUuid) -> Vec<u8> {
    [time_key(at).as_slice(), call.as_bytes()].concat()
}

/// The call of a key of `agenda`.
pub(super) fn parse_agenda(key: &[u8]) -> Option<CallUuid> {
    let (_, call) = key.split_last_chunk::<16>()?;
    Some(CallUuid::from_bytes(*call))
}

/// Opens the file of the tables, and makes it and all tables if they are not there. It is made under another name, and gets its own
/// once it is whole: whoever dies meanwhile leaves nothing behind that cannot be opened.
pub(super) fn open(path: &Path) -> Result<Database, redb::Error> {
    if !path.exists() {
        let draft = path.with_extension("new");
        // What somebody who died has left is made anew.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        drop(fill(&draft)?);
        fs::rename(&draft, path)?;
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
    }
    fill(path)
}

/// Opens the file at `path`, and makes what is missing of it.
fn fill(path: &Path) -> Result<Database, redb::Error> {
    let database = create(path)?;
    let transaction = begin(&database)?;
    transaction.open_table(META)?;
    transaction.open_table(LANES)?;
    transaction.open_table(OPEN)?;
    transaction.open_table(EARLY)?;
    transaction.open_table(ENDED)?;
    transaction.open_table(PAST)?;
    transaction.open_table(WINDOWS)?;
    transaction.open_table(STORED)?;
    transaction.open_table(SPENT)?;
    transaction.open_table(NOTES)?;
    transaction.open_table(POSTS)?;
    transaction.open_table(AWAITED)?;
    transaction.open_table(AGENDA)?;
    transaction.open_table(OUTBOX)?;
    transaction.open_table(DEAD)?;
    transaction.open_table(FILES)?;
    transaction.open_table(AGING)?;
    transaction.commit()?;
    Ok(database)
}

fn create(path: &Path) -> Result<Database, DatabaseError> {
    Database::builder().set_cache_size(CACHE).create(path)
}

/// Begins a transaction whose commit is on the disk when it returns, and after which the file opens at once, however the
/// process ends.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// The totals as a reader sees them.
pub(super) fn totals(transaction: &ReadTransaction) -> Result<Totals, redb::Error> {
    let meta = transaction.open_table(META)?;
    let row = meta.get(TOTALS)?;
    Ok(row
        .and_then(|row| crate::store::code::from_slice(row.value()))
        .unwrap_or_default())
}

/// Has an error take in all that the tables may say.
macro_rules! take_table_errors {
    ($type:ident: $($error:ident),+) => {$(
        impl From<redb::$error> for $type {
            fn from(error: redb::$error) -> Self {
                Self::Tables(Box::new(error.into()))
            }
        }
    )+};
    ($type:ident) => {
        $crate::store::tables::take_table_errors!(
            $type: Error, DatabaseError, TransactionError, TableError, StorageError, CommitError
        );
    };
}

pub(super) use take_table_errors;
