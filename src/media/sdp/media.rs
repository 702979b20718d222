//! What one media line says, with the attributes below it and those of the whole session (RFC 8866 §5.14, §6).

use std::net::{IpAddr, SocketAddr};

use crate::media::sdp::format::{self, Formats, Numbers};
use crate::media::sdp::read::{Line, ReadError};

/// `m=`: what is sent, where to, how, in which formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaLine<'a> {
    /// `audio`, `video`, `image` and so on, as it stands.
    pub kind: &'a [u8],
    /// Where it is listened; 0: the line is refused, or was put away.
    pub port: u16,
    /// How many ports there are; more than one is layered coding, which nobody uses.
    pub ports: u16,
    /// The transport protocol, as it stands.
    pub proto: &'a [u8],
    /// The formats, with spaces between them; there may be none where the port is 0.
    pub formats: &'a [u8],
}

/// The transport of a media line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// `RTP/AVP` and its kin (RFC 3551, RFC 3711, RFC 4585, RFC 5124).
    Rtp {
        /// `SAVP`: SRTP.
        is_secure: bool,
        /// `AVPF`: feedback at any time.
        has_feedback: bool,
    },
    /// Datagrams that can be passed on unread: `udptl` (T.38) and `UDP`.
    Datagrams,
    /// What cannot be relayed: TCP, DTLS, and what we do not know.
    #[default]
    Other,
}

/// Which way media flow, as the party that says so sees it (RFC 8866 §6.7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Direction {
    /// It sends.
    pub sends: bool,
    /// It wants to hear.
    pub receives: bool,
}

/// A media line and what belongs to it.
#[derive(Debug, Clone, Copy)]
pub struct Media<'s, 'a> {
    /// `m=`.
    pub head: MediaLine<'a>,
    /// The lines below it.
    pub lines: &'s [Line<'a>],
    /// The lines before the first media line.
    pub session: &'s [Line<'a>],
}

impl<'a> MediaLine<'a> {
    /// Reads what is behind `m=`.
    pub(crate) fn read(value: &'a [u8]) -> Option<Self> {
        let (kind, rest) = word(value);
        let (port, rest) = word(rest);
        let (proto, rest) = word(rest);
        let (port, ports) = match memchr::memchr(b'/', port) {
            Some(at) => (port.get(..at)?, number(port.get(at + 1..)?)?),
            None => (port, 1),
        };
        let formats = rest.trim_ascii();
        let port = number(port)?;
        // Some peers leave out the formats of a line that they refuse.
        let is_bare = formats.is_empty() && port != 0;
        if !is_name(kind) || !is_name(proto) || is_bare {
            return None;
        }
        Some(Self {
            kind,
            port,
            ports,
            proto,
            formats,
        })
    }

    /// The formats, one by one.
    pub fn formats(&self) -> impl Iterator<Item = &'a [u8]> {
        words(self.formats)
    }

    /// How it is sent.
    #[must_use]
    pub fn transport(&self) -> Transport {
        Transport::of(self.proto)
    }

    /// Whether it is sound.
    #[must_use]
    pub fn is_audio(&self) -> bool {
        self.kind.eq_ignore_ascii_case(b"audio")
    }
}

impl Transport {
    /// The transport called `proto`.
    #[must_use]
    pub fn of(proto: &[u8]) -> Self {
        let is = |name: &[u8]| proto.eq_ignore_ascii_case(name);
        if is(b"udptl") || is(b"UDP") {
            return Self::Datagrams;
        }
        for (is_secure, has_feedback) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            let rtp = Self::Rtp {
                is_secure,
                has_feedback,
            };
            if rtp.text().is_some_and(is) {
                return rtp;
            }
        }
        Self::Other
    }

    /// How it is written; `None`: as it was read.
    #[must_use]
    pub fn text(self) -> Option<&'static [u8]> {
        match self {
            Self::Rtp {
                is_secure,
                has_feedback,
            } => Some(match (is_secure, has_feedback) {
                (false, false) => b"RTP/AVP",
                (false, true) => b"RTP/AVPF",
                (true, false) => b"RTP/SAVP",
                (true, true) => b"RTP/SAVPF",
            }),
            Self::Datagrams | Self::Other => None,
        }
    }

    /// Whether it is RTP.
    #[must_use]
    pub fn is_rtp(self) -> bool {
        matches!(self, Self::Rtp { .. })
    }

    /// Whether it says that it is SRTP.
    #[must_use]
    pub fn is_secure(self) -> bool {
        matches!(
            self,
            Self::Rtp {
                is_secure: true,
                ..
            }
        )
    }

    /// The same with SRTP, or without.
    #[must_use]
    pub fn with_security(self, is_secure: bool) -> Self {
        match self {
            Self::Rtp { has_feedback, .. } => Self::Rtp {
                is_secure,
                has_feedback,
            },
            Self::Datagrams => Self::Datagrams,
            Self::Other => Self::Other,
        }
    }
}

