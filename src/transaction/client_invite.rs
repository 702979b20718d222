//! INVITE client transaction (RFC 3261 §17.1.1 Figure 5, with RFC 6026 §7.2), and the CANCEL that
//! may end it (RFC 3261 §9.1).
//!
//! ```text
//!        INVITE from TU: send, start A (UDP only) and B
//!                |
//!                v
//!             Calling ----------->.     A: resend, doubling without a cap
//!                | 1xx: to TU     |     B: tell TU, Terminated
//!                |                |     cancel from TU: remember until the 1xx; A stops 8·T1 after
//!                |                |     the INVITE, or at once if the TU says so
//!                v                |
//!           Proceeding ---------->|     1xx: to TU
//!                | cancel:        |
//!                |  send CANCEL   |
//!                v                |
//!           Cancelling ---------->|     1xx: to TU
//!                                 |     64·T1 after the CANCEL: tell TU, Terminated
//!                                 |     the CANCEL has timers E, F and K of its own
//!                .----------------'
//!    300-699:   / \   2xx:
//!    to TU,    /   \   to TU, start M
//!    send ACK, |    \
//!    start D   v     v
//!       Completed   Accepted            2xx with a new To-tag: to TU
//!     300-699: | D     | M              2xx with a known one: resend its ACK
//!     resend   v       v
//!     ACK    Terminated
//! ```
//!
//! Timer D is 0 on reliable transports. The ACK of a 2xx is the TU's (§13.2.2.4); the machine keeps
//! it to send it again, and lets go of the INVITE.
//!
//! A CANCEL whose INVITE has its final response is pointless (§9.2), so its transaction ends then.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::client_non_invite::ClientNonInvite;
use super::timing::{Backoff, Timing};
use super::{Output, Packet};

/// State machine of one outbound INVITE until its final responses are settled.
#[derive(Debug)]
pub struct ClientInvite {
    state: State,
}

#[derive(Debug)]
enum State {
    Calling {
        invite: Packet,
        /// Timer A, on unreliable transports only.
        resend: Option<Backoff>,
        /// Timer B.
        give_up: Instant,
        /// The TU wants it cancelled, which must wait for a provisional response.
        cancel_wanted: bool,
        /// What the CANCEL will say besides.
        cancel_lines: Option<Box<[u8]>>,
    },
    Proceeding {
        invite: Packet,
    },
    Cancelling(Box<Cancelling>),
    Completed {
        /// `None`: it could not be written.
        ack: Option<Packet>,
        /// Timer D.
        until: Instant,
    },
    Accepted {
        first: Fork,
        /// Timer M.
        until: Instant,
    },
    Terminated,
}

#[derive(Debug)]
struct Cancelling {
    invite: Packet,
    /// `None`: it could not be written.
    cancel: Option<ClientNonInvite>,
    /// 64·T1 after the CANCEL.
    give_up: Instant,
}

/// One dialog that a 2xx began: one INVITE may begin several (§13.2.2.4).
#[derive(Debug)]
struct Fork {
    /// Stands for its To-tag.
    tag: u64,
    /// `None`: the TU has not given it yet.
    ack: Option<Packet>,
    next: Option<Box<Self>>,
}

impl ClientInvite {
    /// Starts the transaction: sends `invite`.
    pub fn new(now: Instant, timing: &Timing, invite: Packet, out: &mut Vec<Output>) -> Self {
        out.push(Output::Send(invite.clone()));
        let reliable = invite.flow.transport.is_reliable();
        Self {
            state: State::Calling {
                invite,
                resend: (!reliable).then(|| Backoff::start(now, timing.t1)),
                give_up: now + timing.patience(),
                cancel_wanted: false,
                cancel_lines: None,
            },
        }
    }

    /// Cancels the INVITE: as soon as a provisional response is there, the CANCEL goes out that
    /// `write` makes of the INVITE and `lines`. After a final response there is nothing to cancel.
    pub fn cancel(
        &mut self,
        now: Instant,
        timing: &Timing,
        lines: Option<&[u8]>,
        write: impl FnOnce(&[u8], &[u8]) -> Option<Bytes>,
        out: &mut Vec<Output>,
    ) {
        match &mut self.state {
            State::Calling {
                cancel_wanted,
                cancel_lines,
                ..
            } => {
                if !*cancel_wanted {
                    *cancel_lines = lines.map(Box::from);
                }
                *cancel_wanted = true;
            }
            State::Proceeding { invite } => {
                let write = |invite: &[u8]| write(invite, lines.unwrap_or_default());
                let cancelling = Cancelling::new(now, timing, invite.clone(), write, out);
                self.state = State::Cancelling(Box::new(cancelling));
            }
            State::Cancelling(_) => {}
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => {}
        }
    }

