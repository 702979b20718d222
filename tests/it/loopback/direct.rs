//! Calls whose buyers Twilio calls itself: from a signed webhook to the record, without a word of SIP.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use strowger::edge::Edge;
use strowger::net::clock;

use super::client::{Client, READER, Reply};
use super::connect::{VOICE, hand_off, leg, prepare, sender};
use super::process::Process;
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
    assert_eq!(records.len(), 2);
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
    let done = [("DialCallStatus", "completed"), ("DialBridged", "true")];
    let over = next(&twilio, 2, &talks, &done);
    assert!(over.body.contains("connected"), "{}", over.body);
    let over = next(&twilio, 1, &second, &done);
    assert!(over.body.contains("connected"), "{}", over.body);
    let admin = Client::of(&process, READER);
    let call = admin.get(&format!("/v1/twilio/calls/{}", leg(1))).json();
    process.signal(libc::SIGTERM);
    assert_eq!(process.exit_code(), Some(0));

    let records = site.records();
    let cut: Vec<_> = records
        .iter()
        .filter(|record| record["outcome"] == "edge_restarted")
        .collect();
    assert_eq!((records.len(), cut.len()), (3, 2), "{records:?}");
    // One of them had been answered.
    let answered = cut.iter().filter(|one| !one["setup_ms"].is_null());
    assert_eq!(answered.count(), 1);
    let rest = records
        .iter()
        .find(|one| one["outcome"] == "completed")
        .unwrap();
    assert_eq!(rest["uuid"], call["uuid"]);
    assert_eq!(attempts(rest), ["phone answered 200"]);
}

/// What `<Dial>` says.
#[derive(Debug, PartialEq, Eq)]
struct Dialled {
    target: String,
    action: String,
    status: String,
}

fn dial(answer: &Reply) -> Dialled {
    assert_eq!(answer.status, 200, "{}", answer.body);
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
    let direct = "buyers = [\"sunny\", \"phone\"]\ntwilio = \"direct\"";
    let text = text.replacen("buyers = [\"sunny\"]", direct, 1);
    fs::write(&site.config, text).unwrap();
    site.append(
        "\n[[buyer]]\nid = \"phone\"\ncompany = \"acme\"\nuri = \"tel:+18885550100\"\n\
         priority = 2\n",
    );
    site
}

const CHILD: &str = "CA00000000000000000000000000000077";
