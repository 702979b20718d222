use super::*;
use crate::hooks::past::Forgotten;
use crate::types::tag::{Origin, Tags};

#[test]
fn the_first_group_whose_tags_match_is_used_whether_or_not_its_criterion_is_met() {
    let groups = [
        group("seniors", &["age:>=65"], timer(&[(90, "30", "40")])),
        group("all", &[], timer(&[(10, "5", "8")])),
    ];

    let senior = judge(&groups, &tags(&[("age", "66")]), 60);
    let other = judge(&groups, &tags(&[("age", "30")]), 60);

    assert_eq!(senior.group.as_deref(), Some("seniors"));
    assert_eq!(senior.verdict, Verdict::Missed);
    assert_eq!(other.group.as_deref(), Some("all"));
    assert_eq!(other.converted().map(|it| it.worth), Some(worth("5", "8")));
    let nobodys = judge(&groups[..1], &Tags::default(), 600);
    assert_eq!((nobodys.group, nobodys.verdict), (None, Verdict::Missed));
}

#[test]
fn of_several_thresholds_the_highest_that_was_reached_counts() {
    let groups = [group(
        "all",
        &[],
        timer(&[(30, "1", "2"), (90, "3", "4"), (120, "5", "6")]),
    )];

    for (talk, expected) in [
        (29, None),
        (30, Some((30, worth("1", "2")))),
        (89, Some((30, worth("1", "2")))),
        (119, Some((90, worth("3", "4")))),
        (3_600, Some((120, worth("5", "6")))),
    ] {
        let conversion = judge(&groups, &Tags::default(), talk);

        let found = conversion.converted();
        let found = found.map(|it| (it.after.expect("a timer").as_secs(), it.worth));
        assert_eq!(found, expected, "{talk} s");
    }
}

#[test]
fn a_buyers_timers_have_its_offset_on_top() {
    let groups = [group("all", &[], timer(&[(30, "1", "2")]))];
    let with = |talk, offset| {
        let tags = Tags::default();
        let mut call = ended(&tags, talk);
        call.talk = call.talk.map(|talk| Talk {
            offset: seconds(offset),
            ..talk
        });
        Conversion::of(&groups, &call, &Forgotten)
            .converted()
            .is_some()
    };

    assert!(!with(39, 10));
    assert!(with(40, 10));
}

#[test]
fn nobody_answered_is_no_conversion() {
    let groups = [group("all", &[], timer(&[(0, "1", "2")]))];
    let tags = Tags::default();
    let call = Ended {
        talk: None,
        ..ended(&tags, 0)
    };

    assert_eq!(
        Conversion::of(&groups, &call, &Forgotten).verdict,
        Verdict::Missed
    );
    assert!(judge(&groups, &tags, 0).converted().is_some());
}

#[test]
fn a_postback_group_waits_and_no_postback_is_no_conversion() {
    let groups = [group("sales", &[], postback("10", "20", 3_600))];
    let tags = Tags::default();
    let post = |converted, payout: Option<&str>, revenue: Option<&str>| {
        let posted = Posted {
            converted,
            payout: payout.and_then(|text| text.parse().ok()),
            revenue: revenue.and_then(|text| text.parse().ok()),
        };
        Conversion::of(
            &groups,
            &Ended {
                posted,
                ..ended(&tags, 5)
            },
            &Forgotten,
        )
    };

    let mut open = post(None, None, None);
    assert_eq!(open.verdict, Verdict::Awaited(seconds(3_600)));
    assert!(!open.is_settled());
    assert!(open.give_up());
    assert_eq!(open.verdict, Verdict::Missed);
    assert!(!open.give_up());

    assert_eq!(post(Some(false), None, Some("9")).verdict, Verdict::Missed);
    for (posted, expected) in [
        (post(Some(true), None, None), worth("10", "20")),
        (post(None, None, Some("33.3333")), worth("10", "33.3333")),
        (post(None, Some("0"), None), worth("0", "20")),
    ] {
        let converted = posted.converted().expect("a conversion");
        assert_eq!((converted.after, converted.worth), (None, expected));
    }
}

