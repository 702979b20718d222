//! The edge over real sockets on the loopback: what the shell adds to the engine.

pub(crate) mod accounts;
pub(crate) mod client;
pub(crate) mod connect;
mod crash;
mod direct;
mod directory;
mod dns;
mod full;
mod hostile;
mod kept;
mod killed;
mod posts;
mod process;
mod rtpengine;
mod scarce;
pub(crate) mod site;
mod told;
mod tools;
pub(crate) mod vendors;
mod web;

use std::collections::BTreeSet;
use std::fs;

use strowger::edge::Disk;
use strowger::telemetry::metrics::FAMILIES;

use site::{Buyer, Carrier, Site, http_get};

#[test]
fn options_are_answered_over_ipv4_and_ipv6() {
    let site = Site::new(1);
    let edge = site.start();

    for address in edge.addresses() {
        let carrier = Carrier::new(address);
        carrier.send(&carrier.options());

        let answer = carrier.receive();

        assert!(answer.starts_with("SIP/2.0 200 "), "{address}: {answer}");
    }
}

#[test]
fn malformed_datagrams_do_no_harm() {
    let site = Site::new(1);
    let edge = site.start();
    let carrier = Carrier::new(edge.addresses()[0]);

    for garbage in [
        b"".as_slice(),
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"INVITE",
        &[0xff; 2000],
        b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n\r\n",
    ] {
        carrier.send(garbage);
    }
    carrier.send(&carrier.options());

    let answer = carrier.receive_where(|answer| answer.contains("OPTIONS"));
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
}

#[test]
fn a_call_goes_through_and_leaves_a_record() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let edge = site.start();
    let mut carrier = Carrier::new(edge.addresses()[0]);

    carrier.call("+12125550101");
    carrier.hang_up();
    edge.stop();

    let records = site.records();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record["outcome"], "completed");
    assert_eq!(record["hung_up_by"], "caller");
    assert_eq!(record["trunk"], "carrier");
    assert_eq!(record["dialled"], "+12125550101");
    assert_eq!(record["afid"], "bright-leads");
    assert_eq!(record["node"], "loopback");
    assert_eq!(record["attempts"][0]["buyer"], "sunny");
    assert_eq!(record["attempts"][0]["result"], "answered");
}

#[test]
fn a_buyer_whose_port_is_closed_fails_at_once() {
    // Without ICMP it would take the buyer's response time-out.
    let site = Site::with_buyer(1, site::closed_port());
    let edge = site.start();
    let carrier = Carrier::new(edge.addresses()[0]);

    carrier.send(&carrier.invite("+12125550101"));
    let answer = carrier.receive_where(|answer| !answer.starts_with("SIP/2.0 1"));
    edge.stop();

    assert!(!answer.starts_with("SIP/2.0 2"), "{answer}");
    assert_eq!(site.records()[0]["attempts"][0]["result"], "unreachable");
}

#[test]
fn a_body_that_fits_into_no_datagram_of_ours_fails_at_once_and_alone() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let edge = site.start();
    let carrier = Carrier::new(edge.addresses()[0]);

    // It got here, but the buyer's INVITE has more headers.
    carrier.send(&carrier.long_invite("+12125550101", 64_900));
    let answer = carrier.receive_where(|answer| !answer.starts_with("SIP/2.0 1"));
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call("+12125550101");
    carrier.hang_up();
    edge.stop();

    assert!(answer.starts_with("SIP/2.0 603 "), "{answer}");
    let records = site.records();
    assert_eq!(records[0]["attempts"][0]["result"], "buyer_error");
    assert_eq!(records[1]["attempts"][0]["result"], "answered");
}

#[test]
fn metrics_show_every_family_and_every_line_can_be_read() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let edge = site.start();
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.send(b"garbage\r\n\r\n");
    carrier.call("+12125550101");
    carrier.hang_up();

    let (status, text) = http_get(edge.http_address().unwrap(), "/metrics");

    assert_eq!(status, 200);
    let mut shown = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.split(' ');
            assert!(matches!(words.next(), Some("HELP" | "TYPE")), "{line}");
            shown.extend(words.next());
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            assert!(name.starts_with("strowger_"), "{line}");
        }
    }
    for family in FAMILIES {
        assert!(shown.contains(family.name), "{} is missing", family.name);
    }
    for line in [
        "strowger_requests_total{method=\"INVITE\"} 1",
        "strowger_calls_started_total 1",
        "strowger_calls_ended_total{outcome=\"completed\"} 1",
        "strowger_buyer_attempts_total{result=\"answered\"} 1",
        "strowger_calls{state=\"talking\"} 0",
        "strowger_config_generation 1",
        "strowger_call_setup_seconds_count 1",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
}

