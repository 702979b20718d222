//! Tells soft phones by way of push services, which wake them: Firebase Cloud Messaging and Apple's. Both get the bytes of the
//! notification as they came.
//!
//! ```text
//!   FCM    POST /v1/projects/P/messages:send   {"message":{"token":ADDRESS,"android":{...},"data":BODY}}
//!   APNs   POST /3/device/ADDRESS              BODY
//! ```

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::time;

use crate::config::accounts::{Accounts, Apns, Fcm};
use crate::edge::accounts::passes::Pass;
use crate::edge::storeroom::moment;
use crate::net::clock;
use crate::net::http_client::{Asked, Client, Failure, Fetch};
use crate::twilio::notification::{Binding, Channel};
use crate::twilio::rest::segment;

/// How long a push may take, all attempts together: a call rings for half a minute.
const TIME: Duration = Duration::from_secs(15);

/// Pauses before the second and the third attempt.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];

/// Bytes of an answer.
const MOST_ANSWER: usize = 16 * 1024;

/// For how long a phone that cannot be reached is to be told later, in seconds: nobody rings longer.
const TIME_TO_LIVE: u32 = 30;

/// What came of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The service has it.
    Done,
    /// The service does not know the phone any more.
    Gone,
    /// It is not delivered: why, as a label of a bounded set.
    Failed(&'static str),
}

impl Pushed {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Gone => "gone",
            Self::Failed(why) => why,
        }
    }
}

/// The way to the push services.
pub(in crate::edge) struct Pushes {
    client: Client,
    google: Pass,
    apple: Pass,
}

/// How an attempt went.
enum Attempt {
    Over(Pushed),
    /// Another may go better.
    Again(&'static str),
    /// The token was not taken.
    Refused,
}

impl Pushes {
    pub(in crate::edge) fn new(client: Client) -> Self {
        Self {
            client,
            google: Pass::default(),
            apple: Pass::default(),
        }
    }

    /// Whether a phone of this kind can be reached at all.
    pub(in crate::edge) fn reaches(terms: &Accounts, channel: Channel) -> bool {
        match channel {
            Channel::Fcm => terms.fcm.is_some(),
            Channel::Apns => terms.apns.is_some(),
            Channel::WebSocket => false,
        }
    }

    /// Tells a phone.
    pub(super) async fn push(&self, terms: &Accounts, binding: &Binding, body: &Bytes) -> Pushed {
        let deadline = clock::now() + TIME;
        let mut pauses = PAUSES.into_iter();
        let mut is_renewed = false;
        loop {
            let attempt = match (binding.channel, &terms.fcm, &terms.apns) {
                (Channel::Fcm, Some(fcm), _) => self.fcm(fcm, binding, body, deadline).await,
                (Channel::Apns, _, Some(apns)) => self.apns(apns, binding, body, deadline).await,
                (Channel::Fcm | Channel::Apns | Channel::WebSocket, _, _) => {
                    return Pushed::Failed("no_service");
                }
            };
            let why = match attempt {
                Attempt::Over(pushed) => return pushed,
                Attempt::Refused if is_renewed => return Pushed::Failed("credentials"),
                Attempt::Refused => {
                    is_renewed = true;
                    continue;
                }
                Attempt::Again(why) => why,
            };
            match pauses.next() {
                Some(pause) if clock::now() + pause < deadline => time::sleep(pause).await,
                Some(_) | None => return Pushed::Failed(why),
            }
        }
    }

    async fn fcm(&self, fcm: &Fcm, binding: &Binding, body: &Bytes, deadline: Instant) -> Attempt {
        let token = self
            .google
            .google(moment(), &fcm.account, &self.client, deadline)
            .await;
        let token = match token {
            Ok(token) => token,
            Err(why) => return Attempt::Again(why),
        };
        let Some(message) = message(&binding.address, body) else {
            return Attempt::Over(Pushed::Failed("bad_body"));
        };
        let headers = [
            ("Authorization".into(), bearer(token.expose())),
            ("Content-Type".into(), "application/json".into()),
        ];
        let answer = self.post(&fcm.url, &headers, &message, deadline).await;
        match answer {
            // Only what it says of the phone itself: 404 is also the answer of a wrong URL.
            Ok(answer) if answer.status == 404 && reason(&answer) == Some("UNREGISTERED") => {
                Attempt::Over(Pushed::Gone)
            }
            Ok(answer) if answer.status == 401 => {
                self.google.drop_it(&token).await;
                Attempt::Refused
            }
            answer => judge(answer.map(|answer| answer.status)),
        }
    }

