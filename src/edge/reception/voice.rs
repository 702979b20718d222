//! A call that comes in: what it is, and the document that sends it to our own edge.

use thiserror::Error;
use tracing::error;

use crate::call::policy::Policy;
use crate::config::twilio::{Org, Twilio};
use crate::edge::notebook::NotKept;
use crate::edge::reception::aging::Full;
use crate::edge::reception::direct::Made;
use crate::edge::reception::guest_call::{Direct, GuestCall, listed};
use crate::edge::reception::{
    HAND_OFFS, HAND_OFFS_PER_CALL, REMEMBERED, Reception, Shut, write_key, write_seen,
};
use crate::routing::screen::{self, screen};
use crate::store::Entry;
use crate::store::entry::Noted;
use crate::twilio::connect::{
    self, Claim, Companies, CompanyKey, Field, HandOff, Seen, Standing, Use,
};
use crate::twilio::dial::{Outcome, after_edge};
use crate::twilio::form::Form;
use crate::twilio::front_door::Service;
use crate::twilio::sid::CallSid;
use crate::twilio::sip_uri::UriFault;
use crate::twilio::ticket::Ticket;
use crate::twilio::twiml::{Rejection, Response, reject};
use crate::twilio::voice::{Attestation, Incoming, IncomingFault, Way};
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;
use crate::types::number::{Number, NumberPlan};
use crate::types::tag::{Origin, Tags};

/// A request about a call, of an account that has signed it.
pub(in crate::edge) struct Asked<'a> {
    pub(in crate::edge) twilio: &'a Twilio,
    pub(in crate::edge) policy: &'a Policy,
    /// Whose account it is.
    pub(in crate::edge) org: &'a Org,
    pub(in crate::edge) form: &'a Form,
    /// The parameters of the address that was asked.
    pub(in crate::edge) query: &'a Form,
}

/// Why a call does not go on to our edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(in crate::edge) enum Turned {
    /// It is no call (400).
    #[error(transparent)]
    Unreadable(#[from] IncomingFault),
    /// It was not handed over as it should be.
    #[error(transparent)]
    HandOff(#[from] connect::Refusal),
    /// What was dialled is no number, or nobody's, or another company's.
    #[error("nobody has this number")]
    NumberUnknown,
    /// The number is switched off, or its campaign is.
    #[error("the number is out of service")]
    OutOfService,
    /// It could not be taken in (503).
    #[error("cannot be taken in: {}", .0.label())]
    Shut(Shut),
    /// The document cannot be written: a fault of the configuration.
    #[error("our own edge has no address that Twilio can call")]
    NoEdge,
}

impl From<Shut> for Turned {
    fn from(shut: Shut) -> Self {
        Self::Shut(shut)
    }
}

impl From<UriFault> for Turned {
    fn from(_: UriFault) -> Self {
        Self::NoEdge
    }
}

impl From<Full> for Turned {
    fn from(fault: Full) -> Self {
        Self::Shut(fault.into())
    }
}

impl From<NotKept> for Turned {
    fn from(fault: NotKept) -> Self {
        Self::Shut(fault.into())
    }
}

impl Turned {
    /// Its name in metrics and in the log.
    pub(in crate::edge) fn label(self) -> &'static str {
        match self {
            Self::Unreadable(fault) => fault.label(),
            Self::HandOff(refusal) => refusal.label(),
            Self::NumberUnknown => "voice_number_unknown",
            Self::OutOfService => "voice_out_of_service",
            Self::Shut(shut) => shut.label(),
            Self::NoEdge => "voice_no_edge",
        }
    }

    /// The document that refuses the call, where the sender can read why; `None`: an HTTP status says it.
    pub(in crate::edge) fn document(self) -> Option<Response> {
        let told = match self {
            Self::HandOff(refusal) => refusal.told(),
            Self::NumberUnknown => "unknown_number",
            Self::OutOfService => "out_of_service",
            Self::NoEdge => "unavailable",
            Self::Unreadable(_) | Self::Shut(_) => return None,
        };
        Some(Response::of(reject(Rejection::Rejected, Some(told))))
    }
}

