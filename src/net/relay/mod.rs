//! The media relay: packets from socket to socket, on threads of its own.
//!
//! ```text
//!   a call's shard ── connect(plan), close ──> Relay: opens sockets, so that a taken port is known at once
//!                                                │ orders: a bounded queue and a bell
//!                                                v
//!   party ── packet ──> port ──> worker: epoll ─ passage ─> port ──> the other party
//!                                  │
//!                                  ├──> events; figures at the end
//!                                  │
//!                                  └── streams that just go on are lent to the kernel, if it takes any
//!                                      (`offload`): their packets meet no socket
//! ```
//!
//! A call's sockets all belong to one worker, so nothing is locked for a packet, nothing allocated, and nothing waits. What
//! is to become of a packet is decided in [`passage`](crate::media::passage).

mod books;
mod orders;
pub mod tap;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::thread::JoinHandle;

use mio::Poll;
use thiserror::Error;

use crate::media::figures::Figures;
use crate::media::plan::{Gate, Party, Plan, SessionId};
use crate::media::ports::owner;
use crate::media::vigil::Quiet;
use crate::net::offload::Offload;
use crate::net::relay::books::Books;
use crate::net::relay::orders::{Opened, Order, Orders};
use crate::net::relay::tap::Tap;
use crate::net::relay::worker::{BELL, Worker};
use crate::net::sockets;
use crate::telemetry::media::MediaCounts;

/// How the relay works.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Worker threads, at least one.
    pub threads: usize,
    /// The code point that packets are marked with (RFC 2474), 46 for voice (RFC 3246); 0: none.
    pub dscp: u8,
    /// Whether digits that are pressed are noted.
    pub keeps_digits: bool,
}

/// What the relay tells of its own accord, on one of its threads: whoever is told must not wait.
#[derive(Debug)]
pub enum Event {
    /// Somebody has been quiet for longer than the plan allows.
    Quiet {
        /// Of this call.
        session: SessionId,
        /// Who.
        quiet: Quiet,
    },
    /// Packets come from elsewhere. Told every now and then while it lasts.
    Foreign {
        /// To this call's port.
        session: SessionId,
        /// In the place of this party.
        party: Party,
        /// From here.
        source: SocketAddr,
    },
    /// A port cannot be used any more.
    Broken {
        /// Of this call; `None`: of many.
        session: Option<SessionId>,
        /// What the system says.
        error: io::Error,
    },
}

/// Why a plan cannot be carried out. Nothing of it was.
#[derive(Debug, Error)]
pub enum Unbound {
    /// A port cannot be opened: something else has it, or the address is not ours.
    #[error("cannot open {} port {}: {source}", .gate.address, .gate.port)]
    Port {
        /// The pair that it belongs to.
        gate: Gate,
        /// What the system says.
        source: io::Error,
    },
    /// A pair of ports for one call alone is in the plan twice.
    #[error("port {} of {} is planned twice", .gate.port, .gate.address)]
    Twice {
        /// The pair.
        gate: Gate,
    },
    /// On a shared port, another call's party has the same address.
    #[error("{source_address} has a call on shared port {} already", .gate.port)]
    Clash {
        /// The shared pair.
        gate: Gate,
        /// The party's address.
        source_address: SocketAddr,
    },
    /// A shared port is another worker's than the call is.
    #[error("shared port {} is not this call's worker's", .gate.port)]
    Elsewhere {
        /// The shared pair.
        gate: Gate,
    },
    /// A party's address is of the other family than our port's towards it, or one of the call's own ports.
    #[error("{remote} cannot be reached from {}", .gate.address)]
    Unreachable {
        /// Our side.
        gate: Gate,
        /// Where the party says it listens.
        remote: SocketAddr,
    },
    /// The worker has not carried out what it was told before.
    #[error("the relay does not keep up")]
    Busy,
}

/// A running relay. Dropping it ends its threads and closes its ports.
pub struct Relay {
    desks: Vec<Desk>,
    books: Mutex<Books>,
    dscp: u8,
}

