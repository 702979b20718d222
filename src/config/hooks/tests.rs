use std::path::Path;

use super::*;
use crate::config::{Fault, Faults, Settings, Texts, load};
use crate::hooks::conversion::Criterion;

#[test]
fn a_webhook_of_which_little_is_said_has_the_defaults() {
    let settings = load_with(PING).expect("no fault");

    assert_eq!(seldom_meant(&settings), NONE);
    let hooks = settings.policy.hooks.of(0).expect("the campaign has one");
    let [hook] = hooks.all_of(Trigger::Start) else {
        panic!("one");
    };
    assert_eq!((&*hook.id, hook.method), ("crm", Method::Get));
    assert_eq!(
        hook.url.to_string(),
        "https://crm.example.com/?from=[caller_number]"
    );
    assert_eq!((hook.timeout, hook.redirects), (Duration::from_secs(5), 0));
    assert!(hook.body.is_none() && hook.secret.is_none() && hook.dedupe.is_none());
    assert!(!hook.holds_call && !hook.is_idempotent);
    let after = load_with(&PING.replace("start", "always")).expect("no fault");
    let hooks = after.policy.hooks.of(0).expect("the campaign has one");
    let always = &hooks.all_of(Trigger::Always)[0];
    assert_eq!(
        (always.timeout, always.redirects),
        (Duration::from_secs(20), 5)
    );
}

#[test]
fn a_campaign_without_hooks_has_none() {
    let settings = load_with("").expect("no fault");
    assert!(settings.policy.hooks.of(0).is_none());

    let off = format!("{PING}enabled = false\n");
    assert!(
        load_with(&off)
            .expect("no fault")
            .policy
            .hooks
            .of(0)
            .is_none()
    );
}

#[test]
fn webhooks_and_groups_of_the_documented_configuration_are_as_they_say() {
    let source = Texts::of(
        "conf/strowger.toml",
        include_str!("../../../conf/strowger.toml"),
    )
    .and(
        "conf/twilio-cidrs.toml",
        include_str!("../../../conf/twilio-cidrs.toml"),
    )
    .and(
        "conf/routing/wind.toml",
        include_str!("../../../conf/routing/wind.toml"),
    )
    .and(
        "conf/routing/numbers.csv",
        include_str!("../../../conf/routing/numbers.csv"),
    );
    let settings = load(Path::new("conf/strowger.toml"), &source, 1);
    let settings = settings.unwrap_or_else(|faults| panic!("{faults}"));

    assert_eq!(seldom_meant(&settings), NONE);
    let place = settings.policy.directory.campaigns.iter();
    let place = place
        .enumerate()
        .find(|(_, campaign)| &*campaign.id == "solar");
    let place = u32::try_from(place.expect("a campaign").0).expect("small");
    let hooks = settings.policy.hooks.of(place).expect("it has some");
    let fires = |trigger| {
        let ids = hooks.all_of(trigger).iter().map(|hook| &*hook.id);
        ids.collect::<Vec<_>>()
    };
    assert_eq!(fires(Trigger::Start), ["who-is-it"]);
    assert_eq!(fires(Trigger::Selected), ["screen-pop"]);
    assert_eq!(fires(Trigger::Timer), ["half-a-minute"]);
    assert_eq!(fires(Trigger::Always), ["report"]);
    let start = &hooks.all_of(Trigger::Start)[0];
    assert_eq!((start.method, start.headers.len()), (Method::Post, 2));
    assert_eq!((start.output.map.len(), &*start.output.prefix), (2, "crm_"));
    assert!(hooks.all_of(Trigger::Selected)[0].holds_call);
    let groups: Vec<&str> = hooks.groups.iter().map(|group| &*group.id).collect();
    assert_eq!(groups, ["long-calls", "sales"]);
    let Criterion::Timer(tiers) = &hooks.groups[0].criterion else {
        panic!("a timer");
    };
    let tiers: Vec<_> = tiers
        .iter()
        .map(|tier| {
            (
                tier.after.as_secs(),
                tier.worth.payout.to_string(),
                tier.worth.revenue.to_string(),
            )
        })
        .collect();
    assert_eq!(
        tiers,
        [
            (90, "12.50".into(), "20.00".into()),
            (300, "18.75".into(), "30.00".into())
        ]
    );
    let month = Some(Duration::from_secs(720 * 3600));
    assert_eq!(
        (
            hooks.groups[0].payout_dedupe,
            hooks.groups[0].revenue_dedupe
        ),
        (month, month)
    );
    assert!(
        matches!(hooks.groups[1].criterion, Criterion::Postback { wait, .. } if wait.as_secs() == 72 * 3600)
    );
}

