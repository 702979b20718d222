//! Codecs that pass, and several lines in one description.

use super::*;

const TWO: &str = "v=0
    o=- 1 1 IN IP4 192.0.2.10
    s=-
    c=IN IP4 192.0.2.10
    t=0 0
    a=group:BUNDLE a v
    a=group:LS a v
    m=audio 5000 RTP/AVP 0
    a=mid:a
    m=video 5002 RTP/AVP 31
    c=IN IP4 192.0.2.12
    b=AS:256
    a=mid:v
    a=rtpmap:31 H261/90000";

const BOTH_TAKEN: &str = "v=0
    o=- 1 1 IN IP4 198.51.100.20
    s=-
    c=IN IP4 198.51.100.20
    t=0 0
    m=audio 6000 RTP/AVP 0
    m=video 6002 RTP/AVP 31";

const FAX: &str = "v=0
    o=- 1 2 IN IP4 192.0.2.10
    s=-
    c=IN IP4 192.0.2.10
    t=0 0
    m=audio 0 RTP/AVP 0
    m=image 5100 udptl t38
    a=T38FaxVersion:0
    a=T38MaxBitRate:14400";

fn no_video() -> Terms {
    Terms {
        other_media: OtherMedia::Refuse,
        ..terms()
    }
}

#[test]
fn only_allowed_codecs_pass_and_keys_pressed_always_do() {
    for (caller, buyer) in [
        (only(&["pcma"]), terms()),
        (terms(), only(&["PCMA", "opus"])),
        (only(&["PCMA", "PCMU"]), only(&["G729", "PCMA"])),
    ] {
        let mut scene = Scene::new(caller, buyer);

        let offered = scene.offer(Party::Caller, OFFER).unwrap();

        assert_eq!(
            body(&offered),
            [
                "c=IN IP4 203.0.113.5",
                "m=audio 10002 RTP/AVP 8 101",
                "a=rtpmap:8 PCMA/8000",
                "a=rtpmap:101 telephone-event/8000",
                "a=fmtp:101 0-16",
                "a=ptime:20",
                "a=maxptime:20",
                "a=sendrecv",
            ]
        );
        assert_eq!(scene.answer(Party::Buyer, ANSWER), Err(Fault::Codec));
        scene.end_well();
    }
}

#[test]
fn without_an_allowed_codec_there_is_no_call() {
    let mut scene = Scene::new(terms(), only(&["opus"]));

    assert_eq!(scene.offer(Party::Caller, OFFER), Err(Fault::Codec));

    assert!(scene.ports.taken.is_empty());
}

/// RFC 3264 §6.1: the answerer may have a codec under a number of its own.
#[test]
fn a_codec_may_have_another_number_in_the_answer() {
    let mut scene = Scene::new(only(&["opus"]), terms());
    let opus = |number: u8| {
        ANSWER.replace("0 101", &number.to_string()).replace(
            "a=rtpmap:0 PCMU/8000",
            &format!("a=rtpmap:{number} opus/48000/2"),
        )
    };

    let (offered, told) = scene.agree(Party::Caller, &opus(97), &opus(111));

    assert!(offered.contains("RTP/AVP 97\r\n"), "{offered}");
    assert!(told.contains("RTP/AVP 111\r\n"), "{told}");
    let numbers = |party| -> Vec<(u8, u32)> {
        let payloads = scene.end(0, party).payloads;
        payloads
            .iter()
            .map(|payload| (payload.number, payload.clock))
            .collect()
    };
    assert_eq!(numbers(Party::Caller), [(111, 48_000)]);
    assert_eq!(numbers(Party::Buyer), [(97, 48_000)]);
    scene.end_well();
}

#[test]
fn each_line_has_ports_of_its_own_and_no_bundle() {
    let mut scene = Scene::new(terms(), terms());

    let (offered, told) = scene.agree(Party::Caller, TWO, BOTH_TAKEN);

    assert_eq!(
        body(&offered),
        [
            "c=IN IP4 203.0.113.5",
            "a=group:LS a v",
            "m=audio 10002 RTP/AVP 0",
            "a=mid:a",
            "m=video 10006 RTP/AVP 31",
            "b=AS:256",
            "a=mid:v",
            "a=rtpmap:31 H261/90000",
        ]
    );
    assert!(told.contains("m=video 10004 RTP/AVP 31\r\n"), "{told}");
    assert_eq!(scene.session.plan().streams.len(), 2);
    assert_eq!(
        scene.end(1, Party::Caller).remote.unwrap().rtp,
        at("192.0.2.12:5002")
    );
    assert_eq!(scene.end(1, Party::Caller).payloads[0].clock, 90_000);
    scene.end_well();
}

