//! Flows as they are written down, and what makes one that leads nowhere.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use crate::types::tag::is_reserved;

/// A flow that was checked.
#[derive(Debug, Clone)]
pub struct Flow {
    steps: Vec<Step>,
    by_id: BTreeMap<Box<str>, usize>,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Its name: letters, digits, `_` and `-`.
    pub id: Box<str>,
    /// What the caller hears.
    pub prompt: Option<Prompt>,
    /// What follows.
    pub act: Act,
}

/// What a caller hears.
#[derive(Debug, Clone)]
pub enum Prompt {
    /// A text, read by a voice.
    Say {
        /// The text.
        text: Box<str>,
        /// Whose voice; `None`: the account's.
        voice: Option<Box<str>>,
        /// In which language; `None`: the account's.
        language: Option<Box<str>>,
    },
    /// A recording.
    Play(Box<str>),
}

/// What follows what a caller hears.
#[derive(Debug, Clone)]
pub enum Act {
    /// Something else.
    Go(Way),
    /// A key is asked for.
    Menu {
        /// What each of them leads to.
        choices: BTreeMap<char, Choice>,
        /// How often and how long it is waited.
        patience: Patience,
    },
    /// Digits or words are asked for.
    Input {
        /// The tag that they become.
        tag: Box<str>,
        /// What is asked for.
        kind: InputKind,
        /// Where they lead.
        next: Way,
        /// How often and how long it is waited.
        patience: Patience,
    },
    /// The caller's words are recorded.
    Record {
        /// For how long at most.
        most: Duration,
        /// Where that leads.
        next: Way,
    },
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputKind {
    /// So many digits at most, or fewer and `#`.
    Digits(u8),
    /// Words.
    Speech,
}

/// Where a key leads.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The tag that it becomes, if any, and its value.
    pub tag: Option<(Box<str>, Box<str>)>,
    /// Where it leads.
    pub next: Way,
}

/// How often and how long a caller is asked.
#[derive(Debug, Clone)]
pub struct Patience {
    /// For how long each time.
    pub timeout: Duration,
    /// How often.
    pub tries: u8,
    /// Where it leads if nothing comes of it.
    pub otherwise: Way,
}

/// Where a step leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// To the step of this name.
    Step(Box<str>),
    /// To the buyers.
    Connect,
    /// To the end.
    HangUp,
}

/// Why a flow cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FlowFault {
    /// There is no step.
    #[error("a flow has at least one step")]
    Empty,
    /// More than [`MOST_STEPS`].
    #[error("more than 200 steps")]
    TooMany,
    /// A step's name is none.
    #[error("{0:?} is no name of a step")]
    Name(Box<str>),
    /// Two steps of one name.
    #[error("step {0:?} is there twice")]
    Twice(Box<str>),
    /// A step leads to one that is not there.
    #[error("step {from:?} leads to {to:?}, which is not there")]
    Nowhere {
        /// The step.
        from: Box<str>,
        /// Where it leads.
        to: Box<str>,
    },
    /// A step leads back to itself without asking anybody.
    #[error("step {0:?} leads in a circle")]
    Circle(Box<str>),
    /// A menu without choices, or with one that is no key.
    #[error("step {0:?} has no choices, or one that is none of 0 to 9, * and #")]
    Choices(Box<str>),
    /// A tag that cannot be set.
    #[error("step {step:?} sets {tag:?}, which is no tag")]
    Tag {
        /// The step.
        step: Box<str>,
        /// What it sets.
        tag: Box<str>,
    },
    /// It is asked never, or too often, or for too many digits.
    #[error("step {0:?} asks 1 to 9 times, for 1 to 32 digits")]
    Patience(Box<str>),
}

