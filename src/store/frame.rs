//! How entries lie in a file of the journal.
//!
//! ```text
//!   segment   magic  version  lane  start  checksum     24 bytes
//!             8      2        2     8      4
//!   frame     length  checksum  entry                   8 bytes and the entry
//!             4       4         length
//! ```
//!
//! All integers are little-endian. A position counts the bytes of a lane's frames since its beginning, over all segments;
//! `start` is the position of a segment's first frame. The checksum of a frame covers its position too: what lies in the
//! wrong place is not taken for what belongs there.

use crc32fast::Hasher;

/// Bytes of a segment before its first frame.
pub(super) const HEAD: usize = 24;

/// Bytes of a frame before its entry.
pub(super) const FRAME: usize = 8;

/// Bytes of an entry at most.
pub(super) const MOST: usize = 1 << 20;

/// Version of all of this, and of the entries.
pub(super) const VERSION: u16 = 1;

const MAGIC: [u8; 8] = *b"strowger";

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) version: u16,
    pub(super) lane: u16,
    pub(super) start: u64,
}

impl Head {
    /// Of a new segment.
    pub(super) fn new(lane: u16, start: u64) -> Self {
        let version = VERSION;
        Self {
            version,
            lane,
            start,
        }
    }

    pub(super) fn bytes(self) -> [u8; HEAD] {
        let fields = [
            MAGIC.as_slice(),
            &self.version.to_le_bytes(),
            &self.lane.to_le_bytes(),
            &self.start.to_le_bytes(),
        ];
        let mut bytes = [0; HEAD];
        let sum = crc32fast::hash(&fields.concat()).to_le_bytes();
        let all = fields.into_iter().flatten().chain(&sum);
        for (byte, value) in bytes.iter_mut().zip(all) {
            *byte = *value;
        }
        bytes
    }

    /// `None`: it is no segment's, or it was not written to the end.
    pub(super) fn parse(bytes: &[u8; HEAD]) -> Option<Self> {
        let (said, sum) = bytes.split_last_chunk::<4>()?;
        let (magic, rest) = said.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk()?;
        let (lane, start) = rest.split_first_chunk()?;
        let is_whole = *magic == MAGIC && crc32fast::hash(said).to_le_bytes() == *sum;
        is_whole.then_some(Self {
            version: u16::from_le_bytes(*version),
            lane: u16::from_le_bytes(*lane),
            start: u64::from_le_bytes(start.try_into().ok()?),
        })
    }
}

/// Appends a frame to `out`, which is to lie at `position`, around what `write` appends. `false`: that was too long,
/// and nothing was appended.
pub(super) fn write(out: &mut Vec<u8>, position: u64, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let begin = out.len();
    out.extend_from_slice(&[0; FRAME]);
    write(out);
    let Some((head, entry)) = out
        .get_mut(begin..)
        .and_then(|frame| frame.split_first_chunk_mut::<FRAME>())
    else {
        return false;
    };
    if entry.is_empty() || entry.len() > MOST {
        out.truncate(begin);
        return false;
    }
    let length = (entry.len() as u32).to_le_bytes();
    let sum = checksum(position, entry).to_le_bytes();
    let (of_length, of_sum) = head.split_at_mut(4);
    of_length.copy_from_slice(&length);
    of_sum.copy_from_slice(&sum);
    true
}

/// What lies at some position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A frame around an entry of so many bytes.
    Entry(usize),
    /// What may become a frame of so many bytes, all in all, or its beginning, if more follows.
    Short(usize),
    /// No frame.
    Nonsense,
}

/// Looks at the beginning of `bytes`, which lies at `position`.
pub(super) fn look(bytes: &[u8], position: u64) -> Found {
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME>() else {
        return Found::Short(FRAME);
    };
    let [a, b, c, d, e, f, g, h] = *head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let sum = u32::from_le_bytes([e, f, g, h]);
    if length == 0 || length > MOST {
        return Found::Nonsense;
    }
    match rest.get(..length) {
        None => Found::Short(FRAME + length),
        Some(entry) if checksum(position, entry) == sum => Found::Entry(length),
        Some(_) => Found::Nonsense,
    }
}

/// How many bytes of `bytes`, which lie at `position`, come before the next frame that is whole; `None`: there is none.
pub(super) fn resync(bytes: &[u8], position: u64) -> Option<usize> {
    (1..bytes.len()).find(|skipped| {
        let rest = bytes.get(*skipped..).unwrap_or_default();
        matches!(look(rest, position + *skipped as u64), Found::Entry(_))
    })
}

fn checksum(position: u64, entry: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&position.to_le_bytes());
    hasher.update(entry);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_back_and_no_other_bytes_do() {
        let head = Head::new(3, 0x0102_0304_0506);
        let bytes = head.bytes();

        assert_eq!(Head::parse(&bytes), Some(head));
        for at in 0..HEAD {
            let mut other = bytes;
            other[at] ^= 1;
            assert_eq!(Head::parse(&other), None);
        }
    }

    #[test]
    fn a_frame_is_found_where_it_was_written_and_nowhere_else() {
        let mut bytes = Vec::new();
        assert!(write(&mut bytes, 100, |out| out.extend(b"entry")));

        assert_eq!(look(&bytes, 100), Found::Entry(5));
        assert_eq!(look(&bytes, 101), Found::Nonsense);
        assert_eq!(look(&bytes[..12], 100), Found::Short(13));
        assert_eq!(look(&bytes[..7], 100), Found::Short(8));
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert!(!matches!(look(&other, 100), Found::Entry(_)), "{at}");
        }
        assert_eq!(look(&[0; 64], 0), Found::Nonsense);
    }

    #[test]
    fn nothing_and_too_much_are_no_entries() {
        let mut bytes = vec![7];

        assert!(!write(&mut bytes, 0, |_| {}));
        assert!(!write(&mut bytes, 0, |out| out.resize(MOST + FRAME + 2, 1)));

        assert_eq!(bytes, [7]);
    }

    #[test]
    fn after_damage_the_next_whole_frame_is_found() {
        let mut bytes = Vec::new();
        for entry in [b"one", b"two", b"six"] {
            let position = bytes.len() as u64;
            assert!(write(&mut bytes, position, |out| out.extend(entry)));
        }
        bytes[2] ^= 0x40;

        assert_eq!(resync(&bytes, 0), Some(11));
        assert_eq!(resync(&bytes[..20], 0), None);
    }
}
