use super::*;

#[test]
fn a_record_is_read_with_all_that_the_call_was_decided_by() {
    let read = read(LINE.as_bytes()).expect("a record");

    let call = &read.call;
    assert_eq!(call.at.to_string(), "2024-11-04T14:00:00.5Z");
    assert_eq!((call.generation, &*call.node), (3, "edge-1"));
    assert_eq!(
        call.dialled.map(|number| number.to_string()),
        Ok("+12125550101".to_owned())
    );
    let fates: Vec<_> = call
        .attempts
        .iter()
        .map(|(buyer, fate)| (&**buyer, *fate))
        .collect();
    assert_eq!(fates, [("first", Fate::Busy), ("second", Fate::Answered)]);
    let full = WhyPassed::Full {
        party: Party::Group("pool".into()),
        kind: "cap_day".into(),
        have: 25,
    };
    let why: Vec<_> = call.passed.iter().map(|one| one.why.clone()).collect();
    let judged = WhyPassed::Judged("closed".into());
    assert_eq!(why, [full, WhyPassed::Down, judged, WhyPassed::Unknown]);
    assert_eq!(call.last.talk, Some(Duration::from_millis(90_250)));
    assert_eq!(
        (&*call.last.outcome, call.last.hung_up_by),
        ("completed", Some("buyer"))
    );
    let known = call.course.as_ref().expect("a course");
    let states = known.states.iter();
    let states: Vec<_> = states
        .map(|held| (held.until.is_some(), held.tags.len()))
        .collect();
    assert_eq!(states, [(true, 0), (false, 1)]);
    let (memory, is_known) = known.states[1].memory.as_ref().expect("a memory");
    assert!(is_known);
    assert_eq!(
        memory.last_fired("crm"),
        Some(Moment::from_millis(1_730_000_000_000))
    );
    assert_eq!(
        known.decisions[0].at.since(call.at),
        Duration::from_millis(40)
    );
    assert_eq!(
        (known.turns[0].told, known.turns[1].forward),
        (Some(1), None)
    );
    assert_eq!(
        known.posted.revenue.map(|money| money.to_string()),
        Some("20.00".to_owned())
    );
    let (heard, known_for) = known.answer_known.expect("a vendor has told of it");
    assert_eq!(heard.since(call.at), Duration::from_millis(3_500));
    assert_eq!(known_for, Duration::from_millis(89_750));
    assert_eq!(known.resumed, ["zeroth".into()]);
    assert_eq!(read.company.as_deref(), Some("acme"));
    assert_eq!(known.failed, [("crm".into(), 1)]);
    assert_eq!(read.webhooks.len(), 3);
    assert_eq!(read.decisions[0]["order"][0]["buyer"], "first");
    assert!(read.decisions[0].get("at_ms").is_none());
    assert_eq!(read.conversion["verdict"], "missed");
}

#[test]
fn what_cannot_be_used_says_why() {
    let without = |key: &str| LINE.replace(key, "\"other\":");
    for (line, expected) in [
        ("{".to_owned(), "is no call record: EOF while parsing"),
        ("[]".to_owned(), "is no call record: "),
        (without("\"uuid\":\"1f"), "is no call record: "),
        (
            LINE.replace("+12125550101", "212"),
            "is no call record: `dialled` is not what records have there",
        ),
        (
            LINE.replace("\"origin\":\"hook\"", "\"origin\":\"ann\""),
            "is no call record: `origin`",
        ),
        (
            LINE.replace("\"revenue\":\"20\"", "\"revenue\":\"much\""),
            "is no call record: `posted`",
        ),
        (
            LINE.replace("\"at\":\"2024-11-04T14", "\"when\":\"2024-11-04T14"),
            "does not say by what it was decided",
        ),
        (
            LINE.replace(
                "{\"at_ms\":40,\"state\":1,\"campaign\"",
                "{\"state\":1,\"campaign\"",
            ),
            "does not say by what it was decided",
        ),
        (
            LINE.replace(
                "\"outcome\":\"completed\"",
                "\"outcome\":\"edge_restarted\"",
            ),
            "is that of a call that a restart cut off",
        ),
    ] {
        assert_ne!(line, LINE, "{expected}");
        let why = read(line.as_bytes()).expect_err(expected).to_string();
        assert!(why.starts_with(expected), "{why}");
    }
}

