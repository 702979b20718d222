//! Why there is no answer: who is at fault, and whether it is worth another try.

use thiserror::Error;

/// Why there is no answer. The labels are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Failure {
    /// It is no URL of http or https, or it holds credentials.
    #[error("no web address")]
    BadUrl,
    /// A header cannot be written.
    #[error("a header cannot be written")]
    BadHeader,
    /// The host is where nobody may reach: see `allow` of the configuration.
    #[error("the address is not public, and not allowed")]
    ForbiddenAddress,
    /// The port is none of the configuration's.
    #[error("the port is not allowed")]
    ForbiddenPort,
    /// DNS knows no such host.
    #[error("no such host")]
    NoSuchHost,
    /// DNS did not answer.
    #[error("DNS did not answer")]
    Dns,
    /// Nobody takes the connection.
    #[error("no connection")]
    Connect,
    /// TLS was not agreed on.
    #[error("no TLS that both trust")]
    Tls,
    /// Too many requests to this host are under way.
    #[error("too many requests to the host are under way")]
    HostBusy,
    /// The host failed too often a short while ago.
    #[error("the host is left alone for a while")]
    HostDown,
    /// The connection broke, or what came is no HTTP.
    #[error("the connection broke, or the answer is no HTTP")]
    Broken,
    /// The answer is too long.
    #[error("the answer is longer than it may be")]
    TooLong,
    /// It leads on to too many places.
    #[error("too many redirects")]
    TooManyRedirects,
    /// The time was over; whether the request has arrived is not known.
    #[error("not answered in time")]
    TimedOut,
    /// The time was over before the request was sent.
    #[error("not reached in time")]
    TimedOutUnsent,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::BadUrl,
        Self::BadHeader,
        Self::ForbiddenAddress,
        Self::ForbiddenPort,
        Self::NoSuchHost,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::HostBusy,
        Self::HostDown,
        Self::Broken,
        Self::TooLong,
        Self::TooManyRedirects,
        Self::TimedOut,
        Self::TimedOutUnsent,
    ];

    /// As a label of a bounded set.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::BadUrl => "bad_url",
            Self::BadHeader => "bad_header",
            Self::ForbiddenAddress => "forbidden_address",
            Self::ForbiddenPort => "forbidden_port",
            Self::NoSuchHost => "no_such_host",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::HostBusy => "host_busy",
            Self::HostDown => "host_down",
            Self::Broken => "broken",
            Self::TooLong => "too_long",
            Self::TooManyRedirects => "too_many_redirects",
            Self::TimedOut => "timed_out",
            Self::TimedOutUnsent => "timed_out_unsent",
        }
    }

    /// Whether certainly nothing has arrived, so that it can be sent again without anything happening twice.
    #[must_use]
    pub fn is_unsent(self) -> bool {
        match self {
            Self::BadUrl
            | Self::BadHeader
            | Self::ForbiddenAddress
            | Self::ForbiddenPort
            | Self::NoSuchHost
            | Self::Dns
            | Self::Connect
            | Self::Tls
            | Self::HostBusy
            | Self::HostDown
            | Self::TimedOutUnsent => true,
            Self::Broken | Self::TooLong | Self::TooManyRedirects | Self::TimedOut => false,
        }
    }

    /// Whether it may be otherwise next time, without anybody changing anything.
    #[must_use]
    pub fn may_pass(self) -> bool {
        match self {
            Self::BadUrl
            | Self::BadHeader
            | Self::ForbiddenAddress
            | Self::ForbiddenPort
            | Self::TooLong
            | Self::TooManyRedirects => false,
            Self::NoSuchHost
            | Self::Dns
            | Self::Connect
            | Self::Tls
            | Self::HostBusy
            | Self::HostDown
            | Self::Broken
            | Self::TimedOut
            | Self::TimedOutUnsent => true,
        }
    }

    /// Whether it counts against the host.
    pub(super) fn is_hosts_fault(self) -> bool {
        match self {
            Self::NoSuchHost
            | Self::Dns
            | Self::Connect
            | Self::Tls
            | Self::Broken
            | Self::TimedOut
            | Self::TimedOutUnsent => true,
            Self::BadUrl
            | Self::BadHeader
            | Self::ForbiddenAddress
            | Self::ForbiddenPort
            | Self::HostBusy
            | Self::HostDown
            | Self::TooLong
            | Self::TooManyRedirects => false,
        }
    }

    /// Whether there was no connection to send it by.
    pub(super) fn is_of_connecting(self) -> bool {
        matches!(self, Self::Dns | Self::Connect | Self::Tls)
    }
}
