//! How long a call has been quiet, and whether that is too long.

use std::time::{Duration, Instant};

use crate::media::plan::{Party, Patience};

/// Watches over one call.
#[derive(Debug)]
pub struct Vigil {
    patience: Patience,
    answered: Option<Instant>,
    /// Since when each party may send; `None`: it may not.
    may_send: [Option<Instant>; 2],
    /// Since when not both may.
    held: Option<Instant>,
    /// When each was heard last.
    heard: [Option<Instant>; 2],
    /// When anything came last, RTCP included.
    seen: Instant,
    /// When each one's silence was told of last, since it was heard last.
    told: [Option<Instant>; 2],
}

/// Who has been quiet for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quiet {
    /// Nobody is heard.
    Both,
    /// This one is not, but the other is.
    OneWay(Party),
    /// The call is on hold, and nothing comes.
    Hold,
}

impl Quiet {
    /// As metrics and records call it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::OneWay(Party::Caller) => "caller",
            Self::OneWay(Party::Buyer) => "buyer",
            Self::Hold => "hold",
        }
    }
}

impl Vigil {
    /// Begins; `may_send` by [`Party::index`].
    #[must_use]
    pub fn new(now: Instant, patience: Patience, may_send: [bool; 2]) -> Self {
        let mut vigil = Self {
            patience,
            answered: None,
            may_send: [None; 2],
            held: None,
            heard: [None; 2],
            seen: now,
            told: [None; 2],
        };
        vigil.renew(now, patience, may_send);
        vigil
    }

    /// Goes by another plan. What was told of before is told of again if it lasts.
    pub fn renew(&mut self, now: Instant, patience: Patience, may_send: [bool; 2]) {
        self.patience = patience;
        self.answered = patience.is_answered.then(|| self.answered.unwrap_or(now));
        for (since, may) in self.may_send.iter_mut().zip(may_send) {
            *since = may.then(|| since.unwrap_or(now));
        }
        let is_held = may_send != [true; 2];
        self.held = is_held.then(|| self.held.unwrap_or(now));
        self.told = [None; 2];
    }

    /// Takes note of a packet of `party`; RTCP is none that is heard.
    #[inline]
    pub fn handle(&mut self, now: Instant, party: Party, is_rtcp: bool) {
        // What is told of packets that went another way comes later than they did.
        self.seen = self.seen.max(now);
        let [caller, buyer] = &mut self.heard;
        let [told_caller, told_buyer] = &mut self.told;
        let (heard, told) = match party {
            Party::Caller => (caller, told_caller),
            Party::Buyer => (buyer, told_buyer),
        };
        if !is_rtcp {
            *heard = (*heard).max(Some(now));
        }
        *told = None;
    }

    /// Who has been quiet for too long; said once a minute while it lasts.
    pub fn check(&mut self, now: Instant) -> Option<Quiet> {
        let answered = self.answered?;
        let quiet = match self.held {
            Some(held) => {
                let since = self.seen.max(held).max(answered);
                let is_over = is_over(now, since, self.patience.hold);
                let is_news = Party::BOTH.iter().any(|party| !self.is_told(now, *party));
                (is_over && is_news).then_some(Quiet::Hold)
            }
            None => self.who_is_silent(now, answered),
        };
        let [caller, buyer] = &mut self.told;
        match quiet? {
            Quiet::Both | Quiet::Hold => (*caller, *buyer) = (Some(now), Some(now)),
            Quiet::OneWay(Party::Caller) => *caller = Some(now),
            Quiet::OneWay(Party::Buyer) => *buyer = Some(now),
        }
        quiet
    }

    /// Whether it need not be told that `party` is silent.
    fn is_told(&self, now: Instant, party: Party) -> bool {
        let told = self.told.get(party.index()).copied().flatten();
        told.is_some_and(|told| now.saturating_duration_since(told) < AGAIN)
    }

    fn who_is_silent(&self, now: Instant, answered: Instant) -> Option<Quiet> {
        let mut found = None;
        for party in Party::BOTH {
            let (since, limit) = self.silence_of(party, answered);
            if self.is_told(now, party) || !is_over(now, since, limit) {
                continue;
            }
            // Both stopped at the same time, more or less, if the other has been quiet for half as long.
            let (others, _) = self.silence_of(party.other(), answered);
            let is_both = is_over(now, others, limit.map(|limit| limit / 2));
            found = Some(if is_both {
                Quiet::Both
            } else {
                Quiet::OneWay(party)
            });
        }
        found
    }

