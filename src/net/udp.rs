//! UDP in batches: the ports of one shard.
//!
//! ```text
//!   poll ──> receive: one recvmmsg per readable port ──> the engine, datagram by datagram
//!                                                              │ send: into the port's queue
//!   flush: one sendmmsg per port with something to say  <──────┘
//! ```
//!
//! A receive that brings less than it could has emptied the port, so it is not called again to hear
//! "nothing": one wake-up costs three system calls, however many datagrams it brings.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use bytes::Bytes;

use crate::net::batch;
use crate::net::batch::{Inbound, Outbound};
use crate::net::clock;
use crate::net::trains;
use crate::net::trains::Marshal;
use crate::sip::flow::{Flow, ListenerId, PeerId, Transport};

/// Messages that wait for a blocked socket at most; what comes beyond is dropped, as a router would.
/// SIP sends again what matters.
const QUEUE_LIMIT: usize = 4096;

/// How often a message is tried when the kernel reports an error. An ICMP error of an earlier
/// datagram shows up as the error of whatever is called next, so the first one may not be ours.
const TRIES: u32 = 3;

/// Errors taken from one port's error queue per wake-up at most.
const ERROR_BATCH: usize = 64;

/// The buffers and arrays of the batch calls; one per thread, shared by its ports.
pub struct Batches {
    inbound: Inbound,
    outbound: Outbound,
}

/// One bound UDP socket and what waits to be sent on it.
pub struct Port {
    socket: UdpSocket,
    listener: ListenerId,
    queue: VecDeque<Queued>,
    marshal: Marshal,
    /// Messages that are alike may go as [trains].
    has_trains: bool,
    is_blocked: bool,
}

/// A message that waits to be sent.
struct Queued {
    remote: SocketAddr,
    bytes: Bytes,
    train: u32,
}

/// The near end of a flow.
#[derive(Debug, Clone, Copy)]
pub struct Here(ListenerId);

/// What one receive brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Datagrams, to be had by [`Batches::datagram`] with an index below this.
    pub count: usize,
    /// Whether there may be more.
    pub is_more: bool,
    /// How long the first one, which came before the others, had waited; `None` if that is not known.
    pub wait: Option<Duration>,
}

/// What happened to the messages sent, summed up over flushes.
#[derive(Debug, Default)]
pub struct Report {
    /// Messages that the kernel took.
    pub sent: u64,
    /// Messages dropped because the socket is blocked or the kernel is out of buffers.
    pub blocked: u64,
    /// Messages that the kernel refused.
    pub refused: u64,
    /// Flows along which nothing can be sent (RFC 3261 §18.4).
    pub failed: Vec<Flow>,
    /// Requests that cannot be sent, whatever becomes of others on their flows. Among the refused, too.
    pub unsendable: Vec<Unsendable>,
}

/// A request that the kernel refuses for what it is: too long, or not allowed by a firewall.
#[derive(Debug)]
pub struct Unsendable {
    /// The way it should have gone.
    pub flow: Flow,
    /// The whole message.
    pub bytes: Bytes,
    /// What the kernel says.
    pub error: io::Error,
}

impl Batches {
    /// Allocates them, in the thread that will use them.
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "it reserves 4 MiB of addresses: nothing to do by the way"
    )]
    pub fn new() -> Self {
        Self {
            inbound: Inbound::new(),
            outbound: Outbound::new(),
        }
    }

    /// The `index`th datagram of the last receive, and who sent it.
    pub fn datagram(&mut self, index: usize) -> Option<(SocketAddr, &[u8])> {
        self.inbound.take(index)
    }
}

impl Port {
    /// The listener that it is one socket of.
    #[must_use]
    pub fn listener(&self) -> ListenerId {
        self.listener
    }

    /// Takes over a bound, non-blocking socket. `has_trains`: messages that are alike may be given to the kernel as one (UDP's
    /// segmentation offload), if it can do that.
    #[must_use]
    pub fn new(socket: UdpSocket, listener: ListenerId, has_trains: bool) -> Self {
        Self {
            socket,
            listener,
            queue: VecDeque::with_capacity(batch::SEND_BATCH),
            marshal: Marshal::new(),
            has_trains,
            is_blocked: false,
        }
    }

