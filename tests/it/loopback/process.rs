//! The program itself: exit codes, signals, what it prints.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::Receiver;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use strowger::net::clock;

use super::site::{Buyer, Carrier, Site, http_get};
use crate::security::figure;

#[test]
fn check_lists_every_fault_and_exits_with_64() {
    let site = Site::new(1);
    assert_eq!(strowger(&site, &["check"]).status.code(), Some(0));
    let text = fs::read_to_string(&site.config).unwrap();
    let broken = text
        .replace("shards = 1", "shards = 0\nshrads = 2")
        .replace("require = \"ip\"", "require = \"nothing\"");
    fs::write(&site.config, broken).unwrap();

    let plain = strowger(&site, &["check"]);
    let json = strowger(&site, &["check", "--json"]);

    assert_eq!(plain.status.code(), Some(64));
    let text = String::from_utf8(plain.stdout).unwrap();
    for key in ["node.shards", "shrads", "domain.require"] {
        assert!(text.contains(key), "{key} is missing:\n{text}");
    }
    assert_eq!(json.status.code(), Some(64));
    let list: Vec<serde_json::Value> = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(list.len(), text.lines().count());
}

#[test]
fn a_call_that_has_not_happened_is_explained_and_its_key_is_not_shown() {
    let site = Site::new(1);
    let to = ["explain", "--to", "+12125550101", "--from", "+13125550147"];

    let plain = strowger(&site, &to);
    let json = strowger(&site, &[&to[..], &["--json"]].concat());
    let unknown = strowger(&site, &["explain", "--to", "+12125550199"]);
    let wrong = strowger(&site, &[&to[..], &["--trunk", "nobody"]].concat());

    assert_eq!(plain.status.code(), Some(0));
    let text = String::from_utf8(plain.stdout).unwrap();
    for line in ["to        +12125550101", "X-PH-RetreaverKey: REDACTED"] {
        assert!(text.contains(line), "{text}");
    }
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(!value["order"].as_array().unwrap().is_empty(), "{value}");
    let text = String::from_utf8(unknown.stdout).unwrap();
    assert!(text.contains("refused   404 number_unknown"), "{text}");
    assert_eq!(wrong.status.code(), Some(64));
}

#[test]
fn addresses_are_printed_for_people_and_for_programs() {
    let site = Site::new(1);

    let plain = strowger(&site, &["addresses"]);
    let json = strowger(&site, &["addresses", "--json"]);

    assert_eq!(plain.status.code(), Some(0));
    let text = String::from_utf8(plain.stdout).unwrap();
    assert!(text.contains("requests come from 127.0.0.1:"), "{text}");
    assert!(
        text.contains("Media flows directly between the peers"),
        "{text}"
    );
    assert_eq!(json.status.code(), Some(0));
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value["media"]["relayed"], false);
    fs::write(&site.config, "[node\n").unwrap();
    let broken = strowger(&site, &["addresses"]);
    assert_eq!(broken.status.code(), Some(64));
}

#[test]
fn a_wrong_configuration_is_not_run() {
    let site = Site::new(1);
    fs::write(&site.config, "[node\n").unwrap();

    let output = strowger(&site, &["run"]);

    assert_eq!(output.status.code(), Some(64));
    assert!(!output.stderr.is_empty());
}

#[test]
fn a_taken_port_is_a_failure() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let site = Site::new(1);
    let text = fs::read_to_string(&site.config).unwrap();
    let bind = text.replace(
        "[[listen]]\nbind = \"127.0.0.1:0\"",
        &format!("[[listen]]\nbind = \"{address}\""),
    );
    fs::write(&site.config, bind).unwrap();

    let output = strowger(&site, &[]);

    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&address), "{said}");
}

#[test]
fn usage_is_explained_and_wrong_usage_is_64() {
    let site = Site::new(1);

    let help = strowger(&site, &["--help"]);
    let wrong = strowger(&site, &["--nonsense"]);

    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8(help.stdout).unwrap().contains("SIGHUP"));
    assert_eq!(wrong.status.code(), Some(64));
}

