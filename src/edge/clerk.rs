//! What is still to come of calls that are over: late postbacks, conversions that are awaited, data for callers who will call.
//!
//! ```text
//!   http ── job ──> clerk ── store: what is known? ── late: what follows? ──> journal, committed ──> answer
//!                     └─ every 100 ms: whose conversion is due? ────────────────┘
//! ```
//!
//! There is one, on a thread of its own, so what is said of a call counts in one order, and its conversion counts once. What it has
//! written and the tables do not show yet it remembers.

mod fired;
mod waiting;

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::call::late::{Change, Late, Since, Stage};
use crate::edge::admin::Panel;
use crate::edge::clerk::waiting::Pairs;
use crate::edge::earlier::Conversions;
use crate::edge::journal;
use crate::edge::recall::Teller;
use crate::edge::storeroom::moment;
use crate::hooks::postback::{About, MOST_POSTS, Post};
use crate::store::entry::{Awaited, Conversion, Converted, Posted};
use crate::store::{self, Entry, Fate, Lane, LateStage, List, MOST_POSTED, Refused, Shelf};
use crate::telemetry::record::read_line;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// How often it is looked whose conversion is due.
const LOOK: Duration = Duration::from_millis(100);

/// Jobs that wait at most.
const JOBS: usize = 1024;

/// Jobs, or calls that are due, of one commit.
const BATCH: usize = 256;

/// The clerk's thread.
pub(super) struct Clerk {
    thread: JoinHandle<()>,
    is_over: Arc<AtomicBool>,
}

/// A way there.
#[derive(Clone)]
pub(super) struct ClerkDesk {
    jobs: SyncSender<Job>,
    shelf: Shelf,
}

/// Something that somebody says of a call that is over, or of a caller.
pub(super) struct Job {
    pub(super) post: Arc<Post>,
    /// How long tags wait for a caller.
    pub(super) keep: Duration,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// What has become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It counts, whatever happens to this process.
    Taken,
    /// There is no such call, or it is out of reach.
    NotThere,
    /// The call is about to be over: ask again.
    NotYet,
    /// The call has had too many already, or too many tags wait for the caller, or for others.
    Full,
    /// It cannot be written down.
    Unkept,
}

impl ClerkDesk {
    /// Leaves a job; `false`: too many wait.
    pub(super) fn post(&self, job: Job) -> bool {
        self.jobs.try_send(job).is_ok()
    }

    /// What is known of calls that are over.
    pub(super) fn shelf(&self) -> &Shelf {
        &self.shelf
    }
}

impl Clerk {
    /// Starts it; it writes to `lane`.
    pub(super) fn start(
        shelf: Shelf,
        lane: Lane,
        (panel, teller): (Arc<Panel>, Teller),
    ) -> io::Result<(Self, ClerkDesk)> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (sender, jobs) = sync_channel(JOBS);
        let desk = ClerkDesk {
            jobs: sender,
            shelf: shelf.clone(),
        };
        let work = Work {
            shelf,
            lane,
            panel,
            teller,
            known: HashMap::new(),
            stored: HashMap::new(),
            answers: Vec::new(),
            is_stuck: false,
            lost: None,
        };
        let thread = thread::Builder::new().name("clerk".to_owned());
        let thread = thread.spawn({
            let is_over = Arc::clone(&is_over);
            move || work.run(&jobs, &is_over)
        })?;
        Ok((Self { thread, is_over }, desk))
    }

    /// Ends it; what it has answered is in the journal.
    pub(super) fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        if self.thread.join().is_err() {
            error!("the thread of late postbacks has panicked");
        }
    }
}

struct Work {
    shelf: Shelf,
    lane: Lane,
    panel: Arc<Panel>,
    /// Other calls of the caller may go on.
    teller: Teller,
    /// Calls of which something was written that is perhaps not in the tables yet.
    known: HashMap<CallUuid, Known>,
    /// Tags that wait for callers, by name and caller, and are perhaps not in the tables yet; and where the journal must be applied up to.
    stored: HashMap<(String, String), (Pairs, u64)>,
    /// Who waits for the commit.
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    /// The last commit has failed, and it was said.
    is_stuck: bool,
    /// Something was not taken down: nothing is taken until all that was before it is in the tables.
    lost: Option<u64>,
}

struct Known {
    late: Late,
    /// Where the journal must be applied up to.
    end: u64,
}

