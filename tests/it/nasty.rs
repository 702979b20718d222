//! What peers write into their messages, in our log and our records: it never ends a line, opens a field
//! or spoils the JSON.

use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::time::SystemTime;

use serde_json::Value;
use strowger::config::LogFormat;
use strowger::telemetry::log::{Entry, Lines, Narrator, subscriber};
use strowger::telemetry::record::{Anchor, write_line};

use crate::sim::desk::{Desk, buyer, cancel, find, invite, ladder};
use crate::sim::policy::{CARRIER, STRANGER, addr};
use crate::sim::seeds::epoch;

/// Values that would do harm in a line of text or of JSON, were they written as they are.
const NASTY: &[&[u8]] = &[
    b"a\r\nX: y",
    b"a\nINFO strowger::call: call begins",
    b"a\rb",
    b"a\0b",
    b"a\x1b[31mb",
    b"a\x08\x7fb",
    b"\xff\xfe\xc3",
    b"\xe2\x80\xa8\xc2\x85",
    b"\"}\n{\"x\":\"",
    b"\"",
    b"a\\",
    b"a\\\"b\\\\\"",
    b"%0d%0a%00",
    b"' OR 1=1; --",
    b"{call}${jndi:ldap://x}",
];

#[test]
fn row_17_no_text_of_a_peers_leaves_its_line_of_the_log() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let (sender, receiver) = sync_channel(100_000);
        static DROPS: AtomicU64 = AtomicU64::new(0);
        let subscriber = subscriber("trace", format, Lines::new(sender, &DROPS)).unwrap();

        let desk = mistreated();
        tracing::subscriber::with_default(subscriber, || {
            let mut narrator = Narrator::default();
            for event in &desk.events {
                narrator.handle_event(epoch(), event);
            }
            for record in &desk.records {
                narrator.handle_lost_record(epoch(), record);
            }
        });

        let lines: Vec<_> = receiver.try_iter().collect();
        assert!(lines.len() > 3 * NASTY.len(), "{} lines", lines.len());
        for entry in lines {
            let Entry::Line(line) = entry else {
                panic!("the end of the log");
            };
            let line = String::from_utf8(line.into()).expect("UTF-8");
            let text = line.strip_suffix('\n').expect("a line feed at its end");
            assert!(text.chars().all(is_plain), "{text:?}");
            if format == LogFormat::Json {
                let object: Value = serde_json::from_str(text).expect("JSON");
                assert!(object["level"].is_string(), "{text}");
            }
        }
    }
}

#[test]
fn every_record_is_one_line_of_json_whatever_the_peers_wrote() {
    let desk = mistreated();
    let anchor = Anchor::new(epoch(), SystemTime::UNIX_EPOCH);
    let mut out = Vec::new();

    for record in &desk.records {
        write_line(&mut out, "node", record, &anchor);
    }

    let text = String::from_utf8(out).expect("UTF-8");
    let lines: Vec<&str> = text.split_terminator('\n').collect();
    assert_eq!(lines.len(), desk.records.len());
    assert!(lines.len() > NASTY.len(), "{} records", lines.len());
    for (line, record) in lines.iter().zip(&desk.records) {
        assert!(line.chars().all(is_plain), "{line:?}");
        let object: Value = serde_json::from_str(line).expect("JSON");
        let call_id = String::from_utf8_lossy(&record.call_id);
        assert_eq!(object["call_id"], *call_id, "{line}");
        let keys = object.as_object().expect("an object").len();
        assert_eq!(keys, 24, "no field is a peer's: {line}");
    }
}

/// Whether no reader takes `c` for the end of a line, and no terminal for an order.
fn is_plain(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// A desk to which every nasty value was sent at every place.
fn mistreated() -> Desk {
    let mut desk = Desk::new(1);
    for (count, value) in NASTY.iter().enumerate() {
        let fresh = invite().set("Call-ID", format!("call-{count}")).set(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bKn{count}"),
        );
        let text = String::from_utf8_lossy(&fresh.bytes()).into_owned();
        let places = [
            ("+15555550199@", "NASTY@"),
            ("\"Ann\"", "\"NASTY\""),
            ("\"Ann\"", "NASTY"),
            ("tag=ann", "tag=NASTY"),
            ("Call-ID: call-", "Call-ID: NASTY"),
            ("Max-Forwards: 70", "Max-Forwards: 70\r\nUser-Agent: NASTY"),
            ("Max-Forwards: 70", "Max-Forwards: 70\r\nX-NASTY: 1"),
            (
                "Max-Forwards: 70",
                "Max-Forwards: 70\r\nAuthorization: Digest username=\"NASTY\"",
            ),
            ("CSeq: 1 INVITE", "CSeq: 1 NASTY"),
            ("INVITE sip:", "NASTY sip:"),
            ("INVITE sip:+15555550100", "INVITE sip:NASTY"),
            ("@ip.example.com SIP", "@NASTY SIP"),
            ("branch=z9hG4bKn", "branch=z9hG4bKNASTY"),
        ];
        for (at, (from, to)) in places.into_iter().enumerate() {
            assert!(text.contains(from), "{from} in {text}");
            let text = text
                .replacen(from, to, 1)
                .replace("call-", &format!("call-{at}-"))
                .replace("bKn", &format!("bKn{at}-"));
            let bytes = replace(text.as_bytes(), b"NASTY", value);
            desk.say_bytes(addr(STRANGER), &bytes);
            desk.say_bytes(addr(CARRIER), &bytes);
        }
        // A buyer's words: its reason phrase, its tag.
        let fresh = fresh.set("Call-ID", format!("answered-{count}")).set(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bKanswered{count}"),
        );
        let said = desk.say(CARRIER, &fresh);
        if ladder(&said).contains(&"b0 INVITE".to_owned()) {
            let answer = find(&said, "b0 INVITE").reply(486, "NASTY").bytes();
            desk.say_bytes(buyer(0), &replace(&answer, b"NASTY", value));
            let reason = find(&said, "b0 INVITE").reply(486, "bob").bytes();
            let reason = replace(
                &reason,
                b"SIP/2.0 486 ",
                &[b"SIP/2.0 486 ", *value].concat(),
            );
            desk.say_bytes(buyer(0), &reason);
            desk.say(CARRIER, &cancel(&fresh));
        }
    }
    desk.rest();
    desk
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    match bytes.windows(from.len()).position(|window| window == from) {
        Some(at) => [&bytes[..at], to, &bytes[at + from.len()..]].concat(),
        None => bytes.to_vec(),
    }
}
