//! Pings: webhooks that fire while a call is set up, and whose answers become its tags (seed 004).
//!
//! ```text
//!   start     all at once, before anything is decided; the call waits for their answers, 5 s at most
//!   selected  before a buyer is called; the call waits for those that hold it
//!   answered  when a buyer has answered; nobody waits
//! ```
//!
//! Those that are waited for are applied together, in the order of the webhooks: the same answers make the same tags, whoever
//! was first. One that comes too late, or after the call, is nothing. The others are applied as they come.

use std::sync::Arc;
use std::time::Instant;

use crate::call::a_leg::Early;
use crate::call::call::Call;
use crate::call::core::{CallKey, Core};
use crate::call::next::Next;
use crate::call::output::{Event, Output};
use crate::call::places::Ticket;
use crate::call::route::Brief;
use crate::call::story::{Awaited, Fired, FiredResult, Reply, Story};
use crate::call::turn::TurnId;
use crate::hooks::after::Firing;
use crate::hooks::model::Webhook;
use crate::hooks::reply;
use crate::hooks::request::{DeliveryId, Request as WebRequest};
use crate::hooks::trigger::Trigger;
use crate::hooks::window::{LIMIT, MOST_PINGS, Slot, Window};
use crate::routing::buyer::Buyer;
use crate::sip::message::{Essentials, Request};
use crate::types::moment::Moment;
use crate::types::tag::Tags;

impl Call {
    /// The call has begun: what its campaign asks before anything is decided is asked.
    pub(crate) fn start(
        &mut self,
        now: Instant,
        core: &mut Core,
        caller: (Early, Option<Instant>),
        brief: Box<Brief>,
        asked: (&Request<'_>, &Essentials<'_>),
    ) {
        match self.ping(now, core, Trigger::Start, None) {
            Some(until) => self.await_start(caller, until, brief),
            None => self.route(now, core, caller, brief, asked),
        }
    }

    /// A buyer who is called with others is chosen before some of them.
    pub(crate) fn overtake(&mut self, buyer: &Buyer) {
        let record = self.record.as_mut();
        if let Some(story) = record.and_then(|record| record.story.as_mut()) {
            story.course.overtake(&buyer.id);
        }
    }

    /// A buyer is chosen, and will be called. `Some`: not before that, or before the answers that are waited for have come.
    pub(crate) fn select(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        buyer: &Buyer,
    ) -> Option<Instant> {
        let story = self.record.as_mut()?.story.as_mut()?;
        story.facts.tried.push(buyer.id.clone());
        story.course.tell(&buyer.id);
        story.note_buyer(buyer);
        self.ping(now, core, Trigger::Selected, Some(turn))
    }

    /// Fires the pings of one trigger, for a turn if it is about that one's buyer. `Some`: their answers are waited for,
    /// until then at most.
    pub(crate) fn ping(
        &mut self,
        now: Instant,
        core: &mut Core,
        trigger: Trigger,
        turn: Option<TurnId>,
    ) -> Option<Instant> {
        let key = self.key;
        let story = self.record.as_mut()?.story.as_mut()?;
        story.course.look();
        let due = story.due(core, now, trigger);
        let mut places = Vec::new();
        let mut is_news = false;
        for webhook in due.into_iter().take(MOST_PINGS) {
            let is_awaited = trigger == Trigger::Start || webhook.holds_call;
            is_news |= webhook.dedupe.is_some();
            if story.send(now, core, key, webhook) && is_awaited {
                places.push(story.fired.len() - 1);
            }
        }
        if is_news {
            story.tell_news(now, core, false);
        }
        if places.is_empty() {
            return None;
        }
        let window = Window::open(now, LIMIT, places.len());
        let until = window.poll_timeout();
        story.windows.push(Awaited {
            turn,
            window,
            places,
        });
        until
    }

    /// Somebody has answered a ping, or will not.
    pub(crate) fn handle_reply(
        &mut self,
        now: Instant,
        core: &mut Core,
        ticket: Ticket,
        reply: Reply,
    ) {
        let Some(story) = self
            .record
            .as_mut()
            .and_then(|record| record.story.as_mut())
        else {
            return;
        };
        let mut fired = story.fired.iter();
        let Some(place) = fired.position(|one| one.ticket == Some(ticket)) else {
            return;
        };
        for awaited in &mut story.windows {
            let mut places = awaited.places.iter();
            if let Some(slot) = places.position(|one| *one == place) {
                awaited.window.handle_answer(now, slot, reply);
                if awaited.window.is_over() {
                    let turn = awaited.turn;
                    self.end_pings(now, core, turn);
                }
                return;
            }
        }
        story.take(core.moment(now), place, reply);
        story.report(core, place);
        story.keep_tags(core);
    }

    /// The pings that were waited for are done, or have taken too long: the turn that waited goes on, or the call.
    pub(crate) fn end_pings(&mut self, now: Instant, core: &mut Core, turn: Option<TurnId>) {
        if let Some(story) = self
            .record
            .as_mut()
            .and_then(|record| record.story.as_mut())
        {
            story.close(now, core, turn);
            story.keep_tags(core);
        }
        match turn {
            Some(turn) => self.hunt_on(now, core, turn, Next::Gateway),
            None if self.awaits_start() => self.leave_asking(now, core, None),
            None => {}
        }
    }
}

