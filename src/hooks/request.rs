//! What is to be sent for a webhook: its templates filled in, its body signed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::hooks::model::{Method, Webhook};
use crate::hooks::trigger::{Class, Trigger};
use crate::types::hex::write_hex;
use crate::types::ids::CallUuid;
use crate::types::tag::Lookup;
use crate::types::template::{Encoding, Template, TooLong};

/// A request that is ready to be sent. What it holds may be secret: its `Debug` tells whose it is and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// The webhook's id.
    pub webhook: Arc<str>,
    /// When it fires.
    pub trigger: Trigger,
    /// How it asks.
    pub method: Method,
    /// Where it goes.
    pub url: Box<str>,
    /// Its headers, names as configured; no value has a control character.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// What it sends.
    pub body: Option<Box<str>>,
    /// How long it may take with everything.
    pub timeout: Duration,
    /// Redirects that are followed at most.
    pub redirects: u8,
    /// Whether it may be sent again though it may have arrived.
    pub is_idempotent: bool,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Request").field(&self.webhook).finish()
    }
}

impl Request {
    /// Fills in the templates of `hook` for one delivery.
    ///
    /// # Errors
    ///
    /// When one of them becomes too long.
    pub fn build(
        hook: &Webhook,
        facts: &dyn Lookup,
        delivery: &DeliveryId,
    ) -> Result<Self, TooLong> {
        let mut headers = Vec::with_capacity(hook.headers.len() + 3);
        for (name, value) in &hook.headers {
            let value = expanded(value, facts, Encoding::Header)?;
            headers.push((name.clone(), value.into()));
        }
        headers.push((DELIVERY.into(), delivery.to_string().into()));
        let mut text = None;
        if let Some(body) = &hook.body {
            text = Some(expanded(
                &body.text,
                facts,
                encoding_of(&body.content_type),
            )?);
            headers.push(("Content-Type".into(), body.content_type.clone()));
        }
        if let Some(secret) = &hook.secret {
            let signature = sign(
                secret.expose(),
                delivery,
                text.as_deref().unwrap_or_default(),
            );
            headers.push((SIGNATURE.into(), signature));
        }
        Ok(Self {
            webhook: Arc::clone(&hook.id),
            trigger: hook.trigger,
            method: hook.method,
            url: expanded(&hook.url, facts, Encoding::Url)?.into(),
            headers,
            body: text.map(Into::into),
            timeout: hook.timeout,
            redirects: hook.redirects,
            is_idempotent: hook.is_idempotent,
        })
    }

    /// How it is sent, and what its answer is good for.
    #[must_use]
    pub fn class(&self) -> Class {
        self.trigger.class()
    }
}

/// The URL of a webhook as it can be shown: with `REDACTED` in the place of the call's key.
///
/// # Errors
///
/// When it becomes too long.
pub fn shown_url(hook: &Webhook, facts: &dyn Lookup) -> Result<String, TooLong> {
    expanded(&hook.url, &Redacted(facts), Encoding::Url)
}

/// What may be seen of a call's facts.
struct Redacted<'f>(&'f dyn Lookup);

impl Lookup for Redacted<'_> {
    fn look_up(&self, name: &str, found: &mut dyn FnMut(&str)) {
        if name == CALL_KEY {
            found("REDACTED");
        } else {
            self.0.look_up(name, found);
        }
    }
}

fn expanded(
    template: &Template,
    facts: &dyn Lookup,
    encoding: Encoding,
) -> Result<String, TooLong> {
    let mut text = String::new();
    template.expand(facts, encoding, &mut text)?;
    Ok(text)
}

/// How tokens are written in a body of this type.
fn encoding_of(content_type: &str) -> Encoding {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Encoding::Form
    } else if kind.to_ascii_lowercase().ends_with("json") {
        Encoding::Json
    } else {
        Encoding::Raw
    }
}

/// HMAC-SHA256 over the delivery's id, a point and the body: nobody can sign another body, nor pass one off as another delivery.
fn sign(secret: &[u8], delivery: &DeliveryId, body: &str) -> Box<str> {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        // HMAC takes keys of every length (RFC 2104 §2).
        return "".into();
    };
    for part in [delivery.to_string().as_str(), ".", body] {
        mac.update(part.as_bytes());
    }
    let mut text = [0; 64];
    write_hex(mac.finalize().into_bytes(), &mut text);
    format!("sha256={}", String::from_utf8_lossy(&text)).into()
}

/// Names one delivery: the same however often it is tried, so that whoever gets it twice can tell. A UUID made from a hash
/// (RFC 9562 §5.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId(uuid::Uuid);

impl DeliveryId {
    /// The delivery of a webhook for a call; `turn` tells apart those of a webhook that fires several times in a call.
    #[must_use]
    pub fn new(call: &CallUuid, webhook: &str, turn: u32) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"delivery:v1:");
        hasher.update(call.as_bytes());
        hasher.update(turn.to_be_bytes());
        hasher.update(webhook.as_bytes());
        let digest: [u8; 32] = hasher.finalize().into();
        let mut bytes = [0; 16];
        bytes
            .iter_mut()
            .zip(digest)
            .for_each(|(to, from)| *to = from);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The built-in name of the call's key, which is a secret.
pub const CALL_KEY: &str = "call_key";
/// The header that names a delivery.
pub const DELIVERY: &str = "X-Strowger-Delivery";
/// The header that proves who sent it.
pub const SIGNATURE: &str = "X-Strowger-Signature";

#[cfg(test)]
mod tests;
