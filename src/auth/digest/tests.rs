use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// RFC 7616 §3.9.1.
const RFC_7616: Case<'static> = Case {
    username: "Mufasa",
    realm: "http-auth@example.org",
    password: "Circle of Life",
    nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    method: "GET",
    uri: "/dir/index.html",
    algorithm: Some("MD5"),
    opaque: Some("FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"),
    cnonce: Some("f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"),
    response: "8ca523f5e9506fed4657c9700eebdbec",
};

/// RFC 7616 §3.9.1, the other answer.
const RFC_7616_SHA256: Case<'static> = Case {
    algorithm: Some("SHA-256"),
    response: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    ..RFC_7616
};

/// RFC 2617 §3.5: qop, but no algorithm.
const RFC_2617: Case<'static> = Case {
    username: "Mufasa",
    realm: "testrealm@host.com",
    password: "Circle Of Life",
    nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
    method: "GET",
    uri: "/dir/index.html",
    algorithm: None,
    opaque: Some("5ccc069c403ebaf9f0171e9517f40e41"),
    cnonce: Some("0a4f113b"),
    response: "6629fae49393a05397450978507c4ef1",
};

/// No qop: computed with `md5sum` from the formula of RFC 2069 §2.1.2.
const NO_QOP: Case<'static> = Case {
    username: "bob",
    realm: "example.com",
    password: "canary",
    nonce: "84a4cc6f3082121f32b42a2187831a9e",
    method: "INVITE",
    uri: "sip:+15555550100@example.com;transport=tcp",
    algorithm: None,
    opaque: None,
    cnonce: None,
    response: "e5953202cdc11be274c4c1924b9fb0c0",
};

#[test]
fn published_answers_are_found_right_and_made_the_same() {
    for case in [RFC_7616, RFC_7616_SHA256, RFC_2617, NO_QOP] {
        case.hold();
    }
}

#[test]
fn shared_vectors_hold() {
    let Some(vectors) = shared("corpus/vectors/digest.json") else {
        return;
    };
    let mut skipped = Vec::new();
    for vector in vectors["response"].as_array().unwrap() {
        let text = |key: &str| vector[key].as_str();
        if text("algorithm").is_some_and(|name| Algorithm::parse(name.as_bytes()).is_none()) {
            skipped.push(text("name").unwrap());
            continue;
        }
        let case = Case {
            username: text("username").unwrap(),
            realm: text("realm").unwrap(),
            password: text("password").unwrap(),
            nonce: text("nonce").unwrap(),
            method: text("method").unwrap(),
            uri: text("uri").unwrap(),
            algorithm: text("algorithm"),
            opaque: text("opaque"),
            cnonce: text("cnonce"),
            response: text("response").unwrap(),
        };
        case.hold();
    }
    for vector in vectors["ha1"].as_array().unwrap() {
        let text = |key: &str| vector[key].as_str().unwrap();
        let password = Secret::new(text("password").as_bytes());
        let account = Account::from_password(text("username"), text("realm"), &password);
        assert!(account.md5.unwrap().is_equal(text("ha1").as_bytes()));
    }
    assert_eq!(skipped, ["rfc7616-3.9.2-sha512-256-userhash"]);
}

#[test]
fn an_ha1_is_read_as_tools_print_it() {
    let text = b"F5732E14BEF238BADB2B4CB987D415F6";
    let read = Algorithm::Md5.parse_ha1(text).unwrap();
    let made = Account::from_password("user", "sipsorcery.cloud", &Secret::new(*b"password"));

    assert!(read.is_equal(made.md5.unwrap().expose()));
    assert!(Algorithm::Sha256.parse_ha1(text).is_none());
    assert!(Algorithm::Md5.parse_ha1(&[b'g'; 32]).is_none());
}

