use std::path::Path;
use std::time::Duration;

use crate::config::{Faults, Texts, load};
use crate::routing::campaign::{Cause, Exit, RepeatPolicy};
use crate::routing::caps::CapOn;
use crate::routing::directory::{Directory, Terms};
use crate::routing::rules::After;
use crate::types::number::Number;

#[test]
fn a_buyer_says_what_it_asks_of_a_call() {
    let directory = read(
        r#"
weight = 3
paused = true
hours = ["mon-fri 09:00-17:00"]
time_zone = "Eastern Time (US & Canada)"
tags = ["age:>50", "geo:us-ny", "geo:us-nj"]
forward_tags = ["product:!=solar"]
suppressed = ["pests"]
accepted = ["york"]
cap_on = "conversion"
caps = { hour = 5, total = 0 }
duplicate = { within = "30d", after = "conversion" }
"#,
        "",
    )
    .expect("no fault");

    let buyer = &directory.buyers["sunny"];
    let rules = &buyer.rules;
    let hours = rules.hours.as_ref().expect("hours");
    let quota = rules.quota.as_ref().expect("a quota");
    let once = rules.once.expect("once");
    let named = |lists: &[_]| -> Vec<String> {
        let ids = lists.iter();
        ids.map(|list: &std::sync::Arc<crate::routing::callers::CallerList>| list.id.to_string())
            .collect()
    };
    assert_eq!(buyer.weight, Some(3));
    assert!(rules.is_paused && !rules.is_plain());
    assert_eq!(&**hours.zone.name(), "America/New_York");
    assert!(hours.hours.text().starts_with("mon 09:00-17:00, tue"));
    assert_eq!(rules.conditions.keys().collect::<Vec<_>>(), ["age", "geo"]);
    assert_eq!(rules.forward.keys().collect::<Vec<_>>(), ["product"]);
    assert_eq!(named(&rules.callers.suppressed), ["pests"]);
    assert_eq!(named(&rules.callers.accepted), ["york"]);
    assert_eq!((quota.most.hour, quota.most.day), (Some(5), None));
    assert_eq!((quota.most.total, quota.on), (Some(0), CapOn::Conversion));
    assert_eq!(quota.zone, hours.zone);
    assert_eq!(once.within, Duration::from_secs(30 * 24 * 3600));
    assert_eq!(once.after, After::Conversion);
}

#[test]
fn a_buyer_that_says_nothing_asks_nothing() {
    let directory = read("", "").expect("no fault");

    assert!(directory.buyers["sunny"].rules.is_plain());
    assert!(directory.campaigns[0].route.is_plain());
    let line = directory.numbers[&number("+12125550101")];
    assert_eq!(directory.terms(line.terms), &Terms::USUAL);
}

#[test]
fn members_of_a_group_share_its_limits_and_are_tried_once() {
    let directory = read(
        "",
        r#"
[[buyer]]
id = "other"
company = "acme"
uri = "sip:sales@203.0.113.21"

[[buyer_group]]
id = "pool"
company = "acme"
name = "The pool"
members = ["other", "sunny"]
max_calls = 9
caps = { day = 100 }

[[buyer_group]]
id = "unlimited"
company = "acme"
members = ["other"]

[[campaign]]
id = "both"
company = "acme"
buyers = ["sunny"]
groups = ["pool", "unlimited"]
"#,
    )
    .expect("no fault");

    let buyers: Vec<_> = directory.campaigns[1]
        .route
        .buyers()
        .iter()
        .map(|buyer| &*buyer.id)
        .collect();
    let groups = &directory.buyers["other"].rules.groups;
    assert_eq!(buyers, ["sunny", "other"]);
    assert_eq!(groups.len(), 1);
    assert_eq!(
        (&*groups[0].id, groups[0].caps.max_calls),
        ("pool", Some(9))
    );
    assert_eq!(
        groups[0].quota.as_ref().and_then(|quota| quota.most.day),
        Some(100)
    );
}

/// Two more buyers, a group of them, and a campaign.
fn together(group: &str, campaign: &str) -> String {
    format!(
        r#"
[[buyer]]
id = "other"
company = "acme"
uri = "sip:sales@203.0.113.21"

[[buyer]]
id = "third"
company = "acme"
uri = "sip:sales@203.0.113.22"

[[buyer_group]]
id = "pool"
company = "acme"
members = ["other", "third"]
{group}

[[campaign]]
id = "both"
company = "acme"
buyers = ["sunny"]
groups = ["pool"]
{campaign}
"#
    )
}

