//! The HTTP sidecar: what others may ask of a running edge, and tell it.
//!
//! ```text
//!  net::http::door ──> front ──> table: which route? ──> bearer: who? ──> body, in time ──> the route's own room
//!                        └── access log, metrics                                             directory, lists, openapi
//! ```
//!
//! It has a runtime of its own on two threads, so nothing that is asked here can delay a call. A new room adds its
//! routes to [`table`], and nothing else: bounds, scopes, metrics and the description come from there.

mod answer;
mod bearer;
mod directory;
mod front;
mod lists;
mod openapi;
mod table;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::thread::JoinHandle;

use rustls::ServerConfig;
use tokio::runtime;
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::error;

use crate::auth::guess::Guesses;
use crate::config::Objects;
use crate::config::http::{Http, HttpListener};
use crate::config::tls::Tls;
use crate::edge::StartError;
use crate::edge::admin::Panel;
use crate::edge::directory::Change;
use crate::edge::http::bearer::{LOCK, LOCKERS, TRIES};
use crate::net::http::door;
use crate::net::http::door::Door;
use crate::net::sockets;
use crate::telemetry::http::HttpCounts;

/// Threads of the service.
const THREADS: usize = 2;

/// Requests at once that take much memory.
const HEAVY: usize = 2;

/// What the rooms of the service share.
pub(super) struct Office {
    pub(super) panel: Arc<Panel>,
    pub(super) counts: Arc<HttpCounts>,
    /// The way to the supervisor.
    pub(super) changer: mpsc::Sender<Change>,
    /// For what takes much memory, or reads whole lists: a few at a time.
    pub(super) heavy: Semaphore,
    terms: Mutex<Terms>,
    guesses: Mutex<Guesses>,
}

/// What a reload changes.
#[derive(Clone)]
struct Terms {
    http: Arc<Http>,
    tls: Option<Arc<ServerConfig>>,
    objects: Arc<Objects>,
}

impl Terms {
    fn of((http, tls, objects): (Http, Option<&Tls>, Arc<Objects>)) -> Self {
        Self {
            objects,
            http: Arc::new(http),
            tls: tls.map(door::tls),
        }
    }
}

impl Office {
    pub(super) fn new(
        terms: (Http, Option<&Tls>, Arc<Objects>),
        changer: mpsc::Sender<Change>,
        panel: &Arc<Panel>,
    ) -> Self {
        let mut guesses = Guesses::new(LOCKERS);
        guesses.set_rule(TRIES, LOCK);
        Self {
            counts: Arc::new(HttpCounts::new(&panel.metrics)),
            panel: Arc::clone(panel),
            changer,
            heavy: Semaphore::new(HEAVY),
            terms: Mutex::new(Terms::of(terms)),
            guesses: Mutex::new(guesses),
        }
    }

    /// Goes by new settings from the next request on; the listeners stay.
    pub(super) fn set_terms(&self, http: Http, tls: Option<&Tls>, objects: Arc<Objects>) {
        let terms = Terms::of((http, tls, objects));
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = terms;
    }

    /// The routing data in force.
    pub(super) fn objects(&self) -> Arc<Objects> {
        self.terms_now().objects
    }

    fn terms_now(&self) -> Terms {
        let terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        terms.clone()
    }
}

/// The service.
pub(super) struct Sidecar {
    thread: JoinHandle<()>,
    stop: watch::Sender<bool>,
    addresses: Vec<SocketAddr>,
}

impl Sidecar {
    /// Opens the listeners and starts to serve.
    pub(super) fn start(
        listeners: &[HttpListener],
        office: Arc<Office>,
    ) -> Result<Self, StartError> {
        let mut doors = Vec::with_capacity(listeners.len());
        let mut addresses = Vec::with_capacity(listeners.len());
        for listener in listeners {
            let socket: TcpListener = sockets::bind_tcp(listener.bind)?;
            addresses.push(socket.local_addr()?);
            doors.push(Door {
                socket,
                is_tls: listener.is_tls,
            });
        }
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("http")
            .enable_all()
            .build()?;
        let (stop, stopped) = watch::channel(false);
        let work = move || {
            let counts = Arc::clone(&office.counts);
            let served = runtime.block_on(door::serve(doors, office, counts, stopped));
            if let Err(error) = served {
                error!(%error, "HTTP is not served any more");
            }
            // Work that a request left behind has no one to tell.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new()
            .name("http-doors".to_owned())
            .spawn(work)?;
        Ok(Self {
            thread,
            stop,
            addresses,
        })
    }

    /// The addresses it listens on, with the ports that were really given.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no more requests, and ends when those under way are answered.
    pub(super) fn stop(self) -> io::Result<()> {
        // An error means that it has ended already.
        let _ = self.stop.send(true);
        self.thread
            .join()
            .map_err(|_| io::Error::other("the HTTP thread has panicked"))
    }
}
