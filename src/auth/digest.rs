//! Digest access authentication (RFC 7616) as SIP uses it (RFC 3261 §22.4, RFC 8760), both ways.
//!
//! ```text
//! HA1      = H(username ":" realm ":" password)                    what is stored
//! HA2      = H(method ":" uri)
//! response = H(HA1 ":" nonce ":" nc ":" cnonce ":" qop ":" HA2)    with qop
//!          = H(HA1 ":" nonce ":" HA2)                              without, as in RFC 2069
//! ```
//!
//! H is written in lower-case hexadecimal. `-sess` algorithms and `auth-int` are not spoken. Values are
//! hashed as they stand between the quotes, escapes resolved; nothing is printed anew on the way.

mod challenge;
mod params;

use md5::Md5;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use thiserror::Error;

pub use self::challenge::{Answer, AnswerError, Challenge, answer, strongest};
pub use self::params::ParamText;
use self::params::gather;
pub(in crate::auth) use self::params::write_quoted;
use crate::types::hex::{parse_hex, write_hex};
use crate::types::secret::Secret;

/// The hash of a challenge and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// MD5, for peers that know nothing else.
    Md5,
    /// SHA-256 (RFC 8760).
    Sha256,
}

impl Algorithm {
    /// The name on the wire (RFC 7616 §6.1).
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// Reads the name on the wire, in any case; `None` for one that we do not speak.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        [Self::Md5, Self::Sha256]
            .into_iter()
            .find(|algorithm| name.eq_ignore_ascii_case(algorithm.name().as_bytes()))
    }

    /// Length of a hash as text, in bytes.
    #[must_use]
    pub fn text_len(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 => 64,
        }
    }

    /// Reads an HA1 as tools print it, in any case; `None` if it is not hexadecimal of this length.
    #[must_use]
    pub fn parse_ha1(self, text: &[u8]) -> Option<Secret> {
        let fits = text.len() == self.text_len() && text.iter().all(u8::is_ascii_hexdigit);
        fits.then(|| Secret::new(text.to_ascii_lowercase()))
    }

    /// Makes the HA1 of a user.
    #[must_use]
    pub fn ha1(self, username: &[u8], realm: &[u8], password: &Secret) -> Secret {
        let mut hasher = Hasher::new(self);
        hasher.put(username);
        hasher.put(b":");
        hasher.put(realm);
        hasher.put(b":");
        hasher.put(password.expose());
        Secret::new(hasher.finish().text())
    }
}

/// What a user's answers are checked against: an HA1 for each algorithm that it may use.
#[derive(Clone, Default)]
pub struct Account {
    /// HA1 by MD5, in lower-case hexadecimal; `None`: the user may not use MD5.
    pub md5: Option<Secret>,
    /// HA1 by SHA-256, in lower-case hexadecimal; `None`: the user may not use SHA-256.
    pub sha256: Option<Secret>,
}

impl Account {
    /// Makes the HA1s of both algorithms.
    #[must_use]
    pub fn from_password(username: &str, realm: &str, password: &Secret) -> Self {
        let ha1 =
            |algorithm: Algorithm| algorithm.ha1(username.as_bytes(), realm.as_bytes(), password);
        Self {
            md5: Some(ha1(Algorithm::Md5)),
            sha256: Some(ha1(Algorithm::Sha256)),
        }
    }

    /// The HA1 for `algorithm`, in lower-case hexadecimal.
    #[must_use]
    pub fn ha1(&self, algorithm: Algorithm) -> Option<&Secret> {
        match algorithm {
            Algorithm::Md5 => self.md5.as_ref(),
            Algorithm::Sha256 => self.sha256.as_ref(),
        }
    }
}

/// What a client claims in an Authorization header (RFC 7616 §3.4), read but not checked.
pub struct Credentials<'a> {
    /// Who it says it is.
    pub username: ParamText<'a>,
    /// The realm it answers for.
    pub realm: ParamText<'a>,
    /// The nonce it was given.
    pub nonce: ParamText<'a>,
    /// The URI it asks for.
    pub uri: ParamText<'a>,
    /// The hash it used; MD5 if it names none.
    pub algorithm: Algorithm,
    /// Its nonce-count, with `qop=auth`; `None`: no qop.
    pub count: Option<Count<'a>>,
    /// As many hexadecimal digits as the hash has, in any case.
    response: &'a [u8],
}

/// What `qop=auth` adds to an answer.
pub struct Count<'a> {
    /// How many requests the client has sent with the nonce, this one included.
    pub value: u32,
    text: &'a [u8],
    cnonce: ParamText<'a>,
}

/// Why a header is no digest that we can work with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DigestFault {
    /// Another scheme.
    #[error("not the Digest scheme")]
    NotDigest,
    /// Not `name=value, name="value"`.
    #[error("parameters cannot be read")]
    Malformed,
    /// A parameter of ours is there twice.
    #[error("{0} is there twice")]
    Repeated(&'static str),
    /// A parameter that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// An algorithm that we do not speak.
    #[error("algorithm is not known")]
    Algorithm,
    /// A quality of protection other than `auth`.
    #[error("qop is not auth")]
    Qop,
    /// A nonce-count that is not eight hexadecimal digits.
    #[error("nc is not eight hexadecimal digits")]
    Count,
    /// A response that is no hash of the algorithm.
    #[error("response is not a hash of the algorithm")]
    Response,
}

