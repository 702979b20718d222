//! The table of server transactions, by key.

use std::time::Instant;

use bytes::Bytes;
use slab::Slab;

use super::key::{KeyMap, ServerKey};
use super::layer::{Effect, Incoming, ServerId};
use super::server_invite::{Ack, ServerInvite};
use super::server_non_invite::ServerNonInvite;
use super::step::{Due, Step};
use super::{Output, is_crowded};
use crate::sip::flow::Flow;

/// The server transactions of one shard.
pub(super) struct Servers<O> {
    limit: usize,
    slots: Slab<Slot<O>>,
    /// Slot numbers; as many as there are slots in use.
    by_key: KeyMap<u32>,
    /// That of the next transaction.
    serial: u32,
    /// What the machine at hand wants done; empty between steps.
    outputs: Vec<Output>,
}

struct Slot<O> {
    key: ServerKey,
    owner: O,
    serial: u32,
    /// The TU is told when the INVITE is half open no more.
    is_watched: bool,
    /// The earliest entry in the wheel.
    armed: Option<Instant>,
    machine: Machine,
}

enum Machine {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
}

impl<O: Copy> Servers<O> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.min(u32::MAX as usize),
            slots: Slab::new(),
            by_key: KeyMap::default(),
            serial: 0,
            outputs: Vec::new(),
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

    /// The transaction of this key, and its owner.
    pub(super) fn find(&self, key: ServerKey) -> Option<(ServerId, O)> {
        let slot = *self.by_key.get(&key)?;
        let Slot { serial, owner, .. } = *self.slots.get(slot as usize)?;
        Some((ServerId { slot, serial }, owner))
    }

    pub(super) fn accept(
        &mut self,
        key: ServerKey,
        flow: Flow,
        method_is_invite: bool,
        owner: O,
    ) -> Option<ServerId> {
        if self.slots.len() >= self.limit || self.by_key.contains_key(&key) {
            return None;
        }
        self.serial = self.serial.wrapping_add(1);
        let serial = self.serial;
        let slot = self.slots.insert(Slot {
            key,
            owner,
            serial,
            is_watched: false,
            armed: None,
            machine: if method_is_invite {
                Machine::Invite(ServerInvite::new(flow))
            } else {
                Machine::NonInvite(ServerNonInvite::new(flow))
            },
        }) as u32; // Below `limit`.
        self.by_key.insert(key, slot);
        Some(ServerId { slot, serial })
    }

    pub(super) fn set_owner(&mut self, id: ServerId, owner: O) {
        if let Some(slot) = self.slot(id) {
            slot.owner = owner;
        }
    }

    /// Has the TU told when this INVITE is half open no more.
    pub(super) fn watch(&mut self, id: ServerId) {
        if let Some(slot) = self.slot(id) {
            slot.is_watched = true;
        }
    }

    pub(super) fn last_response(&self, id: ServerId) -> Option<&Bytes> {
        let slot = self.slots.get(id.slot as usize)?;
        match &slot.machine {
            Machine::Invite(machine) if slot.serial == id.serial => machine.last_response(),
            Machine::NonInvite(machine) if slot.serial == id.serial => machine.last_response(),
            Machine::Invite(_) | Machine::NonInvite(_) => None,
        }
    }

    pub(super) fn forget(&mut self, id: ServerId) {
        if let Some(key) = self.slot(id).map(|slot| slot.key) {
            self.by_key.remove(&key);
            self.slots.try_remove(id.slot as usize);
        }
    }

    pub(super) fn respond(
        &mut self,
        step: &mut Step<'_, O>,
        id: ServerId,
        status: u16,
        response: Bytes,
    ) {
        let outputs = &mut self.outputs;
        let Some(slot) = slot(&mut self.slots, id) else {
            return;
        };
        match &mut slot.machine {
            Machine::Invite(machine) => {
                machine.respond(step.now, step.timing, status, response, outputs);
            }
            Machine::NonInvite(machine) => {
                machine.respond(step.now, step.timing, status, response, outputs);
            }
        }
        self.settle(step, id);
    }

    pub(super) fn handle_ack(&mut self, step: &mut Step<'_, O>, key: ServerKey) -> Incoming<O> {
        let Some((id, _)) = self.find(key) else {
            return Incoming::Ack;
        };
        let ack = match self.slot(id).map(|slot| &mut slot.machine) {
            Some(Machine::Invite(machine)) => machine.handle_ack(step.now, step.timing),
            Some(Machine::NonInvite(_)) | None => Ack::ForUser, // Another method, another key.
        };
        self.settle(step, id);
        match ack {
            Ack::ForUser => Incoming::Ack,
            Ack::Absorbed => Incoming::Absorbed,
        }
    }

    /// Takes in a request if it is a repeated one; `false` if it is not.
    pub(super) fn handle_repeat(
        &mut self,
        step: &mut Step<'_, O>,
        key: ServerKey,
        flow: Flow,
    ) -> bool {
        let Some((id, _)) = self.find(key) else {
            return false;
        };
        let outputs = &mut self.outputs;
        match slot(&mut self.slots, id).map(|slot| &slot.machine) {
            Some(Machine::Invite(machine)) => machine.handle_invite(flow, outputs),
            Some(Machine::NonInvite(machine)) => machine.handle_request(flow, outputs),
            None => {}
        }
        self.settle(step, id);
        true
    }

    /// Lets the timers of a transaction fire that are due, if it is still there.
    pub(super) fn handle_timeout(&mut self, step: &mut Step<'_, O>, id: ServerId) {
        let outputs = &mut self.outputs;
        let Some(slot) = slot(&mut self.slots, id) else {
            return;
        };
        step.disarm(&mut slot.armed);
        match &mut slot.machine {
            Machine::Invite(machine) => machine.handle_timeout(step.now, step.timing, outputs),
            Machine::NonInvite(machine) => machine.handle_timeout(step.now),
        }
        self.settle(step, id);
    }

    /// After each step of a machine: passes on what it wants, sets its timer, drops it if it is over.
    fn settle(&mut self, step: &mut Step<'_, O>, id: ServerId) {
        let Some(slot) = slot(&mut self.slots, id) else {
            return;
        };
        let owner = slot.owner;
        step.emit(&mut self.outputs, || Effect::NoAck { id, owner });
        let (over, next, is_open) = match &slot.machine {
            Machine::Invite(machine) => (
                machine.is_terminated(),
                machine.poll_timeout(),
                machine.is_half_open(),
            ),
            Machine::NonInvite(machine) => (machine.is_terminated(), machine.poll_timeout(), false),
        };
        if slot.is_watched && !is_open {
            slot.is_watched = false;
            step.out.push(Effect::Settled { id });
        }
        if over {
            self.forget(id);
        } else {
            step.arm(&mut slot.armed, next, Due::Server(id));
        }
    }

    fn slot(&mut self, id: ServerId) -> Option<&mut Slot<O>> {
        slot(&mut self.slots, id)
    }
}

/// The slot of `id`, unless another transaction has it now.
fn slot<O>(slots: &mut Slab<Slot<O>>, id: ServerId) -> Option<&mut Slot<O>> {
    slots
        .get_mut(id.slot as usize)
        .filter(|slot| slot.serial == id.serial)
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
