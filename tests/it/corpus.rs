//! The verdict on every message of the shared collection, beside what its manifest expects.
//!
//! The collection is not part of this repository: it is looked for in `$STROWGER_SHARED`, then in
//! `../shared`. Without it the collection's test says so and passes; our own messages are judged always.

#![expect(
    clippy::print_stdout,
    reason = "what was judged, and what was not, is told"
)]

use std::collections::BTreeMap;
use std::fs;

use crate::collection::shared_corpus;
use serde_json::Value;
use strowger::sip::frame;
use strowger::sip::header::name_addrs;
use strowger::sip::message::Message;
use strowger::sip::message::Method;
use strowger::sip::message::Name;
use strowger::sip::message::Request;
use strowger::sip::message::parse;
use strowger::sip::uri::Uri;

/// Messages on which we and the manifest differ, and why we are right to.
const DISAGREEMENTS: &[(&str, &str)] = &[];

/// Statuses that the parser gives; all others are the engine's to give.
const PARSER_STATUSES: [u16; 4] = [400, 414, 505, 513];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// A well-formed request: the engine answers it, with whatever status.
    Accept,
    /// Answered with this status.
    Refuse(u16),
    /// Not answered: a response, an ACK, or nothing that could be answered.
    Silence,
}

#[test]
fn every_message_of_the_collection_is_judged_as_its_manifest_says() {
    let Some(corpus) = shared_corpus() else {
        return;
    };
    let manifest =
        fs::read_to_string(corpus.join("manifest.json")).expect("manifest.json is there");
    let manifest: Value = serde_json::from_str(&manifest).expect("manifest.json is JSON");
    let messages = manifest["messages"].as_array().expect("a list of messages");

    let mut found = Vec::new();
    let mut counts = BTreeMap::<(String, &str), usize>::new();
    for message in messages {
        let name = message["name"].as_str().expect("a name");
        let file = message["file"].as_str().expect("a file");
        let class = message["expect"]["class"].as_str().expect("a class");
        let bytes = fs::read(corpus.join(file)).expect("a readable message");
        let verdict = judge(&bytes);
        let kind = match verdict {
            Verdict::Accept => "accepted",
            Verdict::Refuse(_) => "refused",
            Verdict::Silence => "not answered",
        };
        *counts.entry((class.to_owned(), kind)).or_default() += 1;
        if !agrees(&message["expect"], verdict) {
            found.push((name.to_owned(), verdict, fault(&bytes)));
        }
    }

    for ((class, kind), count) in &counts {
        println!("{class:>6}: {count:>3} {kind}");
    }
    println!("{} messages, {} disagreements", messages.len(), found.len());
    let listed: Vec<_> = DISAGREEMENTS
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    let names: Vec<_> = found.iter().map(|(name, ..)| name.clone()).collect();
    assert_eq!(names, listed, "in detail: {found:#?}");
}

#[test]
fn messages_of_our_own_are_judged() {
    let via = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n";
    let rest = "From: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\nCall-ID: 1\r\n";
    let message = |line: &str, more: &str| format!("{line}\r\n{via}{rest}{more}\r\n");
    let options = "OPTIONS sip:example.com SIP/2.0";
    let cseq = "CSeq: 1 OPTIONS\r\n";
    let table = [
        (message(options, cseq), Verdict::Accept),
        (message("OPTIONS urn:x:y SIP/2.0", cseq), Verdict::Accept),
        (
            message("OPTIONS sip:example.com SIP/3.0", cseq),
            Verdict::Refuse(505),
        ),
        (
            message("OPTIONS <sip:example.com> SIP/2.0", cseq),
            Verdict::Refuse(400),
        ),
        (
            message("OPTIONS sip:a b@example.com SIP/2.0", cseq),
            Verdict::Refuse(400),
        ),
        (
            message("OPTIONS sip:example.com?Route=x SIP/2.0", cseq),
            Verdict::Refuse(400),
        ),
        (message(options, "CSeq: 1 INVITE\r\n"), Verdict::Refuse(400)),
        (
            message(options, "CSeq: 2147483648 OPTIONS\r\n"),
            Verdict::Refuse(400),
        ),
        (
            message(options, "CSeq: 1 OPTIONS\r\nMax-Forwards: 256\r\n"),
            Verdict::Refuse(400),
        ),
        (
            message(options, "CSeq: 1 OPTIONS\r\nTo: <sip:c@example.com>\r\n"),
            Verdict::Refuse(400),
        ),
        (
            message(options, "CSeq: 1 OPTIONS\r\nX-A: a\rX-PH-Key: b\r\n"),
            Verdict::Refuse(400),
        ),
        (
            message(options, "CSeq: 1 OPTIONS\r\nX\u{a0}: b\r\n"),
            Verdict::Refuse(400),
        ),
        (
            message(options, "CSeq: 1 OPTIONS\r\nContent-Length: 5\r\n"),
            Verdict::Refuse(400),
        ),
        (
            message(options, "CSeq: 1 OPTIONS\r\nl: 0\r\nContent-Length: 00\r\n"),
            Verdict::Accept,
        ),
        (message(options, ""), Verdict::Silence),
        (
            message("ACK sip:example.com SIP/2.0", "CSeq: 1 ACK\r\n"),
            Verdict::Silence,
        ),
        (message("SIP/2.0 200 OK", cseq), Verdict::Silence),
        (message("GET / HTTP/1.1", cseq), Verdict::Silence),
        ("\r\n\r\n".to_owned(), Verdict::Silence),
    ];
    for (text, verdict) in table {
        assert_eq!(judge(text.as_bytes()), verdict, "{text}");
    }
}