impl Direction {
    /// Both ways.
    pub const BOTH: Self = Self {
        sends: true,
        receives: true,
    };

    /// The direction that an attribute called `name` says.
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Self> {
        let (sends, receives) = match name {
            b"sendrecv" => (true, true),
            b"sendonly" => (true, false),
            b"recvonly" => (false, true),
            b"inactive" => (false, false),
            _ => return None,
        };
        Some(Self { sends, receives })
    }

    /// The attribute's name.
    #[must_use]
    pub fn text(self) -> &'static str {
        match (self.sends, self.receives) {
            (true, true) => "sendrecv",
            (true, false) => "sendonly",
            (false, true) => "recvonly",
            (false, false) => "inactive",
        }
    }

    /// The most that the other party may answer (RFC 3264 §6.1).
    #[must_use]
    pub fn mirrored(self) -> Self {
        Self {
            sends: self.receives,
            receives: self.sends,
        }
    }

    /// What is in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            sends: self.sends && other.sends,
            receives: self.receives && other.receives,
        }
    }
}

impl<'a> Media<'_, 'a> {
    /// Its attributes, those of the session not among them.
    pub fn attributes(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.lines.iter().filter_map(|line| line.attribute())
    }

    /// The first value of its attribute `name`.
    #[must_use]
    pub fn attribute(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.attributes()
            .find_map(|(other, value)| (other == name).then_some(value))
    }

    /// Which way media flow: as the line says, else as the session says, else both ways.
    #[must_use]
    pub fn direction(&self) -> Direction {
        let last = |lines: &[Line<'_>]| {
            lines
                .iter()
                .rev()
                .filter_map(|line| Direction::of(line.attribute()?.0))
                .next()
        };
        last(self.lines)
            .or_else(|| last(self.session))
            .unwrap_or(Direction::BOTH)
    }

    /// Whether RTP and RTCP share a port, or may (RFC 5761 §5.1.1).
    #[must_use]
    pub fn has_mux(&self) -> bool {
        self.attribute(b"rtcp-mux").is_some()
    }

    /// The address of its `c=`, or of the session's. `None`: it is all zeroes, which once meant hold (RFC 3264 §8.4).
    ///
    /// # Errors
    ///
    /// There is none, or it is none that media can be sent to.
    pub fn address(&self) -> Result<Option<IpAddr>, ReadError> {
        let of = |lines: &[Line<'a>]| {
            let line = lines.iter().find(|line| line.kind() == b'c')?;
            Some(line.value())
        };
        let value = of(self.lines)
            .or_else(|| of(self.session))
            .ok_or(ReadError::Connection)?;
        connection(value)
    }

    /// Where it is listened for RTP and for RTCP (RFC 3605), RTCP beside RTP unless said otherwise. `None`: the line
    /// is refused, or the address is all zeroes.
    ///
    /// # Errors
    ///
    /// As of [`address`](Self::address).
    pub fn listens(&self) -> Result<Option<(SocketAddr, SocketAddr)>, ReadError> {
        let Some(address) = self.address()? else {
            return Ok(None);
        };
        if self.head.port == 0 {
            return Ok(None);
        }
        let rtp = SocketAddr::new(address, self.head.port);
        let beside = SocketAddr::new(address, self.head.port.saturating_add(1));
        let Some(value) = self.attribute(b"rtcp") else {
            return Ok(Some((rtp, beside)));
        };
        let (port, rest) = word(value);
        let port = number(port)
            .filter(|port| *port != 0)
            .ok_or(ReadError::Connection)?;
        let rest = rest.trim_ascii();
        let address = if rest.is_empty() {
            Some(address)
        } else {
            connection(rest)?
        };
        let rtcp = address.map_or(beside, |address| SocketAddr::new(address, port));
        if rtcp.is_ipv4() != rtp.is_ipv4() {
            return Err(ReadError::Address);
        }
        Ok(Some((rtp, rtcp)))
    }

    /// The formats of an RTP line, each once.
    ///
    /// # Errors
    ///
    /// One is no payload type.
    pub fn formats(&self) -> Result<Formats<'a>, ReadError> {
        let mut formats = Formats::new();
        let mut seen = Numbers::default();
        for text in self.head.formats() {
            let number = number::<u8>(text)
                .filter(|number| *number < 128)
                .ok_or(ReadError::Media)?;
            if seen.insert(number) {
                formats.push(format::of(self, number));
            }
        }
        Ok(formats)
    }
}

