//! Calls that a vendor carries, between our HTTP side and the shards that have them.
//!
//! ```text
//!   http ── letter ──> the call's shard ──> engine ── Step ──> journal, committed ──> Post ──> whoever asks
//! ```
//!
//! A step may come before anybody waits for it, and be asked for more than once: the last one of each call stays, and those
//! of calls that are over for a while.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{oneshot, watch};
use tokio::time;
use tracing::error;

use crate::call::errand::{Said, Step};
use crate::edge::inbox::{Letter, Mailbox};
use crate::edge::reception::Left;
use crate::net::clock;
use crate::types::ids::CallUuid;

/// Something that is told of one call.
pub(super) struct AbroadLetter {
    pub(super) call: CallUuid,
    pub(super) said: Said,
    /// Answered when what came of it is written down; dropped: it could not be.
    pub(super) heard: oneshot::Sender<()>,
}

/// The last step of each call.
#[derive(Default)]
pub(super) struct Steps(Mutex<Book>);

#[derive(Default)]
struct Book {
    calls: BTreeMap<CallUuid, watch::Sender<Option<Step>>>,
    /// Calls that are over, and since when, the first one first.
    over: VecDeque<(Instant, CallUuid)>,
}

/// It is not known whether it was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unheard;

/// What is asked of the shards.
pub(super) struct Correspondence {
    steps: Arc<Steps>,
    shards: Vec<Mailbox>,
}

/// What a shard says that is not written down yet.
pub(super) struct AbroadDesk {
    steps: Arc<Steps>,
    said: Vec<(CallUuid, Step)>,
    heard: Vec<oneshot::Sender<()>>,
}

impl Steps {
    /// The steps of a call from now on.
    fn of(&self, call: CallUuid) -> watch::Receiver<Option<Step>> {
        let mut book = self.book();
        book.forget(clock::now());
        let steps = book.calls.entry(call);
        steps
            .or_insert_with(|| watch::Sender::new(None))
            .subscribe()
    }

    fn publish(&self, now: Instant, call: CallUuid, step: Step) {
        let mut book = self.book();
        let is_over = !matches!(step, Step::Call(_));
        let steps = book.calls.entry(call);
        let steps = steps.or_insert_with(|| watch::Sender::new(None));
        steps.send_replace(Some(step));
        if is_over {
            book.over.push_back((now, call));
        }
        book.forget(now);
    }

    /// It has not, after all.
    fn forget(&self, call: CallUuid) {
        self.book().calls.remove(&call);
    }

    /// Whether this process has heard of the call.
    fn has(&self, call: CallUuid) -> bool {
        self.book().calls.contains_key(&call)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Forgets calls that are over for long.
    fn forget(&mut self, now: Instant) {
        while let Some((since, call)) = self.over.front()
            && (now.saturating_duration_since(*since) > REMEMBERED || self.over.len() > MOST_OVER)
        {
            self.calls.remove(call);
            self.over.pop_front();
        }
    }
}

impl Correspondence {
    pub(super) fn new(steps: Arc<Steps>, shards: Vec<Mailbox>) -> Self {
        Self { steps, shards }
    }

    /// Whether this process has the call, or had it a while ago.
    pub(super) fn knows(&self, call: CallUuid) -> bool {
        self.steps.has(call)
    }

