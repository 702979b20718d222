//! SRTP on either leg, with keys of its own on each.

use super::*;
use crate::media::plan::Suite;
use crate::media::sdp::crypto;

const KEY_80: &str = "inline:h77xBx3cFE4uhlQtSlBa4a8veOdxnbd6OBxy2bAy";
const OTHER_KEY_80: &str = "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";
const GCM_128: &str = "inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw==";

fn allow() -> Terms {
    Terms {
        srtp: Srtp::Allow,
        ..terms()
    }
}

fn require() -> Terms {
    Terms {
        srtp: Srtp::Require,
        ..terms()
    }
}

fn secured(sdp: &str, lines: &[&str]) -> String {
    let mut text = sdp.replace("RTP/AVP", "RTP/SAVP");
    for line in lines {
        text = format!("{text}\na=crypto:{line}");
    }
    text
}

/// The `a=crypto` lines of a description, as `tag suite`.
fn suites(sdp: &str) -> Vec<String> {
    sdp.lines()
        .filter_map(|line| line.strip_prefix("a=crypto:"))
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect()
}

/// The key in an `a=crypto` line, counted from 0.
fn key(sdp: &str, index: usize) -> Vec<u8> {
    let line = sdp
        .lines()
        .filter_map(|line| line.strip_prefix("a=crypto:"))
        .nth(index);
    crypto::read(line.unwrap().as_bytes())
        .unwrap()
        .keys
        .secret
        .to_vec()
}

