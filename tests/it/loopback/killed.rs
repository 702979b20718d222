//! `kill -9` at random points under load, again and again: no call, no delivery and no count is lost, and none is doubled.
//!
//! `STROWGER_KILLS` says how often, 20 times by default; `STROWGER_KILLS_SEED` draws other points.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::env;
use std::fs;
use std::io;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use strowger::net::clock;
use strowger::store::{Options, Store};
use strowger::types::moment::Moment;

use super::process::{LIMIT, Process};
use super::site::{Site, header, http_get};
use crate::sim::dice::Dice;

/// Calls that the first buyer takes for each kill, so that it is full before the end.
const CAP_PER_KILL: u64 = 2;

#[test]
fn a_kill_at_any_point_loses_nothing_and_doubles_nothing() {
    let number = |name: &str, usual: u64| {
        let text = env::var(name).ok();
        text.map_or(usual, |text| text.parse().expect("a number"))
    };
    let (kills, seed) = (
        number("STROWGER_KILLS", 20),
        number("STROWGER_KILLS_SEED", 1),
    );
    let cap = kills * CAP_PER_KILL;
    let mut dice = Dice::new(seed);
    let web = Web::start();
    let buyers = [Peer::buyer(seed + 1), Peer::buyer(seed + 2)];
    let edge = own_address();
    let site = site(edge, [&buyers[0], &buyers[1]], cap, web.address);
    let carrier = Peer::carrier(edge, seed + 3);

    let (mut early, began) = (0, clock::now());
    for _ in 0..kills {
        let mut child = Running::start(&site);
        // Some are killed while they take up what the last one has left.
        if dice.chance(15) {
            thread::sleep(dice.millis(0, 80));
            early += 1;
        } else {
            child.awaits_ready();
            thread::sleep(dice.millis(0, 400));
        }
        child.kill();
    }
    let seconds = began.elapsed().as_secs();
    let called = carrier.stop();
    let [first, second] = buyers.map(Peer::stop);

    // What is left is made good.
    let mut process = Process::start(&site);
    let records = records(&site);
    web.awaits(&records);
    delivers_all(&process);
    process.signal(libc::SIGTERM);
    assert_eq!(process.exit_code(), Some(0));

    let records = self::records(&site);
    let books = ledger(&site);
    let count = |name: &str| books[name].as_u64().expect("a count");
    assert_eq!(count("open"), 0, "{books}");
    assert_eq!(count("records"), count("admitted"), "{books}");
    assert_eq!(count("lines"), records.len() as u64, "{books}");
    assert_eq!(count("waiting") + count("dead"), 0, "{books}");
    // Whoever was told that its call is being worked on has one record of it.
    let mut of_call: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &records {
        *of_call.entry(text(record, "call_id")).or_default() += 1;
    }
    let doubled: Vec<_> = of_call.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    let lost: Vec<_> = called
        .heard
        .iter()
        .filter(|call| !of_call.contains_key(call.as_str()))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    // What a buyer was told counts, and no more than it has said.
    let windows = windows(&site.folder.path().join("data"));
    let answered = records
        .iter()
        .filter(|record| !record["setup_ms"].is_null());
    let answered = answered.count() as u64;
    let mut sum = 0;
    for (name, buyer) in [("first", &first), ("second", &second)] {
        let counted = windows[&format!("buyer:{name}")];
        let (told, said) = (buyer.acknowledged.len() as u64, buyer.answered.len() as u64);
        assert!(
            (told..=said).contains(&counted),
            "{name}: {told} {counted} {said}"
        );
        sum += counted;
    }
    assert_eq!(sum, answered);
    assert_eq!(windows["buyer:first"], cap, "full, and no fuller");
    let _ = writeln!(
        io::stderr(),
        "{kills} kills in {seconds} s, {early} of them at the start: {} calls, {} cut off, {answered} answered, \
         {} reports for {} calls",
        records.len(),
        records
            .iter()
            .filter(|record| text(record, "outcome") == "edge_restarted")
            .count(),
        web.count(),
        web.calls().len(),
    );
}

