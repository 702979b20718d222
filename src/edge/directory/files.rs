//! Files that are there wholly or not at all, whatever happens in between.
//!
//! ```text
//!  .sunny.toml.tmp <── write, fsync ── rename ──> sunny.toml ── fsync of the folder
//!                   killed here: left over, never read, and removed at the next start
//! ```

use std::fs;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tracing::{info, warn};

use crate::config::objects;

/// Writes `text` as the file at `path`, in place of what is there; it is on the disk when this returns. Nobody but our
/// own user can read it, for it may hold secrets.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = folder_of(path)?;
    make(folder)?;
    let half = half(path)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&half)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&half, path)?;
    File::open(folder)?.sync_all()
}

/// Removes the file at `path`; that is on the disk when this returns.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    File::open(folder_of(path)?)?.sync_all()
}

/// Removes what was left half written.
pub(in crate::edge) fn clean(data_dir: &Path) {
    for folder in objects::folders(data_dir) {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let name = path.file_name().and_then(|name| name.to_str());
            if !name.is_some_and(|name| name.starts_with('.') && name.ends_with(HALF)) {
                continue;
            }
            match fs::remove_file(&path) {
                Ok(()) => info!(file = %path.display(), "removed what was half written"),
                Err(error) => warn!(file = %path.display(), %error, "cannot be removed"),
            }
        }
    }
}

/// Makes a folder and those above it, and has each on the disk.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().filter(|above| *above != Path::new(""));
    if let Some(above) = above {
        make(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    File::open(above.unwrap_or(Path::new(".")))?.sync_all()
}

fn folder_of(path: &Path) -> io::Result<&Path> {
    path.parent()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))
}

/// Where a file stands while it is written.
fn half(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    Ok(path.with_file_name(format!(".{name}{HALF}")))
}

const HALF: &str = ".tmp";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_only_its_owner_reads_it() {
        let data = tempfile::tempdir().unwrap();
        let path = objects::file_for(data.path(), "buyer", "sunny");

        write(&path, "one").unwrap();
        write(&path, "two").unwrap();

        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(names(path.parent().unwrap()), ["sunny.toml"]);
        remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_was_left_half_written_goes_and_nothing_else() {
        let data = tempfile::tempdir().unwrap();
        let path = objects::file_for(data.path(), "buyer", "sunny");
        write(&path, "whole").unwrap();
        let folder = path.parent().unwrap();
        fs::write(folder.join(".moony.toml.tmp"), "ha").unwrap();
        fs::write(folder.join(".gitignore"), "").unwrap();

        clean(data.path());

        assert_eq!(names(folder), [".gitignore", "sunny.toml"]);
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_one() {
        let data = tempfile::tempdir().unwrap();
        let path = objects::file_for(data.path(), "buyer", "sunny");
        write(&path, "old").unwrap();
        // The place of the half-written one is taken by a folder.
        fs::create_dir(path.with_file_name(".sunny.toml.tmp")).unwrap();

        assert!(write(&path, "new").is_err());

        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}
