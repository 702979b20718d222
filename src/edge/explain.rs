//! `strowger explain`: a question of the command line or of a program, asked of a configuration or of a running edge.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::call::explain::{Answered, Explanation, NoTrunk, Question, explain, trunk_for};
use crate::call::memory::{Memory, Remembered};
use crate::call::policy::Policy;
use crate::edge::disk;
use crate::net::ask::{NotAnswered, post};
use crate::net::clock;
use crate::routing::caps::{Counters, Party, Stated};
use crate::routing::trunk::Trunk;
use crate::routing::window::Span;
use crate::types::ids::{CallUuid, Entropy};
use crate::types::moment::Moment;

/// What is asked; as JSON, the body of `POST /v1/explain`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// What would be dialled.
    pub to: String,
    /// Who would call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The trunk's id; `None`: the only one whose company has the number, or the only one there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// When, RFC 3339; `None`: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The call's UUID; `None`: a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// `key=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Earlier calls of the caller: `BUYER`, `BUYER@TIME`, with `,converted` or `,converted=GROUP` and `,campaign=ID`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<String>,
    /// `webhook=JSON`: what webhooks answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<String>,
    /// `buyer=number` or `group:id=number`: calls at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
    /// `buyer.day=number`, `group:id.hour=number` or `number:+12125550101.day=number`: calls that count in a window.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counted: Vec<String>,
}

/// Why a question cannot be answered.
#[derive(Debug, Error)]
pub enum NoAnswer {
    /// Nobody knows by which trunk the call would come.
    #[error("{0}; say which with --trunk")]
    Trunk(#[from] NoTrunk),
    /// It is no time.
    #[error("`{0}` is no time; write 2024-11-04T09:00:00-05:00")]
    NoTime(String),
    /// It is no UUID.
    #[error("`{0}` is no UUID")]
    NoUuid(String),
    /// It is no tag.
    #[error("`{0}` is no tag; write key=value")]
    NoTag(String),
    /// It is no answer of a webhook.
    #[error("`{0}` is no answer of a webhook; write id={{\"key\": \"value\"}}")]
    NoReply(String),
    /// It does not say how many calls count.
    #[error("`{0}` is no count; write buyer=10 for calls at once, and buyer.day=100 in a window")]
    NoCount(String),
    /// It is no earlier call.
    #[error(
        "`{0}` is no earlier call; write BUYER, or BUYER@2024-11-03T09:00:00Z, and perhaps ,converted=GROUP or ,campaign=ID"
    )]
    NoPast(String),
    /// The system gives no random numbers.
    #[error("the system refuses: {0}")]
    System(#[from] std::io::Error),
}

