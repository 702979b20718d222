//! SIP addresses and campaign webhooks, as far as they speak of what others send later: a test for each sentence.

use strowger::call::input::Input;
use strowger::call::late;
use strowger::hooks::keys::Pass;
use strowger::hooks::model::Hooks;
use strowger::hooks::postback::{About, Post, Posting};
use strowger::types::ids::CallUuid;
use strowger::types::number::Number;
use strowger::types::secret::Secret;

use crate::sim::desk::{Desk, answer, buyer, find, invite, specs};
use crate::sim::policy::{CARRIER, PolicySpec};

/// "These headers include X-PH-RetreaverUUID, the UUID for the call."
/// "X-PH-RetreaverKey, the postback key for the call."
#[test]
fn the_key_that_the_buyer_gets_opens_its_call_and_no_other() {
    let spec = spec();
    let policy = spec.build();
    let mut desk = Desk::with(&spec);
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    let uuid = CallUuid::parse(offered.value("X-PH-RetreaverUUID")).expect("a UUID");
    let key = Secret::new(offered.value("X-PH-RetreaverKey").as_bytes());

    assert_eq!(
        late::opened_by(&policy, uuid, &key).as_deref(),
        Some("company")
    );
    let other = CallUuid::from_bytes([7; 16]);
    assert_eq!(late::opened_by(&policy, other, &key), None);
}

/// "Sometimes data is not immediately available to be returned, in which case you can use our call handler postback."
#[test]
fn a_call_handler_postback_gives_the_call_its_data_afterwards() {
    let mut desk = posted_to();
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    let uuid = CallUuid::parse(offered.value("X-PH-RetreaverUUID")).expect("a UUID");

    say(
        &mut desk,
        About::Call(uuid),
        "first_name=Jason&product_interest=mortgage",
    );
    desk.say_from(buyer(0), &answer(&offered, 486, "bob"));

    assert_eq!(
        tags(&desk),
        ["first_name:Jason", "product_interest:mortgage"]
    );
}

/// "Or call source data writing functionality to send additional data about the caller."
#[test]
fn call_source_data_writing_finds_the_call_by_its_caller() {
    let mut desk = posted_to();
    let offered = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    let caller = Number::from_e164(b"+15555550199").expect("a number");

    say(&mut desk, About::Caller(caller), "age=23&gender=m");
    desk.say_from(buyer(0), &answer(&offered, 486, "bob"));

    assert_eq!(tags(&desk), ["age:23", "gender:m"]);
}

/// One line with one buyer.
fn spec() -> PolicySpec {
    PolicySpec {
        lines: vec![specs(1)],
        ..PolicySpec::default()
    }
}

/// A desk whose calls others can say something of.
fn posted_to() -> Desk {
    Desk::changed(&spec(), |policy| {
        policy.hooks = Hooks::default();
        policy.hooks.open_to_posts();
    })
}

fn say(desk: &mut Desk, about: About, form: &str) {
    let mut posting = Posting::default();
    posting.read_form(form.as_bytes()).expect("a form");
    let post = Post {
        about,
        pass: Pass::of_call("company".into()),
        posting,
    };
    desk.tell(Input::Posted(&post));
    assert_eq!(desk.posted.last(), Some(&(1, false)));
}

/// The tags of the one call that is over.
fn tags(desk: &Desk) -> Vec<String> {
    let story = desk.records[0].story.as_ref().expect("a story");
    let tags = story.facts.tags.iter();
    tags.map(|tag| format!("{}:{}", tag.key, tag.value))
        .collect()
}
