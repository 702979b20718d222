use std::sync::OnceLock;

use super::*;
use crate::media::rtp::Header;

const ANNOUNCED: &str = "192.0.2.7:4000";
const SAME_HOST: &str = "192.0.2.7:61000";
const IN_NETWORK: &str = "198.51.100.9:5000";
const ELSEWHERE: &str = "203.0.113.66:4000";

#[test]
fn without_nat_only_the_announced_port_is_ever_heard() {
    let mut place = Place::new(at(0), remote(ANNOUNCED), &Sources::Announced);

    for ms in [0, 1000, 4000, 100_000] {
        for source in [SAME_HOST, IN_NETWORK, ELSEWHERE] {
            assert_eq!(place.look(at(ms), a(source)), Look::Foreign);
            assert!(!place.learn(at(ms), a(source), &rtp(1, 1), true));
        }
        assert_eq!(place.look(at(ms), a(ANNOUNCED)), Look::Sure);
    }
    assert_eq!(place.to(), Some(a(ANNOUNCED)));
}

#[test]
fn nobody_is_heard_before_anything_is_announced() {
    for sources in [Sources::Announced, learned()] {
        let mut place = Place::new(at(0), None, &sources);

        assert_eq!(place.look(at(0), a(ANNOUNCED)), Look::Foreign);
        assert_eq!(place.look_control(at(0), a(ANNOUNCED), 1), Look::Foreign);
        assert!(!place.learn(at(0), a(ANNOUNCED), &rtp(1, 1), true));
        assert_eq!((place.to(), place.to_control()), (None, None));
    }
}

/// One row: what comes when, and from which packet on it is passed on; `None`: never.
#[test]
fn behind_nat_a_few_packets_in_a_row_settle_it() {
    type Packets<'a> = Vec<(u64, &'a str, u32, u16)>;
    let row = |source, start: u64, sequences: &[u16]| -> Packets<'_> {
        let numbered = sequences.iter().zip(0..);
        numbered
            .map(|(sequence, n)| (start + 20 * n, source, 1, *sequence))
            .collect()
    };
    let cases: Vec<(&str, Packets<'_>, Option<usize>)> = vec![
        ("four in a row", row(SAME_HOST, 0, &[7, 8, 9, 10]), Some(3)),
        ("of a network", row(IN_NETWORK, 0, &[7, 8, 9, 10]), Some(3)),
        (
            "over the wrap",
            row(SAME_HOST, 0, &[65_534, 65_535, 0, 1]),
            Some(3),
        ),
        (
            "one is missing",
            row(SAME_HOST, 0, &[7, 8, 10, 11, 12, 13]),
            Some(5),
        ),
        ("the same again", row(SAME_HOST, 0, &[7, 7, 7, 7, 7]), None),
        (
            "from elsewhere",
            row(ELSEWHERE, 0, &[7, 8, 9, 10, 11]),
            None,
        ),
        ("late", row(SAME_HOST, 3000, &[7, 8, 9, 10]), None),
        (
            "in time but for the last",
            row(SAME_HOST, 2950, &[7, 8, 9, 10]),
            None,
        ),
        ("announced", row(ANNOUNCED, 0, &[7]), Some(0)),
        (
            "announced, however late",
            row(ANNOUNCED, 60_000, &[7]),
            Some(0),
        ),
        (
            "another SSRC each",
            (0..8)
                .map(|n| (20 * u64::from(n), SAME_HOST, n, n as u16))
                .collect(),
            None,
        ),
        (
            "two hosts by turns",
            (0..8)
                .map(|n| {
                    (
                        10 * u64::from(n),
                        [SAME_HOST, IN_NETWORK][usize::from(n % 2)],
                        1,
                        n / 2,
                    )
                })
                .collect(),
            Some(6),
        ),
    ];
    for (what, packets, expected) in cases {
        let mut place = Place::new(at(0), remote(ANNOUNCED), &learned());
        let passed = packets.iter().position(|(ms, source, ssrc, sequence)| {
            comes(&mut place, *ms, source, *ssrc, *sequence)
        });

        assert_eq!(passed, expected, "{what}");
    }
}

#[test]
fn what_has_settled_stays_and_everybody_else_is_foreign() {
    let mut place = settled(SAME_HOST);

    assert_eq!(place.to(), Some(a(SAME_HOST)));
    for ms in [100, 2000, 4000] {
        for sequence in 0..10 {
            assert!(!comes(&mut place, ms, IN_NETWORK, 5, sequence));
            assert!(!comes(&mut place, ms, "192.0.2.7:61001", 5, sequence));
        }
    }
    assert_eq!(place.look(at(100_000), a(SAME_HOST)), Look::Sure);
}

#[test]
fn the_announced_place_wins_at_once_and_for_good() {
    let mut place = settled(IN_NETWORK);

    assert!(comes(&mut place, 5000, ANNOUNCED, 9, 1));

    assert_eq!(place.look(at(5001), a(IN_NETWORK)), Look::Foreign);
    assert_eq!(place.look(at(5001), a(ANNOUNCED)), Look::Sure);
    assert_eq!(place.to(), Some(a(ANNOUNCED)));
}

