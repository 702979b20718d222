//! Strangers: how much they may ask, and when they are not heard any more.
//!
//! ```text
//!                       ┌──────────── right password ───────────> friend, for a day
//!   stranger ──offences──> banned ──time is up──> stranger ──offences──> banned for twice as long ...
//!       │                    └─ INVITEs now and then
//!       └─ so many datagrams a second from one sender, and from all of them
//! ```
//!
//! # What a forged source can do
//!
//! Over UDP anybody can write anybody's address, so a ban must not be a way to silence somebody else:
//!
//! - Addresses that the configuration names are not judged here at all.
//! - Nor are friends: a right password takes a nonce of ours, so whoever shows one hears what is sent to it.
//! - What belongs to a call passes a ban; the owner of this table looks after that, for it takes our tag or our
//!   branch, 128 random bits, to belong to one.
//! - An INVITE now and then passes a ban, so that a user whose address was abused before it ever logged in is
//!   challenged, logs in, and is a friend. A scanner gains a challenge in two seconds.
//!
//! # Memory
//!
//! The table has a fixed number of places, in sets of four that a keyed hash chooses, so no choice of addresses
//! crowds one place. Who has to go: those with nothing against or for them first, then the banned whose time is
//! up next, friends last. While the strangers' common budget is used up nobody new is written down, so a
//! flood from everywhere does not wash out the bans.

use std::hash::{Hash as _, Hasher as _};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use siphasher::sip::SipHasher13;

use crate::auth::bucket::Bucket;
use crate::auth::source::Source;

/// What strangers may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Refusals within `window` that ban; 0: nobody is banned.
    pub refusals: u32,
    /// How long a refusal counts.
    pub window: Duration,
    /// Length of a sender's first ban; each further one is twice as long.
    pub ban: Duration,
    /// Length that no ban exceeds; and how long one is remembered after its end.
    pub longest_ban: Duration,
    /// Datagrams per second from one stranger, in the long run; 0: as many as it likes.
    pub rate: u32,
    /// Datagrams from one stranger at once.
    pub burst: u32,
    /// Datagrams per second from all strangers together; 0: as many as they like.
    pub strangers: u32,
    /// Senders that are remembered.
    pub senders: usize,
    /// Wrong passwords for one user from one address within `lock`, after which none is looked at; 0: there is no
    /// end to them.
    pub guesses: u32,
    /// How long none is looked at.
    pub lock: Duration,
    /// INVITEs that one stranger who has logged in may leave open; 0: as many as it likes.
    pub half_open: u32,
}

impl Default for Rules {
    /// What `conf/strowger.toml` gives reasons for.
    fn default() -> Self {
        Self {
            refusals: 20,
            window: Duration::from_secs(60),
            ban: Duration::from_secs(60),
            longest_ban: Duration::from_secs(3600),
            rate: 20,
            burst: 100,
            strangers: 5000,
            senders: 16_384,
            guesses: 5,
            lock: Duration::from_secs(900),
            half_open: 64,
        }
    }
}

/// Whether a stranger's datagram is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Read,
    /// It is, for it is a friend's, of this trunk.
    Friend(u32),
    /// It is not.
    Drop(Shut),
}

/// Why a datagram is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut {
    /// Its sender is banned.
    Banned,
    /// Its sender has used up its share.
    Rate,
    /// All strangers together have.
    Budget,
}

impl Shut {
    /// The label of the metric.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Banned => "banned",
            Self::Rate => "rate",
            Self::Budget => "budget",
        }
    }
}

/// A ban that has just begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ban {
    /// Who is banned.
    pub source: Source,
    /// For how long.
    pub length: Duration,
    /// Which one it is, from 1.
    pub count: u32,
}

/// How much an offence weighs: tenths of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight(pub u32);

/// All strangers of one shard.
pub struct Bans {
    rules: Rules,
    start: Instant,
    key: [u8; 16],
    /// Empty until the first stranger comes.
    sets: Vec<[Place; WAYS]>,
    budget: Bucket,
}

/// What is known of one sender. Times are microseconds from the start; 0 is never.
#[derive(Debug, Clone, Copy)]
struct Place {
    source: Source,
    /// What it sends: its datagrams, or, while it is banned, its INVITEs without credentials.
    rate: Bucket,
    /// What it is charged with, or, while it is banned, its INVITEs with credentials.
    offences: Bucket,
    seen: u64,
    banned_until: u64,
    friend_until: u64,
    bans: u32,
    /// The trunk of the user who logged in there.
    trunk: u32,
}

