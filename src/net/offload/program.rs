//! The program that the kernel runs for each packet that comes in at an interface.
//!
//! ```text
//!   frame ─> IPv4, UDP, whole? ─> known by addresses and ports? ─> lock ─> RTP of that stream? ─> counted ─> unlock ─> rewritten ─> out
//!               │                    │                                        │
//!               '────────────────────┴──────────── untouched, to the sockets ─'
//! ```
//!
//! Whatever is unusual is left to the sockets, so that one place decides about it: the program only ever does what
//! [`Watch`](crate::media::watch::Watch) and [`Passage`](crate::media::passage::Passage) would have done with the next packet of a
//! stream that goes on as before. It sends nothing to anywhere but where its slot says; what cannot be sent there, for want of a neighbour
//! or of memory, is lost as it would be behind a socket.
//!
//! A packet of the stream that the sockets have to pass on (it is longer than the way out allows, comes in fragments, has more in its
//! header, is of another payload type that was agreed on) closes the slot: those behind it go to the sockets, too, and none overtakes it.
//!
//! Two maps: the *index* is a hash table from addresses and ports to the number of a slot, the *slots* ([`slot`]) are an array that this
//! process reads and writes as memory.

use std::os::fd::RawFd;

use crate::net::offload::asm::Condition::{Above, Below, Equal, NotEqual, NotLess};
use crate::net::offload::asm::Operation::{
    Add, And, Divide, ExclusiveOr, Multiply, Negate, Remainder, ShiftLeft, ShiftRight, Subtract,
};
use crate::net::offload::asm::Register::{R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10};
use crate::net::offload::asm::Size::{Byte, Double, Half, Word};
use crate::net::offload::asm::{Code, Instruction, Label};
use crate::net::offload::slot;

/// Bytes of a key of the index: both addresses, both ports.
pub(super) const KEY: usize = 12;

/// Writes the program for these maps. `None` is a fault of ours.
pub(super) fn program(index: RawFd, slots: RawFd) -> Option<Vec<Instruction>> {
    let mut code = Code::default();
    read_headers(&mut code);
    find_slot(&mut code, index, slots);
    lock(&mut code);
    check(&mut code);
    count(&mut code);
    unlock(&mut code);
    rewrite(&mut code);
    send(&mut code);

    code.label(UNLOCK_AND_PASS);
    unlock(&mut code);
    code.jump(PASS);
    code.label(CLOSE_AND_PASS);
    code.set(R1, CLOSED);
    code.exchange(R9, at(slot::LOCK), R1);
    code.label(PASS);
    code.set(R0, TCX_NEXT);
    code.exit();
    code.finish()
}

