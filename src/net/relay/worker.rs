//! One thread of the relay: reads what is readable, decides, sends.

mod leases;
mod session;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use slab::Slab;

use crate::media::passage::{GROWTH, Pass, Verdict, Way, Why};
use crate::media::plan::{Gate, SessionId};
use crate::net::batch::{Inbound, Outbound, RECEIVE_BATCH};
use crate::net::clock;
use crate::net::offload::Offload;
use crate::net::relay::orders::Orders;
use crate::net::relay::worker::session::Session;
use crate::net::relay::{Event, Settings};
use crate::telemetry::media::{MediaCounts, MediaTally};

/// A thread's sessions and sockets.
pub(super) struct Worker {
    poll: Poll,
    orders: Arc<Orders>,
    doors: Slab<Door>,
    sessions: Slab<Session>,
    by_id: HashMap<SessionId, usize>,
    /// The doors of shared gates: RTP, RTCP.
    shared: HashMap<Gate, Doors>,
    inbound: Inbound,
    outbound: Outbound,
    leaving: Vec<Leaving>,
    tally: MediaTally,
    on_event: Arc<dyn Fn(Event) + Send + Sync>,
    keeps_digits: bool,
    /// Where streams are lent to; `None`: nowhere.
    offload: Option<Arc<Offload>>,
    /// When sessions are next looked at, some at a time.
    next_round: Instant,
    /// How far that has come.
    cursor: usize,
    /// Lines about foreign packets that may still be told this second.
    allowance: u32,
}

/// Tokens of a gate's two doors: RTP, RTCP.
type Doors = [usize; 2];

/// A socket.
struct Door {
    socket: UdpSocket,
    owner: Owner,
}

/// Whose packets a socket brings.
enum Owner {
    /// One party's.
    One { session: usize, way: Way },
    /// Many, by where they come from. Its size is bounded by the books' claims.
    Many(HashMap<SocketAddr, (usize, Way)>),
}

/// A packet that is on its way out.
struct Leaving {
    /// Where it is in the receive buffers.
    index: usize,
    door: usize,
    pass: Pass,
}

