//! Writing messages: all that goes out is written here.
//!
//! A [`Writer`] appends to a buffer that its owner uses again and again. It knows how many lines it
//! wrote; a message that has more ends of lines, or a NUL, holds a value with CR, LF or NUL in it and
//! is not given out: no value, whoever chose it, can become a header of its own.

use bytes::Bytes;

use crate::sip::chars::{TOKEN, URI};
use crate::sip::flow::Transport;
use crate::sip::message::{Head, Message, Method, Request, Response, parse};
use crate::sip::name::Name;
use crate::sip::scan::Field;

pub use crate::sip::reply::{ReplyHead, reason_phrase};

/// Length of the longest message that is written, in bytes: what fits into one UDP datagram over IPv4.
pub const MAX_DATAGRAM: usize = 65_535 - 20 - 8;

/// Why there is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A name, a URI or a value held what it cannot; a fault of the code that gave it.
    #[error("a header name, a URI or a value holds a byte that it cannot")]
    Poisoned,
    /// The message would be longer than [`MAX_DATAGRAM`].
    #[error("message would be too long")]
    TooLong,
    /// The INVITE to make an ACK or a CANCEL for is none of ours.
    #[error("not an INVITE that was written here")]
    NoInvite,
}

/// Writes one message.
#[derive(Debug)]
pub struct Writer<'b> {
    buf: &'b mut Vec<u8>,
    lines: usize,
    is_poisoned: bool,
}

impl<'b> Writer<'b> {
    /// Starts a request; `buf` is cleared.
    pub fn request(buf: &'b mut Vec<u8>, method: Method<'_>, uri: &[u8]) -> Self {
        buf.clear();
        let method = method.as_bytes();
        let is_poisoned = !TOKEN.fills(method) || !URI.fills(uri);
        buf.extend_from_slice(method);
        buf.push(b' ');
        buf.extend_from_slice(uri);
        buf.extend_from_slice(b" SIP/2.0\r\n");
        Self {
            buf,
            lines: 1,
            is_poisoned,
        }
    }

    /// Starts a response; `buf` is cleared. `status` is 100 to 699.
    pub fn response(buf: &'b mut Vec<u8>, status: u16, reason: &str) -> Self {
        buf.clear();
        buf.extend_from_slice(b"SIP/2.0 ");
        buf.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
        buf.push(b' ');
        buf.extend_from_slice(reason.as_bytes());
        buf.extend_from_slice(b"\r\n");
        Self {
            buf,
            lines: 1,
            is_poisoned: !(100..700).contains(&status),
        }
    }

    /// Starts a response to the request that `reply` was made from: the status line with the standard
    /// phrase, Via, From, To, Call-ID, CSeq and, in 101 to 299, Record-Route (RFC 3261 §8.2.6.2,
    /// §12.1.1). `to_tag` is added to a To without tag.
    pub fn reply(
        buf: &'b mut Vec<u8>,
        reply: &ReplyHead,
        status: u16,
        to_tag: Option<&[u8]>,
    ) -> Self {
        let mut writer = Self::response(buf, status, reason_phrase(status));
        let (to_the_tag, behind_the_tag, record_route) = reply.parts();
        let (base_lines, route_lines) = reply.lines();
        writer.lines += base_lines;
        writer.buf.extend_from_slice(to_the_tag);
        if let Some(tag) = to_tag
            && reply.takes_tag()
        {
            writer.is_poisoned |= !TOKEN.fills(tag);
            writer.buf.extend_from_slice(b";tag=");
            writer.buf.extend_from_slice(tag);
        }
        writer.buf.extend_from_slice(behind_the_tag);
        if (101..300).contains(&status) {
            writer.lines += route_lines;
            writer.buf.extend_from_slice(record_route);
        }
        writer
    }

    /// Starts header lines that a message is to have later; `buf` is cleared.
    pub fn lines(buf: &'b mut Vec<u8>) -> Self {
        buf.clear();
        Self {
            buf,
            lines: 0,
            is_poisoned: false,
        }
    }

