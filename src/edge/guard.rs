//! Who is heard: asked of every datagram before it is read.
//!
//! ```text
//!   named in the configuration, or found by such a name ────> read
//!   friend (logged in within a day) ────────────────────────> read
//!   stranger ── not banned, within its rate and the budget ─> read
//!            └─ else, if it belongs to a call of ours ──────> read
//!            └─ else, if banned and an INVITE, now and then > read
//!            └─ else ──> dropped and counted
//! ```
//!
//! The kernel gives what comes from one address to one shard or another, by its port too. So that a scanner with many ports has
//! no more tries than one with a single port, each address has one shard that keeps its score:
//!
//! ```text
//!   shard 0 ── Offence ──> shard 2, whose the address is ── too many: Banned ──> all others
//!   shard 1 ── Offence ──>    └─ banned already: Banned ──> the one that told
//!   any shard: a login ── Friend ──> all others
//! ```
//!
//! What one shard bans for coming too often it bans by itself, for a flood is no place for a letter per datagram, and tells the others.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::auth::ban::{Ban, Bans, Shut, Verdict, Weight};
use crate::auth::found::Found;
use crate::auth::source::Source;
use crate::call::Engine;
use crate::call::output::{Event, Refusal};
use crate::call::policy::{Known, Policy};
use crate::edge::valve::Payer;
use crate::net::resolver::Told;
use crate::sip::glance::Glance;
use crate::types::ids::ShardId;

/// The guard of one shard.
pub(super) struct Guard {
    own: ShardId,
    /// How many shards there are.
    shards: usize,
    policy: Arc<Policy>,
    familiar: Familiar,
    found: Found,
    bans: Bans,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Somebody whom the configuration names, or who has logged in.
    Welcome(Payer),
    /// Somebody else, who is heard.
    Stranger,
    /// Somebody else, who is not.
    Shut(Shut),
}

/// What the guard of one shard tells that of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// A stranger was refused.
    Offence {
        source: Source,
        weight: Weight,
        why: &'static str,
    },
    /// It is not heard for now.
    Banned(Ban),
    /// A user of this trunk has logged in there.
    Friend { source: Source, trunk: u32 },
}

/// What follows from what somebody did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tidings {
    /// A ban has begun here: it is to be counted and logged, and all others are to hear of it.
    Banned { ban: Ban, why: &'static str },
    /// That shard is to hear this.
    Tell(ShardId, Notice),
    /// All others are.
    TellAll(Notice),
}

impl Guard {
    /// For shard `own` of `shards`; `key` is drawn at random, see [`Bans::new`].
    pub(super) fn new(
        start: Instant,
        key: [u8; 16],
        (own, shards): (ShardId, usize),
        policy: Arc<Policy>,
    ) -> Self {
        let mut guard = Self {
            own,
            shards,
            bans: Bans::new(start, key, policy.guard),
            familiar: Familiar::default(),
            found: Found::default(),
            policy,
        };
        guard.note_names();
        guard
    }

    pub(super) fn set_policy(&mut self, policy: Arc<Policy>) {
        self.bans.set_rules(policy.guard);
        self.familiar = Familiar::default();
        self.policy = policy;
        self.note_names();
    }

    fn note_names(&mut self) {
        let policy = &self.policy;
        self.found
            .set_names(policy.names(), policy.limits.call_time);
    }

    /// DNS says where a name is.
    pub(super) fn handle_told(&mut self, now: Instant, told: &Told) {
        if let Some(located) = &told.located {
            self.found.note(now, &told.wanted, located);
        }
    }

