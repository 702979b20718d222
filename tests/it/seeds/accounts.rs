//! What the documents say of accounts and soft phones, asked of a running edge: connecting, numbers, tokens, drift, and calls that
//! are told to whoever is there.

use serde_json::{Value, json};
use strowger::net::clock;
use strowger::twilio::jwt;
use strowger::types::moment::Moment;
use strowger::types::secret::Secret;

use crate::loopback::accounts::phones::{Phone, voice};
use crate::loopback::accounts::{
    API_SECRET, CANARIES, Member, Office, integration, notification, notify,
};
use crate::twilio_api::{ACCOUNT, TOKEN};

const TEST: &str = "/upstream/test/TwilioProvider/listPhoneNumbers";

#[test]
fn an_account_is_connected_through_save_integration() {
    with_org(|_, member| {
        let shown = member.get("/upstream/integrations").json();
        assert_eq!(shown["items"][0]["type"], "TwilioProvider");
        assert_eq!(shown["items"][0]["config"]["accountSid"], ACCOUNT);
    });
}

#[test]
fn if_the_test_returns_numbers_or_an_empty_array_the_credentials_are_good() {
    with_org(|office, member| {
        assert_eq!(member.post(TEST, &json!({})).json(), json!([]));
        office.api.own("+18005550001");
        assert_eq!(
            member
                .post(TEST, &json!({}))
                .json()
                .as_array()
                .map(Vec::len),
            Some(1)
        );
    });
}

#[test]
fn credentials_are_encrypted_at_rest_and_never_appear_in_answers() {
    // What is asked here looks for canaries in each answer.
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    member.connect();
    member.get("/upstream/integrations");
    member.post(TEST, &json!({}));
    edge.stop();

    let files = office.files();
    for canary in CANARIES {
        assert!(
            memchr::memmem::find(&files, canary.as_bytes()).is_none(),
            "{canary}"
        );
    }
}

#[test]
fn a_number_that_is_purchased_or_imported_gets_three_webhooks() {
    with_org(|office, member| {
        office.api.own("+18005550001");
        let bought = member
            .post("/phone/numbers", &json!({"areaCode": "415"}))
            .json();
        let imported = json!({"phoneNumber": "+18005550001", "mode": "ivr"});
        let imported = member.post("/phone/numbers/add", &imported).json();

        for (number, voice) in [(bought, "voice"), (imported, "ivr-menu")] {
            let sid = number["id"].as_str().expect("a SID").to_owned();
            for (field, service) in [
                ("voice_url", voice),
                ("sms_url", "sms"),
                ("status_callback", "status"),
            ] {
                let url = format!(
                    "https://edge.example.com/connect/webhook/twilio/{service}?orgid=my-org"
                );
                assert_eq!(office.api.field(&sid, field), url);
                let method = format!("{}_method", field.trim_end_matches("_url"));
                assert_eq!(office.api.field(&sid, &method), "POST");
            }
        }
    });
}

#[test]
fn register_device_returns_the_same_token_and_the_users_assigned_phones() {
    with_org(|_, member| {
        let number = json!({"areaCode": "415", "users": ["user:bob"]});
        let number = member.post("/phone/numbers", &number).json();

        let body = json!({"identity": "user:bob"});
        let token = member.post("/phone/token", &body).json();
        let device = member.post("/phone/voice/register-device", &body).json();

        assert_eq!(device["phones"], json!([number]));
        for member in ["identity", "expires_in"] {
            assert_eq!(device[member], token[member]);
        }
        assert!(device["token"].is_string());
    });
}

#[test]
fn everything_of_an_org_is_asked_with_its_id_and_a_jwt() {
    with_org(|office, member| {
        let asked = office.api.asked().len();
        for (method, path) in [
            ("POST", "/upstream/save-integration"),
            ("POST", TEST),
            ("POST", "/phone/token"),
            ("POST", "/phone/voice/register-device"),
            ("GET", "/phone/numbers"),
            ("POST", "/phone/numbers"),
            ("POST", "/phone/numbers/add"),
            ("POST", "/phone/numbers/+18005550001/routing"),
            ("POST", "/phone/verify"),
        ] {
            let body = if method == "GET" { "" } else { "{}" };
            let org = ("orgid", "my-org");
            let nobody = crate::loopback::client::Client {
                token: None,
                ..member.client
            };
            let without = nobody.ask(method, path, &[org], body.as_bytes());
            assert_eq!(without.status, 401, "{path}");
            let nowhere = member.client.ask(method, path, &[], body.as_bytes());
            assert_eq!(nowhere.status, 401, "{path}");
            let other = member.with(&json!({}), "another-secret-0123456789");
            assert_eq!(
                other.ask(method, path, body.as_bytes()).status,
                401,
                "{path}"
            );
        }
        assert_eq!(
            office.api.asked().len(),
            asked,
            "the vendor was asked nothing"
        );
    });
}

#[test]
fn the_connection_is_tested_as_the_document_shows_it() {
    with_org(|_, member| {
        // `curl -X POST` with `orgid` and `Authorization`, and no body.
        let org = [("orgid", "my-org")];
        let tried = member.client.ask("POST", TEST, &org, b"");

        assert_eq!((tried.status, tried.json()), (200, json!([])));
    });
}

