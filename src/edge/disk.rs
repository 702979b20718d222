//! Where the configuration comes from: the disk and the environment.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use crate::config::Source;

/// The disk, the environment, and a secret that lasts as long as the process.
pub struct Disk {
    secret: [u8; 32],
}

impl Disk {
    /// Draws the secret.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers to give.
    pub fn new() -> io::Result<Self> {
        Ok(Self { secret: draw()? })
    }
}

/// Draws 256 unpredictable bits.
pub(super) fn draw() -> io::Result<[u8; 32]> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(io::Error::other)?;
    Ok(bits)
}

impl Source for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        fs::read_to_string(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(path)? {
            let file = entry?.path();
            // Not the entry's own type: a link to a file is as good as the file.
            if file.is_file() {
                files.push(file);
            }
        }
        Ok(files)
    }

    fn env(&self, name: &str) -> Option<String> {
        env::var(name).ok()
    }

    fn fallback_secret(&self) -> [u8; 32] {
        self.secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_lists_its_files_and_not_its_folders() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.toml"), "a").unwrap();
        fs::create_dir(folder.path().join("b.toml")).unwrap();
        let disk = Disk::new().unwrap();

        assert_eq!(
            disk.list(folder.path()).unwrap(),
            [folder.path().join("a.toml")]
        );
        assert_eq!(disk.read(&folder.path().join("a.toml")).unwrap(), "a");
        assert!(disk.list(&folder.path().join("none")).is_err());
    }

    #[test]
    fn the_fallback_secret_stays_the_same_and_is_nobody_elses() {
        let (one, other) = (Disk::new().unwrap(), Disk::new().unwrap());

        assert_eq!(one.fallback_secret(), one.fallback_secret());
        assert_ne!(one.fallback_secret(), other.fallback_secret());
    }
}
