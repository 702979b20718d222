//! A call that is over and of which something is still to come: a postback, or the time at which its conversion is found out.
//!
//! ```text
//!   over ── settle ──> Undetermined ── then ──> Awaited ── postback, or none in time ──> Settled ── other amounts ──> Settled
//!     └─────────────────────────────────────────^                                         ^
//!     └───────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! What is known of it is what its record tells. It goes by the configuration of now: that with which it began may be long gone.

mod fire;
mod news;
mod said;

use std::sync::Arc;
use std::time::Duration;

use crate::call::facts::call_key;
use crate::call::policy::Policy;
use crate::call::story::{Delivery, Story};
use crate::hooks::conversion::{Conversion, Posted, Verdict};
use crate::hooks::model::CampaignHooks;
use crate::hooks::past::Past;
use crate::hooks::postback::Posting;
use crate::hooks::trigger::Trigger;
use crate::routing::book::{self, Counted};
use crate::routing::buyer::Buyer;
use crate::routing::campaign::Campaign;
use crate::routing::caps::CapOn;
use crate::routing::directory::Source;
use crate::routing::facts::{Facts, Past as Earlier, Progress};
use crate::routing::trunk::CompanyId;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::money::Money;
use crate::types::number::Number;
use crate::types::secret::Secret;
use crate::types::tag::{Origin, Tag, Tags};

/// The company whose calls have such keys, if `shown` is the key of this call; `None`: it is not. All companies are looked at, whichever
/// it is.
#[must_use]
pub fn opened_by(policy: &Policy, call: CallUuid, shown: &Secret) -> Option<Arc<str>> {
    let mut found = None;
    for company in &policy.directory.companies {
        if shown.is_equal(&call_key(&company.key_secret, call)) {
            found = Some(&company.id);
        }
    }
    found.cloned()
}

/// What the record of a call tells, as far as it matters later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remains {
    /// The call.
    pub uuid: CallUuid,
    /// When it came.
    pub began: Moment,
    /// Generation of the configuration that it ran on.
    pub generation: u64,
    /// The trunk's id.
    pub trunk: Box<str>,
    /// The number dialled.
    pub dialled: Number,
    /// The caller.
    pub caller: Option<Number>,
    /// The id of the company; `None`: that of the campaign.
    pub company: Option<Box<str>>,
    /// The id of the campaign.
    pub campaign: Box<str>,
    /// The publisher's id.
    pub afid: Box<str>,
    /// The sub id.
    pub sid: Option<Box<str>>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The buyers that were tried.
    pub tried: Vec<Box<str>>,
    /// The talk; `None`: nobody answered.
    pub talk: Option<Talk>,
    /// How it ended.
    pub outcome: Box<str>,
    /// The edge ended before it did: how long it lasted is not known.
    pub is_cut_off: bool,
    /// The last status.
    pub status: Option<u16>,
    /// Who ended it.
    pub hung_up_by: Option<&'static str>,
    /// From the INVITE to the end.
    pub total: Option<Duration>,
    /// From the INVITE to the first ringing.
    pub rang: Option<Duration>,
}

/// The talk of a call that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Talk {
    /// The id of the buyer.
    pub buyer: Box<str>,
    /// From the INVITE to our INVITE to the buyer.
    pub chosen: Duration,
    /// From the INVITE to the answer.
    pub answered: Duration,
    /// From the answer to the end.
    pub time: Duration,
}

/// What has been said of the call so far, and what has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Since {
    /// When it ended.
    pub ended: Moment,
    /// Whether it is open how it converted.
    pub stage: Stage,
    /// Postbacks so far.
    pub posts: u32,
    /// What they have said of the conversion.
    pub posted: Posted,
    /// Their tags: keys and values.
    pub tags: Vec<(Box<str>, Box<str>)>,
}

/// Whether it is open how a call converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// Nothing is found out yet.
    Undetermined,
    /// A postback is waited for, by this conversion group.
    Awaited(Arc<str>),
    /// It is settled; `None`: there was nothing to decide.
    Settled(Option<Settled>),
}

