//! The way in: users, passwords, nonces.

use std::time::{Duration, Instant};

use strowger::auth::digest::{Account, Algorithm, Credentials, verify};
use strowger::call::output::{Event, Refusal};
use strowger::types::secret::Secret;

use super::{figure, welch};
use crate::sim::desk::{Desk, Said, find, invite_to, specs};
use crate::sim::digest;
use crate::sim::policy::{PASSWORD, PolicySpec, REALM, ROAMER, USER, number};
use crate::sim::text::Msg;

/// Known and unknown users get the same answers, byte by byte but for the nonce.
#[test]
fn row_02_enumeration() {
    let mut desk = desk(0);
    let mut seen: Option<[String; 2]> = None;
    for attempt in 0..2000 {
        let challenge = challenged(&mut desk, ROAMER, attempt);
        let answers = [USER, "mallo"].map(|user| {
            let said = desk.say(
                ROAMER,
                &login(ROAMER, attempt, &challenge, user, "guess", 1),
            );
            let text = String::from_utf8(said[0].bytes.to_vec()).expect("text");
            assert_eq!(said.len(), 1);
            without_nonce(&text)
        });
        assert_eq!(answers[0], answers[1]);
        seen = Some(answers);
    }

    assert!(seen.is_some_and(|[answer, _]| answer.starts_with("SIP/2.0 401 ")));
    figure(
        2,
        "2,000 known and 2,000 unknown users: every answer the same",
    );
}

/// However many guesses there are, five digests are computed in a quarter of an hour, and the user gets in elsewhere.
#[test]
fn row_03_digest_brute_force() {
    const GUESSES: u32 = 5_000;
    let mut desk = desk(5);
    for attempt in 0..GUESSES {
        let challenge = challenged(&mut desk, ROAMER, attempt);
        let guess = format!("guess-{attempt}");
        let said = desk.say(ROAMER, &login(ROAMER, attempt, &challenge, USER, &guess, 1));
        assert_eq!(said.is_empty(), attempt >= 5, "{attempt}");
    }

    let (wrong, locked) = (
        count(&desk, Refusal::WrongPassword),
        count(&desk, Refusal::Locked),
    );
    assert_eq!((wrong, locked), (5, GUESSES as usize - 5));
    let elsewhere = "203.0.113.99:5060";
    let challenge = challenged(&mut desk, elsewhere, 90_000);
    let said = desk.say(
        elsewhere,
        &login(elsewhere, 90_000, &challenge, USER, PASSWORD, 1),
    );
    assert_eq!(said[0].message.status(), 100);
    figure(
        3,
        &format!("{GUESSES} guesses: {wrong} passwords looked at; the user elsewhere was let in"),
    );
}

/// Whoever forges a user's address cannot lock it out: guesses count where the nonce was sent.
#[test]
fn row_03_forged_guesses_lock_nobody_out() {
    let mut desk = desk(5);
    let (attacker, victim) = ("203.0.113.66:5060", ROAMER);
    for attempt in 0..100 {
        let challenge = challenged(&mut desk, attacker, attempt);
        desk.say(
            victim,
            &login(victim, attempt, &challenge, USER, "guess", 1),
        );
    }

    let challenge = challenged(&mut desk, victim, 1000);
    let said = desk.say(victim, &login(victim, 1000, &challenge, USER, PASSWORD, 1));

    assert_eq!(said[0].message.status(), 100);
    let wrong = count(&desk, Refusal::WrongPassword);
    assert_eq!(wrong, 5);
    figure(
        3,
        "100 forged guesses: the user at the forged address was let in",
    );
}

/// What was let in once is let in once, however it is changed or where it comes from.
#[test]
fn row_04_digest_replay() {
    let mut desk = desk(0);
    let challenge = challenged(&mut desk, ROAMER, 0);
    let good = login(ROAMER, 1, &challenge, USER, PASSWORD, 7);
    assert_eq!(desk.say(ROAMER, &good)[0].message.status(), 100);

    let credentials = good.value("Authorization").to_owned();
    let mut replays = 0;
    let mut accepted = 0;
    let mut replay = |desk: &mut Desk, from: &str, credentials: &str, uri: &str| {
        replays += 1;
        let again = invite(from, 10_000 + replays, uri).with("Authorization", credentials);
        accepted += usize::from(desk.say(from, &again)[0].message.status() == 100);
    };
    let uri = uri();
    for _ in 0..2000 {
        replay(&mut desk, ROAMER, &credentials, &uri);
        replay(&mut desk, "203.0.113.99:5060", &credentials, &uri);
        let lower = credentials.replace("nc=00000007", "nc=00000003");
        replay(&mut desk, ROAMER, &lower, &uri);
        let higher = credentials.replace("nc=00000007", "nc=00000009");
        replay(&mut desk, ROAMER, &higher, &uri);
        let other = format!("sip:{}@digest.example.com", number(1));
        replay(&mut desk, ROAMER, &credentials, &other);
    }
    desk.pass(Duration::from_secs(61));
    replay(&mut desk, ROAMER, &credentials, &uri);
    let mut restarted = Desk::seeded(&spec(0), [8; 32]);
    replay(&mut restarted, ROAMER, &credentials, &uri);

    assert_eq!(accepted, 0);
    figure(4, &format!("{replays} replays: {accepted} accepted"));
}