#[test]
fn a_later_postback_changes_what_it_speaks_of() {
    let mut posted = Posted {
        converted: Some(true),
        revenue: "5".parse().ok(),
        payout: None,
    };

    posted.update(&Posted {
        payout: "2".parse().ok(),
        ..Posted::default()
    });
    posted.update(&Posted {
        converted: Some(false),
        ..Posted::default()
    });

    assert_eq!(posted.converted, Some(false));
    assert_eq!(posted.revenue, "5".parse().ok());
    assert_eq!(posted.payout, "2".parse().ok());
    assert_eq!(Posted::default().is_conversion(), None);
}

#[test]
fn a_caller_who_converts_again_too_soon_is_a_duplicate_on_each_side_by_itself() {
    struct Yesterday;
    impl Past for Yesterday {
        fn last_fired(&self, _: &str, _: Number) -> Option<Moment> {
            None
        }

        fn last_converted(&self, group: &str, buyer: &str, _: Number) -> Option<Moment> {
            (group == "all" && buyer == "sunny").then(|| now().before(seconds(DAY)))
        }
    }
    let with = |payout: u64, revenue: u64| {
        let mut one = Arc::unwrap_or_clone(group("all", &[], timer(&[(0, "1", "2")])));
        one.payout_dedupe = Some(seconds(payout));
        one.revenue_dedupe = Some(seconds(revenue));
        let tags = Tags::default();
        let conversion = Conversion::of(&[Arc::new(one)], &ended(&tags, 60), &Yesterday);
        *conversion.converted().expect("a conversion")
    };
    let flags = |it: Converted| (it.is_payout_duplicate, it.is_revenue_duplicate, it.worth);

    assert_eq!(flags(with(DAY, DAY)), (false, false, worth("1", "2")));
    assert_eq!(flags(with(DAY + 1, DAY)), (true, false, worth("0", "2")));
    assert_eq!(flags(with(DAY, DAY + 1)), (false, true, worth("1", "0")));
    assert_eq!(flags(with(DAY + 1, DAY + 1)), (true, true, worth("0", "0")));
}

const DAY: u64 = 86_400;

fn judge(groups: &[Arc<Group>], tags: &Tags, talk: u64) -> Conversion {
    Conversion::of(groups, &ended(tags, talk), &Forgotten)
}

fn ended(tags: &Tags, talk: u64) -> Ended<'_> {
    Ended {
        facts: tags,
        talk: Some(Talk {
            buyer: "sunny",
            time: seconds(talk),
            offset: Duration::ZERO,
        }),
        caller: Number::from_e164(b"+12125550100"),
        posted: Posted::default(),
        now: now(),
    }
}

fn now() -> Moment {
    "2024-11-04T14:00:00Z".parse().expect("a moment")
}

fn group(id: &str, conditions: &[&str], criterion: Criterion) -> Arc<Group> {
    Arc::new(Group {
        id: id.into(),
        matches: Conditions::parse(conditions.iter().copied()).expect("conditions"),
        criterion,
        payout_dedupe: None,
        revenue_dedupe: None,
    })
}

fn timer(tiers: &[(u64, &str, &str)]) -> Criterion {
    let tier = |(after, payout, revenue): &(u64, &str, &str)| Tier {
        after: seconds(*after),
        worth: worth(payout, revenue),
    };
    Criterion::Timer(tiers.iter().map(tier).collect())
}

fn postback(payout: &str, revenue: &str, wait: u64) -> Criterion {
    Criterion::Postback {
        worth: worth(payout, revenue),
        wait: seconds(wait),
    }
}

fn worth(payout: &str, revenue: &str) -> Worth {
    Worth {
        payout: payout.parse().expect("an amount"),
        revenue: revenue.parse().expect("an amount"),
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn tags(values: &[(&str, &str)]) -> Tags {
    let mut tags = Tags::default();
    for (key, value) in values {
        tags.add(key, value, Origin::Hook).expect("a tag");
    }
    tags
}
