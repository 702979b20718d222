//! What is forgotten, and when.

use std::time::Duration;

use redb::ReadableTable;

use crate::store::apply::{Applied, Books};
use crate::store::code::from_slice;
use crate::store::tables::{Aged, DeliveryRow, NoteRow};
use crate::types::moment::Moment;

/// What a call has left of which something is open still is not forgotten; it is looked at again so long after that is to be settled.
const AGAIN: Duration = Duration::from_secs(3600);

impl Books<'_> {
    /// Forgets what need not be remembered any more, so many things at most; how many it was.
    pub(in crate::store) fn forget(
        &mut self,
        now: Moment,
        most: usize,
    ) -> Result<usize, redb::Error> {
        self.post_claims()?;
        let mut due = Vec::new();
        let end = Aged::Ended.key(now, &[]);
        for row in self.aging.range::<&[u8]>(..&*end)?.take(most) {
            due.push(row?.0.value().to_vec());
        }
        for aging in &due {
            self.aging.remove(&**aging)?;
            if let Some((aged, key)) = Aged::parse(aging) {
                self.forget_one(now, aged, key)?;
            }
        }
        Ok(due.len())
    }

    fn forget_one(&mut self, now: Moment, aged: Aged, key: &[u8]) -> Applied {
        match aged {
            Aged::Ended | Aged::Posts => {
                let Ok(uuid) = <&[u8; 16]>::try_from(key) else {
                    return Ok(());
                };
                if let Some(until) = self.late.awaited(uuid)? {
                    return self.age(aged, until.max(now).after(AGAIN), key);
                }
                if aged == Aged::Ended {
                    self.ended.remove(uuid)?;
                } else {
                    self.late.forget(uuid)?;
                }
            }
            Aged::Past => {
                self.past.remove(key)?;
            }
            Aged::Window => {
                let Some((count, until)) = self.windows.get(key)?.map(|row| row.value()) else {
                    return Ok(());
                };
                if until > now.millis() {
                    return self.age(Aged::Window, Moment::from_millis(until), key);
                }
                self.windows.remove(key)?;
                self.totals.expired += count;
            }
            Aged::Stored => self.forget_stored(now, key)?,
            Aged::Spent => {
                let until = self.spent.get(key)?.map(|row| row.value());
                if until.is_some_and(|until| until <= now.millis()) {
                    self.spent.remove(key)?;
                }
            }
            Aged::Note => {
                let row = self.notes.get(key)?.map(|row| row.value().to_vec());
                let row = row.as_deref().and_then(from_slice::<NoteRow<'_>>);
                // Noted anew since: its time has not come.
                if row.is_some_and(|row| row.until <= now) {
                    self.notes.remove(key)?;
                }
            }
            Aged::Bound => self.cabinet.forget(key, now)?,
            Aged::Dead => {
                let Ok(id) = key.try_into().map(u64::from_be_bytes) else {
                    return Ok(());
                };
                let row = self.dead.get(id)?.map(|row| row.value().to_vec());
                let row = row.as_deref().and_then(from_slice::<DeliveryRow<'_>>);
                // Given up again since: its time has not come.
                if row.is_some_and(|row| row.due.after(self.keep) <= now) {
                    self.dead.remove(id)?;
                    self.totals.forgotten += 1;
                }
            }
        }
        Ok(())
    }
}
