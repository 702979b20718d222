//! Who is next: the buyers of a campaign in their order, and the gateways of each.
//!
//! ```text
//!   buyer 1                     buyer 2
//!     gateway a --+ the trunk     gateway c
//!     gateway b <-+ failed          ^
//!         |                         |
//!         +--- anything else -------+
//! ```

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::{SmallVec, smallvec};

use crate::call::b_leg::{NotSent, Offer};
use crate::call::call::{Call, Hunting, State};
use crate::call::core::Core;
use crate::call::credentials::reread;
use crate::call::health::{Offered, Standing};
use crate::call::media::{self, Carried, Meeting, Role, Unfit};
use crate::call::places::{Claimant, PATIENCE};
use crate::call::policy::Policy;
use crate::call::record::{AttemptResult, Outcome, PHONE_ONLY, Side, WhySkipped};
use crate::call::turn::{Phase, Selection, TurnId};
use crate::routing::buyer::Gateway;
use crate::routing::route::Order;
use crate::sip::locate::Target;
use crate::sip::message::{Essentials, Request};

/// Where the hunt goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// At the next gateway of the same buyer; with none left, at the next buyer.
    Gateway,
    /// At the next buyer.
    Buyer,
}

/// How far a turn got.
enum Pushed {
    /// An INVITE is out, or somebody was asked something.
    On,
    /// The buyer has nothing left to be tried.
    Over,
    /// No further gateway may be tried, of whatever buyer.
    Spent,
    /// No rtpengine takes the media, of this buyer or the next.
    NoMedia,
}

/// What an attempt showed of its gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    /// It reached the callee, or spoke for it.
    Works,
    /// The trunk failed; the gateway may want to be left alone for a time.
    Failed(Option<Duration>),
    /// The attempt ended too soon to tell.
    Unclear,
}

impl Sign {
    /// What an attempt showed after which the hunt goes on at `next`.
    pub(crate) fn of(next: Next, retry_after: Option<Duration>) -> Self {
        match (next, retry_after) {
            (Next::Gateway, _) | (Next::Buyer, Some(_)) => Self::Failed(retry_after),
            (Next::Buyer, None) => Self::Works,
        }
    }
}

impl Call {
    /// Tells the breaker how the gateway is that a turn tries.
    pub(crate) fn note_health(&self, now: Instant, core: &mut Core, turn: TurnId, sign: Sign) {
        let State::Hunting(hunting) = &self.state else {
            return;
        };
        let Some(turn) = hunting.turn(turn) else {
            return;
        };
        let Some(attempt) = turn.attempt() else {
            return;
        };
        let offered = Offered {
            began: attempt.began,
            policy: &self.policy,
            buyer: &attempt.buyer,
            gateway: &attempt.gateway,
        };
        // As long as the gateway has another place, nothing is said of it.
        let sign = match sign {
            Sign::Failed(_) if !turn.places.is_empty() => Sign::Unclear,
            Sign::Works | Sign::Failed(_) | Sign::Unclear => sign,
        };
        let event = match sign {
            Sign::Works => core.health.succeed(offered),
            Sign::Failed(retry_after) => core.health.fail(now, offered, retry_after),
            Sign::Unclear => {
                core.health.pass(now, offered);
                None
            }
        };
        if let Some(event) = event {
            core.event(event);
        }
    }

    /// What a turn waited for is decided: it goes on there, or ends; with nobody left, the caller is told.
    pub(crate) fn hunt_on(&mut self, now: Instant, core: &mut Core, turn: TurnId, next: Next) {
        let State::Hunting(hunting) = &mut self.state else {
            return;
        };
        let Some(own) = hunting.turn_mut(turn) else {
            return;
        };
        own.phase = Phase::Idle;
        if next == Next::Buyer {
            own.gateways.clear();
            own.places.clear();
        }
        let State::Hunting(hunting) = mem::replace(&mut self.state, State::Gone) else {
            return;
        };
        let invite = hunting.early.request.clone();
        let request = reread(&invite);
        let essentials = request
            .as_ref()
            .and_then(|request| request.essentials().ok());
        match (&request, &essentials) {
            (Some(request), Some(essentials)) => {
                self.hunt(now, core, hunting, Some(turn), (request, essentials));
            }
            // It was read before, so it can be read again.
            _ => self.refuse_at_once(now, core, &hunting.early, Outcome::Internal),
        }
    }

