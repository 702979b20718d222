//! Which client transactions wait for an answer on a flow, so that one failed flow costs as much as
//! it fails, however many transactions there are.
//!
//! A ring per flow, linked through the transactions' slot numbers; putting in and taking out look
//! for nothing but the flow.

use std::collections::BTreeMap;

use slab::Slab;

use crate::sip::flow::Flow;

/// Slot numbers by the flow they wait on, each at most once, in the order they were put in.
#[derive(Debug, Default)]
pub(super) struct ByFlow {
    /// A flow that nobody waits on has no ring, so there are never more rings than slots.
    rings: Slab<Ring>,
    by_flow: BTreeMap<Flow, u32>,
    /// By slot number.
    links: Vec<Link>,
}

#[derive(Debug)]
struct Ring {
    flow: Flow,
    first: u32,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    /// `NONE`: the slot waits on no flow.
    ring: u32,
    previous: u32,
    next: u32,
}

impl ByFlow {
    /// Puts `slot` in, as the last that waits on `flow`.
    pub(super) fn insert(&mut self, slot: u32, flow: Flow) {
        self.remove(slot);
        let rings = &mut self.rings;
        let ring = *self
            .by_flow
            .entry(flow)
            .or_insert_with(|| rings.insert(Ring { flow, first: slot }) as u32);
        let first = rings.get(ring as usize).map_or(slot, |ring| ring.first);
        let last = self.link(first).map_or(slot, |first| first.previous);
        if self.links.len() <= slot as usize {
            self.links.resize(slot as usize + 1, UNLINKED);
        }
        if let Some(link) = self.links.get_mut(slot as usize) {
            *link = Link {
                ring,
                previous: last,
                next: first,
            };
        }
        self.join(last, slot);
        self.join(slot, first);
    }

    /// Takes `slot` out, if it is in.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(link) = self.link(slot) else {
            return;
        };
        let Link {
            ring,
            previous,
            next,
        } = std::mem::replace(link, UNLINKED);
        if next == slot {
            if let Some(ring) = self.rings.try_remove(ring as usize) {
                self.by_flow.remove(&ring.flow);
            }
            return;
        }
        self.join(previous, next);
        if let Some(ring) = self.rings.get_mut(ring as usize)
            && ring.first == slot
        {
            ring.first = next;
        }
    }

    /// Takes out the first slot that waits on `flow`.
    pub(super) fn pop(&mut self, flow: &Flow) -> Option<u32> {
        let ring = *self.by_flow.get(flow)?;
        let slot = self.rings.get(ring as usize)?.first;
        self.remove(slot);
        Some(slot)
    }

    fn link(&mut self, slot: u32) -> Option<&mut Link> {
        self.links
            .get_mut(slot as usize)
            .filter(|link| link.ring != NONE)
    }

    /// Makes `next` the one after `previous`.
    fn join(&mut self, previous: u32, next: u32) {
        if let Some(link) = self.link(previous) {
            link.next = next;
        }
        if let Some(link) = self.link(next) {
            link.previous = previous;
        }
    }
}

/// No ring.
const NONE: u32 = u32::MAX;
const UNLINKED: Link = Link {
    ring: NONE,
    previous: NONE,
    next: NONE,
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sip::flow::Transport::{Tcp, Udp};
    use crate::transaction::tests::flow;

    #[test]
    fn those_of_one_flow_come_out_in_the_order_they_were_put_in() {
        let mut waiting = ByFlow::default();
        for slot in [3, 0, 2] {
            waiting.insert(slot, flow(Udp));
        }
        waiting.insert(1, flow(Tcp));
        waiting.remove(0);
        waiting.remove(7);

        assert_eq!(waiting.pop(&flow(Udp)), Some(3));
        assert_eq!(waiting.pop(&flow(Udp)), Some(2));
        assert_eq!(waiting.pop(&flow(Udp)), None);
        assert_eq!(waiting.pop(&flow(Tcp)), Some(1));
        assert!(waiting.rings.is_empty());
        assert!(waiting.by_flow.is_empty());
    }

    proptest! {
        #[test]
        fn it_does_what_a_list_per_flow_would_do(
            steps in prop::collection::vec((0..3u8, 0..12u32, any::<bool>()), 1..200)
        ) {
            let mut waiting = ByFlow::default();
            let mut model: Vec<(u32, Flow)> = Vec::new();
            for (what, slot, udp) in steps {
                let flow = flow(if udp { Udp } else { Tcp });
                match what {
                    0 => {
                        waiting.insert(slot, flow);
                        model.retain(|(other, _)| *other != slot);
                        model.push((slot, flow));
                    }
                    1 => {
                        waiting.remove(slot);
                        model.retain(|(other, _)| *other != slot);
                    }
                    _ => {
                        let first = model.iter().position(|(_, on)| *on == flow);
                        let expected = first.map(|first| model.remove(first).0);
                        prop_assert_eq!(waiting.pop(&flow), expected);
                    }
                }
            }
        }
    }
}