#[test]
fn a_secure_caller_and_a_plain_buyer() {
    let mut scene = Scene::new(allow(), terms());
    let offer = secured(OFFER, &[&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_80}")]);

    let (offered, told) = scene.agree(Party::Caller, &offer, ANSWER);

    assert!(offered.contains("RTP/AVP 0 8 101\r\n"), "{offered}");
    assert!(suites(&offered).is_empty(), "{offered}");
    assert!(told.contains("RTP/SAVP 0 101\r\n"), "{told}");
    assert_eq!(suites(&told), ["1 AES_CM_128_HMAC_SHA1_80"]);
    let keys = scene.end(0, Party::Caller).crypto.unwrap();
    assert_eq!(keys.theirs.suite, Suite::Aes128Sha1Tag80);
    assert_eq!(keys.theirs.secret[..4], [0x87, 0xbe, 0xf1, 0x07]);
    assert_eq!(keys.ours.secret.to_vec(), key(&told, 0));
    assert_ne!(keys.ours.secret, keys.theirs.secret);
    assert!(scene.end(0, Party::Buyer).crypto.is_none());
    scene.end_well();
}

#[test]
fn a_plain_caller_and_a_buyer_that_must_be_secure() {
    let mut scene = Scene::new(terms(), require());

    let offered = scene.offer(Party::Caller, OFFER).unwrap();

    assert!(offered.contains("RTP/SAVP 0 8 101\r\n"), "{offered}");
    let expected = [
        "1 AEAD_AES_256_GCM",
        "2 AEAD_AES_128_GCM",
        "3 AES_256_CM_HMAC_SHA1_80",
        "4 AES_CM_128_HMAC_SHA1_80",
    ];
    assert_eq!(suites(&offered), expected);
    let answer = secured(ANSWER, &[&format!("2 AEAD_AES_128_GCM {GCM_128}")]);
    let told = scene.answer(Party::Buyer, &answer).unwrap();
    assert!(told.contains("RTP/AVP 0 101\r\n"), "{told}");
    assert!(suites(&told).is_empty(), "{told}");
    let keys = scene.end(0, Party::Buyer).crypto.unwrap();
    assert_eq!(keys.ours.secret.to_vec(), key(&offered, 1));
    assert_eq!(keys.theirs.secret.to_vec(), (0..28).collect::<Vec<u8>>());
    scene.end_well();
}

#[test]
fn keys_never_cross() {
    let mut scene = Scene::new(require(), require());
    let offer = secured(OFFER, &[&format!("7 AES_CM_128_HMAC_SHA1_80 {KEY_80}")]);

    let offered = scene.offer(Party::Caller, &offer).unwrap();
    let answer = secured(
        ANSWER,
        &[&format!("4 AES_CM_128_HMAC_SHA1_80 {OTHER_KEY_80}")],
    );
    let told = scene.answer(Party::Buyer, &answer).unwrap();

    assert!(!offered.contains(KEY_80), "{offered}");
    assert!(
        !told.contains(OTHER_KEY_80) && !told.contains(KEY_80),
        "{told}"
    );
    assert_eq!(suites(&told), ["7 AES_CM_128_HMAC_SHA1_80"]);
    let (caller, buyer) = (scene.end(0, Party::Caller), scene.end(0, Party::Buyer));
    let (caller, buyer) = (caller.crypto.unwrap(), buyer.crypto.unwrap());
    assert_ne!(caller.ours.secret, buyer.ours.secret);
    scene.end_well();
}

#[test]
fn the_strongest_suite_that_we_have_is_taken() {
    let mut scene = Scene::new(allow(), terms());
    let offer = secured(
        OFFER,
        &[
            &format!("1 AES_CM_128_HMAC_SHA1_32 {KEY_80}"),
            "2 F8_128_HMAC_SHA1_80 inline:AAAA",
            &format!("3 AES_CM_128_HMAC_SHA1_80 {KEY_80}|2^48|1:4"),
            &format!("4 AES_CM_128_HMAC_SHA1_80 {OTHER_KEY_80}|2^31 WSH=128"),
            &format!("5 AES_CM_128_HMAC_SHA1_80 {KEY_80} UNENCRYPTED_SRTP"),
        ],
    );

    let (_, told) = scene.agree(Party::Caller, &offer, ANSWER);

    assert_eq!(suites(&told), ["4 AES_CM_128_HMAC_SHA1_80"]);
    scene.end_well();
}

#[test]
fn keys_beside_plain_rtp_are_taken_where_srtp_is_allowed() {
    let offer = format!("{OFFER}\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_80}");
    for (caller, is_taken) in [(allow(), true), (terms(), false)] {
        let mut scene = Scene::new(caller, terms());

        let (offered, told) = scene.agree(Party::Caller, &offer, ANSWER);

        assert!(suites(&offered).is_empty(), "{offered}");
        assert!(told.contains("RTP/AVP 0 101\r\n"), "{told}");
        assert_eq!(suites(&told).len(), usize::from(is_taken));
        assert_eq!(scene.end(0, Party::Caller).crypto.is_some(), is_taken);
        scene.end_well();
    }
}

#[test]
fn what_is_less_than_required_is_refused() {
    let keyless = secured(OFFER, &[]);
    let beside = format!("{OFFER}\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY_80}");
    for (caller, offer, expected) in [
        (require(), OFFER, Fault::SrtpRequired),
        (require(), &beside, Fault::SrtpRequired),
        (require(), &keyless, Fault::Keys),
        (allow(), &keyless, Fault::Keys),
        (terms(), &keyless, Fault::SrtpRefused),
    ] {
        let mut scene = Scene::new(caller, terms());

        assert_eq!(scene.offer(Party::Caller, offer), Err(expected));

        assert!(scene.ports.taken.is_empty());
    }
}

#[test]
fn an_answer_without_the_keys_that_were_asked_for_is_none() {
    let wrong_tag = secured(ANSWER, &[&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_80}")]);
    for (answer, expected) in [
        (ANSWER.to_owned(), Fault::Downgrade),
        (secured(ANSWER, &[]), Fault::Keys),
        (wrong_tag, Fault::Keys),
        (
            secured(ANSWER, &[&format!("9 AES_CM_128_HMAC_SHA1_80 {KEY_80}")]),
            Fault::Keys,
        ),
    ] {
        let mut scene = Scene::new(terms(), require());
        scene.offer(Party::Caller, OFFER).unwrap();

        assert_eq!(scene.answer(Party::Buyer, &answer), Err(expected));

        scene.end_well();
    }
}

#[test]
fn a_new_offer_cannot_end_srtp() {
    let plain = OFFER.to_owned();
    let around = format!("{}\nm=audio 14000 RTP/AVP 0", OFFER.replace("12692", "0"));
    let fax = OFFER.replace("m=audio 12692 RTP/AVP 0 8 101", "m=image 12692 udptl t38");
    for lower in [plain, around, fax] {
        for caller in [allow(), require()] {
            let mut scene = Scene::new(caller, terms());
            let offer = secured(OFFER, &[&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_80}")]);
            scene.agree(Party::Caller, &offer, ANSWER);
            scene.session.note_answered();
            let before = scene.session.plan();

            let fault = scene.offer(Party::Caller, &lower).unwrap_err();

            assert!(
                matches!(fault, Fault::Downgrade | Fault::SrtpRequired),
                "{fault}"
            );
            assert_eq!(fault.status(), 488);
            assert_eq!(scene.session.plan(), before);
            scene.end_well();
        }
    }
}

#[test]
fn what_was_only_offered_is_not_lowered() {
    let mut scene = Scene::new(allow(), terms());
    let offer = secured(OFFER, &[&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_80}")]);
    scene.offer(Party::Caller, &offer).unwrap();

    scene.agree(Party::Caller, OFFER, ANSWER);

    assert!(scene.end(0, Party::Caller).crypto.is_none());
    scene.end_well();
}

#[test]
fn a_new_offer_to_a_secure_party_keeps_our_key_and_takes_its_new_one() {
    let mut scene = Scene::new(allow(), terms());
    let offer = secured(OFFER, &[&format!("3 AES_CM_128_HMAC_SHA1_80 {KEY_80}")]);
    let (_, told) = scene.agree(Party::Caller, &offer, ANSWER);
    scene.session.note_answered();
    let ours = key(&told, 0);

    let offered = scene
        .offer(Party::Buyer, &format!("{ANSWER}\na=sendonly"))
        .unwrap();

    assert!(offered.contains("RTP/SAVP 0 101\r\n"), "{offered}");
    assert_eq!(suites(&offered), ["1 AES_CM_128_HMAC_SHA1_80"]);
    assert_eq!(key(&offered, 0), ours);
    let answer = secured(
        OFFER,
        &[&format!("1 AES_CM_128_HMAC_SHA1_80 {OTHER_KEY_80}")],
    );
    scene.answer(Party::Caller, &answer).unwrap();
    let keys = scene.end(0, Party::Caller).crypto.unwrap();
    assert_eq!(keys.ours.secret.to_vec(), ours);
    assert_eq!(keys.theirs.secret.to_vec(), (0..30).collect::<Vec<u8>>());

    let again = secured(OFFER, &[&format!("5 AES_CM_128_HMAC_SHA1_80 {KEY_80}")]);
    let (_, told) = scene.agree(Party::Caller, &again, ANSWER);
    assert_eq!(suites(&told), ["5 AES_CM_128_HMAC_SHA1_80"]);
    assert_eq!(key(&told, 0), ours);
    scene.end_well();
}

#[test]
fn each_buyer_has_new_keys_and_the_caller_the_same() {
    let mut scene = Scene::new(allow(), require());
    let offer = secured(OFFER, &[&format!("1 AES_CM_128_HMAC_SHA1_80 {KEY_80}")]);
    let answer = secured(
        ANSWER,
        &[&format!("4 AES_CM_128_HMAC_SHA1_80 {OTHER_KEY_80}")],
    );
    let (first, told) = scene.agree(Party::Caller, &offer, &answer);

    scene.next_buyer(require());
    let (second, told_again) = scene.agree(Party::Caller, &offer, &answer);

    assert_eq!(told_again, told);
    for index in 0..4 {
        assert_ne!(key(&first, index), key(&second, index));
    }
    assert_ne!(origin_id(&first), origin_id(&second));
    assert_eq!(
        scene
            .end(0, Party::Buyer)
            .crypto
            .unwrap()
            .ours
            .secret
            .to_vec(),
        key(&second, 3)
    );
    scene.end_well();
}

#[test]
fn an_offer_that_is_sent_again_is_the_same() {
    let mut scene = Scene::new(terms(), require());

    let first = scene.offer(Party::Caller, OFFER).unwrap();

    assert_eq!(scene.offer(Party::Caller, OFFER).unwrap(), first);
    assert_eq!(scene.ports.taken.len(), 2);
    scene.end_well();
}

#[test]
fn a_late_offer_asks_a_caller_that_must_be_secure_for_keys() {
    let mut scene = Scene::new(require(), terms());

    let offered = scene.offer(Party::Buyer, ANSWER).unwrap();

    assert_eq!(suites(&offered).len(), 4);
    let answer = secured(OFFER, &[&format!("4 AES_CM_128_HMAC_SHA1_80 {KEY_80}")]);
    let told = scene.answer(Party::Caller, &answer).unwrap();
    assert!(told.contains("RTP/AVP 0 101\r\n"), "{told}");
    assert!(scene.end(0, Party::Caller).crypto.is_some());
    scene.end_well();
}
