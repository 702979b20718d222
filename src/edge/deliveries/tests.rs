use std::sync::Mutex;

use tempfile::TempDir;

use super::*;
use crate::net::clock;
use crate::store::entry::{Class, Delivery, Header, Queued};
use crate::store::{Keeper, Lock, Options, Store};
use crate::types::ids::CallUuid;

#[test]
fn what_follows_from_an_attempt_is_a_table() {
    use Attempt::{Answered, Doubtful, Impossible, Unsent};

    let cases = [
        (Answered(200), Verdict::Done, Verdict::Done),
        (Answered(204), Verdict::Done, Verdict::Done),
        (Answered(302), Verdict::Never, Verdict::Never),
        (Answered(404), Verdict::Never, Verdict::Never),
        (Answered(429), Verdict::Again, Verdict::Again),
        (Answered(500), Verdict::Never, Verdict::Never),
        (Answered(502), Verdict::Again, Verdict::Again),
        (Answered(503), Verdict::Again, Verdict::Again),
        (Answered(504), Verdict::Again, Verdict::Again),
        (Unsent("connect"), Verdict::Again, Verdict::Again),
        (Doubtful("timed_out"), Verdict::Again, Verdict::Never),
        (Impossible("bad_url"), Verdict::Never, Verdict::Never),
    ];
    for (attempt, idempotent, other) in cases {
        assert_eq!(attempt.outcome(true).0, idempotent, "{attempt:?}");
        assert_eq!(attempt.outcome(false).0, other, "{attempt:?}");
    }
    assert_eq!(Answered(503).outcome(false).1, "503");
    assert_eq!(Unsent("connect").outcome(false).1, "connect");
}

#[test]
fn attempts_go_on_at_growing_intervals_and_a_call_keeps_its_order() {
    let mut bench = Bench::new(&["first", "second"]);
    let mut attempts = Vec::new();

    // Whatever is tried fails, until an hour has passed.
    for second in 0..3600 {
        let now = Moment::from_millis(second * 1000);
        for parcel in bench.round.take(now, 0) {
            attempts.push((second, parcel.hook.to_string()));
            let attempt = Attempt::Unsent("connect");
            bench.round.note(Ok(Made { parcel, attempt }), now);
        }
        bench.round.settle();
        bench.keeper.turn(now).unwrap();
    }

    let (first, second): (Vec<_>, Vec<_>) =
        attempts.into_iter().partition(|(_, hook)| hook == "first");
    let times = |attempts: Vec<(i64, String)>| -> Vec<i64> {
        attempts.into_iter().map(|(second, _)| second).collect()
    };
    // The second waits until the first is given up, and then has all its attempts.
    let first = times(first);
    assert_eq!(first, [0, 1, 11, 71, 671]);
    let later: Vec<_> = first.iter().map(|second| second + 672).collect();
    assert_eq!(times(second), later);
    let dead = bench.round.shelf.dead(DeliveryId(0), 10).unwrap();
    assert_eq!(dead.len(), 2);
    assert!(bench.round.shelf.audit().unwrap().differences().is_empty());
}

#[test]
fn no_more_are_taken_than_may_be_under_way() {
    let mut bench = Bench::new(&[]);
    for call in 1..=5 {
        bench.queue(call, "hook");
    }
    let now = Moment::from_millis(0);
    bench.keeper.turn(now).unwrap();
    bench.round.most = 3;

    assert_eq!(bench.round.take(now, 1).len(), 2);
    assert_eq!(bench.round.take(now, 3).len(), 0);
    assert_eq!(bench.round.take(now, 0).len(), 3);
    assert_eq!(bench.round.take(now, 0).len(), 0);
}

#[test]
fn the_thread_delivers_what_is_due_and_ends_when_it_is_told_to() {
    let bench = Bench::new(&["first", "second", "third"]);
    let Bench {
        round,
        mut keeper,
        _folder: folder,
        _lock: lock,
        ..
    } = bench;
    let shelf = round.shelf.clone();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let courier = Script(Arc::clone(&seen));

    let deliveries = Deliveries::start(round.shelf, round.lane, courier, 8).unwrap();
    let end = clock::now() + Duration::from_secs(20);
    while shelf.figures().waiting > 0 {
        assert!(clock::now() < end, "they are not made");
        keeper.turn(moment()).unwrap();
        thread::sleep(Duration::from_millis(1));
    }
    deliveries.stop();

    // The second is answered by 503 at first: the third waits for it.
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen, ["first", "second", "second", "third"]);
    let audit = shelf.audit().unwrap();
    assert_eq!((audit.delivered, audit.dead), (3, 0));
    drop((folder, lock));
}

/// Fails the first attempt at the second.
struct Script(Arc<Mutex<Vec<String>>>);

impl Courier for Script {
    async fn attempt(&self, parcel: &Parcel) -> Attempt {
        assert_eq!(parcel.headers.len(), 1);
        self.0.lock().unwrap().push(parcel.hook.to_string());
        match (&*parcel.hook, parcel.tries) {
            ("second", 0) => Attempt::Answered(503),
            _ => Attempt::Answered(200),
        }
    }
}

struct Bench {
    round: Round,
    other: Lane,
    keeper: Keeper,
    _lock: Lock,
    _folder: TempDir,
}

impl Bench {
    /// With these hooks waiting, of one call.
    fn new(hooks: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let now = Moment::from_millis(0);
        let store = Store::open(folder.path(), 2, Options::default(), now).unwrap();
        let mut lanes = store.lanes.into_iter();
        let mut bench = Self {
            round: Round {
                shelf: store.shelf,
                lane: lanes.next().unwrap(),
                settled: VecDeque::new(),
                is_stuck: false,
                most: 64,
            },
            other: lanes.next().unwrap(),
            keeper: store.keeper,
            _lock: store.lock,
            _folder: folder,
        };
        for hook in hooks {
            bench.queue(1, hook);
        }
        bench.keeper.turn(now).unwrap();
        bench
    }

    fn queue(&mut self, call: u8, hook: &str) {
        let delivery = Delivery {
            hook,
            phase: 0,
            class: Class::Ping,
            not_before: Moment::default(),
            is_idempotent: false,
            method: "POST",
            url: "https://hooks.example.com/",
            headers: vec![Header {
                name: "X-One",
                value: "1",
            }]
            .into(),
            body: b"{}",
        };
        let entry = Entry::Queued(Queued {
            call: CallUuid::from_bytes([call; 16]),
            at: Moment::from_millis(0),
            deliveries: vec![delivery].into(),
        });
        self.other.append(&entry).unwrap();
        self.other.commit().unwrap();
    }
}