/// What a call is taken in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It is connected now.
    Connect,
    /// It is connected later, and what comes with it comes now.
    Register,
}

/// What a call is.
struct Wanted {
    company: CompanyKey,
    number: Number,
    is_handed_over: bool,
    tags: Tags,
    /// A hand-off, and how often it was.
    seen: Option<((CompanyKey, CallSid), Seen)>,
}

impl Reception {
    /// The document for a call that comes in: to our own edge, with a ticket, or to the buyers.
    ///
    /// # Errors
    ///
    /// When it is no call of ours, or cannot be written down.
    pub(in crate::edge) fn receive(&self, now: Moment, asked: &Asked<'_>) -> Result<Made, Turned> {
        self.take_in(now, asked, Purpose::Connect)
    }

    /// Takes a call in, for this purpose.
    pub(super) fn take_in(
        &self,
        now: Moment,
        asked: &Asked<'_>,
        purpose: Purpose,
    ) -> Result<Made, Turned> {
        let incoming = Incoming::read(asked.form, &plan())?;
        let leg = incoming.leg;
        let begun = self.book().calls.get(now, &leg).cloned();
        if let Some(call) = begun.filter(|call| call.direct.is_some() && *call.org == *asked.org.id)
        {
            return self.ask_again(now, leg, call, asked);
        }
        let mut book = self.book();
        let book = &mut *book;
        let known = book.calls.get(now, &leg).cloned();
        let mut entered = Tags::default();
        let before = known.as_ref().filter(|call| call.is_handed_over);
        for (key, value) in before.into_iter().flat_map(|call| &call.tags) {
            let _ = entered.add(key, value, Origin::HandOff);
        }
        for (key, value) in book.entered.get(now, &leg).into_iter().flatten() {
            // What is no tag is not kept.
            let _ = entered.add(key, value, Origin::HandOff);
        }
        if known
            .as_ref()
            .is_some_and(|call| *call.org != *asked.org.id)
        {
            // A leg is one account's.
            return Err(Turned::NumberUnknown);
        }
        let is_direct = |number: Option<Number>| {
            purpose == Purpose::Connect && number.is_some_and(|number| asked.is_direct(number))
        };
        if let Some(call) = &known
            && call.expires > now.millis()
            && call.has_tags(&entered)
            && !is_direct(call.number())
        {
            return asked.document(leg, call).map(Made::Document);
        }
        let wanted = asked.wanted(now, (&incoming, entered, before), |key| {
            book.hand_offs.get(now, key)
        })?;
        let calls = asked.twilio.calls;
        book.calls.make_room(now, calls, &leg);
        let uuid = CallUuid::new(&mut book.entropy);
        let is_direct = is_direct(Some(wanted.number));
        let mut call = GuestCall {
            uuid: uuid.to_string(),
            org: asked.org.id.to_string(),
            company: wanted.company.0,
            number: wanted.number.to_string(),
            is_handed_over: wanted.is_handed_over,
            caller: incoming.caller.map(|caller| caller.to_string()),
            tags: listed(&wanted.tags),
            expires: now.after(asked.twilio.ticket_time).millis(),
            direct: is_direct.then(Direct::default),
            legs: known
                .as_ref()
                .map(|call| call.legs.clone())
                .unwrap_or_default(),
            told: known.map(|call| call.told).unwrap_or_default(),
        };
        let came = match is_direct {
            true => "sent_to_buyers",
            false => "sent_to_edge",
        };
        call.note(now, "voice".to_owned(), came, Some(uuid.to_string()));
        let made = match is_direct {
            true => self.begin(leg, &call, asked, &[])?,
            false => Made::Document(asked.document(leg, &call)?),
        };
        let until = now.after(REMEMBERED);
        match wanted.seen {
            Some((key, seen)) => {
                let most = calls.saturating_mul(HAND_OFFS_PER_CALL);
                book.hand_offs.has_room(now, most, &key)?;
                let end = seen.first.after(asked.twilio.limits.remembered);
                let note = Entry::Noted(Noted {
                    realm: HAND_OFFS,
                    key: &write_key(key),
                    until: end,
                    value: &write_seen(&seen),
                });
                self.keep_call(until, leg, &call, &[note])?;
                book.hand_offs.insert(end, key, seen);
            }
            None => self.keep_call(until, leg, &call, &[])?,
        }
        book.calls.insert(until, leg, call);
        Ok(made)
    }

