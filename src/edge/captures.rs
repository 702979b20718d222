//! Captures: the packets of a call written to a file, because an operator asks for them.
//!
//! ```text
//!   POST /v1/captures ──> book: a file, its writer, a tap ── of a call that is there ──────> relay ─ packets ─> writer
//!                          └─ of the next call of a number or a trunk: waits for it ──────────^
//! ```
//!
//! All of it is bounded: how many there are at once, how long each waits and runs, its packets and its bytes. A call that
//! nobody looks at pays for none of it: shards look at one number, which says whether any capture waits.

mod pcap;

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::fs::{File, OpenOptions};
use std::io;
use std::io::{BufWriter, Write};
use std::mem;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::{info, warn};

use crate::net::clock;
use crate::net::relay::tap::{Bounds, Frame, Progress, Tap, tap};
use crate::types::ids::CallUuid;
use crate::types::number::Number;

/// Whose packets are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This call's.
    Call(CallUuid),
    /// The next one's that this number is dialled for.
    Number(Number),
    /// The next one's of this trunk.
    Trunk(Arc<str>),
}

/// Why there is no capture.
#[derive(Debug, Error)]
pub(super) enum Refused {
    /// There are as many as there may be.
    #[error("{MOST} captures wait or run already")]
    TooMany,
    /// Its file cannot be had.
    #[error("the file cannot be opened: {0}")]
    File(#[from] io::Error),
}

/// All captures.
pub(super) struct Captures {
    folder: PathBuf,
    book: Mutex<Book>,
    /// Those that have no call's media yet.
    waiting: AtomicUsize,
}

#[derive(Default)]
struct Book {
    last: u64,
    /// At most [`MOST`] that are not over, and [`KEPT`] that are.
    entries: VecDeque<Entry>,
}

struct Entry {
    id: u64,
    wanted: Wanted,
    stage: Stage,
    file: String,
    count: Arc<Count>,
    progress: Arc<Progress>,
    writer: Option<JoinHandle<()>>,
}

/// How far it is.
enum Stage {
    /// No call has come yet.
    Waiting(Box<Tap>, Instant),
    /// This one has, but none of its packets.
    Named(CallUuid, Box<Tap>, Instant),
    /// The relay has the tap, or has given it back.
    Running(CallUuid),
    /// It came to nothing, or was given up.
    Over,
}

/// What was written.
#[derive(Default)]
struct Count {
    packets: AtomicU64,
    bytes: AtomicU64,
}

/// A capture, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) id: u64,
    /// `waiting`, `running`, `over`.
    pub(super) state: &'static str,
    pub(super) call: Option<CallUuid>,
    /// Its name in the folder.
    pub(super) file: String,
    pub(super) packets: u64,
    /// In the file, so far.
    pub(super) bytes: u64,
    /// Packets that were not written, because the disk is too slow.
    pub(super) lost: u64,
}

impl Captures {
    /// Has captures written to `folder`; `None`: there are none.
    ///
    /// # Errors
    ///
    /// When that is no folder.
    pub(super) fn open(folder: Option<&Path>) -> io::Result<Option<Arc<Self>>> {
        let Some(folder) = folder else {
            return Ok(None);
        };
        let unusable = |why: &dyn fmt::Display| {
            io::Error::other(format!("captures: {}: {why}", folder.display()))
        };
        if !fs::metadata(folder)
            .map_err(|error| unusable(&error))?
            .is_dir()
        {
            return Err(unusable(&"is no directory"));
        }
        Ok(Some(Arc::new(Self {
            folder: folder.to_owned(),
            book: Mutex::default(),
            waiting: AtomicUsize::new(0),
        })))
    }

    /// Begins one; it waits for its call for so long.
    pub(super) fn begin(
        &self,
        wanted: Wanted,
        bounds: Bounds,
        wait: Duration,
    ) -> Result<Shown, Refused> {
        let mut book = self.book();
        if book.entries.iter().filter(|one| !one.is_over()).count() >= MOST {
            return Err(Refused::TooMany);
        }
        book.last += 1;
        let id = book.last;
        let file = format!("{}-{id}.pcap", clock::wall().as_secs());
        let path = self.folder.join(&file);
        // Somebody's words are in it.
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let (count, progress) = (Arc::<Count>::default(), Arc::<Progress>::default());
        let (tap, frames) = tap(bounds, Arc::clone(&progress));
        let counted = Arc::clone(&count);
        let writer = thread::Builder::new()
            .name(format!("capture-{id}"))
            .spawn(move || write(&path, opened, &frames, &counted))?;
        let (tap, until) = (Box::new(tap), clock::now() + wait);
        let entry = Entry {
            id,
            stage: match &wanted {
                Wanted::Call(uuid) => Stage::Named(*uuid, tap, until),
                Wanted::Number(_) | Wanted::Trunk(_) => Stage::Waiting(tap, until),
            },
            wanted,
            file,
            count,
            progress,
            writer: Some(writer),
        };
        let shown = entry.shown();
        book.entries.push_back(entry);
        self.tidy(&mut book);
        Ok(shown)
    }

    /// Whether a call that begins could be wanted. To be asked before anything else is, for it costs nothing.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// A call has begun: it may be one that is wanted.
    pub(super) fn note_call(&self, uuid: CallUuid, trunk: &str, dialled: Option<&Number>) {
        let mut book = self.book();
        self.tidy(&mut book);
        let is_it = |wanted: &Wanted| match wanted {
            Wanted::Call(_) => false,
            Wanted::Number(number) => Some(number) == dialled,
            Wanted::Trunk(id) => **id == *trunk,
        };
        let mut entries = book.entries.iter_mut();
        let found =
            entries.find(|one| matches!(one.stage, Stage::Waiting(..)) && is_it(&one.wanted));
        if let Some(entry) = found {
            entry.stage = match mem::replace(&mut entry.stage, Stage::Over) {
                Stage::Waiting(tap, until) => Stage::Named(uuid, tap, until),
                other @ (Stage::Named(..) | Stage::Running(_) | Stage::Over) => other,
            };
        }
    }

