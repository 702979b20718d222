//! What a replay has to say: each call that would be another, and the sum of them.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::call::replay::End;
use crate::types::money::Money;

/// What it was, and what it would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Was<T> {
    /// What it was.
    pub was: T,
    /// What it would be.
    pub now: T,
}

impl<T: PartialEq> Was<T> {
    /// `None`: the same.
    pub(super) fn of(was: T, now: T) -> Option<Self> {
        (was != now).then_some(Self { was, now })
    }
}

/// A call that would be another; `null`: that is the same.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// The line of its record.
    pub line: usize,
    /// The call.
    pub uuid: String,
    /// When it came.
    pub at: String,
    /// Its campaign then.
    pub campaign: Option<String>,
    /// What the number dialled stands for.
    pub door: Option<Was<Door>>,
    /// The decisions that differ, as records have them; `null`: there is none.
    pub decisions: Vec<Was<Value>>,
    /// The buyers that did not take the call when their turn came.
    pub passed: Option<Was<Vec<Passing>>>,
    /// What became of it.
    pub end: Option<Was<EndSaid>>,
    /// The webhooks that fire.
    pub webhooks: Option<Was<Vec<HookSaid>>>,
    /// What it came to.
    pub conversion: Option<Was<Value>>,
}

/// What a number stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Door {
    /// The campaign's id.
    pub campaign: Option<String>,
    /// The publisher's id.
    pub afid: Option<String>,
    /// The sub id.
    pub sid: Option<String>,
}

/// A buyer that did not take the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Passing {
    /// Its id.
    pub buyer: String,
    /// The verdict.
    pub why: String,
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HookSaid {
    /// Its id.
    pub webhook: String,
    /// When it fires.
    pub trigger: String,
}

/// What becomes of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EndSaid {
    /// This buyer takes it.
    Taken {
        /// Its id.
        buyer: String,
    },
    /// This buyer is called, and nobody knows what it would do.
    Unknown {
        /// Its id.
        buyer: String,
    },
    /// Nobody takes it.
    Refused {
        /// The final status.
        status: u16,
        /// The outcome's name.
        outcome: String,
    },
    /// The trunk by which it came is not there.
    NoTrunk,
}

/// A line that is no record.
#[derive(Debug, Clone, Serialize)]
pub struct Badness {
    /// Its number.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// All calls together.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Calls that were replayed.
    pub calls: u64,
    /// Those of them that would be others.
    pub changed: u64,
    /// Calls that a restart cut off: nothing is known that could be replayed.
    pub cut_off: u64,
    /// Lines that are no records.
    pub bad: u64,
    /// The first of them.
    pub bad_lines: Vec<Badness>,
    /// By campaign, as it was then.
    pub campaigns: BTreeMap<String, Sum>,
}

/// The calls of one campaign.
#[derive(Debug, Default, Serialize)]
pub struct Sum {
    /// How many.
    pub calls: u64,
    /// Those that would be others.
    pub changed: u64,
    /// How many would go from one buyer to another.
    #[serde(serialize_with = "as_list")]
    pub moved: BTreeMap<(String, String), u64>,
    /// What publishers get.
    pub payout: Amount,
    /// What buyers pay.
    pub revenue: Amount,
}

/// Money, then and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// What it was.
    pub was: Money,
    /// What it would be of those calls of which it is known.
    pub now: Money,
    /// What it would be if whoever is called instead answers and talks as long as the other did.
    pub supposed: Money,
}

impl Amount {
    pub(super) fn add(&mut self, was: Money, now: Money, supposed: Money) {
        self.was = self.was.plus(was);
        self.now = self.now.plus(now);
        self.supposed = self.supposed.plus(supposed);
    }

    fn is_zero(self) -> bool {
        self == Self::default()
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let texts = [
            ("was", self.was.to_string()),
            ("now", self.now.to_string()),
            ("supposed", self.supposed.to_string()),
        ];
        serializer.collect_map(texts)
    }
}

fn as_list<S: Serializer>(
    moved: &BTreeMap<(String, String), u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Moved<'m> {
        from: &'m str,
        to: &'m str,
        calls: u64,
    }
    let moved = moved.iter();
    serializer.collect_seq(moved.map(|((from, to), calls)| Moved {
        from,
        to,
        calls: *calls,
    }))
}

impl Changed {
    pub(super) fn is_any(&self) -> bool {
        self.door.is_some()
            || !self.decisions.is_empty()
            || self.passed.is_some()
            || self.end.is_some()
            || self.webhooks.is_some()
            || self.conversion.is_some()
    }
}

impl EndSaid {
    /// `None`: what became of it then.
    pub(super) fn of(end: &End) -> Option<Self> {
        Some(match end {
            End::AsItDid => return None,
            End::Taken(buyer) => Self::Taken {
                buyer: buyer.to_string(),
            },
            End::Unknown(buyer) => Self::Unknown {
                buyer: buyer.to_string(),
            },
            End::Refused { status, outcome } => Self::Refused {
                status: *status,
                outcome: (*outcome).to_owned(),
            },
        })
    }
}

impl Summary {
    pub(super) fn note_bad(&mut self, bad: Badness) {
        self.bad += 1;
        if self.bad_lines.len() < MOST_BAD {
            self.bad_lines.push(bad);
        }
    }

    /// Whether every line was a record, and every call would be the same.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.changed == 0 && self.bad == 0
    }
}

/// Lines that are no records, of which each is told at the end.
const MOST_BAD: usize = 1000;

