//! What goes out under one key.

use std::fmt;

use crate::media::plan::{Keys, Suite};
use crate::media::srtp::Why;
use crate::media::srtp::derive::Use;
use crate::media::srtp::packet::{RtpHeader, rtcp_sender};
use crate::media::srtp::sequence::{MOST_RTCP, Window};
use crate::media::srtp::sources::Sources;
use crate::media::srtp::suite::INDEX_LENGTH;
use crate::media::srtp::transform::{Place, Transform};

/// Protects the packets that go to one party.
///
/// Sequence numbers are the other party's and pass unchanged, so it is this that sees to it that none is used twice
/// under the key: a keystream that is used twice shows both packets, and with GCM the key of the tags as well
/// (RFC 3711 §9.1, RFC 7714 §10.1).
pub struct Sender {
    suite: Suite,
    rtp: Transform,
    rtcp: Transform,
    sources: Sources,
    /// The index of the next RTCP packet: one for all SSRCs, which is unique for each of them too.
    next_rtcp: u64,
}

/// Most SSRCs that are sent under one key. They cannot be forgotten, and a party may make up as many as it likes.
pub(super) const MOST_SOURCES: usize = 64;

impl Sender {
    /// Derives what it needs; use each `keys` for one sender only.
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
            next_rtcp: 0,
        })
    }

    /// Protects the RTP packet in the first `length` bytes of `buf` and returns how long it is then, in bytes.
    ///
    /// # Errors
    ///
    /// [`Why::NotRtp`]; [`Why::NoRoom`] if `buf` is not [`MOST_RTP_GROWTH`](super::suite::MOST_RTP_GROWTH) bytes longer
    /// than `length`; [`Why::Replayed`] and [`Why::Old`] for what was sent before or may have been; [`Why::Sources`];
    /// [`Why::UsedUp`]. The packet is unchanged then.
    pub fn protect_rtp(&mut self, buf: &mut [u8], length: usize) -> Result<usize, Why> {
        let header = RtpHeader::read(buf.get(..length).ok_or(Why::NoRoom)?)?;
        let known = self.sources.get(header.ssrc);
        if known.is_none() && self.sources.len() >= MOST_SOURCES {
            return Err(Why::Sources);
        }
        let window = known.and_then(|source| source.rtp);
        let index = match &window {
            Some(window) => {
                let index = window.index_of(header.sequence)?;
                window.check(index)?;
                index
            }
            None => u64::from(header.sequence),
        };
        let end = length + self.rtp.tag;
        let packet = buf.get_mut(..end).ok_or(Why::NoRoom)?;
        let ssrc = header.ssrc;
        self.rtp
            .seal_rtp(packet, header.length, Place { ssrc, index })?;
        let source = self.sources.entry(ssrc, MOST_SOURCES);
        source.rtp.get_or_insert(Window::new(index)).note(index);
        Ok(end)
    }

    /// Protects the RTCP packet, compound or not, in the first `length` bytes of `buf` and returns how long it is then,
    /// in bytes.
    ///
    /// # Errors
    ///
    /// [`Why::NotRtp`]; [`Why::NoRoom`] if `buf` is not [`MOST_RTCP_GROWTH`](super::suite::MOST_RTCP_GROWTH) bytes
    /// longer than `length`; [`Why::UsedUp`]. The packet is unchanged then.
    pub fn protect_rtcp(&mut self, buf: &mut [u8], length: usize) -> Result<usize, Why> {
        let ssrc = rtcp_sender(buf.get(..length).ok_or(Why::NoRoom)?)?;
        let index = self.next_rtcp;
        if index > MOST_RTCP {
            return Err(Why::UsedUp);
        }
        let end = length + self.rtcp.tag + INDEX_LENGTH;
        let packet = buf.get_mut(..end).ok_or(Why::NoRoom)?;
        self.rtcp.seal_rtcp(packet, Place { ssrc, index })?;
        self.next_rtcp += 1;
        Ok(end)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("suite", &self.suite)
            .finish_non_exhaustive()
    }
}
