//! Which streams of a session the kernel forwards: lent once nothing about them is open, and back before anything is decided about
//! them here.
//!
//! ```text
//!   with the sockets ── a round finds it settled, its pause is over ──> with the kernel
//!          ^                                                               │  each round: what was counted there
//!          '── a packet of it that the kernel leaves to us, a plan, ───────'
//!              a tap, the end
//! ```

use std::net::{SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use crate::media::passage::{Passage, Passing, Way};
use crate::media::plan::Party;
use crate::media::watch::Progress;
use crate::net::clock;
use crate::net::offload::{Flow, Offload, Ticket, Unwilling};
use crate::net::relay::worker::session::Session;
use crate::telemetry::media::{Back, MediaTally, Refusal};

/// One stream, as far as it is lent.
pub(super) struct Lease {
    /// From each party.
    parties: [Option<Lent>; 2],
    /// Since when any of them is.
    since: Instant,
    /// How long it had to stay here the last time.
    pause: Duration,
    /// Until when it has to.
    until: Instant,
    /// When it is next asked whether its way is still the right one.
    look: Instant,
}

/// What is from one party.
struct Lent {
    ticket: Ticket,
    /// What was counted when it was read last: packets, bytes of payload.
    told: (u64, u64),
}

impl Session {
    /// Takes note of what the kernel has counted, and lends it what can be lent.
    pub(super) fn go_round_leases(
        &mut self,
        now: Instant,
        offload: &Offload,
        tally: &mut MediaTally,
    ) {
        for stream in (0..).take(self.leases.len()) {
            if !self.read(now, stream, offload, tally) {
                self.take_back(now, stream, offload, (tally, Back::Route));
            }
        }
        if !self.taps.is_empty() {
            return;
        }
        let streams = self.passage.streams();
        self.leases.resize_with(streams, || Lease {
            parties: [None, None],
            since: now,
            pause: Duration::ZERO,
            until: now,
            look: now + LOOK,
        });
        for (lease, stream) in self.leases.iter_mut().zip(0..) {
            if now < lease.until {
                continue;
            }
            for (lent, party) in lease.parties.iter_mut().zip(Party::BOTH) {
                if lent.is_some() {
                    continue;
                }
                let passing = self.passage.lend(now, way(stream, party));
                let Some(flow) = passing.and_then(flow) else {
                    continue;
                };
                match offload.install(&flow) {
                    Ok(ticket) => {
                        // Some of the round has passed already.
                        lease.since = clock::now();
                        tally.lent();
                        *lent = Some(Lent {
                            ticket,
                            told: (0, 0),
                        });
                    }
                    Err(why) => {
                        tally.not_lent(match why {
                            Unwilling::Full => Refusal::Full,
                            Unwilling::NoWay(_) => Refusal::NoWay,
                            Unwilling::Twice => Refusal::Twice,
                            Unwilling::Refused(_) => Refusal::Refused,
                        });
                        lease.pause = longer(lease.pause);
                        lease.until = now + lease.pause;
                    }
                }
            }
        }
    }

    /// Takes a stream back, if it is lent and this packet has to find it here.
    #[inline]
    pub(super) fn take_back_for(
        &mut self,
        now: Instant,
        (way, source): (Way, SocketAddr),
        bytes: &[u8],
        (offload, tally): (&Offload, &mut MediaTally),
    ) {
        let lease = self.leases.get(usize::from(way.stream));
        let is_lent = lease.is_some_and(|lease| lease.parties.iter().any(Option::is_some));
        if is_lent && self.passage.is_touched(now, way, source, bytes) {
            self.take_back(now, way.stream, offload, (tally, Back::Packet));
        }
    }

    /// Takes all streams back, for it is not a packet that they are needed for.
    pub(super) fn take_all_back(
        &mut self,
        now: Instant,
        offload: Option<&Offload>,
        (tally, why): (&mut MediaTally, Back),
    ) {
        let Some(offload) = offload else {
            return;
        };
        for stream in (0..).take(self.leases.len()) {
            self.take_back(now, stream, offload, (tally, why));
        }
    }

    /// Takes note of what the kernel has counted of a stream; `false`: it does not leave where it should any more.
    fn read(
        &mut self,
        now: Instant,
        stream: u8,
        offload: &Offload,
        tally: &mut MediaTally,
    ) -> bool {
        let Some(lease) = self.leases.get_mut(usize::from(stream)) else {
            return true;
        };
        let is_due = now >= lease.look;
        if is_due {
            lease.look = now + LOOK;
        }
        let mut is_well = true;
        for (lent, party) in lease.parties.iter_mut().zip(Party::BOTH) {
            let Some(Lent { ticket, told }) = lent else {
                continue;
            };
            if let Some(progress) = offload.read(ticket) {
                let way = way(stream, party);
                absorb(&mut self.passage, way, told, &progress, tally);
            }
            is_well &= !is_due || offload.is_on_its_way(ticket);
        }
        is_well
    }

    fn take_back(
        &mut self,
        now: Instant,
        stream: u8,
        offload: &Offload,
        (tally, why): (&mut MediaTally, Back),
    ) {
        let Some(lease) = self.leases.get_mut(usize::from(stream)) else {
            return;
        };
        for (lent, party) in lease.parties.iter_mut().zip(Party::BOTH) {
            let Some(Lent { ticket, mut told }) = lent.take() else {
                continue;
            };
            tally.back(why);
            if let Some(progress) = offload.withdraw(ticket) {
                absorb(
                    &mut self.passage,
                    way(stream, party),
                    &mut told,
                    &progress,
                    tally,
                );
            }
        }
        if why == Back::Packet {
            let stayed = now.saturating_duration_since(lease.since);
            lease.pause = match lease.pause {
                // What lay in the socket already says nothing about what comes.
                pause if stayed < QUEUED => pause.max(SHORTEST_PAUSE),
                _ if stayed >= LONG => SHORTEST_PAUSE,
                pause => longer(pause),
            };
            lease.until = now + lease.pause;
        }
    }
}

/// Takes note of what is new in `progress`.
fn absorb(
    passage: &mut Passage,
    way: Way,
    told: &mut (u64, u64),
    progress: &Progress,
    tally: &mut MediaTally,
) {
    let (packets, bytes) = *told;
    *told = (progress.packets, progress.bytes);
    let new = (
        progress.packets.saturating_sub(packets),
        progress.bytes.saturating_sub(bytes),
    );
    passage.absorb(way, new, progress);
    tally.forwarded(new.0, new.1 + new.0 * HEADER);
}

/// As the kernel is told; `None`: not between such addresses.
fn flow(passing: Passing) -> Option<Flow> {
    let v4 = |address: SocketAddr| match address {
        SocketAddr::V4(address) => Some(address),
        SocketAddr::V6(_) => None,
    };
    // A socket that is bound to all addresses does not say which one its packets have.
    let own =
        |address: SocketAddr| v4(address).filter(|own: &SocketAddrV4| !own.ip().is_unspecified());
    Some(Flow {
        from: v4(passing.from)?,
        gate: own(passing.gate)?,
        leaves: own(passing.leaves)?,
        to: v4(passing.to)?,
        payloads: passing.payloads,
        others: passing.others,
        loan: passing.loan,
    })
}

fn way(stream: u8, party: Party) -> Way {
    Way {
        stream,
        party,
        is_control: false,
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

/// Bytes of a packet of RTP that are not its payload, of those that the kernel forwards.
const HEADER: u64 = 12;

/// How long a stream stays here when a packet of it has come that the kernel does not forward: doubled each time.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// And at most. A stream of another kind, with extensions in its headers for example, is tried as seldom as that.
const LONGEST_PAUSE: Duration = Duration::from_secs(64);

/// How long packets may leave by an interface that the routes do not name any more.
const LOOK: Duration = Duration::from_secs(5);

/// A packet that comes so soon after its stream went to the kernel may have been on its way before.
const QUEUED: Duration = Duration::from_millis(200);

/// With the kernel for so long, a stream is none that always comes back.
const LONG: Duration = Duration::from_secs(10);
