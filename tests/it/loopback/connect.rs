//! Calls that Twilio brings: from a signed webhook to the buyer, as one call.

use std::fs;
use std::net::SocketAddr;

use serde_json::Value;
use strowger::edge::Edge;
use strowger::twilio::connect::{CompanyKey, HandOff};
use strowger::twilio::sid::CallSid;
use strowger::types::number::Number;
use strowger::types::secret::Secret;

use super::client::{Client, READER, Reply, open};
use super::process::Process;
use super::site::{Buyer, Carrier, Site, header};
use super::vendors::{ACCOUNT, Sender, TOKEN, TWILIO, no_canary};
use crate::collection::shared;

pub(crate) const VOICE: &str = "/connect/webhook/twilio/voice?orgid=my-org";
pub(crate) const NUMBER: &str = "+12125550101";
pub(crate) const ORIGINAL: &str = "CA1234567890abcdef1234567890abcdef";

#[test]
fn a_call_that_is_handed_over_arrives_at_the_buyer_as_one_call() {
    let buyer = Buyer::start();
    let (site, edge) = start(&buyer);
    let twilio = Sender::of(&edge);

    let answer = twilio.post(VOICE, &hand_off(1, &[("Param_Zip", "90210")]));
    let dialled = dial(&answer);
    // Asked again, as after a connection that broke: the same answer.
    assert_eq!(
        dial(&twilio.post(VOICE, &hand_off(1, &[("Param_Zip", "90210")]))),
        dialled
    );

    let mut caller = Carrier::new(edge.addresses()[0]);
    caller.call_by(&caller.invite_with(NUMBER, ("X-Strowger-Ticket", &dialled.ticket)));
    let told = twilio.post(
        "/connect/webhook/twilio/status?orgid=my-org",
        &[
            ("AccountSid", ACCOUNT),
            ("CallSid", "CA00000000000000000000000000000077"),
            ("ParentCallSid", &leg(1)),
            ("CallStatus", "in-progress"),
            ("SequenceNumber", "2"),
        ],
    );
    assert_eq!(told.status, 204);
    caller.hang_up();
    let over = twilio.post(
        "/connect/webhook/twilio/dial-action?orgid=my-org",
        &[
            ("AccountSid", ACCOUNT),
            ("CallSid", &leg(1)),
            ("DialCallSid", "CA00000000000000000000000000000077"),
            ("DialCallStatus", "completed"),
            ("DialBridged", "true"),
        ],
    );
    assert!(over.body.contains("<Hangup>"), "{}", over.body);
    assert!(over.body.contains("connected"), "{}", over.body);
    let admin = Client {
        address: edge.http_addresses()[0],
        token: Some(READER),
    };
    let call = admin.get(&format!("/v1/twilio/calls/{}", leg(1))).json();
    assert_eq!(admin.get("/v1/twilio/calls/CA1").status, 404);
    // A ticket is good for one call.
    let again = Carrier::new(edge.addresses()[0]);
    again.send(&again.invite_with(NUMBER, ("X-Strowger-Ticket", &dialled.ticket)));
    let refused = again.receive_where(|answer| !answer.starts_with("SIP/2.0 100"));
    assert!(refused.starts_with("SIP/2.0 403 "), "{refused}");
    edge.stop();

    let records = site.records();
    assert_eq!(records.len(), 1, "one call from webhook to buyer");
    let uuid = records[0]["uuid"].as_str().unwrap();
    assert_eq!(call["uuid"], uuid);
    let heard = buyer.invites.lock().unwrap();
    assert_eq!(header(&heard[0], "X-PH-RetreaverUUID"), uuid);
    assert_eq!(header(&heard[0], "X-PH-RetreaverAFID"), "bright-leads");
    assert_eq!(records[0]["caller"], "+14155550123");
    let tags = &records[0]["routing"]["tags"];
    for (key, value) in [
        ("original_to", "+14155550199"),
        ("original_call_sid", ORIGINAL),
        ("twilio_call_sid", &leg(1)),
        ("zip", "90210"),
    ] {
        let has = tags.to_string();
        assert!(has.contains(key) && has.contains(value), "{key}: {tags}");
    }
    assert!(tags.to_string().contains("hand_off"), "{tags}");
    let came: Vec<_> = call["told"]
        .as_array()
        .unwrap()
        .iter()
        .map(|told| &told["came"])
        .collect();
    assert_eq!(came, ["sent_to_edge", "onward", "connected"]);
    // What came before the record was written stands there.
    let told: Vec<_> = records[0]["vendor"].as_array().unwrap().iter().collect();
    let came: Vec<_> = told.iter().map(|told| &told["came"]).collect();
    assert_eq!(came[..2], ["sent_to_edge", "onward"]);
    no_canary(site.folder.path());
}