/// How a call converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// The conversion group.
    pub group: Arc<str>,
    /// Whether it did.
    pub is_converted: bool,
    /// What the publisher gets, and what the buyer pays; `None`: nothing is said.
    pub worth: Option<(Money, Money)>,
    /// Whether the publisher gets nothing, as it had this caller before, whatever is said later.
    pub is_payout_duplicate: bool,
    /// Whether the buyer pays nothing, for the same reason.
    pub is_revenue_duplicate: bool,
}

/// What follows from something that was said, or from the time.
#[derive(Debug, Default)]
pub struct Change {
    /// What is to be delivered, in order.
    pub deliveries: Vec<Delivery>,
    /// How it converted, from now on.
    pub settled: Option<Settled>,
    /// What counts against the limits of its buyer.
    pub counted: Vec<Counted>,
    /// A postback is waited for from now on: by this group, until then.
    pub awaits: Option<(Arc<str>, Moment)>,
    /// Webhooks that fire now and do not again for this caller for a while: their ids, and when.
    pub fired: Vec<(Arc<str>, Moment)>,
}

/// A call that is over.
pub struct Late {
    story: Story,
    since: Since,
    /// `None`: nobody answered, or there is no such buyer any more.
    buyer: Option<Arc<Buyer>>,
    /// When the buyer was chosen.
    chosen: Moment,
    is_cut_off: bool,
    /// See [`Change::fired`]: those since it was read.
    fired: Vec<(Arc<str>, Moment)>,
}

impl Late {
    /// A call as its record tells of it; `None`: its company is not in the configuration any more.
    #[must_use]
    pub fn new(policy: &Policy, remains: Remains, since: Since) -> Option<Self> {
        let directory = &policy.directory;
        let mut campaigns = directory.campaigns.iter();
        let campaign = campaigns.find(|campaign| *campaign.id == *remains.campaign);
        let company = match (&remains.company, campaign) {
            (Some(name), _) => {
                let mut companies = directory.companies.iter();
                companies.position(|company| *company.id == **name)?
            }
            (None, campaign) => usize::from(campaign?.company.0),
        };
        let owner = directory.companies.get(company)?;
        // Another company's may be called the same by now.
        let campaign = campaign.filter(|campaign| usize::from(campaign.company.0) == company);
        let hooks = campaign.and_then(|campaign| policy.hooks.of(campaign.place.0).cloned());
        let campaign = campaign.cloned().unwrap_or_else(|| {
            let company = CompanyId(u16::try_from(company).unwrap_or(u16::MAX));
            Arc::new(Campaign::new(&remains.campaign, company, Vec::new()))
        });
        let key = call_key(&owner.key_secret, remains.uuid);
        let mut tags = Tags::of_record(remains.tags);
        // What was refused once is refused again.
        let _ = Posting::of_tags(&since.tags).apply(Origin::Postback, &mut tags);
        let facts = Facts {
            uuid: remains.uuid,
            key: Some(Secret::new(key)),
            company: owner.id.clone(),
            campaign,
            source: Source {
                afid: remains.afid.into(),
                sid: remains.sid.map(Into::into),
            },
            trunk: remains.trunk.into(),
            dialled: remains.dialled,
            quota: directory.quota_of(remains.dialled).cloned(),
            caller: remains.caller,
            tags,
            began: remains.began,
            tried: remains.tried.into_iter().map(Into::into).collect(),
            past: Earlier::default(),
            node: policy.node.clone(),
            generation: remains.generation,
        };
        let mut story = Story::new(facts, hooks);
        let talk = remains.talk.as_ref();
        let buyer = talk.and_then(|talk| directory.buyers.get(&*talk.buyer).cloned());
        match (&buyer, talk) {
            (Some(buyer), _) => story.note_buyer(buyer),
            (None, Some(talk)) => story.progress.buyer = Some((*talk.buyer).into()),
            (None, None) => {}
        }
        let chosen = talk.map_or(remains.began, |talk| remains.began.after(talk.chosen));
        story.progress = Progress {
            status: Some(if talk.is_some() {
                "completed"
            } else {
                "not_connected"
            }),
            reason: Some(remains.outcome.into()),
            answered: talk.map(|talk| remains.began.after(talk.answered)),
            ended: Some(since.ended),
            duration: talk.map(|talk| talk.time),
            total: remains.total,
            ringing: remains.rang.and_then(|rang| {
                let until = talk.map(|talk| talk.answered).or(remains.total)?;
                Some(until.saturating_sub(rang))
            }),
            hung_up_by: remains.hung_up_by,
            sip_code: remains.status,
            ..story.progress
        };
        story.posted = since.posted;
        if let Stage::Settled(Some(settled)) = &since.stage {
            show(&mut story.progress, settled);
        }
        Some(Self {
            story,
            since,
            buyer,
            chosen,
            is_cut_off: remains.is_cut_off,
            fired: Vec::new(),
        })
    }

