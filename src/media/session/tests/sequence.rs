//! Offers, answers, buyers and ends in any order: no port is lost, none is named twice, and what is told can be read.

use proptest::prelude::*;

use super::*;
use crate::media::sdp::read::Sdp;

/// What may happen next.
#[derive(Debug, Clone)]
enum Step {
    Offer(Party, String),
    Answer(Party, String),
    /// The answer takes all that was offered last.
    Echo,
    NextBuyer(u8),
    Forget,
    Answered,
}

fn party() -> impl Strategy<Value = Party> {
    prop_oneof![Just(Party::Caller), Just(Party::Buyer)]
}

fn line() -> impl Strategy<Value = String> {
    let kind = prop_oneof![4 => Just("audio"), 1 => Just("video"), 1 => Just("image")];
    let port = prop_oneof![5 => Just(4000), 1 => Just(0), 1 => Just(65_535)];
    let proto = prop_oneof![
        6 => Just("RTP/AVP"),
        3 => Just("RTP/SAVP"),
        1 => Just("RTP/AVPF"),
        1 => Just("udptl"),
        1 => Just("TCP/MSRP")
    ];
    let formats = prop_oneof![
        Just("0 101"),
        Just("0"),
        Just("8 0"),
        Just("97"),
        Just("101")
    ];
    let attribute = prop_oneof![
        Just(""),
        Just("a=sendonly\r\n"),
        Just("a=inactive\r\n"),
        Just("a=rtcp-mux\r\n"),
        Just("a=rtcp:4444\r\n"),
        Just("c=IN IP6 2001:db8::9\r\n"),
        Just("c=IN IP4 0.0.0.0\r\n"),
        Just("a=rtpmap:101 telephone-event/8000\r\n"),
        Just("a=rtpmap:97 opus/48000/2\r\n"),
    ];
    let key = (1..6u8, any::<bool>()).prop_map(|(tag, has_key)| {
        let key = "AES_CM_128_HMAC_SHA1_80 inline:h77xBx3cFE4uhlQtSlBa4a8veOdxnbd6OBxy2bAy";
        if has_key {
            format!("a=crypto:{tag} {key}\r\n")
        } else {
            String::new()
        }
    });
    (kind, port, proto, formats, attribute, key).prop_map(
        |(kind, port, proto, formats, attribute, key)| {
            format!("m={kind} {port} {proto} {formats}\r\n{attribute}{key}")
        },
    )
}

fn description() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        6 => Just("IP4 192.0.2.10"),
        2 => Just("IP6 2001:db8::10"),
        1 => Just("IP4 0.0.0.0")
    ];
    (address, prop::collection::vec(line(), 1..3)).prop_map(|(address, lines)| {
        format!(
            "v=0\r\no=- 1 1 IN {address}\r\ns=-\r\nc=IN {address}\r\nt=0 0\r\n{}",
            lines.concat()
        )
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (party(), description()).prop_map(|(party, sdp)| Step::Offer(party, sdp)),
        6 => (party(), description()).prop_map(|(party, sdp)| Step::Answer(party, sdp)),
        6 => Just(Step::Echo),
        2 => any::<u8>().prop_map(Step::NextBuyer),
        1 => Just(Step::Forget),
        1 => Just(Step::Answered),
    ]
}

fn any_terms(dice: u8) -> Terms {
    let srtp = [Srtp::Allow, Srtp::Refuse, Srtp::Require, Srtp::Allow];
    Terms {
        codecs: (dice & 4 != 0).then(|| only(&["PCMU"]).codecs.unwrap()),
        other_media: [OtherMedia::Relay, OtherMedia::Refuse][usize::from(dice >> 3 & 1)],
        srtp: srtp[usize::from(dice & 3)],
        is_ipv6: dice & 16 != 0,
        ..terms()
    }
}

fn check(scene: &Scene) {
    let mut named = BTreeSet::new();
    for stream in scene.session.plan().streams {
        for end in stream.ends {
            assert!(named.insert(end.gate), "{:?} is named twice", end.gate);
            assert!(
                scene.ports.taken.contains(&end.gate),
                "{:?} is not ours",
                end.gate
            );
            let is_reachable = |remote: crate::media::plan::Remote| {
                remote.rtp.is_ipv6() == end.gate.address.is_ipv6()
            };
            assert!(end.remote.is_none_or(is_reachable), "{end:?}");
            assert!(stream.is_rtp || end.crypto.is_none());
        }
    }
}

fn check_told(sdp: &[u8], told: &str) {
    let (heard, told_sdp) = (Sdp::read(sdp).unwrap(), Sdp::read(told.as_bytes()).unwrap());
    assert_eq!(heard.media_count(), told_sdp.media_count());
    check_clean(told);
}

fn check_clean(told: &str) {
    for address in ["192.0.2.10", "2001:db8::10", "2001:db8::9"] {
        assert!(!told.contains(address), "{told}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_port_is_lost(
        caller in any::<u8>(),
        buyer in any::<u8>(),
        most in 2..12usize,
        steps in prop::collection::vec(step(), 1..16),
    ) {
        let mut scene = Scene::new(any_terms(caller), any_terms(buyer));
        scene.ports.most = most;
        let mut offered = None;
        for step in steps {
            let before = scene.session.plan();
            match step {
                Step::Offer(from, sdp) => match scene.offer(from, &sdp) {
                    Ok(told) => {
                        check_told(sdp.as_bytes(), &told);
                        offered = Some((from.other(), told));
                    }
                    Err(_) => prop_assert_eq!(scene.session.plan(), before),
                },
                Step::Answer(from, sdp) => match scene.answer(from, &sdp) {
                    Ok(told) => check_clean(&told),
                    Err(_) => prop_assert_eq!(scene.session.plan(), before),
                },
                Step::Echo => {
                    let Some((from, offer)) = offered.take() else {
                        continue;
                    };
                    let echo = offer
                        .replace("203.0.113.5", "192.0.2.10")
                        .replace("2001:db8::5", "2001:db8::10");
                    match scene.answer(from, &echo) {
                        Ok(told) => check_clean(&told),
                        Err(_) => prop_assert_eq!(scene.session.plan(), before),
                    }
                }
                Step::NextBuyer(dice) => scene.next_buyer(any_terms(dice)),
                Step::Forget => scene.session.forget_offer(&mut scene.ports),
                Step::Answered => scene.session.note_answered(),
            }
            check(&scene);
        }
        scene.end_well();
    }
}
