//! To whom a campaign offers its calls: in which order, and who at the same time.
//!
//! ```text
//!   priority 1    alone      first, then second
//!   priority 2    together   third and fourth at once: whoever answers first has the call
//! ```

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::routing::buyer::Buyer;
use crate::routing::questions::Questions;
use crate::routing::weight::Ranks;

/// Buyers in the order of their priority, and what it takes to choose among them.
#[derive(Debug, Clone, Default)]
pub struct Route {
    buyers: Arc<[Arc<Buyer>]>,
    /// How each buyer stands among the others; nobody: there is nothing to choose, and nobody is called together.
    stands: Box<[Stand]>,
    joined: Joined,
    questions: Questions,
    is_plain: bool,
    memory: Duration,
}

/// How a buyer stands among others.
#[derive(Debug, Clone)]
struct Stand {
    priority: i32,
    /// What its share of the calls of its priority goes by; `None`: they go as configured.
    weight: Option<(DrawnBy, u32)>,
    /// Place of the first of those that it is called together with; its own if it is called alone.
    party: u32,
}

/// What a share of the calls is drawn by: an id. Of a usual length it is at hand with those of the other buyers.
type DrawnBy = SmallVec<[u8; 24]>;

/// What a route is made of.
#[derive(Debug, Clone)]
pub enum Part {
    /// A buyer by itself.
    One(Arc<Buyer>),
    /// Several who are called at once.
    Together(Together),
}

/// Buyers who are called at once: whoever answers first has the call.
#[derive(Debug, Clone)]
pub struct Together {
    /// What its share of the calls is drawn by.
    pub id: Arc<str>,
    /// Lower goes first; those of the members mean nothing.
    pub priority: i32,
    /// Their share of the calls among those of their priority; at least 1. `None`: as a buyer's.
    pub weight: Option<u32>,
    /// Who they are.
    pub members: Vec<Arc<Buyer>>,
}

impl Part {
    fn priority(&self) -> i32 {
        match self {
            Self::One(buyer) => buyer.priority,
            Self::Together(together) => together.priority,
        }
    }

    fn weight(&self) -> Option<u32> {
        match self {
            Self::One(buyer) => buyer.weight,
            Self::Together(together) => together.weight,
        }
    }

    fn id(&self) -> &Arc<str> {
        match self {
            Self::One(buyer) => &buyer.id,
            Self::Together(together) => &together.id,
        }
    }

    fn members(&self) -> &[Arc<Buyer>] {
        match self {
            Self::One(buyer) => std::slice::from_ref(buyer),
            Self::Together(together) => &together.members,
        }
    }
}

/// Where a buyer of a route comes in the order of one call, the smallest first. From the highest bit on: whether there is
/// somebody who goes before all others (1), priority (32), rank (63), place in the route (32).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn(u128);

impl Turn {
    fn new(is_first: bool, priority: i32, rank: u64, place: u32) -> Self {
        // With the sign turned around, numbers below zero come first.
        let priority = priority.cast_unsigned() ^ (1 << 31);
        let high = u128::from(!is_first) << 127 | u128::from(priority) << 95;
        Self(high | u128::from(rank) << 32 | u128::from(place))
    }

    /// Whether it goes before all others, whatever its priority.
    pub(crate) fn is_first(self) -> bool {
        self.0 >> 127 == 0
    }

    /// The buyer's place in the route.
    pub(crate) fn place(self) -> u32 {
        self.0 as u32
    }
}

impl Route {
    /// A route to these buyers. Those of one priority go in this order, or by weight if one of them has a weight.
    #[must_use]
    pub fn new(buyers: Vec<Arc<Buyer>>) -> Self {
        Self::of(buyers.into_iter().map(Part::One).collect())
    }

    /// The same, but all of one priority are called at once.
    #[must_use]
    pub fn by_priority(parts: Vec<Part>) -> Self {
        let mut levels: Vec<Together> = Vec::new();
        for part in parts {
            let (priority, id) = (part.priority(), part.id());
            let known = levels.iter_mut().find(|level| level.priority == priority);
            match known {
                Some(level) => level.members.extend_from_slice(part.members()),
                None => levels.push(Together {
                    id: Arc::clone(id),
                    priority,
                    weight: None,
                    members: part.members().to_vec(),
                }),
            }
        }
        Self::of(levels.into_iter().map(Part::Together).collect())
    }

