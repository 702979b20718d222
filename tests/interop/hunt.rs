//! One buyer after the other.

use std::net::Ipv4Addr;

use crate::calls::attempts;
use crate::calls::buyer_was_told;
use crate::calls::call;
use crate::edge::Edge;
use crate::sipp::Sipp;
use crate::site::Site;

#[test]
fn after_503_the_second_buyer_gets_the_call() {
    the_second_buyer_gets_it_after(503, "buyer_error");
}

#[test]
fn after_486_the_second_buyer_gets_the_call() {
    the_second_buyer_gets_it_after(486, "busy");
}

#[test]
fn after_603_the_second_buyer_gets_the_call() {
    the_second_buyer_gets_it_after(603, "declined");
}

fn the_second_buyer_gets_it_after(status: u16, result: &str) {
    let mut site = Site::new();
    let first = site.buyer("first");
    let second = site.buyer("second");
    let edge = Edge::start(&site);

    let mut first = Sipp::buyer("buyer_refuses", first)
        .blank("status", status)
        .start(site.folder());
    let mut second = Sipp::buyer("buyer_answers", second).start(site.folder());
    let mut carrier = call(&site, "carrier_call").start(site.folder());
    carrier.passes();
    first.passes();
    second.passes();

    let record = edge.record();
    assert_eq!(record["outcome"], "completed");
    assert_eq!(
        attempts(&record),
        [("first", result), ("second", "answered")]
    );
    assert_eq!(record["attempts"][0]["status"], status);
    buyer_was_told(&second, &record);
    let one = first.received_one("INVITE");
    let other = second.received_one("INVITE");
    assert_ne!(one.one("Call-ID"), other.one("Call-ID"));
    assert_ne!(one.one("From"), other.one("From"));
    edge.holds_no_call();
}

#[test]
fn after_silence_the_second_buyer_gets_the_call() {
    let mut site = Site::new();
    let silent = site.next_buyer();
    site.buyer_with("silent", silent, |buyer| buyer.response_timeout = "2s");
    let second = site.buyer("second");
    let edge = Edge::start(&site);

    let mut silent = Sipp::buyer("buyer_silent", silent).start(site.folder());
    let mut second = Sipp::buyer("buyer_answers", second).start(site.folder());
    let mut carrier = call(&site, "carrier_call").start(site.folder());
    carrier.passes();
    second.passes();

    let record = edge.record();
    assert_eq!(
        attempts(&record),
        [("silent", "unreachable"), ("second", "answered")]
    );
    assert!(silent.received("INVITE").len() >= 2, "{}", silent.flow());
    assert!(
        silent.received("CANCEL").is_empty(),
        "CANCEL before any 1xx"
    );
    silent.stop();
    edge.holds_no_call();
}

#[test]
fn a_buyer_that_rings_too_long_is_cancelled_and_the_second_gets_the_call() {
    let mut site = Site::new();
    let slow = site.next_buyer();
    site.buyer_with("slow", slow, |buyer| buyer.ring_timeout = "2s");
    let second = site.buyer("second");
    let edge = Edge::start(&site);

    let mut slow = Sipp::buyer("buyer_rings", slow).start(site.folder());
    let mut second = Sipp::buyer("buyer_answers", second).start(site.folder());
    let mut carrier = call(&site, "carrier_call").start(site.folder());
    carrier.passes();
    slow.passes();
    second.passes();

    let record = edge.record();
    assert_eq!(
        attempts(&record),
        [("slow", "no_answer"), ("second", "answered")]
    );
    let tags: Vec<_> = carrier
        .messages()
        .into_iter()
        .filter(|message| message.received && message.one("CSeq") == "1 INVITE")
        .filter_map(|message| Some(message.one("To").split_once("tag=")?.1.to_owned()))
        .collect();
    assert!(tags.windows(2).all(|pair| pair[0] == pair[1]), "{tags:?}");
    edge.holds_no_call();
}

#[test]
fn a_buyer_whose_port_is_closed_is_passed_over() {
    let mut site = Site::new();
    site.buyer("closed");
    let second = site.buyer("second");
    let edge = Edge::start(&site);

    let mut second = Sipp::buyer("buyer_answers", second).start(site.folder());
    let mut carrier = call(&site, "carrier_call").start(site.folder());
    carrier.passes();
    second.passes();

    let record = edge.record();
    assert_eq!(
        attempts(&record),
        [("closed", "unreachable"), ("second", "answered")]
    );
    edge.holds_no_call();
}

