//! The reading end of a lane: entry by entry, over all segments, also over those that a crash has left torn.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::store::frame;
use crate::store::frame::{FRAME, Found, HEAD};
use crate::store::track::Track;

/// Bytes that are read at once.
const CHUNK: usize = 256 << 10;

/// What could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Damage {
    /// Bytes at the end of a segment that are no whole entry: nobody was told that they were written, if only the process died.
    pub torn: u64,
    /// Bytes that are no entry, with entries after them. The file was changed, or the disk has lost something.
    pub skipped: u64,
    /// Entries that are whole and that this version does not know.
    pub unknown: u64,
}

/// Reads one lane.
pub(super) struct Follower {
    pub(super) track: Arc<Track>,
    pub(super) damage: Damage,
    /// Position of what comes next.
    next: u64,
    /// The segment it is in, and where that starts.
    segment: Option<(u64, File)>,
    /// Bytes of that segment; `base` is the position of the first.
    buffer: Vec<u8>,
    base: u64,
}

impl Follower {
    /// Begins where the tables have got to.
    pub(super) fn new(track: Arc<Track>) -> Self {
        let next = track.applied();
        Self {
            track,
            damage: Damage::default(),
            next,
            segment: None,
            buffer: Vec::new(),
            base: next,
        }
    }

    /// Position of what comes next.
    pub(super) fn position(&self) -> u64 {
        self.next
    }

    /// Goes back to where the tables have got to.
    pub(super) fn rewind(&mut self) {
        self.next = self.track.applied();
        self.segment = None;
        self.buffer.clear();
        self.base = self.next;
    }

    /// Finds the next entry before the position `until`, which is where some entry ends.
    pub(super) fn advance(&mut self, until: u64) -> io::Result<Option<Range<usize>>> {
        while self.next < until {
            match frame::look(self.rest(), self.next) {
                Found::Entry(length) => {
                    let begin = self.offset() + FRAME;
                    self.next += (FRAME + length) as u64;
                    return Ok(Some(begin..begin + length));
                }
                Found::Short(needed) => {
                    if !self.load(needed, until)? && !self.skip() {
                        self.leap(until);
                    }
                }
                Found::Nonsense => {
                    self.load(usize::MAX, until)?;
                    if !self.skip() {
                        self.leap(until);
                    }
                }
            }
        }
        Ok(None)
    }

    /// The entry that [`advance`](Self::advance) has found.
    pub(super) fn entry(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    fn offset(&self) -> usize {
        usize::try_from(self.next.saturating_sub(self.base)).unwrap_or(usize::MAX)
    }

    /// What is read and not looked at.
    fn rest(&self) -> &[u8] {
        self.buffer.get(self.offset()..).unwrap_or_default()
    }

    /// Reads on until there are `needed` bytes, or the segment ends, or `until` is reached; `false`: there are less.
    fn load(&mut self, needed: usize, until: u64) -> io::Result<bool> {
        let consumed = self.offset().min(self.buffer.len());
        self.buffer.drain(..consumed);
        self.base = self.next;
        let start = match &self.segment {
            Some((start, _)) => *start,
            None => {
                let Some(start) = self.track.segment_of(self.next) else {
                    return Ok(false);
                };
                let file = self.track.open_segment(start)?;
                self.segment = Some((start, file));
                start
            }
        };
        let Some((_, file)) = &self.segment else {
            return Ok(false);
        };
        while self.buffer.len() < needed {
            let held = self.buffer.len();
            let position = self.base + held as u64;
            let left = usize::try_from(until.saturating_sub(position)).unwrap_or(usize::MAX);
            let wanted = needed.saturating_sub(held).clamp(CHUNK, 4 * CHUNK);
            self.buffer.resize(held + wanted.min(left), 0);
            let room = self.buffer.get_mut(held..).unwrap_or_default();
            let count = file.read_at(room, HEAD as u64 + (position - start))?;
            self.buffer.truncate(held + count);
            if count == 0 {
                break;
            }
        }
        Ok(self.buffer.len() >= needed)
    }

    /// Goes to the next entry in this segment that is whole; `false`: there is none.
    fn skip(&mut self) -> bool {
        let Some(skipped) = frame::resync(self.rest(), self.next) else {
            return false;
        };
        self.damage.skipped += skipped as u64;
        self.next += skipped as u64;
        if let Some((start, _)) = &self.segment {
            self.track.mark_damaged(*start);
        }
        true
    }

    /// Goes to the next segment; if there is none, to `until`.
    fn leap(&mut self, until: u64) {
        self.damage.torn += self.rest().len() as u64;
        let start = self.segment.as_ref().map(|(start, _)| *start);
        let next = self.track.segment_after(start, self.next);
        self.next = next.unwrap_or(until).min(until);
        self.segment = None;
        self.buffer.clear();
        self.base = self.next;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever happens to a file, what is read was written, and in that order; and whatever is damaged in one place
        /// costs two entries at most: a damaged length may hide the one that follows.
        #[test]
        fn nothing_is_made_up(
            entries in prop::collection::vec(1..2000_usize, 1..30),
            segments in prop::collection::vec(any::<bool>(), 30),
            harm in prop::option::of((any::<prop::sample::Index>(), 1..=255_u8)),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let (starts, end) = write(folder.path(), &entries, &segments);
            let victim = *starts.last().unwrap();
            let path = folder.path().join(format!("00000-{victim:016x}.journal"));
            let mut bytes = fs::read(&path).unwrap();
            if let Some((place, bits)) = &harm {
                let place = place.index(bytes.len());
                bytes[place] ^= bits;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            fs::write(&path, &bytes).unwrap();

            let track = Track::new(folder.path(), 0, &starts, 0, end);
            let mut follower = Follower::new(Arc::new(track));
            let mut read = Vec::new();
            while let Some(range) = follower.advance(end).unwrap() {
                let entry = follower.entry(range);
                let number = usize::from(entry[0]);
                prop_assert!(entry == vec![number as u8; entries[number]]);
                read.push(number);
            }

            prop_assert!(read.is_sorted());
            prop_assert_eq!(follower.position(), end);
            if cut.is_none() {
                let lost = entries.len() - read.len();
                prop_assert!(lost <= 2 * usize::from(harm.is_some()), "{}", lost);
            }
        }
    }

    /// Writes entries of these lengths, each of its number's byte, and begins a segment wherever `segments` says so.
    fn write(folder: &std::path::Path, entries: &[usize], segments: &[bool]) -> (Vec<u64>, u64) {
        let (mut starts, mut bytes, mut end) = (Vec::new(), Vec::new(), 0);
        let mut store = |start: u64, bytes: &mut Vec<u8>| {
            let path = folder.join(format!("00000-{start:016x}.journal"));
            let head = frame::Head::new(0, start).bytes();
            fs::write(path, [&head, bytes.as_slice()].concat()).unwrap();
            bytes.clear();
            starts.push(start);
        };
        let mut start = 0;
        for (number, (length, is_last)) in (0_u8..).zip(entries.iter().zip(segments)) {
            assert!(frame::write(&mut bytes, end, |out| {
                out.resize(out.len() + length, number);
            }));
            end = start + bytes.len() as u64;
            if *is_last {
                store(start, &mut bytes);
                start = end;
            }
        }
        if !bytes.is_empty() {
            store(start, &mut bytes);
        }
        (starts, end)
    }
}
