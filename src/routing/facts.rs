//! What is known of one call: before it is decided ([`Facts`]), and what comes to be known later ([`Progress`]). Conditions and
//! replacement tokens ask both by name.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use crate::routing::book::Claim;
use crate::routing::campaign::Campaign;
use crate::routing::caps::Quota;
use crate::routing::directory::Source;
use crate::routing::rules::After;
use crate::types::geo;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::number::Number;
use crate::types::secret::Secret;
use crate::types::tag::{CALLER_ZIP, GEO, Lookup, REPEAT, Tags};

/// What is known of a call when it is decided.
#[derive(Clone)]
pub struct Facts {
    /// The call; the seed of its order by weight.
    pub uuid: CallUuid,
    /// What lets others write to the call, as text; `None`: not made, as nobody asked.
    pub key: Option<Secret>,
    /// The id of the company.
    pub company: Arc<str>,
    /// The campaign of the number dialled.
    pub campaign: Arc<Campaign>,
    /// Who sent the caller.
    pub source: Source,
    /// The id of the trunk by which it came.
    pub trunk: Arc<str>,
    /// The number dialled.
    pub dialled: Number,
    /// How many calls that takes; `None`: any.
    pub quota: Option<Arc<Quota>>,
    /// The caller's number; `None` if it is withheld.
    pub caller: Option<Number>,
    /// What was said of it: by the number dialled, stored data, webhooks, postbacks. Not what its area code says.
    pub tags: Tags,
    /// When it came.
    pub began: Moment,
    /// The ids of the buyers that were tried, the one whose turn it is included.
    pub tried: Vec<Arc<str>>,
    /// Earlier calls of this caller.
    pub past: Past,
    /// The name of this node.
    pub node: Arc<str>,
    /// The generation of the configuration.
    pub generation: u64,
}

/// Earlier calls of a caller. Bounded by whoever looks them up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Past {
    /// Those that are known, in any order.
    pub calls: Vec<PastCall>,
    /// What else of it is remembered: which lists it came onto, as their marks, and when.
    pub marks: Vec<(Arc<str>, Moment)>,
    /// There may be others: whoever keeps them was asked, and has not answered.
    pub is_unknown: bool,
}

/// One earlier call that a buyer answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastCall {
    /// The id of the campaign.
    pub campaign: Arc<str>,
    /// The id of the buyer.
    pub buyer: Arc<str>,
    /// When it was answered.
    pub answered: Moment,
    /// When it converted, if it did.
    pub converted: Option<Moment>,
}

impl PastCall {
    /// When it became a call that counts.
    #[must_use]
    pub fn at(&self, after: After) -> Option<Moment> {
        match after {
            After::Answer => Some(self.answered),
            After::Conversion => self.converted,
        }
    }
}

impl Past {
    /// The last call that counts, of those that `is_meant` picks, and when it came to count, if that is within a time.
    pub fn last(
        &self,
        now: Moment,
        within: Duration,
        after: After,
        is_meant: impl Fn(&PastCall) -> bool,
    ) -> Option<(&PastCall, Moment)> {
        let calls = self.calls.iter().filter(|call| is_meant(call));
        calls
            .filter_map(|call| Some((call, call.at(after)?)))
            .filter(|(_, at)| now.since(*at) < within)
            .max_by_key(|(_, at)| *at)
    }
}

/// What comes to be known of a call later.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The id of the buyer that was chosen.
    pub buyer: Option<Arc<str>>,
    /// What it is called.
    pub buyer_name: Option<Arc<str>>,
    /// Where it is called: a number, or the user and host of a URI.
    pub buyer_number: Option<Box<str>>,
    /// How far the call is.
    pub status: Option<&'static str>,
    /// How it ended.
    pub reason: Option<Arc<str>>,
    /// When it was answered.
    pub answered: Option<Moment>,
    /// When it ended.
    pub ended: Option<Moment>,
    /// From the answer to the end.
    pub duration: Option<Duration>,
    /// From the beginning to the end.
    pub total: Option<Duration>,
    /// How long it rang.
    pub ringing: Option<Duration>,
    /// How long it was on hold.
    pub held: Option<Duration>,
    /// Who hung up.
    pub hung_up_by: Option<&'static str>,
    /// The last status that a buyer or we gave.
    pub sip_code: Option<u16>,
    /// Whether it converted.
    pub converted: Option<bool>,
    /// What the publisher gets, as a decimal number.
    pub payout: Option<Box<str>>,
    /// What the buyer pays, as a decimal number.
    pub revenue: Option<Box<str>>,
    /// After how many seconds it converted.
    pub conversion_seconds: Option<u32>,
    /// Whether the buyer paid for this caller before.
    pub duplicate: Option<bool>,
}

/// Both together.
#[derive(Clone, Copy)]
pub struct Seen<'c> {
    /// What was known from the beginning.
    pub facts: &'c Facts,
    /// What is known since.
    pub progress: &'c Progress,
}

