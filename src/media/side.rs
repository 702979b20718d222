//! Our side towards one party of one stream: what is let in, and where what is for the party goes.

use std::net::SocketAddr;
use std::time::Instant;

use crate::media::figures::Heard;
use crate::media::passage::{Pass, Way, Why};
use crate::media::plan::{End, Gate, Payloads};
use crate::media::quality;
use crate::media::rtcp;
use crate::media::rtp::Header;
use crate::media::seal::Seal;
use crate::media::source::{Look, Place};
use crate::media::watch::{Loan, Progress, Watch};

/// Our side towards one party of one stream.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) gate: Gate,
    pub(super) place: Place,
    pub(super) sends: bool,
    pub(super) is_rtp: bool,
    payloads: Payloads,
    /// `None`: RTP in the clear.
    seal: Option<Box<Seal>>,
    watch: Watch,
    pub(super) packets: u64,
    pub(super) bytes: u64,
    pub(super) dropped: u64,
    pub(super) foreign: u64,
    pub(super) rtcp: u64,
    source: Option<SocketAddr>,
    control: Ration,
}

/// A packet that is let in.
pub(super) struct Taken {
    /// Its length in the clear, in bytes.
    pub(super) length: usize,
    /// That of its payload.
    pub(super) payload: usize,
}

impl Side {
    pub(super) fn new(now: Instant, end: &End, is_rtp: bool, keeps_digits: bool) -> Self {
        Self {
            gate: end.gate,
            place: Place::new(now, end.remote, &end.sources),
            sends: end.sends,
            is_rtp,
            payloads: end.payloads.clone(),
            seal: end
                .crypto
                .as_ref()
                .map(|crypto| Box::new(Seal::new(crypto))),
            watch: Watch::new(now, keeps_digits),
            packets: 0,
            bytes: 0,
            dropped: 0,
            foreign: 0,
            rtcp: 0,
            source: None,
            control: Ration::default(),
        }
    }

    pub(super) fn renew(&mut self, now: Instant, end: &End, is_rtp: bool) {
        self.place.renew(now, end.remote, &end.sources);
        self.sends = end.sends;
        self.is_rtp = is_rtp;
        if self.payloads != end.payloads {
            self.payloads.clone_from(&end.payloads);
        }
        match (&mut self.seal, &end.crypto) {
            (Some(seal), Some(crypto)) => seal.renew(crypto),
            (seal, crypto) => {
                *seal = crypto.as_ref().map(|crypto| Box::new(Seal::new(crypto)));
            }
        }
    }

    /// Takes over the keys that `before`, another end of the party, had, too: keys may go on at another gate, and must
    /// not begin anew there.
    pub(super) fn go_on_from(&mut self, before: &mut Self) {
        if let (Some(seal), Some(before)) = (&mut self.seal, &mut before.seal) {
            seal.go_on_from(before);
        }
    }

    /// Lets in a packet of RTP, or says why not.
    #[inline]
    pub(super) fn take(
        &mut self,
        now: Instant,
        source: SocketAddr,
        room: &mut [u8],
        length: usize,
    ) -> Result<Taken, Why> {
        let look = self.place.look(now, source);
        if look == Look::Foreign {
            return Err(Why::Foreign);
        }
        let bytes = room.get(..length).unwrap_or_default();
        let header = Header::parse(bytes).map_err(|_| Why::Malformed)?;
        let meaning = self
            .payloads
            .iter()
            .find(|payload| payload.number == header.payload)
            .ok_or(Why::Payload)?;
        let length = match &mut self.seal {
            None => length,
            Some(seal) => seal.open_rtp(room, length)?,
        };
        let bytes = room.get(..length).unwrap_or_default();
        let payload = header.payload_of(bytes).map_err(|_| Why::Malformed)?;
        let is_authentic = self.seal.is_some();
        if look == Look::Perhaps && !self.place.learn(now, source, &header, is_authentic) {
            return Err(Why::Probation);
        }
        self.watch.handle(now, &header, *meaning, payload);
        self.source = Some(source);
        Ok(Taken {
            length,
            payload: payload.len(),
        })
    }

    /// Lets in RTCP, or says why not.
    pub(super) fn take_control(
        &mut self,
        now: Instant,
        source: SocketAddr,
        room: &mut [u8],
        length: usize,
    ) -> Result<Taken, Why> {
        let bytes = room.get(..length).unwrap_or_default();
        let ssrc = rtcp::sender(bytes).map_err(|_| Why::Malformed)?;
        let look = self.place.look_control(now, source, ssrc);
        if look == Look::Foreign {
            return Err(Why::Foreign);
        }
        let length = match &mut self.seal {
            None => length,
            Some(seal) => seal.open_rtcp(room, length)?,
        };
        let bytes = room.get(..length).unwrap_or_default();
        rtcp::check(bytes).map_err(|_| Why::Malformed)?;
        if !self.control.take(now) {
            return Err(Why::TooMuchControl);
        }
        if look == Look::Perhaps {
            self.place.learn_control(source);
        }
        Ok(Taken { length, payload: 0 })
    }

