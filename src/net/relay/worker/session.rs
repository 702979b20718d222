//! What a worker does when a plan comes, and when a call is over.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Token};
use slab::Slab;
use smallvec::SmallVec;

use crate::media::figures::Figures;
use crate::media::passage::{Passage, Way};
use crate::media::plan::{Gate, Party, Plan, Remote, SessionId};
use crate::net::relay::Event;
use crate::net::relay::orders::{Opened, Order};
use crate::net::relay::tap::Tap;
use crate::net::relay::worker::leases::Lease;
use crate::net::relay::worker::{Door, Doors, Owner, ROUND, Worker};
use crate::telemetry::media::Back;

/// One call.
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) passage: Passage,
    /// Of each stream and each party.
    pub(super) doors: SmallVec<[[Doors; 2]; 1]>,
    /// Those that are its own.
    own: SmallVec<[(Gate, Doors); 2]>,
    /// Its addresses on shared doors.
    claims: SmallVec<[(usize, SocketAddr); 2]>,
    /// Where its packets are copied to: nowhere, as a rule.
    pub(super) taps: Vec<Tap>,
    /// Of each stream, if any may be lent.
    pub(super) leases: Vec<Lease>,
    /// When foreign packets were told of last.
    told: Option<Instant>,
}

impl Worker {
    pub(super) fn carry_out(&mut self, now: Instant, order: Order) {
        match order {
            Order::Connect {
                session,
                plan,
                opened,
            } => self.connect(now, session, &plan, opened),
            Order::Share(Opened { gate, sockets }) => {
                let doors = sockets.map(|socket| self.open(None, socket));
                self.shared.insert(gate, doors);
            }
            Order::Tap { session, tap } => {
                let slot = self.by_id.get(&session);
                if let Some(session) = slot.and_then(|slot| self.sessions.get_mut(*slot)) {
                    let tally = (&mut self.tally, Back::Tap);
                    session.take_all_back(now, self.offload.as_deref(), tally);
                    session.taps.push(*tap);
                }
            }
            Order::Close { session, done } => done(self.close(now, session)),
        }
    }

    fn connect(&mut self, now: Instant, id: SessionId, plan: &Plan, opened: Vec<Opened>) {
        let slot = match self.by_id.get(&id) {
            Some(slot) => {
                if let Some(session) = self.sessions.get_mut(*slot) {
                    let tally = (&mut self.tally, Back::Plan);
                    session.take_all_back(now, self.offload.as_deref(), tally);
                    session.passage.renew(now, plan);
                }
                *slot
            }
            None => {
                if self.sessions.is_empty() {
                    self.next_round = now + ROUND;
                }
                let passage = Passage::new(now, plan, self.keeps_digits);
                let slot = self.sessions.insert(Session::new(id, passage));
                self.by_id.insert(id, slot);
                self.tally.add_session();
                slot
            }
        };
        for Opened { gate, sockets } in opened {
            let of = (!gate.is_shared).then_some(id);
            let doors = sockets.map(|socket| self.open(of, socket));
            if gate.is_shared {
                self.shared.insert(gate, doors);
            } else if let Some(session) = self.sessions.get_mut(slot) {
                session.own.push((gate, doors));
            }
        }
        let Some(session) = self.sessions.get_mut(slot) else {
            return;
        };
        unclaim(&mut self.doors, session);
        session.doors.clear();
        for (stream, number) in plan.streams.iter().zip(0..) {
            let mut of_stream = [[NO_DOOR; 2]; 2];
            for (party, doors) in Party::BOTH.into_iter().zip(&mut of_stream) {
                let Some(end) = stream.ends.get(party.index()) else {
                    continue;
                };
                let gate = end.gate;
                let own = session.own.iter().find(|(own, _)| *own == gate);
                let found = own.map(|(_, doors)| doors).or(self.shared.get(&gate));
                *doors = found.copied().unwrap_or([NO_DOOR; 2]);
                // With RTCP beside RTP, nothing is the party's on the second port.
                let control = |remote: Remote| Some(remote.rtcp).filter(|_| !remote.is_mux());
                let places = end.remote.map(|remote| [Some(remote.rtp), control(remote)]);
                for ((token, is_control), at) in doors.iter().zip([false, true]).zip(0..) {
                    let way = Way {
                        stream: number,
                        party,
                        is_control,
                    };
                    let place = places.as_ref().and_then(|places| *places.get::<usize>(at)?);
                    match self.doors.get_mut(*token).map(|door| &mut door.owner) {
                        Some(Owner::One { session, way: old }) => {
                            (*session, *old) = (slot, way);
                        }
                        Some(Owner::Many(parties)) => {
                            if let Some(place) = place {
                                parties.insert(place, (slot, way));
                                session.claims.push((*token, place));
                            }
                        }
                        None => {}
                    }
                }
            }
            session.doors.push(of_stream);
        }
        let is_planned = |gate: Gate| {
            let mut ends = plan.streams.iter().flat_map(|stream| &stream.ends);
            ends.any(|end| end.gate == gate)
        };
        session.own.retain(|(gate, doors)| {
            let stays = is_planned(*gate);
            if !stays {
                shut(&mut self.doors, *doors);
            }
            stays
        });
    }