    /// The relay has this call's media: the tap to put to it, if it is wanted.
    pub(super) fn take(&self, uuid: CallUuid) -> Option<Tap> {
        let mut book = self.book();
        let named = |one: &&mut Entry| matches!(one.stage, Stage::Named(own, ..) if own == uuid);
        let entry = book.entries.iter_mut().find(named)?;
        let Stage::Named(_, mut tap, _) = mem::replace(&mut entry.stage, Stage::Running(uuid))
        else {
            return None;
        };
        info!(capture = entry.id, call = %uuid, file = entry.file, "capture begins");
        self.tidy(&mut book);
        tap.begin(clock::now(), clock::wall());
        Some(*tap)
    }

    /// A call is over: it has no packets that have not come yet.
    pub(super) fn note_end(&self, uuid: CallUuid) {
        let mut book = self.book();
        for entry in &mut book.entries {
            if matches!(entry.stage, Stage::Named(own, ..) if own == uuid) {
                entry.stage = Stage::Over;
            }
        }
        self.tidy(&mut book);
    }

    /// Ends one; `false`: there is none of this id.
    pub(super) fn stop(&self, id: u64) -> bool {
        let mut book = self.book();
        let Some(entry) = book.entries.iter_mut().find(|one| one.id == id) else {
            return false;
        };
        entry.progress.stop();
        if !matches!(entry.stage, Stage::Running(_)) {
            entry.stage = Stage::Over;
        }
        self.tidy(&mut book);
        true
    }

    /// All of them, the oldest first.
    pub(super) fn list(&self) -> Vec<Shown> {
        let mut book = self.book();
        self.tidy(&mut book);
        book.entries.iter().map(Entry::shown).collect()
    }

    /// Waits until all files are whole. No relay may be left.
    pub(super) fn close(&self) {
        let entries = mem::take(&mut self.book().entries);
        for mut entry in entries {
            entry.stage = Stage::Over;
            if let Some(writer) = entry.writer.take() {
                // A panic of it has been told of by the hook.
                let _ = writer.join();
            }
        }
    }

    /// Gives up who has waited too long, forgets what has been over for long, and counts who waits.
    fn tidy(&self, book: &mut Book) {
        let now = clock::now();
        for entry in &mut book.entries {
            if let Stage::Waiting(_, until) | Stage::Named(_, _, until) = &entry.stage
                && *until <= now
            {
                entry.stage = Stage::Over;
            }
        }
        let over = book.entries.iter().filter(|one| one.is_over()).count();
        for _ in KEPT..over {
            if let Some(place) = book.entries.iter().position(Entry::is_over) {
                book.entries.remove(place);
            }
        }
        let is_waiting = |one: &&Entry| matches!(one.stage, Stage::Waiting(..) | Stage::Named(..));
        let waiting = book.entries.iter().filter(is_waiting).count();
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Each change is whole.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whether its file is whole.
    fn is_over(&self) -> bool {
        self.writer.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn shown(&self) -> Shown {
        let is_over = self.is_over() || matches!(self.stage, Stage::Over);
        let call = match (&self.stage, &self.wanted) {
            (Stage::Named(uuid, ..) | Stage::Running(uuid), _) | (_, Wanted::Call(uuid)) => {
                Some(*uuid)
            }
            (Stage::Waiting(..) | Stage::Over, Wanted::Number(_) | Wanted::Trunk(_)) => None,
        };
        Shown {
            id: self.id,
            state: match self.stage {
                _ if is_over => "over",
                Stage::Running(_) => "running",
                Stage::Waiting(..) | Stage::Named(..) | Stage::Over => "waiting",
            },
            call,
            file: self.file.clone(),
            packets: self.count.packets.load(Ordering::Relaxed),
            bytes: self.count.bytes.load(Ordering::Relaxed),
            lost: self.progress.lost(),
        }
    }
}

/// Writes a capture until its tap is gone. A file without packets does not stay.
fn write(path: &Path, file: File, frames: &Receiver<Frame>, count: &Count) {
    let mut file = BufWriter::new(file);
    let result = write_all(&mut file, frames, count).and_then(|()| file.flush());
    let packets = count.packets.load(Ordering::Relaxed);
    if let Err(error) = result {
        warn!(file = %path.display(), %error, "a capture is cut off");
    } else if packets == 0 {
        // An error means that somebody else has removed it.
        let _ = fs::remove_file(path);
    } else {
        info!(file = %path.display(), packets, "capture ends");
    }
}

fn write_all(out: &mut impl Write, frames: &Receiver<Frame>, count: &Count) -> io::Result<()> {
    let mut buffer = Vec::new();
    pcap::write_head(&mut buffer);
    loop {
        out.write_all(&buffer)?;
        count
            .bytes
            .fetch_add(buffer.len() as u64, Ordering::Relaxed);
        buffer.clear();
        match frames.recv_timeout(FLUSH) {
            Ok(frame) => {
                pcap::write_frame(&mut buffer, &frame);
                count
                    .packets
                    .fetch_add(u64::from(!buffer.is_empty()), Ordering::Relaxed);
            }
            // Whoever reads it meanwhile sees what there is.
            Err(RecvTimeoutError::Timeout) => out.flush()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Captures that wait or run at once at most.
pub(super) const MOST: usize = 4;
/// Captures that are over and still shown.
const KEPT: usize = 32;
/// After so long without a packet, what was written can be read.
const FLUSH: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
