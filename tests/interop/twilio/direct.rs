//! Calls whose buyers Twilio calls itself, from the first webhook to the record: signed by the official libraries, read by a reader
//! of XML, over a restart of the edge and by way of a menu.

use serde_json::{Value, json};

use super::handed::{ACCOUNT, ask, configuration, ledger, no_canary, player, signed};
use super::judge::Judge;
use super::judged::samples;
use crate::edge::Edge;
use crate::site::Site;

#[test]
fn direct_calls_go_from_buyer_to_buyer_over_a_restart_and_by_a_menu() {
    let Some(samples) = samples() else {
        return;
    };
    let mut reader = Judge::python();
    for (mut judge, code) in samples {
        let mut site = Site::new().taking_tickets();
        site.keeps = true;
        let buyer = site.buyer("first");
        site.more = direct(&site);
        let edge = Edge::start(&site);
        let document = judge.ask("sample", json!({ "code": code }));
        let document = document.as_str().expect("a document");

        // A hand-off, and the first buyer by SIP.
        let answer = player(&site, &mut judge, &mut reader, document);
        let (verb, noun) = dialled(&mut reader, &answer);
        assert_eq!(verb["answerOnBridge"], "true", "{answer}");
        assert_eq!(noun[0], "Sip");
        let address = noun[2].as_str().expect("an address");
        let expected = format!("sip:first@{buyer}:5060;transport=udp?X-PH-RetreaverUUID=");
        assert!(address.starts_with(&expected), "{address}");
        // It is busy by the time that there is another process.
        drop(edge);
        let edge = Edge::start(&site);
        let busy = [("DialCallStatus", "busy"), ("DialSipResponseCode", "486")];
        let answer = tell(&site, &mut judge, (FIRST, &verb), &busy);
        let (verb, noun) = dialled(&mut reader, &answer);
        assert_eq!(
            (&noun[0], &noun[2]),
            (&json!("Number"), &json!("+18885550100"))
        );
        let answer = tell(&site, &mut judge, (FIRST, &verb), &DONE);
        assert!(answer.contains("connected"), "{answer}");

        // A menu, and the buyer that wants what was pressed.
        let menu = asked(&site, &mut judge, "ivr-menu?orgid=my-org", &[]);
        let gather = &reader.ask("tree", json!({ "xml": menu }))[3][0];
        assert_eq!(gather[0], "Gather", "{menu}");
        let action = gather[1]["action"].as_str().expect("an address");
        let answer = tell(
            &site,
            &mut judge,
            (SECOND, &json!({"action": action})),
            &[("Digits", "2")],
        );
        let (verb, noun) = dialled(&mut reader, &answer);
        assert_eq!(noun[2], "+18885550101", "{answer}");
        tell(&site, &mut judge, (SECOND, &verb), &DONE);

        let records = edge.records(2);
        let attempts = |record: &Value| {
            let attempts = record["attempts"].as_array().expect("attempts").iter();
            let attempts = attempts.map(|one| format!("{} {}", one["buyer"], one["result"]));
            attempts.collect::<Vec<_>>().join(", ").replace('"', "")
        };
        assert_eq!(attempts(&records[0]), "first busy, phone answered");
        assert_eq!(attempts(&records[1]), "wind answered");
        assert!(records[1]["routing"]["tags"].to_string().contains("wind"));
        edge.holds_no_call();
        let metrics = edge.metrics();
        drop(edge);
        let books = ledger(&site);
        assert_eq!((&books["records"], &books["open"]), (&json!(2), &json!(0)));
        no_canary(&site, &metrics);
    }
}

const FIRST: &str = "CA00000000000000000000000000000001";
const SECOND: &str = "CA00000000000000000000000000000002";
const DONE: [(&str, &str); 4] = [
    ("DialCallStatus", "completed"),
    ("DialBridged", "true"),
    ("DialCallSid", "CA00000000000000000000000000000077"),
    ("DialCallDuration", "0"),
];

/// What `<Dial>` says, and whom it names.
fn dialled(reader: &mut Judge, document: &str) -> (Value, Value) {
    let tree = reader.ask("tree", json!({ "xml": document }));
    let dial = &tree[3][0];
    assert_eq!(dial[0], "Dial", "{document}");
    (dial[1].clone(), dial[3][0].clone())
}

/// What Twilio asks at the `action` of a verb.
fn tell(
    site: &Site,
    judge: &mut Judge,
    (leg, verb): (&str, &Value),
    more: &[(&str, &str)],
) -> String {
    let action = verb["action"].as_str().expect("an address");
    let target = action.strip_prefix("https://edge.example.com");
    let target = target.expect("an address of ours");
    post(site, judge, target, (leg, more))
}

fn asked(site: &Site, judge: &mut Judge, service: &str, more: &[(&str, &str)]) -> String {
    let target = format!("/connect/webhook/twilio/{service}");
    post(site, judge, &target, (SECOND, more))
}

fn post(
    site: &Site,
    judge: &mut Judge,
    target: &str,
    (leg, more): (&str, &[(&str, &str)]),
) -> String {
    let own = [
        ("AccountSid", ACCOUNT),
        ("CallSid", leg),
        ("CallStatus", "in-progress"),
        ("From", "+12125550142"),
        ("To", "+18005551234"),
    ];
    let fields = own.iter().chain(more);
    let fields: Vec<_> = fields
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let (status, answer) = ask(site, "POST", &signed(judge, target, &fields), "");
    assert_eq!(status, 200, "{target}: {answer}");
    answer
}

/// A campaign whose buyers Twilio calls: a telephone for those who have pressed 2, one by SIP for all, and another telephone.
fn direct(site: &Site) -> String {
    let text = configuration(site).replace("campaign = \"sales\"", "campaign = \"abroad\"");
    let step = r#"
[[twilio.org.step]]
id = "product"
say = "Press 1 for solar, 2 for wind."
otherwise = "connect"

[[twilio.org.step.choice]]
key = "2"
tag = "product"
value = "wind"
next = "connect"

[[number]]"#;
    let text = text.replacen("\n[[number]]", step, 1);
    text + r#"
[[campaign]]
id = "abroad"
company = "acme"
buyers = ["wind", "first", "phone"]
twilio = "direct"

[[buyer]]
id = "wind"
company = "acme"
uri = "tel:+18885550101"
priority = 0
tags = ["product:wind"]

[[buyer]]
id = "phone"
company = "acme"
uri = "tel:+18885550100"
priority = 2
"#
}
