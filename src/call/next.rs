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
use std::time::Instant;

use crate::call::b_leg::{Attempt, NotSent, Offer};
use crate::call::call::{Call, State};
use crate::call::core::Core;
use crate::call::credentials::reread;
use crate::call::hunt::Hunt;
use crate::call::record::{self, AttemptResult, Outcome, Side};
use crate::sip::message::{Essentials, Request};

/// Where the hunt goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// At the next gateway of the same buyer; with none left, at the next buyer.
    Gateway,
    /// At the next buyer.
    Buyer,
}

impl Call {
    /// Offers the call to whoever is next; with nobody left, tells the caller.
    pub(crate) fn hunt_on(&mut self, now: Instant, core: &mut Core, next: Next) {
        let State::Hunting(mut hunting) = mem::replace(&mut self.state, State::Gone) else {
            return;
        };
        if next == Next::Buyer {
            hunting.hunt.gateways.clear();
        }
        let found = reread(&hunting.early.request).and_then(|request| {
            let essentials = request.essentials().ok()?;
            self.offer_next(now, core, &mut hunting.hunt, &request, &essentials)
        });
        let is_over = found.is_none();
        if let Some(attempt) = found {
            hunting.attempt = attempt;
        }
        self.state = State::Hunting(hunting);
        if is_over {
            self.fail(now, core, self.sum_up(), Side::Edge);
        }
    }

    /// Tries gateways and buyers from the next on until an INVITE is out.
    pub(crate) fn offer_next(
        &mut self,
        now: Instant,
        core: &mut Core,
        hunt: &mut Hunt,
        request: &Request<'_>,
        essentials: &Essentials<'_>,
    ) -> Option<Attempt> {
        let policy = self.policy.clone();
        let companies = &policy.directory.companies;
        let company = companies.get(usize::from(hunt.campaign.company.0))?;
        let campaign = hunt.campaign.clone();
        loop {
            let Some(place) = hunt.gateways.pop() else {
                let buyer = campaign.buyers.get(hunt.next)?;
                hunt.next += 1;
                hunt.gateways = buyer.order(&self.uuid.text());
                hunt.gateways.reverse();
                continue;
            };
            let buyer = campaign.buyers.get(hunt.next.checked_sub(1)?)?;
            let gateway = buyer.gateways.get(usize::from(place))?;
            let record = self.record.as_mut()?;
            if now >= hunt.until || record.attempts.len() >= policy.hunt.attempts {
                return None;
            }
            let offer = Offer {
                key: self.key,
                policy: &policy,
                trunk: &self.trunk,
                record,
                key_secret: &company.key_secret,
                request,
                essentials,
                max_forwards: hunt.max_forwards,
                hops: hunt.hops,
            };
            let made = offer.make(now, core, buyer, gateway);
            let (call_id, result) = match &made {
                Ok((_, call_id)) => (call_id.clone(), AttemptResult::Cancelled),
                Err(NotSent::Unreachable) => (Box::default(), AttemptResult::Unreachable),
                Err(NotSent::Unbuildable) => (Box::default(), AttemptResult::BuyerError),
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
                    self.buyer_mark = Some(attempt.mark);
                    return Some(attempt);
                }
                Err(_) => self.end_attempt(now, core, None, result),
            }
        }
    }

    /// What the hunt came to, all in all.
    pub(crate) fn sum_up(&self) -> Outcome {
        let attempts = self
            .record
            .as_ref()
            .map_or(&[][..], |record| &record.attempts);
        if attempts.is_empty() {
            Outcome::NoBuyer
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
