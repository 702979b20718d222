//! Makes the deliveries that are due: takes them from the store's outbox, has a courier try each, and writes down how it went.
//!
//! ```text
//!   outbox ── due ──> courier ── attempt ──> judged ──> journal ──> outbox: done, due again later, or given up
//!                     many at once; of one call, one at a time
//! ```
//!
//! What is under way when the edge ends, however it does, is due again at the next start: each arrives at least once. Its
//! [`key`](Parcel::key) tells the receiver that it is the same.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime;
use tokio::task::{JoinError, JoinSet};
use tokio::time;
use tracing::{debug, error, warn};

use crate::edge::storeroom::moment;
use crate::store::entry::{Delivered, DeliveryId, Outcome};
use crate::store::{Entry, Lane, Parcel, Shelf};
use crate::types::moment::Moment;

/// How often it is looked for what is due, while nothing else happens.
const LOOK: Duration = Duration::from_millis(25);

/// How long what is under way may take at the end.
const PATIENCE: Duration = Duration::from_secs(5);

/// How an attempt at a delivery went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// There was an answer with this status.
    Answered(u16),
    /// Certainly nothing has arrived: says why.
    Unsent(&'static str),
    /// Nobody knows whether it has arrived: says why.
    Doubtful(&'static str),
    /// It cannot be sent at all: says why.
    Impossible(&'static str),
}

impl Attempt {
    /// What follows from it. What may have arrived is sent again only if that does no harm.
    fn outcome(self, is_idempotent: bool) -> (Verdict, String) {
        match self {
            Self::Answered(200..=299) => (Verdict::Done, String::new()),
            Self::Answered(status @ (429 | 502 | 503 | 504)) => {
                (Verdict::Again, status.to_string())
            }
            Self::Answered(status) => (Verdict::Never, status.to_string()),
            Self::Unsent(why) => (Verdict::Again, why.to_owned()),
            Self::Doubtful(why) if is_idempotent => (Verdict::Again, why.to_owned()),
            Self::Doubtful(why) | Self::Impossible(why) => (Verdict::Never, why.to_owned()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Done,
    Again,
    Never,
}

/// Whoever makes one attempt. It ends by itself: there is a deadline to all that it does.
pub trait Courier: Send + Sync + 'static {
    /// Tries to deliver `parcel`.
    fn attempt(&self, parcel: &Parcel) -> impl Future<Output = Attempt> + Send;

    /// Nothing is under way: a time to tidy up.
    fn rest(&self) {}
}

/// The thread that has deliveries made.
pub struct Deliveries {
    thread: JoinHandle<()>,
    is_over: Arc<AtomicBool>,
}

impl Deliveries {
    /// Starts it; `most` are under way at once, and how they went is written to `lane`.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn start(shelf: Shelf, lane: Lane, courier: impl Courier, most: usize) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let is_over = Arc::new(AtomicBool::new(false));
        let round = Round {
            shelf,
            lane,
            settled: VecDeque::new(),
            is_stuck: false,
            most,
        };
        let thread = thread::Builder::new().name("deliveries".to_owned());
        let thread = thread.spawn({
            let is_over = Arc::clone(&is_over);
            move || runtime.block_on(run(round, Arc::new(courier), &is_over))
        })?;
        Ok(Self { thread, is_over })
    }

    /// Takes no more, and waits for what is under way, for a few seconds at most.
    pub fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            error!("the thread of deliveries has panicked");
        }
    }
}

async fn run(mut round: Round, courier: Arc<impl Courier>, is_over: &AtomicBool) {
    let mut under_way = JoinSet::new();
    while !is_over.load(Ordering::Relaxed) {
        for parcel in round.take(moment(), under_way.len()) {
            let courier = Arc::clone(&courier);
            under_way.spawn(async move {
                let attempt = courier.attempt(&parcel).await;
                Made { parcel, attempt }
            });
        }
        tokio::select! {
            Some(made) = under_way.join_next() => round.note(made, moment()),
            () = time::sleep(LOOK) => {}
        }
        // Whatever else is ready goes into the same commit.
        while let Some(made) = under_way.try_join_next() {
            round.note(made, moment());
        }
        round.settle();
        if under_way.is_empty() {
            courier.rest();
        }
    }
    let end = async {
        while let Some(made) = under_way.join_next().await {
            round.note(made, moment());
        }
    };
    if time::timeout(PATIENCE, end).await.is_err() {
        warn!("deliveries are still under way: they are made again after the next start");
    }
    round.settle();
}

/// A delivery that was attempted.
struct Made {
    parcel: Parcel,
    attempt: Attempt,
}

/// What is known between two looks.
struct Round {
    shelf: Shelf,
    lane: Lane,
    /// How those went that the journal does not know of yet.
    settled: VecDeque<(DeliveryId, Moment, Verdict, String)>,
    is_stuck: bool,
    most: usize,
}

impl Round {
    /// What is to be attempted now, while so many are under way.
    fn take(&mut self, now: Moment, under_way: usize) -> Vec<Parcel> {
        // What cannot be written down would be made again and again.
        let room = self.most.saturating_sub(under_way);
        if room == 0 || !self.lane.is_open() || !self.settled.is_empty() {
            return Vec::new();
        }
        match self.shelf.take_due(now, room) {
            Ok(parcels) => parcels,
            Err(error) => {
                if !self.is_stuck {
                    error!(%error, "deliveries wait");
                }
                self.is_stuck = true;
                Vec::new()
            }
        }
    }

    fn note(&mut self, made: Result<Made, JoinError>, now: Moment) {
        let Ok(Made { parcel, attempt }) = made else {
            // Which one it was is not known: it is made again after the next start.
            error!("an attempt at a delivery has panicked");
            return;
        };
        let (verdict, why) = attempt.outcome(parcel.is_idempotent);
        match verdict {
            Verdict::Done => debug!(call = %parcel.call, hook = &*parcel.hook, "delivered"),
            Verdict::Again => debug!(
                call = %parcel.call, hook = &*parcel.hook, tries = parcel.tries, why, "not delivered"
            ),
            Verdict::Never => warn!(
                call = %parcel.call, hook = &*parcel.hook, delivery = parcel.id.0, why, "delivery given up"
            ),
        }
        self.settled.push_back((parcel.id, now, verdict, why));
    }

    /// Writes down how they went; what finds no room waits.
    fn settle(&mut self) {
        while let Some((id, at, verdict, why)) = self.settled.front() {
            let outcome = match verdict {
                Verdict::Done => Outcome::Done,
                Verdict::Again => Outcome::Again(why),
                Verdict::Never => Outcome::Never(why),
            };
            let (id, at) = (*id, *at);
            let entry = Entry::Delivered(Delivered { id, at, outcome });
            if self.lane.append(&entry).is_err() {
                break;
            }
            self.settled.pop_front();
        }
        let result = self.lane.commit();
        if let Err(error) = &result
            && !self.is_stuck
        {
            error!(%error, "deliveries wait: how they went cannot be written down");
        }
        self.is_stuck = result.is_err();
    }
}

#[cfg(test)]
mod tests;
