//! Puts it together: sockets, shards, writers and the admin server, from the settings to the end.
//!
//! ```text
//!            ┌─────────── Edge ───────────────────────────────┐
//!  SIGHUP ──>│ reload                                         │
//!  SIGTERM ─>│ drain          orders                          │
//!            │   └──────────────┬───────────────┐             │
//!            │                  v               v             │
//!  UDP <────>│               shard 0 <──────> shard 1 ...     │
//!            │                  │   letters     │             │
//!            │                  └──> records <──┘             │──> file
//!  HTTP <───>│ admin <── boards, metrics                      │
//!            └────────────────────────────────────────────────┘
//! ```

mod abroad;
mod accounts;
mod addresses;
mod admin;
mod bound;
mod captures;
mod clerk;
mod courier;
pub mod deliveries;
pub mod demo;
mod diary;
mod directory;
mod disk;
mod drain;
mod earlier;
mod effects;
mod exits;
pub mod explain;
mod guard;
mod hall;
mod http;
mod inbox;
mod journal;
mod keeping;
mod last_sign;
mod ledger;
mod media;
mod notebook;
pub mod outbox;
mod pace;
mod postroom;
mod posts;
mod recall;
mod reception;
mod reload;
pub mod replay;
mod rtpengine;
mod self_check;
mod shard;
mod storeroom;
mod supervise;
mod turn;
mod valve;
mod ways;
mod webhooks;
mod writers;

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::thread;
use std::thread::JoinHandle;

use thiserror::Error;
use tokio::sync::mpsc;
use tracing::error;

use crate::call::policy::{Listener, Policy};
use crate::call::record::Record;
use crate::config::{Node, Settings};
use crate::edge::abroad::{AbroadDesk, Correspondence, Steps};
use crate::edge::admin::{Admin, Panel};
use crate::edge::bound::{Bound, ports, second_handles};
use crate::edge::captures::Captures;
use crate::edge::directory::Change;
use crate::edge::effects::Effects;
use crate::edge::guard::Guard;
use crate::edge::hall::Hall;
use crate::edge::http::{Given, Office, Sidecar};
use crate::edge::inbox::{Board, Door, Mailbox, Order};
use crate::edge::keeping::{Keeping, Wishes};
use crate::edge::ledger::Ledger;
use crate::edge::media::Planes;
use crate::edge::postroom::{Postroom, StreamSettings};
use crate::edge::reception::{Reception, Whose};
use crate::edge::reload::Fixed;
use crate::edge::self_check::SelfCheck;
use crate::edge::shard::Seat;
use crate::edge::valve::Valve;
use crate::edge::ways::Ways;
use crate::edge::webhooks::{WebhookDesk, Webhooks};
use crate::net::clock;
use crate::net::http_client::Client;
use crate::net::resolver::Resolver;
use crate::net::sockets;
use crate::net::sockets::BindError;
use crate::net::streams::{Door as StreamDoor, Streams, Terms};
use crate::net::tls::Unusable;
use crate::store;
use crate::telemetry::media::MediaCounts;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::rtpengine::RtpengineCounts;
use crate::telemetry::tally::Tally;
use crate::types::ids::{Entropy, ShardId};

pub use addresses::Addresses;
pub use disk::Disk;
pub use storeroom::audit;
pub use supervise::Crashed;
pub use writers::{Log, LogError};

/// Streams of the seed that the guards' keys are taken from: below that of the engines' nonces, far above the shards' own.
const GUARD_STREAM: u64 = u64::MAX - 1;

