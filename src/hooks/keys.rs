//! The keys with which others say something of calls: the key of one call, which whoever has it got with that call, and keys that the
//! operator hands out, each good for one company, some of its campaigns, and so much.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};

use crate::types::secret::Secret;

/// What who shows a key may write, and of which calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    /// The company's id.
    pub company: Arc<str>,
    /// The ids of the campaigns; none: all of the company's.
    pub campaigns: Arc<[Arc<str>]>,
    /// What it may say.
    pub grants: Grants,
}

/// What may be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grants {
    /// Tags.
    pub tags: bool,
    /// Whether a call converted, and what it is worth.
    pub conversion: bool,
}

impl Grants {
    /// Everything.
    pub const ALL: Self = Self {
        tags: true,
        conversion: true,
    };
}

impl Pass {
    /// What the key of a call is good for: that call, all of it.
    #[must_use]
    pub fn of_call(company: Arc<str>) -> Self {
        Self {
            company,
            campaigns: Arc::default(),
            grants: Grants::ALL,
        }
    }

    /// Whether calls of this company and campaign are within its reach.
    #[must_use]
    pub fn reaches(&self, company: &str, campaign: &str) -> bool {
        let mut campaigns = self.campaigns.iter();
        *self.company == *company
            && (self.campaigns.is_empty() || campaigns.any(|one| **one == *campaign))
    }
}

/// A key that the operator has handed out.
#[derive(Clone)]
pub struct PostKey {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// What is shown.
    pub secret: Secret,
    /// What it is good for.
    pub pass: Pass,
    /// Requests per second.
    pub rate: u32,
    /// How long tags wait for a caller who does not call.
    pub keep: Duration,
}

/// All of them.
#[derive(Clone, Default)]
pub struct PostKeys(Vec<PostKey>);

impl PostKeys {
    /// These keys.
    #[must_use]
    pub fn new(keys: Vec<PostKey>) -> Self {
        Self(keys)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one of them stores tags for callers of a company.
    #[must_use]
    pub fn stores_for(&self, company: &str) -> bool {
        let mut keys = self.0.iter();
        keys.any(|key| key.pass.grants.tags && *key.pass.company == *company)
    }

    /// The key that is shown. All are looked at, whichever it is, and digests of one length are compared: so the time tells neither
    /// which is right, nor how much of one.
    #[must_use]
    pub fn find(&self, shown: &[u8]) -> Option<&PostKey> {
        let shown = Sha256::digest(shown);
        let mut place = u32::MAX;
        for (own, key) in (0_u32..).zip(&self.0) {
            let is_equal: Choice = Sha256::digest(key.secret.expose()).ct_eq(&shown);
            place = u32::conditional_select(&place, &own, is_equal);
        }
        self.0.get(usize::try_from(place).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_opens_what_it_is_for_and_nothing_else() {
        let keys = PostKeys::new(vec![
            key("crm", "0123456789abcdef", &[]),
            key("buyer", "fedcba9876543210", &["solar"]),
        ]);

        let found = keys.find(b"fedcba9876543210").expect("it is there");

        assert_eq!(&*found.id, "buyer");
        assert!(found.pass.reaches("acme", "solar"));
        assert!(!found.pass.reaches("acme", "roofs"));
        assert!(!found.pass.reaches("other", "solar"));
        let all = keys.find(b"0123456789abcdef").expect("it is there");
        assert!(all.pass.reaches("acme", "roofs"));
        for wrong in [&b"fedcba987654321"[..], b"fedcba98765432100", b""] {
            assert!(keys.find(wrong).is_none());
        }
        assert!(PostKeys::default().find(b"").is_none());
    }

    #[test]
    fn only_a_key_for_tags_stores_them_for_callers_of_its_company() {
        let mut one = key("crm", "0123456789abcdef", &[]);
        assert!(PostKeys::new(vec![one.clone()]).stores_for("acme"));
        assert!(!PostKeys::new(vec![one.clone()]).stores_for("other"));
        one.pass.grants.tags = false;
        assert!(!PostKeys::new(vec![one]).stores_for("acme"));
    }

    fn key(id: &str, secret: &str, campaigns: &[&str]) -> PostKey {
        PostKey {
            id: id.into(),
            secret: Secret::new(secret.as_bytes()),
            pass: Pass {
                company: "acme".into(),
                campaigns: campaigns.iter().map(|id| Arc::from(*id)).collect(),
                grants: Grants::ALL,
            },
            rate: 100,
            keep: Duration::from_secs(60),
        }
    }
}
