//! The call record: all that happened to one call. Written once, when the call ends.

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Instant;

use crate::call::story::Story;
use crate::media::figures::Figures;
use crate::media::ng::Names;
use crate::media::plan::SessionId;
use crate::routing::book::{Counted, Full};
use crate::routing::buyer::{Buyer, Gateway};
use crate::routing::caps::Party;
use crate::types::ids::CallUuid;
use crate::types::number::Number;

/// What remains of a call. Times are instants of the engine's clock; the shell turns them into wall
/// clock times when it writes the record. The call key is not in it: it is a secret.
#[derive(Debug)]
pub struct Record {
    /// The call.
    pub uuid: CallUuid,
    /// Generation of the configuration that it ran on.
    pub generation: u64,
    /// The trunk's id.
    pub trunk: Arc<str>,
    /// The digest user, if the call was authenticated by digest.
    pub user: Option<Arc<str>>,
    /// The number dialled; `None` if the Request-URI held none.
    pub dialled: Option<Number>,
    /// The caller's number; `None` if withheld or none.
    pub caller: Option<Number>,
    /// The campaign's id, if the number is known.
    pub campaign: Option<Arc<str>>,
    /// The publisher's id (AFID).
    pub afid: Option<Arc<str>>,
    /// The sub id (SID).
    pub sid: Option<Arc<str>>,
    /// Call-ID of the carrier's leg, as received.
    pub call_id: Box<[u8]>,
    /// Every gateway of a buyer tried, in order.
    pub attempts: Vec<Attempt>,
    /// Every buyer and gateway passed over, in order.
    pub skipped: Vec<Skipped>,
    /// Where its media went through; `None`: from one party to the other.
    pub media: Option<MediaAt>,
    /// What was heard there; the shell adds it before the record is written.
    pub figures: Option<Box<Figures>>,
    /// What its campaign made of it; `None`: the number has none.
    pub story: Option<Box<Story>>,
    /// What its conversion counts against, from its end on; written by whoever counts.
    pub counted: Vec<Counted>,
    /// When the INVITE came.
    pub began: Instant,
    /// When the first 18x went to the caller.
    pub rang: Option<Instant>,
    /// When the buyer answered.
    pub answered: Option<Instant>,
    /// When the call ended.
    pub ended: Instant,
    /// How it ended.
    pub outcome: Outcome,
    /// Final status sent to the caller.
    pub status: u16,
    /// Who ended it.
    pub hung_up_by: Side,
}

impl Record {
    /// The leg on which the caller came to a vendor, who tells of the call under that name; `None`: it came by none.
    #[must_use]
    pub fn vendor_leg(&self) -> Option<&str> {
        self.story.as_ref()?.facts.tags.values(VENDOR_LEG).next()
    }
}

/// Where the media of a call goes through, and what it is called there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaAt {
    /// Our relay.
    Relay(SessionId),
    /// An rtpengine.
    Rtpengine(Box<Lodging>),
}

/// A call's media at an rtpengine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lodging {
    /// Its name here.
    pub session: SessionId,
    /// The rtpengine.
    pub place: SocketAddr,
    /// Its names there.
    pub names: Names,
}

/// One gateway of one buyer, tried.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The buyer.
    pub buyer: Arc<Buyer>,
    /// The way to it that was tried.
    pub gateway: Arc<Gateway>,
    /// Attempts on buyers who were called at the same time have the same number, counted from 1; `None`: this one was
    /// called alone.
    pub together: Option<NonZeroU8>,
    /// Call-ID of this leg.
    pub call_id: Box<[u8]>,
    /// When our INVITE went out.
    pub began: Instant,
    /// When it was decided.
    pub ended: Instant,
    /// The status it was decided by; `None` if there was none (time-out, transport).
    pub status: Option<u16>,
    /// How it went.
    pub result: AttemptResult,
}

/// A buyer, or one gateway of it, that was passed over.
#[derive(Debug, Clone)]
pub struct Skipped {
    /// The buyer.
    pub buyer: Arc<Buyer>,
    /// The gateway; `None`: the buyer as a whole.
    pub gateway: Option<Arc<Gateway>>,
    /// When.
    pub at: Instant,
    /// Why.
    pub why: WhySkipped,
}

/// Why a buyer was passed over. The names are stable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhySkipped {
    /// The gateway is down: its trunk failed lately, or it does not answer OPTIONS.
    GatewayDown,
    /// The buyer, a group of its, or the number dialled has as many calls as it takes.
    Full(Full),
    /// It does not take such a call, or not now: the verdict's name.
    Judged(&'static str),
    /// Whoever counts the buyer's calls does not answer.
    LimitUnknown,
}

impl WhySkipped {
    /// The stable name, for records, logs and labels.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::GatewayDown => "gateway_down",
            Self::Full(full) if matches!(full.party, Party::Group(_)) => "group_cap",
            Self::Full(full) if matches!(full.party, Party::Number(_)) => "number_cap",
            Self::Full(full) => full.kind.label(),
            Self::Judged(verdict) => verdict,
            Self::LimitUnknown => "limit_unknown",
        }
    }
}

