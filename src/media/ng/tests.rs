//! Requests as they go over the wire, and replies as Debian's rtpengine 10.5 writes them.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::*;
use crate::media::bencode::Value;
use crate::media::figures::Heard;

#[test]
fn a_ping_is_the_one_of_the_documentation() {
    let wire = Request::Ping.write("5323_1").unwrap();

    assert_eq!(wire, b"5323_1 d7:command4:pinge");
    let (cookie, body) = split_cookie(b"5323_1 d6:result4:ponge").unwrap();
    assert_eq!(cookie, b"5323_1");
    assert_eq!(Request::Ping.read_reply(body), Ok(Reply::Pong));
}

#[test]
fn the_first_offer_says_all_that_matters() {
    let exchange = Exchange {
        shape: Shape {
            protocol: Some(Protocol::Srtp),
            family: Some(Family::V6),
            suites: [Suite::Aes256Gcm, Suite::Aes128Sha1Tag80]
                .into_iter()
                .collect(),
            interfaces: Some(["inside".into(), "outside".into()]),
        },
        ..exchange()
    };

    let wire = Request::Offer(exchange).write("c").unwrap();

    let body = &wire[2..];
    let value = Value::read(body).unwrap();
    let expected = [
        ("DTLS", "off"),
        ("ICE", "remove"),
        (
            "SDES",
            "pad no-AES_192_CM_HMAC_SHA1_80 no-AES_192_CM_HMAC_SHA1_32 no-F8_128_HMAC_SHA1_80 no-F8_128_HMAC_SHA1_32 \
             no-NULL_HMAC_SHA1_80 no-NULL_HMAC_SHA1_32 no-AEAD_AES_128_GCM no-AES_256_CM_HMAC_SHA1_80 \
             no-AES_256_CM_HMAC_SHA1_32 no-AES_CM_128_HMAC_SHA1_32",
        ),
        ("address family", "IP6"),
        ("call-id", "call-1"),
        ("command", "offer"),
        ("direction", "inside outside"),
        (
            "flags",
            "port-latching trust-address asymmetric strict-source",
        ),
        ("from-tag", "alice"),
        ("label", "caller"),
        ("replace", "origin session-connection"),
        ("sdp", "v=0"),
        ("transport-protocol", "RTP/SAVP"),
        ("via-branch", "bob"),
    ];
    assert_eq!(
        flat(&value),
        expected.map(|(key, value)| (key.into(), value.into()))
    );
}

#[test]
fn an_answer_and_what_the_buyer_offers_name_both_sides() {
    let mut answer = exchange();
    answer.sources = Sources::Learned(Ipv4Addr::new(192, 0, 2, 9).into());
    let mut again = exchange();
    again.offerer = Party::Buyer;
    again.is_first = false;

    let answer = Request::Answer(answer).write("c").unwrap();
    let again = Request::Offer(again).write("c").unwrap();

    let value = Value::read(&answer[2..]).unwrap();
    let of = |value: &Value<'_>, key: &str| {
        let all = flat(value);
        all.into_iter()
            .find(|(name, _)| name == key)
            .map(|(_, v)| v)
    };
    assert_eq!(of(&value, "from-tag").as_deref(), Some("alice"));
    assert_eq!(of(&value, "to-tag").as_deref(), Some("bob"));
    assert_eq!(of(&value, "label").as_deref(), Some("buyer"));
    assert_eq!(of(&value, "via-branch").as_deref(), Some("bob"));
    assert_eq!(
        of(&value, "received-from").as_deref(),
        Some("IP4 192.0.2.9")
    );
    assert_eq!(
        of(&value, "flags").as_deref(),
        Some("port-latching SIP-source-address strict-source")
    );
    let value = Value::read(&again[2..]).unwrap();
    assert_eq!(of(&value, "from-tag").as_deref(), Some("bob"));
    assert_eq!(of(&value, "to-tag").as_deref(), Some("alice"));
    assert_eq!(of(&value, "label").as_deref(), Some("buyer"));
    assert_eq!(of(&value, "via-branch"), None);
}

#[test]
fn an_attempt_or_the_whole_call_is_deleted() {
    let attempt = Request::Delete(names(), Scope::Attempt).write("c").unwrap();
    let call = Request::Delete(names(), Scope::Call).write("c").unwrap();

    assert_eq!(
        attempt,
        b"c d7:call-id6:call-17:command6:delete12:delete delayi0e8:from-tag5:alice6:to-tag3:bob10:via-branch3:bobe"
    );
    assert_eq!(
        call,
        b"c d7:call-id6:call-17:command6:delete12:delete delayi0e8:from-tag5:alicee"
    );
    let unknown = b"d7:warning40:Call-ID not found or tags didn't match..6:result2:oke";
    let reply = Request::Delete(names(), Scope::Call).read_reply(unknown);
    assert_eq!(reply, Ok(Reply::Deleted(None)));
}

#[test]
fn a_request_that_no_datagram_holds_is_not_written() {
    let mut exchange = exchange();
    exchange.sdp = vec![b'a'; MOST_REQUEST].into();

    assert_eq!(Request::Offer(exchange).write("c"), Err(Fault::TooLong));
}

