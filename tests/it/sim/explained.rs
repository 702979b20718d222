//! What `explain` says of a call that has not happened is what then happens: over random policies and calls.

use std::sync::Arc;
use std::time::Duration;

use strowger::call::explain::{Question, explain};
use strowger::call::memory::{Memory, Remembered, Waiting};
use strowger::call::policy::Policy;
use strowger::call::record::WhySkipped;
use strowger::hooks::keys::{Grants, Pass, PostKey, PostKeys};
use strowger::routing::book::Counted;
use strowger::routing::buyer::Buyer;
use strowger::routing::callers::{CallerList, Fill, Guests, Lists};
use strowger::routing::campaign::{Answer, Exit, Repeat, RepeatPolicy, Route};
use strowger::routing::caps::{CapOn, Most, Party, Quota, Stated};
use strowger::routing::directory::{Terms, TermsId};
use strowger::routing::route::{Part, Together};
use strowger::routing::rules::{After, Once, Rules};
use strowger::routing::verdict::Verdict;
use strowger::routing::window::Span;
use strowger::routing::zone::Zone;
use strowger::types::condition::Conditions;
use strowger::types::ids::CallUuid;
use strowger::types::moment::Moment;
use strowger::types::number::Number;
use strowger::types::range::NumberSet;
use strowger::types::secret::Secret;
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
    let (mut full, mut full_exits, mut posted) = (0, 0, 0);
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
                let exit = Exit::Dial(Route::new(vec![last]));
                campaign.exits.all_capped = dice.chance(50).then(|| exit.clone());
                campaign.exits.no_match = Some(exit);
                campaign.exits.all_closed = Some(Exit::Reject(Answer {
                    status: Some(480),
                    reason: Some("closed".into()),
                    suppress: None,
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
                quota: dice.chance(20).then(|| Arc::new(quota())),
                ..Terms::USUAL
            });
            for line in directory.numbers.values_mut() {
                line.terms = TermsId(1);
            }
            policy.hooks.set_keys(PostKeys::new(vec![key()]));
        }
        let mut desk = Desk::of(Arc::clone(&policy), [7; 32]);
        let mut memory = earlier(&mut dice, buyers);
        memory.tags = said_before(&mut dice);
        desk.stored.clone_from(&memory);
        let counters = fill(&mut dice, &mut desk, &policy);

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
            counters: &counters,
        });

        let mut live: Vec<&str> = record.attempts.iter().map(|one| &*one.buyer.id).collect();
        // Of those who are called at once, who has no limits does not wait until that is asked.
        let places: Vec<_> = explained.order.iter().map(|one| &*one.buyer).collect();
        let step = |id: &&str| {
            let place = places.iter().position(|one| one == id);
            place.map(|place| explained.order[place].step)
        };
        let steps: Vec<_> = live.iter().map(step).collect();
        assert!(steps.is_sorted(), "seed {seed}: {explained}");
        live.sort_by_key(|id| places.iter().position(|one| one == id));
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
        // Who was to be called with others, and alone had a place, has their number all the same.
        let attempts = record.attempts.iter().enumerate();
        for (place, one) in attempts.filter(|_| record.skipped.is_empty()) {
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
        // A live call asks for places buyer by buyer, and finds out then who has none.
        let refused_by = |id: &str| {
            // Who has no place because of those who are called at once is told so.
            if explained.passed.iter().any(|one| *one.buyer == *id) {
                return None;
            }
            let mut skipped = record.skipped.iter();
            skipped.find_map(|one| match &one.why {
                WhySkipped::Full(full) if *one.buyer.id == *id => Some(match full.party {
                    Party::Group(_) => "group_cap",
                    Party::Number(_) => "number_cap",
                    Party::Buyer(_) | Party::Trunk(_) => full.kind.label(),
                }),
                WhySkipped::Full(_)
                | WhySkipped::GatewayDown
                | WhySkipped::Judged(_)
                | WhySkipped::LimitUnknown => None,
            })
        };
        let mut verdicts = Vec::new();
        let mut look = |buyer: &Buyer, verdict: &Verdict| {
            let full = refused_by(&buyer.id).filter(|_| verdict.fits());
            verdicts.push((buyer.id.to_string(), full.unwrap_or(verdict.label())));
        };
        for decision in &story.decisions {
            let mut fits = false;
            for (buyer, verdict) in decision.looks.iter().flat_map(|look| look.iter()) {
                fits |= verdict.fits();
                look(buyer, verdict);
            }
            if !fits {
                // A route that has nothing to choose is not looked at, unless it is known who is full.
                let order = decision.order.iter();
                order.for_each(|buyer| look(buyer, &Verdict::Fits));
            }
        }
        let told = explained.looks.iter().flat_map(|look| &look.buyers);
        let told: Vec<_> = told.map(|one| (one.buyer.clone(), &*one.verdict)).collect();
        assert_eq!(verdicts, told, "seed {seed}: {explained}");
        let said: Vec<_> = explained
            .tags
            .iter()
            .map(|one| (&*one.key, &*one.value))
            .collect();
        let tags = story.facts.tags.iter();
        let tags: Vec<_> = tags.map(|one| (&*one.key, &*one.value)).collect();
        assert_eq!(said, tags, "seed {seed}");
        full += record.skipped.len();
        full_exits += usize::from(!record.skipped.is_empty() && story.decisions.len() > 1);
        posted += usize::from(explained.tags.iter().any(|one| one.origin == "stored"));
        called += live.len();
        past += usize::from(
            verdicts
                .iter()
                .any(|(_, verdict)| ["duplicate", "not_original"].contains(verdict)),
        );
        exits += usize::from(explained.looks.iter().any(|look| look.exit.is_some()));
    }
    // Else not much was tried.
    let seen = (called, refused, exits, past, at_once);
    assert!(
        called > 5_000 && refused > 500 && exits > 200 && past > 1_000 && at_once > 1_000,
        "{seen:?}"
    );
    let seen = (full, full_exits, posted);
    assert!(
        full > 1_000 && full_exits > 100 && posted > 1_000,
        "{seen:?}"
    );
}

