//! Who counts places, in tests: by the product's own book, and strict about what is given back.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use strowger::call::places::{Claimant, Ticket, Verdict};
use strowger::routing::book::{Book, Counted, Hold};
use strowger::routing::caps::{CapOn, Party};
use strowger::twilio::ticket::Used;
use strowger::types::moment::Moment;

/// The book, and who has a place.
#[derive(Default)]
pub(crate) struct Ledger {
    /// When it was first asked.
    start: Option<Instant>,
    book: Book,
    /// Tickets that hold no more.
    used: Option<Used>,
    holds: HashMap<Ticket, (Party, Hold)>,
    /// What counts in windows.
    pub(crate) counted: Vec<Counted>,
    /// Places that were ever granted.
    pub(crate) granted: u32,
    /// The most that were taken at once by one party.
    pub(crate) peak: u32,
}

impl Ledger {
    pub(crate) fn reserve(&mut self, now: Instant, ticket: Ticket, claimant: &Claimant) -> Verdict {
        let start = *self.start.get_or_insert(now);
        let moment = Moment::default().after(now.saturating_duration_since(start));
        let reserved = claimant.reserve(moment, &mut self.book, &mut self.counted);
        let hold = match reserved {
            Ok(hold) => hold,
            Err(full) => return Verdict::Full(full),
        };
        if let Claimant::Guest(_, pass) = claimant {
            let used = self.used.get_or_insert_with(|| Used::new(100));
            if let Err(fault) = used.take(moment, *pass) {
                self.book.release(hold);
                return Verdict::Spent(fault);
            }
        }
        let party = claimant.party();
        let before = self.holds.insert(ticket, (party.clone(), hold));
        assert!(before.is_none(), "a question names one place");
        self.granted += 1;
        self.peak = self.peak.max(self.taken()[&party]);
        Verdict::Granted
    }

    /// A call counts that was before.
    pub(crate) fn count(&mut self, counted: &Counted) {
        self.book.count(counted, 1);
    }

    pub(crate) fn commit(&mut self, ticket: Ticket, what: CapOn) {
        let (_, hold) = self.holds.get_mut(&ticket).expect("a place that is held");
        self.book.commit(hold, what, &mut self.counted);
    }

    /// Takes a place back; `false`: nobody had it.
    #[must_use]
    pub(crate) fn release(&mut self, ticket: Ticket) -> bool {
        let Some((_, hold)) = self.holds.remove(&ticket) else {
            return false;
        };
        self.book.release(hold);
        true
    }

    /// How many places each has taken.
    pub(crate) fn taken(&self) -> BTreeMap<Party, u32> {
        let mut taken = BTreeMap::new();
        for (party, _) in self.holds.values() {
            *taken.entry(party.clone()).or_default() += 1;
        }
        taken
    }
}
