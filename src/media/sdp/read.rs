//! One walk over a session description: its lines, in order and as they stand (RFC 8866 §5, §9).
//!
//! The gate refuses what the next reader might read differently: NUL, CR alone, a line without a type, an empty line
//! before the end. A line may end with LF alone, as some peers send it. Nothing is copied.

use smallvec::SmallVec;

use crate::media::sdp::media::{Media, MediaLine};

/// Longest description, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// Most lines of a description.
pub const MAX_LINES: usize = 200;
/// Most media lines of a description.
pub const MAX_MEDIA: usize = 8;

/// Lines that fit without an allocation.
const INLINE_LINES: usize = 32;

/// Why a text is no session description. Its sender is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ReadError {
    /// Over [`MAX_TEXT`].
    #[error("session description too long")]
    TooLong,
    /// Over [`MAX_LINES`].
    #[error("too many lines")]
    TooManyLines,
    /// Over [`MAX_MEDIA`].
    #[error("too many media lines")]
    TooManyMedia,
    /// A byte that no line may hold: NUL, or CR without LF.
    #[error("NUL or CR alone in a line")]
    ControlByte,
    /// A line that does not begin with a letter and `=`.
    #[error("line without a type")]
    Line,
    /// It does not begin with `v=0`.
    #[error("version is not 0")]
    Version,
    /// `m=` against its grammar.
    #[error("malformed media line")]
    Media,
    /// `c=` or `a=rtcp` against its grammar, or none where one must be.
    #[error("malformed or missing connection data")]
    Connection,
    /// An address that media cannot be sent to: a name, a multicast group, an address that is nobody's.
    #[error("address that media cannot be sent to")]
    Address,
}

/// One line without its end: a letter, `=`, a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a>(&'a [u8]);

impl<'a> Line<'a> {
    /// The letter.
    #[must_use]
    pub fn kind(self) -> u8 {
        self.0.first().copied().unwrap_or_default()
    }

    /// What is behind the `=`.
    #[must_use]
    pub fn value(self) -> &'a [u8] {
        self.0.get(2..).unwrap_or_default()
    }

    /// All of it, as it stands.
    #[must_use]
    pub fn text(self) -> &'a [u8] {
        self.0
    }

    /// Name and value of an attribute: `a=name:value`, or `a=name` with an empty value; the name without white space
    /// around it, as lax readers take it. `None`: another line.
    #[must_use]
    pub fn attribute(self) -> Option<(&'a [u8], &'a [u8])> {
        if self.kind() != b'a' {
            return None;
        }
        let value = self.value();
        let (name, value) = match memchr::memchr(b':', value) {
            Some(at) => (
                value.get(..at).unwrap_or_default(),
                value.get(at + 1..).unwrap_or_default(),
            ),
            None => (value, &b""[..]),
        };
        Some((name.trim_ascii(), value))
    }
}

