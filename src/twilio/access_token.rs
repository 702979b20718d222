//! Access tokens: what a soft phone shows Twilio so that it may call and be called under a name of ours.
//!
//! ```text
//! header  alg HS256, typ JWT, cty twilio-fpa;v=1 [, twr REGION]
//! claims  jti "SK...-1767225600", iss SK..., sub AC..., iat, exp,
//!         grants { identity, voice { incoming { allow }, outgoing { application_sid, params }, push_credential_sid } }
//! ```
//!
//! They are signed with the secret of an API key, never with the account's auth token, which opens everything.

use std::time::Duration;

use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::twilio::jwt;
use crate::twilio::sid::{AccountSid, ApplicationSid, KeySid};
use crate::types::moment::Moment;
use crate::types::secret::Secret;

/// What tokens of an account are made with.
#[derive(Clone)]
pub struct Issuer {
    /// The account.
    pub account: AccountSid,
    /// The API key.
    pub key: KeySid,
    /// Its secret.
    pub secret: Secret,
    /// The region that the account is in; `None`: the United States.
    pub region: Option<Box<str>>,
}

/// What the holder of a token may do.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct VoiceGrant {
    /// Be called.
    pub incoming: bool,
    /// Call, by way of this application.
    pub outgoing: Option<ApplicationSid>,
    /// What the application is told of each call.
    pub parameters: Map<String, Value>,
    /// How a mobile phone is told of a call (`CR...`).
    pub push_credential: Option<Box<str>>,
}

/// Why no token is made (400).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IdentityFault {
    /// It is empty.
    #[error("an identity is needed")]
    Empty,
    /// More than [`MOST_IDENTITY`] characters.
    #[error("an identity has at most 256 characters")]
    TooLong,
    /// It holds a control character or white space.
    #[error("an identity has no white space and no control characters")]
    Characters,
}

impl IdentityFault {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Empty => "identity_empty",
            Self::TooLong => "identity_too_long",
            Self::Characters => "identity_characters",
        }
    }
}

impl Issuer {
    /// Makes a token for `identity` that holds for `ttl`, at least a minute and at most a day. It says nothing of when it
    /// begins: clocks differ.
    pub fn mint(
        &self,
        now: Moment,
        identity: &str,
        grant: &VoiceGrant,
        ttl: Duration,
    ) -> Result<String, IdentityFault> {
        check_identity(identity)?;
        let issued = now.seconds();
        let ttl = ttl.clamp(SHORTEST, LONGEST).as_secs();
        let mut header = json!({"alg": "HS256", "typ": "JWT", "cty": "twilio-fpa;v=1"});
        if let (Some(region), Some(header)) = (&self.region, header.as_object_mut()) {
            header.insert("twr".to_owned(), Value::from(&**region));
        }
        let claims = json!({
            "jti": format!("{}-{issued}", self.key),
            "iss": self.key.to_string(),
            "sub": self.account.to_string(),
            "iat": issued,
            "exp": issued.saturating_add_unsigned(ttl),
            "grants": {"identity": identity, "voice": grant.claims()},
        });
        Ok(jwt::sign(&header, &claims, &self.secret))
    }
}

impl VoiceGrant {
    fn claims(&self) -> Value {
        let mut voice = Map::new();
        if self.incoming {
            voice.insert("incoming".to_owned(), json!({"allow": true}));
        }
        if let Some(application) = self.outgoing {
            let mut outgoing = Map::new();
            let application = application.to_string();
            outgoing.insert("application_sid".to_owned(), application.into());
            if !self.parameters.is_empty() {
                let parameters = self.parameters.clone();
                outgoing.insert("params".to_owned(), parameters.into());
            }
            voice.insert("outgoing".to_owned(), outgoing.into());
        }
        if let Some(credential) = &self.push_credential {
            let credential = Value::from(&**credential);
            voice.insert("push_credential_sid".to_owned(), credential);
        }
        voice.into()
    }
}

/// Checks a name that a soft phone goes by. Browsers take any; mobile phones only letters, digits and `_`.
pub fn check_identity(identity: &str) -> Result<(), IdentityFault> {
    if identity.is_empty() {
        return Err(IdentityFault::Empty);
    }
    if identity.chars().count() > MOST_IDENTITY {
        return Err(IdentityFault::TooLong);
    }
    if identity
        .chars()
        .any(|letter| letter.is_control() || letter.is_whitespace())
    {
        return Err(IdentityFault::Characters);
    }
    Ok(())
}

