//! Calls that nobody can take now wait for somebody who can, where their campaign wants that.

use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use strowger::call::input::Input;
use strowger::call::output::{Event, Gauges};
use strowger::call::record::Record;
use strowger::routing::buyer::Buyer;
use strowger::routing::callers::{CallerList, Lists};
use strowger::routing::campaign::{Answer, Campaign, Exit, Signal, Waiting};
use strowger::routing::caps::Caps;
use strowger::routing::hours::{Blocks, Hours};
use strowger::routing::route::{Part, Route};
use strowger::routing::rules::Schedule;
use strowger::routing::zone::Zone;
use strowger::types::moment::Moment;
use strowger::types::range::NumberSet;

use super::desk::{
    Desk, Said, Talk, ack_of_failure, answer, buyer, caller_request, cancel, find, invite, ladder,
    specs, timed,
};
use super::policy::{CARRIER, PolicySpec};
use super::text::Msg;

const MINUTE: Duration = Duration::from_secs(60);
const NOTHING: [&str; 0] = [];

/// So many buyers that take one call each, and a room.
pub(super) fn desk(buyers: usize, change: impl FnOnce(&mut Campaign)) -> Desk {
    let mut buyers = specs(buyers);
    for buyer in &mut buyers {
        buyer.caps = Caps {
            max_calls: Some(1),
            max_cps: None,
        };
    }
    let spec = PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    };
    Desk::changed(&spec, |policy| {
        let campaign = Arc::get_mut(&mut policy.directory.campaigns[0]);
        let campaign = campaign.expect("nobody else has it");
        campaign.waiting = Some(room(Signal::Queued));
        change(campaign);
    })
}

pub(super) fn room(signal: Signal) -> Waiting {
    Waiting {
        time: MINUTE,
        most: 2,
        signal,
    }
}

/// The INVITE of another call.
fn call(number: usize) -> Msg {
    invite()
        .set("Call-ID", format!("{number}@carrier.example.net"))
        .set(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{number}"),
        )
}

/// A call that is up, so that its buyer takes no other.
fn taken(change: impl FnOnce(&mut Campaign)) -> Talk {
    let mut talk = Talk::unacknowledged(desk(1, change));
    let ack = talk.caller("ACK", 1);
    assert_eq!(ladder(&talk.caller_says(&ack)), NOTHING);
    talk
}

fn hang_up(talk: &mut Talk) {
    let bye = talk.caller("BYE", 2);
    let said = talk.caller_says(&bye);
    let ours = find(&said, "b0 BYE");
    talk.buyer_says(&ours.reply(200, "bob"));
}

fn pass(desk: &mut Desk, seconds: u64) -> Vec<Said> {
    desk.pass(Duration::from_secs(seconds))
}

/// Decisions, turns, refused places, rounds and seconds.
fn sizes(record: &Record) -> (usize, usize, usize, u32, u64) {
    let story = record.story.as_ref().expect("a story");
    let waited = story.waited.as_ref().expect("it has waited");
    assert_eq!(story.course.decisions.len(), story.decisions.len());
    let (decisions, turns) = (story.decisions.len(), story.course.turns.len());
    let time = waited.time.as_secs();
    (decisions, turns, record.skipped.len(), waited.rounds, time)
}

