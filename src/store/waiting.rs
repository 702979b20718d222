//! Tags that wait for a caller's next call, as they are written down.

use crate::store::code::coded;
use crate::store::list::List;
use crate::types::moment::Moment;

/// A key and one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredTag<'a> {
    /// The key.
    pub key: &'a str,
    /// One of its values.
    pub value: &'a str,
}

coded!(StoredTag<'a> { key, value });

/// See [`Entry::Stored`](crate::store::Entry::Stored).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<'a> {
    /// The company's id.
    pub company: &'a str,
    /// The caller's number.
    pub caller: &'a str,
    /// When they are forgotten if no call comes.
    pub until: Moment,
    /// Added to those that wait already.
    pub tags: List<'a, StoredTag<'a>>,
}

coded!(Stored<'a> { company, caller, until, tags });

/// A tag that waits for a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingTag<'a> {
    /// Its key.
    pub key: &'a str,
    /// Its value.
    pub value: &'a str,
    /// When it is forgotten if no call comes.
    pub until: Moment,
}

coded!(WaitingTag<'a> { key, value, until });

/// See [`Entry::Used`](crate::store::Entry::Used).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Used<'a> {
    /// The company's id.
    pub company: &'a str,
    /// The caller's number.
    pub caller: &'a str,
    /// Those that the call has. What waits besides has come since, and waits for the next one.
    pub tags: List<'a, WaitingTag<'a>>,
}

coded!(Used<'a> { company, caller, tags });
