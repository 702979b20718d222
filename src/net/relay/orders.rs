//! What a worker is told to do, and the bell that wakes it.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mio::{Registry, Token, Waker};

use crate::media::plan::{Gate, Plan, SessionId};
use crate::net::relay::Done;
use crate::net::relay::tap::Tap;

/// One thing to do.
pub(super) enum Order {
    /// Carry out a plan.
    Connect {
        session: SessionId,
        plan: Box<Plan>,
        /// The sockets of gates that were not open.
        opened: Vec<Opened>,
    },
    /// Take a shared gate in hand.
    Share(Opened),
    /// Copy a session's packets.
    Tap { session: SessionId, tap: Box<Tap> },
    /// End a session.
    Close { session: SessionId, done: Done },
}

/// The two sockets of a gate.
pub(super) struct Opened {
    pub(super) gate: Gate,
    /// RTP, RTCP.
    pub(super) sockets: [UdpSocket; 2],
}

/// A worker's orders, in the order in which they were given.
pub(super) struct Orders {
    queue: Mutex<VecDeque<Order>>,
    waker: Waker,
    is_over: AtomicBool,
}

impl Orders {
    /// An empty queue, whose bell shows up as `token`.
    pub(super) fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Self {
            queue: Mutex::default(),
            waker: Waker::new(registry, token)?,
            is_over: AtomicBool::new(false),
        })
    }

    /// Whether another plan may be given. Sessions may be closed all the same: there is an end to them.
    pub(super) fn has_room(&self) -> bool {
        self.queue().len() < MOST_WAITING
    }

    /// Gives an order.
    pub(super) fn give(&self, order: Order) {
        let mut queue = self.queue();
        queue.push_back(order);
        // The worker takes all there are at a time, so the first has rung for the others.
        let is_first = queue.len() == 1;
        drop(queue);
        if is_first {
            self.ring();
        }
    }

    /// Takes all there are; `into` is empty.
    pub(super) fn take(&self, into: &mut VecDeque<Order>) {
        mem::swap(&mut *self.queue(), into);
    }

    /// Tells the worker to end.
    pub(super) fn stop(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.ring();
    }

    /// Whether the worker was told to end.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn ring(&self) {
        // An eventfd that cannot be written to does not exist; mio resets it when it is full.
        let _ = self.waker.wake();
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Order>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Orders that wait before plans are refused. A worker looks after every batch of packets.
const MOST_WAITING: usize = 10_000;
