//! Session timers (RFC 4028) of one dialog: what was agreed, when to refresh, and when to take the peer for gone.
//!
//! ```text
//!   we refresh     |------ interval/2 ------|---------------------| end: nobody answered
//!                  agreed                   refresh, and again if refused
//!   they refresh   |-----------------------------------|--32 s---| they would end it here
//!                  agreed                              end: no refresh came
//! ```

use std::time::{Duration, Instant};

use crate::sip::extensions::{self, Refresher, SessionExpires};
use crate::sip::message::{Head, Name};

/// What we want of a session timer, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The interval that we ask for, and the longest that we agree to.
    pub expires: u32,
    /// The shortest that we agree to.
    pub min: u32,
}

/// What a message of the peer's says of session timers.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    expires: Option<SessionExpires>,
    min: Option<u32>,
    supports: bool,
}

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreed {
    /// The interval, in seconds.
    pub interval: u32,
    /// Who refreshes.
    pub keeper: Keeper,
    /// Whether the peer knows session timers, so that it may be told to heed them.
    pub is_known: bool,
}

/// Who refreshes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeper {
    /// We do.
    Us,
    /// The peer does.
    Them,
}

/// The peer's interval is shorter than ours may be: 422 with Min-SE (§9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooShort {
    /// The least, in seconds.
    pub min: u32,
}

impl Asked {
    /// Reads Session-Expires, Min-SE and Supported (or Require, which says as much).
    #[must_use]
    pub fn of(head: &Head<'_>) -> Self {
        let names_timer = |name| extensions::lists(head, name, extensions::TIMER);
        Self {
            expires: SessionExpires::of(head),
            min: extensions::min_se(head),
            supports: names_timer(Name::Supported) || names_timer(Name::Require),
        }
    }

    /// Whether it is a request that keeps the session alive.
    #[must_use]
    pub fn is_refresh(&self) -> bool {
        self.expires.is_some()
    }
}

impl Terms {
    /// What we agree to as the UAS of a request (§9); `None`: no timer. `before` is what held until now.
    pub fn answer(
        &self,
        asked: &Asked,
        before: Option<&SessionTimer>,
    ) -> Result<Option<Agreed>, TooShort> {
        // Not below what the peer takes; 90 s is what RFC 4028 §4 lets everybody take.
        let most = self.expires.max(asked.min.unwrap_or(LEAST));
        let agreed = |interval, keeper| Agreed {
            interval,
            keeper,
            is_known: asked.supports,
        };
        match asked.expires {
            Some(expires) if expires.interval < self.min => {
                // Only who knows the timer understands a 422; the interval of a proxy is none of ours.
                if asked.supports {
                    Err(TooShort { min: self.min })
                } else {
                    Ok(None)
                }
            }
            Some(expires) => {
                let keeper = match expires.refresher {
                    _ if !asked.supports => Keeper::Us,
                    Some(Refresher::Uas) => Keeper::Us,
                    Some(Refresher::Uac) => Keeper::Them,
                    None => before.map_or(Keeper::Them, |before| before.agreed.keeper),
                };
                Ok(Some(agreed(expires.interval.min(most), keeper)))
            }
            None if asked.supports => Ok(Some(
                before.map_or_else(|| agreed(most, Keeper::Us), |before| before.agreed),
            )),
            None => Ok(None),
        }
    }

    /// What was agreed by a 2xx to a request of ours that asked for a timer (§7.2); `None`: none.
    #[must_use]
    pub fn accepted(&self, answered: &Asked) -> Option<Agreed> {
        let expires = answered.expires?;
        Some(Agreed {
            // What is shorter than anybody may ask for would keep us busy.
            interval: expires.interval.max(self.min.min(LEAST)),
            // It should say who; where it does not, we had better do it.
            keeper: match expires.refresher {
                Some(Refresher::Uac) | None => Keeper::Us,
                Some(Refresher::Uas) => Keeper::Them,
            },
            is_known: true,
        })
    }

    /// The interval to ask for after a 422; `None` if it asks for more than a day, or for nothing.
    #[must_use]
    pub fn raised(&self, head: &Head<'_>) -> Option<u32> {
        let least = extensions::min_se(head)?;
        (least <= MOST).then(|| least.max(self.expires))
    }
}

/// The timer of one dialog.
#[derive(Debug)]
pub struct SessionTimer {
    agreed: Agreed,
    /// When a refresh of ours is due.
    refresh: Option<Instant>,
    end: Instant,
}

/// What time made of a session.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// It is for us to refresh it.
    Refresh,
    /// It is over.
    Expired,
}

impl SessionTimer {
    /// Starts, or starts anew: a request that refreshes was answered with 2xx.
    #[must_use]
    pub fn start(now: Instant, agreed: Agreed) -> Self {
        let interval = Duration::from_secs(agreed.interval.into());
        let (refresh, end) = match agreed.keeper {
            Keeper::Us => (Some(now + interval / 2), now + interval),
            // §10: a little before the peer would end it.
            Keeper::Them => (None, now + interval - MARGIN.min(interval / 3)),
        };
        Self {
            agreed,
            refresh,
            end,
        }
    }

    /// What holds.
    #[must_use]
    pub fn agreed(&self) -> Agreed {
        self.agreed
    }

    /// Asks for `interval` seconds from the next refresh on.
    pub fn raise(&mut self, interval: u32) {
        self.agreed.interval = self.agreed.interval.max(interval);
    }