    /// A datagram has come from `address`; the tidings are of what it has earned by coming.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        address: IpAddr,
        bytes: &[u8],
    ) -> (Standing, Option<Tidings>) {
        match self.known(now, address) {
            Some(Known::Trunk(trunk)) => return (Standing::Welcome(Payer::Trunk(trunk.0)), None),
            Some(Known::Buyer) => return (Standing::Welcome(Payer::Other), None),
            None => {}
        }
        match self.bans.judge(now, address) {
            Verdict::Friend(trunk) => (Standing::Welcome(Payer::Trunk(trunk)), None),
            // It is answered, and so is the one that ends in a ban: a scanner goes through users with it.
            Verdict::Read if bytes.starts_with(b"OPTIONS ") => {
                let tidings = self.charge(now, address, QUESTION, "options");
                (Standing::Stranger, tidings)
            }
            Verdict::Read => (Standing::Stranger, None),
            Verdict::Drop(shut) => {
                let tidings = match shut {
                    Shut::Rate => self.charge_here(now, address.into(), FLOOD, shut.label()),
                    Shut::Banned | Shut::Budget => None,
                };
                (Standing::Shut(shut), tidings)
            }
        }
    }

    /// Whether a datagram is read though its sender is shut out.
    pub(super) fn makes_exception(
        &mut self,
        now: Instant,
        address: IpAddr,
        shut: Shut,
        glance: &Glance<'_>,
        engine: &Engine,
    ) -> bool {
        let is_invite = shut == Shut::Banned && glance.is_new_invite();
        let has_credentials = glance.has_credentials;
        engine.awaits(glance)
            || (is_invite && self.bans.lets_invite_pass(now, address, has_credentials))
    }

    /// Takes note of what somebody did.
    pub(super) fn handle_event(&mut self, now: Instant, event: &Event) -> Option<Tidings> {
        match event {
            Event::Refused { why, flow, .. } => {
                self.charge(now, flow.remote.ip(), weight(*why), why.label())
            }
            Event::Malformed { flow, .. } => {
                self.charge(now, flow.remote.ip(), REFUSAL, "malformed")
            }
            Event::LoggedIn { flow, trunk } => {
                let address = flow.remote.ip();
                if self.known(now, address).is_some() {
                    return None;
                }
                let (source, trunk) = (Source::of(address), trunk.0);
                let is_news = self.bans.befriend(now, source, trunk);
                is_news.then_some(Tidings::TellAll(Notice::Friend { source, trunk }))
            }
            Event::Request { .. }
            | Event::Response { .. }
            | Event::Repeated
            | Event::Retransmitted
            | Event::Stray
            | Event::Started { .. }
            | Event::TakenUp { .. }
            | Event::AttemptFailed { .. }
            | Event::Answered { .. }
            | Event::Ended { .. }
            | Event::Skipped { .. }
            | Event::CallerRefused { .. }
            | Event::LimitReached { .. }
            | Event::Hook { .. }
            | Event::Recalled { .. }
            | Event::TagsTaken { .. }
            | Event::MediaUnfit { .. }
            | Event::Gateway { .. }
            | Event::Unbuildable
            | Event::Panicked
            | Event::TableFull { .. } => None,
        }
    }

    /// Takes in what the guard of another shard tells.
    pub(super) fn handle_notice(
        &mut self,
        now: Instant,
        from: ShardId,
        notice: Notice,
    ) -> Option<Tidings> {
        match notice {
            Notice::Offence {
                source,
                weight,
                why,
            } => match self.bans.ban_of(now, source) {
                // The letter that told of it got lost.
                Some(ban) => Some(Tidings::Tell(from, Notice::Banned(ban))),
                None => self.charge_here(now, source, weight, why),
            },
            Notice::Banned(ban) => {
                self.bans.impose(now, &ban);
                None
            }
            Notice::Friend { source, trunk } => {
                self.bans.befriend(now, source, trunk);
                None
            }
        }
    }

    /// Whether nobody has named `address`, and nobody has logged in there.
    pub(super) fn is_stranger(&mut self, now: Instant, address: IpAddr) -> bool {
        self.known(now, address).is_none() && self.bans.friend(now, address).is_none()
    }

    /// How many are banned.
    pub(super) fn banned(&self, now: Instant) -> usize {
        self.bans.active(now)
    }

    fn charge(
        &mut self,
        now: Instant,
        address: IpAddr,
        weight: Weight,
        why: &'static str,
    ) -> Option<Tidings> {
        if weight == NOTHING || self.known(now, address).is_some() {
            return None;
        }
        let source = Source::of(address);
        let home = self.home(source);
        if home == self.own {
            return self.charge_here(now, source, weight, why);
        }
        // One of whom is enough known already is not worth a letter.
        if self.bans.friend(now, address).is_some() || self.bans.ban_of(now, source).is_some() {
            return None;
        }
        let notice = Notice::Offence {
            source,
            weight,
            why,
        };
        Some(Tidings::Tell(home, notice))
    }

    fn charge_here(
        &mut self,
        now: Instant,
        source: Source,
        weight: Weight,
        why: &'static str,
    ) -> Option<Tidings> {
        let ban = self.bans.charge(now, source, weight)?;
        Some(Tidings::Banned { ban, why })
    }

    /// The shard that keeps the score of a sender.
    fn home(&self, source: Source) -> ShardId {
        let mut hasher = DefaultHasher::new();
        source.hash(&mut hasher);
        let place = hasher.finish() % self.shards.max(1) as u64;
        ShardId(u8::try_from(place).unwrap_or(0))
    }

    fn known(&mut self, now: Instant, address: IpAddr) -> Option<Known> {
        let known = self.familiar.known(address).or_else(|| {
            let known = self.policy.known.longest_match(address)?;
            self.familiar.note(address, known);
            Some(known)
        });
        known.or_else(|| self.found.has(now, address).then_some(Known::Buyer))
    }
}

