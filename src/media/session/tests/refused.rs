//! What is refused, and how.

use super::*;

#[test]
fn what_is_no_offer_is_refused_and_costs_nothing() {
    for (offer, label, status) in [
        ("hello", "sdp_malformed", 400),
        ("v=0", "sdp_lines", 488),
        ("v=0\nm=audio 12 RTP/AVP 0", "sdp_malformed", 400),
        ("v=0\nm=audio x RTP/AVP 0", "sdp_malformed", 400),
        ("v=0\nm=audio 492170 RTP/AVP 0", "sdp_malformed", 400),
        (
            "v=0\nc=IN IP4 gw.example.com\nm=audio 12 RTP/AVP 0",
            "sdp_address",
            488,
        ),
        (
            "v=0\nc=IN IP4 224.2.1.1/127\nm=audio 12 RTP/AVP 0",
            "sdp_address",
            488,
        ),
        (
            "v=0\nc=IN IP4 255.255.255.255\nm=audio 12 RTP/AVP 0",
            "sdp_address",
            488,
        ),
        (
            "v=0\nc=IN IP6 ::ffff:192.0.2.1\nm=audio 12 RTP/AVP 0",
            "sdp_address",
            488,
        ),
        (
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 12 UDP/TLS/RTP/SAVP 0",
            "media_refused",
            488,
        ),
        (
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 12 RTP/SAVP 0",
            "srtp_refused",
            488,
        ),
        (
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 12/2 RTP/AVP 0",
            "media_refused",
            488,
        ),
        (
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 12 RTP/AVP 128",
            "sdp_malformed",
            400,
        ),
    ] {
        let mut scene = Scene::new(terms(), terms());

        let fault = scene.offer(Party::Caller, offer).unwrap_err();

        assert_eq!((fault.label(), fault.status()), (label, status), "{offer}");
        assert!(scene.ports.taken.is_empty(), "{offer}");
        assert!(scene.session.plan().streams.is_empty());
    }
}

#[test]
fn without_ports_there_is_no_call_and_none_is_lost() {
    for most in 0..2 {
        let mut scene = Scene::new(terms(), terms());
        scene.ports.most = most;

        let fault = scene.offer(Party::Caller, OFFER).unwrap_err();

        assert_eq!((fault, fault.status()), (Fault::NoPort, 503));
        assert!(scene.ports.taken.is_empty());
    }
}

#[test]
fn what_is_no_answer_is_refused_and_the_offer_stands() {
    let more = format!("{ANSWER}\nm=video 15000 RTP/AVP 31");
    for (answer, expected) in [
        ("v=0".to_owned(), Fault::Lines),
        (more, Fault::Lines),
        (ANSWER.replace("audio", "video"), Fault::Mismatch),
        (ANSWER.replace("RTP/AVP", "RTP/SAVP"), Fault::Mismatch),
        (
            ANSWER.replace("RTP/AVP 0 101", "udptl t38"),
            Fault::Mismatch,
        ),
        (ANSWER.replace("4000", "0"), Fault::Media),
        (ANSWER.replace("0 101", "101"), Fault::Codec),
        (ANSWER.replace("0 101", "18 9"), Fault::Codec),
        (
            ANSWER.replace("0 101", "0 128"),
            Fault::Unreadable(crate::media::sdp::read::ReadError::Media),
        ),
    ] {
        let mut scene = Scene::new(terms(), terms());
        scene.offer(Party::Caller, OFFER).unwrap();

        assert_eq!(
            scene.answer(Party::Buyer, &answer).unwrap_err(),
            expected,
            "{answer}"
        );

        scene.answer(Party::Buyer, ANSWER).unwrap();
        scene.end_well();
    }
}

#[test]
fn an_answer_needs_an_offer() {
    let mut scene = Scene::new(terms(), terms());
    assert_eq!(scene.answer(Party::Buyer, ANSWER), Err(Fault::NoOffer));

    scene.offer(Party::Caller, OFFER).unwrap();

    assert_eq!(scene.answer(Party::Caller, OFFER), Err(Fault::NoOffer));
    scene.end_well();
}

#[test]
fn without_a_buyer_there_is_nobody_to_offer_to() {
    let mut ports = Ports::new();
    let mut session = Session::new(SessionId(1), terms());

    let fault = session.offer(Party::Caller, crlf(OFFER).as_bytes(), &mut ports);

    assert_eq!(fault, Err(Fault::NoOffer));
}

/// RFC 3264 §6.1: an answer may name formats of its own; we let through what was asked for.
#[test]
fn formats_that_were_not_offered_are_left_out() {
    let mut scene = Scene::new(terms(), terms());
    let answer = ANSWER.replace("0 101", "18 0 101 96").replace(
        "a=ptime",
        "a=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1\na=ptime",
    );

    let (_, told) = scene.agree(Party::Caller, OFFER, &answer);

    assert!(told.contains("m=audio 10000 RTP/AVP 0 101\r\n"), "{told}");
    assert!(!told.contains("96"), "{told}");
    scene.end_well();
}
