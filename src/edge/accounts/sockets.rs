//! Soft phones that hold a connection open (WebSocket): who they are, and the way to each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time;
use tracing::debug;

use crate::edge::accounts::Switchboard;
use crate::net::websocket::{Ended, attend};
use crate::twilio::binding::MOST_BINDINGS;

/// Connections of all users.
const MOST: usize = 20_000;

/// Notifications that wait for one of them.
const WAITING: usize = 16;

/// How long the upgrade may take.
const UPGRADE: Duration = Duration::from_secs(10);

/// How long is waited for their farewells at the end.
const PARTING: Duration = Duration::from_secs(2);

/// Whose soft phone it is: what its token says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::edge) struct Caller {
    /// The account.
    pub(in crate::edge) account: Box<str>,
    /// The name that it goes by.
    pub(in crate::edge) identity: Box<str>,
}

/// All connections.
#[derive(Default)]
pub(super) struct Sockets {
    table: Mutex<Table>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct Table {
    by_user: BTreeMap<Caller, BTreeMap<u64, mpsc::Sender<Bytes>>>,
    count: usize,
    next: u64,
    is_over: bool,
}

/// There is no place for another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) struct NoPlace;

impl Sockets {
    /// Takes a connection in that is about to be upgraded; it is there until its token's time is over.
    pub(super) fn open(
        hub: &Arc<Switchboard>,
        caller: Caller,
        upgrade: OnUpgrade,
        left: Duration,
    ) -> Result<(), NoPlace> {
        let own = &hub.sockets;
        let (sender, mut queue) = mpsc::channel(WAITING);
        let id = own.enter(&caller, sender)?;
        let hub = Arc::clone(hub);
        let until = time::Instant::now() + left;
        let task = async move {
            let ended = match time::timeout(UPGRADE, upgrade).await {
                Ok(Ok(stream)) => attend(TokioIo::new(stream), &mut queue, until).await,
                Ok(Err(_)) | Err(_) => Ended::Left,
            };
            let open = hub.sockets.leave(&caller, id);
            hub.counts.set_sockets(open);
            hub.counts.add_socket(ended.label());
            debug!(
                account = &*caller.account,
                ended = ended.label(),
                "a soft phone's connection has ended"
            );
        };
        let mut tasks = own.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
        Ok(())
    }

    fn enter(&self, caller: &Caller, sender: mpsc::Sender<Bytes>) -> Result<u64, NoPlace> {
        let mut table = self.table();
        if table.is_over || table.count >= MOST {
            return Err(NoPlace);
        }
        let id = table.next;
        let own = table.by_user.entry(caller.clone()).or_default();
        // A phone that lost its network comes back before its old connection is known to be dead: the oldest gives way.
        let is_full = own.len() >= MOST_BINDINGS;
        if is_full {
            own.pop_first();
        }
        own.insert(id, sender);
        table.next += 1;
        table.count += usize::from(!is_full);
        Ok(id)
    }

    /// How many there are then.
    fn leave(&self, caller: &Caller, id: u64) -> usize {
        let mut table = self.table();
        if let Some(own) = table.by_user.get_mut(caller) {
            let was_there = own.remove(&id).is_some();
            if own.is_empty() {
                table.by_user.remove(caller);
            }
            table.count = table.count.saturating_sub(usize::from(was_there));
        }
        table.count
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.table().count
    }

    /// How many connections this user has.
    pub(super) fn of(&self, caller: &Caller) -> usize {
        self.table().by_user.get(caller).map_or(0, BTreeMap::len)
    }

    /// Tells a user; returns to how many connections, and how many take nothing any more. Those are closed.
    pub(super) fn tell(&self, caller: &Caller, body: &Bytes) -> (usize, usize) {
        let mut table = self.table();
        let Some(own) = table.by_user.get_mut(caller) else {
            return (0, 0);
        };
        let before = own.len();
        own.retain(|_, sender| sender.try_send(body.clone()).is_ok());
        let told = own.len();
        if own.is_empty() {
            table.by_user.remove(caller);
        }
        table.count = table.count.saturating_sub(before - told);
        (told, before - told)
    }

    /// Says farewell to all of an account; how many are left.
    pub(super) fn dismiss(&self, account: &str) -> usize {
        let mut table = self.table();
        // Whoever waits for what is told sees the end now.
        table
            .by_user
            .retain(|caller, _| *caller.account != *account);
        table.count = table.by_user.values().map(BTreeMap::len).sum();
        table.count
    }

    /// Says farewell to all of them.
    pub(super) async fn close(&self) {
        let mut tasks = {
            let mut table = self.table();
            table.is_over = true;
            // Whoever waits for what is told sees the end now.
            table.by_user.clear();
            table.count = 0;
            std::mem::take(&mut *self.tasks())
        };
        let all = async { while tasks.join_next().await.is_some() {} };
        // Those that are left are cut off.
        let _ = time::timeout(PARTING, all).await;
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
