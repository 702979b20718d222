//! What others say of calls while they last: which calls it reaches, what the next decision makes of it, what fires and what it is worth.

use std::sync::Arc;
use std::time::Duration;

use strowger::call::input::Input;
use strowger::call::memory::Waiting;
use strowger::call::output::Event;
use strowger::hooks::conversion::{Criterion, Group, Verdict, Worth};
use strowger::hooks::keys::{Grants, Pass, PostKey};
use strowger::hooks::postback::{About, MOST_POSTS, Post, Posting};
use strowger::hooks::trigger::Trigger;
use strowger::types::condition::Conditions;
use strowger::types::moment::Moment;
use strowger::types::number::Number;
use strowger::types::secret::Secret;
use strowger::types::tag::Origin;

use super::campaigns::{asked, desk, reply};
use super::desk::{Desk, Talk, answer, buyer, find, invite, ladder};
use super::policy::CARRIER;

#[test]
fn what_is_posted_before_the_decision_decides_who_gets_the_call() {
    let mut desk = desk(2, |site| {
        site.hook(Trigger::Start, "http://crm.example/");
        site.wants(0, &["product:loan"]);
        site.wants(1, &["product:car"]);
    });
    desk.say(CARRIER, &invite());
    let (ticket, _) = asked(&mut desk);

    post(&mut desk, caller(), &pass(&[]), "product=car");
    let said = desk.tell(reply(ticket, 200, "{}"));

    assert_eq!(desk.posted, [(1, false)]);
    assert_eq!(ladder(&said), ["b1 INVITE"]);
}

#[test]
fn it_reaches_calls_of_its_company_and_campaigns_only_while_they_last() {
    let mut talk = Talk::unacknowledged(desk(1, |_| {}));
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    let uuid = uuid(&talk);
    let desk = &mut talk.desk;

    post(desk, About::Call(uuid), &pass(&["campaign-0"]), "age=66");
    post(desk, About::Call(uuid), &pass(&["campaign-1"]), "age=67");
    let other = Pass::of_call("other".into());
    post(desk, caller(), &other, "age=68");
    post(
        desk,
        About::Caller(number("+15555550198")),
        &pass(&[]),
        "age=69",
    );
    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);
    post(&mut talk.desk, About::Call(uuid), &pass(&[]), "age=70");

    let taken: Vec<usize> = talk.desk.posted.iter().map(|(count, _)| *count).collect();
    assert_eq!(taken, [1, 0, 0, 0, 0]);
    let story = talk.desk.records[0].story.as_ref().expect("a story");
    let tags: Vec<_> = story.facts.tags.iter().collect();
    assert_eq!(
        (&*tags[0].value, tags[0].origin, tags.len()),
        ("66", Origin::Postback, 1)
    );
    talk.desk.rest();
}

#[test]
fn a_postback_converts_the_call_at_its_end_with_the_amounts_that_it_names() {
    for (said, payout, is_converted) in [
        ("converted=true&revenue=75", "40.00", true),
        ("payout=1.5", "1.50", true),
        ("converted=false", "", false),
    ] {
        let mut talk = Talk::unacknowledged(desk(1, |site| {
            site.hook(Trigger::Postback, "http://crm.example/?p=[payout]&a=[age]");
            site.hook(Trigger::Conversion, "http://crm.example/?p=[payout]");
            site.groups.push(sale());
        }));
        let ack = talk.caller("ACK", 1);
        talk.caller_says(&ack);
        let uuid = uuid(&talk);

        post(&mut talk.desk, About::Call(uuid), &pass(&[]), "age=66");
        post(&mut talk.desk, About::Call(uuid), &pass(&[]), said);
        assert_eq!(talk.desk.deliveries.len(), 2, "each fires its webhook");
        let urls: Vec<_> = talk
            .desk
            .deliveries
            .iter()
            .map(|one| &*one.request.url)
            .collect();
        assert_eq!(urls[0], "http://crm.example/?p=&a=66");
        let bye = talk.caller("BYE", 2);
        talk.caller_says(&bye);

        let story = talk.desk.records[0].story.as_ref().expect("a story");
        assert_eq!(story.progress.converted, Some(is_converted), "{said}");
        assert_eq!(story.progress.payout.as_deref().unwrap_or_default(), payout);
        assert_eq!(story.deliveries.len(), usize::from(is_converted));
    }
}

#[test]
fn a_call_that_nothing_was_said_of_waits_for_it() {
    let mut talk = Talk::unacknowledged(desk(1, |site| {
        for trigger in [
            Trigger::Connect,
            Trigger::Conversion,
            Trigger::NonConversion,
        ] {
            site.hook(trigger, "http://crm.example/");
        }
        site.groups.push(sale());
    }));
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    let bye = talk.caller("BYE", 2);
    talk.caller_says(&bye);

    let story = talk.desk.records[0].story.as_ref().expect("a story");
    let verdict = story.conversion.as_ref().map(|one| one.verdict.clone());
    assert_eq!(verdict, Some(Verdict::Awaited(Duration::from_secs(3600))));
    let fired: Vec<_> = story.deliveries.iter().map(|one| one.trigger).collect();
    assert_eq!(fired, [Trigger::Connect]);
}