#[test]
fn header_lines_and_uris_of_the_collection_are_read() {
    let Some(corpus) = shared_corpus() else {
        return;
    };
    let list = fs::read_to_string(corpus.join("jain-headers.json")).expect("it is there");
    let list: Value = serde_json::from_str(&list).expect("jain-headers.json is JSON");
    let cases = |kind: &str| list[kind].as_array().expect("a list").clone();

    for case in cases("uris") {
        let text = case["text"].as_str().expect("a text");
        assert_eq!(
            Uri::parse(text.as_bytes()).is_ok(),
            case["valid"] == true,
            "{text}"
        );
    }
    for case in cases("headers") {
        let line = case["text"].as_str().expect("a text").replace('\n', "\r\n");
        let text = format!("OPTIONS sip:example.com SIP/2.0\r\n{line}\r\n\r\n");
        let Ok(Message::Request(request)) = parse(text.as_bytes()) else {
            panic!("a request with {line}");
        };
        let addresses = [Name::From, Name::To, Name::Contact]
            .into_iter()
            .flat_map(|name| request.head.all(name))
            .flat_map(name_addrs);
        let is_well = request.head.fields().len() == 1
            && addresses
                .into_iter()
                .all(|address| address.is_ok_and(|address| Uri::parse(address.uri).is_ok()));
        assert_eq!(is_well, case["valid"] == true, "{line}");
    }
}

fn judge(bytes: &[u8]) -> Verdict {
    let Some(bytes) = frame::datagram(bytes) else {
        return Verdict::Silence;
    };
    let (request, fault) = match parse(bytes) {
        Ok(Message::Response(response)) => {
            let _ = response.essentials();
            return Verdict::Silence;
        }
        Ok(Message::Request(request)) => {
            let fault = request.essentials().err();
            (request, fault)
        }
        Err(malformed) => match malformed.answerable {
            Some(request) => (*request, Some(malformed.error)),
            None => return Verdict::Silence,
        },
    };
    if request.method == Method::Ack {
        return Verdict::Silence;
    }
    match fault.map(|fault| fault.status()) {
        None => Verdict::Accept,
        Some(Some(status)) if is_answerable(&request) => Verdict::Refuse(status),
        Some(_) => Verdict::Silence,
    }
}

fn is_answerable(request: &Request<'_>) -> bool {
    [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq]
        .iter()
        .all(|name| request.head.first(*name).is_some())
}

fn fault(bytes: &[u8]) -> String {
    match frame::datagram(bytes).map(parse) {
        None => "no message".to_owned(),
        Some(Err(malformed)) => malformed.error.to_string(),
        Some(Ok(Message::Request(request))) => match request.essentials() {
            Ok(_) => "none".to_owned(),
            Err(error) => error.to_string(),
        },
        Some(Ok(Message::Response(_))) => "a response".to_owned(),
    }
}

fn agrees(expect: &Value, verdict: Verdict) -> bool {
    let may_be_silent = expect["silence"].as_bool() == Some(true);
    let codes: Vec<u64> = expect["codes"]
        .as_array()
        .map(|codes| codes.iter().filter_map(Value::as_u64).collect())
        .unwrap_or_default();
    // 416, 420 and 483 are earned by well-formed requests: here they must parse, the engine answers.
    let is_for_parser = PARSER_STATUSES
        .iter()
        .any(|status| codes.contains(&u64::from(*status)));
    match (expect["class"].as_str(), verdict) {
        (Some("valid"), verdict) => verdict == Verdict::Accept,
        (Some("reject"), Verdict::Refuse(status)) => codes.contains(&u64::from(status)),
        (Some("reject"), Verdict::Accept) => !is_for_parser,
        (Some("ignore"), verdict) => verdict == Verdict::Silence,
        (Some("reject" | "either"), Verdict::Silence) => may_be_silent,
        (Some("either"), Verdict::Accept | Verdict::Refuse(_)) => true,
        (Some("any"), _) => true,
        (_, _) => false,
    }
}
