//! Calls and their two legs: what a carrier, a buyer or somebody between them may try.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::sync_channel;
use std::time::SystemTime;

use strowger::call::output::{Event, Gauges};
use strowger::config::LogFormat;
use strowger::telemetry::log::{Entry, Lines, Narrator, subscriber};
use strowger::telemetry::metrics::Metrics;
use strowger::telemetry::record::{Anchor, write_line};
use strowger::telemetry::tally::Tally;

use super::figure;
use crate::sim::desk::{
    ANSWER, Desk, Said, Talk, answer, buyer, find, invite, invite_to, ladder, request, specs,
};
use crate::sim::dice::Dice;
use crate::sim::digest;
use crate::sim::policy::{
    BUYER_REALM, CARRIER, PASSWORD, PolicySpec, ROAMER, STRANGER, USER, addr, number,
};
use crate::sim::seeds::epoch;
use crate::sim::text::Msg;

/// A buyer that challenges again and again, with any realm, gets one answer to its own realm and none to another.
#[test]
fn row_06_digest_leak() {
    let (mut leaks, mut most) = (0, 0);
    for realm in (0..20)
        .map(|at| format!("realm-{at}"))
        .chain([BUYER_REALM.to_owned()])
    {
        let mut desk = with_login();
        let mut said = desk.say(CARRIER, &invite());
        let mut invites = 0;
        for nonce in 0..20 {
            let Some(offered) = said.iter().find(|one| {
                one.to == buyer(0) && one.message.is_request() && one.message.method() == "INVITE"
            }) else {
                break;
            };
            invites += 1;
            let challenge = format!(
                "Digest realm=\"{realm}\", nonce=\"n{nonce}\", qop=\"auth\", algorithm=MD5"
            );
            let has_answer = offered.message.first("Authorization").is_some();
            leaks += usize::from(has_answer && realm != BUYER_REALM);
            let refused = offered
                .message
                .reply(401, "bob")
                .with("WWW-Authenticate", challenge);
            said = desk.say_from(buyer(0), &refused);
        }
        most = most.max(invites);
    }
    // A BYE of ours that a stranger challenges.
    let mut talk = Talk::new();
    let hung_up = talk.caller("BYE", 2);
    let bye = find(&talk.caller_says(&hung_up), "b0 BYE");
    let refused = bye
        .reply(407, "bob")
        .with("Proxy-Authenticate", "Digest realm=\"x\", nonce=\"n\"");
    let said = talk.buyer_says(&refused);
    leaks += said
        .iter()
        .filter(|one| one.message.first("Proxy-Authorization").is_some())
        .count();

    assert_eq!((leaks, most), (0, 2));
    figure(
        6,
        &format!("{leaks} answers to a foreign realm, {most} INVITEs at most"),
    );
}

/// Tables have an end, and nothing is left when the flood is over.
#[test]
fn row_08_table_exhaustion() {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        calls: 200,
        transactions: 1000,
        ..PolicySpec::default()
    });
    let mut most = Gauges::default();
    for attempt in 0..20_000 {
        // Never acknowledged; the buyer never answers.
        desk.say(CARRIER, &numbered(attempt));
        let now = desk.gauges();
        most.calls_ringing = most.calls_ringing.max(now.calls_ringing);
        most.server_transactions = most.server_transactions.max(now.server_transactions);
        most.client_transactions = most.client_transactions.max(now.client_transactions);
    }
    let left = desk.rest();

    assert!(
        most.calls_ringing <= 200
            && most.server_transactions <= 1000
            && most.client_transactions <= 1000,
        "{most:?}"
    );
    assert_eq!(left, Gauges::default());
    let text = format!(
        "20,000 INVITEs: {} calls, {} server transactions at most; 0 left",
        most.calls_ringing, most.server_transactions
    );
    figure(8, &text);
}

