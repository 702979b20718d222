use super::*;
use crate::config::{Texts, load};
use crate::hooks::past::Forgotten;

const BEGAN: Moment = Moment::from_millis(1_767_323_044_500);

#[test]
fn a_postback_that_is_awaited_converts_the_call_once_and_its_webhooks_fire_in_order() {
    let policy = policy("");
    let mut late = late(&policy, Stage::Awaited("sale".into()));

    let change = post(&mut late, 60, "converted=true&revenue=75&product=boat");

    assert_eq!(
        urls(&change),
        [
            "http://crm.example/postback?r=75.00&p=boat",
            "http://crm.example/conversion?r=75.00&p=boat"
        ]
    );
    let settled = change.settled.expect("it converted");
    assert!(settled.is_converted);
    assert_eq!(amounts(&settled), Some(("40.00".into(), "75.00".into())));
    let windows: Vec<_> = change.counted.iter().collect();
    assert_eq!(windows.len(), 1);
    assert_eq!(
        windows[0].window.to_string(),
        "2026-01-02",
        "when it was chosen"
    );

    let again = post(&mut late, 61, "converted=true&revenue=75");
    assert_eq!(urls(&again), ["http://crm.example/postback?r=75.00&p=boat"]);
    assert_eq!(again.settled, None);
    assert!(again.counted.is_empty());
    assert_eq!(late.posts(), 2);
}

#[test]
fn what_a_duplicate_is_worth_stays_nothing_however_often_amounts_are_said() {
    let policy = policy("revenue_dedupe = \"720h\"\n");
    let mut late = late(&policy, Stage::Awaited("sale".into()));
    let mut posting = Posting::default();
    posting
        .read_form(b"converted=true&payout=41&revenue=75")
        .expect("a form");

    let first = late.handle_post(at(60), &Before, &posting);
    let settled = first.settled.expect("it converted");
    assert_eq!(amounts(&settled), Some(("41.00".into(), "0.00".into())));

    let mut again = Late::new(
        &policy,
        remains(),
        since(Stage::Settled(Some(settled)), Posted::default()),
    )
    .expect("its company is there");
    let same = again.handle_post(at(61), &Before, &posting);
    assert_eq!(same.settled, None);
    posting.read_form(b"payout=42").expect("a form");
    let more = again.handle_post(at(62), &Before, &posting);
    let settled = more.settled.expect("the publisher gets more");
    assert_eq!(amounts(&settled), Some(("42.00".into(), "0.00".into())));
}

/// The caller converted with every buyer an hour before.
struct Before;

impl Past for Before {
    fn last_fired(&self, _: &str, _: Number) -> Option<Moment> {
        None
    }

    fn last_converted(&self, _: &str, _: &str, _: Number) -> Option<Moment> {
        Some(BEGAN)
    }
}

#[test]
fn what_fires_after_the_call_and_not_again_for_a_while_is_told() {
    let once = "[[webhook]]\nid = \"once\"\ncampaign = \"solar\"\ntrigger = \"conversion\"\n\
                dedupe = \"1h\"\nurl = \"http://crm.example/once\"\n";
    let policy = policy(once);
    let mut late = late(&policy, Stage::Awaited("sale".into()));

    let change = post(&mut late, 60, "converted=true");

    let at = at(60);
    assert_eq!(change.fired, [("once".into(), at)]);
    let news = late.news(at, &change).expect("news");
    assert_eq!(news.call.fired, change.fired);
    assert!(news.call.converted.is_some());
    let again = post(&mut late, 61, "product=boat");
    assert!(again.fired.is_empty());
    assert_eq!(late.news(at, &again), None);
    assert_eq!(late.fired(), change.fired);
}

#[test]
fn postbacks_say_so_many_things_and_no_more() {
    let policy = policy("");
    let mut late = late(&policy, Stage::Undetermined);
    post(&mut late, 60, "product=boat&product=car&age=66");
    let says = |form: &str| {
        let mut posting = Posting::default();
        posting.read_form(form.as_bytes()).expect("a form");
        posting
    };

    assert!(late.has_room(&says("product=bike"), 4));
    assert!(!late.has_room(&says("product=bike&age=67"), 4));
    // What was said before takes no room.
    assert!(late.has_room(&says("product=car&age=66&product=bike"), 4));
}