#[test]
fn a_voice_token_is_short_lived_and_grants_calls_by_way_of_the_application() {
    with_org(|_, member| {
        let body = json!({"identity": "user:bob@example.com"});
        let made = member.post("/phone/token", &body).json();
        let millis = i64::try_from(clock::wall().as_millis()).expect("a time");
        let secret = Secret::new(API_SECRET.as_bytes());
        let token = made["token"].as_str().expect("a token");
        // It is signed with the secret of the API key, not with the master token.
        let read = jwt::verify(Moment::from_millis(millis), token, &secret);
        let (_, claims) = read.expect("claims");

        assert_eq!(claims["iss"], "SK0123456789abcdef0123456789abcdef");
        assert_eq!(claims["sub"], ACCOUNT);
        assert_eq!(claims["grants"]["identity"], "user:bob@example.com");
        let application = &claims["grants"]["voice"]["outgoing"]["application_sid"];
        assert_eq!(application, "AP0123456789abcdef0123456789abcdef");
        let time = |name: &str| claims[name].as_i64().expect("a time");
        assert_eq!(time("exp") - time("iat"), 3600);
    });
}

#[test]
fn the_upstream_record_is_the_only_store_of_credentials() {
    with_org(|office, _| {
        // No file of the configuration, and no environment, has them.
        let text = std::fs::read_to_string(&office.site.config).expect("the configuration");
        for secret in [TOKEN, ACCOUNT, "SK0123456789abcdef0123456789abcdef"] {
            assert!(!text.contains(secret));
            assert!(std::env::vars().all(|(_, value)| !value.contains(secret)));
        }
    });
}

#[test]
fn the_master_token_never_reaches_a_browser() {
    with_org(|_, member| {
        let made = member
            .post("/phone/token", &json!({"identity": "user:bob"}))
            .json();
        let claims = made["token"]
            .as_str()
            .and_then(|token| token.split('.').nth(1))
            .expect("claims");
        assert!(!claims.is_empty() && !made.to_string().contains(TOKEN));
    });
}

#[test]
fn multiple_accounts_per_org_are_not_supported() {
    with_org(|office, member| {
        let mut other = integration(TOKEN);
        other["config"]["accountSid"] = "AC00000000000000000000000000000009".into();
        office.api.add_account("AC00000000000000000000000000000009");
        assert_eq!(
            member.post("/upstream/save-integration", &other).status,
            200
        );

        // The one took the place of the other.
        let shown = member.get("/upstream/integrations").json();
        assert_eq!(shown["items"].as_array().map(Vec::len), Some(1));
        assert_eq!(
            shown["items"][0]["config"]["accountSid"],
            "AC00000000000000000000000000000009"
        );
    });
}

#[test]
fn verify_returns_a_delta_and_routing_pushes_the_local_config_back() {
    with_org(|office, member| {
        let number = member
            .post("/phone/numbers", &json!({"areaCode": "415"}))
            .json();
        let sid = number["id"].as_str().expect("a SID").to_owned();
        office
            .api
            .edit(&sid, "voice_url", "https://elsewhere.example.com/");
        let verify = || member.post("/phone/verify", &json!({})).json();

        assert_eq!(verify()["mismatch"][0]["fields"][0]["field"], "voice_url");
        assert_eq!(
            member
                .post(&format!("/phone/numbers/{sid}/routing"), &json!({}))
                .status,
            200
        );
        assert_eq!(verify()["in_sync"], true);
    });
}

#[test]
fn two_hundred_when_a_client_is_found_and_four_hundred_and_four_when_none_is() {
    with_org(|_, member| {
        let mut phone = Phone::open(voice(member, "bob"));
        let body = notification("client:bob", "WB1");

        assert_eq!(notify(member, &body).status, 200);
        assert_eq!(phone.read(), body.as_bytes());
        let nobody = notify(member, &notification("client:carol", "WB2"));
        assert_eq!((nobody.status, &*nobody.body), (404, "Not found"));
    });
}

#[test]
fn the_json_body_is_delivered_directly_without_modification() {
    with_org(|_, member| {
        let mut phone = Phone::open(voice(member, "bob"));
        let body = format!(
            "{{\n\"twi_params\":\"key=value\" , \"twi_to\":\"client:bob\",\"twi_account_sid\":\"{ACCOUNT}\",\"more\":[1.0,null]}} "
        );

        assert_eq!(notify(member, &body).status, 200);

        assert_eq!(phone.read(), body.as_bytes());
    });
}

/// Has an org connect the account, and looks at what was asked of the vendor.
fn with_org(test: impl FnOnce(&Office, &Member)) {
    let office = Office::new(1000);
    let edge = office.site.start();
    let member = Member::of(&edge);
    let saved = member.connect();
    assert_eq!(saved.status, 200, "{}", saved.body);
    test(&office, &member);
    assert_eq!(office.api.violations(), Vec::<String>::new());
    let _: Value = saved.json();
}
