//! HMAC-SHA1 of a packet and the four bytes that are authenticated behind it (RFC 2104, RFC 3711 §4.2).
//!
//! The two keyed states are computed once; a packet is then hashed where it lies, its full blocks in one call. It is
//! written down to SHA-1's blocks because the general form copies and clears a hasher for each packet, which costs more
//! than a block does.

use sha1::block_api::compress;
use zeroize::Zeroizing;

use crate::media::srtp::derive::AUTH_KEY;

/// A key for tags. Wiped when dropped.
pub struct Mac {
    /// SHA-1's state behind the block of the key and 0x36.
    inner: Zeroizing<[u32; 5]>,
    /// The same with 0x5c.
    outer: Zeroizing<[u32; 5]>,
}

/// Length of a block of SHA-1, in bytes.
const BLOCK: usize = 64;

/// Length of what SHA-1 gives, in bytes.
const DIGEST: usize = 20;

/// What SHA-1 begins with (FIPS 180-4 §5.3.1).
const START: [u32; 5] = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

impl Mac {
    /// Takes a key.
    #[must_use]
    pub fn new(key: &[u8; AUTH_KEY]) -> Self {
        Self {
            inner: keyed(key, 0x36),
            outer: keyed(key, 0x5c),
        }
    }

    /// The tag of `data` followed by `suffix`; users cut it to the length that they send.
    #[must_use]
    pub fn tag(&self, data: &[u8], suffix: [u8; 4]) -> [u8; DIGEST] {
        let mut state = *self.inner;
        let (blocks, rest) = data.as_chunks::<BLOCK>();
        compress(&mut state, blocks);
        // What is left, the suffix, a one bit, zeros, and the length in bits: one block or two.
        let mut tail = [0; 2 * BLOCK];
        let end = rest.len() + suffix.len();
        put(&mut tail, 0, rest);
        put(&mut tail, rest.len(), &suffix);
        put(&mut tail, end, &[0x80]);
        let blocks = if end + 1 + 8 <= BLOCK { 1 } else { 2 };
        let bits = 8 * (BLOCK + data.len() + suffix.len()) as u64;
        put(&mut tail, blocks * BLOCK - 8, &bits.to_be_bytes());
        let (tail, _) = tail.as_chunks::<BLOCK>();
        compress(&mut state, tail.get(..blocks).unwrap_or_default());

        let mut last = [0; BLOCK];
        put(&mut last, 0, &bytes(&state));
        put(&mut last, DIGEST, &[0x80]);
        let bits = 8 * (BLOCK + DIGEST) as u64;
        put(&mut last, BLOCK - 8, &bits.to_be_bytes());
        let mut state = *self.outer;
        compress(&mut state, &[last]);
        bytes(&state)
    }
}

/// The state behind the block of the key, each byte changed by `pad`.
fn keyed(key: &[u8; AUTH_KEY], pad: u8) -> Zeroizing<[u32; 5]> {
    let mut block = Zeroizing::new([pad; BLOCK]);
    for (to, from) in block.iter_mut().zip(key) {
        *to ^= from;
    }
    let mut state = Zeroizing::new(START);
    compress(&mut state, &[*block]);
    state
}

fn put(buf: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = buf.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn bytes(state: &[u32; 5]) -> [u8; DIGEST] {
    let mut bytes = [0; DIGEST];
    for (to, word) in bytes.chunks_exact_mut(4).zip(state) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac as _};
    use sha1::Sha1;

    use super::*;

    #[test]
    fn tags_are_those_of_the_general_form_at_every_length() {
        let key = std::array::from_fn(|at| (7 * at) as u8);
        let data: Vec<u8> = (0..400_u32).map(|at| (at * at) as u8).collect();
        let mac = Mac::new(&key);

        for length in 0..=data.len() {
            let mut other = Hmac::<Sha1>::new_from_slice(&key).unwrap();
            other.update(&data[..length]);
            other.update(b"tail");
            let other = other.finalize().into_bytes();
            assert_eq!(mac.tag(&data[..length], *b"tail"), other[..], "{length}");
        }
    }

    /// RFC 2202 §3, test case 1; its last four bytes go in as the suffix.
    #[test]
    fn a_published_tag_comes_out() {
        let mac = Mac::new(&[0x0b; 20]);

        let tag = mac.tag(b"Hi T", *b"here");

        let expected = [
            0xb6, 0x17, 0x31, 0x86, 0x55, 0x05, 0x72, 0x64, 0xe2, 0x8b, 0xc0, 0xb6, 0xfb, 0x37,
            0x8c, 0x8e, 0xf1, 0x46, 0xbe, 0x00,
        ];
        assert_eq!(tag, expected);
    }
}
