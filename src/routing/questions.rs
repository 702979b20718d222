//! What the buyers of a route ask of a call, each question once: many of them ask the same. And what else there is to look at
//! in each of them, side by side: most decisions need not touch the buyers themselves, whose memory nobody has used for long.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::routing::memo::Memo;
use crate::routing::rules::{Rules, Schedule};
use crate::routing::zone::Local;
use crate::types::condition::{Mismatch, Rule};
use crate::types::tag::Lookup;

/// The different rules and hours that the buyers of a route have.
#[derive(Debug, Clone, Default)]
pub(super) struct Questions {
    rules: Box<[Arc<Rule>]>,
    schedules: Box<[Schedule]>,
    asked: Box<[Asked]>,
    /// For each buyer in turn, the places of its conditions among `rules`.
    places: Box<[u32]>,
}

/// What one buyer asks.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    gist: Gist,
    /// The place of its hours among the schedules.
    schedule: u32,
    /// Where its conditions begin, and where they end.
    conditions: (u32, u32),
}

/// What there is to look at in a buyer's rules.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gist {
    pub(super) is_paused: bool,
    pub(super) has_hours: bool,
    pub(super) has_lists: bool,
}

impl Gist {
    fn of(rules: &Rules) -> Self {
        Self {
            is_paused: rules.is_paused,
            has_hours: rules.hours.is_some(),
            has_lists: !rules.callers.is_empty(),
        }
    }
}

/// Who says what a buyer asks of a call, and whether it gets it.
pub(super) trait Answered {
    /// What there is to ask at all.
    fn gist(&self) -> Gist;

    /// Whether it is open; `Err`: what its clock shows. `clock` tells that of a schedule.
    fn hours(&mut self, clock: impl FnOnce(&Schedule) -> Local) -> Result<(), Local>;

    /// Whether all its conditions hold; `Err`: the first that does not.
    fn conditions(&mut self) -> Result<(), Mismatch>;
}

/// A buyer that is looked at by itself.
pub(super) struct Alone<'b> {
    pub(super) rules: &'b Rules,
    pub(super) facts: &'b dyn Lookup,
}

impl Answered for Alone<'_> {
    fn gist(&self) -> Gist {
        Gist::of(self.rules)
    }

    fn hours(&mut self, clock: impl FnOnce(&Schedule) -> Local) -> Result<(), Local> {
        match &self.rules.hours {
            Some(schedule) => schedule.check(clock(schedule)),
            None => Ok(()),
        }
    }

    fn conditions(&mut self) -> Result<(), Mismatch> {
        self.rules.conditions.matches(self.facts)
    }
}

impl Questions {
    /// Those of buyers with these rules.
    pub(super) fn of<'b>(all: impl Iterator<Item = &'b Rules>) -> Self {
        let mut rules = Distinct::default();
        let mut schedules = Distinct::default();
        let mut places = Vec::new();
        let end = |places: &Vec<u32>| u32::try_from(places.len()).unwrap_or(u32::MAX);
        let asked = all.map(|buyer| {
            let start = end(&places);
            let conditions = buyer.conditions.rules().iter();
            places.extend(conditions.map(|rule| rules.place(rule)));
            Asked {
                gist: Gist::of(buyer),
                schedule: buyer
                    .hours
                    .as_ref()
                    .map_or(0, |hours| schedules.place(hours)),
                conditions: (start, end(&places)),
            }
        });
        Self {
            asked: asked.collect(),
            rules: rules.all.into(),
            schedules: schedules.all.into(),
            places: places.into(),
        }
    }
}

/// Things in the order in which they came up, each once.
struct Distinct<'t, T> {
    all: Vec<T>,
    places: HashMap<&'t T, u32>,
}

impl<T> Default for Distinct<'_, T> {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            places: HashMap::new(),
        }
    }
}

impl<'t, T: Clone + Eq + Hash> Distinct<'t, T> {
    fn place(&mut self, one: &'t T) -> u32 {
        *self.places.entry(one).or_insert_with(|| {
            self.all.push(one.clone());
            u32::try_from(self.all.len() - 1).unwrap_or(u32::MAX)
        })
    }
}

/// What one call answers, found out when it is asked for the first time. For as long as its facts do not change.
pub(super) struct Answers<'q> {
    questions: &'q Questions,
    memo: Memo<'q>,
    known: SmallVec<[Answer; 16]>,
    hours: SmallVec<[Option<Result<(), Local>>; 16]>,
}

#[derive(Clone)]
enum Answer {
    Unknown,
    Holds,
    /// It does not, of these values.
    Fails(Arc<str>),
}

impl<'q> Answers<'q> {
    pub(super) fn new(questions: &'q Questions, facts: &'q dyn Lookup) -> Self {
        Self {
            questions,
            memo: Memo::new(facts),
            known: smallvec![Answer::Unknown; questions.rules.len()],
            hours: smallvec![None; questions.schedules.len()],
        }
    }

