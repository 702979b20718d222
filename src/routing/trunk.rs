//! A trunk: the way by which one carrier sends us calls.

use std::fmt;
use std::sync::Arc;

use crate::media::plan::Sources;
use crate::media::session::{OtherMedia, Srtp, Terms};
use crate::routing::caps::Caps;
use crate::sip::flow::ListenerId;
use crate::sip::rules::HeaderRules;
use crate::types::number::NumberPlan;
use crate::types::range::NumberSet;

/// One trunk, as configured.
pub struct Trunk {
    /// Its id in the configuration.
    pub id: Arc<str>,
    /// The company whose numbers it may dial.
    pub company: CompanyId,
    /// How many calls it may bring.
    pub caps: Caps,
    /// INVITEs that it may leave open, on each shard; `None`: no bound.
    pub half_open: Option<u32>,
    /// How its numbers are read.
    pub plan: NumberPlan,
    /// Which headers pass from it and to it.
    pub headers: HeaderRules,
    /// How it knows us, where that is not what the listener advertises.
    pub advertise: Advertise,
    /// What its callers may do with REFER.
    pub refer: Refer,
    /// What becomes of its media.
    pub media: MediaTerms,
    /// Whether its P-Asserted-Identity is believed.
    pub is_trusted: bool,
    /// The only numbers that its callers may have; `None`: any.
    pub caller_ids: Option<NumberSet>,
    /// Where it is known by Twilio's addresses: the accounts that are let in.
    pub twilio_accounts: Vec<Box<str>>,
    /// What becomes of tickets that its calls show.
    pub tickets: Tickets,
    /// Final status of its own for an outcome (`number_unknown`, `all_busy`, ...), by label.
    pub answers: Vec<(Box<str>, u16)>,
}

impl Trunk {
    /// A trunk of which nothing else is said: what the configuration leaves out is the default.
    #[must_use]
    pub fn new(id: &str, company: CompanyId) -> Self {
        Self {
            id: id.into(),
            company,
            caps: Caps::default(),
            half_open: None,
            plan: NumberPlan {
                country: "1".into(),
                tech_prefix: None,
                assume_e164: false,
            },
            headers: HeaderRules::default(),
            refer: Refer::default(),
            advertise: Advertise::default(),
            is_trusted: false,
            media: MediaTerms::default(),
            caller_ids: None,
            twilio_accounts: Vec::new(),
            tickets: Tickets::default(),
            answers: Vec::new(),
        }
    }
}

impl fmt::Debug for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trunk").field(&self.id).finish()
    }
}

/// Addresses of ours, by listener: `host:port`, as Via and Contact show them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertise(Box<[Option<Box<str>>]>);

impl Advertise {
    /// Whether there are any.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.iter().any(Option::is_some)
    }

    /// The one for what comes to a listener; `None`: that which the listener itself advertises.
    #[must_use]
    pub fn at(&self, listener: ListenerId) -> Option<&str> {
        self.0.get(usize::from(listener.0))?.as_deref()
    }
}

impl FromIterator<Option<Box<str>>> for Advertise {
    /// One for each listener, in the order of their ids.
    fn from_iter<T: IntoIterator<Item = Option<Box<str>>>>(addresses: T) -> Self {
        Self(addresses.into_iter().collect())
    }
}

/// What becomes of tickets: what our own HTTP side gives to a call that it sends here by way of a carrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tickets {
    /// Nobody looks for them.
    #[default]
    Ignored,
    /// A call that shows one is the call that it speaks of.
    Taken,
    /// And there is no other call.
    Required,
}

/// What becomes of a REFER (RFC 3515) within a call. Who may call whom is decided by the directory alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Refer {
    /// 603.
    #[default]
    Refuse,
    /// The other side of the call gets it, and decides.
    Relay,
    /// We carry it out, if it points to a number that has a campaign of the trunk's company.
    Terminate,
}

/// Which way media goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Plane {
    /// From one party to the other.
    Direct,
    /// Through our own relay.
    Relay,
    /// Through an rtpengine.
    Rtpengine,
}

/// What becomes of the media of a trunk's or a buyer's calls.
#[derive(Debug, Clone)]
pub struct MediaTerms {
    /// Which way it goes. Of what its two sides say, the greater counts for a call.
    pub plane: Plane,
    /// What is agreed with this side.
    pub terms: Terms,
}

impl Default for MediaTerms {
    /// It goes directly.
    fn default() -> Self {
        Self {
            plane: Plane::Direct,
            terms: Terms {
                codecs: None,
                other_media: OtherMedia::default(),
                srtp: Srtp::default(),
                sources: Sources::Announced,
                is_shared: false,
                is_ipv6: false,
            },
        }
    }
}

/// Place of a company in [`Directory::companies`](crate::routing::directory::Directory).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CompanyId(pub u16);