#[test]
fn row_40_a_drain_refuses_new_calls_and_ends_with_the_last_one() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let mut process = Process::start(&site);
    let mut carrier = Carrier::new(process.sip);
    carrier.call("+12125550101");

    process.signal(libc::SIGTERM);
    process.read_until("draining");
    let late = Carrier::new(process.sip);
    late.send(&late.invite("+12125550101"));
    let refusal = late.receive_where(|answer| !answer.starts_with("SIP/2.0 100 "));
    assert!(refusal.starts_with("SIP/2.0 503 "), "{refusal}");
    assert_eq!(http_get(process.http, "/readyz").0, 503);
    assert!(process.is_running());
    carrier.hang_up();

    assert_eq!(process.exit_code(), Some(0));
    assert_eq!(site.records().len(), 1);
    assert_eq!(site.records()[0]["outcome"], "completed");
}

#[test]
fn a_second_signal_ends_the_calls_at_once() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let mut process = Process::start(&site);
    let mut carrier = Carrier::new(process.sip);
    carrier.call("+12125550101");

    process.signal(libc::SIGTERM);
    process.read_until("draining");
    process.signal(libc::SIGTERM);
    let bye = carrier.receive_where(|message| message.starts_with("BYE "));
    let answer = bye.replacen(bye.lines().next().unwrap(), "SIP/2.0 200 OK", 1);
    carrier.send(answer.as_bytes());

    assert_eq!(process.exit_code(), Some(0));
    assert_eq!(site.records()[0]["outcome"], "stopped");
}

#[test]
fn a_hangup_signal_reloads_and_reopens_the_records() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let mut process = Process::start(&site);
    let mut carrier = Carrier::new(process.sip);
    carrier.call("+12125550101");
    carrier.hang_up();
    let text = fs::read_to_string(&site.config).unwrap();
    fs::write(&site.config, format!("{text}\n[nonsense]\n")).unwrap();

    process.signal(libc::SIGHUP);
    let kept = process.read_until("not loaded");
    fs::write(&site.config, &text).unwrap();
    process.signal(libc::SIGHUP);
    process.read_until("configuration loaded");
    process.signal(libc::SIGTERM);

    assert!(
        kept.iter()
            .any(|line| line.contains("ERROR") && line.contains("nonsense"))
    );
    assert_eq!(process.exit_code(), Some(0));
    assert_eq!(site.records().len(), 1);
}

/// Runs the program to its end.
pub(super) fn strowger(site: &Site, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_strowger"))
        .args(arguments)
        .arg("--config")
        .arg(&site.config)
        .output()
        .unwrap()
}

/// Neither a log that nobody reads nor scrapers that do not read what they asked for keep a call waiting.
#[test]
fn row_41_a_blocked_log_and_stuck_scrapers() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let text = fs::read_to_string(&site.config).unwrap();
    let traced = text.replace("log = \"info\"", "log = \"trace\"");
    assert_ne!(traced, text);
    fs::write(&site.config, traced).unwrap();
    let process = Process::start(&site);
    // A pipe holds 64 KiB; nobody reads from here on, and there is much to tell.
    let noise = UdpSocket::bind("127.0.0.1:0").unwrap();
    awaits("the log is blocked", || {
        for _ in 0..500 {
            noise.send_to(b"INVITE nonsense", process.sip).unwrap();
        }
        log_drops(process.http) > 0
    });
    let before = log_drops(process.http);
    let mut stuck: Vec<TcpStream> = (0..50).map(|_| scraper(process.http)).collect();
    stuck.iter_mut().for_each(asks_until_stuck);

    for _ in 0..300 {
        let mut carrier = Carrier::new(process.sip);
        carrier.call("+12125550101");
        carrier.hang_up();
    }

    let (status, metrics) = http_get(process.http, "/metrics");
    assert_eq!(status, 200);
    let ended = "strowger_calls_ended_total{outcome=\"completed\"} 300";
    assert!(metrics.lines().any(|line| line == ended), "{metrics}");
    let drops = log_drops(process.http);
    assert!(drops > before, "the log was read");
    figure(
        41,
        &format!(
            "300 calls with a log that nobody reads, {drops} lines of which were dropped, beside {} stuck scrapers: all completed",
            stuck.len()
        ),
    );
}

/// Lines of its log that were dropped because nobody reads them.
fn log_drops(address: SocketAddr) -> u64 {
    let (_, metrics) = http_get(address, "/metrics");
    let mut lines = metrics.lines();
    let drops = lines.find_map(|line| line.strip_prefix("strowger_log_drops_total "));
    drops.unwrap().parse().unwrap()
}

/// One that has little room for what it asks for.
fn scraper(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.set_send_buffer_size(4096).unwrap();
    socket.connect(&address.into()).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.into()
}