#[test]
fn what_is_wrong_with_a_hand_off_is_told_to_its_sender_and_nothing_more() {
    let buyer = Buyer::start();
    let (_site, edge) = start(&buyer);
    let twilio = Sender::of(&edge);
    let told = |fields: &[(&str, &str)]| {
        let answer = twilio.post(VOICE, fields);
        assert_eq!(answer.status, 200);
        let (_, rest) = answer.body.split_once("value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let with = |name: &'static str, value: &'static str| {
        let mut fields = hand_off(1, &[]);
        fields.retain(|(own, _)| *own != name);
        fields.push((name, value));
        fields
    };

    assert_eq!(
        told(&with("Param_RetreaverSignature", FORGED)),
        "bad_signature"
    );
    assert_eq!(
        told(&with("Param_RetreaverCompanyId", "77")),
        "bad_signature"
    );
    // This one hands nothing over.
    assert_eq!(
        told(&with("Param_RetreaverCompanyId", "1235")),
        "bad_signature"
    );
    assert_eq!(
        told(&with("Param_OriginalCallSid", "CA1")),
        "malformed_parameter"
    );
    assert_eq!(
        told(&with("RetreaverCompanyId", "77")),
        "conflicting_parameter"
    );
    let mut missing = hand_off(1, &[]);
    missing.retain(|(name, _)| *name != "Param_OriginalTo");
    assert_eq!(told(&missing), "missing_parameter");
    let foreign = signed("+18005551234", 1234);
    assert_eq!(told(&request(1, &foreign)), "unknown_number");
    // Somebody dials what nobody has.
    let dialled = [
        ("AccountSid", ACCOUNT),
        ("CallSid", &leg(9)),
        ("From", "+14155550123"),
        ("To", "+18005551234"),
    ];
    assert_eq!(told(&dialled), "unknown_number");
    let nobody = [("AccountSid", ACCOUNT), ("To", NUMBER)];
    assert_eq!(twilio.post(VOICE, &nobody).status, 400);
    let metrics = edge.metrics();
    for why in [
        "hand_off_forged",
        "hand_off_unknown_company",
        "voice_no_call",
    ] {
        let line = format!("strowger_vendor_refused_total{{why=\"{why}\"}}");
        assert!(metrics.contains(&line), "{line}");
    }
}

#[test]
fn a_number_of_the_account_is_dialled_without_a_hand_off() {
    let buyer = Buyer::start();
    let (site, edge) = start(&buyer);
    let twilio = Sender::of(&edge);
    let fields = [
        ("AccountSid", ACCOUNT),
        ("CallSid", &*leg(4)),
        ("From", "+266696687"),
        ("To", NUMBER),
        ("StirVerstat", "TN-Validation-Passed-A"),
    ];

    let dialled = dial(&twilio.post(VOICE, &fields));

    let mut caller = Carrier::new(edge.addresses()[0]);
    caller.call_by(&caller.invite_with(NUMBER, ("X-Strowger-Ticket", &dialled.ticket)));
    caller.hang_up();
    edge.stop();
    let record = &site.records()[0];
    // Who does not tell the number is nobody, whatever Twilio writes into From.
    assert_eq!(record["caller"], Value::Null);
    assert!(
        record["routing"]["tags"]
            .to_string()
            .contains("attestation")
    );
}

#[test]
fn neither_a_hand_off_nor_a_ticket_is_good_again_after_kill_9() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(2, buyer.address);
    prepare(&site);
    let mut tickets: Vec<String> = Vec::new();
    for round in 0..3_u128 {
        let process = Process::start(&site);
        let twilio = sender(&process);
        // The same call comes back, on another leg each time.
        let answer = twilio.post(VOICE, &hand_off(10 + round, &[]));
        let dialled = dial(&answer);
        let same = dial(&twilio.post(VOICE, &hand_off(10, &[])));
        if round == 0 {
            assert_eq!(same, dialled);
        }
        for used in &tickets {
            let refused = call(process.sip, used);
            assert!(refused.starts_with("SIP/2.0 403 "), "{refused}");
        }
        let answered = call(process.sip, &dialled.ticket);
        assert!(answered.starts_with("SIP/2.0 200 "), "{answered}");
        tickets.push(dialled.ticket);
        process.signal(libc::SIGKILL);
    }
    let process = Process::start(&site);
    let twilio = sender(&process);

    // Three legs were all that was allowed.
    let late = twilio.post(VOICE, &hand_off(20, &[]));
    assert!(late.body.contains("already_used"), "{}", late.body);
    let admin = Client::of(&process, READER);
    let call = admin.get(&format!("/v1/twilio/calls/{}", leg(11))).json();
    assert_eq!(call["org"], "my-org");
    process.signal(libc::SIGTERM);
}

