//! Who sends and who listens.

use super::*;

/// Who sends what the other one hears: the caller, the buyer.
fn flows(scene: &Scene) -> (bool, bool) {
    let sends = |party| scene.end(0, party).sends;
    (sends(Party::Caller), sends(Party::Buyer))
}

fn answered() -> Scene {
    let mut scene = Scene::new(terms(), terms());
    scene.agree(Party::Caller, OFFER, ANSWER);
    scene.session.note_answered();
    scene
}

#[test]
fn a_direction_passes_and_counts() {
    for (offer, answer, expected) in [
        ("sendrecv", "sendrecv", (true, true)),
        ("sendonly", "recvonly", (true, false)),
        ("inactive", "inactive", (false, false)),
        ("recvonly", "sendonly", (false, true)),
    ] {
        let mut scene = answered();

        let (offered, told) = scene.agree(
            Party::Caller,
            &OFFER.replace("sendrecv", offer),
            &format!("{ANSWER}\na={answer}"),
        );

        assert!(offered.contains(&format!("a={offer}\r\n")), "{offered}");
        assert!(told.contains(&format!("a={answer}\r\n")), "{told}");
        assert_eq!(flows(&scene), expected, "{offer} {answer}");
        scene.end_well();
    }
}

/// Phones that do not know hold answer as ever; the other one is told what its offer allows.
#[test]
fn an_answer_says_no_more_than_its_offer_allows() {
    let mut scene = answered();

    let (_, told) = scene.agree(
        Party::Buyer,
        &format!("{ANSWER}\na=sendonly"),
        &OFFER.replace("8 101", "101"),
    );

    assert!(told.contains("a=recvonly\r\n"), "{told}");
    assert!(!told.contains("sendrecv"), "{told}");
    assert_eq!(flows(&scene), (false, true));
    scene.end_well();
}

#[test]
fn an_address_of_zeroes_is_hold() {
    let mut scene = answered();
    let hold = OFFER.replace("c=IN IP4 192.0.2.10", "c=IN IP4 0.0.0.0");

    let (offered, told) = scene.agree(Party::Caller, &hold, ANSWER);

    assert!(offered.contains("c=IN IP4 203.0.113.5\r\n"), "{offered}");
    assert!(offered.contains("a=sendonly\r\n"), "{offered}");
    assert!(!offered.contains("a=sendrecv"), "{offered}");
    assert!(told.contains("a=recvonly\r\n"), "{told}");
    assert_eq!(scene.end(0, Party::Caller).remote, None);
    assert_eq!(flows(&scene), (true, false));
    scene.agree(Party::Caller, OFFER, ANSWER);
    assert_eq!(flows(&scene), (true, true));
    scene.end_well();
}

#[test]
fn the_direction_of_the_session_counts_where_a_line_has_none() {
    let mut scene = answered();
    let hold = OFFER
        .replace("\n    a=sendrecv", "")
        .replace("t=0 0", "t=0 0\na=inactive");

    let (offered, told) = scene.agree(Party::Caller, &hold, ANSWER);

    assert!(offered.contains("t=0 0\r\na=inactive\r\nm="), "{offered}");
    assert!(told.ends_with("a=inactive\r\n"), "{told}");
    assert_eq!(flows(&scene), (false, false));
    scene.end_well();
}

/// A buyer that only plays a tone binds nobody to silence.
#[test]
fn an_early_answer_is_told_wide_and_kept_narrow() {
    let mut scene = Scene::new(terms(), terms());

    let (_, told) = scene.agree(Party::Caller, OFFER, &format!("{ANSWER}\na=sendonly"));

    assert!(told.contains("a=sendrecv\r\n"), "{told}");
    assert_eq!(flows(&scene), (false, true));
    assert_eq!(scene.answer(Party::Buyer, ANSWER).unwrap(), told);
    assert_eq!(flows(&scene), (true, true));
    scene.end_well();
}
