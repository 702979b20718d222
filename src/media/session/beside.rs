//! Several buyers who are called at once: each has a session of its own beside the call's, until one of them is the one.
//!
//! ```text
//!                 +--> beside: buyer a's offer and ports ---- part: its ports go back
//!   the call's ---+
//!   session       +--> beside: buyer b's offer and ports ---- adopt: it is the call's session from here on
//! ```
//!
//! What the caller was told before stands in all of them, and its ports are the call's. A caller that was told nothing is
//! told what the adopted session makes of its buyer's answer, and nothing of the others'.

use std::mem;

use crate::media::plan::Party;
use crate::media::session::held::Held;
use crate::media::session::line::give_back;
use crate::media::session::{Exchange, Leg, Session, Supply, Terms};

impl Session {
    /// The media with another buyer, who is called while others are. Between buyers only, after
    /// [`next_buyer`](Self::next_buyer).
    #[must_use]
    pub fn beside(&self, terms: Terms) -> Self {
        let mut legs = self.legs.clone();
        *legs.of_mut(Party::Buyer) = Some(Leg::new(terms));
        Self {
            id: self.id,
            legs,
            lines: self.lines.clone(),
            exchange: Exchange::Idle,
            is_bound: self.is_bound,
            is_answered: self.is_answered,
            is_planned: self.is_planned,
            is_apart: self.is_apart,
            moved: None,
            held: Held::default(),
        }
    }

    /// The buyer of `beside` is the one: what there was of others goes.
    pub fn adopt(&mut self, beside: Self, supply: &mut impl Supply) {
        let mut before = mem::replace(self, beside);
        self.is_planned |= before.is_planned;
        self.is_apart |= before.is_apart;
        let kept = [&*self.lines, self.offered()];
        give_back(before.offered(), &[&before.lines, kept[0], kept[1]], supply);
        give_back(&before.lines, &kept, supply);
        self.keep_held(supply);
        before.held.keep(before.id, [&[], &[]], supply);
    }

    /// The buyer of this session is not the one: its ports go back, but for those of the call's session `of`, if that is
    /// still there.
    pub fn part(mut self, of: Option<&Self>, supply: &mut impl Supply) {
        self.forget_offer(supply);
        let kept = of.map(|of| &*of.lines).unwrap_or_default();
        give_back(&self.lines, &[kept], supply);
        self.lines.clear();
        self.keep_held(supply);
    }
}
