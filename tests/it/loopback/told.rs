//! What Twilio tells of a call: once, late, or in another order.

use serde_json::Value;
use strowger::twilio::sid::CallSid;

use super::client::{Client, READER};
use super::connect::{NUMBER, VOICE};
use super::vendors::{ACCOUNT, Sender, start};

#[test]
fn a_leg_never_goes_backwards_and_everything_is_told_once() {
    let (_site, edge) = start();
    let twilio = Sender::of(&edge);
    let parent = CallSid::from_bits(51).to_string();
    let child = CallSid::from_bits(52).to_string();
    let known = [
        ("AccountSid", ACCOUNT),
        ("CallSid", &*parent),
        ("From", "+14155550123"),
        ("To", NUMBER),
    ];
    assert_eq!(twilio.post(VOICE, &known).status, 200);
    let tell = |status: &str, sequence: &str| {
        let fields = [
            ("AccountSid", ACCOUNT),
            ("CallSid", &child),
            ("ParentCallSid", &parent),
            ("CallStatus", status),
            ("SequenceNumber", sequence),
            ("SipResponseCode", "200"),
        ];
        let answer = twilio.post("/connect/webhook/twilio/status?orgid=my-org", &fields);
        assert_eq!(answer.status, 204);
    };

    for (status, sequence) in [
        ("in-progress", "2"),
        ("ringing", "1"),
        ("in-progress", "2"),
        ("completed", "3"),
        ("busy", "3"),
    ] {
        tell(status, sequence);
    }
    let recorded = [
        ("AccountSid", ACCOUNT),
        ("CallSid", &*parent),
        ("RecordingSid", "RE00000000000000000000000000000001"),
        ("RecordingStatus", "completed"),
        ("RecordingUrl", "https://api.twilio.example/RE1"),
        ("RecordingDuration", "12"),
    ];
    let target = "/connect/webhook/twilio/recording-status?orgid=my-org";
    for _ in 0..2 {
        assert_eq!(twilio.post(target, &recorded).status, 204);
    }
    // Nobody's call is nobody's business, and answered all the same.
    let nobody = [
        ("AccountSid", ACCOUNT),
        ("CallSid", "CA00000000000000000000000000000099"),
        ("CallStatus", "ringing"),
    ];
    let target = "/connect/webhook/twilio/status?orgid=my-org";
    assert_eq!(twilio.post(target, &nobody).status, 204);

    let admin = Client {
        address: edge.http_addresses()[0],
        token: Some(READER),
    };
    let call = admin.get(&format!("/v1/twilio/calls/{parent}")).json();
    assert_eq!(call["legs"][&child], "completed");
    let told = call["told"].as_array().unwrap();
    let came: Vec<&Value> = told.iter().map(|told| &told["came"]).collect();
    assert_eq!(
        came,
        [
            "sent_to_edge",
            "onward",
            "late",
            "onward",
            "contrary",
            "noted"
        ]
    );
    let recording = told.last().unwrap()["more"].as_str().unwrap();
    assert_eq!(recording, "12 s, https://api.twilio.example/RE1");
}