#[test]
fn the_announced_address_wins_over_a_network_while_there_is_time() {
    for (ms, expected) in [(1000, Some(3)), (3000, None)] {
        let mut place = settled(IN_NETWORK);

        let passed = (1..=5).position(|n| comes(&mut place, ms, SAME_HOST, 7, n));

        assert_eq!(passed, expected, "after {ms} ms");
        let settled = if expected.is_some() {
            SAME_HOST
        } else {
            IN_NETWORK
        };
        assert_eq!(place.to(), Some(a(settled)));
        assert!(!comes(&mut place, ms, "192.0.2.7:61001", 8, 1));
    }
}

/// A thousand packets of the networks in the time of one of the party's.
#[test]
fn a_flood_of_a_network_is_not_there_before_the_announced_address() {
    let mut place = Place::new(at(0), remote(ANNOUNCED), &learned());
    let (mut injected, mut heard) = (0, 0);

    for ms in 0..3500 {
        for n in 0..50 {
            let sequence = (ms * 50 + n) as u16;
            injected += u32::from(comes(&mut place, ms, IN_NETWORK, 5, sequence));
        }
        if ms % 20 == 19 {
            heard += u32::from(comes(&mut place, ms, SAME_HOST, 1, (ms / 20) as u16));
        }
    }

    assert_eq!((injected, heard), (0, 175 - 3));
}

/// An address of the networks that was there first is silent from the first packet of the announced one on.
#[test]
fn what_a_network_has_settled_gives_way_to_the_first_word_of_the_announced_address() {
    let mut place = settled(IN_NETWORK);
    assert!(comes(&mut place, 1000, IN_NETWORK, 1, 5));

    assert!(!comes(&mut place, 1010, SAME_HOST, 7, 1));
    assert!(!comes(&mut place, 1011, IN_NETWORK, 1, 6));
    assert!(!comes(&mut place, 1109, IN_NETWORK, 1, 7));

    // A single packet, which may be anybody's who can forge an address, is no more than a short gap.
    assert!(comes(&mut place, 1110, IN_NETWORK, 1, 8));
    assert!(comes(&mut place, 9000, IN_NETWORK, 1, 9));
}

/// However many ports and SSRCs one address of the networks has, another one settles in time.
#[test]
fn a_spray_of_many_ports_does_not_push_others_out() {
    let caller = "198.51.100.77:5000";
    let mut place = Place::new(at(0), remote(ANNOUNCED), &learned());
    let mut spray = 0_u16;

    let passed = (0..200).position(|ms| {
        for _ in 0..10 {
            spray += 1;
            let source = SocketAddr::new(a(IN_NETWORK).ip(), 10_000 + spray);
            let packet = rtp(u32::from(spray), spray);
            assert!(!place.learn(at(ms), source, &packet, false));
        }
        ms % 20 == 0 && comes(&mut place, ms, caller, 1, (ms / 20) as u16)
    });

    assert_eq!(passed, Some(60));
    assert_eq!(place.to(), Some(a(caller)));
}

#[test]
fn an_authenticated_packet_needs_no_probation() {
    let mut place = Place::new(at(0), remote(ANNOUNCED), &learned());

    assert_eq!(place.look(at(10), a(SAME_HOST)), Look::Perhaps);
    assert!(place.learn(at(10), a(SAME_HOST), &rtp(1, 1), true));

    assert_eq!(place.look(at(11), a(SAME_HOST)), Look::Sure);
}

#[test]
fn another_plan_opens_what_has_not_settled_and_leaves_what_has() {
    let mut open = Place::new(at(0), remote(ANNOUNCED), &learned());
    open.renew(at(10_000), remote(ANNOUNCED), &learned());
    assert_eq!(open.look(at(12_000), a(SAME_HOST)), Look::Perhaps);

    let mut place = settled(SAME_HOST);
    place.renew(at(10_000), remote(ANNOUNCED), &learned());
    assert_eq!(place.look(at(10_000), a(SAME_HOST)), Look::Sure);
    assert_eq!(place.look(at(10_000), a(IN_NETWORK)), Look::Foreign);
}

#[test]
fn another_address_is_learned_anew() {
    let moved = "192.0.2.8:4000";
    let mut place = settled(SAME_HOST);

    place.renew(at(10_000), remote(moved), &learned());

    assert_eq!(place.look(at(10_000), a(SAME_HOST)), Look::Foreign);
    assert_eq!(place.look(at(10_000), a(ANNOUNCED)), Look::Foreign);
    assert_eq!(place.look(at(10_000), a(moved)), Look::Perhaps);
    assert_eq!(place.to(), Some(a(moved)));
    place.renew(at(10_000), remote(moved), &Sources::Announced);
    assert_eq!(place.look(at(10_000), a("192.0.2.8:9")), Look::Foreign);
}

