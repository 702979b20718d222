use super::*;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_via_is_read_with_all_the_white_space_it_may_have() {
    for value in [
        "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;ttl=1",
        "SIP / 2.0\r\n / UDP\r\n\t192.0.2.1 : 5060 ; branch = z9hG4bKa ; ttl=1",
        "sip/2.0/UDP  192.0.2.1: 5060\r\n ;Branch\t=z9hG4bKa;ttl = 1 ",
    ] {
        let via = Via::parse(value.as_bytes()).unwrap();

        assert_eq!(text(via.transport), "UDP");
        assert_eq!(via.host, Host::V4([192, 0, 2, 1].into()));
        assert_eq!(via.port, Some(5060));
        assert_eq!(via.branch(), Some(&b"z9hG4bKa"[..]));
        assert_eq!(via.params.get("TTL"), Some(Some(&b"1"[..])));
        assert_eq!(via.rport(), None);
        assert_eq!(text(via.text), value.trim());
    }
}

#[test]
fn vias_on_one_line_are_told_apart() {
    let value = b"SIP/2.0/TLS [2001:db8::9:1];branch=z9hG4bKa;rport, SIP/2.0/UDP h.example.com:5070 ;rport=9;received=2001:db8::1";

    let vias: Vec<_> = Via::parse_all(value).collect::<Result<_, _>>().unwrap();

    let [top, second] = &vias[..] else {
        panic!("two values");
    };
    assert_eq!(top.host, Host::V6("2001:db8::9:1".parse().unwrap()));
    assert_eq!(
        text(top.text),
        "SIP/2.0/TLS [2001:db8::9:1];branch=z9hG4bKa;rport"
    );
    assert_eq!((top.port, top.rport()), (None, Some(None)));
    assert_eq!(second.host, Host::Name(b"H.example.com"));
    assert_eq!(second.rport(), Some(Some(&b"9"[..])));
    assert_eq!(second.received(), Some(&b"2001:db8::1"[..]));
    assert_eq!(second.branch(), None);
}

#[test]
fn a_via_against_the_grammar_is_refused() {
    for value in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0/ 192.0.2.1",
        "SIP/2.0 UDP 192.0.2.1",
        "SIP/3.0/UDP 192.0.2.1",
        "SIP/2.0/UDP 192.0.2.1;;branch=a",
        "SIP/2.0/UDP 192.0.2.1;branch=",
        "SIP/2.0/UDP 192.0.2.1;branch",
        "SIP/2.0/UDP 192.0.2.1;branch=a;x;Branch=a",
        "SIP/2.0/UDP 192.0.2.1;=a",
        "SIP/2.0/UDP 192.0.2.1;",
        "SIP/2.0/UDP 192.0.2.1 branch=a",
        "SIP/2.0/UDP 192.0.2.1:",
        "SIP/2.0/UDP 192.0.2.1:65536",
        "SIP/2.0/UDP 192.0.2.1:5060x",
        "SIP/2.0/UDP 2001:db8::1",
        "SIP/2.0/UDP [192.0.2.1",
        "SIP/2.0/UDP [192.0.2.1]",
        "SIP/2.0/UDP 192.0.2.1;a=\"b",
    ] {
        let fault = Via::parse(value.as_bytes()).map(|_| ()).unwrap_err();

        assert_eq!(fault, ParseError::Invalid(Name::Via), "{value:?}");
    }
}

#[test]
fn an_address_is_read_in_each_of_its_forms() {
    let table = [
        ("<sip:a@b>;tag=1", "", "sip:a@b", Some("1")),
        ("sip:a@b;tag=1", "", "sip:a@b", Some("1")),
        ("sip:a@b", "", "sip:a@b", None),
        ("sip:a@b ; x ;\r\n tag = 1", "", "sip:a@b", Some("1")),
        (
            "A B<sip:a@b;tag=no>;Tag=1",
            "A B",
            "sip:a@b;tag=no",
            Some("1"),
        ),
        (
            "\"A\\\" <sip:no>, ;tag=no\" <sip:a@b>;x=\";tag=2\";tag=1",
            "\"A\\\" <sip:no>, ;tag=no\"",
            "sip:a@b",
            Some("1"),
        ),
        ("\"\"\r\n <sip:a@b>", "\"\"", "sip:a@b", None),
        ("<sip:a,b;c?d@h>", "", "sip:a,b;c?d@h", None),
        ("<tel:+1212>;tag=a.b~c", "", "tel:+1212", Some("a.b~c")),
        ("*", "", "*", None),
    ];
    for (value, display, uri, tag) in table {
        let address = NameAddr::parse(value.as_bytes()).expect(value);

        assert_eq!(text(address.display), display);
        assert_eq!(text(address.uri), uri);
        assert_eq!(address.tag().map(text), tag);
        assert_eq!(text(address.text), value);
    }
}

