//! The way of a call that has happened, walked again: its decisions, its buyers' turns, its webhooks.

mod after;

use std::sync::Arc;

use smallvec::SmallVec;

use crate::call::abroad::TRUNK;
use crate::call::aside::width;
use crate::call::call::Call;
use crate::call::course::Turn;
use crate::call::hunt::Lineup;
use crate::call::memory;
use crate::call::policy::Policy;
use crate::call::record::Side;
use crate::call::replay::remembers::Remembers;
use crate::call::replay::{End, Fate, Happened, Held, Known, Passed, Replayed, WhyPassed};
use crate::call::route::{cause_of_hunt, sum_up};
use crate::call::story::Story;
use crate::call::tried::Hunted;
use crate::hooks::after::Firing;
use crate::hooks::trigger::Trigger;
use crate::hooks::window::MOST_PINGS;
use crate::routing::book::Claim;
use crate::routing::buyer::{Buyer, Gateway};
use crate::routing::campaign::Cause;
use crate::routing::caps::{CapKind, Party, Unknown};
use crate::routing::decide::{decide, follow, forward, recheck};
use crate::routing::screen::Kept;
use crate::routing::trunk::Trunk;
use crate::routing::window::Span;
use crate::types::moment::Moment;
use crate::types::tag::Tags;

/// How far it is.
pub(super) struct Walk<'w> {
    policy: &'w Policy,
    trunk: &'w Trunk,
    call: &'w Happened,
    known: &'w Known,
    story: Story,
    /// What the number dialled says today.
    own: Tags,
    /// When what is asked now is asked, and by which state.
    now: Moment,
    state: usize,
    hunted: Hunted,
    /// Turns that were walked, and refusals of a place, by their places.
    walked: Vec<usize>,
    refused: Vec<usize>,
    passed: Vec<(Arc<str>, &'static str)>,
    webhooks: Vec<(Arc<str>, Trigger)>,
    /// Whether it asks for other calls of its caller.
    asks: bool,
    /// When webhooks fired by which somebody was told.
    fired: Vec<(Arc<str>, Moment)>,
}

/// What became of a buyer's turn.
enum Step {
    Next,
    Over(End),
}

impl<'w> Walk<'w> {
    pub(super) fn new(
        policy: &'w Policy,
        trunk: &'w Trunk,
        (call, known): (&'w Happened, &'w Known),
        story: Story,
    ) -> Self {
        let window = memory::window(policy, &story.facts.campaign);
        let has_tags = policy.hooks.keys().stores_for(&story.facts.company);
        let asks = !window.is_zero() || has_tags;
        Self {
            asks: asks && story.facts.caller.is_some(),
            fired: Vec::new(),
            policy,
            trunk,
            call,
            known,
            own: story.facts.tags.clone(),
            now: call.at,
            state: 0,
            story,
            hunted: Hunted::default(),
            walked: Vec::new(),
            refused: Vec::new(),
            passed: Vec::new(),
            webhooks: Vec::new(),
        }
    }

    /// Walks to the end.
    pub(super) fn run(mut self, kept: Option<&Kept>, replayed: &mut Replayed) {
        self.go_to(self.call.at, 0);
        self.ping(Trigger::Start);
        let end = if self.call.course.is_some() && self.known.decisions.is_empty() {
            // It was over before anything was decided.
            End::AsItDid
        } else {
            self.hunt(kept)
        };
        self.conclude(&end, replayed);
        replayed.decisions = self.story.decisions;
        replayed.passed = self.passed;
        replayed.webhooks = self.webhooks;
        replayed.end = end;
    }

    fn hunt(&mut self, kept: Option<&Kept>) -> End {
        let policy = self.policy;
        let seed = self.call.uuid.text();
        let mut cause = kept.map(Kept::cause);
        let mut is_anew = false;
        loop {
            let place = self.story.decisions.len();
            match self.known.decisions.get(place) {
                Some(asked) => self.go_to(asked.at, asked.state.into()),
                // Nothing was decided then: what was known last is known.
                None => self.go_to(self.now, self.state),
            }
            let (directory, facts) = (&policy.directory, &self.story.facts);
            let before = self.story.decisions.last().filter(|_| !is_anew);
            is_anew = false;
            let decision = match (before, cause) {
                (None, None) => decide(directory, self.now, &seed, facts, &Unknown),
                (before, cause) => {
                    let from = (before, cause.unwrap_or(Cause::NoAnswer));
                    follow(directory, self.now, &seed, facts, &Unknown, from)
                }
            };
            let Some(lineup) = self.story.take_decision(policy, decision) else {
                if !self.waited() {
                    return self.give_up();
                }
                (cause, is_anew) = (None, true);
                continue;
            };
            let over = self.hunt_through(&lineup);
            if let Some(end) = over {
                let won = |one: &&Arc<Buyer>| matches!(&end, End::Taken(id) if *id == one.id);
                if let Some(winner) = lineup.buyers.iter().find(won) {
                    self.story.note_winner(winner);
                }
                return end;
            }
            let next = cause_of_hunt(self.hunted.outcome());
            let campaign = &self.story.facts.campaign;
            if campaign.exits.of(next).is_none() {
                if !self.waited() {
                    return self.give_up();
                }
                (cause, is_anew) = (None, true);
                continue;
            }
            cause = Some(next);
        }
    }

