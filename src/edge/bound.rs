//! The SIP sockets of an edge, opened.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use crate::call::policy::Listener;
use crate::edge::StartError;
use crate::net::sockets;
use crate::net::streams::Door as StreamDoor;
use crate::net::udp::Port;
use crate::sip::flow::{ListenerId, Transport};

/// All SIP sockets.
pub(super) struct Bound {
    /// With the ports that were really given.
    pub(super) listeners: Vec<Listener>,
    /// By shard: a socket per listener that speaks UDP, and its number.
    pub(super) shards: Vec<Vec<(ListenerId, UdpSocket)>>,
    /// Those that speak TCP and TLS.
    pub(super) doors: Vec<StreamDoor>,
}

impl Bound {
    /// Opens all listeners, each UDP one once for each of `count` shards.
    pub(super) fn open(mut listeners: Vec<Listener>, count: usize) -> Result<Self, StartError> {
        let mut shards: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        let mut doors = Vec::new();
        for (id, listener) in (0..=u16::MAX).map(ListenerId).zip(&mut listeners) {
            match listener.transport {
                Transport::Udp => {
                    let sockets = sockets::bind_udp(listener.bind, count)?;
                    if let Some(socket) = sockets.first() {
                        settle(listener, socket.local_addr()?);
                    }
                    for (shard, socket) in shards.iter_mut().zip(sockets) {
                        shard.push((id, socket));
                    }
                }
                transport @ (Transport::Tcp | Transport::Tls) => {
                    let socket = sockets::bind_tcp(listener.bind)?;
                    settle(listener, socket.local_addr()?);
                    doors.push(StreamDoor {
                        listener: id,
                        transport,
                        socket,
                    });
                }
            }
        }
        Ok(Self {
            listeners,
            shards,
            doors,
        })
    }
}

/// Writes into `listener` the port that was really given, wherever 0 stood for it.
fn settle(listener: &mut Listener, bound: SocketAddr) {
    listener.bind = bound;
    if let Some(host) = listener.advertise.strip_suffix(":0") {
        listener.advertise = format!("{host}:{}", bound.port()).into();
    }
}

/// The sockets of a shard, as it reads them; `has_trains` as [`Port::new`] takes it.
pub(super) fn ports(sockets: Vec<(ListenerId, UdpSocket)>, has_trains: bool) -> Vec<Port> {
    let port = |(listener, socket)| Port::new(socket, listener, has_trains);
    sockets.into_iter().map(port).collect()
}

/// Second handles of all shards' sockets.
pub(super) fn second_handles(
    shards: &[Vec<(ListenerId, UdpSocket)>],
) -> io::Result<Vec<UdpSocket>> {
    let sockets = shards.iter().flatten();
    sockets.map(|(_, socket)| socket.try_clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_zero_is_advertised_as_the_port_that_was_given() {
        let cases = [
            ("192.0.2.1:0", "192.0.2.1:5077"),
            ("[2001:db8::1]:0", "[2001:db8::1]:5077"),
            ("sip.example.com:5080", "sip.example.com:5080"),
            ("sip.example.com", "sip.example.com"),
        ];
        for (advertise, expected) in cases {
            let mut listener = Listener {
                transport: Transport::Udp,
                bind: "127.0.0.1:0".parse().unwrap(),
                advertise: advertise.into(),
            };

            settle(&mut listener, "127.0.0.1:5077".parse().unwrap());

            assert_eq!(&*listener.advertise, expected);
            assert_eq!(listener.bind.port(), 5077);
        }
    }
}
