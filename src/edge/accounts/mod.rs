//! What orgs have entrusted to the edge: the credentials of their accounts at Twilio, the numbers of these, and where the soft
//! phones of their users are.
//!
//! ```text
//!   HTTP ──> books ── journal, commit ──> memory ──> answer           what is acknowledged outlives the process
//!     │        phones, connections, lines
//!     │        purchases
//!     ├────> vendor ──> Twilio's REST API                              buys, sets up and lists numbers
//!     └────> switchboard ──> sockets, push                             tells soft phones of calls
//! ```
//!
//! All of it is in memory while the edge runs, and read from the store when it starts; nobody asks the store in between.

mod books;
mod connections;
mod lines;
mod passes;
mod phones;
mod purchases;
mod push;
mod seen;
mod sockets;
mod switchboard;
mod vendor;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use thiserror::Error;
use tracing::{error, info, warn};

use crate::config::Twilio;
use crate::edge::accounts::books::Books;
use crate::edge::accounts::seen::Seen;
use crate::edge::disk;
use crate::edge::notebook::Notebook;
use crate::edge::storeroom::moment;
use crate::net::http_client::Client;
use crate::store::{Keyring, Unread};
use crate::telemetry::accounts::AccountCounts;
use crate::telemetry::metrics::Metrics;

pub(super) use self::connections::Unsaved;
pub(super) use self::lines::Owned;
pub(super) use self::phones::{BindingId, Registered};
pub(super) use self::purchases::{Came, NoPurchase, PurchaseId};
pub(super) use self::push::Pushes;
pub(super) use self::sockets::Caller;
pub(super) use self::switchboard::{Switchboard, Told};
pub(super) use self::vendor::{Vendor, is_doubtful};

/// Why something is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Unkept {
    /// There is no data directory: nothing outlives the process.
    #[error("there is no data_dir: nothing can be kept")]
    NoStore,
    /// The disk does not take it.
    #[error("it cannot be written to the disk")]
    Disk,
    /// There is no key to seal credentials with.
    #[error("there is no [[twilio.seal_key]]: credentials cannot be kept")]
    NoKey,
    /// There are as many as there may be.
    #[error("there are too many of them")]
    Full,
}

impl Unkept {
    /// Its name in answers and metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::NoStore => "no_store",
            Self::Disk => "disk",
            Self::NoKey => "no_seal_key",
            Self::Full => "too_many",
        }
    }
}

/// What is kept.
pub(super) struct Accounts {
    books: Mutex<Books>,
    keys: Keyring,
}

impl Accounts {
    /// Reads what was kept; what is new goes to the notebook. Credentials that an older key has sealed are sealed anew.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub(super) fn open(notebook: &Arc<Notebook>, keys: Keyring) -> Result<Self, Unread> {
        let now = moment();
        let mut books = Books::default();
        if let Some(shelf) = notebook.shelf() {
            books.phones.restore(now, shelf.bindings()?);
            books.lines.restore(shelf.lines()?);
            books
                .purchases
                .restore(notebook.notes(now, purchases::REALM));
            let older = books.connections.restore(shelf.connections()?, &keys);
            books.notebook = Some(Arc::clone(notebook));
            let accounts = Self {
                books: Mutex::new(books),
                keys,
            };
            accounts.renew(&older);
            accounts.announce();
            return Ok(accounts);
        }
        Ok(Self {
            books: Mutex::new(books),
            keys,
        })
    }

    /// Seals the credentials of these orgs with the key of today.
    fn renew(&self, orgs: &[Box<str>]) {
        for org in orgs {
            let sealed = self.reseal(org);
            match sealed {
                Ok(()) => info!(org = &**org, "credentials are sealed with the new key"),
                Err(error) => error!(org = &**org, %error, "credentials keep their old seal"),
            }
        }
    }

    fn announce(&self) {
        let books = self.books();
        let (open, shut) = books.connections.count();
        let (phones, numbers) = (books.phones.len(), books.lines.len());
        if open + shut + phones + numbers > 0 {
            info!(
                connections = open,
                phones, numbers, "accounts of orgs are known"
            );
        }
        for org in books.connections.shut() {
            warn!(
                org,
                "credentials cannot be opened: the key that has sealed them is missing in [[twilio.seal_key]]"
            );
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens what orgs have entrusted to the edge, and the ways to their soft phones and to Twilio.
///
/// # Errors
///
/// When the store cannot be read.
pub(super) fn open(
    (twilio, notebook): (Option<&Twilio>, &Arc<Notebook>),
    client: Client,
    metrics: &Arc<Metrics>,
) -> Result<(Arc<Switchboard>, Vendor), Unread> {
    let keys = twilio.map_or(&[][..], |twilio| &twilio.accounts.seal_keys);
    let keys = Keyring::new(keys.iter().map(|(name, secret)| (&**name, secret)));
    let keys = keys.unwrap_or_else(|error| {
        error!(%error, "credentials can neither be sealed nor opened");
        Keyring::default()
    });
    let accounts = Arc::new(Accounts::open(notebook, keys)?);
    let counts = Arc::new(AccountCounts::new(metrics));
    let vendor = Vendor::new(client.clone(), Arc::clone(&counts));
    let seen = Seen::new(moment(), notebook);
    let switchboard = Switchboard::new(accounts, Pushes::new(client), seen, counts);
    Ok((Arc::new(switchboard), vendor))
}

/// Bytes that nobody can foresee.
fn dice<const N: usize>() -> Result<[u8; N], Unkept> {
    let drawn = disk::draw().map_err(|_| Unkept::Disk)?;
    let mut bytes = [0; N];
    for (byte, drawn) in bytes.iter_mut().zip(drawn) {
        *byte = drawn;
    }
    Ok(bytes)
}
