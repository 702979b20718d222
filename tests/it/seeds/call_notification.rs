//! Call notifications by webhook: who calls a soft phone, told to where its user is.

use serde_json::json;
use strowger::twilio::notification::{Binding, Channel, IdentityGrammar, Notification};
use strowger::types::moment::Moment;

const ACCOUNT: &str = "AC00000000000000000000000000000001";

#[test]
fn two_hundred_if_a_client_of_this_identity_and_account_is_found() {
    assert_eq!(status("client:bob", ACCOUNT, &[bound("bob", ACCOUNT)]), 200);
}

#[test]
fn four_hundred_and_four_if_none_is_found() {
    assert_eq!(status("client:bob", ACCOUNT, &[]), 404);
    assert_eq!(
        status("client:bob", ACCOUNT, &[bound("alice", ACCOUNT)]),
        404
    );
    assert_eq!(status("client:bob", ACCOUNT, &[bound("bob", "AC2")]), 404);
}

#[test]
fn not_found_is_said_in_words() {
    let body = body("client:bob", ACCOUNT);
    let notification = read(&body).expect("a notification");

    assert_eq!(notification.answer(now(), &[], false).text, "Not found");
}

#[test]
fn four_hundred_if_the_body_is_no_json() {
    for body in ["", "twi_to=client%3Abob", "{\"twi_to\": ACxxxx}"] {
        assert_eq!(
            status_of(body.as_bytes(), &[bound("bob", ACCOUNT)]),
            400,
            "{body}"
        );
    }
}

#[test]
fn four_hundred_if_the_callee_has_no_identity() {
    for to in ["bob", "client:", ""] {
        assert_eq!(
            status(to, ACCOUNT, &[bound("bob", ACCOUNT), bound("", ACCOUNT)]),
            400,
            "{to}"
        );
    }
    let fault = read(&body("bob", ACCOUNT)).err().expect("a fault");
    assert_eq!(fault.to_string(), "Invalid callee identity");
}

#[test]
fn an_identity_with_a_colon_is_found_unless_the_sample_is_followed_to_the_letter() {
    let body = body("client:user:bob", ACCOUNT);

    assert_eq!(
        status("client:user:bob", ACCOUNT, &[bound("user:bob", ACCOUNT)]),
        200
    );
    assert!(Notification::read(&body, IdentityGrammar::TwoParts).is_err());
}

#[test]
fn the_body_is_delivered_directly_and_without_modification() {
    // Neither order, nor white space, nor members that we do not know, nor spellings of numbers change.
    let body = format!(
        "{{ \"twi_params\":\"a=1&b=%20\",\"twi_to\":\"client:b\\u006fb\",\n\"x\":1.50, \"twi_account_sid\":\"{ACCOUNT}\"}}\n"
    );
    let bound = [bound("bob", ACCOUNT)];

    let notification = read(body.as_bytes()).expect("a notification");

    assert_eq!(notification.body, body.as_bytes());
    assert_eq!(
        notification.answer(now(), &bound, false).receivers,
        [&bound[0]]
    );
}

#[test]
fn every_client_of_the_identity_gets_it() {
    let body = body("client:bob", ACCOUNT);
    let phones = [Channel::Fcm, Channel::Apns, Channel::WebSocket];
    let bound = phones.map(|channel| Binding {
        channel,
        ..bound("bob", ACCOUNT)
    });

    let notification = read(&body).expect("a notification");

    assert_eq!(notification.answer(now(), &bound, false).receivers.len(), 3);
}

#[test]
fn custom_parameters_are_optional() {
    let mut members = members("client:bob", ACCOUNT);
    members["twi_params"] = json!("key=value");

    assert_eq!(
        status_of(members.to_string().as_bytes(), &[bound("bob", ACCOUNT)]),
        200
    );
    assert_eq!(status("client:bob", ACCOUNT, &[bound("bob", ACCOUNT)]), 200);
}

#[test]
fn a_message_id_is_unique_so_the_same_request_is_delivered_once() {
    let body = body("client:bob", ACCOUNT);
    let bound = [bound("bob", ACCOUNT)];

    let notification = read(&body).expect("a notification");

    assert_eq!(
        notification.message.as_deref(),
        Some("WB00000000000000000000000000000001")
    );
    let again = notification.answer(now(), &bound, true);
    assert_eq!((again.status, again.receivers.len()), (200, 0));
}

#[test]
fn a_client_that_is_no_longer_active_is_not_found() {
    let gone = Binding {
        expires: now(),
        ..bound("bob", ACCOUNT)
    };

    assert_eq!(status("client:bob", ACCOUNT, &[gone]), 404);
}

fn status(to: &str, account: &str, bound: &[Binding]) -> u16 {
    status_of(&body(to, account), bound)
}

fn status_of(body: &[u8], bound: &[Binding]) -> u16 {
    read(body).map_or(400, |notification| {
        notification.answer(now(), bound, false).status
    })
}

fn read(
    body: &[u8],
) -> Result<Notification<'_>, strowger::twilio::notification::NotificationFault> {
    Notification::read(body, IdentityGrammar::default())
}

fn body(to: &str, account: &str) -> Vec<u8> {
    members(to, account).to_string().into_bytes()
}

fn members(to: &str, account: &str) -> serde_json::Value {
    json!({
        "twi_account_sid": account,
        "twi_bridge_token": "eyJraxxxx",
        "twi_call_sid": "CA00000000000000000000000000000001",
        "twi_from": "client:alice",
        "twi_message_id": "WB00000000000000000000000000000001",
        "twi_message_type": "twilio.voice.call",
        "twi_to": to,
    })
}

fn bound(identity: &str, account: &str) -> Binding {
    Binding {
        identity: identity.into(),
        account: account.into(),
        channel: Channel::WebSocket,
        address: "7".into(),
        expires: Moment::from_millis(1),
    }
}

fn now() -> Moment {
    Moment::from_millis(0)
}
