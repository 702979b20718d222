//! Ports that have to be others although a party was told of them: on shared ports it can turn out, by its answer, that
//! somebody else is heard from where it listens. It is then told anew, and until it has heard so nothing of it is.
//!
//! ```text
//!   we --- offer: port 19000 ---> buyer
//!      <-- answer: 198.51.100.1:4000     that address is another call's on port 19000
//!      --- offer: port 20442 ----------> the same again, but for the port
//!      <-- answer ----------------------
//! ```

use std::mem;

use smallvec::SmallVec;

use crate::media::plan::{Gate, Party};
use crate::media::sdp::read::{ReadError, Sdp};
use crate::media::session::answer::place;
use crate::media::session::fault::Fault;
use crate::media::session::line::{Line, give_back};
use crate::media::session::seal;
use crate::media::session::{Leg, Session, Supply};

/// The ports of a party, by line.
pub(super) type Gates = SmallVec<[Option<Gate>; 2]>;

impl Session {
    /// Who has to be told anew where it is to send, since this was last asked.
    pub fn take_moved(&mut self) -> Option<Party> {
        self.moved.take()
    }

    /// What a party was told last, or is to be told now.
    #[must_use]
    pub fn told(&self, party: Party) -> &[u8] {
        let leg = self.legs.of(party).as_ref();
        leg.map_or(&[], |leg| leg.told.text())
    }

    /// Takes the answer of `from` to what it was told anew. It may say that it listens elsewhere now, and that somebody else
    /// is heard from there: then it is to be told once more.
    ///
    /// # Errors
    ///
    /// The answer is none to that.
    pub fn confirm(
        &mut self,
        from: Party,
        sdp: &[u8],
        supply: &mut impl Supply,
    ) -> Result<(), Fault> {
        let sdp = Sdp::read(sdp)?;
        let mut agreed = self.lines.clone();
        if let Err(fault) = self.reread(from, &sdp, &mut agreed, supply) {
            give_back(&agreed, &[&self.lines, self.offered()], supply);
            return Err(fault);
        }
        let before = mem::replace(&mut self.lines, agreed);
        give_back(&before, &[&self.lines, self.offered()], supply);
        let gates: Gates = before.iter().map(|line| *line.gates.of(from)).collect();
        let lines = mem::take(&mut self.lines);
        self.note_moved(from, &gates, &lines);
        self.lines = lines;
        self.keep_held(supply);
        Ok(())
    }

    /// Brings into `lines` where `from` listens now, by which keys, and which ports of ours are for it.
    fn reread(
        &self,
        from: Party,
        sdp: &Sdp<'_>,
        lines: &mut [Line],
        supply: &mut impl Supply,
    ) -> Result<(), Fault> {
        let leg = self.legs.of(from).as_ref();
        let told = leg.ok_or(Fault::NoOffer)?.told.read()?;
        if sdp.media_count() != lines.len() {
            return Err(Fault::Lines);
        }
        for (index, line) in lines.iter_mut().enumerate() {
            let Some(gate) = *line.gates.of(from) else {
                continue;
            };
            let media = sdp.media_at(index).ok_or(Fault::Lines)?;
            if media.head.port == 0 {
                return Err(Fault::Media);
            }
            let listens = media.listens()?;
            if listens.is_some_and(|(rtp, _)| rtp.is_ipv6() != gate.address.is_ipv6()) {
                return Err(ReadError::Address.into());
            }
            let has_mux = told.media_at(index).is_some_and(|told| told.has_mux());
            let side = line.sides.of_mut(from);
            side.srtp = seal::of_answer(&media, side)?;
            side.listens = listens;
            side.is_mux = has_mux && media.has_mux();
            if let Some(remote) = side.remote() {
                let gate = place((self.id, index, from), gate, remote, supply)?;
                *line.gates.of_mut(from) = Some(gate);
            }
        }
        Ok(())
    }

    /// Where a party's ports are others than `before`, it is to be told so.
    pub(super) fn note_moved(&mut self, party: Party, before: &[Option<Gate>], lines: &[Line]) {
        let Some(Leg { told, .. }) = self.legs.of_mut(party) else {
            return;
        };
        for (index, (line, before)) in lines.iter().zip(before).enumerate() {
            let (Some(now), Some(before)) = (line.gates.of(party), before) else {
                continue;
            };
            if now != before {
                let sealed = line.sides.of(party).srtp.as_ref();
                told.move_line(index, now.port, sealed.map(|sealed| sealed.tag));
                self.moved = Some(party);
            }
        }
    }

    /// Notes on shared ports who is heard from where, as it stands now.
    pub(super) fn keep_held(&mut self, supply: &mut impl Supply) {
        let mut held = mem::take(&mut self.held);
        held.keep(self.id, [&self.lines, self.offered()], supply);
        self.held = held;
    }
}