    /// Since when `party` is silent, and how long it may be.
    fn silence_of(&self, party: Party, answered: Instant) -> (Instant, Option<Duration>) {
        let of = |times: &[Option<Instant>; 2]| times.get(party.index()).copied().flatten();
        let begin = of(&self.may_send).map_or(answered, |since| since.max(answered));
        match of(&self.heard) {
            Some(heard) if heard >= begin => (heard, self.patience.silence),
            _ => (begin, self.patience.start),
        }
    }
}

fn is_over(now: Instant, since: Instant, limit: Option<Duration>) -> bool {
    limit.is_some_and(|limit| now.saturating_duration_since(since) >= limit)
}

/// Whoever was told may have been too busy to hear it.
const AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        is_answered: true,
        start: Some(Duration::from_secs(20)),
        silence: Some(Duration::from_secs(30)),
        hold: Some(Duration::from_secs(1800)),
    };

    #[test]
    fn nobody_is_missed_before_the_answer() {
        let (mut vigil, at) = (vigil(Patience::default()), at);

        assert_eq!(vigil.check(at(100_000)), None);
        vigil.renew(at(100_000), PATIENCE, [true; 2]);
        assert_eq!(vigil.check(at(100_019)), None);
        assert_eq!(vigil.check(at(100_020)), Some(Quiet::Both));
        assert_eq!(vigil.check(at(100_040)), None, "it was told");
    }

    #[test]
    fn who_never_spoke_is_missed_when_the_other_does() {
        let mut vigil = vigil(PATIENCE);
        for second in 0..20 {
            vigil.handle(at(second), Party::Caller, false);
            vigil.handle(at(second), Party::Buyer, true);
            assert_eq!(vigil.check(at(second)), None);
        }

        assert_eq!(vigil.check(at(20)), Some(Quiet::OneWay(Party::Buyer)));
    }

    #[test]
    fn who_falls_silent_is_missed_once_a_minute() {
        let mut vigil = vigil(PATIENCE);
        let mut told = Vec::new();
        for second in 0..200 {
            vigil.handle(at(second), Party::Buyer, false);
            if second < 10 || second == 100 {
                vigil.handle(at(second), Party::Caller, false);
            }
            if let Some(quiet) = vigil.check(at(second)) {
                told.push((second, quiet));
            }
        }

        let quiet = Quiet::OneWay(Party::Caller);
        assert_eq!(told, [39, 99, 130, 190].map(|second| (second, quiet)));
    }

    #[test]
    fn when_both_stop_it_is_nobodys_fault() {
        let mut vigil = vigil(PATIENCE);
        vigil.handle(at(5), Party::Caller, false);
        vigil.handle(at(9), Party::Buyer, false);

        assert_eq!(vigil.check(at(34)), None);
        assert_eq!(vigil.check(at(35)), Some(Quiet::Both));
    }

    #[test]
    fn hold_has_its_own_patience_and_ends_with_a_new_start() {
        let mut vigil = vigil(PATIENCE);
        vigil.handle(at(1), Party::Caller, false);
        vigil.handle(at(1), Party::Buyer, false);
        vigil.renew(at(10), PATIENCE, [true, false]);

        assert_eq!(vigil.check(at(1000)), None);
        vigil.handle(at(1000), Party::Buyer, true);
        assert_eq!(vigil.check(at(2799)), None);
        vigil.renew(at(2799), PATIENCE, [true; 2]);
        vigil.handle(at(2815), Party::Caller, false);
        assert_eq!(
            vigil.check(at(2819)),
            Some(Quiet::OneWay(Party::Buyer)),
            "it has its start again; the other one is there"
        );
        vigil.renew(at(2820), PATIENCE, [false, false]);
        assert_eq!(vigil.check(at(4619)), None);
        assert_eq!(vigil.check(at(4620)), Some(Quiet::Hold));
    }

    #[test]
    fn without_limits_it_waits_for_ever() {
        let patience = Patience {
            is_answered: true,
            ..Patience::default()
        };
        let mut vigil = vigil(patience);

        assert_eq!(vigil.check(at(1 << 30)), None);
        vigil.renew(at(0), patience, [false, true]);
        assert_eq!(vigil.check(at(1 << 30)), None);
    }

    fn vigil(patience: Patience) -> Vigil {
        Vigil::new(at(0), patience, [true; 2])
    }

    fn at(seconds: u64) -> Instant {
        start() + Duration::from_secs(seconds)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "tests need some instant to begin with"
    )]
    fn start() -> Instant {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        *START.get_or_init(Instant::now)
    }
}
