//! Writes what the demo saw: for people, or as one JSON document.

use std::io;
use std::io::Write;

use serde::ser::{SerializeMap as _, SerializeStruct as _};
use serde::{Serialize, Serializer};

use crate::call::record::Record;
use crate::edge::demo::ladder;
use crate::edge::demo::scene::Scene;
use crate::edge::demo::stage::Played;
use crate::edge::demo::trace::Seen;
use crate::edge::demo::verdict::masked;
use crate::telemetry::record::{Anchor, write_line};

/// One call, as it is shown.
pub(super) struct Shown {
    pub(super) scene: &'static Scene,
    pub(super) played: Played,
    pub(super) record: Option<Box<Record>>,
    /// How it differs from what must be; empty: it is as expected.
    pub(super) differences: Vec<String>,
    pub(super) anchor: Anchor,
}

impl Shown {
    pub(super) fn is_ok(&self) -> bool {
        self.differences.is_empty()
    }

    /// The X-PH headers that a buyer saw last.
    fn x_ph(&self) -> Vec<(String, String)> {
        let [one, two] = &self.played.invites;
        two.last()
            .or(one.last())
            .map(|invite| masked(&invite.x_ph))
            .unwrap_or_default()
    }

    /// The record as it would stand in the file.
    fn record(&self) -> Option<serde_json::Value> {
        let record = self.record.as_deref()?;
        let mut line = Vec::new();
        write_line(&mut line, NODE, record, &self.anchor);
        serde_json::from_slice(&line).ok()
    }
}

/// Writes one JSON document.
pub(super) fn write_json(calls: &[Shown], out: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'s> {
        calls: &'s [Shown],
        ok: bool,
    }

    let document = Document {
        calls,
        ok: calls.iter().all(Shown::is_ok),
    };
    serde_json::to_writer_pretty(&mut *out, &document)?;
    writeln!(out)
}

/// Writes pages for people; `colour`: the terminal knows ANSI's.
pub(super) fn write_text(calls: &[Shown], colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let paint = Paint { colour };
    writeln!(
        out,
        "A carrier, the edge and two buyers, each on a UDP port of its own on 127.0.0.1.\n"
    )?;
    for (place, call) in calls.iter().enumerate() {
        write_call(place + 1, call, &paint, out)?;
    }
    let failed = calls.iter().filter(|call| !call.is_ok()).count();
    let verdict = match failed {
        0 => paint.good("All calls went as expected."),
        _ => paint.bad(&format!(
            "{failed} of {} calls did not go as expected.",
            calls.len()
        )),
    };
    writeln!(out, "{verdict}")
}

fn write_call(place: usize, call: &Shown, paint: &Paint, out: &mut dyn Write) -> io::Result<()> {
    let title = format!("Call {place}. {}", call.scene.title);
    writeln!(out, "{}", paint.strong(&title))?;
    let plan = &call.scene.carrier;
    writeln!(out, "The carrier asks for {}", plan.uri)?;
    if let Some((name, value)) = plan.forged {
        writeln!(
            out,
            "and forges \"{name}: {value}\", which must not get to a buyer"
        )?;
    }
    writeln!(out)?;
    for line in ladder::draw(&call.played.messages) {
        writeln!(out, "{line}")?;
    }
    let x_ph = call.x_ph();
    if !x_ph.is_empty() {
        writeln!(out, "\nWhat the buyer was told (the key is a secret):")?;
        for (name, value) in x_ph {
            writeln!(out, "  {name}: {value}")?;
        }
    }
    if let Some(record) = call.record() {
        writeln!(out, "\nThe call record:")?;
        for line in serde_json::to_string_pretty(&record)?.lines() {
            writeln!(out, "  {line}")?;
        }
    }
    writeln!(out)?;
    for difference in &call.differences {
        writeln!(
            out,
            "{}",
            paint.bad(&format!("NOT AS EXPECTED: {difference}"))
        )?;
    }
    match call.is_ok() {
        true => writeln!(out, "{}\n", paint.good("As expected.")),
        false => writeln!(out),
    }
}

/// Colours, or none.
struct Paint {
    colour: bool,
}

impl Paint {
    fn strong(&self, text: &str) -> String {
        self.wrap("1", text)
    }

    fn good(&self, text: &str) -> String {
        self.wrap("32", text)
    }

    fn bad(&self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    fn wrap(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut call = serializer.serialize_struct("Call", 6)?;
        call.serialize_field("title", self.scene.title)?;
        call.serialize_field("ok", &self.is_ok())?;
        call.serialize_field("differences", &self.differences)?;
        call.serialize_field("messages", &self.played.messages)?;
        call.serialize_field("x_ph", &Headers(self.x_ph()))?;
        call.serialize_field("record", &self.record())?;
        call.end()
    }
}

impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut message = serializer.serialize_struct("Message", 4)?;
        let microseconds = u32::try_from(self.at.as_micros()).unwrap_or(u32::MAX);
        message.serialize_field("at_ms", &(f64::from(microseconds) / 1000.0))?;
        message.serialize_field("from", self.from.label())?;
        message.serialize_field("to", self.to.label())?;
        message.serialize_field("what", &self.what)?;
        message.end()
    }
}

/// Headers as an object, in the order of the message.
struct Headers(Vec<(String, String)>);

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The node's name, as in `conf/demo.toml`.
const NODE: &str = "demo";