#[test]
fn every_part_of_an_answer_counts() {
    let account = RFC_7616.account();
    let value = RFC_7616.authorization();
    let is_right = |value: &str, method: &[u8], account: Option<&Account>| {
        verify(
            &Credentials::parse(value.as_bytes()).unwrap(),
            method,
            account,
        )
    };

    assert!(is_right(&value, b"GET", Some(&account)));
    assert!(!is_right(&value, b"PUT", Some(&account)));
    assert!(!is_right(&value, b"GET", None));
    let other = Account::from_password("Mufasa", "http-auth@example.org", &Secret::new(*b"x"));
    assert!(!is_right(&value, b"GET", Some(&other)));
    for (from, to) in [
        ("/dir/index.html", "/dir/index.htm"),
        ("7ypf/", "8ypf/"),
        ("nc=00000001", "nc=00000002"),
        ("cnonce=\"f2", "cnonce=\"f3"),
        ("response=\"8ca", "response=\"8cb"),
    ] {
        let changed = value.replace(from, to);
        assert_ne!(changed, value);
        assert!(!is_right(&changed, b"GET", Some(&account)), "{to}");
    }
}

#[test]
fn an_account_without_md5_is_not_let_in_by_md5() {
    let account = Account {
        md5: None,
        ..RFC_7616.account()
    };
    let (md5, sha256) = (RFC_7616.authorization(), RFC_7616_SHA256.authorization());

    assert!(!verify(
        &Credentials::parse(md5.as_bytes()).unwrap(),
        b"GET",
        Some(&account)
    ));
    assert!(verify(
        &Credentials::parse(sha256.as_bytes()).unwrap(),
        b"GET",
        Some(&account)
    ));
}

#[test]
fn the_dummy_of_unknown_users_opens_nothing() {
    let credentials = |response: &Hex| {
        let response = std::str::from_utf8(response.text()).unwrap();
        RFC_7616
            .authorization()
            .replace(RFC_7616.response, response)
    };
    let text = |text: &'static str| ParamText::plain(text.as_bytes());
    let forged = response(
        Algorithm::Md5,
        &NOBODY[..32],
        b"GET",
        text(RFC_7616.uri),
        text(RFC_7616.nonce),
        RFC_7616
            .cnonce
            .map(|cnonce| (b"00000001".as_slice(), text(cnonce))),
    );
    let value = credentials(&forged);

    assert!(!verify(
        &Credentials::parse(value.as_bytes()).unwrap(),
        b"GET",
        None
    ));
}

#[test]
fn known_and_unknown_users_cost_the_same_hashes() {
    let value = RFC_7616.authorization();
    let wrong = value.replace("response=\"8", "response=\"9");
    let partial = Account {
        md5: None,
        ..RFC_7616.account()
    };
    let account = RFC_7616.account();
    let cost = |value: &str, account: Option<&Account>| {
        let before = FINISHED.get();
        let _ = verify(
            &Credentials::parse(value.as_bytes()).unwrap(),
            b"GET",
            account,
        );
        FINISHED.get() - before
    };

    assert_eq!(cost(&value, Some(&account)), 2);
    assert_eq!(cost(&wrong, Some(&account)), 2);
    assert_eq!(cost(&wrong, Some(&partial)), 2);
    assert_eq!(cost(&wrong, None), 2);
}

#[test]
fn what_peers_write_differently_is_the_same() {
    let account = RFC_7616.account();
    let value = RFC_7616.authorization();
    for (from, to) in [
        ("Digest ", "digest   "),
        (", ", ","),
        (", ", " ,\t"),
        ("algorithm=MD5", "algorithm=\"md5\""),
        ("algorithm=MD5, ", ""),
        ("qop=auth", "qop=\"auth\""),
        ("nc=00000001", "nc=\"00000001\""),
        ("username=", "UserName="),
        ("Mufasa", "Mu\\fasa"),
        ("/dir/index", "\\/dir/index"),
        (RFC_7616.response, "8CA523F5E9506FED4657C9700EEBDBEC"),
        ("username", "userhash=false, username"),
    ] {
        let other = value.replace(from, to);
        assert_ne!(other, value);
        let credentials = Credentials::parse(other.as_bytes()).expect(&other);
        assert_eq!(&*credentials.username.unescaped(), b"Mufasa");
        assert!(verify(&credentials, b"GET", Some(&account)), "{other}");
    }
}

