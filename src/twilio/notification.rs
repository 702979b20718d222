//! Call notifications: Twilio tells that somebody calls a soft phone, and we hand that on to where its user is.
//!
//! ```text
//! not JSON, no object, no account, no identity   400
//! nobody is bound to identity and account        404
//! handed to everyone who is bound                200      the bytes as they came, once for each message id
//! ```
//!
//! `twi_bridge_token` in the body lets its holder answer the call: the body is shown to nobody else, and to no log.

use std::fmt;

use serde_json::{Map, Value};
use thiserror::Error;

use crate::types::moment::Moment;

/// A notification: what is handed on, and the little of it that we read.
pub struct Notification<'b> {
    /// What is handed on, byte for byte.
    pub body: &'b [u8],
    /// `twi_account_sid`. It also says by whose keys the request must be signed.
    pub account: Box<str>,
    /// The callee's name in `twi_to`.
    pub identity: Box<str>,
    /// `twi_message_id`: the same for a notification that is sent again.
    pub message: Option<Box<str>>,
}

/// How the callee's name is read from `twi_to`, which is `client:NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdentityGrammar {
    /// What follows the first colon, so that `client:user:bob` is `user:bob`.
    #[default]
    AfterFirstColon,
    /// Two parts around one colon; a name with a colon is refused, as in Twilio's sample.
    TwoParts,
}

impl IdentityGrammar {
    /// The callee's name. What stands before the colon is not judged: Twilio has signed it.
    #[must_use]
    pub fn read(self, to: &str) -> Option<&str> {
        let (_, name) = to.split_once(':')?;
        let is_too_much = self == Self::TwoParts && name.contains(':');
        (!name.is_empty() && !is_too_much).then_some(name)
    }
}

/// Why it is no notification (400).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotificationFault {
    /// More than [`MOST_BYTES`].
    #[error("more than 64 KiB")]
    TooLong,
    /// Not a JSON object.
    #[error("not a JSON object")]
    NotAnObject,
    /// The callee or the account is missing or no text.
    #[error("{0} is missing or no text")]
    Member(&'static str),
    /// `twi_to` names nobody.
    #[error("Invalid callee identity")]
    Identity,
}

impl NotificationFault {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::TooLong => "notification_too_long",
            Self::NotAnObject => "notification_not_json",
            Self::Member(_) => "notification_member",
            Self::Identity => "notification_identity",
        }
    }
}

impl<'b> Notification<'b> {
    /// Reads it. Members that we do not know stay in the body, whatever they are.
    pub fn read(body: &'b [u8], grammar: IdentityGrammar) -> Result<Self, NotificationFault> {
        if body.len() > MOST_BYTES {
            return Err(NotificationFault::TooLong);
        }
        let members: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| NotificationFault::NotAnObject)?;
        let text = |name: &'static str| match members.get(name) {
            Some(Value::String(text)) => Ok(Some(&**text)),
            None => Ok(None),
            Some(_) => Err(NotificationFault::Member(name)),
        };
        let needed = |name: &'static str| text(name)?.ok_or(NotificationFault::Member(name));
        let (to, account) = (needed("twi_to")?, needed("twi_account_sid")?);
        let identity = grammar.read(to).ok_or(NotificationFault::Identity)?;
        Ok(Self {
            body,
            account: account.into(),
            identity: identity.into(),
            // What we need not know is not judged: a call would be lost for it.
            message: text("twi_message_id").ok().flatten().map(Into::into),
        })
    }

    /// Answers it, given who is bound to its identity and account and whether its message id was handed on before.
    #[must_use]
    pub fn answer<'s>(&self, now: Moment, bound: &'s [Binding], is_again: bool) -> Answer<'s> {
        let is_theirs = |binding: &&Binding| {
            binding.identity == self.identity
                && binding.account == self.account
                && now < binding.expires
        };
        let mut receivers: Vec<_> = bound.iter().filter(is_theirs).collect();
        if receivers.is_empty() {
            return Answer {
                status: 404,
                text: "Not found",
                receivers,
            };
        }
        if is_again {
            receivers.clear();
        }
        Answer {
            status: 200,
            text: "",
            receivers,
        }
    }
}

