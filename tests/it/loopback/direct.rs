//! Calls whose buyers Twilio calls itself: from a signed webhook to the record, without a word of SIP.

mod killed;

use std::fs;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use strowger::edge::Edge;
use strowger::net::clock;

use super::client::{Client, READER, Reply};
use super::connect::{FLOW, VOICE, hand_off, leg, prepare, sender};
use super::process::{Process, strowger};
use super::site::Site;
use super::vendors::{ACCOUNT, Sender, no_canary};

#[test]
fn a_call_goes_from_one_buyer_to_the_next_until_one_takes_it() {
    let (site, edge) = start(1);
    let twilio = Sender::of(&edge);

    let first = dial(&twilio.post(VOICE, &hand_off(1, &[("Param_Zip", "90210")])));
    let (uri, headers) = first.target.split_once('?').unwrap();
    assert_eq!(uri, "sip:sales@127.0.0.1:9;transport=udp");
    for name in [
        "X-PH-RetreaverUUID",
        "X-PH-RetreaverKey",
        "X-PH-RetreaverAFID=bright-leads",
    ] {
        assert!(headers.contains(name), "{name}: {headers}");
    }
    // Asked again, as after a connection that broke: the same one, and the call is no other.
    let again = dial(&twilio.post(VOICE, &hand_off(1, &[("Param_Zip", "90210")])));
    assert_eq!(again, first);
    let busy = [("DialCallStatus", "busy"), ("DialSipResponseCode", "486")];
    let second = dial(&next(&twilio, 1, &first, &busy));
    assert_eq!(second.target, "+18885550100");
    assert!(second.action.contains("&a=2"), "{}", second.action);
    // Told twice, and late: what goes on goes on.
    assert_eq!(dial(&next(&twilio, 1, &first, &busy)), second);
    let answered = [
        ("CallSid", CHILD),
        ("ParentCallSid", &leg(1)),
        ("CallStatus", "in-progress"),
    ];
    assert_eq!(status(&twilio, &second, &answered).status, 204);
    assert_eq!(status(&twilio, &second, &answered).status, 204);
    let done = [
        ("DialCallStatus", "completed"),
        ("DialBridged", "true"),
        ("DialCallSid", CHILD),
        ("DialCallDuration", "0"),
    ];
    let over = next(&twilio, 1, &second, &done);
    assert!(over.body.contains("<Hangup>"), "{}", over.body);
    assert!(over.body.contains("connected"), "{}", over.body);
    assert_eq!(next(&twilio, 1, &second, &done).body, over.body);
    assert_eq!(twilio.post(VOICE, &hand_off(1, &[])).body, over.body);
    let admin = Client {
        address: edge.http_addresses()[0],
        token: Some(READER),
    };
    let call = admin.get(&format!("/v1/twilio/calls/{}", leg(1))).json();
    let metrics = edge.metrics();
    let uuid = call["uuid"].as_str().unwrap();
    let until = clock::now() + Duration::from_secs(5);
    let shown = loop {
        let shown = admin.get(&format!("/v1/calls/{uuid}")).json();
        if shown["state"] == "over" {
            break shown;
        }
        assert!(clock::now() < until, "{shown}");
        thread::sleep(Duration::from_millis(10));
    };
    edge.stop();

    let records = site.records();
    assert_eq!(records.len(), 1, "{records:?}");
    let record = &records[0];
    assert_eq!(record["uuid"], call["uuid"]);
    assert_eq!(record["outcome"], "completed");
    assert_eq!(record["trunk"], "twilio-direct");
    assert_eq!(record["caller"], "+14155550123");
    assert_eq!(attempts(record), ["sunny busy 486", "phone answered 200"]);
    assert!(record["routing"]["tags"].to_string().contains("90210"));
    let came: Vec<_> = call["told"].as_array().unwrap().iter().collect();
    let came: Vec<_> = came.iter().map(|told| told["came"].as_str()).collect();
    let came: Vec<_> = came.into_iter().flatten().collect();
    assert_eq!(
        came,
        [
            "sent_to_buyers",
            "sent_to_buyer",
            "busy",
            "sent_to_buyer",
            "onward",
            "connected",
            "connected"
        ]
    );
    assert_eq!(call["direct"]["over"], "connected");
    // The record has what was told until then, and what came since is beside it.
    let told = record["vendor"].as_array().unwrap();
    assert_eq!(told[2]["came"], "busy");
    assert_eq!(shown["record"]["vendor"], record["vendor"]);
    let since = shown["vendor"].as_array().unwrap();
    assert_eq!(told.len() + since.len(), came.len(), "{since:?}");
    let last = told.iter().chain(since).next_back().unwrap();
    assert_eq!(last["what"], "over");
    assert!(metrics.contains("outcome=\"completed\""), "{metrics}");
    is_decided_again(&site, 1);
    no_canary(site.folder.path());
}