#[test]
fn a_call_waits_until_there_is_a_place_and_is_offered() {
    let mut talk = taken(|_| {});

    let said = talk.caller_says(&call(2));
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "carrier 182 INVITE"]);
    assert!(find(&said, "carrier 182 INVITE").tag_in_to().is_some());
    assert_eq!(talk.desk.gauges().calls_waiting, 1);
    assert_eq!(ladder(&pass(&mut talk.desk, 17)), NOTHING);
    hang_up(&mut talk);

    let said = pass(&mut talk.desk, 4);

    let offered = find(&said, "b0 INVITE");
    assert_eq!(talk.desk.gauges().calls_waiting, 0);
    let said = talk.buyer_says(&answer(&offered, 200, "bob"));
    let ok = find(&said, "carrier 200 INVITE");
    let desk = &mut talk.desk;
    desk.say(CARRIER, &caller_request("ACK", 1, &call(2), &ok));
    pass(desk, 30);
    let said = desk.say(CARRIER, &caller_request("BYE", 2, &call(2), &ok));
    let ours = find(&said, "b0 BYE");
    desk.say_from(buyer(0), &ours.reply(200, "bob"));
    let record = &desk.records[1];
    assert_eq!(record.outcome.label(), "completed");
    assert_eq!(sizes(record), (2, 2, 1, 4, 20));
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn when_the_time_is_over_it_is_refused_and_its_record_is_no_longer_than_another() {
    let mut talk = taken(|_| {});
    talk.caller_says(&call(2));

    let said = talk.desk.pass_millis(60_200);

    assert_eq!(timed(&said), ["60000 carrier 486 INVITE"]);
    let end = find(&said, "carrier 486 INVITE");
    assert_eq!(end.value("Reason"), "SIP;cause=486;text=\"all_capped\"");
    talk.caller_says(&ack_of_failure(&call(2), &end));
    assert_eq!(sizes(&talk.desk.records[0]), (2, 2, 2, 12, 60));
    hang_up(&mut talk);
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn a_caller_that_gives_up_leaves_its_place_in_the_room() {
    let mut talk = taken(|campaign| {
        campaign.waiting = Some(Waiting {
            most: 1,
            ..room(Signal::Queued)
        });
    });
    talk.caller_says(&call(2));
    // There is room for one.
    let said = talk.caller_says(&call(3));
    let end = find(&said, "carrier 486 INVITE");
    talk.caller_says(&ack_of_failure(&call(3), &end));
    let full = |event: &&Event| {
        matches!(
            event,
            Event::TableFull {
                table: "waiting_room"
            }
        )
    };
    assert_eq!(talk.desk.events.iter().filter(full).count(), 1);
    pass(&mut talk.desk, 7);

    let said = talk.caller_says(&cancel(&call(2)));

    assert_eq!(ladder(&said), ["carrier 200 CANCEL", "carrier 487 INVITE"]);
    let end = find(&said, "carrier 487 INVITE");
    talk.caller_says(&ack_of_failure(&call(2), &end));
    let record = talk.desk.records.last().expect("a record");
    assert_eq!(record.outcome.label(), "caller_hung_up");
    assert_eq!(sizes(record), (2, 2, 2, 1, 7));
    let said = talk.caller_says(&call(4));
    assert_eq!(ladder(&said)[1], "carrier 182 INVITE");
    pass(&mut talk.desk, 61);
    hang_up(&mut talk);
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn what_the_caller_is_told_is_as_the_campaign_says() {
    for (signal, told) in [
        (Signal::Queued, &["carrier 182 INVITE"][..]),
        (Signal::Ringing, &["carrier 180 INVITE"]),
        (Signal::None, &[]),
    ] {
        let mut talk = taken(|campaign| {
            campaign.waiting = Some(Waiting {
                time: 2 * MINUTE,
                ..room(signal)
            });
        });
        let said = talk.caller_says(&call(2));
        assert_eq!(ladder(&said)[1..], *told);
        // And every minute, for proxies give up on one that is silent.
        assert_eq!(ladder(&pass(&mut talk.desk, 59)), NOTHING);
        assert_eq!(ladder(&pass(&mut talk.desk, 2)), *told);
    }
}

#[test]
fn who_was_asked_is_not_asked_again_and_the_next_buyer_is_when_it_can() {
    let mut desk = desk(2, |_| {});
    let said = desk.say(CARRIER, &call(1));
    let offered = find(&said, "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
    let busy = find(&said, "b1 INVITE");
    desk.say_from(buyer(1), &answer(&busy, 180, "eve"));
    let said = desk.say(CARRIER, &call(2));
    let offered = find(&said, "b0 INVITE");

    let said = desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
    assert_eq!(ladder(&said), ["b0 ACK", "carrier 182 INVITE"]);
    pass(&mut desk, 12);
    desk.say_from(buyer(1), &answer(&busy, 486, "eve"));
    let said = desk.pass_millis(3_200);

    assert_eq!(ladder(&said), ["b1 INVITE", "carrier 180 INVITE"]);
    let offered = find(&said, "b1 INVITE");
    desk.say_from(buyer(1), &answer(&offered, 486, "eve"));
    let said = pass(&mut desk, 61);
    assert!(!ladder(&said).iter().any(|line| line == "b0 INVITE"));
    let rounds = desk.records.iter().map(sizes).map(|sizes| sizes.3);
    assert!(rounds.into_iter().all(|rounds| rounds > 0));
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn a_campaign_that_has_an_answer_does_not_let_wait() {
    let mut talk = taken(|campaign| {
        campaign.exits.all_capped = Some(Exit::Reject(Answer {
            status: Some(480),
            reason: None,
            suppress: None,
        }));
    });

    let said = talk.caller_says(&call(2));

    assert_eq!(ladder(&said), ["carrier 100 INVITE", "carrier 480 INVITE"]);
    let record = &talk.desk.records[0];
    assert!(record.story.as_ref().expect("a story").waited.is_none());
}

#[test]
fn a_node_that_drains_lets_nobody_wait() {
    let mut talk = taken(|_| {});
    talk.caller_says(&call(2));

    talk.desk.tell(Input::Drain(true));
    let said = talk.desk.pass_millis(5_200);

    // As a new call: its carrier may go elsewhere.
    assert_eq!(timed(&said), ["5000 carrier 503 INVITE"]);
    let end = find(&said, "carrier 503 INVITE");
    assert_eq!(end.value("Reason"), "SIP;cause=503;text=\"all_capped\"");
    let record = &talk.desk.records[0];
    assert_eq!((record.outcome.label(), record.status), ("all_capped", 503));
    hang_up(&mut talk);
    assert_eq!(talk.desk.rest(), Gauges::default());
}

#[test]
fn turns_are_counted_on_through_a_round_in_which_nobody_had_one() {
    let spec = PolicySpec {
        lines: vec![specs(4)],
        ..PolicySpec::default()
    };
    let mut desk = Desk::changed(&spec, |policy| {
        let campaign = Arc::get_mut(&mut policy.directory.campaigns[0]).expect("ours");
        let mut buyers: Vec<Buyer> = specs(4).iter().map(super::policy::buyer).collect();
        let blocks: Blocks = "daily 00:01-24:00".parse().expect("hours");
        for late in &mut buyers[2..] {
            late.priority = 2;
            late.rules.hours = Some(Schedule {
                hours: Hours::of(&blocks.0).expect("not always"),
                zone: Zone::utc(),
            });
        }
        let parts = buyers.into_iter().map(|one| Part::One(Arc::new(one)));
        campaign.route = Route::by_priority(parts.collect());
        campaign.waiting = Some(room(Signal::None));
    });
    // The others open ten seconds after the call.
    desk.tell(Input::Clock(Moment::from_millis(50_000)));
    let refused = |desk: &mut Desk, said: &[Said], places: [usize; 2]| {
        let offered = places.map(|place| find(said, &format!("b{place} INVITE")));
        for (place, offered) in places.into_iter().zip(offered) {
            desk.say_from(buyer(place), &answer(&offered, 486, "bob"));
        }
    };
    let said = desk.say(CARRIER, &call(1));
    refused(&mut desk, &said, [0, 1]);
    assert_eq!(desk.gauges().calls_waiting, 1);
    assert_eq!(ladder(&pass(&mut desk, 6)), NOTHING);

    let said = pass(&mut desk, 5);

    refused(&mut desk, &said, [2, 3]);
    pass(&mut desk, 61);
    let attempts = desk.records[0].attempts.iter();
    let together = attempts.map(|one| one.together.map_or(0, NonZeroU8::get));
    assert_eq!(together.collect::<Vec<_>>(), [1, 1, 2, 2]);
    assert_eq!(desk.rest(), Gauges::default());
}

/// The campaign's own buyers are not for it, so there is nobody to wait for.
#[test]
fn a_caller_whom_a_list_keeps_out_does_not_wait_after_the_exit_that_is_for_it() {
    let buyers = specs(2);
    let spec = PolicySpec {
        lines: buyers.into_iter().map(|one| vec![one]).collect(),
        ..PolicySpec::default()
    };
    let mut desk = Desk::changed(&spec, |policy| {
        let exit = policy.directory.campaigns[1].route.clone();
        let campaign = Arc::get_mut(&mut policy.directory.campaigns[0]).expect("ours");
        campaign.callers = Lists {
            accepted: vec![Arc::new(CallerList {
                id: "friends".into(),
                numbers: NumberSet::default(),
                guests: None,
            })],
            suppressed: Vec::new(),
        };
        campaign.exits.suppressed = Some(Exit::Dial(exit));
        campaign.waiting = Some(room(Signal::Queued));
    });
    let said = desk.say(CARRIER, &call(1));
    let offered = find(&said, "b1 INVITE");

    let said = desk.say_from(buyer(1), &answer(&offered, 486, "eve"));

    assert_eq!(ladder(&said), ["b1 ACK", "carrier 486 INVITE"]);
    assert_eq!(desk.rest(), Gauges::default());
}