#[test]
fn health_is_served_and_nothing_else() {
    let site = Site::new(2);
    let edge = site.start();
    let http = edge.http_address().unwrap();

    assert_eq!(http_get(http, "/healthz"), (200, "alive\n".to_owned()));
    assert_eq!(http_get(http, "/readyz"), (200, "ready\n".to_owned()));
    let (status, text) = http_get(http, "/addresses");
    let addresses: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200);
    // With the port that was really given.
    let here = edge.addresses()[0].to_string();
    assert_eq!(addresses["signalling"][0]["bind"], here);
    assert_eq!(addresses["buyers"][0]["gateways"][0]["sent_from"], here);
    edge.drain();
    assert_eq!(http_get(http, "/readyz"), (503, "draining\n".to_owned()));
    assert_eq!(http_get(http, "/healthz").0, 200);
    assert_eq!(http_get(http, "/reload").0, 404);
}

#[test]
fn a_broken_reload_keeps_the_old_configuration_and_a_right_one_replaces_it() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let mut edge = site.start();
    let disk = Disk::new().unwrap();
    let right = fs::read_to_string(&site.config).unwrap();

    fs::write(&site.config, format!("{right}\n[nonsense]\nx = 1\n")).unwrap();
    let faults = edge.reload(&site.config, &disk).unwrap_err();

    assert!(faults.to_string().contains("nonsense"), "{faults}");
    assert_eq!(edge.generation(), 1);
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call("+12125550101");
    carrier.hang_up();

    fs::write(&site.config, right.replace("+12125550101", "+12125550102")).unwrap();
    edge.reload(&site.config, &disk).unwrap();

    assert_eq!(edge.generation(), 2);
    let mut carrier = Carrier::new(edge.addresses()[0]);
    carrier.call("+12125550102");
    carrier.hang_up();
    let metrics = edge.metrics();
    for line in [
        "strowger_config_generation 2",
        "strowger_reloads_total{result=\"applied\"} 1",
        "strowger_reloads_total{result=\"refused\"} 1",
    ] {
        assert!(metrics.lines().any(|shown| shown == line), "{line}");
    }
}

#[test]
fn a_reload_changes_how_many_calls_are_taken() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(1, buyer.address);
    let mut edge = site.start();
    let disk = Disk::new().unwrap();
    let text = fs::read_to_string(&site.config).unwrap();
    let address = edge.addresses()[0];
    let mut first = Carrier::new(address);
    first.call("+12125550101");

    fs::write(&site.config, format!("{text}\n[limits]\ncalls = 1\n")).unwrap();
    edge.reload(&site.config, &disk).unwrap();
    let refused = Carrier::new(address);
    refused.send(&refused.invite("+12125550101"));
    let answer = refused.receive();

    assert!(answer.starts_with("SIP/2.0 503 "), "{answer}");
    fs::write(&site.config, format!("{text}\n[limits]\ncalls = 2\n")).unwrap();
    edge.reload(&site.config, &disk).unwrap();
    let mut second = Carrier::new(address);
    second.call("+12125550101");
    first.hang_up();
    second.hang_up();
}

#[test]
fn two_shards_share_a_port_and_find_each_others_calls() {
    let buyer = Buyer::start();
    let site = Site::with_buyer(2, buyer.address);
    let edge = site.start();

    for _ in 0..16 {
        // Each carrier has a port of its own, so that the kernel deals them out to both shards; all
        // that the buyer sends goes to one of them.
        let mut carrier = Carrier::new(edge.addresses()[0]);
        carrier.call("+12125550101");
        carrier.hang_up();
    }

    let metrics = edge.metrics();
    edge.stop();
    assert_eq!(site.records().len(), 16);
    let handed = metrics
        .lines()
        .find_map(|line| line.strip_prefix("strowger_forwards_total{result=\"handed\"} "))
        .unwrap();
    assert_ne!(handed, "0");
}
