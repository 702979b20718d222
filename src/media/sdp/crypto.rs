//! SRTP keys in `a=crypto` (RFC 4568, RFC 6188, RFC 7714).
//!
//! ```text
//! a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20
//!          |                                 |                                        |
//!          tag                               key and salt in base64                   lifetime
//! ```

use zeroize::Zeroizing;

use crate::media::plan::{Keys, Suite};
use crate::media::sdp::media::{Media, number, words};

/// What the first word of a party's `a=crypto` names, and its key.
#[derive(Clone, PartialEq)]
pub struct CryptoLine {
    /// By which an answer says which line it takes, 1 to 999,999,999.
    pub tag: u32,
    /// The key that its sender encrypts with.
    pub keys: Keys,
}

/// The suites that we offer, the strongest first. The short tags of 32 bits are taken, but not asked for.
pub const OFFERED: [Suite; 4] = [
    Suite::Aes256Gcm,
    Suite::Aes128Gcm,
    Suite::Aes256Sha1Tag80,
    Suite::Aes128Sha1Tag80,
];

/// Longest key and salt, in bytes.
pub const MAX_SECRET: usize = 46;

/// How strong a suite is beside the others: 0 is the strongest.
#[must_use]
pub fn rank(suite: Suite) -> usize {
    let place = Suite::ALL.iter().position(|other| *other == suite);
    place.unwrap_or(Suite::ALL.len())
}

/// The lines of `media` that we could take, in their order. Left out are suites that we do not have, keys of the
/// wrong length, keys with an MKI or several keys (RFC 4568 §6.1), and session parameters that weaken SRTP or that we
/// do not know (§6.3).
pub fn usable(media: &Media<'_, '_>) -> impl Iterator<Item = CryptoLine> {
    media
        .attributes()
        .filter(|(name, _)| *name == b"crypto")
        .filter_map(|(_, value)| read(value))
}

/// Reads the value of one `a=crypto`; `None`: we could not take it.
#[must_use]
pub fn read(value: &[u8]) -> Option<CryptoLine> {
    let mut words = words(value);
    let tag = words
        .next()
        .filter(|tag| tag.len() <= 9 && tag.first() != Some(&b'0'))?;
    let suite = Suite::from_name(words.next()?)?;
    let params = words.next()?;
    let (method, key) = params.split_at_checked(METHOD.len())?;
    if !method.eq_ignore_ascii_case(METHOD) {
        return None;
    }
    let mut parts = key.split(|byte| *byte == b'|');
    let secret = decode(parts.next()?)?;
    // What follows is a lifetime; a colon makes it an MKI, a semicolon another key.
    let is_plain = |part: &[u8]| !part.is_empty() && !part.iter().any(|b| matches!(b, b':' | b';'));
    if secret.len() != suite.secret_length()
        || parts.next().is_some_and(|part| !is_plain(part))
        || parts.next().is_some()
        || !words.all(is_harmless)
    {
        return None;
    }
    Some(CryptoLine {
        tag: number(tag)?,
        keys: Keys { suite, secret },
    })
}

/// Whether a session parameter changes nothing: a hint about the replay window, or one that may be ignored.
fn is_harmless(param: &[u8]) -> bool {
    param.starts_with(b"WSH=") || param.starts_with(b"-")
}

/// Writes `a=crypto` without a line end.
pub(crate) fn write(out: &mut Vec<u8>, tag: u32, keys: &Keys) {
    out.extend_from_slice(b"a=crypto:");
    out.extend_from_slice(itoa::Buffer::new().format(tag).as_bytes());
    out.push(b' ');
    out.extend_from_slice(keys.suite.name().as_bytes());
    out.push(b' ');
    out.extend_from_slice(METHOD);
    encode(out, &keys.secret);
}

/// The only key method there is.
const METHOD: &[u8] = b"inline:";

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding (RFC 4648 §4).
fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let mut word = [0; 3];
        for (to, from) in word.iter_mut().zip(chunk) {
            *to = *from;
        }
        let bits = u32::from_be_bytes([0, word[0], word[1], word[2]]);
        for index in 0..4 {
            let digit = (bits >> (18 - 6 * index)) & 63;
            out.push(if index <= chunk.len() {
                ALPHABET.get(digit as usize).copied().unwrap_or(b'=')
            } else {
                b'='
            });
        }
    }
}

