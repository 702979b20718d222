//! One Twilio account for all: its webhooks at one front door, its numbers, its tokens, and what drifts.

use std::time::Duration;

use serde_json::{Value, json};
use strowger::twilio::access_token::{Issuer, VoiceGrant};
use strowger::twilio::form::Form;
use strowger::twilio::front_door::{Reply, Service, Vendor, find};
use strowger::twilio::jwt;
use strowger::twilio::numbers::{Delta, Line, Mode, Remote, set_up};
use strowger::twilio::public_url::PublicUrl;
use strowger::twilio::rest::{Api, ApiFault, connection_test, read};
use strowger::twilio::sid::{AccountSid, ApplicationSid, KeySid, NumberSid};
use strowger::types::moment::Moment;
use strowger::types::number::Number;
use strowger::types::secret::Secret;

#[test]
fn an_account_whose_numbers_can_be_listed_is_well_connected_even_if_there_are_none() {
    assert_eq!(
        test_connection(200, &json!({"incoming_phone_numbers": []})),
        Ok(0)
    );
    assert_eq!(
        test_connection(200, &json!({"incoming_phone_numbers": [{}]})),
        Ok(1)
    );
    assert_eq!(
        test_connection(401, &json!({"code": 20003})),
        Err(ApiFault::Credentials)
    );
}

#[test]
fn a_number_gets_three_webhooks_all_of_them_by_post() {
    let form = set_up(&base(), "my-org", Mode::Voice);

    for (field, service) in [
        ("VoiceUrl", "voice"),
        ("SmsUrl", "sms"),
        ("StatusCallback", "status"),
    ] {
        let url =
            format!("https://appengine.example.com/connect/webhook/twilio/{service}?orgid=my-org");
        assert_eq!(form.first(field), Some(&*url));
    }
    for method in ["VoiceMethod", "SmsMethod", "StatusCallbackMethod"] {
        assert_eq!(form.first(method), Some("POST"));
    }
}

#[test]
fn a_number_of_mode_ivr_comes_to_the_menu_first() {
    let form = set_up(&base(), "my-org", Mode::Ivr);

    assert_eq!(
        form.first("VoiceUrl"),
        Some("https://appengine.example.com/connect/webhook/twilio/ivr-menu?orgid=my-org")
    );
}

#[test]
fn the_front_door_is_one_for_all_vendors_and_services() {
    for service in Service::ALL {
        let path = format!("/connect/webhook/twilio/{}", service.name());
        assert_eq!(find(&path), Some((Vendor::Twilio, service)));
    }
    assert_eq!(
        find("/connect/webhook/twilio"),
        Some((Vendor::Twilio, Service::Voice))
    );
    assert_eq!(find("/connect/webhook/nobody/voice"), None);
}

#[test]
fn every_webhook_that_verbs_and_redirects_ask_is_there() {
    for name in [
        "recording-status",
        "transcription-status",
        "ivr-continue",
        "ivr-input",
        "ivr-menu-input",
        "ivr-recording",
        "ivr-payment-status",
        "ivr-queue-music",
        "ivr-ai-outbound",
        "ivr-ai-transfer",
        "ai-voice",
    ] {
        assert!(Service::parse(Some(name)).is_some(), "{name}");
    }
}

#[test]
fn who_asks_for_a_document_gets_one_and_who_tells_something_gets_none() {
    let none = Form::default();

    assert_eq!(Service::Voice.reply(&none), Reply::Document);
    assert_eq!(Service::IvrMenuInput.reply(&none), Reply::Document);
    assert_eq!(Service::Status.reply(&none), Reply::Nothing);
    assert_eq!(Service::RecordingStatus.reply(&none), Reply::Nothing);
}

#[test]
fn a_voice_token_lets_a_browser_call_by_way_of_the_account_s_application() {
    let claims = token("user:bob@example.com");

    let voice = &claims["grants"]["voice"];
    assert_eq!(
        voice["outgoing"]["application_sid"],
        "AP0123456789abcdef0123456789abcdef"
    );
    assert_eq!(claims["grants"]["identity"], "user:bob@example.com");
}

