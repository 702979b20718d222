//! The little of an INVITE that a refusal repeats, for when there is no time to read it all.
//!
//! ```text
//!   INVITE sip:... SIP/2.0
//!   Via: ...         kept, as are From, To, Call-ID and CSeq
//!   Contact: ...     passed over, as is whatever else there is
//! ```
//!
//! It is for plain messages: with a fold, a value twice, a head that is longer than most or anything else that takes a second look,
//! there is no brief, and the message is to be [read](crate::sip::message::parse). What there is a brief of says the same of these
//! headers as reading does; whether reading would find fault with the others is not known.

use smallvec::SmallVec;

use crate::sip::essentials::{Naming, cseq};
use crate::sip::header::{NameAddr, Via};
use crate::sip::message::Method;

/// How long a head may be, in bytes: most have a tenth of it.
const REACH: usize = 8 * 1024;

/// How many lines of Via there may be.
const MOST_VIAS: usize = 8;

/// What a refusal of an INVITE that begins a dialog repeats, as it was written.
#[derive(Debug, Clone)]
pub struct Brief<'a> {
    /// What names the request.
    pub naming: Naming<'a>,
    pub(crate) vias: SmallVec<[&'a [u8]; 2]>,
    pub(crate) from: &'a [u8],
    /// Without a tag.
    pub(crate) to: &'a [u8],
    pub(crate) cseq: &'a [u8],
}

impl<'a> Brief<'a> {
    /// That of an INVITE without To-tag, as [`datagram`](crate::sip::frame::datagram) gives it; `None`: read it.
    #[must_use]
    pub fn of_invite(message: &'a [u8]) -> Option<Self> {
        let head = message.get(..REACH).unwrap_or(message);
        let (line, mut rest) = cut_line(head)?;
        if !line.starts_with(b"INVITE ") || !line.ends_with(b" SIP/2.0") {
            return None;
        }
        let mut vias: SmallVec<[&[u8]; 2]> = SmallVec::new();
        let [mut from, mut to, mut call_id, mut sequence] = [None; 4];
        loop {
            let (line, after) = cut_line(rest)?;
            rest = after;
            let place = match line.first() {
                None => break,
                Some(b' ' | b'\t') => return None,
                Some(b'v' | b'V') => None,
                Some(b'f' | b'F') => Some((&mut from, "from", "f")),
                Some(b't' | b'T') => Some((&mut to, "to", "t")),
                Some(b'i' | b'I') => Some((&mut call_id, "call-id", "i")),
                Some(b'c' | b'C') => match line.get(1) {
                    Some(b's' | b'S') => Some((&mut sequence, "cseq", "cseq")),
                    Some(b'a' | b'A') => Some((&mut call_id, "call-id", "i")),
                    _ => continue,
                },
                Some(_) => continue,
            };
            let colon = memchr::memchr(b':', line)?;
            let (name, value) = line.split_at(colon);
            let (name, value) = (name.trim_ascii_end(), value.get(1..)?.trim_ascii());
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            match place {
                None if is("via") || is("v") => {
                    if vias.len() == MOST_VIAS {
                        return None;
                    }
                    vias.push(value);
                }
                Some((place, long, short)) if is(long) || is(short) => {
                    if place.replace(value).is_some() {
                        return None;
                    }
                }
                None | Some(_) => {}
            }
        }
        let (from, to, call_id, sequence) = (from?, to?, call_id?, sequence?);
        if call_id.is_empty() || call_id.iter().any(|byte| *byte <= b' ' || *byte == 0x7f) {
            return None;
        }
        let (number, method) = cseq(sequence)?;
        let is_begun = NameAddr::parse(to).ok()?.tag().is_some();
        if is_begun || method != Method::Invite.as_bytes() {
            return None;
        }
        Some(Self {
            naming: Naming {
                via: Via::parse(vias.first()?).ok()?,
                call_id,
                from_tag: NameAddr::parse(from).ok()?.tag(),
                cseq: number,
            },
            vias,
            from,
            to,
            cseq: sequence,
        })
    }
}

