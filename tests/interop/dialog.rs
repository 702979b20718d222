//! Within the call, and on the way to it: re-INVITE from each side, PRACK, early UPDATE, session timers, transfers.

use crate::calls::call;
use crate::calls::is_completed;
use crate::edge::Edge;
use crate::sipp::Sipp;
use crate::site::BY_ADDRESS;
use crate::site::Site;
use crate::site::TO_THE_LAST;

#[test]
fn the_carrier_puts_the_buyer_on_hold() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_takes_reinvite", buyer).start(site.folder());
    let mut carrier = call(&site, "carrier_reinvites").start(site.folder());
    carrier.passes();
    buyer.passes();

    is_completed(&edge.record(), "first", "caller");
    assert_eq!(buyer.received("ACK").len(), 2, "{}", buyer.flow());
    edge.holds_no_call();
}

#[test]
fn the_buyer_puts_the_carrier_on_hold() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_reinvites", buyer).start(site.folder());
    let mut carrier = call(&site, "carrier_takes_reinvite").start(site.folder());
    carrier.passes();
    buyer.passes();

    is_completed(&edge.record(), "first", "caller");
    edge.holds_no_call();
}

/// Each leg has its own RSeq, its own PRACK and its own session timer.
#[test]
fn ringing_is_acknowledged_and_the_session_refreshed_on_each_leg_for_itself() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_rings_reliably", buyer).start(site.folder());
    let mut carrier = call(&site, "carrier_pracks").start(site.folder());
    carrier.passes();
    buyer.passes();

    is_completed(&edge.record(), "first", "caller");
    let ringing = carrier.received_one("SIP/2.0 183");
    assert_ne!(ringing.one("RSeq"), "77");
    // The buyer's 200 had no answer: it came before, and the carrier is told again.
    let sent = buyer.sent("SIP/2.0 183").remove(0);
    assert_eq!(ringing.body(), sent.body());
    let answers = carrier.received("SIP/2.0 200");
    let ok = answers.iter().find(|ok| ok.one("CSeq") == "1 INVITE");
    assert_eq!(ok.expect("a 200").body(), sent.body());
    assert!(buyer.received("UPDATE").is_empty(), "{}", buyer.flow());
    assert!(carrier.received("UPDATE").is_empty(), "{}", carrier.flow());
    edge.holds_no_call();
}

/// The caller makes another offer while the buyer rings: its answer comes back, and the 200 brings none.
#[test]
fn an_offer_before_the_answer_passes() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_takes_early_offer", buyer).start(site.folder());
    let mut carrier = call(&site, "carrier_offers_early").start(site.folder());
    carrier.passes();
    buyer.passes();

    is_completed(&edge.record(), "first", "caller");
    let asked = buyer.received("UPDATE").remove(0);
    assert_eq!(asked.body(), carrier.sent("UPDATE").remove(0).body());
    let answers = carrier.received("SIP/2.0 200");
    let ok = answers.iter().find(|ok| ok.one("CSeq") == "1 INVITE");
    assert_eq!(ok.expect("a 200").body(), "");
    edge.holds_no_call();
}

/// An INVITE without offer: the buyer's comes in a reliable 183, the carrier's answer in its PRACK; directly, and through the
/// relay, which tells each of us instead of the other.
#[test]
fn an_offer_in_a_reliable_183_is_answered_by_prack() {
    for is_relayed in [false, true] {
        let site = Site::new();
        let mut site = if is_relayed { site.relayed("") } else { site };
        let buyer = site.buyer("first");
        let edge = Edge::start(&site);

        let mut buyer = Sipp::buyer("buyer_offers_reliably", buyer).start(site.folder());
        let mut carrier = call(&site, "carrier_answers_in_prack").start(site.folder());
        carrier.passes();
        buyer.passes();

        is_completed(&edge.record(), "first", "caller");
        let (offer, told) = (
            buyer.sent("SIP/2.0 183").remove(0),
            carrier.received_one("SIP/2.0 183"),
        );
        let (answer, passed) = (carrier.sent("PRACK").remove(0), buyer.received_one("PRACK"));
        for (said, heard) in [(offer, told), (answer, passed)] {
            assert_eq!(said.body() == heard.body(), !is_relayed);
            assert!(heard.body().contains("m=audio "), "{}", heard.text);
        }
        let answers = carrier.received("SIP/2.0 200");
        let ok = answers.iter().find(|ok| ok.one("CSeq") == "1 INVITE");
        assert_eq!(ok.expect("a 200").body(), "");
        edge.holds_no_call();
    }
}

/// The first buyer sends the caller to a number of ours: the second buyer is called, both agree on the media, and the first
/// one is told and let go.
#[test]
fn a_buyer_transfers_the_caller() {
    let mut site = Site::new();
    let first = site.next_buyer();
    site.buyer_with("first", first, |buyer| buyer.refer = "terminate");
    let second = site.buyer("second");
    let edge = Edge::start(&site);

    let mut first = Sipp::buyer("buyer_refers", first)
        .key("target", TO_THE_LAST)
        .key("domain", BY_ADDRESS)
        .start(site.folder());
    let mut second = Sipp::buyer("buyer_answers", second).start(site.folder());
    let mut carrier = call(&site, "carrier_is_transferred").start(site.folder());
    carrier.passes();
    first.passes();
    second.passes();

    let [before, after] = &edge.records(2)[..] else {
        panic!("two records");
    };
    is_completed(before, "first", "buyer");
    is_completed(after, "second", "caller");
    let invite = second.received_one("INVITE");
    assert_eq!(invite.body(), "");
    let offer = carrier.received("INVITE").remove(0);
    let answer = second.received("ACK").remove(0);
    assert_eq!(offer.body(), second.sent("SIP/2.0 200").remove(0).body());
    let agreed = carrier.sent("SIP/2.0 200").remove(0);
    assert_eq!(answer.body(), agreed.body());
    edge.holds_no_call();
}
