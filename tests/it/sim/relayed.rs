//! What must hold of our relay, in every course of events: it knows of no call that is over, and no port has two calls.

use std::collections::{BTreeMap, HashMap, HashSet};

use strowger::call::record::{MediaAt, Record};
use strowger::media::plan::{Gate, Plan, SessionId};

/// What the relay was told.
pub(crate) struct Relayed {
    is_on: bool,
    plans: BTreeMap<SessionId, HashSet<Gate>>,
    taken: HashMap<Gate, SessionId>,
}

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
            if !gates.insert(end.gate) {
                return Err(format!("{:?} is planned twice", end.gate));
            }
            if let Some(other) = self.taken.insert(end.gate, id) {
                return Err(format!("{:?} is {other:?}'s", end.gate));
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
