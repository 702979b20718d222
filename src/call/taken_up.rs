//! Calls [abroad](crate::call::abroad) that another process of ours has begun: the vendor carries them on whatever becomes of us,
//! so the next process takes them up where the journal leaves them.
//!
//! ```text
//!            ┌─ answered ─────────> Abroad     its timers go on, its place counts; `Over` ends it as if we had never been away
//!   TakeUp ──┼─ a buyer is named ─> Hunting    that one has its turn, and is named again; `Left` goes on with whoever is left
//!            └─ nobody was yet ───> as if it began now
//! ```
//!
//! One call, one UUID, one record: its beginning is in the journal, and so is what has counted. Who is left is decided again, as it
//! was at the beginning, by the policy of today; what webhooks had answered by then is not known in order, so nobody can decide the
//! call a third time (`replay`).

use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use crate::call::Engine;
use crate::call::a_leg::Early;
use crate::call::abroad::{Abroad, Arrived, LAST_WORD, NOWHERE, PATIENCE, Stay};
use crate::call::abroad_leg::result_of;
use crate::call::b_leg::{self, Offer};
use crate::call::call::{Call, Hunting, State};
use crate::call::claimant::{Claimant, Given};
use crate::call::core::Core;
use crate::call::credentials::reread;
use crate::call::errand::{Before, Beginning, Said, Step, Tried};
use crate::call::health::Offered;
use crate::call::hunt::{Hunt, Lineup};
use crate::call::output::{Event, Output, Refusal};
use crate::call::places::{self, Place, Plan, Ticket, Verdict};
use crate::call::policy::Policy;
use crate::call::record::{Attempt, AttemptResult, Outcome, Side};
use crate::call::route::Brief;
use crate::call::turn::{Phase, Selection, Turn, TurnId};
use crate::routing::buyer::{Buyer, Gateway};
use crate::routing::caps::{CapOn, Unknown};
use crate::routing::decide::{decide, follow};
use crate::routing::route::{Joined, Order};
use crate::twilio::dial::Why;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// A place that another process has given to a call, and that is asked for again.
pub(crate) struct Owed {
    ticket: Ticket,
    /// Whose it is; `None`: of the buyer that has answered.
    turn: Option<TurnId>,
    /// What the attempt came to before the place was there.
    left: Option<(Why, Option<u16>)>,
}

impl Engine {
    /// Takes a call up.
    pub(super) fn take_up(
        &mut self,
        now: Instant,
        uuid: CallUuid,
        beginning: Beginning,
        before: &Before,
    ) -> Result<(), Refusal> {
        if self.registry.is_full() {
            self.core.event(Event::TableFull { table: "calls" });
            return Err(Refusal::Overload);
        }
        let key = self.registry.next_key();
        let began = instant(now, &self.core, before.began);
        let (whose, core) = ((uuid, &self.policy), &mut self.core);
        let arrived = Call::arrive_abroad(core, key, whose, (began, before.began), beginning);
        let Arrived {
            mut call,
            early,
            plan,
        } = arrived.ok_or(Refusal::Internal)?;
        core.event(Event::TakenUp {
            uuid,
            is_answered: before.answered.is_some(),
        });
        call.note_before(before);
        call.resume(now, core, (early, plan), before);
        let last = before.tried.last().and_then(|tried| tried.came);
        if let (Some(why), None) = (last, before.answered) {
            // It was told, and nobody lived to do what follows: that is done when the place is there.
            let attempt = u32::try_from(before.tried.len()).unwrap_or(u32::MAX);
            call.handle_said(now, core, Said::Left(attempt, why, None));
        }
        if !call.is_gone() {
            self.registry.insert(now, Box::new(call));
        }
        Ok(())
    }
}

impl Call {
    /// Ends it for this process, and leaves it to the next: nothing is written, and whoever waits is to ask again.
    pub(crate) fn leave_to_others(&mut self, core: &mut Core) {
        self.record = None;
        self.release_places(core);
        self.state = State::Gone;
        let later = Step::Refused(Refusal::Draining);
        core.output(Output::Abroad(self.uuid, later));
    }

    /// What was known of it.
    fn note_before(&mut self, before: &Before) {
        let story = self.record.as_mut().and_then(|one| one.story.as_mut());
        if let Some(story) = story {
            story.course.is_taken_up = true;
            let tags = before.tags.iter();
            let tags = tags.map(|(key, value, origin)| (&**key, &**value, *origin));
            story.facts.tags.restore(tags);
        }
    }

