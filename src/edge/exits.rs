//! The ways out of a shard: what it has to say waits here until what it tells of is written down.
//!
//! ```text
//!   engine ── message, ping ──> waiting ── the journal has it ──────────> UDP ports, connections, webhooks
//!                                  └────── it does not: new calls' ────> nobody hears of them, they are given up
//!                                                       all others' ───> out all the same
//! ```
//!
//! Calls under way go on while the journal cannot be written, as well as they can: what they have to say waits in memory. A call that
//! was let in just then is another matter: it would be forgotten if the process died now, so nobody hears of it.

use std::mem;
use std::sync::Arc;

use bytes::Bytes;

use crate::call::places::Ticket;
use crate::edge::postroom::Postroom;
use crate::hooks::request::Request;
use crate::net::streams::Lines;
use crate::net::udp::{Port, Report};
use crate::sip::flow::{Flow, Transport};
use crate::types::ids::CallUuid;

/// Where messages go, and what waits to go.
pub(super) struct Exits {
    pub(super) ports: Vec<Port>,
    /// Place in `ports`, by [`ListenerId`](crate::sip::flow::ListenerId); `None`: it is one of streams.
    places: Vec<Option<usize>>,
    /// TCP and TLS; `None`: nobody listens there.
    pub(super) lines: Option<Arc<Lines<Postroom>>>,
    /// What became of what was sent.
    pub(super) report: Report,
    waiting: Waiting,
}

/// What waits.
#[derive(Default)]
struct Waiting {
    /// In order, each with whether a call says it that was let in since the last flush.
    all: Vec<(Departure, bool)>,
    /// Where that begins which comes of the input at hand.
    turn: usize,
    /// The input at hand has begun a call.
    is_new: bool,
    /// Calls that were let in since the last flush.
    new: Vec<CallUuid>,
    /// Those of them that could not be written down.
    unkept: Vec<CallUuid>,
    /// Their requests.
    unsent: Vec<Bytes>,
}

/// Something that leaves the process.
pub(super) enum Departure {
    /// A SIP message.
    Message(Flow, Bytes),
    /// A question to a webhook.
    Ping(Ticket, Box<Request>),
}

impl Exits {
    pub(super) fn new(ports: Vec<Port>, lines: Option<Arc<Lines<Postroom>>>) -> Self {
        Self {
            places: places(&ports),
            ports,
            lines,
            report: Report::default(),
            waiting: Waiting::default(),
        }
    }

    /// The engine is about to take in something: what comes of it belongs together.
    pub(super) fn begin_turn(&mut self) {
        self.waiting.turn = self.waiting.all.len();
        self.waiting.is_new = false;
    }

    /// The input at hand has begun this call: all that comes of it is about that.
    pub(super) fn note_new(&mut self, call: CallUuid) {
        let waiting = &mut self.waiting;
        waiting.is_new = true;
        waiting.new.push(call);
        let turn = waiting.all.iter_mut().skip(waiting.turn);
        turn.for_each(|(_, is_new)| *is_new = true);
    }

    /// Takes in what is to leave.
    pub(super) fn push(&mut self, departure: Departure) {
        let is_new = self.waiting.is_new;
        self.waiting.all.push((departure, is_new));
    }

    /// Lets all go that may, in order; `is_kept`: whether it is written down what it tells of. UDP waits for
    /// [`flush`](Port::flush).
    pub(super) fn depart(&mut self, is_kept: bool, mut ping: impl FnMut(Ticket, Box<Request>)) {
        let mut all = mem::take(&mut self.waiting.all);
        for (departure, is_new) in all.drain(..) {
            match departure {
                Departure::Message(_, bytes) if is_new && !is_kept => {
                    // Nobody waits for what becomes of a response.
                    if !bytes.starts_with(b"SIP/2.0 ") {
                        self.waiting.unsent.push(bytes);
                    }
                }
                Departure::Ping(_, _) if is_new && !is_kept => {}
                Departure::Message(flow, bytes) => self.send(flow, bytes),
                Departure::Ping(ticket, request) => ping(ticket, request),
            }
        }
        let Waiting { new, unkept, .. } = &mut self.waiting;
        if is_kept {
            new.clear();
        } else {
            unkept.append(new);
        }
        self.waiting.is_new = false;
        self.waiting.turn = 0;
        // The next wake-up's go into the same place.
        self.waiting.all = all;
    }

    /// The next call that was let in and could not be written down: nothing that was said for it has left.
    pub(super) fn poll_unkept(&mut self) -> Option<CallUuid> {
        self.waiting.unkept.pop()
    }

    /// The next request of such a call; it is asked for once the engine knows of all of them.
    pub(super) fn poll_unsent(&mut self) -> Option<Bytes> {
        self.waiting.unsent.pop()
    }

    fn send(&mut self, flow: Flow, bytes: Bytes) {
        let is_sent = match flow.transport {
            Transport::Udp => {
                let place = self.places.get(usize::from(flow.listener.0)).copied();
                let port = place.flatten().and_then(|place| self.ports.get_mut(place));
                port.map(|port| port.send(flow.remote, bytes, &mut self.report))
            }
            Transport::Tcp | Transport::Tls => {
                let lines = self.lines.as_ref();
                lines.and_then(|lines| lines.send(flow, bytes).ok())
            }
        };
        if is_sent.is_none() {
            self.report.refuse(flow);
        }
    }
}

/// Where the port of each listener lies.
fn places(ports: &[Port]) -> Vec<Option<usize>> {
    let mut places = Vec::new();
    for (place, port) in ports.iter().enumerate() {
        let listener = usize::from(port.listener().0);
        if places.len() <= listener {
            places.resize(listener + 1, None);
        }
        if let Some(entry) = places.get_mut(listener) {
            *entry = Some(place);
        }
    }
    places
}