/// Throughout: `R6` is the packet's record, `R9` the slot once there is one.
fn read_headers(code: &mut Code) {
    code.set(R6, R1);
    // For this machine, without a VLAN's tag (the VLAN's own interface has it again), and no several packets in one.
    for field in [RECORD_KIND, RECORD_VLAN, RECORD_SEGMENT] {
        code.load(Word, R1, R6, field);
        code.jump_if(R1, NotEqual, 0, PASS);
    }
    code.load(Word, R1, R6, RECORD_LENGTH);
    code.jump_if(R1, Below, HEADERS, PASS);
    // All headers have to be in the first part of the packet; drivers may have put only those of Ethernet there.
    reload(code);
    code.jump_if(R1, Above, R8, "short");
    code.jump("linear");
    code.label("short");
    code.set(R1, R6);
    code.set(R2, HEADERS);
    code.call(SKB_PULL_DATA);
    reload(code);
    code.jump_if(R1, Above, R8, PASS);
    code.label("linear");

    // IPv4 without options, UDP.
    code.load(Half, R1, R7, ETHER_TYPE);
    code.turn_16(R1);
    code.jump_if(R1, NotEqual, 0x0800, PASS);
    code.load(Byte, R1, R7, IP);
    code.jump_if(R1, NotEqual, 0x45, PASS);
    code.load(Byte, R1, R7, IP + 9);
    code.jump_if(R1, NotEqual, 17, PASS);
    // `R8` is IP's length; that of what only the sockets can handle is more than any way allows.
    code.set(R8, TOO_LONG);
    // A first fragment has all headers, the ones after it have none.
    code.load(Half, R1, R7, IP + 6);
    code.turn_16(R1);
    code.compute(And, R1, 0x3fff);
    code.jump_if(R1, Equal, 0x2000, "lengths");
    code.jump_if(R1, NotEqual, 0, PASS);
    code.load(Half, R8, R7, IP + 2);
    code.turn_16(R8);
    code.jump_if(R8, Below, HEADERS - i32::from(IP), PASS);
    // The lengths agree. A frame may be longer only if it is a short one that had to be filled up.
    code.load(Half, R1, R7, UDP + 4);
    code.turn_16(R1);
    code.compute(Add, R1, 20);
    code.jump_if(R1, NotEqual, R8, PASS);
    code.load(Word, R1, R6, RECORD_LENGTH);
    code.compute(Subtract, R1, i32::from(IP));
    code.jump_if(R1, Equal, R8, "lengths");
    code.jump_if(R1, Below, R8, PASS);
    code.jump_if(R1, Above, SHORTEST, PASS);
    code.label("lengths");

    // RTP of version 2, with nothing between header and payload, and no padding behind it.
    code.load(Byte, R1, R7, RTP);
    code.jump_if(R1, Equal, 0x80, "plain");
    code.compute(And, R1, 0xc0);
    code.jump_if(R1, NotEqual, 0x80, PASS);
    code.set(R8, TOO_LONG);
    code.label("plain");
    code.store(Double, R10, LENGTH, R8);
    code.load(Byte, R1, R7, RTP + 1);
    code.compute(And, R1, 0x7f);
    code.store(Double, R10, PAYLOAD_TYPE, R1);
    code.load(Half, R1, R7, RTP + 2);
    code.turn_16(R1);
    code.store(Double, R10, SEQUENCE, R1);
    code.load(Word, R1, R7, RTP + 4);
    code.turn_32(R1);
    code.store(Double, R10, TIMESTAMP, R1);
    code.load(Word, R1, R7, RTP + 8);
    code.store(Word, R10, PACKET_SSRC, R1);

    // The key, as the index has it.
    code.load(Word, R1, R7, IP + 12);
    code.store(Word, R10, PACKET_ADDRESSES, R1);
    code.load(Word, R1, R7, IP + 16);
    code.store(Word, R10, PACKET_ADDRESSES + 4, R1);
    code.load(Word, R1, R7, UDP);
    code.store(Word, R10, PACKET_PORTS, R1);
}

/// `R7` is the start of the frame, `R8` its end, and `R1` what has to be before that.
fn reload(code: &mut Code) {
    code.load(Word, R7, R6, RECORD_DATA);
    code.load(Word, R8, R6, RECORD_END);
    code.set(R1, R7);
    code.compute(Add, R1, HEADERS);
}

fn find_slot(code: &mut Code, index: RawFd, slots: RawFd) {
    code.load_map(R1, index);
    code.set(R2, R10);
    code.compute(Add, R2, i32::from(PACKET_ADDRESSES));
    code.call(MAP_LOOKUP);
    code.jump_if(R0, Equal, 0, PASS);
    code.load(Word, R1, R0, 0);
    code.store(Word, R10, SLOT_NUMBER, R1);
    code.load_map(R1, slots);
    code.set(R2, R10);
    code.compute(Add, R2, i32::from(SLOT_NUMBER));
    code.call(MAP_LOOKUP);
    code.jump_if(R0, Equal, 0, PASS);
    code.set(R9, R0);
}

/// Takes the slot. Packets of one stream come in on one CPU, but for moments in which that changes, so there is nobody to wait for
/// as a rule; if there is somebody for long, the packet goes to the sockets.
///
/// There is no loop in the program: a verifier that does not trust whoever loads it (without CAP_PERFMON) looks at all ways through
/// one, and gives up.
fn lock(code: &mut Code) {
    for _ in 0..MOST_TRIES {
        // As if it were free: what is at work on it, or closed, is another number than that.
        code.load(Double, R0, R9, at(slot::LOCK));
        code.compute(And, R0, -2);
        code.set(R8, R0);
        code.set(R1, R0);
        code.compute(Add, R1, 1);
        code.compare_and_exchange(R9, at(slot::LOCK), R1);
        code.jump_if(R0, Equal, R8, "locked");
    }
    code.jump(PASS);
    code.label("locked");
}

