//! RFC 3263 §4.1 and §4.2 as a table, and the shares of RFC 2782.

use std::collections::BTreeMap;

use super::*;
use crate::sip::uri::Uri;

/// A URI, what we can send by, a zone, and the targets that must come out, in order; `a|b` are two that
/// may stand in either order.
type Row = (
    &'static str,
    &'static [Transport],
    &'static str,
    &'static str,
);

use Transport::{Tcp, Tls, Udp};

const ALL: &[Transport] = &[Udp, Tcp, Tls];

/// `name TYPE data`, one record each, separated by `;`.
const TABLE: &[Row] = &[
    // §4.1: a transport in the URI is the one.
    (
        "sip:b.example;transport=tcp",
        ALL,
        "_sip._tcp.b.example SRV 0 0 5070 h.b.example; h.b.example A 192.0.2.1",
        "TCP 192.0.2.1:5070",
    ),
    (
        "sip:b.example;transport=udp",
        ALL,
        "_sip._udp.b.example SRV 0 0 5070 h.b.example; h.b.example A 192.0.2.1",
        "UDP 192.0.2.1:5070",
    ),
    (
        "sip:b.example;transport=TLS",
        ALL,
        "_sips._tcp.b.example SRV 0 0 5071 h.b.example; h.b.example A 192.0.2.1",
        "TLS 192.0.2.1:5071",
    ),
    // ... also without SRV, at its default port.
    (
        "sip:b.example;transport=tcp",
        ALL,
        "b.example A 192.0.2.1",
        "TCP 192.0.2.1:5060",
    ),
    (
        "sip:b.example;transport=tls",
        ALL,
        "b.example A 192.0.2.1",
        "TLS 192.0.2.1:5061",
    ),
    // ... and nothing, if we do not speak it.
    (
        "sip:b.example;transport=tcp",
        &[Udp],
        "b.example A 192.0.2.1",
        "nowhere",
    ),
    // §4.1: a port means this very host; UDP for sip, TLS for sips. No NAPTR, no SRV.
    (
        "sip:b.example:5080",
        ALL,
        "b.example NAPTR 1 1 s SIP+D2T _sip._tcp.b.example; _sip._udp.b.example SRV 0 0 1 x.example; b.example A 192.0.2.1",
        "UDP 192.0.2.1:5080",
    ),
    (
        "sips:b.example:5081",
        ALL,
        "b.example A 192.0.2.1",
        "TLS 192.0.2.1:5081",
    ),
    (
        "sip:b.example:5080;transport=tcp",
        ALL,
        "b.example A 192.0.2.1",
        "TCP 192.0.2.1:5080",
    ),
    (
        "sips:b.example:5081;transport=tcp",
        ALL,
        "b.example A 192.0.2.1",
        "TLS 192.0.2.1:5081",
    ),
    // §4.1: NAPTR says which transports, by order and preference, as far as we speak them.
    (
        "sip:b.example",
        ALL,
        "b.example NAPTR 100 50 s SIP+D2U _sip._udp.u.example; b.example NAPTR 50 50 s SIPS+D2T _sips._tcp.s.example; b.example NAPTR 90 50 s SIP+D2T _sip._tcp.t.example; \
         _sip._udp.u.example SRV 0 0 5060 u.example; _sips._tcp.s.example SRV 0 0 5061 s.example; _sip._tcp.t.example SRV 0 0 5060 t.example; \
         u.example A 192.0.2.1; s.example A 192.0.2.2; t.example A 192.0.2.3",
        "TLS 192.0.2.2:5061, TCP 192.0.2.3:5060, UDP 192.0.2.1:5060",
    ),
    (
        "sip:b.example",
        &[Udp],
        "b.example NAPTR 50 50 s SIPS+D2T _sips._tcp.s.example; b.example NAPTR 100 50 s SIP+D2U _sip._udp.u.example; _sip._udp.u.example SRV 0 0 5060 u.example; u.example A 192.0.2.1",
        "UDP 192.0.2.1:5060",
    ),
    (
        "sip:b.example",
        ALL,
        "b.example NAPTR 10 20 S sip+d2t _sip._tcp.t.example; b.example NAPTR 10 10 s SIP+D2U _sip._udp.u.example; \
         _sip._udp.u.example SRV 0 0 5060 u.example; _sip._tcp.t.example SRV 0 0 5060 t.example; u.example A 192.0.2.1; t.example A 192.0.2.3",
        "UDP 192.0.2.1:5060, TCP 192.0.2.3:5060",
    ),
    // What is not for SIP, or no `s`, does not count: then SRV is asked by ourselves.
    (
        "sip:b.example",
        &[Udp],
        "b.example NAPTR 10 20 u E2U+sip x.example; b.example NAPTR 1 1 a SIP+D2U y.example; b.example NAPTR 1 1 s XMPP+D2T z.example; _sip._udp.b.example SRV 0 0 5062 h.example; h.example A 192.0.2.1",
        "UDP 192.0.2.1:5062",
    ),
    // sips: TLS only, whatever NAPTR offers besides.
    (
        "sips:b.example",
        ALL,
        "b.example NAPTR 1 1 s SIP+D2U _sip._udp.u.example; b.example NAPTR 2 1 s SIPS+D2T _sips._tcp.s.example; _sips._tcp.s.example SRV 0 0 5061 s.example; s.example A 192.0.2.2",
        "TLS 192.0.2.2:5061",
    ),
    (
        "sips:b.example",
        &[Udp, Tcp],
        "b.example A 192.0.2.1",
        "nowhere",
    ),
    // §4.1: no NAPTR: SRV for each transport that we speak, in our order.
    (
        "sip:b.example",
        &[Tcp, Udp],
        "_sip._udp.b.example SRV 0 0 5062 u.example; _sip._tcp.b.example SRV 9 0 5063 t.example; u.example A 192.0.2.1; t.example A 192.0.2.2",
        "TCP 192.0.2.2:5063, UDP 192.0.2.1:5062",
    ),
    (
        "sip:b.example",
        ALL,
        "_sip._tcp.b.example SRV 9 0 5063 t.example; t.example A 192.0.2.2",
        "TCP 192.0.2.2:5063",
    ),
    // §4.1, §4.2: neither: UDP (TLS for sips) at the default port.
    (
        "sip:b.example",
        ALL,
        "b.example A 192.0.2.1",
        "UDP 192.0.2.1:5060",
    ),
    (
        "sips:b.example",
        ALL,
        "b.example A 192.0.2.1",
        "TLS 192.0.2.1:5061",
    ),
    (
        "sip:B.Example.",
        ALL,
        "b.example A 192.0.2.1",
        "UDP 192.0.2.1:5060",
    ),
    ("sip:b.example", &[Tcp], "b.example A 192.0.2.1", "nowhere"),
    // §4.2: SRV by priority; all addresses of a host, IPv4 first.
    (
        "sip:b.example;transport=udp",
        ALL,
        "_sip._udp.b.example SRV 20 0 5060 second.example; _sip._udp.b.example SRV 10 0 5070 first.example; \
         first.example AAAA 2001:db8::1; first.example A 192.0.2.1; first.example A 192.0.2.2; second.example A 192.0.2.3",
        "UDP 192.0.2.1:5070, UDP 192.0.2.2:5070, UDP [2001:db8::1]:5070, UDP 192.0.2.3:5060",
    ),
    // RFC 2782: a target of "." means that the service is not there.
    (
        "sip:b.example;transport=udp",
        ALL,
        "_sip._udp.b.example SRV 0 0 0 .; b.example A 192.0.2.1",
        "nowhere",
    ),
    (
        "sip:b.example;transport=udp",
        ALL,
        "_sip._udp.b.example SRV 0 0 1 gone.example; b.example A 192.0.2.1",
        "nowhere",
    ),
    // Nobody is at 0.0.0.0, nor at a group.
    (
        "sip:b.example",
        ALL,
        "b.example A 0.0.0.0; b.example A 224.0.0.1; b.example AAAA ::",
        "nowhere",
    ),
    ("sip:b.example", ALL, "", "nowhere"),
    // A failure is not an answer, but what was answered counts.
    (
        "sip:b.example",
        ALL,
        "b.example A 192.0.2.1; b.example AAAA FAILED",
        "UDP 192.0.2.1:5060",
    ),
    (
        "sip:b.example",
        ALL,
        "b.example NAPTR FAILED; b.example A 192.0.2.1",
        "UDP 192.0.2.1:5060",
    ),
    (
        "sip:b.example;transport=udp",
        ALL,
        "_sip._udp.b.example SRV FAILED; b.example A 192.0.2.1",
        "failed",
    ),
    ("sip:b.example", ALL, "b.example A FAILED", "failed"),
    (
        "sip:b.example;transport=udp",
        ALL,
        "_sip._udp.b.example SRV 0 0 1 h.example; h.example A FAILED; h.example AAAA FAILED",
        "failed",
    ),
];

