//! By which trunk a call would come, if nobody says so.

use std::sync::Arc;

use thiserror::Error;

use crate::call::policy::Policy;
use crate::routing::trunk::Trunk;

/// Why it cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoTrunk {
    /// There is no such trunk.
    #[error("there is no trunk `{0}`; there are: {1}")]
    Unknown(String, String),
    /// There are several.
    #[error("the call may come by any of these trunks: {0}")]
    Several(String),
}

/// The trunk that is named; if none is, the only one whose company has the number dialled, or the only one there is.
///
/// # Errors
///
/// When there is none of the name, or it could be several.
pub fn trunk_for<'p>(
    policy: &'p Policy,
    to: &str,
    id: Option<&str>,
) -> Result<&'p Arc<Trunk>, NoTrunk> {
    let names = || {
        let ids: Vec<&str> = policy.trunks.iter().map(|trunk| &*trunk.id).collect();
        ids.join(", ")
    };
    if let Some(id) = id {
        let found = policy.trunks.iter().find(|trunk| *trunk.id == *id);
        return found.ok_or_else(|| NoTrunk::Unknown(id.to_owned(), names()));
    }
    // A trunk may dial the numbers of its own company only.
    let directory = &policy.directory;
    let owns = |trunk: &&Arc<Trunk>| {
        let number = trunk.plan.normalize(to.as_bytes()).ok();
        let line = number.and_then(|number| directory.numbers.get(&number));
        let campaign = line.and_then(|line| directory.campaigns.get(line.campaign.0 as usize));
        campaign.is_some_and(|campaign| campaign.company == trunk.company)
    };
    let mut owners = policy.trunks.iter().filter(owns);
    match (owners.next(), owners.next(), &policy.trunks[..]) {
        (Some(only), None, _) | (None, _, [only]) => Ok(only),
        _ => Err(NoTrunk::Several(names())),
    }
}
