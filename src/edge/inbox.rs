//! The way into a shard from other threads: bounded queues, a bell that ends its poll, and a board
//! on which it writes how much it holds.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use mio::{Poll, Registry, Token, Waker};
use tokio::sync::oneshot;

use crate::call::input::{MediaLost, Which};
use crate::call::memory::Recalled;
use crate::call::output::Gauges;
use crate::call::places::Ticket;
use crate::call::policy::Policy;
use crate::call::story::Reply;
use crate::edge::abroad::AbroadLetter;
use crate::edge::guard::Notice;
use crate::edge::posts::PostLetter;
use crate::media::commons::Counts;
use crate::media::ng::ask::Told as MediaTold;
use crate::media::plan::SessionId;
use crate::media::ports::Stock;
use crate::net::resolver::Told;
use crate::sip::error::ParseError;
use crate::sip::flow::Flow;
use crate::types::ids::{CallUuid, ShardId};

/// Letters that wait at most; a datagram that finds no room is dropped and counted, and SIP sends
/// again what matters.
const LETTERS: usize = 4096;

/// Orders that wait at most; a shard that has so many before it does not work any more.
const ORDERS: usize = 1024;

/// One shard's poll and the two ends of its inbox.
pub(super) struct Door {
    pub(super) poll: Poll,
    pub(super) mailbox: Mailbox,
    pub(super) inbox: Inbox,
}

impl Door {
    /// With a bell that the poll tells by `bell`.
    pub(super) fn new(bell: Token) -> io::Result<Self> {
        let poll = Poll::new()?;
        let (mailbox, inbox) = inbox(poll.registry(), bell)?;
        Ok(Self {
            poll,
            mailbox,
            inbox,
        })
    }
}

/// What one shard tells another.
pub(super) enum Letter {
    /// A datagram that speaks of what the receiver owns.
    Datagram {
        /// The way it came.
        flow: Flow,
        /// All of it.
        bytes: Bytes,
    },
    /// What cannot be read as a message; its stream ends here.
    Broken {
        /// The way it came.
        flow: Flow,
        /// What is wrong.
        error: ParseError,
        /// What there is of it.
        head: Bytes,
    },
    /// ICMP came to the wrong shard's socket, or a connection is gone: nothing can be sent along this flow.
    TransportFailed(Flow),
    /// Where a name is.
    Told(Told),
    /// The media of a call is lost.
    Media {
        /// Which.
        id: SessionId,
        /// How.
        lost: MediaLost,
    },
    /// What rtpengine says.
    MediaTold(Box<MediaTold>),
    /// What was heard of a webhook.
    Fetched {
        /// The question.
        ticket: Ticket,
        /// The answer.
        reply: Reply,
    },
    /// What is remembered of a caller.
    Recalled {
        /// The question.
        ticket: Ticket,
        /// The answer, or news.
        recalled: Box<Recalled>,
    },
    /// What somebody says of calls, which may be here.
    Posted(PostLetter),
    /// What a vendor tells of a call that it carries.
    Abroad(AbroadLetter),
    /// What the guard of this shard tells.
    Guard(ShardId, Notice),
}

/// What the edge tells a shard.
pub(super) enum Order {
    /// Go by this from now on.
    Policy(Arc<Policy>),
    /// Refuse new calls.
    Drain,
    /// End calls.
    Hangup(Which),
    /// A gateway was lost, or found again, as the first shard's OPTIONS say.
    Probed {
        /// The buyer's id.
        buyer: Arc<str>,
        /// The gateway's name.
        gateway: Arc<str>,
        /// Whether it is not there.
        is_lost: bool,
    },
    /// Have this call's packets captured, if it is here; says whether it is.
    Capture(CallUuid, oneshot::Sender<bool>),
    /// Write on the board how much you hold, then say so.
    Measure(oneshot::Sender<()>),
}

/// A shard that takes no order: it is stuck or gone.
#[derive(Debug)]
pub(super) struct Unresponsive;

/// The senders' side of a shard's inbox.
#[derive(Clone)]
pub(super) struct Mailbox {
    letters: SyncSender<Letter>,
    orders: SyncSender<Order>,
    bell: Arc<Bell>,
}

/// The shard's side.
pub(super) struct Inbox {
    letters: Receiver<Letter>,
    orders: Receiver<Order>,
    bell: Arc<Bell>,
}

