//! A call of Twilio's, as it is remembered: what it was decided to be, and what was told of it since.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::call::errand::{Leg, Said};
use crate::call::record::Side;
use crate::telemetry::record;
use crate::twilio::callback::{Callback, News};
use crate::twilio::progress::{Heard, Progress, Stage};
use crate::twilio::sid::CallSid;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::number::Number;
use crate::types::tag::{GEO, Origin, Tags};

/// A call; the names are those of the answer to whoever asks for it, and of what is kept of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::edge) struct GuestCall {
    /// The UUID under which the SIP side knows it, and buyers (`X-PH-RetreaverUUID`).
    pub(super) uuid: String,
    /// Whose account it came to.
    pub(super) org: String,
    /// Whose call it is: a `RetreaverCompanyId`.
    pub(super) company: u64,
    /// The campaign number.
    pub(super) number: String,
    /// Whether another application has handed it over: it says so once, when the call comes in.
    #[serde(default)]
    pub(super) is_handed_over: bool,
    /// Who calls.
    pub(super) caller: Option<String>,
    /// What is known of it besides.
    pub(super) tags: Vec<(String, String)>,
    /// Until when its ticket holds, in milliseconds since the epoch.
    pub(super) expires: i64,
    /// How far Twilio has come with its buyers, where it calls them itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) direct: Option<Direct>,
    /// How far each leg is, as Twilio tells.
    pub(super) legs: BTreeMap<String, String>,
    /// What was told, in the order in which it came; the last ones, if there were too many.
    pub(super) told: Vec<Told>,
}

/// How far Twilio has come with a call's buyers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Direct {
    /// The attempt that Twilio was last told to make; 0: none.
    pub(super) attempt: u32,
    /// The ids of the buyers that it was told to call, in order.
    pub(super) tried: Vec<String>,
    /// When it was told to, in milliseconds since the epoch, each time.
    #[serde(default)]
    pub(super) since: Vec<i64>,
    /// When the buyer of the last attempt was said to have answered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) answered: Option<i64>,
    /// For how many seconds they were said to have talked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) talked: Option<u32>,
    /// Whether the caller was said to have gone.
    #[serde(default)]
    pub(super) has_caller_gone: bool,
    /// What the call came to; `None`: it goes on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) over: Option<String>,
}

impl Direct {
    /// Twilio is told to make another attempt.
    pub(super) fn name(&mut self, now: Moment, step: &Leg) {
        // Of those that another call has tried, of which this is the rest, its own attempts know nothing.
        let others = self.tried.len().saturating_sub(self.attempt as usize);
        let known = self.tried.len() - others;
        let unsent = step.before.iter().skip(known);
        self.tried.extend(unsent.map(ToString::to_string));
        self.tried.push(step.buyer.to_string());
        self.attempt = step.attempt;
        self.since.resize(self.tried.len(), now.millis());
        self.answered = None;
        self.talked = None;
    }

    /// Takes down what the call's shard is told: what is left of it if that does not live to hear it.
    pub(super) fn hear(&mut self, now: Moment, said: &Said) {
        match said {
            Said::Answered(_) => {
                self.answered.get_or_insert(now.millis());
            }
            Said::Over(_, talked, by) => {
                self.talked = u32::try_from(talked.as_secs()).ok();
                self.has_caller_gone |= *by == Side::Caller;
            }
            Said::Closing(_, closing) => {
                let talked = closing.talked.map(|talked| talked.as_secs());
                let talked = talked.and_then(|talked| u32::try_from(talked).ok());
                self.talked = self.talked.or(talked);
                self.has_caller_gone |= closing.by == Some(Side::Caller);
            }
            Said::Gone => self.has_caller_gone = true,
            Said::Begin(_) | Said::Left(..) | Said::TakeUp(..) => {}
        }
    }
}

/// One thing that was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// When, RFC 3339.
    at: String,
    /// What: the callback's key, by which a second telling is known.
    what: String,
    /// What came of it.
    came: String,
    /// Figures and texts of it; a text that was longer says so at its end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    more: Option<String>,
}

impl GuestCall {
    /// The UUID; 0: it cannot be read, which is nobody's.
    pub(super) fn uuid(&self) -> u128 {
        CallUuid::parse(&self.uuid).map_or(0, |uuid| u128::from_be_bytes(*uuid.as_bytes()))
    }

    pub(super) fn number(&self) -> Option<Number> {
        Number::from_e164(self.number.as_bytes())
    }

    pub(super) fn caller(&self) -> Option<Number> {
        Number::from_e164(self.caller.as_deref()?.as_bytes())
    }

