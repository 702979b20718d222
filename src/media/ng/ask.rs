//! A question for rtpengine, and what comes back: whoever asks does not wait for it, and knows the answer by its ticket.

use std::net::SocketAddr;
use std::time::Duration;

use crate::media::ng;
use crate::media::ng::{Names, Reply, Request};
use crate::media::plan::SessionId;

/// Which rtpengines there are, and how patient we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// All of them; none: every request is answered with [`Failure::Nowhere`].
    pub rtpengines: Vec<Rtpengine>,
    /// How long one of them may take to answer, with all that is sent again; then the next is tried.
    pub timeout: Duration,
    /// Time between two pings to one of them.
    pub ping: Duration,
}

impl Default for Terms {
    /// There are none; the rest is what `conf/strowger.toml` gives reasons for.
    fn default() -> Self {
        Self {
            rtpengines: Vec::new(),
            timeout: Duration::from_secs(1),
            ping: Duration::from_secs(5),
        }
    }
}

impl Terms {
    /// Whether there are any.
    #[must_use]
    pub fn is_any(&self) -> bool {
        !self.rtpengines.is_empty()
    }

    /// After how long an answer will not come any more, were all of them asked in turn.
    #[must_use]
    pub fn patience(&self) -> Duration {
        let count = u32::try_from(self.rtpengines.len()).unwrap_or(u32::MAX);
        self.timeout.saturating_mul(count) + MARGIN
    }
}

/// How much longer than that an answer may be under way within this process.
const MARGIN: Duration = Duration::from_secs(1);

/// One rtpengine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rtpengine {
    /// Where it listens for `ng`.
    pub address: SocketAddr,
    /// Its share of the calls, beside the others' weights.
    pub weight: u32,
}

/// Names a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// The call's media.
    pub session: SessionId,
    /// Tells the questions of one call from one another; 0: nobody waits for the answer.
    pub round: u32,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Comes back with the answer.
    pub ticket: Ticket,
    /// Where the call is; `None`: nowhere yet. A call that must leave its place begins anew under another name.
    pub place: Option<SocketAddr>,
    /// What is asked.
    pub request: Request,
}

/// An answer. Each question that was taken gets one.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Of the question.
    pub ticket: Ticket,
    /// Who answered, or was asked last; `None`: nobody was.
    pub place: Option<SocketAddr>,
    /// What the question called the call.
    pub names: Option<Names>,
    /// What it said.
    pub result: Result<Reply, Failure>,
}

/// Why there is no answer, or not the one that was wanted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It said no, or what nobody understands.
    #[error(transparent)]
    Said(#[from] ng::Fault),
    /// It did not answer in time.
    #[error("rtpengine did not answer in time")]
    Silent,
    /// Nothing listens there.
    #[error("rtpengine cannot be reached")]
    Unreachable,
    /// There is none, or none that answers pings.
    #[error("no rtpengine is there")]
    Nowhere,
    /// Too many requests wait for an answer.
    #[error("too many requests to rtpengine")]
    Busy,
}

impl Failure {
    /// Its name in metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Said(fault) => fault.label(),
            Self::Silent => "silent",
            Self::Unreachable => "unreachable",
            Self::Nowhere => "nowhere",
            Self::Busy => "busy",
        }
    }

    /// Whether another rtpengine may do better.
    #[must_use]
    pub fn is_its_own(&self) -> bool {
        match self {
            Self::Said(ng::Fault::Full(_)) | Self::Silent | Self::Unreachable => true,
            Self::Said(
                ng::Fault::TooLong
                | ng::Fault::Unreadable(_)
                | ng::Fault::Missing(_)
                | ng::Fault::Refused(_),
            )
            | Self::Nowhere
            | Self::Busy => false,
        }
    }
}
