//! What comes out of the engine, in the order in which it must happen.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::call::errand::Step;
use crate::call::memory::{News, Of, Question, Waiting};
use crate::call::places::{Claimant, Ticket, Verdict};
use crate::call::policy::TrunkId;
use crate::call::record::{Outcome, Record, Side};
use crate::call::story::{Delivery, FiredResult};
use crate::hooks::model::Webhook;
use crate::hooks::request::Request;
use crate::media::commons::Counts;
use crate::media::ng::ask::Ask;
use crate::media::plan::{Plan, SessionId};
use crate::media::ports::Stock;
use crate::routing::buyer::Buyer;
use crate::routing::caps::{CapOn, Party};
use crate::sip::flow::Flow;
use crate::sip::locate::Wanted;
use crate::types::ids::{CallUuid, ShardId};
use crate::types::number::Number;
use crate::types::tag::Tags;

pub use crate::call::refusal::Refusal;

/// One thing that the shell is to do.
#[derive(Debug)]
pub enum Output {
    /// Send `bytes` along `flow`.
    Transmit {
        /// The way.
        flow: Flow,
        /// The whole message.
        bytes: Bytes,
    },
    /// Hand the datagram to the shard that owns what it speaks of.
    Forward {
        /// The owner.
        shard: ShardId,
        /// The way it came.
        flow: Flow,
        /// All of it.
        bytes: Bytes,
    },
    /// Reserve a place, if there is one, and answer by [`Input::Reserved`](crate::call::input::Input): now or later,
    /// but once.
    Reserve {
        /// The question; it names the place from now on.
        ticket: Ticket,
        /// The call.
        call: CallUuid,
        /// Whose place.
        claimant: Claimant,
    },
    /// The call that has this place did what counts with some: count it, if it does with whoever's place it is.
    Commit {
        /// The place.
        ticket: Ticket,
        /// The call.
        call: CallUuid,
        /// What it did.
        what: CapOn,
    },
    /// Take back a place that was granted.
    Release(Ticket),
    /// Say what is remembered of a caller, by [`Input::Recalled`](crate::call::input::Input): now or later. As long as the
    /// call lasts, say besides what comes of other calls of the caller.
    Recall {
        /// The question.
        ticket: Ticket,
        /// What is asked.
        question: Box<Question>,
    },
    /// Remember what has come of a call that asked, for other calls of its caller; those that go on are told.
    Remember(Box<News>),
    /// Send a webhook, and answer by [`Input::Fetched`](crate::call::input::Input).
    Fetch {
        /// The question.
        ticket: Ticket,
        /// What is sent.
        request: Box<Request>,
    },
    /// Deliver webhooks of a call that lasts, in order, whatever happens. Those of its end are in its record.
    Deliver {
        /// The call.
        uuid: CallUuid,
        /// What is sent.
        deliveries: Vec<Delivery>,
    },
    /// The answer to [`Input::Posted`](crate::call::input::Input).
    Posted {
        /// The calls that it is taken for; none: none of ours is meant.
        taken: SmallVec<[CallUuid; 1]>,
        /// A call that is meant has had too many already.
        is_full: bool,
        /// A call that is meant is out of reach.
        is_barred: bool,
    },
    /// Keep the tags of a call that goes on, in place of those kept before: its webhooks fire though nobody sees its end.
    Keep {
        /// The call.
        uuid: CallUuid,
        /// All of them.
        tags: Tags,
    },
    /// Tell the other shards, by [`Input::Probed`](crate::call::input::Input), what OPTIONS found out.
    Probed {
        /// The buyer's id.
        buyer: Arc<str>,
        /// The gateway's name.
        gateway: Arc<str>,
        /// Whether it is not there.
        is_lost: bool,
    },
    /// Have the relay do this with a call's media, from now on; the call's record ends it.
    Media {
        /// The call's media.
        id: SessionId,
        /// All that is to be done.
        plan: Box<Plan>,
    },
    /// Ask an rtpengine, and answer by [`Input::MediaTold`](crate::call::input::Input), later but once; of round 0,
    /// nobody waits for the answer. The call's record ends its media there.
    AskMedia(Box<Ask>),
    /// Look this name up; what becomes of it comes back as `Input::Resolved`, also if it is not found.
    Resolve(Arc<Wanted>),
    /// Count it, and perhaps log it.
    Event(Event),
    /// What a vendor is to do with this call, which it carries.
    Abroad(CallUuid, Step),
    /// The call is over; this is what remains of it. Exactly one per call.
    Record(Box<Record>),
}

