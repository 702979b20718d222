//! What is kept of the accounts that others have with a vendor: where soft phones are, with which credentials the vendor is
//! asked, and which numbers it has.
//!
//! ```text
//!   a soft phone  Bound ── Bound ... ── Unbound, or its time is over
//!   an org        Connected ── Connected ...              credentials, sealed; the last one counts
//!   a number      Listed ── Listed ...                    the last one counts
//! ```
//!
//! Their tables are made when the first is written, so that a store without any has none.

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

use crate::store::code::{coded, from_slice, to_vec};
use crate::store::list::List;
use crate::store::shelf::{Shelf, Unread};
use crate::store::tables::{Aged, join_key, split_key};
use crate::types::moment::Moment;

/// See [`Entry::Bound`](crate::store::Entry::Bound).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound<'a> {
    /// Which phone.
    pub place: Spot<'a>,
    /// Until when it is there.
    pub until: Moment,
}

coded!(Bound<'a> { place, until });

/// A soft phone: of whom, and how it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot<'a> {
    /// The account at the vendor.
    pub account: &'a str,
    /// The name that it goes by.
    pub identity: &'a str,
    /// How it is reached.
    pub channel: &'a str,
    /// Where; as good as the phone, so it is shown to nobody.
    pub address: &'a str,
}

coded!(Spot<'a> { account, identity, channel, address });

/// See [`Entry::Connected`](crate::store::Entry::Connected).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connected<'a> {
    /// Whose.
    pub org: &'a str,
    /// When.
    pub at: Moment,
    /// The name of the key that they are sealed with.
    pub key: &'a str,
    /// The credentials, sealed.
    pub sealed: &'a [u8],
}

coded!(Connected<'a> { org, at, key, sealed });

/// See [`Entry::Listed`](crate::store::Entry::Listed).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Whose.
    pub org: &'a str,
    /// The vendor's name of it.
    pub sid: &'a str,
    /// The number.
    pub number: &'a str,
    /// What becomes of its calls.
    pub mode: &'a str,
    /// Whose phones it is for: the names that they go by.
    pub users: List<'a, &'a str>,
    /// When that was said.
    pub at: Moment,
    /// When it was compared with what the vendor has; `None`: never.
    pub checked: Option<Moment>,
    /// What came of that.
    pub drift: &'a str,
}

coded!(Listed<'a> { org, sid, number, mode, users, at, checked, drift });

type Bytes = &'static [u8];

/// Account, identity, channel, address -> until when.
const BINDINGS: TableDefinition<'_, Bytes, i64> = TableDefinition::new("bindings");
/// Org -> how it is connected.
const CONNECTIONS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("connections");
/// Org, the vendor's name -> the number.
const LINES: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("lines");

/// The tables while entries are applied to them.
pub(super) struct Cabinet<'t> {
    transaction: &'t WriteTransaction,
}

type Applied = Result<(), redb::Error>;

impl<'t> Cabinet<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Self {
        Self { transaction }
    }

    pub(super) fn bind(&self, bound: &Bound<'_>, aging: &mut Table<'t, Bytes, ()>) -> Applied {
        let key = key_of(bound.place);
        let mut bindings = self.transaction.open_table(BINDINGS)?;
        let before = bindings.insert(&*key, bound.until.millis())?;
        let before = before.map(|row| Moment::from_millis(row.value()));
        // One that is told anew each day is to be looked at once, not once for each day.
        if let Some(before) = before {
            aging.remove(&*Aged::Bound.key(before, &key))?;
        }
        aging.insert(&*Aged::Bound.key(bound.until, &key), ())?;
        Ok(())
    }

    pub(super) fn unbind(&self, place: Spot<'_>, aging: &mut Table<'t, Bytes, ()>) -> Applied {
        let key = key_of(place);
        let mut bindings = self.transaction.open_table(BINDINGS)?;
        let before = bindings.remove(&*key)?;
        let before = before.map(|row| Moment::from_millis(row.value()));
        if let Some(before) = before {
            aging.remove(&*Aged::Bound.key(before, &key))?;
        }
        Ok(())
    }

    /// Forgets a binding whose time is over.
    pub(super) fn forget(&self, key: &[u8], now: Moment) -> Applied {
        let mut bindings = self.transaction.open_table(BINDINGS)?;
        let until = bindings.get(key)?.map(|row| row.value());
        if until.is_some_and(|until| until <= now.millis()) {
            bindings.remove(key)?;
        }
        Ok(())
    }

    pub(super) fn connect(&self, connected: &Connected<'_>) -> Applied {
        let mut connections = self.transaction.open_table(CONNECTIONS)?;
        let key = join_key(&[connected.org]);
        connections.insert(&*key, &*to_vec(connected))?;
        Ok(())
    }

    pub(super) fn list(&self, listed: &Listed<'_>) -> Applied {
        let mut lines = self.transaction.open_table(LINES)?;
        let key = join_key(&[listed.org, listed.sid]);
        lines.insert(&*key, &*to_vec(listed))?;
        Ok(())
    }
}