/// What `<Dial><Sip>` says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Dialled {
    pub(crate) uri: String,
    pub(crate) ticket: String,
}

/// What a document has Twilio call.
pub(crate) fn dial(answer: &Reply) -> Dialled {
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.header("content-type"), "text/xml; charset=utf-8");
    let (_, rest) = answer.body.split_once(">sip:").expect(&answer.body);
    let (uri, _) = rest.split_once('<').unwrap();
    let (uri, ticket) = uri.split_once("?X-Strowger-Ticket=").unwrap();
    assert!(answer.body.contains("answerOnBridge=\"true\""));
    Dialled {
        uri: uri.to_owned(),
        ticket: ticket.to_owned(),
    }
}

/// Calls with a ticket; the final answer.
fn call(edge: SocketAddr, ticket: &str) -> String {
    let caller = Carrier::new(edge);
    caller.send(&caller.invite_with(NUMBER, ("X-Strowger-Ticket", ticket)));
    caller.receive_where(|answer| !answer.starts_with("SIP/2.0 1"))
}

/// A hand-off as it comes to us on this leg.
pub(crate) fn hand_off<'f>(
    on: u128,
    more: &[(&'static str, &'f str)],
) -> Vec<(&'static str, &'f str)> {
    let mut fields = request(on, &signed(NUMBER, 1234));
    fields.extend(more);
    fields
}

fn request(on: u128, payload: &HandOff) -> Vec<(&'static str, &'static str)> {
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let secret = Secret::new(*b"canary-hand-off-0123456789");
    vec![
        ("AccountSid", ACCOUNT),
        ("CallSid", leak(leg(on))),
        ("From", "+14155550123"),
        ("To", "AP0123456789abcdef0123456789abcdef"),
        ("Param_OriginalTo", "+14155550199"),
        ("Param_OriginalCallSid", ORIGINAL),
        (
            "Param_RetreaverPhoneNumber",
            leak(payload.number.to_string()),
        ),
        (
            "Param_RetreaverCompanyId",
            leak(payload.company.0.to_string()),
        ),
        ("Param_RetreaverSignature", leak(payload.sign(&secret))),
    ]
}

fn signed(number: &str, company: u64) -> HandOff {
    HandOff {
        original_to: "+14155550199".into(),
        original_call: CallSid::parse(ORIGINAL).unwrap(),
        number: Number::from_e164(number.as_bytes()).unwrap(),
        company: CompanyKey(company),
    }
}

pub(crate) fn leg(number: u128) -> String {
    CallSid::from_bits(number).to_string()
}

