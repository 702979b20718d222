//! Whether the books balance.
//!
//! ```text
//!   calls admitted + ended before their admission came = records + calls under way
//!   records                                            = lines in the files that are there + those in files that are gone
//!   deliveries queued                                  = made + waiting + given up + given up and forgotten
//!   counted                                            = in windows + in windows that are over
//! ```

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};
use serde::Serialize;

use crate::store::code::from_slice;
use crate::store::shelf::{Unread, open_file};
use crate::store::tables;
use crate::store::tables::{DEAD, EARLY, FILES, FileRow, OPEN, OUTBOX, Totals, WINDOWS};

/// What was counted as it happened, and what is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Calls admitted.
    pub admitted: u64,
    /// Of them, under way or cut off by a crash.
    pub open: u64,
    /// Ended, and their admission is still to come by another lane.
    pub early: u64,
    /// Calls answered.
    pub answered: u64,
    /// Calls with a record.
    pub records: u64,
    /// Ends of calls that had ended before, of which nothing came.
    pub repeated: u64,
    /// Records found in the files.
    pub lines: u64,
    /// Records in files that are not there any more.
    pub lines_gone: u64,
    /// Deliveries that were to be made.
    pub queued: u64,
    /// Made.
    pub delivered: u64,
    /// Waiting.
    pub waiting: u64,
    /// Given up.
    pub dead: u64,
    /// Given up, and forgotten.
    pub forgotten: u64,
    /// What was counted in windows.
    pub claimed: u64,
    /// What the windows hold.
    pub counted: u64,
    /// What windows held that are over or were reset.
    pub expired: u64,
}

impl Audit {
    /// What does not balance; empty: everything does.
    #[must_use]
    pub fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: &str, have: u64, want: u64| {
            if have != want {
                differences.push(format!("{what}: {have}, should be {want}"));
            }
        };
        compare(
            "calls that are recorded or open",
            self.records + self.open,
            self.admitted + self.early,
        );
        compare(
            "records in files",
            self.lines + self.lines_gone,
            self.records,
        );
        compare(
            "deliveries made, waiting and given up",
            self.delivered + self.waiting + self.dead + self.forgotten,
            self.queued,
        );
        compare(
            "counts in windows",
            self.counted + self.expired,
            self.claimed,
        );
        differences
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "calls       {} admitted, {} answered, {} recorded, {} open",
            self.admitted, self.answered, self.records, self.open
        )?;
        writeln!(
            f,
            "records     {} in files, {} in files that are gone",
            self.lines, self.lines_gone
        )?;
        writeln!(
            f,
            "deliveries  {} queued, {} made, {} waiting, {} given up",
            self.queued,
            self.delivered,
            self.waiting,
            self.dead + self.forgotten
        )?;
        writeln!(
            f,
            "caps        {} counted, {} in windows, {} in windows that are over",
            self.claimed, self.counted, self.expired
        )?;
        let differences = self.differences();
        if differences.is_empty() {
            return f.write_str("everything balances");
        }
        f.write_str("does NOT balance")?;
        for difference in differences {
            write!(f, "\n  {difference}")?;
        }
        Ok(())
    }
}

pub(super) fn audit(transaction: &ReadTransaction) -> Result<Audit, Unread> {
    let Totals {
        admitted,
        answered,
        recorded,
        repeated,
        queued,
        delivered,
        forgotten,
        claimed,
        expired,
        next_delivery: _,
    } = tables::totals(transaction)?;
    let mut counted = 0;
    for row in transaction.open_table(WINDOWS)?.iter()? {
        counted += row?.1.value().0;
    }
    let (mut lines, mut lines_gone) = (0, 0);
    for row in transaction.open_table(FILES)?.iter()? {
        let (_, row) = row?;
        let row: FileRow<'_> = from_slice(row.value()).ok_or(Unread::Row("files"))?;
        match open_file(&row).map_err(Unread::Records)? {
            Some(file) => lines += count_lines(&file, &row).map_err(Unread::Records)?,
            None => lines_gone += row.lines,
        }
    }
    Ok(Audit {
        admitted,
        open: transaction.open_table(OPEN)?.len()?,
        early: transaction.open_table(EARLY)?.len()?,
        answered,
        records: recorded,
        repeated,
        lines,
        lines_gone,
        queued,
        delivered,
        waiting: transaction.open_table(OUTBOX)?.len()?,
        dead: transaction.open_table(DEAD)?.len()?,
        forgotten,
        claimed,
        counted,
        expired,
    })
}

/// Lines of ours in a file.
fn count_lines(file: &File, row: &FileRow<'_>) -> io::Result<u64> {
    let mut buffer = vec![0; 64 << 10];
    let (mut at, mut lines) = (row.start, 0);
    while at < row.length {
        let left = usize::try_from(row.length - at).unwrap_or(usize::MAX);
        let most = left.min(buffer.len());
        let Some(room) = buffer.get_mut(..most) else {
            break;
        };
        let count = file.read_at(room, at)?;
        if count == 0 {
            break;
        }
        let read = room.get(..count).unwrap_or_default();
        lines += read.iter().filter(|byte| **byte == b'\n').count() as u64;
        at += count as u64;
    }
    Ok(lines)
}
