//! `strowger explain`: a question of the command line, asked of a configuration.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::call::explain::{Explanation, Question, explain};
use crate::call::memory::{Memory, Remembered};
use crate::call::policy::Policy;
use crate::edge::disk;
use crate::net::clock;
use crate::routing::caps::Unknown;
use crate::routing::trunk::Trunk;
use crate::types::ids::{CallUuid, Entropy};
use crate::types::moment::Moment;

/// What the command line asks.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// What would be dialled.
    pub to: String,
    /// Who would call.
    pub from: Option<String>,
    /// The trunk's id; `None`: the only one whose company has the number, or the only one there is.
    pub trunk: Option<String>,
    /// When, RFC 3339; `None`: now.
    pub at: Option<String>,
    /// The call's UUID; `None`: a new one.
    pub uuid: Option<String>,
    /// `key=value`.
    pub tags: Vec<String>,
    /// Earlier calls of the caller: `BUYER`, `BUYER@TIME`, with `,converted` or `,converted=GROUP` and `,campaign=ID`.
    pub past: Vec<String>,
}

/// Why a question cannot be answered.
#[derive(Debug, Error)]
pub enum NoAnswer {
    /// There is no such trunk.
    #[error("there is no trunk `{0}`; there are: {1}")]
    NoTrunk(String, String),
    /// There are several.
    #[error("say by which trunk the call would come, with --trunk: {0}")]
    WhichTrunk(String),
    /// It is no time.
    #[error("`{0}` is no time; write 2024-11-04T09:00:00-05:00")]
    NoTime(String),
    /// It is no UUID.
    #[error("`{0}` is no UUID")]
    NoUuid(String),
    /// It is no tag.
    #[error("`{0}` is no tag; write key=value")]
    NoTag(String),
    /// It is no earlier call.
    #[error(
        "`{0}` is no earlier call; write BUYER, or BUYER@2024-11-03T09:00:00Z, and perhaps ,converted=GROUP or ,campaign=ID"
    )]
    NoPast(String),
    /// The system gives no random numbers.
    #[error("the system refuses: {0}")]
    System(#[from] std::io::Error),
}

/// Answers it.
///
/// # Errors
///
/// When the question is not one.
pub fn answer(policy: &Policy, ask: &Ask) -> Result<Explanation, NoAnswer> {
    let trunk = trunk(policy, ask)?;
    let at = match &ask.at {
        Some(text) => text.parse().map_err(|_| NoAnswer::NoTime(text.clone()))?,
        None => clock::moment(),
    };
    let uuid = match &ask.uuid {
        Some(text) => CallUuid::parse(text).ok_or_else(|| NoAnswer::NoUuid(text.clone()))?,
        None => CallUuid::new(&mut Entropy::from_seed(disk::draw()?)),
    };
    let tags = ask.tags.iter().map(|text| {
        let pair = text.split_once('=');
        let pair = pair.map(|(key, value)| (key.to_owned(), value.to_owned()));
        pair.ok_or_else(|| NoAnswer::NoTag(text.clone()))
    });
    let tags: Vec<_> = tags.collect::<Result<_, _>>()?;
    let earlier = Earlier {
        campaign: campaign(policy, trunk, &ask.to),
        at,
    };
    let mut memory = Memory::default();
    for (number, text) in (1..=u8::MAX).zip(&ask.past) {
        let call = earlier.read(text, number);
        memory.add(call.ok_or_else(|| NoAnswer::NoPast(text.clone()))?);
    }
    Ok(explain(&Question {
        policy,
        trunk,
        to: &ask.to,
        from: ask.from.as_deref(),
        at,
        uuid,
        tags: &tags,
        memory: &memory,
        counters: &Unknown,
    }))
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

fn trunk<'p>(policy: &'p Policy, ask: &Ask) -> Result<&'p Arc<Trunk>, NoAnswer> {
    let names = || {
        let ids: Vec<&str> = policy.trunks.iter().map(|trunk| &*trunk.id).collect();
        ids.join(", ")
    };
    if let Some(id) = &ask.trunk {
        let found = policy.trunks.iter().find(|trunk| *trunk.id == **id);
        return found.ok_or_else(|| NoAnswer::NoTrunk(id.clone(), names()));
    }
    // A trunk may dial the numbers of its own company only.
    let directory = &policy.directory;
    let owns = |trunk: &&Arc<Trunk>| {
        let number = trunk.plan.normalize(ask.to.as_bytes()).ok();
        let line = number.and_then(|number| directory.numbers.get(&number));
        let campaign = line.and_then(|line| directory.campaigns.get(line.campaign.0 as usize));
        campaign.is_some_and(|campaign| campaign.company == trunk.company)
    };
    let mut owners = policy.trunks.iter().filter(owns);
    match (owners.next(), owners.next(), &policy.trunks[..]) {
        (Some(only), None, _) | (None, _, [only]) => Ok(only),
        _ => Err(NoAnswer::WhichTrunk(names())),
    }
}
