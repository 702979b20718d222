//! What we show push services: tokens that hold for an hour or so, made or fetched when they are needed.
//!
//! ```text
//!   Google   RS256 assertion ──> token_uri ──> access token           OAuth 2.0, RFC 7523
//!   Apple    ES256 token                                              made here
//! ```

use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use crate::config::accounts::{Apns, ServiceAccount};
use crate::net::clock;
use crate::net::http_client::{Client, Fetch};
use crate::twilio::form::Form;
use crate::types::base64;
use crate::types::moment::Moment;
use crate::types::secret::Secret;

/// How long one of ours is used: Apple takes none that is older than an hour, and none that is made too often.
const APPLE_TIME: Duration = Duration::from_secs(45 * 60);

/// How long an assertion holds.
const ASSERTION_TIME: u64 = 3600;

/// How much earlier than it must a token of Google's is renewed.
const EARLY: Duration = Duration::from_secs(120);

/// Bytes of a token's answer.
const MOST_ANSWER: usize = 64 * 1024;

/// A token, while it holds.
#[derive(Default)]
pub(super) struct Pass(Mutex<Option<Held>>);

struct Held {
    owner: Owner,
    token: Secret,
    until: Instant,
}

/// Who a token is of: another key, after a reload, has another.
type Owner = [u8; 32];

/// There is no token: why.
pub(super) type NoPass = &'static str;

impl Pass {
    /// Forgets the token: the service does not take it.
    pub(super) async fn drop_it(&self, token: &Secret) {
        let mut held = self.0.lock().await;
        // Others may have found that out before, and made a new one.
        held.take_if(|held| held.token.is_equal(token.expose()));
    }

    /// Our token for Apple.
    pub(super) async fn apple(&self, now: Moment, apns: &Apns) -> Result<Secret, NoPass> {
        let mut held = self.0.lock().await;
        let public = apns.key.public_key();
        let owner = owner(&[
            apns.team.as_bytes(),
            apns.key_id.as_bytes(),
            public.as_ref(),
        ]);
        if let Some(token) = fresh(held.as_ref(), owner) {
            return Ok(token);
        }
        let token = apple_token(now, apns).ok_or("signing")?;
        *held = Some(Held {
            owner,
            token: token.clone(),
            until: clock::now() + APPLE_TIME,
        });
        Ok(token)
    }

    /// Our token for Google, by `deadline`.
    pub(super) async fn google(
        &self,
        now: Moment,
        account: &ServiceAccount,
        client: &Client,
        deadline: Instant,
    ) -> Result<Secret, NoPass> {
        // Whoever comes while it is fetched waits for it.
        let mut held = self.0.lock().await;
        let owner = google_owner(account);
        if let Some(token) = fresh(held.as_ref(), owner) {
            return Ok(token);
        }
        let assertion = google_assertion(now, account).ok_or("signing")?;
        let form: Form = [("grant_type", GRANT), ("assertion", &assertion)]
            .into_iter()
            .collect();
        let body = form.encoded();
        let kind = "application/x-www-form-urlencoded";
        let headers = [("Content-Type".into(), kind.into())];
        let fetch = Fetch {
            method: "POST",
            url: &account.token_url,
            headers: &headers,
            body: Some(&body),
            redirects: 0,
            is_idempotent: true,
            wants_answer: true,
        };
        let answer = client.ask(&fetch, MOST_ANSWER, deadline).await;
        let answer = answer.map_err(|failure| failure.label())?;
        if answer.status != 200 {
            return Err("token_refused");
        }
        let value: Value = serde_json::from_slice(&answer.body).map_err(|_| "token_odd")?;
        let token = value.get("access_token").and_then(Value::as_str);
        let token = token.filter(|token| token.bytes().all(|byte| byte.is_ascii_graphic()));
        let token = Secret::new(token.ok_or("token_odd")?.as_bytes());
        let seconds = value.get("expires_in").and_then(Value::as_u64);
        let time = Duration::from_secs(seconds.unwrap_or(ASSERTION_TIME).min(ASSERTION_TIME));
        *held = Some(Held {
            owner,
            token: token.clone(),
            until: clock::now() + time.saturating_sub(EARLY),
        });
        Ok(token)
    }
}

fn fresh(held: Option<&Held>, owner: Owner) -> Option<Secret> {
    let held = held.filter(|held| held.owner == owner && clock::now() < held.until);
    held.map(|held| held.token.clone())
}

fn google_owner(account: &ServiceAccount) -> Owner {
    let (email, url) = (account.email.as_bytes(), account.token_url.as_bytes());
    owner(&[email, url, account.key.public_key().as_ref()])
}

