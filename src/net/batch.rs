//! Many datagrams per system call: `recvmmsg`, `sendmmsg`, and the error queue where ICMP errors end up.
//!
//! All `unsafe` of the crate is here: the standard library and our dependencies send and receive one
//! datagram per call. What leaves this file is slices and [`SocketAddr`]s.

#![expect(
    unsafe_code,
    reason = "batched system calls have no safe face; each block says why it is sound"
)]

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

use crate::net::icmp;
use crate::net::trains;
use crate::net::trains::Run;

/// Datagrams received per call at most.
pub(super) const RECEIVE_BATCH: usize = 64;

/// Datagrams sent per call at most.
pub(super) const SEND_BATCH: usize = 256;

/// Room for one datagram, in bytes: no UDP payload is longer.
const ROOM: usize = 65_536;

/// Bytes from the end of a buffer to the next one. 17 cache lines keep the heads of the buffers from
/// falling into the same sets of the processor's cache.
const GAP: usize = 17 * 64;

/// A socket address as the kernel writes it.
#[repr(C)]
#[derive(Clone, Copy)]
union Name {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

/// Buffers that one `recvmmsg` fills. Made once per thread; nothing is cleared between calls.
pub(super) struct Inbound {
    /// `RECEIVE_BATCH` buffers of `room` bytes, [`GAP`] between them, owned.
    buffers: *mut [u8],
    /// Room for one datagram, in bytes; of a longer one the rest is lost.
    room: usize,
    /// One per buffer, owned.
    names: *mut [Name],
    /// Points into `buffers`, owned.
    parts: *mut [libc::iovec],
    /// Where the kernel writes when the first datagram came, owned. Only the first is asked for: it has waited longest, and
    /// each that is asked costs the kernel a copy.
    control: *mut Control,
    /// Points into `names`, `parts` and `control`.
    headers: Vec<libc::mmsghdr>,
    /// Datagrams that the last call brought.
    count: usize,
}

/// Room for a control message with one time, aligned for its head.
type Control = [u64; 8];

impl Inbound {
    /// Allocates buffers for datagrams of any length; the kernel maps them as they are first used.
    pub(super) fn new() -> Self {
        Self::with_room(ROOM)
    }

    /// As [`new`](Self::new), with `room` bytes for each datagram.
    pub(super) fn with_room(room: usize) -> Self {
        let stride = room + GAP;
        let buffers = Box::into_raw(vec![0_u8; RECEIVE_BATCH * stride].into_boxed_slice());
        let names = Box::into_raw(vec![Name::empty(); RECEIVE_BATCH].into_boxed_slice());
        let parts: Box<[libc::iovec]> = (0..RECEIVE_BATCH)
            .map(|index| libc::iovec {
                // `index * stride + room` is within the allocation, so wrapping never happens.
                iov_base: buffers.cast::<u8>().wrapping_add(index * stride).cast(),
                iov_len: room,
            })
            .collect();
        let parts = Box::into_raw(parts);
        let control = Box::into_raw(Box::new([0; 8]));
        let headers = (0..RECEIVE_BATCH)
            .map(|index| {
                header(
                    names.cast::<Name>().wrapping_add(index),
                    Name::ROOM,
                    parts.cast::<libc::iovec>().wrapping_add(index),
                )
            })
            .collect();
        Self {
            buffers,
            room,
            names,
            parts,
            control,
            headers,
            count: 0,
        }
    }

    /// Receives what is there, up to [`RECEIVE_BATCH`] datagrams, without waiting.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.receive_some(socket, RECEIVE_BATCH)
    }

    /// As [`receive`](Self::receive), but `most` datagrams at most.
    pub(super) fn receive_some(
        &mut self,
        socket: BorrowedFd<'_>,
        most: usize,
    ) -> io::Result<usize> {
        if let Some(first) = self.headers.first_mut() {
            // The last call wrote there how much it used.
            first.msg_hdr.msg_control = self.control.cast();
            first.msg_hdr.msg_controllen = size_of::<Control>();
        }
        // SAFETY: each header points to a name and a part that this value owns and that nothing
        // borrows while `&mut self` is held; each part points to `room` bytes of its own, and the first header besides
        // to a control buffer of the length that it says, which this value owns too.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                most.min(self.headers.len()) as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error());
        self.count = count.as_ref().copied().unwrap_or(0);
        count
    }

