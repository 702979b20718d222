//! Callers who were here before: who gets them again, which webhooks fire for them again, and what a conversion of theirs is worth.

mod lists;

use std::sync::Arc;
use std::time::Duration;

use strowger::call::input::Input;
use strowger::call::memory::{Memory, Recalled, Remembered};
use strowger::call::output::{Event, Gauges};
use strowger::call::policy::Policy;
use strowger::hooks::conversion::{Criterion, Group, Tier, Worth};
use strowger::hooks::model::{CampaignHooks, Hooks, Method, Webhook};
use strowger::hooks::reply::Output;
use strowger::hooks::trigger::Trigger;
use strowger::routing::buyer::Buyer;
use strowger::routing::campaign::{Campaign, Exit, Repeat, RepeatPolicy, Route};
use strowger::routing::rules::{After, Once, Rules};
use strowger::types::condition::Conditions;
use strowger::types::ids::CallUuid;
use strowger::types::moment::Moment;
use strowger::types::money::Money;
use strowger::types::template::Template;

use super::desk::{Desk, Said, Talk, ack_of_failure, answer, buyer, find, invite, ladder, specs};
use super::policy::{CARRIER, PolicySpec};
use super::text::Msg;

const WINDOW: Duration = Duration::from_secs(3600);

/// A campaign of three buyers, changed.
fn desk(change: impl FnOnce(&mut Campaign), hooks: CampaignHooks) -> Desk {
    let spec = PolicySpec {
        lines: vec![specs(3)],
        ..PolicySpec::default()
    };
    Desk::changed(&spec, |policy| {
        let campaign = campaign(policy);
        change(campaign);
        policy.hooks = Hooks::new(vec![hooks]);
    })
}

fn campaign(policy: &mut Policy) -> &mut Campaign {
    let campaign = &mut policy.directory.campaigns[0];
    Arc::get_mut(campaign).expect("nobody else has it")
}

fn no_hooks() -> CampaignHooks {
    CampaignHooks::default()
}

fn repeat(policy: RepeatPolicy) -> impl FnOnce(&mut Campaign) {
    move |campaign| {
        campaign.repeat = Repeat {
            policy,
            after: After::Answer,
            within: WINDOW,
        };
    }
}

/// This buyer does not take a caller again within the window.
fn once(place: usize) -> impl Fn(&mut Campaign) {
    move |campaign| {
        let mut buyers = campaign.route.buyers().to_vec();
        let plain = &buyers[place];
        buyers[place] = Arc::new(Buyer {
            rules: Rules {
                once: Some(Once {
                    within: WINDOW,
                    after: After::Answer,
                }),
                ..Rules::default()
            },
            ..Buyer::new(&plain.id, plain.gateways.clone())
        });
        campaign.route = Route::new(buyers);
    }
}

fn hook(trigger: Trigger, dedupe: Duration) -> Arc<Webhook> {
    Arc::new(Webhook {
        id: trigger.label().into(),
        trigger,
        matches: Conditions::default(),
        method: Method::Get,
        url: Template::parse("http://crm.example/?repeat=[repeat]"),
        headers: Vec::new(),
        body: None,
        fire_order: 0,
        dedupe: Some(dedupe),
        after: Duration::ZERO,
        holds_call: false,
        timeout: Duration::from_secs(5),
        redirects: 0,
        output: Output::default(),
        is_idempotent: false,
        secret: None,
    })
}

/// A call that lasts ten seconds converts.
fn ten_seconds() -> Arc<Group> {
    let worth = Worth {
        payout: "7".parse::<Money>().expect("money"),
        revenue: "12".parse::<Money>().expect("money"),
    };
    Arc::new(Group {
        id: "long".into(),
        matches: Conditions::default(),
        criterion: Criterion::Timer(vec![Tier {
            after: Duration::from_secs(10),
            worth,
        }]),
        payout_dedupe: None,
        revenue_dedupe: Some(WINDOW),
    })
}

/// The INVITE of another call of the same caller.
fn invite_of(call: usize) -> Msg {
    let invite = invite();
    let branch = format!("z9hG4bKcall{call}");
    let via = invite.value("Via").replace("z9hG4bKfirst", &branch);
    let from = invite
        .value("From")
        .replace("tag=ann", &format!("tag=ann{call}"));
    invite
        .set("Via", via)
        .set("From", from)
        .set("Call-ID", format!("{call}@carrier.example.net"))
}

/// The buyer that is called, and the INVITE it got; `None`: the call is refused.
fn called(said: &[Said]) -> Option<(usize, Msg)> {
    (0..3).find_map(|place| {
        let line = format!("b{place} INVITE");
        let is_called = ladder(said).contains(&line);
        is_called.then(|| (place, find(said, &line)))
    })
}