#[test]
fn a_call_that_nobody_takes_is_told_to_who_handed_it_over() {
    let (site, edge) = start(2);
    let twilio = Sender::of(&edge);
    let failed = |code| {
        [
            ("DialCallStatus", "failed"),
            ("DialSipResponseCode", code),
            ("DialBridged", "false"),
        ]
    };

    let first = dial(&twilio.post(VOICE, &hand_off(1, &[])));
    let second = dial(&next(&twilio, 1, &first, &failed("404")));
    let none = [("DialCallStatus", "no-answer")];
    let over = next(&twilio, 1, &second, &none);
    assert!(over.body.contains("<Hangup>"), "{}", over.body);
    assert!(over.body.contains("no_answer"), "{}", over.body);

    // The caller leaves while it rings.
    let first = dial(&twilio.post(VOICE, &hand_off(2, &[])));
    let gone = [("DialCallStatus", "no-answer"), ("CallStatus", "completed")];
    let over = next(&twilio, 2, &first, &gone);
    assert!(over.body.contains("<Response/>") || over.body.contains("<Response></Response>"));
    edge.stop();

    let records = site.records();
    assert_eq!(
        attempts(&records[0]),
        ["sunny buyer_rejected 404", "phone no_answer"]
    );
    assert_eq!(records[0]["outcome"], "no_answer");
    assert_eq!(records[1]["outcome"], "caller_hung_up");
    is_decided_again(&site, 2);
}

#[test]
fn a_call_for_whom_nobody_is_there_is_refused_before_it_is_answered() {
    let site = site(1);
    let text = fs::read_to_string(&site.config).unwrap();
    let paused = text.replace("id = \"sunny\"", "id = \"sunny\"\npaused = true");
    let paused = paused.replace("id = \"phone\"", "id = \"phone\"\npaused = true");
    fs::write(&site.config, paused).unwrap();
    let edge = site.start();
    let twilio = Sender::of(&edge);

    let refused = twilio.post(VOICE, &hand_off(1, &[]));

    assert_eq!(refused.status, 200);
    assert!(refused.body.contains("<Reject"), "{}", refused.body);
    assert!(refused.body.contains("closed"), "{}", refused.body);
    edge.stop();
    assert_eq!(site.records()[0]["outcome"], "all_closed");
    is_decided_again(&site, 1);
}

