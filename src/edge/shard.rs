//! A shard: one engine, its sockets, and the loop that feeds it.
//!
//! It is a plain thread, not a task: a wake-up by way of an async runtime's reactor and scheduler
//! costs a microsecond and more, several times the engine's work on a message, and a task could not
//! receive a batch without asking twice. So the thread polls its own sockets:
//!
//! ```text
//!          ┌── pause ───── epoll, until a timer ────────────────┐
//!          v                                                    │
//!    inbox:   orders   ──> engine ──> outputs: queued ──────────┤
//!    sockets: recvmmsg ──> engine ──> outputs: queued           │
//!    timers:  if due   ──> engine ──> outputs: queued           │
//!                                     sendmmsg, once per socket ┘
//! ```
//!
//! Three system calls per wake-up, one reading of the clock, no lock, and nothing that waits.
//! Under load it pauses before it looks again ([`Pace`]).

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use tracing::error;

use crate::call::Engine;
use crate::call::input::Input;
use crate::call::policy::Policy;
use crate::edge::abroad::AbroadLetter;
use crate::edge::effects::Effects;
use crate::edge::inbox::{Board, Closed, Inbox, Letter, Order};
use crate::edge::pace::Pace;
use crate::edge::turn::{attempt, drain};
use crate::edge::valve::Passage;
use crate::net::clock;
use crate::net::resolver::Told;
use crate::net::udp::{Batches, Received};
use crate::sip::flow::Flow;
use crate::types::ids::ShardId;

/// Token of the inbox's bell; ports have their index.
pub(super) const BELL: Token = Token(usize::MAX);

/// How late a timer may be when nothing else wakes the shard. SIP's timers begin at 500 ms; waking up
/// for each millisecond's would cost an idle shard more than its work.
const SLACK: Duration = Duration::from_millis(5);

/// How long the engine counts the time of day for itself.
const CLOCK_PERIOD: Duration = Duration::from_secs(10);

/// How often a journal that cannot be written is tried again, if nothing else wakes the shard.
const RETRY: Duration = Duration::from_millis(250);

/// Letters handled per wake-up at most, so that sockets and timers have their turn.
const LETTER_BATCH: usize = 256;

/// Times per wake-up at most that failed sends are told to the engine, which may then send again.
const FAILURE_ROUNDS: usize = 4;

/// What the edge gives a shard to begin with.
pub(super) struct Seat {
    pub(super) id: ShardId,
    /// 256 unpredictable bits, the same for all shards.
    pub(super) seed: [u8; 32],
    /// When the edge began, the same for all shards.
    pub(super) start: Instant,
    /// Time between two looks at the sockets, under load.
    pub(super) gather: Duration,
    pub(super) policy: Arc<Policy>,
    pub(super) poll: Poll,
    pub(super) inbox: Inbox,
    pub(super) effects: Effects,
    pub(super) board: Arc<Board>,
}

/// Runs a shard until it is told to stop, in the thread that calls it.
pub(super) fn run(seat: Seat) {
    let id = seat.id;
    let result = Shard::new(seat).and_then(|mut shard| shard.run());
    if let Err(error) = result {
        // The thread ends; the edge sees that and goes down.
        error!(shard = id.0, %error, "shard cannot go on");
    }
}

struct Shard {
    engine: Engine,
    effects: Effects,
    batches: Batches,
    poll: Poll,
    events: Events,
    inbox: Inbox,
    board: Arc<Board>,
    pace: Pace,
    is_draining: bool,
    /// New calls are refused because nothing can be kept of them.
    is_shut: bool,
    /// The inbox may hold more.
    is_rung: bool,
    /// By port: what is known of its socket.
    sockets: Vec<Readiness>,
    /// When the engine is next told the time of day.
    clock_due: Instant,
}

/// What is known of a socket. Polling is edge-triggered: readiness is told once, and kept here until
/// a receive proves it gone.
#[derive(Default, Clone, Copy)]
struct Readiness {
    is_readable: bool,
    has_errors: bool,
    /// We asked to hear when it can be written to.
    awaits_room: bool,
}

impl Shard {
    fn new(seat: Seat) -> io::Result<Self> {
        let mut effects = seat.effects;
        for (index, port) in effects.ports().iter().enumerate() {
            let descriptor = port.descriptor();
            let registry = seat.poll.registry();
            registry.register(&mut SourceFd(&descriptor), Token(index), Interest::READABLE)?;
        }
        Ok(Self {
            engine: Engine::new(seat.id, seat.seed, seat.start, seat.policy),
            sockets: vec![Readiness::default(); effects.ports().len()],
            effects,
            batches: Batches::new(),
            poll: seat.poll,
            events: Events::with_capacity(64),
            inbox: seat.inbox,
            board: seat.board,
            pace: Pace::new(seat.gather, seat.start),
            is_draining: false,
            is_shut: false,
            is_rung: false,
            clock_due: seat.start,
        })
    }

