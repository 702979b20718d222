use std::net::SocketAddr;

use super::*;
use crate::sip::flow::{Flow, ListenerId, PeerId};

fn flow(remote: &str) -> Flow {
    Flow {
        transport: Transport::Udp,
        listener: ListenerId(0),
        remote: remote.parse::<SocketAddr>().unwrap(),
        peer: PeerId::NOBODY,
    }
}

fn request(text: &str) -> Request<'_> {
    match parse(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("a request, not {other:?}"),
    }
}

fn text(message: Result<Bytes, BuildError>) -> String {
    String::from_utf8(message.unwrap().to_vec()).unwrap()
}

fn reply(request_text: &str, remote: &str, status: u16, tag: Option<&[u8]>) -> String {
    let head = ReplyHead::new(&request(request_text), &flow(remote));
    text(Writer::reply(&mut Vec::new(), &head, status, tag).finish(b""))
}

/// A request with this Via and this To.
fn asked(via: &str, to: &str) -> String {
    format!(
        "INVITE sip:b@example.com SIP/2.0\r\nv: {via}\r\nVia: SIP/2.0/UDP 192.0.2.9,\r\n SIP/2.0/UDP 192.0.2.8\r\n\
         Record-Route: <sip:p1.example.com;lr>\r\nf: <sip:a@example.com>;tag=1\r\nt: {to}\r\n\
         i: c\r\nCSeq: 1  INVITE\r\nRecord-Route: <sip:p2.example.com;lr>\r\nContact: <sip:a@192.0.2.1>\r\n\r\n"
    )
}

#[test]
fn a_request_is_written_in_order_with_its_length_last() {
    let mut buf = b"left over".to_vec();

    let mut writer = Writer::request(&mut buf, Method::Bye, b"sip:b@192.0.2.7;lr");
    writer
        .via(Transport::Tcp, "192.0.2.1:5060", b"00aa")
        .number("Max-Forwards", 70)
        .parts("From", &[b"<sip:a@example.com>", b";tag=", b"1"])
        .field("X-Empty", b"");

    assert_eq!(
        text(writer.finish(b"body")),
        "BYE sip:b@192.0.2.7;lr SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK00aa;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nX-Empty: \r\nContent-Length: 4\r\n\r\nbody"
    );
}

#[test]
fn one_bad_byte_anywhere_poisons_the_message() {
    for bad in ["a\rb", "a\nb", "a\0b", "a\r\nX: b", "a\r\n b"] {
        let buf = &mut Vec::new();
        let bytes = bad.as_bytes();
        let mut results = Vec::new();

        let mut writer = Writer::response(buf, 200, "OK");
        writer.field("A", bytes);
        results.push(writer.finish(b""));
        let mut writer = Writer::response(buf, 200, "OK");
        writer.parts("A", &[b"x", bytes]);
        results.push(writer.finish(b""));
        let mut writer = Writer::response(buf, 200, "OK");
        writer.field(bad, b"x");
        results.push(writer.finish(b""));
        let mut writer = Writer::response(buf, 200, "OK");
        writer.via(Transport::Udp, bad, b"x");
        results.push(writer.finish(b""));
        let mut writer = Writer::response(buf, 200, "OK");
        writer.via(Transport::Udp, "h", bytes);
        results.push(writer.finish(b""));
        results.push(Writer::response(buf, 200, bad).finish(b""));
        results.push(Writer::request(buf, Method::Bye, bytes).finish(b""));
        results.push(Writer::request(buf, Method::Other(bytes), b"sip:a").finish(b""));
        let head = ReplyHead::new(
            &request(&asked("SIP/2.0/UDP h", "<sip:b@h>")),
            &flow("192.0.2.1:1"),
        );
        results.push(Writer::reply(buf, &head, 200, Some(bytes)).finish(b""));

        assert_eq!(results, vec![Err(BuildError::Poisoned); 9], "{bad:?}");
    }
}

#[test]
fn names_and_uris_cannot_hold_what_ends_them() {
    let buf = &mut Vec::new();
    for name in ["", "A B", "A:", "A\u{e9}"] {
        let mut writer = Writer::response(buf, 200, "OK");
        writer.foreign(name, b"x");
        assert_eq!(writer.finish(b""), Err(BuildError::Poisoned), "{name:?}");
    }
    for uri in ["", "sip:a b", "<sip:a>"] {
        let writer = Writer::request(buf, Method::Bye, uri.as_bytes());
        assert_eq!(writer.finish(b""), Err(BuildError::Poisoned), "{uri:?}");
    }
    assert_eq!(
        Writer::response(buf, 99, "No").finish(b""),
        Err(BuildError::Poisoned)
    );
}