fn unlock(code: &mut Code) {
    code.set(R1, 1);
    code.fetch_and_add(R9, at(slot::LOCK), R1);
}

/// Whether this is the next packet of the stream that the slot is for.
fn check(code: &mut Code) {
    code.load(Double, R1, R10, PACKET_ADDRESSES);
    code.load(Double, R2, R9, at(slot::ADDRESSES));
    code.jump_if(R1, NotEqual, R2, UNLOCK_AND_PASS);
    // Ports and SSRC beside one another, as in the slot.
    code.load(Double, R1, R10, PACKET_PORTS);
    code.load(Double, R2, R9, at(slot::PORTS));
    code.jump_if(R1, NotEqual, R2, UNLOCK_AND_PASS);

    // By where the way back leads: an address can be written by anybody who reaches another interface.
    code.load(Word, R1, R6, RECORD_INTERFACE);
    code.load(Double, R2, R9, at(slot::INGRESS));
    code.jump_if(R1, NotEqual, R2, UNLOCK_AND_PASS);

    find_payload(code, slot::PAYLOADS, ["low", "known"]);
    find_payload(code, slot::OTHERS, ["low other", CLOSE_AND_PASS]);
    code.jump(UNLOCK_AND_PASS);
    code.label("known");

    // It has to fit through where it goes: what the route allows, and what the interface does.
    code.load(Double, R1, R10, LENGTH);
    code.load(Double, R2, R9, at(slot::LIMIT));
    code.jump_if(R1, Above, R2, CLOSE_AND_PASS);
    code.store_number(Word, R10, MTU, 0);
    code.set(R1, R6);
    code.load(Word, R2, R9, at(slot::NEW_PORTS) + 4);
    code.set(R3, R10);
    code.compute(Add, R3, i32::from(MTU));
    code.set(R4, 0);
    code.set(R5, 0);
    code.call(CHECK_MTU);
    code.jump_if(R0, NotEqual, 0, CLOSE_AND_PASS);

    // RFC 3550 A.1, as `Sequence::extend`: ahead by less than MAX_DROPOUT, or late by MAX_MISORDER at most.
    code.load(Double, R7, R9, at(slot::HIGHEST));
    code.load(Double, R1, R10, SEQUENCE);
    code.compute(Subtract, R1, R7);
    code.compute(And, R1, 0xffff);
    code.jump_if(R1, Above, i32::from(u16::MAX - MAX_MISORDER), "late");
    code.jump_if(R1, Above, i32::from(MAX_DROPOUT) - 1, UNLOCK_AND_PASS);
    // What is above the 16 bits counts by itself how often they began anew.
    code.compute(Add, R7, R1);
    code.store(Double, R9, at(slot::HIGHEST), R7);
    code.label("late");
}

/// Jumps to the second label if the packet's payload type is in this set.
fn find_payload(code: &mut Code, set: usize, [low, found]: [Label; 2]) {
    code.load(Double, R1, R10, PAYLOAD_TYPE);
    code.load(Double, R2, R9, at(set));
    code.jump_if(R1, Below, 64, low);
    code.load(Double, R2, R9, at(set + 1));
    code.label(low);
    code.compute(And, R1, 63);
    code.compute(ShiftRight, R2, R1);
    code.compute(And, R2, 1);
    code.jump_if(R2, NotEqual, 0, found);
}

