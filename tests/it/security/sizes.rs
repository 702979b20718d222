//! Messages that are large, and messages that are meant to cost much.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use strowger::sip::message::{Message, parse};
use strowger::sip::scan::{MAX_HEADERS, MAX_LINE, MAX_MESSAGE, MAX_VIAS};

use super::figure;
use crate::sim::desk::{Desk, ladder, request};
use crate::sim::policy::{CARRIER, addr};
use crate::sim::text::Msg;

/// What is as large as it may be is answered, and what is one larger is refused.
#[test]
fn row_26_huge_messages() {
    let headers = |count: usize| (7..count).fold(options(), |message, _| message.with("X-A", "b"));
    let vias = |count: usize| {
        (1..count).fold(options(), |message, at| {
            message.with("Via", format!("SIP/2.0/UDP 192.0.2.{at}"))
        })
    };
    let line = |length: usize| options().with("X-A", "b".repeat(length - "X-A: ".len()));
    let size = |length: usize| {
        let empty = options().with_body("text/plain", "b").bytes().len() - 1;
        // Content-Length is five digits long, and was one.
        options().with_body("text/plain", "b".repeat(length - empty - 4))
    };
    assert_eq!(size(MAX_MESSAGE).bytes().len(), MAX_MESSAGE);
    let mut slowest = Duration::ZERO;
    for (what, at_limit, beyond) in [
        ("headers", headers(MAX_HEADERS), headers(MAX_HEADERS + 1)),
        ("Vias", vias(MAX_VIAS), vias(MAX_VIAS + 1)),
        ("line", line(MAX_LINE), line(MAX_LINE + 1)),
        ("message", size(MAX_MESSAGE), size(MAX_MESSAGE + 1)),
    ] {
        let status = |message: &Msg| {
            // The quickest of some is what the work itself takes.
            let tries = (0..5).map(|_| {
                let mut desk = Desk::new(1);
                let begin = now();
                let said = desk.say(CARRIER, message);
                (begin.elapsed(), ladder(&said))
            });
            let (time, said) = tries.min().expect("some");
            (said, time)
        };
        let (taken, time) = status(&at_limit);
        let (refused, more) = status(&beyond);
        slowest = slowest.max(time).max(more);

        assert_eq!(taken, ["carrier 200 OPTIONS"], "{what}");
        let answers = ["carrier 513 OPTIONS", "carrier 400 OPTIONS"];
        let is_refused = refused
            .iter()
            .all(|answer| answers.contains(&answer.as_str()));
        // With too many Vias it is not answered at all.
        assert!(is_refused, "{what}: {refused:?}");
    }

    // Not optimised, and with other tests beside it.
    assert!(slowest < Duration::from_millis(50), "{slowest:?}");
    figure(
        26,
        &format!("at each limit taken, beyond it refused; slowest {slowest:?}"),
    );
}

/// A datagram that is shorter than it says is refused, and what is behind its end is not looked at.
#[test]
fn row_25_content_length_lies_in_a_datagram() {
    let values = [
        ("0", 200),
        ("3", 200),
        ("4", 200),
        ("5", 400),
        ("-1", 400),
        ("65535", 400),
        ("65536", 400),
        ("2147483648", 400),
        ("4294967296", 400),
        ("18446744073709551616", 400),
        ("1 1", 400),
        ("0x10", 400),
        ("4\r\nContent-Length: 4", 200),
        ("4\r\nl: 5", 400),
    ];
    for (value, status) in values {
        let message = options().with_body("text/plain", "body");
        let text = String::from_utf8(message.bytes().to_vec()).expect("text");
        let text = text.replace(
            "Content-Length: 4\r\n",
            &format!("Content-Length: {value}\r\n"),
        );
        let mut desk = Desk::new(1);

        let said = desk.say_bytes(addr(CARRIER), text.as_bytes());

        assert_eq!(
            ladder(&said),
            [format!("carrier {status} OPTIONS")],
            "{value}"
        );
    }
    figure(
        25,
        &format!("{} values of Content-Length in a datagram", values.len()),
    );
}

/// The time that a message takes grows as its length does, whatever it is made of.
#[test]
fn row_27_algorithmic_complexity() {
    type Shape = fn(usize) -> String;
    let shapes: [(&str, Shape); 5] = [
        ("one long header", |room| {
            format!("X-A: {}\r\n", "b".repeat(room.min(8000)))
        }),
        ("folds", |room| {
            format!("X-A: b{}\r\n", "\r\n b".repeat(room.min(7900) / 4))
        }),
        ("parameters", |room| {
            format!(
                "Contact: <sip:a@b>{}\r\n",
                ";p=1".repeat(room.min(7900) / 4)
            )
        }),
        ("quotes", |room| {
            format!(
                "Contact: \"{}\" <sip:a@b>\r\n",
                "\\\"".repeat(room.min(7900) / 2)
            )
        }),
        ("commas", |room| {
            format!(
                "Route: {}<sip:a@b>\r\n",
                "<sip:a@b>,".repeat(room.min(7900) / 10)
            )
        }),
    ];
    let mut worst: f64 = 0.0;
    for (what, shape) in shapes {
        let time = |room: usize| {
            let mut text = String::from(
                "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n",
            );
            write!(text, "{}\r\n", shape(room)).expect("text");
            let bytes = text.as_bytes();
            // The quickest of many is what the work itself takes.
            let times = (0..200).map(|_| {
                let begin = now();
                let Ok(Message::Request(request)) = parse(bytes) else {
                    panic!("{what}");
                };
                assert!(request.essentials().is_ok(), "{what}");
                begin.elapsed()
            });
            let best = times.min().expect("some").as_nanos() as f64;
            best / bytes.len() as f64
        };
        let (short, long) = (time(1000), time(8000));
        worst = worst.max(long / short);

        assert!(
            long < short * 3.0,
            "{what}: {short:.2} and {long:.2} ns per byte"
        );
    }

    figure(
        27,
        &format!("eight times as long takes at most {worst:.2} times as long per byte"),
    );
}

fn options() -> Msg {
    request("OPTIONS", "sip:ip.example.com").without("User-Agent")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time it takes is what is asked for"
)]
fn now() -> Instant {
    Instant::now()
}
