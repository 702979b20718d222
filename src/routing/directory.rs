//! The routing table: numbers, campaigns, publishers, buyers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::routing::buyer::Buyer;
use crate::routing::callers::Lists;
use crate::routing::campaign::Campaign;
use crate::routing::caps::Quota;
use crate::routing::rules::Schedule;
use crate::routing::trunk::CompanyId;
use crate::types::number::Number;
use crate::types::secret::Secret;
use crate::types::tag::Tags;

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
    /// What else numbers say, by [`TermsId`]; many numbers share one.
    pub terms: Vec<Terms>,
    /// What each number stands for.
    pub numbers: HashMap<Number, Line>,
}

/// One company: the owner of numbers, campaigns and buyers.
pub struct Company {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// What its call keys are made with.
    pub key_secret: Secret,
    /// Which callers it takes.
    pub callers: Lists,
}

impl Directory {
    /// What else a number says; nothing but that it is in use, if no number says this.
    #[must_use]
    pub fn terms(&self, id: TermsId) -> &Terms {
        static USUAL: Terms = Terms::USUAL;
        let place = id.0.checked_sub(1).map(|place| place as usize);
        place
            .and_then(|place| self.terms.get(place))
            .unwrap_or(&USUAL)
    }

    /// The company of this id.
    #[must_use]
    pub fn company(&self, id: &str) -> Option<CompanyId> {
        let mut companies = self.companies.iter();
        let place = companies.position(|company| *company.id == *id)?;
        u16::try_from(place).ok().map(CompanyId)
    }

    /// How many calls a number takes; `None`: any, or there is no such number.
    #[must_use]
    pub fn quota_of(&self, number: Number) -> Option<&Arc<Quota>> {
        let line = self.numbers.get(&number)?;
        self.terms(line.terms).quota.as_ref()
    }
}

/// What a number says besides its campaign and its publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Whether it takes calls.
    pub is_enabled: bool,
    /// What its calls are tagged with from the beginning.
    pub tags: Tags,
    /// When it is open; `None`: always.
    pub hours: Option<Schedule>,
    /// How many calls it takes in windows of the calendar, by what buyers take; `None`: any.
    pub quota: Option<Arc<Quota>>,
}

impl Terms {
    /// Those of a number that says nothing else.
    pub const USUAL: Self = Self {
        is_enabled: true,
        tags: Tags::NONE,
        hours: None,
        quota: None,
    };
}

/// Who sent the caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// The publisher's id.
    pub afid: Arc<str>,
    /// The sub-publisher's id, if one is set.
    pub sid: Option<Arc<str>>,
}

/// What a number stands for; 12 bytes, so that a million numbers stay small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// Its campaign.
    pub campaign: CampaignId,
    /// Its publisher and sub id.
    pub source: SourceId,
    /// What else it says.
    pub terms: TermsId,
}

/// Place in [`Directory::campaigns`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CampaignId(pub u32);

/// Place in [`Directory::sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId(pub u32);

/// Which of [`Directory::terms`], counted from 1; 0 are those of a number that says nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TermsId(pub u32);
