//! WebSocket (RFC 6455), the half of it that tells clients what happens: what they say besides is heard and forgotten.
//!
//! ```text
//!   GET, Upgrade: websocket ──> greet: 101 ──> attend:  queue ──> text frames
//!                                                       30 s without a word: a ping;  75 s: closed
//! ```

pub mod frame;

use std::time::Duration;

use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time;
use tokio::time::Instant;

use crate::net::websocket::frame::{GOING_AWAY, NORMAL, Reader, Said};
use crate::types::base64;

/// How long clients are waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// How long one may be silent before it is asked whether it is there.
    silence: Duration,
    /// How long it may be silent at all.
    gone: Duration,
    /// How long it may take a message.
    write: Duration,
}

const PATIENCE: Patience = Patience {
    silence: Duration::from_secs(30),
    gone: Duration::from_secs(75),
    write: Duration::from_secs(10),
};

/// Bytes that are read at once.
const PIECE: usize = 1024;

/// Why a request opens no WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoSocket {
    /// It does not ask for one (426).
    NotAsked,
    /// It asks for another version (426).
    Version,
    /// Its key is none (400).
    Key,
}

/// What `Sec-WebSocket-Accept` answers to a request for a WebSocket (RFC 6455 §4.2).
///
/// # Errors
///
/// When it is no such request.
pub fn greet(headers: &HeaderMap) -> Result<HeaderValue, NoSocket> {
    let has = |name, wanted: &str| {
        let values = headers.get_all(name).iter();
        let values = values.filter_map(|value: &HeaderValue| value.to_str().ok());
        let mut words = values.flat_map(|value| value.split(','));
        words.any(|word| word.trim().eq_ignore_ascii_case(wanted))
    };
    if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
        return Err(NoSocket::NotAsked);
    }
    let version = headers.get(SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version != "13") {
        return Err(NoSocket::Version);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| key.len() == 24).ok_or(NoSocket::Key)?;
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(MAGIC);
    let accept = base64::encode(&hash.finalize());
    HeaderValue::try_from(accept).map_err(|_| NoSocket::Key)
}

/// The words that a client offers as protocols.
pub fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim))
}

/// How a conversation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The client has gone.
    Left,
    /// The client was told to go: its time is over, or so is ours.
    Dismissed,
    /// It said nothing for too long, or took nothing.
    Silent,
    /// What it said is against the protocol.
    Rude,
}

impl Ended {
    /// Its name in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Dismissed => "dismissed",
            Self::Silent => "silent",
            Self::Rude => "rude",
        }
    }
}

/// Tells a client what comes through `queue`, each a message in text, until it leaves, `until` has come, or nobody is left who
/// could say anything.
pub async fn attend(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    queue: &mut mpsc::Receiver<Bytes>,
    until: Instant,
) -> Ended {
    attend_with(PATIENCE, stream, queue, until).await
}

async fn attend_with(
    patience: Patience,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    queue: &mut mpsc::Receiver<Bytes>,
    until: Instant,
) -> Ended {
    let mut stream = Timed {
        stream,
        limit: patience.write,
    };
    let mut reader = Reader::default();
    let mut heard = Instant::now();
    let mut is_asked = false;
    let mut piece = [0; PIECE];
    loop {
        let end = heard
            + if is_asked {
                patience.gone
            } else {
                patience.silence
            };
        let (code, ended) = tokio::select! {
            // First what is to be told: a client that talks without end must not keep it back.
            biased;
            message = queue.recv() => match message {
                Some(body) => match stream.write(&frame::text(&body)).await {
                    Some(()) => continue,
                    None => return Ended::Silent,
                },
                None => (GOING_AWAY, Ended::Dismissed),
            },
            () = time::sleep_until(until) => (NORMAL, Ended::Dismissed),
            count = stream.stream.read(&mut piece) => {
                let bytes = count.ok().filter(|count| *count > 0);
                let Some(bytes) = bytes.and_then(|count| piece.get(..count)) else {
                    return Ended::Left;
                };
                (heard, is_asked) = (Instant::now(), false);
                reader.take(bytes);
                match answer(&mut reader, &mut stream).await {
                    Ok(()) => continue,
                    Err(over) => over,
                }
            },
            () = time::sleep_until(end) => {
                if is_asked {
                    return Ended::Silent;
                }
                is_asked = true;
                match stream.write(&frame::ping()).await {
                    Some(()) => continue,
                    None => return Ended::Silent,
                }
            },
        };
        // It need not hear it.
        let _ = stream.write(&frame::close(code)).await;
        let _ = stream.stream.shutdown().await;
        return ended;
    }
}

/// Answers what has come; `Err`: it is over, for this reason.
async fn answer<S: AsyncWrite + Unpin>(
    reader: &mut Reader,
    stream: &mut Timed<S>,
) -> Result<(), (u16, Ended)> {
    loop {
        match reader.poll_frame() {
            Ok(None) => return Ok(()),
            Ok(Some(Said::Ping(body))) => {
                let pong = stream.write(&frame::pong(&body)).await;
                pong.ok_or((NORMAL, Ended::Silent))?;
            }
            Ok(Some(Said::Close(code))) => return Err((code.unwrap_or(NORMAL), Ended::Left)),
            Ok(Some(Said::Pong | Said::Words)) => {}
            Err(fault) => return Err((fault.code(), Ended::Rude)),
        }
    }
}

