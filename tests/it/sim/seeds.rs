//! Many seeds, each a run of its own.

#![expect(
    clippy::print_stdout,
    reason = "what was tried, and what was not, is told"
)]

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::tally::Tally;
use super::world::{Verdict, World};

/// Seeds of one test run, unless `STROWGER_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 10_000;

/// What must have happened somewhere in them: every way a call and an attempt can end but by a fault of
/// ours, and every refusal that these callers can meet.
const SEEN: &[&str] = &[
    "completed",
    "caller_hung_up",
    "not_a_number",
    "number_incomplete",
    "number_unknown",
    "no_buyer",
    "all_capped",
    "concurrency",
    "trunk_calls",
    "trunk_cps",
    "limit_unknown",
    "half_open",
    "trunk_half_open",
    "probe",
    "gateway",
    "second_gateway",
    "no_answer",
    "all_busy",
    "no_ack",
    "no_prack",
    "session_expired",
    "session_interval",
    "REFER",
    "UPDATE",
    "PRACK",
    "leg_lost",
    "time_limit",
    "stopped",
    "answered",
    "buyer_auth",
    "busy",
    "buyer_rejected",
    "declined",
    "redirect_refused",
    "buyer_error",
    "unreachable",
    "cancelled",
    "several_at_once",
    "lost_race",
    "no_credentials",
    "wrong_password",
    "stale_nonce",
    "unknown_address",
    "draining",
    "no_dialog",
    "malformed",
    "stray",
    "repeated",
    "retransmitted",
];

#[test]
fn ten_thousand_seeds_leave_nothing_behind_and_one_record_each() {
    let only = env::var("STROWGER_SIM_SEED")
        .ok()
        .map(|text| text.parse().expect("a number"));
    if let Some(seed) = only {
        let verdict = run(seed, true);
        println!("{}", verdict.trace.join("\n"));
        assert!(
            verdict.faults.is_empty(),
            "seed {seed}: {:#?}",
            verdict.faults
        );
        return;
    }
    let seeds =
        env::var("STROWGER_SIM_SEEDS").map_or(SEEDS, |text| text.parse().expect("a number"));

    let (total, failed) = run_all(seeds);

    println!("{seeds} seeds:\n{}", total.table());
    assert!(
        failed.is_empty(),
        "{} of {seeds} seeds failed; to repeat the first with all that went by:\n    \
         STROWGER_SIM_SEED={} cargo test --test it sim:: -- --nocapture\n{}",
        failed.len(),
        failed[0].0,
        failed
            .iter()
            .take(25)
            .map(|(seed, fault)| format!("seed {seed}: {fault}"))
            .collect::<Vec<_>>()
            .join("\n")
    );
    let missing: Vec<_> = SEEN.iter().filter(|name| total.of(name) == 0).collect();
    assert!(
        seeds < SEEDS || missing.is_empty(),
        "never happened: {missing:?}"
    );
}

#[test]
fn the_same_seed_is_the_same_course_of_events() {
    for seed in 0..20 {
        let (one, two) = (run(seed, true), run(seed, true));

        assert_eq!(one.trace, two.trace, "seed {seed}");
    }
}

fn run_all(seeds: u64) -> (Tally, Vec<(u64, String)>) {
    let next = AtomicU64::new(0);
    let work = || {
        let (mut total, mut failed) = (Tally::default(), Vec::new());
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return (total, failed);
            }
            let verdict = run(seed, false);
            total.take_in(&verdict.tally);
            failed.extend(verdict.faults.into_iter().next().map(|fault| (seed, fault)));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let mut sum = (Tally::default(), Vec::new());
        for worker in workers {
            let (total, failed) = worker.join().expect("runs catch their panics");
            sum.0.take_in(&total);
            sum.1.extend(failed);
        }
        sum.1.sort();
        sum
    })
}

/// One run; a panic in it is a fault.
fn run(seed: u64, is_traced: bool) -> Verdict {
    let start = epoch();
    catch_unwind(AssertUnwindSafe(|| {
        World::new(seed, start, is_traced).run()
    }))
    .unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied());
        Verdict {
            faults: vec![format!("panic: {}", text.unwrap_or("without a word"))],
            trace: Vec::new(),
            tally: Tally::default(),
        }
    })
}

/// Where virtual time begins.
#[expect(
    clippy::disallowed_methods,
    reason = "an instant can only be had from the clock; only differences count"
)]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}
