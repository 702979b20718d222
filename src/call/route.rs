//! Who gets the call: what routing decides, when it is decided, and what is made of it.
//!
//! ```text
//!   admitted ── start pings ──> decide ──> a hunt for these buyers in this order ──> answered
//!                                 │                    │ nobody took it
//!                                 v nobody             v
//!                               refused <───────── the campaign's exit: other buyers, another campaign
//! ```
//!
//! What is counted is not asked here: a decision of a live call finds room everywhere, and a place is asked for when a
//! buyer's turn comes ([`places`](crate::call::places)). So nothing is promised that is not held.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use smallvec::SmallVec;

use crate::call::a_leg::Early;
use crate::call::call::{Call, Hunting};
use crate::call::core::Core;
use crate::call::facts::call_key;
use crate::call::guest::Guest;
use crate::call::hunt::{Hunt, Lineup};
use crate::call::policy::Policy;
use crate::call::record::{Outcome, Record, Side, WhySkipped};
use crate::call::replay::FORWARD;
use crate::call::story::Story;
use crate::routing::book::Claim;
use crate::routing::buyer::Buyer;
use crate::routing::campaign::Cause;
use crate::routing::caps::Unknown;
use crate::routing::decide::{Decision, Refused, decide, follow, forward, recheck};
use crate::routing::directory::Source;
use crate::routing::facts::{Facts, Past};
use crate::routing::screen::{Admitted, Kept, Refusal, screen};
use crate::routing::trunk::{CompanyId, Trunk};
use crate::sip::message::{Essentials, Request};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::number::{NotANumber, Number};
use crate::types::secret::Secret;

/// What an INVITE says for the hunt that it begins.
pub(crate) struct Brief {
    pub(crate) max_forwards: u8,
    pub(crate) hops: u8,
    /// Who sent it.
    pub(crate) sender: IpAddr,
    /// What keeps the call from the buyers of its campaign.
    pub(crate) kept: Option<Kept>,
}

/// A call at the door.
pub(crate) struct Dialling<'c> {
    pub(crate) uuid: CallUuid,
    pub(crate) policy: &'c Policy,
    pub(crate) trunk: &'c Trunk,
    /// Whose numbers it may dial.
    pub(crate) company: CompanyId,
    pub(crate) dialled: Result<Number, NotANumber>,
    pub(crate) caller: Option<Number>,
    pub(crate) moment: Moment,
    /// What its ticket says of it.
    pub(crate) guest: Option<&'c Guest>,
}

/// Whose call it is.
pub(crate) struct Screened {
    /// What keeps it from the buyers; or it is nobody's.
    pub(crate) plan: Result<Option<Kept>, Outcome>,
    /// The id of the campaign.
    pub(crate) campaign: Option<Arc<str>>,
    /// Who sent the caller.
    pub(crate) source: Option<Source>,
    pub(crate) story: Option<Box<Story>>,
}

impl Dialling<'_> {
    /// Finds out whose call it is, and begins its story.
    pub(crate) fn screen(&self) -> Screened {
        let directory = &self.policy.directory;
        let found = screen(
            directory,
            self.company,
            self.dialled,
            self.caller,
            self.moment,
        );
        match found {
            Ok(admitted) => Screened {
                campaign: Some(admitted.campaign.id.clone()),
                source: Some(admitted.source.clone()),
                story: self.begin(&admitted).map(Box::new),
                plan: Ok(admitted.kept),
            },
            Err(refusal) => {
                let (campaign, source) = match refusal {
                    Refusal::NotANumber(_) | Refusal::NumberUnknown => (None, None),
                    Refusal::NumberDisabled { campaign, source }
                    | Refusal::NoBuyer { campaign, source } => {
                        (Some(campaign.id.clone()), Some(source.clone()))
                    }
                };
                Screened {
                    plan: Err(outcome_of(&refusal)),
                    campaign,
                    source,
                    story: None,
                }
            }
        }
    }

    /// Opens the call's record, with what screening found out; and says what keeps the call from its buyers.
    pub(crate) fn open(
        &self,
        now: Instant,
        user: Option<Arc<str>>,
        call_id: &[u8],
        screened: Screened,
    ) -> (Box<Record>, Result<Option<Kept>, Outcome>) {
        let Screened {
            plan,
            campaign,
            source,
            story,
        } = screened;
        let record = Record {
            uuid: self.uuid,
            generation: self.policy.generation,
            trunk: self.trunk.id.clone(),
            user,
            dialled: self.dialled.ok(),
            caller: self.caller,
            campaign,
            afid: source.as_ref().map(|source| source.afid.clone()),
            sid: source.and_then(|source| source.sid),
            call_id: Box::from(call_id),
            attempts: Vec::new(),
            skipped: Vec::new(),
            media: None,
            figures: None,
            story,
            counted: Vec::new(),
            began: now,
            rang: None,
            answered: None,
            ended: now,
            outcome: Outcome::Internal,
            status: 0,
            hung_up_by: Side::Edge,
        };
        (Box::new(record), plan)
    }

    /// `None`: it is no number, which screening has found out.
    fn begin(&self, admitted: &Admitted<'_>) -> Option<Story> {
        let policy = self.policy;
        let campaign = admitted.campaign;
        let companies = &policy.directory.companies;
        let company = companies.get(usize::from(campaign.company.0))?;
        let hooks = policy.hooks.of(campaign.place.0).cloned();
        // Only webhooks are told.
        let key = hooks
            .as_ref()
            .map(|_| call_key(&company.key_secret, self.uuid));
        let mut tags = admitted.terms.tags.clone();
        if let Some(guest) = self.guest {
            guest.tag(&mut tags);
        }
        let facts = Facts {
            uuid: self.uuid,
            key: key.map(Secret::new),
            company: company.id.clone(),
            campaign: campaign.clone(),
            source: admitted.source.clone(),
            trunk: self.trunk.id.clone(),
            dialled: self.dialled.ok()?,
            quota: admitted.terms.quota.clone(),
            caller: self.caller,
            tags,
            began: self.moment,
            tried: Vec::new(),
            past: Past::default(),
            node: policy.node.clone(),
            generation: policy.generation,
        };
        Some(Story::new(facts, hooks))
    }
}

