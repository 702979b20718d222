//! Identifiers we mint, and the stream of random bits they are made from.
//!
//! A [`Mark`] is the text of a tag, of a Via branch or of a Call-ID. It names the shard and the slot
//! that own what it stands for, so a message finds its state without a lookup by text, and it carries
//! 128 random bits, so nobody can guess it (RFC 3261 §19.3 asks for 32).

use std::fmt;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::types::hex::{read_hex, write_hex};

/// A deterministic stream of unpredictable bits; the shell draws the seed.
pub struct Entropy(ChaCha12Rng);

impl Entropy {
    /// Starts the stream that `seed` (256 bits) stands for.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha12Rng::from_seed(seed))
    }

    /// One of the streams, each independent of the others, that `seed` stands for.
    #[must_use]
    pub fn stream(seed: [u8; 32], stream: u64) -> Self {
        let mut bits = ChaCha12Rng::from_seed(seed);
        bits.set_stream(stream);
        Self(bits)
    }

    /// Takes the next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Takes the next 128 bits.
    pub fn next_u128(&mut self) -> u128 {
        (u128::from(self.0.next_u64()) << 64) | u128::from(self.0.next_u64())
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// Number of a shard: the owner of an engine and all its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u8);

/// What a text we minted says: whose it is, where it is kept, and that it is not a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The shard that owns it.
    pub shard: ShardId,
    /// The owner's slot number.
    pub slot: u32,
    /// 128 random bits; a slot that was used again has others.
    pub nonce: u128,
}

impl Mark {
    /// Length of the text form, in bytes.
    pub const LEN: usize = 42;

    /// Mints a mark for `slot` of `shard`.
    pub fn new(shard: ShardId, slot: u32, entropy: &mut Entropy) -> Self {
        Self {
            shard,
            slot,
            nonce: entropy.next_u128(),
        }
    }

    /// The text form: lower-case hexadecimal, a token in SIP's grammar.
    #[must_use]
    pub fn text(&self) -> [u8; Self::LEN] {
        let slot = self.slot.to_be_bytes().into_iter();
        let bytes = std::iter::once(self.shard.0)
            .chain(slot)
            .chain(self.nonce.to_be_bytes());
        let mut text = [b'0'; Self::LEN];
        write_hex(bytes, &mut text);
        text
    }

    /// Reads the text form; `None` for anything that [`text`](Self::text) does not write.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let bytes = read_hex::<{ Self::LEN / 2 }>(text)?;
        let (place, nonce) = bytes.split_at(5);
        let (shard, slot) = place.split_first()?;
        Some(Self {
            shard: ShardId(*shard),
            slot: u32::from_be_bytes(slot.try_into().ok()?),
            nonce: u128::from_be_bytes(nonce.try_into().ok()?),
        })
    }
}

/// The call's own name, in every record and in `X-PH-RetreaverUUID`: a random UUID (RFC 9562 §5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallUuid(uuid::Uuid);

impl CallUuid {
    /// Mints a new one.
    pub fn new(entropy: &mut Entropy) -> Self {
        let mut bytes = [0; 16];
        entropy.fill(&mut bytes);
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// The one of these 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Uuid::from_bytes(bytes))
    }

    /// Reads the text form; `None`: it is no UUID.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::parse_str(text).ok().map(Self)
    }

    /// The 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The hyphenated lower-case text, 36 bytes.
    #[must_use]
    pub fn text(&self) -> [u8; 36] {
        let mut text = [0; 36];
        self.0.hyphenated().encode_lower(&mut text);
        text
    }
}

impl fmt::Display for CallUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_reads_back_what_it_wrote() {
        let mut entropy = Entropy::from_seed([7; 32]);
        let mark = Mark::new(ShardId(0xa5), 0xdead_beef, &mut entropy);

        assert_eq!(Mark::parse(&mark.text()), Some(mark));
    }

    #[test]
    fn what_is_not_our_text_is_no_mark() {
        let mark = Mark::new(ShardId(1), 2, &mut Entropy::from_seed([7; 32]));
        let text = mark.text();

        assert_eq!(Mark::parse(&text[1..]), None);
        assert_eq!(Mark::parse(&text.to_ascii_uppercase()), None);
        assert_eq!(Mark::parse(&[b'g'; Mark::LEN]), None);
    }

    #[test]
    fn a_call_uuid_says_that_it_is_random() {
        let text = CallUuid::new(&mut Entropy::from_seed([7; 32])).to_string();

        assert_eq!(text.len(), 36);
        assert_eq!(&text[14..15], "4");
    }
}
