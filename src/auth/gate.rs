//! The door for callers who show a password: it challenges them and checks their answers.
//!
//! ```text
//! Authorization -> parse -> realm -> nonce -> uri -> guesses -> password -> nonce-count -> in
//! ```
//!
//! The cheap checks come before the hashing, and a nonce-count is used up only by those who know the
//! password. A user whom nobody knows costs the same work and gets the same answer as a wrong password, and whoever
//! goes on guessing costs none and gets none.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::auth::digest::{
    Account, Algorithm, Credentials, DigestFault, ParamText, verify, write_quoted,
};
use crate::auth::guess::Guesses;
use crate::auth::nonce::{NonceBook, NonceFault};
use crate::sip::uri::{SipUri, Uri, is_equivalent};
use crate::types::ids::{Entropy, ShardId};

/// Challenges callers and checks their answers, for one shard.
pub struct Gate {
    book: NonceBook,
    guesses: Guesses,
    /// Reused for every challenge.
    value: Vec<u8>,
}

/// What one domain asks of callers.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Realm of its challenges.
    pub realm: &'a str,
    /// Algorithms offered, the preferred one first; an answer by another one is refused.
    pub algorithms: &'a [Algorithm],
    /// How strictly the digest's uri is compared with the Request-URI.
    pub digest_uri: DigestUri,
}

/// How strictly the digest's uri is compared with the Request-URI (RFC 7616 §3.4.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DigestUri {
    /// The same URI (RFC 3261 §19.1.4).
    #[default]
    Exact,
    /// The same host and port; some clients leave the user out.
    Host,
}

/// The request that an answer must have been made for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a [u8],
    /// Its Request-URI, as it stands there.
    pub uri: &'a [u8],
}

/// Why a request is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Denial {
    /// No Authorization header answers for this realm.
    #[error("no credentials")]
    NoCredentials,
    /// The credentials cannot be read, or do not fit the challenge or the request.
    #[error("credentials do not fit")]
    BadCredentials,
    /// Unknown user or wrong password: the two are not told apart.
    #[error("wrong password")]
    WrongPassword,
    /// The nonce is too old.
    #[error("nonce is too old")]
    StaleNonce,
    /// The nonce is not ours.
    #[error("nonce is not ours")]
    ForgedNonce,
    /// The password is right, but the nonce-count was used before.
    #[error("nonce-count was used before")]
    Replayed,
    /// So many wrong passwords came for this user from where the nonce was sent that no other one is looked at.
    #[error("too many wrong passwords")]
    Locked,
    /// No denial: the shard that issued the nonce must judge.
    #[error("nonce belongs to shard {}", .0.0)]
    Elsewhere(ShardId),
}

impl Denial {
    /// Whether the nonce was at fault, so that the client may try again without asking for another
    /// password: `stale=true` in the next challenge (RFC 7616 §3.3).
    #[must_use]
    pub fn is_nonce_at_fault(self) -> bool {
        match self {
            Self::StaleNonce | Self::ForgedNonce | Self::Replayed => true,
            Self::NoCredentials | Self::BadCredentials | Self::WrongPassword => false,
            Self::Locked | Self::Elsewhere(_) => false,
        }
    }
}

impl From<NonceFault> for Denial {
    fn from(fault: NonceFault) -> Self {
        match fault {
            NonceFault::Forged => Self::ForgedNonce,
            NonceFault::Stale => Self::StaleNonce,
            NonceFault::Elsewhere(shard) => Self::Elsewhere(shard),
        }
    }
}

impl Gate {
    /// A gate that remembers up to `capacity` accepted nonces. All shards of a process are given the
    /// same `secret`, drawn at random at each start, and the same `start`.
    #[must_use]
    pub fn new(secret: &[u8; 32], shard: ShardId, start: Instant, capacity: usize) -> Self {
        Self {
            book: NonceBook::new(secret, shard, start, capacity),
            guesses: Guesses::new(capacity),
            value: Vec::new(),
        }
    }

    /// Remembers up to `capacity` accepted nonces from now on.
    pub fn set_capacity(&mut self, capacity: usize) {
        self.book.set_capacity(capacity);
        self.guesses.set_capacity(capacity);
    }

    /// From now on `most` wrong passwords for one user from one address within `lock` are the last that are looked
    /// at for that long; 0: there is no end to them.
    pub fn set_guesses(&mut self, most: u32, lock: Duration) {
        self.guesses.set_rule(most, lock);
    }