#[test]
fn a_message_over_the_limit_is_not_made() {
    let buf = &mut Vec::new();
    let head = Writer::response(buf, 200, "OK").finish(b"").unwrap();
    let four_more_digits = 4;
    let body = vec![b'x'; 65_507 - head.len() - four_more_digits];

    let longest = Writer::response(buf, 200, "OK").finish(&body).unwrap();
    let longer = Writer::response(buf, 200, "OK").finish(&[&body[..], b"x"].concat());

    // 65,535 bytes of an IPv4 packet, less its header of 20 and UDP's of 8.
    assert_eq!(longest.len(), 65_507);
    assert_eq!(longer, Err(BuildError::TooLong));
}

#[test]
fn a_copied_header_is_unfolded_and_gets_its_full_name() {
    let source = request(
        "INVITE sip:b@h SIP/2.0\r\ns: a\r\n \t b\r\n\tc\r\nx-ANY : d\r\nContent-Length: 3\r\n\r\nabc",
    );
    let buf = &mut Vec::new();
    let mut writer = Writer::response(buf, 200, "OK");

    for field in source.head.fields() {
        writer.copy(&source.head, field);
    }

    assert_eq!(
        text(writer.finish(b"")),
        "SIP/2.0 200 OK\r\nSubject: a b c\r\nx-ANY: d\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn a_received_value_may_have_folds_but_no_line_of_its_own() {
    let buf = &mut Vec::new();
    let mut writer = Writer::response(buf, 200, "OK");
    writer.cseq(7, Method::Bye).unfolded("To", b"a\r\n b");
    assert_eq!(
        text(writer.finish(b"")),
        "SIP/2.0 200 OK\r\nCSeq: 7 BYE\r\nTo: a b\r\nContent-Length: 0\r\n\r\n"
    );

    for bad in [&b"a\r\nX: b"[..], b"a\rb", b"a\r\n", b"a\0b"] {
        let mut writer = Writer::response(buf, 200, "OK");
        writer.unfolded("To", bad);
        assert_eq!(writer.finish(b""), Err(BuildError::Poisoned), "{bad:?}");
    }
}

#[test]
fn a_response_repeats_what_it_must() {
    let asked = asked(
        "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa",
        "\"B, c\"\r\n <sip:b@example.com>",
    );

    assert_eq!(
        reply(&asked, "192.0.2.1:5060", 180, Some(b"t1")),
        "SIP/2.0 180 Ringing\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\n\
         Via: SIP/2.0/UDP 192.0.2.9, SIP/2.0/UDP 192.0.2.8\r\nFrom: <sip:a@example.com>;tag=1\r\n\
         To: \"B, c\" <sip:b@example.com>;tag=t1\r\nCall-ID: c\r\nCSeq: 1  INVITE\r\n\
         Record-Route: <sip:p1.example.com;lr>\r\nRecord-Route: <sip:p2.example.com;lr>\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn the_to_tag_is_added_where_there_is_none() {
    let table: [(&str, Option<&[u8]>, &str); 5] = [
        ("sip:b@h", Some(b"t1"), "sip:b@h;tag=t1"),
        ("<sip:b@h>;x=y", Some(b"t1"), "<sip:b@h>;x=y;tag=t1"),
        ("<sip:b@h;tag=no>", Some(b"t1"), "<sip:b@h;tag=no>;tag=t1"),
        ("<sip:b@h>;Tag=own", Some(b"t1"), "<sip:b@h>;Tag=own"),
        ("<sip:b@h>", None, "<sip:b@h>"),
    ];
    for (to, tag, expected) in table {
        let response = reply(
            &asked("SIP/2.0/UDP 192.0.2.1", to),
            "192.0.2.1:5060",
            200,
            tag,
        );

        assert!(
            response.contains(&format!("\r\nTo: {expected}\r\n")),
            "{response}"
        );
    }
}

#[test]
fn record_route_goes_into_what_makes_a_dialog_only() {
    let asked = asked("SIP/2.0/UDP 192.0.2.1", "<sip:b@h>");
    for (status, has_it) in [
        (100, false),
        (101, true),
        (200, true),
        (299, true),
        (300, false),
        (486, false),
    ] {
        let response = reply(&asked, "192.0.2.1:5060", status, None);

        assert_eq!(response.contains("Record-Route"), has_it, "{status}");
    }
}

/// RFC 3261 §18.2.1 and RFC 3581 §4: the packet's address, never what the peer wrote there.
#[test]
fn the_top_via_says_where_the_packet_came_from() {
    let table = [
        ("192.0.2.1;branch=a", "192.0.2.1;branch=a"),
        ("192.0.2.1:9;branch=a", "192.0.2.1:9;branch=a"),
        (
            "192.0.2.7;branch=a",
            "192.0.2.7;branch=a;received=192.0.2.1",
        ),
        ("h.example.com", "h.example.com;received=192.0.2.1"),
        (
            "192.0.2.1;rport;branch=a",
            "192.0.2.1;branch=a;rport=6000;received=192.0.2.1",
        ),
        (
            "192.0.2.1;rport=1;branch=a",
            "192.0.2.1;branch=a;rport=6000;received=192.0.2.1",
        ),
        (
            "192.0.2.1;branch=a;received=192.0.2.66",
            "192.0.2.1;branch=a",
        ),
        (
            "192.0.2.7;Received=192.0.2.66;branch=a",
            "192.0.2.7;branch=a;received=192.0.2.1",
        ),
        (
            "192.0.2.7 ;\r\n branch=a ; x=\"y;rport\"",
            "192.0.2.7;branch=a;x=\"y;rport\";received=192.0.2.1",
        ),
        (
            "192.0.2.1;branch=a , SIP/2.0/UDP x;rport",
            "192.0.2.1;branch=a , SIP/2.0/UDP x;rport",
        ),
    ];
    for (via, expected) in table {
        let asked = asked(&format!("SIP/2.0/UDP {via}"), "<sip:b@h>");

        let response = reply(&asked, "192.0.2.1:6000", 200, None);

        let top = response.split("\r\n").nth(1).unwrap();
        assert_eq!(top, format!("Via: SIP/2.0/UDP {expected}"));
    }
}

#[test]
fn ipv6_sources_are_written_without_brackets_and_mapped_ones_as_ipv4() {
    let asked = asked("SIP/2.0/UDP [2001:db8::1];rport", "<sip:b@h>");
    assert!(
        reply(&asked, "[2001:db8::2]:7", 200, None).contains(";rport=7;received=2001:db8::2\r\n")
    );

    let asked = self::asked("SIP/2.0/UDP 192.0.2.1", "<sip:b@h>");
    assert!(!reply(&asked, "[::ffff:192.0.2.1]:7", 200, None).contains("received"));
}

#[test]
fn a_refused_request_is_answered_with_what_there_is() {
    let text = asked("SIP/2.0/UDP ;;,;", "\"x <sip:b@h>").replace("Contact", "Cont\0act");
    let malformed = parse(text.as_bytes()).unwrap_err();
    let head = ReplyHead::new(&malformed.answerable.unwrap(), &flow("192.0.2.1:5060"));

    let response = self::text(Writer::reply(&mut Vec::new(), &head, 400, Some(b"t1")).finish(b""));

    assert!(response.starts_with("SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP ;;,;\r\nVia: "));
    assert!(response.contains("\r\nTo: \"x <sip:b@h>;tag=t1\r\n"));
}

#[test]
fn a_header_that_was_not_sent_leaves_no_empty_line() {
    let asked = "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1\r\nCSeq: 1 OPTIONS\r\n\r\n";

    assert_eq!(
        reply(asked, "192.0.2.1:5060", 400, Some(b"t1")),
        "SIP/2.0 400 Bad Request\r\nVia: SIP/2.0/UDP 192.0.2.1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
}

const OURS: &str = "INVITE sip:b@192.0.2.7:5070;transport=udp SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77;rport\r\nMax-Forwards: 69\r\n\
    Route: <sip:p.example.com;lr>\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:b@example.com>\r\n\
    Call-ID: c\r\nCSeq: 7 INVITE\r\nContact: <sip:192.0.2.1>\r\nContent-Length: 3\r\n\r\nabc";

#[test]
fn the_ack_of_a_failure_is_the_invites_own_with_the_responses_to() {
    let response = "SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77;rport=1\r\n\
        f: <sip:a@example.com>;tag=1\r\nt: <sip:b@example.com>\r\n ;tag=9\r\ni: c\r\nCSeq: 7 INVITE\r\n\r\n";
    let Ok(Message::Response(response)) = parse(response.as_bytes()) else {
        panic!("a response");
    };

    assert_eq!(
        text(ack_for_failure(&mut Vec::new(), OURS.as_bytes(), &response)),
        "ACK sip:b@192.0.2.7:5070;transport=udp SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77;rport\r\nMax-Forwards: 70\r\n\
         Route: <sip:p.example.com;lr>\r\nFrom: <sip:a@example.com>;tag=1\r\n\
         To: <sip:b@example.com> ;tag=9\r\nCall-ID: c\r\nCSeq: 7 ACK\r\nContent-Length: 0\r\n\r\n"
    );
}

#[test]
fn the_cancel_is_the_invites_own() {
    assert_eq!(
        text(cancel_for(&mut Vec::new(), OURS.as_bytes(), b"")),
        "CANCEL sip:b@192.0.2.7:5070;transport=udp SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77;rport\r\nMax-Forwards: 70\r\n\
         Route: <sip:p.example.com;lr>\r\nFrom: <sip:a@example.com>;tag=1\r\n\
         To: <sip:b@example.com>\r\nCall-ID: c\r\nCSeq: 7 CANCEL\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(
        cancel_for(&mut Vec::new(), b"junk", b""),
        Err(BuildError::NoInvite)
    );
}
