//! Our ports for media: a pool of each address family, shared out among the shards.

use std::net::IpAddr;
use std::time::Instant;

use crate::call::policy::{Media, Mouth};
use crate::media::commons::{Commons, Counts};
use crate::media::plan::Gate;
use crate::media::ports::{Pool, Stock, owner, pairs};
use crate::media::session::Supply;
use crate::types::ids::{Entropy, ShardId};

/// The ports of one shard.
#[derive(Default)]
pub(crate) struct Gates {
    v4: Option<Ward>,
    v6: Option<Ward>,
}

/// The ports of one address.
struct Ward {
    mouth: Mouth,
    pool: Pool,
    /// `None`: none are shared.
    commons: Option<Commons>,
}

impl Gates {
    /// What is there is fixed at start: a port cannot be taken away from a call.
    pub(crate) fn new(media: &Media, shard: ShardId) -> Self {
        let own = usize::from(shard.0);
        let commons = |mouth: Mouth| {
            let all = pairs(media.shared_ports.clone()?);
            let ports = all.filter(|port| owner(*port, media.shards) == own);
            Some(Commons::new(mouth.bind, mouth.advertise, ports))
        };
        let ward = |mouth: Option<Mouth>| {
            mouth.map(|mouth| Ward {
                mouth,
                commons: commons(mouth),
                pool: Pool::new(media.ports.clone(), (own, media.shards), None, media.rest),
            })
        };
        Self {
            v4: ward(media.v4),
            v6: ward(media.v6),
        }
    }

    /// Whether another call might find no ports: fewer are left than one call can take.
    pub(crate) fn is_short(&mut self, now: Instant) -> bool {
        let mut wards = self.wards().peekable();
        wards.peek().is_some() && wards.all(|ward| ward.pool.stock(now).free < SPARE)
    }

    /// How many ports there are of each sort.
    pub(crate) fn stock(&self) -> Stock {
        let mut sum = Stock::default();
        for ward in [&self.v4, &self.v6].into_iter().flatten() {
            let stock = ward.pool.count();
            sum.free += stock.free;
            sum.resting += stock.resting;
            sum.in_use += stock.in_use;
        }
        sum
    }

    /// What was found on shared ports.
    pub(crate) fn shared(&self) -> Counts {
        let mut sum = Counts::default();
        for ward in [&self.v4, &self.v6].into_iter().flatten() {
            let counts = ward.commons.as_ref().map(Commons::counts);
            let counts = counts.unwrap_or_default();
            sum.claims += counts.claims;
            sum.clashes += counts.clashes;
            sum.none += counts.none;
        }
        sum
    }

    fn wards(&mut self) -> impl Iterator<Item = &mut Ward> {
        [&mut self.v4, &mut self.v6].into_iter().flatten()
    }

    fn ward(&mut self, is_ipv6: bool) -> Option<&mut Ward> {
        let (first, second) = if is_ipv6 {
            (&mut self.v6, &mut self.v4)
        } else {
            (&mut self.v4, &mut self.v6)
        };
        // Better an address of the other family than none: the peer may have both.
        first.as_mut().or(second.as_mut())
    }
}

/// A call's way to ports.
pub(crate) struct Clerk<'c> {
    pub(crate) now: Instant,
    pub(crate) gates: &'c mut Gates,
    pub(crate) entropy: &'c mut Entropy,
}

impl Supply for Clerk<'_> {
    fn take(&mut self, is_ipv6: bool) -> Option<Gate> {
        let random = (self.entropy.next_u64() >> 32) as u32;
        let ward = self.gates.ward(is_ipv6)?;
        let port = ward.pool.take(self.now, random)?;
        Some(Gate {
            address: ward.mouth.bind,
            port,
            is_shared: false,
        })
    }

    fn give_back(&mut self, gate: Gate) {
        let is_here = |ward: &&mut Ward| ward.mouth.bind == gate.address;
        if let Some(ward) = self.gates.wards().find(is_here) {
            ward.pool.give_back(self.now, gate.port);
        }
    }

    fn commons(&mut self, is_ipv6: bool) -> Option<&mut Commons> {
        let Gates { v4, v6 } = &mut *self.gates;
        let ward = if is_ipv6 { v6 } else { v4 };
        ward.as_mut()?.commons.as_mut()
    }

    fn told(&self, gate: Gate) -> IpAddr {
        let wards = [&self.gates.v4, &self.gates.v6].into_iter().flatten();
        let mut mouths = wards.map(|ward| &ward.mouth);
        mouths
            .find(|mouth| mouth.bind == gate.address)
            .map_or(gate.address, |mouth| mouth.advertise)
    }

    fn fill(&mut self, bytes: &mut [u8]) {
        self.entropy.fill(bytes);
    }
}

/// Pairs of ports that are kept for calls under way: two parties with two media lines each.
const SPARE: usize = 4;