impl Work {
    fn run(mut self, jobs: &Receiver<Job>, is_over: &AtomicBool) {
        let mut next_look = moment();
        while !is_over.load(Ordering::Relaxed) {
            match jobs.recv_timeout(LOOK) {
                Ok(first) => {
                    self.tidy();
                    let more = jobs.try_iter().take(BATCH - 1);
                    for job in std::iter::once(first).chain(more) {
                        self.serve(job, moment());
                    }
                    self.commit();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => thread::sleep(LOOK),
            }
            let now = moment();
            if now >= next_look || now.after(LOOK) < next_look {
                next_look = now.after(LOOK);
                self.tidy();
                self.look(now);
                self.commit();
            }
        }
    }

    /// Forgets what the tables show by now.
    fn tidy(&mut self) {
        let applied = self.shelf.applied(self.lane.id()).unwrap_or_default();
        self.known.retain(|_, known| known.end > applied);
        self.stored.retain(|_, (_, end)| *end > applied);
        if self.lost.is_some_and(|end| end <= applied) {
            self.lost = None;
        }
    }

    fn is_open(&self) -> bool {
        self.lost.is_none() && self.lane.is_open()
    }

    fn serve(&mut self, job: Job, now: Moment) {
        let Job { post, keep, answer } = job;
        let result = if self.is_open() {
            match post.about {
                About::Call(uuid) => self.take(uuid, &post, now),
                About::Caller(caller) => self.store(caller, &post, (now, now.after(keep))),
            }
        } else {
            Ok(Answer::Unkept)
        };
        let said = result.unwrap_or_else(|refused| {
            error!(%refused, "a postback is not kept");
            self.lost = Some(self.lane.end());
            self.known.clear();
            Answer::Unkept
        });
        self.answers.push((answer, said));
    }

    fn take(&mut self, uuid: CallUuid, post: &Post, now: Moment) -> Result<Answer, Refused> {
        let mut late = match self.known.remove(&uuid) {
            Some(known) => known.late,
            None => match self.find(uuid, post) {
                Ok(late) => late,
                Err(answer) => return Ok(answer),
            },
        };
        let is_within = post.pass.reaches(late.company(), late.campaign());
        let has_room = late.posts() < MOST_POSTS && late.has_room(&post.posting, MOST_POSTED);
        let answer = match (is_within, has_room) {
            (false, _) => Answer::NotThere,
            (true, false) => Answer::Full,
            (true, true) => {
                let past = self.past(&late);
                let change = late.handle_post(now, &past, &post.posting);
                self.keep_post(uuid, now, post, &change)?;
                self.keep_change(&late, now, &change)?;
                self.remember(&late, now, &change)?;
                Answer::Taken
            }
        };
        let end = self.lane.end();
        self.known.insert(uuid, Known { late, end });
        Ok(answer)
    }

    fn find(&self, uuid: CallUuid, post: &Post) -> Result<Late, Answer> {
        match self.shelf.fate(uuid) {
            Ok(Fate::Unknown) => Err(Answer::NotThere),
            Ok(Fate::Open(call)) => {
                let admitted = call.admitted();
                let whose = admitted.and_then(|call| call.company.zip(call.campaign));
                if whose.is_some_and(|(company, campaign)| post.pass.reaches(company, campaign)) {
                    Err(Answer::NotYet)
                } else {
                    Err(Answer::NotThere)
                }
            }
            Ok(Fate::Over(late)) => self.read(*late).ok_or(Answer::NotThere),
            Err(error) => {
                error!(%error, "what is known of a call cannot be read");
                Err(Answer::Unkept)
            }
        }
    }

    /// A call as its record tells of it.
    fn read(&self, kept: store::Late) -> Option<Late> {
        let remains = read_line(kept.line.as_deref()?)?;
        let since = Since {
            ended: kept.ended,
            stage: match kept.stage {
                LateStage::Undetermined => Stage::Undetermined,
                LateStage::Awaited(group) => Stage::Awaited(group.into()),
                LateStage::Settled(conversion) => {
                    Stage::Settled(conversion.as_ref().map(journal::read_settled))
                }
            },
            posts: kept.posts,
            posted: journal::read_said(&kept.said),
            tags: kept.tags,
        };
        Late::new(&self.panel.policy(), remains, since)
    }

    /// Finds out whose conversion is due.
    fn look(&mut self, now: Moment) {
        if !self.is_open() {
            return;
        }
        let due = match self.shelf.due(now, BATCH) {
            Ok(due) => due,
            Err(error) => {
                if !self.is_stuck {
                    error!(%error, "conversions wait");
                }
                self.is_stuck = true;
                return;
            }
        };
        for kept in due {
            if self.settle(kept, now).is_err() {
                self.lost = Some(self.lane.end());
                self.known.clear();
                return;
            }
        }
    }

    fn settle(&mut self, kept: store::Late, now: Moment) -> Result<(), Refused> {
        let uuid = kept.uuid;
        let known = self.known.remove(&uuid).map(|known| known.late);
        // What is written already, and not in the tables yet, is not done again.
        let is_done = known
            .as_ref()
            .is_some_and(|late| match (late.stage(), &kept.stage) {
                (Stage::Undetermined, _) => false,
                (Stage::Awaited(_), stage) => *stage == LateStage::Undetermined,
                (Stage::Settled(_), _) => true,
            });
        let late = known.or_else(|| self.read(kept));
        let Some(mut late) = late else {
            warn!(call = %uuid, "a conversion is given up: its campaign is gone, or its record cannot be read");
            return self.lane.append(&Entry::Converted(Converted {
                uuid,
                conversion: Conversion::none(now),
                claims: List::default(),
                deliveries: List::default(),
            }));
        };
        if !is_done {
            let past = self.past(&late);
            let change = late.handle_due(now, &past);
            self.keep_change(&late, now, &change)?;
            self.remember(&late, now, &change)?;
        }
        let end = self.lane.end();
        self.known.insert(uuid, Known { late, end });
        Ok(())
    }

    /// Takes down what was said, and what is to be delivered if nothing else follows.
    fn keep_post(
        &mut self,
        uuid: CallUuid,
        now: Moment,
        post: &Post,
        change: &Change,
    ) -> Result<(), Refused> {
        let posting = &post.posting;
        let tags = journal::stored_tags(posting);
        let (payout, revenue) = journal::amounts(&posting.posted);
        let deliveries = match &change.settled {
            Some(_) => &[][..],
            None => &change.deliveries,
        };
        let headers: Vec<_> = deliveries.iter().map(journal::headers).collect();
        let deliveries: Vec<_> = journal::kept_all(deliveries, &headers, now);
        self.lane.append(&Entry::Posted(Posted {
            uuid,
            at: now,
            tags: tags.into(),
            said: journal::said(&posting.posted, &payout, &revenue),
            deliveries: deliveries.into(),
        }))
    }

    /// Takes down what follows for the conversion.
    fn keep_change(&mut self, late: &Late, now: Moment, change: &Change) -> Result<(), Refused> {
        let uuid = late.uuid();
        let headers: Vec<_> = change.deliveries.iter().map(journal::headers).collect();
        let deliveries = journal::kept_all(&change.deliveries, &headers, now);
        if let Some(settled) = &change.settled {
            let names: Vec<_> = change.counted.iter().map(journal::window_names).collect();
            let claims = journal::claims(&change.counted, &names, now);
            let worth = settled.worth;
            let (payout, revenue) = (
                worth.map(|(payout, _)| payout.to_string()),
                worth.map(|(_, revenue)| revenue.to_string()),
            );
            self.lane.append(&Entry::Converted(Converted {
                uuid,
                conversion: Conversion {
                    at: now,
                    group: &settled.group,
                    is_converted: settled.is_converted,
                    payout: payout.as_deref(),
                    revenue: revenue.as_deref(),
                    is_payout_duplicate: settled.is_payout_duplicate,
                    is_revenue_duplicate: settled.is_revenue_duplicate,
                },
                claims: claims.into(),
                deliveries: deliveries.into(),
            }))?;
            for counted in &change.counted {
                self.panel.ledger.restore(counted, 1);
            }
            info!(call = %uuid, group = &*settled.group, converted = settled.is_converted, "conversion settled after the call");
            return Ok(());
        }
        let Some((group, until)) = &change.awaits else {
            return Ok(());
        };
        // What fires when a call's conversion is found out to be open has a way of its own.
        let posted = late.posted();
        let (payout, revenue) = journal::amounts(&posted);
        if !deliveries.is_empty() {
            self.lane.append(&Entry::Queued(store::entry::Queued {
                call: uuid,
                at: now,
                deliveries: deliveries.into(),
            }))?;
        }
        let line = match self.shelf.fate(uuid) {
            Ok(Fate::Over(kept)) => kept.line,
            Ok(Fate::Unknown | Fate::Open(_)) | Err(_) => None,
        };
        self.lane.append(&Entry::Awaited(Awaited {
            uuid,
            ended: late.ended(),
            until: *until,
            group: Some(group),
            said: journal::said(&posted, &payout, &revenue),
            line: line.as_deref().unwrap_or_default(),
        }))
    }

    /// What the caller's other calls have come to.
    fn past(&self, late: &Late) -> Conversions {
        let mut conversions = Conversions::default();
        let Some(caller) = late.caller() else {
            return conversions;
        };
        let known = self
            .shelf
            .caller(late.company(), &caller.to_string(), moment());
        match known {
            Ok(known) => {
                let asked = moment().before(self.panel.policy().memory());
                if known.left_out.is_some_and(|at| at >= asked) {
                    conversions.cut();
                }
                conversions.add_all(late.uuid(), known.earlier);
            }
            Err(error) => error!(%error, "what is known of a caller cannot be read"),
        }
        conversions.add_fired(late.fired());
        for other in self.known.values().map(|known| &known.late) {
            if other.caller() == Some(caller) && other.company() == late.company() {
                conversions.add_fired(other.fired());
            }
            if other.uuid() != late.uuid()
                && other.caller() == Some(caller)
                && other.company() == late.company()
                && let Stage::Settled(Some(settled)) = other.stage()
                && settled.is_converted
                && let Some(buyer) = other.buyer()
            {
                // What is not in the tables yet was just written.
                conversions.add(settled.group.clone(), buyer, moment());
            }
        }
        conversions
    }

    /// Hands all that was taken down to the kernel, and says so.
    fn commit(&mut self) {
        let result = self.lane.commit();
        if let Err(error) = &result
            && !self.is_stuck
        {
            error!(%error, "the journal cannot be written: postbacks are not taken");
        }
        self.is_stuck = result.is_err();
        for (answer, said) in self.answers.drain(..) {
            let is_lost = said == Answer::Taken && self.is_stuck;
            let said = if is_lost { Answer::Unkept } else { said };
            // Whoever asked may have stopped waiting.
            let _ = answer.send(said);
        }
    }
}
