//! What is done with the bytes of one packet once its index is known: encrypted and given a tag, or the tag checked and
//! decrypted. It remembers nothing.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::media::plan::Keys;
use crate::media::srtp::Why;
use crate::media::srtp::derive::{Aes, Derived, Use};
use crate::media::srtp::mac::Mac;
use crate::media::srtp::packet::RTCP_HEADER;
use crate::media::srtp::suite::INDEX_LENGTH;

/// The keys of RTP or of RTCP in one direction, ready for use.
pub(super) struct Transform {
    cipher: Cipher,
    /// Length of the tag, in bytes.
    pub(super) tag: usize,
}

#[expect(
    clippy::large_enum_variant,
    reason = "the keys of counter mode are read for every packet, so they lie here and not behind a pointer"
)]
enum Cipher {
    Counter {
        aes: Aes,
        mac: Mac,
        /// Two zeros behind the salt: where the counter counts.
        salt: Zeroizing<[u8; 16]>,
    },
    Gcm {
        key: LessSafeKey,
        salt: Zeroizing<[u8; 12]>,
    },
}

/// Which packet: what makes its counter block or nonce one of its own.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) ssrc: u32,
    /// 48 bits of RTP, 31 of RTCP.
    pub(super) index: u64,
}

impl Transform {
    pub(super) fn new(keys: &Keys, use_: Use) -> Result<Self, Why> {
        let suite = keys.suite;
        let derived = Derived::new(keys, use_)?;
        let cipher = if suite.is_aead() {
            let salt = derived.salt.first_chunk::<12>().ok_or(Why::Keys)?;
            Cipher::gcm(derived.key(), *salt)?
        } else {
            Cipher::Counter {
                aes: Aes::new(derived.key())?,
                mac: Mac::new(&derived.auth),
                salt: {
                    let mut salt = Zeroizing::new([0; 16]);
                    for (to, from) in salt.iter_mut().zip(derived.salt.iter()) {
                        *to = *from;
                    }
                    salt
                },
            }
        };
        let tag = match use_ {
            Use::Rtp => suite.rtp_tag_length(),
            Use::Rtcp => suite.rtcp_tag_length(),
        };
        Ok(Self { cipher, tag })
    }

    /// Keys of GCM as they are, not derived: for published examples.
    #[cfg(test)]
    pub(super) fn from_session_keys(key: &[u8], salt: [u8; 12]) -> Self {
        Self {
            cipher: Cipher::gcm(key, salt).expect("a key of 16 or 32 bytes"),
            tag: 16,
        }
    }

