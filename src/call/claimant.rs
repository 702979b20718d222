//! Who wants a place, and of whom.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::routing::book::{Book, Claim, Counted, Full, Hold};
use crate::routing::buyer::Buyer;
use crate::routing::caps::Party;
use crate::routing::trunk::Trunk;
use crate::twilio::ticket::Pass;
use crate::types::moment::Moment;

/// Whose places are asked for.
#[derive(Debug, Clone)]
pub enum Claimant {
    /// A trunk's.
    Trunk(Arc<Trunk>),
    /// A trunk's, for a call that shows this: it is used up with it.
    Guest(Arc<Trunk>, Pass),
    /// A buyer's, and with them those of its groups, and of the number dialled if that is limited.
    Buyer(Arc<Buyer>, Option<Box<Claim>>),
    /// The same, for a call to which another process has given them.
    Resumed(Arc<Buyer>, Option<Box<Claim>>, Given),
}

/// What is known of places that another process has given.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    /// When the buyer was chosen: the places are in the windows of then.
    pub chosen: Moment,
    /// Whether the call was answered.
    pub is_answered: bool,
}

impl Claimant {
    /// Who it is.
    #[must_use]
    pub fn party(&self) -> Party {
        match self {
            Self::Trunk(trunk) | Self::Guest(trunk, _) => Party::Trunk(trunk.id.clone()),
            Self::Buyer(buyer, _) | Self::Resumed(buyer, _, _) => Party::Buyer(buyer.id.clone()),
        }
    }

    /// Takes the places that are asked for, all or none. What counts by the attempt is added to `counted`.
    ///
    /// # Errors
    ///
    /// The first limit that is reached.
    pub fn reserve(
        &self,
        now: Moment,
        book: &mut Book,
        counted: &mut Vec<Counted>,
    ) -> Result<Hold, Full> {
        let claims = match self {
            Self::Trunk(trunk) | Self::Guest(trunk, _) => SmallVec::from([Claim {
                party: self.party(),
                caps: trunk.caps,
                quota: None,
            }]),
            Self::Buyer(buyer, number) => Claim::of(buyer, number.as_deref().cloned()),
            Self::Resumed(buyer, number, given) => {
                let claims = Claim::of(buyer, number.as_deref().cloned());
                return Ok(book.resume(given.chosen, &claims, given.is_answered));
            }
        };
        book.reserve(now, &claims, counted)
    }
}