/// Something worth counting. No text of a peer is in it but [`Event::Malformed`]'s error, which is ours.
#[derive(Debug)]
pub enum Event {
    /// A request came in that is not a retransmission.
    Request {
        /// The method as a label of a bounded set: unknown methods are `other`.
        method: &'static str,
    },
    /// A response came in that belongs to a transaction of ours.
    Response {
        /// Its status code.
        status: u16,
    },
    /// A message that transactions absorbed or answered again: the peer sent it twice.
    Repeated,
    /// We sent a message again because no answer came.
    Retransmitted,
    /// A response or an ACK that belongs to nothing.
    Stray,
    /// A message that cannot be read.
    Malformed {
        /// What is wrong.
        error: crate::sip::error::ParseError,
        /// Who sent it.
        flow: Flow,
    },
    /// A request was refused before it became a call.
    Refused {
        /// Why.
        why: Refusal,
        /// Who sent it.
        flow: Flow,
        /// The answer; `None` is silence.
        status: Option<u16>,
    },
    /// A user has shown its password: whoever is there hears what is sent there.
    LoggedIn {
        /// Where.
        flow: Flow,
        /// Its trunk.
        trunk: TrunkId,
    },
    /// A call began: it is authenticated, and has a name.
    Started {
        /// The call.
        uuid: CallUuid,
        /// The trunk it came by.
        trunk: Arc<str>,
        /// The way it came.
        flow: Flow,
        /// The number dialled, if it is one.
        dialled: Option<Number>,
        /// The carrier's Call-ID.
        call_id: Box<[u8]>,
        /// Whose call it is.
        origin: Origin,
    },
    /// A call goes on that another process has begun, and that a vendor carries.
    TakenUp {
        /// The call.
        uuid: CallUuid,
        /// Whether a buyer talks.
        is_answered: bool,
    },
    /// A caller's number is none of its trunk's `caller_ids`: buyers are not told who calls.
    CallerRefused {
        /// The trunk it came by.
        trunk: Arc<str>,
        /// Who sent it.
        flow: Flow,
    },
    /// One buyer's turn is over without an answer.
    AttemptFailed {
        /// The call.
        uuid: CallUuid,
        /// The buyer.
        buyer: Arc<Buyer>,
        /// How it went.
        result: crate::call::record::AttemptResult,
        /// From our INVITE to now.
        after: Duration,
    },
    /// A buyer, or a gateway of it, was passed over.
    Skipped {
        /// The call.
        uuid: CallUuid,
        /// The buyer.
        buyer: Arc<Buyer>,
        /// Why.
        why: crate::call::record::WhySkipped,
    },
    /// A call found no place at a trunk or a buyer.
    LimitReached {
        /// Whose limit.
        party: Party,
        /// Which; `None`: whoever counts did not answer.
        verdict: Option<Verdict>,
    },
    /// A webhook that fired while a call lasts was answered, or was not.
    Hook {
        /// The call.
        uuid: CallUuid,
        /// The webhook.
        webhook: Arc<Webhook>,
        /// What became of it.
        result: FiredResult,
        /// How long it took.
        took: Duration,
        /// How many things its answer held that did not become tags.
        warnings: usize,
    },
    /// What is remembered of a caller is told, or is not.
    Recalled {
        /// The call.
        uuid: CallUuid,
        /// How it went, as a label of a bounded set: `new`, `known`, `late`, or why not.
        result: &'static str,
        /// How long it took.
        took: Duration,
    },
    /// The tags that waited for a caller are a call's now.
    TagsTaken {
        /// The call.
        uuid: CallUuid,
        /// Whose they were.
        of: Of,
        /// The id of the call's campaign.
        campaign: Arc<str>,
        /// Which.
        tags: Vec<Waiting>,
    },
    /// A session description could not be taken to the other side.
    MediaUnfit {
        /// The call.
        uuid: CallUuid,
        /// Who sent it.
        from: Side,
        /// Why.
        why: &'static str,
    },
    /// A gateway is left alone from now on, or gets calls again. Each shard finds out for itself.
    Gateway {
        /// The buyer's id.
        buyer: Arc<str>,
        /// The gateway's name.
        gateway: Arc<str>,
        /// What has changed.
        change: GatewayChange,
    },
    /// A buyer answered.
    Answered {
        /// The call.
        uuid: CallUuid,
        /// The buyer.
        buyer: Arc<Buyer>,
        /// From the caller's INVITE to the answer.
        setup: Duration,
        /// From the caller's INVITE to the first ringing sent to the caller, if any was.
        post_dial_delay: Option<Duration>,
    },
    /// A call ended; its record follows.
    Ended {
        /// The call.
        uuid: CallUuid,
        /// How.
        outcome: Outcome,
        /// From answer to end; zero if it was never answered.
        talk: Duration,
    },
    /// A message of ours could not be built: our fault, or the configuration's.
    Unbuildable,
    /// A handler has panicked, a fault of ours: the call that it worked on is given up.
    Panicked,
    /// A table is full: what would have needed a place was refused.
    TableFull {
        /// Which: `transactions`, `calls`.
        table: &'static str,
    },
}