/// Asks and never reads, until nothing more is taken: the server waits to be read.
fn asks_until_stuck(stream: &mut TcpStream) {
    let asked = "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100);
    let until = clock::now() + LIMIT;
    let (mut at, mut taken) = (0, clock::now());
    while taken.elapsed() < Duration::from_millis(100) {
        assert!(clock::now() < until, "it goes on and on");
        match stream.write(&asked.as_bytes()[at..]) {
            Ok(length) => (at, taken) = ((at + length) % asked.len(), clock::now()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// What no wait of a test exceeds, however slow the machine is.
pub(super) const LIMIT: Duration = Duration::from_secs(60);

/// Waits until it is so.
pub(super) fn awaits(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = clock::now() + LIMIT;
    while !is_so() {
        assert!(clock::now() < until, "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A running program.
pub(super) struct Process {
    child: Child,
    /// Its log: no line is read before somebody asks for it, but the one that comes next.
    lines: Mutex<Receiver<String>>,
    pub(super) sip: SocketAddr,
    pub(super) http: SocketAddr,
    /// Where all else is served by HTTP.
    pub(super) web: Vec<SocketAddr>,
}

impl Process {
    /// Starts it, and reads from its log where it listens.
    pub(super) fn start(site: &Site) -> Self {
        Self::start_as(Command::new(env!("CARGO_BIN_EXE_strowger")), site)
    }

    /// Starts it with so many descriptors to be had.
    pub(super) fn start_with_descriptors(site: &Site, most: u32) -> Self {
        let mut shell = Command::new("sh");
        shell.arg("-c");
        shell.arg(format!("ulimit -n {most}; exec \"$0\" \"$@\""));
        shell.arg(env!("CARGO_BIN_EXE_strowger"));
        Self::start_as(shell, site)
    }

    fn start_as(mut command: Command, site: &Site) -> Self {
        let mut child = command
            .arg("--config")
            .arg(&site.config)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = Mutex::new(read_lines(child.stdout.take().unwrap()));
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut process = Self {
            child,
            lines,
            sip: unknown,
            http: unknown,
            web: Vec::new(),
        };
        let said = process.read_until("ready");
        process.sip = address(&said, "bind=");
        process.http = address(&said, "address=");
        let is_web = |line: &&String| line.contains("HTTP is served");
        let web = said.iter().filter(is_web).cloned();
        process.web = web.map(|line| address(&[line], "address=")).collect();
        process
    }

    /// Reads the log up to the line that holds `text`.
    pub(super) fn read_until(&mut self, text: &str) -> Vec<String> {
        let lines = self.lines.get_mut().unwrap();
        let until = clock::now() + LIMIT;
        let mut said = Vec::new();
        loop {
            let left = until.saturating_duration_since(clock::now());
            let line = match lines.recv_timeout(left) {
                Ok(line) => line,
                Err(why) => panic!("the log without `{text}`, {why}: {said:#?}"),
            };
            assert!(!is_secret(&line), "{line}");
            let is_last = line.contains(text);
            said.push(line);
            if is_last {
                return said;
            }
        }
    }

    pub(super) fn signal(&self, signal: i32) {
        let name = match signal {
            libc::SIGHUP => "-HUP",
            libc::SIGKILL => "-KILL",
            _ => "-TERM",
        };
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(status.success());
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Number of its open descriptors.
    pub(super) fn descriptors(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        fs::read_dir(folder).unwrap().count()
    }

    /// Memory that it has now, in KiB.
    pub(super) fn memory(&self) -> u64 {
        let file = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(file).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    }

    pub(super) fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        awaits("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that failed leaves it running.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let lines = self.lines.get_mut().unwrap();
        let told = lines.iter().find(|line| is_secret(line));
        assert!(told.is_none() || thread::panicking(), "{told:?}");
    }
}

/// Reads lines for whoever asks, so that asking can have a limit.
fn read_lines(log: ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::sync_channel(0);
    thread::spawn(move || {
        let mut log = BufReader::new(log);
        loop {
            let mut line = Vec::new();
            let length = log.read_until(b'\n', &mut line).unwrap();
            let line = String::from_utf8_lossy(&line).into_owned();
            if length == 0 || sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Whether a line of the log tells a secret: those of tests begin so.
fn is_secret(line: &str) -> bool {
    line.contains("canary-")
}

/// The first address that `key` has in the log.
fn address(lines: &[String], key: &str) -> SocketAddr {
    lines
        .iter()
        .flat_map(|line| line.split_whitespace())
        .find_map(|word| word.strip_prefix(key)?.parse().ok())
        .unwrap()
}
