//! What the operator allows towards a party, and what the engine supplies.

use std::net::IpAddr;
use std::sync::Arc;

use crate::media::commons::Commons;
use crate::media::plan::{Gate, Sources};

/// What holds towards one party.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The codecs that may pass, by name in any case; `None`: all. Telephone-event always passes: which keys were
    /// pressed is no matter of taste. Counts for sound only.
    pub codecs: Option<Arc<[Box<str>]>>,
    /// What becomes of lines that are no sound: video, fax, text.
    pub other_media: OtherMedia,
    /// Whether its media are encrypted.
    pub srtp: Srtp,
    /// From where its packets are taken.
    pub sources: Sources,
    /// Whether its calls share ports: each of its media addresses is public, and as announced.
    pub is_shared: bool,
    /// Whether a party that has not told an address yet is offered IPv6.
    pub is_ipv6: bool,
}

/// What becomes of lines that are no sound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OtherMedia {
    /// They are relayed as they are, each over ports of its own.
    #[default]
    Relay,
    /// They are refused.
    Refuse,
}

/// SRTP with keys in SDP (RFC 4568), towards one party.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Srtp {
    /// RTP only. Keys beside `RTP/AVP` are not taken.
    #[default]
    Refuse,
    /// RTP is offered; SRTP is taken from a party that offers it, as `RTP/SAVP` or by keys beside `RTP/AVP`. Once
    /// agreed it stays.
    Allow,
    /// `RTP/SAVP` is offered, and nothing else is taken.
    Require,
}

/// What a session needs from outside: ports and chance.
pub trait Supply {
    /// Ports for one media line alone, of that family if there are any; `None`: there are none left.
    fn take(&mut self, is_ipv6: bool) -> Option<Gate>;
    /// Ports that were taken and are not needed any more.
    fn give_back(&mut self, gate: Gate);
    /// The shared ports of that family; `None`: there are none.
    fn commons(&mut self, is_ipv6: bool) -> Option<&mut Commons>;
    /// The address that a party is told for `gate`.
    fn told(&self, gate: Gate) -> IpAddr;
    /// Fills `bytes` with what nobody can guess: keys, and names of sessions.
    fn fill(&mut self, bytes: &mut [u8]);
}
