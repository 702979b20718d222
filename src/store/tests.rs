use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use redb::ReadableTableMetadata;
use tempfile::TempDir;

use super::*;
use crate::store::entry::{
    Admitted, Answered, Claim, Class, Conversion, Converted, Counted, Delivered, Delivery,
    DeliveryId, Ended, Erased, Noted, Outcome, Past, Queued, Reset, Revived, Spent, Stored,
    StoredTag, Used, WaitingTag,
};
use crate::store::entry::{Awaited, Posted, Said};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

#[test]
fn a_note_is_the_last_one_until_its_time_is_over_or_it_is_erased() {
    let mut bench = Bench::new();
    let soon = bench.now.after(Duration::from_secs(60));
    let later = bench.now.after(Duration::from_secs(3600));
    let forever = Moment::from_millis(i64::MAX);
    let note = |realm, key, until, value: &'static [u8]| {
        Entry::Noted(Noted {
            realm,
            key,
            until,
            value,
        })
    };
    bench.write(0, &note("calls", "b", soon, b"1"));
    bench.write(0, &note("calls", "a", soon, b"1"));
    bench.write(0, &note("calls", "a", later, b"2"));
    bench.write(0, &note("call", "sa", later, b"not of this realm"));
    bench.write(0, &note("calls", "c", forever, b"3"));
    bench.write(0, &note("calls", "d", forever, b"4"));
    let (realm, key) = ("calls", "d");
    bench.write(0, &Entry::Erased(Erased { realm, key }));
    let token = |token| {
        let until = later;
        let realm = "ticket";
        Entry::Spent(Spent {
            realm,
            token,
            until,
        })
    };
    bench.write(0, &token("x"));
    bench.turn();
    let keys = |bench: &Bench| {
        let notes = bench.store.shelf.notes("calls").unwrap().into_iter();
        let notes = notes.map(|note| (note.key, note.value));
        notes.collect::<Vec<(Box<str>, Box<[u8]>)>>()
    };
    let expected = |notes: &[(&str, &[u8])]| {
        let notes = notes
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()));
        notes.collect::<Vec<(Box<str>, Box<[u8]>)>>()
    };

    assert_eq!(
        keys(&bench),
        expected(&[("a", b"2"), ("b", b"1"), ("c", b"3")])
    );
    assert_eq!(
        bench.store.shelf.spent("ticket").unwrap(),
        [(Box::from("x"), later)]
    );
    assert_eq!(bench.store.shelf.spent("tickets").unwrap(), []);

    bench.now = soon.after(Duration::from_secs(1));
    bench.turn();
    assert_eq!(keys(&bench), expected(&[("a", b"2"), ("c", b"3")]));
    bench.now = later.after(Duration::from_secs(1));
    bench.turn();
    assert_eq!(keys(&bench), expected(&[("c", b"3")]));
}

#[test]
fn a_call_is_one_line_and_counts_once() {
    let mut bench = Bench::new();

    bench.write(0, &admitted(1));
    bench.write(0, &answered(1, &[claim("day", 2), claim("hour", 1)]));
    bench.turn();
    let open = bench.store.shelf.open_calls().unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].admitted().unwrap().uuid, uuid(1));
    assert_eq!(open[0].answered().unwrap().buyer, "one");
    bench.write(0, &ended(1));
    bench.turn();

    assert_eq!(bench.lines(), ["{\"call\":1}"]);
    let record = bench.store.shelf.record(uuid(1)).unwrap();
    assert_eq!(record.as_deref(), Some("{\"call\":1}"));
    assert_eq!(bench.store.shelf.record(uuid(2)).unwrap(), None);
    assert_eq!(bench.counts(), [("day", 2), ("hour", 1)].map(owned));
    let audit = bench.audit();
    assert_eq!((audit.admitted, audit.answered, audit.records), (1, 1, 1));
    assert_eq!((audit.open, audit.lines, audit.claimed), (0, 1, 3));
}

#[test]
fn what_is_committed_is_there_after_a_crash_and_what_is_not_is_not() {
    let mut bench = Bench::new();
    bench.turn();
    bench.write(0, &admitted(1));
    bench.write(1, &admitted(2));
    bench.write(1, &ended(2));
    let lane = &mut bench.store.lanes[0];
    lane.append(&ended(1)).unwrap();

    let bench = bench.reopen();

    assert_eq!(bench.store.left.entries, 3);
    assert_eq!(bench.store.left.damage, Damage::default());
    let left = &bench.store.left.calls;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].admitted().unwrap().uuid, uuid(1));
    assert_eq!(left[0].answered(), None);
    assert_eq!(bench.lines(), ["{\"call\":2}"]);
    bench.audit();
}