/// Who does not see our messages cannot end or change a call.
#[test]
fn row_10_forged_messages() {
    const GUESSES: u32 = 10_000;
    let mut talk = Talk::new();
    let mut dice = Dice::new(4711);
    let mut hex = |length: usize| -> String {
        (0..length)
            .map(|_| {
                char::from_digit(u32::try_from(dice.below(16)).expect("a digit"), 16).expect("hex")
            })
            .collect()
    };
    let right = talk.caller("BYE", 9);
    let tag = right.tag_in_to().expect("a tag").to_owned();
    for guess in 0..GUESSES {
        let forged_tag = format!("{}{}", &tag[..10], hex(32));
        let bye = right
            .clone()
            .set("To", right.value("To").replace(&tag, &forged_tag));
        let from = if guess % 2 == 0 { STRANGER } else { CARRIER };
        assert_eq!(talk.desk.say(from, &bye)[0].message.status(), 481);
        let cancel = Msg::new(talk.invite.line.replacen("INVITE", "CANCEL", 1))
            .with(
                "Via",
                format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK{}", hex(16)),
            )
            .with("From", talk.invite.value("From"))
            .with("To", talk.invite.value("To"))
            .with("Call-ID", talk.invite.value("Call-ID"))
            .with("CSeq", "1 CANCEL")
            .with("Max-Forwards", "70")
            .with("User-Agent", talk.invite.value("User-Agent"));
        assert_eq!(talk.desk.say(STRANGER, &cancel)[0].message.status(), 481);
        let branch = talk.offered.branch().to_owned();
        let forged = talk.offered.reply(200, "eve").set(
            "Via",
            talk.offered
                .value("Via")
                .replace(&branch, &format!("{}{}", &branch[..17], hex(32))),
        );
        assert_eq!(ladder(&talk.desk.say(STRANGER, &forged)), [""; 0]);
    }

    // With the true Call-ID and a wrong tag of the peer's own.
    let wrong = right
        .clone()
        .set("From", right.value("From").replace("tag=ann", "tag=eve"));
    assert_eq!(talk.desk.say(STRANGER, &wrong)[0].message.status(), 481);
    assert_eq!(talk.desk.gauges().calls_talking, 1);
    figure(
        10,
        &format!("{GUESSES} BYEs, CANCELs and responses each: 0 matched, the call stays"),
    );
}

/// No secret is in any line of the log at its most talkative, in a metric or in a record.
#[test]
fn row_18_secrets() {
    let mut desk = with_login();
    let uri = format!("sip:{}@digest.example.com", number(0));
    let mut secrets = vec![
        PASSWORD.to_owned(),
        "hop-secret".to_owned(),
        "company-key-secret".to_owned(),
    ];
    for realm in [BUYER_REALM, "edge.example.com"] {
        secrets.push(md5_hex(&format!("{USER}:{realm}:{PASSWORD}")));
    }
    for attempt in 0..20_u32 {
        let bare = invite_to(&uri)
            .set(
                "Via",
                format!("SIP/2.0/UDP {ROAMER};branch=z9hG4bK{attempt}"),
            )
            .set("Call-ID", format!("c{attempt}"));
        let refused = find(&desk.say(ROAMER, &bare), "roamer 401 INVITE");
        let password = if attempt % 3 == 0 {
            "canary-guess"
        } else {
            PASSWORD
        };
        let credentials = digest::answer(
            refused.value("WWW-Authenticate"),
            USER,
            password,
            "INVITE",
            &uri,
            1,
        );
        secrets.push(digest::value(&credentials, "response").expect("a response"));
        secrets.push(digest::value(&credentials, "nonce").expect("a nonce"));
        let said = desk.say(
            ROAMER,
            &bare
                .set("CSeq", "2 INVITE")
                .set(
                    "Via",
                    format!("SIP/2.0/UDP {ROAMER};branch=z9hG4bKx{attempt}"),
                )
                .with("Authorization", credentials),
        );
        let Some(offered) = said.iter().find(|one| one.to == buyer(0)) else {
            continue;
        };
        let challenge = format!(
            "Digest realm=\"{BUYER_REALM}\", nonce=\"n{attempt}\", qop=\"auth\", algorithm=MD5"
        );
        let challenged = offered
            .message
            .reply(401, "bob")
            .with("WWW-Authenticate", challenge);
        let said = desk.say_from(buyer(0), &challenged);
        let again = find(&said, "b0 INVITE");
        secrets.push(digest::value(again.value("Authorization"), "response").expect("a response"));
        secrets.push(again.value("X-PH-RetreaverKey").to_owned());
        desk.say_from(buyer(0), &answer(&again, 200, "bob").with_sdp(ANSWER));
    }
    secrets.push("canary-guess".to_owned());
    desk.rest();

    let shown = shown(&desk);

    assert!(
        shown.len() > 5000 && desk.records.len() > 10,
        "{} bytes",
        shown.len()
    );
    for secret in &secrets {
        assert!(
            secret.len() > 7 && !shown.contains(secret.as_str()),
            "{secret} is shown"
        );
    }
    figure(
        18,
        &format!(
            "{} secrets, {} bytes of log, metrics and records: 0 hits",
            secrets.len(),
            shown.len()
        ),
    );
}