/// The address in `IN IP4 192.0.2.1`; `None`: all zeroes.
fn connection(value: &[u8]) -> Result<Option<IpAddr>, ReadError> {
    let mut words = words(value);
    let (Some(b"IN"), Some(b"IP4" | b"IP6"), Some(text), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(ReadError::Connection);
    };
    let text = text.split(|byte| *byte == b'/').next().unwrap_or_default();
    let address: IpAddr = str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(ReadError::Address)?;
    if address.is_unspecified() {
        return Ok(None);
    }
    let is_nobodys = match address {
        IpAddr::V4(v4) => v4.is_multicast() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_multicast() || v6.to_ipv4_mapped().is_some(),
    };
    if is_nobodys {
        return Err(ReadError::Address);
    }
    Ok(Some(address))
}

/// Whether `text` can be the name of media or of a transport: all that are registered can, and no address.
fn is_name(text: &[u8]) -> bool {
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-+_/".contains(byte);
    !text.is_empty() && text.iter().all(is_of_name)
}

/// The first word of `text`, and the rest behind the spaces that follow it.
pub(crate) fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr2(b' ', b'\t', text).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.trim_ascii_start())
}

/// The words of `text`.
pub(crate) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty())
}

/// A number of digits and nothing else.
pub(crate) fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sdp::read::Sdp;

    /// A description with one media line and `more` below it.
    fn text(head: &str, more: &str) -> String {
        format!("v=0\r\nc=IN IP4 192.0.2.1\r\nm={head}\r\n{more}\r\n")
    }

    fn first<T>(head: &str, more: &str, ask: impl Fn(Media<'_, '_>) -> T) -> T {
        let text = text(head, more);
        let sdp = Sdp::read(text.as_bytes()).unwrap();
        ask(sdp.media_at(0).unwrap())
    }

    #[test]
    fn a_head_is_read_with_whatever_space_is_in_it() {
        let text = text("audio  49170/2 RTP/AVP  0\t101 ", "");
        let sdp = Sdp::read(text.as_bytes()).unwrap();
        let head = sdp.media_at(0).unwrap().head;

        assert_eq!(
            (head.kind, head.port, head.ports),
            (&b"audio"[..], 49_170, 2)
        );
        assert_eq!(head.proto, b"RTP/AVP");
        let formats: Vec<_> = head.formats().collect();
        assert_eq!(formats, [&b"0"[..], b"101"]);
    }

    #[test]
    fn transports_are_known_by_name() {
        for (proto, is_rtp, is_secure) in [
            ("RTP/AVP", true, false),
            ("rtp/avpf", true, false),
            ("RTP/SAVP", true, true),
            ("RTP/SAVPF", true, true),
            ("udptl", false, false),
            ("UDP/TLS/RTP/SAVPF", false, false),
            ("TCP/MSRP", false, false),
        ] {
            let transport = Transport::of(proto.as_bytes());

            assert_eq!(transport.is_rtp(), is_rtp, "{proto}");
            assert_eq!(transport.is_secure(), is_secure, "{proto}");
            assert_eq!(
                transport
                    .text()
                    .is_some_and(|text| text.eq_ignore_ascii_case(proto.as_bytes())),
                is_rtp
            );
            assert!(!transport.with_security(false).is_secure());
        }
    }

    #[test]
    fn places_to_listen_at() {
        let at = |port, more: &str| {
            first(&format!("audio {port} RTP/AVP 0"), more, |media| {
                media
                    .listens()
                    .map(|places| places.map(|(rtp, rtcp)| (rtp.to_string(), rtcp.to_string())))
            })
        };
        let is = |rtp: &str, rtcp: &str| Ok(Some((rtp.to_owned(), rtcp.to_owned())));
        assert_eq!(at(4000, ""), is("192.0.2.1:4000", "192.0.2.1:4001"));
        assert_eq!(at(65_535, ""), is("192.0.2.1:65535", "192.0.2.1:65535"));
        assert_eq!(
            at(4000, "a=rtcp:53020"),
            is("192.0.2.1:4000", "192.0.2.1:53020")
        );
        assert_eq!(
            at(4000, "a=rtcp:53020 IN IP4 192.0.2.7"),
            is("192.0.2.1:4000", "192.0.2.7:53020")
        );
        assert_eq!(
            at(4000, "c=IN IP6 2001:db8::1"),
            is("[2001:db8::1]:4000", "[2001:db8::1]:4001")
        );
        assert_eq!(
            at(4000, "c=IN IP4 192.0.2.9/127"),
            is("192.0.2.9:4000", "192.0.2.9:4001")
        );
        assert_eq!(at(0, ""), Ok(None));
        assert_eq!(at(4000, "c=IN IP4 0.0.0.0"), Ok(None));
        assert_eq!(at(4000, "c=IN IP6 ::"), Ok(None));
        for (bad, error) in [
            ("c=IN IP4", ReadError::Connection),
            ("c=IN IP5 192.0.2.1", ReadError::Connection),
            ("c=IN IP4 192.0.2.1 x", ReadError::Connection),
            ("c=IN IP4 example.com", ReadError::Address),
            ("c=IN IP6 ff02::1", ReadError::Address),
            ("a=rtcp:0", ReadError::Connection),
            ("a=rtcp:x", ReadError::Connection),
            ("a=rtcp:4 IN IP4 224.0.0.1", ReadError::Address),
            ("a=rtcp:4 IN IP6 2001:db8::1", ReadError::Address),
        ] {
            assert_eq!(at(4000, bad), Err(error), "{bad}");
        }
    }

    #[test]
    fn formats_are_explained_or_assigned() {
        let more = "a=rtpmap: 101 telephone-event/8000\r\na=rtpmap:97 opus/48000/2\r\na=rtpmap:9";
        let formats = first("audio 1 RTP/AVP 0 9 101 97 97 120", more, |media| {
            let formats = media.formats().unwrap();
            formats
                .iter()
                .map(|format| {
                    let name = String::from_utf8_lossy(format.name).into_owned();
                    (format.number, name, format.clock, format.channels)
                })
                .collect::<Vec<_>>()
        });

        let named =
            |number, name: &str, clock, channels| (number, name.to_owned(), clock, channels);
        assert_eq!(
            formats,
            [
                named(0, "PCMU", 8_000, 1),
                named(9, "G722", 8_000, 1),
                named(101, "telephone-event", 8_000, 1),
                named(97, "opus", 48_000, 2),
                named(120, "", 8_000, 1),
            ]
        );
        for bad in ["128", "x", "-1", "0x10"] {
            let head = format!("audio 1 RTP/AVP 0 {bad}");
            let error = first(&head, "", |media| media.formats().err());
            assert_eq!(error, Some(ReadError::Media), "{bad}");
        }
    }

    #[test]
    fn directions_are_mirrored() {
        for (name, mirrored) in [
            ("sendrecv", "sendrecv"),
            ("sendonly", "recvonly"),
            ("recvonly", "sendonly"),
            ("inactive", "inactive"),
        ] {
            let direction = first("audio 1 RTP/AVP 0", &format!("a={name}"), |media| {
                media.direction()
            });

            assert_eq!(
                (direction.text(), direction.mirrored().text()),
                (name, mirrored)
            );
        }
        assert_eq!(Direction::of(b"sendrecv:1"), None);
    }
}
