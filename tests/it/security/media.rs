//! What comes to a call's media ports that is not its parties': the rows of the relay, over real sockets of loopback.
//!
//! ```text
//!   caller .20 ── 50 packets/s ──> relay .1 ──> buyer .21        and back
//!   attacker .66 ── 10,000 packets/s, RTCP ──^
//! ```
//!
//! *Injected* is what a party gets of the attacker's, *bled* what the attacker gets of a party's. The same at 50 packets a second
//! beside rtpengine is in `tests/interop/forged.rs`.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use smallvec::smallvec;
use strowger::media::passage::{GROWTH, Passage, Verdict, Way};
use strowger::media::plan::{
    Crypto, End, Gate, Keys, Party, Patience, Payload, Plan, Remote, SessionId, Sources, Stream,
    Suite,
};
use strowger::media::source::SPAN;
use strowger::media::srtp::Sender;
use strowger::media::vigil::Quiet;
use strowger::net::relay::{Relay, Settings};
use strowger::telemetry::media::MediaCounts;
use strowger::telemetry::metrics::Metrics;

use super::figure;

/// Each kind of call by itself while the attacker is there from its first moment on, and again after it has talked for four
/// seconds.
#[test]
fn row_19_ten_thousand_forged_packets_a_second() {
    let relay = relay();
    let mut sum = Seen::default();
    let mut most = 0;
    for mode in MODES {
        let seen = until_unhurt(|| {
            let mut talk = Talk::new(&relay, mode);
            talk.goes_on(50, FORGED);
            talk.ends()
        });
        most = most.max(seen.injected).max(seen.bled);
        sum.add(&seen);
    }
    let mut talks: Vec<Talk<'_>> = MODES.iter().map(|mode| Talk::new(&relay, mode)).collect();
    for _ in 0..200 {
        talks.iter_mut().for_each(Talk::says);
        thread::sleep(STEP);
    }
    for mut talk in talks {
        let seen = until_unhurt(|| {
            talk.goes_on(50, FORGED);
            talk.ends()
        });
        assert_eq!((seen.injected, seen.bled), (0, 0), "{}", talk.mode.name);
        sum.add(&seen);
    }

    let text = format!(
        "10 kpps of RTP and 2 kpps of RTCP, {} forged packets from the start and after 4 s in {} modes: {} injected, {} bled \
         ({most} of one call at most); {} of {} good ones lost",
        sum.forged,
        MODES.len(),
        sum.injected,
        sum.bled,
        sum.lost(),
        sum.sent
    );
    figure(19, &text);
}

/// Somebody who does not know where the calls are tries all ports, 10,000 packets a second.
#[test]
fn row_19_a_spray_over_all_ports() {
    let seen = until_unhurt(|| {
        let relay = relay();
        let mut talks: Vec<Talk<'_>> = MODES
            .iter()
            .chain(&MODES[..4])
            .map(|mode| Talk::new(&relay, mode))
            .collect();
        let attacker = Phone::new(Talk::number(), 66, ATTACKER);
        let mut sum = Seen::default();
        for _ in 0..50 {
            let next = now() + STEP;
            talks.iter_mut().for_each(Talk::says);
            for _ in 0..200 {
                let talk = &talks[sum.forged as usize % talks.len()];
                let port = FIRST + (sum.forged / talks.len() as u64 % 20) as u16;
                let to = SocketAddr::new(talk.gates[0].address, port);
                // Where nothing is open it may be told so.
                let _ = attacker.rtp.send_to(&rtp(sum.forged, ATTACKER), to);
                sum.forged += 1;
            }
            thread::sleep(next.saturating_duration_since(now()));
        }
        for mut talk in talks {
            sum.add(&talk.ends());
        }
        attacker.hears(|_, _| sum.bled += 1);
        sum
    });
    assert_eq!(seen.bled, 0);
    let text = format!(
        "{} packets over all ports of {} calls: {} injected, {} bled; {} of {} good ones lost",
        seen.forged,
        MODES.len() + 4,
        seen.injected,
        seen.bled,
        seen.lost(),
        seen.sent
    );
    figure(19, &text);
}

