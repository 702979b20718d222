//! Numbers that are being bought. A purchase costs money, so it is written down before the vendor is asked, and what came of it
//! whether or not anybody waits for that.
//!
//! ```text
//!   begin ── under way ──┬── bought: the number is listed, and the purchase forgotten
//!                        ├── not bought: it is forgotten
//!                        └── doubtful: it stays until the vendor's list has been read
//! ```
//!
//! One that was under way when the process ended is doubtful in the next.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::edge::accounts::lines::Sheet;
use crate::edge::accounts::{Accounts, Owned, Unkept, dice};
use crate::store::entry::{Erased, Noted};
use crate::store::{Entry, Note};
use crate::types::moment::Moment;

/// Purchases of one org that are under way or doubtful.
const MOST: usize = 64;

/// How long a doubtful one is remembered if nobody asks.
const REMEMBERED: Duration = Duration::from_secs(90 * 86_400);

/// The realm of their notes, by id.
pub(super) const REALM: &str = "purchase";

/// Names a purchase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::edge) struct PurchaseId(u128);

impl fmt::Display for PurchaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A purchase whose end is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::edge) struct Purchase {
    org: Box<str>,
    /// The number or the area code that was wished for.
    pub(in crate::edge) wish: Box<str>,
    /// When it began, RFC 3339.
    pub(in crate::edge) began: Box<str>,
    /// Why nobody knows what came of it; `None`: it is under way.
    pub(in crate::edge) doubt: Option<Box<str>>,
}

/// What came of a purchase.
pub(in crate::edge) enum Came {
    /// The number is the org's.
    Bought(Owned),
    /// Nothing was bought.
    Nothing,
    /// Nobody knows: why.
    Doubtful(&'static str),
}

/// Why a purchase does not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) enum NoPurchase {
    /// The same number is being bought.
    UnderWay(PurchaseId),
    /// It could not be kept.
    Unkept(Unkept),
}

/// The purchases of all orgs.
#[derive(Default)]
pub(super) struct Purchases(BTreeMap<Box<str>, BTreeMap<PurchaseId, Purchase>>);

impl Purchases {
    pub(super) fn restore(&mut self, kept: Vec<Note>) {
        for note in kept {
            let id = u128::from_str_radix(&note.key, 16).ok().map(PurchaseId);
            let purchase = serde_json::from_slice::<Purchase>(&note.value).ok();
            // What an older version could write, this one can read.
            let Some((id, mut purchase)) = id.zip(purchase) else {
                continue;
            };
            purchase.doubt.get_or_insert_with(|| "edge_ended".into());
            let own = self.0.entry(purchase.org.clone()).or_default();
            own.insert(id, purchase);
        }
    }

    pub(super) fn of(&self, org: &str) -> usize {
        self.0.get(org).map_or(0, BTreeMap::len)
    }

    fn remove(&mut self, org: &str, id: PurchaseId) {
        if let Some(own) = self.0.get_mut(org) {
            own.remove(&id);
            if own.is_empty() {
                self.0.remove(org);
            }
        }
    }
}

impl Accounts {
    /// Writes down that a number is about to be bought.
    pub(in crate::edge) fn begin_purchase(
        &self,
        now: Moment,
        org: &str,
        wish: &str,
    ) -> Result<PurchaseId, NoPurchase> {
        let mut books = self.books();
        let own = books.purchases.0.get(org);
        let is_number = wish.starts_with('+');
        let is_same = |purchase: &Purchase| purchase.doubt.is_none() && *purchase.wish == *wish;
        let same = own.into_iter().flatten().find(|(_, one)| is_same(one));
        if let Some((id, _)) = same.filter(|_| is_number) {
            return Err(NoPurchase::UnderWay(*id));
        }
        if own.map_or(0, BTreeMap::len) >= MOST || !books.has_room_for_line(org) {
            return Err(NoPurchase::Unkept(Unkept::Full));
        }
        let id = dice().map_err(NoPurchase::Unkept)?;
        let id = PurchaseId(u128::from_ne_bytes(id));
        let purchase = Purchase {
            org: org.into(),
            wish: wish.into(),
            began: now.to_string().into(),
            doubt: None,
        };
        let (key, value) = written(id, &purchase).map_err(NoPurchase::Unkept)?;
        let entry = noted(now, &key, &value);
        books.write(&[entry]).map_err(NoPurchase::Unkept)?;
        let own = books.purchases.0.entry(org.into()).or_default();
        own.insert(id, purchase);
        Ok(id)
    }

