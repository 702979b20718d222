//! Configurations. Whatever the texts say: they are read or every fault has a place in them, and what was read is a policy that an
//! engine can go by.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use strowger::call::Engine;
use strowger::call::input::Input;
use strowger::call::output::Output;
use strowger::config::{self, Texts};
use strowger::sip::flow::{Flow, ListenerId, PeerId, Transport};
use strowger::sip::message::parse;
use strowger::types::ids::ShardId;

/// Files, each behind a line `=== name`; the first is the main one, whatever it is called.
pub fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let main = Path::new("strowger.toml");
    let mut texts = Texts::default();
    for (place, file) in text.split("=== ").enumerate() {
        let (name, content) = match place {
            0 => ("strowger.toml", file),
            _ => file.split_once('\n').unwrap_or((file, "")),
        };
        if !name.is_empty() && name.len() < 40 {
            texts.files.insert(name.into(), content.to_owned());
        }
    }
    texts.env.insert("SECRET".to_owned(), CANARY.to_owned());
    match config::load(main, &texts, 1) {
        Err(faults) => {
            assert!(faults.iter().next().is_some(), "there is a fault");
            for fault in faults.iter() {
                assert!(fault.line >= 1 && fault.column >= 1);
                let lines = texts
                    .files
                    .get(&fault.file)
                    .map(|text| text.lines().count());
                assert!(lines.is_none_or(|lines| fault.line <= lines + 1), "{fault}");
                assert!(!fault.what.is_empty());
            }
            let told = faults.to_string();
            assert!(!told.contains(CANARY), "no fault shows a secret");
            assert_eq!(told.lines().count(), faults.iter().count(), "{told:?}");
            let is_odd = |letter: char| letter.is_control() && letter != '\n';
            assert!(!told.contains(is_odd), "{told:?}");
        }
        Ok(settings) => run(settings),
    }
}

/// The value of a secret, which nothing shows.
const CANARY: &str = "canary-canary-canary";

/// An engine that goes by it answers, and is at rest afterwards.
fn run(settings: config::Settings) {
    let policy = Arc::new(settings.policy);
    assert!(!policy.listeners.is_empty());
    let now = start();
    let mut engine = Engine::new(ShardId(0), [7; 32], now, policy);
    let drain = |engine: &mut Engine| {
        while let Some(output) = engine.poll_output() {
            if let Output::Transmit { bytes, .. } = output {
                assert!(parse(&bytes).is_ok(), "{}", String::from_utf8_lossy(&bytes));
            }
        }
    };
    drain(&mut engine);
    for method in ["OPTIONS", "INVITE"] {
        let text = format!(
            "{method} sip:+12125550101@sip.example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{method}\r\nMax-Forwards: 70\r\n\
             From: <sip:a@example.com>;tag=a\r\nTo: <sip:b@example.com>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\nContact: <sip:a@192.0.2.1>\r\n\
             Content-Length: 0\r\n\r\n"
        );
        let flow = Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            remote: ([192, 0, 2, 1], 5060).into(),
            peer: PeerId::NOBODY,
        };
        let bytes = text.as_bytes();
        engine.handle(now, Input::Datagram { flow, bytes });
        drain(&mut engine);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "some start is needed; nothing reads on"
)]
fn start() -> Instant {
    Instant::now()
}