/// A call that its first buyer answers.
fn talk(mut desk: Desk, call: usize) -> (usize, Talk) {
    let invite = invite_of(call);
    let said = desk.say(CARRIER, &invite);
    let (place, offered) = called(&said).expect("somebody is called");
    let said = desk.say_from(buyer(place), &answer(&offered, 200, "bob"));
    let ok = find(&said, "carrier 200 INVITE");
    let mut talk = Talk {
        desk,
        invite,
        ok,
        offered,
    };
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);
    (place, talk)
}

/// Such a call of so many seconds.
fn call(desk: Desk, number: usize, seconds: u64) -> (usize, Desk) {
    let (place, mut talk) = talk(desk, number);
    talk.desk.pass(Duration::from_secs(seconds));
    (place, hang_up(talk, place))
}

fn hang_up(mut talk: Talk, place: usize) -> Desk {
    let bye = talk.caller("BYE", 2);
    let said = talk.caller_says(&bye);
    // All buyers give the same Contact.
    let bye = find(&said, "b0 BYE");
    talk.desk.say_from(buyer(place), &bye.reply(200, "bob"));
    talk.desk
}

fn fired(desk: &Desk, record: usize) -> Vec<String> {
    let story = desk.records[record].story.as_ref().expect("a story");
    let fired = story.fired.iter().map(|one| one.webhook.id.to_string());
    fired.collect()
}

fn results(desk: &Desk) -> Vec<&'static str> {
    let results = desk.events.iter().filter_map(|event| {
        if let Event::Recalled { result, .. } = event {
            Some(*result)
        } else {
            None
        }
    });
    results.collect()
}

// --- who gets the caller again

