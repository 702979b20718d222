//! All calls of a shard: by slot, which our tags name, and by what the caller called its INVITE; where others can say something of
//! calls, also by name and by caller.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use slab::Slab;
use smallvec::SmallVec;

use crate::call::call::{Call, State};
use crate::call::core::CallKey;
use crate::call::output::Gauges;
use crate::hooks::postback::About;
use crate::transaction::wheel::Wheel;
use crate::types::ids::{CallUuid, Mark};
use crate::types::number::Number;

/// The calls, bounded in number.
pub(crate) struct Registry {
    calls: Slab<Box<Call>>,
    /// Calls by Call-ID and From-tag of the caller, for requests that reach us on two ways (§8.2.2.2).
    arrivals: HashMap<Arrival, CallKey>,
    /// Calls by name, of which others can say something, each with its caller.
    names: HashMap<CallUuid, (CallKey, Option<Number>)>,
    /// The same calls by caller.
    callers: HashMap<Number, SmallVec<[CallKey; 1]>>,
    wheel: Wheel<CallKey>,
    serial: u32,
    limit: usize,
    /// The call that was last asked for, in order to change it.
    touched: Option<CallKey>,
}

/// Call-ID and From-tag of a caller's INVITE, and its CSeq.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Arrival(Box<[u8]>);

impl Arrival {
    pub(crate) fn new(call_id: &[u8], from_tag: &[u8], cseq: u32) -> Self {
        let mut text = Vec::with_capacity(call_id.len() + from_tag.len() + 5);
        text.extend_from_slice(call_id);
        // A Call-ID holds no NUL: the scanner saw to it.
        text.push(0);
        text.extend_from_slice(from_tag);
        text.extend_from_slice(&cseq.to_be_bytes());
        Self(text.into_boxed_slice())
    }

    /// Whether this is an INVITE of that Call-ID and From-tag.
    pub(crate) fn is_of(&self, call_id: &[u8], from_tag: &[u8]) -> bool {
        self.0
            .strip_prefix(call_id)
            .and_then(|rest| rest.strip_prefix(b"\0"))
            .and_then(|rest| rest.strip_prefix(from_tag))
            .is_some_and(|cseq| cseq.len() == 4)
    }
}

