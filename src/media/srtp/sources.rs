//! What is remembered of each SSRC under one key.

use smallvec::SmallVec;

use crate::media::srtp::sequence::Window;

/// One SSRC.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    pub(super) ssrc: u32,
    pub(super) rtp: Option<Window>,
    pub(super) rtcp: Option<Window>,
    /// When it was last heard, in packets.
    used: u64,
}

/// All SSRCs; most calls have one, and one more after each transfer or music on hold.
#[derive(Debug, Default)]
pub(super) struct Sources {
    list: SmallVec<[Source; 2]>,
    packets: u64,
}

impl Sources {
    pub(super) fn get(&self, ssrc: u32) -> Option<&Source> {
        self.list.iter().find(|source| source.ssrc == ssrc)
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// What is remembered of `ssrc`; a new one takes the place of the one not heard for longest if there are `most`.
    pub(super) fn entry(&mut self, ssrc: u32, most: usize) -> &mut Source {
        self.packets += 1;
        let new = Source {
            ssrc,
            rtp: None,
            rtcp: None,
            used: 0,
        };
        let at = if let Some(at) = self.list.iter().position(|source| source.ssrc == ssrc) {
            at
        } else if self.list.len() < most {
            self.list.push(new);
            self.list.len() - 1
        } else {
            let oldest = self.list.iter().enumerate().min_by_key(|(_, s)| s.used);
            let at = oldest.map_or(0, |(at, _)| at);
            if let Some(source) = self.list.get_mut(at) {
                *source = new;
            }
            at
        };
        #[expect(
            clippy::indexing_slicing,
            reason = "every arm above gives the place of a source, `most` being at least 1"
        )]
        let source = &mut self.list[at];
        source.used = self.packets;
        source
    }
}
