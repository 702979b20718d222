//! Payload types and the codecs behind them (RFC 3551, RFC 8866 §6.6).

use smallvec::SmallVec;

use crate::media::plan::Payload;
use crate::media::sdp::media::{Media, number as read_number, word};

/// A payload type of RTP and its codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format<'a> {
    /// The payload type, 0 to 127.
    pub number: u8,
    /// The codec's name; empty: nobody has said.
    pub name: &'a [u8],
    /// Ticks of its timestamp in a second.
    pub clock: u32,
    /// How many channels.
    pub channels: u8,
}

/// The formats of a media line.
pub type Formats<'a> = SmallVec<[Format<'a>; 8]>;

/// A set of payload types.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Numbers(u128);

impl Format<'_> {
    /// Whether both are the same codec, by whatever number.
    #[must_use]
    pub fn is_same_codec(&self, other: &Format<'_>) -> bool {
        self.name.eq_ignore_ascii_case(other.name)
            && self.clock == other.clock
            && self.channels == other.channels
    }

    /// The same, but a number that nobody has explained is what the other one says of it.
    #[must_use]
    pub fn may_be(&self, other: &Format<'_>) -> bool {
        match self.name.is_empty() {
            true => self.number == other.number,
            false => self.is_same_codec(other),
        }
    }

    /// Whether it is telephone-event (RFC 4733).
    #[must_use]
    pub fn is_dtmf(&self) -> bool {
        self.name.eq_ignore_ascii_case(b"telephone-event")
    }

    /// Whether it can carry a voice: all but telephone-event and comfort noise.
    #[must_use]
    pub fn is_voice(&self) -> bool {
        !self.is_dtmf() && !self.name.eq_ignore_ascii_case(b"CN")
    }

    /// What the relay has to know of it.
    #[must_use]
    pub fn payload(&self) -> Payload {
        Payload {
            number: self.number,
            clock: self.clock,
            is_dtmf: self.is_dtmf(),
        }
    }
}

impl Numbers {
    /// Takes `number` in. `false`: it was there already.
    pub fn insert(&mut self, number: u8) -> bool {
        let bit = 1u128.checked_shl(u32::from(number)).unwrap_or_default();
        let is_new = self.0 & bit == 0;
        self.0 |= bit;
        is_new
    }

    /// Whether `number` is in it.
    #[must_use]
    pub fn contains(self, number: u8) -> bool {
        self.0 & 1u128.checked_shl(u32::from(number)).unwrap_or_default() != 0
    }
}

impl FromIterator<u8> for Numbers {
    fn from_iter<I: IntoIterator<Item = u8>>(numbers: I) -> Self {
        let mut set = Self::default();
        for number in numbers {
            set.insert(number);
        }
        set
    }
}

/// What `number` means in `media`.
pub(crate) fn of<'a>(media: &Media<'_, 'a>, number: u8) -> Format<'a> {
    media
        .attributes()
        .filter(|(name, _)| *name == b"rtpmap")
        .find_map(|(_, value)| mapped(value, number))
        .unwrap_or_else(|| assigned(number))
}

/// Reads the value of `a=rtpmap` if it is for `number`: `101 telephone-event/8000`.
fn mapped(value: &[u8], number: u8) -> Option<Format<'_>> {
    let (own, rest) = word(value.trim_ascii_start());
    if read_number::<u8>(own)? != number {
        return None;
    }
    let mut parts = rest.trim_ascii().split(|byte| *byte == b'/');
    let name = parts.next().filter(|name| !name.is_empty())?;
    Some(Format {
        number,
        name,
        clock: parts.next().and_then(read_number).unwrap_or(DEFAULT_CLOCK),
        channels: parts.next().and_then(read_number).unwrap_or(1),
    })
}

/// What `number` means where nobody says (RFC 3551 §6).
fn assigned(number: u8) -> Format<'static> {
    let (name, clock, channels): (&[u8], u32, u8) = match number {
        0 => (b"PCMU", 8_000, 1),
        3 => (b"GSM", 8_000, 1),
        4 => (b"G723", 8_000, 1),
        5 => (b"DVI4", 8_000, 1),
        6 => (b"DVI4", 16_000, 1),
        7 => (b"LPC", 8_000, 1),
        8 => (b"PCMA", 8_000, 1),
        9 => (b"G722", 8_000, 1),
        10 => (b"L16", 44_100, 2),
        11 => (b"L16", 44_100, 1),
        12 => (b"QCELP", 8_000, 1),
        13 => (b"CN", 8_000, 1),
        14 => (b"MPA", 90_000, 1),
        15 => (b"G728", 8_000, 1),
        16 => (b"DVI4", 11_025, 1),
        17 => (b"DVI4", 22_050, 1),
        18 => (b"G729", 8_000, 1),
        25 => (b"CelB", 90_000, 1),
        26 => (b"JPEG", 90_000, 1),
        28 => (b"nv", 90_000, 1),
        31 => (b"H261", 90_000, 1),
        32 => (b"MPV", 90_000, 1),
        33 => (b"MP2T", 90_000, 1),
        34 => (b"H263", 90_000, 1),
        _ => (b"", DEFAULT_CLOCK, 1),
    };
    Format {
        number,
        name,
        clock,
        channels,
    }
}

/// The clock of a codec whose clock nobody says.
const DEFAULT_CLOCK: u32 = 8_000;