/// Whose call it is that began.
#[derive(Debug)]
pub struct Origin {
    /// Generation of the configuration that it runs on.
    pub generation: u64,
    /// The digest user.
    pub user: Option<Arc<str>>,
    /// The company's id.
    pub company: Option<Arc<str>>,
    /// The campaign's id.
    pub campaign: Option<Arc<str>>,
    /// The publisher's id.
    pub afid: Option<Arc<str>>,
    /// The sub id.
    pub sid: Option<Arc<str>>,
    /// The caller's number.
    pub caller: Option<Number>,
}

/// What has changed about a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayChange {
    /// It is left alone.
    Down {
        /// Why.
        why: WhyDown,
        /// For how long; `None`: until OPTIONS are answered again.
        pause: Option<Duration>,
    },
    /// It works again.
    Up,
    /// It was down, and is not in the configuration any more.
    Removed,
}

/// Why a gateway is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyDown {
    /// Its trunk failed several times in a row.
    Failures,
    /// It said so: 503 with Retry-After.
    RetryAfter,
    /// It does not answer OPTIONS.
    Probes,
}

impl WhyDown {
    /// The word in the log.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Failures => "failures",
            Self::RetryAfter => "retry_after",
            Self::Probes => "probes",
        }
    }
}

/// How much the engine holds at this moment, for gauges; all are zero at rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Calls whose buyer has not answered.
    pub calls_ringing: usize,
    /// Calls that wait for a buyer who can take them.
    pub calls_waiting: usize,
    /// Calls that are answered.
    pub calls_talking: usize,
    /// Calls that are over but for the last BYE's answer.
    pub calls_ending: usize,
    /// Server transactions.
    pub server_transactions: usize,
    /// Client transactions.
    pub client_transactions: usize,
    /// Entries in the timer wheel.
    pub timers: usize,
    /// Pairs of ports for media; but for those that rest, none is taken at rest.
    pub media_ports: Stock,
    /// Who is heard on shared ports; what was found when somebody was to be is counted from the start on.
    pub media_shared: Counts,
}
