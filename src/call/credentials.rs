//! Answering a buyer's challenge (RFC 3261 §22.2, RFC 7616): the same request once more, with credentials.
//!
//! Only for the buyer that was asked, only for the realm that its configuration names, and never from
//! one leg to the other.

use std::time::Instant;

use bytes::Bytes;

use crate::auth::digest::{self, Answer};
use crate::call::core::{Core, Owner};
use crate::call::policy::Policy;
use crate::dialog::Dialog;
use crate::routing::buyer::Login;
use crate::sip::build::Writer;
use crate::sip::flow::Flow;
use crate::sip::message::{Message, Name, Request, Response, parse};
use crate::transaction::layer::ClientId;

/// An Authorization or Proxy-Authorization header.
pub(crate) struct Credentials {
    name: &'static str,
    value: Box<[u8]>,
}

impl Credentials {
    /// Answers the challenge in `response` to the request `sent`. `None` if it holds no challenge for the
    /// login's realm that we can answer.
    pub(crate) fn answer(
        core: &mut Core,
        login: &Login,
        sent: &Request<'_>,
        response: &Response<'_>,
    ) -> Option<Self> {
        let (asked, name) = if response.status == 407 {
            (Name::ProxyAuthenticate, "Proxy-Authorization")
        } else {
            (Name::WwwAuthenticate, "Authorization")
        };
        let challenge = digest::strongest(response.head.all(asked), &login.realm)?;
        let cnonce = core.mark(0).text();
        let mut value = Vec::new();
        let answer = Answer {
            username: &login.username,
            password: &login.password,
            method: sent.method.as_bytes(),
            uri: sent.uri,
            cnonce: &cnonce,
            count: 1,
        };
        digest::answer(&challenge, &answer, &mut value).ok()?;
        Some(Self {
            name,
            value: value.into_boxed_slice(),
        })
    }

    /// Adds the header.
    pub(crate) fn write(&self, writer: &mut Writer<'_>) {
        writer.field(self.name, &self.value);
    }
}

/// What the repeat of a request differs in that was challenged, or whose session interval was too short.
pub(crate) struct Repeat<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) flow: Flow,
    pub(crate) branch: &'a [u8],
    pub(crate) cseq: u32,
    pub(crate) credentials: Option<&'a Credentials>,
    /// The session interval that the peer wants at least, in seconds.
    pub(crate) interval: Option<u32>,
}

impl Repeat<'_> {
    /// Writes `sent` again: a new branch, the next CSeq, credentials, the interval; all else as it was.
    pub(crate) fn write(&self, core: &mut Core, sent: &Request<'_>) -> Option<Bytes> {
        let mut writer = Writer::request(&mut core.buffer, sent.method, sent.uri);
        writer.via(
            self.flow.transport,
            self.policy.advertised(self.flow.listener),
            self.branch,
        );
        for field in sent.head.fields() {
            let is_interval = matches!(field.name, Name::SessionExpires | Name::MinSe);
            let is_replaced = matches!(
                field.name,
                Name::Via | Name::CSeq | Name::Authorization | Name::ProxyAuthorization
            );
            if !is_replaced && (self.interval.is_none() || !is_interval) {
                writer.copy(&sent.head, field);
            }
        }
        writer.cseq(self.cseq, sent.method);
        if let Some(credentials) = self.credentials {
            credentials.write(&mut writer);
        }
        if let Some(interval) = self.interval {
            writer.number("Session-Expires", interval);
            writer.number("Min-SE", interval);
        }
        let built = writer.finish(sent.head.body());
        core.built(built)
    }
}

/// A request of ours within a dialog with a buyer, and the buyer's challenge to it.
pub(crate) struct Challenged<'a, 'm> {
    pub(crate) policy: &'a Policy,
    pub(crate) login: &'a Login,
    pub(crate) sent: &'a Bytes,
    pub(crate) response: &'a Response<'m>,
}

/// A request that was sent once more.
pub(crate) struct Repeated {
    pub(crate) client: ClientId,
    pub(crate) sent: Bytes,
    /// What it shows; the ACK of an INVITE shows the same (RFC 3261 §22.1).
    pub(crate) credentials: Credentials,
}

impl Challenged<'_, '_> {
    /// Sends the request once more, with credentials; `None` if there are none that would do.
    pub(crate) fn repeat(
        &self,
        now: Instant,
        core: &mut Core,
        dialog: &mut Dialog,
        owner: Owner,
    ) -> Option<Repeated> {
        let sent = reread(self.sent)?;
        let credentials = Credentials::answer(core, self.login, &sent, self.response)?;
        let client = core.prepare()?;
        let branch = core.layer.branch(client);
        let flow = dialog.flow();
        let repeat = Repeat {
            policy: self.policy,
            flow,
            branch: &branch,
            cseq: dialog.next_cseq(),
            credentials: Some(&credentials),
            interval: None,
        };
        let Some(bytes) = repeat.write(core, &sent) else {
            core.layer.release(client);
            return None;
        };
        core.send(now, client, (sent.method, bytes.clone()), flow, owner);
        Some(Repeated {
            client,
            sent: bytes,
            credentials,
        })
    }
}

/// Reads back a request of our own.
pub(crate) fn reread(sent: &Bytes) -> Option<Request<'_>> {
    match parse(sent) {
        Ok(Message::Request(request)) => Some(request),
        Ok(Message::Response(_)) | Err(_) => None,
    }
}
