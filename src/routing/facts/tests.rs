use super::*;
use crate::routing::trunk::CompanyId;
use crate::types::ids::Entropy;
use crate::types::tag::Origin;

#[test]
fn what_is_known_from_the_beginning_has_names() {
    let mut facts = facts("+16146792390");
    facts.key = Some(Secret::new(*b"k7ld"));
    facts.tried = vec!["a".into(), "b".into()];

    for (name, want) in [
        ("call_uuid", &*facts.uuid.to_string()),
        ("call_log_id", &facts.uuid.to_string()),
        ("call_key", "k7ld"),
        ("caller_number", "+16146792390"),
        ("caller_id", "+16146792390"),
        ("nanp_caller_number", "6146792390"),
        ("caller_area_code", "614"),
        ("caller_country", "US"),
        ("caller_state", "OH"),
        ("caller_zip", ""),
        ("geo", "614,us,us-oh"),
        ("called_number", "+18882223333"),
        ("number", "+18882223333"),
        ("nanp_called_number", "8882223333"),
        ("campaign_id", "solar"),
        ("cid", "solar"),
        ("campaign_name", "solar"),
        ("company_id", "acme"),
        ("afid", "bright-leads"),
        ("affiliate_id", "bright-leads"),
        ("publisher_id", "bright-leads"),
        ("sid", "tv"),
        ("sub_id", "tv"),
        ("attempt", "2"),
        ("start_time", "2024-11-04T14:00:00Z"),
        ("start_epoch", "1730728800"),
        ("carrier_trunk", "carrier"),
        ("node", "edge"),
        ("config_generation", "7"),
        ("repeat", "false"),
        ("age", "66"),
        ("buyer_id", ""),
        ("nothing", ""),
    ] {
        assert_eq!(values(&facts, name), want, "{name}");
    }
}

#[test]
fn what_was_said_overrides_the_area_code() {
    let mut facts = facts("+16146792390");
    let added = facts.tags.add("caller_zip", "10101", Origin::Hook);

    assert_eq!(added, Ok(true));
    assert_eq!(values(&facts, "geo"), "614,us,us-10101,us-ny");
    assert_eq!(values(&facts, "caller_state"), "NY");
    assert_eq!(values(&facts, "caller_zip"), "10101");
}

#[test]
fn a_caller_that_withholds_its_number_is_nowhere() {
    let mut facts = facts("+16146792390");
    facts.caller = None;

    for name in [
        "caller_number",
        "nanp_caller_number",
        "caller_area_code",
        "geo",
        "caller_state",
    ] {
        assert_eq!(values(&facts, name), "", "{name}");
    }
}

#[test]
fn a_number_of_another_plan_has_no_area() {
    let facts = facts("+442071838750");

    assert_eq!(values(&facts, "caller_number"), "+442071838750");
    for name in ["nanp_caller_number", "caller_area_code", "geo"] {
        assert_eq!(values(&facts, name), "", "{name}");
    }
}

#[test]
fn what_comes_to_be_known_has_names_too() {
    let facts = facts("+16146792390");
    let progress = Progress {
        buyer: Some("sunny".into()),
        buyer_name: Some("Sunny Roofs".into()),
        buyer_number: Some("+12125550177".into()),
        status: Some("finished"),
        reason: Some("completed".into()),
        answered: Some("2024-11-04T14:00:05Z".parse().expect("a moment")),
        ended: Some("2024-11-04T14:01:05Z".parse().expect("a moment")),
        duration: Some(Duration::from_secs(60)),
        total: Some(Duration::from_millis(65_900)),
        ringing: Some(Duration::from_secs(4)),
        held: Some(Duration::ZERO),
        hung_up_by: Some("caller"),
        sip_code: Some(200),
        converted: Some(true),
        payout: Some("12.50".into()),
        revenue: Some("20".into()),
        conversion_seconds: Some(30),
        duplicate: Some(false),
    };
    let seen = Seen {
        facts: &facts,
        progress: &progress,
    };

    for (name, want) in [
        ("buyer_id", "sunny"),
        ("tid", "sunny"),
        ("system_buyer_id", "sunny"),
        ("system_target_id", "sunny"),
        ("buyer_name", "Sunny Roofs"),
        ("buyer_number", "+12125550177"),
        ("call_status", "finished"),
        ("reason", "completed"),
        ("answer_time", "2024-11-04T14:00:05Z"),
        ("end_time", "2024-11-04T14:01:05Z"),
        ("call_duration", "60"),
        ("total_duration", "65"),
        ("ring_duration", "4"),
        ("hold_duration", "0"),
        ("hung_up_by", "caller"),
        ("sip_code", "200"),
        ("converted", "true"),
        ("payout", "12.50"),
        ("revenue", "20"),
        ("conversion_seconds", "30"),
        ("duplicate", "false"),
        ("caller_number", "+16146792390"),
        ("age", "66"),
    ] {
        assert_eq!(values(&seen, name), want, "{name}");
        // Nobody but the edge can say it.
        assert!(
            name == "age" || crate::types::tag::is_reserved(name),
            "{name}"
        );
    }
    assert_eq!(values(&Progress::default(), "buyer_id"), "");
}

#[test]
fn the_last_call_that_counts_is_found() {
    let now: Moment = "2024-11-04T14:00:00Z".parse().expect("a moment");
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    let call = |buyer: &str, answered, converted: Option<u64>| PastCall {
        campaign: "solar".into(),
        buyer: buyer.into(),
        answered: now.before(days(answered)),
        converted: converted.map(|ago| now.before(days(ago))),
    };
    let past = Past {
        calls: vec![
            call("a", 9, Some(8)),
            call("b", 3, None),
            call("c", 40, None),
        ],
        ..Past::default()
    };
    let last = |within, after| {
        let last = past.last(now, days(within), after, |_| true);
        last.map(|(call, _)| &*call.buyer)
    };

    assert_eq!(last(30, After::Answer), Some("b"));
    assert_eq!(last(30, After::Conversion), Some("a"));
    assert_eq!(last(3, After::Answer), None);
    assert_eq!(last(8, After::Conversion), None);
    assert!(!facts("+16146792390").is_repeat());
}

fn facts(caller: &str) -> Facts {
    let number = |text: &str| Number::from_e164(text.as_bytes()).expect("a number");
    let mut tags = Tags::default();
    tags.add("age", "66", Origin::Number).expect("a tag");
    Facts {
        uuid: CallUuid::new(&mut Entropy::from_seed([1; 32])),
        key: None,
        company: "acme".into(),
        campaign: Arc::new(Campaign::new("solar", CompanyId(0), Vec::new())),
        source: Source {
            afid: "bright-leads".into(),
            sid: Some("tv".into()),
        },
        trunk: "carrier".into(),
        dialled: number("+18882223333"),
        quota: None,
        caller: Some(number(caller)),
        tags,
        began: "2024-11-04T14:00:00Z".parse().expect("a moment"),
        tried: Vec::new(),
        past: Past::default(),
        node: "edge".into(),
        generation: 7,
    }
}

/// The values of a name, joined by commas.
fn values(facts: &dyn Lookup, name: &str) -> String {
    let mut values = Vec::new();
    facts.look_up(name, &mut |value| values.push(value.to_owned()));
    values.join(",")
}