    /// Protects RTP: `packet` ends with room for the tag, its first `header` bytes stay in the clear.
    pub(super) fn seal_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        place: Place,
    ) -> Result<(), Why> {
        let end = packet.len().checked_sub(self.tag).ok_or(Why::NoRoom)?;
        let (data, tag) = packet.split_at_mut_checked(end).ok_or(Why::NoRoom)?;
        match &self.cipher {
            Cipher::Counter { aes, mac, salt } => {
                let payload = data.get_mut(header..).ok_or(Why::NotRtp)?;
                aes.apply(&place.counter(salt), payload);
                write_tag(tag, &mac.tag(data, place.rollover()));
            }
            Cipher::Gcm { key, salt } => {
                let (aad, payload) = data.split_at_mut_checked(header).ok_or(Why::NotRtp)?;
                let nonce = place.nonce(salt);
                let sealed = key.seal_in_place_separate_tag(nonce, Aad::from(&*aad), payload);
                write_tag(tag, sealed.map_err(|_| Why::UsedUp)?.as_ref());
            }
        }
        Ok(())
    }

    /// Checks RTP and makes it plain; what is returned is its length without the tag.
    pub(super) fn open_rtp(
        &self,
        packet: &mut [u8],
        header: usize,
        place: Place,
    ) -> Result<usize, Why> {
        let end = packet.len().checked_sub(self.tag).ok_or(Why::NotRtp)?;
        let (data, tag) = packet.split_at_mut_checked(end).ok_or(Why::NotRtp)?;
        match &self.cipher {
            Cipher::Counter { aes, mac, salt } => {
                if header > end {
                    return Err(Why::NotRtp);
                }
                check_tag(tag, &mac.tag(data, place.rollover()))?;
                let payload = data.get_mut(header..).ok_or(Why::NotRtp)?;
                aes.apply(&place.counter(salt), payload);
            }
            Cipher::Gcm { key, salt } => {
                let (aad, payload) = data.split_at_mut_checked(header).ok_or(Why::NotRtp)?;
                let nonce = place.nonce(salt);
                key.open_in_place_separate_tag(nonce, Aad::from(&*aad), tag, payload)
                    .map_err(|_| Why::Forged)?;
            }
        }
        Ok(end)
    }

    /// Protects RTCP: `packet` ends with room for the tag and the index.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], place: Place) -> Result<(), Why> {
        let room = self.tag + INDEX_LENGTH;
        let end = packet.len().checked_sub(room).ok_or(Why::NoRoom)?;
        let word = (place.index as u32 | ENCRYPTED).to_be_bytes();
        match &self.cipher {
            Cipher::Counter { aes, mac, salt } => {
                let (data, rest) = packet.split_at_mut_checked(end).ok_or(Why::NoRoom)?;
                let (index, tag) = rest.split_at_mut_checked(INDEX_LENGTH).ok_or(Why::NoRoom)?;
                let body = data.get_mut(RTCP_HEADER..).ok_or(Why::NotRtp)?;
                aes.apply(&place.counter(salt), body);
                index.copy_from_slice(&word);
                write_tag(tag, &mac.tag(data, word));
            }
            Cipher::Gcm { key, salt } => {
                let (data, rest) = packet.split_at_mut_checked(end).ok_or(Why::NoRoom)?;
                let (tag, index) = rest.split_at_mut_checked(self.tag).ok_or(Why::NoRoom)?;
                let (head, body) = data
                    .split_first_chunk_mut::<RTCP_HEADER>()
                    .ok_or(Why::NotRtp)?;
                let aad = Aad::from(rtcp_aad(head, word));
                let sealed = key.seal_in_place_separate_tag(place.nonce(salt), aad, body);
                write_tag(tag, sealed.map_err(|_| Why::UsedUp)?.as_ref());
                index.copy_from_slice(&word);
            }
        }
        Ok(())
    }

    /// The index that protected RTCP says it has; nothing has been checked yet but that it says it is encrypted.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Result<u64, Why> {
        let end = match &self.cipher {
            Cipher::Counter { .. } => packet.len().checked_sub(self.tag),
            Cipher::Gcm { .. } => Some(packet.len()),
        };
        let word = end
            .filter(|_| packet.len() >= RTCP_HEADER + INDEX_LENGTH + self.tag)
            .and_then(|end| packet.get(..end))
            .and_then(<[u8]>::last_chunk::<INDEX_LENGTH>)
            .ok_or(Why::NotRtp)?;
        let word = u32::from_be_bytes(*word);
        if word & ENCRYPTED == 0 {
            return Err(Why::Clear);
        }
        Ok(u64::from(word & !ENCRYPTED))
    }

    /// Checks RTCP and makes it plain; what is returned is its length without tag and index.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], place: Place) -> Result<usize, Why> {
        let rest = self.tag + INDEX_LENGTH;
        let end = packet.len().checked_sub(rest).ok_or(Why::NotRtp)?;
        let (data, rest) = packet.split_at_mut_checked(end).ok_or(Why::NotRtp)?;
        let word = (place.index as u32 | ENCRYPTED).to_be_bytes();
        match &self.cipher {
            Cipher::Counter { aes, mac, salt } => {
                let tag = rest.get(INDEX_LENGTH..).ok_or(Why::NotRtp)?;
                check_tag(tag, &mac.tag(data, word))?;
                let body = data.get_mut(RTCP_HEADER..).ok_or(Why::NotRtp)?;
                aes.apply(&place.counter(salt), body);
            }
            Cipher::Gcm { key, salt } => {
                let tag = rest.get(..self.tag).ok_or(Why::NotRtp)?;
                let (head, body) = data
                    .split_first_chunk_mut::<RTCP_HEADER>()
                    .ok_or(Why::NotRtp)?;
                let aad = Aad::from(rtcp_aad(head, word));
                key.open_in_place_separate_tag(place.nonce(salt), aad, tag, body)
                    .map_err(|_| Why::Forged)?;
            }
        }
        Ok(end)
    }
}

impl Cipher {
    fn gcm(key: &[u8], salt: [u8; 12]) -> Result<Self, Why> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            _ => &AES_256_GCM,
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| Why::Keys)?;
        Ok(Self::Gcm {
            key: LessSafeKey::new(key),
            salt: Zeroizing::new(salt),
        })
    }
}

impl Place {
    /// The counter block that the keystream begins at (RFC 3711 §4.1.1).
    fn counter(self, salt: &[u8; 16]) -> [u8; 16] {
        let place = u128::from(self.ssrc) << 64 | u128::from(self.index) << 16;
        (u128::from_be_bytes(*salt) ^ place).to_be_bytes()
    }

    /// The nonce of GCM (RFC 7714 §8.1, §9.1).
    fn nonce(self, salt: &[u8; 12]) -> Nonce {
        let [a, b, c, d] = self.ssrc.to_be_bytes();
        let [_, _, e, f, g, h, i, j] = self.index.to_be_bytes();
        let mut nonce = [0, 0, a, b, c, d, e, f, g, h, i, j];
        for (to, from) in nonce.iter_mut().zip(salt) {
            *to ^= from;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    /// How often the sequence number has begun again: authenticated behind the packet.
    fn rollover(self) -> [u8; 4] {
        ((self.index >> 16) as u32).to_be_bytes()
    }
}

/// What GCM authenticates besides the encrypted part of RTCP (RFC 7714 §9.2).
fn rtcp_aad(head: &[u8; RTCP_HEADER], word: [u8; 4]) -> [u8; 12] {
    let [a, b, c, d, e, f, g, h] = *head;
    let [i, j, k, l] = word;
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

/// The bit before RTCP's index that says that it is encrypted.
const ENCRYPTED: u32 = 1 << 31;

fn write_tag(place: &mut [u8], tag: &[u8]) {
    for (to, from) in place.iter_mut().zip(tag) {
        *to = *from;
    }
}

fn check_tag(got: &[u8], tag: &[u8]) -> Result<(), Why> {
    let cut = tag.get(..got.len()).ok_or(Why::Forged)?;
    if bool::from(cut.ct_eq(got)) {
        Ok(())
    } else {
        Err(Why::Forged)
    }
}