#[test]
fn each_postback_is_a_delivery_of_its_own() {
    let policy = policy("");
    let mut late = late(&policy, Stage::Settled(None));

    let deliveries = [60, 61].map(|second| {
        let change = post(&mut late, second, "age=66");
        let headers = change.deliveries[0].request.headers.clone();
        headers
            .into_iter()
            .find(|(name, _)| &**name == "X-Strowger-Delivery")
    });

    assert!(deliveries[0].is_some());
    assert_ne!(deliveries[0], deliveries[1]);
}

#[test]
fn one_that_says_no_or_none_at_all_is_a_non_conversion_once() {
    let policy = policy("");
    let mut late_no = late(&policy, Stage::Awaited("sale".into()));
    let no = post(&mut late_no, 60, "converted=false");
    assert_eq!(no.settled.map(|settled| settled.is_converted), Some(false));
    assert!(
        urls(&Change {
            deliveries: no.deliveries,
            ..Change::default()
        })
        .contains(&"http://crm.example/non-conversion?r=&p=".to_owned())
    );
    assert_eq!(
        post(&mut late_no, 61, "converted=true").settled,
        None,
        "too late"
    );

    let mut late_none = late(&policy, Stage::Awaited("sale".into()));
    let none = late_none.handle_due(at(90_000), &Forgotten);
    assert_eq!(urls(&none), ["http://crm.example/non-conversion?r=&p="]);
    assert_eq!(
        none.settled.map(|settled| settled.is_converted),
        Some(false)
    );
    let nothing = late_none.handle_due(at(90_001), &Forgotten);
    assert!(nothing.settled.is_none() && nothing.deliveries.is_empty());
}

#[test]
fn a_postback_that_says_nothing_of_the_conversion_leaves_it_open() {
    let policy = policy("");
    let mut late = late(&policy, Stage::Awaited("sale".into()));

    let change = post(&mut late, 60, "age=66");

    assert_eq!(change.settled, None);
    assert_eq!(*late.stage(), Stage::Awaited("sale".into()));
    let tags: Vec<_> = late.tags().values("age").collect();
    assert_eq!(tags, ["66"]);
}

#[test]
fn other_amounts_count_after_that_and_no_webhook_of_the_conversion_fires_again() {
    let policy = policy("");
    let settled = Settled {
        group: "sale".into(),
        is_converted: true,
        worth: Some((money("40"), money("60"))),
        is_payout_duplicate: false,
        is_revenue_duplicate: false,
    };
    let mut late = late(&policy, Stage::Settled(Some(settled)));

    let change = post(&mut late, 60, "payout=0");

    let settled = change.settled.as_ref().expect("other amounts");
    assert_eq!(amounts(settled), Some(("0.00".into(), "60.00".into())));
    assert!(change.counted.is_empty());
    assert_eq!(urls(&change), ["http://crm.example/postback?r=60.00&p="]);
}

#[test]
fn what_is_said_before_it_is_found_out_counts_for_the_group_that_it_falls_to() {
    let policy = policy("matches = [\"product:boat\"]\n");
    let mut late = late(&policy, Stage::Undetermined);

    let said = post(&mut late, 5, "product=boat");
    assert_eq!(said.settled, None);
    let change = late.handle_due(at(20), &Forgotten);

    let (group, until) = change.awaits.clone().expect("a postback is awaited");
    assert_eq!(
        (&*group, until),
        ("sale", ended().after(Duration::from_secs(3600)))
    );
    assert_eq!(
        urls(&change),
        [
            "http://crm.example/connect?r=&p=boat",
            "http://crm.example/always?r=&p=boat"
        ]
    );
    let change = post(&mut late, 30, "converted=yes");
    assert_eq!(
        change.settled.map(|settled| settled.is_converted),
        Some(true)
    );
}

#[test]
fn of_a_call_that_was_cut_off_only_what_was_said_counts() {
    let policy = policy("");
    let mut remains = remains();
    remains.is_cut_off = true;
    let mut posted = Posted::default();
    let mut quiet =
        Late::new(&policy, remains.clone(), since(Stage::Undetermined, posted)).unwrap();
    let change = quiet.handle_due(at(1), &Forgotten);
    assert!(change.deliveries.is_empty() && change.settled.is_none());
    assert!(change.awaits.is_some());

    posted.converted = Some(true);
    let mut told = Late::new(&policy, remains, since(Stage::Undetermined, posted)).unwrap();
    let change = told.handle_due(at(1), &Forgotten);
    assert_eq!(urls(&change), ["http://crm.example/conversion?r=60.00&p="]);
}

