//! Which buyers get the call, in which order, and why not the others.
//!
//! A pure function: the directory, the moment, the call and what is counted go in, the decision comes out, and the same again
//! for the same. Live calls, dry runs, tests and replays all ask it.
//!
//! ```text
//! campaign ─> its buyers ─> some fit: by priority, then by weight or as configured
//!    ^                 └──> none: the cause ─> the campaign's exit ─> other buyers
//!    └──────────────────────────────────────────────────────┴──────> another campaign (5 at most)
//!                                                           └──────> refused
//! ```

use std::mem;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::routing::buyer::Buyer;
use crate::routing::campaign::{Answer, Campaign, Cause, Exit, RepeatPolicy, Route};
use crate::routing::caps::Counters;
use crate::routing::directory::Directory;
use crate::routing::facts::Facts;
use crate::routing::judge::Judge;
use crate::routing::questions::{Alone, Among, Answers};
use crate::routing::route::{Joined, Order};
use crate::routing::verdict::Verdict;
use crate::routing::weight::Ranks;
use crate::types::condition::Mismatch;
use crate::types::moment::Moment;

/// To whom a call is offered, and why not to others.
#[derive(Debug, Clone)]
pub struct Decision {
    /// The buyers in the order in which they are tried.
    pub order: Order,
    /// Who of them is called at the same time as the one before.
    pub joined: Joined,
    /// Why there are none; `None`: there are.
    pub refused: Option<Refused>,
    /// What was looked at, in order. A route that has nothing to choose leaves nothing here: all its buyers fit.
    pub looks: Vec<Look>,
    /// How far the decision went, to go on from there when all of `order` were tried in vain.
    pub trail: Trail,
}

/// Nobody is left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub cause: Cause,
    /// How the campaign wants the caller to be told; `None`: as the cause says.
    pub answer: Option<Answer>,
}

/// One route that was looked at.
#[derive(Debug, Clone)]
pub struct Look {
    /// Whose.
    pub campaign: Arc<Campaign>,
    /// The exit that it is; `None`: it is the campaign's own.
    pub exit: Option<Cause>,
    /// Its buyers, and
    pub buyers: Arc<[Arc<Buyer>]>,
    /// what was said of each.
    pub verdicts: Box<[Verdict]>,
}

impl Look {
    /// Each buyer with its verdict, in the order of the route.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<Buyer>, &Verdict)> {
        self.buyers.iter().zip(&self.verdicts)
    }
}

/// How far a decision went.
#[derive(Debug, Clone)]
pub struct Trail {
    /// The campaign that decides.
    pub campaign: Arc<Campaign>,
    /// How many campaigns were left for it.
    jumps: u8,
    /// The exits of this campaign that were taken, a bit for each.
    taken: u8,
}

impl Trail {
    fn new(campaign: &Arc<Campaign>) -> Self {
        Self {
            campaign: Arc::clone(campaign),
            jumps: 0,
            taken: 0,
        }
    }

    /// Whether the campaign that decides is the one that was asked first.
    #[must_use]
    pub fn is_at_first(&self) -> bool {
        self.jumps == 0
    }

    /// The exit that is next if this is why nobody is left; `None`: there is none, or it was taken.
    #[must_use]
    pub fn exit(&self, cause: Cause) -> Option<&Exit> {
        let exit = self.campaign.exits.of(cause)?;
        let is_open = match exit {
            Exit::Campaign(_) => self.jumps < MOST_JUMPS,
            Exit::Dial(_) | Exit::Reject(_) => true,
        };
        (is_open && self.taken & bit(cause) == 0).then_some(exit)
    }
}

/// The exit for a cause, among those that were taken.
fn bit(cause: Cause) -> u8 {
    1 << cause as u8
}

/// Decides to whom a call is offered that nothing kept from the buyers of its campaign. Those of one priority that go by
/// weight are ordered by a hash of `seed`, which is the call's UUID as text.
#[must_use]
pub fn decide(
    directory: &Directory,
    now: Moment,
    seed: &[u8],
    facts: &Facts,
    counters: &dyn Counters,
) -> Decision {
    let trail = Trail::new(&facts.campaign);
    let call = Call {
        directory,
        now,
        seed,
        facts,
        counters,
    };
    if call.is_barred() {
        return call.leave(trail, Cause::Suppressed, Vec::new());
    }
    call.enter(trail, Vec::new())
}

/// Decides what becomes of a call that nobody is left for: that was kept from the buyers (see
/// [`Kept`](crate::routing::screen::Kept)), or whose buyers were tried in vain. `before`: the decision up to here; `None`: there
/// was none.
#[must_use]
pub fn follow(
    directory: &Directory,
    now: Moment,
    seed: &[u8],
    facts: &Facts,
    counters: &dyn Counters,
    (before, cause): (Option<&Decision>, Cause),
) -> Decision {
    let trail = before.map(|before| before.trail.clone());
    let trail = trail.unwrap_or_else(|| Trail::new(&facts.campaign));
    let call = Call {
        directory,
        now,
        seed,
        facts,
        counters,
    };
    call.leave(trail, cause, Vec::new())
}

/// Looks at one buyer again, when its turn comes.
#[must_use]
pub fn recheck(
    now: Moment,
    facts: &Facts,
    counters: &dyn Counters,
    campaign: &Campaign,
    buyer: &Arc<Buyer>,
) -> Verdict {
    let rules = &buyer.rules;
    let against = Judge::new(now, facts, counters, campaign).against(buyer, Alone { rules, facts });
    against.unwrap_or(Verdict::Fits)
}

