//! `strowger explain`: a question of the command line, asked of a configuration.

use std::sync::Arc;

use thiserror::Error;

use crate::call::explain::{Explanation, Question, explain};
use crate::call::policy::Policy;
use crate::edge::disk;
use crate::net::clock;
use crate::routing::caps::Unknown;
use crate::routing::trunk::Trunk;
use crate::types::ids::{CallUuid, Entropy};

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
    Ok(explain(&Question {
        policy,
        trunk,
        to: &ask.to,
        from: ask.from.as_deref(),
        at,
        uuid,
        tags: &tags,
        counters: &Unknown,
    }))
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
