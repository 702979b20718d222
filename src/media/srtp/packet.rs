//! What of a packet's header SRTP needs.

use crate::media::srtp::Why;

/// An RTP header, as far as it matters here (RFC 3550 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RtpHeader {
    /// All that stays in the clear: the fixed part, CSRCs and the extension, in bytes.
    pub(super) length: usize,
    pub(super) sequence: u16,
    pub(super) ssrc: u32,
}

impl RtpHeader {
    /// Reads the header of `packet`, which may end with a tag: what is behind the header is not looked at.
    pub(super) fn read(packet: &[u8]) -> Result<Self, Why> {
        let (fixed, _) = packet.split_first_chunk::<12>().ok_or(Why::NotRtp)?;
        let [first, _, s0, s1, _, _, _, _, a, b, c, d] = *fixed;
        if first >> 6 != VERSION {
            return Err(Why::NotRtp);
        }
        let mut length = 12 + 4 * usize::from(first & 0x0f);
        if first & 0x10 != 0 {
            let head = packet.get(length..).and_then(<[u8]>::first_chunk::<4>);
            let [_, _, high, low] = *head.ok_or(Why::NotRtp)?;
            length += 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        }
        if length > packet.len() {
            return Err(Why::NotRtp);
        }
        Ok(Self {
            length,
            sequence: u16::from_be_bytes([s0, s1]),
            ssrc: u32::from_be_bytes([a, b, c, d]),
        })
    }
}

/// The SSRC of who sent an RTCP packet (RFC 3550 §6.4).
pub(super) fn rtcp_sender(packet: &[u8]) -> Result<u32, Why> {
    let (fixed, _) = packet
        .split_first_chunk::<RTCP_HEADER>()
        .ok_or(Why::NotRtp)?;
    let [first, _, _, _, a, b, c, d] = *fixed;
    if first >> 6 != VERSION {
        return Err(Why::NotRtp);
    }
    Ok(u32::from_be_bytes([a, b, c, d]))
}

/// How much of RTCP stays in the clear, in bytes (RFC 3711 §3.4).
pub(super) const RTCP_HEADER: usize = 8;

const VERSION: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csrcs_and_the_extension_belong_to_the_header() {
        let mut packet = vec![0x92, 0, 0x12, 0x34, 0, 0, 0, 0, 1, 2, 3, 4];
        packet.extend([0; 8]);
        packet.extend([0xbe, 0xde, 0, 1, 9, 9, 9, 9, 77]);

        let header = RtpHeader::read(&packet);

        let expected = RtpHeader {
            length: 28,
            sequence: 0x1234,
            ssrc: 0x0102_0304,
        };
        assert_eq!(header, Ok(expected));
        for length in 0..28 {
            assert_eq!(
                RtpHeader::read(&packet[..length]),
                Err(Why::NotRtp),
                "{length}"
            );
        }
        assert!(RtpHeader::read(&packet[..28]).is_ok());
    }

    #[test]
    fn other_protocols_on_the_port_are_not_rtp() {
        let stun = [
            0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        ];
        let dtls = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

        assert_eq!(RtpHeader::read(&stun), Err(Why::NotRtp));
        assert_eq!(RtpHeader::read(&dtls), Err(Why::NotRtp));
        assert_eq!(rtcp_sender(&stun), Err(Why::NotRtp));
    }
}