/// A stream whose writes have a limit.
struct Timed<S> {
    stream: S,
    limit: Duration,
}

impl<S: AsyncWrite + Unpin> Timed<S> {
    /// Writes all of it; `None`: the client does not take it.
    async fn write(&mut self, bytes: &[u8]) -> Option<()> {
        let written = time::timeout(self.limit, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        written.await.ok()?.ok()
    }
}

/// What every server adds to the key (RFC 6455 §1.3).
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    #[test]
    fn the_greeting_of_the_rfc_is_answered() {
        let headers = head(&[]);

        let accept = greet(&headers).unwrap();

        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let offered: Vec<_> = protocols(&headers).collect();
        assert_eq!(offered, ["chat", "superchat"]);
    }

    #[test]
    fn what_asks_for_something_else_gets_none() {
        for (name, value, fault) in [
            ("upgrade", "h2c", NoSocket::NotAsked),
            ("connection", "keep-alive", NoSocket::NotAsked),
            ("sec-websocket-version", "8", NoSocket::Version),
            ("sec-websocket-key", "short", NoSocket::Key),
        ] {
            assert_eq!(greet(&head(&[(name, value)])), Err(fault), "{name}");
        }
        assert_eq!(greet(&HeaderMap::new()), Err(NoSocket::NotAsked));
    }

    #[test]
    fn what_is_told_arrives_and_the_end_is_said() {
        run(async {
            let (mut client, task, queue) = start(Duration::from_secs(3600));

            queue.send(Bytes::from_static(b"{\"a\":1}")).await.unwrap();
            assert_eq!(read(&mut client, 9).await, b"\x81\x07{\"a\":1}");
            drop(queue);

            assert_eq!(read(&mut client, 4).await, b"\x88\x02\x03\xe9");
            assert_eq!(task.await.unwrap(), Ended::Dismissed);
        });
    }

    #[test]
    fn a_ping_is_answered_and_a_farewell_too() {
        run(async {
            let (mut client, task, _queue) = start(Duration::from_secs(3600));

            client.write_all(b"\x89\x82\0\0\0\0hi").await.unwrap();
            assert_eq!(read(&mut client, 4).await, b"\x8a\x02hi");
            client.write_all(b"\x88\x82\0\0\0\0\x0f\xa0").await.unwrap();

            assert_eq!(read(&mut client, 4).await, b"\x88\x02\x0f\xa0");
            assert_eq!(task.await.unwrap(), Ended::Left);
        });
    }

    #[test]
    fn who_says_nothing_is_asked_and_then_given_up() {
        run(async {
            let began = Instant::now();
            let (mut client, task, _queue) = start(Duration::from_secs(3600));

            assert_eq!(read(&mut client, 2).await, b"\x89\x00");
            client.write_all(b"\x8a\x80\0\0\0\0").await.unwrap();
            assert_eq!(read(&mut client, 2).await, b"\x89\x00");

            assert_eq!(task.await.unwrap(), Ended::Silent);
            // Two silences, and what is left of the time after the second question.
            assert!(began.elapsed() >= QUICK.silence + QUICK.gone);
        });
    }

    #[test]
    fn it_is_over_when_its_time_is() {
        run(async {
            let (mut client, task, _queue) = start(Duration::from_millis(20));

            assert_eq!(read(&mut client, 4).await, b"\x88\x02\x03\xe8");
            assert_eq!(task.await.unwrap(), Ended::Dismissed);
        });
    }

    #[test]
    fn who_is_rude_is_told_so() {
        run(async {
            let (mut client, task, _queue) = start(Duration::from_secs(5));

            client.write_all(b"\x81\x02hi").await.unwrap();

            assert_eq!(read(&mut client, 4).await, b"\x88\x02\x03\xea");
            assert_eq!(task.await.unwrap(), Ended::Rude);
        });
    }

    #[test]
    fn who_takes_nothing_is_given_up() {
        run(async {
            let (_client, task, queue) = start(Duration::from_secs(3600));

            queue.send(Bytes::from(vec![b' '; 10_000])).await.unwrap();

            assert_eq!(task.await.unwrap(), Ended::Silent);
        });
    }

    const QUICK: Patience = Patience {
        silence: Duration::from_millis(100),
        gone: Duration::from_millis(200),
        write: Duration::from_millis(100),
    };

    type Started = (
        DuplexStream,
        tokio::task::JoinHandle<Ended>,
        mpsc::Sender<Bytes>,
    );

    fn start(time: Duration) -> Started {
        let (client, server) = duplex(256);
        let (sender, mut queue) = mpsc::channel(4);
        let until = Instant::now() + time;
        let task = tokio::spawn(async move { attend_with(QUICK, server, &mut queue, until).await });
        (client, task, sender)
    }

    async fn read(client: &mut DuplexStream, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        client.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    /// The request of RFC 6455 §1.2, with changes.
    fn head(changes: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("upgrade", "websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-version", "13"),
        ]
        .iter()
        .chain(changes)
        {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(test);
    }
}