/// How a call ends that is nobody's.
fn outcome_of(refusal: &Refusal<'_>) -> Outcome {
    match refusal {
        Refusal::NotANumber(NotANumber::TooShort) => Outcome::NumberIncomplete,
        Refusal::NotANumber(NotANumber::Invalid) => Outcome::NotANumber,
        Refusal::NumberUnknown => Outcome::NumberUnknown,
        Refusal::NumberDisabled { .. } => Outcome::NumberDisabled,
        Refusal::NoBuyer { .. } => Outcome::NoBuyer,
    }
}

impl Call {
    /// What the call wants of the number dialled, if that is limited.
    pub(crate) fn number_claim(&self) -> Option<Claim> {
        let story = self.record.as_ref()?.story.as_ref()?;
        story.facts.number_claim()
    }

    /// All is known that is asked for beforehand: decides who gets the call, and offers it.
    pub(crate) fn route(
        &mut self,
        now: Instant,
        core: &mut Core,
        (early, ring_at): (Early, Option<Instant>),
        brief: Box<Brief>,
        (request, essentials): (&Request<'_>, &Essentials<'_>),
    ) {
        let seed = self.uuid.text();
        let policy = self.policy.clone();
        let moment = core.moment(now);
        let Some(story) = self
            .record
            .as_mut()
            .and_then(|record| record.story.as_mut())
        else {
            self.refuse_at_once(now, core, &early, Outcome::Internal);
            return;
        };
        story.keep_tags(core);
        let (directory, facts) = (&policy.directory, &story.facts);
        let decision = match &brief.kept {
            None => decide(directory, moment, &seed, facts, &Unknown),
            Some(kept) => {
                let from = (None, kept.cause());
                follow(directory, moment, &seed, facts, &Unknown, from)
            }
        };
        let Some(lineup) = self.take_decision(moment, decision) else {
            let outcome = self.sum_up();
            match brief.kept {
                None => {
                    self.wait_or_refuse(now, core, (early, ring_at), (brief, None), outcome);
                }
                Some(_) => self.refuse_at_once(now, core, &early, outcome),
            }
            return;
        };
        let mut hunt = Hunt::new(now + policy.hunt.time, lineup, &brief);
        self.count_on(&mut hunt);
        let hunting = Box::new(Hunting {
            early,
            hunt,
            turns: SmallVec::new(),
            ring_at,
        });
        self.hunt(now, core, hunting, None, (request, essentials));
    }

    /// Keeps a decision. `Some`: these are tried.
    fn take_decision(&mut self, moment: Moment, decision: Decision) -> Option<Lineup> {
        let policy = self.policy.clone();
        let story = self.record.as_mut()?.story.as_mut()?;
        story.course.decide(moment);
        story.take_decision(&policy, decision)
    }

    /// Nobody of the hunt's buyers is left: takes the campaign's exit. `false`: there is none.
    pub(crate) fn take_exit(&mut self, now: Instant, core: &Core, hunt: &mut Hunt) -> bool {
        let cause = self.cause();
        let seed = self.uuid.text();
        let policy = self.policy.clone();
        let Some(story) = self
            .record
            .as_mut()
            .and_then(|record| record.story.as_mut())
        else {
            return false;
        };
        let Some(before) = story.decisions.last() else {
            return false;
        };
        if before.trail.campaign.exits.of(cause).is_none() {
            return false;
        }
        let moment = core.moment(now);
        let (directory, facts) = (&policy.directory, &story.facts);
        let from = (Some(before), cause);
        let decision = follow(directory, moment, &seed, facts, &Unknown, from);
        match self.take_decision(moment, decision) {
            Some(lineup) => {
                hunt.go_on_with(lineup);
                true
            }
            None => false,
        }
    }