#[test]
fn what_kill_9_cuts_off_goes_on_with_the_next_buyer() {
    let site = site(2);
    let process = Process::start(&site);
    let twilio = sender(&process);
    let first = dial(&twilio.post(VOICE, &hand_off(1, &[])));
    let talks = dial(&twilio.post(VOICE, &hand_off(2, &[])));
    let answered = [
        ("CallSid", CHILD),
        ("ParentCallSid", &leg(2)),
        ("CallStatus", "in-progress"),
    ];
    assert_eq!(status(&twilio, &talks, &answered).status, 204);
    process.signal(libc::SIGKILL);
    // It keeps the store until it is gone.
    drop(process);

    let mut process = Process::start(&site);
    let twilio = sender(&process);
    let busy = [("DialCallStatus", "busy")];
    let second = dial(&next(&twilio, 1, &first, &busy));
    assert_eq!(second.target, "+18885550100", "the first one was tried");
    let done = [
        ("DialCallStatus", "completed"),
        ("DialBridged", "true"),
        ("DialCallDuration", "0"),
    ];
    let over = next(&twilio, 2, &talks, &done);
    assert!(over.body.contains("connected"), "{}", over.body);
    let over = next(&twilio, 1, &second, &done);
    assert!(over.body.contains("connected"), "{}", over.body);
    let admin = Client::of(&process, READER);
    let call = admin.get(&format!("/v1/twilio/calls/{}", leg(1))).json();
    let other = admin.get(&format!("/v1/twilio/calls/{}", leg(2))).json();
    process.signal(libc::SIGTERM);
    assert_eq!(process.exit_code(), Some(0));

    // Each of them is one call, with one record.
    let records = site.records();
    assert_eq!(records.len(), 2, "{records:?}");
    let of = |uuid: &Value| records.iter().find(|one| one["uuid"] == *uuid).unwrap();
    let hunted = of(&call["uuid"]);
    assert_eq!(attempts(hunted), ["sunny busy", "phone answered 200"]);
    assert_eq!(hunted["outcome"], "completed");
    let talked = of(&other["uuid"]);
    assert_eq!(attempts(talked), ["sunny answered 200"]);
    assert_eq!(talked["outcome"], "completed");
    assert_eq!(talked["talk_ms"], 0, "as Twilio says");
    assert_eq!(talked["routing"]["taken_up"], true);
    balances(&site);
    no_canary(site.folder.path());
}

#[test]
fn a_drain_leaves_calls_to_the_next_process_that_twilio_carries_on() {
    let site = site(2);
    let text = fs::read_to_string(&site.config).unwrap();
    let text = text.replace("drain_limit = \"30s\"", "drain_limit = \"1s\"");
    fs::write(&site.config, text).unwrap();
    site.append(SOLD);
    let mut process = Process::start(&site);
    let twilio = sender(&process);
    let rings = dial(&twilio.post(VOICE, &hand_off(1, &[("Param_Zip", "90210")])));
    let talks = dial(&twilio.post(VOICE, &hand_off(2, &[])));
    let answered = [
        ("CallSid", CHILD),
        ("ParentCallSid", &leg(2)),
        ("CallStatus", "in-progress"),
    ];
    assert_eq!(status(&twilio, &talks, &answered).status, 204);
    process.signal(libc::SIGTERM);
    assert_eq!(process.exit_code(), Some(0));
    // Nothing is said of them yet, and nothing is lost.
    assert!(site.records().is_empty(), "{:?}", site.records());
    assert_eq!(ledger(&site)["open"], 2);
    balances(&site);

    let mut process = Process::start(&site);
    let twilio = sender(&process);
    // Twilio has not got our first answer: it gets it again.
    let again = dial(&twilio.post(VOICE, &hand_off(1, &[("Param_Zip", "90210")])));
    assert_eq!(again.action, rings.action);
    let busy = [("DialCallStatus", "busy"), ("DialSipResponseCode", "486")];
    let second = dial(&next(&twilio, 1, &rings, &busy));
    assert_eq!(second.target, "+18885550100");
    let done = [
        ("DialCallStatus", "completed"),
        ("DialBridged", "true"),
        ("DialCallSid", CHILD),
        ("DialCallDuration", "1"),
        ("CallStatus", "completed"),
    ];
    // Told by what it comes to at the leg alone, and then by the whole.
    let ended = [
        ("CallSid", CHILD),
        ("ParentCallSid", &leg(2)),
        ("CallStatus", "completed"),
        ("CallDuration", "1"),
    ];
    assert_eq!(status(&twilio, &talks, &ended).status, 204);
    let over = next(&twilio, 2, &talks, &done);
    assert_eq!(over.status, 200);
    let gone = [("DialCallStatus", "no-answer"), ("CallStatus", "completed")];
    next(&twilio, 1, &second, &gone);
    process.signal(libc::SIGTERM);
    assert_eq!(process.exit_code(), Some(0));

    let records = site.records();
    assert_eq!(records.len(), 2, "{records:?}");
    let hunted = records.iter().find(|one| one["status"] == 487).unwrap();
    assert_eq!(attempts(hunted), ["sunny busy 486", "phone cancelled"]);
    assert!(hunted["routing"]["tags"].to_string().contains("90210"));
    let talked = records.iter().find(|one| one["status"] == 200).unwrap();
    assert_eq!(talked["talk_ms"], 1_000, "over the restart");
    assert_eq!(talked["hung_up_by"], "caller");
    assert_eq!(talked["routing"]["conversion"]["verdict"], "converted");
    let fired = talked["routing"]["webhooks"].as_array().unwrap().iter();
    let fired: Vec<_> = fired.map(|one| one["trigger"].as_str().unwrap()).collect();
    assert_eq!(fired, ["connect", "conversion", "always"]);
    assert_eq!(ledger(&site)["open"], 0);
    balances(&site);
    no_canary(site.folder.path());
}

