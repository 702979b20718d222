//! A call that has happened, decided again: by what was known then, under the policy of today. By the same functions as those that
//! decide live calls.
//!
//! ```text
//! screened ── start webhooks ── decided ──> each buyer's turn ── looked at again ── selected webhooks ── forward ──┐
//!                                  ^                │ nobody is left                                               │
//!                                  └─── its exit <──┘ <────── what it did then: busy, no answer, full, ... ────────┘
//! ```
//!
//! What a buyer did is known of those who were asked. Whoever would be asked now and was not asked then might do anything:
//! there the replay ends ([`End::Unknown`]). What webhooks answered and others wrote is taken as it came, also where today's
//! webhooks would ask something else.

mod remembers;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use crate::call::call::Call;
use crate::call::course::{Asked, Turn};
use crate::call::memory::Memory;
use crate::call::policy::Policy;
pub(crate) use crate::call::replay::walk::FORWARD;
use crate::call::replay::walk::Walk;
use crate::call::route::{Dialling, Screened};
use crate::hooks::conversion::{Conversion, Posted};
use crate::hooks::trigger::Trigger;
use crate::routing::caps::Party;
use crate::routing::decide::Decision;
use crate::routing::trunk::{CompanyId, Trunk};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::number::{NotANumber, Number};
use crate::types::tag::Origin;

/// What a record knows of a call.
#[derive(Debug, Clone)]
pub struct Happened {
    /// The call: the seed of its order by weight.
    pub uuid: CallUuid,
    /// The number dialled.
    pub dialled: Result<Number, NotANumber>,
    /// The caller's number.
    pub caller: Option<Number>,
    /// When it came.
    pub at: Moment,
    /// The node that it came to.
    pub node: Arc<str>,
    /// The generation of the configuration that it ran on.
    pub generation: u64,
    /// What it was decided by; `None`: nobody decided, for its number had no campaign.
    pub course: Option<Known>,
    /// Every gateway that was tried, in order: the id of its buyer, and what came of it.
    pub attempts: Vec<(Arc<str>, Fate)>,
    /// Every buyer, or gateway of it, that was passed over, in order.
    pub passed: Vec<Passed>,
    /// How it ended.
    pub last: Last,
}

/// What a call was decided by.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// What was known, state by state.
    pub states: Vec<Held>,
    /// When each decision was made, and by which state.
    pub decisions: Vec<Asked>,
    /// The buyers whose turn came.
    pub turns: Vec<Turn>,
    /// The state at the answer.
    pub answer: Option<u16>,
    /// When it was known that a buyer had answered, and for how long; `None`: at once, and for as long as they talked.
    pub answer_known: Option<(Moment, Duration)>,
    /// Whether it waited for somebody who can take it.
    pub has_waited: bool,
    /// Buyers that had been tried before, by a call of which this is the rest.
    pub resumed: Vec<Arc<str>>,
    /// How long it rang.
    pub ringing: Option<Duration>,
    /// What postbacks had said when it was over.
    pub posted: Posted,
    /// The webhooks that fired and that nobody was told by, in order, each as often as that.
    pub failed: Vec<(Arc<str>, usize)>,
}

/// What was known, and how long.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// When it ended; `None`: it is the last.
    pub until: Option<Moment>,
    /// The tags.
    pub tags: Vec<Said>,
    /// Other calls of the caller, and whether all of them are known; `None`: nobody asked.
    pub memory: Option<(Memory, bool)>,
}

/// A tag that somebody said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Its key.
    pub key: String,
    /// The value.
    pub value: String,
    /// Who said it.
    pub origin: Origin,
}

/// What came of one gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It answered.
    Answered,
    /// It was busy.
    Busy,
    /// It did not take the call for another reason.
    Failed,
    /// The call was over first.
    Cancelled,
}

/// A buyer that was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// Its id.
    pub buyer: Arc<str>,
    /// Why.
    pub why: WhyPassed,
}

