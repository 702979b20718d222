//! The golden vectors of the specification: places, conditions, answers, tokens, hours, windows, order by weight.
//!
//! They are not part of this repository: they are looked for in `$STROWGER_SHARED`, then in `../shared`. Without them each
//! test says so and passes; the units have cases of their own.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use strowger::hooks::reply::{self, Output};
use strowger::routing::hours::{Blocks, Hours};
use strowger::routing::weight::rank;
use strowger::routing::window::Span;
use strowger::routing::zone::Zone;
use strowger::types::condition::Conditions;
use strowger::types::geo;
use strowger::types::moment::Moment;
use strowger::types::number::Number;
use strowger::types::tag::{Lookup, Origin, Tags};
use strowger::types::template::{Encoding, Template};

use crate::collection::shared;

#[test]
fn the_area_code_of_a_caller_says_where_it_is() {
    for case in cases("geo_from_caller") {
        let mut tags = Tags::default();
        tags.infer(caller(&case));

        assert_eq!(texts(&case["want"]), values(&tags, "geo"), "{case}");
    }
}

#[test]
fn a_place_stands_for_all_that_it_lies_in() {
    for case in cases("geo_expand") {
        let places = geo::expand(case["geo"].as_str().expect("a place"));

        let found: BTreeSet<_> = places.iter().map(|place| &**place).collect();
        assert_eq!(texts(&case["want"]), found, "{case}");
    }
}

#[test]
fn an_answer_overrides_the_area_code() {
    for case in cases("geo_override") {
        let mut tags = Tags::default();
        tags.infer(caller(&case));
        let places: Vec<_> = texts(&case["response"]).into_iter().collect();

        tags.add_all("geo", &places, Origin::Hook).expect("a place");

        assert_eq!(texts(&case["want"]), values(&tags, "geo"), "{case}");
    }
}

#[test]
fn conditions_hold_or_say_which_does_not() {
    for case in cases("match") {
        let mut tags = Tags::default();
        for (key, of_key) in case["tags"].as_object().expect("tags") {
            for value in of_key.as_array().expect("values") {
                let value = value.as_str().expect("a text");
                tags.add(key, value, Origin::Hook).expect("a tag");
            }
        }
        let conditions: Vec<_> = case["conditions"].as_array().expect("conditions").clone();
        let conditions = Conditions::parse(conditions.iter().filter_map(Value::as_str));
        let conditions = conditions.expect("conditions");

        let verdict = conditions.matches(&tags);

        assert_eq!(Some(verdict.is_ok()), case["want"].as_bool(), "{case}");
        let why = case["why"].as_array().expect("reasons");
        assert_eq!(verdict.is_err(), !why.is_empty());
        if let (Err(mismatch), Some(why)) = (verdict, why.first().and_then(Value::as_str)) {
            // `age<=65 not met by ['66']`, `missing: none of ['==1'] in []`
            let (key, want) = conditions.want(&mismatch);
            let have: Vec<_> = mismatch
                .have
                .split(',')
                .filter(|text| !text.is_empty())
                .collect();
            let have = format!("{have:?}").replace('"', "'");
            let told = if want.starts_with("==") {
                format!("{key}: none of ['{want}'] in {have}")
            } else {
                format!("{key}{want} not met by {have}")
            };
            assert_eq!(told, why);
        }
    }
}

#[test]
fn answers_become_tags() {
    for case in cases("json_tags") {
        let mut tags = Tags::default();
        for (key, of_key) in case["before"].as_object().expect("tags") {
            for value in texts(of_key) {
                tags.add(key, value, Origin::Geo).expect("a tag");
            }
        }
        let body = case["body"].as_str().expect("a text");

        let warnings = reply::apply(body.as_bytes(), &Output::default(), &mut tags);

        let after = case["after"].as_object().expect("tags");
        for (key, of_key) in after {
            assert_eq!(values(&tags, key), texts(of_key), "{case}");
        }
        let keys: BTreeSet<&str> = tags.iter().map(|tag| &*tag.key).collect();
        assert_eq!(keys, after.keys().map(String::as_str).collect(), "{case}");
        let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        assert_eq!(Value::from(warnings), case["warnings"], "{case}");
    }
}

