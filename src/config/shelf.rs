//! The routing data that came over HTTP: files of the edge's own, one for each object, below `data_dir`.
//!
//! ```text
//! data_dir/directory/buyer/sunny.toml           [[buyer]] id = "sunny" ...
//!                    number/+12125550101.toml
//!                    lists/tv.csv               as a file of [[numbers]]
//! ```
//!
//! They are read with the other routing files, and may be read, compared and kept in version control like those.

use std::path::{Path, PathBuf};

use crate::config::desk::{Desk, File};
use crate::config::keys;
use crate::config::raw::Spot;

/// What is there.
#[derive(Default)]
pub(super) struct Shelf {
    /// Routing files.
    pub(super) files: Vec<File>,
    /// Lists of numbers.
    pub(super) lists: Vec<File>,
}

/// Opens all of it.
pub(super) fn open(data_dir: Option<Spot<&str>>, desk: &mut Desk<'_>) -> Shelf {
    let Some(data_dir) = data_dir else {
        return Shelf::default();
    };
    let folder = folder(&desk.resolve(data_dir.value));
    let mut files = Vec::new();
    for kind in keys::OBJECTS {
        files.extend(desk.open_folder(&folder.join(kind.name), ".toml", data_dir.place));
    }
    Shelf {
        files,
        lists: desk.open_folder(&folder.join(LISTS), ".csv", data_dir.place),
    }
}

/// The folder of all that came over HTTP.
pub(super) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("directory")
}

/// The name of a file for what is called `id`: letters, digits and a few signs stay, so that people find it. Ids that
/// are too long for a file system are cut, and told apart by a hash.
pub(super) fn file_name(id: &str, end: &str) -> String {
    let mut name = String::with_capacity(id.len() + end.len());
    for (place, byte) in id.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+');
        if is_plain || (byte == b'.' && place > 0) {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    if name.len() > LONGEST {
        name.truncate(LONGEST);
        name.push_str(&format!(
            "~{:016x}",
            siphasher::sip::SipHasher24::new().hash(id.as_bytes())
        ));
    }
    name + end
}

/// The folder of lists of numbers.
pub(super) const LISTS: &str = "lists";

/// File systems take names of 255 bytes.
const LONGEST: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_as_its_object_as_far_as_that_goes() {
        for (id, name) in [
            ("sunny", "sunny.toml"),
            ("+12125550101", "+12125550101.toml"),
            ("a.b_c-d", "a.b_c-d.toml"),
            (".hidden", "%2Ehidden.toml"),
            ("../etc/passwd", "%2E.%2Fetc%2Fpasswd.toml"),
            ("100%", "100%25.toml"),
            ("Grün", "Gr%C3%BCn.toml"),
        ] {
            assert_eq!(file_name(id, ".toml"), name);
        }
        let long = [
            file_name(&"ü".repeat(60), ""),
            file_name(&("ü".repeat(59) + "x"), ""),
        ];
        assert!(long.iter().all(|name| name.len() < 255), "{long:?}");
        assert_ne!(long[0], long[1]);
    }
}
