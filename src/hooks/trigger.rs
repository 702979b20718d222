//! When a webhook fires.
//!
//! ```text
//! received   chosen     answered   while it lasts     over
//! start      selected   answered   timer  postback    connect   conversion | non-conversion   always
//! └──── pings: the answer is read ─┘└──────── browser-emulated: redirects, cookies, the answer is nothing ───────┘
//! ```

use std::fmt;

/// What a webhook waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trigger {
    /// The call was received: its number is known, its caller may call.
    Start,
    /// A buyer was chosen and has not been called yet; once for each buyer that is tried.
    Selected,
    /// A buyer has answered.
    Answered,
    /// The call has lasted so long since the answer.
    Timer,
    /// A postback came.
    Postback,
    /// The call is over, and a buyer had answered it.
    Connect,
    /// The call has met the criterion of its conversion group.
    Conversion,
    /// The call is over and has not met it.
    NonConversion,
    /// The call is over, and all other webhooks have fired.
    Always,
}

/// How a webhook is sent, and what its answer is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// During the call, and its answer becomes tags.
    Ping,
    /// As a browser would fetch it: redirects are followed, the cookies of one call are kept. The answer means nothing.
    Browser,
}

impl Trigger {
    /// All of them, in the order in which those of one call fire.
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Selected,
        Self::Answered,
        Self::Timer,
        Self::Postback,
        Self::Connect,
        Self::Conversion,
        Self::NonConversion,
        Self::Always,
    ];

    /// Its name in the configuration, in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Selected => "selected",
            Self::Answered => "answered",
            Self::Timer => "timer",
            Self::Postback => "postback",
            Self::Connect => "connect",
            Self::Conversion => "conversion",
            Self::NonConversion => "non-conversion",
            Self::Always => "always",
        }
    }

    /// How its webhooks are sent.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::Start | Self::Selected | Self::Answered => Class::Ping,
            Self::Timer
            | Self::Postback
            | Self::Connect
            | Self::Conversion
            | Self::NonConversion
            | Self::Always => Class::Browser,
        }
    }

    /// Whether the call is over when it fires, so that all of its times are known. A postback may come before that.
    #[must_use]
    pub fn is_after_call(self) -> bool {
        match self {
            Self::Connect | Self::Conversion | Self::NonConversion | Self::Always => true,
            Self::Start | Self::Selected | Self::Answered | Self::Timer | Self::Postback => false,
        }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl Class {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Browser => "browser",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triggers_are_in_the_order_in_which_they_fire() {
        assert!(Trigger::ALL.is_sorted());
        let pings = Trigger::ALL.iter().filter(|one| one.class() == Class::Ping);
        let pings: Vec<_> = pings.map(|one| one.label()).collect();
        assert_eq!(pings, ["start", "selected", "answered"]);
        assert_eq!(Trigger::ALL.last(), Some(&Trigger::Always));
    }
}
