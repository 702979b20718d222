//! One RTP packet (RFC 3550 §5.1), as far as a relay reads it.
//!
//! ```text
//!  0                   1                   2                   3
//!  |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//!  |                           timestamp                           |
//!  |                             SSRC                              |
//!  |                    CSRC, as many as CC says                   |
//!  |   X: profile's word           |   words that follow           |
//! ```

use thiserror::Error;

/// Why bytes are no RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// Less than a header.
    #[error("shorter than a header")]
    Short,
    /// Of another version than 2; STUN and DTLS look so.
    #[error("not of version 2")]
    Version,
    /// The CSRCs go beyond the end.
    #[error("contributing sources beyond the end")]
    Csrc,
    /// The header extension goes beyond the end.
    #[error("header extension beyond the end")]
    Extension,
    /// There is more padding than payload, or padding of no length.
    #[error("padding beyond the payload")]
    Padding,
}

/// The header of an RTP packet that is sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Of this packet: the first of a talk spurt, the first of an event.
    pub is_marked: bool,
    /// The payload type, 0 to 127.
    pub payload: u8,
    /// One more with each packet.
    pub sequence: u16,
    /// In ticks of the payload's clock.
    pub timestamp: u32,
    /// Names the stream.
    pub ssrc: u32,
    /// Bytes before the payload, CSRCs and extension included.
    pub length: usize,
    /// Whether the payload ends with padding. In SRTP the padding is encrypted, too.
    pub is_padded: bool,
}

impl Header {
    /// Reads the header and checks that all of it is there.
    ///
    /// # Errors
    ///
    /// When `bytes` are not RTP.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let (
            [
                first,
                second,
                s1,
                s2,
                t1,
                t2,
                t3,
                t4,
                ssrc1,
                ssrc2,
                ssrc3,
                ssrc4,
            ],
            rest,
        ) = bytes.split_first_chunk::<FIXED>().ok_or(Fault::Short)?;
        if first >> 6 != VERSION {
            return Err(Fault::Version);
        }
        let sources = usize::from(first & 0x0f) * 4;
        let mut length = FIXED + sources;
        let mut beyond = rest.get(sources..).ok_or(Fault::Csrc)?;
        if first & 0x10 != 0 {
            let ([_, _, high, low], words) =
                beyond.split_first_chunk::<4>().ok_or(Fault::Extension)?;
            let size = usize::from(u16::from_be_bytes([*high, *low])) * 4;
            beyond = words.get(size..).ok_or(Fault::Extension)?;
            length += 4 + size;
        }
        let is_padded = first & 0x20 != 0;
        if is_padded && beyond.is_empty() {
            return Err(Fault::Padding);
        }
        Ok(Self {
            is_marked: second & 0x80 != 0,
            payload: second & 0x7f,
            sequence: u16::from_be_bytes([*s1, *s2]),
            timestamp: u32::from_be_bytes([*t1, *t2, *t3, *t4]),
            ssrc: u32::from_be_bytes([*ssrc1, *ssrc2, *ssrc3, *ssrc4]),
            length,
            is_padded,
        })
    }

    /// The payload of the packet that this is the header of, without its padding. In the clear only.
    ///
    /// # Errors
    ///
    /// When there is more padding than payload, or padding of no length (RFC 3550 §5.1).
    pub fn payload_of<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8], Fault> {
        let payload = bytes.get(self.length..).ok_or(Fault::Short)?;
        if !self.is_padded {
            return Ok(payload);
        }
        let padding = usize::from(*payload.last().ok_or(Fault::Padding)?);
        match payload.len().checked_sub(padding) {
            Some(length) if padding > 0 => payload.get(..length).ok_or(Fault::Padding),
            _ => Err(Fault::Padding),
        }
    }
}

/// Whether a packet on a port that RTP and RTCP share is RTCP: its packet types 192 to 223 are where RTP has payload
/// types 64 to 95 with the marker, which are not used beside it (RFC 5761 §4).
#[must_use]
pub fn is_rtcp(bytes: &[u8]) -> bool {
    bytes.get(1).is_some_and(|kind| (192..=223).contains(kind))
}

/// The version of RTP and of RTCP.
pub(super) const VERSION: u8 = 2;

/// Length of what each header has, in bytes.
const FIXED: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: [u8; 14] = [
        0x80, 0x88, 0x12, 0x34, 0, 0, 1, 0x60, 0xde, 0xad, 0xbe, 0xef, 1, 2,
    ];

    #[test]
    fn a_plain_header_is_read() {
        let header = Header::parse(&PLAIN).unwrap();

        assert_eq!(
            header,
            Header {
                is_marked: true,
                payload: 8,
                sequence: 0x1234,
                timestamp: 0x160,
                ssrc: 0xdead_beef,
                length: 12,
                is_padded: false,
            }
        );
        assert_eq!(header.payload_of(&PLAIN), Ok([1, 2].as_slice()));
    }

    #[test]
    fn sources_and_extension_come_before_the_payload() {
        let mut packet = PLAIN[..12].to_vec();
        packet[0] = 0x80 | 0x10 | 2;
        packet.extend([0; 8]);
        packet.extend([0xbe, 0xde, 0, 1, 9, 9, 9, 9]);
        packet.extend([5, 6, 7]);

        let header = Header::parse(&packet).unwrap();

        assert_eq!(header.length, 12 + 8 + 8);
        assert_eq!(header.payload_of(&packet), Ok([5, 6, 7].as_slice()));
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let cases: [(&[u8], u8, &[u8], Fault); 6] = [
            (&PLAIN[..11], 0x80, &[], Fault::Short),
            (&PLAIN, 0x40, &[], Fault::Version),
            (&PLAIN, 0x80 | 1, &[], Fault::Csrc),
            (&PLAIN, 0x80 | 0x10, &[], Fault::Extension),
            (&PLAIN[..12], 0x80 | 0x10, &[0, 0, 0, 1], Fault::Extension),
            (&PLAIN[..12], 0x80 | 0x20, &[], Fault::Padding),
        ];
        for (start, first, more, fault) in cases {
            let mut packet = [start, more].concat();
            packet[0] = first;

            assert_eq!(Header::parse(&packet), Err(fault), "{packet:x?}");
        }
    }

    #[test]
    fn padding_is_at_least_its_own_length_and_at_most_the_payload() {
        for (last, expected) in [
            (0, Err(Fault::Padding)),
            (1, Ok(1)),
            (2, Ok(0)),
            (3, Err(Fault::Padding)),
        ] {
            let mut packet = PLAIN;
            packet[0] |= 0x20;
            packet[13] = last;

            let header = Header::parse(&packet).unwrap();

            assert_eq!(header.payload_of(&packet).map(<[u8]>::len), expected);
        }
    }

    #[test]
    fn rtcp_is_told_by_its_second_byte() {
        for (second, expected) in [
            (191, false),
            (192, true),
            (200, true),
            (223, true),
            (224, false),
        ] {
            assert_eq!(is_rtcp(&[0x80, second]), expected, "{second}");
        }
        assert!(!is_rtcp(&[0x80]));
    }
}