    /// Gives header lines for [`append`](Self::append); `None` if there are none.
    pub fn finish_lines(self) -> Result<Option<Box<[u8]>>, BuildError> {
        if self.is_poisoned || breaks(self.buf) != 2 * self.lines {
            return Err(BuildError::Poisoned);
        }
        Ok((self.lines > 0).then(|| Box::from(self.buf.as_slice())))
    }

    /// Writes the lines that [`finish_lines`](Self::finish_lines) gave.
    pub fn append(&mut self, lines: &[u8]) -> &mut Self {
        self.buf.extend_from_slice(lines);
        self.lines += memchr::memchr_iter(b'\n', lines).count();
        self
    }

    /// Writes one header.
    pub fn field(&mut self, name: &'static str, value: &[u8]) -> &mut Self {
        self.parts(name, &[value])
    }

    /// Writes one header whose name somebody else chose; one that is no name poisons the writer.
    pub fn foreign(&mut self, name: &str, value: &[u8]) -> &mut Self {
        self.is_poisoned |= !TOKEN.fills(name.as_bytes());
        self.name(name.as_bytes());
        self.buf.extend_from_slice(value);
        self.end_line()
    }

    /// Writes one header whose value comes in pieces.
    pub fn parts(&mut self, name: &'static str, pieces: &[&[u8]]) -> &mut Self {
        self.name(name.as_bytes());
        for piece in pieces {
            self.buf.extend_from_slice(piece);
        }
        self.end_line()
    }

    /// Writes one header whose value is a number.
    pub fn number(&mut self, name: &'static str, value: u32) -> &mut Self {
        self.field(name, itoa::Buffer::new().format(value).as_bytes())
    }

    /// Writes CSeq.
    pub fn cseq(&mut self, number: u32, method: Method<'_>) -> &mut Self {
        let mut digits = itoa::Buffer::new();
        let pieces = [digits.format(number).as_bytes(), b" ", method.as_bytes()];
        self.parts(Name::CSeq.text(), &pieces)
    }

    /// Writes one header whose value was received, without its folds.
    pub fn unfolded(&mut self, name: &'static str, value: &[u8]) -> &mut Self {
        self.name(name.as_bytes());
        unfold_into(self.buf, value);
        self.end_line()
    }

    /// Writes our Via; `branch` is what follows the magic cookie (RFC 3261 §8.1.1.7). The peer is asked
    /// for `rport` (RFC 3581).
    pub fn via(&mut self, transport: Transport, sent_by: &str, branch: &[u8]) -> &mut Self {
        let pieces: [&[u8]; 7] = [
            b"SIP/2.0/",
            transport.name().as_bytes(),
            b" ",
            sent_by.as_bytes(),
            b";branch=z9hG4bK",
            branch,
            b";rport",
        ];
        self.parts(Name::Via.text(), &pieces)
    }

    /// Writes a header of a received message: its canonical name where we know it, its value without
    /// folds. Content-Length is passed over, as [`finish`](Self::finish) writes it.
    pub fn copy(&mut self, head: &Head<'_>, field: &Field) -> &mut Self {
        if field.name == Name::ContentLength {
            return self;
        }
        match field.name.text() {
            "" => self.name(head.raw_name(field)),
            known => self.name(known.as_bytes()),
        };
        unfold_into(self.buf, head.value(field));
        self.end_line()
    }

    /// Writes Content-Length, the empty line and `body`, and gives the whole message.
    pub fn finish(mut self, body: &[u8]) -> Result<Bytes, BuildError> {
        let length = u32::try_from(body.len()).map_err(|_| BuildError::TooLong)?;
        self.number(Name::ContentLength.text(), length);
        self.end_line();
        if self.is_poisoned || breaks(self.buf) != 2 * self.lines {
            return Err(BuildError::Poisoned);
        }
        self.buf.extend_from_slice(body);
        if self.buf.len() > MAX_DATAGRAM {
            return Err(BuildError::TooLong);
        }
        Ok(Bytes::copy_from_slice(self.buf))
    }

