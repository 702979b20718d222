//! A server transaction of a simulated user agent (RFC 3261 §17.2, §13.3.1.4): a final response to an
//! INVITE is sent again until its ACK comes.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::client::{PATIENCE, T1, T2};
use super::text::Msg;

/// One request of the edge's, and our answer.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(crate) request: Msg,
    /// The last status sent; 0 before the first.
    pub(crate) status: u16,
    pub(crate) is_acked: bool,
    /// The last response, for repetitions of the request.
    pub(crate) last: Option<Bytes>,
    /// When it goes out next, and the pause after that.
    again: Option<(Instant, Duration)>,
    until: Option<Instant>,
}

impl Server {
    pub(crate) fn new(request: Msg) -> Self {
        Self {
            request,
            status: 0,
            is_acked: false,
            last: None,
            again: None,
            until: None,
        }
    }

    pub(crate) fn is(&self, branch: &str, method: &str) -> bool {
        self.request.branch() == branch && self.request.method() == method
    }

    pub(crate) fn is_invite(&self) -> bool {
        self.request.method() == "INVITE"
    }

    /// Whether a final answer is still to be given.
    pub(crate) fn is_open(&self) -> bool {
        self.status < 200
    }

    /// Whether an ACK is still to come.
    pub(crate) fn is_unacked(&self) -> bool {
        self.is_invite() && self.status >= 200 && !self.is_acked
    }

    pub(crate) fn answered(&mut self, now: Instant, status: u16, bytes: Bytes) {
        self.status = status;
        self.last = Some(bytes);
        if self.is_invite() && status >= 200 {
            self.again = Some((now + T1, T1));
            self.until = Some(now + PATIENCE);
        }
    }

    pub(crate) fn acked(&mut self) {
        self.is_acked = true;
        self.rest();
    }

    /// Stops sending the final response.
    pub(crate) fn rest(&mut self) {
        self.again = None;
        self.until = None;
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.again
            .map(|(at, _)| at)
            .into_iter()
            .chain(self.until)
            .min()
    }

    /// What is to be sent again now, if anything.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<Bytes> {
        if self.until.is_some_and(|until| until <= now) {
            self.rest();
            return None;
        }
        let (at, pause) = self.again?;
        if at > now {
            return None;
        }
        let pause = (pause * 2).min(T2);
        self.again = Some((now + pause, pause));
        self.last.clone()
    }
}