    /// When the first datagram of the last [`receive`](Self::receive) came, from the epoch on; `None` if the socket was
    /// not [asked to say](stamp) or nothing came.
    pub(super) fn arrived(&self) -> Option<Duration> {
        let message = &raw const self.headers.first().filter(|_| self.count > 0)?.msg_hdr;
        // SAFETY: `message` points to a header of ours; the kernel filled `control` up to the length that it wrote there, all
        // of it is initialised, and the CMSG macros stay within it.
        let time = unsafe {
            let mut control = libc::CMSG_FIRSTHDR(message);
            loop {
                let entry = control.as_ref()?;
                match (entry.cmsg_level, entry.cmsg_type) {
                    (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                        break libc::CMSG_DATA(control)
                            .cast::<libc::timespec>()
                            .read_unaligned();
                    }
                    _ => control = libc::CMSG_NXTHDR(message, control),
                }
            }
        };
        let seconds = u64::try_from(time.tv_sec).ok()?;
        Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
    }

    /// The `index`th datagram of the last [`receive`](Self::receive), and who sent it. To be asked
    /// once for each that was received; `None` if its address is neither IPv4 nor IPv6.
    pub(super) fn take(&mut self, index: usize) -> Option<(SocketAddr, &[u8])> {
        let (source, room, length) = self.take_room(index)?;
        Some((source, room.get(..length)?))
    }

    /// As [`take`](Self::take), with the whole room that the datagram is in: to be changed and made longer in place.
    /// Its first bytes, as many as the number says, are the datagram.
    pub(super) fn take_room(&mut self, index: usize) -> Option<(SocketAddr, &mut [u8], usize)> {
        let header = self.headers.get_mut(index)?;
        // The kernel wrote the length of the address there; the next call reads it as the room.
        header.msg_hdr.msg_namelen = Name::ROOM;
        let length = (header.msg_len as usize).min(self.room);
        // SAFETY: `index` is below RECEIVE_BATCH, for `headers` has that many; the bytes were
        // zeroed when allocated, so all are initialised; the borrow lasts as long as that of
        // `self`, during which neither the kernel is called nor another borrow of them made.
        let (name, room) = unsafe {
            let start = index * (self.room + GAP);
            let buffer = self.buffers.cast::<u8>().add(start);
            (
                *self.names.cast::<Name>().add(index),
                std::slice::from_raw_parts_mut(buffer, self.room),
            )
        };
        Some((name.read()?, room, length))
    }

    /// The first `length` bytes of the `index`th room.
    pub(super) fn bytes(&self, index: usize, length: usize) -> &[u8] {
        let index = index.min(RECEIVE_BATCH - 1);
        // SAFETY: as in `take_room`, and nothing is changed while `&self` is held.
        unsafe {
            let buffer = self.buffers.cast::<u8>().add(index * (self.room + GAP));
            std::slice::from_raw_parts(buffer, length.min(self.room))
        }
    }
}

impl Drop for Inbound {
    fn drop(&mut self) {
        // SAFETY: the four came from `Box::into_raw` in `new` and are freed only here.
        unsafe {
            drop(Box::from_raw(self.buffers));
            drop(Box::from_raw(self.names));
            drop(Box::from_raw(self.parts));
            drop(Box::from_raw(self.control));
        }
    }
}

/// The arrays that one `sendmmsg` reads.
pub(super) struct Outbound {
    runs: Vec<Run>,
    /// One per run.
    names: Vec<Name>,
    /// One per message.
    parts: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    /// One per run, where the kernel reads where to cut a train.
    cuts: Vec<Cut>,
}

/// A control message: after how many bytes a train is to be cut, again and again.
#[repr(C)]
struct Cut {
    head: libc::cmsghdr,
    /// Where `CMSG_DATA` of the head is.
    length: u16,
}