/// Where a user of a soft phone is. Its debug output lacks the address.
#[derive(Clone, PartialEq, Eq)]
pub struct Binding {
    /// The name that the phone goes by.
    pub identity: Box<str>,
    /// The account in which it goes by it.
    pub account: Box<str>,
    /// How it is reached.
    pub channel: Channel,
    /// Where: a registration token, a device token, or the id of a connection. It is told to nobody.
    pub address: Box<str>,
    /// Until when this is so.
    pub expires: Moment,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding")
            .field("identity", &self.identity)
            .field("account", &self.account)
            .field("channel", &self.channel)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// How a soft phone is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    /// Firebase Cloud Messaging.
    Fcm,
    /// Apple's push service.
    Apns,
    /// A WebSocket that it keeps open.
    WebSocket,
}

impl Channel {
    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Fcm, Self::Apns, Self::WebSocket]
            .into_iter()
            .find(|channel| channel.name() == word)
    }

    /// The word, also in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fcm => "fcm",
            Self::Apns => "apns",
            Self::WebSocket => "websocket",
        }
    }
}

/// How a notification is answered, in `text/plain`, and to whom it is handed on first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'s> {
    /// 200 or 404.
    pub status: u16,
    /// What is said.
    pub text: &'static str,
    /// Who gets the body. Nobody, if they got it before.
    pub receivers: Vec<&'s Binding>,
}