/// Who is not told to Twilio for its credentials is an attempt all the same, and counted so by the next process.
#[test]
fn attempts_that_twilio_has_not_heard_of_count_over_a_restart() {
    let site = site(1);
    let text = fs::read_to_string(&site.config).unwrap();
    let login = "id = \"sunny\"\nusername = \"acme\"\npassword = \"canary-buyer-password\"";
    fs::write(&site.config, text.replace("id = \"sunny\"", login)).unwrap();
    let process = Process::start(&site);
    let twilio = sender(&process);
    let first = dial(&twilio.post(VOICE, &hand_off(1, &[])));
    assert_eq!(first.target, "+18885550100");
    assert!(first.action.ends_with("&a=2"), "{}", first.action);
    process.signal(libc::SIGKILL);
    drop(process);

    let mut process = Process::start(&site);
    let twilio = sender(&process);
    let again = dial(&twilio.post(VOICE, &hand_off(1, &[])));
    assert_eq!(again, first);
    let done = [("DialCallStatus", "completed"), ("DialBridged", "true")];
    let over = next(&twilio, 1, &first, &done);
    assert!(over.body.contains("connected"), "{}", over.body);
    process.signal(libc::SIGTERM);
    assert_eq!(process.exit_code(), Some(0));

    let records = site.records();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(
        attempts(&records[0]),
        ["sunny unreachable", "phone answered 200"]
    );
    balances(&site);
    no_canary(site.folder.path());
}

/// Whoever comes while it drains is told to come again, and the reason is counted.
#[test]
fn a_drain_takes_no_new_call_and_says_so() {
    let (site, edge) = start(1);
    let twilio = Sender::of(&edge);
    let first = dial(&twilio.post(VOICE, &hand_off(1, &[])));
    edge.drain();

    let refused = twilio.post(VOICE, &hand_off(2, &[]));

    assert_eq!((refused.status, &*refused.body), (503, ""));
    let metrics = edge.metrics();
    let counted = "strowger_vendor_refused_total{why=\"draining\"} 1";
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");
    // What goes on goes on.
    let busy = [("DialCallStatus", "busy")];
    let second = dial(&next(&twilio, 1, &first, &busy));
    assert_eq!(second.target, "+18885550100");
    edge.hang_up();
    let later = next(&twilio, 1, &second, &busy);
    assert_eq!((later.status, &*later.body), (503, ""));
    edge.stop();
    assert_eq!(ledger(&site)["open"], 1, "the next process has it");
    balances(&site);
}

/// The books of a site where no edge runs.
fn ledger(site: &Site) -> Value {
    let said = books(site, &["--json"]);
    serde_json::from_slice(&said.stdout).unwrap()
}

fn books(site: &Site, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_strowger"))
        .args(["ledger", "--data-dir"])
        .arg(site.folder.path().join("data"))
        .args(more)
        .output()
        .unwrap()
}

