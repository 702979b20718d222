//! Which session has which ports, as those know who order: what the workers will have when all orders are carried out.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use smallvec::SmallVec;

use crate::media::plan::{End, Gate, Plan, SessionId};
use crate::media::ports::owner;
use crate::net::relay::Unbound;

/// The books of all workers.
#[derive(Default)]
pub(super) struct Books {
    sessions: HashMap<SessionId, Entry>,
    /// Who is heard on which shared port. As many as there are ends of sessions at most.
    claims: HashMap<Claim, SessionId>,
    /// Shared gates are opened once, and stay.
    shared: HashSet<Gate>,
}

/// What one session has.
#[derive(Default)]
pub(super) struct Entry {
    worker: usize,
    gates: SmallVec<[Gate; 2]>,
    claims: SmallVec<[Claim; 2]>,
    new_gates: SmallVec<[Gate; 2]>,
}

/// An address on a shared port of ours.
type Claim = (IpAddr, u16, SocketAddr);

impl Entry {
    /// The worker that has it.
    pub(super) fn worker(&self) -> usize {
        self.worker
    }

    /// The gates that have to be opened for it.
    pub(super) fn new_gates(&self) -> &[Gate] {
        &self.new_gates
    }
}

impl Books {
    /// Says what `session` will have by `plan`, of so many workers. A session that shares ports from the start is their
    /// worker's, others are shared out by number; all stay where they are.
    pub(super) fn check(
        &self,
        session: SessionId,
        plan: &Plan,
        workers: usize,
    ) -> Result<Entry, Unbound> {
        let ends = || plan.streams.iter().flat_map(|stream| &stream.ends);
        let shared = ends().map(|end| end.gate).find(|gate| gate.is_shared);
        let worker = match (self.sessions.get(&session), shared) {
            (Some(entry), _) => entry.worker,
            (None, Some(gate)) => owner(gate.port, workers),
            (None, None) => (session.0 % workers.max(1) as u64) as usize,
        };
        let mut entry = Entry {
            worker,
            ..Entry::default()
        };
        for end in ends() {
            let gate = end.gate;
            check_family(end)?;
            if !gate.is_shared {
                if entry.gates.contains(&gate) {
                    return Err(Unbound::Twice { gate });
                }
                entry.gates.push(gate);
                if !self.has(session, gate) {
                    entry.new_gates.push(gate);
                }
                continue;
            }
            if owner(gate.port, workers) != worker {
                return Err(Unbound::Elsewhere { gate });
            }
            if !self.shared.contains(&gate) && !entry.new_gates.contains(&gate) {
                entry.new_gates.push(gate);
            }
            for claim in claims_of(end) {
                let owner = self.claims.get(&claim);
                if owner.is_some_and(|owner| *owner != session) || entry.claims.contains(&claim) {
                    let (_, _, source_address) = claim;
                    return Err(Unbound::Clash {
                        gate,
                        source_address,
                    });
                }
                entry.claims.push(claim);
            }
        }
        // What we send to ourselves would come back for ever.
        let is_ours = |remote: SocketAddr| {
            let mut gates = ends().map(|end| end.gate);
            gates.any(|gate| gate.address == remote.ip() && gate.port == remote.port() & !1)
        };
        for end in ends() {
            let places = end.remote.map(|remote| [remote.rtp, remote.rtcp]);
            if let Some(remote) = places.into_iter().flatten().find(|place| is_ours(*place)) {
                return Err(Unbound::Unreachable {
                    gate: end.gate,
                    remote,
                });
            }
        }
        Ok(entry)
    }

    /// Enters what was checked, once its gates are open.
    pub(super) fn enter(&mut self, session: SessionId, mut entry: Entry) {
        self.close(session);
        let opened = entry.new_gates.drain(..);
        self.shared.extend(opened.filter(|gate| gate.is_shared));
        let claims = entry.claims.iter().map(|claim| (*claim, session));
        self.claims.extend(claims);
        self.sessions.insert(session, entry);
    }

    /// Strikes a session out, and says which worker had it; `None`: it is not there.
    pub(super) fn close(&mut self, session: SessionId) -> Option<usize> {
        let entry = self.sessions.remove(&session)?;
        for claim in &entry.claims {
            self.claims.remove(claim);
        }
        Some(entry.worker)
    }

    /// The worker that has a session.
    pub(super) fn worker_of(&self, session: SessionId) -> Option<usize> {
        Some(self.sessions.get(&session)?.worker)
    }

    /// Whether a shared gate is open.
    pub(super) fn is_open(&self, gate: Gate) -> bool {
        self.shared.contains(&gate)
    }

    /// Notes that a shared gate is open.
    pub(super) fn share(&mut self, gate: Gate) {
        self.shared.insert(gate);
    }

    /// Whether no session is left.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.claims.is_empty()
    }

    fn has(&self, session: SessionId, gate: Gate) -> bool {
        let entry = self.sessions.get(&session);
        entry.is_some_and(|entry| entry.gates.contains(&gate))
    }
}

/// The addresses by which a party's packets are known on shared ports.
pub(super) fn claims_of(end: &End) -> SmallVec<[Claim; 2]> {
    let mut claims = SmallVec::new();
    let Some(remote) = end.remote.filter(|_| end.gate.is_shared) else {
        return claims;
    };
    claims.push((end.gate.address, end.gate.port, remote.rtp));
    if !remote.is_mux() {
        let port = end.gate.port.saturating_add(1);
        claims.push((end.gate.address, port, remote.rtcp));
    }
    claims
}

fn check_family(end: &End) -> Result<(), Unbound> {
    let places = end.remote.map(|remote| [remote.rtp, remote.rtcp]);
    let other = places
        .into_iter()
        .flatten()
        .find(|place| place.is_ipv4() != end.gate.address.is_ipv4());
    match other {
        Some(remote) => Err(Unbound::Unreachable {
            gate: end.gate,
            remote,
        }),
        None => Ok(()),
    }
}