/// Why the edge could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] Unusable),
    /// The file of call records cannot be opened.
    #[error("cannot write call records to {path}: {source}")]
    Records {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] store::Unusable),
    /// What orgs have entrusted to the edge cannot be read.
    #[error("accounts cannot be read: {0}")]
    Accounts(#[from] store::Unread),
    /// Something else that the system has not got to give: threads, random numbers.
    #[error("the system refuses: {0}")]
    System(#[from] io::Error),
}

/// A running edge. Dropping it stops it at once.
pub struct Edge {
    panel: Arc<Panel>,
    shards: Vec<JoinHandle<()>>,
    /// TCP and TLS; `None`: no listener speaks them.
    streams: Option<Streams<Postroom>>,
    admin: Option<Admin>,
    keeping: Keeping,
    office: Arc<Office>,
    /// Changes of routing data; `None`: the supervisor has them.
    changes: Option<mpsc::Receiver<Change>>,
    /// `None`: nothing but metrics and health is served.
    sidecar: Option<Sidecar>,
    resolver: Option<Resolver>,
    /// What relays media.
    planes: Planes,
    /// `None`: it is over.
    webhooks: Option<Webhooks>,
    /// Our listeners with the ports they really have.
    listeners: Vec<Listener>,
    http: Option<SocketAddr>,
    node: Node,
    /// What a reload cannot change.
    fixed: Fixed,
    generation: u64,
}

impl Edge {
    /// Opens all sockets and starts all threads: when this returns, calls are taken.
    ///
    /// # Errors
    ///
    /// When an address is taken, or the system refuses something else; nothing runs then.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        Self::start_with(settings, None)
    }

    /// As [`start`](Self::start); with `sink`, call records go there instead of into a file.
    fn start_with(
        settings: Settings,
        sink: Option<SyncSender<Box<Record>>>,
    ) -> Result<Self, StartError> {
        let fixed = Fixed::of(&settings);
        let Settings {
            node,
            listeners,
            http,
            twilio,
            objects,
            telemetry,
            tls,
            peers,
            connections,
            dns,
            http_client,
            warnings: _,
            storage,
            mut policy,
            folders: _,
        } = settings;
        let Bound {
            listeners,
            shards: sockets,
            doors: stream_doors,
        } = Bound::open(listeners, node.shards)?;
        let panel_door = http.bind.map(sockets::bind_tcp).transpose()?;
        let http_address = panel_door
            .as_ref()
            .map(|door| door.local_addr())
            .transpose()?;
        let doors_of_http = http.listeners.clone();
        policy.listeners.clone_from(&listeners);
        let generation = policy.generation;
        let policy = Arc::new(policy);

        let metrics = Arc::new(Metrics::new());
        metrics.set_generation(generation);
        metrics.set_shards(node.shards);
        metrics.show_buyers(policy.directory.buyers.keys().map(|id| &**id));
        let wishes = Wishes {
            storage: storage.as_ref(),
            records: telemetry.records,
            node: &node.name,
            http_client: http_client.clone(),
            dns: &dns,
            shards: node.shards,
            whose: Whose::of(&policy, twilio.as_deref()),
        };
        let mut keeping = Keeping::start(wishes, sink, &metrics)?;

        let mut doors = Vec::with_capacity(node.shards);
        for _ in 0..node.shards {
            doors.push(Door::new(shard::BELL)?);
        }
        let mailboxes: Vec<Mailbox> = doors.iter().map(|door| door.mailbox.clone()).collect();
        let tls_of_http = tls.clone();
        let streams = StreamSettings {
            connections,
            tls,
            peers,
        };
        let streams = start_streams(stream_doors, node.shards, streams.terms(&policy)?, {
            Postroom::new(mailboxes.clone(), &metrics)
        })?;
        let boards: Vec<Arc<Board>> = doors.iter().map(|_| Arc::default()).collect();
        // The same for all shards: so one can tell a nonce that another has given out.
        let (seed, start) = (disk::draw()?, clock::now());
        let ledger = Arc::new(Ledger::default());
        keeping.restore(&ledger);
        let media_counts = Arc::new(MediaCounts::new(&metrics));
        let rtpengine_counts = RtpengineCounts::new(&metrics);
        let panel = Arc::new(Panel {
            ledger: Arc::clone(&ledger),
            policy: Mutex::new(Arc::clone(&policy)),
            metrics: Arc::clone(&metrics),
            mailboxes: mailboxes.clone(),
            boards: boards.clone(),
            sockets: second_handles(&sockets)?,
            is_draining: AtomicBool::new(false),
            media: Arc::clone(&media_counts),
            captures: Captures::open(telemetry.captures.as_deref())?,
        });
        if let Some(data_dir) = fixed.data_dir() {
            directory::clean(data_dir);
        }
        let (changer, changes) = mpsc::channel(directory::WAITING);
        let given = Given {
            http,
            tls: tls_of_http.as_ref(),
            twilio,
            objects,
        };
        let clerk = keeping.start_clerk(&panel)?;
        let steps: Arc<Steps> = Arc::default();
        let abroad = Correspondence::new(Arc::clone(&steps), mailboxes.clone());
        let known = (keeping.notebook(), abroad);
        let reception = Arc::new(Reception::new(storeroom::moment(), known, disk::draw()?));
        keeping.note_teller(&reception);
        let client = Client::new(http_client.clone(), &dns)?;
        let known = (given.twilio.as_deref(), &keeping.notebook());
        let desks = accounts::open(known, client, &metrics)?;
        let office = Office::new(given, (changer, clerk), reception, desks, &panel);
        // From here on an early return drops the edge, and that stops what already runs.
        let mut edge = Self {
            panel: Arc::clone(&panel),
            shards: Vec::with_capacity(node.shards),
            streams,
            admin: None,
            keeping,
            office: Arc::new(office),
            changes: Some(changes),
            sidecar: None,
            resolver: None,
            planes: Planes::default(),
            webhooks: None,
            listeners,
            http: http_address,
            node,
            fixed,
            generation,
        };
        let counts = (&media_counts, rtpengine_counts);
        let captures = panel.captures.as_ref();
        let threads = edge.node.shards;
        edge.planes = Planes::start(&policy.media, threads, counts, &mailboxes, captures)?;
        let hall = Hall {
            mailboxes: mailboxes.clone(),
            metrics: Arc::clone(&metrics),
        };
        let client = Client::new(http_client, &dns)?;
        let started = Webhooks::start(client, Arc::clone(&metrics))?;
        let webhooks = edge.webhooks.insert(started);
        let courier = webhooks.courier();
        let resolver = edge.resolver.insert(Resolver::start(dns, hall)?);
        let asker = resolver.asker();
        edge.look_names_up(&policy);
        for (((id, door), sockets), board) in (0..=u8::MAX).zip(doors).zip(sockets).zip(boards) {
            let mut key = [0; 16];
            Entropy::stream(seed, GUARD_STREAM - u64::from(id)).fill(&mut key);
            let seat = (ShardId(id), mailboxes.len());
            let guard = Guard::new(start, key, seat, Arc::clone(&policy));
            let valve = Valve::new(policy.overload, start, u64::from_ne_bytes([key[0]; 8]));
            let effects = Effects::new(
                ShardId(id),
                Ways {
                    ports: ports(sockets, edge.node.gso),
                    lines: edge.streams.as_ref().map(Streams::lines),
                    shards: mailboxes.clone(),
                    media: edge.planes.relay(&door.mailbox),
                    rtpengine: edge.planes.rtpengines(&door.mailbox),
                    webhooks: WebhookDesk::new(courier.clone(), door.mailbox.clone()),
                    recall: edge.keeping.recalls(&door.mailbox),
                    abroad: AbroadDesk::new(Arc::clone(&steps)),
                    asker: Some(asker.clone()),
                },
                (edge.keeping.records(), edge.keeping.take_diary()),
                ledger.till(),
                guard,
                valve,
                Tally::new(Arc::clone(&metrics)),
            );
            let seat = Seat {
                id: ShardId(id),
                seed,
                start,
                gather: edge.node.gather,
                policy: Arc::clone(&policy),
                poll: door.poll,
                inbox: door.inbox,
                effects,
                board,
            };
            let thread = thread::Builder::new().name(format!("shard-{id}"));
            edge.shards.push(thread.spawn(move || shard::run(seat))?);
        }
        drop((asker, courier));
        let left = edge.keeping.take_left();
        Correspondence::new(steps, mailboxes).take_up(left);
        edge.admin = Some(Admin::start(panel_door, panel)?);
        if !doors_of_http.is_empty() {
            edge.sidecar = Some(Sidecar::start(&doors_of_http, &edge.office)?);
        }
        SelfCheck::start(&edge.office)?;
        edge.announce();
        Ok(edge)
    }

    /// The addresses we listen on for SIP, in the order of the configuration, with the ports that
    /// were really given.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .map(|listener| listener.bind)
            .collect()
    }

    /// The address of the admin server, if there is one.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// The addresses at which HTTP is served besides, in the order of the configuration.
    #[must_use]
    pub fn http_addresses(&self) -> &[SocketAddr] {
        self.sidecar.as_ref().map_or(&[], Sidecar::addresses)
    }

    /// The number of the configuration in force.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The metrics as Prometheus reads them, in part: what is asked of the shards is missing.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.panel.metrics.render()
    }

    /// Refuses new calls from now on.
    pub fn drain(&self) {
        self.panel.is_draining.store(true, Ordering::Relaxed);
        self.panel.metrics.set_draining(true);
        self.order_all(|| Order::Drain);
    }

    /// Ends all calls; those that Twilio carries go on there, and are left to the next process if anything is.
    pub fn hang_up(&self) {
        self.order_all(|| Order::Hangup(self.keeping.whom_to_end()));
    }

    /// Stops all threads, and returns when the last call record is on the disk. Calls under way are
    /// left without a word; [`drain`](Self::drain) and [`hang_up`](Self::hang_up) come before.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(sidecar) = self.sidecar.take()
            && let Err(error) = sidecar.stop()
        {
            error!(%error, "HTTP has ended badly");
        }
        // Connections first: what they would bring has nobody to hear it.
        for mailbox in &self.panel.mailboxes {
            mailbox.stop();
        }
        for shard in self.shards.drain(..) {
            if shard.join().is_err() {
                error!("a shard has panicked");
            }
        }
        self.streams = None;
        if let Some(admin) = self.admin.take() {
            admin.stop();
        }
        // Only the shards could ask it besides.
        if let Some(resolver) = self.resolver.take() {
            resolver.stop();
        }
        if let Some(webhooks) = self.webhooks.take() {
            webhooks.stop();
        }
        // The records of the last calls come from there.
        mem::take(&mut self.planes).stop();
        self.keeping.stop();
    }

    /// Has the names of a policy looked up, and kept fresh.
    fn look_names_up(&self, policy: &Policy) {
        if let Some(resolver) = &self.resolver {
            let names = policy.names().cloned().collect();
            resolver.asker().set_names(names);
        }
    }

    fn order_all(&self, order: impl Fn() -> Order) {
        for (shard, mailbox) in self.panel.mailboxes.iter().enumerate() {
            if mailbox.order(order()).is_err() {
                error!(shard, "shard takes no orders");
            }
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts TCP and TLS, if a listener speaks them.
fn start_streams(
    doors: Vec<StreamDoor>,
    threads: usize,
    terms: Terms,
    postroom: Postroom,
) -> io::Result<Option<Streams<Postroom>>> {
    if doors.is_empty() {
        return Ok(None);
    }
    Streams::start(doors, threads, terms, postroom).map(Some)
}
