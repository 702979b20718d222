use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::routing::book::{Book, Claim};
use crate::routing::buyer::Gateway;
use crate::routing::callers::CallerList;
use crate::routing::campaign::Exits;
use crate::routing::caps::{CapOn, Caps, Most, Party, Quota, Unknown};
use crate::routing::directory::{CampaignId, Source};
use crate::routing::facts::{Past, PastCall};
use crate::routing::hours::{Blocks, Hours};
use crate::routing::route::{Part, Together};
use crate::routing::rules::{After, Group, Once, Rules, Schedule};
use crate::routing::trunk::CompanyId;
use crate::routing::window::Window;
use crate::routing::zone::Zone;
use crate::types::condition::Conditions;
use crate::types::ids::{CallUuid, Entropy};
use crate::types::number::Number;
use crate::types::range::NumberSet;
use crate::types::tag::{Origin, Tags};

#[test]
fn a_campaign_with_nothing_to_choose_shares_its_order() {
    let scene = Scene::new(vec![buyer("a"), buyer("b")]);

    let decision = scene.decide();

    let route = scene.facts.campaign.route.buyers();
    assert!(
        decision
            .order
            .iter()
            .zip(route.iter())
            .all(|(one, other)| Arc::ptr_eq(one, other))
    );
    assert_eq!(decision.order.len(), 2);
    assert!(decision.looks.is_empty() && decision.refused.is_none());
}

#[test]
fn priority_goes_before_weight_and_weight_before_the_list() {
    let ranked = |id: &str, priority, weight| {
        let mut one = buyer(id);
        one.priority = priority;
        one.weight = weight;
        one
    };
    let scene = Scene::new(vec![
        ranked("late", 3, None),
        ranked("listed-1", 2, None),
        ranked("heavy", 1, Some(100)),
        ranked("light", 1, None),
        ranked("listed-2", 2, None),
        ranked("first", -1, None),
    ]);

    // From the golden vectors: with this seed a comes before b.
    let order = scene.order_for(b"s3");

    assert_eq!(order[0], "first");
    assert_eq!(order[3..], ["listed-1", "listed-2", "late"]);
    let light_first = (0..2000)
        .filter(|call: &i32| scene.order_for(call.to_string().as_bytes())[1] == "light")
        .count();
    assert!((5..=40).contains(&light_first), "{light_first}");
}

#[test]
fn members_who_fit_are_called_together_and_a_group_has_its_share_as_one() {
    let closed = Arc::new(with(buyer("closed"), |rules| rules.is_paused = true));
    let members = ["a", "b"].map(|id| Arc::new(buyer(id)));
    let group = |weight| {
        Part::Together(Together {
            id: "group".into(),
            priority: 1,
            weight: Some(weight),
            members: vec![
                Arc::clone(&members[0]),
                Arc::clone(&closed),
                Arc::clone(&members[1]),
            ],
        })
    };
    let mut scene = Scene::new(vec![buyer("alone")]);
    let mut campaign = Campaign::new("together", CompanyId(0), Vec::new());
    campaign.route = Route::of(vec![group(3), Part::One(Arc::new(buyer("alone")))]);
    scene.facts.campaign = Arc::new(campaign);

    let mut first = 0;
    for call in 0..2000 {
        let seed = call.to_string();
        let decision = decide(
            &scene.directory,
            scene.now,
            seed.as_bytes(),
            &scene.facts,
            &Unknown,
        );
        let joined = |place| decision.joined.is_joined(place);
        match &ids(&decision)
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()[..]
        {
            ["a", "b", "alone"] => {
                assert!(!joined(0) && joined(1) && !joined(2));
                first += 1;
            }
            ["alone", "a", "b"] => assert!(!joined(0) && !joined(1) && joined(2)),
            other => panic!("{other:?}"),
        }
        let verdicts: Vec<_> = decision.looks[0]
            .iter()
            .map(|(_, one)| one.label())
            .collect();
        assert_eq!(verdicts.iter().filter(|one| **one == "paused").count(), 1);
    }
    assert!((1420..1580).contains(&first), "3 to 1: {first}");
}

