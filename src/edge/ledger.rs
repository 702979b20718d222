//! The places of trunks, buyers and groups with a limit: taken and given back by all shards.
//!
//! ```text
//!   shard 0: Till ──┐
//!                   ├── Ledger: one book, by party
//!   shard 1: Till ──┘
//! ```
//!
//! A till keeps what its calls hold, by the name of the question. Who has no limit is never asked about, so the book's lock
//! is taken by calls of those only who have one, for well under a microsecond.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::call::places::{Claimant, Ticket, Verdict};
use crate::routing::book::{Book, Counted, Hold};
use crate::routing::caps::{CapOn, Counters, Party};
use crate::routing::window::Window;
use crate::twilio::ticket::{Pass, TicketFault, Used};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// The book that all shards share.
pub(super) struct Ledger {
    book: Mutex<Book>,
    /// Tickets that hold no more; few calls show one.
    used: Mutex<Used>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            book: Mutex::default(),
            used: Mutex::new(Used::new(TICKETS)),
        }
    }
}

/// Used tickets that are remembered at once: a thousand calls a second, each for a minute.
const TICKETS: usize = 60_000;

/// One shard's way to the book.
pub(super) struct Till {
    ledger: Arc<Ledger>,
    holds: HashMap<Ticket, Hold>,
    /// What counts from now on, and is not written down yet.
    counted: Vec<Counted>,
    /// What the conversions of calls count against whose record comes next: it is written down with their end, so that nobody finds them
    /// to have converted again.
    converted: Vec<(CallUuid, Vec<Counted>)>,
}

impl Ledger {
    pub(super) fn till(self: &Arc<Self>) -> Till {
        Till {
            ledger: Arc::clone(self),
            holds: HashMap::new(),
            counted: Vec::new(),
            converted: Vec::new(),
        }
    }

    /// Takes up what was counted before this process began.
    pub(super) fn restore(&self, counted: &Counted, calls: u32) {
        self.book().count(counted, calls);
    }

