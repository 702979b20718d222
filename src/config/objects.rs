//! The routing data as they are seen and changed over HTTP: objects of the sections that a routing file may have, each
//! with its id, its version and its home.
//!
//! What an object may hold is for the readers of the sections to say, here as in files: an object that is put is
//! written as TOML, and the whole configuration read with it.

use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::Sha256;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::config::bulk::{self, List};
use crate::config::desk::{Desk, LineCounter};
use crate::config::fault::Fault;
use crate::config::keys;
use crate::config::raw::{self, Section};
use crate::config::shelf;
use crate::config::toml_text;
use crate::config::value;
use crate::types::secret::Secret;

/// All objects and lists that a configuration has.
#[derive(Default)]
pub struct Objects {
    kinds: BTreeMap<&'static str, BTreeMap<Box<str>, Object>>,
    /// Lists of numbers that came over HTTP.
    pub lists: BTreeMap<Box<str>, NumberList>,
    /// Files with lists of numbers, those of operators first.
    pub list_files: Vec<PathBuf>,
    /// What was read of each file that came over HTTP: its [`mark`].
    pub marks: BTreeMap<PathBuf, u128>,
}

/// One object.
pub struct Object {
    /// What it says, without its secrets.
    pub value: Map<String, Value>,
    /// Another one after each change.
    pub version: Version,
    /// Where it stands.
    pub home: Home,
}

/// One list of numbers.
pub struct NumberList {
    /// Another one after each change.
    pub version: Version,
    /// The file.
    pub file: PathBuf,
    /// Lines, empty ones and comments included.
    pub lines: usize,
}

/// Where an object stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Home {
    /// The file.
    pub file: PathBuf,
    /// The line; the first is 1.
    pub line: usize,
    /// Whether it came over HTTP, and has a file of its own.
    #[serde(skip)]
    pub is_ours: bool,
}

/// A version of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version(pub u128);

/// Names of all kinds of objects.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    keys::OBJECTS.iter().map(|shape| shape.name)
}

/// The kind of this name, if there is one.
#[must_use]
pub fn kind(name: &str) -> Option<&'static str> {
    kinds().find(|kind| *kind == name)
}

/// The keys that objects of a kind have; the first is what they are called by.
#[must_use]
pub fn keys_of(kind: &str) -> &'static [&'static str] {
    let shape = keys::OBJECTS.iter().find(|shape| shape.name == kind);
    shape.map_or(&[], |shape| shape.keys)
}

/// The file for an object that comes over HTTP.
#[must_use]
pub fn file_for(data_dir: &Path, kind: &str, id: &str) -> PathBuf {
    let folder = shelf::folder(data_dir).join(kind);
    folder.join(shelf::file_name(id, ".toml"))
}

/// Whether a list of numbers may be called so.
#[must_use]
pub fn is_list_name(name: &str) -> bool {
    value::is_id(name) && !name.starts_with('.')
}

/// The file for a list of numbers that comes over HTTP.
#[must_use]
pub fn list_file_for(data_dir: &Path, name: &str) -> PathBuf {
    let folder = shelf::folder(data_dir).join(shelf::LISTS);
    folder.join(shelf::file_name(name, ".csv"))
}

/// Every folder in which such files may be.
pub fn folders(data_dir: &Path) -> impl Iterator<Item = PathBuf> {
    let folder = shelf::folder(data_dir);
    kinds()
        .chain([shelf::LISTS])
        .map(move |name| folder.join(name))
}

/// Writes an object as the text of its file. `old`: the text of the file that it replaces, whose secrets stay where
/// the object says so.
///
/// # Errors
///
/// Everything that cannot be written, or is called otherwise than `id`.
pub fn write(
    kind: &'static str,
    id: &str,
    object: &Map<String, Value>,
    old: Option<&str>,
) -> Result<String, Vec<ObjectFault>> {
    let own = keys_of(kind).first().copied().unwrap_or_default();
    let mut object = object.clone();
    match object.get(own) {
        None => {
            object.insert(own.to_owned(), id.into());
        }
        Some(Value::String(written)) if written == id => {}
        Some(_) => {
            return Err(vec![ObjectFault {
                at: format!("/{own}"),
                key: format!("{kind}.{own}"),
                what: "is another name than that in the path".to_owned(),
                instead: "the same, or none".to_owned(),
            }]);
        }
    }
    let old: Option<toml::Table> = old.and_then(|text| toml::from_str(text).ok());
    let old = old.as_ref().and_then(|old| old.get(kind)?.get(0));
    toml_text::write(kind, &object, old).map_err(|faults| {
        let faults = faults.into_iter().map(|fault| ObjectFault {
            key: format!("{kind}{}", fault.at.replace('/', ".")),
            at: fault.at,
            what: fault.what.to_owned(),
            instead: fault.instead.to_owned(),
        });
        faults.collect()
    })
}

/// A fault of an object that came as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectFault {
    /// Where in the JSON: a pointer (RFC 6901).
    pub at: String,
    /// The key, as in a file.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What would be right; empty where `what` says it all.
    pub instead: String,
}

/// The fault of an object's file as one of the object.
#[must_use]
pub fn of_object(fault: &Fault, text: &str) -> ObjectFault {
    ObjectFault {
        at: raw::pointer(text, fault.line, fault.column),
        key: fault.key.clone(),
        what: fault.what.clone(),
        instead: fault.instead.clone(),
    }
}

