//! The leg towards one buyer until it is decided: we are the UAC of its INVITE.
//!
//! Each attempt has a Call-ID, a From-tag and a branch of its own, so that nothing of one buyer's turn can
//! be taken for another's.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::call::a_leg::write_contact;
use crate::call::core::{CallKey, Core, Owner};
use crate::call::credentials::Credentials;
use crate::call::face::Face;
use crate::call::facts::{call_key, hop_token};
use crate::call::headers::{self, Crossing};
use crate::call::identity::{CallerId, without_ours};
use crate::call::output::Output;
use crate::call::policy::Policy;
use crate::call::provisional::EarlyDialog;
use crate::call::record::{Record, Side};
use crate::call::tried::Entry;
use crate::routing::buyer::{Buyer, Gateway};
use crate::routing::trunk::Trunk;
use crate::sip::build::{BuildError, Writer};
use crate::sip::extensions;
use crate::sip::flow::{Flow, ListenerId, PeerId, Transport};
use crate::sip::locate::Target;
use crate::sip::message::{Essentials, Method, Name, Request};
use crate::sip::retreaver::RetreaverHeaders;
use crate::sip::uri::{Uri, is_secure};
use crate::transaction::layer::ClientId;
use crate::types::ids::Mark;
use crate::types::secret::Secret;

/// One gateway of a buyer, whose turn it is.
pub(crate) struct Attempt {
    pub(crate) buyer: Arc<Buyer>,
    pub(crate) gateway: Arc<Gateway>,
    /// Where it is in the record; `None`: not yet, nothing is sent.
    pub(crate) entry: Option<Entry>,
    /// When its first INVITE went out.
    pub(crate) began: Instant,
    pub(crate) client: ClientId,
    pub(crate) flow: Flow,
    /// Our From-tag.
    pub(crate) mark: Mark,
    pub(crate) cseq: u32,
    /// Our INVITE as sent, for its authenticated repeat.
    pub(crate) invite: Bytes,
    /// INVITEs sent to this buyer since it last wanted a longer session interval.
    pub(crate) tries: u8,
    /// How often it wanted one.
    pub(crate) raised: u8,
    /// What the last INVITE carried; its ACK carries the same (RFC 3261 §22.1).
    pub(crate) credentials: Option<Credentials>,
    /// Whether the INVITE carried an offer; if not, the ACK will carry the answer.
    pub(crate) has_offer: bool,
    /// Or a PRACK, for the buyer may bring its offer in a reliable response.
    pub(crate) takes_offer: bool,
    /// Until when the buyer may say nothing at all; `None` once it said something.
    pub(crate) silent_until: Option<Instant>,
    /// Until when it may ring.
    pub(crate) ring_until: Instant,
    /// Where reliable provisional responses are acknowledged.
    pub(crate) early: Vec<EarlyDialog>,
    /// The buyer's 2xx, which waits for the caller's PRACK.
    pub(crate) held: Option<Bytes>,
    /// Nothing is sent yet: the gateway's name is being looked up.
    pub(crate) is_locating: bool,
    /// Whether it told of progress (18x): then the callee was reached, and no other gateway of the same buyer
    /// is tried.
    pub(crate) has_rung: bool,
}

impl Attempt {
    /// One that begins, and has nothing yet that a buyer could say.
    pub(crate) fn new(
        now: Instant,
        (buyer, gateway): (&Arc<Buyer>, &Arc<Gateway>),
        (client, mark): (ClientId, Mark),
        flow: Flow,
    ) -> Self {
        Self {
            buyer: buyer.clone(),
            gateway: gateway.clone(),
            entry: None,
            began: now,
            client,
            flow,
            mark,
            cseq: FIRST_CSEQ,
            invite: Bytes::new(),
            tries: 1,
            raised: 0,
            credentials: None,
            has_offer: false,
            takes_offer: false,
            silent_until: None,
            ring_until: now + buyer.ring_timeout,
            early: Vec::new(),
            held: None,
            is_locating: false,
            has_rung: false,
        }
    }

    /// Whether the INVITE went by TCP though the gateway is one of UDP, and nothing has come back.
    pub(crate) fn is_by_tcp_for_length(&self) -> bool {
        self.gateway.transport == Transport::Udp
            && self.flow.transport == Transport::Tcp
            && self.silent_until.is_some()
    }

    /// Whether the buyer has answered, and the caller is yet to be told.
    pub(crate) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// How many CSeqs were used in the early dialogs, at most.
    pub(crate) fn spent(&self) -> u8 {
        let early = self.early.iter();
        let spent = early.map(|early| early.dialog.cseqs_since(self.cseq));
        spent.max().unwrap_or(0)
    }

    /// When its time is over; `None`: it has answered.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let until = self.silent_until.into_iter().chain([self.ring_until]).min();
        until.filter(|_| !self.is_held())
    }
}

