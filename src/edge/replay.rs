//! `strowger replay`: call records, decided again under a configuration.

mod said;

use std::fs::File;
use std::io;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::call::abroad::TRUNK;
use crate::call::policy::Policy;
use crate::call::replay::{End, Fate, Replayed, WhyPassed, replay};
use crate::hooks::conversion::Conversion;
use crate::hooks::trigger::Trigger;
use crate::routing::trunk::{CompanyId, Tickets, Trunk};
use crate::telemetry::reading::{self, Recorded, Unusable};
use crate::telemetry::record::{conversion, decision};
use crate::types::money::Money;

pub use self::said::{
    Amount, Badness, Changed, Door, EndSaid, HookSaid, Passing, Sum, Summary, Was,
};

/// Replays the records of the file at `path`, writes each call that would be another to `out`, as text or, if `is_json`, as parts
/// of one JSON document, and then the summary.
///
/// # Errors
///
/// When the file cannot be read, or `out` not written.
pub fn run(
    policy: &Policy,
    path: &Path,
    is_json: bool,
    out: &mut dyn Write,
) -> io::Result<Summary> {
    let mut lines = Lines::new(BufReader::new(File::open(path)?));
    let mut summary = Summary::default();
    let mut lead = "{\"changed\":[";
    while let Some((number, line)) = lines.next()? {
        let read = match line {
            Ok(line) => reading::read(line).map_err(|why| match why {
                Unusable::CutOff => None,
                why @ (Unusable::NotARecord(_) | Unusable::Value(_) | Unusable::Earlier) => {
                    Some(why.to_string())
                }
            }),
            Err(TooLong) => Err(Some(format!("is longer than {MOST_LINE} bytes"))),
        };
        let recorded = match read {
            Ok(recorded) => recorded,
            Err(None) => {
                summary.cut_off += 1;
                continue;
            }
            Err(Some(what)) => {
                let bad = Badness { line: number, what };
                if !is_json {
                    writeln!(out, "{}:{number}: {}", path.display(), bad.what)?;
                }
                summary.note_bad(bad);
                continue;
            }
        };
        let Some(changed) = summary.take(number, policy, &recorded) else {
            continue;
        };
        if is_json {
            write!(out, "{lead}")?;
            serde_json::to_writer(&mut *out, &changed)?;
            lead = ",\n";
        } else {
            writeln!(out, "{}:{changed}", path.display())?;
        }
    }
    if is_json {
        if lead != ",\n" {
            write!(out, "{lead}")?;
        }
        write!(out, "],\n\"summary\":")?;
        serde_json::to_writer_pretty(&mut *out, &summary)?;
        writeln!(out, "}}")?;
    } else {
        write!(out, "{summary}")?;
    }
    Ok(summary)
}

/// The trunk of a call, and whose number it dialled: what a ticket has said, where it may have shown one.
fn way(policy: &Policy, recorded: &Recorded) -> Option<(Arc<Trunk>, CompanyId)> {
    let mut trunks = policy.trunks.iter();
    let known = trunks.find(|trunk| *trunk.id == *recorded.trunk).cloned();
    let is_nobodys = recorded.trunk == TRUNK;
    // A vendor's own call has come by none.
    let nobodys = || is_nobodys.then(|| Arc::new(Trunk::new(TRUNK, CompanyId(0))));
    let trunk = known.or_else(nobodys)?;
    let mut company = trunk.company;
    if is_nobodys || trunk.tickets != Tickets::Ignored {
        let said = match &recorded.company {
            Some(id) => policy.directory.company(id),
            // Of a number that is not in use is said only to whose campaign it leads.
            None if recorded.campaign.is_some() => owner(policy, recorded),
            None => None,
        };
        company = said.unwrap_or(company);
    }
    Some((trunk, company))
}

/// Whose the number is.
fn owner(policy: &Policy, recorded: &Recorded) -> Option<CompanyId> {
    let directory = &policy.directory;
    let line = directory.numbers.get(&recorded.call.dialled.ok()?)?;
    let campaign = directory.campaigns.get(line.campaign.0 as usize)?;
    Some(campaign.company)
}

