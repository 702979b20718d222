//! Where users of soft phones are, as their apps tell: registered, refreshed, and gone again.

use std::time::Duration;

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::twilio::access_token::check_identity;
use crate::twilio::notification::{Binding, Channel};
use crate::twilio::sid::AccountSid;
use crate::types::moment::Moment;

/// Why a binding is not taken (400; [`BindingFault::TooMany`] 409).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BindingFault {
    /// Not a JSON object, or more than 8 KiB.
    #[error("not a JSON object")]
    NotAnObject,
    /// A member is missing or not what it should be.
    #[error("{0} is missing or not well-formed")]
    Member(&'static str),
    /// The identity has as many bindings as it may have.
    #[error("an identity has at most 20 bindings")]
    TooMany,
}

impl BindingFault {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NotAnObject => "binding_not_json",
            Self::Member(_) => "binding_member",
            Self::TooMany => "binding_too_many",
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::NotAnObject | Self::Member(_) => 400,
            Self::TooMany => 409,
        }
    }
}

impl Binding {
    /// Reads a registration: `identity`, `account_sid`, `channel`, `address` and, unless a year will do, `ttl_seconds`.
    pub fn read(now: Moment, body: &[u8]) -> Result<Self, BindingFault> {
        if body.len() > MOST_BYTES {
            return Err(BindingFault::NotAnObject);
        }
        let members: Map<String, Value> =
            serde_json::from_slice(body).map_err(|_| BindingFault::NotAnObject)?;
        let fault = BindingFault::Member;
        let text = |name: &'static str| {
            let text = members.get(name).and_then(Value::as_str);
            text.ok_or(fault(name))
        };
        let identity = text("identity")?;
        check_identity(identity).map_err(|_| fault("identity"))?;
        let account = AccountSid::parse(text("account_sid")?).ok_or(fault("account_sid"))?;
        let channel = Channel::parse(text("channel")?).ok_or(fault("channel"))?;
        let address = text("address")?;
        let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic());
        if !(1..=MOST_ADDRESS).contains(&address.len()) || !is_plain {
            return Err(fault("address"));
        }
        let ttl = match members.get("ttl_seconds") {
            None | Some(Value::Null) => LONGEST,
            Some(ttl) => {
                let seconds = ttl.as_u64().filter(|seconds| *seconds > 0);
                Duration::from_secs(seconds.ok_or(fault("ttl_seconds"))?).min(LONGEST)
            }
        };
        Ok(Self {
            identity: identity.into(),
            account: account.to_string().into(),
            channel,
            address: address.into(),
            expires: now.after(ttl),
        })
    }

    /// Whether both are one place of one user: the one that came later replaces the other.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        self.identity == other.identity
            && self.account == other.account
            && self.channel == other.channel
            && self.address == other.address
    }

    /// What a list of bindings shows: not the address, which is as good as the phone.
    #[must_use]
    pub fn shown(&self) -> Value {
        json!({
            "identity": self.identity,
            "account_sid": self.account,
            "channel": self.channel.name(),
            "expires": self.expires.to_string(),
        })
    }
}

/// Puts a binding among those of its identity and account: in the place of the same one, or beside the others. Expired ones
/// go.
pub fn put(now: Moment, all: &mut Vec<Binding>, binding: Binding) -> Result<(), BindingFault> {
    all.retain(|other| now < other.expires && !other.is_same_place(&binding));
    if all.len() >= MOST_BINDINGS {
        return Err(BindingFault::TooMany);
    }
    all.push(binding);
    Ok(())
}

/// Bindings of one identity of one account.
pub const MOST_BINDINGS: usize = 20;
/// For how long a binding holds: a phone that was not opened for a year is nobody's.
pub const LONGEST: Duration = Duration::from_secs(365 * 86_400);
const MOST_BYTES: usize = 8 * 1024;
const MOST_ADDRESS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_says_where_it_is_and_for_how_long() {
        let binding = Binding::read(at(0), body().to_string().as_bytes()).unwrap();

        assert_eq!(&*binding.identity, "user:bob");
        assert_eq!(
            (binding.channel, &*binding.address),
            (Channel::Fcm, "canary:APA91")
        );
        assert_eq!(binding.expires, at(60));
        assert!(!format!("{}{binding:?}", binding.shown()).contains("canary"));

        let mut long = body();
        long["ttl_seconds"] = u64::MAX.into();
        assert_eq!(
            Binding::read(at(0), long.to_string().as_bytes())
                .unwrap()
                .expires,
            at(0).after(LONGEST)
        );
        long.as_object_mut().unwrap().remove("ttl_seconds");
        assert_eq!(
            Binding::read(at(0), long.to_string().as_bytes())
                .unwrap()
                .expires,
            at(0).after(LONGEST)
        );
    }

    #[test]
    fn what_is_not_well_formed_is_refused_by_name() {
        for (name, value) in [
            ("identity", json!("")),
            ("identity", json!("a b")),
            ("account_sid", json!("AC1")),
            ("channel", json!("sms")),
            ("address", json!("")),
            ("address", json!("a\r\nb")),
            ("address", json!("a".repeat(4097))),
            ("address", json!(7)),
            ("ttl_seconds", json!(0)),
            ("ttl_seconds", json!(-1)),
            ("ttl_seconds", json!("60")),
        ] {
            let mut body = body();
            body[name] = value;
            let fault = Binding::read(at(0), body.to_string().as_bytes()).unwrap_err();
            assert_eq!(fault, BindingFault::Member(name));
            assert_eq!(fault.status(), 400);
        }
        assert_eq!(Binding::read(at(0), b"[]"), Err(BindingFault::NotAnObject));
        assert_eq!(
            Binding::read(at(0), &[b' '; MOST_BYTES + 1]),
            Err(BindingFault::NotAnObject)
        );
    }

    #[test]
    fn the_same_phone_is_there_once_and_there_is_a_most() {
        let binding = |address: &str, end| Binding {
            address: address.into(),
            expires: at(end),
            ..read()
        };
        let mut all = Vec::new();

        put(at(0), &mut all, binding("a", 10)).unwrap();
        put(at(0), &mut all, binding("a", 20)).unwrap();
        assert_eq!(all, [binding("a", 20)]);
        for number in 1..MOST_BINDINGS {
            put(at(0), &mut all, binding(&number.to_string(), 10)).unwrap();
        }
        assert_eq!(
            put(at(0), &mut all, binding("b", 10)),
            Err(BindingFault::TooMany)
        );
        assert_eq!(BindingFault::TooMany.status(), 409);
        put(at(0), &mut all, binding("a", 30)).unwrap();
        put(at(10), &mut all, binding("b", 30)).unwrap();
        assert_eq!(all, [binding("a", 30), binding("b", 30)]);
    }

    fn read() -> Binding {
        Binding::read(at(0), body().to_string().as_bytes()).unwrap()
    }

    fn body() -> Value {
        json!({
            "identity": "user:bob",
            "account_sid": "AC00000000000000000000000000000001",
            "channel": "fcm",
            "address": "canary:APA91",
            "ttl_seconds": 60,
        })
    }

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }
}
