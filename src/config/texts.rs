//! A [`Source`] in memory: for a configuration that is built in, and for tests.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::config::Source;

/// Files and environment as maps.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// Text of each file, by its path.
    pub files: BTreeMap<PathBuf, String>,
    /// Value of each environment variable, by its name.
    pub env: BTreeMap<String, String>,
    /// What a node without a secret of its own gets.
    pub fallback_secret: [u8; 32],
}

impl Texts {
    /// A source with one file.
    #[must_use]
    pub fn of(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        Self::default().and(path, text)
    }

    /// The same source with one file more.
    #[must_use]
    pub fn and(mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }
}

impl Source for Texts {
    fn read(&self, path: &Path) -> io::Result<String> {
        let text = self.files.get(path);
        text.cloned()
            .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let inside = |file: &&PathBuf| file.parent() == Some(path);
        let found: Vec<PathBuf> = self.files.keys().filter(inside).cloned().collect();
        if found.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no such directory"));
        }
        Ok(found)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.env.get(name).cloned()
    }

    fn fallback_secret(&self) -> [u8; 32] {
        self.fallback_secret
    }
}
