//! A caller who is led through a flow of prompts, and whose call a vendor then takes to a buyer: what is entered is tags of the call,
//! and decides who that is. From the first prompt to the record, in virtual time and without a word of SIP or HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use strowger::call::errand::{Beginning, Said};
use strowger::call::input::Input;
use strowger::call::output::Gauges;
use strowger::call::record::{Record, Side};
use strowger::twilio::form::Form;
use strowger::twilio::ivr::{
    Act, Choice, End, Flow, InputKind, Patience, Place, Prompt, Step, Urls, Way,
};
use strowger::twilio::public_url::PublicUrl;

use super::abroad::{Abroad, beginning, told, uuid};
use super::campaigns;

#[test]
fn what_is_entered_decides_who_is_called() {
    for (keys, buyer) in [
        (["1", "90210"], Some("c0b1")),
        (["2", "90210"], Some("c0b0")),
        (["1", "10101"], None),
    ] {
        let (flow, mut desk) = (flow(), desk());
        let entered = led(&flow, &keys);

        begin(&mut desk, entered);

        match buyer {
            Some(buyer) => {
                assert_eq!(&*desk.named().buyer, buyer, "{keys:?}");
                desk.say(1, Said::Answered(1));
                desk.pass(Duration::from_secs(20));
                let over = Said::Over(1, Duration::from_secs(20), Side::Buyer);
                desk.say(1, over);
                let record = desk.record();
                assert_eq!(told(&record), [format!("{} answered 200", &buyer[2..])]);
                assert_eq!(
                    tags(&record, "product"),
                    [if keys[0] == "1" { "solar" } else { "wind" }]
                );
                assert_eq!(tags(&record, "zip"), [keys[1]]);
            }
            None => {
                assert_eq!(desk.step(), "End(no_match, 603)", "{keys:?}");
                assert!(desk.record().attempts.is_empty());
            }
        }
        assert_eq!(desk.rest(), Gauges::default());
    }
}

#[test]
fn who_enters_nothing_is_led_on_without_tags() {
    let (flow, mut desk) = (flow(), desk());
    let entered = led(&flow, &["", "", "90210"]);
    assert_eq!(entered, [("zip".into(), "90210".into())]);

    begin(&mut desk, entered);

    assert_eq!(desk.step(), "End(no_match, 603)");
    desk.record();
    assert_eq!(desk.rest(), Gauges::default());
}

/// What a caller has entered who presses this, one after another, by the time that the flow connects.
fn led(flow: &Flow, keys: &[&str]) -> Vec<(Box<str>, Box<str>)> {
    let base = PublicUrl::parse("https://edge.example.com").expect("a URL");
    let urls = Urls {
        base: &base,
        org: "acme",
    };
    let mut entered = Vec::new();
    let mut turn = flow.enter(&flow.start(), urls);
    for digits in keys {
        assert_eq!(turn.end, End::Asks, "{digits}");
        let place = asked_at(&turn.response.write().expect("it is short"));
        turn = flow.hear(
            &place,
            &[("Digits", *digits)].into_iter().collect::<Form>(),
            urls,
        );
        entered.append(&mut turn.tags);
    }
    assert_eq!(turn.end, End::Connects);
    entered
}

/// The place that the address of the answer names: whoever asks there has nothing else.
fn asked_at(document: &str) -> Place {
    let (_, address) = document.split_once("action=\"").expect("a question");
    let (address, _) = address.split_once('"').expect("its end");
    let (_, query) = address.split_once('?').expect("a query");
    let query = query.replace("&amp;", "&");
    let query = Form::parse(query.as_bytes()).expect("a query");
    Place::read(&query).expect("a place")
}

fn begin(desk: &mut Abroad, entered: Vec<(Box<str>, Box<str>)>) {
    let mut first: Beginning = beginning(1);
    first.ticket.tags = entered
        .iter()
        .map(|(key, value)| (&**key, &**value))
        .collect();
    let said = Said::Begin(Box::new(first));
    desk.desk.tell(Input::Abroad(uuid(1), said));
}

fn tags<'r>(record: &'r Record, key: &str) -> Vec<&'r str> {
    let story = record.story.as_ref().expect("a story");
    story.facts.tags.values(key).collect()
}

/// The first buyer wants wind, the second one solar in one place.
fn desk() -> Abroad {
    let desk = campaigns::desk(2, |site| {
        site.wants(0, &["product:wind"]);
        site.wants(1, &["product:solar", "zip:90210"]);
    });
    Abroad { desk }
}

fn flow() -> Flow {
    let say = |text: &str| {
        Some(Prompt::Say {
            text: text.into(),
            voice: None,
            language: None,
        })
    };
    let patience = |otherwise| Patience {
        timeout: Duration::from_secs(5),
        tries: 2,
        otherwise,
    };
    let choice = |product: &str| Choice {
        tag: Some(("product".into(), product.into())),
        next: Way::Step("zip".into()),
    };
    let menu = Step {
        id: "menu".into(),
        prompt: say("Press 1 for solar, 2 for wind."),
        act: Act::Menu {
            choices: BTreeMap::from([('1', choice("solar")), ('2', choice("wind"))]),
            patience: patience(Way::Step("zip".into())),
        },
    };
    let zip = Step {
        id: "zip".into(),
        prompt: say("Your zip code."),
        act: Act::Input {
            tag: "zip".into(),
            kind: InputKind::Digits(5),
            next: Way::Connect,
            patience: patience(Way::HangUp),
        },
    };
    Flow::new(vec![menu, zip]).expect("a flow")
}
