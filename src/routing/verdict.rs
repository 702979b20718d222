//! What a decision says of one buyer, and why.

use std::borrow::Cow;
use std::sync::Arc;

use crate::routing::buyer::Buyer;
use crate::routing::callers::Barred;
use crate::routing::campaign::Cause;
use crate::routing::caps::CapKind;
use crate::routing::rules::{Group, Rules};
use crate::routing::zone::Local;
use crate::types::condition::Mismatch;
use crate::types::moment::Moment;

/// What a decision says of one buyer. The first reason against it counts, in this order.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// It may be tried.
    Fits,
    /// It was tried already.
    Tried,
    /// It gets no calls for now.
    Paused,
    /// It is not open; what its clock shows.
    Closed(Local),
    /// It does not take this caller.
    Denied(Barred),
    /// It does not take such calls.
    Mismatch(Mismatch),
    /// It had this caller before, then.
    Duplicate(Moment),
    /// It does not take a caller again, and nobody knows whether this one was here before.
    PastUnknown,
    /// The caller goes to the buyer of this id only, who had it before.
    NotOriginal(Arc<str>),
    /// It has as many calls as it takes.
    Full(Reached),
    /// A group of its has as many calls as its members take together.
    GroupFull(Arc<Group>, Reached),
    /// The number dialled has as many calls as it takes.
    NumberFull(Reached),
    /// Nothing that is sent there is answered.
    Down,
}

/// A limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// Which.
    pub kind: CapKind,
    /// How many calls count.
    pub have: u32,
    /// How many may.
    pub cap: u32,
}

impl Verdict {
    /// Whether the buyer may be tried.
    #[must_use]
    pub fn fits(&self) -> bool {
        matches!(self, Self::Fits)
    }

    /// Whether a limit is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(
            self,
            Self::Full(_) | Self::GroupFull(..) | Self::NumberFull(_)
        )
    }

    /// The stable name, for records, logs and labels.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Fits => "fits",
            Self::Tried => "tried",
            Self::Paused => "paused",
            Self::Closed(_) => "closed",
            Self::Denied(_) => "list_denied",
            Self::Mismatch(_) => "tag_mismatch",
            Self::Duplicate(_) => "duplicate",
            Self::PastUnknown => "past_unknown",
            Self::NotOriginal(_) => "not_original",
            Self::Full(reached) => reached.kind.label(),
            Self::GroupFull(..) => "group_cap",
            Self::NumberFull(_) => "number_cap",
            Self::Down => "circuit_open",
        }
    }

    /// What would have had to be, and what was, as people read it; `None`: the label says it all. `buyer` is the one that
    /// the verdict is about.
    #[must_use]
    pub fn want_have<'v>(&'v self, buyer: &'v Buyer) -> Option<(Cow<'v, str>, Cow<'v, str>)> {
        let rules: &Rules = &buyer.rules;
        match self {
            Self::Fits | Self::Tried | Self::Paused | Self::PastUnknown | Self::Down => None,
            Self::Closed(local) => {
                let hours = rules.hours.as_ref()?;
                let now = format!("{local} {}", hours.zone.name());
                Some((hours.hours.text().into(), now.into()))
            }
            Self::Denied(Barred::Suppressed(list)) => Some((
                format!("not on {}", list.id).into(),
                format!("on {}", list.id).into(),
            )),
            Self::Denied(Barred::NotAccepted) => {
                let lists: Vec<_> = rules
                    .callers
                    .accepted
                    .iter()
                    .map(|list| &*list.id)
                    .collect();
                Some((
                    format!("on {}", lists.join(" or ")).into(),
                    "on none".into(),
                ))
            }
            Self::Mismatch(mismatch) => {
                let (key, want) = rules.conditions.want(mismatch);
                Some((format!("{key}:{want}").into(), (&*mismatch.have).into()))
            }
            Self::Duplicate(last) => {
                Some(("another caller".into(), format!("had it {last}").into()))
            }
            Self::NotOriginal(original) => Some(((&**original).into(), (&*buyer.id).into())),
            Self::Full(reached) => Some(reached.want_have("")),
            Self::NumberFull(reached) => {
                Some(reached.want_have(&format!("number {} ", reached.kind.label())))
            }
            Self::GroupFull(group, reached) => {
                Some(reached.want_have(&format!("{} {} ", group.id, reached.kind.label())))
            }
        }
    }

    /// What it says of the call if everybody says so; the greater cause outweighs the others.
    pub(super) fn cause(&self) -> Option<(u8, Cause)> {
        match self {
            Self::Fits => None,
            Self::Full(_) | Self::GroupFull(..) | Self::NumberFull(_) => {
                Some((6, Cause::AllCapped))
            }
            Self::Denied(_) | Self::Mismatch(_) | Self::NotOriginal(_) => Some((5, Cause::NoMatch)),
            Self::Duplicate(_) | Self::PastUnknown => Some((4, Cause::AllDuplicate)),
            Self::Down => Some((3, Cause::AllDown)),
            Self::Tried => Some((2, Cause::NoAnswer)),
            Self::Paused | Self::Closed(_) => Some((1, Cause::AllClosed)),
        }
    }
}

impl Reached {
    fn want_have(self, what: &str) -> (Cow<'static, str>, Cow<'static, str>) {
        let want = format!("{what}below {}", self.cap);
        (want.into(), self.have.to_string().into())
    }
}
