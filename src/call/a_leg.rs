//! The leg towards the carrier until it is answered: we are the UAS of its INVITE.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::call::abroad::Stay;
use crate::call::call::{Call, State};
use crate::call::core::{CallKey, Core};
use crate::call::early_offer::{Offers, takes_update};
use crate::call::face::Face;
use crate::call::headers::{self, Crossing};
use crate::call::output::Event;
use crate::call::provisional::Provisional;
use crate::call::record::{Outcome, Side};
use crate::call::session::write_agreed;
use crate::call::transfer::News;
use crate::call::turn::TurnId;
use crate::dialog::Dialog;
use crate::dialog::session_timer::{Agreed, Asked};
use crate::routing::trunk::{Refer, Trunk};
use crate::sip::build::{BuildError, ReplyHead, Writer};
use crate::sip::flow::{Flow, Transport};
use crate::sip::message::{Essentials, Request, Response};
use crate::transaction::layer::ServerId;
use crate::transaction::timing::{Backoff, Timing};
use crate::types::ids::Mark;

/// The caller's INVITE while it has no final answer.
pub(crate) struct Early {
    /// Its transaction; `None`: there is none, it stands for a transfer.
    pub(crate) server: Option<ServerId>,
    /// The call that is to be transferred.
    pub(crate) transfer: Option<CallKey>,
    /// A vendor has the caller: there is no transaction either.
    pub(crate) abroad: Option<Box<Stay>>,
    pub(crate) flow: Flow,
    pub(crate) reply: ReplyHead,
    /// The INVITE itself, for the next buyer.
    pub(crate) request: Bytes,
    /// CSeq of the INVITE.
    pub(crate) cseq: u32,
    /// The dialog with the caller: early from our first response with a tag on, confirmed by our 2xx.
    pub(crate) dialog: Dialog,
    /// Whether the caller takes UPDATE; `None`: it did not say.
    pub(crate) takes_update: Option<bool>,
    /// What the INVITE says of a session timer.
    pub(crate) session: Asked,
    /// How the caller wants provisional responses; `None`: as RFC 3261 has them.
    pub(crate) provisional: Option<Box<Provisional>>,
    /// Offers since the first answer; `None`: there were none.
    pub(crate) offers: Option<Box<Offers>>,
}

/// A 2xx of ours that is sent again until its ACK comes: the transaction leaves this to its user
/// (RFC 3261 §13.3.1.4). It goes out at T1, doubling up to T2, for 64·T1, on reliable transports too.
pub(crate) struct AwaitAck {
    /// CSeq of the INVITE: the ACK carries the same.
    pub(crate) cseq: u32,
    flow: Flow,
    ok: Bytes,
    resend: Backoff,
    longest: Duration,
    give_up: Instant,
}

/// What time made of an [`AwaitAck`].
pub(crate) enum Waited {
    /// Nothing, or the 2xx went out again.
    On,
    /// The ACK will not come.
    InVain,
}

impl AwaitAck {
    pub(crate) fn new(now: Instant, timing: &Timing, cseq: u32, flow: Flow, ok: Bytes) -> Self {
        Self {
            cseq,
            flow,
            ok,
            resend: Backoff::start(now, timing.t1),
            longest: timing.t2,
            give_up: now + timing.patience(),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.resend.due().min(self.give_up)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant, core: &mut Core) -> Waited {
        if self.give_up <= now {
            return Waited::InVain;
        }
        if self.resend.fire(now, self.longest) {
            core.retransmit(self.flow, self.ok.clone());
        }
        Waited::On
    }
}

impl Early {
    /// An INVITE without a transaction, which came on `flow` and says `session` of a session timer; our tag is `mark`. All is
    /// taken from it here that its answer needs, so that it is not read again then.
    pub(crate) fn new(
        (invite, essentials): (&Request<'_>, &Essentials<'_>),
        session: Asked,
        request: Bytes,
        flow: Flow,
        mark: Mark,
    ) -> Self {
        Self {
            server: None,
            transfer: None,
            abroad: None,
            flow,
            reply: ReplyHead::new(invite, &flow),
            request,
            cseq: essentials.cseq,
            dialog: Dialog::as_uas(essentials, &invite.head, &mark.text(), flow),
            takes_update: takes_update(&invite.head),
            session,
            provisional: None,
            offers: None,
        }
    }

    /// Takes note of a request of the caller's; `false` if its CSeq goes back (RFC 3261 §12.2.2).
    pub(crate) fn advance(&mut self, cseq: u32) -> bool {
        self.dialog.advance(cseq, self.flow)
    }

