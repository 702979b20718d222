//! Caps under load: what a buyer takes at once is never more, and no less.

use std::collections::HashSet;
use std::time::Duration;

use crate::calls::call;
use crate::edge::Edge;
use crate::sipp::Running;
use crate::sipp::Sipp;
use crate::site::Site;

#[test]
fn a_cap_of_25_under_300_calls_a_second_never_shows_26_and_is_full() {
    let mut site = Site::new();
    let first = site.next_buyer();
    site.buyer_with("first", first, |buyer| buyer.rules = "max_calls = 25");
    let second = site.buyer("second");
    let edge = Edge::start(&site);
    let many = |address| {
        // A peer that has to wait for its turn gets some INVITEs twice.
        let sipp = Sipp::buyer("buyer_answers_lossy", address).calls(CALLS);
        sipp.start(site.folder())
    };

    let mut capped = many(first);
    let mut overflow = many(second);
    let mut carrier = call(&site, "carrier_call")
        .calls(CALLS)
        .talks(Duration::from_millis(400))
        .arguments(&["-r", "300", "-l", "2000"])
        .start(site.folder());
    carrier.passes();
    edge.holds_no_call();
    capped.stop();
    overflow.stop();

    let (most, took) = at_once(&capped);
    assert_eq!(most, 25, "calls that it had at once");
    let (_, others) = at_once(&overflow);
    assert_eq!(took + others, CALLS, "each call came to somebody, once");
    assert!(
        took > 100,
        "it had {took} of {CALLS}: its places are given again"
    );
}

#[test]
fn calls_wait_for_a_buyer_that_takes_one_at_a_time_and_all_are_answered() {
    let mut site = Site::new().waiting();
    let first = site.next_buyer();
    site.buyer_with("first", first, |buyer| buyer.rules = "max_calls = 1");
    let edge = Edge::start(&site);

    let buyer = Sipp::buyer("buyer_answers", first).calls(2);
    let mut buyer = buyer.start(site.folder());
    let mut carrier = call(&site, "carrier_call")
        .calls(2)
        .talks(Duration::from_millis(400))
        .start(site.folder());
    carrier.passes();
    buyer.passes();

    assert_eq!(at_once(&buyer), (1, 2));
    assert_eq!(
        carrier.received("SIP/2.0 182").len(),
        1,
        "{}",
        carrier.flow()
    );
    let records = edge.records(2);
    assert!(records.iter().all(|one| one["outcome"] == "completed"));
    let mut waited = records
        .iter()
        .map(|one| &one["routing"]["waited"]["rounds"]);
    assert!(waited.any(|rounds| *rounds == 1), "{records:?}");
    edge.holds_no_call();
}

/// Calls in all; so many that the cap is reached many times over.
const CALLS: usize = 1500;

/// How many calls a buyer had at once at most, and in all: from an INVITE on, until its BYE has come.
fn at_once(buyer: &Running) -> (usize, usize) {
    let (mut open, mut seen) = (HashSet::new(), HashSet::new());
    let mut most = 0;
    for message in buyer.messages() {
        if !message.received {
            continue;
        }
        let id = message.one("Call-ID").to_owned();
        if message.start().starts_with("INVITE ") && seen.insert(id.clone()) {
            open.insert(id);
        } else if message.start().starts_with("BYE ") {
            open.remove(&id);
        }
        most = most.max(open.len());
    }
    (most, seen.len())
}
