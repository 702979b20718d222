//! Campaign webhooks: data appending and ad hoc integrations. A test for each sentence that says what they do, as far as it can be
//! seen without a call.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use strowger::config::{Texts, load};
use strowger::hooks::after::{Firing, timers};
use strowger::hooks::conversion::{Conversion, Ended, Posted, Talk};
use strowger::hooks::model::{CampaignHooks, Webhook};
use strowger::hooks::past::Forgotten;
use strowger::hooks::postback::{Fate, Posting};
use strowger::hooks::reply::{self, Output};
use strowger::hooks::request::{DeliveryId, Request};
use strowger::hooks::trigger::{Class, Trigger};
use strowger::hooks::window::{LIMIT, Slot, Taken, Window};
use strowger::net::clock;
use strowger::types::ids::{CallUuid, Entropy};
use strowger::types::number::Number;
use strowger::types::tag::{Origin, Tags};

/// "Place tag values under matches if you wish to only trigger this webhook under certain circumstances."
#[test]
fn a_webhook_fires_only_where_its_matches_hold() {
    let hooks = hooks(&webhook(
        "crm",
        "start",
        "matches = [\"calling_about:support\"]",
    ));
    let about = |what: &str| tags(&[("calling_about", what)]);

    assert_eq!(due(&hooks, Trigger::Start, &about("support")), ["crm"]);
    assert_eq!(due(&hooks, Trigger::Start, &about("sales")), [""; 0]);
    assert_eq!(due(&hooks, Trigger::Start, &Tags::default()), [""; 0]);
}

/// "Use Replacement Tokens based on existing tag keys to substitute tag values into your webhook URL."
#[test]
fn tokens_in_the_url_are_the_values_of_tags() {
    let hooks = hooks(&webhook("crm", "start", ""));
    let tags = tags(&[("first_name", "Jason"), ("product_interest", "auto loan")]);

    let request = request(&hooks.all_of(Trigger::Start)[0], &tags);

    assert_eq!(
        &*request.url,
        "https://crm.example.com/?n=Jason&p=auto%20loan"
    );
}

/// "Varying types of triggers are available, each executing at a different point in the call, but functionally equal in every
/// other regard."
#[test]
fn every_trigger_has_matches_tokens_and_headers_alike() {
    for trigger in Trigger::ALL {
        let after = if trigger == Trigger::Timer {
            "after = \"30s\"\n"
        } else {
            ""
        };
        let more = format!("{after}matches = [\"age:>65\"]\nheaders = {{ X-Age = \"[age]\" }}\n");
        let hooks = hooks(&webhook("crm", trigger.label(), &more));
        let tags = tags(&[("age", "66"), ("first_name", "Jason")]);

        assert_eq!(due(&hooks, trigger, &tags), ["crm"], "{trigger}");
        let request = request(&hooks.all_of(trigger)[0], &tags);

        assert_eq!(request.trigger, trigger);
        assert_eq!(
            &*request.url, "https://crm.example.com/?n=Jason&p=",
            "{trigger}"
        );
        assert!(
            request.headers.contains(&("X-Age".into(), "66".into())),
            "{trigger}"
        );
    }
}

/// "Start - triggered as soon as the call is received. Actions are run simultaneously."
#[test]
fn start_pings_are_asked_all_at_once_and_none_waits_for_another() {
    let now = clock::now();
    let mut window = Window::open(now, LIMIT, 3);

    // The last one is the first to answer.
    for place in [2, 0, 1] {
        assert_eq!(window.handle_answer(now, place, place), Taken::InTime);
    }

    assert!(window.is_over());
}

/// "The selected ping may be triggered more than once if the first buyer doesn't answer the call."
#[test]
fn each_time_that_a_buyer_is_selected_is_a_delivery_of_its_own() {
    let call = CallUuid::new(&mut Entropy::from_seed([4; 32]));
    let turns = [0, 1].map(|turn| DeliveryId::new(&call, "pop", turn));

    assert_ne!(turns[0], turns[1]);
    assert_eq!(turns[0], DeliveryId::new(&call, "pop", 0));
}

/// "This may cause data leakage - use an answered ping instead if this is a concern. Selected pings should only be used when you
/// need to ensure that the buyer's system has been updated before receiving the call."
#[test]
fn a_selected_ping_that_no_call_waits_for_is_warned_of() {
    let warnings = |more: &str, trigger: &str| {
        let settings = load_with(&webhook("pop", trigger, more));
        settings.warnings.len()
    };

    assert_eq!(warnings("", "selected"), 1);
    assert_eq!(warnings("hold_call = true", "selected"), 0);
    assert_eq!(warnings("", "answered"), 0);
}

/// "Pings are used to retrieve data"; "browser emulated webhooks send conversion information, or call data at the end of a call".
#[test]
fn the_first_three_triggers_are_pings_and_the_others_are_fetched_as_by_a_browser() {
    for trigger in Trigger::ALL {
        let after = if trigger == Trigger::Timer {
            "after = \"30s\""
        } else {
            ""
        };
        let hooks = hooks(&webhook("crm", trigger.label(), after));
        let request = request(&hooks.all_of(trigger)[0], &Tags::default());
        let is_ping = matches!(
            trigger,
            Trigger::Start | Trigger::Selected | Trigger::Answered
        );

        assert_eq!(request.class() == Class::Ping, is_ping, "{trigger}");
        assert_eq!(request.redirects, if is_ping { 0 } else { 5 }, "{trigger}");
    }
}

