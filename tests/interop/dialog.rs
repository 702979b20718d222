//! Within the call: re-INVITE from each side.

use crate::calls::call;
use crate::calls::is_completed;
use crate::edge::Edge;
use crate::sipp::Sipp;
use crate::site::Site;

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
