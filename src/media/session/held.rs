//! Who is heard from where on shared ports, as this session has it noted there.

use crate::media::commons::{Commons, Seat};
use crate::media::plan::{Gate, Party, Remote, SessionId};
use crate::media::session::line::Line;
use crate::media::session::terms::Supply;

/// What is noted for one session: nothing for those that share no ports.
#[derive(Default)]
pub(crate) struct Held(Vec<Hold>);

/// One party's place on a shared port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hold {
    seat: Seat,
    gate: Gate,
    remote: Remote,
}

impl Held {
    /// Takes note of where `party` of a line that was just worked out is heard from; that it may be was asked before.
    pub(crate) fn note(
        &mut self,
        session: SessionId,
        (index, party): (usize, Party),
        line: &Line,
        supply: &mut impl Supply,
    ) {
        let hold = hold(session, (index, party), line);
        self.0.extend(hold.filter(|hold| hold.claim(supply)));
    }

    /// Keeps of it what these lines say, and nothing else; what is new in them is noted.
    pub(crate) fn keep(
        &mut self,
        session: SessionId,
        lines: [&[Line]; 2],
        supply: &mut impl Supply,
    ) {
        // The usual case: nothing is shared, and nothing was.
        let mut wanted: Vec<Hold> = Vec::new();
        for (index, line) in lines.into_iter().flat_map(|lines| lines.iter().enumerate()) {
            let holds = Party::BOTH.map(|party| hold(session, (index, party), line));
            for hold in holds.into_iter().flatten() {
                if !wanted.contains(&hold) {
                    wanted.push(hold);
                }
            }
        }
        let before = std::mem::take(&mut self.0);
        // First what is new, so that nothing is free in between.
        wanted.retain(|hold| before.contains(hold) || hold.claim(supply));
        let mut kept = wanted.clone();
        for hold in before {
            match kept.iter().position(|own| *own == hold) {
                Some(place) => drop(kept.swap_remove(place)),
                None => hold.release(supply),
            }
        }
        self.0 = wanted;
    }
}

impl Hold {
    fn claim(&self, supply: &mut impl Supply) -> bool {
        let commons = commons_of(self.gate, supply);
        commons.is_some_and(|commons| commons.claim(self.seat, self.gate, self.remote))
    }

    fn release(&self, supply: &mut impl Supply) {
        if let Some(commons) = commons_of(self.gate, supply) {
            commons.release(self.seat, self.gate, self.remote);
        }
    }
}

/// The shared ports that `gate` is one of.
pub(crate) fn commons_of(gate: Gate, supply: &mut impl Supply) -> Option<&mut Commons> {
    supply.commons(gate.address.is_ipv6())
}

/// The seat of a party on a line.
pub(crate) fn seat(session: SessionId, (index, party): (usize, Party)) -> Seat {
    Seat {
        session,
        party,
        // No session description has as many lines.
        line: u16::try_from(index).unwrap_or(u16::MAX),
    }
}

fn hold(session: SessionId, (index, party): (usize, Party), line: &Line) -> Option<Hold> {
    let gate = line.gates.of(party).filter(|gate| gate.is_shared)?;
    Some(Hold {
        seat: seat(session, (index, party)),
        gate,
        remote: line.sides.of(party).remote()?,
    })
}
