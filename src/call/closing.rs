//! The end of an answered call: a BYE to each side that has not sent one, and what that may still need.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::call::Engine;
use crate::call::a_leg::{AwaitAck, Early, Waited};
use crate::call::bridge::{Leg, Talking};
use crate::call::bye::{Why, send_bye};
use crate::call::call::{Call, State};
use crate::call::core::{Core, Owner};
use crate::call::credentials::Challenged;
use crate::call::face::Face;
use crate::call::headers::Crossing;
use crate::call::input::Which;
use crate::call::record::{Outcome, Side};
use crate::dialog::Dialog;
use crate::routing::buyer::Buyer;
use crate::sip::flow::Flow;
use crate::sip::message::{Essentials, Request, Response};
use crate::transaction::layer::ClientId;

/// What is left of an answered call.
pub(crate) struct Ending {
    caller: Option<Farewell>,
    buyer: Option<Farewell>,
    /// For the buyer's challenge to our BYE.
    who: Arc<Buyer>,
    why: Why,
}

/// One side that is yet to be told.
struct Farewell {
    dialog: Dialog,
    phase: Phase,
}

enum Phase {
    /// Our 2xx goes out until its ACK comes, also to a side that said BYE meanwhile: its INVITE would have
    /// no answer otherwise.
    Unacknowledged {
        awaiting: AwaitAck,
        /// The callee must not send BYE before the ACK (RFC 3261 §15).
        is_bye_due: bool,
    },
    /// The BYE is out.
    Sent {
        client: ClientId,
        bye: Bytes,
        tries: u8,
    },
}

impl Farewell {
    /// A side whose BYE is out.
    fn new(dialog: Dialog, (client, bye): (ClientId, Bytes)) -> Self {
        let tries = 1;
        Self {
            dialog,
            phase: Phase::Sent { client, bye, tries },
        }
    }
}

impl Ending {
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        [&self.caller, &self.buyer]
            .into_iter()
            .flatten()
            .filter_map(|farewell| match &farewell.phase {
                Phase::Unacknowledged { awaiting, .. } => Some(awaiting.poll_timeout()),
                Phase::Sent { .. } => None,
            })
            .min()
    }

    /// The dialog of a side that is yet to be told.
    pub(crate) fn dialog(&self, side: Side) -> Option<&Dialog> {
        match side {
            Side::Caller | Side::Edge => self.caller.as_ref(),
            Side::Buyer => self.buyer.as_ref(),
        }
        .map(|farewell| &farewell.dialog)
    }

    pub(crate) fn dialog_mut(&mut self, side: Side) -> Option<&mut Dialog> {
        self.farewell(side)
            .as_mut()
            .map(|farewell| &mut farewell.dialog)
    }

    fn farewell(&mut self, side: Side) -> &mut Option<Farewell> {
        match side {
            Side::Caller | Side::Edge => &mut self.caller,
            Side::Buyer => &mut self.buyer,
        }
    }
}

impl Engine {
    /// The operator ends calls.
    pub(super) fn hang_up(&mut self, now: Instant, which: Which) {
        let keys = match which {
            Which::One(uuid) => self.registry.named(uuid).into_iter().collect(),
            Which::All | Which::Leaving => self.registry.keys(),
        };
        self.closed.has_left |= which == Which::Leaving;
        for key in keys {
            match self.registry.call(key) {
                Some(call) if which == Which::Leaving && call.is_abroad() => {
                    call.leave_to_others(&mut self.core);
                }
                Some(call) => call.stop(now, &mut self.core, Outcome::Stopped),
                None => {}
            }
            self.registry.attend(now, key);
        }
    }
}

impl Call {
    /// One side sent BYE (already answered): ends the other.
    pub(crate) fn handle_bye(
        &mut self,
        now: Instant,
        core: &mut Core,
        side: Side,
        flow: Flow,
        request: &Request<'_>,
    ) {
        if self.is_left_waiting(now, core, side) {
            return;
        }
        match &mut self.state {
            State::Talking(talking) => {
                let out = talking.dialog(side.other()).flow();
                let crossing = Crossing::from(
                    side,
                    &self.policy,
                    (&self.trunk, &talking.who),
                    flow.remote.ip(),
                    Face::towards(side.other(), &self.policy, &self.trunk).advertised(out.listener),
                );
                let said = core.last_words(crossing, request);
                self.drop_relays(now, core);
                self.settle(now, core, Outcome::Completed, 200, side);
                let why = said.map_or(Why::Unsaid, Why::Theirs);
                self.end_sides(now, core, &[side.other()], why);
            }
            // Both hung up at once: that side needs no BYE any more, ours will be answered or not.
            State::Ending(ending) => match ending.farewell(side) {
                Some(Farewell {
                    phase: Phase::Unacknowledged { is_bye_due, .. },
                    ..
                }) => *is_bye_due = false,
                // Nor is ours sent again, should it be challenged.
                Some(Farewell {
                    phase: Phase::Sent { tries, .. },
                    ..
                }) => *tries = u8::MAX,
                None => {}
            },
            State::Asking(_) | State::Hunting(_) => {
                if side == Side::Caller {
                    self.handle_caller_gone(now, core, flow, request);
                }
            }
            State::Abroad(_) | State::Gone => {}
        }
    }