#[test]
fn tokens_are_replaced_in_urls() {
    struct Call;
    impl Lookup for Call {
        fn look_up(&self, name: &str, found: &mut dyn FnMut(&str)) {
            match name {
                "caller_number" => found("+13015236555"),
                "call_uuid" => found("addcf985-017e-4962-be34-cf5d55e74afc"),
                "product_interest" => ["mortgage", "insurance"].into_iter().for_each(found),
                _ => {}
            }
        }
    }
    for case in cases("tokens") {
        let mut url = String::new();
        let template = Template::parse(case["url"].as_str().expect("a text"));

        let result = template.expand(&Call, Encoding::Url, &mut url);

        assert_eq!(result, Ok(()));
        assert_eq!(Some(&*url), case["want"].as_str(), "{case}");
    }
}

#[test]
fn hours_are_kept_in_the_zone_of_the_buyer() {
    for case in cases("business_hours") {
        let blocks: Blocks = match case["hours"].as_str() {
            Some("lunch") => "mon-fri 09:00-12:00 13:00-17:00",
            Some("night") => "daily not 06:00-22:00",
            other => panic!("no hours of this name: {other:?}"),
        }
        .parse()
        .expect("hours");
        let hours = Hours::of(&blocks.0).expect("hours");

        let is_open = hours.is_open(zone(&case).local(moment(&case)));

        assert_eq!(Some(is_open), case["want"].as_bool(), "{case}");
    }
}

#[test]
fn calls_are_counted_in_windows_of_the_calendar_of_the_buyer() {
    for case in cases("cap_windows") {
        let local = zone(&case).local(moment(&case));

        for (span, key) in [
            (Span::Hour, "hour"),
            (Span::Day, "day"),
            (Span::Month, "month"),
        ] {
            let window = span.window(local).to_string();
            assert_eq!(Some(&*window), case["want"][key].as_str(), "{case}");
        }
    }
}

#[test]
fn weights_give_the_same_order_on_every_machine() {
    for case in cases("weighted_order") {
        let seed = case["seed"].as_str().expect("a seed").as_bytes();
        let mut items: Vec<_> = case["items"]
            .as_array()
            .expect("items")
            .iter()
            .map(|item| {
                let id = item[0].as_str().expect("an id");
                let weight = item[1]
                    .as_u64()
                    .and_then(|weight| u32::try_from(weight).ok());
                (rank(seed, id, weight.expect("a weight")), id)
            })
            .collect();

        items.sort_by_key(|(rank, _)| *rank);

        let order: Vec<_> = items.iter().map(|(_, id)| Some(*id)).collect();
        let want = case["want"].as_array().expect("an order");
        assert_eq!(order, want.iter().map(Value::as_str).collect::<Vec<_>>());
    }
}

/// The cases of one name; none, which is told, if the vectors are not there.
fn cases(name: &str) -> Vec<Value> {
    let Some(path) = shared("vectors/domain.json") else {
        return Vec::new();
    };
    let text = fs::read_to_string(path).expect("the vectors can be read");
    let vectors: Value = serde_json::from_str(&text).expect("the vectors are JSON");
    let cases = vectors[name].as_array().expect("a list of cases").clone();
    assert!(!cases.is_empty(), "no cases of {name}");
    cases
}

fn caller(case: &Value) -> Number {
    let text = case["caller"].as_str().expect("a caller");
    Number::from_e164(text.as_bytes()).expect("a number")
}

fn zone(case: &Value) -> Zone {
    Zone::named(case["tz"].as_str().expect("a zone")).expect("a known zone")
}

fn moment(case: &Value) -> Moment {
    let utc = case["utc"].as_str().expect("a moment");
    utc.parse().expect("a moment")
}

fn texts(list: &Value) -> BTreeSet<&str> {
    let list = list.as_array().expect("a list");
    list.iter().filter_map(Value::as_str).collect()
}

fn values<'t>(tags: &'t Tags, key: &str) -> BTreeSet<&'t str> {
    tags.values(key).collect()
}
