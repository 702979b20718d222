//! What `explain` says of a call that has not happened is what then happens: over random policies and calls.

use std::sync::Arc;
use std::time::Duration;

use strowger::call::explain::{Question, explain};
use strowger::call::memory::{Memory, Remembered};
use strowger::routing::buyer::Buyer;
use strowger::routing::callers::{CallerList, Lists};
use strowger::routing::campaign::{Answer, Exit, Repeat, RepeatPolicy, Route};
use strowger::routing::caps::Unknown;
use strowger::routing::directory::{Terms, TermsId};
use strowger::routing::route::{Part, Together};
use strowger::routing::rules::{After, Once, Rules};
use strowger::types::condition::Conditions;
use strowger::types::ids::CallUuid;
use strowger::types::moment::Moment;
use strowger::types::range::NumberSet;
use strowger::types::tag::{Origin, Tags};

use super::desk::{Desk, answer, buyer, find, invite, ladder, specs};
use super::dice::Dice;
use super::policy::{CARRIER, PolicySpec, number};

const HOUR: Duration = Duration::from_secs(3600);

/// Random policies, each with a call.
const SEEDS: u64 = 10_000;

#[test]
fn what_is_explained_is_what_happens() {
    let (mut called, mut refused, mut exits, mut past, mut at_once) = (0, 0, 0, 0, 0);
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let buyers = 1 + usize::try_from(dice.below(6)).expect("few");
        let spec = PolicySpec {
            lines: vec![specs(buyers)],
            ..PolicySpec::default()
        };
        let mut policy = spec.build();
        {
            let policy = Arc::get_mut(&mut policy).expect("nobody else has it");
            let directory = &mut policy.directory;
            let campaign = Arc::get_mut(&mut directory.campaigns[0]).expect("nobody else has it");
            let members = campaign.route.buyers().to_vec();
            let mut members: Vec<_> = members
                .iter()
                .map(|plain| Arc::new(drawn(&mut dice, plain)))
                .collect();
            let all = members.iter().map(|one| (one.id.clone(), Arc::clone(one)));
            directory.buyers = all.collect();
            if members.len() > 2 && dice.chance(40) {
                let last = members.pop().expect("one of several");
                campaign.exits.no_match = Some(Exit::Dial(Route::new(vec![last])));
                campaign.exits.all_closed = Some(Exit::Reject(Answer {
                    status: Some(480),
                    reason: Some("closed".into()),
                }));
            }
            campaign.route = match dice.below(4) {
                0 => Route::by_priority(members.into_iter().map(Part::One).collect()),
                1 => grouped(&mut dice, members),
                _ => Route::new(members),
            };
            campaign.repeat = Repeat {
                policy: dice.pick(&[
                    RepeatPolicy::Normal,
                    RepeatPolicy::Original,
                    RepeatPolicy::OriginalFirst,
                    RepeatPolicy::Different,
                ]),
                after: dice.pick(&[After::Answer, After::Conversion]),
                within: HOUR,
            };
            directory.terms.push(Terms {
                tags: tags(&mut dice),
                ..Terms::USUAL
            });
            for line in directory.numbers.values_mut() {
                line.terms = TermsId(1);
            }
        }
        let mut desk = Desk::of(Arc::clone(&policy), [7; 32]);
        let memory = earlier(&mut dice, buyers);
        desk.stored.clone_from(&memory);

        let mut said = desk.say(CARRIER, &invite());
        // Everybody who is called declines, so that all of the order is seen.
        loop {
            let called = (0..buyers).map(|place| (place, format!("b{place} INVITE")));
            let called: Vec<_> = called
                .filter(|(_, line)| ladder(&said).contains(line))
                .collect();
            if called.is_empty() {
                break;
            }
            let mut next = Vec::new();
            for (place, line) in called {
                let offered = find(&said, &line);
                next.extend(desk.say_from(buyer(place), &answer(&offered, 486, "bob")));
            }
            said = next;
        }
        let record = &desk.records[0];
        let from = record.caller.expect("it is shown").to_string();
        let explained = explain(&Question {
            policy: &policy,
            trunk: &policy.trunks[0],
            to: &number(0),
            from: Some(&from),
            at: Moment::default(),
            uuid: record.uuid,
            tags: &[],
            answers: None,
            memory: &memory,
            counters: &Unknown,
        });

        let live: Vec<&str> = record.attempts.iter().map(|one| &*one.buyer.id).collect();
        let order: Vec<&str> = explained.order.iter().map(|one| &*one.buyer).collect();
        assert_eq!(live, order, "seed {seed}: {explained}");
        // Those of one step are called in the same breath, and no others.
        let is_together = |place: usize| {
            let mut others = explained
                .order
                .iter()
                .filter(|one| one.step == explained.order[place].step);
            others.nth(1).is_some()
        };
        for (place, one) in record.attempts.iter().enumerate() {
            assert_eq!(
                one.together.is_some(),
                is_together(place),
                "seed {seed}: {explained}"
            );
        }
        at_once += record
            .attempts
            .iter()
            .filter(|one| one.together.is_some())
            .count();
        if let Some(answer) = &explained.refused {
            assert_eq!(record.status, answer.status, "seed {seed}: {explained}");
            refused += 1;
        }
        let story = record.story.as_ref().expect("its number is known");
        let verdicts: Vec<_> = story.decisions[0]
            .looks
            .iter()
            .flat_map(|look| look.iter())
            .map(|(buyer, verdict)| (buyer.id.to_string(), verdict.label()))
            .collect();
        let told: Vec<_> = explained
            .looks
            .iter()
            .flat_map(|look| &look.buyers)
            .map(|one| (one.buyer.clone(), &*one.verdict))
            .collect();
        assert_eq!(verdicts, told, "seed {seed}");
        called += live.len();
        past += usize::from(
            verdicts
                .iter()
                .any(|(_, verdict)| ["duplicate", "not_original"].contains(verdict)),
        );
        exits += usize::from(explained.looks.iter().any(|look| look.exit.is_some()));
    }
    // Else not much was tried.
    assert!(
        called > 5_000 && refused > 500 && exits > 200 && past > 1_000 && at_once > 1_000,
        "{called} {refused} {exits} {past} {at_once}"
    );
}