    /// Sends an INVITE without any response no more, because the TU takes the peer for dead. It still has until
    /// timer B to answer.
    pub fn stop_resending(&mut self) {
        match &mut self.state {
            State::Calling { resend, .. } => *resend = None,
            State::Proceeding { .. } | State::Cancelling(_) => {}
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => {}
        }
    }

    /// Takes in a 1xx; `true` if it is for the TU. `write_cancel` makes a CANCEL of the INVITE and the lines
    /// that it shall have besides.
    pub fn handle_provisional(
        &mut self,
        now: Instant,
        timing: &Timing,
        write_cancel: impl FnOnce(&[u8], &[u8]) -> Option<Bytes>,
        out: &mut Vec<Output>,
    ) -> bool {
        match &mut self.state {
            State::Calling {
                invite,
                cancel_wanted,
                cancel_lines,
                ..
            } => {
                let (invite, lines) = (invite.clone(), cancel_lines.take());
                self.state = if *cancel_wanted {
                    let lines = lines.as_deref().unwrap_or_default();
                    let write_cancel = |invite: &[u8]| write_cancel(invite, lines);
                    let cancelling = Cancelling::new(now, timing, invite, write_cancel, out);
                    State::Cancelling(Box::new(cancelling))
                } else {
                    State::Proceeding { invite }
                };
                true
            }
            State::Proceeding { .. } | State::Cancelling(_) => true,
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => false,
        }
    }

    /// Takes in a 2xx whose To-tag `tag` stands for; `true` if it is for the TU.
    pub fn handle_success(
        &mut self,
        now: Instant,
        timing: &Timing,
        tag: u64,
        out: &mut Vec<Output>,
    ) -> bool {
        match &mut self.state {
            State::Calling { .. } | State::Proceeding { .. } | State::Cancelling(_) => {
                self.state = State::Accepted {
                    first: Fork::new(tag),
                    until: now + timing.patience(),
                };
                true
            }
            State::Accepted { first, .. } => match first.find(tag) {
                Some(fork) => {
                    out.extend(fork.ack.clone().map(Output::Resend));
                    false
                }
                None => first.add(tag),
            },
            State::Completed { .. } | State::Terminated => false,
        }
    }

    /// Keeps the ACK that the TU sent for the 2xx whose To-tag `tag` stands for.
    pub fn acked(&mut self, tag: u64, ack: Packet) {
        match &mut self.state {
            State::Accepted { first, .. } => {
                if let Some(fork) = first.find(tag) {
                    fork.ack = Some(ack);
                } // Else it answers no 2xx that went up.
            }
            State::Calling { .. } | State::Proceeding { .. } | State::Cancelling(_) => {}
            State::Completed { .. } | State::Terminated => {}
        }
    }

    /// Takes in a 300-699; `true` if it is for the TU. The first one is acknowledged with what
    /// `write_ack` makes of the INVITE, others with the same again.
    pub fn handle_failure(
        &mut self,
        now: Instant,
        timing: &Timing,
        write_ack: impl FnOnce(&[u8]) -> Option<Bytes>,
        out: &mut Vec<Output>,
    ) -> bool {
        let invite = match &self.state {
            State::Calling { invite, .. } | State::Proceeding { invite } => invite,
            State::Cancelling(cancelling) => &cancelling.invite,
            State::Completed { ack, .. } => {
                out.extend(ack.clone().map(Output::Resend));
                return false;
            }
            State::Accepted { .. } | State::Terminated => return false,
        };
        let flow = invite.flow;
        let ack = write_ack(&invite.bytes).map(|bytes| Packet { flow, bytes });
        out.extend(ack.clone().map(Output::Send));
        self.state = if flow.transport.is_reliable() {
            State::Terminated
        } else {
            // 64·T1 is longer than D only where T1 is; then the peer's H is, too.
            let until = now + timing.patience().max(TIMER_D);
            State::Completed { ack, until }
        };
        true
    }

    /// Takes in a response to the CANCEL.
    pub fn handle_cancel_response(&mut self, now: Instant, timing: &Timing, status: u16) {
        match &mut self.state {
            State::Cancelling(cancelling) => {
                if let Some(cancel) = &mut cancelling.cancel {
                    cancel.handle_response(now, timing, status);
                }
            }
            State::Calling { .. } | State::Proceeding { .. } => {} // No CANCEL went out.
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => {}
        }
    }