/// A configuration in which every call is reported when it is over.
fn site(edge: SocketAddr, [first, second]: [&Peer; 2], cap: u64, web: SocketAddr) -> Site {
    let site = Site::with_buyer(2, second.address);
    let text = fs::read_to_string(&site.config).expect("a file");
    let text = text
        .replace("[node]\n", "[node]\ndata_dir = \"data\"\n")
        .replacen(
            "bind = \"127.0.0.1:0\"\n\n[[listen]]\nbind = \"[::1]:0\"\n",
            &format!("bind = \"{edge}\"\n"),
            1,
        )
        .replace(
            "id = \"sunny\"\n",
            "id = \"second\"\ncaps = { total = 1000000 }\n",
        )
        .replace("buyers = [\"sunny\"]", "buyers = [\"first\", \"second\"]");
    let address = first.address;
    let more = format!(
        r#"
[http_client]
allow = ["127.0.0.0/8"]

[[buyer]]
id = "first"
company = "acme"
uri = "sip:sales@first.example.com"
address = "{address}"
caps = {{ total = {cap} }}

[[webhook]]
id = "report"
campaign = "solar"
trigger = "always"
url = "http://{web}/report?u=[call_uuid]"
"#
    );
    fs::write(&site.config, text + &more).expect("a file");
    site
}

/// Where nobody else of this machine binds: it is bound again and again, and is free in between.
fn own_address() -> SocketAddr {
    let [.., high, low] = process::id().to_be_bytes();
    SocketAddr::from(([127, 35, high, low.max(1)], 25_060))
}

/// Waits until nothing is left to deliver: what the web has heard before a kill the edge may not know, and tell again.
fn delivers_all(process: &Process) {
    let until = clock::now() + LIMIT;
    loop {
        let (_, text) = http_get(process.http, "/metrics");
        let lines = text
            .lines()
            .filter(|line| line.starts_with("strowger_deliveries{"));
        let left: Vec<_> = lines.filter(|line| !line.ends_with(" 0")).collect();
        if left.is_empty() {
            return;
        }
        assert!(clock::now() < until, "{left:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn records(site: &Site) -> Vec<serde_json::Value> {
    site.records()
}

fn text<'r>(record: &'r serde_json::Value, key: &str) -> &'r str {
    record[key].as_str().expect("a text")
}

/// What `strowger ledger` says; it must say that everything balances.
fn ledger(site: &Site) -> serde_json::Value {
    let said = Command::new(env!("CARGO_BIN_EXE_strowger"))
        .args(["ledger", "--json", "--data-dir"])
        .arg(site.folder.path().join("data"))
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{text}");
    serde_json::from_str(&text).expect("JSON")
}

/// What counts, by party.
fn windows(data: &Path) -> BTreeMap<String, u64> {
    let store = Store::open(data, 0, Options::default(), Moment::default()).expect("a store");
    let windows = store.shelf.windows().expect("windows");
    let totals = windows.iter().filter(|window| &*window.window == "total");
    totals
        .map(|window| (window.party.to_string(), window.count))
        .collect()
}

/// An edge whose log is read only until it is ready.
struct Running {
    child: Child,
}

impl Running {
    fn start(site: &Site) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_strowger"))
            .arg("--config")
            .arg(&site.config)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it runs");
        Self { child }
    }

    fn awaits_ready(&mut self) {
        let mut output = self.child.stdout.take().expect("a pipe");
        let (is_ready, ready) = mpsc::channel();
        thread::spawn(move || {
            let (mut said, mut buffer) = (Vec::new(), [0; 4096]);
            while !String::from_utf8_lossy(&said).contains("ready") {
                let length = output.read(&mut buffer).expect("its log");
                assert_ne!(length, 0, "{}", String::from_utf8_lossy(&said));
                said.extend_from_slice(&buffer[..length]);
            }
            // Nobody waits any more if it has taken too long.
            let _ = is_ready.send(output);
        });
        let Ok(output) = ready.recv_timeout(LIMIT) else {
            let _ = self.child.kill();
            panic!("it is not ready, and does not become so");
        };
        // It stays open, so that it can go on to write.
        self.child.stdout = Some(output);
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs still");
        let status = self.child.wait().expect("it is ours");
        assert_eq!(status.code(), None, "it has ended before it was killed");
    }
}

/// Takes reports, and remembers of which calls.
struct Web {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<String>>>,
}

