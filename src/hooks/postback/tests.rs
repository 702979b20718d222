use super::*;

#[test]
fn a_query_says_what_became_of_the_call() {
    let posting =
        form("key=abc&converted=true&revenue=12.5&payout=7&age=66&product=a&product=b%26c&empty=");

    assert_eq!(posting.key.as_ref().map(Secret::expose), Some(&b"abc"[..]));
    assert_eq!(
        posting.posted,
        Posted {
            converted: Some(true),
            payout: "7".parse().ok(),
            revenue: "12.50".parse().ok(),
        }
    );
    let mut tags = Tags::default();
    assert_eq!(posting.apply(Origin::Postback, &mut tags), []);
    assert_eq!(shown(&tags), ["age:66", "product:a", "product:b&c"]);
}

#[test]
fn json_says_the_same() {
    let mut posting = Posting::default();

    let body = br#"{"key": "abc", "converted": 0, "revenue": 12.5, "age": 66, "product": ["a", "b"], "none": null, "ok": true}"#;
    assert_eq!(posting.read_json(body), Ok(()));

    assert_eq!(posting.posted.converted, Some(false));
    assert_eq!(posting.posted.revenue, "12.50".parse().ok());
    let mut tags = Tags::default();
    assert_eq!(posting.apply(Origin::Postback, &mut tags), []);
    assert_eq!(
        shown(&tags),
        ["age:66", "ok:true", "product:a", "product:b"]
    );
    for body in ["[1]", "x", r#"{"a": {"b": 1}}"#, r#"{"a": [[1]]}"#] {
        let mut posting = Posting::default();
        let result = posting.read_json(body.as_bytes());
        assert_eq!(result, Err(PostingFault::NotAnObject), "{body}");
    }
    assert_eq!(Posting::default().read_json(b" \n"), Ok(()));
}

#[test]
fn a_caller_is_found_in_every_spelling() {
    for text in [
        "%2B16146792390",
        "+16146792390",
        "16146792390",
        "(614)%20679-2390",
    ] {
        let posting = form(&format!("caller_number={text}"));

        assert_eq!(posting.caller, Number::from_e164(b"+16146792390"), "{text}");
    }
}

#[test]
fn what_has_a_meaning_is_read_or_refused() {
    for (text, name) in [
        ("converted=perhaps", "converted"),
        ("revenue=12,50", "revenue"),
        ("payout=-1", "payout"),
        ("payout=1e9", "payout"),
        ("caller_number=anonymous", "caller_number"),
    ] {
        let fault = Posting::default()
            .read_form(text.as_bytes())
            .expect_err(text);

        assert!(matches!(fault, PostingFault::Unreadable(found, _) if found == name));
        assert_eq!(fault.status(), 422);
    }
}

#[test]
fn a_wrong_key_and_a_call_that_does_not_exist_are_told_alike() {
    let right = Secret::new(*b"right");
    let with = |key: &str| form(key);

    assert_eq!(with("key=right").check_key(Some(&right)), Ok(()));
    let wrong = with("key=wrong").check_key(Some(&right));
    let unknown = with("key=right").check_key(None);
    assert_eq!(wrong, Err(PostingFault::NotFound));
    assert_eq!(wrong, unknown);
    // Nor does it help to guess what is compared with where there is nothing.
    assert_eq!(
        with("key=%00%00").check_key(None),
        Err(PostingFault::NotFound)
    );
    let none = with("age=66").check_key(Some(&right));
    assert_eq!(none, Err(PostingFault::NoKey));
    let statuses = [wrong, none].map(|result| result.err().map(|fault| fault.status()));
    assert_eq!(statuses, [Some(404), Some(401)]);
}

#[test]
fn there_is_a_most() {
    let many: String = (0..=MOST_VALUES)
        .map(|place| format!("k{place}=v&"))
        .collect();
    let result = Posting::default().read_form(many.as_bytes());
    assert_eq!(result, Err(PostingFault::TooLarge));

    let long = vec![b'a'; MOST_BYTES + 1];
    assert_eq!(
        Posting::default().read_form(&long),
        Err(PostingFault::TooLarge)
    );
    assert_eq!(
        Posting::default().read_json(&long),
        Err(PostingFault::TooLarge)
    );
}

#[test]
fn who_writes_data_is_told_what_became_of_it() {
    let posting = form("caller_number=6146792390&age=66&call_key=x&geo=us-10101");
    let mut tags = Tags::default();

    let refused = posting.apply(Origin::Stored, &mut tags);

    assert_eq!(refused, [("call_key".into(), TagFault::Reserved)]);
    assert_eq!(
        posting.answer(Fate::Stored, &tags).to_string(),
        r#"{"tag_values":{"age":["66"],"geo":["us","us-10101","us-ny"]},"caller_number":"+16146792390","status":"call not found, tags stored"}"#
    );
    let posting = form("call_uuid=ADDCF985-017e-4962-be34-cf5d55e74afc&age=66");
    assert_eq!(
        posting
            .answer(Fate::Completed, &Tags::default())
            .to_string(),
        r#"{"tag_values":{},"call_uuid":"addcf985-017e-4962-be34-cf5d55e74afc","status":"completed call found, tags applied"}"#
    );
}

#[test]
fn nothing_shows_the_key() {
    assert!(!format!("{:?}", form("key=canary&age=66")).contains("canary"));
}

fn form(text: &str) -> Posting {
    let mut posting = Posting::default();
    posting.read_form(text.as_bytes()).expect("a form");
    posting
}

fn shown(tags: &Tags) -> Vec<String> {
    let tags = tags.iter();
    tags.map(|tag| format!("{}:{}", tag.key, tag.value))
        .collect()
}
