//! A user agent's own requests, and the edge's answers to them.

use super::{Act, Phase, Phone, Turn};
use crate::sim::client::{Client, PATIENCE};
use crate::sim::desk::SWITCH;
use crate::sim::digest;
use crate::sim::plan::Step;
use crate::sim::policy::USER;
use crate::sim::text::Msg;

impl Phone {
    pub(super) fn dial(&mut self, turn: &mut Turn<'_>) {
        if self.phase == Phase::Over || self.gives_up {
            return;
        }
        self.phase = Phase::Ringing;
        let mut invite = self.request("INVITE");
        for (name, value) in &self.plan.smuggled {
            invite = invite.with(name, *value);
        }
        if let (Some((status, challenge)), Some((password, _))) =
            (&self.challenge, self.plan.password)
        {
            self.nonce_count += 1;
            let name = if *status == 407 {
                "Proxy-Authorization"
            } else {
                "Authorization"
            };
            let (uri, count) = (invite.uri().to_owned(), self.nonce_count);
            let credentials = digest::answer(challenge, USER, password, "INVITE", &uri, count);
            invite = invite.with(name, credentials);
        }
        if let Some(header) = self.plan.reliable {
            invite = invite.with(header, "100rel");
        }
        invite = self.asking(self.capable(invite));
        (self.rseq, self.has_early_answer) = (None, false);
        let has_offer = !self.plan.is_late_offer;
        if has_offer {
            let sdp = self.body();
            invite = invite.with_sdp(&sdp);
        }
        let at = self.send(turn, "INVITE", &invite);
        self.clients[at].is_first = true;
        self.clients[at].has_offer = has_offer;
    }

    pub(super) fn give_up(&mut self, turn: &mut Turn<'_>, by_bye: bool) {
        let Some(at) = self
            .clients
            .iter()
            .rposition(|client| client.is_first && !client.is_done())
        else {
            // Between a challenge and its answer: it just does not dial again.
            self.gives_up |= self.phase == Phase::Ringing;
            return;
        };
        self.gives_up = true;
        if by_bye && self.remote_tag.is_some() {
            self.said_bye = true;
            let bye = self.request("BYE");
            self.send(turn, "BYE", &bye);
        } else if self.clients[at].status >= 100 {
            self.cancel(turn, at);
        }
        // Otherwise with the first provisional response (§9.1).
    }

    /// CANCEL has the INVITE's branch and CSeq (§9.1).
    pub(super) fn cancel(&mut self, turn: &mut Turn<'_>, at: usize) {
        let invite = &mut self.clients[at];
        invite.give_up_by(turn.now + PATIENCE);
        let (branch, cseq) = (invite.branch.clone(), invite.cseq);
        if self
            .clients
            .iter()
            .any(|client| client.branch == branch && client.method == "CANCEL")
        {
            return;
        }
        let has_tag = !self.clients[at].is_first;
        let cancel = self.request_as("CANCEL", cseq, &branch, has_tag);
        let bytes = cancel.bytes_as(self.plan.compact);
        turn.out.push(Act::Send(bytes.clone()));
        self.clients
            .push(Client::new(turn.now, branch, "CANCEL", cseq, bytes));
    }

    pub(super) fn reinvite(&mut self, turn: &mut Turn<'_>, has_offer: bool) {
        if self.is_exchanging() {
            let later = turn.now + turn.dice.millis(100, 2000);
            self.agenda.push((later, Step::Reinvite { has_offer }));
            return;
        }
        let mut invite = self.request("INVITE");
        if has_offer {
            let sdp = self.body();
            invite = invite.with_sdp(&sdp);
        }
        let invite = self.asking(invite);
        let at = self.send(turn, "INVITE", &invite);
        self.clients[at].has_offer = has_offer;
    }

    pub(super) fn hang_up(&mut self, turn: &mut Turn<'_>) {
        self.said_bye = true;
        let bye = self.request("BYE");
        self.send(turn, "BYE", &bye);
        self.end(turn);
    }

