//! What the caller was told on an early answer stands for all buyers after that one.

use super::*;

fn after_early_media() -> (Scene, String) {
    let mut scene = Scene::new(terms(), terms());
    let (_, told) = scene.agree(Party::Caller, OFFER, ANSWER);
    scene.next_buyer(terms());
    (scene, told)
}

#[test]
fn the_next_buyer_is_offered_what_the_caller_was_told() {
    let (mut scene, told) = after_early_media();
    let gate = scene.ports.taken.first().copied().unwrap();
    assert_eq!((gate.port, scene.ports.taken.len()), (10_000, 1));
    let second = ANSWER.replace("198.51.100.20", "198.51.100.77");

    let (offered, again) = scene.agree(Party::Caller, OFFER, &second);

    assert_eq!(
        body(&offered),
        [
            "c=IN IP4 203.0.113.5",
            "m=audio 10004 RTP/AVP 0 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-16",
            "a=ptime:20",
            "a=maxptime:20",
            "a=sendrecv",
        ]
    );
    assert_eq!(again, told);
    let (caller, buyer) = (scene.end(0, Party::Caller), scene.end(0, Party::Buyer));
    assert_eq!((caller.gate, buyer.gate.port), (gate, 10_004));
    assert!(caller.sends && buyer.sends);
    assert_eq!(buyer.remote.unwrap().rtp, at("198.51.100.77:4000"));
    scene.session.note_answered();
    assert_eq!(scene.answer(Party::Buyer, &second).unwrap(), told);
    scene.end_well();
}

#[test]
fn while_the_next_buyer_rings_the_caller_keeps_its_port() {
    let (mut scene, _) = after_early_media();

    scene.offer(Party::Caller, OFFER).unwrap();

    let caller = scene.end(0, Party::Caller);
    assert_eq!(caller.gate.port, 10_000);
    assert_eq!(caller.remote.unwrap().rtp, at("192.0.2.10:12692"));
    assert_eq!(scene.end(0, Party::Buyer).remote, None);
    scene.end_well();
}

#[test]
fn a_buyer_that_does_not_fit_is_left_and_the_next_one_tried() {
    let mut scene = Scene::new(terms(), terms());
    // 183 with two codecs: the caller may send either, and sends the first.
    let both = ANSWER.replace("RTP/AVP 0 101", "RTP/AVP 8 0 101");
    let (_, told) = scene.agree(Party::Caller, OFFER, &both);
    scene.next_buyer(terms());
    scene.offer(Party::Caller, OFFER).unwrap();

    assert_eq!(scene.answer(Party::Buyer, ANSWER), Err(Fault::NotAsTold));

    assert_eq!(Fault::NotAsTold.status(), 488);
    scene.next_buyer(terms());
    let fits = ANSWER.replace("RTP/AVP 0 101", "RTP/AVP 8");
    let (offered, again) = scene.agree(Party::Caller, OFFER, &fits);
    assert!(offered.contains("RTP/AVP 0 8 101\r\n"), "{offered}");
    assert_eq!(again, told);
    let numbers: Vec<_> = scene
        .end(0, Party::Caller)
        .payloads
        .iter()
        .map(|p| p.number)
        .collect();
    assert_eq!(numbers, [8]);
    scene.end_well();
}

#[test]
fn a_buyer_without_a_codec_that_was_told_is_not_even_asked() {
    let mut scene = Scene::new(terms(), terms());
    scene.agree(Party::Caller, OFFER, ANSWER);
    scene.next_buyer(only(&["PCMA"]));

    assert_eq!(scene.offer(Party::Caller, OFFER), Err(Fault::Codec));

    scene.next_buyer(terms());
    scene.agree(Party::Caller, OFFER, ANSWER);
    scene.end_well();
}

#[test]
fn a_codec_under_another_number_than_told_does_not_fit() {
    let mut scene = Scene::new(terms(), terms());
    let opus = |number: u8| {
        ANSWER.replace("0 101", &number.to_string()).replace(
            "a=rtpmap:0 PCMU/8000",
            &format!("a=rtpmap:{number} opus/48000/2"),
        )
    };
    scene.agree(Party::Caller, &opus(97), &opus(111));
    scene.next_buyer(terms());

    scene.offer(Party::Caller, &opus(97)).unwrap();

    assert_eq!(scene.answer(Party::Buyer, &opus(97)), Err(Fault::NotAsTold));
    scene.answer(Party::Buyer, &opus(111)).unwrap();
    scene.end_well();
}

#[test]
fn without_early_media_nothing_binds() {
    let mut scene = Scene::new(terms(), terms());
    scene.offer(Party::Caller, OFFER).unwrap();
    scene.next_buyer(terms());
    assert!(scene.ports.taken.is_empty());

    let (offered, told) = scene.agree(Party::Caller, OFFER, &ANSWER.replace("0 101", "8"));

    assert!(offered.contains("RTP/AVP 0 8 101\r\n"), "{offered}");
    assert!(told.contains("RTP/AVP 8\r\n"), "{told}");
    scene.end_well();
}

#[test]
fn the_caller_keeps_its_shared_rtcp_port() {
    let mut scene = Scene::new(terms(), terms());
    let (offer, mux) = (
        format!("{OFFER}\na=rtcp-mux"),
        format!("{ANSWER}\na=rtcp-mux"),
    );
    let (_, told) = scene.agree(Party::Caller, &offer, &mux);
    scene.next_buyer(terms());

    let (_, again) = scene.agree(Party::Caller, &offer, ANSWER);

    assert_eq!(again, told);
    assert!(scene.end(0, Party::Caller).remote.unwrap().is_mux());
    assert!(!scene.end(0, Party::Buyer).remote.unwrap().is_mux());
    scene.end_well();
}

