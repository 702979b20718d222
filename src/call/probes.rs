//! OPTIONS to the gateways of buyers that want to be asked, so that one that is gone is known before a call
//! meets it, and one that is back is known at all.
//!
//! The first shard asks, and tells the others what it finds out (`Output::Probed`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::call::a_leg::write_contact;
use crate::call::core::{Core, Owner};
use crate::call::face::Face;
use crate::call::output::Output;
use crate::call::policy::Policy;
use crate::routing::buyer::{Buyer, Gateway};
use crate::sip::build::{BuildError, Writer};
use crate::sip::flow::Flow;
use crate::sip::message::Method;
use crate::sip::uri::is_secure;
use crate::transaction::layer::ClientId;

/// All probes; there are no more than the policy has gateways.
#[derive(Default)]
pub(crate) struct Probes {
    list: Vec<Probe>,
    /// When each is next sent, by place in the list.
    due: BTreeSet<(Instant, u32)>,
}

struct Probe {
    buyer: Arc<Buyer>,
    gateway: Arc<Gateway>,
    every: Duration,
    due: Instant,
    /// The request that is not answered yet.
    waiting: Option<ClientId>,
    /// Results in a row that speak against what is taken for true.
    contrary: u32,
    is_lost: bool,
}

impl Probes {
    /// Goes by the gateways of `policy` from now on; what is known of those that stay, stays.
    pub(crate) fn set_policy(&mut self, now: Instant, core: &mut Core, policy: &Policy) {
        let mut old = std::mem::take(&mut self.list);
        self.due.clear();
        for buyer in policy.directory.buyers.values() {
            let Some(every) = buyer.probe else {
                continue;
            };
            let gateways = buyer.gateways.iter();
            for gateway in gateways.filter(|one| one.phone.is_none()) {
                let is_it = |probe: &Probe| {
                    probe.buyer.id == buyer.id && probe.gateway.name == gateway.name
                };
                let known = old
                    .iter()
                    .position(is_it)
                    .map(|place| old.swap_remove(place));
                let mut probe = known.unwrap_or_else(|| Probe {
                    buyer: buyer.clone(),
                    gateway: gateway.clone(),
                    every,
                    // Not all at once.
                    due: now + every.mul_f64(core.share()),
                    waiting: None,
                    contrary: 0,
                    is_lost: false,
                });
                probe.due = probe.due.min(now + every);
                probe.every = every;
                probe.buyer = buyer.clone();
                probe.gateway = gateway.clone();
                let place = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
                self.due.insert((probe.due, place));
                self.list.push(probe);
            }
        }
        for client in old.iter().filter_map(|probe| probe.waiting) {
            core.layer.set_owner(client, Owner::Nobody);
        }
        // Places have changed.
        for (probe, place) in self.list.iter().zip(0..) {
            if let Some(client) = probe.waiting {
                core.layer.set_owner(client, Owner::Probe(place));
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Sends what is due. One that is unanswered by then has failed.
    pub(crate) fn handle_timeout(&mut self, now: Instant, core: &mut Core, policy: &Policy) {
        while let Some((due, place)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, place));
            let Some(probe) = self.list.get_mut(place as usize) else {
                continue;
            };
            if let Some(client) = probe.waiting.take() {
                core.layer.set_owner(client, Owner::Nobody);
                probe.conclude(core, policy, false);
            }
            // Under load, calls have the room.
            if !core.layer.is_crowded() {
                probe.waiting = probe.send(now, core, policy, place);
            }
            probe.due = now + probe.every;
            self.due.insert((probe.due, place));
        }
    }

    /// The answer to a probe; `None`: there is none.
    pub(crate) fn handle_answer(
        &mut self,
        core: &mut Core,
        policy: &Policy,
        (place, id): (u32, ClientId),
        status: Option<u16>,
    ) {
        if status.is_some_and(|status| status < 200) {
            return;
        }
        if let Some(probe) = self.list.get_mut(place as usize)
            && probe.waiting.take_if(|waiting| *waiting == id).is_some()
        {
            let dead = &policy.health.probe_dead;
            let is_alive = status.is_some_and(|status| !dead.contains(&status));
            probe.conclude(core, policy, is_alive);
        }
    }
}

impl Probe {
    /// Takes one result in; enough of them in a row change what is taken for true.
    fn conclude(&mut self, core: &mut Core, policy: &Policy, is_alive: bool) {
        if is_alive != self.is_lost {
            self.contrary = 0;
            return;
        }
        self.contrary += 1;
        let needed = if is_alive {
            policy.health.probe_recoveries
        } else {
            policy.health.probe_failures
        };
        if self.contrary < needed {
            return;
        }
        self.contrary = 0;
        self.is_lost = !is_alive;
        let (buyer, gateway) = (&self.buyer.id, &self.gateway.name);
        if let Some(event) = core.health.set_lost(buyer, gateway, self.is_lost) {
            core.event(event);
        }
        core.output(Output::Probed {
            buyer: buyer.clone(),
            gateway: gateway.clone(),
            is_lost: self.is_lost,
        });
    }

    fn send(&self, now: Instant, core: &mut Core, policy: &Policy, place: u32) -> Option<ClientId> {
        let flow = match &self.gateway.lookup {
            None => policy.flow_to(&self.gateway)?,
            // As long as nobody knows where it is, nobody is asked how it is.
            Some(wanted) => {
                let targets = core.whereabouts.order(wanted, 0)?;
                let mut ways = targets
                    .iter()
                    .filter_map(|target| policy.flow_along(&self.gateway, *target));
                ways.next()?
            }
        };
        let client = {
            let Core { layer, entropy, .. } = &mut *core;
            layer.prepare(entropy)?
        };
        let built = self.write(core, policy, flow, client);
        let Some(bytes) = core.built(built) else {
            core.layer.release(client);
            return None;
        };
        let owner = Owner::Probe(place);
        core.transact(|layer, out| layer.send_request(now, client, flow, bytes, owner, out));
        Some(client)
    }

    fn write(
        &self,
        core: &mut Core,
        policy: &Policy,
        flow: Flow,
        client: ClientId,
    ) -> Result<Bytes, BuildError> {
        let advertise = policy.advertised(flow.listener);
        let branch = core.layer.branch(client);
        let (tag, call_id) = (core.mark(0).text(), core.mark(0).text());
        let uri = self.gateway.uri.as_bytes();
        let mut writer = Writer::request(&mut core.buffer, Method::Options, uri);
        writer
            .via(flow.transport, advertise, &branch)
            .number("Max-Forwards", 70)
            .parts("From", &[b"<sip:", advertise.as_bytes(), b">;tag=", &tag])
            .parts("To", &[b"<", uri, b">"])
            .field("Call-ID", &call_id)
            .cseq(1, Method::Options);
        write_contact(&mut writer, Face::to_buyer(policy), flow, is_secure(uri));
        writer.field("Accept", b"application/sdp");
        if let Some(product) = &policy.product {
            writer.field("User-Agent", product.as_bytes());
        }
        writer.finish(b"")
    }
}
