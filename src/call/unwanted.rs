//! Answers that nobody waits for: a 2xx that crossed our CANCEL, or of a second fork.

use std::time::Instant;

use crate::call::closing::send_bye;
use crate::call::core::{Core, Owner};
use crate::call::policy::Policy;
use crate::dialog::Dialog;
use crate::sip::flow::Flow;
use crate::sip::message::{Method, Response, ResponseEssentials};
use crate::transaction::layer::ClientId;

/// A 2xx to an INVITE that nobody waits for (a CANCEL crossed it, or it is a second fork).
pub(crate) struct Unwanted<'a, 'm> {
    pub(crate) policy: &'a Policy,
    pub(crate) id: ClientId,
    pub(crate) flow: Flow,
    pub(crate) response: &'a Response<'m>,
    pub(crate) essentials: &'a ResponseEssentials<'m>,
}

impl Unwanted<'_, '_> {
    /// Acknowledges it: whoever gets no ACK sends it for 64·T1 (RFC 3261 §13.2.2.4).
    pub(crate) fn acknowledge(&self, core: &mut Core) -> Dialog {
        let Self { essentials, .. } = self;
        let dialog = Dialog::as_uac(
            essentials,
            &self.response.head,
            essentials.to.uri,
            self.flow,
        );
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
    pub(crate) fn acknowledge_and_end(&self, now: Instant, core: &mut Core) {
        let mut dialog = self.acknowledge(core);
        send_bye(now, core, self.policy, &mut dialog, Owner::Nobody, None);
    }
}
