//! Ways through a flow, and flows that lead nowhere.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::twilio::tests::tree;

#[test]
fn callers_are_asked_and_what_they_enter_becomes_tags() {
    let flow = flow();

    let welcome = flow.enter(&flow.start(), urls());
    assert_eq!(welcome.end, End::Asks);
    assert_eq!(
        document(&welcome),
        json!([
            ["Say", {"voice": "alice", "language": "en-GB"}, "Welcome.", []],
            ["Gather", {
                "action": "https://e.example.com/connect/webhook/twilio/ivr-menu-input?orgid=acme&step=menu&asked=0",
                "method": "POST",
                "timeout": "5",
                "actionOnEmptyResult": "true",
                "input": "dtmf",
                "numDigits": "1",
                "finishOnKey": "",
            }, "", [["Say", {}, "Press 1 for solar, 2 to leave a message.", []]]],
        ])
    );

    let solar = flow.hear(&place("menu", 0), &pressed("1"), urls());
    assert_eq!(solar.tags, [("product".into(), "solar".into())]);
    assert_eq!(document(&solar)[0][1]["numDigits"], "5");
    assert_eq!(document(&solar)[0][1]["finishOnKey"], "#");

    let zip = flow.hear(&place("zip", 1), &pressed("10101"), urls());
    assert_eq!(zip.tags, [("zip".into(), "10101".into())]);
    assert_eq!(document(&zip)[0][1]["input"], "speech");

    let words = [
        ("SpeechResult", "I need Life Insurance."),
        ("Confidence", "0.91"),
    ];
    let need = flow.hear(&place("need", 0), &words.into_iter().collect(), urls());
    assert_eq!(need.tags, [("need".into(), "i need life insurance".into())]);
    assert_eq!((need.end, document(&need)), (End::Connects, json!([])));
}

#[test]
fn who_says_nothing_is_asked_again_and_not_for_ever() {
    let flow = flow();

    for nothing in [
        Form::default(),
        pressed(""),
        pressed("7"),
        pressed("11"),
        pressed("\u{661}"),
    ] {
        let again = flow.hear(&place("menu", 0), &nothing, urls());
        assert!(again.tags.is_empty());
        let action = &document(&again)[0][1]["action"];
        assert!(
            action.as_str().unwrap().ends_with("step=menu&asked=1"),
            "{action}"
        );

        let last = flow.hear(&place("menu", 1), &nothing, urls());
        assert_eq!(
            (last.end, document(&last)),
            (End::HangsUp, json!([["Hangup", {}, "", []]]))
        );
    }
    for odd in ["123456", "12a", "*"] {
        let again = flow.hear(&place("zip", 0), &pressed(odd), urls());
        assert!(again.tags.is_empty(), "{odd}");
    }
    assert_eq!(
        flow.hear(&place("menu", 255), &Form::default(), urls()).end,
        End::HangsUp
    );
}

#[test]
fn a_message_is_recorded_and_the_call_goes_on() {
    let flow = flow();

    let message = flow.hear(&place("menu", 0), &pressed("2"), urls());
    let record = &document(&message)[0];
    assert_eq!(record[0], "Record");
    assert_eq!(record[1]["maxLength"], "120");
    assert_eq!(
        record[1]["recordingStatusCallback"],
        "https://e.example.com/connect/webhook/twilio/recording-status?orgid=acme"
    );

    let form: Form = [
        ("RecordingUrl", "https://x"),
        ("RecordingDuration", "6"),
        ("Digits", "hangup"),
    ]
    .into_iter()
    .collect();
    assert_eq!(
        flow.hear(&place("message", 0), &form, urls()).end,
        End::HangsUp
    );
}

#[test]
fn a_place_that_is_no_more_is_the_start() {
    let flow = flow();

    let lost = flow.hear(&place("gone", 0), &pressed("1"), urls());

    assert_eq!(lost, flow.enter(&flow.start(), urls()));
    assert_eq!(flow.enter(&place("gone", 0), urls()), lost);
    let query: Form = [("orgid", "acme"), ("step", "menu"), ("asked", "x")]
        .into_iter()
        .collect();
    assert_eq!(Place::read(&query), Some(place("menu", 0)));
    assert_eq!(Place::read(&Form::default()), None);
}

