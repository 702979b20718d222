//! Calls that share ports, told apart by where their packets come from.

use super::*;
use crate::media::commons::{Counts, Seat};
use crate::media::plan::Remote;

fn shared() -> Terms {
    Terms {
        is_shared: true,
        ..terms()
    }
}

/// Another call has these addresses on a port; gives its seat.
fn occupy(scene: &mut Scene, port: u16, at_rtp: &str) -> (Seat, Gate, Remote) {
    let rtp = at(at_rtp);
    let remote = Remote {
        rtp,
        rtcp: SocketAddr::new(rtp.ip(), rtp.port() + 1),
    };
    let seat = Seat {
        session: SessionId(u64::from(port)),
        party: Party::Buyer,
        line: 0,
    };
    let [v4, _] = &mut scene.ports.commons;
    let gate = Gate {
        address: "203.0.113.5".parse().unwrap(),
        port,
        is_shared: true,
    };
    assert!(v4.claim(seat, gate, remote));
    (seat, gate, remote)
}

fn port(scene: &Scene, party: Party) -> u16 {
    scene.end(0, party).gate.port
}

fn claims(scene: &Scene) -> usize {
    let all = scene.ports.commons.iter();
    all.map(|commons| commons.counts().claims).sum()
}

const CALLER: &str = "192.0.2.10:12692";
const BUYER: &str = "198.51.100.20:4000";

#[test]
fn both_go_by_the_first_shared_port_and_leave_nothing_there() {
    let mut scene = Scene::new(shared(), shared());

    let (offered, told) = scene.agree(Party::Caller, OFFER, ANSWER);

    assert!(offered.contains("m=audio 9000 "), "{offered}");
    assert!(told.contains("m=audio 9000 "), "{told}");
    assert!(scene.ports.taken.is_empty());
    assert_eq!(claims(&scene), 4);
    assert_eq!(scene.session.take_moved(), None);
    scene.end_well();
}

#[test]
fn a_side_that_does_not_share_has_ports_of_its_own() {
    let mut scene = Scene::new(terms(), shared());

    scene.agree(Party::Caller, OFFER, ANSWER);

    assert_eq!(port(&scene, Party::Caller), 10_000);
    assert_eq!(port(&scene, Party::Buyer), 9_000);
    assert_eq!(claims(&scene), 2);
    scene.end_well();
}

#[test]
fn a_caller_at_an_address_that_is_taken_gets_another_port_and_then_its_own() {
    for (occupied, expected) in [(&[9_000][..], 9_002), (&[9_000, 9_002], 10_000)] {
        let mut scene = Scene::new(shared(), shared());
        let others: Vec<_> = occupied
            .iter()
            .map(|port| occupy(&mut scene, *port, CALLER))
            .collect();

        let (_, told) = scene.agree(Party::Caller, OFFER, ANSWER);

        assert!(told.contains(&format!("m=audio {expected} ")), "{told}");
        assert_eq!(scene.session.take_moved(), None, "it was told of no other");
        for (seat, gate, remote) in others {
            scene.ports.commons[0].release(seat, gate, remote);
        }
        scene.end_well();
    }
}

#[test]
fn a_buyer_that_turns_out_to_be_where_another_is_is_told_of_another_port() {
    for (occupied, expected) in [(&[9_000][..], 9_002), (&[9_000, 9_002], 10_000)] {
        let mut scene = Scene::new(shared(), shared());
        let others: Vec<_> = occupied
            .iter()
            .map(|port| occupy(&mut scene, *port, BUYER))
            .collect();

        let (offered, _) = scene.agree(Party::Caller, OFFER, ANSWER);

        assert!(offered.contains("m=audio 9000 "), "{offered}");
        assert_eq!(port(&scene, Party::Buyer), expected);
        assert_eq!(scene.session.take_moved(), Some(Party::Buyer));
        assert_eq!(scene.session.take_moved(), None, "told once");
        let told = String::from_utf8(scene.session.told(Party::Buyer).to_vec()).unwrap();
        let wanted = offered.replace("m=audio 9000 ", &format!("m=audio {expected} "));
        assert_eq!(version(&told), version(&offered) + 1);
        assert_eq!(body(&told), body(&wanted));
        scene
            .session
            .confirm(Party::Buyer, crlf(ANSWER).as_bytes(), &mut scene.ports)
            .unwrap();
        assert_eq!(port(&scene, Party::Buyer), expected);
        assert_eq!(scene.session.take_moved(), None);
        for (seat, gate, remote) in others {
            scene.ports.commons[0].release(seat, gate, remote);
        }
        scene.end_well();
    }
}

