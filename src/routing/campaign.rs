//! A campaign: what is sold, to whom it is offered, and what becomes of a call that nobody is left for.

use std::sync::Arc;
use std::time::Duration;

use crate::routing::buyer::Buyer;
use crate::routing::callers::{CallerList, Lists};
use crate::routing::directory::CampaignId;
pub use crate::routing::route::Route;
use crate::routing::rules::After;
use crate::routing::trunk::CompanyId;

/// One campaign.
#[derive(Debug)]
pub struct Campaign {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// Its place in the directory.
    pub place: CampaignId,
    /// Its owner.
    pub company: CompanyId,
    /// What people call it; its id if nobody said.
    pub name: Arc<str>,
    /// To whom its calls are offered; nobody if it is switched off.
    pub route: Route,
    /// What becomes of calls that nobody is left for.
    pub exits: Exits,
    /// Which callers it takes.
    pub callers: Lists,
    /// Lists onto which its calls put their callers when they are over.
    pub fills: Vec<Arc<CallerList>>,
    /// Who gets a caller that was here before.
    pub repeat: Repeat,
    /// How calls wait that nobody can take now; `None`: they do not.
    pub waiting: Option<Waiting>,
    /// For how long hooks that count calls pass over a caller that was here before; zero: not at all.
    pub dedupe: Duration,
    /// How long after its end a call's conversion is found out, so that what is said of it until then counts.
    pub settle: Duration,
    /// Whether Twilio itself calls the buyers for calls that come by its webhooks; else it sends them to our own edge.
    pub is_direct: bool,
}

impl Campaign {
    /// A campaign of which nothing else is said than its buyers: what the configuration leaves out is the default.
    #[must_use]
    pub fn new(id: &str, company: CompanyId, buyers: Vec<Arc<Buyer>>) -> Self {
        Self {
            id: id.into(),
            place: CampaignId(0),
            company,
            name: id.into(),
            route: Route::new(buyers),
            exits: Exits::default(),
            callers: Lists::default(),
            fills: Vec::new(),
            repeat: Repeat::default(),
            waiting: None,
            dedupe: Duration::ZERO,
            settle: Duration::ZERO,
            is_direct: false,
        }
    }
}

impl Campaign {
    /// The lists onto which those come who are refused.
    fn suppressing(&self) -> impl Iterator<Item = &Arc<CallerList>> {
        self.exits.iter().filter_map(|(_, exit)| match exit {
            Exit::Reject(answer) => answer.suppress.as_ref(),
            Exit::Dial(_) | Exit::Campaign(_) => None,
        })
    }

    /// For how long it wants earlier calls of a caller remembered, its exits to other campaigns left out; zero: it asks for
    /// none.
    #[must_use]
    pub fn memory(&self) -> Duration {
        let repeat = match self.repeat.policy {
            RepeatPolicy::Normal => Duration::ZERO,
            RepeatPolicy::Original | RepeatPolicy::OriginalFirst | RepeatPolicy::Different => {
                self.repeat.within
            }
        };
        let exits = self.exits.iter().map(|(_, exit)| match exit {
            Exit::Dial(route) => route.memory(),
            Exit::Campaign(_) | Exit::Reject(_) => Duration::ZERO,
        });
        let routes = exits.max().unwrap_or_default().max(self.route.memory());
        let filled = self.fills.iter().chain(self.suppressing());
        let ttls = filled.filter_map(|list| Some(list.guests.as_ref()?.ttl));
        let lists = ttls.max().unwrap_or_default().max(self.callers.memory());
        repeat.max(routes).max(lists)
    }
}

/// Why nobody is left for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// There is no buyer at all.
    NoBuyer,
    /// Somebody would take it, but has as many calls as it takes.
    AllCapped,
    /// Nobody wants calls of which this is known, or callers of this number.
    NoMatch,
    /// Somebody would take it, but had this caller before.
    AllDuplicate,
    /// Somebody would take it, but nothing that is sent there is answered.
    AllDown,
    /// Everybody is closed or paused, or the number is.
    AllClosed,
    /// Those who were asked did not take it.
    NoAnswer,
    /// The caller is on a list of those who are not let in, or not on one of those who are.
    Suppressed,
}