    /// Ends an answered call from our side: BYE to both. `by` is the side at fault, or us.
    pub(crate) fn hang_up(&mut self, now: Instant, core: &mut Core, outcome: Outcome, by: Side) {
        self.drop_relays(now, core);
        self.settle(now, core, outcome, 200, by);
        self.end_sides(now, core, &[Side::Caller, Side::Buyer], Why::Ours(outcome));
    }

    /// Ends the call, whatever its state, because of what has nothing to do with it.
    pub(crate) fn stop(&mut self, now: Instant, core: &mut Core, outcome: Outcome) {
        match &self.state {
            State::Asking(_) | State::Hunting(_) => {
                self.drop_asking(now, core, outcome);
                self.cancel_attempts(now, core);
                self.fail(now, core, outcome, Side::Edge);
            }
            State::Talking(_) => self.hang_up(now, core, outcome, Side::Edge),
            State::Abroad(_) => self.drop_abroad(now, core, outcome),
            State::Ending(_) | State::Gone => {}
        }
    }

    /// Ends what one side has left: the other hears of it.
    pub(crate) fn leave(&mut self, now: Instant, core: &mut Core, by: Side, outcome: Outcome) {
        self.drop_relays(now, core);
        self.settle(now, core, outcome, 200, by);
        self.end_sides(now, core, &[by.other()], Why::Unsaid);
    }

    fn end_sides(&mut self, now: Instant, core: &mut Core, sides: &[Side], why: Why) {
        let gone = self.drop_transfer(now, core);
        let State::Talking(talking) = mem::replace(&mut self.state, State::Gone) else {
            return;
        };
        let Talking {
            mut caller,
            mut buyer,
            who,
            ..
        } = *talking;
        caller.pay_owed_ack(core, Side::Caller, self);
        buyer.pay_owed_ack(core, Side::Buyer, self);
        let mut ending = Ending {
            caller: None,
            buyer: None,
            who,
            why,
        };
        for (side, leg) in [(Side::Caller, caller), (Side::Buyer, buyer)] {
            let farewell = if sides.contains(&side) && gone != Some(side) {
                self.farewell(now, core, side, leg, &ending.why)
            } else {
                let Leg {
                    dialog, awaiting, ..
                } = leg;
                awaiting.map(|awaiting| Farewell {
                    dialog,
                    phase: Phase::Unacknowledged {
                        awaiting,
                        is_bye_due: false,
                    },
                })
            };
            *ending.farewell(side) = farewell;
        }
        self.state = State::Ending(Box::new(ending));
        self.leave_if_done();
    }

    fn farewell(
        &self,
        now: Instant,
        core: &mut Core,
        side: Side,
        leg: Leg,
        why: &Why,
    ) -> Option<Farewell> {
        let Leg {
            mut dialog,
            awaiting,
            ..
        } = leg;
        let Some(awaiting) = awaiting else {
            let owner = Owner::Closing(self.key);
            let face = Face::towards(side, &self.policy, &self.trunk);
            return send_bye(now, core, face, &mut dialog, owner, why)
                .map(|bye| Farewell::new(dialog, bye));
        };
        let phase = Phase::Unacknowledged {
            awaiting,
            is_bye_due: true,
        };
        Some(Farewell { dialog, phase })
    }

    /// The ACK without which we could not send BYE.
    pub(crate) fn handle_ending_ack(
        &mut self,
        now: Instant,
        core: &mut Core,
        side: Side,
        essentials: &Essentials<'_>,
    ) {
        let State::Ending(ending) = &mut self.state else {
            return;
        };
        let is_it = matches!(
            ending.farewell(side),
            Some(Farewell { phase: Phase::Unacknowledged { awaiting, .. }, .. })
                if awaiting.cseq == essentials.cseq
        );
        if is_it {
            self.say_bye(now, core, side);
        }
    }

    pub(crate) fn handle_ending_timeout(&mut self, now: Instant, core: &mut Core) {
        for side in [Side::Caller, Side::Buyer] {
            let State::Ending(ending) = &mut self.state else {
                return;
            };
            if let Some(Farewell {
                phase: Phase::Unacknowledged { awaiting, .. },
                ..
            }) = ending.farewell(side)
                && let Waited::InVain = awaiting.handle_timeout(now, core)
            {
                self.say_bye(now, core, side);
            }
        }
    }

