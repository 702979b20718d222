use std::path::Path;

use crate::config::{Faults, Texts, load};

/// What is added to the buyer `sunny`, to the campaign `solar`, and at the end; what is warned of, but for the file.
struct Row(
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

#[test]
fn each_lint_says_where_what_and_what_would_be_right() {
    let rows = [
        Row("", "", "", &[]),
        Row(
            "",
            "",
            "[[buyer]]\nid = \"idle\"\ncompany = \"acme\"\nuri = \"sip:x@203.0.113.9\"\n",
            &[
                "41:6: warning: buyer.id: gets no call: no campaign names it; name it in `buyers` of a [[campaign]], or take it out",
            ],
        ),
        Row(
            "tags = [\"age:==30\", \"age:!=30\"]",
            "",
            "",
            &[
                "26:8: warning: buyer.tags: asks of `age` that it is ==30 and !=30: no call is that; take one of the two out",
            ],
        ),
        Row(
            "forward_tags = [\"age:>=65\", \"age:<18\"]",
            "",
            "",
            &[
                "26:16: warning: buyer.forward_tags: asks of `age` that it is >=65 and <18: only a call with several values is \
                 that; take one of the two out",
            ],
        ),
        Row(
            "tags = [\"age:>=65\", \"age:30\", \"age:31\"]",
            "",
            "",
            &[
                "26:8: warning: buyer.tags: asks of `age` that it is >=65 and one of ==30 ==31: only a call with several values \
                 is that; take one of the two out",
            ],
        ),
        Row(
            "tags = [\"age:>=18\", \"age:<=18\", \"zip:!=10101\", \"zip:=~^1\", \"state:ny\", \"state:nj\", \"state:!=nj\"]",
            "",
            "",
            &[],
        ),
        Row(
            "accepted = [\"york\"]\nsuppressed = [\"york\"]",
            "",
            "[[caller_list]]\nid = \"york\"\nnumbers = [\"+1212*\"]\n",
            &[
                "26:12: warning: buyer.accepted: lets nobody through: each of these lists is in `suppressed`, too; a list belongs \
                 into one of the two",
            ],
        ),
        Row("caps = { hour = 5, total = 9 }", "", "", &[]),
        Row("caps = { day = 5 }\ntime_zone = \"UTC\"", "", "", &[]),
        Row(
            "caps = { month = 5 }",
            "",
            "[[buyer_group]]\nid = \"pool\"\ncompany = \"acme\"\nmembers = [\"sunny\"]\ncaps = { day = 9 }\n",
            &[
                "26:8: warning: buyer.caps: counts by days of UTC, which begin in the evening in America; time_zone = \
                 \"America/New_York\", or \"UTC\" if that is what is meant",
                "44:8: warning: buyer_group.caps: counts by days of UTC, which begin in the evening in America; time_zone = \
                 \"America/New_York\", or \"UTC\" if that is what is meant",
            ],
        ),
        Row(
            "paused = true\npriority = 7",
            "",
            "",
            &[
                "32:10: warning: campaign.buyers: priority 7 is never used: all of it are paused; let one of them take calls, or \
                 take them out",
            ],
        ),
        Row(
            "",
            "",
            "[hunt]\nattempts = 1\n[[buyer]]\nid = \"second\"\ncompany = \"acme\"\nuri = \"sip:x@203.0.113.9\"\npriority = 2\n\
             [[campaign]]\nid = \"both\"\ncompany = \"acme\"\nbuyers = [\"sunny\", \"second\"]\n",
            &[
                "50:10: warning: campaign.buyers: priority 2 is never used: 1 buyers before it take every call, and a call is \
                 offered 1 times; a higher `attempts` in [hunt], or fewer buyers before it",
            ],
        ),
        Row(
            "x_ph_profile = \"plivo\"\nheaders = { set = { X-Account = \"7\", Account = \"a b\", Good = \"7%20\" } }",
            "",
            "",
            &[
                "27:21: warning: buyer.headers.set: `X-Account` has a name of more than letters and digits, so Plivo drops it; up \
                 to 24 letters and digits for the name, up to 120 letters, digits and `%` for the value",
                "27:38: warning: buyer.headers.set: `Account` has a value of more than letters, digits and `%`, so Plivo drops it; \
                 up to 24 letters and digits for the name, up to 120 letters, digits and `%` for the value",
            ],
        ),
        Row(
            "",
            "",
            "[[conversion_group]]\nid = \"a\"\ncampaign = \"solar\"\ncriterion = \"timer\"\nafter = \"9s\"\n\
             matches = [\"a:1\", \"b:2\"]\n[[conversion_group]]\nid = \"b\"\ncampaign = \"solar\"\ncriterion = \"timer\"\n\
             after = \"90s\"\nmatches = [\"b: 2\", \"A:1\"]\n",
            &[
                "47:6: warning: conversion_group.id: no call ever gets here: the group at strowger.toml:41 asks for the same; only \
                 the first group whose `matches` hold is asked",
            ],
        ),
        Row(
            "hours = [\"mon-fri 09:00-17:00\"]\ntime_zone = \"America/New_York\"",
            "",
            "[[number]]\nnumber = \"+12125550177\"\ncampaign = \"other\"\nafid = \"bright-leads\"\n\
             hours = [\"sat 09:00-17:00\"]\n[[campaign]]\nid = \"other\"\ncompany = \"acme\"\nbuyers = [\"sunny\"]\n",
            // The number of `solar` is always open.
            &[],
        ),
    ];
    for Row(buyer, campaign, end, expected) in rows {
        let warnings = warnings(buyer, campaign, end).unwrap_or_else(|faults| panic!("{faults}"));

        assert_eq!(warnings, expected, "{buyer}\n{end}");
    }
}

#[test]
fn a_buyer_that_is_closed_while_numbers_are_open_and_one_that_leads_back_to_us_are_told() {
    let text = MAIN
        .replace(
            "afid = \"bright-leads\"\n#n",
            "afid = \"bright-leads\"\nhours = [\"daily 06:00-08:00\"]\n",
        )
        .replace("#b", "hours = [\"mon-fri 09:00-17:00\"]")
        .replace("sip:sales@203.0.113.20", "sip:sales@sip.example.com");
    let text = text.replace("#a", "address = \"203.0.113.20:5060\"");

    let warnings = read(&text).unwrap_or_else(|faults| panic!("{faults}"));

    assert_eq!(
        warnings,
        [
            "24:7: warning: buyer.uri: `sip.example.com` is a domain of ours: its calls may come back to us; the host at which the \
             buyer takes calls",
            "26:9: warning: buyer.hours: is closed whenever the numbers of `solar` are open; hours in which calls can come",
        ]
    );
    // Half past eight in one zone is half past five in the other.
    let west = text.replace(
        "[\"mon-fri 09:00-17:00\"]",
        "[\"mon 05:30-05:45\"]\ntime_zone = \"America/Los_Angeles\"",
    );
    let east = west.replace(
        "[\"daily 06:00-08:00\"]",
        "[\"daily 08:30-08:45\"]\ntime_zone = \"America/New_York\"",
    );
    assert_eq!(read(&east).map(|warnings| warnings.len()).ok(), Some(1));
}

#[test]
fn what_the_specification_calls_wrong_is_refused_or_warned_of() {
    let webhook = "[[webhook]]\nid = \"crm\"\ncampaign = \"solar\"\nhold_call = true\n";
    let rows = [
        ("weight = 0", "".to_owned(), "weight"),
        (
            "",
            "[[number]]\nnumber = \"x\"\ncampaign = \"solar\"\nafid = \"bright-leads\"".to_owned(),
            "number.number",
        ),
        (
            "",
            "[[number]]\nnumber = \"+12125550101\"\ncampaign = \"solar\"\nafid = \"bright-leads\""
                .to_owned(),
            "number.number",
        ),
        (
            "",
            format!("{webhook}trigger = \"selected\"\nurl = \"https://[sub_id].example.com/\""),
            "webhook.url",
        ),
        (
            "",
            format!(
                "{webhook}trigger = \"selected\"\nurl = \"https://crm.example.com/?d=[call_duration]\""
            ),
            "webhook.url",
        ),
        (
            "",
            "[[campaign]]\nid = \"loop\"\ncompany = \"acme\"\nbuyers = [\"sunny\"]\n\
              [campaign.exits]\nno_match = { campaign = \"loop\" }"
                .to_owned(),
            "campaign.id",
        ),
    ];
    for (buyer, end, key) in rows {
        let faults = warnings(buyer, "", &end).expect_err(key);
        assert!(
            faults.iter().any(|fault| fault.key.ends_with(key)),
            "{faults}"
        );
    }
    let leak =
        format!("{webhook}trigger = \"selected\"\nurl = \"https://crm.example.com/?k=[call_key]\"");
    let told = warnings("", "", &leak).expect("no fault");
    assert!(
        told[0].contains("webhook.url: hands the key of the call on"),
        "{told:?}"
    );
}

#[test]
fn a_telephone_is_for_campaigns_whose_buyers_twilio_calls() {
    let with = |buyer: &str, campaign: &str| {
        let buyer = format!("[[buyer]]\nid = \"phone\"\ncompany = \"acme\"\n{buyer}\n");
        let campaign = format!(
            "[[campaign]]\nid = \"sold\"\ncompany = \"acme\"\nbuyers = [\"phone\"]\n{campaign}"
        );
        warnings("", "", &(buyer + &campaign)).map_err(|faults| faults.to_string())
    };
    let phone = "uri = \"tel:+18885550100\"";

    let told = with(phone, "").expect("no fault");
    let told: Vec<_> = told
        .iter()
        .filter(|one| one.contains("telephone"))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("campaign.buyers: `phone` is a telephone, and only Twilio"));
    let direct = with(phone, "twilio = \"direct\"\n").expect("no fault");
    assert!(
        direct.iter().all(|one| !one.contains("telephone")),
        "{direct:?}"
    );
    for (buyer, fault) in [
        (
            "uri = \"tel:8885550100\"",
            "`tel:8885550100` is no telephone",
        ),
        (
            "uri = \"tel:+18885550100\"\ntransport = \"udp\"",
            "is of no use for a telephone",
        ),
        (
            "uri = \"sip:a@192.0.2.9\"\nshare_login = true",
            "`share_login` is of no use without a login",
        ),
    ] {
        let faults = with(buyer, "").expect_err("a fault");
        assert!(faults.contains(fault), "{faults}");
    }
}

