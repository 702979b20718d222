//! `strowger demo`, as somebody runs it who has just built it.

use std::process::{Command, Output};

use serde_json::{Value, json};

#[test]
fn the_demo_draws_three_calls_and_ends_well() {
    let output = demo(&[]);

    let text = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{text}");
    for arrow in [
        "|--------- INVITE --------->|",
        "|<------ 100 Trying --------|",
        "|<--- 401 Unauthorized -----|",
        "|-- INVITE + credentials -->|",
        "|<----- 486 Busy Here ------|",
        "|<--------- 407 Proxy Authentication Required ----------|",
        "|---------------- INVITE + credentials ---------------->|",
        "|<----- 404 Not Found ------|",
    ] {
        assert!(text.contains(arrow), "no {arrow} in\n{text}");
    }
    assert!(text.ends_with("\nAll calls went as expected.\n"), "{text}");
    assert!(
        text.lines()
            .all(|line| line.is_ascii() && line.len() <= 100),
        "a line is too wide, or coloured without a terminal:\n{text}"
    );
    assert_eq!(output.stderr, b"");
}

#[test]
fn the_demo_says_the_same_as_one_json_document() {
    let output = demo(&["--json"]);

    let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    assert_eq!(output.status.code(), Some(0), "{document:#}");
    assert_eq!(document["ok"], true);
    let calls = document["calls"].as_array().expect("calls");
    let of_each = |key: &str| {
        calls
            .iter()
            .map(|call| call[key].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of_each("ok"), [true, true, true]);
    let records = of_each("record");
    let outcomes: Vec<_> = records
        .iter()
        .map(|record| json!([record["status"], record["outcome"], record["hung_up_by"]]))
        .collect();
    assert_eq!(
        outcomes,
        [
            json!([200, "completed", "caller"]),
            json!([200, "completed", "buyer"]),
            json!([404, "number_unknown", "edge"]),
        ]
    );
    let results: Vec<_> = records[1]["attempts"]
        .as_array()
        .expect("attempts")
        .iter()
        .map(|attempt| json!([attempt["buyer"], attempt["status"], attempt["result"]]))
        .collect();
    assert_eq!(
        results,
        [
            json!(["first", 486, "busy"]),
            json!(["second", 200, "answered"])
        ]
    );
    assert_eq!(
        names(&calls[0]["x_ph"]),
        [
            "X-PH-RetreaverAFID",
            "X-PH-RetreaverKey",
            "X-PH-RetreaverSID",
            "X-PH-RetreaverUUID",
        ]
    );
    assert_eq!(
        names(&calls[1]["x_ph"]),
        [
            "X-PH-RetreaverAFID",
            "X-PH-RetreaverKey",
            "X-PH-RetreaverUUID"
        ]
    );
    assert_eq!(calls[0]["x_ph"]["X-PH-RetreaverUUID"], records[0]["uuid"]);
    let key = calls[0]["x_ph"]["X-PH-RetreaverKey"].as_str().expect("key");
    assert!(key.len() == 26 && key.ends_with(&"*".repeat(22)), "{key}");
    for call in calls {
        let messages = call["messages"].as_array().expect("messages");
        assert_eq!(
            (
                &messages[0]["at_ms"].as_f64().map(|at| at < 1.0),
                &messages[0]["from"]
            ),
            (&Some(true), &json!("carrier"))
        );
        let times: Vec<_> = messages.iter().map(|m| m["at_ms"].as_f64()).collect();
        assert!(times.is_sorted(), "{times:?}");
    }
}

fn demo(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_strowger"))
        .arg("demo")
        .args(arguments)
        .output()
        .expect("the demo starts")
}

/// The names in an object, sorted.
fn names(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}