impl Summary {
    /// Replays one call; `Some`: it would be another.
    pub fn take(&mut self, line: usize, policy: &Policy, recorded: &Recorded) -> Option<Changed> {
        let way = way(policy, recorded);
        let replayed =
            way.map(|(trunk, company)| replay(policy, (&trunk, company), &recorded.call));
        let changed = compare(line, recorded, replayed.as_ref());
        self.add(recorded, replayed.as_ref(), changed.is_some());
        changed
    }

    fn add(&mut self, recorded: &Recorded, replayed: Option<&Replayed>, is_changed: bool) {
        self.calls += 1;
        self.changed += u64::from(is_changed);
        let campaign = recorded.campaign.as_deref().unwrap_or("none");
        let sum = self.campaigns.entry(campaign.to_owned()).or_default();
        sum.calls += 1;
        sum.changed += u64::from(is_changed);
        let taker = |fate: &(Arc<str>, Fate)| fate.1 == Fate::Answered;
        let was = recorded.call.attempts.iter().find(|one| taker(one));
        let was = was.map(|(buyer, _)| &**buyer);
        let now = match replayed.map(|replayed| &replayed.end) {
            Some(End::Taken(buyer) | End::Unknown(buyer)) => Some(&**buyer),
            Some(End::AsItDid) => was,
            Some(End::Refused { .. }) | None => None,
        };
        if was != now {
            let name = |buyer: Option<&str>| buyer.unwrap_or("nobody").to_owned();
            *sum.moved.entry((name(was), name(now))).or_default() += 1;
        }
        let then = recorded.conversion.get("converted");
        let money = |key: &str| {
            let text = then.and_then(|then| then.get(key)?.as_str());
            text.and_then(|text| text.parse().ok())
                .unwrap_or(Money::ZERO)
        };
        let worth = |conversion: Option<&Conversion>| {
            let converted = conversion.and_then(|conversion| conversion.converted());
            converted
                .map(|converted| converted.worth)
                .unwrap_or_default()
        };
        let known = worth(replayed.and_then(|replayed| replayed.conversion.as_ref()));
        let supposed = worth(replayed.and_then(|replayed| replayed.supposed.as_ref()));
        sum.payout
            .add(money("payout"), known.payout, supposed.payout);
        sum.revenue
            .add(money("revenue"), known.revenue, supposed.revenue);
    }
}

/// What would be different; `None`: nothing.
fn compare(line: usize, recorded: &Recorded, replayed: Option<&Replayed>) -> Option<Changed> {
    let call = &recorded.call;
    let was = then(recorded);
    let mut changed = Changed {
        line,
        uuid: call.uuid.to_string(),
        at: call.at.to_string(),
        campaign: recorded.campaign.clone(),
        door: None,
        decisions: Vec::new(),
        passed: None,
        end: None,
        webhooks: None,
        conversion: None,
    };
    let Some(replayed) = replayed else {
        let now = EndSaid::NoTrunk;
        changed.end = Some(Was { was, now });
        return Some(changed);
    };
    let text = |id: &Option<Arc<str>>| id.as_deref().map(str::to_owned);
    changed.door = Was::of(
        Door {
            campaign: recorded.campaign.clone(),
            afid: recorded.afid.clone(),
            sid: recorded.sid.clone(),
        },
        Door {
            campaign: text(&replayed.campaign),
            afid: text(&replayed.afid),
            sid: text(&replayed.sid),
        },
    );
    let count = recorded.decisions.len().max(replayed.decisions.len());
    for place in 0..count {
        let was = recorded.decisions.get(place).cloned().unwrap_or_default();
        let now = replayed.decisions.get(place);
        let now = now.map(|one| parsed(&decision(one))).unwrap_or_default();
        changed.decisions.extend(Was::of(was, now));
    }
    let is_known = !matches!(replayed.end, End::Unknown(_));
    if is_known {
        changed.passed = Was::of(passed(recorded), passed_now(replayed));
        changed.webhooks = Was::of(fired(recorded), fires(replayed));
        let now = replayed.conversion.as_ref();
        let now = now.map(|now| parsed(&conversion(now))).unwrap_or_default();
        changed.conversion = Was::of(recorded.conversion.clone(), now);
    }
    changed.end = EndSaid::of(&replayed.end).and_then(|now| Was::of(was, now));
    changed.is_any().then_some(changed)
}

