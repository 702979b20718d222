//! A process that a test started: waited for with a limit, ended by its own id, and its words kept.

use std::fs;
use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

/// A started program.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<i32>,
}

impl Process {
    /// Starts `command`; both its outputs go to `<name>.log` in `dir`.
    ///
    /// # Panics
    /// If the program is not installed, with the package that has it.
    pub(crate) fn start(name: &str, command: &mut Command, dir: &Path, package: &str) -> Self {
        Self::spawn(name, command.stdin(Stdio::null()), dir, package)
    }

    /// Starts `command` as [`Self::start`] does, and takes what is typed to it.
    ///
    /// # Panics
    /// If the program is not installed, with the package that has it.
    pub(crate) fn start_at_terminal(
        name: &str,
        command: &mut Command,
        dir: &Path,
        package: &str,
    ) -> Self {
        Self::spawn(name, command.stdin(Stdio::piped()), dir, package)
    }

    fn spawn(name: &str, command: &mut Command, dir: &Path, package: &str) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = File::create(&log).expect("log file");
        let err = out.try_clone().expect("log file");

        let started = command.current_dir(dir).stdout(out).stderr(err).spawn();

        let program = command.get_program().to_string_lossy().into_owned();
        let child = match started {
            Ok(child) => child,
            Err(error) => panic!(
                "cannot start {program}: {error}; install it with: apt-get install {package}"
            ),
        };
        Self {
            name: name.to_owned(),
            child,
            log,
            ended: None,
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types a line to it.
    pub(crate) fn types(&mut self, line: &str) {
        let terminal = self.child.stdin.as_mut().expect("started at a terminal");
        let typed = writeln!(terminal, "{line}").and_then(|()| terminal.flush());
        assert!(typed.is_ok(), "{} does not read", self.name);
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.poll().is_none()
    }

    /// Waits for its end: the exit code, -1 if a signal ended it.
    ///
    /// # Panics
    /// If it has not ended after `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> i32 {
        let end = Instant::now() + limit;
        loop {
            if let Some(code) = self.poll() {
                return code;
            }
            assert!(
                Instant::now() < end,
                "{} still runs after {limit:?}; it said:\n{}",
                self.name,
                self.said()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to end, as an operator would.
    pub(crate) fn terminate(&self) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill -TERM {id}");
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if self.poll().is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
            self.ended = Some(-1);
        }
    }

    /// What it wrote, or the end of it.
    pub(crate) fn said(&self) -> String {
        let text = self.told();
        let tail = text.len().saturating_sub(6000);
        let tail = text.ceil_char_boundary(tail);
        text[tail..].to_owned()
    }

    /// All that it wrote.
    pub(crate) fn told(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn poll(&mut self) -> Option<i32> {
        if self.ended.is_none() {
            let status = self.child.try_wait().expect("a child of ours");
            self.ended = status.map(|status| status.code().unwrap_or(-1));
        }
        self.ended
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            show(&format!("--- {} said:\n{}", self.name, self.said()));
        }
    }
}

/// Puts `text` under the failed test's output.
#[expect(
    clippy::print_stderr,
    reason = "what the peers said is the only way to understand a failure"
)]
pub(crate) fn show(text: &str) {
    eprintln!("{text}");
}

/// Whether there is a socket at `address`; `table` is `udp` or `tcp`, for TCP it is one that listens.
pub(crate) fn is_bound(table: &str, address: Ipv4Addr, port: u16) -> bool {
    is_bound_for("self", table, address, port)
}

/// The same in the network of the process of that id.
pub(crate) fn is_bound_for(process: &str, table: &str, address: Ipv4Addr, port: u16) -> bool {
    let [a, b, c, d] = address.octets();
    let nobody = "00000000:0000";
    let state = if table == "tcp" { "0A" } else { "07" };
    let entry = format!("{d:02X}{c:02X}{b:02X}{a:02X}:{port:04X} {nobody} {state}");
    let table = fs::read_to_string(format!("/proc/{process}/net/{table}"));
    table.unwrap_or_default().contains(&entry)
}

/// Asks `is_so` again and again until it is, for `limit` at most.
pub(crate) fn eventually(limit: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if is_so() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