    /// Answers the INVITE: the buyer's status and body, our own tag and Contact. Returns what went out. Where another
    /// exchange `is_settled`, the body stays here: the caller would take it for the answer to its first offer.
    pub(crate) fn accept(
        &self,
        now: Instant,
        core: &mut Core,
        face: Face<'_>,
        tag: &[u8],
        with: (&Response<'_>, Crossing<'_>),
        (agreed, refer, is_settled): (Option<Agreed>, Refer, bool),
    ) -> Option<Bytes> {
        let (whole, head) = if is_settled {
            (None, Some(with))
        } else {
            (Some(with), None)
        };
        let built = write_reply_with(
            &mut core.buffer,
            &self.reply,
            200,
            tag,
            face,
            self.flow,
            whole,
            |writer| {
                headers::write_refer(writer, refer);
                write_agreed(writer, agreed);
                if let Some((with, crossing)) = head {
                    crossing.pass_refusal(writer, &with.head);
                }
            },
        );
        core.respond(now, self.server?, (&self.reply, tag), 200, built)
    }

    /// Refuses the INVITE with `status`; `why` goes into Reason (RFC 3326).
    pub(crate) fn refuse(&self, now: Instant, core: &mut Core, tag: &[u8], status: u16, why: &str) {
        if let Some(stay) = &self.abroad {
            stay.end(core, why, status);
        }
        if let Some(of) = self.transfer {
            core.news.push_back(News::Failed { of, status });
        }
        let Some(server) = self.server else {
            return;
        };
        let mut writer = Writer::reply(&mut core.buffer, &self.reply, status, Some(tag));
        write_reason(&mut writer, status, why);
        if status == 503 {
            writer.number("Retry-After", RETRY_AFTER);
        }
        let built = writer.finish(b"");
        core.respond(now, server, (&self.reply, tag), status, built);
    }
}

/// Seconds after which a caller may try again what we could not take.
pub(crate) const RETRY_AFTER: u32 = 5;

/// Writes a response within a dialog: Contact and Allow are ours, the body is the other leg's.
pub(crate) fn write_reply(
    buffer: &mut Vec<u8>,
    reply: &ReplyHead,
    status: u16,
    tag: &[u8],
    face: Face<'_>,
    flow: Flow,
    other: Option<(&Response<'_>, Crossing<'_>)>,
) -> Result<Bytes, BuildError> {
    write_reply_with(buffer, reply, status, tag, face, flow, other, |_| {})
}

/// The same, with `more` headers.
#[expect(
    clippy::too_many_arguments,
    reason = "what each response of ours takes"
)]
pub(crate) fn write_reply_with(
    buffer: &mut Vec<u8>,
    reply: &ReplyHead,
    status: u16,
    tag: &[u8],
    face: Face<'_>,
    flow: Flow,
    other: Option<(&Response<'_>, Crossing<'_>)>,
    more: impl FnOnce(&mut Writer<'_>),
) -> Result<Bytes, BuildError> {
    let mut writer = Writer::reply(buffer, reply, status, Some(tag));
    if status < 300 {
        write_contact(&mut writer, face, flow, reply.is_secure());
        if status >= 200 {
            writer.field("Allow", headers::ALLOW);
        }
    }
    if let Some(product) = &face.policy.product {
        writer.field("Server", product.as_bytes());
    }
    more(&mut writer);
    let Some((other, crossing)) = other else {
        return writer.finish(b"");
    };
    crossing.pass_response(&mut writer, &other.head);
    writer.finish(other.head.body())
}

/// Our Contact on a flow; `is_secure`: the peer was called by a `sips:` URI, or called us by one.
pub(crate) fn write_contact(writer: &mut Writer<'_>, face: Face<'_>, flow: Flow, is_secure: bool) {
    let advertise = face.advertised(flow.listener).as_bytes();
    let (scheme, transport): (&[u8], &[u8]) = match flow.transport {
        Transport::Udp => (b"<sip:", b">"),
        Transport::Tcp => (b"<sip:", b";transport=tcp>"),
        Transport::Tls if is_secure => (b"<sips:", b">"),
        Transport::Tls => (b"<sip:", b";transport=tls>"),
    };
    writer.parts("Contact", &[scheme, advertise, transport]);
}

/// `Reason: SIP;cause=486;text="all_busy"` (RFC 3326).
pub(crate) fn write_reason(writer: &mut Writer<'_>, status: u16, why: &str) {
    let mut digits = itoa::Buffer::new();
    writer.parts(
        "Reason",
        &[
            b"SIP;cause=",
            digits.format(status).as_bytes(),
            b";text=\"",
            why.as_bytes(),
            b"\"",
        ],
    );
}

impl Call {
    /// Ends a call that no buyer has answered: a final response to the caller, and the record.
    pub(crate) fn fail(&mut self, now: Instant, core: &mut Core, outcome: Outcome, by: Side) {
        let early = match &self.state {
            State::Hunting(hunting) => &hunting.early,
            State::Asking(asking) => &asking.early,
            State::Abroad(_) | State::Talking(_) | State::Ending(_) | State::Gone => return,
        };
        let status = Self::status_for(&self.trunk, outcome);
        early.refuse(now, core, &self.caller_mark.text(), status, outcome.label());
        self.settle(now, core, outcome, status, by);
        self.state = State::Gone;
    }

    /// The caller gave up (CANCEL, or BYE in the early dialog): 487 to its INVITE, CANCEL to the buyer.
    /// A CANCEL that comes after our final response changes nothing (RFC 3261 §9.2).
    pub(crate) fn handle_caller_gone(
        &mut self,
        now: Instant,
        core: &mut Core,
        flow: Flow,
        request: &Request<'_>,
    ) {
        self.drop_asking(now, core, Outcome::CallerHungUp);
        for turn in self.turn_ids() {
            let Some(attempt) = self.state.attempt(turn) else {
                continue;
            };
            let crossing = Crossing::from(
                Side::Caller,
                &self.policy,
                (&self.trunk, &attempt.buyer),
                flow.remote.ip(),
                self.policy.advertised(attempt.flow.listener),
            );
            let lines = core.last_words(crossing, request);
            self.cancel_attempt(now, core, turn, lines.as_deref());
        }
        self.fail(now, core, Outcome::CallerHungUp, Side::Caller);
    }

    /// The status that a caller gets for an outcome, unless its trunk wants another.
    pub(crate) fn status_for(trunk: &Trunk, outcome: Outcome) -> u16 {
        Self::status_by_label(trunk, outcome.label()).unwrap_or_else(|| status_of(outcome))
    }

    /// The status that a trunk wants for an outcome or a refusal; `None`: the usual one.
    pub(crate) fn status_by_label(trunk: &Trunk, label: &str) -> Option<u16> {
        let mut answers = trunk.answers.iter();
        let found = answers.find(|(known, _)| **known == *label);
        found.map(|(_, status)| *status)
    }

    /// Tells that the caller hears ringing for the first time.
    pub(crate) fn note_ringing(&mut self, now: Instant) {
        if let Some(record) = &mut self.record {
            record.rang.get_or_insert(now);
        }
    }

    /// Tells that the buyer of a turn answered.
    pub(crate) fn note_answer(&mut self, now: Instant, core: &mut Core, turn: TurnId) {
        let Some(record) = &mut self.record else {
            return;
        };
        record.answered = Some(now);
        if let Some(attempt) = self.state.attempt(turn) {
            core.event(Event::Answered {
                uuid: record.uuid,
                buyer: attempt.buyer.clone(),
                setup: now.saturating_duration_since(record.began),
                post_dial_delay: record
                    .rang
                    .map(|rang| rang.saturating_duration_since(record.began)),
            });
        }
    }
}

/// The status that a caller gets for an outcome: 404, 486 and 603 speak of this call and stop the carrier
/// from trying again; 503 speaks of this node.
fn status_of(outcome: Outcome) -> u16 {
    match outcome {
        Outcome::CallerHungUp => 487,
        Outcome::NotANumber | Outcome::NumberUnknown | Outcome::NumberDisabled => 404,
        Outcome::NumberIncomplete => 484,
        Outcome::NoBuyer
        | Outcome::NoAnswer
        | Outcome::AllClosed
        | Outcome::NoMatch
        | Outcome::AllDuplicate
        | Outcome::AllDown
        | Outcome::CallerBlocked => 603,
        Outcome::AllBusy | Outcome::AllCapped => 486,
        Outcome::Internal => 500,
        Outcome::Stopped | Outcome::Unkept | Outcome::NoMedia | Outcome::MediaFailed => 503,
        Outcome::NoPrack | Outcome::VendorSilent => 504,
        // Answered: the caller has its 200.
        Outcome::Completed
        | Outcome::NoAck
        | Outcome::LegLost
        | Outcome::SessionExpired
        | Outcome::MediaSilent
        | Outcome::TimeLimit => 200,
    }
}
