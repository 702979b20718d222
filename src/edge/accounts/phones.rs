//! Where soft phones are: registered, refreshed, gone again, and forgotten when their time is over. Those with an open
//! connection are not among them: they are there as long as that is (`sockets`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::edge::accounts::books::Books;
use crate::edge::accounts::{Accounts, Unkept};
use crate::store::entry::{Bound, Spot};
use crate::store::{Entry, KeptBinding};
use crate::twilio::binding::{BindingFault, MOST_BINDINGS};
use crate::twilio::notification::{Binding, Channel};
use crate::types::moment::Moment;

/// Bindings of all users of all orgs.
const MOST: usize = 200_000;

/// Bindings that are forgotten in one go.
const AT_ONCE: usize = 1_000;

/// Names a binding, and tells nobody its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::edge) struct BindingId([u8; 16]);

impl BindingId {
    fn of(binding: &Binding) -> Self {
        let mut hash = Sha256::new();
        for text in [
            &*binding.account,
            &*binding.identity,
            binding.channel.name(),
            &*binding.address,
        ] {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        }
        let mut id = [0; 16];
        for (byte, hashed) in id.iter_mut().zip(hash.finalize()) {
            *byte = hashed;
        }
        Self(id)
    }

    /// Reads what it is written as; `None` for anything else.
    pub(in crate::edge) fn parse(text: &str) -> Option<Self> {
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_one = text.len() == 32 && text.bytes().all(is_hex);
        let bits = u128::from_str_radix(text, 16).ok().filter(|_| is_one)?;
        Some(Self(bits.to_be_bytes()))
    }
}

impl fmt::Display for BindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// All that are bound.
#[derive(Default)]
pub(super) struct Phones {
    by_id: BTreeMap<BindingId, Binding>,
    /// By account and identity.
    by_user: BTreeMap<(Box<str>, Box<str>), BTreeSet<BindingId>>,
}

impl Phones {
    pub(super) fn restore(&mut self, now: Moment, kept: Vec<KeptBinding>) {
        for kept in kept {
            // A kind that this version does not know, or one whose time is over.
            let Some(channel) = Channel::parse(&kept.channel) else {
                continue;
            };
            if now < kept.until {
                self.put(Binding {
                    identity: kept.identity,
                    account: kept.account,
                    channel,
                    address: kept.address,
                    expires: kept.until,
                });
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    fn put(&mut self, binding: Binding) -> BindingId {
        let id = BindingId::of(&binding);
        let user = (binding.account.clone(), binding.identity.clone());
        self.by_user.entry(user).or_default().insert(id);
        self.by_id.insert(id, binding);
        id
    }

    fn remove(&mut self, id: BindingId) {
        let Some(binding) = self.by_id.remove(&id) else {
            return;
        };
        let user = (binding.account, binding.identity);
        if let Some(ids) = self.by_user.get_mut(&user) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_user.remove(&user);
            }
        }
    }

    /// Where a user is now; those whose time is over go.
    fn of_user(&mut self, now: Moment, account: &str, identity: &str) -> Vec<Binding> {
        let user = (account.into(), identity.into());
        let ids: Vec<BindingId> = self
            .by_user
            .get(&user)
            .into_iter()
            .flatten()
            .copied()
            .collect();
        let (mut there, mut over) = (Vec::new(), Vec::new());
        for id in ids {
            match self.by_id.get(&id) {
                Some(binding) if now < binding.expires => there.push(binding.clone()),
                Some(_) | None => over.push(id),
            }
        }
        over.into_iter().for_each(|id| self.remove(id));
        there
    }

    fn of_account(&self, account: &str) -> Vec<BindingId> {
        let users = self.by_user.range((account.into(), "".into())..);
        let own = users.take_while(|((other, _), _)| **other == *account);
        own.flat_map(|(_, ids)| ids).copied().collect()
    }

    /// Forgets all whose time is over.
    fn sweep(&mut self, now: Moment) {
        let over = self.by_id.iter().filter(|(_, one)| one.expires <= now);
        let over: Vec<BindingId> = over.map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.remove(id));
    }
}