    /// Sends the BYE that waited for an ACK, if that side has not said it by now.
    fn say_bye(&mut self, now: Instant, core: &mut Core, side: Side) {
        let face = Face::towards(side, &self.policy, &self.trunk);
        let owner = Owner::Closing(self.key);
        let State::Ending(ending) = &mut self.state else {
            return;
        };
        if let Some(mut farewell) = ending.farewell(side).take()
            && let Phase::Unacknowledged {
                is_bye_due: true, ..
            } = farewell.phase
        {
            let (dialog, why) = (&mut farewell.dialog, &ending.why);
            let sent = send_bye(now, core, face, dialog, owner, why);
            *ending.farewell(side) = sent.map(|bye| Farewell::new(farewell.dialog, bye));
        }
        self.leave_if_done();
    }

    /// The answer to a BYE of ours: whatever it is, that side is done, unless it wants credentials.
    pub(crate) fn handle_bye_response(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
        response: &Response<'_>,
    ) {
        if response.status < 200 {
            return;
        }
        if !(matches!(response.status, 401 | 407) && self.repeat_bye(now, core, id, response)) {
            self.handle_bye_done(id);
        }
    }

    /// A BYE of ours could not be sent, for its connection is lost: it goes where the peer's Contact says.
    pub(crate) fn handle_bye_failure(&mut self, now: Instant, core: &mut Core, id: ClientId) {
        let owner = Owner::Closing(self.key);
        if let State::Ending(ending) = &mut self.state {
            let why = ending.why.clone();
            for side in [Side::Caller, Side::Buyer] {
                if let Some(farewell) = ending.farewell(side)
                    && let Phase::Sent { client, bye, .. } = &mut farewell.phase
                    && *client == id
                    && farewell.dialog.lose_connection()
                    && let Some(again) = send_bye(
                        now,
                        core,
                        Face::towards(side, &self.policy, &self.trunk),
                        &mut farewell.dialog,
                        owner,
                        &why,
                    )
                {
                    (*client, *bye) = again;
                    return;
                }
            }
        }
        self.handle_bye_done(id);
    }

    /// A BYE of ours is settled: answered, or given up.
    pub(crate) fn handle_bye_done(&mut self, id: ClientId) {
        let State::Ending(ending) = &mut self.state else {
            return;
        };
        for side in [Side::Caller, Side::Buyer] {
            if matches!(
                ending.farewell(side),
                Some(Farewell { phase: Phase::Sent { client, .. }, .. }) if *client == id
            ) {
                *ending.farewell(side) = None;
            }
        }
        self.leave_if_done();
    }

    fn repeat_bye(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: ClientId,
        response: &Response<'_>,
    ) -> bool {
        let key = self.key;
        let State::Ending(ending) = &mut self.state else {
            return false;
        };
        let Some(farewell) = &mut ending.buyer else {
            return false;
        };
        let Phase::Sent { client, bye, tries } = &farewell.phase else {
            return false;
        };
        let (bye, tries) = (bye.clone(), *tries);
        if *client != id || tries > 1 {
            return false;
        }
        let Some(login) = &ending.who.login else {
            return false;
        };
        let challenged = Challenged {
            policy: &self.policy,
            login,
            sent: &bye,
            response,
        };
        let owner = Owner::Closing(key);
        let Some(again) = challenged.repeat(now, core, &mut farewell.dialog, owner) else {
            return false;
        };
        farewell.phase = Phase::Sent {
            client: again.client,
            bye: again.sent,
            tries: tries + 1,
        };
        true
    }

    /// A buyer answered, and we could not tell the caller: a fault of ours. Both are ended.
    pub(crate) fn close_after_fault(
        &mut self,
        now: Instant,
        core: &mut Core,
        mut dialog: Dialog,
        who: Arc<Buyer>,
        early: &Early,
    ) {
        let outcome = Outcome::Internal;
        let why = Why::Ours(outcome);
        early.refuse(now, core, &self.caller_mark.text(), 500, outcome.label());
        self.settle(now, core, outcome, 500, Side::Edge);
        let owner = Owner::Closing(self.key);
        let face = Face::to_buyer(&self.policy);
        let buyer = send_bye(now, core, face, &mut dialog, owner, &why)
            .map(|bye| Farewell::new(dialog, bye));
        self.state = State::Ending(Box::new(Ending {
            caller: None,
            buyer,
            who,
            why,
        }));
        self.leave_if_done();
    }

    fn leave_if_done(&mut self) {
        if let State::Ending(ending) = &self.state
            && ending.caller.is_none()
            && ending.buyer.is_none()
        {
            self.state = State::Gone;
        }
    }
}
