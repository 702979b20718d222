//! The little carrier: calls a number, gives credentials if asked, takes what comes.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::auth::digest;
use crate::edge::demo::phone::{Actor, Dialog, Login, Phone, session, target};
use crate::edge::demo::trace::text;
use crate::sip::build::{BuildError, ack_for_failure};
use crate::sip::message::Name;
use crate::sip::message::{Message, Method, Request, Response};
use crate::types::secret::Secret;

/// How a carrier calls.
pub(super) struct Plan {
    /// Request-URI.
    pub(super) uri: &'static str,
    /// What it answers a challenge with.
    pub(super) login: Option<Login>,
    /// A header that a dishonest carrier adds.
    pub(super) forged: Option<(&'static str, &'static str)>,
    /// How long it talks before it hangs up; `None`: it waits for the other side.
    pub(super) talks: Option<Duration>,
}

/// One call of the carrier's.
pub(super) struct Carrier {
    phone: Phone,
    plan: &'static Plan,
    dialog: Dialog,
    /// The last INVITE, which the ACK of its refusal is made from.
    invite: Bytes,
    has_logged_in: bool,
    hang_up_at: Option<Instant>,
    is_over: bool,
    /// The session description that came with the answer.
    pub(super) answer: Vec<u8>,
}

impl Carrier {
    /// Places the call; the INVITE goes into `out`.
    pub(super) fn call(
        mut phone: Phone,
        plan: &'static Plan,
        out: &mut Vec<Bytes>,
    ) -> Result<Self, BuildError> {
        let host = phone.uri();
        let host = host.rsplit('@').next().unwrap_or_default();
        let dialog = Dialog {
            call_id: phone.token(),
            local: format!("\"A. Caller\" <sip:{CALLER}@{host}>;tag={}", phone.token()),
            remote: format!("<{}>", plan.uri),
            target: plan.uri.to_owned(),
            cseq: 1,
        };
        let mut carrier = Self {
            phone,
            plan,
            dialog,
            invite: Bytes::new(),
            has_logged_in: false,
            hang_up_at: None,
            is_over: false,
            answer: Vec::new(),
        };
        carrier.invite(None, out)?;
        Ok(carrier)
    }

    /// The Call-ID of the call.
    pub(super) fn call_id(&self) -> &str {
        &self.dialog.call_id
    }

    fn invite(&mut self, login: Option<&[u8]>, out: &mut Vec<Bytes>) -> Result<(), BuildError> {
        let forged = self.plan.forged;
        let invite = self.phone.request(
            &self.dialog,
            Method::Invite,
            |writer| {
                if let Some(credentials) = login {
                    writer.field("Authorization", credentials);
                }
                if let Some((name, value)) = forged {
                    writer.foreign(name, value.as_bytes());
                }
            },
            session("carrier").as_bytes(),
        )?;
        self.invite = invite.clone();
        out.push(invite);
        Ok(())
    }

    fn handle_response(
        &mut self,
        now: Instant,
        response: &Response<'_>,
        out: &mut Vec<Bytes>,
    ) -> Result<(), BuildError> {
        let Ok(essentials) = response.essentials() else {
            return Ok(());
        };
        match (essentials.method, response.status) {
            (Method::Bye, 200..) => self.is_over = true,
            (Method::Invite, 200..300) => {
                self.dialog.remote = text(essentials.to.text).into_owned();
                if let Some(target) = target(essentials.contact) {
                    self.dialog.target = target;
                }
                self.answer = response.head.body().to_vec();
                out.push(self.phone.request(&self.dialog, Method::Ack, |_| {}, b"")?);
                self.hang_up_at = self.plan.talks.map(|time| now + time);
            }
            (Method::Invite, 300..) => {
                out.push(ack_for_failure(
                    self.phone.buffer(),
                    &self.invite,
                    response,
                )?);
                match self.log_in(response) {
                    Some(credentials) => {
                        self.has_logged_in = true;
                        self.dialog.cseq += 1;
                        self.invite(Some(&credentials), out)?;
                    }
                    None => self.is_over = true,
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Answers the challenge in `response`, the first time it comes.
    fn log_in(&mut self, response: &Response<'_>) -> Option<Vec<u8>> {
        let login = self.plan.login.as_ref()?;
        if response.status != 401 || self.has_logged_in {
            return None;
        }
        let challenge = digest::strongest(response.head.all(Name::WwwAuthenticate), login.realm)?;
        let cnonce = self.phone.token();
        let answer = digest::Answer {
            username: login.username,
            password: &Secret::new(login.password.as_bytes()),
            method: b"INVITE",
            uri: self.dialog.target.as_bytes(),
            cnonce: cnonce.as_bytes(),
            count: 1,
        };
        let mut value = Vec::new();
        digest::answer(&challenge, &answer, &mut value).ok()?;
        Some(value)
    }

    fn handle_request(
        &mut self,
        request: &Request<'_>,
        out: &mut Vec<Bytes>,
    ) -> Result<(), BuildError> {
        if request.method == Method::Bye {
            out.push(self.phone.reply(request, 200, "", |_| {}, b"")?);
            self.is_over = true;
        }
        Ok(())
    }
}

impl Actor for Carrier {
    fn handle(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        out: &mut Vec<Bytes>,
    ) -> Result<(), BuildError> {
        match message {
            Message::Request(request) => self.handle_request(request, out),
            Message::Response(response) => self.handle_response(now, response, out),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.hang_up_at
    }

    fn handle_timeout(&mut self, now: Instant, out: &mut Vec<Bytes>) -> Result<(), BuildError> {
        if self.hang_up_at.is_some_and(|at| at <= now) {
            self.hang_up_at = None;
            self.dialog.cseq += 1;
            out.push(self.phone.request(&self.dialog, Method::Bye, |_| {}, b"")?);
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.is_over
    }
}

/// Who calls.
const CALLER: &str = "+13125550147";