#[test]
fn what_is_open_of_a_call_is_due_in_its_time_and_settled_once() {
    let mut bench = Bench::new();
    bench.write(0, &admitted(1));
    bench.turn();
    assert!(matches!(bench.store.shelf.fate(uuid(1)), Ok(Fate::Open(_))));
    assert!(matches!(bench.store.shelf.fate(uuid(2)), Ok(Fate::Unknown)));
    bench.write(1, &awaited(1, 5000, None));
    bench.turn();
    assert_eq!(bench.due(5000), [], "its end is to come");
    bench.write(1, &ended(1));
    bench.turn();

    assert_eq!(bench.due(4999), []);
    let due = bench.due(5000);
    assert_eq!(due.len(), 1);
    assert_eq!(due[0].stage, LateStage::Undetermined);
    assert_eq!(due[0].line.as_deref(), Some("{\"call\":1}"));
    assert_eq!(due[0].said.payout.as_deref(), Some("3"));
    bench.write(1, &awaited(1, 9000, Some("sale")));
    bench.turn();
    assert_eq!(bench.due(8999), []);
    assert_eq!(bench.due(9000)[0].stage, LateStage::Awaited("sale".into()));

    bench.write(0, &posted(1, "age", None));
    bench.write(0, &posted(1, "city", Some("4")));
    bench.write(0, &posted(1, "city", None));
    bench = bench.reopen();
    let Ok(Fate::Over(late)) = bench.store.shelf.fate(uuid(1)) else {
        panic!("it is over");
    };
    assert_eq!((late.posts, late.said.payout.as_deref()), (3, Some("4")));
    let keys: Vec<&str> = late.tags.iter().map(|(key, _)| &**key).collect();
    assert_eq!(keys, ["age", "city"]);

    assert_eq!(bench.store.shelf.callers_waiting().unwrap(), 0);
    bench.write(0, &stored("age", "66", 9000));
    bench.write(0, &converted(1));
    bench.turn();
    assert_eq!(bench.store.shelf.callers_waiting().unwrap(), 1);
    assert_eq!(bench.due(i64::MAX - 1), []);
    let Ok(Fate::Over(late)) = bench.store.shelf.fate(uuid(1)) else {
        panic!("it is over");
    };
    let LateStage::Settled(Some(conversion)) = late.stage else {
        panic!("{:?}", late.stage);
    };
    assert!(conversion.is_converted);
    assert_eq!(late.line.as_deref(), Some("{\"call\":1}"));
    bench.audit();
}

#[test]
fn what_is_open_of_a_call_is_not_forgotten_and_what_was_said_of_it_is_in_the_end() {
    const DAY: i64 = 24 * 3600 * 1000;
    let mut bench = Bench::new();
    bench.turn();
    let before = bench.aging();
    bench.write(0, &admitted(1));
    bench.write(1, &awaited(1, 40 * DAY, Some("sale")));
    bench.write(1, &ended(1));
    bench.write(0, &posted(1, "age", None));
    bench.turn();

    // Others are kept for 30 days.
    bench.now = Moment::from_millis(31 * DAY);
    bench.turn();
    let Ok(Fate::Over(late)) = bench.store.shelf.fate(uuid(1)) else {
        panic!("it is known");
    };
    assert_eq!(
        (late.posts, late.stage),
        (1, LateStage::Awaited("sale".into()))
    );
    bench.now = Moment::from_millis(41 * DAY);
    bench.turn();
    assert_eq!(bench.due(41 * DAY).len(), 1, "nobody has settled it yet");
    bench.write(1, &converted(1));
    bench.turn();
    bench.now = Moment::from_millis(42 * DAY);
    bench.turn();

    assert!(matches!(bench.store.shelf.fate(uuid(1)), Ok(Fate::Unknown)));
    assert_eq!(bench.aging(), before);
    let transaction = bench.store.shelf.read().unwrap();
    let posts = transaction.open_table(tables::POSTS).unwrap();
    assert_eq!(posts.len().unwrap(), 0);
}

#[test]
fn an_end_may_come_before_its_admission_by_another_lane() {
    let mut bench = Bench::new();

    bench.write(1, &ended(1));
    bench.turn();
    assert_eq!(bench.audit().early, 1);
    bench = bench.reopen();
    bench.write(0, &admitted(1));
    bench.turn();

    assert!(bench.store.shelf.open_calls().unwrap().is_empty());
    let audit = bench.audit();
    assert_eq!((audit.admitted, audit.records, audit.early), (1, 1, 0));
}

#[test]
fn what_a_call_counts_against_by_its_end_counts_once() {
    let mut bench = Bench::new();
    bench.write(0, &admitted(1));
    for lane in [0, 1] {
        let end = Entry::Ended(Ended {
            claims: vec![claim("day", 1)].into(),
            ..plain_end(1)
        });
        bench.write(lane, &end);
    }
    bench.turn();

    assert_eq!(bench.counts(), [("day", 1)].map(owned));
    assert_eq!(bench.audit().claimed, 1);
}

#[test]
fn a_second_end_of_a_call_has_no_effect_and_is_counted() {
    let mut bench = Bench::new();
    bench.write(0, &admitted(1));
    bench.write(0, &ended_with(1, &[delivery(0)]));
    bench.write(1, &ended_with(1, &[delivery(0)]));
    bench.turn();

    assert_eq!(bench.lines().len(), 1);
    let audit = bench.audit();
    assert_eq!((audit.records, audit.repeated, audit.queued), (1, 1, 1));
}

