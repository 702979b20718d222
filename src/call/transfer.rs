//! A transfer that we carry out ourselves (REFER, RFC 3515; RFC 5589 §6): one side of an answered call asks for another
//! party in its place.
//!
//! ```text
//!   remaining               we                 referrer            target
//!      |                    |      REFER          |                   |
//!      |                    |<--------------------|                   |
//!      |                    |  202, NOTIFY 100    |                   |
//!      |                    |-------------------->|                   |
//!      |                    |  INVITE, no offer                       |     a call of its own: it hunts for buyers
//!      |                    |---------------------------------------->|
//!      |                    |  200, offer                             |
//!      |  INVITE, offer     |<----------------------------------------|
//!      |<-------------------|                     |                   |
//!      |  200, answer       |                     |                   |
//!      |------------------->|  ACK, answer                            |
//!      |               ACK  |---------------------------------------->|
//!      |<-------------------|  NOTIFY 200, BYE    |                   |
//!      |                    |-------------------->|                   |
//! ```
//!
//! What may be asked for is decided in `refer`; the buyers of the campaign are tried like those of any call, with their limits. Each transfer has a record of its own; the one before ends with it.
//!
//! A referrer that hangs up at once leaves the other side waiting; should nobody be found then, the call is over.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::call::a_leg::write_contact;
use crate::call::aftermath::conclude;
use crate::call::bridge::{Leg, OwedAck};
use crate::call::bye::{Why, send_bye};
use crate::call::call::{Call, State};
use crate::call::core::{CallKey, Core, Owner};
use crate::call::face::Face;
use crate::call::headers::{self, Crossing};
use crate::call::output::{Event, Output};
use crate::call::places::Place;
use crate::call::policy::Policy;
use crate::call::provisional::reread_response;
use crate::call::record::{Outcome, Record, Side};
use crate::routing::buyer::Buyer;
use crate::routing::caps::CapOn;
use crate::sip::message::{Method, Response, ResponseEssentials};
use crate::sip::reply::reason_phrase;
use crate::transaction::layer::ClientId;
use crate::types::ids::{CallUuid, Mark};

/// A transfer under way.
pub(crate) struct Transfer {
    /// Who asked for it, and goes.
    by: Side,
    /// The call that looks for the other party, until it has found it.
    pub(crate) seeking: Option<CallKey>,
    joining: Option<Joining>,
    /// CSeq of the REFER: it names the subscription (RFC 3515 §2.4.6).
    cseq: u32,
    /// Whether the referrer wants to be told (RFC 4488).
    is_followed: bool,
    /// The referrer has hung up.
    pub(crate) has_left: bool,
}

/// The other party is there; the remaining side is being asked.
struct Joining {
    client: ClientId,
    joined: Box<Joined>,
}

/// A leg that was found, with all that belongs to it.
pub(crate) struct Joined {
    pub(crate) policy: Arc<Policy>,
    pub(crate) uuid: CallUuid,
    pub(crate) leg: Leg,
    pub(crate) who: Arc<Buyer>,
    /// The place that it has of the buyer.
    pub(crate) place: Option<Place>,
    /// Our tag in it.
    pub(crate) mark: Mark,
    pub(crate) record: Option<Box<Record>>,
    /// Its 200, which brings the offer.
    pub(crate) ok: Bytes,
}

/// What a call that looks for somebody has to say to the one that it does it for, and the other way round.
pub(crate) enum News {
    /// Nobody was found.
    Failed { of: CallKey, status: u16 },
    /// Somebody was.
    Found { of: CallKey, joined: Box<Joined> },
    /// Nobody is wanted any more.
    Abandon(CallKey),
}

impl Transfer {
    /// One that begins; `cseq` is that of the REFER.
    pub(crate) fn new(by: Side, cseq: u32, is_followed: bool) -> Self {
        Self {
            by,
            seeking: None,
            joining: None,
            cseq,
            is_followed,
            has_left: false,
        }
    }

    /// Whether the remaining side is being asked.
    pub(crate) fn is_joining(&self) -> bool {
        self.joining.is_some()
    }
}

impl Joined {
    /// Ends it, because it is not wanted any more: acknowledged without an answer, and BYE.
    pub(crate) fn part(mut self, now: Instant, core: &mut Core, key: CallKey) {
        let face = Face::to_buyer(&self.policy);
        if let Some(owed) = self.leg.owed.take() {
            self.leg.acknowledge(core, (key, face), owed, None);
        }
        let dialog = &mut self.leg.dialog;
        send_bye(now, core, face, dialog, Owner::Nobody, &Why::Unsaid);
        if let Some(mut record) = self.record {
            (record.ended, record.outcome) = (now, Outcome::LegLost);
            (record.status, record.hung_up_by) = (200, Side::Edge);
            if conclude(now, core, &mut record)
                && let Some(place) = &self.place
            {
                place.commit(core, record.uuid, CapOn::Conversion);
            }
            core.event(Event::Ended {
                uuid: record.uuid,
                outcome: Outcome::LegLost,
                talk: record
                    .answered
                    .map(|at| now.saturating_duration_since(at))
                    .unwrap_or_default(),
            });
            core.output(Output::Record(record));
        }
        if let Some(place) = self.place {
            core.release(place);
        }
    }
}

