//! Captures, from the wish to the file.

use std::net::SocketAddr;

use super::*;

const BOUNDS: Bounds = Bounds {
    packets: 10,
    bytes: 10_000,
    time: Duration::from_secs(60),
};
const WAIT: Duration = Duration::from_secs(60);

#[test]
fn a_call_that_is_up_is_captured_at_once_and_its_file_is_whole_when_it_ends() {
    let desk = Desk::new();
    let shown = desk.begin(Wanted::Call(uuid(1)));
    assert_eq!((shown.state, shown.call), ("waiting", Some(uuid(1))));

    assert!(desk.captures.take(uuid(2)).is_none());
    let mut tap = desk.captures.take(uuid(1)).unwrap();
    assert!(!desk.captures.is_waiting());
    assert_eq!(desk.shown().state, "running");
    for _ in 0..3 {
        assert!(tap.note(clock::now(), way(), &[7; 172]));
    }
    drop(tap);

    let shown = desk.when_over();
    assert_eq!((shown.packets, shown.lost), (3, 0));
    let file = fs::read(desk.folder.path().join(&shown.file)).unwrap();
    assert_eq!(file.len(), 24 + 3 * (16 + 20 + 8 + 172));
    assert_eq!(shown.bytes, file.len() as u64);
    let mode = fs::metadata(desk.folder.path().join(&shown.file)).unwrap();
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
        0o600
    );
}

#[test]
fn the_next_call_of_a_number_or_a_trunk_is_the_one() {
    let number = |text: &str| Number::from_e164(text.as_bytes()).unwrap();
    let (wanted, other) = (number("+18005550100"), number("+18005550101"));
    for is_number in [true, false] {
        let desk = Desk::new();
        desk.begin(match is_number {
            true => Wanted::Number(wanted),
            false => Wanted::Trunk("carrier".into()),
        });

        desk.captures.note_call(uuid(1), "other", Some(&other));
        assert!(desk.captures.take(uuid(1)).is_none());
        desk.captures.note_call(uuid(2), "carrier", Some(&wanted));
        desk.captures.note_call(uuid(3), "carrier", Some(&wanted));

        assert!(desk.captures.take(uuid(3)).is_none(), "only the next one");
        assert!(desk.captures.take(uuid(2)).is_some());
        assert_eq!(desk.shown().call, Some(uuid(2)));
    }
}

#[test]
fn a_capture_that_comes_to_nothing_leaves_no_file() {
    for end in ["stop", "call", "time"] {
        let desk = Desk::new();
        let wait = if end == "time" { Duration::ZERO } else { WAIT };
        let wanted = Wanted::Call(uuid(1));
        let shown = desk.captures.begin(wanted, BOUNDS, wait).unwrap();

        match end {
            "stop" => assert!(desk.captures.stop(shown.id)),
            "call" => desk.captures.note_end(uuid(1)),
            _ => {}
        }

        assert_eq!(desk.when_over().packets, 0, "{end}");
        assert!(desk.captures.take(uuid(1)).is_none(), "{end}");
        assert!(!desk.captures.is_waiting());
        desk.captures.close();
        assert_eq!(
            fs::read_dir(desk.folder.path()).unwrap().count(),
            0,
            "{end}"
        );
    }
}

#[test]
fn one_that_runs_ends_when_it_is_told_to() {
    let desk = Desk::new();
    let id = desk.begin(Wanted::Call(uuid(1))).id;
    let mut tap = desk.captures.take(uuid(1)).unwrap();
    assert!(tap.note(clock::now(), way(), b"x"));

    assert!(desk.captures.stop(id));

    assert!(!tap.note(clock::now(), way(), b"x"));
    assert!(!desk.captures.stop(99));
    drop(tap);
    assert_eq!(desk.when_over().packets, 1);
}

#[test]
fn there_are_only_so_many_at_once_and_only_so_many_are_remembered() {
    let desk = Desk::new();
    for number in 0..MOST as u64 {
        desk.begin(Wanted::Call(uuid(number)));
    }
    let refused = desk.captures.begin(Wanted::Call(uuid(9)), BOUNDS, WAIT);
    assert!(matches!(refused, Err(Refused::TooMany)));

    for _ in 0..2 * KEPT {
        let id = desk.captures.list().last().unwrap().id;
        desk.captures.stop(id);
        desk.until(|all| all.iter().filter(|one| one.state != "over").count() < MOST);
        while desk
            .captures
            .begin(Wanted::Call(uuid(9)), BOUNDS, WAIT)
            .is_err()
        {
            thread::sleep(Duration::from_millis(1));
        }
    }

    assert!(desk.captures.list().len() <= KEPT + MOST);
    desk.captures.close();
    assert_eq!(fs::read_dir(desk.folder.path()).unwrap().count(), 0);
}

#[test]
fn without_a_folder_there_are_none_and_a_wrong_one_is_told_at_once() {
    assert!(Captures::open(None).unwrap().is_none());
    let file = tempfile::NamedTempFile::new().unwrap();
    for path in [file.path(), Path::new("/nowhere/at/all")] {
        let error = Captures::open(Some(path)).err().unwrap();
        assert!(error.to_string().starts_with("captures: "), "{error}");
    }
}

struct Desk {
    folder: tempfile::TempDir,
    captures: Arc<Captures>,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            captures: Captures::open(Some(folder.path())).unwrap().unwrap(),
            folder,
        }
    }

    fn begin(&self, wanted: Wanted) -> Shown {
        let shown = self.captures.begin(wanted, BOUNDS, WAIT).unwrap();
        assert!(self.captures.is_waiting());
        shown
    }

    /// The only one.
    fn shown(&self) -> Shown {
        let all = self.captures.list();
        assert_eq!(all.len(), 1);
        all[0].clone()
    }

    /// The only one, once its file is whole.
    fn when_over(&self) -> Shown {
        self.until(|all| all[0].state == "over");
        // Its writer is done when this returns.
        let count = || {
            let book = self.captures.book();
            book.entries.iter().all(Entry::is_over)
        };
        while !count() {
            thread::sleep(Duration::from_millis(1));
        }
        self.shown()
    }

    fn until(&self, is_so: impl Fn(&[Shown]) -> bool) {
        let until = clock::now() + Duration::from_secs(10);
        while !is_so(&self.captures.list()) {
            assert!(clock::now() < until, "{:?}", self.captures.list());
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn uuid(number: u64) -> CallUuid {
    CallUuid::parse(&format!("00000000-0000-4000-8000-{number:012}")).unwrap()
}

fn way() -> (SocketAddr, SocketAddr) {
    let [from, to] = ["192.0.2.1:4000", "192.0.2.2:5000"];
    (from.parse().unwrap(), to.parse().unwrap())
}
