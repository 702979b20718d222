//! Frames (RFC 6455 §5.2), as a server reads and writes them: what a client says is looked through for its end, and forgotten.
//!
//! ```text
//!   FIN RSV opcode | MASK length | length 16 or 64 | mask | payload
//!   1   3   4        1    7        0, 16 or 64       32
//! ```

use thiserror::Error;

/// What a client has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// It asks whether we are there; the answer holds the same bytes.
    Ping(Vec<u8>),
    /// It is there.
    Pong,
    /// It has had enough, for this reason.
    Close(Option<u16>),
    /// A message, or a part of one: nothing that it could say matters here.
    Words,
}

/// Why a connection is closed: what came is no WebSocket, or too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameFault {
    /// It is against the protocol.
    #[error("against the protocol")]
    Protocol,
    /// It is longer than [`MOST`].
    #[error("too long")]
    TooLong,
}

impl FrameFault {
    /// What is said to the client (RFC 6455 §7.4.1).
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Protocol => PROTOCOL_ERROR,
            Self::TooLong => TOO_BIG,
        }
    }
}

/// Reads what a client sends, in whatever pieces it comes.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    /// A message has begun and goes on in another frame.
    is_within: bool,
}

impl Reader {
    /// Takes bytes in.
    pub fn take(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes that wait for the rest of their frame: once all is read, fewer than [`MOST`] and a head.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// The next frame; `Ok(None)`: it is not whole yet. After a fault nothing more can be read.
    ///
    /// # Errors
    ///
    /// When what has come is no frame of a client's, or too long.
    pub fn poll_frame(&mut self) -> Result<Option<Said>, FrameFault> {
        let Some(([first, second], rest)) = self.buffer.split_first_chunk() else {
            return Ok(None);
        };
        let (is_last, opcode) = (first & 0x80 != 0, first & 0x0f);
        let is_control = opcode & 0x08 != 0;
        // What a client sends is masked, and no extension was agreed on.
        if first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(FrameFault::Protocol);
        }
        let (length, rest) = match second & 0x7f {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            short => (u64::from(short), rest),
        };
        if is_control && (!is_last || length > 125) {
            return Err(FrameFault::Protocol);
        }
        let length = usize::try_from(length).map_err(|_| FrameFault::TooLong)?;
        if length > MOST {
            return Err(FrameFault::TooLong);
        }
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        let payload: Vec<u8> = payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask)
            .collect();
        let end = self.buffer.len() - rest.len() + length;
        self.buffer.drain(..end);
        self.judge(opcode, is_last, payload).map(Some)
    }

    fn judge(&mut self, opcode: u8, is_last: bool, payload: Vec<u8>) -> Result<Said, FrameFault> {
        match opcode {
            CONTINUATION if self.is_within => self.is_within = !is_last,
            TEXT | BINARY if !self.is_within => self.is_within = !is_last,
            PING => return Ok(Said::Ping(payload)),
            PONG => return Ok(Said::Pong),
            CLOSE => return close_code(&payload).map(Said::Close),
            _ => return Err(FrameFault::Protocol),
        }
        Ok(Said::Words)
    }
}

/// The reason in a close frame: two bytes, then words in UTF-8 (RFC 6455 §5.5.1, §7.4).
fn close_code(payload: &[u8]) -> Result<Option<u16>, FrameFault> {
    let Some((code, words)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok(None),
            _ => Err(FrameFault::Protocol),
        };
    };
    let code = u16::from_be_bytes(*code);
    let is_code = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if !is_code || str::from_utf8(words).is_err() {
        return Err(FrameFault::Protocol);
    }
    Ok(Some(code))
}

/// A message in text.
#[must_use]
pub fn text(body: &[u8]) -> Vec<u8> {
    frame(TEXT, body)
}

/// Asks whether the client is there.
#[must_use]
pub fn ping() -> Vec<u8> {
    frame(PING, &[])
}

/// The answer to a ping.
#[must_use]
pub fn pong(body: &[u8]) -> Vec<u8> {
    frame(PONG, body)
}

/// Says that it is over, and why.
#[must_use]
pub fn close(code: u16) -> Vec<u8> {
    frame(CLOSE, &code.to_be_bytes())
}

