//! What routing costs: a decision, and a million numbers.
//!
//! ```text
//! cargo bench --bench decide               decisions: CPU time and allocations
//! cargo bench --bench decide -- --numbers  a million numbers: loading, bytes, look-up
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::expect_used, reason = "a bench that cannot measure stops")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strowger::config::{Texts, load};
use strowger::routing::buyer::{Buyer, Gateway};
use strowger::routing::campaign::Campaign;
use strowger::routing::caps::Unknown;
use strowger::routing::decide::decide;
use strowger::routing::directory::{Directory, Source};
use strowger::routing::facts::{Facts, Past};
use strowger::routing::hours::{Blocks, Hours};
use strowger::routing::rules::Schedule;
use strowger::routing::trunk::CompanyId;
use strowger::routing::zone::Zones;
use strowger::types::condition::Conditions;
use strowger::types::ids::{CallUuid, Entropy};
use strowger::types::moment::Moment;
use strowger::types::number::Number;
use strowger::types::tag::{Origin, Tags};

/// Most time that a decision among 50 buyers with conditions, hours and weights may take.
const MOST: Duration = Duration::from_micros(5);
/// For a million numbers: time to load, bytes of each, time to find one.
const MOST_LOAD: Duration = Duration::from_secs(2);
const MOST_BYTES: u64 = 200;
const MOST_LOOK_UP: Duration = Duration::from_nanos(200);

fn main() {
    if std::env::args().any(|argument| argument == "--numbers") {
        numbers();
    } else {
        decisions();
    }
}

fn decisions() {
    let mut is_over = false;
    let mut zones = Zones::default();
    for (name, campaign, most) in [
        ("3 buyers, nothing to choose", campaign(3, |_, _| {}), None),
        (
            "50 buyers, weights",
            campaign(50, |one, _| one.weight = Some(2)),
            None,
        ),
        (
            "50 buyers, half of them fit",
            campaign(50, |one, place| rules(one, place, 2, &mut zones)),
            Some(MOST),
        ),
        (
            "50 buyers, all of them fit",
            campaign(50, |one, place| rules(one, place, 1, &mut zones)),
            Some(MOST),
        ),
    ] {
        let facts = facts(&campaign);
        let directory = Directory::default();
        let now: Moment = "2024-11-04T14:00:00Z".parse().expect("a moment");
        let seed = facts.uuid.text();
        let run = || black_box(decide(&directory, now, black_box(&seed), &facts, &Unknown));
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let decision = run();
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        let best = (0..5).map(|_| time(|| drop(run()))).min();
        let each = best.unwrap_or_default() / ROUND;
        let verdict = match most {
            Some(most) if each > most => {
                is_over = true;
                format!("OVER {most:?}")
            }
            Some(most) => format!("(at most {most:?})"),
            None => String::new(),
        };
        println!(
            "{name:>28} {:>6} ns {allocations:>3} allocations, {} tried {verdict}",
            each.as_nanos(),
            decision.order.len(),
        );
    }
    assert!(!is_over, "a target is missed");
}

/// Decisions in one measurement.
const ROUND: u32 = 20_000;

fn time(run: impl Fn()) -> Duration {
    let start = cpu_time();
    (0..ROUND).for_each(|_| run());
    cpu_time() - start
}

/// How long this thread has been on a processor: unlike the clock, no other work on the machine counts.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")
        .expect("Linux with its scheduler's figures");
    let nanoseconds = text.split(' ').next().and_then(|text| text.parse().ok());
    Duration::from_nanos(nanoseconds.expect("a number"))
}

fn campaign(count: u32, mut shape: impl FnMut(&mut Buyer, u32)) -> Arc<Campaign> {
    let buyers = (0..count).map(|place| {
        let address = "192.0.2.9:5060".parse().expect("an address");
        let gateway = Gateway::udp("sip:sales@192.0.2.9", "192.0.2.9", address);
        let mut one = Buyer::new(&format!("buyer-{place}"), vec![Arc::new(gateway)]);
        shape(&mut one, place);
        Arc::new(one)
    });
    Arc::new(Campaign::new("solar", CompanyId(0), buyers.collect()))
}

