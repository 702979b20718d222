//! The stage: three UDP sockets, one thread, and a clock. Plays a scene and writes down what is said.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};

use crate::edge::demo::DemoError;
use crate::edge::demo::buyer::{Buyer, Invite};
use crate::edge::demo::carrier::Carrier;
use crate::edge::demo::phone::{Actor, Phone};
use crate::edge::demo::scene::Scene;
use crate::edge::demo::trace::{Party, Seen, describe};
use crate::edge::disk;
use crate::net::clock;
use crate::sip::message::parse;
use crate::types::ids::Entropy;

/// The carrier and the buyers, each on a socket of its own.
pub(super) struct Stage {
    poll: Poll,
    events: Events,
    carrier: Place,
    buyers: [Place; 2],
    /// What was heard so far. What comes again was late, not lost, and is passed over.
    heard: BTreeSet<Vec<u8>>,
    entropy: Entropy,
}

/// What was seen of one call.
pub(super) struct Played {
    pub(super) messages: Vec<Seen>,
    /// Call-ID of the carrier's leg.
    pub(super) call_id: String,
    /// The session description that came with the answer; empty: none.
    pub(super) answer: Vec<u8>,
    /// What each buyer was offered.
    pub(super) invites: [Vec<Invite>; 2],
    /// Whether everyone had said all in time.
    pub(super) is_complete: bool,
}

impl Stage {
    /// Takes three free ports.
    pub(super) fn open() -> io::Result<Self> {
        let poll = Poll::new()?;
        Ok(Self {
            carrier: Place::open(Party::Carrier, &poll)?,
            buyers: [
                Place::open(Party::BuyerOne, &poll)?,
                Place::open(Party::BuyerTwo, &poll)?,
            ],
            poll,
            events: Events::with_capacity(8),
            heard: BTreeSet::new(),
            entropy: Entropy::from_seed(disk::draw()?),
        })
    }

    /// The buyers' addresses.
    pub(super) fn buyers(&self) -> [SocketAddr; 2] {
        self.buyers.each_ref().map(|buyer| buyer.local)
    }

    /// Plays `scene` with the edge at `edge`, until everyone has said all or [`LIMIT`] is over.
    pub(super) fn play(
        &mut self,
        scene: &'static Scene,
        edge: SocketAddr,
    ) -> Result<Played, DemoError> {
        let entropy = &mut self.entropy;
        let mut out = Vec::new();
        let phone = self.carrier.phone("carrier", edge, entropy);
        let mut carrier = Carrier::call(phone, &scene.carrier, &mut out)?;
        let [one, two] = &self.buyers;
        let (one, two) = (
            one.phone("buyer-1", edge, entropy),
            two.phone("buyer-2", edge, entropy),
        );
        let [plan_one, plan_two] = &scene.buyers;
        let (mut one, mut two) = (Buyer::new(one, plan_one), Buyer::new(two, plan_two));

        let mut tape = Tape {
            edge,
            began: clock::now(),
            messages: Vec::new(),
        };
        tape.say(&self.carrier, &mut out)?;
        let is_complete = self.converse([&mut carrier, &mut one, &mut two], &mut tape)?;
        Ok(Played {
            messages: tape.messages,
            call_id: carrier.call_id().to_owned(),
            answer: carrier.answer,
            invites: [one.invites, two.invites],
            is_complete,
        })
    }

    /// Lets the actors talk; whether all of them came to an end.
    fn converse(
        &mut self,
        mut actors: [&mut dyn Actor; 3],
        tape: &mut Tape,
    ) -> Result<bool, DemoError> {
        let [one, two] = &self.buyers;
        let places = [&self.carrier, one, two];
        let deadline = tape.began + LIMIT;
        let mut buffer = [0; DATAGRAM];
        let mut out = Vec::new();
        while !actors.iter().all(|actor| actor.is_over()) {
            let now = clock::now();
            if now >= deadline {
                return Ok(false);
            }
            let due = actors.iter().filter_map(|actor| actor.poll_timeout()).min();
            let until = due.map_or(deadline, |due| due.min(deadline));
            let pause = until.saturating_duration_since(now);
            match self.poll.poll(&mut self.events, Some(pause)) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    return Err(error.into());
                }
                _ => {}
            }
            for (actor, place) in actors.iter_mut().zip(places) {
                while let Some(bytes) = place.receive(tape.edge, &mut buffer)? {
                    if !self.heard.insert(bytes.to_vec()) {
                        continue;
                    }
                    tape.note(Party::Edge, place.party, bytes);
                    if let Ok(message) = parse(bytes) {
                        actor.handle(clock::now(), &message, &mut out)?;
                    }
                    tape.say(place, &mut out)?;
                }
                actor.handle_timeout(clock::now(), &mut out)?;
                tape.say(place, &mut out)?;
            }
        }
        Ok(true)
    }
}

/// One actor's socket on loopback.
struct Place {
    party: Party,
    socket: UdpSocket,
    local: SocketAddr,
}

impl Place {
    fn open(party: Party, poll: &Poll) -> io::Result<Self> {
        let mut socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        poll.registry()
            .register(&mut socket, Token(party as usize), Interest::READABLE)?;
        let local = socket.local_addr()?;
        Ok(Self {
            party,
            socket,
            local,
        })
    }

    fn phone(&self, name: &'static str, edge: SocketAddr, entropy: &mut Entropy) -> Phone {
        let mut seed = [0; 32];
        entropy.fill(&mut seed);
        Phone::new(name, self.local, edge, Entropy::from_seed(seed))
    }

    /// The next datagram of the edge's; `None` if there is none now.
    fn receive<'b>(&self, edge: SocketAddr, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        loop {
            match self.socket.recv_from(buffer) {
                Ok((length, from)) if from == edge => return Ok(buffer.get(..length)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// What is said, with the time.
struct Tape {
    edge: SocketAddr,
    began: Instant,
    messages: Vec<Seen>,
}

impl Tape {
    /// Sends what is in `out` from `place`.
    fn say(&mut self, place: &Place, out: &mut Vec<Bytes>) -> io::Result<()> {
        for bytes in out.drain(..) {
            self.note(place.party, Party::Edge, &bytes);
            place.socket.send_to(&bytes, self.edge)?;
        }
        Ok(())
    }

    fn note(&mut self, from: Party, to: Party, bytes: &[u8]) {
        self.messages.push(Seen {
            at: clock::now().saturating_duration_since(self.began),
            from,
            to,
            what: describe(bytes),
        });
    }
}

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The largest datagram, in bytes.
const DATAGRAM: usize = 65_535;
