//! What a call's campaign wants to know of it, and what becomes of that: its facts, the decisions about it, its webhooks, its
//! conversion.
//!
//! A story begins when the number dialled is known, and belongs to the call's record, whoever holds that. `route` decides,
//! `pings` asks webhooks while the call is set up, `aftermath` does what comes after the answer and after the end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::call::core::Core;
use crate::call::course::Course;
use crate::call::output::Output;
use crate::call::places::Ticket;
use crate::call::recall::Recall;
use crate::call::room::Waited;
use crate::call::turn::TurnId;
use crate::hooks::conversion::{Conversion, Posted};
use crate::hooks::model::{CampaignHooks, Webhook};
use crate::hooks::reply::Warning;
use crate::hooks::request::Request;
use crate::hooks::trigger::Trigger;
use crate::routing::decide::{Decision, Refused};
use crate::routing::facts::{Facts, Progress, Seen};

/// See the module's documentation.
pub struct Story {
    /// What is known of the call from the beginning, and its tags.
    pub facts: Facts,
    /// What has come to be known since.
    pub progress: Progress,
    /// What was decided, in order: first of the campaign, then of its exits.
    pub decisions: Vec<Decision>,
    /// What each of them, and each turn of a buyer, went by.
    pub course: Course,
    /// Why nobody is left, if the last decision came to that.
    pub refused: Option<Refused>,
    /// The webhooks that have fired, in order.
    pub fired: Vec<Fired>,
    /// What postbacks have said so far.
    pub posted: Posted,
    /// How many have come.
    pub posts: u32,
    /// How the call waited for somebody who can take it; `None`: it did not.
    pub waited: Option<Box<Waited>>,
    /// Whether the call converted; `None` until it is over, and if its campaign has no conversion groups.
    pub conversion: Option<Conversion>,
    /// How long after its end that is found out, and what fires then; `None`: at the end.
    pub settles: Option<Duration>,
    /// What is to be delivered because the call is over, in order.
    pub deliveries: Vec<Delivery>,
    /// What is known of the caller's other calls; `None`: nobody asks.
    pub recall: Option<Box<Recall>>,
    /// The campaign's webhooks and conversion groups; `None`: it has none.
    pub(crate) hooks: Option<Arc<CampaignHooks>>,
    /// What the timers of the buyer whose turn it is have on top.
    pub(crate) offset: Duration,
    /// Pings that are waited for.
    pub(crate) windows: Vec<Awaited>,
    /// How many tags are kept.
    pub(crate) kept: usize,
    /// Timers that are to fire, the earliest last.
    pub(crate) timers: Vec<(Instant, Arc<Webhook>)>,
}

impl fmt::Debug for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Story").field(&self.facts.uuid).finish()
    }
}

/// One webhook that has fired while the call lasted.
#[derive(Debug)]
pub struct Fired {
    /// The webhook.
    pub webhook: Arc<Webhook>,
    /// When.
    pub at: Instant,
    /// What became of it.
    pub result: FiredResult,
    /// How long it took; zero while it is under way.
    pub took: Duration,
    /// What of its answer did not become a tag.
    pub warnings: Vec<Warning>,
    /// Names the question; `None`: no answer is of use.
    pub(crate) ticket: Option<Ticket>,
}

/// What became of a webhook. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FiredResult {
    /// It is under way, or the call was over before it was done.
    Sent,
    /// It was answered with this status.
    Answered(u16),
    /// It took too long.
    TimedOut,
    /// It could not be asked; why, as a label of a bounded set.
    Failed(&'static str),
    /// It goes to those that are delivered whatever happens.
    Queued,
}

impl FiredResult {
    /// The stable name, for records, logs and labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Answered(_) => "answered",
            Self::TimedOut => "timeout",
            Self::Failed(why) => why,
            Self::Queued => "queued",
        }
    }
}

/// A request that is to arrive, whatever becomes of this process.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Those of a later trigger wait for those of the earlier ones.
    pub trigger: Trigger,
    /// What is sent.
    pub request: Request,
}

/// Pings that a call waits for, or the turn of one buyer: places in [`Story::fired`].
#[derive(Debug)]
pub(crate) struct Awaited {
    /// `None`: the call as a whole.
    pub(crate) turn: Option<TurnId>,
    pub(crate) window: crate::hooks::window::Window<Reply>,
    pub(crate) places: Vec<usize>,
}

/// What was heard of a ping.
#[derive(Debug)]
pub struct Reply {
    /// The status and the body, or why there are none, as a label of a bounded set.
    pub answer: Result<(u16, bytes::Bytes), &'static str>,
    /// How long it took.
    pub took: Duration,
}

impl Story {
    pub(crate) fn new(facts: Facts, hooks: Option<Arc<CampaignHooks>>) -> Self {
        Self {
            facts,
            progress: Progress::default(),
            decisions: Vec::new(),
            course: Course::default(),
            refused: None,
            fired: Vec::new(),
            posted: Posted::default(),
            posts: 0,
            waited: None,
            conversion: None,
            settles: None,
            deliveries: Vec::new(),
            recall: None,
            hooks,
            offset: Duration::ZERO,
            windows: Vec::new(),
            timers: Vec::new(),
            kept: 0,
        }
    }

    /// All that is known by now.
    #[must_use]
    pub fn seen(&self) -> Seen<'_> {
        Seen {
            facts: &self.facts,
            progress: &self.progress,
        }
    }

    /// How often a webhook has fired for this call.
    pub(crate) fn turns(&self, webhook: &Webhook) -> u32 {
        let fired = self.fired.iter();
        let turns = fired.filter(|one| one.webhook.id == webhook.id).count();
        u32::try_from(turns).unwrap_or(u32::MAX)
    }

    /// Has its tags kept, if there are others than before, and somebody may want to know them.
    pub(crate) fn keep_tags(&mut self, core: &mut Core) {
        let tags = &self.facts.tags;
        if self.hooks.is_some() && tags.len() != self.kept {
            self.kept = tags.len();
            core.output(Output::Keep {
                uuid: self.facts.uuid,
                tags: tags.clone(),
            });
        }
    }

    /// When a timer is due.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.timers.last().map(|(at, _)| *at)
    }
}
