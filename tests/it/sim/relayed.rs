//! What must hold of our relay, in every course of events: it knows of no call that is over, and no port has two calls.

use std::collections::{BTreeMap, HashMap, HashSet};

use strowger::call::record::{MediaAt, Record};
use strowger::media::plan::{Gate, Plan, Remote, SessionId};

/// What the relay was told.
pub(crate) struct Relayed {
    is_on: bool,
    plans: BTreeMap<SessionId, HashSet<Place>>,
    taken: HashMap<Place, SessionId>,
}

/// Ports of a call alone, or who is heard where on those of many.
type Place = (Gate, Option<Remote>);

impl Relayed {
    pub(crate) fn new(is_on: bool) -> Self {
        Self {
            is_on,
            plans: BTreeMap::new(),
            taken: HashMap::new(),
        }
    }

    /// What stays of a body on its way.
    pub(crate) fn identity(&self, body: &str) -> String {
        let line = body.lines().find(|line| line.starts_with("a=x-sim:"));
        line.filter(|_| self.is_on).unwrap_or(body).to_owned()
    }

    pub(crate) fn plan(&mut self, id: SessionId, plan: &Plan) -> Result<(), String> {
        self.release(id);
        let mut gates = HashSet::new();
        for end in plan.streams.iter().flat_map(|stream| &stream.ends) {
            let place = match (end.gate.is_shared, end.remote) {
                (false, _) => (end.gate, None),
                (true, Some(remote)) => (end.gate, Some(remote)),
                (true, None) => continue,
            };
            if !gates.insert(place) {
                return Err(format!("{place:?} is planned twice"));
            }
            if let Some(other) = self.taken.insert(place, id) {
                return Err(format!("{place:?} is {other:?}'s"));
            }
        }
        self.plans.insert(id, gates);
        Ok(())
    }

    pub(crate) fn end(&mut self, record: &Record) -> Result<(), String> {
        match &record.media {
            Some(MediaAt::Relay(id)) if !self.plans.contains_key(id) => {
                Err(format!("{id:?} was never planned"))
            }
            Some(MediaAt::Relay(id)) => {
                self.release(*id);
                Ok(())
            }
            Some(MediaAt::Rtpengine(_)) | None => Ok(()),
        }
    }

    /// Calls that the relay still works for.
    pub(crate) fn left(&self) -> usize {
        self.plans.len()
    }

    fn release(&mut self, id: SessionId) {
        for gate in self.plans.remove(&id).unwrap_or_default() {
            self.taken.remove(&gate);
        }
    }
}