pub(super) fn sender(process: &Process) -> Sender {
    Sender {
        client: Client {
            address: *process.web.last().unwrap(),
            token: None,
        },
        token: TOKEN,
    }
}

pub(crate) fn start(buyer: &Buyer) -> (Site, Edge) {
    let site = Site::with_buyer(1, buyer.address);
    prepare(&site);
    let edge = site.start();
    (site, edge)
}

pub(crate) fn prepare(site: &Site) {
    open(site, "");
    site.append(&TWILIO.replace("[twilio]", "[twilio]\nhand_off_legs = 3"));
    let text = fs::read_to_string(&site.config).unwrap();
    let trunk = "[[trunk]]\nid = \"carrier\"";
    let text = text.replacen(trunk, &format!("{trunk}\ntickets = \"taken\""), 1);
    fs::write(&site.config, text).unwrap();
}

const FORGED: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[test]
fn what_callers_enter_becomes_tags_and_reaches_the_decision() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    prepare(&site);
    site.append(FLOW);
    let edge = site.start();
    let twilio = Sender {
        token: "canary-flow-token-0123456789",
        ..Sender::of(&edge)
    };
    let ask = |service: &str, more: &[(&str, &str)]| {
        let mut fields = vec![
            ("AccountSid", "AC00000000000000000000000000000004"),
            ("CallSid", "CA00000000000000000000000000000031"),
            ("From", "+14155550123"),
            ("To", NUMBER),
        ];
        fields.extend(more);
        twilio.post(&format!("/connect/webhook/twilio/{service}"), &fields)
    };

    let menu = ask("ivr-menu?orgid=flow-org", &[]);
    assert!(
        menu.body.contains("<Gather") && menu.body.contains("Press 1"),
        "{}",
        menu.body
    );
    let input = "ivr-menu-input?orgid=flow-org&step=product&asked=0";
    let again = ask(input, &[("Digits", "9")]);
    assert!(again.body.contains("Press 1"), "{}", again.body);
    let zip = ask(input, &[("Digits", "1")]);
    assert!(zip.body.contains("zip code"), "{}", zip.body);
    let dialled = dial(&ask(
        "ivr-input?orgid=flow-org&step=zip&asked=0",
        &[("Digits", "90210")],
    ));
    // Twilio asks twice when an answer was lost.
    let same = dial(&ask(
        "ivr-input?orgid=flow-org&step=zip&asked=0",
        &[("Digits", "90210")],
    ));
    assert_eq!(same, dialled);
    let assistant = ask("ai-voice?orgid=flow-org", &[]);
    assert!(
        assistant
            .body
            .contains("wss://assistant.example.com/stream"),
        "{}",
        assistant.body
    );
    let queue = ask("ivr-queue-music?orgid=flow-org", &[("QueueTime", "3")]);
    assert!(
        queue
            .body
            .contains("<Play>https://files.example.com/hold.mp3"),
        "{}",
        queue.body
    );
    let left = ask("ivr-queue-music?orgid=flow-org", &[("QueueTime", "700")]);
    assert!(left.body.contains("<Leave"), "{}", left.body);
    let paid = ask(
        "ivr-payment-status?orgid=flow-org",
        &[
            ("PaymentCardNumber", "canary-4111"),
            ("For", "security-code"),
        ],
    );
    assert_eq!(paid.status, 204);

    let mut caller = Carrier::new(edge.addresses()[0]);
    caller.call_by(&caller.invite_with(NUMBER, ("X-Strowger-Ticket", &dialled.ticket)));
    caller.hang_up();
    edge.stop();
    let tags = site.records()[0]["routing"]["tags"].to_string();
    for said in ["\"solar\"", "us-90210"] {
        assert!(tags.contains(said), "{said}: {tags}");
    }
    no_canary(site.folder.path());
}