/// Two conditions, hours in one of four zones, and a weight. One of `every` fits.
fn rules(one: &mut Buyer, place: u32, every: u32, zones: &mut Zones) {
    let zone = [
        "America/New_York",
        "America/Chicago",
        "America/Denver",
        "UTC",
    ]
    .get(place as usize % 4)
    .expect("a name");
    let hours: Blocks = "mon-fri 06:00-12:00 13:00-22:00".parse().expect("hours");
    one.weight = Some(1 + place % 3);
    one.rules.hours = Hours::of(&hours.0).map(|hours| Schedule {
        hours,
        zone: zones.named(zone).expect("a zone"),
    });
    let region = if place.is_multiple_of(every) {
        "geo:us-ny"
    } else {
        "geo:us-ca"
    };
    one.rules.conditions = Conditions::parse([region, "age:>=65"]).expect("conditions");
}

fn facts(campaign: &Arc<Campaign>) -> Facts {
    let number = |text: &str| Number::from_e164(text.as_bytes()).expect("a number");
    let mut tags = Tags::default();
    for (key, value) in [("age", "66"), ("product", "solar"), ("language", "en")] {
        tags.add(key, value, Origin::Hook).expect("a tag");
    }
    Facts {
        uuid: CallUuid::new(&mut Entropy::from_seed([1; 32])),
        key: None,
        company: "acme".into(),
        campaign: Arc::clone(campaign),
        source: Source {
            afid: "bright-leads".into(),
            sid: None,
        },
        trunk: "carrier".into(),
        dialled: number("+18882223333"),
        quota: None,
        caller: Some(number("+12125550100")),
        tags,
        began: Moment::default(),
        tried: Vec::new(),
        past: Past::default(),
        node: "edge".into(),
        generation: 1,
    }
}

fn numbers() {
    let minimal = include_str!("../conf/minimal.toml");
    let main = "conf/strowger.toml";
    let mut list = String::new();
    for number in 0..COUNT {
        let source = number % 1000;
        let tags = number % 500;
        writeln!(
            list,
            "+1{},solar,bright-leads,source-{source},product:{tags};language:en",
            2_000_000_000_u64 + number * 7_919
        )
        .expect("room");
    }
    let text = format!("{minimal}[[numbers]]\nfile = \"n.csv\"\n");
    let source = Texts::of(main, text).and("conf/n.csv", list);

    let before = BYTES.load(Ordering::Relaxed);
    let start = cpu_time();
    let settings = load(Path::new(main), &source, 1).unwrap_or_else(|faults| {
        println!("{faults}");
        std::process::exit(1)
    });
    let loading = cpu_time() - start;
    let each = (BYTES.load(Ordering::Relaxed) - before) / COUNT;

    let table = &settings.policy.directory.numbers;
    // Far apart from one another, as the numbers of calls are.
    let asked: Vec<Number> = (0..COUNT)
        .map(|at| {
            let number = at * 514_229 % COUNT;
            let text = format!("1{}", 2_000_000_000_u64 + number * 7_919);
            Number::from_e164(text.as_bytes()).expect("a number")
        })
        .collect();
    let start = cpu_time();
    let found = asked
        .iter()
        .filter_map(|number| table.get(black_box(number)));
    assert_eq!(found.count() as u64, COUNT);
    let look_up = (cpu_time() - start) / u32::try_from(COUNT).expect("a million");

    println!("{COUNT} numbers: loaded in {loading:?}, {each} bytes each, found in {look_up:?}");
    assert!(
        loading < MOST_LOAD && each < MOST_BYTES && look_up < MOST_LOOK_UP,
        "a target is missed"
    );
}

const COUNT: u64 = 1_000_000;

/// The system's allocator, counted.
struct Counted;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
/// Bytes that are allocated now.
static BYTES: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counted = Counted;

// SAFETY: every call goes to the system's allocator unchanged; counting touches no memory of its own.
#[expect(
    unsafe_code,
    reason = "an allocator that counts cannot be written without"
)]
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        BYTES.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, and it is the same one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above; `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