    /// Our refresh was refused, or could not be sent: the next comes after `pause`.
    pub fn again(&mut self, now: Instant, pause: Duration) {
        self.refresh = Some(now + pause);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Instant {
        self.refresh
            .map_or(self.end, |refresh| refresh.min(self.end))
    }

    /// Tells what is due. A refresh is due once; then it is answered, or [`again`](Self::again) is called.
    pub fn handle_timeout(&mut self, now: Instant) -> Due {
        if self.end <= now {
            return Due::Expired;
        }
        if self.refresh.take_if(|refresh| *refresh <= now).is_some() {
            return Due::Refresh;
        }
        Due::Nothing
    }
}

/// Every UA must take a session interval of 90 s (RFC 4028 §4).
const LEAST: u32 = 90;
/// A day: a session timer that is longer watches nothing.
const MOST: u32 = 86_400;
/// How long before its end a session is given up that nobody refreshed (§10).
const MARGIN: Duration = Duration::from_secs(32);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;
    use crate::sip::message::{Message, parse};

    const OURS: Terms = Terms {
        expires: 1800,
        min: 120,
    };

    /// RFC 4028 §9, Table 2, and what it leaves to us.
    #[test]
    fn as_uas_we_agree_as_the_table_says() {
        let on = |interval, keeper, is_known| {
            Ok(Some(Agreed {
                interval,
                keeper,
                is_known,
            }))
        };
        let table = [
            ("", Ok(None)),
            ("Supported: timer", on(1800, Keeper::Us, true)),
            (
                "Supported: timer\r\nMin-SE: 2400",
                on(2400, Keeper::Us, true),
            ),
            (
                "Supported: timer\r\nSession-Expires: 600",
                on(600, Keeper::Them, true),
            ),
            (
                "Require: timer\r\nx: 600;refresher=uac",
                on(600, Keeper::Them, true),
            ),
            (
                "k: timer\r\nx: 600;refresher=uas",
                on(600, Keeper::Us, true),
            ),
            ("x: 600;refresher=uac", on(600, Keeper::Us, false)),
            ("k: timer\r\nx: 7200", on(1800, Keeper::Them, true)),
            (
                "k: timer\r\nx: 7200\r\nMin-SE: 3600",
                on(3600, Keeper::Them, true),
            ),
            ("k: timer\r\nx: 119", Err(TooShort { min: 120 })),
            ("x: 119", Ok(None)),
            ("k: timer\r\nx: soon", on(1800, Keeper::Us, true)),
        ];
        for (headers, expected) in table {
            let found = OURS.answer(&asked(headers), None);

            assert_eq!(found, expected, "{headers}");
        }
    }

    #[test]
    fn a_refresh_that_does_not_say_who_leaves_it_as_it_was() {
        for keeper in [Keeper::Us, Keeper::Them] {
            let before = agreed(600, keeper);
            let timer = SessionTimer::start(clock::now(), before);

            for headers in ["k: timer", "k: timer\r\nx: 600"] {
                let found = OURS.answer(&asked(headers), Some(&timer));
                assert_eq!(found, Ok(Some(before)), "{headers}");
            }
        }
    }

    #[test]
    fn a_2xx_without_refresher_makes_us_refresh() {
        let table = [
            ("", None),
            ("x: 1800", Some(agreed(1800, Keeper::Us))),
            ("x: 1800;refresher=uac", Some(agreed(1800, Keeper::Us))),
            ("x: 1800;refresher=uas", Some(agreed(1800, Keeper::Them))),
            ("x: 1;refresher=uac", Some(agreed(90, Keeper::Us))),
        ];
        for (headers, expected) in table {
            assert_eq!(OURS.accepted(&asked(headers)), expected, "{headers}");
        }
    }

    #[test]
    fn a_422_raises_the_interval_up_to_a_day() {
        let raised = |headers: &str| OURS.raised(&read(&message(headers)));

        assert_eq!(raised("Min-SE: 3600"), Some(3600));
        assert_eq!(raised("Min-SE: 90"), Some(1800));
        assert_eq!(raised("Min-SE: 86401"), None);
        assert_eq!(raised("X: y"), None);
    }

    #[test]
    fn we_refresh_at_half_time_and_give_up_at_the_end() {
        let start = clock::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timer = SessionTimer::start(start, agreed(600, Keeper::Us));

        assert_eq!(timer.poll_timeout(), at(300));
        assert_eq!(timer.handle_timeout(at(299)), Due::Nothing);
        assert_eq!(timer.handle_timeout(at(300)), Due::Refresh);
        assert_eq!(timer.handle_timeout(at(300)), Due::Nothing);
        timer.again(at(301), Duration::from_secs(4));
        assert_eq!(timer.handle_timeout(at(305)), Due::Refresh);
        assert_eq!(timer.poll_timeout(), at(600));
        assert_eq!(timer.handle_timeout(at(600)), Due::Expired);
    }

    #[test]
    fn they_have_until_a_third_or_32_s_before_the_end() {
        for (interval, end) in [(600, 568), (90, 60)] {
            let start = clock::now();
            let timer = SessionTimer::start(start, agreed(interval, Keeper::Them));

            assert_eq!(timer.poll_timeout() - start, Duration::from_secs(end));
        }
    }

    fn agreed(interval: u32, keeper: Keeper) -> Agreed {
        Agreed {
            interval,
            keeper,
            is_known: true,
        }
    }

    fn message(headers: &str) -> String {
        let end = if headers.is_empty() { "" } else { "\r\n" };
        format!("INVITE sip:a@example.com SIP/2.0\r\n{headers}{end}\r\n")
    }

    fn read(text: &str) -> Head<'_> {
        match parse(text.as_bytes()) {
            Ok(Message::Request(request)) => request.head,
            other => panic!("{other:?}"),
        }
    }

    fn asked(headers: &str) -> Asked {
        Asked::of(&read(&message(headers)))
    }
}