    fn resume(
        &mut self,
        now: Instant,
        core: &mut Core,
        (early, plan): (Early, Plan),
        before: &Before,
    ) {
        let Some((last, earlier)) = before.tried.split_last() else {
            // Nobody was named yet, and for a caller who has left nobody will be.
            if before.has_caller_gone() {
                self.give_up_at_once(now, core, &early);
                return;
            }
            self.enter_abroad(now, core, early, plan);
            return;
        };
        // Its answer, if there is one, is taken in whenever it comes.
        let _ = self.recall(now, core);
        for (tried, next) in earlier.iter().zip(before.tried.iter().skip(1)) {
            self.note_tried(now, core, tried, next.at);
        }
        let (buyer, gateway, rest) = self.named(before);
        let number = self.number_claim().map(Box::new);
        let given = Given {
            chosen: last.at,
            is_answered: before.answered.is_some(),
        };
        let claimant = Claimant::Resumed(buyer.clone(), number, given);
        let wants = buyer.is_limited() || self.number_claim().is_some();
        let place = wants.then(|| Owed {
            ticket: core.reserve(self.key, self.uuid, claimant),
            turn: None,
            left: None,
        });
        let stay = early.abroad.as_ref().map(|stay| Stay {
            uuid: stay.uuid,
            limit: stay.limit,
            closing: before.closing,
            told: None,
            place,
        });
        match (plan, before.answered, stay) {
            (_, Some(answered), Some(stay)) => {
                self.note_tried(now, core, last, last.at);
                self.resume_talking(now, core, stay, &buyer, (answered, before));
            }
            (Ok(brief), None, Some(stay)) => {
                let early = Early {
                    abroad: Some(Box::new(stay)),
                    ..early
                };
                let named = (&buyer, &gateway, rest);
                self.resume_hunt(now, core, (early, &brief), named, before);
            }
            // Its number leads nowhere any more.
            (Err(outcome), None, _) => self.refuse_at_once(now, core, &early, outcome),
            (_, _, None) => self.refuse_at_once(now, core, &early, Outcome::Internal),
        }
    }

    fn give_up_at_once(&mut self, now: Instant, core: &mut Core, early: &Early) {
        let outcome = Outcome::CallerHungUp;
        let status = Self::status_for(&self.trunk, outcome);
        early.refuse(now, core, &self.caller_mark.text(), status, outcome.label());
        self.settle(now, core, outcome, status, Side::Caller);
        self.state = State::Gone;
    }

    /// Writes an attempt of the other process down, which lasted until then.
    fn note_tried(&mut self, now: Instant, core: &Core, tried: &Tried, until: Moment) {
        let (buyer, gateway) = self.way_to(&tried.buyer);
        let Some(record) = &mut self.record else {
            return;
        };
        record.attempts.push(Attempt {
            buyer,
            gateway,
            together: None,
            call_id: Box::default(),
            began: instant(now, core, tried.at),
            ended: instant(now, core, until),
            status: None,
            result: match tried.came {
                Some(why) => result_of(why, None).0,
                // Nobody was told to make it.
                None => AttemptResult::Unreachable,
            },
        });
    }

    /// A buyer, and the next way to it that is not in the record; a buyer that is not in the configuration any more has none, and
    /// is told by its name.
    fn way_to(&self, id: &Arc<str>) -> (Arc<Buyer>, Arc<Gateway>) {
        let known = self.policy.directory.buyers.get(id).cloned();
        let buyer = known.unwrap_or_else(|| Arc::new(Buyer::new(id, Vec::new())));
        let attempts = self.record.iter().flat_map(|record| &record.attempts);
        let before = attempts.filter(|one| one.buyer.id == *id).count();
        let order = buyer.order(&self.uuid.text());
        let place = order.get(before).or(order.last());
        let gateway = place.and_then(|place| buyer.gateways.get(usize::from(*place)));
        let gateway = gateway.cloned();
        let nowhere = || Arc::new(Gateway::udp("", "", NOWHERE.remote));
        (buyer, gateway.unwrap_or_else(nowhere))
    }

    /// The buyer that was named last, the way to it, and those that are left, the next one last.
    fn named(&self, before: &Before) -> (Arc<Buyer>, Arc<Gateway>, SmallVec<[u8; 4]>) {
        let last = before.tried.last().map(|tried| &tried.buyer);
        let unknown: Arc<str> = Arc::from("");
        let last = last.unwrap_or(&unknown);
        let (buyer, gateway) = self.way_to(last);
        let times = before.tried.iter().filter(|one| one.buyer == *last).count();
        let order = buyer.order(&self.uuid.text());
        let mut rest: SmallVec<[u8; 4]> = order.into_iter().skip(times).collect();
        rest.reverse();
        (buyer, gateway, rest)
    }