/// Counts the packet, as `Watch::measure` does (RFC 3550 A.8).
fn count(code: &mut Code) {
    code.load(Double, R1, R9, at(slot::PACKETS));
    code.compute(Add, R1, 1);
    code.store(Double, R9, at(slot::PACKETS), R1);
    code.load(Double, R1, R9, at(slot::BYTES));
    code.load(Double, R2, R10, LENGTH);
    code.compute(Subtract, R2, HEADERS - i32::from(IP));
    code.compute(Add, R1, R2);
    code.store(Double, R9, at(slot::BYTES), R1);
    code.call(KTIME_GET_NS);
    code.store(Double, R9, at(slot::LAST), R0);

    // Ticks since the origin: those of whole seconds, and those of the rest.
    code.load(Double, R1, R9, at(slot::ORIGIN));
    code.compute(Subtract, R0, R1);
    code.load(Word, R3, R9, at(slot::CLOCK));
    code.set(R1, R0);
    code.compute(Divide, R1, 1_000_000_000);
    code.compute(Multiply, R1, R3);
    code.compute(Remainder, R0, 1_000_000_000);
    code.compute(Multiply, R0, R3);
    code.compute(Divide, R0, 1_000_000_000);
    code.compute(Add, R1, R0);
    code.load(Double, R2, R10, TIMESTAMP);
    code.compute_32(Subtract, R1, R2);
    // `R1` is the transit time, `R2` that of the packet before.
    code.load(Double, R2, R9, at(slot::TRANSIT));
    code.store(Double, R9, at(slot::TRANSIT), R1);
    code.compute_32(Subtract, R1, R2);
    // Its sign is in bit 31; to bit 63, for the jump.
    code.set(R2, R1);
    code.compute(ShiftLeft, R2, 32);
    code.jump_if(R2, NotLess, 0, "positive");
    code.compute_32(Negate, R1, 0);
    code.label("positive");
    // The sender's timestamps jumped.
    code.compute(Multiply, R3, FAR);
    code.jump_if(R1, Above, R3, "counted");
    // jitter += difference - (jitter + 8) / 16
    code.load(Double, R2, R9, at(slot::JITTER));
    code.set(R3, R2);
    code.compute(Add, R3, 8);
    code.compute(ShiftRight, R3, 4);
    code.compute(Subtract, R2, R3);
    code.compute(Add, R2, R1);
    code.store(Double, R9, at(slot::JITTER), R2);
    code.load(Double, R1, R9, at(slot::JITTER_MAX));
    code.jump_if(R2, Below, R1, "counted");
    code.store(Double, R9, at(slot::JITTER_MAX), R2);
    code.label("counted");

    // What is needed after the lock.
    code.load(Double, R1, R9, at(slot::NEW_ADDRESSES));
    code.store(Double, R10, NEW_ADDRESSES, R1);
    code.load(Double, R1, R9, at(slot::NEW_PORTS));
    code.store(Double, R10, NEW_PORTS, R1);
    code.load(Word, R8, R9, at(slot::CLOCK) + 4);
}

/// Gives the packet its new addresses and ports, and what else a packet has that was sent by this machine.
fn rewrite(code: &mut Code) {
    // UDP's checksum first, by what changes: it may be whole, or begun (its pseudo-header, which has the addresses), or zero, which
    // stays so.
    code.set(R1, R10);
    code.compute(Add, R1, i32::from(PACKET_ADDRESSES));
    code.set(R2, 8);
    code.set(R3, R10);
    code.compute(Add, R3, i32::from(NEW_ADDRESSES));
    code.set(R4, 8);
    code.set(R5, 0);
    code.call(CSUM_DIFF);
    code.set(R4, R0);
    code.set(R1, R6);
    code.set(R2, i32::from(UDP) + 6);
    code.set(R3, 0);
    code.set(R5, PSEUDO_HEADER | ZERO_IS_NONE);
    code.call(L4_CSUM_REPLACE);
    code.set(R1, R6);
    code.set(R2, i32::from(UDP) + 6);
    code.load(Word, R3, R10, PACKET_PORTS);
    code.load(Word, R4, R10, NEW_PORTS);
    code.set(R5, 4 | ZERO_IS_NONE);
    code.call(L4_CSUM_REPLACE);

    // The calls may have moved the packet.
    code.load(Word, R7, R6, RECORD_DATA);
    code.load(Word, R2, R6, RECORD_END);
    code.set(R1, R7);
    code.compute(Add, R1, HEADERS);
    code.jump_if(R1, Above, R2, "drop");
    // What service it wants; no identification, as it must not be fragmented; as many hops as a new packet has.
    code.store(Byte, R7, IP + 1, R8);
    code.store_number(Half, R7, IP + 4, 0);
    code.store_number(Byte, R7, IP + 6, 0x40);
    code.store_number(Byte, R7, IP + 7, 0);
    code.store_number(Byte, R7, IP + 8, 64);
    code.store_number(Half, R7, IP + 10, 0);
    code.load(Word, R1, R10, NEW_ADDRESSES);
    code.store(Word, R7, IP + 12, R1);
    code.load(Word, R1, R10, NEW_ADDRESSES + 4);
    code.store(Word, R7, IP + 16, R1);
    code.load(Word, R1, R10, NEW_PORTS);
    code.store(Word, R7, UDP, R1);
    // IP's checksum anew.
    code.set(R1, 0);
    code.set(R2, 0);
    code.set(R3, R7);
    code.compute(Add, R3, i32::from(IP));
    code.set(R4, 20);
    code.set(R5, 0);
    code.call(CSUM_DIFF);
    for _ in 0..2 {
        code.set(R1, R0);
        code.compute(ShiftRight, R1, 16);
        code.compute(And, R0, 0xffff);
        code.compute(Add, R0, R1);
    }
    code.compute(ExclusiveOr, R0, 0xffff);
    code.store(Half, R7, IP + 10, R0);
}

