//! Tests of the INVITE client transaction, each timer by its letter.

use super::*;
use crate::sip::flow::Transport::{self, Tls, Udp};
use crate::transaction::tests::{origin, packet, resend, send};

#[test]
fn timer_a_doubles_without_a_cap_until_timer_b() {
    let mut call = Sim::new(Udp);

    let fired = call.run();

    let resent = [500, 1500, 3500, 7500, 15500, 31500].map(|at| (at, resend(Udp, "INVITE")));
    assert_eq!(fired[..6], resent);
    assert_eq!(fired[6..], [(32000, Output::TimedOut)]);
    assert!(call.tx.is_terminated());
}

#[test]
fn on_tls_there_is_timer_b_only() {
    assert_eq!(Sim::new(Tls).run(), [(32000, Output::TimedOut)]);
}

#[test]
fn a_provisional_stops_timers_a_and_b() {
    let mut call = Sim::new(Udp);

    assert_eq!(call.provisional(), (true, vec![]));
    assert_eq!(call.provisional(), (true, vec![]));
    assert_eq!(call.tx.poll_timeout(), None);
    assert!(!call.tx.falls_with_flow());
}

#[test]
fn a_failure_is_acknowledged_each_time_and_goes_up_once_until_timer_d() {
    let mut call = Sim::new(Udp);
    call.provisional();

    assert_eq!(call.failure(), (true, vec![send(Udp, "ACK")]));
    assert_eq!(call.failure(), (false, vec![resend(Udp, "ACK")]));
    assert_eq!(call.provisional(), (false, vec![]));
    assert_eq!(call.success(1), (false, vec![]));
    assert!(!call.tx.falls_with_flow());
    assert_eq!(call.run(), []);
    assert_eq!(call.elapsed(), Duration::from_secs(32));
    assert!(call.tx.is_terminated());
}

#[test]
fn timer_d_is_none_on_tls() {
    let mut call = Sim::new(Tls);

    assert_eq!(call.failure(), (true, vec![send(Tls, "ACK")]));
    assert!(call.tx.is_terminated());
}

#[test]
fn a_repeated_2xx_gets_the_ack_of_the_tu_again_until_timer_m() {
    for transport in [Udp, Tls] {
        let mut call = Sim::new(transport);

        assert_eq!(call.success(1), (true, vec![]));
        assert_eq!(call.success(1), (false, vec![]));
        call.tx.acked(1, packet(transport, "ACK of 1"));
        assert_eq!(
            call.success(1),
            (false, vec![resend(transport, "ACK of 1")])
        );
        assert_eq!(call.provisional(), (false, vec![]));
        assert_eq!(call.failure(), (false, vec![]));
        assert_eq!(call.run(), []);
        assert_eq!(call.elapsed(), Duration::from_secs(32));
        assert!(call.tx.is_terminated());
    }
}

#[test]
fn a_2xx_of_another_fork_goes_up_and_has_its_own_ack() {
    let mut call = Sim::new(Udp);
    call.success(1);
    call.tx.acked(1, packet(Udp, "ACK of 1"));

    assert_eq!(call.success(2), (true, vec![]));
    call.tx.acked(2, packet(Udp, "ACK of 2"));

    assert_eq!(call.success(2), (false, vec![resend(Udp, "ACK of 2")]));
    assert_eq!(call.success(1), (false, vec![resend(Udp, "ACK of 1")]));
}

#[test]
fn an_ack_that_answers_no_2xx_is_not_kept() {
    let mut call = Sim::new(Udp);
    call.tx.acked(1, packet(Udp, "ACK of 1"));
    call.success(1);
    call.tx.acked(2, packet(Udp, "ACK of 2"));

    assert_eq!(call.success(1), (false, vec![]));
    assert_eq!(call.success(2), (true, vec![]));
}

#[test]
fn the_ninth_fork_is_not_heard() {
    let mut call = Sim::new(Udp);
    for tag in 0..8 {
        assert_eq!(call.success(tag), (true, vec![]));
    }

    assert_eq!(call.success(8), (false, vec![]));
    call.tx.acked(7, packet(Udp, "ACK of 7"));
    assert_eq!(call.success(7), (false, vec![resend(Udp, "ACK of 7")]));
}

#[test]
fn cancel_after_a_provisional_goes_out_at_once_by_timer_e() {
    let mut call = Sim::new(Udp);
    call.provisional();

    assert_eq!(call.cancel(), [send(Udp, "CANCEL")]);
    assert_eq!(call.cancel(), []);
    let fired = call.run();

    let resent = [
        500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500,
    ]
    .map(|at| (at, resend(Udp, "CANCEL")));
    assert_eq!(fired[..10], resent);
    assert_eq!(fired[10..], [(32000, Output::TimedOut)]);
}

