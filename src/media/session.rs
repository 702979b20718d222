//! One call's media over our relay: two parties, two offer/answer exchanges, one relay between them (RFC 3264).
//!
//! ```text
//!   caller --- offer --->  | we: our address,  | --- offer --->  buyer
//!          <-- answer ---  | ports, keys       | <-- answer ---
//! ```
//!
//! Each leg has its own `o=` line, ports and keys. What is agreed changes only when an offer is answered: one that is
//! refused, or never answered, leaves all as it was. A late offer or one in the middle of the call goes the same way
//! from either party.
//!
//! **The caller is told once.** What the caller was told on an early answer stands for all buyers that are tried
//! after that one: same ports, same formats, same bytes. The next buyer is offered only what the caller was told, and
//! its answer must fit, else it is a [`Fault`] and the hunt goes on. So that a buyer who does not listen to an early
//! caller binds nobody, an answer before [`Session::note_answered`] tells the caller the widest direction that its
//! offer allows; what is passed on is as agreed.

pub mod far;
pub mod fault;
pub mod terms;

mod answer;
mod beside;
mod held;
mod line;
mod moved;
mod offer;
mod seal;
mod told;

use smallvec::SmallVec;

use crate::media::plan::{Party, Patience, Plan, SessionId, Sources};
use crate::media::sdp::read::Sdp;
pub use crate::media::session::fault::Fault;
use crate::media::session::held::Held;
use crate::media::session::line::{Both, Lines, give_back};
pub use crate::media::session::terms::{OtherMedia, Srtp, Supply, Terms};
use crate::media::session::told::Told;

/// The media of one call.
pub struct Session {
    id: SessionId,
    legs: Both<Option<Leg>>,
    /// As agreed last. Before the first answer there are none.
    lines: Lines,
    exchange: Exchange,
    /// Whether the caller was told an answer that the present buyer has to fit.
    is_bound: bool,
    is_answered: bool,
    /// Whether the relay has it.
    is_planned: bool,
    /// Whether that is where no ports are shared.
    is_apart: bool,
    /// Who has to be told anew where it is to send.
    moved: Option<Party>,
    /// Its places on shared ports.
    held: Held,
}

/// One party.
#[derive(Clone)]
pub(crate) struct Leg {
    pub(crate) terms: Terms,
    /// What we sent it last.
    pub(crate) told: Told,
}

/// Where offer and answer are, with the present buyer.
enum Exchange {
    /// Nothing was offered.
    Idle,
    /// `by` has offered, and the other party was told.
    Offered { by: Party, lines: Lines },
    /// The last offer was `by`'s, and is answered.
    Settled { by: Party },
}