/// A server masks nothing (RFC 6455 §5.1).
fn frame(opcode: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match (u8::try_from(body.len()), u16::try_from(body.len())) {
        (Ok(length @ ..126), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        (_, Err(_)) => {
            frame.push(127);
            frame.extend_from_slice(&(body.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(body);
    frame
}

/// Bytes of a frame: a client has nothing to say that is longer.
pub const MOST: usize = 4096;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// All is well.
pub const NORMAL: u16 = 1000;
/// The server goes down.
pub const GOING_AWAY: u16 = 1001;
const PROTOCOL_ERROR: u16 = 1002;
const TOO_BIG: u16 = 1009;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 6455 §5.7.
    #[test]
    fn the_examples_of_the_rfc_are_read_and_written() {
        let hello = [
            0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(read(&hello), Ok(vec![Said::Words]));
        let pong = [
            0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58,
        ];
        assert_eq!(read(&pong), Ok(vec![Said::Pong]));

        assert_eq!(text(b"Hello"), *b"\x81\x05Hello");
        assert_eq!(super::pong(b"Hello"), *b"\x8a\x05Hello");
        let long = text(&[b'x'; 256]);
        assert_eq!(
            (&long[..4], long.len()),
            (&[0x81, 0x7e, 0x01, 0x00][..], 260)
        );
        let longer = text(&[b'x'; 65_536]);
        let head = [0x81, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0];
        assert_eq!((&longer[..10], longer.len()), (&head[..], 65_546));
    }

    #[test]
    fn a_message_in_parts_may_be_interrupted_by_a_ping() {
        let said = read(
            &[
                masked(0x01, b"one"),
                masked(0x89, b"there?"),
                masked(0x00, b"two"),
                masked(0x80, b"three"),
                masked(0x88, b"\x03\xe8bye"),
            ]
            .concat(),
        );

        assert_eq!(
            said,
            Ok(vec![
                Said::Words,
                Said::Ping(b"there?".to_vec()),
                Said::Words,
                Said::Words,
                Said::Close(Some(1000)),
            ])
        );
        assert_eq!(read(&masked(0x88, b"")), Ok(vec![Said::Close(None)]));
    }

    #[test]
    fn what_is_against_the_protocol_is_a_fault() {
        for frame in [
            // Without a mask, and with an extension.
            b"\x81\x05Hello".to_vec(),
            masked(0xc1, b""),
            // Nothing has begun; something has.
            masked(0x80, b""),
            [masked(0x01, b""), masked(0x01, b"")].concat(),
            // Unknown, a ping in parts, one that is too long.
            masked(0x83, b""),
            masked(0x8b, b""),
            masked(0x09, b""),
            masked(0x89, &[0; 126]),
            // A reason of one byte, one that does not exist, words that are none.
            masked(0x88, b"\x03"),
            masked(0x88, b"\x03\xed"),
            masked(0x88, b"\x03\xe8\xff"),
        ] {
            assert_eq!(read(&frame), Err(FrameFault::Protocol), "{frame:02x?}");
        }
        assert_eq!(FrameFault::Protocol.code(), 1002);
    }

    #[test]
    fn what_is_too_long_is_refused_before_it_comes() {
        let head = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

        assert_eq!(read(&head), Err(FrameFault::TooLong));
        assert_eq!(read(&[0x82, 0xfe, 0x10, 0x01]), Err(FrameFault::TooLong));
        assert_eq!(read(&masked(0x82, &[0; MOST])), Ok(vec![Said::Words]));
        assert_eq!(FrameFault::TooLong.code(), 1009);
    }

    proptest! {
        #[test]
        fn nothing_is_too_odd(bytes: Vec<u8>) {
            let _ = read(&bytes);
        }

        #[test]
        fn pieces_do_not_matter(parts in prop::collection::vec(0usize..300, 1..5), piece in 1usize..50) {
            let all: Vec<u8> = parts
                .iter()
                .flat_map(|length| masked(0x82, &vec![7; *length]))
                .collect();
            let mut reader = Reader::default();
            let mut count = 0;
            for piece in all.chunks(piece) {
                reader.take(piece);
                while let Some(said) = reader.poll_frame().unwrap() {
                    prop_assert_eq!(said, Said::Words);
                    count += 1;
                }
            }
            prop_assert_eq!(count, parts.len());
            prop_assert!(reader.buffer.is_empty());
        }
    }

    fn read(bytes: &[u8]) -> Result<Vec<Said>, FrameFault> {
        let mut reader = Reader::default();
        reader.take(bytes);
        let mut all = Vec::new();
        while let Some(said) = reader.poll_frame()? {
            all.push(said);
        }
        Ok(all)
    }

    /// A frame as a client writes it.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first];
        match u8::try_from(payload.len()) {
            Ok(length @ ..126) => frame.push(0x80 | length),
            _ => {
                frame.push(0x80 | 126);
                frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b));
        frame
    }
}