#[test]
fn every_buyer_has_the_first_verdict_that_speaks_against_it() {
    let mut full = buyer("full");
    full.caps = calls(1);
    let mut scene = Scene::new(vec![
        buyer("open"),
        with(buyer("paused"), |rules| {
            rules.is_paused = true;
            rules.hours = closed();
        }),
        with(buyer("closed"), |rules| {
            rules.hours = closed();
            rules.callers.suppressed = vec![pests()];
        }),
        with(buyer("denies"), |rules| {
            rules.callers.suppressed = vec![pests()];
            rules.conditions = conditions(&["age:>70"]);
        }),
        with(buyer("elsewhere"), |rules| {
            rules.callers.accepted = vec![list("york", "+1718*")];
        }),
        with(buyer("older"), |rules| {
            rules.conditions = conditions(&["geo:us-ny", "age:>70"]);
            rules.once = once();
        }),
        with(buyer("again"), |rules| rules.once = once()),
        full,
        with(buyer("daily"), |rules| rules.quota = quota(2)),
        with(buyer("member"), |rules| rules.groups = vec![group()]),
    ]);
    scene.facts.past = past(&[("again", 3), ("full", 40)]);
    let mut book = Book::default();
    let buyer_full = Party::Buyer("full".into());
    take(&mut book, &buyer_full, calls(1), None, 1);
    take(
        &mut book,
        &Party::Buyer("daily".into()),
        Caps::default(),
        quota(2),
        2,
    );
    take(&mut book, &Party::Group("pool".into()), calls(3), None, 3);

    let campaign = Arc::clone(&scene.facts.campaign);
    let decision = decide(&scene.directory, scene.now, b"s", &scene.facts, &book);

    let told: Vec<_> = decision.looks[0]
        .iter()
        .map(|(buyer, verdict)| {
            let (want, have) = verdict.want_have(buyer).unwrap_or_default();
            format!("{} {} | {want} | {have}", buyer.id, verdict.label())
        })
        .collect();
    assert_eq!(
        told,
        [
            "open fits |  | ",
            "paused paused |  | ",
            "closed closed | sat 09:00-12:00 | mon 09:00 America/New_York",
            "denies list_denied | not on pests | on pests",
            "elsewhere list_denied | on york | on none",
            "older tag_mismatch | age:>70 | 66",
            "again duplicate | another caller | had it 2024-11-01T14:00:00Z",
            "full concurrency | below 1 | 1",
            "daily cap_day | below 2 | 2",
            "member group_cap | pool concurrency below 3 | 3",
        ]
    );
    assert_eq!(ids(&decision), ["open"]);
    assert!(Arc::ptr_eq(&decision.looks[0].campaign, &campaign));
    assert_eq!(decision.looks[0].exit, None);
}

#[test]
fn a_number_that_has_as_many_calls_as_it_takes_is_full_for_every_buyer() {
    let mut scene = Scene::new(vec![buyer("a"), buyer("b")]);
    scene.facts.quota = quota(2);
    let number = Party::number(scene.facts.dialled);
    let mut book = Book::default();
    take(&mut book, &number, Caps::default(), quota(2), 1);
    let decide = |book: &Book| decide(&scene.directory, scene.now, b"s", &scene.facts, book);
    assert_eq!(ids(&decide(&book)), ["a", "b"]);

    take(&mut book, &number, Caps::default(), quota(2), 1);
    let decision = decide(&book);

    let refused = decision.refused.expect("refused");
    assert_eq!(refused.cause, Cause::AllCapped);
    let (buyer, verdict) = decision.looks[0].iter().next().expect("a verdict");
    let (want, have) = verdict.want_have(buyer).expect("what was wanted");
    assert_eq!(
        (verdict.label(), &*want, &*have),
        ("number_cap", "number cap_day below 2", "2")
    );
}

#[test]
fn what_is_not_counted_is_no_reason_against_anybody() {
    let mut full = buyer("full");
    full.caps = calls(1);
    let scene = Scene::new(vec![with(full, |rules| rules.quota = quota(0))]);

    assert_eq!(ids(&scene.decide()), ["full"]);
}

#[test]
fn a_buyer_that_is_left_alone_comes_last_of_all_reasons() {
    struct Down;
    impl Counters for Down {
        fn calls(&self, _party: &Party) -> Option<u32> {
            Some(0)
        }
        fn counted(&self, _party: &Party, _window: Window) -> Option<u32> {
            Some(0)
        }
        fn is_down(&self, buyer: &str) -> bool {
            buyer == "down"
        }
    }
    let scene = Scene::new(vec![buyer("down"), buyer("up")]);

    let decision = decide(&scene.directory, scene.now, b"s", &scene.facts, &Down);

    assert_eq!(ids(&decision), ["up"]);
    assert_eq!(decision.looks[0].verdicts[0].label(), "circuit_open");
}

