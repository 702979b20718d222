//! The resolver with a server of the tests' own.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::sip::flow::Transport;
use crate::sip::uri::Uri;

#[path = "../../../tests/support/dns.rs"]
mod dns;

use dns::{DnsServer, Mood};

const ZONE: &str = "b.example NAPTR 1 1 s SIP+D2U _sip._udp.b.example; \
     _sip._udp.b.example SRV 1 0 5070 one.b.example; _sip._udp.b.example SRV 2 0 5080 two.b.example; \
     one.b.example A 192.0.2.1; one.b.example AAAA 2001:db8::1; two.b.example A 192.0.2.2; \
     c.example A 192.0.2.3";

#[test]
fn a_name_is_found_by_naptr_srv_and_addresses_and_told() {
    let bench = Bench::new(ZONE, 300);

    bench
        .resolver
        .asker()
        .set_names(vec![name("sip:b.example")]);

    assert_eq!(
        bench.told(),
        "b.example: 192.0.2.1:5070 [2001:db8::1]:5070 192.0.2.2:5080"
    );
    assert_eq!(bench.counted(), LookUp::Found);
    bench.stop();
}

#[test]
fn whoever_asks_for_what_is_known_is_told_at_once_without_another_question() {
    let bench = Bench::new(ZONE, 300);
    bench
        .resolver
        .asker()
        .set_names(vec![name("sip:c.example:5090")]);
    bench.told();

    bench.resolver.asker().ask(name("sip:c.example:5090"));

    assert_eq!(bench.told(), "c.example: 192.0.2.3:5090");
    assert_eq!(bench.server.count("A c.example"), 1);
    bench.stop();
}

#[test]
fn a_name_of_no_configuration_is_looked_up_for_whoever_asks() {
    let bench = Bench::new(ZONE, 300);

    bench.resolver.asker().ask(name("sip:c.example"));

    assert_eq!(bench.told(), "c.example: 192.0.2.3:5060");
    bench.stop();
}

#[test]
fn names_are_looked_up_again_before_they_are_too_old_and_changes_are_told() {
    let bench = Bench::new(ZONE, 1);
    bench
        .resolver
        .asker()
        .set_names(vec![name("sip:c.example:5060")]);
    assert_eq!(bench.told(), "c.example: 192.0.2.3:5060");

    bench.server.set_zone("c.example A 192.0.2.99");

    let told = loop {
        let told = bench.told();
        if told != "c.example: 192.0.2.3:5060" {
            break told;
        }
    };
    assert_eq!(told, "c.example: 192.0.2.99:5060");
    bench.stop();
}

#[test]
fn the_last_good_answer_outlives_every_outage_until_it_is_too_old() {
    let bench = Bench::with(ZONE, 1, Duration::from_millis(1500));
    bench
        .resolver
        .asker()
        .set_names(vec![name("sip:c.example:5060")]);
    assert_eq!(bench.told(), "c.example: 192.0.2.3:5060");

    for mood in [Mood::Dead, Mood::Denying, Mood::Failing] {
        bench.server.set_mood(mood);
        while bench.counted() == LookUp::Found {}
        // Whatever was told meanwhile, the answer is still the same.
        bench.forget();
        bench.resolver.asker().ask(name("sip:c.example:5060"));
        assert_eq!(bench.told(), "c.example: 192.0.2.3:5060", "{mood:?}");
        bench.server.set_mood(Mood::Well);
        while bench.counted() != LookUp::Found {}
    }

    bench.server.set_mood(Mood::Dead);
    while bench.told() != "c.example: nowhere" {}
    bench.server.set_mood(Mood::Well);
    while bench.told() != "c.example: 192.0.2.3:5060" {}
    bench.stop();
}

#[test]
fn what_is_not_found_is_told_in_time_and_at_once_the_next_time() {
    let bench = Bench::new(ZONE, 300);
    let began = clock::now();

    bench
        .resolver
        .asker()
        .set_names(vec![name("sip:d.example"), name("sip:e.example")]);
    let mut told = [bench.told(), bench.told()];
    told.sort();
    assert_eq!(told, ["d.example: nowhere", "e.example: nowhere"]);
    assert_eq!(bench.counted(), LookUp::Nothing);
    let asked = bench.server.count("A d.example");
    bench.resolver.asker().ask(name("sip:d.example"));
    assert_eq!(bench.told(), "d.example: nowhere");
    assert_eq!(bench.server.count("A d.example"), asked);

    bench.server.set_mood(Mood::Slow);
    bench.resolver.asker().ask(name("sip:f.example"));
    assert_eq!(bench.told(), "f.example: nowhere");
    assert!(clock::now() - began < Duration::from_secs(3));
    bench.stop();
}

#[test]
fn ten_thousand_names_are_found_64_at_once() {
    let mut zone = String::new();
    for host in 0..10_000 {
        zone.push_str(&format!("h{host}.example A 192.0.2.7;"));
    }
    let bench = Bench::new(&zone, 300);
    let names = (0..10_000).map(|host| name(&format!("sip:h{host}.example:5060")));

    bench.resolver.asker().set_names(names.collect());

    let mut told = BTreeSet::new();
    while told.len() < 10_000 {
        told.insert(bench.told());
    }
    assert!(told.iter().all(|one| one.ends_with("192.0.2.7:5060")));
    bench.stop();
}

fn name(uri: &str) -> Arc<Wanted> {
    let Ok(Uri::Sip(uri)) = Uri::parse(uri.as_bytes()) else {
        panic!("no SIP URI");
    };
    let able: Arc<[Transport]> = [Transport::Udp].into();
    Arc::new(Wanted::new(&uri, None, able).expect("a name"))
}

struct Bench {
    server: DnsServer,
    resolver: Resolver,
    told: Receiver<Told>,
    counted: Receiver<LookUp>,
}

struct Ear {
    told: Sender<Told>,
    counted: Sender<LookUp>,
}

impl Audience for Ear {
    fn tell(&self, told: Told) {
        let _ = self.told.send(told);
    }

    fn count(&self, result: LookUp) {
        let _ = self.counted.send(result);
    }
}

impl Bench {
    fn new(zone: &str, ttl: u32) -> Self {
        Self::with(zone, ttl, Duration::from_secs(3600))
    }

    fn with(zone: &str, ttl: u32, stale: Duration) -> Self {
        let server = DnsServer::start(zone, ttl);
        let (told, told_here) = channel();
        let (counted, counted_here) = channel();
        let dns = Dns {
            servers: vec![server.address],
            timeout: Duration::from_millis(300),
            stale,
        };
        // A second of DNS is a tenth of one here.
        let shortest = Duration::from_millis(100);
        let resolver = Resolver::start_with(dns, shortest, Ear { told, counted }).unwrap();
        Self {
            server,
            resolver,
            told: told_here,
            counted: counted_here,
        }
    }

    fn told(&self) -> String {
        let Told { wanted, located } = self.told.recv_timeout(PATIENCE).expect("told");
        let places = located.map(|located| {
            let places = located.order(0);
            let texts: Vec<String> = places.iter().map(|one| one.address.to_string()).collect();
            texts.join(" ")
        });
        format!(
            "{}: {}",
            wanted.name(),
            places.as_deref().unwrap_or("nowhere")
        )
    }

    fn counted(&self) -> LookUp {
        self.counted.recv_timeout(PATIENCE).expect("counted")
    }

    fn forget(&self) {
        while self.told.try_recv().is_ok() {}
    }

    fn stop(self) {
        self.resolver.stop();
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
