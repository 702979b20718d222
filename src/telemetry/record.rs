//! Call records as JSON lines: one line per call, the keys in a fixed order, appended to a file.
//!
//! Times of day are RFC 3339 in UTC, to the millisecond; spans are whole milliseconds. What is not
//! known is `null`, never left out.

mod read;

use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

use crate::call::record::{AttemptResult, Record, Side, WhySkipped};
use crate::media::figures::Heard;
use crate::telemetry::story;
pub use crate::telemetry::story::{conversion, decision};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

pub use self::read::read_line;

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

/// What a vendor has told of a call by the time that its record is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// When, RFC 3339.
    pub at: Box<str>,
    /// What: the key of its callback.
    pub what: Box<str>,
    /// What came of it.
    pub came: Box<str>,
    /// Figures and texts of it.
    pub more: Option<Box<str>>,
}

/// Appends `record`, which `node` writes, and a line feed to `out`.
pub fn write_line(out: &mut Vec<u8>, node: &str, record: &Record, anchor: &Anchor) {
    write_line_with(out, node, (record, &[]), anchor);
}

/// The same of a call that came by way of a vendor, who has told this of it.
pub fn write_line_with(
    out: &mut Vec<u8>,
    node: &str,
    (record, told): (&Record, &[Told]),
    anchor: &Anchor,
) {
    let since_began = |at: Instant| milliseconds(record.began, at);
    let talk = record
        .answered
        .map_or(0, |answered| milliseconds(answered, record.ended));
    let mut line = Object::begin(out);
    line.text("uuid", &record.uuid.text());
    line.display(
        "began",
        &format_args!("{:.3}", anchor.time_of(record.began)),
    );
    line.text("outcome", record.outcome.label().as_bytes());
    line.integer("status", record.status.into());
    line.text("hung_up_by", record.hung_up_by.label().as_bytes());
    line.text("trunk", record.trunk.as_bytes());
    line.text_or_null("user", record.user.as_deref());
    line.display_or_null("dialled", record.dialled.as_ref());
    line.display_or_null("caller", record.caller.as_ref());
    line.text_or_null("campaign", record.campaign.as_deref());
    line.text_or_null("afid", record.afid.as_deref());
    line.text_or_null("sid", record.sid.as_deref());
    line.text("call_id", &record.call_id);
    line.integer_or_null("post_dial_delay_ms", record.rang.map(since_began));
    line.integer_or_null("setup_ms", record.answered.map(since_began));
    line.integer("talk_ms", talk);
    line.integer("total_ms", since_began(record.ended));
    line.objects("attempts", &record.attempts, |attempt, entry| {
        entry.text("buyer", attempt.buyer.id.as_bytes());
        entry.text("gateway", attempt.gateway.name.as_bytes());
        entry.text("call_id", &attempt.call_id);
        entry.integer("at_ms", since_began(attempt.began));
        entry.integer("ms", milliseconds(attempt.began, attempt.ended));
        entry.integer_or_null("status", attempt.status.map(u64::from));
        entry.text("result", attempt.result.label().as_bytes());
        entry.integer_or_null(
            "together",
            attempt.together.map(|number| number.get().into()),
        );
    });
    line.objects("skipped", &record.skipped, |skipped, entry| {
        let gateway = skipped.gateway.as_ref().map(|gateway| &*gateway.name);
        entry.text("buyer", skipped.buyer.id.as_bytes());
        entry.text_or_null("gateway", gateway);
        entry.integer("at_ms", since_began(skipped.at));
        entry.text("why", skipped.why.label().as_bytes());
        let limit = match &skipped.why {
            WhySkipped::Full(full) => Some(full),
            WhySkipped::GatewayDown | WhySkipped::Judged(_) | WhySkipped::LimitUnknown => None,
        };
        entry.object_or_null("limit", limit, |full, limit| {
            limit.text("of", full.party.kind().as_bytes());
            limit.text("id", full.party.id().as_bytes());
            limit.text("kind", full.kind.label().as_bytes());
            limit.integer("have", full.have.into());
            limit.integer("cap", full.cap.into());
        });
    });
    line.object_or_null("media", record.figures.as_deref(), |figures, media| {
        for (side, heard) in ["caller", "buyer"].into_iter().zip(&figures.parties) {
            media.object_or_null(side, Some(heard), write_heard);
        }
    });
    line.object_or_null("routing", record.story.as_deref(), |story, entry| {
        story::write(story, record.began, entry);
    });
    line.objects("vendor", told, |told, entry| {
        entry.text("at", told.at.as_bytes());
        entry.text("what", told.what.as_bytes());
        entry.text("came", told.came.as_bytes());
        entry.text_or_null("more", told.more.as_deref());
    });
    line.text("node", node.as_bytes());
    line.integer("generation", record.generation);
    line.end();
    out.push(b'\n');
}

