//! SIP over TCP and TLS (RFC 3261 §18): connections, and which of them leads where.
//!
//! ```text
//!   shards ── send(flow) ──> Streams ──> connection: a task of its own ──> peer
//!             a table: flow -> mailbox   │
//!   shards <── Bring ────────────────────┘ messages, and which flows are lost
//! ```
//!
//! A request whose flow has no connection opens one. A response goes along the connection of its
//! request, or home: to the address that its Via names, at a peer that we know (§18.2.2).
//!
//! No shard ever waits here: a send puts the message into a bounded mailbox, or fails.

mod connection;
pub mod end;
pub mod quota;
mod seat;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as Listening};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Handle, Runtime};
use tokio::task::AbortHandle;
use tokio::time;

use crate::auth::allowlist::Allowlist;
use crate::call::policy::Known;
use crate::config::Connections;
use crate::net::sockets;
use crate::net::streams::connection::mailbox;
use crate::net::streams::end::{End, Happened};
use crate::net::streams::quota::{Bounds, Serial};
use crate::net::streams::seat::{Seat, dial, greet};
use crate::net::streams::table::{Line, Posted, Table};
use crate::net::tls::Tls;
use crate::sip::error::ParseError;
use crate::sip::flow::{Flow, ListenerId, PeerId, Transport};
use crate::sip::header::Via;
use crate::sip::message::{Message, parse};
use crate::sip::name::Name;

/// Pause when no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long the end may take.
const STOP_TIME: Duration = Duration::from_secs(1);

/// Who hears what connections bring.
pub trait Bring: Send + Sync + 'static {
    /// Takes a message; `false`: there is no room, and it will be offered again.
    fn message(&self, flow: Flow, bytes: &Bytes) -> bool;

    /// Takes what cannot be read as a message, behind which nothing more comes; `false` as above.
    fn broken(&self, flow: Flow, error: ParseError, head: &Bytes) -> bool;

    /// Nothing can be sent along `flow` any more, and what was sent last may not have got there.
    fn lost(&self, flow: Flow);

    /// Something worth telling.
    fn happened(&self, what: Happened);

    /// A message was put on its way.
    fn sent(&self);

    /// So many connections are there now. Called while the table is locked: it must not ask for it.
    fn holds(&self, count: usize);
}

/// What connections go by; a reload replaces it.
pub struct Terms {
    /// Addresses that are no stranger's.
    pub known: Allowlist<Known>,
    /// How many there may be, and how long.
    pub connections: Connections,
    /// `None`: there is no TLS.
    pub tls: Option<Tls>,
}

/// One of our listening sockets.
pub struct Door {
    /// Its number.
    pub listener: ListenerId,
    /// TCP or TLS.
    pub transport: Transport,
    /// The socket, not blocking.
    pub socket: Listening,
}

/// All connections, and the threads that serve them. Dropping it ends them.
pub struct Streams<B: Bring> {
    lines: Arc<Lines<B>>,
    runtime: Option<Runtime>,
}

/// The table of connections, for whoever sends.
pub struct Lines<B: Bring> {
    table: Mutex<Table>,
    terms: Mutex<Arc<Terms>>,
    /// Our own address, by listener; `None`: not one of ours.
    binds: HashMap<ListenerId, SocketAddr>,
    bring: B,
    handle: Handle,
}

/// A message that was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsent;

impl<B: Bring> Streams<B> {
    /// Listens on `doors`, with so many threads.
    ///
    /// # Errors
    ///
    /// When the system has no threads or descriptors to give.
    pub fn start(doors: Vec<Door>, threads: usize, terms: Terms, bring: B) -> io::Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(threads.max(1))
            .thread_name("streams")
            .enable_all()
            .build()?;
        let mut binds = HashMap::new();
        for door in &doors {
            binds.insert(door.listener, door.socket.local_addr()?);
        }
        let lines = Arc::new(Lines {
            table: Mutex::default(),
            terms: Mutex::new(Arc::new(terms)),
            binds,
            bring,
            handle: runtime.handle().clone(),
        });
        for door in doors {
            let socket = {
                let _inside = runtime.enter();
                TcpListener::from_std(door.socket)?
            };
            let lines = Arc::clone(&lines);
            runtime.spawn(lines.listen(door.listener, door.transport, socket));
        }
        Ok(Self {
            lines,
            runtime: Some(runtime),
        })
    }

    /// The table, for whoever sends.
    #[must_use]
    pub fn lines(&self) -> Arc<Lines<B>> {
        Arc::clone(&self.lines)
    }

    /// Goes by `terms` for connections that begin from now on.
    pub fn set_terms(&self, terms: Terms) {
        *lock(&self.lines.terms) = Arc::new(terms);
    }

    /// Connections now.
    #[must_use]
    pub fn len(&self) -> usize {
        lock(&self.lines.table).quota.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<B: Bring> Drop for Streams<B> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(STOP_TIME);
        }
    }
}

impl<B: Bring> Lines<B> {
    /// Sends a message along `flow`, in whose order it stays.
    ///
    /// # Errors
    ///
    /// When there is no way, or the peer does not read. A way that turns out to lead nowhere later is
    /// told by [`Bring::lost`].
    pub fn send(self: &Arc<Self>, flow: Flow, bytes: Bytes) -> Result<(), Unsent> {
        let is_response = bytes.starts_with(b"SIP/2.0 ");
        let table = lock(&self.table);
        match table.post(flow, bytes) {
            Posted::Yes => {}
            Posted::Unread => return Err(Unsent),
            Posted::NoLine(bytes) if !is_response => self.open(table, flow, bytes)?,
            Posted::NoLine(bytes) => {
                let home = home(flow, &bytes).ok_or(Unsent)?;
                if !self.is_known(home.remote.ip()) {
                    return Err(Unsent);
                }
                match table.post(home, bytes) {
                    Posted::Yes => {}
                    Posted::Unread => return Err(Unsent),
                    Posted::NoLine(bytes) => self.open(table, home, bytes)?,
                }
            }
        }
        self.bring.sent();
        Ok(())
    }

