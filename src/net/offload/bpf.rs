//! The system calls of eBPF (bpf(2)): maps, programs, and where they are attached.
//!
//! One of two files with `unsafe` code: the attributes of a call name buffers by their addresses, and a map that is shared with the
//! kernel is memory of its own. What leaves this file is safe: descriptors that close themselves, copies, and words that are atomic.

#![expect(
    unsafe_code,
    reason = "no crate offers these calls without a loader for ELF objects around them"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::slice;
use std::sync::atomic::AtomicU64;

use crate::net::offload::asm::Instruction;

/// A map from keys to values of fixed lengths; it has room for so many from the start.
pub(super) struct Map {
    descriptor: OwnedFd,
    key: usize,
    value: usize,
}

impl Map {
    /// A hash table.
    pub(super) fn new(key: usize, value: usize, entries: u32) -> io::Result<Self> {
        Ok(Self {
            descriptor: create(MAP_HASH, (key, value), entries, 0)?,
            key,
            value,
        })
    }

    /// Enters a key that must not be there.
    pub(super) fn insert(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if key.len() != self.key || value.len() != self.value {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.call(UPDATE, key, value.as_ptr(), NO_EXIST)
    }

    /// Takes a key out.
    pub(super) fn remove(&self, key: &[u8]) -> io::Result<()> {
        if key.len() != self.key {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.call(DELETE, key, ptr::null(), 0)
    }

    /// For the assembler.
    pub(super) fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    fn call(
        &self,
        command: libc::c_int,
        key: &[u8],
        value: *const u8,
        flags: u64,
    ) -> io::Result<()> {
        let mut attributes = ElementAttributes {
            map: self.descriptor.as_raw_fd() as u32,
            padding: 0,
            key: key.as_ptr() as u64,
            value: value as u64,
            flags,
        };
        // SAFETY: the kernel reads as many bytes of key and value as the map was made for, and both were checked to be that long
        // by whoever called this; a null value is given where the command reads none.
        unsafe { bpf(command, &mut attributes) }.map(drop)
    }
}

/// An array of words that programs and this process have in common.
pub(super) struct SharedArray {
    descriptor: OwnedFd,
    start: *const AtomicU64,
    words: usize,
}

// SAFETY: `start` is memory that only this owns, that stays where it is until it is dropped, and that is read and written by atomic
// operations only.
unsafe impl Send for SharedArray {}
// SAFETY: the same.
unsafe impl Sync for SharedArray {}

impl SharedArray {
    /// All zeros: `entries` of `words` words each.
    pub(super) fn new(words: usize, entries: u32) -> io::Result<Self> {
        let size = words * size_of::<u64>();
        let descriptor = create(MAP_ARRAY, (4, size), entries, MMAPABLE)?;
        let words = words * entries as usize;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                words * size_of::<u64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                descriptor.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Self {
            descriptor,
            start: start.cast(),
            words,
        })
    }

    /// All words.
    pub(super) fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is that long, begins at a page, is never written but atomically by this process, and lives as long as
        // `self`. The kernel's program writes whole aligned words, too.
        unsafe { slice::from_raw_parts(self.start, self.words) }
    }

    /// For the assembler.
    pub(super) fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }
}

impl Drop for SharedArray {
    fn drop(&mut self) {
        // SAFETY: it was mapped by `new` with this length, and nothing borrows it any more.
        unsafe { libc::munmap(self.start.cast_mut().cast(), self.words * size_of::<u64>()) };
    }
}

/// Has the kernel check a program for tc, and take it. An error says what the kernel dislikes about it.
pub(super) fn load(code: &[Instruction]) -> io::Result<OwnedFd> {
    let mut log = vec![0_u8; LOG];
    let load = |log: &mut [u8]| {
        let mut attributes = LoadAttributes {
            kind: PROGRAM_OF_TC,
            count: code.len() as u32,
            code: code.as_ptr() as u64,
            licence: c"Dual MIT/GPL".as_ptr() as u64,
            log_level: u32::from(!log.is_empty()),
            log_size: log.len() as u32,
            log: if log.is_empty() {
                0
            } else {
                log.as_mut_ptr() as u64
            },
            kernel: 0,
            flags: 0,
            name: *b"strowger_media\0\0",
        };
        // SAFETY: `code` has `count` instructions, the licence ends with a zero byte, and `log` has `log_size` bytes.
        unsafe { open(LOAD, &mut attributes) }
    };
    // The log is asked for only when there is something in it: it does not change what is accepted, but what that costs.
    load(&mut []).or_else(|error| {
        load(&mut log).map_err(|_| {
            let end = log.iter().position(|byte| *byte == 0).unwrap_or(LOG);
            let text = String::from_utf8_lossy(log.get(..end).unwrap_or_default());
            let last: Vec<_> = text.lines().rev().take(LINES_OF_LOG).collect();
            if last.is_empty() {
                return error;
            }
            let last: Vec<_> = last.into_iter().rev().collect();
            io::Error::new(error.kind(), format!("{error}: {}", last.join("; ")))
        })
    })
}

