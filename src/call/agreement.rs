//! The answer to what one side of a call asked of the other, on its way back: what was agreed on, or why nothing was.

use std::time::Instant;

use crate::call::bridge::OwedAck;
use crate::call::call::{Call, State};
use crate::call::core::{Core, Owner};
use crate::call::face::Face;
use crate::call::media::{self, Carried, Role, Unfit};
use crate::call::provisional::reread_response;
use crate::call::record::{Outcome, Side};
use crate::call::relay::Relay;
use crate::call::within::GLARE_RETRY;
use crate::sip::build::Writer;
use crate::sip::message::{Name, Response, ResponseEssentials};

impl Call {
    /// What the asking side is told of the media by the answer to what it asked.
    pub(crate) fn carry_back(
        &mut self,
        now: Instant,
        core: &mut Core,
        relay: &Relay,
        response: &Response<'_>,
    ) -> Result<Carried, Unfit> {
        let (true, State::Talking(talking)) = (relay.begins_exchange, &self.state) else {
            return Ok(Carried::AsIs);
        };
        let role = if relay.is_late_offer {
            Role::Offer
        } else {
            Role::Answer
        };
        let from = relay.from.other();
        let answer = ((from, role), talking.dialog(from).flow().remote.ip());
        let carried = media::carry(&mut self.media, now, core, answer, &response.head);
        media::note_unfit(core, self.uuid, from, carried)
    }

    /// The side that was asked has agreed to what the other cannot be told: the two are not of one mind any more, so
    /// the call ends (RFC 3261 §14.1).
    pub(crate) fn give_relay_up(
        &mut self,
        now: Instant,
        core: &mut Core,
        relay: Relay,
        essentials: &ResponseEssentials<'_>,
    ) {
        // The fault is not the asking side's, so nothing is said of what it sent.
        core.answer(now, relay.server, &relay.reply, 500, None);
        self.acknowledge_relay(core, relay, essentials);
        self.hang_up(now, core, Outcome::MediaFailed, Side::Edge);
    }

    /// Acknowledges a 2xx that is not passed on.
    fn acknowledge_relay(
        &mut self,
        core: &mut Core,
        relay: Relay,
        essentials: &ResponseEssentials<'_>,
    ) {
        if relay.asks_by_invite
            && let State::Talking(talking) = &mut self.state
        {
            core.layer.set_owner(relay.client, Owner::AbandonedWithin);
            let owed = OwedAck {
                client: relay.client,
                cseq: essentials.cseq,
                credentials: relay.credentials,
            };
            let asked = talking.leg(relay.from.other());
            let face = Face::towards(relay.from.other(), &self.policy, &self.trunk);
            asked.acknowledge(core, (self.key, face), owed, None);
        }
    }

    /// Acknowledges the 2xx that waits for an rtpengine, because the call ends. Its request is yet to be answered.
    pub(crate) fn drop_agreement(&mut self, now: Instant, core: &mut Core) {
        let Some((client, response)) = self.media.take_agreement() else {
            return;
        };
        if let State::Talking(talking) = &mut self.state
            && let Some(place) = talking.relays.iter().position(|one| one.client == client)
            && let Some((_, essentials)) = reread_response(&response)
        {
            let relay = talking.relays.swap_remove(place);
            core.answer(now, relay.server, &relay.reply, relay.unanswered(), None);
            self.acknowledge_relay(core, relay, &essentials);
        }
    }

    /// Carries a failure back. A challenge or a redirection of one leg is no business of the other's.
    pub(crate) fn refuse_relay(
        &mut self,
        now: Instant,
        core: &mut Core,
        relay: &Relay,
        status: u16,
        response: Option<&Response<'_>>,
    ) {
        if relay.begins_exchange {
            media::forget_offer(&mut self.media, now, core);
        }
        let lost = relay.from.other();
        // A side that has not acknowledged our 2xx may not have got it yet: then it knows no dialog.
        let is_too_early = status == 481
            && matches!(&self.state, State::Talking(talking) if talking.is_awaiting(lost));
        let answer = match status {
            300..=399 | 401 | 407 => 500,
            // The interval is ours, and is longer the next time.
            422 => 500,
            481 if is_too_early => 500,
            other => other,
        };
        let mut writer = Writer::reply(&mut core.buffer, &relay.reply, answer, None);
        if is_too_early || status == 422 {
            writer.number("Retry-After", GLARE_RETRY);
        }
        if let Some(response) = response {
            if let Some(value) = response.head.first(Name::RetryAfter) {
                let digits = value.iter().take_while(|byte| byte.is_ascii_digit());
                writer.field(
                    "Retry-After",
                    value.get(..digits.count()).unwrap_or_default(),
                );
            }
            if let State::Talking(talking) = &self.state {
                let peers = (&*self.trunk, &*talking.who);
                let back = relay.back(&self.policy, peers, talking.dialog(lost));
                back.pass_refusal(&mut writer, &response.head);
            }
        }
        let built = writer.finish(b"");
        core.respond(now, relay.server, (&relay.reply, b""), answer, built);
        // §12.2.1.2: the other end has no dialog any more, or is not there.
        if matches!(status, 408 | 481) && !is_too_early {
            self.hang_up(now, core, Outcome::LegLost, lost);
        }
    }
}
