//! Nonces: each proves itself, so a challenge costs no memory; only accepted ones are remembered.
//!
//! ```text
//! shard  time (ms from start)  random  place   HMAC-SHA256/128(secret, shard | time | random | place | realm)
//! 1      8                     4       4       16            bytes, twice as many hexadecimal digits
//! ```
//!
//! The place is a keyed hash of the address that was challenged. An answer may come from another one, for a
//! carrier has many; but whoever guesses passwords is counted where the challenge went, and that is an address
//! which it can be reached at: a forged source is never challenged.
//!
//! A nonce lives for 60 s. The nonce-counts that an accepted one has used up (RFC 7616 §3.4) are kept
//! by the shard that issued it, in a window as IPsec keeps one (RFC 4303 §3.4.3): a count above all
//! seen is taken, one among the 63 below the highest is taken once, an older one never.

use std::collections::BTreeMap;
use std::hash::{Hash as _, Hasher as _};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use siphasher::sip::SipHasher24;
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use crate::auth::source::Source;
use crate::types::hex::{parse_hex, write_hex};
use crate::types::ids::{Entropy, ShardId};

/// Issues and checks the nonces of one shard.
///
/// Shards that share `secret` and `start` know one another's nonces, and say whose they are.
pub struct NonceBook {
    /// HMAC that has taken in the secret.
    keyed: Hmac<Sha256>,
    /// Key of the places, the same for all shards.
    place_key: [u8; 16],
    shard: ShardId,
    start: Instant,
    capacity: usize,
    /// Accepted nonces, the oldest first, at most `capacity`.
    accepted: BTreeMap<Nonce, Window>,
    /// Nonces up to this time are stale before their time: their counts had to be forgotten.
    forgotten: Option<u64>,
}

/// A nonce on the wire.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NonceText([u8; Self::LEN]);

/// A nonce of this shard that is genuine and not too old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nonce {
    /// When it was issued, in milliseconds from the start. First, so that the table is in order of age.
    time: u64,
    /// The random half and, below it, the place.
    random: u64,
}

/// The address that a nonce was given to, as far as 32 bits tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub u32);

/// Why a nonce is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NonceFault {
    /// Nobody issued it with this secret for this realm.
    #[error("nonce is not ours")]
    Forged,
    /// It is genuine, but too old.
    #[error("nonce is too old")]
    Stale,
    /// It is genuine, but another shard keeps its counts.
    #[error("nonce belongs to shard {}", .0.0)]
    Elsewhere(ShardId),
}

impl Nonce {
    /// Where it was sent.
    #[must_use]
    pub fn place(self) -> Place {
        Place(self.random as u32)
    }
}

impl NonceText {
    /// Length, in bytes.
    pub const LEN: usize = 66;

    /// The characters, all of them hexadecimal digits.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl NonceBook {
    /// An empty book. The secret is drawn anew at each start, so nonces from before are forged ones;
    /// `capacity` is the number of accepted nonces remembered at once.
    #[must_use]
    pub fn new(secret: &[u8; 32], shard: ShardId, start: Instant, capacity: usize) -> Self {
        let mut block = [0; HMAC_BLOCK];
        block
            .iter_mut()
            .zip(secret)
            .for_each(|(place, byte)| *place = *byte);
        let keyed = Hmac::<Sha256>::new(&block.into());
        let mut derived = keyed.clone();
        derived.update(b"place");
        let mut place_key = [0; 16];
        let derived = derived.finalize().into_bytes();
        place_key
            .iter_mut()
            .zip(derived)
            .for_each(|(to, from)| *to = from);
        Self {
            keyed,
            place_key,
            shard,
            start,
            capacity,
            accepted: BTreeMap::new(),
            forgotten: None,
        }
    }

    /// Remembers up to `capacity` accepted nonces from now on. What is there beyond goes with the next.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Makes a nonce for a challenge in `realm` that is sent to `address`. Nothing of it is kept.
    #[must_use]
    pub fn issue(
        &self,
        now: Instant,
        entropy: &mut Entropy,
        realm: &str,
        address: IpAddr,
    ) -> NonceText {
        let random = entropy.next_u64() & !u64::from(u32::MAX);
        let nonce = Nonce {
            time: self.clock(now),
            random: random | u64::from(self.place(address).0),
        };
        self.signed(self.shard, nonce, realm)
    }

    /// Reads a nonce that came back in an answer for `realm`.
    pub fn check(&self, now: Instant, realm: &str, text: &[u8]) -> Result<Nonce, NonceFault> {
        let (shard, nonce) = parse(text).ok_or(NonceFault::Forged)?;
        let genuine = self.signed(shard, nonce, realm);
        if !bool::from(genuine.0.ct_eq(text)) {
            return Err(NonceFault::Forged);
        }
        if shard != self.shard {
            return Err(NonceFault::Elsewhere(shard));
        }
        let is_forgotten = self.forgotten.is_some_and(|time| nonce.time <= time);
        if is_forgotten || !is_alive(nonce, self.clock(now)) {
            return Err(NonceFault::Stale);
        }
        Ok(nonce)
    }