#[test]
fn an_address_against_the_grammar_is_refused() {
    for value in [
        "",
        "<sip:a@b",
        "sip:a@b>",
        "\"A <sip:a@b>",
        "\"A\" sip:a@b",
        "\"A\\\"<sip:a@b>",
        "A \"B\" <sip:a@b>",
        "<sip:a@b>x",
        "<sip:a@b>;",
        "<sip:a@b>;;tag=1",
        "<sip:a@b>;tag=",
        "<sip:a@b>;tag",
        "<sip:a@b>;tag=1;TAG=2",
        "<sip:a@b>;tag=\"1",
        "<sip:a@b>, <sip:c@d>",
        "<sip:a@b>,",
        "A, B <sip:a@b>",
        "sip:a@b?Route=x",
        "sip:a b",
    ] {
        assert!(NameAddr::parse(value.as_bytes()).is_err(), "{value:?}");
    }
}

#[test]
fn a_list_of_addresses_is_told_apart() {
    let value = b"<sip:a@b;lr>,\r\n \"x, y\" <sip:c@d>;q=0.5 , sip:e@f";

    let uris: Vec<_> = name_addrs(value)
        .map(|address| text(address.unwrap().uri))
        .collect();

    assert_eq!(uris, ["sip:a@b;lr", "sip:c@d", "sip:e@f"]);
    assert!(NameAddr::parse_first(value).is_ok());
    let faults: Vec<_> = name_addrs(b"<sip:a@b>, ")
        .map(|address| address.is_ok())
        .collect();
    assert_eq!(faults, [true, false]);
}

#[test]
fn parameters_are_given_as_written() {
    let address = NameAddr::parse(b"<sip:a@b> ;lr ; a = \"x;\\\"y\" ;b=1=2;B=3").unwrap();

    let params: Vec<_> = address
        .params
        .iter()
        .map(|(name, value)| (text(name), value.map(text)))
        .collect();
    assert_eq!(
        params,
        [
            ("lr", None),
            ("a", Some("\"x;\\\"y\"")),
            ("b", Some("1=2")),
            ("B", Some("3"))
        ]
    );
    assert_eq!(address.params.get("b"), Some(Some(&b"1=2"[..])));
    assert_eq!(address.params.get("LR"), Some(None));
    assert_eq!(address.params.get("c"), None);
}

#[test]
fn digest_parameters_are_given_without_quotes() {
    let value = b"Digest username=\"a\\\"b, c=d\" ,\r\n realm = \"\", qop=auth,nc=00000001,, uri=\"sip:h;transport=tcp\"";

    let params = AuthParams::parse(value).unwrap();

    assert_eq!(text(params.scheme), "Digest");
    let pairs: Vec<_> = params
        .iter()
        .map(|(name, value, is_quoted)| (text(name), text(value), is_quoted))
        .collect();
    assert_eq!(
        pairs,
        [
            ("username", "a\\\"b, c=d", true),
            ("realm", "", true),
            ("qop", "auth", false),
            ("nc", "00000001", false),
            ("uri", "sip:h;transport=tcp", true),
        ]
    );
    assert_eq!(params.get("NC"), Some(&b"00000001"[..]));
}

#[test]
fn digest_parameters_against_the_grammar_are_refused() {
    for value in [
        "",
        "Digest",
        "Digest a",
        "Digest a=\"b",
        "Digest a=\"b\" c=d",
        "Digest =b",
        "Digest a b=c",
        "Basic YWxhZGRpbjpvcGVuc2VzYW1l",
        ", a=b",
    ] {
        assert!(AuthParams::parse(value.as_bytes()).is_err(), "{value:?}");
    }
}