/// A call that nobody could write the record of: the edge ended before it did.
#[derive(Debug, Clone, Copy)]
pub struct CutOff<'a> {
    /// The call.
    pub uuid: CallUuid,
    /// When the INVITE came.
    pub began: Moment,
    /// Generation of the configuration that it ran on.
    pub generation: u64,
    /// The trunk's id.
    pub trunk: &'a str,
    /// The digest user.
    pub user: Option<&'a str>,
    /// The number dialled.
    pub dialled: Option<&'a str>,
    /// The caller's number.
    pub caller: Option<&'a str>,
    /// The campaign's id.
    pub campaign: Option<&'a str>,
    /// The publisher's id (AFID).
    pub afid: Option<&'a str>,
    /// The sub id (SID).
    pub sid: Option<&'a str>,
    /// Call-ID of the carrier's leg.
    pub call_id: &'a [u8],
    /// When it was answered, and by which buyer; `None`: it was not.
    pub answered: Option<(Moment, &'a str)>,
    /// When the edge was there for the last time.
    pub ended: Moment,
    /// The company's id.
    pub company: Option<&'a str>,
    /// What was known of it: keys, values, and who said it.
    pub tags: &'a [(&'a str, &'a str, &'a str)],
}

/// Appends the record of a call that was cut off, and a line feed, to `out`: the keys of [`write_line`], outcome
/// `edge_restarted`. It lasted as long as the edge was there.
pub fn write_cut_off(out: &mut Vec<u8>, node: &str, call: &CutOff<'_>) {
    let span =
        |from: Moment, to: Moment| u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX);
    let setup = |at: Moment| span(call.began, at);
    let talk = call.answered.map_or(0, |(at, _)| span(at, call.ended));
    let status = call.answered.map(|_| 200);
    let mut line = Object::begin(out);
    line.text("uuid", &call.uuid.text());
    line.display("began", &format_args!("{:.3}", call.began.timestamp()));
    line.text("outcome", b"edge_restarted");
    line.integer_or_null("status", status);
    line.text("hung_up_by", Side::Edge.label().as_bytes());
    line.text("trunk", call.trunk.as_bytes());
    line.text_or_null("user", call.user);
    line.text_or_null("dialled", call.dialled);
    line.text_or_null("caller", call.caller);
    line.text_or_null("campaign", call.campaign);
    line.text_or_null("afid", call.afid);
    line.text_or_null("sid", call.sid);
    line.text("call_id", call.call_id);
    line.null("post_dial_delay_ms");
    line.integer_or_null("setup_ms", call.answered.map(|(at, _)| setup(at)));
    line.integer("talk_ms", talk);
    line.integer("total_ms", span(call.began, call.ended));
    line.objects("attempts", call.answered.as_slice(), |(_, buyer), entry| {
        entry.text("buyer", buyer.as_bytes());
        entry.null("gateway");
        entry.null("call_id");
        entry.null("at_ms");
        entry.null("ms");
        entry.integer_or_null("status", status);
        entry.text("result", AttemptResult::Answered.label().as_bytes());
        entry.null("together");
    });
    line.empty("skipped");
    line.null("media");
    line.object_or_null("routing", call.company.as_ref(), |company, entry| {
        entry.text("company", company.as_bytes());
        entry.objects("tags", call.tags, |(key, value, origin), entry| {
            entry.text("key", key.as_bytes());
            entry.text("value", value.as_bytes());
            entry.text("origin", origin.as_bytes());
        });
        entry.null("past");
        entry.empty("decisions");
        entry.empty("webhooks");
        entry.null("conversion");
    });
    line.empty("vendor");
    line.text("node", node.as_bytes());
    line.integer("generation", call.generation);
    line.end();
    out.push(b'\n');
}

/// Writes what came from one party.
fn write_heard(heard: &Heard, entry: &mut Object<'_>) {
    entry.display_or_null("source", heard.source.as_ref());
    entry.integer("packets", heard.packets);
    entry.integer("bytes", heard.bytes);
    entry.integer("lost", heard.lost);
    entry.integer("dropped", heard.dropped);
    entry.integer("foreign", heard.foreign);
    entry.integer("rtcp", heard.rtcp);
    entry.integer("jitter_us", microseconds(heard.jitter));
    entry.integer("jitter_max_us", microseconds(heard.jitter_max));
    entry.integer_or_null("mos_hundredths", heard.mos.map(u64::from));
    entry.text("digits", heard.digits.as_bytes());
}