#[test]
fn a_delivery_is_made_again_later_and_later_and_given_up_in_the_end() {
    let mut bench = Bench::new();
    bench.write(0, &admitted(1));
    bench.write(0, &ended_with(1, &[delivery(0)]));
    bench.turn();

    let mut waits = Vec::new();
    while let Some(due) = bench.store.shelf.next_due() {
        assert!(bench.take(due.before(Duration::from_millis(1))).is_empty());
        waits.push(due.since(bench.now).as_secs());
        bench.now = due.max(bench.now);
        let taken = bench.take(due);
        assert_eq!(taken.len(), 1);
        assert_eq!(usize::from(taken[0].tries), waits.len() - 1);
        bench.settle(taken[0].id, Outcome::Again("503"));
        bench = bench.reopen();
    }

    assert_eq!(waits, [0, 1, 10, 60, 600]);
    let dead = bench.store.shelf.dead(DeliveryId(0), 10).unwrap();
    assert_eq!((dead.len(), &*dead[0].why, dead[0].tries), (1, "503", 5));
    assert_eq!(bench.audit().dead, 1);

    // Somebody has a look, and has it tried again.
    let (id, at) = (dead[0].id, bench.now);
    bench.write(0, &Entry::Revived(Revived { id, at }));
    bench.turn();
    let taken = bench.take(at);
    assert_eq!((taken.len(), taken[0].tries), (1, 0));
    bench.settle(id, Outcome::Done);
    // Told twice: nothing more comes of it.
    bench.settle(id, Outcome::Done);
    let audit = bench.audit();
    assert_eq!((audit.delivered, audit.dead, audit.waiting), (1, 0, 0));
}

#[test]
fn a_delivery_under_way_at_a_crash_is_due_again_and_others_wait_for_it() {
    let mut bench = Bench::new();
    bench.write(0, &ended_with(1, &[delivery(1), delivery(0)]));
    bench.turn();
    let (first, second) = (DeliveryId(1), DeliveryId(0));
    assert_eq!(bench.take_ids(), [first]);
    assert_eq!(bench.take_ids(), []);

    bench = bench.reopen();

    assert_eq!(bench.take_ids(), [first]);
    bench.settle(first, Outcome::Never("404"));
    assert_eq!(bench.take_ids(), [second]);
    let parcel = bench.store.shelf.dead(first, 1).unwrap().remove(0);
    assert_eq!(parcel.key(), format!("{}-1", uuid(1)));
    assert_eq!(&*parcel.url, "https://hooks.example.com/");
    assert_eq!(parcel.headers, [("X-One".into(), "1".into())]);
    assert_eq!(
        (&*parcel.hook, &*parcel.body),
        ("pixel", b"body".as_slice())
    );
    let figures = bench.store.shelf.figures();
    assert_eq!((figures.waiting, figures.under_way), (1, 1));
}

#[test]
fn tags_wait_for_a_caller_until_they_are_used_or_too_old() {
    let mut bench = Bench::new();
    bench.now = Moment::default();
    bench.write(0, &stored("age", "66", 1000));
    bench.write(0, &stored("zip", "10101", 2000));
    bench.write(0, &stored("zip", "10101", 3000));
    bench.turn();

    let known = |bench: &Bench, at| {
        let at = Moment::from_millis(at);
        bench.store.shelf.caller("acme", "+15550199", at).unwrap()
    };
    let (age, zip) = (("age".into(), "66".into()), ("zip".into(), "10101".into()));
    assert_eq!(known(&bench, 0).tags, [age, zip.clone()]);
    assert_eq!(known(&bench, 1000).tags, [zip]);
    assert_eq!(known(&bench, 3000).tags, []);
    // Nobody else's, and no other company's.
    let shelf = &bench.store.shelf;
    assert_eq!(
        shelf.caller("acme", "+1555019", bench.now).unwrap(),
        Caller::default()
    );
    assert_eq!(
        shelf.caller("acm", "e+15550199", bench.now).unwrap(),
        Caller::default()
    );
}

#[test]
fn tags_that_came_after_a_call_had_read_the_others_wait_for_the_next_one() {
    let mut bench = Bench::new();
    for (key, until) in [("age", 5000), ("zip", 6000)] {
        bench.write(0, &stored(key, "1", until));
    }
    bench.turn();
    let whose = ("acme", "solar");
    let read = bench.store.shelf.waiting(whose, "+15550199", bench.now);
    let read = read.unwrap();
    // Meanwhile one is renewed, and another one comes.
    bench.write(0, &stored("zip", "1", 7000));
    bench.write(0, &stored("city", "1", 8000));
    bench.turn();
    bench.write(1, &used(&read));
    bench.turn();

    let left = bench.store.shelf.waiting(whose, "+15550199", bench.now);
    let left: Vec<_> = left
        .unwrap()
        .into_iter()
        .map(|tag| (tag.key, tag.until))
        .collect();
    let at = Moment::from_millis;
    assert_eq!(left, [("zip".into(), at(7000)), ("city".into(), at(8000))]);
    let left = bench.store.shelf.waiting(whose, "+15550199", at(0));
    bench.write(1, &used(&left.unwrap()));
    bench.turn();
    assert_eq!(bench.store.shelf.callers_waiting().unwrap(), 0);
}