#[test]
fn each_slip_has_one_fault() {
    for (right, wrong, fault) in SLIPS {
        let text = ALL.replacen(right, wrong, 1);
        assert_ne!(text, ALL, "{right}");

        let faults = load_with(&text).err().expect(wrong);

        assert_eq!(shown(faults.iter()), [*fault], "{wrong}");
    }
}

#[test]
fn what_is_seldom_meant_is_a_warning_and_is_used() {
    for (right, wrong, warning) in WARNINGS {
        let text = ALL.replacen(right, wrong, 1);
        assert_ne!(text, ALL, "{right}");

        let settings = load_with(&text).unwrap_or_else(|faults| panic!("{faults}"));

        assert_eq!(seldom_meant(&settings), [*warning], "{wrong}");
        assert!(settings.warnings[0].to_string().contains(": warning: "));
    }
    let settings = load_with(ALL).expect("no fault");
    assert_eq!(seldom_meant(&settings), NONE);
}

#[test]
fn a_campaign_has_so_many_pings_and_no_more() {
    let many = |count: usize| {
        let one = |place| PING.replace("\"crm\"", &format!("\"crm-{place}\""));
        load_with(&(0..count).map(one).collect::<String>())
    };

    assert!(many(window::MOST_PINGS).is_ok());
    let faults = many(window::MOST_PINGS + 1).err().expect("a fault");
    assert_eq!(
        shown(faults.iter()),
        ["webhook.trigger: is one \"start\" too many for its campaign"]
    );
}

#[test]
fn how_webhooks_are_sent_is_told_and_checked() {
    let settings =
        load_with("[http_client]\nallow = [\"10.1.0.0/16\"]\nports = [443, 8443]\nper_host = 9\n");
    let client = settings
        .unwrap_or_else(|faults| panic!("{faults}"))
        .http_client;
    assert!(client.allow.longest_match([10, 1, 2, 3].into()).is_some());
    assert!(client.allow.longest_match([10, 2, 2, 3].into()).is_none());
    assert_eq!((&*client.ports, client.per_host), (&[443, 8443][..], 9));
    assert_eq!(client.connect, Duration::from_secs(2));

    let wrong = "[http_client]\nallow = [\"0.0.0.0/0\"]\nports = [0]\nconnect = \"9s\"\nuser_agent = \"\"\n";
    let faults = load_with(wrong).err().expect("faults");
    let keys: Vec<&str> = faults.iter().map(|fault| &*fault.key).collect();
    let expected =
        ["allow", "ports", "connect", "user_agent"].map(|key| format!("http_client.{key}"));
    assert_eq!(keys, expected);
}

const PING: &str = "[[webhook]]\nid = \"crm\"\ncampaign = \"solar\"\ntrigger = \"start\"\n\
    url = \"https://crm.example.com/?from=[caller_number]\"\n";

const ALL: &str = r#"
[[webhook]]
id = "crm"
campaign = "solar"
trigger = "start"
matches = ["geo:us"]
method = "post"
url = "https://crm.example.com/?from=[caller_number]"
headers = { X-Lead = "[click_id]" }
body = '{"age": [age]{null}}'
content_type = "application/json"
secret = "0123456789abcdef"
timeout = "4s"
output_map = { "a[0].b" = "b" }
output_prefix = "x_"

[[webhook]]
id = "pop"
campaign = "solar"
trigger = "selected"
url = "https://crm.example.com/pop"
hold_call = true