/// "Connect - triggered at the end of a call if a call successfully connected to a buyer."
#[test]
fn connect_fires_only_for_calls_that_a_buyer_answered() {
    let hooks = end_hooks();

    assert!(ended(&hooks, Some(120)).contains(&"connect".to_owned()));
    assert!(!ended(&hooks, None).contains(&"connect".to_owned()));
}

/// "Conversion - triggered when a call fulfills a campaign conversion criteria. Non-conversion - when a call did not."
#[test]
fn exactly_one_of_conversion_and_non_conversion_fires() {
    let hooks = end_hooks();

    for (talk, fired) in [
        (Some(90), "conversion"),
        (Some(89), "non-conversion"),
        (None, "non-conversion"),
    ] {
        let found = ended(&hooks, talk);
        let found: Vec<_> = found
            .iter()
            .filter(|id| id.ends_with("conversion"))
            .collect();
        assert_eq!(found, [fired], "{talk:?}");
    }
}

/// "Timer - triggered upon the call reaching the timer specified under the webhook."
#[test]
fn a_timer_fires_at_its_time_after_the_answer() {
    let hooks = hooks(&webhook("half", "timer", "after = \"30s\""));

    let timers = timers(&hooks, Duration::ZERO);

    let timers: Vec<_> = timers
        .iter()
        .map(|(at, hook)| (at.as_secs(), &*hook.id))
        .collect();
    assert_eq!(timers, [(30, "half")]);
}

/// "Postback - triggered when a postback is received, which could potentially update call attributes."
#[test]
fn a_postback_hook_sees_what_the_postback_said() {
    let hooks = hooks(&webhook("crm", "postback", "matches = [\"status:sold\"]"));
    let mut tags = tags(&[("first_name", "Jason")]);
    assert_eq!(due(&hooks, Trigger::Postback, &tags), [""; 0]);
    let mut posting = Posting::default();
    posting
        .read_form(b"status=sold&product_interest=loan")
        .expect("a form");

    let refused = posting.apply(Origin::Postback, &mut tags);

    assert_eq!(refused, []);
    assert_eq!(due(&hooks, Trigger::Postback, &tags), ["crm"]);
    let request = request(&hooks.all_of(Trigger::Postback)[0], &tags);
    assert_eq!(&*request.url, "https://crm.example.com/?n=Jason&p=loan");
}

/// "Always - triggered at the end of every call and after any other applicable webhooks."
#[test]
fn always_fires_for_every_call_and_last() {
    let hooks = end_hooks();

    for talk in [Some(600), Some(1), None] {
        let fired = ended(&hooks, talk);
        assert_eq!(fired.last().map(String::as_str), Some("always"), "{talk:?}");
        assert_eq!(fired.len(), if talk.is_some() { 3 } else { 2 });
    }
}

/// "If the URL you're pinging returns valid JSON, we'll apply the keys and values of the root JSON object to your call as tags."
#[test]
fn the_example_answer_becomes_the_tags_of_the_example() {
    let body = r#"{"first_name": "Jason", "last_name": "Kay", "geo": "us-10101", "age": 23, "gender": "m"}"#;
    let mut tags = Tags::default();

    let warnings = reply::apply(body.as_bytes(), &Output::default(), &mut tags);

    assert_eq!(warnings, []);
    let expected = [
        "age:23",
        "first_name:Jason",
        "gender:m",
        "geo:us",
        "geo:us-10101",
        "geo:us-ny",
        "last_name:Kay",
    ];
    assert_eq!(shown(&tags), expected);
}

