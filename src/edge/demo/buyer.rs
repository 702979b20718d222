//! The little buyer: is busy, or wants credentials, or rings and answers, as it is told.

use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::auth::digest::{Account, Credentials, verify};
use crate::edge::demo::phone::{Actor, Dialog, Login, Phone, session, target};
use crate::edge::demo::trace::text;
use crate::sip::build::{BuildError, Writer};
use crate::sip::message::Name;
use crate::sip::message::{Message, Method, Request, Response};
use crate::types::secret::Secret;

/// What a buyer does when it is called.
pub(super) enum Plan {
    /// It says 486.
    Busy,
    /// It rings, and answers.
    Answer {
        /// What it wants to be shown first; `None`: it takes any call.
        login: Option<Login>,
        /// How long it rings.
        rings: Duration,
        /// How long it talks before it hangs up; `None`: it waits for the other side.
        talks: Option<Duration>,
    },
}

/// One buyer during one call.
pub(super) struct Buyer {
    phone: Phone,
    plan: &'static Plan,
    /// Our tag in this call.
    tag: String,
    nonce: String,
    state: State,
    /// What it was offered, one after the other.
    pub(super) invites: Vec<Invite>,
}

/// An INVITE as the buyer saw it.
pub(super) struct Invite {
    pub(super) call_id: Vec<u8>,
    /// Headers whose name begins with `X-PH-` in any case, spelled as they came.
    pub(super) x_ph: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

enum State {
    /// Nobody has called, or all is said.
    Quiet,
    /// A refusal waits for its ACK.
    Refused,
    /// 180 was sent; `answer` is the 200.
    Ringing {
        answer: Bytes,
        dialog: Dialog,
        until: Instant,
    },
    /// 200 was sent.
    Answered(Dialog),
    /// The ACK came.
    Talking {
        dialog: Dialog,
        until: Option<Instant>,
    },
    /// BYE was sent.
    HangingUp,
}

impl Buyer {
    pub(super) fn new(mut phone: Phone, plan: &'static Plan) -> Self {
        Self {
            tag: phone.token(),
            nonce: phone.token(),
            phone,
            plan,
            state: State::Quiet,
            invites: Vec::new(),
        }
    }

    fn handle_request(
        &mut self,
        now: Instant,
        request: &Request<'_>,
        out: &mut Vec<Bytes>,
    ) -> Result<(), BuildError> {
        if request.method == Method::Invite {
            out.push(self.handle_invite(now, request)?);
        } else if request.method == Method::Ack {
            self.handle_ack(now);
        } else if request.method == Method::Bye {
            out.push(self.reply(request, 200)?);
            self.state = State::Quiet;
        } else {
            out.push(self.reply(request, 501)?);
        }
        Ok(())
    }

    /// Makes the answer to an INVITE: the first one, if it rings.
    fn handle_invite(&mut self, now: Instant, request: &Request<'_>) -> Result<Bytes, BuildError> {
        self.invites.push(Invite::new(request));
        match self.plan {
            Plan::Busy => {
                self.state = State::Refused;
                self.reply(request, 486)
            }
            Plan::Answer {
                login: Some(login), ..
            } if !self.knows(request, login) => {
                self.state = State::Refused;
                self.challenge(request, login.realm)
            }
            Plan::Answer { rings, .. } => self.ring(request, now + *rings),
        }
    }

    fn reply(&mut self, request: &Request<'_>, status: u16) -> Result<Bytes, BuildError> {
        self.phone.reply(request, status, &self.tag, |_| {}, b"")
    }

    fn challenge(&mut self, request: &Request<'_>, realm: &str) -> Result<Bytes, BuildError> {
        let nonce = &self.nonce;
        let value =
            format!("Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\", algorithm=SHA-256");
        let write = |writer: &mut Writer<'_>| {
            writer.field("Proxy-Authenticate", value.as_bytes());
        };
        self.phone.reply(request, 407, &self.tag, write, b"")
    }

