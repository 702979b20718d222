//! One rtpengine: its socket, and whether it is there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket as StdSocket};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time;
use tracing::warn;

/// What came from one of them.
pub(super) struct Arrived {
    pub(super) place: SocketAddr,
    /// `None`: its port is closed.
    pub(super) datagram: Option<Vec<u8>>,
}

pub(super) struct Instance {
    /// `None`: it is in no terms any more, but a call names it.
    pub(super) weight: Option<u32>,
    pub(super) ping_due: Instant,
    /// It gets no new calls.
    pub(super) is_lost: bool,
    /// Requests in a row that it did not answer.
    misses: u32,
    /// Pings in a row that it did.
    hits: u32,
    /// `None`: the system would not give one. Not the runtime's, which does not try before it has heard that it may.
    socket: Option<StdSocket>,
    /// Its reader, which ends with this.
    _reader: JoinSet<()>,
}

impl Instance {
    /// Opens a socket that hears nobody but `place`, and is pinged at once.
    pub(super) fn open(now: Instant, place: SocketAddr, arrivals: mpsc::Sender<Arrived>) -> Self {
        let mut reader = JoinSet::new();
        let socket = match connect(place) {
            Ok((socket, ears)) => {
                reader.spawn(read(ears, place, arrivals));
                Some(socket)
            }
            Err(error) => {
                warn!(%place, %error, "no socket to rtpengine");
                None
            }
        };
        Self {
            weight: None,
            ping_due: now,
            is_lost: false,
            misses: 0,
            hits: 0,
            socket,
            _reader: reader,
        }
    }

    /// Sends a datagram; `false`: it cannot get there. One that the kernel has no room for is sent again in time.
    pub(super) fn send(&self, wire: &[u8]) -> bool {
        let Some(socket) = &self.socket else {
            return false;
        };
        match socket.send(wire) {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Notes that it answered; whether it is found again thereby.
    pub(super) fn note_answer(&mut self, is_ping: bool) -> bool {
        self.misses = 0;
        if is_ping {
            self.hits += 1;
        }
        let is_found = self.is_lost && self.hits >= FOUND_AFTER;
        if is_found {
            self.is_lost = false;
        }
        is_found
    }

    /// Notes that it did not, or that it `is_gone`; whether it is lost thereby.
    pub(super) fn note_failure(&mut self, is_gone: bool) -> bool {
        self.hits = 0;
        self.misses += 1;
        let is_lost = !self.is_lost && (is_gone || self.misses >= LOST_AFTER);
        if is_lost {
            self.is_lost = true;
        }
        is_lost
    }
}

/// Requests in a row without an answer that make it lost.
const LOST_AFTER: u32 = 3;

/// Pings in a row with an answer that make it found.
const FOUND_AFTER: u32 = 2;

/// A socket that hears nobody but `place`: to send with, and to read from.
fn connect(place: SocketAddr) -> io::Result<(StdSocket, UdpSocket)> {
    let any = match place.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = StdSocket::bind((any, 0))?;
    socket.connect(place)?;
    socket.set_nonblocking(true)?;
    let ears = UdpSocket::from_std(socket.try_clone()?)?;
    Ok((socket, ears))
}

async fn read(socket: UdpSocket, place: SocketAddr, arrivals: mpsc::Sender<Arrived>) {
    let mut buf = vec![0; LONGEST];
    loop {
        let datagram = match socket.recv(&mut buf).await {
            Ok(length) => Some(buf.get(..length).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => None,
            Err(_) => {
                time::sleep(PAUSE).await;
                continue;
            }
        };
        if arrivals.send(Arrived { place, datagram }).await.is_err() {
            return;
        }
    }
}

/// The longest datagram, in bytes.
const LONGEST: usize = 65_536;

/// Pause after an error of the system.
const PAUSE: Duration = Duration::from_millis(50);
