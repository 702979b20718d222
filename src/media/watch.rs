//! What one stream of RTP is like: loss by sequence numbers, jitter, and the digits in it.

use std::time::{Duration, Instant};

use crate::media::plan::Payload;
use crate::media::rtp::Header;

/// Counts the packets of one party's stream.
#[derive(Debug)]
pub struct Watch {
    /// Where arrival times are counted from.
    origin: Instant,
    sequence: Option<Sequence>,
    /// Packets that never came, of what is over: another SSRC, or a jump.
    lost: u64,
    /// Packets that count towards loss, of the same.
    expected: u64,
    transit: Option<Transit>,
    /// In ticks, times 16 (RFC 3550 A.8).
    jitter: u32,
    jitter_max: u32,
    /// Ticks of `jitter` in a second.
    clock: u32,
    /// The timestamp of the event whose digit was noted last.
    event: Option<u32>,
    digits: Option<Box<Digits>>,
}

/// The run of sequence numbers of one SSRC.
#[derive(Debug)]
struct Sequence {
    ssrc: u32,
    first: u16,
    /// The highest one, and how often they began anew.
    highest: u16,
    cycles: u32,
    received: u64,
    /// What comes next if the sender has begun anew (RFC 3550 A.1).
    restart: Option<u16>,
}

/// How long the last packet took, in ticks and from an unknown origin.
#[derive(Debug)]
struct Transit {
    ticks: u32,
    clock: u32,
    ssrc: u32,
}

/// The first digits of a call.
#[derive(Debug)]
struct Digits {
    bytes: [u8; MOST_DIGITS],
    count: usize,
}

/// What counting goes on from at another place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loan {
    /// Of the packets that are counted there.
    pub ssrc: u32,
    /// Ticks of their timestamps in a second.
    pub clock: u32,
    /// Where arrival times are counted from.
    pub origin: Instant,
    /// The highest sequence number, and above its 16 bits how often they began anew.
    pub highest: u64,
    /// How long the last packet took, in ticks and from an unknown origin.
    pub transit: u32,
    /// In ticks, times 16 (RFC 3550 A.8).
    pub jitter: u32,
    /// The most that it was.
    pub jitter_max: u32,
}

/// What was counted at that place, all in all; what is in [`Loan`], too, as it is now.
#[expect(missing_docs, reason = "the others are told of there")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Packets.
    pub packets: u64,
    /// Bytes of their payload.
    pub bytes: u64,
    /// When the last of them came, if any did.
    pub last: Instant,
    pub highest: u64,
    pub transit: u32,
    pub jitter: u32,
    pub jitter_max: u32,
}

impl Watch {
    /// Begins with nothing; `keeps_digits`: those of telephone-events are noted.
    #[must_use]
    pub fn new(now: Instant, keeps_digits: bool) -> Self {
        let digits = || {
            Box::new(Digits {
                bytes: [0; MOST_DIGITS],
                count: 0,
            })
        };
        Self {
            origin: now,
            sequence: None,
            lost: 0,
            expected: 0,
            transit: None,
            jitter: 0,
            jitter_max: 0,
            clock: 8000,
            event: None,
            digits: keeps_digits.then(digits),
        }
    }

    /// Counts a packet that came at `now`.
    #[inline]
    pub fn handle(&mut self, now: Instant, rtp: &Header, meaning: Payload, payload: &[u8]) {
        self.count(rtp);
        if meaning.is_dtmf {
            // Its packets carry the time at which the event began, so they say nothing about jitter.
            self.transit = None;
            self.note_event(rtp, payload);
        } else {
            self.measure(now, rtp, meaning.clock);
        }
    }

    /// What whoever counts the next packets elsewhere has to know; `None`: too little has come for that.
    #[must_use]
    pub fn lend(&self) -> Option<Loan> {
        let (run, transit) = (self.sequence.as_ref()?, self.transit.as_ref()?);
        let is_steady = transit.ssrc == run.ssrc && transit.clock == self.clock;
        (is_steady && self.clock <= MOST_LENT_CLOCK).then(|| Loan {
            ssrc: run.ssrc,
            clock: self.clock,
            origin: self.origin,
            highest: u64::from(run.cycles) << 16 | u64::from(run.highest),
            transit: transit.ticks,
            jitter: self.jitter,
            jitter_max: self.jitter_max,
        })
    }

    /// Goes on from what was counted elsewhere, `packets` of it since this was told last. Nothing was counted here meanwhile.
    pub fn absorb(&mut self, packets: u64, progress: &Progress) {
        let (Some(run), Some(transit)) = (&mut self.sequence, &mut self.transit) else {
            return;
        };
        if packets == 0 {
            return;
        }
        run.highest = progress.highest as u16;
        run.cycles = (progress.highest >> 16) as u32;
        run.received += packets;
        run.restart = None;
        transit.ticks = progress.transit;
        self.jitter = progress.jitter;
        self.jitter_max = progress.jitter_max;
    }

    /// Packets that never came (RFC 3550 §6.4.1), and how many should have come. What came twice makes up for what did
    /// not, as there.
    #[must_use]
    pub fn lost_of(&self) -> (u64, u64) {
        let Some(run) = &self.sequence else {
            return (self.lost, self.expected);
        };
        let expected = run.expected();
        let lost = expected.saturating_sub(run.received);
        (self.lost + lost, self.expected + expected)
    }