#[test]
fn a_voice_token_is_short_lived_and_made_with_the_api_key() {
    let claims = token("user:bob@example.com");

    assert_eq!(
        claims["exp"]
            .as_i64()
            .zip(claims["iat"].as_i64())
            .map(|(exp, iat)| exp - iat),
        Some(3600)
    );
    assert_eq!(claims["iss"], "SK00000000000000000000000000000001");
    assert_eq!(claims["sub"], "AC00000000000000000000000000000001");
}

#[test]
fn outbound_calls_of_a_soft_phone_come_to_the_same_place_as_inbound_ones() {
    let url = Service::Voice.url(&base(), "my-org", &[]);
    let application = ApplicationSid::parse("AP0123456789abcdef0123456789abcdef").unwrap();

    let request = api().open_application(application, &url);

    assert_eq!(
        request.form.first("VoiceUrl"),
        set_up(&base(), "my-org", Mode::Voice).first("VoiceUrl")
    );
}

#[test]
fn what_was_edited_in_the_dashboard_is_told_as_a_delta() {
    let edited = remote(&[("voice_url", "https://elsewhere.example.com/voice")]);

    let delta = Delta::between(&[edited], &[line()], &base(), "my-org").to_json();

    assert_eq!(delta["in_sync"], false);
    assert_eq!(
        delta["mismatch"][0]["fields"],
        json!([{
            "field": "voice_url",
            "local": "https://appengine.example.com/connect/webhook/twilio/voice?orgid=my-org",
            "remote": "https://elsewhere.example.com/voice",
        }])
    );
}

#[test]
fn pushing_the_routing_again_brings_a_number_back_in_sync() {
    let edited = [
        ("voice_url", "https://elsewhere.example.com/voice"),
        ("trunk_sid", "TK1"),
    ];
    let before = Delta::between(&[remote(&edited)], &[line()], &base(), "my-org");
    assert!(!before.is_empty());

    // What the push sets is what a number has that was never edited.
    let pushed = api().set_number(line().sid, set_up(&base(), "my-org", line().mode));
    let set = |field: &str| pushed.form.first(field).unwrap_or("?").to_owned();
    let (voice, trunk) = (set("VoiceUrl"), set("TrunkSid"));
    let after = remote(&[("voice_url", &voice), ("trunk_sid", &trunk)]);

    assert!(Delta::between(&[after], &[line()], &base(), "my-org").is_empty());
}

fn test_connection(status: u16, body: &Value) -> Result<usize, ApiFault> {
    let answer = read(status, body.to_string().as_bytes());
    connection_test(api(), answer.as_ref().map_err(|fault| *fault))
}

fn token(identity: &str) -> Value {
    let now = Moment::from_millis(1_767_225_600_000);
    let issuer = Issuer {
        account: AccountSid::from_bits(1),
        key: KeySid::from_bits(1),
        secret: Secret::new(*b"api key secret"),
        region: None,
    };
    let grant = VoiceGrant {
        incoming: true,
        outgoing: ApplicationSid::parse("AP0123456789abcdef0123456789abcdef"),
        ..VoiceGrant::default()
    };
    let token = issuer
        .mint(now, identity, &grant, Duration::from_secs(3600))
        .unwrap();
    jwt::verify(now, &token, &issuer.secret).unwrap().1
}

/// The number as the set-up leaves it, with changes.
fn remote(changes: &[(&str, &str)]) -> Remote {
    let form = set_up(&base(), "my-org", Mode::Voice);
    let set = |field: &str| form.first(field).unwrap_or_default();
    let mut value = json!({
        "sid": line().sid.to_string(),
        "phone_number": line().number.to_string(),
        "voice_url": set("VoiceUrl"),
        "voice_method": set("VoiceMethod"),
        "sms_url": set("SmsUrl"),
        "sms_method": set("SmsMethod"),
        "status_callback": set("StatusCallback"),
        "status_callback_method": set("StatusCallbackMethod"),
        "trunk_sid": null,
    });
    for (field, change) in changes {
        value[*field] = (*change).into();
    }
    Remote::read(&value).expect("a number")
}

fn line() -> Line {
    Line {
        sid: NumberSid::from_bits(1),
        number: Number::from_e164(b"+18005550001").unwrap(),
        mode: Mode::Voice,
    }
}

fn api() -> Api {
    Api {
        account: AccountSid::from_bits(1),
    }
}

fn base() -> PublicUrl {
    PublicUrl::parse("https://appengine.example.com").unwrap()
}
