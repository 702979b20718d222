//! The desk at which a configuration is read: its files, and the faults found so far.

mod lines;

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use toml::Spanned;
use toml::de::DeTable;

use crate::config::Source;
use crate::config::fault::{Fault, Faults};
use crate::config::postbacks::Hearing;
use crate::config::raw::Spot;
use crate::types::secret::Secret;

pub(super) use self::lines::LineCounter;
use self::lines::one_line;

/// Place of a file in [`Desk::files`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileId(pub(super) u32);

/// A file that was read.
pub(super) struct File {
    pub(super) id: FileId,
    pub(super) text: Rc<str>,
}

/// Where something stands in the files, and the key it belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) file: FileId,
    /// In bytes from the start of the file.
    pub(super) offset: u32,
    pub(super) section: &'static str,
    pub(super) key: &'static str,
}

/// The files of a configuration and what is wrong with them.
pub(super) struct Desk<'s> {
    source: &'s dyn Source,
    base: PathBuf,
    files: Vec<(PathBuf, Rc<str>)>,
    notes: Vec<Note>,
    /// Files that are no TOML somewhere.
    torn: BTreeSet<FileId>,
    /// Whether a file that is named could not be read.
    is_unread: bool,
    /// Names that were looked for in vain, but may stand in what could not be read.
    unfound: usize,
    /// Where secrets stand, by file and offset.
    secrets: BTreeSet<(FileId, u32)>,
    pub(super) hearing: Hearing,
}

struct Note {
    place: Place,
    /// A key that nobody knows, so that it has no name in `place`.
    unknown_key: Option<Box<str>>,
    is_syntax: bool,
    /// What it is about may have described what others name.
    hides_names: bool,
    is_warning: bool,
    what: String,
    instead: String,
}

impl<'s> Desk<'s> {
    pub(super) fn new(main: &Path, source: &'s dyn Source) -> Self {
        Self {
            source,
            base: main.parent().map(Path::to_owned).unwrap_or_default(),
            files: Vec::new(),
            notes: Vec::new(),
            torn: BTreeSet::new(),
            is_unread: false,
            unfound: 0,
            secrets: BTreeSet::new(),
            hearing: Hearing::default(),
        }
    }

    /// Notes that what stands at `place` is wrong.
    pub(super) fn fault(
        &mut self,
        place: Place,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.notes.push(Note {
            place,
            unknown_key: None,
            is_syntax: false,
            hides_names: false,
            is_warning: false,
            what: what.into(),
            instead: instead.into(),
        });
    }

    /// Notes that what stands at `place` is right, but seldom meant.
    pub(super) fn warn(
        &mut self,
        place: Place,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        self.fault(place, what, instead);
        if let Some(note) = self.notes.last_mut() {
            note.is_warning = true;
        }
    }

    /// Notes that `key` is no key of the section that it stands in.
    pub(super) fn unknown_key(&mut self, place: Place, key: &str, instead: String) {
        self.notes.push(Note {
            place,
            unknown_key: Some(key.escape_debug().to_string().into()),
            is_syntax: false,
            hides_names: false,
            is_warning: false,
            what: "unknown key".to_owned(),
            instead,
        });
    }

    /// Notes that something is not there, unless the file is torn: it may stand in the torn part.
    pub(super) fn absent(
        &mut self,
        place: Place,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        if !self.torn.contains(&place.file) {
            self.fault(place, what, instead);
        }
    }

    /// Notes that what is named is nowhere; it is only counted if a file is torn or could not be read.
    pub(super) fn unknown(
        &mut self,
        place: Place,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        if self.torn.is_empty() && !self.is_unread {
            self.fault(place, what, instead);
        } else {
            self.unfound += 1;
        }
    }

    /// Remembers that the value at `place` is a secret, which nobody may be shown.
    pub(super) fn note_secret(&mut self, place: Place) {
        self.secrets.insert((place.file, place.offset));
    }

    /// Whether the value at this place is a secret.
    pub(super) fn is_secret(&self, file: FileId, offset: u32) -> bool {
        self.secrets.contains(&(file, offset))
    }

    /// Number of faults so far.
    pub(super) fn count(&self) -> usize {
        self.notes.len()
    }

    /// Whether there is no fault so far, but warnings perhaps.
    pub(super) fn is_right(&self) -> bool {
        self.notes.iter().all(|note| note.is_warning)
    }

    /// The path that `path` in the configuration stands for.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// `file:line` of `place`, to point at it from a fault elsewhere.
    pub(super) fn point_at(&self, place: Place) -> String {
        let (path, text) = self.file(place.file);
        let mut lines = LineCounter::default();
        let (line, _) = lines.line_column(place.file, text, place.offset as usize);
        format!("{}:{line}", path.display())
    }

