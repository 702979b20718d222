use super::*;
use crate::media::session::terms::OtherMedia;
use crate::types::ids::Entropy;

const CALLER: &str = "v=0\r\no=ann 7 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
    m=audio 30000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const BUYER: &str = "v=0\r\no=bob 7 1 IN IP4 198.51.100.10\r\ns=-\r\nc=IN IP4 198.51.100.10\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 8\r\na=sendonly\r\n";
const KEY: &str =
    "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n";

#[test]
fn an_offer_is_asked_about_once_and_then_known() {
    let mut far = far(terms(), terms());

    let question = asked(far.offer(Party::Caller, CALLER.as_bytes(), at()));
    assert!(question.is_first);
    assert_eq!(
        (&*question.names.caller, &*question.names.buyer),
        ("caller", "buyer-1")
    );
    assert_eq!(question.sources, ng::Sources::Announced);
    assert_eq!(question.shape.protocol, None);
    let more = far.take(place(), there("20000", "0 8 101").as_bytes());
    assert_eq!(more, Ok(None));

    let told = told(far.offer(Party::Caller, CALLER.as_bytes(), at()));
    assert!(told.contains(" 1 IN IP4 203.0.113.9\r\ns=-\r\n"), "{told}");
    assert!(told.contains("m=audio 20000 RTP/AVP 0 8 101\r\n"), "{told}");
    assert_eq!(far.place(), place());
}

#[test]
fn codecs_and_other_media_are_kept_from_rtpengine() {
    let mut strict = terms();
    strict.codecs = Some(["PCMA".into()].into_iter().collect());
    strict.other_media = OtherMedia::Refuse;
    let mut far = far(terms(), strict);
    let text = format!("{CALLER}m=video 30002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n");

    let question = asked(far.offer(Party::Caller, text.as_bytes(), at()));

    let sdp = String::from_utf8(question.sdp.to_vec()).unwrap();
    assert!(sdp.contains("m=audio 30000 RTP/AVP 8 101\r\n"), "{sdp}");
    assert!(sdp.contains("m=video 0 RTP/AVP 96\r\n"), "{sdp}");
}

#[test]
fn what_a_side_does_not_want_is_refused_and_nobody_is_asked() {
    let secure = CALLER.replace("RTP/AVP", "RTP/SAVP") + KEY;
    let keyless = CALLER.replace("RTP/AVP", "RTP/SAVP");
    let mut g722 = terms();
    g722.codecs = Some(["G722".into()].into_iter().collect());
    for (own, text, fault) in [
        (srtp(Srtp::Refuse), secure.as_str(), Fault::SrtpRefused),
        (srtp(Srtp::Require), CALLER, Fault::SrtpRequired),
        (srtp(Srtp::Allow), keyless.as_str(), Fault::Keys),
        (g722, CALLER, Fault::Codec),
        (
            terms(),
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n",
            Fault::Lines,
        ),
    ] {
        let mut far = far(own, terms());
        let result = far.offer(Party::Caller, text.as_bytes(), at());
        assert_eq!(result, Err(fault), "{text}");
    }
}

#[test]
fn srtp_that_is_agreed_stays() {
    let secure = CALLER.replace("RTP/AVP", "RTP/SAVP") + KEY;
    let mut far = far(srtp(Srtp::Allow), terms());

    let question = asked(far.offer(Party::Caller, secure.as_bytes(), at()));
    assert_eq!(question.shape.protocol, Some(Protocol::Rtp));
    far.take(place(), there("20000", "0").as_bytes()).unwrap();
    asked(far.answer(Party::Buyer, BUYER.as_bytes(), at()));
    far.take(place(), there("20002", "0").as_bytes()).unwrap();
    far.note_answered();

    let result = far.offer(Party::Caller, CALLER.as_bytes(), at());
    assert_eq!(result, Err(Fault::Downgrade));
    let question = asked(far.offer(Party::Buyer, BUYER.as_bytes(), at()));
    assert_eq!(question.shape.protocol, Some(Protocol::Srtp));
    assert!(!question.is_first);
    let plain = far.answer(Party::Caller, CALLER.as_bytes(), at());
    assert_eq!(plain, Err(Fault::Downgrade));
}