#[test]
fn however_often_tags_are_stored_for_a_caller_one_row_says_when_they_are_forgotten() {
    let mut bench = Bench::new();
    bench.turn();
    let before = bench.aging();
    for round in 0..100 {
        bench.write(0, &stored("age", "66", 5000 + round));
        bench.write(0, &stored("zip", "1", 9000 - round));
    }
    bench.turn();
    assert_eq!(bench.aging(), before + 1);

    bench.now = Moment::from_millis(6000);
    bench.turn();
    assert_eq!(bench.aging(), before + 1, "one of them waits still");
    bench.now = Moment::from_millis(9500);
    bench.turn();
    assert_eq!(bench.aging(), before);
    assert_eq!(bench.store.shelf.callers_waiting().unwrap(), 0);
}

#[test]
fn webhooks_that_fire_after_a_call_are_remembered_as_those_before_its_end() {
    let mut bench = Bench::new();
    let remembered = |call, hook, at| {
        Entry::Remembered(entry::Remembered {
            uuid: uuid(call),
            ended: Moment::from_millis(1000),
            past: Past {
                fired: vec![entry::Fired {
                    hook,
                    at: Moment::from_millis(at),
                }]
                .into(),
                ..plain_end(call).past.unwrap()
            },
        })
    };
    bench.write(0, &ended(1));
    bench.turn();
    let before = bench.aging();
    bench.write(0, &remembered(1, "sale", 1500));
    bench.write(0, &remembered(1, "post", 1600));
    bench.write(0, &remembered(1, "sale", 1700));
    // Nothing was to be remembered of this one when it ended.
    bench.write(0, &remembered(2, "sale", 1800));
    bench.turn();

    let known = bench.store.shelf.caller("acme", "+15550199", bench.now);
    let fired = known.unwrap().earlier.into_iter().map(|call| call.fired);
    let one = |hook: &str, at| (Box::from(hook), Moment::from_millis(at));
    assert_eq!(
        fired.collect::<Vec<_>>(),
        [
            vec![one("sale", 1800)],
            vec![one("post", 1600), one("sale", 1700)]
        ]
    );
    assert_eq!(bench.aging(), before + 1);
}

#[test]
fn a_callers_earlier_calls_are_known_with_what_became_of_them() {
    let mut bench = Bench::new();
    for call in [1, 2] {
        bench.write(0, &ended_at(call, i64::from(call) * 10));
    }
    bench.turn();
    let conversion = Conversion {
        at: Moment::from_millis(50),
        group: "main",
        is_converted: true,
        payout: Some("7"),
        revenue: Some("12.50"),
        is_payout_duplicate: false,
        is_revenue_duplicate: true,
    };
    bench.write(
        1,
        &Entry::Converted(Converted {
            uuid: uuid(1),
            conversion,
            claims: vec![claim("day", 1)].into(),
            deliveries: vec![delivery(0)].into(),
        }),
    );
    bench.turn();
    bench = bench.reopen();

    let shelf = &bench.store.shelf;
    let known = shelf.caller("acme", "+15550199", bench.now).unwrap();
    let calls: Vec<_> = known
        .earlier
        .iter()
        .map(|call| (call.uuid, call.at.millis(), call.conversion.is_some()))
        .collect();
    assert_eq!(calls, [(uuid(2), 20, false), (uuid(1), 10, true)]);
    assert_eq!(known.earlier[0].buyer.as_deref(), Some("one"));
    let converted = shelf.conversion(uuid(1)).unwrap().unwrap().unwrap();
    assert_eq!(converted, KeptConversion::from(conversion));
    assert_eq!(shelf.conversion(uuid(2)).unwrap(), Some(None));
    assert_eq!(shelf.conversion(uuid(3)).unwrap(), None);
    assert_eq!(bench.counts(), [("day", 1)].map(owned));
    assert_eq!(bench.take_ids(), [DeliveryId(0)]);
}

#[test]
fn what_is_too_old_is_forgotten_and_the_books_balance() {
    let mut bench = Bench::new();
    bench.write(0, &admitted(1));
    bench.write(0, &ended_with(1, &[delivery(0)]));
    let hour = Moment::from_millis(3_600_000);
    let claims = ["hour", "total"].map(|window| Claim {
        until: if window == "hour" {
            hour
        } else {
            Moment::from_millis(i64::MAX)
        },
        ..claim(window, 1)
    });
    bench.write(0, &answered(1, &claims));
    bench.write(0, &stored("age", "66", 5000));
    let token = ("twilio", "CA1");
    bench.write(
        0,
        &Entry::Spent(Spent {
            realm: token.0,
            token: token.1,
            until: hour,
        }),
    );
    bench.turn();
    bench.take_ids();
    bench.settle(DeliveryId(0), Outcome::Never("404"));
    assert!(bench.store.shelf.is_spent(token.0, token.1).unwrap());
    assert_eq!(bench.counts().len(), 2);

    bench.now = hour.after(Duration::from_secs(1));
    bench.turn();
    assert_eq!(bench.counts(), [("total", 1)].map(owned));
    assert!(!bench.store.shelf.is_spent(token.0, token.1).unwrap());
    assert!(bench.store.shelf.conversion(uuid(1)).unwrap().is_some());

    bench.now = bench.now.after(bench.options().keep);
    bench.turn();
    let shelf = &bench.store.shelf;
    assert_eq!(shelf.conversion(uuid(1)).unwrap(), None);
    let known = shelf
        .caller("acme", "+15550199", Moment::default())
        .unwrap();
    assert_eq!(known, Caller::default());
    assert_eq!(shelf.dead_count().unwrap(), 0);
    let audit = bench.audit();
    assert_eq!((audit.forgotten, audit.expired, audit.records), (1, 1, 1));
}

