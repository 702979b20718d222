//! One connection: bytes to messages and messages to bytes, until it ends.
//!
//! ```text
//!  socket ──> StreamFramer ──> Hear          a message that finds no room is offered again, and
//!                                            meanwhile nothing is read: the peer waits, nobody else
//!  socket <── gathered <── Mailbox           bounded; a peer that does not read loses its connection
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time;
use tokio::time::Instant;

use crate::net::streams::end::End;
use crate::net::streams::quota::Serial;
use crate::net::streams::{Bring, Lines, lock};
use crate::sip::flow::Flow;
use crate::sip::frame::{Frame, StreamFramer};

/// How long a message may take from its first byte to its last.
const MESSAGE_TIME: Duration = Duration::from_secs(5);

/// How long the peer may take to read what was written.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// How long a connection on which nothing can be read any more stays for the answer that says so.
const LINGER: Duration = Duration::from_millis(500);

/// Pause before a message is offered again for which there was no room.
const ROOM_PAUSE: Duration = Duration::from_millis(2);

/// Messages that wait to be written at most; what comes beyond ends the connection.
const QUEUE: usize = 1024;

/// Bytes that wait to be written at most.
const QUEUE_BYTES: usize = 1 << 20;

/// Bytes written at once at most, one message excepted.
const GATHER: usize = 64 * 1024;

/// Bytes read at once at most.
const READ: usize = 4096;

/// The answer to a ping (RFC 5626 §3.5.1).
const PONG: Bytes = Bytes::from_static(b"\r\n");

/// Where messages for the peer are put.
#[derive(Clone)]
pub(super) struct Mailbox {
    sender: mpsc::Sender<Bytes>,
    waiting: Arc<AtomicUsize>,
}

/// The connection's side of its [`Mailbox`].
pub(super) struct Outgoing {
    receiver: mpsc::Receiver<Bytes>,
    waiting: Arc<AtomicUsize>,
}

/// Why a message was not put into a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unposted {
    /// The connection is gone.
    Gone,
    /// So much waits that the peer cannot be reading.
    Full,
}

/// Makes a mailbox.
pub(super) fn mailbox() -> (Mailbox, Outgoing) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let waiting = Arc::new(AtomicUsize::new(0));
    let mailbox = Mailbox {
        sender,
        waiting: Arc::clone(&waiting),
    };
    (mailbox, Outgoing { receiver, waiting })
}

impl Mailbox {
    /// Puts a message in.
    pub(super) fn post(&self, bytes: Bytes) -> Result<(), Unposted> {
        let length = bytes.len();
        if self.waiting.load(Ordering::Relaxed) + length > QUEUE_BYTES {
            return Err(Unposted::Full);
        }
        self.waiting.fetch_add(length, Ordering::Relaxed);
        self.sender.try_send(bytes).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unposted::Full,
            mpsc::error::TrySendError::Closed(_) => Unposted::Gone,
        })
    }
}

/// What a connection has to know.
pub(super) struct Wire<'a, B: Bring> {
    pub(super) flow: Flow,
    /// All connections, and who hears what they bring.
    pub(super) lines: &'a Lines<B>,
    pub(super) serial: Serial,
    /// Where its own pongs go.
    pub(super) mailbox: Mailbox,
    /// How long nothing need come.
    pub(super) idle: Duration,
    /// The same for one that is kept.
    pub(super) idle_kept: Duration,
    /// Whether it is kept: a listed peer's, or one by which a call came.
    pub(super) is_kept: Arc<AtomicBool>,
}

impl<B: Bring> Wire<'_, B> {
    /// Reads and writes until one of both is over.
    pub(super) async fn run<S>(&self, socket: S, outgoing: Outgoing) -> End
    where
        S: AsyncRead + AsyncWrite,
    {
        let (reader, writer) = tokio::io::split(socket);
        tokio::select! {
            end = self.read(reader) => end,
            end = write(writer, outgoing) => end,
        }
    }

    async fn read<S: AsyncRead>(&self, mut socket: ReadHalf<S>) -> End {
        let mut framer = StreamFramer::new();
        let mut frames = Vec::new();
        let mut buffer = [0; READ];
        let mut last = Instant::now();
        let mut begun = None;
        let mut is_silent = true;
        loop {
            let until = match begun {
                Some(begun) => begun + MESSAGE_TIME,
                None => last + self.idle(),
            };
            let count = match time::timeout_at(until, socket.read(&mut buffer)).await {
                Ok(Ok(0)) => return End::Closed,
                Ok(Ok(count)) => count,
                Ok(Err(error)) => return End::Broken(error),
                Err(_) if begun.is_some() => return End::Slow,
                Err(_) if last + self.idle() > Instant::now() => continue,
                Err(_) => return End::Idle,
            };
            framer.handle_bytes(buffer.get(..count).unwrap_or_default(), &mut frames);
            last = Instant::now();
            if !frames.is_empty() {
                begun = None;
            }
            let is_message = |frame: &Frame| matches!(frame, Frame::Message(_));
            if is_silent && frames.iter().any(is_message) {
                is_silent = false;
                lock(&self.lines.table).quota.note_message(self.serial);
            }
            for frame in frames.drain(..) {
                if let Some(end) = self.take(frame).await {
                    return end;
                }
            }
            begun = (framer.pending() > 0).then(|| begun.unwrap_or(last));
        }
    }

    /// How long nothing need come; a call may have come since this was last asked.
    fn idle(&self) -> Duration {
        if self.is_kept.load(Ordering::Relaxed) {
            self.idle_kept
        } else {
            self.idle
        }
    }

    async fn take(&self, frame: Frame) -> Option<End> {
        match frame {
            Frame::Ping => {
                // One that is not read loses its connection as any other message.
                self.mailbox.post(PONG).is_err().then_some(End::Unread)
            }
            Frame::Message(bytes) => {
                while !self.lines.bring.message(self.flow, &bytes) {
                    time::sleep(ROOM_PAUSE).await;
                }
                None
            }
            Frame::Broken { error, head } => {
                while !self.lines.bring.broken(self.flow, error, &head) {
                    time::sleep(ROOM_PAUSE).await;
                }
                time::sleep(LINGER).await;
                Some(End::Unreadable(error))
            }
        }
    }
}

async fn write<S: AsyncWrite>(mut socket: WriteHalf<S>, mut outgoing: Outgoing) -> End {
    let mut batch = Vec::new();
    while let Some(first) = outgoing.receiver.recv().await {
        batch.clear();
        batch.extend_from_slice(&first);
        while batch.len() < GATHER
            && let Ok(more) = outgoing.receiver.try_recv()
        {
            batch.extend_from_slice(&more);
        }
        let write = async {
            socket.write_all(&batch).await?;
            socket.flush().await
        };
        match time::timeout(WRITE_TIME, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return End::Broken(error),
            Err(_) => return End::Unread,
        }
        outgoing.waiting.fetch_sub(batch.len(), Ordering::Relaxed);
        batch.shrink_to(GATHER);
    }
    // Whoever could send has let go of it.
    let _ = time::timeout(LINGER, socket.shutdown()).await;
    End::Dropped
}