    /// Whether `request` shows the credentials of `login`, made for our nonce.
    fn knows(&self, request: &Request<'_>, login: &Login) -> bool {
        let Some(value) = request.head.first(Name::ProxyAuthorization) else {
            return false;
        };
        let Ok(credentials) = Credentials::parse(value) else {
            return false;
        };
        let password = Secret::new(login.password.as_bytes());
        let account = Account::from_password(login.username, login.realm, &password);
        credentials.username.is(login.username.as_bytes())
            && credentials.realm.is(login.realm.as_bytes())
            && credentials.nonce.is(self.nonce.as_bytes())
            && credentials.uri.is(request.uri)
            && verify(&credentials, request.method.as_bytes(), Some(&account))
    }

    fn ring(&mut self, request: &Request<'_>, until: Instant) -> Result<Bytes, BuildError> {
        let Ok(essentials) = request.essentials() else {
            return self.reply(request, 400);
        };
        let (from, to) = (text(essentials.from.text), text(essentials.to.text));
        let dialog = Dialog {
            call_id: text(essentials.call_id).into_owned(),
            local: format!("{to};tag={}", self.tag),
            remote: from.into_owned(),
            target: target(essentials.contact).unwrap_or_default(),
            cseq: 0,
        };
        let session = session("buyer");
        let answer = self
            .phone
            .reply(request, 200, &self.tag, |_| {}, session.as_bytes())?;
        self.state = State::Ringing {
            answer,
            dialog,
            until,
        };
        self.phone.reply(request, 180, &self.tag, |_| {}, b"")
    }

    fn handle_ack(&mut self, now: Instant) {
        self.state = match mem::replace(&mut self.state, State::Quiet) {
            State::Refused => State::Quiet,
            State::Answered(dialog) => State::Talking {
                dialog,
                until: self.plan.talks().map(|time| now + time),
            },
            other @ (State::Quiet
            | State::Ringing { .. }
            | State::Talking { .. }
            | State::HangingUp) => other,
        };
    }

    fn handle_response(&mut self, response: &Response<'_>) {
        if matches!(self.state, State::HangingUp) && response.status >= 200 {
            self.state = State::Quiet;
        }
    }
}

impl Actor for Buyer {
    fn handle(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        out: &mut Vec<Bytes>,
    ) -> Result<(), BuildError> {
        match message {
            Message::Request(request) => self.handle_request(now, request, out),
            Message::Response(response) => {
                self.handle_response(response);
                Ok(())
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Ringing { until, .. } => Some(*until),
            State::Talking { until, .. } => *until,
            State::Quiet | State::Refused | State::Answered(_) | State::HangingUp => None,
        }
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Bytes>) -> Result<(), BuildError> {
        if self.poll_timeout().is_none_or(|due| due > now) {
            return Ok(());
        }
        self.state = match mem::replace(&mut self.state, State::Quiet) {
            State::Ringing { answer, dialog, .. } => {
                out.push(answer);
                State::Answered(dialog)
            }
            State::Talking { mut dialog, .. } => {
                dialog.cseq += 1;
                out.push(self.phone.request(&dialog, Method::Bye, |_| {}, b"")?);
                State::HangingUp
            }
            other @ (State::Quiet | State::Refused | State::Answered(_) | State::HangingUp) => {
                other
            }
        };
        Ok(())
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Quiet)
    }
}

impl Plan {
    fn talks(&self) -> Option<Duration> {
        match self {
            Self::Busy => None,
            Self::Answer { talks, .. } => *talks,
        }
    }
}

impl Invite {
    fn new(request: &Request<'_>) -> Self {
        let head = &request.head;
        let x_ph = head.fields().iter().filter_map(|field| {
            let name = head.raw_name(field);
            let is_x_ph = name
                .get(..PREFIX.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
            let (name, value) = (text(name), text(head.value(field)));
            is_x_ph.then(|| (name.into_owned(), value.into_owned()))
        });
        Self {
            call_id: head.first(Name::CallId).unwrap_or_default().to_vec(),
            x_ph: x_ph.collect(),
            body: head.body().to_vec(),
        }
    }
}

const PREFIX: &[u8] = b"X-PH-";
