//! What an entry changes in the tables. All entries of one turn of the keeper go into one transaction, which ends with the
//! positions that it has come to: so each of them is applied once, however often the process dies.

mod forget;
mod stored;

use std::collections::BTreeMap;

use redb::{ReadableTable, Table, WriteTransaction};

use crate::store::accounts::Cabinet;
use crate::store::code::{from_slice, to_vec};
use crate::store::entry::{
    Admitted, Answered, Claim, Converted, Delivered, Delivery, DeliveryId, Ended, Entry, Outcome,
    Remembered, Reset, Revived, Tagged,
};
use crate::store::late::LateBooks;
use crate::store::outbox::next_attempt;
use crate::store::tables::{
    AGING, Aged, DEAD, DeliveryRow, EARLY, ENDED, EndedRow, META, NOTES, NoteRow, OPEN, OUTBOX,
    OpenRow, PAST, PastRow, SPENT, STORED, TOTALS, Totals, WINDOWS, pair_key, past_key,
};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

pub use self::stored::MOST_WAITING;

type Uuid = &'static [u8; 16];
type Bytes = &'static [u8];

/// The tables while entries are applied to them.
pub(super) struct Books<'t> {
    meta: Table<'t, &'static str, Bytes>,
    late: LateBooks<'t>,
    open: Table<'t, Uuid, Bytes>,
    early: Table<'t, Uuid, ()>,
    ended: Table<'t, Uuid, Bytes>,
    past: Table<'t, Bytes, Bytes>,
    windows: Table<'t, Bytes, (u64, i64)>,
    stored: Table<'t, Bytes, Bytes>,
    spent: Table<'t, Bytes, i64>,
    notes: Table<'t, Bytes, Bytes>,
    outbox: Table<'t, u64, Bytes>,
    dead: Table<'t, u64, Bytes>,
    aging: Table<'t, Bytes, ()>,
    cabinet: Cabinet<'t>,
    totals: Totals,
    /// What was counted and is not in `windows` yet.
    claims: BTreeMap<Vec<u8>, (u64, Moment)>,
    now: Moment,
    /// How long a call that has ended is remembered.
    keep: std::time::Duration,
    /// The number of the file of records, and where its next line begins.
    file: (u32, u64),
    /// Lines for it.
    pub(super) lines: Vec<u8>,
    /// How many.
    pub(super) records: u64,
    /// What becomes of the outbox, in order.
    pub(super) changes: Vec<Change>,
}

/// What happens to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Added {
        id: DeliveryId,
        call: CallUuid,
        phase: u8,
        due: Moment,
    },
    Postponed {
        id: DeliveryId,
        due: Moment,
    },
    Gone(DeliveryId),
}

type Applied = Result<(), redb::Error>;

