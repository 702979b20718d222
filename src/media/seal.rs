//! The keys of one end at work: what its party sends is opened, what goes to it is closed.
//!
//! A key's rollover counter and its window of packets that came belong to the key. So both stay for as long as the plans
//! name the same key, and begin anew with another one, each direction for itself (RFC 3711 §3.3, RFC 4568 §6.4).

use std::fmt;

use crate::media::plan::{Crypto, Keys};
use crate::media::srtp::{Receiver, Sender, Why};

/// Both directions of one end.
pub struct Seal {
    theirs: Keys,
    ours: Keys,
    /// `Err`: the keys cannot be used, and nothing passes.
    receiver: Result<Receiver, Why>,
    sender: Result<Sender, Why>,
}

impl Seal {
    /// Begins with fresh keys.
    #[must_use]
    pub fn new(crypto: &Crypto) -> Self {
        Self {
            theirs: crypto.theirs.clone(),
            ours: crypto.ours.clone(),
            receiver: Receiver::new(&crypto.theirs),
            sender: Sender::new(&crypto.ours),
        }
    }

    /// Goes by the keys of another plan.
    pub fn renew(&mut self, crypto: &Crypto) {
        if self.theirs != crypto.theirs {
            self.receiver = Receiver::new(&crypto.theirs);
            self.theirs = crypto.theirs.clone();
        }
        if self.ours != crypto.ours {
            self.sender = Sender::new(&crypto.ours);
            self.ours = crypto.ours.clone();
        }
    }

    /// Takes over what is known of keys that `before`, which is at its end, has, too.
    pub fn go_on_from(&mut self, before: &mut Self) {
        if self.theirs == before.theirs {
            std::mem::swap(&mut self.receiver, &mut before.receiver);
        }
        if self.ours == before.ours {
            std::mem::swap(&mut self.sender, &mut before.sender);
        }
    }

    /// Opens SRTP in place: see [`Receiver::unprotect_rtp`].
    ///
    /// # Errors
    ///
    /// When it is not to be taken.
    #[inline]
    pub fn open_rtp(&mut self, room: &mut [u8], length: usize) -> Result<usize, Why> {
        let receiver = self.receiver.as_mut().map_err(|why| *why)?;
        receiver.unprotect_rtp(room, length)
    }

    /// Opens SRTCP in place: see [`Receiver::unprotect_rtcp`].
    ///
    /// # Errors
    ///
    /// When it is not to be taken.
    pub fn open_rtcp(&mut self, room: &mut [u8], length: usize) -> Result<usize, Why> {
        let receiver = self.receiver.as_mut().map_err(|why| *why)?;
        receiver.unprotect_rtcp(room, length)
    }

    /// Closes RTP in place: see [`Sender::protect_rtp`].
    ///
    /// # Errors
    ///
    /// When it is not to be sent.
    #[inline]
    pub fn close_rtp(&mut self, room: &mut [u8], length: usize) -> Result<usize, Why> {
        let sender = self.sender.as_mut().map_err(|why| *why)?;
        sender.protect_rtp(room, length)
    }

    /// Closes RTCP in place: see [`Sender::protect_rtcp`].
    ///
    /// # Errors
    ///
    /// When it is not to be sent.
    pub fn close_rtcp(&mut self, room: &mut [u8], length: usize) -> Result<usize, Why> {
        let sender = self.sender.as_mut().map_err(|why| *why)?;
        sender.protect_rtcp(room, length)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal")
            .field("suite", &self.ours.suite)
            .finish_non_exhaustive()
    }
}
