//! From the master key to the keys of a session (RFC 3711 §4.3; RFC 6188 §3 for 256 bits; RFC 7714 §11 for GCM).
//!
//! A session key is the keystream of AES under the master key, from a counter block that holds the master salt and a
//! label. The rate of key derivation is 0: keys are derived once.

use aes::Aes128Enc;
use aes::Aes256Enc;
use ctr::CtrCore;
use ctr::cipher::{InnerIvInit, KeyInit, StreamCipherCore};
use ctr::flavors::Ctr32BE;
use zeroize::Zeroizing;

use crate::media::plan::Keys;
use crate::media::srtp::Why;

/// Length of the key that authenticates, in bytes (RFC 3711 §5.2).
pub const AUTH_KEY: usize = 20;

/// The longest key of a cipher, in bytes.
const LONGEST_KEY: usize = 32;

/// Length of a session salt in counter mode, in bytes; GCM takes the first 12 of them.
const SALT: usize = 14;

/// AES that only encrypts: counter mode needs no more. Wiped when dropped.
pub(crate) enum Aes {
    /// With a key of 16 bytes.
    Short(Aes128Enc),
    /// With a key of 32 bytes.
    Long(Aes256Enc),
}

impl Aes {
    /// Takes a key of 16 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Result<Self, Why> {
        Aes128Enc::new_from_slice(key)
            .map(Self::Short)
            .or_else(|_| Aes256Enc::new_from_slice(key).map(Self::Long))
            .map_err(|_| Why::Keys)
    }

    /// Encrypts or decrypts `data` with the keystream that begins at the counter block `iv`. The counter has 16 bits
    /// (RFC 3711 §4.1.1), which is 1 MiB of keystream: more than a packet has.
    pub(crate) fn apply(&self, iv: &[u8; 16], data: &mut [u8]) {
        match self {
            Self::Short(aes) => {
                CtrCore::<_, Ctr32BE>::inner_iv_init(aes, iv.into())
                    .apply_keystream_partial(data.into());
            }
            Self::Long(aes) => {
                CtrCore::<_, Ctr32BE>::inner_iv_init(aes, iv.into())
                    .apply_keystream_partial(data.into());
            }
        }
    }
}

/// What the derived keys are for: each has the labels of RFC 3711 §4.3.1 and §4.3.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// RTP: labels 0 to 2.
    Rtp,
    /// RTCP: labels 3 to 5.
    Rtcp,
}

impl Use {
    /// The label of the key of the cipher; the one of authentication and the salt's follow.
    fn first_label(self) -> u8 {
        match self {
            Self::Rtp => 0,
            Self::Rtcp => 3,
        }
    }
}

/// The keys of a session. Wiped when dropped.
pub struct Derived {
    key: Zeroizing<[u8; LONGEST_KEY]>,
    key_length: usize,
    /// For HMAC-SHA1; GCM needs none.
    pub auth: Zeroizing<[u8; AUTH_KEY]>,
    /// The salt; GCM takes the first 12 bytes.
    pub salt: Zeroizing<[u8; SALT]>,
}

impl Derived {
    /// Derives what `use_` needs.
    ///
    /// # Errors
    ///
    /// [`Why::Keys`] if the secret is not as long as its suite asks.
    pub fn new(keys: &Keys, use_: Use) -> Result<Self, Why> {
        let suite = keys.suite;
        let length = suite.key_length();
        let (master, salt) = keys.secret.split_at_checked(length).ok_or(Why::Keys)?;
        if salt.len() != suite.salt_length() {
            return Err(Why::Keys);
        }
        let aes = Aes::new(master)?;
        // A salt of GCM is 12 bytes, and followed by zeros.
        let mut padded = Zeroizing::new([0; SALT]);
        for (to, from) in padded.iter_mut().zip(salt) {
            *to = *from;
        }
        let label = use_.first_label();
        let mut derived = Self {
            key: Zeroizing::new([0; LONGEST_KEY]),
            key_length: length,
            auth: Zeroizing::new([0; AUTH_KEY]),
            salt: Zeroizing::new([0; SALT]),
        };
        let key = derived.key.get_mut(..length).unwrap_or_default();
        aes.apply(&counter(&padded, label), key);
        aes.apply(&counter(&padded, label + 1), derived.auth.as_mut());
        aes.apply(&counter(&padded, label + 2), derived.salt.as_mut());
        Ok(derived)
    }

    /// The key of the cipher, as long as the suite's master key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.key.get(..self.key_length).unwrap_or_default()
    }
}

/// The counter block that the key of `label` begins at: the salt with the label in its eighth byte, then two bytes
/// that count.
fn counter(salt: &[u8; SALT], label: u8) -> [u8; 16] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n] = *salt;
    [a, b, c, d, e, f, g, h ^ label, i, j, k, l, m, n, 0, 0]
}