#[test]
fn a_line_that_is_cut_or_changed_anywhere_is_read_or_refused() {
    let line = LINE.as_bytes();
    for at in 0..line.len() {
        let (start, end) = line.split_at(at);
        assert!(read(start).is_err());
        for odd in [b'"', b'0', b'}', 0xff] {
            let rest = end.get(1..).unwrap_or_default();
            // Whatever it says now: it is no reason to end.
            let _ = read(&[start, &[odd], rest].concat());
        }
    }
}

const LINE: &str = concat!(
    r#"{"uuid":"1f0b7c52-5f1c-4a2b-9c3d-8e7f6a5b4c3d","began":"2024-11-04T14:00:00.500Z","outcome":"completed","status":200,"#,
    r#""hung_up_by":"buyer","trunk":"carrier","user":null,"dialled":"+12125550101","caller":"+13125550142","campaign":"solar","#,
    r#""afid":"bright-leads","sid":null,"call_id":"a@b","post_dial_delay_ms":80,"setup_ms":3000,"talk_ms":90250,"total_ms":93250,"#,
    r#""attempts":[{"buyer":"first","gateway":"g","call_id":"b1","at_ms":41,"ms":9,"status":486,"result":"busy"},"#,
    r#"{"buyer":"second","gateway":"g","call_id":"b2","at_ms":50,"ms":2950,"status":200,"result":"answered"}],"#,
    r#""skipped":[{"buyer":"third","gateway":null,"at_ms":40,"why":"group_cap","limit":{"of":"group","id":"pool","#,
    r#""kind":"cap_day","have":25,"cap":25}},{"buyer":"fourth","gateway":"g","at_ms":40,"why":"gateway_down","limit":null},"#,
    r#"{"buyer":"fifth","gateway":null,"at_ms":40,"why":"closed","limit":null},"#,
    r#"{"buyer":"sixth","gateway":null,"at_ms":40,"why":"limit_unknown","limit":null}],"media":null,"#,
    r#""routing":{"company":"acme","at":"2024-11-04T14:00:00.500Z","past":{"known":true,"calls":[{"uuid":"#,
    r#""2f0b7c52-5f1c-4a2b-9c3d-8e7f6a5b4c3d","campaign":"solar","buyer":"first","answered":"2024-10-27T03:33:20Z","#,
    r#""group":null,"converted":null,"webhooks":[{"webhook":"crm","at":"2024-10-27T03:33:20Z"}]}]},"#,
    r#""tags":[{"key":"age","value":"66","origin":"hook"}],"before":[{"until_ms":40,"past":null,"tags":[]}],"#,
    r#""decisions":[{"at_ms":40,"state":1,"campaign":"solar","order":[{"buyer":"first"},{"buyer":"second"}],"refused":null,"#,
    r#""looks":[]}],"resumed":[{"buyer":"zeroth"}],"turns":[{"buyer":"first","at_ms":40,"state":1,"told":1,"forward":1},"#,
    r#"{"buyer":"second","at_ms":50,"state":1,"told":1,"forward":null}],"answer_state":1,"known":{"at_ms":3500,"ms":89750},"ringing_ms":2920,"#,
    r#""webhooks":[{"webhook":"crm","trigger":"start","at_ms":0,"result":"answered","status":200,"ms":40,"warnings":[]},"#,
    r#"{"webhook":"crm","trigger":"selected","at_ms":40,"result":"connect","status":null,"ms":2,"warnings":[]},"#,
    r#"{"webhook":"pixel","trigger":"connect","at_ms":93250,"result":"queued","status":null,"ms":0,"warnings":[]}],"#,
    r#""posted":{"converted":null,"payout":null,"revenue":"20"},"#,
    r#""conversion":{"group":"long","verdict":"missed","converted":null}},"node":"edge-1","generation":3}"#
);
