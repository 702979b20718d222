//! INVITE server transaction (RFC 3261 §17.2.1 Figure 7, with RFC 6026 §7.1).
//!
//! ```text
//!                           INVITE
//!                             |
//!                             v         INVITE: resend last provisional
//!                        Proceeding     1xx from TU: send (100 first)
//!            2xx from TU  /       \  300-699 from TU
//!           send, start L/         \ send, start G (UDP only) and H
//!                       v           v
//!                   Accepted     Completed   INVITE, G: resend
//!      2xx from TU: send |        |     |
//!      ACK: to TU        |    ACK |     | H: tell TU
//!      INVITE: absorb    |        v     |
//!                        |   Confirmed  |    ACK: absorb
//!                      L |      I |     |
//!                        v        v     v
//!                          Terminated
//! ```
//!
//! A timer lives in the state that it belongs to, so leaving the state is what stops it. The 2xx is
//! not kept: until its ACK the TU sends it again (RFC 3261 §13.3.1.4).

use std::time::Instant;

use bytes::Bytes;

use super::timing::{Backoff, Timing};
use super::{Output, Packet};
use crate::sip::flow::Flow;

/// State machine of one inbound INVITE until its final response is settled.
#[derive(Debug)]
pub struct ServerInvite {
    /// The way that the INVITE came and the responses go.
    flow: Flow,
    state: State,
}

#[derive(Debug)]
enum State {
    Proceeding {
        /// `None`: the TU has not sent its 100 yet.
        provisional: Option<Bytes>,
    },
    Accepted {
        /// Timer L.
        until: Instant,
    },
    Completed {
        response: Bytes,
        /// Timer G, on unreliable transports only.
        resend: Option<Backoff>,
        /// Timer H.
        give_up: Instant,
    },
    Confirmed {
        /// Timer I.
        until: Instant,
    },
    Terminated,
}

/// For whom an ACK is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// For the TU: it acknowledges a 2xx.
    ForUser,
    /// For the transaction alone.
    Absorbed,
}

impl ServerInvite {
    /// Starts the transaction of an INVITE that came along `flow`. The TU answers 100 at once.
    #[must_use]
    pub fn new(flow: Flow) -> Self {
        Self {
            flow,
            state: State::Proceeding { provisional: None },
        }
    }

    /// Sends a response of the TU: `status` is its code, `response` the whole message. A response
    /// that no longer fits the state is dropped, as the peer has its answer.
    pub fn respond(
        &mut self,
        now: Instant,
        timing: &Timing,
        status: u16,
        response: Bytes,
        out: &mut Vec<Output>,
    ) {
        let packet = Packet {
            flow: self.flow,
            bytes: response.clone(),
        };
        self.state = match (&self.state, status) {
            (State::Proceeding { .. }, ..200) => State::Proceeding {
                provisional: Some(response),
            },
            (State::Proceeding { .. }, 200..300) => State::Accepted {
                until: now + timing.patience(),
            },
            (State::Proceeding { .. }, _) => State::Completed {
                response,
                resend: (!self.flow.transport.is_reliable())
                    .then(|| Backoff::start(now, timing.t1)),
                give_up: now + timing.patience(),
            },
            (State::Accepted { .. }, 200..300) => {
                out.push(Output::Resend(packet));
                return;
            }
            (State::Accepted { .. } | State::Completed { .. }, _) => return,
            (State::Confirmed { .. } | State::Terminated, _) => return,
        };
        out.push(Output::Send(packet));
    }

    /// Takes in a retransmission of the INVITE, that came along `flow`: the answer goes that way, as
    /// a NAT may have moved the peer.
    pub fn handle_invite(&self, flow: Flow, out: &mut Vec<Output>) {
        out.extend(self.last_response().map(|last| {
            Output::Resend(Packet {
                flow,
                bytes: last.clone(),
            })
        }));
    }

    /// What a retransmission of the INVITE gets; `None` if nothing.
    #[must_use]
    pub fn last_response(&self) -> Option<&Bytes> {
        match &self.state {
            State::Proceeding { provisional } => provisional.as_ref(),
            State::Completed { response, .. } => Some(response),
            State::Accepted { .. } | State::Confirmed { .. } | State::Terminated => None,
        }
    }

    /// Takes in an ACK with the branch of the INVITE. That of a 2xx should have its own branch, but
    /// not every peer knows.
    pub fn handle_ack(&mut self, now: Instant, timing: &Timing) -> Ack {
        match &self.state {
            State::Accepted { .. } => Ack::ForUser,
            State::Completed { .. } => {
                self.state = if self.flow.transport.is_reliable() {
                    State::Terminated
                } else {
                    State::Confirmed {
                        until: now + timing.t4,
                    }
                };
                Ack::Absorbed
            }
            State::Proceeding { .. } | State::Confirmed { .. } | State::Terminated => Ack::Absorbed,
        }
    }

    /// Lets every timer due at `now` fire.
    pub fn handle_timeout(&mut self, now: Instant, timing: &Timing, out: &mut Vec<Output>) {
        match &mut self.state {
            State::Completed { give_up, .. } if *give_up <= now => {
                self.state = State::Terminated;
                out.push(Output::TimedOut);
            }
            State::Completed {
                resend, response, ..
            } => {
                if resend
                    .as_mut()
                    .is_some_and(|resend| resend.fire(now, timing.t2))
                {
                    out.push(Output::Resend(Packet {
                        flow: self.flow,
                        bytes: response.clone(),
                    }));
                }
            }
            State::Accepted { until } | State::Confirmed { until } if *until <= now => {
                self.state = State::Terminated;
            }
            State::Accepted { .. } | State::Confirmed { .. } => {}
            State::Proceeding { .. } | State::Terminated => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Accepted { until } | State::Confirmed { until } => Some(until),
            State::Completed {
                resend, give_up, ..
            } => Some(resend.map_or(give_up, |resend| resend.due().min(give_up))),
            State::Proceeding { .. } | State::Terminated => None,
        }
    }

