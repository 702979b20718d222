//! Hexadecimal. Writing takes steps that do not depend on the value: digests are secret.

/// Writes `bytes` to `out`, two lower-case digits each, as far as both reach.
pub(crate) fn write_hex(bytes: impl IntoIterator<Item = u8>, out: &mut [u8]) {
    for (pair, byte) in out.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Reads what [`write_hex`] writes for `N` bytes; `None` for anything else, upper-case digits too.
pub(crate) fn read_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    let mut faults = 0;
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        if let [high, low] = pair {
            let (high, low) = (value(*high), value(*low));
            faults |= high | low;
            *byte = high << 4 | low;
        }
    }
    (faults < 16).then_some(bytes)
}

/// What a lower-case digit stands for, and 16 or more for all else.
fn value(digit: u8) -> u8 {
    let decimal = digit.wrapping_sub(b'0');
    let letter = digit.wrapping_sub(b'a');
    if decimal < 10 {
        decimal
    } else if letter < 6 {
        letter + 10
    } else {
        u8::MAX
    }
}

/// Reads a number of at most 64 bits, in any case.
pub(crate) fn parse_hex(text: &[u8]) -> Option<u64> {
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
    fn what_was_written_is_read_and_nothing_else() {
        assert_eq!(read_hex(b"09af"), Some([0x09, 0xaf]));
        for other in [
            &b"09aF"[..],
            b"09a",
            b"09afa",
            b"09a ",
            b"0x9a",
            b"09a:",
            b"09a`",
            b"09ag",
            b"",
        ] {
            assert_eq!(read_hex::<2>(other), None);
        }
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