impl Worker {
    /// Prepares a worker, in the thread that it will work in.
    pub(super) fn new(
        poll: Poll,
        orders: Arc<Orders>,
        settings: Settings,
        (counts, offload): (Arc<MediaCounts>, Option<Arc<Offload>>),
        on_event: Arc<dyn Fn(Event) + Send + Sync>,
    ) -> Self {
        Self {
            poll,
            orders,
            doors: Slab::new(),
            sessions: Slab::new(),
            by_id: HashMap::new(),
            shared: HashMap::new(),
            inbound: Inbound::with_room(ROOM),
            outbound: Outbound::new(),
            leaving: Vec::with_capacity(RECEIVE_BATCH),
            tally: MediaTally::new(counts),
            on_event,
            keeps_digits: settings.keeps_digits,
            offload,
            next_round: clock::now(),
            cursor: 0,
            allowance: FOREIGN_TOLD,
        }
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut ready: Vec<usize> = Vec::with_capacity(EVENTS);
        // Doors that had more than their share.
        let mut again: Vec<usize> = Vec::new();
        let mut orders = VecDeque::new();
        loop {
            match self.poll.poll(&mut events, self.timeout(!again.is_empty())) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // An epoll that does not work is gone for good; `is_broken` says so.
                Err(error) => return self.tell_broken(None, error),
            }
            let now = clock::now();
            ready.append(&mut again);
            let mut is_rung = false;
            for event in &events {
                match event.token() {
                    BELL => is_rung = true,
                    Token(door) => ready.push(door),
                }
            }
            for door in ready.drain(..) {
                if self.read(now, door) {
                    again.push(door);
                }
            }
            if is_rung {
                self.orders.take(&mut orders);
                for order in orders.drain(..) {
                    self.carry_out(now, order);
                }
                if self.orders.is_over() {
                    return self.tally.publish();
                }
            }
            if now >= self.next_round {
                self.go_round(now);
            }
        }
    }

    fn timeout(&self, is_more: bool) -> Option<Duration> {
        if is_more {
            return Some(Duration::ZERO);
        }
        if self.sessions.is_empty() {
            return None;
        }
        Some(self.next_round.saturating_duration_since(clock::now()))
    }

    /// Reads a socket until it is empty, or has had its share: then there is more, and no event will say so.
    fn read(&mut self, now: Instant, door: usize) -> bool {
        let most = match self.doors.get(door).map(|door| &door.owner) {
            Some(Owner::One { .. }) => OWN_BATCH,
            Some(Owner::Many(_)) => RECEIVE_BATCH,
            // It was closed meanwhile.
            None => return false,
        };
        for _ in 0..SHARE / most {
            let Some(Door { socket, .. }) = self.doors.get(door) else {
                return false;
            };
            match self.inbound.receive_some(socket.as_fd(), most) {
                Ok(count) => {
                    self.pass_on(now, door, count);
                    if count < most {
                        return false;
                    }
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EAGAIN) => return false,
                    Some(libc::EBADF | libc::ENOTSOCK | libc::EINVAL | libc::EFAULT) => {
                        let session = self.session_of(door);
                        self.tell_broken(session, error);
                        return false;
                    }
                    // A signal, or what ICMP says of a packet that we sent.
                    _ => {}
                },
            }
        }
        true
    }

    /// Decides on the packets that were received last, and sends them.
    fn pass_on(&mut self, now: Instant, door: usize, count: usize) {
        let Some(near) = self.doors.get(door) else {
            return;
        };
        let owner = &near.owner;
        for index in 0..count {
            let Some((source, room, length)) = self.inbound.take_room(index) else {
                continue;
            };
            let found = match owner {
                Owner::One { session, way } => Some((*session, *way)),
                Owner::Many(parties) => parties.get(&source).copied(),
            };
            let known = found.and_then(|(slot, way)| Some((self.sessions.get_mut(slot)?, way)));
            let Some((session, way)) = known else {
                self.tally.drop(Why::Foreign);
                if let Owner::Many(parties) = owner
                    && self.allowance > 0
                {
                    // Looking for whose it may be costs time, so it is done for some of them only.
                    self.allowance -= 1;
                    // A party at this address that has not been heard yet may send from another port than it says.
                    let near = parties.keys().filter(|place| place.ip() == source.ip());
                    let mut near = near.filter_map(|place| parties.get(place).copied());
                    let silent = near.find(|(slot, way)| {
                        let session = self.sessions.get(*slot);
                        session.is_some_and(|session| !session.passage.has_heard(*way))
                    });
                    if let Some((slot, way)) = silent
                        && let Some(session) = self.sessions.get_mut(slot)
                    {
                        session.passage.count_foreign(way);
                        let event = session.foreign(now, way.party, source);
                        event.into_iter().for_each(|event| (self.on_event)(event));
                    }
                }
                continue;
            };
            if length + GROWTH > ROOM {
                // The rest of it is lost.
                self.tally.drop(Why::Malformed);
                continue;
            }
            session.copy(
                now,
                near,
                (false, source),
                room.get(..length).unwrap_or_default(),
            );
            if let Some(offload) = &self.offload {
                let bytes = room.get(..length).unwrap_or_default();
                let desks = (&**offload, &mut self.tally);
                session.take_back_for(now, (way, source), bytes, desks);
            }
            match session.passage.handle(now, way, source, room, length) {
                Verdict::Pass(pass) => {
                    let doors = session.doors.get(usize::from(way.stream));
                    let doors = doors.and_then(|doors| doors.get(way.party.other().index()));
                    let Some([rtp, rtcp]) = doors else {
                        continue;
                    };
                    let door = if pass.by_control { *rtcp } else { *rtp };
                    if !session.taps.is_empty()
                        && let Some(far) = self.doors.get(door)
                    {
                        let bytes = room.get(..pass.length).unwrap_or_default();
                        session.copy(now, far, (true, pass.to), bytes);
                    }
                    self.leaving.push(Leaving { index, door, pass });
                }
                Verdict::Drop(why) => {
                    self.tally.drop(why);
                    if why == Why::Foreign
                        && self.allowance > 0
                        && let Some(event) = session.foreign(now, way.party, source)
                    {
                        self.allowance -= 1;
                        (self.on_event)(event);
                    }
                }
            }
        }
        self.send();
    }

    /// Sends what is leaving: what leaves one after the other by one socket in one call.
    fn send(&mut self) {
        let mut leaving = self.leaving.as_slice();
        while let Some(first) = leaving.first() {
            let run = leaving
                .iter()
                .take_while(|packet| packet.door == first.door)
                .count();
            let (now, later) = leaving.split_at(run.max(1));
            leaving = later;
            let Some(Door { socket, .. }) = self.doors.get(first.door) else {
                continue;
            };
            if let [packet] = now {
                let bytes = self.inbound.bytes(packet.index, packet.pass.length);
                let sent = socket.send_to(bytes, packet.pass.to);
                self.tally
                    .sent(packet.pass.is_rtcp, bytes.len(), sent.map(drop));
                continue;
            }
            let mut rest = now;
            while let Some(packet) = rest.first() {
                let messages = rest.iter().map(|packet| {
                    let bytes = self.inbound.bytes(packet.index, packet.pass.length);
                    (packet.pass.to, bytes)
                });
                let result = self.outbound.send(socket.as_fd(), messages, false);
                let count = match result {
                    Ok(count) => {
                        for packet in rest.iter().take(count) {
                            let Pass {
                                is_rtcp, length, ..
                            } = packet.pass;
                            self.tally.sent(is_rtcp, length, Ok(()));
                        }
                        count
                    }
                    Err(error) => {
                        self.tally.sent(packet.pass.is_rtcp, 0, Err(error));
                        1
                    }
                };
                rest = rest.get(count.max(1)..).unwrap_or_default();
            }
        }
        self.leaving.clear();
    }

    /// Looks at some of the sessions: at each of them once a second.
    fn go_round(&mut self, now: Instant) {
        self.next_round = now + ROUND;
        let all = self.sessions.capacity();
        if self.cursor >= all {
            self.cursor = 0;
            self.allowance = FOREIGN_TOLD;
            self.tally.publish();
        }
        let end = self.cursor + all.div_ceil(ROUNDS);
        for slot in mem::replace(&mut self.cursor, end)..end {
            let Some(session) = self.sessions.get_mut(slot) else {
                continue;
            };
            session.taps.retain(|tap| !tap.is_over(now));
            if let Some(offload) = &self.offload {
                session.go_round_leases(now, offload, &mut self.tally);
            }
            if let Some(quiet) = session.passage.check(now) {
                let session = session.id;
                self.tally.add_quiet(quiet);
                (self.on_event)(Event::Quiet { session, quiet });
            }
        }
    }

    fn session_of(&self, door: usize) -> Option<SessionId> {
        match self.doors.get(door)?.owner {
            Owner::One { session, .. } => Some(self.sessions.get(session)?.id),
            Owner::Many(_) => None,
        }
    }

    fn tell_broken(&self, session: Option<SessionId>, error: io::Error) {
        (self.on_event)(Event::Broken { session, error });
    }
}

/// Events of one epoll call at most. All packets of one are taken to have come at the same time.
const EVENTS: usize = 64;

/// Where orders show up.
pub(super) const BELL: Token = Token(usize::MAX);

/// Room for one packet, in bytes: more than an Ethernet frame holds.
const ROOM: usize = 2048;

/// Packets received of one party's socket in one call. There is seldom more than one, and asking for more than come costs
/// nothing, while a call that brings less than it could need not be made again to hear that there is nothing.
const OWN_BATCH: usize = 4;

/// Packets read of one socket before others get their turn.
const SHARE: usize = 256;

/// Time between two looks at sessions.
const ROUND: Duration = Duration::from_millis(250);

/// Looks until all have been looked at.
const ROUNDS: usize = 4;

/// Foreign packets that are told of in a second.
const FOREIGN_TOLD: u32 = 20;