    /// The call.
    #[must_use]
    pub fn uuid(&self) -> CallUuid {
        self.story.facts.uuid
    }

    /// The id of the buyer who answered.
    #[must_use]
    pub fn buyer(&self) -> Option<&str> {
        self.story.progress.buyer.as_deref()
    }

    /// What postbacks have said of its conversion.
    #[must_use]
    pub fn posted(&self) -> Posted {
        self.story.posted
    }

    /// The id of its company.
    #[must_use]
    pub fn company(&self) -> &str {
        &self.story.facts.company
    }

    /// The id of its campaign.
    #[must_use]
    pub fn campaign(&self) -> &str {
        &self.story.facts.campaign.id
    }

    /// Who called, if that is known.
    #[must_use]
    pub fn caller(&self) -> Option<Number> {
        self.story.facts.caller
    }

    /// How many postbacks have come.
    #[must_use]
    pub fn posts(&self) -> u32 {
        self.since.posts
    }

    /// Whether it is open how it converted.
    #[must_use]
    pub fn stage(&self) -> &Stage {
        &self.since.stage
    }

    /// When it ended.
    #[must_use]
    pub fn ended(&self) -> Moment {
        self.since.ended
    }

    /// Its tags.
    #[must_use]
    pub fn tags(&self) -> &Tags {
        &self.story.facts.tags
    }

    /// Somebody who may says something of it.
    pub fn handle_post(&mut self, now: Moment, past: &dyn Past, posting: &Posting) -> Change {
        let (turn, fired) = (self.since.posts, self.fired.len());
        self.since.posts = turn.saturating_add(1);
        self.note_said(posting);
        // What was refused is told to whoever says it, by who has read it.
        let _ = posting.apply(Origin::Postback, &mut self.story.facts.tags);
        self.story.posted.update(&posting.posted);
        let mut change = Change::default();
        match self.since.stage.clone() {
            Stage::Undetermined | Stage::Settled(None) => {}
            Stage::Awaited(group) => self.hear(now, past, &group, &mut change),
            Stage::Settled(Some(settled)) => self.reprice(settled, &posting.posted, &mut change),
        }
        // The webhooks of the postback go before those of what follows from it.
        let mut deliveries = self.fire(now, past, turn, |firing, hooks| {
            let due = firing.due(hooks, Trigger::Postback);
            due.cloned().collect()
        });
        deliveries.append(&mut change.deliveries);
        change.deliveries = deliveries;
        change.fired = self.fired_since(fired);
        change
    }

    /// The time has come at which it is found out whether it converted, or no postback is waited for any more.
    pub fn handle_due(&mut self, now: Moment, past: &dyn Past) -> Change {
        let (mut change, fired) = (Change::default(), self.fired.len());
        match self.since.stage.clone() {
            Stage::Undetermined => self.determine(now, past, &mut change),
            Stage::Awaited(group) => {
                let group = Some(group);
                let missed = Conversion {
                    group,
                    verdict: Verdict::Missed,
                };
                self.settle(now, past, &missed, &mut change);
            }
            Stage::Settled(_) => {}
        }
        change.fired = self.fired_since(fired);
        change
    }

