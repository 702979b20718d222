use serde_json::Value;

use super::*;

/// What a test knows, by name.
struct Known(&'static [(&'static str, &'static [&'static str])]);

impl Lookup for Known {
    fn look_up(&self, name: &str, found: &mut dyn FnMut(&str)) {
        let values = self.0.iter().filter(|(known, _)| *known == name);
        values
            .flat_map(|(_, values)| *values)
            .for_each(|value| found(value));
    }
}

const KNOWN: Known = Known(&[
    ("caller_number", &["+13015236555"]),
    ("call_uuid", &["addcf985-017e-4962-be34-cf5d55e74afc"]),
    ("product_interest", &["mortgage", "insurance"]),
    ("name", &["Jason \"J\" Kay\r\n\u{1}%ä"]),
    ("empty", &[""]),
    ("user", &["sales.2_b-c+1"]),
]);

#[test]
fn each_place_has_its_encoding() {
    for (encoding, want) in [
        (Encoding::Url, "Jason%20%22J%22%20Kay%0D%0A%01%25%C3%A4"),
        (Encoding::Form, "Jason+%22J%22+Kay%0D%0A%01%25%C3%A4"),
        (Encoding::Json, "Jason \\\"J\\\" Kay\\r\\n\\u0001%ä"),
        (Encoding::Header, "Jason \"J\" Kay%0D%0A%01%25%C3%A4"),
        (Encoding::SipUser, ""),
        (Encoding::Raw, "Jason \"J\" Kay\r\n\u{1}%ä"),
    ] {
        assert_eq!(expanded("[name]", encoding), want, "{encoding:?}");
    }
    assert_eq!(expanded("[user]", Encoding::SipUser), "sales.2_b-c+1");
    assert_eq!(expanded("[name]{100}", Encoding::SipUser), "100");
    let body = expanded("{\"name\":\"[name]\"}", Encoding::Json);
    let read: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(read["name"], "Jason \"J\" Kay\r\n\u{1}%ä");
}

#[test]
fn what_is_unknown_or_empty_has_its_default_as_it_is_written() {
    assert_eq!(expanded("a[missing]b", Encoding::Url), "ab");
    assert_eq!(expanded("[empty]{a b}", Encoding::Url), "a b");
    assert_eq!(
        expanded("{\"age\":[age]{null}}", Encoding::Json),
        "{\"age\":null}"
    );
    assert_eq!(expanded("[user]{none}", Encoding::Raw), "sales.2_b-c+1");
    assert_eq!(expanded("[empty]{}x", Encoding::Raw), "x");
    assert_eq!(expanded("[empty]{open", Encoding::Raw), "{open");
}

#[test]
fn what_is_no_token_is_text() {
    for text in ["", "[", "[]", "[A]", "[a b]", "a]b", "[[[", "{a}", "[ä]"] {
        assert_eq!(expanded(text, Encoding::Url), text);
        assert!(Template::parse(text).is_plain(), "{text}");
    }
    assert_eq!(expanded("[[user]]", Encoding::Raw), "[sales.2_b-c+1]");
    assert_eq!(expanded("[a[user]", Encoding::Raw), "[asales.2_b-c+1");
}

#[test]
fn a_template_tells_its_tokens_and_reads_as_it_was_written() {
    let text = "https://e/[b]?a=[a]{x}&[b]";

    let template = Template::parse(text);

    assert_eq!(template.tokens().collect::<Vec<_>>(), ["b", "a", "b"]);
    assert_eq!(template.head(), "https://e/");
    assert_eq!(template.to_string(), text);
    assert_eq!(Template::parse("[a]b").head(), "");
}

#[test]
fn what_would_grow_without_end_is_given_up() {
    struct Long;
    impl Lookup for Long {
        fn look_up(&self, _: &str, found: &mut dyn FnMut(&str)) {
            (0..1_000).for_each(|_| found(&"x".repeat(256)));
        }
    }
    let mut out = String::from("before");

    let result = Template::parse("[a][a][a]").expand(&Long, Encoding::Url, &mut out);

    assert_eq!(result, Err(TooLong));
    assert!(out.len() < MOST_EXPANDED + 1_000, "{}", out.len());
}

fn expanded(text: &str, encoding: Encoding) -> String {
    let mut out = String::new();
    let template = Template::parse(text);
    template.expand(&KNOWN, encoding, &mut out).expect("short");
    out
}
