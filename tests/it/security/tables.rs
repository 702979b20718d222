//! INVITEs that are left open: how many of them one sender can have the edge keep.

use std::time::Duration;

use strowger::call::output::{Event, Gauges, Refusal};

use super::figure;
use crate::sim::desk::{Desk, ack_of_failure, cancel, find, invite_to, specs};
use crate::sim::digest;
use crate::sim::policy::{CARRIER, PASSWORD, PolicySpec, ROAMER, USER, addr, number};
use crate::sim::text::Msg;

/// 200,000 INVITEs whose buyer never answers, or that are refused, and none of which is ever acknowledged: the carrier has as many
/// open as it may, and nothing is left when they have run out.
#[test]
fn row_08_half_open_invites_of_a_trunk() {
    const MOST: usize = 64;
    const INVITES: u32 = 200_000;
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        half_open: (0, Some(64)),
        ..PolicySpec::default()
    });
    let mut most = Gauges::default();
    let (mut taken, mut refused) = (0, 0);
    for attempt in 0..INVITES {
        // Every third is for a number that is nobody's.
        let line = if attempt % 3 == 0 { 99 } else { 0 };
        let said = desk.say_bytes(addr(CARRIER), &numbered(line, attempt));
        let last = &said.last().expect("an answer").message;
        if !last.is_request() && last.status() == 503 {
            assert_eq!(said.len(), 1);
            assert_eq!(last.value("Retry-After"), "5");
            refused += 1;
        } else {
            taken += 1;
        }
        if attempt % 64 == 0 {
            let now = desk.gauges();
            most.server_transactions = most.server_transactions.max(now.server_transactions);
            most.client_transactions = most.client_transactions.max(now.client_transactions);
            desk.pass_millis(64);
        }
    }
    let told = count(&desk, Refusal::TrunkHalfOpen);
    desk.pass(Duration::from_secs(40));

    assert_eq!(most.server_transactions, MOST);
    assert!(most.client_transactions <= MOST, "{most:?}");
    assert_eq!((told, taken + refused), (refused, INVITES as usize));
    assert!(taken > MOST, "{taken}: places are given back");
    let left = desk.gauges();
    assert_eq!((left.server_transactions, left.client_transactions), (0, 0));
    assert_eq!(desk.rest(), Gauges::default());
    figure(
        8,
        &format!(
            "{INVITES} INVITEs of one trunk, none acknowledged: {MOST} open at most, {refused} got 503; 0 left after 40 s"
        ),
    );
}

/// A user who logs in from anywhere has 64 at most; one elsewhere is not touched by that.
#[test]
fn row_08_half_open_invites_of_an_address() {
    let elsewhere = "203.0.113.99:5060";
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        half_open: (64, None),
        ..PolicySpec::default()
    });

    let statuses: Vec<u16> = (0..200)
        .map(|at| logged_in(&mut desk, ROAMER, at).1)
        .collect();

    assert!(statuses[..64].iter().all(|status| *status == 100));
    assert!(statuses[64..].iter().all(|status| *status == 503));
    assert_eq!(count(&desk, Refusal::HalfOpen), 136);
    assert_eq!(logged_in(&mut desk, elsewhere, 1000).1, 100);
    // The listed carrier has no such bound.
    let said = desk.say_bytes(addr(CARRIER), &numbered(0, 1));
    assert_eq!(said[0].message.status(), 100);
    figure(
        8,
        "200 INVITEs of one user at one address: 64 taken, 136 got 503; the user elsewhere was let in",
    );
}

/// A place is free again when the caller has acknowledged how its INVITE ended, and not before.
#[test]
fn row_08_an_acknowledged_refusal_is_not_open() {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        half_open: (1, None),
        ..PolicySpec::default()
    });
    let (first, status) = logged_in(&mut desk, ROAMER, 0);
    assert_eq!(status, 100);
    let said = desk.say(ROAMER, &cancel(&first));
    let ended = find(&said, "roamer 487 INVITE");
    assert_eq!(logged_in(&mut desk, ROAMER, 1).1, 503);

    desk.say(ROAMER, &ack_of_failure(&first, &ended));

    assert_eq!(logged_in(&mut desk, ROAMER, 2).1, 100);
}

/// An INVITE that was turned away stays so: its copies do not ring for a caller who has heard 503.
#[test]
fn row_08_a_copy_of_what_was_turned_away_is_turned_away_too() {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        half_open: (0, Some(1)),
        ..PolicySpec::default()
    });
    let status = |desk: &mut Desk, bytes: &[u8]| {
        let said = desk.say_bytes(addr(CARRIER), bytes);
        (said[0].message.status(), said.last().expect("some").to)
    };
    let (first, second) = (numbered(0, 1), numbered(0, 2));
    assert_eq!(status(&mut desk, &first).0, 100);
    let refused = desk.say_bytes(addr(CARRIER), &second);
    assert_eq!(refused[0].message.status(), 503);
    // The buyer never answers, and the carrier acknowledges that.
    let said = desk.pass(Duration::from_secs(5));
    let ended = find(&said, "carrier 603 INVITE");
    desk.say(CARRIER, &ack_of_failure(&Msg::parse(&first), &ended));

    let again = desk.say_bytes(addr(CARRIER), &second);

    assert_eq!(again.len(), 1);
    assert_eq!(again[0].bytes, refused[0].bytes);
    assert_eq!(status(&mut desk, &numbered(0, 3)).0, 100);
    let forgotten = Duration::from_secs(33);
    desk.pass(forgotten);
    desk.rest();
    assert_eq!(
        status(&mut desk, &second).0,
        100,
        "it is no copy so much later"
    );
}

fn count(desk: &Desk, wanted: Refusal) -> usize {
    let is_wanted = |event: &&Event| matches!(event, Event::Refused { why, .. } if *why == wanted);
    desk.events.iter().filter(is_wanted).count()
}

/// An INVITE with credentials for the challenge that it got, and the first status it is answered with.
fn logged_in(desk: &mut Desk, from: &str, attempt: u32) -> (Msg, u16) {
    let uri = format!("sip:{}@digest.example.com", number(0));
    let invite = invite_to(&uri)
        .set(
            "Via",
            format!("SIP/2.0/UDP {from};branch=z9hG4bKa{attempt}"),
        )
        .set("Call-ID", format!("call-{from}-{attempt}"));
    let said = desk.say(from, &invite);
    let challenge = said[0].message.value("WWW-Authenticate").to_owned();
    let credentials = digest::answer(&challenge, USER, PASSWORD, "INVITE", &uri, 1);
    let again = invite
        .set(
            "Via",
            format!("SIP/2.0/UDP {from};branch=z9hG4bKb{attempt}"),
        )
        .set("CSeq", "2 INVITE")
        .with("Authorization", credentials);
    let said = desk.say(from, &again);
    let status = said[0].message.status();
    (again, status)
}

/// An INVITE of the carrier's, written by hand, for there are many.
fn numbered(line: usize, attempt: u32) -> Vec<u8> {
    let uri = format!("sip:{}@ip.example.com", number(line));
    format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{attempt}\r\nMax-Forwards: 70\r\n\
         From: <sip:+15555550199@carrier.example.net>;tag=ann\r\nTo: <{uri}>\r\nCall-ID: call-{attempt}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:ann@{CARRIER}>\r\nContent-Length: 0\r\n\r\n"
    )
    .into_bytes()
}
