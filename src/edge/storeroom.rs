//! The store's threads, and who has which lane of the journal.
//!
//! ```text
//!   lane 0   records: ends of calls, from the thread that writes records
//!   lane 1   deliveries: how each went
//!   lane 2   notes: what the HTTP side remembers
//!   lane 3   what is said of calls that are over, from the clerk
//!   thread "keeper"   every 25 ms: journal ──> tables, file of records
//!   thread "syncer"   every 10 ms: journal ──> disk; twice a second a sign of life
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{io, str};

use tracing::{error, info, warn};

use crate::call::policy::Policy;
use crate::config::Storage;
use crate::edge::last_sign::LastSign;
use crate::edge::reception;
use crate::edge::reception::Whose;
use crate::net::clock;
use crate::store::entry::{Admitted, Answered, Awaited, Ended, Fired, Past, Said};
use crate::store::{
    Audit, Entry, Figures, Keeper, Lane, Left, List, Lock, Options, Rotation, Shelf, Store, Turn,
    Unusable,
};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::record::{CutOff, write_cut_off};
use crate::telemetry::store::StoreFigures;
use crate::types::moment::Moment;

/// Lanes of the journal besides those of the shards.
const LANES: u16 = 4;

/// How often the journal is brought to the disk.
const SYNC: Duration = Duration::from_millis(10);

/// How long the keeper waits after the disk has refused.
const RETRY: Duration = Duration::from_millis(250);

/// How often the figures are shown.
const SHOW: Duration = Duration::from_secs(1);

/// A store at work.
pub(super) struct Storeroom {
    keeper: JoinHandle<()>,
    syncer: JoinHandle<()>,
    is_over: Arc<AtomicBool>,
    shelf: Shelf,
    /// Calls that the last process has begun, and that go on.
    pub(super) left: Vec<reception::Left>,
    _lock: Lock,
}

/// Who writes to the journal.
pub(super) struct Lanes {
    pub(super) records: Lane,
    pub(super) deliveries: Lane,
    pub(super) notes: Lane,
    pub(super) clerk: Lane,
    /// One for each shard.
    pub(super) shards: Vec<Lane>,
}

/// What it takes to open a store.
pub(super) struct Terms<'t> {
    pub(super) storage: &'t Storage,
    /// The file of records; `None`: one in the data directory.
    pub(super) records: Option<PathBuf>,
    /// Named in records.
    pub(super) node: &'t str,
    pub(super) shards: usize,
    /// By what calls are known that a vendor carries.
    pub(super) whose: Whose<'t>,
}

impl Storeroom {
    /// Opens the store, ends the calls that the last process has left, and starts.
    pub(super) fn open(
        terms: Terms<'_>,
        metrics: &Arc<Metrics>,
        figures: StoreFigures,
    ) -> Result<(Self, Lanes), Unusable> {
        let storage = terms.storage;
        let options = Options {
            records: terms.records,
            rotation: Rotation {
                size: storage.rotate_size,
                is_daily: storage.rotate_daily,
            },
            keep: storage.keep,
            backlog: storage.backlog,
            ..Options::default()
        };
        let lanes = u16::try_from(terms.shards).unwrap_or(u16::MAX - LANES) + LANES;
        let Store {
            lanes,
            keeper,
            shelf,
            mut left,
            lock,
        } = Store::open(&storage.data_dir, lanes, options, moment())?;
        let mut lanes = lanes.into_iter();
        let system = |source| Unusable::System {
            path: storage.data_dir.clone(),
            source,
        };
        let missing = || system(io::ErrorKind::NotFound.into());
        let mut records = lanes.next().ok_or_else(missing)?;
        let deliveries = lanes.next().ok_or_else(missing)?;
        let notes = lanes.next().ok_or_else(missing)?;
        let clerk = lanes.next().ok_or_else(missing)?;
        let sign = LastSign::open(&storage.data_dir).map_err(system)?;
        let now = moment();
        let alive = sign.left.unwrap_or(now).min(now);
        let whose = &terms.whose;
        let going_on = whose.take(&mut left.calls, &shelf, (now, alive));
        announce(storage, &left, going_on.len());
        end_left(&left, (terms.node, sign.left), whose.policy(), &mut records).map_err(system)?;

        let is_over = Arc::new(AtomicBool::new(false));
        let job = KeeperJob {
            keeper,
            shelf: shelf.clone(),
            gather: storage.gather,
            is_over: Arc::clone(&is_over),
            metrics: Arc::clone(metrics),
            figures,
        };
        let keeper = thread::Builder::new().name("keeper".to_owned());
        let keeper = keeper.spawn(move || job.run()).map_err(system)?;
        let syncer = thread::Builder::new().name("syncer".to_owned());
        let syncer = syncer.spawn({
            let (shelf, is_over) = (shelf.clone(), Arc::clone(&is_over));
            move || sync(&shelf, &is_over, sign)
        });
        let syncer = syncer.inspect_err(|_| is_over.store(true, Ordering::Relaxed));
        let room = Self {
            keeper,
            syncer: syncer.map_err(system)?,
            is_over,
            shelf,
            left: going_on,
            _lock: lock,
        };
        let lanes = Lanes {
            records,
            deliveries,
            notes,
            clerk,
            shards: lanes.collect(),
        };
        Ok((room, lanes))
    }

