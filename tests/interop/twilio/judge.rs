//! A judge: an official library in a process of its own, installed where builds go, and asked by lines of JSON.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

/// A process that answers.
pub(crate) struct Judge {
    name: &'static str,
    child: Child,
    asks: ChildStdin,
    says: Receiver<String>,
}

impl Judge {
    /// The library for Python, and a client for WebSockets, from PyPI.
    pub(crate) fn python() -> Self {
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        let folder = FOLDER.get_or_init(|| {
            let folder = folder("python");
            let packages = ["twilio", "flask", "websockets"];
            install(&folder, &packages, || {
                if !folder.join("bin/python").exists() {
                    run(
                        Command::new("python3").args(["-m", "venv"]).arg(&folder),
                        "python3-venv",
                    )?;
                }
                let mut pip = Command::new(folder.join("bin/python"));
                let quiet = ["install", "--quiet", "--upgrade"];
                run(
                    pip.args(["-m", "pip", "--disable-pip-version-check"])
                        .args(quiet)
                        .args(packages),
                    "python3-pip",
                )
            });
            folder
        });
        let mut python = Command::new(folder.join("bin/python"));
        Self::start("Python", python.arg(script("judge.py")))
    }

    /// The library for Node.js, from npm.
    pub(crate) fn node() -> Self {
        static FOLDER: OnceLock<PathBuf> = OnceLock::new();
        let folder = FOLDER.get_or_init(|| {
            let folder = folder("node");
            let package = "twilio@latest";
            install(&folder, &[package], || {
                let mut npm = Command::new("npm");
                let quiet = [
                    "install",
                    "--silent",
                    "--no-fund",
                    "--no-audit",
                    "--ignore-scripts",
                ];
                run(npm.current_dir(&folder).args(quiet).arg(package), "npm")
            });
            // Node.js looks for libraries beside the script.
            fs::copy(script("judge.js"), folder.join("judge.js")).expect("the script is copied");
            folder
        });
        Self::start("Node.js", Command::new("node").arg(folder.join("judge.js")))
    }

    /// Both.
    pub(crate) fn both() -> [Self; 2] {
        [Self::python(), Self::node()]
    }

    fn start(name: &'static str, command: &mut Command) -> Self {
        let pipes = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pipes.spawn().expect("the judge starts");
        let asks = child.stdin.take().expect("its input");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let (tell, says) = channel();
        thread::spawn(move || {
            let _ = lines
                .map_while(Result::ok)
                .try_for_each(|line| tell.send(line));
        });
        Self {
            name,
            child,
            asks,
            says,
        }
    }

    /// Who it is.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Asks it.
    ///
    /// # Panics
    /// If it has no answer.
    pub(crate) fn ask(&mut self, what: &str, question: Value) -> Value {
        let answer = self.try_ask(what, question);
        assert!(
            answer.get("is").is_some(),
            "{}, asked for {what}: {answer}",
            self.name
        );
        answer["is"].clone()
    }

    /// Asks it: `{"is": answer}` or `{"error": words}`.
    pub(crate) fn try_ask(&mut self, what: &str, mut question: Value) -> Value {
        question["ask"] = what.into();
        let said = writeln!(self.asks, "{question}").and_then(|()| self.asks.flush());
        said.expect("the judge listens");
        let line = self.says.recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|error| panic!("{}, asked for {what}: {error}", self.name));
        serde_json::from_str(&line).unwrap_or_else(|_| json!({"error": line}))
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/interop/twilio")
        .join(name)
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("judges")
        .join(name);
    fs::create_dir_all(&folder).expect("a folder for the judge");
    folder
}

/// Installs packages if that was never done, or not today: the judge is the library of the day, or of the last day on which it
/// could be had.
fn install(folder: &Path, packages: &[&str], how: impl FnOnce() -> Result<(), String>) {
    let (mark, packages) = (folder.join("installed"), packages.join(" "));
    let is_all = fs::read_to_string(&mark).is_ok_and(|there| there == packages);
    let installed = fs::metadata(&mark).and_then(|mark| mark.modified()).ok();
    let age = installed.and_then(|time| SystemTime::now().duration_since(time).ok());
    if is_all && age.is_some_and(|age| age < DAY) {
        return;
    }
    match how() {
        Ok(()) => fs::write(mark, packages).expect("the mark is written"),
        Err(why) => {
            assert!(is_all, "{why}");
            // Written like this it is seen though the test passes.
            let days = age.map_or(0, |age| age.as_secs() / DAY.as_secs());
            let _ = writeln!(
                io::stderr(),
                "{packages}: those of {days} days ago are used, for there are none of today: {why}"
            );
        }
    }
}

fn run(command: &mut Command, package: &str) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| {
        panic!("cannot start {program}: {error}; install it with: apt-get install {package}")
    });
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command:?} failed, perhaps for want of {package}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

const DAY: Duration = Duration::from_secs(86_400);

/// How long it may take over an answer.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn what_cannot_be_had_today_is_taken_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let mark = folder.path().join("installed");
    fs::write(&mark, "one two").expect("a mark");
    let long_ago = SystemTime::now() - 3 * DAY;
    let file = fs::File::options().write(true).open(&mark);
    let set = file.and_then(|file| file.set_modified(long_ago));
    set.expect("the time is set");

    install(folder.path(), &["one", "two"], || Err("offline".to_owned()));

    let modified = fs::metadata(&mark).and_then(|mark| mark.modified());
    assert_eq!(modified.expect("a time"), long_ago, "to be tried again");
}

#[test]
#[should_panic(expected = "offline")]
fn what_was_never_whole_is_no_judge() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("installed"), "one").expect("a mark");

    install(folder.path(), &["one", "two"], || Err("offline".to_owned()));
}