/// The first line without its end, and what is behind it; `None` where it has no end, or holds what ends none.
fn cut_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr3(b'\r', b'\n', 0, bytes)?;
    let rest = bytes.get(end..)?.strip_prefix(b"\r\n")?;
    Some((bytes.get(..end)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::build::{ReplyHead, Writer};
    use crate::sip::flow::{Flow, ListenerId, PeerId, Transport};
    use crate::sip::message::{Message, parse};

    const PLAIN: &str = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1;rport\r\nv:SIP/2.0/UDP i;branch=z9hG4bK2\r\n\
        f: \"F\" <sip:f@h>;tag=x\r\nTO : <sip:a@b>\r\nCall-ID: 1@h\r\nCSEQ: 7 INVITE\r\nContact: <sip:f@h>\r\nSubject: x\r\n\r\nbody";

    #[test]
    fn a_refusal_from_a_brief_is_the_one_from_reading() {
        let Ok(Message::Request(request)) = parse(PLAIN.as_bytes()) else {
            panic!("not read");
        };
        let brief = Brief::of_invite(PLAIN.as_bytes()).unwrap();
        let flow = Flow {
            transport: Transport::Udp,
            listener: ListenerId(0),
            remote: "192.0.2.1:5061".parse().unwrap(),
            peer: PeerId::NOBODY,
        };
        let refusal = |reply| {
            let mut buffer = Vec::new();
            Writer::reply(&mut buffer, &reply, 503, Some(b"t"))
                .finish(b"")
                .unwrap()
        };

        let short = refusal(ReplyHead::of_brief(&brief, &flow));
        assert_eq!(short, refusal(ReplyHead::new(&request, &flow)));
        let text = std::str::from_utf8(&short).unwrap();
        assert!(text.contains("\r\nTo: <sip:a@b>;tag=t\r\n"), "{text}");
        let (one, other) = (brief.naming, request.essentials().unwrap().naming());
        assert_eq!(one.via.text, other.via.text);
        assert_eq!(
            (one.call_id, one.from_tag, one.cseq),
            (other.call_id, other.from_tag, other.cseq)
        );
    }

    #[test]
    fn what_takes_a_second_look_has_no_brief() {
        assert!(Brief::of_invite(PLAIN.as_bytes()).is_some());
        for (from, to) in [
            ("INVITE sip", "invite sip"),
            ("INVITE sip", "BYE sip"),
            ("SIP/2.0\r\nVia", "SIP/3.0\r\nVia"),
            ("Subject: x", "Subject: x\r\n y"),
            ("Subject: x", "Subject: x\ny"),
            ("Subject: x", "Subject: x\ry"),
            ("Subject: x", "Subject: x\0y"),
            ("Subject: x", "t: <sip:a@b>"),
            ("Subject: x", "CSeq: 7 INVITE"),
            ("Subject: x", "i: 2@h"),
            ("Subject: x", "From: <sip:f@h>"),
            ("<sip:a@b>", "<sip:a@b>;tag=y"),
            ("<sip:a@b>", "<sip:a@b"),
            ("7 INVITE", "7 BYE"),
            ("7 INVITE", "2147483648 INVITE"),
            ("1@h", ""),
            ("1@h", "1 h"),
            ("Call-ID: 1@h\r\n", ""),
            (
                "v:SIP",
                "v:x\r\nv:x\r\nv:x\r\nv:x\r\nv:x\r\nv:x\r\nv:x\r\nv:SIP",
            ),
            ("\r\n\r\nbody", "\r\n"),
        ] {
            assert!(PLAIN.contains(from), "{from}");
            let text = PLAIN.replacen(from, to, 1);
            assert!(Brief::of_invite(text.as_bytes()).is_none(), "{text}");
        }
    }
}
