//! What is known of a call's media when it is over, for its record.

use std::net::SocketAddr;
use std::time::Duration;

/// What came from both parties.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Figures {
    /// By [`Party::index`](crate::media::plan::Party::index).
    pub parties: [Heard; 2],
}

/// What came from one party, over all its streams.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heard {
    /// RTP packets that were passed on.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Packets that never came, by their sequence numbers (RFC 3550 §6.4.1).
    pub lost: u64,
    /// Packets that were not passed on, whatever the reason.
    pub dropped: u64,
    /// Of those, packets from elsewhere.
    pub foreign: u64,
    /// RTCP packets that were passed on.
    pub rtcp: u64,
    /// Interarrival jitter at the end (RFC 3550 §6.4.1).
    pub jitter: Duration,
    /// The most it was.
    pub jitter_max: Duration,
    /// Estimated mean opinion score in hundredths (100 to 450, ITU-T G.107 simplified); `None`: too little was heard.
    pub mos: Option<u16>,
    /// From where it was heard last; `None`: nothing came.
    pub source: Option<SocketAddr>,
    /// Digits pressed (RFC 4733), if the call keeps them.
    pub digits: String,
}
