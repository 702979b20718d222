//! What another media plane gets to see of a description: it puts its own addresses, ports and keys in, so those that
//! are there stay; what may not pass, or would lead around it, is left out before.

use crate::media::sdp::crypto;
use crate::media::sdp::format::Numbers;
use crate::media::sdp::media::{Direction, Media, number};
use crate::media::sdp::read::{Line, Sdp};
use crate::media::sdp::write::{
    NO_TIME, Origin, addresses, is_of_kept_format, passes, push, write_origin,
};

/// What becomes of a media line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It is refused: port 0, no attributes.
    Refused,
    /// It passes.
    Kept {
        /// The payload types that are kept; `None`: all, whatever they are.
        kept: Option<Numbers>,
        /// The direction, if it is another than was read.
        direction: Option<Direction>,
    },
}

/// Gives `sdp` with one of `cuts` for each media line.
#[must_use]
pub fn trim(sdp: &Sdp<'_>, cuts: &[Cut]) -> Vec<u8> {
    // What leads elsewhere is left out; where media is listened has to stay for the other plane.
    let hidden = addresses(sdp);
    let stays = |line: &Line<'_>| match line.attribute() {
        Some((b"rtcp", _)) => true,
        Some((b"crypto", value)) => crypto::read(value).is_some(),
        Some(_) => passes(*line, &hidden),
        None => b"vocbt".contains(&line.kind()),
    };
    let mut out = Vec::with_capacity(1024);
    let mut has_time = false;
    for line in sdp.session() {
        match line.kind() {
            b's' => push(&mut out, b"s=-"),
            b't' => {
                has_time = true;
                push(&mut out, line.text());
            }
            b'a' if !has_time => {
                has_time = true;
                out.extend_from_slice(NO_TIME);
                if stays(line) {
                    push(&mut out, line.text());
                }
            }
            _ if stays(line) => push(&mut out, line.text()),
            _ => {}
        }
    }
    if !has_time {
        out.extend_from_slice(NO_TIME);
    }
    for (media, cut) in sdp.media().zip(cuts) {
        match cut {
            Cut::Refused => write_head(&mut out, &media, true, None),
            Cut::Kept { kept, direction } => {
                write_head(&mut out, &media, false, *kept);
                let own = media.head.formats().filter_map(number::<u8>).collect();
                let is_secure = media.head.transport().is_secure();
                for line in media.lines {
                    let is_kept = line.attribute().is_none_or(|(name, value)| {
                        is_of_kept_format(name, value, own, *kept)
                            && (direction.is_none() || Direction::of(name).is_none())
                            // Keys beside RTP are for nobody.
                            && (is_secure || name != b"crypto")
                    });
                    if is_kept && stays(line) {
                        push(&mut out, line.text());
                    }
                }
                if let Some(direction) = direction {
                    out.extend_from_slice(b"a=");
                    push(&mut out, direction.text().as_bytes());
                }
            }
        }
    }
    out
}

/// Gives `sdp` with an `o=` of ours, and the rest as it is.
#[must_use]
pub fn with_origin(sdp: &Sdp<'_>, origin: &Origin) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    write_origin(&mut out, origin);
    for line in sdp
        .lines()
        .iter()
        .filter(|line| !b"vo".contains(&line.kind()))
    {
        push(&mut out, line.text());
    }
    out
}

fn write_head(out: &mut Vec<u8>, media: &Media<'_, '_>, is_refused: bool, kept: Option<Numbers>) {
    let head = &media.head;
    out.extend_from_slice(b"m=");
    out.extend_from_slice(head.kind);
    let port = if is_refused { 0 } else { head.port };
    let mut digits = itoa::Buffer::new();
    for part in [digits.format(port).as_bytes(), head.proto] {
        out.push(b' ');
        out.extend_from_slice(part);
    }
    let is_kept = |text: &&[u8]| {
        kept.is_none_or(|kept| number::<u8>(text).is_some_and(|number| kept.contains(number)))
    };
    let mut is_bare = true;
    for text in head.formats().filter(is_kept) {
        is_bare = false;
        out.push(b' ');
        out.extend_from_slice(text);
    }
    // One there must be (RFC 8866 §5.14).
    out.extend_from_slice(if is_bare { b" 0\r\n" } else { b"\r\n" });
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=ann 7 1 IN IP4 192.0.2.10\r\ns=from 192.0.2.10\r\ni=about ann\r\n\
        c=IN IP4 192.0.2.10\r\na=tool:x\r\na=ice-ufrag:abc\r\n\
        m=audio 30000 RTP/AVP 0 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
        a=fmtp:101 0-15\r\na=rtcp:30007\r\na=sendonly\r\na=candidate:1 1 UDP 1 192.0.2.10 30000 typ host\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n\
        m=video 30002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n";

    #[test]
    fn formats_lines_and_what_leads_elsewhere_are_left_out() {
        let sdp = Sdp::read(OFFER.as_bytes()).unwrap();
        let audio = Cut::Kept {
            kept: Some([8, 101].into_iter().collect()),
            direction: Some(Direction::BOTH),
        };

        let text = trim(&sdp, &[audio, Cut::Refused]);

        let expected = "v=0\r\no=ann 7 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\na=tool:x\r\n\
            m=audio 30000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
            a=fmtp:101 0-15\r\na=rtcp:30007\r\na=sendrecv\r\nm=video 0 RTP/AVP 96\r\n";
        assert_eq!(String::from_utf8_lossy(&text), expected);
    }

    #[test]
    fn keys_pass_beside_srtp_if_they_can_be_taken() {
        let secure = OFFER.replace("30000 RTP/AVP", "30000 RTP/SAVP");
        let weak = secure.replace("AES_CM_128_HMAC_SHA1_80", "NULL_HMAC_SHA1_80");
        let all = Cut::Kept {
            kept: None,
            direction: None,
        };
        for (text, keys) in [(OFFER, 0), (secure.as_str(), 1), (weak.as_str(), 0)] {
            let sdp = Sdp::read(text.as_bytes()).unwrap();
            let trimmed = trim(&sdp, &[all, Cut::Refused]);
            let trimmed = String::from_utf8_lossy(&trimmed);
            assert_eq!(trimmed.matches("a=crypto:").count(), keys, "{trimmed}");
        }
    }

    #[test]
    fn the_origin_is_ours_and_the_rest_is_not_touched() {
        let sdp = Sdp::read(OFFER.as_bytes()).unwrap();
        let origin = Origin {
            session: 5,
            version: 2,
            address: "203.0.113.5".parse().unwrap(),
        };

        let text = with_origin(&sdp, &origin);

        let expected = OFFER.replace("o=ann 7 1 IN IP4 192.0.2.10", "o=- 5 2 IN IP4 203.0.113.5");
        assert_eq!(String::from_utf8_lossy(&text), expected);
    }
}