    fn determine(&mut self, now: Moment, past: &dyn Past, change: &mut Change) {
        let hooks = self.story.hooks.clone().unwrap_or_default();
        let seen = self.story.seen();
        let ended = self.story.ended(&seen, now);
        let conversion = Conversion::of(&hooks.groups, &ended, past);
        let is_answered = ended.talk.is_some();
        self.note(&hooks, &conversion, change);
        if let (Verdict::Awaited(wait), Some(group)) = (&conversion.verdict, &conversion.group) {
            change.awaits = Some((Arc::clone(group), self.since.ended.after(*wait)));
            self.since.stage = Stage::Awaited(Arc::clone(group));
        }
        // How a call went that was cut off nobody knows; but what was said of it counts.
        let is_told = !self.is_cut_off || conversion.converted().is_some();
        let is_cut_off = self.is_cut_off;
        change.deliveries = self.fire(now, past, 0, |firing, hooks| {
            let due = match (is_told, is_cut_off) {
                (false, _) => Vec::new(),
                (true, true) => firing.once_settled(hooks, &conversion),
                (true, false) => firing.after_call(hooks, is_answered, &conversion),
            };
            due.into_iter().cloned().collect()
        });
    }

    /// A postback has come that was waited for; or one that says nothing of the conversion.
    fn hear(&mut self, now: Moment, past: &dyn Past, group: &Arc<str>, change: &mut Change) {
        if self.story.posted.is_conversion().is_none() {
            return;
        }
        let hooks = self.story.hooks.clone().unwrap_or_default();
        let seen = self.story.seen();
        let ended = self.story.ended(&seen, now);
        let conversion = Conversion::within(&hooks.groups, group, &ended, past);
        if conversion.is_settled() {
            self.settle(now, past, &conversion, change);
        }
    }

    fn settle(
        &mut self,
        now: Moment,
        past: &dyn Past,
        conversion: &Conversion,
        change: &mut Change,
    ) {
        let hooks = self.story.hooks.clone().unwrap_or_default();
        self.note(&hooks, conversion, change);
        change.deliveries = self.fire(now, past, 0, |firing, hooks| {
            let due = firing.once_settled(hooks, conversion);
            due.into_iter().cloned().collect()
        });
    }

    /// Takes down what the conversion came to, if it is settled.
    fn note(&mut self, hooks: &CampaignHooks, conversion: &Conversion, change: &mut Change) {
        self.story.note_conversion(hooks, conversion);
        if !conversion.is_settled() {
            return;
        }
        let converted = conversion.converted();
        let worth = converted.map(|converted| converted.worth);
        let settled = Settled {
            group: conversion.group.clone().unwrap_or_default(),
            is_converted: worth.is_some(),
            worth: worth.map(|worth| (worth.payout, worth.revenue)),
            is_payout_duplicate: converted.is_some_and(|one| one.is_payout_duplicate),
            is_revenue_duplicate: converted.is_some_and(|one| one.is_revenue_duplicate),
        };
        if let (true, Some(buyer)) = (settled.is_converted, &self.buyer) {
            let number = self.story.facts.number_claim();
            change.counted = book::late(buyer, number, self.chosen, CapOn::Conversion);
        }
        self.since.stage = Stage::Settled(Some(settled.clone()));
        change.settled = Some(settled);
    }

    /// It has converted, and is worth something else; what a duplicate is worth stays nothing.
    fn reprice(&mut self, settled: Settled, posted: &Posted, change: &mut Change) {
        let Some(before) = settled.worth.filter(|_| settled.is_converted) else {
            return;
        };
        let payout = posted.payout.filter(|_| !settled.is_payout_duplicate);
        let revenue = posted.revenue.filter(|_| !settled.is_revenue_duplicate);
        let worth = (payout.unwrap_or(before.0), revenue.unwrap_or(before.1));
        if worth == before {
            return;
        }
        let settled = Settled {
            worth: Some(worth),
            ..settled
        };
        show(&mut self.story.progress, &settled);
        self.since.stage = Stage::Settled(Some(settled.clone()));
        change.settled = Some(settled);
    }
}

/// Has webhooks tell how it converted.
fn show(progress: &mut Progress, settled: &Settled) {
    progress.converted = Some(settled.is_converted);
    progress.payout = settled.worth.map(|(payout, _)| payout.to_string().into());
    progress.revenue = settled.worth.map(|(_, revenue)| revenue.to_string().into());
}

#[cfg(test)]
mod tests;
