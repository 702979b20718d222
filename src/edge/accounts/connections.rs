//! How orgs are connected to Twilio: one account for each, with credentials that nobody sees again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::error;

use crate::edge::accounts::{Accounts, Unkept, dice};
use crate::edge::storeroom::moment;
use crate::store::entry::Connected;
use crate::store::{Entry, KeptConnection, Keyring};
use crate::twilio::integration::{Integration, IntegrationFault};
use crate::twilio::sid::AccountSid;
use crate::types::moment::Moment;

/// Orgs that are connected, those of the configuration: it bounds them, too.
#[derive(Default)]
pub(super) struct Connections {
    by_org: BTreeMap<Box<str>, Arc<Integration>>,
    by_account: BTreeMap<AccountSid, Box<str>>,
    /// Those whose credentials cannot be opened.
    shut: BTreeSet<Box<str>>,
}

impl Connections {
    /// Takes in what was kept; returns the orgs whose credentials an older key has sealed.
    pub(super) fn restore(&mut self, kept: Vec<KeptConnection>, keys: &Keyring) -> Vec<Box<str>> {
        let mut older = Vec::new();
        for KeptConnection {
            org, key, sealed, ..
        } in kept
        {
            let opened = keys.open(&org, &key, &sealed);
            if let Err(fault) = &opened {
                error!(org = &*org, key = &*key, %fault, "credentials cannot be opened");
            }
            let opened = opened.ok().as_ref().and_then(Integration::from_secret);
            let Some(integration) = opened else {
                self.shut.insert(org);
                continue;
            };
            if keys.current() != Some(&*key) {
                older.push(org.clone());
            }
            self.put(&org, integration);
        }
        older
    }

    fn put(&mut self, org: &str, integration: Integration) -> Arc<Integration> {
        self.shut.remove(org);
        self.by_account.retain(|_, other| **other != *org);
        self.by_account.insert(integration.account, org.into());
        let integration = Arc::new(integration);
        self.by_org.insert(org.into(), Arc::clone(&integration));
        integration
    }

    fn claim(
        &self,
        org: &str,
        body: &[u8],
        may: impl Fn(AccountSid) -> bool,
    ) -> Result<Integration, Unsaved> {
        let before = self.by_org.get(org);
        let integration = Integration::read(body, before.map(|before| &**before));
        let integration = integration.map_err(Unsaved::Fault)?;
        let owner = self.by_account.get(&integration.account);
        if owner.is_some_and(|owner| **owner != *org) || !may(integration.account) {
            return Err(Unsaved::Taken);
        }
        Ok(integration)
    }

    /// Those that are open, and those that are not.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.by_org.len(), self.shut.len())
    }

    pub(super) fn shut(&self) -> impl Iterator<Item = &str> {
        self.shut.iter().map(|org| &**org)
    }
}

/// A connection that was saved.
pub(in crate::edge) struct Saved {
    pub(in crate::edge) integration: Arc<Integration>,
    /// The account that the org has left for it, whose soft phones are forgotten.
    pub(in crate::edge) left: Option<AccountSid>,
}

/// Why a connection is not saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) enum Unsaved {
    /// It cannot be read.
    Fault(IntegrationFault),
    /// Another org has this account.
    Taken,
    /// It cannot be kept.
    Unkept(Unkept),
}

impl Accounts {
    /// What an org wants to save, as far as we can judge that: whether the credentials are the account's, only Twilio can.
    /// `may` says whether an account can be this org's.
    pub(in crate::edge) fn claim(
        &self,
        org: &str,
        body: &[u8],
        may: impl Fn(AccountSid) -> bool,
    ) -> Result<Integration, Unsaved> {
        self.books().connections.claim(org, body, may)
    }

    /// Saves the connection of an org, in the place of the one before it, whose credentials are known to be the account's.
    pub(in crate::edge) fn connect(
        &self,
        now: Moment,
        org: &str,
        body: &[u8],
        may: impl Fn(AccountSid) -> bool,
    ) -> Result<Saved, Unsaved> {
        let mut books = self.books();
        // Others may have saved something since it was looked at.
        let integration = books.connections.claim(org, body, &may)?;
        let before = books.connections.by_org.get(org);
        let left = before.map(|before| before.account);
        let left = left.filter(|left| *left != integration.account && may(*left));
        let sealed = self.sealed(org, &integration).map_err(Unsaved::Unkept)?;
        if let Some(left) = left {
            // They were bound by this org. Whoever has the account next is somebody else.
            let gone = books.forget_phones(&left.to_string());
            gone.map_err(Unsaved::Unkept)?;
        }
        let entry = Entry::Connected(Connected {
            org,
            at: now,
            key: self.keys.current().unwrap_or_default(),
            sealed: &sealed,
        });
        books.write(&[entry]).map_err(Unsaved::Unkept)?;
        let integration = books.connections.put(org, integration);
        Ok(Saved { integration, left })
    }

    /// Seals the credentials of an org with the key of today.
    pub(super) fn reseal(&self, org: &str) -> Result<(), Unkept> {
        let books = self.books();
        let Some(integration) = books.connections.by_org.get(org).cloned() else {
            return Ok(());
        };
        let sealed = self.sealed(org, &integration)?;
        let entry = Entry::Connected(Connected {
            org,
            at: moment(),
            key: self.keys.current().unwrap_or_default(),
            sealed: &sealed,
        });
        books.write(&[entry])
    }

    /// How an org is connected; `None`: it is not, or nobody can tell.
    pub(in crate::edge) fn connection(&self, org: &str) -> Option<Arc<Integration>> {
        self.books().connections.by_org.get(org).cloned()
    }

    /// Which org has saved this account, and how it is connected.
    pub(in crate::edge) fn org_of(
        &self,
        account: AccountSid,
    ) -> Option<(Box<str>, Arc<Integration>)> {
        let books = self.books();
        let org = books.connections.by_account.get(&account)?;
        let integration = books.connections.by_org.get(org)?;
        Some((org.clone(), Arc::clone(integration)))
    }

    fn sealed(&self, org: &str, integration: &Integration) -> Result<Vec<u8>, Unkept> {
        let nonce = dice()?;
        let sealed = self.keys.seal(org, &integration.to_secret(), nonce);
        sealed.map_err(|_| Unkept::NoKey)
    }
}
