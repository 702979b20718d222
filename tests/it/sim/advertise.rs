//! A carrier that knows the edge by an address of its own, and the buyers, which do not.

use std::time::Duration;

use super::desk::{
    ANSWER, Desk, OFFER, Said, Talk, answer, buyer, buyer_request, caller_request, find, invite,
    ladder, specs,
};
use super::policy::{CARRIER, EDGE, PolicySpec, addr};
use strowger::call::input::{Input, Which};
use strowger::call::policy::Terms;

const OWN: &str = "203.0.113.7:5070";

/// Every kind of message that goes out on either leg.
#[test]
fn the_carrier_sees_its_own_address_of_ours_and_the_buyer_the_listeners() {
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        advertise: vec![OWN.into()],
        session: Some(Terms {
            expires: 100,
            min: 90,
        }),
        ..PolicySpec::default()
    });
    let mut said = Vec::new();
    let invite = invite()
        .with("Supported", "100rel, timer")
        .with("Allow", "INVITE, UPDATE");
    said.extend(desk.say(CARRIER, &invite));
    let offered = find(&said, "b0 INVITE");
    let ringing = answer(&offered, 183, "bob")
        .with("Require", "100rel")
        .with("RSeq", "1")
        .with("Allow", "INVITE, UPDATE");
    said.extend(desk.say_from(buyer(0), &ringing.with_sdp(ANSWER)));
    let rung = find(&said, "carrier 183 INVITE");
    let rack = format!("{} 1 INVITE", rung.value("RSeq"));
    let prack = caller_request("PRACK", 2, &invite, &rung).with("RAck", rack);
    said.extend(desk.say(CARRIER, &prack));
    let early = buyer_request("UPDATE", 1, &offered, "bob").with_sdp(OFFER);
    said.extend(desk.say_from(buyer(0), &early));
    let asked = find(&said, "carrier UPDATE");
    said.extend(desk.say(CARRIER, &asked.reply(200, "ann").with_sdp(ANSWER)));
    said.extend(desk.say_from(buyer(0), &answer(&offered, 200, "bob")));
    let ok = find(&said, "carrier 200 INVITE");
    said.extend(desk.say(CARRIER, &caller_request("ACK", 1, &invite, &ok)));
    let mut talk = Talk {
        desk,
        invite,
        ok,
        offered,
    };
    let hold = talk.buyer("INVITE", 2).with_sdp(OFFER);
    said.extend(talk.buyer_says(&hold));
    let asked = find(&said, "carrier INVITE");
    said.extend(talk.caller_says(&asked.reply(200, "ann").with_sdp(ANSWER)));
    said.extend(talk.buyer_says(&talk.buyer("ACK", 2)));
    let hold = talk.caller("INVITE", 3).with_sdp(OFFER);
    let held = talk.caller_says(&hold);
    let asked = find(&held, "b0 INVITE");
    said.extend(held);
    said.extend(talk.buyer_says(&answer(&asked, 200, "bob").with_sdp(ANSWER)));
    said.extend(talk.caller_says(&talk.caller("ACK", 3)));
    said.extend(talk.desk.pass(Duration::from_secs(51)));
    said.extend(talk.desk.tell(Input::Hangup(Which::All)));

    let lines = ladder(&said);
    for expected in ["carrier BYE", "b0 BYE", "carrier ACK", "carrier UPDATE"] {
        assert!(lines.iter().any(|line| line == expected), "{lines:?}");
    }
    assert_eq!(own_name(&said, CARRIER), [OWN]);
    assert_eq!(own_name(&said, &buyer(0).to_string()), [EDGE]);
}

/// What Via of our requests and Contact of all our messages to somebody say; nothing else in them names us.
fn own_name(said: &[Said], to: &str) -> Vec<&'static str> {
    let mut names = Vec::new();
    for one in said.iter().filter(|one| one.to == addr(to)) {
        let text = String::from_utf8_lossy(&one.bytes).into_owned();
        let ours = |line: &&str| line.starts_with("Via") || line.starts_with("Contact");
        let is_request = one.message.is_request();
        for line in text.lines().filter(ours) {
            if line.starts_with("Via") && !is_request {
                continue;
            }
            let name = [OWN, EDGE].into_iter().find(|name| line.contains(name));
            names.push(name.unwrap_or_else(|| panic!("{line}")));
        }
    }
    names.dedup();
    names
}
