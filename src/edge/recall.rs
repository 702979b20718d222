//! What is remembered of callers: asked by the shards, told by a thread that may wait for the disk.
//!
//! ```text
//!   shard ── question ──> Memories: other calls of the caller, of a moment ago and going on
//!                           └──> thread "recall": with those of the store ──> letter to the shard
//!   shard ── news ──────> Memories ──> letters to the shards of the caller's other calls
//! ```
//!
//! Without a store, what this process remembers is the whole answer, and is told at once.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::thread::JoinHandle;

use tracing::{error, warn};

use crate::call::memories::Memories;
use crate::call::memory::{Memory, News, Question, Recalled, Remembered, Waiting};
use crate::call::places::Ticket;
use crate::edge::inbox::{Letter, Mailbox};
use crate::edge::storeroom::moment;
use crate::store::{Caller, Earlier, KeptTag, Shelf};

/// Calls that are over and remembered besides the store's: many times what the tables are behind.
const BESIDE_A_STORE: usize = 8192;

/// The same where there is no store.
const ALONE: usize = 65_536;

/// Questions that wait at most; what comes beyond is answered by what is in memory.
const QUEUE: usize = 4096;

/// Who remembers.
pub(super) struct Remembrance {
    book: Arc<Book>,
    /// `None`: there is no store.
    thread: Option<JoinHandle<()>>,
    jobs: Option<SyncSender<Job>>,
}

/// One shard's way there.
#[derive(Clone)]
pub(super) struct RecallDesk {
    book: Arc<Book>,
    jobs: Option<SyncSender<Job>>,
    /// The shard's own.
    mailbox: Mailbox,
}

/// A way for those who have nothing to ask.
pub(super) struct Teller(Arc<Book>);

impl Teller {
    /// Remembers news, and tells those calls that want to know.
    pub(super) fn tell(&self, news: &News) {
        self.0.remember(news);
    }
}

/// What all shards share. It is locked by calls of campaigns only that ask, for some microseconds.
struct Book(Mutex<Memories<Follower>>);

/// A call that is told of news.
#[derive(Clone)]
struct Follower {
    ticket: Ticket,
    mailbox: Mailbox,
}

struct Job {
    follower: Follower,
    question: Box<Question>,
    /// What is in memory.
    memory: Memory,
}

impl Remembrance {
    /// Starts; `shelf`: where earlier calls are.
    pub(super) fn start(shelf: Option<Shelf>) -> io::Result<Self> {
        let most = if shelf.is_some() {
            BESIDE_A_STORE
        } else {
            ALONE
        };
        let book = Arc::new(Book(Mutex::new(Memories::new(most))));
        let Some(shelf) = shelf else {
            return Ok(Self {
                book,
                thread: None,
                jobs: None,
            });
        };
        let (jobs, orders) = sync_channel(QUEUE);
        let thread = thread::Builder::new().name("recall".to_owned());
        let thread = thread.spawn(move || answer_all(&shelf, &orders))?;
        Ok(Self {
            book,
            thread: Some(thread),
            jobs: Some(jobs),
        })
    }

    /// A way there for the shard that has this mailbox.
    pub(super) fn desk(&self, mailbox: Mailbox) -> RecallDesk {
        RecallDesk {
            book: Arc::clone(&self.book),
            jobs: self.jobs.clone(),
            mailbox,
        }
    }

    /// A way there for whoever has only to tell.
    pub(super) fn teller(&self) -> Teller {
        Teller(Arc::clone(&self.book))
    }

    /// Answers what was asked, and ends. All desks are gone.
    pub(super) fn stop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            error!("the thread of earlier calls has panicked");
        }
    }
}

impl RecallDesk {
    /// One that remembers nothing but what it is told.
    #[cfg(test)]
    pub(super) fn alone(mailbox: Mailbox) -> Self {
        let book = Arc::new(Book(Mutex::new(Memories::new(ALONE))));
        Self {
            book,
            jobs: None,
            mailbox,
        }
    }

    /// Has a question answered by a letter.
    pub(super) fn ask(&self, ticket: Ticket, question: Box<Question>) {
        let mailbox = self.mailbox.clone();
        let follower = Follower { ticket, mailbox };
        let mut memory = self.book.lock().ask(&question, follower.clone());
        let since = question.since;
        memory.calls.retain(|call| call.is_since(since));
        let Some(jobs) = &self.jobs else {
            follower.tell(told(memory));
            return;
        };
        let job = Job {
            follower,
            question,
            memory,
        };
        if let Err(refused) = jobs.try_send(job) {
            let Job {
                follower, memory, ..
            } = match refused {
                TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
            };
            follower.tell(Recalled::Part(memory, "busy"));
        }
    }

    /// Remembers news, and tells those calls that want to know.
    pub(super) fn remember(&self, news: &News) {
        self.book.remember(news);
    }
}

impl Book {
    fn remember(&self, news: &News) {
        let told = self.lock().note(news);
        for follower in told {
            follower.tell(Recalled::News(news.call.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Memories<Follower>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Follower {
    /// A shard that has no room is busy with calls: the call goes on when its time is over.
    fn tell(&self, recalled: Recalled) {
        let ticket = self.ticket;
        let recalled = Box::new(recalled);
        self.mailbox.post(Letter::Recalled { ticket, recalled });
    }
}

fn answer_all(shelf: &Shelf, orders: &Receiver<Job>) {
    let mut is_failing = false;
    while let Ok(job) = orders.recv() {
        let Job {
            follower,
            question,
            mut memory,
        } = job;
        let of = &question.of;
        let found = shelf.caller(&of.company, &of.caller.to_string(), moment());
        if let Err(error) = &found
            && !is_failing
        {
            warn!(%error, "earlier calls cannot be looked up");
        }
        is_failing = found.is_err();
        let recalled = match found {
            Ok(caller) => {
                add(&mut memory, caller, &question);
                let whose = (&*of.company, &*question.call.campaign);
                match shelf.waiting(whose, &of.caller.to_string(), moment()) {
                    Ok(tags) => memory.tags = tags.into_iter().map(waiting).collect(),
                    Err(error) => warn!(%error, "tags that wait for a caller cannot be looked up"),
                }
                told(memory)
            }
            Err(_) => Recalled::Part(memory, "failed"),
        };
        follower.tell(recalled);
    }
}

/// Who calls so often that not all of it is told is not known.
fn told(memory: Memory) -> Recalled {
    if memory.is_cut {
        Recalled::Part(memory, "many")
    } else {
        Recalled::All(memory)
    }
}

/// Adds what the store knows to what is in memory.
fn add(memory: &mut Memory, caller: Caller, question: &Question) {
    let Caller {
        earlier, left_out, ..
    } = caller;
    memory.is_cut |= left_out.is_some_and(|at| at >= question.since);
    let earlier = earlier.into_iter().map(remembered);
    for call in earlier.filter(|call| call.is_since(question.since)) {
        memory.add(call);
    }
}

fn waiting(tag: KeptTag) -> Waiting {
    let KeptTag { key, value, until } = tag;
    Waiting { key, value, until }
}

fn remembered(earlier: Earlier) -> Remembered {
    let conversion = earlier.conversion.filter(|one| one.is_converted);
    let fired = earlier.fired.into_iter();
    Remembered {
        uuid: earlier.uuid,
        campaign: earlier.campaign.into(),
        answered: earlier.buyer.map(Into::into).zip(earlier.answered),
        converted: conversion.map(|one| (one.group.into(), one.at)),
        fired: fired.map(|(hook, at)| (hook.into(), at)).collect(),
    }
}

#[cfg(test)]
mod tests;