/// Why a soft phone is not bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) enum Registered {
    /// It is; under this name.
    As(BindingId),
    /// Its user has as many as one may have.
    TooMany(BindingFault),
    /// It cannot be kept.
    Unkept(Unkept),
}

impl Accounts {
    /// Binds a soft phone, or says of one that is bound until when.
    pub(in crate::edge) fn register(&self, now: Moment, binding: Binding) -> Registered {
        let mut books = self.books();
        let id = BindingId::of(&binding);
        let there = books
            .phones
            .of_user(now, &binding.account, &binding.identity);
        let is_known = there.iter().any(|other| other.is_same_place(&binding));
        if !is_known && there.len() >= MOST_BINDINGS {
            return Registered::TooMany(BindingFault::TooMany);
        }
        if !is_known && books.phones.len() >= MOST {
            books.phones.sweep(now);
            if books.phones.len() >= MOST {
                return Registered::Unkept(Unkept::Full);
            }
        }
        let entry = Entry::Bound(Bound {
            place: spot(&binding),
            until: binding.expires,
        });
        if let Err(unkept) = books.write(&[entry]) {
            return Registered::Unkept(unkept);
        }
        books.phones.put(binding);
        Registered::As(id)
    }

    /// Forgets a soft phone; `false`: there is none of this name. With `account` and `identity`, only one of theirs.
    pub(in crate::edge) fn unregister(
        &self,
        id: BindingId,
        account: &str,
        identity: Option<&str>,
    ) -> Result<bool, Unkept> {
        let mut books = self.books();
        let is_theirs = |binding: &&Binding| {
            *binding.account == *account
                && identity.is_none_or(|identity| *binding.identity == *identity)
        };
        let binding = books.phones.by_id.get(&id).filter(is_theirs).cloned();
        let Some(binding) = binding else {
            return Ok(false);
        };
        books.write(&[Entry::Unbound(spot(&binding))])?;
        books.phones.remove(id);
        Ok(true)
    }

    /// Forgets a soft phone that its push service knows no more.
    pub(super) fn forget_phone(&self, binding: &Binding) {
        // What cannot be written down now is told again with the next call.
        let _ = self.unregister(BindingId::of(binding), &binding.account, None);
    }

    /// Where a user is.
    pub(super) fn phones_of(&self, now: Moment, account: &str, identity: &str) -> Vec<Binding> {
        self.books().phones.of_user(now, account, identity)
    }

    /// Soft phones of an account, those of one user or all, `most` of them behind `after`.
    pub(in crate::edge) fn phones(
        &self,
        now: Moment,
        account: &str,
        identity: Option<&str>,
        (after, most): (Option<BindingId>, usize),
    ) -> Vec<(BindingId, Binding)> {
        let mut books = self.books();
        if let Some(identity) = identity {
            let there = books.phones.of_user(now, account, identity);
            let mut there: Vec<_> = there
                .into_iter()
                .map(|binding| (BindingId::of(&binding), binding))
                .filter(|(id, _)| after.is_none_or(|after| after < *id))
                .collect();
            there.sort_by_key(|(id, _)| *id);
            there.truncate(most);
            return there;
        }
        let all = books.phones.by_id.iter();
        all.filter(|(id, _)| after.is_none_or(|after| after < **id))
            .filter(|(_, one)| *one.account == *account && now < one.expires)
            .take(most)
            .map(|(id, one)| (*id, one.clone()))
            .collect()
    }
}

impl Books {
    /// Forgets all soft phones of an account.
    pub(super) fn forget_phones(&mut self, account: &str) -> Result<(), Unkept> {
        let ids = self.phones.of_account(account);
        for some in ids.chunks(AT_ONCE) {
            let there = some.iter().filter_map(|id| self.phones.by_id.get(id));
            let entries: Vec<_> = there.map(|one| Entry::Unbound(spot(one))).collect();
            self.write(&entries)?;
            some.iter().for_each(|id| self.phones.remove(*id));
        }
        Ok(())
    }
}

fn spot(binding: &Binding) -> Spot<'_> {
    Spot {
        account: &binding.account,
        identity: &binding.identity,
        channel: binding.channel.name(),
        address: &binding.address,
    }
}
