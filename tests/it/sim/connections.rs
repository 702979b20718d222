//! Calls over connections: which one a request goes along, and what becomes of it when that is lost.

use strowger::call::input::Input;
use strowger::sip::flow::{Flow, Transport};

use super::desk::{
    ANSWER, Desk, Said, answer, buyer, buyer_request, caller_request, connection, find, invite,
    ladder, specs,
};
use super::policy::{CARRIER, PolicySpec, addr};
use super::text::Msg;
use super::world::flow;

/// Where the carrier's connection comes from; its Contact names another port.
const SOURCE: &str = "192.0.2.10:40001";

#[test]
fn requests_go_back_along_the_carriers_own_connection() {
    let (mut desk, invite, ok) = by_tcp();

    let bye = buyer_request("BYE", 1, &invite, "bob");
    let said = desk.say_from(buyer(0), &bye);

    let to_carrier = one(&said, "BYE");
    assert_eq!(to_carrier.flow, connection(addr(SOURCE)));
    assert_eq!(
        to_carrier.message.line,
        format!("BYE sip:ann@{CARRIER} SIP/2.0")
    );
    assert!(ok.value("Contact").contains(";transport=tcp>"));
}

#[test]
fn a_bye_whose_connection_is_lost_goes_where_the_contact_says() {
    let (mut desk, invite, _) = by_tcp();
    let bye = buyer_request("BYE", 1, &invite, "bob");
    desk.say_from(buyer(0), &bye);

    let flow = connection(addr(SOURCE));
    let said = desk.tell(Input::TransportFailed { flow });

    let again = one(&said, "BYE");
    assert_eq!(again.flow, connection(addr(CARRIER)));
    let done = desk.tell(Input::TransportFailed { flow: again.flow });
    assert_eq!(ladder(&done), [""; 0], "there is no third way");
}

#[test]
fn a_long_invite_goes_by_tcp_to_a_buyer_of_udp() {
    let mut desk = tcp_desk();

    let said = desk.say(CARRIER, &long_invite());

    let offered = one(&said, "INVITE");
    assert_eq!(offered.flow, connection(buyer(0)));
    assert!(offered.message.value("Via").starts_with("SIP/2.0/TCP "));
    assert!(offered.message.value("Contact").contains(";transport=tcp>"));
    assert!(offered.bytes.len() > 1300);
}

#[test]
fn a_long_invite_goes_by_udp_after_all_where_nobody_takes_a_connection() {
    let mut desk = tcp_desk();
    desk.say(CARRIER, &long_invite());

    let flow = connection(buyer(0));
    let said = desk.tell(Input::TransportFailed { flow });

    let offered = one(&said, "INVITE");
    assert_eq!(offered.flow, by_udp());
    let failed = desk.tell(Input::TransportFailed { flow: by_udp() });
    assert_eq!(ladder(&failed), ["carrier 603 INVITE"]);
    let results: Vec<_> = desk.records[0]
        .attempts
        .iter()
        .map(|one| one.result.label())
        .collect();
    assert_eq!(results, ["unreachable", "unreachable"]);

    let next = desk.say(CARRIER, &another(&long_invite()));
    assert_eq!(one(&next, "INVITE").flow, by_udp(), "it is not tried again");
}

#[test]
fn a_long_invite_goes_by_udp_where_we_have_no_tcp() {
    let mut desk = Desk::new(1);

    let said = desk.say(CARRIER, &long_invite());

    assert_eq!(one(&said, "INVITE").flow, by_udp());
}

/// A call that came by a connection and was answered by a buyer of UDP: the buyer's INVITE, and what the
/// carrier got.
fn by_tcp() -> (Desk, Msg, Msg) {
    let mut desk = tcp_desk();
    let text = invite().set("Via", format!("SIP/2.0/TCP {CARRIER};branch=z9hG4bKfirst"));
    let said = desk.say_on_stream(addr(SOURCE), &text.bytes());
    let offered = find(&said, "b0 INVITE");
    let said = desk.say_from(buyer(0), &answer(&offered, 200, "bob").with_sdp(ANSWER));
    let ok = one(&said, "200").message.clone();
    let ack = caller_request("ACK", 1, &text, &ok);
    desk.say_on_stream(addr(SOURCE), &ack.bytes());
    (desk, offered, ok)
}

fn tcp_desk() -> Desk {
    Desk::with(&PolicySpec {
        lines: vec![specs(1)],
        transports: vec![Transport::Udp, Transport::Tcp],
        ..PolicySpec::default()
    })
}

fn long_invite() -> Msg {
    let lines = "a=rtpmap:0 PCMU/8000\r\n".repeat(60);
    invite().with_sdp(&format!(
        "v=0\r\no=ann 1 1 IN IP4 192.0.2.10\r\ns=-\r\n{lines}"
    ))
}

/// The INVITE of another call.
fn another(invite: &Msg) -> Msg {
    let via = format!("SIP/2.0/UDP {CARRIER};branch=z9hG4bKsecond;rport");
    invite
        .clone()
        .set("Call-ID", "two@carrier.example.net")
        .set("Via", via)
}

fn by_udp() -> Flow {
    flow(buyer(0))
}

/// The only message said whose summary begins so.
fn one<'s>(said: &'s [Said], start: &str) -> &'s Said {
    let found: Vec<_> = said
        .iter()
        .filter(|one| one.message.summary().starts_with(start))
        .collect();
    assert_eq!(found.len(), 1, "{start} in {:?}", ladder(said));
    found[0]
}