    /// The near end of this port's flows.
    #[must_use]
    pub fn here(&self) -> Here {
        Here(self.listener)
    }

    /// Whether the socket takes nothing more until it is writable again.
    #[must_use]
    pub fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// The file descriptor, to poll it.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Receives what is there, up to one batch, without waiting.
    ///
    /// # Errors
    ///
    /// When the socket cannot be used any more. ICMP errors are not among them: they say that there
    /// is something in the error queue.
    pub fn receive(&mut self, batches: &mut Batches) -> io::Result<Received> {
        let (count, is_more) = match batches.inbound.receive(self.socket.as_fd()) {
            Ok(count) => (count, count == batch::RECEIVE_BATCH),
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN) => (0, false),
                Some(libc::EBADF | libc::ENOTSOCK | libc::EINVAL | libc::EFAULT) => {
                    return Err(error);
                }
                // A signal, or ICMP's word on an earlier datagram, which is taken from the error queue.
                _ => (0, true),
            },
        };
        let arrived = batches.inbound.arrived();
        // The time of day may have been set back meanwhile.
        let wait = arrived.map(|arrived| clock::wall().saturating_sub(arrived));
        Ok(Received {
            count,
            is_more,
            wait,
        })
    }

    /// Queues `bytes` for the next flush. A blocked port with a full queue drops it, and `report`
    /// counts that.
    pub fn send(&mut self, remote: SocketAddr, bytes: Bytes, report: &mut Report) {
        if self.is_blocked && self.queue.len() >= QUEUE_LIMIT {
            report.blocked += 1;
            return;
        }
        self.queue.push_back(Queued {
            remote,
            bytes,
            train: 0,
        });
    }

    /// Sends what is queued. What a blocked socket leaves stays queued up to a limit.
    pub fn flush(&mut self, batches: &mut Batches, report: &mut Report) {
        let mut tries = 0;
        // What the kernel said of a train.
        let mut refused = None;
        while !self.queue.is_empty() {
            // Whatever is wrong with one message is not to be wrong with its train.
            let has_trains = self.has_trains && tries == 0 && !self.is_blocked;
            if has_trains {
                self.arrange();
            }
            let messages = self.queue.iter();
            let messages = messages.map(|queued| (queued.remote, queued.bytes.as_ref()));
            let socket = self.socket.as_fd();
            match batches.outbound.send(socket, messages, has_trains) {
                Ok(sent) => {
                    self.queue.drain(..sent);
                    report.sent += sent as u64;
                    tries = 0;
                    // It went without one: the kernel, or the interface, knows no trains.
                    if let Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP) = refused.take() {
                        self.has_trains = false;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    report.blocked += self.queue.len().saturating_sub(QUEUE_LIMIT) as u64;
                    self.queue.truncate(QUEUE_LIMIT);
                    return;
                }
                Err(error) => {
                    tries += 1;
                    if has_trains {
                        refused = error.raw_os_error();
                    }
                    if tries == TRIES {
                        tries = 0;
                        refused = None;
                        self.give_up_first(error, report);
                    }
                }
            }
        }
        self.is_blocked = false;
    }

    /// Takes what ICMP said about earlier datagrams. Returns whether there may be more.
    pub fn take_errors(&mut self, report: &mut Report) -> bool {
        for _ in 0..ERROR_BATCH {
            match batch::take_error(self.socket.as_fd()) {
                Ok(Some(remote)) => report.fail(self.here().flow(remote)),
                // Something that no transaction should hear of.
                Ok(None) => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Puts what is sent next in an order in which those of one train stand side by side.
    fn arrange(&mut self) {
        if self.queue.len() < trains::LEAST {
            return;
        }
        let most = self.queue.len().min(batch::SEND_BATCH);
        let (next, _) = self.queue.make_contiguous().split_at_mut(most);
        for queued in &mut *next {
            queued.train = self.marshal.place(queued.remote, &queued.bytes);
        }
        self.marshal.clear();
        next.sort_by_key(|queued| queued.train);
    }

    fn give_up_first(&mut self, error: io::Error, report: &mut Report) {
        let Some(Queued { remote, bytes, .. }) = self.queue.pop_front() else {
            return;
        };
        let flow = self.here().flow(remote);
        match error.raw_os_error() {
            // The interface is busy, not the way gone.
            Some(libc::ENOBUFS | libc::ENOMEM | libc::EINTR) => report.blocked += 1,
            // This datagram's fault: the next one along the same flow may be shorter, or allowed.
            Some(libc::EMSGSIZE | libc::EPERM | libc::EACCES | libc::EINVAL) => {
                report.refused += 1;
                // Nobody waits for what becomes of a response; the peer asks again.
                if !bytes.starts_with(b"SIP/2.0 ") {
                    report.unsendable.push(Unsendable { flow, bytes, error });
                }
            }
            _ => report.refuse(flow),
        }
    }
}

impl Here {
    /// The flow from here to `remote`.
    #[must_use]
    pub fn flow(self, remote: SocketAddr) -> Flow {
        Flow {
            transport: Transport::Udp,
            listener: self.0,
            remote,
            peer: PeerId::NOBODY,
        }
    }
}

impl Report {
    /// Notes a message for which there is no port.
    pub fn refuse(&mut self, flow: Flow) {
        self.refused += 1;
        self.fail(flow);
    }

    /// Each flow once, however many datagrams failed on it.
    fn fail(&mut self, flow: Flow) {
        if !self.failed.contains(&flow) {
            self.failed.push(flow);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_queued_arrives_in_order_and_in_one_batch() {
        let (mut here, mut there) = (port(), port());
        let (mut batches, mut report) = (Batches::new(), Report::default());
        let to = address(&there);
        here.send(to, Bytes::from_static(b"one"), &mut report);
        here.send(to, Bytes::from_static(b"two"), &mut report);

        here.flush(&mut batches, &mut report);
        let received = there.receive(&mut batches).unwrap();

        assert_eq!((report.sent, report.failed), (2, vec![]));
        assert_eq!((received.count, received.is_more), (2, false));
        assert_eq!(
            batches.datagram(0),
            Some((address(&here), b"one".as_slice()))
        );
        assert_eq!(
            batches.datagram(1),
            Some((address(&here), b"two".as_slice()))
        );
    }

    #[test]
    fn a_message_that_cannot_be_sent_fails_its_flow_and_no_other() {
        let (mut here, mut there) = (port(), port());
        let (mut batches, mut report) = (Batches::new(), Report::default());
        let nowhere: SocketAddr = "[2001:db8::1]:5060".parse().unwrap();
        let to = address(&there);
        here.send(nowhere, Bytes::from_static(b"lost"), &mut report);
        here.send(to, Bytes::from_static(b"kept"), &mut report);

        here.flush(&mut batches, &mut report);

        assert_eq!((report.sent, report.refused), (1, 1));
        assert_eq!(report.failed, [here.here().flow(nowhere)]);
        assert_eq!(there.receive(&mut batches).unwrap().count, 1);
    }

    #[test]
    fn a_message_that_is_too_long_fails_alone_and_not_its_flow() {
        let (mut here, mut there) = (port(), port());
        let (mut batches, mut report) = (Batches::new(), Report::default());
        let to = address(&there);
        let request = Bytes::from([b"INVITE sip:".as_slice(), &[b'x'; 65_507]].concat());
        let response = Bytes::from([b"SIP/2.0 200 ".as_slice(), &[b'x'; 65_507]].concat());
        here.send(to, request.clone(), &mut report);
        here.send(to, response, &mut report);
        here.send(to, Bytes::from_static(b"kept"), &mut report);

        here.flush(&mut batches, &mut report);

        assert_eq!((report.sent, report.refused), (1, 2));
        assert_eq!(report.failed, []);
        let [unsendable] = report.unsendable.as_slice() else {
            panic!("{:?}", report.unsendable);
        };
        assert_eq!(unsendable.flow, here.here().flow(to));
        assert_eq!(unsendable.bytes, request);
        assert_eq!(unsendable.error.raw_os_error(), Some(libc::EMSGSIZE));
        assert_eq!(there.receive(&mut batches).unwrap().count, 1);
    }

    #[test]
    fn a_port_that_cannot_be_sent_to_fails_no_flow() {
        let mut here = port();
        let (mut batches, mut report) = (Batches::new(), Report::default());
        let to = "127.0.0.1:0".parse().unwrap();
        here.send(to, Bytes::from_static(b"SIP/2.0 403 "), &mut report);

        here.flush(&mut batches, &mut report);

        assert_eq!((report.sent, report.refused), (0, 1));
        assert_eq!((report.failed, report.unsendable.len()), (vec![], 0));
    }

    #[test]
    fn a_full_batch_says_that_there_may_be_more() {
        let (mut here, mut there) = (port(), port());
        let (mut batches, mut report) = (Batches::new(), Report::default());
        for _ in 0..=batch::RECEIVE_BATCH {
            here.send(address(&there), Bytes::from_static(b"x"), &mut report);
        }

        here.flush(&mut batches, &mut report);
        let (first, second) = (
            there.receive(&mut batches).unwrap(),
            there.receive(&mut batches).unwrap(),
        );

        assert_eq!((first.count, first.is_more), (batch::RECEIVE_BATCH, true));
        assert_eq!((second.count, second.is_more), (1, false));
    }

    #[test]
    fn messages_that_are_alike_go_together_and_those_of_a_call_in_order() {
        let (mut here, mut there) = (port(), port());
        let (mut batches, mut report) = (Batches::new(), Report::default());
        let to = address(&there);
        for text in ["100 a", "200 b", "100 c", "1 a", "100 b", "100 a"] {
            here.send(to, message(text), &mut report);
        }

        here.flush(&mut batches, &mut report);

        assert_eq!(report.sent, 6);
        let count = there.receive(&mut batches).unwrap().count;
        let mut heard = Vec::new();
        for index in 0..count {
            let (_, bytes) = batches.datagram(index).unwrap();
            heard.push(Bytes::copy_from_slice(bytes));
        }
        // That of b's was said after a longer one, and the last one of a's after a shorter one.
        let order = ["100 a", "200 b", "100 c", "100 b", "1 a", "100 a"];
        assert_eq!(heard, order.map(message));
    }

    #[test]
    fn where_the_kernel_knows_no_trains_each_message_goes_by_itself() {
        let (mut here, mut there) = (port(), port());
        let (mut batches, mut report) = (Batches::new(), Report::default());
        // Nothing is cut apart without checksums.
        batch::set_option(here.socket.as_fd(), libc::SOL_SOCKET, libc::SO_NO_CHECK, 1).unwrap();
        for round in 1..3 {
            for text in ["100 a", "100 b", "100 c"] {
                here.send(address(&there), message(text), &mut report);
            }

            here.flush(&mut batches, &mut report);

            assert_eq!((report.sent, report.refused), (round * 3, 0));
            assert!(!here.has_trains);
            assert_eq!(there.receive(&mut batches).unwrap().count, 3);
        }
    }

    #[test]
    fn what_cannot_be_sent_does_not_speak_against_trains() {
        let (mut here, mut there) = (port(), port());
        let (mut batches, mut report) = (Batches::new(), Report::default());
        let nowhere = "127.0.0.1:0".parse().unwrap();
        for text in ["100 a", "100 b", "100 c"] {
            here.send(nowhere, message(text), &mut report);
            here.send(address(&there), message(text), &mut report);
        }

        here.flush(&mut batches, &mut report);

        assert_eq!((report.sent, report.refused), (3, 3));
        assert!(here.has_trains);
        assert_eq!(there.receive(&mut batches).unwrap().count, 3);
    }

    /// A response: its status, and the call that it belongs to.
    fn message(text: &str) -> Bytes {
        let (status, call) = text.split_once(' ').unwrap();
        format!("SIP/2.0 {status}\r\nCall-ID: {call}\r\n\r\n").into()
    }

    fn port() -> Port {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        Port::new(socket, ListenerId(0), true)
    }

    fn address(port: &Port) -> SocketAddr {
        port.socket.local_addr().unwrap()
    }
}
