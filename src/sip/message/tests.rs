use super::*;

const INVITE: &str = "INVITE sip:+18885550100@edge.example.com SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Alice\" <sip:+12125550100@example.com>;tag=1928301774\r\n\
    To: <sip:+18885550100@edge.example.com>\r\n\
    Call-ID: a84b4c76e66710@192.0.2.1\r\n\
    CSeq: 314159 INVITE\r\n\
    Contact: <sip:alice@192.0.2.1:5060;transport=udp>\r\n\
    Content-Length: 4\r\n\
    \r\n\
    v=0\n";

#[test]
fn an_invite_says_what_it_must() {
    let request = request(INVITE);

    let essentials = request.essentials().unwrap();

    assert_eq!(request.method, Method::Invite);
    assert_eq!(essentials.uri.dialled(), Some(&b"+18885550100"[..]));
    assert_eq!(essentials.via.branch(), Some(&b"z9hG4bK776asdhds"[..]));
    assert_eq!(essentials.via.rport(), Some(None));
    assert_eq!(essentials.from.tag(), Some(&b"1928301774"[..]));
    assert_eq!(essentials.to.tag(), None);
    assert_eq!(essentials.call_id, b"a84b4c76e66710@192.0.2.1");
    assert_eq!(essentials.cseq, 314_159);
    assert_eq!(essentials.max_forwards, Some(70));
    let contact = essentials.contact.unwrap();
    assert_eq!(contact.uri, b"sip:alice@192.0.2.1:5060;transport=udp");
    assert_eq!(request.head.body(), b"v=0\n");
}

#[test]
fn a_response_says_what_it_must() {
    let text = INVITE
        .replace(
            "INVITE sip:+18885550100@edge.example.com SIP/2.0",
            "SIP/2.0 180",
        )
        .replace(
            "To: <sip:+18885550100@edge.example.com>",
            "To: sip:b@example.com;tag=a",
        );
    let Ok(Message::Response(response)) = parse(text.as_bytes()) else {
        panic!("a response");
    };

    let essentials = response.essentials().unwrap();

    assert_eq!((response.status, response.reason), (180, &b""[..]));
    assert_eq!(essentials.method, Method::Invite);
    assert_eq!(essentials.cseq, 314_159);
    assert_eq!(essentials.to.tag(), Some(&b"a"[..]));
    assert_eq!(essentials.to.uri, b"sip:b@example.com");
}

#[test]
fn start_lines_are_read_strictly() {
    let table = [
        ("INVITE sip:a@b SIP/3.0", Some(ParseError::Version)),
        ("INVITE sip:a@b sip/2.0", None),
        ("INVITE sip:a@b SIP/2.0 ", Some(ParseError::StartLine)),
        ("INVITE  sip:a@b SIP/2.0", Some(ParseError::StartLine)),
        ("INVITE sip:a@b  SIP/2.0", Some(ParseError::StartLine)),
        ("INVITE sip:a b SIP/2.0", Some(ParseError::StartLine)),
        ("INVITE SIP/2.0", Some(ParseError::StartLine)),
        ("INV<ITE sip:a@b SIP/2.0", Some(ParseError::StartLine)),
        ("INVITE sip:a@b SIP/2", Some(ParseError::StartLine)),
        ("INVITE sip:a@b", Some(ParseError::NotSip)),
        ("GET / HTTP/1.1", Some(ParseError::NotSip)),
        ("SIP/2.0 200 OK", None),
        ("SIP/2.0 200", None),
        ("SIP/2.0 200 ", None),
        ("SIP/2.0 700 No", Some(ParseError::StartLine)),
        ("SIP/2.0 99 No", Some(ParseError::StartLine)),
        ("SIP/2.0 0200 No", Some(ParseError::StartLine)),
        ("SIP/7.0 200 OK", Some(ParseError::Version)),
    ];
    for (line, fault) in table {
        let text = format!("{line}\r\n\r\n");

        assert_eq!(
            parse(text.as_bytes()).err().map(|bad| bad.error),
            fault,
            "{line:?}"
        );
    }
}

#[test]
fn essentials_out_of_range_are_refused() {
    let cseq = ParseError::Invalid(Name::CSeq);
    let hops = ParseError::Invalid(Name::MaxForwards);
    let call_id = ParseError::Invalid(Name::CallId);
    let table = [
        ("314159 INVITE", "314159 BYE", ParseError::CSeqMethod),
        ("314159 INVITE", "314159 invite", ParseError::CSeqMethod),
        ("314159 INVITE", "2147483648 INVITE", cseq),
        ("314159 INVITE", "1INVITE", cseq),
        ("314159 INVITE", "1", cseq),
        ("314159 INVITE", "-1 INVITE", cseq),
        ("314159 INVITE", "1 INVITE x", cseq),
        ("wards: 70", "wards: 256", hops),
        ("wards: 70", "wards: -1", hops),
        ("wards: 70", "wards: ", hops),
        ("wards: 70", "wards: 7 0", hops),
        ("a84b4c76e66710@192", "a84b 4c76e66710@192", call_id),
        ("ID: a84b4c76e66710@192.0.2.1", "ID:", call_id),
        ("Via: ", "X: ", ParseError::Missing(Name::Via)),
        ("From: ", "X: ", ParseError::Missing(Name::From)),
        ("To: ", "X: ", ParseError::Missing(Name::To)),
        ("Call-ID: ", "X: ", ParseError::Missing(Name::CallId)),
        ("CSeq: ", "X: ", ParseError::Missing(Name::CSeq)),
        (
            "SIP/2.0/UDP 192",
            "SIP/3.0/UDP 192",
            ParseError::Invalid(Name::Via),
        ),
        ("\"Alice\" <", "\"Alice <", ParseError::Invalid(Name::From)),
        ("To: <sip:", "To: < sip:", ParseError::Invalid(Name::To)),
        ("<sip:alice@", "<alice@", ParseError::Invalid(Name::Contact)),
        ("INVITE sip:", "INVITE <sip:", ParseError::Uri),
        (
            "edge.example.com SIP",
            "edge.example.com?Route=x SIP",
            ParseError::Uri,
        ),
    ];
    for (from, to, fault) in table {
        let text = INVITE.replacen(from, to, 1);

        assert_eq!(request(&text).essentials().unwrap_err(), fault, "{to:?}");
    }
}

