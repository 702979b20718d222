//! Bytes that must never be seen: no `Debug`, no `Display`, wiped when dropped, compared in constant time.

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password, a key or an HA1.
#[derive(Clone)]
pub struct Secret(Zeroizing<Box<[u8]>>);

impl Secret {
    /// Takes `bytes` in.
    #[must_use]
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Self {
        Self(Zeroizing::new(bytes.into()))
    }

    /// Shows the bytes to the code that needs them.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether `other` is the same, in a time that tells nothing but the lengths.
    #[must_use]
    pub fn is_equal(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_means_every_byte() {
        let secret = Secret::new(*b"canary");

        assert!(secret.is_equal(b"canary"));
        assert!(!secret.is_equal(b"canarz"));
        assert!(!secret.is_equal(b"canar"));
    }
}
