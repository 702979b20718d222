//! The table of client transactions, by slot number, which their branch tells.

use std::time::Instant;

use slab::Slab;

use super::by_flow::ByFlow;
use super::client_invite::ClientInvite;
use super::client_non_invite::ClientNonInvite;
use super::key::Keys;
use super::layer::{Answer, ClientId, Effect};
use super::step::{Due, Step};
use super::{Output, Packet, is_crowded};
use crate::sip::build;
use crate::sip::flow::Flow;
use crate::sip::message::{Method, Response, ResponseEssentials};
use crate::types::ids::{Entropy, Mark, ShardId};

/// The client transactions of one shard.
pub(super) struct Clients<O> {
    limit: usize,
    slots: Slab<Slot<O>>,
    /// Those that a failure of their flow ends.
    waiting: ByFlow,
    /// That of the next transaction.
    serial: u32,
    /// What the machine at hand wants done; empty between steps.
    outputs: Vec<Output>,
    /// Where ACKs and CANCELs are written.
    buffer: Vec<u8>,
}

struct Slot<O> {
    /// The random part of the branch.
    nonce: [u64; 2],
    serial: u32,
    /// The earliest entry in the wheel.
    armed: Option<Instant>,
    state: State<O>,
}

enum State<O> {
    /// Nothing was sent yet.
    Reserved,
    Invite(O, ClientInvite),
    NonInvite(O, ClientNonInvite),
}