#[test]
fn limits_outweigh_conditions_and_conditions_outweigh_hours() {
    let paused = || with(buyer("paused"), |rules| rules.is_paused = true);
    let older = || {
        with(buyer("older"), |rules| {
            rules.conditions = conditions(&["age:>70"]);
        })
    };
    let capped = || with(buyer("capped"), |rules| rules.quota = quota(0));
    let again = || with(buyer("again"), |rules| rules.once = once());
    for (buyers, cause, status) in [
        (vec![paused()], Cause::AllClosed, 603),
        (vec![paused(), again()], Cause::AllDuplicate, 603),
        (vec![paused(), again(), older()], Cause::NoMatch, 603),
        (
            vec![paused(), again(), capped(), older()],
            Cause::AllCapped,
            486,
        ),
    ] {
        let mut scene = Scene::new(buyers);
        scene.facts.past = past(&[("again", 3)]);
        let book = Book::default();

        let decision = decide(&scene.directory, scene.now, b"s", &scene.facts, &book);

        assert_eq!(decision.order.len(), 0);
        let refused = decision.refused.expect("nobody");
        assert_eq!((refused.cause, refused.answer), (cause, None));
        assert_eq!(refused.cause.status(), status);
    }
}

#[test]
fn an_exit_dials_others_or_leaves_to_another_campaign_or_refuses() {
    let shut = || vec![with(buyer("shut"), |rules| rules.is_paused = true)];
    let answer = Answer {
        status: Some(480),
        reason: Some("come_again".into()),
        suppress: None,
    };

    let mut scene = Scene::new(shut());
    scene.exit(0, |exits| exits.all_closed = dial(vec![buyer("night")]));
    let decision = scene.decide();
    assert_eq!(ids(&decision), ["night"]);
    assert_eq!(decision.looks.len(), 1);

    let mut scene = Scene::new(shut());
    let other = scene.campaign("other", vec![buyer("elsewhere")]);
    scene.exit(0, |exits| exits.all_closed = Some(Exit::Campaign(other)));
    let decision = scene.decide();
    assert_eq!(ids(&decision), ["elsewhere"]);
    assert_eq!(&*decision.trail.campaign.id, "other");

    let mut scene = Scene::new(shut());
    scene.exit(0, |exits| {
        exits.all_closed = Some(Exit::Reject(answer.clone()));
    });
    let refused = scene.decide().refused.expect("refused");
    assert_eq!(
        (refused.cause, refused.answer),
        (Cause::AllClosed, Some(answer))
    );
}

#[test]
fn calls_that_go_in_circles_come_to_an_end() {
    let mut scene = Scene::new(vec![with(buyer("shut"), |rules| rules.is_paused = true)]);
    scene.exit(0, |exits| {
        exits.all_closed = Some(Exit::Campaign(CampaignId(0)))
    });

    let decision = scene.decide();

    assert_eq!(decision.looks.len(), 1 + usize::from(MOST_JUMPS));
    assert_eq!(
        decision.refused.map(|refused| refused.cause),
        Some(Cause::AllClosed)
    );
}

#[test]
fn an_exit_whose_buyers_do_not_fit_either_goes_on_by_their_cause() {
    let mut scene = Scene::new(vec![with(buyer("shut"), |rules| rules.is_paused = true)]);
    let older = with(buyer("older"), |rules| {
        rules.conditions = conditions(&["age:>70"])
    });
    scene.exit(0, |exits| {
        exits.all_closed = dial(vec![older]);
        exits.no_match = dial(vec![buyer("anybody")]);
    });

    let decision = scene.decide();

    assert_eq!(ids(&decision), ["anybody"]);
    let exits: Vec<_> = decision.looks.iter().map(|look| look.exit).collect();
    assert_eq!(exits, [None, Some(Cause::AllClosed)]);
}

#[test]
fn after_buyers_were_tried_in_vain_the_decision_goes_on_where_it_was() {
    let mut scene = Scene::new(vec![buyer("a"), buyer("b")]);
    scene.exit(0, |exits| {
        exits.no_answer = dial(vec![buyer("b"), buyer("last")])
    });
    let first = scene.decide();
    scene.facts.tried = vec!["a".into(), "b".into()];

    let second = scene.follow(Some(&first), Cause::NoAnswer);
    assert_eq!(ids(&second), ["last"]);
    assert_eq!(second.looks[0].verdicts[0].label(), "tried");

    // Each exit is taken once.
    scene.facts.tried.push("last".into());
    let third = scene.follow(Some(&second), Cause::NoAnswer);
    assert_eq!(
        third.refused.map(|refused| refused.cause),
        Some(Cause::NoAnswer)
    );
}

