//! What those get who are on no list, and what the listed ones get all the same: `strangers = "silent"`.

use strowger::call::output::{Event, Gauges};
use strowger::call::policy::Strangers;

use crate::sim::desk::{
    ANSWER, Desk, answer, buyer, caller_request, cancel, find, invite, invite_to, ladder, request,
    specs,
};
use crate::sim::digest;
use crate::sim::policy::{CARRIER, PASSWORD, PolicySpec, ROAMER, STRANGER, USER, number};
use crate::sim::text::Msg;

#[test]
fn strangers_hear_nothing_whatever_they_send() {
    let mut desk = silent();
    let hops = options().set("Max-Forwards", "0");
    let extension = options().with("Require", "100rel");
    let within = options().set("To", "<sip:edge.example.com>;tag=made-up");
    let scheme = request("INVITE", "mailto:ann@example.com");
    let malformed = options().set("CSeq", "1 INVITE");
    let hops_at_the_door = login().set("Max-Forwards", "0");
    let mut messages = vec![hops, extension, within, scheme, malformed, hops_at_the_door];
    messages.push(invite());
    messages.push(cancel(&invite()));
    for method in ["OPTIONS", "REGISTER", "BYE", "SUBSCRIBE", "PRACK", "FETCH"] {
        messages.push(request(method, "sip:ip.example.com"));
    }

    for message in &messages {
        let said = desk.say(STRANGER, message);

        assert_eq!(ladder(&said), [""; 0], "{}", message.line);
    }

    let refused = desk.events.iter().filter(|event| {
        matches!(
            event,
            Event::Refused { status: None, .. } | Event::Malformed { .. }
        )
    });
    assert_eq!(refused.count(), messages.len(), "each is counted");
    assert_eq!(desk.gauges(), Gauges::default());
}

#[test]
fn those_who_are_known_get_their_answers() {
    let mut desk = silent();
    let malformed = options().set("CSeq", "1 INVITE");
    let unknown = request("REGISTER", "sip:ip.example.com");

    let carrier = [&options(), &malformed, &unknown].map(|one| ladder(&desk.say(CARRIER, one)));
    let buyer = desk.say_from(buyer(0), &options());

    assert_eq!(
        carrier.concat(),
        [
            "carrier 200 OPTIONS",
            "carrier 400 INVITE",
            "carrier 405 REGISTER"
        ]
    );
    assert_eq!(ladder(&buyer), ["b0 200 OPTIONS"]);
}

#[test]
fn a_password_may_come_from_anywhere_and_its_call_is_served() {
    let mut desk = silent();
    let bare = login();

    let challenged = desk.say(ROAMER, &bare);
    let refused = find(&challenged, "roamer 401 INVITE");
    let uri = bare.uri().to_owned();
    let challenge = refused.value("WWW-Authenticate");
    let credentials = digest::answer(challenge, USER, PASSWORD, "INVITE", &uri, 1);
    let invite = bare
        .set("CSeq", "2 INVITE")
        .set(
            "Via",
            format!("SIP/2.0/UDP {ROAMER};branch=z9hG4bKsecond;rport"),
        )
        .with("Authorization", credentials);
    let offered = find(&desk.say(ROAMER, &invite), "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));
    let ok = find(&said, "roamer 200 INVITE");
    desk.say(ROAMER, &caller_request("ACK", 2, &invite, &ok));

    let refer = desk.say(ROAMER, &caller_request("REFER", 3, &invite, &ok));
    let bye = desk.say(ROAMER, &caller_request("BYE", 4, &invite, &ok));

    assert_eq!(ladder(&refer), ["roamer 603 REFER"]);
    assert_eq!(ladder(&bye), ["roamer 200 BYE", "b0 BYE"]);
}

#[test]
fn without_it_everybody_is_answered() {
    let mut desk = Desk::new(1);

    assert_eq!(
        ladder(&desk.say(STRANGER, &options())),
        ["stranger 200 OPTIONS"]
    );
}

#[test]
fn a_number_without_a_host_is_in_no_domain_and_a_callers_may_be_one() {
    let mut desk = Desk::new(1);
    let tel = invite_to(&format!("tel:{}", number(0)));
    let from = invite().set("From", "<tel:+1-555-555-0147>;tag=ann");

    let refused = desk.say(CARRIER, &tel);
    let taken = desk.say(CARRIER, &from);

    assert_eq!(ladder(&refused), ["carrier 403 INVITE"]);
    let offered = find(&taken, "b0 INVITE");
    assert!(offered.value("From").starts_with("<sip:+1-555-555-0147@"));
}

fn silent() -> Desk {
    Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        strangers: Strangers::Silent,
        ..PolicySpec::default()
    })
}

fn options() -> Msg {
    request("OPTIONS", "sip:ip.example.com")
}

/// An INVITE to the domain that asks for a password.
fn login() -> Msg {
    invite_to(&format!("sip:{}@digest.example.com", number(0)))
}
