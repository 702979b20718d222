//! Offer and answer, once and again.

use super::*;
use crate::media::plan::{Payload, Remote};

fn payload(number: u8, is_dtmf: bool) -> Payload {
    Payload {
        number,
        clock: 8_000,
        is_dtmf,
    }
}

#[test]
fn both_are_told_of_us_and_the_relay_of_both() {
    let mut scene = Scene::new(terms(), terms());

    let (offered, told) = scene.agree(Party::Caller, OFFER, ANSWER);

    assert_eq!(
        offered,
        crlf(
            "v=0
            o=- 145950638 1 IN IP4 203.0.113.5
            s=-
            c=IN IP4 203.0.113.5
            t=0 0
            m=audio 10002 RTP/AVP 0 8 101
            a=rtpmap:0 PCMU/8000
            a=rtpmap:8 PCMA/8000
            a=rtpmap:101 telephone-event/8000
            a=fmtp:101 0-16
            a=ptime:20
            a=maxptime:20
            a=sendrecv"
        )
    );
    assert_eq!(
        body(&told),
        [
            "c=IN IP4 203.0.113.5",
            "m=audio 10000 RTP/AVP 0 101",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000",
            "a=fmtp:101 0-15",
            "a=ptime:20",
        ]
    );
    let plan = scene.session.plan();
    assert_eq!(plan.streams.len(), 1);
    assert!(plan.streams[0].is_rtp);
    let caller = scene.end(0, Party::Caller);
    assert_eq!(caller.gate.port, 10_000);
    assert_eq!(
        caller.remote,
        Some(Remote {
            rtp: at("192.0.2.10:12692"),
            rtcp: at("192.0.2.10:12693"),
        })
    );
    assert!(caller.sends);
    assert_eq!(caller.payloads[..], [payload(0, false), payload(101, true)]);
    let buyer = scene.end(0, Party::Buyer);
    assert_eq!(buyer.gate.port, 10_002);
    assert_eq!(
        buyer.remote,
        Some(Remote {
            rtp: at("198.51.100.20:4000"),
            rtcp: at("198.51.100.20:4001"),
        })
    );
    assert!(buyer.sends);
    let may_send = [payload(0, false), payload(8, false), payload(101, true)];
    assert_eq!(buyer.payloads[..], may_send);
    scene.end_well();
}

#[test]
fn before_the_answer_the_ports_are_open_and_nothing_passes() {
    let mut scene = Scene::new(terms(), terms());

    scene.offer(Party::Caller, OFFER).unwrap();

    assert!(scene.end(0, Party::Caller).remote.is_some());
    assert!(!scene.end(0, Party::Caller).sends);
    assert_eq!(scene.end(0, Party::Buyer).remote, None);
    assert!(!scene.end(0, Party::Buyer).sends);
    scene.end_well();
}

#[test]
fn a_late_offer_goes_the_other_way() {
    let mut scene = Scene::new(terms(), terms());

    let (offered, told) = scene.agree(Party::Buyer, ANSWER, OFFER);

    assert!(
        offered.contains("m=audio 10002 RTP/AVP 0 101\r\n"),
        "{offered}"
    );
    assert!(told.contains("m=audio 10000 RTP/AVP 0 101\r\n"), "{told}");
    let remote = |party| scene.end(0, party).remote.unwrap().rtp;
    assert_eq!(remote(Party::Buyer), at("198.51.100.20:4000"));
    assert_eq!(remote(Party::Caller), at("192.0.2.10:12692"));
    scene.end_well();
}

#[test]
fn ipv4_and_ipv6_meet() {
    let buyer = Terms {
        is_ipv6: true,
        ..terms()
    };
    let mut scene = Scene::new(terms(), buyer);
    let answer = ANSWER.replace("IP4 198.51.100.20", "IP6 2001:db8::20");

    let (offered, told) = scene.agree(Party::Caller, OFFER, &answer);

    assert!(offered.contains("c=IN IP6 2001:db8::5\r\n"), "{offered}");
    assert!(
        offered
            .lines()
            .nth(1)
            .unwrap()
            .ends_with("IN IP6 2001:db8::5")
    );
    assert!(told.contains("c=IN IP4 203.0.113.5\r\n"), "{told}");
    assert!(scene.end(0, Party::Buyer).gate.address.is_ipv6());
    assert_eq!(
        scene.end(0, Party::Buyer).remote.unwrap().rtp,
        at("[2001:db8::20]:4000")
    );
    scene.end_well();
}

