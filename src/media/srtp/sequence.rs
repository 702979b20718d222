//! Which packet it is: the index that its sequence number stands for, and whether it was there before
//! (RFC 3711 §3.3.1, §3.3.2, Appendix A).

use crate::media::srtp::Why;

/// How many packets are remembered behind the newest. RFC 3711 §3.3.2 asks for 64 at least; 128 is 2.5 s of voice.
pub const WINDOW: u32 = u128::BITS;

/// The most an index of RTP can be: 48 bits.
pub(crate) const MOST_RTP: u64 = (1 << 48) - 1;

/// The most an index of RTCP can be: 31 bits.
pub(crate) const MOST_RTCP: u64 = (1 << 31) - 1;

/// The newest index of a stream and which of those behind it were there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    highest: u64,
    /// Bit n: whether `highest - n` was there; bit 0 is always set.
    seen: u128,
}

impl Window {
    /// Begins with the first index of a stream.
    #[must_use]
    pub fn new(index: u64) -> Self {
        Self {
            highest: index,
            seen: 1,
        }
    }

    /// Says whether `index` may still come; changes nothing.
    ///
    /// # Errors
    ///
    /// [`Why::Replayed`] and [`Why::Old`].
    pub fn check(&self, index: u64) -> Result<(), Why> {
        let Some(age) = self.highest.checked_sub(index) else {
            return Ok(());
        };
        let age = u32::try_from(age).map_err(|_| Why::Old)?;
        match self.seen.checked_shr(age) {
            None => Err(Why::Old),
            Some(seen) if seen & 1 == 1 => Err(Why::Replayed),
            Some(_) => Ok(()),
        }
    }

    /// Notes that `index` was there: it has been authenticated.
    pub fn note(&mut self, index: u64) {
        if let Some(age) = self.highest.checked_sub(index) {
            let age = u32::try_from(age).unwrap_or(u32::MAX);
            self.seen |= 1_u128.checked_shl(age).unwrap_or_default();
        } else {
            let ahead = u32::try_from(index - self.highest).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or_default() | 1;
            self.highest = index;
        }
    }

    /// The index that an RTP sequence number most likely stands for (RFC 3711 Appendix A).
    ///
    /// # Errors
    ///
    /// [`Why::Old`] if it lies before the first one of all, [`Why::UsedUp`] if it needs more than 48 bits.
    pub fn index_of(&self, sequence: u16) -> Result<u64, Why> {
        let newest = self.highest as u16;
        let rollover = self.highest >> 16;
        let rollover = if newest < HALF {
            let is_before = sequence.checked_sub(newest).is_some_and(|by| by > HALF);
            rollover.checked_sub(u64::from(is_before)).ok_or(Why::Old)?
        } else {
            rollover + u64::from(newest - HALF > sequence)
        };
        let index = rollover << 16 | u64::from(sequence);
        if index > MOST_RTP {
            return Err(Why::UsedUp);
        }
        Ok(index)
    }
}

/// Half of all sequence numbers.
const HALF: u16 = 1 << 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_guessed_as_appendix_a_says() {
        // Rollover and newest sequence number, one that comes, the rollover it gets.
        let table = [
            ((0, 0), 0, Ok(0)),
            ((0, 0), 32_768, Ok(0)),
            ((0, 0), 32_769, Err(Why::Old)),
            ((0, 32_767), 65_535, Ok(0)),
            ((0, 32_768), 0, Ok(0)),
            ((0, 32_769), 0, Ok(1)),
            ((0, 65_535), 0, Ok(1)),
            ((0, 65_535), 32_766, Ok(1)),
            ((0, 65_535), 32_767, Ok(0)),
            ((1, 0), 65_535, Ok(0)),
            ((7, 5), 65_530, Ok(6)),
            ((7, 5), 6, Ok(7)),
            ((0xffff_ffff, 65_535), 1, Err(Why::UsedUp)),
        ];

        for ((rollover, newest), sequence, expected) in table {
            let window = Window::new(rollover << 16 | newest);
            let got = window.index_of(sequence).map(|index| index >> 16);
            assert_eq!(got, expected, "{rollover} {newest} {sequence}");
        }
    }

    #[test]
    fn each_index_comes_once_and_not_too_late() {
        let mut window = Window::new(1000);
        assert_eq!(window.check(1000), Err(Why::Replayed));
        assert_eq!(window.check(999), Ok(()));

        window.note(999);
        window.note(1127);

        assert_eq!(window.check(999), Err(Why::Old));
        assert_eq!(window.check(1000), Err(Why::Replayed));
        assert_eq!(window.check(1001), Ok(()));
        assert_eq!(window.check(1127), Err(Why::Replayed));
        assert_eq!(window.check(1128), Ok(()));
        assert_eq!(window.check(0), Err(Why::Old));
    }

    #[test]
    fn a_leap_forgets_what_was_before() {
        for leap in [127, 128, 129, 1 << 32, 1 << 40] {
            let mut window = Window::new(5);
            window.note(5 + leap);

            assert_eq!(window.check(5 + leap), Err(Why::Replayed));
            assert_eq!(window.check(5 + leap - 1), Ok(()));
            let before = window.check(5);
            let expected = if leap == 127 { Why::Replayed } else { Why::Old };
            assert_eq!(before, Err(expected), "{leap}");
        }
    }
}
