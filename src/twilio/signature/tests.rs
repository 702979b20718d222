//! Published examples, the shared vectors, and that nothing else is believed.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::twilio::tests::shared;

/// The example of Twilio's own documentation.
const BODY: &[u8] = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
const TARGET: &str = "/myapp.php?foo=1&bar=2";
const SIGNATURE: &str = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";

#[test]
fn the_documented_example_is_believed_and_nothing_near_it() {
    let form = Form::parse(BODY).unwrap();
    let keys = token("12345");

    assert_eq!(try_form(&form, TARGET, SIGNATURE, Some(&keys)), Ok(()));
    for (target, signature, fault) in [
        ("/myapp.php?foo=1&bar=3", SIGNATURE, SignatureFault::Wrong),
        ("/myapp.php?bar=2&foo=1", SIGNATURE, SignatureFault::Wrong),
        ("/myapp.php/?foo=1&bar=2", SIGNATURE, SignatureFault::Wrong),
        (
            TARGET,
            "RSOYDt4T1cUTdK1PDd93/VVr8B9=",
            SignatureFault::Malformed,
        ),
        (
            TARGET,
            "RSOYDt4T1cUTdK1PDd93/VVr8B4=",
            SignatureFault::Wrong,
        ),
        (
            TARGET,
            "rSOYDt4T1cUTdK1PDd93/VVr8B8=",
            SignatureFault::Wrong,
        ),
        (
            TARGET,
            "RSOYDt4T1cUTdK1PDd93/VVr8B8",
            SignatureFault::Malformed,
        ),
        (
            TARGET,
            " RSOYDt4T1cUTdK1PDd93/VVr8B8=",
            SignatureFault::Malformed,
        ),
        (TARGET, "", SignatureFault::Malformed),
        (TARGET, "AAAA", SignatureFault::Malformed),
    ] {
        assert_eq!(
            try_form(&form, target, signature, Some(&keys)),
            Err(fault),
            "{target} {signature}"
        );
    }
    for bad in [&BODY[..BODY.len() - 1], b"", &[BODY, b"&A="].concat()] {
        let form = Form::parse(bad).unwrap();
        assert_eq!(
            try_form(&form, TARGET, SIGNATURE, Some(&keys)),
            Err(SignatureFault::Wrong)
        );
    }
    let silent = Webhook {
        signature: None,
        ..webhook(&form, TARGET, "")
    };
    assert_eq!(silent.verify(Some(&keys)), Err(SignatureFault::Missing));
}

#[test]
fn both_tokens_are_believed_while_one_replaces_the_other() {
    let form = Form::parse(BODY).unwrap();
    let mut keys = token("new");
    assert_eq!(
        try_form(&form, TARGET, SIGNATURE, Some(&keys)),
        Err(SignatureFault::Wrong)
    );

    keys.auth_token.as_mut().unwrap().previous = Some(Secret::new(*b"12345"));

    assert_eq!(try_form(&form, TARGET, SIGNATURE, Some(&keys)), Ok(()));
}

#[test]
fn without_a_key_nothing_is_believed() {
    let form = Form::parse(BODY).unwrap();
    let nothing = Keys {
        auth_token: None,
        shared: Vec::new(),
    };

    assert_eq!(
        try_form(&form, TARGET, SIGNATURE, None),
        Err(SignatureFault::UnknownAccount)
    );
    assert_eq!(
        try_form(&form, TARGET, SIGNATURE, Some(&nothing)),
        Err(SignatureFault::TooWeak)
    );
    // Not even what is signed with the value that stands in for an unknown account's.
    let url = format!("https://mycompany.com{TARGET}");
    let forged = sign(&url, Some(&form), &Secret::new(*NOBODYS), Algorithm::Sha1);
    assert_eq!(
        try_form(&form, TARGET, &forged, None),
        Err(SignatureFault::UnknownAccount)
    );
}