#[test]
fn a_count_that_is_reset_starts_again_at_zero() {
    let mut bench = Bench::new();
    let (party, window) = ("buyer:one", "total");
    for _ in 0..3 {
        let counted = Counted {
            uuid: uuid(1),
            claims: vec![claim(window, 2)].into(),
        };
        bench.write(0, &Entry::Counted(counted));
    }
    bench.write(0, &Entry::Reset(Reset { party, window }));
    let counted = Counted {
        uuid: uuid(2),
        claims: vec![claim(window, 1)].into(),
    };
    bench.write(0, &Entry::Counted(counted));
    bench.turn();

    assert_eq!(bench.counts(), [(window, 1)].map(owned));
    assert_eq!(bench.audit().expired, 6);
}

#[test]
fn deliveries_of_a_call_may_come_when_it_has_long_ended() {
    let mut bench = Bench::new();
    let deliveries = vec![delivery(3)].into();
    bench.write(
        0,
        &Entry::Queued(Queued {
            call: uuid(1),
            at: bench.now,
            deliveries,
        }),
    );
    bench.turn();

    assert_eq!(bench.take_ids(), [DeliveryId(0)]);
    bench.audit();
}

#[test]
fn a_torn_end_costs_nothing_that_was_promised() {
    let mut bench = Bench::new();
    bench.write(0, &admitted(1));
    bench.write(0, &admitted(2));
    let torn = {
        let path = bench.journal().remove(0);
        let bytes = fs::read(&path).unwrap();
        // The last entry has lost its end; another one has its head only.
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
        (bytes.len() - 24) as u64 / 2 - 3
    };

    bench = bench.reopen();

    assert_eq!(bench.store.left.calls.len(), 1);
    assert_eq!(bench.store.left.damage.torn, torn);
    assert_eq!(bench.store.left.damage.skipped, 0);
    // What is written now is not taken for what was torn.
    bench.write(0, &ended(1));
    bench = bench.reopen();
    assert_eq!(bench.lines().len(), 1);
    assert_eq!(bench.store.left.damage, Damage::default());
    bench.audit();
}

#[test]
fn damage_costs_the_entry_that_it_hit_and_the_file_is_kept() {
    let mut bench = Bench::new();
    for call in 1..=3 {
        bench.write(0, &admitted(call));
    }
    let path = bench.journal().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let entry = (bytes.len() - 24) / 3;
    bytes[24 + entry + entry / 2] ^= 1;
    fs::write(&path, &bytes).unwrap();

    let bench = bench.reopen();

    let open = bench.store.left.calls.iter();
    let open: Vec<_> = open.map(|call| call.admitted().unwrap().uuid).collect();
    assert_eq!(open, [uuid(1), uuid(3)]);
    assert_eq!(bench.store.left.damage.skipped, entry as u64);
    assert_eq!(fs::read(path.with_extension("damaged")).unwrap(), bytes);
}

#[test]
fn an_entry_of_a_kind_that_nobody_knows_is_counted_and_passed_over() {
    let mut bench = Bench::new();
    bench.write(0, &admitted(1));
    bench.write(0, &admitted(2));
    let path = bench.journal().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    let mut frame = Vec::new();
    assert!(frame::write(&mut frame, 0, |out| {
        out.extend_from_slice(&bytes[32..24 + (bytes.len() - 24) / 2]);
        out[8] = 99;
    }));
    bytes[24..24 + frame.len()].copy_from_slice(&frame);
    fs::write(&path, &bytes).unwrap();

    let bench = bench.reopen();

    assert_eq!(bench.store.left.calls.len(), 1);
    assert_eq!(bench.store.left.damage.unknown, 1);
}

#[test]
fn lines_that_the_tables_do_not_know_are_cut_off() {
    let mut bench = Bench::new();
    bench.write(0, &ended(1));
    bench.turn();
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(bench.records())
        .unwrap();
    file.write_all(b"{\"call\":2}\n{\"ca").unwrap();

    bench = bench.reopen();
    bench.write(0, &ended(2));
    bench.turn();

    assert_eq!(bench.lines(), ["{\"call\":1}", "{\"call\":2}"]);
    bench.audit();
}

