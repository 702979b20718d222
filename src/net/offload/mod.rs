//! Established streams of RTP, forwarded in the kernel before any socket has them: no system call, no copy, no thread that wakes up.
//!
//! ```text
//!   interface ─> program ── known stream, next packet ─> counted, new addresses ─> interface
//!                   │
//!                   '── everything else ─> socket ─> relay, which decides as ever
//! ```
//!
//! The relay lends a stream's state to the kernel once nothing about it is open any more, and takes it back before it handles any
//! packet of it itself; so all decisions are made in one place. A stream is known by both addresses and both ports, its SSRC and its
//! payload types.
//!
//! It takes Linux 6.6 (tcx), CAP_BPF and CAP_NET_ADMIN, and not CAP_PERFMON. The kernel detaches the program when its descriptor is closed, thus also when
//! this process dies: then every packet goes to the sockets again, if there are any.
//!
//! | question | file |
//! |---|---|
//! | what the kernel does with a packet | `program` |
//! | how that is written down | `asm` |
//! | how it is handed to the kernel | `bpf` |
//! | what both know of a stream, and who may write it when | `slot` |
//! | by which interface a packet leaves, and how long it may be | `route` |
//!
//! Crates that load eBPF want an object file of a compiler; see `asm`.

mod asm;
mod bpf;
mod program;
mod route;
mod slot;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::media::watch::{Loan, Progress};
use crate::net::clock;
use crate::net::offload::bpf::{Map, SharedArray};
use crate::net::offload::program::KEY;
use crate::net::offload::route::{Routes, Way};

/// The streams that the kernel forwards.
pub struct Offload {
    /// Detach the program, each from the interface of that number; before everything that it uses goes.
    links: Vec<(u32, OwnedFd)>,
    program: OwnedFd,
    index: Map,
    slots: SharedArray,
    books: Mutex<Books>,
    routes: Mutex<Routes>,
    /// What IP calls the type of service.
    service: u32,
    /// The same moment by our clock and by the kernel's, in nanoseconds.
    epoch: (Instant, u64),
}

/// What is installed.
struct Books {
    /// Slots that no stream has.
    free: Vec<u32>,
    /// From where to where the packets of each stream go before they are forwarded, and after that.
    courses: HashSet<Course>,
}

/// From where to where.
type Course = (SocketAddrV4, SocketAddrV4);

/// An interface that the program could not be attached to.
#[derive(Debug, Error)]
#[error("interface {name}: {source}")]
pub struct Unattached {
    name: Box<str>,
    source: io::Error,
}

/// One direction of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Where its packets come from.
    pub from: SocketAddrV4,
    /// Where they come to: our address, not the unspecified one.
    pub gate: SocketAddrV4,
    /// From where they leave: ours, too.
    pub leaves: SocketAddrV4,
    /// Where they go.
    pub to: SocketAddrV4,
    /// The payload types that may pass: a bit each.
    pub payloads: u128,
    /// Those that may, too, but by the sockets: what comes after one of them is left to these as well, so that it does not come first.
    pub others: u128,
    /// From where counting goes on.
    pub loan: Loan,
}

/// Why a stream stays with the sockets.
#[derive(Debug, Error)]
pub enum Unwilling {
    /// There is no room for more streams.
    #[error("no room for more streams")]
    Full,
    /// There is no way to where it goes.
    #[error("no way: {0}")]
    NoWay(io::Error),
    /// The kernel forwards it already on the way to us, or would forward it again when it has left: two calls that name each
    /// other's ports would have packets go round for as long as the kernel can, which is for ever.
    #[error("forwarded twice")]
    Twice,
    /// The kernel does not take it.
    #[error("not taken: {0}")]
    Refused(io::Error),
}

/// A stream that was installed, and is until this is given back to [`Offload::withdraw`].
#[derive(Debug)]
pub struct Ticket {
    slot: u32,
    key: [u8; KEY],
    courses: [Course; 2],
    /// From where to where it leaves, and the same for the other direction: where it comes in.
    ends: [(Ipv4Addr, Ipv4Addr); 2],
    ways: Ways,
}

/// How a stream leaves, and by which interface it comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ways {
    out: Way,
    back: u32,
}

