//! What is kept of calls. Their records go through the store if there is one, into a file of their own, to a listener, or
//! nowhere; with a store, deliveries are made, too.

use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tracing::{error, info};

use crate::call::input::Which;
use crate::call::record::Record;
use crate::config::{Dns, HttpClient, Storage};
use crate::edge::StartError;
use crate::edge::admin::Panel;
use crate::edge::clerk::{Clerk, ClerkDesk};
use crate::edge::courier::HttpCourier;
use crate::edge::deliveries::Deliveries;
use crate::edge::diary::Diary;
use crate::edge::inbox::Mailbox;
use crate::edge::journal;
use crate::edge::ledger::Ledger;
use crate::edge::notebook::Notebook;
use crate::edge::recall::{RecallDesk, Remembrance};
use crate::edge::reception::{Left, Reception, Whose};
use crate::edge::storeroom::{self, Storeroom, Terms};
use crate::edge::writers::{Destination, RecordWriter, Records, Teller};
use crate::store::Lane;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::record::RecordFile;
use crate::telemetry::store::StoreFigures;

/// Deliveries under way at once.
const UNDER_WAY: usize = 256;

/// What has to do with records.
pub(super) struct Keeping {
    /// `None`: there are none.
    records: Option<Records>,
    writer: Option<RecordWriter>,
    /// `None`: nothing outlives the process but them.
    store: Option<Storeroom>,
    deliveries: Option<Deliveries>,
    remembrance: Remembrance,
    /// For the clerk, until it starts.
    clerk_lane: Option<Lane>,
    clerk: Option<Clerk>,
    /// For the shards, in any order; none without a store.
    lanes: Vec<Lane>,
    notebook: Arc<Notebook>,
    teller: Teller,
}

/// What the configuration says of it.
pub(super) struct Wishes<'w> {
    pub(super) storage: Option<&'w Storage>,
    /// The file; `None`: one in the data directory, or none.
    pub(super) records: Option<PathBuf>,
    /// Named in records.
    pub(super) node: &'w str,
    /// How deliveries are made.
    pub(super) http_client: HttpClient,
    pub(super) dns: &'w Dns,
    pub(super) shards: usize,
    /// By what calls are known that a vendor carries.
    pub(super) whose: Whose<'w>,
}

impl Keeping {
    /// Starts the threads that it takes; with `sink`, records go there.
    pub(super) fn start(
        wishes: Wishes<'_>,
        sink: Option<SyncSender<Box<Record>>>,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let Wishes {
            storage,
            records,
            node,
            http_client,
            dns,
            shards,
            whose,
        } = wishes;
        let figures = StoreFigures::new(metrics);
        if storage.is_none() {
            info!("no data_dir: nothing outlives the process but the call records");
        }
        let store = storage.map(|storage| {
            let records = records.clone();
            let terms = Terms {
                storage,
                records,
                node,
                shards,
                whose,
            };
            Storeroom::open(terms, metrics, figures)
        });
        let (store, lanes) = store.transpose()?.unzip();
        let (lane, deliveries, notes, clerk_lane, lanes) = match lanes {
            Some(lanes) => (
                Some(lanes.records),
                Some(lanes.deliveries),
                Some(lanes.notes),
                Some(lanes.clerk),
                lanes.shards,
            ),
            None => (None, None, None, None, Vec::new()),
        };
        let shelf = store.as_ref().map(|store| store.shelf().clone());
        let notebook = Arc::new(Notebook::new(notes.zip(shelf)));
        let deliver = |(lane, store): (Lane, &Storeroom)| {
            let courier = HttpCourier::new(http_client, dns)?;
            Deliveries::start(store.shelf().clone(), lane, courier, UNDER_WAY)
        };
        let deliveries = deliveries.zip(store.as_ref()).map(deliver).transpose()?;
        let destination = match (lane, records) {
            (Some(lane), _) => Some(Destination::Lane(lane)),
            (None, Some(path)) if sink.is_none() => {
                let refused = |source: io::Error| {
                    let path = path.clone();
                    StartError::Records { path, source }
                };
                Some(Destination::File(
                    RecordFile::open(path.clone()).map_err(refused)?,
                ))
            }
            (None, _) => None,
        };
        let teller = Teller::default();
        let start = |destination| {
            let known = (Arc::clone(metrics), Arc::clone(&teller));
            RecordWriter::start(destination, node, known)
        };
        let (writer, records) = match (sink, destination) {
            (Some(sink), _) => (None, Some(Records::to(sink, Arc::clone(metrics)))),
            (None, destination) => destination.map(start).transpose()?.unzip(),
        };
        let shelf = store.as_ref().map(|store| store.shelf().clone());
        Ok(Self {
            records,
            writer,
            remembrance: Remembrance::start(shelf)?,
            store,
            deliveries,
            clerk_lane,
            clerk: None,
            lanes,
            notebook,
            teller,
        })
    }