impl<'a> Credentials<'a> {
    /// Reads the value of an Authorization header.
    pub fn parse(value: &'a [u8]) -> Result<Self, DigestFault> {
        let [
            username,
            realm,
            nonce,
            uri,
            response,
            algorithm,
            qop,
            nc,
            cnonce,
        ] = gather(
            value,
            [
                "username",
                "realm",
                "nonce",
                "uri",
                "response",
                "algorithm",
                "qop",
                "nc",
                "cnonce",
            ],
        )?;
        let algorithm = parse_algorithm(algorithm)?.unwrap_or(Algorithm::Md5);
        let response = response.ok_or(DigestFault::Missing("response"))?.raw();
        if response.len() != algorithm.text_len() || !response.iter().all(u8::is_ascii_hexdigit) {
            return Err(DigestFault::Response);
        }
        let count = match qop {
            None => None,
            Some(qop) if qop.raw().eq_ignore_ascii_case(b"auth") => {
                let text = nc.ok_or(DigestFault::Missing("nc"))?.raw();
                let value = parse_hex(text)
                    .filter(|_| text.len() == NC_LEN)
                    .and_then(|value| u32::try_from(value).ok());
                Some(Count {
                    value: value.ok_or(DigestFault::Count)?,
                    text,
                    cnonce: cnonce.ok_or(DigestFault::Missing("cnonce"))?,
                })
            }
            Some(_) => return Err(DigestFault::Qop),
        };
        Ok(Self {
            username: username.ok_or(DigestFault::Missing("username"))?,
            realm: realm.ok_or(DigestFault::Missing("realm"))?,
            nonce: nonce.ok_or(DigestFault::Missing("nonce"))?,
            uri: uri.ok_or(DigestFault::Missing("uri"))?,
            algorithm,
            count,
            response,
        })
    }
}

/// Whether `credentials` were made with the password of `account`, for a request of `method`.
///
/// `None` is a user whom nobody knows: the work and the verdict are those of a wrong password.
#[must_use]
pub fn verify(credentials: &Credentials<'_>, method: &[u8], account: Option<&Account>) -> bool {
    let algorithm = credentials.algorithm;
    let known = account.and_then(|account| account.ha1(algorithm));
    let nobody = NOBODY.get(..algorithm.text_len()).unwrap_or(&NOBODY);
    let wanted = response(
        algorithm,
        known.map_or(nobody, Secret::expose),
        method,
        credentials.uri,
        credentials.nonce,
        credentials
            .count
            .as_ref()
            .map(|count| (count.text, count.cnonce)),
    );
    let mut given = [0; MAX_TEXT];
    for (place, digit) in given.iter_mut().zip(credentials.response) {
        *place = digit.to_ascii_lowercase();
    }
    let given = given.get(..credentials.response.len()).unwrap_or(&given);
    (wanted.text().ct_eq(given) & Choice::from(u8::from(known.is_some()))).into()
}

fn parse_algorithm(text: Option<ParamText<'_>>) -> Result<Option<Algorithm>, DigestFault> {
    text.map(|text| Algorithm::parse(text.raw()).ok_or(DigestFault::Algorithm))
        .transpose()
}

/// RFC 7616 §3.4.1; without `count` (nc and cnonce), RFC 2069 §2.1.2.
fn response(
    algorithm: Algorithm,
    ha1: &[u8],
    method: &[u8],
    uri: ParamText<'_>,
    nonce: ParamText<'_>,
    count: Option<(&[u8], ParamText<'_>)>,
) -> Hex {
    let mut ha2 = Hasher::new(algorithm);
    ha2.put(method);
    ha2.put(b":");
    uri.pieces().for_each(|piece| ha2.put(piece));
    let ha2 = ha2.finish();

    let mut whole = Hasher::new(algorithm);
    whole.put(ha1);
    whole.put(b":");
    nonce.pieces().for_each(|piece| whole.put(piece));
    whole.put(b":");
    if let Some((nc, cnonce)) = count {
        whole.put(nc);
        whole.put(b":");
        cnonce.pieces().for_each(|piece| whole.put(piece));
        whole.put(b":auth:");
    }
    whole.put(ha2.text());
    whole.finish()
}

/// One hash under way.
enum Hasher {
    Md5(Md5),
    Sha256(Sha256),
}

impl Hasher {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Md5 => Self::Md5(Md5::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        match self {
            Self::Md5(hasher) => hasher.update(bytes),
            Self::Sha256(hasher) => hasher.update(bytes),
        }
    }

    fn finish(self) -> Hex {
        #[cfg(test)]
        FINISHED.with(|finished| finished.set(finished.get() + 1));
        match self {
            Self::Md5(hasher) => Hex::new(&hasher.finalize()),
            Self::Sha256(hasher) => Hex::new(&hasher.finalize()),
        }
    }
}

/// A hash in lower-case hexadecimal.
struct Hex {
    digits: [u8; MAX_TEXT],
    len: usize,
}

impl Hex {
    fn new(hash: &[u8]) -> Self {
        let mut digits = [0; MAX_TEXT];
        write_hex(hash.iter().copied(), &mut digits);
        Self {
            digits,
            len: hash.len() * 2,
        }
    }

    fn text(&self) -> &[u8] {
        self.digits.get(..self.len).unwrap_or(&self.digits)
    }
}

/// Digits of a nonce-count.
const NC_LEN: usize = 8;
/// The longest hash as text, in bytes.
const MAX_TEXT: usize = 64;
/// Stands for the HA1 of a user whom nobody knows.
const NOBODY: [u8; MAX_TEXT] = [b'0'; MAX_TEXT];

#[cfg(test)]
thread_local! {
    /// Hashes that this thread has finished: what an answer costs.
    pub(in crate::auth) static FINISHED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
mod tests;