    /// A route to these, who are buyers or take the place of one together. Those of one priority go in this order, or by
    /// weight if one of them has a weight.
    #[must_use]
    pub fn of(mut parts: Vec<Part>) -> Self {
        parts.sort_by_key(Part::priority);
        let mut buyers = Vec::new();
        let mut stands = Vec::new();
        let mut joined = Vec::new();
        for part in &parts {
            let priority = part.priority();
            let mut peers = parts.iter().filter(|one| one.priority() == priority);
            let goes_by_weight = peers.any(|one| one.weight().is_some());
            let weight = goes_by_weight.then(|| {
                let id = DrawnBy::from_slice(part.id().as_bytes());
                (id, part.weight().unwrap_or(1))
            });
            let party = u32::try_from(buyers.len()).unwrap_or(u32::MAX);
            for (place, buyer) in part.members().iter().enumerate() {
                buyers.push(Arc::clone(buyer));
                joined.push(place > 0);
                stands.push(Stand {
                    priority,
                    weight: weight.clone(),
                    party,
                });
            }
        }
        let joined = Joined::new(joined);
        let memory = buyers.iter().map(|buyer| buyer.rules.memory());
        let is_weighted = stands.iter().any(|stand| stand.weight.is_some());
        let is_plain = !is_weighted && buyers.iter().all(|buyer| buyer.rules.is_plain());
        if !is_weighted && joined == Joined::default() {
            stands.clear();
        }
        Self {
            questions: Questions::of(buyers.iter().map(|buyer| &buyer.rules)),
            memory: memory.max().unwrap_or_default(),
            buyers: buyers.into(),
            stands: stands.into(),
            joined,
            is_plain,
        }
    }

    /// Its buyers by priority, then as configured.
    #[must_use]
    pub fn buyers(&self) -> &Arc<[Arc<Buyer>]> {
        &self.buyers
    }

    /// Whether there is nothing to choose: every call goes the same way.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// For how long its buyers want earlier calls of a caller remembered; zero: they ask for none.
    #[must_use]
    pub fn memory(&self) -> Duration {
        self.memory
    }

    /// Who of [`buyers`](Self::buyers) is called at the same time as the one before, if all fit.
    #[must_use]
    pub fn joined(&self) -> &Joined {
        &self.joined
    }

    /// What its buyers ask of calls.
    pub(super) fn questions(&self) -> &Questions {
        &self.questions
    }

    /// Of its buyers those of these turns, in their order.
    pub(crate) fn order(&self, turns: &[Turn]) -> Order {
        Order {
            buyers: Arc::clone(&self.buyers),
            places: Some(turns.iter().map(|turn| turn.place()).collect()),
        }
    }

    /// The buyers at these places in the order of the call that `ranks` stand for; `first` goes before all others.
    pub(crate) fn turns(
        &self,
        ranks: &Ranks<'_>,
        places: &[u32],
        first: Option<u32>,
    ) -> SmallVec<[Turn; 64]> {
        let stands = places.iter().map(|place| self.stands.get(*place as usize));
        let draws = stands.clone().map(|stand| {
            let (id, weight) = stand?.weight.as_ref()?;
            Some((ranks.draw(id), *weight))
        });
        let draws: SmallVec<[_; 64]> = draws.collect();
        let turns = places.iter().zip(stands).zip(draws);
        let turns = turns.map(|((place, stand), draw)| {
            // Without stands, all are in order already.
            let priority = stand.map(|stand| stand.priority).unwrap_or_default();
            let rank = draw.map_or(0, |(draw, weight)| draw.rank(weight).bits());
            Turn::new(Some(*place) == first, priority, rank, *place)
        });
        let mut turns: SmallVec<[_; 64]> = turns.collect();
        turns.sort_unstable();
        turns
    }

    /// Place of the first of those that the buyer at this place is called together with.
    pub(crate) fn party(&self, place: u32) -> u32 {
        let stand = self.stands.get(place as usize);
        stand.map_or(place, |stand| stand.party)
    }
}

/// Buyers in the order in which they are tried: some of a route's, which they share.
#[derive(Debug, Clone, Default)]
pub struct Order {
    buyers: Arc<[Arc<Buyer>]>,
    /// Their places there; `None`: all of them, as they are.
    places: Option<Arc<[u32]>>,
}

