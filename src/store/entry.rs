//! What is written down: one entry for each thing that has happened and must not be forgotten.
//!
//! ```text
//!   a call     Admitted ── Answered ── Ended          in this order, of one call
//!                 └── Counted, Queued, Posted, Tagged  any number, at any time
//!                        Awaited ──┴── Converted       what is open when it ends, and what comes of that
//!   a delivery Queued or Ended ── Delivered ... Delivered(Done | Dead) ── Revived ... | Dropped
//!   a caller   Stored ── Used,  Remembered              what a call that is over has come to
//!   an account see `accounts`
//! ```
//!
//! Texts are borrowed: an entry is made, written and gone. What the store does not look into itself is in
//! `note`, which comes back as it was given.

use thiserror::Error;

use crate::store::code::{Code, Input, coded, coded_kinds, from_slice};
use crate::store::list::List;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

pub use crate::store::accounts::{Bound, Connected, Listed, Spot};
pub use crate::store::known::{KnownTag, Tagged};
pub use crate::store::late::{Awaited, Posted, Said};
pub use crate::store::waiting::{Stored, StoredTag, Used, WaitingTag};

/// One thing that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A call was let in. From here on there will be a record of it.
    Admitted(Admitted<'a>),
    /// A buyer answered.
    Answered(Answered<'a>),
    /// Something was counted that is neither an answer nor an end: an attempt.
    Counted(Counted<'a>),
    /// A call is over: its record, and what is to be delivered because of it.
    Ended(Ended<'a>),
    /// More is to be delivered because of a call.
    Queued(Queued<'a>),
    /// A delivery was attempted.
    Delivered(Delivered<'a>),
    /// A delivery that was given up is to be tried again.
    Revived(Revived),
    /// A delivery that was given up is not to be remembered any longer.
    Dropped(DeliveryId),
    /// What has been said of a call that goes on, in place of what was.
    Tagged(Tagged<'a>),
    /// Tags wait for a caller's next call.
    Stored(Stored<'a>),
    /// Tags that waited for a caller went to a call.
    Used(Used<'a>),
    /// Later calls of the caller are to know more of a call that is over.
    Remembered(Remembered<'a>),
    /// A call converted, or did not, after its end.
    Converted(Converted<'a>),
    /// A window starts again at zero.
    Reset(Reset<'a>),
    /// Something that counts once was used.
    Spent(Spent<'a>),
    /// Somebody who may has said something of a call.
    Posted(Posted<'a>),
    /// A call is over, or about to be, and it is still open whether it converted.
    Awaited(Awaited<'a>),
    /// Something is to be remembered under a name, in place of what was.
    Noted(Noted<'a>),
    /// What was remembered under a name is to be forgotten.
    Erased(Erased<'a>),
    /// A soft phone is there, until some time.
    Bound(Bound<'a>),
    /// A soft phone is gone.
    Unbound(Spot<'a>),
    /// An org has said with which credentials its vendor is asked.
    Connected(Connected<'a>),
    /// An org has a number, and what becomes of its calls.
    Listed(Listed<'a>),
}

// 4 was an end that did not say what it counts against; 9 said that all tags which waited for a caller were used.
coded_kinds!(Entry<'a> {
    1 => Admitted(entry),
    2 => Answered(entry),
    3 => Counted(entry),
    5 => Queued(entry),
    6 => Delivered(entry),
    7 => Revived(entry),
    8 => Stored(entry),
    10 => Converted(entry),
    11 => Reset(entry),
    12 => Spent(entry),
    13 => Noted(entry),
    14 => Erased(entry),
    20 => Bound(entry),
    21 => Unbound(entry),
    22 => Connected(entry),
    23 => Listed(entry),
    30 => Posted(entry),
    31 => Awaited(entry),
    40 => Dropped(entry),
    41 => Tagged(entry),
    42 => Used(entry),
    43 => Ended(entry),
    44 => Remembered(entry),
});

/// See [`Entry::Admitted`]. All that a record needs if the edge does not live to write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted<'a> {
    /// The call.
    pub uuid: CallUuid,
    /// When the INVITE came.
    pub at: Moment,
    /// Generation of the configuration.
    pub generation: u64,
    /// The trunk's id.
    pub trunk: &'a str,
    /// The digest user.
    pub user: Option<&'a str>,
    /// The company's id.
    pub company: Option<&'a str>,
    /// The campaign's id.
    pub campaign: Option<&'a str>,
    /// The publisher's id (AFID).
    pub afid: Option<&'a str>,
    /// The sub id (SID).
    pub sid: Option<&'a str>,
    /// The number dialled.
    pub dialled: Option<&'a str>,
    /// The caller's number.
    pub caller: Option<&'a str>,
    /// Call-ID of the carrier's leg, as received.
    pub call_id: &'a [u8],
    /// What the engine wants back besides: its tags, for one.
    pub note: &'a [u8],
}

coded!(Admitted<'a> {
    uuid, at, generation, trunk, user, company, campaign, afid, sid, dialled, caller, call_id, note,
});

/// See [`Entry::Answered`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered<'a> {
    /// The call.
    pub uuid: CallUuid,
    /// When.
    pub at: Moment,
    /// The buyer's id.
    pub buyer: &'a str,
    /// What it counts against.
    pub claims: List<'a, Claim<'a>>,
    /// What the engine wants back besides.
    pub note: &'a [u8],
}

coded!(Answered<'a> { uuid, at, buyer, claims, note });

/// Something that is counted in a window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Whose count it is: a buyer's, a group's, a number's.
    pub party: &'a str,
    /// Which hour, day or month; the same window has the same name after a restart.
    pub window: &'a str,
    /// When nobody asks for it any more; at the end of time for a total.
    pub until: Moment,
    /// How much is added.
    pub count: u32,
}

coded!(Claim<'a> { party, window, until, count });

/// See [`Entry::Counted`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted<'a> {
    /// The call that it is counted for.
    pub uuid: CallUuid,
    /// What it counts against.
    pub claims: List<'a, Claim<'a>>,
}

coded!(Counted<'a> { uuid, claims });

/// See [`Entry::Ended`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended<'a> {
    /// The call.
    pub uuid: CallUuid,
    /// When.
    pub at: Moment,
    /// The record: one line of JSON, without the line feed.
    pub line: &'a str,
    /// What later calls of the caller want to know; `None`: the caller is not known.
    pub past: Option<Past<'a>>,
    /// How it converted; `None`: not decided, or there is nothing to decide.
    pub conversion: Option<Conversion<'a>>,
    /// What its conversion counts against.
    pub claims: List<'a, Claim<'a>>,
    /// What is to be delivered because it ended, in order.
    pub deliveries: List<'a, Delivery<'a>>,
}

coded!(Ended<'a> { uuid, at, line, past, conversion, claims, deliveries });

/// What a caller's later calls want to know of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past<'a> {
    /// The company's id: another company's calls are nobody's business.
    pub company: &'a str,
    /// The caller's number.
    pub caller: &'a str,
    /// The number dialled.
    pub number: &'a str,
    /// The campaign's id.
    pub campaign: &'a str,
    /// The publisher's id (AFID).
    pub afid: Option<&'a str>,
    /// The buyer who answered; `None`: nobody did.
    pub buyer: Option<&'a str>,
    /// When.
    pub answered: Option<Moment>,
    /// Webhooks that do not fire again for this caller for a while.
    pub fired: List<'a, Fired<'a>>,
}

coded!(Past<'a> { company, caller, number, campaign, afid, buyer, answered, fired });

/// See [`Entry::Remembered`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered<'a> {
    /// The call.
    pub uuid: CallUuid,
    /// When it ended.
    pub ended: Moment,
    /// What it was; its webhooks are added to those that are known.
    pub past: Past<'a>,
}

coded!(Remembered<'a> { uuid, ended, past });

/// A webhook that has fired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fired<'a> {
    /// The webhook's id.
    pub hook: &'a str,
    /// When.
    pub at: Moment,
}

coded!(Fired<'a> { hook, at });

/// What a conversion group says of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion<'a> {
    /// When it was decided.
    pub at: Moment,
    /// The conversion group's id.
    pub group: &'a str,
    /// Whether it converted.
    pub is_converted: bool,
    /// What the publisher gets: decimal, `None`: nothing is said.
    pub payout: Option<&'a str>,
    /// What the buyer pays: decimal, `None`: nothing is said.
    pub revenue: Option<&'a str>,
    /// Whether the publisher gets nothing, as it had this caller before, whatever is said later.
    pub is_payout_duplicate: bool,
    /// Whether the buyer pays nothing, for the same reason.
    pub is_revenue_duplicate: bool,
}

coded!(Conversion<'a> { at, group, is_converted, payout, revenue, is_payout_duplicate, is_revenue_duplicate });

/// See [`Entry::Converted`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted<'a> {
    /// The call.
    pub uuid: CallUuid,
    /// How.
    pub conversion: Conversion<'a>,
    /// What it counts against.
    pub claims: List<'a, Claim<'a>>,
    /// What is to be delivered because of it, in order.
    pub deliveries: List<'a, Delivery<'a>>,
}

coded!(Converted<'a> { uuid, conversion, claims, deliveries });

/// See [`Entry::Queued`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued<'a> {
    /// The call that they are of.
    pub call: CallUuid,
    /// When they were made.
    pub at: Moment,
    /// In order.
    pub deliveries: List<'a, Delivery<'a>>,
}

coded!(Queued<'a> { call, at, deliveries });

/// An HTTP request that must arrive. Those of one call go out one after another: by phase, then in the order in which they
/// were written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The webhook's id, for logs and metrics.
    pub hook: &'a str,
    /// Those of a later phase wait until all earlier ones are done or given up.
    pub phase: u8,
    /// How it is sent.
    pub class: Class,
    /// Not before this.
    pub not_before: Moment,
    /// Whether it may be sent again when nobody knows if it came through.
    pub is_idempotent: bool,
    /// `GET`, `POST`.
    pub method: &'a str,
    /// With everything filled in; may hold a key, so it is shown to nobody.
    pub url: &'a str,
    /// Name and value.
    pub headers: List<'a, Header<'a>>,
    /// May be empty.
    pub body: &'a [u8],
}

coded!(Delivery<'a> { hook, phase, class, not_before, is_idempotent, method, url, headers, body });

/// A header field of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: &'a str,
}

coded!(Header<'a> { name, value });

/// How a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// As a program asks a program; nobody said how.
    Ping,
    /// As a browser follows a link, with the cookies of the call; nobody said how.
    Browser,
    /// As a browser does, within what its webhook says.
    Said(Terms),
}

coded_kinds!(Class { 0 => Ping, 1 => Browser, 2 => Said(terms) });

/// What a webhook says of how it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// How long one attempt may take, in milliseconds, redirects and answer included.
    pub limit: u32,
    /// Redirects that are followed.
    pub redirects: u8,
}

coded!(Terms { limit, redirects });

/// Names one delivery. They are given out in order and never twice within one data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(pub u64);

impl Code<'_> for DeliveryId {
    fn write(&self, out: &mut Vec<u8>) {
        self.0.write(out);
    }

    fn read(input: &mut Input<'_>) -> Option<Self> {
        u64::read(input).map(Self)
    }
}

/// See [`Entry::Delivered`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivered<'a> {
    /// Which.
    pub id: DeliveryId,
    /// When it was known.
    pub at: Moment,
    /// How it went.
    pub outcome: Outcome<'a>,
}

coded!(Delivered<'a> { id, at, outcome });

/// How an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It is there.
    Done,
    /// It is not, or may not be, and another attempt may help: says why not. After the last attempt it is given up.
    Again(&'a str),
    /// No further attempt would help: says why.
    Never(&'a str),
}

coded_kinds!(Outcome<'a> { 0 => Done, 1 => Again(why), 2 => Never(why) });

/// See [`Entry::Revived`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revived {
    /// Which.
    pub id: DeliveryId,
    /// When; it is due at once, with all its attempts before it.
    pub at: Moment,
}

coded!(Revived { id, at });

/// See [`Entry::Reset`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset<'a> {
    /// Whose count.
    pub party: &'a str,
    /// Which.
    pub window: &'a str,
}

coded!(Reset<'a> { party, window });

/// See [`Entry::Spent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent<'a> {
    /// What kind of thing.
    pub realm: &'a str,
    /// Its name.
    pub token: &'a str,
    /// When it would not be taken any more in any case.
    pub until: Moment,
}

coded!(Spent<'a> { realm, token, until });

/// See [`Entry::Noted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Noted<'a> {
    /// What kind of thing.
    pub realm: &'a str,
    /// Its name.
    pub key: &'a str,
    /// When it is forgotten; at the end of time for what stays.
    pub until: Moment,
    /// What is remembered: whoever wrote it knows what it means.
    pub value: &'a [u8],
}

coded!(Noted<'a> { realm, key, until, value });

/// See [`Entry::Erased`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erased<'a> {
    /// What kind of thing.
    pub realm: &'a str,
    /// Its name.
    pub key: &'a str,
}

coded!(Erased<'a> { realm, key });

/// Bytes that are no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not an entry that this version knows")]
pub struct NotAnEntry;

impl<'a> Entry<'a> {
    /// Appends the entry to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.write(out);
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// When `bytes` are anything else.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, NotAnEntry> {
        from_slice(bytes).ok_or(NotAnEntry)
    }
}

#[cfg(test)]
mod tests;
