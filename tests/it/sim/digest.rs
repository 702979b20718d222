//! Digest (RFC 7616) computed by the simulator itself, to check the edge's and to answer it.

use md5::Md5;
use sha2::{Digest as _, Sha256};

/// The value of one parameter of a challenge or of credentials.
pub(crate) fn value(header: &str, name: &str) -> Option<String> {
    let rest = header.split_once(' ')?.1;
    split(rest).into_iter().find_map(|part| {
        let (key, value) = part.split_once('=')?;
        let found = key.trim().eq_ignore_ascii_case(name);
        found.then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// Credentials for a challenge with `qop="auth"`.
pub(crate) fn answer(
    challenge: &str,
    user: &str,
    password: &str,
    method: &str,
    uri: &str,
    count: u32,
) -> String {
    let realm = value(challenge, "realm").expect("a realm");
    let nonce = value(challenge, "nonce").expect("a nonce");
    let algorithm = value(challenge, "algorithm").unwrap_or_else(|| "MD5".to_owned());
    let (nc, cnonce) = (format!("{count:08x}"), "0a4f113b");
    let hash = |text: String| hash(&algorithm, &text);
    let ha1 = hash(format!("{user}:{realm}:{password}"));
    let ha2 = hash(format!("{method}:{uri}"));
    let response = hash(format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}"));
    format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", algorithm={algorithm}, cnonce=\"{cnonce}\", qop=auth, nc={nc}"
    )
}

/// Whether `credentials` prove the password, for a request of `method`.
pub(crate) fn is_right(credentials: &str, password: &str, method: &str) -> bool {
    let of = |name: &str| value(credentials, name).unwrap_or_default();
    let algorithm = Some(of("algorithm")).filter(|name| !name.is_empty());
    let algorithm = algorithm.unwrap_or_else(|| "MD5".to_owned());
    let hash = |text: String| hash(&algorithm, &text);
    let ha1 = hash(format!("{}:{}:{password}", of("username"), of("realm")));
    let ha2 = hash(format!("{method}:{}", of("uri")));
    let middle = if of("qop").is_empty() {
        of("nonce")
    } else {
        format!(
            "{}:{}:{}:{}",
            of("nonce"),
            of("nc"),
            of("cnonce"),
            of("qop")
        )
    };
    hash(format!("{ha1}:{middle}:{ha2}")) == of("response")
}

fn hash(algorithm: &str, text: &str) -> String {
    let digest = match algorithm {
        "MD5" => Md5::digest(text).to_vec(),
        "SHA-256" => Sha256::digest(text).to_vec(),
        other => panic!("no such algorithm: {other}"),
    };
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Splits at commas outside quotes.
fn split(text: &str) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for c in text.chars() {
        if c == '"' {
            quoted = !quoted;
        }
        if c == ',' && !quoted {
            parts.push(String::new());
        } else {
            parts.last_mut().expect("never empty").push(c);
        }
    }
    parts
}