    /// For whoever has a question.
    pub(super) fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Waits until all that the lanes have written is in the tables; nobody writes any more.
    pub(super) fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in [self.keeper, self.syncer] {
            thread.thread().unpark();
            if thread.join().is_err() {
                error!("a thread of the store has panicked");
            }
        }
    }
}

struct KeeperJob {
    keeper: Keeper,
    shelf: Shelf,
    gather: Duration,
    is_over: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
    figures: StoreFigures,
}

impl KeeperJob {
    fn run(mut self) {
        let mut shown = clock::now();
        let mut is_stuck = false;
        loop {
            // First: what was written before it was said to be over is kept.
            let is_last = self.is_over.load(Ordering::Relaxed);
            let pause = match self.keeper.turn(moment()) {
                Ok(Turn {
                    records, is_more, ..
                }) => {
                    self.metrics.add_records_written(records);
                    if is_stuck {
                        info!("what has happened can be kept again: calls are let in");
                    }
                    is_stuck = false;
                    if is_more {
                        continue;
                    }
                    self.gather
                }
                Err(error) => {
                    if !is_stuck {
                        error!(%error, "what has happened cannot be kept: no call is let in");
                    }
                    is_stuck = true;
                    RETRY
                }
            };
            let now = clock::now();
            if is_last || now.saturating_duration_since(shown) >= SHOW {
                shown = now;
                self.show();
            }
            if is_last {
                return;
            }
            thread::park_timeout(pause);
        }
    }

    fn show(&self) {
        let Figures {
            entries,
            lost,
            backlog,
            waiting,
            under_way,
            damage,
            is_shut,
            ..
        } = self.shelf.figures();
        self.figures.set_entries(entries, lost);
        self.figures.set_state(backlog, is_shut);
        self.figures.set_damage(damage.torn, damage.skipped);
        self.figures.set_deliveries(waiting, under_way);
    }
}

fn sync(shelf: &Shelf, is_over: &AtomicBool, mut sign: LastSign) {
    let mut is_failing = false;
    while !is_over.load(Ordering::Relaxed) {
        sign.give(moment());
        let result = shelf.sync();
        if let Err(error) = &result
            && !is_failing
        {
            error!(%error, "the journal does not get to the disk");
        }
        is_failing = result.is_err();
        thread::park_timeout(SYNC);
    }
    // The last entries; the kernel has them in any case.
    let _ = shelf.sync();
}

/// Says what is kept, and what the last process has left.
fn announce(storage: &Storage, left: &Left, going_on: usize) {
    let Left {
        calls,
        entries,
        damage,
    } = left;
    info!(
        data_dir = %storage.data_dir.display(),
        entries,
        calls = calls.len(),
        going_on,
        "the store is open"
    );
    if !calls.is_empty() {
        warn!(
            calls = calls.len(),
            "calls were cut off when the edge last ended: each gets a record"
        );
    }
    if damage.skipped > 0 || damage.unknown > 0 {
        error!(
            bytes = damage.skipped,
            entries = damage.unknown,
            "a part of the journal cannot be read: its file is kept as *.damaged"
        );
    }
}

