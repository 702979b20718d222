//! What a vendor and a call say to one another that it carries for us: see [`abroad`](crate::call::abroad).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::call::output::Refusal;
use crate::call::record::Side;
use crate::twilio::dial::Why;
use crate::twilio::ticket::Ticket;
use crate::twilio::twiml::Target;
use crate::types::moment::Moment;
use crate::types::tag::Origin;

/// What a vendor tells of a call that it carries, as our HTTP side has understood it.
pub enum Said {
    /// It has the caller, who is to be offered to buyers.
    Begin(Box<Beginning>),
    /// The buyer of this attempt has answered, and talks to the caller.
    Answered(u32),
    /// This attempt came to nothing, and somebody waits for the next.
    Left(u32, Why, Option<u16>),
    /// They have talked for this long, and this side has ended it.
    Over(u32, Duration, Side),
    /// One leg has ended: what became of the call will be told, or else it is this.
    Closing(u32, Closing),
    /// The caller is gone, or the call was called off.
    Gone,
    /// Another process of ours has begun it, and left it so.
    TakeUp(Box<Beginning>, Box<Before>),
}

/// Where another process of ours has left a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// When it began.
    pub began: Moment,
    /// What was known of it: keys, values, and who said it.
    pub tags: Vec<(String, String, Origin)>,
    /// The attempts that the vendor was told to make; it makes the last one, or has made it.
    pub tried: Vec<Tried>,
    /// When the last of them was answered; `None`: nobody has told that it was.
    pub answered: Option<Moment>,
    /// What was known of its end.
    pub closing: Option<Closing>,
    /// When that process was there for the last time.
    pub alive: Moment,
}

impl Before {
    /// Whether the caller was said to have left.
    #[must_use]
    pub fn has_caller_gone(&self) -> bool {
        let by = self.closing.and_then(|closing| closing.by);
        by == Some(Side::Caller)
    }
}

/// One attempt that another process has had made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// The buyer's id.
    pub buyer: Arc<str>,
    /// When the vendor was told.
    pub at: Moment,
    /// What came of it; `None`: that was not told.
    pub came: Option<Why>,
}

/// What a call abroad begins with.
pub struct Beginning {
    /// What a ticket would say of it.
    pub ticket: Ticket,
    /// The ids of buyers that have been tried already, by a call of which this is the rest.
    pub tried: Vec<Arc<str>>,
    /// For how long they may talk.
    pub limit: Duration,
}

/// What is known of a call's end, if nothing else is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Closing {
    /// How long the buyer's leg was up; `None`: that was not told.
    pub talked: Option<Duration>,
    /// Who has ended it.
    pub by: Option<Side>,
}

/// What the vendor is to do.
#[derive(Clone)]
pub enum Step {
    /// Call this buyer.
    Call(Box<Leg>),
    /// Nobody is left, or it is over: the reason and the status that a caller of SIP would have got.
    End(Box<str>, u16),
    /// The call is not taken.
    Refused(Refusal),
    /// Nobody here knows of such a call.
    Unknown,
}

/// One buyer that the vendor is to call.
#[derive(Clone)]
pub struct Leg {
    /// Which attempt of the call it is, from 1.
    pub attempt: u32,
    /// The buyer's id.
    pub buyer: Arc<str>,
    /// Those of the attempts before, also of such as the vendor has not heard of.
    pub before: Box<[Arc<str>]>,
    /// Whom to call, with the headers and the credentials that the buyer is to get.
    pub target: Target,
    /// For how long it rings.
    pub ringing: Duration,
}

// By hand: a target holds what is nobody's business.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(leg) => write!(f, "Call({}, {})", leg.attempt, leg.buyer),
            Self::End(why, status) => write!(f, "End({why}, {status})"),
            Self::Refused(why) => write!(f, "Refused({})", why.label()),
            Self::Unknown => f.write_str("Unknown"),
        }
    }
}