#[test]
fn a_file_of_records_that_was_there_before_is_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/calls.jsonl"), "{\"old\":1}\n").unwrap();
    let mut bench = Bench::within(folder);
    bench.write(0, &ended(1));
    bench.turn();

    bench = bench.reopen();

    assert_eq!(bench.lines(), ["{\"old\":1}", "{\"call\":1}"]);
    assert_eq!(bench.audit().lines, 1);
}

#[test]
fn a_file_of_records_that_is_moved_away_is_still_known() {
    let mut bench = Bench::new();
    bench.write(0, &ended(1));
    bench.turn();
    let aside = bench.records().with_extension("1");
    fs::rename(bench.records(), &aside).unwrap();
    bench.write(0, &ended(2));
    bench.turn();
    bench.store.shelf.reopen_records();
    bench.write(0, &ended(3));
    bench.turn();

    assert_eq!(fs::read_to_string(&aside).unwrap().lines().count(), 2);
    assert_eq!(bench.lines(), ["{\"call\":3}"]);
    let record = bench.store.shelf.record(uuid(2)).unwrap();
    assert_eq!(record.as_deref(), Some("{\"call\":2}"));
    // Moved again, by somebody who does not say so, and torn by a crash.
    let again = bench.records().with_extension("2");
    fs::rename(bench.records(), &again).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&again).unwrap();
    file.write_all(b"{\"call\":4").unwrap();
    bench = bench.reopen();
    bench.write(0, &ended(4));
    bench.turn();

    assert_eq!(fs::read_to_string(&again).unwrap(), "{\"call\":3}\n");
    assert_eq!(bench.lines(), ["{\"call\":4}"]);
    assert_eq!(bench.audit().lines, 4);
    // Gone for good: the books say how many records went with it.
    fs::remove_file(&aside).unwrap();
    let audit = bench.audit();
    assert_eq!((audit.lines, audit.lines_gone), (2, 2));
    assert_eq!(bench.store.shelf.record(uuid(1)).unwrap(), None);
}

#[test]
fn records_are_put_aside_when_they_are_many_or_a_day_begins() {
    let mut bench = Bench::new();
    bench.rotation = Rotation {
        size: Some(25),
        is_daily: true,
    };
    bench = bench.reopen();
    for call in 1..=4 {
        bench.write(0, &ended(call));
        bench.turn();
    }
    assert_eq!(bench.lines(), ["{\"call\":4}"]);
    let aside = bench
        .records()
        .with_file_name("calls-19700101T000001Z.jsonl");
    assert_eq!(fs::read_to_string(&aside).unwrap().lines().count(), 3);

    bench.now = Moment::from_millis(86_400_000 - 1);
    bench.write(0, &ended(5));
    bench.turn();
    assert_eq!(bench.lines().len(), 2);
    bench = bench.reopen();
    bench.now = Moment::from_millis(86_400_000);
    bench.write(0, &ended(6));
    bench.turn();

    assert_eq!(bench.lines(), ["{\"call\":6}"]);
    for call in 1..=6 {
        let record = bench.store.shelf.record(uuid(call)).unwrap();
        assert_eq!(record, Some(format!("{{\"call\":{call}}}")));
    }
    assert_eq!(bench.audit().lines, 6);
}

#[test]
fn segments_follow_one_another_and_go_when_they_are_done_with() {
    let mut bench = Bench::new();
    bench.segment = 500;
    bench = bench.reopen();
    for call in 1..=40 {
        bench.write(0, &admitted(call));
    }
    assert!(bench.journal().len() > 6);

    bench.turn();
    assert_eq!(bench.journal().len(), 2);
    for call in 1..=40 {
        bench.write(0, &ended(call));
        if call % 7 == 0 {
            bench = bench.reopen();
        }
    }
    bench.turn();

    assert_eq!(bench.lines().len(), 40);
    assert_eq!(bench.audit().open, 0);
}

#[test]
fn lanes_that_nobody_writes_to_any_more_are_applied_and_removed() {
    let mut bench = Bench::new();
    bench.write(1, &admitted(1));
    bench.lanes = 1;
    bench = bench.reopen();

    assert_eq!(bench.store.left.calls.len(), 1);
    assert_eq!(bench.journal().len(), 1);
    // And when they are written to again, they go on where they ended.
    bench.lanes = 3;
    bench = bench.reopen();
    bench.write(1, &ended(1));
    bench = bench.reopen();
    assert_eq!(bench.lines().len(), 1);
    assert_eq!(bench.audit().admitted, 1);
}

#[test]
fn a_data_directory_has_one_owner() {
    let bench = Bench::new();

    let options = bench.options();
    let error = Store::open(&bench.data(), 1, options, bench.now)
        .err()
        .unwrap();

    assert_eq!(
        error.to_string(),
        format!(
            "{} is in use by process {}: each edge needs a data_dir of its own",
            bench.data().display(),
            std::process::id()
        )
    );
}

