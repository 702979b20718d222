//! What outlives the process, with processes that are killed: by SIGKILL wherever they are, and by a disk that is full.
//!
//! The test binary runs itself again as the process that is to die. It says on standard error what it has promised; whatever it
//! has said must be there afterwards, once.

mod crash;
mod full;
mod traffic;

use std::env;
use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use strowger::store::{Entry, Lane, Options, Rotation, Store, Unusable};
use strowger::types::moment::Moment;

/// Says to the test binary that it is the process that is to die, and where its data is.
const DATA: &str = "STROWGER_TEST_STORE";

/// A disk of its own, so small that it is soon full.
const MOUNT: &str = r#"mount -t tmpfs -o size=6m tmpfs "$1" && shift && exec "$@""#;

/// Lanes of a store: two for those who call, one for all else.
const LANES: u16 = 3;

/// The test of this name, run again as a process of its own: for whoever finds [`data_of_the_child`] there.
fn child(test: &str, data: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("this is a test binary"));
    command
        .args([test, "--exact", "--nocapture"])
        .env(DATA, data)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// `Some`: this is the process that is to die.
pub(crate) fn data_of_the_child() -> Option<PathBuf> {
    env::var_os(DATA)
        .as_deref()
        .map(OsStr::to_owned)
        .map(PathBuf::from)
}

/// Runs the test of this name again on a disk of its own that is soon full, at `folder`; it says `all is well` at its end.
/// Root is needed for that, or a namespace of users.
pub(crate) fn run_on_a_small_disk(test: &str, folder: &Path) {
    let inner = child(test, folder);
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let way = ways.into_iter().find(|way| {
        let tried = Command::new("unshare").args(*way).arg("true").output();
        tried.is_ok_and(|output| output.status.success())
    });
    let way = way.expect("a disk of its own needs root, or user namespaces");
    let output = Command::new("unshare")
        .args(way)
        .args(["sh", "-c", MOUNT, "sh"])
        .arg(folder)
        .arg(inner.get_program())
        .args(inner.get_args())
        .env(DATA, folder)
        .output()
        .expect("unshare runs");

    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("all is well"), "{said}");
}

/// Fills the disk to the last byte.
pub(crate) fn fill(path: &Path) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("there is room");
    for size in [65_536, 4096, 512, 1] {
        let piece = vec![b'x'; size];
        while file.write_all(&piece).is_ok() {}
    }
}

/// Opens the store as all of them do: with files that are so small that many are begun.
fn open(data: &Path) -> Store {
    let mut patience = 10_000;
    let options = Options {
        rotation: Rotation {
            size: Some(20_000),
            is_daily: false,
        },
        segment: 30_000,
        ..Options::default()
    };
    loop {
        match Store::open(data, LANES, options.clone(), now()) {
            Ok(store) => return store,
            // A process that somebody is just starting has all files of the one that starts it, for a moment.
            Err(Unusable::InUse { .. }) if patience > 0 => {
                patience -= 1;
                thread::sleep(Duration::from_millis(1));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Writes all of `entries` down.
fn promise(lane: &Mutex<Lane>, entries: &[Entry<'_>]) {
    let mut lane = held(lane);
    for entry in entries {
        lane.append(entry).expect("there is room");
    }
    lane.commit().expect("the disk takes it");
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a process that is killed has no other time than the real one"
)]
fn now() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since = since.unwrap_or(Duration::ZERO).as_millis();
    Moment::from_millis(i64::try_from(since).unwrap_or(i64::MAX))
}
