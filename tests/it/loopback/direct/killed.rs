//! `kill -9` at random points, again and again, while Twilio carries calls to buyers and asks again what was not answered: each call
//! has one record, and none is cut off.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use strowger::net::clock;
use strowger::twilio::form::Form;
use strowger::twilio::signature::{Algorithm, sign};
use strowger::types::secret::Secret;

use super::{CHILD, Dialled, balances, ledger, no_canary, read_dial, site};
use crate::loopback::client::{Client, Reply, reply};
use crate::loopback::connect::leg;
use crate::loopback::process::Process;
use crate::loopback::vendors::{ACCOUNT, Sender};
use crate::sim::dice::Dice;

const KILLS: u64 = 12;

/// How far a call of Twilio's is.
enum Stage {
    /// Nobody has taken it in.
    Comes,
    /// This buyer is being called.
    Rings(Dialled),
    /// It talks.
    Talks(Dialled),
    Over,
}

struct Call {
    on: u128,
    stage: Stage,
    /// What is asked next, until it is answered.
    wish: u64,
}

#[test]
fn a_kill_at_any_point_leaves_one_record_of_each_call_that_twilio_carries() {
    let site = site(2);
    let text = std::fs::read_to_string(&site.config).unwrap();
    let text = text.replace("drain_limit = \"30s\"", "drain_limit = \"1s\"");
    std::fs::write(&site.config, text).unwrap();
    let mut dice = Dice::new(11);
    let mut calls: Vec<Call> = Vec::new();
    for _ in 0..KILLS {
        let process = Process::start(&site);
        let twilio = super::sender(&process);
        let wait = dice.millis(5, 250);
        thread::scope(|scope| {
            let killer = scope.spawn(|| {
                thread::sleep(wait);
                process.signal(libc::SIGKILL);
            });
            while !killer.is_finished() {
                if calls.len() < 4 || dice.chance(20) {
                    calls.push(Call {
                        on: calls.len() as u128 + 1,
                        stage: Stage::Comes,
                        wish: dice.next(),
                    });
                }
                let place = usize::try_from(dice.below(calls.len() as u64)).unwrap();
                go_on(&twilio, &mut dice, &mut calls[place]);
            }
        });
        drop(process);
    }

    // Twilio asks again until everything was answered.
    let mut process = Process::start(&site);
    let twilio = super::sender(&process);
    let until = clock::now() + Duration::from_secs(30);
    while calls.iter().any(|call| !matches!(call.stage, Stage::Over)) {
        assert!(clock::now() < until, "something is never answered");
        calls
            .iter_mut()
            .for_each(|call| go_on(&twilio, &mut dice, call));
    }
    // What was told, and heard by nobody who lived, is waited for as long as something else may be told.
    while site.records().len() < calls.len() {
        assert!(clock::now() < until, "{} records", site.records().len());
        thread::sleep(Duration::from_millis(50));
    }
    process.signal(libc::SIGTERM);
    assert_eq!(process.exit_code(), Some(0));

    let mut records = BTreeMap::new();
    for record in site.records() {
        let call = record["call_id"].as_str().unwrap().to_owned();
        let outcome = record["outcome"].as_str().unwrap().to_owned();
        let before = records.insert(call, outcome);
        assert_eq!(before, None, "it has two: {record}");
    }
    let expected: Vec<_> = calls.iter().map(|call| leg(call.on)).collect();
    assert!(expected.len() > 20, "{} calls", expected.len());
    assert_eq!(records.len(), expected.len());
    for call in expected {
        let outcome = records.get(&call).unwrap();
        let known = ["completed", "all_busy", "no_answer"];
        assert!(known.contains(&&**outcome), "{call}: {outcome}");
    }
    assert_eq!(ledger(&site)["open"], 0);
    balances(&site);
    no_canary(site.folder.path());
}

/// Asks what is next; without an answer, it is asked again.
fn go_on(twilio: &Sender, dice: &mut Dice, call: &mut Call) {
    let leg = leg(call.on);
    let own = [
        ("AccountSid", ACCOUNT),
        ("CallSid", &*leg),
        ("CallStatus", "in-progress"),
    ];
    let is_busy = call.wish.is_multiple_of(2);
    let next = match &call.stage {
        Stage::Over => return,
        Stage::Comes => {
            let more = [("From", "+14155550123"), ("To", "+12125550101")];
            let target = "/connect/webhook/twilio/voice?orgid=my-org";
            named(ask(twilio, target, &[&own[..], &more].concat()))
        }
        Stage::Rings(dialled) if is_busy => {
            let busy = [("DialCallStatus", "busy")];
            named(ask(twilio, &dialled.action, &[&own[..], &busy].concat()))
        }
        Stage::Rings(dialled) => {
            let answered = [
                ("AccountSid", ACCOUNT),
                ("CallSid", CHILD),
                ("ParentCallSid", &*leg),
                ("CallStatus", "in-progress"),
            ];
            let told = ask(twilio, &dialled.status, &answered);
            told.filter(|told| told.status == 204)
                .map(|_| Stage::Talks(dialled.clone()))
        }
        Stage::Talks(dialled) => {
            let done = [
                ("DialCallStatus", "completed"),
                ("DialBridged", "true"),
                ("DialCallSid", CHILD),
                ("DialCallDuration", "0"),
            ];
            named(ask(twilio, &dialled.action, &[&own[..], &done].concat()))
        }
    };
    if let Some(next) = next {
        call.stage = next;
        call.wish = dice.next();
    }
}

/// What an answer comes to; `None`: it is to be asked again.
fn named(answer: Option<Reply>) -> Option<Stage> {
    let answer = answer.filter(|answer| answer.status == 200)?;
    if answer.body.contains("<Dial") {
        return Some(Stage::Rings(read_dial(&answer)));
    }
    (!answer.body.contains("<Redirect")).then_some(Stage::Over)
}

/// The whole answer, if there is one.
fn ask(twilio: &Sender, target: &str, fields: &[(&str, &str)]) -> Option<Reply> {
    let form: Form = fields.iter().copied().collect();
    let url = format!("https://edge.example.com{target}");
    let secret = Secret::new(twilio.token.as_bytes());
    let signature = sign(&url, Some(&form), &secret, Algorithm::Sha1);
    let headers = [
        ("X-Twilio-Signature", &*signature),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let Client { address, .. } = twilio.client;
    let body = form.encoded();
    let request = twilio
        .client
        .request("POST", target, &headers, body.as_bytes());
    let mut stream = TcpStream::connect(address).ok()?;
    stream.write_all(&request).ok()?;
    let answer = reply(&mut stream);
    let length = answer.header("content-length").parse().unwrap_or(0);
    (answer.status != 0 && answer.body.len() == length).then_some(answer)
}
