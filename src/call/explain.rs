//! A call that has not happened: who would get it, why not the others, which webhooks would be asked, what the caller would be
//! told. By the same functions as those that decide live calls.

mod shown;
mod trunk;

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::call::aside::width;
use crate::call::call::Call;
use crate::call::hunt::Lineup;
use crate::call::memory::{self, Memory, Remembered};
use crate::call::policy::Policy;
use crate::call::replay::FORWARD;
use crate::call::route::{Dialling, Screened, cause_of_hunt, outcome_of_cause};
use crate::call::story::Story;
use crate::call::tried::Hunted;
use crate::hooks::after::Firing;
use crate::hooks::reply;
use crate::hooks::request::shown_url;
use crate::hooks::trigger::Trigger;
use crate::hooks::window::MOST_PINGS;
use crate::routing::book::Claim;
use crate::routing::buyer::Buyer;
use crate::routing::campaign::Cause;
use crate::routing::caps::{Counters, Taken};
use crate::routing::decide::{Decision, Look, decide, follow, forward, recheck};
use crate::routing::facts::Seen;
use crate::routing::screen::Kept;
use crate::routing::trunk::Trunk;
use crate::routing::verdict::Verdict;
use crate::sip::build::Writer;
use crate::sip::message::Method;
use crate::sip::retreaver::RetreaverHeaders;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::number::Number;
use crate::types::tag::Origin;

pub use self::trunk::{NoTrunk, trunk_for};

/// A call to be explained.
pub struct Question<'q> {
    /// What it goes by.
    pub policy: &'q Policy,
    /// The trunk by which it would come.
    pub trunk: &'q Arc<Trunk>,
    /// What would be dialled, as the trunk writes numbers.
    pub to: &'q str,
    /// Who would call, as the trunk writes numbers; `None`: withheld.
    pub from: Option<&'q str>,
    /// When.
    pub at: Moment,
    /// The call's UUID, which is the seed of the order by weight.
    pub uuid: CallUuid,
    /// Tags that webhooks or others would have set.
    pub tags: &'q [(String, String)],
    /// What webhooks answer that the call waits for; those that are not named answer nothing in time. `None`: that is not known,
    /// but for `tags`.
    pub answers: Option<&'q [Answered]>,
    /// What is remembered of the caller.
    pub memory: &'q Memory,
    /// What is counted.
    pub counters: &'q dyn Counters,
}

/// What a webhook answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Its id.
    pub webhook: String,
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// What would become of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// The call's UUID: the order by weight depends on it.
    pub uuid: String,
    /// When, RFC 3339.
    pub at: String,
    /// The trunk's id.
    pub trunk: String,
    /// The number dialled; `None`: there is none in it.
    pub dialled: Option<String>,
    /// The caller's number.
    pub caller: Option<String>,
    /// The campaign's id; `None`: the number has none.
    pub campaign: Option<String>,
    /// The publisher's id.
    pub afid: Option<String>,
    /// The sub id.
    pub sid: Option<String>,
    /// Earlier calls of the caller that are assumed; `None`: nobody asks for them.
    pub past: Option<Vec<PastSaid>>,
    /// Tags when it is decided, and who said each.
    pub tags: Vec<TagSaid>,
    /// The webhooks that would be asked first.
    pub start_webhooks: Vec<HookSaid>,
    /// The routes that would be looked at, in order.
    pub looks: Vec<LookSaid>,
    /// The buyers that would be passed over when their turn came: for what they want to be known just before, or because those
    /// who are called at the same time have the last places.
    pub passed: Vec<VerdictSaid>,
    /// The buyers that would be called, in order.
    pub order: Vec<BuyerSaid>,
    /// What the caller would be told; `None`: what the buyers say.
    pub refused: Option<Refused>,
}

/// An earlier call.
#[derive(Debug, Serialize, Deserialize)]
pub struct PastSaid {
    /// The campaign's id.
    pub campaign: String,
    /// The buyer who answered.
    pub buyer: Option<String>,
    /// When, RFC 3339.
    pub answered: Option<String>,
    /// When it converted, RFC 3339.
    pub converted: Option<String>,
}