/// A million packets at the port of a call by SRTP, from where its caller is: as his with another tag, DTLS, STUN.
#[test]
fn row_20_forged_srtp_stun_and_dtls() {
    const FORGED: u64 = 1_000_000;
    let key = |byte| Keys {
        suite: Suite::Aes128Sha1Tag80,
        secret: vec![byte; Suite::Aes128Sha1Tag80.secret_length()].into(),
    };
    let phones = [
        Phone::new(Talk::number(), 20, CALLER),
        Phone::new(Talk::number(), 21, BUYER),
    ];
    let gate = |port| Gate {
        address: phones[0].remote().rtp.ip(),
        port,
        is_shared: false,
    };
    let mut plan = plan(
        [gate(FIRST), gate(FIRST + 2)],
        [phones[0].remote(), phones[1].remote()],
        &[],
    );
    plan.streams[0].ends[0].crypto = Some(Crypto {
        theirs: key(1),
        ours: key(2),
    });
    plan.patience = Patience {
        is_answered: true,
        silence: Some(Duration::from_secs(30)),
        ..Patience::default()
    };
    let begin = now();
    let mut passage = Passage::new(begin, &plan, false);
    let mut sender = Sender::new(&key(1)).unwrap();
    let way = Way {
        stream: 0,
        party: Party::Caller,
        is_control: false,
    };
    let source = phones[0].remote().rtp;
    let (mut room, mut passed, mut sent, mut ended) = ([0; 512], 0, 0, 0);
    for number in 0..FORGED {
        let at = begin + Duration::from_micros(number * 100);
        let length = match number % 3 {
            0 => fill(&mut room, &[&rtp(sent, CALLER), &[number as u8; 10]]),
            1 => fill(
                &mut room,
                &[&[0, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42], &[number as u8; 20]],
            ),
            _ => fill(&mut room, &[&[22, 254, 253, 0, 0], &[number as u8; 60]]),
        };
        let verdict = passage.handle(at, way, source, &mut room, length);
        passed += u64::from(matches!(verdict, Verdict::Pass(_)));
        if number % 200 == 0 {
            let length = fill(&mut room, &[&rtp(sent, CALLER), &[0; GROWTH]]) - GROWTH;
            let length = sender.protect_rtp(&mut room, length).unwrap();
            let verdict = passage.handle(at, way, source, &mut room, length);
            assert!(matches!(verdict, Verdict::Pass(_)), "{verdict:?}");
            sent += 1;
            // Of the buyer nobody speaks here.
            let quiet = passage.check(at);
            ended += u64::from(quiet.is_some_and(|quiet| quiet != Quiet::OneWay(Party::Buyer)));
        }
    }

    assert_eq!((passed, ended), (0, 0));
    let text = format!(
        "{FORGED} forged packets at a live port: {passed} relayed, {ended} calls ended, {sent} of {sent} good ones passed"
    );
    figure(20, &text);
}

/// Both parties have one SSRC, and the caller sends 20,000 packets of RTCP a second, every other one cut to four bytes.
#[test]
fn row_22_same_ssrc_and_a_flood_of_rtcp() {
    let relay = relay();
    let mut seconds = 0;
    let seen = until_unhurt(|| {
        let begin = now();
        let mut talk = Talk::new(&relay, &MODES[0]);
        talk.buyer.mark = CALLER;
        let report = report(CALLER);
        for _ in 0..50 {
            let next = now() + STEP;
            talk.says();
            for number in 0..400 {
                let length = if number % 2 == 0 { 8 } else { 4 };
                let to = talk.caller_control();
                talk.caller.rtcp.send_to(&report[..length], to).unwrap();
            }
            thread::sleep(next.saturating_duration_since(now()));
        }
        seconds = begin.elapsed().as_secs() + 1;
        talk.ends()
    });

    // 50 in each second that it was in, and the buyer's own two.
    let control = seen.control;
    assert!(
        (1..=50 * (seconds + 1) + 2).contains(&control),
        "{control} in {seconds} s"
    );
    let text = format!(
        "one SSRC on both sides, 20 kpps of RTCP, half of it of 4 bytes: {control} relayed in {seconds} s; {} of {} good packets of RTP lost",
        seen.lost(),
        seen.sent
    );
    figure(22, &text);
}