/// A session description.
#[derive(Debug, Clone)]
pub struct Sdp<'a> {
    lines: SmallVec<[Line<'a>; INLINE_LINES]>,
    /// Its `m=` lines, and where they are among the lines.
    media: SmallVec<[(usize, MediaLine<'a>); 2]>,
}

impl<'a> Sdp<'a> {
    /// Reads `text`.
    ///
    /// # Errors
    ///
    /// It is over a limit or not well formed.
    pub fn read(text: &'a [u8]) -> Result<Self, ReadError> {
        if text.len() > MAX_TEXT {
            return Err(ReadError::TooLong);
        }
        let mut sdp = Self {
            lines: SmallVec::new(),
            media: SmallVec::new(),
        };
        let mut is_over = false;
        for raw in text.split(|byte| *byte == b'\n') {
            let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
            if raw.is_empty() {
                is_over = true;
                continue;
            }
            let line = Self::line(raw)?;
            if is_over {
                return Err(ReadError::Line);
            }
            if sdp.lines.len() >= MAX_LINES {
                return Err(ReadError::TooManyLines);
            }
            if line.kind() == b'm' {
                if sdp.media.len() >= MAX_MEDIA {
                    return Err(ReadError::TooManyMedia);
                }
                let head = MediaLine::read(line.value()).ok_or(ReadError::Media)?;
                sdp.media.push((sdp.lines.len(), head));
            }
            sdp.lines.push(line);
        }
        match sdp.lines.first() {
            Some(Line(b"v=0")) => Ok(sdp),
            _ => Err(ReadError::Version),
        }
    }

    fn line(raw: &'a [u8]) -> Result<Line<'a>, ReadError> {
        if memchr::memchr2(b'\r', 0, raw).is_some() {
            return Err(ReadError::ControlByte);
        }
        match raw {
            [kind, b'=', ..] if kind.is_ascii_alphabetic() => Ok(Line(raw)),
            _ => Err(ReadError::Line),
        }
    }

    /// All lines, in order.
    #[must_use]
    pub fn lines(&self) -> &[Line<'a>] {
        &self.lines
    }

    /// The lines before the first `m=`.
    #[must_use]
    pub fn session(&self) -> &[Line<'a>] {
        let end = self.media.first().map_or(self.lines.len(), |(at, _)| *at);
        self.lines.get(..end).unwrap_or_default()
    }

    /// How many media lines there are.
    #[must_use]
    pub fn media_count(&self) -> usize {
        self.media.len()
    }

    /// The media lines, each with what belongs to it.
    pub fn media(&self) -> impl Iterator<Item = Media<'_, 'a>> {
        self.media.iter().enumerate().map(|(index, (at, head))| {
            let end = self
                .media
                .get(index + 1)
                .map_or(self.lines.len(), |(next, _)| *next);
            Media {
                head: *head,
                lines: self.lines.get(at + 1..end).unwrap_or_default(),
                session: self.session(),
            }
        })
    }

    /// The media line at `index`, counted from 0.
    #[must_use]
    pub fn media_at(&self, index: usize) -> Option<Media<'_, 'a>> {
        self.media().nth(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_as_they_were_sent() {
        let sdp =
            Sdp::read(b"v=0\r\no=- 1 1 IN IP4 x\na=odd : value \nm=audio 9 RTP/AVP 0\r\n\r\n")
                .unwrap();

        let lines: Vec<_> = sdp.lines().iter().map(|line| line.text()).collect();
        let expected: [&[u8]; 4] = [
            b"v=0",
            b"o=- 1 1 IN IP4 x",
            b"a=odd : value ",
            b"m=audio 9 RTP/AVP 0",
        ];
        assert_eq!(lines, expected);
        assert_eq!(sdp.session().len(), 3);
        assert_eq!(
            sdp.lines()[2].attribute(),
            Some((&b"odd"[..], &b" value "[..]))
        );
        assert_eq!(sdp.lines()[1].attribute(), None);
    }

    #[test]
    fn what_the_next_reader_might_read_differently_is_refused() {
        for (text, expected) in [
            (&b""[..], ReadError::Version),
            (b"o=-\r\nv=0\r\n", ReadError::Version),
            (b"v=1\r\n", ReadError::Version),
            (b"v=0 \r\n", ReadError::Version),
            (b"v=0\r\na=x\ry\r\n", ReadError::ControlByte),
            (b"v=0\r\na=x\r\r\n", ReadError::ControlByte),
            (b"v=0\r\na=x\0y\r\n", ReadError::ControlByte),
            (b"v=0\r\na: x\r\n", ReadError::Line),
            (b"v=0\r\n a=x\r\n", ReadError::Line),
            (b"v=0\r\n=x\r\n", ReadError::Line),
            (b"v=0\r\n1=x\r\n", ReadError::Line),
            (b"v=0\r\n\r\na=x\r\n", ReadError::Line),
            (b"v=0\r\nm=audio\r\n", ReadError::Media),
            (b"v=0\r\nm=audio 1\r\n", ReadError::Media),
            (b"v=0\r\nm=audio 1 RTP/AVP\r\n", ReadError::Media),
            (b"v=0\r\nm=audio -1 RTP/AVP 0\r\n", ReadError::Media),
            (b"v=0\r\nm=audio 65536 RTP/AVP 0\r\n", ReadError::Media),
            (b"v=0\r\nm=audio 1/x RTP/AVP 0\r\n", ReadError::Media),
            (b"v=0\r\nm=audio 1 192.0.2.1 0\r\n", ReadError::Media),
            (b"v=0\r\nm=\"audio\" 1 RTP/AVP 0\r\n", ReadError::Media),
        ] {
            let error = Sdp::read(text).unwrap_err();

            assert_eq!(error, expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn limits_are_met_and_not_passed() {
        let lines = |count: usize| format!("v=0\r\n{}", "a=x\r\n".repeat(count - 1));
        assert!(Sdp::read(lines(MAX_LINES).as_bytes()).is_ok());
        let error = Sdp::read(lines(MAX_LINES + 1).as_bytes()).unwrap_err();
        assert_eq!(error, ReadError::TooManyLines);

        let media = |count: usize| format!("v=0\r\n{}", "m=audio 1 RTP/AVP 0\r\n".repeat(count));
        assert_eq!(
            Sdp::read(media(MAX_MEDIA).as_bytes())
                .unwrap()
                .media_count(),
            MAX_MEDIA
        );
        let error = Sdp::read(media(MAX_MEDIA + 1).as_bytes()).unwrap_err();
        assert_eq!(error, ReadError::TooManyMedia);

        let long = |length: usize| format!("v=0\r\na={}", "x".repeat(length - 7));
        assert!(Sdp::read(long(MAX_TEXT).as_bytes()).is_ok());
        let error = Sdp::read(long(MAX_TEXT + 1).as_bytes()).unwrap_err();
        assert_eq!(error, ReadError::TooLong);
    }
}
