//! What a call can prove of itself: its key towards the buyer, and its hop token towards ourselves.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::types::hex::{read_hex, write_hex};
use crate::types::ids::{CallUuid, Entropy};
use crate::types::number::Number;
use crate::types::secret::Secret;

/// The call key: `base32(HMAC-SHA256(secret, "call-key:v1:" + uuid))`, the first 26 characters. It can be
/// verified without being kept, on every node. Whoever holds it may change the call: it is a secret.
pub(crate) fn call_key(secret: &Secret, uuid: CallUuid) -> [u8; 26] {
    let digest = mac(secret, &[b"call-key:v1:", &uuid.text()]);
    let mut key = [0; 26];
    let mut bits = 0_u16;
    let mut held = 0;
    let mut bytes = digest.iter();
    for place in &mut key {
        if held < 5 {
            bits = (bits << 8) | u16::from(bytes.next().copied().unwrap_or_default());
            held += 8;
        }
        held -= 5;
        *place = BASE32
            .get(usize::from((bits >> held) & 31))
            .copied()
            .unwrap_or(b'A');
    }
    key
}

/// RFC 4648 §6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// How often a call may come back to us under another number before it is taken for a loop.
const MOST_HOPS: u8 = 4;

/// What our own hop token on an INVITE says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hop {
    /// The INVITE has not been here: it goes out with this count.
    Goes(u8),
    /// It has been here with this number, or too often: a loop (RFC 3261 §16.3, 482).
    Loops,
}

/// Length of a hop token: count, nonce, number's tag, signature, in hexadecimal.
const HOP_LEN: usize = 2 + 16 + 16 + 32;

/// Writes the token of an INVITE that leaves us: how often the call has been here, and, unreadable for
/// others, for which number (Via's loop detection ends at a B2BUA, RFC 7332 §1).
pub(crate) fn hop_token(
    secret: &Secret,
    entropy: &mut Entropy,
    count: u8,
    number: Number,
) -> [u8; HOP_LEN] {
    let mut plain = [0; 17];
    let [first, rest @ ..] = &mut plain;
    *first = count;
    entropy.fill(rest);
    // Half of the random bytes give way to the number's tag.
    let (nonce, tag) = rest.split_at_mut(8);
    tag.copy_from_slice(&number_tag(secret, nonce, number));
    let signature = mac(secret, &[b"hop:v1:", &plain]);
    let mut token = [b'0'; HOP_LEN];
    write_hex(plain.into_iter().chain(signature), &mut token);
    token
}

/// Reads the tokens of an INVITE that came in; those that we did not sign mean nothing.
pub(crate) fn read_hop<'a>(
    secret: &Secret,
    tokens: impl Iterator<Item = &'a [u8]>,
    number: Option<Number>,
) -> Hop {
    let mut most = 0;
    for token in tokens {
        let Some((count, nonce, tag)) = open(secret, token) else {
            continue;
        };
        if count >= MOST_HOPS
            || number.is_some_and(|number| number_tag(secret, &nonce, number) == tag)
        {
            return Hop::Loops;
        }
        most = most.max(count);
    }
    Hop::Goes(most + 1)
}

/// Checks a token's signature: its count, its nonce and its number's tag.
fn open(secret: &Secret, token: &[u8]) -> Option<(u8, [u8; 8], [u8; 8])> {
    let bytes = read_hex::<{ HOP_LEN / 2 }>(token)?;
    let (plain, signature) = bytes.split_at(17);
    let mut expected = hasher(secret);
    expected.update(b"hop:v1:");
    expected.update(plain);
    expected.verify_truncated_left(signature).ok()?;
    let (count, rest) = plain.split_first()?;
    let (nonce, tag) = rest.split_at(8);
    Some((*count, nonce.try_into().ok()?, tag.try_into().ok()?))
}

fn number_tag(secret: &Secret, nonce: &[u8], number: Number) -> [u8; 8] {
    let digest = mac(secret, &[b"hop-number:v1:", nonce, &number.to_bytes()]);
    let mut tag = [0; 8];
    for (place, byte) in tag.iter_mut().zip(digest) {
        *place = byte;
    }
    tag
}

fn hasher(secret: &Secret) -> Hmac<Sha256> {
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes a key of any length (RFC 2104 §2)"
    )]
    Hmac::<Sha256>::new_from_slice(secret.expose()).expect("any length will do")
}

fn mac(secret: &Secret, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = hasher(secret);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &[u8]) -> Number {
        Number::from_e164(text).expect("a number")
    }

    #[test]
    fn a_call_key_is_26_characters_of_base32_and_differs_by_call_and_by_secret() {
        let mut entropy = Entropy::from_seed([1; 32]);
        let (one, two) = (CallUuid::new(&mut entropy), CallUuid::new(&mut entropy));
        let secret = Secret::new(*b"0123456789abcdef");

        let key = call_key(&secret, one);

        assert!(key.iter().all(|c| BASE32.contains(c)));
        assert_eq!(key, call_key(&secret, one));
        assert_ne!(key, call_key(&secret, two));
        assert_ne!(key, call_key(&Secret::new(*b"fedcba9876543210"), one));
    }

    #[test]
    fn a_token_for_the_same_number_is_a_loop_and_for_another_a_further_hop() {
        let secret = Secret::new(*b"0123456789abcdef");
        let mut entropy = Entropy::from_seed([1; 32]);
        let (here, there) = (number(b"+15550100001"), number(b"+15550100002"));
        let token = hop_token(&secret, &mut entropy, 1, here);

        assert_eq!(
            read_hop(&secret, [&token[..]].into_iter(), Some(here)),
            Hop::Loops
        );
        assert_eq!(
            read_hop(&secret, [&token[..]].into_iter(), Some(there)),
            Hop::Goes(2)
        );
    }

    #[test]
    fn too_many_hops_are_a_loop_whatever_the_number() {
        let secret = Secret::new(*b"0123456789abcdef");
        let token = hop_token(
            &secret,
            &mut Entropy::from_seed([1; 32]),
            MOST_HOPS,
            number(b"+15550100001"),
        );

        assert_eq!(
            read_hop(&secret, [&token[..]].into_iter(), None),
            Hop::Loops
        );
    }

    #[test]
    fn a_token_that_we_did_not_sign_means_nothing() {
        let secret = Secret::new(*b"0123456789abcdef");
        let here = number(b"+15550100001");
        let mut token = hop_token(&secret, &mut Entropy::from_seed([1; 32]), 1, here);
        token[HOP_LEN - 1] ^= 1;

        assert_eq!(
            read_hop(&secret, [&token[..], b"junk"].into_iter(), Some(here)),
            Hop::Goes(1)
        );
    }
}