    /// Listens on a socket from now on, which is this session's; `None`: it is for many.
    fn open(&mut self, session: Option<SessionId>, socket: UdpSocket) -> usize {
        let owner = match session {
            None => Owner::Many(HashMap::new()),
            // Set before anything is read.
            Some(_) => Owner::One {
                session: usize::MAX,
                way: Way {
                    stream: 0,
                    party: Party::Caller,
                    is_control: false,
                },
            },
        };
        let descriptor = socket.as_raw_fd();
        let door = self.doors.insert(Door { socket, owner });
        let result = self.poll.registry().register(
            &mut SourceFd(&descriptor),
            Token(door),
            Interest::READABLE,
        );
        if let Err(error) = result {
            self.tell_broken(session, error);
        }
        door
    }

    fn close(&mut self, now: Instant, id: SessionId) -> Figures {
        let slot = self.by_id.remove(&id);
        let Some(mut session) = slot.and_then(|slot| self.sessions.try_remove(slot)) else {
            return Figures::default();
        };
        // First: a port that is closed may be another call's at once.
        let tally = (&mut self.tally, Back::End);
        session.take_all_back(now, self.offload.as_deref(), tally);
        unclaim(&mut self.doors, &mut session);
        for (_, doors) in &session.own {
            shut(&mut self.doors, *doors);
        }
        let figures = session.passage.figures();
        self.tally.remove_session(&figures);
        if self.sessions.is_empty() {
            self.tally.publish();
        }
        figures
    }
}

impl Session {
    fn new(id: SessionId, passage: Passage) -> Self {
        Self {
            id,
            passage,
            doors: SmallVec::new(),
            own: SmallVec::new(),
            claims: SmallVec::new(),
            taps: Vec::new(),
            leases: Vec::new(),
            told: None,
        }
    }

    /// Copies a packet, if anybody looks.
    #[inline]
    pub(super) fn copy(
        &mut self,
        now: Instant,
        door: &Door,
        (is_ours, remote): (bool, SocketAddr),
        bytes: &[u8],
    ) {
        if !self.taps.is_empty() {
            self.copy_to_taps(now, door, (is_ours, remote), bytes);
        }
    }

    #[cold]
    fn copy_to_taps(
        &mut self,
        now: Instant,
        door: &Door,
        (is_ours, remote): (bool, SocketAddr),
        bytes: &[u8],
    ) {
        let Ok(own) = door.socket.local_addr() else {
            return;
        };
        let way = if is_ours {
            (own, remote)
        } else {
            (remote, own)
        };
        self.taps.retain_mut(|tap| tap.note(now, way, bytes));
    }

    /// What is to be told of a foreign packet, if anything.
    pub(super) fn foreign(
        &mut self,
        now: Instant,
        party: Party,
        source: SocketAddr,
    ) -> Option<Event> {
        let is_due = self
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= FOREIGN_PAUSE);
        is_due.then(|| {
            self.told = Some(now);
            Event::Foreign {
                session: self.id,
                party,
                source,
            }
        })
    }
}

/// Takes a session's addresses off the shared doors.
fn unclaim(doors: &mut Slab<Door>, session: &mut Session) {
    for (door, place) in session.claims.drain(..) {
        if let Some(Owner::Many(parties)) = doors.get_mut(door).map(|door| &mut door.owner) {
            parties.remove(&place);
        }
    }
}

/// Closes sockets; epoll forgets them by that.
fn shut(doors: &mut Slab<Door>, tokens: Doors) {
    for token in tokens {
        doors.try_remove(token);
    }
}

/// The token of no door.
const NO_DOOR: usize = usize::MAX;

/// Time between two foreign packets to one session that are told of.
const FOREIGN_PAUSE: Duration = Duration::from_secs(10);
