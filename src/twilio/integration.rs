//! An org's connection to Twilio as `/upstream/save-integration` takes it and as others may see it: with its names, and
//! without its secrets. There is one for each org.

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::twilio::mac::Rotating;
use crate::twilio::rest::{Api, Request};
use crate::twilio::sid::{AccountSid, ApplicationSid, KeySid};
use crate::types::secret::Secret;

/// A connection.
#[derive(Clone)]
pub struct Integration {
    /// What people call it.
    pub name: Box<str>,
    /// The account.
    pub account: AccountSid,
    /// What its webhooks are signed with, and what its REST API is asked with.
    pub auth_token: Rotating,
    /// The application that soft phones call by way of.
    pub application: Option<ApplicationSid>,
    /// What tokens for soft phones are made with.
    pub key: Option<(KeySid, Secret)>,
}

/// Why it is not saved (400).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IntegrationFault {
    /// Not a JSON object, or more than 64 KiB.
    #[error("not a JSON object")]
    NotAnObject,
    /// Of another vendor.
    #[error("type is not TwilioProvider")]
    Type,
    /// A member that we do not know: a secret under a wrong name would be lost without a word.
    #[error("an unknown member")]
    Unknown,
    /// A member is missing or not what it should be.
    #[error("{0} is missing or not well-formed")]
    Member(&'static str),
}

impl IntegrationFault {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NotAnObject => "integration_not_json",
            Self::Type => "integration_type",
            Self::Unknown => "integration_unknown_member",
            Self::Member(_) => "integration_member",
        }
    }
}

/// What can be tried out on a connection: `/upstream/test/{integration}/{operation}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Lists its numbers.
    ListPhoneNumbers,
}

impl Operation {
    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        (word == "listPhoneNumbers").then_some(Self::ListPhoneNumbers)
    }

    /// What is asked of the API.
    #[must_use]
    pub fn request(self, account: AccountSid) -> Request {
        match self {
            Self::ListPhoneNumbers => Api { account }.numbers(50),
        }
    }
}

