//! An INVITE to a buyer once more: with credentials, because it was challenged, or with a longer session interval.

use std::time::Instant;

use crate::call::call::Call;
use crate::call::core::{Core, Owner};
use crate::call::credentials::{Credentials, Repeat, reread};
use crate::call::session::MOST_RAISED;
use crate::call::turn::TurnId;
use crate::sip::message::Response;

impl Call {
    /// Sends the INVITE once more with credentials; `false` if there are none to give, or they were
    /// given already: two INVITEs a buyer at most.
    pub(crate) fn retry_with_credentials(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        response: &Response<'_>,
    ) -> bool {
        let Some(attempt) = self.state.attempt_mut(turn) else {
            return false;
        };
        let Some(login) = &attempt.buyer.login else {
            return false;
        };
        if attempt.tries >= MOST_TRIES {
            return false;
        }
        let Some(sent) = reread(&attempt.invite) else {
            return false;
        };
        let Some(credentials) = Credentials::answer(core, login, &sent, response) else {
            return false;
        };
        attempt.tries += 1;
        self.send_again(now, core, turn, Some(credentials), None)
    }

    /// Sends the INVITE once more with the session interval that the buyer wants (RFC 4028 §7.3); `false` if it
    /// wants none that we can give, or has had its tries.
    pub(crate) fn retry_with_interval(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        response: &Response<'_>,
    ) -> bool {
        let terms = self.policy.session;
        let Some(attempt) = self.state.attempt_mut(turn) else {
            return false;
        };
        let interval = terms.and_then(|terms| terms.raised(&response.head));
        if attempt.raised >= MOST_RAISED || interval.is_none() {
            return false;
        }
        attempt.raised += 1;
        // Its nonce was used; should it challenge again, it is answered again.
        attempt.tries = 1;
        self.send_again(now, core, turn, None, interval)
    }

    /// Sends the INVITE of a turn once more.
    fn send_again(
        &mut self,
        now: Instant,
        core: &mut Core,
        turn: TurnId,
        credentials: Option<Credentials>,
        interval: Option<u32>,
    ) -> bool {
        let Some(attempt) = self.state.attempt_mut(turn) else {
            return false;
        };
        let Some(sent) = reread(&attempt.invite) else {
            return false;
        };
        let client = {
            let Core { layer, entropy, .. } = &mut *core;
            layer.prepare(entropy)
        };
        let Some(client) = client else {
            return false;
        };
        let branch = core.layer.branch(client);
        let repeat = Repeat {
            policy: &self.policy,
            flow: attempt.flow,
            branch: &branch,
            cseq: attempt.cseq + 1,
            credentials: credentials.as_ref(),
            interval,
        };
        let Some(invite) = repeat.write(core, &sent) else {
            core.layer.release(client);
            return false;
        };
        let owner = Owner::Attempt(self.key);
        let (flow, bytes) = (attempt.flow, invite.clone());
        core.transact(|layer, out| layer.send_invite(now, client, flow, bytes, owner, out));
        attempt.client = client;
        attempt.cseq += 1;
        attempt.invite = invite;
        attempt.credentials = credentials;
        attempt.silent_until = Some(now + attempt.buyer.response_timeout);
        attempt.early.clear();
        true
    }
}

/// INVITEs that one buyer gets at most: one, and one with credentials.
const MOST_TRIES: u8 = 2;
