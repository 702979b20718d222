//! By what a request finds its server transaction (RFC 3261 §17.2.3).
//!
//! The key is a keyed hash of 128 bits, so a peer can neither aim for another's transaction nor make
//! the table slow, and no text is kept. It covers the branch, Call-ID, CSeq number, From-tag and
//! method; ACK counts as INVITE. It does not cover the sent-by: a NAT may write another one into the
//! ACK or the CANCEL than into the INVITE, and Call-ID and From-tag tell peers apart as well. Peers of
//! RFC 2543 have no branch that is theirs alone, so the whole top Via stands in for it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};

use siphasher::sip::SipHasher24;
use siphasher::sip128::{self, Hasher128};

use crate::sip::message::{Method, Naming};
use crate::types::ids::Mark;

/// What a branch begins with that is unique to its transaction (RFC 3261 §8.1.1.7).
pub const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// Name of a server transaction, existing or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerKey {
    high: u64,
    low: u64,
}

/// A map by [`ServerKey`], which is a hash already. It is never iterated.
pub(crate) type KeyMap<V> = HashMap<ServerKey, V, BuildHasherDefault<Already>>;

/// The secret that keys are made with.
#[derive(Clone, Copy)]
pub(super) struct Keys {
    seed: [u8; 16],
}

impl Keys {
    pub(super) fn new(seed: [u8; 16]) -> Self {
        Self { seed }
    }

    /// The transaction of a request of `method`. An ACK's is that of its INVITE; that of the INVITE
    /// that a CANCEL names is to be asked for with `Method::Invite`.
    pub(super) fn server(&self, method: Method<'_>, naming: &Naming<'_>) -> ServerKey {
        let mut hasher = sip128::SipHasher24::new_with_key(&self.seed);
        let mut put = |field: &[u8]| {
            hasher.write_u64(field.len() as u64);
            hasher.write(field);
        };
        match naming.via.branch() {
            Some(branch) if is_unique(branch) => put(branch),
            Some(_) | None => put(naming.via.text),
        }
        put(naming.call_id);
        put(naming.from_tag.unwrap_or_default());
        put(&naming.cseq.to_be_bytes());
        let class = if method == Method::Ack {
            Method::Invite
        } else {
            method
        };
        put(class.as_bytes());
        let hash = hasher.finish128();
        ServerKey {
            high: hash.h1,
            low: hash.h2,
        }
    }

    /// What stands for a To-tag.
    pub(super) fn tag(&self, tag: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.seed);
        hasher.write(tag);
        hasher.finish()
    }
}

/// The mark in a branch of ours.
pub(super) fn mark_in(branch: &[u8]) -> Option<Mark> {
    branch.strip_prefix(MAGIC_COOKIE).and_then(Mark::parse)
}

/// Whether a branch begins with the magic cookie.
fn is_unique(branch: &[u8]) -> bool {
    branch
        .get(..MAGIC_COOKIE.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(MAGIC_COOKIE))
}

impl Hash for ServerKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

/// The hasher of what is a hash already.
#[derive(Default)]
pub(crate) struct Already(u64);

impl Hasher for Already {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte); // `write_u64` is what comes.
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