    /// Writes down what came of a purchase; returns the number as it is then. Whoever has taken it over since has set it up after the
    /// purchase, so that stays. If that cannot be written down, it is doubtful.
    pub(in crate::edge) fn end_purchase(
        &self,
        now: Moment,
        (org, id): (&str, PurchaseId),
        came: Came,
    ) -> Result<Option<Owned>, Unkept> {
        let mut books = self.books();
        let key = id.to_string();
        let over = Entry::Erased(Erased {
            realm: REALM,
            key: &key,
        });
        let mut shown = None;
        let (kept, doubt) = match came {
            Came::Nothing => (books.write(&[over]), None),
            Came::Bought(owned) => {
                let since = books.lines.get(org, owned.line.sid).cloned();
                let owned = since.unwrap_or(owned);
                shown = Some(owned.clone());
                let kept = {
                    let sheet = Sheet::of(&owned);
                    books.write(&[sheet.entry(org), over])
                };
                if kept.is_ok() {
                    books.lines.put(org, owned);
                }
                (kept, None)
            }
            Came::Doubtful(why) => (Ok(()), Some(why)),
        };
        let doubt = doubt.or(kept.is_err().then_some("not_kept"));
        let Some(why) = doubt else {
            books.purchases.remove(org, id);
            return kept.map(|()| shown);
        };
        let own = books.purchases.0.get_mut(org);
        let Some(purchase) = own.and_then(|own| own.get_mut(&id)) else {
            return kept.map(|()| shown);
        };
        purchase.doubt = Some(why.into());
        let (key, value) = written(id, purchase)?;
        // If this is not written either, it is under way in the journal, and so doubtful in the next process.
        books.write(&[noted(now, &key, &value)]).and(kept)?;
        Ok(shown)
    }

    /// The purchases of an org whose end is not known.
    pub(in crate::edge) fn purchases(&self, org: &str) -> Vec<(PurchaseId, Purchase)> {
        let books = self.books();
        let own = books.purchases.0.get(org);
        let own = own.into_iter().flatten();
        own.map(|(id, purchase)| (*id, purchase.clone())).collect()
    }

    /// Forgets doubtful purchases: the vendor's list has been read since.
    pub(in crate::edge) fn settle_purchases(
        &self,
        org: &str,
        ids: &[PurchaseId],
    ) -> Result<(), Unkept> {
        let mut books = self.books();
        let keys: Vec<String> = ids.iter().map(PurchaseId::to_string).collect();
        let entries = keys
            .iter()
            .map(|key| Entry::Erased(Erased { realm: REALM, key }));
        let entries: Vec<_> = entries.collect();
        if !entries.is_empty() {
            books.write(&entries)?;
        }
        ids.iter().for_each(|id| books.purchases.remove(org, *id));
        Ok(())
    }
}

fn written(id: PurchaseId, purchase: &Purchase) -> Result<(String, Vec<u8>), Unkept> {
    let value = serde_json::to_vec(purchase).map_err(|_| Unkept::Disk)?;
    Ok((id.to_string(), value))
}

fn noted<'e>(now: Moment, key: &'e str, value: &'e [u8]) -> Entry<'e> {
    Entry::Noted(Noted {
        realm: REALM,
        key,
        until: now.after(REMEMBERED),
        value,
    })
}