    /// Keys and values of its tags.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.tags.iter().map(|(key, value)| (&**key, &**value))
    }

    /// Whether it has all these tags.
    pub(super) fn has_tags(&self, tags: &Tags) -> bool {
        let mut own = Tags::default();
        for (key, value) in &self.tags {
            // They were tags when they were taken in.
            let _ = own.add(key, value, Origin::HandOff);
        }
        tags.iter()
            .all(|tag| own.values(&tag.key).any(|value| *value == *tag.value))
    }

    /// What was told, for the call's record.
    pub(super) fn told(&self) -> Vec<record::Told> {
        let told = self.told.iter().map(|told| record::Told {
            at: told.at.as_str().into(),
            what: told.what.as_str().into(),
            came: told.came.as_str().into(),
            more: told.more.as_deref().map(Into::into),
        });
        told.collect()
    }

    /// Whether this was told already.
    pub(super) fn has_told(&self, what: &str) -> bool {
        self.told.iter().any(|told| told.what == what)
    }

    /// What was told of an attempt of its; `None`: nothing.
    pub(super) fn came_of(&self, attempt: usize) -> Option<&str> {
        let what = format!("dial:{attempt}:");
        let mut told = self.told.iter().rev();
        let mut own = told
            .by_ref()
            .take_while(|told| !told.what.starts_with(RESUMED));
        let told = own.find(|told| told.what.starts_with(&what))?;
        Some(&told.came)
    }

    /// Takes in a callback. A leg never goes backwards, whatever comes late.
    pub(super) fn hear(&mut self, now: Moment, leg: Option<CallSid>, callback: &Callback) {
        let came = match &callback.news {
            News::Status { stage, .. } => {
                let leg = leg.map(|leg| leg.to_string()).unwrap_or_default();
                let mut progress = Progress::default();
                if let Some(before) = self.legs.get(&leg).and_then(|word| Stage::parse(word)) {
                    progress.hear(before);
                }
                let heard = progress.hear(*stage);
                if let Some(stage) = progress.stage()
                    && (self.legs.len() < LEGS || self.legs.contains_key(&leg))
                {
                    self.legs.insert(leg, stage.name().to_owned());
                }
                match heard {
                    Heard::Onward(_) => "onward",
                    Heard::Again => "again",
                    Heard::Late => "late",
                    Heard::Contrary => "contrary",
                }
            }
            News::Recording { .. }
            | News::Transcription { .. }
            | News::Payment { .. }
            | News::Message { .. } => "noted",
        };
        self.note(now, callback.key(), came, more(&callback.news));
    }

    /// Takes down that something was told.
    pub(super) fn note(&mut self, now: Moment, what: String, came: &str, more: Option<String>) {
        if self.told.len() >= MOST_TOLD {
            self.told.remove(0);
        }
        self.told.push(Told {
            at: now.to_string(),
            what,
            came: came.to_owned(),
            more,
        });
    }
}

/// The tags, so that adding them again gives the same: of where the caller is, the one place that lies in all the others.
pub(super) fn listed(tags: &Tags) -> Vec<(String, String)> {
    let parts = |place: &str| {
        let mut alone = Tags::default();
        // It was one when it was taken in.
        let _ = alone.add(GEO, place, Origin::HandOff);
        alone.len()
    };
    let place = tags.values(GEO).max_by_key(|place| parts(place));
    let others = tags.iter().filter(|tag| *tag.key != *GEO);
    let others = others.map(|tag| (tag.key.to_string(), tag.value.to_string()));
    let place = place.map(|place| (GEO.to_owned(), place.to_owned()));
    others.chain(place).collect()
}

/// What a callback says besides what its key does.
fn more(news: &News) -> Option<String> {
    match news {
        News::Status {
            seconds, sip_code, ..
        } => {
            let seconds = seconds.map(|seconds| format!("{seconds} s"));
            let code = sip_code.map(|code| format!("SIP {code}"));
            let both: Vec<String> = seconds.into_iter().chain(code).collect();
            (!both.is_empty()).then(|| both.join(", "))
        }
        News::Recording { seconds, url, .. } => {
            let seconds = seconds.map(|seconds| format!("{seconds} s"));
            let url = url.as_deref().map(str::to_owned);
            let both: Vec<String> = seconds.into_iter().chain(url).collect();
            (!both.is_empty()).then(|| both.join(", "))
        }
        News::Transcription { text, .. } => text.as_deref().map(str::to_owned),
        News::Payment {
            error,
            confirmation,
            ..
        } => confirmation
            .as_deref()
            .or(error.as_deref())
            .map(str::to_owned),
        News::Message { .. } => None,
    }
}

/// What says that a call is the rest of another one, before its UUID.
pub(super) const RESUMED: &str = "resumed:";

/// Legs of one call whose progress is told.
const LEGS: usize = 32;
/// Tellings that are remembered of one call.
const MOST_TOLD: usize = 64;