/// One worker, as others see it.
struct Desk {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

/// What a session's figures are handed to.
pub type Done = Box<dyn FnOnce(Figures) + Send>;

impl Relay {
    /// Starts the workers; `offload` forwards in the kernel what can be, `None`: all goes through the sockets.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no epoll to give.
    pub fn start(
        settings: Settings,
        offload: Option<Offload>,
        counts: &Arc<MediaCounts>,
        on_event: impl Fn(Event) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let on_event: Arc<dyn Fn(Event) + Send + Sync> = Arc::new(on_event);
        let offload = offload.map(Arc::new);
        // Those that run already end when the relay is dropped.
        let mut relay = Self {
            desks: Vec::new(),
            books: Mutex::default(),
            dscp: settings.dscp,
        };
        for number in 0..settings.threads.max(1) {
            let poll = Poll::new()?;
            let orders = Arc::new(Orders::new(poll.registry(), BELL)?);
            let (queue, counts) = (Arc::clone(&orders), (Arc::clone(counts), offload.clone()));
            let on_event = Arc::clone(&on_event);
            let work = move || Worker::new(poll, queue, settings, counts, on_event).run();
            let thread = thread::Builder::new()
                .name(format!("relay-{number}"))
                .spawn(work)?;
            relay.desks.push(Desk {
                orders,
                thread: Some(thread),
            });
        }
        Ok(relay)
    }

    /// Carries out a plan: the first one of a session, or another one in its stead. When this returns, its ports are open.
    ///
    /// # Errors
    ///
    /// When that cannot be; the plan before, if there was one, stays.
    pub fn connect(&self, session: SessionId, plan: Plan) -> Result<(), Unbound> {
        let mut books = self.books();
        let entry = books.check(session, &plan, self.desks.len())?;
        let desk = self.desks.get(entry.worker()).ok_or(Unbound::Busy)?;
        if !desk.orders.has_room() {
            return Err(Unbound::Busy);
        }
        let mut opened = Vec::with_capacity(entry.new_gates().len());
        for gate in entry.new_gates() {
            opened.push(self.open(*gate)?);
        }
        books.enter(session, entry);
        // While the books are held, so that whoever has an address on a shared port after another has it there, too.
        desk.orders.give(Order::Connect {
            session,
            plan: Box::new(plan),
            opened,
        });
        Ok(())
    }

    /// Closes a session's ports and hands its figures to `done`, on a thread of the relay's. A session that there is not
    /// has heard nothing.
    pub fn close(&self, session: SessionId, done: Done) {
        let mut books = self.books();
        let worker = books.close(session);
        match worker.and_then(|worker| self.desks.get(worker)) {
            Some(desk) => desk.orders.give(Order::Close { session, done }),
            None => {
                drop(books);
                done(Figures::default());
            }
        }
    }

    /// Copies a session's packets into a tap from now on. `false`: there is no such session.
    pub fn tap(&self, session: SessionId, tap: Tap) -> bool {
        let books = self.books();
        let worker = books.worker_of(session);
        let Some(desk) = worker.and_then(|worker| self.desks.get(worker)) else {
            return false;
        };
        desk.orders.give(Order::Tap {
            session,
            tap: Box::new(tap),
        });
        true
    }

    /// Whether there is such a session.
    #[must_use]
    pub fn has(&self, session: SessionId) -> bool {
        self.books().worker_of(session).is_some()
    }

    /// Opens a shared gate before any plan has it, so that one that cannot be had shows at once. It stays open.
    ///
    /// # Errors
    ///
    /// When a port cannot be opened.
    pub fn share(&self, gate: Gate) -> Result<(), Unbound> {
        let worker = owner(gate.port, self.desks.len());
        let desk = self.desks.get(worker).ok_or(Unbound::Busy)?;
        let mut books = self.books();
        if books.is_open(gate) {
            return Ok(());
        }
        let opened = self.open(gate)?;
        books.share(gate);
        desk.orders.give(Order::Share(opened));
        Ok(())
    }

    fn open(&self, gate: Gate) -> Result<Opened, Unbound> {
        let open = |port| {
            let address = SocketAddr::new(gate.address, port);
            sockets::bind_media(address, self.dscp, gate.is_shared)
        };
        let pair = open(gate.port).and_then(|rtp| Ok([rtp, open(gate.port.saturating_add(1))?]));
        match pair {
            Ok(sockets) => Ok(Opened { gate, sockets }),
            Err(source) => Err(Unbound::Port { gate, source }),
        }
    }

    /// Whether a worker has ended, which only a fault of ours can cause.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        let mut threads = self.desks.iter().filter_map(|desk| desk.thread.as_ref());
        threads.any(JoinHandle::is_finished)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        // They are whole whenever the lock is given back, also by a panic.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        for desk in &self.desks {
            desk.orders.stop();
        }
        for thread in self.desks.iter_mut().filter_map(|desk| desk.thread.take()) {
            // A panic of it has been told of by the hook.
            let _ = thread.join();
        }
    }
}