#[test]
fn other_media_are_refused_where_the_operator_says_so() {
    for (caller, buyer) in [(no_video(), terms()), (terms(), no_video())] {
        let mut scene = Scene::new(caller, buyer);
        let answer = BOTH_TAKEN.replace("m=video 6002", "m=video 0");

        let (offered, told) = scene.agree(Party::Caller, TWO, &answer);

        assert!(offered.ends_with("m=video 0 RTP/AVP 31\r\n"), "{offered}");
        assert!(told.ends_with("m=video 0 RTP/AVP 31\r\n"), "{told}");
        assert_eq!(scene.session.plan().streams.len(), 1);
        assert_eq!(scene.ports.taken.len(), 2);
        scene.end_well();
    }
}

/// A buyer that takes what it was not offered takes nothing by it.
#[test]
fn a_line_that_was_not_offered_cannot_be_taken() {
    let mut scene = Scene::new(no_video(), terms());

    let (_, told) = scene.agree(Party::Caller, TWO, BOTH_TAKEN);

    assert!(told.ends_with("m=video 0 RTP/AVP 31\r\n"), "{told}");
    assert_eq!(scene.session.plan().streams.len(), 1);
    scene.end_well();
}

#[test]
fn a_line_that_is_refused_gives_its_ports_back_and_may_come_again() {
    let mut scene = Scene::new(terms(), terms());
    scene.agree(Party::Caller, TWO, &BOTH_TAKEN.replace("6002", "0"));
    scene.session.note_answered();
    assert_eq!(scene.ports.taken.len(), 2);

    scene.agree(Party::Caller, TWO, BOTH_TAKEN);

    assert_eq!(scene.session.plan().streams.len(), 2);
    scene.agree(
        Party::Caller,
        &TWO.replace("5002", "0"),
        &BOTH_TAKEN.replace("6002", "0"),
    );
    assert_eq!(scene.session.plan().streams.len(), 1);
    assert_eq!(scene.ports.taken.len(), 2);
    scene.end_well();
}

#[test]
fn a_refused_line_may_come_without_formats() {
    let mut scene = Scene::new(terms(), terms());
    let answer = BOTH_TAKEN.replace("6002 RTP/AVP 31", "0 RTP/AVP");

    let (_, told) = scene.agree(Party::Caller, TWO, &answer);

    assert!(told.ends_with("m=video 0 RTP/AVP 0\r\n"), "{told}");
    scene.end_well();
}

#[test]
fn lines_may_be_put_away_and_never_left_out() {
    let mut scene = Scene::new(terms(), terms());
    scene.agree(Party::Caller, TWO, BOTH_TAKEN);
    scene.session.note_answered();

    assert_eq!(scene.offer(Party::Caller, OFFER), Err(Fault::Lines));

    assert_eq!(scene.session.plan().streams.len(), 2);
    scene.end_well();
}

#[test]
fn fax_takes_the_place_of_sound() {
    let mut scene = Scene::new(terms(), terms());
    scene.agree(Party::Caller, OFFER, ANSWER);
    scene.session.note_answered();

    let (offered, told) = scene.agree(
        Party::Caller,
        FAX,
        &FAX.replace("192.0.2.10", "198.51.100.20"),
    );

    assert_eq!(
        body(&offered),
        [
            "c=IN IP4 203.0.113.5",
            "m=audio 0 RTP/AVP 0",
            "m=image 10006 udptl t38",
            "a=T38FaxVersion:0",
            "a=T38MaxBitRate:14400",
        ]
    );
    assert!(told.contains("m=image 10004 udptl t38\r\n"), "{told}");
    let plan = scene.session.plan();
    assert_eq!(plan.streams.len(), 1);
    assert!(!plan.streams[0].is_rtp);
    assert!(scene.end(0, Party::Caller).sends && scene.end(0, Party::Buyer).sends);
    assert_eq!(scene.ports.taken.len(), 2);
    scene.end_well();
}

#[test]
fn what_runs_over_tcp_is_refused() {
    let mut scene = Scene::new(terms(), terms());
    let offer = format!("{OFFER}\nm=message 2855 TCP/MSRP *\na=path:msrp://192.0.2.10:2855/x;tcp");

    let offered = scene.offer(Party::Caller, &offer).unwrap();

    assert!(offered.ends_with("m=message 0 TCP/MSRP *\r\n"), "{offered}");
    scene.end_well();
}