#[test]
fn what_a_newer_version_has_written_is_left_alone() {
    let bench = Bench::new();
    let (data, options, now) = (bench.data(), bench.options(), bench.now);
    let folder = bench.close();
    fs::write(data.join("format"), "strowger 2\n").unwrap();

    let error = Store::open(&data, 1, options.clone(), now).err().unwrap();
    let text = format!(
        "{} has format 2, and this version knows 1: a newer version has written it",
        data.display()
    );
    assert_eq!(error.to_string(), text);

    fs::write(data.join("format"), "strowger 1\n").unwrap();
    let head = frame::Head {
        version: 2,
        lane: 0,
        start: 0,
    };
    fs::write(
        data.join("journal/00000-0000000000000000.journal"),
        head.bytes(),
    )
    .unwrap();
    let error = Store::open(&data, 1, options, now).err().unwrap();
    assert!(error.to_string().contains("has format 2"), "{error}");
    drop(folder);
}

#[test]
fn an_entry_of_more_than_a_megabyte_is_refused() {
    let mut bench = Bench::new();
    let line = "x".repeat(1 << 20);
    let entry = Entry::Ended(Ended {
        line: &line,
        ..plain_end(1)
    });

    assert_eq!(bench.store.lanes[0].append(&entry), Err(Refused::TooLong));
    bench.write(0, &ended(1));
    bench.turn();

    assert_eq!(bench.lines(), ["{\"call\":1}"]);
    assert_eq!(bench.store.shelf.figures().lost, 1);
}

#[test]
fn no_call_is_let_in_while_the_keeper_is_too_far_behind() {
    let mut bench = Bench::new();
    bench.backlog = 100;
    bench = bench.reopen();
    assert!(bench.store.lanes[0].is_open());
    // More than one turn takes.
    for call in 0..9000_u16 {
        let lane = &mut bench.store.lanes[0];
        let uuid = CallUuid::from_bytes(
            [[0; 14].as_slice(), &call.to_be_bytes()]
                .concat()
                .try_into()
                .unwrap(),
        );
        let Entry::Admitted(sample) = admitted(1) else {
            unreachable!()
        };
        lane.append(&Entry::Admitted(Admitted { uuid, ..sample }))
            .unwrap();
    }
    bench.store.lanes[0].commit().unwrap();

    assert!(bench.store.keeper.turn(bench.now).unwrap().is_more);
    assert!(!bench.store.lanes[1].is_open());
    assert!(bench.store.shelf.figures().is_shut);
    assert!(!bench.store.keeper.turn(bench.now).unwrap().is_more);
    assert!(bench.store.lanes[1].is_open());
    assert_eq!(bench.audit().open, 9000);
}

/// A store in a folder of its own, with two lanes unless it is told otherwise.
struct Bench {
    store: Store,
    folder: TempDir,
    now: Moment,
    lanes: u16,
    rotation: Rotation,
    segment: u64,
    backlog: u64,
}

impl Bench {
    fn new() -> Self {
        Self::within(tempfile::tempdir().unwrap())
    }

    fn within(folder: TempDir) -> Self {
        let data = folder.path().join("data");
        let options = Options::default();
        let now = Moment::from_millis(1000);
        let (segment, backlog) = (options.segment, options.backlog);
        Self {
            store: Store::open(&data, 2, options, now).unwrap(),
            folder,
            now,
            lanes: 2,
            rotation: Rotation::default(),
            segment,
            backlog,
        }
    }

    /// As after a crash: nobody has the time to say anything.
    fn reopen(self) -> Self {
        let (data, options) = (self.data(), self.options());
        let Self {
            store,
            folder,
            now,
            lanes,
            rotation,
            segment,
            backlog,
        } = self;
        drop(store);
        Self {
            store: Store::open(&data, lanes, options, now).unwrap(),
            folder,
            now,
            lanes,
            rotation,
            segment,
            backlog,
        }
    }

    fn close(self) -> TempDir {
        self.folder
    }

    fn options(&self) -> Options {
        Options {
            rotation: self.rotation,
            segment: self.segment,
            backlog: self.backlog,
            ..Options::default()
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn records(&self) -> PathBuf {
        self.data().join("calls.jsonl")
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.records()).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The files of the journal, in order.
    fn journal(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.data().join("journal")).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    }

    fn write(&mut self, lane: usize, entry: &Entry<'_>) {
        let lane = &mut self.store.lanes[lane];
        lane.append(entry).unwrap();
        lane.commit().unwrap();
    }

    fn turn(&mut self) {
        while self.store.keeper.turn(self.now).unwrap().is_more {}
    }

    fn due(&self, at: i64) -> Vec<Late> {
        self.store.shelf.due(Moment::from_millis(at), 9).unwrap()
    }

    fn counts(&self) -> Vec<(String, u64)> {
        let windows = self.store.shelf.windows().unwrap().into_iter();
        windows
            .map(|window| (window.window.into(), window.count))
            .collect()
    }

    fn take(&self, now: Moment) -> Vec<Parcel> {
        self.store.shelf.take_due(now, 100).unwrap()
    }

    fn take_ids(&self) -> Vec<DeliveryId> {
        self.take(self.now).iter().map(|parcel| parcel.id).collect()
    }

    fn settle(&mut self, id: DeliveryId, outcome: Outcome<'_>) {
        let at = self.now;
        self.write(1, &Entry::Delivered(Delivered { id, at, outcome }));
        self.turn();
    }

    /// How many rows say when something is to be forgotten.
    fn aging(&self) -> u64 {
        let transaction = self.store.shelf.read().unwrap();
        transaction
            .open_table(tables::AGING)
            .unwrap()
            .len()
            .unwrap()
    }

    /// Everything balances, but for ends whose admission is to come.
    fn audit(&self) -> Audit {
        let audit = self.store.shelf.audit().unwrap();
        let ended_only =
            audit.records + audit.open - audit.admitted.min(audit.records + audit.open);
        assert_eq!(ended_only, audit.early, "{audit}");
        assert_eq!(audit.differences(), Vec::<String>::new(), "{audit}");
        audit
    }
}

fn uuid(call: u8) -> CallUuid {
    CallUuid::from_bytes([call; 16])
}

fn admitted(call: u8) -> Entry<'static> {
    Entry::Admitted(Admitted {
        uuid: uuid(call),
        at: Moment::from_millis(1000),
        generation: 1,
        trunk: "carrier",
        user: None,
        company: Some("acme"),
        campaign: Some("solar"),
        afid: None,
        sid: None,
        dialled: Some("+15550100"),
        caller: Some("+15550199"),
        call_id: b"1@192.0.2.1",
        note: &[],
    })
}

