//! The format of a capture: classic pcap, version 2.4, with microseconds, little-endian; each packet with an IP and a UDP
//! header of our making (link type 101, raw IP), so that tcpdump and Wireshark read them.

use std::net::{IpAddr, SocketAddr};

use crate::net::relay::tap::Frame;

/// Begins a file.
pub(super) fn write_head(out: &mut Vec<u8>) {
    out.extend_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    out.extend_from_slice(&2_u16.to_le_bytes());
    out.extend_from_slice(&4_u16.to_le_bytes());
    // Time zone and accuracy, which nobody fills.
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&LONGEST.to_le_bytes());
    out.extend_from_slice(&RAW_IP.to_le_bytes());
}

/// Adds a packet. One whose addresses are of two families is none.
pub(super) fn write_frame(out: &mut Vec<u8>, frame: &Frame) {
    let mut udp = Vec::with_capacity(8 + frame.bytes.len());
    let Ok(length) = u16::try_from(8 + frame.bytes.len()) else {
        return;
    };
    udp.extend_from_slice(&frame.from.port().to_be_bytes());
    udp.extend_from_slice(&frame.to.port().to_be_bytes());
    udp.extend_from_slice(&length.to_be_bytes());
    udp.extend_from_slice(&[0; 2]);
    udp.extend_from_slice(&frame.bytes);
    let Some(packet) = in_ip(frame.from, frame.to, &mut udp) else {
        return;
    };
    let seconds = frame.at.as_secs() as u32;
    out.extend_from_slice(&seconds.to_le_bytes());
    out.extend_from_slice(&frame.at.subsec_micros().to_le_bytes());
    let length = packet.len() as u32;
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&packet);
}

/// A UDP datagram in an IP packet (RFC 791 §3.1, RFC 8200 §3), with its checksum.
fn in_ip(from: SocketAddr, to: SocketAddr, udp: &mut [u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(udp.len()).ok()?;
    let mut packet = Vec::with_capacity(40 + udp.len());
    let mut pseudo = Vec::with_capacity(40);
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            // Version 4, 5 words of header, expedited forwarding.
            packet.extend_from_slice(&[0x45, 0xb8]);
            packet.extend_from_slice(&length.checked_add(20)?.to_be_bytes());
            // No fragment of anything; 64 hops; UDP.
            packet.extend_from_slice(&[0, 0, 0x40, 0, 64, UDP, 0, 0]);
            packet.extend_from_slice(&from.octets());
            packet.extend_from_slice(&to.octets());
            let sum = checksum(&[&packet]).to_be_bytes();
            packet.get_mut(10..12)?.copy_from_slice(&sum);
            pseudo.extend_from_slice(&from.octets());
            pseudo.extend_from_slice(&to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            packet.extend_from_slice(&[0x6b, 0x80, 0, 0]);
            packet.extend_from_slice(&length.to_be_bytes());
            packet.extend_from_slice(&[UDP, 64]);
            packet.extend_from_slice(&from.octets());
            packet.extend_from_slice(&to.octets());
            pseudo.extend_from_slice(&from.octets());
            pseudo.extend_from_slice(&to.octets());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    }
    pseudo.extend_from_slice(&[0, UDP]);
    pseudo.extend_from_slice(&length.to_be_bytes());
    // Zero would say that there is none (RFC 768).
    let sum = match checksum(&[&pseudo, udp]) {
        0 => u16::MAX,
        sum => sum,
    };
    udp.get_mut(6..8)?.copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(udp);
    Some(packet)
}

/// The checksum of the internet (RFC 1071) over parts of even length; the last may be odd.
fn checksum(parts: &[&[u8]]) -> u16 {
    let pairs = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = pairs
        .map(|pair| match pair {
            [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
            [high] => u32::from(*high) << 8,
            _ => 0,
        })
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

/// Longest packet, in bytes.
const LONGEST: u32 = 65_535;
/// Packets begin with their IP header.
const RAW_IP: u32 = 101;
const UDP: u8 = 17;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_file_begins_as_it_must() {
        let mut out = Vec::new();

        write_head(&mut out);

        assert_eq!(
            out,
            [
                0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 101,
                0, 0, 0
            ]
        );
    }

    #[test]
    fn a_packet_has_headers_whose_sums_are_right() {
        for (from, to, header) in [
            ("192.0.2.1:4000", "198.51.100.7:19000", 20),
            ("[2001:db8::1]:4000", "[2001:db8::2]:19000", 40),
        ] {
            let frame = frame(from, to, b"hello");
            let mut out = Vec::new();

            write_frame(&mut out, &frame);

            assert_eq!(out[..4], 1_700_000_000_u32.to_le_bytes());
            assert_eq!(out[4..8], 250_000_u32.to_le_bytes());
            let length = header + 8 + 5;
            assert_eq!(out[8..12], (length as u32).to_le_bytes());
            assert_eq!(out[8..12], out[12..16]);
            let packet = &out[16..];
            assert_eq!(packet.len(), length);
            assert_eq!(&packet[header + 8..], b"hello");
            assert_eq!(packet[header..header + 2], 4000_u16.to_be_bytes());
            assert_eq!(packet[header + 2..header + 4], 19_000_u16.to_be_bytes());
            if header == 20 {
                assert_eq!(checksum(&[&packet[..20]]), 0, "of IP");
            }
            let addresses = match header {
                20 => &packet[12..20],
                _ => &packet[8..40],
            };
            let rest = [&[0, 17, 0, 13], &packet[header..]].concat();
            assert_eq!(checksum(&[addresses, &rest]), 0, "of UDP");
        }
    }

    #[test]
    fn what_cannot_be_is_left_out() {
        let mut out = Vec::new();

        write_frame(&mut out, &frame("192.0.2.1:1", "[2001:db8::2]:2", b"x"));
        let long = vec![0; 65_530];
        write_frame(&mut out, &frame("192.0.2.1:1", "192.0.2.2:2", &long));

        assert!(out.is_empty());
    }

    fn frame(from: &str, to: &str, bytes: &[u8]) -> Frame {
        Frame {
            at: Duration::from_millis(1_700_000_000_250),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            bytes: bytes.into(),
        }
    }
}