impl Order {
    /// All of them, as they are.
    #[must_use]
    pub fn all(buyers: &Arc<[Arc<Buyer>]>) -> Self {
        Self {
            buyers: Arc::clone(buyers),
            places: None,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.places {
            Some(places) => places.len(),
            None => self.buyers.len(),
        }
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who comes at this place.
    #[must_use]
    pub fn get(&self, place: usize) -> Option<&Arc<Buyer>> {
        match &self.places {
            Some(places) => self.buyers.get(*places.get(place)? as usize),
            None => self.buyers.get(place),
        }
    }

    /// All of them, one after another.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Buyer>> {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    /// So many from this place on; `None`: there are fewer.
    #[must_use]
    pub fn run(&self, place: usize, count: usize) -> Option<SmallVec<[Arc<Buyer>; 1]>> {
        let run = (place..place + count).map(|place| self.get(place).cloned());
        run.collect()
    }
}

/// Who of a list of buyers is called at the same time as the one before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Joined(Option<Arc<[bool]>>);

impl Joined {
    /// For each buyer, whether it is.
    #[must_use]
    pub fn new(joined: Vec<bool>) -> Self {
        Self(joined.contains(&true).then(|| joined.into()))
    }

    /// Whether the buyer at this place is called at the same time as the one before.
    #[must_use]
    pub fn is_joined(&self, place: usize) -> bool {
        let joined = self.0.as_deref().unwrap_or_default();
        joined.get(place).copied().unwrap_or(false)
    }

    /// How many from this place on are called at once, if there may be so many; one at least.
    #[must_use]
    pub fn width(&self, place: usize, most: usize) -> usize {
        let following = (place + 1..).take_while(|place| self.is_joined(*place));
        1 + following.take(most.saturating_sub(1)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::buyer::Gateway;

    #[test]
    fn a_group_stands_where_its_own_priority_says_and_its_members_follow_one_another() {
        let group = Together {
            id: "group".into(),
            priority: 1,
            weight: None,
            members: vec![buyer("a", 5), buyer("b", 0)],
        };
        let parts = vec![
            Part::One(buyer("late", 2)),
            Part::Together(group),
            Part::One(buyer("first", 0)),
        ];

        let route = Route::of(parts);

        assert_eq!(ids(&route), ["first", "a", "b", "late"]);
        assert_eq!(joined(&route), [false, false, true, false]);
        assert!(route.is_plain());
        assert_eq!(route.joined().width(1, 10), 2);
        assert_eq!(route.joined().width(1, 1), 1);
        assert_eq!(route.joined().width(3, 10), 1);
    }

    #[test]
    fn all_of_one_priority_are_joined_whether_they_are_in_groups_or_not() {
        let group = Together {
            id: "group".into(),
            priority: 1,
            weight: Some(3),
            members: vec![buyer("b", 9), buyer("c", 9)],
        };
        let parts = vec![
            Part::One(buyer("d", 2)),
            Part::One(buyer("a", 1)),
            Part::Together(group),
            Part::One(buyer("e", 2)),
        ];

        let route = Route::by_priority(parts);

        assert_eq!(ids(&route), ["a", "b", "c", "d", "e"]);
        assert_eq!(joined(&route), [false, true, true, false, true]);
    }

    #[test]
    fn nobody_is_joined_where_nobody_is_to_be() {
        let route = Route::new(vec![buyer("b", 2), buyer("a", 1)]);

        assert_eq!(ids(&route), ["a", "b"]);
        assert_eq!(*route.joined(), Joined::default());
        assert_eq!(route.joined().width(0, 10), 1);
    }

    fn buyer(id: &str, priority: i32) -> Arc<Buyer> {
        let address = "192.0.2.9:5060".parse().expect("an address");
        let gateway = Gateway::udp("sip:sales@192.0.2.9", "192.0.2.9", address);
        Arc::new(Buyer {
            priority,
            ..Buyer::new(id, vec![Arc::new(gateway)])
        })
    }

    fn ids(route: &Route) -> Vec<&str> {
        route.buyers().iter().map(|buyer| &*buyer.id).collect()
    }

    fn joined(route: &Route) -> Vec<bool> {
        let places = 0..route.buyers().len();
        places
            .map(|place| route.joined().is_joined(place))
            .collect()
    }
}