impl Integration {
    /// Reads what is to be saved. `before` is what was saved: an auth token that changes leaves the old one behind, until
    /// the next change.
    pub fn read(body: &[u8], before: Option<&Self>) -> Result<Self, IntegrationFault> {
        if body.len() > MOST_BYTES {
            return Err(IntegrationFault::NotAnObject);
        }
        let members: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| IntegrationFault::NotAnObject)?;
        if members.get("type").and_then(Value::as_str) != Some(TYPE) {
            return Err(IntegrationFault::Type);
        }
        let config = members.get("config").and_then(Value::as_object);
        let config = config.ok_or(IntegrationFault::Member("config"))?;
        let is_known = |own: &Map<String, Value>, names: &[&str]| {
            own.keys().all(|name| names.contains(&name.as_str()))
        };
        if !is_known(&members, &["type", "name", "config"]) || !is_known(config, &MEMBERS) {
            return Err(IntegrationFault::Unknown);
        }
        let fault = IntegrationFault::Member;
        let text = |name: &'static str| match config.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(&**text)),
            Some(_) => Err(fault(name)),
        };
        let account = text("accountSid")?.and_then(AccountSid::parse);
        let account = account.ok_or(fault("accountSid"))?;
        let token = text("authToken")?
            .and_then(secret)
            .ok_or(fault("authToken"))?;
        let application = match text("appSid")? {
            None => None,
            Some(text) => Some(ApplicationSid::parse(text).ok_or(fault("appSid"))?),
        };
        let key = match (text("apiKey")?, text("apiKeySecret")?) {
            (None, None) => None,
            (key, text) => {
                let key = key.and_then(KeySid::parse).ok_or(fault("apiKey"))?;
                let secret = text.and_then(secret).ok_or(fault("apiKeySecret"))?;
                Some((key, secret))
            }
        };
        let name = members.get("name").and_then(Value::as_str);
        let name = name.filter(|name| is_name(name)).ok_or(fault("name"))?;
        let same_account = before.filter(|before| before.account == account);
        let previous = same_account.and_then(|before| {
            let old = &before.auth_token;
            // The one before is believed until the new one is saved once more.
            let is_again = old.current.is_equal(token.expose());
            (!is_again).then(|| old.current.clone())
        });
        Ok(Self {
            name: name.into(),
            account,
            auth_token: Rotating {
                current: token,
                previous,
            },
            application,
            key,
        })
    }

    /// All of it, secrets as well, as [`from_secret`](Self::from_secret) reads it: for whoever seals it.
    #[must_use]
    pub fn to_secret(&self) -> Secret {
        let text = |secret: &Secret| String::from_utf8_lossy(secret.expose()).into_owned();
        let value = json!({
            "name": self.name,
            "account": self.account.to_string(),
            "token": text(&self.auth_token.current),
            "previous": self.auth_token.previous.as_ref().map(text),
            "application": self.application.map(|application| application.to_string()),
            "key": self.key.as_ref().map(|(key, _)| key.to_string()),
            "key_secret": self.key.as_ref().map(|(_, secret)| text(secret)),
        });
        Secret::new(value.to_string().into_bytes())
    }

    /// Reads what [`to_secret`](Self::to_secret) has written; `None` for anything else.
    #[must_use]
    pub fn from_secret(text: &Secret) -> Option<Self> {
        let members: Map<String, Value> = serde_json::from_slice(text.expose()).ok()?;
        let text = |name: &str| match members.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(Value::String(text)) => Some(Some(&**text)),
            Some(_) => None,
        };
        let application = text("application")?.map(ApplicationSid::parse);
        let key = match (text("key")?, text("key_secret")?) {
            (Some(key), Some(text)) => Some((KeySid::parse(key)?, secret(text)?)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return None,
        };
        Some(Self {
            name: text("name")??.into(),
            account: AccountSid::parse(text("account")??)?,
            auth_token: Rotating {
                current: secret(text("token")??)?,
                previous: text("previous")?.and_then(secret),
            },
            application: application.flatten(),
            key,
        })
    }

    /// What others see of it.
    #[must_use]
    pub fn shown(&self) -> Value {
        json!({
            "type": TYPE,
            "name": self.name,
            "config": {
                "accountSid": self.account.to_string(),
                "appSid": self.application.map(|application| application.to_string()),
                "apiKey": self.key.as_ref().map(|(key, _)| key.to_string()),
            },
            "rotating": self.auth_token.previous.is_some(),
        })
    }
}

