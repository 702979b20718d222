//! A client transaction of a simulated user agent (RFC 3261 §17.1): timers A and B, E and F.

use std::time::{Duration, Instant};

use bytes::Bytes;

pub(crate) const T1: Duration = Duration::from_millis(500);
pub(crate) const T2: Duration = Duration::from_secs(4);
/// 64·T1.
pub(crate) const PATIENCE: Duration = Duration::from_secs(32);

/// One request and what became of it.
#[derive(Debug)]
pub(crate) struct Client {
    /// The whole branch parameter.
    pub(crate) branch: String,
    pub(crate) method: &'static str,
    pub(crate) cseq: u32,
    /// An INVITE that begins a call.
    pub(crate) is_first: bool,
    pub(crate) has_offer: bool,
    /// Sent before the call was up.
    pub(crate) is_early: bool,
    /// The last status heard; 0 before the first.
    pub(crate) status: u16,
    pub(crate) timed_out: bool,
    /// Sent for each repetition of the final response.
    pub(crate) ack: Option<Bytes>,
    bytes: Bytes,
    interval: Duration,
    due: Option<Instant>,
    deadline: Option<Instant>,
}

pub(crate) enum Fired {
    Nothing,
    Again(Bytes),
    TimedOut,
}

impl Client {
    pub(crate) fn new(
        now: Instant,
        branch: String,
        method: &'static str,
        cseq: u32,
        bytes: Bytes,
    ) -> Self {
        Self {
            branch,
            method,
            cseq,
            is_first: false,
            has_offer: false,
            is_early: false,
            status: 0,
            timed_out: false,
            ack: None,
            bytes,
            interval: T1,
            due: Some(now + T1),
            deadline: Some(now + PATIENCE),
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.status >= 200 || self.timed_out
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.deadline).min()
    }

    pub(crate) fn fire(&mut self, now: Instant) -> Fired {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.stop();
            self.timed_out = true;
            return Fired::TimedOut;
        }
        if self.due.is_none_or(|due| due > now) {
            return Fired::Nothing;
        }
        self.interval *= 2;
        if self.method != "INVITE" {
            self.interval = self.interval.min(T2);
        }
        self.due = Some(now + self.interval);
        Fired::Again(self.bytes.clone())
    }

    /// Takes note of a response; `false` if it is a repeated final one.
    pub(crate) fn hear(&mut self, status: u16) -> bool {
        if self.is_done() {
            return false;
        }
        self.status = status;
        if status >= 200 {
            self.stop();
        } else if self.method == "INVITE" {
            // The caller waits as long as it likes; the edge has to come to an end.
            self.stop();
        } else {
            self.interval = T2;
        }
        true
    }

    /// After a CANCEL the final response is awaited for 64·T1 (§9.1).
    pub(crate) fn give_up_by(&mut self, deadline: Instant) {
        self.deadline = Some(deadline);
    }

    fn stop(&mut self) {
        self.due = None;
        self.deadline = None;
    }
}