/// Why a running edge does not answer.
#[derive(Debug, Error)]
pub enum NotExplained {
    /// It does not answer at all.
    #[error(transparent)]
    NotAnswered(#[from] NotAnswered),
    /// It answers, but not that.
    #[error("{0}")]
    Refused(String),
    /// The question cannot be written.
    #[error(transparent)]
    Unwritable(#[from] serde_json::Error),
}

/// Asks the running edge whose admin API is at `edge`; the answer is an [`Explanation`] in JSON.
///
/// # Errors
///
/// When it does not answer, or refuses.
pub fn answer_of(edge: &str, token: &str, ask: &Ask) -> Result<String, NotExplained> {
    let body = serde_json::to_vec(ask)?;
    let (status, body) = post(edge, "/v1/explain", token, body)?;
    let text = String::from_utf8_lossy(&body);
    if status == 200 {
        return Ok(text.trim_end().to_owned());
    }
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let what = said.get("what").and_then(Value::as_str);
    let what = what.unwrap_or("it does not say why");
    // A server may say what it likes, and this goes to a terminal.
    let what = what.escape_debug();
    Err(NotExplained::Refused(format!(
        "{edge} answers {status}: {what}"
    )))
}

/// Answers it, by the counters that it states.
///
/// # Errors
///
/// When the question is not one.
pub fn answer(policy: &Policy, ask: &Ask) -> Result<Explanation, NoAnswer> {
    let stated = ask.stated(policy)?;
    ask.explain(policy, &stated)
}

impl Ask {
    /// Answers it, by these counters.
    pub(super) fn explain(
        &self,
        policy: &Policy,
        counters: &dyn Counters,
    ) -> Result<Explanation, NoAnswer> {
        let trunk = trunk_for(policy, &self.to, self.trunk.as_deref())?;
        let at = match &self.at {
            Some(text) => text.parse().map_err(|_| NoAnswer::NoTime(text.clone()))?,
            None => clock::moment(),
        };
        let uuid = match &self.uuid {
            Some(text) => CallUuid::parse(text).ok_or_else(|| NoAnswer::NoUuid(text.clone()))?,
            None => CallUuid::new(&mut Entropy::from_seed(disk::draw()?)),
        };
        let tags = pairs(&self.tags, NoAnswer::NoTag)?;
        let answers = pairs(&self.answers, NoAnswer::NoReply)?.into_iter();
        let answers = answers.map(|(webhook, body)| Answered {
            webhook,
            status: 200,
            body,
        });
        let answers: Vec<_> = answers.collect();
        let earlier = Earlier {
            campaign: campaign(policy, trunk, &self.to),
            at,
        };
        let mut memory = Memory::default();
        for (number, text) in (1..=u8::MAX).zip(&self.past) {
            let call = earlier.read(text, number);
            memory.add(call.ok_or_else(|| NoAnswer::NoPast(text.clone()))?);
        }
        Ok(explain(&Question {
            policy,
            trunk,
            to: &self.to,
            from: self.from.as_deref(),
            at,
            uuid,
            tags: &tags,
            answers: (!answers.is_empty()).then_some(&answers),
            memory: &memory,
            counters,
        }))
    }

    /// Whether it says how many calls count.
    pub(super) fn states_counts(&self) -> bool {
        !self.calls.is_empty() || !self.counted.is_empty()
    }

    /// The counters that it states.
    pub(super) fn stated(&self, policy: &Policy) -> Result<Stated, NoAnswer> {
        let mut stated = Stated::default();
        let party = |name: &str| Party::named(name, &policy.directory);
        for (text, (name, count)) in self
            .calls
            .iter()
            .zip(pairs(&self.calls, NoAnswer::NoCount)?)
        {
            let found = party(&name).zip(count.parse().ok());
            let (party, count) = found.ok_or_else(|| NoAnswer::NoCount(text.clone()))?;
            stated.calls.insert(party, count);
        }
        let counted = pairs(&self.counted, NoAnswer::NoCount)?;
        for (text, (name, count)) in self.counted.iter().zip(counted) {
            let found = name.rsplit_once('.').and_then(|(name, span)| {
                let span = Span::ALL.into_iter().find(|one| one.label() == span)?;
                Some(((party(name)?, span), count.parse().ok()?))
            });
            let (key, count) = found.ok_or_else(|| NoAnswer::NoCount(text.clone()))?;
            stated.counted.insert(key, count);
        }
        Ok(stated)
    }
}

/// What an earlier call is, unless something else is said.
struct Earlier {
    campaign: Arc<str>,
    at: Moment,
}

impl Earlier {
    /// Reads the call of this number; `None`: it is none.
    fn read(&self, text: &str, number: u8) -> Option<Remembered> {
        let mut parts = text.split(',');
        let first = parts.next()?;
        let (buyer, at) = match first.split_once('@') {
            Some((buyer, at)) => (buyer, at.parse().ok()?),
            None => (first, self.at.before(Duration::from_secs(1))),
        };
        let uuid = CallUuid::from_bytes([number; 16]);
        let mut call = Remembered::new(uuid, Arc::clone(&self.campaign));
        if buyer.is_empty() {
            return None;
        }
        call.answered = Some((buyer.into(), at));
        for part in parts {
            match part.split_once('=') {
                None if part == "converted" => call.converted = Some(("".into(), at)),
                Some(("converted", group)) => call.converted = Some((group.into(), at)),
                Some(("campaign", id)) => call.campaign = id.into(),
                _ => return None,
            }
        }
        Some(call)
    }
}

/// The id of the campaign of a number; empty: there is none.
fn campaign(policy: &Policy, trunk: &Trunk, to: &str) -> Arc<str> {
    let directory = &policy.directory;
    let number = trunk.plan.normalize(to.as_bytes()).ok();
    let line = number.and_then(|number| directory.numbers.get(&number));
    let campaign = line.and_then(|line| directory.campaigns.get(line.campaign.0 as usize));
    campaign
        .map(|campaign| Arc::clone(&campaign.id))
        .unwrap_or_default()
}

/// Splits each text at its first `=`.
fn pairs(
    texts: &[String],
    fault: fn(String) -> NoAnswer,
) -> Result<Vec<(String, String)>, NoAnswer> {
    let pairs = texts.iter().map(|text| {
        let pair = text.split_once('=');
        let pair = pair.map(|(key, value)| (key.to_owned(), value.to_owned()));
        pair.ok_or_else(|| fault(text.clone()))
    });
    pairs.collect()
}