#[test]
fn a_flow_that_leads_nowhere_is_refused() {
    let go = |id: &str, to: &str| step(id, Act::Go(Way::Step(to.into())));
    let faults = |steps: Vec<Step>| Flow::new(steps).expect_err("faults");

    assert_eq!(faults(vec![]), [FlowFault::Empty]);
    let many = (0..=MOST_STEPS)
        .map(|at| go(&at.to_string(), "0"))
        .collect();
    assert_eq!(faults(many), [FlowFault::TooMany]);
    assert_eq!(
        faults(vec![go("a", "b")]),
        [FlowFault::Nowhere {
            from: "a".into(),
            to: "b".into()
        }]
    );
    assert_eq!(
        faults(vec![go("a", "b"), go("b", "c"), go("c", "b")]),
        [FlowFault::Circle("b".into()), FlowFault::Circle("c".into())]
    );
    assert_eq!(faults(vec![go("a", "a")]), [FlowFault::Circle("a".into())]);
    let end = |id: &str| step(id, Act::Go(Way::HangUp));
    assert_eq!(
        faults(vec![end("a"), end("a")]),
        [FlowFault::Twice("a".into())]
    );
    assert_eq!(faults(vec![end("a b")]), [FlowFault::Name("a b".into())]);

    let menu = |key: char, tag: &str, tries| {
        let choice = Choice {
            tag: Some((tag.into(), "x".into())),
            next: Way::Connect,
        };
        step(
            "m",
            Act::Menu {
                choices: [(key, choice)].into(),
                patience: patience(tries),
            },
        )
    };
    assert!(Flow::new(vec![menu('#', "product", 1)]).is_ok());
    assert_eq!(
        faults(vec![menu('a', "product", 1)]),
        [FlowFault::Choices("m".into())]
    );
    assert_eq!(
        faults(vec![menu('1', "product", 0)]),
        [FlowFault::Patience("m".into())]
    );
    for tag in ["call_uuid", "Product", "", "a b", "caller_number"] {
        assert_eq!(
            faults(vec![menu('1', tag, 1)]),
            [FlowFault::Tag {
                step: "m".into(),
                tag: tag.into()
            }]
        );
    }
    let none = Act::Menu {
        choices: BTreeMap::new(),
        patience: patience(1),
    };
    assert_eq!(
        faults(vec![step("m", none)]),
        [FlowFault::Choices("m".into())]
    );
    let digits = |most| {
        let kind = InputKind::Digits(most);
        step(
            "i",
            Act::Input {
                tag: "t".into(),
                kind,
                next: Way::Connect,
                patience: patience(1),
            },
        )
    };
    assert!(Flow::new(vec![digits(32)]).is_ok());
    assert_eq!(faults(vec![digits(33)]), [FlowFault::Patience("i".into())]);
}

#[test]
fn a_queue_plays_until_a_caller_has_waited_long_enough() {
    let music = Prompt::Play("https://e.example.com/music.mp3".into());
    let at = |time: &str| {
        let form = [("QueueTime", time)].into_iter().collect();
        let text = queue_music(&form, &music, Duration::from_secs(60))
            .write()
            .unwrap();
        tree(&text)[3].clone()
    };

    assert_eq!(
        at("59"),
        json!([["Play", {}, "https://e.example.com/music.mp3", []]])
    );
    assert_eq!(at("60"), json!([["Leave", {}, "", []]]));
    assert_eq!(at("x")[0][0], "Play");
}

proptest! {
    /// Whatever callers press and wherever they say they are, they get a document, and tags that a call can have.
    #[test]
    fn every_answer_leads_somewhere(step in "menu|zip|need|message|gone|", asked: u8, digits: String, words: String) {
        let form: Form = [("Digits", &*digits), ("SpeechResult", &*words)].into_iter().collect();

        let turn = flow().hear(&place(&step, asked), &form, urls());

        prop_assert!(turn.response.write().is_ok());
        let mut tags = crate::types::tag::Tags::default();
        for (key, value) in &turn.tags {
            let added = tags.add(key, value, crate::types::tag::Origin::HandOff);
            prop_assert_eq!(added, Ok(true));
        }
    }
}

/// welcome -> menu: 1 -> zip -> need -> connect; 2 -> message -> hang up.
fn flow() -> Flow {
    let say = |text: &str| {
        Some(Prompt::Say {
            text: text.into(),
            voice: None,
            language: None,
        })
    };
    let to = |id: &str| Way::Step(id.into());
    let solar = Choice {
        tag: Some(("product".into(), "solar".into())),
        next: to("zip"),
    };
    let message = Choice {
        tag: None,
        next: to("message"),
    };
    let welcome = Prompt::Say {
        text: "Welcome.".into(),
        voice: Some("alice".into()),
        language: Some("en-GB".into()),
    };
    let steps = vec![
        Step {
            prompt: Some(welcome),
            ..step("welcome", Act::Go(to("menu")))
        },
        Step {
            prompt: say("Press 1 for solar, 2 to leave a message."),
            ..step(
                "menu",
                Act::Menu {
                    choices: [('1', solar), ('2', message)].into(),
                    patience: patience(2),
                },
            )
        },
        step(
            "zip",
            Act::Input {
                tag: "zip".into(),
                kind: InputKind::Digits(5),
                next: to("need"),
                patience: patience(2),
            },
        ),
        step(
            "need",
            Act::Input {
                tag: "need".into(),
                kind: InputKind::Speech,
                next: Way::Connect,
                patience: patience(1),
            },
        ),
        step(
            "message",
            Act::Record {
                most: Duration::from_secs(120),
                next: Way::HangUp,
            },
        ),
    ];
    Flow::new(steps).expect("a flow")
}

fn step(id: &str, act: Act) -> Step {
    Step {
        id: id.into(),
        prompt: None,
        act,
    }
}

fn patience(tries: u8) -> Patience {
    Patience {
        timeout: Duration::from_secs(5),
        tries,
        otherwise: Way::HangUp,
    }
}

fn place(step: &str, asked: u8) -> Place {
    Place {
        step: step.into(),
        asked,
    }
}

fn pressed(digits: &str) -> Form {
    [("Digits", digits)].into_iter().collect()
}

fn urls() -> Urls<'static> {
    static BASE: std::sync::LazyLock<PublicUrl> =
        std::sync::LazyLock::new(|| PublicUrl::parse("https://e.example.com").unwrap());
    Urls {
        base: &BASE,
        org: "acme",
    }
}

fn document(turn: &Turn) -> Value {
    tree(&turn.response.write().unwrap())[3].clone()
}