impl<O: Copy> Clients<O> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.min(u32::MAX as usize),
            slots: Slab::new(),
            waiting: ByFlow::default(),
            serial: 0,
            outputs: Vec::new(),
            buffer: Vec::new(),
        }
    }

    /// Takes so many at once from now on; those that are there stay.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.min(u32::MAX as usize);
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_crowded(&self) -> bool {
        is_crowded(self.slots.len(), self.limit)
    }

    pub(super) fn prepare(&mut self, shard: ShardId, entropy: &mut Entropy) -> Option<ClientId> {
        if self.slots.len() >= self.limit {
            return None;
        }
        let entry = self.slots.vacant_entry();
        let slot = entry.key() as u32; // Below `limit`.
        let mark = Mark::new(shard, slot, entropy);
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        entry.insert(Slot {
            nonce: halves(mark.nonce),
            serial,
            armed: None,
            state: State::Reserved,
        });
        Some(ClientId { slot, serial })
    }

    /// What the branch says; one that nobody has if the transaction is gone.
    pub(super) fn mark(&self, shard: ShardId, id: ClientId) -> Mark {
        let slot = self.slots.get(id.slot as usize);
        let [high, low] = slot
            .filter(|slot| slot.serial == id.serial)
            .map_or([0, 0], |slot| slot.nonce);
        Mark {
            shard,
            slot: id.slot,
            nonce: (u128::from(high) << 64) | u128::from(low),
        }
    }

    pub(super) fn release(&mut self, id: ClientId) {
        if slot(&mut self.slots, id).is_some_and(|slot| matches!(slot.state, State::Reserved)) {
            self.slots.try_remove(id.slot as usize);
        }
    }

    pub(super) fn send_invite(
        &mut self,
        step: &mut Step<'_, O>,
        id: ClientId,
        invite: Packet,
        owner: O,
    ) {
        let Some(slot) = reserved(&mut self.slots, id) else {
            return;
        };
        self.waiting.insert(id.slot, invite.flow);
        let machine = ClientInvite::new(step.now, step.timing, invite, &mut self.outputs);
        slot.state = State::Invite(owner, machine);
        self.settle(step, id);
    }

    pub(super) fn send_request(
        &mut self,
        step: &mut Step<'_, O>,
        id: ClientId,
        request: Packet,
        owner: O,
    ) {
        let Some(slot) = reserved(&mut self.slots, id) else {
            return;
        };
        self.waiting.insert(id.slot, request.flow);
        let machine = ClientNonInvite::new(step.now, step.timing, request, &mut self.outputs);
        slot.state = State::NonInvite(owner, machine);
        self.settle(step, id);
    }

    pub(super) fn cancel(
        &mut self,
        step: &mut Step<'_, O>,
        id: ClientId,
        new_owner: O,
        lines: Option<&[u8]>,
    ) {
        let Some(slot) = slot(&mut self.slots, id) else {
            return;
        };
        match &mut slot.state {
            State::Invite(owner, machine) => {
                *owner = new_owner;
                let buffer = &mut self.buffer;
                let write =
                    |invite: &[u8], lines: &[u8]| build::cancel_for(buffer, invite, lines).ok();
                machine.cancel(step.now, step.timing, lines, write, &mut self.outputs);
            }
            State::NonInvite(..) | State::Reserved => {} // Only an INVITE can be cancelled.
        }
        self.settle(step, id);
    }

    pub(super) fn contains(&self, id: ClientId) -> bool {
        let slot = self.slots.get(id.slot as usize);
        slot.is_some_and(|slot| slot.serial == id.serial)
    }

    /// Whether a transaction of ours has this branch.
    pub(super) fn has_mark(&self, mark: &Mark) -> bool {
        let slot = self.slots.get(mark.slot as usize);
        slot.is_some_and(|slot| slot.nonce == [(mark.nonce >> 64) as u64, mark.nonce as u64])
    }

    pub(super) fn stop_resending(&mut self, id: ClientId) {
        match slot(&mut self.slots, id).map(|slot| &mut slot.state) {
            Some(State::Invite(_, machine)) => machine.stop_resending(),
            Some(State::NonInvite(..) | State::Reserved) | None => {}
        }
    }

    pub(super) fn set_owner(&mut self, id: ClientId, new_owner: O) {
        match slot(&mut self.slots, id).map(|slot| &mut slot.state) {
            Some(State::Invite(owner, _) | State::NonInvite(owner, _)) => *owner = new_owner,
            Some(State::Reserved) | None => {}
        }
    }

    pub(super) fn acked(&mut self, id: ClientId, to_tag: u64, ack: Packet) {
        match slot(&mut self.slots, id).map(|slot| &mut slot.state) {
            Some(State::Invite(_, machine)) => machine.acked(to_tag, ack),
            Some(State::NonInvite(..) | State::Reserved) | None => {}
        }
    }

    /// Takes in a response whose branch is `mark`.
    pub(super) fn handle_response(
        &mut self,
        step: &mut Step<'_, O>,
        mark: &Mark,
        response: &Response<'_>,
        essentials: &ResponseEssentials<'_>,
        keys: Keys,
    ) -> Answer<O> {
        let method = essentials.method;
        let Some(slot) = self.slots.get_mut(mark.slot as usize) else {
            return Answer::Stray;
        };
        if slot.nonce != halves(mark.nonce) {
            return Answer::Stray;
        }
        let (now, timing, out) = (step.now, step.timing, &mut self.outputs);
        let buffer = &mut self.buffer;
        let id = ClientId {
            slot: mark.slot,
            serial: slot.serial,
        };
        let (owner, for_user) = match &mut slot.state {
            State::Invite(owner, machine) if method == Method::Invite => {
                let for_user = match response.status {
                    ..200 => {
                        let write = |invite: &[u8], lines: &[u8]| {
                            build::cancel_for(buffer, invite, lines).ok()
                        };
                        machine.handle_provisional(now, timing, write, out)
                    }
                    200..300 => {
                        let to_tag = keys.tag(essentials.to.tag().unwrap_or_default());
                        machine.handle_success(now, timing, to_tag, out)
                    }
                    300.. => {
                        let write =
                            |invite: &[u8]| build::ack_for_failure(buffer, invite, response).ok();
                        machine.handle_failure(now, timing, write, out)
                    }
                };
                (*owner, for_user)
            }
            State::Invite(owner, machine) if method == Method::Cancel => {
                machine.handle_cancel_response(now, timing, response.status);
                (*owner, false)
            }
            State::NonInvite(owner, machine)
                if method != Method::Invite && method != Method::Cancel =>
            {
                let for_user = machine.handle_response(now, timing, response.status);
                (*owner, for_user)
            }
            State::Invite(..) | State::NonInvite(..) | State::Reserved => return Answer::Stray,
        };
        self.settle(step, id);
        if for_user {
            Answer::Up { id, owner }
        } else {
            Answer::Absorbed
        }
    }

    /// Ends those that fall with `flow`.
    pub(super) fn handle_failed_flow(&mut self, step: &mut Step<'_, O>, flow: &Flow) {
        while let Some(index) = self.waiting.pop(flow) {
            let Some(slot) = self.slots.try_remove(index as usize) else {
                continue;
            };
            let id = ClientId {
                slot: index,
                serial: slot.serial,
            };
            match slot.state {
                State::Invite(owner, _) | State::NonInvite(owner, _) => {
                    step.out.push(Effect::Failed { id, owner });
                }
                State::Reserved => {} // It waits on no flow.
            }
        }
    }

    /// Ends the transaction whose own request, of `method`, has the branch `mark`, if nobody answered it.
    pub(super) fn handle_unsendable(
        &mut self,
        step: &mut Step<'_, O>,
        mark: &Mark,
        method: Method<'_>,
    ) {
        let found = self.slots.get(mark.slot as usize);
        let Some(slot) = found.filter(|slot| slot.nonce == halves(mark.nonce)) else {
            return;
        };
        let (owner, is_own, is_unheard) = match &slot.state {
            State::Invite(owner, machine) => {
                (*owner, method == Method::Invite, machine.is_unheard())
            }
            // ACK and CANCEL have the INVITE's branch, so this is the request itself.
            State::NonInvite(owner, machine) => (*owner, true, machine.is_unheard()),
            State::Reserved => return,
        };
        if !(is_own && is_unheard) {
            return;
        }
        let id = ClientId {
            slot: mark.slot,
            serial: slot.serial,
        };
        self.waiting.remove(id.slot);
        self.slots.try_remove(id.slot as usize);
        step.out.push(Effect::Failed { id, owner });
    }

    /// Lets the timers of a transaction fire that are due, if it is still there.
    pub(super) fn handle_timeout(&mut self, step: &mut Step<'_, O>, id: ClientId) {
        let outputs = &mut self.outputs;
        let Some(slot) = slot(&mut self.slots, id) else {
            return;
        };
        step.disarm(&mut slot.armed);
        match &mut slot.state {
            State::Invite(_, machine) => machine.handle_timeout(step.now, step.timing, outputs),
            State::NonInvite(_, machine) => machine.handle_timeout(step.now, step.timing, outputs),
            State::Reserved => {}
        }
        self.settle(step, id);
    }

    /// After each step of a machine: passes on what it wants, sets its timer, drops it if it is over.
    fn settle(&mut self, step: &mut Step<'_, O>, id: ClientId) {
        let Some(slot) = slot(&mut self.slots, id) else {
            return;
        };
        let (owner, over, falls_with_flow, next) = match &slot.state {
            State::Invite(owner, machine) => (
                *owner,
                machine.is_terminated(),
                machine.falls_with_flow(),
                machine.poll_timeout(),
            ),
            State::NonInvite(owner, machine) => (
                *owner,
                machine.is_terminated(),
                machine.falls_with_flow(),
                machine.poll_timeout(),
            ),
            State::Reserved => return,
        };
        step.emit(&mut self.outputs, || Effect::TimedOut { id, owner });
        if !falls_with_flow {
            self.waiting.remove(id.slot);
        }
        if over {
            self.slots.try_remove(id.slot as usize);
        } else {
            step.arm(&mut slot.armed, next, Due::Client(id));
        }
    }
}

/// The slot of `id`, unless another transaction has it now.
fn slot<O>(slots: &mut Slab<Slot<O>>, id: ClientId) -> Option<&mut Slot<O>> {
    slots
        .get_mut(id.slot as usize)
        .filter(|slot| slot.serial == id.serial)
}

/// The same, if nothing was sent yet.
fn reserved<O>(slots: &mut Slab<Slot<O>>, id: ClientId) -> Option<&mut Slot<O>> {
    slot(slots, id).filter(|slot| matches!(slot.state, State::Reserved))
}

/// `nonce` in two, so that a slot need not be aligned to 16 bytes.
fn halves(nonce: u128) -> [u64; 2] {
    [(nonce >> 64) as u64, nonce as u64]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_small() {
        let size = size_of::<Slot<[u32; 4]>>();

        assert!(size <= 200, "{size}");
    }
}