/// Makes an inbox whose bell shows up as `token` in the poll that `registry` belongs to.
pub(super) fn inbox(registry: &Registry, token: Token) -> io::Result<(Mailbox, Inbox)> {
    let bell = Arc::new(Bell {
        waker: Waker::new(registry, token)?,
        is_rung: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
    });
    let (letters, letters_in) = sync_channel(LETTERS);
    let (orders, orders_in) = sync_channel(ORDERS);
    let mailbox = Mailbox {
        letters,
        orders,
        bell: Arc::clone(&bell),
    };
    let inbox = Inbox {
        letters: letters_in,
        orders: orders_in,
        bell,
    };
    Ok((mailbox, inbox))
}

impl Mailbox {
    /// Leaves a letter; `false`: there was no room, and it is dropped.
    pub(super) fn post(&self, letter: Letter) -> bool {
        let is_posted = self.letters.try_send(letter).is_ok();
        self.bell.ring();
        is_posted
    }

    /// Gives an order.
    pub(super) fn order(&self, order: Order) -> Result<(), Unresponsive> {
        let result = self.orders.try_send(order).map_err(|_| Unresponsive);
        self.bell.ring();
        result
    }

    /// Tells the shard to leave its loop; this always gets there.
    pub(super) fn stop(&self) {
        self.bell.is_over.store(true, Ordering::SeqCst);
        self.bell.wake();
    }
}

impl Inbox {
    /// Whether there is something in the queues, of which the poll may not have told yet.
    pub(super) fn has_rung(&self) -> bool {
        self.bell.is_rung.load(Ordering::SeqCst)
    }

    /// To be called before the queues are emptied: what is left afterwards rings again.
    pub(super) fn hush(&self) {
        self.bell.is_rung.swap(false, Ordering::SeqCst);
    }

    pub(super) fn next_letter(&self) -> Option<Letter> {
        self.letters.try_recv().ok()
    }

    pub(super) fn next_order(&self) -> Option<Order> {
        self.orders.try_recv().ok()
    }

    /// Whether the shard was told to stop.
    pub(super) fn is_over(&self) -> bool {
        self.bell.is_over.load(Ordering::SeqCst)
    }
}

struct Bell {
    waker: Waker,
    /// It has rung, and the shard has not looked yet: another ring would be a system call for nothing.
    is_rung: AtomicBool,
    is_over: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            self.wake();
        }
    }

    fn wake(&self) {
        // An eventfd that cannot be written to does not exist; mio resets it when it is full.
        let _ = self.waker.wake();
    }
}

/// What a shard held when it was last asked, for other threads to read. Counting walks over all calls,
/// so it is done when somebody asks.
#[derive(Default)]
pub(super) struct Board {
    calls_ringing: AtomicUsize,
    calls_waiting: AtomicUsize,
    calls_talking: AtomicUsize,
    calls_ending: AtomicUsize,
    server_transactions: AtomicUsize,
    client_transactions: AtomicUsize,
    timers: AtomicUsize,
    /// Free, resting, in use.
    media_ports: [AtomicUsize; 3],
    /// Addresses on shared ports.
    media_claims: AtomicUsize,
    /// Clashes there, and those of them after which no shared pair was to be had.
    media_clashes: [AtomicU64; 2],
    banned: AtomicUsize,
    /// In microseconds.
    worst_wait: AtomicUsize,
    is_shut: AtomicBool,
    is_draining: AtomicBool,
}

/// Why a shard refuses new calls.
pub(super) struct Closed {
    /// It was told to.
    pub(super) is_draining: bool,
    /// The journal cannot be written.
    pub(super) is_shut: bool,
}

impl Board {
    pub(super) fn write(
        &self,
        gauges: &Gauges,
        banned: usize,
        worst_wait: Duration,
        closed: Closed,
    ) {
        let worst_wait = usize::try_from(worst_wait.as_micros()).unwrap_or(usize::MAX);
        let [free, resting, in_use] = &self.media_ports;
        let pairs = [
            (&self.calls_ringing, gauges.calls_ringing),
            (&self.calls_waiting, gauges.calls_waiting),
            (&self.calls_talking, gauges.calls_talking),
            (&self.calls_ending, gauges.calls_ending),
            (&self.server_transactions, gauges.server_transactions),
            (&self.client_transactions, gauges.client_transactions),
            (&self.timers, gauges.timers),
            (free, gauges.media_ports.free),
            (resting, gauges.media_ports.resting),
            (in_use, gauges.media_ports.in_use),
            (&self.media_claims, gauges.media_shared.claims),
            (&self.banned, banned),
            (&self.worst_wait, worst_wait),
        ];
        for (shown, value) in pairs {
            shown.store(value, Ordering::Relaxed);
        }
        let Counts { clashes, none, .. } = gauges.media_shared;
        for (shown, value) in self.media_clashes.iter().zip([clashes, none]) {
            shown.store(value, Ordering::Relaxed);
        }
        self.is_shut.store(closed.is_shut, Ordering::Relaxed);
        // Last: whoever sees it sees the calls that were let in before.
        self.is_draining
            .store(closed.is_draining, Ordering::Release);
    }