/// Whether what is known just before the call is offered is what the buyer wants to be known then.
pub fn forward(facts: &Facts, buyer: &Buyer) -> Result<(), Mismatch> {
    buyer.rules.forward.matches(facts)
}

struct Call<'c> {
    directory: &'c Directory,
    now: Moment,
    seed: &'c [u8],
    facts: &'c Facts,
    counters: &'c dyn Counters,
}

/// What a route came to.
enum Outcome {
    /// These are tried, some of them at once.
    Order(Order, Joined),
    Nobody(Cause),
}

impl Call<'_> {
    /// Whether lists on which callers come and go keep this one out; the others were asked when it came.
    fn is_barred(&self) -> bool {
        let campaign = &self.facts.campaign;
        let company = self
            .directory
            .companies
            .get(usize::from(campaign.company.0));
        let lists = company.map(|company| &company.callers).into_iter();
        let mut lists = lists.chain([&campaign.callers]);
        lists.any(|lists| lists.has_guests() && lists.check(self.now, self.facts).is_err())
    }

    /// The campaign of the trail decides.
    fn enter(&self, trail: Trail, mut looks: Vec<Look>) -> Decision {
        let campaign = Arc::clone(&trail.campaign);
        match self.look(&campaign, None, &campaign.route, &mut looks) {
            Outcome::Order(order, joined) => Decision {
                order,
                joined,
                refused: None,
                looks,
                trail,
            },
            Outcome::Nobody(cause) => self.leave(trail, cause, looks),
        }
    }

    /// Nobody is left in the campaign of the trail: its exit for the cause decides. Each is taken once.
    fn leave(&self, mut trail: Trail, mut cause: Cause, mut looks: Vec<Look>) -> Decision {
        let mut answer = None;
        loop {
            let campaign = Arc::clone(&trail.campaign);
            let exit = campaign.exits.of(cause);
            let Some(exit) = exit.filter(|_| trail.taken & bit(cause) == 0) else {
                break;
            };
            trail.taken |= bit(cause);
            match exit {
                Exit::Reject(with) => {
                    answer = Some(with.clone());
                    break;
                }
                Exit::Dial(route) => match self.look(&campaign, Some(cause), route, &mut looks) {
                    Outcome::Order(order, joined) => {
                        return Decision {
                            order,
                            joined,
                            refused: None,
                            looks,
                            trail,
                        };
                    }
                    Outcome::Nobody(next) => cause = next,
                },
                Exit::Campaign(id) => {
                    let next = self.directory.campaigns.get(id.0 as usize);
                    let Some(next) = next.filter(|_| trail.jumps < MOST_JUMPS) else {
                        break;
                    };
                    trail = Trail {
                        campaign: Arc::clone(next),
                        jumps: trail.jumps + 1,
                        taken: 0,
                    };
                    if next.callers.check(self.now, self.facts).is_err() {
                        cause = Cause::Suppressed;
                        continue;
                    }
                    return self.enter(trail, looks);
                }
            }
        }
        Decision {
            order: Order::default(),
            joined: Joined::default(),
            refused: Some(Refused { cause, answer }),
            looks,
            trail,
        }
    }

    fn look(
        &self,
        campaign: &Arc<Campaign>,
        exit: Option<Cause>,
        route: &Route,
        looks: &mut Vec<Look>,
    ) -> Outcome {
        if route.buyers().is_empty() {
            return Outcome::Nobody(Cause::NoBuyer);
        }
        let is_plain = route.is_plain() && campaign.repeat.policy == RepeatPolicy::Normal;
        if is_plain && self.facts.tried.is_empty() && !self.counters.is_known() {
            let joined = route.joined().clone();
            return Outcome::Order(Order::all(route.buyers()), joined);
        }
        let mut judge = Judge::new(self.now, self.facts, self.counters, campaign);
        let mut answers = Answers::new(route.questions(), self.facts);
        // Most fit, and are not written twice.
        let mut verdicts = vec![Verdict::Fits; route.buyers().len()];
        let mut fitting = SmallVec::<[u32; 64]>::new();
        let mut first = None;
        let all = route.buyers().iter().zip(answers.each()).zip(0..);
        for (((buyer, asked), place), verdict) in all.zip(&mut verdicts) {
            let answers = &mut answers;
            match judge.against(buyer, Among { answers, asked }) {
                Some(against) => *verdict = against,
                None => {
                    let favourite = judge.favourite();
                    if favourite.is_some_and(|favourite| *favourite == *buyer.id) {
                        first = Some(place);
                    }
                    fitting.push(place);
                }
            }
        }
        let cause = verdicts.iter().filter_map(Verdict::cause).max();
        looks.push(Look {
            campaign: Arc::clone(campaign),
            exit,
            buyers: Arc::clone(route.buyers()),
            verdicts: verdicts.into(),
        });
        if fitting.is_empty() {
            return Outcome::Nobody(cause.map_or(Cause::NoBuyer, |(_, cause)| cause));
        }
        let turns = route.turns(&Ranks::new(self.seed), &fitting, first);
        let mut joined = Joined::default();
        if *route.joined() != joined {
            let mut before = None;
            let flags = turns.iter().map(|turn| {
                // Whoever is asked before all others is asked alone.
                let party = (!turn.is_first()).then(|| route.party(turn.place()));
                party.is_some() && mem::replace(&mut before, party) == party
            });
            joined = Joined::new(flags.collect());
        }
        Outcome::Order(route.order(&turns), joined)
    }
}

/// How often a call is handed from one campaign to the next.
pub const MOST_JUMPS: u8 = 5;

#[cfg(test)]
mod tests;
