//! What it costs to keep what has happened: a call's entries in the journal, and then in the tables.
//!
//! ```text
//! cargo bench --bench store [-- DIRECTORY]     in a new folder of DIRECTORY, by default the system's for temporary files
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::expect_used, reason = "a bench that cannot measure stops")]
#![expect(clippy::disallowed_methods, reason = "a bench measures in real time")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use strowger::store::entry::{Admitted, Answered, Claim, Delivery, Ended, Past};
use strowger::store::{Entry, Lane, Options, Store};
use strowger::types::ids::CallUuid;
use strowger::types::moment::Moment;

/// Calls of each measurement.
const CALLS: u64 = 20_000;

/// Calls that the keeper finds at each turn: 300 a second, and 40 turns.
const GATHERED: u64 = 8;

fn main() {
    let folder = std::env::args()
        .nth(1)
        .filter(|argument| !argument.starts_with('-'));
    let folder = match folder {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    };
    let folder = folder.expect("a folder");
    encode();
    write(&folder.path().join("write"));
    keep(&folder.path().join("keep"));
    recover(&folder.path().join("recover"));
}

/// What an entry costs the shard before it is written.
fn encode() {
    let samples = samples(0, "+15550100000");
    let mut buffer = Vec::new();
    for (name, entry) in ["admitted", "answered", "ended"].into_iter().zip(&samples) {
        let time = measure(CALLS * 10, || {
            buffer.clear();
            black_box(entry).encode(&mut buffer);
        });
        println!(
            "encode {name:9} {:6} ns, {} bytes",
            time.as_nanos(),
            buffer.len()
        );
    }
}

/// What appending and committing cost, and how long the journal grows.
fn write(data: &Path) {
    let mut store = open(data);
    let lane = lane(&mut store);
    let before = lane.end();
    let time = measure(CALLS, || {
        append(lane, 1);
        black_box(lane.end());
        if lane.end() % 4096 < 64 {
            lane.commit().expect("the disk takes it");
        }
    });
    lane.commit().expect("the disk takes it");
    let bytes = (lane.end() - before) / CALLS;
    println!("append a call    {:6} ns, {bytes} bytes", time.as_nanos());
    let time = measure(CALLS, || {
        append(lane, 1);
        lane.commit().expect("the disk takes it");
    });
    println!("append, commit   {:6} ns", time.as_nanos());
}

/// What the keeper costs, and a question to the shelf.
fn keep(data: &Path) {
    let mut store = open(data);
    let mut call = 0;
    let mut turn = |store: &mut Store, calls: u64| {
        for _ in 0..calls {
            call += 1;
            append(lane(store), call);
            lane(store).commit().expect("the disk takes it");
        }
        let now = Instant::now();
        while store
            .keeper
            .turn(at(call))
            .expect("the disk is well")
            .is_more
        {}
        now.elapsed()
    };
    let turns = 300;
    let (cpu, mut time) = (cpu(), Duration::ZERO);
    for _ in 0..turns {
        time += turn(&mut store, GATHERED);
    }
    let used = self::cpu() - cpu;
    println!(
        "turn, {GATHERED} calls    {:6} us, {} us of processor",
        (time / turns).as_micros(),
        (used / turns).as_micros()
    );
    let time = turn(&mut store, CALLS);
    println!(
        "turns, {CALLS} calls {} us a call",
        time.as_micros() / u128::from(CALLS)
    );
    let mut number = 0_u64;
    let time = measure(2000, || {
        number += 7;
        let caller = format!("+1555{:07}", number % call);
        let known = store.shelf.caller("acme", &caller, at(call));
        black_box(known.expect("the tables are well"));
    });
    println!("ask for a caller {:6} ns", time.as_nanos());
    let size = std::fs::metadata(data.join("store.redb"))
        .expect("it is there")
        .len();
    println!("tables           {:6} bytes a call", size / call);
}

