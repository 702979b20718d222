//! A configuration in a folder of its own, and little peers that write SIP by hand.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use strowger::config;
use strowger::edge::{Disk, Edge};
use tempfile::TempDir;

/// How long a peer waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A configuration whose listeners have free ports.
pub(crate) struct Site {
    pub(crate) config: PathBuf,
    pub(crate) folder: TempDir,
}

impl Site {
    pub(crate) fn new(shards: usize) -> Self {
        Self::with_buyer(shards, "127.0.0.1:9".parse().unwrap())
    }

    pub(crate) fn with_buyer(shards: usize, buyer: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("strowger.toml");
        let text = format!(
            r#"
[node]
name = "loopback"
shards = {shards}
drain_limit = "30s"

# A build without optimisation, with other tests beside it, may be slow; what is done then has tests of its own.
[overload]
target = "0s"
stale = "0s"

[http]
bind = "127.0.0.1:0"

[telemetry]
log = "info"
records = "records.jsonl"

[[listen]]
bind = "127.0.0.1:0"

[[listen]]
bind = "[::1]:0"

[[domain]]
name = "sip.example.com"
require = "ip"

[[trunk]]
id = "carrier"
company = "acme"
domains = ["sip.example.com"]
allow = ["127.0.0.1/32", "::1/128"]

[[company]]
id = "acme"
key_secret = "loopback-0123456789abcdef"

[[publisher]]
afid = "bright-leads"
company = "acme"

[[buyer]]
id = "sunny"
company = "acme"
uri = "sip:sales@buyer.example.com"
address = "{buyer}"

[[campaign]]
id = "solar"
company = "acme"
buyers = ["sunny"]

[[number]]
number = "+12125550101"
campaign = "solar"
afid = "bright-leads"
"#
        );
        fs::write(&config, text).unwrap();
        Self { config, folder }
    }

    /// Adds to the configuration.
    pub(crate) fn append(&self, text: &str) {
        let before = fs::read_to_string(&self.config).unwrap();
        fs::write(&self.config, before + text).unwrap();
    }

    pub(crate) fn start(&self) -> Edge {
        let disk = Disk::new().unwrap();
        match config::load(&self.config, &disk, 1) {
            Ok(settings) => Edge::start(settings).unwrap(),
            Err(faults) => panic!("{faults}"),
        }
    }

