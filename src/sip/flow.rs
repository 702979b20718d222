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

    /// The port where a URI or a Via names none (RFC 3261 §19.1.2).
    #[must_use]
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
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

/// Whom TLS has proved a peer to be: a name of the configuration, in few bits, the same at every load.
/// The peer whose certificate nobody has checked is nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct PeerId(u32);

impl PeerId {
    /// No name is proved.
    pub const NOBODY: Self = Self(0);

    /// The id of a host name or address, whatever its case. Two names may share one: whoever loads names
    /// sees to it that none do.
    #[must_use]
    pub fn of(name: &str) -> Self {
        // FNV-1a: the names are the operator's own, and are few.
        let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte.to_ascii_lowercase())).wrapping_mul(0x0100_0193)
        });
        Self(hash.max(1))
    }
}

/// One way to one peer: replies go back along the flow that the request came on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// How.
    pub transport: Transport,
    /// Through which of our listeners.
    pub listener: ListenerId,
    /// To and from whom: the packet's address, never one that a message claims (RFC 3581).
    pub remote: SocketAddr,
    /// Who that is, if TLS proves it: a connection to one name is no connection to another.
    pub peer: PeerId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_id_in_any_case_and_is_somebody() {
        assert_eq!(PeerId::of("sip.Example.com"), PeerId::of("SIP.example.COM"));
        assert_ne!(PeerId::of("sip.example.com"), PeerId::of("sip.example.org"));
        assert_ne!(PeerId::of(""), PeerId::NOBODY);
    }
}