fn secret(text: &str) -> Option<Secret> {
    let is_plain =
        (8..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_plain.then(|| Secret::new(text.as_bytes()))
}

fn is_name(name: &str) -> bool {
    let length = name.chars().count();
    (1..=128).contains(&length) && !name.chars().any(char::is_control)
}

/// The vendor's name in `type`.
pub const TYPE: &str = "TwilioProvider";
const MOST_BYTES: usize = 64 * 1024;
const MEMBERS: [&str; 5] = [
    "accountSid",
    "authToken",
    "appSid",
    "apiKey",
    "apiKeySecret",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_saved_and_shown_without_its_secrets() {
        let integration = read(&body(), None).unwrap();

        assert!(integration.auth_token.current.is_equal(b"canary-token"));
        assert!(
            integration
                .key
                .as_ref()
                .is_some_and(|(_, secret)| secret.is_equal(b"canary-secret"))
        );
        let shown = integration.shown();
        assert!(!shown.to_string().contains("canary"));
        assert_eq!(shown["name"], "Acme Twilio");
        assert_eq!(
            shown["config"]["accountSid"],
            "AC00000000000000000000000000000001"
        );
        assert_eq!(
            shown["config"]["apiKey"],
            "SK00000000000000000000000000000001"
        );
    }

    #[test]
    fn only_account_and_token_are_needed() {
        let mut body = body();
        let config = body["config"].as_object_mut().unwrap();
        config.retain(|name, _| matches!(&**name, "accountSid" | "authToken"));

        let integration = read(&body, None).unwrap();

        assert!(integration.application.is_none() && integration.key.is_none());
    }

    #[test]
    fn a_token_that_changes_leaves_the_old_one_behind() {
        let before = read(&body(), None).unwrap();
        let mut changed = body();
        changed["config"]["authToken"] = "new-token".into();

        let after = read(&changed, Some(&before)).unwrap();
        assert!(after.auth_token.current.is_equal(b"new-token"));
        assert!(
            after
                .auth_token
                .previous
                .as_ref()
                .is_some_and(|old| old.is_equal(b"canary-token"))
        );
        assert_eq!(after.shown()["rotating"], true);
        let again = read(&changed, Some(&after)).unwrap();
        assert!(again.auth_token.previous.is_none(), "saved once more");
        assert_eq!(again.shown()["rotating"], false);

        changed["config"]["accountSid"] = "AC00000000000000000000000000000002".into();
        let other = read(&changed, Some(&after)).unwrap();
        assert!(other.auth_token.previous.is_none());
    }

    #[test]
    fn what_is_not_well_formed_is_refused_by_name() {
        let with = |name: &str, value: Value| {
            let mut body = body();
            body["config"][name] = value;
            read(&body, None).err()
        };
        for (name, member) in [
            ("accountSid", IntegrationFault::Member("accountSid")),
            ("authToken", IntegrationFault::Member("authToken")),
            ("appSid", IntegrationFault::Member("appSid")),
            ("apiKey", IntegrationFault::Member("apiKey")),
            ("apiKeySecret", IntegrationFault::Member("apiKeySecret")),
        ] {
            for value in [json!(""), json!("a b"), json!(1), json!("AC1")] {
                assert_eq!(with(name, value), Some(member), "{name}");
            }
        }
        assert_eq!(
            with("authToken", Value::Null),
            Some(IntegrationFault::Member("authToken"))
        );
        assert_eq!(
            with("apiKey", Value::Null),
            Some(IntegrationFault::Member("apiKey"))
        );
        assert_eq!(
            with("auth_token", json!("x")),
            Some(IntegrationFault::Unknown)
        );
        for (name, value, fault) in [
            ("type", json!("VonageProvider"), IntegrationFault::Type),
            ("name", json!(""), IntegrationFault::Member("name")),
            ("name", json!("a\nb"), IntegrationFault::Member("name")),
            ("config", json!([]), IntegrationFault::Member("config")),
            ("orgid", json!("x"), IntegrationFault::Unknown),
        ] {
            let mut body = body();
            body[name] = value;
            assert_eq!(read(&body, None).err(), Some(fault));
        }
        assert_eq!(
            Integration::read(b"[", None).err(),
            Some(IntegrationFault::NotAnObject)
        );
    }

    #[test]
    fn what_is_sealed_is_all_of_it() {
        let mut changed = body();
        changed["config"]["authToken"] = "new-token".into();
        let before = read(&body(), None).unwrap();
        let integration = read(&changed, Some(&before)).unwrap();

        let again = Integration::from_secret(&integration.to_secret()).unwrap();

        assert_eq!(again.shown(), integration.shown());
        assert!(again.auth_token.current.is_equal(b"new-token"));
        let previous = again.auth_token.previous.as_ref();
        assert!(previous.is_some_and(|old| old.is_equal(b"canary-token")));
        let key = again.key.as_ref();
        assert!(key.is_some_and(|(_, secret)| secret.is_equal(b"canary-secret")));
        assert!(Integration::from_secret(&Secret::new(*b"{}")).is_none());
        assert!(Integration::from_secret(&Secret::new(*b"[")).is_none());
    }

    #[test]
    fn the_test_lists_numbers() {
        let operation = Operation::parse("listPhoneNumbers").unwrap();

        let request = operation.request(AccountSid::from_bits(1));

        assert!(
            request
                .target
                .ends_with("/IncomingPhoneNumbers.json?PageSize=50")
        );
        assert_eq!(Operation::parse("dropEverything"), None);
    }

    fn read(body: &Value, before: Option<&Integration>) -> Result<Integration, IntegrationFault> {
        Integration::read(body.to_string().as_bytes(), before)
    }

    fn body() -> Value {
        json!({
            "type": "TwilioProvider",
            "name": "Acme Twilio",
            "config": {
                "accountSid": "AC00000000000000000000000000000001",
                "authToken": "canary-token",
                "appSid": "AP00000000000000000000000000000001",
                "apiKey": "SK00000000000000000000000000000001",
                "apiKeySecret": "canary-secret",
            },
        })
    }
}
