//! The way of a call that has happened, walked again: its decisions, its buyers' turns, its webhooks.

use std::sync::Arc;
use std::time::Duration;

use crate::call::call::Call;
use crate::call::course::Turn;
use crate::call::memory;
use crate::call::policy::Policy;
use crate::call::replay::remembers::Remembers;
use crate::call::replay::{End, Fate, Happened, Held, Known, Replayed, WhyPassed};
use crate::call::route::{cause_of_hunt, sum_up};
use crate::call::story::Story;
use crate::call::tried::Hunted;
use crate::hooks::after::{self, Firing};
use crate::hooks::conversion::{Conversion, Ended, Talk};
use crate::hooks::trigger::Trigger;
use crate::hooks::window::MOST_PINGS;
use crate::routing::book::Claim;
use crate::routing::buyer::Buyer;
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
        loop {
            let place = self.story.decisions.len();
            match self.known.decisions.get(place) {
                Some(asked) => self.go_to(asked.at, asked.state.into()),
                // Nothing was decided then: what was known last is known.
                None => self.go_to(self.now, self.state),
            }
            let (directory, facts) = (&policy.directory, &self.story.facts);
            let decision = match (self.story.decisions.last(), cause) {
                (None, None) => decide(directory, self.now, &seed, facts, &Unknown),
                (before, cause) => {
                    let from = (before, cause.unwrap_or(Cause::NoAnswer));
                    follow(directory, self.now, &seed, facts, &Unknown, from)
                }
            };
            let Some(lineup) = self.story.take_decision(policy, decision) else {
                return self.refuse();
            };
            let mut over = None;
            for buyer in lineup.buyers.iter() {
                // Once somebody has taken it, only those had a turn who were called at the same time.
                if over.is_some() && self.recorded(buyer).is_none() {
                    break;
                }
                if let Step::Over(end) = self.turn(buyer) {
                    // Whoever is cancelled may have lost to another one.
                    over = over.filter(|end| *end != End::AsItDid).or(Some(end));
                }
            }
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
                return self.refuse();
            }
            cause = Some(next);
        }
    }

    /// A buyer's turn has come.
    fn turn(&mut self, buyer: &Arc<Buyer>) -> Step {
        let turn = self.recorded(buyer).map(|(place, turn)| {
            self.walked.push(place);
            turn
        });
        if let Some(turn) = turn {
            self.go_to(turn.asked.at, turn.asked.state.into());
        }
        if !buyer.rules.is_plain() {
            let facts = &self.story.facts;
            let verdict = recheck(self.now, facts, &Unknown, &facts.campaign, buyer);
            if !verdict.fits() {
                return self.pass(buyer, verdict.label());
            }
        }
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

    /// What comes after the answer, and after the end.
    fn conclude(&mut self, end: &End, replayed: &mut Replayed) {
        let last = &self.call.last;
        let talk = match end {
            End::Taken(_) | End::Unknown(_) => last.talk,
            End::Refused { .. } | End::AsItDid => None,
        };
        if let (Some(talk), End::Taken(_)) = (talk, end) {
            self.answer(talk);
        }
        self.go_to(self.call.at.after(last.total), usize::MAX);
        let progress = &mut self.story.progress;
        progress.status = Some(match talk {
            Some(_) => "completed",
            None => "not_connected",
        });
        progress.reason = Some(match end {
            End::Refused { outcome, .. } => Arc::from(*outcome),
            End::Taken(_) | End::Unknown(_) | End::AsItDid => Arc::clone(&last.outcome),
        });
        progress.sip_code = Some(match end {
            End::Refused { status, .. } => *status,
            End::Taken(_) | End::Unknown(_) | End::AsItDid => last.status,
        });
        progress.ended = Some(self.now);
        progress.duration = talk;
        progress.total = Some(last.total);
        progress.ringing = self.known.ringing;
        progress.hung_up_by = last.hung_up_by;
        let (conversion, due) = self.settle(talk);
        match end {
            End::Unknown(_) => replayed.supposed = conversion,
            End::Taken(_) | End::Refused { .. } | End::AsItDid => {
                self.webhooks.extend(due);
                replayed.supposed.clone_from(&conversion);
                replayed.conversion = conversion;
            }
        }
    }

    /// A buyer has answered, and they talk for so long.
    fn answer(&mut self, talk: Duration) {
        let state = self.known.answer.map_or(self.state, usize::from);
        let answered = self
            .call
            .at
            .after(self.call.last.total.saturating_sub(talk));
        self.go_to(answered, state);
        self.story.progress.answered = Some(answered);
        self.story.progress.status = Some("answered");
        let Some(hooks) = self.story.hooks.clone() else {
            return;
        };
        self.ping(Trigger::Answered);
        for (after, hook) in after::timers(&hooks, self.story.offset) {
            if after > talk {
                break;
            }
            let due = answered.after(after);
            let state = if after.is_zero() {
                state
            } else {
                let over = self.known.states.iter();
                over.take_while(|held| held.until.is_some_and(|until| until <= due))
                    .count()
            };
            self.go_to(due, state);
            let fires = self.due(Trigger::Timer);
            if fires.iter().any(|(id, _)| *id == hook.id) {
                self.fire(Arc::clone(&hook.id), Trigger::Timer);
            }
        }
    }

    /// What the call comes to, and what fires because of that.
    fn settle(&mut self, talk: Option<Duration>) -> (Option<Conversion>, Vec<(Arc<str>, Trigger)>) {
        let Some(hooks) = self.story.hooks.clone() else {
            return (None, Vec::new());
        };
        if talk.is_some() && !self.story.facts.campaign.settle.is_zero() {
            // That is found out later, and no record tells it.
            return (None, Vec::new());
        }
        let buyer = self.story.progress.buyer.clone();
        let talk = talk.map(|time| Talk {
            buyer: buyer.as_deref().unwrap_or_default(),
            time,
            offset: self.story.offset,
        });
        let conversion = {
            let seen = self.story.seen();
            let ended = Ended {
                facts: &seen,
                talk,
                caller: self.story.facts.caller,
                posted: self.known.posted,
                now: self.now,
            };
            Conversion::of(&hooks.groups, &ended, &self.remembers())
        };
        self.story.note_conversion(&hooks, &conversion);
        let seen = self.story.seen();
        let firing = Firing {
            facts: &seen,
            caller: self.story.facts.caller,
            past: &self.remembers(),
            now: self.now,
        };
        let due = firing.after_call(&hooks, talk.is_some(), &conversion);
        let due = due.into_iter();
        let due = due
            .map(|hook| (Arc::clone(&hook.id), hook.trigger))
            .collect();
        ((!hooks.groups.is_empty()).then_some(conversion), due)
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