impl<'t> Books<'t> {
    /// Opens all tables; the next record goes into file `file.0` at `file.1`.
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        now: Moment,
        keep: std::time::Duration,
        file: (u32, u64),
    ) -> Result<Self, redb::Error> {
        let meta = transaction.open_table(META)?;
        let totals = meta
            .get(TOTALS)?
            .and_then(|row| from_slice(row.value()))
            .unwrap_or_default();
        Ok(Self {
            meta,
            late: LateBooks::open(transaction)?,
            open: transaction.open_table(OPEN)?,
            early: transaction.open_table(EARLY)?,
            ended: transaction.open_table(ENDED)?,
            past: transaction.open_table(PAST)?,
            windows: transaction.open_table(WINDOWS)?,
            stored: transaction.open_table(STORED)?,
            spent: transaction.open_table(SPENT)?,
            notes: transaction.open_table(NOTES)?,
            outbox: transaction.open_table(OUTBOX)?,
            dead: transaction.open_table(DEAD)?,
            aging: transaction.open_table(AGING)?,
            cabinet: Cabinet::open(transaction),
            totals,
            claims: BTreeMap::new(),
            now,
            keep,
            file,
            lines: Vec::new(),
            records: 0,
            changes: Vec::new(),
        })
    }

    /// Applies one entry.
    pub(super) fn apply(&mut self, entry: &Entry<'_>) -> Applied {
        match entry {
            Entry::Admitted(admitted) => self.admit(admitted),
            Entry::Answered(answered) => self.answer(answered),
            Entry::Counted(counted) => {
                self.count(&counted.claims);
                Ok(())
            }
            Entry::Ended(ended) => self.end(ended),
            Entry::Queued(queued) => self.queue(queued.call, queued.at, &queued.deliveries),
            Entry::Delivered(delivered) => self.settle(delivered),
            Entry::Revived(revived) => self.revive(*revived),
            Entry::Tagged(tagged) => self.tag(tagged),
            Entry::Dropped(id) => {
                if self.dead.remove(id.0)?.is_some() {
                    self.totals.forgotten += 1;
                }
                Ok(())
            }
            Entry::Stored(stored) => self.store(stored),
            Entry::Used(used) => self.take(used),
            Entry::Converted(converted) => self.convert(converted),
            Entry::Remembered(remembered) => self.remember(remembered),
            Entry::Reset(reset) => self.reset(reset),
            Entry::Posted(posted) => {
                if let Some(at) = self.late.post(posted)? {
                    self.age(Aged::Posts, at.after(self.keep), posted.uuid.as_bytes())?;
                }
                self.queue(posted.uuid, posted.at, &posted.deliveries)
            }
            Entry::Awaited(awaited) => self.late.wait(awaited),
            Entry::Spent(spent) => {
                let key = pair_key(spent.realm, spent.token);
                self.age(Aged::Spent, spent.until, &key)?;
                self.spent.insert(&*key, spent.until.millis())?;
                Ok(())
            }
            Entry::Noted(noted) => {
                let key = pair_key(noted.realm, noted.key);
                let (until, value) = (noted.until, noted.value);
                let row = to_vec(&NoteRow { until, value });
                let before = self.notes.insert(&*key, &*row)?;
                let before = before.and_then(|row| {
                    let row = from_slice::<NoteRow<'_>>(row.value());
                    row.map(|row| row.until)
                });
                if let Some(before) = before {
                    self.aging.remove(&*Aged::Note.key(before, &key))?;
                }
                self.age(Aged::Note, noted.until, &key)
            }
            Entry::Erased(erased) => {
                let key = pair_key(erased.realm, erased.key);
                self.notes.remove(&*key)?;
                Ok(())
            }
            Entry::Bound(bound) => self.cabinet.bind(bound, &mut self.aging),
            Entry::Unbound(place) => self.cabinet.unbind(*place, &mut self.aging),
            Entry::Connected(connected) => self.cabinet.connect(connected),
            Entry::Listed(listed) => self.cabinet.list(listed),
        }
    }

    /// Brings what was gathered into the tables; after it nothing more is applied.
    pub(super) fn finish(&mut self) -> Applied {
        self.post_claims()?;
        let totals = to_vec(&self.totals);
        self.meta.insert(TOTALS, &*totals)?;
        Ok(())
    }

    fn admit(&mut self, admitted: &Admitted<'_>) -> Applied {
        self.totals.admitted += 1;
        if self.early.remove(admitted.uuid.as_bytes())?.is_some() {
            return Ok(());
        }
        let entry = to_vec(admitted);
        let row = to_vec(&OpenRow {
            admitted: &entry,
            answered: None,
            tagged: None,
        });
        self.open.insert(admitted.uuid.as_bytes(), &*row)?;
        Ok(())
    }

    fn answer(&mut self, answered: &Answered<'_>) -> Applied {
        self.totals.answered += 1;
        self.count(&answered.claims);
        let key = answered.uuid.as_bytes();
        let answered = to_vec(answered);
        self.reopen(key, Some(&answered), None)
    }

    fn tag(&mut self, tagged: &Tagged<'_>) -> Applied {
        let bytes = to_vec(tagged);
        self.reopen(tagged.uuid.as_bytes(), None, Some(&bytes))
    }

    /// Adds to the row of a call that goes on.
    fn reopen(
        &mut self,
        key: &[u8; 16],
        answered: Option<&[u8]>,
        tagged: Option<&[u8]>,
    ) -> Applied {
        // It may have ended already, by another lane.
        let row = self.open.get(key)?.map(|row| row.value().to_vec());
        let open = row.as_deref().and_then(from_slice::<OpenRow<'_>>);
        if let Some(open) = open {
            let row = to_vec(&OpenRow {
                admitted: open.admitted,
                answered: answered.or(open.answered),
                tagged: tagged.or(open.tagged),
            });
            self.open.insert(key, &*row)?;
        }
        Ok(())
    }

    fn end(&mut self, ended: &Ended<'_>) -> Applied {
        let key = ended.uuid.as_bytes();
        if self.ended.get(key)?.is_some() {
            self.totals.repeated += 1;
            return Ok(());
        }
        if self.open.remove(key)?.is_none() {
            self.early.insert(key, ())?;
        }
        self.totals.recorded += 1;
        let (file, start) = self.file;
        let row = to_vec(&EndedRow {
            at: ended.at,
            file,
            offset: start + self.lines.len() as u64,
            length: u32::try_from(ended.line.len()).unwrap_or(u32::MAX),
            conversion: ended.conversion,
        });
        self.count(&ended.claims);
        self.lines.extend_from_slice(ended.line.as_bytes());
        self.lines.push(b'\n');
        self.records += 1;
        self.ended.insert(key, &*row)?;
        let until = ended.at.after(self.keep);
        self.age(Aged::Ended, until, key)?;
        if let Some(past) = &ended.past {
            let key = past_key(past.company, past.caller, ended.at, ended.uuid);
            let row = to_vec(&PastRow::of(past, past.fired.to_vec()));
            self.past.insert(&*key, &*row)?;
            self.age(Aged::Past, until, &key)?;
        }
        self.queue(ended.uuid, ended.at, &ended.deliveries)
    }

    fn remember(&mut self, remembered: &Remembered<'_>) -> Applied {
        let Remembered { uuid, ended, past } = remembered;
        let key = past_key(past.company, past.caller, *ended, *uuid);
        let before = self.past.get(&*key)?.map(|row| row.value().to_vec());
        let row = before.as_deref().and_then(from_slice::<PastRow<'_>>);
        let mut fired = row.map(|row| row.fired.to_vec()).unwrap_or_default();
        for one in past.fired.iter() {
            // The last time is what matters.
            fired.retain(|known| known.hook != one.hook);
            fired.push(*one);
        }
        if before.is_none() {
            self.age(Aged::Past, ended.after(self.keep), &key)?;
        }
        self.past
            .insert(&*key, &*to_vec(&PastRow::of(past, fired)))?;
        Ok(())
    }

    fn count(&mut self, claims: &[Claim<'_>]) {
        for claim in claims {
            let count = u64::from(claim.count);
            self.totals.claimed += count;
            let key = pair_key(claim.party, claim.window);
            let (sum, until) = self.claims.entry(key).or_insert((0, claim.until));
            *sum += count;
            *until = claim.until.max(*until);
        }
    }

    fn post_claims(&mut self) -> Applied {
        for (key, (count, until)) in std::mem::take(&mut self.claims) {
            let before = self.windows.get(&*key)?.map(|row| row.value());
            let (sum, last) = before.unwrap_or_default();
            let is_new = before.is_none();
            let until = until.millis().max(last);
            self.windows.insert(&*key, (sum + count, until))?;
            // A total is never over.
            if is_new && until != i64::MAX {
                self.age(Aged::Window, Moment::from_millis(until), &key)?;
            }
        }
        Ok(())
    }

    fn reset(&mut self, reset: &Reset<'_>) -> Applied {
        self.post_claims()?;
        let key = pair_key(reset.party, reset.window);
        if let Some(row) = self.windows.remove(&*key)? {
            self.totals.expired += row.value().0;
        }
        Ok(())
    }

    fn queue(&mut self, call: CallUuid, at: Moment, deliveries: &[Delivery<'_>]) -> Applied {
        for delivery in deliveries {
            let id = DeliveryId(self.totals.next_delivery);
            self.totals.next_delivery += 1;
            self.totals.queued += 1;
            let due = delivery.not_before.max(at);
            let row = to_vec(&DeliveryRow {
                call,
                made: at,
                due,
                tries: 0,
                why: "",
                delivery: delivery.clone(),
            });
            self.outbox.insert(id.0, &*row)?;
            let phase = delivery.phase;
            self.changes.push(Change::Added {
                id,
                call,
                phase,
                due,
            });
        }
        Ok(())
    }

    fn settle(&mut self, delivered: &Delivered<'_>) -> Applied {
        let Delivered { id, at, outcome } = *delivered;
        let Some(bytes) = self.outbox.remove(id.0)?.map(|row| row.value().to_vec()) else {
            // It is settled already: told twice.
            return Ok(());
        };
        let why = match outcome {
            Outcome::Done => {
                self.totals.delivered += 1;
                self.changes.push(Change::Gone(id));
                return Ok(());
            }
            Outcome::Again(why) | Outcome::Never(why) => why,
        };
        let Some(row) = from_slice::<DeliveryRow<'_>>(&bytes) else {
            return self.bury(id, at, &bytes);
        };
        let tries = row.tries.saturating_add(1);
        let next = match outcome {
            Outcome::Again(_) => next_attempt(at, tries),
            Outcome::Never(_) | Outcome::Done => None,
        };
        let due = next.unwrap_or(at);
        let row = to_vec(&DeliveryRow {
            due,
            tries,
            why,
            ..row
        });
        if next.is_none() {
            return self.bury(id, at, &row);
        }
        self.outbox.insert(id.0, &*row)?;
        self.changes.push(Change::Postponed { id, due });
        Ok(())
    }

    fn bury(&mut self, id: DeliveryId, at: Moment, row: &[u8]) -> Applied {
        self.dead.insert(id.0, row)?;
        self.changes.push(Change::Gone(id));
        self.age(Aged::Dead, at.after(self.keep), &id.0.to_be_bytes())
    }

    fn revive(&mut self, revived: Revived) -> Applied {
        let Revived { id, at } = revived;
        let Some(bytes) = self.dead.remove(id.0)?.map(|row| row.value().to_vec()) else {
            return Ok(());
        };
        let Some(row) = from_slice::<DeliveryRow<'_>>(&bytes) else {
            self.dead.insert(id.0, &*bytes)?;
            return Ok(());
        };
        let (call, phase) = (row.call, row.delivery.phase);
        let row = to_vec(&DeliveryRow {
            due: at,
            tries: 0,
            ..row
        });
        self.outbox.insert(id.0, &*row)?;
        self.changes.push(Change::Added {
            id,
            call,
            phase,
            due: at,
        });
        Ok(())
    }

    fn convert(&mut self, converted: &Converted<'_>) -> Applied {
        let key = converted.uuid.as_bytes();
        let row = self.ended.get(key)?.map(|row| row.value().to_vec());
        let ended = row.as_deref().and_then(from_slice::<EndedRow<'_>>);
        // One that is forgotten, or that has not ended: its end will say how it converted.
        if let Some(ended) = ended {
            let row = to_vec(&EndedRow {
                conversion: Some(converted.conversion),
                ..ended
            });
            self.ended.insert(key, &*row)?;
        }
        let (uuid, at) = (converted.uuid, converted.conversion.at);
        self.late.settle(uuid)?;
        self.count(&converted.claims);
        self.queue(uuid, at, &converted.deliveries)
    }

    fn age(&mut self, aged: Aged, until: Moment, key: &[u8]) -> Applied {
        self.aging.insert(&*aged.key(until, key), ())?;
        Ok(())
    }
}
