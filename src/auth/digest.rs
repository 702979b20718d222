//! Digest access authentication (RFC 7616) as SIP uses it (RFC 3261 §22.4, RFC 8760), both ways.
//!
//! ```text
//! HA1      = H(username ":" realm ":" password)                    what is stored
//! HA2      = H(method ":" uri)
//! response = H(HA1 ":" nonce ":" nc ":" cnonce ":" qop ":" HA2)    with qop
//!          = H(HA1 ":" nonce ":" HA2)                              without, as in RFC 2069
//! ```
//!
//! H is written in lower-case hexadecimal. `-sess` algorithms and `auth-int` are not spoken.

use md5::Md5;
use sha2::{Digest as _, Sha256};

use crate::auth::hex::write_hex;
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
        match self {
            Self::Md5(hasher) => Hex::new(&hasher.finalize()),
            Self::Sha256(hasher) => Hex::new(&hasher.finalize()),
        }
    }
}

/// A hash in lower-case hexadecimal.
struct Hex {
    digits: [u8; 64],
    len: usize,
}

impl Hex {
    fn new(hash: &[u8]) -> Self {
        let mut digits = [0; 64];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ha1_is_read_as_tools_print_it() {
        let text = b"F5732E14BEF238BADB2B4CB987D415F6";
        let read = Algorithm::Md5.parse_ha1(text).unwrap();
        let made = Account::from_password("user", "sipsorcery.cloud", &Secret::new(*b"password"));

        assert!(read.is_equal(made.md5.unwrap().expose()));
        assert!(Algorithm::Sha256.parse_ha1(text).is_none());
        assert!(Algorithm::Md5.parse_ha1(&[b'g'; 32]).is_none());
    }
}