    /// Hands the values of the WWW-Authenticate headers to `each`: one per algorithm in the order of
    /// preference (RFC 8760 §2.4), all with one nonce. Nothing of them is kept. `to` is where they go.
    pub fn challenge(
        &mut self,
        now: Instant,
        entropy: &mut Entropy,
        terms: &Terms<'_>,
        to: IpAddr,
        why: Denial,
        mut each: impl FnMut(&[u8]),
    ) {
        let nonce = self.book.issue(now, entropy, terms.realm, to);
        let value = &mut self.value;
        for algorithm in terms.algorithms {
            value.clear();
            value.extend_from_slice(b"Digest realm=");
            write_quoted(ParamText::plain(terms.realm.as_bytes()), value);
            value.extend_from_slice(b", nonce=\"");
            value.extend_from_slice(nonce.as_bytes());
            value.extend_from_slice(b"\", qop=\"auth\", algorithm=");
            value.extend_from_slice(algorithm.name().as_bytes());
            if why.is_nonce_at_fault() {
                value.extend_from_slice(b", stale=true");
            }
            each(value);
        }
    }

    /// Judges a request by the `values` of its Authorization headers. `find` is asked once at most, for
    /// the name that the request gives: it gives an account to compute with, anybody's if nobody has the name, and who has it, who
    /// comes back if the request is let in.
    pub fn check<'a, 'u, U>(
        &mut self,
        now: Instant,
        terms: &Terms<'_>,
        asked: Asked<'_>,
        values: impl IntoIterator<Item = &'a [u8]>,
        find: impl FnOnce(&[u8]) -> (Option<&'u Account>, Option<U>),
    ) -> Result<U, Denial> {
        let credentials = choose(terms.realm, values)?;
        // Each challenge of ours offers qop, so an answer without it is none of ours.
        let count = credentials.count.as_ref().ok_or(Denial::BadCredentials)?;
        if !terms.algorithms.contains(&credentials.algorithm) {
            return Err(Denial::BadCredentials);
        }
        let nonce = self.book.check(now, terms.realm, credentials.nonce.raw())?;
        if !is_for(terms.digest_uri, &credentials.uri.unescaped(), asked.uri) {
            return Err(Denial::BadCredentials);
        }
        let name = credentials.username.unescaped();
        let guesser = self.guesses.guesser(nonce.place(), terms.realm, &name);
        if self.guesses.is_locked(now, guesser) {
            return Err(Denial::Locked);
        }
        let (account, user) = find(&name);
        let is_right = verify(&credentials, asked.method, account);
        let Some(user) = user.filter(|_| is_right) else {
            self.guesses.note_failure(now, guesser);
            return Err(Denial::WrongPassword);
        };
        self.guesses.note_success(guesser);
        if !self.book.use_count(now, nonce, count.value) {
            return Err(Denial::Replayed);
        }
        Ok(user)
    }

    /// Number of accepted nonces that are remembered.
    #[must_use]
    pub fn nonces(&self) -> usize {
        self.book.len()
    }
}

/// The first credentials for `realm`; a request may carry others for other servers (RFC 3261 §22.3).
fn choose<'a>(
    realm: &str,
    values: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Credentials<'a>, Denial> {
    let mut denial = Denial::NoCredentials;
    for value in values {
        match Credentials::parse(value) {
            Ok(credentials) if credentials.realm.is(realm.as_bytes()) => return Ok(credentials),
            Ok(_) | Err(DigestFault::NotDigest) => {}
            Err(_) => denial = Denial::BadCredentials,
        }
    }
    Err(denial)
}

fn is_for(rule: DigestUri, answered: &[u8], asked: &[u8]) -> bool {
    if answered == asked {
        return true;
    }
    let (Ok(answered), Ok(asked)) = (Uri::parse(answered), Uri::parse(asked)) else {
        return false;
    };
    match (rule, &answered, &asked) {
        (DigestUri::Exact, ..) => is_equivalent(&answered, &asked),
        (DigestUri::Host, Uri::Sip(answered), Uri::Sip(asked)) => {
            answered.host == asked.host && port(answered) == port(asked)
        }
        (DigestUri::Host, ..) => false,
    }
}

/// The port that a URI leads to, written or not (RFC 3261 §19.1.2).
fn port(uri: &SipUri<'_>) -> u16 {
    uri.port.unwrap_or(if uri.secure { 5061 } else { 5060 })
}

#[cfg(test)]
mod tests;