fn owner(parts: &[&[u8]]) -> Owner {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

fn google_assertion(now: Moment, account: &ServiceAccount) -> Option<String> {
    let issued = now.seconds();
    let claims = json!({
        "iss": account.email,
        "scope": SCOPE,
        "aud": account.token_url,
        "iat": issued,
        "exp": issued.saturating_add_unsigned(ASSERTION_TIME),
    });
    let signed = unsigned(&json!({"alg": "RS256", "typ": "JWT"}), &claims);
    let mut signature = vec![0; account.key.public_modulus_len()];
    let random = SystemRandom::new();
    let key = &account.key;
    let made = key.sign(
        &RSA_PKCS1_SHA256,
        &random,
        signed.as_bytes(),
        &mut signature,
    );
    made.ok()?;
    Some([&signed, ".", &base64::encode_url(&signature)].concat())
}

fn apple_token(now: Moment, apns: &Apns) -> Option<Secret> {
    let header = json!({"alg": "ES256", "kid": apns.key_id});
    let signed = unsigned(&header, &json!({"iss": apns.team, "iat": now.seconds()}));
    let signature = apns
        .key
        .sign(&SystemRandom::new(), signed.as_bytes())
        .ok()?;
    let token = [&signed, ".", &base64::encode_url(signature.as_ref())].concat();
    Some(Secret::new(token.into_bytes()))
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| base64::encode_url(value.to_string().as_bytes());
    [&part(header), ".", &part(claims)].concat()
}

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aws_lc_rs::rsa;
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
        RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    };

    use super::*;

    #[test]
    fn apple_can_check_our_token() {
        let apns = apns("ABC123DEFG");
        let public = apns.key.public_key().as_ref().to_vec();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);

        let token = apple_token(now(), &apns).unwrap();

        let (signed, signature, header, claims) = read(str::from_utf8(token.expose()).unwrap());
        assert!(public.verify(signed.as_bytes(), &signature).is_ok());
        assert_eq!(header, json!({"alg": "ES256", "kid": "ABC123DEFG"}));
        assert_eq!(claims, json!({"iss": "ABCDE12345", "iat": 1_767_225_600}));
    }

    #[test]
    fn google_can_check_our_assertion() {
        let key = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let public = UnparsedPublicKey::new(
            &RSA_PKCS1_2048_8192_SHA256,
            key.public_key().as_ref().to_vec(),
        );
        let account = ServiceAccount {
            email: "edge@example.com".into(),
            token_url: "https://oauth.example.com/token".into(),
            key,
        };

        let assertion = google_assertion(now(), &account).unwrap();

        let (signed, signature, header, claims) = read(&assertion);
        assert!(public.verify(signed.as_bytes(), &signature).is_ok());
        assert_eq!(header["alg"], "RS256");
        assert_eq!(claims["aud"], "https://oauth.example.com/token");
        assert_eq!(claims["exp"], 1_767_225_600 + 3600);
    }

    #[test]
    fn a_token_is_of_the_key_that_it_was_made_with() {
        on_a_runtime(async {
            let (pass, old, new) = (Pass::default(), apns("ABC123DEFG"), apns("ABC123DEFG"));
            let other = Apns {
                key_id: "ABC123DEFH".into(),
                ..old.clone()
            };

            let first = pass.apple(now(), &old).await.unwrap();
            // A reload that changes nothing: Apple counts how many are made.
            let again = pass.apple(now(), &old.clone()).await.unwrap();
            assert!(first.is_equal(again.expose()));
            // A reload with another key of the same name, and one with another name.
            for apns in [&new, &other] {
                let token = pass.apple(now(), apns).await.unwrap();
                let text = str::from_utf8(token.expose()).unwrap();
                let (signed, signature, header, _) = read(text);
                let public = apns.key.public_key().as_ref().to_vec();
                let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
                assert!(public.verify(signed.as_bytes(), &signature).is_ok());
                assert_eq!(header["kid"], *apns.key_id);
            }
        });
    }

    #[test]
    fn who_finds_out_late_that_a_token_is_refused_drops_no_newer_one() {
        on_a_runtime(async {
            let (pass, apns) = (Pass::default(), apns("ABC123DEFG"));
            let refused = pass.apple(now(), &apns).await.unwrap();
            pass.drop_it(&refused).await;
            let newer = pass.apple(now(), &apns).await.unwrap();

            pass.drop_it(&refused).await;

            let held = pass.apple(now(), &apns).await.unwrap();
            assert!(held.is_equal(newer.expose()) && !held.is_equal(refused.expose()));
        });
    }

    #[test]
    fn a_service_account_is_told_from_others_by_its_key_too() {
        let account = |email: &str| ServiceAccount {
            email: email.into(),
            token_url: "https://oauth.example.com/token".into(),
            key: rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
        };
        let (one, other) = (account("edge@example.com"), account("edge@example.com"));

        assert_eq!(google_owner(&one), google_owner(&one));
        assert_ne!(google_owner(&one), google_owner(&other));
        let before = google_owner(&one);
        let moved = ServiceAccount {
            token_url: "https://oauth.example.com/other".into(),
            ..one
        };
        assert_ne!(google_owner(&moved), before);
    }

    fn apns(key_id: &str) -> Apns {
        Apns {
            url: "https://push.example.com".into(),
            topic: "com.example.app.voip".into(),
            team: "ABCDE12345".into(),
            key_id: key_id.into(),
            key: Arc::new(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
        }
    }

    fn on_a_runtime(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(test);
    }

    /// What is signed, its signature, header and claims.
    fn read(token: &str) -> (&str, Vec<u8>, Value, Value) {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let decode = |part: &str| base64::decode_url(part.as_bytes()).unwrap();
        let value = |part: &str| serde_json::from_slice(&decode(part)).unwrap();
        (signed, decode(signature), value(header), value(claims))
    }

    fn now() -> Moment {
        Moment::from_millis(1_767_225_600_000)
    }
}
