//! Calls that show a ticket: each is the call that its ticket speaks of, and there is one call for each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use strowger::call::policy::{Policy, Tickets as Known};
use strowger::routing::caps::Caps;
use strowger::routing::trunk::{CompanyId, Tickets};
use strowger::twilio::connect::CompanyKey;
use strowger::twilio::mac::Rotating;
use strowger::twilio::sid::CallSid;
use strowger::twilio::ticket::Ticket;
use strowger::types::moment::Moment;
use strowger::types::number::Number;
use strowger::types::secret::Secret;
use strowger::types::tag::Origin;

use super::desk::{
    ANSWER, Desk, answer, buyer, buyer_request, caller_request, find, invite, ladder, specs,
};
use super::policy::{CARRIER, PolicySpec, number};
use super::text::Msg;

#[test]
fn a_call_is_the_one_that_its_ticket_speaks_of() {
    let mut desk = desk(Tickets::Taken);

    let said = desk.say(CARRIER, &showing(&[&mint(&ticket())]));

    let offered = find(&said, "b0 INVITE");
    assert_eq!(
        offered.first("X-PH-RetreaverUUID"),
        Some("00000000-0000-0000-0000-000000000007")
    );
    assert!(offered.first("X-Strowger-Ticket").is_none());
    let ended = desk.pass(Duration::from_secs(600));
    assert!(!ended.is_empty());
    let record = &desk.records[0];
    assert_eq!(record.caller, Number::from_e164(b"+14155550123"));
    let tags = &record.story.as_ref().unwrap().facts.tags;
    let said: Vec<_> = tags
        .iter()
        .filter(|tag| tag.origin == Origin::HandOff)
        .map(|tag| format!("{}={}", tag.key, tag.value))
        .collect();
    assert_eq!(
        said,
        [
            "original_to=+14155550199",
            "twilio_call_sid=CA00000000000000000000000000000001"
        ]
    );
    assert_eq!(desk.rest(), Default::default());
}

#[test]
fn a_ticket_is_good_for_one_call() {
    let mut desk = desk(Tickets::Taken);
    let text = mint(&ticket());
    desk.say(CARRIER, &showing(&[&text]));

    let again = desk.say(CARRIER, &other(&showing(&[&text])));

    assert_eq!(ladder(&again), ["carrier 100 INVITE", "carrier 403 INVITE"]);
    let answer = find(&again, "carrier 403 INVITE");
    assert_eq!(answer.value("Reason"), "SIP;cause=403;text=\"ticket_used\"");
}

#[test]
fn what_is_no_ticket_for_this_call_is_refused() {
    let other_number = Ticket {
        number: Number::from_e164(b"+18005551234").unwrap(),
        ..ticket()
    };
    let other_company = Ticket {
        company: CompanyKey(99),
        ..ticket()
    };
    let late = Ticket {
        expires: Moment::default(),
        ..ticket()
    };
    let forged = ticket().mint(&Rotating::new(Secret::new(*b"another secret")));
    let right = mint(&ticket());
    for shown in [
        &[&*mint(&other_number)][..],
        &[&*mint(&other_company)],
        &[&*mint(&late)],
        &[&*forged],
        &["v1.nonsense"],
        &[&*right, &*right],
    ] {
        let mut desk = desk(Tickets::Taken);
        let said = desk.say(CARRIER, &showing(shown));
        assert_eq!(ladder(&said), ["carrier 403 INVITE"], "{shown:?}");
        assert!(desk.records.is_empty());
        assert_eq!(desk.rest(), Default::default());
    }
}

#[test]
fn who_needs_a_ticket_and_who_does_not() {
    for (tickets, shown, first) in [
        (Tickets::Required, &[][..], "carrier 403 INVITE"),
        (Tickets::Taken, &[], "carrier 100 INVITE"),
        (Tickets::Ignored, &[], "carrier 100 INVITE"),
        (Tickets::Ignored, &["v1.nonsense"], "carrier 100 INVITE"),
    ] {
        let said = desk(tickets).say(CARRIER, &showing(shown));
        assert_eq!(ladder(&said)[0], first, "{tickets:?} {shown:?}");
    }
}

