//! The call that looks for the party a transfer wants: like any other, but its caller is a call of ours.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::call::Engine;
use crate::call::a_leg::Early;
use crate::call::bridge::{Leg, OwedAck};
use crate::call::call::{Call, State};
use crate::call::core::{CallKey, Core};
use crate::call::credentials::reread;
use crate::call::output::Event;
use crate::call::record::{Outcome, Side};
use crate::call::refer::Referral;
use crate::call::registry::Arrival;
use crate::call::route::{Brief, Dialling};
use crate::call::transfer::{Joined, News};
use crate::call::within::AskedWithin;
use crate::dialog::session_timer::Asked;
use crate::routing::buyer::Buyer;
use crate::sip::build::{ReplyHead, Writer};
use crate::sip::flow::Transport;
use crate::sip::message::{Method, Response};
use crate::types::ids::{CallUuid, Mark};
use crate::types::number::Number;

impl Engine {
    /// A REFER that we carry out.
    pub(super) fn refer(&mut self, now: Instant, of: CallKey, asked: &AskedWithin<'_, '_>) {
        if self.registry.is_full() {
            self.core.event(Event::TableFull { table: "calls" });
            let reply = ReplyHead::new(asked.request, &asked.flow);
            self.core.answer(now, asked.server, &reply, 503, None);
            return;
        }
        let Some(call) = self.registry.call(of) else {
            return;
        };
        let Some(referral) = call.take_referral(now, &mut self.core, asked) else {
            return;
        };
        let key = self.registry.next_key();
        if let Some(call) = self.registry.call(of) {
            call.note_seeker(key);
        }
        match Call::seek(now, &mut self.core, key, referral) {
            Some(call) if !call.is_gone() => self.registry.insert(now, Box::new(call)),
            // It has said so.
            Some(_) => {}
            None => {
                let status = 500;
                self.core.news.push_back(News::Failed { of, status });
            }
        }
    }

    /// Tells calls of one another.
    pub(super) fn deliver_news(&mut self, now: Instant) {
        while let Some(news) = self.core.news.pop_front() {
            let key = match news {
                News::Failed { of, status } => {
                    if let Some(call) = self.registry.call(of) {
                        call.handle_transfer_failed(now, &mut self.core, status);
                    }
                    of
                }
                News::Found { of, joined } => {
                    match self.registry.call(of) {
                        Some(call) => call.join(now, &mut self.core, joined),
                        None => joined.part(now, &mut self.core, of),
                    }
                    of
                }
                News::Abandon(key) => {
                    if let Some(call) = self.registry.call(key) {
                        call.cancel_attempts(now, &mut self.core);
                        call.fail(now, &mut self.core, Outcome::CallerHungUp, Side::Caller);
                    }
                    key
                }
            };
            self.registry.attend(now, key);
        }
        self.deliver_reports(now);
    }
}

impl Call {
    /// Begins to look for the party that a transfer wants. `None`: a fault of ours.
    fn seek(now: Instant, core: &mut Core, key: CallKey, referral: Referral) -> Option<Self> {
        let uuid = CallUuid::new(&mut core.entropy);
        let wish = Wish {
            host: referral.policy.advertised(referral.flow.listener),
            transport: referral.flow.transport,
            target: referral.target,
            caller: referral.caller,
        };
        let invite = write_invite(core, key, &wish)?;
        let request = reread(&invite)?;
        let essentials = request.essentials().ok()?;
        let Referral {
            of,
            policy,
            trunk,
            user,
            target,
            caller,
            call_id,
            flow,
        } = referral;
        let dialling = Dialling {
            uuid,
            policy: &policy,
            trunk: &trunk,
            company: trunk.company,
            dialled: Ok(target),
            caller,
            moment: core.moment(now),
            guest: None,
        };
        let screened = dialling.screen();
        let (record, plan) = dialling.open(now, user, &call_id, screened);
        let mark = core.mark(key.slot);
        let asked = Asked::of(&request.head);
        let early = Early {
            transfer: Some(of),
            ..Early::new((&request, &essentials), asked, invite.clone(), flow, mark)
        };
        let plan = plan.map(|kept| {
            Box::new(Brief {
                max_forwards: 69,
                hops: 1,
                sender: flow.remote.ip(),
                kept,
            })
        });
        let arrival = Arrival::new(essentials.call_id, b"", essentials.cseq);
        let mut call = Self::new(
            (key, mark),
            of.slot,
            (arrival, &policy, trunk.clone()),
            record,
        );
        let ring_at = None;
        call.launch(now, core, (early, ring_at), plan, (&request, &essentials));
        Some(call)
    }

    /// Somebody has answered: the leg goes to the call that it was sought for.
    pub(crate) fn hand_over(
        &mut self,
        now: Instant,
        core: &mut Core,
        of: CallKey,
        (mut leg, owed): (Leg, OwedAck),
        (who, mark): (Arc<Buyer>, Mark),
        response: &Response<'_>,
    ) {
        let terms = self.policy.session.as_ref();
        let asked = Asked::of(&response.head);
        leg.agree(now, terms.and_then(|terms| terms.accepted(&asked)));
        leg.owed = Some(owed);
        let joined = Box::new(Joined {
            policy: self.policy.clone(),
            uuid: self.uuid,
            leg,
            who,
            place: self.buyer_place.take(),
            mark,
            record: self.record.take(),
            ok: Bytes::copy_from_slice(response.head.message()),
        });
        core.news.push_back(News::Found { of, joined });
        self.state = State::Gone;
    }
}

/// What a caller wants who has sent no INVITE.
pub(crate) struct Wish<'w> {
    /// Where it would have sent it.
    pub(crate) host: &'w str,
    pub(crate) transport: Transport,
    pub(crate) target: Number,
    /// `None`: it is withheld.
    pub(crate) caller: Option<Number>,
}

/// The INVITE that a caller would have sent: the number it has, the number it wants, and no offer, for nobody has one yet.
pub(crate) fn write_invite(core: &mut Core, key: CallKey, wish: &Wish<'_>) -> Option<Bytes> {
    let host = wish.host;
    let wanted = format!("sip:{}@{host}", wish.target);
    let caller = match wish.caller {
        Some(number) => format!("<sip:{number}@{host}>;tag="),
        None => "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=".to_owned(),
    };
    let (branch, tag, call_id) = (
        core.mark(key.slot).text(),
        core.mark(key.slot).text(),
        core.mark(key.slot).text(),
    );
    let mut writer = Writer::request(&mut core.buffer, Method::Invite, wanted.as_bytes());
    writer
        .via(wish.transport, host, &branch)
        .number("Max-Forwards", 70)
        .parts("From", &[caller.as_bytes(), &tag])
        .parts("To", &[b"<", wanted.as_bytes(), b">"])
        .field("Call-ID", &call_id)
        .cseq(1, Method::Invite);
    let built = writer.finish(b"");
    core.built(built)
}
