//! What the tables of transactions share: one step of a machine, what comes of it, and its timer.

use std::time::Instant;

use super::layer::{ClientId, Effect, ServerId, Sink};
use super::timing::Timing;
use super::wheel::Wheel;
use super::{Output, Packet};

/// Whose timer it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Due {
    Server(ServerId),
    Client(ClientId),
}

/// What every step of a transaction needs.
pub(super) struct Step<'a, O> {
    pub(super) now: Instant,
    pub(super) timing: &'a Timing,
    pub(super) wheel: &'a mut Wheel<Due>,
    pub(super) out: &'a mut Sink<O>,
}

impl<O> Step<'_, O> {
    /// Passes on what a machine wants done; `timed_out` is what its time-out means.
    pub(super) fn emit(&mut self, outputs: &mut Vec<Output>, timed_out: impl Fn() -> Effect<O>) {
        self.out
            .extend(outputs.drain(..).map(|output| match output {
                Output::Send(Packet { flow, bytes }) => Effect::Transmit {
                    flow,
                    bytes,
                    again: false,
                },
                Output::Resend(Packet { flow, bytes }) => Effect::Transmit {
                    flow,
                    bytes,
                    again: true,
                },
                Output::TimedOut => timed_out(),
            }));
    }

    /// Sees to it that the wheel has an entry at `next` or before. `armed` is the earliest entry
    /// that it has for this transaction.
    pub(super) fn arm(&mut self, armed: &mut Option<Instant>, next: Option<Instant>, due: Due) {
        let Some(next) = next else {
            return;
        };
        if armed.is_none_or(|armed| next < armed) {
            self.wheel.insert(self.now, next, due);
            *armed = Some(next);
        }
    }

    /// Notes that an entry of this transaction came up.
    pub(super) fn disarm(&self, armed: &mut Option<Instant>) {
        if armed.is_some_and(|armed| armed <= self.now) {
            *armed = None;
        }
    }
}
