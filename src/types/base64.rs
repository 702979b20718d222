//! Base64 (RFC 4648), both alphabets. One text stands for one value: padding, spare bits and foreign characters are judged,
//! so that a signed text cannot be spelled in two ways.

/// Writes `bytes` with `+`, `/` and padding (§4).
#[must_use]
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut text = digits(bytes, STANDARD);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Writes `bytes` with `-` and `_`, without padding (§5), as tokens in URLs and headers do.
#[must_use]
pub(crate) fn encode_url(bytes: &[u8]) -> String {
    digits(bytes, URL)
}

/// Reads what [`encode`] writes; `None` for anything else.
#[must_use]
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let bare = text.strip_suffix(b"=").unwrap_or(text);
    let bare = bare.strip_suffix(b"=").unwrap_or(bare);
    values(bare, STANDARD)
}

/// Reads what [`encode_url`] writes; `None` for anything else.
#[must_use]
pub(crate) fn decode_url(text: &[u8]) -> Option<Vec<u8>> {
    values(text, URL)
}

fn digits(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut word = [0; 4];
        for (to, from) in word.iter_mut().skip(1).zip(chunk) {
            *to = *from;
        }
        let bits = u32::from_be_bytes(word);
        for place in 0..=chunk.len() {
            let value = (bits >> (18 - 6 * place)) & 63;
            text.extend(alphabet.get(value as usize).map(|byte| char::from(*byte)));
        }
    }
    text
}

fn values(text: &[u8], alphabet: &[u8; 64]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text {
        let value = alphabet.iter().position(|own| own == byte)?;
        bits = bits << 6 | u32::try_from(value).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 255) as u8);
        }
    }
    // Six bits left over are half of nothing; spare bits are zero.
    (count < 6 && bits & ((1 << count) - 1) == 0).then_some(bytes)
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 4648 §10.
    #[test]
    fn the_examples_of_the_rfc_are_written_and_read() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded.as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
        assert_eq!(encode_url(&[0xfb, 0xff]), "-_8");
        assert_eq!(decode_url(b"-_8"), Some(vec![0xfb, 0xff]));
    }

    #[test]
    fn one_value_has_one_text() {
        for bad in [
            "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm9v=", "Zm9v!", "Z===", "=", "==", "====",
            "Zm 9v", "Zm9-", "Zg==Zg==",
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
        for bad in ["-_9", "Zg==", "Z", "ab+/"] {
            assert_eq!(decode_url(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes: Vec<u8>) {
            prop_assert_eq!(decode(encode(&bytes).as_bytes()), Some(bytes.clone()));
            prop_assert_eq!(decode_url(encode_url(&bytes).as_bytes()), Some(bytes));
        }

        #[test]
        fn what_is_read_is_written_the_same(text in "[A-Za-z0-9+/=]{0,12}") {
            if let Some(bytes) = decode(text.as_bytes()) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
