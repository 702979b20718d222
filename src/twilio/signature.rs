//! Who sent a webhook: `X-Twilio-Signature`, over the URL that the sender asked for and the parameters that it sent.
//!
//! ```text
//! signed  = URL, then for each name in order of its bytes, for each of its values in order: name value
//! header  = base64( HMAC-SHA1(auth token, signed) )            without a settings header
//!         = base64( HMAC-SHA256(shared key, signed) )          X-Twilio-Webhooks-Signature-Settings: key=ID,algorithm=...
//! JSON    : nothing but the URL, whose query holds bodySHA256=<hash of the body>
//! ```
//!
//! A request chooses which of the configured keys is asked, and never how strong it is. Nothing delimits names and values
//! in what is signed, so a signed request can be cut anew; whoever reads the fields judges their grammar.

use thiserror::Error;

use crate::twilio::form::Form;
use crate::twilio::mac::{self, Rotating};
use crate::twilio::public_url::PublicUrl;
use crate::types::base64;
use crate::types::secret::Secret;

/// A webhook as it came.
#[derive(Clone, Copy)]
pub struct Webhook<'w> {
    /// Where the world reaches us.
    pub base: &'w PublicUrl,
    /// Path and query as they stood in the request, byte for byte.
    pub target: &'w str,
    /// The value of `X-Twilio-Signature`.
    pub signature: Option<&'w [u8]>,
    /// The value of `X-Twilio-Webhooks-Signature-Settings`.
    pub settings: Option<&'w [u8]>,
    /// What it carries.
    pub content: Content<'w>,
}

/// What a webhook carries.
#[derive(Clone, Copy)]
pub enum Content<'w> {
    /// Nothing: a GET, whose parameters are in the URL, or an upgrade.
    Nothing,
    /// Parameters.
    Form(&'w Form),
    /// A text whose hash is in the URL.
    Json(&'w [u8]),
    /// A text whose hash may be missing in the URL; if it is there, it must be right. Nothing binds the text to the
    /// signature then, so this is for senders that cannot do better, and only where the operator says so.
    JsonPerhapsUnsigned(&'w [u8]),
}

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA1.
    Sha1,
    /// HMAC-SHA256.
    Sha256,
}

impl Algorithm {
    /// Its name in the settings header.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "HMAC_SHA1",
            Self::Sha256 => "HMAC_SHA256",
        }
    }

    /// Bytes of a signature.
    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }
}

/// A key that an account shares with us for its webhooks alone.
#[derive(Clone)]
pub struct SharedKey {
    /// What the settings header calls it.
    pub id: Box<str>,
    /// The key.
    pub secret: Secret,
    /// How signatures are made with it.
    pub algorithm: Algorithm,
}

/// What an account signs with.
#[derive(Clone)]
pub struct Keys {
    /// Its auth token; two while it is changed. `None`: signatures with the auth token are refused.
    pub auth_token: Option<Rotating>,
    /// Keys for webhooks.
    pub shared: Vec<SharedKey>,
}

/// Why a webhook is not believed (403).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureFault {
    /// There is no signature.
    #[error("no signature")]
    Missing,
    /// The signature cannot be one.
    #[error("not a signature")]
    Malformed,
    /// The account is not ours.
    #[error("unknown account")]
    UnknownAccount,
    /// The settings name no key of this account, or name it wrongly.
    #[error("unknown key or algorithm")]
    UnknownKey,
    /// The account may not sign in this way.
    #[error("this account may not sign with the auth token")]
    TooWeak,
    /// It was signed with something else, or something else was signed.
    #[error("wrong signature")]
    Wrong,
    /// The URL says nothing of the body.
    #[error("no hash of the body in the URL")]
    NoBodyHash,
    /// The body is not the one that the URL speaks of.
    #[error("wrong hash of the body")]
    WrongBodyHash,
}

impl SignatureFault {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "signature_missing",
            Self::Malformed => "signature_malformed",
            Self::UnknownAccount => "signature_unknown_account",
            Self::UnknownKey => "signature_unknown_key",
            Self::TooWeak => "signature_too_weak",
            Self::Wrong => "signature_wrong",
            Self::NoBodyHash => "signature_no_body_hash",
            Self::WrongBodyHash => "signature_wrong_body_hash",
        }
    }
}