    /// Goes on with a turn, or with whoever is next, until somebody is waited for; with nobody left, the caller is told.
    pub(crate) fn hunt(
        &mut self,
        now: Instant,
        core: &mut Core,
        mut hunting: Box<Hunting>,
        turn: Option<TurnId>,
        asked: (&Request<'_>, &Essentials<'_>),
    ) {
        let mut ready: SmallVec<[TurnId; 1]> = turn.into_iter().collect();
        loop {
            let mut is_spent = false;
            for turn in ready.drain(..) {
                match self.push_on(now, core, &mut hunting, turn, asked) {
                    Pushed::On => continue,
                    Pushed::Over => {}
                    Pushed::Spent => is_spent = true,
                    Pushed::NoMedia => {
                        self.refuse_at_once(now, core, &hunting.early, Outcome::NoMedia);
                        return;
                    }
                }
                self.drop_turn(now, core, &mut hunting, turn);
            }
            if !hunting.turns.is_empty() {
                self.state = State::Hunting(hunting);
                return;
            }
            let next = (!is_spent).then(|| self.next_turns(now, core, &mut hunting));
            match next.flatten() {
                Some(next) => ready = next,
                None if is_spent => {
                    let outcome = self.sum_up();
                    self.refuse_at_once(now, core, &hunting.early, outcome);
                    return;
                }
                None => {
                    self.end_hunt(now, core, *hunting);
                    return;
                }
            }
        }
    }

    /// Begins the turn of whoever is next, or the turns of those who are called at once; `None`: nobody is left.
    fn next_turns(
        &mut self,
        now: Instant,
        core: &mut Core,
        hunting: &mut Hunting,
    ) -> Option<SmallVec<[TurnId; 1]>> {
        if hunting.early.is_bound() {
            return None;
        }
        loop {
            let buyers = hunting.hunt.buyers.clone();
            let hunt = &mut hunting.hunt;
            if hunt.next < buyers.len() && !hunt.is_last_resort {
                let first = hunt.next;
                // A vendor calls one after another.
                let most = match hunting.early.abroad {
                    Some(_) => 1,
                    None => self.policy.hunt.at_once,
                };
                let width = hunt.joined.width(first, most);
                let together = buyers.run(first, width).unwrap_or_default();
                let width = self.width_of(&together);
                hunt.next += width;
                hunt.has_rung = false;
                let mut begun = SmallVec::new();
                for buyer in together.into_iter().take(width) {
                    if self.still_fits(now, core, &buyer) {
                        let mut gateways = buyer.order(&self.uuid.text());
                        gateways.reverse();
                        begun.push(hunting.begin_turn(buyer, gateways));
                    }
                }
                match begun.len() {
                    0 => continue,
                    1 => {}
                    _ => hunting.join_turns(),
                }
                return Some(begun);
            }
            let has_tried = hunt.is_last_resort || !self.record.as_ref()?.attempts.is_empty();
            let last = if has_tried {
                None
            } else {
                first_to_come_back(now, core, &self.policy, &buyers)
            };
            if let Some((place, gateway)) = last {
                // Better than no buyer.
                hunt.is_last_resort = true;
                hunt.next = place + 1;
                let buyer = buyers.get(place)?.clone();
                return Some(smallvec![hunting.begin_turn(buyer, smallvec![gateway])]);
            }
            if !self.take_exit(now, core, hunt) {
                return None;
            }
        }
    }