    /// The next request within the dialog, or the INVITE that begins one.
    pub(super) fn request(&mut self, method: &'static str) -> Msg {
        self.cseq += 1;
        self.branches += 1;
        let branch = format!("z9hG4bK-{}-{}", self.name, self.branches);
        self.request_as(method, self.cseq, &branch, true)
    }

    pub(super) fn request_as(&self, method: &str, cseq: u32, branch: &str, has_tag: bool) -> Msg {
        let to = match &self.remote_tag {
            Some(tag) if has_tag => format!("{};tag={tag}", self.remote),
            Some(_) | None => self.remote.clone(),
        };
        // An INVITE that was answered moved the target; its CANCEL is for the old one, but before that.
        Msg::new(format!("{method} {} SIP/2.0", self.target))
            .with(
                "Via",
                format!("SIP/2.0/UDP {};branch={branch};rport", self.addr),
            )
            .with("Max-Forwards", "70")
            .with("From", format!("{};tag={}", self.local, self.tag))
            .with("To", to)
            .with("Call-ID", self.call_id.clone())
            .with("CSeq", format!("{cseq} {method}"))
            .with("Contact", format!("<sip:{}@{}>", self.name, self.addr))
            .with("User-Agent", SWITCH)
    }

    pub(super) fn send(
        &mut self,
        turn: &mut Turn<'_>,
        method: &'static str,
        request: &Msg,
    ) -> usize {
        let bytes = request.bytes_as(self.plan.compact);
        turn.out.push(Act::Send(bytes.clone()));
        let branch = request.branch().to_owned();
        self.clients
            .push(Client::new(turn.now, branch, method, request.cseq(), bytes));
        self.clients.len() - 1
    }

    /// A body that nobody else sends.
    pub(super) fn body(&mut self) -> String {
        self.bodies += 1;
        format!(
            "v=0\r\no={name} 1 {number} IN IP4 192.0.2.99\r\ns=-\r\nc=IN IP4 192.0.2.99\r\nt=0 0\r\n\
             a=x-sim:{name} {number}\r\nm=audio {port} RTP/AVP 0\r\n",
            name = self.name,
            number = self.bodies,
            port = 10_000 + 2 * (self.bodies % 1000),
        )
    }

    pub(super) fn handle_response(&mut self, turn: &mut Turn<'_>, message: &Msg) {
        let (branch, method) = (message.branch(), message.method());
        let found = self
            .clients
            .iter()
            .position(|client| client.branch == branch && client.method == method);
        let Some(at) = found else {
            self.fault(format!("a response to nothing: {}", message.summary()));
            return;
        };
        let status = message.status();
        if !self.clients[at].hear(status) {
            turn.out.extend(self.clients[at].ack.clone().map(Act::Send));
            return;
        }
        if self.clients[at].method == "UPDATE" && (200..300).contains(&status) {
            if self.clients[at].has_offer && message.body.is_empty() {
                self.fault("an offer without an answer".to_owned());
            }
            if self.phase == Phase::Up && !self.clients[at].is_early {
                self.agreed(turn, message);
            }
        }
        if self.clients[at].method != "INVITE" {
            return;
        }
        match status {
            100 => {}
            101..200 => {
                if self.clients[at].is_first {
                    if self.remote_tag.is_none() {
                        self.remote_tag = message.tag_in_to().map(str::to_owned);
                    }
                    self.hear_ringing(turn, at, message);
                }
            }
            200..300 => self.handle_answer(turn, at, message),
            _ => self.handle_refusal(turn, at, message),
        }
        let client = &self.clients[at];
        if status < 200 && client.is_first && self.gives_up && !self.said_bye {
            self.cancel(turn, at);
        }
    }

