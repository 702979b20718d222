//! The threads that write: log lines and call records. Whoever has something to write hands it over
//! by a bounded channel and never waits.

use std::io;
use std::io::Write;
use std::iter;
use std::str;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use thiserror::Error;
use tracing::error;
use tracing::subscriber::SetGlobalDefaultError;

use crate::call::record::Record;
use crate::config::Telemetry;
use crate::edge::journal::append_record;
use crate::edge::reception::Reception;
use crate::edge::storeroom;
use crate::net::clock;
use crate::store::Lane;
use crate::telemetry::log;
use crate::telemetry::log::{Entry, Lines, NotAFilter};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::record::{RecordFile, Told, write_line_with};

/// How long a writer lets things gather once the first is there. Each wake-up of a thread costs more
/// than formatting a record, and so does the sender's system call to wake it; a sleeping writer
/// needs neither.
const GATHER: Duration = Duration::from_millis(50);

/// The same where the journal waits: what has not come that far is lost in a crash.
const GATHER_FOR_JOURNAL: Duration = Duration::from_millis(5);

/// How long what the journal did not take waits.
const RETRY: Duration = Duration::from_millis(250);

/// Records that wait at most, some seconds at full load; what comes beyond is lost, and said to be.
const RECORDS: usize = 16_384;

/// Log lines that wait at most; what comes beyond is dropped and counted.
const LINES: usize = 8192;

/// Things written by one system call at most.
const BATCH: usize = 1024;

/// How long the end waits for a reader of the log that does not read.
const PATIENCE: Duration = Duration::from_secs(1);

/// Log lines dropped; the log is the process's, and so is this.
static LOG_DROPS: AtomicU64 = AtomicU64::new(0);

/// Log lines dropped so far because standard output was too slow.
pub(super) fn log_drops() -> u64 {
    LOG_DROPS.load(Ordering::Relaxed)
}

/// A shard's hand on the records' writer.
#[derive(Clone)]
pub(super) struct Records {
    sender: SyncSender<Box<Record>>,
    metrics: Arc<Metrics>,
}

impl Records {
    /// Hands records to `sender`, whoever listens there.
    pub(super) fn to(sender: SyncSender<Box<Record>>, metrics: Arc<Metrics>) -> Self {
        Self { sender, metrics }
    }

    /// Hands `record` over, or gives it back if there is no room; it is counted as lost then.
    pub(super) fn post(&self, record: Box<Record>) -> Result<(), Box<Record>> {
        self.sender.try_send(record).map_err(|error| {
            self.metrics.add_records_lost(1);
            match error {
                TrySendError::Full(record) | TrySendError::Disconnected(record) => record,
            }
        })
    }
}

/// Who knows what a vendor has told of calls; nobody, until there is somebody.
pub(super) type Teller = Arc<OnceLock<Arc<Reception>>>;

/// Where records go.
pub(super) enum Destination {
    /// Into a file, whatever becomes of it.
    File(RecordFile),
    /// Into the journal: the store's keeper writes the file.
    Lane(Lane),
}

/// The thread that writes call records. It ends when the last [`Records`] is dropped.
pub(super) struct RecordWriter {
    thread: JoinHandle<()>,
    reopen: Arc<AtomicBool>,
}

impl RecordWriter {
    /// Starts; `node` is named in every record.
    pub(super) fn start(
        destination: Destination,
        node: &str,
        (metrics, teller): (Arc<Metrics>, Teller),
    ) -> io::Result<(Self, Records)> {
        let reopen = Arc::new(AtomicBool::new(false));
        let (sender, receiver) = sync_channel(RECORDS);
        let job = RecordJob {
            receiver,
            node: node.to_owned(),
            reopen: Arc::clone(&reopen),
            metrics: Arc::clone(&metrics),
            teller,
        };
        let thread = thread::Builder::new()
            .name("records".to_owned())
            .spawn(move || match destination {
                Destination::File(file) => job.write(file),
                Destination::Lane(lane) => job.commit(lane),
            })?;
        Ok((Self { thread, reopen }, Records { sender, metrics }))
    }

    /// Has the file opened anew before the next record is written.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Relaxed);
    }

    /// Waits until all records are on the disk, or in the journal.
    pub(super) fn join(self) {
        if self.thread.join().is_err() {
            error!("the writer of call records has panicked");
        }
    }
}

struct RecordJob {
    receiver: Receiver<Box<Record>>,
    node: String,
    reopen: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    teller: Teller,
}

impl RecordJob {
    /// What a vendor has told of this call so far.
    fn told(&self, record: &Record) -> Vec<Told> {
        match (record.vendor_leg(), self.teller.get()) {
            (Some(leg), Some(teller)) => teller.told(storeroom::moment(), leg, record.uuid),
            (Some(_) | None, _) => Vec::new(),
        }
    }