    /// Keeps the connection of `flow`: a call came by it, and its peer is no stranger any more.
    pub fn keep(&self, flow: Flow) {
        if let Some(line) = lock(&self.table).by_flow.get(&flow) {
            line.is_kept.store(true, Ordering::Relaxed);
        }
    }

    /// Ends the connection of `flow`, if there is one.
    pub fn end(&self, flow: Flow) {
        let table = lock(&self.table);
        let serial = table.by_flow.get(&flow).map(|line| line.serial);
        table.evict(serial);
    }

    fn is_known(&self, address: IpAddr) -> bool {
        self.terms().known.longest_match(address).is_some()
    }

    fn terms(&self) -> Arc<Terms> {
        Arc::clone(&lock(&self.terms))
    }

    /// Opens a connection, with a message for when it is there.
    fn open(
        self: &Arc<Self>,
        mut table: MutexGuard<'_, Table>,
        flow: Flow,
        bytes: Bytes,
    ) -> Result<(), Unsent> {
        let terms = self.terms();
        let bind = *self.binds.get(&flow.listener).ok_or(Unsent)?;
        let (mailbox, outgoing) = mailbox();
        mailbox.post(bytes).map_err(|_| Unsent)?;
        let serial = table.next_serial();
        // What we open ourselves leads to peers of the configuration.
        let admitted = table
            .quota
            .admit(bounds(&terms), serial, flow.remote.ip(), true);
        table.evict(admitted.map_err(|_| Unsent)?);
        self.bring.holds(table.quota.len());
        let is_kept = Arc::new(AtomicBool::new(true));
        table.by_flow.insert(
            flow,
            Line {
                serial,
                mailbox: mailbox.clone(),
                is_kept: Arc::clone(&is_kept),
            },
        );
        drop(table);
        let mut seat = Seat {
            lines: Arc::clone(self),
            serial,
            flow,
            is_line: true,
            is_ours: true,
            end: Some(End::Evicted),
        };
        let task = self.handle.spawn(async move {
            let end = dial(&mut seat, &terms, (bind, is_kept), (mailbox, outgoing)).await;
            seat.finish(end);
        });
        self.seat(serial, task.abort_handle());
        Ok(())
    }

    /// Keeps the task of a connection that was just begun, unless its place is gone already. The table is not
    /// locked while a task is begun: a runtime that is ending drops it at once, and with it its seat.
    fn seat(&self, serial: Serial, task: AbortHandle) {
        let mut table = lock(&self.table);
        if table.quota.holds(serial) {
            table.tasks.insert(serial, task);
        } else {
            task.abort();
        }
    }

    /// Accepts connections for ever.
    async fn listen(
        self: Arc<Self>,
        listener: ListenerId,
        transport: Transport,
        socket: TcpListener,
    ) {
        loop {
            match socket.accept().await {
                Ok((stream, remote)) => {
                    let flow = Flow {
                        transport,
                        listener,
                        remote,
                        peer: PeerId::NOBODY,
                    };
                    self.admit(flow, stream);
                }
                Err(error) => {
                    self.bring.happened(Happened::Unaccepted(error));
                    time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Lets a connection in, or closes it.
    fn admit(self: &Arc<Self>, flow: Flow, stream: TcpStream) {
        let terms = self.terms();
        let address = flow.remote.ip();
        let is_known = terms.known.longest_match(address).is_some();
        let mut table = lock(&self.table);
        let serial = table.next_serial();
        let admitted = table.quota.admit(bounds(&terms), serial, address, is_known);
        let evicted = match admitted {
            Ok(evicted) => evicted,
            Err(why) => {
                drop(table);
                sockets::reset(&stream);
                self.bring.happened(Happened::Refused { flow, why });
                return;
            }
        };
        table.evict(evicted);
        self.bring.holds(table.quota.len());
        drop(table);
        let mut seat = Seat {
            lines: Arc::clone(self),
            serial,
            flow,
            is_line: false,
            is_ours: false,
            end: Some(End::Evicted),
        };
        let task = self.handle.spawn(async move {
            let end = greet(&mut seat, &terms, is_known, stream).await;
            seat.finish(end);
        });
        self.seat(serial, task.abort_handle());
    }
}

/// Where a response goes whose connection is gone: to the address it came from, at the port that its
/// Via names (RFC 3261 §18.2.2). By TLS only to a peer whose name is proved.
fn home(flow: Flow, response: &[u8]) -> Option<Flow> {
    if flow.transport == Transport::Tls && flow.peer == PeerId::NOBODY {
        return None;
    }
    let Ok(Message::Response(response)) = parse(response) else {
        return None;
    };
    let via = Via::parse(response.head.first(Name::Via)?).ok()?;
    let port = via.port.unwrap_or(flow.transport.default_port());
    (port != flow.remote.port()).then(|| Flow {
        remote: SocketAddr::new(flow.remote.ip(), port),
        ..flow
    })
}

fn bounds(terms: &Terms) -> Bounds {
    Bounds {
        most: terms.connections.most,
        per_stranger: terms.connections.per_stranger,
    }
}

/// Locks; what a panicking thread has left behind is whole between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