    /// Uses up `count` of a nonce that [`check`](Self::check) passed at this `now`; false if it was
    /// used before, or is too old to tell. To be called once the password has been found right.
    #[must_use]
    pub fn use_count(&mut self, now: Instant, nonce: Nonce, count: u32) -> bool {
        if let Some(window) = self.accepted.get_mut(&nonce) {
            return window.take(count);
        }
        self.forget_dead(self.clock(now));
        while self.accepted.len() >= self.capacity {
            if !self.forget_oldest(nonce) {
                return true;
            }
        }
        self.accepted.insert(nonce, Window::starting_with(count));
        true
    }

    /// Number of accepted nonces that are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.accepted.len()
    }

    /// Whether no accepted nonce is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accepted.is_empty()
    }

    fn forget_dead(&mut self, clock: u64) {
        while let Some(oldest) = self.accepted.first_entry()
            && !is_alive(*oldest.key(), clock)
        {
            oldest.remove();
        }
    }

    /// Gives up the oldest nonce in favour of `newcomer`, and with it all nonces issued up to then, so
    /// that none of their counts is taken a second time: their users are challenged anew. False if
    /// `newcomer` is itself the oldest: it has had its one use, and is not to be kept.
    fn forget_oldest(&mut self, newcomer: Nonce) -> bool {
        let oldest = match self.accepted.first_key_value() {
            Some((oldest, _)) if *oldest < newcomer => *oldest,
            Some(_) | None => newcomer,
        };
        self.accepted.remove(&oldest);
        self.forgotten = self.forgotten.max(Some(oldest.time));
        oldest != newcomer
    }

    fn place(&self, address: IpAddr) -> Place {
        let mut hasher = SipHasher24::new_with_key(&self.place_key);
        Source::of(address).hash(&mut hasher);
        Place(hasher.finish() as u32)
    }

    fn signed(&self, shard: ShardId, nonce: Nonce, realm: &str) -> NonceText {
        let time = nonce.time.to_be_bytes();
        let random = nonce.random.to_be_bytes();
        let mut mac = self.keyed.clone();
        mac.update(&[shard.0]);
        mac.update(&time);
        mac.update(&random);
        mac.update(realm.as_bytes());
        let tag = mac.finalize().into_bytes();

        let mut text = [0; NonceText::LEN];
        let claims = [shard.0].into_iter().chain(time).chain(random);
        // The text has room for the left half of the tag: HMAC-SHA256/128 (RFC 2104 §5).
        write_hex(claims.chain(tag), &mut text);
        NonceText(text)
    }

    /// Milliseconds from the start.
    fn clock(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.start);
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }
}

/// Reads what `text` claims; only the comparison with our own text shows whether it is true.
fn parse(text: &[u8]) -> Option<(ShardId, Nonce)> {
    if text.len() != NonceText::LEN {
        return None;
    }
    let (shard, rest) = text.split_at_checked(2)?;
    let (time, rest) = rest.split_at_checked(16)?;
    let (random, _) = rest.split_at_checked(16)?;
    let nonce = Nonce {
        time: parse_hex(time)?,
        random: parse_hex(random)?,
    };
    Some((ShardId(u8::try_from(parse_hex(shard)?).ok()?), nonce))
}

/// A nonce from the future is none: clocks of one shard do not go back.
fn is_alive(nonce: Nonce, clock: u64) -> bool {
    clock
        .checked_sub(nonce.time)
        .is_some_and(|age| u128::from(age) <= LIFE.as_millis())
}

/// The nonce-counts of one nonce that are used up.
struct Window {
    highest: u32,
    /// Bit i stands for `highest - i`.
    used: u64,
}

impl Window {
    fn starting_with(count: u32) -> Self {
        Self {
            highest: count,
            used: 1,
        }
    }

    /// Uses up `count`; false if it is used, or lies below the window.
    fn take(&mut self, count: u32) -> bool {
        if let Some(ahead) = count.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.used = self.used.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let Some(bit) = 1_u64.checked_shl(self.highest - count) else {
            return false;
        };
        let is_new = self.used & bit == 0;
        self.used |= bit;
        is_new
    }
}

/// How long a nonce is accepted.
const LIFE: Duration = Duration::from_secs(60);
/// Block of SHA-256, in bytes: a key filled up with zeros to it is the same key (RFC 2104 §2).
const HMAC_BLOCK: usize = 64;

#[cfg(test)]
mod tests;
