//! The HTTP sidecar: what others may ask of a running edge, and tell it.
//!
//! ```text
//!  net::http::door ──> front ──> table: which route? ──> bearer: who? ──> body, in time ──> the route's own room
//!                        └── access log, metrics                                             directory, explain, lists, calls, openapi, posts
//! ```
//!
//! Each of its two sides has a runtime of its own on two threads, so nothing that is asked here can delay a call, nor what
//! comes from outside whoever administers the edge: `table` has the routes of those, by token, and [`vendors`] has the routes
//! of outside callers, who sign what they send; both have `postings`, by key. A listener has one of the two. A new room adds its routes to one of them, and
//! nothing else: bounds, scopes, metrics and the description come from there.

mod answer;
mod answers;
mod bearer;
mod calls;
mod captures;
mod directory;
mod errands;
mod explain;
mod fields;
mod front;
mod front_door;
mod lists;
mod member;
mod openapi;
mod orgs;
mod outbox;
mod path;
mod phone;
mod phones;
mod postings;
mod posts;
mod purchase;
mod rates;
mod table;
mod upstream;
mod vendor;
mod vendors;

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
use crate::config::Twilio;
use crate::config::http::{Http, HttpListener, Serves};
use crate::config::tls::Tls;
use crate::edge::StartError;
use crate::edge::accounts::{Switchboard, Vendor};
use crate::edge::admin::Panel;
use crate::edge::clerk::ClerkDesk;
use crate::edge::directory::Change;
use crate::edge::http::bearer::{LOCK, LOCKERS, TRIES};
use crate::edge::http::errands::Errands;
use crate::edge::http::front::Counter;
use crate::edge::http::rates::Rates;
use crate::edge::reception::Reception;
use crate::net::http::door;
use crate::net::http::door::Door;
use crate::net::sockets;
use crate::telemetry::http::{HttpCounts, VendorCounts};

/// Threads of each side of the service.
const THREADS: usize = 2;

/// Requests at once that take much memory.
const HEAVY: usize = 2;

/// What the rooms of the service share.
pub(super) struct Office {
    pub(super) panel: Arc<Panel>,
    /// What is counted of each side, administrators' first.
    counts: [Arc<HttpCounts>; 2],
    /// What is counted of webhooks.
    pub(super) vendors: VendorCounts,
    /// The way to the supervisor.
    pub(super) changer: mpsc::Sender<Change>,
    /// The way to whoever hears what is said of calls that are over; `None`: nothing is known of them.
    pub(super) clerk: Option<ClerkDesk>,
    /// How often each key was shown lately.
    rates: Mutex<Rates>,
    /// Where Twilio's calls are received.
    pub(super) reception: Arc<Reception>,
    /// Who tells soft phones of calls, and what orgs have entrusted to the edge.
    pub(super) switchboard: Arc<Switchboard>,
    /// The way to Twilio.
    pub(super) vendor: Vendor,
    /// What goes on without whoever asked for it.
    errands: Errands,
    /// For what takes much memory, or reads whole lists: a few at a time.
    pub(super) heavy: Semaphore,
    terms: Mutex<Terms>,
    guesses: Mutex<Guesses>,
}

/// What the configuration says of HTTP.
pub(super) struct Given<'g> {
    pub(super) http: Http,
    pub(super) tls: Option<&'g Tls>,
    pub(super) twilio: Option<Arc<Twilio>>,
    pub(super) objects: Arc<Objects>,
}

/// What a reload changes.
#[derive(Clone)]
struct Terms {
    http: Arc<Http>,
    tls: Option<Arc<ServerConfig>>,
    twilio: Option<Arc<Twilio>>,
    objects: Arc<Objects>,
}

impl Terms {
    fn of(given: Given<'_>) -> Self {
        Self {
            objects: given.objects,
            twilio: given.twilio,
            http: Arc::new(given.http),
            tls: given.tls.map(door::tls),
        }
    }
}