[[webhook]]
id = "late"
campaign = "solar"
trigger = "timer"
after = "30s"
url = "https://crm.example.com/late"

[[webhook]]
id = "done"
campaign = "solar"
trigger = "connect"
url = "https://crm.example.com/done?d=[call_duration]"

[[conversion_group]]
id = "old"
campaign = "solar"
matches = ["age:>=65"]
criterion = "timer"
after = "90s"
payout = "12.50"
tier = [{ after = "120s", payout = "15" }]

[[conversion_group]]
id = "rest"
campaign = "solar"
criterion = "postback"
wait = "1h"
"#;

/// What to replace in it, by what, and the fault that this is.
const SLIPS: &[(&str, &str, &str)] = &[
    (
        "id = \"crm\"",
        "id = \"c r m\"",
        "webhook.id: `c r m` is no id",
    ),
    (
        "id = \"pop\"",
        "id = \"crm\"",
        "webhook.id: `crm` is taken, at strowger.toml:41",
    ),
    (
        "campaign = \"solar\"",
        "campaign = \"solr\"",
        "webhook.campaign: there is no campaign `solr`",
    ),
    ("campaign = \"solar\"\n", "", "webhook.campaign: is missing"),
    (
        "trigger = \"start\"",
        "trigger = \"ring\"",
        "webhook.trigger: `ring` is not known",
    ),
    ("trigger = \"start\"\n", "", "webhook.trigger: is missing"),
    (
        "[\"geo:us\"]",
        "[\"geo\"]",
        "webhook.matches: `geo` is no condition: write it as key:value, with a key of letters, digits, `_`, `.` or `-`",
    ),
    (
        "method = \"post\"",
        "method = \"patch\"",
        "webhook.method: `patch` is not known",
    ),
    (
        "method = \"post\"",
        "method = \"get\"",
        "webhook.body: cannot be sent with GET",
    ),
    (
        "https://crm.example.com/?from",
        "ftp://crm.example.com/?from",
        "webhook.url: is no web address",
    ),
    (
        "https://crm.example.com/?from",
        "https://?from",
        "webhook.url: is no web address",
    ),
    (
        "https://crm.example.com/?from=[caller_number]",
        "https://[host].example.com/",
        "webhook.url: has a token in its host: whoever fills it in says where the call's data goes",
    ),
    (
        "https://crm.example.com/?from=[caller_number]",
        "https://crm.example.com[path]",
        "webhook.url: has a token in its host: whoever fills it in says where the call's data goes",
    ),
    (
        "https://crm.example.com/?from=[caller_number]",
        "https://crm.example.com:[port]/",
        "webhook.url: has a token in its host: whoever fills it in says where the call's data goes",
    ),
    (
        "https://crm.example.com/?from=[caller_number]",
        "[url]",
        "webhook.url: is no web address",
    ),
    (
        "https://crm.example.com/?from",
        "https://u:canary@crm.example.com/?from",
        "webhook.url: has credentials in it, which logs would show",
    ),
    (
        "X-Lead = ",
        "Host = ",
        "webhook.headers: `Host` cannot be set here",
    ),
    (
        "X-Lead = ",
        "Content-Type = ",
        "webhook.headers: `Content-Type` cannot be set here",
    ),
    (
        "X-Lead = ",
        "\"X Lead\" = ",
        "webhook.headers: `X Lead` cannot be set here",
    ),
    (
        "X-Lead = \"[click_id]\"",
        "X-Lead = \"a\\nb\"",
        "webhook.headers: holds other than visible ASCII",
    ),
    (
        "X-Lead = \"[click_id]\"",
        "X-Lead = 7",
        "webhook.headers: is a number",
    ),
    (
        "\"application/json\"",
        "\"json\"",
        "webhook.content_type: is no type of a body",
    ),
    (
        "\"0123456789abcdef\"",
        "\"short\"",
        "webhook.secret: is too short",
    ),
    (
        "timeout = \"4s\"",
        "timeout = \"6s\"",
        "webhook.timeout: 6s is longer than a call waits",
    ),
    (
        "timeout = \"4s\"",
        "timeout = \"4\"",
        "webhook.timeout: `4` is no time",
    ),
    (
        "timeout = \"4s\"",
        "after = \"4s\"",
        "webhook.after: is of no use with trigger = \"start\"",
    ),
    (
        "timeout = \"4s\"",
        "hold_call = true",
        "webhook.hold_call: is of no use with trigger = \"start\"",
    ),
    (
        "timeout = \"4s\"",
        "redirects = 6",
        "webhook.redirects: 6 is out of range",
    ),
    (
        "timeout = \"4s\"",
        "delay = 6",
        "webhook.delay: unknown key",
    ),
    (
        "{ \"a[0].b\" = \"b\" }",
        "{ \"a[x]\" = \"b\" }",
        "webhook.output_map: `a[x]` is no path: keys with dots between them, and places in lists in brackets, from 0",
    ),
    (
        "{ \"a[0].b\" = \"b\" }",
        "{ \"a\" = \"call_uuid\" }",
        "webhook.output_map: `call_uuid` cannot be the key of a tag",
    ),
    (
        "output_prefix = \"x_\"",
        "output_prefix = \"x y\"",
        "webhook.output_prefix: cannot begin the key of a tag",
    ),
    (
        "[age]{null}",
        "[call_duration]",
        "webhook.body: [call_duration] is not known before the call is over",
    ),
    ("after = \"30s\"\n", "", "webhook.after: is missing"),
    (
        "late\"\n\n",
        "late\"\noutput_prefix = \"x\"\n\n",
        "webhook.output_prefix: is of no use with trigger = \"timer\"",
    ),
    (
        "/late",
        "/[hung_up_by]",
        "webhook.url: [hung_up_by] is not known before the call is over",
    ),
    (
        "id = \"rest\"",
        "id = \"old\"",
        "conversion_group.id: `old` is taken, at strowger.toml:76",
    ),
    (
        "criterion = \"timer\"\n",
        "",
        "conversion_group.criterion: is missing",
    ),
    (
        "criterion = \"timer\"",
        "criterion = \"luck\"",
        "conversion_group.criterion: `luck` is not known",
    ),
    (
        "after = \"90s\"\n",
        "",
        "conversion_group.after: is missing",
    ),
    (
        "\"12.50\"",
        "\"12,50\"",
        "conversion_group.payout: `12,50` is no amount",
    ),
    (
        "\"12.50\"",
        "\"-1\"",
        "conversion_group.payout: `-1` is no amount",
    ),
    ("\"12.50\"", "12.50", "conversion_group.payout: is a number"),
    (
        "after = \"120s\"",
        "after = \"90s\"",
        "conversion_group.tier.after: is the time of another threshold of the group",
    ),
    (
        "after = \"120s\", ",
        "",
        "conversion_group.tier.after: is missing",
    ),
    (
        "wait = \"1h\"",
        "after = \"1h\"",
        "conversion_group.after: is of no use with criterion = \"postback\"",
    ),
];

