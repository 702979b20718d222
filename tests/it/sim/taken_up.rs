//! Calls that a vendor carries, over a restart of ours: left as they are, and taken up where the journal leaves them.

use std::fs;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use strowger::call::errand::{Before, Closing, Leg, Said, Tried};
use strowger::call::input::{Input, Which};
use strowger::call::output::Gauges;
use strowger::call::places::Verdict;
use strowger::call::record::{Outcome, Record, Side};
use strowger::edge::replay;
use strowger::hooks::model::{CampaignHooks, Hooks};
use strowger::hooks::trigger::Trigger;
use strowger::routing::buyer::Buyer;
use strowger::routing::caps::{CapOn, Most, Party, Quota};
use strowger::routing::route::Route;
use strowger::routing::zone::Zone;
use strowger::telemetry::reading;
use strowger::telemetry::record::{Anchor, write_line};
use strowger::twilio::dial::Why;
use strowger::types::moment::Moment;
use strowger::types::tag::Origin;

use super::abroad::{Abroad, LIMIT, beginning, desk, limited, plain, secs, tickets, told, uuid};
use super::campaigns;
use super::desk::{Desk, Talk, ladder};
use super::limits::give;
use super::policy::PolicySpec;
use super::seeds::epoch;

#[test]
fn who_talks_goes_on_talking_and_is_one_call() {
    let mut desk = begun(&plain(3));
    let mut before = before(&[("c0b0", Some(Why::Busy)), ("c0b1", None)]);
    before.answered = Some(ago(30));
    before.tags = vec![("product".to_owned(), "car".to_owned(), Origin::Hook)];

    take_up(&mut desk, 1, before);

    assert!(desk.desk.steps.is_empty(), "nobody is called");
    assert_eq!(desk.desk.gauges().calls_talking, 1);
    desk.pass(secs(60));
    desk.say(1, Said::Over(2, secs(90), Side::Caller));
    assert_eq!(desk.step(), "End(completed, 200)");
    let record = desk.record();
    assert_eq!(told(&record), ["b0 busy", "b1 answered 200"]);
    assert_eq!(record.ended - record.answered.unwrap(), secs(90));
    assert_eq!(record.ended - record.began, secs(100));
    assert_eq!(record.hung_up_by, Side::Caller);
    let tags = &record.story.as_ref().unwrap().facts.tags;
    assert_eq!(tags.values("product").collect::<Vec<_>>(), ["car"]);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn no_timer_fires_for_a_time_in_which_nobody_talked() {
    let talked = Some(secs(30));
    // Nobody was there for ten minutes.
    let mut desk = timers(&[20, 60]);
    let mut before = before(&[("c0b0", None)]);
    before.began = ago(610);
    before.tried[0].at = ago(605);
    before.answered = Some(ago(600));
    before.closing = Some(Closing { talked, by: None });
    before.alive = ago(569);
    take_up(&mut desk, 1, before.clone());
    desk.pass(secs(16));
    let record = desk.record();
    assert_eq!(fired(&record), [Trigger::Always], "that of 20 s had fired");
    assert_eq!(record.ended - record.answered.unwrap(), secs(30));
    assert_eq!(record.ended - record.began, secs(40));
    let progress = &record.story.as_ref().unwrap().progress;
    assert_eq!(progress.answered, Some(ago(600)));
    assert_eq!(progress.ended, Some(ago(570)));
    // Nobody knows for how long, but that the caller had left.
    let by = Some(Side::Caller);
    before.closing = Some(Closing { talked: None, by });
    take_up(&mut desk, 2, before);
    desk.pass(secs(16));
    let record = desk.record();
    assert_eq!(fired(&record), [Trigger::Always]);
    assert_eq!(record.ended - record.answered.unwrap(), secs(31));
    assert_eq!(desk.rest(), Gauges::default());

    // Somebody was there, and waited for the last word.
    for has_word in [true, false] {
        let mut desk = timers(&[20, 35]);
        desk.begin(1);
        desk.named();
        desk.say(1, Said::Answered(1));
        desk.pass(secs(31));
        desk.say(1, Said::Closing(1, Closing { talked, by: None }));
        desk.pass(secs(if has_word { 10 } else { 16 }));
        if has_word {
            desk.say(1, Said::Over(1, secs(30), Side::Buyer));
        }
        let record = desk.record();
        assert_eq!(fired(&record), [Trigger::Timer, Trigger::Always]);
        assert_eq!(record.ended - record.answered.unwrap(), secs(30));
        assert_eq!(record.ended - record.began, secs(30));
        assert_eq!(desk.rest(), Gauges::default());
    }
}

#[test]
fn timers_that_were_due_before_do_not_fire_again_and_the_others_do() {
    let mut desk = timers(&[20, 35, 70]);
    let mut before = before(&[("c0b0", None)]);
    before.answered = Some(ago(40));
    // It was there for five more seconds after the first timer.
    before.alive = ago(15);

    take_up(&mut desk, 1, before);
    desk.pass(secs(10));
    desk.say(1, Said::Over(1, secs(50), Side::Buyer));

    // That of 35 s was due while nobody was there.
    assert_eq!(fired(&desk.record()), [Trigger::Timer, Trigger::Always]);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn the_buyer_that_was_named_is_named_again_and_the_next_one_follows() {
    let mut desk = begun(&plain(3));

    take_up(
        &mut desk,
        1,
        before(&[("c0b0", Some(Why::NoAnswer)), ("c0b1", None)]),
    );

    let again = desk.named();
    assert_eq!((again.attempt, &*again.buyer), (2, "c0b1"));
    desk.say(1, Said::Left(1, Why::Busy, None));
    assert!(desk.desk.steps.is_empty(), "that is over");
    desk.say(1, Said::Left(2, Why::Busy, Some(486)));
    let next = desk.named();
    assert_eq!((next.attempt, &*next.buyer), (3, "c0b2"));
    desk.say(1, Said::Answered(3));
    desk.pass(secs(5));
    desk.say(1, Said::Over(3, secs(5), Side::Buyer));
    let record = desk.record();
    assert_eq!(
        told(&record),
        ["b0 no_answer", "b1 busy 486", "b2 answered 200"]
    );
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn with_nobody_left_it_ends_as_the_whole_hunt_came_to() {
    let mut desk = begun(&plain(2));
    take_up(
        &mut desk,
        1,
        before(&[("c0b0", Some(Why::Busy)), ("c0b1", None)]),
    );
    desk.named();

    desk.say(1, Said::Left(2, Why::Busy, None));

    assert_eq!(desk.step(), "End(all_busy, 486)");
    assert_eq!(told(&desk.record()), ["b0 busy", "b1 busy"]);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn what_was_told_before_nobody_was_left_to_hear_it_counts() {
    // The last attempt had come to nothing.
    let mut desk = begun(&plain(2));
    take_up(&mut desk, 1, before(&[("c0b0", Some(Why::Busy))]));
    let next = desk.named_last();
    assert_eq!((next.attempt, &*next.buyer), (2, "c0b1"));
    desk.say(1, Said::Gone);
    assert_eq!(told(&desk.record()), ["b0 busy", "b1 cancelled"]);

    // The end had been told, and not been written down.
    let mut ended = before(&[("c0b0", None)]);
    ended.answered = Some(ago(35));
    ended.closing = Some(Closing {
        talked: Some(secs(33)),
        by: Some(Side::Caller),
    });
    take_up(&mut desk, 2, ended);
    desk.pass(secs(16));
    let record = desk.record();
    assert_eq!(record.outcome, Outcome::Completed);
    assert_eq!(record.ended - record.answered.unwrap(), secs(33));
    assert_eq!(record.hung_up_by, Side::Caller);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn a_call_for_which_nobody_was_named_yet_begins_with_the_first() {
    let mut desk = begun(&plain(2));

    take_up(&mut desk, 1, before(&[]));

    assert_eq!(desk.named().attempt, 1);
    desk.say(1, Said::Gone);
    assert_eq!(desk.record().outcome, Outcome::CallerHungUp);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn for_a_caller_who_has_left_nobody_is_named() {
    let mut desk = begun(&plain(2));
    let mut before = before(&[]);
    before.closing = Some(Closing {
        talked: None,
        by: Some(Side::Caller),
    });

    take_up(&mut desk, 1, before);

    assert_eq!(desk.step(), "End(caller_hung_up, 487)");
    let record = desk.record();
    assert_eq!(record.outcome, Outcome::CallerHungUp);
    assert_eq!(record.hung_up_by, Side::Caller);
    assert!(record.attempts.is_empty());
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn its_place_is_taken_whatever_the_limits_are_and_comes_back() {
    let mut desk = begun(&limited());
    for (call, is_answered) in [(1, true), (2, false)] {
        let mut before = before(&[("c0b0", None)]);
        before.answered = is_answered.then(|| ago(3));
        take_up(&mut desk, call, before);
    }
    // Two where one may be: as many as there are.
    desk.desk.steps.clear();
    desk.begin(3);
    assert_eq!(desk.named().buyer, "c0b1".into(), "the first is full");
    desk.say(1, Said::Over(1, secs(3), Side::Buyer));
    desk.say(2, Said::Gone);
    desk.desk.steps.clear();
    desk.desk.records.clear();

    desk.begin(4);

    assert_eq!(desk.named().buyer, "c0b0".into());
    desk.say(3, Said::Gone);
    desk.say(4, Said::Gone);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn the_place_of_a_buyer_that_came_to_nothing_is_not_that_of_the_next_one() {
    let mut desk = quotas(2);

    take_up(&mut desk, 1, before(&[("c0b0", Some(Why::Busy))]));

    let next = desk.named_last();
    assert_eq!((next.attempt, &*next.buyer), (2, "c0b1"));
    let taken: Vec<_> = desk.desk.ledger.taken().into_keys().collect();
    assert_eq!(taken, [buyer("c0b1")], "the first is left");
    desk.say(1, Said::Answered(2));
    assert_eq!(desk.counted(), [buyer("c0b1")]);
    desk.say(1, Said::Over(2, secs(0), Side::Buyer));
    assert_eq!(told(&desk.record()), ["b0 busy", "b1 answered 200"]);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn the_next_way_to_a_buyer_with_one_place_is_tried_by_the_same_place() {
    let mut spec = limited();
    spec.lines[0].truncate(1);
    let further = "198.51.100.77:5060".parse().unwrap();
    spec.lines[0][0].others = vec![further];
    // Whether the answer comes in the same breath, later, or never.
    for (is_later, is_never) in [(false, false), (true, false), (true, true)] {
        let mut desk = begun(&spec);
        desk.desk.questions = is_later.then(Vec::new);
        take_up(&mut desk, 1, before(&[("c0b0", Some(Why::Broken))]));
        assert_eq!(desk.desk.steps.len(), 2 - usize::from(is_later));
        match (is_later, is_never) {
            (false, _) => {}
            (true, false) => {
                give(&mut desk.desk, Verdict::Granted);
            }
            (true, true) => {
                desk.desk.questions = None;
                desk.pass(secs(3));
            }
        }

        let next = desk.named_last();
        assert_eq!((next.attempt, &*next.buyer), (2, "c0b0"));
        assert_eq!(desk.desk.ledger.taken()[&buyer("c0b0")], 1);
        desk.say(1, Said::Answered(2));
        desk.say(1, Said::Over(2, secs(0), Side::Buyer));
        assert_eq!(told(&desk.record()), ["b0 unreachable", "b0 answered 200"]);
        assert_eq!(desk.rest(), Gauges::default());
    }
}

#[test]
fn an_answer_counts_in_the_windows_in_which_its_buyer_was_chosen() {
    let mut desk = quotas(1);
    let mut before = before(&[("c0b0", None)]);
    // It is six in the morning, UTC.
    before.tried[0].at = ago(7 * 3_600);
    take_up(&mut desk, 1, before);

    desk.say(1, Said::Answered(1));

    let counted = desk.desk.ledger.counted.iter();
    let counted: Vec<_> = counted.map(|one| one.window.to_string()).collect();
    assert_eq!(counted, ["2024-11-03"]);
}

#[test]
fn an_answer_that_is_told_before_the_place_is_there_counts_with_it() {
    let mut desk = quotas(1);
    desk.desk.questions = Some(Vec::new());
    take_up(&mut desk, 1, before(&[("c0b0", None)]));
    desk.named();
    desk.say(1, Said::Answered(1));
    assert!(desk.counted().is_empty());

    give(&mut desk.desk, Verdict::Granted);

    assert_eq!(desk.counted(), [buyer("c0b0")]);
    desk.say(1, Said::Over(1, secs(0), Side::Buyer));
    desk.record();
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn who_is_told_nothing_gives_up_in_time() {
    let mut desk = begun(&plain(1));
    take_up(&mut desk, 1, before(&[("c0b0", None)]));
    desk.pass(secs(91));
    desk.desk.steps.clear();
    assert_eq!(desk.record().outcome, Outcome::VendorSilent);

    let mut desk = begun(&plain(1));
    let mut talks = before(&[("c0b0", None)]);
    talks.answered = Some(ago(10));
    take_up(&mut desk, 2, talks);
    desk.pass(LIMIT + secs(49));
    assert!(desk.desk.records.is_empty(), "not yet");
    desk.pass(secs(2));
    let record = desk.record();
    assert_eq!(record.outcome, Outcome::TimeLimit);
    assert_eq!(record.ended - record.answered.unwrap(), LIMIT);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn a_buyer_and_a_number_that_are_gone_are_no_reason_to_lose_the_call() {
    let mut desk = begun(&plain(1));
    let mut talks = before(&[("gone", None)]);
    talks.answered = Some(ago(10));
    take_up(&mut desk, 1, talks);
    desk.say(1, Said::Over(1, secs(10), Side::Buyer));
    desk.desk.steps.clear();
    let record = desk.desk.records.pop().unwrap();
    assert_eq!(&*record.attempts[0].buyer.id, "gone");
    assert_eq!(record.outcome, Outcome::Completed);

    let mut desk = Abroad {
        desk: Desk::changed(&plain(1), |policy| {
            policy.tickets = Some(tickets());
            policy.directory.numbers.clear();
        }),
    };
    desk.desk.tell(Input::Clock(NOW));
    let mut talks = before(&[("c0b0", None)]);
    talks.answered = Some(ago(10));
    take_up(&mut desk, 1, talks);
    take_up(&mut desk, 2, before(&[("c0b0", None)]));
    assert_eq!(desk.step(), "End(number_unknown, 404)");
    assert_eq!(desk.record().outcome, Outcome::NumberUnknown);
    desk.say(1, Said::Over(1, secs(10), Side::Buyer));
    let record = desk.record();
    assert_eq!(record.outcome, Outcome::Completed);
    assert_eq!(record.ended - record.answered.unwrap(), secs(10));
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn nobody_decides_a_call_again_that_was_taken_up() {
    let mut desk = begun(&plain(2));
    take_up(&mut desk, 1, before(&[("c0b0", None)]));
    desk.named();
    desk.say(1, Said::Left(1, Why::Busy, None));
    desk.say(1, Said::Gone);
    let record = desk.record();
    let mut line = Vec::new();
    let anchor = Anchor::new(epoch(), SystemTime::UNIX_EPOCH);
    write_line(&mut line, "test", &record, &anchor);

    let why = reading::read(&line).unwrap_err();

    assert!(matches!(why, reading::Unusable::CutOff), "{why}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records.jsonl");
    fs::write(&path, &line).unwrap();
    let summary = replay::run(&plain(2).build(), &path, false, &mut io::sink()).unwrap();
    assert_eq!((summary.cut_off, summary.calls), (1, 0));
    assert!(summary.is_same());
}

#[test]
fn who_leaves_leaves_calls_abroad_alone_and_ends_all_others() {
    let mut talk = Talk::unacknowledged(desk(&plain(1)).desk);
    talk.caller_says(&talk.caller("ACK", 1));
    let mut desk = Abroad { desk: talk.desk };
    desk.begin(1);
    desk.named();
    desk.begin(2);
    desk.named();
    desk.say(2, Said::Answered(1));

    let said = desk.desk.tell(Input::Hangup(Which::Leaving));

    assert_eq!(ladder(&said), ["carrier BYE", "b0 BYE"]);
    let steps: Vec<_> = desk.desk.steps.drain(..).collect();
    let steps: Vec<_> = steps.iter().map(|(_, step)| format!("{step:?}")).collect();
    assert_eq!(steps, ["Refused(draining)", "Refused(draining)"]);
    assert_eq!(desk.record().outcome, Outcome::Stopped, "that of SIP");
    // Whoever tells something now is to tell it again.
    desk.say(1, Said::Left(1, Why::Busy, None));
    assert_eq!(desk.step(), "Refused(draining)");
    assert_eq!(desk.rest(), Gauges::default());
}

impl Abroad {
    /// The buyer that the vendor is to call, after the one that was named again first.
    fn named_last(&mut self) -> Leg {
        let (_, first) = self.desk.steps.remove(0);
        assert_eq!(format!("{first:?}"), "Call(1, c0b0)");
        self.named()
    }

    /// Whose limits were counted against.
    fn counted(&self) -> Vec<Party> {
        let counted = self.desk.ledger.counted.iter();
        counted.map(|one| one.party.clone()).collect()
    }
}

/// With webhooks that fire so many seconds after the answer, and one after the call.
fn timers(after: &[u64]) -> Abroad {
    let mut desk = Abroad {
        desk: Desk::changed(&plain(1), |policy| {
            let hooks = after.iter();
            let hooks = hooks.map(|after| Arc::new(campaigns::hook(Trigger::Timer, *after)));
            let always = Arc::new(campaigns::hook(Trigger::Always, 0));
            let hooks = hooks.chain([always]).collect();
            policy.hooks = Hooks::new(vec![CampaignHooks::new(hooks, Vec::new())]);
            policy.tickets = Some(tickets());
        }),
    };
    desk.desk.tell(Input::Clock(NOW));
    desk
}

fn fired(record: &Record) -> Vec<Trigger> {
    let fired = &record.story.as_ref().unwrap().fired;
    fired.iter().map(|one| one.webhook.trigger).collect()
}

fn buyer(id: &str) -> Party {
    Party::Buyer(id.into())
}

/// So many buyers, of whom each takes one answered call a day.
fn quotas(buyers: usize) -> Abroad {
    let mut desk = Abroad {
        desk: Desk::changed(&plain(buyers), |policy| {
            policy.tickets = Some(tickets());
            let directory = &mut policy.directory;
            let campaign = Arc::get_mut(&mut directory.campaigns[0]).unwrap();
            let members = campaign.route.buyers().iter().map(|plain| {
                let mut limited = Buyer::new(&plain.id, plain.gateways.clone());
                limited.rules.quota = Some(Arc::new(Quota {
                    most: Most {
                        day: Some(1),
                        ..Most::default()
                    },
                    on: CapOn::Answer,
                    zone: Zone::utc(),
                }));
                Arc::new(limited)
            });
            let members: Vec<_> = members.collect();
            let all = members.iter().map(|one| (one.id.clone(), Arc::clone(one)));
            directory.buyers = all.collect();
            campaign.route = Route::new(members);
        }),
    };
    desk.desk.tell(Input::Clock(NOW));
    desk
}

/// Which buyers were tried, and what came of each.
fn before(tried: &[(&str, Option<Why>)]) -> Before {
    Before {
        began: ago(40),
        tags: Vec::new(),
        tried: tried
            .iter()
            .map(|(buyer, came)| Tried {
                buyer: (*buyer).into(),
                at: ago(38),
                came: *came,
            })
            .collect(),
        answered: None,
        closing: None,
        alive: ago(2),
    }
}

fn take_up(desk: &mut Abroad, call: u8, before: Before) {
    let said = Said::TakeUp(Box::new(beginning(call)), Box::new(before));
    let said = desk.desk.tell(Input::Abroad(uuid(call), said));
    assert_eq!(ladder(&said), [""; 0], "no SIP");
}

fn begun(spec: &PolicySpec) -> Abroad {
    let mut desk = desk(spec);
    desk.desk.tell(Input::Clock(NOW));
    desk
}

fn ago(seconds: u64) -> Moment {
    NOW.before(Duration::from_secs(seconds))
}

const NOW: Moment = Moment::from_millis(1_730_700_000_000);
