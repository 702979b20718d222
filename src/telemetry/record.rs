//! Call records as JSON lines: one line per call, the keys in a fixed order, appended to a file.
//!
//! Times of day are RFC 3339 in UTC, to the millisecond; spans are whole milliseconds. What is not
//! known is `null`, never left out.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};

use crate::call::record::{Attempt, Record};
use crate::types::number::Number;

/// The same moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Anchor {
    instant: Instant,
    wall: SystemTime,
}

impl Anchor {
    /// The moment that the monotonic clock calls `instant` and the wall clock `wall`.
    #[must_use]
    pub fn new(instant: Instant, wall: SystemTime) -> Self {
        Self { instant, wall }
    }

    /// The time of day at `instant`. Out of the calendar's range it is the epoch.
    #[must_use]
    pub fn time_of(&self, instant: Instant) -> Timestamp {
        let wall = match instant.checked_duration_since(self.instant) {
            Some(after) => self.wall.checked_add(after),
            None => self.wall.checked_sub(self.instant.duration_since(instant)),
        };
        wall.and_then(|wall| Timestamp::try_from(wall).ok())
            .unwrap_or_default()
    }
}

/// Appends `record`, which `node` writes, and a line feed to `out`.
///
/// # Errors
///
/// Never for a record of the engine: its texts are made valid, and memory is not I/O.
pub fn write_line(
    out: &mut Vec<u8>,
    node: &str,
    record: &Record,
    anchor: &Anchor,
) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &Line::new(node, record, anchor))?;
    out.push(b'\n');
    Ok(())
}

/// The file that lines are appended to.
pub struct RecordFile {
    path: PathBuf,
    file: File,
    /// The last write failed midway: the next one starts a new line.
    is_torn: bool,
}

impl RecordFile {
    /// Opens `path` for appending, and creates it if it is not there.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        Ok(Self {
            file: append_to(&path)?,
            path,
            is_torn: false,
        })
    }

    /// Opens the path anew, for whoever has moved the file away. On an error the old file stays.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.file = append_to(&self.path)?;
        self.is_torn = false;
        Ok(())
    }

    /// Writes whole lines, by one system call as a rule.
    ///
    /// # Errors
    ///
    /// When the system refuses; how much of `lines` got there is not known then.
    pub fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
        }
        self.is_torn = true;
        self.file.write_all(lines)?;
        self.is_torn = false;
        Ok(())
    }

    /// Waits until what was written is on the disk.
    ///
    /// # Errors
    ///
    /// When the system refuses; a pipe cannot do it, for one.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn append_to(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// One line. The order of the fields is the order in the file.
#[derive(Serialize)]
struct Line<'r> {
    #[serde(serialize_with = "display")]
    uuid: crate::types::ids::CallUuid,
    #[serde(serialize_with = "display")]
    began: Moment,
    outcome: &'static str,
    status: u16,
    hung_up_by: &'static str,
    trunk: &'r str,
    user: Option<&'r str>,
    #[serde(serialize_with = "display_option")]
    dialled: Option<Number>,
    #[serde(serialize_with = "display_option")]
    caller: Option<Number>,
    campaign: Option<&'r str>,
    afid: Option<&'r str>,
    sid: Option<&'r str>,
    call_id: Cow<'r, str>,
    post_dial_delay_ms: Option<u64>,
    setup_ms: Option<u64>,
    talk_ms: u64,
    total_ms: u64,
    attempts: Attempts<'r>,
    node: &'r str,
    generation: u64,
}

impl<'r> Line<'r> {
    fn new(node: &'r str, record: &'r Record, anchor: &Anchor) -> Self {
        let since_began = |at: Instant| milliseconds(record.began, at);
        Self {
            uuid: record.uuid,
            began: Moment(anchor.time_of(record.began)),
            outcome: record.outcome.label(),
            status: record.status,
            hung_up_by: record.hung_up_by.label(),
            trunk: &record.trunk,
            user: record.user.as_deref(),
            dialled: record.dialled,
            caller: record.caller,
            campaign: record.campaign.as_deref(),
            afid: record.afid.as_deref(),
            sid: record.sid.as_deref(),
            call_id: String::from_utf8_lossy(&record.call_id),
            post_dial_delay_ms: record.rang.map(since_began),
            setup_ms: record.answered.map(since_began),
            talk_ms: record
                .answered
                .map_or(0, |answered| milliseconds(answered, record.ended)),
            total_ms: since_began(record.ended),
            attempts: Attempts {
                call_began: record.began,
                attempts: &record.attempts,
            },
            node,
            generation: record.generation,
        }
    }
}

/// The attempts of one call, as a list of objects.
struct Attempts<'r> {
    call_began: Instant,
    attempts: &'r [Attempt],
}

impl Serialize for Attempts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Entry<'r> {
            buyer: &'r str,
            call_id: Cow<'r, str>,
            at_ms: u64,
            ms: u64,
            status: Option<u16>,
            result: &'static str,
        }

        let mut list = serializer.serialize_seq(Some(self.attempts.len()))?;
        for attempt in self.attempts {
            list.serialize_element(&Entry {
                buyer: &attempt.buyer.id,
                call_id: String::from_utf8_lossy(&attempt.call_id),
                at_ms: milliseconds(self.call_began, attempt.began),
                ms: milliseconds(attempt.began, attempt.ended),
                status: attempt.status,
                result: attempt.result.label(),
            })?;
        }
        list.end()
    }
}

/// A time of day, to the millisecond.
struct Moment(Timestamp);

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

fn milliseconds(from: Instant, to: Instant) -> u64 {
    let span: Duration = to.saturating_duration_since(from);
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn display<T: std::fmt::Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn display_option<T: std::fmt::Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests;
