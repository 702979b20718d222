//! Who asks for an org: its own programs and its users, by a token that the org has signed (`orgid` says which org, RFC 7519),
//! and its soft phones, by the voice token that they have from us.

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use serde_json::Value;

use crate::config::Twilio;
use crate::config::twilio::Org;
use crate::edge::http::Office;
use crate::edge::http::answer::Refusal;
use crate::edge::storeroom::moment;
use crate::net::websocket;
use crate::twilio::integration::Integration;
use crate::twilio::jwt;
use crate::twilio::sid::AccountSid;
use crate::types::base64;
use crate::types::moment::Moment;

/// Somebody of an org.
pub(super) struct Member {
    /// What is known of Twilio, as it was believed.
    pub(super) twilio: Arc<Twilio>,
    /// The org.
    pub(super) org: Arc<Org>,
    /// The user; `None`: a program of the org's, which may do anything for it.
    pub(super) identity: Option<Box<str>>,
    /// How long the token holds.
    pub(super) left: Duration,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Programs of an org.
    Program,
    /// And its users, each for himself.
    User,
    /// And soft phones, by the token that they call with.
    Phone,
}

impl Office {
    /// Who asks, if that is somebody who may.
    pub(super) fn admit_member(&self, headers: &HeaderMap, kind: Kind) -> Result<Member, Refusal> {
        let twilio = self.twilio().ok_or(Refusal::NoToken)?;
        let token = shown(headers, kind).ok_or(Refusal::NoToken)?;
        let now = moment();
        let mut ids = headers.get_all("orgid").iter();
        let member = match (ids.next(), ids.next()) {
            (Some(id), None) => {
                let id = id.to_str().map_err(|_| Refusal::WrongToken)?;
                of_org(now, twilio, id, token)?
            }
            (None, _) if kind == Kind::Phone => self.of_phone(now, twilio, token)?,
            (None, _) | (Some(_), Some(_)) => return Err(Refusal::NoOrg),
        };
        if kind == Kind::Program && member.identity.is_some() {
            return Err(Refusal::NotForUsers);
        }
        Ok(member)
    }

    /// Whose voice token this is.
    fn of_phone(&self, now: Moment, twilio: Arc<Twilio>, token: &str) -> Result<Member, Refusal> {
        let wrong = Refusal::WrongToken;
        let sub = unverified(token).and_then(|claims| {
            let sub = claims.get("sub")?.as_str()?;
            AccountSid::parse(sub)
        });
        let found = sub.and_then(|account| self.switchboard.accounts.org_of(account));
        let (id, integration) = found.ok_or(wrong)?;
        let (key, secret) = integration.key.as_ref().ok_or(Refusal::WrongToken)?;
        let (_, claims) = jwt::verify(now, token, secret).map_err(|_| Refusal::WrongToken)?;
        let grants = claims.get("grants").ok_or(Refusal::WrongToken)?;
        let is_ours = claims.get("iss").and_then(Value::as_str) == Some(&*key.to_string());
        let may_be_called = grants.pointer("/voice/incoming/allow") == Some(&Value::Bool(true));
        let identity = grants.get("identity").and_then(Value::as_str);
        let identity = identity.filter(|_| is_ours && may_be_called);
        let org = twilio.org(&id).ok_or(Refusal::WrongToken)?;
        if !can_have(&twilio, org, integration.account) {
            return Err(Refusal::WrongToken);
        }
        Ok(Member {
            org: Arc::clone(org),
            identity: Some(identity.ok_or(Refusal::WrongToken)?.into()),
            left: left(now, &claims),
            twilio,
        })
    }

    /// The account of an org, wherever that is written.
    pub(super) fn account_of(&self, member: &Member) -> Option<AccountSid> {
        let written = member.org.account.as_ref().map(|account| account.sid);
        written.or_else(|| Some(self.connection_of(member)?.account))
    }

    /// How an org is connected.
    pub(super) fn connection_of(&self, member: &Member) -> Option<Arc<Integration>> {
        let saved = self.switchboard.accounts.connection(&member.org.id)?;
        can_have(&member.twilio, &member.org, saved.account).then_some(saved)
    }
}

/// Whether an account can be this org's. What the configuration says of accounts counts, whatever was saved before it did.
pub(super) fn can_have(twilio: &Twilio, org: &Org, account: AccountSid) -> bool {
    let own = org.account.as_ref().map(|own| own.sid);
    let owner = twilio.org_of(account);
    own.is_none_or(|own| own == account) && owner.is_none_or(|owner| owner.id == org.id)
}

/// Whose token this is, of the org of this id.
fn of_org(now: Moment, twilio: Arc<Twilio>, id: &str, token: &str) -> Result<Member, Refusal> {
    let org = Arc::clone(twilio.org(id).ok_or(Refusal::WrongToken)?);
    let secrets = org.tokens.clone().ok_or(Refusal::WrongToken)?;
    let mut read = secrets
        .iter()
        .filter_map(|secret| jwt::verify(now, token, secret).ok());
    let (_, claims) = read.next().ok_or(Refusal::WrongToken)?;
    // A token may say for which org it is; then it is for no other, whatever they share.
    let named = claims.get("orgid").filter(|named| !named.is_null());
    if named.is_some_and(|named| named.as_str() != Some(id)) {
        return Err(Refusal::WrongToken);
    }
    let identity = match claims.get("identity") {
        None | Some(Value::Null) => None,
        Some(Value::String(identity)) if !identity.is_empty() => Some((**identity).into()),
        // It is somebody's; whose, cannot be read.
        Some(_) => return Err(Refusal::WrongToken),
    };
    Ok(Member {
        org,
        identity,
        left: left(now, &claims),
        twilio,
    })
}

/// The token that was shown: in the header for it, or, since a browser cannot set that for a WebSocket, among its protocols.
fn shown(headers: &HeaderMap, kind: Kind) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    if let Some(value) = values.next() {
        if values.next().is_some() {
            return None;
        }
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim());
    }
    if kind != Kind::Phone {
        return None;
    }
    let mut protocols = websocket::protocols(headers);
    protocols.find_map(|protocol| protocol.strip_prefix(BEARER))
}

/// What a token says of itself, whether it is true or not.
fn unverified(token: &str) -> Option<Value> {
    let claims = token.split('.').nth(1)?;
    serde_json::from_slice(&base64::decode_url(claims.as_bytes())?).ok()
}

fn left(now: Moment, claims: &Value) -> Duration {
    let end = claims
        .get("exp")
        .and_then(Value::as_f64)
        .unwrap_or_default();
    let left = end - now.millis() as f64 / 1000.0;
    Duration::try_from_secs_f64(left).map_or(MOST, |left| left.min(MOST))
}

/// What stands before a token among the protocols of a WebSocket.
const BEARER: &str = "bearer.";
/// No connection outlives this.
const MOST: Duration = Duration::from_secs(86_400);
