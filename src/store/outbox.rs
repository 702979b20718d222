//! Which delivery is next: those of one call one after another, those of different calls side by side.
//!
//! ```text
//!   call a   [phase 0: 4] [phase 0: 5] [phase 1: 9]     only the first of a call can be due
//!   call b   [phase 0: 7]                               again: due later, and still the first of its call
//!            done, or given up: the next one is the first
//! ```
//!
//! The requests themselves are in the tables; here are their numbers only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::store::entry::DeliveryId;
use crate::types::ids::CallUuid;
use crate::types::moment::Moment;

/// How long a delivery that failed waits: after the first attempt, after the second ... After one more it is given up.
const PAUSES: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
];

/// When a delivery is due again of which so many attempts have failed, the last one at `now`; `None`: it is given up.
#[must_use]
pub fn next_attempt(now: Moment, tries: u8) -> Option<Moment> {
    let pause = PAUSES.get(usize::from(tries.checked_sub(1)?))?;
    Some(now.after(*pause))
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// By call, its deliveries in order.
    calls: HashMap<CallUuid, BTreeMap<(u8, DeliveryId), Moment>>,
    /// Where each is.
    places: HashMap<DeliveryId, (CallUuid, u8)>,
    /// The first of each call, unless it is under way.
    due: BTreeSet<(Moment, DeliveryId)>,
    under_way: BTreeSet<DeliveryId>,
}

impl Outbox {
    /// An empty one, for what this one holds: what is under way stays so once it is added.
    pub(super) fn emptied(&self) -> Self {
        Self {
            under_way: self.under_way.clone(),
            ..Self::default()
        }
    }

    /// All has been added: what is under way and was not is settled.
    pub(super) fn close(&mut self) {
        let places = &self.places;
        self.under_way.retain(|id| places.contains_key(id));
    }

    /// Takes in one more, which is due at `due` or when it is the first of its call.
    pub(super) fn add(&mut self, id: DeliveryId, call: CallUuid, phase: u8, due: Moment) {
        self.hide(call);
        self.places.insert(id, (call, phase));
        self.calls.entry(call).or_default().insert((phase, id), due);
        self.show(call);
    }

    /// The next that is due, and is under way from now on.
    pub(super) fn take(&mut self, now: Moment) -> Option<DeliveryId> {
        let (due, id) = self.due.first().copied()?;
        if due > now {
            return None;
        }
        self.due.pop_first();
        self.under_way.insert(id);
        Some(id)
    }

    /// When the next one is due; `None`: none waits for its time.
    pub(super) fn next_due(&self) -> Option<Moment> {
        self.due.first().map(|(due, _)| *due)
    }

    /// It failed, and is due again.
    pub(super) fn postpone(&mut self, id: DeliveryId, due: Moment) {
        let Some((call, phase)) = self.places.get(&id).copied() else {
            return;
        };
        self.hide(call);
        self.under_way.remove(&id);
        if let Some(entry) = self
            .calls
            .get_mut(&call)
            .and_then(|queue| queue.get_mut(&(phase, id)))
        {
            *entry = due;
        }
        self.show(call);
    }

    /// It is done, or given up.
    pub(super) fn remove(&mut self, id: DeliveryId) {
        let Some((call, phase)) = self.places.remove(&id) else {
            return;
        };
        self.hide(call);
        self.under_way.remove(&id);
        if let Some(queue) = self.calls.get_mut(&call) {
            queue.remove(&(phase, id));
            if queue.is_empty() {
                self.calls.remove(&call);
            }
        }
        self.show(call);
    }

    /// How many wait, those under way included.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// How many are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Before the deliveries of a call change: its first one may be another one then.
    fn hide(&mut self, call: CallUuid) {
        if let Some((id, due)) = self.first(call) {
            self.due.remove(&(due, id));
        }
    }

    fn show(&mut self, call: CallUuid) {
        let queue = self.calls.get(&call);
        // One that is under way goes before all others, also before one that came later and belongs before it.
        let is_busy = queue.is_some_and(|queue| {
            let mut ids = queue.keys().map(|(_, id)| id);
            ids.any(|id| self.under_way.contains(id))
        });
        if let Some((id, due)) = self.first(call)
            && !is_busy
        {
            self.due.insert((due, id));
        }
    }

