//! Requests: which call each is for, and what it asks of it.

use std::time::Instant;

use crate::call::Engine;
use crate::call::core::Owner;
use crate::call::output::{Event, Refusal};
use crate::call::refer::replaced_tags;
use crate::call::refuse::Arriving;
use crate::call::rescue::tripwire;
use crate::call::within::AskedWithin;
use crate::routing::trunk::Refer;
use crate::sip::flow::Flow;
use crate::sip::message::{Essentials, Head, Method, Request};
use crate::transaction::key::ServerKey;
use crate::transaction::layer::{Incoming, ServerId};
use crate::types::ids::Mark;

impl Engine {
    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Request<'_>,
        bytes: &[u8],
    ) {
        let essentials = match request.essentials() {
            Ok(essentials) => essentials,
            Err(error) => {
                self.handle_malformed(now, flow, error, Some(request), bytes.len());
                return;
            }
        };
        tripwire("request");
        let incoming = self
            .core
            .transact(|layer, out| layer.receive(now, &flow, request, &essentials, out));
        let is_known = match incoming {
            Incoming::Absorbed => {
                self.core.event(Event::Repeated);
                return;
            }
            Incoming::Cancel { invite, .. } => invite.is_some(),
            Incoming::Ack | Incoming::New(_) => false,
        };
        if !is_known && let Some(shard) = self.elsewhere(request, &essentials) {
            self.forward(shard, flow, bytes);
            return;
        }
        match incoming {
            Incoming::Absorbed => {}
            Incoming::Ack => self.handle_ack(now, flow, request, &essentials),
            Incoming::Cancel { key, invite } => {
                self.note_request(request);
                self.handle_cancel(now, flow, request, key, invite, &essentials);
            }
            Incoming::New(key) if essentials.to.tag().is_some() => {
                self.note_request(request);
                self.handle_within(now, flow, request, &essentials, key);
            }
            Incoming::New(key) => {
                self.handle_outside(now, flow, request, &essentials, key, bytes);
            }
        }
    }

    fn note_request(&mut self, request: &Request<'_>) {
        self.core.event(Event::Request {
            method: request.method.label(),
        });
    }

    /// A request outside any dialog.
    fn handle_outside(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Request<'_>,
        essentials: &Essentials<'_>,
        key: ServerKey,
        bytes: &[u8],
    ) {
        let arriving = Arriving::new(now, flow, &self.policy, &self.core, request, essentials);
        if !arriving.passes_basics(&mut self.core) {
            self.note_request(request);
            return;
        }
        match request.method {
            Method::Invite if let Some(shed) = self.shed => {
                arriving.shed(&mut self.core, shed);
            }
            Method::Invite => {
                let elsewhere = if arriving.has_hops_left(&mut self.core) {
                    arriving.admit(
                        &mut self.core,
                        &mut self.gate,
                        &mut self.registry,
                        key,
                        self.closed.why(),
                        bytes,
                    )
                } else {
                    None
                };
                if let Some(shard) = elsewhere {
                    self.handed_on.note(now, key, shard);
                    self.forward(shard, flow, bytes);
                    return;
                }
            }
            Method::Options => arriving.answer_options(&mut self.core, self.closed.why()),
            Method::Bye | Method::Prack | Method::Update | Method::Info => {
                arriving.refuse(&mut self.core, Refusal::NoDialog, 481);
            }
            Method::Register
            | Method::Message
            | Method::Refer
            | Method::Notify
            | Method::Subscribe
            | Method::Publish => arriving.refuse_method(&mut self.core, 405),
            // Neither gets here: transactions tell them apart.
            Method::Ack | Method::Cancel => {}
            Method::Other(_) => arriving.refuse_method(&mut self.core, 501),
        }
        // Last: one that another shard judges is counted there.
        self.note_request(request);
    }

    /// A request within a dialog: the To-tag is ours, and leads to the call.
    fn handle_within(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Request<'_>,
        essentials: &Essentials<'_>,
        key: ServerKey,
    ) {
        let mark = essentials.to.tag().and_then(Mark::parse);
        let arriving = Arriving::new(now, flow, &self.policy, &self.core, request, essentials);
        let replaces_ours = request.method == Method::Refer && self.replaces_ours(&request.head);
        let found = mark.and_then(|mark| {
            let call = self.registry.marked(mark)?;
            let side = call.side_of(mark)?;
            call.is_of(side, essentials).then_some((call, side))
        });
        let arriving = match found {
            Some(_) => arriving.welcome(),
            None => arriving,
        };
        if !arriving.passes_basics(&mut self.core) {
            return;
        }
        tripwire("within");
        let Some((call, side)) = found else {
            if let (Method::Bye, Some(mark)) = (request.method, mark) {
                self.core.leavings.handle_bye(mark, essentials);
            }
            arriving.refuse(&mut self.core, Refusal::NoDialog, 481);
            return;
        };
        // What is refused without a transaction must not move the CSeq: sent again, it gets the same answer.
        match request.method {
            Method::Refer if call.refer(side) == Refer::Refuse => {
                return arriving.refuse_method(&mut self.core, 603);
            }
            Method::Refer if replaces_ours => {
                return arriving.refuse(&mut self.core, Refusal::Replaces, 603);
            }
            Method::Register | Method::Subscribe | Method::Publish => {
                return arriving.refuse_method(&mut self.core, 405);
            }
            Method::Prack if !call.matches_prack(side, request) => {
                return arriving.refuse(&mut self.core, Refusal::NoDialog, 481);
            }
            // Between us and this side, like BYE.
            Method::Prack => {}
            // Neither gets here: transactions tell them apart.
            Method::Ack | Method::Cancel => return,
            // Ours to answer; the other side gets one of our own.
            Method::Bye => {}
            Method::Invite
            | Method::Options
            | Method::Update
            | Method::Info
            | Method::Message
            | Method::Notify
            | Method::Refer
            | Method::Other(_) => {
                if !arriving.has_hops_left(&mut self.core) {
                    return;
                }
            }
        }
        let is_in_order = call.advance(side, essentials, flow);
        // A PRACK names what it acknowledges, and a BYE before the answer may be overtaken by one: the order says
        // nothing of them.
        let is_excused =
            request.method == Method::Prack || (request.method == Method::Bye && call.is_hunting());
        if !is_in_order && !is_excused {
            arriving.refuse(&mut self.core, Refusal::OldCSeq, 500);
            return;
        }
        if request.method == Method::Bye {
            arriving.confirm(&mut self.core, key, b"");
            call.handle_bye(now, &mut self.core, side, flow, request);
        } else if request.method == Method::Prack {
            if call.owes_answer() {
                arriving.confirm(&mut self.core, key, b"");
                call.pass_prack(now, &mut self.core, flow, request);
            } else if request.head.body().is_empty() {
                arriving.confirm(&mut self.core, key, b"");
            } else {
                let owner = Owner::RelayIn(call.key);
                match self.core.accept(now, key, flow, false, owner) {
                    Some(server) => {
                        let asked = AskedWithin {
                            side,
                            server,
                            flow,
                            request,
                            essentials,
                        };
                        call.handle_early_offer(now, &mut self.core, &asked);
                    }
                    None => arriving.refuse(&mut self.core, Refusal::Overload, 503),
                }
            }
            call.go_on_after_prack(now, &mut self.core);
        } else {
            let is_invite = request.method == Method::Invite;
            let is_ours = request.method == Method::Refer && call.refer(side) == Refer::Terminate;
            let owner = Owner::RelayIn(call.key);
            match self.core.accept(now, key, flow, is_invite, owner) {
                Some(server) => {
                    let asked = AskedWithin {
                        side,
                        server,
                        flow,
                        request,
                        essentials,
                    };
                    if is_ours {
                        let key = call.key;
                        self.refer(now, key, &asked);
                        self.registry.attend(now, key);
                        return;
                    }
                    call.handle_request_within(now, &mut self.core, &asked);
                }
                None => arriving.refuse(&mut self.core, Refusal::Overload, 503),
            }
        }
        let key = call.key;
        self.registry.attend(now, key);
    }

    /// Whether a REFER has a call of ours replaced. Its names are those of the referrer's leg, and mean nothing to the other
    /// side's equipment; a call that we are not in the way of is no business of ours.
    fn replaces_ours(&self, head: &Head<'_>) -> bool {
        replaced_tags(head).any(|tag| {
            let mark = Mark::parse(&tag);
            mark.is_some_and(|mark| mark.shard != self.core.shard || self.registry.has_mark(mark))
        })
    }

    fn handle_ack(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Request<'_>,
        essentials: &Essentials<'_>,
    ) {
        let mark = essentials.to.tag().and_then(Mark::parse);
        let found = mark.and_then(|mark| {
            let call = self.registry.marked(mark)?;
            let side = call.side_of(mark)?;
            call.is_of(side, essentials).then_some((call, side))
        });
        let Some((call, side)) = found else {
            self.core.event(Event::Stray);
            return;
        };
        tripwire("ack");
        call.handle_ack(now, &mut self.core, side, flow, request, essentials);
        let key = call.key;
        self.registry.attend(now, key);
    }

    /// CANCEL has a transaction of its own, and is answered whatever becomes of the INVITE (§9.2).
    fn handle_cancel(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Request<'_>,
        key: ServerKey,
        invite: Option<(ServerId, Owner)>,
        essentials: &Essentials<'_>,
    ) {
        let arriving = Arriving::new(now, flow, &self.policy, &self.core, request, essentials);
        let Some((invite, owner)) = invite else {
            arriving.refuse(&mut self.core, Refusal::NoDialog, 481);
            return;
        };
        let call = match owner {
            Owner::Caller(call) | Owner::RelayIn(call) => self.registry.call(call),
            Owner::Nobody
            | Owner::Attempt(_)
            | Owner::Abandoned(_)
            | Owner::Unwanted(_)
            | Owner::Parting(_)
            | Owner::AbandonedWithin
            | Owner::RelayOut(_)
            | Owner::Closing(_)
            | Owner::Prack(_)
            | Owner::Probe(_)
            | Owner::Refresh(_)
            | Owner::Move(_)
            | Owner::Transfer(_) => None,
        };
        let tag = match &call {
            Some(call) => call.caller_mark.text().to_vec(),
            None => arriving.tag_towards(&self.core, invite),
        };
        tripwire("cancel");
        arriving.confirm(&mut self.core, key, &tag);
        let Some(call) = call else {
            return;
        };
        if let Owner::RelayIn(_) = owner {
            call.handle_relay_cancel(now, &mut self.core, invite, flow, request);
        } else {
            call.handle_caller_gone(now, &mut self.core, flow, request);
        }
        let key = call.key;
        self.registry.attend(now, key);
    }
}
