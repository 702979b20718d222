//! Cancelling an INVITE of ours (RFC 3261 §9.1).

use std::time::Instant;

use crate::transaction::layer::{ClientId, Layer, Sink};

impl<O: Copy> Layer<O> {
    /// Cancels an INVITE; `owner` gets what comes of it: the final response, which may be a 2xx that
    /// crossed the CANCEL, or [`Effect::TimedOut`](super::Effect::TimedOut).
    ///
    /// The CANCEL goes out once a provisional response is there; none if the final one comes first.
    pub fn cancel(&mut self, now: Instant, id: ClientId, owner: O, out: &mut Sink<O>) {
        self.cancel_with(now, id, owner, None, out);
    }

    /// The same; `lines` is what the CANCEL says besides, from
    /// [`Writer::finish_lines`](crate::sip::build::Writer::finish_lines).
    pub fn cancel_with(
        &mut self,
        now: Instant,
        id: ClientId,
        owner: O,
        lines: Option<&[u8]>,
        out: &mut Sink<O>,
    ) {
        let (clients, mut step) = self.client_step(now, out);
        clients.cancel(&mut step, id, owner, lines);
    }
}
