//! Users that are there and users that are not: nobody outside can tell them apart.

use std::sync::Arc;
use std::time::Instant;

use strowger::auth::digest::Account;
use strowger::call::Engine;
use strowger::call::input::Input;
use strowger::call::output::Output;
use strowger::call::policy::{Policy, TrunkId, User};
use strowger::types::ids::ShardId;
use strowger::types::secret::Secret;

use super::{figure, welch};
use crate::sim::desk::specs;
use crate::sim::dice::Dice;
use crate::sim::policy::{PASSWORD, PolicySpec, REALM, ROAMER, addr, number};
use crate::sim::seeds::epoch;
use crate::sim::text::Msg;
use crate::sim::world::flow;

/// Users of each kind.
const USERS: usize = 10_000;
/// Runs after which a difference counts as one: a leak shows in each of them, what else the machine does in some.
const RUNS: usize = 6;

/// 10,000 users that there are and 10,000 that there are not, in any order: the same answer but for the nonce, in the same time.
#[test]
fn row_02_known_and_unknown_users_differ_in_nothing() {
    let policy = with_users();
    let mut engine = Engine::new(ShardId(0), [7; 32], epoch(), policy);
    let start = epoch();
    let nonce = nonce(&mut engine, start);
    let mut attempts: Vec<(usize, Vec<u8>)> = (0..2 * USERS)
        .map(|place| (place % 2, login(&name(place), &nonce).into_bytes()))
        .collect();
    let mut dice = Dice::new(2);
    for place in (1..attempts.len()).rev() {
        let other = usize::try_from(dice.below(place as u64 + 1)).expect("a place");
        attempts.swap(place, other);
    }

    // All are read from one place: what lies where in memory shows in the time, too.
    let mut buffer = Vec::with_capacity(4096);
    let mut first: Option<String> = None;
    let mut best = f64::INFINITY;
    let mut runs = 0;
    while best >= 4.5 && runs < RUNS {
        runs += 1;
        let mut times = [Vec::new(), Vec::new()];
        for (kind, bytes) in &attempts {
            buffer.clear();
            buffer.extend_from_slice(bytes);
            let (time, answer) = timed(&mut engine, start, &buffer);
            times[*kind].push(time);
            if runs == 1 {
                let answer = without_nonce(&answer);
                let first = first.get_or_insert_with(|| answer.clone());
                assert_eq!(answer, *first);
            }
        }
        let [known, unknown] = times;
        best = best.min(welch(known, unknown).abs());
    }

    assert!(first.is_some_and(|answer| answer.starts_with("SIP/2.0 401 ")));
    assert!(best < 4.5, "|t| = {best}");
    figure(
        2,
        &format!(
            "{USERS} known and {USERS} unknown users: every answer the same but for its nonce, |t| = {best:.2} (< 4.5) in run {runs}"
        ),
    );
}

/// How long the engine takes for a message, in nanoseconds, and what it answers.
fn timed(engine: &mut Engine, now: Instant, bytes: &[u8]) -> (f64, Vec<u8>) {
    let flow = flow(addr(ROAMER));
    let begin = clock();
    engine.handle(now, Input::Datagram { flow, bytes });
    let time = begin.elapsed().as_nanos() as f64;
    let mut answer = None;
    while let Some(output) = engine.poll_output() {
        if let Output::Transmit { bytes, .. } = output {
            assert!(answer.replace(bytes.to_vec()).is_none(), "one answer");
        }
    }
    (time, answer.expect("an answer"))
}

/// What names users of the same length; even ones are there.
fn name(place: usize) -> String {
    let kind = if place.is_multiple_of(2) {
        "user"
    } else {
        "none"
    };
    format!("{kind}-{:05}", place / 2)
}

fn with_users() -> Arc<Policy> {
    let spec = PolicySpec {
        lines: vec![specs(1)],
        // As many wrong passwords for one user as there are here count, and lock nobody out.
        guesses: 1000,
        ..PolicySpec::default()
    };
    let mut policy = Arc::into_inner(spec.build()).expect("nobody else has it");
    let domain = policy
        .domains
        .get_mut("digest.example.com")
        .expect("is there");
    let domain = Arc::get_mut(domain).expect("nobody else has it");
    let password = Secret::new(PASSWORD.as_bytes());
    for place in (0..2 * USERS).step_by(2) {
        let name = name(place);
        let user = User {
            name: name.as_str().into(),
            trunk: TrunkId(0),
            account: Account::from_password(&name, REALM, &password),
        };
        assert!(domain.users.insert(user));
    }
    Arc::new(policy)
}

/// The nonce of a challenge; it serves for all, for no guess is right.
fn nonce(engine: &mut Engine, now: Instant) -> String {
    let text = invite("");
    let (_, answer) = timed(engine, now, text.as_bytes());
    let answer = Msg::parse(&answer);
    let (_, rest) = answer
        .value("WWW-Authenticate")
        .split_once("nonce=\"")
        .expect("a nonce");
    rest.split('"').next().expect("its end").to_owned()
}

fn login(user: &str, nonce: &str) -> String {
    let uri = uri();
    let response = "0".repeat(64);
    invite(&format!(
        "Authorization: Digest username=\"{user}\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{uri}\", algorithm=SHA-256, \
         response=\"{response}\", qop=auth, nc=00000001, cnonce=\"c\"\r\n"
    ))
}

fn invite(more: &str) -> String {
    let uri = uri();
    format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {ROAMER};branch=z9hG4bKu\r\nMax-Forwards: 70\r\nFrom: <sip:u@example.com>;tag=u\r\n\
         To: <{uri}>\r\nCall-ID: users\r\nCSeq: 1 INVITE\r\nContact: <sip:u@{ROAMER}>\r\n{more}User-Agent: {}\r\nContent-Length: 0\r\n\r\n",
        "x".repeat(400)
    )
}

fn uri() -> String {
    format!("sip:{}@digest.example.com", number(0))
}

fn without_nonce(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let mut parts = text.split("nonce=\"");
    let mut out = parts.next().expect("a start").to_owned();
    for part in parts {
        let (nonce, rest) = part.split_once('"').expect("its end");
        out.push_str(&format!("{}{rest}", nonce.len()));
    }
    out
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time it takes is what is asked for"
)]
fn clock() -> Instant {
    Instant::now()
}