    /// Whether the peer still has to hear, or to acknowledge, how its INVITE ends.
    #[must_use]
    pub fn is_half_open(&self) -> bool {
        matches!(
            self.state,
            State::Proceeding { .. } | State::Completed { .. }
        )
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
    fn timer_g_resends_the_busy_on_udp_at_doubling_intervals_until_timer_h() {
        let mut call = Sim::new(Udp);
        assert_eq!(call.respond(486, "486"), [send(Udp, "486")]);

        let fired = call.run();

        let resent = [
            500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500,
        ]
        .map(|at| (at, resend(Udp, "486")));
        assert_eq!(fired[..10], resent);
        assert_eq!(fired[10..], [(32000, Output::TimedOut)]);
        assert!(call.tx.is_terminated());
    }

    #[test]
    fn on_tls_there_is_timer_h_only() {
        let mut call = Sim::new(Tls);
        call.respond(486, "486");

        assert_eq!(call.run(), [(32000, Output::TimedOut)]);
    }

    #[test]
    fn ack_stops_the_busy_and_is_absorbed_until_timer_i() {
        let mut call = Sim::new(Udp);
        call.respond(486, "486");

        assert_eq!(call.ack(), Ack::Absorbed);
        assert_eq!(call.ack(), Ack::Absorbed);
        assert_eq!(call.invite(), []);
        assert_eq!(call.run(), []);
        assert_eq!(call.elapsed(), Duration::from_secs(5));
        assert!(call.tx.is_terminated());
    }

    #[test]
    fn ack_ends_the_transaction_at_once_on_tls() {
        let mut call = Sim::new(Tls);
        call.respond(486, "486");

        assert_eq!(call.ack(), Ack::Absorbed);
        assert!(call.tx.is_terminated());
    }

    #[test]
    fn ok_belongs_to_the_tu_until_timer_l() {
        for transport in [Udp, Tls] {
            let mut call = Sim::new(transport);

            assert_eq!(call.respond(200, "200"), [send(transport, "200")]);
            assert_eq!(call.invite(), []);
            assert_eq!(call.respond(200, "200"), [resend(transport, "200")]);
            assert_eq!(call.ack(), Ack::ForUser);
            assert_eq!(call.respond(486, "486"), []);
            assert_eq!(call.respond(180, "180"), []);
            assert_eq!(call.run(), []);
            assert_eq!(call.elapsed(), Duration::from_secs(32));
            assert!(call.tx.is_terminated());
        }
    }

    #[test]
    fn a_repeated_invite_gets_the_last_response() {
        let mut call = Sim::new(Udp);

        assert_eq!(call.invite(), []);
        assert_eq!(call.respond(100, "100"), [send(Udp, "100")]);
        assert_eq!(call.invite(), [resend(Udp, "100")]);
        assert_eq!(call.respond(180, "180"), [send(Udp, "180")]);
        assert_eq!(call.invite(), [resend(Udp, "180")]);
        assert_eq!(call.respond(486, "486"), [send(Udp, "486")]);
        assert_eq!(call.invite(), [resend(Udp, "486")]);
    }

    #[test]
    fn the_first_final_response_counts() {
        let mut call = Sim::new(Udp);
        call.respond(486, "486");

        assert_eq!(call.respond(200, "200"), []);
        assert_eq!(call.respond(487, "487"), []);
        assert_eq!(call.invite(), [resend(Udp, "486")]);
    }

    #[test]
    fn proceeding_waits_for_the_tu_without_a_timer() {
        let mut call = Sim::new(Udp);
        call.respond(100, "100");

        assert_eq!(call.ack(), Ack::Absorbed);
        assert_eq!(call.tx.poll_timeout(), None);
    }

    /// One transaction and a clock that moves only from timer to timer.
    struct Sim {
        tx: ServerInvite,
        flow: Flow,
        start: Instant,
        now: Instant,
        out: Vec<Output>,
    }

    impl Sim {
        fn new(transport: Transport) -> Self {
            let now = origin();
            Self {
                tx: ServerInvite::new(flow(transport)),
                flow: flow(transport),
                start: now,
                now,
                out: Vec::new(),
            }
        }

        fn respond(&mut self, status: u16, response: &'static str) -> Vec<Output> {
            let response = Bytes::from_static(response.as_bytes());
            let timing = Timing::default();
            self.tx
                .respond(self.now, &timing, status, response, &mut self.out);
            std::mem::take(&mut self.out)
        }

        fn invite(&mut self) -> Vec<Output> {
            self.tx.handle_invite(self.flow, &mut self.out);
            std::mem::take(&mut self.out)
        }

        fn ack(&mut self) -> Ack {
            self.tx.handle_ack(self.now, &Timing::default())
        }

        /// Fires timers until none is left: what came out, and after how many milliseconds.
        fn run(&mut self) -> Vec<(u128, Output)> {
            let mut fired = Vec::new();
            while let Some(next) = self.tx.poll_timeout() {
                self.now = next;
                self.tx
                    .handle_timeout(next, &Timing::default(), &mut self.out);
                let at = self.elapsed().as_millis();
                fired.extend(self.out.drain(..).map(|output| (at, output)));
            }
            fired
        }

        fn elapsed(&self) -> Duration {
            self.now - self.start
        }
    }
}