impl Webhook<'_> {
    /// Checks it against what its account signs with; `None`: nobody knows the account that it names.
    ///
    /// An unknown account takes as long as a wrong signature.
    pub fn verify(&self, keys: Option<&Keys>) -> Result<(), SignatureFault> {
        let header = self.signature.ok_or(SignatureFault::Missing)?;
        let (algorithm, secrets) = self.choose(keys)?;
        let given = base64::decode(header).ok_or(SignatureFault::Malformed)?;
        if given.len() != algorithm.length() {
            return Err(SignatureFault::Malformed);
        }
        let forms = self.base.signed_forms(self.target);
        let parameters = match self.content {
            Content::Form(form) => sorted(form),
            Content::Nothing | Content::Json(_) | Content::JsonPerhapsUnsigned(_) => Vec::new(),
        };
        let mut is_right = mac::is_same(b"0", b"1");
        for secret in &secrets {
            for url in &forms {
                let mut parts = vec![url.as_bytes()];
                parts.extend(&parameters);
                is_right |= match algorithm {
                    Algorithm::Sha1 => mac::is_same(&mac::sha1(secret, &parts), &given),
                    Algorithm::Sha256 => mac::is_same(&mac::sha256(secret, &parts), &given),
                };
            }
        }
        if keys.is_none() {
            return Err(SignatureFault::UnknownAccount);
        }
        if !bool::from(is_right) {
            return Err(SignatureFault::Wrong);
        }
        match self.content {
            Content::Nothing | Content::Form(_) => Ok(()),
            Content::Json(body) => check_hash(self.target, body),
            Content::JsonPerhapsUnsigned(body) => match check_hash(self.target, body) {
                Err(SignatureFault::NoBodyHash) => Ok(()),
                other => other,
            },
        }
    }

    /// How it is signed, and with which secrets.
    fn choose(&self, keys: Option<&Keys>) -> Result<(Algorithm, Vec<Secret>), SignatureFault> {
        let named = self.settings.map(read_settings).transpose()?;
        match (keys, named) {
            (None, None) => Ok((Algorithm::Sha1, vec![Secret::new(*NOBODYS)])),
            (None, Some((_, algorithm))) => Ok((algorithm, vec![Secret::new(*NOBODYS)])),
            (Some(keys), None) => {
                let tokens = keys.auth_token.as_ref().ok_or(SignatureFault::TooWeak)?;
                Ok((Algorithm::Sha1, tokens.iter().cloned().collect()))
            }
            (Some(keys), Some((id, algorithm))) => {
                let key = keys.shared.iter().find(|key| *key.id == *id);
                let key = key.filter(|key| key.algorithm == algorithm);
                let key = key.ok_or(SignatureFault::UnknownKey)?;
                Ok((algorithm, vec![key.secret.clone()]))
            }
        }
    }
}

/// Signs as Twilio does, for tests and for what we ask of ourselves.
#[must_use]
pub fn sign(url: &str, form: Option<&Form>, secret: &Secret, algorithm: Algorithm) -> String {
    let mut parts = vec![url.as_bytes()];
    parts.extend(form.map(sorted).unwrap_or_default());
    match algorithm {
        Algorithm::Sha1 => base64::encode(&mac::sha1(secret, &parts)),
        Algorithm::Sha256 => base64::encode(&mac::sha256(secret, &parts)),
    }
}

/// Names and values in the order in which they are signed: by name, then by value, each pair once.
fn sorted(form: &Form) -> Vec<&[u8]> {
    let mut fields: Vec<_> = form.iter().collect();
    fields.sort_unstable();
    fields.dedup();
    fields
        .into_iter()
        .flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()])
        .collect()
}

/// Reads `key=ID,algorithm=NAME`, in either order, each once.
fn read_settings(text: &[u8]) -> Result<(&str, Algorithm), SignatureFault> {
    let text = str::from_utf8(text).map_err(|_| SignatureFault::UnknownKey)?;
    let (mut id, mut algorithm) = (None, None);
    for setting in text.split(',') {
        let (place, value) = match setting.trim().split_once('=') {
            Some(("key", value)) => (&mut id, value),
            Some(("algorithm", value)) => (&mut algorithm, value),
            _ => return Err(SignatureFault::UnknownKey),
        };
        if place.replace(value).is_some() {
            return Err(SignatureFault::UnknownKey);
        }
    }
    let algorithm = [Algorithm::Sha1, Algorithm::Sha256]
        .into_iter()
        .find(|own| Some(own.name()) == algorithm);
    id.zip(algorithm).ok_or(SignatureFault::UnknownKey)
}

/// Compares the body with what the signed URL says of it.
fn check_hash(target: &str, body: &[u8]) -> Result<(), SignatureFault> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let query = Form::parse(query.as_bytes()).map_err(|_| SignatureFault::WrongBodyHash)?;
    let said = query.one(BODY_HASH);
    let said = said.map_err(|_| SignatureFault::WrongBodyHash)?;
    let said = said.ok_or(SignatureFault::NoBodyHash)?;
    if bool::from(mac::is_same(said.as_bytes(), &mac::hash_hex(body))) {
        Ok(())
    } else {
        Err(SignatureFault::WrongBodyHash)
    }
}

/// The parameter of the URL that holds the hash of a JSON body.
const BODY_HASH: &str = "bodySHA256";

/// What an unknown account's signature is compared with; nothing comes of it.
const NOBODYS: &[u8; 32] = b"nobody signs with this as a key!";

#[cfg(test)]
mod tests;
