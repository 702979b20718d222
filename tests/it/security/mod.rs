//! The threats that touch SIP, row by row, each with the figure that was reached (`--nocapture` shows it).
//!
//! | row | threat | shown by |
//! |---|---|---|
//! | 1 | scanners | `loopback::hostile::row_01`, `tests/interop/scanners.rs` (sipvicious) |
//! | 2 | enumeration of users | `door::row_02`, `users::row_02`; equal work: `auth::gate` |
//! | 3 | guessing passwords | `door::row_03`, `door::row_03_forged`; no digest computed: `auth::gate` |
//! | 4 | replay | `door::row_04`, challenges cost no memory: `auth::gate` |
//! | 5 | weaker algorithm | `door::row_05` |
//! | 6 | digest leak | `legs::row_06` |
//! | 7 | flood | `loopback::hostile::row_07`, `benches/system/run flood` |
//! | 8 | full tables | `legs::row_08`; INVITEs left open: `tables::row_08` |
//! | 9 | reflection | `loopback::hostile::row_09`, `reflect::row_09` |
//! | 10 | forged responses, CANCEL, BYE | `legs::row_10` |
//! | 11 | header injection | `smuggle::row_11`; as Kamailio sees it: `tests/interop/witness.rs` |
//! | 16 | timing of comparisons | `door::row_16` |
//! | 17 | log injection | `nasty::row_17` |
//! | 18 | secrets in logs and metrics | `legs::row_18` |
//! | 19 | forged streams | `media::row_19`; beside rtpengine: `tests/interop/forged.rs` |
//! | 20 | forged SRTP, STUN and DTLS | `media::row_20` |
//! | 22 | SSRC collision, RTCP flood | `media::row_22`; what is cut short: `media::rtcp` |
//! | 25 | lying Content-Length | `sizes::row_25`; on streams, byte by byte: `streams::rows::row_25` |
//! | 26, 27 | huge and costly messages | `sizes::row_26`, `sizes::row_27` |
//! | 28 | toll fraud | `legs::row_28` |
//! | 30 | loops | `legs::row_30` |
//! | 31 | calls that are never ended | `sim::seeds` (every way to end, 10,000 seeds, nothing left), `sim::watch` with media, `sim::limits::trap_18` |
//! | 32 | memory | `loopback::scarce::row_32`, `benches/system/run rss, hold`; tables: `tables`, `legs::row_08` |
//! | 33 | descriptors and ports used up | `loopback::hostile::row_33`, `loopback::scarce::row_33` |
//! | 34 | clock jumps | `edge::valve::row_34`; the core has no other clock: `tests/architecture.rs` |
//! | 40 | drain | `loopback::process::row_40` |
//! | 41 | blocked log, stuck scrapers | `loopback::process::row_41` |
//! | 42 | a panic | `call::rescue::row_42` |
//!
//! Rows 12 to 15, 21 and 35 to 39 are about webhooks, media and what is not here yet; 23 to 25 about TCP and TLS; 29 is with
//! the rules for headers.

mod door;
mod legs;
mod media;
mod reflect;
mod sizes;
mod tables;
mod users;

/// Tells the figure that a row has reached.
#[expect(clippy::print_stdout, reason = "the figure is what is wanted")]
pub(crate) fn figure(row: u32, text: &str) {
    println!("row {row:02}: {text}");
}

/// Welch's t between two rows of times, without the slowest tenth of each, which the system has on its conscience.
fn welch(mut a: Vec<f64>, mut b: Vec<f64>) -> f64 {
    let moments = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times.truncate(times.len() * 9 / 10);
        let count = times.len() as f64;
        let mean = times.iter().sum::<f64>() / count;
        let spread = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>();
        (mean, spread / (count - 1.0) / count)
    };
    let ((mean_a, error_a), (mean_b, error_b)) = (moments(&mut a), moments(&mut b));
    (mean_a - mean_b) / (error_a + error_b).sqrt()
}
