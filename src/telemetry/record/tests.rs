use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use super::*;
use crate::call::record::{Attempt, AttemptResult, Outcome, Side, Skipped, WhySkipped};
use crate::media::figures::{Figures, Heard};
use crate::routing::buyer::{Buyer, Gateway};
use crate::types::ids::{CallUuid, Entropy};
use crate::types::number::Number;

#[test]
fn a_line_holds_everything_in_a_fixed_order() {
    let (anchor, record) = sample();

    let line = write(&record, &anchor);

    let uuid = record.uuid;
    let expected = format!(
        concat!(
            r#"{{"uuid":"{}","began":"2026-01-02T03:04:04.500Z","outcome":"completed","status":200,"hung_up_by":"caller","#,
            r#""trunk":"acme","user":"alice","dialled":"+18885550100","caller":null,"campaign":"roofs","afid":"7","sid":null,"#,
            r#""call_id":"a1@192.0.2.1","post_dial_delay_ms":120,"setup_ms":3500,"talk_ms":60250,"total_ms":63750,"#,
            r#""attempts":[{{"buyer":"first","gateway":"192.0.2.9:5060","call_id":"b1","at_ms":5,"ms":40,"status":486,"result":"busy","together":null}},"#,
            r#"{{"buyer":"second","gateway":"192.0.2.9:5060","call_id":"b2","at_ms":45,"ms":3455,"status":200,"result":"answered","together":null}}],"#,
            r#""skipped":[{{"buyer":"third","gateway":"192.0.2.9:5060","at_ms":45,"why":"gateway_down","limit":null}}],"media":null,"routing":null,"vendor":[],"node":"edge-1","generation":3}}"#,
            "\n"
        ),
        uuid
    );
    assert_eq!(line, expected);
}

#[test]
fn a_call_that_was_cut_off_has_all_the_keys_of_another_in_their_order() {
    let (anchor, record) = sample();
    let mut line = Vec::new();

    write_cut_off(
        &mut line,
        "edge-1",
        &CutOff {
            uuid: record.uuid,
            began: Moment::from_millis(1_767_323_044_500),
            generation: 3,
            trunk: "acme",
            user: None,
            dialled: Some("+18885550100"),
            caller: None,
            campaign: Some("roofs"),
            afid: Some("7"),
            sid: None,
            call_id: b"a1@192.0.2.1",
            answered: Some((Moment::from_millis(1_767_323_048_000), "second")),
            ended: Moment::from_millis(1_767_323_050_250),
            company: Some("acme"),
            tags: &[("age", "66", "hook")],
        },
    );

    let keys = |line: &str| -> Vec<Vec<String>> {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let attempt = &value["attempts"][0];
        [&value, attempt]
            .map(|object| object.as_object().unwrap().keys().cloned().collect())
            .to_vec()
    };
    let line = String::from_utf8(line).unwrap();
    assert_eq!(keys(&line), keys(&write(&record, &anchor)));
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["outcome"], "edge_restarted");
    assert_eq!(value["began"], "2026-01-02T03:04:04.500Z");
    assert_eq!(
        (&value["status"], &value["setup_ms"]),
        (&200.into(), &3500.into())
    );
    assert_eq!(value["attempts"][0]["buyer"], "second");
    // It lasted as long as there was somebody who knew of it.
    assert_eq!(
        (&value["talk_ms"], &value["total_ms"]),
        (&2250.into(), &5750.into())
    );
    let tag = &value["routing"]["tags"][0];
    assert_eq!((&tag["key"], &tag["value"]), (&"age".into(), &"66".into()));
}

#[test]
fn what_the_relay_heard_is_told_by_party() {
    let (anchor, mut record) = sample();
    let mut figures = Figures::default();
    figures.parties[0] = Heard {
        packets: 500,
        bytes: 80_000,
        lost: 10,
        dropped: 3,
        foreign: 2,
        rtcp: 4,
        jitter: Duration::from_micros(1500),
        jitter_max: Duration::from_millis(20),
        mos: Some(431),
        source: Some("192.0.2.10:40000".parse().unwrap()),
        digits: "12#".to_owned(),
    };
    record.figures = Some(Box::new(figures));

    let line = write(&record, &anchor);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();

    assert_eq!(
        value["media"]["caller"],
        serde_json::json!({
            "source": "192.0.2.10:40000", "packets": 500, "bytes": 80_000, "lost": 10, "dropped": 3, "foreign": 2,
            "rtcp": 4, "jitter_us": 1500, "jitter_max_us": 20_000, "mos_hundredths": 431, "digits": "12#"
        })
    );
    assert_eq!(value["media"]["buyer"]["packets"], 0);
    assert!(value["media"]["buyer"]["source"].is_null());
}

