//! Every message of the shared collection, handed to the engine itself: what it answers, beside what the
//! manifest expects.
//!
//! The engine serves the host that each request is addressed to and lists the sender, so that nothing is
//! refused for being a stranger's. Where the collection is missing, the test says so and passes.

#![expect(
    clippy::print_stdout,
    reason = "what was tried, and what was not, is told"
)]

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::collection::{agrees, host_of, on_a_stream, shared_corpus};
use crate::sim::desk::{Desk, specs};
use crate::sim::policy::{CARRIER, PolicySpec, addr};
use strowger::call::output::Gauges;
use strowger::sip::flow::Transport;
use strowger::sip::frame::{Frame, StreamFramer};

/// Messages on which the engine and the manifest differ, and why the engine is right to.
const DISAGREEMENTS: &[(&str, &str)] = &[];

#[test]
fn the_engine_answers_every_message_as_its_manifest_says() {
    let Some(corpus) = shared_corpus() else {
        return;
    };
    let manifest = fs::read_to_string(corpus.join("manifest.json")).expect("it is there");
    let manifest: Value = serde_json::from_str(&manifest).expect("it is JSON");
    let messages = manifest["messages"].as_array().expect("a list");

    let mut found = Vec::new();
    let mut counts = BTreeMap::<(String, String), usize>::new();
    for message in messages {
        let name = message["name"].as_str().expect("a name").to_owned();
        let expect = &message["expect"];
        let file = message["file"].as_str().expect("a file");
        let bytes = fs::read(corpus.join(file)).expect("a readable message");
        let statuses = answers(&bytes);
        let class = expect["class"].as_str().expect("a class").to_owned();
        let kind = statuses.last().map_or("silence".to_owned(), u16::to_string);
        *counts.entry((class, kind)).or_default() += 1;
        if !agrees(expect, &statuses) {
            found.push((name, statuses, expect.to_string()));
        }
    }

    for ((class, kind), count) in &counts {
        println!("{class:>6}: {count:>3} {kind}");
    }
    println!("{} messages, {} disagreements", messages.len(), found.len());
    let names: Vec<_> = found.iter().map(|(name, ..)| name.as_str()).collect();
    let listed: Vec<_> = DISAGREEMENTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, listed, "in detail: {found:#?}");
}

/// One engine hears them all, in order and with nothing in between, and is none the worse for it.
#[test]
fn one_engine_outlives_the_whole_collection() {
    let Some(corpus) = shared_corpus() else {
        return;
    };
    let manifest = fs::read_to_string(corpus.join("manifest.json")).expect("it is there");
    let manifest: Value = serde_json::from_str(&manifest).expect("it is JSON");
    let mut desk = Desk::new(2);
    for message in manifest["messages"].as_array().expect("a list") {
        let file = message["file"].as_str().expect("a file");
        let bytes = fs::read(corpus.join(file)).expect("a readable message");
        desk.say_bytes(addr(CARRIER), &bytes);
        desk.pass_millis(3);
    }

    assert_eq!(desk.rest(), Gauges::default());
}

/// On a stream the verdict is the same wherever the stream is cut, and the stream's own where the manifest
/// has one.
#[test]
fn the_engine_answers_every_message_on_a_stream_however_it_is_split() {
    let Some(corpus) = shared_corpus() else {
        return;
    };
    let manifest = fs::read_to_string(corpus.join("manifest.json")).expect("it is there");
    let manifest: Value = serde_json::from_str(&manifest).expect("it is JSON");
    let messages = manifest["messages"].as_array().expect("a list");

    let mut found = Vec::new();
    let mut splits = 0;
    for message in messages {
        let name = message["name"].as_str().expect("a name").to_owned();
        let file = message["file"].as_str().expect("a file");
        let bytes = fs::read(corpus.join(file)).expect("a readable message");
        let whole = frames(&[&bytes]);
        for at in 1..bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(frames(&[head, tail]), whole, "{name} split at {at}");
            splits += 1;
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(frames(&single), whole, "{name} byte by byte");
        let expect = on_a_stream(&message["expect"]);
        let statuses = answers_on_a_stream(&bytes, &whole);
        if !agrees(&expect, &statuses) {
            found.push((name, statuses, expect.to_string()));
        }
    }

    println!(
        "{} messages, {splits} splits, {} disagreements",
        messages.len(),
        found.len()
    );
    let names: Vec<_> = found.iter().map(|(name, ..)| name.as_str()).collect();
    let listed: Vec<_> = STREAM_DISAGREEMENTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, listed, "in detail: {found:#?}");
}

/// Messages on which engine and manifest differ on a stream, and why the engine is right to.
const STREAM_DISAGREEMENTS: &[(&str, &str)] = &[];

/// What a stream of these pieces holds.
fn frames(pieces: &[&[u8]]) -> Vec<Frame> {
    let mut framer = StreamFramer::new();
    let mut frames = Vec::new();
    for piece in pieces {
        framer.handle_bytes(piece, &mut frames);
    }
    frames
}

fn answers_on_a_stream(bytes: &[u8], frames: &[Frame]) -> Vec<u16> {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        hosts: host_of(bytes).into_iter().collect(),
        transports: vec![Transport::Udp, Transport::Tcp],
        ..PolicySpec::default()
    });
    let mut statuses = Vec::new();
    for frame in frames {
        let said = match frame {
            Frame::Message(bytes) => desk.say_on_stream(addr(CARRIER), bytes),
            Frame::Broken { error, head } => desk.break_stream(addr(CARRIER), *error, head),
            Frame::Ping => continue,
        };
        let to_carrier = said.iter().filter(|one| one.to == addr(CARRIER));
        statuses.extend(to_carrier.map(|one| one.message.status()));
    }
    assert_eq!(desk.rest(), Gauges::default());
    statuses
}

/// The statuses that the sender of `bytes` is answered with.
fn answers(bytes: &[u8]) -> Vec<u16> {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        hosts: host_of(bytes).into_iter().collect(),
        ..PolicySpec::default()
    });
    let said = desk.say_bytes(addr(CARRIER), bytes);
    let statuses = said
        .iter()
        .filter(|one| one.to == addr(CARRIER))
        .map(|one| one.message.status())
        .collect();
    assert_eq!(desk.rest(), Gauges::default());
    statuses
}