/// The line that `number` has in a list, and what it says.
#[must_use]
pub fn line_of(text: &str, number: &str) -> Option<(usize, Map<String, Value>)> {
    let starts = memchr::memmem::find_iter(text.as_bytes(), number.as_bytes());
    let mut lines = starts.filter_map(|at| {
        let (before, after) = text.split_at_checked(at)?;
        let line = after.lines().next()?;
        let is_whole = line.get(number.len()..)?.trim_start().starts_with(',');
        let indent = before.rsplit('\n').next()?;
        let is_first = indent.trim_matches(['\u{feff}', ' ', '\t']).is_empty();
        (is_whole && is_first).then_some((before, line))
    });
    let (before, line) = lines.next()?;
    let fields = line.split(',').map(str::trim);
    let object = bulk::COLUMNS
        .iter()
        .zip(fields)
        .filter(|(_, field)| !field.is_empty())
        .map(|(column, field)| ((*column).to_owned(), field.into()))
        .collect();
    Some((
        memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1,
        object,
    ))
}

impl Version {
    /// As an entity tag (RFC 9110 §8.8.3).
    #[must_use]
    pub fn to_tag(self) -> String {
        format!("\"{:032x}\"", self.0)
    }

    /// Reads what [`to_tag`](Self::to_tag) writes.
    #[must_use]
    pub fn from_tag(tag: &str) -> Option<Self> {
        let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
        let is_hex = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        is_hex.then_some(Self(u128::from_str_radix(digits, 16).ok()?))
    }
}

impl Objects {
    /// Gathers them from files that have no fault. `secret` keeps versions from telling what secrets are.
    pub(super) fn read(
        roots: &[Section<'_>],
        (theirs, ours): (&[List], &[List]),
        (data_dir, secret): (Option<&Path>, &Secret),
        desk: &mut Desk<'_>,
    ) -> Self {
        let key = key(secret);
        let mut objects = Self::default();
        for root in roots {
            let mut lines = LineCounter::default();
            let mut here = Vec::new();
            for shape in keys::OBJECTS {
                for section in root.sections(shape.name, shape, desk) {
                    here.push((shape, section));
                }
            }
            here.sort_by_key(|(_, section)| section.place.offset);
            let count = here.len();
            for (shape, section) in here {
                let Some(name) = shape.keys.first() else {
                    continue;
                };
                let value = section.show(desk);
                let Some(id) = value.get(*name).and_then(Value::as_str) else {
                    continue;
                };
                let id: Box<str> = id.into();
                let (file, text) = desk.file(section.place.file);
                let place = (section.place.file, section.place.offset as usize);
                let (line, _) = lines.line_column(place.0, text, place.1);
                let own = data_dir.map(|data_dir| file_for(data_dir, shape.name, &id));
                let is_ours = count == 1 && own.as_deref() == Some(file);
                if is_ours {
                    objects.marks.insert(file.to_owned(), mark(text));
                }
                let object = Object {
                    version: Version(section.fingerprint(&key)),
                    home: Home {
                        file: file.to_owned(),
                        line,
                        is_ours,
                    },
                    value,
                };
                let kind = objects.kinds.entry(shape.name).or_default();
                kind.insert(id, object);
            }
        }
        for list in ours {
            objects.add_list(list, &key, desk);
        }
        for list in theirs.iter().chain(ours) {
            let (file, _) = desk.file(list.0.id);
            objects.list_files.push(file.to_owned());
        }
        objects
    }

    fn add_list(&mut self, list: &List, key: &[u8; 16], desk: &Desk<'_>) {
        let (file, text) = desk.file(list.0.id);
        let Some(name) = file.file_stem().and_then(|name| name.to_str()) else {
            return;
        };
        let list = NumberList {
            version: version_of(text, key),
            file: file.to_owned(),
            lines: text.lines().count(),
        };
        self.marks.insert(file.to_owned(), mark(text));
        self.lists.insert(name.into(), list);
    }

    /// The object of this kind and id.
    #[must_use]
    pub fn find(&self, kind: &str, id: &str) -> Option<&Object> {
        self.kinds.get(kind)?.get(id)
    }

    /// Number of objects of a kind.
    #[must_use]
    pub fn count(&self, kind: &str) -> usize {
        self.kinds.get(kind).map_or(0, BTreeMap::len)
    }

    /// The objects of a kind by id, from the first after `after` on.
    pub fn list(&self, kind: &str, after: &str) -> impl Iterator<Item = (&str, &Object)> {
        let after: Box<str> = after.into();
        let found = self.kinds.get(kind).into_iter();
        found.flat_map(move |objects| {
            let bounds = (Bound::Excluded(after.clone()), Bound::Unbounded);
            objects.range(bounds).map(|(id, object)| (&**id, object))
        })
    }
}

/// What tells one text of a file from another.
#[must_use]
pub fn mark(text: &str) -> u128 {
    let mut hasher = SipHasher24::new();
    hasher.write(text.as_bytes());
    hasher.finish128().into()
}

fn version_of(text: &str, key: &[u8; 16]) -> Version {
    let mut hasher = SipHasher24::new_with_key(key);
    hasher.write(text.as_bytes());
    Version(hasher.finish128().into())
}

/// A key for versions alone.
fn key(secret: &Secret) -> [u8; 16] {
    let mut key = [0; 16];
    // HMAC takes keys of any length.
    if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose()) {
        mac.update(b"versions of routing data");
        for (own, byte) in key.iter_mut().zip(mac.finalize().into_bytes()) {
            *own = byte;
        }
    }
    key
}

#[cfg(test)]
mod tests;
