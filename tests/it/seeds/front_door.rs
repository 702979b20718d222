//! The front door for vendors' webhooks, asked of a running edge: who may come, what is behind it, and what its documents refer to.

use strowger::edge::Edge;

use crate::loopback::connect::{FLOW, NUMBER, VOICE, dial, leg, prepare, start};
use crate::loopback::site::{Buyer, Site};
use crate::loopback::vendors::{ACCOUNT, Sender};

const DOOR: &str = "/connect/webhook/twilio";

#[test]
fn the_front_door_asks_for_no_token_and_believes_who_signs() {
    let buyer = Buyer::start();
    let (_site, edge) = start(&buyer);
    let twilio = Sender::of(&edge);
    let target = format!("{DOOR}/status?orgid=my-org");

    assert_eq!(twilio.post(&target, &told(1)).status, 204);
    assert_eq!(twilio.post_signed(&target, &told(1), &[]).status, 403);
}

#[test]
fn the_controller_routes_by_the_vendor_segment_and_the_service_may_be_left_out() {
    let buyer = Buyer::start();
    let (_site, edge) = start(&buyer);
    let twilio = Sender::of(&edge);
    let call = call("+14155550123");

    let by_name = dial(&twilio.post(VOICE, &call));
    let without = dial(&twilio.post(&format!("{DOOR}?orgid=my-org"), &call));

    assert_eq!(by_name, without);
    for path in [
        "/connect/webhook/vonage/voice",
        "/connect/webhook/twilio/fax",
    ] {
        assert_eq!(twilio.post(path, &call).status, 404, "{path}");
    }
}

#[test]
fn every_path_that_verbs_and_redirects_use_is_exposed() {
    let buyer = Buyer::start();
    let (_site, edge) = start(&buyer);
    let twilio = Sender::of(&edge);

    for (service, status) in [
        ("recording-status", 204),
        ("transcription-status", 204),
        ("ivr-continue", 200),
        ("ivr-input", 200),
        ("ivr-menu", 200),
        ("ivr-menu-input", 200),
        ("ivr-recording", 200),
        ("ivr-payment-status", 204),
        ("ivr-queue-music", 200),
        ("ivr-ai-outbound", 200),
        ("ivr-ai-transfer", 200),
        ("ai-voice", 200),
        ("voice", 200),
        ("sms", 200),
        ("status", 204),
    ] {
        let answer = twilio.post(&format!("{DOOR}/{service}?orgid=my-org"), &told(1));
        assert_eq!(answer.status, status, "{service}: {}", answer.body);
        assert_eq!(
            answer.body.contains("<Response"),
            status == 200,
            "{service}"
        );
    }
}

#[test]
fn the_twiml_of_each_ivr_action_references_its_path_with_the_right_parameters() {
    let (_site, edge) = with_flow();
    let twilio = Sender {
        token: "canary-flow-token-0123456789",
        ..Sender::of(&edge)
    };
    let mut fields = call("+14155550123");
    fields[0].1 = "AC00000000000000000000000000000004".to_owned();

    let menu = twilio.post(&format!("{DOOR}/ivr-menu?orgid=flow-org"), &fields);
    let next = referred(&menu.body, "ivr-menu-input");
    assert!(
        next.contains("orgid=flow-org") && next.contains("step=product"),
        "{next}"
    );
    // It leads on as it stands there.
    fields.push(("Digits", "1".to_owned()));
    let zip = twilio.post(&next, &fields);
    let next = referred(&zip.body, "ivr-input");
    assert!(
        next.contains("orgid=flow-org") && next.contains("step=zip"),
        "{next}"
    );
}

#[test]
fn a_soft_phone_that_dials_out_comes_to_the_same_endpoint_and_the_same_rules() {
    let buyer = Buyer::start();
    let (_site, edge) = start(&buyer);
    let twilio = Sender::of(&edge);
    let mut outbound = call("client:user:bob");
    outbound[1].1 = leg(8);
    outbound.push((
        "ApplicationSid",
        "AP0123456789abcdef0123456789abcdef".to_owned(),
    ));

    let inbound = dial(&twilio.post(VOICE, &call("+14155550123")));
    let outbound = twilio.post(VOICE, &outbound);

    assert_eq!(dial(&outbound).uri, inbound.uri);
    let mut nobodys = call("client:user:bob");
    nobodys[3].1 = "+18005559999".to_owned();
    nobodys[1].1 = leg(9);
    let refused = twilio.post(VOICE, &nobodys);
    assert!(refused.body.contains("unknown_number"), "{}", refused.body);
}

/// The address of a document that leads to a service, as Twilio would ask for it.
fn referred(document: &str, service: &str) -> String {
    let start = format!("https://edge.example.com{DOOR}/{service}?");
    let (_, rest) = document.split_once(&start).expect(document);
    let end = rest.find(['"', '<']).expect("its end");
    format!("{DOOR}/{service}?{}", rest[..end].replace("&amp;", "&"))
}

/// A call of our own number, by who calls.
fn call(from: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AccountSid", ACCOUNT.to_owned()),
        ("CallSid", leg(7)),
        ("From", from.to_owned()),
        ("To", NUMBER.to_owned()),
    ]
}

/// What is told of a call, enough for each service.
fn told(call: u128) -> Vec<(&'static str, String)> {
    vec![
        ("AccountSid", ACCOUNT.to_owned()),
        ("CallSid", leg(call)),
        ("CallStatus", "ringing".to_owned()),
        (
            "RecordingSid",
            "RE00000000000000000000000000000001".to_owned(),
        ),
        (
            "MessageSid",
            "SM00000000000000000000000000000001".to_owned(),
        ),
    ]
}

fn with_flow() -> (Site, Edge) {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    prepare(&site);
    site.append(FLOW);
    let edge = site.start();
    (site, edge)
}