/// How long it takes to open what a crash has left.
fn recover(data: &Path) {
    let mut store = open(data);
    for call in 0..CALLS {
        append(lane(&mut store), call);
        lane(&mut store).commit().expect("the disk takes it");
    }
    drop(store);
    for what in ["20000 calls behind", "nothing behind"] {
        let now = Instant::now();
        drop(open(data));
        println!("open, {what:18} {} ms", now.elapsed().as_millis());
    }
}

fn open(data: &Path) -> Store {
    Store::open(data, 1, Options::default(), at(0)).expect("it can be opened")
}

fn lane(store: &mut Store) -> &mut Lane {
    store.lanes.first_mut().expect("there is one")
}

fn append(lane: &mut Lane, call: u64) {
    let caller = format!("+1555{call:07}");
    for entry in samples(call, &caller) {
        lane.append(&entry).expect("there is room");
    }
}

/// The entries of one call.
fn samples(call: u64, caller: &str) -> [Entry<'_>; 3] {
    const CLAIMS: &[Claim<'_>] = &[
        Claim {
            party: "buyer:sunny",
            window: "day:2026-11-21",
            until: Moment::from_millis(1 << 50),
            count: 1,
        },
        Claim {
            party: "buyer:sunny",
            window: "total",
            until: Moment::from_millis(i64::MAX),
            count: 1,
        },
    ];
    const DELIVERIES: &[Delivery<'_>] = &[];
    let number = u128::from(call).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let uuid = CallUuid::from_bytes(number.to_be_bytes());
    [
        Entry::Admitted(Admitted {
            uuid,
            at: at(call),
            generation: 1,
            trunk: "carrier",
            user: None,
            company: Some("acme"),
            campaign: Some("solar"),
            afid: Some("bright-leads"),
            sid: None,
            dialled: Some("+12125550101"),
            caller: Some(caller),
            call_id: b"2f8a1c0e-6f0b-4d2c-9a51-0b6c7d8e9f00@192.0.2.10",
            note: &[],
        }),
        Entry::Answered(Answered {
            uuid,
            at: at(call),
            buyer: "sunny",
            claims: CLAIMS.into(),
            note: &[],
        }),
        Entry::Ended(Ended {
            uuid,
            at: at(call),
            line: LINE,
            past: Some(Past {
                company: "acme",
                caller,
                number: "+12125550101",
                campaign: "solar",
                afid: Some("bright-leads"),
                buyer: Some("sunny"),
                answered: None,
                fired: Vec::new().into(),
            }),
            conversion: None,
            claims: Vec::new().into(),
            deliveries: DELIVERIES.into(),
        }),
    ]
}

fn at(call: u64) -> Moment {
    Moment::from_millis(1_767_323_044_500 + i64::try_from(call).unwrap_or(0))
}

fn measure(times: u64, mut what: impl FnMut()) -> Duration {
    let now = Instant::now();
    (0..times).for_each(|_| what());
    now.elapsed() / u32::try_from(times).unwrap_or(u32::MAX)
}

/// What this thread's process has used of the processor, to 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = [11, 12].map(|field| {
        fields
            .get(field)
            .and_then(|ticks| ticks.parse::<u64>().ok())
    });
    Duration::from_millis(ticks.into_iter().flatten().sum::<u64>() * 10)
}

/// A record as it is in most files.
const LINE: &str = r#"{"uuid":"0b9f4c2e-6f0b-4d2c-9a51-0b6c7d8e9f00","began":"2026-01-02T03:04:04.500Z","outcome":"completed","status":200,"hung_up_by":"caller","trunk":"carrier","user":null,"dialled":"+12125550101","caller":"+15550100000","campaign":"solar","afid":"bright-leads","sid":null,"call_id":"2f8a1c0e-6f0b-4d2c-9a51-0b6c7d8e9f00@192.0.2.10","post_dial_delay_ms":120,"setup_ms":3500,"talk_ms":60250,"total_ms":63750,"attempts":[{"buyer":"sunny","gateway":"192.0.2.9:5060","call_id":"00000000a4c1f0a4c1f0a4c1f0a4c1f0a4c1f0a4c1","at_ms":5,"ms":3495,"status":200,"result":"answered"}],"skipped":[],"media":null,"node":"edge-1","generation":3}"#;
