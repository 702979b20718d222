//! The edge under test: the built binary, its records and its metrics.

use std::cell::Cell;
use std::fs;
use std::io::Read as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::process::Process;
use crate::process::eventually;
use crate::site::Site;

/// An edge that runs.
pub(crate) struct Edge {
    process: Process,
    address: Ipv4Addr,
    records: PathBuf,
    /// How many there were when a test last asked for all of them.
    given: Cell<Option<usize>>,
}

impl Edge {
    /// Starts the edge of `site` and waits until it is ready.
    pub(crate) fn start(site: &Site) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strowger"));
        command.arg("run").arg("--config").arg(site.configure());
        let name = format!("edge-{}", site.edge());
        let mut edge = Self {
            process: Process::start(&name, &mut command, site.folder(), "strowger"),
            address: site.edge(),
            records: site.records(),
            given: Cell::new(None),
        };

        let mut is_running = true;
        let is_ready = eventually(Duration::from_secs(10), || {
            is_running = edge.process.is_running();
            !is_running || edge.get("/readyz").is_some_and(|(status, _)| status == 200)
        });
        assert!(
            is_ready && is_running,
            "the edge is not ready; it said:\n{}",
            edge.process.said()
        );
        edge
    }

    /// The only call record there is, once the call is over.
    pub(crate) fn record(&self) -> Value {
        self.records(1).remove(0)
    }

    /// The call records, once there are `count`.
    ///
    /// # Panics
    /// If there are fewer after ten seconds, or more.
    pub(crate) fn records(&self, count: usize) -> Vec<Value> {
        let mut records = Vec::new();
        eventually(Duration::from_secs(10), || {
            records = self.records_now();
            records.len() >= count
        });
        assert_eq!(
            records.len(),
            count,
            "call records: {records:#?}; the edge said:\n{}",
            self.process.said()
        );
        self.given.set(Some(count));
        records
    }

    /// The call records so far.
    pub(crate) fn records_now(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.records).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = whole.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| serde_json::from_str(line).expect("a JSON object per line"))
            .collect()
    }

    /// Asserts that no call is left, and that no record has come beside those that were given.
    pub(crate) fn holds_no_call(&self) {
        let mut calls = f64::NAN;
        // A BYE that a busy peer does not answer is sent again for so long (RFC 3261 §17.1.2.2, timer F).
        let is_empty = eventually(Duration::from_secs(32), || {
            calls = self.sum_of("strowger_calls{");
            calls == 0.0
        });
        assert!(is_empty, "{calls} calls are left:\n{}", self.metrics());
        if let Some(given) = self.given.get() {
            // Records gather for half as long before they are written.
            thread::sleep(Duration::from_millis(100));
            let records = self.records_now();
            assert_eq!(records.len(), given, "call records: {records:#?}");
        }
    }

    /// Asserts that no transaction is left once the longest timers have run out.
    pub(crate) fn comes_to_rest(&self) {
        let is_at_rest = eventually(Duration::from_secs(50), || {
            self.sum_of("strowger_transactions{") == 0.0
        });
        assert!(is_at_rest, "something is left:\n{}", self.metrics());
        self.holds_no_call();
    }

    /// Asserts that the sum of the samples whose line begins with `start` is as it should be, now or soon: who has heard the end of
    /// a call may ask before the edge has heard of it.
    pub(crate) fn shows(&self, start: &str, is_right: impl Fn(f64) -> bool) {
        let mut sum = f64::NAN;
        let is_so = eventually(Duration::from_secs(10), || {
            sum = self.sum_of(start);
            is_right(sum)
        });
        assert!(is_so, "{start} is {sum} in:\n{}", self.metrics());
    }

    /// Sum of the samples whose line begins with `start`.
    ///
    /// # Panics
    /// If there is no such sample.
    pub(crate) fn sum_of(&self, start: &str) -> f64 {
        let metrics = self.metrics();
        let samples: Vec<f64> = metrics
            .lines()
            .filter(|line| line.starts_with(start))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        assert!(!samples.is_empty(), "{start} is in no line of:\n{metrics}");
        samples.iter().sum()
    }

    /// All metrics, as Prometheus reads them.
    pub(crate) fn metrics(&self) -> String {
        let (status, text) = self.get("/metrics").expect("/metrics answers");
        assert_eq!(status, 200, "/metrics: {text}");
        text
    }

    /// Ends the edge at once, whatever it is doing.
    pub(crate) fn kills(&mut self) {
        self.process.kill();
    }

    /// Asks for the end of the edge and asserts that it goes well.
    pub(crate) fn stops(&mut self) {
        self.process.terminate();
        let code = self.process.wait(Duration::from_secs(20));
        assert_eq!(
            code,
            0,
            "exit code; the edge said:\n{}",
            self.process.said()
        );
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let limit = Duration::from_secs(2);
        let mut stream = TcpStream::connect((self.address, 9090)).ok()?;
        stream.set_read_timeout(Some(limit)).ok()?;
        let host = self.address;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }
}
