//! What reading a message costs: messages a second, allocations, instructions.
//!
//! ```text
//! cargo bench --bench parser                   time and allocations
//! cargo bench --bench parser -- --callgrind    instructions for each message (needs valgrind)
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::expect_used, reason = "a bench that cannot measure stops")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use strowger::sip::message::{Message, Name, parse};

/// Most instructions that reading [`INVITE`] may take: the head alone, and with all that
/// `essentials` reads.
const MOST_SCAN: u64 = 7_000;
const MOST_TYPED: u64 = 16_000;

const INVITE: &str = include_str!("messages/invite.sip");
const INVITE_WITH_CREDENTIALS: &str = include_str!("messages/invite_digest.sip");
const OK: &str = include_str!("messages/ok.sip");

fn messages() -> [(&'static str, Vec<u8>); 3] {
    let wire = |text: &str, length: usize| {
        let bytes = text.replace('\n', "\r\n").into_bytes();
        assert_eq!(bytes.len(), length, "the size that the figures are for");
        bytes
    };
    [
        ("INVITE 875", wire(INVITE, 875)),
        (
            "INVITE with credentials 1131",
            wire(INVITE_WITH_CREDENTIALS, 1131),
        ),
        ("200 730", wire(OK, 730)),
    ]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        let text = arguments.get(at + 1).expect("a number behind the flag");
        Some(text.parse::<usize>().expect("a number"))
    };
    let which = number("--message").unwrap_or(0);
    let messages = messages();
    if let Some(times) = number("--once-scan") {
        let (_, bytes) = messages.get(which).expect("one of the messages");
        (0..times).for_each(|_| scan(bytes));
    } else if let Some(times) = number("--once-typed") {
        let (_, bytes) = messages.get(which).expect("one of the messages");
        (0..times).for_each(|_| typed(bytes));
    } else if arguments.iter().any(|argument| argument == "--callgrind") {
        count_instructions(&messages);
    } else {
        measure(&messages);
    }
}

fn scan(bytes: &[u8]) {
    let message = parse(black_box(bytes)).expect("a message");
    black_box(&message);
}

fn typed(bytes: &[u8]) {
    match parse(black_box(bytes)).expect("a message") {
        Message::Request(request) => {
            black_box(&request.essentials().expect("well formed"));
            black_box(request.head.first(Name::Authorization));
        }
        Message::Response(response) => {
            black_box(&response.essentials().expect("well formed"));
        }
    }
}

fn measure(messages: &[(&str, Vec<u8>)]) {
    for (name, bytes) in messages {
        for (what, read) in [("scan ", scan as fn(&[u8])), ("typed", typed)] {
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            read(bytes);
            let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
            assert_eq!(allocations, 0, "{name}: {what} allocates");
            let best = (0..20)
                .map(|_| time(|| read(bytes)))
                .min()
                .unwrap_or_default();
            let nanoseconds = best.as_nanos() as f64 / f64::from(ROUND);
            let rate = 1e6 / nanoseconds;
            println!(
                "{name:>28} {what} {nanoseconds:>7.0} ns {rate:>6.0} k messages/s {allocations} allocations"
            );
        }
    }
}

/// Messages in one measurement.
const ROUND: u32 = 20_000;

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn time(read: impl Fn()) -> Duration {
    let start = std::time::Instant::now();
    (0..ROUND).for_each(|_| read());
    start.elapsed()
}

fn count_instructions(messages: &[(&str, Vec<u8>)]) {
    let mut is_over = false;
    for (index, (name, _)) in messages.iter().enumerate() {
        for (what, flag, most) in [
            ("scan ", "--once-scan", MOST_SCAN),
            ("typed", "--once-typed", MOST_TYPED),
        ] {
            let each =
                (instructions(flag, 3_000, index) - instructions(flag, 1_000, index)) / 2_000;
            let verdict = match (index, each <= most) {
                (0, true) => format!("(at most {most})"),
                (0, false) => format!("OVER {most}"),
                _ => String::new(),
            };
            is_over |= index == 0 && each > most;
            println!("{name:>28} {what} {each:>7} instructions {verdict}");
        }
    }
    assert!(!is_over, "a target is missed");
}

/// Runs this program under callgrind and reads how many instructions it took.
fn instructions(flag: &str, times: usize, message: usize) -> u64 {
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args([flag, &times.to_string(), "--message", &message.to_string()])
        .output()
        .expect("valgrind is installed");
    let report = String::from_utf8_lossy(&output.stderr);
    let line = report
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .expect("valgrind says what it collected");
    line.1.trim().parse().expect("a number of instructions")
}

/// The system's allocator, counted.
struct Counted;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

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
        // SAFETY: the caller keeps `GlobalAlloc`'s contract, and it is the same one.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}
