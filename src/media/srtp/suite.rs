//! What there is to know of a crypto suite: its name in SDP and how long its parts are.
//!
//! | name in SDP (RFC 4568 §6.2, RFC 6188 §7, RFC 7714 §14.2) | key | salt | RTP tag | RTCP tag |
//! |---|---|---|---|---|
//! | `AES_CM_128_HMAC_SHA1_80` | 16 | 14 | 10 | 10 |
//! | `AES_CM_128_HMAC_SHA1_32` | 16 | 14 | 4 | 10 |
//! | `AES_256_CM_HMAC_SHA1_80` | 32 | 14 | 10 | 10 |
//! | `AES_256_CM_HMAC_SHA1_32` | 32 | 14 | 4 | 10 |
//! | `AEAD_AES_128_GCM` | 16 | 12 | 16 | 16 |
//! | `AEAD_AES_256_GCM` | 32 | 12 | 16 | 16 |

use crate::media::plan::Suite;

/// Most bytes that protecting an RTP packet adds, whatever the suite.
pub const MOST_RTP_GROWTH: usize = 16;

/// Most bytes that protecting an RTCP packet adds, whatever the suite: the tag and the index.
pub const MOST_RTCP_GROWTH: usize = 16 + INDEX_LENGTH;

/// Length of what stands behind a protected RTCP packet besides the tag: the E bit and the index (RFC 3711 §3.4).
pub(crate) const INDEX_LENGTH: usize = 4;

impl Suite {
    /// All of them, the strongest first: AEAD costs least, too, and has the longest tag.
    pub const ALL: [Self; 6] = [
        Self::Aes256Gcm,
        Self::Aes128Gcm,
        Self::Aes256Sha1Tag80,
        Self::Aes128Sha1Tag80,
        Self::Aes256Sha1Tag32,
        Self::Aes128Sha1Tag32,
    ];

    /// Its name in `a=crypto`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aes128Sha1Tag80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes128Sha1Tag32 => "AES_CM_128_HMAC_SHA1_32",
            Self::Aes256Sha1Tag80 => "AES_256_CM_HMAC_SHA1_80",
            Self::Aes256Sha1Tag32 => "AES_256_CM_HMAC_SHA1_32",
            Self::Aes128Gcm => "AEAD_AES_128_GCM",
            Self::Aes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite that `a=crypto` calls so, in any case (RFC 5234 §2.3); `None`: a suite we do not speak.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|suite| suite.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Length of the master key, in bytes; the session key of the cipher is as long.
    #[must_use]
    pub fn key_length(self) -> usize {
        match self {
            Self::Aes128Sha1Tag80 | Self::Aes128Sha1Tag32 | Self::Aes128Gcm => 16,
            Self::Aes256Sha1Tag80 | Self::Aes256Sha1Tag32 | Self::Aes256Gcm => 32,
        }
    }

    /// Length of the master salt, in bytes.
    #[must_use]
    pub fn salt_length(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    /// Length of master key and master salt together, in bytes: what `inline:` carries in base64.
    #[must_use]
    pub fn secret_length(self) -> usize {
        self.key_length() + self.salt_length()
    }

    /// Length of the tag behind an RTP packet, in bytes.
    #[must_use]
    pub fn rtp_tag_length(self) -> usize {
        match self {
            Self::Aes128Sha1Tag80 | Self::Aes256Sha1Tag80 => 10,
            Self::Aes128Sha1Tag32 | Self::Aes256Sha1Tag32 => 4,
            Self::Aes128Gcm | Self::Aes256Gcm => 16,
        }
    }

    /// Length of the tag of an RTCP packet, in bytes: with the suites of 32 bits it has 80 all the same
    /// (RFC 4568 §6.2.2, RFC 6188 §7.2).
    #[must_use]
    pub fn rtcp_tag_length(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }

    /// Whether one algorithm encrypts and authenticates (RFC 7714).
    #[must_use]
    pub fn is_aead(self) -> bool {
        match self {
            Self::Aes128Gcm | Self::Aes256Gcm => true,
            Self::Aes128Sha1Tag80
            | Self::Aes128Sha1Tag32
            | Self::Aes256Sha1Tag80
            | Self::Aes256Sha1Tag32 => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_is_found_by_its_name_and_by_no_other() {
        for suite in Suite::ALL {
            assert_eq!(Suite::from_name(suite.name().as_bytes()), Some(suite));
            assert_eq!(
                Suite::from_name(suite.name().to_lowercase().as_bytes()),
                Some(suite)
            );
        }
        for other in [
            &b""[..],
            b"AES_CM_128_HMAC_SHA1_8",
            b"AES_CM_128_HMAC_SHA1_800",
            b"F8_128_HMAC_SHA1_80",
            b"NULL_HMAC_SHA1_80",
            b"AEAD_AES_128_GCM_8",
        ] {
            assert_eq!(Suite::from_name(other), None);
        }
    }

    #[test]
    fn lengths_are_those_of_the_table() {
        let table = [
            (Suite::Aes128Sha1Tag80, [16, 14, 10, 10]),
            (Suite::Aes128Sha1Tag32, [16, 14, 4, 10]),
            (Suite::Aes256Sha1Tag80, [32, 14, 10, 10]),
            (Suite::Aes256Sha1Tag32, [32, 14, 4, 10]),
            (Suite::Aes128Gcm, [16, 12, 16, 16]),
            (Suite::Aes256Gcm, [32, 12, 16, 16]),
        ];

        for (suite, lengths) in table {
            let has = [
                suite.key_length(),
                suite.salt_length(),
                suite.rtp_tag_length(),
                suite.rtcp_tag_length(),
            ];
            assert_eq!(has, lengths, "{}", suite.name());
            assert_eq!(suite.secret_length(), has[0] + has[1]);
            assert!(suite.rtp_tag_length() <= MOST_RTP_GROWTH);
            assert!(suite.rtcp_tag_length() + INDEX_LENGTH <= MOST_RTCP_GROWTH);
        }
    }
}