/// What became of it then.
fn then(recorded: &Recorded) -> EndSaid {
    let call = &recorded.call;
    let mut attempts = call.attempts.iter();
    match attempts.find(|(_, fate)| *fate == Fate::Answered) {
        Some((buyer, _)) => EndSaid::Taken {
            buyer: buyer.to_string(),
        },
        None => EndSaid::Refused {
            status: call.last.status,
            outcome: call.last.outcome.to_string(),
        },
    }
}

fn passed(recorded: &Recorded) -> Vec<Passing> {
    let passed = recorded.call.passed.iter();
    let judged = passed.filter_map(|one| match &one.why {
        WhyPassed::Judged(why) => Some(Passing {
            buyer: one.buyer.to_string(),
            why: why.to_string(),
        }),
        WhyPassed::Down | WhyPassed::Phone | WhyPassed::Full { .. } | WhyPassed::Unknown => None,
    });
    judged.collect()
}

fn passed_now(replayed: &Replayed) -> Vec<Passing> {
    let passed = replayed.passed.iter();
    let passed = passed.map(|(buyer, why)| Passing {
        buyer: buyer.to_string(),
        why: (*why).to_owned(),
    });
    passed.collect()
}

/// Those that answer a postback fire when that comes: it is no part of what was decided.
fn fired(recorded: &Recorded) -> Vec<HookSaid> {
    let fired = recorded.webhooks.iter();
    let fired = fired.filter(|(_, trigger)| trigger != Trigger::Postback.label());
    let fired = fired.map(|(webhook, trigger)| HookSaid {
        webhook: webhook.clone(),
        trigger: trigger.clone(),
    });
    fired.collect()
}

fn fires(replayed: &Replayed) -> Vec<HookSaid> {
    let fires = replayed.webhooks.iter();
    let fires = fires.map(|(webhook, trigger)| HookSaid {
        webhook: webhook.to_string(),
        trigger: trigger.label().to_owned(),
    });
    fires.collect()
}

fn parsed(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_default()
}

/// The lines of a file, each no longer than [`MOST_LINE`].
struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    number: usize,
}

struct TooLong;

/// A line with its number.
type Line<'l> = (usize, Result<&'l [u8], TooLong>);

impl<R: BufRead> Lines<R> {
    fn new(reader: R) -> Self {
        Self {
            reader,
            line: Vec::new(),
            number: 0,
        }
    }

    /// The next line that is not empty, with its number.
    fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            self.line.clear();
            let mut is_long = false;
            let mut is_over = true;
            loop {
                let chunk = self.reader.fill_buf()?;
                if chunk.is_empty() {
                    break;
                }
                is_over = false;
                let end = chunk.iter().position(|byte| *byte == b'\n');
                let length = end.map_or(chunk.len(), |end| end + 1);
                if self.line.len() + length > MOST_LINE {
                    is_long = true;
                } else {
                    self.line.extend(chunk.iter().take(length));
                }
                self.reader.consume(length);
                if end.is_some() {
                    break;
                }
            }
            if is_over {
                return Ok(None);
            }
            self.number += 1;
            if is_long {
                return Ok(Some((self.number, Err(TooLong))));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((self.number, Ok(&self.line))));
            }
        }
    }
}

/// Bytes of a line at most: no record that an edge writes comes near.
const MOST_LINE: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_one_without_an_end_does_not_fill_the_memory() {
        let long = vec![b'x'; MOST_LINE + 10];
        let text = [b"one\n\n two \r\n".as_slice(), &long, b"\nthree"].concat();
        let mut lines = Lines::new(BufReader::new(text.as_slice()));
        let mut seen = Vec::new();

        while let Some((number, line)) = lines.next().unwrap() {
            seen.push((number, line.ok().map(|line| line.trim_ascii().to_vec())));
        }

        assert_eq!(
            seen,
            [
                (1, Some(b"one".to_vec())),
                (3, Some(b"two".to_vec())),
                (4, None),
                (5, Some(b"three".to_vec())),
            ]
        );
    }
}