/// Those who came last of those whom the configuration names: a search in its list would cost each datagram of theirs
/// as much as a lookup of its call. Strangers are not in it, so they push nobody out.
struct Familiar([Option<(IpAddr, Known)>; Self::PLACES]);

impl Familiar {
    const PLACES: usize = 64;

    fn known(&self, address: IpAddr) -> Option<Known> {
        match self.0.get(Self::place(address)) {
            Some(Some((one, known))) if *one == address => Some(*known),
            Some(_) | None => None,
        }
    }

    fn note(&mut self, address: IpAddr, known: Known) {
        if let Some(place) = self.0.get_mut(Self::place(address)) {
            *place = Some((address, known));
        }
    }

    fn place(address: IpAddr) -> usize {
        let bits = match address {
            IpAddr::V4(address) => u64::from(address.to_bits()),
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                (bits >> 64) as u64 ^ bits as u64
            }
        };
        // Fibonacci hashing: neighbours get places of their own.
        (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize
    }
}

impl Default for Familiar {
    fn default() -> Self {
        Self([None; Self::PLACES])
    }
}

/// What a refusal weighs if a stranger earned it. A request without credentials is how digest begins, and a nonce that
/// we do not know is what a client has left from before our restart; either goes on to be a login, or adds up.
fn weight(why: Refusal) -> Weight {
    match why {
        Refusal::WrongPassword | Refusal::Locked => Weight(20),
        Refusal::UnknownDomain
        | Refusal::UnknownAddress
        | Refusal::UnknownCertificate
        | Refusal::BadCredentials
        | Refusal::Replayed
        | Refusal::TrunkMismatch
        | Refusal::TwilioAccount
        | Refusal::TooManyHops
        | Refusal::BadExtension
        | Refusal::BadScheme
        | Refusal::Method
        | Refusal::NoDialog => REFUSAL,
        Refusal::ForgedNonce => Weight(5),
        Refusal::NoCredentials => QUESTION,
        Refusal::StaleNonce => Weight(1),
        // Of those who were let in, or nothing that they can help.
        Refusal::Loop
        | Refusal::Privacy
        | Refusal::ReferTarget
        | Refusal::Replaces
        | Refusal::SessionInterval
        | Refusal::Merged
        | Refusal::OldCSeq
        | Refusal::Draining
        | Refusal::Unkept
        | Refusal::Overload
        | Refusal::TrunkCalls
        | Refusal::TrunkCps
        | Refusal::LimitUnknown
        | Refusal::HalfOpen
        | Refusal::TrunkHalfOpen
        | Refusal::NoTicket
        | Refusal::Ticket(_)
        | Refusal::Shed
        | Refusal::Internal => NOTHING,
    }
}

const REFUSAL: Weight = Weight(10);
/// Of what is answered, but is all that a scanner needs: 29 of it in a minute are enough.
const QUESTION: Weight = Weight(7);
/// Of a datagram beyond the rate.
const FLOOD: Weight = Weight(1);
const NOTHING: Weight = Weight(0);

#[cfg(test)]
mod tests;
