use super::*;
use crate::hooks::conversion::{Converted, Worth};
use crate::hooks::model::tests::hook;
use crate::hooks::past::Forgotten;
use crate::types::tag::{Origin, Tags};

#[test]
fn after_an_answered_call_all_that_apply_fire_in_order_and_always_last() {
    let hooks = hooks(&[
        ("all-1", Trigger::Always, 0, &[]),
        ("sold", Trigger::Conversion, 0, &[]),
        ("not-sold", Trigger::NonConversion, 0, &[]),
        ("crm-late", Trigger::Connect, 5, &[]),
        ("crm", Trigger::Connect, -1, &[]),
        ("crm-young", Trigger::Connect, 0, &["age:<30"]),
        ("all-0", Trigger::Always, -9, &[]),
        ("ping", Trigger::Start, 0, &[]),
    ]);

    assert_eq!(
        fired(&hooks, true, converted()),
        ["crm", "crm-late", "sold", "all-0", "all-1"]
    );
    assert_eq!(
        fired(&hooks, true, Verdict::Missed),
        ["crm", "crm-late", "not-sold", "all-0", "all-1"]
    );
    assert_eq!(
        fired(&hooks, false, Verdict::Missed),
        ["not-sold", "all-0", "all-1"]
    );
}

#[test]
fn while_a_postback_is_awaited_neither_conversion_nor_non_conversion_fires() {
    let hooks = hooks(&[
        ("sold", Trigger::Conversion, 0, &[]),
        ("not-sold", Trigger::NonConversion, 0, &[]),
        ("all", Trigger::Always, 0, &[]),
    ]);
    let wait = Verdict::Awaited(Duration::from_secs(60));
    let once = |verdict| {
        let tags = Tags::default();
        let settled = firing(&tags, &Forgotten).once_settled(&hooks, &conversion(verdict));
        ids(settled)
    };

    assert_eq!(fired(&hooks, true, wait.clone()), ["all"]);
    assert_eq!(once(converted()), ["sold"]);
    assert_eq!(once(Verdict::Missed), ["not-sold"]);
    assert_eq!(once(wait), [""; 0]);
}

#[test]
fn one_that_has_fired_for_this_caller_a_short_while_ago_does_not_again() {
    struct Earlier;
    impl Past for Earlier {
        fn last_fired(&self, webhook: &str, _: Number) -> Option<Moment> {
            (webhook == "crm").then(|| now().before(Duration::from_secs(60)))
        }

        fn last_converted(&self, _: &str, _: &str, _: Number) -> Option<Moment> {
            None
        }
    }
    let due = |dedupe, caller| {
        let mut one = hook("crm", Trigger::Connect);
        one.dedupe = Some(Duration::from_secs(dedupe));
        let hooks = CampaignHooks::new(vec![Arc::new(one)], Vec::new());
        let tags = Tags::default();
        let firing = Firing {
            caller,
            ..firing(&tags, &Earlier)
        };
        firing.due(&hooks, Trigger::Connect).count()
    };
    let caller = Number::from_e164(b"+12125550100");

    assert_eq!(due(61, caller), 0);
    assert_eq!(due(60, caller), 1);
    assert_eq!(due(61, None), 1);
}

#[test]
fn timers_go_by_their_time_and_the_buyers_offset() {
    let mut list = Vec::new();
    for (id, after) in [("late", 90), ("at-once", 0), ("early", 30)] {
        let mut one = hook(id, Trigger::Timer);
        one.after = Duration::from_secs(after);
        list.push(Arc::new(one));
    }
    let hooks = CampaignHooks::new(list, Vec::new());

    let timers = timers(&hooks, Duration::from_secs(5));

    let timers: Vec<_> = timers
        .iter()
        .map(|(at, hook)| (at.as_secs(), &*hook.id))
        .collect();
    assert_eq!(timers, [(0, "at-once"), (35, "early"), (95, "late")]);
}

fn fired(hooks: &CampaignHooks, was_answered: bool, verdict: Verdict) -> Vec<String> {
    let mut tags = Tags::default();
    tags.add("age", "66", Origin::Hook).expect("a tag");
    ids(firing(&tags, &Forgotten).after_call(hooks, was_answered, &conversion(verdict)))
}

fn ids(hooks: Vec<&Arc<Webhook>>) -> Vec<String> {
    hooks.iter().map(|hook| hook.id.to_string()).collect()
}

fn firing<'c>(tags: &'c Tags, past: &'c dyn Past) -> Firing<'c> {
    Firing {
        facts: tags,
        caller: None,
        past,
        now: now(),
    }
}

fn now() -> Moment {
    "2024-11-04T14:00:00Z".parse().expect("a moment")
}

fn conversion(verdict: Verdict) -> Conversion {
    Conversion {
        group: None,
        verdict,
    }
}

fn converted() -> Verdict {
    Verdict::Converted(Converted {
        after: None,
        worth: Worth::default(),
        is_payout_duplicate: false,
        is_revenue_duplicate: false,
    })
}

fn hooks(list: &[(&str, Trigger, i32, &[&str])]) -> CampaignHooks {
    let hooks = list.iter().map(|(id, trigger, fire_order, conditions)| {
        let mut one = hook(id, *trigger);
        one.fire_order = *fire_order;
        for condition in *conditions {
            one.matches.add(condition).expect("a condition");
        }
        Arc::new(one)
    });
    CampaignHooks::new(hooks.collect(), Vec::new())
}