    /// Nobody is left, and the call does not wait any longer: its caller may have given up in the room.
    fn give_up(&self) -> End {
        let waits = self.known.has_waited && self.story.facts.campaign.waiting.is_some();
        match self.call.last.hung_up_by {
            Some(side) if waits && side == Side::Caller.label() => End::AsItDid,
            Some(_) | None => self.refuse(),
        }
    }

    /// Whether the call has waited for what was decided next: it was decided anew then.
    fn waited(&self) -> bool {
        let has_next = self.story.decisions.len() < self.known.decisions.len();
        has_next && self.story.facts.campaign.waiting.is_some()
    }

    /// The buyers have their turns, those who are called at once together. `None`: nobody is left.
    fn hunt_through(&mut self, lineup: &Lineup) -> Option<End> {
        let mut place = 0;
        loop {
            // A vendor calls one after another.
            let most = match *self.trunk.id == *TRUNK {
                true => 1,
                false => self.policy.hunt.at_once,
            };
            let most = lineup.joined.width(place, most);
            let together = lineup.buyers.run(place, most)?;
            let width = width(self.trunk, &together).max(1);
            let together = together.get(..width).unwrap_or_default();
            if let Some(end) = self.step(together) {
                return Some(end);
            }
            place += width;
        }
    }

    /// One step of the hunt: all of `together` are looked at, and then, in the order of the time, called.
    fn step(&mut self, together: &[Arc<Buyer>]) -> Option<End> {
        let passed = self.passed.len();
        let mut over: Option<End> = None;
        let mut end = |step: Step| {
            if let Step::Over(end) = step {
                // Whoever is cancelled may have lost to another one.
                over = over.take().filter(|end| *end != End::AsItDid).or(Some(end));
            }
            over.is_some()
        };
        let mut turns = SmallVec::<[_; 1]>::new();
        for buyer in together {
            let turn = self.recorded(buyer);
            if self.look(buyer, turn) {
                turns.push((buyer, turn));
            }
        }
        let places = turns.iter().map(|(_, turn)| Some((*turn)?.0));
        if places.clone().all(|place| place.is_some()) {
            turns.sort_by_key(|(_, turn)| turn.map(|(place, _)| place));
        }
        let mut is_over = false;
        for (buyer, turn) in turns {
            // Once somebody has taken it, only those had a turn who were called at the same time.
            if is_over && turn.is_none() {
                continue;
            }
            let step = self.turn(buyer, turn.map(|(_, turn)| turn));
            is_over = end(step);
        }
        // Who of them was passed over first was a matter of who was answered first.
        let then = |one: &(Arc<str>, &'static str)| {
            let mut passed = self.call.passed.iter();
            let is_it = |it: &Passed| {
                it.buyer == one.0 && matches!(&it.why, WhyPassed::Judged(why) if **why == *one.1)
            };
            passed.position(is_it)
        };
        let own = self.passed.get_mut(passed..).unwrap_or_default();
        if own.iter().all(|one| then(one).is_some()) {
            own.sort_by_key(then);
        }
        over
    }

