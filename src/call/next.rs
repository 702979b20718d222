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

use smallvec::smallvec;

use crate::call::b_leg::{Attempt, NotSent, Offer};
use crate::call::call::{Call, Hunting, State};
use crate::call::core::Core;
use crate::call::credentials::reread;
use crate::call::health::{Offered, Standing};
use crate::call::hunt::{Hunt, Selection};
use crate::call::media::{self, Carried, Meeting, Role, Unfit};
use crate::call::output::Event;
use crate::call::places::{Claimant, Ticket};
use crate::call::policy::Policy;
use crate::call::record::{self, AttemptResult, Outcome, Side, Skipped, WhySkipped};
use crate::routing::buyer::{Buyer, Gateway};
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

/// How far the hunt got.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart where it is returned"
)]
pub(crate) enum Step {
    /// An INVITE is out.
    Tried(Attempt),
    /// A place at a buyer was asked for.
    Asking(Ticket),
    /// Webhooks were asked about a buyer, and are waited for until then.
    Pinging(Instant),
    /// An rtpengine was asked about the media.
    Waiting,
    /// No rtpengine takes the media, of this buyer or the next.
    NoMedia,
    /// Nobody is left.
    Nobody,
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
    /// Tells the breaker how the current attempt's gateway is.
    pub(crate) fn note_health(&self, now: Instant, core: &mut Core, sign: Sign) {
        let State::Hunting(hunting) = &self.state else {
            return;
        };
        let offered = Offered {
            began: hunting.attempt.began,
            policy: &self.policy,
            buyer: &hunting.attempt.buyer,
            gateway: &hunting.attempt.gateway,
        };
        // As long as the gateway has another place, nothing is said of it.
        let sign = match sign {
            Sign::Failed(_) if !hunting.hunt.places.is_empty() => Sign::Unclear,
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

    /// Notes that a buyer, or a gateway of it, is passed over.
    pub(crate) fn skip(
        &mut self,
        now: Instant,
        core: &mut Core,
        (buyer, gateway): (&Arc<Buyer>, Option<&Arc<Gateway>>),
        why: WhySkipped,
    ) {
        let Some(record) = &mut self.record else {
            return;
        };
        record.skipped.push(Skipped {
            buyer: buyer.clone(),
            gateway: gateway.cloned(),
            at: now,
            why: why.clone(),
        });
        core.event(Event::Skipped {
            uuid: record.uuid,
            buyer: buyer.clone(),
            why,
        });
    }

    /// Offers the call to whoever is next; with nobody left, tells the caller.
    pub(crate) fn hunt_on(&mut self, now: Instant, core: &mut Core, next: Next) {
        let State::Hunting(hunting) = mem::replace(&mut self.state, State::Gone) else {
            return;
        };
        let Hunting {
            early,
            mut hunt,
            ring_at,
            ..
        } = *hunting;
        if next == Next::Buyer {
            hunt.gateways.clear();
            hunt.places.clear();
        }
        let step = reread(&early.request).and_then(|request| {
            let essentials = request.essentials().ok()?;
            Some(self.offer_next(now, core, &mut hunt, &request, &essentials))
        });
        let step = step.unwrap_or(Step::Nobody);
        self.enter(now, core, (early, ring_at), hunt, step);
    }

    /// Tries gateways and buyers from the next on until an INVITE is out, or a place must be asked for.
    pub(crate) fn offer_next(
        &mut self,
        now: Instant,
        core: &mut Core,
        hunt: &mut Hunt,
        request: &Request<'_>,
        essentials: &Essentials<'_>,
    ) -> Step {
        self.try_next(now, core, hunt, request, essentials)
            .unwrap_or(Step::Nobody)
    }

    fn try_next(
        &mut self,
        now: Instant,
        core: &mut Core,
        hunt: &mut Hunt,
        request: &Request<'_>,
        essentials: &Essentials<'_>,
    ) -> Option<Step> {
        let policy = self.policy.clone();
        let companies = &policy.directory.companies;
        let mut buyers = hunt.buyers.clone();
        loop {
            let further = hunt.places.pop();
            let place = match further {
                Some(_) => Some(hunt.tried),
                None => hunt.gateways.pop(),
            };
            let Some(place) = place else {
                self.release_buyer(core);
                hunt.selection = Selection::New;
                let next = buyers.get(hunt.next).filter(|_| !hunt.is_last_resort);
                if let Some(buyer) = next {
                    hunt.next += 1;
                    if self.still_fits(now, core, buyer) {
                        hunt.gateways = buyer.order(&self.uuid.text());
                        hunt.gateways.reverse();
                    }
                    continue;
                }
                let has_tried = hunt.is_last_resort || !self.record.as_ref()?.attempts.is_empty();
                let last = if has_tried {
                    None
                } else {
                    first_to_come_back(now, core, &policy, &buyers)
                };
                if let Some((buyer, place)) = last {
                    // Better than no buyer.
                    hunt.is_last_resort = true;
                    hunt.next = buyer + 1;
                    hunt.gateways = smallvec![place];
                } else if self.take_exit(now, core, hunt) {
                    buyers = hunt.buyers.clone();
                } else {
                    return None;
                }
                continue;
            };
            let buyer = buyers.get(hunt.next.checked_sub(1)?)?;
            let gateway = buyer.gateways.get(usize::from(place))?;
            hunt.tried = place;
            let standing = core.health.standing(now, &policy.health, buyer, gateway);
            if further.is_none() && standing != Standing::Up && !hunt.is_last_resort {
                self.skip(now, core, (buyer, Some(gateway)), WhySkipped::GatewayDown);
                continue;
            }
            let attempts = self.record.as_ref()?.attempts.len();
            if now >= hunt.until || attempts >= policy.hunt.attempts {
                return None;
            }
            let step = if buyer.is_limited() && self.buyer_place.is_none() {
                let claimant = Claimant::Buyer(buyer.clone());
                Some(Step::Asking(core.reserve(self.key, self.uuid, claimant)))
            } else if hunt.selection == Selection::New {
                hunt.selection = Selection::Told;
                self.select(now, core, buyer).map(Step::Pinging)
            } else {
                None
            };
            if step.is_some() {
                // It comes again, with that done.
                match further {
                    Some(further) => hunt.places.push(further),
                    None => hunt.gateways.push(place),
                }
                return step;
            }
            if hunt.selection == Selection::Told && !self.may_forward(now, core, buyer) {
                hunt.gateways.clear();
                hunt.places.clear();
                continue;
            }
            hunt.selection = Selection::Done;
            let record = self.record.as_mut()?;
            let company = companies.get(usize::from(hunt.company.0))?;
            let target = further.or_else(|| first_target(core, gateway, &mut hunt.places));
            let carried = match target {
                Some(target) => {
                    let meeting = Meeting {
                        policy: &policy,
                        trunk: &self.trunk,
                        is_caller_ipv6: hunt.sender.is_ipv6(),
                        buyer,
                        is_buyer_ipv6: target.address.is_ipv6(),
                    };
                    let media = &mut self.media;
                    media::next_buyer(media, now, core, (self.key, self.uuid), meeting);
                    let offer = ((Side::Caller, Role::Offer), hunt.sender);
                    let carried = media::carry(media, now, core, offer, &request.head);
                    media::note_unfit(core, self.uuid, Side::Caller, carried)
                }
                None => Ok(Carried::AsIs),
            };
            match (&carried, target) {
                (Ok(Carried::Wait), Some(target)) => {
                    // It comes again, when that is known.
                    hunt.places.push(target);
                    return Some(Step::Waiting);
                }
                (Err(Unfit::Rtpengine(_)), _) => return Some(Step::NoMedia),
                (Ok(_) | Err(_), _) => {}
            }
            let offer = Offer {
                key: self.key,
                home: self.home,
                policy: &policy,
                trunk: &self.trunk,
                record,
                key_secret: &company.key_secret,
                request,
                body: body(&carried, request),
                essentials,
                max_forwards: hunt.max_forwards,
                hops: hunt.hops,
                sender: hunt.sender,
            };
            let made = match target {
                Some(_) if carried.is_err() => Err(NotSent::Unfit),
                Some(target) => offer.make(now, core, buyer, gateway, target),
                None => offer.look_up(now, core, buyer, gateway),
            };
            let (call_id, result) = match &made {
                Ok((_, call_id)) => (call_id.clone(), AttemptResult::Cancelled),
                Err(NotSent::Unreachable) => (Box::default(), AttemptResult::Unreachable),
                Err(NotSent::Unbuildable) => (Box::default(), AttemptResult::BuyerError),
                Err(NotSent::Unfit) => (Box::default(), AttemptResult::MediaMismatch),
            };
            record.attempts.push(record::Attempt {
                buyer: buyer.clone(),
                gateway: gateway.clone(),
                call_id,
                began: now,
                ended: now,
                status: None,
                result,
            });
            match made {
                Ok((attempt, _)) => {
                    core.health.begin(Offered {
                        began: now,
                        policy: &policy,
                        buyer,
                        gateway,
                    });
                    self.buyer_mark = Some(attempt.mark);
                    return Some(Step::Tried(attempt));
                }
                Err(_) => self.end_attempt(now, core, None, result),
            }
        }
    }

    /// Whether the INVITE went by TCP for its length only, and nobody was there: then it goes by UDP (RFC 3261
    /// §18.1.1), and so do those of the next hour.
    pub(crate) fn goes_back_to_udp(&mut self, now: Instant, core: &mut Core) -> bool {
        let State::Hunting(hunting) = &mut self.state else {
            return false;
        };
        let attempt = &hunting.attempt;
        let gateways = &attempt.buyer.gateways;
        let place = gateways
            .iter()
            .zip(0..=u8::MAX)
            .find(|(gateway, _)| Arc::ptr_eq(gateway, &attempt.gateway));
        match place {
            Some((gateway, place)) if attempt.is_by_tcp_for_length() => {
                core.without_tcp
                    .insert(gateway.name.clone(), now + TCP_PAUSE);
                hunting.hunt.gateways.push(place);
                true
            }
            _ => false,
        }
    }

    /// What the hunt came to, all in all.
    pub(crate) fn sum_up_hunt(&self) -> Outcome {
        let attempts = self
            .record
            .as_ref()
            .map_or(&[][..], |record| &record.attempts);
        if attempts.is_empty() {
            let mut skipped = self.record.iter().flat_map(|record| &record.skipped);
            let is_capped =
                |one: &Skipped| matches!(one.why, WhySkipped::Full(_) | WhySkipped::LimitUnknown);
            let is_judged = |one: &Skipped| matches!(one.why, WhySkipped::Judged(_));
            if skipped.clone().any(is_capped) {
                Outcome::AllCapped
            } else if skipped.any(is_judged) {
                Outcome::NoMatch
            } else {
                Outcome::NoBuyer
            }
        } else if attempts
            .iter()
            .all(|attempt| attempt.result == AttemptResult::Busy)
        {
            Outcome::AllBusy
        } else {
            Outcome::NoAnswer
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
    buyers: &[Arc<Buyer>],
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