#[test]
fn so_much_is_taken_of_one_call_and_no_more() {
    let mut talk = Talk::unacknowledged(desk(1, |site| {
        site.hook(Trigger::Postback, "http://crm.example/");
    }));
    let uuid = uuid(&talk);

    for _ in 0..MOST_POSTS + 5 {
        post(&mut talk.desk, About::Call(uuid), &pass(&[]), "age=66");
    }

    assert_eq!(talk.desk.deliveries.len(), MOST_POSTS as usize);
    let posted = &talk.desk.posted;
    assert_eq!(
        posted.iter().filter(|one| **one == (1, false)).count(),
        MOST_POSTS as usize
    );
    assert_eq!(posted.last(), Some(&(0, true)));
}

#[test]
fn two_calls_of_one_caller_both_hear_what_is_said_of_the_caller() {
    let mut desk = desk(1, |_| {});
    for call in ["one", "two"] {
        let invite = invite()
            .set("Call-ID", format!("{call}@carrier.example.net"))
            .set(
                "Via",
                format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{call}"),
            );
        find(&desk.say(CARRIER, &invite), "b0 INVITE");
    }

    post(&mut desk, caller(), &pass(&[]), "age=66");

    assert_eq!(desk.posted, [(2, false)]);
}

#[test]
fn tags_that_waited_for_the_caller_decide_and_are_this_calls_only() {
    let spec = |site: &mut super::campaigns::Site| {
        site.wants(0, &["product:loan"]);
        site.wants(1, &["product:car"]);
        site.keys = vec![key()];
    };
    let mut desk = desk(2, spec);
    let waiting = [("product", "car"), ("call_uuid", "x")].map(|(key, value)| Waiting {
        key: key.into(),
        value: value.into(),
        until: Moment::from_millis(9000),
    });
    desk.stored.tags = waiting.to_vec();

    let said = desk.say(CARRIER, &invite());

    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b1 INVITE"]);
    let taken = desk.events.iter().filter_map(|event| {
        let Event::TagsTaken { tags, .. } = event else {
            return None;
        };
        Some(&**tags)
    });
    // Those that were refused are gone, too.
    assert_eq!(taken.collect::<Vec<_>>(), [&waiting[..]]);
    let offered = find(&said, "b1 INVITE");
    desk.say_from(buyer(1), &answer(&offered, 486, "bob"));
    let story = desk.records[0].story.as_ref().expect("a story");
    let tags: Vec<_> = story.facts.tags.iter().collect();
    assert_eq!(
        (&*tags[0].key, tags[0].origin, tags.len()),
        ("product", Origin::Stored, 1)
    );
}

#[test]
fn a_caller_is_not_asked_about_where_nobody_can_write_of_callers() {
    let mut desk = desk(1, |_| {});
    desk.recalls = Some(Vec::new());

    let said = desk.say(CARRIER, &invite());

    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b0 INVITE"]);
    assert!(desk.recalls.as_ref().is_some_and(Vec::is_empty));
}

fn key() -> PostKey {
    PostKey {
        id: "crm".into(),
        secret: Secret::new(*b"0123456789abcdef"),
        pass: pass(&[]),
        rate: 100,
        keep: Duration::from_secs(60),
    }
}

fn sale() -> Group {
    Group {
        id: "sale".into(),
        matches: Conditions::default(),
        criterion: Criterion::Postback {
            worth: Worth {
                payout: "40".parse().expect("an amount"),
                revenue: "60".parse().expect("an amount"),
            },
            wait: Duration::from_secs(3600),
        },
        payout_dedupe: None,
        revenue_dedupe: None,
    }
}

/// The key of somebody who may for these campaigns; none: all.
fn pass(campaigns: &[&str]) -> Pass {
    Pass {
        company: "company".into(),
        campaigns: campaigns.iter().map(|one| Arc::from(*one)).collect(),
        grants: Grants::ALL,
    }
}

fn caller() -> About {
    About::Caller(number("+15555550199"))
}

fn number(text: &str) -> Number {
    Number::from_e164(text.as_bytes()).expect("a number")
}

fn uuid(talk: &Talk) -> strowger::types::ids::CallUuid {
    let text = talk.offered.value("X-PH-RetreaverUUID");
    strowger::types::ids::CallUuid::parse(text).expect("a UUID")
}

fn post(desk: &mut Desk, about: About, pass: &Pass, form: &str) {
    let mut posting = Posting::default();
    posting.read_form(form.as_bytes()).expect("a form");
    let pass = pass.clone();
    let post = Post {
        about,
        pass,
        posting,
    };
    assert!(
        desk.tell(Input::Posted(&post)).is_empty(),
        "nobody on the way is told"
    );
}
