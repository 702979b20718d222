//! The documents of the shared vectors, as trees; and that what others say stays text.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::sip::retreaver::{Profile, RetreaverHeaders};
use crate::twilio::sip_uri::{Credentials, Transport};
use crate::twilio::tests::{shared, tree};
use crate::types::secret::Secret;

#[test]
fn a_call_is_sent_to_our_own_edge_with_its_ticket() {
    let target = Target::Sip(SipUri {
        port: Some(5061),
        transport: Transport::Secure,
        edge: Some("ashburn".into()),
        headers: vec![("X-Strowger-Ticket".into(), "v1.abc".into())],
        credentials: Some(Credentials {
            username: "edge".into(),
            password: Secret::new(*b"p<w"),
        }),
        ..address()
    });
    let dial = Dial {
        caller_id: Some("+14155550123"),
        status: Some("https://e.example.com/status?orgid=acme"),
        ..dial(&target)
    };

    let text = Response::of(dial.verb().unwrap()).write().unwrap();

    assert_eq!(
        tree(&text),
        json!(["Response", {}, "", [["Dial", {
            "answerOnBridge": "true",
            "action": "https://e.example.com/next?orgid=acme&a=1",
            "method": "POST",
            "timeout": "60",
            "timeLimit": "14400",
            "callerId": "+14155550123",
        }, "", [["Sip", {
            "username": "edge",
            "password": "p<w",
            "statusCallback": "https://e.example.com/status?orgid=acme",
            "statusCallbackEvent": "initiated ringing answered completed",
        }, "sip:+18005551234@sip.example.com:5061;transport=tls;secure=true;edge=ashburn?X-Strowger-Ticket=v1.abc", []]]]]])
    );
}

#[test]
fn a_buyer_of_sip_gets_the_x_ph_headers_in_the_address() {
    let headers = RetreaverHeaders {
        uuid: b"8f14e45f-ceea-467f-a1c8-6c9a2f4b0d11",
        key: b"ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        afid: "bright leads",
        sid: None,
        profile: Profile::Raw,
    };
    let uri = SipUri {
        headers: headers
            .fields()
            .map(|(name, value)| (name.into(), value))
            .collect(),
        ..address()
    };

    assert_eq!(
        uri.write().as_deref(),
        Ok(
            "sip:+18005551234@sip.example.com;transport=udp?X-PH-RetreaverUUID=8f14e45f-ceea-467f-a1c8-6c9a2f4b0d11\
            &X-PH-RetreaverKey=ABCDEFGHIJKLMNOPQRSTUVWXYZ&X-PH-RetreaverAFID=bright%2520leads"
        )
    );
}

#[test]
fn a_buyer_of_telephony_is_a_number() {
    let target = Target::Number {
        number: Number::from_e164(b"+18885550100").unwrap(),
        send_digits: Some("ww1#".into()),
    };
    let dial = Dial {
        timeout: Duration::ZERO,
        time_limit: Duration::MAX,
        ..dial(&target)
    };

    let text = Response::of(dial.verb().unwrap()).write().unwrap();

    let tree = tree(&text);
    let dial = &tree[3][0];
    assert_eq!(
        (&dial[1]["timeout"], &dial[1]["timeLimit"]),
        (&json!("1"), &json!("86400"))
    );
    assert_eq!(
        dial[3],
        json!([["Number", {"sendDigits": "ww1#"}, "+18885550100", []]])
    );
}

#[test]
fn a_document_that_twilio_would_not_take_is_not_sent() {
    let long = "x".repeat(MOST_BYTES);

    let refused = Response::of(redirect(&long)).then(hangup([])).write();

    assert!(matches!(refused, Err(TooLong(bytes)) if bytes > MOST_BYTES));
}

#[test]
fn shared_vectors_hold() {
    let Some(vectors) = shared() else {
        return;
    };
    let mut ours = 0;
    for vector in vectors["twiml"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        for library in ["python", "node"] {
            if let Some(text) = vector[library].as_str() {
                assert_eq!(tree(text), vector["tree"], "{name} {library}");
            }
        }
        let verb = match name {
            "reject_busy" => reject(Rejection::Busy, None),
            "hangup" => hangup([]),
            "hangup_param" => hangup([("disposition", "sold")]),
            "redirect" => {
                redirect("https://edge.example.com/connect/webhook/twilio/voice?orgid=acme&x=1")
            }
            // What senders write, or what we have no use for.
            "dial_application_seed"
            | "dial_sip_headers_noun"
            | "dial_sip_uris"
            | "dial_sip_min"
            | "enqueue"
            | "refer"
            | "empty" => continue,
            other => panic!("{other} is new"),
        };
        ours += 1;
        assert_eq!(
            tree(&Response::of(verb).write().unwrap()),
            vector["tree"],
            "{name}"
        );
    }
    assert_eq!(ours, 4);
    assert_eq!(
        tree(&Response::default().write().unwrap()),
        json!(["Response", {}, "", []])
    );
}

proptest! {
    /// However odd a text is, it is the text of one attribute, and the document's shape is ours.
    #[test]
    fn what_others_say_stays_text(name in "(?s).{0,20}", value in "(?s).{0,20}") {
        let text = Response::of(hangup([(&*name, &*value)])).write().unwrap();

        let kept = |text: &str| -> String {
            let is_kept = |letter: &char| !matches!(letter, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
            text.chars().filter(is_kept).collect()
        };
        let expected = json!(["Response", {}, "", [["Hangup", {}, "", [["Parameter", {"name": kept(&name), "value": kept(&value)}, "", []]]]]]);
        prop_assert_eq!(tree(&text), expected);
    }
}

fn dial(target: &Target) -> Dial<'_> {
    Dial {
        target,
        caller_id: None,
        timeout: Duration::from_secs(60),
        time_limit: Duration::from_secs(4 * 3600),
        action: "https://e.example.com/next?orgid=acme&a=1",
        status: None,
    }
}

fn address() -> SipUri {
    SipUri {
        user: "+18005551234".into(),
        host: "sip.example.com".into(),
        port: None,
        transport: Transport::Udp,
        edge: None,
        headers: Vec::new(),
        credentials: None,
    }
}