#[test]
fn what_rfc_2543_peers_leave_out_may_be_missing() {
    let text = INVITE
        .replace("Max-Forwards: 70\r\n", "")
        .replace(";tag=1928301774", "")
        .replace(";branch=z9hG4bK776asdhds;rport", "")
        .replace("Content-Length: 4\r\n", "");
    let request = request(&text);

    let essentials = request.essentials().unwrap();

    assert_eq!(essentials.max_forwards, None);
    assert_eq!(essentials.from.tag(), None);
    assert_eq!(essentials.via.branch(), None);
    assert_eq!(request.head.body(), b"v=0\n");
}

#[test]
fn the_largest_cseq_and_an_unknown_method_are_well() {
    let text = INVITE
        .replace("INVITE sip:", "x-Try~1 sip:")
        .replace("314159 INVITE", "02147483647\r\n x-Try~1");
    let request = request(&text);

    assert_eq!(request.method, Method::Other(b"x-Try~1"));
    assert_eq!(request.method.label(), "other");
    assert_eq!(request.essentials().unwrap().cseq, (1 << 31) - 1);
}

#[test]
fn a_star_and_a_list_are_contacts() {
    for (contact, uri) in [
        ("*", &b"*"[..]),
        ("<sip:a@192.0.2.1>, <sip:b@192.0.2.1>", b"sip:a@192.0.2.1"),
        ("tel:+12125550100", b"tel:+12125550100"),
    ] {
        let text = INVITE.replace("<sip:alice@192.0.2.1:5060;transport=udp>", contact);

        assert_eq!(
            request(&text).essentials().unwrap().contact.unwrap().uri,
            uri
        );
    }
}

#[test]
fn a_refused_request_can_be_answered_if_its_lines_are_there() {
    let text = INVITE.replace(
        "Max-Forwards: 70",
        "X-PH-RetreaverKey\0: 1\r\nSubject: a\rb",
    );

    let malformed = parse(text.as_bytes()).unwrap_err();

    assert_eq!(malformed.error, ParseError::Nul);
    let request = malformed.answerable.unwrap();
    let names: Vec<_> = request
        .head
        .fields()
        .iter()
        .map(|field| field.name)
        .collect();
    assert_eq!(
        names,
        [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq]
    );
    assert_eq!(request.method, Method::Invite);
}

#[test]
fn a_refused_request_without_its_lines_is_not_answered() {
    for line in ["Via: ", "From: ", "To: ", "Call-ID: ", "CSeq: "] {
        let text = INVITE.replace(line, "X: ").replace("Max-Forwards", "\0");

        assert!(
            parse(text.as_bytes()).unwrap_err().answerable.is_none(),
            "{line}"
        );
    }
    let response = INVITE.replace(
        "INVITE sip:+18885550100@edge.example.com SIP/2.0",
        "SIP/3.0 200 OK",
    );
    assert!(parse(response.as_bytes()).unwrap_err().answerable.is_none());
}

#[test]
fn of_two_the_first_is_answered() {
    let text = INVITE.replace("Max-Forwards: 70", "From: <sip:first@example.com>;tag=1");

    let malformed = parse(text.as_bytes()).unwrap_err();

    assert_eq!(malformed.error, ParseError::Repeated(Name::From));
    let request = malformed.answerable.unwrap();
    let from: Vec<_> = request.head.all(Name::From).collect();
    assert_eq!(from, [b"<sip:first@example.com>;tag=1"]);
}

#[test]
fn a_request_uri_over_the_limit_earns_414() {
    let text = INVITE.replacen("+18885550100@edge", &"1".repeat(MAX_LINE), 1);

    let malformed = parse(text.as_bytes()).unwrap_err();

    assert_eq!(malformed.error.status(), Some(414));
    assert!(malformed.answerable.is_some());
}

#[test]
fn empty_lines_in_front_are_skipped() {
    let text = format!("\r\n\r\n{INVITE}");

    assert_eq!(request(&text).head.body(), b"v=0\n");
}

fn request(text: &str) -> Request<'_> {
    match parse(text.as_bytes()) {
        Ok(Message::Request(request)) => request,
        other => panic!("a request, not {other:?}"),
    }
}
