//! What is copied of a call's packets while somebody looks at them, as they are on the wire.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// When it came or went, from the epoch on.
    pub at: Duration,
    /// Who sent it.
    pub from: SocketAddr,
    /// To whom.
    pub to: SocketAddr,
    /// What UDP carried.
    pub bytes: Box<[u8]>,
}

/// How much is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Packets at most.
    pub packets: u64,
    /// Bytes of what UDP carries at most.
    pub bytes: u64,
    /// How long, from the first look at the call.
    pub time: Duration,
}

/// What became of it so far, for whoever asks.
#[derive(Debug, Default)]
pub struct Progress {
    is_stopped: AtomicBool,
    lost: AtomicU64,
}

impl Progress {
    /// Ends it with the next packet, or within a second.
    pub fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Packets that found no room because their reader is too slow.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

/// The relay's end: it never waits for the reader. Dropping it ends the other one.
#[derive(Debug)]
pub struct Tap {
    frames: SyncSender<Frame>,
    progress: Arc<Progress>,
    left: Bounds,
    /// When it was put to the call, on both clocks.
    began: Option<(Instant, Duration)>,
}

/// A tap and where its packets come out.
#[must_use]
pub fn tap(bounds: Bounds, progress: Arc<Progress>) -> (Tap, Receiver<Frame>) {
    let (frames, receiver) = sync_channel(WAITING);
    let tap = Tap {
        frames,
        progress,
        left: bounds,
        began: None,
    };
    (tap, receiver)
}

impl Tap {
    /// Begins at `now`, which is `wall` by the time of day.
    pub fn begin(&mut self, now: Instant, wall: Duration) {
        self.began = Some((now, wall));
    }

    /// Whether nothing more is to be copied.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        let is_late = self
            .began
            .is_some_and(|(began, _)| now.saturating_duration_since(began) >= self.left.time);
        is_late || self.left.packets == 0 || self.progress.is_stopped.load(Ordering::Relaxed)
    }

    /// Copies a packet; `false`: nothing more is to be copied.
    pub fn note(
        &mut self,
        now: Instant,
        (from, to): (SocketAddr, SocketAddr),
        bytes: &[u8],
    ) -> bool {
        let length = bytes.len() as u64;
        if self.is_over(now) || length > self.left.bytes {
            return false;
        }
        let (began, wall) = self.began.unwrap_or((now, Duration::ZERO));
        let frame = Frame {
            at: wall + now.saturating_duration_since(began),
            from,
            to,
            bytes: bytes.into(),
        };
        if self.frames.try_send(frame).is_err() {
            self.progress.lost.fetch_add(1, Ordering::Relaxed);
        }
        self.left.packets -= 1;
        self.left.bytes -= length;
        true
    }
}

/// Packets that wait for their reader: five seconds of one call.
const WAITING: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    #[test]
    fn it_copies_until_a_bound_is_met() {
        let now = clock::now();
        let bounds = Bounds {
            packets: 3,
            bytes: 100,
            time: Duration::from_secs(10),
        };
        // By packets, by bytes, by time, by word.
        for (bounds, length, step, expected) in [
            (bounds, 10, 0, 3),
            (bounds, 40, 0, 2),
            (bounds, 10, 6, 2),
            (
                Bounds {
                    packets: 0,
                    ..bounds
                },
                10,
                0,
                0,
            ),
        ] {
            let (mut tap, frames) = tap(bounds, Arc::default());
            tap.begin(now, Duration::from_secs(1_700_000_000));

            let copied = (0..9)
                .take_while(|n| {
                    let now = now + Duration::from_secs(n * step);
                    tap.note(now, way(), &vec![7; length])
                })
                .count();

            assert_eq!(copied, expected);
            drop(tap);
            let frames: Vec<Frame> = frames.iter().collect();
            assert_eq!(frames.len(), expected);
            let seconds = (0..).map(|n| 1_700_000_000 + n * step);
            assert!(
                frames
                    .iter()
                    .map(|one| one.at.as_secs())
                    .eq(seconds.take(expected))
            );
        }
    }

    #[test]
    fn a_reader_that_does_not_read_costs_packets_and_no_time() {
        let progress = Arc::new(Progress::default());
        let bounds = Bounds {
            packets: 2000,
            bytes: 1 << 20,
            time: Duration::from_secs(10),
        };
        let (mut tap, frames) = tap(bounds, Arc::clone(&progress));

        for _ in 0..1100 {
            assert!(tap.note(clock::now(), way(), b"x"));
        }

        assert_eq!(progress.lost(), 1100 - WAITING as u64);
        progress.stop();
        assert!(!tap.note(clock::now(), way(), b"x"));
        drop(tap);
        assert_eq!(frames.iter().count(), WAITING);
    }

    fn way() -> (SocketAddr, SocketAddr) {
        let [from, to] = ["192.0.2.1:4000", "192.0.2.2:5000"];
        (from.parse().unwrap(), to.parse().unwrap())
    }
}
