//! SRTP and SRTCP (RFC 3711) with the suites of SDES: AES in counter mode with HMAC-SHA1, and AES-GCM (RFC 7714).
//!
//! Packets are protected and unprotected in place. Each direction of an end has its own keys, so a [`Sender`] and a
//! [`Receiver`] share nothing. Both live as long as their keys do: made anew from the same keys, a sender would use the
//! same keystream twice, and a receiver would take packets that it has had.
//!
//! ```text
//!  SRTP    | header, CSRCs, extension | payload, encrypted | tag |
//!  SRTCP   | first 8 bytes | the rest, encrypted | E, index | tag |      counter mode
//!  SRTCP   | first 8 bytes | the rest, encrypted | tag | E, index |      GCM
//! ```
//!
//! | question | room |
//! |---|---|
//! | what a crypto suite is called and how long its parts are | [`suite`] |
//! | which keys a session has | [`mod@derive`] |
//! | what is done with the bytes of one packet | [`transform`] |
//! | what its tag is in counter mode | [`mac`] |
//! | which packet it is: rollover, replay | [`sequence`] |
//! | what goes out, what comes in | [`Sender`], [`Receiver`] |
//!
//! No master key identifier (MKI), no key derivation rate, no encrypted header extensions: nobody offers them in SDES
//! for telephones, and `a=crypto` that asks for them is not taken.

pub mod derive;
pub mod mac;
mod packet;
mod receiver;
mod sender;
pub mod sequence;
mod sources;
pub mod suite;
pub mod transform;

#[cfg(test)]
mod tests;

pub use self::receiver::Receiver;
pub use self::sender::Sender;

/// Why a packet was not protected or not taken. The call goes on; the packet does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Why {
    /// The key and salt are not as long as their suite asks.
    #[error("key is not as long as its suite asks")]
    Keys,
    /// Not an RTP or RTCP packet, or shorter than its header says.
    #[error("not an RTP packet")]
    NotRtp,
    /// The buffer has no room for what protecting adds.
    #[error("no room for the tag")]
    NoRoom,
    /// The packet was there before.
    #[error("packet was there before")]
    Replayed,
    /// The packet is older than what is remembered of its source.
    #[error("packet is too old")]
    Old,
    /// The tag is wrong: somebody else made the packet, or changed it.
    #[error("tag is wrong")]
    Forged,
    /// RTCP that is not encrypted, though encryption was agreed.
    #[error("RTCP is not encrypted")]
    Clear,
    /// There were as many SSRCs under one key as are remembered, and forgetting one could repeat its keystream.
    #[error("too many sources under one key")]
    Sources,
    /// As many packets as a key is good for (RFC 3711 §9.2).
    #[error("key is used up")]
    UsedUp,
}

impl Why {
    /// Its name in metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Keys => "srtp_keys",
            Self::NotRtp => "srtp_not_rtp",
            Self::NoRoom => "srtp_no_room",
            Self::Replayed => "srtp_replayed",
            Self::Old => "srtp_old",
            Self::Forged => "srtp_forged",
            Self::Clear => "srtp_clear",
            Self::Sources => "srtp_sources",
            Self::UsedUp => "srtp_used_up",
        }
    }
}
