//! A server of HTTP/1.1 that does what a test wants, however rude that is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time;

/// What it does once it has read a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Answers with these bytes and waits for the next request.
    Answer(String),
    /// Answers and closes the connection, though it did not say so.
    AnswerAndClose(String),
    /// Sends these bytes and then nothing more.
    Stall(String),
    /// Sends these bytes one by one, with a pause before each.
    Drip(String, Duration),
    /// Answers after a while.
    Late(Duration, String),
    /// Closes the connection without a word.
    Close,
}

/// Chooses what to do with a request.
type Choose = dyn Fn(&str) -> Act + Send + Sync;

/// A running server; ends when it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    choose: Box<Choose>,
    connections: AtomicUsize,
    requests: Mutex<Vec<String>>,
}

impl Server {
    /// Listens on a free port of `ip`.
    pub(crate) async fn start(
        ip: &str,
        choose: impl Fn(&str) -> Act + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            choose: Box::new(choose),
            connections: AtomicUsize::new(0),
            requests: Mutex::default(),
        });
        let served = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                served.connections.fetch_add(1, Ordering::SeqCst);
                let served = Arc::clone(&served);
                tokio::spawn(async move { served.serve(stream).await });
            }
        });
        Self {
            address,
            shared,
            task,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// The requests so far, in order, each with its body.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().expect("no panic").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Serves one connection until somebody has had enough.
    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut buffer = Vec::new();
        loop {
            let request = read(&mut stream, &mut buffer).await?;
            let act = (self.choose)(&request);
            self.requests.lock().expect("no panic").push(request);
            match act {
                Act::Answer(text) => stream.write_all(text.as_bytes()).await.ok()?,
                Act::AnswerAndClose(text) => {
                    stream.write_all(text.as_bytes()).await.ok()?;
                    return None;
                }
                Act::Stall(text) => {
                    stream.write_all(text.as_bytes()).await.ok()?;
                    time::sleep(Duration::from_secs(60)).await;
                }
                Act::Drip(text, pause) => {
                    for byte in text.bytes() {
                        time::sleep(pause).await;
                        stream.write_all(&[byte]).await.ok()?;
                    }
                }
                Act::Late(pause, text) => {
                    time::sleep(pause).await;
                    stream.write_all(text.as_bytes()).await.ok()?;
                }
                Act::Close => return None,
            }
        }
    }
}

/// One request with its body.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(buffer).into_owned();
        if let Some(end) = text.find("\r\n\r\n") {
            let length = text
                .lines()
                .find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")?
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            let whole = end + 4 + length;
            if buffer.len() >= whole {
                let request = String::from_utf8_lossy(&buffer[..whole]).into_owned();
                buffer.drain(..whole);
                return Some(request);
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// 200 with a body.
pub(crate) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A status without a body, and more headers, each with its line end.
pub(crate) fn status(status: u16, headers: &str) -> String {
    format!("HTTP/1.1 {status} Whatever\r\n{headers}Content-Length: 0\r\n\r\n")
}