    /// What the buyers ask, in the order of the route.
    pub(super) fn each(&self) -> impl Iterator<Item = &'q Asked> + use<'q> {
        self.questions.asked.iter()
    }

    /// What there is in the place of what is asked; `None`: the answer is yes.
    fn fails(&mut self, question: usize) -> Option<Arc<str>> {
        let answer = self.known.get_mut(question);
        let Some((answer, rule)) = answer.zip(self.questions.rules.get(question)) else {
            return Some("".into());
        };
        if matches!(answer, Answer::Unknown) {
            self.memo.learn(rule.key());
            *answer = match rule.holds(&self.memo) {
                true => Answer::Holds,
                false => Answer::Fails(rule.have(&self.memo)),
            };
        }
        match answer {
            Answer::Fails(have) => Some(Arc::clone(have)),
            Answer::Unknown | Answer::Holds => None,
        }
    }
}

/// A buyer among those of a route.
pub(super) struct Among<'a, 'q> {
    pub(super) answers: &'a mut Answers<'q>,
    pub(super) asked: &'q Asked,
}

impl Answered for Among<'_, '_> {
    fn gist(&self) -> Gist {
        self.asked.gist
    }

    fn hours(&mut self, clock: impl FnOnce(&Schedule) -> Local) -> Result<(), Local> {
        let place = self.asked.schedule as usize;
        let known = self.answers.hours.get_mut(place);
        let Some((known, schedule)) = known.zip(self.answers.questions.schedules.get(place)) else {
            return Ok(());
        };
        *known.get_or_insert_with(|| schedule.check(clock(schedule)))
    }

    fn conditions(&mut self) -> Result<(), Mismatch> {
        let (start, end) = self.asked.conditions;
        let places = &self.answers.questions.places;
        let places = places.get(start as usize..end as usize);
        for (question, rule) in places.into_iter().flatten().zip(0..) {
            if let Some(have) = self.answers.fails(*question as usize) {
                return Err(Mismatch { rule, have });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use crate::routing::hours::{Blocks, Hours};
    use crate::routing::zone::Zone;
    use crate::types::condition::Conditions;

    use super::*;

    struct Aged(Cell<u32>);

    impl Lookup for Aged {
        fn look_up(&self, name: &str, found: &mut dyn FnMut(&str)) {
            self.0.set(self.0.get() + 1);
            if name == "age" {
                found("66");
            }
        }
    }

    #[test]
    fn what_many_ask_is_answered_once_and_each_gets_its_own_answer() {
        let sets = [
            &["age:>=65", "geo:us-ny"][..],
            &["age:>=65"],
            &[],
            &["age:>=65", "age:>70"],
            &["geo:!=us-ny", "age:=~^6"],
        ];
        let sets = sets.map(|texts| Rules {
            conditions: Conditions::parse(texts.iter().copied()).expect("conditions"),
            ..Rules::default()
        });
        let questions = Questions::of(sets.iter());
        assert_eq!(questions.rules.len(), 5);
        let facts = Aged(Cell::new(0));
        let mut answers = Answers::new(&questions, &facts);

        for _ in 0..3 {
            for (asked, rules) in answers.each().zip(&sets) {
                let facts = &Aged(Cell::new(0));
                let mut alone = Alone { rules, facts };
                let answers = &mut answers;
                let mut among = Among { answers, asked };
                assert_eq!(among.conditions(), alone.conditions());
            }
        }

        assert_eq!(facts.0.get(), 2, "two names, each looked up once");
    }

    #[test]
    fn the_clock_is_asked_once_for_equal_hours() {
        let schedule = |text: &str, zone: &str| {
            let Blocks(blocks) = text.parse().expect("blocks");
            let hours = Hours::of(&blocks).expect("hours");
            let zone = Zone::named(zone).expect("a zone");
            Some(Schedule { hours, zone })
        };
        let (early, late) = ("daily 06:00-12:00", "daily 12:00-18:00");
        let hours = [
            schedule(early, "America/New_York"),
            None,
            schedule(late, "America/New_York"),
            schedule(early, "America/Chicago"),
            schedule(early, "America/New_York"),
        ];
        let sets = hours.map(|hours| Rules {
            hours,
            ..Rules::default()
        });
        let questions = Questions::of(sets.iter());
        assert_eq!(questions.schedules.len(), 3);
        let facts = &Aged(Cell::new(0));
        let mut answers = Answers::new(&questions, facts);
        let local = Local {
            date: jiff::civil::date(2024, 11, 4),
            minute: 9 * 60,
            offset: 0,
        };
        let mut asks = 0;

        for _ in 0..3 {
            for (asked, rules) in answers.each().zip(&sets) {
                let answers = &mut answers;
                let mut among = Among { answers, asked };
                let mut alone = Alone { rules, facts };
                assert_eq!(among.gist().has_hours, rules.hours.is_some());
                if among.gist().has_hours {
                    let told = among.hours(|_| {
                        asks += 1;
                        local
                    });
                    assert_eq!(told, alone.hours(|_| local));
                }
            }
        }

        assert_eq!(asks, 3);
    }
}