    /// What follows a leg to our own edge: the end, for the edge has tried everybody. What follows one to a buyer: the next.
    ///
    /// # Errors
    ///
    /// When there is a next one, and it cannot be written down.
    pub(in crate::edge) fn finish(&self, now: Moment, asked: &Asked<'_>) -> Result<Made, Turned> {
        let outcome = Outcome::read(asked.form);
        let response = Made::Document(after_edge(&outcome));
        let leg = asked.form.first("CallSid").and_then(CallSid::parse);
        let Some(leg) = leg else {
            return Ok(response);
        };
        let mut book = self.book();
        let Some(call) = book.calls.get(now, &leg) else {
            return Ok(response);
        };
        if call.direct.is_some() && *call.org == *asked.org.id {
            let call = call.clone();
            drop(book);
            return self.follow(now, (leg, call), asked);
        }
        let child = outcome.leg.map(|leg| leg.to_string()).unwrap_or_default();
        let what = format!("dial:{child}");
        if *call.org != *asked.org.id || call.has_told(&what) {
            return Ok(response);
        }
        let mut call = call.clone();
        call.note(now, what, outcome.next().label(), None);
        let until = now.after(REMEMBERED);
        // What the call goes on with does not hang on whether it can be written down.
        match self.keep_call(until, leg, &call, &[]) {
            Ok(()) => book.calls.insert(until, leg, call),
            Err(_) => error!(%leg, "how a call went on could not be written down"),
        }
        Ok(response)
    }
}