#[test]
fn a_caller_that_is_kept_out_has_an_exit_too() {
    let mut scene = Scene::new(vec![buyer("a")]);
    let refused = scene
        .follow(None, Cause::Suppressed)
        .refused
        .expect("refused");
    assert_eq!(refused.cause.reason(), "caller_blocked");

    scene.exit(0, |exits| exits.suppressed = dial(vec![buyer("desk")]));
    assert_eq!(ids(&scene.follow(None, Cause::Suppressed)), ["desk"]);
}

#[test]
fn a_campaign_that_a_call_is_left_to_screens_the_caller_as_well() {
    let mut scene = Scene::new(vec![with(buyer("shut"), |rules| rules.is_paused = true)]);
    let other = scene.campaign("other", vec![buyer("elsewhere")]);
    scene.exit(0, |exits| exits.all_closed = Some(Exit::Campaign(other)));
    scene.change(1, |campaign| campaign.callers.suppressed = vec![pests()]);

    let refused = scene.decide().refused.expect("refused");

    assert_eq!(refused.cause, Cause::Suppressed);
}

#[test]
fn a_caller_that_was_here_before_goes_where_the_policy_says() {
    for (policy, order, label) in [
        (RepeatPolicy::Normal, &["a", "b", "c"][..], "fits"),
        (RepeatPolicy::OriginalFirst, &["b", "a", "c"], "fits"),
        (RepeatPolicy::Original, &["b"], "not_original"),
        (RepeatPolicy::Different, &["a", "c"], "fits"),
    ] {
        let mut scene = Scene::new(vec![buyer("a"), buyer("b"), buyer("c")]);
        scene.change(0, |campaign| {
            campaign.repeat.policy = policy;
            campaign.repeat.within = Duration::from_secs(30 * 24 * 3600);
        });
        scene.facts.past = past(&[("a", 40), ("b", 3)]);

        let decision = scene.decide();

        assert_eq!(ids(&decision), order, "{policy:?}");
        if let Some(look) = decision.looks.first() {
            assert_eq!(look.verdicts[0].label(), label);
        }
    }
}

#[test]
fn an_original_that_is_closed_leaves_the_caller_to_nobody_or_to_the_others() {
    for (policy, order) in [
        (RepeatPolicy::OriginalFirst, &["a"][..]),
        (RepeatPolicy::Original, &[]),
    ] {
        let paused = with(buyer("b"), |rules| rules.is_paused = true);
        let mut scene = Scene::new(vec![buyer("a"), paused]);
        scene.change(0, |campaign| {
            campaign.repeat.policy = policy;
            campaign.repeat.within = Duration::from_secs(30 * 24 * 3600);
        });
        scene.facts.past = past(&[("b", 3)]);

        assert_eq!(ids(&scene.decide()), order, "{policy:?}");
    }
}

#[test]
fn a_buyer_is_looked_at_again_when_its_turn_comes() {
    let mut scene = Scene::new(vec![with(buyer("a"), |rules| {
        rules.forward = conditions(&["accepted:yes"]);
        rules.conditions = conditions(&["age:>60"]);
    })]);
    let campaign = Arc::clone(&scene.facts.campaign);
    let one = &campaign.route.buyers()[0];

    let look = |scene: &Scene| recheck(scene.now, &scene.facts, &Unknown, &campaign, one);
    assert!(look(&scene).fits());
    assert_eq!(
        forward(&scene.facts, one).map_err(|mismatch| one.rules.forward.want(&mismatch).1),
        Err("==yes".to_owned())
    );

    scene.facts.tags = tags(&[("accepted", "yes")]);
    assert_eq!(look(&scene).label(), "tag_mismatch");
    assert_eq!(forward(&scene.facts, one), Ok(()));
}