#[test]
fn what_the_caller_was_told_not_to_share_is_not_offered_either() {
    let mut scene = Scene::new(terms(), terms());
    let offer = format!("{OFFER}\na=rtcp-mux");
    scene.agree(Party::Caller, &offer, ANSWER);
    scene.next_buyer(terms());

    let (offered, _) = scene.agree(Party::Caller, &offer, &format!("{ANSWER}\na=rtcp-mux"));

    assert!(!offered.contains("rtcp-mux"), "{offered}");
    for party in Party::BOTH {
        assert!(!scene.end(0, party).remote.unwrap().is_mux());
    }
    scene.end_well();
}

#[test]
fn a_line_that_the_next_buyer_refuses_stays_open_and_silent() {
    let mut scene = Scene::new(terms(), terms());
    let video = "\nm=video 15000 RTP/AVP 31";
    let offer = format!("{OFFER}{video}");
    let (_, told) = scene.agree(Party::Caller, &offer, &format!("{ANSWER}{video}"));
    scene.next_buyer(terms());
    let refused = format!("{ANSWER}{}", video.replace("15000", "0"));

    let (_, again) = scene.agree(Party::Caller, &offer, &refused);

    assert_eq!(again, told);
    assert_eq!(scene.end(1, Party::Buyer).remote, None);
    assert!(!scene.end(1, Party::Caller).sends);
    assert!(scene.end(0, Party::Caller).sends);
    scene.end_well();
}

#[test]
fn a_line_that_the_caller_was_refused_is_not_offered_again() {
    let mut scene = Scene::new(terms(), terms());
    let offer = format!("{OFFER}\nm=video 15000 RTP/AVP 31");
    let answer = format!("{ANSWER}\nm=video 0 RTP/AVP 31");
    let (_, told) = scene.agree(Party::Caller, &offer, &answer);
    scene.next_buyer(terms());

    let (offered, again) = scene.agree(Party::Caller, &offer, &answer);

    assert!(offered.ends_with("m=video 0 RTP/AVP 31\r\n"), "{offered}");
    assert_eq!(again, told);
    scene.end_well();
}

#[test]
fn sound_that_was_told_cannot_be_refused() {
    let mut scene = Scene::new(terms(), terms());
    let video = "\nm=video 15000 RTP/AVP 31";
    let offer = format!("{OFFER}{video}");
    scene.agree(Party::Caller, &offer, &format!("{ANSWER}{video}"));
    scene.next_buyer(terms());
    scene.offer(Party::Caller, &offer).unwrap();

    let answer = scene.answer(
        Party::Buyer,
        &format!("{}{video}", ANSWER.replace("4000", "0")),
    );

    assert_eq!(answer, Err(Fault::NotAsTold));
    scene.end_well();
}

/// It would be another offer than the one that the caller was told an answer to.
#[test]
fn the_next_buyer_is_offered_as_many_lines() {
    let (mut scene, _) = after_early_media();
    let more = format!("{OFFER}\nm=video 15000 RTP/AVP 31");

    assert_eq!(scene.offer(Party::Caller, &more), Err(Fault::Lines));

    scene.agree(Party::Caller, OFFER, ANSWER);
    scene.end_well();
}

/// The second answer to one INVITE, with another codec than the first: the caller cannot be told.
#[test]
fn a_final_answer_that_contradicts_the_early_one_is_a_fault() {
    let mut scene = Scene::new(terms(), terms());
    scene.agree(Party::Caller, OFFER, ANSWER);
    let before = scene.session.plan();

    let answer = scene.answer(Party::Buyer, &ANSWER.replace("0 101", "8 101"));

    assert_eq!(answer, Err(Fault::NotAsTold));
    assert_eq!(scene.session.plan(), before);
    scene.end_well();
}

/// The 2xx to an INVITE often says again what a reliable 183 said, whatever was agreed on in between.
#[test]
fn an_answer_that_comes_again_after_another_exchange_changes_nothing() {
    for is_refused in [true, false] {
        let mut scene = Scene::new(terms(), terms());
        scene.agree(Party::Caller, OFFER, ANSWER);
        let moved = ANSWER.replace("4000", "4800");
        let offered = scene.offer(Party::Buyer, &moved).unwrap();
        if is_refused {
            scene.session.forget_offer(&mut scene.ports);
        } else {
            scene.answer(Party::Caller, OFFER).unwrap();
        }
        let before = scene.session.plan();

        assert_eq!(scene.answer(Party::Buyer, ANSWER).unwrap(), offered);

        assert_eq!(scene.session.plan(), before);
        scene.session.note_answered();
        assert_eq!(scene.answer(Party::Buyer, ANSWER), Err(Fault::NoOffer));
        scene.end_well();
    }
}

#[test]
fn an_update_of_the_caller_before_the_answer_tells_it_anew() {
    let mut scene = Scene::new(terms(), terms());
    let (_, told) = scene.agree(Party::Caller, OFFER, ANSWER);

    let (_, updated) = scene.agree(
        Party::Caller,
        &OFFER.replace("12692", "12800"),
        &ANSWER.replace("0 101", "8 101"),
    );

    assert!(updated.contains("RTP/AVP 8 101\r\n"), "{updated}");
    assert_eq!(version(&updated), version(&told) + 1);
    scene.end_well();
}
