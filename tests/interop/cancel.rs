//! CANCEL: while it rings, and when it crosses the answer on either side.

use crate::calls::attempts;
use crate::calls::call;
use crate::calls::is_completed;
use crate::edge::Edge;
use crate::sipp::Sipp;
use crate::site::Site;

#[test]
fn a_caller_that_hangs_up_while_it_rings_gets_487_and_the_buyer_cancel() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_rings", buyer).start(site.folder());
    let mut carrier = call(&site, "carrier_cancels").start(site.folder());
    carrier.passes();
    buyer.passes();

    let record = edge.record();
    assert_eq!(record["outcome"], "caller_hung_up", "{record:#}");
    assert_eq!(record["status"], 487);
    assert_eq!(record["hung_up_by"], "caller");
    assert_eq!(attempts(&record), [("first", "cancelled")]);
    let invite = buyer.received_one("INVITE");
    let cancel = buyer.received_one("CANCEL");
    assert_eq!(
        invite.one("Via"),
        cancel.one("Via"),
        "CANCEL has the INVITE's branch"
    );
    edge.holds_no_call();
}

#[test]
fn a_buyers_answer_that_crosses_our_cancel_is_acknowledged_and_ended() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers_cancel", buyer).start(site.folder());
    let mut carrier = call(&site, "carrier_cancels").start(site.folder());
    carrier.passes();
    buyer.passes();

    let record = edge.record();
    assert_eq!(record["outcome"], "caller_hung_up", "{record:#}");
    assert_eq!(record["status"], 487);
    assert_eq!(buyer.received("BYE").len(), 1, "{}", buyer.flow());
    edge.holds_no_call();
}

#[test]
fn a_cancel_that_crosses_our_answer_changes_nothing() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers", buyer).start(site.folder());
    let mut carrier = call(&site, "carrier_cancels_answered").start(site.folder());
    carrier.passes();
    buyer.passes();

    is_completed(&edge.record(), "first", "caller");
    assert!(buyer.received("CANCEL").is_empty(), "{}", buyer.flow());
    edge.holds_no_call();
}
