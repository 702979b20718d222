//! Buyers that are known by name: looked up, found, found again elsewhere, not found.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use strowger::call::input::Input;
use strowger::call::output::Gauges;
use strowger::call::policy::Strangers;
use strowger::sip::locate::{Answer, Answers, Located, Question, Srv, Step, locate};

use super::desk::{ANSWER, Desk, Said, answer, cancel, find, invite, ladder, request, specs};
use super::policy::{CARRIER, EDGE, PolicySpec, wanted};
use super::world::flow;

const URI: &str = "sip:sales@buyer.example.com";

/// Line 0: a buyer by name, then `others` by address.
fn desk(others: usize) -> Desk {
    let mut buyers = specs(others + 1);
    buyers[0].named = Some(URI.to_owned());
    Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    })
}

/// DNS says: these hosts, in this order of priority.
fn located(addresses: &[&str]) -> Arc<Located> {
    let wanted = wanted(URI);
    let mut answers = Answers::new();
    let records = addresses.iter().enumerate().map(|(place, address)| {
        let (ip, port) = address.rsplit_once(':').expect("a port");
        let name: Box<str> = format!("h{place}").into();
        let ip = ip.parse().expect("an address");
        answers.insert(Question::A(name.clone()), Answer::Addresses(vec![ip]));
        answers.insert(Question::Aaaa(name.clone()), Answer::Addresses(Vec::new()));
        Srv {
            priority: u16::try_from(place).expect("few"),
            weight: 0,
            port: port.parse().expect("a port"),
            target: name,
        }
    });
    let records: Vec<Srv> = records.collect();
    let name = "_sip._udp.buyer.example.com".into();
    answers.insert(Question::Srv(name), Answer::Srv(records));
    answers.insert(
        Question::Naptr(wanted.name().into()),
        Answer::Naptr(Vec::new()),
    );
    match locate(&wanted, &answers) {
        Step::Done(located) => Arc::new(located),
        other @ (Step::Ask(_) | Step::Nowhere { .. }) => panic!("{other:?}"),
    }
}

fn tell(desk: &mut Desk, addresses: &[&str]) -> Vec<Said> {
    let located = (!addresses.is_empty()).then(|| located(addresses));
    desk.tell(Input::Resolved {
        wanted: wanted(URI),
        located,
    })
}

#[test]
fn a_name_that_is_known_costs_a_call_no_time() {
    let mut desk = desk(0);
    assert_eq!(ladder(&tell(&mut desk, &["198.51.100.10:5070"])), [""; 0]);

    let said = desk.say(CARRIER, &invite());

    assert_eq!(
        ladder(&said),
        ["carrier 100 INVITE", "198.51.100.10:5070 INVITE"]
    );
    assert_eq!(said[1].message.uri(), URI);
    assert_eq!(desk.asked.len(), 0);
}

#[test]
fn a_call_waits_for_a_name_and_goes_on_when_it_is_found() {
    let mut desk = desk(1);

    let said = desk.say(CARRIER, &invite());
    assert_eq!(ladder(&said), ["carrier 100 INVITE"]);
    assert_eq!(desk.asked, [wanted(URI)]);
    assert_eq!(desk.pass_millis(1500).len(), 0);

    let said = tell(&mut desk, &["198.51.100.10:5060"]);
    assert_eq!(ladder(&said), ["b0 INVITE"]);
    let offered = find(&said, "b0 INVITE");
    let said = desk.say_from(
        "198.51.100.10:5060".parse().expect("an address"),
        &answer(&offered, 200, "bob").with_sdp(ANSWER),
    );
    assert_eq!(ladder(&said), ["b0 ACK", "carrier 200 INVITE"]);
    desk.rest();
    assert_eq!(desk.records[0].attempts.len(), 1);
}

#[test]
fn a_name_that_is_not_found_is_unreachable_and_the_hunt_goes_on() {
    // Told so, or not told anything for two seconds.
    for is_told in [true, false] {
        let mut desk = desk(1);
        desk.say(CARRIER, &invite());

        let said = if is_told {
            tell(&mut desk, &[])
        } else {
            assert_eq!(desk.pass_millis(1999).len(), 0);
            desk.pass_millis(1)
        };

        assert_eq!(ladder(&said), ["b1 INVITE"], "{is_told}");
        let offered = find(&said, "b1 INVITE");
        let b1 = "198.51.100.11:5060".parse().expect("an address");
        desk.say_from(b1, &answer(&offered, 486, "bob"));
        assert_eq!(desk.rest(), Gauges::default());
        assert_eq!(desk.recorded(), "no_answer 603 by edge: unreachable, busy");
    }
}

#[test]
fn alone_a_buyer_that_is_nowhere_is_603() {
    let mut desk = desk(0);
    desk.say(CARRIER, &invite());

    let said = tell(&mut desk, &[]);

    assert_eq!(ladder(&said), ["carrier 603 INVITE"]);
    assert_eq!(desk.rest(), Gauges::default());
    assert_eq!(desk.recorded(), "no_answer 603 by edge: unreachable");
}

