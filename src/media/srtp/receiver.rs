//! What comes in under one key.

use std::fmt;

use crate::media::plan::{Keys, Suite};
use crate::media::srtp::Why;
use crate::media::srtp::derive::Use;
use crate::media::srtp::packet::{RtpHeader, rtcp_sender};
use crate::media::srtp::sequence::Window;
use crate::media::srtp::sources::Sources;
use crate::media::srtp::transform::{Place, Transform};

/// Checks and opens the packets of one party.
///
/// A packet whose tag is wrong changes nothing here, whatever it says: neither rollover nor window nor which SSRCs are
/// known. Whoever has no key can cost time and nothing else.
pub struct Receiver {
    suite: Suite,
    rtp: Transform,
    rtcp: Transform,
    sources: Sources,
}

/// SSRCs that are remembered. A new one, once authenticated, takes the place of the one not heard for longest: to play
/// that one's packets again, somebody has to wait for as many new ones.
const MOST_SOURCES: usize = 16;

impl Receiver {
    /// Derives what it needs.
    ///
    /// # Errors
    ///
    /// [`Why::Keys`] if they are not as long as their suite asks.
    pub fn new(keys: &Keys) -> Result<Self, Why> {
        Ok(Self {
            suite: keys.suite,
            rtp: Transform::new(keys, Use::Rtp)?,
            rtcp: Transform::new(keys, Use::Rtcp)?,
            sources: Sources::default(),
        })
    }

    /// Checks the SRTP packet in the first `length` bytes of `buf`, makes it RTP, and returns how long it is then, in
    /// bytes.
    ///
    /// # Errors
    ///
    /// [`Why::NotRtp`], [`Why::Replayed`], [`Why::Old`], [`Why::UsedUp`], [`Why::Forged`]. With the last the bytes
    /// behind the header may be anything; nothing else has changed.
    pub fn unprotect_rtp(&mut self, buf: &mut [u8], length: usize) -> Result<usize, Why> {
        let packet = buf.get_mut(..length).ok_or(Why::NotRtp)?;
        let header = RtpHeader::read(packet)?;
        let ssrc = header.ssrc;
        let window = self.sources.get(ssrc).and_then(|source| source.rtp);
        let index = match &window {
            Some(window) => {
                let index = window.index_of(header.sequence)?;
                window.check(index)?;
                index
            }
            None => u64::from(header.sequence),
        };
        let end = self
            .rtp
            .open_rtp(packet, header.length, Place { ssrc, index })?;
        let source = self.sources.entry(ssrc, MOST_SOURCES);
        source.rtp.get_or_insert(Window::new(index)).note(index);
        Ok(end)
    }

    /// Checks the SRTCP packet in the first `length` bytes of `buf`, makes it RTCP, and returns how long it is then, in
    /// bytes.
    ///
    /// # Errors
    ///
    /// [`Why::NotRtp`], [`Why::Clear`], [`Why::Replayed`], [`Why::Old`], [`Why::Forged`]. With the last the bytes
    /// behind the first eight may be anything; nothing else has changed.
    pub fn unprotect_rtcp(&mut self, buf: &mut [u8], length: usize) -> Result<usize, Why> {
        let packet = buf.get_mut(..length).ok_or(Why::NotRtp)?;
        let ssrc = rtcp_sender(packet)?;
        let index = self.rtcp.rtcp_index(packet)?;
        if let Some(window) = self.sources.get(ssrc).and_then(|source| source.rtcp) {
            window.check(index)?;
        }
        let end = self.rtcp.open_rtcp(packet, Place { ssrc, index })?;
        let source = self.sources.entry(ssrc, MOST_SOURCES);
        source.rtcp.get_or_insert(Window::new(index)).note(index);
        Ok(end)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}
