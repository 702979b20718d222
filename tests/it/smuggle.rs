//! No X-PH header of the caller's reaches a buyer, however it is disguised; the buyer gets each of ours
//! exactly once.

#![expect(
    clippy::print_stdout,
    reason = "what was tried, and what was not, is told"
)]

use std::fs;
use std::net::IpAddr;

use serde_json::Value;

use crate::collection::shared_corpus;
use crate::sim::desk::{Desk, OFFER, Said, Talk, buyer, find, invite, specs};
use crate::sim::policy::{CARRIER, PolicySpec, addr};
use crate::sim::text::Msg;

/// What a caller writes into the headers that it smuggles.
const LOOT: &str = "lol-smuggled";

/// Header lines as a caller may send them. Each is put before the Content-Type of an INVITE.
const DISGUISES: &[(&str, &[u8])] = &[
    ("plain", b"X-PH-RetreaverUUID: lol-smuggled"),
    ("lower case", b"x-ph-retreaverkey: lol-smuggled"),
    ("upper case", b"X-PH-RETREAVERAFID: lol-smuggled"),
    ("another of the family", b"X-PH-Campaign: lol-smuggled"),
    (
        "space before the colon",
        b"X-PH-RetreaverSID : lol-smuggled",
    ),
    ("tab before the colon", b"X-PH-RetreaverSID\t: lol-smuggled"),
    (
        "no space after the colon",
        b"X-PH-RetreaverSID:lol-smuggled",
    ),
    ("folded value", b"X-PH-RetreaverUUID:\r\n lol-smuggled"),
    (
        "folded before the colon",
        b"X-PH-RetreaverUUID\r\n : lol-smuggled",
    ),
    (
        "folded into a header that passes",
        b"Subject: a\r\n X-PH-RetreaverUUID: lol-smuggled",
    ),
    (
        "twice",
        b"X-PH-RetreaverUUID: lol-smuggled\r\nX-PH-RetreaverUUID: lol-smuggled",
    ),
    ("bare CR", b"Subject: a\rX-PH-RetreaverUUID: lol-smuggled"),
    ("bare LF", b"Subject: a\nX-PH-RetreaverUUID: lol-smuggled"),
    ("NUL in the name", b"X-PH-RetreaverUUID\0: lol-smuggled"),
    ("NUL in front", b"\0X-PH-RetreaverUUID: lol-smuggled"),
    ("NUL in the value", b"X-PH-RetreaverUUID: lol-smuggled\0"),
    ("DEL in the name", b"X-PH-RetreaverUUID\x7f: lol-smuggled"),
    ("0xFF in the name", b"X-PH-RetreaverUUID\xff: lol-smuggled"),
    ("no-break space", b"X-PH-RetreaverUUID\xa0: lol-smuggled"),
    (
        "no-break space in UTF-8",
        b"X-PH-RetreaverUUID\xc2\xa0: lol-smuggled",
    ),
    (
        "zero-width space",
        b"X-PH-\xe2\x80\x8bRetreaverUUID: lol-smuggled",
    ),
    ("vertical tab", b"X-PH-RetreaverUUID\x0b: lol-smuggled"),
    ("form feed", b"X-PH-RetreaverUUID\x0c: lol-smuggled"),
    ("leading space", b" X-PH-RetreaverUUID: lol-smuggled"),
    ("underscores", b"X_PH_RetreaverUUID: lol-smuggled"),
    ("percent", b"X%2DPH%2DRetreaverUUID: lol-smuggled"),
    ("prefixed", b"X-X-PH-RetreaverUUID: lol-smuggled"),
    ("quoted name", b"\"X-PH-RetreaverUUID\": lol-smuggled"),
    ("two colons", b"X-PH-RetreaverUUID:: lol-smuggled"),
    (
        "in a URI of a header that passes",
        b"Alert-Info: <sip:a@b?X-PH-RetreaverUUID=lol-smuggled>",
    ),
    ("hop token", b"X-Strowger-Hop: lol-smuggled"),
    (
        "next line",
        b"Subject: a\xc2\x85X-PH-RetreaverUUID: lol-smuggled",
    ),
];