    /// Whether the buyer whose turn it is still is what the call is for; if not, it is passed over.
    pub(crate) fn still_fits(&mut self, now: Instant, core: &mut Core, buyer: &Arc<Buyer>) -> bool {
        let moment = core.moment(now);
        let Some(story) = self
            .record
            .as_mut()
            .and_then(|record| record.story.as_mut())
        else {
            return true;
        };
        story.course.turn(moment, &buyer.id);
        if buyer.rules.is_plain() {
            return true;
        }
        let facts = &story.facts;
        let verdict = recheck(moment, facts, &Unknown, &facts.campaign, buyer);
        if !verdict.fits() {
            let why = WhySkipped::Judged(verdict.label());
            self.skip(now, core, (buyer, None), why);
            return false;
        }
        true
    }

    /// Whether what is known just before a buyer is called is what it wants to be known; if not, it is passed over.
    pub(crate) fn may_forward(
        &mut self,
        now: Instant,
        core: &mut Core,
        buyer: &Arc<Buyer>,
    ) -> bool {
        let Some(story) = self
            .record
            .as_mut()
            .and_then(|record| record.story.as_mut())
        else {
            return true;
        };
        story.course.forward(&buyer.id);
        if forward(&story.facts, buyer).is_err() {
            let why = WhySkipped::Judged(FORWARD);
            self.skip(now, core, (buyer, None), why);
            return false;
        }
        true
    }

    /// Why nobody is left, for the campaign's exits.
    fn cause(&self) -> Cause {
        cause_of_hunt(self.sum_up_hunt())
    }

    /// What the call came to, all in all, that nobody has taken.
    pub(crate) fn sum_up(&self) -> Outcome {
        let story = self
            .record
            .as_ref()
            .and_then(|record| record.story.as_ref());
        let refused = story.and_then(|story| story.refused.as_ref());
        sum_up(refused, self.sum_up_hunt())
    }

    /// Ends a call that nobody has taken, as its campaign wants it told, or else as the outcome says.
    pub(crate) fn refuse_at_once(
        &mut self,
        now: Instant,
        core: &mut Core,
        early: &Early,
        outcome: Outcome,
    ) {
        let story = self
            .record
            .as_ref()
            .and_then(|record| record.story.as_ref());
        let refused = story.and_then(|story| story.refused.as_ref());
        let answer = refused.and_then(|refused| refused.answer.clone());
        let usual = Self::status_for(&self.trunk, outcome);
        let status = answer.as_ref().and_then(|answer| answer.status);
        let status = status.unwrap_or(usual);
        let reason = answer.as_ref().and_then(|answer| answer.reason.as_deref());
        let reason = reason.unwrap_or(outcome.label());
        early.refuse(now, core, &self.caller_mark.text(), status, reason);
        self.settle(now, core, outcome, status, Side::Edge);
        self.state = crate::call::call::State::Gone;
    }
}

impl Story {
    /// Keeps a decision. `Some`: these are tried.
    pub(crate) fn take_decision(&mut self, policy: &Policy, decision: Decision) -> Option<Lineup> {
        let campaign = &decision.trail.campaign;
        if !Arc::ptr_eq(campaign, &self.facts.campaign) {
            // From here on it is a call of that campaign.
            self.facts.campaign = Arc::clone(campaign);
            self.hooks = policy.hooks.of(campaign.place.0).cloned();
        }
        let lineup = Lineup {
            company: campaign.company,
            buyers: decision.order.clone(),
            joined: decision.joined.clone(),
        };
        self.refused.clone_from(&decision.refused);
        let is_refused = decision.refused.is_some();
        self.decisions.push(decision);
        (!is_refused).then_some(lineup)
    }
}

/// Why nobody is left, for the campaign's exits, when a hunt came to this.
pub(crate) fn cause_of_hunt(outcome: Outcome) -> Cause {
    let causes = [Cause::AllCapped, Cause::AllDown, Cause::NoMatch];
    let mut causes = causes.into_iter();
    causes
        .find(|cause| outcome_of_cause(*cause) == outcome)
        .unwrap_or(Cause::NoAnswer)
}

/// What a call came to, all in all, that nobody has taken: `refused` says why nobody is left, and the hunt came to `hunt`.
pub(crate) fn sum_up(refused: Option<&Refused>, hunt: Outcome) -> Outcome {
    match refused {
        // What the hunt came to tells more exactly.
        Some(Refused { cause, .. }) if *cause != Cause::NoAnswer => outcome_of_cause(*cause),
        Some(_) | None => hunt,
    }
}

/// The outcome of a call that nobody is left for.
pub(crate) fn outcome_of_cause(cause: Cause) -> Outcome {
    match cause {
        Cause::NoBuyer => Outcome::NoBuyer,
        Cause::AllCapped => Outcome::AllCapped,
        Cause::NoMatch => Outcome::NoMatch,
        Cause::AllDuplicate => Outcome::AllDuplicate,
        Cause::AllDown => Outcome::AllDown,
        Cause::AllClosed => Outcome::AllClosed,
        Cause::NoAnswer => Outcome::NoAnswer,
        Cause::Suppressed => Outcome::CallerBlocked,
    }
}