    fn run(&mut self) -> io::Result<()> {
        let mut now = clock::now();
        while !self.inbox.is_over() {
            self.pause();
            self.wait(now)?;
            now = clock::now();
            self.pace.note(now);
            self.tell_time(now);
            self.mind_journal(now);
            // Orders first: what was ordered before a datagram was sent holds for it.
            self.read_inbox(now);
            let received = self.receive(now)?;
            if self.engine.poll_timeout().is_some_and(|due| due <= now) {
                self.step(now, Input::Timeout);
            }
            self.flush(now)?;
            self.effects.publish(received);
        }
        Ok(())
    }

    /// Tells the engine the time of day, which somebody may have set.
    fn tell_time(&mut self, now: Instant) {
        if now >= self.clock_due {
            self.clock_due = now + CLOCK_PERIOD;
            self.step(now, Input::Clock(clock::moment()));
        }
    }

    /// Takes no new calls while nothing can be kept of them.
    fn mind_journal(&mut self, now: Instant) {
        let is_shut = self.effects.is_shut();
        if is_shut != self.is_shut {
            self.is_shut = is_shut;
            self.step(now, Input::Shut(is_shut));
        }
    }

    /// Whether there is something to do at once.
    fn is_busy(&self) -> bool {
        let has_more = |socket: &Readiness| socket.is_readable || socket.has_errors;
        self.is_rung || self.sockets.iter().any(has_more)
    }

    /// Lets messages gather, if it is time to.
    fn pause(&self) {
        if self.is_busy() {
            return;
        }
        let pause = self.pace.pause(clock::now());
        if !pause.is_zero() {
            thread::sleep(pause);
        }
    }