fn balances(site: &Site) {
    let said = books(site, &[]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(text.contains("everything balances"), "{text}");
    assert_eq!(said.status.code(), Some(0), "{text}");
}

/// The program decides so many calls again as they were decided, to the last letter.
fn is_decided_again(site: &Site, calls: usize) {
    let path = site.folder.path().join("records.jsonl");
    let said = strowger(site, &["replay", path.to_str().unwrap()]);
    let text = String::from_utf8(said.stdout).unwrap();
    let sum = format!("{calls} calls, 0 changed, 0 cut off, 0 lines that are no records\n");
    assert!(text.ends_with(&sum), "{text}");
    assert_eq!(said.status.code(), Some(0), "{text}");
}

/// Keys pressed in a flow are tags by the time that it is decided whom Twilio calls.
#[test]
fn what_callers_enter_decides_which_buyer_twilio_calls() {
    let site = site(1);
    let text = fs::read_to_string(&site.config).unwrap();
    let text = text.replace(
        "id = \"sunny\"",
        "id = \"sunny\"\ntags = [\"product:wind\"]",
    );
    let wanted = "id = \"phone\"\ntags = [\"product:solar\", \"caller_zip:90210\"]";
    let text = text.replace("id = \"phone\"", wanted);
    fs::write(&site.config, text).unwrap();
    site.append(FLOW);
    let edge = site.start();
    let twilio = Sender {
        token: "canary-flow-token-0123456789",
        ..Sender::of(&edge)
    };
    let ask = |target: &str, more: &[(&str, &str)]| {
        let call = [
            ("AccountSid", "AC00000000000000000000000000000004"),
            ("CallSid", &leg(31)),
            ("From", "+14155550123"),
            ("To", "+12125550101"),
            ("CallStatus", "in-progress"),
        ];
        twilio.post(target, &[&call, more].concat())
    };
    let flow = |place: &str, digits: &str| {
        let target = format!("/connect/webhook/twilio/{place}");
        ask(&target, &[("Digits", digits)])
    };

    let menu = flow("ivr-menu?orgid=flow-org", "");
    assert!(menu.body.contains("Press 1"), "{}", menu.body);
    let zip = flow("ivr-menu-input?orgid=flow-org&step=product&asked=0", "1");
    assert!(zip.body.contains("zip code"), "{}", zip.body);
    let last = "ivr-input?orgid=flow-org&step=zip&asked=0";
    let first = dial(&flow(last, "90210"));
    assert_eq!(first.target, "+18885550100", "nobody else wants it");
    assert!(first.action.contains("orgid=flow-org"), "{}", first.action);
    // Twilio asks twice when an answer was lost.
    assert_eq!(dial(&flow(last, "90210")), first);
    let done = [
        ("DialCallStatus", "completed"),
        ("DialBridged", "true"),
        ("DialCallSid", CHILD),
        ("DialCallDuration", "0"),
    ];
    let over = ask(&first.action, &done);
    assert!(over.body.contains("connected"), "{}", over.body);
    // Whoever enters something that no buyer wants is told so by the same document.
    let call = [
        ("AccountSid", "AC00000000000000000000000000000004"),
        ("CallSid", &leg(32)),
        ("From", "+14155550123"),
        ("To", "+12125550101"),
    ];
    let other = |place: &str, digits: &str| {
        let target = format!("/connect/webhook/twilio/{place}");
        twilio.post(&target, &[&call[..], &[("Digits", digits)]].concat())
    };
    other("ivr-menu-input?orgid=flow-org&step=product&asked=0", "1");
    let nobody = other(last, "10101");
    assert_eq!(nobody.status, 200);
    assert!(nobody.body.contains("no_match"), "{}", nobody.body);
    edge.stop();

    let records = site.records();
    assert_eq!(records.len(), 2, "{records:?}");
    let tags = records[0]["routing"]["tags"].to_string();
    for said in ["\"solar\"", "us-90210"] {
        assert!(tags.contains(said), "{said}: {tags}");
    }
    assert_eq!(attempts(&records[0]), ["phone answered 200"]);
    assert_eq!(records[0]["trunk"], "twilio-direct");
    let looks = &records[0]["routing"]["decisions"][0]["looks"][0]["buyers"];
    assert_eq!(looks[0]["verdict"], "tag_mismatch", "{looks}");
    assert_eq!(records[1]["outcome"], "no_match");
    is_decided_again(&site, 2);
    no_canary(site.folder.path());
}

/// What `<Dial>` says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Dialled {
    target: String,
    action: String,
    status: String,
}