#[test]
fn a_request_names_a_key_and_never_how_strong_it_is() {
    let form = Form::parse(BODY).unwrap();
    let url = format!("https://mycompany.com{TARGET}");
    let secret = Secret::new(*b"whsec");
    let strong = sign(&url, Some(&form), &secret, Algorithm::Sha256);
    let weak = sign(&url, Some(&form), &secret, Algorithm::Sha1);
    let key = SharedKey {
        id: "k1".into(),
        secret,
        algorithm: Algorithm::Sha256,
    };
    let keys = Keys {
        auth_token: None,
        shared: vec![key],
    };
    let with = |settings: &'static str, signature: &str| {
        let webhook = webhook(&form, TARGET, signature);
        Webhook {
            settings: Some(settings.as_bytes()),
            ..webhook
        }
        .verify(Some(&keys))
    };

    assert_eq!(with("key=k1,algorithm=HMAC_SHA256", &strong), Ok(()));
    assert_eq!(with("algorithm=HMAC_SHA256, key=k1", &strong), Ok(()));
    assert_eq!(
        with("key=k1,algorithm=HMAC_SHA256", &weak),
        Err(SignatureFault::Malformed)
    );
    for settings in [
        "key=k1,algorithm=HMAC_SHA1",
        "key=k1,algorithm=HMAC_SHA512",
        "key=k1,algorithm=none",
        "key=k2,algorithm=HMAC_SHA256",
        "key=k1",
        "algorithm=HMAC_SHA256",
        "key=k2,key=k1,algorithm=HMAC_SHA256",
        "key=k1,algorithm=HMAC_SHA256,x=1",
        "",
    ] {
        for signature in [&strong, &weak] {
            assert_eq!(
                with(settings, signature),
                Err(SignatureFault::UnknownKey),
                "{settings}"
            );
        }
    }
    assert_eq!(
        try_form(&form, TARGET, &weak, Some(&keys)),
        Err(SignatureFault::TooWeak)
    );
}

#[test]
fn a_json_body_is_bound_by_its_hash() {
    let body = br#"{"twi_to":"client:bob"}"#;
    let hash = String::from_utf8(mac::hash_hex(body).to_vec()).unwrap();
    let right = format!("/n?bodySHA256={hash}");
    let keys = token("t");
    let none = Form::default();
    let try_body = |target: &str, body: &[u8]| {
        let url = format!("https://mycompany.com{target}");
        let signature = sign(&url, None, &Secret::new(*b"t"), Algorithm::Sha1);
        let content = Content::Json(body);
        let webhook = Webhook {
            content,
            ..webhook(&none, target, &signature)
        };
        let strict = webhook.verify(Some(&keys));
        let content = Content::JsonPerhapsUnsigned(body);
        (strict, Webhook { content, ..webhook }.verify(Some(&keys)))
    };

    assert_eq!(try_body(&right, body), (Ok(()), Ok(())));
    let missing = Err(SignatureFault::NoBodyHash);
    let wrong = Err(SignatureFault::WrongBodyHash);
    assert_eq!(try_body("/n", body), (missing, Ok(())));
    assert_eq!(try_body("/n?bodysha256=0", body), (missing, Ok(())));
    assert_eq!(try_body(&right, b"{}"), (wrong, wrong));
    assert_eq!(
        try_body(&right.to_uppercase().replace("/N?BODY", "/n?body"), body),
        (wrong, wrong)
    );
    assert_eq!(
        try_body(&format!("{right}&bodySHA256=0"), body),
        (wrong, wrong)
    );
    assert_eq!(try_body("/n?bodySHA256=", body), (wrong, wrong));
    assert_eq!(try_body("/n?bodySHA256=%zz", body), (wrong, wrong));
}