/// The other way; `None`: a character that is none of base64, or longer than any key. Padding may be missing.
fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let end = text
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |last| last + 1);
    if text.len() > MAX_SECRET.div_ceil(3) * 4 {
        return None;
    }
    let mut out = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 2));
    let (mut bits, mut count) = (0u32, 0);
    for byte in text.get(..end)? {
        let digit = ALPHABET.iter().position(|own| own == byte)?;
        bits = (bits << 6) | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    // Six bits left over are half of nothing.
    (count < 6).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bytes: usize) -> String {
        let mut text = Vec::new();
        let secret: Vec<u8> = (0..bytes as u8).collect();
        encode(&mut text, &secret);
        String::from_utf8(text).unwrap()
    }

    fn suite(value: &str) -> Option<Suite> {
        read(value.as_bytes()).map(|line| line.keys.suite)
    }

    /// RFC 4648 §10.
    #[test]
    fn base64_there_and_back() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut text = Vec::new();
            encode(&mut text, plain.as_bytes());

            assert_eq!(text, coded.as_bytes());
            assert_eq!(decode(&text).unwrap().as_slice(), plain.as_bytes());
            let bare = coded.trim_end_matches('=');
            assert_eq!(
                decode(bare.as_bytes()).unwrap().as_slice(),
                plain.as_bytes()
            );
        }
        for bad in ["Zm9v!", "Zm 9v", "Zm=9v", "Zm9-", "Zm9_"] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(decode("A".repeat(65).as_bytes()), None);
    }

    #[test]
    fn each_suite_is_written_as_it_is_read() {
        for suite in Suite::ALL {
            let name = suite.name();
            let secret = Zeroizing::new(vec![7; suite.secret_length()]);
            let keys = Keys { suite, secret };
            let mut text = Vec::new();
            write(&mut text, 3, &keys);

            let value = text.strip_prefix(b"a=crypto:").unwrap();
            assert!(value.starts_with(format!("3 {name} inline:").as_bytes()));
            let line = read(value).unwrap();
            assert!(line.tag == 3 && line.keys == keys, "{name}");
        }
        assert!(OFFERED.is_sorted_by_key(|suite| rank(*suite)));
    }

    /// RFC 4568 §9.1 and what peers send.
    #[test]
    fn lines_that_can_be_taken() {
        let (long, gcm) = (key(30), key(28));
        for (value, expected) in [
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long}"),
                Suite::Aes128Sha1Tag80,
            ),
            (
                format!("1 aes_cm_128_hmac_sha1_32 INLINE:{long}"),
                Suite::Aes128Sha1Tag32,
            ),
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long}|2^20"),
                Suite::Aes128Sha1Tag80,
            ),
            (
                format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long}|1048576"),
                Suite::Aes128Sha1Tag80,
            ),
            (
                format!("999999999 AEAD_AES_128_GCM inline:{gcm}"),
                Suite::Aes128Gcm,
            ),
            (
                format!("1 AEAD_AES_128_GCM inline:{}", gcm.trim_end_matches('=')),
                Suite::Aes128Gcm,
            ),
            (
                format!("1  AEAD_AES_128_GCM  inline:{gcm}  WSH=64 -X=1"),
                Suite::Aes128Gcm,
            ),
        ] {
            assert_eq!(suite(&value), Some(expected), "{value}");
        }
    }

    #[test]
    fn lines_that_cannot() {
        let (long, gcm) = (key(30), key(28));
        for value in [
            String::new(),
            "1".to_owned(),
            "1 AES_CM_128_HMAC_SHA1_80".to_owned(),
            format!("x AES_CM_128_HMAC_SHA1_80 inline:{long}"),
            format!("01 AES_CM_128_HMAC_SHA1_80 inline:{long}"),
            format!("0 AES_CM_128_HMAC_SHA1_80 inline:{long}"),
            format!("1234567890 AES_CM_128_HMAC_SHA1_80 inline:{long}"),
            format!("1 F8_128_HMAC_SHA1_80 inline:{long}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 {long}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 uri:{long}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{gcm}"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long}A"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long}|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long}|2^20|1:4"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long}|"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long}|2^20;inline:{long}|2^20"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long} KDR=1"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long} UNENCRYPTED_SRTCP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long} UNAUTHENTICATED_SRTP"),
            format!("1 AES_CM_128_HMAC_SHA1_80 inline:{long} FEC_KEY=inline:{long}"),
        ] {
            assert_eq!(suite(&value), None, "{value}");
        }
    }
}