#[test]
fn the_table_of_rfc_3263() {
    for (uri, able, zone, targets) in TABLE {
        assert_eq!(found(uri, able, zone).0, *targets, "{uri} in {zone}");
    }
}

#[test]
fn what_names_an_address_or_an_unknown_transport_is_not_looked_up() {
    for uri in [
        "sip:192.0.2.1",
        "sip:[2001:db8::1]:5060",
        "sip:b.example;transport=sctp",
    ] {
        assert_eq!(wanted(uri, ALL), None, "{uri}");
    }
}

/// No more than three rounds, and within a round all questions at once.
#[test]
fn questions_are_asked_together() {
    let (_, rounds) = found("sip:b.example", ALL, "b.example A 192.0.2.1");
    assert_eq!(
        rounds,
        [
            vec!["NAPTR b.example"],
            vec![
                "SRV _sip._udp.b.example",
                "SRV _sip._tcp.b.example",
                "SRV _sips._tcp.b.example"
            ],
            vec!["A b.example", "AAAA b.example"],
        ]
    );
    let (_, rounds) = found("sip:b.example:5060", ALL, "b.example A 192.0.2.1");
    assert_eq!(rounds, [vec!["A b.example", "AAAA b.example"]]);
}

/// RFC 2782: within a priority, hosts share by weight; 60:30:10:0 here.
#[test]
fn a_name_that_several_records_lead_to_is_asked_for_once() {
    let records = ["_sip._udp.b.example", "_sip._udp.c.example"];
    let naptr = |place: usize| Naptr {
        order: place as u16,
        preference: 0,
        flags: "s".into(),
        services: "SIP+D2U".into(),
        replacement: records[place % 2].into(),
    };
    let answer = Answer::Naptr((0..4).map(naptr).collect());
    let answers = Answers::from([(Question::Naptr("b.example".into()), answer)]);
    let wanted = wanted("sip:b.example", ALL).expect("a name");

    let step = locate(&wanted, &answers);

    let asked = records.map(|name| Question::Srv(name.into()));
    assert_eq!(step, Step::Ask(asked.to_vec()));
}