impl Asked<'_> {
    /// Whose call it is that comes in, and which number it is for.
    fn wanted<'s>(
        &self,
        now: Moment,
        (incoming, mut tags, before): (&Incoming, Tags, Option<&GuestCall>),
        seen: impl FnOnce(&(CompanyKey, CallSid)) -> Option<&'s Seen>,
    ) -> Result<Wanted, Turned> {
        let mut add = |key: &str, value: &str| {
            // What is no tag is not kept; a sender reads in the documentation what is.
            let _ = tags.add(key, value, Origin::HandOff);
        };
        if incoming.attestation != Attestation::None {
            add("attestation", incoming.attestation.label());
        }
        let (key, number, seen) = match (&incoming.way, before) {
            // Its payload came with the first request, and with no other.
            (Way::Dialled(_) | Way::SoftPhone { .. }, Some(call)) => {
                let number = call.number().ok_or(Turned::NumberUnknown)?;
                (CompanyKey(call.company), number, None)
            }
            (Way::HandOff, _) => {
                let hand_off = Claim::read(self.form)?.verify(self)?;
                let key = (hand_off.company, hand_off.original_call);
                let seen = seen(&key);
                let limits = self.twilio.limits;
                let seen = match HandOff::admit(now, incoming.leg, seen, limits)? {
                    Use::New => {
                        let mut seen = seen.cloned().unwrap_or(Seen {
                            first: now,
                            legs: Vec::new(),
                        });
                        seen.legs.push(incoming.leg);
                        Some((key, seen))
                    }
                    Use::Same => None,
                };
                add("original_to", &hand_off.original_to);
                add("original_call_sid", &hand_off.original_call.to_string());
                for (name, value) in extras(self.form) {
                    add(&name, value);
                }
                (hand_off.company, hand_off.number, seen)
            }
            (Way::Dialled(number) | Way::SoftPhone { wanted: number, .. }, None) => {
                if let Way::SoftPhone { identity, .. } = &incoming.way {
                    add("soft_phone", identity);
                }
                (
                    self.org.key,
                    number.map_err(|_| Turned::NumberUnknown)?,
                    None,
                )
            }
        };
        let org = self.twilio.org_by_key(key).ok_or(Turned::NumberUnknown)?;
        let directory = &self.policy.directory;
        let found = screen(directory, org.company, Ok(number), incoming.caller, now);
        match found {
            // What keeps it from its buyers is for the campaign's exits to decide, at the edge.
            Ok(_) => {}
            Err(screen::Refusal::NotANumber(_) | screen::Refusal::NumberUnknown) => {
                return Err(Turned::NumberUnknown);
            }
            Err(screen::Refusal::NumberDisabled { .. } | screen::Refusal::NoBuyer { .. }) => {
                return Err(Turned::OutOfService);
            }
        }
        Ok(Wanted {
            company: key,
            number,
            is_handed_over: incoming.way == Way::HandOff || before.is_some(),
            tags,
            seen,
        })
    }

    /// Whether Twilio is to call the buyers of this number itself.
    fn is_direct(&self, number: Number) -> bool {
        let directory = &self.policy.directory;
        let line = directory.numbers.get(&number);
        let campaign = line.and_then(|line| directory.campaigns.get(line.campaign.0 as usize));
        campaign.is_some_and(|campaign| campaign.is_direct)
    }

    /// What its ticket says of a call.
    pub(super) fn ticket(&self, leg: CallSid, call: &GuestCall) -> Result<Ticket, Turned> {
        let number = call.number().ok_or(Turned::NumberUnknown)?;
        Ok(Ticket {
            uuid: call.uuid(),
            number,
            company: CompanyKey(call.company),
            caller: call.caller(),
            leg,
            expires: Moment::from_millis(call.expires),
            tags: call.pairs().collect(),
        })
    }

    /// The document that sends the call to our own edge.
    fn document(&self, leg: CallSid, call: &GuestCall) -> Result<Response, Turned> {
        let all = self.ticket(leg, call)?;
        let mut ticket = Ticket {
            tags: Form::default(),
            ..all
        };
        for (key, value) in &call.tags {
            // In a header there is not room for all.
            if ticket.has_room_for(key, value) {
                ticket.tags.push(key, value);
            }
        }
        let base = &self.twilio.base;
        let action = Service::DialAction.url(base, &self.org.id, &[]);
        let status = Service::Status.url(base, &self.org.id, &[]);
        let document = self.twilio.edge.document(&ticket, &action, Some(&status));
        Ok(document?)
    }
}

impl Companies for Asked<'_> {
    fn secret(&self, company: CompanyKey) -> Standing<'_> {
        match self.twilio.org_by_key(company) {
            None => Standing::Unknown,
            Some(org) => match &org.hand_off {
                None => Standing::Disabled,
                Some(secrets) => Standing::Enabled(secrets),
            },
        }
    }

    fn owns(&self, company: CompanyKey, number: Number) -> bool {
        let directory = &self.policy.directory;
        let line = directory.numbers.get(&number);
        let campaign = line.and_then(|line| directory.campaigns.get(line.campaign.0 as usize));
        let org = self.twilio.org_by_key(company);
        campaign
            .zip(org)
            .is_some_and(|(campaign, org)| campaign.company == org.company)
    }
}

/// What a sender adds to the payload's own fields: names in lower case, as tags have them.
fn extras(form: &Form) -> impl Iterator<Item = (String, &str)> {
    form.iter().filter_map(|(name, value)| {
        let name = name.strip_prefix("Param_")?;
        let is_own = Field::ALL.iter().any(|field| field.name() == name);
        (!is_own && !name.starts_with("Retreaver")).then(|| (name.to_ascii_lowercase(), value))
    })
}

/// How Twilio writes numbers.
fn plan() -> NumberPlan {
    NumberPlan {
        country: "1".into(),
        tech_prefix: None,
        assume_e164: false,
    }
}