/// Where SHA-256 is asked for, MD5 does not do, whoever has struck SHA-256 from the challenge.
#[test]
fn row_05_algorithm_downgrade() {
    let mut desk = Desk::with(&PolicySpec {
        algorithms: vec![Algorithm::Sha256],
        ..spec(0)
    });
    let challenge = challenged(&mut desk, ROAMER, 0);
    assert!(challenge.contains("algorithm=SHA-256"), "{challenge}");
    let weaker = challenge.replace("algorithm=SHA-256", "algorithm=MD5");
    let unnamed = challenge.replace(", algorithm=SHA-256", "");

    for (attempt, challenge) in [(1, &weaker), (2, &unnamed)] {
        let said = desk.say(
            ROAMER,
            &login(ROAMER, attempt, challenge, USER, PASSWORD, 1),
        );
        assert_eq!(said[0].message.status(), 401);
    }
    let said = desk.say(ROAMER, &login(ROAMER, 3, &challenge, USER, PASSWORD, 1));
    assert_eq!(said[0].message.status(), 100);
    figure(5, "2 weaker answers: 0 accepted");
}

/// Where a wrong response differs does not show in the time that it takes to say so.
#[test]
fn row_16_timing() {
    let account = Account::from_password(USER, REALM, &Secret::new(PASSWORD.as_bytes()));
    let challenge =
        format!("Digest realm=\"{REALM}\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"");
    let right = digest::answer(&challenge, USER, PASSWORD, "INVITE", "sip:a@b", 1);
    let response = digest::value(&right, "response").expect("a response");
    let flip = |place: usize| {
        let mut wrong = response.clone().into_bytes();
        wrong[place] = if wrong[place] == b'0' { b'1' } else { b'0' };
        right.replace(&response, std::str::from_utf8(&wrong).expect("text"))
    };
    let wrong = [flip(0), flip(response.len() - 1)];
    let wrong = wrong
        .each_ref()
        .map(|text| Credentials::parse(text.as_bytes()).expect("credentials"));

    // A leak would show each time; what else the machine does shows now and then.
    let worst = (0..3).map(|_| {
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..20_000 {
            let which = round % 2;
            let begin = now();
            assert!(!verify(&wrong[which], b"INVITE", Some(&account)));
            times[which].push(begin.elapsed().as_nanos() as f64);
        }
        let [first, last] = times;
        welch(first, last).abs()
    });
    let t = worst.fold(f64::INFINITY, f64::min);

    assert!(t < 4.5, "t = {t}");
    figure(
        16,
        &format!("first against last byte wrong, 20,000 times: |t| = {t:.2} (< 4.5)"),
    );
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time it takes is what is asked for"
)]
fn now() -> Instant {
    Instant::now()
}

fn spec(guesses: u32) -> PolicySpec {
    PolicySpec {
        lines: vec![specs(1), specs(1)],
        guesses,
        calls: 100_000,
        transactions: 1_000_000,
        ..PolicySpec::default()
    }
}

fn desk(guesses: u32) -> Desk {
    Desk::with(&spec(guesses))
}

fn uri() -> String {
    format!("sip:{}@digest.example.com", number(0))
}

/// An INVITE that is none of the others'.
fn invite(from: &str, attempt: u32, uri: &str) -> Msg {
    invite_to(uri)
        .set(
            "Via",
            format!("SIP/2.0/UDP {from};branch=z9hG4bK-{attempt}"),
        )
        .set("Call-ID", format!("call-{attempt}"))
}

/// The first challenge that `from` gets.
fn challenged(desk: &mut Desk, from: &str, attempt: u32) -> String {
    let said: Vec<Said> = desk.say(from, &invite(from, attempt, &uri()));
    assert_eq!(said[0].message.status(), 401);
    said[0].message.value("WWW-Authenticate").to_owned()
}

fn login(from: &str, attempt: u32, challenge: &str, user: &str, password: &str, count: u32) -> Msg {
    let uri = uri();
    let credentials = digest::answer(challenge, user, password, "INVITE", &uri, count);
    invite(from, attempt, &uri)
        .set(
            "Via",
            format!("SIP/2.0/UDP {from};branch=z9hG4bK-{attempt}-{user}-{count}"),
        )
        .set("CSeq", "2 INVITE")
        .with("Authorization", credentials)
}

fn count(desk: &Desk, wanted: Refusal) -> usize {
    let is_wanted = |event: &&Event| matches!(event, Event::Refused { why, .. } if *why == wanted);
    desk.events.iter().filter(is_wanted).count()
}

/// The text without nonces, branch and To-tag, which name the request.
fn without_nonce(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if line.starts_with("Via:") || line.starts_with("To:") {
            continue;
        }
        match line.split_once("nonce=\"") {
            Some((head, rest)) => {
                let (nonce, tail) = rest.split_once('"').expect("its end");
                out.push_str(&format!("{head}{}{tail}\n", nonce.len()));
            }
            None => out.push_str(&format!("{line}\n")),
        }
    }
    out
}

#[test]
fn a_login_at_this_door_is_possible_at_all() {
    let mut desk = desk(5);
    let challenge = challenged(&mut desk, ROAMER, 0);

    let said = desk.say(ROAMER, &login(ROAMER, 0, &challenge, USER, PASSWORD, 1));

    find(&said, "b0 INVITE");
}