fn answered(call: u8, claims: &[Claim<'static>]) -> Entry<'static> {
    Entry::Answered(Answered {
        uuid: uuid(call),
        at: Moment::from_millis(1000),
        buyer: "one",
        claims: claims.to_vec().into(),
        note: &[],
    })
}

fn claim(window: &'static str, count: u32) -> Claim<'static> {
    Claim {
        party: "buyer:one",
        window,
        until: Moment::from_millis(1 << 50),
        count,
    }
}

fn ended(call: u8) -> Entry<'static> {
    Entry::Ended(plain_end(call))
}

fn ended_with(call: u8, deliveries: &[Delivery<'static>]) -> Entry<'static> {
    Entry::Ended(Ended {
        deliveries: deliveries.to_vec().into(),
        ..plain_end(call)
    })
}

fn ended_at(call: u8, at: i64) -> Entry<'static> {
    Entry::Ended(Ended {
        at: Moment::from_millis(at),
        ..plain_end(call)
    })
}

fn plain_end(call: u8) -> Ended<'static> {
    Ended {
        uuid: uuid(call),
        at: Moment::from_millis(1000),
        line: format!("{{\"call\":{call}}}").leak(),
        past: Some(Past {
            company: "acme",
            caller: "+15550199",
            number: "+15550100",
            campaign: "solar",
            afid: None,
            buyer: Some("one"),
            answered: Some(Moment::from_millis(900)),
            fired: Vec::new().into(),
        }),
        conversion: None,
        claims: Vec::new().into(),
        deliveries: Vec::new().into(),
    }
}

fn delivery(phase: u8) -> Delivery<'static> {
    Delivery {
        hook: "pixel",
        phase,
        class: Class::Ping,
        not_before: Moment::default(),
        is_idempotent: false,
        method: "POST",
        url: "https://hooks.example.com/",
        headers: vec![entry::Header {
            name: "X-One",
            value: "1",
        }]
        .into(),
        body: b"body",
    }
}

fn stored(key: &'static str, value: &'static str, until: i64) -> Entry<'static> {
    Entry::Stored(Stored {
        company: "acme",
        caller: "+15550199",
        until: Moment::from_millis(until),
        tags: vec![StoredTag { key, value }].into(),
    })
}

fn used(tags: &[KeptTag]) -> Entry<'_> {
    let tags = tags.iter().map(|tag| WaitingTag {
        key: &tag.key,
        value: &tag.value,
        until: tag.until,
    });
    Entry::Used(Used {
        company: "acme",
        caller: "+15550199",
        tags: tags.collect::<Vec<_>>().into(),
    })
}

fn awaited(call: u8, until: i64, group: Option<&'static str>) -> Entry<'static> {
    Entry::Awaited(Awaited {
        uuid: uuid(call),
        ended: Moment::from_millis(4000),
        until: Moment::from_millis(until),
        group,
        said: Said {
            payout: Some("3"),
            ..Said::default()
        },
        line: "{\"call\":1}",
    })
}

fn posted(call: u8, key: &'static str, payout: Option<&'static str>) -> Entry<'static> {
    Entry::Posted(Posted {
        uuid: uuid(call),
        at: Moment::from_millis(4500),
        tags: vec![StoredTag { key, value: "1" }].into(),
        said: Said {
            payout,
            ..Said::default()
        },
        deliveries: List::default(),
    })
}

fn converted(call: u8) -> Entry<'static> {
    Entry::Converted(Converted {
        uuid: uuid(call),
        conversion: Conversion {
            at: Moment::from_millis(9500),
            group: "sale",
            is_converted: true,
            payout: Some("4"),
            revenue: None,
            is_payout_duplicate: false,
            is_revenue_duplicate: false,
        },
        claims: List::default(),
        deliveries: List::default(),
    })
}

fn owned((window, count): (&str, u64)) -> (String, u64) {
    (window.to_owned(), count)
}
