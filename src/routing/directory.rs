//! The routing table: numbers, campaigns, publishers, buyers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::routing::buyer::Buyer;
use crate::routing::trunk::CompanyId;
use crate::types::number::Number;
use crate::types::secret::Secret;

/// All that routing knows. Replaced as a whole, never changed.
#[derive(Default)]
pub struct Directory {
    /// Companies, by [`CompanyId`].
    pub companies: Vec<Company>,
    /// All buyers, by id.
    pub buyers: BTreeMap<Arc<str>, Arc<Buyer>>,
    /// Campaigns, by [`CampaignId`].
    pub campaigns: Vec<Arc<Campaign>>,
    /// Pairs of publisher and sub id that numbers use, by [`SourceId`].
    pub sources: Vec<Source>,
    /// What each number stands for.
    pub numbers: HashMap<Number, Line>,
}

/// One company: the owner of numbers, campaigns and buyers.
pub struct Company {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// What its call keys are made with.
    pub key_secret: Secret,
}

/// One campaign.
#[derive(Debug)]
pub struct Campaign {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// Its owner.
    pub company: CompanyId,
    /// Its buyers, in order of priority, then of the configuration.
    pub buyers: Arc<[Arc<Buyer>]>,
}

/// Who sent the caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// The publisher's id.
    pub afid: Arc<str>,
    /// The sub-publisher's id, if one is set.
    pub sid: Option<Arc<str>>,
}

/// What a number stands for; 8 bytes, so that a million numbers stay small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its publisher and sub id.
    pub source: SourceId,
}

/// Place in [`Directory::campaigns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CampaignId(pub u32);

/// Place in [`Directory::sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);