/// A tag.
#[derive(Debug, Serialize, Deserialize)]
pub struct TagSaid {
    /// Its key.
    pub key: String,
    /// One value.
    pub value: String,
    /// Who said it.
    pub origin: Cow<'static, str>,
}

/// A webhook.
#[derive(Debug, Serialize, Deserialize)]
pub struct HookSaid {
    /// Its id.
    pub webhook: String,
    /// GET, POST.
    pub method: Cow<'static, str>,
    /// Where it would go, keys redacted.
    pub url: String,
}

/// A route.
#[derive(Debug, Serialize, Deserialize)]
pub struct LookSaid {
    /// The campaign's id.
    pub campaign: String,
    /// Which exit it is; `None`: the campaign's own route.
    pub exit: Option<Cow<'static, str>>,
    /// Its buyers.
    pub buyers: Vec<VerdictSaid>,
}

/// What is said of a buyer.
#[derive(Debug, Serialize, Deserialize)]
pub struct VerdictSaid {
    /// The buyer's id.
    pub buyer: String,
    /// Its verdict.
    pub verdict: Cow<'static, str>,
    /// What would have to be.
    pub want: Option<String>,
    /// What is.
    pub have: Option<String>,
}

/// A buyer that would be called.
#[derive(Debug, Serialize, Deserialize)]
pub struct BuyerSaid {
    /// Its id.
    pub buyer: String,
    /// Which step of the hunt it belongs to, counted from 1: those of one step are called at once, and each step only if
    /// nobody of those before has answered.
    #[serde(default)]
    pub step: usize,
    /// The Request-URIs of its gateways, in the order in which they would be tried.
    pub uris: Vec<String>,
    /// The headers that its INVITE would have, keys redacted.
    pub headers: Vec<String>,
    /// The webhooks that would be told of it.
    pub webhooks: Vec<HookSaid>,
}

/// A refusal.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    /// The final status.
    pub status: u16,
    /// The Reason header's text.
    pub reason: String,
}

/// Explains a call.
#[must_use]
pub fn explain(question: &Question<'_>) -> Explanation {
    let plan = &question.trunk.plan;
    let dialled = plan.normalize(question.to.as_bytes());
    let caller = question
        .from
        .and_then(|from| plan.normalize(from.as_bytes()).ok());
    let dialling = Dialling {
        uuid: question.uuid,
        policy: question.policy,
        trunk: question.trunk,
        company: question.trunk.company,
        dialled,
        caller,
        moment: question.at,
        guest: None,
    };
    let Screened {
        plan,
        campaign,
        source,
        story,
    } = dialling.screen();
    let mut said = Explanation {
        uuid: question.uuid.to_string(),
        at: question.at.to_string(),
        trunk: question.trunk.id.to_string(),
        dialled: dialled.ok().as_ref().map(Number::to_string),
        caller: caller.as_ref().map(Number::to_string),
        campaign: campaign.as_deref().map(str::to_owned),
        afid: source.as_ref().map(|source| source.afid.to_string()),
        sid: source.and_then(|source| source.sid.as_deref().map(str::to_owned)),
        past: None,
        tags: Vec::new(),
        start_webhooks: Vec::new(),
        looks: Vec::new(),
        passed: Vec::new(),
        order: Vec::new(),
        refused: None,
    };
    match (plan, story) {
        (Ok(kept), Some(story)) => question.route(&mut said, *story, kept.as_ref()),
        (Ok(_), None) => {}
        (Err(outcome), _) => {
            said.refused = Some(Refused {
                status: Call::status_for(question.trunk, outcome),
                reason: outcome.label().to_owned(),
            });
        }
    }
    said
}

