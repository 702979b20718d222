//! What a party was told last, with our `o=` line on its leg.

use std::net::IpAddr;

use zeroize::Zeroizing;

use crate::media::sdp::read::Sdp;
use crate::media::sdp::write::{self, Origin, Section};
use crate::media::session::fault::Fault;
use crate::media::session::terms::Supply;

/// What a party was told last. It may hold keys.
#[derive(Clone, Default)]
pub(crate) struct Told {
    origin: Option<Origin>,
    text: Zeroizing<Vec<u8>>,
}

impl Told {
    /// Tells it `sdp` with `sections` in it: the version rises if that is another text than the last.
    pub(crate) fn tell(
        &mut self,
        sdp: &Sdp<'_>,
        own: IpAddr,
        sections: &[Section],
        supply: &mut impl Supply,
    ) -> Vec<u8> {
        let mut rest = Zeroizing::new(Vec::with_capacity(512));
        let mut origin = self.origin.unwrap_or_else(|| {
            let mut id = [0; 4];
            supply.fill(&mut id);
            Origin {
                // Some peers read it as a signed number of 32 bits.
                session: u64::from(u32::from_be_bytes(id) >> 1),
                version: 0,
                address: own,
            }
        });
        write::write_rest(&mut rest, sdp, origin.address, sections);
        if self.text.is_empty() || write::rest_of(&self.text) != rest.as_slice() {
            origin.version += 1;
            let mut text = Zeroizing::new(Vec::with_capacity(rest.len() + 64));
            write::write_origin(&mut text, &origin);
            text.extend_from_slice(&rest);
            self.text = text;
            self.origin = Some(origin);
        }
        self.text.to_vec()
    }

    /// Has it told of another port of ours on the line at `index`, and of the key with this tag alone.
    pub(crate) fn move_line(&mut self, index: usize, port: u16, tag: Option<u32>) {
        let Some(origin) = &mut self.origin else {
            return;
        };
        origin.version += 1;
        let mut text = Zeroizing::new(Vec::with_capacity(self.text.len() + 8));
        write::write_origin(&mut text, origin);
        write::write_moved(&mut text, write::rest_of(&self.text), (index, port), tag);
        self.text = text;
    }

    /// What it was told.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// The same, read.
    pub(crate) fn read(&self) -> Result<Sdp<'_>, Fault> {
        Sdp::read(&self.text).map_err(Fault::from)
    }
}