    /// A buyer's turn has come: whether it still takes the call.
    fn look(&mut self, buyer: &Arc<Buyer>, turn: Option<(usize, &'w Turn)>) -> bool {
        if let Some((place, turn)) = turn {
            self.walked.push(place);
            self.go_to(turn.asked.at, turn.asked.state.into());
        }
        if buyer.rules.is_plain() {
            return true;
        }
        let facts = &self.story.facts;
        let verdict = recheck(self.now, facts, &Unknown, &facts.campaign, buyer);
        if !verdict.fits() {
            self.pass(buyer, verdict.label());
        }
        verdict.fits()
    }

    /// Who still takes the call is asked for a place, and called.
    fn turn(&mut self, buyer: &Arc<Buyer>, turn: Option<&'w Turn>) -> Step {
        if let Some(turn) = turn {
            self.go_to(turn.asked.at, turn.asked.state.into());
        }
        let is_phone = |gateway: &Arc<Gateway>| gateway.phone.is_some();
        let is_out_of_reach = *self.trunk.id != *TRUNK && buyer.gateways.iter().all(is_phone);
        if is_out_of_reach {
            self.hunted.is_judged = true;
            return Step::Next;
        }
        let was_phone = self.was_passed(buyer, |why| *why == WhyPassed::Phone);
        let has_phone = buyer.gateways.iter().any(is_phone);
        self.hunted.is_judged |= was_phone && has_phone;
        if let Some(step) = self.place(buyer) {
            return step;
        }
        let fates = self.call.attempts.iter();
        let fates = fates.filter(|(id, _)| *id == buyer.id);
        let fates: Vec<Fate> = fates.map(|(_, fate)| *fate).collect();
        let is_down = |why: &WhyPassed| *why == WhyPassed::Down;
        if turn.is_some() && fates.is_empty() && self.was_passed(buyer, is_down) {
            return Step::Next;
        }
        if self.hunted.attempts >= self.policy.hunt.attempts {
            return Step::Over(self.refuse());
        }
        let told = turn.map(|turn| turn.told);
        if told == Some(None) {
            if was_phone && !has_phone {
                // It was passed over then, and can be called now.
                return Step::Over(End::Unknown(Arc::clone(&buyer.id)));
            }
            // It was over while the buyer was asked for a place, or nobody took its media.
            return self.stop_at(buyer, &fates);
        }
        self.story.facts.tried.push(Arc::clone(&buyer.id));
        self.go_to(self.now, told.flatten().map_or(self.state, usize::from));
        self.story.note_buyer(buyer);
        self.ping(Trigger::Selected);
        let Some(turn) = turn else {
            return Step::Over(End::Unknown(Arc::clone(&buyer.id)));
        };
        let Some(state) = turn.forward else {
            return self.stop_at(buyer, &fates);
        };
        self.go_to(self.now, state.into());
        if forward(&self.story.facts, buyer).is_err() {
            return self.pass(buyer, FORWARD);
        }
        let is_judged = |why: &WhyPassed| matches!(why, WhyPassed::Judged(_));
        if fates.is_empty() && self.was_passed(buyer, is_judged) {
            // It was passed over then, and is not now.
            return Step::Over(End::Unknown(Arc::clone(&buyer.id)));
        }
        self.take(buyer, &fates)
    }

    /// The next turn that the buyer had, and its place.
    fn recorded(&self, buyer: &Buyer) -> Option<(usize, &'w Turn)> {
        let mut turns = (0..).zip(&self.known.turns);
        turns.find(|(place, turn)| turn.buyer == buyer.id && !self.walked.contains(place))
    }

    /// Whether there is a place; `Some`: there is none, or nobody knows.
    fn place(&mut self, buyer: &Arc<Buyer>) -> Option<Step> {
        let mut passed = (0..).zip(&self.call.passed);
        let (at, one) = passed.find(|(at, one)| {
            let is_place = matches!(one.why, WhyPassed::Full { .. } | WhyPassed::Unknown);
            is_place && one.buyer == buyer.id && !self.refused.contains(at)
        })?;
        self.refused.push(at);
        if let WhyPassed::Full { party, kind, have } = &one.why
            && !is_full(buyer, self.story.facts.number_claim(), party, (kind, *have))
        {
            return Some(Step::Over(End::Unknown(Arc::clone(&buyer.id))));
        }
        self.hunted.is_capped = true;
        Some(Step::Next)
    }

    /// Nothing more is known of this buyer's turn than that there was one.
    fn stop_at(&self, buyer: &Buyer, fates: &[Fate]) -> Step {
        let is_judged = |why: &WhyPassed| matches!(why, WhyPassed::Judged(_));
        Step::Over(if fates.is_empty() && !self.was_passed(buyer, is_judged) {
            End::AsItDid
        } else {
            End::Unknown(Arc::clone(&buyer.id))
        })
    }

    /// The buyer is called, and does what it did.
    fn take(&mut self, buyer: &Buyer, fates: &[Fate]) -> Step {
        let busy = fates.iter().filter(|fate| **fate == Fate::Busy).count();
        self.hunted.attempts += fates.len();
        self.hunted.busy += busy;
        match fates.last() {
            Some(Fate::Answered) => Step::Over(End::Taken(Arc::clone(&buyer.id))),
            Some(Fate::Busy | Fate::Failed) => Step::Next,
            Some(Fate::Cancelled) | None => Step::Over(End::AsItDid),
        }
    }

    fn pass(&mut self, buyer: &Buyer, why: &'static str) -> Step {
        self.hunted.is_judged = true;
        self.passed.push((Arc::clone(&buyer.id), why));
        Step::Next
    }

    fn was_passed(&self, buyer: &Buyer, is_it: impl Fn(&WhyPassed) -> bool) -> bool {
        let mut passed = self.call.passed.iter();
        passed.any(|one| one.buyer == buyer.id && is_it(&one.why))
    }

    /// Nobody is left.
    fn refuse(&self) -> End {
        let refused = self.story.refused.as_ref();
        let outcome = sum_up(refused, self.hunted.outcome());
        let status = refused
            .and_then(|refused| refused.answer.as_ref())
            .and_then(|answer| answer.status);
        End::Refused {
            status: status.unwrap_or_else(|| Call::status_for(self.trunk, outcome)),
            outcome: outcome.label(),
        }
    }

    /// What is asked next is asked then, and by this state.
    fn go_to(&mut self, now: Moment, state: usize) {
        (self.now, self.state) = (now, state);
        let mut tags = self.own.clone();
        let held = self.held();
        let said = held.map_or(&[][..], |held| &held.tags).iter();
        tags.restore(said.map(|one| (one.key.as_str(), one.value.as_str(), one.origin)));
        self.story.facts.tags = tags;
        let memory = held.and_then(|held| held.memory.as_ref());
        let memory = memory.filter(|_| self.asks);
        let past = memory.map(|(memory, is_known)| memory.past(!is_known));
        self.story.facts.past = past.unwrap_or_default();
    }

    /// What is known now.
    fn held(&self) -> Option<&'w Held> {
        let states = &self.known.states;
        states.get(self.state).or_else(|| states.last())
    }

