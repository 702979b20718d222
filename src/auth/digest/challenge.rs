//! The client's side: a buyer's challenge, and our answer to it (RFC 7616 §3.3, §3.4).

use thiserror::Error;

use crate::auth::digest::{
    Algorithm, DigestFault, NC_LEN, ParamText, gather, parse_algorithm, response, write_quoted,
};
use crate::types::hex::write_hex;
use crate::types::secret::Secret;

/// What a peer asks for in a WWW-Authenticate or Proxy-Authenticate header.
pub struct Challenge<'a> {
    /// The realm it guards.
    pub realm: ParamText<'a>,
    /// Whether only the nonce was refused, not the password.
    pub is_stale: bool,
    /// The nonce to answer with.
    pub nonce: ParamText<'a>,
    opaque: Option<ParamText<'a>>,
    /// `None`: it names none, which is MD5.
    algorithm: Option<Algorithm>,
    /// Whether it offers `qop=auth`; if not, it offers no qop at all.
    pub has_qop: bool,
}

/// All that goes into an answer besides the challenge.
pub struct Answer<'a> {
    /// User name.
    pub username: &'a str,
    /// Password.
    pub password: &'a Secret,
    /// Method of the request.
    pub method: &'a [u8],
    /// Request-URI of the request, as it stands there.
    pub uri: &'a [u8],
    /// Random text of ours, a token.
    pub cnonce: &'a [u8],
    /// How many requests were sent with this nonce, this one included.
    pub count: u32,
}

/// Why a challenge is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// A value holds a control character, and would break the header.
    #[error("a value of the answer holds a control character")]
    Control,
}

impl<'a> Challenge<'a> {
    /// Reads the value of a WWW-Authenticate or Proxy-Authenticate header.
    pub fn parse(value: &'a [u8]) -> Result<Self, DigestFault> {
        let [realm, nonce, opaque, algorithm, qop, stale] = gather(
            value,
            ["realm", "nonce", "opaque", "algorithm", "qop", "stale"],
        )?;
        let has_qop = qop.is_some_and(|qop| !qop.raw().trim_ascii().is_empty());
        if has_qop && !qop.is_some_and(|qop| offers_auth(qop.raw())) {
            return Err(DigestFault::Qop);
        }
        Ok(Self {
            realm: realm.ok_or(DigestFault::Missing("realm"))?,
            nonce: nonce.ok_or(DigestFault::Missing("nonce"))?,
            is_stale: stale.is_some_and(|stale| stale.raw().eq_ignore_ascii_case(b"true")),
            opaque,
            algorithm: parse_algorithm(algorithm)?,
            has_qop,
        })
    }

    /// The hash to answer with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm.unwrap_or(Algorithm::Md5)
    }
}

/// The challenge to answer out of those of one response: SHA-256 before MD5 (RFC 8760 §2.4), the first
/// of its kind. Only `realm` counts: an answer for another one would hand a hash of the password to
/// whoever asks. `None`: there is none that we can or may answer.
#[must_use]
pub fn strongest<'a>(
    values: impl IntoIterator<Item = &'a [u8]>,
    realm: &str,
) -> Option<Challenge<'a>> {
    let mut best: Option<Challenge<'a>> = None;
    for value in values {
        // One that cannot be read or answered leaves the others to choose from.
        let Ok(challenge) = Challenge::parse(value) else {
            continue;
        };
        let is_better = best
            .as_ref()
            .is_none_or(|best| rank(best.algorithm()) < rank(challenge.algorithm()));
        if is_better && challenge.realm.is(realm.as_bytes()) {
            best = Some(challenge);
        }
    }
    best
}

/// Writes the value of the Authorization (or Proxy-Authorization) header to the end of `out`; on an
/// error `out` is as before.
pub fn answer(
    challenge: &Challenge<'_>,
    answer: &Answer<'_>,
    out: &mut Vec<u8>,
) -> Result<(), AnswerError> {
    let algorithm = challenge.algorithm();
    let realm = challenge.realm.unescaped();
    let ha1 = algorithm.ha1(answer.username.as_bytes(), &realm, answer.password);
    let mut nc = [0; NC_LEN];
    write_hex(answer.count.to_be_bytes(), &mut nc);
    let cnonce = ParamText::plain(answer.cnonce);
    let uri = ParamText::plain(answer.uri);
    let response = response(
        algorithm,
        ha1.expose(),
        answer.method,
        uri,
        challenge.nonce,
        challenge.has_qop.then_some((nc.as_slice(), cnonce)),
    );

    let start = out.len();
    out.extend_from_slice(b"Digest username=");
    write_quoted(ParamText::plain(answer.username.as_bytes()), out);
    out.extend_from_slice(b", realm=");
    write_quoted(challenge.realm, out);
    out.extend_from_slice(b", nonce=");
    write_quoted(challenge.nonce, out);
    out.extend_from_slice(b", uri=");
    write_quoted(uri, out);
    out.extend_from_slice(b", response=");
    write_quoted(ParamText::plain(response.text()), out);
    if let Some(algorithm) = challenge.algorithm {
        out.extend_from_slice(b", algorithm=");
        out.extend_from_slice(algorithm.name().as_bytes());
    }
    if challenge.has_qop {
        out.extend_from_slice(b", cnonce=");
        write_quoted(cnonce, out);
        out.extend_from_slice(b", qop=auth, nc=");
        out.extend_from_slice(&nc);
    }
    if let Some(opaque) = challenge.opaque {
        out.extend_from_slice(b", opaque=");
        write_quoted(opaque, out);
    }
    let is_control = |byte: &u8| byte.is_ascii_control() && *byte != b'\t';
    if out.iter().skip(start).any(is_control) {
        out.truncate(start);
        return Err(AnswerError::Control);
    }
    Ok(())
}

/// Whether the list `qop` has `auth` in it (RFC 7616 §3.3: unknown ones MUST be ignored).
fn offers_auth(qop: &[u8]) -> bool {
    qop.split(|byte| *byte == b',')
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"auth"))
}

fn rank(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Md5 => 0,
        Algorithm::Sha256 => 1,
    }
}