impl Story {
    /// This buyer's turn has come.
    pub(crate) fn note_buyer(&mut self, buyer: &Buyer) {
        self.offset = buyer.rules.timer_offset;
        self.progress.buyer = Some(buyer.id.clone());
        self.progress.status = Some("selected");
        if self.hooks.is_none() {
            // Only webhooks ask.
            return;
        }
        self.progress.buyer_name = Some(buyer.id.clone());
        let uri = buyer.gateways.first().map(|gateway| &*gateway.uri);
        let number = uri
            .and_then(|uri| uri.split_once(':'))
            .map(|(_, rest)| rest);
        self.progress.buyer_number = number.map(Into::into);
    }

    /// This buyer has the call; others may have been chosen after it.
    pub(crate) fn note_winner(&mut self, winner: &Buyer) {
        if self.progress.buyer.as_ref() != Some(&winner.id) {
            self.note_buyer(winner);
        }
    }

    /// The webhooks of a trigger that fire now.
    pub(crate) fn due(&self, core: &Core, now: Instant, trigger: Trigger) -> Vec<Arc<Webhook>> {
        let Some(hooks) = &self.hooks else {
            return Vec::new();
        };
        let seen = self.seen();
        let moment = core.moment(now);
        let firing = Firing {
            facts: &seen,
            caller: self.facts.caller,
            past: &self.remembers(now, moment),
            now: moment,
        };
        firing.due(hooks, trigger).cloned().collect()
    }

    /// Asks a webhook. `false`: there is nothing to ask it with.
    fn send(&mut self, now: Instant, core: &mut Core, key: CallKey, webhook: Arc<Webhook>) -> bool {
        let built = self.request(&webhook);
        let (ticket, result) = match built {
            Some(request) => {
                let ticket = core.ticket(key);
                core.output(Output::Fetch {
                    ticket,
                    request: Box::new(request),
                });
                (Some(ticket), FiredResult::Sent)
            }
            None => (None, FiredResult::Failed(TOO_LONG)),
        };
        self.note(now, webhook, ticket, result);
        ticket.is_some()
    }

    /// What a webhook is asked; `None`: it would be too long.
    pub(crate) fn request(&self, webhook: &Webhook) -> Option<WebRequest> {
        let delivery = DeliveryId::new(&self.facts.uuid, &webhook.id, self.turns(webhook));
        WebRequest::build(webhook, &self.seen(), &delivery).ok()
    }

    /// Writes down that a webhook has fired.
    pub(crate) fn note(
        &mut self,
        at: Instant,
        webhook: Arc<Webhook>,
        ticket: Option<Ticket>,
        result: FiredResult,
    ) {
        self.fired.push(Fired {
            webhook,
            at,
            result,
            took: Default::default(),
            warnings: Vec::new(),
            ticket,
        });
    }

    /// Applies what was waited for.
    fn close(&mut self, now: Instant, core: &mut Core, turn: Option<TurnId>) {
        let mut windows = self.windows.iter();
        let Some(found) = windows.position(|awaited| awaited.turn == turn) else {
            return;
        };
        let Awaited {
            mut window, places, ..
        } = self.windows.remove(found);
        window.handle_timeout(now);
        for (place, slot) in places.into_iter().zip(window.into_slots()) {
            match slot {
                Slot::Done(reply) => self.take(core.moment(now), place, reply),
                Slot::Waiting | Slot::TimedOut => {
                    if let Some(fired) = self.fired.get_mut(place) {
                        fired.result = FiredResult::TimedOut;
                        fired.took = now.saturating_duration_since(fired.at);
                        fired.ticket = None;
                    }
                }
            }
            self.report(core, place);
        }
    }

    /// Takes in what was heard of a ping.
    fn take(&mut self, now: Moment, place: usize, reply: Reply) {
        let Some(fired) = self.fired.get_mut(place) else {
            return;
        };
        fired.ticket = None;
        fired.took = reply.took;
        fired.result = match reply.answer {
            Ok((status, body)) => {
                // What comes with an error is about the error.
                if (200..300).contains(&status) {
                    let output = &fired.webhook.output;
                    let apply = |tags: &mut Tags| reply::apply(&body, output, tags);
                    fired.warnings = self.course.change(
                        now,
                        &mut self.facts.tags,
                        self.recall.as_deref(),
                        apply,
                    );
                }
                FiredResult::Answered(status)
            }
            Err(why) => FiredResult::Failed(why),
        };
    }

    fn report(&self, core: &mut Core, place: usize) {
        if let Some(fired) = self.fired.get(place) {
            core.event(Event::Hook {
                uuid: self.facts.uuid,
                webhook: fired.webhook.clone(),
                result: fired.result,
                took: fired.took,
                warnings: fired.warnings.len(),
            });
        }
    }
}

/// Its URL, its body or a header of it would be longer than any is.
pub(crate) const TOO_LONG: &str = "too_long";