/// Whatever a caller names, calls go to configured buyers only; nor can a buyer send one elsewhere.
#[test]
fn row_28_toll_fraud() {
    let (mut strays, mut offers) = (0, 0);
    let mut desk = Desk::new(1);
    for attempt in 0..1000_u32 {
        let foreign = format!("sip:+8816{attempt:08}@198.18.0.{}", attempt % 256);
        let base = numbered(attempt);
        let message = match attempt % 6 {
            0 => base.set("To", format!("<{foreign}>")),
            1 => base.with("Route", format!("<{foreign};lr>")),
            2 => base.with("Diversion", format!("<{foreign}>")),
            3 => base.with("Refer-To", format!("<{foreign}>")),
            4 => base.with("P-Asserted-Identity", format!("<{foreign}>")),
            _ => {
                let mut elsewhere = base;
                elsewhere.line = format!("INVITE sip:+8816{attempt:08}@ip.example.com SIP/2.0");
                elsewhere
            }
        };
        let said = desk.say(CARRIER, &message);
        strays += said
            .iter()
            .filter(|one| one.to != addr(CARRIER) && one.to != buyer(0))
            .count();
        if let Some(offer) = said.iter().find(|one| one.to == buyer(0)) {
            offers += 1;
            let redirect = offer
                .message
                .reply(302, "bob")
                .with("Contact", format!("<{foreign}>"));
            let said = desk.say_from(buyer(0), &redirect);
            strays += said
                .iter()
                .filter(|one| one.to != addr(CARRIER) && one.to != buyer(0))
                .count();
            assert!(
                !said
                    .iter()
                    .any(|one| one.message.is_request() && one.message.method() == "INVITE")
            );
        }
    }

    assert!(offers > 500);
    assert_eq!(strays, 0);
    figure(
        28,
        &format!(
            "1,000 foreign numbers and hosts, {offers} redirections: {strays} messages to anybody else"
        ),
    );
}

/// A buyer that is ourselves: the call comes back once, and ends.
#[test]
fn row_30_loops() {
    let mut desk = Desk::new(1);
    let mut invites = 0;
    let mut waiting: Vec<Said> = desk.say(CARRIER, &invite());
    let mut last = 0;
    while let Some(said) = waiting.pop() {
        if said.to == buyer(0) && said.message.is_request() && said.message.method() == "INVITE" {
            invites += 1;
            assert!(invites < 10, "it goes on");
            // Its own INVITE comes in at the door, as from a node that shares its secret.
            let looped = said.message.clone();
            let uri = format!("sip:{}@ip.example.com", number(0));
            let mut back = looped;
            back.line = format!("INVITE {uri} SIP/2.0");
            for answer in desk.say(CARRIER, &back) {
                last = last.max(if answer.message.is_request() {
                    0
                } else {
                    answer.message.status()
                });
                waiting.push(answer);
            }
        }
    }

    assert!(
        invites <= 2 && (last == 482 || last == 483),
        "{invites} INVITEs, then {last}"
    );
    figure(30, &format!("{invites} INVITE, then {last}"));
}

fn with_login() -> Desk {
    let mut buyers = specs(1);
    buyers[0].has_login = true;
    Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    })
}

fn numbered(attempt: u32) -> Msg {
    request("INVITE", &format!("sip:{}@ip.example.com", number(0)))
        .with("Contact", format!("<sip:ann@{CARRIER}>"))
        .set(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{attempt}"),
        )
        .set("Call-ID", format!("call-{attempt}"))
}

/// All that is told of what happened at the desk.
fn shown(desk: &Desk) -> String {
    let (sender, receiver) = sync_channel(1_000_000);
    static DROPS: AtomicU64 = AtomicU64::new(0);
    let subscriber =
        subscriber("trace", LogFormat::Text, Lines::new(sender, &DROPS)).expect("a filter");
    let metrics = Arc::new(Metrics::new());
    let mut tally = Tally::new(Arc::clone(&metrics));
    tracing::subscriber::with_default(subscriber, || {
        let mut narrator = Narrator::default();
        for event in &desk.events {
            tally.handle_event(event);
            narrator.handle_event(epoch(), event);
            if let Event::Refused { .. } = event {
                narrator.handle_refusal(epoch(), event, true);
            }
        }
        for record in &desk.records {
            narrator.handle_lost_record(epoch(), record);
        }
    });
    tally.publish();
    let mut text = metrics.render();
    for entry in receiver.try_iter() {
        if let Entry::Line(line) = entry {
            text.push_str(&String::from_utf8_lossy(&line));
        }
    }
    let anchor = Anchor::new(epoch(), SystemTime::UNIX_EPOCH);
    let mut records = Vec::new();
    for record in &desk.records {
        write_line(&mut records, "node", record, &anchor);
    }
    text + &String::from_utf8(records).expect("text")
}

fn md5_hex(text: &str) -> String {
    use md5::Digest as _;
    md5::Md5::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