#[test]
fn what_a_peer_wrote_cannot_end_the_line_or_the_text() {
    let (anchor, mut record) = sample();
    record.call_id = Box::from(b"a\"b\\c\n\x00\xff".as_slice());

    let line = write(&record, &anchor);
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();

    assert_eq!(line.matches('\n').count(), 1);
    assert_eq!(value["call_id"], "a\"b\\c\n\0\u{fffd}");
}

#[test]
fn an_instant_before_the_anchor_has_an_earlier_time_of_day() {
    let (anchor, record) = sample();

    assert_eq!(
        anchor
            .time_of(record.began + Duration::from_millis(250))
            .to_string(),
        "2026-01-02T03:04:04.75Z"
    );
}

#[test]
fn a_file_that_was_moved_away_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, moved) = (folder.path().join("records"), folder.path().join("old"));
    let mut file = RecordFile::open(path.clone()).unwrap();
    file.append(b"one\n").unwrap();
    fs::rename(&path, &moved).unwrap();

    file.append(b"two\n").unwrap();
    file.reopen().unwrap();
    file.append(b"three\n").unwrap();

    assert_eq!(fs::read(moved).unwrap(), b"one\ntwo\n");
    assert_eq!(fs::read(path).unwrap(), b"three\n");
}

fn write(record: &Record, anchor: &Anchor) -> String {
    let mut out = Vec::new();
    write_line(&mut out, "edge-1", record, anchor);
    String::from_utf8(out).unwrap()
}

/// Its line, and it.
pub(super) fn line_of_sample() -> (String, Record) {
    let (anchor, mut record) = sample();
    record.caller = Number::from_e164(b"+12125550142");
    let line = write(&record, &anchor);
    (line.trim_end().to_owned(), record)
}

/// A call that began half a second before the anchor.
pub(crate) fn sample() -> (Anchor, Record) {
    #[expect(
        clippy::disallowed_methods,
        reason = "an instant cannot be made otherwise"
    )]
    let began = Instant::now();
    let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_323_045);
    let anchor = Anchor::new(began + Duration::from_millis(500), wall);
    let at = |ms| began + Duration::from_millis(ms);
    let record = Record {
        uuid: CallUuid::new(&mut Entropy::from_seed([1; 32])),
        generation: 3,
        trunk: Arc::from("acme"),
        user: Some(Arc::from("alice")),
        dialled: Number::from_e164(b"+18885550100"),
        caller: None,
        campaign: Some(Arc::from("roofs")),
        afid: Some(Arc::from("7")),
        sid: None,
        call_id: Box::from(b"a1@192.0.2.1".as_slice()),
        attempts: vec![
            Attempt {
                gateway: buyer("first").gateways[0].clone(),
                buyer: buyer("first"),
                together: None,
                call_id: Box::from(b"b1".as_slice()),
                began: at(5),
                ended: at(45),
                status: Some(486),
                result: AttemptResult::Busy,
            },
            Attempt {
                gateway: buyer("second").gateways[0].clone(),
                buyer: buyer("second"),
                together: None,
                call_id: Box::from(b"b2".as_slice()),
                began: at(45),
                ended: at(3500),
                status: Some(200),
                result: AttemptResult::Answered,
            },
        ],
        media: None,
        figures: None,
        story: None,
        counted: Vec::new(),
        skipped: vec![Skipped {
            gateway: buyer("third").gateways.first().cloned(),
            buyer: buyer("third"),
            at: at(45),
            why: WhySkipped::GatewayDown,
        }],
        began,
        rang: Some(at(120)),
        answered: Some(at(3500)),
        ended: at(63_750),
        outcome: Outcome::Completed,
        status: 200,
        hung_up_by: Side::Caller,
    };
    (anchor, record)
}

fn buyer(id: &str) -> Arc<Buyer> {
    let address = SocketAddr::from(([192, 0, 2, 9], 5060));
    let gateway = Gateway::udp("sip:buyer@example.com", "example.com", address);
    Arc::new(Buyer::new(id, vec![Arc::new(gateway)]))
}
