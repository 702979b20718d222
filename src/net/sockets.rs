//! Opens sockets. All options are set here, and nowhere else.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream};
use tracing::{debug, warn};

use crate::net::batch;

/// Buffer of a UDP socket, in bytes and each way: a burst of some thousand messages.
const BUFFER: libc::c_int = 8 * 1024 * 1024;

/// A smaller receive buffer than this, in bytes, is worth a warning.
const SMALL_BUFFER: usize = 1024 * 1024;

/// Receive buffer of a port for one party's media, in bytes: about 100 packets, or two seconds of sound. What is older
/// nobody wants to hear.
const MEDIA_BUFFER: usize = 64 * 1024;

/// Connections that wait to be accepted at most.
const BACKLOG: libc::c_int = 1024;

/// A connection on which nothing comes for so long is asked whether its peer is there.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// Pause between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// Questions without an answer after which it is dead.
const KEEPALIVE_RETRIES: u32 = 3;

/// A socket that cannot be had.
#[derive(Debug, Error)]
#[error("cannot listen on {transport} {address}: {source}")]
pub struct BindError {
    /// `UDP`, `TCP`.
    pub transport: &'static str,
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

/// The address that a message to `remote` leaves by, of a socket bound to `bind`: its own, or the one that the
/// system picks for the route. Nothing is sent.
///
/// # Errors
///
/// When no route leads there.
pub fn source_towards(bind: SocketAddr, remote: SocketAddr) -> io::Result<SocketAddr> {
    if !bind.ip().is_unspecified() {
        return Ok(bind);
    }
    let socket = UdpSocket::bind(SocketAddr::new(bind.ip(), 0))?;
    socket.connect(remote)?;
    Ok(SocketAddr::new(socket.local_addr()?.ip(), bind.port()))
}

/// Opens `count` UDP sockets on one address, among which the kernel shares the peers out
/// (`SO_REUSEPORT`). With port 0 the first one gets a free port, and the others the same.
///
/// # Errors
///
/// When the address is not ours, or something else listens there: also another process of ours.
pub fn bind_udp(address: SocketAddr, count: usize) -> Result<Vec<UdpSocket>, BindError> {
    let refused = |source| BindError {
        transport: "UDP",
        address,
        source,
    };
    let is_shared = count > 1;
    if is_shared && address.port() != 0 {
        // A second process that shares the port would take half the calls unnoticed: see whether it
        // can be had alone first.
        open_udp(address, false).map_err(refused)?;
    }
    let mut address = address;
    let mut sockets = Vec::with_capacity(count);
    for _ in 0..count {
        let socket = open_udp(address, is_shared).map_err(refused)?;
        address = socket.local_addr().map_err(refused)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Opens a UDP socket for media, marked with `dscp` (RFC 2474; 0: not at all). It is for many calls, or for one.
///
/// # Errors
///
/// When the address is not ours, or something else has the port.
pub fn bind_media(address: SocketAddr, dscp: u8, is_shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(domain(address), Type::DGRAM, Some(Protocol::UDP))?;
    let tos = u32::from(dscp) << 2;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
        if tos > 0 {
            socket.set_tclass_v6(tos)?;
        }
    } else if tos > 0 {
        socket.set_tos_v4(tos)?;
    }
    socket.set_nonblocking(true)?;
    if is_shared {
        enlarge(&socket, address);
    } else {
        socket.set_recv_buffer_size(MEDIA_BUFFER)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Opens a listening TCP socket.
///
/// # Errors
///
/// When the address is not ours, or something else listens there.
pub fn bind_tcp(address: SocketAddr) -> Result<TcpListener, BindError> {
    let open = || {
        let socket = Socket::new(domain(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // A restart must not wait for the old connections' TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    open().map_err(|source| BindError {
        transport: "TCP",
        address,
        source,
    })
}

/// Connects from one of our addresses, at a port of the system's choice.
///
/// # Errors
///
/// When the peer does not listen, or cannot be reached.
pub async fn connect_tcp(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    if !from.is_unspecified() {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    let stream = socket.connect(to).await?;
    settle_tcp(&stream);
    Ok(stream)
}

/// Sets what every connection for SIP has: messages leave at once, and a dead peer is noticed.
pub fn settle_tcp(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    let set = socket
        .set_tcp_nodelay(true)
        .and_then(|()| socket.set_tcp_keepalive(&keepalive));
    if let Err(error) = set {
        // It is gone already; whoever reads it next hears so.
        debug!(%error, "connection keeps the system's settings");
    }
}

/// Closes a connection at once and for good, which costs neither side any further packet.
pub fn reset(stream: &TcpStream) {
    // An error means that it is closed.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Datagrams that the kernel dropped because the socket's buffer was full; 0 if it does not say.
#[must_use]
pub fn receive_drops(socket: &UdpSocket) -> u32 {
    batch::receive_drops(socket.as_fd()).unwrap_or(0)
}

fn open_udp(address: SocketAddr, is_shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(domain(address), Type::DGRAM, Some(Protocol::UDP))?;
    // ICMP errors are wanted: they say at once that a buyer's port is closed.
    if address.is_ipv6() {
        // Else an IPv4 peer would show up as ::ffff:192.0.2.1, and match no allowlist.
        socket.set_only_v6(true)?;
        batch::set_option(socket.as_fd(), libc::SOL_IPV6, libc::IPV6_RECVERR, 1)?;
    } else {
        batch::set_option(socket.as_fd(), libc::SOL_IP, libc::IP_RECVERR, 1)?;
    }
    socket.set_reuse_port(is_shared)?;
    socket.set_nonblocking(true)?;
    batch::stamp(socket.as_fd())?;
    enlarge(&socket, address);
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Gives the socket large buffers: beyond the system's limit where we may, else up to it.
fn enlarge(socket: &Socket, address: SocketAddr) {
    let options = [
        (libc::SO_RCVBUFFORCE, libc::SO_RCVBUF),
        (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF),
    ];
    for (forced, plain) in options {
        let set = |option| batch::set_option(socket.as_fd(), libc::SOL_SOCKET, option, BUFFER);
        if let Err(error) = set(forced).or_else(|_| set(plain)) {
            warn!(%address, %error, "socket keeps its small buffer");
        }
    }
    let size = socket.recv_buffer_size().unwrap_or_default();
    if size < SMALL_BUFFER {
        warn!(
            %address, bytes = size,
            "small receive buffer: bursts will be lost; raise net.core.rmem_max or grant CAP_NET_ADMIN"
        );
    }
}

fn domain(address: SocketAddr) -> Domain {
    Domain::for_address(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_sockets_get_the_port_that_the_first_one_got() {
        let sockets = bind_udp("127.0.0.1:0".parse().unwrap(), 3).unwrap();

        let ports: Vec<u16> = sockets
            .iter()
            .map(|socket| socket.local_addr().unwrap().port())
            .collect();

        assert!(ports[0] != 0);
        assert_eq!(ports, [ports[0]; 3]);
    }

    #[test]
    fn a_port_that_another_edge_shares_out_is_taken() {
        let first = bind_udp("127.0.0.1:0".parse().unwrap(), 2).unwrap();
        let address = first[0].local_addr().unwrap();

        for count in [1, 2] {
            let error = bind_udp(address, count).unwrap_err();

            assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn ipv4_and_ipv6_share_a_port_number() {
        let four = bind_udp("0.0.0.0:0".parse().unwrap(), 1).unwrap();
        let port = four[0].local_addr().unwrap().port();

        assert!(bind_udp(SocketAddr::new("::".parse().unwrap(), port), 1).is_ok());
    }
}