impl Lookup for Facts {
    fn look_up(&self, name: &str, found: &mut dyn FnMut(&str)) {
        match name {
            "call_uuid" | "call_log_id" => show(self.uuid, found),
            "call_key" => {
                let key = self.key.as_ref().map(Secret::expose);
                if let Some(Ok(key)) = key.map(std::str::from_utf8) {
                    found(key);
                }
            }
            "caller_number" | "caller_id" => show_some(self.caller, found),
            "nanp_caller_number" => show_nanp(self.caller, found),
            "caller_area_code" => {
                show_some(self.caller.and_then(|caller| caller.area_code()), found);
            }
            "caller_country" | "caller_state" => self.place(name, found),
            CALLER_ZIP => self.geo(&mut |value| {
                if let Some(code) = geo::postal_code(value) {
                    show(code.to_ascii_uppercase(), found);
                }
            }),
            GEO => self.geo(found),
            "called_number" | "number" => show(self.dialled, found),
            "nanp_called_number" => show_nanp(Some(self.dialled), found),
            "campaign_id" | "cid" => found(&self.campaign.id),
            "campaign_name" => found(&self.campaign.name),
            "company_id" => found(&self.company),
            "afid" | "affiliate_id" | "publisher_id" => found(&self.source.afid),
            "sid" | "sub_id" => {
                if let Some(sid) = &self.source.sid {
                    found(sid);
                }
            }
            "attempt" => show(self.tried.len(), found),
            "start_time" => show(self.began, found),
            "start_epoch" => show(self.began.seconds(), found),
            "carrier_trunk" => found(&self.trunk),
            "node" => found(&self.node),
            "config_generation" => show(self.generation, found),
            REPEAT => found(if self.is_repeat() { "true" } else { "false" }),
            tag => self.tags.look_up(tag, found),
        }
    }
}

impl Facts {
    /// What the call wants of the number dialled, if that is limited.
    #[must_use]
    pub fn number_claim(&self) -> Option<Claim> {
        let quota = self.quota.as_ref()?;
        Some(Claim::of_number(self.dialled, quota))
    }

    /// Whether this caller was connected by this campaign before.
    #[must_use]
    pub fn is_repeat(&self) -> bool {
        let calls = &self.past.calls;
        calls.iter().any(|call| call.campaign == self.campaign.id)
    }

    /// Calls `found` with each place that the caller is in: what was said, and what its area code says where nothing was.
    pub fn geo(&self, found: &mut dyn FnMut(&str)) {
        let area = self.caller.and_then(geo::Area::of);
        let mut said = self.tags.values(GEO).peekable();
        match (said.peek(), area) {
            (None, Some(area)) => area.each(found),
            (Some(first), Some(area)) if !geo::is_area(first) => {
                found(area.code());
                said.for_each(found);
            }
            (Some(_), _) => said.for_each(found),
            (None, None) => {}
        }
    }

    fn place(&self, name: &str, found: &mut dyn FnMut(&str)) {
        let is_country = name == "caller_country";
        let mut is_told = false;
        self.geo(&mut |value| {
            let part = if is_country {
                (value.len() == 2).then_some(value)
            } else {
                geo::region(value)
            };
            if let Some(part) = part.filter(|_| !is_told) {
                is_told = true;
                show(part.to_ascii_uppercase(), found);
            }
        });
    }
}

impl Lookup for Progress {
    fn look_up(&self, name: &str, found: &mut dyn FnMut(&str)) {
        match name {
            "buyer_id" | "tid" | "system_buyer_id" | "system_target_id" => {
                tell(self.buyer.as_deref(), found);
            }
            "buyer_name" => tell(self.buyer_name.as_deref(), found),
            "buyer_number" => tell(self.buyer_number.as_deref(), found),
            "call_status" => tell(self.status, found),
            "reason" => tell(self.reason.as_deref(), found),
            "answer_time" => show_some(self.answered, found),
            "end_time" => show_some(self.ended, found),
            "call_duration" => show_some(seconds(self.duration), found),
            "total_duration" => show_some(seconds(self.total), found),
            "ring_duration" => show_some(seconds(self.ringing), found),
            "hold_duration" => show_some(seconds(self.held), found),
            "hung_up_by" => tell(self.hung_up_by, found),
            "sip_code" => show_some(self.sip_code, found),
            "converted" => show_some(self.converted, found),
            "payout" => tell(self.payout.as_deref(), found),
            "revenue" => tell(self.revenue.as_deref(), found),
            "conversion_seconds" => show_some(self.conversion_seconds, found),
            "duplicate" => show_some(self.duplicate, found),
            // Whatever else there is is known from the beginning, or a tag.
            _ => {}
        }
    }
}

impl Lookup for Seen<'_> {
    fn look_up(&self, name: &str, found: &mut dyn FnMut(&str)) {
        self.progress.look_up(name, found);
        // No name is known to both: those of the progress are reserved.
        self.facts.look_up(name, found);
    }
}

fn seconds(time: Option<Duration>) -> Option<u64> {
    time.map(|time| time.as_secs())
}

fn tell(value: Option<&str>, found: &mut dyn FnMut(&str)) {
    if let Some(value) = value {
        found(value);
    }
}

fn show_some(value: Option<impl fmt::Display>, found: &mut dyn FnMut(&str)) {
    if let Some(value) = value {
        show(value, found);
    }
}

/// The ten digits of a number of the North American plan; nothing for another.
fn show_nanp(number: Option<Number>, found: &mut dyn FnMut(&str)) {
    let Some(number) = number.filter(|number| number.area_code().is_some()) else {
        return;
    };
    show(number.digits(), &mut |digits| {
        found(digits.get(1..).unwrap_or_default());
    });
}

/// Writes `value` where no allocation is needed, as it is short.
fn show(value: impl fmt::Display, found: &mut dyn FnMut(&str)) {
    let mut text = Short::default();
    if write!(text, "{value}").is_ok()
        && let Ok(text) = std::str::from_utf8(&text.0)
    {
        found(text);
    }
}

#[derive(Default)]
struct Short(SmallVec<[u8; 48]>);

impl fmt::Write for Short {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
