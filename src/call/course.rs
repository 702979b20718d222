//! How a call came to be decided: at each question that was asked of its tags and of earlier calls, which there were. With the
//! record it is all that is needed to decide the call again ([`replay`](crate::call::replay)).
//!
//! What is known is counted in states: state 0 holds from the beginning until something changes after somebody has looked, and so
//! on. The last state is what the call knows now; only those before it are kept, so a call of which nothing new is heard keeps none.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::call::memory::Memory;
use crate::call::recall::Recall;
use crate::types::moment::Moment;
use crate::types::tag::Tags;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Course {
    /// The states that are over.
    pub over: Vec<State>,
    /// Somebody has looked at the state that there is.
    is_seen: bool,
    /// When each decision was made, and by which state.
    pub decisions: SmallVec<[Asked; 1]>,
    /// The buyers whose turn came, in order; of those who are called at once, in the order in which webhooks were told of them.
    pub turns: SmallVec<[Turn; 1]>,
    /// When it was known that a buyer had answered, and the state then, if webhooks wanted to know.
    pub answer: Option<Asked>,
    /// For how long it was known, where that is not how long they talked: somebody else has told of both.
    pub known_for: Option<Duration>,
    /// How many of the buyers that were tried had been tried by a call of which this is the rest.
    pub resumed: usize,
    /// Another process has begun it: by what that decided is not known.
    pub is_taken_up: bool,
}

/// What was known until something changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// When it ended.
    pub until: Moment,
    /// The tags.
    pub tags: Tags,
    /// Other calls of the caller, and whether all of them are known; `None`: nobody asked.
    pub memory: Option<(Memory, bool)>,
}

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// When it was asked.
    pub at: Moment,
    /// By which state.
    pub state: u16,
}

/// A buyer's turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Its id.
    pub buyer: Arc<str>,
    /// When it came, and by which state it was looked at again.
    pub asked: Asked,
    /// The state when webhooks were told of it; `None`: it did not come to that.
    pub told: Option<u16>,
    /// The state when it was asked what it wants to be known just before it is called; `None`: it did not come to that.
    pub forward: Option<u16>,
}

impl Course {
    /// The state that there is, which somebody looks at.
    pub(crate) fn look(&mut self) -> u16 {
        self.is_seen = true;
        // As many changes as looks: buyers, webhooks and postbacks of one call.
        u16::try_from(self.over.len()).unwrap_or(u16::MAX)
    }

    /// Changes the tags of the call whose course this is.
    pub(crate) fn change<R>(
        &mut self,
        now: Moment,
        tags: &mut Tags,
        recall: Option<&Recall>,
        change: impl FnOnce(&mut Tags) -> R,
    ) -> R {
        if !self.is_seen {
            return change(tags);
        }
        let before = tags.clone();
        let changed = change(tags);
        if *tags != before {
            self.keep(now, &before, recall);
        }
        changed
    }

    /// What is known will not be the same any more: keeps what was, if somebody has looked at it.
    pub(crate) fn keep(&mut self, until: Moment, tags: &Tags, recall: Option<&Recall>) {
        if self.is_seen && self.over.len() < MOST_STATES {
            self.is_seen = false;
            self.over.push(State {
                until,
                tags: tags.clone(),
                memory: recall.map(|recall| (recall.memory.clone(), recall.is_known)),
            });
        }
    }

    /// A decision is made.
    pub(crate) fn decide(&mut self, at: Moment) {
        let state = self.look();
        self.decisions.push(Asked { at, state });
    }

    /// A buyer's turn has come.
    pub(crate) fn turn(&mut self, at: Moment, buyer: &Arc<str>) {
        let state = self.look();
        self.turns.push(Turn {
            buyer: Arc::clone(buyer),
            asked: Asked { at, state },
            told: None,
            forward: None,
        });
    }

