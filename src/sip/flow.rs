//! Where a message came from and where one goes: transport, our listener, the peer's address.

use std::net::SocketAddr;

/// Transport of a flow (RFC 3261 §18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Datagrams: messages may be lost, so transactions send them again.
    Udp,
    /// A byte stream.
    Tcp,
    /// A byte stream inside TLS.
    Tls,
}

impl Transport {
    /// The name in a Via header (RFC 3261 §20.42).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// Whether the transport itself delivers (no retransmission by transactions).
    #[must_use]
    pub fn is_reliable(self) -> bool {
        match self {
            Self::Udp => false,
            Self::Tcp | Self::Tls => true,
        }
    }
}

/// Number of one of our listeners, in the order of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub u16);

/// One way to one peer: replies go back along the flow that the request came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// How.
    pub transport: Transport,
    /// Through which of our listeners.
    pub listener: ListenerId,
    /// To and from whom: the packet's address, never one that a message claims (RFC 3581).
    pub remote: SocketAddr,
}