proptest! {
    #[test]
    fn the_same_call_is_decided_alike_and_each_buyer_has_one_verdict(
        policy in policies(),
        seed in "[0-9a-f]{8}",
    ) {
        let scene = Scene::of(&policy);

        let (one, other) = (scene.decide_for(seed.as_bytes()), scene.decide_for(seed.as_bytes()));

        prop_assert_eq!(format!("{one:?}"), format!("{other:?}"));
        prop_assert_eq!(one.order.is_empty(), one.refused.is_some());
        let look = &one.looks[0];
        prop_assert_eq!(look.verdicts.len(), policy.len());
        let mut fits: Vec<_> = look.iter().filter(|(_, verdict)| verdict.fits()).map(|(one, _)| one.id.clone()).collect();
        let mut order: Vec<_> = one.order.iter().map(|one| one.id.clone()).collect();
        fits.sort();
        order.sort();
        prop_assert_eq!(fits, order);
        prop_assert!(one.order.iter().is_sorted_by_key(|buyer| buyer.priority));
    }

    #[test]
    fn one_buyer_that_pauses_leaves_the_others_in_their_order(
        policy in policies(),
        seed in "[0-9a-f]{8}",
        pick: prop::sample::Index,
    ) {
        let mut paused = policy.clone();
        let gone = pick.index(policy.len());
        paused[gone].is_paused = true;

        let before = Scene::of(&policy).decide_for(seed.as_bytes());
        let after = Scene::of(&paused).decide_for(seed.as_bytes());

        let name = format!("buyer-{gone}");
        let mut expected = ids(&before);
        expected.retain(|id| *id != name);
        prop_assert_eq!(ids(&after), expected);
    }
}

/// What a random buyer is like.
#[derive(Debug, Clone)]
struct Sketch {
    priority: i32,
    weight: Option<u32>,
    is_paused: bool,
    is_closed: bool,
    condition: Option<&'static str>,
}

fn policies() -> impl Strategy<Value = Vec<Sketch>> {
    let condition = prop::option::of(prop::sample::select(vec![
        "geo:us-ny",
        "age:>70",
        "age:<70",
    ]));
    let weight = prop::option::of(1_u32..5);
    let one = (
        0..3,
        weight,
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
        condition,
    );
    let sketch = one.prop_map(
        |(priority, weight, is_paused, is_closed, condition)| Sketch {
            priority,
            weight,
            is_paused,
            is_closed,
            condition,
        },
    );
    prop::collection::vec(sketch, 1..12)
}

struct Scene {
    directory: Directory,
    facts: Facts,
    now: Moment,
}

impl Scene {
    fn new(buyers: Vec<Buyer>) -> Self {
        let number = |text: &str| Number::from_e164(text.as_bytes()).expect("a number");
        let buyers = buyers.into_iter().map(Arc::new).collect();
        let campaign = Arc::new(Campaign::new("solar", CompanyId(0), buyers));
        let facts = Facts {
            uuid: CallUuid::new(&mut Entropy::from_seed([1; 32])),
            key: None,
            company: "acme".into(),
            campaign: Arc::clone(&campaign),
            source: Source {
                afid: "bright-leads".into(),
                sid: None,
            },
            trunk: "carrier".into(),
            dialled: number("+18882223333"),
            quota: None,
            caller: Some(number("+12125550100")),
            tags: tags(&[("age", "66")]),
            began: Moment::default(),
            tried: Vec::new(),
            past: Past::default(),
            node: "edge".into(),
            generation: 1,
        };
        Self {
            directory: Directory {
                campaigns: vec![campaign],
                ..Directory::default()
            },
            facts,
            // A Monday, 9 in New York.
            now: "2024-11-04T14:00:00Z".parse().expect("a moment"),
        }
    }

    fn of(policy: &[Sketch]) -> Self {
        let buyers = policy.iter().enumerate().map(|(place, sketch)| {
            let mut one = with(buyer(&format!("buyer-{place}")), |rules| {
                rules.is_paused = sketch.is_paused;
                rules.hours = sketch.is_closed.then(closed).flatten();
                rules.conditions = conditions(sketch.condition.as_slice());
                // So that there is something to look at in any case.
                rules.callers.suppressed = vec![list("others", "+1312*")];
            });
            one.priority = sketch.priority;
            one.weight = sketch.weight;
            one
        });
        Self::new(buyers.collect())
    }

    fn decide(&self) -> Decision {
        self.decide_for(b"seed")
    }

    fn decide_for(&self, seed: &[u8]) -> Decision {
        decide(&self.directory, self.now, seed, &self.facts, &Unknown)
    }

    fn follow(&self, before: Option<&Decision>, cause: Cause) -> Decision {
        let from = (before, cause);
        follow(
            &self.directory,
            self.now,
            b"seed",
            &self.facts,
            &Unknown,
            from,
        )
    }

    fn order_for(&self, seed: &[u8]) -> Vec<String> {
        ids(&self.decide_for(seed))
    }