    /// Webhooks are told of a buyer who is called with others: it goes before those of whom they were not told yet.
    pub(crate) fn overtake(&mut self, buyer: &str) {
        let mut turns = self.turns.iter();
        let Some(own) = turns.rposition(|turn| *turn.buyer == *buyer) else {
            return;
        };
        let before = self.turns.get(..own).unwrap_or_default();
        let waiting = before.iter().rev().take_while(|turn| turn.told.is_none());
        let first = own - waiting.count();
        if let Some(passed) = self.turns.get_mut(first..=own) {
            passed.rotate_right(1);
        }
    }

    /// Webhooks are told of a buyer.
    pub(crate) fn tell(&mut self, buyer: &str) {
        let state = self.look();
        if let Some(turn) = self.last(buyer) {
            turn.told = Some(state);
        }
    }

    /// A buyer is asked what it wants to be known just before it is called.
    pub(crate) fn forward(&mut self, buyer: &str) {
        let state = self.look();
        if let Some(turn) = self.last(buyer) {
            turn.forward = Some(state);
        }
    }

    /// A buyer has answered.
    pub(crate) fn answer(&mut self, at: Moment) {
        let state = self.look();
        self.answer = Some(Asked { at, state });
    }

    /// The call is over, and was known to be answered for so long.
    pub(crate) fn note_known_for(&mut self, time: Duration, is_other: bool) {
        self.known_for = is_other.then_some(time);
    }

    fn last(&mut self, buyer: &str) -> Option<&mut Turn> {
        let mut turns = self.turns.iter_mut().rev();
        turns.find(|turn| *turn.buyer == *buyer)
    }
}

/// States that are kept at most: more changes than that come from somebody who writes to an answered call without an end, and
/// decide nothing any more.
const MOST_STATES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::tag::Origin;

    #[test]
    fn a_state_is_kept_only_if_somebody_has_seen_it_and_it_changed() {
        let (mut course, mut tags) = (Course::default(), Tags::default());
        let at = Moment::from_millis;
        let add = |course: &mut Course, tags: &mut Tags, now, value: &str| {
            course.change(at(now), tags, None, |tags| {
                tags.add("k", value, Origin::Hook)
            })
        };

        assert_eq!(add(&mut course, &mut tags, 1, "a"), Ok(true));
        course.decide(at(2));
        assert_eq!(add(&mut course, &mut tags, 3, "a"), Ok(false));
        course.turn(at(4), &"first".into());
        assert_eq!(add(&mut course, &mut tags, 5, "b"), Ok(true));
        assert_eq!(add(&mut course, &mut tags, 6, "c"), Ok(true));
        course.tell("first");
        course.forward("nobody");
        course.answer(at(7));

        let over = course.over.iter();
        let over: Vec<_> = over.map(|state| (state.until, state.tags.len())).collect();
        assert_eq!(over, [(at(5), 1)]);
        let asked = |now, state| Asked { at: at(now), state };
        assert_eq!(course.decisions[..], [asked(2, 0)]);
        let turn = Turn {
            buyer: "first".into(),
            asked: asked(4, 0),
            told: Some(1),
            forward: None,
        };
        assert_eq!(course.turns[..], [turn]);
        assert_eq!(course.answer, Some(asked(7, 1)));
    }

    #[test]
    fn of_those_who_are_called_at_once_who_is_told_of_first_comes_first() {
        let mut course = Course::default();
        for buyer in ["before", "one", "two", "three"] {
            course.turn(Moment::default(), &buyer.into());
            if buyer == "before" {
                course.tell(buyer);
            }
        }
        for buyer in ["three", "one", "nobody"] {
            course.overtake(buyer);
            course.tell(buyer);
        }

        let order: Vec<_> = course.turns.iter().map(|turn| &*turn.buyer).collect();

        assert_eq!(order, ["before", "three", "one", "two"]);
    }

    #[test]
    fn whoever_writes_without_an_end_leaves_a_bounded_course() {
        let (mut course, mut tags) = (Course::default(), Tags::default());
        for value in 0..200 {
            course.look();
            let add = |tags: &mut Tags| tags.add("k", &value.to_string(), Origin::Postback);
            course
                .change(Moment::default(), &mut tags, None, add)
                .unwrap();
        }
        assert_eq!((course.over.len(), tags.len()), (MOST_STATES, 200));
    }
}