impl Web {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("an address");
        let calls = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&calls);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let heard = Arc::clone(&heard);
                thread::spawn(move || {
                    let (mut head, mut buffer) = (Vec::new(), [0; 4096]);
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut buffer) {
                            // It was killed.
                            Ok(0) | Err(_) => return,
                            Ok(length) => head.extend_from_slice(&buffer[..length]),
                        }
                    }
                    let head = String::from_utf8_lossy(&head);
                    let call = head
                        .split("?u=")
                        .nth(1)
                        .and_then(|rest| rest.split(' ').next());
                    heard
                        .lock()
                        .expect("no panic")
                        .push(call.expect("a call").to_owned());
                    let answer =
                        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    // Whoever asked may be dead.
                    let _ = stream.write_all(answer);
                });
            }
        });
        Self { address, calls }
    }

    fn count(&self) -> usize {
        self.calls.lock().expect("no panic").len()
    }

    fn calls(&self) -> HashSet<String> {
        self.calls
            .lock()
            .expect("no panic")
            .iter()
            .cloned()
            .collect()
    }

    /// Waits until each of these calls was reported, as long as more and more are.
    fn awaits(&self, records: &[serde_json::Value]) {
        let (mut until, mut heard) = (clock::now() + LIMIT, 0);
        loop {
            let calls = self.calls();
            if calls.len() > heard {
                (until, heard) = (clock::now() + LIMIT, calls.len());
            }
            let missing = records
                .iter()
                .filter(|record| !calls.contains(text(record, "uuid")));
            let missing: Vec<_> = missing.collect();
            if missing.is_empty() {
                return;
            }
            assert!(clock::now() < until, "never reported: {missing:#?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What a peer has seen; calls by their Call-ID.
#[derive(Default)]
struct Seen {
    /// Of the carrier: the edge works on them.
    heard: HashSet<String>,
    /// Of a buyer: it has answered them.
    answered: HashSet<String>,
    /// Of a buyer: the edge has acknowledged that, and has not taken the call back before.
    acknowledged: HashSet<String>,
    /// Of a buyer: the edge has taken them back.
    cancelled: HashSet<String>,
}

/// A carrier or a buyer, in a thread of its own.
struct Peer {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Seen>,
}

impl Peer {
    fn buyer(seed: u64) -> Self {
        Self::start(seed, |_, _| {}, Desk::serve)
    }

    /// One that begins 60 calls a second.
    fn carrier(edge: SocketAddr, seed: u64) -> Self {
        let mut next = clock::now();
        let begin = move |desk: &mut Desk, now: Instant| {
            if now >= next {
                next = now + Duration::from_millis(16);
                desk.dial(now, edge);
            }
        };
        Self::start(seed, begin, Desk::hear)
    }

    fn start(
        seed: u64,
        mut begin: impl FnMut(&mut Desk, Instant) + Send + 'static,
        handle: fn(&mut Desk, Instant, &str, SocketAddr),
    ) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("an address");
        socket
            .set_read_timeout(Some(Duration::from_millis(2)))
            .expect("a timeout");
        let is_over = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&is_over);
        let thread = thread::spawn(move || {
            let mut desk = Desk {
                socket,
                address,
                dice: Dice::new(seed),
                serial: seed << 32,
                due: Vec::new(),
                invites: HashMap::new(),
                seen: Seen::default(),
            };
            let mut buffer = vec![0; 65_536];
            while !heard.load(Ordering::Relaxed) {
                let now = clock::now();
                begin(&mut desk, now);
                desk.send_due(now);
                // Nobody is there while the edge is dead.
                if let Ok((length, from)) = desk.socket.recv_from(&mut buffer) {
                    let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
                    handle(&mut desk, clock::now(), &message, from);
                }
            }
            desk.seen
        });
        Self {
            address,
            is_over,
            thread,
        }
    }

    fn stop(self) -> Seen {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

/// What a peer works with.
struct Desk {
    socket: UdpSocket,
    address: SocketAddr,
    dice: Dice,
    serial: u64,
    /// What is to be sent, and when; with `Some`, a call is answered by it.
    due: Vec<(Instant, SocketAddr, String, Option<String>)>,
    /// INVITEs by Call-ID: of the carrier its own that have no final answer, of a buyer those it has heard.
    invites: HashMap<String, String>,
    seen: Seen,
}

impl Desk {
    fn send_due(&mut self, now: Instant) {
        let (due, later) = self.due.drain(..).partition(|(at, ..)| *at <= now);
        self.due = later;
        for (_, to, message, answered) in due {
            self.seen.answered.extend(answered);
            // ICMP says that nobody is there.
            let _ = self.socket.send_to(message.as_bytes(), to);
        }
    }

    fn later(&mut self, at: Instant, to: SocketAddr, message: String) {
        self.due.push((at, to, message, None));
    }

    // --- the carrier

    fn dial(&mut self, now: Instant, edge: SocketAddr) {
        self.serial += 1;
        let uri = "sip:+12125550101@sip.example.com";
        let body = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n";
        let serial = self.serial;
        let caller = format!("+1212555{:04}", self.dice.below(100));
        let own = self.address;
        let invite = format!(
            "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bKi{serial};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{caller}@carrier.example.com>;tag=c{serial}\r\nTo: <{uri}>\r\n\
             Call-ID: {serial}@carrier.example.com\r\nCSeq: 1 INVITE\r\nContact: <sip:{own}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        if self.dice.chance(15) {
            let at = now + self.dice.millis(1, 60);
            self.later(at, edge, within(&invite, "CANCEL", uri, None, ""));
        }
        // Networks double datagrams.
        for _ in 0..=u8::from(self.dice.chance(10)) {
            self.later(now, edge, invite.clone());
        }
        self.invites
            .insert(format!("{serial}@carrier.example.com"), invite);
    }

    fn hear(&mut self, now: Instant, message: &str, edge: SocketAddr) {
        let call = header(message, "Call-ID").to_owned();
        let Some(status) = message.strip_prefix("SIP/2.0 ") else {
            let answer = reply(message, "200 OK", self.address, "");
            self.later(now, edge, answer);
            return;
        };
        if !header(message, "CSeq").ends_with(" INVITE") {
            return;
        }
        let Some(invite) = self.invites.get(&call).cloned() else {
            return;
        };
        if !status.starts_with(['3', '4', '5', '6']) {
            self.seen.heard.insert(call.clone());
        }
        let to = Some(header(message, "To"));
        match status.as_bytes()[0] {
            b'1' => {}
            b'2' => {
                let contact = header(message, "Contact");
                let target = contact.trim_matches(['<', '>']);
                self.later(now, edge, within(&invite, "ACK", target, to, "a"));
                // Some never hang up.
                if self.dice.chance(90) {
                    let at = now + self.dice.millis(0, 300);
                    self.later(at, edge, within(&invite, "BYE", target, to, "b"));
                }
            }
            _ => {
                self.invites.remove(&call);
                let uri = "sip:+12125550101@sip.example.com";
                self.later(now, edge, within(&invite, "ACK", uri, to, ""));
            }
        }
    }

    // --- a buyer

    fn serve(&mut self, now: Instant, request: &str, edge: SocketAddr) {
        let call = header(request, "Call-ID").to_owned();
        let own = self.address;
        match request.split(' ').next().unwrap_or_default() {
            "INVITE" if !self.invites.contains_key(&call) => {
                self.invites.insert(call.clone(), request.to_owned());
                let body = "v=0\r\no=- 2 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4002 RTP/AVP 0\r\n";
                if self.dice.chance(15) {
                    self.later(now, edge, reply(request, "486 Busy Here", own, ""));
                    return;
                }
                // Until it hears something the edge may not take the call back (RFC 3261 §9.1).
                self.later(now, edge, reply(request, "100 Trying", own, ""));
                if self.dice.chance(40) {
                    self.later(now, edge, reply(request, "180 Ringing", own, ""));
                }
                let at = now + self.dice.millis(0, 60);
                let ok = reply(request, "200 OK", own, body);
                self.due.push((at, edge, ok, Some(call)));
            }
            "INVITE" => {}
            "ACK" => {
                let seen = &self.seen;
                if seen.answered.contains(&call) && !seen.cancelled.contains(&call) {
                    self.seen.acknowledged.insert(call);
                }
            }
            "CANCEL" => {
                self.later(now, edge, reply(request, "200 OK", own, ""));
                self.seen.cancelled.insert(call.clone());
                let before = self.due.len();
                self.due
                    .retain(|(.., answered)| *answered != Some(call.clone()));
                if self.due.len() < before
                    && let Some(invite) = self.invites.get(&call)
                {
                    let gone = reply(invite, "487 Request Terminated", own, "");
                    self.later(now, edge, gone);
                }
            }
            _ if request.starts_with("SIP/2.0") => {}
            _ => self.later(now, edge, reply(request, "200 OK", own, "")),
        }
    }
}

/// A request that follows an INVITE. `branch`: what tells its transaction from the INVITE's; empty: it is the same.
fn within(invite: &str, method: &str, uri: &str, to: Option<&str>, branch: &str) -> String {
    let via = header(invite, "Via").replace("z9hG4bK", &format!("z9hG4bK{branch}"));
    let cseq = if method == "BYE" { 2 } else { 1 };
    format!(
        "{method} {uri} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\n\
         CSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n",
        header(invite, "From"),
        to.unwrap_or_else(|| header(invite, "To")),
        header(invite, "Call-ID"),
    )
}

fn reply(request: &str, status: &str, own: SocketAddr, body: &str) -> String {
    let to = header(request, "To");
    let tag = if to.contains(";tag=") { "" } else { ";tag=b1" };
    format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
         Contact: <sip:{own}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        header(request, "Via"),
        header(request, "From"),
        header(request, "Call-ID"),
        header(request, "CSeq"),
        body.len(),
    )
}
