//! Keyed hashes (RFC 2104) of texts in parts, and secrets of which two hold while one replaces the other.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::types::hex::write_hex;
use crate::types::secret::Secret;

/// A secret, and the one before it while others still use that.
#[derive(Clone)]
pub struct Rotating {
    /// What we sign with.
    pub current: Secret,
    /// What is still believed.
    pub previous: Option<Secret>,
}

impl Rotating {
    /// A secret without a predecessor.
    #[must_use]
    pub fn new(current: Secret) -> Self {
        Self {
            current,
            previous: None,
        }
    }

    /// Both, the current one first.
    pub fn iter(&self) -> impl Iterator<Item = &Secret> {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
    }
}

/// HMAC-SHA1 of the parts, one after another.
#[must_use]
pub fn sha1(secret: &Secret, parts: &[&[u8]]) -> [u8; 20] {
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes a key of any length (RFC 2104 §2)"
    )]
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.expose()).expect("any length will do");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// HMAC-SHA256 of the parts, one after another.
#[must_use]
pub fn sha256(secret: &Secret, parts: &[&[u8]]) -> [u8; 32] {
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes a key of any length (RFC 2104 §2)"
    )]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).expect("any length will do");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// The SHA-256 of `bytes` in lower-case hexadecimal.
#[must_use]
pub fn hash_hex(bytes: &[u8]) -> [u8; 64] {
    let mut text = [0; 64];
    write_hex(Sha256::digest(bytes), &mut text);
    text
}

/// Whether both are the same, in a time that tells nothing but the lengths.
#[must_use]
pub fn is_same(one: &[u8], other: &[u8]) -> Choice {
    one.ct_eq(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 2202 §3 and RFC 4231 §4.3, test case 2 of each.
    #[test]
    fn the_examples_of_the_rfcs_hold() {
        let key = Secret::new(*b"Jefe");
        let parts: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
        let mut short = [0; 40];
        write_hex(sha1(&key, &parts), &mut short);
        let mut long = [0; 64];
        write_hex(sha256(&key, &parts), &mut long);

        assert_eq!(&short, b"effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(
            &long,
            b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn the_hash_is_lower_case() {
        assert_eq!(
            &hash_hex(b""),
            b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