    fn name(&mut self, name: &[u8]) -> &mut Self {
        self.buf.extend_from_slice(name);
        self.buf.extend_from_slice(b": ");
        self
    }

    fn end_line(&mut self) -> &mut Self {
        self.buf.extend_from_slice(b"\r\n");
        self.lines += 1;
        self
    }
}

/// How many CR, LF and NUL are in `head`.
fn breaks(head: &[u8]) -> usize {
    // In pieces that a byte can count, so that the compiler takes sixteen bytes at a time.
    let count = |piece: &[u8]| -> u8 {
        let is_break = |byte: &u8| u8::from(matches!(byte, b'\r' | b'\n' | 0));
        piece.iter().map(is_break).sum()
    };
    head.chunks(128)
        .map(|piece| usize::from(count(piece)))
        .sum()
}

/// Appends `value` with each fold made one space (RFC 3261 §7.3.1). A CR or LF that is no fold stays,
/// for the writer to see.
pub fn unfold_into(out: &mut Vec<u8>, value: &[u8]) {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\r', rest) {
        let (line, fold) = rest.split_at(at);
        let Some(mut next) = fold.strip_prefix(b"\r\n") else {
            break;
        };
        if !matches!(next.first(), Some(b' ' | b'\t')) {
            break;
        }
        while let [b' ' | b'\t', more @ ..] = next {
            next = more;
        }
        out.extend_from_slice(line);
        out.push(b' ');
        rest = next;
    }
    out.extend_from_slice(rest);
}

/// Writes the ACK of a failure response (RFC 3261 §17.1.1.3) from the bytes of our own INVITE.
pub fn ack_for_failure(
    buf: &mut Vec<u8>,
    invite: &[u8],
    response: &Response<'_>,
) -> Result<Bytes, BuildError> {
    let to = response
        .head
        .first_field(Name::To)
        .map(|to| (&response.head, to));
    within_invite(buf, invite, Method::Ack, to, b"")
}

/// Writes the CANCEL of an INVITE (RFC 3261 §9.1) from the bytes of our own INVITE. `lines` are what it
/// has besides, from [`Writer::finish_lines`].
pub fn cancel_for(buf: &mut Vec<u8>, invite: &[u8], lines: &[u8]) -> Result<Bytes, BuildError> {
    within_invite(buf, invite, Method::Cancel, None, lines)
}

/// A request of the INVITE's own transaction: same Request-URI, topmost Via, Route, From, Call-ID and
/// CSeq number. To is the INVITE's unless `to` is another.
fn within_invite(
    buf: &mut Vec<u8>,
    invite: &[u8],
    method: Method<'_>,
    to: Option<(&Head<'_>, &Field)>,
    lines: &[u8],
) -> Result<Bytes, BuildError> {
    let Ok(Message::Request(invite)) = parse(invite) else {
        return Err(BuildError::NoInvite);
    };
    let essentials = invite.essentials().map_err(|_| BuildError::NoInvite)?;
    let Request { uri, head, .. } = &invite;
    let mut writer = Writer::request(buf, method, uri);
    writer.field(Name::Via.text(), essentials.via.text);
    writer.number(Name::MaxForwards.text(), 70);
    for field in head
        .fields()
        .iter()
        .filter(|field| field.name == Name::Route)
    {
        writer.copy(head, field);
    }
    for name in [Name::From, Name::To, Name::CallId] {
        match (to, head.first_field(name)) {
            (Some((other, to)), _) if name == Name::To => writer.copy(other, to),
            (_, Some(field)) => writer.copy(head, field),
            (_, None) => return Err(BuildError::NoInvite),
        };
    }
    writer.cseq(essentials.cseq, method).append(lines);
    writer.finish(b"")
}

#[cfg(test)]
mod tests;