    fn campaign(&mut self, id: &str, buyers: Vec<Buyer>) -> CampaignId {
        let buyers = buyers.into_iter().map(Arc::new).collect();
        let campaign = Campaign::new(id, CompanyId(0), buyers);
        self.directory.campaigns.push(Arc::new(campaign));
        CampaignId(u32::try_from(self.directory.campaigns.len() - 1).expect("few"))
    }

    fn exit(&mut self, place: usize, change: impl FnOnce(&mut Exits)) {
        self.change(place, |campaign| change(&mut campaign.exits));
    }

    fn change(&mut self, place: usize, change: impl FnOnce(&mut Campaign)) {
        // The facts hold the first one, too.
        let idle = Arc::new(Campaign::new("idle", CompanyId(0), Vec::new()));
        let is_first = place == 0;
        if is_first {
            self.facts.campaign = Arc::clone(&idle);
        }
        let campaign = &mut self.directory.campaigns[place];
        change(Arc::get_mut(campaign).expect("nobody else has it"));
        if is_first {
            self.facts.campaign = Arc::clone(campaign);
        }
    }
}

fn buyer(id: &str) -> Buyer {
    let address = "192.0.2.9:5060".parse().expect("an address");
    let gateway = Gateway::udp("sip:sales@192.0.2.9", "192.0.2.9", address);
    Buyer::new(id, vec![Arc::new(gateway)])
}

fn with(mut buyer: Buyer, change: impl FnOnce(&mut Rules)) -> Buyer {
    change(&mut buyer.rules);
    buyer
}

fn ids(decision: &Decision) -> Vec<String> {
    decision
        .order
        .iter()
        .map(|one| one.id.to_string())
        .collect()
}

fn dial(buyers: Vec<Buyer>) -> Option<Exit> {
    let buyers = buyers.into_iter().map(Arc::new).collect();
    Some(Exit::Dial(Route::new(buyers)))
}

fn tags(of: &[(&str, &str)]) -> Tags {
    let mut tags = Tags::default();
    for (key, value) in of {
        tags.add(key, value, Origin::Hook).expect("a tag");
    }
    tags
}

fn conditions(texts: &[&str]) -> Conditions {
    Conditions::parse(texts.iter().copied()).expect("conditions")
}

fn york() -> Zone {
    Zone::named("America/New_York").expect("a zone")
}

/// Saturday morning only.
fn closed() -> Option<Schedule> {
    let blocks: Blocks = "sat 09:00-12:00".parse().expect("hours");
    Some(Schedule {
        hours: Hours::of(&blocks.0).expect("hours"),
        zone: york(),
    })
}

fn list(id: &str, numbers: &str) -> Arc<CallerList> {
    let mut set = NumberSet::default();
    assert!(set.insert(numbers));
    Arc::new(CallerList {
        id: id.into(),
        numbers: set,
        guests: None,
    })
}

fn pests() -> Arc<CallerList> {
    list("pests", "+1212*")
}

fn once() -> Option<Once> {
    Some(Once {
        within: Duration::from_secs(30 * 24 * 3600),
        after: After::Answer,
    })
}

fn quota(day: u32) -> Option<Arc<Quota>> {
    Some(Arc::new(Quota {
        most: Most {
            day: Some(day),
            ..Most::default()
        },
        on: CapOn::Answer,
        zone: york(),
    }))
}

fn group() -> Arc<Group> {
    Arc::new(Group {
        id: "pool".into(),
        caps: calls(3),
        quota: None,
    })
}

fn calls(most: u32) -> Caps {
    Caps {
        max_calls: Some(most),
        max_cps: None,
    }
}

/// Calls of this caller so many days ago.
fn past(calls: &[(&str, u64)]) -> Past {
    let now: Moment = "2024-11-04T14:00:00Z".parse().expect("a moment");
    let calls = calls.iter().map(|(buyer, days)| PastCall {
        campaign: "solar".into(),
        buyer: (*buyer).into(),
        answered: now.before(Duration::from_secs(days * 24 * 3600)),
        converted: None,
    });
    Past {
        calls: calls.collect(),
        ..Past::default()
    }
}

fn take(book: &mut Book, party: &Party, caps: Caps, quota: Option<Arc<Quota>>, times: u32) {
    for _ in 0..times {
        let claim = Claim {
            party: party.clone(),
            caps,
            quota: quota.clone(),
        };
        let now = "2024-11-04T14:00:00Z".parse().expect("a moment");
        let hold = book.reserve(now, &[claim], &mut Vec::new());
        let _kept = hold.expect("a place");
    }
}