#[test]
fn cancel_waits_for_a_provisional() {
    let mut call = Sim::new(Udp);

    assert_eq!(call.cancel(), []);
    assert_eq!(call.provisional(), (true, vec![send(Udp, "CANCEL")]));
    assert_eq!(call.provisional(), (true, vec![]));
}

#[test]
fn a_cancelled_invite_that_nobody_answers_goes_out_for_8_t1_at_most() {
    let mut call = Sim::new(Udp);
    call.cancel();

    let sent = [500, 1500, 3500].map(|at| (at, resend(Udp, "INVITE")));
    let fired = call.run();

    assert_eq!(fired[..3], sent);
    assert_eq!(fired[3..], [(32000, Output::TimedOut)]);
}

#[test]
fn cancel_without_any_provisional_ends_by_timer_b() {
    let mut call = Sim::new(Tls);
    call.cancel();

    assert_eq!(call.run(), [(32000, Output::TimedOut)]);
}

#[test]
fn cancel_is_not_sent_if_the_final_response_comes_first() {
    let mut call = Sim::new(Udp);
    call.cancel();

    assert_eq!(call.failure(), (true, vec![send(Udp, "ACK")]));
    assert_eq!(call.cancel(), []);
    assert_eq!(call.run(), []);
}

#[test]
fn the_487_ends_the_cancel_and_is_acknowledged() {
    let mut call = Sim::new(Udp);
    call.provisional();
    call.cancel();

    assert_eq!(call.failure(), (true, vec![send(Udp, "ACK")]));
    call.cancel_response(200);
    assert_eq!(call.run(), []);
    assert_eq!(call.elapsed(), Duration::from_secs(32));
}

#[test]
fn a_cancelled_invite_without_a_final_response_is_given_up_after_64_t1() {
    let mut call = Sim::new(Udp);
    call.provisional();
    call.cancel();

    call.cancel_response(200);
    assert_eq!(call.provisional(), (true, vec![]));

    assert_eq!(call.run(), [(32000, Output::TimedOut)]);
    assert!(call.tx.is_terminated());
}

#[test]
fn a_2xx_that_crosses_the_cancel_goes_up() {
    let mut call = Sim::new(Udp);
    call.provisional();
    call.cancel();

    assert_eq!(call.success(1), (true, vec![]));
    call.cancel_response(200);
    call.tx.acked(1, packet(Udp, "ACK of 1"));
    assert_eq!(call.success(1), (false, vec![resend(Udp, "ACK of 1")]));
    assert_eq!(call.run(), []);
}

/// One transaction and a clock that moves only from timer to timer.
struct Sim {
    tx: ClientInvite,
    start: Instant,
    now: Instant,
}

impl Sim {
    fn new(transport: Transport) -> Self {
        let now = origin();
        let mut out = Vec::new();
        let invite = packet(transport, "INVITE");
        let tx = ClientInvite::new(now, &Timing::default(), invite, &mut out);
        assert_eq!(out, [send(transport, "INVITE")]);
        Self {
            tx,
            start: now,
            now,
        }
    }

    fn cancel(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        let timing = Timing::default();
        let write = |invite: &[u8], _: &[u8]| write("CANCEL")(invite);
        self.tx.cancel(self.now, &timing, None, write, &mut out);
        out
    }

    fn provisional(&mut self) -> (bool, Vec<Output>) {
        let mut out = Vec::new();
        let timing = Timing::default();
        let write = |invite: &[u8], _: &[u8]| write("CANCEL")(invite);
        let up = self
            .tx
            .handle_provisional(self.now, &timing, write, &mut out);
        (up, out)
    }

    fn success(&mut self, tag: u64) -> (bool, Vec<Output>) {
        let mut out = Vec::new();
        let up = self
            .tx
            .handle_success(self.now, &Timing::default(), tag, &mut out);
        (up, out)
    }

    fn failure(&mut self) -> (bool, Vec<Output>) {
        let mut out = Vec::new();
        let timing = Timing::default();
        let up = self
            .tx
            .handle_failure(self.now, &timing, write("ACK"), &mut out);
        (up, out)
    }

    fn cancel_response(&mut self, status: u16) {
        self.tx
            .handle_cancel_response(self.now, &Timing::default(), status);
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

/// Writes `text`, from the INVITE only.
fn write(text: &'static str) -> impl FnOnce(&[u8]) -> Option<Bytes> {
    move |invite| {
        assert_eq!(invite, b"INVITE");
        Some(Bytes::from_static(text.as_bytes()))
    }
}
