//! Asks rtpengine, away from the shards: a thread with an async runtime of its own, like the resolver's.
//!
//! ```text
//!   a shard ── Ask ──> desk: a flight per request ── UDP, resent ──> the call's rtpengine
//!      ^                │  no answer, no room: the next one, if nothing of the call is anywhere yet
//!      └──── Told ──────┘  and where it is: the call's later requests name that place
//!                          a ping to each, now and then: three lost and it gets no new calls
//! ```
//!
//! A call goes where its name's rank says, in proportion to the weights, so no memory of calls is kept here: whoever
//! asks says where the call is. A request that is sent again has the same cookie, by which rtpengine knows it.

mod desk;
mod instance;

use std::io;
use std::net::SocketAddr;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime;
use tokio::sync::mpsc;
use tracing::warn;

use crate::media::ng::ask::{Ask, Terms, Told};
use crate::net::clock;
use crate::net::rtpengine::desk::Desk;

/// Who is told, and what is counted.
pub trait Audience: Send + 'static {
    /// Gives an answer to whoever asked.
    fn tell(&self, told: Told);

    /// Counts one request to one rtpengine: its command, `ok` or a fault's label, and how long it took.
    fn count(&self, command: &'static str, result: &'static str, took: Duration);

    /// Counts a request that was sent again.
    fn count_resent(&self);

    /// An rtpengine was lost, or found again.
    fn note_health(&self, place: SocketAddr, is_there: bool);

    /// So many of those that calls go to are there, and so many are lost.
    fn note_standing(&self, up: usize, lost: usize);
}

/// A running client.
pub struct Client {
    asker: Asker,
    thread: JoinHandle<()>,
}

/// Asks it, from any thread.
#[derive(Debug, Clone)]
pub struct Asker(mpsc::Sender<Order>);

#[derive(Debug)]
enum Order {
    Ask(Box<Ask>),
    Terms(Terms),
}

/// There was no room for the question; nobody will answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl Client {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no random bytes left.
    pub fn start(terms: Terms, audience: impl Audience) -> io::Result<Self> {
        let (sender, orders) = mpsc::channel(ORDERS);
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = thread::Builder::new().name("rtpengine".to_owned());
        let thread = thread.spawn(move || {
            runtime.block_on(async move {
                let (arrivals, arrived) = mpsc::channel(ARRIVALS);
                let prefix = u64::from_ne_bytes(random);
                let mut desk = Desk::new(clock::now(), &terms, prefix, (audience, arrivals));
                desk.run(orders, arrived).await;
            });
        })?;
        Ok(Self {
            asker: Asker(sender),
            thread,
        })
    }

    /// For whoever asks.
    #[must_use]
    pub fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// Ends it, as soon as nobody else can ask any more and what was asked is answered.
    pub fn stop(self) {
        drop(self.asker);
        if self.thread.join().is_err() {
            warn!("the client of rtpengine has panicked");
        }
    }
}

impl Asker {
    /// Asks; the answer comes to the [`Audience`].
    ///
    /// # Errors
    ///
    /// [`Busy`]: no answer will come.
    pub fn ask(&self, ask: Ask) -> Result<(), Busy> {
        let order = Order::Ask(Box::new(ask));
        self.0.try_send(order).map_err(|_| Busy)
    }

    /// Goes by `terms` from now on. Calls at places that are in it no more end there.
    ///
    /// # Errors
    ///
    /// [`Busy`]: the old ones stay.
    pub fn set_terms(&self, terms: Terms) -> Result<(), Busy> {
        self.0.try_send(Order::Terms(terms)).map_err(|_| Busy)
    }
}

/// Questions that wait at most; the asker is told of one more.
const ORDERS: usize = 4096;

/// Datagrams that wait at most; more stay with the kernel.
const ARRIVALS: usize = 1024;

#[cfg(test)]
mod tests;
