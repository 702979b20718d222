//! Data that are shared with others and are no part of this repository.

use std::collections::BTreeSet;
use std::env;
use std::io;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Tests that have said that they did not run.
static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Where the shared file of this name is: under `STROWGER_SHARED`, else under `../shared` beside the package. `None`, which each
/// test tells once: there is nothing of the kind on this machine.
///
/// # Panics
/// If `STROWGER_SHARED` names a place where it is not.
pub(crate) fn shared(file: &str) -> Option<PathBuf> {
    let named = env::var_os("STROWGER_SHARED").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let path = named.clone().unwrap_or_else(beside).join(file);
    if path.exists() {
        return Some(path);
    }
    assert!(
        named.is_none(),
        "no {}, where STROWGER_SHARED says that it is",
        path.display()
    );
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    if told.insert(test.to_owned()) {
        // What is printed by the macros is shown of tests that fail, and of no others.
        let text = format!(
            "NOT RUN: what {test} asks of {} (set STROWGER_SHARED)\n",
            path.display()
        );
        let _ = io::stderr().write_all(text.as_bytes());
    }
    None
}
