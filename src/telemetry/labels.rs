//! The values that labels have, where they are known beforehand: those show from the start, with 0.

use crate::call::output::Refusal;
use crate::call::record::{AttemptResult, Outcome};

/// The methods that have a label of their own; the rest is `other`.
pub(super) const METHODS: &[&str] = &[
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "REGISTER",
    "PRACK",
    "UPDATE",
    "INFO",
    "MESSAGE",
    "REFER",
    "NOTIFY",
    "SUBSCRIBE",
    "PUBLISH",
    "other",
];

/// The classes of the status codes, 1 to 6.
pub(super) const CLASSES: &[&str] = &["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"];

pub(super) const REFUSALS: &[Refusal] = &[
    Refusal::UnknownDomain,
    Refusal::UnknownAddress,
    Refusal::UnknownCertificate,
    Refusal::NoCredentials,
    Refusal::BadCredentials,
    Refusal::WrongPassword,
    Refusal::StaleNonce,
    Refusal::ForgedNonce,
    Refusal::Replayed,
    Refusal::Locked,
    Refusal::TrunkMismatch,
    Refusal::TwilioAccount,
    Refusal::TooManyHops,
    Refusal::Privacy,
    Refusal::ReferTarget,
    Refusal::Replaces,
    Refusal::SessionInterval,
    Refusal::Loop,
    Refusal::Merged,
    Refusal::BadExtension,
    Refusal::BadScheme,
    Refusal::Method,
    Refusal::NoDialog,
    Refusal::OldCSeq,
    Refusal::Draining,
    Refusal::Unkept,
    Refusal::Overload,
    Refusal::Shed,
    Refusal::Internal,
    Refusal::TrunkCalls,
    Refusal::TrunkCps,
    Refusal::LimitUnknown,
    Refusal::HalfOpen,
    Refusal::TrunkHalfOpen,
];

pub(super) const OUTCOMES: &[Outcome] = &[
    Outcome::Completed,
    Outcome::CallerHungUp,
    Outcome::NotANumber,
    Outcome::NumberIncomplete,
    Outcome::NumberUnknown,
    Outcome::NoBuyer,
    Outcome::AllCapped,
    Outcome::AllClosed,
    Outcome::NoMatch,
    Outcome::AllDuplicate,
    Outcome::AllDown,
    Outcome::CallerBlocked,
    Outcome::NumberDisabled,
    Outcome::NoAnswer,
    Outcome::AllBusy,
    Outcome::NoPrack,
    Outcome::VendorSilent,
    Outcome::NoAck,
    Outcome::LegLost,
    Outcome::SessionExpired,
    Outcome::MediaSilent,
    Outcome::MediaFailed,
    Outcome::NoMedia,
    Outcome::TimeLimit,
    Outcome::Stopped,
    Outcome::Unkept,
    Outcome::Internal,
];

pub(super) const RESULTS: &[AttemptResult] = &[
    AttemptResult::Answered,
    AttemptResult::BuyerAuth,
    AttemptResult::NoAnswer,
    AttemptResult::Busy,
    AttemptResult::BuyerRejected,
    AttemptResult::MediaMismatch,
    AttemptResult::MediaFailed,
    AttemptResult::Declined,
    AttemptResult::RedirectRefused,
    AttemptResult::BuyerError,
    AttemptResult::Unreachable,
    AttemptResult::Cancelled,
    AttemptResult::LostRace,
];

/// Why a buyer, or a gateway of it, was passed over.
pub(super) const SKIP_REASONS: &[&str] = &[
    "gateway_down",
    "limit_unknown",
    "concurrency",
    "cps",
    "cap_hour",
    "cap_day",
    "cap_month",
    "cap_total",
    "group_cap",
    "number_cap",
    "paused",
    "closed",
    "list_denied",
    "tag_mismatch",
    "forward_mismatch",
    "duplicate",
    "past_unknown",
    "not_original",
    "tried",
    "circuit_open",
    "phone_only",
];

/// How questions for what is remembered of a caller went.
pub(super) const RECALLED: &[&str] = &["new", "known", "late", "busy", "failed", "many"];

/// Why a session description could not be taken to the other side.
pub(super) const UNFIT: &[&str] = &[
    "unreadable_body",
    "sdp_address",
    "sdp_too_big",
    "sdp_malformed",
    "no_media_port",
    "no_address_family",
    "no_offer",
    "sdp_lines",
    "sdp_mismatch",
    "media_refused",
    "no_codec",
    "srtp_refused",
    "srtp_required",
    "srtp_keys",
    "srtp_downgrade",
    "not_as_told",
    "media_busy",
    "rtpengine_silent",
    "rtpengine_unreachable",
    "rtpengine_nowhere",
    "rtpengine_busy",
    "rtpengine_full",
    "rtpengine_refused",
    "rtpengine_unclear",
];

/// What has become of a gateway.
pub(super) const GATEWAY_STATES: &[&str] = &["down", "up"];

pub(super) const TABLES: &[&str] = &["transactions", "calls", "media_ports", "waiting_room"];

/// Why a datagram was not sent: the socket was blocked, the system refused.
pub(super) const UNSENT: &[&str] = &["blocked", "refused"];

/// Why a datagram was not read.
pub(super) const UNREAD_WHY: &[&str] = &["banned", "rate", "budget", "stale", "strained", "shed"];

pub(super) const FORWARDED: &[&str] = &["handed", "dropped"];
