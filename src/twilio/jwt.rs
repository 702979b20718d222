//! JSON Web Tokens (RFC 7519) signed with HMAC-SHA256 (`HS256`), and no others: what a token says of its own algorithm is
//! compared, never obeyed.

use serde_json::Value;
use thiserror::Error;

use crate::twilio::mac;
use crate::types::base64;
use crate::types::moment::Moment;
use crate::types::secret::Secret;

/// Why a token is not believed (401).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TokenFault {
    /// It is none.
    #[error("not a token")]
    Malformed,
    /// It is signed in another way, or not at all.
    #[error("not signed with HS256")]
    Algorithm,
    /// It was signed with another secret.
    #[error("a forged token")]
    Forged,
    /// It holds no more, or never says until when.
    #[error("an expired token")]
    Expired,
    /// It does not hold yet.
    #[error("a token of the future")]
    TooEarly,
}

impl TokenFault {
    /// Its name in records and metrics.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "token_malformed",
            Self::Algorithm => "token_algorithm",
            Self::Forged => "token_forged",
            Self::Expired => "token_expired",
            Self::TooEarly => "token_too_early",
        }
    }
}

/// Writes a token of this header, which says `HS256`, and these claims.
#[must_use]
pub fn sign(header: &Value, claims: &Value, secret: &Secret) -> String {
    let mut token = base64::encode_url(header.to_string().as_bytes());
    token.push('.');
    token.push_str(&base64::encode_url(claims.to_string().as_bytes()));
    let signature = mac::sha256(secret, &[token.as_bytes()]);
    token.push('.');
    token.push_str(&base64::encode_url(&signature));
    token
}

/// Reads header and claims of a token that was signed with this secret and holds now.
pub fn verify(now: Moment, token: &str, secret: &Secret) -> Result<(Value, Value), TokenFault> {
    if token.len() > MOST_BYTES {
        return Err(TokenFault::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenFault::Malformed)?;
    let signature = base64::decode_url(signature.as_bytes()).ok_or(TokenFault::Malformed)?;
    let expected = mac::sha256(secret, &[signed.as_bytes()]);
    let is_right = bool::from(mac::is_same(&expected, &signature));
    let header = object(header)?;
    if header.get("alg").and_then(Value::as_str) != Some("HS256") {
        return Err(TokenFault::Algorithm);
    }
    if !is_right {
        return Err(TokenFault::Forged);
    }
    let claims = object(claims)?;
    let time = |name: &str| claims.get(name).and_then(Value::as_f64);
    let now = now.millis() as f64 / 1000.0;
    if time("exp").is_none_or(|end| now >= end) {
        return Err(TokenFault::Expired);
    }
    let start = claims.get("nbf").filter(|start| !start.is_null());
    if start.is_some_and(|start| start.as_f64().is_none_or(|start| now < start)) {
        return Err(TokenFault::TooEarly);
    }
    Ok((header, claims))
}

fn object(part: &str) -> Result<Value, TokenFault> {
    let bytes = base64::decode_url(part.as_bytes()).ok_or(TokenFault::Malformed)?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| TokenFault::Malformed)?;
    value
        .is_object()
        .then_some(value)
        .ok_or(TokenFault::Malformed)
}

/// Bytes of a token.
const MOST_BYTES: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// RFC 7515 §A.1, whose token says until when it holds, and no more.
    #[test]
    fn the_example_of_the_rfc_is_read() {
        let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
        let key = Secret::new(base64::decode_url(key.as_bytes()).unwrap());

        let (_, claims) = verify(at(1_300_819_379), token, &key).unwrap();

        assert_eq!(claims["iss"], "joe");
        assert_eq!(
            verify(at(1_300_819_380), token, &key),
            Err(TokenFault::Expired)
        );
    }

    #[test]
    fn what_a_token_says_of_its_algorithm_is_not_obeyed() {
        let claims = json!({"exp": 2_000_000_000_u32});
        for algorithm in ["none", "None", "HS512", "RS256", "hs256", ""] {
            let token = sign(&json!({"alg": algorithm}), &claims, &secret());
            assert_eq!(verify(at(0), &token, &secret()), Err(TokenFault::Algorithm));
        }
        let token = sign(&json!({"alg": "HS256"}), &claims, &secret());
        let (head, _) = token.rsplit_once('.').unwrap();
        assert_eq!(
            verify(at(0), &format!("{head}."), &secret()),
            Err(TokenFault::Forged)
        );
        assert_eq!(
            verify(at(0), &token, &Secret::new(*b"other")),
            Err(TokenFault::Forged)
        );
    }

    #[test]
    fn a_token_holds_in_its_time_only() {
        let header = json!({"alg": "HS256"});
        let check = |claims: Value| {
            verify(at(1000), &sign(&header, &claims, &secret()), &secret()).map(|_| ())
        };

        assert_eq!(check(json!({"exp": 1001})), Ok(()));
        assert_eq!(check(json!({"exp": 1000.5, "nbf": 999.5})), Ok(()));
        assert_eq!(check(json!({"exp": 1001, "nbf": null})), Ok(()));
        assert_eq!(check(json!({"exp": 1000})), Err(TokenFault::Expired));
        assert_eq!(check(json!({})), Err(TokenFault::Expired));
        assert_eq!(check(json!({"exp": "1001"})), Err(TokenFault::Expired));
        assert_eq!(
            check(json!({"exp": 1001, "nbf": 1001})),
            Err(TokenFault::TooEarly)
        );
        assert_eq!(
            check(json!({"exp": 1001, "nbf": "0"})),
            Err(TokenFault::TooEarly)
        );
        assert_eq!(check(json!([1])), Err(TokenFault::Malformed));
    }

    proptest! {
        #[test]
        fn nothing_near_a_token_is_one(at_byte in 0_usize..100, to in "[A-Za-z0-9_.=-]") {
            let token = sign(&json!({"alg": "HS256"}), &json!({"exp": 2_000_000_000_u32}), &secret());
            let at_byte = at_byte % token.len();
            let mut changed = token.clone();
            changed.replace_range(at_byte..=at_byte, &to);
            prop_assume!(changed != token);

            prop_assert!(verify(at(0), &changed, &secret()).is_err());
        }

        #[test]
        fn no_text_is_too_odd(text: String) {
            prop_assert!(verify(at(0), &text, &secret()).is_err());
        }
    }

    fn at(seconds: i64) -> Moment {
        Moment::from_millis(seconds * 1000)
    }

    fn secret() -> Secret {
        Secret::new(*b"secret")
    }
}