/// Out, with the addresses of Ethernet that the neighbour on the way has. No setting of the machine has to allow forwarding for that.
fn send(code: &mut Code) {
    code.load(Word, R1, R10, NEW_PORTS + 4);
    code.set(R2, 0);
    code.set(R3, 0);
    code.set(R4, 0);
    code.call(REDIRECT_NEIGH);
    code.exit();
    // A packet that is counted and cannot be touched: there was no memory. Nothing of it leaves.
    code.label("drop");
    code.set(R0, TCX_DROP);
    code.exit();
}

/// Where a word of a slot is, in bytes.
const fn at(word: usize) -> i16 {
    (word * size_of::<u64>()) as i16
}

/// To the sockets, and programs after this one.
const PASS: Label = "pass";
const UNLOCK_AND_PASS: Label = "unlock and pass";
/// The same, and nothing of the stream is forwarded any more.
const CLOSE_AND_PASS: Label = "close and pass";

// Where things are in a frame.
const ETHER_TYPE: i16 = 12;
const IP: i16 = 14;
const UDP: i16 = IP + 20;
const RTP: i16 = UDP + 8;
/// All of them.
const HEADERS: i32 = RTP as i32 + 12;
/// What Ethernet fills up shorter packets to, without its own header.
const SHORTEST: i32 = 46;
/// More than IP's length can be.
const TOO_LONG: i32 = 0x1_0000;

// Where things are on the stack. The ones of the packet are in the order of a slot.
const PACKET_ADDRESSES: i16 = -16;
const PACKET_PORTS: i16 = -8;
const PACKET_SSRC: i16 = -4;
const SLOT_NUMBER: i16 = -20;
const MTU: i16 = -24;
const NEW_ADDRESSES: i16 = -32;
const NEW_PORTS: i16 = -40;
const LENGTH: i16 = -48;
const PAYLOAD_TYPE: i16 = -56;
const SEQUENCE: i16 = -64;
const TIMESTAMP: i16 = -72;

// Where things are in a packet's record, `__sk_buff` of linux/bpf.h.
const RECORD_LENGTH: i16 = 0;
/// Zero: for this machine.
const RECORD_KIND: i16 = 4;
const RECORD_VLAN: i16 = 20;
const RECORD_INTERFACE: i16 = 40;
const RECORD_DATA: i16 = 76;
const RECORD_END: i16 = 80;
/// The length of each of several packets in one.
const RECORD_SEGMENT: i16 = 176;

// Functions of the kernel, linux/bpf.h; none of them is for programs of the GPL only.
const MAP_LOOKUP: i32 = 1;
const KTIME_GET_NS: i32 = 5;
const L4_CSUM_REPLACE: i32 = 11;
const CSUM_DIFF: i32 = 28;
const SKB_PULL_DATA: i32 = 39;
const REDIRECT_NEIGH: i32 = 152;
const CHECK_MTU: i32 = 163;
const PSEUDO_HEADER: i32 = 0x10;
const ZERO_IS_NONE: i32 = 0x20;

// What a program can say.
const TCX_NEXT: i32 = -1;
const TCX_DROP: i32 = 2;

/// The lock of a closed slot.
const CLOSED: i32 = slot::CLOSED as i32;

/// To take the lock, which is held for a tenth of a microsecond.
const MOST_TRIES: usize = 8;

// As in `media::watch`.
const MAX_DROPOUT: u16 = crate::media::watch::MAX_DROPOUT;
const MAX_MISORDER: u16 = crate::media::watch::MAX_MISORDER;
const FAR: i32 = crate::media::watch::FAR as i32;