impl Office {
    pub(super) fn new(
        given: Given<'_>,
        (changer, clerk): (mpsc::Sender<Change>, Option<ClerkDesk>),
        reception: Arc<Reception>,
        (switchboard, vendor): (Arc<Switchboard>, Vendor),
        panel: &Arc<Panel>,
    ) -> Self {
        let mut guesses = Guesses::new(LOCKERS);
        guesses.set_rule(TRIES, LOCK);
        Self {
            counts: [false, true].map(|is_vendors| {
                let counts = HttpCounts::new(&panel.metrics, is_vendors);
                Arc::new(counts)
            }),
            vendors: VendorCounts::new(&panel.metrics),
            panel: Arc::clone(panel),
            changer,
            clerk,
            rates: Mutex::default(),
            reception,
            switchboard,
            vendor,
            errands: Errands::default(),
            heavy: Semaphore::new(HEAVY),
            terms: Mutex::new(Terms::of(given)),
            guesses: Mutex::new(guesses),
        }
    }

    /// Goes by new settings from the next request on; the listeners stay.
    pub(super) fn set_terms(&self, given: Given<'_>) {
        let terms = Terms::of(given);
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = terms;
    }

    /// The settings in force.
    pub(super) fn http(&self) -> Arc<Http> {
        self.terms_now().http
    }

    /// The routing data in force.
    pub(super) fn objects(&self) -> Arc<Objects> {
        self.terms_now().objects
    }

    /// What is known of Twilio.
    pub(super) fn twilio(&self) -> Option<Arc<Twilio>> {
        self.terms_now().twilio
    }

    fn terms_now(&self) -> Terms {
        let terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        terms.clone()
    }
}

/// The service.
pub(super) struct Sidecar {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
    addresses: Vec<SocketAddr>,
}

impl Sidecar {
    /// Opens the listeners and starts to serve.
    pub(super) fn start(
        listeners: &[HttpListener],
        office: &Arc<Office>,
    ) -> Result<Self, StartError> {
        let mut addresses = Vec::with_capacity(listeners.len());
        let (mut admin, mut vendors) = (Vec::new(), Vec::new());
        for listener in listeners {
            let socket: TcpListener = sockets::bind_tcp(listener.bind)?;
            addresses.push(socket.local_addr()?);
            let side = match listener.serves {
                Serves::Admin => &mut admin,
                Serves::Vendors => &mut vendors,
            };
            side.push(Door {
                socket,
                is_tls: listener.is_tls,
            });
        }
        let (stop, stopped) = watch::channel(false);
        let mut sidecar = Self {
            threads: Vec::new(),
            stop,
            addresses,
        };
        for (doors, serves) in [(admin, Serves::Admin), (vendors, Serves::Vendors)] {
            if !doors.is_empty() {
                let counter = Arc::new(Counter::new(office, serves));
                let thread = sidecar_thread(doors, counter, stopped.clone())?;
                sidecar.threads.push(thread);
            }
        }
        Ok(sidecar)
    }

    /// The addresses it listens on, with the ports that were really given.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Takes no more requests, and ends when those under way are answered.
    pub(super) fn stop(self) -> io::Result<()> {
        // An error means that it has ended already.
        let _ = self.stop.send(true);
        for thread in self.threads {
            let joined = thread.join();
            joined.map_err(|_| io::Error::other("an HTTP thread has panicked"))?;
        }
        Ok(())
    }
}

/// One side's thread, with a runtime of its own.
fn sidecar_thread(
    doors: Vec<Door>,
    counter: Arc<Counter>,
    stopped: watch::Receiver<bool>,
) -> io::Result<JoinHandle<()>> {
    let (name, workers) = match counter.serves {
        Serves::Admin => ("http-doors", "http"),
        Serves::Vendors => ("vendor-doors", "vendors"),
    };
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name(workers)
        .enable_all()
        .build()?;
    let work = move || {
        let counts = Arc::clone(&counter.counts);
        let office = counter.vendor_office();
        let served = runtime.block_on(door::serve(doors, counter, counts, stopped));
        if let Err(error) = served {
            error!(%error, "HTTP is not served any more");
        }
        if let Some(office) = office {
            let both = async { tokio::join!(office.switchboard.close(), office.errands.close()) };
            runtime.block_on(both);
        }
        // Work that a request left behind has no one to tell.
        runtime.shutdown_background();
    };
    thread::Builder::new().name(name.to_owned()).spawn(work)
}