/// Places per set.
const WAYS: usize = 4;

impl Bans {
    /// Knows nobody. `key` is drawn at random: who could tell which senders share a set could crowd it.
    #[must_use]
    pub fn new(start: Instant, key: [u8; 16], rules: Rules) -> Self {
        Self {
            rules,
            start,
            key,
            sets: Vec::new(),
            budget: Bucket::default(),
        }
    }

    /// Goes by other rules from now on. If they give the table another size, it begins anew.
    pub fn set_rules(&mut self, rules: Rules) {
        if rules.senders != self.rules.senders {
            self.sets = Vec::new();
        }
        self.rules = rules;
    }

    /// A datagram has come from `address`, which the configuration does not name.
    pub fn judge(&mut self, now: Instant, address: IpAddr) -> Verdict {
        let now = self.clock(now);
        let source = Source::of(address);
        let Rules {
            rate,
            burst,
            strangers,
            ..
        } = self.rules;
        let mut is_known = false;
        if let Some(place) = self.find(source) {
            if place.friend_until > now {
                return Verdict::Friend(place.trunk);
            }
            if place.banned_until > now {
                return Verdict::Drop(Shut::Banned);
            }
            is_known = true;
        }
        if !is_known && strangers > 0 && !self.has_budget(now) {
            return Verdict::Drop(Shut::Budget);
        }
        if rate > 0 {
            let each = SECOND / u64::from(rate);
            let depth = each * u64::from(burst.max(1));
            let place = self.place(now, source);
            if place.is_some_and(|place| !place.rate.takes(now, each, depth)) {
                return Verdict::Drop(Shut::Rate);
            }
        }
        if is_known && strangers > 0 && !self.has_budget(now) {
            return Verdict::Drop(Shut::Budget);
        }
        Verdict::Read
    }

    /// Whether an INVITE of a banned sender is read all the same. Those with credentials are counted apart, so that a user
    /// who has been challenged is heard however many others come from there.
    pub fn lets_invite_pass(
        &mut self,
        now: Instant,
        address: IpAddr,
        has_credentials: bool,
    ) -> bool {
        let now = self.clock(now);
        let is_let = match self.find(Source::of(address)) {
            Some(place) => {
                let bucket = if has_credentials {
                    &mut place.offences
                } else {
                    &mut place.rate
                };
                bucket.takes(now, TRICKLE, TRICKLE_BURST * TRICKLE)
            }
            None => true,
        };
        is_let && (self.rules.strangers == 0 || self.has_budget(now))
    }

    /// A stranger did what strangers should not. `Some`: that was once too often.
    pub fn charge(
        &mut self,
        now: Instant,
        source: impl Into<Source>,
        weight: Weight,
    ) -> Option<Ban> {
        let Rules {
            refusals,
            window,
            ban,
            longest_ban,
            ..
        } = self.rules;
        if refusals == 0 || weight.0 == 0 {
            return None;
        }
        let now = self.clock(now);
        let window = micros(window).max(1);
        // Rounded up, so that the last one fills it.
        let each = (u64::from(weight.0) * window).div_ceil(10 * u64::from(refusals));
        let source = source.into();
        let place = self.place(now, source)?;
        if place.friend_until > now
            || place.banned_until > now
            || !place.offences.fill(now, each, window)
        {
            return None;
        }
        if place.banned_until + micros(longest_ban) < now {
            place.bans = 0;
        }
        let length = ban.saturating_mul(1 << place.bans.min(20)).min(longest_ban);
        place.bans = place.bans.saturating_add(1);
        place.banned_until = now + micros(length);
        place.offences = Bucket::default();
        place.rate = Bucket::default();
        Some(Ban {
            source,
            length,
            count: place.bans,
        })
    }

    /// Another table has banned it: no offence of it is counted here any more, and it is not heard here either.
    pub fn impose(&mut self, now: Instant, ban: &Ban) {
        let now = self.clock(now);
        let Some(place) = self.place(now, ban.source) else {
            return;
        };
        if place.friend_until > now {
            return;
        }
        place.banned_until = place.banned_until.max(now + micros(ban.length));
        place.bans = place.bans.max(ban.count);
        place.offences = Bucket::default();
        place.rate = Bucket::default();
    }