fn dial(answer: &Reply) -> Dialled {
    assert_eq!(answer.status, 200, "{}", answer.body);
    read_dial(answer)
}

fn read_dial(answer: &Reply) -> Dialled {
    let body = answer.body.replace("&amp;", "&");
    assert!(body.contains("answerOnBridge=\"true\""), "{body}");
    let attribute = |name: &str| {
        let (_, rest) = body.split_once(&format!(" {name}=\"")).expect(&body);
        rest.split_once('"').unwrap().0.to_owned()
    };
    let end = ["</Sip>", "</Number>"];
    let end = end.iter().find_map(|end| body.find(end)).expect(&body);
    let start = body[..end].rfind('>').unwrap() + 1;
    let local = |url: String| url.replace("https://edge.example.com", "");
    Dialled {
        target: body[start..end].to_owned(),
        action: local(attribute("action")),
        status: local(attribute("statusCallback")),
    }
}

/// What became of a leg, as Twilio tells at its `action`.
fn next(twilio: &Sender, on: u128, dialled: &Dialled, more: &[(&str, &str)]) -> Reply {
    let leg = leg(on);
    let mut fields = vec![("AccountSid", ACCOUNT), ("CallSid", &*leg)];
    if more.iter().all(|(name, _)| *name != "CallStatus") {
        fields.push(("CallStatus", "in-progress"));
    }
    fields.extend(more);
    twilio.post(&dialled.action, &fields)
}

fn status(twilio: &Sender, dialled: &Dialled, more: &[(&str, &str)]) -> Reply {
    let fields = [&[("AccountSid", ACCOUNT)], more].concat();
    twilio.post(&dialled.status, &fields)
}

fn attempts(record: &Value) -> Vec<String> {
    let attempts = record["attempts"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let attempts = attempts.map(|one| {
        let status = one["status"].as_u64().map(|status| format!(" {status}"));
        let (buyer, result) = (text(&one["buyer"]), text(&one["result"]));
        format!("{buyer} {result}{}", status.unwrap_or_default())
    });
    attempts.collect()
}

fn start(shards: usize) -> (Site, Edge) {
    let site = site(shards);
    let edge = site.start();
    (site, edge)
}

/// A campaign with two buyers, of whom the second is a telephone.
fn site(shards: usize) -> Site {
    let site = Site::new(shards);
    prepare(&site);
    let text = fs::read_to_string(&site.config).unwrap();
    // Whoever reads the log reads no secret, on whatever level.
    let text = text.replace("log = \"info\"", "log = \"trace\"");
    let direct = "buyers = [\"sunny\", \"phone\"]\ntwilio = \"direct\"";
    let text = text.replacen("buyers = [\"sunny\"]", direct, 1);
    fs::write(&site.config, text).unwrap();
    site.append(
        "\n[[buyer]]\nid = \"phone\"\ncompany = \"acme\"\nuri = \"tel:+18885550100\"\n\
         priority = 2\n",
    );
    site
}

/// What a call is worth, and who is told of it; nobody is there.
const SOLD: &str = r#"
[http_client]
allow = ["127.0.0.0/8"]

[[conversion_group]]
id = "long"
campaign = "solar"
criterion = "timer"
after = "1s"
payout = "2.50"

[[webhook]]
id = "connected"
campaign = "solar"
trigger = "connect"
url = "http://127.0.0.1:9/connected"

[[webhook]]
id = "sold"
campaign = "solar"
trigger = "conversion"
url = "http://127.0.0.1:9/sold"

[[webhook]]
id = "over"
campaign = "solar"
trigger = "always"
url = "http://127.0.0.1:9/over"
"#;

const CHILD: &str = "CA00000000000000000000000000000077";
