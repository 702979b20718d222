//! Calls that must not get through, and headers that must not.

use crate::calls::attempts;
use crate::calls::buyer_was_told;
use crate::calls::call;
use crate::calls::digest_call;
use crate::calls::is_completed;
use crate::edge::Edge;
use crate::sipp::Sipp;
use crate::site::BY_ADDRESS;
use crate::site::BY_DIGEST;
use crate::site::NUMBER;
use crate::site::Site;
use crate::site::UNKNOWN_NUMBER;

#[test]
fn an_unknown_number_gets_404_and_a_record() {
    let mut site = Site::new();
    site.buyer("first");
    let edge = Edge::start(&site);

    let mut carrier = Sipp::carrier("carrier_refused", site.carrier(), site.edge())
        .key("number", UNKNOWN_NUMBER)
        .key("domain", BY_ADDRESS)
        .blank("status", 404)
        .start(site.folder());
    carrier.passes();

    let record = edge.record();
    assert_eq!(record["outcome"], "number_unknown", "{record:#}");
    assert_eq!(record["status"], 404);
    assert!(attempts(&record).is_empty());
    edge.holds_no_call();
}

#[test]
fn an_unlisted_address_gets_403_and_reaches_nobody() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers", buyer).start(site.folder());
    let mut carrier = Sipp::carrier("carrier_refused", site.stranger(), site.edge())
        .key("number", NUMBER)
        .key("domain", BY_ADDRESS)
        .blank("status", 403)
        .start(site.folder());
    carrier.passes();

    assert!(buyer.messages().is_empty(), "{}", buyer.flow());
    buyer.stop();
    assert!(edge.records_now().is_empty(), "a refusal is no call");
    edge.holds_no_call();
}

#[test]
fn a_wrong_password_never_gets_through() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers", buyer).start(site.folder());
    let mut carrier = digest_call(&site, "carrier_digest_refused", BY_DIGEST, "guessed")
        .blank("status", 403)
        .start(site.folder());
    carrier.passes();

    assert!(buyer.messages().is_empty(), "{}", buyer.flow());
    buyer.stop();
    assert!(edge.records_now().is_empty(), "a refusal is no call");
    edge.holds_no_call();
}

#[test]
fn the_callers_x_ph_headers_are_removed_however_disguised() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers", buyer).start(site.folder());
    let mut carrier = call(&site, "carrier_spoofs").start(site.folder());
    carrier.passes();
    buyer.passes();

    let record = edge.record();
    is_completed(&record, "first", "caller");
    buyer_was_told(&buyer, &record);
    let invite = buyer.received_one("INVITE");
    assert!(!invite.text.contains("spoofed"), "{}", invite.text);
    edge.holds_no_call();
}

/// The first edge's buyer is the second edge, whose buyer is the first edge.
#[test]
fn a_call_that_comes_back_is_refused_as_a_loop() {
    let mut site = Site::new();
    let second = site.second_edge();
    let there = format!("sip:{NUMBER}@{BY_ADDRESS}");
    site.buyer_with("around", second, |buyer| buyer.uri.clone_from(&there));
    let mut back = Site::new();
    back.buyer_with("back", site.edge(), |buyer| buyer.uri.clone_from(&there));
    let edge = Edge::start_at(&site, site.edge(), &[second]);
    let other = Edge::start_at(&back, second, &[site.edge()]);

    let mut carrier = call(&site, "carrier_refused")
        .blank("status", 603)
        .start(site.folder());
    carrier.passes();

    let record = edge.record();
    assert_eq!(attempts(&record), [("around", "declined")], "{record:#}");
    let there = other.record();
    assert_eq!(there["attempts"][0]["status"], 482, "{there:#}");
    edge.holds_no_call();
    other.holds_no_call();
}