    fn first(&self, call: CallUuid) -> Option<(DeliveryId, Moment)> {
        let ((_, id), due) = self.calls.get(&call)?.first_key_value()?;
        Some((*id, *due))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn deliveries_of_a_call_go_one_after_another_by_phase() {
        let mut outbox = Outbox::default();
        for (id, phase) in [(1, 1), (2, 0), (3, 0)] {
            outbox.add(DeliveryId(id), call(1), phase, at(0));
        }
        outbox.add(DeliveryId(4), call(2), 0, at(0));

        assert_eq!(take_all(&mut outbox, 0), [2, 4]);
        outbox.remove(DeliveryId(2));
        assert_eq!(take_all(&mut outbox, 0), [3]);
        outbox.remove(DeliveryId(3));
        assert_eq!(take_all(&mut outbox, 0), [1]);
        outbox.remove(DeliveryId(1));
        outbox.remove(DeliveryId(4));

        assert_eq!((outbox.len(), outbox.under_way()), (0, 0));
        assert_eq!(outbox.next_due(), None);
    }

    #[test]
    fn one_that_failed_holds_up_its_call_and_no_other() {
        let mut outbox = Outbox::default();
        outbox.add(DeliveryId(1), call(1), 0, at(0));
        outbox.add(DeliveryId(2), call(1), 0, at(0));
        outbox.add(DeliveryId(3), call(2), 0, at(500));

        assert_eq!(take_all(&mut outbox, 0), [1]);
        outbox.postpone(DeliveryId(1), at(1000));
        assert_eq!(outbox.next_due(), Some(at(500)));
        assert_eq!(take_all(&mut outbox, 999), [3]);
        assert_eq!(take_all(&mut outbox, 1000), [1]);
        outbox.remove(DeliveryId(1));

        assert_eq!(take_all(&mut outbox, 1000), [2]);
    }

    #[test]
    fn one_that_comes_late_waits_for_the_one_under_way_whatever_its_phase() {
        let mut outbox = Outbox::default();
        outbox.add(DeliveryId(1), call(1), 1, at(0));
        assert_eq!(take_all(&mut outbox, 0), [1]);

        outbox.add(DeliveryId(2), call(1), 0, at(0));
        assert_eq!(take_all(&mut outbox, 0), [0; 0]);
        outbox.postpone(DeliveryId(1), at(1000));

        assert_eq!(take_all(&mut outbox, 0), [2]);
    }

    #[test]
    fn pauses_grow_and_come_to_an_end() {
        let pauses: Vec<_> = (0..=6)
            .map(|tries| next_attempt(at(0), tries).map(|due| due.millis()))
            .collect();

        let seconds = [1, 10, 60, 600].map(|seconds| Some(seconds * 1000));
        assert_eq!(pauses[0], None);
        assert_eq!(pauses[1..=4], seconds);
        assert_eq!(pauses[5..], [None, None]);
    }

    proptest! {
        /// Whatever happens in whatever order: each delivery is done once, never two of a call at once, and a call's
        /// deliveries that are there together go by phase and number.
        #[test]
        fn nothing_is_forgotten_or_overtaken(
            calls in prop::collection::vec((0..4_u8, 0..3_u8), 1..40),
            luck in prop::collection::vec(0..3_u8, 1..20),
        ) {
            let mut outbox = Outbox::default();
            for (id, (whose, phase)) in (0..).zip(&calls) {
                outbox.add(DeliveryId(id), call(*whose), *phase, at(0));
            }
            let mut done = Vec::new();
            let mut luck = luck.into_iter().cycle();
            let mut now = 0;
            while outbox.len() > 0 {
                let taken = take_all(&mut outbox, now);
                let whose: BTreeSet<_> = taken.iter().map(|id| calls[*id as usize].0).collect();
                prop_assert_eq!(whose.len(), taken.len());
                for id in taken {
                    // The last of three is always well, so that there is an end.
                    if luck.next() == Some(0) && now < 50 {
                        outbox.postpone(DeliveryId(id), at(now + 7));
                    } else {
                        outbox.remove(DeliveryId(id));
                        done.push(id);
                    }
                }
                now += 1;
            }
            prop_assert_eq!(done.len(), calls.len());
            for whose in 0..4 {
                let order: Vec<_> = done.iter().filter(|id| calls[**id as usize].0 == whose)
                    .map(|id| (calls[*id as usize].1, *id)).collect();
                prop_assert!(order.is_sorted());
            }
        }
    }

    fn take_all(outbox: &mut Outbox, now: i64) -> Vec<u64> {
        let mut taken = Vec::new();
        while let Some(DeliveryId(id)) = outbox.take(at(now)) {
            taken.push(id);
        }
        taken
    }

    fn call(number: u8) -> CallUuid {
        CallUuid::from_bytes([number; 16])
    }

    fn at(millis: i64) -> Moment {
        Moment::from_millis(millis)
    }
}