impl Question<'_> {
    fn route(&self, said: &mut Explanation, mut story: Story, kept: Option<&Kept>) {
        let keys = self.policy.hooks.keys();
        if story.facts.caller.is_some() && keys.stores_for(&story.facts.company) {
            self.memory.give(&mut story.facts.tags);
        }
        for (key, value) in self.tags {
            // What could not be a tag of a live call is none here.
            let _ = story.facts.tags.add(key, value, Origin::Hook);
        }
        if !memory::window(self.policy, &story.facts.campaign).is_zero()
            && story.facts.caller.is_some()
        {
            story.facts.past = self.memory.past(false);
            said.past = Some(self.memory.calls.iter().map(past_said).collect());
        }
        said.start_webhooks = self.webhooks(&story, Trigger::Start);
        self.answer(&mut story, Trigger::Start);
        let tags = story.facts.tags.iter();
        said.tags = tags
            .map(|tag| TagSaid {
                key: tag.key.to_string(),
                value: tag.value.to_string(),
                origin: tag.origin.label().into(),
            })
            .collect();
        let seed = self.uuid.text();
        let mut cause = kept.map(Kept::cause);
        loop {
            let (directory, facts) = (&self.policy.directory, &story.facts);
            let decision = match (story.decisions.last(), cause) {
                (None, None) => decide(directory, self.at, &seed, facts, self.counters),
                (before, cause) => {
                    let from = (before, cause.unwrap_or(Cause::NoAnswer));
                    follow(directory, self.at, &seed, facts, self.counters, from)
                }
            };
            said.looks.extend(decision.looks.iter().map(look_said));
            said.refused = self.refusal(&decision);
            let Some(lineup) = story.take_decision(self.policy, decision) else {
                return;
            };
            self.call(said, &mut story, &lineup);
            if !said.order.is_empty() {
                return;
            }
            // None of them is called: the campaign's exit decides.
            let hunted = Hunted {
                is_judged: true,
                ..Hunted::default()
            };
            let next = cause_of_hunt(hunted.outcome());
            if story.facts.campaign.exits.of(next).is_none() {
                let outcome = hunted.outcome();
                said.refused = Some(Refused {
                    status: Call::status_for(self.trunk, outcome),
                    reason: outcome.label().to_owned(),
                });
                return;
            }
            cause = Some(next);
        }
    }

    /// Those who are tried have their turns, step by step.
    fn call(&self, said: &mut Explanation, story: &mut Story, lineup: &Lineup) {
        let mut place = 0;
        for step in 1.. {
            let most = lineup.joined.width(place, self.policy.hunt.at_once);
            let Some(together) = lineup.buyers.run(place, most) else {
                return;
            };
            let width = width(self.trunk, &together).max(1);
            let mut taken = Taken::of(self.counters);
            for buyer in together.iter().take(width) {
                let facts = &story.facts;
                let verdict = recheck(self.at, facts, &taken, &facts.campaign, buyer);
                // Those who are called at once take places of their groups, and of the number, one after another.
                if verdict.is_full() {
                    said.passed.push(verdict_said(buyer, &verdict));
                    continue;
                }
                taken.take(&Claim::of(buyer, facts.number_claim()));
                self.turn(said, story, (buyer, step));
            }
            place += width;
        }
    }

    /// A buyer's turn comes; it is passed over if what it wants to be known just before it is called is not.
    fn turn(&self, said: &mut Explanation, story: &mut Story, (buyer, step): (&Arc<Buyer>, usize)) {
        story.facts.tried.push(buyer.id.clone());
        story.note_buyer(buyer);
        let webhooks = self.webhooks(story, Trigger::Selected);
        let is_waited_for = self.answer(story, Trigger::Selected);
        if let Err(mismatch) = forward(&story.facts, buyer)
            && !(is_waited_for && self.answers.is_none())
        {
            let (key, want) = buyer.rules.forward.want(&mismatch);
            said.passed.push(VerdictSaid {
                buyer: buyer.id.to_string(),
                verdict: FORWARD.into(),
                want: Some(format!("{key}:{want}")),
                have: Some(mismatch.have.to_string()),
            });
            return;
        }
        said.order
            .push(self.buyer_said(story, (buyer, step), webhooks));
    }

    /// Takes in what the webhooks of a trigger answer. `true`: one of them is waited for.
    fn answer(&self, story: &mut Story, trigger: Trigger) -> bool {
        let Some(hooks) = story.hooks.clone() else {
            return false;
        };
        let mut is_waited_for = false;
        let due: Vec<_> = {
            let seen = story.seen();
            let due = self.firing(story, &seen).due(&hooks, trigger);
            due.take(MOST_PINGS).cloned().collect()
        };
        for webhook in due {
            is_waited_for |= trigger == Trigger::Start || webhook.holds_call;
            let mut answers = self.answers.unwrap_or_default().iter();
            let answer = answers.find(|one| *one.webhook == *webhook.id);
            if let Some(answer) = answer.filter(|one| (200..300).contains(&one.status)) {
                let body = answer.body.as_bytes();
                // What of it is no tag is told by the record of a live call.
                let _ = reply::apply(body, &webhook.output, &mut story.facts.tags);
            }
        }
        is_waited_for
    }

    fn firing<'s>(&'s self, story: &Story, seen: &'s Seen<'s>) -> Firing<'s> {
        Firing {
            facts: seen,
            caller: story.facts.caller,
            past: self.memory,
            now: self.at,
        }
    }

    fn refusal(&self, decision: &Decision) -> Option<Refused> {
        let refused = decision.refused.as_ref()?;
        let outcome = outcome_of_cause(refused.cause);
        let answer = refused.answer.as_ref();
        let status = answer.and_then(|answer| answer.status);
        let reason = answer.and_then(|answer| answer.reason.as_deref());
        Some(Refused {
            status: status.unwrap_or_else(|| Call::status_for(self.trunk, outcome)),
            reason: reason.unwrap_or(outcome.label()).to_owned(),
        })
    }

    fn webhooks(&self, story: &Story, trigger: Trigger) -> Vec<HookSaid> {
        let Some(hooks) = &story.hooks else {
            return Vec::new();
        };
        let seen = story.seen();
        let due = self.firing(story, &seen).due(hooks, trigger);
        due.map(|webhook| HookSaid {
            webhook: webhook.id.to_string(),
            method: webhook.method.as_str().into(),
            url: shown_url(webhook, &seen).unwrap_or_else(|_| "too long".to_owned()),
        })
        .collect()
    }

    fn buyer_said(
        &self,
        story: &Story,
        (buyer, step): (&Buyer, usize),
        webhooks: Vec<HookSaid>,
    ) -> BuyerSaid {
        let order = buyer.order(&self.uuid.text());
        let gateways = order
            .iter()
            .filter_map(|place| buyer.gateways.get(usize::from(*place)));
        let headers = RetreaverHeaders {
            uuid: &self.uuid.text(),
            key: b"REDACTED",
            afid: &story.facts.source.afid,
            sid: story.facts.source.sid.as_deref(),
            profile: buyer.x_ph_profile,
        };
        let own = buyer.headers.set.iter();
        let own = own.map(|(name, value)| format!("{name}: {value}"));
        BuyerSaid {
            buyer: buyer.id.to_string(),
            step,
            uris: gateways.map(|gateway| gateway.uri.to_string()).collect(),
            headers: lines(&headers).into_iter().chain(own).collect(),
            webhooks,
        }
    }
}