    /// Waits until something is to be done, and notes what.
    fn wait(&mut self, now: Instant) -> io::Result<()> {
        let timeout = if self.is_busy() {
            Some(Duration::ZERO)
        } else {
            self.engine
                .poll_timeout()
                .map(|due| due.saturating_duration_since(now).max(SLACK))
                .into_iter()
                // What waits for the journal waits for nothing else.
                .chain(self.is_shut.then_some(RETRY))
                .min()
        };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            if event.token() == BELL {
                self.is_rung = true;
            } else if let Some(socket) = self.sockets.get_mut(event.token().0) {
                socket.note(event);
            }
        }
        Ok(())
    }

    /// Feeds the engine one batch of each readable socket, and returns how many datagrams that was.
    fn receive(&mut self, now: Instant) -> io::Result<u64> {
        let mut total = 0;
        for index in 0..self.sockets.len() {
            let Some(socket) = self.sockets.get_mut(index) else {
                continue;
            };
            if socket.has_errors {
                socket.has_errors = self.effects.take_errors(index);
            }
            if !socket.is_readable {
                continue;
            }
            let Some(port) = self.effects.ports().get_mut(index) else {
                continue;
            };
            let Received {
                count,
                is_more,
                wait,
            } = port.receive(&mut self.batches)?;
            let here = port.here();
            socket.is_readable = is_more;
            self.effects.observe(now, index, wait);
            for datagram in 0..count {
                let Some((remote, bytes)) = self.batches.datagram(datagram) else {
                    continue;
                };
                let flow = here.flow(remote);
                let effects = &mut self.effects;
                let input = match effects.admit(now, remote.ip(), bytes, wait, &self.engine) {
                    Passage::Read => Input::Datagram { flow, bytes },
                    Passage::Refuse(retry_after) => Input::Shed {
                        flow,
                        bytes,
                        retry_after,
                    },
                    Passage::Drop(_) | Passage::Shut(_) => continue,
                };
                if let Err(panic) = attempt(&mut self.engine, now, input) {
                    panic.rescue(&mut self.engine, now, Some((flow, bytes)));
                }
                drain(&mut self.engine, &mut self.effects, now);
            }
            total += count as u64;
        }
        Ok(total)
    }

    fn read_inbox(&mut self, now: Instant) {
        // It may have rung since the poll, and a datagram may have come behind what it rang for.
        if !self.is_rung && !self.inbox.has_rung() {
            return;
        }
        self.inbox.hush();
        while let Some(order) = self.inbox.next_order() {
            match order {
                Order::Policy(policy) => {
                    self.effects.set_policy(Arc::clone(&policy));
                    self.step(now, Input::Policy(policy));
                }
                Order::Drain => {
                    self.is_draining = true;
                    self.step(now, Input::Drain(true));
                }
                Order::Hangup(which) => self.step(now, Input::Hangup(which)),
                Order::Probed {
                    buyer,
                    gateway,
                    is_lost,
                } => {
                    let (buyer, gateway) = (&buyer, &gateway);
                    let input = Input::Probed {
                        buyer,
                        gateway,
                        is_lost,
                    };
                    self.step(now, input);
                }
                Order::Capture(uuid, answer) => {
                    let id = self.engine.media_of(uuid);
                    if let (Some(id), Some(desk)) = (id, &self.effects.media) {
                        desk.capture(uuid, id);
                    }
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(self.engine.has_call(uuid));
                }
                Order::Measure(answer) => {
                    let banned = self.effects.banned(now);
                    let wait = self.effects.take_worst_wait();
                    let gauges = self.engine.gauges();
                    let closed = Closed {
                        is_draining: self.is_draining,
                        is_shut: self.is_shut,
                    };
                    self.board.write(&gauges, banned, wait, closed);
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(());
                }
            }
        }
        self.is_rung = true;
        for _ in 0..LETTER_BATCH {
            match self.inbox.next_letter() {
                Some(Letter::Datagram { flow, bytes }) => self.hear(now, flow, &bytes),
                Some(Letter::Broken { flow, error, head }) => {
                    let head = &head;
                    self.step(now, Input::Broken { flow, error, head });
                }
                Some(Letter::TransportFailed(flow)) => {
                    self.step(now, Input::TransportFailed { flow });
                }
                Some(Letter::Told(told)) => {
                    self.effects.handle_told(now, &told);
                    let Told { wanted, located } = told;
                    self.step(now, Input::Resolved { wanted, located });
                }
                Some(Letter::Fetched { ticket, reply }) => {
                    self.step(now, Input::Fetched { ticket, reply });
                }
                Some(Letter::Recalled { ticket, recalled }) => {
                    let recalled = *recalled;
                    self.step(now, Input::Recalled { ticket, recalled });
                }
                Some(Letter::Posted(letter)) if self.is_shut => letter.refuse(),
                Some(Letter::Posted(letter)) => {
                    let post = Arc::clone(&letter.post);
                    self.effects.begin_post(letter);
                    self.step(now, Input::Posted(&post));
                }
                Some(Letter::Abroad(AbroadLetter { call, said, heard })) => {
                    self.effects.begin_abroad(heard);
                    self.step(now, Input::Abroad(call, said));
                }
                Some(Letter::Media { id, lost }) => {
                    self.step(now, Input::Media { id, lost });
                }
                Some(Letter::MediaTold(told)) => self.step(now, Input::MediaTold(*told)),
                Some(Letter::Guard(from, notice)) => {
                    self.effects.handle_notice(now, from, notice);
                }
                None => {
                    self.is_rung = false;
                    return;
                }
            }
        }
    }

    /// Takes in a message that a connection brought, or another shard, which has let it in already.
    fn hear(&mut self, now: Instant, flow: Flow, bytes: &[u8]) {
        let passage = if flow.transport.is_reliable() {
            let remote = flow.remote.ip();
            self.effects.admit(now, remote, bytes, None, &self.engine)
        } else {
            Passage::Read
        };
        match passage {
            Passage::Read => self.step(now, Input::Datagram { flow, bytes }),
            Passage::Refuse(retry_after) => self.step(
                now,
                Input::Shed {
                    flow,
                    bytes,
                    retry_after,
                },
            ),
            // Others may have calls by the same connection.
            Passage::Drop(_) => {}
            Passage::Shut(_) => self.effects.hang_up(flow),
        }
    }

    /// Sends what the engine said, tells it what could not be sent, and asks to hear when a blocked
    /// socket has room.
    fn flush(&mut self, now: Instant) -> io::Result<()> {
        self.effects.flush(&mut self.batches);
        for _ in 0..FAILURE_ROUNDS {
            let mut has_failed = self.give_up_unkept(now);
            while let Some(flow) = self.effects.poll_failed(now) {
                has_failed = true;
                self.step(now, Input::TransportFailed { flow });
            }
            while let Some(bytes) = self.effects.poll_unsendable(now) {
                has_failed = true;
                self.step(now, Input::Unsendable { bytes: &bytes });
            }
            if !has_failed {
                break;
            }
            self.effects.flush(&mut self.batches);
        }
        for (index, port) in self.effects.ports().iter().enumerate() {
            let Some(socket) = self.sockets.get_mut(index) else {
                continue;
            };
            if port.is_blocked() == socket.awaits_room {
                continue;
            }
            // Only while it is blocked: else each sent datagram that leaves the socket wakes us.
            socket.awaits_room = port.is_blocked();
            let interest = if socket.awaits_room {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            let descriptor = port.descriptor();
            let registry = self.poll.registry();
            registry.reregister(&mut SourceFd(&descriptor), Token(index), interest)?;
        }
        Ok(())
    }

    /// Gives up the calls that were let in and could not be written down, and lets no other one in; `true`: there are some.
    fn give_up_unkept(&mut self, now: Instant) -> bool {
        let mut has_any = false;
        while let Some(uuid) = self.effects.exits().poll_unkept() {
            has_any = true;
            self.step(now, Input::Unkept(uuid));
        }
        while let Some(bytes) = self.effects.exits().poll_unsent() {
            self.step(now, Input::Unsendable { bytes: &bytes });
        }
        if has_any {
            self.mind_journal(now);
        }
        has_any
    }

    fn step(&mut self, now: Instant, input: Input<'_>) {
        if let Err(panic) = attempt(&mut self.engine, now, input) {
            panic.rescue(&mut self.engine, now, None);
        }
        drain(&mut self.engine, &mut self.effects, now);
    }
}

impl Readiness {
    fn note(&mut self, event: &Event) {
        self.is_readable |= event.is_readable();
        self.has_errors |= event.is_error();
    }
}