/// The payload comes with the first request, and the answers to the menu without it.
#[test]
fn a_call_that_is_handed_over_may_go_through_a_menu() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    prepare(&site);
    site.append(FLOW);
    let edge = site.start();
    let twilio = Sender {
        token: "canary-flow-token-0123456789",
        ..Sender::of(&edge)
    };
    let account = ("AccountSid", "AC00000000000000000000000000000004");
    let mut fields = hand_off(41, &[]);
    fields.retain(|(name, _)| *name != "AccountSid");
    fields.push(account);
    let menu = twilio.post("/connect/webhook/twilio/ivr-menu?orgid=flow-org", &fields);
    assert!(menu.body.contains("Press 1"), "{}", menu.body);
    let leg = leg(41);
    let then = |digits| {
        [
            account,
            ("CallSid", &*leg),
            ("From", "+14155550123"),
            ("To", "AP0123456789abcdef0123456789abcdef"),
            ("Digits", digits),
        ]
    };
    let input = "/connect/webhook/twilio/ivr-menu-input?orgid=flow-org&step=product&asked=0";
    assert!(twilio.post(input, &then("1")).body.contains("zip code"));
    let input = "/connect/webhook/twilio/ivr-input?orgid=flow-org&step=zip&asked=0";
    let dialled = dial(&twilio.post(input, &then("90210")));

    let mut caller = Carrier::new(edge.addresses()[0]);
    caller.call_by(&caller.invite_with(NUMBER, ("X-Strowger-Ticket", &dialled.ticket)));
    caller.hang_up();
    edge.stop();
    let tags = site.records()[0]["routing"]["tags"].to_string();
    for said in [ORIGINAL, "us-90210", "solar"] {
        assert!(tags.contains(said), "{said}: {tags}");
    }
}

/// An organisation with a flow.
pub(crate) const FLOW: &str = r#"
[[twilio.org]]
id = "flow-org"
company = "acme"
company_id = 31
account_sid = "AC00000000000000000000000000000004"
auth_token = "canary-flow-token-0123456789"
assistant = "wss://assistant.example.com/stream"
hold = "https://files.example.com/hold.mp3"

[[twilio.org.step]]
id = "product"
say = "Press 1 for solar."
otherwise = "hangup"

[[twilio.org.step.choice]]
key = "1"
tag = "product"
value = "solar"
next = "zip"

[[twilio.org.step]]
id = "zip"
say = "Please enter your zip code."
input = "digits"
digits = 5
tag = "caller_zip"
next = "connect"
"#;

/// Requests that the official libraries have signed, byte for byte.
#[test]
fn the_vectors_of_webhooks_are_believed_and_answered() {
    // They are not part of this repository; the units have cases of their own.
    let Some(path) = shared("vectors/twilio.json") else {
        return;
    };
    let vectors = fs::read_to_string(path).unwrap();
    let vectors: Value = serde_json::from_str(&vectors).unwrap();
    let site = Site::new(1);
    open(&site, "");
    site.append(&TWILIO.replace(TOKEN, "12345").replace("my-org", "acme"));
    let edge = site.start();
    let twilio = Sender::of(&edge);
    let mut answered = Vec::new();
    for vector in vectors["signatures"].as_array().unwrap() {
        let text = |key: &str| vector[key].as_str().unwrap_or_default();
        if !text("id").starts_with("wh_") {
            continue;
        }
        let (_, target) = text("request_url").split_once(".com").unwrap();
        let post = |signature: &str| {
            let headers = [
                ("Content-Type", text("content_type")),
                ("X-Twilio-Signature", signature),
            ];
            let body = text("body").as_bytes();
            twilio.client.ask(text("method"), target, &headers, body)
        };
        let answer = post(text("x_twilio_signature"));
        assert!(
            matches!(answer.status, 200 | 204),
            "{}: {}",
            text("id"),
            answer.head
        );
        answered.push(answer.status);
        // What is asked again is answered again.
        assert_eq!(post(text("x_twilio_signature")).status, answer.status);
        let other = text("x_twilio_signature").to_ascii_uppercase();
        assert_eq!(post(&other).status, 403, "{}", text("id"));
    }
    assert_eq!(answered.len(), 13);
    assert_eq!(answered.iter().filter(|status| **status == 204).count(), 3);
}
