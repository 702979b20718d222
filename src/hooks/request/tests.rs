use super::*;
use crate::hooks::model::Body;
use crate::hooks::model::tests::hook;
use crate::types::ids::Entropy;
use crate::types::secret::Secret;
use crate::types::tag::{Origin, Tags};

#[test]
fn tokens_are_replaced_in_url_headers_and_body_each_in_its_own_way() {
    let mut one = hook("crm", Trigger::Always);
    one.method = Method::Post;
    one.url = Template::parse("https://crm.example.com/leads?n=[name]&p=[product]");
    one.headers = vec![("X-Lead".into(), Template::parse("[name]; [missing]{none}"))];
    for (content_type, expected) in [
        ("application/json; charset=utf-8", "a \\\"b\\\"&c"),
        ("application/vnd.api+json", "a \\\"b\\\"&c"),
        ("application/x-www-form-urlencoded", "a+%22b%22%26c"),
        ("text/plain", "a \"b\"&c"),
    ] {
        one.body = Some(Body {
            text: Template::parse("<[name]>"),
            content_type: content_type.into(),
        });

        let request = Request::build(&one, &facts(), &delivery(0)).expect("short");

        assert_eq!(
            &*request.url,
            "https://crm.example.com/leads?n=a%20%22b%22%26c&p=x%2Cy"
        );
        assert_eq!(request.body.as_deref(), Some(&*format!("<{expected}>")));
        assert_eq!(header(&request, "X-Lead"), Some("a \"b\"&c; none"));
        assert_eq!(header(&request, "Content-Type"), Some(content_type));
        assert_eq!(header(&request, DELIVERY), Some(&*delivery(0).to_string()));
        assert_eq!(header(&request, SIGNATURE), None);
    }
}

#[test]
fn nothing_that_a_caller_or_a_server_says_breaks_a_header() {
    struct Evil;
    impl Lookup for Evil {
        fn look_up(&self, _: &str, found: &mut dyn FnMut(&str)) {
            found("a\r\nX-Evil: 1\0é");
        }
    }
    let mut one = hook("crm", Trigger::Start);
    one.headers = vec![("X-Lead".into(), Template::parse("[name]"))];

    let request = Request::build(&one, &Evil, &delivery(0)).expect("short");

    assert_eq!(
        header(&request, "X-Lead"),
        Some("a%0D%0AX-Evil: 1%00%C3%A9")
    );
}

/// The signature was computed with another program: `printf '%s.%s' "$id" "$body" | openssl dgst -sha256 -hmac secret`.
#[test]
fn a_body_is_signed_together_with_its_delivery() {
    let mut one = hook("crm", Trigger::Always);
    one.method = Method::Post;
    one.secret = Some(Secret::new(*b"secret"));
    one.body = Some(Body {
        text: Template::parse("{\"age\":[age]}"),
        content_type: "application/json".into(),
    });
    let id = delivery(0);
    assert_eq!(id.to_string(), "acb0cb49-fc7a-892f-ae23-9380921fef1b");

    let request = Request::build(&one, &facts(), &id).expect("short");

    assert_eq!(request.body.as_deref(), Some("{\"age\":66}"));
    assert_eq!(
        header(&request, SIGNATURE),
        Some("sha256=d9ccaca89fbb66d5c051bbe773b75820085a46cda737dece23dcdb292040bdc6")
    );
}

#[test]
fn a_delivery_has_one_name_however_often_it_is_tried() {
    assert_eq!(delivery(0), delivery(0));
    assert_ne!(delivery(0), delivery(1));
    assert_ne!(delivery(0), DeliveryId::new(&call(), "other", 0));
    assert_eq!(&delivery(0).to_string()[14..15], "8");
}

#[test]
fn the_key_of_a_call_is_sent_and_not_shown() {
    let mut one = hook("crm", Trigger::Answered);
    one.url = Template::parse("https://crm.example.com/?key=[call_key]&age=[age]");

    let request = Request::build(&one, &facts(), &delivery(0)).expect("short");

    assert_eq!(&*request.url, "https://crm.example.com/?key=canary&age=66");
    let shown = shown_url(&one, &facts()).expect("short");
    assert_eq!(shown, "https://crm.example.com/?key=REDACTED&age=66");
    assert!(!format!("{request:?}").contains("canary"));
}

fn header<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let found = request.headers.iter().find(|(one, _)| **one == *name);
    found.map(|(_, value)| &**value)
}

fn call() -> CallUuid {
    CallUuid::new(&mut Entropy::from_seed([7; 32]))
}

fn delivery(turn: u32) -> DeliveryId {
    DeliveryId::new(&call(), "crm", turn)
}

struct Facts(Tags);

impl Lookup for Facts {
    fn look_up(&self, name: &str, found: &mut dyn FnMut(&str)) {
        if name == CALL_KEY {
            found("canary");
        }
        self.0.look_up(name, found);
    }
}

fn facts() -> Facts {
    let mut tags = Tags::default();
    for (key, value) in [
        ("name", "a \"b\"&c"),
        ("product", "x"),
        ("product", "y"),
        ("age", "66"),
    ] {
        tags.add(key, value, Origin::Hook).expect("a tag");
    }
    Facts(tags)
}
