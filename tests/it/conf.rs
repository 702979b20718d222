//! The configurations that we ship load; a broken one says everything that is wrong with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use strowger::config;
use strowger::config::Source;

#[test]
fn every_configuration_that_we_ship_loads() {
    let mut names: Vec<PathBuf> = Disk.list(&root().join("conf")).expect("conf is there");
    names.retain(|name| {
        name.extension()
            .is_some_and(|extension| extension == "toml")
    });
    // A part of a configuration; strowger.toml takes it in.
    names.retain(|name| !name.ends_with("twilio-cidrs.toml"));
    // Tests of one.
    names.retain(|name| !name.ends_with("strowger.route.toml"));
    assert!(names.len() >= 3, "{names:?}");

    for name in names {
        if let Err(faults) = config::load(&name, &Disk, 1) {
            panic!("{faults}");
        }
    }
}

#[test]
fn the_route_tests_that_we_ship_are_met() {
    let main = root().join("conf/strowger.toml");
    let settings = config::load(&main, &Disk, 1).unwrap_or_else(|faults| panic!("{faults}"));

    let tried = config::trials::run(&main, &settings, &[], &Disk);

    let shown: Vec<_> = tried.faults.iter().map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{shown:#?}");
    assert_eq!((tried.files, tried.cases), (1, 3));
}

#[test]
fn a_broken_configuration_says_everything_that_is_wrong_with_it() {
    let folder = root().join("tests/data/conf/broken");

    let faults = config::load(&folder.join("strowger.toml"), &Disk, 1)
        .err()
        .expect("faults");

    let shown = faults
        .to_string()
        .replace(&format!("{}/", folder.display()), "");
    let mut expected = BROKEN.lines();
    for line in shown.lines() {
        assert_eq!(Some(line), expected.next());
    }
    assert_eq!(expected.next(), None);
}

#[test]
fn a_program_can_read_the_faults() {
    let folder = root().join("tests/data/conf/broken");

    let faults = config::load(&folder.join("strowger.toml"), &Disk, 1)
        .err()
        .expect("faults");

    let json = serde_json::to_value(&faults).expect("JSON");
    let first = &json[0];
    assert_eq!(
        json.as_array().map(Vec::len),
        Some(BROKEN.trim().lines().count())
    );
    assert_eq!(
        first["file"],
        folder.join("strowger.toml").display().to_string()
    );
    assert_eq!((&first["line"], &first["column"]), (&3.into(), &1.into()));
    assert_eq!(first["key"], "node.shard");
    assert_eq!(first["what"], "unknown key");
    assert_eq!(first["instead"], "did you mean `shards`?");
}

#[test]
fn a_file_that_cannot_be_read_says_why_and_what_helps() {
    let folder = tempfile::tempdir().expect("a folder");
    let minimal = fs::read_to_string(root().join("conf/minimal.toml")).expect("it is there");
    let text = minimal.replace("\"CHANGE-ME-at-least-16-bytes\"", "{ file = \"folder\" }")
        + "[[numbers]]\nfile = \"binary\"\n[[numbers]]\nfile = \"nowhere\"\n";
    let config = folder.path().join("strowger.toml");
    fs::write(&config, text).expect("room");
    fs::write(folder.path().join("binary"), b"\xff\n").expect("room");
    fs::create_dir(folder.path().join("folder")).expect("room");

    let faults = config::load(&config, &Disk, 1).err().expect("faults");

    let shown = faults.to_string();
    let ends: Vec<&str> = shown
        .lines()
        .filter_map(|line| line.rsplit_once("; "))
        .map(|(_, end)| end)
        .collect();
    assert_eq!(
        ends,
        [
            "name a file",
            "write it in UTF-8",
            "a path is relative to the directory of the main file"
        ],
        "{shown}"
    );
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The disk as it is; the environment is empty.
struct Disk;

impl Source for Disk {
    fn read(&self, path: &Path) -> io::Result<String> {
        // The system's words differ from one to the next.
        fs::read_to_string(path).map_err(|error| error.kind().into())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect()
    }

    fn env(&self, _name: &str) -> Option<String> {
        None
    }

    fn fallback_secret(&self) -> [u8; 32] {
        [0; 32]
    }
}

/// What is wrong with it, line by line.
const BROKEN: &str = include_str!("../data/conf/broken/faults.txt");