    /// Lets every timer due at `now` fire.
    pub fn handle_timeout(&mut self, now: Instant, timing: &Timing, out: &mut Vec<Output>) {
        match &mut self.state {
            State::Calling { give_up, .. } if *give_up <= now => {
                self.state = State::Terminated;
                out.push(Output::TimedOut);
            }
            // Not at once: the peer may ring, its 1xx be lost, and no CANCEL go out if nothing asks for another.
            State::Calling {
                resend,
                give_up,
                cancel_wanted: true,
                ..
            } if *give_up + CANCELLED * timing.t1 <= now + timing.patience() => *resend = None,
            State::Calling { resend, invite, .. } => {
                if resend
                    .as_mut()
                    .is_some_and(|resend| resend.fire(now, Duration::MAX))
                {
                    out.push(Output::Resend(invite.clone()));
                }
            }
            State::Cancelling(cancelling) if cancelling.give_up <= now => {
                self.state = State::Terminated;
                out.push(Output::TimedOut);
            }
            State::Cancelling(cancelling) => {
                // Its timer F comes no earlier than `give_up`, so it has no time-out to tell.
                if let Some(cancel) = &mut cancelling.cancel {
                    cancel.handle_timeout(now, timing, out);
                }
            }
            State::Completed { until, .. } | State::Accepted { until, .. } if *until <= now => {
                self.state = State::Terminated;
            }
            State::Completed { .. } | State::Accepted { .. } => {}
            State::Proceeding { .. } | State::Terminated => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Calling {
                resend, give_up, ..
            } => Some(resend.map_or(*give_up, |resend| resend.due().min(*give_up))),
            State::Cancelling(cancelling) => {
                let cancel = cancelling.cancel.as_ref();
                let due = cancel.and_then(ClientNonInvite::poll_timeout);
                Some(due.map_or(cancelling.give_up, |due| due.min(cancelling.give_up)))
            }
            State::Completed { until, .. } | State::Accepted { until, .. } => Some(*until),
            State::Proceeding { .. } | State::Terminated => None,
        }
    }

    /// Whether nobody has said anything to it yet.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        matches!(self.state, State::Calling { .. })
    }

    /// Whether a failure of the flow ends it (RFC 3261 §17.1.4). Over UDP that is an ICMP error, which says
    /// nothing any more once the peer was heard.
    #[must_use]
    pub fn falls_with_flow(&self) -> bool {
        match &self.state {
            State::Calling { .. } => true,
            State::Proceeding { invite } => invite.flow.transport.is_reliable(),
            State::Cancelling(cancelling) => cancelling.invite.flow.transport.is_reliable(),
            State::Completed { .. } | State::Accepted { .. } | State::Terminated => false,
        }
    }

    /// Whether the transaction is over and may be dropped.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

impl Cancelling {
    fn new(
        now: Instant,
        timing: &Timing,
        invite: Packet,
        write: impl FnOnce(&[u8]) -> Option<Bytes>,
        out: &mut Vec<Output>,
    ) -> Self {
        let flow = invite.flow;
        let cancel = write(&invite.bytes).map(|bytes| Packet { flow, bytes });
        Self {
            invite,
            cancel: cancel.map(|cancel| ClientNonInvite::new(now, timing, cancel, out)),
            give_up: now + timing.patience(),
        }
    }
}

impl Fork {
    fn new(tag: u64) -> Self {
        Self {
            tag,
            ack: None,
            next: None,
        }
    }

    fn find(&mut self, tag: u64) -> Option<&mut Self> {
        let mut fork = Some(self);
        while let Some(this) = fork {
            if this.tag == tag {
                return Some(this);
            }
            fork = this.next.as_deref_mut();
        }
        None
    }

    /// Adds one to those that begin with `self`; `false` if there are too many.
    fn add(&mut self, tag: u64) -> bool {
        let others = std::iter::successors(self.next.as_deref(), |fork| fork.next.as_deref());
        if others.count() + 1 >= MOST_FORKS {
            return false;
        }
        let next = self.next.take();
        self.next = Some(Box::new(Self {
            next,
            ..Self::new(tag)
        }));
        true
    }
}

/// How many T1 after the first INVITE one that is cancelled goes out again at most.
const CANCELLED: u32 = 8;

/// Timer D is at least this on unreliable transports (§17.1.1.2).
const TIMER_D: Duration = Duration::from_secs(32);

/// How many dialogs one INVITE may begin: who answers with more is not heard further.
const MOST_FORKS: usize = 8;

#[cfg(test)]
mod tests;
