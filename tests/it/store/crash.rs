//! A process that is killed at any point: what it has promised is there, and nothing is there twice.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::ChildStderr;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use strowger::store::{Lane, Store};

use crate::store::traffic::{Dice, done, end_left, place};
use crate::store::{child, data_of_the_child, held, now, open, promise, traffic};

const TEST: &str = "store::crash::kill_at_any_point_loses_nothing_and_doubles_nothing";

/// Processes that are killed one after another over the same data.
const CRASHES: u64 = 50;

/// Rows of them, side by side.
const ROWS: u64 = 4;

/// How long one lives at most, in microseconds; opening takes some of it.
const LIFE: u64 = 150_000;

#[test]
fn kill_at_any_point_loses_nothing_and_doubles_nothing() {
    if let Some(data) = data_of_the_child() {
        return traffic::run(&data);
    }
    let admitted: usize = thread::scope(|scope| {
        let rows: Vec<_> = (0..ROWS)
            .map(|row| scope.spawn(move || Books::default().run(row)))
            .collect();
        let admitted = rows.into_iter().map(|row| row.join().expect("it is well"));
        admitted.sum()
    });
    // Else nothing was tried.
    assert!(admitted > 1000, "{admitted}");
}

/// What was said so far.
#[derive(Default)]
struct Books {
    admitted: BTreeSet<String>,
    answered: BTreeSet<String>,
    /// With the number of deliveries.
    ended: BTreeMap<String, u64>,
    arrived: BTreeSet<(String, String)>,
    done: BTreeSet<(String, String)>,
}

impl Books {
    fn run(mut self, row: u64) -> usize {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path();
        let mut dice = Dice(0x5172_0043 + row);
        for crash in 1..=CRASHES {
            let mut process = child(TEST, data).spawn().expect("it starts");
            let said = process.stderr.take().expect("it is a pipe");
            thread::scope(|scope| {
                scope.spawn(|| self.listen(said));
                thread::sleep(Duration::from_micros(dice.roll(LIFE)));
                process.kill().expect("it runs");
            });
            process.wait().expect("it has run");
            if crash % 10 == 0 {
                self.check(data);
            }
        }
        self.finish(data);
        self.admitted.len()
    }

    fn listen(&mut self, said: ChildStderr) {
        let mut said = BufReader::new(said);
        let mut line = String::new();
        while said.read_line(&mut line).is_ok_and(|count| count > 0) {
            let words: Vec<&str> = line.trim_end().split(' ').collect();
            match (words.as_slice(), line.ends_with('\n')) {
                (["A", call, ..], true) => {
                    assert!(self.admitted.insert((*call).to_owned()));
                }
                (["B", call, ..], true) => {
                    assert!(self.answered.insert((*call).to_owned()));
                }
                (["E", call, count], true) => {
                    let count = count.parse().expect("a number");
                    let before = self.ended.insert((*call).to_owned(), count);
                    assert_eq!(before, None, "{call} has ended twice");
                }
                (["S", call, place], true) => {
                    let which = ((*call).to_owned(), (*place).to_owned());
                    assert!(!self.done.contains(&which), "{which:?} was done");
                    self.arrived.insert(which);
                }
                (["D", call, place], true) => {
                    self.done.insert(((*call).to_owned(), (*place).to_owned()));
                }
                // Cut off, or what a test binary says; a panic would be seen by what is missing.
                (words, _) => assert!(!line.contains("panicked"), "{words:?}"),
            }
            line.clear();
        }
    }

    /// Everything that was promised is there, once.
    fn check(&self, data: &Path) -> Store {
        let store = open(data);
        let lines = Lines::read(data);
        let open: BTreeMap<String, bool> = store
            .left
            .calls
            .iter()
            .map(|call| {
                let uuid = call.admitted().expect("it can be read").uuid;
                (uuid.to_string(), call.answered().is_some())
            })
            .collect();
        for call in &self.admitted {
            let places = (lines.0.contains_key(call), open.contains_key(call));
            assert!(places.0 != places.1, "{call}: {places:?}");
        }
        for call in self.ended.keys() {
            assert!(lines.0.contains_key(call), "{call} has no record");
        }
        for call in &self.answered {
            let is_answered = lines.0.get(call).map(|line| line.is_answered);
            let is_answered = is_answered.or(open.get(call).copied());
            assert_eq!(is_answered, Some(true), "{call} was answered");
        }
        let answered = lines.0.values().filter(|line| line.is_answered).count()
            + open.values().filter(|is_answered| **is_answered).count();
        let windows = store.shelf.windows().expect("the tables are well");
        let counted: u64 = windows.iter().map(|window| window.count).sum();
        assert_eq!(counted, answered as u64, "calls that count");
        let audit = store.shelf.audit().expect("the tables are well");
        assert_eq!(audit.differences(), Vec::<String>::new(), "{audit}");
        assert_eq!((audit.early, audit.repeated), (0, 0), "{audit}");
        assert_eq!(store.left.damage.skipped + store.left.damage.unknown, 0);
        store
    }

    /// All calls end, and all deliveries are made.
    fn finish(&mut self, data: &Path) {
        let Store {
            mut lanes,
            mut keeper,
            shelf,
            left,
            lock,
        } = self.check(data);
        let lane: Mutex<Lane> = Mutex::new(lanes.remove(0));
        end_left(&left, &lane);
        keeper.turn(now()).expect("the disk is well");
        loop {
            let parcels = shelf.take_due(now(), 100).expect("the tables are well");
            if parcels.is_empty() {
                break;
            }
            for parcel in &parcels {
                let which = (parcel.call.to_string(), place(parcel));
                assert!(!self.done.contains(&which), "{which:?} was done");
                self.arrived.insert(which);
                promise(&lane, &[done(parcel)]);
            }
            keeper.turn(now()).expect("the disk is well");
        }
        drop((held(&lane), lanes, keeper, shelf, lock));
        drop(lane);
        let lines = Lines::read(data);
        for (call, line) in &lines.0 {
            for place in 0..line.deliveries {
                let which = (call.clone(), place.to_string());
                assert!(self.arrived.contains(&which), "{which:?} never came");
            }
        }
        let store = self.check(data);
        let audit = store.shelf.audit().expect("the tables are well");
        assert_eq!(
            (audit.open, audit.waiting, audit.dead),
            (0, 0, 0),
            "{audit}"
        );
        assert_eq!(audit.admitted, lines.0.len() as u64, "{audit}");
    }
}

/// All records, from all files.
struct Lines(BTreeMap<String, Line>);

struct Line {
    is_answered: bool,
    deliveries: u64,
}

impl Lines {
    fn read(data: &Path) -> Self {
        let mut lines = BTreeMap::new();
        for entry in fs::read_dir(data).expect("it is there") {
            let path = entry.expect("it is there").path();
            if path
                .extension()
                .is_none_or(|extension| extension != "jsonl")
            {
                continue;
            }
            let text = fs::read_to_string(&path).expect("it is text");
            assert!(text.is_empty() || text.ends_with('\n'), "a torn line");
            for line in text.lines() {
                let record: serde_json::Value = serde_json::from_str(line).expect("whole");
                let call = record["call"].as_str().expect("a call").to_owned();
                let line = Line {
                    is_answered: record["answered"].as_bool().expect("it says so"),
                    deliveries: record["deliveries"].as_u64().expect("it says so"),
                };
                let before = lines.insert(call, line);
                assert!(before.is_none(), "a record is there twice");
            }
        }
        Self(lines)
    }
}