    /// The calls that end with the process: those that a vendor carries only if nothing outlives it.
    pub(super) fn whom_to_end(&self) -> Which {
        match self.store {
            Some(_) => Which::Leaving,
            None => Which::All,
        }
    }

    /// Calls that the last process has begun, and that go on.
    pub(super) fn take_left(&mut self) -> Vec<Left> {
        let store = self.store.as_mut();
        store
            .map(|store| mem::take(&mut store.left))
            .unwrap_or_default()
    }

    /// Starts whoever hears what is said of calls that are over; `None`: there is no store.
    pub(super) fn start_clerk(&mut self, panel: &Arc<Panel>) -> io::Result<Option<ClerkDesk>> {
        let (Some(store), Some(lane)) = (&self.store, self.clerk_lane.take()) else {
            return Ok(None);
        };
        let (clerk, desk) = Clerk::start(
            store.shelf().clone(),
            lane,
            (Arc::clone(panel), self.remembrance.teller()),
        )?;
        self.clerk = Some(clerk);
        Ok(Some(desk))
    }

    /// From here on records say what a vendor has told of their calls.
    pub(super) fn note_teller(&self, reception: &Arc<Reception>) {
        // There is one.
        let _ = self.teller.set(Arc::clone(reception));
    }

    /// What a shard writes its diary into; `None`: nothing is kept.
    pub(super) fn take_diary(&mut self) -> Option<Diary> {
        self.lanes.pop().map(Diary::new)
    }

    /// What the HTTP side remembers.
    pub(super) fn notebook(&self) -> Arc<Notebook> {
        Arc::clone(&self.notebook)
    }

    /// Tells `ledger` what was counted before this process began.
    pub(super) fn restore(&self, ledger: &Ledger) {
        let Some(store) = &self.store else {
            return;
        };
        let windows = match store.shelf().windows() {
            Ok(windows) => windows,
            Err(error) => {
                error!(%error, "what was counted against limits cannot be read");
                return;
            }
        };
        let now = storeroom::moment();
        for pass in self.notebook.spent(now, journal::TICKETS).iter() {
            if let Some(pass) = journal::read_pass(pass) {
                // What does not fit any more is refused as it would have been before.
                let _ = ledger.spend(now, pass);
            }
        }
        for kept in windows {
            if let Some(counted) = journal::read_window(&kept.party, &kept.window) {
                ledger.restore(&counted, u32::try_from(kept.count).unwrap_or(u32::MAX));
            }
        }
    }

    /// A hand on the writer of records; `None`: there is none.
    pub(super) fn records(&self) -> Option<Records> {
        self.records.clone()
    }

    /// The way of a shard to what is remembered of callers.
    pub(super) fn recalls(&self, mailbox: &Mailbox) -> RecallDesk {
        self.remembrance.desk(mailbox.clone())
    }

    /// Has the file of records opened anew, for whoever has moved it away.
    pub(super) fn reopen(&self) {
        if let Some(writer) = &self.writer {
            writer.reopen();
        }
        if let Some(store) = &self.store {
            store.shelf().reopen_records();
        }
    }

    /// Waits until everything is kept; whoever else had a hand on it is gone.
    pub(super) fn stop(&mut self) {
        // The other senders are gone, so the writer sees the end now.
        self.records = None;
        if let Some(writer) = self.writer.take() {
            writer.join();
        }
        if let Some(clerk) = self.clerk.take() {
            clerk.stop();
        }
        if let Some(deliveries) = self.deliveries.take() {
            deliveries.stop();
        }
        self.remembrance.stop();
        // Nobody writes to the journal any more.
        if let Some(store) = self.store.take() {
            store.stop();
        }
    }
}
