//! The exchanges of the official client in the shared vectors, paging, and what is never sent twice.

use serde_json::json;

use super::*;
use crate::twilio::tests::shared;

const OWN: &str = "/2010-04-01/Accounts/AC00000000000000000000000000000001/";

#[test]
fn requests_are_those_of_the_official_client() {
    let Some(vectors) = shared() else {
        return;
    };
    for vector in vectors["rest_wire"].as_array().unwrap() {
        let exchange = &vector["exchanges"][0];
        let theirs = Form::parse(exchange["request"]["body"].as_str().unwrap().as_bytes()).unwrap();
        let value = |name: &str| theirs.first(name).unwrap();
        let number = NumberSid::from_bits(1);
        let call = CallSid::from_bits(5);
        let request = match vector["id"].as_str().unwrap() {
            "list_numbers_api_key" => Request {
                target: format!("{OWN}IncomingPhoneNumbers.json"),
                ..api().numbers(50)
            },
            "buy_number" => {
                let set_up = theirs
                    .iter()
                    .filter(|(name, _)| *name != "PhoneNumber")
                    .collect();
                let wish = Number::from_e164(value("PhoneNumber").as_bytes()).unwrap();
                api().buy_number(Wish::Number(wish), set_up)
            }
            "update_bad_url" => api().set_number(
                number,
                [("VoiceUrl", value("VoiceUrl"))].into_iter().collect(),
            ),
            "create_call_sip" => api().call(theirs.clone()),
            "redirect_call" => api().redirect_call(call, value("Url")),
            "hangup_call" => api().end_call(call),
            "set_application" => {
                let application =
                    ApplicationSid::parse("AP0123456789abcdef0123456789abcdef").unwrap();
                api().open_application(application, value("VoiceUrl"))
            }
            other => panic!("{other} is new"),
        };

        let method = match request.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        };
        assert_eq!(exchange["request"]["method"], method);
        assert_eq!(exchange["request"]["path"], request.target.as_str());
        let sorted = |form: &Form| {
            let mut fields: Vec<_> = form
                .iter()
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect();
            fields.sort();
            fields
        };
        assert_eq!(sorted(&request.form), sorted(&theirs), "{}", vector["id"]);

        let status = exchange["response"]["status"].as_u64().unwrap() as u16;
        let body = exchange["response"]["body"].to_string();
        let answer = read(status, body.as_bytes());
        match vector["id"].as_str() {
            Some("update_bad_url") => assert_eq!(answer, Err(ApiFault::Refused(21_402))),
            _ => assert_eq!(answer.as_ref(), Ok(&exchange["response"]["body"])),
        }
    }
}

#[test]
fn credentials_are_told_as_basic_authentication() {
    let user = "SK00000000000000000000000000000001";

    let value = authorization(user, &Secret::new(*b"sk-secret"));

    assert!(value.is_equal(b"Basic U0swMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMTpzay1zZWNyZXQ="));
}

#[test]
fn a_list_is_read_page_by_page_to_its_end() {
    let page = |numbers: &[u32], next: Value| json!({"incoming_phone_numbers": numbers, "next_page_uri": next});
    let mut listing = Listing::new(api(), NUMBERS);
    let first = api().numbers(1000);
    assert_eq!(
        first.target,
        format!("{OWN}IncomingPhoneNumbers.json?PageSize=1000")
    );

    let next = format!("{OWN}IncomingPhoneNumbers.json?PageSize=1000&Page=1&PageToken=PAPN1");
    let second = listing.take(&page(&[1, 2], json!(next))).unwrap().unwrap();
    assert_eq!((second.method, second.target), (Method::Get, next));
    assert_eq!(listing.take(&page(&[3], Value::Null)), Ok(None));
    assert_eq!(listing.into_items(), [json!(1), json!(2), json!(3)]);

    let mut endless = Listing::new(api(), NUMBERS);
    let again = page(
        &[1],
        json!(format!("{OWN}IncomingPhoneNumbers.json?Page=1")),
    );
    let asked = std::iter::from_fn(|| endless.take(&again).ok()).count();
    assert_eq!(asked, MOST_PAGES - 1);
}

#[test]
fn the_next_page_is_nowhere_else() {
    for bad in [
        "https://api.twilio.com/2010-04-01/Accounts/AC00000000000000000000000000000001/IncomingPhoneNumbers.json",
        "//evil.example.com/2010-04-01/Accounts/AC00000000000000000000000000000001/x",
        "/2010-04-01/Accounts/AC00000000000000000000000000000002/IncomingPhoneNumbers.json",
        "/2010-04-01/Accounts/AC00000000000000000000000000000001/../AC00000000000000000000000000000002/x",
        "/2010-04-01/Accounts/AC00000000000000000000000000000001/x y",
        "/2010-04-01/Accounts/AC00000000000000000000000000000001/x\r\nHost: evil",
        "/2010-04-01/Accounts/AC00000000000000000000000000000001//x",
        "",
    ] {
        assert_eq!(api().next_page(bad), None, "{bad}");
        if !bad.is_empty() {
            let page = json!({"incoming_phone_numbers": [], "next_page_uri": bad});
            assert_eq!(Page::read(api(), NUMBERS, &page), Err(ApiFault::Odd));
        }
    }
    let odd = json!({"incoming_phone_numbers": [], "next_page_uri": 1});
    assert_eq!(Page::read(api(), NUMBERS, &odd), Err(ApiFault::Odd));
    assert_eq!(Page::read(api(), NUMBERS, &json!({})), Err(ApiFault::Odd));
}

