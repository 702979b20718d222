use std::sync::{Arc, OnceLock};
use std::time::Duration;

use smallvec::smallvec;
use zeroize::Zeroizing;

use super::*;
use crate::media::plan::{
    Crypto, End, Gate, Keys, Patience, Payload, Remote, Sources, Stream, Suite,
};
use crate::media::srtp::{Receiver, Sender};

const CALLER: &str = "192.0.2.7:4000";
const BUYER: &str = "198.51.100.8:6000";
const STRANGER: &str = "203.0.113.66:9";

#[test]
fn each_reason_to_drop_has_its_packet() {
    let (good, mut report) = (rtp(0, 1), vec![0x80, 201, 0, 1, 0, 0, 0, 1]);
    type Row<'a> = (&'a str, bool, &'a str, Vec<u8>, Result<&'a str, Why>);
    let cases: Vec<Row<'_>> = vec![
        ("sound", false, CALLER, good.clone(), Ok(BUYER)),
        (
            "from elsewhere",
            false,
            STRANGER,
            good.clone(),
            Err(Why::Foreign),
        ),
        ("not agreed", false, CALLER, rtp(18, 1), Err(Why::Payload)),
        ("STUN", false, CALLER, vec![0; 20], Err(Why::Malformed)),
        ("nothing", false, CALLER, vec![], Err(Why::Malformed)),
        (
            "padding",
            false,
            CALLER,
            {
                let mut bytes = good.clone();
                bytes[0] |= 0x20;
                bytes
            },
            Err(Why::Malformed),
        ),
        (
            "RTCP on the port of RTP",
            false,
            CALLER,
            report.clone(),
            Err(Why::Malformed),
        ),
        (
            "RTCP",
            true,
            "192.0.2.7:4001",
            report.clone(),
            Ok("198.51.100.8:6001"),
        ),
        (
            "RTCP from elsewhere",
            true,
            CALLER,
            report.clone(),
            Err(Why::Foreign),
        ),
        (
            "RTP on the port of RTCP",
            true,
            "192.0.2.7:4001",
            good,
            Err(Why::Malformed),
        ),
        (
            "RTCP cut short",
            true,
            "192.0.2.7:4001",
            {
                report.truncate(4);
                report
            },
            Err(Why::Malformed),
        ),
    ];
    for (what, is_control, source, bytes, expected) in cases {
        let mut passage = Passage::new(at(0), &plan(), false);

        let verdict = comes(&mut passage, Party::Caller, is_control, source, &bytes);

        match (verdict, expected) {
            (Verdict::Pass(pass), Ok(to)) => {
                assert_eq!(
                    (pass.to, pass.by_control, pass.length),
                    (a(to), is_control, bytes.len()),
                    "{what}"
                );
            }
            (Verdict::Drop(why), Err(expected)) => assert_eq!(why, expected, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn what_is_dropped_is_counted_and_teaches_nothing() {
    let mut plan = plan();
    plan.streams[0].ends[0].sources =
        Sources::Learned(Arc::from(["203.0.113.0/24".parse().unwrap()]));
    let mut passage = Passage::new(at(0), &plan, false);
    for number in 0..20 {
        let bytes = rtp(18, number);
        let verdict = comes(&mut passage, Party::Caller, false, STRANGER, &bytes);
        assert_eq!(verdict, Verdict::Drop(Why::Payload));
    }
    for number in 20..23 {
        let verdict = comes(
            &mut passage,
            Party::Caller,
            false,
            STRANGER,
            &rtp(0, number),
        );
        assert_eq!(verdict, Verdict::Drop(Why::Probation));
    }

    let verdict = comes(&mut passage, Party::Buyer, false, BUYER, &rtp(0, 1));

    assert!(
        matches!(verdict, Verdict::Pass(pass) if pass.to == a(CALLER)),
        "{verdict:?}"
    );
    let heard = &passage.figures().parties[0];
    assert_eq!(
        (heard.packets, heard.dropped, heard.foreign, heard.lost),
        (0, 23, 0, 0)
    );
    assert_eq!(heard.source, None);
}

#[test]
fn keys_that_are_planned_are_never_left_out() {
    // A suite whose keys cannot be used must not turn into RTP in the clear.
    let mut plan = plan();
    let keys = Keys {
        suite: Suite::Aes128Sha1Tag80,
        secret: Zeroizing::new(vec![7; 3]),
    };
    plan.streams[0].ends[0].crypto = Some(Crypto {
        theirs: keys.clone(),
        ours: keys,
    });
    let mut passage = Passage::new(at(0), &plan, false);

    for (party, source) in [(Party::Caller, CALLER), (Party::Buyer, BUYER)] {
        let verdict = comes(&mut passage, party, false, source, &rtp(0, 1));
        assert!(matches!(verdict, Verdict::Drop(_)), "{party:?} {verdict:?}");
    }
}

#[test]
fn rtcp_has_a_ration() {
    let mut passage = Passage::new(at(0), &plan(), false);
    let report = [0x80, 201, 0, 1, 0, 0, 0, 1];
    let passed = |passage: &mut Passage, ms: u64| {
        let way = way(Party::Caller, true);
        let mut room = report.to_vec();
        let verdict = passage.handle(at(ms), way, a("192.0.2.7:4001"), &mut room, 8);
        matches!(verdict, Verdict::Pass(_))
    };

    let first = (0..1000).filter(|n| passed(&mut passage, n % 900)).count();
    let later = (0..1000).filter(|_| passed(&mut passage, 2000)).count();

    assert_eq!((first, later), (50, 50));
}

#[test]
fn what_is_known_of_an_end_stays_with_its_gate() {
    let mut passage = Passage::new(at(0), &plan(), false);
    for number in 0..10 {
        comes(&mut passage, Party::Caller, false, CALLER, &rtp(0, number));
        comes(&mut passage, Party::Buyer, false, BUYER, &rtp(0, number));
    }
    let mut next = plan();
    next.streams[0].ends[1].gate.port = 31_000;
    next.streams[0].ends[1].remote = remote("198.51.100.99:6000");

    passage.renew(at(0), &next);
    comes(&mut passage, Party::Caller, false, CALLER, &rtp(0, 12));
    let of_old = comes(&mut passage, Party::Buyer, false, BUYER, &rtp(0, 10));
    let of_next = comes(
        &mut passage,
        Party::Buyer,
        false,
        "198.51.100.99:6000",
        &rtp(0, 900),
    );

    assert_eq!(of_old, Verdict::Drop(Why::Foreign));
    assert!(matches!(of_next, Verdict::Pass(_)));
    let figures = passage.figures();
    let [caller, buyer] = &figures.parties;
    assert_eq!((caller.packets, caller.lost), (11, 2));
    assert_eq!((buyer.packets, buyer.lost, buyer.foreign), (11, 0, 1));
    assert_eq!(buyer.source, Some(a("198.51.100.99:6000")));
}

#[test]
fn several_streams_add_up() {
    let mut plan = plan();
    let mut video = plan.streams[0].clone();
    for (end, port) in video.ends.iter_mut().zip([32_000, 33_000]) {
        end.gate.port = port;
        end.payloads = smallvec![Payload {
            number: 96,
            clock: 90_000,
            is_dtmf: false
        }];
    }
    plan.streams.push(video);
    let mut passage = Passage::new(at(0), &plan, false);
    let video = Way {
        stream: 1,
        ..way(Party::Caller, false)
    };
    for number in 0..200 {
        let ms = u64::from(number) * 20;
        let mut bytes = rtp(0, number);
        let length = bytes.len();
        passage.handle(
            at(ms),
            way(Party::Caller, false),
            a(CALLER),
            &mut bytes,
            length,
        );
        let mut bytes = rtp(96, number * 2);
        passage.handle(at(ms), video, a(CALLER), &mut bytes, length);
    }

    let heard = &passage.figures().parties[0];
    assert_eq!((heard.packets, heard.lost), (400, 199));
    // Half of the video never came: that is the worse score.
    assert!(heard.mos.is_some_and(|mos| mos < 200), "{:?}", heard.mos);
    let unknown = Way { stream: 2, ..video };
    let verdict = passage.handle(at(0), unknown, a(CALLER), &mut rtp(0, 1), 172);
    assert_eq!(verdict, Verdict::Drop(Why::Nowhere));
}

#[test]
fn a_good_stream_has_a_good_score_and_a_short_one_none() {
    let mut passage = Passage::new(at(0), &plan(), false);
    for number in 0..100 {
        comes_at(&mut passage, u64::from(number) * 20, &rtp(0, number));
    }
    let figures = passage.figures();

    assert_eq!(figures.parties[0].mos, Some(440));
    assert_eq!(figures.parties[1].mos, None);
}

#[test]
fn before_the_buyer_says_where_it_listens_nothing_goes_anywhere() {
    let mut plan = plan();
    plan.streams[0].ends[1].remote = None;
    let mut passage = Passage::new(at(0), &plan, false);

    let verdict = comes(&mut passage, Party::Caller, false, CALLER, &rtp(0, 1));
    assert_eq!(verdict, Verdict::Drop(Why::Nowhere));
    let verdict = comes(&mut passage, Party::Buyer, false, BUYER, &rtp(0, 1));
    assert_eq!(verdict, Verdict::Drop(Why::Foreign));
}

#[test]
fn srtp_goes_over_into_rtp_and_back_and_into_other_keys() {
    for (caller_keys, buyer_keys) in [(Some(1), None), (None, Some(2)), (Some(1), Some(2))] {
        let mut plan = plan();
        let [caller, buyer] = &mut plan.streams[0].ends;
        (caller.crypto, buyer.crypto) = (caller_keys.map(crypto), buyer_keys.map(crypto));
        let mut passage = Passage::new(at(0), &plan, false);
        let parties = [
            (Party::Caller, CALLER, caller_keys, buyer_keys),
            (Party::Buyer, BUYER, buyer_keys, caller_keys),
        ];
        for (party, source, near, far) in parties {
            let mut phone = near.map(|key| Sender::new(&crypto(key).theirs).unwrap());
            let mut other = far.map(|key| Receiver::new(&crypto(key).ours).unwrap());
            for number in 0..5 {
                let mut room = rtp(0, number);
                let mut length = room.len();
                room.resize(length + GROWTH, 0);
                if let Some(phone) = &mut phone {
                    length = phone.protect_rtp(&mut room, length).unwrap();
                }

                let verdict =
                    passage.handle(at(0), way(party, false), a(source), &mut room, length);

                let Verdict::Pass(mut pass) = verdict else {
                    panic!("{near:?} {far:?} {verdict:?}");
                };
                if let Some(other) = &mut other {
                    pass.length = other.unprotect_rtp(&mut room, pass.length).unwrap();
                }
                assert_eq!(room[..pass.length], rtp(0, number));
            }
        }
        let figures = passage.figures();
        assert_eq!(
            figures.parties.map(|heard| (heard.packets, heard.bytes)),
            [(5, 800); 2]
        );
    }
}

#[test]
fn forged_srtp_teaches_nothing_and_a_replay_is_dropped() {
    let mut plan = plan();
    plan.streams[0].ends[0].sources =
        Sources::Learned(Arc::from(["203.0.113.0/24".parse().unwrap()]));
    plan.streams[0].ends[0].crypto = Some(crypto(1));
    let mut passage = Passage::new(at(0), &plan, false);
    for number in 0..10 {
        let mut forged = rtp(0, number);
        forged.extend([9; 10]);
        let verdict = comes(&mut passage, Party::Caller, false, STRANGER, &forged);
        assert_eq!(verdict, Verdict::Drop(Why::Unauthentic));
    }
    let mut phone = Sender::new(&crypto(1).theirs).unwrap();
    let mut room = rtp(0, 1);
    room.resize(172 + GROWTH, 0);
    let length = phone.protect_rtp(&mut room, 172).unwrap();
    let natted = "192.0.2.7:61000";

    let first = comes(&mut passage, Party::Caller, false, natted, &room[..length]);
    let again = comes(&mut passage, Party::Caller, false, natted, &room[..length]);

    assert!(
        matches!(first, Verdict::Pass(_)),
        "one authentic packet is enough: {first:?}"
    );
    assert_eq!(again, Verdict::Drop(Why::Replayed));
}

#[test]
fn a_flood_of_forged_srtp_stun_and_dtls_changes_nothing() {
    let mut plan = plan();
    plan.streams[0].ends[0].crypto = Some(crypto(1));
    let mut passage = Passage::new(at(0), &plan, false);
    let mut phone = Sender::new(&crypto(1).theirs).unwrap();
    let mut passed = 0;
    for number in 0..6000_u16 {
        let forged = match number % 3 {
            // As the party's own packet, with some other tag.
            0 => [rtp(0, number / 3), vec![number as u8; 10]].concat(),
            // A binding request, a client hello.
            1 => [
                vec![0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42],
                vec![number as u8; 20],
            ]
            .concat(),
            _ => [vec![22, 254, 253, 0, 0], vec![number as u8; 60]].concat(),
        };
        let verdict = comes(&mut passage, Party::Caller, false, CALLER, &forged);
        assert!(
            matches!(verdict, Verdict::Drop(Why::Unauthentic | Why::Malformed)),
            "{verdict:?}"
        );
        if number % 3 == 0 {
            let mut room = rtp(0, number / 3);
            room.resize(172 + GROWTH, 0);
            let length = phone.protect_rtp(&mut room, 172).unwrap();
            let verdict = comes(&mut passage, Party::Caller, false, CALLER, &room[..length]);
            passed += u32::from(matches!(verdict, Verdict::Pass(_)));
        }
    }

    assert_eq!(passed, 2000);
    let heard = &passage.figures().parties[0];
    assert_eq!((heard.packets, heard.dropped, heard.lost), (2000, 6000, 0));
}

#[test]
fn keys_go_on_through_plans_and_to_another_gate() {
    let mut plan = plan();
    plan.streams[0].ends[1].crypto = Some(crypto(2));
    let mut passage = Passage::new(at(0), &plan, false);
    let mut other = Receiver::new(&crypto(2).ours).unwrap();
    let mut passes = |passage: &mut Passage, number: u16| {
        let mut room = rtp(0, number);
        room.resize(172 + GROWTH, 0);
        match passage.handle(at(0), way(Party::Caller, false), a(CALLER), &mut room, 172) {
            Verdict::Pass(pass) => other.unprotect_rtp(&mut room, pass.length).is_ok(),
            Verdict::Drop(why) => {
                assert_eq!(why, Why::Replayed);
                false
            }
        }
    };
    // Over the rollover, which the receiver follows only if the sender's counter goes on.
    assert!(
        [65_534, 65_535, 0, 1]
            .into_iter()
            .all(|number| passes(&mut passage, number))
    );

    passage.renew(at(0), &plan);
    assert!(passes(&mut passage, 2));
    plan.streams[0].ends[1].gate.port = 31_000;
    passage.renew(at(0), &plan);

    assert!(passes(&mut passage, 3));
    assert!(
        !passes(&mut passage, 3),
        "the same number twice under one key"
    );
}

#[test]
fn datagrams_that_are_not_rtp_pass_between_the_announced_places_only() {
    let mut plan = plan();
    plan.streams[0].is_rtp = false;
    plan.streams[0].ends[0].sources =
        Sources::Learned(Arc::from(["203.0.113.0/24".parse().unwrap()]));
    let mut passage = Passage::new(at(0), &plan, false);
    let udptl = [0, 1, 2, 3];

    let verdict = comes(&mut passage, Party::Caller, false, CALLER, &udptl);
    assert!(matches!(verdict, Verdict::Pass(pass) if pass.to == a(BUYER) && pass.length == 4));
    for source in [STRANGER, "192.0.2.7:61000"] {
        let verdict = comes(&mut passage, Party::Caller, false, source, &udptl);
        assert_eq!(verdict, Verdict::Drop(Why::Foreign));
    }
    assert_eq!(passage.figures().parties[0].packets, 1);
}

fn comes(
    passage: &mut Passage,
    party: Party,
    is_control: bool,
    source: &str,
    bytes: &[u8],
) -> Verdict {
    let mut room = bytes.to_vec();
    room.resize(bytes.len() + GROWTH, 0);
    passage.handle(
        at(0),
        way(party, is_control),
        a(source),
        &mut room,
        bytes.len(),
    )
}

fn comes_at(passage: &mut Passage, ms: u64, bytes: &[u8]) {
    let mut room = bytes.to_vec();
    passage.handle(
        at(ms),
        way(Party::Caller, false),
        a(CALLER),
        &mut room,
        bytes.len(),
    );
}

fn way(party: Party, is_control: bool) -> Way {
    Way {
        stream: 0,
        party,
        is_control,
    }
}

fn crypto(number: u8) -> Crypto {
    let keys = |seed: u8| Keys {
        suite: Suite::Aes128Sha1Tag80,
        secret: Zeroizing::new(vec![seed; 30]),
    };
    Crypto {
        theirs: keys(number),
        ours: keys(number + 100),
    }
}

fn plan() -> Plan {
    let end = |remote_at: &str, port| End {
        gate: Gate {
            address: "192.0.2.1".parse().unwrap(),
            port,
            is_shared: false,
        },
        remote: remote(remote_at),
        sources: Sources::Announced,
        sends: true,
        payloads: smallvec![Payload {
            number: 0,
            clock: 8000,
            is_dtmf: false
        }],
        crypto: None,
    };
    Plan {
        streams: smallvec![Stream {
            is_rtp: true,
            ends: [end(CALLER, 20_000), end(BUYER, 30_000)]
        }],
        patience: Patience::default(),
    }
}

fn remote(rtp: &str) -> Option<Remote> {
    let rtp = a(rtp);
    let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
    Some(Remote { rtp, rtcp })
}

fn rtp(payload: u8, sequence: u16) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let [t1, t2, t3, t4] = (u32::from(sequence) * 160).to_be_bytes();
    let mut packet = vec![0x80, payload, high, low, t1, t2, t3, t4, 0, 0, 0, 1];
    packet.extend([0; 160]);
    packet
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
