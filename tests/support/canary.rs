//! Canaries: secrets of tests, which all begin alike, and who looks for them where no secret may be: in files that an edge has
//! written, its store and its journal among them, in what it answers, in its metrics and in its log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing::Level;

/// What each of them begins with.
pub(crate) const MARK: &str = "canary-";

/// Whether there is one in it.
pub(crate) fn is_in(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, MARK.as_bytes()).is_some()
}

/// The files below a folder that have one, but for configurations.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_none_or(|end| end != "toml")
                && fs::read(&path).is_ok_and(|bytes| is_in(&bytes))
            {
                found.push(path);
            }
        }
    }
    found
}

/// Listens to all that this process logs from here on, on every level.
pub(crate) fn listen() {
    let log = tracing_subscriber::fmt().with_max_level(Level::TRACE);
    // Somebody may listen already.
    let _ = log.with_ansi(false).with_writer(|| Ear).try_init();
}

/// The lines of the log that had one.
pub(crate) fn heard() -> Vec<String> {
    FOUND.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

static FOUND: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Takes a line of the log.
struct Ear;

impl io::Write for Ear {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if is_in(line) {
            let line = String::from_utf8_lossy(line).into_owned();
            let found = FOUND.lock();
            found.unwrap_or_else(PoisonError::into_inner).push(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