/// "The geo tag is automatically inferred from the caller's area code; returning a geo zip code will cause the caller's location to be
/// overridden."
#[test]
fn a_zip_in_the_answer_overrides_where_the_area_code_says_the_caller_is() {
    let mut tags = Tags::default();
    tags.infer(Number::from_e164(b"+16146792390").expect("a number"));
    assert_eq!(shown(&tags), ["geo:614", "geo:us", "geo:us-oh"]);

    let warnings = reply::apply(br#"{"geo": "us-10101"}"#, &Output::default(), &mut tags);

    assert_eq!(warnings, []);
    assert_eq!(
        shown(&tags),
        ["geo:614", "geo:us", "geo:us-10101", "geo:us-ny"]
    );
}

/// "You can also return multiple values for a tag by setting the value to an array."
#[test]
fn an_array_becomes_several_values_of_one_tag() {
    let mut tags = Tags::default();

    let body = br#"{"product_interest": ["mortgage", "insurance"]}"#;
    let warnings = reply::apply(body, &Output::default(), &mut tags);

    assert_eq!(warnings, []);
    assert_eq!(
        shown(&tags),
        ["product_interest:mortgage", "product_interest:insurance"]
    );
}

/// "Pings can also be used to inform third party systems about calls, without retrieving additional data."
#[test]
fn an_answer_that_says_nothing_is_no_fault() {
    let mut tags = Tags::default();

    assert_eq!(reply::apply(b"", &Output::default(), &mut tags), []);
    assert_eq!(reply::apply(b"{}", &Output::default(), &mut tags), []);

    assert!(tags.is_empty());
}

/// "Webhooks have a time out window of 5 seconds in order to return a response."
#[test]
fn an_answer_after_4_9_seconds_counts_and_one_after_5_1_seconds_does_not() {
    let now = clock::now();
    let mut window = Window::open(now, LIMIT, 2);

    let in_time = window.handle_answer(now + Duration::from_millis(4_900), 0, "tags");
    let late = window.handle_answer(now + Duration::from_millis(5_100), 1, "tags");
    window.handle_timeout(now + LIMIT);

    assert_eq!((in_time, late), (Taken::InTime, Taken::Late));
    assert!(window.is_over());
    assert_eq!(window.into_slots(), [Slot::Done("tags"), Slot::TimedOut]);
}

/// "You can use the call handler postback or call source data writing to send additional data about the caller."
#[test]
fn what_comes_later_is_posted_to_the_call_or_to_the_caller() {
    let mut posting = Posting::default();
    posting
        .read_json(br#"{"caller_number": "6146792390", "age": 23}"#)
        .expect("an object");
    let mut stored = Tags::default();

    let refused = posting.apply(Origin::Stored, &mut stored);

    assert_eq!(refused, []);
    assert_eq!(posting.caller, Number::from_e164(b"+16146792390"));
    assert_eq!(shown(&stored), ["age:23"]);
    assert_eq!(
        posting.answer(Fate::Stored, &stored)["status"],
        "call not found, tags stored"
    );
}

/// A hook of each trigger at the end of a call; a call converts after 90 s.
fn end_hooks() -> Arc<CampaignHooks> {
    let triggers = ["always", "non-conversion", "conversion", "connect"];
    let text: String = triggers.iter().map(|one| webhook(one, one, "")).collect();
    let group = "[[conversion_group]]\nid = \"long\"\ncampaign = \"solar\"\ncriterion = \"timer\"\nafter = \"90s\"\n";
    hooks(&(text + group))
}

/// The ids of what fires at the end of a call of so many seconds; `None`: nobody answered.
fn ended(hooks: &CampaignHooks, talk: Option<u64>) -> Vec<String> {
    let tags = Tags::default();
    let now = "2024-11-04T14:00:00Z".parse().expect("a moment");
    let call = Ended {
        facts: &tags,
        talk: talk.map(|seconds| Talk {
            buyer: "sunny",
            time: Duration::from_secs(seconds),
            offset: Duration::ZERO,
        }),
        caller: None,
        posted: Posted::default(),
        now,
    };
    let conversion = Conversion::of(&hooks.groups, &call, &Forgotten);
    let fired = firing(&tags).after_call(hooks, talk.is_some(), &conversion);
    fired.iter().map(|hook| hook.id.to_string()).collect()
}

fn due(hooks: &CampaignHooks, trigger: Trigger, tags: &Tags) -> Vec<String> {
    let due = firing(tags).due(hooks, trigger);
    due.map(|hook| hook.id.to_string()).collect()
}

fn firing(tags: &Tags) -> Firing<'_> {
    Firing {
        facts: tags,
        caller: None,
        past: &Forgotten,
        now: "2024-11-04T14:00:00Z".parse().expect("a moment"),
    }
}

fn request(hook: &Webhook, tags: &Tags) -> Request {
    let call = CallUuid::new(&mut Entropy::from_seed([4; 32]));
    let delivery = DeliveryId::new(&call, &hook.id, 0);
    Request::build(hook, tags, &delivery).expect("short")
}

fn webhook(id: &str, trigger: &str, more: &str) -> String {
    format!(
        "[[webhook]]\nid = \"{id}\"\ncampaign = \"solar\"\ntrigger = \"{trigger}\"\n\
         url = \"https://crm.example.com/?n=[first_name]&p=[product_interest]\"\n{more}\n"
    )
}

fn hooks(text: &str) -> Arc<CampaignHooks> {
    let settings = load_with(text);
    Arc::clone(settings.policy.hooks.of(0).expect("the campaign has some"))
}

fn load_with(more: &str) -> strowger::config::Settings {
    let text = include_str!("../../../conf/minimal.toml").to_owned() + more;
    let source = Texts::of("strowger.toml", text);
    load(Path::new("strowger.toml"), &source, 1).unwrap_or_else(|faults| panic!("{faults}"))
}

fn tags(values: &[(&str, &str)]) -> Tags {
    let mut tags = Tags::default();
    for (key, value) in values {
        tags.add(key, value, Origin::Number).expect("a tag");
    }
    tags
}

fn shown(tags: &Tags) -> Vec<String> {
    tags.iter()
        .map(|tag| format!("{}:{}", tag.key, tag.value))
        .collect()
}
