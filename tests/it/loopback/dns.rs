//! Buyers by name, with a DNS server of the tests' own that has its moods.

use std::net::SocketAddr;
use std::time::Duration;

use strowger::net::clock;

use super::site::{Buyer, Carrier, Site, http_get};
use crate::dns::{DnsServer, Mood};

/// What a call takes at most that does not wait for DNS, and what one that gives it up after two seconds.
const UNWAITED: Duration = Duration::from_millis(1500);
const WAITED_ONCE: Duration = Duration::from_secs(4);

/// A call to `number`, from INVITE to the 200 of its BYE; gives how long the answer took.
fn call(edge: SocketAddr, number: &str) -> Duration {
    let mut carrier = Carrier::new(edge);
    let began = clock::now();
    carrier.call(number);
    let setup = began.elapsed();
    carrier.hang_up();
    setup
}

/// The final status that a call to `number` gets, and after how long.
fn refused(edge: SocketAddr, number: &str) -> (String, Duration) {
    let carrier = Carrier::new(edge);
    let began = clock::now();
    carrier.send(&carrier.invite(number));
    let answer = carrier.receive_where(|answer| !answer.starts_with("SIP/2.0 1"));
    let status = answer.split(' ').nth(1).expect("a status").to_owned();
    (status, began.elapsed())
}

/// Row 36: DNS killed, slow, denying, and with 10,000 records: buyers by address are unaffected, and calls
/// by a name that was found once are served from the last answer.
#[test]
fn row_36_dns_outage() {
    const BY_ADDRESS: &str = "+12125550101";
    const BY_NAME: &str = "+12125550102";
    const NOWHERE_THEN_ADDRESS: &str = "+12125550103";
    let buyer = Buyer::start();
    let (ip, port) = (buyer.address.ip(), buyer.address.port());
    let mut zone = format!(
        "_sip._udp.named.example SRV 1 1 {port} host.named.example; host.named.example A {ip};"
    );
    for host in 0..10_000 {
        zone.push_str(&format!("h{host}.other.example A 192.0.2.7;"));
    }
    let dns = DnsServer::start("", 1);
    dns.set_zone(&zone);
    let site = Site::with_buyer(2, buyer.address);
    site.append(&format!(
        r#"
[dns]
servers = ["{}"]

[[buyer]]
id = "by-name"
company = "acme"
uri = "sip:sales@named.example"

[[buyer]]
id = "nowhere"
company = "acme"
uri = "sip:sales@nowhere.example"

[[campaign]]
id = "by-name"
company = "acme"
buyers = ["by-name"]

[[campaign]]
id = "both"
company = "acme"
buyers = ["nowhere", "sunny"]

[[number]]
number = "{BY_NAME}"
campaign = "by-name"
afid = "bright-leads"

[[number]]
number = "{NOWHERE_THEN_ADDRESS}"
campaign = "both"
afid = "bright-leads"
"#,
        dns.address
    ));
    let edge = site.start();
    let address = edge.addresses()[0];
    // Also the very first, which may have to wait for the answer.
    call(address, BY_NAME);

    let mut slowest = Duration::ZERO;
    let mut calls = 0;
    for mood in [
        Mood::Well,
        Mood::Dead,
        Mood::Slow,
        Mood::Denying,
        Mood::Failing,
    ] {
        dns.set_mood(mood);
        // Longer than the answer is good for: what is served at last is old.
        let until = clock::now() + Duration::from_millis(2500);
        while clock::now() < until {
            slowest = slowest
                .max(call(address, BY_ADDRESS))
                .max(call(address, BY_NAME));
            calls += 2;
        }
    }
    let took = call(address, NOWHERE_THEN_ADDRESS);
    let (_, metrics) = http_get(edge.http_address().expect("a server"), "/metrics");
    edge.stop();

    assert!(calls >= 100, "{calls}");
    assert!(dns.count("SRV _sip._udp.named.example") > 1);
    assert!(slowest < UNWAITED, "{slowest:?}");
    assert!(took < WAITED_ONCE, "{took:?}");
    let failed = "strowger_dns_look_ups_total{result=\"failed\"} ";
    let line = metrics.lines().find(|line| line.starts_with(failed));
    assert_ne!(line, Some(&*format!("{failed}0")), "{metrics}");
    let last = site.records().pop().expect("a record");
    assert_eq!(last["attempts"][0]["result"], "unreachable");
    assert_eq!(last["attempts"][1]["result"], "answered");
}

/// Row 36: DNS that was dead from the beginning: a call by name fails in two seconds, and nothing else does.
#[test]
fn row_36_dns_is_dead_from_the_beginning() {
    let buyer = Buyer::start();
    let dns = DnsServer::start("", 60);
    dns.set_mood(Mood::Dead);
    let site = Site::with_buyer(1, buyer.address);
    site.append(&format!(
        r#"
[dns]
servers = ["{}"]

[[buyer]]
id = "by-name"
company = "acme"
uri = "sip:sales@named.example"

[[campaign]]
id = "by-name"
company = "acme"
buyers = ["by-name"]

[[number]]
number = "+12125550102"
campaign = "by-name"
afid = "bright-leads"
"#,
        dns.address
    ));
    let edge = site.start();
    let address = edge.addresses()[0];

    let (status, took) = refused(address, "+12125550102");
    let setup = call(address, "+12125550101");
    // A moment later it is known to be nowhere, and nobody waits.
    let (_, again) = refused(address, "+12125550102");
    edge.stop();

    assert_eq!(status, "603");
    assert!(took < WAITED_ONCE, "{took:?}");
    assert!(setup < UNWAITED, "{setup:?}");
    assert!(again < UNWAITED, "{again:?}");
}
