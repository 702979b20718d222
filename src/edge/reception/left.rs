//! Calls that Twilio carries and that the last process has left: what is known of each, so that this one takes it up.
//!
//! The journal knows which calls have no record yet, and from when on; the notes of a call know whom Twilio was told to call, and
//! what it has told since. A call of which one of them does not know was cut off.

use std::collections::HashMap;
use std::time::Duration;

use tracing::error;

use crate::call::abroad::TRUNK;
use crate::call::errand::{Before, Beginning, Closing, Tried};
use crate::call::policy::Policy;
use crate::call::record::Side;
use crate::config::twilio::Twilio;
use crate::edge::reception::CALLS;
use crate::edge::reception::guest_call::{Direct, GuestCall};
use crate::store::{OpenCall, Shelf};
use crate::twilio::connect::CompanyKey;
use crate::twilio::dial::Why;
use crate::twilio::sid::CallSid;
use crate::twilio::ticket::Ticket;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::tag::Origin;

/// One of them.
pub(in crate::edge) struct Left {
    pub(in crate::edge) uuid: CallUuid,
    pub(in crate::edge) beginning: Beginning,
    pub(in crate::edge) before: Before,
}

/// By what they are known.
#[derive(Clone, Copy)]
pub(in crate::edge) struct Whose<'w> {
    policy: &'w Policy,
    /// `None`: Twilio sends us nothing.
    twilio: Option<&'w Twilio>,
}

impl<'w> Whose<'w> {
    pub(in crate::edge) fn of(policy: &'w Policy, twilio: Option<&'w Twilio>) -> Self {
        Self { policy, twilio }
    }

    /// What the process goes by.
    pub(in crate::edge) fn policy(&self) -> &'w Policy {
        self.policy
    }

    /// Takes those of `open` out that go on; the last process was there for the last time at `alive`.
    pub(in crate::edge) fn take(
        &self,
        open: &mut Vec<OpenCall>,
        shelf: &Shelf,
        (now, alive): (Moment, Moment),
    ) -> Vec<Left> {
        let is_direct = |call: &OpenCall| call.admitted().is_some_and(|one| one.trunk == TRUNK);
        if !open.iter().any(is_direct) {
            return Vec::new();
        }
        let notes = shelf.notes(CALLS).unwrap_or_else(|error| {
            error!(%error, "what was told of calls cannot be read: those of Twilio's own are cut off");
            Vec::new()
        });
        let mut known = HashMap::new();
        for note in notes.into_iter().filter(|note| note.until > now) {
            let call = serde_json::from_slice::<GuestCall>(&note.value).ok();
            if let Some((leg, call)) = CallSid::parse(&note.key).zip(call) {
                known.insert(call.uuid(), (leg, call));
            }
        }
        let mut left = Vec::new();
        open.retain(|call| {
            let found = is_direct(call).then(|| self.read(call, &known, alive));
            match found.flatten() {
                Some(found) => {
                    left.push(found);
                    false
                }
                None => true,
            }
        });
        left
    }

    /// What is known of a call; `None`: not all that it takes.
    fn read(
        &self,
        open: &OpenCall,
        known: &HashMap<u128, (CallSid, GuestCall)>,
        alive: Moment,
    ) -> Option<Left> {
        let admitted = open.admitted()?;
        let (leg, call) = known.get(&u128::from_be_bytes(*admitted.uuid.as_bytes()))?;
        let direct = call.direct.as_ref()?;
        let others = direct.tried.len().saturating_sub(direct.attempt as usize);
        let before = direct.tried.iter().take(others);
        let company = CompanyKey(call.company);
        let tickets = self.policy.tickets.as_ref()?;
        tickets.companies.get(&company)?;
        let tagged = open.tagged();
        let tags = tagged.iter().flat_map(|tagged| tagged.tags.iter());
        let tags = tags.filter_map(|tag| {
            let origin = Origin::named(tag.origin)?;
            Some((tag.key.to_owned(), tag.value.to_owned(), origin))
        });
        let answered = open.answered().map(|answered| answered.at);
        let answered = answered.or_else(|| answered_at(direct, alive));
        Some(Left {
            uuid: admitted.uuid,
            beginning: Beginning {
                ticket: Ticket {
                    uuid: call.uuid(),
                    number: call.number()?,
                    company,
                    caller: call.caller(),
                    leg: *leg,
                    expires: Moment::from_millis(call.expires),
                    tags: call.pairs().collect(),
                },
                tried: before.map(|id| id.as_str().into()).collect(),
                limit: self.twilio?.edge.time_limit,
            },
            before: Before {
                began: admitted.at,
                tags: tags.collect(),
                tried: tried(call, (direct, others), admitted.at),
                answered,
                closing: closing(direct),
                alive,
            },
        })
    }
}

/// The attempts of the call itself; those of `others` before were another call's.
fn tried(call: &GuestCall, (direct, others): (&Direct, usize), began: Moment) -> Vec<Tried> {
    let own = direct.tried.iter().skip(others);
    let tried = (1..).zip(own).map(|(attempt, buyer)| {
        let at = direct.since.get(others + attempt - 1);
        Tried {
            buyer: buyer.as_str().into(),
            at: at.map_or(began, |at| Moment::from_millis(*at)),
            came: call.came_of(attempt).and_then(Why::named),
        }
    });
    tried.collect()
}

/// When the last buyer answered, as far as Twilio has told: of the answer, or of how long they talked.
fn answered_at(direct: &Direct, alive: Moment) -> Option<Moment> {
    let said = direct.answered.map(Moment::from_millis);
    let talked = direct
        .talked
        .map(|talked| Duration::from_secs(talked.into()));
    said.or_else(|| Some(alive.before(talked?)))
}

fn closing(direct: &Direct) -> Option<Closing> {
    let talked = direct.talked;
    let talked = talked.map(|seconds| Duration::from_secs(seconds.into()));
    let by = direct.has_caller_gone.then_some(Side::Caller);
    // One that nobody answered comes to the same end again, by what was told of its buyers.
    let has_ended = direct.over.is_some() && direct.answered.is_some();
    (has_ended || talked.is_some() || by.is_some()).then_some(Closing { talked, by })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_was_answered_and_is_over_waits_for_nothing_but_a_last_word() {
        let alive = Moment::from_millis(100_000);
        let left = |direct: &Direct| (answered_at(direct, alive), closing(direct));
        let mut direct = Direct::default();
        assert_eq!(left(&direct), (None, None));
        direct.over = Some("no_answer".to_owned());
        assert_eq!(left(&direct), (None, None));

        direct.answered = Some(40_000);
        let answered = Some(Moment::from_millis(40_000));
        assert_eq!(left(&direct), (answered, Some(Closing::default())));
        direct.answered = None;
        direct.talked = Some(30);
        let closing = Closing {
            talked: Some(Duration::from_secs(30)),
            by: None,
        };
        let answered = Some(Moment::from_millis(70_000));
        assert_eq!(left(&direct), (answered, Some(closing)));
    }
}