#[test]
fn members_of_a_group_or_all_of_one_priority_are_called_at_once() {
    let cases = [
        ("", "", "sunny other third"),
        (
            "dial = \"separate\"",
            "dial = \"in_turn\"",
            "sunny other third",
        ),
        (
            "dial = \"together\"\npriority = -1",
            "",
            "other+third sunny",
        ),
        ("dial = \"together\"\nweight = 4", "", "sunny other+third"),
        ("", "dial = \"together\"", "sunny+other+third"),
        (
            "dial = \"together\"\npriority = 2",
            "dial = \"together\"",
            "sunny other+third",
        ),
        (
            "dial = \"together\"",
            "exits = { no_answer = { groups = [\"pool\"] } }",
            "sunny other+third",
        ),
    ];
    for (group, campaign, expected) in cases {
        let directory = read("", &together(group, campaign)).expect("no fault");
        let route = &directory.campaigns[1].route;
        let mut order = String::new();
        for (place, buyer) in route.buyers().iter().enumerate() {
            let before = match place {
                0 => "",
                _ if route.joined().is_joined(place) => "+",
                _ => " ",
            };
            order.push_str(before);
            order.push_str(&buyer.id);
        }
        assert_eq!(order, expected, "{group} {campaign}");
    }
}

#[test]
fn a_group_whose_members_are_called_one_by_one_has_no_priority_of_its_own() {
    for key in ["priority = 2", "dial = \"separate\"\nweight = 2"] {
        let faults = read("", &together(key, "")).err().expect("a fault");

        let told: Vec<_> = faults.iter().map(|fault| fault.what.clone()).collect();
        assert_eq!(told, ["is the members' own matter"], "{key}");
    }
}