#[test]
fn answers_say_what_went_wrong() {
    for (status, body, fault) in [
        (
            401,
            r#"{"code":20003,"message":"Authenticate","status":401}"#,
            ApiFault::Credentials,
        ),
        (403, "", ApiFault::Credentials),
        (400, r#"{"code":20003}"#, ApiFault::Credentials),
        (404, r#"{"code":20404}"#, ApiFault::NotFound),
        (429, r#"{"code":20429}"#, ApiFault::TooMany),
        (429, "slow down", ApiFault::TooMany),
        (400, r#"{"code":21452}"#, ApiFault::Refused(21_452)),
        (400, "<html>", ApiFault::Refused(400)),
        (
            400,
            r#"{"type":"x","title":"y","status":400,"code":1,"detail":"z"}"#,
            ApiFault::Refused(1),
        ),
        (500, "", ApiFault::Broken(500)),
        (503, r#"{"code":20503}"#, ApiFault::Broken(503)),
        (302, "", ApiFault::Odd),
        (200, "<html>", ApiFault::Odd),
    ] {
        assert_eq!(read(status, body.as_bytes()), Err(fault), "{status} {body}");
    }
    assert_eq!(read(204, b""), Ok(Value::Null));
    assert_eq!(read(200, b"{}"), Ok(json!({})));
}

#[test]
fn an_account_is_read_as_what_it_says_it_is() {
    assert_eq!(
        api().account().target,
        "/2010-04-01/Accounts/AC00000000000000000000000000000001.json"
    );
    assert!(is_account(
        api(),
        &json!({"sid": "AC00000000000000000000000000000001", "status": "active"})
    ));
    for other in [
        json!({"sid": "AC00000000000000000000000000000002"}),
        json!({"sid": null}),
        json!({}),
        json!([]),
    ] {
        assert!(!is_account(api(), &other), "{other}");
    }
}

#[test]
fn a_connection_is_good_if_it_lists_numbers_even_none() {
    assert_eq!(
        connection_test(api(), Ok(&json!({"incoming_phone_numbers": []}))),
        Ok(0)
    );
    assert_eq!(
        connection_test(api(), Ok(&json!({"incoming_phone_numbers": [1]}))),
        Ok(1)
    );
    assert_eq!(connection_test(api(), Ok(&json!({}))), Err(ApiFault::Odd));
    assert_eq!(
        connection_test(api(), Err(ApiFault::Credentials)),
        Err(ApiFault::Credentials)
    );
}

#[test]
fn what_costs_money_is_sent_again_only_if_it_was_not_looked_at() {
    let buy = api().buy_number(Wish::AreaCode("212"), Form::default());
    let call = api().call(Form::default());
    let update = api().set_number(NumberSid::from_bits(1), Form::default());
    let release = api().release_number(NumberSid::from_bits(1));
    let wait = |request: &Request, fault| wait_before_repeat(request, fault, 1, u32::MAX, None);

    for request in [&buy, &call] {
        assert_eq!(wait(request, ApiFault::NoAnswer), None);
        assert_eq!(wait(request, ApiFault::Broken(503)), None);
        assert!(wait(request, ApiFault::TooMany).is_some());
        assert!(wait(request, ApiFault::NotReached).is_some());
    }
    for request in [&update, &release, &api().numbers(1)] {
        assert!(wait(request, ApiFault::NoAnswer).is_some());
        assert!(wait(request, ApiFault::Broken(503)).is_some());
        for lasting in [
            ApiFault::Credentials,
            ApiFault::NotFound,
            ApiFault::Refused(1),
            ApiFault::Odd,
        ] {
            assert_eq!(wait(request, lasting), None);
        }
    }
}

#[test]
fn waits_grow_are_drawn_and_end() {
    let request = api().numbers(1);
    let wait = |tries, dice, after: Option<u64>| {
        wait_before_repeat(
            &request,
            ApiFault::TooMany,
            tries,
            dice,
            after.map(Duration::from_secs),
        )
    };
    let millis = |millis| Some(Duration::from_millis(millis));

    assert_eq!(wait(1, u32::MAX, None), millis(199));
    assert_eq!(wait(2, u32::MAX, None), millis(399));
    assert_eq!(wait(3, u32::MAX, None), millis(799));
    assert_eq!(wait(3, 0, None), millis(0));
    assert_eq!(wait(3, 1 << 31, None), millis(400));
    assert_eq!(wait(4, 0, None), None);
    assert_eq!(wait(0, 0, None), None);
    assert_eq!(wait(1, 0, Some(2)), millis(2000));
    assert_eq!(wait(1, 0, Some(11)), None);
}

fn api() -> Api {
    Api {
        account: AccountSid::from_bits(1),
    }
}