#[test]
fn credentials_with_a_fault_name_it() {
    let value = RFC_7616.authorization();
    for (from, to, want) in [
        ("Digest ", "Basic ", DigestFault::NotDigest),
        (
            "username=\"Mufasa\", ",
            "",
            DigestFault::Missing("username"),
        ),
        ("realm=", "r=", DigestFault::Missing("realm")),
        ("nonce=\"7", "n=\"7", DigestFault::Missing("nonce")),
        ("uri=", "u=", DigestFault::Missing("uri")),
        ("response=", "r=", DigestFault::Missing("response")),
        ("nc=00000001", "n=1", DigestFault::Missing("nc")),
        ("cnonce=", "c=", DigestFault::Missing("cnonce")),
        ("nc=00000001", "nc=1", DigestFault::Count),
        ("nc=00000001", "nc=000000001", DigestFault::Count),
        ("nc=00000001", "nc=0000000g", DigestFault::Count),
        ("nc=00000001", "nc=+0000001", DigestFault::Count),
        ("qop=auth", "qop=auth-int", DigestFault::Qop),
        ("qop=auth", "qop=\"auth,auth-int\"", DigestFault::Qop),
        (
            "algorithm=MD5",
            "algorithm=MD5-sess",
            DigestFault::Algorithm,
        ),
        (
            "algorithm=MD5",
            "algorithm=SHA-512-256",
            DigestFault::Algorithm,
        ),
        ("algorithm=MD5", "algorithm=SHA-256", DigestFault::Response),
        ("response=\"8", "response=\"", DigestFault::Response),
        ("response=\"8", "response=\"z", DigestFault::Response),
        ("uri=", "uri=\"x\", uri=", DigestFault::Repeated("uri")),
        (
            "username=",
            "USERNAME=\"x\", username=",
            DigestFault::Repeated("username"),
        ),
        ("uri=\"/", "uri=/\"", DigestFault::Malformed),
        ("Mufasa\"", "Mufasa", DigestFault::Malformed),
        (", uri=", ", uri", DigestFault::Malformed),
    ] {
        let other = value.replacen(from, to, 1);
        assert_ne!(other, value);
        assert_eq!(
            Credentials::parse(other.as_bytes()).err(),
            Some(want),
            "{other}"
        );
    }
    for value in ["", "Digest", "Digest "] {
        assert!(Credentials::parse(value.as_bytes()).is_err());
    }
}

