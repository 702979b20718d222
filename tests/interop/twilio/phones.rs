//! Soft phones whose WebSocket is not ours: a client from PyPI opens it, is told of calls, and says what clients say.

use std::time::Duration;

use serde_json::{Value, json};

use super::accounts::Office;
use super::judge::Judge;
use crate::twilio_api::ACCOUNT;

#[test]
fn a_client_that_is_not_ours_gets_the_exact_bytes() {
    let (office, mut judge) = (Office::new(), Judge::python());
    let token = office.post("/phone/token", &json!({"identity": "bob"}));
    let token = token["token"].as_str().expect("a token").to_owned();
    let url = format!("ws://{}/calls/socket", office.address());
    let bearer = json!({"Authorization": format!("Bearer {token}")});
    let app = open(&mut judge, json!({"url": url, "headers": bearer}));
    let protocols = json!(["strowger.calls", format!("bearer.{token}")]);
    let browser = open(&mut judge, json!({"url": url, "protocols": protocols}));
    assert_eq!(app["protocol"], Value::Null);
    assert_eq!(browser["protocol"], "strowger.calls");
    let wrong = json!({"Authorization": format!("Bearer {token}x")});
    let refused = judge.ask("phone", json!({"url": url, "headers": wrong}));
    assert_eq!(refused["status"], 401);

    // Lengths that are written in each of the ways that there are, but for those of more than 64 KiB, which no notification has.
    for (number, length) in [0, 1, 300, 60_000].into_iter().enumerate() {
        let body = format!(
            "{{ \"twi_to\":\"client:b\\u006fb\",\n\"x\":1.50, \"twi_account_sid\":\"{ACCOUNT}\",\
             \"twi_bridge_token\":\"canary-bridge-{number}\",\"twi_message_id\":\"WB{number}\",\"twi_params\":\"\u{e9}\u{1f600}{}\"}}\r\n",
            "=".repeat(length)
        );
        assert_eq!(office.notify(&body), (200, String::new()));
        for phone in [&app, &browser] {
            assert_eq!(hear(&mut judge, phone)["text"], body);
        }
    }

    // Whatever it says, it is heard, and a ping is answered by the same bytes.
    for text in [
        json!("hello"),
        json!(["hel", "lo", ""]),
        json!("x".repeat(4000)),
    ] {
        judge.ask("say", json!({"phone": app["phone"], "text": text}));
        let ping = json!({"phone": app["phone"], "bytes": "are you there"});
        assert_eq!(judge.ask("ping", ping), true);
    }
    let long = json!({"phone": app["phone"], "text": "x".repeat(5000)});
    judge.ask("say", long);
    assert_eq!(hear(&mut judge, &app)["code"], 1009);
    let gone = judge.ask("hang_up", json!({"phone": browser["phone"]}));
    assert_eq!(gone, 1000);
    let body = format!("{{\"twi_to\":\"client:bob\",\"twi_account_sid\":\"{ACCOUNT}\"}}");
    let is_gone = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        office.notify(&body).0 == 404
    });
    assert!(is_gone, "they are there still");

    let last = open(&mut judge, json!({"url": url, "headers": bearer}));
    office.close();
    assert_eq!(hear(&mut judge, &last)["code"], 1001);
}

fn open(judge: &mut Judge, question: Value) -> Value {
    let opened = judge.ask("phone", question);
    assert!(opened["phone"].is_u64(), "{opened}");
    opened
}

fn hear(judge: &mut Judge, phone: &Value) -> Value {
    judge.ask("hear", json!({"phone": phone["phone"]}))
}
