//! Tags that wait for a caller's next call: a row for each caller, which is looked at when the first of its tags is to be forgotten.

use redb::ReadableTable;

use crate::store::apply::{Applied, Books};
use crate::store::code::{from_slice, to_vec};
use crate::store::entry::{Stored, Used, WaitingTag};
use crate::store::tables::{Aged, StoredRow, caller_prefix};
use crate::types::moment::Moment;

/// Tags that wait for one caller at most, of one company or one campaign.
pub const MOST_WAITING: usize = 256;

impl Books<'_> {
    pub(super) fn store(&mut self, stored: &Stored<'_>) -> Applied {
        let key = caller_prefix(stored.company, stored.caller);
        let row = self.stored_row(&key)?;
        let before = tags_of(&row);
        let mut after = valid(&before, self.now);
        for tag in stored.tags.iter() {
            let (key, value, until) = (tag.key, tag.value, stored.until);
            after.retain(|waiting| (waiting.key, waiting.value) != (key, value));
            // Whoever writes the entry has seen that there is room.
            if after.len() < MOST_WAITING {
                after.push(WaitingTag { key, value, until });
            }
        }
        self.set_stored(&key, &before, after)
    }

    /// What has come since the call has read them waits for the next one.
    pub(super) fn take(&mut self, used: &Used<'_>) -> Applied {
        let key = caller_prefix(used.company, used.caller);
        let row = self.stored_row(&key)?;
        let before = tags_of(&row);
        let mut after = before.clone();
        after.retain(|waiting| !used.tags.contains(waiting));
        self.set_stored(&key, &before, after)
    }

    pub(super) fn forget_stored(&mut self, now: Moment, key: &[u8]) -> Applied {
        let row = self.stored_row(key)?;
        let before = tags_of(&row);
        self.set_stored(key, &before, valid(&before, now))
    }

    fn stored_row(&self, key: &[u8]) -> Result<Vec<u8>, redb::Error> {
        let row = self.stored.get(key)?;
        Ok(row.map(|row| row.value().to_vec()).unwrap_or_default())
    }

    /// Has these tags wait in place of those before. However often that happens, `aging` has one row for it.
    fn set_stored(
        &mut self,
        key: &[u8],
        before: &[WaitingTag<'_>],
        after: Vec<WaitingTag<'_>>,
    ) -> Applied {
        let (was, is) = (first(before), first(&after));
        if was != is {
            if let Some(was) = was {
                self.aging.remove(&*Aged::Stored.key(was, key))?;
            }
            if let Some(is) = is {
                self.age(Aged::Stored, is, key)?;
            }
        }
        if after.is_empty() {
            self.stored.remove(key)?;
        } else {
            let tags = after.into();
            self.stored.insert(key, &*to_vec(&StoredRow { tags }))?;
        }
        Ok(())
    }
}

/// None, if it is no row.
fn tags_of(row: &[u8]) -> Vec<WaitingTag<'_>> {
    let row = from_slice::<StoredRow<'_>>(row);
    row.map(|row| row.tags.to_vec()).unwrap_or_default()
}

fn valid<'r>(tags: &[WaitingTag<'r>], now: Moment) -> Vec<WaitingTag<'r>> {
    let valid = tags.iter().filter(|tag| tag.until > now);
    valid.copied().collect()
}

/// When the first of them is to be forgotten.
fn first(tags: &[WaitingTag<'_>]) -> Option<Moment> {
    tags.iter().map(|tag| tag.until).min()
}