impl Offload {
    /// Has the kernel take the program, and attaches it to these interfaces: packets that leave are marked with `dscp`. Interfaces
    /// that cannot be had are told of; the others are used.
    ///
    /// # Errors
    ///
    /// When the kernel does not take the program at all, or this process may not have it.
    pub fn start(interfaces: &[Box<str>], dscp: u8) -> io::Result<(Self, Vec<Unattached>)> {
        let index = Map::new(KEY, size_of::<u32>(), MOST)?;
        let slots = SharedArray::new(slot::WORDS, MOST)?;
        let code = program::program(index.descriptor(), slots.descriptor());
        let code = code.ok_or(io::ErrorKind::InvalidData)?;
        let program = bpf::load(&code)?;
        let mut offload = Self {
            links: Vec::new(),
            program,
            index,
            slots,
            books: Mutex::new(Books {
                free: (0..MOST).rev().collect(),
                courses: HashSet::new(),
            }),
            routes: Mutex::new(Routes::open()?),
            service: u32::from(dscp) << 2,
            epoch: epoch(),
        };
        for number in 0..MOST {
            offload
                .slot(number)?
                .lock
                .store(slot::CLOSED, Ordering::Relaxed);
        }
        let mut unattached = Vec::new();
        for name in interfaces {
            match offload.attach(name) {
                Ok(link) => offload.links.push(link),
                Err(source) => unattached.push(Unattached {
                    name: name.clone(),
                    source,
                }),
            }
        }
        Ok((offload, unattached))
    }

    /// To how many interfaces it is attached.
    #[must_use]
    pub fn interfaces(&self) -> usize {
        self.links.len()
    }

    /// How many streams the kernel forwards.
    #[must_use]
    pub fn len(&self) -> usize {
        (MOST as usize).saturating_sub(self.books().free.len())
    }

    /// Whether it forwards none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Has the kernel forward a stream from now on.
    ///
    /// # Errors
    ///
    /// When it cannot; nothing has changed then.
    pub fn install(&self, flow: &Flow) -> Result<Ticket, Unwilling> {
        let ends = [(flow.leaves, flow.to), (flow.gate, flow.from)];
        let ends = ends.map(|(own, other)| (*own.ip(), *other.ip()));
        let ways = self.ways(ends).map_err(Unwilling::NoWay)?;
        let courses = [(flow.from, flow.gate), (flow.leaves, flow.to)];
        let number = self.books().take(courses)?;
        match self.fill(number, flow, ways) {
            Ok(key) => Ok(Ticket {
                slot: number,
                key,
                courses,
                ends,
                ways,
            }),
            Err(error) => {
                self.books().give_back(courses, Some(number));
                Err(Unwilling::Refused(error))
            }
        }
    }

    /// What the kernel has counted since the stream was installed; `None`: it is busy with just this stream all the time.
    #[must_use]
    pub fn read(&self, ticket: &Ticket) -> Option<Progress> {
        let slot = self.slot(ticket.slot).ok()?;
        for _ in 0..MOST_LOOKS {
            let before = slot.lock.load(Ordering::Acquire);
            if before & 1 == 1 && before != slot::CLOSED {
                std::hint::spin_loop();
                continue;
            }
            let progress = self.progress(slot);
            fence(Ordering::Acquire);
            if slot.lock.load(Ordering::Relaxed) == before {
                return Some(progress);
            }
        }
        None
    }

    /// Whether packets still leave by the interface that was the right one when the stream was installed, and may be as long. To be
    /// asked now and then: routes change, and the program does not look for others.
    #[must_use]
    pub fn is_on_its_way(&self, ticket: &Ticket) -> bool {
        self.ways(ticket.ends).is_ok_and(|now| now == ticket.ways)
    }

