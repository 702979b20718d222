//! One party of a call whose media is at an rtpengine: what it is told, under an `o=` line of ours.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;

use bytes::Bytes;

use crate::media::sdp::read::Sdp;
use crate::media::sdp::trim::with_origin;
use crate::media::sdp::write::Origin;
use crate::media::session::terms::Terms;
use crate::types::ids::CallUuid;

/// One party.
pub(super) struct Leg {
    pub(super) terms: Terms,
    /// Whether it listens on IPv6; `None`: it has not said.
    pub(super) is_ipv6: Option<bool>,
    /// Whether SRTP is agreed with it.
    pub(super) is_secure: bool,
    /// Whether it was offered SRTP last.
    pub(super) is_offered_secure: bool,
    pub(super) origin: Origin,
    /// Stands for what it was told last.
    pub(super) print: u64,
}

/// A description and what became of it.
pub(super) struct Said {
    pub(super) text: Bytes,
    /// Whether it is about SRTP.
    pub(super) is_secure: bool,
    /// What the other party is told; `None`: rtpengine has not answered.
    pub(super) told: Option<Bytes>,
}

impl Leg {
    pub(super) fn new(terms: Terms, session: u64) -> Self {
        Self {
            terms,
            is_ipv6: None,
            is_secure: false,
            is_offered_secure: false,
            origin: Origin {
                session,
                version: 0,
                address: Ipv4Addr::UNSPECIFIED.into(),
            },
            print: 0,
        }
    }

    /// What it is told: `sdp` with our `o=`, whose version rises if that is another text than the last.
    pub(super) fn tell(&mut self, sdp: &Sdp<'_>) -> Bytes {
        let mut hasher = DefaultHasher::new();
        for line in sdp.lines().iter().filter(|line| line.kind() != b'o') {
            line.text().hash(&mut hasher);
        }
        let print = hasher.finish();
        if self.origin.version == 0 || self.print != print {
            self.origin.version += 1;
            self.print = print;
        }
        if self.origin.version == 1 {
            let address = sdp.media().find_map(|media| media.address().ok().flatten());
            self.origin.address = address.unwrap_or(self.origin.address);
        }
        with_origin(sdp, &self.origin).into()
    }
}

impl Said {
    pub(super) fn new(text: &[u8], is_secure: bool) -> Self {
        Self {
            text: Bytes::copy_from_slice(text),
            is_secure,
            told: None,
        }
    }

    /// What is told of `text`, if this is it and that is known.
    pub(super) fn told_of(&self, text: &[u8]) -> Option<Bytes> {
        self.told.clone().filter(|_| *self.text == *text)
    }
}

/// The number of our session towards the caller (0) or a buyer.
pub(super) fn session_of(uuid: CallUuid, attempt: u32) -> u64 {
    let [a, b, c, d, ..] = *uuid.as_bytes();
    let number = u32::from_be_bytes([a, b, c, d]).wrapping_add(attempt);
    // Some peers read it as a signed number of 32 bits.
    u64::from(number >> 1) ^ u64::from(attempt & 0xff)
}