fn past_said(call: &Remembered) -> PastSaid {
    let answered = call.answered.as_ref();
    let converted = call.converted.as_ref();
    PastSaid {
        campaign: call.campaign.to_string(),
        buyer: answered.map(|(buyer, _)| buyer.to_string()),
        answered: answered.map(|(_, at)| at.to_string()),
        converted: converted.map(|(_, at)| at.to_string()),
    }
}

/// The headers as they go over the wire.
fn lines(headers: &RetreaverHeaders<'_>) -> Vec<String> {
    let mut buffer = Vec::new();
    let mut writer = Writer::request(&mut buffer, Method::Invite, b"sip:x.invalid");
    headers.write(&mut writer);
    let message = writer.finish(b"").unwrap_or_default();
    let message = String::from_utf8_lossy(&message);
    let lines = message.lines().filter(|line| line.starts_with("X-PH-"));
    lines.map(str::to_owned).collect()
}

fn look_said(look: &Look) -> LookSaid {
    let buyers = look.iter();
    let buyers = buyers.map(|(buyer, verdict)| verdict_said(buyer, verdict));
    LookSaid {
        campaign: look.campaign.id.to_string(),
        exit: look.exit.map(|cause| cause.label().into()),
        buyers: buyers.collect(),
    }
}

fn verdict_said(buyer: &Buyer, verdict: &Verdict) -> VerdictSaid {
    let (want, have) = verdict.want_have(buyer).unzip();
    VerdictSaid {
        buyer: buyer.id.to_string(),
        verdict: verdict.label().into(),
        want: want.map(Cow::into_owned),
        have: have.map(Cow::into_owned),
    }
}