    /// The call records so far.
    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        fs::read_to_string(self.folder.path().join("records.jsonl"))
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// The port of a socket that is no more.
pub(crate) fn closed_port() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

/// Asks over HTTP; returns status and body.
pub(crate) fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(6 * PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// One carrier with one call.
pub(crate) struct Carrier {
    socket: UdpSocket,
    edge: SocketAddr,
    /// No other carrier has it: the system gives a port out again while the edge still knows its last call.
    serial: u64,
    /// What the edge put into To and Contact of its 200.
    answered: Option<(String, String)>,
}

static SERIALS: AtomicU64 = AtomicU64::new(1);

impl Carrier {
    pub(crate) fn new(edge: SocketAddr) -> Self {
        let own = if edge.is_ipv4() {
            "127.0.0.1:0"
        } else {
            "[::1]:0"
        };
        let socket = UdpSocket::bind(own).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            edge,
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
            answered: None,
        }
    }

    pub(crate) fn send(&self, message: &[u8]) {
        self.socket.send_to(message, self.edge).unwrap();
    }

    pub(crate) fn receive(&self) -> String {
        let mut buffer = vec![0; 65_536];
        let (length, _) = self.socket.recv_from(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    /// The next message that is `wanted`; others are left aside.
    pub(crate) fn receive_where(&self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            let message = self.receive();
            if wanted(&message) {
                return message;
            }
        }
    }

    pub(crate) fn options(&self) -> Vec<u8> {
        let uri = "sip:sip.example.com";
        self.request("OPTIONS", uri, "<sip:sip.example.com>", 1, "")
    }

    /// An INVITE with one header more.
    pub(crate) fn invite_with(&self, number: &str, header: (&str, &str)) -> Vec<u8> {
        let invite = String::from_utf8(self.invite(number)).unwrap();
        let (name, value) = header;
        let more = format!("\r\n{name}: {value}\r\nContact: ");
        invite.replacen("\r\nContact: ", &more, 1).into_bytes()
    }

    pub(crate) fn invite(&self, number: &str) -> Vec<u8> {
        let uri = format!("sip:{number}@sip.example.com");
        let body = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                    m=audio 4000 RTP/AVP 0\r\n";
        self.request("INVITE", &uri, &format!("<{uri}>"), 1, body)
    }

    /// As [`invite`](Self::invite), with a body of `length` bytes.
    pub(crate) fn long_invite(&self, number: &str, length: usize) -> Vec<u8> {
        let uri = format!("sip:{number}@sip.example.com");
        let body = "v".repeat(length);
        self.request("INVITE", &uri, &format!("<{uri}>"), 1, &body)
    }

    /// Calls `number`, and acknowledges the answer.
    pub(crate) fn call(&mut self, number: &str) {
        self.call_by(&self.invite(number));
    }

    /// Calls by this INVITE, and acknowledges the answer.
    pub(crate) fn call_by(&mut self, invite: &[u8]) {
        let answer = self.try_by(invite);
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    }

    /// The same, whatever the answer is.
    pub(crate) fn try_by(&mut self, invite: &[u8]) -> String {
        self.send(invite);
        let answer = self.receive_where(|answer| !answer.starts_with("SIP/2.0 1"));
        if !answer.starts_with("SIP/2.0 200 ") {
            return answer;
        }
        let to = header(&answer, "To").to_owned();
        let contact = header(&answer, "Contact");
        let target = contact.trim_matches(['<', '>']).to_owned();
        self.send(&self.request("ACK", &target, &to, 1, ""));
        self.answered = Some((to, target));
        answer
    }

    /// Ends the call, and waits until the edge has agreed.
    pub(crate) fn hang_up(&mut self) {
        let (to, target) = self.answered.take().unwrap();
        self.send(&self.request("BYE", &target, &to, 2, ""));
        let answer = self.receive_where(|answer| header(answer, "CSeq") == "2 BYE");
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    }

    fn request(&self, method: &str, uri: &str, to: &str, cseq: u32, body: &str) -> Vec<u8> {
        let own = self.socket.local_addr().unwrap();
        let length = body.len();
        // The branch names the transaction: each method and number has its own here.
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {own};branch=z9hG4bK{method}{cseq}x{serial};rport\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:+12125550199@carrier.example.com>;tag=c{serial}\r\n\
             To: {to}\r\n\
             Call-ID: {serial}@carrier.example.com\r\n\
             CSeq: {cseq} {method}\r\n\
             Contact: <sip:{own}>\r\n\
             Content-Type: application/sdp\r\n\
             Content-Length: {length}\r\n\r\n{body}",
            serial = self.serial,
        )
        .into_bytes()
    }
}

/// A buyer who answers every call and agrees to every BYE, in a thread of its own.
pub(crate) struct Buyer {
    pub(crate) address: SocketAddr,
    /// The INVITEs that it got.
    pub(crate) invites: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Buyer {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let timeout = Duration::from_millis(50);
        socket.set_read_timeout(Some(timeout)).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&is_over);
        let invites: Arc<Mutex<Vec<String>>> = Arc::default();
        let notes = Arc::clone(&invites);
        let thread = thread::spawn(move || {
            let mut buffer = vec![0; 65_536];
            while !heard.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let request = String::from_utf8_lossy(&buffer[..length]);
                if request.starts_with("INVITE ") {
                    notes.lock().unwrap().push(request.to_string());
                }
                if let Some(answer) = answer(&request, address) {
                    socket.send_to(answer.as_bytes(), from).unwrap();
                }
            }
        });
        Self {
            address,
            invites,
            is_over,
            thread: Some(thread),
        }
    }
}

impl Drop for Buyer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of the buyer's has shown in the test already.
            let _ = thread.join();
        }
    }
}

fn answer(request: &str, own: SocketAddr) -> Option<String> {
    let method = request.split(' ').next()?;
    let body = match method {
        "INVITE" => {
            "v=0\r\no=- 2 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
             m=audio 4002 RTP/AVP 0\r\n"
        }
        "ACK" => return None,
        _ => "",
    };
    let to = header(request, "To");
    let tag = if to.contains(";tag=") { "" } else { ";tag=b1" };
    Some(format!(
        "SIP/2.0 200 OK\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:{own}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        header(request, "Via"),
        header(request, "From"),
        header(request, "Call-ID"),
        header(request, "CSeq"),
        body.len(),
    ))
}

pub(crate) fn header<'m>(message: &'m str, name: &str) -> &'m str {
    message
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
        .unwrap_or_default()
}