impl Outbound {
    pub(super) fn new() -> Self {
        Self {
            runs: Vec::with_capacity(SEND_BATCH),
            names: Vec::with_capacity(SEND_BATCH),
            parts: Vec::with_capacity(SEND_BATCH),
            headers: Vec::with_capacity(SEND_BATCH),
            cuts: Vec::with_capacity(SEND_BATCH),
        }
    }

    /// Sends the first [`SEND_BATCH`] of `messages` without waiting, and says how many went. An error
    /// is always the first message's, or its train's: `has_trains` says whether those side by side that are alike go as [trains].
    pub(super) fn send<'m>(
        &mut self,
        socket: BorrowedFd<'_>,
        messages: impl Iterator<Item = (SocketAddr, &'m [u8])>,
        has_trains: bool,
    ) -> io::Result<usize> {
        self.runs.clear();
        self.names.clear();
        self.parts.clear();
        for (remote, bytes) in messages.take(SEND_BATCH) {
            self.parts.push(libc::iovec {
                // The kernel only reads what a sent part points to.
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            });
            match self.runs.last_mut() {
                Some(run) if has_trains && run.takes(remote, bytes.len()) => run.count += 1,
                _ => {
                    let (name, room) = Name::write(remote);
                    self.names.push(name);
                    self.runs.push(Run::new(remote, bytes.len(), room));
                }
            }
        }
        self.write_headers();
        // SAFETY: the headers point into `names`, `parts` and `cuts`, which are not touched between here and
        // there; the parts point to slices that live for `'m`, which outlasts this call.
        let count = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        let sent = self.headers.iter().take(count);
        Ok(sent.map(|header| header.msg_hdr.msg_iovlen).sum())
    }

    /// A header for each train, and for each other message.
    fn write_headers(&mut self) {
        self.headers.clear();
        self.cuts.clear();
        let lengths = self.runs.iter().map(|run| run.length);
        self.cuts.extend(lengths.map(Cut::after));
        let names = self.names.as_mut_ptr();
        let parts = self.parts.as_mut_ptr();
        let cuts = self.cuts.as_mut_ptr();
        let mut first = 0;
        for (index, run) in self.runs.iter().enumerate() {
            let name = names.wrapping_add(index);
            if run.count >= trains::LEAST {
                let mut header = header(name, run.room, parts.wrapping_add(first));
                header.msg_hdr.msg_iovlen = run.count;
                header.msg_hdr.msg_control = cuts.wrapping_add(index).cast();
                header.msg_hdr.msg_controllen = size_of::<Cut>();
                self.headers.push(header);
            } else {
                for part in first..first + run.count {
                    let header = header(name, run.room, parts.wrapping_add(part));
                    self.headers.push(header);
                }
            }
            first += run.count;
        }
    }
}

impl Cut {
    /// `length` is read only of trains, where it is no more than [`trains::LONGEST`].
    fn after(length: usize) -> Self {
        // SAFETY: a `cmsghdr` is integers, and zero is a value of each.
        let mut head: libc::cmsghdr = unsafe { mem::zeroed() };
        head.cmsg_len = mem::offset_of!(Self, length) + size_of::<u16>();
        head.cmsg_level = libc::SOL_UDP;
        head.cmsg_type = libc::UDP_SEGMENT;
        Self {
            head,
            length: length as u16,
        }
    }
}

