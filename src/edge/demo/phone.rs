//! What the carrier and the buyers have in common: writing requests and responses of a little user agent.

use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

use crate::edge::demo::trace::text;
use crate::sip::build::{BuildError, ReplyHead, Writer};
use crate::sip::flow::{Flow, ListenerId, PeerId, Transport};
use crate::sip::header::NameAddr;
use crate::sip::message::{Message, Method, Request};
use crate::types::ids::{Entropy, Mark, ShardId};

/// A user agent without a socket: messages in, messages for the edge out.
pub(super) trait Actor {
    /// Takes in a message of the edge.
    fn handle(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        out: &mut Vec<Bytes>,
    ) -> Result<(), BuildError>;

    /// When [`handle_timeout`](Self::handle_timeout) is next wanted.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Does what was to be done at [`poll_timeout`](Self::poll_timeout).
    fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Bytes>) -> Result<(), BuildError>;

    /// Whether nothing is left to be said.
    fn is_over(&self) -> bool;
}

/// Where a user agent is, and what it writes with.
pub(super) struct Phone {
    /// User part of its Contact.
    name: &'static str,
    local: SocketAddr,
    edge: Flow,
    entropy: Entropy,
    buffer: Vec<u8>,
}

/// Digest credentials of the demo's configuration: no secret.
pub(super) struct Login {
    pub(super) username: &'static str,
    pub(super) password: &'static str,
    pub(super) realm: &'static str,
}

/// One side of a dialog (RFC 3261 §12).
pub(super) struct Dialog {
    pub(super) call_id: String,
    /// Our From, with its tag.
    pub(super) local: String,
    /// Our To; with a tag once there is one.
    pub(super) remote: String,
    /// Request-URI of requests: the peer's Contact, once it is known.
    pub(super) target: String,
    /// CSeq of our last request.
    pub(super) cseq: u32,
}

impl Phone {
    pub(super) fn new(
        name: &'static str,
        local: SocketAddr,
        edge: SocketAddr,
        entropy: Entropy,
    ) -> Self {
        Self {
            name,
            local,
            edge: Flow {
                transport: Transport::Udp,
                listener: ListenerId(0),
                remote: edge,
                peer: PeerId::NOBODY,
            },
            entropy,
            buffer: Vec::new(),
        }
    }

    /// A fresh tag, Call-ID, branch, nonce or cnonce.
    pub(super) fn token(&mut self) -> String {
        let mark = Mark::new(ShardId(0), 0, &mut self.entropy);
        mark.text().into_iter().map(char::from).collect()
    }

    /// `sip:name@address`.
    pub(super) fn uri(&self) -> String {
        format!("sip:{}@{}", self.name, self.local)
    }

    /// Writes a request of `dialog` with the CSeq it stands at; `more` adds headers.
    pub(super) fn request(
        &mut self,
        dialog: &Dialog,
        method: Method<'_>,
        more: impl FnOnce(&mut Writer<'_>),
        body: &[u8],
    ) -> Result<Bytes, BuildError> {
        let branch = self.token();
        let (uri, sent_by) = (self.uri(), self.local.to_string());
        let cseq = dialog.cseq.to_string();
        let mut writer = Writer::request(&mut self.buffer, method, dialog.target.as_bytes());
        writer
            .via(Transport::Udp, &sent_by, branch.as_bytes())
            .number("Max-Forwards", 70)
            .field("From", dialog.local.as_bytes())
            .field("To", dialog.remote.as_bytes())
            .field("Call-ID", dialog.call_id.as_bytes())
            .parts("CSeq", &[cseq.as_bytes(), b" ", method.as_bytes()])
            .parts("Contact", &[b"<", uri.as_bytes(), b">"]);
        more(&mut writer);
        finish(writer, body)
    }

    /// Writes a response; `tag` is for a To without one, `more` adds headers.
    pub(super) fn reply(
        &mut self,
        request: &Request<'_>,
        status: u16,
        tag: &str,
        more: impl FnOnce(&mut Writer<'_>),
        body: &[u8],
    ) -> Result<Bytes, BuildError> {
        let uri = self.uri();
        let head = ReplyHead::new(request, &self.edge);
        let mut writer = Writer::reply(&mut self.buffer, &head, status, Some(tag.as_bytes()));
        if (101..300).contains(&status) {
            writer.parts("Contact", &[b"<", uri.as_bytes(), b">"]);
        }
        more(&mut writer);
        finish(writer, body)
    }

    /// The scratch buffer, for messages that are written elsewhere.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }
}

fn finish(mut writer: Writer<'_>, body: &[u8]) -> Result<Bytes, BuildError> {
    if !body.is_empty() {
        writer.field("Content-Type", b"application/sdp");
    }
    writer.finish(body)
}

/// The URI of a Contact as text.
pub(super) fn target(contact: Option<NameAddr<'_>>) -> Option<String> {
    contact.map(|contact| text(contact.uri).into_owned())
}

/// The session description of the party called `name` (RFC 8866). Nobody listens on its port.
pub(super) fn session(name: &str) -> String {
    format!(
        "v=0\r\no={name} 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
    )
}
