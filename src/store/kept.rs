//! What the store tells: each of it a copy, so that nobody holds a transaction open.

use crate::store::code::from_slice;
use crate::store::entry::{
    Admitted, Answered, Class, Conversion, Delivery, DeliveryId, Said, Tagged,
};
use crate::store::tables::{DeliveryRow, OpenRow};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// A call that was admitted and has no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCall {
    pub(super) admitted: Box<[u8]>,
    pub(super) answered: Option<Box<[u8]>>,
    pub(super) tagged: Option<Box<[u8]>>,
}

impl OpenCall {
    pub(super) fn of(row: &OpenRow<'_>) -> Self {
        Self {
            admitted: row.admitted.into(),
            answered: row.answered.map(Into::into),
            tagged: row.tagged.map(Into::into),
        }
    }

    /// How it was admitted; `None`: the row cannot be read.
    #[must_use]
    pub fn admitted(&self) -> Option<Admitted<'_>> {
        from_slice(&self.admitted)
    }

    /// How it was answered; `None`: it was not.
    #[must_use]
    pub fn answered(&self) -> Option<Answered<'_>> {
        from_slice(self.answered.as_deref()?)
    }

    /// What was known of it; `None`: nothing.
    #[must_use]
    pub fn tagged(&self) -> Option<Tagged<'_>> {
        from_slice(self.tagged.as_deref()?)
    }
}

/// Something that is remembered under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The name.
    pub key: Box<str>,
    /// What it is.
    pub value: Box<[u8]>,
    /// When it is forgotten.
    pub until: Moment,
}

/// What is known of a caller before the call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// Keys and values that wait for it.
    pub tags: Vec<(Box<str>, Box<str>)>,
    /// Its calls that have ended, the latest first.
    pub earlier: Vec<Earlier>,
    /// When the latest of those ended that are left out because there are too many; `None`: none is.
    pub left_out: Option<Moment>,
}

/// A call that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Which.
    pub uuid: CallUuid,
    /// When it ended.
    pub at: Moment,
    /// The number dialled.
    pub number: Box<str>,
    /// The campaign's id.
    pub campaign: Box<str>,
    /// The publisher's id.
    pub afid: Option<Box<str>>,
    /// The buyer who answered; `None`: nobody did.
    pub buyer: Option<Box<str>>,
    /// When.
    pub answered: Option<Moment>,
    /// Webhooks that do not fire again for a while: their ids, and when they fired.
    pub fired: Vec<(Box<str>, Moment)>,
    /// How it converted; `None`: nothing is decided.
    pub conversion: Option<KeptConversion>,
}

/// How a call converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptConversion {
    /// When it was decided.
    pub at: Moment,
    /// The conversion group's id.
    pub group: Box<str>,
    /// Whether it converted.
    pub is_converted: bool,
    /// What the publisher gets, decimal.
    pub payout: Option<Box<str>>,
    /// What the buyer pays, decimal.
    pub revenue: Option<Box<str>>,
    /// Whether the publisher gets nothing, as it had this caller before, whatever is said later.
    pub is_payout_duplicate: bool,
    /// Whether the buyer pays nothing, for the same reason.
    pub is_revenue_duplicate: bool,
}

impl Conversion<'_> {
    /// None, in no group, as nobody can tell any more.
    #[must_use]
    pub fn none(at: Moment) -> Self {
        Self {
            at,
            group: "",
            is_converted: false,
            payout: None,
            revenue: None,
            is_payout_duplicate: false,
            is_revenue_duplicate: false,
        }
    }
}

impl From<Conversion<'_>> for KeptConversion {
    fn from(conversion: Conversion<'_>) -> Self {
        Self {
            at: conversion.at,
            group: conversion.group.into(),
            is_converted: conversion.is_converted,
            payout: conversion.payout.map(Into::into),
            revenue: conversion.revenue.map(Into::into),
            is_payout_duplicate: conversion.is_payout_duplicate,
            is_revenue_duplicate: conversion.is_revenue_duplicate,
        }
    }
}