    pub(super) fn open_main(&mut self, path: &Path) -> Option<File> {
        let place = Place {
            file: FileId(0),
            offset: 0,
            section: "",
            key: "",
        };
        let text = self.source.read(path);
        let (text, error) = match text {
            Ok(text) => (text, None),
            Err(error) => (String::new(), Some(error)),
        };
        self.files.push((path.to_owned(), text.into()));
        if let Some(error) = error {
            self.fault(
                place,
                format!("cannot be read: {error}"),
                "name the main file with --config",
            );
            return None;
        }
        self.file_of(place.file)
    }

    /// Reads the file at `path`, which the configuration names at `place`.
    pub(super) fn open(&mut self, path: &Path, place: Place) -> Option<File> {
        match self.source.read(path) {
            Ok(text) => {
                let id = FileId(u32::try_from(self.files.len()).ok()?);
                self.files.push((path.to_owned(), text.into()));
                self.file_of(id)
            }
            Err(error) => {
                self.unreadable(path, place, &error);
                None
            }
        }
    }

    /// The last fault may hide the description of what others name.
    fn hide_names(&mut self) {
        self.is_unread = true;
        if let Some(note) = self.notes.last_mut() {
            note.hides_names = true;
        }
    }

    fn unreadable(&mut self, path: &Path, place: Place, error: &io::Error) {
        let hints = [
            (
                io::ErrorKind::PermissionDenied,
                "whoever runs the edge must be allowed to: see its owner and mode",
            ),
            (io::ErrorKind::InvalidData, "write it in UTF-8"),
            (io::ErrorKind::IsADirectory, "name a file"),
        ];
        let hint = hints.iter().find(|(kind, _)| *kind == error.kind());
        let instead = hint.map_or(RELATIVE, |(_, hint)| *hint);
        let what = format!("{} cannot be read: {error}", path.display());
        self.fault(place, what, instead);
    }