    /// Uses a ticket up, once for all shards.
    ///
    /// # Errors
    ///
    /// When it was used, is too old, or cannot be remembered.
    pub(super) fn spend(&self, now: Moment, pass: Pass) -> Result<(), TicketFault> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.take(now, pass)
    }

    /// Places taken: of trunks and of buyers.
    pub(super) fn taken(&self) -> (u64, u64) {
        self.book().taken()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts now, for whoever only looks.
impl Counters for Ledger {
    fn calls(&self, party: &Party) -> Option<u32> {
        self.book().calls(party)
    }

    fn counted(&self, party: &Party, window: Window) -> Option<u32> {
        self.book().counted(party, window)
    }
}

impl Till {
    /// Takes the places that a call asks for, all or none.
    pub(super) fn reserve(&mut self, now: Moment, ticket: Ticket, claimant: &Claimant) -> Verdict {
        let mut book = self.ledger.book();
        match claimant.reserve(now, &mut book, &mut self.counted) {
            Ok(hold) => {
                if let Claimant::Guest(_, pass) = claimant
                    && let Err(fault) = self.ledger.spend(now, *pass)
                {
                    book.release(hold);
                    return Verdict::Spent(fault);
                }
                self.holds.insert(ticket, hold);
                Verdict::Granted
            }
            Err(full) => Verdict::Full(full),
        }
    }

    /// The call that has these places did what counts with some.
    pub(super) fn commit(&mut self, ticket: Ticket, call: CallUuid, what: CapOn) {
        let Some(hold) = self.holds.get_mut(&ticket) else {
            return;
        };
        let mut book = self.ledger.book();
        match what {
            CapOn::Attempt | CapOn::Answer => book.commit(hold, what, &mut self.counted),
            CapOn::Conversion => {
                let mut counted = Vec::new();
                book.commit(hold, what, &mut counted);
                self.converted.push((call, counted));
            }
        }
    }

    /// What the conversion of this call, whose record is at hand, counts against.
    pub(super) fn take_converted(&mut self, call: CallUuid) -> Vec<Counted> {
        let place = self.converted.iter().position(|(one, _)| *one == call);
        let converted = place.map(|place| self.converted.swap_remove(place));
        converted.map(|(_, counted)| counted).unwrap_or_default()
    }

    /// Takes back places that were granted.
    pub(super) fn release(&mut self, ticket: Ticket) {
        if let Some(hold) = self.holds.remove(&ticket) {
            self.ledger.book().release(hold);
        }
    }
}

impl Till {
    /// What has come to count since it was last asked.
    pub(super) fn take_counted(&mut self) -> Vec<Counted> {
        mem::take(&mut self.counted)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::routing::buyer::{Buyer, Gateway};
    use crate::routing::caps::{CapKind, Caps};
    use crate::routing::trunk::{CompanyId, Trunk};

    #[test]
    fn a_place_is_granted_while_there_are_any_and_again_when_one_is_given_back() {
        let ledger = Arc::new(Ledger::default());
        let mut till = ledger.till();
        let buyer = buyer(2);

        let verdicts = [1, 2, 3].map(|round| till.reserve(at(0), ticket(round), &buyer));
        assert_eq!(verdicts[..2], [Verdict::Granted, Verdict::Granted]);
        let Verdict::Full(full) = &verdicts[2] else {
            panic!("{verdicts:?}");
        };
        assert_eq!(
            (full.kind, full.have, full.cap),
            (CapKind::Concurrency, 2, 2)
        );
        till.release(ticket(1));

        assert_eq!(till.reserve(at(0), ticket(4), &buyer), Verdict::Granted);
        // A trunk of the same id is another party.
        let trunk = Trunk {
            caps: caps(1),
            ..Trunk::new("one", CompanyId(0))
        };
        let trunk = Claimant::Trunk(Arc::new(trunk));
        assert_eq!(till.reserve(at(0), ticket(5), &trunk), Verdict::Granted);
        assert_eq!(ledger.taken(), (1, 2));
    }

    #[test]
    fn a_ticket_is_good_for_one_call_of_all_shards_and_takes_no_place_otherwise() {
        let ledger = Arc::new(Ledger::default());
        let (mut one, mut other) = (ledger.till(), ledger.till());
        let trunk = Arc::new(Trunk {
            caps: caps(2),
            ..Trunk::new("one", CompanyId(0))
        });
        let guest = |uuid| {
            let expires = at(1_000);
            Claimant::Guest(Arc::clone(&trunk), Pass { expires, uuid })
        };

        assert_eq!(one.reserve(at(0), ticket(1), &guest(1)), Verdict::Granted);
        let again = other.reserve(at(1), ticket(1), &guest(1));
        assert_eq!(again, Verdict::Spent(TicketFault::Used));
        let late = other.reserve(at(1_000), ticket(2), &guest(2));
        assert_eq!(late, Verdict::Spent(TicketFault::Expired));
        assert_eq!(ledger.taken(), (1, 0));
        one.release(ticket(1));
        assert_eq!(ledger.taken(), (0, 0));
    }

    #[test]
    fn what_is_given_back_twice_or_was_never_granted_changes_nothing() {
        let ledger = Arc::new(Ledger::default());
        let mut till = ledger.till();
        let buyer = buyer(2);
        let _ = till.reserve(at(0), ticket(1), &buyer);
        let _ = till.reserve(at(0), ticket(2), &buyer);

        till.release(ticket(1));
        till.release(ticket(1));
        till.release(ticket(9));

        assert_eq!(ledger.taken(), (0, 1));
    }

    #[test]
    fn shards_share_the_places_and_never_take_one_too_many() {
        let ledger = Arc::new(Ledger::default());
        let buyer = buyer(7);

        let granted: usize = thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| {
                    let (mut till, buyer, ledger) = (ledger.till(), buyer.clone(), &ledger);
                    scope.spawn(move || {
                        let mut granted = 0;
                        for round in 0..10_000 {
                            let verdict = till.reserve(at(0), ticket(round), &buyer);
                            if verdict == Verdict::Granted {
                                granted += 1;
                                assert!(ledger.taken().1 <= 7);
                                till.release(ticket(round));
                            }
                        }
                        granted
                    })
                })
                .collect();
            let joined = workers.into_iter().map(|worker| worker.join().unwrap());
            joined.sum()
        });

        assert!(granted > 0);
        assert_eq!(ledger.taken(), (0, 0));
    }

    fn ticket(round: u32) -> Ticket {
        Ticket::of_test(round)
    }

    fn at(millis: i64) -> Moment {
        Moment::from_millis(millis)
    }

    fn buyer(max_calls: u32) -> Claimant {
        let gateway = Gateway::udp(
            "sip:one@192.0.2.1",
            "192.0.2.1",
            "192.0.2.1:5060".parse().unwrap(),
        );
        let buyer = Buyer {
            caps: caps(max_calls),
            ..Buyer::new("one", vec![Arc::new(gateway)])
        };
        Claimant::Buyer(Arc::new(buyer), None)
    }

    fn caps(max_calls: u32) -> Caps {
        Caps {
            max_calls: Some(max_calls),
            max_cps: None,
        }
    }
}