/// Characters of an identity.
pub const MOST_IDENTITY: usize = 256;
/// For how long a token holds if nobody says otherwise.
pub const USUAL: Duration = Duration::from_secs(3600);
const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(86_400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twilio::tests::shared;

    /// Each token of the official libraries is read, and ours for the same says the same. Python says when it begins and not
    /// when it was made; Node says it the other way, as we do.
    #[test]
    fn shared_vectors_hold() {
        let Some(vectors) = shared() else {
            return;
        };
        let tokens = &vectors["access_tokens"];
        let secret = tokens["api_key_secret"].as_str().unwrap();
        let mut same = 0;
        for vector in tokens["tokens"].as_array().unwrap() {
            let secret = Secret::new(secret.as_bytes());
            let (header, claims) =
                jwt::verify(now(), vector["jwt"].as_str().unwrap(), &secret).unwrap();
            assert_eq!(header, vector["header"]);
            assert_eq!(claims, vector["payload"]);

            let (header, mut theirs) = (&vector["header"], vector["payload"].clone());
            let Some(identity) = theirs["grants"]["identity"].as_str().map(str::to_owned) else {
                continue;
            };
            let voice = &theirs["grants"]["voice"];
            let grant = VoiceGrant {
                incoming: voice["incoming"]["allow"] == true,
                outgoing: voice["outgoing"]["application_sid"]
                    .as_str()
                    .and_then(ApplicationSid::parse),
                parameters: voice["outgoing"]["params"]
                    .as_object()
                    .cloned()
                    .unwrap_or_default(),
                push_credential: voice["push_credential_sid"].as_str().map(Into::into),
            };
            let issuer = Issuer {
                region: header["twr"].as_str().map(Into::into),
                ..issuer(secret)
            };
            let ttl = theirs["exp"].as_i64().unwrap() - now().seconds();
            let token = issuer
                .mint(
                    now(),
                    &identity,
                    &grant,
                    Duration::from_secs(ttl.unsigned_abs()),
                )
                .unwrap();
            let (own_header, own) = jwt::verify(now(), &token, &issuer.secret).unwrap();
            assert_eq!(&own_header, header);
            let theirs = theirs.as_object_mut().unwrap();
            theirs.remove("nbf");
            theirs.insert("iat".to_owned(), now().seconds().into());
            assert_eq!(own.as_object().unwrap(), theirs, "{}", vector["name"]);
            same += 1;
        }
        assert_eq!(same, 8);
    }

    #[test]
    fn a_token_holds_for_a_minute_at_least_and_a_day_at_most() {
        let issuer = issuer(Secret::new(*b"s"));
        let span = |ttl: Duration| {
            let token = issuer
                .mint(now(), "alice", &VoiceGrant::default(), ttl)
                .unwrap();
            let (_, claims) = jwt::verify(now(), &token, &issuer.secret).unwrap();
            claims["exp"].as_i64().unwrap() - now().seconds()
        };

        assert_eq!(span(Duration::ZERO), 60);
        assert_eq!(span(USUAL), 3600);
        assert_eq!(span(Duration::MAX), 86_400);
    }

    #[test]
    fn an_identity_is_a_name() {
        assert_eq!(check_identity("user:bob@example.com"), Ok(()));
        assert_eq!(check_identity(&"\u{e9}".repeat(256)), Ok(()));
        assert_eq!(check_identity(""), Err(IdentityFault::Empty));
        assert_eq!(
            check_identity(&"a".repeat(257)),
            Err(IdentityFault::TooLong)
        );
        for bad in ["a b", "a\n", "\u{0}", "a\u{2003}b"] {
            assert_eq!(check_identity(bad), Err(IdentityFault::Characters));
            let minted = issuer(Secret::new(*b"s")).mint(now(), bad, &VoiceGrant::default(), USUAL);
            assert_eq!(minted, Err(IdentityFault::Characters));
        }
    }

    fn issuer(secret: Secret) -> Issuer {
        Issuer {
            account: AccountSid::from_bits(1),
            key: KeySid::from_bits(1),
            secret,
            region: None,
        }
    }

    /// When the vectors were made.
    fn now() -> Moment {
        Moment::from_millis(1_767_225_600_000)
    }
}