    /// Whether the shard has heard that it is to refuse new calls.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Acquire)
    }

    /// Whether the shard refuses new calls because they cannot be kept.
    pub(super) fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::Relaxed)
    }

    /// Senders that the shard does not hear.
    pub(super) fn banned(&self) -> usize {
        self.banned.load(Ordering::Relaxed)
    }

    /// The longest that its datagrams had to wait, between the last two times that it was asked.
    pub(super) fn worst_wait(&self) -> Duration {
        Duration::from_micros(self.worst_wait.load(Ordering::Relaxed) as u64)
    }

    /// Adds what the shard holds to `sum`.
    pub(super) fn add_to(&self, sum: &mut Gauges) {
        let Gauges {
            calls_ringing,
            calls_waiting,
            calls_talking,
            calls_ending,
            server_transactions,
            client_transactions,
            timers,
            media_ports: ports,
            media_shared: shared,
        } = sum;
        let Stock {
            free,
            resting,
            in_use,
        } = ports;
        let [shown_free, shown_resting, shown_in_use] = &self.media_ports;
        let clashes = [&mut shared.clashes, &mut shared.none];
        for (sum, shown) in clashes.into_iter().zip(&self.media_clashes) {
            *sum += shown.load(Ordering::Relaxed);
        }
        let pairs = [
            (calls_ringing, &self.calls_ringing),
            (calls_waiting, &self.calls_waiting),
            (calls_talking, &self.calls_talking),
            (calls_ending, &self.calls_ending),
            (server_transactions, &self.server_transactions),
            (client_transactions, &self.client_transactions),
            (timers, &self.timers),
            (free, shown_free),
            (resting, shown_resting),
            (in_use, shown_in_use),
            (&mut shared.claims, &self.media_claims),
        ];
        for (sum, shown) in pairs {
            *sum += shown.load(Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use mio::{Events, Poll};

    use super::*;
    use crate::sip::flow::{ListenerId, PeerId, Transport};

    #[test]
    fn a_letter_ends_the_poll_and_is_there() {
        let mut poll = Poll::new().unwrap();
        let (mailbox, inbox) = inbox(poll.registry(), Token(7)).unwrap();

        assert!(mailbox.post(letter()));
        assert!(mailbox.post(letter()));

        assert_eq!(rings(&mut poll), 1);
        inbox.hush();
        assert!(inbox.next_letter().is_some());
        assert!(inbox.next_letter().is_some());
        assert!(inbox.next_letter().is_none());
        assert_eq!(rings(&mut poll), 0);
    }

    #[test]
    fn a_letter_after_the_hush_rings_again() {
        let mut poll = Poll::new().unwrap();
        let (mailbox, inbox) = inbox(poll.registry(), Token(7)).unwrap();
        mailbox.post(letter());
        rings(&mut poll);
        inbox.hush();

        mailbox.post(letter());

        assert_eq!(rings(&mut poll), 1);
    }

    #[test]
    fn a_full_inbox_takes_no_letter_but_the_order_to_stop() {
        let poll = Poll::new().unwrap();
        let (mailbox, inbox) = inbox(poll.registry(), Token(7)).unwrap();
        for _ in 0..LETTERS {
            assert!(mailbox.post(letter()));
        }

        assert!(!mailbox.post(letter()));
        mailbox.stop();

        assert!(inbox.is_over());
    }

    fn rings(poll: &mut Poll) -> usize {
        let mut events = Events::with_capacity(8);
        poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
        events.iter().count()
    }

    fn letter() -> Letter {
        Letter::TransportFailed(Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            remote: "192.0.2.1:5060".parse().unwrap(),
            peer: PeerId::NOBODY,
        })
    }
}