#[test]
fn row_11_no_disguise_of_ours_gets_a_header_through() {
    for (name, line) in DISGUISES {
        let mut desk = Desk::with(&PolicySpec {
            lines: vec![specs(1)],
            // Even a trunk that is told to pass them does not.
            pass_headers: [
                "x-ph-retreaveruuid",
                "x-ph-campaign",
                "x-strowger-hop",
                "x-caller",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..PolicySpec::default()
        });
        let bytes = insert(&invite().with("X-Caller", "passes"), line);
        for one in offers(&desk.say_bytes(addr(CARRIER), &bytes)) {
            assert_ours(name, one);
            assert_eq!(one.message.value("X-Caller"), "passes", "{name}");
            assert!(!has_loot(one), "{name}: {:?}", one.message);
        }
    }
}

#[test]
fn the_callers_own_name_and_number_carry_no_header_either() {
    for from in [
        "\"x X-PH-RetreaverUUID: lol-smuggled\" <sip:ann@example.com>;tag=ann",
        "\"x\r\n X-PH-RetreaverUUID: lol-smuggled\" <sip:ann@example.com>;tag=ann",
        "X-PH-RetreaverUUID lol-smuggled <sip:ann@example.com>;tag=ann",
        "<sip:X-PH-RetreaverUUID%3A%20lol-smuggled@example.com>;tag=ann",
    ] {
        let mut desk = Desk::new(1);
        let said = desk.say(CARRIER, &invite().set("From", from));
        assert_eq!(offers(&said).count(), 1, "{from}");
        for one in offers(&said) {
            assert_ours(from, one);
            assert!(!has_loot(one), "{from}: {:?}", one.message);
        }
    }
}

#[test]
fn nothing_gets_through_within_a_call_either() {
    for (name, line) in DISGUISES {
        let mut talk = Talk::new();
        for (cseq, method) in [(2, "INFO"), (3, "UPDATE"), (4, "INVITE"), (5, "MESSAGE")] {
            let request = talk.caller(method, cseq).with_sdp(OFFER);
            let said = talk.desk.say_bytes(addr(CARRIER), &insert(&request, line));
            for one in said.iter().filter(|one| one.to == buyer(0)) {
                assert!(!has_loot(one), "{name} in {method}: {:?}", one.message);
            }
        }
    }
}

#[test]
fn the_repeat_with_credentials_carries_each_header_once() {
    let mut buyers = specs(1);
    buyers[0].has_login = true;
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    });
    let bytes = insert(&invite(), DISGUISES[0].1);
    let said = desk.say_bytes(addr(CARRIER), &bytes);
    let offered = find(&said, "b0 INVITE");

    let challenge = offered.reply(401, "bob").with(
        "WWW-Authenticate",
        "Digest realm=\"buyers.example.com\", nonce=\"1\", algorithm=MD5, qop=\"auth\"",
    );
    let said = desk.say_from(buyer(0), &challenge);

    assert_eq!(offers(&said).count(), 1);
    for one in offers(&said) {
        assert_ours("repeat", one);
        assert!(!has_loot(one));
    }
}

#[test]
fn no_message_of_the_collection_gets_a_header_through() {
    let Some(corpus) = shared_corpus() else {
        return;
    };
    let manifest = fs::read_to_string(corpus.join("manifest.json")).expect("it is there");
    let manifest: Value = serde_json::from_str(&manifest).expect("it is JSON");
    let messages = manifest["messages"].as_array().expect("a list");
    let smuggled: Vec<_> = messages
        .iter()
        .filter(|message| message["category"] == "smuggle")
        .collect();

    let mut offered = Vec::new();
    for message in &smuggled {
        let name = message["name"].as_str().expect("a name");
        let file = message["file"].as_str().expect("a file");
        let bytes = fs::read(corpus.join(file)).expect("a readable message");
        // As they are: sip:+18005550123@localhost from 127.0.0.1.
        let mut desk = Desk::with(&PolicySpec {
            lines: vec![specs(1)],
            hosts: vec!["localhost".to_owned()],
            sources: vec![IpAddr::from([127, 0, 0, 1])],
            aliases: vec!["+18005550123".to_owned()],
            ..PolicySpec::default()
        });
        for one in offers(&desk.say_bytes(addr("127.0.0.1:48017"), &bytes)) {
            assert_ours(name, one);
            assert!(!has_loot(one), "{name}: {:?}", one.message);
            offered.push(name);
        }
    }

    println!(
        "{} disguises, offered to the buyer without them: {offered:?}",
        smuggled.len()
    );
    assert!(!smuggled.is_empty() && offered.contains(&"smuggle/plain"));
}

/// The INVITEs to the buyer.
fn offers(said: &[Said]) -> impl Iterator<Item = &Said> {
    let is_offer = |one: &&Said| one.to == buyer(0) && one.message.method() == "INVITE";
    said.iter().filter(is_offer)
}

/// Each of our four headers stands there once, and nothing else of the family, however it is read.
fn assert_ours(name: &str, offer: &Said) {
    let text = String::from_utf8_lossy(&offer.bytes);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let names: Vec<_> = offer
        .message
        .fields
        .iter()
        .map(|(field, _)| field.as_str())
        .filter(|field| field.to_ascii_lowercase().contains("ph"))
        .collect();
    let ours = [
        "X-PH-RetreaverUUID",
        "X-PH-RetreaverKey",
        "X-PH-RetreaverAFID",
        "X-PH-RetreaverSID",
    ];
    assert_eq!(names, ours, "{name}");
    // A careless reader splits at any line break.
    let careless = head
        .split(['\r', '\n'])
        .filter(|line| line.trim().to_ascii_lowercase().starts_with("x-ph-"));
    assert_eq!(careless.count(), ours.len(), "{name}: {head}");
}

fn has_loot(said: &Said) -> bool {
    String::from_utf8_lossy(&said.bytes).contains(LOOT)
}

/// The message with a raw line before Content-Type.
fn insert(message: &Msg, line: &[u8]) -> Vec<u8> {
    let bytes = message.bytes();
    let text = String::from_utf8_lossy(&bytes);
    let (before, after) = text.split_once("Content-Type").expect("a body");
    let mut whole = before.as_bytes().to_vec();
    whole.extend_from_slice(line);
    whole.extend_from_slice(b"\r\nContent-Type");
    whole.extend_from_slice(after.as_bytes());
    whole
}
