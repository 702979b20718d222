//! How connections end, and why some never begin.

use std::io;

use crate::net::streams::quota;
use crate::net::tls::Untrusted;
use crate::sip::error::ParseError;

/// How a connection ended.
#[derive(Debug)]
pub enum End {
    /// The peer closed it.
    Closed,
    /// The system says that it is broken.
    Broken(io::Error),
    /// The peer wrote what cannot be read any further.
    Unreadable(ParseError),
    /// A message took too long.
    Slow,
    /// Nothing came for a long time.
    Idle,
    /// The peer does not read.
    Unread,
    /// It gave way to another, having said nothing.
    Evicted,
    /// Nobody needs it any more.
    Dropped,
    /// The peer could not be connected to.
    Unconnected(io::Error),
    /// Connecting or the TLS handshake took too long.
    Unanswered,
    /// TLS: one of both does not trust the other, or they do not understand one another.
    Untrusted(Untrusted),
}

impl End {
    /// As a label of a bounded set.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken(_) => "broken",
            Self::Unreadable(_) => "unreadable",
            Self::Slow => "slow",
            Self::Idle => "idle",
            Self::Unread => "unread",
            Self::Evicted => "evicted",
            Self::Dropped => "dropped",
            Self::Unconnected(_) => "unconnected",
            Self::Unanswered => "unanswered",
            Self::Untrusted(why) => why.label(),
        }
    }

    /// In a sentence, for the log; nothing of it is the peer's text unescaped.
    #[must_use]
    pub fn explain(&self) -> String {
        match self {
            Self::Closed => "the peer closed it".to_owned(),
            Self::Broken(error) | Self::Unconnected(error) => error.to_string(),
            Self::Unreadable(error) => error.to_string(),
            Self::Slow => "a message was not whole in time".to_owned(),
            Self::Idle => "nothing came for a long time".to_owned(),
            Self::Unread => "the peer does not read".to_owned(),
            Self::Evicted => "another connection needed the place".to_owned(),
            Self::Dropped => "nobody needs it".to_owned(),
            Self::Unanswered => "no answer in time".to_owned(),
            Self::Untrusted(why) => why.to_string(),
        }
    }
}

/// Something about connections that is worth counting or logging.
#[derive(Debug)]
pub enum Happened {
    /// A connection is there: TLS has been agreed on.
    Opened {
        /// The way.
        flow: crate::sip::flow::Flow,
        /// Whether we opened it.
        is_ours: bool,
    },
    /// A connection ended, or could not be opened.
    Ended {
        /// The way.
        flow: crate::sip::flow::Flow,
        /// Whether we opened it.
        is_ours: bool,
        /// How.
        end: End,
    },
    /// A connection was not let in.
    Refused {
        /// The way it would have been.
        flow: crate::sip::flow::Flow,
        /// Why.
        why: quota::Refusal,
    },
    /// The system has no connection to give: too many open files, most likely.
    Unaccepted(io::Error),
}