    /// The ban that holds for it, with the time that is left of it.
    pub fn ban_of(&mut self, now: Instant, source: impl Into<Source>) -> Option<Ban> {
        let now = self.clock(now);
        let source = source.into();
        let place = self.find(source)?;
        let left = place
            .banned_until
            .checked_sub(now)
            .filter(|left| *left > 0)?;
        Some(Ban {
            source,
            length: Duration::from_micros(left),
            count: place.bans,
        })
    }

    /// A user of `trunk` has logged in there: it is no stranger for a day, and no ban holds. `true`: that is news,
    /// or was not told for an hour.
    pub fn befriend(&mut self, now: Instant, source: impl Into<Source>, trunk: u32) -> bool {
        let now = self.clock(now);
        let Some(place) = self.place(now, source.into()) else {
            return false;
        };
        let is_news = place.friend_until < now + micros(FRIENDSHIP - NEWS) || place.trunk != trunk;
        if !is_news {
            return false;
        }
        place.friend_until = now + micros(FRIENDSHIP);
        place.banned_until = 0;
        place.offences = Bucket::default();
        place.bans = 0;
        place.trunk = trunk;
        true
    }

    /// The trunk of the user who logged in there.
    #[must_use]
    pub fn friend(&mut self, now: Instant, address: IpAddr) -> Option<u32> {
        let now = self.clock(now);
        self.find(Source::of(address))
            .filter(|place| place.friend_until > now)
            .map(|place| place.trunk)
    }

    /// How many are banned. Walks over the whole table: ask about once a second.
    #[must_use]
    pub fn active(&self, now: Instant) -> usize {
        let now = self.clock(now);
        self.sets
            .iter()
            .flatten()
            .filter(|place| place.banned_until > now)
            .count()
    }

    fn has_budget(&mut self, now: u64) -> bool {
        let each = SECOND / u64::from(self.rules.strangers.max(1));
        self.budget.takes(now, each, BUDGET_DEPTH.max(each))
    }

    fn find(&mut self, source: Source) -> Option<&mut Place> {
        self.set(source)?
            .iter_mut()
            .find(|place| place.seen > 0 && place.source == source)
    }

    fn set(&mut self, source: Source) -> Option<&mut [Place; WAYS]> {
        let count = self.sets.len().checked_sub(1)?;
        let mut hasher = SipHasher13::new_with_key(&self.key);
        source.hash(&mut hasher);
        // The length is a power of two.
        self.sets.get_mut(hasher.finish() as usize & count)
    }

    /// The place of `source`, made free for it if it has none. `None` never is: each set has places.
    fn place(&mut self, now: u64, source: Source) -> Option<&mut Place> {
        if self.sets.is_empty() {
            let sets = (self.rules.senders / WAYS).max(1).next_power_of_two();
            self.sets = vec![[Place::NOBODY; WAYS]; sets];
        }
        let set = self.set(source)?;
        let place = set
            .iter_mut()
            .min_by_key(|place| place.worth(now, source))?;
        if place.source != source || place.seen == 0 {
            *place = Place {
                source,
                ..Place::NOBODY
            };
        }
        // Zero stands for a place that nobody has.
        place.seen = now.max(1);
        Some(place)
    }

    /// Microseconds from the start.
    fn clock(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.start))
    }
}

impl Place {
    const NOBODY: Self = Self {
        source: Source::V4(0),
        rate: Bucket::EMPTY,
        offences: Bucket::EMPTY,
        seen: 0,
        banned_until: 0,
        friend_until: 0,
        bans: 0,
        trunk: 0,
    };

    /// The place with the least worth is taken: the sender's own, or that of whom it is the least harm to forget.
    fn worth(&self, now: u64, source: Source) -> (u8, u64) {
        let is_clean = self.rate.is_empty(now) && self.offences.is_empty(now);
        if self.seen == 0 {
            (1, 0)
        } else if self.source == source {
            (0, 0)
        } else if self.friend_until > now {
            (5, self.friend_until)
        } else if self.banned_until > now {
            (4, self.banned_until)
        } else if is_clean {
            (2, self.seen)
        } else {
            (3, self.seen)
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A second, in microseconds.
const SECOND: u64 = 1_000_000;
/// What of their common budget strangers may use up at once.
const BUDGET_DEPTH: u64 = SECOND / 5;
/// Time between two INVITEs of a banned sender that are read, and how many may come at once: one, and the same again.
const TRICKLE: u64 = 2 * SECOND;
const TRICKLE_BURST: u64 = 2;
/// How long a login makes a friend.
const FRIENDSHIP: Duration = Duration::from_secs(24 * 3600);
/// A login is no news if there was one so short a time ago.
const NEWS: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests;
