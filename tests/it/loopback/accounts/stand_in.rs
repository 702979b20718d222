//! The server that stands in for Twilio's API is no yes-man: whatever the description does not allow is refused, and the test that
//! asks it fails.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::panic;

use strowger::twilio::rest::authorization;
use strowger::types::secret::Secret;

use crate::twilio_api::{ACCOUNT, TOKEN, TwilioApi};

const FORM: &str = "application/x-www-form-urlencoded";

#[test]
fn what_twilio_would_refuse_is_refused_and_noted() {
    let api = TwilioApi::start(50);
    let sid = api.own("+18005550001");
    let one = format!("/IncomingPhoneNumbers/{sid}.json");
    for (method, path, kind, body, why) in [
        (
            "GET",
            "/IncomingPhoneNumber.json",
            "",
            "",
            "no such operation",
        ),
        (
            "PUT",
            "/IncomingPhoneNumbers.json",
            "",
            "",
            "no such operation",
        ),
        (
            "DELETE",
            "/IncomingPhoneNumbers.json",
            "",
            "",
            "no such operation",
        ),
        (
            "GET",
            "/IncomingPhoneNumbers.json?PageSize=1001",
            "",
            "",
            "PageSize is no page_size: 1001",
        ),
        (
            "GET",
            "/IncomingPhoneNumbers.json?Beta=1",
            "",
            "",
            "Beta is no boolean: 1",
        ),
        (
            "GET",
            "/IncomingPhoneNumbers.json?PhoneNumber=5550001",
            "",
            "",
            "PhoneNumber is no number: 5550001",
        ),
        (
            "GET",
            "/IncomingPhoneNumbers.json?phoneNumber=%2B18005550001",
            "",
            "",
            "the parameter phoneNumber is unknown",
        ),
        (
            "GET",
            "/IncomingPhoneNumbers.json?Page=1&Page=2",
            "",
            "",
            "Page stands twice",
        ),
        (
            "GET",
            "/IncomingPhoneNumbers.json",
            FORM,
            "Page=1",
            "a GET with a body",
        ),
        (
            "GET",
            "/IncomingPhoneNumbers/PN1.json",
            "",
            "",
            "no SID of a number",
        ),
        (
            "POST",
            &one,
            FORM,
            "VoiceUrl=ftp%3A%2F%2Fa",
            "VoiceUrl is no url?: ftp://a",
        ),
        (
            "POST",
            &one,
            FORM,
            "VoiceMethod=PUT",
            "VoiceMethod is no method: PUT",
        ),
        (
            "POST",
            &one,
            FORM,
            "TrunkSid=AP0123456789abcdef0123456789abcdef",
            "TrunkSid is no TK?: AP0123456789abcdef0123456789abcdef",
        ),
        (
            "POST",
            &one,
            FORM,
            "VoiceURL=https%3A%2F%2Fa",
            "the parameter VoiceURL is unknown",
        ),
        (
            "POST",
            &one,
            FORM,
            "PhoneNumber=%2B18005550002",
            "the parameter PhoneNumber is unknown",
        ),
        (
            "POST",
            &format!("{one}?VoiceMethod=POST"),
            FORM,
            "",
            "the parameter VoiceMethod is unknown",
        ),
        (
            "POST",
            &one,
            "application/json",
            "VoiceMethod=POST",
            "a body of type application/json",
        ),
        (
            "POST",
            "/IncomingPhoneNumbers.json",
            FORM,
            "VoiceMethod=POST",
            "one of",
        ),
        (
            "POST",
            "/IncomingPhoneNumbers.json",
            FORM,
            "AreaCode=415&PhoneNumber=%2B14155550100",
            "one of",
        ),
        (
            "POST",
            "/IncomingPhoneNumbers.json",
            FORM,
            "AreaCode=41",
            "AreaCode is no area_code: 41",
        ),
    ] {
        let target = format!("/2010-04-01/Accounts/{ACCOUNT}{path}");
        assert_eq!(
            ask(&api, method, &target, (kind, body)),
            400,
            "{method} {path} {body}"
        );

        let noted = api.violations();
        assert_eq!(noted.len(), 1, "{noted:?}");
        let expected = format!("{method} {target}: {why}");
        assert!(
            noted[0].starts_with(&expected),
            "{noted:?} is not {expected}"
        );
    }
    // Somebody else's, and another version.
    for target in [
        "/2010-04-01/Accounts/AC00000000000000000000000000000009/IncomingPhoneNumbers.json"
            .to_owned(),
        format!("/2011-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json"),
    ] {
        assert_eq!(ask(&api, "GET", &target, ("", "")), 400);
        assert_eq!(api.violations().len(), 1);
    }
    // Nothing of it was done, and what is right is done.
    assert_eq!(api.count(), 1);
    assert_eq!(api.field(&sid, "voice_url"), serde_json::Value::Null);
    let target = format!("/2010-04-01/Accounts/{ACCOUNT}{one}");
    let right = "VoiceUrl=https%3A%2F%2Fedge.example.com%2Fvoice&TrunkSid=";
    assert_eq!(ask(&api, "POST", &target, (FORM, right)), 200);
    assert_eq!(
        api.field(&sid, "voice_url"),
        "https://edge.example.com/voice"
    );
}

#[test]
fn a_test_that_asks_something_wrong_fails() {
    let failed = panic::catch_unwind(|| {
        let api = TwilioApi::start(50);
        let target = format!("/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers.json?Nonsense=1");
        ask(&api, "GET", &target, ("", ""));
    });

    let why = failed.expect_err("it is told at the end");
    let why = why.downcast_ref::<String>().expect("words");
    assert!(why.contains("the parameter Nonsense is unknown"), "{why}");
}

/// The status of the answer.
fn ask(api: &TwilioApi, method: &str, target: &str, (kind, body): (&str, &str)) -> u16 {
    let secret = authorization(ACCOUNT, &Secret::new(TOKEN.as_bytes()));
    let secret = String::from_utf8_lossy(secret.expose()).into_owned();
    let mut stream = TcpStream::connect(api.address).unwrap();
    let kind = match kind {
        "" => String::new(),
        kind => format!("Content-Type: {kind}\r\n"),
    };
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nHost: a\r\nAuthorization: {secret}\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}