#[test]
fn a_limited_trunk_counts_guests_and_a_used_ticket_takes_no_place() {
    let spec = PolicySpec {
        lines: vec![specs(1)],
        caps: Caps {
            max_calls: Some(1),
            max_cps: None,
        },
        ..PolicySpec::default()
    };
    let mut desk = Desk::changed(&spec, |policy| change(policy, Tickets::Required));
    let first = mint(&ticket());
    let second = mint(&Ticket {
        uuid: 8,
        ..ticket()
    });

    desk.say(CARRIER, &showing(&[&first]));
    let full = desk.say(CARRIER, &other(&showing(&[&second])));

    assert_eq!(ladder(&full)[1], "carrier 486 INVITE");
    desk.pass(Duration::from_secs(600));
    assert_eq!(desk.rest(), Default::default());
}

/// As Twilio writes it: a Contact that nobody can reach, behind two routes of which the first is where it came from.
#[test]
fn a_private_contact_behind_two_routes_is_followed() {
    let private = "sip:+14155550123@172.25.75.240:5060;transport=udp";
    let routes = [
        format!("<sip:{CARRIER};r2=on;lr>"),
        "<sip:54.172.60.0;r2=on;lr>".to_owned(),
    ];
    let mut desk = desk(Tickets::Required);
    let mut dialled = showing(&[&mint(&ticket())]).set("Contact", format!("<{private}>"));
    for route in &routes {
        dialled = dialled.with("Record-Route", route);
    }

    let offered = find(&desk.say(CARRIER, &dialled), "b0 INVITE");
    let taken = answer(&offered, 200, "bob").with_sdp(ANSWER);
    let ok = find(&desk.say_from(buyer(0), &taken), "carrier 200 INVITE");
    let ack = caller_request("ACK", 1, &dialled, &ok);
    desk.say(CARRIER, &ack);
    let bye = buyer_request("BYE", 1, &offered, "bob");
    let ended = find(&desk.say_from(buyer(0), &bye), "carrier BYE");

    assert_eq!(ended.line, format!("BYE {private} SIP/2.0"));
    assert_eq!(ended.all("Route").collect::<Vec<_>>(), routes);
}

/// An INVITE with these tickets.
fn showing(tickets: &[&str]) -> Msg {
    tickets.iter().fold(invite(), |invite, ticket| {
        invite.with("x-strowger-ticket", *ticket)
    })
}

/// Another call with the same headers.
fn other(invite: &Msg) -> Msg {
    invite
        .clone()
        .set("Via", format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bK-2"))
        .set("Call-ID", "two@carrier.example.net")
}

fn desk(tickets: Tickets) -> Desk {
    let spec = PolicySpec {
        lines: vec![specs(1)],
        ..PolicySpec::default()
    };
    Desk::changed(&spec, |policy| change(policy, tickets))
}

fn change(policy: &mut Policy, tickets: Tickets) {
    policy.tickets = Some(Known {
        secrets: secrets(),
        companies: HashMap::from([(CompanyKey(1234), CompanyId(0))]),
    });
    for trunk in &mut policy.trunks {
        Arc::get_mut(trunk).unwrap().tickets = tickets;
    }
}

fn ticket() -> Ticket {
    Ticket {
        uuid: 7,
        number: Number::from_e164(number(0).as_bytes()).unwrap(),
        company: CompanyKey(1234),
        caller: Number::from_e164(b"+14155550123"),
        leg: CallSid::from_bits(1),
        expires: Moment::default().after(Duration::from_secs(30)),
        tags: [("original_to", "+14155550199")].into_iter().collect(),
    }
}

fn mint(ticket: &Ticket) -> String {
    ticket.mint(&secrets())
}

fn secrets() -> Rotating {
    Rotating::new(Secret::new(*b"ticket secret"))
}