/// Runs a program for what comes in at an interface, after others that are there, for as long as what is returned is open.
pub(super) fn attach(program: BorrowedFd<'_>, interface: u32) -> io::Result<OwnedFd> {
    let mut attributes = LinkAttributes {
        program: program.as_raw_fd() as u32,
        interface,
        kind: TCX_INGRESS,
        flags: 0,
        beside: 0,
        padding: 0,
        revision: 0,
    };
    // SAFETY: the attributes name no memory.
    unsafe { open(LINK, &mut attributes) }
}

/// Nanoseconds of the clock that programs read.
pub(super) fn clock() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a timespec; this clock is there on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Runs a program on one packet that came from nowhere; returns what it says, and the packet as it is then.
#[cfg(test)]
pub(super) fn try_out(program: BorrowedFd<'_>, packet: &[u8]) -> io::Result<(i32, Vec<u8>)> {
    let mut out = vec![0_u8; packet.len() + 256];
    let mut attributes = RunAttributes {
        program: program.as_raw_fd() as u32,
        result: 0,
        length: packet.len() as u32,
        length_out: out.len() as u32,
        packet: packet.as_ptr() as u64,
        packet_out: out.as_mut_ptr() as u64,
        repeat: 1,
        duration: 0,
    };
    // SAFETY: both buffers are as long as the attributes say.
    unsafe { bpf(RUN, &mut attributes) }?;
    out.truncate(attributes.length_out as usize);
    Ok((attributes.result as i32, out))
}

fn create(
    kind: u32,
    (key, value): (usize, usize),
    entries: u32,
    flags: u32,
) -> io::Result<OwnedFd> {
    let mut attributes = MapAttributes {
        kind,
        key: key as u32,
        value: value as u32,
        entries,
        flags,
        inner: 0,
        node: 0,
        name: *b"strowger_media\0\0",
    };
    // SAFETY: the attributes name no memory.
    unsafe { open(CREATE, &mut attributes) }
}

/// # Safety
///
/// `attributes` are those of `command`, what they point to is as long as they say, and the command returns a new descriptor.
unsafe fn open<A>(command: libc::c_int, attributes: &mut A) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let descriptor = unsafe { bpf(command, attributes) }?;
    // SAFETY: it was opened just now, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) })
}

/// # Safety
///
/// `attributes` are those of `command`, and what they point to is as long as they say.
unsafe fn bpf<A>(command: libc::c_int, attributes: &mut A) -> io::Result<libc::c_long> {
    let (start, length) = (ptr::from_mut(attributes), size_of::<A>());
    // SAFETY: `attributes` is that long, and the kernel takes what is beyond it for zeros; the rest is the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, start, length) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

#[repr(C)]
struct MapAttributes {
    kind: u32,
    key: u32,
    value: u32,
    entries: u32,
    flags: u32,
    inner: u32,
    node: u32,
    name: [u8; 16],
}

#[repr(C)]
struct ElementAttributes {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct LoadAttributes {
    kind: u32,
    count: u32,
    code: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel: u32,
    flags: u32,
    name: [u8; 16],
}

#[repr(C)]
struct LinkAttributes {
    program: u32,
    interface: u32,
    kind: u32,
    flags: u32,
    beside: u32,
    padding: u32,
    revision: u64,
}

#[cfg(test)]
#[repr(C)]
struct RunAttributes {
    program: u32,
    result: u32,
    length: u32,
    length_out: u32,
    packet: u64,
    packet_out: u64,
    repeat: u32,
    duration: u32,
}

// linux/bpf.h
const CREATE: libc::c_int = 0;
const UPDATE: libc::c_int = 2;
const DELETE: libc::c_int = 3;
const LOAD: libc::c_int = 5;
#[cfg(test)]
const RUN: libc::c_int = 10;
const LINK: libc::c_int = 28;
const MAP_HASH: u32 = 1;
const MAP_ARRAY: u32 = 2;
const NO_EXIST: u64 = 1;
const MMAPABLE: u32 = 1 << 10;
const PROGRAM_OF_TC: u32 = 3;
const TCX_INGRESS: u32 = 46;

/// Bytes of the verifier's log.
const LOG: usize = 1 << 20;

/// Lines of it that are told: the last ones say what is wrong.
const LINES_OF_LOG: usize = 6;
