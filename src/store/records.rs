//! The file of call records, kept in step with the tables: they say up to which byte it is theirs.
//!
//! ```text
//!   write lines ── sync ── commit of the tables, with the new length
//!                       ^ a crash here: the file is cut back to the old length, and the lines are written again
//! ```
//!
//! A file is known by its number on the disk, not by its name: it may be moved away at any time, and is still cut back if it
//! must be. Before the first line goes into a file, the tables know it.

use std::ffi::OsString;
use std::fs;
use std::fs::{File, OpenOptions};
use std::io;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use crate::store::tables::FileRow;
use crate::types::moment::Moment;

/// When a file is put aside for a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rotation {
    /// When it has so many bytes; `None`: never because of that.
    pub size: Option<u64>,
    /// When a new day begins, in UTC.
    pub is_daily: bool,
}

/// The file that is written to.
pub(super) struct Records {
    pub(super) path: PathBuf,
    file: File,
    /// Its number in `files`.
    pub(super) id: u32,
    device: u64,
    inode: u64,
    began: Moment,
    start: u64,
    /// Bytes and lines that the tables know of.
    length: u64,
    lines: u64,
    /// There may be bytes beyond `length`.
    is_unsure: bool,
}

impl Records {
    /// Opens the file at `path`. `known` is what the tables say of the last file that was written: it is cut back to what
    /// they know, wherever it is now. `true`: the file is another one, of which they must be told first.
    pub(super) fn open(
        path: &Path,
        known: Option<(u32, &FileRow<'_>)>,
        now: Moment,
    ) -> io::Result<(Self, bool)> {
        let Some((id, row)) = known else {
            return Ok((Self::begin(path, 0, now)?, true));
        };
        let records = Self::begin(path, id, now)?;
        if records.is(row) {
            let length = records.start;
            let mut same = Self {
                began: row.began,
                start: row.start,
                length: row.length.min(length),
                lines: row.lines,
                is_unsure: true,
                ..records
            };
            same.settle()?;
            return Ok((same, false));
        }
        heal_elsewhere(path, row)?;
        let id = id.saturating_add(1);
        Ok((Self { id, ..records }, true))
    }

    fn begin(path: &Path, id: u32, now: Moment) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            // Who called whom is nobody else's business.
            .mode(0o640)
            .open(path)?;
        let facts = file.metadata()?;
        let (device, inode, length) = if facts.is_file() {
            (facts.dev(), facts.ino(), facts.len())
        } else {
            (0, 0, 0)
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            id,
            device,
            inode,
            began: now,
            start: length,
            length,
            lines: 0,
            is_unsure: false,
        })
    }

    /// Where the next line will begin.
    pub(super) fn end(&self) -> u64 {
        self.length
    }

    /// What the tables are to know, once `bytes` in so many `lines` have been written.
    pub(super) fn row<'a>(&self, path: &'a str, bytes: u64, lines: u64) -> FileRow<'a> {
        FileRow {
            path,
            device: self.device,
            inode: self.inode,
            began: self.began,
            start: self.start,
            length: self.length + bytes,
            lines: self.lines + lines,
        }
    }

    /// Writes whole lines, and waits until they are on the disk. They count from [`confirm`](Self::confirm) on.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.settle()?;
        if lines.is_empty() {
            return Ok(());
        }
        if !self.is_kept() {
            return self.file.write_all(lines);
        }
        self.is_unsure = true;
        self.file.write_all_at(lines, self.length)?;
        self.file.sync_data()
    }

    /// The tables know of these bytes now.
    pub(super) fn confirm(&mut self, bytes: u64, lines: u64) {
        self.length += bytes;
        self.lines += lines;
        self.is_unsure = false;
    }

    /// Opens the path anew, for whoever has moved the file away. `true`: it is another file, of which the tables must be told.
    pub(super) fn reopen(&mut self, now: Moment) -> io::Result<bool> {
        self.settle()?;
        let id = self.id.saturating_add(1);
        let other = Self::begin(&self.path, id, now)?;
        if self.is_kept() && (other.device, other.inode) == (self.device, self.inode) {
            return Ok(false);
        }
        *self = other;
        Ok(true)
    }

    /// Puts the file aside if it is time to, and begins another one. The name it has from then on, if so; the tables must be
    /// told of both.
    pub(super) fn rotate(&mut self, rotation: Rotation, now: Moment) -> io::Result<Option<String>> {
        let is_long = rotation.size.is_some_and(|size| self.length >= size);
        let is_old = rotation.is_daily && day(self.began) != day(now);
        if self.lines == 0 || !self.is_kept() || !(is_long || is_old) {
            return Ok(None);
        }
        self.settle()?;
        let aside = free_name(&self.path, now);
        fs::rename(&self.path, &aside)?;
        *self = Self::begin(&self.path, self.id.saturating_add(1), now)?;
        Ok(Some(aside.to_string_lossy().into_owned()))
    }

    /// Cuts off what the tables do not know of.
    fn settle(&mut self) -> io::Result<()> {
        if self.is_unsure && self.is_kept() {
            self.file.set_len(self.length)?;
        }
        self.is_unsure = false;
        Ok(())
    }

    /// Whether it is a file that keeps what is written: a pipe does not.
    fn is_kept(&self) -> bool {
        (self.device, self.inode) != (0, 0)
    }

    fn is(&self, row: &FileRow<'_>) -> bool {
        self.is_kept() && (self.device, self.inode) == (row.device, row.inode)
    }
}

/// Cuts back the file that is meant by `row` and was moved away, if it is in the same folder still.
fn heal_elsewhere(path: &Path, row: &FileRow<'_>) -> io::Result<()> {
    if let Some(moved) = find(path, row)? {
        let file = OpenOptions::new().write(true).open(moved)?;
        if file.metadata()?.len() > row.length {
            file.set_len(row.length)?;
            file.sync_all()?;
        }
    }
    Ok(())
}

/// The file that is meant by `row`, in the folder of `path`; `None`: it is not there.
pub(super) fn find(path: &Path, row: &FileRow<'_>) -> io::Result<Option<PathBuf>> {
    if row.inode == 0 {
        return Ok(None);
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.metadata()?.ino() == row.inode && entry.metadata()?.dev() == row.device {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// `calls.jsonl` put aside: `calls-20261121T151558Z.jsonl`, or with a number if there is one already.
fn free_name(path: &Path, now: Moment) -> PathBuf {
    let time = now.timestamp().to_zoned(TimeZone::UTC);
    let stamp = time.strftime("%Y%m%dT%H%M%SZ").to_string();
    let mut number = 0;
    loop {
        let mut name = path.file_stem().unwrap_or_default().to_owned();
        name.push("-");
        name.push(&stamp);
        if number > 0 {
            name.push(format!("-{number}"));
        }
        if let Some(extension) = path.extension() {
            name.push(".");
            name.push(OsString::from(extension));
        }
        let aside = path.with_file_name(name);
        if !aside.exists() {
            return aside;
        }
        number += 1;
    }
}

/// Days since 1970.
fn day(at: Moment) -> i64 {
    at.seconds().div_euclid(86_400)
}
