//! Why an offer or an answer is not taken.

use crate::media::sdp::read::ReadError;

/// Why an offer or an answer is not taken. The media that were agreed before stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// It is no session description that we can read.
    #[error("{0}")]
    Unreadable(#[from] ReadError),
    /// No port is free.
    #[error("no media port is free")]
    NoPort,
    /// We have no address of the family that the party uses.
    #[error("no address of ours is of that family")]
    Family,
    /// An answer to nothing, or media for a party that is not there.
    #[error("answer without an offer")]
    NoOffer,
    /// Not as many media lines as there must be (RFC 3264 §6, §8).
    #[error("wrong number of media lines")]
    Lines,
    /// The answer is for media or a transport other than offered.
    #[error("answer for other media than offered")]
    Mismatch,
    /// No line is left that may be relayed.
    #[error("no media that may be relayed")]
    Media,
    /// No codec is left that both want and the operator allows.
    #[error("no codec in common")]
    Codec,
    /// SRTP is asked for where it is not allowed.
    #[error("SRTP is not allowed")]
    SrtpRefused,
    /// RTP is offered where SRTP is required.
    #[error("SRTP is required")]
    SrtpRequired,
    /// SRTP without a key that we can take.
    #[error("no SRTP key that can be taken")]
    Keys,
    /// SRTP was agreed, and would end.
    #[error("SRTP would end")]
    Downgrade,
    /// The caller was told an answer that this one does not fit.
    #[error("answer does not fit what the caller was told")]
    NotAsTold,
}

impl Fault {
    /// Its name in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Unreadable(ReadError::Address) => "sdp_address",
            Self::Unreadable(
                ReadError::TooLong | ReadError::TooManyLines | ReadError::TooManyMedia,
            ) => "sdp_too_big",
            Self::Unreadable(
                ReadError::ControlByte
                | ReadError::Line
                | ReadError::Version
                | ReadError::Media
                | ReadError::Connection,
            ) => "sdp_malformed",
            Self::NoPort => "no_media_port",
            Self::Family => "no_address_family",
            Self::NoOffer => "no_offer",
            Self::Lines => "sdp_lines",
            Self::Mismatch => "sdp_mismatch",
            Self::Media => "media_refused",
            Self::Codec => "no_codec",
            Self::SrtpRefused => "srtp_refused",
            Self::SrtpRequired => "srtp_required",
            Self::Keys => "srtp_keys",
            Self::Downgrade => "srtp_downgrade",
            Self::NotAsTold => "not_as_told",
        }
    }

    /// The SIP status that the sender of an offer is refused with. A fault in an answer is the answerer's: the call
    /// to it has failed.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Unreadable(ReadError::Address) => 488,
            Self::Unreadable(_) => 400,
            Self::NoPort => 503,
            Self::NoOffer => 500,
            Self::Family
            | Self::Lines
            | Self::Mismatch
            | Self::Media
            | Self::Codec
            | Self::SrtpRefused
            | Self::SrtpRequired
            | Self::Keys
            | Self::Downgrade
            | Self::NotAsTold => 488,
        }
    }
}
