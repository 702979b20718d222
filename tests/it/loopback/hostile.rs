//! Those who have no business here, over real sockets: rows of `security` that the shell answers for.

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use strowger::edge::Disk;

use super::process::Process;
use super::site::{Buyer, Carrier, Site, http_get};
use crate::security::figure;

/// A scanner is answered a few times, then not at all; calls go on, and a reload that lists it lets it in.
#[test]
fn row_01_scanners() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let mut edge = site.start();
    let scanner = Stranger::new("127.66.0.1", edge.addresses()[0]);
    let mut answered = 0;
    for user in 0..200 {
        scanner.send(&scanner.request("REGISTER", "sip.example.com", user));
        answered += u32::from(scanner.hears(50));
    }

    assert!((15..=30).contains(&answered), "{answered}");
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call("+12125550101");
    carrier.hang_up();
    let (_, metrics) = http_get(edge.http_address().unwrap(), "/metrics");
    for line in ["strowger_banned_senders 1", "strowger_bans_total 1"] {
        assert!(
            metrics.lines().any(|shown| shown == line),
            "{line}\n{metrics}"
        );
    }
    let dropped = sample(&metrics, "strowger_unread_total{why=\"banned\"}");
    assert!(dropped >= 100.0, "{dropped}");

    let text = fs::read_to_string(&site.config).unwrap();
    let listed = text.replace("\"::1/128\"", "\"::1/128\", \"127.66.0.1/32\"");
    fs::write(&site.config, listed).unwrap();
    edge.reload(&site.config, &Disk::new().unwrap()).unwrap();
    scanner.send(&scanner.request("OPTIONS", "sip.example.com", 999));
    assert!(scanner.hears(2000), "who is listed is heard at once");
    figure(
        1,
        &format!("banned after {answered} requests; 180 and more were not read"),
    );
}

/// A scanner whose ports lie with different shards has no more tries than one with a single port.
#[test]
fn row_01_scanners_with_many_ports() {
    let site = Site::new(4);
    let edge = site.start();
    let mut answered = 0;
    for user in 0..100 {
        let scanner = Stranger::new("127.66.0.4", edge.addresses()[0]);
        scanner.send(&scanner.request("REGISTER", "sip.example.com", user));
        answered += u32::from(scanner.hears(50));
    }

    // Its bucket fills again while it tries, so a slow machine answers a few more.
    assert!((15..=40).contains(&answered), "{answered}");
    let (_, metrics) = http_get(edge.http_address().unwrap(), "/metrics");
    for line in ["strowger_banned_senders 1", "strowger_bans_total 1"] {
        assert!(
            metrics.lines().any(|shown| shown == line),
            "{line}\n{metrics}"
        );
    }
    figure(
        1,
        &format!("100 ports, 4 shards: banned everywhere after {answered} requests"),
    );
}

/// Calls go on beside a flood of what nobody wants.
#[test]
fn row_07_flood() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let edge = site.start();
    let target = edge.addresses()[0];
    let flood = thread::spawn(move || {
        let stranger = Stranger::new("127.66.0.2", target);
        let end = now() + Duration::from_secs(2);
        let mut sent = 0_u32;
        while now() < end {
            for _ in 0..20 {
                let method = ["REGISTER", "INVITE", "OPTIONS", "nonsense \0"][sent as usize % 4];
                stranger.send(&stranger.request(method, "sip.example.com", sent));
                sent += 1;
            }
            thread::sleep(Duration::from_millis(4));
        }
        sent
    });
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let mut carrier = Carrier::new(target);
        let begin = now();
        carrier.call("+12125550101");
        slowest = slowest.max(begin.elapsed());
        carrier.hang_up();
        thread::sleep(Duration::from_millis(50));
    }
    let sent = flood.join().unwrap();

    let (_, metrics) = http_get(edge.http_address().unwrap(), "/metrics");
    let unread = sample(&metrics, "strowger_unread_total{why=\"banned\"}");
    assert!(unread > f64::from(sent) / 2.0, "{unread} of {sent}");
    assert_eq!(
        sample(
            &metrics,
            "strowger_calls_ended_total{outcome=\"completed\"}"
        ),
        20.0
    );
    figure(
        7,
        &format!(
            "{sent} datagrams in 2 s beside 20 calls: 20 completed, slowest set-up {slowest:?}; {unread} not read"
        ),
    );
}

