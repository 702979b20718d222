//! Calls that must not get through, and headers that must not.

use serde_json::Value;

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
    let mut edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers", buyer).start(site.folder());
    let mut carrier = Sipp::carrier("carrier_refused", site.stranger(), site.edge())
        .key("number", NUMBER)
        .key("domain", BY_ADDRESS)
        .blank("status", 403)
        .start(site.folder());
    carrier.passes();

    assert!(buyer.messages().is_empty(), "{}", buyer.flow());
    buyer.stop();
    edge.holds_no_call();
    edge.stops();
    assert!(edge.records_now().is_empty(), "a refusal is no call");
}

#[test]
fn a_wrong_password_never_gets_through() {
    let mut site = Site::new();
    let buyer = site.buyer("first");
    let mut edge = Edge::start(&site);

    let mut buyer = Sipp::buyer("buyer_answers", buyer).start(site.folder());
    let mut carrier = digest_call(&site, "carrier_digest_refused", BY_DIGEST, "guessed")
        .blank("status", 401)
        .start(site.folder());
    carrier.passes();

    assert!(buyer.messages().is_empty(), "{}", buyer.flow());
    buyer.stop();
    edge.holds_no_call();
    edge.stops();
    assert!(edge.records_now().is_empty(), "a refusal is no call");
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

/// The first edge's buyer is the second edge, whose buyer is the first: two nodes of one site.
#[test]
fn a_call_that_goes_round_within_a_site_is_refused_as_a_loop() {
    let (_sites, edge, mut other) =
        a_ring_of_two_edges("one-secret-for-both", "one-secret-for-both");

    let record = edge.record();
    assert_eq!(
        attempts(&record),
        [("around", "buyer_rejected")],
        "{record:#}"
    );
    assert_eq!(record["attempts"][0]["status"], 482);
    other.stops();
    assert!(other.records_now().is_empty(), "a refusal is no call");
}

/// The second edge is a stranger's: it does not hand our token on, but must count Max-Forwards down.
#[test]
fn a_call_that_goes_round_by_a_stranger_ends_when_max_forwards_is_used_up() {
    let (_sites, edge, other) = a_ring_of_two_edges("a-secret-of-one-node", "a-secret-of-another");

    let rounds = edge.records(35);
    assert!(rounds.iter().all(|record| record["outcome"] == "no_answer"));
    let others = other.records(35);
    let last = |record: &&Value| record["attempts"][0]["status"] == 483;
    assert_eq!(others.iter().filter(last).count(), 1);
}

fn a_ring_of_two_edges(secret: &str, other_secret: &str) -> ([Site; 2], Edge, Edge) {
    let there = format!("sip:{NUMBER}@{BY_ADDRESS}");
    let mut site = Site::new().with_secret(secret);
    let mut other = Site::new().with_secret(other_secret);
    site.list(other.edge());
    other.list(site.edge());
    site.buyer_with("around", other.edge(), |buyer| buyer.uri.clone_from(&there));
    other.buyer_with("back", site.edge(), |buyer| buyer.uri.clone_from(&there));
    let (first, second) = (Edge::start(&site), Edge::start(&other));

    let mut carrier = call(&site, "carrier_refused")
        .blank("status", 603)
        .start(site.folder());
    carrier.passes();

    first.holds_no_call();
    second.holds_no_call();
    ([site, other], first, second)
}