    /// Tries the gateways of a turn from the next on until an INVITE is out, or something must be asked for.
    fn push_on(
        &mut self,
        now: Instant,
        core: &mut Core,
        hunting: &mut Hunting,
        id: TurnId,
        (request, essentials): (&Request<'_>, &Essentials<'_>),
    ) -> Pushed {
        let (policy, trunk) = (self.policy.clone(), self.trunk.clone());
        let companies = &policy.directory.companies;
        let Hunting {
            hunt, turns, early, ..
        } = hunting;
        let is_abroad = early.abroad.is_some();
        let is_alone = turns.len() == 1;
        let Some(turn) = turns.iter_mut().find(|turn| turn.id == id) else {
            return Pushed::Over;
        };
        let buyer = turn.buyer.clone();
        loop {
            let further = turn.places.pop();
            let place = match further {
                Some(_) => Some(turn.tried),
                None => turn.gateways.pop(),
            };
            let Some(place) = place else {
                return Pushed::Over;
            };
            let Some(gateway) = buyer.gateways.get(usize::from(place)) else {
                return Pushed::Over;
            };
            turn.tried = place;
            if gateway.phone.is_some() && !is_abroad {
                let why = WhySkipped::Judged(PHONE_ONLY);
                self.skip(now, core, (&buyer, Some(gateway)), why);
                continue;
            }
            let standing = core.health.standing(now, &policy.health, &buyer, gateway);
            if further.is_none() && standing != Standing::Up && !hunt.is_last_resort {
                self.skip(now, core, (&buyer, Some(gateway)), WhySkipped::GatewayDown);
                continue;
            }
            let attempts = self.record.as_ref().map(|record| record.attempts.len());
            if now >= hunt.until || attempts.is_none_or(|made| made >= policy.hunt.attempts) {
                return Pushed::Spent;
            }
            let number = self.number_claim();
            let waits = if (buyer.is_limited() || number.is_some()) && !self.has_place(id) {
                let claimant = Claimant::Buyer(buyer.clone(), number.map(Box::new));
                let ticket = core.reserve(self.key, self.uuid, claimant);
                Some(Phase::Asking(ticket, now + PATIENCE))
            } else if turn.selection == Selection::New {
                turn.selection = Selection::Told;
                if turn.together.is_some() {
                    self.overtake(&buyer);
                }
                self.select(now, core, id, &buyer).map(Phase::Pinging)
            } else {
                None
            };
            if let Some(phase) = waits {
                // It comes again, with that done.
                match further {
                    Some(further) => turn.places.push(further),
                    None => turn.gateways.push(place),
                }
                turn.phase = phase;
                return Pushed::On;
            }
            if turn.selection == Selection::Told && !self.may_forward(now, core, &buyer) {
                return Pushed::Over;
            }
            turn.selection = Selection::Done;
            let Some(company) = companies.get(usize::from(hunt.company.0)) else {
                return Pushed::Spent;
            };
            let target = match is_abroad {
                true => None,
                false => further.or_else(|| first_target(core, gateway, &mut turn.places)),
            };
            let carried = match target {
                Some(target) => {
                    let meeting = Meeting {
                        policy: &policy,
                        trunk: &trunk,
                        is_caller_ipv6: hunt.sender.is_ipv6(),
                        buyer: &buyer,
                        is_buyer_ipv6: target.address.is_ipv6(),
                    };
                    let carried = if is_alone {
                        let media = &mut self.media;
                        media::next_buyer(media, now, core, (self.key, self.uuid), meeting);
                        let offer = ((Side::Caller, Role::Offer), hunt.sender);
                        media::carry(media, now, core, offer, &request.head)
                    } else {
                        self.carry_aside(now, core, id, meeting, request)
                    };
                    media::note_unfit(core, self.uuid, Side::Caller, carried)
                }
                None => Ok(Carried::AsIs),
            };
            match (&carried, target) {
                (Ok(Carried::Wait), Some(target)) => {
                    // It comes again, when that is known.
                    turn.places.push(target);
                    turn.phase = Phase::Media;
                    return Pushed::On;
                }
                (Err(Unfit::Rtpengine(_)), _) => return Pushed::NoMedia,
                (Ok(_) | Err(_), _) => {}
            }
            let is_last = attempts.is_some_and(|made| self.is_last(now, (early, hunt), made + 1));
            let Some(record) = &self.record else {
                return Pushed::Spent;
            };
            let offer = Offer {
                key: self.key,
                home: self.home,
                policy: &policy,
                trunk: &trunk,
                record,
                key_secret: &company.key_secret,
                request,
                body: body(&carried, request),
                takes_offer: is_last && is_alone && buyer.offers_reliable && early.awaits_offer(),
                essentials,
                max_forwards: hunt.max_forwards,
                hops: hunt.hops,
                sender: hunt.sender,
            };
            let made = match target {
                _ if is_abroad => offer.send_abroad(now, core, &buyer, gateway),
                Some(_) if carried.is_err() => Err(NotSent::Unfit),
                Some(target) => offer.make(now, core, &buyer, gateway, target),
                None => offer.look_up(now, core, &buyer, gateway),
            };
            let result = match made {
                Ok((mut attempt, call_id)) => {
                    if !attempt.is_locating {
                        let whose = (&buyer, gateway, turn.together);
                        attempt.entry = self.note_attempt(whose, now, call_id);
                    }
                    core.health.begin(Offered {
                        began: now,
                        policy: &policy,
                        buyer: &buyer,
                        gateway,
                    });
                    turn.phase = Phase::Trying(attempt);
                    return Pushed::On;
                }
                Err(NotSent::Unreachable) => AttemptResult::Unreachable,
                Err(NotSent::Unbuildable) => AttemptResult::BuyerError,
                Err(NotSent::Unfit) => AttemptResult::MediaMismatch,
                Err(NotSent::Withheld) => AttemptResult::BuyerAuth,
            };
            let whose = (&buyer, gateway, turn.together);
            let entry = self.note_attempt(whose, now, Box::default());
            self.media.drop_asked();
            self.end_entry(now, core, entry, None, result);
        }
    }