    /// Has the kernel forward a stream no more; what it has counted is all of it.
    #[must_use]
    pub fn withdraw(&self, ticket: Ticket) -> Option<Progress> {
        let slot = self.slot(ticket.slot).ok()?;
        // It cannot be that it is not there; if so, it is what was wanted.
        let _ = self.index.remove(&ticket.key);
        let mut looks = 0_u32;
        let is_closed = loop {
            let before = slot.lock.load(Ordering::Acquire);
            let is_taken = before & 1 == 0
                && slot
                    .lock
                    .compare_exchange(before, slot::CLOSED, Ordering::AcqRel, Ordering::Relaxed)
                    .is_ok();
            if is_taken || before == slot::CLOSED {
                break true;
            }
            // The program has it for a few nanoseconds, unless its CPU is taken away from it just then.
            looks += 1;
            if looks == MOST_WAITS {
                // It can only be a fault of the program. The slot is lost, and no packet finds it.
                break false;
            }
            if looks.is_multiple_of(MOST_LOOKS) {
                thread::yield_now();
            }
        };
        let progress = self.progress(slot);
        let number = is_closed.then_some(ticket.slot);
        self.books().give_back(ticket.courses, number);
        Some(progress)
    }

    fn attach(&self, name: &str) -> io::Result<(u32, OwnedFd)> {
        let interface = lock(&self.routes).interface(name)?;
        if !interface.is_ethernet {
            return Err(io::Error::other("its packets have no header of Ethernet"));
        }
        let link = bpf::attach(self.program.as_fd(), interface.index)?;
        Ok((interface.index, link))
    }

    /// Where a stream leaves and comes in; the program has to be there where it comes in.
    fn ways(&self, ends: [(Ipv4Addr, Ipv4Addr); 2]) -> io::Result<Ways> {
        let now = clock::now();
        let mut routes = lock(&self.routes);
        let [out, back] = ends.map(|(own, other)| routes.way(now, own, other));
        let (out, back) = (out?, back?.interface);
        let is_attached = self.links.iter().any(|(index, _)| *index == back);
        let ways = is_attached.then_some(Ways { out, back });
        ways.ok_or_else(|| io::ErrorKind::NetworkUnreachable.into())
    }

    fn fill(&self, number: u32, flow: &Flow, ways: Ways) -> io::Result<[u8; KEY]> {
        let slot = self.slot(number)?;
        let loan = &flow.loan;
        let set = |word: usize, value: u64| {
            if let Some(word) = slot.words.get(word) {
                word.store(value, Ordering::Relaxed);
            }
        };
        let [ports, new_ports] = [
            (flow.from.port(), flow.gate.port()),
            (flow.leaves.port(), flow.to.port()),
        ]
        .map(|(from, to)| join([from.to_be_bytes(), to.to_be_bytes()]));
        let addresses = join([flow.from.ip().octets(), flow.gate.ip().octets()]);
        let new_addresses = join([flow.leaves.ip().octets(), flow.to.ip().octets()]);
        set(slot::ADDRESSES, u64::from_ne_bytes(addresses));
        set(slot::NEW_ADDRESSES, u64::from_ne_bytes(new_addresses));
        let halves = |low: [u8; 4], high: [u8; 4]| u64::from_ne_bytes(join([low, high]));
        set(slot::PORTS, halves(ports, loan.ssrc.to_be_bytes()));
        let interface = ways.out.interface.to_ne_bytes();
        set(slot::NEW_PORTS, halves(new_ports, interface));
        for (place, set_of) in [(slot::PAYLOADS, flow.payloads), (slot::OTHERS, flow.others)] {
            set(place, set_of as u64);
            set(place + 1, (set_of >> 64) as u64);
        }
        let clock = loan.clock.to_ne_bytes();
        set(slot::CLOCK, halves(clock, self.service.to_ne_bytes()));
        set(slot::ORIGIN, self.nanos(loan.origin));
        set(slot::PACKETS, 0);
        set(slot::BYTES, 0);
        set(slot::LAST, 0);
        set(slot::HIGHEST, loan.highest);
        set(slot::TRANSIT, loan.transit.into());
        set(slot::JITTER, loan.jitter.into());
        set(slot::JITTER_MAX, loan.jitter_max.into());
        set(slot::INGRESS, ways.back.into());
        let limit = ways.out.limit.unwrap_or(LONGEST).min(LONGEST);
        set(slot::LIMIT, limit.into());
        slot.lock.store(0, Ordering::Release);

        let mut key = [0; KEY];
        for (byte, value) in key.iter_mut().zip(addresses.into_iter().chain(ports)) {
            *byte = value;
        }
        let result = self.index.insert(&key, &number.to_ne_bytes());
        if result.is_err() {
            // No program has ever seen it.
            slot.lock.store(slot::CLOSED, Ordering::Relaxed);
        }
        result.map(|()| key)
    }