/// Four of the vectors are verdicts on which the official libraries differ among themselves.
#[test]
fn shared_vectors_hold() {
    let Some(vectors) = shared() else {
        return;
    };
    let vectors = vectors["signatures"].as_array().unwrap();
    for vector in vectors {
        let text = |key: &str| vector[key].as_str().unwrap_or_default();
        let (base, target) = split(text("request_url"));
        let secret = Secret::new(text("auth_token").as_bytes());
        let settings = vector["x_twilio_webhooks_signature_settings"].as_str();
        let keys = match settings {
            None => Keys {
                auth_token: Some(Rotating::new(secret)),
                shared: Vec::new(),
            },
            Some(_) => {
                let id = "webhooks_sharedkey_01h00000000000000000000000".into();
                let key = SharedKey {
                    id,
                    secret,
                    algorithm: Algorithm::Sha256,
                };
                Keys {
                    auth_token: None,
                    shared: vec![key],
                }
            }
        };
        let form = Form::parse(text("body").as_bytes()).unwrap();
        let content = match (text("method"), text("body_kind")) {
            ("GET", _) => Content::Nothing,
            (_, "json") => Content::Json(text("body").as_bytes()),
            _ => Content::Form(&form),
        };
        let verdict = PublicUrl::parse(base).ok().map(|base| {
            let webhook = Webhook {
                base: &base,
                target,
                signature: Some(text("x_twilio_signature").as_bytes()),
                settings: settings.map(str::as_bytes),
                content,
            };
            webhook.verify(Some(&keys))
        });
        let is_believed = verdict == Some(Ok(()));
        assert_eq!(
            Value::Bool(is_believed),
            vector["expect"],
            "{}: {verdict:?}",
            text("id")
        );
    }
    assert!(vectors.len() >= 44);
}

proptest! {
    #[test]
    fn what_is_signed_is_believed_however_its_fields_are_ordered(
        mut fields in proptest::collection::vec(("[A-Za-z_]{1,4}", "[ -~\u{e9}]{0,4}"), 0..8),
        token_text in "[a-f0-9]{1,40}",
        turn in 0_usize..8,
    ) {
        let form: Form = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
        let url = format!("https://mycompany.com{TARGET}");
        let secret = Secret::new(token_text.as_bytes());
        let signature = sign(&url, Some(&form), &secret, Algorithm::Sha1);
        let turn = turn % fields.len().max(1);
        fields.rotate_left(turn);
        // Said twice is said once.
        fields.extend(fields.first().cloned());
        let turned: Form = fields.iter().map(|(n, v)| (&**n, &**v)).collect();

        prop_assert_eq!(try_form(&turned, TARGET, &signature, Some(&token(&token_text))), Ok(()));
        let other = token(&format!("{token_text}0"));
        prop_assert_eq!(try_form(&turned, TARGET, &signature, Some(&other)), Err(SignatureFault::Wrong));
    }

    #[test]
    fn no_signature_is_too_odd(signature: Vec<u8>, settings: Option<Vec<u8>>, target: String) {
        let form = Form::default();
        let base = webhook(&form, &target, "");
        let webhook = Webhook {
            signature: Some(&signature),
            settings: settings.as_deref(),
            ..base
        };
        prop_assert!(webhook.verify(Some(&token("12345"))).is_err());
    }
}

fn token(text: &str) -> Keys {
    Keys {
        auth_token: Some(Rotating::new(Secret::new(text.as_bytes()))),
        shared: Vec::new(),
    }
}

fn try_form(
    form: &Form,
    target: &str,
    signature: &str,
    keys: Option<&Keys>,
) -> Result<(), SignatureFault> {
    webhook(form, target, signature).verify(keys)
}

fn webhook<'w>(form: &'w Form, target: &'w str, signature: &'w str) -> Webhook<'w> {
    static BASE: std::sync::LazyLock<PublicUrl> =
        std::sync::LazyLock::new(|| PublicUrl::parse("https://mycompany.com").unwrap());
    Webhook {
        base: &BASE,
        target,
        signature: Some(signature.as_bytes()),
        settings: None,
        content: Content::Form(form),
    }
}

/// Cuts a URL behind its host.
fn split(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..]
        .find(['/', '?'])
        .map_or(url.len(), |at| host + at);
    url.split_at(end)
}
