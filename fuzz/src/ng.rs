//! rtpengine's replies: whatever comes is read or refused, and what was read is what was written.

use std::time::Duration;

use strowger::media::bencode::{Value, Writer};
use strowger::media::ng::{Fault, Names, Reply, Request, Scope, split_cookie};
use strowger::media::plan::Party;

/// The bytes are a reply to each request there is, with a cookie before it or without.
pub fn ng(data: &[u8]) {
    let body = split_cookie(data).map_or(data, |(cookie, body)| {
        assert_eq!(cookie.len() + 1 + body.len(), data.len());
        body
    });
    let value = Value::read(body);
    if let Ok(value) = &value {
        let mut out = Vec::new();
        write(&mut Writer::new(&mut out), value);
        assert_eq!(Value::read(&out).as_ref(), Ok(value));
    }
    let names = Names {
        call: "c".into(),
        caller: "alice".into(),
        buyer: "bob".into(),
    };
    for request in [
        Request::Ping,
        Request::Query(names.clone()),
        Request::Delete(names.clone(), Scope::Attempt),
        Request::Delete(names, Scope::Call),
    ] {
        match request.read_reply(body) {
            Ok(Reply::Figures(figures) | Reply::Deleted(Some(figures))) => {
                for party in Party::BOTH {
                    let heard = &figures.parties[party.index()];
                    assert!(heard.mos.is_none_or(|mos| (100..=450).contains(&mos)));
                    assert!(heard.jitter <= heard.jitter_max);
                    assert!(heard.jitter_max <= Duration::from_millis(i64::MAX as u64));
                }
            }
            Ok(Reply::Pong | Reply::Sdp(_) | Reply::Deleted(None)) => assert!(value.is_ok()),
            Err(fault) => {
                assert_eq!(value.is_err(), matches!(fault, Fault::Unreadable(_)));
                let words = fault.to_string();
                assert!(words.len() < 300 && !words.contains(|c: char| c.is_control()));
            }
        }
    }
}

fn write(w: &mut Writer<'_>, value: &Value<'_>) {
    match value {
        Value::Integer(number) => {
            w.integer(*number);
        }
        Value::Text(text) => {
            w.text(text);
        }
        Value::List(items) => {
            w.list(|w| items.iter().for_each(|item| write(w, item)));
        }
        Value::Dictionary(entries) => {
            w.dictionary(|w| {
                for (key, value) in entries {
                    w.text(key);
                    write(w, value);
                }
            });
        }
    }
}