impl Call {
    /// Which call looks for the other party.
    pub(crate) fn note_seeker(&mut self, key: CallKey) {
        if let State::Talking(talking) = &mut self.state
            && let Some(transfer) = &mut talking.transfer
        {
            transfer.seeking = Some(key);
        }
    }

    /// The referrer's progress report (RFC 3515 §2.4.4); anything but 100 is the last one.
    pub(crate) fn tell_referrer(&mut self, now: Instant, core: &mut Core, status: u16) {
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let Some(transfer) = &talking.transfer else {
            return;
        };
        let (by, cseq) = (transfer.by, transfer.cseq);
        if !transfer.is_followed || transfer.has_left {
            return;
        }
        let Some(client) = core.prepare() else {
            return;
        };
        let face = Face::towards(by, &self.policy, &self.trunk);
        let dialog = &mut talking.leg(by).dialog;
        let branch = core.layer.branch(client);
        let flow = dialog.flow();
        let ours = dialog.next_cseq();
        let advertise = face.advertised(flow.listener);
        let method = Method::Notify;
        let mut writer =
            dialog.write_request(&mut core.buffer, method, ours, advertise, &branch, 70);
        write_contact(&mut writer, face, flow, dialog.is_secure());
        let mut digits = itoa::Buffer::new();
        writer.parts("Event", &[b"refer;id=", digits.format(cseq).as_bytes()]);
        let state: &[u8] = if status == 100 {
            b"active;expires=300"
        } else {
            b"terminated;reason=noresource"
        };
        writer
            .field("Subscription-State", state)
            .field("Content-Type", b"message/sipfrag;version=2.0");
        let body = format!("SIP/2.0 {status} {}\r\n", reason_phrase(status));
        let built = writer.finish(body.as_bytes());
        match core.built(built) {
            Some(bytes) => core.send(now, client, (method, bytes), flow, Owner::Nobody),
            None => core.layer.release(client),
        }
    }

    /// Nobody was found: the call goes on as it was, unless the referrer has left it.
    pub(crate) fn handle_transfer_failed(&mut self, now: Instant, core: &mut Core, status: u16) {
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let Some(by) = talking.transfer.as_ref().map(|transfer| transfer.by) else {
            return;
        };
        self.tell_referrer(now, core, status);
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let transfer = talking.transfer.take();
        if transfer.is_some_and(|transfer| transfer.has_left) {
            self.leave(now, core, by, Outcome::Completed);
        }
    }

    /// Somebody was found: the remaining side is asked by re-INVITE, with that one's offer.
    pub(crate) fn join(&mut self, now: Instant, core: &mut Core, joined: Box<Joined>) {
        let key = self.key;
        let State::Talking(talking) = &mut self.state else {
            joined.part(now, core, key);
            return;
        };
        let transfer = talking.transfer.as_mut();
        let Some(by) = transfer.and_then(|one| one.seeking.take().map(|_| one.by)) else {
            joined.part(now, core, key);
            return;
        };
        let is_busy = talking.glare(by).is_some();
        let sent = (!is_busy)
            .then(|| self.ask_remaining(now, core, by, &joined))
            .flatten();
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        match (sent, &mut talking.transfer) {
            (Some(client), Some(transfer)) => transfer.joining = Some(Joining { client, joined }),
            (_, _) => {
                joined.part(now, core, key);
                self.handle_transfer_failed(now, core, 500);
            }
        }
    }

    fn ask_remaining(
        &mut self,
        now: Instant,
        core: &mut Core,
        by: Side,
        joined: &Joined,
    ) -> Option<ClientId> {
        let owner = Owner::Transfer(self.key);
        let State::Talking(talking) = &mut self.state else {
            return None;
        };
        let (ok, _) = reread_response(&joined.ok)?;
        if ok.head.body().is_empty() {
            return None;
        }
        let client = core.prepare()?;
        let face = Face::towards(by.other(), &self.policy, &self.trunk);
        let leg = talking.leg(by.other());
        let branch = core.layer.branch(client);
        let out = leg.dialog.flow();
        let cseq = leg.dialog.next_cseq();
        let advertise = face.advertised(out.listener);
        let method = Method::Invite;
        let buffer = &mut core.buffer;
        let mut writer = leg
            .dialog
            .write_request(buffer, method, cseq, advertise, &branch, 70);
        write_contact(&mut writer, face, out, leg.dialog.is_secure());
        writer.field("Allow", headers::ALLOW);
        leg.write_session(&mut writer, self.policy.session.as_ref());
        let crossing = Crossing::from(
            by,
            &self.policy,
            (&self.trunk, &joined.who),
            joined.leg.dialog.flow().remote.ip(),
            advertise,
        );
        crossing.pass_within(&mut writer, method, &ok.head);
        let built = writer.finish(ok.head.body());
        let Some(bytes) = core.built(built) else {
            core.layer.release(client);
            return None;
        };
        core.send(now, client, (method, bytes), out, owner);
        Some(client)
    }

