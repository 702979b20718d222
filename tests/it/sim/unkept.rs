//! The journal cannot be written: no call is let in, those under way go on.

use strowger::call::input::Input;
use strowger::call::output::{Event, Gauges, Refusal};

use super::desk::{Desk, Said, Talk, ack_of_failure, find, invite, ladder, request};
use super::policy::CARRIER;

const NOTHING: [&str; 0] = [];

#[test]
fn new_calls_are_refused_with_a_reason_and_the_others_go_on() {
    let mut talk = Talk::new();
    talk.desk.tell(Input::Shut(true));

    let fresh = invite()
        .set("Call-ID", "two")
        .set("Via", "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK2");
    let said = talk.caller_says(&fresh);
    assert_eq!(ladder(&said), ["carrier 503 INVITE"]);
    assert!(said[0].message.first("Retry-After").is_some());
    assert_eq!(refused(&talk.desk), [Refusal::Unkept]);
    let options = request("OPTIONS", "sip:ip.example.com").set("Call-ID", "three");
    assert_eq!(ladder(&talk.caller_says(&options)), ["carrier 503 OPTIONS"]);
    let info = talk.caller("INFO", 2);
    assert_eq!(ladder(&talk.caller_says(&info)), ["b0 INFO"]);

    // It goes down meanwhile: that is the reason from then on.
    talk.desk.tell(Input::Drain(true));
    let third = fresh
        .clone()
        .set("Call-ID", "four")
        .set("Via", "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK4");
    assert_eq!(ladder(&talk.caller_says(&third)), ["carrier 503 INVITE"]);
    assert_eq!(refused(&talk.desk).last(), Some(&Refusal::Draining));
    talk.desk.tell(Input::Drain(false));
    talk.desk.tell(Input::Shut(false));

    let last = fresh
        .set("Call-ID", "five")
        .set("Via", "SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK5");
    assert_eq!(
        ladder(&talk.caller_says(&last)),
        ["carrier 100 INVITE", "b0 INVITE"]
    );
}

#[test]
fn a_call_that_could_not_be_written_down_gets_503_and_no_buyer_hears_of_it() {
    let mut desk = Desk::new(2);
    let invite = invite();
    let offered = find(&desk.say(CARRIER, &invite), "b0 INVITE");
    let uuid = desk.events.iter().find_map(|event| {
        let Event::Started { uuid, .. } = event else {
            return None;
        };
        Some(*uuid)
    });
    let uuid = uuid.expect("a call");

    let said = desk.tell(Input::Unkept(uuid));
    assert_eq!(ladder(&said), ["carrier 503 INVITE"]);
    let reason = said[0].message.value("Reason");
    assert!(reason.contains("unkept"), "{reason}");
    let bytes = offered.bytes();
    assert_eq!(
        ladder(&desk.tell(Input::Unsendable { bytes: &bytes })),
        NOTHING
    );
    desk.say(CARRIER, &ack_of_failure(&invite, &said[0].message));
    assert_eq!(ladder(&to_buyers(desk.pass_millis(60_000))), NOTHING);
    assert_eq!(ladder(&desk.tell(Input::Unkept(uuid))), NOTHING);

    assert_eq!(desk.recorded(), "unkept 503 by edge: cancelled");
    assert_eq!(desk.rest(), Gauges::default());
}

fn to_buyers(mut said: Vec<Said>) -> Vec<Said> {
    said.retain(|said| ladder(std::slice::from_ref(said))[0].starts_with('b'));
    said
}

fn refused(desk: &Desk) -> Vec<Refusal> {
    let refused = desk.events.iter().filter_map(|event| {
        let Event::Refused { why, .. } = event else {
            return None;
        };
        Some(*why)
    });
    refused.collect()
}
