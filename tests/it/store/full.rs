//! A disk that is full: no call is let in, what has been taken down waits, and all of it is there when there is room again.

use std::fs;
use std::io;
use std::io::Write;
use std::path::Path;

use strowger::store::entry::{Ended, Entry};
use strowger::store::{Lane, Store};
use strowger::types::ids::CallUuid;

use crate::store::{LANES, data_of_the_child, fill, now, open, run_on_a_small_disk};

const TEST: &str = "store::full::a_full_disk_stops_new_calls_and_loses_nothing";

#[test]
fn a_full_disk_stops_new_calls_and_loses_nothing() {
    if let Some(data) = data_of_the_child() {
        return run(&data);
    }
    let folder = tempfile::tempdir().expect("a folder");
    run_on_a_small_disk(TEST, folder.path());
}

/// On the small disk.
fn run(disk: &Path) {
    let data = disk.join("data");
    let mut store = open(&data);
    for call in 0..10 {
        end(&mut store, call);
        store.lanes[0].commit().expect("there is room");
    }
    store.keeper.turn(now()).expect("there is room");
    let ballast = disk.join("ballast");
    fill(&ballast);

    // The journal has the rest of a page at most.
    let mut refused = 0;
    for call in 10..200 {
        end(&mut store, call);
        refused += usize::from(store.lanes[0].commit().is_err());
    }
    assert!(refused > 100, "{refused}");
    assert!(!store.lanes[0].is_open());
    assert!(store.shelf.figures().is_shut);
    // The keeper cannot write either, and says so; what it has is not spoiled by that.
    store.lanes[1].commit().expect("there is nothing to write");
    let error = store.keeper.turn(now()).expect_err("there is no room");
    assert!(error.to_string().contains("No space left"), "{error}");
    assert!(!store.lanes[1].is_open());
    assert!(store.keeper.turn(now()).is_err());

    fs::remove_file(&ballast).expect("it is there");
    store.lanes[0].commit().expect("there is room");
    while store.keeper.turn(now()).expect("there is room").is_more {}
    assert!(store.lanes.iter().all(Lane::is_open));
    check(&store, disk);
    drop(store);
    let store = open(&data);
    check(&store, disk);
    assert_eq!(store.lanes.len(), usize::from(LANES));
    drop(store);
    io::stderr()
        .write_all(b"all is well\n")
        .expect("somebody listens");
}

fn end(store: &mut Store, call: u8) {
    let line = format!("{{\"call\":{call},\"fill\":\"{}\"}}", "x".repeat(200));
    let entry = Entry::Ended(Ended {
        uuid: CallUuid::from_bytes([call; 16]),
        at: now(),
        line: &line,
        past: None,
        conversion: None,
        claims: Vec::new().into(),
        deliveries: Vec::new().into(),
    });
    store.lanes[0].append(&entry).expect("it is not too long");
}

/// Every record is there, in order.
fn check(store: &Store, disk: &Path) {
    let mut records = Vec::new();
    let mut files: Vec<_> = fs::read_dir(disk.join("data"))
        .expect("it is there")
        .map(|entry| entry.expect("it is there").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "jsonl")
        })
        .collect();
    // Those that were put aside have a time in their name; the last one has none.
    files.sort_by_key(|path| (path.ends_with("calls.jsonl"), path.clone()));
    for path in files {
        let text = fs::read_to_string(path).expect("it is text");
        for line in text.lines() {
            let record: serde_json::Value = serde_json::from_str(line).expect("whole");
            records.push(record["call"].as_u64().expect("a number"));
        }
    }
    records.sort_unstable();
    assert_eq!(records, (0..200).collect::<Vec<_>>());
    let audit = store.shelf.audit().expect("the tables are well");
    assert_eq!(audit.differences(), Vec::<String>::new());
    assert_eq!((audit.records, audit.early), (200, 200));
}
