//! Non-INVITE client transaction (RFC 3261 §17.1.2 Figure 6).
//!
//! ```text
//!              request from TU: send, start E (UDP only) and F
//!                       |
//!                       v
//!                    Trying        E: resend, doubling up to T2
//!                 1xx /   \
//!              to TU v     \ 200-699: to TU, start K
//!           Proceeding      |      E: resend, every T2
//!                |   \      |      1xx: to TU
//!   F (also in   |    \ 200-699: to TU, start K
//!    Trying):    |     v    v
//!    tell TU     |   Completed     response: absorb
//!                |      | K
//!                v      v
//!               Terminated
//! ```
//!
//! Timer K is 0 on reliable transports.

use std::time::Instant;

use super::timing::{Backoff, Timing};
use super::{Output, Packet};

/// State machine of one outbound request other than INVITE and ACK.
#[derive(Debug)]
pub struct ClientNonInvite {
    state: State,
}

#[derive(Debug)]
enum State {
    Trying(Unanswered),
    Proceeding(Unanswered),
    Completed {
        /// Timer K.
        until: Instant,
    },
    Terminated,
}

#[derive(Debug)]
struct Unanswered {
    request: Packet,
    /// Timer E, on unreliable transports only.
    resend: Option<Backoff>,
    /// Timer F.
    give_up: Instant,
}

impl ClientNonInvite {
    /// Starts the transaction: sends `request`.
    pub fn new(now: Instant, timing: &Timing, request: Packet, out: &mut Vec<Output>) -> Self {
        out.push(Output::Send(request.clone()));
        let reliable = request.flow.transport.is_reliable();
        Self {
            state: State::Trying(Unanswered {
                request,
                resend: (!reliable).then(|| Backoff::start(now, timing.t1)),
                give_up: now + timing.patience(),
            }),
        }
    }

    /// Takes in a response; `true` if it is for the TU.
    pub fn handle_response(&mut self, now: Instant, timing: &Timing, status: u16) -> bool {
        let (next, for_user) = match (
            std::mem::replace(&mut self.state, State::Terminated),
            status,
        ) {
            (State::Trying(request) | State::Proceeding(request), ..200) => {
                (State::Proceeding(request), true)
            }
            (State::Trying(request) | State::Proceeding(request), _) => {
                if request.request.flow.transport.is_reliable() {
                    (State::Terminated, true)
                } else {
                    let until = now + timing.t4;
                    (State::Completed { until }, true)
                }
            }
            (state @ (State::Completed { .. } | State::Terminated), _) => (state, false),
        };
        self.state = next;
        for_user
    }

    /// Lets every timer due at `now` fire.
    pub fn handle_timeout(&mut self, now: Instant, timing: &Timing, out: &mut Vec<Output>) {
        let proceeding = matches!(self.state, State::Proceeding(_));
        match &mut self.state {
            State::Trying(request) | State::Proceeding(request) => {
                if request.give_up <= now {
                    self.state = State::Terminated;
                    out.push(Output::TimedOut);
                    return;
                }
                let Some(resend) = &mut request.resend else {
                    return;
                };
                if resend.fire(now, timing.t2) {
                    if proceeding {
                        *resend = Backoff::start(now, timing.t2);
                    }
                    out.push(Output::Resend(request.request.clone()));
                }
            }
            State::Completed { until } if *until <= now => self.state = State::Terminated,
            State::Completed { .. } | State::Terminated => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Trying(request) | State::Proceeding(request) => Some(
                request
                    .resend
                    .map_or(request.give_up, |resend| resend.due().min(request.give_up)),
            ),
            State::Completed { until } => Some(*until),
            State::Terminated => None,
        }
    }

    /// Whether nobody has said anything to it yet.
    #[must_use]
    pub fn is_unheard(&self) -> bool {
        matches!(self.state, State::Trying(_))
    }

    /// Whether a failure of the flow ends it (RFC 3261 §17.1.4). Over UDP that is an ICMP error, which says
    /// nothing any more once the peer was heard.
    #[must_use]
    pub fn falls_with_flow(&self) -> bool {
        match &self.state {
            State::Trying(_) => true,
            State::Proceeding(request) => request.request.flow.transport.is_reliable(),
            State::Completed { .. } | State::Terminated => false,
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
    use crate::transaction::tests::{origin, packet, resend, send};

    #[test]
    fn timer_e_doubles_up_to_t2_until_timer_f() {
        let mut bye = Sim::new(Udp);

        let fired = bye.run();

        let resent = [
            500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500,
        ]
        .map(|at| (at, resend(Udp, "BYE")));
        assert_eq!(fired[..10], resent);
        assert_eq!(fired[10..], [(32000, Output::TimedOut)]);
        assert!(bye.tx.is_terminated());
    }

    #[test]
    fn on_tls_there_is_timer_f_only() {
        assert_eq!(Sim::new(Tls).run(), [(32000, Output::TimedOut)]);
    }

    #[test]
    fn after_a_provisional_timer_e_is_t2() {
        let mut bye = Sim::new(Udp);

        assert!(bye.response(100));
        let fired = bye.run();

        let resent =
            [500, 4500, 8500, 12500, 16500, 20500, 24500, 28500].map(|at| (at, resend(Udp, "BYE")));
        assert_eq!(fired[..8], resent);
        assert_eq!(fired[8..], [(32000, Output::TimedOut)]);
    }

    #[test]
    fn a_final_response_goes_up_once_and_is_absorbed_until_timer_k() {
        let mut bye = Sim::new(Udp);

        assert!(bye.tx.falls_with_flow());
        assert!(bye.response(200));
        assert!(!bye.tx.falls_with_flow());
        assert!(!bye.response(200));
        assert!(!bye.response(100));
        assert_eq!(bye.run(), []);
        assert_eq!(bye.elapsed(), Duration::from_secs(5));
        assert!(bye.tx.is_terminated());
    }

    #[test]
    fn timer_k_is_none_on_tls() {
        let mut bye = Sim::new(Tls);

        assert!(bye.response(100));
        assert!(bye.response(481));
        assert!(bye.tx.is_terminated());
        assert!(!bye.response(481));
    }

    /// One transaction and a clock that moves only from timer to timer.
    struct Sim {
        tx: ClientNonInvite,
        start: Instant,
        now: Instant,
    }

    impl Sim {
        fn new(transport: Transport) -> Self {
            let now = origin();
            let mut out = Vec::new();
            let request = packet(transport, "BYE");
            let tx = ClientNonInvite::new(now, &Timing::default(), request, &mut out);
            assert_eq!(out, [send(transport, "BYE")]);
            Self {
                tx,
                start: now,
                now,
            }
        }

        fn response(&mut self, status: u16) -> bool {
            self.tx
                .handle_response(self.now, &Timing::default(), status)
        }

        /// Fires timers until none is left: what came out, and after how many milliseconds.
        fn run(&mut self) -> Vec<(u128, Output)> {
            let mut fired = Vec::new();
            while let Some(next) = self.tx.poll_timeout() {
                self.now = next;
                let mut out = Vec::new();
                self.tx.handle_timeout(next, &Timing::default(), &mut out);
                let at = self.elapsed().as_millis();
                fired.extend(out.into_iter().map(|output| (at, output)));
            }
            fired
        }

        fn elapsed(&self) -> Duration {
            self.now - self.start
        }
    }
}
