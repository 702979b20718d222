//! What the kernel and this process have in common of one stream: a slot, in words of 8 bytes. Addresses and ports are in the network's
//! order.
//!
//! It begins with a lock, a number that grows:
//!
//! ```text
//!   even: free     odd: the program is at it     all ones: closed, and the process's
//! ```
//!
//! The program takes it by adding one and gives it back by adding one. The process reads by looking before and after whether it was
//! free and is the same, or closed; it closes a slot by turning an even number into all ones, as the program does with one that it
//! has. After that no packet is counted or sent by it any more, but for one that was counted before and is on its way out. A slot
//! that is used again has other addresses and ports than the packet of a program that is late by a slot: they are compared under
//! the lock. So no packet ever goes where another stream's do.

/// The lock.
pub(super) const LOCK: usize = 0;
/// Address of the source, of the destination: 4 bytes each.
pub(super) const ADDRESSES: usize = 1;
/// Port of the source, of the destination, then the SSRC.
pub(super) const PORTS: usize = 2;
/// Addresses on the way out.
pub(super) const NEW_ADDRESSES: usize = 3;
/// Ports on the way out, then the interface.
pub(super) const NEW_PORTS: usize = 4;
/// The payload types that may pass: a bit each, 0 to 63 and then the others.
pub(super) const PAYLOADS: usize = 5;
/// Ticks in a second, then the byte that IP calls the type of service.
pub(super) const CLOCK: usize = 7;
/// Where arrival times are counted from, in nanoseconds.
pub(super) const ORIGIN: usize = 8;
/// From here on what the program writes. Packets.
pub(super) const PACKETS: usize = 9;
/// Bytes of payload.
pub(super) const BYTES: usize = 10;
/// When the last packet came, in nanoseconds.
pub(super) const LAST: usize = 11;
/// The highest sequence number, with how often they began anew above it.
pub(super) const HIGHEST: usize = 12;
/// The transit time of the last packet, in ticks.
pub(super) const TRANSIT: usize = 13;
/// In ticks, times 16.
pub(super) const JITTER: usize = 14;
/// The most that it was.
pub(super) const JITTER_MAX: usize = 15;
/// And what it does not write. The interface that its packets come in by.
pub(super) const INGRESS: usize = 16;
/// How long a packet may be, with its header of IP.
pub(super) const LIMIT: usize = 17;
/// The payload types that the sockets pass on, as [`PAYLOADS`].
pub(super) const OTHERS: usize = 18;
/// How many words.
pub(super) const WORDS: usize = 20;

/// A closed lock.
pub(super) const CLOSED: u64 = u64::MAX;
