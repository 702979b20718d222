//! Answers that nobody waits for: a 2xx that crossed our CANCEL, or of a second fork.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use slab::Slab;

use crate::call::bye::{Why, send_bye};
use crate::call::core::{Core, Owner};
use crate::call::credentials::Challenged;
use crate::call::face::Face;
use crate::call::policy::Policy;
use crate::dialog::Dialog;
use crate::routing::buyer::Buyer;
use crate::sip::flow::Flow;
use crate::sip::message::{Essentials, Method, Response, ResponseEssentials};
use crate::transaction::layer::ClientId;
use crate::types::ids::Mark;

/// A 2xx to an INVITE that nobody waits for (a CANCEL crossed it, or it is a second fork).
pub(crate) struct Unwanted<'a, 'm> {
    pub(crate) policy: &'a Policy,
    pub(crate) id: ClientId,
    pub(crate) flow: Flow,
    pub(crate) response: &'a Response<'m>,
    pub(crate) essentials: &'a ResponseEssentials<'m>,
}

impl Unwanted<'_, '_> {
    /// Acknowledges it: whoever gets no ACK sends it for 64·T1 (RFC 3261 §13.2.2.4). So many CSeqs were `spent` in the
    /// early dialog.
    pub(crate) fn acknowledge(&self, core: &mut Core, spent: u8) -> Dialog {
        let Self { essentials, .. } = self;
        let mut dialog = Dialog::as_uac(
            essentials,
            &self.response.head,
            essentials.to.uri,
            self.flow,
        );
        dialog.skip_cseqs(spent);
        let branch = core.mark(0).text();
        let out = dialog.flow();
        let built = dialog
            .write_request(
                &mut core.buffer,
                Method::Ack,
                essentials.cseq,
                self.policy.advertised(out.listener),
                &branch,
                70,
            )
            .finish(b"");
        if let Some(ack) = core.built(built) {
            core.layer
                .acked(self.id, dialog.remote_tag(), out, ack.clone());
            core.transmit(out, ack);
        }
        dialog
    }

    /// Acknowledges it, and ends the dialog that it began (§9.1, §13.2.2.4).
    pub(crate) fn acknowledge_and_end(&self, now: Instant, core: &mut Core, spent: u8) {
        let mut dialog = self.acknowledge(core, spent);
        send_bye(
            now,
            core,
            Face::to_buyer(self.policy),
            &mut dialog,
            Owner::Nobody,
            &Why::Unsaid,
        );
    }

    /// The same, for a buyer that may challenge the BYE.
    pub(crate) fn acknowledge_and_part(&self, now: Instant, core: &mut Core, key: UnwantedKey) {
        // A second fork is ended without credentials.
        let spent = core.leavings.spent(key);
        core.layer.set_owner(self.id, Owner::Abandoned(spent));
        let mut dialog = self.acknowledge(core, spent);
        let owner = Owner::Parting(key);
        let face = Face::to_buyer(self.policy);
        let bye = send_bye(now, core, face, &mut dialog, owner, &Why::Unsaid);
        let mark = self.essentials.from.tag().and_then(Mark::parse);
        match bye {
            Some((_, bye)) => core.leavings.part(key, Parting { mark, dialog, bye }),
            None => core.leavings.remove(key),
        }
    }
}

/// Names one of [`Leavings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnwantedKey(u32);

/// Cancelled INVITEs to buyers that may challenge our BYE, and those BYEs. Each belongs to one client
/// transaction and goes with it, so there are never more than there may be of those.
#[derive(Default)]
pub(crate) struct Leavings {
    slots: Slab<Leaving>,
    /// Those with a BYE, by our tag in it.
    by_mark: HashMap<Mark, UnwantedKey>,
}

struct Leaving {
    buyer: Arc<Buyer>,
    /// CSeqs used in its early dialogs.
    spent: u8,
    parting: Option<Parting>,
}

/// The dialog that was begun all the same.
struct Parting {
    /// Our tag, if the buyer left it as it was.
    mark: Option<Mark>,
    dialog: Dialog,
    bye: Bytes,
}

impl Leavings {
    /// Takes an INVITE in that is being cancelled; `None` if there is nothing to remember of its buyer.
    pub(crate) fn insert(&mut self, buyer: &Arc<Buyer>, spent: u8) -> Option<UnwantedKey> {
        buyer.login.as_ref()?;
        let leaving = Leaving {
            buyer: buyer.clone(),
            spent,
            parting: None,
        };
        let key = self.slots.insert(leaving);
        Some(UnwantedKey(key as u32)) // Below the number of client transactions.
    }

    pub(crate) fn remove(&mut self, key: UnwantedKey) {
        self.take(key);
    }

    fn spent(&self, key: UnwantedKey) -> u8 {
        let leaving = self.slots.get(key.0 as usize);
        leaving.map_or(0, |leaving| leaving.spent)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The buyer said BYE itself, to our tag `mark`: ours is not sent again, should it be challenged.
    pub(crate) fn handle_bye(&mut self, mark: Mark, bye: &Essentials<'_>) {
        let Some(key) = self.by_mark.get(&mark) else {
            return;
        };
        let leaving = self.slots.get_mut(key.0 as usize);
        let parting = leaving.map(|leaving| &mut leaving.parting);
        let is_its = |parting: &mut Parting| parting.dialog.is_of(bye.call_id, bye.from.tag());
        if parting.is_some_and(|parting| parting.take_if(is_its).is_some()) {
            self.by_mark.remove(&mark);
        }
    }

    fn part(&mut self, key: UnwantedKey, parting: Parting) {
        if let Some(leaving) = self.slots.get_mut(key.0 as usize) {
            self.by_mark.extend(parting.mark.map(|mark| (mark, key)));
            leaving.parting = Some(parting);
        }
    }

    fn take(&mut self, key: UnwantedKey) -> Option<Leaving> {
        let leaving = self.slots.try_remove(key.0 as usize)?;
        if let Some(mark) = leaving.parting.as_ref().and_then(|parting| parting.mark)
            && self.by_mark.get(&mark) == Some(&key)
        {
            self.by_mark.remove(&mark);
        }
        Some(leaving)
    }
}

/// The answer to the BYE: whatever it is, it is over, but a challenge is answered once.
pub(crate) fn handle_parting_response(
    now: Instant,
    core: &mut Core,
    policy: &Policy,
    key: UnwantedKey,
    response: &Response<'_>,
) {
    if response.status < 200 {
        return;
    }
    let Some(Leaving { buyer, parting, .. }) = core.leavings.take(key) else {
        return;
    };
    if let (401 | 407, Some(parting), Some(login)) = (response.status, parting, &buyer.login) {
        let Parting {
            mut dialog, bye, ..
        } = parting;
        let challenged = Challenged {
            policy,
            login,
            sent: &bye,
            response,
        };
        challenged.repeat(now, core, &mut dialog, Owner::Nobody);
    }
}