/// Takes one error from the socket's error queue. `Ok(Some(remote))`: a datagram of ours to `remote`
/// did not get there, by the word of ICMP. `Ok(None)`: an error of another kind. `Err` with
/// `WouldBlock`: the queue is empty.
pub(super) fn take_error(socket: BorrowedFd<'_>) -> io::Result<Option<SocketAddr>> {
    let mut name = Name::empty();
    // Aligned for `cmsghdr`, and room for the error and the address of who reported it.
    let mut control = [0_u64; 32];
    let mut part = libc::iovec {
        iov_base: ptr::null_mut(),
        iov_len: 0,
    };
    let mut message = header(&raw mut name, Name::ROOM, &raw mut part).msg_hdr;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control);
    // SAFETY: all that `message` points to are locals that outlive the call, of the given sizes.
    let result = unsafe {
        libc::recvmsg(
            socket.as_raw_fd(),
            &raw mut message,
            libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel filled `control` and set its length; the CMSG macros stay within it.
    let error = unsafe {
        let mut control = libc::CMSG_FIRSTHDR(&raw const message);
        loop {
            let Some(entry) = control.as_ref() else {
                return Ok(None);
            };
            match (entry.cmsg_level, entry.cmsg_type) {
                (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR) => {
                    break libc::CMSG_DATA(control)
                        .cast::<libc::sock_extended_err>()
                        .read_unaligned();
                }
                _ => control = libc::CMSG_NXTHDR(&raw const message, control),
            }
        }
    };
    Ok(icmp::is_unreachable(&error).then(|| name.read()).flatten())
}

/// Has the kernel note when each datagram came.
pub(super) fn stamp(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// Sets an option whose value is an `int`.
pub(super) fn set_option(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the value is a local of the size that is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Datagrams that the kernel dropped because the socket's receive buffer was full, since it was opened.
pub(super) fn receive_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    /// `SK_MEMINFO_DROPS` of `linux/sock_diag.h`.
    const DROPS: usize = 8;
    let mut values = [0_u32; DROPS + 1];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: `values` is a local of the size that `length` says.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let [.., drops] = values;
    Ok(drops)
}

/// A message of one part.
fn header(name: *mut Name, room: libc::socklen_t, part: *mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: a `mmsghdr` is integers and pointers, and all zeroes is a value of each.
    let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
    header.msg_hdr.msg_name = name.cast();
    header.msg_hdr.msg_namelen = room;
    header.msg_hdr.msg_iov = part;
    header.msg_hdr.msg_iovlen = 1;
    header
}

impl Name {
    /// What there is room for, in bytes.
    const ROOM: libc::socklen_t = size_of::<Self>() as libc::socklen_t;

    fn empty() -> Self {
        // SAFETY: socket addresses are integers, and zero is a value of each.
        unsafe { mem::zeroed() }
    }

    /// The address and its length, in bytes.
    fn write(address: SocketAddr) -> (Self, libc::socklen_t) {
        let mut name = Self::empty();
        match address {
            SocketAddr::V4(address) => {
                name.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from_ne_bytes(address.ip().octets()),
                    },
                    sin_zero: [0; 8],
                };
                (name, size_of::<libc::sockaddr_in>() as libc::socklen_t)
            }
            SocketAddr::V6(address) => {
                name.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: libc::in6_addr {
                        s6_addr: address.ip().octets(),
                    },
                    sin6_scope_id: address.scope_id(),
                };
                (name, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
            }
        }
    }

    /// The address. The flow label is left out: it is no part of who the peer is.
    fn read(&self) -> Option<SocketAddr> {
        // SAFETY: every variant begins with the family, and all bytes are initialised.
        match libc::c_int::from(unsafe { self.family }) {
            libc::AF_INET => {
                // SAFETY: the family says which variant it is.
                let v4 = unsafe { self.v4 };
                let address = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddrV4::new(address, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: the family says which variant it is.
                let v6 = unsafe { self.v6 };
                let address = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                Some(SocketAddrV6::new(address, port, 0, v6.sin6_scope_id).into())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn an_address_reads_back_as_it_was_written() {
        for text in ["192.0.2.7:5060", "[2001:db8::7]:5061", "[fe80::1%3]:9"] {
            let address: SocketAddr = text.parse().unwrap();

            assert_eq!(Name::write(address).0.read(), Some(address));
        }
    }

    #[test]
    fn a_batch_arrives_as_it_was_sent() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let (sender, receiver) = (bind(any), bind(any));
            let remote = receiver.local_addr().unwrap();
            let messages: Vec<Vec<u8>> = vec![vec![], vec![1; 3], vec![2; 60_000]];

            let sent = Outbound::new()
                .send(
                    sender.as_fd(),
                    messages.iter().map(|bytes| (remote, bytes.as_slice())),
                    true,
                )
                .unwrap();
            let mut inbound = Inbound::new();
            let received = inbound.receive(receiver.as_fd()).unwrap();

            assert_eq!((sent, received), (3, 3));
            for (index, bytes) in messages.iter().enumerate() {
                let from = sender.local_addr().unwrap();
                assert_eq!(inbound.take(index), Some((from, bytes.as_slice())));
            }
        }
    }

    #[test]
    fn a_train_arrives_as_datagrams_among_others_and_in_order() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let (sender, receiver, other) = (bind(any), bind(any), bind(any));
            let [remote, elsewhere] =
                [&receiver, &other].map(|socket| socket.local_addr().unwrap());
            let mut messages: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
            // A pair, a train that is full and what is left of it, one longer than a train's may be, and others.
            for (to, length, count) in [
                (remote, 300, 2),
                (remote, 400, trains::MOST + 3),
                (elsewhere, 400, 4),
                (remote, trains::LONGEST + 1, 3),
                (remote, 0, 3),
                (remote, trains::LONGEST, 3),
            ] {
                messages.extend((0..count).map(|number| (to, vec![number as u8; length])));
            }
            let mut outbound = Outbound::new();

            let all = messages.iter().map(|(to, bytes)| (*to, bytes.as_slice()));
            let sent = outbound.send(sender.as_fd(), all, true).unwrap();

            assert_eq!(sent, messages.len());
            // The pair, one and one, one, and three of each of the others but the last.
            assert_eq!(outbound.headers.len(), 2 + 1 + 1 + 1 + 3 + 3 + 1);
            for (socket, to) in [(&receiver, remote), (&other, elsewhere)] {
                let mut inbound = Inbound::new();
                let expected = messages.iter().filter(|(remote, _)| *remote == to);
                let count = inbound.receive(socket.as_fd()).unwrap();
                assert_eq!(count, expected.clone().count());
                for (index, (_, bytes)) in expected.enumerate() {
                    let (from, heard) = inbound.take(index).unwrap();
                    assert_eq!(from, sender.local_addr().unwrap());
                    assert!(heard == bytes, "{index}: {} bytes", heard.len());
                }
            }
        }
    }

    #[test]
    fn the_first_of_a_batch_says_when_it_came() {
        let (sender, receiver) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        let remote = receiver.local_addr().unwrap();
        let mut inbound = Inbound::new();
        let arrived = |inbound: &mut Inbound| {
            sender.send_to(b"x", remote).unwrap();
            assert_eq!(inbound.receive(receiver.as_fd()).unwrap(), 1);
            inbound.arrived()
        };

        assert_eq!(arrived(&mut inbound), None, "nobody asked");
        stamp(receiver.as_fd()).unwrap();
        let times: Vec<_> = (0..3).filter_map(|_| arrived(&mut inbound)).collect();

        let now = crate::net::clock::wall();
        assert!(times.is_sorted() && times.len() == 3, "{times:?}");
        assert!(
            times
                .iter()
                .all(|time| now - *time < Duration::from_secs(10))
        );
        assert!(inbound.receive(receiver.as_fd()).is_err());
        assert_eq!(inbound.arrived(), None, "nothing came");
    }

    #[test]
    fn nothing_to_receive_would_block() {
        let receiver = bind("127.0.0.1:0");

        let error = Inbound::new().receive(receiver.as_fd()).unwrap_err();

        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_closed_port_is_reported_with_its_address() {
        let (sender, gone) = (bind("127.0.0.1:0"), bind("127.0.0.1:0"));
        let remote = gone.local_addr().unwrap();
        drop(gone);
        set_option(sender.as_fd(), libc::SOL_IP, libc::IP_RECVERR, 1).unwrap();

        let messages = [(remote, b"anybody?".as_slice())];
        Outbound::new()
            .send(sender.as_fd(), messages.into_iter(), true)
            .unwrap();

        assert_eq!(take_error(sender.as_fd()).unwrap(), Some(remote));
        assert_eq!(
            take_error(sender.as_fd()).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
    }

    fn bind(address: &str) -> UdpSocket {
        UdpSocket::bind(address).unwrap()
    }
}
