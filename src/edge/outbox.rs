//! Deliveries that were given up: what people may see of them, and what `strowger outbox` does with those of an edge that does not
//! run.

use std::fmt;
use std::io;
use std::path::Path;

use serde::Serialize;
use thiserror::Error;

use crate::edge::storeroom::moment;
use crate::store::entry::{DeliveryId, Revived};
use crate::store::{Entry, Options, Parcel, Refused, Shelf, Store, Stuck, Unread, Unusable};

/// Deliveries that are taken at a time.
const PAGE: usize = 256;

/// What is to be done with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To be shown.
    List,
    /// To be tried again, at the next start.
    Retry,
    /// To be forgotten.
    Drop,
}

/// A delivery that was given up. What it holds and the rest of its URL may be secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Its number.
    pub number: u64,
    /// The call that it is of.
    pub call: String,
    /// The webhook's id.
    pub webhook: String,
    /// GET, POST.
    pub method: String,
    /// Scheme and host of its URL.
    pub to: String,
    /// When it was made, RFC 3339.
    pub made: String,
    /// When it was given up, RFC 3339.
    pub given_up: String,
    /// How often it was tried.
    pub tries: u8,
    /// Why the last attempt failed: a status, or a word.
    pub why: String,
}

impl From<&Parcel> for Letter {
    fn from(parcel: &Parcel) -> Self {
        Self {
            number: parcel.id.0,
            call: parcel.call.to_string(),
            webhook: parcel.hook.to_string(),
            method: parcel.method.to_string(),
            to: origin(&parcel.url).to_owned(),
            made: parcel.made.to_string(),
            given_up: parcel.due.to_string(),
            tries: parcel.tries,
            why: parcel.why.to_string(),
        }
    }
}

/// Scheme and host of a URL, without what may be secret of it: a user, a path.
fn origin(url: &str) -> &str {
    let (start, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme.len() + 3, rest),
        None => (0, url),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let origin = url.get(..start + end).unwrap_or_default();
    if origin.contains('@') { "" } else { origin }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letters {
    /// What was done with them.
    pub done: &'static str,
    /// Them, by number.
    pub deliveries: Vec<Letter>,
}

impl fmt::Display for Letters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in &self.deliveries {
            let Letter {
                number,
                call,
                webhook,
                method,
                to,
                given_up,
                tries,
                why,
                ..
            } = letter;
            writeln!(
                f,
                "{number:>8}  {given_up}  {webhook}: {method} {to}, {tries} attempts, {why} (call {call})"
            )?;
        }
        write!(f, "{} {}", self.deliveries.len(), self.done)
    }
}

/// Why nothing is done.
#[derive(Debug, Error)]
pub enum NotDone {
    /// The data directory cannot be used.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// It cannot be read.
    #[error(transparent)]
    Unread(#[from] Unread),
    /// It cannot be written.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The tables cannot be written.
    #[error(transparent)]
    Stuck(#[from] Stuck),
    /// The journal cannot be written.
    #[error("the journal cannot be written: {0}")]
    Unwritten(#[from] io::Error),
    /// No delivery of this number was given up.
    #[error("no delivery of number {0} was given up; `strowger outbox` shows those that were")]
    NoSuch(u64),
}

/// Shows the deliveries of a data directory that were given up, all or those of these numbers, and does with them what is wished.
/// No edge runs on it.
///
/// # Errors
///
/// When an edge does, when there is none, when there is no delivery of a number, or when the disk refuses.
pub fn settle(data_dir: &Path, wish: Wish, numbers: &[u64]) -> Result<Letters, NotDone> {
    if !data_dir.join("format").exists() {
        let path = data_dir.to_owned();
        let source = io::Error::new(io::ErrorKind::NotFound, "no edge has kept anything there");
        return Err(Unusable::System { path, source }.into());
    }
    let now = moment();
    let mut store = Store::open(data_dir, 1, Options::default(), now)?;
    let mut deliveries = all(&store.shelf)?;
    if !numbers.is_empty() {
        deliveries.retain(|letter| numbers.contains(&letter.number));
        let is_missing = |number: &&u64| !deliveries.iter().any(|one| one.number == **number);
        if let Some(number) = numbers.iter().find(is_missing) {
            return Err(NotDone::NoSuch(*number));
        }
    }
    let done = match wish {
        Wish::List => "given up",
        Wish::Retry => "are tried again at the next start",
        Wish::Drop => "forgotten",
    };
    if let Some(lane) = store.lanes.first_mut() {
        for letter in &deliveries {
            match wish {
                Wish::List => {}
                Wish::Retry => lane.append(&revived(letter.number))?,
                Wish::Drop => lane.append(&dropped(letter.number))?,
            }
        }
        lane.commit()?;
        while store.keeper.turn(now)?.is_more {}
    }
    Ok(Letters { done, deliveries })
}

/// That a delivery is to be tried again.
pub(super) fn revived(number: u64) -> Entry<'static> {
    Entry::Revived(Revived {
        id: DeliveryId(number),
        at: moment(),
    })
}

/// That a delivery is to be forgotten.
pub(super) fn dropped(number: u64) -> Entry<'static> {
    Entry::Dropped(DeliveryId(number))
}

fn all(shelf: &Shelf) -> Result<Vec<Letter>, Unread> {
    let mut letters: Vec<Letter> = Vec::new();
    loop {
        let first = letters.last().map_or(0, |letter| letter.number + 1);
        let page = shelf.dead(DeliveryId(first), PAGE)?;
        let is_last = page.len() < PAGE;
        letters.extend(page.iter().map(Letter::from));
        if is_last {
            return Ok(letters);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_of_a_url_is_not_shown() {
        for (url, shown) in [
            (
                "https://crm.example.com/k/secret?key=1",
                "https://crm.example.com",
            ),
            (
                "https://crm.example.com:8443?key=1",
                "https://crm.example.com:8443",
            ),
            ("https://crm.example.com", "https://crm.example.com"),
            ("https://user:secret@crm.example.com/", ""),
            ("secret", "secret"),
            ("/secret", ""),
        ] {
            assert_eq!(origin(url), shown, "{url}");
        }
    }
}
