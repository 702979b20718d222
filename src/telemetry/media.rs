//! What the relay counts. Each of its threads adds up plain integers, and publishes them once a second.

use std::io;
use std::sync::Arc;

use metrics::{Counter, Gauge, Histogram};

use crate::media::commons::Counts;
use crate::media::figures::Figures;
use crate::media::passage::Why;
use crate::media::ports::Stock;
use crate::media::vigil::Quiet;
use crate::telemetry::metrics::{
    MEDIA_BYTES, MEDIA_CLASHES, MEDIA_DROPS, MEDIA_JITTER, MEDIA_KERNEL_INTERFACES,
    MEDIA_KERNEL_PACKETS, MEDIA_KERNEL_REFUSALS, MEDIA_KERNEL_RETURNS, MEDIA_KERNEL_STREAMS,
    MEDIA_LOSS, MEDIA_MOS, MEDIA_PACKETS, MEDIA_PORTS, MEDIA_QUIET, MEDIA_SESSIONS, MEDIA_SHARED,
    Metrics,
};

/// Metrics of the relay.
pub struct MediaCounts {
    sessions: Gauge,
    packets: [Counter; 2],
    bytes: Counter,
    drops: [Counter; Why::ALL.len()],
    unsent: [Counter; UNSENT.len()],
    quiet: [(&'static str, Counter); 4],
    ports: [Gauge; 3],
    claims: Gauge,
    /// By what the party got instead: another shared pair, a pair of its own.
    clashes: [Counter; 2],
    /// Streams that the kernel forwards.
    lent: Gauge,
    forwarded: Counter,
    backs: [Counter; Back::ALL.len()],
    refusals: [Counter; Refusal::ALL.len()],
    interfaces: [Gauge; 2],
    jitter: Histogram,
    loss: Histogram,
    mos: Histogram,
}

impl MediaCounts {
    /// Shows all of them from now on.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let drops = |label| metrics.counter(&MEDIA_DROPS, Some(label));
        let quiet = ["both", "caller", "buyer", "hold"];
        Self {
            sessions: metrics.gauge(&MEDIA_SESSIONS),
            packets: ["rtp", "rtcp"].map(|kind| metrics.counter(&MEDIA_PACKETS, Some(kind))),
            bytes: metrics.counter(&MEDIA_BYTES, None),
            drops: Why::ALL.map(|why| drops(why.label())),
            unsent: UNSENT.map(drops),
            quiet: quiet.map(|who| (who, metrics.counter(&MEDIA_QUIET, Some(who)))),
            ports: ["free", "resting", "in_use"]
                .map(|state| metrics.labelled_gauge(&MEDIA_PORTS, state)),
            claims: metrics.gauge(&MEDIA_SHARED),
            clashes: ["shared", "own"].map(|got| metrics.counter(&MEDIA_CLASHES, Some(got))),
            lent: metrics.gauge(&MEDIA_KERNEL_STREAMS),
            forwarded: metrics.counter(&MEDIA_KERNEL_PACKETS, None),
            backs: Back::ALL.map(|(_, label)| metrics.counter(&MEDIA_KERNEL_RETURNS, Some(label))),
            refusals: Refusal::ALL
                .map(|(_, label)| metrics.counter(&MEDIA_KERNEL_REFUSALS, Some(label))),
            interfaces: ["attached", "refused"]
                .map(|state| metrics.labelled_gauge(&MEDIA_KERNEL_INTERFACES, state)),
            jitter: metrics.histogram(&MEDIA_JITTER),
            loss: metrics.histogram(&MEDIA_LOSS),
            mos: metrics.histogram(&MEDIA_MOS),
        }
    }

    /// Says how many pairs of ports there are, added up over all shards.
    pub fn set_ports(&self, stock: Stock) {
        let counts = [stock.free, stock.resting, stock.in_use];
        for (gauge, count) in self.ports.iter().zip(counts) {
            gauge.set(count as f64);
        }
    }

    /// Says at how many interfaces the kernel forwards streams, and at how many it should but cannot.
    pub fn set_interfaces(&self, attached: usize, refused: usize) {
        for (gauge, count) in self.interfaces.iter().zip([attached, refused]) {
            gauge.set(count as f64);
        }
    }

    /// Says who is heard on shared ports, added up over all shards, and how often somebody else had the address there.
    pub fn set_shared(&self, counts: Counts) {
        self.claims.set(counts.claims as f64);
        let [shared, own] = &self.clashes;
        shared.absolute(counts.clashes.saturating_sub(counts.none));
        own.absolute(counts.none);
    }
}

/// Why a stream is not the kernel's any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Back {
    /// A packet of it came that the kernel does not forward.
    Packet,
    /// There is another plan.
    Plan,
    /// Its packets are to be copied.
    Tap,
    /// Its packets would leave by another interface now.
    Route,
    /// The call is over.
    End,
}