const WARNINGS: &[(&str, &str, &str)] = &[
    (
        "hold_call = true",
        "",
        "webhook.trigger: tells every buyer that is tried of the call, also those who never answer",
    ),
    (
        "/pop",
        "/pop?[call_key]",
        "webhook.url: hands the key of the call on, with which anybody can change the call and its payout",
    ),
    (
        "/late",
        "/late?[call_key]",
        "webhook.url: hands the key of the call on, with which anybody can change the call and its payout",
    ),
    (
        "matches = [\"age:>=65\"]\n",
        "",
        "conversion_group.id: no call ever gets here: the group at strowger.toml:76 takes all",
    ),
];

const NONE: [&str; 0] = [];

/// All warnings but those of what does nothing yet.
fn seldom_meant(settings: &Settings) -> Vec<String> {
    let warnings = settings.warnings.iter();
    let is_deaf = |one: &&Fault| one.what.starts_with("waits for postbacks");
    shown(warnings.filter(|one| !is_deaf(one)))
}

fn shown<'f>(faults: impl Iterator<Item = &'f Fault>) -> Vec<String> {
    let faults = faults.map(|fault| format!("{}: {}", fault.key, fault.what));
    faults.collect()
}

fn load_with(more: &str) -> Result<Settings, Faults> {
    let text = include_str!("../../../conf/minimal.toml").to_owned() + more;
    load(
        Path::new("strowger.toml"),
        &Texts::of("strowger.toml", text),
        1,
    )
}

