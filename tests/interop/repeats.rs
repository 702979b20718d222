//! What UDP repeats: INVITE, 200, ACK, BYE.

use crate::calls::call;
use crate::calls::is_completed;
use crate::edge::Edge;
use crate::sipp::Running;
use crate::sipp::Sipp;
use crate::site::Site;

#[test]
fn a_repeated_invite_is_one_call() {
    let (_site, carrier, buyer) = one_call("carrier_repeats_invite", "buyer_answers_late");

    assert_eq!(carrier.sent("INVITE").len(), 5);
    assert_eq!(buyer.received("INVITE").len(), 1, "{}", buyer.flow());
    assert_eq!(
        carrier.received("SIP/2.0 100").len(),
        3,
        "{}",
        carrier.flow()
    );
    assert_eq!(
        carrier.received("SIP/2.0 180").len(),
        2,
        "{}",
        carrier.flow()
    );
}

#[test]
fn a_repeated_200_is_acknowledged_again() {
    let (_site, carrier, buyer) = one_call("carrier_call", "buyer_repeats_200");

    let acks = buyer.received("ACK");
    assert_eq!(acks.len(), 3, "{}", buyer.flow());
    assert!(acks.iter().all(|ack| ack.text == acks[0].text));
    assert_eq!(ok_to(&carrier, "1 INVITE"), 1, "{}", carrier.flow());
}

#[test]
fn a_repeated_bye_gets_200_again() {
    let (_site, carrier, buyer) = one_call("carrier_repeats_bye", "buyer_answers");

    assert_eq!(ok_to(&carrier, "2 BYE"), 2, "{}", carrier.flow());
    assert_eq!(buyer.received("BYE").len(), 1, "{}", buyer.flow());
}

#[test]
fn the_200_is_repeated_until_the_ack_comes() {
    let (_site, carrier, buyer) = one_call("carrier_withholds_ack", "buyer_answers");

    assert_eq!(ok_to(&carrier, "1 INVITE"), 3, "{}", carrier.flow());
    assert_eq!(buyer.received("ACK").len(), 1, "{}", buyer.flow());
}

fn one_call(carrier: &str, buyer: &str) -> (Site, Running, Running) {
    let mut site = Site::new();
    let address = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer(buyer, address).literal().start(site.folder());
    let mut carrier = call(&site, carrier).literal().start(site.folder());
    carrier.passes();
    buyer.passes();

    is_completed(&edge.record(), "first", "caller");
    edge.holds_no_call();
    (site, carrier, buyer)
}

fn ok_to(peer: &Running, cseq: &str) -> usize {
    let answers = peer.received("SIP/2.0 200");
    answers
        .iter()
        .filter(|answer| answer.one("CSeq") == cseq)
        .count()
}