impl Registry {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            calls: Slab::new(),
            arrivals: HashMap::new(),
            names: HashMap::new(),
            callers: HashMap::new(),
            wheel: Wheel::new(),
            serial: 0,
            limit,
            touched: None,
        }
    }

    /// Takes so many calls at once from now on; those that are there stay.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    pub(crate) fn is_full(&self) -> bool {
        self.calls.len() >= self.limit
    }

    pub(crate) fn knows(&self, arrival: &Arrival) -> bool {
        self.arrivals.contains_key(arrival)
    }

    /// The key of the next call to be added.
    pub(crate) fn next_key(&mut self) -> CallKey {
        self.serial = self.serial.wrapping_add(1);
        CallKey {
            slot: u32::try_from(self.calls.vacant_key()).unwrap_or(u32::MAX),
            serial: self.serial,
        }
    }

    /// Adds the call that [`next_key`](Self::next_key) named.
    pub(crate) fn insert(&mut self, now: Instant, call: Box<Call>) {
        let key = call.key;
        self.arrivals.insert(call.arrival.clone(), key);
        if call.policy.hooks.is_posted_to() || call.is_abroad() {
            self.enlist(&call);
        }
        self.calls.insert(call);
        self.attend(now, key);
    }

    fn enlist(&mut self, call: &Call) {
        let caller = call.record.as_ref().and_then(|record| record.caller);
        self.names.insert(call.uuid, (call.key, caller));
        if let Some(caller) = caller {
            self.callers.entry(caller).or_default().push(call.key);
        }
    }

    fn strike_off(&mut self, uuid: CallUuid) {
        let Some((key, Some(caller))) = self.names.remove(&uuid) else {
            return;
        };
        if let Entry::Occupied(mut calls) = self.callers.entry(caller) {
            calls.get_mut().retain(|one| *one != key);
            if calls.get().is_empty() {
                calls.remove();
            }
        }
    }

    /// The calls that something can be said of.
    pub(crate) fn meant(&self, about: About) -> SmallVec<[CallKey; 1]> {
        match about {
            About::Call(uuid) => self
                .names
                .get(&uuid)
                .map(|(key, _)| *key)
                .into_iter()
                .collect(),
            About::Caller(caller) => self.callers.get(&caller).cloned().unwrap_or_default(),
        }
    }

    /// The call that was last asked for, once.
    pub(crate) fn take_touched(&mut self) -> Option<CallKey> {
        self.touched.take()
    }

    /// Takes the call that was last asked for out of the table.
    pub(crate) fn discard_touched(&mut self) -> Option<Box<Call>> {
        let key = self.touched.take()?;
        self.call(key)?;
        let call = self.calls.try_remove(key.slot as usize)?;
        self.arrivals.remove(&call.arrival);
        self.strike_off(call.uuid);
        Some(call)
    }

    pub(crate) fn call(&mut self, key: CallKey) -> Option<&mut Call> {
        self.touched = Some(key);
        self.calls
            .get_mut(key.slot as usize)
            .map(|call| &mut **call)
            .filter(|call| call.key == key)
    }

    /// The call, for whoever only looks.
    pub(crate) fn peek(&self, key: CallKey) -> Option<&Call> {
        let call = self.calls.get(key.slot as usize);
        call.map(|call| &**call).filter(|call| call.key == key)
    }

    /// The call that a tag of ours belongs to.
    pub(crate) fn marked(&mut self, mark: Mark) -> Option<&mut Call> {
        let call = self
            .calls
            .get_mut(mark.slot as usize)
            .map(|call| &mut **call)
            .filter(|call| call.side_of(mark).is_some())?;
        self.touched = Some(call.key);
        Some(call)
    }

    pub(crate) fn has_mark(&self, mark: Mark) -> bool {
        let call = self.calls.get(mark.slot as usize);
        call.is_some_and(|call| call.side_of(mark).is_some())
    }

    pub(crate) fn named(&self, uuid: CallUuid) -> Option<CallKey> {
        self.calls
            .iter()
            .map(|(_, call)| call)
            .find(|call| call.uuid == uuid)
            .map(|call| call.key)
    }

    pub(crate) fn keys(&self) -> Vec<CallKey> {
        self.calls.iter().map(|(_, call)| call.key).collect()
    }

    /// Looks after a call that has just been touched: sets its timer, or lets it go.
    pub(crate) fn attend(&mut self, now: Instant, key: CallKey) {
        let Some(call) = self.call(key) else {
            return;
        };
        if call.is_gone() {
            let call = self.calls.remove(key.slot as usize);
            self.arrivals.remove(&call.arrival);
            self.strike_off(call.uuid);
            return;
        }
        let Some(due) = call.poll_timeout() else {
            return;
        };
        // An entry outlives its call, so none is set far ahead: what is due later asks again then.
        let due = due.min(now + MOST_AHEAD);
        // A later entry stays for the time after; it will not be set again then.
        if call.scheduled.last().is_none_or(|earliest| due < *earliest) {
            call.scheduled.push(due);
            self.wheel.insert(now, due, key);
        }
    }

    /// The next call whose time may have come; ask until `None`.
    pub(crate) fn poll_due(&mut self, now: Instant) -> Option<CallKey> {
        while let Some(key) = self.wheel.pop(now) {
            if let Some(call) = self.call(key) {
                // It may stand for a timer that was stopped since.
                call.scheduled.pop();
                return Some(key);
            }
        }
        None
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.poll_timeout()
    }

    /// Counts for gauges. The walk is over all calls, so it is for a clock of seconds, not for messages.
    pub(crate) fn count(&self, gauges: &mut Gauges) {
        for (_, call) in &self.calls {
            match &call.state {
                State::Asking(asking) if asking.is_in_room() => gauges.calls_waiting += 1,
                State::Asking(_) | State::Hunting(_) => gauges.calls_ringing += 1,
                State::Talking(_) | State::Abroad(_) => gauges.calls_talking += 1,
                State::Ending(_) | State::Gone => gauges.calls_ending += 1,
            }
        }
        gauges.timers += self.wheel.len();
    }
}

/// How long the wheel may hold an entry of a call that is gone.
const MOST_AHEAD: Duration = Duration::from_secs(60);