#[test]
fn a_buyer_that_confirms_from_where_another_is_is_told_once_more() {
    let mut scene = Scene::new(shared(), shared());
    let others = [
        occupy(&mut scene, 9_000, BUYER),
        occupy(&mut scene, 9_002, "198.51.100.20:5000"),
    ];
    scene.agree(Party::Caller, OFFER, ANSWER);
    assert_eq!(scene.session.take_moved(), Some(Party::Buyer));
    assert_eq!(port(&scene, Party::Buyer), 9_002);

    let elsewhere = crlf(&ANSWER.replace("audio 4000", "audio 5000"));
    let confirmed = scene
        .session
        .confirm(Party::Buyer, elsewhere.as_bytes(), &mut scene.ports);

    confirmed.unwrap();
    assert_eq!(scene.session.take_moved(), Some(Party::Buyer));
    assert_eq!(port(&scene, Party::Buyer), 9_000, "free for that address");
    for (seat, gate, remote) in others {
        scene.ports.commons[0].release(seat, gate, remote);
    }
    scene.end_well();
}

#[test]
fn a_confirmation_that_is_none_changes_nothing() {
    let mut scene = Scene::new(shared(), shared());
    scene.agree(Party::Caller, OFFER, ANSWER);
    let before = scene.session.plan();

    for (answer, fault) in [
        (ANSWER.replace("audio 4000", "audio 0"), Fault::Media),
        (format!("{ANSWER}\nm=audio 1 RTP/AVP 0"), Fault::Lines),
    ] {
        let confirmed =
            scene
                .session
                .confirm(Party::Buyer, crlf(&answer).as_bytes(), &mut scene.ports);
        assert_eq!(confirmed, Err(fault));
        assert_eq!(scene.session.plan(), before);
    }
    scene.end_well();
}

#[test]
fn a_buyer_that_moves_takes_its_place_along() {
    let mut scene = Scene::new(shared(), shared());
    scene.agree(Party::Caller, OFFER, ANSWER);

    let moved = ANSWER.replace("audio 4000", "audio 7000");
    scene.agree(Party::Buyer, &moved, OFFER);

    assert_eq!(claims(&scene), 4);
    let [v4, _] = &mut scene.ports.commons;
    let seat = Seat {
        session: SessionId(99),
        party: Party::Buyer,
        line: 0,
    };
    let gate = v4.find(seat, None).unwrap();
    let free = |commons: &Commons, port: u16| {
        let remote = Remote {
            rtp: SocketAddr::new("198.51.100.20".parse().unwrap(), port),
            rtcp: SocketAddr::new("198.51.100.20".parse().unwrap(), port),
        };
        commons.is_free(seat, gate, remote)
    };
    assert!(free(v4, 4_000));
    assert!(!free(v4, 7_000));
    scene.end_well();
}

#[test]
fn a_change_that_is_refused_keeps_the_place() {
    let mut scene = Scene::new(shared(), shared());
    scene.agree(Party::Caller, OFFER, ANSWER);

    scene
        .offer(Party::Caller, &OFFER.replace("12692", "13000"))
        .unwrap();
    assert_eq!(claims(&scene), 6, "both until it is decided");
    scene.session.forget_offer(&mut scene.ports);

    assert_eq!(claims(&scene), 4);
    scene.end_well();
}

#[test]
fn rtcp_beside_rtp_takes_one_place() {
    let mut scene = Scene::new(shared(), shared());
    let mux = |sdp: &str| format!("{sdp}\na=rtcp-mux");

    scene.agree(Party::Caller, &mux(OFFER), &mux(ANSWER));

    assert_eq!(claims(&scene), 2);
    scene.end_well();
}

#[test]
fn lines_at_one_address_do_not_share_one_port() {
    let mut scene = Scene::new(shared(), shared());
    let two =
        |sdp: &str, port: u16| format!("{sdp}\nm=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000");

    scene.agree(Party::Caller, &two(OFFER, 12_692), &two(ANSWER, 4_000));

    let gates = |party| [0, 1].map(|line| scene.end(line, party).gate.port);
    assert_eq!(gates(Party::Caller), [9_000, 9_002]);
    assert_eq!(gates(Party::Buyer), [9_000, 9_002]);
    assert_eq!(scene.session.take_moved(), Some(Party::Buyer));
    scene.end_well();
}

