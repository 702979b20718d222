//! Reliable provisional responses (RFC 3262), on one leg: what the other leg knows of them stays there.
//!
//! ```text
//!   as UAS                                       as UAC
//!   18x RSeq n  ──>     sent again at T1,        18x RSeq n  <──   first of a dialog, or the last plus 1:
//!   18x RSeq n  ──>     doubling                 PRACK       ──>   acknowledged
//!        PRACK  <──     done: 200                18x RSeq n  <──   known: nothing
//!                       64·T1: given up          18x RSeq n+2 <──  one is missing: nothing, it comes again
//! ```

use std::time::Instant;

use bytes::Bytes;

use crate::sip::extensions::RAck;
use crate::transaction::timing::{Backoff, Timing};

/// Our reliable provisional responses to one INVITE. One is under way at a time: the first must be acknowledged
/// before the next (§3), and there is no need to be quicker later.
#[derive(Debug)]
pub struct Reliable {
    /// CSeq of the INVITE.
    cseq: u32,
    /// RSeq of the next one.
    next: u32,
    unacked: Option<Unacked>,
}

#[derive(Debug)]
struct Unacked {
    response: Bytes,
    resend: Backoff,
    give_up: Instant,
}

/// What time made of a reliable provisional response.
#[derive(Debug, PartialEq, Eq)]
pub enum Fired {
    /// Nothing.
    Nothing,
    /// It goes out again.
    Again(Bytes),
    /// The PRACK will not come: the INVITE is to be refused with a 5xx (§3).
    InVain,
}

impl Reliable {
    /// For the INVITE with this CSeq; `first` is the RSeq of the first, drawn at random so that no other
    /// PRACK matches it, and cut to 31 bits (§3).
    #[must_use]
    pub fn new(cseq: u32, first: u32) -> Self {
        Self {
            cseq,
            next: (first & MOST_FIRST).max(1),
            unacked: None,
        }
    }

    /// Whether one is yet to be acknowledged.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.unacked.is_some()
    }

    /// The RSeq of the next one.
    #[must_use]
    pub fn rseq(&self) -> u32 {
        self.next
    }

    /// Takes note that the response with [`rseq`](Self::rseq) went out.
    pub fn sent(&mut self, now: Instant, timing: &Timing, response: Bytes) {
        self.unacked = Some(Unacked {
            response,
            resend: Backoff::start(now, timing.t1),
            give_up: now + timing.patience(),
        });
    }

    /// Takes in what a PRACK acknowledges; `false`: nothing that waits for it (481, §3).
    pub fn handle_prack(&mut self, rack: Option<RAck>) -> bool {
        let awaited = RAck {
            rseq: self.next,
            cseq: self.cseq,
        };
        if self.unacked.is_none() || rack != Some(awaited) {
            return false;
        }
        self.unacked = None;
        self.next = self.next.saturating_add(1);
        true
    }

    /// Takes note that the INVITE has its final response, or will get it: nothing goes out again.
    pub fn stop(&mut self) {
        self.unacked = None;
    }

    /// When [`handle_timeout`](Self::handle_timeout) is next wanted.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let unacked = self.unacked.as_ref()?;
        Some(unacked.resend.due().min(unacked.give_up))
    }

    /// Lets what is due happen. The pause doubles without a bound (§3).
    pub fn handle_timeout(&mut self, now: Instant, timing: &Timing) -> Fired {
        let Some(unacked) = &mut self.unacked else {
            return Fired::Nothing;
        };
        if unacked.give_up <= now {
            self.unacked = None;
            return Fired::InVain;
        }
        if unacked.resend.fire(now, timing.patience()) {
            return Fired::Again(unacked.response.clone());
        }
        Fired::Nothing
    }
}

/// Which reliable provisional responses of one early dialog we have had (§4).
#[derive(Debug, Default, Clone, Copy)]
pub struct Heard {
    last: Option<u32>,
}

impl Heard {
    /// Takes in the RSeq of one; `true` if it is the first or the next, which is to be acknowledged and
    /// looked at. All others come again, or came before.
    pub fn take(&mut self, rseq: u32) -> bool {
        let is_next = self
            .last
            .is_none_or(|last| last.checked_add(1) == Some(rseq));
        if is_next {
            self.last = Some(rseq);
        }
        is_next
    }
}

/// The greatest RSeq that may be the first.
const MOST_FIRST: u32 = (1 << 31) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    #[test]
    fn a_response_goes_out_again_at_doubling_pauses_until_64_t1() {
        let (mut reliable, timing, start) = (Reliable::new(1, 7), Timing::default(), clock::now());
        reliable.sent(start, &timing, Bytes::from_static(b"183"));

        let mut fired = Vec::new();
        while let Some(due) = reliable.poll_timeout() {
            let what = reliable.handle_timeout(due, &timing);
            fired.push(((due - start).as_millis(), what));
        }

        let again = Fired::Again(Bytes::from_static(b"183"));
        let times = fired.iter().map(|(at, _)| *at).collect::<Vec<_>>();
        assert_eq!(times, [500, 1500, 3500, 7500, 15_500, 31_500, 32_000]);
        assert!(fired[..6].iter().all(|(_, what)| *what == again));
        assert_eq!(fired[6].1, Fired::InVain);
        assert!(!reliable.is_waiting());
    }

    #[test]
    fn only_the_prack_of_the_last_one_counts_and_only_once() {
        let (mut reliable, timing) = (Reliable::new(1, 7), Timing::default());
        let rack = |rseq, cseq| Some(RAck { rseq, cseq });
        assert!(!reliable.handle_prack(rack(7, 1)), "nothing was sent");
        reliable.sent(clock::now(), &timing, Bytes::new());

        assert!(!reliable.handle_prack(rack(8, 1)));
        assert!(!reliable.handle_prack(rack(7, 2)));
        assert!(!reliable.handle_prack(None));
        assert!(reliable.handle_prack(rack(7, 1)));
        assert!(!reliable.handle_prack(rack(7, 1)));

        assert_eq!(reliable.rseq(), 8);
        assert_eq!(reliable.poll_timeout(), None);
    }

    #[test]
    fn the_first_rseq_is_31_bits_and_not_zero() {
        for (drawn, first) in [(0, 1), (1 << 31, 1), (u32::MAX, (1 << 31) - 1), (9, 9)] {
            assert_eq!(Reliable::new(1, drawn).rseq(), first);
        }
    }

    #[test]
    fn responses_are_heard_in_order_and_once() {
        let mut heard = Heard::default();

        let heard = [5, 5, 7, 6, 6, 7, 5].map(|rseq| heard.take(rseq));

        assert_eq!(heard, [true, false, false, true, false, true, false]);
    }
}