    fn progress(&self, slot: Slot<'_>) -> Progress {
        let of = |word: usize| {
            let word = slot.words.get(word);
            word.map_or(0, |word| word.load(Ordering::Relaxed))
        };
        Progress {
            packets: of(slot::PACKETS),
            bytes: of(slot::BYTES),
            last: self.instant(of(slot::LAST)),
            highest: of(slot::HIGHEST),
            transit: of(slot::TRANSIT) as u32,
            jitter: of(slot::JITTER) as u32,
            jitter_max: of(slot::JITTER_MAX) as u32,
        }
    }

    fn slot(&self, number: u32) -> io::Result<Slot<'_>> {
        let start = number as usize * slot::WORDS;
        let words = self.slots.words().get(start..start + slot::WORDS);
        let slot = words.and_then(|words| {
            Some(Slot {
                lock: words.get(slot::LOCK)?,
                words,
            })
        });
        slot.ok_or_else(|| io::ErrorKind::InvalidInput.into())
    }

    fn nanos(&self, at: Instant) -> u64 {
        let (instant, nanos) = self.epoch;
        let ahead = at.saturating_duration_since(instant).as_nanos() as u64;
        let behind = instant.saturating_duration_since(at).as_nanos() as u64;
        (nanos + ahead).saturating_sub(behind)
    }

    fn instant(&self, nanos: u64) -> Instant {
        let (instant, epoch) = self.epoch;
        let ahead = Duration::from_nanos(nanos.saturating_sub(epoch));
        let behind = Duration::from_nanos(epoch.saturating_sub(nanos));
        let at = instant + ahead;
        at.checked_sub(behind).unwrap_or(at)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        lock(&self.books)
    }
}

impl Books {
    /// Takes a slot for a stream that comes and leaves so.
    fn take(&mut self, courses: [Course; 2]) -> Result<u32, Unwilling> {
        let number = *self.free.last().ok_or(Unwilling::Full)?;
        let [before, after] = courses;
        if before == after || courses.iter().any(|course| self.courses.contains(course)) {
            return Err(Unwilling::Twice);
        }
        self.free.pop();
        self.courses.extend(courses);
        Ok(number)
    }

    /// `number`: its slot can be another one's.
    fn give_back(&mut self, courses: [Course; 2], number: Option<u32>) {
        for course in courses {
            self.courses.remove(&course);
        }
        self.free.extend(number);
    }
}

/// One slot of the array.
#[derive(Clone, Copy)]
struct Slot<'o> {
    lock: &'o AtomicU64,
    words: &'o [AtomicU64],
}

/// Both clocks are the same one (CLOCK_MONOTONIC), but `Instant` does not tell its number.
fn epoch() -> (Instant, u64) {
    let look = |_| {
        let before = bpf::clock();
        let instant = clock::now();
        (before, instant, bpf::clock())
    };
    // Of several looks the one that nothing came between.
    let best = (0..10)
        .map(look)
        .min_by_key(|(before, _, after)| after - before);
    best.map_or((clock::now(), bpf::clock()), |(before, instant, after)| {
        (instant, before.midpoint(after))
    })
}

fn join<const N: usize, const M: usize>(parts: [[u8; N]; 2]) -> [u8; M] {
    let mut joined = [0; M];
    for (to, from) in joined.iter_mut().zip(parts.iter().flatten()) {
        *to = *from;
    }
    joined
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in there is whole whenever the lock is given back, also by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Streams at a time, each direction counted: of 32,768 calls. They take 16 MB, which the kernel sets aside at the start.
const MOST: u32 = 65_536;

/// Bytes of a packet, from IP's header on: what Ethernet holds as a rule. Where it holds more, sockets do for the few that are longer.
const LONGEST: u32 = 1500;

/// Looks at a lock that is never given back.
const MOST_WAITS: u32 = 100_000;

/// Looks at a lock before somebody else is let work.
const MOST_LOOKS: u32 = 100;