#[test]
fn a_caller_may_give_up_while_a_name_is_looked_up() {
    let mut desk = desk(1);
    desk.say(CARRIER, &invite());

    let said = desk.say(CARRIER, &cancel(&invite()));

    assert_eq!(ladder(&said), ["carrier 200 CANCEL", "carrier 487 INVITE"]);
    assert_eq!(tell(&mut desk, &["198.51.100.10:5060"]).len(), 0);
    assert_eq!(desk.rest(), Gauges::default());
    assert_eq!(desk.recorded(), "caller_hung_up 487 by caller: cancelled");
}

/// RFC 3263 §4.3: the next place after a transport that fails, a 503, or silence.
#[test]
fn where_nobody_is_the_next_place_of_the_same_buyer_is_tried() {
    let mut desk = desk(1);
    tell(
        &mut desk,
        &[
            "198.51.100.20:1",
            "198.51.100.20:2",
            "198.51.100.20:3",
            "198.51.100.20:4",
        ],
    );

    let said = desk.say(CARRIER, &invite());
    assert_eq!(ladder(&said)[1], "198.51.100.20:1 INVITE");
    let failed = flow("198.51.100.20:1".parse().expect("an address"));
    let said = desk.tell(Input::TransportFailed { flow: failed });
    assert_eq!(ladder(&said), ["198.51.100.20:2 INVITE"]);
    let unavailable = said[0].message.reply(503, "bob");
    let said = desk.say_from(said[0].to, &unavailable);
    assert_eq!(
        ladder(&said),
        ["198.51.100.20:2 ACK", "198.51.100.20:3 INVITE"]
    );
    let said = desk.pass(Duration::from_secs(4));
    assert_eq!(
        ladder(&said).last().expect("said"),
        "198.51.100.20:4 INVITE"
    );
    // Busy is an answer: the next buyer.
    let last = said.last().expect("said").clone();
    let said = desk.say_from(last.to, &last.message.reply(486, "bob"));
    assert_eq!(ladder(&said), ["198.51.100.20:4 ACK", "b1 INVITE"]);
}

#[test]
fn a_buyer_that_rang_is_not_tried_elsewhere() {
    let mut desk = desk(1);
    tell(&mut desk, &["198.51.100.20:1", "198.51.100.20:2"]);
    let offered = desk.say(CARRIER, &invite()).pop().expect("offered");
    desk.say_from(offered.to, &answer(&offered.message, 180, "bob"));

    let said = desk.say_from(offered.to, &offered.message.reply(503, "bob"));

    assert_eq!(ladder(&said), ["198.51.100.20:1 ACK", "b1 INVITE"]);
}

/// Row 30: a name that leads to ourselves is no way.
#[test]
fn a_name_that_leads_back_to_us_is_unreachable() {
    let mut desk = desk(1);
    tell(&mut desk, &[EDGE]);

    let said = desk.say(CARRIER, &invite());

    assert_eq!(ladder(&said), ["carrier 100 INVITE", "b1 INVITE"]);
}

#[test]
fn a_new_answer_is_for_the_next_call_and_none_takes_the_old_one_away() {
    let mut desk = desk(0);
    let mut seen = BTreeSet::new();
    for (place, addresses) in [&["198.51.100.20:1"][..], &["198.51.100.20:2"], &[]]
        .into_iter()
        .enumerate()
    {
        tell(&mut desk, addresses);
        let dialled = invite().set("Call-ID", format!("{place}")).set(
            "Via",
            format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-{place}"),
        );
        let said = desk.say(CARRIER, &dialled);
        seen.extend(ladder(&said));
    }

    let expected = [
        "198.51.100.20:1 INVITE",
        "198.51.100.20:2 INVITE",
        "carrier 100 INVITE",
    ];
    assert!(seen.iter().eq(expected), "{seen:?}");
    assert_eq!(desk.asked.len(), 1);
}

/// Where strangers are met with silence, a buyer that DNS found is not one of them.
#[test]
fn a_buyer_that_was_found_is_answered_where_strangers_are_not() {
    let mut buyers = specs(1);
    buyers[0].named = Some(URI.to_owned());
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        strangers: Strangers::Silent,
        ..PolicySpec::default()
    });
    let ask = |desk: &mut Desk| {
        let options = request("OPTIONS", &format!("sip:{EDGE}"));
        ladder(&desk.say("203.0.113.5:5060", &options))
    };
    assert_eq!(ask(&mut desk), [""; 0]);

    tell(&mut desk, &["203.0.113.5:5060"]);

    assert_eq!(ask(&mut desk), ["203.0.113.5:5060 200 OPTIONS"]);
    // It moves, and calls to the old place may still be up.
    tell(&mut desk, &["203.0.113.6:5060"]);
    assert_eq!(ask(&mut desk).len(), 1);
    desk.pass(Duration::from_secs(4 * 3600));
    assert_eq!(ask(&mut desk), [""; 0]);
}