/// The first two are called together, with a priority and perhaps a weight of their own.
fn grouped(dice: &mut Dice, mut members: Vec<Arc<Buyer>>) -> Route {
    let rest = members.split_off(members.len().min(2));
    let group = Together {
        id: "group".into(),
        priority: i32::try_from(dice.below(3)).expect("small"),
        weight: dice.chance(50).then_some(2),
        members,
    };
    let rest = rest.into_iter().map(Part::One);
    Route::of([Part::Together(group)].into_iter().chain(rest).collect())
}

/// A buyer with rules of its own.
fn drawn(dice: &mut Dice, plain: &Buyer) -> Buyer {
    let wanted = [
        "product:loan",
        "product:!=car",
        "age:>=40",
        "geo:us",
        "publisher_id:=~pub",
    ];
    let mut conditions = Vec::new();
    for one in wanted {
        if dice.chance(25) {
            conditions.push(one);
        }
    }
    let mut callers = Lists::default();
    if dice.chance(15) {
        let mut numbers = NumberSet::default();
        assert!(numbers.insert("+1555*"));
        let list = CallerList {
            id: "list".into(),
            numbers,
        };
        let lists = if dice.chance(50) {
            &mut callers.accepted
        } else {
            &mut callers.suppressed
        };
        lists.push(Arc::new(list));
    }
    Buyer {
        priority: i32::try_from(dice.below(3)).expect("small"),
        weight: dice
            .chance(50)
            .then(|| 1 + u32::try_from(dice.below(4)).expect("small")),
        rules: Rules {
            is_paused: dice.chance(10),
            conditions: Conditions::parse(conditions).expect("conditions"),
            callers,
            once: dice.chance(20).then(|| Once {
                within: HOUR,
                after: dice.pick(&[After::Answer, After::Conversion]),
            }),
            ..Rules::default()
        },
        ..Buyer::new(&plain.id, plain.gateways.clone())
    }
}

/// Calls of this caller in the last two hours.
fn earlier(dice: &mut Dice, buyers: usize) -> Memory {
    let mut memory = Memory::default();
    for call in 0..u8::try_from(dice.below(4)).expect("few") {
        let minutes = i64::try_from(dice.below(120)).expect("few");
        let at = Moment::from_millis(-60_000 * minutes);
        let place = dice.below(u64::try_from(buyers).expect("few"));
        let other = dice.chance(20);
        let campaign = if other { "other" } else { "campaign-0" };
        memory.add(Remembered {
            answered: Some((format!("c0b{place}").into(), at)),
            converted: dice.chance(50).then(|| ("long".into(), at)),
            ..Remembered::new(CallUuid::from_bytes([call; 16]), campaign.into())
        });
    }
    memory
}

fn tags(dice: &mut Dice) -> Tags {
    let mut tags = Tags::default();
    for (key, values) in [
        ("product", ["loan", "car"]),
        ("age", ["35", "66"]),
        ("geo", ["us-10101", "ca-on"]),
    ] {
        if dice.chance(70) {
            let value = dice.pick(&values);
            tags.add(key, value, Origin::Number).expect("a tag");
        }
    }
    tags
}