/// A call gets the very ports of one that is over, whose parties talk on.
#[test]
fn row_19_a_new_call_hears_nothing_of_the_last_one() {
    let relay = relay();
    let (mut sum, mut overheard) = (Seen::default(), 0);
    for mode in &MODES[..5] {
        let happen = || {
            let mut old = Talk::new(&relay, mode);
            (0..10).for_each(|_| old.says());
            old.ends();
            old.closes();
            (old.caller.mark, old.buyer.mark) = (ATTACKER, ATTACKER);
            let mut new = Talk::with(&relay, mode, Some(old.gates));
            for number in 10..60 {
                new.says();
                old.caller.says(number, new.gate(0));
                old.buyer.says(number, new.gate(1));
                thread::sleep(STEP / 4);
            }
            let seen = new.ends();
            overheard = 0;
            for phone in [&old.caller, &old.buyer] {
                phone.hears(|_, _| overheard += 1);
            }
            seen
        };
        let seen = until(happen, |seen| !seen.is_stalled());
        assert_eq!((seen.injected, overheard), (0, 0), "{}", mode.name);
        sum.add(&seen);
    }
    let text = format!(
        "the last parties talk on at the ports of 5 new calls: {} of theirs heard, {overheard} overheard",
        sum.injected
    );
    figure(19, &text);
}

/// How a call is set up.
#[derive(Debug)]
struct Mode {
    name: &'static str,
    /// The caller sends from another port than it has announced.
    is_moved: bool,
    /// From where it may come besides.
    networks: &'static [&'static str],
    is_shared: bool,
}

const fn mode(name: &'static str, is_moved: bool, networks: &'static [&'static str]) -> Mode {
    Mode {
        name,
        is_moved,
        networks,
        is_shared: false,
    }
}

const MODES: &[Mode] = &[
    mode("plain", false, &[]),
    mode("NAT, caller at home", false, &["192.0.2.0/24"]),
    mode("NAT, caller moved", true, &["192.0.2.0/24"]),
    mode(
        "NAT, attacker in the network, caller at home",
        false,
        &["127.0.0.0/8"],
    ),
    mode(
        "NAT, attacker in the network, caller moved",
        true,
        &["127.0.0.0/8"],
    ),
    Mode {
        name: "shared ports",
        is_moved: false,
        networks: &[],
        is_shared: true,
    },
];

/// Time between two packets of a party.
const STEP: Duration = Duration::from_millis(20);

/// Packets of a party within which it is learned where it is, with room to spare.
const LEARNING: u64 = 10;

/// Forged packets between those: of RTP and of RTCP.
const FORGED: [u32; 2] = [200, 40];

const CALLER: u8 = 1;
const BUYER: u8 = 2;
const ATTACKER: u8 = 3;

/// The relay's first port on each address: another run of the tests on this machine has others, as a rule.
const FIRST: u16 = 24_000;

/// Has it happen again if good packets are lost: a machine that does something else for 20 ms loses some. What is injected or
/// bled counts at once, unless the parties [stalled](Seen::is_stalled).
fn until_unhurt(happen: impl FnMut() -> Seen) -> Seen {
    until(happen, |seen| {
        !seen.is_stalled() && seen.lost() * 1000 <= seen.sent
    })
}

/// Has it happen again, five times at most and ever later.
fn until(mut happen: impl FnMut() -> Seen, is_fair: fn(&Seen) -> bool) -> Seen {
    let mut seen = happen();
    for pause in [0, 500, 1000, 2000, 4000] {
        if is_fair(&seen) {
            return seen;
        }
        thread::sleep(Duration::from_millis(pause));
        seen = happen();
    }
    assert!(is_fair(&seen), "{seen:?}");
    seen
}

/// A call, and somebody who attacks it.
struct Talk<'r> {
    relay: &'r Relay,
    session: SessionId,
    mode: &'static Mode,
    caller: Phone,
    buyer: Phone,
    attacker: Phone,
    gates: [Gate; 2],
    /// Packets of each party, and of the attacker's.
    spoken: u64,
    forged: u64,
    /// When the parties have sent last, or the attacker began.
    last: Option<Instant>,
    seen: Seen,
}

#[derive(Debug, Default, Clone)]
struct Seen {
    forged: u64,
    injected: u64,
    bled: u64,
    /// Good packets.
    sent: u64,
    heard: u64,
    /// Good packets of RTCP that were heard.
    control: u64,
    /// The longest pause of the parties while it was learned where the caller is.
    pause: Duration,
}

impl Seen {
    fn add(&mut self, other: &Self) {
        self.forged += other.forged;
        self.injected += other.injected;
        self.bled += other.bled;
        self.sent += other.sent;
        self.heard += other.heard;
        self.control += other.control;
        self.pause = self.pause.max(other.pause);
    }

