use super::*;
use crate::types::tag::{Origin, Tags};

#[test]
fn webhooks_fire_by_trigger_then_by_order_then_as_they_are_written() {
    let list = [
        ("d", Trigger::Always, 0),
        ("c", Trigger::Start, 7),
        ("a", Trigger::Start, -1),
        ("b", Trigger::Start, -1),
    ];
    let list = list.map(|(id, trigger, fire_order)| {
        let mut one = hook(id, trigger);
        one.fire_order = fire_order;
        if id == "b" {
            one.matches.add("age:66").expect("a condition");
        }
        Arc::new(one)
    });
    let hooks = CampaignHooks::new(list.to_vec(), Vec::new());
    let mut tags = Tags::default();
    let start = |tags: &Tags| {
        let found = hooks.matching(Trigger::Start, tags);
        found.map(|hook| hook.id.to_string()).collect::<String>()
    };

    assert_eq!(start(&tags), "ac");
    tags.add("age", "66", Origin::Number).expect("a tag");
    assert_eq!(start(&tags), "abc");
    assert!(hooks.all_of(Trigger::Connect).is_empty());
    assert_eq!(hooks.all_of(Trigger::Always).len(), 1);
}

#[test]
fn a_campaign_without_hooks_has_nothing_to_look_at() {
    let one = CampaignHooks::new(vec![Arc::new(hook("a", Trigger::Start))], Vec::new());
    let hooks = Hooks::new(vec![CampaignHooks::default(), one]);

    assert!(hooks.of(0).is_none());
    assert!(hooks.of(1).is_some());
    assert!(hooks.of(2).is_none());
    assert_eq!(hooks.webhooks().count(), 1);
}

/// A webhook of which nothing is said.
pub(in crate::hooks) fn hook(id: &str, trigger: Trigger) -> Webhook {
    Webhook {
        id: id.into(),
        trigger,
        matches: Conditions::default(),
        method: Method::Get,
        url: Template::parse("https://crm.example.com/"),
        headers: Vec::new(),
        body: None,
        fire_order: 0,
        dedupe: None,
        after: Duration::ZERO,
        holds_call: false,
        timeout: Duration::from_secs(5),
        redirects: 0,
        output: Output::default(),
        is_idempotent: false,
        secret: None,
    }
}