impl Cause {
    /// Its name in configurations, records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NoBuyer => "no_buyer",
            Self::AllCapped => "all_capped",
            Self::NoMatch => "no_match",
            Self::AllDuplicate => "all_duplicate",
            Self::AllDown => "all_down",
            Self::AllClosed => "all_closed",
            Self::NoAnswer => "no_answer",
            Self::Suppressed => "suppressed",
        }
    }

    /// Whether it may be otherwise in a minute.
    #[must_use]
    pub fn may_change(self) -> bool {
        match self {
            Self::AllCapped | Self::NoMatch | Self::AllDown | Self::AllClosed | Self::NoAnswer => {
                true
            }
            Self::NoBuyer | Self::AllDuplicate | Self::Suppressed => false,
        }
    }

    /// What the caller is told by the Reason header, and the record.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoBuyer => "no_buyer",
            Self::AllCapped => "no_buyer_all_capped",
            Self::NoMatch => "no_buyer_no_match",
            Self::AllDuplicate => "no_buyer_all_duplicate",
            Self::AllDown => "no_buyer_all_down",
            Self::AllClosed => "no_buyer_all_closed",
            Self::NoAnswer => "no_answer",
            Self::Suppressed => "caller_blocked",
        }
    }

    /// The status that says so, if neither campaign nor trunk have one of their own: 404, 486 and 603 are about this call, and
    /// carriers do not come again by another way.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::AllCapped => 486,
            Self::NoBuyer
            | Self::NoMatch
            | Self::AllDuplicate
            | Self::AllDown
            | Self::AllClosed
            | Self::NoAnswer
            | Self::Suppressed => 603,
        }
    }
}

/// How calls wait that nobody can take now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// How long at most.
    pub time: Duration,
    /// How many at once, in one shard.
    pub most: u32,
    /// What their callers are told.
    pub signal: Signal,
}

/// What a caller is told that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Signal {
    /// 182 Queued.
    #[default]
    Queued,
    /// 180 Ringing: what every carrier plays something for.
    Ringing,
    /// Nothing but the 100 that it has.
    None,
}

/// What becomes of calls that nobody is left for. `None`: they are refused.
#[derive(Debug, Default)]
pub struct Exits {
    /// Everybody is closed or paused, or the number is.
    pub all_closed: Option<Exit>,
    /// Limits are reached.
    pub all_capped: Option<Exit>,
    /// Nobody wants such calls or callers, or not again.
    pub no_match: Option<Exit>,
    /// Somebody was asked and nobody took it, or nobody can be reached.
    pub no_answer: Option<Exit>,
    /// The caller is kept out by a list.
    pub suppressed: Option<Exit>,
}

impl Exits {
    /// The way out for this cause.
    #[must_use]
    pub fn of(&self, cause: Cause) -> Option<&Exit> {
        match cause {
            Cause::AllCapped => self.all_capped.as_ref(),
            Cause::NoMatch | Cause::AllDuplicate => self.no_match.as_ref(),
            Cause::AllClosed => self.all_closed.as_ref(),
            Cause::NoAnswer | Cause::AllDown => self.no_answer.as_ref(),
            Cause::Suppressed => self.suppressed.as_ref(),
            Cause::NoBuyer => None,
        }
    }

    /// All that there are, with what they are for.
    pub fn iter(&self) -> impl Iterator<Item = (Cause, &Exit)> {
        [
            (Cause::AllClosed, &self.all_closed),
            (Cause::AllCapped, &self.all_capped),
            (Cause::NoMatch, &self.no_match),
            (Cause::NoAnswer, &self.no_answer),
            (Cause::Suppressed, &self.suppressed),
        ]
        .into_iter()
        .filter_map(|(cause, exit)| Some((cause, exit.as_ref()?)))
    }
}

/// One way out.
#[derive(Debug, Clone)]
pub enum Exit {
    /// Other buyers are tried.
    Dial(Route),
    /// Another campaign decides.
    Campaign(CampaignId),
    /// The caller is refused like this.
    Reject(Answer),
}

/// How a caller is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The final status; `None`: the one that trunk or cause have.
    pub status: Option<u16>,
    /// What the Reason header and the record say; `None`: what the cause says.
    pub reason: Option<Arc<str>>,
    /// The list onto which the caller comes with it, which has guests; `None`: none.
    pub suppress: Option<Arc<CallerList>>,
}

/// Who gets a caller that was here before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repeat {
    /// Who.
    pub policy: RepeatPolicy,
    /// What makes it one that was here before.
    pub after: After,
    /// For how long it is one.
    pub within: Duration,
}

/// Who gets a caller that was here before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RepeatPolicy {
    /// Whoever would get any other call.
    #[default]
    Normal,
    /// The buyer that had it last, and nobody else.
    Original,
    /// The buyer that had it last, if it takes the call, before all others.
    OriginalFirst,
    /// Anybody but those who had it.
    Different,
}

impl RepeatPolicy {
    /// Its name in configurations and records.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Original => "original",
            Self::OriginalFirst => "original_first",
            Self::Different => "different",
        }
    }
}