    /// Whether the parties were so late that somebody else may be believed to be the caller, by design: then nothing can be
    /// said of what was injected.
    fn is_stalled(&self) -> bool {
        self.pause > SPAN
    }

    fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.heard)
    }
}

impl<'r> Talk<'r> {
    /// A part of loopback that no other call of this run has.
    fn number() -> u8 {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    fn new(relay: &'r Relay, mode: &'static Mode) -> Self {
        Self::with(relay, mode, None)
    }

    /// One with these ports of ours.
    fn with(relay: &'r Relay, mode: &'static Mode, gates: Option<[Gate; 2]>) -> Self {
        let number = Self::number();
        let gate = |port| Gate {
            address: at(number, 1).into(),
            port,
            is_shared: mode.is_shared,
        };
        let own = if mode.is_shared {
            [gate(FIRST); 2]
        } else {
            [gate(FIRST), gate(FIRST + 2)]
        };
        let gates = gates.unwrap_or(own);
        let caller = Phone::new(number, 20, CALLER);
        let buyer = Phone::new(number, 21, BUYER);
        let mut announced = caller.remote();
        if mode.is_moved {
            announced.rtp.set_port(9);
            announced.rtcp.set_port(10);
        }
        let session = SessionId(u64::from(number));
        let plan = plan(gates, [announced, buyer.remote()], mode.networks);
        let connected = relay.connect(session, plan);
        assert!(connected.is_ok(), "{connected:?}");
        Self {
            relay,
            session,
            mode,
            caller,
            buyer,
            attacker: Phone::new(number, 66, ATTACKER),
            gates,
            spoken: 0,
            forged: 0,
            last: None,
            seen: Seen::default(),
        }
    }

    fn gate(&self, party: usize) -> SocketAddr {
        SocketAddr::new(self.gates[party].address, self.gates[party].port)
    }

    fn caller_control(&self) -> SocketAddr {
        let gate = self.gate(0);
        SocketAddr::new(gate.ip(), gate.port() + 1)
    }

    /// Ends the call, and waits until its ports are closed.
    fn closes(&self) {
        self.relay.close(self.session, Box::new(drop));
        let is_open = |gate: &Gate| UdpSocket::bind((gate.address, gate.port)).is_err();
        let until = now() + Duration::from_secs(5);
        while self.gates.iter().any(is_open) {
            assert!(now() < until, "{:?} are still open", self.gates);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Each party sends a packet.
    fn says(&mut self) {
        // The first of a caller who has moved are on probation, and so long nobody knows where he is.
        let is_known = !self.mode.is_moved || self.spoken >= 3;
        self.seen.sent += 2 * u64::from(is_known);
        if self.spoken < LEARNING && !self.mode.networks.is_empty() {
            let last = self.last.replace(now());
            let pause = last.map(|last| last.elapsed()).unwrap_or_default();
            self.seen.pause = self.seen.pause.max(pause);
        }
        self.caller.says(self.spoken, self.gate(0));
        self.buyer.says(self.spoken, self.gate(1));
        self.spoken += 1;
        self.counts();
    }

    /// Each party sends so many, and the attacker as the caller, all the time.
    fn goes_on(&mut self, steps: u32, [rtp_count, rtcp_count]: [u32; 2]) {
        let report = report(ATTACKER);
        self.last.get_or_insert_with(now);
        for _ in 0..steps {
            let begin = now();
            for slice in 0..20 {
                for _ in 0..rtp_count / 20 {
                    self.attacker.says(self.forged, self.gate(0));
                    self.forged += 1;
                }
                for _ in 0..rtcp_count / 20 {
                    let to = self.caller_control();
                    self.attacker.rtcp.send_to(&report, to).unwrap();
                }
                // He is there before the caller.
                if slice == 0 {
                    self.says();
                }
                let next = begin + STEP * (slice + 1) / 20;
                thread::sleep(next.saturating_duration_since(now()));
            }
            self.seen.forged += u64::from(rtp_count + rtcp_count);
        }
    }

    fn counts(&mut self) {
        let Self {
            caller,
            buyer,
            attacker,
            seen,
            ..
        } = self;
        for phone in [caller, buyer] {
            phone.hears(|is_control, from| match from {
                ATTACKER => seen.injected += 1,
                _ if is_control => seen.control += 1,
                _ => seen.heard += 1,
            });
        }
        attacker.hears(|_, _| seen.bled += 1);
    }

    /// Waits for what is under way, and says what has come of it.
    fn ends(&mut self) -> Seen {
        for _ in 0..50 {
            thread::sleep(Duration::from_millis(5));
            self.counts();
            if self.seen.lost() == 0 {
                break;
            }
        }
        let seen = std::mem::take(&mut self.seen);
        let name = self.mode.name;
        let most = if self.mode.networks.is_empty() { 0 } else { 5 };
        assert!(
            seen.is_stalled() || (seen.injected <= most && seen.bled <= most),
            "{name}: {seen:?}"
        );
        seen
    }
}

impl Drop for Talk<'_> {
    fn drop(&mut self) {
        self.relay.close(self.session, Box::new(drop));
    }
}

/// Somebody's two ports.
struct Phone {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    mark: u8,
}

impl Phone {
    fn new(number: u8, host: u8, mark: u8) -> Self {
        let open = || {
            let socket = UdpSocket::bind((at(number, host), 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        Self {
            rtp: open(),
            rtcp: open(),
            mark,
        }
    }

    fn remote(&self) -> Remote {
        Remote {
            rtp: self.rtp.local_addr().unwrap(),
            rtcp: self.rtcp.local_addr().unwrap(),
        }
    }

    /// Sends the packet of that number, and a report now and then.
    fn says(&self, number: u64, to: SocketAddr) {
        self.rtp.send_to(&rtp(number, self.mark), to).unwrap();
        if self.mark != ATTACKER && number % 25 == 24 {
            let to = SocketAddr::new(to.ip(), to.port() + 1);
            self.rtcp.send_to(&report(self.mark), to).unwrap();
        }
    }

    /// Gives all that has come: whether it is RTCP, and whose it is.
    fn hears(&self, mut hear: impl FnMut(bool, u8)) {
        let mut room = [0; 2048];
        while let Ok(length) = self.rtp.recv(&mut room) {
            hear(false, if length > 11 { room[11] } else { 0 });
        }
        while let Ok(length) = self.rtcp.recv(&mut room) {
            hear(true, if length > 7 { room[7] } else { 0 });
        }
    }
}

fn relay() -> Relay {
    let counts = Arc::new(MediaCounts::new(&Metrics::new()));
    let settings = Settings {
        threads: 1,
        dscp: 46,
        keeps_digits: false,
    };
    Relay::start(settings, None, &counts, |_| {}).unwrap()
}

fn plan(gates: [Gate; 2], remotes: [Remote; 2], networks: &[&str]) -> Plan {
    let sources = match networks {
        [] => Sources::Announced,
        _ => Sources::Learned(networks.iter().map(|one| one.parse().unwrap()).collect()),
    };
    let end = |at: usize, sources| End {
        gate: gates[at],
        remote: Some(remotes[at]),
        sources,
        sends: true,
        payloads: smallvec![Payload {
            number: 0,
            clock: 8000,
            is_dtmf: false
        }],
        crypto: None,
    };
    Plan {
        streams: smallvec![Stream {
            ends: [end(0, sources), end(1, Sources::Announced)],
            is_rtp: true
        }],
        patience: Patience::default(),
    }
}

/// 20 ms of PCMU.
fn rtp(number: u64, mark: u8) -> [u8; 172] {
    let mut packet = [mark; 172];
    let head = [
        0x80,
        0,
        (number >> 8) as u8,
        number as u8,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        mark,
    ];
    packet[..12].copy_from_slice(&head);
    packet[4..8].copy_from_slice(&(number as u32).wrapping_mul(160).to_be_bytes());
    packet
}

/// An empty receiver report.
fn report(mark: u8) -> [u8; 8] {
    [0x80, 201, 0, 1, 0, 0, 0, mark]
}

/// Writes the parts one after the other; their length.
fn fill(room: &mut [u8], parts: &[&[u8]]) -> usize {
    let mut length = 0;
    for part in parts {
        room[length..length + part.len()].copy_from_slice(part);
        length += part.len();
    }
    length
}

/// A host of a part of loopback; which part also depends on the process.
fn at(number: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 128 + (process::id() % 100) as u8, number, host)
}

#[expect(clippy::disallowed_methods, reason = "real sockets have real time")]
fn now() -> Instant {
    Instant::now()
}