/// A call as it is offered to buyers.
pub(crate) struct Offer<'c, 'm> {
    pub(crate) key: CallKey,
    /// The slot that our From-tag leads to.
    pub(crate) home: u32,
    pub(crate) policy: &'c Policy,
    pub(crate) trunk: &'c Trunk,
    pub(crate) record: &'c Record,
    pub(crate) key_secret: &'c Secret,
    pub(crate) request: &'c Request<'m>,
    /// The caller's body, as the buyer gets it.
    pub(crate) body: &'c [u8],
    /// Whether the buyer may bring an offer in a reliable response.
    pub(crate) takes_offer: bool,
    pub(crate) essentials: &'c Essentials<'m>,
    /// Max-Forwards of the buyer's INVITE.
    pub(crate) max_forwards: u8,
    /// Hop count of the buyer's INVITE.
    pub(crate) hops: u8,
    /// Who sent the caller's INVITE.
    pub(crate) sender: IpAddr,
}

/// Why a buyer could not be sent anything.
pub(crate) enum NotSent {
    /// No listener reaches it, or no transaction is to be had.
    Unreachable,
    /// The INVITE could not be built.
    Unbuildable,
    /// The caller's media cannot be offered to it.
    Unfit,
    /// Whoever is to call it may not know its credentials.
    Withheld,
}

/// The longest request, in bytes, that is sent in a datagram where TCP can be had (RFC 3261 §18.1.1).
const LONGEST_DATAGRAM: usize = 1300;

/// What is new with each INVITE.
#[derive(Clone, Copy)]
struct NewLeg<'l> {
    flow: Flow,
    client: ClientId,
    mark: Mark,
    call_id: &'l [u8],
}

impl Offer<'_, '_> {
    /// Sends the INVITE to one gateway. The Call-ID is returned beside the attempt, for the record.
    pub(crate) fn make(
        &self,
        now: Instant,
        core: &mut Core,
        buyer: &Arc<Buyer>,
        gateway: &Arc<Gateway>,
        target: Target,
    ) -> Result<(Attempt, Box<[u8]>), NotSent> {
        let flow = self
            .policy
            .flow_along(gateway, target)
            .ok_or(NotSent::Unreachable)?;
        let client = {
            let Core { layer, entropy, .. } = &mut *core;
            layer.prepare(entropy).ok_or(NotSent::Unreachable)?
        };
        let mark = core.mark(self.home);
        let call_id = core.mark(self.key.slot).text();
        let leg = NewLeg {
            flow,
            client,
            mark,
            call_id: &call_id,
        };
        let mut flow = flow;
        let mut built = self.write_invite(core, buyer, &gateway.uri, &leg);
        if let Ok(invite) = &built
            && invite.len() > LONGEST_DATAGRAM
            && let Some(by_tcp) = self.flow_for_length(now, core, gateway, flow)
        {
            flow = by_tcp;
            built = self.write_invite(core, buyer, &gateway.uri, &NewLeg { flow, ..leg });
        }
        let Some(invite) = core.built(built) else {
            core.layer.release(client);
            return Err(NotSent::Unbuildable);
        };
        let sent = invite.clone();
        let owner = Owner::Attempt(self.key);
        core.transact(|layer, out| layer.send_invite(now, client, flow, sent, owner, out));
        let attempt = Attempt {
            invite,
            has_offer: !self.request.head.body().is_empty(),
            takes_offer: self.takes_offer,
            silent_until: Some(now + buyer.response_timeout),
            ..Attempt::new(now, (buyer, gateway), (client, mark), flow)
        };
        Ok((attempt, Box::from(&call_id[..])))
    }

    /// Has the gateway's name looked up; until it is found, nothing is sent.
    pub(crate) fn look_up(
        &self,
        now: Instant,
        core: &mut Core,
        buyer: &Arc<Buyer>,
        gateway: &Arc<Gateway>,
    ) -> Result<(Attempt, Box<[u8]>), NotSent> {
        let wanted = gateway.lookup.as_ref().ok_or(NotSent::Unreachable)?;
        let client = core.nobody().ok_or(NotSent::Unreachable)?;
        core.whereabouts.wait(wanted, self.key);
        core.output(Output::Resolve(wanted.clone()));
        let flow = Flow {
            transport: gateway.transport,
            listener: ListenerId(0),
            remote: gateway.address,
            peer: PeerId::NOBODY,
        };
        let name = (client, core.mark(self.home));
        let attempt = Attempt {
            has_offer: !self.request.head.body().is_empty(),
            silent_until: Some(now + LOOK_UP),
            is_locating: true,
            ..Attempt::new(now, (buyer, gateway), name, flow)
        };
        Ok((attempt, Box::default()))
    }

    /// The way for what is too long for a datagram that must not be cut up (RFC 3261 §18.1.1): TCP, if we
    /// have it and the gateway has not refused it.
    fn flow_for_length(
        &self,
        now: Instant,
        core: &Core,
        gateway: &Gateway,
        flow: Flow,
    ) -> Option<Flow> {
        let refused = core.without_tcp.get(&gateway.name);
        if flow.transport != Transport::Udp || refused.is_some_and(|until| *until > now) {
            return None;
        }
        let listener = self.policy.listener_for(Transport::Tcp, flow.remote)?;
        Some(Flow {
            transport: Transport::Tcp,
            listener,
            ..flow
        })
    }