/// Bytes of a notification.
pub const MOST_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const ACCOUNT: &str = "AC00000000000000000000000000000001";

    #[test]
    fn a_notification_is_handed_on_as_it_came() {
        let body = br#" {"twi_to" : "client:bob","twi_account_sid":"AC00000000000000000000000000000001", "x":[1e0], "twi_message_id":"WB1"} "#;
        let bound = [
            binding("bob", ACCOUNT),
            binding("bob", ACCOUNT),
            binding("alice", ACCOUNT),
            binding("bob", "AC2"),
        ];

        let notification = read(body).unwrap();
        let answer = notification.answer(at(0), &bound, false);

        assert_eq!(notification.body, body);
        assert_eq!(notification.message.as_deref(), Some("WB1"));
        assert_eq!((answer.status, answer.text), (200, ""));
        assert_eq!(answer.receivers, [&bound[0], &bound[1]]);
        let again = notification.answer(at(0), &bound, true);
        assert_eq!((again.status, again.receivers.len()), (200, 0));
    }

    #[test]
    fn nobody_is_bound_who_is_somebody_else_or_was_bound_once() {
        let body = json!({"twi_to": "client:bob", "twi_account_sid": ACCOUNT}).to_string();
        let notification = read(body.as_bytes()).unwrap();
        let not_found = Answer {
            status: 404,
            text: "Not found",
            receivers: Vec::new(),
        };

        for bound in [
            vec![],
            vec![binding("alice", ACCOUNT)],
            vec![binding("bob", "AC2")],
            vec![binding("Bob", ACCOUNT)],
        ] {
            assert_eq!(notification.answer(at(0), &bound, false), not_found);
        }
        let bound = [binding("bob", ACCOUNT)];
        assert_eq!(notification.answer(at(99), &bound, false).status, 200);
        assert_eq!(notification.answer(at(100), &bound, false), not_found);
    }

    #[test]
    fn what_names_nobody_is_no_notification() {
        let read_to = |to: Value| {
            let body = json!({"twi_to": to, "twi_account_sid": ACCOUNT}).to_string();
            read(body.as_bytes()).map(|notification| notification.identity)
        };
        assert_eq!(read_to(json!("client:user:bob")).as_deref(), Ok("user:bob"));
        assert_eq!(read_to(json!("sip:bob")).as_deref(), Ok("bob"));
        for nobody in ["bob", "client:", "client", ""] {
            assert_eq!(
                read_to(json!(nobody)),
                Err(NotificationFault::Identity),
                "{nobody}"
            );
        }
        assert_eq!(
            read_to(json!(null)),
            Err(NotificationFault::Member("twi_to"))
        );
        assert_eq!(
            read_to(json!(["client:bob"])),
            Err(NotificationFault::Member("twi_to"))
        );
        assert_eq!(IdentityGrammar::TwoParts.read("client:user:bob"), None);
        assert_eq!(IdentityGrammar::TwoParts.read("client:bob"), Some("bob"));
    }

    #[test]
    fn what_is_not_well_formed_is_refused_with_400() {
        for (body, fault) in [
            (&b""[..], NotificationFault::NotAnObject),
            (b"{", NotificationFault::NotAnObject),
            (b"null", NotificationFault::NotAnObject),
            (b"[]", NotificationFault::NotAnObject),
            (b"twi_to=client%3Abob", NotificationFault::NotAnObject),
            (
                b"{\"twi_to\":\"client:bob\xff\"}",
                NotificationFault::NotAnObject,
            ),
            (b"{}", NotificationFault::Member("twi_to")),
            (
                br#"{"twi_to":"client:bob"}"#,
                NotificationFault::Member("twi_account_sid"),
            ),
            (
                br#"{"twi_to":"client:bob","twi_account_sid":1}"#,
                NotificationFault::Member("twi_account_sid"),
            ),
        ] {
            assert_eq!(read(body).err(), Some(fault));
        }
        let long = vec![b' '; MOST_BYTES + 1];
        assert_eq!(read(&long).err(), Some(NotificationFault::TooLong));
        // Nesting has an end as well.
        let deep = "[".repeat(60_000);
        assert_eq!(
            read(deep.as_bytes()).err(),
            Some(NotificationFault::NotAnObject)
        );
    }

    #[test]
    fn what_we_need_not_know_is_not_judged() {
        let body = json!({"twi_to": "client:bob", "twi_account_sid": ACCOUNT, "twi_from": {}, "twi_message_id": 7});
        let body = body.to_string();

        let notification = read(body.as_bytes()).unwrap();

        assert_eq!(notification.message, None);
    }

    #[test]
    fn words_of_channels_are_read_as_they_are_written() {
        for word in ["fcm", "apns", "websocket"] {
            assert_eq!(Channel::parse(word).map(Channel::name), Some(word));
        }
        assert_eq!(Channel::parse("sms"), None);
    }

    proptest! {
        #[test]
        fn no_body_is_too_odd(body: Vec<u8>) {
            prop_assert!(read(&body).is_err());
        }

        #[test]
        fn any_name_that_is_one_is_found(name in "[^:]{1,40}") {
            let body = json!({"twi_to": format!("client:{name}"), "twi_account_sid": ACCOUNT}).to_string();
            let bound = [binding(&name, ACCOUNT)];

            let answer_of = |grammar| {
                let notification = Notification::read(body.as_bytes(), grammar).unwrap();
                notification.answer(at(0), &bound, false).status
            };
            prop_assert_eq!(answer_of(IdentityGrammar::AfterFirstColon), 200);
            prop_assert_eq!(answer_of(IdentityGrammar::TwoParts), 200);
        }
    }

    fn read(body: &[u8]) -> Result<Notification<'_>, NotificationFault> {
        Notification::read(body, IdentityGrammar::default())
    }

    /// Bound for 100 seconds.
    fn binding(identity: &str, account: &str) -> Binding {
        Binding {
            identity: identity.into(),
            account: account.into(),
            channel: Channel::WebSocket,
            address: "1".into(),
            expires: at(100),
        }
    }

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }
}