    /// They talk: it counts as if it had been answered here, but for what has happened already.
    fn resume_talking(
        &mut self,
        now: Instant,
        core: &Core,
        mut stay: Stay,
        buyer: &Arc<Buyer>,
        (answered, before): (Moment, &Before),
    ) {
        let since = instant(now, core, answered);
        let alive = instant(now, core, before.alive);
        if let Some(record) = &mut self.record {
            record.answered = Some(since);
            if let Some(attempt) = record.attempts.last_mut() {
                attempt.result = AttemptResult::Answered;
                attempt.status = Some(200);
                attempt.ended = since;
            }
            if let Some(story) = &mut record.story {
                let tried = before.tried.iter().map(|one| one.buyer.clone());
                story.facts.tried.extend(tried);
                story.note_buyer(buyer);
                story.progress.answered = Some(answered);
                story.progress.status = Some("answered");
                // Those that were due while the other process lived have fired.
                story.resume_timers(since, alive);
                if let Some(closing) = before.closing {
                    story.stop_timers(closing.talked.map_or(alive, |talked| since + talked));
                }
            }
        }
        let soon = now + LAST_WORD;
        let until = (since + stay.limit + PATIENCE).max(soon);
        let until = before.closing.map_or(until, |_| soon);
        stay.told = before.closing.map(|_| alive);
        let attempt = u32::try_from(before.tried.len()).unwrap_or(u32::MAX);
        self.state = State::Abroad(Box::new(Abroad {
            stay: Box::new(stay),
            attempt,
            until,
        }));
    }

    /// A buyer is being called: it has its turn.
    fn resume_hunt(
        &mut self,
        now: Instant,
        core: &mut Core,
        (early, brief): (Early, &Brief),
        (buyer, gateway, rest): (&Arc<Buyer>, &Arc<Gateway>, SmallVec<[u8; 4]>),
        before: &Before,
    ) {
        let policy = self.policy.clone();
        let lineup = self.line_up_again(&policy, brief, before);
        let is_closing = before.closing.is_some();
        let Some(attempt) = self.call_again(now, core, &early, brief, (buyer, gateway)) else {
            self.refuse_at_once(now, core, &early, Outcome::Internal);
            return;
        };
        let began = before
            .tried
            .last()
            .map_or(now, |one| instant(now, core, one.at));
        let entry = self.note_attempt((buyer, gateway, None), began, Box::default());
        let place = (0..)
            .zip(&buyer.gateways)
            .find(|(_, one)| Arc::ptr_eq(one, gateway));
        let mut hunting = Box::new(Hunting {
            early,
            hunt: Hunt::new(now + policy.hunt.time, lineup, brief),
            turns: SmallVec::new(),
            ring_at: None,
        });
        let id = hunting.begin_turn(buyer.clone(), rest);
        if let Some(owed) = hunting.early.owed() {
            owed.turn = Some(id);
        }
        if let Some(turn) = hunting.turn_mut(id) {
            turn.selection = Selection::Done;
            turn.tried = place.map_or(0, |(place, _)| place);
            turn.phase = Phase::Trying(b_leg::Attempt {
                entry,
                began,
                ring_until: match is_closing {
                    true => now + LAST_WORD,
                    false => attempt.ring_until,
                },
                ..attempt
            });
        }
        core.health.begin(Offered {
            began: now,
            policy: &policy,
            buyer,
            gateway,
        });
        self.state = State::Hunting(hunting);
    }

    /// Who is left, of those who were lined up at the beginning.
    fn line_up_again(&mut self, policy: &Arc<Policy>, brief: &Brief, before: &Before) -> Lineup {
        let seed = self.uuid.text();
        let tried: Vec<Arc<str>> = before.tried.iter().map(|one| one.buyer.clone()).collect();
        let mut lineup = Lineup {
            company: self.trunk.company,
            buyers: Order::default(),
            joined: Joined::default(),
        };
        let story = self.record.as_mut().and_then(|one| one.story.as_mut());
        let Some(story) = story else {
            return lineup;
        };
        let (directory, facts, at) = (&policy.directory, &story.facts, before.began);
        let decision = match &brief.kept {
            None => decide(directory, at, &seed, facts, &Unknown),
            Some(kept) => follow(directory, at, &seed, facts, &Unknown, (None, kept.cause())),
        };
        story.course.decide(at);
        if let Some(all) = story.take_decision(policy, decision) {
            let left = all.buyers.iter();
            let left = left.filter(|one| !tried.contains(&one.id)).cloned();
            lineup.company = all.company;
            lineup.buyers = Order::all(&left.collect());
        }
        // Somebody was named all the same.
        story.refused = None;
        if let Some(buyer) = tried.last().and_then(|id| directory.buyers.get(id)) {
            story.note_buyer(buyer);
        }
        story.facts.tried.extend(tried);
        lineup
    }

