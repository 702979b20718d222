//! Secrets at rest: sealed with a key that is not in the store (AES-256-GCM-SIV, RFC 8452), and bound to what they are of, so
//! that one cannot be put in another's place.
//!
//! ```text
//!   nonce (12) | ciphertext | tag (16)          additional data: what it is of, and the name of the key
//! ```

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::types::secret::Secret;

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealFault {
    /// There is no key to seal with.
    #[error("there is no key")]
    NoKey,
    /// It was sealed with a key that is not there.
    #[error("its key is not there")]
    UnknownKey,
    /// It was sealed with another key of this name, is of something else, or was changed.
    #[error("it was changed, or its key was")]
    Broken,
}

/// Keys by name. The first one seals, all of them open.
#[derive(Default)]
pub struct Keyring(Vec<(Box<str>, LessSafeKey)>);

impl Keyring {
    /// Makes keys of secrets: whatever is unpredictable enough.
    ///
    /// # Errors
    ///
    /// When the system cannot do it.
    pub fn new<'k>(
        keys: impl IntoIterator<Item = (&'k str, &'k Secret)>,
    ) -> Result<Self, SealFault> {
        let made = keys.into_iter().map(|(name, secret)| {
            let bytes = derive(secret)?;
            let key = UnboundKey::new(&AES_256_GCM_SIV, &*bytes).map_err(|_| SealFault::Broken)?;
            Ok((name.into(), LessSafeKey::new(key)))
        });
        Ok(Self(made.collect::<Result<_, _>>()?))
    }

    /// The name of the key that seals; `None`: there is none.
    #[must_use]
    pub fn current(&self) -> Option<&str> {
        self.0.first().map(|(name, _)| &**name)
    }

    /// Seals what is `of` somebody; `nonce` was never used before, as far as chance goes.
    ///
    /// # Errors
    ///
    /// When there is no key.
    pub fn seal(
        &self,
        of: &str,
        plain: &Secret,
        nonce: [u8; NONCE_LEN],
    ) -> Result<Vec<u8>, SealFault> {
        let (name, key) = self.0.first().ok_or(SealFault::NoKey)?;
        let mut sealed = nonce.to_vec();
        let mut bytes = Zeroizing::new(plain.expose().to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.seal_in_place_separate_tag(nonce, about(of, name), &mut bytes);
        let tag = tag.map_err(|_| SealFault::Broken)?;
        sealed.extend_from_slice(&bytes);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed with the key of this name.
    ///
    /// # Errors
    ///
    /// When it was not, or the key is not there.
    pub fn open(&self, of: &str, name: &str, sealed: &[u8]) -> Result<Secret, SealFault> {
        let mut keys = self.0.iter();
        let (_, key) = keys
            .find(|(own, _)| **own == *name)
            .ok_or(SealFault::UnknownKey)?;
        let (nonce, rest) = sealed
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(SealFault::Broken)?;
        let mut bytes = Zeroizing::new(rest.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = key.open_in_place(nonce, about(of, name), &mut bytes);
        let plain = plain.map_err(|_| SealFault::Broken)?;
        Ok(Secret::new(&*plain))
    }
}

fn about(of: &str, name: &str) -> Aad<Vec<u8>> {
    let length = u32::try_from(of.len()).unwrap_or(u32::MAX);
    Aad::from([&length.to_be_bytes(), of.as_bytes(), name.as_bytes()].concat())
}

fn derive(secret: &Secret) -> Result<Zeroizing<[u8; 32]>, SealFault> {
    let mac = Hmac::<Sha256>::new_from_slice(secret.expose()).map_err(|_| SealFault::Broken)?;
    let digest = mac.chain_update(PURPOSE).finalize().into_bytes();
    Ok(Zeroizing::new(digest.into()))
}

/// What the key is for: the same secret makes another key for anything else.
const PURPOSE: &[u8] = b"strowger: secrets at rest, 1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_is_not_seen_and_opens_again() {
        let keys = ring(&["new", "old"]);

        let sealed = keys.seal("acme", &plain(), [1; 12]).unwrap();

        assert_eq!(keys.current(), Some("new"));
        assert_eq!(sealed.len(), 12 + 12 + 16);
        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        let opened = keys.open("acme", "new", &sealed).unwrap();
        assert!(opened.is_equal(b"canary-token"));
    }

    #[test]
    fn an_older_key_opens_what_it_has_sealed_and_seals_no_more() {
        let sealed = ring(&["old"]).seal("acme", &plain(), [1; 12]).unwrap();
        let keys = ring(&["new", "old"]);

        assert!(
            keys.open("acme", "old", &sealed)
                .is_ok_and(|opened| opened.is_equal(b"canary-token"))
        );
        assert_eq!(
            ring(&["new"]).open("acme", "old", &sealed).err(),
            Some(SealFault::UnknownKey)
        );
    }

    #[test]
    fn what_was_changed_or_is_somebody_elses_does_not_open() {
        let keys = ring(&["new", "old"]);
        let sealed = keys.seal("acme", &plain(), [1; 12]).unwrap();

        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            let fault = keys.open("acme", "new", &changed).err();
            assert_eq!(fault, Some(SealFault::Broken), "{place}");
        }
        for cut in 0..sealed.len() {
            let fault = keys.open("acme", "new", &sealed[..cut]).err();
            assert_eq!(fault, Some(SealFault::Broken), "{cut}");
        }
        for (of, name) in [("other", "new"), ("acmen", "ew"), ("acme", "old")] {
            let fault = keys.open(of, name, &sealed).err();
            assert!(
                matches!(fault, Some(SealFault::Broken | SealFault::UnknownKey)),
                "{of} {name}"
            );
        }
    }

    #[test]
    fn nothing_is_sealed_without_a_key() {
        let fault = Keyring::default().seal("acme", &plain(), [1; 12]).err();

        assert_eq!(fault, Some(SealFault::NoKey));
    }

    fn ring(names: &[&str]) -> Keyring {
        let secrets: Vec<_> = names
            .iter()
            .map(|name| (*name, Secret::new(format!("secret of {name}").into_bytes())))
            .collect();
        Keyring::new(secrets.iter().map(|(name, secret)| (*name, secret))).unwrap()
    }

    fn plain() -> Secret {
        Secret::new(*b"canary-token")
    }
}