#[test]
fn another_port_for_rtcp_leaves_rtp_where_it_is() {
    let mut place = settled(SAME_HOST);
    place.learn_control(a("192.0.2.7:61001"));
    let moved = Remote {
        rtp: a(ANNOUNCED),
        rtcp: a("192.0.2.7:9999"),
    };

    place.renew(at(9000), Some(moved), &learned());

    assert_eq!(place.look(at(9000), a(SAME_HOST)), Look::Sure);
    assert_eq!(
        place.look_control(at(9000), a("192.0.2.7:9999"), 7),
        Look::Sure
    );
    assert_eq!(place.to_control(), Some(a("192.0.2.7:9999")));
}

#[test]
fn rtcp_comes_from_the_port_that_is_announced_for_it() {
    let place = Place::new(at(0), remote(ANNOUNCED), &Sources::Announced);

    assert_eq!(
        place.look_control(at(0), a("192.0.2.7:4001"), 1),
        Look::Sure
    );
    for source in [ANNOUNCED, SAME_HOST, ELSEWHERE] {
        assert_eq!(place.look_control(at(0), a(source), 1), Look::Foreign);
    }
    assert_eq!(place.to_control(), Some(a("192.0.2.7:4001")));
}

#[test]
fn behind_nat_rtcp_follows_rtp_by_host_and_ssrc() {
    let (rtcp, other) = ("198.51.100.9:5001", "198.51.100.9:7777");
    let mut place = Place::new(at(0), remote(ANNOUNCED), &learned());
    assert_eq!(
        place.look_control(at(0), a(rtcp), 1),
        Look::Foreign,
        "RTP is not known yet"
    );

    let mut place = {
        assert!((0..4).any(|n| comes(&mut place, 20 * u64::from(n), IN_NETWORK, 1, n)));
        place
    };

    assert_eq!(
        place.look_control(at(9000), a(rtcp), 2),
        Look::Foreign,
        "another sender"
    );
    assert_eq!(
        place.look_control(at(9000), a("192.0.2.7:5001"), 1),
        Look::Foreign,
        "another host"
    );
    assert_eq!(place.look_control(at(9000), a(rtcp), 1), Look::Perhaps);
    place.learn_control(a(rtcp));
    assert_eq!(place.look_control(at(9000), a(rtcp), 7), Look::Sure);
    assert_eq!(
        place.look_control(at(9000), a(other), 1),
        Look::Foreign,
        "it has settled"
    );
    assert_eq!(place.to_control(), Some(a(rtcp)));

    assert!(comes(&mut place, 9100, ANNOUNCED, 1, 1));
    assert_eq!(
        place.look_control(at(9200), a(rtcp), 1),
        Look::Foreign,
        "RTP was elsewhere"
    );
}

#[test]
fn rtcp_on_the_port_of_rtp_comes_from_where_rtp_comes_from() {
    let mux = Remote {
        rtp: a(ANNOUNCED),
        rtcp: a(ANNOUNCED),
    };
    let mut place = Place::new(at(0), Some(mux), &learned());

    assert_eq!(place.look_control(at(0), a(ANNOUNCED), 1), Look::Sure);
    assert_eq!(place.look_control(at(0), a(SAME_HOST), 1), Look::Foreign);
    for sequence in 0..4 {
        comes(&mut place, 0, SAME_HOST, 1, sequence);
    }
    assert_eq!(place.look_control(at(9), a(SAME_HOST), 1), Look::Sure);
    assert_eq!(place.to_control(), Some(a(SAME_HOST)));
}

/// Plays one packet; returns whether it is passed on.
fn comes(place: &mut Place, ms: u64, source: &str, ssrc: u32, sequence: u16) -> bool {
    match place.look(at(ms), a(source)) {
        Look::Sure => true,
        Look::Perhaps => place.learn(at(ms), a(source), &rtp(ssrc, sequence), false),
        Look::Foreign => false,
    }
}

fn settled(source: &str) -> Place {
    let mut place = Place::new(at(0), remote(ANNOUNCED), &learned());
    let passed: Vec<bool> = (1..=4)
        .map(|n| comes(&mut place, 20 * u64::from(n), source, 1, n))
        .collect();
    assert_eq!(passed, [false, false, false, true]);
    place
}

fn learned() -> Sources {
    Sources::Learned(Arc::from(["198.51.100.0/24".parse().unwrap()]))
}

fn remote(rtp: &str) -> Option<Remote> {
    let rtp = a(rtp);
    let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
    Some(Remote { rtp, rtcp })
}

fn rtp(ssrc: u32, sequence: u16) -> Header {
    Header {
        is_marked: false,
        payload: 0,
        sequence,
        timestamp: 0,
        ssrc,
        length: 12,
        is_padded: false,
    }
}

fn a(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn at(ms: u64) -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    #[expect(
        clippy::disallowed_methods,
        reason = "tests need some instant to begin with"
    )]
    let start = *START.get_or_init(Instant::now);
    start + Duration::from_millis(ms)
}