fn key_of(place: Spot<'_>) -> Vec<u8> {
    join_key(&[place.account, place.identity, place.channel, place.address])
}

/// A soft phone that is bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBinding {
    /// The account at the vendor.
    pub account: Box<str>,
    /// The name that it goes by.
    pub identity: Box<str>,
    /// How it is reached.
    pub channel: Box<str>,
    /// Where.
    pub address: Box<str>,
    /// Until when it is there.
    pub until: Moment,
}

/// How an org is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptConnection {
    /// Whose.
    pub org: Box<str>,
    /// When.
    pub at: Moment,
    /// The name of the key that the credentials are sealed with.
    pub key: Box<str>,
    /// The credentials, sealed.
    pub sealed: Box<[u8]>,
}

/// A number of an org.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLine {
    /// Whose.
    pub org: Box<str>,
    /// The vendor's name of it.
    pub sid: Box<str>,
    /// The number.
    pub number: Box<str>,
    /// What becomes of its calls.
    pub mode: Box<str>,
    /// Whose phones it is for: the names that they go by.
    pub users: Vec<Box<str>>,
    /// When that was said.
    pub at: Moment,
    /// When it was compared with what the vendor has; `None`: never.
    pub checked: Option<Moment>,
    /// What came of that.
    pub drift: Box<str>,
}

/// What is kept of accounts, all of it.
impl Shelf {
    /// Soft phones that are bound, by account and identity; those whose time is over may be among them.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn bindings(&self) -> Result<Vec<KeptBinding>, Unread> {
        let transaction = self.read()?;
        let Some(table) = table(&transaction, BINDINGS)? else {
            return Ok(Vec::new());
        };
        let mut bindings = Vec::new();
        for row in table.iter()? {
            let (key, until) = row?;
            let [account, identity, channel, address] =
                split_key(key.value()).ok_or(Unread::Row("bindings"))?;
            bindings.push(KeptBinding {
                account: account.into(),
                identity: identity.into(),
                channel: channel.into(),
                address: address.into(),
                until: Moment::from_millis(until.value()),
            });
        }
        Ok(bindings)
    }

    /// How orgs are connected, by org.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn connections(&self) -> Result<Vec<KeptConnection>, Unread> {
        let transaction = self.read()?;
        let Some(table) = table(&transaction, CONNECTIONS)? else {
            return Ok(Vec::new());
        };
        let mut connections = Vec::new();
        for row in table.iter()? {
            let (_, row) = row?;
            let Connected {
                org,
                at,
                key,
                sealed,
            } = from_slice(row.value()).ok_or(Unread::Row("connections"))?;
            connections.push(KeptConnection {
                org: org.into(),
                at,
                key: key.into(),
                sealed: sealed.into(),
            });
        }
        Ok(connections)
    }

    /// The numbers of all orgs, by org.
    ///
    /// # Errors
    ///
    /// When the tables cannot be read.
    pub fn lines(&self) -> Result<Vec<KeptLine>, Unread> {
        let transaction = self.read()?;
        let Some(table) = table(&transaction, LINES)? else {
            return Ok(Vec::new());
        };
        let mut lines = Vec::new();
        for row in table.iter()? {
            let (_, row) = row?;
            let line: Listed<'_> = from_slice(row.value()).ok_or(Unread::Row("lines"))?;
            lines.push(KeptLine {
                org: line.org.into(),
                sid: line.sid.into(),
                number: line.number.into(),
                mode: line.mode.into(),
                users: line.users.iter().map(|user| (*user).into()).collect(),
                at: line.at,
                checked: line.checked,
                drift: line.drift.into(),
            });
        }
        Ok(lines)
    }
}

/// Opens a table; `None`: nothing was ever written to it.
fn table<V: redb::Value + 'static>(
    transaction: &ReadTransaction,
    definition: TableDefinition<'static, Bytes, V>,
) -> Result<Option<redb::ReadOnlyTable<Bytes, V>>, Unread> {
    match transaction.open_table(definition) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests;