fn warnings(buyer: &str, campaign: &str, end: &str) -> Result<Vec<String>, Faults> {
    let text = MAIN.replace("#b", buyer).replace("#c", campaign);
    read(&(text + end))
}

fn read(text: &str) -> Result<Vec<String>, Faults> {
    let source = Texts::of("strowger.toml", text);
    let settings = load(Path::new("strowger.toml"), &source, 1)?;
    let shown = settings.warnings.iter().map(|warning| warning.to_string());
    Ok(shown
        .map(|line| line.replacen("strowger.toml:", "", 1))
        .collect())
}

/// Line 26 is the buyer's, and what is added at the end begins at line 40.
const MAIN: &str = r#"[[listen]]
bind = "192.0.2.10:5060"
[[domain]]
name = "sip.example.com"
require = "ip"

[[trunk]]
id = "carrier"
company = "acme"
domains = ["sip.example.com"]
allow = ["198.51.100.7/32"]

[[company]]
id = "acme"
key_secret = "CHANGE-ME-at-least-16-bytes"

[[publisher]]
afid = "bright-leads"
company = "acme"

[[buyer]]
id = "sunny"
company = "acme"
uri = "sip:sales@203.0.113.20"
#a
#b

[[campaign]]
id = "solar"
company = "acme"
buyers = ["sunny"]
#c

[[number]]
number = "+12125550101"
campaign = "solar"
afid = "bright-leads"
#n

"#;