/// Why it was passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyPassed {
    /// A gateway of it was down.
    Down,
    /// It is a telephone, which only a vendor can call.
    Phone,
    /// There was no place.
    Full {
        /// Whose limit it was.
        party: Party,
        /// Which, as [`CapKind::label`](crate::routing::caps::CapKind::label) calls it.
        kind: Box<str>,
        /// How many calls counted.
        have: u32,
    },
    /// Nobody knew whether there was a place.
    Unknown,
    /// It did not take the call when its turn came: the verdict's name.
    Judged(Box<str>),
}

/// How a call ended.
#[derive(Debug, Clone, Default)]
pub struct Last {
    /// The outcome's name.
    pub outcome: Arc<str>,
    /// The final status that the caller got.
    pub status: u16,
    /// From the answer to the end; `None`: it was not answered.
    pub talk: Option<Duration>,
    /// From the beginning to the end.
    pub total: Duration,
    /// Who hung up.
    pub hung_up_by: Option<&'static str>,
}

/// The call, decided again.
#[derive(Debug)]
pub struct Replayed {
    /// The campaign of the number dialled.
    pub campaign: Option<Arc<str>>,
    /// The publisher.
    pub afid: Option<Arc<str>>,
    /// The sub id.
    pub sid: Option<Arc<str>>,
    /// What was decided.
    pub decisions: Vec<Decision>,
    /// The buyers that did not take the call when their turn came, and the verdicts' names.
    pub passed: Vec<(Arc<str>, &'static str)>,
    /// The webhooks that fire, in order; those that wait for a postback are not among them.
    pub webhooks: Vec<(Arc<str>, Trigger)>,
    /// What becomes of it.
    pub end: End,
    /// Whether it converts; `None`: its campaign has no conversion groups, or what becomes of it is not known.
    pub conversion: Option<Conversion>,
    /// The same if whoever is called instead answers and talks as long as the other did.
    pub supposed: Option<Conversion>,
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// This buyer takes it.
    Taken(Arc<str>),
    /// This buyer is called, and nobody knows what it would do.
    Unknown(Arc<str>),
    /// It is refused.
    Refused {
        /// The final status.
        status: u16,
        /// The outcome's name.
        outcome: &'static str,
    },
    /// It ends as it did: before anybody took it, and not because nobody would.
    AsItDid,
}

/// Decides a call again that came by `trunk` and dialled one of the numbers of `company`.
#[must_use]
pub fn replay(policy: &Policy, (trunk, company): (&Trunk, CompanyId), call: &Happened) -> Replayed {
    let dialling = Dialling {
        uuid: call.uuid,
        policy,
        trunk,
        company,
        dialled: call.dialled,
        caller: call.caller,
        moment: call.at,
        guest: None,
    };
    let Screened {
        plan,
        campaign,
        source,
        story,
    } = dialling.screen();
    let (afid, sid) = source.map(|source| (source.afid, source.sid)).unzip();
    let mut replayed = Replayed {
        campaign,
        afid,
        sid: sid.flatten(),
        decisions: Vec::new(),
        passed: Vec::new(),
        webhooks: Vec::new(),
        end: End::AsItDid,
        conversion: None,
        supposed: None,
    };
    match (plan, story) {
        (Ok(kept), Some(mut story)) => {
            story.facts.generation = call.generation;
            story.facts.node = Arc::clone(&call.node);
            let unknown = Known::default();
            let known = call.course.as_ref().unwrap_or(&unknown);
            story.facts.tried.clone_from(&known.resumed);
            let walk = Walk::new(policy, trunk, (call, known), *story);
            walk.run(kept.as_ref(), &mut replayed);
        }
        (Ok(_), None) => {}
        (Err(outcome), _) => {
            replayed.end = End::Refused {
                status: Call::status_for(trunk, outcome),
                outcome: outcome.label(),
            };
        }
    }
    replayed
}