/// How one buyer's turn went: the reason codes of the hunt. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AttemptResult {
    /// The buyer answered.
    Answered,
    /// 401/407 that we could not satisfy.
    BuyerAuth,
    /// 480, 408, or our ring time-out.
    NoAnswer,
    /// 486, 600.
    Busy,
    /// 403, 404, 410, 484, 604 and other 4xx: the buyer does not take what we send.
    BuyerRejected,
    /// 488, 606 and 415.
    MediaMismatch,
    /// It answered, but rtpengine did not.
    MediaFailed,
    /// 603 and other 6xx.
    Declined,
    /// 3xx: redirection is not followed.
    RedirectRefused,
    /// 5xx.
    BuyerError,
    /// No answer at all, or the transport failed.
    Unreachable,
    /// The caller gave up, or the call was ended, while it rang.
    Cancelled,
    /// Another buyer who was called at the same time answered before.
    LostRace,
}

impl AttemptResult {
    /// The stable name, for records, logs and labels.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::BuyerAuth => "buyer_auth",
            Self::NoAnswer => "no_answer",
            Self::Busy => "busy",
            Self::BuyerRejected => "buyer_rejected",
            Self::MediaMismatch => "media_mismatch",
            Self::MediaFailed => "media_failed",
            Self::Declined => "declined",
            Self::RedirectRefused => "redirect_refused",
            Self::BuyerError => "buyer_error",
            Self::Unreachable => "unreachable",
            Self::Cancelled => "cancelled",
            Self::LostRace => "lost_race",
        }
    }
}

/// How a call ended. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Answered, and ended by one side's BYE.
    Completed,
    /// The caller gave up before an answer.
    CallerHungUp,
    /// The Request-URI holds no number.
    NotANumber,
    /// The Request-URI holds the beginning of a number.
    NumberIncomplete,
    /// The number has no campaign.
    NumberUnknown,
    /// The campaign has no buyer to offer it to.
    NoBuyer,
    /// Nobody was tried: the buyers have as many calls as they take.
    AllCapped,
    /// Nobody was tried: all buyers are closed or paused, or the number is.
    AllClosed,
    /// Nobody was tried: no buyer takes such calls or such callers.
    NoMatch,
    /// Nobody was tried: the buyers had this caller before.
    AllDuplicate,
    /// Nobody was tried: nothing that is sent to the buyers is answered.
    AllDown,
    /// The caller is on a list of those who are not let in, or not on one of those who are.
    CallerBlocked,
    /// The number is switched off.
    NumberDisabled,
    /// Every buyer was tried; nobody answered.
    NoAnswer,
    /// Every buyer was tried; all were busy.
    AllBusy,
    /// The caller asked for reliable provisional responses, and never acknowledged one.
    NoPrack,
    /// A vendor that carries the call has not told what came of its leg to a buyer.
    VendorSilent,
    /// Answered, but the caller's ACK never came.
    NoAck,
    /// Answered, then a side stopped answering requests.
    LegLost,
    /// Answered, then a side let its session timer run out (RFC 4028).
    SessionExpired,
    /// Answered, then a side sent no media for too long.
    MediaSilent,
    /// The media could not be set up, or not as it was changed.
    MediaFailed,
    /// No rtpengine took the call's media.
    NoMedia,
    /// Answered, and ended by us because it lasted too long.
    TimeLimit,
    /// Ended by the operator, or by the end of the drain.
    Stopped,
    /// It could not be written down that it was let in.
    Unkept,
    /// We could not build a message we needed.
    Internal,
}

impl Outcome {
    /// The stable name, for records, logs, labels and the Reason header.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::CallerHungUp => "caller_hung_up",
            Self::NotANumber => "not_a_number",
            Self::NumberIncomplete => "number_incomplete",
            Self::NumberUnknown => "number_unknown",
            Self::NoBuyer => "no_buyer",
            Self::AllCapped => "all_capped",
            Self::AllClosed => "all_closed",
            Self::NoMatch => "no_match",
            Self::AllDuplicate => "all_duplicate",
            Self::AllDown => "all_down",
            Self::CallerBlocked => "caller_blocked",
            Self::NumberDisabled => "number_disabled",
            Self::NoAnswer => "no_answer",
            Self::AllBusy => "all_busy",
            Self::NoPrack => "no_prack",
            Self::VendorSilent => "vendor_silent",
            Self::NoAck => "no_ack",
            Self::LegLost => "leg_lost",
            Self::SessionExpired => "session_expired",
            Self::MediaSilent => "media_silent",
            Self::MediaFailed => "media_failed",
            Self::NoMedia => "no_media",
            Self::TimeLimit => "time_limit",
            Self::Stopped => "stopped",
            Self::Unkept => "unkept",
            Self::Internal => "internal",
        }
    }
}

/// Who did it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The carrier's side.
    Caller,
    /// The buyer's side.
    Buyer,
    /// This edge.
    Edge,
}

impl Side {
    /// The stable name.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Buyer => "buyer",
            Self::Edge => "edge",
        }
    }
}

/// The tag that names the leg on which the caller came to Twilio, under which Twilio tells of the call.
pub const VENDOR_LEG: &str = "twilio_call_sid";

/// Why a gateway is passed over that is a telephone: only a vendor can call there.
pub const PHONE_ONLY: &str = "phone_only";
