//! Reads call records back: one line in, what the call was decided by and what came of it out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::call::course::{Asked, Turn};
use crate::call::memory::{Memory, Remembered};
use crate::call::record::{Outcome, PHONE_ONLY, Side};
use crate::call::replay::{Fate, Happened, Held, Known, Last, Passed, Said, WhyPassed};
use crate::hooks::conversion::Posted;
use crate::routing::caps::Party;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::number::{NotANumber, Number};
use crate::types::tag::Origin;

/// A record that was read.
#[derive(Debug)]
pub struct Recorded {
    /// All that the call was decided by.
    pub call: Happened,
    /// The trunk's id.
    pub trunk: String,
    /// The company whose number was dialled; `None`: it is not said.
    pub company: Option<String>,
    /// The campaign's id.
    pub campaign: Option<String>,
    /// The publisher's id.
    pub afid: Option<String>,
    /// The sub id.
    pub sid: Option<String>,
    /// What was decided, as [`decision`](crate::telemetry::record::decision) writes it.
    pub decisions: Vec<Value>,
    /// The webhooks that fired, in order: id and trigger.
    pub webhooks: Vec<(String, String)>,
    /// What it came to, as [`conversion`](crate::telemetry::record::conversion) writes it.
    pub conversion: Value,
}

/// Why a line cannot be used.
#[derive(Debug, Error)]
pub enum Unusable {
    /// It is no JSON, or something else than a record.
    #[error("is no call record: {0}")]
    NotARecord(#[from] serde_json::Error),
    /// A value is none of those that records have.
    #[error("is no call record: `{0}` is not what records have there")]
    Value(&'static str),
    /// It says how the call was decided, but not by what.
    #[error("does not say by what it was decided: an earlier version wrote it")]
    Earlier,
    /// The edge ended before the call did: the record does not say all by which it was decided.
    #[error("is that of a call that a restart cut off, or in two")]
    CutOff,
}

/// Reads one line.
///
/// # Errors
///
/// When it is no record, or one that does not hold what is needed.
pub fn read(line: &[u8]) -> Result<Recorded, Unusable> {
    let line: Line = serde_json::from_slice(line)?;
    if line.outcome == "edge_restarted" {
        return Err(Unusable::CutOff);
    }
    let bad = Unusable::Value;
    let number = |text: &Option<String>, what| match text {
        None => Ok(None),
        Some(text) => match Number::from_e164(text.as_bytes()) {
            Some(number) => Ok(Some(number)),
            None => Err(bad(what)),
        },
    };
    let dialled = number(&line.dialled, "dialled")?.ok_or(match line.outcome.as_str() {
        "number_incomplete" => NotANumber::TooShort,
        _ => NotANumber::Invalid,
    });
    let began: Moment = line.began.parse().map_err(|_| bad("began"))?;
    let (mut at, mut course, mut company) = (began, None, None);
    let (mut decisions, mut webhooks, mut conversion) = (Vec::new(), Vec::new(), Value::Null);
    if let Some(mut routing) = line.routing {
        if routing.taken_up {
            return Err(Unusable::CutOff);
        }
        let text = routing.at.as_deref().ok_or(Unusable::Earlier)?;
        at = text.parse().map_err(|_| bad("at"))?;
        decisions = std::mem::take(&mut routing.decisions);
        let fired = std::mem::take(&mut routing.webhooks);
        let failed = failed(&fired);
        let fired = fired.into_iter();
        webhooks = fired.map(|one| (one.webhook, one.trigger)).collect();
        conversion = routing.conversion.take();
        company = routing.company.take();
        let known = routing.known(at, &mut decisions)?;
        course = Some(Known { failed, ..known });
    }
    let spans = |millis: Option<u64>| Duration::from_millis(millis.unwrap_or_default());
    let attempts = line.attempts.into_iter();
    let mut attempts: Vec<_> = attempts
        .map(|one| (Arc::from(one.buyer), fate(&one.result)))
        .collect();
    if line.outcome == Outcome::VendorSilent.label()
        && let Some((_, fate)) = attempts.last_mut()
    {
        // Nobody knows what it came to, and the call was over with that.
        *fate = Fate::Cancelled;
    }
    let call = Happened {
        uuid: CallUuid::parse(&line.uuid).ok_or(bad("uuid"))?,
        dialled,
        caller: number(&line.caller, "caller")?,
        at,
        node: line.node.into(),
        generation: line.generation,
        course,
        attempts,
        passed: line.skipped.into_iter().map(Skip::read).collect(),
        last: Last {
            outcome: line.outcome.into(),
            status: line.status.unwrap_or_default(),
            talk: line.setup_ms.map(|_| spans(line.talk_ms)),
            total: spans(line.total_ms),
            hung_up_by: side(&line.hung_up_by),
        },
    };
    Ok(Recorded {
        call,
        trunk: line.trunk,
        company,
        campaign: line.campaign,
        afid: line.afid,
        sid: line.sid,
        decisions: decisions.into_iter().map(Value::Object).collect(),
        webhooks,
        conversion,
    })
}

#[derive(Deserialize)]
struct Line {
    uuid: String,
    began: String,
    outcome: String,
    status: Option<u16>,
    hung_up_by: String,
    trunk: String,
    dialled: Option<String>,
    caller: Option<String>,
    campaign: Option<String>,
    afid: Option<String>,
    sid: Option<String>,
    setup_ms: Option<u64>,
    talk_ms: Option<u64>,
    total_ms: Option<u64>,
    attempts: Vec<Tried>,
    skipped: Vec<Skip>,
    routing: Option<Routing>,
    node: String,
    generation: u64,
}

#[derive(Deserialize)]
struct Tried {
    buyer: String,
    result: String,
}

#[derive(Deserialize)]
struct Skip {
    buyer: String,
    why: String,
    limit: Option<Limit>,
}

#[derive(Deserialize)]
struct Limit {
    of: String,
    id: String,
    kind: String,
    have: u32,
}

#[derive(Deserialize)]
struct Routing {
    company: Option<String>,
    at: Option<String>,
    past: Option<MemoryRead>,
    tags: Vec<TagRead>,
    #[serde(default)]
    before: Vec<StateRead>,
    decisions: Vec<Map<String, Value>>,
    #[serde(default)]
    taken_up: bool,
    #[serde(default)]
    resumed: Vec<Resumed>,
    #[serde(default)]
    waited: Value,
    #[serde(default)]
    turns: Vec<TurnRead>,
    answer_state: Option<u16>,
    known: Option<KnownRead>,
    ringing_ms: Option<u64>,
    webhooks: Vec<Fired>,
    posted: Option<PostedRead>,
    #[serde(default)]
    conversion: Value,
}

#[derive(Deserialize)]
struct MemoryRead {
    known: bool,
    calls: Vec<Earlier>,
}

#[derive(Deserialize)]
struct Earlier {
    uuid: String,
    campaign: String,
    buyer: Option<String>,
    answered: Option<String>,
    group: Option<String>,
    converted: Option<String>,
    webhooks: Vec<FiredBefore>,
}

#[derive(Deserialize)]
struct FiredBefore {
    webhook: String,
    at: String,
}

#[derive(Deserialize)]
struct TagRead {
    key: String,
    value: String,
    origin: String,
}

#[derive(Deserialize)]
struct StateRead {
    until_ms: u64,
    past: Option<MemoryRead>,
    tags: Vec<TagRead>,
}

#[derive(Deserialize)]
struct Resumed {
    buyer: String,
}

#[derive(Deserialize)]
struct KnownRead {
    at_ms: u64,
    ms: u64,
}

#[derive(Deserialize)]
struct TurnRead {
    buyer: String,
    at_ms: u64,
    state: u16,
    told: Option<u16>,
    forward: Option<u16>,
}

#[derive(Deserialize)]
struct Fired {
    webhook: String,
    trigger: String,
    result: String,
}

#[derive(Deserialize)]
struct PostedRead {
    converted: Option<bool>,
    payout: Option<String>,
    revenue: Option<String>,
}

impl Routing {
    /// What the call was decided by. What is said of it besides is taken out of the decisions.
    fn known(self, at: Moment, decisions: &mut [Map<String, Value>]) -> Result<Known, Unusable> {
        let later = |millis| at.after(Duration::from_millis(millis));
        let mut names = BTreeMap::new();
        let mut name = |text: String| -> Arc<str> {
            Arc::clone(
                names
                    .entry(text)
                    .or_insert_with_key(|text| text.as_str().into()),
            )
        };
        let mut states = Vec::with_capacity(self.before.len() + 1);
        for state in self.before {
            states.push(Held {
                until: Some(later(state.until_ms)),
                tags: said(state.tags)?,
                memory: state.past.map(MemoryRead::read).transpose()?,
            });
        }
        states.push(Held {
            until: None,
            tags: said(self.tags)?,
            memory: self.past.map(MemoryRead::read).transpose()?,
        });
        let mut asked = Vec::with_capacity(decisions.len());
        for decision in decisions {
            let mut take = |key: &str| decision.remove(key)?.as_u64();
            let (at, state) = (take("at_ms"), take("state"));
            asked.push(Asked {
                at: later(at.ok_or(Unusable::Earlier)?),
                state: state
                    .and_then(|state| u16::try_from(state).ok())
                    .ok_or(Unusable::Value("state"))?,
            });
        }
        let resumed = self
            .resumed
            .into_iter()
            .map(|one| name(one.buyer))
            .collect();
        let turns = self.turns.into_iter().map(|turn| Turn {
            buyer: name(turn.buyer),
            asked: Asked {
                at: later(turn.at_ms),
                state: turn.state,
            },
            told: turn.told,
            forward: turn.forward,
        });
        Ok(Known {
            turns: turns.collect(),
            states,
            decisions: asked,
            answer: self.answer_state,
            answer_known: self
                .known
                .map(|known| (later(known.at_ms), Duration::from_millis(known.ms))),
            resumed,
            has_waited: !self.waited.is_null(),
            ringing: self.ringing_ms.map(Duration::from_millis),
            failed: Vec::new(),
            posted: self
                .posted
                .map(PostedRead::read)
                .transpose()?
                .unwrap_or_default(),
        })
    }
}

impl MemoryRead {
    fn read(self) -> Result<(Memory, bool), Unusable> {
        let bad = || Unusable::Value("past");
        let moment = |text: &str| text.parse::<Moment>().map_err(|_| bad());
        let pair = |id: Option<String>, at: Option<String>| match (id, at) {
            (Some(id), Some(at)) => Ok(Some((Arc::from(id), moment(&at)?))),
            (None, None) => Ok(None),
            (Some(_), None) | (None, Some(_)) => Err(bad()),
        };
        let mut memory = Memory::default();
        for call in self.calls {
            let mut fired = Vec::with_capacity(call.webhooks.len());
            for one in call.webhooks {
                fired.push((Arc::from(one.webhook), moment(&one.at)?));
            }
            memory.add(Remembered {
                uuid: CallUuid::parse(&call.uuid).ok_or_else(bad)?,
                campaign: call.campaign.into(),
                answered: pair(call.buyer, call.answered)?,
                converted: pair(call.group, call.converted)?,
                fired,
            });
        }
        Ok((memory, self.known))
    }
}

impl PostedRead {
    fn read(self) -> Result<Posted, Unusable> {
        let money = |text: Option<String>| match text {
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| Unusable::Value("posted")),
            None => Ok(None),
        };
        Ok(Posted {
            converted: self.converted,
            payout: money(self.payout)?,
            revenue: money(self.revenue)?,
        })
    }
}

impl Skip {
    fn read(self) -> Passed {
        let why = match (self.limit, self.why.as_str()) {
            (Some(limit), _) => WhyPassed::Full {
                party: match limit.of.as_str() {
                    "group" => Party::Group(limit.id.into()),
                    "number" => Party::Number(limit.id.into()),
                    _ => Party::Buyer(limit.id.into()),
                },
                kind: limit.kind.into(),
                have: limit.have,
            },
            (None, "gateway_down") => WhyPassed::Down,
            (None, "limit_unknown") => WhyPassed::Unknown,
            (None, PHONE_ONLY) => WhyPassed::Phone,
            (None, judged) => WhyPassed::Judged(judged.into()),
        };
        Passed {
            buyer: self.buyer.into(),
            why,
        }
    }
}

/// The webhooks by which nobody was told, each with how often it had fired before.
fn failed(fired: &[Fired]) -> Vec<(Arc<str>, usize)> {
    let is_told = |one: &&Fired| ["sent", "answered", "timeout", "queued"].contains(&&*one.result);
    let all = (0..).zip(fired).filter(|(_, one)| !is_told(one));
    let failed = all.map(|(place, one)| {
        let before = fired.iter().take(place);
        let turn = before.filter(|other| other.webhook == one.webhook).count();
        (Arc::from(one.webhook.as_str()), turn)
    });
    failed.collect()
}

fn said(tags: Vec<TagRead>) -> Result<Vec<Said>, Unusable> {
    let tags = tags.into_iter().map(|tag| {
        let origin = Origin::named(&tag.origin).ok_or(Unusable::Value("origin"))?;
        Ok(Said {
            key: tag.key,
            value: tag.value,
            origin,
        })
    });
    tags.collect()
}

fn fate(result: &str) -> Fate {
    match result {
        "answered" => Fate::Answered,
        "busy" => Fate::Busy,
        "cancelled" | "lost_race" => Fate::Cancelled,
        _ => Fate::Failed,
    }
}

fn side(label: &str) -> Option<&'static str> {
    let sides = [Side::Caller, Side::Buyer, Side::Edge];
    sides
        .into_iter()
        .map(Side::label)
        .find(|known| *known == label)
}

#[cfg(test)]
mod tests;
