//! Lower-case hexadecimal, in steps that do not depend on the value.

/// Writes `bytes` to `out`, two digits each, as far as both reach.
pub(super) fn write_hex(bytes: impl IntoIterator<Item = u8>, out: &mut [u8]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Reads a number of at most 64 bits.
pub(super) fn parse_hex(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 16 {
        return None;
    }
    text.iter().try_fold(0, |value, digit| {
        let nibble = char::from(*digit).to_digit(16)?;
        Some(value << 4 | u64::from(nibble))
    })
}

fn digit(nibble: u8) -> u8 {
    b'0' + nibble + u8::from(nibble > 9) * (b'a' - b'0' - 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_two_digits_each() {
        let mut out = [b'.'; 6];
        write_hex([0x09, 0xaf], &mut out);

        assert_eq!(&out, b"09af..");
    }

    #[test]
    fn digits_become_a_number() {
        assert_eq!(parse_hex(b"0000000A"), Some(10));
        assert_eq!(parse_hex(b"ffffffffffffffff"), Some(u64::MAX));
        assert_eq!(parse_hex(b"0ffffffffffffffff"), None);
        assert_eq!(parse_hex(b"+1"), None);
        assert_eq!(parse_hex(b""), None);
    }
}