#[test]
fn srv_weights_are_shares() {
    let located = located(
        "sip:b.example;transport=udp",
        "_sip._udp.b.example SRV 1 60 1 a.example; _sip._udp.b.example SRV 1 30 2 b.example; \
         _sip._udp.b.example SRV 1 10 3 c.example; _sip._udp.b.example SRV 1 0 4 d.example; _sip._udp.b.example SRV 2 0 5 e.example; \
         a.example A 192.0.2.1; b.example A 192.0.2.2; c.example A 192.0.2.3; d.example A 192.0.2.4; e.example A 192.0.2.5",
    );
    let mut firsts = BTreeMap::new();
    let mut seconds = BTreeMap::new();
    let draws = 100_000;
    for seed in 0..draws {
        let order = located.order(seed);
        assert_eq!(order.len(), 5);
        assert_eq!(order[4].address.port(), 5, "the lower priority is last");
        *firsts.entry(order[0].address.port()).or_insert(0) += 1;
        if order[0].address.port() == 1 {
            *seconds.entry(order[1].address.port()).or_insert(0) += 1;
        }
    }

    let share = |counts: &BTreeMap<u16, u32>, port| {
        let all: u32 = counts.values().sum();
        f64::from(counts.get(&port).copied().unwrap_or_default()) / f64::from(all)
    };
    for (port, expected) in [(1, 0.60), (2, 0.30), (3, 0.10), (4, 0.0)] {
        assert!(
            (share(&firsts, port) - expected).abs() < 0.015,
            "{port}: {firsts:?}"
        );
    }
    // Weight zero is drawn now and then: "very small chances".
    assert!(firsts[&4] > 0, "{firsts:?}");
    for (port, expected) in [(2, 0.75), (3, 0.25)] {
        assert!(
            (share(&seconds, port) - expected).abs() < 0.03,
            "{port}: {seconds:?}"
        );
    }
}

#[test]
fn the_same_seed_is_the_same_order() {
    let located = located(
        "sip:b.example;transport=udp",
        "_sip._udp.b.example SRV 1 0 1 a.example; _sip._udp.b.example SRV 1 0 2 b.example; a.example A 192.0.2.1; b.example A 192.0.2.2",
    );

    assert_eq!(located.order(7), located.order(7));
    // Without weights, the first of the answer stays first.
    assert_eq!(located.order(7)[0].address.port(), 1);
}