/// A buyer that does not listen to an early caller must not make the caller deaf for the next one.
#[test]
fn an_early_answer_is_as_wide_as_the_offer_allows() {
    let mut far = far(terms(), terms());
    asked(far.offer(Party::Caller, CALLER.as_bytes(), at()));
    far.take(place(), there("20000", "0").as_bytes()).unwrap();

    let question = asked(far.answer(Party::Buyer, BUYER.as_bytes(), at()));

    let sdp = String::from_utf8(question.sdp.to_vec()).unwrap();
    assert!(
        sdp.contains("a=sendrecv\r\n") && !sdp.contains("a=sendonly"),
        "{sdp}"
    );
}

#[test]
fn behind_nat_a_party_is_expected_where_its_sip_comes_from() {
    let mut nat = terms();
    nat.sources = Sources::Learned([].into_iter().collect());
    let mut far = far(nat, terms());

    let question = asked(far.offer(Party::Caller, CALLER.as_bytes(), at()));

    assert_eq!(question.sources, ng::Sources::Learned(at()));
}

#[test]
fn a_call_moves_only_while_nobody_was_told() {
    let mut far = far(terms(), terms());
    assert!(!far.leave(), "it is nowhere");
    asked(far.offer(Party::Caller, CALLER.as_bytes(), at()));
    far.take(place(), there("20000", "8").as_bytes()).unwrap();
    far.next_buyer(terms());
    asked(far.offer(Party::Caller, CALLER.as_bytes(), at()));
    far.fail();

    assert!(far.leave());
    assert_eq!(far.place(), None);
    let question = asked(far.offer(Party::Caller, CALLER.as_bytes(), at()));
    assert!(
        question.names.call.ends_with("_1"),
        "{}",
        question.names.call
    );
    far.take(place(), there("20000", "8").as_bytes()).unwrap();
    asked(far.answer(Party::Buyer, BUYER.as_bytes(), at()));
    far.take(place(), there("20002", "8").as_bytes()).unwrap();
    far.next_buyer(terms());
    assert!(!far.leave(), "the caller was told");
}

#[test]
fn the_version_rises_with_what_is_told_and_not_otherwise() {
    let mut far = far(terms(), terms());
    let mut versions = Vec::new();
    for port in ["20000", "20000", "20004"] {
        asked(far.offer(Party::Caller, CALLER.as_bytes(), at()));
        far.take(place(), there(port, "0").as_bytes()).unwrap();
        let told = told(far.offer(Party::Caller, CALLER.as_bytes(), at()));
        let origin = told.lines().nth(1).unwrap().to_owned();
        versions.push(origin.split(' ').nth(2).unwrap().to_owned());
        far.forget_offer();
    }

    assert_eq!(versions, ["1", "1", "2"]);
}

#[test]
fn what_rtpengine_says_is_read_with_care() {
    let mut far = far(terms(), terms());
    assert_eq!(far.take(place(), b"v=0\r\n"), Err(Fault::NoOffer));
    asked(far.offer(Party::Caller, CALLER.as_bytes(), at()));

    assert!(matches!(
        far.take(place(), b"no sdp"),
        Err(Fault::Unreadable(_))
    ));
}

fn far(caller: Terms, buyer: Terms) -> Far {
    let uuid = CallUuid::new(&mut Entropy::from_seed([7; 32]));
    let mut far = Far::new(uuid, caller);
    far.next_buyer(buyer);
    far
}

fn terms() -> Terms {
    Terms {
        codecs: None,
        other_media: OtherMedia::default(),
        srtp: Srtp::default(),
        sources: Sources::Announced,
        is_shared: false,
        is_ipv6: false,
    }
}

fn srtp(srtp: Srtp) -> Terms {
    Terms { srtp, ..terms() }
}

fn at() -> IpAddr {
    "192.0.2.77".parse().unwrap()
}

fn place() -> Option<SocketAddr> {
    Some("203.0.113.9:2223".parse().unwrap())
}

/// What rtpengine makes of a description.
fn there(port: &str, formats: &str) -> String {
    format!(
        "v=0\r\no=ann 7 1 IN IP4 203.0.113.9\r\ns=-\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {formats}\r\n"
    )
}

fn asked(step: Result<Step, Fault>) -> Question {
    match step {
        Ok(Step::Ask(Request::Offer(question) | Request::Answer(question))) => question,
        other => panic!("no question: {other:?}"),
    }
}

fn told(step: Result<Step, Fault>) -> String {
    match step {
        Ok(Step::Told(text)) => String::from_utf8(text.to_vec()).unwrap(),
        other => panic!("not known: {other:?}"),
    }
}
