//! What the document of Application Connect says, asked of a running edge: webhooks as Twilio sends them, and the calls that follow.

use serde_json::Value;
use strowger::edge::Edge;

use crate::loopback::connect::{NUMBER, ORIGINAL, VOICE, dial, hand_off, leg, start};
use crate::loopback::site::{Buyer, Carrier, header};
use crate::loopback::vendors::{ACCOUNT, Sender, no_canary};

#[test]
fn if_it_matches_the_call_is_routed_as_if_it_had_dialled_the_number_directly() {
    let buyer = Buyer::start();
    let (site, edge) = start(&buyer);
    let twilio = Sender::of(&edge);
    let direct = [
        ("AccountSid", ACCOUNT),
        ("CallSid", &*leg(2)),
        ("From", "+14155550123"),
        ("To", NUMBER),
    ];

    let handed = dial(&twilio.post(VOICE, &hand_off(1, &[])));
    let dialled = dial(&twilio.post(VOICE, &direct));
    for ticket in [&handed.ticket, &dialled.ticket] {
        bring(&edge, ticket);
    }
    edge.stop();

    assert_eq!(handed.uri, dialled.uri);
    let records = site.records();
    let decided = |record: &Value| {
        let buyers = record["attempts"].as_array().expect("attempts");
        let buyers: Vec<_> = buyers.iter().map(|one| one["buyer"].clone()).collect();
        let names = ["dialled", "campaign", "afid", "caller"];
        let whose = record["routing"]["company"].clone();
        (names.map(|name| record[name].clone()), whose, buyers)
    };
    assert_eq!(decided(&records[0]), decided(&records[1]));
    assert_eq!(decided(&records[0]).2.len(), 1);
    let heard = buyer.invites.lock().unwrap();
    let publisher = |invite: &str| header(invite, "X-PH-RetreaverAFID").to_owned();
    assert_eq!(publisher(&heard[0]), "bright-leads");
    assert_eq!(publisher(&heard[1]), "bright-leads");
}

#[test]
fn the_request_says_exactly_which_campaign_and_company_the_call_goes_to() {
    let buyer = Buyer::start();
    let (site, edge) = start(&buyer);
    let twilio = Sender::of(&edge);

    bring(&edge, &dial(&twilio.post(VOICE, &hand_off(1, &[]))).ticket);
    edge.stop();

    let record = &site.records()[0];
    assert_eq!(record["dialled"], NUMBER);
    assert_eq!(record["campaign"], "solar");
    assert_eq!(record["routing"]["company"], "acme");
}

#[test]
fn numbers_stay_in_twilio_and_what_was_dialled_there_is_told() {
    let buyer = Buyer::start();
    let (site, edge) = start(&buyer);
    let twilio = Sender::of(&edge);
    let fields = hand_off(1, &[]);
    // It is nobody's number here.
    assert!(fields.contains(&("Param_OriginalTo", "+14155550199")));

    bring(&edge, &dial(&twilio.post(VOICE, &fields)).ticket);
    edge.stop();

    let tags = site.records()[0]["routing"]["tags"].to_string();
    assert!(
        tags.contains("+14155550199") && tags.contains(ORIGINAL),
        "{tags}"
    );
}

#[test]
fn the_signature_is_of_all_the_parameters_and_the_companys_secret() {
    let buyer = Buyer::start();
    let (_site, edge) = start(&buyer);
    let twilio = Sender::of(&edge);

    for (name, value) in [
        ("Param_OriginalTo", "+14155550198"),
        (
            "Param_OriginalCallSid",
            "CA1234567890abcdef1234567890abcdee",
        ),
        ("Param_RetreaverPhoneNumber", "+12125550102"),
        ("Param_RetreaverCompanyId", "1235"),
        ("Param_RetreaverSignature", FORGED),
    ] {
        let mut fields = hand_off(1, &[]);
        fields.retain(|(own, _)| *own != name);
        let missing = twilio.post(VOICE, &fields);
        fields.push((name, value));
        let forged = twilio.post(VOICE, &fields);

        for (answer, why) in [(missing, "missing_parameter"), (forged, "bad_signature")] {
            assert_eq!(answer.status, 200);
            assert!(answer.body.contains("<Reject"), "{name}: {}", answer.body);
            assert!(answer.body.contains(why), "{name}: {}", answer.body);
        }
    }
}

/// Company 1235 has no secret for it in the configuration.
#[test]
fn the_feature_must_be_enabled() {
    let buyer = Buyer::start();
    let (_site, edge) = start(&buyer);
    let twilio = Sender {
        token: "canary-other-token-0123456789",
        ..Sender::of(&edge)
    };
    let mut fields = hand_off(1, &[]);
    fields.retain(|(own, _)| !matches!(*own, "AccountSid" | "Param_RetreaverCompanyId"));
    fields.push(("AccountSid", "AC00000000000000000000000000000002"));
    fields.push(("Param_RetreaverCompanyId", "1235"));

    let answer = twilio.post(&VOICE.replace("my-org", "other-org"), &fields);

    assert_eq!(answer.status, 200);
    assert!(answer.body.contains("<Reject"), "{}", answer.body);
    let why = "strowger_vendor_refused_total{why=\"hand_off_disabled\"}";
    assert!(edge.metrics().contains(why), "{}", edge.metrics());
}

#[test]
fn the_secret_is_treated_like_a_password() {
    let buyer = Buyer::start();
    let (site, edge) = start(&buyer);
    let twilio = Sender::of(&edge);
    let mut forged = hand_off(3, &[]);
    forged.retain(|(own, _)| *own != "Param_RetreaverSignature");
    forged.push(("Param_RetreaverSignature", FORGED));

    for fields in [&hand_off(1, &[]), &forged] {
        let answer = twilio.post(VOICE, fields);
        let said = [answer.head, answer.body].concat();
        assert!(!said.contains("canary-"), "{said}");
    }

    assert!(!edge.metrics().contains("canary-"));
    edge.stop();
    no_canary(site.folder.path());
}

/// Has the call come that a document has Twilio make.
fn bring(edge: &Edge, ticket: &str) {
    let mut caller = Carrier::new(edge.addresses()[0]);
    caller.call_by(&caller.invite_with(NUMBER, ("X-Strowger-Ticket", ticket)));
    caller.hang_up();
}

const FORGED: &str = "0000000000000000000000000000000000000000000000000000000000000000";
