//! The configuration as it would be with one file changed.

use std::io;
use std::path::{Path, PathBuf};

use crate::config::Source;

/// A source with another text in the place of one file.
pub(super) struct Overlay<'s> {
    pub(super) source: &'s dyn Source,
    pub(super) path: &'s Path,
    /// `None`: the file is gone.
    pub(super) text: Option<&'s str>,
}

impl Source for Overlay<'_> {
    fn read(&self, path: &Path) -> io::Result<String> {
        if path != self.path {
            return self.source.read(path);
        }
        let text = self.text.map(str::to_owned);
        text.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let listed = self.source.list(path);
        if self.path.parent() != Some(path) {
            return listed;
        }
        let mut listed = match listed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            listed => listed?,
        };
        listed.retain(|file| file != self.path);
        if self.text.is_some() {
            listed.push(self.path.to_owned());
        }
        Ok(listed)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.source.env(name)
    }

    fn fallback_secret(&self) -> [u8; 32] {
        self.source.fallback_secret()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Texts;

    #[test]
    fn one_file_is_changed_added_or_gone_and_all_else_is_as_it_was() {
        let source = Texts::of("d/a.toml", "a").and("d/b.toml", "b");
        let over = |path: &'static str, text| Overlay {
            source: &source,
            path: Path::new(path),
            text,
        };

        let changed = over("d/a.toml", Some("A"));
        assert_eq!(changed.read(Path::new("d/a.toml")).unwrap(), "A");
        assert_eq!(changed.read(Path::new("d/b.toml")).unwrap(), "b");
        assert_eq!(names(&changed, "d"), ["d/a.toml", "d/b.toml"]);
        let gone = over("d/a.toml", None);
        assert!(gone.read(Path::new("d/a.toml")).is_err());
        assert_eq!(names(&gone, "d"), ["d/b.toml"]);
        let added = over("e/c.toml", Some("c"));
        assert_eq!(names(&added, "e"), ["e/c.toml"]);
        assert!(added.list(Path::new("f")).is_err());
    }

    fn names(source: &Overlay<'_>, folder: &str) -> Vec<String> {
        let names = source.list(Path::new(folder)).unwrap();
        let mut names: Vec<String> = names
            .iter()
            .map(|name| name.display().to_string())
            .collect();
        names.sort();
        names
    }
}