#[test]
fn a_campaign_says_what_becomes_of_calls_that_nobody_is_left_for() {
    let directory = read(
        "",
        r#"
[[campaign]]
id = "wind"
name = "Wind"
company = "acme"
buyers = ["sunny"]
dedupe = "7d"
suppressed = ["pests"]

[campaign.exits]
all_closed = { campaign = "solar" }
all_capped = { buyers = ["sunny"] }
no_match = { reject = 480, reason = "not_sold" }
suppressed = { reason = "blocked" }

[campaign.repeat]
policy = "different"
after = "conversion"
"#,
    )
    .expect("no fault");

    let wind = &directory.campaigns[1];
    let exits: Vec<_> = wind
        .exits
        .iter()
        .map(|(cause, exit)| match exit {
            Exit::Dial(route) => format!("{}: {}", cause.label(), route.buyers()[0].id),
            Exit::Campaign(id) => format!("{}: campaign {}", cause.label(), id.0),
            Exit::Reject(answer) => format!("{}: {answer:?}", cause.label()),
        })
        .collect();
    assert_eq!(
        exits,
        [
            "all_closed: campaign 0",
            "all_capped: sunny",
            "no_match: Answer { status: Some(480), reason: Some(\"not_sold\"), suppress: None }",
            "suppressed: Answer { status: None, reason: Some(\"blocked\"), suppress: None }",
        ]
    );
    assert!(wind.exits.of(Cause::NoAnswer).is_none());
    assert_eq!(&*wind.name, "Wind");
    assert_eq!(wind.dedupe, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(wind.repeat.policy, RepeatPolicy::Different);
    assert_eq!(wind.repeat.within, Duration::from_secs(30 * 24 * 3600));
    assert_eq!(wind.callers.suppressed.len(), 1);
}

#[test]
fn numbers_with_the_same_tags_share_them() {
    let list = "+12125550110,solar,bright-leads,,product:solar;age:66\n\
                +12125550111,solar,bright-leads,tv,product:solar;age:66\n\
                +12125550112,solar,bright-leads,tv, zip:10101 ;\n";
    let more = r#"
[[numbers]]
file = "n.csv"

[[number]]
number = "+12125550120"
campaign = "solar"
afid = "bright-leads"
tags = ["geo:us-ny"]
enabled = false
hours = ["daily 06:00-22:00"]
time_zone = "Europe/London"

[[number]]
number = "+12125550121"
campaign = "solar"
afid = "bright-leads"
tags = ["geo:us-ny"]
enabled = false
hours = ["daily 06:00-22:00"]
time_zone = "Europe/London"
"#;
    let source = Texts::of(MAIN, format!("{MINIMAL}{LISTS}{more}")).and("conf/n.csv", list);

    let settings = load(Path::new(MAIN), &source, 1).unwrap_or_else(|faults| panic!("{faults}"));

    let directory = &settings.policy.directory;
    let terms = |text: &str| directory.numbers[&number(text)].terms;
    let tags = |text: &str| -> Vec<String> {
        let tags = directory.terms(terms(text)).tags.iter();
        tags.map(|tag| format!("{}:{} {}", tag.key, tag.value, tag.origin.label()))
            .collect()
    };
    assert_eq!(terms("+12125550110"), terms("+12125550111"));
    assert_eq!(terms("+12125550120"), terms("+12125550121"));
    assert_eq!(directory.terms.len(), 3);
    assert_eq!(
        tags("+12125550110"),
        ["age:66 number", "product:solar number"]
    );
    assert_eq!(tags("+12125550112"), ["zip:10101 number"]);
    assert_eq!(tags("+12125550120"), ["geo:us number", "geo:us-ny number"]);
    let closed = directory.terms(terms("+12125550120"));
    assert!(!closed.is_enabled && closed.hours.is_some());
}

#[test]
fn a_number_says_how_many_calls_it_takes() {
    let read = |more: &str| {
        let number = format!(
            "{MINIMAL}{LISTS}\n[[number]]\nnumber = \"+12125550120\"\ncampaign = \"solar\"\nafid = \"bright-leads\"\n{more}"
        );
        load(Path::new(MAIN), &Texts::of(MAIN, number), 1)
    };
    let caps = "cap_on = \"conversion\"\ntime_zone = \"America/New_York\"\ncaps = { day = 5 }";

    let settings = read(caps).unwrap_or_else(|faults| panic!("{faults}"));
    let directory = &settings.policy.directory;
    let quota = directory.quota_of(number("+12125550120")).expect("a quota");
    assert_eq!((quota.most.day, quota.on), (Some(5), CapOn::Conversion));
    assert_eq!(&**quota.zone.name(), "America/New_York");
    assert_eq!(directory.quota_of(number("+12125550199")), None);

    // A call that is offered to three buyers is one call.
    let faults = read("cap_on = \"attempt\"\ncaps = { day = 5 }").err();
    let faults = faults.expect("a fault");
    let told: Vec<_> = faults
        .iter()
        .map(|fault| format!("{}: {}", fault.key, fault.instead))
        .collect();
    assert_eq!(told, ["number.cap_on: one of \"answer\", \"conversion\""]);
}

#[test]
fn each_mistake_says_what_would_be_right() {
    let list = "+12125550110,solar,bright-leads,,call_uuid:x;age\n";
    let pests = "# people\n+12125550100\nsomebody\n";
    let text = MINIMAL.replace(
        "uri = \"sip:sales@203.0.113.20\"",
        r#"uri = "sip:sales@203.0.113.20"
weight = 0
hours = ["mon-fri 9-17", "daily not 00:00-24:00"]
time_zone = "Mars"
tags = ["age", "age:>old", "city:=~("]
suppressed = ["pest"]
cap_on = "ring"
caps = { week = 5 }
duplicate = { after = "answer" }"#,
    );
    let more = r#"
[[numbers]]
file = "n.csv"

[[caller_list]]
id = "extra"
numbers = ["+1212*5"]
file = "pests.txt"

[[caller_list]]
id = "empty"

[[caller_list]]
id = "stays"
fill = "connected"

[[caller_list]]
id = "guests"
ttl = "0s"
fill = "ringing"
campaigns = ["sola"]

[[buyer_group]]
id = "pool"
company = "acme"
members = ["sunny", "sunnie"]

[[campaign]]
id = "first"
company = "acme"
groups = ["pol"]
exits = { all_closed = { campaign = "second" }, no_match = { buyers = ["sunny"], reject = 603 } }

[[campaign]]
id = "second"
company = "acme"
buyers = ["sunny"]
exits = { all_closed = { campaign = "first" }, no_answer = { reject = 200, reason = "No!", suppress = "pests" }, no_match = { suppress = "guest" } }
repeat = { policy = "best" }
"#;
    let source = Texts::of(MAIN, format!("{text}{LISTS}{more}"))
        .and("conf/n.csv", list)
        .and("conf/pests.txt", pests);

    let faults = load(Path::new(MAIN), &source, 1).err().expect("faults");

    let mut told: Vec<String> = faults
        .iter()
        .map(|fault| {
            let file = fault.file.file_name().expect("a file").to_string_lossy();
            format!("{file} {}: {}; {}", fault.key, fault.what, fault.instead)
        })
        .collect();
    told.sort();
    assert_eq!(told.join("\n"), FAULTS);
}

const FAULTS: &str = r#"n.csv numbers.tags: `age` is no tag: it has no value; for example "product:solar"
n.csv numbers.tags: `call_uuid:x` is no tag: the name is the edge's own; for example "product:solar"
pests.txt caller_list.file: `somebody` names no numbers; "+12125550100", "+12125550100-+12125550199", or "+1212*" for all that begin so
strowger.toml buyer.cap_on: `ring` is not known; one of "attempt", "answer", "conversion"
strowger.toml buyer.caps.week: unknown key; known here: hour, day, month, total
strowger.toml buyer.duplicate.within: is missing; for example within = "30d"
strowger.toml buyer.hours: `mon-fri 9-17` has no times such as 09:00-17:00; days and times such as "mon-fri 09:00-12:00 13:00-17:00" or "daily not 22:00-06:00"
strowger.toml buyer.suppressed: there is no caller_list `pest`; did you mean `pests`?
strowger.toml buyer.tags: `(` is no pattern: unclosed group; for example "geo:us-ny", "age:>=65", "product:!=solar" or "city:=~^new"
strowger.toml buyer.tags: `age` is no condition: write it as key:value, with a key of letters, digits, `_`, `.` or `-`; for example "geo:us-ny", "age:>=65", "product:!=solar" or "city:=~^new"
strowger.toml buyer.tags: `old` is neither a number nor a date such as 2024-11-04; for example "geo:us-ny", "age:>=65", "product:!=solar" or "city:=~^new"
strowger.toml buyer.time_zone: `Mars` is no time zone; a name of IANA's, such as "America/New_York"
strowger.toml buyer.weight: 0 is out of range; from 1 to 1000000
strowger.toml buyer_group.members: there is no buyer `sunnie`; did you mean `sunny`?
strowger.toml caller_list.fill: `ringing` is not known; one of "attempted", "connected", "not_connected", "converted"
strowger.toml caller_list.id: is filled by campaign `sola`, which is not there; ids of campaigns, or no `campaigns` for all of them
strowger.toml caller_list.numbers: `+1212*5` names no numbers; "+12125550100", "+12125550100-+12125550199", or "+1212*" for all that begin so
strowger.toml caller_list.numbers: is missing; or name a `file` with one on each line
strowger.toml caller_list.ttl: 0ms is out of range; from "1s" to "3650d"
strowger.toml caller_list.ttl: is missing; for how long a caller stays, such as "30d"
strowger.toml campaign.exits.reason: `No!` is no reason; 1 to 64 lower-case letters, digits and `_`, such as "not_sold"
strowger.toml campaign.exits.reject: 200 is out of range; from 400 to 699
strowger.toml campaign.exits.suppress: nobody comes onto `pests`; give that caller_list a `ttl`, such as "30d"
strowger.toml campaign.exits.suppress: there is no caller_list `guest`; did you mean `guests`?
strowger.toml campaign.exits: is not one way out; one of { buyers = ["night-desk"] }, { campaign = "overflow" } and { reject = 603, reason = "not_sold" }
strowger.toml campaign.groups: there is no buyer_group `pol`; did you mean `pool`?
strowger.toml campaign.id: exits lead from `first` back to it; a call that nobody is left for must come to an end
strowger.toml campaign.id: exits lead from `second` back to it; a call that nobody is left for must come to an end
strowger.toml campaign.repeat.policy: `best` is not known; one of "normal", "original", "original_first", "different""#;

fn read(buyer: &str, more: &str) -> Result<Directory, Faults> {
    let uri = "uri = \"sip:sales@203.0.113.20\"";
    let text = MINIMAL.replace(uri, &format!("{uri}\n{buyer}"));
    let source = Texts::of(MAIN, format!("{text}{LISTS}{more}"));
    load(Path::new(MAIN), &source, 1).map(|settings| settings.policy.directory)
}

fn number(text: &str) -> Number {
    Number::from_e164(text.as_bytes()).expect("a number")
}

const MAIN: &str = "conf/strowger.toml";
const MINIMAL: &str = include_str!("../../../conf/minimal.toml");
const LISTS: &str = r#"
[[caller_list]]
id = "pests"
numbers = ["+12125550100"]

[[caller_list]]
id = "york"
numbers = ["+1212*"]
"#;