/// A call that is over, for whoever has something to say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// Which.
    pub uuid: CallUuid,
    /// When it ended.
    pub ended: Moment,
    /// Whether it is open how it converted.
    pub stage: LateStage,
    /// Its record: its line; `None`: its file is gone.
    pub line: Option<Box<str>>,
    /// How many postbacks have come.
    pub posts: u32,
    /// Keys and values that they brought.
    pub tags: Vec<(Box<str>, Box<str>)>,
    /// What they have said of the conversion.
    pub said: KeptSaid,
}

/// Whether it is open how a call converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LateStage {
    /// Nothing is found out yet.
    Undetermined,
    /// A postback is waited for, by this conversion group.
    Awaited(Box<str>),
    /// It is settled; `None`: there was nothing to decide.
    Settled(Option<KeptConversion>),
}

/// What postbacks have said of a conversion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptSaid {
    /// Whether there is one; `None`: nothing is said.
    pub is_converted: Option<bool>,
    /// What the publisher gets, decimal.
    pub payout: Option<Box<str>>,
    /// What the buyer pays, decimal.
    pub revenue: Option<Box<str>>,
}

impl From<Said<'_>> for KeptSaid {
    fn from(said: Said<'_>) -> Self {
        Self {
            is_converted: said.is_converted,
            payout: said.payout.map(Into::into),
            revenue: said.revenue.map(Into::into),
        }
    }
}

/// A tag that waits for a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptTag {
    /// Its key.
    pub key: Box<str>,
    /// Its value.
    pub value: Box<str>,
    /// When it is forgotten if no call comes.
    pub until: Moment,
}

/// How much was counted in a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Whose count.
    pub party: Box<str>,
    /// Which window.
    pub window: Box<str>,
    /// How much.
    pub count: u64,
    /// When nobody asks for it any more.
    pub until: Moment,
}

/// A delivery, with all that it takes to make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parcel {
    /// Which.
    pub id: DeliveryId,
    /// The call that it is of.
    pub call: CallUuid,
    /// When it was made.
    pub made: Moment,
    /// When it was to be tried; of one that was given up, when that was.
    pub due: Moment,
    /// Attempts so far.
    pub tries: u8,
    /// Why the last one failed; empty: there was none.
    pub why: Box<str>,
    /// The webhook's id.
    pub hook: Box<str>,
    /// See [`Delivery::phase`].
    pub phase: u8,
    /// How it is sent.
    pub class: Class,
    /// See [`Delivery::is_idempotent`].
    pub is_idempotent: bool,
    /// `GET`, `POST`.
    pub method: Box<str>,
    /// May hold a key: it is shown to nobody.
    pub url: Box<str>,
    /// Name and value.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// May be empty.
    pub body: Box<[u8]>,
}

impl Parcel {
    pub(super) fn of(id: DeliveryId, row: &DeliveryRow<'_>) -> Self {
        let Delivery {
            hook,
            phase,
            class,
            is_idempotent,
            method,
            url,
            headers,
            body,
            ..
        } = &row.delivery;
        let pair = |(name, value): (&str, &str)| (name.into(), value.into());
        Self {
            id,
            call: row.call,
            made: row.made,
            due: row.due,
            tries: row.tries,
            why: row.why.into(),
            hook: (*hook).into(),
            phase: *phase,
            class: *class,
            is_idempotent: *is_idempotent,
            method: (*method).into(),
            url: (*url).into(),
            headers: headers
                .iter()
                .map(|header| pair((header.name, header.value)))
                .collect(),
            body: (*body).into(),
        }
    }

    /// What the receiver tells one delivery from another by; the same at each attempt.
    #[must_use]
    pub fn key(&self) -> String {
        format!("{}-{}", self.call, self.id.0)
    }
}