impl Flow {
    /// Checks a flow; its first step is where callers come in.
    pub fn new(steps: Vec<Step>) -> Result<Self, Vec<FlowFault>> {
        if steps.is_empty() {
            return Err(vec![FlowFault::Empty]);
        }
        if steps.len() > MOST_STEPS {
            return Err(vec![FlowFault::TooMany]);
        }
        let mut faults = Vec::new();
        let mut by_id = BTreeMap::new();
        for (place, step) in steps.iter().enumerate() {
            if !is_name(&step.id) {
                faults.push(FlowFault::Name(step.id.clone()));
            }
            if by_id.insert(step.id.clone(), place).is_some() {
                faults.push(FlowFault::Twice(step.id.clone()));
            }
        }
        let flow = Self { steps, by_id };
        for step in &flow.steps {
            step.check(&mut faults);
            let leads = step.ways().into_iter().filter_map(|way| match way {
                Way::Step(to) if flow.step(to).is_none() => Some(to.clone()),
                Way::Step(_) | Way::Connect | Way::HangUp => None,
            });
            faults.extend(leads.map(|to| FlowFault::Nowhere {
                from: step.id.clone(),
                to,
            }));
            if flow.is_circle(step) {
                faults.push(FlowFault::Circle(step.id.clone()));
            }
        }
        if faults.is_empty() {
            Ok(flow)
        } else {
            Err(faults)
        }
    }

    /// Where callers come in.
    pub(super) fn first(&self) -> Option<&Step> {
        self.steps.first()
    }

    /// The step of this name.
    pub(super) fn step(&self, id: &str) -> Option<&Step> {
        self.steps.get(*self.by_id.get(id)?)
    }

    /// Whether a caller comes back to the step without being asked.
    fn is_circle(&self, from: &Step) -> bool {
        let mut step = from;
        for _ in 0..self.steps.len() {
            let Act::Go(Way::Step(to)) = &step.act else {
                return false;
            };
            match self.step(to) {
                Some(next) if next.id == from.id => return true,
                Some(next) => step = next,
                None => return false,
            }
        }
        false
    }
}

impl Step {
    fn ways(&self) -> Vec<&Way> {
        match &self.act {
            Act::Go(next) | Act::Record { next, .. } => vec![next],
            Act::Menu { choices, patience } => {
                let next = choices.values().map(|choice| &choice.next);
                next.chain([&patience.otherwise]).collect()
            }
            Act::Input { next, patience, .. } => vec![next, &patience.otherwise],
        }
    }

    fn check(&self, faults: &mut Vec<FlowFault>) {
        let id = || self.id.clone();
        let mut tags: Vec<&str> = Vec::new();
        match &self.act {
            Act::Go(_) | Act::Record { .. } => {}
            Act::Menu { choices, patience } => {
                let is_key = |key: &char| key.is_ascii_digit() || matches!(key, '*' | '#');
                if choices.is_empty() || !choices.keys().all(is_key) {
                    faults.push(FlowFault::Choices(id()));
                }
                if !patience.is_sound() {
                    faults.push(FlowFault::Patience(id()));
                }
                let set = choices.values().filter_map(|choice| choice.tag.as_ref());
                tags.extend(set.map(|(tag, _)| &**tag));
            }
            Act::Input {
                tag,
                kind,
                patience,
                ..
            } => {
                let is_countable = match kind {
                    InputKind::Digits(most) => (1..=32).contains(most),
                    InputKind::Speech => true,
                };
                if !patience.is_sound() || !is_countable {
                    faults.push(FlowFault::Patience(id()));
                }
                tags.push(tag);
            }
        }
        let bad = tags.into_iter().filter(|tag| !is_tag(tag));
        faults.extend(bad.map(|tag| FlowFault::Tag {
            step: id(),
            tag: tag.into(),
        }));
    }
}

impl Patience {
    fn is_sound(&self) -> bool {
        (1..=9).contains(&self.tries)
    }
}

fn is_name(id: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&id.len()) && id.bytes().all(is_letter)
}

fn is_tag(tag: &str) -> bool {
    let is_letter =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
    (1..=64).contains(&tag.len()) && tag.bytes().all(is_letter) && !is_reserved(tag)
}

/// Steps of one flow.
pub const MOST_STEPS: usize = 200;