#[test]
fn the_next_buyer_gets_the_place_of_the_last() {
    let mut scene = Scene::new(shared(), shared());
    scene.agree(Party::Caller, OFFER, ANSWER);

    scene.next_buyer(shared());
    assert_eq!(claims(&scene), 2, "the caller's");
    scene.agree(Party::Caller, OFFER, ANSWER);

    assert_eq!(port(&scene, Party::Buyer), 9_000);
    assert_eq!(claims(&scene), 4);
    scene.end_well();
}

#[test]
fn buyers_who_are_called_at_once_leave_nothing() {
    let mut scene = Scene::new(shared(), shared());
    let mut asides: Vec<Session> = (0..3).map(|_| scene.session.beside(shared())).collect();
    for aside in &mut asides {
        aside
            .offer(Party::Caller, crlf(OFFER).as_bytes(), &mut scene.ports)
            .unwrap();
        aside
            .answer(Party::Buyer, crlf(ANSWER).as_bytes(), &mut scene.ports)
            .unwrap();
    }
    assert_eq!(
        claims(&scene),
        4,
        "they are one call, and one of them will be it"
    );

    let winner = asides.pop().unwrap();
    scene.session.adopt(winner, &mut scene.ports);
    for aside in asides {
        aside.part(Some(&scene.session), &mut scene.ports);
    }

    assert_eq!(claims(&scene), 4);
    assert_eq!(port(&scene, Party::Buyer), 9_000);
    scene.end_well();
}

#[test]
fn a_call_that_the_relay_has_elsewhere_shares_no_ports_later() {
    let mut scene = Scene::new(terms(), terms());
    scene.agree(Party::Caller, OFFER, ANSWER);
    let plan = scene.session.plan();
    scene.session.note_planned(&plan);

    scene.next_buyer(shared());
    scene.agree(Party::Caller, OFFER, ANSWER);

    assert!(!scene.end(0, Party::Buyer).gate.is_shared);
    scene.end_well();
}

#[test]
fn with_no_shared_port_of_the_family_it_has_its_own() {
    let mut scene = Scene::new(shared(), shared());
    let address = "2001:db8::5".parse().unwrap();
    scene.ports.commons[1] = Commons::new(address, address, []);
    let offer = OFFER.replace("IP4 192.0.2.10", "IP6 2001:db8::10");

    let (_, told) = scene.agree(Party::Caller, &offer, ANSWER);

    assert!(told.contains("m=audio 10000 "), "{told}");
    assert_eq!(port(&scene, Party::Buyer), 9_000);
    scene.end_well();
}

#[test]
fn who_is_told_of_another_port_goes_on_by_the_key_that_it_took() {
    let mut scene = Scene::new(
        shared(),
        Terms {
            srtp: Srtp::Require,
            ..shared()
        },
    );
    let other = occupy(&mut scene, 9_000, BUYER);
    let offered = scene.offer(Party::Caller, OFFER).unwrap();
    let keys = |sdp: &str| {
        sdp.lines()
            .filter(|line| line.starts_with("a=crypto:"))
            .count()
    };
    assert!(keys(&offered) > 1, "{offered}");
    let line = offered
        .lines()
        .find(|line| line.contains("AES_CM_128_HMAC_SHA1_80"))
        .unwrap();
    let tag = line["a=crypto:".len()..].split(' ').next().unwrap();
    let answer = format!(
        "{}\na=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:h77xBx3cFE4uhlQtSlBa4a8veOdxnbd6OBxy2bAy",
        ANSWER.replace("RTP/AVP", "RTP/SAVP")
    );

    scene.answer(Party::Buyer, &answer).unwrap();

    assert_eq!(scene.session.take_moved(), Some(Party::Buyer));
    scene.session.note_answered();
    let told = String::from_utf8(scene.session.told(Party::Buyer).to_vec()).unwrap();
    assert!(told.contains(line), "{told}");
    assert_eq!(keys(&told), 1);
    let before = scene.end(0, Party::Buyer).crypto;
    scene
        .session
        .confirm(Party::Buyer, crlf(&answer).as_bytes(), &mut scene.ports)
        .unwrap();
    assert_eq!(scene.end(0, Party::Buyer).crypto, before);
    let (seat, gate, remote) = other;
    scene.ports.commons[0].release(seat, gate, remote);
    scene.end_well();
}

#[test]
fn nothing_is_counted_where_nobody_clashes() {
    let mut scene = Scene::new(shared(), shared());

    scene.agree(Party::Caller, OFFER, ANSWER);
    scene.session.end(&mut scene.ports);

    let counts = scene.ports.commons.each_ref().map(Commons::counts);
    assert_eq!(counts, [Counts::default(); 2]);
}