/// Who shows it may write tags for callers.
fn key() -> PostKey {
    PostKey {
        id: "key".into(),
        secret: Secret::new(*b"a key of twenty bytes"),
        pass: Pass {
            company: "company".into(),
            campaigns: [].into(),
            grants: Grants::ALL,
        },
        rate: 1,
        keep: HOUR,
    }
}

/// One call in an hour.
fn quota() -> Quota {
    Quota {
        most: Most {
            hour: Some(1),
            ..Most::default()
        },
        on: CapOn::Answer,
        zone: Zone::utc(),
    }
}

/// Some of those who take one call in an hour have had it.
fn fill(dice: &mut Dice, desk: &mut Desk, policy: &Policy) -> Stated {
    let mut stated = Stated::default();
    // Who says nothing knows nothing.
    stated.calls.insert(Party::Trunk("carrier".into()), 0);
    let window = Span::Hour.window(Zone::utc().local(Moment::default()));
    let buyers = policy.directory.buyers.values();
    let limited = buyers.filter(|buyer| buyer.rules.quota.is_some());
    let mut parties: Vec<_> = limited
        .map(|buyer| Party::Buyer(buyer.id.clone()))
        .collect();
    let dialled = Number::from_e164(number(0).as_bytes()).expect("a number");
    parties.extend(
        policy
            .directory
            .quota_of(dialled)
            .map(|_| Party::number(dialled)),
    );
    for party in parties {
        if dice.chance(60) {
            stated.counted.insert((party.clone(), Span::Hour), 1);
            desk.ledger.count(&Counted { party, window });
        }
    }
    stated
}

/// What somebody has said of the caller, for its next call.
fn said_before(dice: &mut Dice) -> Vec<Waiting> {
    let said = [
        ("product", "loan"),
        ("product", "car"),
        ("age", "20"),
        ("geo", "us-ca"),
    ];
    let said = said.into_iter().filter(|_| dice.chance(20));
    let waiting = said.map(|(key, value)| Waiting {
        key: key.into(),
        value: value.into(),
        until: Moment::default().after(HOUR),
    });
    waiting.collect()
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
        assert!(numbers.insert(dice.pick(&["+1555*", "+1444*"])));
        let list = CallerList {
            id: "list".into(),
            numbers,
            guests: guests(dice),
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
            quota: dice.chance(15).then(|| Arc::new(quota())),
            ..Rules::default()
        },
        ..Buyer::new(&plain.id, plain.gateways.clone())
    }
}

/// Who was here before may come onto a list for a while.
fn guests(dice: &mut Dice) -> Option<Guests> {
    let fills = [None, Some(Fill::Connected), Some(Fill::Converted)];
    let fill = dice.pick(&fills);
    fill.map(|_| Guests::new("list", HOUR, fill, [].into()))
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