#[test]
fn a_hostile_zone_has_bounds() {
    let mut zone = String::new();
    for host in 0..500 {
        zone.push_str(&format!(
            "_sip._udp.b.example SRV {host} 1 1 h{host}.example;"
        ));
        for address in 0..50 {
            zone.push_str(&format!("h{host}.example A 192.0.2.{address};"));
        }
    }

    assert_eq!(
        located("sip:b.example;transport=udp", &zone).order(1).len(),
        32
    );
}

fn wanted(uri: &str, able: &[Transport]) -> Option<Wanted> {
    let Ok(Uri::Sip(uri)) = Uri::parse(uri.as_bytes()) else {
        panic!("no SIP URI: {uri}");
    };
    Wanted::new(&uri, None, able.into())
}

fn located(uri: &str, zone: &str) -> Located {
    let wanted = wanted(uri, ALL).expect("a name");
    let zone = read(zone);
    let mut answers = Answers::new();
    loop {
        match locate(&wanted, &answers) {
            Step::Ask(questions) => {
                answers.extend(questions.into_iter().map(|question| ask(&zone, question)));
            }
            Step::Done(located) => return located,
            Step::Nowhere { .. } => panic!("nowhere"),
        }
    }
}

/// The targets as text, and what was asked in each round.
fn found(uri: &str, able: &[Transport], zone: &str) -> (String, Vec<Vec<String>>) {
    let wanted = wanted(uri, able).expect("a name");
    let zone = read(zone);
    let mut answers = Answers::new();
    let mut rounds = Vec::new();
    let text = loop {
        match locate(&wanted, &answers) {
            Step::Ask(questions) => {
                assert!(rounds.len() < 4, "{rounds:?}");
                rounds.push(questions.iter().map(show).collect());
                answers.extend(questions.into_iter().map(|question| ask(&zone, question)));
            }
            Step::Done(located) => {
                let show = |one: &Target| format!("{} {}", one.transport.name(), one.address);
                let texts: Vec<String> = located.order(1).iter().map(show).collect();
                break texts.join(", ");
            }
            Step::Nowhere { has_failed: true } => break "failed".to_owned(),
            Step::Nowhere { has_failed: false } => break "nowhere".to_owned(),
        }
    };
    (text, rounds)
}

fn show(question: &Question) -> String {
    match question {
        Question::Naptr(name) => format!("NAPTR {name}"),
        Question::Srv(name) => format!("SRV {name}"),
        Question::A(name) => format!("A {name}"),
        Question::Aaaa(name) => format!("AAAA {name}"),
    }
}

/// Records by `TYPE name`.
fn read(zone: &str) -> BTreeMap<String, Vec<Vec<String>>> {
    let mut records: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for line in zone.split(';').filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace().map(str::to_owned);
        let (name, kind) = (words.next().expect("a name"), words.next().expect("a type"));
        let key = format!("{kind} {name}");
        records.entry(key).or_default().push(words.collect());
    }
    records
}

fn ask(zone: &BTreeMap<String, Vec<Vec<String>>>, question: Question) -> (Question, Answer) {
    let records = zone.get(&show(&question)).cloned().unwrap_or_default();
    if records.iter().any(|words| words == &["FAILED"]) {
        return (question, Answer::Failed);
    }
    let number = |text: &String| text.parse().expect("a number");
    let answer = match question {
        Question::Naptr(_) => Answer::Naptr(
            records
                .iter()
                .map(|words| Naptr {
                    order: number(&words[0]),
                    preference: number(&words[1]),
                    flags: words[2].as_str().into(),
                    services: words[3].as_str().into(),
                    replacement: words[4].as_str().into(),
                })
                .collect(),
        ),
        Question::Srv(_) => Answer::Srv(
            records
                .iter()
                .map(|words| Srv {
                    priority: number(&words[0]),
                    weight: number(&words[1]),
                    port: number(&words[2]),
                    target: words[3].trim_end_matches('.').into(),
                })
                .collect(),
        ),
        Question::A(_) | Question::Aaaa(_) => {
            let addresses = records.iter().map(|words| words[0].parse().expect("an IP"));
            Answer::Addresses(addresses.collect())
        }
    };
    (question, answer)
}