#[test]
fn when_every_buyer_fails_the_carrier_gets_603() {
    every_buyer_fails([503, 486], 603, "no_answer");
}

#[test]
fn when_every_buyer_is_busy_the_carrier_gets_486() {
    every_buyer_fails([486, 600], 486, "all_busy");
}

fn every_buyer_fails(statuses: [u16; 2], answer: u16, outcome: &str) {
    let mut site = Site::new();
    let first = site.buyer("first");
    let second = site.buyer("second");
    let edge = Edge::start(&site);

    let mut buyers = [(first, statuses[0]), (second, statuses[1])].map(|(address, status)| {
        Sipp::buyer("buyer_refuses", address)
            .blank("status", status)
            .start(site.folder())
    });
    let mut carrier = call(&site, "carrier_refused")
        .blank("status", answer)
        .start(site.folder());
    carrier.passes();
    for buyer in &mut buyers {
        buyer.passes();
    }

    let record = edge.record();
    assert_eq!(record["outcome"], outcome, "{record:#}");
    assert_eq!(record["status"], answer);
    assert_eq!(attempts(&record).len(), 2);
    edge.holds_no_call();
}

#[test]
fn a_gateway_that_is_down_gives_way_to_the_second_and_is_left_alone_after_five_calls() {
    let mut site = Site::new();
    let closed = site.next_buyer();
    let open = Ipv4Addr::from(u32::from(closed) + 1);
    site.buyer_with("acme", closed, |buyer| buyer.second = Some(open));
    let edge = Edge::start(&site);

    for _ in 0..6 {
        let mut second = Sipp::buyer("buyer_answers", open).start(site.folder());
        let mut carrier = call(&site, "carrier_call").start(site.folder());
        carrier.passes();
        second.passes();
    }

    let records = edge.records(6);
    for record in &records[..5] {
        let expected = [("acme", "unreachable"), ("acme", "answered")];
        assert_eq!(attempts(record), expected);
        assert_eq!(record["attempts"][1]["gateway"], format!("{open}:5060"));
    }
    assert_eq!(attempts(&records[5]), [("acme", "answered")]);
    assert_eq!(records[5]["skipped"][0]["why"], "gateway_down");
    edge.shows("strowger_gateways_down{buyer=\"acme\"}", |down| down == 1.0);
    edge.holds_no_call();
}

/// One rings, one answers, one has answered when our CANCEL comes.
#[test]
fn three_are_called_at_once_and_the_first_to_answer_has_the_call() {
    let mut site = Site::new();
    let buyers = ["rings", "answers", "crosses"].map(|name| site.buyer(name));
    site.dial = "together";
    let edge = Edge::start(&site);

    let scenarios = ["buyer_rings", "buyer_answers", "buyer_answers_cancel"];
    let peers = scenarios.into_iter().zip(buyers);
    let mut peers: Vec<_> = peers
        .map(|(scenario, address)| Sipp::buyer(scenario, address).start(site.folder()))
        .collect();
    let mut carrier = call(&site, "carrier_call").start(site.folder());
    carrier.passes();
    for peer in &mut peers {
        peer.passes();
    }

    let record = edge.record();
    assert_eq!(record["outcome"], "completed", "{record:#}");
    assert_eq!(
        attempts(&record),
        [
            ("rings", "lost_race"),
            ("answers", "answered"),
            ("crosses", "lost_race")
        ]
    );
    for place in 0..3 {
        assert_eq!(record["attempts"][place]["together"], 1, "{record:#}");
    }
    for loser in [&peers[0], &peers[2]] {
        let cancel = loser.received_one("CANCEL");
        assert_eq!(
            cancel.one("Reason"),
            "SIP;cause=200;text=\"Call completed elsewhere\""
        );
    }
    assert!(peers[1].received("CANCEL").is_empty());
    assert_eq!(peers[2].received("BYE").len(), 1, "{}", peers[2].flow());
    let ringing = carrier.received("SIP/2.0 180");
    assert_eq!(ringing.len(), 1, "{}", carrier.flow());
    edge.holds_no_call();
}