#[test]
fn webhooks_that_count_calls_have_the_dedupe_of_their_campaign_unless_they_say_otherwise() {
    let hour = Some(Duration::from_secs(3600));
    for (trigger, own, expected) in [
        ("connect", "", hour),
        ("conversion", "", hour),
        ("connect", "dedupe = \"0s\"", None),
        (
            "conversion",
            "dedupe = \"60s\"",
            Some(Duration::from_secs(60)),
        ),
        ("always", "", None),
    ] {
        let hook = format!("trigger = \"{trigger}\"\n{own}");
        let hook = PING.replacen("trigger = \"start\"", &hook, 1);
        assert_ne!(hook, PING);
        let text = include_str!("../../../conf/minimal.toml").to_owned() + &hook;
        let text = text.replacen("[[campaign]]\n", "[[campaign]]\ndedupe = \"1h\"\n", 1);
        let source = Texts::of("strowger.toml", text);

        let settings = load(Path::new("strowger.toml"), &source, 1);
        let settings = settings.unwrap_or_else(|faults| panic!("{faults}"));

        let hooks = &settings.policy.hooks;
        let found = hooks.webhooks().next().expect("a webhook");
        assert_eq!(found.dedupe, expected, "{trigger} {own}");
        let memory = settings.policy.memory();
        assert_eq!(memory, expected.unwrap_or_default(), "{trigger} {own}");
    }
}

#[test]
fn calls_are_known_for_as_long_as_a_postback_may_come() {
    let group = |wait: &str| {
        format!(
            "[[conversion_group]]\nid = \"sale\"\ncampaign = \"solar\"\ncriterion = \"postback\"\nwait = \"{wait}\"\n"
        )
    };
    let kept = |wait: &str| {
        let store = "[node]\ndata_dir = \"data\"\n[store]\nkeep = \"1h\"\n";
        let settings = load_with(&format!("{}{store}", group(wait)));
        let settings = settings.unwrap_or_else(|faults| panic!("{faults}"));
        settings.storage.expect("a store").keep
    };

    assert_eq!(kept("2d"), Duration::from_secs(2 * 24 * 3600));
    assert_eq!(kept("1s"), Duration::from_secs(3600));
}

#[test]
fn who_waits_for_postbacks_that_nobody_can_hear_is_warned() {
    let hook = PING.replacen("\"start\"", "\"postback\"", 1);
    let group =
        "[[conversion_group]]\nid = \"sale\"\ncampaign = \"solar\"\ncriterion = \"postback\"\n";
    let door = "[http]\n[[http.listen]]\nbind = \"127.0.0.1:0\"\n";
    let warned = |more: &str| {
        let settings = load_with(&format!("{hook}{group}{more}"));
        let settings = settings.unwrap_or_else(|faults| panic!("{faults}"));
        shown(settings.warnings.iter())
    };

    let no_way = "waits for postbacks, and there is no way for them";
    let forgotten = "waits for postbacks, and nothing is known of a call once it is over";
    let both = |what: &str| {
        let of = |key: &str| format!("{key}: {what}");
        vec![of("conversion_group.criterion"), of("webhook.trigger")]
    };
    let sorted = |mut warnings: Vec<String>| {
        warnings.sort();
        warnings
    };
    assert_eq!(sorted(warned("")), both(no_way));
    assert_eq!(sorted(warned(door)), both(forgotten));
    assert_eq!(
        warned(&format!("{door}[node]\ndata_dir = \"data\"\n")),
        NONE
    );
}