    /// The remaining side's answer to that.
    pub(crate) fn handle_transfer_response(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
    ) {
        if response.status < 200 {
            return;
        }
        if response.status >= 300 {
            let is_gone = matches!(response.status, 408 | 481);
            self.handle_transfer_refused(now, core, id, is_gone);
            return;
        }
        let key = self.key;
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let Some((by, mut joined)) = take_joining(&mut talking.transfer, id) else {
            return;
        };
        core.layer.set_owner(id, Owner::AbandonedWithin);
        let face = Face::towards(by.other(), &self.policy, &self.trunk);
        let leg = talking.leg(by.other());
        if let Some(contact) = &essentials.contact {
            leg.dialog.refresh_target(contact.uri);
        }
        leg.note_refreshed(now, self.policy.session.as_ref(), response);
        if let Some((ok, _)) = reread_response(&joined.ok) {
            leg.note_told(&ok.head);
        }
        let owed = OwedAck {
            client: id,
            cseq: essentials.cseq,
            credentials: None,
        };
        let sender = leg.dialog.flow().remote.ip();
        leg.acknowledge(core, (key, face), owed, None);
        if let Some(owed) = joined.leg.owed.take() {
            let face = Face::towards(by, &self.policy, &self.trunk);
            let advertise = face.advertised(joined.leg.dialog.flow().listener);
            let peers = (&*self.trunk, &*joined.who);
            let crossing = Crossing::from(by.other(), &self.policy, peers, sender, advertise);
            let with = Some((&response.head, crossing));
            joined.leg.acknowledge(core, (key, face), owed, with);
        }
        joined.leg.note_told(&response.head);
        self.tell_referrer(now, core, 200);
        self.take_over(now, core, by, *joined);
    }

    /// The remaining side does not want to, or is not there.
    pub(crate) fn handle_transfer_refused(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
        is_gone: bool,
    ) {
        let key = self.key;
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let Some((by, joined)) = take_joining(&mut talking.transfer, id) else {
            return;
        };
        joined.part(now, core, key);
        if is_gone {
            self.leave(now, core, by.other(), Outcome::LegLost);
        } else {
            self.handle_transfer_failed(now, core, 503);
        }
    }

    /// The one who was found stands in the referrer's place, and the referrer goes.
    fn take_over(&mut self, now: Instant, core: &mut Core, by: Side, joined: Joined) {
        // The trunk's place stays with the call that it brought, and each buyer's with the buyer.
        self.write_record(now, core, Outcome::Completed, 200, by);
        let own = match by {
            Side::Caller | Side::Edge => &mut self.second_place,
            Side::Buyer => &mut self.buyer_place,
        };
        if let Some(place) = mem::replace(own, joined.place) {
            core.release(place);
        }
        self.record = joined.record;
        self.uuid = joined.uuid;
        let State::Talking(talking) = &mut self.state else {
            return;
        };
        let has_left = talking.transfer.take().is_some_and(|one| one.has_left);
        let mut old = mem::replace(talking.leg(by), joined.leg);
        match by {
            Side::Caller | Side::Edge => self.caller_mark = joined.mark,
            Side::Buyer => {
                self.buyer_mark = Some(joined.mark);
                talking.who = joined.who;
            }
        }
        if !has_left {
            let face = Face::towards(by, &self.policy, &self.trunk);
            let (dialog, why) = (&mut old.dialog, &Why::Unsaid);
            send_bye(now, core, face, dialog, Owner::Nobody, why);
        }
        self.locate_peers(now, core);
    }

    /// The referrer hangs up while its transfer is under way: the other side waits for the other party. `false`: there is
    /// no such transfer.
    pub(crate) fn is_left_waiting(&mut self, now: Instant, core: &mut Core, by: Side) -> bool {
        let State::Talking(talking) = &mut self.state else {
            return false;
        };
        let transfer = talking.transfer.as_mut();
        let Some(transfer) = transfer.filter(|one| one.by == by && !one.has_left) else {
            return false;
        };
        transfer.has_left = true;
        let leg = talking.leg(by);
        (leg.session, leg.awaiting) = (None, None);
        self.drop_relays(now, core);
        true
    }

    /// Lets go of a transfer, because the call ends; the referrer, if it has left the call already.
    pub(crate) fn drop_transfer(&mut self, now: Instant, core: &mut Core) -> Option<Side> {
        let key = self.key;
        self.tell_referrer(now, core, 487);
        let State::Talking(talking) = &mut self.state else {
            return None;
        };
        let transfer = talking.transfer.take()?;
        if let Some(seeker) = transfer.seeking {
            core.news.push_back(News::Abandon(seeker));
        }
        if let Some(Joining { client, joined }) = transfer.joining {
            core.transact(|layer, out| layer.cancel(now, client, Owner::AbandonedWithin, out));
            joined.part(now, core, key);
        }
        transfer.has_left.then_some(transfer.by)
    }
}

fn take_joining(transfer: &mut Option<Box<Transfer>>, id: ClientId) -> Option<(Side, Box<Joined>)> {
    let transfer = transfer.as_mut()?;
    let joining = transfer.joining.take_if(|one| one.client == id)?;
    Some((transfer.by, joining.joined))
}
