//! Buyers with several gateways: what is tried after what, and what is not.

use std::time::Duration;

use strowger::call::input::Input;
use strowger::call::output::Gauges;

use super::desk::{Desk, answer, buyer, find, invite, ladder, specs, timed};
use super::policy::{CARRIER, PolicySpec};
use super::world::flow;

/// One buyer with two gateways, at `b0` and `b1`, and behind it another one, at `b2`.
fn two_and_one() -> Desk {
    let mut buyers = specs(3);
    buyers.remove(1);
    buyers[0].others = vec![buyer(1)];
    Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    })
}

#[test]
fn a_trunk_failure_goes_to_the_next_gateway_of_the_same_buyer() {
    for status in [408, 500, 502, 503, 504] {
        let mut desk = two_and_one();
        let first = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

        let said = desk.say_from(buyer(0), &answer(&first, status, "bob"));

        assert_eq!(ladder(&said), ["b0 ACK", "b1 INVITE"], "{status}");
        let second = find(&said, "b1 INVITE");
        assert_eq!(second.uri(), format!("sip:c0b0@{}", buyer(1)));
        assert_ne!(first.call_id(), second.call_id());
        assert_ne!(first.tag_in_from(), second.tag_in_from());
        // The same buyer's call: what it is told of it is the same.
        let uuid = "X-PH-RetreaverUUID";
        assert_eq!(first.value(uuid), second.value(uuid));
    }
}

#[test]
fn what_the_callee_decides_goes_to_the_next_buyer() {
    for status in [
        302, 401, 403, 404, 410, 480, 484, 486, 488, 501, 505, 600, 603, 604, 606, 607,
    ] {
        let mut desk = two_and_one();
        let first = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

        let said = desk.say_from(buyer(0), &answer(&first, status, "bob"));

        assert_eq!(ladder(&said), ["b0 ACK", "b2 INVITE"], "{status}");
    }
}

#[test]
fn after_a_18x_no_other_gateway_of_the_buyer_is_tried() {
    for ringing in [180, 181, 182, 183, 199] {
        let mut desk = two_and_one();
        let first = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
        desk.say_from(buyer(0), &answer(&first, ringing, "bob"));

        let said = desk.say_from(buyer(0), &answer(&first, 503, "bob"));

        assert_eq!(ladder(&said), ["b0 ACK", "b2 INVITE"], "{ringing}");
    }
    // 100 says that the next hop has it, not the callee.
    let mut desk = two_and_one();
    let first = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    desk.say_from(buyer(0), &first.reply(100, ""));
    let said = desk.say_from(buyer(0), &answer(&first, 503, "bob"));
    assert_eq!(ladder(&said), ["b0 ACK", "b1 INVITE"]);
}

#[test]
fn silence_and_a_transport_failure_go_to_the_next_gateway_and_a_ring_time_out_to_the_next_buyer() {
    let mut desk = two_and_one();
    desk.say(CARRIER, &invite());
    let said = desk.pass(Duration::from_millis(4000));
    assert!(
        timed(&said).contains(&"4000 b1 INVITE".to_owned()),
        "{:?}",
        timed(&said)
    );

    let failed = Input::TransportFailed {
        flow: flow(buyer(1)),
    };
    let said = desk.tell(failed);
    assert_eq!(ladder(&said), ["b2 INVITE"]);

    let mut desk = two_and_one();
    let first = find(&desk.say(CARRIER, &invite()), "b0 INVITE");
    desk.say_from(buyer(0), &first.reply(100, ""));
    desk.pass(Duration::from_secs(29));
    let said = desk.pass(Duration::from_secs(1));
    assert_eq!(timed(&said), ["30000 b0 CANCEL", "30000 b2 INVITE"]);
}

#[test]
fn each_gateway_tried_is_an_attempt_with_its_name_and_counts_for_the_budget() {
    let mut buyers = specs(1);
    buyers[0].others = (1..9).map(buyer).collect();
    buyers.extend(specs(3).into_iter().skip(1));
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    });
    let mut said = desk.say(CARRIER, &invite());

    for place in 0..9 {
        let offered = find(&said, &format!("b{place} INVITE"));
        said = desk.say_from(buyer(place), &answer(&offered, 503, "bob"));
    }

    // The tenth is another buyer, the eleventh is over the budget of ten.
    let offered = find(&said, "b1 INVITE");
    let said = desk.say_from(buyer(1), &answer(&offered, 486, "bob"));
    assert_eq!(ladder(&said), ["b1 ACK", "carrier 603 INVITE"]);
    let record = &desk.records[0];
    let tried: Vec<_> = record
        .attempts
        .iter()
        .map(|one| (&*one.buyer.id, one.gateway.name.to_string()))
        .collect();
    let mut expected: Vec<_> = (0..9).map(|at| ("c0b0", buyer(at).to_string())).collect();
    expected.push(("c0b1", buyer(1).to_string()));
    assert_eq!(tried, expected);
    let mut call_ids: Vec<_> = record.attempts.iter().map(|one| &one.call_id).collect();
    call_ids.sort();
    call_ids.dedup();
    assert_eq!(call_ids.len(), 10);
    assert_eq!(desk.rest(), Gauges::default());
}

#[test]
fn early_media_of_the_last_buyer_passes_though_it_has_another_gateway() {
    let mut buyers = specs(1);
    buyers[0].others = vec![buyer(1)];
    let mut desk = Desk::with(&PolicySpec {
        lines: vec![buyers],
        ..PolicySpec::default()
    });
    let first = find(&desk.say(CARRIER, &invite()), "b0 INVITE");

    let early = answer(&first, 183, "bob").with_sdp(super::desk::ANSWER);
    let said = desk.say_from(buyer(0), &early);

    assert_eq!(find(&said, "carrier 183 INVITE").body, super::desk::ANSWER);
    let said = desk.say_from(buyer(0), &answer(&first, 503, "bob"));
    assert_eq!(ladder(&said), ["b0 ACK", "carrier 603 INVITE"]);
}
