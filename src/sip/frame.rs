//! One message out of a datagram or a byte stream (RFC 3261 §18.3, RFC 5626 §3.5.1).
//!
//! On a stream the peer decides where a read ends, so what comes out depends on the bytes only, never
//! on how they were split. What is kept is bounded before it is kept.

use bytes::Bytes;

use crate::sip::chars::number;
use crate::sip::error::ParseError;
use crate::sip::name::Name;
use crate::sip::scan::{MAX_MESSAGE, line_end, scan_field};

/// The message in a datagram; `None` if there is none: a keep-alive (CRLF, NUL) or STUN (RFC 8489
/// §5, the first two bits are zero). Empty lines in front are skipped (RFC 3261 §7.5).
#[must_use]
pub fn datagram(bytes: &[u8]) -> Option<&[u8]> {
    let mut bytes = bytes;
    while let [b'\r' | b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    match bytes.first() {
        None => None,
        Some(first) if *first <= b' ' => None,
        Some(_) => Some(bytes),
    }
}

/// What a stream holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole message.
    Message(Bytes),
    /// Two empty lines: the peer wants one back (RFC 5626 §3.5.1).
    Ping,
    /// The stream cannot be read any further and is to be closed. `head` is what a response can be
    /// made from, by [`parse`](crate::sip::message::parse).
    Broken {
        /// Why.
        error: ParseError,
        /// What was there.
        head: Bytes,
    },
}

/// The largest buffer, in bytes, that an empty stream keeps.
const KEPT: usize = 4096;

/// What was cut off the front, if it is more than an empty line, and where it ends.
type Cut = (Option<Frame>, usize);

/// Cuts a byte stream into messages.
#[derive(Debug, Default)]
pub struct StreamFramer {
    buffer: Vec<u8>,
    /// How much of `buffer` has been searched for the end of a head.
    searched: usize,
    /// Length of the message that `buffer` begins with, once its head is there.
    length: Option<usize>,
    /// Whether one empty line of a ping is there.
    is_half_ping: bool,
    is_broken: bool,
}

impl StreamFramer {
    /// Starts with an empty stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream and appends what is whole to `out`. Keeps
    /// [`MAX_MESSAGE`] bytes at most. Behind a [`Frame::Broken`] nothing more comes.
    pub fn handle_bytes(&mut self, bytes: &[u8], out: &mut Vec<Frame>) {
        let mut rest = bytes;
        while !self.is_broken && !rest.is_empty() {
            let room = MAX_MESSAGE.saturating_sub(self.buffer.len());
            let (now, later) = rest.split_at(rest.len().min(room));
            self.buffer.extend_from_slice(now);
            rest = later;
            self.cut(out);
        }
    }

    /// Bytes kept for a message that is not whole.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.buffer.len()
    }

    /// Takes all that is whole from the front of the buffer.
    fn cut(&mut self, out: &mut Vec<Frame>) {
        let mut start = 0;
        loop {
            match self.next(start) {
                Ok(Some((frame, end))) => {
                    start = end;
                    out.extend(frame);
                }
                Ok(None) => break,
                Err((error, length)) => {
                    let head = self.buffer.get(start..start + length).unwrap_or_default();
                    out.push(Frame::Broken {
                        error,
                        head: Bytes::copy_from_slice(head),
                    });
                    self.is_broken = true;
                    self.buffer = Vec::new();
                    return;
                }
            }
        }
        self.buffer.drain(..start);
        // One long message is no reason to keep so much for all that come.
        if self.buffer.is_empty() && self.buffer.capacity() > KEPT {
            self.buffer = Vec::new();
        }
    }

    /// The frame that begins at `start`, and where it ends. `Ok(None)`: more bytes are needed. `Err`
    /// also says how many bytes had to be seen, so that it is the same for every split.
    fn next(&mut self, start: usize) -> Result<Option<Cut>, (ParseError, usize)> {
        let bytes = self.buffer.get(start..).unwrap_or_default();
        match bytes {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] => {
                let is_ping = self.is_half_ping;
                self.is_half_ping = !is_ping;
                return Ok(Some((is_ping.then_some(Frame::Ping), start + 2)));
            }
            [b'\r' | b'\n', ..] => return Err((ParseError::LineBreak, 0)),
            [0, ..] => return Err((ParseError::Nul, 0)),
            _ => self.is_half_ping = false,
        }
        let length = match self.length {
            Some(length) => length,
            None => {
                let unseen = bytes.get(self.searched..).unwrap_or_default();
                let Some(found) = memchr::memmem::find(unseen, b"\r\n\r\n") else {
                    if bytes.len() >= MAX_MESSAGE {
                        return Err((ParseError::MessageTooLong, MAX_MESSAGE));
                    }
                    self.searched = bytes.len().saturating_sub(3);
                    return Ok(None);
                };
                let head = self.searched + found + 4;
                let body = content_length(bytes.get(..head).unwrap_or_default());
                let length = head.saturating_add(body.map_err(|error| (error, head))?);
                if length > MAX_MESSAGE {
                    return Err((ParseError::MessageTooLong, head));
                }
                self.length = Some(length);
                length
            }
        };
        let Some(message) = bytes.get(..length) else {
            return Ok(None);
        };
        self.searched = 0;
        self.length = None;
        let frame = Frame::Message(Bytes::copy_from_slice(message));
        Ok(Some((Some(frame), start + length)))
    }
}

/// The Content-Length that `head` states; on a stream it must (RFC 3261 §18.3). A head in which a
/// header cannot be told from another is not trusted to say where the next message begins.
fn content_length(head: &[u8]) -> Result<usize, ParseError> {
    let mut at = line_end(head, 0)? + 2;
    let mut length = None;
    while at + 2 < head.len() {
        let (field, next) = scan_field(head, at)?;
        at = next;
        if field.name == Name::ContentLength {
            let value = head.get(field.value_span()).unwrap_or_default();
            let value = number(value, u32::MAX).ok_or(ParseError::ContentLength)?;
            if length.is_some_and(|length| length != value) {
                return Err(ParseError::ContentLength);
            }
            length = Some(value);
        }
    }
    let length = length.ok_or(ParseError::Missing(Name::ContentLength))?;
    usize::try_from(length).map_err(|_| ParseError::ContentLength)
}

#[cfg(test)]
mod tests;