    /// Interarrival jitter now (RFC 3550 §6.4.1).
    #[must_use]
    pub fn jitter(&self) -> Duration {
        self.span(self.jitter)
    }

    /// The most that it was.
    #[must_use]
    pub fn jitter_max(&self) -> Duration {
        self.span(self.jitter_max)
    }

    /// The digits that were kept.
    #[must_use]
    pub fn digits(&self) -> &[u8] {
        let digits = self.digits.as_deref();
        digits
            .and_then(|digits| digits.bytes.get(..digits.count))
            .unwrap_or_default()
    }

    fn count(&mut self, rtp: &Header) {
        let run = self.sequence.as_mut();
        if run.is_some_and(|run| run.ssrc == rtp.ssrc && run.extend(rtp.sequence)) {
            return;
        }
        // A reordered packet of the run before counts as a run of its own; there are few.
        (self.lost, self.expected) = self.lost_of();
        self.sequence = Some(Sequence {
            ssrc: rtp.ssrc,
            first: rtp.sequence,
            highest: rtp.sequence,
            cycles: 0,
            received: 1,
            restart: None,
        });
        self.transit = None;
    }

    /// RFC 3550 A.8, in whole numbers.
    fn measure(&mut self, now: Instant, rtp: &Header, clock: u32) {
        if clock == 0 {
            return;
        }
        let elapsed = now.saturating_duration_since(self.origin);
        // Wraps as the timestamp does.
        let part = u64::from(elapsed.subsec_nanos()) * u64::from(clock) / 1_000_000_000;
        let whole = elapsed.as_secs().wrapping_mul(u64::from(clock));
        let arrival = whole.wrapping_add(part);
        let ticks = (arrival as u32).wrapping_sub(rtp.timestamp);
        let last = self.transit.replace(Transit {
            ticks,
            clock,
            ssrc: rtp.ssrc,
        });
        let Some(last) = last.filter(|last| last.clock == clock && last.ssrc == rtp.ssrc) else {
            return;
        };
        if self.clock != clock {
            let scale =
                |ticks| (u64::from(ticks) * u64::from(clock) / u64::from(self.clock)) as u32;
            (self.jitter, self.jitter_max) = (scale(self.jitter), scale(self.jitter_max));
            self.clock = clock;
        }
        let difference = (ticks.wrapping_sub(last.ticks) as i32).unsigned_abs();
        if difference > clock.saturating_mul(FAR) {
            // The sender's timestamps jumped, as after hold.
            return;
        }
        let settled = self.jitter - (self.jitter.saturating_add(8) >> 4);
        self.jitter = settled.saturating_add(difference);
        self.jitter_max = self.jitter_max.max(self.jitter);
    }

    fn span(&self, ticks: u32) -> Duration {
        let nanos = u64::from(ticks) * 1_000_000_000 / 16 / u64::from(self.clock);
        Duration::from_nanos(nanos)
    }

    /// Notes the digit of a telephone-event once, by whichever of its packets comes first (RFC 4733 §2.5.1).
    fn note_event(&mut self, rtp: &Header, payload: &[u8]) {
        let Some(digits) = &mut self.digits else {
            return;
        };
        let digit = match payload {
            [event, _, _, _, ..] => DIGITS.get(usize::from(*event)),
            _ => None,
        };
        let Some(digit) = digit.filter(|_| self.event != Some(rtp.timestamp)) else {
            return;
        };
        self.event = Some(rtp.timestamp);
        if let Some(place) = digits.bytes.get_mut(digits.count) {
            *place = *digit;
            digits.count += 1;
        }
    }
}

impl Sequence {
    /// Counts a packet; `false`: it does not go on from those before, so the sender has begun anew.
    fn extend(&mut self, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.highest);
        if ahead < MAX_DROPOUT {
            if sequence < self.highest {
                self.cycles += 1;
            }
            self.highest = sequence;
        } else if ahead <= u16::MAX - MAX_MISORDER {
            // A jump: believed if the next packet goes on from it.
            if self.restart == Some(sequence) {
                return false;
            }
            self.restart = Some(sequence.wrapping_add(1));
            return true;
        }
        // Else it came twice, or late.
        self.restart = None;
        self.received += 1;
        true
    }

    fn expected(&self) -> u64 {
        let highest = (u64::from(self.cycles) << 16) + u64::from(self.highest);
        (highest + 1).saturating_sub(u64::from(self.first))
    }
}

/// How far a sequence number may be ahead (RFC 3550 A.1).
pub const MAX_DROPOUT: u16 = 3000;

/// How far it may be behind.
pub const MAX_MISORDER: u16 = 100;

/// A difference between two packets of more seconds is none of the network's.
pub const FAR: u32 = 5;

/// The fastest clock of what is counted elsewhere, in ticks per second: there no sum of its jitter is too large for 32 bits.
const MOST_LENT_CLOCK: u32 = 1_000_000;

/// Digits kept of one stream.
const MOST_DIGITS: usize = 32;

/// The digits by their events (RFC 4733 §3.2).
const DIGITS: &[u8; 16] = b"0123456789*#ABCD";

#[cfg(test)]
mod tests;
