//! What was wrong with a message, and the status it earns.

use crate::sip::name::Name;

/// Why bytes are not a message, or a value not what its header asks for. The sender is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ParseError {
    /// Neither a SIP request nor a SIP response.
    #[error("not a SIP message")]
    NotSip,
    /// A start line that means to be SIP but is not well formed (RFC 3261 §7.1, §7.2).
    #[error("malformed start line")]
    StartLine,
    /// A version other than SIP/2.0 (RFC 3261 §21.5.6).
    #[error("SIP version is not 2.0")]
    Version,
    /// NUL in the head.
    #[error("NUL byte in the head")]
    Nul,
    /// CR without LF, or LF without CR, in the head.
    #[error("CR or LF alone in the head")]
    LineBreak,
    /// A header name that is empty or holds what a token cannot.
    #[error("malformed header name")]
    HeaderName,
    /// The head does not end with an empty line.
    #[error("no empty line behind the head")]
    NoBlankLine,
    /// A header that may stand once stands twice.
    #[error("more than one {}", .0.text())]
    Repeated(Name),
    /// A header that must be there is not.
    #[error("no {}", .0.text())]
    Missing(Name),
    /// A header whose value is against its grammar or out of range.
    #[error("malformed {}", .0.text())]
    Invalid(Name),
    /// CSeq names another method than the start line (RFC 3261 §8.1.1.5).
    #[error("CSeq is for another method")]
    CSeqMethod,
    /// Content-Length is no number, or stands twice and disagrees with itself.
    #[error("malformed or conflicting Content-Length")]
    ContentLength,
    /// The datagram ends before the body does (RFC 3261 §18.3).
    #[error("body is shorter than Content-Length")]
    ShortBody,
    /// A URI against its grammar.
    #[error("malformed URI")]
    Uri,
    /// A list of parameters against its grammar.
    #[error("malformed parameters")]
    Params,
    /// The start line is over [`MAX_LINE`](crate::sip::scan::MAX_LINE).
    #[error("Request-URI too long")]
    UriTooLong,
    /// The message is over [`MAX_MESSAGE`](crate::sip::scan::MAX_MESSAGE).
    #[error("message too long")]
    MessageTooLong,
    /// One header is over [`MAX_LINE`](crate::sip::scan::MAX_LINE).
    #[error("header too long")]
    HeaderTooLong,
    /// More headers than [`MAX_HEADERS`](crate::sip::scan::MAX_HEADERS).
    #[error("too many headers")]
    TooManyHeaders,
    /// More Via values than [`MAX_VIAS`](crate::sip::scan::MAX_VIAS).
    #[error("too many Via values")]
    TooManyVias,
}

impl ParseError {
    /// The status that a request with this fault is answered with; `None`: it is not answered.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::NotSip => None,
            Self::Version => Some(505),
            Self::UriTooLong => Some(414),
            Self::MessageTooLong
            | Self::HeaderTooLong
            | Self::TooManyHeaders
            | Self::TooManyVias => Some(513),
            Self::StartLine
            | Self::Nul
            | Self::LineBreak
            | Self::HeaderName
            | Self::NoBlankLine
            | Self::Repeated(_)
            | Self::Missing(_)
            | Self::Invalid(_)
            | Self::CSeqMethod
            | Self::ContentLength
            | Self::ShortBody
            | Self::Uri
            | Self::Params => Some(400),
        }
    }

    /// The value of the metric's label.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::NotSip => "not_sip",
            Self::StartLine => "start_line",
            Self::Version => "version",
            Self::Nul => "nul",
            Self::LineBreak => "line_break",
            Self::HeaderName => "header_name",
            Self::NoBlankLine => "no_blank_line",
            Self::Repeated(_) => "repeated_header",
            Self::Missing(_) => "missing_header",
            Self::Invalid(_) => "invalid_header",
            Self::CSeqMethod => "cseq_method",
            Self::ContentLength => "content_length",
            Self::ShortBody => "short_body",
            Self::Uri => "uri",
            Self::Params => "params",
            Self::UriTooLong => "uri_too_long",
            Self::MessageTooLong => "message_too_long",
            Self::HeaderTooLong => "header_too_long",
            Self::TooManyHeaders => "too_many_headers",
            Self::TooManyVias => "too_many_vias",
        }
    }
}