    /// Whether the INVITE went by TCP for its length only, and nobody was there: then it goes by UDP (RFC 3261
    /// §18.1.1), and so do those of the next hour.
    pub(crate) fn goes_back_to_udp(&mut self, now: Instant, core: &mut Core, turn: TurnId) -> bool {
        let State::Hunting(hunting) = &mut self.state else {
            return false;
        };
        let Some(turn) = hunting.turn_mut(turn) else {
            return false;
        };
        let Some(attempt) = turn.attempt() else {
            return false;
        };
        let gateways = &attempt.buyer.gateways;
        let place = gateways
            .iter()
            .zip(0..=u8::MAX)
            .find(|(gateway, _)| Arc::ptr_eq(gateway, &attempt.gateway));
        match place {
            Some((gateway, place)) if attempt.is_by_tcp_for_length() => {
                core.without_tcp
                    .insert(gateway.name.clone(), now + TCP_PAUSE);
                turn.gateways.push(place);
                true
            }
            _ => false,
        }
    }
}
/// How long a gateway is not tried by TCP that took no connection, or let us wait for one.
const TCP_PAUSE: Duration = Duration::from_secs(3600);
/// The body that a buyer gets: what was made of the caller's, or that itself.
fn body<'b>(carried: &'b Result<Carried, Unfit>, request: &Request<'b>) -> &'b [u8] {
    match carried {
        Ok(Carried::Body(body)) => body,
        Ok(Carried::AsIs | Carried::Wait) | Err(_) => request.head.body(),
    }
}

/// The first place of a gateway; the others of one that is known by name go into `places`, the next one last.
/// `None`: nobody knows yet where it is.
fn first_target(core: &mut Core, gateway: &Gateway, places: &mut Vec<Target>) -> Option<Target> {
    let Some(wanted) = &gateway.lookup else {
        return gateway.target();
    };
    let mut seed = [0; 8];
    core.entropy.fill(&mut seed);
    let targets = core.whereabouts.order(wanted, u64::from_le_bytes(seed))?;
    places.extend(targets.iter().rev());
    places.pop()
}

/// Of all gateways of these buyers that are down, the one whose pause ends first: places of the buyer
/// and of its gateway.
fn first_to_come_back(
    now: Instant,
    core: &Core,
    policy: &Policy,
    buyers: &Order,
) -> Option<(usize, u8)> {
    let mut first = None;
    for (place, buyer) in buyers.iter().enumerate() {
        for (gateway, number) in buyer.gateways.iter().zip(0..=u8::MAX) {
            let standing = core.health.standing(now, &policy.health, buyer, gateway);
            if let Standing::Down(until) = standing
                && first.is_none_or(|(earliest, _)| until < earliest)
            {
                first = Some((until, (place, number)));
            }
        }
    }
    first.map(|(_, places)| places)
}