#[test]
fn escapes_are_resolved_once() {
    for (raw, want) in [
        (r"", ""),
        (r"plain", "plain"),
        (r#"a\"b"#, "a\"b"),
        (r"a\\b", r"a\b"),
        (r"\\\\", r"\\"),
        (r"\a\b", "ab"),
    ] {
        let value = format!("Digest nonce=\"n\", realm=\"{raw}\"");
        let text = Challenge::parse(value.as_bytes()).unwrap().realm;
        assert_eq!(&*text.unescaped(), want.as_bytes(), "{raw}");
        assert!(text.is(want.as_bytes()), "{raw}");
        assert!(!text.is(b"something else"));
        assert!(!text.is(format!("{want}.").as_bytes()));
    }
    assert!(ParamText::plain(br"a\\b").is(br"a\\b"));
}

#[test]
fn the_strongest_challenge_of_the_realm_is_answered() {
    let values: Vec<&[u8]> = vec![
        br#"Basic realm="example.com""#,
        br#"Digest realm="example.net", nonce="0", algorithm=SHA-256"#,
        br#"Digest realm="example.com", nonce="1", algorithm=SHA-512-256"#,
        br#"Digest realm="example.com", nonce="2", algorithm=MD5-sess"#,
        br#"Digest realm="example.com", nonce="3", algorithm=SHA-256, qop="auth-int""#,
        br#"Digest realm="example.com", nonce="4", algorithm=MD5"#,
        br#"Digest realm="example.com", nonce="5", algorithm="sha-256", qop="auth", stale=TRUE"#,
        br#"Digest realm="example.com", nonce="6", algorithm=SHA-256"#,
    ];
    let pick = |values: &[&'static [u8]]| {
        strongest(values.iter().copied(), "example.com")
            .map(|challenge| (challenge.nonce.raw(), challenge.is_stale))
    };
    let values: Vec<&'static [u8]> = values
        .into_iter()
        .map(|value| &*value.to_vec().leak())
        .collect();

    assert_eq!(pick(&values), Some((b"5".as_slice(), true)));
    assert_eq!(pick(&values[..6]), Some((b"4".as_slice(), false)));
    assert_eq!(pick(&values[..5]), None);
    assert!(strongest(values.iter().copied(), "Example.com").is_none());
}

#[test]
fn qop_is_read_as_a_list_and_auth_taken() {
    for (qop, want) in [
        (r#", qop="auth-int, auth""#, Ok(true)),
        (r#", qop=auth"#, Ok(true)),
        (r#", qop="AUTH,token""#, Ok(true)),
        (r#", qop="""#, Ok(false)),
        ("", Ok(false)),
        (r#", qop="auth-int""#, Err(DigestFault::Qop)),
        (r#", qop="author""#, Err(DigestFault::Qop)),
    ] {
        let value = format!(r#"Digest realm="r", nonce="n"{qop}"#);
        let read = Challenge::parse(value.as_bytes()).map(|challenge| challenge.has_qop);
        assert_eq!(read, want, "{qop}");
    }
}

#[test]
fn an_answer_is_written_in_full() {
    let value = br#"Digest realm="a \"b\"", nonce="n", opaque="x\\y", algorithm=MD5, qop="auth""#;
    let challenge = strongest([value.as_slice()], "a \"b\"").unwrap();
    let mut out = b"kept ".to_vec();

    answer(
        &challenge,
        &probe("al\"ice", "sip:bob@example.com", "c"),
        &mut out,
    )
    .unwrap();

    let text = String::from_utf8(out).unwrap();
    let written = text.strip_prefix("kept ").unwrap();
    let credentials = Credentials::parse(written.as_bytes()).unwrap();
    let account = Account::from_password("al\"ice", "a \"b\"", &Secret::new(*b"canary"));
    assert!(verify(&credentials, b"INVITE", Some(&account)));
    let response = std::str::from_utf8(credentials.response).unwrap();
    let wanted = [
        r#"Digest username="al\"ice", realm="a \"b\"", nonce="n", uri="sip:bob@example.com", "#,
        &format!(r#"response="{response}", algorithm=MD5, "#),
        r#"cnonce="c", qop=auth, nc=0000000a, opaque="x\\y""#,
    ];
    assert_eq!(written, wanted.concat());
}

#[test]
fn an_answer_never_breaks_the_line() {
    let good = br#"Digest realm="r", nonce="n", qop="auth""#.as_slice();
    for (value, username, uri, cnonce) in [
        (good, "a\r\nX-PH-RetreaverUUID: x", "sip:h", "c"),
        (good, "a", "sip:h\n", "c"),
        (good, "a", "sip:h", "c\0"),
        (b"Digest realm=\"r\", nonce=\"n\r\n x\"", "a", "sip:h", "c"),
        (
            b"Digest realm=\"r\", nonce=\"n\", opaque=\"o\r\n x\"",
            "a",
            "sip:h",
            "c",
        ),
    ] {
        // A reader of headers may refuse such a value before we do.
        let Ok(challenge) = Challenge::parse(value) else {
            continue;
        };
        let mut out = b"kept".to_vec();
        let written = answer(&challenge, &probe(username, uri, cnonce), &mut out);
        assert_eq!(written, Err(AnswerError::Control));
        assert_eq!(out, b"kept");
    }
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_verdict(value: Vec<u8>) {
        let value = [b"Digest ".as_slice(), &value].concat();
        let _ = Credentials::parse(&value);
        let _ = Challenge::parse(&value);
    }

    #[test]
    fn an_answer_is_right_whatever_is_in_it(
        username in "[ -~]{0,12}",
        realm in "[ -~]{1,12}",
        nonce in "[ -~]{1,12}",
        password: Vec<u8>,
        sha256: bool,
        qop: bool,
        count: u32,
    ) {
        let mut value = b"Digest realm=".to_vec();
        write_quoted(ParamText::plain(realm.as_bytes()), &mut value);
        value.extend_from_slice(b", nonce=");
        write_quoted(ParamText::plain(nonce.as_bytes()), &mut value);
        value.extend_from_slice(if sha256 { b", algorithm=SHA-256" } else { b", algorithm=MD5" });
        value.extend_from_slice(if qop { b", qop=\"auth\"" } else { b"" });
        let password = Secret::new(password);
        let ask = Answer { username: &username, password: &password, count, ..probe("", "sip:h", "c") };
        let mut out = Vec::new();

        answer(&strongest([value.as_slice()], &realm).unwrap(), &ask, &mut out).unwrap();

        let credentials = Credentials::parse(&out).unwrap();
        let account = Account::from_password(&username, &realm, &password);
        prop_assert!(credentials.username.is(username.as_bytes()));
        prop_assert_eq!(credentials.count.as_ref().map(|c| c.value), qop.then_some(count));
        prop_assert!(verify(&credentials, b"INVITE", Some(&account)));
        prop_assert!(!verify(&credentials, b"BYE", Some(&account)));
    }
}

#[derive(Clone, Copy)]
struct Case<'a> {
    username: &'a str,
    realm: &'a str,
    password: &'a str,
    nonce: &'a str,
    method: &'a str,
    uri: &'a str,
    algorithm: Option<&'a str>,
    opaque: Option<&'a str>,
    /// With it comes `qop=auth` and the count 1.
    cnonce: Option<&'a str>,
    response: &'a str,
}

impl Case<'_> {
    /// Checks both sides: the answer as published is right, and ours is the same.
    fn hold(&self) {
        let value = self.authorization();
        let credentials = Credentials::parse(value.as_bytes()).expect(&value);
        assert!(
            verify(&credentials, self.method.as_bytes(), Some(&self.account())),
            "{value}"
        );

        let value = self.challenge();
        let challenge = strongest([value.as_bytes()], self.realm).expect(&value);
        let password = Secret::new(self.password.as_bytes());
        let ask = Answer {
            username: self.username,
            password: &password,
            method: self.method.as_bytes(),
            uri: self.uri.as_bytes(),
            cnonce: self.cnonce.unwrap_or_default().as_bytes(),
            count: 1,
        };
        let mut out = Vec::new();
        answer(&challenge, &ask, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), self.authorization());
    }

    fn account(&self) -> Account {
        let password = Secret::new(self.password.as_bytes());
        Account::from_password(self.username, self.realm, &password)
    }

    fn authorization(&self) -> String {
        let mut value = format!(
            r#"Digest username="{}", realm="{}", nonce="{}", uri="{}", response="{}""#,
            self.username, self.realm, self.nonce, self.uri, self.response
        );
        if let Some(algorithm) = self.algorithm {
            value += &format!(", algorithm={algorithm}");
        }
        if let Some(cnonce) = self.cnonce {
            value += &format!(r#", cnonce="{cnonce}", qop=auth, nc=00000001"#);
        }
        if let Some(opaque) = self.opaque {
            value += &format!(r#", opaque="{opaque}""#);
        }
        value
    }

    fn challenge(&self) -> String {
        let mut value = format!(r#"Digest realm="{}", nonce="{}""#, self.realm, self.nonce);
        if let Some(algorithm) = self.algorithm {
            value += &format!(", algorithm={algorithm}");
        }
        if self.cnonce.is_some() {
            value += r#", qop="auth-int,auth""#;
        }
        if let Some(opaque) = self.opaque {
            value += &format!(r#", opaque="{opaque}""#);
        }
        value
    }
}

fn probe<'a>(username: &'a str, uri: &'a str, cnonce: &'a str) -> Answer<'a> {
    static PASSWORD: std::sync::LazyLock<Secret> =
        std::sync::LazyLock::new(|| Secret::new(*b"canary"));
    Answer {
        username,
        password: &PASSWORD,
        method: b"INVITE",
        uri: uri.as_bytes(),
        cnonce: cnonce.as_bytes(),
        count: 10,
    }
}

/// Reads a file of the shared vectors, if they are on this machine.
fn shared(file: &str) -> Option<Value> {
    let text = std::fs::read(crate::shared::shared(file)?).expect("vectors can be read");
    Some(serde_json::from_slice(&text).expect("vectors are JSON"))
}