#[test]
fn a_call_whose_campaign_is_gone_keeps_its_tags_and_nothing_fires() {
    let policy = policy("");
    let mut remains = remains();
    remains.campaign = "gone".into();
    remains.company = Some("acme".into());
    let since = since(Stage::Awaited("sale".into()), Posted::default());
    let mut late =
        Late::new(&policy, remains.clone(), since.clone()).expect("its company is there");

    let change = post(&mut late, 60, "converted=true");

    assert_eq!(
        change.settled.map(|settled| settled.is_converted),
        Some(false)
    );
    assert!(change.deliveries.is_empty());
    remains.company = Some("nobody".into());
    assert!(Late::new(&policy, remains, since).is_none());
}

#[test]
fn a_key_opens_its_own_call_and_no_other() {
    let policy = policy("");
    let uuid = remains().uuid;
    let key = |secret: &[u8], uuid| Secret::new(call_key(&Secret::new(secret), uuid));

    let right = key(b"CHANGE-ME-at-least-16-bytes", uuid);
    assert_eq!(opened_by(&policy, uuid, &right).as_deref(), Some("acme"));
    assert_eq!(
        opened_by(&policy, CallUuid::from_bytes([8; 16]), &right),
        None
    );
    assert_eq!(
        opened_by(&policy, uuid, &key(b"another-secret-0123", uuid)),
        None
    );
}

fn policy(group: &str) -> Policy {
    let mut text = include_str!("../../../conf/minimal.toml").to_owned();
    text = text.replacen(
        "[[buyer]]\n",
        "[[buyer]]\ncap_on = \"conversion\"\ncaps = { day = 10 }\n",
        1,
    );
    for trigger in [
        "postback",
        "connect",
        "conversion",
        "non-conversion",
        "always",
    ] {
        text += &format!(
            "[[webhook]]\nid = \"{trigger}\"\ncampaign = \"solar\"\ntrigger = \"{trigger}\"\n\
             url = \"http://crm.example/{trigger}?r=[revenue]&p=[product]\"\n"
        );
    }
    text += &format!(
        "[[conversion_group]]\nid = \"sale\"\ncampaign = \"solar\"\ncriterion = \"postback\"\n\
         payout = \"40\"\nrevenue = \"60\"\nwait = \"1h\"\n{group}"
    );
    let source = Texts::of("strowger.toml", text);
    match load(std::path::Path::new("strowger.toml"), &source, 1) {
        Ok(settings) => settings.policy,
        Err(faults) => panic!("{faults}"),
    }
}

fn late(policy: &Policy, stage: Stage) -> Late {
    Late::new(policy, remains(), since(stage, Posted::default())).expect("its company is there")
}

fn since(stage: Stage, posted: Posted) -> Since {
    Since {
        ended: ended(),
        stage,
        posts: 0,
        posted,
        tags: Vec::new(),
    }
}

fn ended() -> Moment {
    BEGAN.after(Duration::from_secs(63))
}

/// So many seconds after the end.
fn at(seconds: u64) -> Moment {
    ended().after(Duration::from_secs(seconds))
}

fn remains() -> Remains {
    let buyer = "sunny".into();
    Remains {
        uuid: CallUuid::from_bytes([7; 16]),
        began: BEGAN,
        generation: 1,
        trunk: "carrier".into(),
        dialled: Number::from_e164(b"+18885550100").unwrap(),
        caller: Number::from_e164(b"+12125550142"),
        company: None,
        campaign: "solar".into(),
        afid: "bright-leads".into(),
        sid: None,
        tags: Vec::new(),
        tried: vec!["sunny".into()],
        talk: Some(Talk {
            buyer,
            chosen: Duration::from_millis(5),
            answered: Duration::from_secs(3),
            time: Duration::from_secs(60),
        }),
        outcome: "completed".into(),
        is_cut_off: false,
        status: Some(200),
        hung_up_by: Some("caller"),
        total: Some(Duration::from_secs(63)),
        rang: None,
    }
}

fn post(late: &mut Late, seconds: u64, form: &str) -> Change {
    let mut posting = Posting::default();
    posting.read_form(form.as_bytes()).expect("a form");
    late.handle_post(at(seconds), &Forgotten, &posting)
}

fn urls(change: &Change) -> Vec<String> {
    let deliveries = change.deliveries.iter();
    deliveries
        .map(|delivery| delivery.request.url.to_string())
        .collect()
}

fn amounts(settled: &Settled) -> Option<(String, String)> {
    let (payout, revenue) = settled.worth?;
    Some((payout.to_string(), revenue.to_string()))
}

fn money(text: &str) -> Money {
    text.parse().expect("an amount")
}