impl Session {
    /// Begins the media of a call that came in under `caller`'s terms.
    #[must_use]
    pub fn new(id: SessionId, caller: Terms) -> Self {
        Self {
            id,
            legs: Both::new(Some(Leg::new(caller)), None),
            lines: Lines::new(),
            exchange: Exchange::Idle,
            is_bound: false,
            is_answered: false,
            is_planned: false,
            is_apart: false,
            moved: None,
            held: Held::default(),
        }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// A new attempt begins: the last buyer's ports go back and its keys are forgotten. What the caller was told
    /// stands. Its relaying goes on by the plan after the offer to the new buyer.
    pub fn next_buyer(&mut self, terms: Terms, supply: &mut impl Supply) {
        self.is_bound = self.is_bound || self.is_settled();
        self.forget_offer(supply);
        let mut lines = Lines::new();
        if self.is_bound {
            lines = self.lines.clone();
            for line in &mut lines {
                *line.gates.of_mut(Party::Buyer) = None;
                *line.sides.of_mut(Party::Buyer) = line::Side::default();
            }
        }
        give_back(&self.lines, &[&lines], supply);
        self.lines = lines;
        self.exchange = Exchange::Idle;
        *self.legs.of_mut(Party::Buyer) = Some(Leg::new(terms));
        self.moved = None;
        self.keep_held(supply);
    }

    /// Takes the offer of `from` and gives what the other party is to be offered. It takes the place of an offer that
    /// is not answered yet.
    ///
    /// # Errors
    ///
    /// The offer is refused; what was agreed stands.
    pub fn offer(
        &mut self,
        from: Party,
        sdp: &[u8],
        supply: &mut impl Supply,
    ) -> Result<Vec<u8>, Fault> {
        if self.is_bound && (from == Party::Buyer || self.is_settled()) {
            self.is_bound = false;
        }
        let sdp = Sdp::read(sdp)?;
        let mut staged = Lines::new();
        let result = self.stage_offer(from, &sdp, &mut staged, supply);
        let before = std::mem::replace(&mut self.exchange, Exchange::Idle);
        let kept: [&[line::Line]; 2] = [&self.lines, &staged];
        match (&before, &result) {
            (Exchange::Offered { lines, .. }, Ok(_)) => give_back(lines, &kept, supply),
            (Exchange::Offered { lines, .. }, Err(_)) => {
                give_back(&staged, &[&self.lines, lines], supply);
            }
            (Exchange::Idle | Exchange::Settled { .. }, Ok(_)) => {}
            (Exchange::Idle | Exchange::Settled { .. }, Err(_)) => {
                give_back(&staged, &[&self.lines], supply);
            }
        }
        self.exchange = match result {
            Ok(_) => Exchange::Offered {
                by: from,
                lines: staged,
            },
            Err(_) => before,
        };
        self.keep_held(supply);
        result
    }

    /// Takes the answer of `from` and gives what the other party is to be told. An answer may come again, the same or
    /// changed (183, then 200): the caller is told the same.
    ///
    /// # Errors
    ///
    /// The answer cannot be used; what was agreed stands, and so does the offer.
    pub fn answer(
        &mut self,
        from: Party,
        sdp: &[u8],
        supply: &mut impl Supply,
    ) -> Result<Vec<u8>, Fault> {
        let by = from.other();
        let (offered, is_repeated) = match &self.exchange {
            Exchange::Offered { by: own, lines } if *own == by => (lines, false),
            Exchange::Settled { by: own } if *own == by => (&self.lines, true),
            // Another exchange has followed since, by UPDATE; what the buyer's last response says again is no news.
            Exchange::Idle | Exchange::Settled { .. }
                if from == Party::Buyer && self.is_settled() && !self.is_answered =>
            {
                let other = self.legs.of(by).as_ref().ok_or(Fault::NoOffer)?;
                return Ok(other.told.text().to_vec());
            }
            Exchange::Idle | Exchange::Offered { .. } | Exchange::Settled { .. } => {
                return Err(Fault::NoOffer);
            }
        };
        let sdp = Sdp::read(sdp)?;
        let mut agreed = offered.clone();
        let is_told = by == Party::Caller && (self.is_bound || is_repeated);
        let told = match self.stage_answer(from, &sdp, &mut agreed, is_told, supply) {
            Ok(told) => told,
            Err(fault) => {
                give_back(&agreed, &[&self.lines, self.offered()], supply);
                self.keep_held(supply);
                return Err(fault);
            }
        };
        let before = match std::mem::replace(&mut self.exchange, Exchange::Settled { by }) {
            Exchange::Offered { lines, .. } => lines,
            Exchange::Idle | Exchange::Settled { .. } => Lines::new(),
        };
        give_back(&before, &[&agreed, &self.lines], supply);
        give_back(&self.lines, &[&agreed], supply);
        self.lines = agreed;
        self.keep_held(supply);
        self.forget_spare_keys();
        Ok(told)
    }

    /// The offer that is not answered was refused, or is given up: what was agreed stands.
    pub fn forget_offer(&mut self, supply: &mut impl Supply) {
        if let Exchange::Offered { lines, .. } = &self.exchange {
            give_back(lines, &[&self.lines], supply);
            self.exchange = Exchange::Idle;
            self.keep_held(supply);
        }
    }

    /// The call is answered: from here on silence counts, and directions are told as they are.
    pub fn note_answered(&mut self) {
        self.is_answered = true;
        self.forget_spare_keys();
    }

    /// What the relay should do now. How long it may be quiet is for the caller to fill in, but for whether the call
    /// is answered.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let sources = |party| {
            let leg = self.legs.of(party).as_ref();
            leg.map_or(Sources::Announced, |leg| leg.terms.sources.clone())
        };
        let sources = Both::new(sources(Party::Caller), sources(Party::Buyer));
        let lines = match &self.exchange {
            // Nothing else stands, or only the caller's half of it.
            Exchange::Offered { lines, .. } if !self.lines.iter().any(line::Line::is_live) => lines,
            Exchange::Idle | Exchange::Offered { .. } | Exchange::Settled { .. } => &self.lines,
        };
        let streams: SmallVec<_> = lines
            .iter()
            .filter_map(|line| line.stream(&sources))
            .collect();
        Plan {
            streams,
            patience: Patience {
                is_answered: self.is_answered,
                ..Patience::default()
            },
        }
    }

    /// The call is over: all ports go back.
    pub fn end(mut self, supply: &mut impl Supply) {
        self.forget_offer(supply);
        give_back(&self.lines, &[], supply);
        self.lines = Lines::new();
        self.keep_held(supply);
    }

    /// The relay was told this plan. One that it has where no ports are shared stays there.
    pub fn note_planned(&mut self, plan: &Plan) {
        let mut ends = plan.streams.iter().flat_map(|stream| &stream.ends);
        if !self.is_planned {
            self.is_planned = true;
            self.is_apart = !ends.any(|end| end.gate.is_shared);
        }
    }

    /// Forgets keys that were offered and not taken, once no other answer can take them.
    fn forget_spare_keys(&mut self) {
        if !self.is_answered {
            return;
        }
        for line in &mut self.lines {
            for party in Party::BOTH {
                line.sides.of_mut(party).offered = Vec::new();
            }
        }
    }

    /// The lines of an offer that is not answered yet.
    fn offered(&self) -> &[line::Line] {
        match &self.exchange {
            Exchange::Offered { lines, .. } => lines,
            Exchange::Idle | Exchange::Settled { .. } => &[],
        }
    }

    /// Whether the present buyer has agreed on something.
    fn is_settled(&self) -> bool {
        self.lines.iter().any(line::Line::is_live)
    }
}

impl Leg {
    fn new(terms: Terms) -> Self {
        Self {
            terms,
            told: Told::default(),
        }
    }
}

#[cfg(test)]
mod tests;
