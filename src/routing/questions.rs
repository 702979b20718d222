//! What the buyers of a route ask of a call, each question once: many of them ask the same.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::routing::memo::Memo;
use crate::types::condition::{Conditions, Mismatch, Rule};
use crate::types::tag::Lookup;

/// The different rules that the buyers of a route have.
#[derive(Debug, Clone, Default)]
pub(super) struct Questions {
    rules: Box<[Arc<Rule>]>,
    /// For each buyer, the places of its own among them.
    asked: Box<[Box<[u32]>]>,
}

impl Questions {
    /// Those of these conditions, buyer by buyer.
    #[expect(
        clippy::mutable_key_type,
        reason = "what changes in a regular expression is its cache, which nobody compares"
    )]
    pub(super) fn of<'b>(all: impl Iterator<Item = &'b Conditions>) -> Self {
        let mut rules = Vec::new();
        let mut places = HashMap::new();
        let asked = all.map(|conditions| {
            let asked = conditions.rules().iter().map(|rule| {
                *places.entry(rule).or_insert_with(|| {
                    rules.push(Arc::clone(rule));
                    u32::try_from(rules.len() - 1).unwrap_or(u32::MAX)
                })
            });
            asked.collect()
        });
        Self {
            asked: asked.collect(),
            rules: rules.into(),
        }
    }
}

/// What one call answers, found out when it is asked for the first time. For as long as its facts do not change.
pub(super) struct Answers<'q> {
    questions: &'q Questions,
    memo: Memo<'q>,
    known: SmallVec<[Answer; 16]>,
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
        }
    }

    /// Whether all holds that the buyer at this place of the route asks; `Err`: the first that does not.
    pub(super) fn of(&mut self, place: usize) -> Result<(), Mismatch> {
        let asked = self.questions.asked.get(place);
        for (question, rule) in asked.into_iter().flatten().zip(0..) {
            if let Some(have) = self.fails(*question as usize) {
                return Err(Mismatch { rule, have });
            }
        }
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

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
        let sets = sets.map(|texts| Conditions::parse(texts.iter().copied()).expect("conditions"));
        let questions = Questions::of(sets.iter());
        assert_eq!(questions.rules.len(), 5);
        let facts = Aged(Cell::new(0));
        let mut answers = Answers::new(&questions, &facts);

        for _ in 0..3 {
            for (place, conditions) in sets.iter().enumerate() {
                let alone = Aged(Cell::new(0));
                assert_eq!(answers.of(place), conditions.matches(&alone), "{place}");
            }
        }

        assert_eq!(answers.of(3).map_err(|fault| fault.rule), Err(1));
        assert_eq!(facts.0.get(), 2, "two names, each looked up once");
    }
}
