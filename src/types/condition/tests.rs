use proptest::prelude::*;

use super::*;
use crate::types::tag::{Origin, Tags};

#[test]
fn one_of_several_values_of_a_key_is_enough() {
    let tags = tags(&[("calling_about", "support")]);

    holds(&["calling_about:support", "calling_about:other"], &tags);
    fails(
        &["calling_about:other"],
        &tags,
        ("calling_about", "==other", "support"),
    );
    fails(
        &["calling_about:sales", "calling_about:=~^ot"],
        &tags,
        ("calling_about", "one of ==sales =~^ot", "support"),
    );
}

#[test]
fn all_keys_must_hold_and_all_sizes_of_a_key() {
    let tags = tags(&[("age", "66"), ("geo", "us-28379")]);

    holds(&["geo:us-nc", "age:>65"], &tags);
    holds(&["age:>=66", "age:<=66", "age:==66"], &tags);
    fails(&["age:>=60", "age:<=65"], &tags, ("age", "<=65", "66"));
    fails(&["age:>66"], &tags, ("age", ">66", "66"));
    fails(&["age:<66"], &tags, ("age", "<66", "66"));
}

#[test]
fn a_value_that_must_not_be_there_is_looked_for_among_all() {
    let tags = tags(&[("product", "mortgage"), ("product", "insurance")]);

    holds(&["product:insurance", "product:!=solar"], &tags);
    fails(
        &["product:insurance", "product:!=mortgage", "product:!=car"],
        &tags,
        ("product", "!=car !=mortgage", "mortgage,insurance"),
    );
}

#[test]
fn a_key_without_value_satisfies_nothing_but_not() {
    let tags = tags(&[]);

    holds(&["publisher_id:!=1234"], &tags);
    holds(&[], &tags);
    for (condition, want) in [
        ("missing:1", "==1"),
        ("missing:>1", ">1"),
        ("missing:=~.", "=~."),
    ] {
        fails(&[condition], &tags, ("missing", want, ""));
    }
}

#[test]
fn texts_compare_in_any_case() {
    let tags = tags(&[("city", "Straße"), ("state", "NY"), ("city", "ÉVRY")]);

    holds(
        &[
            "CITY:évry",
            "state:ny",
            "state:=~^n",
            "city:STRASSE",
            "city:=~ß",
        ],
        &tags,
    );
    fails(&["state:n"], &tags, ("state", "==n", "NY"));
}

#[test]
fn a_place_may_be_written_as_people_write_it() {
    let tags = tags(&[("geo", "us-90210")]);

    holds(&["geo:90210"], &tags);
    holds(&["geo:US-90210-1234"], &tags);
    holds(&["geo:us-ca"], &tags);
    fails(
        &["geo:!=90210"],
        &tags,
        ("geo", "!=us-90210", "us,us-90210,us-ca"),
    );
}

#[test]
fn thousands_of_places_are_one_condition() {
    let zips: Vec<String> = (10000..14000).map(|zip| format!("geo:us-{zip}")).collect();
    let conditions = Conditions::parse(zips.iter().map(String::as_str)).expect("conditions");

    assert_eq!(conditions.matches(&tags(&[("geo", "us-10101")])), Ok(()));
    let mismatch = conditions
        .matches(&tags(&[("geo", "us-90210")]))
        .expect_err("elsewhere");

    assert_eq!(conditions.keys().collect::<Vec<_>>(), ["geo"]);
    assert!(conditions.want(&mismatch).1.ends_with("and 3992 more"));
}

#[test]
fn what_a_call_has_is_shown_up_to_a_bound() {
    let long = "ä".repeat(100);
    let tags = tags(&[("k", "a"), ("k", &long)]);

    let conditions = Conditions::parse(["k:b"]).expect("conditions");
    let mismatch = conditions.matches(&tags).expect_err("another value");

    assert_eq!(*mismatch.have, *format!("a,{}", "ä".repeat(63)));
}

#[test]
fn what_is_no_condition_says_why() {
    for (text, want) in [
        ("age", "write it as key:value"),
        (":5", "write it as key:value"),
        ("two words:5", "write it as key:value"),
        ("age:", "nothing to compare with"),
        ("age:!= ", "nothing to compare with"),
        ("age:>old", "neither a number nor a date"),
        ("age:>", "nothing to compare with"),
        ("city:=~(", "is no pattern: unclosed group"),
        ("city:=~\\w{1000}", "is no pattern"),
        (
            "city:=~(a*)\\1",
            "is no pattern: backreferences are not supported",
        ),
    ] {
        let fault = Conditions::parse([text]).expect_err(text).to_string();
        assert!(fault.contains(want), "{fault}");
    }
    let long = format!("k:{}", "v".repeat(257));
    assert!(Conditions::parse([&*long]).is_err());
}

proptest! {
    #[test]
    fn any_text_is_a_condition_or_a_fault(
        text in "[a-z]{0,3}:?(==|!=|=~|>=|<=|>|<)?.{0,12}",
        value: String,
    ) {
        if let Ok(conditions) = Conditions::parse([&*text]) {
            let mut tags = Tags::default();
            let _ = tags.add("k", &value, Origin::Hook);
            if let Err(mismatch) = conditions.matches(&tags) {
                prop_assert!(!conditions.want(&mismatch).1.is_empty());
            }
        }
    }
}

fn tags(of: &[(&str, &str)]) -> Tags {
    let mut tags = Tags::default();
    for (key, value) in of {
        tags.add(key, value, Origin::Hook).expect("a tag");
    }
    tags
}

fn holds(conditions: &[&str], tags: &Tags) {
    let parsed = Conditions::parse(conditions.iter().copied()).expect("conditions");
    assert_eq!(parsed.matches(tags), Ok(()), "{conditions:?}");
}

fn fails(conditions: &[&str], tags: &Tags, (key, want, have): (&str, &str, &str)) {
    let parsed = Conditions::parse(conditions.iter().copied()).expect("conditions");
    let mismatch = parsed.matches(tags).expect_err("a mismatch");
    assert_eq!(parsed.want(&mismatch), (key, want.to_owned()));
    assert_eq!(&*mismatch.have, have);
}