    /// Reads all files in `folder`, whose names end so, by name; a folder that is not there has none.
    pub(super) fn open_folder(&mut self, folder: &Path, end: &str, place: Place) -> Vec<File> {
        let mut listed = match self.source.list(folder) {
            Ok(listed) => listed,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                let what = format!("{} cannot be listed: {error}", folder.display());
                self.fault(place, what, RELATIVE);
                self.hide_names();
                return Vec::new();
            }
        };
        listed.retain(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            // A leading dot is for what is half written.
            name.is_some_and(|name| name.ends_with(end) && !name.starts_with('.'))
        });
        listed.sort();
        let mut files = Vec::with_capacity(listed.len());
        for path in listed {
            let file = self.open(&path, place);
            if file.is_none() {
                self.hide_names();
            }
            files.extend(file);
        }
        files
    }

    /// Reads the files that the patterns name, each once, the matches of one pattern by name.
    pub(super) fn open_directory(&mut self, patterns: &[Spot<&str>]) -> Vec<File> {
        let mut files = Vec::new();
        for pattern in patterns {
            for path in self.matches(*pattern) {
                if self.files.iter().any(|(open, _)| *open == path) {
                    continue;
                }
                let file = self.open(&path, pattern.place);
                if file.is_none() {
                    self.hide_names();
                }
                files.extend(file);
            }
        }
        files
    }

    fn matches(&mut self, pattern: Spot<&str>) -> Vec<PathBuf> {
        let path = self.resolve(pattern.value);
        let name = path.file_name().and_then(|name| name.to_str());
        let Some((start, end)) = name.and_then(|name| name.split_once('*')) else {
            return vec![path];
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let listed = match self.source.list(folder) {
            Ok(listed) => listed,
            Err(error) => {
                self.fault(
                    pattern.place,
                    format!("{} cannot be listed: {error}", folder.display()),
                    RELATIVE,
                );
                self.hide_names();
                return Vec::new();
            }
        };
        let fits = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            // A leading dot is for what editors leave behind.
            name.is_some_and(|name| {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start)
                    && name.ends_with(end)
                    && !name.ends_with(".route.toml")
                    && (!name.starts_with('.') || start.starts_with('.'))
            })
        };
        let mut found: Vec<PathBuf> = listed.into_iter().filter(fits).collect();
        found.sort();
        if found.is_empty() {
            self.fault(
                pattern.place,
                format!("`{}` matches no file", pattern.value),
                "one `*` may stand in the file's name; a path is relative to the directory of the main file",
            );
            self.hide_names();
        }
        found
    }

    /// Parses a file as TOML, as far as that goes; what does not is noted.
    pub(super) fn parse<'t>(&mut self, file: &'t File) -> DeTable<'t> {
        let (document, errors): (Spanned<DeTable<'t>>, _) = DeTable::parse_recoverable(&file.text);
        for error in errors {
            self.torn.insert(file.id);
            let offset = error.span().map_or(0, |span| span.start);
            self.notes.push(Note {
                place: Place {
                    file: file.id,
                    offset: u32::try_from(offset).unwrap_or(u32::MAX),
                    section: "",
                    key: "",
                },
                unknown_key: None,
                is_syntax: true,
                hides_names: true,
                is_warning: false,
                what: format!("no TOML: {}", error.message()),
                instead: String::new(),
            });
        }
        document.into_inner()
    }

    /// The text of the file at `path`, which the configuration names at `place` and which is none of it.
    pub(super) fn text_of(&mut self, path: &Path, place: Place) -> Option<String> {
        match self.source.read(path) {
            Ok(text) => Some(text),
            Err(error) => {
                self.unreadable(path, place, &error);
                None
            }
        }
    }

    /// The secret in the file that is named at `path`.
    pub(super) fn secret_from_file(&mut self, path: Spot<&str>) -> Option<Secret> {
        let full = self.resolve(path.value);
        match self.source.read(&full) {
            Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']).as_bytes())),
            Err(error) => {
                self.unreadable(&full, path.place, &error);
                None
            }
        }
    }

    /// The secret in the environment variable that is named at `name`.
    pub(super) fn secret_from_env(&mut self, name: Spot<&str>) -> Option<Secret> {
        let value = self.source.env(name.value);
        if value.is_none() {
            self.fault(
                name.place,
                format!("the environment variable `{}` is not set", name.value),
                "set it for the process that reads the configuration",
            );
        }
        value.map(|value| Secret::new(value.into_bytes()))
    }

    pub(super) fn fallback_secret(&self) -> Secret {
        Secret::new(self.source.fallback_secret())
    }

    /// All faults, in the order of files and lines, and all warnings.
    pub(super) fn into_faults(mut self) -> (Faults, Vec<Fault>) {
        let mut notes = std::mem::take(&mut self.notes);
        let broken: Vec<(FileId, Range<usize>)> = notes
            .iter()
            .filter(|note| note.is_syntax)
            .map(|note| (note.place.file, self.broken_part(note.place)))
            .collect();
        // What the parser made of a broken part is nobody's intent.
        notes.retain(|note| {
            let (file, offset) = (note.place.file, note.place.offset as usize);
            let holds =
                |(other, part): &(FileId, Range<usize>)| *other == file && part.contains(&offset);
            note.is_syntax || !broken.iter().any(holds)
        });
        notes.sort_by_key(|note| (note.place.file, note.place.offset));
        self.tell_unfound(&mut notes);
        let mut lines = LineCounter::default();
        let mut faults = Vec::with_capacity(notes.len());
        for note in notes {
            let (path, text) = self.file(note.place.file);
            let offset = note.place.offset as usize;
            let (line, column) = lines.line_column(note.place.file, text, offset);
            faults.push(Fault {
                file: path.to_owned(),
                line,
                column,
                key: note.place.name(note.unknown_key.as_deref()),
                what: one_line(note.what),
                instead: one_line(note.instead),
                is_warning: note.is_warning,
            });
        }
        let (warnings, faults) = faults.into_iter().partition(|fault| fault.is_warning);
        (Faults::new(faults), warnings)
    }

    /// Says at what hides them that there may be more faults.
    fn tell_unfound(&self, notes: &mut [Note]) {
        if self.unfound == 0 {
            return;
        }
        if let Some(note) = notes.iter_mut().find(|note| note.hides_names) {
            if !note.instead.is_empty() {
                note.instead.push_str("; ");
            }
            let (names, were) = match self.unfound {
                1 => ("1 name".to_owned(), "was"),
                many => (format!("{many} names"), "were"),
            };
            note.instead
                .push_str(&format!("{names} that it may describe {were} not found"));
        }
    }

    /// The line of a syntax fault; if it is a table's header, all that stands under it.
    fn broken_part(&self, place: Place) -> Range<usize> {
        let (_, text) = self.file(place.file);
        let (before, after) = text
            .split_at_checked(place.offset as usize)
            .unwrap_or((text, ""));
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let is_header = text.get(start..).is_some_and(|line| line.starts_with('['));
        let end = after.find(if is_header { "\n[" } else { "\n" });
        start..end.map_or(text.len() + 1, |end| before.len() + end)
    }

    fn file_of(&self, id: FileId) -> Option<File> {
        let (_, text) = self.files.get(id.0 as usize)?;
        let text = Rc::clone(text);
        Some(File { id, text })
    }

    /// Path and text of a file.
    pub(super) fn file(&self, id: FileId) -> (&Path, &str) {
        let found = self.files.get(id.0 as usize);
        found.map_or((Path::new(""), ""), |(path, text)| (path, text))
    }
}

impl Place {
    /// The same place, but of the key `key`.
    pub(super) fn of(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    fn name(&self, unknown_key: Option<&str>) -> String {
        let parts = [self.section, self.key, unknown_key.unwrap_or_default()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(".")
    }
}

/// What is right where a file is not found.
const RELATIVE: &str = "a path is relative to the directory of the main file";