/// Gives each call that was cut off its record: it ended when the edge was there for the last time, at `alive` at the earliest.
fn end_left(
    left: &Left,
    (node, alive): (&str, Option<Moment>),
    policy: &Policy,
    lane: &mut Lane,
) -> io::Result<()> {
    let now = moment();
    let mut line = Vec::new();
    for call in &left.calls {
        line.clear();
        let tagged = call.tagged();
        let tags = tagged.iter().flat_map(|tagged| tagged.tags.iter());
        let tags: Vec<_> = tags.map(|tag| (tag.key, tag.value, tag.origin)).collect();
        let Some((admitted, answered)) = call.admitted().map(|one| (one, call.answered())) else {
            error!("a call that was cut off cannot be read, and gets no record");
            continue;
        };
        let last = answered
            .as_ref()
            .map_or(admitted.at, |answered| answered.at);
        let ended = alive
            .map_or(last, |alive| alive.max(last))
            .min(now.max(last));
        let cut_off = CutOff {
            uuid: admitted.uuid,
            began: admitted.at,
            generation: admitted.generation,
            trunk: admitted.trunk,
            user: admitted.user,
            dialled: admitted.dialled,
            caller: admitted.caller,
            campaign: admitted.campaign,
            afid: admitted.afid,
            sid: admitted.sid,
            call_id: admitted.call_id,
            answered: answered.as_ref().map(|one| (one.at, one.buyer)),
            ended,
            company: admitted.company,
            tags: &tags,
        };
        write_cut_off(&mut line, node, &cut_off);
        // JSON is text.
        let line = str::from_utf8(&line).unwrap_or_default().trim_end();
        if admitted.campaign.is_some() {
            // What follows from its end follows at once: its webhooks, its conversion.
            let awaited = Entry::Awaited(Awaited {
                uuid: admitted.uuid,
                ended,
                until: ended,
                group: None,
                said: Said::default(),
                line,
            });
            lane.append(&awaited).map_err(io::Error::other)?;
        }
        let marks = marks(&admitted, answered.is_some(), policy);
        let fired = marks.iter().map(|mark| Fired {
            hook: mark,
            at: ended,
        });
        let fired: Vec<_> = fired.collect();
        let entry = Entry::Ended(Ended {
            uuid: admitted.uuid,
            at: ended,
            line,
            past: past(&admitted, answered.as_ref(), &fired),
            conversion: None,
            claims: Vec::new().into(),
            deliveries: Vec::new().into(),
        });
        lane.append(&entry).map_err(io::Error::other)?;
    }
    lane.commit()
}

/// The lists onto which the caller of a call comes that was cut off.
fn marks<'p>(call: &Admitted<'_>, is_answered: bool, policy: &'p Policy) -> Vec<&'p str> {
    let Some(id) = call.campaign else {
        return Vec::new();
    };
    let mut campaigns = policy.directory.campaigns.iter();
    let campaign = campaigns.find(|one| *one.id == *id);
    let lists = campaign.into_iter().flat_map(|campaign| &campaign.fills);
    let guests = lists.filter_map(|list| list.guests.as_ref());
    let marking = guests.filter(|guests| guests.marks(id, is_answered));
    marking.map(|guests| &*guests.mark).collect()
}

/// What later calls of the caller want to know of a call that was cut off.
fn past<'c>(
    admitted: &Admitted<'c>,
    answered: Option<&Answered<'c>>,
    marks: &'c [Fired<'c>],
) -> Option<Past<'c>> {
    if answered.is_none() && marks.is_empty() {
        return None;
    }
    Some(Past {
        company: admitted.company?,
        caller: admitted.caller?,
        number: admitted.dialled?,
        campaign: admitted.campaign?,
        afid: admitted.afid,
        buyer: answered.map(|answered| answered.buyer),
        answered: answered.map(|answered| answered.at),
        fired: List::from(marks),
    })
}

/// Whether what is in a data directory adds up, once all that the journal holds is in the tables. No edge runs on it.
///
/// # Errors
///
/// When an edge does, when there is none, or when it cannot be read.
pub fn audit(data_dir: &Path) -> Result<Audit, Unusable> {
    if !data_dir.join("format").exists() {
        return Err(Unusable::System {
            path: data_dir.to_owned(),
            source: io::Error::new(io::ErrorKind::NotFound, "no edge has kept anything there"),
        });
    }
    let store = Store::open(data_dir, 0, Options::default(), moment())?;
    Ok(store.shelf.audit()?)
}

/// The time of day.
pub(super) fn moment() -> Moment {
    let millis = clock::wall().as_millis();
    Moment::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