impl Back {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Packet, "packet"),
        (Self::Plan, "plan"),
        (Self::Tap, "capture"),
        (Self::Route, "route"),
        (Self::End, "end"),
    ];
}

/// Why a stream that the kernel could forward stays with the sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It forwards as many as it can.
    Full,
    /// It knows no way to where the stream goes.
    NoWay,
    /// It would forward its packets twice.
    Twice,
    /// It does not take it.
    Refused,
}

impl Refusal {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Full, "full"),
        (Self::NoWay, "no_route"),
        (Self::Twice, "twice"),
        (Self::Refused, "refused"),
    ];
}

/// What one thread has counted since it published last.
pub struct MediaTally {
    counts: Arc<MediaCounts>,
    packets: [u64; 2],
    bytes: u64,
    drops: [u64; Why::ALL.len()],
    unsent: [u64; UNSENT.len()],
    forwarded: u64,
}

impl MediaTally {
    /// Starts at zero.
    #[must_use]
    pub fn new(counts: Arc<MediaCounts>) -> Self {
        Self {
            counts,
            packets: [0; 2],
            bytes: 0,
            drops: [0; Why::ALL.len()],
            unsent: [0; UNSENT.len()],
            forwarded: 0,
        }
    }

    /// Counts a packet of `length` bytes that was sent, or was not.
    #[inline]
    pub fn sent(&mut self, is_rtcp: bool, length: usize, result: io::Result<()>) {
        match result {
            Ok(()) => {
                let [rtp, rtcp] = &mut self.packets;
                *(if is_rtcp { rtcp } else { rtp }) += 1;
                self.bytes += length as u64;
            }
            Err(error) => {
                let [blocked, unreachable, refused] = &mut self.unsent;
                *(match error.raw_os_error() {
                    Some(libc::EAGAIN | libc::ENOBUFS | libc::ENOMEM) => blocked,
                    Some(libc::ECONNREFUSED) => unreachable,
                    _ => refused,
                }) += 1;
            }
        }
    }

    /// Counts packets of RTP that the kernel has forwarded.
    pub fn forwarded(&mut self, packets: u64, bytes: u64) {
        let [rtp, _] = &mut self.packets;
        *rtp += packets;
        self.bytes += bytes;
        self.forwarded += packets;
    }

    /// Counts a stream that the kernel forwards from now on.
    pub fn lent(&self) {
        self.counts.lent.increment(1.0);
    }

    /// Counts one that it does not forward any more.
    pub fn back(&self, why: Back) {
        self.counts.lent.decrement(1.0);
        let mut counters = Back::ALL.iter().zip(&self.counts.backs);
        if let Some((_, counter)) = counters.find(|((back, _), _)| *back == why) {
            counter.increment(1);
        }
    }

    /// Counts one that it could not be given.
    pub fn not_lent(&self, why: Refusal) {
        let mut counters = Refusal::ALL.iter().zip(&self.counts.refusals);
        if let Some((_, counter)) = counters.find(|((refusal, _), _)| *refusal == why) {
            counter.increment(1);
        }
    }

    /// Counts a packet that was dropped.
    #[inline]
    pub fn drop(&mut self, why: Why) {
        if let Some(count) = self.drops.get_mut(why.index()) {
            *count += 1;
        }
    }

    /// Counts somebody who was quiet for too long.
    pub fn add_quiet(&self, quiet: Quiet) {
        let label = quiet.label();
        let found = self.counts.quiet.iter().find(|(name, _)| *name == label);
        if let Some((_, counter)) = found {
            counter.increment(1);
        }
    }

    /// Counts a session that has begun.
    pub fn add_session(&self) {
        self.counts.sessions.increment(1.0);
    }

    /// Counts a session that is over, and how it was.
    pub fn remove_session(&self, figures: &Figures) {
        self.counts.sessions.decrement(1.0);
        for heard in &figures.parties {
            let Some(mos) = heard.mos else {
                continue;
            };
            let all = heard.packets + heard.lost;
            self.counts.mos.record(f64::from(mos) / 100.0);
            self.counts
                .loss
                .record(heard.lost as f64 / all.max(1) as f64);
            self.counts.jitter.record(heard.jitter.as_secs_f64());
        }
    }

    /// Makes what was counted visible to Prometheus.
    pub fn publish(&mut self) {
        let Self {
            counts,
            packets,
            bytes,
            drops,
            unsent,
            forwarded,
        } = self;
        let all = counts.packets.iter().zip(packets);
        let all = all.chain(counts.drops.iter().zip(drops));
        let all = all.chain(counts.unsent.iter().zip(unsent));
        for (counter, count) in all.chain([(&counts.bytes, bytes), (&counts.forwarded, forwarded)])
        {
            if *count > 0 {
                counter.increment(std::mem::take(count));
            }
        }
    }
}

/// Why a packet that should be passed on was not sent: the socket or the interface is busy, ICMP says that nobody listens
/// there, the system does not send it.
const UNSENT: [&str; 3] = ["blocked", "unreachable", "refused"];