    /// Acknowledges ringing that is reliable.
    fn hear_ringing(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) {
        let is_reliable = message.value("Require") == "100rel";
        if is_reliable != message.first("RSeq").is_some() {
            self.fault("half a reliable response".to_owned());
        }
        if is_reliable && self.plan.reliable.is_none() {
            self.fault("a reliable response that nobody asked for".to_owned());
        }
        if !is_reliable {
            if self.plan.reliable == Some("Require") {
                self.fault("a response that is not reliable".to_owned());
            }
            return;
        }
        let rseq = message.value("RSeq").parse::<u32>().expect("a number");
        if self.rseq.is_some_and(|last| rseq > last + 1) {
            // Ours may have overtaken one another, but the first must be acknowledged before the second.
            self.fault("a reliable response came too early".to_owned());
        }
        if self.rseq.is_some_and(|last| rseq != last + 1) || self.plan.never_pracks {
            return;
        }
        self.rseq = Some(rseq);
        self.has_early_answer |= !message.body.is_empty();
        let rack = format!("{rseq} {} INVITE", self.clients[at].cseq);
        let mut prack = self.request("PRACK").with("RAck", rack);
        // RFC 3262 §5: what comes reliably to an INVITE without offer is one.
        if !self.clients[at].has_offer && !message.body.is_empty() {
            let sdp = self.body();
            prack = prack.with_sdp(&sdp);
        }
        self.send(turn, "PRACK", &prack);
    }

    pub(super) fn handle_answer(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) {
        let is_first = self.clients[at].is_first;
        if is_first {
            self.heard = Some(message.status());
        }
        if self.clients[at].has_offer
            && message.body.is_empty()
            && !(is_first && self.has_early_answer)
        {
            self.fault("an offer without an answer".to_owned());
        }
        let is_agreed = is_first && self.has_early_answer;
        if !self.clients[at].has_offer && is_agreed && !message.body.is_empty() {
            self.fault("an offer after the answer to the first".to_owned());
        }
        if self.plan.never_acks && is_first {
            self.act(turn, Step::Vanish);
            return;
        }
        self.remote_tag = message.tag_in_to().map(str::to_owned);
        if let Some(contact) = message.contact() {
            contact.clone_into(&mut self.target);
        } else {
            self.fault("a 2xx without Contact".to_owned());
        }
        self.branches += 1;
        let branch = format!("z9hG4bK-{}-{}", self.name, self.branches);
        let mut ack = self.request_as("ACK", self.clients[at].cseq, &branch, true);
        if !self.clients[at].has_offer && !is_agreed {
            let sdp = self.body();
            ack = ack.with_sdp(&sdp);
        }
        let bytes = ack.bytes_as(self.plan.compact);
        self.clients[at].ack = Some(bytes.clone());
        turn.out.push(Act::Send(bytes));
        if self.phase != Phase::Over {
            self.agreed(turn, message);
        }
        if !is_first {
            return;
        }
        if self.said_bye {
            self.end(turn);
        } else {
            self.go_up(turn.now);
            if self.gives_up {
                self.hang_up(turn);
            }
        }
    }

    pub(super) fn handle_refusal(&mut self, turn: &mut Turn<'_>, at: usize, message: &Msg) {
        let (branch, cseq) = (self.clients[at].branch.clone(), self.clients[at].cseq);
        let mut ack = self
            .request_as("ACK", cseq, &branch, false)
            .without("Contact");
        ack = ack.set("To", message.value("To"));
        let bytes = ack.bytes_as(self.plan.compact);
        self.clients[at].ack = Some(bytes.clone());
        turn.out.push(Act::Send(bytes));
        let status = message.status();
        if !self.clients[at].is_first {
            // §14.1: the owner of the Call-ID waits longer.
            if status == 491 && self.phase == Phase::Up {
                let pause = if self.is_caller {
                    turn.dice.millis(2100, 4000)
                } else {
                    turn.dice.millis(0, 2000)
                };
                let again = Step::Reinvite {
                    has_offer: self.clients[at].has_offer,
                };
                self.agenda.push((turn.now + pause, again));
            }
            return;
        }
        if let (401 | 407, Some((_, pause))) = (status, self.plan.password)
            && self.nonce_count < 3
            && !self.gives_up
        {
            let name = if status == 407 {
                "Proxy-Authenticate"
            } else {
                "WWW-Authenticate"
            };
            let challenges: Vec<_> = message.all(name).map(str::to_owned).collect();
            let chosen = turn.dice.pick(&challenges);
            self.challenge = Some((status, chosen));
            self.agenda.push((turn.now + pause, Step::Dial));
            return;
        }
        self.heard = Some(status);
        self.end(turn);
    }
}