#[test]
fn replies_that_refuse_say_why_in_words_that_can_be_logged() {
    let table: [(&[u8], Fault); 7] = [
        (
            b"d6:result5:error12:error-reason19:Failed to parse SDPe",
            Fault::Refused(Words("Failed to parse SDP".into())),
        ),
        (
            b"d6:result5:error12:error-reason17:Ran out of\r\nports",
            Fault::Unreadable(bencode::Fault::Short),
        ),
        (
            b"d6:result5:error12:error-reason17:Ran out of\r\nportse",
            Fault::Full(Words("Ran out of..ports".into())),
        ),
        (
            b"d6:result10:load limit7:message30:Parallel session limit reachede",
            Fault::Full(Words("Parallel session limit reached".into())),
        ),
        (b"d6:result5:errore", Fault::Refused(Words("error".into()))),
        (b"de", Fault::Missing("result")),
        (b"d6:result2:oke", Fault::Missing("sdp")),
    ];

    for (body, fault) in table {
        let offer = Request::Offer(exchange());
        assert_eq!(offer.read_reply(body), Err(fault));
    }
    assert_eq!(Words::new(&[b'x'; 5000]).to_string().len(), MOST_WORDS);
}

#[test]
fn an_offer_gives_the_body_for_the_other_party() {
    let reply = Request::Offer(exchange()).read_reply(b"d3:sdp5:v=0\r\n6:result2:oke");

    assert_eq!(reply, Ok(Reply::Sdp("v=0\r\n".into())));
}

/// Cut down from what rtpengine 10.5.3.5 replied to a delete, in its order of keys.
#[test]
fn totals_become_the_figures_of_both_parties() {
    let stream = |port: u16, kind: &str, packets: u64, bytes: u64, errors: u64, more: &str| {
        format!(
            "d10:local porti{port}e8:endpointd6:family4:IPv47:address9:192.0.2.74:porti{port}ee\
             5:flagsl{}:{kind}6:fillede{more}5:statsd7:packetsi{packets}e5:bytesi{bytes}e6:errorsi{errors}eee",
            kind.len()
        )
    };
    let tag = |name: &str, streams: &str| {
        format!(
            "{}:{name}d3:tag{}:{name}6:mediasld5:indexi1e7:streamsl{streams}eeee",
            name.len(),
            name.len()
        )
    };
    let alice = [
        stream(4000, "RTP", 500, 86_000, 20, "4:SSRCi77e"),
        stream(4001, "RTCP", 4, 400, 1, ""),
    ]
    .concat();
    let bob = [
        stream(5000, "RTP", 0, 0, 0, ""),
        stream(5001, "RTCP", 0, 0, 0, ""),
    ]
    .concat();
    let body = format!(
        "d7:createdi1e4:SSRCd2:77d11:average MOSd3:MOSi43e6:jitteri7e11:packet lossi2eeee4:tagsd{}{}e6:result2:oke",
        tag("alice", &alice),
        tag("bob", &bob)
    );

    let reply = Request::Delete(names(), Scope::Call).read_reply(body.as_bytes());

    let caller = Heard {
        packets: 480,
        bytes: 76_800,
        dropped: 21,
        rtcp: 3,
        jitter: Duration::from_millis(7),
        jitter_max: Duration::from_millis(7),
        mos: Some(430),
        source: Some("192.0.2.7:4000".parse().unwrap()),
        ..Heard::default()
    };
    let expected = Box::new(Figures {
        parties: [caller, Heard::default()],
    });
    assert_eq!(reply, Ok(Reply::Deleted(Some(expected.clone()))));
    let reply = Request::Query(names()).read_reply(body.as_bytes());
    assert_eq!(reply, Ok(Reply::Figures(expected)));
}

#[test]
fn only_the_first_offer_of_an_attempt_may_go_elsewhere() {
    let first = exchange();
    let mut later = exchange();
    later.is_first = false;
    let mut buyers = exchange();
    buyers.offerer = Party::Buyer;

    assert!(Request::Offer(first.clone()).begins_a_call());
    assert!(!Request::Offer(later).begins_a_call());
    assert!(Request::Offer(buyers).begins_a_call());
    assert!(!Request::Answer(first).begins_a_call());
    assert!(!Request::Query(names()).begins_a_call());
}

fn names() -> Names {
    Names {
        call: "call-1".into(),
        caller: "alice".into(),
        buyer: "bob".into(),
    }
}

fn exchange() -> Exchange {
    Exchange {
        names: names(),
        offerer: Party::Caller,
        is_first: true,
        sdp: Bytes::from_static(b"v=0"),
        sources: Sources::Announced,
        shape: Shape::default(),
    }
}

/// A dictionary's keys, which must be in order, with their values as text.
fn flat(value: &Value<'_>) -> Vec<(String, String)> {
    let show = |value: &Value<'_>| {
        let own = value.text().into_iter();
        let items = value.items().iter().filter_map(Value::text);
        let all = own.chain(items).map(String::from_utf8_lossy);
        all.collect::<Vec<_>>().join(" ")
    };
    let entries: Vec<_> = value
        .entries()
        .map(|(key, value)| (String::from_utf8_lossy(key).into_owned(), show(value)))
        .collect();
    assert!(entries.is_sorted_by(|one, next| one.0 < next.0));
    entries
}