/// As people read it.
impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let campaign = self.campaign.as_deref().unwrap_or("no campaign");
        write!(f, "{}: {} at {}, {campaign}", self.line, self.uuid, self.at)?;
        if let Some(Was { was, now }) = &self.door {
            write!(f, "\n  number    {was} -> {now}")?;
        }
        for Was { was, now } in &self.decisions {
            write_decision(f, was, now)?;
        }
        if let Some(Was { was, now }) = &self.passed {
            let (was, now) = (each(was), each(now));
            write!(f, "\n  passed    {was} -> {now}")?;
        }
        if let Some(Was { was, now }) = &self.end {
            write!(f, "\n  end       {was} -> {now}")?;
        }
        if let Some(Was { was, now }) = &self.webhooks {
            let (was, now) = (each(was), each(now));
            write!(f, "\n  webhooks  {was} -> {now}")?;
        }
        if let Some(Was { was, now }) = &self.conversion {
            let (was, now) = (came_to(was), came_to(now));
            write!(f, "\n  comes to  {was} -> {now}")?;
        }
        Ok(())
    }
}

/// What differs between two decisions.
fn write_decision(f: &mut fmt::Formatter<'_>, was: &Value, now: &Value) -> fmt::Result {
    let (before, after) = (order(was), order(now));
    if before != after {
        write!(f, "\n  order     {before} -> {after}")?;
    }
    let (before, after) = (verdicts(was), verdicts(now));
    for (buyer, verdict) in &before {
        let other = after.iter().find(|(other, _)| other == buyer);
        match other {
            Some((_, other)) if other == verdict => {}
            Some((_, other)) => write!(f, "\n  {buyer:<9} {verdict} -> {other}")?,
            None if now.is_null() => {}
            None => write!(f, "\n  {buyer:<9} {verdict} -> not asked")?,
        }
    }
    for (buyer, verdict) in &after {
        if !was.is_null() && !before.iter().any(|(other, _)| other == buyer) {
            write!(f, "\n  {buyer:<9} not asked -> {verdict}")?;
        }
    }
    Ok(())
}

fn order(decision: &Value) -> String {
    if decision.is_null() {
        return "not decided".to_owned();
    }
    let order = decision["order"].as_array().into_iter().flatten();
    let names: Vec<&str> = order.filter_map(|one| one["buyer"].as_str()).collect();
    match decision["refused"].as_str() {
        Some(cause) => format!("nobody ({cause})"),
        None => names.join(", "),
    }
}

fn verdicts(decision: &Value) -> Vec<(String, String)> {
    let looks = decision["looks"].as_array().into_iter().flatten();
    let buyers = looks.flat_map(|look| look["buyers"].as_array().into_iter().flatten());
    let verdicts = buyers.map(|one| {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let verdict = match (one["want"].as_str(), one["have"].as_str()) {
            (Some(want), Some(have)) => {
                format!("{} (wants {want}, has {have})", text("verdict"))
            }
            _ => text("verdict"),
        };
        (text("buyer"), verdict)
    });
    verdicts.collect()
}

fn came_to(conversion: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("none").to_owned();
    let verdict = text(&conversion["verdict"]);
    let converted = &conversion["converted"];
    if converted.is_null() {
        return verdict;
    }
    let (payout, revenue) = (text(&converted["payout"]), text(&converted["revenue"]));
    format!("{verdict} (payout {payout}, revenue {revenue})")
}

fn each<T: fmt::Display>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let texts: Vec<String> = items.iter().map(T::to_string).collect();
    texts.join(", ")
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
        let (campaign, afid, sid) = (
            or_none(&self.campaign),
            or_none(&self.afid),
            or_none(&self.sid),
        );
        write!(f, "campaign {campaign}, publisher {afid}, sub id {sid}")
    }
}

impl fmt::Display for Passing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.buyer, self.why)
    }
}

impl fmt::Display for HookSaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.webhook, self.trigger)
    }
}

impl fmt::Display for EndSaid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { buyer } => write!(f, "{buyer} takes it"),
            Self::Unknown { buyer } => {
                write!(f, "{buyer} is called, and would do nobody knows what")
            }
            Self::Refused { status, outcome } => write!(f, "{status} {outcome}"),
            Self::NoTrunk => f.write_str("its trunk is not there"),
        }
    }
}

/// As people read it.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (campaign, sum) in &self.campaigns {
            let Sum { calls, changed, .. } = sum;
            writeln!(f, "{campaign}: {calls} calls, {changed} changed")?;
            for ((from, to), calls) in &sum.moved {
                writeln!(f, "  {from} -> {to}: {calls}")?;
            }
            for (name, amount) in [("payout", sum.payout), ("revenue", sum.revenue)] {
                if !amount.is_zero() {
                    writeln!(f, "  {name} {amount}")?;
                }
            }
        }
        let Self {
            calls,
            changed,
            cut_off,
            bad,
            ..
        } = self;
        writeln!(
            f,
            "{calls} calls, {changed} changed, {cut_off} cut off, {bad} lines that are no records"
        )
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { was, now, supposed } = self;
        let by = |other: Money| {
            let by = Money::from_units(other.units().saturating_sub(was.units()));
            let sign = if by.is_negative() { "" } else { "+" };
            format!("{sign}{by}")
        };
        write!(f, "{was} -> {now} ({})", by(*now))?;
        if supposed != now {
            write!(
                f,
                ", or {supposed} ({}) if whoever is called instead takes the call for as long",
                by(*supposed)
            )?;
        }
        Ok(())
    }
}
