//! What is done when a handler has panicked: one call is given up, and the others go on.
//!
//! No handler should; this is for the day when one does. The shell catches the unwinding and asks for this. What it relies on:
//!
//! - There is no `unsafe` here, so nothing of the engine can be broken in memory.
//! - A handler works on one call, and the tables were told of which one. What it had begun with that call cannot be known, so
//!   the call ends: by BYE or CANCEL where its legs are still in place, and else without a word, for the peers to find out.
//! - The tables (calls, transactions, wheels) are changed by steps of their own, each of which is whole before a handler goes on,
//!   and none of which runs a handler's code. A transaction that was reserved and never used may be left behind: one place per
//!   panic, out of as many as there may be.
//!
//! If giving the call up panics too, it is only taken out of the table. Should that fail, the engine is not fit to be used, and
//! the shell ends the shard.

use std::time::Instant;

use crate::call::Engine;
use crate::call::call::{Call, State};
use crate::call::core::Core;
use crate::call::output::{Event, Refusal};
use crate::call::record::{Outcome, Side};
use crate::call::refuse::Arriving;
use crate::sip::flow::Flow;
use crate::sip::frame;
use crate::sip::message::{Message, Method, parse};

impl Engine {
    /// Gives up the call that the last [`handle`](Self::handle) worked on when it panicked; `datagram` is what it was given, and
    /// gets 500 if it is a request.
    pub fn rescue(&mut self, now: Instant, datagram: Option<(Flow, &[u8])>) {
        self.core.event(Event::Panicked);
        tripwire("rescue");
        let touched = self.registry.take_touched();
        if let Some(call) = touched.and_then(|key| self.registry.call(key)) {
            call.abandon(now, &mut self.core);
        }
        if let Some(key) = touched {
            self.registry.attend(now, key);
        }
        if let Some(server) = self.core.begun.take() {
            // The call that it was to become is not there.
            self.core.forget(server);
        }
        if let Some((flow, bytes)) = datagram {
            self.answer_500(now, flow, bytes);
        }
        self.deliver_reports(now);
        self.deliver_news(now);
    }

    /// Takes that call out of the table, if even [`rescue`](Self::rescue) panics.
    pub fn discard(&mut self, now: Instant) {
        if let Some(server) = self.core.begun.take() {
            self.core.forget(server);
        }
        if let Some(mut call) = self.registry.discard_touched() {
            call.settle(now, &mut self.core, Outcome::Internal, 500, Side::Edge);
            call.release_places(&mut self.core);
        }
    }

    fn answer_500(&mut self, now: Instant, flow: Flow, bytes: &[u8]) {
        let Some(Ok(Message::Request(request))) = frame::datagram(bytes).map(parse) else {
            return;
        };
        let Ok(essentials) = request.essentials() else {
            return;
        };
        if request.method != Method::Ack {
            let arriving =
                Arriving::new(now, flow, &self.policy, &self.core, &request, &essentials);
            arriving.refuse(&mut self.core, Refusal::Internal, 500);
        }
    }
}

impl Call {
    /// Ends the call as far as it is still there.
    fn abandon(&mut self, now: Instant, core: &mut Core) {
        match &self.state {
            State::Asking(_) | State::Hunting(_) => {
                self.drop_asking(now, core, Outcome::Internal);
                self.cancel_attempts(now, core);
                self.fail(now, core, Outcome::Internal, Side::Edge);
            }
            State::Talking(_) => self.hang_up(now, core, Outcome::Internal, Side::Edge),
            State::Abroad(_) => self.drop_abroad(now, core, Outcome::Internal),
            State::Ending(_) | State::Gone => {}
        }
        self.settle(now, core, Outcome::Internal, 500, Side::Edge);
        self.release_places(core);
    }
}

/// Where a test has a handler panic.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn tripwire(_: &'static str) {}

#[cfg(test)]
pub(crate) use self::tests::tripwire;

#[cfg(test)]
pub(crate) mod tests;