    /// Has calls taken up that the last process has begun, and returns when their shards have them.
    pub(super) fn take_up(&self, left: Vec<Left>) {
        let mut left = left.into_iter();
        loop {
            let batch = left.by_ref().take(BATCH).map(|call| self.post_left(call));
            let batch: Vec<_> = batch.collect();
            if batch.is_empty() {
                return;
            }
            let until = clock::now() + PATIENCE;
            for mut heard in batch {
                while heard.try_recv() == Err(TryRecvError::Empty) && clock::now() < until {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }
    }

    fn post_left(&self, call: Left) -> oneshot::Receiver<()> {
        let Left {
            uuid,
            beginning,
            before,
        } = call;
        // From here on it is known: who asks for it waits for what its shard says.
        drop(self.steps.of(uuid));
        let (heard, is_heard) = oneshot::channel();
        let said = Said::TakeUp(Box::new(beginning), Box::new(before));
        let letter = Letter::Abroad(AbroadLetter {
            call: uuid,
            said,
            heard,
        });
        if !self.shard_of(uuid).is_some_and(|shard| shard.post(letter)) {
            self.steps.forget(uuid);
            error!(call = %uuid, "a call that goes on finds no room, and is taken up by the next process");
        }
        is_heard
    }

    fn shard_of(&self, call: CallUuid) -> Option<&Mailbox> {
        let bytes = call.as_bytes();
        let place = usize::from(bytes.last().copied().unwrap_or_default());
        self.shards.get(place % self.shards.len().max(1))
    }

    /// Tells of a call; it is written down when this returns.
    ///
    /// # Errors
    ///
    /// When its shard has no room, or nothing could be written down.
    pub(super) async fn tell(&self, call: CallUuid, said: Said) -> Result<(), Unheard> {
        let shard = self.shard_of(call);
        let (heard, is_heard) = oneshot::channel();
        let letter = Letter::Abroad(AbroadLetter { call, said, heard });
        if !shard.ok_or(Unheard)?.post(letter) {
            return Err(Unheard);
        }
        let heard = time::timeout(PATIENCE, is_heard).await;
        heard.map_err(|_| Unheard)?.map_err(|_| Unheard)
    }

    /// The next step of a call after that attempt; `None`: there is none yet.
    pub(super) async fn step(&self, call: CallUuid, after: u32) -> Option<Step> {
        let mut steps = self.steps.of(call);
        let is_next = |step: &Option<Step>| match step {
            Some(Step::Call(leg)) => leg.attempt > after,
            Some(Step::End(..) | Step::Refused(_) | Step::Unknown) => true,
            None => false,
        };
        let next = time::timeout(PATIENCE, steps.wait_for(is_next)).await;
        next.ok()?.ok()?.clone()
    }
}

impl AbroadDesk {
    pub(super) fn new(steps: Arc<Steps>) -> Self {
        Self {
            steps,
            said: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// The engine is about to be told.
    pub(super) fn begin(&mut self, heard: oneshot::Sender<()>) {
        self.heard.push(heard);
    }

    /// The engine says what is next.
    pub(super) fn take(&mut self, call: CallUuid, step: Step) {
        self.said.push((call, step));
    }

    /// What was said is written down, or could not be: then nobody hears of it, and whoever asked is not answered.
    pub(super) fn settle(&mut self, is_kept: bool) {
        for (call, step) in mem::take(&mut self.said) {
            if is_kept {
                self.steps.publish(clock::now(), call, step);
            }
        }
        for heard in self.heard.drain(..) {
            if is_kept {
                // Whoever asked may have stopped waiting.
                let _ = heard.send(());
            }
        }
    }
}

/// How long somebody waits who asks: a vendor waits for 15 s, and asks again if it is told to.
const PATIENCE: Duration = Duration::from_secs(7);

/// Calls that are taken up at once: fewer than a shard's letters.
const BATCH: usize = 1_024;

/// How long the end of a call is known, for who asks again.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// Calls that are over and still known, at most.
const MOST_OVER: usize = 20_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::errand::{Before, Beginning};
    use crate::twilio::connect::CompanyKey;
    use crate::twilio::sid::CallSid;
    use crate::twilio::ticket::Ticket;
    use crate::types::moment::Moment;
    use crate::types::number::Number;

    #[test]
    fn nobody_hears_of_a_step_before_it_is_written_down() {
        let steps = Arc::new(Steps::default());
        let mut desk = AbroadDesk::new(Arc::clone(&steps));
        let (kept, lost) = (call(1), call(2));

        desk.take(kept, end());
        assert!(!steps.has(kept), "not yet");
        desk.settle(true);
        desk.take(lost, end());
        desk.settle(false);

        assert!(matches!(*steps.of(kept).borrow(), Some(Step::End(..))));
        assert!(!steps.has(lost));
    }

    #[test]
    fn whoever_tells_something_hears_whether_it_counts() {
        let mut desk = AbroadDesk::new(Arc::default());
        for is_kept in [true, false] {
            let (heard, mut is_heard) = oneshot::channel();
            desk.begin(heard);
            assert!(is_heard.try_recv().is_err(), "not yet");
            desk.settle(is_kept);
            assert_eq!(is_heard.try_recv().is_ok(), is_kept);
        }
    }

    #[test]
    fn a_call_for_which_its_shard_has_no_room_is_not_known_here() {
        let steps = Arc::new(Steps::default());
        let nobody = Correspondence::new(Arc::clone(&steps), Vec::new());

        nobody.take_up(vec![left(call(1))]);

        assert!(!nobody.knows(call(1)), "whoever asks would wait for ever");
    }

    #[test]
    fn calls_that_are_over_are_forgotten_in_time_and_others_are_not() {
        let steps = Steps::default();
        let now = clock::now();
        let going_on = steps.of(call(1));
        steps.publish(now, call(2), end());

        let later = now + REMEMBERED + Duration::from_secs(1);
        steps.publish(later, call(3), end());

        assert!(steps.has(call(1)) && steps.has(call(3)));
        assert!(!steps.has(call(2)));
        assert!(going_on.borrow().is_none());
    }

    fn call(number: u8) -> CallUuid {
        CallUuid::from_bytes([number; 16])
    }

    fn left(uuid: CallUuid) -> Left {
        Left {
            uuid,
            beginning: Beginning {
                ticket: Ticket {
                    uuid: 1,
                    number: Number::from_e164(b"+15555550100").unwrap(),
                    company: CompanyKey(1),
                    caller: None,
                    leg: CallSid::from_bits(1),
                    expires: Moment::default(),
                    tags: [("a", "b")].into_iter().collect(),
                },
                tried: Vec::new(),
                limit: REMEMBERED,
            },
            before: Before {
                began: Moment::default(),
                tags: Vec::new(),
                tried: Vec::new(),
                answered: None,
                closing: None,
                alive: Moment::default(),
            },
        }
    }

    fn end() -> Step {
        Step::End("no_answer".into(), 603)
    }
}
