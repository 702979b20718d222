use super::*;
use crate::sip::message::Method;

fn written(headers: &RetreaverHeaders<'_>) -> String {
    let mut buf = Vec::new();
    let mut writer = Writer::request(&mut buf, Method::Invite, b"sip:b@example.com");
    headers.write(&mut writer);
    let bytes = writer.finish(b"").unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

const UUID: &[u8] = b"0f8fad5b-d9cb-469f-a165-70867728950e";

#[test]
fn the_headers_are_spelled_exactly_so() {
    let text = written(&RetreaverHeaders {
        uuid: UUID,
        key: b"key",
        afid: "1234",
        sid: Some("a b"),
        profile: Profile::Raw,
    });

    assert_eq!(
        text,
        "INVITE sip:b@example.com SIP/2.0\r\n\
         X-PH-RetreaverUUID: 0f8fad5b-d9cb-469f-a165-70867728950e\r\n\
         X-PH-RetreaverKey: key\r\n\
         X-PH-RetreaverAFID: 1234\r\n\
         X-PH-RetreaverSID: a%20b\r\n\
         Content-Length: 0\r\n\r\n"
    );
}

#[test]
fn plivo_gets_letters_digits_and_percent_only_and_no_sid_if_there_is_none() {
    let text = written(&RetreaverHeaders {
        uuid: UUID,
        key: b"a.b_c~d",
        afid: "caf\u{e9}%\r\nX: y",
        sid: None,
        profile: Profile::Plivo,
    });

    assert!(text.contains("X-PH-RetreaverUUID: 0f8fad5b%2Dd9cb%2D469f%2Da165%2D70867728950e\r\n"));
    assert!(text.contains("X-PH-RetreaverKey: a%2Eb%5Fc%7Ed\r\n"));
    assert!(text.contains("X-PH-RetreaverAFID: caf%C3%A9%25%0D%0AX%3A%20y\r\n"));
    assert!(!text.contains("X-PH-RetreaverSID"));
}

#[test]
fn a_long_value_is_cut_before_the_escape_that_does_not_fit() {
    let mut out = [0; MAX_VALUE];

    assert_eq!(encode(&[b'a'; 200], Profile::Raw, &mut out), 120);
    assert_eq!(encode(&[b' '; 200], Profile::Raw, &mut out), 120);
    let mut value = vec![b'a'; 118];
    value.extend_from_slice(b" b");
    assert_eq!(encode(&value, Profile::Raw, &mut out), 118);
}

#[test]
fn reserved_names_are_known_however_they_are_spelled() {
    for name in [
        "X-PH-RetreaverUUID",
        "x-ph-retreaverkey",
        "X-PH-",
        "X-PH-Anything",
        "X_PH_RetreaverKey",
        "X.PH.RetreaverKey",
        "X--PH-RetreaverKey",
        "X-PH-RetreaverKey\u{a0}",
        "\u{ff}X-PH-RetreaverKey",
        "X-\0PH-RetreaverKey",
        "X -PH-RetreaverKey",
        "X%2DPH%2dRetreaverKey",
        "%58-PH-Retreaver",
        "P-X-PH-Key",
        "XPHRetreaverKey",
        "sip_h_X-PH-RetreaverKey",
        "HTTP_X_PH_RETREAVERKEY",
    ] {
        assert!(is_reserved(name.as_bytes()), "{name:?}");
    }
    for name in [
        "X-Phone",
        "X-PHP-Version",
        "Xph-a",
        "X-P-H-",
        "PH-X",
        "",
        "From",
        "X-Retreaver",
        "Max-Forwards",
    ] {
        assert!(!is_reserved(name.as_bytes()), "{name:?}");
    }
}

#[test]
fn a_value_that_names_our_headers_is_known_and_others_are_let_be() {
    for value in [
        "X-PH-RetreaverUUID: 1",
        "a\u{85}x-ph-retreaverkey: 1",
        "\"x\\ X-PH-RetreaverUUID: 1\" <sip:a@example.com>",
        "<sip:a@example.com?X%2DPH%2DRetreaverUUID=1>",
    ] {
        assert!(names_ours(value.as_bytes()), "{value:?}");
    }
    for value in ["", "Retreaver", "about fax-ph-1", "X-PH-td_uuid"] {
        assert!(!names_ours(value.as_bytes()), "{value:?}");
    }
}