/// Nothing goes where a Via points, and less comes back than was sent.
#[test]
fn row_09_reflection() {
    let site = Site::new(1);
    let edge = site.start();
    let target = edge.addresses()[0];
    let victim = UdpSocket::bind("127.66.9.9:0").unwrap();
    victim
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let attacker = Stranger::new("127.66.0.3", target);
    let own = attacker.socket.local_addr().unwrap().to_string();
    let (mut sent, mut back) = (0, 0);
    for attempt in 0..400 {
        let method = ["INVITE", "OPTIONS", "REGISTER"][attempt as usize % 3];
        let text = String::from_utf8(attacker.request(method, "sip.example.com", attempt)).unwrap();
        let forged = text.replacen(&own, &victim.local_addr().unwrap().to_string(), 1);
        attacker.send(forged.as_bytes());
        sent += forged.len();
        while let Some(length) = attacker.heard(5) {
            back += length;
        }
    }

    assert!(
        victim.recv(&mut [0; 2000]).is_err(),
        "nothing goes where the Via points"
    );
    assert!(back > 0 && back < sent, "{back} of {sent}");
    let ratio = back as f64 / sent as f64;
    figure(
        9,
        &format!("0 bytes to the Via's host; {sent} bytes in, {back} out: {ratio:.2}"),
    );
}

/// Calls over UDP take no descriptors, so they cannot use them up.
#[test]
fn row_33_descriptors() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let mut process = Process::start(&site);
    let target = process.sip;
    let before = process.descriptors();
    let mut carriers: Vec<Carrier> = (0..100).map(|_| Carrier::new(target)).collect();
    for carrier in &mut carriers {
        carrier.call("+12125550101");
    }
    let during = process.descriptors();
    for carrier in &mut carriers {
        carrier.hang_up();
    }
    process.signal(libc::SIGTERM);

    assert_eq!(process.exit_code(), Some(0));
    assert_eq!(during, before);
    figure(
        33,
        &format!("{before} descriptors without a call, {during} with 100"),
    );
}

fn sample(metrics: &str, series: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series}:\n{metrics}"))
        .parse()
        .unwrap()
}

#[expect(clippy::disallowed_methods, reason = "real sockets have real time")]
fn now() -> Instant {
    Instant::now()
}

/// Somebody at an address that nobody has listed.
struct Stranger {
    socket: UdpSocket,
    edge: SocketAddr,
}

impl Stranger {
    fn new(address: &str, edge: SocketAddr) -> Self {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        Self { socket, edge }
    }

    fn send(&self, message: &[u8]) {
        self.socket.send_to(message, self.edge).unwrap();
    }

    /// Whether an answer comes within so many milliseconds.
    fn hears(&self, millis: u64) -> bool {
        self.heard(millis).is_some()
    }

    /// The length of the next answer.
    fn heard(&self, millis: u64) -> Option<usize> {
        self.socket
            .set_read_timeout(Some(Duration::from_millis(millis)))
            .unwrap();
        self.socket.recv(&mut [0; 4096]).ok()
    }

    fn request(&self, method: &str, host: &str, user: u32) -> Vec<u8> {
        let own = self.socket.local_addr().unwrap();
        format!(
            "{method} sip:{user}@{host} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{user}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{host}>;tag={user}\r\nTo: <sip:{user}@{host}>\r\nCall-ID: {user}-{own}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:{user}@{own}>\r\nUser-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n"
        )
        .into_bytes()
    }
}