    /// Writes into a file.
    fn write(self, mut file: RecordFile) {
        let mut lines = Vec::new();
        while let Ok(first) = self.receiver.recv() {
            thread::sleep(GATHER);
            lines.clear();
            let anchor = clock::anchor();
            let mut count = 0;
            for record in iter::once(first)
                .chain(self.receiver.try_iter())
                .take(BATCH)
            {
                count += 1;
                let told = self.told(&record);
                write_line_with(&mut lines, &self.node, (&record, &told), &anchor);
            }
            if self.reopen.swap(false, Ordering::Relaxed)
                && let Err(error) = file.reopen()
            {
                error!(%error, "call records go on in the old file");
            }
            match file.append(&lines) {
                Ok(()) => self.metrics.add_records_written(count),
                Err(error) => {
                    self.metrics.add_records_lost(count);
                    error!(%error, count, "call records lost");
                }
            }
        }
        // Not every file can do it; what was written is with the kernel in any case.
        let _ = file.sync();
    }

    /// Writes into the journal. What it does not take stays with the lane, and is tried again.
    fn commit(self, mut lane: Lane) {
        let mut line = Vec::new();
        let mut is_stuck = false;
        loop {
            let first = if is_stuck {
                self.receiver.recv_timeout(RETRY)
            } else {
                self.receiver.recv().map_err(Into::into)
            };
            match first {
                Ok(first) => {
                    thread::sleep(GATHER_FOR_JOURNAL);
                    let anchor = clock::anchor();
                    let more = self.receiver.try_iter();
                    for record in iter::once(first).chain(more).take(BATCH) {
                        line.clear();
                        let told = self.told(&record);
                        write_line_with(&mut line, &self.node, (&record, &told), &anchor);
                        if let Err(error) = append_record(&mut lane, &record, &line, &anchor) {
                            self.metrics.add_records_lost(1);
                            error!(%error, call = %record.uuid, "call record lost");
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let result = lane.commit();
            if let Err(error) = &result
                && !is_stuck
            {
                error!(%error, "call records wait: the journal cannot be written");
            }
            is_stuck = result.is_err();
        }
        if is_stuck && lane.commit().is_err() {
            error!("call records lost: the journal cannot be written");
        }
    }
}

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LogError {
    /// The filter is wrong.
    #[error(transparent)]
    Filter(#[from] NotAFilter),
    /// There is one already.
    #[error(transparent)]
    Taken(#[from] SetGlobalDefaultError),
    /// No thread for it.
    #[error("cannot start the log's writer: {0}")]
    Thread(#[from] io::Error),
}

/// The process's log: lines on standard output, written by a thread of its own.
pub struct Log {
    sender: SyncSender<Entry>,
    done: Receiver<()>,
}

impl Log {
    /// Makes `tracing`'s events lines from now on.
    ///
    /// # Errors
    ///
    /// When the filter cannot be read, or there is a log already.
    pub fn start(telemetry: &Telemetry) -> Result<Self, LogError> {
        let (sender, receiver) = sync_channel(LINES);
        let lines = Lines::new(sender.clone(), &LOG_DROPS);
        let subscriber = log::subscriber(&telemetry.log, telemetry.log_format, lines)?;
        let (finished, done) = sync_channel(1);
        // Not joined but waited for in `finish`: it may hang on a reader who does not read.
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                write_lines(&receiver);
                // Nobody may be waiting any more.
                let _ = finished.send(());
            })?;
        tracing::subscriber::set_global_default(subscriber)?;
        Ok(Self { sender, done })
    }

    /// Waits until all lines are written, for a second at most.
    pub fn finish(self) {
        if self.sender.try_send(Entry::End).is_ok() {
            // Either way the process ends.
            let _ = self.done.recv_timeout(PATIENCE);
        }
    }
}

fn write_lines(receiver: &Receiver<Entry>) {
    let mut lines = Vec::new();
    let mut is_over = false;
    while !is_over {
        let Ok(first) = receiver.recv() else {
            return;
        };
        thread::sleep(GATHER);
        lines.clear();
        for entry in iter::once(first).chain(receiver.try_iter()).take(BATCH) {
            match entry {
                Entry::Line(line) => lines.extend_from_slice(&line),
                Entry::End => is_over = true,
            }
        }
        let mut output = io::stdout().lock();
        // There is nowhere to say that the log cannot be written.
        let _ = output.write_all(&lines).and_then(|()| output.flush());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::telemetry::record::sample;

    #[test]
    fn every_record_is_in_the_file_when_the_writer_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        let metrics = Arc::new(Metrics::new());
        let file = Destination::File(RecordFile::open(path.clone()).unwrap());
        let (writer, records) =
            RecordWriter::start(file, "edge-1", (Arc::clone(&metrics), Teller::default())).unwrap();

        for _ in 0..3000 {
            assert!(records.post(Box::new(sample().1)).is_ok());
        }
        drop(records);
        writer.join();

        assert_eq!(fs::read_to_string(path).unwrap().lines().count(), 3000);
        let text = metrics.render();
        assert!(text.contains("strowger_records_total{result=\"written\"} 3000\n"));
    }

    #[test]
    fn a_record_that_finds_no_room_comes_back_and_is_counted() {
        let (sender, _receiver) = sync_channel(1);
        let metrics = Arc::new(Metrics::new());
        let records = Records {
            sender,
            metrics: Arc::clone(&metrics),
        };

        assert!(records.post(Box::new(sample().1)).is_ok());
        assert!(records.post(Box::new(sample().1)).is_err());

        let text = metrics.render();
        assert!(text.contains("strowger_records_total{result=\"lost\"} 1\n"));
    }
}
