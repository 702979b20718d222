//! What the relay is told of a call: an order that can be carried out without knowing SDP or SIP.
//!
//! A call has two parties and, for each media line that both want, one [`Stream`] with an [`End`] towards each.
//! What comes in at one end from its party goes out at the other end to the other party.
//!
//! ```text
//!   caller  <-- rtp -->  [ gate | end 0 ]  stream  [ end 1 | gate ]  <-- rtp -->  buyer
//! ```

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use smallvec::SmallVec;
use zeroize::Zeroizing;

use crate::types::ids::ShardId;

/// A party of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Party {
    /// Who called.
    Caller,
    /// Who was called.
    Buyer,
}

impl Party {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Caller, Self::Buyer];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Caller => Self::Buyer,
            Self::Buyer => Self::Caller,
        }
    }

    /// Its place in arrays of two.
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Caller => 0,
            Self::Buyer => 1,
        }
    }
}

/// Names a call's media: unique among all calls of the process that are not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl SessionId {
    /// The media of the call in `slot` of `shard`; calls that have the same slot in turn have other serial numbers.
    #[must_use]
    pub fn new(shard: ShardId, slot: u32, serial: u32) -> Self {
        let slot = u64::from(slot & MOST_SLOTS);
        Self(u64::from(shard.0) << 56 | slot << 32 | u64::from(serial))
    }

    /// The shard whose call it is.
    #[must_use]
    pub fn shard(self) -> ShardId {
        ShardId((self.0 >> 56) as u8)
    }

    /// The call's slot there.
    #[must_use]
    pub fn slot(self) -> u32 {
        (self.0 >> 32) as u32 & MOST_SLOTS
    }
}

/// Slots of a shard at most.
const MOST_SLOTS: u32 = 0x00ff_ffff;

/// Ports of ours that one party sends to: RTP, and RTCP on the port after it (RFC 3550 §11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Gate {
    /// The address that the sockets are bound to; what the party is told is another matter.
    pub address: IpAddr,
    /// The RTP port; RTCP's is the one after it.
    pub port: u16,
    /// Whether many calls use it, told apart by where their packets come from. All shared gates of a call are one
    /// [owner's](crate::media::ports::owner).
    pub is_shared: bool,
}

/// All that the relay has to know of a call. A new plan for the same session replaces the old one: gates that are in
/// both stay open, and what was learned of a party whose address has not changed is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// One for each media line that is relayed, in the order of the lines.
    pub streams: SmallVec<[Stream; 1]>,
    /// How long it may be quiet.
    pub patience: Patience,
}

/// One media line.
#[derive(Debug, Clone, PartialEq)]
pub struct Stream {
    /// By [`Party::index`].
    pub ends: [End; 2],
    /// Whether it is RTP with RTCP beside it; else datagrams of another kind, passed on unread (T.38 over UDPTL).
    pub is_rtp: bool,
}

/// Our side towards one party.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// Where the party sends to.
    pub gate: Gate,
    /// Where the party listens; `None`: it has not said yet, or wants nothing (port 0).
    pub remote: Option<Remote>,
    /// From where its packets may come.
    pub sources: Sources,
    /// Whether what the party sends is wanted by the other one, as agreed: `a=sendonly` and the like. RTCP passes
    /// all the same (RFC 3264 §5.1).
    pub sends: bool,
    /// The payload types that the party may send, as agreed; any others are dropped and counted.
    pub payloads: Payloads,
    /// SRTP towards this party; `None`: RTP.
    pub crypto: Option<Crypto>,
}

/// Where a party listens, as its SDP says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Remote {
    /// RTP.
    pub rtp: SocketAddr,
    /// RTCP: the port after RTP's, or as `a=rtcp` says (RFC 3605); the same as `rtp` with `a=rtcp-mux` (RFC 5761).
    pub rtcp: SocketAddr,
}

impl Remote {
    /// Whether RTP and RTCP share a port.
    #[must_use]
    pub fn is_mux(&self) -> bool {
        self.rtp == self.rtcp
    }
}

/// From where the packets of a party are taken.
#[derive(Debug, Clone, PartialEq)]
pub enum Sources {
    /// From where its SDP says that it listens, and nowhere else.
    Announced,
    /// From the address of its SDP at any port, or from one of these networks: it is behind NAT. The first few
    /// valid packets of one source decide, what comes from the announced place decides at once.
    Learned(Arc<[IpNet]>),
}

/// A payload type's meaning, as far as the relay needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payload {
    /// The payload type, 0 to 127.
    pub number: u8,
    /// Ticks of its timestamp in a second.
    pub clock: u32,
    /// Whether it is telephone-event (RFC 4733).
    pub is_dtmf: bool,
}

/// What a party may send.
pub type Payloads = SmallVec<[Payload; 4]>;

/// How long it may be quiet before the call is given up; `None`: for ever. It counts in an answered call only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Patience {
    /// Whether the call is answered.
    pub is_answered: bool,
    /// From the answer to the first packet of a party that may send.
    pub start: Option<Duration>,
    /// Between two packets of a party that may send.
    pub silence: Option<Duration>,
    /// Between two packets of anybody while a party may not send: the call is on hold.
    pub hold: Option<Duration>,
}

/// Keys of one end (RFC 4568): each direction has its own.
#[derive(Clone, PartialEq)]
pub struct Crypto {
    /// What the party encrypts with; by it we read.
    pub theirs: Keys,
    /// What we encrypt with.
    pub ours: Keys,
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crypto")
            .field("suite", &self.ours.suite)
            .finish_non_exhaustive()
    }
}

/// A master key and its salt.
#[derive(Clone, PartialEq)]
pub struct Keys {
    /// What they are for.
    pub suite: Suite,
    /// Master key, then master salt: as long as the suite says. Wiped when dropped.
    pub secret: Zeroizing<Vec<u8>>,
}

/// A crypto suite of SDES (RFC 4568 §6.2, RFC 6188, RFC 7714).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80`.
    Aes128Sha1Tag80,
    /// `AES_CM_128_HMAC_SHA1_32`.
    Aes128Sha1Tag32,
    /// `AES_256_CM_HMAC_SHA1_80`.
    Aes256Sha1Tag80,
    /// `AES_256_CM_HMAC_SHA1_32`.
    Aes256Sha1Tag32,
    /// `AEAD_AES_128_GCM`.
    Aes128Gcm,
    /// `AEAD_AES_256_GCM`.
    Aes256Gcm,
}