    async fn apns(
        &self,
        apns: &Apns,
        binding: &Binding,
        body: &Bytes,
        deadline: Instant,
    ) -> Attempt {
        let token = match self.apple.apple(moment(), apns).await {
            Ok(token) => token,
            Err(why) => return Attempt::Over(Pushed::Failed(why)),
        };
        let Ok(body) = str::from_utf8(body) else {
            return Attempt::Over(Pushed::Failed("bad_body"));
        };
        let headers = [
            ("authorization".into(), bearer(token.expose())),
            ("content-type".into(), "application/json".into()),
            ("apns-topic".into(), apns.topic.clone()),
            ("apns-push-type".into(), "voip".into()),
            ("apns-priority".into(), "10".into()),
            // Now or never: the call is over when the phone comes back.
            ("apns-expiration".into(), "0".into()),
        ];
        let url = format!("{}/3/device/{}", apns.url, segment(&binding.address));
        let answer = self.post(&url, &headers, body, deadline).await;
        match answer {
            Ok(answer) if answer.status == 410 => Attempt::Over(Pushed::Gone),
            // So it is, too, if we have asked the service for trials.
            Ok(answer) if reason(&answer) == Some("BadDeviceToken") => {
                Attempt::Over(Pushed::Failed("bad_device"))
            }
            Ok(answer) if is_of_token(&answer) => {
                self.apple.drop_it(&token).await;
                Attempt::Refused
            }
            answer => judge(answer.map(|answer| answer.status)),
        }
    }

    async fn post(
        &self,
        url: &str,
        headers: &[(Box<str>, Box<str>)],
        body: &str,
        deadline: Instant,
    ) -> Result<Asked, Failure> {
        let fetch = Fetch {
            method: "POST",
            url,
            headers,
            body: Some(body),
            redirects: 0,
            // A phone that is told twice of one call rings once.
            is_idempotent: true,
            wants_answer: true,
        };
        self.client.ask(&fetch, MOST_ANSWER, deadline).await
    }
}

fn judge(answer: Result<u16, Failure>) -> Attempt {
    match answer {
        Ok(200..=299) => Attempt::Over(Pushed::Done),
        Ok(429 | 500 | 502..=504) => Attempt::Again("busy"),
        Ok(401 | 403) => Attempt::Over(Pushed::Failed("credentials")),
        Ok(_) => Attempt::Over(Pushed::Failed("refused")),
        Err(failure) if failure.may_pass() => Attempt::Again(failure.label()),
        Err(failure) => Attempt::Over(Pushed::Failed(failure.label())),
    }
}

/// Why the service has not taken it.
fn reason(answer: &Asked) -> Option<&str> {
    REASONS
        .into_iter()
        .find(|reason| memchr::memmem::find(&answer.body, reason.as_bytes()).is_some())
}

fn is_of_token(answer: &Asked) -> bool {
    let of_token = ["ExpiredProviderToken", "InvalidProviderToken"];
    answer.status == 403 && reason(answer).is_some_and(|reason| of_token.contains(&reason))
}

fn bearer(token: &[u8]) -> Box<str> {
    ["Bearer ", &String::from_utf8_lossy(token)].concat().into()
}

/// A message of FCM's, whose `data` is the notification. Its values must be texts there; where all are, which is how Twilio
/// writes them, `data` is the notification byte for byte.
fn message(address: &str, body: &[u8]) -> Option<String> {
    let text = str::from_utf8(body).ok()?;
    let token = Value::from(address);
    let data = data(text)?;
    Some(format!(
        "{{\"message\":{{\"token\":{token},\"android\":{{\"priority\":\"HIGH\",\"ttl\":\"{TIME_TO_LIVE}s\"}},\"data\":{data}}}}}"
    ))
}

fn data(body: &str) -> Option<String> {
    let members: Map<String, Value> = serde_json::from_str(body).ok()?;
    if members.values().all(Value::is_string) {
        return Some(body.to_owned());
    }
    let spelled: std::collections::BTreeMap<&str, &RawValue> = serde_json::from_str(body).ok()?;
    let members = spelled.iter().map(|(name, value)| {
        let is_text = value.get().starts_with('"');
        let value = match is_text {
            true => value.get().to_owned(),
            false => Value::from(value.get()).to_string(),
        };
        format!("{}:{value}", Value::from(*name))
    });
    Some(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
}

const REASONS: [&str; 4] = [
    "BadDeviceToken",
    "ExpiredProviderToken",
    "InvalidProviderToken",
    "UNREGISTERED",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_notification_is_the_data_of_a_message_byte_for_byte() {
        let body = "{ \"twi_to\":\"client:b\\u006fb\",\n \"x\" : \"1\" }";

        let message = message("APA\"91", body.as_bytes()).unwrap();

        assert!(message.contains(body), "{message}");
        let value: Value = serde_json::from_str(&message).unwrap();
        assert_eq!(value["message"]["token"], "APA\"91");
        assert_eq!(value["message"]["android"]["priority"], "HIGH");
        assert_eq!(value["message"]["data"]["twi_to"], "client:bob");
    }

    #[test]
    fn what_is_no_text_becomes_one_because_the_service_takes_nothing_else() {
        let body =
            "{\"twi_to\":\"client:b\\u006fb\",\"twi_answer_timeout\":30,\"x\":[1.50, \"a\"]}";

        let data = data(body).unwrap();

        assert!(data.contains("\"client:b\\u006fb\""), "{data}");
        let value: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(value["twi_answer_timeout"], "30");
        assert_eq!(value["x"], "[1.50, \"a\"]");
        assert_eq!(super::data("[]"), None);
        assert_eq!(json!({}).to_string(), super::data("{}").unwrap());
    }
}
