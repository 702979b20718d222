//! Non-INVITE server transaction (RFC 3261 §17.2.2 Figure 8).
//!
//! ```text
//!                    request
//!                       |
//!                       v
//!                    Trying        request: absorb
//!        1xx from TU  /   \  200-699 from TU: send, start J
//!              send  v     \
//!           Proceeding      |      request: resend last provisional
//!                    \      |      1xx from TU: send
//!    200-699 from TU  \     |
//!      send, start J   v    v
//!                    Completed     request: resend
//!                       | J        response from TU: drop
//!                       v
//!                   Terminated
//! ```
//!
//! Timer J is 0 on reliable transports.

use std::time::Instant;

use bytes::Bytes;

use super::timing::Timing;
use super::{Output, Packet};
use crate::sip::flow::Flow;

/// State machine of one inbound request other than INVITE and ACK.
#[derive(Debug)]
pub struct ServerNonInvite {
    /// The way that the request came and the responses go.
    flow: Flow,
    state: State,
}

#[derive(Debug)]
enum State {
    Trying,
    Proceeding {
        provisional: Bytes,
    },
    Completed {
        response: Bytes,
        /// Timer J.
        until: Instant,
    },
    Terminated,
}

impl ServerNonInvite {
    /// Starts the transaction of a request that came along `flow`.
    #[must_use]
    pub fn new(flow: Flow) -> Self {
        Self {
            flow,
            state: State::Trying,
        }
    }

    /// Sends a response of the TU: `status` is its code, `response` the whole message. After the
    /// first final response others are dropped.
    pub fn respond(
        &mut self,
        now: Instant,
        timing: &Timing,
        status: u16,
        response: Bytes,
        out: &mut Vec<Output>,
    ) {
        match self.state {
            State::Trying | State::Proceeding { .. } => {}
            State::Completed { .. } | State::Terminated => return,
        }
        out.push(Output::Send(Packet {
            flow: self.flow,
            bytes: response.clone(),
        }));
        self.state = if status < 200 {
            State::Proceeding {
                provisional: response,
            }
        } else if self.flow.transport.is_reliable() {
            State::Terminated
        } else {
            State::Completed {
                response,
                until: now + timing.patience(),
            }
        };
    }

    /// Takes in a retransmission of the request, that came along `flow`: the answer goes that way, as
    /// a NAT may have moved the peer.
    pub fn handle_request(&self, flow: Flow, out: &mut Vec<Output>) {
        out.extend(self.last_response().map(|last| {
            Output::Resend(Packet {
                flow,
                bytes: last.clone(),
            })
        }));
    }

    /// What a retransmission of the request gets; `None` if nothing.
    #[must_use]
    pub fn last_response(&self) -> Option<&Bytes> {
        match &self.state {
            State::Proceeding { provisional: last } | State::Completed { response: last, .. } => {
                Some(last)
            }
            State::Trying | State::Terminated => None,
        }
    }

    /// Lets every timer due at `now` fire.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Completed { until, .. } if until <= now => self.state = State::Terminated,
            State::Completed { .. } => {}
            State::Trying | State::Proceeding { .. } | State::Terminated => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Completed { until, .. } => Some(until),
            State::Trying | State::Proceeding { .. } | State::Terminated => None,
        }
    }

    /// Whether the transaction is over and may be dropped.
    #[must_use]
    pub fn is_terminated(&self) -> bool {
        matches!(self.state, State::Terminated)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sip::flow::Transport::{self, Tls, Udp};
    use crate::transaction::tests::{flow, origin, resend, send};

    #[test]
    fn a_repeated_request_gets_the_answer_again_until_timer_j() {
        let start = origin();
        let mut tx = ServerNonInvite::new(flow(Udp));

        assert_eq!(request(&tx, Udp), []);
        assert_eq!(respond(&mut tx, start, 200, "200"), [send(Udp, "200")]);
        assert_eq!(request(&tx, Udp), [resend(Udp, "200")]);
        let timer_j = tx.poll_timeout().unwrap();
        assert_eq!(timer_j - start, Duration::from_secs(32));
        tx.handle_timeout(timer_j - Duration::from_nanos(1));
        assert_eq!(request(&tx, Udp), [resend(Udp, "200")]);
        tx.handle_timeout(timer_j);
        assert!(tx.is_terminated());
    }

    #[test]
    fn timer_j_is_none_on_tls() {
        let mut tx = ServerNonInvite::new(flow(Tls));

        assert_eq!(respond(&mut tx, origin(), 200, "200"), [send(Tls, "200")]);
        assert!(tx.is_terminated());
    }

    #[test]
    fn a_provisional_is_repeated_until_the_final_response() {
        let start = origin();
        let mut tx = ServerNonInvite::new(flow(Udp));

        assert_eq!(respond(&mut tx, start, 100, "100"), [send(Udp, "100")]);
        assert_eq!(request(&tx, Udp), [resend(Udp, "100")]);
        assert_eq!(tx.poll_timeout(), None);
        assert_eq!(respond(&mut tx, start, 500, "500"), [send(Udp, "500")]);
        assert_eq!(request(&tx, Udp), [resend(Udp, "500")]);
    }

    #[test]
    fn the_first_final_response_counts() {
        let start = origin();
        let mut tx = ServerNonInvite::new(flow(Udp));
        respond(&mut tx, start, 481, "481");

        assert_eq!(respond(&mut tx, start, 200, "200"), []);
        assert_eq!(request(&tx, Udp), [resend(Udp, "481")]);
    }

    fn respond(
        tx: &mut ServerNonInvite,
        now: Instant,
        status: u16,
        text: &'static str,
    ) -> Vec<Output> {
        let mut out = Vec::new();
        let response = Bytes::from_static(text.as_bytes());
        tx.respond(now, &Timing::default(), status, response, &mut out);
        out
    }

    fn request(tx: &ServerNonInvite, transport: Transport) -> Vec<Output> {
        let mut out = Vec::new();
        tx.handle_request(flow(transport), &mut out);
        out
    }
}