    /// Lets in a datagram that is not RTP, or says why not. Nothing about it can be checked, so it has to come from the
    /// place that is announced, also behind NAT.
    pub(super) fn take_unread(
        &mut self,
        now: Instant,
        way: Way,
        source: SocketAddr,
        length: usize,
    ) -> Result<Taken, Why> {
        let announced = self.place.announced().map(|announced| announced.rtp);
        if way.is_control || announced != Some(source) {
            return Err(Why::Foreign);
        }
        if self.seal.is_some() {
            return Err(Why::Keys);
        }
        if self.place.look(now, source) == Look::Foreign {
            return Err(Why::Foreign);
        }
        self.source = Some(source);
        Ok(Taken {
            length,
            payload: length,
        })
    }

    /// Says where a packet for the party goes, and puts it under the party's keys.
    #[inline]
    pub(super) fn direct(
        &mut self,
        is_wanted: bool,
        is_rtcp: bool,
        room: &mut [u8],
        length: usize,
    ) -> Result<Pass, Why> {
        if !is_wanted {
            return Err(Why::Unwanted);
        }
        let to = if is_rtcp {
            self.place.to_control()
        } else {
            self.place.to()
        };
        let to = to.ok_or(Why::Nowhere)?;
        let length = match &mut self.seal {
            None => length,
            Some(seal) if is_rtcp => seal.close_rtcp(room, length)?,
            Some(seal) => seal.close_rtp(room, length)?,
        };
        Ok(Pass {
            to,
            by_control: is_rtcp && !self.place.is_mux(),
            is_rtcp,
            length,
        })
    }

    /// Where the party is, its payload types (a bit each) and what was counted of them, if packets of it could as well be
    /// counted elsewhere: what is known of it is all that there is to know until a packet of another kind comes. The second
    /// set is those other kinds.
    pub(super) fn lend(&self, now: Instant) -> Option<(SocketAddr, [u128; 2], Loan)> {
        let source = self.place.settled(now)?;
        if !self.is_rtp || !self.sends || self.seal.is_some() || self.source != Some(source) {
            return None;
        }
        let loan = self.watch.lend()?;
        let mut sets = [0; 2];
        for payload in &self.payloads {
            // Beside RTCP on the same port, it could be that.
            if (64..=95).contains(&payload.number) {
                continue;
            }
            let is_other = payload.is_dtmf || payload.clock != loan.clock;
            let [plain, others] = &mut sets;
            let set = if is_other { others } else { plain };
            *set |= 1_u128.unbounded_shl(payload.number.into());
        }
        Some((source, sets, loan))
    }

    /// Where what is for the party goes in the clear, if that is known for sure.
    pub(super) fn takes_plain(&self, now: Instant) -> Option<SocketAddr> {
        let to = self.place.settled(now)?;
        self.seal.is_none().then_some(to)
    }

    /// Takes note of what was counted elsewhere.
    pub(super) fn absorb(&mut self, packets: u64, bytes: u64, progress: &Progress) {
        self.packets += packets;
        self.bytes += bytes;
        self.watch.absorb(packets, progress);
    }

    /// Whether [`take`](Self::take) would change more than what is dropped.
    pub(super) fn is_touched(&self, now: Instant, source: SocketAddr, bytes: &[u8]) -> bool {
        self.place.look(now, source) != Look::Foreign
            && Header::parse(bytes).is_ok_and(|header| {
                let mut payloads = self.payloads.iter();
                payloads.any(|payload| payload.number == header.payload)
            })
    }

    pub(super) fn add_to(&self, heard: &mut Heard) {
        let (lost, expected) = self.watch.lost_of();
        heard.packets += self.packets;
        heard.bytes += self.bytes;
        heard.lost += lost;
        heard.dropped += self.dropped;
        heard.foreign += self.foreign;
        heard.rtcp += self.rtcp;
        heard.jitter = heard.jitter.max(self.watch.jitter());
        heard.jitter_max = heard.jitter_max.max(self.watch.jitter_max());
        heard.source = self.source.or(heard.source);
        let digits = self.watch.digits().iter().map(|digit| char::from(*digit));
        heard.digits.extend(digits);
        if expected >= ENOUGH {
            let score = quality::mos(lost as f64 / expected as f64, self.watch.jitter());
            // The worse of several streams is what was complained about.
            heard.mos = Some(heard.mos.map_or(score, |mos| mos.min(score)));
        }
    }
}

/// How many packets of RTCP have come in this second.
#[derive(Debug, Default)]
struct Ration {
    since: Option<Instant>,
    count: u32,
}

impl Ration {
    /// Takes one; `false`: there was none left.
    fn take(&mut self, now: Instant) -> bool {
        let since = self
            .since
            .filter(|since| now.saturating_duration_since(*since).as_secs() == 0);
        if since.is_none() {
            *self = Self {
                since: Some(now),
                count: 0,
            };
        }
        self.count += 1;
        self.count <= MOST_CONTROL
    }
}

/// Packets of RTCP in a second and of one end that are passed on; RFC 3550 §6.2 has one every few seconds.
const MOST_CONTROL: u32 = 50;

/// Packets from which on a stream can be judged: two seconds of sound.
const ENOUGH: u64 = 100;