#[test]
fn a_party_that_changes_the_family_gets_other_ports() {
    let mut scene = Scene::new(terms(), terms());
    scene.agree(Party::Caller, OFFER, ANSWER);
    scene.session.note_answered();
    let moved = OFFER.replace("IP4 192.0.2.10", "IP6 2001:db8::10");

    let (_, told) = scene.agree(Party::Caller, &moved, ANSWER);

    assert!(told.contains("c=IN IP6 2001:db8::5\r\n"), "{told}");
    let end = scene.end(0, Party::Caller);
    assert_eq!(end.gate.port, 10_004);
    assert_eq!(end.remote.unwrap().rtp, at("[2001:db8::10]:12692"));
    assert_eq!(scene.ports.taken.len(), 2);
    scene.end_well();
}

#[test]
fn a_family_that_we_have_no_address_of_is_refused() {
    let mut scene = Scene::new(terms(), terms());
    scene.ports.is_v4_only = true;

    let offer = OFFER.replace("IP4 192.0.2.10", "IP6 2001:db8::10");

    assert_eq!(scene.offer(Party::Caller, &offer), Err(Fault::Family));
    assert!(scene.ports.taken.is_empty());
}

/// A buyer whose signalling is IPv6 may have IPv4 for its media.
#[test]
fn a_party_that_has_yet_to_choose_may_be_offered_the_other_family() {
    let buyer = Terms {
        is_ipv6: true,
        ..terms()
    };
    let mut scene = Scene::new(terms(), buyer);
    scene.ports.is_v4_only = true;

    let (offered, _) = scene.agree(Party::Caller, OFFER, ANSWER);

    assert!(offered.contains("c=IN IP4 203.0.113.5\r\n"), "{offered}");
    scene.end_well();
}

#[test]
fn an_answer_of_the_other_family_is_none() {
    let mut scene = Scene::new(terms(), terms());
    scene.offer(Party::Caller, OFFER).unwrap();

    let fault = scene.answer(
        Party::Buyer,
        &ANSWER.replace("IP4 198.51.100.20", "IP6 2001:db8::20"),
    );

    assert_eq!(fault.unwrap_err().label(), "sdp_address");
    scene.end_well();
}

#[test]
fn a_new_address_counts_from_its_answer_on_and_our_ports_stay() {
    let mut scene = Scene::new(terms(), terms());
    let (first, _) = scene.agree(Party::Caller, OFFER, ANSWER);
    scene.session.note_answered();
    let before = scene.session.plan();
    let moved = OFFER
        .replace("192.0.2.10", "192.0.2.77")
        .replace("12692", "13000");

    let offered = scene.offer(Party::Caller, &moved).unwrap();

    assert_eq!(scene.session.plan(), before);
    assert_eq!(offered, first, "nothing has changed for the buyer");
    scene.answer(Party::Buyer, ANSWER).unwrap();
    let caller = scene.end(0, Party::Caller);
    assert_eq!(caller.remote.unwrap().rtp, at("192.0.2.77:13000"));
    assert_eq!(caller.gate, before.streams[0].ends[0].gate);
    assert_eq!(scene.end(0, Party::Buyer), before.streams[0].ends[1]);
    scene.end_well();
}

#[test]
fn a_refused_offer_leaves_what_was_agreed() {
    let mut scene = Scene::new(terms(), terms());
    scene.agree(Party::Caller, OFFER, ANSWER);
    scene.session.note_answered();
    let (before, ports) = (scene.session.plan(), scene.ports.taken.clone());
    let more = format!("{OFFER}\nm=video 15000 RTP/AVP 31");

    scene.offer(Party::Caller, &more).unwrap();

    assert_eq!(scene.ports.taken.len(), 4);
    scene.session.forget_offer(&mut scene.ports);
    assert_eq!(scene.session.plan(), before);
    assert_eq!(scene.ports.taken, ports);
    scene.end_well();
}

