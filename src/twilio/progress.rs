//! How a leg gets on, as its callbacks tell. They come late, twice and out of order: a leg never goes backwards.
//!
//! ```text
//!  queued -> initiated -> ringing -> in-progress -> completed
//!                  `----------`------------+------> busy | failed | no-answer | canceled
//! ```

use std::fmt;

use crate::twilio::form::Form;

/// `CallStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// It waits to be called.
    Queued,
    /// It is called.
    Initiated,
    /// It rings.
    Ringing,
    /// It was answered.
    InProgress,
    /// It was answered, and has ended.
    Completed,
    /// It was busy.
    Busy,
    /// It could not be called.
    Failed,
    /// Nobody answered.
    NoAnswer,
    /// It was called off.
    Canceled,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Queued,
        Self::Initiated,
        Self::Ringing,
        Self::InProgress,
        Self::Completed,
        Self::Busy,
        Self::Failed,
        Self::NoAnswer,
        Self::Canceled,
    ];

    /// Reads the word; `None` for one that we do not know.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        // What is asked for by the name `answered` comes as `in-progress`.
        let word = if word == "answered" {
            "in-progress"
        } else {
            word
        };
        Self::ALL.into_iter().find(|stage| stage.name() == word)
    }

    /// The word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::Failed => "failed",
            Self::NoAnswer => "no-answer",
            Self::Canceled => "canceled",
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub fn is_end(self) -> bool {
        match self {
            Self::Queued | Self::Initiated | Self::Ringing | Self::InProgress => false,
            Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled => true,
        }
    }

    fn step(self) -> u8 {
        match self {
            Self::Queued => 0,
            Self::Initiated => 1,
            Self::Ringing => 2,
            Self::InProgress => 3,
            Self::Completed | Self::Busy | Self::Failed | Self::NoAnswer | Self::Canceled => 4,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How far a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress(Option<Stage>);

/// What a callback changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The leg is further than before.
    Onward(Stage),
    /// It was there already: the callback came twice.
    Again,
    /// It was further already: the callback came late. It is written down, and changes nothing.
    Late,
    /// It had ended otherwise: one of the two callbacks is wrong, and the first stands.
    Contrary,
}

impl Progress {
    /// How far it is; `None`: nothing was heard of it.
    #[must_use]
    pub fn stage(self) -> Option<Stage> {
        self.0
    }

    /// Takes in what a callback says.
    pub fn hear(&mut self, stage: Stage) -> Heard {
        let Some(known) = self.0 else {
            self.0 = Some(stage);
            return Heard::Onward(stage);
        };
        if known == stage {
            Heard::Again
        } else if known.is_end() && stage.is_end() {
            Heard::Contrary
        } else if stage.step() < known.step() {
            Heard::Late
        } else {
            self.0 = Some(stage);
            Heard::Onward(stage)
        }
    }

    /// Takes in a status callback; `None`: it says nothing that we know.
    pub fn hear_callback(&mut self, form: &Form) -> Option<Heard> {
        let stage = form.first("CallStatus").and_then(Stage::parse)?;
        Some(self.hear(stage))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_leg_goes_on_and_never_back() {
        let mut leg = Progress::default();

        assert_eq!(leg.hear(Stage::Ringing), Heard::Onward(Stage::Ringing));
        assert_eq!(leg.hear(Stage::Initiated), Heard::Late);
        assert_eq!(leg.hear(Stage::Ringing), Heard::Again);
        assert_eq!(leg.hear(Stage::Completed), Heard::Onward(Stage::Completed));
        assert_eq!(leg.hear(Stage::InProgress), Heard::Late);
        assert_eq!(leg.hear(Stage::Busy), Heard::Contrary);
        assert_eq!(leg.stage(), Some(Stage::Completed));
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for stage in Stage::ALL {
            assert_eq!(Stage::parse(stage.name()), Some(stage));
        }
        assert_eq!(Stage::parse("answered"), Some(Stage::InProgress));
        assert_eq!(Stage::parse("Ringing"), None);
        let form: Form = [("CallStatus", "ringing")].into_iter().collect();
        let mut leg = Progress::default();
        assert_eq!(
            leg.hear_callback(&form),
            Some(Heard::Onward(Stage::Ringing))
        );
        assert_eq!(leg.hear_callback(&Form::default()), None);
    }

    proptest! {
        /// In whatever order callbacks come, the leg is where the furthest of them says, and the first end stands.
        #[test]
        fn order_does_not_matter(order in proptest::collection::vec(0_usize..9, 1..20)) {
            let mut leg = Progress::default();
            let mut step = 0;
            for number in &order {
                let before = leg;
                let stage = Stage::ALL[*number];
                let heard = leg.hear(stage);
                prop_assert!(leg.stage().unwrap().step() >= step);
                step = leg.stage().unwrap().step();
                prop_assert_eq!(leg != before, matches!(heard, Heard::Onward(_)));
            }
            let stages = || order.iter().map(|number| Stage::ALL[*number]);
            let end = stages().find(|stage| stage.is_end());
            let furthest = end.or_else(|| stages().max_by_key(|stage| stage.step()));
            prop_assert_eq!(leg.stage(), furthest);
        }
    }
}
