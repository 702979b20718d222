//! RTCP packets (RFC 3550 §6), as far as a relay reads them: whether they are sound, and who sent them.
//!
//! One datagram holds several packets, one after the other; each says how long it is:
//!
//! ```text
//!  |V=2|P|  count  |  packet type  |    length in words, less 1    |
//!  |                      SSRC of the sender                       |
//! ```

use thiserror::Error;

use crate::media::rtp::VERSION;

/// Why bytes are no RTCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fault {
    /// Less than a header and a sender, or not whole words.
    #[error("shorter than a header with a sender")]
    Short,
    /// Of another version than 2.
    #[error("not of version 2")]
    Version,
    /// A packet of no type that there is.
    #[error("of an unknown type")]
    Type,
    /// Padding anywhere but in the last packet, or more than that holds.
    #[error("padding in the wrong place")]
    Padding,
    /// The packets' lengths do not add up to the datagram's.
    #[error("lengths that do not add up")]
    Length,
    /// More packets in one datagram than anybody has use for.
    #[error("too many packets")]
    Many,
}

/// The sender of the first packet, without a look at anything else: all that is in the clear in SRTCP (RFC 3711 §3.4).
///
/// # Errors
///
/// When `bytes` do not begin as RTCP does.
pub fn sender(bytes: &[u8]) -> Result<u32, Fault> {
    let ([first, kind, _, _, ssrc @ ..], _) = bytes.split_first_chunk::<8>().ok_or(Fault::Short)?;
    if first >> 6 != VERSION {
        return Err(Fault::Version);
    }
    if !KINDS.contains(kind) {
        return Err(Fault::Type);
    }
    Ok(u32::from_be_bytes(*ssrc))
}

/// Checks all packets of a datagram as RFC 3550 §9.1 and A.2 say, but for the order that they ask for: the first may
/// also be feedback alone (RFC 5506). Returns the sender of the first.
///
/// # Errors
///
/// When `bytes` are not RTCP.
pub fn check(bytes: &[u8]) -> Result<u32, Fault> {
    let ssrc = sender(bytes)?;
    let mut rest = bytes;
    for _ in 0..MOST {
        let ([first, kind, high, low], _) = rest.split_first_chunk::<4>().ok_or(Fault::Length)?;
        if first >> 6 != VERSION {
            return Err(Fault::Version);
        }
        if !KINDS.contains(kind) {
            return Err(Fault::Type);
        }
        let length = (usize::from(u16::from_be_bytes([*high, *low])) + 1) * 4;
        let (packet, more) = rest.split_at_checked(length).ok_or(Fault::Length)?;
        if first & 0x20 != 0 {
            let padding = usize::from(packet.last().copied().unwrap_or_default());
            let is_sound = padding > 0 && padding % 4 == 0 && padding <= length - 4;
            if !more.is_empty() || !is_sound {
                return Err(Fault::Padding);
            }
        }
        if more.is_empty() {
            return Ok(ssrc);
        }
        rest = more;
    }
    Err(Fault::Many)
}

/// Sender report to extended report, and what came since (RFC 3550 §12.1, 4585, 3611, 5450, 5760, 6284).
const KINDS: std::ops::RangeInclusive<u8> = 192..=213;

/// Packets in a datagram at most.
const MOST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    /// A receiver report without a block, and a source description with an empty name.
    const COMPOUND: [u8; 20] = [
        0x80, 201, 0, 1, 1, 2, 3, 4, // report
        0x81, 202, 0, 2, 1, 2, 3, 4, 1, 0, 0, 0, // description
    ];

    #[test]
    fn a_compound_packet_is_sound_and_says_who_sent_it() {
        assert_eq!(check(&COMPOUND), Ok(0x0102_0304));
        assert_eq!(sender(&COMPOUND), Ok(0x0102_0304));
    }

    #[test]
    fn each_fault_has_its_name() {
        let cases: [(&str, usize, u8, Fault); 6] = [
            ("version of the first", 0, 0x40, Fault::Version),
            ("version of the second", 8, 0x40, Fault::Version),
            ("type of the second", 9, 96, Fault::Type),
            ("padding before the last", 0, 0xa0, Fault::Padding),
            ("too long", 11, 3, Fault::Length),
            (
                "too short, so that the rest is no packet",
                11,
                1,
                Fault::Version,
            ),
        ];
        for (what, at, byte, fault) in cases {
            let mut packet = COMPOUND;
            packet[at] = byte;

            assert_eq!(check(&packet), Err(fault), "{what}");
        }
        assert_eq!(
            check(&COMPOUND[..4]),
            Err(Fault::Short),
            "4 bytes, as of AST-2017-008"
        );
        assert_eq!(check(&[]), Err(Fault::Short));
    }

    #[test]
    fn padding_ends_the_last_packet() {
        for (last, expected) in [
            (4, Ok(0x0102_0304)),
            (8, Ok(0x0102_0304)),
            (0, Err(Fault::Padding)),
            (3, Err(Fault::Padding)),
            (12, Err(Fault::Padding)),
        ] {
            let mut packet = COMPOUND;
            packet[8] |= 0x20;
            packet[19] = last;

            assert_eq!(check(&packet), expected, "{last}");
        }
    }

    #[test]
    fn a_datagram_of_headers_only_has_an_end() {
        let many = [0x80, 201, 0, 0].repeat(300);

        assert_eq!(check(&many), Err(Fault::Many));
    }
}