fn microseconds(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
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
    OpenOptions::new()
        .create(true)
        .append(true)
        // Who called whom is nobody else's business.
        .mode(0o640)
        .open(path)
}

pub(super) fn milliseconds(from: Instant, to: Instant) -> u64 {
    let span: Duration = to.saturating_duration_since(from);
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// A JSON object that is being written. By hand, for this happens once per call, and costs little more
/// than half of what a general serializer does. Keys are ours, and need no escaping.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// What comes before the next key.
    lead: u8,
}

impl<'o> Object<'o> {
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        Self { out, lead: b'{' }
    }

    pub(super) fn end(self) {
        self.out.push(b'}');
    }

    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(&[self.lead, b'"']);
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.lead = b',';
    }

    /// A text of anybody's: escaped, and what is not UTF-8 in it replaced.
    pub(super) fn text(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        if is_plain(value) {
            self.out.push(b'"');
            self.out.extend_from_slice(value);
            self.out.push(b'"');
        } else {
            self.out.push(b'"');
            for c in String::from_utf8_lossy(value).chars() {
                write_escaped(self.out, c);
            }
            self.out.push(b'"');
        }
    }

    pub(super) fn text_or_null(&mut self, key: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(key, value.as_bytes()),
            None => self.null(key),
        }
    }

    /// A value of ours, whose text needs no escaping.
    pub(super) fn display(&mut self, key: &str, value: &dyn Display) {
        self.key(key);
        // A vector takes everything, so this cannot fail.
        let _ = write!(self.out, "\"{value}\"");
    }

    pub(super) fn display_or_null<T: Display>(&mut self, key: &str, value: Option<&T>) {
        match value {
            Some(value) => self.display(key, value),
            None => self.null(key),
        }
    }

    pub(super) fn integer(&mut self, key: &str, value: u64) {
        self.key(key);
        let mut digits = itoa::Buffer::new();
        self.out.extend_from_slice(digits.format(value).as_bytes());
    }

    pub(super) fn integer_or_null(&mut self, key: &str, value: Option<u64>) {
        match value {
            Some(value) => self.integer(key, value),
            None => self.null(key),
        }
    }

    pub(super) fn flag(&mut self, key: &str, value: bool) {
        self.key(key);
        let text: &[u8] = if value { b"true" } else { b"false" };
        self.out.extend_from_slice(text);
    }

    pub(super) fn null(&mut self, key: &str) {
        self.key(key);
        self.out.extend_from_slice(b"null");
    }

    pub(super) fn object_or_null<T>(
        &mut self,
        key: &str,
        item: Option<&T>,
        write: impl Fn(&T, &mut Object<'_>),
    ) {
        let Some(item) = item else {
            self.null(key);
            return;
        };
        self.key(key);
        let mut object = Object::begin(self.out);
        write(item, &mut object);
        object.end();
    }

    /// A list of nothing.
    fn empty(&mut self, key: &str) {
        self.key(key);
        self.out.extend_from_slice(b"[]");
    }

    /// A list with an object for each of `items`.
    pub(super) fn objects<I: IntoIterator>(
        &mut self,
        key: &str,
        items: I,
        write: impl Fn(I::Item, &mut Object<'_>),
    ) {
        self.key(key);
        self.out.push(b'[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            let mut object = Object::begin(self.out);
            write(item, &mut object);
            object.end();
        }
        self.out.push(b']');
    }
}

/// Writes one character of a text. Beyond what JSON asks for, all that any reader could take for the end
/// of the line is escaped: C1's NEL, and Unicode's line and paragraph separators.
fn write_escaped(out: &mut Vec<u8>, c: char) {
    // A vector takes everything, so this cannot fail.
    let _ = match c {
        '"' | '\\' => write!(out, "\\{c}"),
        '\u{2028}' | '\u{2029}' => write!(out, "\\u{:04x}", u32::from(c)),
        c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c)),
        c => write!(out, "{c}"),
    };
}

/// Whether `text` is printable ASCII that JSON writes as it is. All of it is looked at in any case, so
/// that the compiler can take many bytes at a time.
fn is_plain(text: &[u8]) -> bool {
    let is_odd = |byte: u8| !(b' '..=b'~').contains(&byte) || byte == b'"' || byte == b'\\';
    !text.iter().fold(false, |odd, byte| odd | is_odd(*byte))
}

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use tests::sample;