    fn remembers(&self) -> Remembers<'_> {
        Remembers {
            memory: self.held().and_then(|held| held.memory.as_ref()),
            asks: self.asks,
            fired: &self.fired,
        }
    }

    /// A webhook fires.
    fn fire(&mut self, id: Arc<str>, trigger: Trigger) {
        let turn = self.webhooks.iter().filter(|(one, _)| *one == id).count();
        let is_told = !self.known.failed.contains(&(Arc::clone(&id), turn));
        if is_told {
            self.fired.push((Arc::clone(&id), self.now));
        }
        self.webhooks.push((id, trigger));
    }

    fn ping(&mut self, trigger: Trigger) {
        for (id, trigger) in self.due(trigger).into_iter().take(MOST_PINGS) {
            self.fire(id, trigger);
        }
    }

    /// The webhooks of a trigger that fire now.
    fn due(&self, trigger: Trigger) -> Vec<(Arc<str>, Trigger)> {
        let Some(hooks) = &self.story.hooks else {
            return Vec::new();
        };
        let seen = self.story.seen();
        let firing = Firing {
            facts: &seen,
            caller: self.story.facts.caller,
            past: &self.remembers(),
            now: self.now,
        };
        let due = firing.due(hooks, trigger);
        due.map(|webhook| (Arc::clone(&webhook.id), trigger))
            .collect()
    }
}

/// Whether so many calls still are as many as this limit lets.
fn is_full(buyer: &Buyer, number: Option<Claim>, party: &Party, (kind, have): (&str, u32)) -> bool {
    let claims = Claim::of(buyer, number);
    let Some(claim) = claims.iter().find(|claim| claim.party == *party) else {
        return false;
    };
    let most = |span| claim.quota.as_ref().and_then(|quota| quota.most.of(span));
    let concurrency = (CapKind::Concurrency, claim.caps.max_calls);
    let cps = (CapKind::Cps, claim.caps.max_cps);
    let windows = Span::ALL.map(|span| (CapKind::Window(span), most(span)));
    let mut limits = [concurrency, cps].into_iter().chain(windows);
    let limit = limits.find(|(limit, _)| limit.label() == kind);
    limit
        .and_then(|(_, cap)| cap)
        .is_some_and(|cap| have >= cap)
}

/// The name of the verdict of a buyer that wanted something else to be known just before it was called.
pub(crate) const FORWARD: &str = "forward_mismatch";
