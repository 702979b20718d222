//! Tells soft phones of calls: whoever is there gets the notification as it came, each of them once.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::upgrade::OnUpgrade;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time;
use tracing::{debug, warn};

use crate::config::accounts as config;
use crate::edge::accounts::push::Pushed;
use crate::edge::accounts::seen::{Name, Once, Seen};
use crate::edge::accounts::sockets::{Caller, NoPlace, Sockets};
use crate::edge::accounts::{Accounts, Pushes};
use crate::telemetry::accounts::AccountCounts;
use crate::twilio::notification::{Binding, Channel, Notification, NotificationFault};
use crate::types::moment::Moment;

/// Pushes under way at most.
const UNDER_WAY: usize = 2_048;

/// How long pushes under way may take when the service ends.
const PARTING: Duration = Duration::from_secs(3);

/// What came of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::edge) enum Told {
    /// It is none (400).
    Fault(NotificationFault),
    /// It is of another account than the one that has signed it (403).
    Foreign,
    /// Nobody is there (404).
    Nobody,
    /// Everybody who is there is being told, or was told before (200).
    Done,
    /// Too much is under way (503).
    Busy,
}

/// Who tells them.
pub(in crate::edge) struct Switchboard {
    pub(in crate::edge) accounts: Arc<Accounts>,
    pub(super) sockets: Sockets,
    pushes: Arc<Pushes>,
    room: Arc<Semaphore>,
    tasks: Mutex<JoinSet<()>>,
    seen: Seen,
    pub(super) counts: Arc<AccountCounts>,
}

impl Switchboard {
    pub(super) fn new(
        accounts: Arc<Accounts>,
        pushes: Pushes,
        seen: Seen,
        counts: Arc<AccountCounts>,
    ) -> Self {
        Self {
            accounts,
            sockets: Sockets::default(),
            pushes: Arc::new(pushes),
            room: Arc::new(Semaphore::new(UNDER_WAY)),
            tasks: Mutex::default(),
            seen,
            counts,
        }
    }

    /// Takes a notification that `account` has signed.
    pub(in crate::edge) fn notify(
        &self,
        now: Moment,
        terms: &Arc<config::Accounts>,
        account: &str,
        body: &Bytes,
    ) -> Told {
        let told = self.tell(now, terms, account, body);
        let label = match told {
            Told::Fault(fault) => fault.label(),
            Told::Foreign => "foreign_account",
            Told::Nobody => "not_found",
            Told::Done => "delivered",
            Told::Busy => "busy",
        };
        self.counts.add_notification(label);
        told
    }

    fn tell(
        &self,
        now: Moment,
        terms: &Arc<config::Accounts>,
        account: &str,
        body: &Bytes,
    ) -> Told {
        let notification = match Notification::read(body, terms.identity) {
            Ok(notification) => notification,
            Err(fault) => return Told::Fault(fault),
        };
        if *notification.account != *account {
            return Told::Foreign;
        }
        let caller = Caller {
            account: notification.account.clone(),
            identity: notification.identity.clone(),
        };
        let mut bound = self
            .accounts
            .phones_of(now, &caller.account, &caller.identity);
        bound.retain(|binding| Pushes::reaches(terms, binding.channel));
        if self.sockets.of(&caller) > 0 {
            bound.push(connected(&caller, now));
        }
        let answer = notification.answer(now, &bound, false);
        if answer.status == 404 {
            return Told::Nobody;
        }
        let hand_on = || {
            let all = answer.receivers.iter();
            let queued = all.filter(|binding| self.hand_on(terms, &caller, binding, body));
            queued.count() > 0
        };
        let once = match notification.message.as_deref() {
            Some(message) => {
                let name = Name::of(&caller.account, message);
                self.seen.once(now, name, hand_on)
            }
            None if hand_on() => Once::Now,
            None => Once::Not,
        };
        match once {
            Once::Now | Once::Before => Told::Done,
            Once::Not => Told::Busy,
        }
    }

    /// Whether it is on its way.
    fn hand_on(
        &self,
        terms: &Arc<config::Accounts>,
        caller: &Caller,
        binding: &Binding,
        body: &Bytes,
    ) -> bool {
        match binding.channel {
            Channel::WebSocket => {
                let (told, lost) = self.sockets.tell(caller, body);
                self.counts.add_pushes("websocket", "done", told);
                self.counts.add_pushes("websocket", "full", lost);
                told > 0
            }
            Channel::Fcm | Channel::Apns => self.push(terms, binding, body),
        }
    }

    fn push(&self, terms: &Arc<config::Accounts>, binding: &Binding, body: &Bytes) -> bool {
        let channel = binding.channel.name();
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            self.counts.add_pushes(channel, "busy", 1);
            return false;
        };
        let (pushes, terms) = (Arc::clone(&self.pushes), Arc::clone(terms));
        let (accounts, counts) = (Arc::clone(&self.accounts), Arc::clone(&self.counts));
        let (binding, body) = (binding.clone(), body.clone());
        let task = async move {
            let pushed = pushes.push(&terms, &binding, &body).await;
            counts.add_pushes(channel, pushed.label(), 1);
            match pushed {
                Pushed::Done => {}
                Pushed::Gone => {
                    debug!(channel, account = &*binding.account, "a soft phone is gone");
                    accounts.forget_phone(&binding);
                }
                Pushed::Failed(why) => {
                    warn!(
                        channel,
                        account = &*binding.account,
                        why,
                        "a soft phone is not told of a call"
                    );
                }
            }
            drop(place);
        };
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
        true
    }

    /// Takes in a soft phone that will hold a connection open.
    pub(in crate::edge) fn open(
        self: &Arc<Self>,
        caller: Caller,
        upgrade: OnUpgrade,
        left: Duration,
    ) -> Result<(), NoPlace> {
        Sockets::open(self, caller, upgrade, left)?;
        self.counts.set_sockets(self.sockets.count());
        Ok(())
    }

    /// Closes the connections of an account that its org has left.
    pub(in crate::edge) fn dismiss(&self, account: &str) {
        self.counts.set_sockets(self.sockets.dismiss(account));
    }

    /// How many connections a user has.
    pub(in crate::edge) fn connections(&self, caller: &Caller) -> usize {
        self.sockets.of(caller)
    }

    /// Ends what is under way, after a moment.
    pub(in crate::edge) async fn close(&self) {
        let mut tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        let pushes = async { while tasks.join_next().await.is_some() {} };
        let (_, ()) = tokio::join!(time::timeout(PARTING, pushes), self.sockets.close());
    }
}

/// Where a user with an open connection is.
fn connected(caller: &Caller, now: Moment) -> Binding {
    Binding {
        identity: caller.identity.clone(),
        account: caller.account.clone(),
        channel: Channel::WebSocket,
        address: "connected".into(),
        expires: now.after(Duration::from_secs(1)),
    }
}
