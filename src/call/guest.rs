//! A call that our own HTTP side has sent to us by way of a carrier: it shows a ticket, and is the call that this speaks of.
//!
//! What the ticket says counts more than what the carrier's INVITE says: whose call it is, who calls, its UUID, its tags.

use smallvec::SmallVec;

use crate::call::core::Core;
use crate::call::output::Refusal;
use crate::call::record::VENDOR_LEG;
use crate::call::refuse::Arriving;
use crate::routing::trunk::{CompanyId, Tickets, Trunk};
use crate::sip::message::Name;
use crate::twilio::ticket::{HEADER, Pass, Ticket, TicketFault};
use crate::types::number::{NotANumber, Number};
use crate::types::tag::{Origin, Tags};

/// The call that a ticket speaks of.
pub(crate) struct Guest {
    ticket: Ticket,
    /// Whose numbers it may dial.
    pub(crate) company: CompanyId,
}

impl Guest {
    /// The call of a ticket that our own HTTP side has written.
    pub(crate) fn of(ticket: Ticket, company: CompanyId) -> Self {
        Self { ticket, company }
    }

    /// Its UUID, which it has had since our HTTP side heard of it.
    pub(crate) fn uuid(&self) -> [u8; 16] {
        self.ticket.uuid.to_be_bytes()
    }

    /// Who calls.
    pub(crate) fn caller(&self) -> Option<Number> {
        self.ticket.caller
    }

    /// What is to be used up.
    pub(crate) fn pass(&self) -> Pass {
        self.ticket.pass()
    }

    /// Adds what is known of the call to its tags.
    pub(crate) fn tag(&self, tags: &mut Tags) {
        let leg = self.ticket.leg.to_string();
        let said = self.ticket.tags.iter().chain([(VENDOR_LEG, &*leg)]);
        for (key, value) in said {
            // Our own HTTP side has made them so that they are tags; what is none here is told to nobody.
            let _ = tags.add(key, value, Origin::HandOff);
        }
    }
}

impl Arriving<'_, '_> {
    /// The call that its ticket speaks of; `None`: it shows none, and needs none.
    ///
    /// # Errors
    ///
    /// When it shows none and needs one, or one that is not good for this call.
    pub(crate) fn guest(
        &self,
        core: &Core,
        trunk: &Trunk,
        dialled: Result<Number, NotANumber>,
    ) -> Result<Option<Guest>, Refusal> {
        if trunk.tickets == Tickets::Ignored {
            return Ok(None);
        }
        let head = &self.request.head;
        let shown: SmallVec<[&[u8]; 2]> = head
            .fields()
            .iter()
            .filter(|field| field.name == Name::Other)
            .filter(|field| head.raw_name(field).eq_ignore_ascii_case(HEADER.as_bytes()))
            .map(|field| head.value(field))
            .collect();
        let text = match (&*shown, trunk.tickets) {
            ([], Tickets::Required) => return Err(Refusal::NoTicket),
            ([], Tickets::Ignored | Tickets::Taken) => return Ok(None),
            ([text], _) => *text,
            (_, _) => return Err(Refusal::Ticket(TicketFault::Malformed)),
        };
        let Some(tickets) = &self.policy.tickets else {
            return Err(Refusal::Ticket(TicketFault::Forged));
        };
        let now = core.moment(self.now);
        let ticket = Ticket::check(now, text, &tickets.secrets).map_err(Refusal::Ticket)?;
        let company = tickets.companies.get(&ticket.company).copied();
        match company.filter(|_| dialled == Ok(ticket.number)) {
            Some(company) => Ok(Some(Guest { ticket, company })),
            None => Err(Refusal::Ticket(TicketFault::Foreign)),
        }
    }
}