#[test]
fn the_next_offer_takes_the_place_of_one_without_an_answer() {
    let mut scene = Scene::new(terms(), terms());
    scene.agree(Party::Caller, OFFER, ANSWER);
    scene.session.note_answered();
    scene
        .offer(Party::Caller, &format!("{OFFER}\nm=video 15000 RTP/AVP 31"))
        .unwrap();

    let told = scene.offer(Party::Buyer, ANSWER).unwrap();

    assert!(told.contains("m=audio 10000 RTP/AVP 0 101\r\n"), "{told}");
    assert_eq!(scene.ports.taken.len(), 2);
    scene.answer(Party::Caller, OFFER).unwrap();
    scene.end_well();
}

#[test]
fn the_version_rises_only_with_a_change_and_the_name_stays() {
    let mut scene = Scene::new(terms(), terms());
    let (first, told) = scene.agree(Party::Caller, OFFER, ANSWER);
    scene.session.note_answered();

    let (same, told_same) = scene.agree(Party::Caller, OFFER, ANSWER);
    let held = OFFER.replace("sendrecv", "sendonly");
    let (changed, _) = scene.agree(Party::Caller, &held, &format!("{ANSWER}\na=recvonly"));
    let (back, told_back) = scene.agree(Party::Caller, OFFER, ANSWER);

    assert_eq!((version(&first), version(&told)), (1, 1));
    assert_eq!((&first, &told), (&same, &told_same));
    assert_eq!(version(&changed), 2);
    assert_eq!((version(&back), version(&told_back)), (3, 3));
    assert_eq!(origin_id(&back), origin_id(&first));
    assert_ne!(origin_id(&told), origin_id(&first));
    scene.end_well();
}

#[test]
fn an_answer_that_comes_again_is_told_once() {
    let mut scene = Scene::new(terms(), terms());
    let (_, early) = scene.agree(Party::Caller, OFFER, ANSWER);
    let before = scene.session.plan();

    let again = scene.answer(Party::Buyer, ANSWER).unwrap();

    assert_eq!(again, early);
    assert_eq!(scene.session.plan(), before);
    let moved = ANSWER.replace("198.51.100.20", "198.51.100.99");
    assert_eq!(scene.answer(Party::Buyer, &moved).unwrap(), early);
    assert_eq!(
        scene.end(0, Party::Buyer).remote.unwrap().rtp,
        at("198.51.100.99:4000")
    );
    scene.end_well();
}

#[test]
fn rtcp_goes_where_it_is_listened_for() {
    let mut scene = Scene::new(terms(), terms());
    let offer = format!("{OFFER}\na=rtcp:20001 IN IP4 192.0.2.11\na=rtcp-mux");

    let (offered, told) = scene.agree(Party::Caller, &offer, &format!("{ANSWER}\na=rtcp:4111"));

    assert!(!offered.contains("a=rtcp:"), "{offered}");
    assert!(offered.contains("a=rtcp-mux\r\n"), "{offered}");
    assert!(!told.contains("a=rtcp"), "{told}");
    assert_eq!(
        scene.end(0, Party::Caller).remote.unwrap().rtcp,
        at("192.0.2.11:20001")
    );
    assert_eq!(
        scene.end(0, Party::Buyer).remote.unwrap().rtcp,
        at("198.51.100.20:4111")
    );
    scene.end_well();
}

#[test]
fn rtcp_shares_the_port_where_both_want_it() {
    let mut scene = Scene::new(terms(), terms());

    let (_, told) = scene.agree(
        Party::Caller,
        &format!("{OFFER}\na=rtcp-mux"),
        &format!("{ANSWER}\na=rtcp-mux"),
    );

    assert!(told.contains("a=rtcp-mux\r\n"), "{told}");
    for party in Party::BOTH {
        assert!(scene.end(0, party).remote.unwrap().is_mux());
    }
    scene.agree(Party::Caller, OFFER, &format!("{ANSWER}\na=rtcp-mux"));
    for party in Party::BOTH {
        assert!(!scene.end(0, party).remote.unwrap().is_mux());
    }
    scene.end_well();
}

/// A call with media must not weigh much more than one without; a text is some 300 bytes, and there are two.
#[test]
fn what_is_kept_of_a_call_is_small() {
    let kept = size_of::<Session>() + size_of::<line::Line>();

    assert!(kept <= 640, "{kept} bytes");
}
