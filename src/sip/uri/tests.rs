use super::*;

fn sip(text: &str) -> SipUri<'_> {
    match Uri::parse(text.as_bytes()) {
        Ok(Uri::Sip(uri)) => uri,
        other => panic!("{text}: a sip URI, not {other:?}"),
    }
}

#[test]
fn a_sip_uri_has_these_parts() {
    let uri = sip("SIPS:+1-212;isub=9:s%40c@Gateway.example.com:5061;user=phone;lr?to=a%40b&x=");

    assert!(uri.secure);
    assert_eq!(uri.user, Some(&b"+1-212;isub=9"[..]));
    assert_eq!(uri.password, Some(&b"s%40c"[..]));
    assert_eq!(uri.host, Host::Name(b"gateway.example.com"));
    assert_eq!(uri.host_text, b"Gateway.example.com");
    assert_eq!(uri.port, Some(5061));
    assert_eq!(uri.params.get("USER"), Some(Some(&b"phone"[..])));
    assert_eq!(uri.params.get("lr"), Some(None));
    assert_eq!(uri.headers, Some(&b"to=a%40b&x="[..]));
}

#[test]
fn a_user_may_look_like_almost_anything() {
    for user in [
        "john.doe",
        "+1.212.555.0100",
        "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*",
        "null-%00-null",
        "user;par=u%40example.net",
        "*72#",
        "caf\u{e9}",
    ] {
        let text = format!("sip:{user}@example.com");

        assert_eq!(sip(&text).user, Some(user.as_bytes()));
        assert_eq!(sip(&text).host, Host::Name(b"example.com"));
    }
}

#[test]
fn a_host_is_a_name_or_an_address() {
    let table = [
        ("192.0.2.1", Host::V4([192, 0, 2, 1].into()), None),
        (
            "192.0.2.1:5060",
            Host::V4([192, 0, 2, 1].into()),
            Some(5060),
        ),
        (
            "[2001:db8::10]:5070",
            Host::V6("2001:db8::10".parse().unwrap()),
            Some(5070),
        ),
        (
            "[2001:db8::10:5070]",
            Host::V6("2001:db8::10:5070".parse().unwrap()),
            None,
        ),
        (
            "[2001:db8:::192.0.2.1]",
            Host::V6("2001:db8::192.0.2.1".parse().unwrap()),
            None,
        ),
        ("1.2.3", Host::Name(b"1.2.3"), None),
        ("192.0.2.01", Host::Name(b"192.0.2.01"), None),
        ("192.0.2.256", Host::Name(b"192.0.2.256"), None),
        ("1.2.3.4.5", Host::Name(b"1.2.3.4.5"), None),
        ("a_b.example.com", Host::Name(b"A_b.example.com"), None),
    ];
    for (text, host, port) in table {
        let whole = format!("sip:{text};lr");
        let uri = sip(&whole);

        assert_eq!((uri.host, uri.port), (host, port), "{text}");
        let printed = uri.host.text().to_string();
        assert!(
            text.starts_with(&printed) || text.contains(":::"),
            "{printed}"
        );
    }
}

#[test]
fn what_was_dialled_is_the_user_or_the_number() {
    let dialled = |text| {
        let uri = Uri::parse(text).unwrap();
        uri.dialled()
            .map(|user| String::from_utf8_lossy(user).into_owned())
    };

    assert_eq!(
        dialled(b"sip:+18885550100:pw@h").as_deref(),
        Some("+18885550100")
    );
    assert_eq!(
        dialled(b"tel:+1-888-555-0100;phone-context=x").as_deref(),
        Some("+1-888-555-0100")
    );
    assert_eq!(dialled(b"sip:example.com"), None);
    assert_eq!(dialled(b"soap.beep://192.0.2.103:3002"), None);
}

#[test]
fn uris_against_the_grammar_are_refused() {
    for text in [
        "",
        "sip",
        "sip:",
        "sip:@h",
        "sip::p@h",
        "sip:a@",
        "sip:a@b@c",
        "sip:a:b:c@h",
        "sip:a b@h",
        "sip:a%4@h",
        "sip:a%zz@h",
        "sip:a<@h",
        "<sip:a@h>",
        "sip:a@h>",
        "sip:a@h x",
        "sip:a@h\r\nX: y",
        "sip:a\0@h",
        "sip:a@h:",
        "sip:a@h:99999",
        "sip:a@h:5060x",
        "sip:a@h;",
        "sip:a@h;;lr",
        "sip:a@h;=x",
        "sip:a@h;a=\"b\"",
        "sip:a@h;a,b",
        "sip:a@h?",
        "sip:2001:db8::1",
        "sip:a@[2001:db8::1",
        "sip:a@[2001:db8::zz]",
        "sip:a@[2001:db8:::1:::2]",
        "tel:",
        "tel:abc xyz",
        "tel:+1212;",
        "1a:b",
        "a b:c",
        "urn:",
        "urn:a b",
    ] {
        assert_eq!(
            Uri::parse(text.as_bytes()).map(|_| ()),
            Err(ParseError::Uri),
            "{text:?}"
        );
    }
}

/// The examples of RFC 3261 §19.1.4, and RFC 3966 §4's rule on visual separators.
#[test]
fn uris_are_equivalent_as_the_rfc_says() {
    let table = [
        (
            "sip:%61lice@atlanta.com;transport=TCP",
            "sip:alice@AtLanTa.CoM;Transport=tcp",
            true,
        ),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com;newparam=5",
            true,
        ),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com;security=on",
            true,
        ),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;newparam=5",
            true,
        ),
        (
            "sip:carol@chicago.com;security=on",
            "sip:carol@chicago.com;security=off",
            false,
        ),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
            true,
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            true,
        ),
        (
            "SIP:ALICE@AtLanTa.CoM;Transport=udp",
            "sip:alice@AtLanTa.CoM;Transport=UDP",
            false,
        ),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false),
        (
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com;transport=udp",
            false,
        ),
        (
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com:6000;transport=tcp",
            false,
        ),
        (
            "sip:carol@chicago.com",
            "sip:carol@chicago.com?Subject=next%20meeting",
            false,
        ),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false),
        ("sip:bob@biloxi.com", "sips:bob@biloxi.com", false),
        ("sip:bob@biloxi.com", "sip:biloxi.com", false),
        ("sip:bob:a@biloxi.com", "sip:bob@biloxi.com", false),
        ("sip:bob@biloxi.com;user=phone", "sip:bob@biloxi.com", false),
        (
            "sip:bob@biloxi.com",
            "sip:bob@biloxi.com;maddr=192.0.2.1",
            false,
        ),
        ("sip:h;a=1;a=2", "sip:h;a=2;a=1", true),
        ("sip:a%3bb@h", "sip:a;b@h", false),
        ("sip:a%3Bb@h", "sip:a%3bb@h", true),
        ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]", true),
        ("tel:+1-201-555-0123", "tel:+12015550123", true),
        ("tel:+12015550123;ext=1", "tel:+12015550123", false),
        ("tel:+12015550123", "sip:+12015550123@h", false),
        ("urn:a:b", "URN:a:b", true),
        ("urn:a:b", "urn:a:B", false),
    ];
    for (a, b, is_same) in table {
        let (uri, other) = (
            Uri::parse(a.as_bytes()).unwrap(),
            Uri::parse(b.as_bytes()).unwrap(),
        );

        assert_eq!(is_equivalent(&uri, &other), is_same, "{a} and {b}");
        assert_eq!(is_equivalent(&other, &uri), is_same, "{b} and {a}");
    }
}