#[test]
fn nobody_is_asked_where_nobody_wants_to_know() {
    let (place, mut desk) = call(desk(|_| {}, no_hooks()), 1, 5);

    assert_eq!(place, 0);
    assert!(results(&desk).is_empty());
    assert!(desk.memories.is_empty());
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn a_caller_goes_to_the_buyer_who_had_it_before_all_others() {
    let mut desk = desk(repeat(RepeatPolicy::OriginalFirst), no_hooks());
    // The first call is declined by the first two buyers.
    let said = desk.say(CARRIER, &invite_of(1));
    let said = desk.say_from(buyer(0), &answer(&find(&said, "b0 INVITE"), 486, "bob"));
    let said = desk.say_from(buyer(1), &answer(&find(&said, "b1 INVITE"), 486, "bob"));
    let offered = find(&said, "b2 INVITE");
    let said = desk.say_from(buyer(2), &answer(&offered, 200, "bob"));
    let ok = find(&said, "carrier 200 INVITE");
    let mut talk = Talk {
        desk,
        invite: invite_of(1),
        ok,
        offered,
    };
    let ack = talk.caller("ACK", 1);
    talk.caller_says(&ack);

    // It goes on still.
    let said = talk.desk.say(CARRIER, &invite_of(2));

    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b2 INVITE"]);
    assert_eq!(results(&talk.desk), ["new", "known"]);
    let offered = find(&said, "b2 INVITE");
    let said = talk.desk.say_from(buyer(2), &answer(&offered, 486, "bob"));
    assert_eq!(ladder(&said)[1], "b0 INVITE", "and then as any other");
}

#[test]
fn a_caller_goes_to_the_buyer_who_had_it_or_to_nobody() {
    let (first, mut desk) = call(desk(repeat(RepeatPolicy::Original), no_hooks()), 1, 5);
    assert_eq!(first, 0);

    let said = desk.say(CARRIER, &invite_of(2));
    let offered = find(&said, "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 486, "bob"));

    let refused = find(&said, "carrier 486 INVITE");
    desk.say(CARRIER, &ack_of_failure(&invite_of(2), &refused));
    // When nobody remembers it any more, it goes to anybody.
    desk.pass(WINDOW);
    let said = desk.say(CARRIER, &invite_of(3));
    let offered = find(&said, "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
    assert_eq!(ladder(&said)[1], "b1 INVITE");
}

#[test]
fn a_caller_goes_to_others_than_those_who_had_it() {
    let mut desk = desk(repeat(RepeatPolicy::Different), no_hooks());
    for place in 0..3 {
        let (to, next) = call(desk, place, 5);
        assert_eq!(to, place);
        desk = next;
    }

    let said = desk.say(CARRIER, &invite_of(9));

    assert_eq!(
        ladder(&said),
        ["carrier 100 INVITE", "carrier 603 INVITE"],
        "all had it"
    );
    let story = desk.records[3].story.as_ref().expect("a story");
    let verdicts: Vec<_> = story.decisions[0].looks[0]
        .iter()
        .map(|(_, verdict)| verdict.label())
        .collect();
    assert_eq!(verdicts, ["duplicate"; 3]);
    let known = story.recall.as_ref().expect("it was asked");
    assert_eq!((known.is_known, known.memory.calls.len()), (true, 3));
}

#[test]
fn a_buyer_that_does_not_take_a_caller_again_is_passed_over_for_a_while() {
    let (first, desk) = call(desk(once(0), no_hooks()), 1, 5);
    let (second, mut desk) = call(desk, 2, 5);
    assert_eq!((first, second), (0, 1));

    desk.pass(WINDOW);
    let (third, mut desk) = call(desk, 3, 5);

    assert_eq!(third, 0);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn a_call_that_goes_on_counts_and_one_that_nobody_answered_does_not() {
    let mut desk = desk(once(0), no_hooks());
    let said = desk.say(CARRIER, &invite_of(1));
    let offered = find(&said, "b0 INVITE");
    for place in 0..3 {
        let refused = offered.clone();
        if place == 0 {
            desk.say_from(buyer(0), &answer(&refused, 486, "bob"));
        }
    }
    desk.pass(Duration::from_secs(130));
    assert_eq!(desk.records.len(), 1, "nobody has answered");
    assert!(desk.memories.is_empty(), "and nothing is remembered");

    let (first, talk) = talk(desk, 2);
    let mut desk = talk.desk;
    let said = desk.say(CARRIER, &invite_of(3));

    assert_eq!(first, 0);
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b1 INVITE"]);
}

#[test]
fn what_the_store_knows_counts() {
    let mut desk = desk(once(0), no_hooks());
    let before = |minutes: i64| Moment::from_millis(-minutes * 60_000);
    desk.stored = Memory {
        calls: vec![Remembered {
            answered: Some(("c0b0".into(), before(59))),
            ..Remembered::new(CallUuid::from_bytes([9; 16]), "campaign-0".into())
        }],
        ..Memory::default()
    };

    let said = desk.say(CARRIER, &invite_of(1));
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b1 INVITE"]);

    desk.pass(Duration::from_secs(60));
    let said = desk.say(CARRIER, &invite_of(2));
    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b0 INVITE"]);
}

#[test]
fn a_campaign_asks_for_those_to_which_it_hands_calls_on() {
    let mut desk = desk(
        |campaign| {
            let buyers = campaign.route.buyers().to_vec();
            campaign.route = Route::new(vec![Arc::clone(&buyers[1])]);
            let route = Route::new(buyers);
            let mut other = Campaign::new("other", campaign.company, Vec::new());
            other.route = route;
            once(0)(&mut other);
            campaign.exits.no_answer = Some(Exit::Dial(other.route));
        },
        no_hooks(),
    );

    desk.say(CARRIER, &invite_of(1));

    assert_eq!(results(&desk), ["new"]);
}

// --- nobody answers in time

#[test]
fn without_an_answer_nobody_is_sent_a_caller_twice_and_nothing_is_told_twice() {
    let hooks = CampaignHooks::new(vec![hook(Trigger::Answered, WINDOW)], Vec::new());
    let mut desk = desk(once(0), hooks);
    desk.recalls = Some(Vec::new());
    let said = desk.say(CARRIER, &invite_of(1));
    assert_eq!(ladder(&said), ["carrier 100 INVITE"], "it waits");
    assert!(desk.pass_millis(499).is_empty());

    let said = desk.pass_millis(1);

    assert_eq!(ladder(&said), ["b1 INVITE"]);
    assert_eq!(results(&desk), ["late"]);
    let offered = find(&said, "b1 INVITE");
    desk.say_from(buyer(1), &answer(&offered, 200, "bob"));
    assert!(desk.fetches.is_empty(), "it may have been told");
    let skipped = desk.events.iter().any(|event| {
        matches!(event, Event::Skipped { buyer, why, .. }
            if &*buyer.id == "c0b0" && why.label() == "past_unknown")
    });
    assert!(!skipped, "it is no candidate at all");
}

#[test]
fn an_answer_that_comes_late_counts_from_then_on() {
    let hooks = CampaignHooks::new(vec![hook(Trigger::Always, WINDOW)], Vec::new());
    let mut desk = desk(|_| {}, hooks);
    desk.recalls = Some(Vec::new());
    desk.say(CARRIER, &invite_of(1));
    let said = desk.pass_millis(500);
    let offered = find(&said, "b0 INVITE");
    let (ticket, _) = desk.recalls.take().expect("questions").remove(0);
    let recalled = Recalled::All(Memory::default());
    assert!(desk.tell(Input::Recalled { ticket, recalled }).is_empty());

    for place in 0..3 {
        let offered = offered.clone();
        if place == 0 {
            desk.say_from(buyer(0), &answer(&offered, 486, "bob"));
        }
    }
    desk.pass(Duration::from_secs(130));

    assert_eq!(results(&desk), ["late"]);
    assert_eq!(fired(&desk, 0), ["always"]);
}

#[test]
fn a_question_that_cannot_be_answered_does_not_hold_the_call() {
    let mut desk = desk(once(0), no_hooks());
    desk.recalls = Some(Vec::new());
    desk.say(CARRIER, &invite_of(1));
    let (ticket, _) = desk.recalls.take().expect("questions").remove(0);
    let recalled = Recalled::Part(Memory::default(), "failed");

    let said = desk.tell(Input::Recalled { ticket, recalled });

    assert_eq!(ladder(&said), ["b1 INVITE"]);
    assert_eq!(results(&desk), ["failed"]);
}

#[test]
fn a_caller_who_hangs_up_meanwhile_leaves_a_record() {
    let mut desk = desk(once(0), no_hooks());
    desk.recalls = Some(Vec::new());
    let invite = invite_of(1);
    desk.say(CARRIER, &invite);

    let said = desk.say(CARRIER, &super::desk::cancel(&invite));

    assert_eq!(ladder(&said), ["carrier 200 CANCEL", "carrier 487 INVITE"]);
    assert!(desk.recorded().starts_with("caller_hung_up 487"));
    assert_eq!(desk.rest(), Gauges::default());
}

// --- what is told and paid once

#[test]
fn a_webhook_fires_once_in_a_while_for_a_caller() {
    let hooks = CampaignHooks::new(vec![hook(Trigger::Connect, WINDOW)], Vec::new());
    let (_, desk) = call(desk(|_| {}, hooks), 1, 5);
    let (_, mut desk) = call(desk, 2, 5);
    desk.pass(WINDOW);
    let (_, desk) = call(desk, 3, 5);

    let all: Vec<_> = (0..3).map(|record| fired(&desk, record).len()).collect();
    assert_eq!(all, [1, 0, 1]);
    let story = desk.records[0].story.as_ref().expect("a story");
    assert_eq!(
        &*story.deliveries[0].request.url,
        "http://crm.example/?repeat=false"
    );
    let story = desk.records[2].story.as_ref().expect("a story");
    assert_eq!(
        &*story.deliveries[0].request.url,
        "http://crm.example/?repeat=true"
    );
}

#[test]
fn a_caller_who_converts_again_is_a_duplicate_and_worth_nothing_to_the_buyer() {
    let hooks = CampaignHooks::new(Vec::new(), vec![ten_seconds()]);
    let mut desk = desk(|_| {}, hooks);
    for (number, seconds) in [(1, 5), (2, 20), (3, 20)] {
        desk = call(desk, number, seconds).1;
    }
    desk.pass(WINDOW);
    let (_, desk) = call(desk, 4, 20);

    let worth: Vec<_> = desk
        .records
        .iter()
        .map(|record| {
            let progress = &record.story.as_ref().expect("a story").progress;
            let worth = [&progress.payout, &progress.revenue].map(|one| one.as_deref());
            (worth, progress.duplicate)
        })
        .collect();
    assert_eq!(
        worth,
        [
            ([None, None], None),
            ([Some("7.00"), Some("12.00")], Some(false)),
            ([Some("7.00"), Some("0.00")], Some(true)),
            ([Some("7.00"), Some("12.00")], Some(false)),
        ]
    );
}

#[test]
fn of_two_calls_at_once_only_one_is_paid_for() {
    let hooks = CampaignHooks::new(Vec::new(), vec![ten_seconds()]);
    let (to, first) = talk(desk(|_| {}, hooks), 1);
    let (invite, ok, offered) = (first.invite, first.ok, first.offered);
    let (_, mut second) = talk(first.desk, 2);
    second.desk.pass(Duration::from_secs(20));

    let first = Talk {
        desk: second.desk,
        invite,
        ok,
        offered,
    };
    let desk = hang_up(first, to);
    second = Talk {
        desk,
        invite: second.invite,
        ok: second.ok,
        offered: second.offered,
    };
    let mut desk = hang_up(second, to);

    let duplicates: Vec<_> = desk
        .records
        .iter()
        .map(|record| record.story.as_ref().expect("a story").progress.duplicate)
        .collect();
    assert_eq!(duplicates, [Some(false), Some(true)]);
    assert_eq!(desk.rest(), Gauges::default());
}