    fn write_invite(
        &self,
        core: &mut Core,
        buyer: &Buyer,
        uri: &str,
        leg: &NewLeg<'_>,
    ) -> Result<Bytes, BuildError> {
        let NewLeg {
            flow,
            client,
            mark,
            call_id,
        } = *leg;
        let advertise = self.policy.advertised(flow.listener);
        let branch = core.layer.branch(client);
        let hop = self.record.dialled.map(|number| {
            hop_token(
                &self.policy.hop_secret,
                &mut core.entropy,
                self.hops,
                number,
            )
        });
        let key = call_key(self.key_secret, self.record.uuid);
        let uri = uri.as_bytes();
        let mut writer = Writer::request(&mut core.buffer, Method::Invite, uri);
        writer
            .via(flow.transport, advertise, &branch)
            .number("Max-Forwards", u32::from(self.max_forwards));
        let head = &self.request.head;
        let caller = CallerId::new(self.trunk, head, &self.essentials.from);
        let withheld = caller.withheld_from(buyer);
        let peers = (self.trunk, buyer);
        let crossing = Crossing::from(Side::Caller, self.policy, peers, self.sender, advertise);
        caller.write_from(&mut writer, buyer, advertise, &mark.text());
        if head.first(Name::Identity).is_some() && crossing.is_open_to(Name::Identity, withheld) {
            write_signed_to(&mut writer, self.essentials.to.uri, uri);
        } else {
            writer.parts("To", &[b"<", uri, b">"]);
        }
        writer
            .field("Call-ID", call_id)
            .cseq(FIRST_CSEQ, Method::Invite);
        caller.write_asserted(&mut writer, buyer, advertise);
        write_contact(
            &mut writer,
            Face::to_buyer(self.policy),
            flow,
            is_secure(uri),
        );
        writer.field("Allow", headers::ALLOW);
        headers::write_refer(&mut writer, buyer.refer);
        self.write_extensions(&mut writer, buyer);
        if let Some(product) = &self.policy.product {
            writer.field("User-Agent", product.as_bytes());
        }
        RetreaverHeaders {
            uuid: &self.record.uuid.text(),
            key: &key,
            afid: self.record.afid.as_deref().unwrap_or_default(),
            sid: self.record.sid.as_deref(),
            profile: buyer.x_ph_profile,
        }
        .write(&mut writer);
        if let Some(hop) = &hop {
            writer.field(headers::HOP, hop);
        }
        for (name, value) in &buyer.headers.set {
            writer.foreign(name, value.as_bytes());
        }
        crossing.pass_request(&mut writer, head, withheld);
        writer.finish(self.body)
    }
}

impl Offer<'_, '_> {
    /// Writes what the buyer may make use of.
    fn write_extensions(&self, writer: &mut Writer<'_>, buyer: &Buyer) {
        // Without an offer, a reliable response would bring one, and PRACK the answer: not every caller can, nor every call.
        let has_offer = !self.request.head.body().is_empty();
        let offers_reliable = self.takes_offer || buyer.offers_reliable && has_offer;
        match (offers_reliable, self.policy.session) {
            (true, Some(_)) => writer.field("Supported", b"100rel, timer"),
            (true, None) => writer.field("Supported", extensions::RELIABLE.as_bytes()),
            (false, Some(_)) => writer.field("Supported", extensions::TIMER.as_bytes()),
            (false, None) => writer,
        };
        if let Some(terms) = self.policy.session {
            writer.number("Session-Expires", terms.expires);
            // RFC 4028 §5: 90 s goes without saying.
            if terms.min > 90 {
                writer.number("Min-SE", terms.min);
            }
        }
    }
}

/// To of an INVITE whose caller is signed (RFC 8224 §4.1): the signature holds for the number that was
/// dialled, so that stays; the host is the buyer's.
fn write_signed_to(writer: &mut Writer<'_>, dialled: &[u8], uri: &[u8]) {
    let user = match Uri::parse(dialled) {
        Ok(Uri::Sip(dialled)) => dialled.user,
        Ok(Uri::Tel(dialled)) => Some(dialled.number),
        Ok(Uri::Other { .. }) | Err(_) => None,
    };
    let user = user.map(|user| without_ours(user, b""));
    match (user, Uri::parse(uri)) {
        (Some(user), Ok(Uri::Sip(buyer))) if !user.is_empty() => {
            writer.parts("To", &[b"<sip:", user, b"@", buyer.host_text, b">"]);
        }
        _ => {
            writer.parts("To", &[b"<", uri, b">"]);
        }
    }
}

/// How long a call waits for a name.
const LOOK_UP: Duration = Duration::from_secs(2);

/// CSeq of an attempt's first INVITE.
pub(crate) const FIRST_CSEQ: u32 = 1;
