//! What protecting a packet costs: nanoseconds and allocations for each suite.
//!
//! ```text
//! cargo bench --bench srtp
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::expect_used, reason = "a bench that cannot measure stops")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use strowger::media::plan::{Keys, Suite};
use strowger::media::srtp::suite::MOST_RTP_GROWTH;
use strowger::media::srtp::{Receiver, Sender};
use zeroize::Zeroizing;

/// 20 ms of G.711.
const PACKET: usize = 172;
/// Packets in one measurement: as many as lie in the first cache, where a relay has just read them.
const BATCH: u16 = 64;
/// Measurements, of which the best counts.
const BATCHES: u16 = 20_000;

fn main() {
    println!(
        "{:>24} {:>8} {:>10} {:>8}",
        "172 bytes, ns", "protect", "unprotect", "forged"
    );
    for suite in Suite::ALL {
        let [protect, unprotect, forged] = measure(suite);
        println!(
            "{:>24} {protect:>8.0} {unprotect:>10.0} {forged:>8.0}",
            suite.name()
        );
    }
}

/// Nanoseconds for a packet protected, unprotected, and refused for its tag.
fn measure(suite: Suite) -> [f64; 3] {
    let keys = Keys {
        suite,
        secret: Zeroizing::new(vec![0xc5; suite.secret_length()]),
    };
    let mut sender = Sender::new(&keys).expect("keys of the right length");
    let mut receiver = Receiver::new(&keys).expect("keys of the right length");
    let mut packets = [[0; PACKET + MOST_RTP_GROWTH]; BATCH as usize];
    let mut best = [u64::MAX; 3];
    let length = PACKET + suite.rtp_tag_length();
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for batch in 0..BATCHES {
        for (number, packet) in (0..BATCH).zip(&mut packets) {
            write(packet, batch.wrapping_mul(BATCH).wrapping_add(number));
        }
        let protect = time(|| {
            for packet in &mut packets {
                black_box(sender.protect_rtp(black_box(packet), PACKET)).expect("it is protected");
            }
        });
        let mut others = packets;
        let forged = time(|| {
            for packet in &mut others {
                if let Some(byte) = packet.get_mut(100) {
                    *byte ^= 1;
                }
                black_box(receiver.unprotect_rtp(black_box(packet), length))
                    .expect_err("it is refused");
            }
        });
        let unprotect = time(|| {
            for packet in &mut packets {
                black_box(receiver.unprotect_rtp(black_box(packet), length)).expect("it is taken");
            }
        });
        for (best, one) in best.iter_mut().zip([protect, unprotect, forged]) {
            *best = one.min(*best);
        }
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert_eq!(allocations, 0, "{} allocates", suite.name());
    best.map(|nanoseconds| nanoseconds as f64 / f64::from(BATCH))
}

fn write(packet: &mut [u8], sequence: u16) {
    packet.fill(0xd5);
    let [high, low] = sequence.to_be_bytes();
    let header = [0x80, 0, high, low, 0, 0, 0, 0, 1, 2, 3, 4];
    for (to, from) in packet.iter_mut().zip(header) {
        *to = from;
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn time(work: impl FnOnce()) -> u64 {
    let start = std::time::Instant::now();
    work();
    start.elapsed().as_nanos() as u64
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