    /// Names the buyer again that was named last: whoever asks again has not heard of it.
    fn call_again(
        &self,
        now: Instant,
        core: &mut Core,
        early: &Early,
        brief: &Brief,
        (buyer, gateway): (&Arc<Buyer>, &Arc<Gateway>),
    ) -> Option<b_leg::Attempt> {
        let request = reread(&early.request)?;
        let essentials = request.essentials().ok()?;
        let company = usize::from(self.trunk.company.0);
        let company = self.policy.directory.companies.get(company)?;
        let offer = Offer {
            key: self.key,
            home: self.home,
            policy: &self.policy,
            trunk: &self.trunk,
            record: self.record.as_ref()?,
            key_secret: &company.key_secret,
            request: &request,
            body: &[],
            takes_offer: false,
            essentials: &essentials,
            max_forwards: brief.max_forwards,
            hops: brief.hops,
            sender: brief.sender,
        };
        if let Ok((attempt, _)) = offer.send_abroad(now, core, buyer, gateway) {
            return Some(attempt);
        }
        // It cannot be named any more, but it is being called.
        b_leg::Attempt::abroad(now, core, self.home, (buyer, gateway))
    }

    /// Whether it waits for the place that another process has given it.
    pub(crate) fn resumes(&self, ticket: Ticket) -> bool {
        let stay = match &self.state {
            State::Hunting(hunting) => hunting.early.abroad.as_ref(),
            State::Abroad(abroad) => Some(&abroad.stay),
            State::Asking(_) | State::Talking(_) | State::Ending(_) | State::Gone => None,
        };
        let owed = stay.and_then(|stay| stay.place.as_ref());
        owed.is_some_and(|owed| owed.ticket == ticket)
    }

    /// Takes that place, and does what waited for it.
    pub(crate) fn resume_place(
        &mut self,
        now: Instant,
        core: &mut Core,
        ticket: Ticket,
        verdict: Option<Verdict>,
    ) {
        let stay = match &mut self.state {
            State::Hunting(hunting) => hunting.early.abroad.as_mut(),
            State::Abroad(abroad) => Some(&mut abroad.stay),
            State::Asking(_) | State::Talking(_) | State::Ending(_) | State::Gone => None,
        };
        let owed = stay.and_then(|stay| stay.place.take());
        let turn = owed.as_ref().and_then(|owed| owed.turn);
        if matches!(verdict, Some(Verdict::Granted)) {
            let place = Place(ticket);
            let turns = self.state.turns();
            let lasts = turns.iter().any(|one| Some(one.id) == turn);
            match (turn, &self.state) {
                (Some(turn), State::Hunting(_)) if lasts => self.turn_places.push((turn, place)),
                (_, State::Abroad(_)) => {
                    if turn.is_some() {
                        // It was answered meanwhile.
                        place.commit(core, self.uuid, CapOn::Answer);
                    }
                    self.buyer_place = Some(place);
                }
                (_, _) => core.release(place),
            }
        }
        if let (Some(turn), Some(left)) = (turn, owed.and_then(|owed| owed.left)) {
            self.leave_buyer(now, core, turn, left);
        }
    }

    /// Puts by what an attempt came to whose place is not there yet: the next way to the same buyer needs no other. `false`: it
    /// waits for none.
    pub(crate) fn put_by(&mut self, now: Instant, turn: TurnId, left: (Why, Option<u16>)) -> bool {
        let State::Hunting(hunting) = &mut self.state else {
            return false;
        };
        let owed = hunting.early.owed();
        let Some(owed) = owed.filter(|owed| owed.turn == Some(turn)) else {
            return false;
        };
        owed.left.get_or_insert(left);
        if let Some(attempt) = hunting.turn_mut(turn).and_then(Turn::attempt_mut) {
            attempt.ring_until = attempt.ring_until.min(now + places::PATIENCE);
        }
        true
    }

    /// What was put by, if nobody gives the place.
    pub(crate) fn take_put_by(&mut self) -> Option<(Why, Option<u16>)> {
        let State::Hunting(hunting) = &mut self.state else {
            return None;
        };
        let left = hunting.early.owed()?.left.take()?;
        if let Some(stay) = &mut hunting.early.abroad {
            stay.place = None;
        }
        Some(left)
    }
}

impl Early {
    fn owed(&mut self) -> Option<&mut Owed> {
        self.abroad.as_mut()?.place.as_mut()
    }
}

/// When that was, by our own clock.
fn instant(now: Instant, core: &Core, at: Moment) -> Instant {
    let ago = core.moment(now).since(at);
    now.checked_sub(ago).unwrap_or(now)
}
